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
	var opener wire.Opener
	for r, err := range log.ReadAll(ctx, from) {
		if err != nil {
			return from, fmt.Errorf("fold the log: %w", err)
		}
		if r.Position >= to {
			return from, nil
		}
		rec, err := opener.Open(r)
		if err != nil {
			return from, fmt.Errorf("fold the log: %w", err)
		}
		for _, p := range ps {
			if err := p.Apply(rec); err != nil {
				return from, fmt.Errorf("fold event at position %d: %w", rec.Position, err)
			}
		}
		from = r.Position + 1
	}
	return from, nil
}

// Head folds to the end of the log.
const Head = ^domain.Position(0)
