// Package estimation answers what a meter would have counted in intervals that
// nobody read, by methods that are named and can be done again on paper.
//
// In the formulas E(m, t) is what meter m counted in the metering interval t,
// in milliwatt-hours, and d is a UTC day:
//
//   - previous-day-same-interval: E(m, t − k×d), with the least k from 1 to 7
//     for which it was metered.
//   - mean-of-neighbours: (E(m, a) + E(m, b)) ÷ 2, with the last interval a
//     before the gap and the first interval b after it; both must be metered.
//   - residual-of-balance: E(p, t) ÷ (1 + loss) − Σ E(s, t), with the meter p
//     above m, the other meters s right under p that are in service, and the
//     site's loss portion if p is its revenue meter (0 if not); all must be
//     metered.
//
// A value is rounded once, half away from zero, to the milliwatt-hour. What a
// method rests on is metered: an estimate is never made from another one.
// Utilities' rules for the validation, editing and estimation of interval data
// know the three as historical, linear and substitution from a check meter.
package estimation

import (
	"fmt"

	"wattbook/domain"
	"wattbook/projections/facts"
)

// days is how far back a like day may lie.
const days = 7

// Value is the estimate of one interval.
type Value struct {
	Interval domain.Interval
	Energy   domain.Energy
	Rests    []Basis // on what it rests, in the order of the formula
}

// Basis is a metered value.
type Basis struct {
	Meter  domain.DeviceID
	At     domain.Instant // start of its interval
	Energy domain.Energy
}

// Missing returns the intervals in a span in which a meter is in service and
// not known.
func Missing(f *facts.Facts, site domain.SiteID, meter domain.DeviceID, in domain.Interval) []domain.Interval {
	table := f.Table(site)
	since, ok := f.Since(site, meter)
	if table == nil || !ok {
		return nil
	}
	var all []domain.Interval
	first, end := table.Slots(in)
	for s := first; s < end; s++ {
		if _, state := table.Energy(meter, s); state == facts.Unknown && table.Interval(s).Start >= since {
			all = append(all, table.Interval(s))
		}
	}
	return all
}

// Of estimates the intervals of a span in which a meter is not known. It is an
// error if the method cannot: it names the interval and what is missing for it.
func Of(f *facts.Facts, site domain.SiteID, meter domain.DeviceID, in domain.Interval, method domain.EstimateMethod) ([]Value, error) {
	e := estimator{facts: f, table: f.Table(site), site: site, meter: meter}
	var one func(domain.Interval) (Value, error)
	switch method {
	case domain.PreviousDay:
		one = e.previousDay
	case domain.MeanOfNeighbours:
		one = e.neighbours
	case domain.BalanceResidual:
		one = e.residual
	default:
		return nil, fmt.Errorf("method %q is not known; want one of %q", method, domain.EstimateMethods())
	}
	var all []Value
	for _, iv := range Missing(f, site, meter, in) {
		v, err := one(iv)
		if err != nil {
			return nil, fmt.Errorf("estimate %s of %s by %s: %w", iv, meter, method, err)
		}
		v.Interval = iv
		all = append(all, v)
	}
	return all, nil
}

type estimator struct {
	facts *facts.Facts
	table *facts.Table
	site  domain.SiteID
	meter domain.DeviceID
}

// metered returns what a meter counted in the interval that begins at an
// instant.
func (e estimator) metered(meter domain.DeviceID, at domain.Instant) (Basis, bool) {
	v, state := e.table.Energy(meter, e.table.SlotOf(at))
	return Basis{meter, at, v}, state == facts.Metered
}

func (e estimator) previousDay(iv domain.Interval) (Value, error) {
	for k := range domain.Duration(days) {
		if b, ok := e.metered(e.meter, iv.Start.Add(-(k+1)*domain.Day)); ok {
			return Value{Energy: b.Energy, Rests: []Basis{b}}, nil
		}
	}
	return Value{}, fmt.Errorf("on none of the %d days before it was the meter read in this interval", days)
}

// reach is how far from an interval its neighbours may lie: a longer gap says
// nothing of what was drawn in it.
const reach = domain.Day

func (e estimator) neighbours(iv domain.Interval) (Value, error) {
	find := func(by domain.Duration) (Basis, error) {
		for at := iv.Start.Add(by); at.Sub(iv.Start) <= reach && iv.Start.Sub(at) <= reach; at = at.Add(by) {
			_, state := e.table.Energy(e.meter, e.table.SlotOf(at))
			b, metered := e.metered(e.meter, at)
			switch {
			case metered:
				return b, nil
			case state == facts.Estimated:
				return b, fmt.Errorf("its neighbour at %s is an estimate itself", at)
			}
		}
		return Basis{}, fmt.Errorf("it has no neighbour within %s", reach)
	}
	before, err := find(-e.table.Step)
	if err != nil {
		return Value{}, err
	}
	after, err := find(e.table.Step)
	if err != nil {
		return Value{}, err
	}
	mean := domain.Quo(domain.NewDecimal(int64(before.Energy), 0).Add(domain.NewDecimal(int64(after.Energy), 0)), domain.NewDecimal(2, 0), 0)
	v, ok := mean.Int64(0)
	if !ok {
		return Value{}, fmt.Errorf("the mean %s does not fit", mean)
	}
	return Value{Energy: domain.Energy(v), Rests: []Basis{before, after}}, nil
}

func (e estimator) residual(iv domain.Interval) (Value, error) {
	own, _ := e.facts.Device(e.site, e.meter)
	if own.Under == "" {
		return Value{}, fmt.Errorf("no meter stands above %s", e.meter)
	}
	above, ok := e.metered(own.Under, iv.Start)
	if !ok {
		return Value{}, fmt.Errorf("meter %s above it was not read", own.Under)
	}
	v := Value{Rests: []Basis{above}}
	gross := domain.NewDecimal(1, 0)
	if site, _ := e.facts.SiteAt(e.site, iv.Start); site.RevenueMeter == own.Under {
		gross = gross.Add(site.LossPortion)
	}
	rest := domain.NewDecimal(int64(above.Energy), 0)
	var others domain.Decimal
	for _, d := range e.facts.Under(e.site, own.Under) {
		if since, _ := e.facts.Since(e.site, d.Device); d.Kind != domain.KindMeter || d.Device == e.meter || iv.Start < since {
			continue
		}
		b, ok := e.metered(d.Device, iv.Start)
		if !ok {
			return Value{}, fmt.Errorf("meter %s beside it was not read", d.Device)
		}
		v.Rests = append(v.Rests, b)
		others = others.Add(domain.NewDecimal(int64(b.Energy), 0))
	}
	whole, ok := domain.Quo(rest.Sub(gross.Mul(others)), gross, 0).Int64(0)
	if !ok || whole < 0 {
		return Value{}, fmt.Errorf("the meters beside it counted more than the meter above it, by %s", domain.Energy(-whole))
	}
	v.Energy = domain.Energy(whole)
	return v, nil
}
