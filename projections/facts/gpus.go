package facts

import (
	"iter"

	"wattbook/domain"
	"wattbook/projections/scratch"
)

// Allocation is GPUs that serve a customer.
type Allocation struct {
	Customer domain.CustomerID
	GPUs     int64
	At       domain.Instant
	End      domain.Instant // 0: not known to have ended
}

// gpus are the allocations of a site in the order of the log. A customer may
// have one every hour, so they have no pointers, and lie where the cells of
// tables do.
type gpus struct {
	pool  scratch.Pool[allocations]
	pages []*allocations
	n     uint32 // allocations in them
	keys  keys   // of the scheduler
	of    map[domain.CustomerID]*chain
	ended map[string]domain.Instant // of those whose start is not known yet

	numbers map[string]uint32 // of names
	names   []string
	last    uint32 // that was asked for
}

// allocation is what is known of one; names are numbers.
type allocation struct {
	at, end, observed               domain.Instant
	started, ended                  domain.Position // of the events that said so; an end that was told before the start has none
	gpus                            int64
	customer, host, source, decoder uint32
	next                            uint32 // of the customer, plus 1; 0 is none yet
	evidence                        domain.Digest
}

// pageAllocations is how many allocations lie together.
const pageAllocations = 512

type allocations [pageAllocations]allocation

// chain is where the allocations of a customer begin and end.
type chain struct{ name, first, last uint32 }

func newGPUs(a *scratch.Area) *gpus {
	return &gpus{
		pool: scratch.PoolIn[allocations](a), keys: newKeys(a), of: map[domain.CustomerID]*chain{},
		ended: map[string]domain.Instant{}, numbers: map[string]uint32{}, names: []string{""},
	}
}

func (f *Facts) gpusOf(site domain.SiteID) *gpus {
	if f.gpus[site] == nil {
		f.gpus[site] = newGPUs(f.area)
	}
	return f.gpus[site]
}

// number returns the number of a name.
func (g *gpus) number(name string) uint32 {
	if name == "" || name == g.names[g.last] { // as almost always
		return g.last * min(1, uint32(len(name)))
	}
	n, ok := g.numbers[name]
	if !ok {
		n = uint32(len(g.names))
		g.numbers[name] = n
		g.names = append(g.names, name)
	}
	g.last = n
	return n
}

// on returns an allocation by its number.
func (g *gpus) on(n uint32) *allocation { return &g.pages[n/pageAllocations][n%pageAllocations] }

func (g *gpus) allocation(n uint32) Allocation {
	a := g.on(n)
	return Allocation{Customer: domain.CustomerID(g.names[a.customer]), GPUs: a.gpus, At: a.at, End: a.end}
}

// start books an allocation. It reports false if the key has started before:
// what is on record stands, or the first would run on for ever.
func (g *gpus) start(e domain.GPUAllocationStarted, p domain.Position) bool {
	n, there := g.keys.add(e.Allocation)
	if there {
		return false
	}
	if n%pageAllocations == 0 {
		g.pages = append(g.pages, g.pool.New())
	}
	g.n = n + 1
	c := g.of[e.Customer]
	if c == nil {
		c = &chain{name: g.number(string(e.Customer)), first: n}
		g.of[e.Customer] = c
	} else {
		g.on(c.last).next = n + 1
	}
	c.last = n
	*g.on(n) = allocation{
		at: e.At, end: g.ended[e.Allocation], started: p, gpus: e.GPUs, customer: c.name, host: g.number(e.Host),
		observed: e.Origin.Observed, source: g.number(string(e.Origin.Source)), decoder: g.number(e.Origin.Decoder), evidence: e.Origin.Evidence,
	}
	delete(g.ended, e.Allocation)
	return true
}

// end books the end of an allocation. A scheduler may tell it before the
// start; it is kept until then.
func (g *gpus) end(e domain.GPUAllocationEnded, p domain.Position) bool {
	n, ok := g.keys.find(e.Allocation)
	switch {
	case !ok && g.ended[e.Allocation] == 0:
		g.ended[e.Allocation] = e.At
	case ok && g.on(n).end == 0:
		a := g.on(n)
		a.end, a.ended = e.At, p
	default:
		return false
	}
	return true
}

// GPUAllocations yields the allocations of a site in the order of the log, as
// they started, and when each ended (0: it is not known to have).
func (f *Facts) GPUAllocations(site domain.SiteID) iter.Seq2[domain.GPUAllocationStarted, domain.Instant] {
	return func(yield func(domain.GPUAllocationStarted, domain.Instant) bool) {
		g := f.gpus[site]
		if g == nil {
			return
		}
		for n := range g.n {
			a := g.on(n)
			e := domain.GPUAllocationStarted{
				Site: site, Allocation: g.keys.text(n), Customer: domain.CustomerID(g.names[a.customer]), Host: g.names[a.host], GPUs: a.gpus, At: a.at,
				Origin: domain.Origin{Source: domain.SourceID(g.names[a.source]), Observed: a.observed, Decoder: g.names[a.decoder], Evidence: a.evidence},
			}
			if !yield(e, a.end) {
				return
			}
		}
	}
}

// Allocations yields the allocations of a site, in the order of the log.
func (f *Facts) Allocations(site domain.SiteID) iter.Seq[Allocation] {
	return func(yield func(Allocation) bool) {
		g := f.gpus[site]
		if g == nil {
			return
		}
		for n := range g.n {
			if !yield(g.allocation(n)) {
				return
			}
		}
	}
}

// AllocationsOf yields the allocations of a customer at a site, in the order of
// the log.
func (f *Facts) AllocationsOf(site domain.SiteID, customer domain.CustomerID) iter.Seq[Allocation] {
	return func(yield func(Allocation) bool) {
		g := f.gpus[site]
		if g == nil {
			return
		}
		for n := range g.chain(customer) {
			if !yield(g.allocation(n)) {
				return
			}
		}
	}
}

// chain yields the numbers of a customer's allocations.
func (g *gpus) chain(customer domain.CustomerID) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		c := g.of[customer]
		if c == nil {
			return
		}
		for next := c.first + 1; next > 0; next = g.on(next - 1).next {
			if !yield(next - 1) {
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
	gpus *gpus
	days map[domain.Instant][]uint32 // that gave GPU time on a UTC day, in the order of the log
}

// Calendar returns the allocations of a site that gave GPU time in the
// interval. What During finds is complete for intervals inside it.
func (f *Facts) Calendar(site domain.SiteID, iv domain.Interval) Calendar {
	c := Calendar{f.gpus[site], map[domain.Instant][]uint32{}}
	if c.gpus != nil {
		for n := range c.gpus.n {
			c.add(n, iv)
		}
	}
	return c
}

// CalendarOf is [Facts.Calendar] of a customer.
func (f *Facts) CalendarOf(site domain.SiteID, customer domain.CustomerID, iv domain.Interval) Calendar {
	c := Calendar{f.gpus[site], map[domain.Instant][]uint32{}}
	if c.gpus != nil {
		for n := range c.gpus.chain(customer) {
			c.add(n, iv)
		}
	}
	return c
}

// add adds an allocation to the days of an interval on which it gave GPU time.
func (c Calendar) add(n uint32, iv domain.Interval) {
	a := c.gpus.on(n)
	in := iv.Overlap(domain.Interval{Start: a.at, End: iv.End})
	if a.end != 0 {
		in.End = min(in.End, a.end)
	}
	if !in.Valid() {
		return
	}
	for day := in.Start.Floor(domain.Day); day < in.End; day = day.Add(domain.Day) {
		c.days[day] = append(c.days[day], n)
	}
}

// During yields the allocations that may have given GPU time in the interval,
// each once.
func (c Calendar) During(iv domain.Interval) iter.Seq[Allocation] {
	return func(yield func(Allocation) bool) {
		for day := iv.Start.Floor(domain.Day); day < iv.End; day = day.Add(domain.Day) {
			for _, n := range c.days[day] {
				if at := c.gpus.on(n).at; day <= iv.Start || day <= at { // or the day before had it
					if !yield(c.gpus.allocation(n)) {
						return
					}
				}
			}
		}
	}
}
