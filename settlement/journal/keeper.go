package journal

import (
	"errors"
	"fmt"

	"wattbook/domain"
	"wattbook/projections/facts"
)

// Keeper keeps the books of a site while its log grows: the same books that
// [Build] derives, without folding the log again. It holds what the books rest
// on but no readings; what accrues comes from facts that another keeps.
//
// Who follows a log tells each event (Tell), draws each closed period that
// was told from the facts of its time (Draw), says which intervals have
// changed (Forget), and then asks for the entries (Entries).
type Keeper struct {
	b     *builder
	told  []domain.Recorded
	next  domain.Position
	drawn map[domain.Position]accrued // by the position of the closing
}

// NewKeeper returns the books of a site before the first event.
func NewKeeper(site domain.SiteID) *Keeper {
	k := &Keeper{b: newBuilder(site, nil), drawn: map[domain.Position]accrued{}}
	k.b.kept = newMemory()
	return k
}

// Tell tells the next event of the log.
func (k *Keeper) Tell(rec domain.Recorded) {
	k.next = rec.Position + 1
	k.b.keep(rec) // a closing may be drawn before the events told are booked
	switch rec.Event.(type) {
	case domain.ReadingsRecorded, domain.AllocationDecided:
		return // the books know them by what accrues
	}
	k.told = append(k.told, rec)
}

// Draw accrues a closed period, whose closing is at a position, from what was
// known when it was closed: the facts at its AsOf, or any that say the same of
// its interval.
func (k *Keeper) Draw(closing domain.Position, c domain.PeriodClosed, f *facts.Facts) error {
	kept := k.b.kept
	k.b.kept = memory{} // it is of another time
	defer func() { k.b.kept = kept }()
	of, err := k.b.accrue(f, c.Interval, drawn(f, c.AsOf, false))
	if err != nil {
		return fmt.Errorf("journal: closing of %s at position %d: %w", c.Period, closing, err)
	}
	k.drawn[closing] = of
	return nil
}

// Forget lets go of what accrued in the days since an instant: what is known
// of them has changed.
func (k *Keeper) Forget(since domain.Instant) {
	k.b.kept.forget(since)
}

// Entries returns the entries that the events told since the last call book
// for good, and those that are pending with what is known at the head of the
// log, which replace the pending ones of the last call. A closing that was told
// and not drawn is an error.
func (k *Keeper) Entries(f *facts.Facts) (booked, pending []Entry, err error) {
	if f.Next != k.next {
		return nil, nil, fmt.Errorf("journal: the facts are at position %d, and the events told end at %d", f.Next, k.next)
	}
	b := k.b
	for _, rec := range k.told {
		if c, ok := rec.Event.(domain.PeriodClosed); ok && c.Site == b.site {
			of, ok := k.drawn[rec.Position]
			if !ok {
				return nil, nil, fmt.Errorf("journal: closing of %s at position %d was not drawn", c.Period, rec.Position)
			}
			b.closed = append(b.closed, c)
			b.accrued[c.Period] = of
			delete(k.drawn, rec.Position)
		}
		b.facts.Skip(rec.Position)
		if err := b.apply(rec); err != nil {
			return nil, nil, fmt.Errorf("journal: event at position %d: %w", rec.Position, err)
		}
	}
	k.told = nil
	b.facts.Skip(k.next)
	fresh := newMemory()
	b.fresh = &fresh
	pending, err = b.pending(f)
	b.kept, b.fresh = fresh, nil
	if err != nil {
		return nil, nil, fmt.Errorf("journal: %w", err)
	}
	booked, b.entries = b.entries, nil
	for _, of := range [][]Entry{booked, pending} {
		for _, e := range of {
			if bad := e.Check(); bad != nil {
				err = errors.Join(err, fmt.Errorf("journal: event at position %d: %w", e.Position, bad))
			}
		}
	}
	return booked, pending, err
}
