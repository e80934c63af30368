package pools

import (
	"fmt"
	"math/big"

	"wattbook/domain"
	"wattbook/projections/facts"
	"wattbook/projections/margin"
)

// Basis says what a day's mining revenue rests on.
type Basis = margin.Basis

// The bases, in the order in which knowledge arrives.
const (
	Estimated = margin.Estimated
	Stated    = margin.Stated
	Received  = margin.Received
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

// BasisAt returns what the mining revenue of a metering interval rests on:
// received, if all that pools state for the day of it has arrived.
func BasisAt(f *facts.Facts, row margin.Row) Basis {
	if row.Mined.Basis != Stated {
		return Estimated
	}
	for _, w := range row.Mined.Accounts {
		for _, a := range Accounts(f, row.Site) {
			if a.Terms.Pool != w.Pool || a.Terms.Account != w.Account {
				continue
			}
			around := domain.Interval{Start: row.Interval.Start.Add(-domain.Day), End: row.Interval.Start.Add(domain.Day)}
			for r := range Days(f, a, around) {
				if basis, _ := BasisOf(f, a, r); r.Interval.Contains(row.Interval.Start) && basis != Received {
					return Stated
				}
			}
		}
	}
	return Received
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
// What is stated takes the place of what was estimated, interval by interval as
// margins have it, at the price of each. Of several accounts, each bears the
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
		estimated, revenue, cost := a.part(row)
		m.Estimated, m.Revenue = m.Estimated.Add(estimated), m.Revenue.Add(revenue)
		m.Cost = m.Cost.Add(cost)
	}
	return m, nil
}

// part returns the account's part of what mining earned and cost in an interval
// of which both are known, and of what its work should have earned: nothing, if
// that is not known.
func (a Account) part(row margin.Row) (estimated, revenue, cost domain.Decimal) {
	if row.Estimate != nil {
		estimated = *row.Estimate
	}
	revenue, cost = *row.Mining.Revenue, *row.Mining.Cost
	all := row.Mined.Accounts
	if len(all) == 0 || len(all) == 1 && all[0].Pool == "" {
		return estimated, revenue, cost // no miners, or the site named its account later
	}
	portion := func(of domain.Decimal, part, whole *big.Rat) domain.Decimal {
		if part == nil || whole == nil || whole.Sign() == 0 {
			return domain.Decimal{}
		}
		part = new(big.Rat).Mul(part, of.Rat())
		return domain.RoundRat(part.Quo(part, whole), margin.Places)
	}
	for i, w := range all {
		switch {
		case w.Pool != a.Terms.Pool || w.Account != a.Terms.Account:
			continue
		case len(all) == 1:
			return estimated, revenue, cost
		case row.Mined.Shares.Sign() > 0:
			cost = portion(cost, new(big.Rat).SetInt(w.Shares.Big()), new(big.Rat).SetInt(row.Mined.Shares.Big()))
		case i > 0:
			cost = domain.Decimal{}
		}
		return portion(estimated, w.Expected, row.Mined.Expected), portion(revenue, w.Earned, row.Mined.Earned), cost
	}
	return domain.Decimal{}, domain.Decimal{}, domain.Decimal{}
}
