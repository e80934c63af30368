package eventlog_test

import (
	"sync/atomic"
	"testing"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/eventlog/logtest"
)

func TestMem(t *testing.T) {
	logtest.Run(t, func(*testing.T) eventlog.Log {
		var n atomic.Int64
		// The clock steps back every few ticks, as clocks do.
		return eventlog.NewMem(func() domain.Instant { i := n.Add(1); return domain.Instant(1_000_000 + i - 5*(i%7)) })
	})
}
