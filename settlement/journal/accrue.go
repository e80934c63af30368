package journal

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
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

// piece is what accrues exactly in part of a local day: of a contract and
// billing period by line, or of energy by expense account.
type piece struct {
	day     string
	period  domain.Period
	version int64 // of the contract
	lines   map[line]*big.Rat
	amounts map[string]*big.Rat
}

// line is what an invoice shows on a line of its own, and rounds there.
type line struct {
	account      string
	version      int64
	charge       string
	step, window int
	overage      bool
}

// add adds an amount to one of several sums.
func add[K comparable](sums map[K]*big.Rat, k K, amount *big.Rat) {
	if sums[k] == nil {
		sums[k] = new(big.Rat)
	}
	sums[k].Add(sums[k], amount)
}

// span names the pieces of a contract, or those of energy, in part of a day.
type span struct {
	contract domain.ContractID
	domain.Interval
}

// drawing is how an interval is accrued: as of what position, whether it may
// change, and how the service credits of periods that began before it stand.
type drawing struct {
	asOf    domain.Position
	pending bool
	credits map[billed]*standing
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
	for _, id := range f.Contracts(b.site) {
		terms, err := accrual.Terms(f, id, iv)
		if err != nil {
			return out, err
		}
		if len(terms) == 0 {
			continue
		}
		currency := terms[0].Currency
		pieces, err := b.earned(f, id, currency, iv)
		if err != nil {
			return out, err
		}
		pieces = slices.DeleteFunc(pieces, func(p piece) bool { return b.invoiced(billed{id, p.period}, d.asOf) })
		b.revenue(&out, id, currency, pieces, d.pending)
		if err := b.credits(&out, f, id, iv, pieces, d); err != nil {
			return out, err
		}
	}
	pieces, err := b.pieces(f, "", iv, func(day string, part domain.Interval) ([]piece, error) { return spent(f, site, day, part) })
	if err != nil {
		return out, err
	}
	b.cost(&out, site, pieces, d.pending)
	return out, nil
}

// days cuts an interval into its local days.
func (b *builder) days(f *facts.Facts, iv domain.Interval) iter.Seq2[string, domain.Interval] {
	return func(yield func(string, domain.Interval) bool) {
		table, zone := f.Table(b.site), zoneOf(f, b.site)
		for s, end := table.Slots(iv); s < end; {
			day, first := dateIn(zone, table.Interval(s).Start), s
			for s < end && dateIn(zone, table.Interval(s).Start) == day {
				s++
			}
			if !yield(day, domain.Interval{Start: table.Interval(first).Start, End: table.Interval(s - 1).End}) {
				return
			}
		}
	}
}

// pieces returns the pieces of an interval, computed day by day. Those that
// are kept from before are not computed again.
func (b *builder) pieces(f *facts.Facts, id domain.ContractID, iv domain.Interval, compute func(day string, part domain.Interval) ([]piece, error)) ([]piece, error) {
	var all []piece
	for day, part := range b.days(f, iv) {
		of := span{id, part}
		some, ok := b.kept[of]
		if !ok {
			var err error
			if some, err = compute(day, part); err != nil {
				return nil, err
			}
		}
		if b.fresh != nil {
			b.fresh[of] = some
		}
		all = append(all, some...)
	}
	return all, nil
}

// earned returns what a contract earns in an interval.
func (b *builder) earned(f *facts.Facts, id domain.ContractID, currency domain.Currency, iv domain.Interval) ([]piece, error) {
	return b.pieces(f, id, iv, func(day string, part domain.Interval) ([]piece, error) { return earned(f, id, currency, day, part) })
}

// earned returns what a contract earns in part of a local day.
func earned(f *facts.Facts, id domain.ContractID, currency domain.Currency, day string, iv domain.Interval) ([]piece, error) {
	terms, err := accrual.Terms(f, id, iv)
	if err != nil || len(terms) == 0 {
		return nil, err
	}
	table := f.Table(terms[0].Site)
	var all []piece
	for s, end := table.Slots(iv); s < end; s++ {
		slot := table.Interval(s)
		for _, c := range terms {
			if c.Currency != currency {
				continue // an invoice of two currencies is refused
			}
			for _, p := range c.Over(slot) {
				period := c.Period(p.Interval.Start)
				if n := len(all); n == 0 || all[n-1].period != period {
					all = append(all, piece{day: day, period: period, lines: map[line]*big.Rat{}})
				}
				now := &all[len(all)-1]
				now.version = c.Version
				if p.Amount == nil || p.Amount.Sign() == 0 {
					continue // what is unknown is revenue when it is invoiced
				}
				unit := ""
				if p.Charge.Measure == domain.MeasureEnergy {
					unit = "kWh"
				}
				add(now.lines, line{incomeOf(p.Charge.Kind, unit), c.Version, p.Charge.ID, p.Step, p.Window, p.Overage}, p.Amount)
			}
		}
	}
	return all, nil
}

// revenue makes the entries of what a contract earns, one a day and period.
func (b *builder) revenue(out *accrued, id domain.ContractID, currency domain.Currency, pieces []piece, pending bool) {
	sums := map[domain.Period]*ledger{}
	for i := 0; i < len(pieces); {
		first := pieces[i]
		if sums[first.period] == nil {
			sums[first.period] = newLedger()
		}
		touched, version := map[string]bool{}, first.version
		for ; i < len(pieces) && pieces[i].day == first.day && pieces[i].period == first.period; i++ {
			version = pieces[i].version
			for l, amount := range pieces[i].lines {
				touched[l.account] = true
				add(sums[first.period].exact, l.account, amount)
			}
		}
		from := b.refs[fmt.Sprintf("contract %s %d", id, version)]
		e := Entry{Date: first.day, Narration: fmt.Sprintf("Accrual of contract %s", id), Pending: pending, Event: from.event, Position: from.position}
		of, sum := billed{id, first.period}, int64(0)
		for _, account := range slices.Sorted(maps.Keys(touched)) {
			v := sums[first.period].take(account, currency.Digits())
			if v == 0 {
				continue
			}
			sum += v
			e.Postings = append(e.Postings, minor(account, -v, currency))
			if out.unbilled[of] == nil {
				out.unbilled[of] = map[string]int64{}
			}
			out.unbilled[of][account] += v
		}
		if sum != 0 {
			e.Postings = append([]Posting{minor(unbilled(id), sum, currency)}, e.Postings...)
		}
		if len(e.Postings) > 0 {
			out.entries = append(out.entries, e)
		}
	}
}

// spent returns what energy costs in part of a local day at its published
// price, and its delivery.
func spent(f *facts.Facts, site domain.SiteRegistered, day string, iv domain.Interval) ([]piece, error) {
	now := piece{day: day, amounts: map[string]*big.Rat{}}
	for row, err := range margin.Rows(f, site.Site, iv) {
		if err != nil {
			return nil, err
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
	return []piece{now}, nil
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
	d := drawing{asOf: f.Next, pending: true, credits: map[billed]*standing{}}
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
