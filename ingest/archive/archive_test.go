package archive_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/eventlog/proof"
	"wattbook/ingest/archive"
)

// filled returns a log of n events, and the checkpoint of its first size.
func filled(t testing.TB, n, size int) (*eventlog.Mem, proof.Checkpoint) {
	t.Helper()
	at := domain.Instant(0)
	log := eventlog.NewMem(func() domain.Instant { at++; return at })
	c := proof.Checkpoint{Origin: "wattbook/test", Size: int64(size)}
	var tree proof.Tree
	for i := range n {
		d := eventlog.Draft{ID: domain.EventIDOf("archive", fmt.Sprint(i)), Type: "thing.happened/1", Payload: []byte(strings.Repeat("x", i)), Metadata: eventlog.Metadata{"n": fmt.Sprint(i)}}
		if _, err := log.Append(t.Context(), eventlog.Write{Stream: eventlog.Stream(fmt.Sprintf("things-%d", i%3)), Expect: eventlog.Any, Events: []eventlog.Draft{d}}); err != nil {
			t.Fatal(err)
		}
	}
	for r, err := range log.ReadAll(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if int64(r.Position) < c.Size {
			tree.Add(nil, r, domain.DigestOf(r.Payload))
		}
	}
	c.Root = tree.Root()
	return log, c
}

func unsigned(note []byte) (proof.Checkpoint, error) { return proof.ParseCheckpoint(string(note)) }

func read(file []byte) ([]eventlog.Record, *archive.Reader, error) {
	r, err := archive.NewReader(bytes.NewReader(file), unsigned)
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	var all []eventlog.Record
	for rec, err := range r.Records() {
		if err != nil {
			return all, r, err
		}
		all = append(all, rec)
	}
	return all, r, nil
}

func TestALogComesBackAsItWas(t *testing.T) {
	for _, n := range []int{0, 1, 2, 7, 300} {
		log, c := filled(t, n+5, n) // what came after the checkpoint stays out
		var file bytes.Buffer
		if err := archive.Write(&file, log.ReadAll(t.Context(), 0), c, []byte(c.Text())); err != nil {
			t.Fatal(err)
		}
		got, r, err := read(file.Bytes())
		if err != nil {
			t.Fatalf("%d events: %v", n, err)
		}
		var want []eventlog.Record
		for rec := range log.ReadAll(t.Context(), 0) {
			if int(rec.Position) < n {
				want = append(want, rec)
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%d events come back otherwise (-want +got):\n%s", n, d)
		}
		if d := cmp.Diff(c, r.Checkpoint()); d != "" || string(r.Note()) != c.Text() {
			t.Errorf("the checkpoint comes back otherwise: %s", d)
		}
	}
}

func TestALogThatIsNotItsCheckpointIsNotWritten(t *testing.T) {
	log, c := filled(t, 9, 9)
	c.Root[3] ^= 1
	if err := archive.Write(&bytes.Buffer{}, log.ReadAll(t.Context(), 0), c, []byte(c.Text())); err == nil || !strings.Contains(err.Error(), "the checkpoint states") {
		t.Errorf("got %v", err)
	}
	c.Size = 10
	if err := archive.Write(&bytes.Buffer{}, log.ReadAll(t.Context(), 0), c, []byte(c.Text())); err == nil || !strings.Contains(err.Error(), "9 events have the root") {
		t.Errorf("got %v", err)
	}
}

// TestAnArchiveIsReadWholeOrRefused damages an archive at random.
func TestAnArchiveIsReadWholeOrRefused(t *testing.T) {
	log, c := filled(t, 60, 60)
	var file bytes.Buffer
	if err := archive.Write(&file, log.ReadAll(t.Context(), 0), c, []byte(c.Text())); err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		damaged := bytes.Clone(file.Bytes())
		switch at := rapid.IntRange(0, len(damaged)-1).Draw(t, "at"); rapid.SampledFrom([]string{"flip", "cut", "add"}).Draw(t, "how") {
		case "flip":
			damaged[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		case "cut":
			damaged = damaged[:at]
		case "add":
			damaged = append(damaged, damaged[at:]...)
		}
		all, _, err := read(damaged)
		if err == nil && len(all) == 60 {
			// A bit of the compression that means nothing may change.
			for i, r := range all {
				if r.ID != domain.EventIDOf("archive", fmt.Sprint(i)) || len(r.Payload) != i {
					t.Fatalf("event %d was read otherwise than it was written", i)
				}
			}
		} else if err == nil {
			t.Fatalf("%d events were read without an error", len(all))
		}
	})
}

func TestAFileThatIsNoArchive(t *testing.T) {
	for content, want := range map[string]string{
		"":                             "it is not an archive",
		"PAR1 and more of the parquet": "it is not an archive",
		"wattbook archive 1\n":         "the file ends too early",
		"wattbook archive 1\njunk":     "position 0",
	} {
		if _, _, err := read([]byte(content)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", content, err, want)
		}
	}
}

func TestReadingStopsWhereItFails(t *testing.T) {
	log, c := filled(t, 3, 3)
	broken := func(yield func(eventlog.Record, error) bool) {
		for r := range log.ReadAll(t.Context(), 0) {
			if !yield(r, nil) {
				return
			}
			yield(eventlog.Record{}, errors.New("disk on fire"))
			return
		}
	}
	if err := archive.Write(&bytes.Buffer{}, broken, c, nil); err == nil || !strings.Contains(err.Error(), "disk on fire") {
		t.Errorf("got %v", err)
	}
}

func FuzzRead(f *testing.F) {
	log, c := filled(f, 8, 8)
	var file bytes.Buffer
	if err := archive.Write(&file, log.ReadAll(f.Context(), 0), c, []byte(c.Text())); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes())
	f.Add([]byte("wattbook archive 1\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, r, err := read(b)
		if err == nil && r.Checkpoint().Size != int64(len(all)) {
			t.Fatalf("%d events under a checkpoint of %d", len(all), r.Checkpoint().Size)
		}
	})
}
