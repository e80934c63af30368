package journal

import (
	"fmt"
	"math/big"
	"slices"

	"wattbook/domain"
	"wattbook/projections/accrual"
	"wattbook/projections/facts"
	"wattbook/projections/margin"
)

// ledger adds exact amounts up and gives out whole minor units: what is given
// out for an account is never further than half a unit from what was added.
type ledger struct {
	exact map[string]*big.Rat
	given map[string]int64
}

func newLedger() *ledger { return &ledger{map[string]*big.Rat{}, map[string]int64{}} }

func (l *ledger) add(account string, amount *big.Rat) {
	if l.exact[account] == nil {
		l.exact[account] = new(big.Rat)
	}
	l.exact[account].Add(l.exact[account], amount)
}

// take returns the units of an account that are not given out yet.
func (l *ledger) take(account string, digits int32) int64 {
	v, _ := domain.RoundRat(l.exact[account], digits).Scaled(digits)
	more := v.Int64() - l.given[account]
	l.given[account] += more
	return more
}

// accrue makes the entries of revenue and of the cost of energy of an
// interval, for each local day that begins in it.
func (b *builder) accrue(iv domain.Interval, pending bool) ([]Entry, error) {
	site, ok := b.facts.Site(b.site)
	table := b.facts.Table(b.site)
	if !ok || table == nil {
		return nil, fmt.Errorf("site %s is not registered", b.site)
	}
	var all []Entry
	for _, id := range b.facts.Contracts(b.site) {
		entries, err := b.revenue(id, table, iv, pending)
		if err != nil {
			return nil, err
		}
		all = append(all, entries...)
	}
	energy, err := b.cost(site, iv, pending)
	return append(all, energy...), err
}

// revenue accrues what a contract earns interval by interval.
func (b *builder) revenue(id domain.ContractID, table *facts.Table, iv domain.Interval, pending bool) ([]Entry, error) {
	terms, err := accrual.Terms(b.facts, id, iv)
	if err != nil || len(terms) == 0 {
		return nil, err
	}
	first, end := table.Slots(iv)
	var all []Entry
	var from ref
	currency := terms[0].Currency
	sums := map[domain.Period]*ledger{}
	touched := map[string]bool{}
	day, period := "", domain.Period{}
	flush := func() {
		if day == "" {
			return
		}
		e := Entry{Date: day, Narration: fmt.Sprintf("Accrual of contract %s", id), Pending: pending, Event: from.event, Position: from.position}
		of := billed{id, period}
		sum := int64(0)
		for _, account := range sorted(touched) {
			if v := sums[period].take(account, currency.Digits()); v != 0 {
				sum += v
				e.Postings = append(e.Postings, minor(account, -v, currency))
				if b.unbilled[of] == nil {
					b.unbilled[of] = map[string]int64{}
				}
				b.unbilled[of][account] += v
			}
		}
		if len(e.Postings) > 0 {
			if sum != 0 {
				e.Postings = append([]Posting{minor(unbilled(id), sum, currency)}, e.Postings...)
			}
			all = append(all, e)
		}
		clear(touched)
	}
	for s := first; s < end; s++ {
		slot := table.Interval(s)
		for _, c := range terms {
			if c.Currency != currency {
				continue // an invoice of two currencies is refused
			}
			for _, p := range c.Over(slot) {
				if d := dateIn(b.zone(), slot.Start); d != day || c.Period(p.Interval.Start) != period {
					flush()
					day, period = d, c.Period(p.Interval.Start)
				}
				if sums[period] == nil {
					sums[period] = newLedger()
				}
				from = b.refs[fmt.Sprintf("contract %s %d", id, c.Version)]
				if p.Amount == nil || p.Amount.Sign() == 0 {
					continue // what is unknown is revenue when it is invoiced
				}
				unit := ""
				if p.Charge.Measure == domain.MeasureEnergy {
					unit = "kWh"
				}
				account := incomeOf(p.Charge.Kind, unit)
				touched[account] = true
				sums[period].add(account, p.Amount)
			}
		}
	}
	flush()
	return all, nil
}

func sorted(set map[string]bool) []string {
	var all []string
	for k := range set {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

// cost accrues what energy costs at its published price, and its delivery.
func (b *builder) cost(site domain.SiteRegistered, iv domain.Interval, pending bool) ([]Entry, error) {
	from, digits := b.refs["site"], site.Currency.Digits()
	account := accruedEnergy(site)
	var all []Entry
	sums, touched, day := newLedger(), map[string]bool{}, ""
	flush := func() {
		e := Entry{Date: day, Narration: "Energy used", Pending: pending, Event: from.event, Position: from.position}
		sum := int64(0)
		for _, a := range sorted(touched) {
			if v := sums.take(a, digits); v != 0 {
				sum += v
				e.Postings = append(e.Postings, minor(a, v, site.Currency))
			}
		}
		if len(e.Postings) > 0 {
			b.energy[day] += sum
			if sum != 0 {
				e.Postings = append(e.Postings, minor(account, -sum, site.Currency))
			}
			all = append(all, e)
		}
		clear(touched)
	}
	for row, err := range margin.Rows(b.facts, b.site, iv) {
		if err != nil {
			return nil, err
		}
		if d := dateIn(b.zone(), row.Interval.Start); d != day {
			flush()
			day = d
		}
		for _, u := range []struct {
			name string
			use  margin.Use
		}{{"Mining", row.Mining}, {"AI", row.AI}, {"Overhead", row.Overhead}} {
			if u.use.Cost == nil {
				continue
			}
			delivery := site.Dispatch.Adder.Mul(u.use.Energy.MegawattHours())
			for _, part := range []struct {
				name   string
				amount domain.Decimal
			}{{"Supply", u.use.Cost.Sub(delivery)}, {"Delivery", delivery}} {
				a := "Expenses:Energy:" + u.name + ":" + part.name
				touched[a] = true
				sums.add(a, part.amount.Rat())
			}
		}
	}
	flush()
	return all, nil
}

// open accrues the days that no closing covers, from what is known at the head
// of the log.
func (b *builder) open() error {
	table := b.facts.Table(b.site)
	if table == nil {
		return nil
	}
	slices.SortFunc(b.closed, func(x, y domain.PeriodClosed) int { return int(x.Interval.Start.Sub(y.Interval.Start) / domain.Day) })
	known := domain.Interval{Start: table.Start(), End: table.End()}
	var gaps []domain.Interval
	for _, c := range b.closed {
		if gap := (domain.Interval{Start: known.Start, End: min(c.Interval.Start, known.End)}); gap.Valid() {
			gaps = append(gaps, gap)
		}
		known.Start = max(known.Start, c.Interval.End)
	}
	if known.Valid() {
		gaps = append(gaps, known)
	}
	for _, gap := range gaps {
		for _, run := range table.Extent(gap.Start) { // a reading of another century is not followed by its years
			if run = run.Overlap(gap); !run.Valid() {
				continue
			}
			entries, err := b.accrue(run, true)
			if err != nil {
				return err
			}
			b.entries = append(b.entries, entries...)
		}
	}
	return nil
}

// utility books a bill of the utility. Where all of its interval is closed,
// what was accrued for it is trued up to the bill; else that waits until it is.
func (b *builder) utility(rec domain.Recorded, e domain.UtilityBilled) {
	site, ok := b.facts.Site(b.site)
	if !ok || e.Amount.Currency != site.Currency || !b.counted(domain.ContractID(b.site), e.Reference, rec) {
		return
	}
	b.book(rec, e.At, fmt.Sprintf("Utility bill %s for %s to %s", e.Reference, e.Interval.Start, e.Interval.End),
		money(accruedEnergy(site), e.Amount), money("Liabilities:Payable:Utility", e.Amount.Neg()))
	b.bills = append(b.bills, e)
	b.trueUp(rec, e.At)
}

func accruedEnergy(site domain.SiteRegistered) string {
	return "Liabilities:AccruedEnergy:" + name(site.RevenueMeter)
}

// trueUp books the differences of bills to what was accrued for their
// intervals, as soon as those are closed.
func (b *builder) trueUp(rec domain.Recorded, at domain.Instant) {
	site, _ := b.facts.Site(b.site)
	b.bills = slices.DeleteFunc(b.bills, func(e domain.UtilityBilled) bool {
		covered := domain.Duration(0)
		for _, c := range b.facts.Periods() {
			if part := c.Interval.Overlap(e.Interval); c.Site == b.site && part.Valid() {
				covered += part.Length()
			}
		}
		if covered < e.Interval.Length() {
			return false
		}
		accrued := int64(0)
		for day, v := range b.energy {
			if day >= dateIn(b.zone(), e.Interval.Start) && day < dateIn(b.zone(), e.Interval.End) {
				accrued += v
			}
		}
		difference := e.Amount.Minor - accrued
		b.book(rec, at, fmt.Sprintf("Utility bill %s against what was accrued from %s to %s", e.Reference, e.Interval.Start, e.Interval.End),
			minor("Expenses:Energy:TrueUp", difference, site.Currency), minor(accruedEnergy(site), -difference, site.Currency))
		return true
	})
}

// reconciled books the mining of a day at its value at inception, and what the
// pool does not state of it; of a later reconciliation, what it changes.
func (b *builder) reconciled(rec domain.Recorded, e domain.PayoutReconciled) {
	site, _ := b.facts.Site(b.site)
	variance := e.Expected - e.Stated
	if slices.ContainsFunc(e.Lines, func(l domain.BridgeLine) bool { return l.Cause == domain.CauseUnstated }) {
		variance = 0
	}
	was := b.mined[e.Interval.Start]
	b.mined[e.Interval.Start] = mined{e.Expected, variance}
	expected, variance := e.Expected-was.expected, variance-was.variance
	price, ok := b.facts.LastBitcoinPrice(site.Currency, e.Interval.Start)
	if !ok {
		return // of no known value: it is booked when its price is known
	}
	worth := func(s domain.Satoshi) domain.Money {
		m, err := site.Currency.Round(s.BTC().Mul(price))
		if err != nil {
			return domain.Money{Currency: site.Currency}
		}
		return m
	}
	pool := name(e.Pool)
	b.book(rec, e.Interval.Start, fmt.Sprintf("Mining for %s, at %s %s per BTC", e.Pool, price, site.Currency),
		bitcoin("Assets:PoolReceivable:"+pool, expected-variance),
		bitcoin("Equity:Conversions", variance-expected),
		money("Equity:Conversions", worth(expected).Sub(worth(variance))),
		money("Income:Mining:"+pool, worth(expected).Neg()),
		money("Expenses:PoolVariance:"+pool, worth(variance)))
}

// receipt names an output to an address.
type receipt struct{ transaction, address string }

// payout books what arrived. What arrives again, in another block, is booked
// once: an entry says by how much it changed.
func (b *builder) payout(rec domain.Recorded, e domain.PayoutReceived) {
	k := receipt{e.Transaction, e.Address}
	before := b.received[k]
	if e.Block != "" {
		if b.received[k] = e; before.Amount == e.Amount {
			return
		}
	}
	b.arrive(rec, e, e.Amount-before.Amount, "Payout")
}

// reverse takes back what did not arrive after all.
func (b *builder) reverse(rec domain.Recorded, e domain.PayoutReversed) {
	k := receipt{e.Transaction, e.Address}
	if before, ok := b.received[k]; ok && before.Block == e.Block {
		delete(b.received, k)
		b.arrive(rec, before, -before.Amount, "Undone payout")
	}
}

func (b *builder) arrive(rec domain.Recorded, e domain.PayoutReceived, amount domain.Satoshi, what string) {
	site, ok := b.facts.Site(b.site)
	if !ok || site.Pool.Pool != e.Pool || site.Pool.Account != e.Account {
		return
	}
	b.book(rec, e.At, fmt.Sprintf("%s %s of %s", what, e.Transaction, e.Pool),
		bitcoin("Assets:Digital:BTC:"+name(e.Account), amount), bitcoin("Assets:PoolReceivable:"+name(e.Pool), -amount))
}
