// Package pebblelog keeps the event log in one Pebble database on one machine.
//
// # Assumptions and limits
//
// One process at a time: the folder is locked. A write that the file system
// has synced survives a power cut; one that was not synced may be there, be
// torn or be absent. Pebble's own checksums cover every byte that is read, and
// the Merkle tree over all events tells of what those do not.
//
// # Format
//
// One key space of five kinds of key; integers are big-endian, so keys sort by
// number:
//
//	'e' position(8)               → a block: records from the position on, each behind its length
//	                                (uvarint) as eventlog.AppendRecord writes it; a block ends with its
//	                                append, or before a record that would make it larger than 32 KiB
//	's' stream 0x00 revision(8)   → a run: position(8), count (uvarint): the stream's events at
//	                                [revision, revision + count) stand at [position, position + count)
//	'i' event id(16)              → position(8)
//	'h' number(8)                 → a chunk: stored hashes [64 × number, 64 × (number + 1)) of the
//	                                Merkle tree (package proof), 32 bytes each; the last chunk may be short
//	'm' "format"                  → "wattbook log 2"
//
// Beside the database, the file END says how far the log has come.
// testdata/format.txt is an example, byte by byte, which is also a test.
//
// All keys of an append are in one batch with those of every append that
// shares its group commit, so they are durable together or not at all.
//
// # Life of an append
//
// Append checks the events and queues them. One goroutine, the writer, takes
// what is queued as one group; for each append in turn it looks for the ids,
// checks the revisions, gives out the next positions, grows the Merkle tree and
// stages the keys. It hands the group to a second goroutine, which commits it
// with one fsync, moves the head, and answers everybody in order. While the
// disk syncs, the writer stages the next group, and the one after gathers in
// the queue: that is all the batching there is, and a full queue makes callers
// wait.
package pebblelog

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	"wattbook/domain/eventlog/proof"
)

const format = "wattbook log 2"

// cacheBytes is how much of the stored tables is kept in memory, the filters
// among them that answer for ids.
const cacheBytes = 96 << 20

var (
	// ErrInUse means that another process has the folder open.
	ErrInUse = errors.New("is in use by another process")
	// ErrDiskFull means that less than the reserve is free. Nothing was
	// recorded; appends succeed again once there is room.
	ErrDiskFull = errors.New("disk is full")
	// ErrReadOnly means that the log was opened on a disk that cannot be
	// written: it can be read, and takes no events.
	ErrReadOnly = errors.New("the disk is read-only")
)

// errFormat means that the folder holds something else.
var errFormat = errors.New("unknown format")

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
	stopped chan struct{} // closed when the last group is answered
	loaded  chan struct{} // closed when all ids on disk are in the filter
	once    sync.Once

	readOnly bool
	head     atomic.Uint64 // positions below it are durable
	chunks   chunkCache
	ended    *endMark // nil: read-only

	mu      sync.Mutex
	grown   chan struct{} // closed and replaced when the head moves
	tail    tail          // the last records, up to the head
	broken  error         // set once: the database refuses to go on
	reads   int           // iterators and lookups in use
	idle    *sync.Cond    // signals that reads fell to 0
	refused bool          // Close has begun: no new reads

	writer writer
}

var _ eventlog.Log = (*Log)(nil)

// Open opens the log in cfg.Dir, which is created if it does not exist.
// It returns an error that wraps [ErrInUse] if another process has it open,
// and an *eventlog.CorruptError if what is stored is damaged. On a disk that is
// read-only a log that is there is opened for reading.
func Open(cfg Config) (*Log, error) {
	l, err := open(cfg)
	if err != nil {
		return nil, err
	}
	groups := make(chan *group, 1)
	go l.stageGroups(groups)
	go l.commitGroups(groups)
	go l.load()
	return l, nil
}

// open opens the database and finds its end; nothing runs yet.
func open(cfg Config) (*Log, error) {
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
	readOnly := errors.Is(err, syscall.EROFS)
	if readOnly { // nobody can write: there is nothing to be locked out of
		cfg.FS = unlocked{cfg.FS}
		lock, err = pebble.LockDirectory(cfg.Dir, cfg.FS)
	}
	if err != nil && (errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) || strings.Contains(err.Error(), "lock held by current process")) {
		return nil, fmt.Errorf("open log: %s %w%s; try again when that has ended", cfg.Dir, ErrInUse, holder(cfg.FS, cfg.Dir, err))
	}
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	l := &Log{
		cfg: cfg, lock: lock, readOnly: readOnly,
		queue:   make(chan *request, queueAppends),
		closing: make(chan struct{}), stopped: make(chan struct{}), loaded: make(chan struct{}), grown: make(chan struct{}),
		writer: newWriter(),
	}
	l.idle = sync.NewCond(&l.mu)
	cache := pebble.NewCache(cacheBytes)
	defer cache.Unref()
	if err := l.openDB(cache); err != nil {
		return nil, fmt.Errorf("open log %s: %w", cfg.Dir, errors.Join(err, lock.Close()))
	}
	if readOnly {
		l.fail(ErrReadOnly)
	}
	return l, nil
}

// openDB opens the database, finds the end of the log in it, and checks that
// the log had not come further.
func (l *Log) openDB(cache *pebble.Cache) error {
	fs, dir := l.cfg.FS, l.cfg.Dir
	there, err := exists(fs, dir)
	if err != nil {
		return err
	}
	if !there && l.readOnly {
		return fmt.Errorf("the folder holds no log yet, and %w", ErrReadOnly)
	}
	was, slot, err := readEnd(fs, dir)
	if err != nil {
		return err
	}
	options := l.options(cache)
	options.ErrorIfNotExists = there
	if there && was > 0 && !l.readOnly {
		// Opening for writing lets go of what Pebble takes for torn: look first.
		options.ReadOnly = true
		if err := errors.Join(l.openAt(options, was), l.closeLook()); err != nil {
			return err
		}
		options.ReadOnly = false
	}
	if err := l.openAt(options, was); err != nil {
		return errors.Join(err, l.closeLook())
	}
	if !l.readOnly {
		l.ended, err = openEnd(fs, dir, slot)
		if is := domain.Position(l.head.Load()); err == nil && is > was {
			err = l.ended.catchUp(is) // it was behind, after a power cut
		}
		if err != nil {
			return errors.Join(err, l.db.Close())
		}
	}
	return nil
}

// openAt opens the database and finds its end, which must not be before was.
func (l *Log) openAt(options *pebble.Options, was domain.Position) (err error) {
	if l.db, err = pebble.Open(l.cfg.Dir, options); err != nil {
		return l.damage("cannot be opened", err)
	}
	if err := l.recover(options.ReadOnly); err != nil {
		return l.damage("its end cannot be read", err)
	}
	if is := domain.Position(l.head.Load()); was > is {
		return lost(l.cfg.Dir, was, is)
	}
	return nil
}

// closeLook closes the database, if it could be opened, and forgets what was
// read of it.
func (l *Log) closeLook() error {
	if l.db == nil {
		return nil
	}
	err := l.db.Close()
	l.db = nil
	l.head.Store(0)
	l.writer = newWriter()
	return err
}

func newWriter() writer {
	return writer{revisions: map[eventlog.Stream]eventlog.Revision{}, tree: new(proof.Tree)}
}

// unlocked is a file system whose files cannot be locked, since they cannot be
// written.
type unlocked struct{ vfs.FS }

func (unlocked) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

func (l *Log) options(cache *pebble.Cache) *pebble.Options {
	o := &pebble.Options{
		FS:                 l.cfg.FS,
		ReadOnly:           l.readOnly,
		Lock:               l.lock,
		FormatMajorVersion: pebble.FormatWALSyncChunks,
		MemTableSize:       64 << 20,
		Cache:              cache, // Pebble holds on to it
		// Events come in the order of their keys, so that their tables only
		// move down; what is merged again and again is the ids alone.
		MemTableStopWritesThreshold: 4,
		LBaseMaxBytes:               512 << 20,
		Logger:                      logger{l.cfg.Logger},
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) {
				l.cfg.Logger.Error("log: background work failed", "dir", l.cfg.Dir, "err", plain(err, l.cfg.Dir))
				l.fail(err)
			},
			DataCorruption: func(info pebble.DataCorruptionInfo) {
				l.cfg.Logger.Error("log: stored bytes are damaged", "path", info.Path, "err", plain(info.Details, l.cfg.Dir))
			},
		},
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10) // for the ids that the filter in memory lets through
		o.Levels[i].BlockSize = 32 << 10
	}
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionBalanced })
	return o
}

// recover reads where the log ends. A crash leaves a prefix of the groups
// that were committed, so the last block says all there is to know.
func (l *Log) recover(readOnly bool) error {
	value, closer, err := l.db.Get([]byte("mformat"))
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		if it, err := l.db.NewIter(nil); err != nil {
			return err
		} else if found := it.First(); found || it.Error() != nil {
			return errors.Join(fmt.Errorf("%w: the folder holds a database that is not a wattbook log", errFormat), it.Error(), it.Close())
		} else if err := it.Close(); err != nil {
			return err
		}
		if readOnly {
			return nil
		}
		return l.db.Set([]byte("mformat"), []byte(format), pebble.Sync)
	case err != nil:
		return err
	}
	if string(value) != format {
		err = fmt.Errorf("%w: the log is of format %.40q; this version reads %q", errFormat, value, format)
	}
	if err := errors.Join(err, closer.Close()); err != nil {
		return err
	}
	it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: []byte{'e'}, UpperBound: []byte{'e' + 1}})
	if err != nil {
		return err
	}
	w := &l.writer
	if it.Last() {
		err = eachRecord(new(eventlog.Parser), it.Key(), it.Value(), func(r eventlog.Record) bool {
			w.next, w.recorded = r.Position+1, r.RecordedAt
			return true
		})
	}
	if err := errors.Join(err, it.Error(), it.Close()); err != nil {
		return err
	}
	l.head.Store(uint64(w.next))
	if err := w.tree.Resume(int64(w.next), l); err != nil {
		return err
	}
	return w.hashes.resume(int64(w.next), l)
}

// load fills the id filter with what is on disk. Until it is done the writer
// asks the database about every id.
func (l *Log) load() {
	err := l.begin()
	if err != nil {
		return
	}
	defer l.end()
	l.writer.ids.grow(max(firstRoom, int(l.head.Load())*5/4))
	it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: []byte{'i'}, UpperBound: []byte{'i' + 1}})
	if err == nil {
		for ok := it.First(); ok; ok = it.Next() {
			if k := it.Key(); len(k) == 17 {
				l.writer.ids.add(domain.EventID(k[1:]))
			}
			select {
			case <-l.closing:
				ok = false
				_ = it.Close()
				return
			default:
			}
		}
		err = errors.Join(it.Error(), it.Close())
	}
	if err != nil {
		l.cfg.Logger.Warn("log: ids are looked for on disk, since they could not all be read", "dir", l.cfg.Dir, "err", err)
		return
	}
	close(l.loaded)
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
		if broken != nil && !l.readOnly {
			// Pebble's commit pipeline holds locks that nobody will release:
			// closing it would hang. What was acknowledged is on disk.
			err = errors.Join(l.ended.close(), l.lock.Close())
			return
		}
		err = l.closeDB()
		if err != nil {
			err = fmt.Errorf("close log %s: %w", l.cfg.Dir, err)
		}
	})
	return err
}

func (l *Log) closeDB() error {
	err := l.db.Close()
	if l.ended != nil {
		err = errors.Join(err, l.ended.close())
	}
	return errors.Join(err, l.lock.Close())
}

// Wait implements [eventlog.Log].
func (l *Log) Wait(ctx context.Context, position domain.Position) error {
	for {
		l.mu.Lock()
		grown := l.grown
		l.mu.Unlock()
		if domain.Position(l.head.Load()) > position {
			return nil
		}
		select {
		case <-grown:
		case <-l.closing:
			return eventlog.ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
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
