// Package balance answers where a site's energy went: what the revenue meter
// counted, what each sub-meter counted, and what no meter accounts for.
package balance

import (
	"fmt"
	"iter"

	"wattbook/domain"
	"wattbook/projections/facts"
)

// Row is the balance of one metering interval:
//
//	Revenue = Metered × (1 + loss portion) + Residual
type Row struct {
	Interval domain.Interval
	Revenue  domain.Energy
	// State is how well Revenue is known.
	State facts.State
	// Branches are the sub-meters right under the revenue meter, by name: those
	// that were in service.
	Branches []Branch
	// Metered is the sum of the branches that are known.
	Metered domain.Energy
	// Losses are what the loss portion adds to Metered, rounded once, half
	// away from zero, to the milliwatt-hour.
	Losses domain.Energy
	// Residual is what remains: measurement errors, and loads without a meter.
	// It means nothing unless the row is Closed.
	Residual domain.Energy

	metered bool // the site has sub-meters, in service or not
}

// Branch is a sub-meter in one interval.
type Branch struct {
	Meter  domain.DeviceID
	Use    domain.Use
	Energy domain.Energy
	State  facts.State
}

// Closed reports whether every meter of the row is known, so that the
// residual is one of energy and not of knowledge.
func (r Row) Closed() bool {
	if r.State == facts.Unknown || len(r.Branches) == 0 && r.metered {
		return false
	}
	for _, b := range r.Branches {
		if b.State == facts.Unknown {
			return false
		}
	}
	return true
}

// Estimated reports whether any meter of the row was estimated.
func (r Row) Estimated() bool {
	for _, b := range r.Branches {
		if b.State == facts.Estimated {
			return true
		}
	}
	return r.State == facts.Estimated
}

// Use returns what the branches of a use counted together, and how well the
// worst of them is known. A use without a branch in service took nothing, if
// there are branches at all: before the first one, nothing is known.
func (r Row) Use(u domain.Use) (sum domain.Energy, state facts.State) {
	if len(r.Branches) == 0 && r.metered {
		return 0, facts.Unknown
	}
	state = facts.Metered
	for _, b := range r.Branches {
		if b.Use == u {
			sum += b.Energy
			state = min(state, b.State)
		}
	}
	return sum, state
}

// Rows yields the balance of each interval of a site in order. It yields
// nothing for a site that is not registered.
func Rows(f *facts.Facts, id domain.SiteID, iv domain.Interval) iter.Seq[Row] {
	return func(yield func(Row) bool) {
		table := f.Table(id)
		if table == nil {
			return
		}
		m := maker{facts: f, table: table, id: id}
		first, end := table.Slots(iv)
		for s := first; s < end; s++ {
			if !yield(m.row(s)) {
				return
			}
		}
	}
}

// maker makes rows; it remembers what changes seldom.
type maker struct {
	facts    *facts.Facts
	table    *facts.Table
	id       domain.SiteID
	meter    domain.DeviceID // whose branches these are
	branches []branch
}

// branch is a sub-meter, with when it went into service.
type branch struct {
	domain.DeviceRegistered
	since domain.Instant
}

// under keeps the sub-meters right under a revenue meter.
func (m *maker) under(meter domain.DeviceID) {
	m.meter, m.branches = meter, nil
	for _, d := range m.facts.Under(m.id, meter) {
		if since, _ := m.facts.Since(m.id, d.Device); d.Kind == domain.KindMeter {
			m.branches = append(m.branches, branch{d, since})
		}
	}
}

func (m *maker) row(s facts.Slot) Row {
	r := Row{Interval: m.table.Interval(s)}
	site, _ := m.facts.SiteAt(m.id, r.Interval.Start)
	if site.RevenueMeter != m.meter {
		m.under(site.RevenueMeter)
	}
	r.metered = len(m.branches) > 0
	r.Revenue, r.State = m.table.Energy(site.RevenueMeter, s)
	for _, d := range m.branches {
		if r.Interval.Start < d.since {
			continue // not there yet, which is not the same as silent
		}
		b := Branch{Meter: d.Device, Use: d.Use}
		b.Energy, b.State = m.table.Energy(d.Device, s)
		r.Metered += b.Energy
		r.Branches = append(r.Branches, b)
	}
	r.Losses = losses(r.Metered, site.LossPortion)
	r.Residual = r.Revenue - r.Metered - r.Losses
	return r
}

func losses(e domain.Energy, portion domain.Decimal) domain.Energy {
	v, _ := portion.MulInt(int64(e)).Round(0).Scaled(0)
	return domain.Energy(v.Int64())
}

// Totals are the sums of rows.
type Totals struct {
	Intervals int64
	Closed    int64 // intervals in which every meter is known
	Estimated int64 // intervals in which one was estimated
	Revenue   domain.Energy
	Uses      map[domain.Use]domain.Energy
	Losses    domain.Energy
	Residual  domain.Energy // of the closed intervals
}

// Sum adds rows up.
func Sum(rows iter.Seq[Row]) Totals {
	t := Totals{Uses: map[domain.Use]domain.Energy{}}
	for r := range rows {
		t.Intervals++
		t.Revenue += r.Revenue
		t.Losses += r.Losses
		for _, b := range r.Branches {
			t.Uses[b.Use] += b.Energy
		}
		if r.Closed() {
			t.Closed++
			t.Residual += r.Residual
		}
		if r.Estimated() {
			t.Estimated++
		}
	}
	return t
}

// Digest is the digest of rows: equal rows have equal digests, on any machine.
func Digest(rows iter.Seq[Row]) domain.Digest {
	var d domain.Digester
	for r := range rows {
		fmt.Fprintln(&d, r.Interval, int64(r.Revenue), r.State, int64(r.Losses), int64(r.Residual))
		for _, b := range r.Branches {
			fmt.Fprintln(&d, b.Meter, b.Use, int64(b.Energy), b.State)
		}
	}
	return d.Digest()
}
