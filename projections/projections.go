// Package projections is the contract of everything that is derived from the
// log, and what applies the log to it.
//
// A projection is a pure fold: what it holds depends on the events before a
// position and on nothing else, not on a clock, a map's order, an environment
// variable or a random number. So two folds of the same prefix are equal, on
// any machine.
package projections

import (
	"context"
	"fmt"
	"iter"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/wire"
)

// Projection folds events in the order of their positions.
type Projection interface {
	// Apply folds the next event. An error means that the event breaks a rule
	// that recording should have kept; the projection is then of no more use.
	Apply(domain.Recorded) error
}

// Fold applies the events in [from, to) of the log, and returns the position
// of the next event. It reads to the head if the head is before to.
func Fold(ctx context.Context, log eventlog.Log, from, to domain.Position, ps ...Projection) (domain.Position, error) {
	for rec, err := range Read(ctx, log, from, to) {
		if err != nil {
			return from, fmt.Errorf("fold the log: %w", err)
		}
		for _, p := range ps {
			if err := p.Apply(rec); err != nil {
				return from, fmt.Errorf("fold event at position %d: %w", rec.Position, err)
			}
		}
		from = rec.Position + 1
	}
	return from, nil
}

// Read yields the events in [from, to) of the log, to its head if that is
// before to. It decodes ahead of who reads, on another core.
func Read(ctx context.Context, log eventlog.Log, from, to domain.Position) iter.Seq2[domain.Recorded, error] {
	return ahead(func(yield func(domain.Recorded, error) bool) {
		var opener wire.Opener
		for r, err := range log.ReadAll(ctx, from) {
			var rec domain.Recorded
			if err == nil && r.Position >= to {
				return
			}
			if err == nil {
				rec, err = opener.Open(r)
			}
			if !yield(rec, err) || err != nil {
				return
			}
		}
	})
}

// Head folds to the end of the log.
const Head = ^domain.Position(0)

// aheadEvents is how many events are decoded before they are handed over.
const aheadEvents = 16

// ahead runs an iterator beside who reads from it. When the reading ends, so
// has the iterator.
func ahead(all iter.Seq2[domain.Recorded, error]) iter.Seq2[domain.Recorded, error] {
	type read struct {
		domain.Recorded
		err error
	}
	return func(yield func(domain.Recorded, error) bool) {
		decoded, enough := make(chan []read, 2), make(chan struct{})
		go func() {
			defer close(decoded)
			var batch []read
			hand := func() bool {
				select {
				case decoded <- batch:
					batch = make([]read, 0, aheadEvents)
					return true
				case <-enough:
					return false
				}
			}
			for rec, err := range all {
				if batch = append(batch, read{rec, err}); len(batch) == aheadEvents && !hand() {
					return
				}
			}
			hand()
		}()
		defer func() {
			close(enough)
			for range decoded { // until it has ended
			}
		}()
		for batch := range decoded {
			for _, r := range batch {
				if !yield(r.Recorded, r.err) {
					return
				}
			}
		}
	}
}
