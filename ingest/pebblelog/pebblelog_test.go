package pebblelog_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/eventlog/logtest"
	"wattbook/ingest/pebblelog"
)

// clock steps back every few ticks, as clocks do.
func clock() func() domain.Instant {
	var n atomic.Int64
	return func() domain.Instant { i := n.Add(1); return domain.Instant(1_000_000 + i - 5*(i%7)) }
}

func open(t *testing.T, dir string) *pebblelog.Log {
	t.Helper()
	log, err := pebblelog.Open(pebblelog.Config{Dir: dir, Now: clock(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func TestConformance(t *testing.T) {
	logtest.Run(t, func(t *testing.T) eventlog.Log { return open(t, t.TempDir()) })
}

// TestWhatIsReadFromMemoryIsWhatIsOnDisk fills a log beyond what memory keeps
// of its end, and reads from everywhere: as a follower, and after reopening.
func TestWhatIsReadFromMemoryIsWhatIsOnDisk(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	log := open(t, dir)
	payload := make([]byte, 1<<16)
	n := 0
	add := func(count, size int) {
		t.Helper()
		w := eventlog.Write{Stream: "test-1", Expect: eventlog.Any}
		for range count {
			n++
			for i := range size {
				payload[i] = byte(n * (i + 7))
			}
			w.Events = append(w.Events, eventlog.Draft{
				ID: domain.EventIDOf(fmt.Sprint(n)), Type: "tested/1", Payload: bytes.Clone(payload[:size]), Metadata: eventlog.Metadata{"n": fmt.Sprint(n)},
			})
		}
		if _, err := log.Append(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		for _, d := range w.Events { // they are the caller's again
			clear(d.Payload)
			d.Metadata["n"] = "changed"
		}
	}
	for range 8 {
		add(1+rng.IntN(900), rng.IntN(40))
		add(1+rng.IntN(8), 1<<16) // more bytes than are kept, at times
	}
	from := []domain.Position{0, 1, domain.Position(n - 1), domain.Position(n), domain.Position(n + 5)}
	for range 20 {
		from = append(from, domain.Position(rng.IntN(n)))
	}
	read := func() (digests []string) {
		for _, p := range from {
			records, bytes := 0, domain.Digester{}
			for r, err := range log.ReadAll(t.Context(), p) {
				if err != nil {
					t.Fatal(err)
				}
				records++
				_, _ = bytes.Write(eventlog.AppendRecord(nil, r))
				clear(r.Payload) // it belongs to the reader
			}
			if want := max(0, n-int(p)); records != want {
				t.Fatalf("from %d: %d records, want %d", p, records, want)
			}
			digests = append(digests, fmt.Sprintf("from %d: %s", p, bytes.Digest()))
		}
		return digests
	}
	followed := read()
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	log = open(t, dir)
	defer log.Close()
	if diff := cmp.Diff(read(), followed); diff != "" {
		t.Errorf("what was read from memory (-disk +memory):\n%s", diff)
	}
}
