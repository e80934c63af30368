package accrual

import (
	"math/big"

	"wattbook/domain"
	"wattbook/projections/facts"
)

// runner tallies the charges of a contract over a run of intervals in which no
// term changes. Its cases are those of [Contract.piece], interval by interval.
type runner struct {
	*Tallier
	contract   *Contract
	table      *facts.Table
	first, end facts.Slot
	month      int64 // length of the month that the run is in
}

func (r *runner) n() int      { return int(r.end - r.first) }
func (r *runner) step() int64 { return int64(r.table.Step) }

const (
	perHour     = int64(domain.Hour)         // microseconds
	perKilowatt = int64(domain.KilowattHour) // mWh
	priceUnits  = 10_000_000_000             // of 1e-10
	perMegawatt = int64(domain.MegawattHour)
)

// charge tallies a charge, and reports false if it cannot.
func (r *runner) charge(ch domain.Charge) bool {
	quantity, rate, step := ch.At(r.run.Interval.Start)
	p := Part{Charge: ch, Step: step}
	if quantity > maxQuantity || quantity < -maxQuantity {
		return false
	}
	switch ch.Kind {
	case domain.ChargeReservedGPUs:
		r.reserved(p, quantity, rate)
	case domain.ChargeOnDemandGPUs:
		s := r.takeAll(false)
		p.Quantity = ratio(s.quantity, perHour, 1)
		r.add(p, s, times(p.Quantity, ch.Rate))
	case domain.ChargeReservedPower:
		p.Quantity = ratio(domain.Product(int64(r.n())*r.step(), quantity), r.month, 1)
		r.add(p, r.all(), times(p.Quantity, rate))
		return ch.OverageFactor.IsZero() || r.beyondPower(p, quantity, rate)
	case domain.ChargeFixed:
		p.Quantity = ratio(domain.Int(int64(r.n())*r.step()), r.month, 1)
		r.add(p, r.all(), times(p.Quantity, ch.Rate))
	case domain.ChargeDemand:
		return r.demand(p)
	case domain.ChargePassThrough:
		return r.passThrough(p)
	case domain.ChargeUsage:
		return r.usage(p)
	}
	return true
}

func (r *runner) all() sum {
	var s sum
	s.whole(r.n())
	return s
}

// add appends a tally, if it has a part.
func (r *runner) add(p Part, s sum, amount *big.Rat) *Tally {
	if s.intervals == 0 {
		return &Tally{}
	}
	p.Amount = amount
	p.Interval.Start = r.table.Interval(r.first + facts.Slot(s.first)).Start
	p.Interval.End = r.table.Interval(r.first + facts.Slot(s.last)).End
	r.run.Tallies = append(r.run.Tallies, Tally{Part: p, Intervals: s.intervals})
	return &r.run.Tallies[len(r.run.Tallies)-1]
}

// takeAll takes the GPU time that is left: of all intervals, or of those in
// which there is some.
func (r *runner) takeAll(some bool) (s sum) {
	for i, left := range r.left {
		if left > 0 || !some {
			s.at(i)
			s.quantity = s.quantity.Add(domain.Int(left))
			r.left[i] = 0
		}
	}
	return s
}

func (r *runner) reserved(p Part, quantity int64, rate domain.Decimal) {
	ch := p.Charge
	var used domain.Int128
	for i, left := range r.left {
		covered := min(left, r.step()*quantity)
		r.left[i] -= covered
		used = used.Add(domain.Int(covered))
	}
	p.Used = ratio(used, perHour, 1)
	p.Quantity = ratio(domain.Product(int64(r.n())*r.step(), quantity), r.month, 1)
	r.add(p, r.all(), times(p.Quantity, rate))
	if ch.Overage.IsZero() && ch.OverageFactor.IsZero() {
		return
	}
	over := Part{Charge: ch, Step: p.Step, Overage: true}
	s := r.takeAll(true)
	if ch.OverageFactor.IsZero() {
		over.Quantity = ratio(s.quantity, perHour, 1)
		r.add(over, s, times(over.Quantity, ch.Overage))
		return
	}
	over.Quantity = ratio(s.quantity, r.month, 1)
	r.add(over, s, times(times(over.Quantity, rate), ch.OverageFactor))
}

// load fills in the energy of the charge's meters, and reports whether all of
// it is known and fits.
func (r *runner) load(ch domain.Charge) bool {
	clear(r.energy)
	clear(r.guess)
	for _, m := range ch.Meters {
		for s := r.first; s < r.end; {
			cells, next := r.table.Cells(m, domain.ChannelEnergyImport, s, r.end)
			if cells == nil {
				return false
			}
			energy, guess := r.energy[s-r.first:], r.guess[s-r.first:]
			for i := range cells {
				v, ok := cells[i].Value.Int64()
				if !ok || v > maxEnergy || cells[i].State == facts.Unknown {
					return false
				}
				if energy[i] += v; energy[i] > maxEnergy {
					return false
				}
				if cells[i].State == facts.Estimated {
					guess[i] += v
				}
			}
			s = next
		}
	}
	return true
}

// loaded adds up the energy that is loaded.
func (r *runner) loaded() (s sum) {
	s.whole(r.n())
	for i, e := range r.energy {
		s.quantity = s.quantity.Add(domain.Int(e))
		s.estimated = s.estimated.Add(domain.Int(r.guess[i]))
	}
	return s
}

// kilowattHours returns the quantity and the estimated part of a sum of energy.
func kilowattHours(s sum, scale *big.Rat) (quantity, estimated *big.Rat) {
	quantity = ratio(s.quantity, perKilowatt, 1)
	quantity.Mul(quantity, scale)
	if s.estimated.Sign() != 0 {
		estimated = ratio(s.estimated, perKilowatt, 1)
		estimated.Mul(estimated, scale)
	}
	return quantity, estimated
}

func (r *runner) demand(p Part) bool {
	if !r.load(p.Charge) {
		return false
	}
	at := 0
	for i, e := range r.energy {
		if e > r.energy[at] {
			at = i
		}
	}
	p.ByPeriod = true
	p.Quantity = ratio(domain.Int(int64(r.n())*r.step()), r.month, 1)
	kilowatts := func(e int64) *big.Rat { return ratio(domain.Product(e, perHour), perKilowatt, r.step()) }
	if r.guess[at] != 0 {
		p.Estimated = kilowatts(r.guess[at])
	}
	r.add(p, r.all(), nil).Peak = kilowatts(r.energy[at])
	return true
}

// beyondPower tallies what the charge's meters draw beyond a reservation, in
// units of mWh times an hour's microseconds.
func (r *runner) beyondPower(p Part, reserved int64, rate domain.Decimal) bool {
	if !r.load(p.Charge) {
		return false
	}
	s := r.all()
	limit := domain.Product(reserved*perKilowatt, r.step())
	for i, e := range r.energy {
		over := domain.Product(e, perHour).Sub(limit)
		if over.Sign() <= 0 {
			continue
		}
		s.quantity = s.quantity.Add(over)
		if r.guess[i] != 0 {
			s.estimated = s.estimated.Add(over)
		}
	}
	over := Part{Charge: p.Charge, Step: p.Step, Overage: true, Quantity: ratio(s.quantity, perKilowatt, r.month)}
	if s.estimated.Sign() != 0 {
		over.Estimated = ratio(s.estimated, perKilowatt, r.month)
	}
	r.add(over, s, times(times(over.Quantity, rate), p.Charge.OverageFactor))
	return true
}

func (r *runner) passThrough(p Part) bool {
	ch := p.Charge
	scale := gross(ch.LossPortion)
	if ch.PUE != nil && len(ch.PUE.Facility) > 0 {
		return r.each(p, r.contract.passThrough)
	}
	if ch.PUE != nil {
		scale.Mul(scale, ch.PUE.Cap.Rat())
	}
	if !r.load(ch) {
		return false
	}
	s := r.loaded()
	fits, known := r.priced(ch, &s, true)
	if !known || !fits {
		return known && r.each(p, r.contract.passThrough)
	}
	p.Quantity, p.Estimated = kilowattHours(s, scale)
	amount := ratio(s.priced, priceUnits, 1)
	amount.Add(amount, new(big.Rat).Mul(ratio(s.quantity, 1, 1), ch.Adder.Rat()))
	amount.Mul(amount, scale)
	r.add(p, s, amount.Quo(amount, big.NewRat(perMegawatt, 1)))
	return true
}

// priced adds up energy times the published price inside the charge's collar.
// Where it is not always needed, an interval without energy needs no price.
func (r *runner) priced(ch domain.Charge, s *sum, always bool) (fits, known bool) {
	floor, limit := int64(-maxPrice), int64(maxPrice)
	for _, bound := range []struct {
		at *domain.Decimal
		to *int64
	}{{ch.IndexFloor, &floor}, {ch.IndexCap, &limit}} {
		if bound.at != nil {
			v, ok := bound.at.Int64(priceDigits)
			if !ok || v > maxPrice || v < -maxPrice {
				return false, true
			}
			*bound.to = v
		}
	}
	for i := 0; i < r.n(); {
		page, from := r.pageOf(r.contract, ch, r.first+facts.Slot(i))
		for _, p := range page[from:min(pricePage, from+r.n()-i)] {
			e := r.energy[i]
			switch {
			case !p.known && (always || e != 0):
				return false, false
			case p.wide && p.known:
				return false, true
			}
			s.priced = s.priced.Add(domain.Product(e, min(max(p.value, floor), limit)))
			i++
		}
	}
	return true, true
}

func (r *runner) usage(p Part) bool {
	ch := p.Charge
	unit, gpus := perKilowatt, ch.Measure == domain.MeasureGPUHours
	if gpus {
		unit = perHour
		copy(r.energy, r.left)
		clear(r.guess)
		clear(r.left)
	} else if !r.load(ch) {
		return false
	}
	quantity := func(s sum) (q, estimated *big.Rat) {
		if q = ratio(s.quantity, unit, 1); s.estimated.Sign() != 0 {
			estimated = ratio(s.estimated, unit, 1)
		}
		return q, estimated
	}
	s := r.loaded()
	p.Quantity, p.Estimated = quantity(s)
	switch {
	case ch.ByPeriod():
		p.ByPeriod = true
		r.add(p, s, nil)
	case len(ch.Windows) > 0:
		return r.windows(p, quantity)
	case ch.Index != "":
		fits, known := r.priced(ch, &s, false)
		if !known || !fits {
			return known && r.each(p, func(one Part) Part {
				if i := r.table.SlotOf(one.Interval.Start) - r.first; gpus {
					one.Quantity = ratio(domain.Int(r.energy[i]), perHour, 1)
				} else {
					r.contract.metered(&one, big.NewRat(1, 1))
				}
				return r.contract.priced(one)
			})
		}
		amount := new(big.Rat).Mul(ratio(s.priced, priceUnits, unit), ch.IndexFactor.Rat())
		r.add(p, s, amount.Add(amount, times(p.Quantity, ch.Rate)))
	default:
		r.add(p, s, times(p.Quantity, ch.Rate))
	}
	return true
}

// windows tallies a charge by the window that each interval begins in.
func (r *runner) windows(p Part, quantity func(sum) (q, estimated *big.Rat)) bool {
	ch := p.Charge
	week, sums := r.contract.week[ch.ID], make([]sum, len(ch.Windows)+1)
	for i, e := range r.energy {
		w := week.at(r.table.Interval(r.first + facts.Slot(i)).Start.Time().In(r.contract.zone))
		if w == 0 {
			return false
		}
		sums[w].at(i)
		sums[w].quantity = sums[w].quantity.Add(domain.Int(e))
		sums[w].estimated = sums[w].estimated.Add(domain.Int(r.guess[i]))
	}
	for w, s := range sums {
		if s.intervals > 0 {
			p.Window = w
			p.Quantity, p.Estimated = quantity(s)
			r.add(p, s, times(p.Quantity, ch.Windows[w-1].Rate))
		}
	}
	return true
}

// each tallies a charge interval by interval, with numbers of any size. It
// reports false if something is unknown.
func (r *runner) each(p Part, price func(Part) Part) bool {
	total := p
	total.Quantity, total.Estimated = new(big.Rat), nil
	amount, estimated := new(big.Rat), new(big.Rat)
	for s := r.first; s < r.end; s++ {
		one := p
		one.Quantity, one.Estimated, one.Interval = nil, nil, r.table.Interval(s)
		if one = price(one); one.Unknown {
			return false
		}
		total.Quantity.Add(total.Quantity, one.Quantity)
		amount.Add(amount, one.Amount)
		if one.Estimated != nil {
			total.Estimated = estimated.Add(estimated, one.Estimated)
		}
	}
	r.add(total, r.all(), amount)
	return true
}
