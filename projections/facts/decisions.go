package facts

import (
	"slices"

	"wattbook/domain"
)

// Decision is what is kept of an allocation decision: its event, at the
// position, says the rest.
type Decision struct {
	Interval domain.Interval
	Position domain.Position
	Rests    domain.Power // of the mining loads that do not run
}

// decisions are those of a site. There is one for every metering interval, of
// all its loads, so only the last is kept whole.
type decisions struct {
	all  []Decision // in the order of the log
	last domain.AllocationDecided
}

func (f *Facts) decide(e domain.AllocationDecided, p domain.Position) {
	d := f.decisions[e.Site]
	if d == nil {
		d = &decisions{}
		f.decisions[e.Site] = d
	}
	power := map[domain.DeviceID]domain.Power{}
	for _, l := range e.Inputs.Loads {
		power[l.Load] += l.Power
	}
	of := Decision{Interval: e.Interval, Position: p}
	for _, c := range e.Choices {
		if c.Use == domain.UseMining && !c.On {
			of.Rests += power[c.Load]
		}
	}
	d.all, d.last = append(d.all, of), e
}

// Decisions returns the allocation decisions of a site in the order of the log.
func (f *Facts) Decisions(site domain.SiteID) []Decision {
	if d := f.decisions[site]; d != nil {
		return d.all
	}
	return nil
}

// LastDecision returns the last decision of a site in the order of the log.
func (f *Facts) LastDecision(site domain.SiteID) (domain.AllocationDecided, bool) {
	if d := f.decisions[site]; d != nil {
		return d.last, true
	}
	return domain.AllocationDecided{}, false
}

// DecisionAt returns the last decision for the interval that t is in.
func (f *Facts) DecisionAt(site domain.SiteID, t domain.Instant) (Decision, bool) {
	for _, d := range slices.Backward(f.Decisions(site)) {
		if d.Interval.Contains(t) {
			return d, true
		}
	}
	return Decision{}, false
}
