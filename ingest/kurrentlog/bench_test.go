package kurrentlog_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/ingest/kurrentlog"
	"wattbook/ingest/kurrentlog/server"
)

// The server of these benchmarks is in memory, in this process: they measure
// the log, the client and the protocol, not a disk or a network.

func opened(b *testing.B, s *server.Server, dir string) *kurrentlog.Log {
	b.Helper()
	log, err := kurrentlog.Open(b.Context(), kurrentlog.Config{URL: s.URL(), Dir: dir, Logger: quiet()})
	if err != nil {
		b.Fatal(err)
	}
	return log
}

func drafts(n *atomic.Int64, count, size int) []eventlog.Draft {
	events := make([]eventlog.Draft, count)
	for i := range events {
		id := domain.EventIDOf("bench", fmt.Sprint(n.Add(1)))
		events[i] = eventlog.Draft{ID: id, Type: "thing.happened/1", Payload: make([]byte, size)}
	}
	return events
}

func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct{ writers, events int }{{1, 1}, {64, 1}, {1, 1000}, {4, 1000}} {
		b.Run(fmt.Sprintf("writers=%d/events=%d", c.writers, c.events), func(b *testing.B) {
			s, err := server.Start(server.Config{})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			log := opened(b, s, "")
			defer log.Close()
			var n, left atomic.Int64
			left.Store(int64(b.N))
			var wg sync.WaitGroup
			b.ResetTimer()
			for w := range c.writers {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						if _, err := log.Append(b.Context(), write(eventlog.Stream(fmt.Sprintf("things-%d", w)), eventlog.Any, drafts(&n, c.events, 256)...)); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N*c.events)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

func BenchmarkOpenAndRead(b *testing.B) {
	const events = 20000
	s, err := server.Start(server.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	dir := b.TempDir()
	log := opened(b, s, dir)
	var n atomic.Int64
	for range events / 1000 {
		if _, err := log.Append(b.Context(), write("things-1", eventlog.Any, drafts(&n, 1000, 256)...)); err != nil {
			b.Fatal(err)
		}
	}
	report := func(b *testing.B) { b.ReportMetric(float64(b.N*events)/b.Elapsed().Seconds(), "events/s") }
	b.Run("read", func(b *testing.B) {
		for range b.N {
			for _, err := range log.ReadAll(b.Context(), 0) {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
		report(b)
	})
	if err := log.Close(); err != nil {
		b.Fatal(err)
	}
	for name, dir := range map[string]string{"open/view=none": "", "open/view=kept": dir} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				if err := opened(b, s, dir).Close(); err != nil {
					b.Fatal(err)
				}
			}
			report(b)
		})
	}
}
