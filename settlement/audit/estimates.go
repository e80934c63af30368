package audit

import (
	"cmp"
	"fmt"
	"slices"

	"wattbook/domain"
	"wattbook/domain/wire"
	"wattbook/projections/estimation"
)

// made names what was estimated in one go: the event that says how and the
// readings that hold the values have the same evidence.
type made struct {
	site     domain.SiteID
	evidence domain.Digest
}

// estimates are the estimates of a log, as they are found in it.
type estimates struct {
	said   []*estimate
	values map[made]*estimatedReadings
}

// estimate is an estimate on record, and what its method comes to.
type estimate struct {
	rec     domain.Recorded
	e       domain.ReadingsEstimated
	derived []estimation.Value
	err     error
}

// estimatedReadings are readings that are marked as estimated.
type estimatedReadings struct {
	rec      domain.Recorded // of the first ones
	readings []domain.Reading
}

// estimate redoes an estimate by its method, where it was made.
func (a *auditor) estimate(rec domain.Recorded, e domain.ReadingsEstimated) {
	one := &estimate{rec: rec, e: e}
	if _, ok := a.facts.Site(e.Site); !ok {
		one.err = fmt.Errorf("site %s is not registered", e.Site)
	} else if one.derived, one.err = estimation.Of(a.facts, e.Site, e.Device, e.Interval, e.Method); one.err == nil && len(one.derived) == 0 {
		one.err = fmt.Errorf("nothing of %s was missing in %s", e.Device, e.Interval)
	}
	a.estimates.said = append(a.estimates.said, one)
}

// take keeps the estimated readings of an event.
func (a *auditor) take(rec domain.Recorded) {
	batch, ok := rec.Event.(domain.ReadingsRecorded)
	if !ok {
		return
	}
	for _, r := range batch.Readings {
		if r.Mark != domain.MarkEstimated {
			continue
		}
		k := made{batch.Site, batch.Origin.Evidence}
		if a.estimates.values[k] == nil {
			rec.Event = nil // the readings are kept, not the batch
			a.estimates.values[k] = &estimatedReadings{rec: rec}
		}
		a.estimates.values[k].readings = append(a.estimates.values[k].readings, r)
	}
}

// compareEstimates compares the estimates on record with what their methods
// come to: the event of each, and each reading with it. An estimated reading
// without such an event is one that nobody answers for.
func (a *auditor) compareEstimates() {
	slices.SortFunc(a.estimates.said, func(x, y *estimate) int { return cmp.Compare(x.rec.Position, y.rec.Position) })
	for _, one := range a.estimates.said {
		k := made{one.e.Site, one.e.Origin.Evidence}
		var on []domain.Reading
		if v := a.estimates.values[k]; v != nil {
			on = v.readings
			delete(a.estimates.values, k)
		}
		a.compareEstimate(one, on)
	}
	var rest []*estimatedReadings
	for _, v := range a.estimates.values {
		rest = append(rest, v)
	}
	slices.SortFunc(rest, func(x, y *estimatedReadings) int { return cmp.Compare(x.rec.Position, y.rec.Position) })
	for _, v := range rest {
		a.count(kindEstimates, v.rec, fmt.Sprintf("estimate of %s for %s", v.readings[0].Device, v.readings[0].Interval), nil,
			fmt.Sprintf("%d reading(s) are marked as estimated, and no event says by what method and who had them made", len(v.readings)))
	}
}

func (a *auditor) compareEstimate(one *estimate, on []domain.Reading) {
	e := one.e
	what := fmt.Sprintf("estimate of %s for %s by %s", e.Device, e.Interval, e.Method)
	if one.err != nil {
		a.count(kindEstimates, one.rec, what, nil, one.err.Error())
		return
	}
	derived := e
	derived.Interval = domain.Interval{Start: one.derived[0].Interval.Start, End: one.derived[len(one.derived)-1].Interval.End}
	derived.Intervals, derived.Value = int64(len(one.derived)), domain.Int128{}
	for _, v := range one.derived {
		derived.Value = derived.Value.Add(domain.Int(int64(v.Energy)))
	}
	want, got, err := encodings(e, derived)
	if err != nil {
		a.count(kindEstimates, one.rec, what, nil, err.Error())
		return
	}
	why := ""
	if string(want) != string(got) {
		why = difference(want, got)
	}
	slices.SortStableFunc(on, func(x, y domain.Reading) int { return cmp.Compare(x.Interval.Start, y.Interval.Start) })
	for i, v := range one.derived {
		got = fmt.Appendf(got, "\n%s %d", v.Interval, v.Energy)
		if why == "" {
			why = unlike(e, v, on, i)
		}
	}
	if why == "" && len(on) > len(one.derived) {
		why = fmt.Sprintf("the reading for %s is marked as estimated on record, and was not missing", on[len(one.derived)].Interval)
	}
	a.count(kindEstimates, one.rec, what, got, why)
}

// unlike says how the reading on record that has a number is not an estimated
// value, or nothing.
func unlike(e domain.ReadingsEstimated, v estimation.Value, on []domain.Reading, i int) string {
	if i >= len(on) || on[i].Interval.Start > v.Interval.Start {
		return fmt.Sprintf("the reading for %s is absent on record, and %s when it is derived", v.Interval, v.Energy)
	}
	r := on[i]
	if r.Device != e.Device || r.Channel != e.Channel || r.Interval != v.Interval {
		return fmt.Sprintf("a reading of %s, %s for %s is marked as estimated on record, and was not missing", r.Device, r.Channel, r.Interval)
	}
	if r.Value != domain.Int(int64(v.Energy)) {
		value := fmt.Sprint(r.Value)
		if mWh, ok := r.Value.Int64(); ok {
			value = domain.Energy(mWh).String()
		}
		return fmt.Sprintf("the reading for %s is %s on record, and %s when it is derived", v.Interval, value, v.Energy)
	}
	return ""
}

// encodings returns the canonical bytes of two events.
func encodings(recorded, derived domain.Event) (want, got []byte, err error) {
	if _, want, err = wire.Encode(recorded); err != nil {
		return nil, nil, err
	}
	_, got, err = wire.Encode(derived)
	return want, got, err
}
