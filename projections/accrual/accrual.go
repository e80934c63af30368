// Package accrual answers what AI contracts earn, interval by interval and
// exactly, before any rounding.
//
// Invoices are sums of what is computed here; margins show the same amounts
// while the period is still open.
package accrual

import (
	"fmt"
	"iter"
	"math/big"
	"slices"
	"sync"
	"time"

	"wattbook/domain"
	"wattbook/projections/facts"
)

// Part is what one charge of a contract earns in one interval.
type Part struct {
	Charge   domain.Charge
	Interval domain.Interval // the part of the interval in which the contract is in force
	// Quantity is in the unit of the charge: GPU-months, GPU-hours, kW-months
	// or kWh.
	Quantity *big.Rat
	// Amount is in the contract's currency. It is nil if a price or a meter
	// is not known: unknown is not zero.
	Amount *big.Rat
	// Overage is true for GPU-hours beyond a reservation.
	Overage bool
	// Used is how much of a reservation was used, in GPU-hours.
	Used *big.Rat
	// Estimated is the part of Quantity that rests on estimates, or nil.
	Estimated *big.Rat
	// Step is the step of the charge's ramp that is in force, Window the
	// window that prices the interval; both count from 1, and 0 is none.
	Step, Window int
	// ByPeriod is true for what is only counted here, and rated over the whole
	// period: it has no amount. Of a demand charge, Quantity is the mean power
	// in kW.
	ByPeriod bool
	// Unknown is true where a price or a meter is not known.
	Unknown bool
}

// Contract accrues a version of a contract.
type Contract struct {
	domain.ContractSigned
	force domain.Interval // when the version is in force
	facts *facts.Facts
	zone  *time.Location
	gpus  func(domain.Interval) iter.Seq[facts.Allocation] // of the customer
	cuts  []domain.Instant                                 // where terms change, in order
	week  map[string]week                                  // of the charges with windows
}

// For returns the accrual of a contract version from what is known. It is an
// error if the contract's zone or site is not known.
func For(f *facts.Facts, c domain.ContractSigned) (*Contract, error) {
	var force domain.Interval // stays empty if later versions replace all of it
	for _, term := range f.InForce(c.Contract, domain.Interval{End: 1<<63 - 1}) {
		if term.Version == c.Version {
			force = term.Interval
		}
	}
	all := func(domain.Interval) iter.Seq[facts.Allocation] { return f.AllocationsOf(c.Site, c.Buyer.ID) }
	return newContract(f, facts.Term{ContractSigned: c, Interval: force}, all)
}

// Terms returns the accruals of the versions of a contract that are in force
// in the interval, in the order of time, each for the part of the interval in
// which it is: where one ends inside a metering interval, the next begins.
func Terms(f *facts.Facts, id domain.ContractID, iv domain.Interval) ([]*Contract, error) {
	var all []*Contract
	for _, term := range f.InForce(id, iv) {
		calendar := sync.OnceValue(func() facts.Calendar { return f.CalendarOf(term.Site, term.Buyer.ID, term.Interval) })
		c, err := newContract(f, term, func(iv domain.Interval) iter.Seq[facts.Allocation] { return calendar().During(iv) })
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

func newContract(f *facts.Facts, term facts.Term, gpus func(domain.Interval) iter.Seq[facts.Allocation]) (*Contract, error) {
	zone, err := f.Zone(term.Zone)
	if err != nil {
		return nil, fmt.Errorf("contract %s: %w", term.Contract, err)
	}
	if f.Table(term.Site) == nil {
		return nil, fmt.Errorf("contract %s: site %s is not registered", term.Contract, term.Site)
	}
	c := &Contract{ContractSigned: term.ContractSigned, force: term.Interval, facts: f, zone: zone, gpus: gpus}
	return c, c.prepare()
}

// Period returns the billing period that an instant is in.
func (c *Contract) Period(t domain.Instant) domain.Period {
	local := t.Time().In(c.zone)
	return domain.Period{Year: local.Year(), Month: local.Month()}
}

// Same returns the charge with the id and kind of another version's, if the
// contract has it.
func (c *Contract) Same(ch domain.Charge) (domain.Charge, bool) {
	i := slices.IndexFunc(c.Charges, func(o domain.Charge) bool { return o.ID == ch.ID && o.Kind == ch.Kind })
	if i < 0 {
		return domain.Charge{}, false
	}
	return c.Charges[i], true
}

// Over returns what each charge earns in one metering interval or a part of
// one, in the order of the contract. Intervals outside the contract have no
// parts, and neither have charges that can only be rated over a whole period.
// GPU time is first taken by reservations, then by overage or on-demand
// charges, so that each hour is charged once.
func (c *Contract) Over(iv domain.Interval) []Part {
	return slices.DeleteFunc(c.All(iv), func(p Part) bool { return p.ByPeriod })
}

// All is [Contract.Over] with what is rated over the whole period.
func (c *Contract) All(iv domain.Interval) []Part {
	in := c.Within(iv)
	if !in.Valid() {
		return nil
	}
	var parts []Part
	for _, cut := range c.cuts {
		if in.Start < cut && cut < in.End {
			parts = append(parts, c.piece(domain.Interval{Start: in.Start, End: cut})...)
			in.Start = cut
		}
	}
	return append(parts, c.piece(in)...)
}

// Used returns the GPU time that the customer was allocated in an interval,
// while the contract is in force.
func (c *Contract) Used(iv domain.Interval) domain.GPUTime {
	in := c.Within(iv)
	if !in.Valid() {
		return 0
	}
	var used domain.GPUTime
	for a := range c.gpus(in) {
		used += a.During(in)
	}
	return used
}

// Metered returns the energy that the meters of the contract's pass-through
// charges counted in one metering interval or a part of one, each meter once.
// A part takes its portion of the interval's energy by time, rounded so that
// the parts sum to the whole. What is unknown is left out.
func (c *Contract) Metered(iv domain.Interval) domain.Energy {
	in := c.Within(iv)
	if !in.Valid() {
		return 0
	}
	table := c.facts.Table(c.Site)
	slot := table.Interval(table.SlotOf(in.Start))
	var sum domain.Energy
	seen := map[domain.DeviceID]bool{}
	for _, ch := range c.Charges {
		for _, m := range ch.Meters {
			if !seen[m] {
				seen[m] = true
				e, _ := table.Energy(m, table.SlotOf(in.Start))
				upTo := func(t domain.Instant) domain.Energy {
					v, _ := domain.Int(int64(e)).MulDiv(int64(t.Sub(slot.Start)), int64(slot.Length())).Int64()
					return domain.Energy(v)
				}
				sum += upTo(in.End) - upTo(in.Start)
			}
		}
	}
	return sum
}

// Within returns the part of an interval in which the contract is in force.
func (c *Contract) Within(iv domain.Interval) domain.Interval { return iv.Overlap(c.force) }

// passThrough prices the energy of the charge's meters. A part of a metering
// interval takes its portion of the interval's energy, by time.
func (c *Contract) passThrough(p Part) Part {
	table := c.facts.Table(c.Site)
	s := table.SlotOf(p.Interval.Start)
	slot := table.Interval(s)
	scale := gross(p.Charge.LossPortion)
	factor, known := c.pue(p.Charge.PUE, s)
	if known && factor != nil {
		scale.Mul(scale, factor)
	}
	known = c.metered(&p, scale) && known
	price, ok := c.indexed(p.Charge, slot)
	if p.Unknown = !ok || !known; !p.Unknown {
		perKilowattHour := price.Add(p.Charge.Adder).Shift(-3)
		p.Amount = times(p.Quantity, perKilowattHour)
	}
	return p
}

// PortionOfMonth returns how much of its calendar month, in the contract's
// zone, an interval is. An interval across a month's end counts in each.
func (c *Contract) PortionOfMonth(in domain.Interval) *big.Rat {
	sum := new(big.Rat)
	for t := in.Start; t < in.End; {
		month := c.Period(t).In(c.zone)
		end := min(in.End, month.End)
		sum.Add(sum, big.NewRat(int64(end.Sub(t)), int64(month.Length())))
		t = end
	}
	return sum
}

func gross(loss domain.Decimal) *big.Rat { return new(big.Rat).Add(big.NewRat(1, 1), loss.Rat()) }

func gpuHours(t domain.GPUTime) *big.Rat { return big.NewRat(int64(t), int64(domain.GPUHour)) }

func times(q *big.Rat, rate domain.Decimal) *big.Rat { return new(big.Rat).Mul(q, rate.Rat()) }

func minRat(a, b *big.Rat) *big.Rat {
	if a.Cmp(b) <= 0 {
		return a
	}
	return b
}
