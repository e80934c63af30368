// Package rating turns a contract and what is known of a period into the
// lines and totals of an invoice.
//
// It is a pure function of the contract version and of the facts at a
// position. A line's quantity and amount are sums over the metering intervals
// of the period, exact until the one rounding of the line: half away from zero
// to the currency's minor unit. Tax is rounded once, on the sum of the lines;
// totals are sums of rounded amounts.
package rating

import (
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"wattbook/domain"
	"wattbook/projections/accrual"
	"wattbook/projections/facts"
)

// quantityPlaces is how many digits a line's quantity shows.
const quantityPlaces = 6

// ErrIncomplete means that a price or a meter of the period is not known yet.
// The error says which and where; a later run may succeed.
var ErrIncomplete = errors.New("the period is not complete")

// Draft returns the invoice of a contract for a period: all but its number and
// its dates. It returns a zero invoice for a period in which the contract is
// not in force, and an error that wraps [ErrIncomplete] where something is
// unknown or the period is not over yet.
func Draft(f *facts.Facts, id domain.ContractID, period domain.Period) (domain.Invoice, error) {
	b, err := inForce(f, id, period)
	if err != nil || len(b.terms) == 0 {
		return domain.Invoice{}, err
	}
	signed := b.terms[len(b.terms)-1].ContractSigned
	inv := domain.Invoice{
		Site: signed.Site, Contract: signed.Contract, Version: signed.Version, Seller: signed.Seller, Buyer: signed.Buyer,
		Period: period, Interval: b.interval, Zone: signed.Zone, AsOf: f.Next, Tax: signed.Tax,
		Subtotal: domain.Money{Currency: signed.Currency},
	}
	contracts, err := accrual.Terms(f, id, b.interval)
	if err != nil {
		return domain.Invoice{}, err
	}
	k := &collector{facts: f, days: dayBook{zone: b.zone}}
	for _, c := range contracts {
		if err := k.collect(c, c.Within(b.interval)); err != nil {
			return domain.Invoice{}, err
		}
	}
	inv.Daily = k.days.days
	for _, s := range k.sums {
		line, ok, err := s.line(signed.Currency)
		if err != nil {
			return domain.Invoice{}, fmt.Errorf("contract %s, charge %s: %w", id, s.charge.ID, err)
		}
		if !ok {
			continue
		}
		line.Line = int64(len(inv.Lines) + 1)
		inv.Lines = append(inv.Lines, line)
		inv.Subtotal = inv.Subtotal.Add(line.Amount)
	}
	if inv.TaxDue, err = signed.Currency.Round(inv.Subtotal.Decimal().Mul(signed.Tax.Rate)); err != nil {
		return domain.Invoice{}, err
	}
	inv.Total = inv.Subtotal.Add(inv.TaxDue)
	return inv, nil
}

// bill is what a period's invoice is drawn from.
type bill struct {
	interval domain.Interval // of the period, in the contract's zone
	zone     *time.Location
	terms    []facts.Term // in force in it; the last one heads the invoice
}

// inForce returns the versions of a contract that are in force in a period. It
// is an error if they cannot stand on one invoice, if another contract charges
// the same GPU time, or if the period is not over.
func inForce(f *facts.Facts, id domain.ContractID, period domain.Period) (bill, error) {
	for _, c := range slices.Backward(f.ContractVersions(id)) {
		zone, err := f.Zone(c.Zone)
		if err != nil {
			return bill{}, fmt.Errorf("contract %s: %w", id, err)
		}
		b := bill{interval: period.In(zone), zone: zone}
		b.terms = f.InForce(id, b.interval)
		if !slices.ContainsFunc(b.terms, func(t facts.Term) bool { return t.Version == c.Version }) {
			continue
		}
		for _, t := range b.terms {
			if t.Zone != c.Zone || t.Currency != c.Currency || !t.Tax.Rate.Equal(c.Tax.Rate) || t.Buyer.ID != c.Buyer.ID || t.Site != c.Site {
				return bill{}, fmt.Errorf("contract %s: versions %d and %d differ in site, customer, zone, currency or tax, and both are in force in %s; end the contract and sign a new one",
					id, t.Version, c.Version, period)
			}
		}
		if other, ok := rival(f, b); ok {
			return bill{}, fmt.Errorf("contract %s: contract %s charges the GPU time of customer %s in %s too, and no hour may be billed twice; end one of them",
				id, other, c.Buyer.ID, period)
		}
		end := b.terms[len(b.terms)-1].Interval.End
		if reached := f.Reached(c.Site); reached < end {
			return bill{}, fmt.Errorf("contract %s: %w: %s ends at %s, and what is known of %s reaches to %s", id, ErrIncomplete, period, end, c.Site, reached)
		}
		return b, nil
	}
	return bill{}, nil
}

// rival returns another contract that charges the customer's GPU time while
// the bill's does.
func rival(f *facts.Facts, b bill) (domain.ContractID, bool) {
	mine := slices.DeleteFunc(slices.Clone(b.terms), func(t facts.Term) bool { return !chargesGPUs(t) })
	for _, t := range mine {
		for _, id := range f.Contracts(t.Site) {
			for _, u := range f.InForce(id, t.Interval) {
				if id != t.Contract && u.Buyer.ID == t.Buyer.ID && chargesGPUs(u) {
					return id, true
				}
			}
		}
	}
	return "", false
}

func chargesGPUs(t facts.Term) bool {
	return slices.ContainsFunc(t.Charges, func(c domain.Charge) bool {
		return c.Kind == domain.ChargeReservedGPUs || c.Kind == domain.ChargeOnDemandGPUs
	})
}

// sum is what a charge, or its overage, comes to over the period.
type sum struct {
	version   int64
	charge    domain.Charge
	overage   bool
	quantity  *big.Rat
	amount    *big.Rat
	used      *big.Rat
	estimated *big.Rat
	span      domain.Interval
	intervals int64
}

// collector adds up the parts of all intervals, by charge in the order of the
// contract, and the usage of each local day.
type collector struct {
	facts *facts.Facts
	sums  []*sum
	days  dayBook
}

// collect adds what a version of the contract earned in an interval, metering
// interval by metering interval. The first and the last may be cut: by the
// version's start or end, or by the period's.
func (k *collector) collect(c *accrual.Contract, in domain.Interval) error {
	table := k.facts.Table(c.Site)
	for t := in.Start; t < in.End; {
		slot := table.Interval(table.SlotOf(t))
		part := slot.Overlap(in)
		for _, p := range c.Over(part) {
			if p.Amount == nil {
				return incomplete(k.facts, c, p, slot)
			}
			k.add(c.Version, p)
		}
		day := k.days.of(part.Start)
		day.Energy += c.Metered(part)
		day.GPU += c.Used(part)
		t = part.End
	}
	return nil
}

func (k *collector) add(version int64, p accrual.Part) {
	s := k.find(version, p)
	s.quantity.Add(s.quantity, p.Quantity)
	s.amount.Add(s.amount, p.Amount)
	if p.Used != nil {
		s.used.Add(s.used, p.Used)
	}
	if p.Estimated != nil {
		s.estimated.Add(s.estimated, p.Estimated)
	}
	s.span.End = p.Interval.End
	s.intervals++
}

// find returns the sum that a part belongs to. An overage stands right behind
// its charge.
func (k *collector) find(version int64, p accrual.Part) *sum {
	at := len(k.sums)
	for i, s := range k.sums {
		if s.version == version && s.charge.ID == p.Charge.ID {
			if s.overage == p.Overage {
				return s
			}
			at = i + 1
		}
	}
	s := &sum{
		version: version, charge: p.Charge, overage: p.Overage, span: p.Interval,
		quantity: new(big.Rat), amount: new(big.Rat), used: new(big.Rat), estimated: new(big.Rat),
	}
	k.sums = slices.Insert(k.sums, at, s)
	return s
}

// dayBook collects usage by local day; instants come in order.
type dayBook struct {
	zone *time.Location
	days []domain.DailyUsage
}

// of returns the day that an instant is in. A day is told by its date: where
// the clock skips midnight, no instant is the local 00:00 between two days.
func (b *dayBook) of(t domain.Instant) *domain.DailyUsage {
	day := t.Time().In(b.zone).Format(time.DateOnly)
	if n := len(b.days); n == 0 || b.days[n-1].Day != day {
		b.days = append(b.days, domain.DailyUsage{Day: day})
	}
	return &b.days[len(b.days)-1]
}

// incomplete says what is missing for a part that has no amount.
func incomplete(f *facts.Facts, c *accrual.Contract, p accrual.Part, at domain.Interval) error {
	table := f.Table(c.Site)
	for _, m := range p.Charge.Meters {
		if _, state := table.Energy(m, table.SlotOf(at.Start)); state == facts.Unknown {
			return fmt.Errorf("contract %s, charge %s: %w: meter %s has no reading for %s; import the reading, or wait for the meter", c.Contract, p.Charge.ID, ErrIncomplete, m, at)
		}
	}
	site, _ := f.SiteAt(c.Site, at.Start)
	return fmt.Errorf("contract %s, charge %s: %w: there is no price of power at %s in %s for %s; import it with: wattbook import prices",
		c.Contract, p.Charge.ID, ErrIncomplete, site.Node, c.Currency, at)
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
	rate := ch.Rate
	switch {
	case s.overage:
		l.Description += ", beyond the reservation"
		l.Unit, rate = "GPU-hour", ch.Overage
	case ch.Kind == domain.ChargeReservedGPUs:
		l.Unit = "GPU-month"
		hours := new(big.Rat).SetFrac64(int64(s.span.Length())*ch.Quantity, int64(domain.Hour))
		l.Detail = fmt.Sprintf("take or pay: used %s of %s GPU-hours reserved", domain.RoundRat(s.used, 1), domain.RoundRat(hours, 1))
	case ch.Kind == domain.ChargeOnDemandGPUs:
		l.Unit = "GPU-hour"
	case ch.Kind == domain.ChargeReservedPower:
		l.Unit = "kW-month"
	case ch.Kind == domain.ChargePassThrough:
		l.Unit = "kWh"
		l.Detail = fmt.Sprintf("metered, each of %d intervals at its published price", s.intervals)
		if !ch.Adder.IsZero() {
			l.Detail += fmt.Sprintf(" plus %s %s per MWh", ch.Adder, currency)
		}
		if !ch.LossPortion.IsZero() {
			l.Detail += fmt.Sprintf(", with losses of %s %%", ch.LossPortion.Shift(2))
		}
	}
	if ch.Kind != domain.ChargePassThrough {
		l.UnitPrice = &rate
	}
	var err error
	l.Amount, err = currency.Round(domain.RoundRat(s.amount, currency.Digits()))
	return l, true, err
}
