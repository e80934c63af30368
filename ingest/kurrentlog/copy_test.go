package kurrentlog_test

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/eventlog/proof"
	"wattbook/ingest/kurrentlog"
	"wattbook/ingest/kurrentlog/server"
)

// history returns what another log recorded: streams that take turns, metadata
// and payloads of all kinds, at uneven times.
func history(rng *rand.Rand, n int) []eventlog.Record {
	var all []eventlog.Record
	next := map[eventlog.Stream]eventlog.Revision{}
	at := domain.Instant(rng.Int64N(1 << 50))
	for i := range n {
		s := eventlog.Stream(fmt.Sprintf("things-%d", rng.IntN(9)))
		r := eventlog.Record{
			Position: domain.Position(i), Stream: s, Revision: next[s], ID: domain.EventIDOf("history", fmt.Sprint(i)),
			Type: fmt.Sprintf("thing.happened/%d", rng.IntN(4)), RecordedAt: at, Payload: make([]byte, rng.IntN(400)),
		}
		switch rng.IntN(40) {
		case 0:
			r.Payload = make([]byte, 70<<10+rng.IntN(80<<10))
		case 1:
			r.Metadata = eventlog.Metadata{"$correlationId": "c", "k\xff": "v", "wattbook.recorded": "mine"}
		case 2:
			r.Payload, r.Metadata = []byte(`{"a":1}`), eventlog.Metadata{"zone": "Zürich"}
		}
		for k := range r.Payload {
			if len(r.Metadata) == 0 {
				r.Payload[k] = byte(rng.Uint32())
			}
		}
		next[s]++
		at += 1 + domain.Instant(rng.Int64N(1_000_000))
		all = append(all, r)
	}
	return all
}

func from(records []eventlog.Record) iter.Seq2[eventlog.Record, error] {
	return func(yield func(eventlog.Record, error) bool) {
		for _, r := range records {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func rootOf(records []eventlog.Record) (root tlog.Hash) {
	var t proof.Tree
	for _, r := range records {
		t.Add(nil, r, domain.DigestOf(r.Payload))
	}
	return t.Root()
}

func records(t *testing.T, log eventlog.Log) (all []eventlog.Record) {
	t.Helper()
	for r, err := range log.ReadAll(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

func sameTree(t *testing.T, log *kurrentlog.Log, want []eventlog.Record) {
	t.Helper()
	size, root, err := log.Tree()
	if err != nil || int(size) != len(want) || root != rootOf(want) {
		t.Errorf("%d events with the root %s, %v; want %d with %s", size, root, err, len(want), rootOf(want))
	}
}

// TestExtendKeepsEveryField brings a history in several goes, through a server
// that fails, and reads it back.
func TestExtendKeepsEveryField(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	want := history(rng, 3000)
	s := start(t, server.Config{})
	away := errors.New("the source went away")
	for done := 0; done < len(want); {
		log := open(t, s.URL(), hurried, small)
		head, err := log.Head(t.Context())
		if err != nil || int(head) < done || int(head) > len(want) {
			t.Fatalf("head %d, %v; %d events were brought", head, err, done)
		}
		faults := slices.DeleteFunc(script(rng, 6, 10), func(f server.Fault) bool {
			return f.Do == server.Behind // a log that is opened there does not have what was brought
		})
		s.Inject(faults...)
		done = min(len(want), int(head)+700+rng.IntN(900))
		err = log.Extend(t.Context(), func(yield func(eventlog.Record, error) bool) {
			for _, r := range want[head:done] {
				if !yield(r, nil) {
					return
				}
			}
			yield(eventlog.Record{}, away)
		})
		if !errors.Is(err, away) {
			t.Fatalf("extend: %v; faults %v", err, faults)
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
	log := open(t, s.URL())
	got := records(t, log)
	if len(got) != len(want) {
		t.Fatalf("the copy has %d events, want %d", len(got), len(want))
	}
	for i := range want {
		if !bytes.Equal(eventlog.AppendRecord(nil, want[i]), eventlog.AppendRecord(nil, got[i])) {
			t.Fatalf("event %d: got %.500v, want %.500v", i, got[i], want[i])
		}
	}
	sameTree(t, log, want)
	for _, i := range []int{0, 1234, len(want) - 1} {
		if r, ok, err := log.Find(t.Context(), want[i].ID); err != nil || !ok || r.Position != want[i].Position {
			t.Errorf("find event %d: %d, %t, %v", i, r.Position, ok, err)
		}
	}
	if _, ok, err := log.Find(t.Context(), domain.EventIDOf("none")); ok || err != nil {
		t.Errorf("find an event that is not there: %t, %v", ok, err)
	}
	// The log goes on, later than what was brought, whatever the server's clock.
	r := mustAppend(t, log, write("things-1", eventlog.Exists, draft("more", 0)))
	more := records(t, log)
	if last := more[len(more)-1]; int(r.First) != len(want) || last.RecordedAt <= want[len(want)-1].RecordedAt {
		t.Errorf("an append after the copy: %+v, recorded at %s", r, last.RecordedAt)
	}
	sameTree(t, log, more)
	agree(t, s, log)
}

// TestExtendRefusesWhatCannotBeNext brings records that do not fit.
func TestExtendRefusesWhatCannotBeNext(t *testing.T) {
	t.Parallel()
	good := history(rand.New(rand.NewPCG(1, 1)), 40)
	s := start(t, server.Config{})
	log := open(t, s.URL())
	if err := log.Extend(t.Context(), from(good[:20])); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(r []eventlog.Record)
		want   string
	}{
		"a position that is there": {func(r []eventlog.Record) { r[0].Position-- }, "event at position 19: the next one of the log is 20"},
		"a position left out":      {func(r []eventlog.Record) { r[1].Position++ }, "the next one of the log is 21"},
		"another revision":         {func(r []eventlog.Record) { r[2].Revision++ }, "events"},
		"a time before":            {func(r []eventlog.Record) { r[0].RecordedAt = good[19].RecordedAt }, "event at position 20: it is recorded at"},
		"an id that is there":      {func(r []eventlog.Record) { r[3].ID = good[3].ID }, "is on record with other content"},
		"no id":                    {func(r []eventlog.Record) { r[0].ID = domain.EventID{} }, "event at position 20"},
		"no stream":                {func(r []eventlog.Record) { r[0].Stream = "x" }, "event at position 20"},
	} {
		bad := slices.Clone(good[20:])
		c.change(bad)
		if err := log.Extend(t.Context(), from(bad)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if head, err := log.Head(t.Context()); head != 20 || err != nil {
			t.Fatalf("%s: head %d, %v", name, head, err)
		}
	}
	// Somebody else appends meanwhile.
	other := open(t, s.URL())
	err := log.Extend(t.Context(), func(yield func(eventlog.Record, error) bool) {
		mustAppend(t, other, write("other-1", eventlog.Any, draft("other", 0)))
		from(good[20:])(yield)
	})
	if err == nil || !strings.Contains(err.Error(), "the next one of the log is 21") {
		t.Errorf("while somebody else appends: %v", err)
	}
	// What claims to be a copy, and is not in order, is damage.
	e := part("stray", "things-1", 1, domain.EventIDOf("stray append"), 1, 1)
	e.Metadata = []byte(strings.Replace(string(e.Metadata), "{", `{"wattbook.recorded":"5",`, 1))
	s = start(t, server.Config{})
	log = open(t, s.URL())
	mustAppend(t, log, write("things-1", eventlog.None, draft("a", 0)))
	if err := s.Add(kurrentlog.DefaultStream, e); err != nil {
		t.Fatal(err)
	}
	var corrupt *eventlog.CorruptError
	if err := log.Wait(t.Context(), 1); !errors.As(err, &corrupt) || !strings.Contains(err.Error(), "it says that it was recorded at") {
		t.Errorf("a copy from before: %v", err)
	}
}

// TestTheTreeFollowsTheLog keeps the tree, damages what is kept, and opens
// another log with it.
func TestTheTreeFollowsTheLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, _ := filled(t, dir)
	want := records(t, open(t, s.URL()))
	path := filepath.Join(dir, "hashes")
	check := func(what, url string, want []eventlog.Record) {
		t.Helper()
		log := open(t, url, kept(dir))
		sameTree(t, log, want)
		hashes, err := log.ReadHashes([]int64{0, tlog.StoredHashIndex(0, int64(len(want)-1))})
		if err != nil || hashes[0] != proof.LeafHash(want[0]) || hashes[1] != proof.LeafHash(want[len(want)-1]) {
			t.Errorf("%s: hashes %v, %v", what, hashes, err)
		}
		if _, err := log.ReadHashes([]int64{tlog.StoredHashCount(int64(len(want)))}); err == nil {
			t.Errorf("%s: there is a hash beyond the tree", what)
		}
		growth, err := proof.ProveGrowth(1, int64(len(want)), log)
		if err == nil {
			err = proof.CheckGrowth(growth, proof.Checkpoint{Size: 1, Root: rootOf(want[:1])}, proof.Checkpoint{Size: int64(len(want)), Root: rootOf(want)})
		}
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
	check("first", s.URL(), want)
	whole, err := os.ReadFile(path)
	if err != nil || len(whole) != int(tlog.StoredHashCount(int64(len(want))))*tlog.HashSize {
		t.Fatalf("the tree is kept in %d bytes, %v", len(whole), err)
	}
	before := s.Sent()
	check("kept", s.URL(), want)
	if n := s.Sent() - before; n > 4 {
		t.Errorf("a tree that is kept costs reading %d events", n)
	}
	rng := rand.New(rand.NewPCG(2, 2))
	for range 6 {
		at := rng.IntN(len(whole))
		torn, flipped := slices.Clone(whole[:at]), slices.Clone(whole)
		flipped[at] ^= 1
		for what, raw := range map[string][]byte{"torn": torn, "damaged": flipped} {
			if err := os.WriteFile(path, raw, 0o644); err != nil {
				t.Fatal(err)
			}
			check(fmt.Sprint(what, " at byte ", at), s.URL(), want)
			if again, err := os.ReadFile(path); err != nil || !slices.Equal(again, whole) {
				t.Errorf("%s at byte %d: the tree that was mended is not the one that was kept: %v", what, at, err)
			}
		}
	}
	other := start(t, server.Config{})
	log := open(t, other.URL())
	mustAppend(t, log, write("things-1", eventlog.Any, draft("of another log", 0), draft("and one more", 0)))
	check("another log", other.URL(), records(t, log))
	check("the first again", s.URL(), want)
}
