package warehouse

import (
	"cmp"
	"slices"

	"wattbook/domain"
)

// stale says from when on conclusions about intervals may differ from what
// was drawn before: no fact changes what is concluded for an interval before
// the one that the fact is about, but for the other intervals of a day that a
// pool has stated ([margin.Around]): the day's amount is divided over them all.
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
	case domain.PoolStatementReceived:
		from(e.Interval.Start)
	case domain.ReadingsEstimated: // what it says is in readings
	case domain.DeviceReplaced, domain.ObservationRejected, domain.FactConflicted, domain.AllocationDecided,
		domain.PayoutReceived, domain.PayoutReversed, domain.PoolPayoutStated, domain.DifferenceMarked, domain.PayoutReconciled,
		domain.PeriodClosed, domain.InvoiceIssued, domain.InvoiceVoided, domain.NoteIssued,
		domain.PaymentReceived, domain.PrepaymentReceived, domain.ServiceCreditClaimed, domain.UtilityBilled, domain.CoinSold, domain.PaymentReversed:
		// Nothing is concluded from them for an interval: their days, months and
		// invoices are drawn at every publication.
	default:
		from(beginning) // of an event that is not known here, anything
	}
}

// touches say from when on conclusions may differ from what they were at an
// earlier position. They are kept by position, to the day, without those that
// an earlier instant at a later position makes idle: so the instants rise too.
type touches []touch

type touch struct {
	position domain.Position
	since    domain.Instant
}

// add adds what an event changes. A device that is registered changes what is
// concluded only where the digests of a closing tell it.
func (t *touches) add(p domain.Position, e domain.Event) {
	s := nothing()
	if _, ok := e.(domain.DeviceRegistered); ok {
		return
	}
	if s.learn(e); s == nothing() {
		return
	}
	since := s.since
	if since != beginning {
		since = since.Floor(domain.Day)
	}
	all := *t
	for len(all) > 0 && all[len(all)-1].since >= since {
		all = all[:len(all)-1]
	}
	*t = append(all, touch{p, since})
}

// since returns from when on the events at positions from one on may have
// changed what is concluded.
func (t touches) since(from domain.Position) domain.Instant {
	i, _ := slices.BinarySearchFunc(t, from, func(x touch, p domain.Position) int { return cmp.Compare(x.position, p) })
	if i == len(t) {
		return nothing().since
	}
	return t[i].since
}
