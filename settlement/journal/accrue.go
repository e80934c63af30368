package journal

import (
	"cmp"
	"fmt"
	"maps"
	"math/big"
	"slices"

	"wattbook/domain"
	"wattbook/projections/facts"
	"wattbook/projections/margin"
	"wattbook/settlement/rating"
)

// ledger adds exact amounts up and gives out whole minor units: what is given
// out for an account is never further than half a unit from what was added.
type ledger struct {
	exact map[string]*big.Rat
	given map[string]int64
}

func newLedger() *ledger { return &ledger{map[string]*big.Rat{}, map[string]int64{}} }

// take returns the units of an account that are not given out yet.
func (l *ledger) take(account string, digits int32) int64 {
	more := units(l.exact[account], digits) - l.given[account]
	l.given[account] += more
	return more
}

// units rounds an exact amount to minor units.
func units(amount *big.Rat, digits int32) int64 {
	v, _ := domain.RoundRat(amount, digits).Scaled(digits)
	return v.Int64()
}

// accrued is what accrues over an interval: its entries, what of it is not
// billed by income account, and what energy cost by local day.
type accrued struct {
	entries  []Entry
	unbilled map[billed]map[string]int64
	energy   map[string]int64
}

// piece is what energy costs exactly in part of a local day, by account.
type piece struct {
	day     string
	amounts map[string]*big.Rat
}

// add adds an amount to one of several sums.
func add[K comparable](sums map[K]*big.Rat, k K, amount *big.Rat) {
	if sums[k] == nil {
		sums[k] = new(big.Rat)
	}
	sums[k].Add(sums[k], amount)
}

// drawing is how an interval is accrued: as of what position, whether it may
// change, and how the periods of contracts that began before it stand.
type drawing struct {
	asOf    domain.Position
	pending bool
	rater   *rating.Rater
	periods map[billed]*standing
}

func drawn(f *facts.Facts, asOf domain.Position, pending bool) drawing {
	return drawing{asOf, pending, rating.New(f), map[billed]*standing{}}
}

// standingInvoice is an invoice from its issue on until it is voided.
type standingInvoice struct {
	number        string
	issued, voids domain.Position
}

// keep keeps when a credit was claimed first, and from when on a period is
// invoiced: what is closed of it later, in a site whose months end at other
// times than the contract's, is on the invoice.
func (b *builder) keep(rec domain.Recorded) {
	switch e := rec.Event.(type) {
	case domain.ServiceCreditClaimed:
		k := claim{e.Contract, e.Charge, e.Period}
		if _, ok := b.claims[k]; !ok {
			at := e.At
			if at == 0 {
				at = rec.RecordedAt
			}
			b.claims[k] = claimed{rec.Position, at}
			b.claimsOf[billed{e.Contract, e.Period}]++
		}
	case domain.InvoiceIssued:
		of := billed{e.Invoice.Contract, e.Invoice.Period}
		if !slices.ContainsFunc(b.invoices[of], func(i standingInvoice) bool { return i.number == e.Invoice.Number }) {
			b.invoices[of] = append(b.invoices[of], standingInvoice{e.Invoice.Number, rec.Position, 1<<63 - 1})
		}
	case domain.InvoiceVoided:
		for i, v := range b.invoices[billed{e.Contract, e.Period}] {
			if v.number == e.Invoice {
				b.invoices[billed{e.Contract, e.Period}][i].voids = min(v.voids, rec.Position)
			}
		}
	}
}

// invoiced reports whether a contract's period is invoiced as of a position.
func (b *builder) invoiced(of billed, asOf domain.Position) bool {
	return slices.ContainsFunc(b.invoices[of], func(i standingInvoice) bool { return i.issued < asOf && i.voids >= asOf })
}

// accrue makes the entries of revenue, of service credits and of the cost of
// energy of an interval, for each local day that begins in it.
func (b *builder) accrue(f *facts.Facts, iv domain.Interval, d drawing) (accrued, error) {
	out := accrued{unbilled: map[billed]map[string]int64{}, energy: map[string]int64{}}
	site, ok := f.Site(b.site)
	if !ok || f.Table(b.site) == nil {
		return out, fmt.Errorf("site %s is not registered", b.site)
	}
	days := b.days(f, iv)
	for _, id := range f.Contracts(b.site) {
		if err := b.earn(&out, f, id, iv, days, d); err != nil {
			return out, err
		}
	}
	var pieces []piece
	for _, day := range days {
		now, ok := b.kept.cost[day.Interval]
		if !ok {
			var err error
			if now, err = spent(f, site, day.date, day.Interval); err != nil {
				return out, err
			}
		}
		if b.fresh != nil {
			b.fresh.cost[day.Interval] = now
		}
		pieces = append(pieces, now)
	}
	b.cost(&out, site, pieces, d.pending)
	return out, nil
}

// localDay is a local day, or the part of it that is accrued.
type localDay struct {
	date string
	domain.Interval
}

// days cuts an interval into its local days.
func (b *builder) days(f *facts.Facts, iv domain.Interval) (all []localDay) {
	table, zone := f.Table(b.site), zoneOf(f, b.site)
	for s, end := table.Slots(iv); s < end; s++ {
		slot := table.Interval(s)
		date := dateIn(zone, slot.Start)
		if n := len(all); n == 0 || all[n-1].date != date {
			all = append(all, localDay{date, slot})
		}
		all[len(all)-1].End = slot.End
	}
	return all
}

// spent returns what energy costs in part of a local day at its published
// price, and its delivery.
func spent(f *facts.Facts, site domain.SiteRegistered, day string, iv domain.Interval) (piece, error) {
	now := piece{day: day, amounts: map[string]*big.Rat{}}
	for row, err := range margin.Rows(f, site.Site, iv) {
		if err != nil {
			return now, err
		}
		for _, u := range []struct {
			name string
			use  margin.Use
		}{{"Mining", row.Mining}, {"AI", row.AI}, {"Overhead", row.Overhead}} {
			if u.use.Cost == nil {
				continue
			}
			delivery := site.Dispatch.Adder.Mul(u.use.Energy.MegawattHours())
			add(now.amounts, "Expenses:Energy:"+u.name+":Supply", u.use.Cost.Sub(delivery).Rat())
			add(now.amounts, "Expenses:Energy:"+u.name+":Delivery", delivery.Rat())
		}
	}
	return now, nil
}

// cost makes the entries of the cost of energy, one a day.
func (b *builder) cost(out *accrued, site domain.SiteRegistered, pieces []piece, pending bool) {
	from, digits := b.refs["site"], site.Currency.Digits()
	sums := newLedger()
	for _, p := range pieces {
		e := Entry{Date: p.day, Narration: "Energy used", Pending: pending, Event: from.event, Position: from.position}
		sum := int64(0)
		for _, account := range slices.Sorted(maps.Keys(p.amounts)) {
			add(sums.exact, account, p.amounts[account])
			if v := sums.take(account, digits); v != 0 {
				sum += v
				e.Postings = append(e.Postings, minor(account, v, site.Currency))
			}
		}
		if len(e.Postings) == 0 {
			continue
		}
		out.energy[p.day] += sum
		if sum != 0 {
			e.Postings = append(e.Postings, minor(accruedEnergy(site), -sum, site.Currency))
		}
		out.entries = append(out.entries, e)
	}
}

// open accrues the days that no closing covers, from what is known.
func (b *builder) open(f *facts.Facts) ([]Entry, error) {
	table := f.Table(b.site)
	if table == nil {
		return nil, nil
	}
	slices.SortFunc(b.closed, func(x, y domain.PeriodClosed) int { return cmp.Compare(x.Interval.Start, y.Interval.Start) })
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
	var all []Entry
	d := drawn(f, f.Next, true)
	for _, gap := range gaps {
		for _, run := range table.Extent(gap.Start) { // a reading of another century is not followed by its years
			if run = run.Overlap(gap); !run.Valid() {
				continue
			}
			of, err := b.accrue(f, run, d)
			if err != nil {
				return nil, err
			}
			all = append(all, of.entries...)
		}
	}
	return all, nil
}
