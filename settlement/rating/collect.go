package rating

import (
	"fmt"
	"math/big"
	"slices"
	"time"

	"wattbook/domain"
	"wattbook/projections/accrual"
	"wattbook/projections/facts"
)

// sum is what a charge, a step of its ramp, a window or its overage comes to
// over the period.
type sum struct {
	key
	charge    domain.Charge
	quantity  *big.Rat
	amount    *big.Rat
	used      *big.Rat
	estimated *big.Rat
	peak      *big.Rat // of a demand charge, in kW
	prior     *big.Rat // what versions before it used, if they have the charge
	span      domain.Interval
	intervals int64
}

// key tells the sums of an invoice apart, in the order of their lines.
type key struct {
	term, charge int // numbers of the version in the period, and of the charge in it
	step         int
	overage      bool
	window       int
}

func (a key) before(b key) bool {
	switch {
	case a.term != b.term:
		return a.term < b.term
	case a.charge != b.charge:
		return a.charge < b.charge
	case a.step != b.step:
		return a.step < b.step
	case a.overage != b.overage:
		return b.overage
	}
	return a.window < b.window
}

// collector adds up the parts of all intervals, by charge in the order of the
// contract, and the usage of each local day.
type collector struct {
	facts   *facts.Facts
	tally   *accrual.Tallier
	sums    []*sum   // in the order of their keys
	days    *dayBook // nil: nobody asks for them
	partial bool     // what is not known is left out
}

// collect adds what a version of the contract earned in an interval, metering
// interval by metering interval. The first and the last may be cut: by the
// version's start or end, or by the period's.
func (k *collector) collect(term int, c *accrual.Contract, in domain.Interval) error {
	table := k.facts.Table(c.Site)
	numbers := map[string]int{}
	for i, ch := range c.Charges {
		numbers[ch.ID] = i
	}
	tried := in.Start // up to here, adding up whole intervals is no use
	for t := in.Start; t < in.End; {
		slot := table.Interval(table.SlotOf(t))
		if slot.Start == t && t >= tried {
			if run, ok := k.tally.Tally(c, domain.Interval{Start: t, End: in.End}); ok {
				k.run(term, c, numbers, run)
				t = run.Interval.End
				continue
			}
			tried = in.End
		}
		part := slot.Overlap(in)
		for _, p := range c.All(part) {
			if p.Unknown && k.partial {
				continue
			}
			if p.Unknown {
				return incomplete(k.facts, c, p, slot, in)
			}
			k.add(c, key{term, numbers[p.Charge.ID], p.Step, p.Overage, p.Window}, p)
		}
		if k.days != nil {
			day := k.days.of(part.Start)
			day.Energy += c.Metered(part)
			day.GPU += c.Used(part)
		}
		t = part.End
	}
	return nil
}

// run adds what whole intervals came to.
func (k *collector) run(term int, c *accrual.Contract, numbers map[string]int, run accrual.Run) {
	for _, p := range run.Tallies {
		s := k.find(key{term, numbers[p.Charge.ID], p.Step, p.Overage, p.Window}, p.Part)
		s.quantity.Add(s.quantity, p.Quantity)
		if p.Peak != nil {
			s.demand(p.Peak, p.Estimated)
		} else {
			s.grow(p.Part)
		}
		s.span.End = p.Interval.End
		s.intervals += p.Intervals
	}
	if k.days == nil {
		return
	}
	step := k.facts.Table(c.Site).Step
	for i, e := range run.Energy {
		day := k.days.of(run.Interval.Start.Add(step * domain.Duration(i)))
		day.Energy += e
		day.GPU += run.GPU[i]
	}
}

// demand takes the mean power of an interval, if it is the greatest so far.
func (s *sum) demand(power, estimated *big.Rat) {
	if s.peak != nil && power.Cmp(s.peak) <= 0 {
		return
	}
	s.peak, s.used, s.estimated = power, power, new(big.Rat)
	if estimated != nil {
		s.estimated = estimated
	}
}

// grow adds all of a part but its quantity.
func (s *sum) grow(p accrual.Part) {
	if p.Estimated != nil {
		s.estimated.Add(s.estimated, p.Estimated)
	}
	if p.Used != nil {
		s.used.Add(s.used, p.Used)
	}
	if p.Amount != nil {
		s.amount.Add(s.amount, p.Amount)
	}
}

func (k *collector) add(c *accrual.Contract, at key, p accrual.Part) {
	s := k.find(at, p)
	if p.Charge.Kind == domain.ChargeDemand {
		s.demand(p.Quantity, p.Estimated)
		s.quantity.Add(s.quantity, c.PortionOfMonth(p.Interval))
	} else {
		s.quantity.Add(s.quantity, p.Quantity)
		s.grow(p)
	}
	s.span.End = p.Interval.End
	s.intervals++
}

// find returns the sum that a part belongs to.
func (k *collector) find(at key, p accrual.Part) *sum {
	i := len(k.sums)
	for i > 0 && !k.sums[i-1].before(at) {
		if i--; k.sums[i].key == at {
			return k.sums[i]
		}
	}
	s := &sum{
		key: at, charge: p.Charge, span: p.Interval,
		quantity: new(big.Rat), amount: new(big.Rat), used: new(big.Rat), estimated: new(big.Rat),
	}
	k.sums = slices.Insert(k.sums, i, s)
	return s
}

// price prices what is rated over the whole period. A charge that an amendment
// changes goes on counting where the version before it stopped.
func (k *collector) price() {
	for i, s := range k.sums {
		switch {
		case s.charge.Kind == domain.ChargeDemand:
			s.quantity.Mul(s.quantity, s.peak)
			s.amount.Mul(s.quantity, s.charge.Rate.Rat())
		case s.charge.Kind == domain.ChargeUsage && s.charge.ByPeriod():
			before, all, first := new(big.Rat), new(big.Rat), true
			for j, o := range k.sums {
				if o.charge.ID != s.charge.ID || o.charge.Kind != s.charge.Kind {
					continue
				}
				all.Add(all, o.quantity)
				if j < i {
					before.Add(before, o.quantity)
					first = false
				}
			}
			if !first {
				s.prior = before
			}
			if s.charge.Model == domain.Volume && all.Sign() > 0 {
				s.amount = Price(s.charge, all)
				s.amount.Mul(s.amount, new(big.Rat).Quo(s.quantity, all))
				continue
			}
			if s.amount = Price(s.charge, new(big.Rat).Add(before, s.quantity)); !first {
				s.amount.Sub(s.amount, Price(s.charge, before))
			}
		}
	}
}

// dayBook collects usage by local day; instants come in order.
type dayBook struct {
	zone  *time.Location
	days  []domain.DailyUsage
	until domain.Instant // the date of the last day holds up to here at least
}

// of returns the day that an instant is in. A day is told by its date: where
// the clock skips midnight, no instant is the local 00:00 between two days.
func (b *dayBook) of(t domain.Instant) *domain.DailyUsage {
	if t >= b.until {
		local := t.Time().In(b.zone)
		day := local.Format(time.DateOnly)
		if n := len(b.days); n == 0 || b.days[n-1].Day != day {
			b.days = append(b.days, domain.DailyUsage{Day: day})
		}
		// The date changes at the next midnight of this clock, or with the clock.
		hour, minute, second := local.Clock()
		b.until = t.Add(domain.Day - domain.Hour*domain.Duration(hour) - domain.Minute*domain.Duration(minute) - domain.Second*domain.Duration(second+1))
		if _, changes := local.ZoneBounds(); !changes.IsZero() {
			b.until = min(b.until, domain.At(changes))
		}
	}
	return &b.days[len(b.days)-1]
}

// HowToEstimate is the command line that estimates a gap of a meter.
func HowToEstimate(meter domain.DeviceID, gap domain.Interval) string {
	return fmt.Sprintf("wattbook estimate %s --from %s --to %s --method %s --by NAME --reason WHY", meter, gap.Start, gap.End, domain.PreviousDay)
}

// incomplete says what is missing for a part that has no amount, at a metering
// interval of an interval that is being rated.
func incomplete(f *facts.Facts, c *accrual.Contract, p accrual.Part, at, in domain.Interval) error {
	table := f.Table(c.Site)
	meters := p.Charge.Meters
	if pue := p.Charge.PUE; pue != nil {
		meters = slices.Concat(meters, pue.Facility, pue.IT)
	}
	for _, m := range meters {
		if _, state := table.Energy(m, table.SlotOf(at.Start)); state == facts.Unknown {
			if since, _ := f.Since(c.Site, m); at.Start < since {
				return fmt.Errorf("contract %s, charge %s: %w: meter %s has no reading for %s: its first one is of %s; import what was before (wattbook import readings), or let the charge begin there",
					c.Contract, p.Charge.ID, ErrIncomplete, m, domain.Interval{Start: at.Start, End: min(since, in.End)}, since)
			}
			gap := at
			for gap.End < in.End {
				if _, state := table.Energy(m, table.SlotOf(gap.End)); state != facts.Unknown {
					break
				}
				gap.End = table.Interval(table.SlotOf(gap.End)).End
			}
			return fmt.Errorf("contract %s, charge %s: %w: meter %s has no reading for %s; wait for the meter, import the reading (wattbook import readings), or have it estimated: %s",
				c.Contract, p.Charge.ID, ErrIncomplete, m, gap, HowToEstimate(m, gap))
		}
	}
	if len(p.Charge.Windows) > 0 {
		return fmt.Errorf("contract %s, charge %s: no window prices %s", c.Contract, p.Charge.ID, at)
	}
	index, how := c.Index(p.Charge, at.Start), "wattbook import prices"
	if site, _ := f.SiteAt(c.Site, at.Start); site.Node != index {
		how += " FILE --node " + string(index)
	}
	return fmt.Errorf("contract %s, charge %s: %w: there is no price of power at %s in %s for %s; import it with: %s",
		c.Contract, p.Charge.ID, ErrIncomplete, index, c.Currency, at, how)
}

// line rounds a sum into an invoice line. A charge that came to nothing and
// for nothing has no line.
func (s *sum) line(currency domain.Currency) (domain.InvoiceLine, bool, error) {
	ch := s.charge
	l := domain.InvoiceLine{
		Charge: ch.ID, Kind: ch.Kind, Description: ch.Description, Interval: s.span,
		Quantity: domain.RoundRat(s.quantity, quantityPlaces), Estimated: domain.RoundRat(s.estimated, quantityPlaces),
	}
	if s.quantity.Sign() == 0 && s.amount.Sign() == 0 {
		return l, false, nil
	}
	s.describe(&l, currency)
	var err error
	l.Amount, err = currency.Round(domain.RoundRat(s.amount, currency.Digits()))
	return l, true, err
}

// describe sets a line's unit, its price if all of it has one, and its detail.
func (s *sum) describe(l *domain.InvoiceLine, currency domain.Currency) {
	ch := s.charge
	quantity, rate, _ := ch.At(s.span.Start)
	if s.step > 0 {
		quantity, rate = ch.Ramp[s.step-1].Quantity, ch.Rate
		if r := ch.Ramp[s.step-1].Rate; !r.IsZero() {
			rate = r
		}
	}
	l.UnitPrice = &rate
	switch {
	case s.overage:
		l.Description += ", beyond the reservation"
		l.Unit, rate = map[domain.ChargeKind]string{domain.ChargeReservedPower: "kW-month", domain.ChargeReservedGPUs: "GPU-month"}[ch.Kind], rate.Mul(ch.OverageFactor)
		if ch.OverageFactor.IsZero() {
			l.Unit, rate = "GPU-hour", ch.Overage
		} else {
			l.Detail = fmt.Sprintf("%s times the rate", ch.OverageFactor)
		}
	case ch.Kind == domain.ChargeReservedGPUs:
		l.Unit = "GPU-month"
		hours := new(big.Rat).SetFrac(new(big.Int).Mul(big.NewInt(int64(s.span.Length())), big.NewInt(quantity)), big.NewInt(int64(domain.Hour)))
		l.Detail = fmt.Sprintf("take or pay: used %s of %s GPU-hours reserved", domain.RoundRat(s.used, 1), domain.RoundRat(hours, 1))
	case ch.Kind == domain.ChargeOnDemandGPUs:
		l.Unit = "GPU-hour"
	case ch.Kind == domain.ChargeReservedPower:
		l.Unit = "kW-month"
	case ch.Kind == domain.ChargeFixed:
		l.Unit = "month"
	case ch.Kind == domain.ChargeDemand:
		l.Unit = "kW-month"
		l.Detail = fmt.Sprintf("greatest demand in an interval: %s kW", domain.RoundRat(s.peak, quantityPlaces))
	case ch.Kind == domain.ChargePassThrough:
		l.Unit, l.UnitPrice = "kWh", nil
		l.Detail = passThroughDetail(ch, s.intervals, currency)
	case ch.Kind == domain.ChargeUsage:
		s.describeUsage(l, currency)
	}
}

func passThroughDetail(ch domain.Charge, intervals int64, currency domain.Currency) string {
	detail := fmt.Sprintf("metered, each of %d intervals at its published price", intervals)
	if ch.Index != "" {
		detail += " at " + string(ch.Index)
	}
	bounds := collar(ch)
	if detail += bounds; bounds != "" && !ch.Adder.IsZero() {
		detail += ","
	}
	if !ch.Adder.IsZero() {
		detail += fmt.Sprintf(" plus %s %s per MWh", ch.Adder, currency)
	}
	if !ch.LossPortion.IsZero() {
		detail += fmt.Sprintf(", with losses of %s %%", ch.LossPortion.Shift(2))
	}
	switch p := ch.PUE; {
	case p == nil:
	case len(p.Facility) == 0:
		detail += fmt.Sprintf(", times a PUE of %s", p.Cap)
	case p.Cap.IsZero():
		detail += ", times the actual PUE of each"
	default:
		detail += fmt.Sprintf(", times the actual PUE of each, at most %s", p.Cap)
	}
	return detail
}

func collar(ch domain.Charge) string {
	switch {
	case ch.IndexFloor != nil && ch.IndexCap != nil:
		return fmt.Sprintf(", at least %s and at most %s", ch.IndexFloor, ch.IndexCap)
	case ch.IndexFloor != nil:
		return fmt.Sprintf(", at least %s", ch.IndexFloor)
	case ch.IndexCap != nil:
		return fmt.Sprintf(", at most %s", ch.IndexCap)
	}
	return ""
}

func (s *sum) describeUsage(l *domain.InvoiceLine, currency domain.Currency) {
	ch := s.charge
	if l.Unit = "GPU-hour"; ch.Measure == domain.MeasureEnergy {
		l.Unit = "kWh"
	}
	switch {
	case ch.ByPeriod():
		l.UnitPrice = nil
		to := s.quantity
		if s.prior != nil {
			to = new(big.Rat).Add(s.prior, s.quantity)
		}
		l.Detail = usageDetail(ch, s.prior, to)
	case s.window > 0:
		w := ch.Windows[s.window-1]
		l.Description += ", " + w.Name
		*l.UnitPrice = w.Rate
		l.Detail = fmt.Sprintf("from %s to %s local time", w.From, w.To)
	case ch.Index != "":
		l.UnitPrice = nil
		l.Detail = fmt.Sprintf("each of %d intervals at %s %s plus %s times its published price at %s%s", s.intervals, ch.Rate, currency, ch.IndexFactor, ch.Index, collar(ch))
	}
}
