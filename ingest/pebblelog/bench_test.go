package pebblelog_test

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/eventlog/proof"
	"wattbook/ingest/pebblelog"
)

// The benchmarks that compare with other stores on the same disk are in the
// module bench; make bench runs both.

func benchLog(b *testing.B, dir string) *pebblelog.Log {
	b.Helper()
	var now atomic.Int64
	log, err := pebblelog.Open(pebblelog.Config{
		Dir: dir, Now: func() domain.Instant { return domain.Instant(now.Add(1)) }, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	return log
}

// benchDraft is an event of 256 bytes.
func benchDraft(n uint64) eventlog.Draft {
	d := eventlog.Draft{Type: "thing.happened/1", Payload: make([]byte, 256)}
	rng := rand.NewPCG(n, 1)
	for i := 0; i < 256; i += 8 {
		binary.LittleEndian.PutUint64(d.Payload[i:], rng.Uint64())
	}
	binary.LittleEndian.PutUint64(d.ID[:], rng.Uint64())
	binary.LittleEndian.PutUint64(d.ID[8:], rng.Uint64())
	return d
}

func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct{ producers, batch int }{{1, 1}, {8, 1}, {64, 1}, {1, 1000}, {4, 1000}} {
		b.Run(fmt.Sprintf("producers=%d/batch=%d", c.producers, c.batch), func(b *testing.B) {
			log := benchLog(b, b.TempDir())
			defer log.Close()
			var n atomic.Uint64
			var wg sync.WaitGroup
			b.ResetTimer()
			for p := range c.producers {
				wg.Go(func() {
					stream := eventlog.Stream(fmt.Sprintf("things-%d", p))
					for {
						first := n.Add(uint64(c.batch)) - uint64(c.batch)
						if first >= uint64(b.N) {
							return
						}
						w := eventlog.Write{Stream: stream, Expect: eventlog.Any}
						for i := range c.batch {
							w.Events = append(w.Events, benchDraft(first+uint64(i)))
						}
						if _, err := log.Append(b.Context(), w); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkVerify recomputes the tree from the events of a log.
func BenchmarkVerify(b *testing.B) {
	log, n := filled(b, 200_000)
	defer log.Close()
	b.ResetTimer()
	for range b.N {
		if _, err := proof.Verify(b.Context(), log, log, nil, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkProve builds and checks the proof that an event is in the log.
func BenchmarkProve(b *testing.B) {
	log, n := filled(b, 200_000)
	defer log.Close()
	size, root, err := log.Tree()
	if err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	b.ResetTimer()
	for range b.N {
		at := rng.Int64N(int64(n))
		p, err := tlog.ProveRecord(int64(size), at, log)
		if err != nil {
			b.Fatal(err)
		}
		h, err := log.ReadHashes([]int64{tlog.StoredHashIndex(0, at)})
		if err != nil {
			b.Fatal(err)
		}
		if err := tlog.CheckRecord(p, int64(size), root, at, h[0]); err != nil {
			b.Fatal(err)
		}
	}
}

// filled returns a log of n events.
func filled(b *testing.B, n int) (*pebblelog.Log, int) {
	b.Helper()
	log := benchLog(b, b.TempDir())
	for first := 0; first < n; first += 1000 {
		w := eventlog.Write{Stream: "things-1", Expect: eventlog.Any}
		for i := range 1000 {
			w.Events = append(w.Events, benchDraft(uint64(first+i)))
		}
		if _, err := log.Append(b.Context(), w); err != nil {
			b.Fatal(err)
		}
	}
	return log, n
}
