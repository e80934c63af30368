package accrual

import (
	"fmt"
	"math/big"
	"slices"
	"time"

	"wattbook/domain"
	"wattbook/projections/facts"
)

// prepare finds where terms change inside the contract, and lays out its
// windows.
func (c *Contract) prepare() error {
	for _, ch := range c.Charges {
		c.cuts = append(c.cuts, ch.From, ch.Until)
		for _, r := range ch.Ramp {
			c.cuts = append(c.cuts, r.From)
		}
		if len(ch.Windows) == 0 {
			continue
		}
		if c.week == nil {
			c.week = map[string]week{}
		}
		w, err := weekOf(ch.Windows)
		if err != nil {
			return fmt.Errorf("contract %s, charge %s: %w", c.Contract, ch.ID, err)
		}
		c.week[ch.ID] = w
	}
	slices.Sort(c.cuts)
	c.cuts = slices.DeleteFunc(slices.Compact(c.cuts), func(t domain.Instant) bool { return t <= c.force.Start || t >= c.force.End })
	return nil
}

// week holds the window of each minute of the local week, from Sunday on,
// counted from 1.
type week []int

func weekOf(windows []domain.Window) (week, error) {
	const day = 24 * 60
	w := make(week, 7*day)
	for i, v := range windows {
		from, to, days, err := v.Minutes()
		if err != nil {
			return nil, err
		}
		for _, d := range days {
			for m := from; m < to; m++ {
				w[(int(d)*day+m)%len(w)] = i + 1
			}
		}
	}
	return w, nil
}

// at returns the window that a local time is in.
func (w week) at(local time.Time) int {
	return w[int(local.Weekday())*24*60+local.Hour()*60+local.Minute()]
}

// piece returns the parts of an interval inside which no term changes.
func (c *Contract) piece(in domain.Interval) []Part {
	left := gpuHours(c.Used(in))
	var parts []Part
	for _, ch := range c.Charges {
		if ch.InForce(in) != in || ch.Derived() {
			continue
		}
		p := Part{Charge: ch, Interval: in}
		quantity, rate, step := ch.At(in.Start)
		p.Step = step
		switch ch.Kind {
		case domain.ChargeReservedGPUs:
			months := new(big.Rat).Mul(c.PortionOfMonth(in), big.NewRat(quantity, 1))
			reserved := new(big.Rat).SetFrac(new(big.Int).Mul(big.NewInt(int64(in.Length())), big.NewInt(quantity)), big.NewInt(int64(domain.Hour)))
			covered := minRat(left, reserved)
			left = new(big.Rat).Sub(left, covered)
			p.Quantity, p.Amount, p.Used = months, times(months, rate), covered
			parts = append(parts, p)
			if over, ok := c.beyond(ch, in, step, rate, left); ok {
				parts = append(parts, over)
				left = new(big.Rat)
			}
		case domain.ChargeOnDemandGPUs:
			p.Quantity, p.Amount = left, times(left, ch.Rate)
			left = new(big.Rat)
			parts = append(parts, p)
		case domain.ChargeReservedPower:
			p.Quantity = new(big.Rat).Mul(c.PortionOfMonth(in), big.NewRat(quantity, 1))
			p.Amount = times(p.Quantity, rate)
			parts = append(parts, p)
			if !ch.OverageFactor.IsZero() {
				parts = append(parts, c.beyondPower(Part{Charge: ch, Interval: in, Step: step, Overage: true}, quantity, rate))
			}
		case domain.ChargePassThrough:
			parts = append(parts, c.passThrough(p))
		case domain.ChargeFixed:
			p.Quantity = c.PortionOfMonth(in)
			p.Amount = times(p.Quantity, ch.Rate)
			parts = append(parts, p)
		case domain.ChargeUsage:
			if ch.Measure == domain.MeasureGPUHours {
				p.Quantity, left = left, new(big.Rat)
			} else {
				p.Unknown = !c.metered(&p, big.NewRat(1, 1))
			}
			parts = append(parts, c.priced(p))
		case domain.ChargeDemand:
			parts = append(parts, c.demand(p))
		}
	}
	return parts
}

// beyond returns the GPU time that is left after a reservation, if the
// reservation prices it: by the hour, or as months at a multiple of its rate.
func (c *Contract) beyond(ch domain.Charge, in domain.Interval, step int, rate domain.Decimal, left *big.Rat) (Part, bool) {
	if left.Sign() == 0 || ch.Overage.IsZero() && ch.OverageFactor.IsZero() {
		return Part{}, false
	}
	p := Part{Charge: ch, Interval: in, Step: step, Overage: true, Quantity: left}
	if ch.OverageFactor.IsZero() {
		p.Amount = times(left, ch.Overage)
		return p, true
	}
	hours := big.NewRat(int64(in.Length()), int64(domain.Hour))
	p.Quantity = new(big.Rat).Mul(left, c.PortionOfMonth(in))
	p.Quantity.Quo(p.Quantity, hours)
	p.Amount = times(times(p.Quantity, rate), ch.OverageFactor)
	return p, true
}

// beyondPower returns the mean power of the charge's meters beyond what is
// reserved, in kW-months.
func (c *Contract) beyondPower(p Part, reserved int64, rate domain.Decimal) Part {
	p = c.demand(p)
	p.ByPeriod = false
	over := p.Quantity.Sub(p.Quantity, big.NewRat(reserved, 1))
	if over.Sign() < 0 {
		over.SetInt64(0)
	}
	p.Quantity.Mul(over, c.PortionOfMonth(p.Interval))
	if p.Estimated != nil {
		p.Estimated = p.Quantity
	}
	if !p.Unknown {
		p.Amount = times(times(p.Quantity, rate), p.Charge.OverageFactor)
	}
	return p
}

// demand sets a part's quantity to the mean power of its meters, in kW.
func (c *Contract) demand(p Part) Part {
	p.ByPeriod = true
	p.Unknown = !c.metered(&p, big.NewRat(1, 1))
	hours := big.NewRat(int64(p.Interval.Length()), int64(domain.Hour))
	p.Quantity.Quo(p.Quantity, hours)
	if p.Estimated != nil {
		p.Estimated.Quo(p.Estimated, hours)
	}
	return p
}

// priced prices a usage part per unit, by its window or by its index.
func (c *Contract) priced(p Part) Part {
	ch := p.Charge
	if ch.ByPeriod() {
		p.ByPeriod = true
		return p
	}
	slot := c.slot(p.Interval)
	rate := ch.Rate
	switch {
	case len(ch.Windows) > 0:
		p.Window = c.week[ch.ID].at(slot.Start.Time().In(c.zone))
		if p.Window == 0 {
			p.Unknown = true
			return p
		}
		rate = ch.Windows[p.Window-1].Rate
	case ch.Index != "":
		price, ok := c.indexed(ch, slot)
		if !ok && p.Quantity.Sign() != 0 { // nothing costs nothing, whatever the price
			p.Unknown = true
			return p
		}
		rate = rate.Add(ch.IndexFactor.Mul(price))
	}
	if !p.Unknown {
		p.Amount = times(p.Quantity, rate)
	}
	return p
}

// Index returns the node whose published prices a charge follows at an
// instant.
func (c *Contract) Index(ch domain.Charge, at domain.Instant) domain.NodeID {
	if ch.Index != "" {
		return ch.Index
	}
	site, _ := c.facts.SiteAt(c.Site, at)
	return site.Node
}

// indexed returns the published price that a charge follows, inside its
// collar.
func (c *Contract) indexed(ch domain.Charge, slot domain.Interval) (domain.Decimal, bool) {
	price, ok := c.facts.PowerPriceIn(c.Index(ch, slot.Start), c.Currency, slot)
	if ch.IndexFloor != nil && price.Cmp(*ch.IndexFloor) < 0 {
		price = *ch.IndexFloor
	}
	if ch.IndexCap != nil && price.Cmp(*ch.IndexCap) > 0 {
		price = *ch.IndexCap
	}
	return price, ok
}

// metered sets a part's quantity to the energy of its meters in kWh, times
// scale, and reports whether all of it is known. A part of a metering interval
// takes its portion of the interval's energy, by time.
func (c *Contract) metered(p *Part, scale *big.Rat) (known bool) {
	table := c.facts.Table(c.Site)
	s := table.SlotOf(p.Interval.Start)
	slot := table.Interval(s)
	portion := new(big.Rat).Mul(scale, big.NewRat(int64(p.Interval.Length()), int64(slot.Length())))
	quantity := func(e domain.Energy) *big.Rat {
		q := big.NewRat(int64(e), int64(domain.KilowattHour))
		return q.Mul(q, portion)
	}
	energy, estimated, known := domain.Energy(0), domain.Energy(0), true
	for _, m := range p.Charge.Meters {
		e, state := table.Energy(m, s)
		energy += e
		known = known && state != facts.Unknown
		if state == facts.Estimated || p.Interval != slot { // a part of an interval is not metered
			estimated += e
		}
	}
	p.Quantity = quantity(energy)
	if estimated != 0 {
		p.Estimated = quantity(estimated)
	}
	return known
}

// pue returns the factor that scales IT energy in a slot, or nil for none, and
// whether it is known. Where the IT meters counted nothing there is nothing to
// scale.
func (c *Contract) pue(p *domain.PUE, s facts.Slot) (factor *big.Rat, known bool) {
	if p == nil {
		return nil, true
	}
	if len(p.Facility) == 0 {
		return p.Cap.Rat(), true
	}
	table := c.facts.Table(c.Site)
	sum := func(meters []domain.DeviceID) (sum int64, known bool) {
		known = true
		for _, m := range meters {
			e, state := table.Energy(m, s)
			sum += int64(e)
			known = known && state != facts.Unknown
		}
		return sum, known
	}
	facility, whole := sum(p.Facility)
	it, all := sum(p.IT)
	if it <= 0 {
		return nil, whole && all
	}
	factor = big.NewRat(facility, it)
	if limit := p.Cap.Rat(); !p.Cap.IsZero() && factor.Cmp(limit) > 0 {
		factor = limit
	}
	return factor, whole && all
}

// slot returns the metering interval that an interval is in.
func (c *Contract) slot(in domain.Interval) domain.Interval {
	table := c.facts.Table(c.Site)
	return table.Interval(table.SlotOf(in.Start))
}
