// Package facts folds the log into what is known: sites and devices, metered
// intervals, prices, the network, contracts and allocations, statements and
// payouts, and the conclusions that are on record.
//
// It is the one fold over the log. The read models beside it (balance, usage,
// margin, allocation) are pure functions of it.
package facts

import (
	"cmp"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"sync"
	"time"

	"wattbook/domain"
	"wattbook/projections/scratch"
)

// Facts are what is known at a position. The zero value is not usable; see
// New. Facts are not safe for concurrent use.
type Facts struct {
	domain.Registry

	Next     domain.Position // position of the next event
	Recorded domain.Instant  // when the event before it was recorded

	area       *scratch.Area // where cells and allocations lie; nil: in the heap
	sites      map[domain.SiteID]*Table
	terms      map[domain.SiteID][]siteTerms       // by when they hold
	since      map[domain.DeviceKey]domain.Instant // recording of a device's first registration
	power      map[market]*prices
	currency   map[domain.NodeID]domain.Currency // of a node's first price
	bitcoin    map[domain.Currency]*prices
	difficulty []domain.DifficultyAdjusted // by time
	fees       []domain.BlockFeesPublished // by time
	gpus       map[domain.SiteID]*gpus
	contracts  map[domain.ContractID][]domain.ContractSigned // by version
	statements map[day]Stated
	payouts    []domain.PayoutReceived // in the order of the log
	paidOut    paidOut
	decisions  map[domain.SiteID]*decisions
	periods    []domain.PeriodClosed
	invoices   []domain.InvoiceIssued
	issued     map[issue][]int // into invoices
	billed     map[domain.ContractID][]int
	numbered   map[string]int
	reconciled map[day]domain.PayoutReconciled
	findings   []Finding
	late       map[quantity]int // in the batch that is being folded: where the finding of a register's late readings is
	billing    billing
	zones      sync.Map // *time.Location by name
}

type market struct {
	node     domain.NodeID
	currency domain.Currency
}

// issue is what an invoice is for.
type issue struct {
	contract domain.ContractID
	period   domain.Period
}

type day struct {
	pool    domain.PoolID
	account string
	start   domain.Instant
}

// Stated is a pool's statement, with where it stands in the log.
type Stated struct {
	domain.PoolStatementReceived
	Position domain.Position
	Restated bool // an earlier one for the whole day said something else
}

// New returns the facts before the first event.
func New() *Facts { return In(nil) }

// In returns the facts before the first event. What they hold of readings and
// of allocations will lie in the area, which has to last as long as they.
func In(area *scratch.Area) *Facts {
	return &Facts{
		area:       area,
		sites:      map[domain.SiteID]*Table{},
		terms:      map[domain.SiteID][]siteTerms{},
		since:      map[domain.DeviceKey]domain.Instant{},
		power:      map[market]*prices{},
		currency:   map[domain.NodeID]domain.Currency{},
		bitcoin:    map[domain.Currency]*prices{},
		gpus:       map[domain.SiteID]*gpus{},
		contracts:  map[domain.ContractID][]domain.ContractSigned{},
		statements: map[day]Stated{},
		decisions:  map[domain.SiteID]*decisions{},
		issued:     map[issue][]int{},
		billed:     map[domain.ContractID][]int{},
		numbered:   map[string]int{},
		reconciled: map[day]domain.PayoutReconciled{},
		late:       map[quantity]int{},
		billing:    newBilling(),
	}
}

// Apply implements projections.Projection.
func (f *Facts) Apply(rec domain.Recorded) error {
	if rec.Position != f.Next {
		return fmt.Errorf("event at position %d is out of turn, want %d", rec.Position, f.Next)
	}
	var err error
	if e, ok := rec.Event.(domain.SiteRegistered); ok {
		rec.Event, err = f.site(e, rec)
	}
	f.Registry.Apply(rec.Event)
	switch e := rec.Event.(type) {
	case domain.DeviceRegistered:
		f.device(e, rec)
	case domain.ReadingsRecorded:
		err = f.readings(e, rec)
	case domain.AllocationDecided:
		f.decide(e, rec.Position)
	case domain.PeriodClosed:
		f.periods = append(f.periods, e)
	case domain.InvoiceIssued:
		k := issue{e.Invoice.Contract, e.Invoice.Period}
		f.issued[k] = append(f.issued[k], len(f.invoices))
		f.billed[k.contract] = append(f.billed[k.contract], len(f.invoices))
		if _, taken := f.numbered[e.Invoice.Number]; !taken {
			f.numbered[e.Invoice.Number] = len(f.invoices)
		}
		f.invoices = append(f.invoices, e)
	case domain.PayoutReconciled:
		f.reconciled[day{e.Pool, e.Account, e.Interval.Start}] = e
	default:
		f.learn(rec)
	}
	if err != nil {
		return err
	}
	f.changed(rec)
	f.Next, f.Recorded = rec.Position+1, rec.RecordedAt
	return nil
}

// Skip passes over the events before a position that are not at hand: what
// they say is not known. Who recomputes one figure from a few events that are
// proved to be in a log needs no more of it.
func (f *Facts) Skip(to domain.Position) { f.Next = max(f.Next, to) }

func (f *Facts) device(e domain.DeviceRegistered, rec domain.Recorded) {
	k := domain.DeviceKey{Site: e.Site, Device: e.Device}
	if _, again := f.since[k]; !again {
		f.since[k] = rec.RecordedAt
	}
	if t, ok := f.sites[e.Site]; ok {
		t.place(e, rec.Position)
	}
}

func (f *Facts) readings(e domain.ReadingsRecorded, rec domain.Recorded) error {
	t, ok := f.sites[e.Site]
	if !ok {
		return fmt.Errorf("readings of site %s, which is not registered", e.Site)
	}
	tracks := t.tracksOf(e.Origin.Source, len(e.Readings))
	for row := range e.Readings {
		if err := t.apply(&e.Readings[row], &tracks[row], rec.Position); err != nil {
			return fmt.Errorf("row %d: %w", row, err)
		}
		f.note(t, &e, rec, row)
	}
	clear(f.late)
	return nil
}

// learn folds a fact that is not metered.
func (f *Facts) learn(rec domain.Recorded) {
	switch e := rec.Event.(type) {
	case domain.ObservationRejected:
		f.findings = append(f.findings, Finding{Site: e.Site, At: e.At, Position: rec.Position, Source: e.Origin.Source, What: e.Reason, Kind: "rejected"})
	case domain.FactConflicted:
		f.contradict("", rec, e.Origin, fmt.Sprintf("%s is %s; %s was offered", e.Fact, e.Known, e.Offered))
	case domain.PowerPriced:
		if f.currency[e.Node] == "" {
			f.currency[e.Node] = e.Currency
		}
		seriesOf(f.power, market{e.Node, e.Currency}).apply(e.Series, rec.Position)
		f.restate(rec, e.Corrects, e.Series, e.Origin, string(e.Node))
	case domain.BitcoinPriced:
		seriesOf(f.bitcoin, e.Currency).apply(e.Series, rec.Position)
		f.restate(rec, e.Corrects, e.Series, e.Origin, "bitcoin")
	case domain.DifficultyAdjusted:
		f.difficulty = insert(f.difficulty, e, func(d domain.DifficultyAdjusted) domain.Instant { return d.At })
	case domain.BlockFeesPublished:
		if e.Blocks > 0 { // of no blocks, nothing is known of their fees
			f.fees = insert(f.fees, e, func(b domain.BlockFeesPublished) domain.Instant { return b.Interval.Start })
		}
	case domain.GPUAllocationStarted:
		if !f.gpusOf(e.Site).start(e, rec.Position) {
			f.contradict(e.Site, rec, e.Origin, fmt.Sprintf("allocation %s has started before", e.Allocation))
		}
	case domain.GPUAllocationEnded:
		if !f.gpusOf(e.Site).end(e, rec.Position) {
			f.contradict(e.Site, rec, e.Origin, fmt.Sprintf("allocation %s has ended before", e.Allocation))
		}
	case domain.ContractSigned:
		f.contracts[e.Contract] = insert(f.contracts[e.Contract], e, func(c domain.ContractSigned) int64 { return c.Version })
	case domain.PoolStatementReceived:
		f.state(e, rec.Position)
	case domain.PayoutReceived:
		f.payouts = f.paidOut.receive(f.payouts, e)
	case domain.PayoutReversed:
		f.payouts = f.paidOut.reverse(f.payouts, e)
		f.findings = append(f.findings, Finding{At: rec.RecordedAt, Position: rec.Position, Source: e.Origin.Source, Kind: "reversed", What: fmt.Sprintf("%s that %s had paid: %s", e.Amount, e.Pool, e.Reason)})
	case domain.PoolPayoutStated:
		f.paidOut.apply(e)
	case domain.DifferenceMarked:
		f.paidOut.mark(e)
	default:
		f.bill(rec)
	}
}

// restate keeps that a market corrects what it published before.
func (f *Facts) restate(rec domain.Recorded, corrects bool, s domain.PriceSeries, o domain.Origin, of string) {
	if corrects {
		f.findings = append(f.findings, Finding{
			At: s.Start, Position: rec.Position, Source: o.Source, Interval: s.Interval(), Kind: "restated",
			What: fmt.Sprintf("the market restates %d prices of %s", len(s.Prices), of),
		})
	}
}

// state books a statement. The first of a whole day is no restatement of what
// was said before the day was over.
func (f *Facts) state(e domain.PoolStatementReceived, p domain.Position) {
	k := day{e.Pool, e.Account, e.Interval.Start}
	before := f.statements[k]
	was, is := before.PoolStatementReceived, e
	was.Origin, is.Origin = domain.Origin{}, domain.Origin{}
	f.statements[k] = Stated{e, p, before.Restated || before.Complete && was != is}
}

// insert keeps a list in order; events mostly arrive in it.
func insert[E any, K cmp.Ordered](list []E, e E, at func(E) K) []E {
	i := len(list)
	for i > 0 && at(list[i-1]) > at(e) {
		i--
	}
	return slices.Insert(list, i, e)
}

// Table returns the metered intervals of a site, or nil if it is not known.
func (f *Facts) Table(site domain.SiteID) *Table { return f.sites[site] }

// Since returns from when on a device is expected to report: when it was
// registered or, if that is earlier, where its first reading begins (a history
// that was imported). It reports false for a device that is not registered.
func (f *Facts) Since(site domain.SiteID, device domain.DeviceID) (since domain.Instant, ok bool) {
	since, ok = f.since[domain.DeviceKey{Site: site, Device: device}]
	if t := f.sites[site]; ok && t != nil {
		if s, read := t.first(device); read {
			since = min(since, t.Interval(s).Start)
		}
	}
	return since, ok
}

// Reached returns how far what is known of a site reaches: the end of its last
// known interval, or the last recording if that is later.
func (f *Facts) Reached(site domain.SiteID) domain.Instant {
	if t := f.sites[site]; t != nil {
		return max(f.Recorded, t.End())
	}
	return f.Recorded
}

// Below returns the devices below a meter, at any depth, by name.
func (f *Facts) Below(site domain.SiteID, meter domain.DeviceID) []domain.DeviceRegistered {
	above := map[domain.DeviceID]domain.DeviceID{}
	all := f.Devices(site)
	for _, d := range all {
		above[d.Device] = d.Under
	}
	return slices.DeleteFunc(all, func(d domain.DeviceRegistered) bool {
		m := d.Under
		for range maxDepth {
			if m == meter {
				return false
			}
			m = above[m]
		}
		return true
	})
}

// Zone returns a time zone by its IANA name.
func (f *Facts) Zone(name string) (*time.Location, error) {
	if z, ok := f.zones.Load(name); ok {
		return z.(*time.Location), nil
	}
	z, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("zone %q: %w", name, err)
	}
	f.zones.Store(name, z)
	return z, nil
}

// PowerPrice returns the price of energy at the node over the interval per
// MWh, and whether it is known for all of it. It is in the currency in which
// the node was priced first.
func (f *Facts) PowerPrice(node domain.NodeID, iv domain.Interval) (domain.Decimal, bool) {
	return f.PowerPriceIn(node, f.currency[node], iv)
}

// PowerPriceIn is [Facts.PowerPrice] in a currency.
func (f *Facts) PowerPriceIn(node domain.NodeID, c domain.Currency, iv domain.Interval) (domain.Decimal, bool) {
	return f.power[market{node, c}].over(iv)
}

// BitcoinPrice returns the price of one bitcoin over the interval.
func (f *Facts) BitcoinPrice(c domain.Currency, iv domain.Interval) (domain.Decimal, bool) {
	return f.bitcoin[c].over(iv)
}

// LastBitcoinPrice returns the last price that is known for an interval that
// begins at t or before.
func (f *Facts) LastBitcoinPrice(c domain.Currency, t domain.Instant) (domain.Decimal, bool) {
	p, ok := f.bitcoin[c].before(t)
	return p.Decimal, ok
}

// LastBitcoinPriced is [Facts.LastBitcoinPrice] with the position of the event
// that published the price.
func (f *Facts) LastBitcoinPriced(c domain.Currency, t domain.Instant) (domain.Decimal, domain.Position, bool) {
	p, ok := f.bitcoin[c].before(t)
	return p.Decimal, p.position, ok
}

// Difficulty returns the change of difficulty that was in force at t.
func (f *Facts) Difficulty(t domain.Instant) (domain.DifficultyAdjusted, bool) {
	i, _ := slices.BinarySearchFunc(f.difficulty, t+1, func(d domain.DifficultyAdjusted, t domain.Instant) int { return cmp.Compare(d.At, t) })
	if i == 0 {
		return domain.DifficultyAdjusted{}, false
	}
	return f.difficulty[i-1], true
}

// Epochs cuts an interval where the difficulty changes.
func (f *Facts) Epochs(iv domain.Interval) []domain.Interval {
	var cuts []domain.Interval
	for _, d := range f.difficulty {
		if iv.Start < d.At && d.At < iv.End {
			cuts = append(cuts, domain.Interval{Start: iv.Start, End: d.At})
			iv.Start = d.At
		}
	}
	return append(cuts, iv)
}

// FeesPerBlock returns the mean fees of a block in satoshi for the day that t
// is in. If that day's are not known, it returns those of the last day before
// it that is, and exact false.
func (f *Facts) FeesPerBlock(t domain.Instant) (fees *big.Rat, exact, ok bool) {
	for _, b := range slices.Backward(f.fees) {
		if b.Interval.Start <= t {
			return b.PerBlock(), b.Interval.Contains(t), true
		}
	}
	return nil, false, false
}

// Term is a version of a contract, and when it is in force.
type Term struct {
	domain.ContractSigned
	Interval domain.Interval
}

// forever ends what has no end.
const forever = domain.Instant(1<<63 - 1)

// InForce returns the versions of a contract that are in force in an interval,
// in the order of time, each with the part of the interval in which it is. A
// version is in force from its start to its end, or to the start of a later
// version, which replaces it for good: when that ends, so does the contract.
func (f *Facts) InForce(id domain.ContractID, iv domain.Interval) []Term {
	return TermsOf(f.contracts[id], iv)
}

// TermsOf is [Facts.InForce] of the versions of a contract, in their order.
func TermsOf(versions []domain.ContractSigned, iv domain.Interval) []Term {
	var terms []Term
	end := forever
	for _, c := range slices.Backward(versions) {
		in := domain.Interval{Start: c.Start, End: end}
		if c.End != 0 {
			in.End = min(c.End, end)
		}
		end = min(end, c.Start)
		if in = in.Overlap(iv); in.Valid() {
			terms = append(terms, Term{c, in})
		}
	}
	slices.Reverse(terms)
	return terms
}

// ContractAt returns the version of a contract that is in force at t.
func (f *Facts) ContractAt(id domain.ContractID, t domain.Instant) (domain.ContractSigned, bool) {
	if terms := f.InForce(id, domain.Interval{Start: t, End: t + 1}); len(terms) > 0 {
		return terms[0].ContractSigned, true
	}
	return domain.ContractSigned{}, false
}

// ContractVersions returns the versions of a contract in their order.
func (f *Facts) ContractVersions(id domain.ContractID) []domain.ContractSigned {
	return f.contracts[id]
}

// Contracts returns the ids of the site's contracts by name.
func (f *Facts) Contracts(site domain.SiteID) []domain.ContractID {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(f.contracts)), func(id domain.ContractID) bool {
		return f.contracts[id][0].Site != site
	})
}

// Statements returns the latest statement of every earning period of an
// account that begins in the interval, in order.
func (f *Facts) Statements(pool domain.PoolID, account string, iv domain.Interval) []Stated {
	var all []Stated
	for k, s := range f.statements {
		if k.pool == pool && k.account == account && iv.Contains(k.start) {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b Stated) int { return cmp.Compare(a.Interval.Start, b.Interval.Start) })
	return all
}

// Payouts returns what arrived for an account, in the order of the log.
func (f *Facts) Payouts(pool domain.PoolID, account string) []domain.PayoutReceived {
	return slices.DeleteFunc(slices.Clone(f.payouts), func(p domain.PayoutReceived) bool { return p.Pool != pool || p.Account != account })
}

// Closed returns the closing of a site's period, if it is closed.
func (f *Facts) Closed(site domain.SiteID, p domain.Period) (domain.PeriodClosed, bool) {
	for _, c := range f.periods {
		if c.Site == site && c.Period == p {
			return c, true
		}
	}
	return domain.PeriodClosed{}, false
}

// Periods returns the closed periods in the order of the log.
func (f *Facts) Periods() []domain.PeriodClosed { return f.periods }

// Invoices returns the issued invoices in the order of the log.
func (f *Facts) Invoices() []domain.InvoiceIssued { return f.invoices }

// InvoiceNumbered returns the invoice of a number, voided or not.
func (f *Facts) InvoiceNumbered(number string) (domain.InvoiceIssued, bool) {
	i, ok := f.numbered[number]
	if !ok {
		return domain.InvoiceIssued{}, false
	}
	return f.invoices[i], true
}

// InvoicesOf returns the issued invoices of a contract in the order of the log.
func (f *Facts) InvoicesOf(id domain.ContractID) []domain.InvoiceIssued {
	return picked(f.invoices, f.billed[id])
}

// Invoice returns the invoice of a contract for a period, if one is issued and
// not voided.
func (f *Facts) Invoice(id domain.ContractID, p domain.Period) (domain.InvoiceIssued, bool) {
	for _, n := range f.issued[issue{id, p}] {
		if i := f.invoices[n]; !f.Voided(i.Invoice.Number) {
			return i, true
		}
	}
	return domain.InvoiceIssued{}, false
}

// Reconciled returns the last reconciliation on record of an account's earning
// periods that begin in the interval, in order.
func (f *Facts) Reconciled(pool domain.PoolID, account string, iv domain.Interval) []domain.PayoutReconciled {
	var all []domain.PayoutReconciled
	for k, r := range f.reconciled {
		if k.pool == pool && k.account == account && iv.Contains(k.start) {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b domain.PayoutReconciled) int { return cmp.Compare(a.Interval.Start, b.Interval.Start) })
	return all
}

// Finding is something about the data that a person may want to look at.
type Finding struct {
	Site     domain.SiteID
	At       domain.Instant
	Position domain.Position
	Row      int
	Source   domain.SourceID
	Device   domain.DeviceID
	Channel  domain.Channel
	Interval domain.Interval
	Value    domain.Int128
	Register domain.Int128
	Readings int    // how many, if it is about readings: late ones that follow each other in a batch are one finding
	Kind     string // a mark's name, "late", "restated", "reversed", "rejected" or "conflict"
	What     string // in words, where the kind does not say all
}

// How long after an interval its reading may be recorded before it counts as
// late: that of a register that is polled, and that of a source which counts
// intervals itself and tells of them once a day.
const (
	Late     = domain.Hour
	LateFile = 26 * domain.Hour
)

// note keeps what is out of the ordinary about a row of a batch.
func (f *Facts) note(t *Table, e *domain.ReadingsRecorded, rec domain.Recorded, row int) {
	r := &e.Readings[row]
	kind, what := r.Mark.String(), ""
	switch {
	case r.Mark.Books() && t.tooLong(r):
		what = fmt.Sprintf("counts for nothing: it covers more than %d intervals", maxSpread)
	case r.Mark == domain.MarkFirst:
		return
	case r.Mark == domain.MarkNormal, r.Mark == domain.MarkDelivered:
		limit := Late
		if r.Mark == domain.MarkDelivered {
			limit = LateFile
		}
		if rec.RecordedAt.Sub(r.Interval.End) <= limit {
			return
		}
		kind = "late"
		if f.lateToo(r) {
			return
		}
	}
	f.findings = append(f.findings, Finding{
		Site: e.Site, At: e.At, Position: rec.Position, Row: row, Source: e.Origin.Source, Device: r.Device, Channel: r.Channel,
		Interval: r.Interval, Value: r.Value, Register: r.Register, Readings: 1, Kind: kind, What: what,
	})
}

// lateToo adds a late reading to the finding of one in the same batch that it
// follows, if there is one: a history that is brought in one file is late as a
// whole.
func (f *Facts) lateToo(r *domain.Reading) bool {
	q := quantity{r.Device, r.Channel}
	if i, ok := f.late[q]; ok && f.findings[i].Interval.End == r.Interval.Start {
		g := &f.findings[i]
		g.Interval.End, g.Value, g.Register = r.Interval.End, g.Value.Add(r.Value), r.Register
		g.Readings++
		return true
	}
	f.late[q] = len(f.findings)
	return false
}

// contradict keeps that an event says again, and otherwise, what is on record:
// the record stands.
func (f *Facts) contradict(site domain.SiteID, rec domain.Recorded, o domain.Origin, what string) {
	f.findings = append(f.findings, Finding{Site: site, At: o.Observed, Position: rec.Position, Source: o.Source, Kind: "conflict", What: what})
}

// Findings returns what is out of the ordinary, in the order of the log.
func (f *Facts) Findings() []Finding { return f.findings }

func seriesOf[K comparable](m map[K]*prices, k K) *prices {
	if m[k] == nil {
		m[k] = &prices{at: map[span]quote{}}
	}
	return m[k]
}
