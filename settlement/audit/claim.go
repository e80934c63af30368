package audit

import (
	"errors"
	"fmt"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/wire"
	"wattbook/projections/facts"
	"wattbook/settlement"
	"wattbook/settlement/pools"
)

// Claim picks the events that a reconciliation of a pool's day follows from,
// so that it can be computed again from them alone.
type Claim struct {
	position domain.Position // of the reconciliation
	drawn    domain.PayoutReconciled
}

// ClaimOf returns what picks the events of a reconciliation that is on record
// at a position.
func ClaimOf(at domain.Position, drawn domain.PayoutReconciled) *Claim { return &Claim{at, drawn} }

// Picks reports whether the reconciliation follows from an event, or is it.
func (c *Claim) Picks(rec domain.Recorded) bool {
	if rec.Position == c.position {
		return true
	}
	if rec.Position >= c.drawn.AsOf {
		return false
	}
	day := c.drawn.Interval
	switch e := rec.Event.(type) {
	case domain.SiteRegistered:
		return e.Site == c.drawn.Site
	case domain.DeviceRegistered:
		return e.Site == c.drawn.Site && (e.Kind == domain.KindMiner || e.Kind == domain.KindMeter) // by meters, miners work for an account
	case domain.ReadingsRecorded:
		if e.Site != c.drawn.Site {
			return false
		}
		for _, r := range e.Readings {
			if (r.Channel == domain.ChannelShares || r.Channel == domain.ChannelHashes) && r.Mark.Books() && r.Interval.Overlap(day).Valid() {
				return true
			}
		}
	case domain.DifficultyAdjusted:
		return e.At < day.End
	case domain.BlockFeesPublished:
		return e.Interval.Start < day.End
	case domain.PoolStatementReceived:
		return e.Pool == c.drawn.Pool && e.Account == c.drawn.Account
	case domain.PoolPayoutStated, domain.PayoutReceived, domain.PayoutReversed:
		return true // one transaction may pay several accounts
	}
	return false
}

// RecomputedClaim is a reconciliation that came out of the events of its claim.
type RecomputedClaim struct {
	Drawn    domain.PayoutReconciled
	Readings int64
	Events   int
}

// RecomputeClaim draws the last reconciliation among the events again, from
// the others alone. It is an error if it is not the one that is on record, to
// the satoshi and to the word.
func RecomputeClaim(records []eventlog.Record) (RecomputedClaim, error) {
	var out RecomputedClaim
	f := facts.New()
	for _, r := range records {
		rec, err := wire.Open(r)
		if err != nil {
			return out, err
		}
		if drawn, ok := rec.Event.(domain.PayoutReconciled); ok {
			out.Drawn = drawn
			continue
		}
		f.Skip(rec.Position)
		if err := f.Apply(rec); err != nil {
			return out, fmt.Errorf("event at position %d: %w", rec.Position, err)
		}
		if batch, ok := rec.Event.(domain.ReadingsRecorded); ok {
			out.Readings += int64(len(batch.Readings))
		}
		out.Events++
	}
	d := out.Drawn
	if !d.Interval.Valid() {
		return out, errors.New("none of the events is a reconciliation")
	}
	f.Skip(d.AsOf)
	f.Recorded = max(f.Recorded, d.Interval.End) // it was drawn after its day
	if _, ok := f.Site(d.Site); !ok {
		return out, fmt.Errorf("site %s is not registered by the events", d.Site)
	}
	again, err := pools.Draw(f, pools.AccountOf(f, d.Site, d.Pool, d.Account), d.Interval)
	switch {
	case len(again) != 1:
		return out, fmt.Errorf("the day %s cannot be drawn from the events: %w", d.Interval, err)
	case !settlement.Same(again[0], d.Reconciliation):
		return out, fmt.Errorf("the reconciliation of %s does not follow from the events: its difference is %d sat, theirs %d sat",
			d.Interval, d.Expected-d.Received, again[0].Expected-again[0].Received)
	}
	return out, nil
}
