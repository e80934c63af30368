// Package margin answers what each use of energy earned and cost in every
// metering interval.
//
// Amounts are in the site's currency, rounded once, half away from zero, to
// ten digits ([Places]); sums of rows are sums of the rounded amounts. A
// price, a meter or a difficulty that is not known makes the amounts that need
// it unknown, never zero.
//
// What mining earned is what its accepted work should earn, until the pool has
// stated the whole day: from then on the day's amount, divided over its
// intervals by their work, to the satoshi. A row says which it is. Decisions are
// taken from estimates and are not touched.
package margin

import (
	"fmt"
	"iter"
	"math/big"

	"wattbook/domain"
	"wattbook/projections/accrual"
	"wattbook/projections/balance"
	"wattbook/projections/facts"
)

// Places is the number of digits that an amount keeps.
const Places = 10

// Row is the margin of one metering interval.
type Row struct {
	Site     domain.SiteID
	Interval domain.Interval
	Price    *domain.Decimal // of energy, per MWh, without the site's adder
	Mining   Use
	AI       Use
	Overhead Use // metered overhead, losses and residual: all that no use is charged with
	Cost     *domain.Decimal
	Margin   *domain.Decimal // of the site
	Mined    Work
	// Estimate is what accepted work should earn, at the price of bitcoin: the
	// revenue of mining until its pool states it. Nil: not known.
	Estimate *domain.Decimal
	// Estimated is true if any meter was estimated.
	Estimated bool
}

// Use is one use of energy in an interval. A nil amount is unknown.
type Use struct {
	Energy  domain.Energy
	State   facts.State
	Revenue *domain.Decimal
	Cost    *domain.Decimal
	Margin  *domain.Decimal
}

// Work is what the miners did in an interval, and what it should earn.
type Work struct {
	Shares   domain.ShareDifficulty
	Reported int64 // miners that reported
	Miners   int64 // miners that there are
	// Provisional is true while the fees of the day's blocks are not published
	// and those of the last day before it stand in.
	Provisional bool
	// Expected is what the pool should pay for it under its agreed terms, in
	// satoshi before rounding to whole ones. It is nil while the network's
	// difficulty or fees are not known, or if no miner reported.
	Expected *big.Rat
	// Earned is what mining revenue is of, in satoshi: the part of what the pool
	// states for the day, or Expected, as Basis says. It is nil if that is not
	// known.
	Earned *big.Rat
	Basis  Basis
	// Accounts are the parts of it by pool account, the site's first one first,
	// if any miner reported. They sum to the whole.
	Accounts []AccountWork
}

// AccountWork is the work that one pool account gets in an interval, and what
// it should earn.
type AccountWork struct {
	Pool     domain.PoolID
	Account  string
	Shares   domain.ShareDifficulty
	Expected *big.Rat // these three as in [Work]
	Earned   *big.Rat
	Basis    Basis
}

// Rows yields the margin of each interval of a site in order.
func Rows(f *facts.Facts, id domain.SiteID, iv domain.Interval) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		if f.Table(id) == nil {
			yield(Row{}, fmt.Errorf("margins of %s: the site is not registered", id))
			return
		}
		m := &maker{facts: f, id: id, table: f.Table(id), works: map[domain.Instant]Work{}}
		for _, d := range f.Devices(id) {
			if d.Kind == domain.KindMiner {
				m.miners++
			}
		}
		first, end := m.table.Slots(iv)
		all := domain.Interval{Start: m.table.Interval(first).Start, End: m.table.Interval(end).Start}
		for _, contract := range f.Contracts(id) {
			terms, err := accrual.Terms(f, contract, all)
			if err != nil {
				yield(Row{}, fmt.Errorf("margins of %s: %w", id, err))
				return
			}
			m.terms = append(m.terms, terms...)
		}
		for _, terms := range f.PoolAccounts(id) {
			if stated := Statements(f, terms, all); len(stated) > 0 {
				m.stated = append(m.stated, &division{terms: terms, stated: stated})
			}
		}
		for b := range balance.Rows(f, id, iv) {
			if !yield(m.row(b), nil) {
				return
			}
		}
	}
}

// maker computes rows; it remembers what changes seldom.
type maker struct {
	facts  *facts.Facts
	id     domain.SiteID
	site   domain.SiteRegistered // the terms that hold in the row
	table  *facts.Table
	miners int64
	terms  []*accrual.Contract
	stated []*division
	works  map[domain.Instant]Work // of the days that are divided
}

func (m *maker) row(b balance.Row) Row {
	m.site, _ = m.facts.SiteAt(m.id, b.Interval.Start)
	r := Row{Site: m.id, Interval: b.Interval, Estimated: b.Estimated()}
	r.Mining.Energy, r.Mining.State = b.Use(domain.UseMining)
	r.AI.Energy, r.AI.State = b.Use(domain.UseAI)
	r.Overhead.Energy, r.Overhead.State = b.Revenue-r.Mining.Energy-r.AI.Energy, facts.Metered
	switch {
	case !b.Closed():
		r.Overhead.State = facts.Unknown
	case b.Estimated():
		r.Overhead.State = facts.Estimated
	}
	r.Mined = m.earn(m.work(b.Interval), b.Interval.Start)
	r.Estimate = m.mining(r.Mined.Expected, b.Interval)
	if r.Mining.Revenue = r.Estimate; r.Mined.Basis == Stated || r.Mined.Earned != r.Mined.Expected {
		r.Mining.Revenue = m.mining(r.Mined.Earned, b.Interval)
	}
	r.AI.Revenue = m.ai(b.Interval)
	zero := domain.Decimal{}
	r.Overhead.Revenue = &zero

	if price, ok := m.facts.PowerPriceIn(m.site.Node, m.site.Currency, b.Interval); ok {
		r.Price = &price
		each := price.Add(m.site.Dispatch.Adder)
		for _, u := range []*Use{&r.Mining, &r.AI, &r.Overhead} {
			if u.State != facts.Unknown {
				u.Cost = amount(each.Mul(u.Energy.MegawattHours()))
			}
		}
		if b.State != facts.Unknown {
			r.Cost = amount(each.Mul(b.Revenue.MegawattHours()))
		}
	}
	for _, u := range []*Use{&r.Mining, &r.AI, &r.Overhead} {
		u.Margin = less(u.Revenue, u.Cost)
	}
	r.Margin = less(plus(r.Mining.Revenue, r.AI.Revenue), r.Cost)
	return r
}

// work sums what the miners did, and prices it epoch by epoch. Work inside an
// interval in which the difficulty changes is split by time.
func (m *maker) work(iv domain.Interval) Work {
	if w, ok := m.works[iv.Start]; ok {
		return w
	}
	m.site, _ = m.facts.SiteAt(m.id, iv.Start)
	c := m.table.Total(domain.ChannelShares, m.table.SlotOf(iv.Start))
	w := Work{Shares: domain.ShareDifficulty{Int128: c.Value}, Reported: int64(c.Reported), Miners: m.miners}
	if _, exact, ok := m.facts.FeesPerBlock(iv.Start); ok {
		w.Provisional = !exact
	}
	switch {
	case w.Reported > 0:
		m.accounts(&w, iv)
	case w.Miners == 0:
		w.Expected = new(big.Rat) // nobody to work
	}
	if len(m.stated) > 0 { // a day that is divided is asked for again, row by row
		if int64(len(m.works)) > keptDays*int64(domain.Day/m.table.Step) {
			clear(m.works)
		}
		m.works[iv.Start] = w
	}
	return w
}

// keptDays is of how many days the work is kept: those of accounts may begin at
// different hours.
const keptDays = 3

// accounts prices the work account by account, each under its own terms.
func (m *maker) accounts(w *Work, iv domain.Interval) {
	w.Expected = new(big.Rat)
	for _, t := range append([]domain.PoolTerms{m.site.Pool}, m.site.Accounts...) {
		part := AccountWork{Pool: t.Pool, Account: t.Account}
		part.Shares.Int128, _ = m.table.AccountWork(m.site, t, domain.ChannelShares, m.table.SlotOf(iv.Start))
		part.Expected = Expected(m.facts, t, part.Shares, iv)
		part.Earned, part.Basis = part.Expected, Estimated
		w.Expected = add(w.Expected, part.Expected)
		w.Accounts = append(w.Accounts, part)
	}
}

// add adds what is known; with what is not, nothing is.
func add(a, b *big.Rat) *big.Rat {
	if a == nil || b == nil {
		return nil
	}
	return new(big.Rat).Add(a, b)
}

// Expected returns what work done over an interval should earn under the
// pool's agreed terms, in satoshi, or nil if the network's difficulty or fees
// are not known. Where the pool pays by the blocks that it finds, it is the
// mean.
func Expected(f *facts.Facts, terms domain.PoolTerms, shares domain.ShareDifficulty, iv domain.Interval) *big.Rat {
	fees, _, ok := f.FeesPerBlock(iv.Start)
	if !ok {
		return nil
	}
	sum := new(big.Rat)
	for _, part := range terms.Split(f.Epochs(iv)) {
		d, ok := f.Difficulty(part.Start)
		if !ok {
			return nil
		}
		portion := domain.WorkPortion(shares, d.Bits)
		portion.Mul(portion, big.NewRat(int64(part.Length()), int64(iv.Length())))
		base, feePart, fee, err := domain.Earned(portion, domain.Subsidy(d.Height), fees, terms.At(part.Start))
		if err != nil {
			return nil
		}
		sum.Add(sum, base).Add(sum, feePart).Sub(sum, fee)
	}
	return sum
}

// mining values satoshi at the price of bitcoin.
func (m *maker) mining(satoshi *big.Rat, iv domain.Interval) *domain.Decimal {
	if satoshi == nil || satoshi.Sign() == 0 {
		return decimalOf(satoshi)
	}
	price, ok := m.facts.BitcoinPrice(m.site.Currency, iv)
	if !ok {
		return nil
	}
	return decimalOf(new(big.Rat).Mul(satoshi, price.Shift(-8).Rat()))
}

// decimalOf rounds an amount; what is unknown stays so.
func decimalOf(r *big.Rat) *domain.Decimal {
	if r == nil {
		return nil
	}
	v := domain.RoundRat(r, Places)
	return &v
}

// ai sums what the contracts in force earn. Of a contract in another currency
// that is not known, since nothing is known of rates of exchange.
func (m *maker) ai(iv domain.Interval) *domain.Decimal {
	sum := new(big.Rat)
	for _, c := range m.terms {
		for _, p := range c.Over(iv) {
			if p.Amount == nil || c.Currency != m.site.Currency {
				return nil
			}
			sum.Add(sum, p.Amount)
		}
	}
	return decimalOf(sum)
}

func amount(d domain.Decimal) *domain.Decimal { d = d.Round(Places); return &d }

func plus(a, b *domain.Decimal) *domain.Decimal {
	if a == nil || b == nil {
		return nil
	}
	d := a.Add(*b)
	return &d
}

func less(a, b *domain.Decimal) *domain.Decimal {
	if a == nil || b == nil {
		return nil
	}
	d := a.Sub(*b)
	return &d
}

// Totals are the sums of rows. Sums leave out what is unknown; Unknown counts
// the intervals whose site margin is.
type Totals struct {
	Intervals, Unknown, Estimated int64
	Stated                        int64 // intervals whose mining revenue a pool states
	Mining, AI, Overhead          Sum
	Cost, Margin                  domain.Decimal
	Shares                        domain.ShareDifficulty
	Expected                      *big.Rat
	Priced                        int64 // intervals with a price of energy
	LowestPrice, HighestPrice     domain.Decimal
	NegativePrices                int64
}

// Sum is the sum of a use over rows.
type Sum struct {
	Energy                domain.Energy
	Revenue, Cost, Margin domain.Decimal
}

// Total adds rows up.
func Total(rows iter.Seq2[Row, error]) (Totals, error) {
	t := Totals{Expected: new(big.Rat)}
	add := func(sum *domain.Decimal, v *domain.Decimal) {
		if v != nil {
			*sum = sum.Add(*v)
		}
	}
	for r, err := range rows {
		if err != nil {
			return t, err
		}
		t.Intervals++
		if r.Margin == nil {
			t.Unknown++
		}
		if r.Estimated {
			t.Estimated++
		}
		if r.Mined.Basis == Stated {
			t.Stated++
		}
		for _, p := range []struct {
			sum *Sum
			use Use
		}{{&t.Mining, r.Mining}, {&t.AI, r.AI}, {&t.Overhead, r.Overhead}} {
			p.sum.Energy += p.use.Energy
			add(&p.sum.Revenue, p.use.Revenue)
			add(&p.sum.Cost, p.use.Cost)
			add(&p.sum.Margin, p.use.Margin)
		}
		add(&t.Cost, r.Cost)
		add(&t.Margin, r.Margin)
		t.Shares.Int128 = t.Shares.Add(r.Mined.Shares.Int128)
		if r.Mined.Expected != nil {
			t.Expected.Add(t.Expected, r.Mined.Expected)
		}
		if r.Price != nil {
			if t.Priced == 0 || r.Price.Cmp(t.LowestPrice) < 0 {
				t.LowestPrice = *r.Price
			}
			if t.Priced == 0 || r.Price.Cmp(t.HighestPrice) > 0 {
				t.HighestPrice = *r.Price
			}
			if r.Price.Sign() < 0 {
				t.NegativePrices++
			}
			t.Priced++
		}
	}
	return t, nil
}

// Digest is the digest of rows: equal rows have equal digests, on any machine.
// Mining revenue is in it as accepted work estimates it, whatever pools state:
// closings that are on record are of that.
func Digest(rows iter.Seq2[Row, error]) (domain.Digest, error) {
	var d domain.Digester
	for r, err := range rows {
		if err != nil {
			return domain.Digest{}, err
		}
		mining := r.Mining
		mining.Revenue, mining.Margin = r.Estimate, less(r.Estimate, r.Mining.Cost)
		site := less(plus(r.Estimate, r.AI.Revenue), r.Cost)
		fmt.Fprintln(&d, r.Interval, text(r.Price), text(r.Cost), text(site), r.Mined.Shares, r.Mined.Reported, r.Mined.Miners, r.Mined.Provisional)
		for _, u := range []Use{mining, r.AI, r.Overhead} {
			fmt.Fprintln(&d, int64(u.Energy), u.State, text(u.Revenue), text(u.Cost), text(u.Margin))
		}
	}
	return d.Digest(), nil
}

func text(v *domain.Decimal) string {
	if v == nil {
		return "unknown"
	}
	return v.String()
}
