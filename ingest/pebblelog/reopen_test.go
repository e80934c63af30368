package pebblelog_test

import (
	"testing"

	"wattbook/domain/eventlog"
	"wattbook/domain/eventlog/logtest"
)

func TestConformanceWhenReopened(t *testing.T) {
	logtest.RunReopened(t, func(t *testing.T) func() eventlog.Log {
		dir := t.TempDir()
		return func() eventlog.Log { return open(t, dir) }
	})
}
