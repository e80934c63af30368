// Package evidence keeps the raw bytes that sources received, by their digest.
//
// Blobs are compressed and kept in a database of their own beside the log:
// they may be dropped by age without touching a single event, since an event
// holds the digest, and whoever still has the bytes can show that they are the
// ones. A blob is durable before the event that names it is appended.
package evidence

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"regexp"
	"strings"
	"sync"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/klauspost/compress/zstd"

	"wattbook/domain"
)

// BlobLimit is the greatest size of a blob: 64 MiB, the size of a large
// imported file.
const BlobLimit = 64 << 20

var (
	// ErrNotKept means that no bytes of the digest are kept, or not any more.
	ErrNotKept = errors.New("no bytes of this digest are kept")
	// ErrInUse means that another process has the folder open.
	ErrInUse = errors.New("is in use by another process")
)

// Store is a folder of blobs. It is safe for concurrent use, but for one thing:
// of two calls that keep the same new bytes at once, the second may call them
// durable when only the first has.
type Store struct {
	db   *pebble.DB
	pack *zstd.Encoder
	open *zstd.Decoder
}

// Open opens the store in dir, which is created if it does not exist.
func Open(dir string, logger *slog.Logger) (*Store, error) {
	return OpenOn(vfs.Default, dir, logger)
}

// OpenOn is [Open] on another file system than the disk's.
func OpenOn(disk vfs.FS, dir string, logger *slog.Logger) (*Store, error) {
	o := &pebble.Options{
		FS:                 disk,
		FormatMajorVersion: pebble.FormatWALSyncChunks,
		Logger:             quiet{logger},
		MemTableSize:       16 << 20,
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionNone }) // blobs are compressed already
	if err := disk.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("open evidence %s: %w", dir, err)
	}
	there, err := exists(disk, dir)
	if err != nil {
		return nil, fmt.Errorf("open evidence %s: %w", dir, err)
	}
	o.ErrorIfNotExists = there
	db, err := pebble.Open(dir, o)
	if err != nil && (errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) || strings.Contains(err.Error(), "lock held by current process")) {
		return nil, fmt.Errorf("open evidence: %s %w; try again when that has ended", dir, ErrInUse)
	}
	if err != nil {
		return nil, fmt.Errorf("open evidence %s: %w", dir, inWords(err))
	}
	pack, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2))
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	unpack, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(2*BlobLimit))
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &Store{db: db, pack: pack, open: unpack}, nil
}

// inWords says in words of the folder what the store says of a file of it that
// is gone.
func inWords(err error) error {
	gone := regexp.MustCompile(`file (\d{6}) \(type sstable\)`).FindStringSubmatch(err.Error())
	if gone == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return fmt.Errorf("its file %s.sst is gone, and raw replies with it; put it back, or restore a backup (the log is not touched by it)", gone[1])
}

// exists reports whether dir holds a store. What is left of one, without the
// file that says which of the others count, is an error: a store made there
// anew would delete the rest.
func exists(disk vfs.FS, dir string) (bool, error) {
	found, err := pebble.Peek(dir, disk)
	if err != nil || found.Exists {
		return err == nil, err
	}
	files, err := disk.List(dir)
	if err != nil {
		return false, err
	}
	for _, name := range files {
		if ext := path.Ext(name); ext == ".sst" || ext == ".log" {
			return false, fmt.Errorf("%s is there, and the file that says what belongs to the store (marker.manifest) is not; restore a backup", name)
		}
	}
	return false, nil
}

// Put keeps the blobs and returns their digests, in order, at once. They are
// durable when durable, which may be called more than once, has returned no
// error. The digest of an empty blob is zero: there is nothing to keep. The
// blobs must not change before durable returns.
func (s *Store) Put(ctx context.Context, blobs ...[]byte) (digests []domain.Digest, durable func() error, err error) {
	digests = make([]domain.Digest, len(blobs))
	for i, b := range blobs {
		if len(b) > BlobLimit {
			return nil, nil, fmt.Errorf("keep evidence: %d bytes, limit %d", len(b), BlobLimit)
		}
		if len(b) > 0 {
			digests[i] = domain.DigestOf(b)
		}
	}
	kept := make(chan error, 1)
	go func() { kept <- s.keep(ctx, digests, blobs) }() // while the caller goes on
	return digests, sync.OnceValue(func() error { return <-kept }), nil
}

// keep compresses and syncs the blobs that are not there yet.
func (s *Store) keep(ctx context.Context, digests []domain.Digest, blobs [][]byte) error {
	batch := s.db.NewBatch()
	defer batch.Close()
	for i, b := range blobs {
		if len(b) == 0 {
			continue
		}
		_, closer, err := s.db.Get(digests[i][:])
		if err == nil {
			if err := closer.Close(); err != nil {
				return err
			}
			continue
		}
		if !errors.Is(err, pebble.ErrNotFound) {
			return fmt.Errorf("keep evidence %s: %w", digests[i].Short(), err)
		}
		if err := batch.Set(digests[i][:], s.pack.EncodeAll(b, nil), nil); err != nil {
			return fmt.Errorf("keep evidence %s: %w", digests[i].Short(), err)
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if batch.Empty() {
		return nil
	}
	return s.commit(batch)
}

// commit syncs the batch. Pebble calls its logger's Fatalf, which panics here,
// when its commit pipeline fails (a full disk, a disk that went away).
func (s *Store) commit(batch *pebble.Batch) (err error) {
	defer func() {
		if p := recover(); p != nil {
			f, ok := p.(fatal)
			if !ok {
				panic(p)
			}
			err = fmt.Errorf("keep evidence: %w", f)
		}
	}()
	return batch.Commit(pebble.Sync)
}

// Get returns the bytes of a digest, checked against it. It returns an error
// that wraps [ErrNotKept] if they are not there.
func (s *Store) Get(_ context.Context, digest domain.Digest) ([]byte, error) {
	v, closer, err := s.db.Get(digest[:])
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, fmt.Errorf("evidence %s: %w", digest, ErrNotKept)
	}
	if err != nil {
		return nil, fmt.Errorf("evidence %s: %w", digest, err)
	}
	b, err := s.open.DecodeAll(v, nil)
	if err = errors.Join(err, closer.Close()); err != nil {
		return nil, fmt.Errorf("evidence %s: %w", digest, err)
	}
	if got := domain.DigestOf(b); got != digest {
		return nil, fmt.Errorf("evidence %s is damaged: its bytes have digest %s", digest, got)
	}
	return b, nil
}

// Backup makes a copy of the store in dir, which must not exist, while the
// store goes on. It holds every blob that is durable.
func (s *Store) Backup(dir string) error {
	if err := s.db.Checkpoint(dir, pebble.WithFlushedWAL()); err != nil {
		return fmt.Errorf("back up evidence to %s: %w", dir, err)
	}
	return nil
}

// Close closes the store.
func (s *Store) Close() error {
	s.open.Close()
	return errors.Join(s.pack.Close(), s.db.Close())
}

// fatal is what Pebble gave up with.
type fatal string

func (f fatal) Error() string { return string(f) }

// quiet passes Pebble's words on.
type quiet struct{ log *slog.Logger }

func (q quiet) Infof(format string, args ...any)  { q.log.Debug(fmt.Sprintf(format, args...)) }
func (q quiet) Errorf(format string, args ...any) { q.log.Error(fmt.Sprintf(format, args...)) }
func (q quiet) Fatalf(format string, args ...any) { panic(fatal(fmt.Sprintf(format, args...))) }
