// Package rating turns a contract and what is known of a period into the
// lines and totals of an invoice.
//
// It is a pure function of the contract version and of the facts at a
// position. A line's quantity and amount are sums over the metering intervals
// of the period, exact until the one rounding of the line: half away from zero
// to the currency's minor unit. Tiers and packages price the period's sum; an
// amendment in the period goes on counting. Charges that are computed from
// others (percentages, minimums, commitments, credits) are computed from their
// rounded lines, so that a reader can do it again on paper. Tax is rounded
// once, on the sum of the lines; totals are sums of rounded amounts.
package rating

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"wattbook/domain"
	"wattbook/projections/accrual"
	"wattbook/projections/availability"
	"wattbook/projections/facts"
)

// quantityPlaces is how many digits a line's quantity shows.
const quantityPlaces = 6

// ErrIncomplete means that a price or a meter of the period is not known yet.
// The error says which and where; a later run may succeed.
var ErrIncomplete = errors.New("the period is not complete")

// Rater drafts the invoices of contracts, one after the other, from the same
// facts: what contracts share is looked up once. It is of no use when more is
// known, and not safe for concurrent use.
type Rater struct {
	facts *facts.Facts
	tally *accrual.Tallier
	rooms map[room][]domain.ContractID // that charge a buyer's GPU time at some time; nil until it is needed
	first domain.Period                // that the last draft rests on
}

// room is a buyer at a site.
type room struct {
	site  domain.SiteID
	buyer domain.CustomerID
}

// New returns a rater of what is known.
func New(f *facts.Facts) *Rater { return &Rater{facts: f, tally: accrual.NewTallier(f)} }

// Draft is [Rater.Draft] of a single contract.
func Draft(f *facts.Facts, id domain.ContractID, period domain.Period) (domain.Invoice, error) {
	return New(f).Draft(id, period)
}

// Draft returns the invoice of a contract for a period: all but its number and
// its dates. It returns a zero invoice for a period in which the contract is
// not in force, and an error that wraps [ErrIncomplete] where something is
// unknown or the period is not over yet.
func (r *Rater) Draft(id domain.ContractID, period domain.Period) (domain.Invoice, error) {
	r.first = period
	inv, err := r.rate(id, period)
	if err != nil || inv.Contract == "" {
		return domain.Invoice{}, err
	}
	inv.Prepaid, err = prepaid(r.facts, inv)
	return inv, err
}

// First returns the earliest period that the last draft rests on: one before
// its own, if a commitment carries on from there.
func (r *Rater) First() domain.Period { return r.first }

// rate is [Rater.Draft] without what was prepaid.
func (r *Rater) rate(id domain.ContractID, period domain.Period) (domain.Invoice, error) {
	f := r.facts
	if r.first.After(period) {
		r.first = period
	}
	b, err := r.inForce(id, period)
	if err != nil || len(b.terms) == 0 {
		return domain.Invoice{}, err
	}
	signed := b.terms[len(b.terms)-1].ContractSigned
	inv := domain.Invoice{
		Site: signed.Site, Contract: signed.Contract, Version: signed.Version, Seller: signed.Seller, Buyer: signed.Buyer,
		Period: period, Interval: b.interval, Zone: signed.Zone, AsOf: f.Next, Tax: signed.Tax,
		Subtotal: domain.Money{Currency: signed.Currency}, BuyerReference: signed.BuyerReference, OrderReference: signed.OrderReference,
	}
	contracts, err := accrual.Terms(f, id, b.interval)
	if err != nil {
		return domain.Invoice{}, err
	}
	k := &collector{facts: f, tally: r.tally, days: &dayBook{zone: b.zone}}
	for i, c := range contracts {
		if err := k.collect(i, c, c.Within(b.interval)); err != nil {
			return domain.Invoice{}, err
		}
	}
	inv.Daily = k.days.days
	k.price()
	d := &deriver{
		rater: r, facts: f, bill: b, contracts: contracts, begun: len(contracts), upTo: b.interval, invoice: &inv,
		claimed: func(charge string) bool { return f.Claimed(id, charge, period) },
		silence: func(d domain.DeviceID, in domain.Interval) []domain.Interval {
			return availability.Silence(f, signed.Site, d, in)
		},
	}
	for _, s := range k.sums {
		line, ok, err := s.line(signed.Currency)
		if err != nil {
			return domain.Invoice{}, fmt.Errorf("contract %s, charge %s: %w", id, s.charge.ID, err)
		}
		if ok {
			d.add(s.term, line)
		}
	}
	if err := d.derive(); err != nil {
		return domain.Invoice{}, fmt.Errorf("contract %s: %w", id, err)
	}
	for _, l := range inv.Lines {
		inv.Subtotal = inv.Subtotal.Add(l.Amount)
	}
	if inv.TaxDue, err = signed.Currency.Round(inv.Subtotal.Decimal().Mul(signed.Tax.Rate)); err != nil {
		return domain.Invoice{}, err
	}
	inv.Total = inv.Subtotal.Add(inv.TaxDue)
	return inv, nil
}

// Prepaid returns what is left of what was prepaid on a contract in a currency:
// less what invoices on record have drawn, and with what notes gave back.
func Prepaid(f *facts.Facts, id domain.ContractID, c domain.Currency) domain.Money {
	left := domain.Money{Currency: c}
	for _, p := range f.Prepayments(id) {
		if p.Amount.Currency == c {
			left = left.Add(p.Amount)
		}
	}
	if left.Minor <= 0 {
		return left
	}
	draw := func(m domain.Money) {
		if m.Currency == c {
			left = left.Sub(m)
		}
	}
	for _, i := range f.InvoicesOf(id) {
		if f.Voided(i.Invoice.Number) {
			continue
		}
		draw(i.Invoice.Prepaid)
		for _, n := range f.Notes(i.Invoice.Number) {
			draw(n.Note.Prepaid)
		}
	}
	return left
}

// prepaid returns how much of an invoice is paid from what is left of what was
// prepaid on its contract.
func prepaid(f *facts.Facts, inv domain.Invoice) (domain.Money, error) {
	left := Prepaid(f, inv.Contract, inv.Total.Currency)
	if left.Minor <= 0 || inv.Total.Minor <= 0 {
		return domain.Money{}, nil
	}
	most := inv.Total
	for _, c := range f.ContractVersions(inv.Contract) {
		if c.Version == inv.Version && !c.PrepaidPortion.IsZero() {
			var err error
			if most, err = c.Currency.Round(inv.Total.Decimal().Mul(c.PrepaidPortion)); err != nil {
				return domain.Money{}, err
			}
		}
	}
	if left.Minor > most.Minor {
		return most, nil
	}
	return left, nil
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
func (r *Rater) inForce(id domain.ContractID, period domain.Period) (bill, error) {
	f := r.facts
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
			if differ(t.ContractSigned, c) != "" {
				return bill{}, fmt.Errorf("contract %s: versions %d and %d differ in site, customer, zone, currency or tax, and both are in force in %s; end the contract and sign a new one",
					id, t.Version, c.Version, period)
			}
		}
		if other, ok := r.rival(b); ok {
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
func (r *Rater) rival(b bill) (domain.ContractID, bool) {
	mine := slices.DeleteFunc(slices.Clone(b.terms), func(t facts.Term) bool { return !chargesGPUs(t.ContractSigned) })
	for _, t := range mine {
		for _, id := range r.charging(room{t.Site, t.Buyer.ID}) {
			if id == t.Contract {
				continue
			}
			for _, u := range r.facts.InForce(id, t.Interval) {
				if u.Buyer.ID == t.Buyer.ID && chargesGPUs(u.ContractSigned) {
					return id, true
				}
			}
		}
	}
	return "", false
}

// charging returns the contracts that charge a buyer's GPU time at some time,
// by name.
func (r *Rater) charging(of room) []domain.ContractID {
	if r.rooms == nil {
		r.rooms = map[room][]domain.ContractID{}
		for _, s := range r.facts.Sites() {
			for _, id := range r.facts.Contracts(s.Site) {
				for _, c := range r.facts.ContractVersions(id) {
					k := room{s.Site, c.Buyer.ID}
					if chargesGPUs(c) && !slices.Contains(r.rooms[k], id) {
						r.rooms[k] = append(r.rooms[k], id)
					}
				}
			}
		}
	}
	return r.rooms[of]
}

func chargesGPUs(c domain.ContractSigned) bool {
	return slices.ContainsFunc(c.Charges, domain.Charge.TakesGPUs)
}
