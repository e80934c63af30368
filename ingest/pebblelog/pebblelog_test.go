package pebblelog_test

import (
	"log/slog"
	"sync/atomic"
	"testing"

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
