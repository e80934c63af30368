package facts

import (
	"iter"
	"slices"

	"wattbook/domain"
)

// Allocation is GPUs that serve a customer.
type Allocation struct {
	domain.GPUAllocationStarted
	End domain.Instant // 0: not known to have ended
}

// gpus are the allocations of a site in the order of the log.
type gpus struct {
	all   []Allocation
	index map[string]int // into all, by the scheduler's key
	of    map[domain.CustomerID][]int
	ended map[string]domain.Instant // of those whose start is not known yet
}

// start books an allocation. It reports false if the key has started before:
// what is on record stands, or the first would run on for ever.
func (g *gpus) start(e domain.GPUAllocationStarted) bool {
	if _, ok := g.index[e.Allocation]; ok {
		return false
	}
	g.index[e.Allocation] = len(g.all)
	g.of[e.Customer] = append(g.of[e.Customer], len(g.all))
	g.all = append(g.all, Allocation{e, g.ended[e.Allocation]})
	delete(g.ended, e.Allocation)
	return true
}

// end books the end of an allocation. A scheduler may tell it before the
// start; it is kept until then.
func (g *gpus) end(e domain.GPUAllocationEnded) bool {
	i, ok := g.index[e.Allocation]
	switch {
	case !ok && g.ended[e.Allocation] == 0:
		g.ended[e.Allocation] = e.At
	case ok && g.all[i].End == 0:
		g.all[i].End = e.At
	default:
		return false
	}
	return true
}

// Allocated books an allocation as a whole, for who has its start and end from
// elsewhere than from their events: nothing else is to be told of it.
func (f *Facts) Allocated(a Allocation) {
	g := f.gpusOf(a.Site)
	g.of[a.Customer] = append(g.of[a.Customer], len(g.all))
	g.all = append(g.all, a)
}

// GPUAllocations returns the allocations of a site in the order of the log.
func (f *Facts) GPUAllocations(site domain.SiteID) []Allocation {
	if g := f.gpus[site]; g != nil {
		return g.all
	}
	return nil
}

// AllocationsOf yields the allocations of a customer at a site, in the order of
// the log.
func (f *Facts) AllocationsOf(site domain.SiteID, customer domain.CustomerID) iter.Seq[Allocation] {
	return func(yield func(Allocation) bool) {
		g := f.gpus[site]
		if g == nil {
			return
		}
		for _, i := range g.of[customer] {
			if !yield(g.all[i]) {
				return
			}
		}
	}
}

// During returns how much GPU time the allocation gave in the interval, in
// whole milliseconds counted from its start, so that the times of adjacent
// intervals sum to that of both. One that is not known to have ended runs on.
func (a Allocation) During(iv domain.Interval) domain.GPUTime {
	part := iv.Overlap(domain.Interval{Start: a.At, End: iv.End})
	if a.End != 0 {
		part.End = min(part.End, a.End)
	}
	if !part.Valid() {
		return 0
	}
	ms := part.End.Sub(a.At)/domain.Millisecond - part.Start.Sub(a.At)/domain.Millisecond
	return domain.GPUTime(int64(ms) * a.GPUs)
}

// Calendar finds the allocations of a short interval among those of a long
// one: a month has thousands, five minutes have a few.
type Calendar struct {
	days map[domain.Instant][]Allocation // that gave GPU time on a UTC day, in the order of the log
}

// Calendar returns the allocations of a site that gave GPU time in the
// interval and that keep accepts. What During finds is complete for intervals
// inside it.
func (f *Facts) Calendar(site domain.SiteID, iv domain.Interval, keep func(Allocation) bool) Calendar {
	return calendar(slices.Values(f.GPUAllocations(site)), iv, keep)
}

// CalendarOf is [Facts.Calendar] of a customer.
func (f *Facts) CalendarOf(site domain.SiteID, customer domain.CustomerID, iv domain.Interval) Calendar {
	return calendar(f.AllocationsOf(site, customer), iv, func(Allocation) bool { return true })
}

func calendar(all iter.Seq[Allocation], iv domain.Interval, keep func(Allocation) bool) Calendar {
	c := Calendar{map[domain.Instant][]Allocation{}}
	for a := range all {
		in := iv.Overlap(domain.Interval{Start: a.At, End: iv.End})
		if a.End != 0 {
			in.End = min(in.End, a.End)
		}
		if !in.Valid() || !keep(a) {
			continue
		}
		for day := in.Start.Floor(domain.Day); day < in.End; day = day.Add(domain.Day) {
			c.days[day] = append(c.days[day], a)
		}
	}
	return c
}

// During yields the allocations that may have given GPU time in the interval,
// each once.
func (c Calendar) During(iv domain.Interval) iter.Seq[Allocation] {
	return func(yield func(Allocation) bool) {
		for day := iv.Start.Floor(domain.Day); day < iv.End; day = day.Add(domain.Day) {
			for _, a := range c.days[day] {
				if day <= iv.Start || day <= a.At { // or the day before had it
					if !yield(a) {
						return
					}
				}
			}
		}
	}
}
