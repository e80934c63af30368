package settlement

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/wire"
	"wattbook/projections/facts"
	"wattbook/settlement/pools"
)

// Difference is the unexplained difference of an earning day, and what became
// of it.
type Difference struct {
	Unexplained domain.Satoshi          `json:"unexplained_satoshi"`
	Status      domain.DifferenceStatus `json:"status,omitempty"` // empty if nothing is unexplained
	Days        int64                   `json:"age_days"`         // whole days since the earning day was over
	By          string                  `json:"by,omitempty"`
	Note        string                  `json:"note,omitempty"`
}

// Standing returns how the unexplained difference of a day stands at a time. A
// difference that is not the one that was marked is open again.
func Standing(f *facts.Facts, r domain.Reconciliation, now domain.Instant) Difference {
	d := Difference{Unexplained: r.Unexplained(), Days: max(0, int64(now.Sub(r.Interval.End)/domain.Day))}
	if d.Unexplained == 0 {
		return d
	}
	d.Status = domain.DifferenceOpen
	if m, ok := f.Marked(r.Pool, r.Account, r.Interval.Start); ok && m.Unexplained == d.Unexplained {
		d.Status, d.By, d.Note = m.Status, m.By, m.Note
	}
	return d
}

// Mark records what a person decided about the unexplained difference of a day
// of an account. Marking it again in the same way records nothing. It is an
// error if nothing of the day is unexplained, or if its difference is not known.
func (s *Settler) Mark(ctx context.Context, a pools.Account, day domain.Instant, status domain.DifferenceStatus, by, note string) (domain.DifferenceMarked, error) {
	fail := func(err error) (domain.DifferenceMarked, error) {
		return domain.DifferenceMarked{}, fmt.Errorf("mark the difference of %s/%s on %s: %w", a.Terms.Pool, a.Terms.Account, day, err)
	}
	if !slices.Contains(domain.DifferenceStatuses(), status) {
		return fail(fmt.Errorf("status %q is not known; want one of %q", status, domain.DifferenceStatuses()))
	}
	if by == "" {
		return fail(errors.New("nobody is named who decided it"))
	}
	stream := eventlog.Stream(fmt.Sprintf("reconciliation-%s.%s", a.Terms.Pool, a.Terms.Account))
	for {
		n, err := s.Log.Next(ctx, stream)
		if err != nil {
			return fail(err)
		}
		if err := s.Refresh(ctx); err != nil {
			return fail(err)
		}
		r, err := DayOf(s.Facts, a, day)
		if err != nil {
			return fail(err)
		}
		m := domain.DifferenceMarked{
			Site: a.Site, AsOf: s.Facts.Next, Pool: a.Terms.Pool, Account: a.Terms.Account, Interval: r.Interval,
			Unexplained: r.Unexplained(), Status: status, By: by, Note: note,
		}
		if m.Unexplained == 0 {
			return fail(errors.New("nothing of it is unexplained"))
		}
		if before, ok := s.Facts.Marked(m.Pool, m.Account, m.Interval.Start); ok {
			same := m
			same.AsOf = before.AsOf
			if same == before {
				return before, nil
			}
		}
		event, err := wire.Draft(MarkID(m), m, nil)
		if err != nil {
			return fail(err)
		}
		_, err = s.Log.Append(ctx, eventlog.Write{Stream: stream, Expect: eventlog.After(n), Events: []eventlog.Draft{event}})
		switch {
		case errors.Is(err, eventlog.ErrWrongExpectedRevision) || errors.Is(err, eventlog.ErrIdempotencyConflict):
			continue // somebody else was first: see what there is to say now
		case err != nil:
			return fail(err)
		}
		return m, s.Refresh(ctx)
	}
}

// MarkID returns the id of the event that records a mark.
func MarkID(m domain.DifferenceMarked) domain.EventID {
	return domain.EventIDOf("difference", string(m.Pool), m.Account, m.Interval.String(), fmt.Sprint(m.AsOf))
}

// DayOf draws the reconciliation of the earning day of an account that begins
// on a UTC day. It is an error if it is not over, or if what is expected is not
// known.
func DayOf(f *facts.Facts, a pools.Account, day domain.Instant) (domain.Reconciliation, error) {
	start := day.Floor(domain.Day)
	all, err := pools.Draw(f, a, domain.Interval{Start: start, End: start.Add(2 * domain.Day)})
	for _, r := range all {
		if r.Interval.Start < start.Add(domain.Day) {
			return r, nil
		}
	}
	if err == nil {
		err = errors.New("the day is not over")
	}
	return domain.Reconciliation{}, err
}
