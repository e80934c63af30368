// Package pebblelog keeps the event log in one Pebble database on one machine.
//
// # Assumptions and limits
//
// One process at a time: the folder is locked. A write that the file system
// has synced survives a power cut; one that was not synced may be there, be
// torn or be absent. Pebble's own checksums cover every byte that is read.
//
// # Format
//
// One key space of four kinds of key; integers are big-endian, so keys sort by
// number:
//
//	'e' position(8)               → the canonical record (eventlog.AppendRecord)
//	's' stream 0x00 revision(8)   → position(8)
//	'i' event id(16)              → position(8)
//	'm' "format"                  → "wattbook log 1"
//
// All keys of an append are in one batch with those of every append that
// shares its group commit, so they are durable together or not at all.
//
// # Life of an append
//
// Append checks the events and queues them. One goroutine, the writer, takes
// what is queued as one group; for each append in turn it looks for the ids,
// checks the revisions, gives out the next positions and stages the keys; then
// it commits the group with one fsync, moves the head, and answers everybody.
// While the disk syncs, the next group gathers in the queue: that is all the
// batching there is, and a full queue makes callers wait.
package pebblelog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"wattbook/domain"
	"wattbook/domain/eventlog"
)

const (
	format = "wattbook log 1"

	// A group commit takes at most this many appends and bytes, which bounds
	// how long the first of them waits for the last.
	groupAppends = 1024
	groupBytes   = 8 << 20

	// queued appends wait in memory; the next caller blocks.
	queueAppends = 1024

	// revisionCache bounds the streams whose length the writer remembers.
	revisionCache = 1 << 16
)

var (
	// ErrInUse means that another process has the folder open.
	ErrInUse = errors.New("is in use by another process")
	// ErrDiskFull means that less than the reserve is free. Nothing was
	// recorded; appends succeed again once there is room.
	ErrDiskFull = errors.New("disk is full")
)

// Config says how a log is opened.
type Config struct {
	Dir     string                // folder of the database; created if absent
	FS      vfs.FS                // nil: the disk
	Now     func() domain.Instant // clock that stamps records
	Logger  *slog.Logger
	Reserve uint64 // bytes that stay free on the disk; 0: 128 MiB
}

// Log is an event log in a Pebble database. Its methods are safe for
// concurrent use.
type Log struct {
	cfg     Config
	db      *pebble.DB
	lock    *pebble.Lock
	queue   chan *request
	closing chan struct{} // closed when Close begins
	stopped chan struct{} // closed when the writer has ended
	once    sync.Once

	head atomic.Uint64 // positions below it are durable

	mu      sync.Mutex
	grown   chan struct{} // closed and replaced when the head moves
	tail    tail          // the last records, up to the head
	broken  error         // set once: the database refuses to go on
	reads   int           // iterators and lookups in use
	idle    *sync.Cond    // signals that reads fell to 0
	refused bool          // Close has begun: no new reads

	// Owned by the writer.
	next      domain.Position
	recorded  domain.Instant
	revisions map[eventlog.Stream]eventlog.Revision
	pending   []eventlog.Record // of the group that is being committed, by position
}

var _ eventlog.Log = (*Log)(nil)

type request struct {
	writes  []eventlog.Write
	receipt eventlog.Receipt
	err     error
	done    chan struct{}
}

// Open opens the log in cfg.Dir, which is created if it does not exist.
// It returns an error that wraps [ErrInUse] if another process has it open,
// and an *eventlog.CorruptError if what is stored is damaged.
func Open(cfg Config) (*Log, error) {
	if cfg.FS == nil {
		cfg.FS = vfs.Default
	}
	if cfg.Reserve == 0 {
		cfg.Reserve = 128 << 20
	}
	if err := cfg.FS.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("open log %s: %w", cfg.Dir, err)
	}
	lock, err := pebble.LockDirectory(cfg.Dir, cfg.FS)
	if err != nil && (errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) || strings.Contains(err.Error(), "lock held by current process")) {
		return nil, fmt.Errorf("open log: %s %w; stop it first", cfg.Dir, ErrInUse)
	}
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	l := &Log{
		cfg: cfg, lock: lock,
		queue:   make(chan *request, queueAppends),
		closing: make(chan struct{}), stopped: make(chan struct{}), grown: make(chan struct{}),
		revisions: map[eventlog.Stream]eventlog.Revision{},
	}
	l.idle = sync.NewCond(&l.mu)
	if l.db, err = pebble.Open(cfg.Dir, l.options()); err == nil {
		if err = l.recover(); err != nil {
			err = errors.Join(err, l.db.Close())
		}
	}
	if err != nil {
		err = errors.Join(err, lock.Close())
		if pebble.IsCorruptionError(err) {
			err = &eventlog.CorruptError{Place: cfg.Dir, Err: err}
		}
		return nil, fmt.Errorf("open log %s: %w", cfg.Dir, err)
	}
	go l.write()
	return l, nil
}

func (l *Log) options() *pebble.Options {
	o := &pebble.Options{
		FS:                 l.cfg.FS,
		Lock:               l.lock,
		FormatMajorVersion: pebble.FormatWALSyncChunks,
		MemTableSize:       32 << 20,
		Logger:             logger{l.cfg.Logger},
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) {
				l.cfg.Logger.Error("log: background work failed", "dir", l.cfg.Dir, "err", err)
				l.fail(err)
			},
			DataCorruption: func(info pebble.DataCorruptionInfo) {
				l.cfg.Logger.Error("log: stored bytes are damaged", "path", info.Path, "err", info.Details)
			},
		},
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10) // an id that is new is seldom looked for on disk
		o.Levels[i].BlockSize = 32 << 10
	}
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionBalanced })
	return o
}

// recover reads where the log ends. A crash leaves a prefix of the groups
// that were committed, so the last record says all there is to know.
func (l *Log) recover() error {
	value, closer, err := l.db.Get([]byte("mformat"))
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		if it, err := l.db.NewIter(nil); err != nil {
			return err
		} else if found := it.First(); found || it.Error() != nil {
			return errors.Join(errors.New("the folder holds a database that is not a wattbook log"), it.Close())
		} else if err := it.Close(); err != nil {
			return err
		}
		return l.db.Set([]byte("mformat"), []byte(format), pebble.Sync)
	case err != nil:
		return err
	}
	if string(value) != format {
		err = fmt.Errorf("the log is of format %.40q; this version reads %q", value, format)
	}
	if err := errors.Join(err, closer.Close()); err != nil {
		return err
	}
	it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: []byte{'e'}, UpperBound: []byte{'e' + 1}})
	if err != nil {
		return err
	}
	if it.Last() {
		r, err := parse(it.Key(), it.Value())
		if err != nil {
			return errors.Join(err, it.Close())
		}
		l.next, l.recorded = r.Position+1, r.RecordedAt
		l.head.Store(uint64(l.next))
	}
	return it.Close()
}

// Append implements [eventlog.Log].
func (l *Log) Append(ctx context.Context, writes ...eventlog.Write) (eventlog.Receipt, error) {
	if err := eventlog.Check(writes); err != nil {
		return eventlog.Receipt{}, err
	}
	if err := l.failure(); err != nil {
		return eventlog.Receipt{}, err
	}
	r := &request{writes: writes, done: make(chan struct{})}
	select {
	case <-l.closing:
		return eventlog.Receipt{}, eventlog.ErrClosed
	default:
	}
	select {
	case l.queue <- r:
	case <-l.closing:
		return eventlog.Receipt{}, eventlog.ErrClosed
	case <-ctx.Done():
		return eventlog.Receipt{}, ctx.Err()
	}
	select {
	case <-r.done:
		return r.receipt, r.err
	case <-ctx.Done():
		return eventlog.Receipt{}, fmt.Errorf("append was queued and may yet be recorded: %w", ctx.Err())
	case <-l.stopped:
		select {
		case <-r.done:
			return r.receipt, r.err
		default:
			return eventlog.Receipt{}, eventlog.ErrClosed
		}
	}
}

// write is the writer: it commits one group after another until Close.
func (l *Log) write() {
	defer close(l.stopped)
	for {
		var group []*request
		select {
		case r := <-l.queue:
			group = append(group, r)
		case <-l.closing:
			select { // finish what was queued before
			case r := <-l.queue:
				group = append(group, r)
			default:
				return
			}
		}
		size := group[0].size()
	gather:
		for len(group) < groupAppends && size < groupBytes {
			select {
			case r := <-l.queue:
				group = append(group, r)
				size += r.size()
			default:
				break gather
			}
		}
		l.commit(group, size)
	}
}

func (r *request) size() int {
	n := 0
	for _, w := range r.writes {
		for _, d := range w.Events {
			n += len(d.Payload)
		}
	}
	return n
}

// commit stages the appends of a group into one batch, syncs it and answers.
func (l *Log) commit(group []*request, size int) {
	defer func() {
		for _, r := range group {
			close(r.done)
		}
	}()
	refuse := func(err error) {
		for _, r := range group {
			r.receipt, r.err = eventlog.Receipt{}, err
		}
	}
	if err := l.room(); err != nil {
		refuse(err)
		return
	}
	if len(l.revisions) >= revisionCache {
		clear(l.revisions) // between groups only: within one it holds what is staged
	}
	batch := l.db.NewBatchWithSize(size + 4096)
	defer batch.Close()
	staged := map[domain.EventID]eventlog.Record{}
	l.pending = l.pending[:0]
	before, recorded := l.next, l.recorded
	var answered []*request // appends that the batch will make true
	for _, r := range group {
		if r.receipt, r.err = l.stage(batch, staged, r.writes); r.err == nil {
			answered = append(answered, r)
		}
		if err := l.failure(); err != nil { // the database broke under our reads
			refuse(err)
			return
		}
	}
	if l.next == before {
		return // nothing new: duplicates and refusals only
	}
	// A crash before this line leaves the log as it was. A crash inside it
	// leaves either all of the group or nothing: Pebble's log holds the batch
	// as one record. A crash after it loses nothing, and whoever was not
	// answered finds the events by their ids.
	if err := l.apply(batch); err != nil {
		l.next, l.recorded = before, recorded
		l.fail(err)
		for _, r := range answered {
			r.receipt, r.err = eventlog.Receipt{}, l.failure()
		}
		return
	}
	l.mu.Lock()
	l.tail.add(l.pending)
	l.head.Store(uint64(l.next))
	close(l.grown)
	l.grown = make(chan struct{})
	l.mu.Unlock()
}

// stage checks one append against the log and the group so far, and adds its
// keys to the batch. On an error it adds nothing.
func (l *Log) stage(batch *pebble.Batch, staged map[domain.EventID]eventlog.Record, writes []eventlog.Write) (eventlog.Receipt, error) {
	known, receipt, err := eventlog.Known(writes, func(id domain.EventID) (eventlog.Record, bool, error) {
		if r, ok := staged[id]; ok {
			return r, true, nil
		}
		return l.find(id)
	})
	if known || err != nil {
		return receipt, err
	}
	lengths := make([]eventlog.Revision, len(writes))
	for i, w := range writes {
		if lengths[i], err = l.length(w.Stream); err != nil {
			return eventlog.Receipt{}, err
		}
		if !w.Expect.Met(lengths[i]) {
			return eventlog.Receipt{}, &eventlog.RevisionError{Stream: w.Stream, Want: w.Expect, Actual: lengths[i]}
		}
	}
	receipt = eventlog.Receipt{First: l.next}
	now := l.cfg.Now()
	var key, value []byte
	for i, w := range writes {
		for _, d := range w.Events {
			l.recorded = max(now, l.recorded+1)
			r := eventlog.Record{
				Position: l.next, Stream: w.Stream, Revision: lengths[i], ID: d.ID, Type: d.Type,
				RecordedAt: l.recorded, Payload: d.Payload, Metadata: d.Metadata,
			}
			place := binary.BigEndian.AppendUint64(nil, uint64(r.Position))
			value = eventlog.AppendRecord(value[:0], r)
			key = append(append(key[:0], 'e'), place...)
			// Set copies; it fails only on a closed or indexed batch.
			must(batch.Set(key, value, nil))
			key = streamKey(key[:0], w.Stream, r.Revision)
			must(batch.Set(key, place, nil))
			key = append(append(key[:0], 'i'), d.ID[:]...)
			must(batch.Set(key, place, nil))
			staged[d.ID] = r
			l.pending = append(l.pending, r)
			lengths[i]++
			l.next++
			receipt.Count++
		}
		l.revisions[w.Stream] = lengths[i]
	}
	return receipt, nil
}

// apply commits the batch with an fsync. Pebble treats an error of its commit
// pipeline as fatal and calls its logger's Fatalf, which panics here so that
// the program can say what happened and go on reading.
func (l *Log) apply(batch *pebble.Batch) (err error) {
	defer func() {
		if p := recover(); p != nil {
			f, ok := p.(fatal)
			if !ok {
				panic(p)
			}
			err = f
		}
	}()
	return l.db.Apply(batch, pebble.Sync)
}

// room refuses to write into the reserve: an append that is refused while the
// disk still works is cheaper than a database that stops in the middle.
func (l *Log) room() error {
	usage, err := l.cfg.FS.GetDiskUsage(l.cfg.Dir)
	if err != nil {
		if errors.Is(err, vfs.ErrUnsupported) {
			return nil
		}
		return fmt.Errorf("append: free space of %s: %w", l.cfg.Dir, err)
	}
	if usage.AvailBytes < l.cfg.Reserve {
		return fmt.Errorf("append: %w: %d MiB free under %s, and %d MiB are kept in reserve; nothing was recorded, make room and try again",
			ErrDiskFull, usage.AvailBytes>>20, l.cfg.Dir, l.cfg.Reserve>>20)
	}
	return nil
}

// fail records why the log cannot be written any more. Reading goes on.
func (l *Log) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken == nil {
		l.broken = fmt.Errorf("log %s stopped taking events (what is recorded stays readable; mend the cause and restart): %w", l.cfg.Dir, err)
	}
}

func (l *Log) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken
}

// begin admits a read; Close waits for its end.
func (l *Log) begin() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refused {
		return eventlog.ErrClosed
	}
	l.reads++
	return nil
}

func (l *Log) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reads--; l.reads == 0 {
		l.idle.Broadcast()
	}
}

// Close finishes the appends that are queued and the reads that have begun,
// and closes the database.
func (l *Log) Close() (err error) {
	l.once.Do(func() {
		close(l.closing)
		<-l.stopped
		l.mu.Lock()
		l.refused = true
		for l.reads > 0 {
			l.idle.Wait()
		}
		broken := l.broken
		l.mu.Unlock()
		if broken != nil {
			// Pebble's commit pipeline holds locks that nobody will release:
			// closing it would hang. What was acknowledged is on disk.
			err = l.lock.Close()
			return
		}
		err = errors.Join(l.db.Close(), l.lock.Close())
		if err != nil {
			err = fmt.Errorf("close log %s: %w", l.cfg.Dir, err)
		}
	})
	return err
}

func must(err error) {
	if err != nil {
		panic("pebblelog: stage: " + err.Error())
	}
}

// fatal is what Pebble gave up with.
type fatal string

func (f fatal) Error() string { return string(f) }

// logger passes Pebble's words on.
type logger struct{ log *slog.Logger }

func (l logger) Infof(format string, args ...any) {
	l.log.Debug(fmt.Sprintf(format, args...))
}

func (l logger) Errorf(format string, args ...any) {
	l.log.Error(fmt.Sprintf(format, args...))
}

func (l logger) Fatalf(format string, args ...any) {
	panic(fatal(fmt.Sprintf(format, args...)))
}
