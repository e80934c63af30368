package accrual

import (
	"math/big"

	"wattbook/domain"
	"wattbook/projections/facts"
)

// Tally is what a charge, a step of its ramp, a window or its overage comes to
// over whole metering intervals: its parts added up, exactly. Its interval runs
// from the first part to the last. Of a demand charge, Quantity is the portion
// of the month, Peak the greatest mean power in kW, and Estimated what of that
// is estimated.
type Tally struct {
	Part
	Intervals int64
	Peak      *big.Rat
}

// Run is what a contract came to in a run of metering intervals.
type Run struct {
	Interval domain.Interval
	Tallies  []Tally
	Energy   []domain.Energy  // of each interval: see [Contract.Metered]
	GPU      []domain.GPUTime // of each interval: see [Contract.Used]
}

// Tallier adds up what contracts come to, one after the other: each published
// price is looked up once for all of them. It is not safe for concurrent use,
// and what it returns lasts until its next call.
//
// Energy, GPU time and prices are integers in it, with 128 bits for their
// products and sums; what does not fit is left to [Contract.All].
type Tallier struct {
	facts  *facts.Facts
	prices map[series]*[pricePage]price
	run    Run
	left   []int64 // GPU time that no charge has taken yet, in microseconds
	energy []int64 // of the charge in hand, in mWh
	guess  []int64 // of it, estimated
}

// NewTallier returns a tallier of what is known; it is of no use when more is.
func NewTallier(f *facts.Facts) *Tallier {
	return &Tallier{facts: f, prices: map[series]*[pricePage]price{}}
}

// Bounds within which a sum over [maxRun] intervals fits 128 bits.
const (
	maxRun      = 1 << 17
	maxEnergy   = 1 << 50 // mWh, or GPU microseconds, in an interval
	maxPrice    = 1 << 56 // in units of 1e-10
	maxQuantity = 1 << 24 // GPUs or kW
)

// Tally adds up the metering intervals from the start of an interval, where
// one begins, to the first change of terms or to the interval's end. It reports
// false if it cannot: no whole interval is there, something is unknown, or a
// number is too great for it.
func (t *Tallier) Tally(c *Contract, in domain.Interval) (Run, bool) {
	table := c.facts.Table(c.Site)
	in.End = min(in.End, c.force.End, c.Period(in.Start).In(c.zone).End)
	for _, cut := range c.cuts {
		if cut > in.Start {
			in.End = min(in.End, cut)
			break
		}
	}
	first, end := table.SlotOf(in.Start), table.SlotOf(in.End)
	n := int(end - first)
	if n <= 0 || n > maxRun || first < 0 || in.Start < c.force.Start || table.Interval(first).Start != in.Start {
		return Run{}, false
	}
	in.End = table.Interval(end).Start
	t.run.Interval, t.run.Tallies = in, t.run.Tallies[:0]
	t.left, t.energy, t.guess = cleared(t.left, n), cleared(t.energy, n), cleared(t.guess, n)
	t.run.Energy, t.run.GPU = cleared(t.run.Energy, n), cleared(t.run.GPU, n)
	if !t.use(c, first, end) || !t.meter(c, first, end) {
		return Run{}, false
	}
	r := &runner{Tallier: t, contract: c, table: table, first: first, end: end, month: int64(c.Period(in.Start).In(c.zone).Length())}
	for _, ch := range c.Charges {
		if ch.InForce(in) == in && !ch.Derived() && !r.charge(ch) {
			return Run{}, false
		}
	}
	return t.run, true
}

func cleared[E any](s []E, n int) []E {
	if cap(s) < n {
		return make([]E, n)
	}
	s = s[:n]
	clear(s)
	return s
}

// use fills in the GPU time of each interval, and reports whether it fits.
func (t *Tallier) use(c *Contract, first, end facts.Slot) bool {
	table := c.facts.Table(c.Site)
	for a := range c.facts.AllocationsOf(c.Site, c.Buyer.ID) {
		in := t.run.Interval.Overlap(domain.Interval{Start: a.At, End: t.run.Interval.End})
		if a.End != 0 {
			in.End = min(in.End, a.End)
		}
		if !in.Valid() {
			continue
		}
		for s := table.SlotOf(in.Start); s < end && table.Interval(s).Start < in.End; s++ {
			t.run.GPU[s-first] += a.During(table.Interval(s))
		}
	}
	for i, used := range t.run.GPU {
		if used > maxEnergy/domain.GPUTime(domain.Millisecond) {
			return false
		}
		t.left[i] = int64(used) * int64(domain.Millisecond)
	}
	return true
}

// meter fills in the energy of the contract's meters in each interval, and
// reports whether it fits.
func (t *Tallier) meter(c *Contract, first, end facts.Slot) bool {
	seen := map[domain.DeviceID]bool{}
	for _, ch := range c.Charges {
		for _, m := range ch.Meters {
			if seen[m] {
				continue
			}
			seen[m] = true
			for s := first; s < end; {
				cells, next := c.facts.Table(c.Site).Cells(m, domain.ChannelEnergyImport, s, end)
				sum := t.run.Energy[s-first:]
				for i := range cells {
					v, ok := cells[i].Value.Int64()
					if !ok || v > maxEnergy {
						return false
					}
					sum[i] += domain.Energy(v)
				}
				s = next
			}
		}
	}
	return true
}

// sum adds up a part of a tally.
type sum struct {
	quantity, priced, estimated domain.Int128 // priced: quantity times price
	first, last                 int
	intervals                   int64
}

// at counts an interval.
func (s *sum) at(i int) {
	if s.intervals == 0 {
		s.first = i
	}
	s.last = i
	s.intervals++
}

// whole counts n intervals.
func (s *sum) whole(n int) { s.last, s.intervals = n-1, int64(n) }

// ratio returns num / (den × more).
func ratio(num domain.Int128, den, more int64) *big.Rat {
	d := big.NewInt(den)
	return new(big.Rat).SetFrac(num.Big(), d.Mul(d, big.NewInt(more)))
}

// price is the published price of an interval in units of 1e-10 per MWh.
type price struct {
	value int64
	known bool
	wide  bool // it is known, and does not fit
}

// pricePage is how many prices are looked up together.
const pricePage = 256

// priceDigits is how many digits after its point a price keeps: as many as
// the mean of several has.
const priceDigits = 10

type series struct {
	site     domain.SiteID
	node     domain.NodeID // empty: the site's
	currency domain.Currency
	page     facts.Slot
}

// pageOf returns the prices that a charge of a contract follows in the slots
// around one, before its collar, and the index of the slot among them.
func (t *Tallier) pageOf(c *Contract, ch domain.Charge, s facts.Slot) (*[pricePage]price, int) {
	k := series{c.Site, ch.Index, c.Currency, s / pricePage}
	p := t.prices[k]
	if p == nil {
		p = new([pricePage]price)
		for i := range p {
			slot := c.facts.Table(c.Site).Interval(k.page*pricePage + facts.Slot(i))
			v, known := c.facts.PowerPriceIn(c.Index(ch, slot.Start), c.Currency, slot)
			value, fits := v.Int64(priceDigits)
			p[i] = price{value, known, !fits || value > maxPrice || value < -maxPrice}
		}
		t.prices[k] = p
	}
	return p, int(s % pricePage)
}
