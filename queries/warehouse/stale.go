package warehouse

import (
	"cmp"
	"maps"
	"slices"

	"wattbook/domain"
	"wattbook/projections/facts"
	"wattbook/projections/margin"
)

// stale says which conclusions about intervals may differ from what was drawn
// before. A reading, or a price, changes what is concluded for the
// intervals that it is about; any other fact, nothing before the interval that
// it is about. Both change also the other intervals of a day that a pool has
// stated ([margin.Around]): the day's amount is divided over them all.
//
// It is learned from the events since a position, and from facts that know
// them, so that a publisher which begins at that position learns it as well as
// one that was there.
type stale struct {
	since map[domain.SiteID]domain.Instant // of a site; "" is all of them
	hours map[staleHour]bool
	known map[domain.SiteID][]domain.Interval // where anything was known of a site before; none: not told
}

// staleHour is an hour of which intervals are stale.
type staleHour struct {
	site  domain.SiteID // "" is all of them
	start domain.Instant
}

// beginning is before every interval, and later than what overflows.
const beginning = domain.Instant(-1 << 61)

// never is after every interval.
const never = domain.Instant(1<<63 - 1)

// newStale returns that nothing is stale, of sites of which something was known
// in the given intervals.
func newStale(known map[domain.SiteID][]domain.Interval) *stale {
	return &stale{map[domain.SiteID]domain.Instant{}, map[staleHour]bool{}, known}
}

// from makes a site stale since an instant.
func (s *stale) from(site domain.SiteID, t domain.Instant) {
	if since, ok := s.since[site]; !ok || t < since {
		s.since[site] = t
	}
}

// over makes the intervals of a site stale that have a part in one.
func (s *stale) over(site domain.SiteID, iv domain.Interval) {
	for t := iv.Start.Floor(domain.Hour); t < iv.End; t = t.Add(domain.Hour) {
		s.hours[staleHour{site, t}] = true
	}
}

// sinceOf returns from when on an event changes what is concluded, and of which
// site: "" is any. It is never for an event that changes nothing.
func sinceOf(e domain.Event) (site domain.SiteID, since domain.Instant) {
	switch e := e.(type) {
	case domain.SiteRegistered:
		return e.Site, beginning
	case domain.DeviceRegistered:
		return e.Site, beginning
	case domain.ReadingsRecorded:
		since = never
		for _, r := range e.Readings {
			if r.Mark.Books() {
				since = min(since, r.Interval.Start)
			}
		}
		return e.Site, since
	case domain.PowerPriced:
		return "", e.Series.Start
	case domain.BitcoinPriced:
		return "", e.Series.Start
	case domain.DifficultyAdjusted:
		return "", e.At
	case domain.BlockFeesPublished: // they stand in for later days until those are published
		return "", e.Interval.Start
	case domain.GPUAllocationStarted:
		return e.Site, e.At
	case domain.GPUAllocationEnded:
		return e.Site, e.At
	case domain.ContractSigned:
		return e.Site, e.Start
	case domain.PoolStatementReceived:
		return "", e.Interval.Start
	case domain.ReadingsEstimated: // what it says is in readings
	case domain.DeviceReplaced, domain.ObservationRejected, domain.FactConflicted, domain.AllocationDecided,
		domain.PayoutReceived, domain.PayoutReversed, domain.PoolPayoutStated, domain.DifferenceMarked, domain.PayoutReconciled,
		domain.PeriodClosed, domain.InvoiceIssued, domain.InvoiceVoided, domain.NoteIssued,
		domain.PaymentReceived, domain.PrepaymentReceived, domain.ServiceCreditClaimed, domain.UtilityBilled, domain.CoinSold, domain.PaymentReversed:
		// Nothing is concluded from them for an interval: their days, months and
		// invoices are drawn at every publication.
	default:
		return "", beginning // of an event that is not known here, anything
	}
	return "", never
}

// learn widens s by what an event changes. The facts know the event, and may
// know later ones.
func (s *stale) learn(e domain.Event, f *facts.Facts) {
	switch e := e.(type) {
	case domain.ReadingsRecorded:
		s.read(e, f)
	case domain.PowerPriced:
		s.priced(e.Series)
	case domain.BitcoinPriced:
		s.priced(e.Series)
	default:
		if site, since := sinceOf(e); since != never {
			s.from(site, since)
		}
	}
}

// priced widens s by what prices change: of intervals that have a part in
// theirs.
func (s *stale) priced(p domain.PriceSeries) {
	s.over("", domain.Interval{Start: p.Start, End: p.Start.Add(p.Step * domain.Duration(len(p.Prices)))})
}

// read widens s by what readings change. The first reading of a device, and of
// a site, tells since when it is there, and so changes what is concluded for
// all intervals after it; one in a page of which nothing was known before makes
// rows for the whole page.
func (s *stale) read(e domain.ReadingsRecorded, f *facts.Facts) {
	table := f.Table(e.Site)
	if table == nil {
		return
	}
	start := table.Start()
	var last domain.Interval // that was told: most readings of a batch share one
	for i := range e.Readings {
		r := &e.Readings[i]
		if !r.Mark.Books() {
			continue
		}
		if since, ok := f.Since(e.Site, r.Device); ok && r.Interval.Start <= since || r.Interval.Start <= start {
			s.from(e.Site, r.Interval.Start)
		}
		if r.Interval == last || facts.TooLong(r, table.Step) {
			continue
		}
		last = r.Interval
		s.over(e.Site, last)
		for t := table.Page(last.Start); t < last.End; t = t.Add(table.PageLength()) {
			if page := (domain.Interval{Start: t, End: t.Add(table.PageLength())}); !s.wasKnown(e.Site, page) {
				s.over(e.Site, page)
			}
		}
	}
}

func (s *stale) wasKnown(site domain.SiteID, page domain.Interval) bool {
	return slices.ContainsFunc(s.known[site], func(run domain.Interval) bool { return run.Overlap(page).Valid() })
}

// first returns the first instant from which on anything is stale.
func (s *stale) first() domain.Instant {
	first := never
	for _, since := range s.since {
		first = min(first, since)
	}
	for h := range s.hours {
		first = min(first, h.start)
	}
	return first
}

// everything reports whether all conclusions about a site are stale.
func (s *stale) everything(site domain.SiteID) bool {
	_, all := s.since[""]
	_, one := s.since[site]
	return all && s.since[""] == beginning || one && s.since[site] == beginning
}

// of returns which intervals of a site are stale, in order and apart from each
// other.
func (s *stale) of(f *facts.Facts, site domain.SiteID) []domain.Interval {
	table := f.Table(site)
	var all []domain.Interval
	add := func(iv domain.Interval) {
		iv = margin.Around(f, site, iv)
		iv.Start = iv.Start.Floor(table.Step)
		all = append(all, iv)
	}
	for _, h := range slices.SortedFunc(maps.Keys(s.hours), func(a, b staleHour) int { return cmp.Compare(a.start, b.start) }) {
		if h.site != "" && h.site != site {
			continue
		}
		if n := len(all); n > 0 && all[n-1].End > h.start {
			continue // in what is around the hour before
		}
		add(domain.Interval{Start: h.start, End: h.start.Add(domain.Hour)})
	}
	for _, of := range []domain.SiteID{"", site} {
		if since, ok := s.since[of]; ok {
			if since != beginning {
				since = margin.Around(f, site, domain.Interval{Start: since, End: since + 1}).Start.Floor(table.Step)
			}
			all = append(all, domain.Interval{Start: since, End: never})
		}
	}
	return united(all)
}

// united returns intervals in order, those that touch or overlap as one.
func united(all []domain.Interval) (out []domain.Interval) {
	slices.SortFunc(all, func(a, b domain.Interval) int { return cmp.Compare(a.Start, b.Start) })
	for _, iv := range all {
		if n := len(out); n > 0 && iv.Start <= out[n-1].End {
			out[n-1].End = max(out[n-1].End, iv.End)
			continue
		}
		out = append(out, iv)
	}
	return out
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
	if _, ok := e.(domain.DeviceRegistered); ok {
		return
	}
	_, since := sinceOf(e)
	if since == never {
		return
	}
	if _, ok := e.(domain.ContractSigned); ok { // whether a commitment ends with a month depends on what is in force in the next
		since = max(beginning, since.Add(-32*domain.Day))
	}
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
		return never
	}
	return t[i].since
}
