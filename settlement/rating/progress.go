package rating

import (
	"math/big"
	"slices"

	"wattbook/domain"
	"wattbook/projections/accrual"
)

// Progress is what a contract comes to in a period up to an instant that moves
// on: the lines that its invoice would have if the period were over. Tiers,
// packages and the greatest power are those of what was used so far; minimums,
// maximums and what is due of a commitment are for the portion of the month so
// far. At the period's end the lines are those of the invoice. What is not known
// is left out.
type Progress struct {
	rater     *Rater
	bill      bill
	contracts []*accrual.Contract
	sums      collector
	stood     map[carried]stood
}

// Begin returns the progress of the period of a contract's version: nothing is
// collected yet. Versions of another currency or zone are left out, since no
// invoice can have both.
func (r *Rater) Begin(c *accrual.Contract, period domain.Period) (*Progress, error) {
	zone, err := r.facts.Zone(c.Zone)
	if err != nil {
		return nil, err
	}
	p := &Progress{rater: r, bill: bill{interval: period.In(zone), zone: zone}, stood: map[carried]stood{}}
	p.contracts, err = accrual.Terms(r.facts, c.Contract, p.bill.interval)
	p.contracts = slices.DeleteFunc(p.contracts, func(o *accrual.Contract) bool { return o.Zone != c.Zone || o.Currency != c.Currency })
	return p, err
}

// Interval returns the period.
func (p *Progress) Interval() domain.Interval { return p.bill.interval }

// Contracts returns the versions that are in force in the period, by time.
func (p *Progress) Contracts() []*accrual.Contract { return p.contracts }

// Piece is what a contract comes to in a part of a period, exactly and before
// any rounding.
type Piece struct{ parts []part }

// part is what a piece keeps of a sum: what its amount follows from.
type part struct {
	key
	quantity, amount, peak *big.Rat // nil: none
}

// Collect returns what an interval of the period comes to. The progress stays
// where it is.
func (p *Progress) Collect(iv domain.Interval) (Piece, error) {
	k := &collector{facts: p.rater.facts, tally: p.rater.tally, partial: true}
	for i, c := range p.contracts {
		if in := c.Within(iv.Overlap(p.bill.interval)); in.Valid() {
			if err := k.collect(i, c, in); err != nil {
				return Piece{}, err
			}
		}
	}
	parts := make([]part, len(k.sums))
	for i, s := range k.sums {
		parts[i] = part{key: s.key, quantity: s.quantity, peak: s.peak}
		if s.amount.Sign() != 0 {
			parts[i].amount = s.amount
		}
	}
	return Piece{parts}, nil
}

// Add moves the progress on by a piece of its period. Pieces come in the order
// of time.
func (p *Progress) Add(piece Piece) {
	for _, o := range piece.parts {
		s := p.sums.find(o.key, accrual.Part{Charge: p.contracts[o.term].Charges[o.charge]})
		s.quantity.Add(s.quantity, o.quantity)
		if o.amount != nil {
			s.amount.Add(s.amount, o.amount)
		}
		if o.peak != nil {
			s.demand(o.peak, nil)
		}
	}
}

// Known is what the lines up to an instant rest on beside what is collected.
type Known struct {
	// Claimed reports whether a credit that is given on claim is claimed.
	Claimed func(charge string) bool
	// Silence returns the spans of an interval in which a device reported
	// nothing. Nil: that is not known yet, and there are no service credits.
	Silence func(domain.DeviceID, domain.Interval) []domain.Interval
}

// Lines returns what the period comes to up to an instant, up to which all
// pieces are added: lines without a number, and with a text only where it says
// how they are computed from others.
func (p *Progress) Lines(until domain.Instant, known Known) []domain.InvoiceLine {
	upTo := domain.Interval{Start: p.bill.interval.Start, End: min(until, p.bill.interval.End)}
	begun := 0
	for begun < len(p.contracts) && p.contracts[begun].Within(upTo).Valid() {
		begun++
	}
	if begun == 0 {
		return nil
	}
	signed := p.contracts[begun-1]
	inv := domain.Invoice{Contract: signed.Contract, Period: signed.Period(p.bill.interval.Start), Subtotal: domain.Money{Currency: signed.Currency}}
	d := &deriver{
		rater: p.rater, facts: p.rater.facts, bill: p.bill, contracts: p.contracts, begun: begun, upTo: upTo, invoice: &inv,
		claimed: known.Claimed, silence: known.Silence, stood: p.stood, partial: true, blind: known.Silence == nil,
	}
	for _, s := range p.priced() {
		if s.quantity.Sign() == 0 && s.amount.Sign() == 0 {
			continue
		}
		l := domain.InvoiceLine{Charge: s.charge.ID, Kind: s.charge.Kind}
		var err error
		if l.Amount, err = signed.Currency.Round(domain.RoundRat(s.amount, signed.Currency.Digits())); err == nil {
			d.add(s.term, l)
		}
	}
	_ = d.derive() // what cannot be computed is left out
	return inv.Lines
}

// priced returns copies of the sums that are priced as far as they go.
func (p *Progress) priced() []*sum {
	k := collector{sums: make([]*sum, len(p.sums.sums))}
	for i, s := range p.sums.sums {
		so := *s
		so.quantity, so.amount = new(big.Rat).Set(s.quantity), new(big.Rat).Set(s.amount)
		k.sums[i] = &so
	}
	k.price()
	return k.sums
}
