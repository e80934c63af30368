// Package document renders an issued invoice, the same bytes every time.
//
// A document is a pure function of the invoice, its [Proof] and this package:
// no clock, zone table, environment or random number is read, layout is integer
// arithmetic, the fonts are part of the package, and streams are compressed by
// an encoder that is part of it too. Go's own encoder changed its output with
// Go 1.27 (go.dev/doc/go1.27), after which no earlier document could have been
// printed again to the digest that the log holds.
//
// Text is shown from left to right in the Latin, Greek and Cyrillic scripts. A
// character beyond them shows as an empty box in the PDF; the JSON document
// has it as it is.
package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"wattbook/domain"
)

// Layout is how documents are laid out today, as an invoice's Layout says it.
// What an older one shows is kept, so that its documents print again to their
// digests:
//
//	0  the first
//	1  explains what is beyond a reservation and what an interval costs on
//	   average, reconciles the annex with the lines, says how to check the
//	   invoice by a proof, and where to pay to
//	2  says in the annex how much of the energy is estimated
//	3  a credit note has no due date: nothing is to be paid for it
//	4  its FOCUS rows tell power and hosting from GPU compute, and have a
//	   ServiceSubcategory; lines of notes say what has changed where their
//	   quantity has not; a line without a price says of no price that there is
//	   one, and the annex reconciles the energy charge by charge; it names
//	   the checkpoint that the log had signed, and how to prove a note; its
//	   FOCUS rows of what is prepaid bill nothing, and those of one line have
//	   one InvoiceDetailId
const Layout = 4

// Proof is what lets a reader check an invoice against the log that it was
// drawn from, beside what the invoice itself says: its position, and the
// checkpoint that the log had signed. What is empty is left out of the document.
type Proof struct {
	// Usage is the digest of the usage that was billed, as the PeriodClosed
	// event states it.
	Usage domain.Digest
}

// PDF returns the invoice as a PDF of A4 pages: the invoice, how it can be
// checked, and, where the invoice has daily usage, that as an annex. It is an
// error if the invoice's figures contradict each other: a document never shows
// a sum that its lines do not give.
func PDF(inv domain.Invoice, proof Proof) ([]byte, error) {
	if err := check(inv); err != nil {
		return nil, fmt.Errorf("render invoice %q as PDF: %w", inv.Number, err)
	}
	return paper(inv, proof, papers{name: "Invoice"})
}

// NotePDF is [PDF] of a credit or debit note: it also names the invoice that it
// corrects, and the causes.
func NotePDF(note domain.Note, proof Proof) ([]byte, error) {
	if err := check(note.Invoice); err != nil {
		return nil, fmt.Errorf("render note %q as PDF: %w", note.Number, err)
	}
	return paper(note.Invoice, proof, papers{name: noteName(note.Kind), corrects: note.Corrects, causes: note.Causes})
}

func noteName(k domain.NoteKind) string {
	if k == domain.DebitNote {
		return "Debit note"
	}
	return "Credit note"
}

// papers says which document an invoice's figures stand on.
type papers struct {
	name     string // "Invoice"
	corrects string // number of the invoice that a note corrects
	causes   []string
}

func paper(inv domain.Invoice, proof Proof, what papers) ([]byte, error) {
	t := newTypesetter()
	b := compose(t, inv, proof, what)
	raw, err := draw(t, b, properties{
		title:   what.name + " " + t.oneLine(inv.Number),
		author:  t.oneLine(inv.Seller.Name),
		subject: fmt.Sprintf("%s, contract %s, version %d", month(inv.Period), t.oneLine(string(inv.Contract)), inv.Version),
		at:      inv.Issued,
	})
	if err == nil {
		raw, err = freeze(raw)
	}
	if err != nil {
		return nil, fmt.Errorf("render invoice %q as PDF: %w", inv.Number, err)
	}
	return raw, nil
}

// JSON returns the invoice as the log records it, indented for people:
// decimals and money are strings, instants RFC 3339 in UTC, and what is an
// integer carries its unit in its name. It is an error where [PDF] would be
// one.
func JSON(inv domain.Invoice) ([]byte, error) {
	if err := check(inv); err != nil {
		return nil, fmt.Errorf("render invoice %q as JSON: %w", inv.Number, err)
	}
	return indented(inv.Number, inv)
}

// NoteJSON is [JSON] of a note.
func NoteJSON(note domain.Note) ([]byte, error) {
	if err := check(note.Invoice); err != nil {
		return nil, fmt.Errorf("render note %q as JSON: %w", note.Number, err)
	}
	return indented(note.Number, note)
}

func indented(number string, v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("render %q as JSON: %w", number, err)
	}
	return b.Bytes(), nil
}

// dailyLimit bounds the days between the first and the last row of the annex.
const dailyLimit = 366

// check reports the first figure of inv that contradicts another one or that
// cannot be shown.
func check(inv domain.Invoice) error {
	currency, err := domain.ParseCurrency(string(inv.Total.Currency))
	if err != nil {
		return fmt.Errorf("total: %w", err)
	}
	for _, m := range []struct {
		what  string
		money domain.Money
	}{{"subtotal", inv.Subtotal}, {"tax amount", inv.TaxDue}} {
		if m.money.Currency != currency {
			return fmt.Errorf("%s is in %q, the total in %s", m.what, m.money.Currency, currency)
		}
	}
	switch {
	case inv.Number == "":
		return errors.New("it has no number")
	case inv.Period.Month < time.January || inv.Period.Month > time.December:
		return fmt.Errorf("period %s is not a month", inv.Period)
	case !inv.Interval.Valid():
		return fmt.Errorf("its interval %s is empty", inv.Interval)
	}
	for _, at := range []domain.Instant{inv.Interval.Start, inv.Interval.End, inv.Issued, inv.Due} {
		if err := checkInstant(at); err != nil {
			return err
		}
	}
	if err := checkSums(inv, currency); err != nil {
		return err
	}
	if err := checkTaxes(inv); err != nil {
		return err
	}
	return checkDaily(inv.Daily)
}

// checkTaxes reports a tax that lacks a reason, and parts of the tax that the
// lines under each do not give.
func checkTaxes(inv domain.Invoice) error {
	var due domain.Decimal
	for _, part := range inv.TaxParts() {
		if part.Tax.Rate.IsZero() && part.Tax.Reason == "" {
			return errors.New("tax rate is zero without a reason; set tax.reason in the contract")
		}
		var base domain.Decimal
		for _, l := range inv.Lines {
			if len(inv.Taxes) == 0 || inv.TaxOf(l).Same(part.Tax) {
				base = base.Add(l.Amount.Decimal())
			}
		}
		if part.Base.Currency != inv.Total.Currency || part.Due.Currency != inv.Total.Currency {
			return fmt.Errorf("the tax of %s on %s is not in %s", part.Due, part.Base, inv.Total.Currency)
		}
		if !base.Equal(part.Base.Decimal()) {
			return fmt.Errorf("its lines under %s %s sum to %s, which the tax is said to be on %s of", part.Tax.Name, percent(part.Tax.Rate), base, part.Base)
		}
		due = due.Add(part.Due.Decimal())
	}
	if !due.Equal(inv.TaxDue.Decimal()) {
		return fmt.Errorf("the parts of the tax sum to %s, the tax is %s", due, inv.TaxDue)
	}
	for _, l := range inv.Lines {
		if !slices.ContainsFunc(inv.TaxParts(), func(p domain.TaxPart) bool { return p.Tax.Same(inv.TaxOf(l)) }) {
			return fmt.Errorf("line %d is under a tax that the invoice does not sum", l.Line)
		}
	}
	return nil
}

// checkSums reports a line that cannot be shown, or a sum that the lines do
// not give. Decimals are summed, since minor units would wrap.
func checkSums(inv domain.Invoice, currency domain.Currency) error {
	var sum domain.Decimal
	for _, l := range inv.Lines {
		if l.Amount.Currency != currency {
			return fmt.Errorf("line %d is in %q, the total in %s", l.Line, l.Amount.Currency, currency)
		}
		if !l.Interval.Valid() {
			return fmt.Errorf("line %d: its interval %s is empty", l.Line, l.Interval)
		}
		for _, at := range []domain.Instant{l.Interval.Start, l.Interval.End} {
			if err := checkInstant(at); err != nil {
				return fmt.Errorf("line %d: %w", l.Line, err)
			}
		}
		sum = sum.Add(l.Amount.Decimal())
	}
	if !sum.Equal(inv.Subtotal.Decimal()) {
		return fmt.Errorf("its lines sum to %s, its subtotal is %s", sum, inv.Subtotal)
	}
	if due := sum.Add(inv.TaxDue.Decimal()); !due.Equal(inv.Total.Decimal()) {
		return fmt.Errorf("subtotal and tax sum to %s, its total is %s", due, inv.Total)
	}
	return nil
}

// checkInstant reports an instant outside the years that a date can show.
func checkInstant(at domain.Instant) error {
	if y := at.Time().Year(); y < 1970 || y > 9998 {
		return fmt.Errorf("an instant is in the year %d; documents show 1970 to 9998", y)
	}
	return nil
}

// checkDaily reports days of the annex that are not dates in order.
func checkDaily(daily []domain.DailyUsage) error {
	var first, last time.Time
	for i, d := range daily {
		day, err := time.Parse(time.DateOnly, d.Day)
		if err != nil {
			return fmt.Errorf("daily usage: %q is not a date such as 2026-10-14", d.Day)
		}
		if i == 0 {
			first = day
		} else if !day.After(last) {
			return fmt.Errorf("daily usage: %s comes after %s", d.Day, last.Format(time.DateOnly))
		}
		last = day
	}
	if days := last.Sub(first) / (24 * time.Hour); days >= dailyLimit {
		return fmt.Errorf("daily usage spans %d days, limit %d", days+1, dailyLimit)
	}
	return nil
}
