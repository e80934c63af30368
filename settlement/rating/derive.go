package rating

import (
	"fmt"
	"math/big"
	"slices"
	"strings"

	"wattbook/domain"
	"wattbook/projections/accrual"
	"wattbook/projections/availability"
	"wattbook/projections/facts"
)

// deriver adds the lines that are computed from other lines.
type deriver struct {
	rater     *Rater
	facts     *facts.Facts
	bill      bill
	contracts []*accrual.Contract // by version in the period
	begun     int                 // how many of them are in force in upTo
	upTo      domain.Interval     // what is rated: all of the period, or its beginning
	invoice   *domain.Invoice
	terms     []int // of the invoice's lines: number of the version, or -1 for all

	claimed func(charge string) bool // whether a credit that is given on claim is claimed
	silence func(domain.DeviceID, domain.Interval) []domain.Interval
	partial bool              // a charge that cannot be computed is left out
	blind   bool              // how available devices were is not known yet
	stood   map[carried]stood // as far as it was asked for; nil: it is not kept
}

// carried names what a commitment carries over from the period before: terms of
// which that depends.
type carried struct {
	charge   string
	months   int64
	rollover bool
	from     domain.Instant
}

// stood is how a commitment stood after the period before, or why that is not
// known.
type stood struct {
	domain.Balance
	err error
}

// add appends a line.
func (d *deriver) add(term int, l domain.InvoiceLine) {
	l.Line = int64(len(d.invoice.Lines) + 1)
	d.invoice.Lines = append(d.invoice.Lines, l)
	d.terms = append(d.terms, term)
}

// derive adds the lines of the charges that are computed from others, in the
// order of the contract. A percentage is of the lines of its own version; all
// else is computed once for the period: by the terms of the last version that
// has it, with the amounts of each version for its part of the month.
func (d *deriver) derive() error {
	for i, c := range d.contracts[:d.begun] {
		for _, ch := range c.Charges {
			if !ch.Derived() {
				continue
			}
			later := slices.ContainsFunc(d.contracts[i+1:d.begun], func(o *accrual.Contract) bool { _, ok := o.Same(ch); return ok })
			if later && ch.Kind != domain.ChargePercentage {
				continue
			}
			if err := d.one(i, ch); err != nil && !d.partial {
				return fmt.Errorf("charge %s: %w", ch.ID, err)
			}
		}
	}
	return nil
}

func (d *deriver) one(term int, ch domain.Charge) error {
	switch ch.Kind {
	case domain.ChargePercentage:
		return d.percentage(term, ch)
	case domain.ChargeMinimum, domain.ChargeMaximum:
		return d.bound(ch)
	case domain.ChargeCommitment:
		return d.commitment(ch)
	case domain.ChargeSLACredit:
		return d.credit(ch)
	}
	return fmt.Errorf("kind %q is not computed from others", ch.Kind)
}

// spent returns the sum of the lines that a charge is computed from: of one
// version, or of all if term is -1.
func (d *deriver) spent(term int, ch domain.Charge) domain.Money {
	sum := domain.Money{Currency: d.invoice.Subtotal.Currency}
	for i, l := range d.invoice.Lines {
		covered := slices.Contains(ch.Of, l.Charge)
		if len(ch.Of) == 0 {
			covered = !domain.Charge{Kind: l.Kind}.Derived()
		}
		if covered && (term < 0 || d.terms[i] == term) {
			sum = sum.Add(l.Amount)
		}
	}
	return sum
}

// span returns the part of an interval of the period in which versions have the
// charge, from the first to the last, what portion of the month that is, and the
// charge's amount for each version's part of the month.
func (d *deriver) span(ch domain.Charge, of domain.Interval) (span domain.Interval, portion, amount *big.Rat) {
	portion, amount = new(big.Rat), new(big.Rat)
	for _, c := range d.contracts {
		own, ok := c.Same(ch)
		in := own.InForce(c.Within(of))
		if !ok || !in.Valid() {
			continue
		}
		if span.End == 0 {
			span.Start = in.Start
		}
		span.End = in.End
		part := c.PortionOfMonth(in)
		portion.Add(portion, part)
		amount.Add(amount, part.Mul(part, own.Amount.Rat()))
	}
	return span, portion, amount
}

// entry makes a line of an amount that is computed from others.
func (d *deriver) entry(ch domain.Charge, span domain.Interval, suffix string, amount domain.Money, detail string) domain.InvoiceLine {
	return domain.InvoiceLine{
		Charge: ch.ID, Kind: ch.Kind, Description: ch.Description + suffix, Interval: span,
		Quantity: domain.NewDecimal(1, 0), Unit: "each", Amount: amount, Detail: detail,
	}
}

func (d *deriver) percentage(term int, ch domain.Charge) error {
	span := ch.InForce(d.contracts[term].Within(d.upTo))
	base := d.spent(term, ch)
	amount, err := base.Currency.Round(base.Decimal().Mul(ch.Portion))
	if err != nil || amount.IsZero() || !span.Valid() {
		return err
	}
	d.add(term, d.entry(ch, span, "", amount, fmt.Sprintf("%s %% of %s", ch.Portion.Shift(2), base)))
	return nil
}

func (d *deriver) bound(ch domain.Charge) error {
	span, portion, amount := d.span(ch, d.upTo)
	spent := d.spent(-1, ch)
	limit, err := spent.Currency.Round(domain.RoundRat(amount, spent.Currency.Digits()))
	if err != nil || !span.Valid() {
		return err
	}
	detail := fmt.Sprintf("%s %s; charged %s", ch.Kind, limit, spent)
	if portion.Cmp(big.NewRat(1, 1)) != 0 {
		detail = fmt.Sprintf("%s %s for %s of a month; charged %s", ch.Kind, limit, domain.RoundRat(portion, quantityPlaces), spent)
	}
	if apart := limit.Sub(spent); ch.Kind == domain.ChargeMinimum && apart.Minor > 0 || ch.Kind == domain.ChargeMaximum && apart.Minor < 0 {
		d.add(-1, d.entry(ch, span, "", apart, detail))
	}
	return nil
}

// term returns what is added to a commitment in the period, and whether its
// term ends with it.
func (d *deriver) term(ch domain.Charge, amount *big.Rat) (added domain.Money, ends bool, err error) {
	currency := d.invoice.Subtotal.Currency
	if ch.Months <= 1 {
		added, err = currency.Round(domain.RoundRat(amount, currency.Digits()))
		return added, true, err
	}
	p, months := d.invoice.Period, d.age(ch)
	added = domain.Money{Currency: currency}
	if months%ch.Months == 0 {
		added, err = currency.Round(ch.Amount)
	}
	over := len(d.facts.InForce(d.invoice.Contract, p.Next().In(d.bill.zone))) == 0
	ended := ch.Until != 0 && ch.Until <= d.bill.interval.End
	return added, months%ch.Months == ch.Months-1 || over || ended, err
}

// since returns when a commitment began.
func (d *deriver) since(ch domain.Charge) domain.Instant {
	return max(d.facts.ContractVersions(d.invoice.Contract)[0].Start, ch.From)
}

// age returns how many months after the one in which a commitment began the
// period is.
func (d *deriver) age(ch domain.Charge) int64 {
	start, p := d.since(ch).Time().In(d.bill.zone), d.invoice.Period
	return int64(p.Year-start.Year())*12 + int64(p.Month-start.Month())
}

// before returns how a commitment stood after the period before.
func (d *deriver) before(ch domain.Charge) (domain.Balance, error) {
	k := carried{ch.ID, ch.Months, ch.Rollover, ch.From}
	s, ok := d.stood[k]
	if !ok {
		s.Balance, s.err = d.previous(ch)
		if d.stood != nil {
			d.stood[k] = s
		}
	}
	return s.Balance, s.err
}

// previous computes how a commitment stood after the period before. Where
// nothing can be left of it, that period is not rated again.
func (d *deriver) previous(ch domain.Charge) (domain.Balance, error) {
	nothing := domain.Money{Currency: d.invoice.Subtotal.Currency}
	b := domain.Balance{Closing: nothing, Rolled: nothing}
	begins := ch.Months <= 1 || d.age(ch)%ch.Months == 0
	if begins && !ch.Rollover || d.since(ch) >= d.bill.interval.Start {
		return b, nil
	}
	inv, err := d.rater.rate(d.invoice.Contract, d.invoice.Period.Previous())
	if err != nil {
		return b, err
	}
	for _, last := range inv.Balances {
		if last.Charge == ch.ID && last.Closing.Currency == nothing.Currency {
			return last, nil
		}
	}
	return b, nil
}

func (d *deriver) commitment(ch domain.Charge) error {
	span, portion, _ := d.span(ch, d.upTo)
	if !span.Valid() {
		return nil
	}
	_, whole, amount := d.span(ch, d.bill.interval)
	added, ends, err := d.term(ch, amount)
	if err != nil {
		return err
	}
	last, err := d.before(ch)
	if err != nil {
		return err
	}
	spent := d.spent(-1, ch)
	least := func(a, b domain.Money) domain.Money {
		if a.Minor < b.Minor {
			return a
		}
		return b
	}
	left := spent
	left.Minor = max(left.Minor, 0)
	rolled := least(left, last.Rolled) // paid in the term before, and drawn first
	fresh := least(left.Sub(rolled), last.Closing.Sub(last.Rolled).Add(added))
	over := left.Sub(rolled).Sub(fresh)
	b := domain.Balance{Charge: ch.ID, Opening: last.Closing, Added: added, Drawn: rolled.Add(fresh), Rolled: last.Rolled.Sub(rolled)}
	b.Closing = b.Opening.Add(b.Added).Sub(b.Drawn)
	b.Expired = domain.Money{Currency: spent.Currency}
	if !rolled.IsZero() {
		d.add(-1, d.entry(ch, span, ", paid in the term before", rolled.Neg(), fmt.Sprintf("%s rolled over, %s of it used", last.Rolled, rolled)))
	}
	if factor := ch.OverageFactor.Sub(domain.NewDecimal(1, 0)); !ch.OverageFactor.IsZero() && !over.IsZero() {
		extra, err := over.Currency.Round(over.Decimal().Mul(factor))
		if err != nil {
			return err
		}
		if !extra.IsZero() {
			d.add(-1, d.entry(ch, span, ", beyond the commitment", extra, fmt.Sprintf("spent %s, %s beyond the commitment at %s times its price", spent, over, ch.OverageFactor)))
		}
	}
	if ends {
		unspent := b.Closing.Sub(b.Rolled)
		b.Expired = b.Closing
		committed := last.Closing.Sub(last.Rolled).Add(added)
		due, err := committed.Currency.Round(domain.RoundRat(new(big.Rat).Mul(committed.Decimal().Rat(), new(big.Rat).Quo(portion, whole)), committed.Currency.Digits()))
		if err != nil {
			return err
		}
		if due = due.Sub(fresh); ch.TrueUp && due.Minor > 0 {
			d.add(-1, d.entry(ch, span, ", not spent", due, fmt.Sprintf("committed %s, spent %s", committed, fresh)))
		}
		if ch.Rollover {
			b.Expired = b.Rolled
			b.Rolled = unspent
		} else {
			b.Rolled = domain.Money{Currency: spent.Currency}
		}
		b.Closing = b.Rolled
	}
	d.invoice.Balances = append(d.invoice.Balances, b)
	return nil
}

// credit gives back what the availability that was promised was not kept for.
func (d *deriver) credit(ch domain.Charge) error {
	span, _, _ := d.span(ch, d.upTo)
	if d.blind || !span.Valid() || ch.SLA.OnClaim && !d.claimed(ch.ID) {
		return nil
	}
	signed := d.contracts[d.begun-1]
	a, err := availability.From(d.facts, signed.Site, ch.SLA.Devices, span, signed.Maintenance, ch.SLA.MinimumOutage, d.silence)
	if err != nil {
		return err
	}
	available := a.Portion()
	portion, base := ch.SLA.Credit(available), d.spent(-1, ch)
	amount, err := base.Currency.Round(base.Decimal().Mul(portion).Neg())
	if err != nil || amount.IsZero() {
		return err
	}
	d.add(-1, d.entry(ch, span, "", amount, fmt.Sprintf("available for %s %% of %s in service: %d outage(s) of at least %s, %s in all; %s %% of %s",
		domain.RoundRat(new(big.Rat).Mul(available, big.NewRat(100, 1)), 4), length(a.Promised), a.Counting(), length(ch.SLA.MinimumOutage), length(a.Down), portion.Shift(2), base)))
	return nil
}

// length writes a duration without the parts that are nothing: "6h", not
// "6h0m0s".
func length(d domain.Duration) string {
	s := d.String()
	if short, ok := strings.CutSuffix(s, "m0s"); ok {
		s = short + "m"
	}
	if short, ok := strings.CutSuffix(s, "h0m"); ok {
		s = short + "h"
	}
	return s
}
