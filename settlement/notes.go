package settlement

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/wire"
	"wattbook/projections/facts"
	"wattbook/projections/receivables"
	"wattbook/settlement/rating"
)

// IssuedNote is the outcome of correcting an invoice.
type IssuedNote struct {
	domain.NoteIssued
	Documents []Document
}

// Correction draws the note that an issued invoice lacks at the position of the
// facts: what the invoice would come to now, less what the invoice and its
// notes come to. Where that is under another rate or category of tax, all lines
// are taken back under the one and charged under the other. It reports false if
// nothing is to be corrected: no amount of a line has changed. The note has no
// number and no dates yet.
func Correction(f *facts.Facts, issued domain.InvoiceIssued) (domain.Note, bool, error) {
	return correction(f, rating.New(f), issued, today())
}

// Redraw is [Correction] by the rules that a note on record was drawn by: those
// of before did not part the lines where the tax changed, but took the
// difference of the tax alone; before layout 4 they gave nothing back to
// prepayments, found no causes in the periods before their own, and took
// differences without a price for lines of their own.
func Redraw(f *facts.Facts, issued domain.InvoiceIssued, recorded domain.Note) (domain.Note, bool, error) {
	note, ok, err := correction(f, rating.New(f), issued, rules{part: len(recorded.Taxes) > 0, join: recorded.Layout >= 4})
	if ok && recorded.Layout < 4 {
		if recorded.Prepaid.IsZero() {
			note.Prepaid = recorded.Prepaid
		}
		if slices.Equal(recorded.Causes, []string{unnamed}) {
			note.Causes = recorded.Causes
		}
	}
	return note, ok, err
}

// rules are how a note is drawn.
type rules struct {
	part bool // lines are taken back under one tax and charged under another
	join bool // a difference without a price is of the line that it is a part of
}

// today returns the rules of notes that are drawn now.
func today() rules { return rules{part: true, join: true} }

func correction(f *facts.Facts, rater *rating.Rater, issued domain.InvoiceIssued, by rules) (domain.Note, bool, error) {
	inv := issued.Invoice
	fresh, err := rater.Draft(inv.Contract, inv.Period)
	if err != nil {
		return domain.Note{}, false, fmt.Errorf("correct invoice %s: %w", inv.Number, err)
	}
	if fresh.Contract != "" && fresh.Total.Currency != inv.Total.Currency {
		return domain.Note{}, false, fmt.Errorf("correct invoice %s: it is in %s, and its contract is in %s now; void it", inv.Number, inv.Total.Currency, fresh.Total.Currency)
	}
	zero := domain.Money{Currency: inv.Total.Currency}
	was, err := chargedSoFar(f, inv)
	if err != nil {
		return domain.Note{}, false, fmt.Errorf("correct invoice %s: %w", inv.Number, err)
	}
	note := domain.Note{Corrects: inv.Number, Kind: domain.DebitNote, Invoice: inv}
	note.Number, note.Issued, note.Due, note.AsOf, note.Layout, note.Checkpoint = "", 0, 0, f.Next, 0, domain.Checkpoint{}
	note.Lines, note.Daily, note.Balances, note.Prepaid = nil, nil, nil, domain.Money{}
	if fresh.Contract != "" {
		note.Version, note.Tax = fresh.Version, fresh.Tax
	} else {
		fresh.Subtotal, fresh.TaxDue, fresh.Total = zero, zero, zero
		note.Tax = was.tax
	}
	var lines []domain.InvoiceLine
	if by.part && !was.tax.Same(note.Tax) {
		for _, l := range apart(was.lines, nil, by) {
			l.Tax = was.tax
			lines = append(lines, l)
		}
		lines = append(lines, apart(nil, fresh.Lines, by)...)
		note.Taxes = []domain.TaxPart{{Tax: was.tax, Base: was.subtotal.Neg(), Due: was.due.Neg()}, {Tax: note.Tax, Base: fresh.Subtotal, Due: fresh.TaxDue}}
	} else {
		lines = apart(was.lines, fresh.Lines, by)
	}
	changed := false
	for _, l := range lines {
		l.Line = int64(len(note.Lines) + 1)
		note.Lines = append(note.Lines, l)
		changed = changed || !l.Amount.IsZero()
	}
	note.Subtotal, note.TaxDue = fresh.Subtotal.Sub(was.subtotal), fresh.TaxDue.Sub(was.due)
	note.Total = note.Subtotal.Add(note.TaxDue)
	if note.Total.Minor <= 0 {
		note.Kind = domain.CreditNote
	}
	if !changed && note.Total.IsZero() {
		return domain.Note{}, false, nil
	}
	note.Prepaid = freed(f, inv, note.Total)
	note.Causes, err = causes(f, inv, was.known, rater.First())
	return note, true, err
}

// unnamed is the cause of a note where none is found.
const unnamed = "what is known of the period has changed"

// causes says what has changed an invoice since a position: in its period, and
// in those before from the first on that it rests on.
func causes(f *facts.Facts, inv domain.Invoice, since domain.Position, first domain.Period) ([]string, error) {
	all := f.Changes(inv, since)
	zone, err := f.Zone(inv.Zone)
	if err != nil {
		return nil, err
	}
	for p := first; inv.Period.After(p); p = p.Next() {
		for _, c := range f.Restated(inv, p.In(zone), since) {
			all = append(all, fmt.Sprintf("in %s, from where a commitment goes on, %s", p, c))
		}
	}
	if len(all) == 0 {
		all = append(all, unnamed)
	}
	return all, nil
}

// freed returns what a correction of an invoice gives back to the prepayments of
// its contract, as an amount below zero: of what the invoice drew, the part by
// which the correction makes it overpaid.
func freed(f *facts.Facts, inv domain.Invoice, total domain.Money) domain.Money {
	drawn := inv.Prepaid
	for _, n := range f.Notes(inv.Number) {
		if !n.Note.Prepaid.IsZero() {
			drawn = drawn.Add(n.Note.Prepaid)
		}
	}
	over := -total.Minor - max(receivables.Of(f, inv).Open.Minor, 0)
	if drawn.Currency != total.Currency || drawn.Minor <= 0 || over <= 0 {
		return domain.Money{}
	}
	return domain.Money{Minor: -min(over, drawn.Minor), Currency: total.Currency}
}

// charged is what an invoice and its notes come to: all of it is under one tax.
type charged struct {
	lines         []domain.InvoiceLine
	subtotal, due domain.Money
	tax           domain.Tax
	known         domain.Position // what the last of them was drawn from
}

// chargedSoFar sums an invoice and its notes on record. What is not in the
// invoice's currency is an error.
func chargedSoFar(f *facts.Facts, inv domain.Invoice) (charged, error) {
	c := charged{inv.Lines, inv.Subtotal, inv.TaxDue, inv.Tax, inv.AsOf}
	if err := oneCurrency(inv.Total.Currency, inv); err != nil {
		return c, err
	}
	for _, n := range f.Notes(inv.Number) {
		if err := oneCurrency(inv.Total.Currency, n.Note.Invoice); err != nil {
			return c, fmt.Errorf("note %s: %w", n.Note.Number, err)
		}
		c.lines = append(c.lines[:len(c.lines):len(c.lines)], n.Note.Lines...)
		c.subtotal, c.due = c.subtotal.Add(n.Note.Subtotal), c.due.Add(n.Note.TaxDue)
		c.tax, c.known = n.Note.Tax, n.Note.AsOf
	}
	return c, nil
}

// oneCurrency reports an amount of an invoice on record that is not in its
// currency.
func oneCurrency(c domain.Currency, inv domain.Invoice) error {
	amounts := []domain.Money{inv.Subtotal, inv.TaxDue, inv.Total}
	for _, l := range inv.Lines {
		amounts = append(amounts, l.Amount)
	}
	for _, t := range inv.Taxes {
		amounts = append(amounts, t.Base, t.Due)
	}
	for _, m := range amounts {
		if m.Currency != c {
			return fmt.Errorf("it says %s, and is in %s", m, c)
		}
	}
	return nil
}

// identity tells lines apart: those that differ in more than quantity and
// amount are different lines, so that a new price takes the old line back
// whole and charges the new one whole.
type identity struct {
	charge, description, unit, price string
	interval                         domain.Interval
}

// joined returns what was charged with the differences that have no price, since
// they came out of rounded amounts, in one line with those that they are of. A
// run that took them for lines of their own would take them back and charge them
// anew, and so would every run after it.
func joined(before, after []domain.InvoiceLine) []domain.InvoiceLine {
	type group struct{ before, after []domain.InvoiceLine }
	groups := map[identity]*group{}
	of := func(l domain.InvoiceLine) *group {
		id := identityOf(l)
		id.price = ""
		if groups[id] == nil {
			groups[id] = &group{}
		}
		return groups[id]
	}
	for _, l := range before {
		g := of(l)
		g.before = append(g.before, l)
	}
	for _, l := range after {
		g := of(l)
		g.after = append(g.after, l)
	}
	var lines []domain.InvoiceLine
	for _, l := range before {
		g := of(l)
		if len(g.before) == 0 {
			continue // it is joined
		}
		sum, priced, unpriced := l, false, false
		for _, b := range g.before {
			if b.UnitPrice == nil {
				unpriced = true
			} else {
				priced, sum = true, b // the last price
			}
		}
		left, due := total(g.before), total(g.after)
		switch {
		case unpriced && len(g.after) > 0 && left.Quantity.Equal(due.Quantity) && left.Amount == due.Amount:
			lines = append(lines, g.after...)
		case unpriced && priced:
			if len(g.after) == 1 && g.after[0].UnitPrice == nil {
				sum = g.after[0]
			}
			sum.Quantity, sum.Estimated, sum.Amount = left.Quantity, left.Estimated, left.Amount
			lines = append(lines, sum)
		default:
			lines = append(lines, l)
			continue
		}
		g.before = nil
	}
	return lines
}

// total sums lines.
func total(lines []domain.InvoiceLine) (sum domain.InvoiceLine) {
	for i, l := range lines {
		if i == 0 {
			sum.Amount.Currency = l.Amount.Currency
		}
		sum.Quantity, sum.Estimated, sum.Amount = sum.Quantity.Add(l.Quantity), sum.Estimated.Add(l.Estimated), sum.Amount.Add(l.Amount)
	}
	return sum
}

func identityOf(l domain.InvoiceLine) identity {
	id := identity{l.Charge, l.Description, l.Unit, "", l.Interval}
	if l.UnitPrice != nil {
		id.price = l.UnitPrice.String()
	}
	return id
}

// apart returns the lines that take what was charged to what is due: first
// those that take back, in the order in which they were charged, then the
// others in theirs.
func apart(before, after []domain.InvoiceLine, by rules) []domain.InvoiceLine {
	var order []identity
	sums := map[identity]*domain.InvoiceLine{}
	if by.join {
		before = joined(before, after)
	}
	move := func(l domain.InvoiceLine, sign int64) {
		id := identityOf(l)
		s := sums[id]
		if s == nil {
			s = &domain.InvoiceLine{
				Charge: l.Charge, Kind: l.Kind, Description: l.Description, Interval: l.Interval, Unit: l.Unit, UnitPrice: l.UnitPrice,
				Amount: domain.Money{Currency: l.Amount.Currency},
			}
			sums[id] = s
			order = append(order, id)
		}
		s.Quantity = s.Quantity.Add(l.Quantity.MulInt(sign))
		s.Estimated = s.Estimated.Add(l.Estimated.MulInt(sign))
		s.Amount = s.Amount.Add(domain.Money{Minor: l.Amount.Minor * sign, Currency: l.Amount.Currency})
		if sign > 0 {
			s.Detail = l.Detail
		}
	}
	for _, l := range before {
		move(l, -1)
	}
	for _, l := range after {
		move(l, 1)
	}
	var lines []domain.InvoiceLine
	for _, id := range order {
		if s := sums[id]; !s.Quantity.IsZero() || !s.Amount.IsZero() {
			if s.UnitPrice != nil && !prices(*s) {
				s.UnitPrice = nil // of a rounded difference
			}
			lines = append(lines, *s)
		}
	}
	return lines
}

// prices reports whether a line's amount is its quantity at its price.
func prices(l domain.InvoiceLine) bool {
	product := new(big.Rat).Mul(l.Quantity.Rat(), l.UnitPrice.Rat())
	return domain.RoundRat(product, l.Amount.Currency.Digits()).Equal(l.Amount.Decimal())
}

// Correct issues the notes that the invoices of a site lack: those of the
// period and of the ones before it, of all contracts or of those that are
// named. An invoice whose re-rating is not complete keeps what it has; the error
// says so after the others are corrected.
func (s *Settler) Correct(ctx context.Context, site domain.SiteID, period domain.Period, only ...domain.ContractID) ([]IssuedNote, error) {
	if err := s.Refresh(ctx); err != nil {
		return nil, err
	}
	var all []IssuedNote
	var failed error
	for _, i := range s.lacking(site, period, only) {
		n, ok, err := s.correct(ctx, i)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		if ok {
			all = append(all, n)
		}
	}
	return all, failed
}

// Reprint returns the documents of a note that is on record. It is an error if
// they do not come out as they were issued.
func (s *Settler) Reprint(n domain.NoteIssued) ([]Document, error) {
	documents, err := s.RenderNote(n.Note)
	if err != nil {
		return nil, err
	}
	return asIssued("note "+n.Note.Number, documents, n.Documents)
}

// lacking returns the invoices that lack a note, or of which it is not known.
func (s *Settler) lacking(site domain.SiteID, period domain.Period, only []domain.ContractID) []domain.InvoiceIssued {
	all := slices.DeleteFunc(slices.Clone(s.Facts.Invoices()), func(i domain.InvoiceIssued) bool {
		inv := i.Invoice
		return inv.Site != site || len(only) > 0 && !slices.Contains(only, inv.Contract) || s.Facts.Voided(inv.Number) || inv.Period.After(period)
	})
	lack := make([]bool, len(all))
	s.rate(len(all), func(rater *rating.Rater, i int) {
		_, due, err := correction(s.Facts, rater, all[i], today())
		lack[i] = due || err != nil
	})
	var those []domain.InvoiceIssued
	for i, yes := range lack {
		if yes {
			those = append(those, all[i])
		}
	}
	return those
}

// correct issues the note that an invoice lacks. Its event id is the invoice
// and the note's number among its notes, so that of two runs beside each other
// one issues it, and the other finds that nothing is left to correct.
func (s *Settler) correct(ctx context.Context, issued domain.InvoiceIssued) (IssuedNote, bool, error) {
	fail := func(err error) (IssuedNote, bool, error) {
		return IssuedNote{}, false, fmt.Errorf("issue a note for invoice %s: %w", issued.Invoice.Number, err)
	}
	for {
		note, ok, err := Correction(s.Facts, issued)
		if err != nil || !ok {
			return IssuedNote{}, false, err
		}
		signed, err := version(s.Facts, note.Contract, note.Version)
		if err != nil {
			return fail(err)
		}
		note.Issued, note.Layout = s.Now(), s.Layout
		note.Due = Due(signed, note.Issued)
		if note.Checkpoint, err = s.signed(); err != nil {
			return fail(err)
		}
		ordinal := len(s.Facts.Notes(issued.Invoice.Number))
		stream := Series(signed, note.Issued)
		n, err := s.Log.Next(ctx, stream)
		if err != nil {
			return fail(err)
		}
		note.Number = Number(signed, note.Issued, n)
		out := IssuedNote{NoteIssued: domain.NoteIssued{Note: note}}
		if out.Documents, err = s.RenderNote(note); err != nil {
			return fail(err)
		}
		out.NoteIssued.Documents = Digests(out.Documents)
		event, err := wire.Draft(domain.EventIDOf("note", issued.Invoice.Number, fmt.Sprint(ordinal)), out.NoteIssued, nil)
		if err != nil {
			return fail(err)
		}
		_, err = s.Log.Append(ctx, eventlog.Write{Stream: stream, Expect: eventlog.After(n), Events: []eventlog.Draft{event}})
		switch {
		case errors.Is(err, eventlog.ErrWrongExpectedRevision), errors.Is(err, eventlog.ErrIdempotencyConflict):
			// Another run took the number, or issued the note: see what is
			// left to correct.
			if err := s.Refresh(ctx); err != nil {
				return fail(err)
			}
			continue
		case err != nil:
			return fail(err)
		}
		return out, true, s.Refresh(ctx)
	}
}

// Void records that an invoice counts for nothing. One that was paid, or
// corrected by notes, stands: what is wrong with it becomes a note.
func (s *Settler) Void(ctx context.Context, number, reason string) (domain.InvoiceVoided, error) {
	fail := func(format string, args ...any) (domain.InvoiceVoided, error) {
		return domain.InvoiceVoided{}, fmt.Errorf("void invoice %s: "+format, append([]any{number}, args...)...)
	}
	if err := s.Refresh(ctx); err != nil {
		return domain.InvoiceVoided{}, err
	}
	issued, ok := s.Facts.InvoiceNumbered(number)
	switch {
	case !ok:
		return fail("it is not on record")
	case reason == "":
		return fail("say why: --reason")
	case s.Facts.Voided(number):
		for _, v := range s.Facts.Voids() {
			if v.Invoice == number && v.Reason != reason {
				return fail("it is void since %s: %s", v.At, v.Reason)
			} else if v.Invoice == number {
				return v, nil
			}
		}
	case len(s.Facts.Payments(number)) > 0:
		return fail("money has arrived for it; correct what it says by an amended contract or a corrected reading")
	case len(s.Facts.Notes(number)) > 0:
		return fail("notes correct it; what is left of it stands")
	}
	inv := issued.Invoice
	v := domain.InvoiceVoided{Invoice: number, Contract: inv.Contract, Period: inv.Period, At: s.Now(), Reason: reason}
	if err := s.append(ctx, eventlog.Stream("invoice_status-"+string(inv.Contract)), v, "void", number); err != nil {
		return fail("%w", err)
	}
	for _, v := range s.Facts.Voids() {
		if v.Invoice == number {
			return v, nil // another run may have been first
		}
	}
	return v, nil
}
