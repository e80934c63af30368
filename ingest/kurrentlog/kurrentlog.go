// Package kurrentlog keeps the event log on EventStoreDB or KurrentDB, through
// the client of that name and version 4.
//
// # One physical stream
//
// All events of a log are in one stream of the server, in order: the physical
// stream. What the contract calls a stream is a name in an event's metadata.
// That gives what a stream of the server for each stream of the log cannot give
// with this client: appends that are atomic over several streams, ids that are
// known for ever, and positions without gaps. Viewers find the logical streams
// through the projection [LinksProjection].
//
// An event keeps its id and type. Its content type is JSON if its payload is.
// Its metadata are an object of strings: the draft's own pairs, and
//
//	wattbook.stream     the stream
//	wattbook.revision   the event's place in it, from 0
//	wattbook.append     the append, a UUID of its own at random
//	wattbook.part       "k/n": this is the k-th of the append's n physical events
//	wattbook.piece      "k/n": the k-th piece of an event that is too large for the
//	                    server; absent from an event in one piece
//	wattbook.metadata   how many bytes at the head of the data are the draft's
//	                    metadata, as an eventlog record of nothing else; absent
//	                    where they are pairs of the object
//	wattbook.recorded   when another log recorded the event, in microseconds since
//	                    1970, if it was brought here by [Log.Extend]
//	wattbook.own.K      the draft's pair with key K, if K begins with "wattbook."
//
// The first piece of an event carries its id, its type and its metadata; the
// others have ids that are derived from it and the type wattbook.continued.
// Metadata are put at the head of the data if they are not UTF-8 or longer than
// 32 KiB. Keys with a '$' pass as they are: $correlationId and $causationId are
// where the server looks for them.
//
// # Positions
//
// The position of an event is its place in a fold of the physical stream. The
// parts of an append follow each other directly. When the last one comes, all
// its events get the next positions; if anything else comes before, what was
// there of the append is void, for every reader alike: it has no position, its
// ids count for nothing, and its writer appends it again. The time of recording
// is the server's, in microseconds, or one more than that of the event before;
// an event that another log recorded keeps its time.
//
// # The view
//
// A process folds the stream into its view: ids, streams, and for each position
// the physical revision and both halves of the place in $all. The view answers
// what is where; what is in an event is read from the server each time, and an
// event that is not what the view says is damage. A subscription keeps it up to
// date. If Config.Dir is set, the view is kept in a file there, so that opening
// a long log reads its end only; see [viewFile]. A view that the server
// contradicts is made anew. The Merkle tree over the events (package proof)
// follows the same way: see [Log.Tree].
//
// It follows the physical stream, whose events stand in $all in the same order,
// and not $all with a filter: the server's checkpoints of that may stand still
// for ever or pass over an event. How far the fold has come is kept with every
// append that is whole, so that nothing is left to save when the subscription
// has caught up.
//
// Next, Head, Wait and the end of ReadAll are as of what the process has
// folded. Its own appends are among that; those of another process come when
// the subscription brings them.
//
// # Life of an append
//
// Append checks the events and queues them. One goroutine, the writer, takes
// what is queued, looks for the ids and checks the revisions in the view, and
// sends what is new in one append at exactly the physical revision that the
// view has folded to. If another process was faster, the server refuses, and
// the writer catches up and checks again: so the checks hold at the moment of
// recording. What is larger than the server takes goes in several appends, each
// at exactly the end of the one before. Writers wait a moment before they
// interrupt the append of another that is on its way.
//
// An append is acknowledged when it was read back. That is how a lost answer, a
// timeout, an acknowledgement of another writer's events under the same ids and
// one that is not true all end well: what the stream holds is what happened.
//
// # The client
//
// The client can die for good, hang past its deadline and panic. It is never
// called but through [supervisor]. Two things cannot be helped: it ends the
// process if the server sends an event without a creation time, and it loses a
// connection if the leader that a refusal names does not answer.
//
// Calls go to any node that the connection string leads to. With
// Config.RequiresLeader the log sends the header that asks a node to refuse if
// it does not lead, which the client's own option of that name does not; the
// client then goes to the leader that the refusal names. Without it a follower
// passes appends on, and its reads may be behind: the log then waits longer, and
// is not wrong.
package kurrentlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"wattbook/domain"
	"wattbook/domain/eventlog"
)

const (
	// DefaultStream is the physical stream of a log.
	DefaultStream = "wattbook-log"

	defaultTimeout = 10 * time.Second
	defaultGrace   = time.Second

	// defaultAppendBytes stays below the 1 MiB that servers of 2022 accept.
	defaultAppendBytes = 1<<20 - 64<<10

	// leastAppendBytes is the smallest limit that is tried on a server that
	// finds appends too large.
	leastAppendBytes = 64 << 10
)

// Config says how a log is opened.
type Config struct {
	// URL is the client's connection string, with the name and password if the
	// server wants them: "esdb://book:secret@host:2113?tls=true", or
	// "esdb+discover://…" for a cluster. Timeouts in it are not heeded.
	URL string
	// User and Password are instead of those in URL, if one of them is given.
	User, Password string

	Stream string // the physical stream; empty: DefaultStream
	Dir    string // folder that the view is kept in, created if absent; empty: it is not kept
	Logger *slog.Logger

	Timeout        time.Duration // of one call; 0: 10 s
	Grace          time.Duration // how long the unfinished append of another is waited for; 0: 1 s
	MaxAppendBytes int           // the largest append that the server takes; 0: 960 KiB

	RequiresLeader bool // refuse nodes that do not lead
	Plaintext      bool // name and password may travel unencrypted, with tls=false
}

// Log is an event log on a server. Its methods are safe for concurrent use.
//
// A call that cannot reach the server tries again until its context ends.
type Log struct {
	cfg   Config
	super *supervisor
	view  *view
	tree  tree

	queue    chan *request
	closing  chan struct{} // closed when Close begins
	giveUp   chan struct{} // closed when Close has waited long enough for appends
	stopped  chan struct{} // closed when the writer has ended
	followed chan struct{} // closed when the follower has ended
	once     sync.Once

	delivered atomic.Uint64 // physical events that the subscription brought: all before this

	limit int // bytes of an append, owned by the writer
}

var _ eventlog.Log = (*Log)(nil)

// Open opens a log and folds it up to its end. A log that does not exist is
// empty. It returns an *eventlog.CorruptError if what the server holds is not
// what a log wrote, and an error that wraps [ErrPlaintextCredentials] if the
// client would not send the credentials.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	if cfg.Stream == "" {
		cfg.Stream = DefaultStream
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Grace == 0 {
		cfg.Grace = defaultGrace
	}
	if cfg.MaxAppendBytes == 0 {
		cfg.MaxAppendBytes = defaultAppendBytes
	}
	if strings.HasPrefix(cfg.Stream, "$") {
		return nil, fmt.Errorf("open log: stream %s: a leading $ is reserved", cfg.Stream)
	}
	if cfg.MaxAppendBytes < leastAppendBytes {
		return nil, fmt.Errorf("open log: an append of %d bytes is too small, least %d", cfg.MaxAppendBytes, leastAppendBytes)
	}
	super, err := newSupervisor(cfg)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	l := &Log{
		cfg: cfg, super: super, view: newView(), limit: cfg.MaxAppendBytes,
		queue:   make(chan *request, queueAppends),
		closing: make(chan struct{}), giveUp: make(chan struct{}), stopped: make(chan struct{}), followed: make(chan struct{}),
	}
	if err := l.fill(ctx); err != nil {
		super.close()
		return nil, fmt.Errorf("open log %s: %w", cfg.Stream, errors.Join(err, l.view.file.close()))
	}
	next, _, _, _ := l.view.state()
	l.delivered.Store(next)
	go l.write()
	go l.follow()
	return l, nil
}

// fill loads the view, if it is kept and the server agrees with it, and folds
// what came since.
func (l *Log) fill(ctx context.Context) error {
	if l.cfg.Dir != "" {
		if err := openViewFile(l.cfg.Dir, l.cfg.Stream, l.view, l.cfg.Logger); err != nil {
			return err
		}
		differs, err := l.contradicted(ctx)
		if err != nil {
			return err
		}
		if differs != nil {
			l.cfg.Logger.Warn("log: the view is of another log and is made anew", "dir", l.cfg.Dir, "why", differs)
			l.view.clear()
			if err := l.view.file.reset(header(l.cfg.Stream)); err != nil {
				return err
			}
		}
	}
	_, err := l.catchUp(ctx)
	return err
}

// errAbsent may mean that the node is behind.
var errAbsent = errors.New("is not on the server")

// contradicted asks the server for the last event of the view, and says how it
// differs. The same event at the same place has the same events before it.
func (l *Log) contradicted(ctx context.Context) (differs, err error) {
	_, head, _, _ := l.view.state()
	if head == 0 {
		return nil, nil
	}
	e, stream := l.view.at(head - 1)
	page, err := l.page(ctx, e.number, 1)
	if err != nil {
		return nil, err
	}
	if len(page.events) == 0 {
		return fmt.Errorf("physical event %d %w", e.number, errAbsent), nil
	}
	p, err := decode(page.events[0])
	switch {
	case err != nil:
		return err, nil //nolint:nilerr // it is how they differ
	case p.id != e.id || p.stream != stream || p.revision != e.revision || p.number != e.number:
		return fmt.Errorf("physical event %d is another one", e.number), nil
	case p.commit != e.commit || p.prepare != e.prepare:
		return fmt.Errorf("physical event %d is at another place in $all", e.number), nil
	}
	return nil, nil
}

// Place is where the server keeps an event.
type Place struct {
	Revision uint64 // in the physical stream, of its first piece
	Commit   uint64 // the two halves of its place in $all; both are the
	Prepare  uint64 // greatest number where the server does not tell
}

// Place returns where the event at a position is, if there is one.
func (l *Log) Place(p domain.Position) (Place, bool) {
	if _, head, _, _ := l.view.state(); p >= head {
		return Place{}, false
	}
	e, _ := l.view.at(p)
	return Place{e.number, e.commit, e.prepare}, true
}

// Close finishes the appends that are queued, for as long as one call may
// take, and ends the log with everything that it started.
func (l *Log) Close() (err error) {
	l.once.Do(func() {
		close(l.closing)
		t := time.AfterFunc(l.cfg.Timeout, func() { close(l.giveUp) })
		<-l.stopped
		t.Stop()
		l.super.close()
		<-l.followed
		if err = errors.Join(l.tree.close(), l.view.file.close()); err != nil {
			err = fmt.Errorf("close log %s: %w", l.cfg.Stream, err)
		}
	})
	return err
}

func (l *Log) closed() bool {
	select {
	case <-l.closing:
		return true
	default:
		return false
	}
}
