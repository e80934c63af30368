package pebblelog_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/eventlog/proof"
	"wattbook/ingest/pebblelog"
)

// fill appends so many appends of one to five events to some streams.
func fill(t *testing.T, log eventlog.Log, name string, appends int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, uint64(len(name))))
	for i := range appends {
		var writes []eventlog.Write
		for j := range 1 + rng.IntN(3) {
			w := eventlog.Write{Stream: eventlog.Stream(fmt.Sprintf("things-%d", j)), Expect: eventlog.Any}
			for k := range 1 + rng.IntN(4) {
				w.Events = append(w.Events, event(fmt.Sprint(name, i, "/", j, "/", k), rng.IntN(20_000)))
			}
			writes = append(writes, w)
		}
		if _, err := log.Append(t.Context(), writes...); err != nil {
			t.Fatal(err)
		}
	}
}

func TestARestoredLogIsTheSameLog(t *testing.T) {
	source := open(t, t.TempDir())
	fill(t, source, "a", 200)
	dir := t.TempDir()
	size, root, err := pebblelog.Restore(t.Context(), config(dir), source.ReadAll(t.Context(), 0))
	if err != nil {
		t.Fatal(err)
	}
	if n, want, err := source.Tree(); err != nil || size != n || root != want {
		t.Fatalf("restored %d events with root %s; want %d and %s, %v", size, root, n, want, err)
	}
	restored := open(t, dir)
	same(t, source, restored)
	// And it goes on like any log: its ids and revisions are known.
	if r, err := restored.Append(t.Context(), eventlog.Write{Stream: "things-0", Expect: eventlog.None, Events: []eventlog.Draft{first(t, source)}}); err != nil || !r.Known || r.First != 0 {
		t.Errorf("the first event again: %+v, %v", r, err)
	}
	fill(t, source, "more", 3)
	fill(t, restored, "more", 3)
	n, _ := source.Next(t.Context(), "things-0")
	if m, err := restored.Next(t.Context(), "things-0"); err != nil || m != n {
		t.Errorf("things-0 has %d events, want %d, %v", m, n, err)
	}
	if _, err := proof.Verify(t.Context(), restored, restored, nil, nil); err != nil {
		t.Error(err)
	}
	if err := restored.VerifyIndexes(t.Context()); err != nil {
		t.Error(err)
	}
}

func first(t *testing.T, log eventlog.Log) eventlog.Draft {
	t.Helper()
	for r, err := range log.ReadAll(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		return eventlog.Draft{ID: r.ID, Type: r.Type, Payload: r.Payload, Metadata: r.Metadata}
	}
	t.Fatal("the log is empty")
	return eventlog.Draft{}
}

func same(t *testing.T, a, b eventlog.Log) {
	t.Helper()
	want, err := contents(t, a)
	if err != nil {
		t.Fatal(err)
	}
	got, err := contents(t, b)
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d events, want %d, %v", len(got), len(want), err)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("event %d is %.200s; want %.200s", i, got[i], want[i])
		}
	}
}

func TestRestoreRefusesWhatNoLogHolds(t *testing.T) {
	source := open(t, t.TempDir())
	fill(t, source, "a", 4)
	var good []eventlog.Record
	for r := range source.ReadAll(t.Context(), 0) {
		good = append(good, r)
	}
	for name, change := range map[string]func(rs []eventlog.Record) []eventlog.Record{
		"is the next one":         func(rs []eventlog.Record) []eventlog.Record { return append(rs[:2], rs[3:]...) },
		"follows":                 func(rs []eventlog.Record) []eventlog.Record { rs[2].Revision++; return rs },
		"comes twice":             func(rs []eventlog.Record) []eventlog.Record { rs[2].ID = rs[1].ID; return rs },
		"not after the event":     func(rs []eventlog.Record) []eventlog.Record { rs[2].RecordedAt = rs[1].RecordedAt; return rs },
		"category":                func(rs []eventlog.Record) []eventlog.Record { rs[2].Stream = "nocategory"; return rs },
		"event at position 2: at": func(rs []eventlog.Record) []eventlog.Record { rs[2].Type = ""; return rs },
	} {
		changed := change(append([]eventlog.Record(nil), good...))
		_, _, err := pebblelog.Restore(t.Context(), config(t.TempDir()), func(yield func(eventlog.Record, error) bool) {
			for _, r := range changed {
				if !yield(r, nil) {
					return
				}
			}
		})
		if want, _, _ := strings.Cut(name, ": at"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	dir := t.TempDir()
	fill(t, open(t, dir), "b", 1)
	if _, _, err := pebblelog.Restore(t.Context(), config(dir), source.ReadAll(t.Context(), 0)); !errors.Is(err, pebblelog.ErrInUse) {
		t.Errorf("restore over a log that is open: %v", err)
	}
}

// TestBackupWhileItIsWritten copies a log again and again while it grows.
func TestBackupWhileItIsWritten(t *testing.T) {
	log := open(t, t.TempDir())
	var wg sync.WaitGroup
	wg.Go(func() { fill(t, log, "a", 300) })
	parent := t.TempDir()
	for i := range 5 {
		before, err := log.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(parent, fmt.Sprint(i))
		if err := log.Backup(dir); err != nil {
			t.Fatal(err)
		}
		backup := open(t, dir)
		if head, err := backup.Head(t.Context()); err != nil || head < before {
			t.Errorf("the backup holds %d events of %d, %v", head, before, err)
		}
		if _, err := proof.Verify(t.Context(), backup, backup, nil, nil); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	if err := log.Backup(filepath.Join(parent, "0")); err == nil {
		t.Error("a backup was written over another one")
	}
}

// readOnly is a disk that cannot be written.
type readOnly struct{ vfs.FS }

func (readOnly) Create(name string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	return nil, fmt.Errorf("create %s: %w", name, syscall.EROFS)
}

func (readOnly) Lock(name string) (io.Closer, error) {
	return nil, fmt.Errorf("lock %s: %w", name, syscall.EROFS)
}

func (readOnly) Remove(name string) error { return fmt.Errorf("remove %s: %w", name, syscall.EROFS) }

func (readOnly) Rename(name, _ string) error {
	return fmt.Errorf("rename %s: %w", name, syscall.EROFS)
}

func TestAReadOnlyDiskIsReadAndNotWritten(t *testing.T) {
	fs := vfs.NewMem()
	log, err := openOn(t, fs, "log")
	if err != nil {
		t.Fatal(err)
	}
	fill(t, log, "a", 50)
	want, err := contents(t, log)
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	log, err = openOn(t, readOnly{fs}, "log")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := contents(t, log); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("read %d events of %d, %v", len(got), len(want), err)
	}
	if _, err := proof.Verify(t.Context(), log, log, nil, nil); err != nil {
		t.Error(err)
	}
	_, err = log.Append(t.Context(), eventlog.Write{Stream: "things-1", Expect: eventlog.Any, Events: []eventlog.Draft{event("late", 3)}})
	if !errors.Is(err, pebblelog.ErrReadOnly) || !strings.Contains(err.Error(), "stays readable") {
		t.Errorf("append: %v", err)
	}
	if err := log.Close(); err != nil {
		t.Error(err)
	}
	if _, err := openOn(t, readOnly{vfs.NewMem()}, "log"); err == nil {
		t.Error("a log was made on a disk that cannot be written")
	}
}

func config(dir string) pebblelog.Config {
	at := domain.Instant(0)
	return pebblelog.Config{Dir: dir, Now: func() domain.Instant { at++; return at }, Logger: slog.New(slog.DiscardHandler), Reserve: 1}
}

// TestARewrittenEventIsNamed rewrites a payload with the database's own means,
// so that every checksum of the storage is right.
func TestARewrittenEventIsNamed(t *testing.T) {
	dir := t.TempDir()
	log := open(t, dir)
	fill(t, log, "a", 120)
	size, root, err := log.Tree()
	if err != nil {
		t.Fatal(err)
	}
	c := proof.Checkpoint{Origin: "wattbook/test", Size: int64(size), Root: root}
	fill(t, log, "b", 10)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := pebble.Open(dir, &pebble.Options{FormatMajorVersion: pebble.FormatWALSyncChunks, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	victim := uint64(size) / 2
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{'e'}, UpperBound: []byte{'f'}})
	if err != nil {
		t.Fatal(err)
	}
	if !it.SeekLT(binary.BigEndian.AppendUint64([]byte{'e'}, victim)) {
		t.Fatal("there is no block")
	}
	key, block := bytes.Clone(it.Key()), bytes.Clone(it.Value())
	next := uint64(size)
	if it.Next() {
		next = binary.BigEndian.Uint64(it.Key()[1:])
	}
	block[len(block)-1] ^= 1 // the last byte of the block's last payload
	if err := errors.Join(it.Close(), db.Set(key, block, pebble.Sync), db.Close()); err != nil {
		t.Fatal(err)
	}
	log = open(t, dir)
	_, err = proof.Verify(t.Context(), log, log, []proof.Checkpoint{c}, nil)
	var damage *proof.Damage
	if !errors.As(err, &damage) || uint64(damage.From) != next-1 || damage.To != damage.From || damage.Contradicts == nil || damage.Contradicts.Size != c.Size {
		t.Errorf("verify says %v; the event at position %d was changed", err, next-1)
	}
}

type quiet struct{}

func (quiet) Infof(string, ...any)         {}
func (quiet) Errorf(string, ...any)        {}
func (quiet) Fatalf(f string, args ...any) { panic(fmt.Sprintf(f, args...)) }
