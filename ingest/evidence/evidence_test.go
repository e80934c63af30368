package evidence_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"wattbook/domain"
	"wattbook/ingest/evidence"
)

func open(t *testing.T, dir string) *evidence.Store {
	t.Helper()
	s, err := evidence.Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, s *evidence.Store, blobs ...[]byte) []domain.Digest {
	t.Helper()
	digests, durable, err := s.Put(t.Context(), blobs...)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // it may be asked again
		if err := durable(); err != nil {
			t.Fatal(err)
		}
	}
	return digests
}

func TestBytesComeBackByTheirDigestAfterReopening(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	blobs := [][]byte{[]byte("a reply"), nil, bytes.Repeat([]byte{0, 255, 7}, 100_000), []byte("a reply")}
	digests := put(t, s, blobs...)
	if digests[0] != domain.DigestOf(blobs[0]) || !digests[1].IsZero() || digests[3] != digests[0] {
		t.Errorf("digests %v", digests)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	defer s.Close()
	for _, i := range []int{0, 2} {
		got, err := s.Get(t.Context(), digests[i])
		if err != nil || !bytes.Equal(got, blobs[i]) {
			t.Errorf("blob %d: %d bytes, %v", i, len(got), err)
		}
	}
	if _, err := s.Get(t.Context(), domain.DigestOf([]byte("another"))); !errors.Is(err, evidence.ErrNotKept) {
		t.Errorf("bytes that were never kept: %v", err)
	}
}

func TestManyKeepAtOnce(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 20 {
				blob := fmt.Appendf(nil, "reply %d of %d", n, i%4) // some keep the same
				digests, durable, err := s.Put(t.Context(), blob)
				if err := errors.Join(err, durable()); err != nil {
					t.Error(err)
					return
				}
				if got, err := s.Get(t.Context(), digests[0]); err != nil || !bytes.Equal(got, blob) {
					t.Errorf("%q: %v", got, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestOneProcessAtATime(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer s.Close()
	if _, err := evidence.Open(dir, slog.New(slog.DiscardHandler)); !errors.Is(err, evidence.ErrInUse) {
		t.Errorf("a second store on the folder: %v", err)
	}
}

func TestWhatIsTooLargeIsRefused(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	if _, _, err := s.Put(t.Context(), make([]byte, evidence.BlobLimit+1)); err == nil || !strings.Contains(err.Error(), "limit 67108864") {
		t.Errorf("got %v", err)
	}
}

// TestDamagedBytesAreNeverReturned changes bytes of every stored file and
// holds that reading tells of it, or gives what was kept.
func TestDamagedBytesAreNeverReturned(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	blob := bytes.Repeat([]byte("a reply of a miner "), 500)
	digest := put(t, s, blob)[0]
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	damaged := 0
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil || len(raw) == 0 {
			continue
		}
		for _, at := range []int{0, len(raw) / 2, len(raw) - 1} {
			trial := filepath.Join(t.TempDir(), "evidence")
			if err := os.CopyFS(trial, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			bad := bytes.Clone(raw)
			bad[at] ^= 0x40
			if err := os.WriteFile(filepath.Join(trial, filepath.Base(f)), bad, 0o644); err != nil {
				t.Fatal(err)
			}
			if !whole(t, trial, digest, blob) {
				damaged++
			}
		}
	}
	if damaged == 0 {
		t.Error("no damage was noticed")
	}
}

// whole reports whether a store gives the blob. One that gives other bytes
// fails the test.
func whole(t *testing.T, dir string, digest domain.Digest, blob []byte) bool {
	t.Helper()
	s, err := evidence.Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		return false
	}
	defer s.Close()
	got, err := s.Get(t.Context(), digest)
	if err == nil && !bytes.Equal(got, blob) {
		t.Errorf("%s: other bytes were returned", dir)
	}
	return err == nil
}

// TestAStoreWithoutItsMarkerIsNotMadeAnew takes the file away that says which
// of the others count: they are left as they are.
func TestAStoreWithoutItsMarkerIsNotMadeAnew(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	_, durable, err := s.Put(t.Context(), []byte("a reply"))
	if err := errors.Join(err, durable(), s.Close()); err != nil {
		t.Fatal(err)
	}
	markers, err := filepath.Glob(filepath.Join(dir, "marker.manifest.*"))
	if err != nil || len(markers) != 1 {
		t.Fatalf("markers: %q, %v", markers, err)
	}
	if err := os.Remove(markers[0]); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := evidence.Open(dir, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "restore a backup") {
			t.Errorf("open without the marker: %v", err)
		}
	}
}

// TestAFileThatIsGoneIsNamed deletes a table of the store: the error says which
// file, and what to do.
func TestAFileThatIsGoneIsNamed(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	put(t, s, []byte("a reply"))
	for range 2 { // what was written is in a table once the store is opened again
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, dir)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatalf("tables: %v, %v", tables, err)
	}
	if err := os.Remove(tables[0]); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("open evidence %s: its file %s is gone, and raw replies with it; put it back, or restore a backup (the log is not touched by it)", dir, filepath.Base(tables[0]))
	if _, err := evidence.Open(dir, slog.New(slog.DiscardHandler)); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
