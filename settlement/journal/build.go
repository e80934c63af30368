package journal

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/wire"
	"wattbook/projections"
	"wattbook/projections/facts"
	"wattbook/projections/receivables"
	"wattbook/projections/scratch"
)

// Books are the entries of a site, in the order of their dates and events.
type Books struct {
	Site    domain.SiteRegistered
	AsOf    domain.Position
	Entries []Entry
}

// Build derives the books of a site from a log up to its head. What it folds
// lies in the area; nil is the heap.
func Build(ctx context.Context, log eventlog.Log, site domain.SiteID, area *scratch.Area) (Books, error) {
	b := newBuilder(site, area)
	head, err := log.Head(ctx)
	if err != nil {
		return Books{}, fmt.Errorf("journal: %w", err)
	}
	if err := b.collect(ctx, log, head); err != nil {
		return Books{}, fmt.Errorf("journal: %w", err)
	}
	for rec, err := range projections.Read(ctx, log, 0, head) {
		if err != nil {
			return Books{}, fmt.Errorf("journal: %w", err)
		}
		if err := b.apply(rec); err != nil {
			return Books{}, fmt.Errorf("journal: event at position %d: %w", rec.Position, err)
		}
	}
	pending, err := b.pending(b.facts)
	if err != nil {
		return Books{}, fmt.Errorf("journal: %w", err)
	}
	return b.books(b.facts, slices.Concat(b.entries, pending))
}

// pending returns the entries of what is not concluded yet.
func (b *builder) pending(f *facts.Facts) ([]Entry, error) {
	open, err := b.open(f)
	if err != nil {
		return nil, err
	}
	return append(open, b.expected(f)...), nil
}

// books returns entries in the order of their dates and events, as of what
// is known.
func (b *builder) books(f *facts.Facts, entries []Entry) (Books, error) {
	for _, e := range entries {
		if err := e.Check(); err != nil {
			return Books{}, fmt.Errorf("journal: event at position %d: %w", e.Position, err)
		}
	}
	slices.SortStableFunc(entries, func(x, y Entry) int {
		return cmp.Or(strings.Compare(x.Date, y.Date), cmp.Compare(x.Position, y.Position))
	})
	reg, _ := f.Site(b.site)
	return Books{Site: reg, AsOf: f.Next, Entries: entries}, nil
}

// ref names an event.
type ref struct {
	event    domain.EventID
	position domain.Position
}

func refOf(rec domain.Recorded) ref { return ref{rec.ID, rec.Position} }

// billed is what an invoice is for.
type billed struct {
	contract domain.ContractID
	period   domain.Period
}

// issue is what an invoice was booked as, to be mirrored if it is voided.
type issue struct {
	postings []Posting
	accrued  map[string]int64 // before it
}

func newBuilder(site domain.SiteID, area *scratch.Area) *builder {
	return &builder{
		site: site, facts: facts.In(area), drawn: map[domain.Position][]domain.Period{}, accrued: map[domain.Period]accrued{}, refs: map[string]ref{},
		unbilled: map[billed]map[string]int64{}, energy: map[string]int64{}, issued: map[string]issue{}, coins: newCoins(), claims: map[claim]claimed{}, claimsOf: map[billed]int{}, invoices: map[billed][]standingInvoice{}, taken: map[string]bool{},
	}
}

// builder folds the log into entries.
type builder struct {
	site    domain.SiteID
	facts   *facts.Facts
	entries []Entry

	drawn    map[domain.Position][]domain.Period // periods by the position that they were closed at
	accrued  map[domain.Period]accrued           // of periods that are drawn, until their closing is on record
	refs     map[string]ref                      // of the events that accruals follow from
	unbilled map[billed]map[string]int64         // by income account, in minor units
	energy   map[string]int64                    // accrued by local day
	issued   map[string]issue                    // by number
	coins    coins
	closed   []domain.PeriodClosed
	bills    []*utilityBill
	taken    map[string]bool // local days whose accrued energy a bill took

	claims   map[claim]claimed            // of credits that are given on claim
	claimsOf map[billed]int               // how many of them
	invoices map[billed][]standingInvoice // of periods that are invoiced, or were

	kept  memory  // of days that were computed before
	fresh *memory // of those that are computed now; nil: none are kept
}

// collect finds where periods were drawn.
func (b *builder) collect(ctx context.Context, log eventlog.Log, head domain.Position) error {
	for r, err := range log.ReadAll(ctx, 0) {
		if err != nil {
			return err
		}
		if r.Position >= head {
			return nil
		}
		if r.Type != wire.PeriodClosed {
			continue
		}
		rec, err := wire.Open(r)
		if err != nil {
			return err
		}
		if c := rec.Event.(domain.PeriodClosed); c.Site == b.site {
			b.drawn[c.AsOf] = append(b.drawn[c.AsOf], c.Period)
			b.closed = append(b.closed, c)
		}
	}
	return nil
}

// zoneOf returns a site's zone.
func zoneOf(f *facts.Facts, site domain.SiteID) *time.Location {
	if s, ok := f.Site(site); ok {
		if z, err := f.Zone(s.Zone); err == nil {
			return z
		}
	}
	return time.UTC
}

// apply folds an event, and books what follows from it.
func (b *builder) apply(rec domain.Recorded) error {
	for _, p := range b.drawn[rec.Position] {
		i := slices.IndexFunc(b.closed, func(c domain.PeriodClosed) bool { return c.Period == p })
		var err error
		if b.accrued[p], err = b.accrue(b.facts, b.closed[i].Interval, drawn(b.facts, rec.Position, false)); err != nil {
			return err
		}
	}
	// What is owed before the event tells where its money goes.
	var before receivables.Standing
	if number := concerns(rec.Event); number != "" {
		if inv, ok := b.invoice(number); ok {
			before = receivables.Of(b.facts, inv)
		}
	}
	if err := b.facts.Apply(rec); err != nil {
		return err
	}
	b.keep(rec)
	switch e := rec.Event.(type) {
	case domain.SiteRegistered:
		if e.Site == b.site {
			b.refs["site"] = refOf(rec)
			for _, t := range e.PoolAccounts() {
				b.coins.accounts[account{t.Pool, t.Account}] = true
			}
		}
	case domain.ContractSigned:
		b.refs[fmt.Sprintf("contract %s %d", e.Contract, e.Version)] = refOf(rec)
	case domain.PeriodClosed:
		if e.Site == b.site {
			b.close(rec, b.accrued[e.Period])
			delete(b.accrued, e.Period)
			b.trueUp(rec, dateIn(zoneOf(b.facts, b.site), e.Interval.End))
			return b.remeasure(rec, e)
		}
	case domain.InvoiceIssued:
		if e.Invoice.Site == b.site {
			b.issue(rec, e.Invoice)
		}
	case domain.InvoiceVoided:
		b.void(rec, e)
	case domain.NoteIssued:
		if e.Note.Site == b.site {
			b.note(rec, e.Note, before)
		}
	case domain.PaymentReceived:
		b.payment(rec, e, before)
	case domain.PaymentReversed:
		b.bounce(rec, e, before)
	case domain.PrepaymentReceived:
		b.prepayment(rec, e)
	case domain.UtilityBilled:
		if e.Site == b.site {
			b.utility(rec, e)
		}
	}
	return b.applyCoin(rec)
}

// applyCoin books what follows from an event of the mining pools, of the chain
// and of bitcoin's market.
func (b *builder) applyCoin(rec domain.Recorded) error {
	switch e := rec.Event.(type) {
	case domain.BitcoinPriced:
		if e.Currency == b.currency() {
			return b.learnPrice(rec)
		}
	case domain.PoolStatementReceived:
		return b.statement(rec, e)
	case domain.PayoutReconciled:
		if e.Site == b.site {
			return b.reconciled(rec, e)
		}
	case domain.DifferenceMarked:
		if e.Site == b.site {
			return b.mark(rec, e)
		}
	case domain.PayoutReceived:
		return b.arrive(rec, e)
	case domain.PayoutReversed:
		return b.reverse(rec, e)
	case domain.PoolPayoutStated:
		return b.statedPayout(rec, e)
	case domain.CoinSold:
		if e.Site == b.site {
			return b.sold(rec, e)
		}
	}
	return nil
}

// close books what a closed period accrued.
func (b *builder) close(rec domain.Recorded, of accrued) {
	for _, entry := range of.entries {
		entry.Event, entry.Position = rec.ID, rec.Position
		b.entries = append(b.entries, entry)
	}
	for k, accounts := range of.unbilled {
		if b.unbilled[k] == nil {
			b.unbilled[k] = map[string]int64{}
		}
		for account, v := range accounts {
			b.unbilled[k][account] += v
		}
	}
	for day, v := range of.energy {
		b.energy[day] += v
	}
}

// concerns returns the number of the invoice that an event changes the
// standing of.
func concerns(e domain.Event) string {
	switch e := e.(type) {
	case domain.NoteIssued:
		return e.Note.Corrects
	case domain.PaymentReceived:
		return e.Invoice
	case domain.PaymentReversed:
		return e.Invoice
	}
	return ""
}

func (b *builder) invoice(number string) (domain.Invoice, bool) {
	i, ok := b.facts.InvoiceNumbered(number)
	return i.Invoice, ok && i.Invoice.Site == b.site
}

// ours reports whether a contract is of the site.
func (b *builder) ours(id domain.ContractID) bool {
	versions := b.facts.ContractVersions(id)
	return len(versions) > 0 && versions[0].Site == b.site
}

// dated returns the date on which what happened at an instant, and became known
// by an event, is booked: that of the instant, or of the day on which it was
// recorded if the books of the instant were closed by then; then late is the
// date of the instant.
func (b *builder) dated(rec domain.Recorded, at domain.Instant) (date, late string) {
	zone := zoneOf(b.facts, b.site)
	date = dateIn(zone, at)
	if _, ok := ClosedOver(b.facts, b.site, at); ok {
		return max(date, dateIn(zone, rec.RecordedAt)), date
	}
	return date, ""
}

// book appends an entry of the local date of an instant.
func (b *builder) book(rec domain.Recorded, at domain.Instant, narration string, postings ...Posting) {
	b.bookOn(rec, dateIn(zoneOf(b.facts, b.site), at), narration, postings...)
}

// bookOn appends an entry without the postings that are nothing.
func (b *builder) bookOn(rec domain.Recorded, date, narration string, postings ...Posting) {
	postings = slices.DeleteFunc(postings, func(p Posting) bool { return p.Amount.IsZero() })
	if len(postings) == 0 {
		return
	}
	b.entries = append(b.entries, Entry{
		Date: date, Narration: narration, Event: rec.ID, Position: rec.Position, Postings: postings,
	})
}

func money(account string, m domain.Money) Posting {
	return Posting{Account: account, Amount: m.Decimal(), Commodity: string(m.Currency)}
}

func minor(account string, v int64, c domain.Currency) Posting {
	return money(account, domain.Money{Minor: v, Currency: c})
}

func receivable(p domain.Party) string { return "Assets:AR:Customers:" + name(p.ID) }

func unbilled(id domain.ContractID) string { return "Assets:ContractAsset:Unbilled:" + name(id) }

func liability(id domain.ContractID) string { return "Liabilities:ContractLiability:" + name(id) }

func credits(p domain.Party) string { return "Liabilities:CustomerCredits:" + name(p.ID) }

func salesTax(p domain.Party) string {
	return "Liabilities:SalesTax:" + name(cmp.Or(strings.ToUpper(p.Country), "XX"))
}

func bank(c domain.Currency) string { return "Assets:Bank:" + name(c) }

// issue takes what was accrued into a receivable, and what the invoice charges
// beside it into revenue.
func (b *builder) issue(rec domain.Recorded, inv domain.Invoice) {
	c := inv.Total.Currency
	of := billed{inv.Contract, inv.Period}
	lines := map[string]int64{}
	for _, l := range inv.Lines {
		lines[incomeOf(l.Kind)] += l.Amount.Minor
	}
	accrued := b.unbilled[of]
	sum := int64(0)
	for account, v := range accrued {
		sum += v
		lines[account] -= v
	}
	postings := []Posting{money(receivable(inv.Buyer), inv.Payable())}
	if !inv.Prepaid.IsZero() {
		postings = append(postings, money(liability(inv.Contract), inv.Prepaid))
	}
	postings = append(postings, minor(unbilled(inv.Contract), -sum, c), money(salesTax(inv.Seller), inv.TaxDue.Neg()))
	for _, account := range slices.Sorted(maps.Keys(lines)) {
		postings = append(postings, minor(account, -lines[account], c))
	}
	b.issued[inv.Number] = issue{postings, accrued}
	b.unbilled[of] = nil
	b.book(rec, inv.Issued, fmt.Sprintf("Invoice %s for %s", inv.Number, inv.Period), postings...)
}

// void mirrors the entry of an invoice.
func (b *builder) void(rec domain.Recorded, e domain.InvoiceVoided) {
	was, ok := b.issued[e.Invoice]
	if !ok {
		return
	}
	delete(b.issued, e.Invoice)
	b.unbilled[billed{e.Contract, e.Period}] = was.accrued
	mirror := slices.Clone(was.postings)
	for i := range mirror {
		mirror[i].Amount = mirror[i].Amount.Neg()
	}
	b.book(rec, e.At, fmt.Sprintf("Invoice %s is voided: %s", e.Invoice, e.Reason), mirror...)
}

// note books a correction: into the receivable as far as something is open, and
// beyond it into what the buyer has prepaid or to its credit.
func (b *builder) note(rec domain.Recorded, n domain.Note, before receivables.Standing) {
	c := n.Total.Currency
	onAccount, credit := n.Payable().Minor, int64(0)
	if least := -max(before.Open.Minor, 0); onAccount < least {
		onAccount, credit = least, onAccount-least
	}
	postings := []Posting{
		minor(receivable(n.Buyer), onAccount, c), minor(credits(n.Buyer), credit, c), money(salesTax(n.Seller), n.TaxDue.Neg()),
	}
	if !n.Prepaid.IsZero() {
		postings = append(postings, money(liability(n.Contract), n.Prepaid))
	}
	lines := map[string]int64{}
	for _, l := range n.Lines {
		lines[incomeOf(l.Kind)] += l.Amount.Minor
	}
	for _, account := range slices.Sorted(maps.Keys(lines)) {
		postings = append(postings, minor(account, -lines[account], c))
	}
	b.book(rec, n.Issued, fmt.Sprintf("%s note %s for invoice %s of %s", n.Kind, n.Number, n.Corrects, n.Period), postings...)
}

// payment books money: on the receivable as far as something is open.
func (b *builder) payment(rec domain.Recorded, e domain.PaymentReceived, before receivables.Standing) {
	if !b.ours(e.Contract) || !b.counted(e.Contract, e.Reference, rec) {
		return
	}
	c, buyer := e.Amount.Currency, before.Invoice.Buyer
	if before.Invoice.Number == "" {
		buyer.ID = "unallocated" // no such invoice is on record
	}
	due := int64(0)
	if before.Open.Currency == c {
		due = min(e.Amount.Minor, max(before.Open.Minor, 0))
	}
	b.book(rec, e.At, fmt.Sprintf("Payment %s for invoice %s", e.Reference, e.Invoice),
		money(bank(c), e.Amount), minor(receivable(buyer), -due, c), minor(credits(buyer), due-e.Amount.Minor, c))
}

// bounce books that a payment was taken back: out of what the buyer has paid
// too much, and beyond that what it paid is owed again.
func (b *builder) bounce(rec domain.Recorded, e domain.PaymentReversed, before receivables.Standing) {
	paid, ok := b.facts.Payment(e.Invoice, e.Payment)
	if !ok || !b.ours(e.Contract) || !b.counted(e.Contract, e.Payment, rec) {
		return
	}
	c, over := paid.Amount.Currency, int64(0)
	if before.Open.Currency == c {
		over = min(paid.Amount.Minor, max(-before.Open.Minor, 0))
	}
	b.book(rec, e.At, fmt.Sprintf("Payment %s for invoice %s is reversed: %s", e.Payment, e.Invoice, e.Reason),
		money(bank(c), paid.Amount.Neg()), minor(receivable(before.Invoice.Buyer), paid.Amount.Minor-over, c), minor(credits(before.Invoice.Buyer), over, c))
}

// counted reports whether money is booked by this event, and not by an earlier
// one with its reference.
func (b *builder) counted(id domain.ContractID, reference string, rec domain.Recorded) bool {
	key := fmt.Sprintf("money %T %s %s", rec.Event, id, reference)
	if _, ok := b.refs[key]; ok {
		return false
	}
	b.refs[key] = refOf(rec)
	return true
}

func (b *builder) prepayment(rec domain.Recorded, e domain.PrepaymentReceived) {
	if b.ours(e.Contract) && b.counted(e.Contract, e.Reference, rec) {
		b.book(rec, e.At, fmt.Sprintf("Prepayment %s of contract %s", e.Reference, e.Contract), money(bank(e.Amount.Currency), e.Amount), money(liability(e.Contract), e.Amount.Neg()))
	}
}
