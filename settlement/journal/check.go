package journal

import (
	"fmt"
	"strings"

	"wattbook/domain"
	"wattbook/projections/facts"
	"wattbook/settlement/pools"
)

// CheckCoin compares the bitcoin of the books with the reconciliation of a
// site's pool accounts, and returns what differs: what the pools owe with what
// they state less what they paid, and what is held with what arrived less what
// was sold. Days that are not stated and not reconciled are in neither.
func CheckCoin(f *facts.Facts, b Books, accounts []pools.Account) (findings []string) {
	sums := map[string]domain.Decimal{}
	for _, e := range b.Entries {
		for _, p := range e.Postings {
			if p.Commodity != Bitcoin || e.Pending {
				continue
			}
			k := p.Account
			if strings.HasPrefix(k, holdings) || k == coinShort {
				k = holdings
			}
			sums[k] = sums[k].Add(p.Amount)
		}
	}
	find := func(what string, got, want domain.Decimal) {
		if !got.Equal(want) {
			findings = append(findings, fmt.Sprintf("the books have %s BTC %s, the reconciliation %s", got.Fixed(8), what, want.Fixed(8)))
		}
	}
	var holds domain.Satoshi
	for _, a := range accounts {
		of := account{a.Terms.Pool, a.Terms.Account}
		owed := stated(f, a)
		for _, p := range pools.Settle(f, a, nil).Payouts {
			owed -= p.Received + p.OffChain + p.Fee
			holds += p.Received + p.OffChain
		}
		got := domain.Decimal{}
		for _, prefix := range []string{poolReceivable, poolUnmatched, poolOverpaid} {
			got = got.Add(sums[of.on(prefix)])
		}
		find("owed by "+of.String(), got, owed.BTC())
	}
	for _, s := range f.CoinSales(b.Site.Site) {
		holds -= s.Amount + s.NetworkFee
	}
	find("held", sums[holdings], holds.BTC())
	return findings
}

// stated returns what an account's pool states for all days, and what is
// expected of days that are reconciled without a statement; less what was given
// up of it.
func stated(f *facts.Facts, a pools.Account) (sum domain.Satoshi) {
	always := domain.Interval{Start: -1 << 62, End: 1 << 62}
	days := map[domain.Instant]*day{}
	at := func(start domain.Instant) *day {
		if days[start] == nil {
			days[start] = &day{}
		}
		return days[start]
	}
	for _, s := range f.Statements(a.Terms.Pool, a.Terms.Account, always) {
		if s.Interval.Length() == domain.Day {
			at(s.Interval.Start).stated = &s.PoolStatementReceived
		}
	}
	for _, r := range f.Reconciled(a.Terms.Pool, a.Terms.Account, always) {
		at(r.Interval.Start).reconciled = &r.Reconciliation
	}
	for start, d := range days {
		if m, ok := f.Marked(a.Terms.Pool, a.Terms.Account, start); ok {
			d.marked = &m
		}
		sum += d.parts().owed
	}
	return sum
}
