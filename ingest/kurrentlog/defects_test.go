package kurrentlog_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/ingest/kurrentlog"
	"wattbook/ingest/kurrentlog/server"
)

// Each test here shows a defect of the client first, by the client alone, and
// then that the log lives with it. When a later client mends one, its test
// says so.

func short(c *kurrentlog.Config) { c.Timeout = 500 * time.Millisecond }

func plain(about string) esdb.EventData {
	return esdb.EventData{EventID: [16]byte(draft(about, 0).ID), EventType: "thing.happened/1", Data: []byte(about)}
}

func code(err error) esdb.ErrorCode {
	var e *esdb.Error
	if !errors.As(err, &e) {
		return -1
	}
	return e.Code()
}

// TestDefect1DeadAfterOneFailedDiscovery stops the server for a moment.
func TestDefect1DeadAfterOneFailedDiscovery(t *testing.T) {
	s := start(t, server.Config{})
	log := open(t, s.URL(), short)
	mustAppend(t, log, write("things-1", eventlog.Any, draft("a", 0)))
	alone := client(t, s.URL())
	s.Stop()
	if _, err := alone.AppendToStream(t.Context(), "alone-1", esdb.AppendToStreamOptions{}, plain("x")); err == nil {
		t.Fatal("the client wrote to a server that is gone")
	}
	done := make(chan error, 1)
	go func() {
		_, err := log.Append(t.Context(), write("things-1", eventlog.After(1), draft("b", 0)))
		done <- err
	}()
	time.Sleep(300 * time.Millisecond)
	if err := s.Restart(0); err != nil {
		t.Fatal(err)
	}
	if _, err := alone.AppendToStream(t.Context(), "alone-1", esdb.AppendToStreamOptions{}, plain("x")); code(err) != esdb.ErrorCodeConnectionClosed {
		t.Errorf("the client alone, with the server back: %v; the defect is mended", err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("the log, with the server back: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the log does not come back")
	}
	if got := contents(t, log); len(got) != 2 {
		t.Errorf("the log holds %q", got)
	}
}

// TestDefect2CallersBlockForEver makes calls at once while the server is gone.
func TestDefect2CallersBlockForEver(t *testing.T) {
	const callers = 8
	s := start(t, server.Config{})
	log := open(t, s.URL(), short)
	mustAppend(t, log, write("things-1", eventlog.Any, draft("a", 0)))
	alone := client(t, s.URL())
	s.Stop()
	var returned atomic.Int64
	for i := range callers { // most of them never end: that is the defect
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			defer cancel()
			_, _ = alone.AppendToStream(ctx, "alone-1", esdb.AppendToStreamOptions{}, plain(fmt.Sprint(i)))
			returned.Add(1)
		}()
	}
	began := time.Now()
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
			defer cancel()
			if _, err := log.Append(ctx, write("things-1", eventlog.Any, draft(fmt.Sprint(i), 0))); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("append without a server: %v", err)
			}
		})
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
			defer cancel()
			for _, err := range log.ReadAll(ctx, 0) {
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("read without a server: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if d := time.Since(began); d > 10*time.Second {
		t.Errorf("calls that may take 700ms took %s", d)
	}
	if n := returned.Load(); n == callers {
		t.Error("every caller of the client alone returned; the defect is mended")
	}
	if err := s.Restart(0); err != nil {
		t.Fatal(err)
	}
	for i := range callers {
		mustAppend(t, log, write("things-1", eventlog.Any, draft(fmt.Sprint(i), 0)))
	}
	if got := contents(t, log); len(got) != 1+callers {
		t.Errorf("the log holds %d events, want %d", len(got), 1+callers)
	}
}

// headers notes what calls carry.
type headers struct {
	mu   sync.Mutex
	seen map[server.Call][]map[string][]string
}

func (h *headers) watch(call server.Call, header map[string][]string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.seen == nil {
		h.seen = map[server.Call][]map[string][]string{}
	}
	h.seen[call] = append(h.seen[call], header)
}

func (h *headers) with(call server.Call, key string) (with, all int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, header := range h.seen[call] {
		if len(header[key]) > 0 {
			with++
		}
	}
	return with, len(h.seen[call])
}

// TestDefect3RequiresLeaderIsNeverSent writes through a follower.
func TestDefect3RequiresLeaderIsNeverSent(t *testing.T) {
	var atLeader, atFollower headers
	leader := start(t, server.Config{Watch: atLeader.watch})
	follower := start(t, server.Config{Leader: leader, Watch: atFollower.watch})
	alone := client(t, follower.URL())
	if _, err := alone.AppendToStream(t.Context(), "alone-1", esdb.AppendToStreamOptions{RequiresLeader: true}, plain("x")); err != nil {
		t.Fatal(err)
	}
	if with, all := atFollower.with(server.Append, "requires-leader"); with != 0 || all != 1 {
		t.Errorf("%d of the %d appends of the client alone ask for the leader; the defect is mended", with, all)
	}
	log := open(t, follower.URL(), func(c *kurrentlog.Config) { c.RequiresLeader = true })
	for i := range 5 {
		mustAppend(t, log, write("things-1", eventlog.After(eventlog.Revision(i)), draft(fmt.Sprint(i), 0)))
	}
	if got := contents(t, log); len(got) != 5 {
		t.Errorf("the log holds %q", got)
	}
	for _, call := range []server.Call{server.Append, server.Read, server.Subscribe} {
		if with, all := atLeader.with(call, "requires-leader"); with != all || all == 0 {
			t.Errorf("%d of %d calls of %s ask the leader for the leader", with, all, call)
		}
	}
	if with, all := atFollower.with(server.Append, "requires-leader"); with != all-1 {
		t.Errorf("%d of %d appends ask the follower for the leader", with, all)
	}
	// The other way: whoever answers will do, and a follower passes appends on.
	any := open(t, follower.URL())
	mustAppend(t, any, write("things-1", eventlog.After(5), draft("any", 0)))
}

// TestTheLogFollowsTheLeader lets the leader change under a log that finds its
// node by discovery.
func TestTheLogFollowsTheLeader(t *testing.T) {
	var calls [2]atomic.Int64
	first := start(t, server.Config{Watch: count(&calls[0], server.Append)})
	second := start(t, server.Config{Leader: first, Watch: count(&calls[1], server.Append)})
	log := open(t, second.DiscoverURL(), func(c *kurrentlog.Config) { c.RequiresLeader = true })
	mustAppend(t, log, write("things-1", eventlog.Any, draft("a", 0)))
	if calls[0].Load() != 1 || calls[1].Load() != 0 {
		t.Errorf("%d appends went to the leader, %d to the follower", calls[0].Load(), calls[1].Load())
	}
	second.Lead()
	mustAppend(t, log, write("things-1", eventlog.Any, draft("b", 0)))
	if calls[1].Load() != 1 {
		t.Errorf("%d appends went to the new leader", calls[1].Load())
	}
	first.Stop()
	mustAppend(t, log, write("things-1", eventlog.Any, draft("c", 0)))
	if got := contents(t, log); len(got) != 3 {
		t.Errorf("the log holds %q", got)
	}
}

// as puts a name and a password into a connection string.
func as(url, user string) string { return strings.Replace(url, "://", "://"+user+"@", 1) }

// TestDefect4NoCredentialsWithoutTLS writes to servers that ask who is there.
func TestDefect4NoCredentialsWithoutTLS(t *testing.T) {
	var seen headers
	users := map[string]string{"book": "secret"}
	s := start(t, server.Config{Users: users, Watch: seen.watch})
	alone := client(t, as(s.URL(), "book:secret"))
	if _, err := alone.AppendToStream(t.Context(), "alone-1", esdb.AppendToStreamOptions{}, plain("x")); err == nil {
		t.Error("the client alone wrote, with credentials and tls=false; the defect is mended")
	}
	if with, _ := seen.with(server.Append, "authorization"); with != 0 {
		t.Error("the client alone sent credentials; the defect is mended")
	}
	if _, err := tryOpen(t, as(s.URL(), "book:secret")); !errors.Is(err, kurrentlog.ErrPlaintextCredentials) {
		t.Errorf("the log with credentials and tls=false: %v", err)
	}
	if _, err := tryOpen(t, as(s.URL(), "book")); err == nil || !strings.Contains(err.Error(), "has no password") {
		t.Errorf("a name without a password: %v", err)
	}
	log := open(t, as(s.URL(), "book:secret"), func(c *kurrentlog.Config) { c.Plaintext = true })
	mustAppend(t, log, write("things-1", eventlog.Any, draft("a", 0)))
	log = open(t, as(s.URL(), "else:guess"), func(c *kurrentlog.Config) { c.Plaintext, c.User, c.Password = true, "book", "secret" })
	mustAppend(t, log, write("things-1", eventlog.Any, draft("b", 0)))

	secure, ca, err := server.Certificate(t.TempDir(), time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s = start(t, server.Config{Users: users, TLS: secure})
	url := s.URL() + "&tlsCaFile=" + ca
	log = open(t, as(url, "book:secret"))
	mustAppend(t, log, write("things-1", eventlog.Any, draft("a", 0)))
	for name, url := range map[string]string{"a wrong password": as(url, "book:guess"), "nobody": url} {
		began := time.Now()
		if _, err := tryOpen(t, url); code(err) != esdb.ErrorCodeUnauthenticated && code(err) != esdb.ErrorCodeAccessDenied {
			t.Errorf("%s: %v", name, err)
		} else if time.Since(began) > 10*time.Second {
			t.Errorf("%s: the answer took %s", name, time.Since(began))
		}
	}
	// Credentials that stop being good are told to whoever appends, and once
	// they are good again the log goes on.
	s.Inject(server.Fault{On: server.Append, Do: server.Deny})
	if _, err := log.Append(t.Context(), write("things-1", eventlog.Any, draft("b", 0))); code(err) != esdb.ErrorCodeUnauthenticated {
		t.Errorf("denied: %v", err)
	}
	mustAppend(t, log, write("things-1", eventlog.Any, draft("b", 0)))
}

// TestNoErrorTellsThePassword gives connection strings that cannot be used.
func TestNoErrorTellsThePassword(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"esdb://book:p4ss@", "esdb://book:p4ss@host:port", "esdb://book:p4ss@a:1,b:port", "esdb://book:p4ss@host:1?tls=maybe",
		"esdb://book:p4ss/w@rd@host:port", "esdb://book:p4ss%@host:1", "esdb://book:p4ss?w@rd@host:1", "esdb://book:p4ss\x7f@ho st:1", "book:p4ss@host:1", "esdb:book:p4ss@host",
		"http://book:p4ss@host:1", "esdb://book:p4ss@127.0.0.1:1?tls=false&keepAliveInterval=p",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		_, err := kurrentlog.Open(ctx, kurrentlog.Config{URL: url, Logger: quiet(), Timeout: 100 * time.Millisecond})
		cancel()
		if err == nil || strings.Contains(err.Error(), "p4ss") || strings.Contains(err.Error(), "w@rd") {
			t.Errorf("%s: %v", url, err)
		}
	}
	s := start(t, server.Config{Users: map[string]string{"b@ok": "p/4:s%s?"}})
	open(t, as(s.URL(), "b%40ok:p%2F4:s%25s%3F"), func(c *kurrentlog.Config) { c.Plaintext = true })
}

// TestDefect5NoIDIsANewIDAtEachAttempt loses the answer to an append.
func TestDefect5NoIDIsANewIDAtEachAttempt(t *testing.T) {
	s := start(t, server.Config{})
	alone := client(t, s.URL())
	event := plain("x")
	event.EventID = [16]byte{}
	for range 2 {
		if _, err := alone.AppendToStream(t.Context(), "alone-1", esdb.AppendToStreamOptions{}, event); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(s.Events()); n != 2 {
		t.Errorf("the client alone wrote %d events, want 2; the defect is mended", n)
	}
	log := open(t, s.URL(), short)
	for i, after := range []bool{false, true} {
		s.Inject(server.Fault{On: server.Append, Do: server.Drop, After: after})
		r := mustAppend(t, log, write("things-1", eventlog.Any, draft(fmt.Sprint(i), 3<<20/4), draft(fmt.Sprint(i, "b"), 0)))
		if r.Known || r.Count != 2 || r.First != domain.Position(2*i) {
			t.Errorf("receipt %+v", r)
		}
	}
	if got := contents(t, log); len(got) != 4 {
		t.Errorf("the log holds %d events, want 4", len(got))
	}
	for _, e := range s.Events()[2:] {
		if e.ID == ([16]byte{}) {
			t.Errorf("an event has no id: %+v", e)
		}
	}
}

// TestDefect6ErrorsLoseTheirMeaning wraps errors and aborts calls.
func TestDefect6ErrorsLoseTheirMeaning(t *testing.T) {
	s := start(t, server.Config{})
	alone := client(t, s.URL())
	options := esdb.AppendToStreamOptions{ExpectedRevision: esdb.Revision(7)}
	_, err := alone.AppendToStream(t.Context(), "alone-1", options, plain("x"))
	if e, none := esdb.FromError(fmt.Errorf("wrapped: %w", err)); e.Code() != esdb.ErrorCodeUnknown || none {
		t.Errorf("FromError of a wrapped error: %v, %t; the defect is mended", e.Code(), none)
	}
	s.Inject(server.Fault{On: server.Append, Do: server.Abort})
	if _, err := alone.AppendToStream(t.Context(), "alone-1", esdb.AppendToStreamOptions{}, plain("x")); err == nil || !strings.Contains(err.Error(), "sorry") {
		t.Errorf("an aborted append: %v; the defect is mended", err)
	}

	log := open(t, s.URL(), short)
	s.Inject(server.Fault{On: server.Append, Do: server.Abort}, server.Fault{On: server.Append, Nth: 2, Do: server.Abort, After: true})
	mustAppend(t, log, write("things-1", eventlog.None, draft("a", 0)))
	for range 60 {
		s.Inject(server.Fault{On: server.Append, Do: server.Abort})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err = log.Append(ctx, write("things-1", eventlog.Any, draft("b", 0)))
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "the server gave up before it was done") {
		t.Errorf("an append that is aborted every time: %v", err)
	}
	// The server's refusal says in words where its stream is. Where the
	// contract's stream is, the log knows from its view.
	other := open(t, s.URL())
	_, err = other.Append(t.Context(), write("things-1", eventlog.None, draft("c", 0)))
	var wrong *eventlog.RevisionError
	if !errors.As(err, &wrong) || wrong.Actual < 1 {
		t.Errorf("an append at the wrong revision: %v", err)
	}
}

// TestDefect8UnknownMessagesPanic lets messages come that the client does not
// know.
func TestDefect8UnknownMessagesPanic(t *testing.T) {
	s := start(t, server.Config{})
	log := open(t, s.URL(), short)
	mustAppend(t, log, write("things-1", eventlog.Any, draft("a", 0)))
	alone := client(t, s.URL())
	s.Inject(server.Fault{On: server.Read, Do: server.Unknown})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the client alone did not panic; the defect is mended")
			}
		}()
		events, err := alone.ReadStream(t.Context(), kurrentlog.DefaultStream, esdb.ReadStreamOptions{}, 10)
		if err != nil {
			t.Fatal(err)
		}
		defer events.Close()
		_, _ = events.Recv()
	}()
	s.Inject(server.Fault{On: server.Read, Do: server.Unknown}, server.Fault{On: server.Read, Nth: 2, Do: server.Unknown})
	if got := contents(t, log); len(got) != 1 {
		t.Errorf("the log holds %q", got)
	}
	s.Inject(server.Fault{On: server.Subscribe, Do: server.Unknown})
	s.Drop() // it subscribes again
	mustAppend(t, log, write("things-1", eventlog.Any, draft("b", 0)))
	if r := mustAppend(t, log, write("things-1", eventlog.Any, draft("b", 0))); !r.Known {
		t.Errorf("receipt %+v", r)
	}
}

// TestDefect8AServerTakesLessThanItIsSaidTo has the limits of the server and
// of the configuration differ. The client, while it sends, does not say why
// the server ended the call.
func TestDefect8AServerTakesLessThanItIsSaidTo(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{MaxAppendBytes: 150 << 10})
	log := open(t, s.URL(), short)
	var events []eventlog.Draft
	for i := range 40 {
		events = append(events, draft(fmt.Sprint("small", i), 20<<10))
	}
	events = append(events, draft("large", eventlog.MaxEventBytes-10))
	if r := mustAppend(t, log, write("things-1", eventlog.None, events...)); r.Known || r.Count != len(events) {
		t.Errorf("receipt %+v", r)
	}
	if r := mustAppend(t, log, write("things-1", eventlog.Any, events...)); !r.Known || r.First != 0 {
		t.Errorf("receipt %+v", r)
	}
	if got := contents(t, log); len(got) != len(events) {
		t.Errorf("the log holds %d events, want %d", len(got), len(events))
	}
	s = start(t, server.Config{MaxAppendBytes: 10 << 10})
	log = open(t, s.URL(), short)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err := log.Append(ctx, write("things-1", eventlog.None, draft("x", 30<<10)))
	if err == nil || !strings.Contains(err.Error(), "Maximum Append") {
		t.Errorf("a server that takes next to nothing: %v", err)
	}
}
