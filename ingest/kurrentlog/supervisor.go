package kurrentlog

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/metadata"

	"wattbook/domain/eventlog"
)

const (
	// idleClients is how many clients are kept while nobody uses them.
	idleClients = 4

	// afterDeadline is how long the server, and then the client, may take to say
	// that a call's time is over.
	afterDeadline = 200 * time.Millisecond

	// The pause before trying again: it doubles from the first to the last.
	pauseFirst = 4 * time.Millisecond
	pauseLast  = 2 * time.Second
)

// supervisor owns the clients of a log and makes every call through one of
// them.
//
// A client serves one call at a time. Callers that share one block for ever
// when it dies under them: its state machine ends after a failed discovery and
// nobody receives what the others send. The one caller of a client that dies
// is told, and the next call gets a new client. For the same reason nobody but
// the call's own goroutine closes the client that the call uses.
type supervisor struct {
	conf    esdb.Configuration
	header  []string // pairs that every call carries
	timeout time.Duration
	logger  *slog.Logger

	used    sync.WaitGroup // clients that were taken and not put back
	closing chan struct{}  // closed when close begins: it ends every call

	mu     sync.Mutex
	idle   []*esdb.Client
	closed bool
}

// newSupervisor reads the connection string. It connects to nothing.
func newSupervisor(cfg Config) (*supervisor, error) {
	address, user, password, err := credentials(cfg.URL)
	if err != nil {
		return nil, err
	}
	conf, err := esdb.ParseConnectionString(address)
	switch {
	case err != nil && strings.Contains(address, "@"): // it may hold the rest of a password
		return nil, errors.New("connection string: it cannot be read; write the special characters of the name and the password as %40 for @, %3F for ?")
	case err != nil:
		return nil, fmt.Errorf("connection string %s: %w", address, err)
	}
	if cfg.User != "" || cfg.Password != "" {
		user, password = cfg.User, cfg.Password
	}
	conf.Username, conf.Password = user, password
	s := &supervisor{timeout: cfg.Timeout, logger: cfg.Logger, closing: make(chan struct{})}
	if conf.Username != "" && conf.Password == "" {
		return nil, fmt.Errorf("connection string: user %s has no password, and the client would send neither", conf.Username)
	}
	if conf.Username != "" && conf.DisableTLS {
		if !cfg.Plaintext {
			return nil, fmt.Errorf("connection string with tls=false: %w", ErrPlaintextCredentials)
		}
		basic := base64.StdEncoding.EncodeToString([]byte(conf.Username + ":" + conf.Password))
		s.header = append(s.header, "authorization", "Basic "+basic)
	}
	if cfg.RequiresLeader {
		// The client puts this header where no server sees it.
		s.header = append(s.header, "requires-leader", "true")
	}
	// The client tries once; trying again is the supervisor's, with a client
	// that lives.
	conf.MaxDiscoverAttempts = 1
	conf.DiscoveryInterval = min(conf.DiscoveryInterval, 10)
	conf.DefaultDeadline = new(2*cfg.Timeout + afterDeadline) // never before the call's own
	conf.GossipTimeout = max(1, min(conf.GossipTimeout, int(cfg.Timeout/time.Second)))
	conf.Logger = func(level esdb.LogLevel, format string, args ...any) {
		s.logger.Debug("client: "+fmt.Sprintf(format, args...), "level", level)
	}
	s.conf = *conf
	return s, nil
}

// credentials takes the name and the password out of a connection string. What
// is left may be shown.
func credentials(s string) (address, user, password string, err error) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return "", "", "", errors.New("connection string: want esdb://host:port or esdb+discover://host:port")
	}
	hosts, parameters, query := strings.Cut(rest, "?")
	if at := strings.LastIndexByte(hosts, '@'); at >= 0 {
		user, password, _ = strings.Cut(hosts[:at], ":")
		hosts = hosts[at+1:]
	}
	var errs [2]error
	user, errs[0] = url.PathUnescape(user)
	if password, errs[1] = url.PathUnescape(password); errors.Join(errs[:]...) != nil {
		return "", "", "", errors.New("connection string: a percent sign in the name or the password must be written %25")
	}
	address = scheme + "://" + hosts
	if query {
		address += "?" + parameters
	}
	return address, user, password, nil
}

// take returns a client that is nobody else's.
func (s *supervisor) take() (*esdb.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, eventlog.ErrClosed
	}
	if n := len(s.idle); n > 0 {
		c := s.idle[n-1]
		s.idle = s.idle[:n-1]
		s.used.Add(1)
		return c, nil
	}
	conf := s.conf
	c, err := esdb.NewClient(&conf)
	if err == nil {
		s.used.Add(1)
	}
	return c, err
}

// put keeps a client for the next call, or closes it. With one that failed go
// those that are idle: they lead to the same node.
func (s *supervisor) put(c *esdb.Client, err error) {
	defer s.used.Done()
	s.mu.Lock()
	var drop []*esdb.Client
	switch {
	case !usable(err):
		drop = append(s.idle, c)
		s.idle = nil
	case s.closed || len(s.idle) >= idleClients:
		drop = append(drop, c)
	default:
		s.idle = append(s.idle, c)
	}
	s.mu.Unlock()
	for _, c := range drop {
		_ = c.Close() // it only ever returns nil
	}
}

// close ends every call and closes the clients. A call that does not heed its
// context ends when the client's discovery gives up, and close waits for it.
func (s *supervisor) close() {
	s.mu.Lock()
	s.closed = true
	idle := s.idle
	s.idle = nil
	s.mu.Unlock()
	close(s.closing)
	for _, c := range idle {
		_ = c.Close()
	}
	s.used.Wait()
}

// call makes one call with a client, within the time that a call may take. It
// returns when that is over even if the client does not.
func call[T any](ctx context.Context, s *supervisor, what string, do func(context.Context, *esdb.Client) (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	ctx, cancel := early(ctx, s.timeout)
	defer cancel()
	done := make(chan outcome, 1)
	c, err := s.take()
	if err != nil {
		return outcome{}.value, err
	}
	go func() {
		var o outcome
		defer func() {
			if p := recover(); p != nil {
				o.err = &panicError{p}
			}
			s.put(c, o.err)
			done <- o
		}()
		o.value, o.err = do(s.outgoing(ctx), c)
	}()
	var late <-chan time.Time
	over, closing := ctx.Done(), s.closing
	for {
		select {
		case o := <-done:
			if o.err != nil {
				o.err = explain(what, o.err)
			}
			return o.value, o.err
		case <-closing:
			closing = nil
			cancel()
		case <-over:
			over, late = nil, time.After(afterDeadline)
		case <-late:
			return outcome{}.value, explain(what, &hungError{ctx.Err()})
		}
	}
}

// earlier is a context that names an earlier end than it has.
type earlier struct {
	context.Context
	end time.Time
}

// Deadline implements [context.Context].
func (e earlier) Deadline() (time.Time, bool) { return e.end, true }

// early returns a context for a call. Its end is what the server is told, and
// keeps; the client's own comes later, so that it is the server who ends the
// call. When the client's context ends while it sends an append, it reads the
// call's trailers while they are written.
func early(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	end := time.Now().Add(timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(end) {
		end = d
	}
	ctx, cancel := context.WithTimeout(ctx, timeout+afterDeadline)
	return earlier{ctx, end}, cancel
}

// outgoing adds the headers of every call.
func (s *supervisor) outgoing(ctx context.Context) context.Context {
	if len(s.header) == 0 {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, s.header...)
}

// pause waits before the next attempt, longer after each, by a random part, so
// that those who failed together do not come back together. It reports whether
// there should be one.
func (s *supervisor) pause(ctx context.Context, attempt int) error {
	longest := pauseLast
	if attempt < 9 {
		longest = pauseFirst << attempt
	}
	t := time.NewTimer(longest/2 + rand.N(longest/2))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-s.closing:
		return eventlog.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// retry makes a call that changes nothing until it succeeds, or fails for a
// reason that will not go away, or the context ends.
func retry[T any](ctx context.Context, s *supervisor, what string, do func(context.Context, *esdb.Client) (T, error)) (T, error) {
	for attempt := 0; ; attempt++ {
		v, err := call(ctx, s, what, do)
		if c := classify(err); c != transient && c != severed || errors.Is(err, eventlog.ErrClosed) {
			return v, err
		}
		if ctx.Err() == nil {
			s.logger.Warn("log: a call failed and is made again", "err", err, "attempt", attempt+1)
		}
		if stop := s.pause(ctx, attempt); stop != nil {
			return v, fmt.Errorf("%w; the last attempt: %w", stop, err)
		}
	}
}
