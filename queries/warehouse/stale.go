package warehouse

import "wattbook/domain"

// stale says from when on conclusions about intervals may differ from what
// was drawn before: no fact changes what is concluded for an interval before
// the one that the fact is about.
type stale struct{ since domain.Instant }

// beginning is before every interval, and later than what overflows.
const beginning = domain.Instant(-1 << 61)

// everything is stale.
func everything() stale { return stale{beginning} }

// nothing is stale.
func nothing() stale { return stale{1<<63 - 1} }

// learn widens s by what an event changes.
func (s *stale) learn(e domain.Event) {
	from := func(t domain.Instant) { s.since = min(s.since, t) }
	switch e := e.(type) {
	case domain.SiteRegistered, domain.DeviceRegistered:
		from(beginning)
	case domain.ReadingsRecorded:
		for _, r := range e.Readings {
			if r.Mark.Books() {
				from(r.Interval.Start)
			}
		}
	case domain.PowerPriced:
		from(e.Series.Start)
	case domain.BitcoinPriced:
		from(e.Series.Start)
	case domain.DifficultyAdjusted:
		from(e.At)
	case domain.BlockFeesPublished: // they stand in for later days until those are published
		from(e.Interval.Start)
	case domain.GPUAllocationStarted:
		from(e.At)
	case domain.GPUAllocationEnded:
		from(e.At)
	case domain.ContractSigned:
		from(e.Start)
	}
}
