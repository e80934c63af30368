package pools

import (
	"fmt"
	"math/big"

	"wattbook/domain"
	"wattbook/projections/facts"
	"wattbook/projections/margin"
)

// Basis says what a day's mining revenue rests on.
type Basis string

// The bases, in the order in which knowledge arrives.
const (
	Estimated Basis = "estimated" // from accepted work
	Stated    Basis = "stated"    // by the pool, for the whole day
	Received  Basis = "received"  // stated, and paid in full
)

// BasisOf returns what the revenue of a reconciled day of an account rests on,
// and the revenue in satoshi: what is expected until the pool has stated the
// whole day, and from then on what it states. It is received once no satoshi of
// that is unpaid or on its way; the fee of a transaction that the pool keeps is
// no less revenue.
func BasisOf(f *facts.Facts, a Account, r domain.Reconciliation) (Basis, domain.Satoshi) {
	for _, s := range f.Statements(a.Terms.Pool, a.Terms.Account, r.Interval) {
		if s.Interval != r.Interval || !s.Complete {
			continue
		}
		for _, l := range r.Lines {
			open := l.Cause == domain.CauseUnpaid || l.Cause == domain.CauseBalance || l.Cause == domain.CauseTransit
			if open && l.Satoshi > 0 {
				return Stated, s.Net
			}
		}
		return Received, s.Net
	}
	return Estimated, r.Expected
}

// Margin is what mining earned on an earning day, by what is known of it.
type Margin struct {
	Basis     Basis
	Satoshi   domain.Satoshi // revenue by that basis
	Revenue   domain.Decimal // likewise, in the site's currency, to ten digits
	Estimated domain.Decimal // what accepted work should have earned
	Cost      domain.Decimal // of the energy
	// Unknown counts the intervals of the day of which revenue or cost is not
	// known: they are not in the sums.
	Unknown int64
}

// Margin returns revenue less cost.
func (m Margin) Margin() domain.Decimal { return m.Revenue.Sub(m.Cost) }

// MarginOf returns the margin of mining on a reconciled day of a site's account.
// What is stated takes the place of what was estimated at the same prices: those
// at which each interval's work was valued. Of several accounts, each bears the
// cost of the energy in proportion to the work that it got in the interval;
// where there was none, the site's first bears it.
func MarginOf(f *facts.Facts, a Account, r domain.Reconciliation) (Margin, error) {
	var m Margin
	m.Basis, m.Satoshi = BasisOf(f, a, r)
	for row, err := range margin.Rows(f, a.Site, r.Interval) {
		if err != nil {
			return m, fmt.Errorf("margin of %s on %s: %w", a.Terms.Pool, r.Interval, err)
		}
		if row.Mining.Revenue == nil || row.Mining.Cost == nil {
			m.Unknown++
			continue
		}
		revenue, cost := a.part(row)
		m.Estimated = m.Estimated.Add(revenue)
		m.Cost = m.Cost.Add(cost)
	}
	m.Revenue = m.Estimated
	if m.Basis != Estimated && r.Expected > 0 {
		v := new(big.Rat).Mul(m.Estimated.Rat(), big.NewRat(int64(m.Satoshi), int64(r.Expected)))
		m.Revenue = domain.RoundRat(v, margin.Places)
	}
	return m, nil
}

// part returns the account's part of what mining earned and cost in an interval
// of which both are known.
func (a Account) part(row margin.Row) (revenue, cost domain.Decimal) {
	revenue, cost = *row.Mining.Revenue, *row.Mining.Cost
	all := row.Mined.Accounts
	if len(all) == 0 || len(all) == 1 && all[0].Pool == "" {
		return revenue, cost // no miners, or the site named its account later
	}
	portion := func(of domain.Decimal, part, whole *big.Rat) domain.Decimal {
		return domain.RoundRat(part.Mul(part, of.Rat()).Quo(part, whole), margin.Places)
	}
	for i, w := range all {
		switch {
		case w.Pool != a.Terms.Pool || w.Account != a.Terms.Account:
			continue
		case len(all) == 1:
			return revenue, cost
		case row.Mined.Shares.Sign() > 0:
			cost = portion(cost, new(big.Rat).SetInt(w.Shares.Big()), new(big.Rat).SetInt(row.Mined.Shares.Big()))
		case i > 0:
			cost = domain.Decimal{}
		}
		if row.Mined.Expected.Sign() > 0 {
			return portion(revenue, new(big.Rat).Set(w.Expected), row.Mined.Expected), cost
		}
		return domain.Decimal{}, cost
	}
	return domain.Decimal{}, domain.Decimal{}
}
