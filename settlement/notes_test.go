package settlement_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/wire"
	"wattbook/projections/logscript"
	"wattbook/settlement"
	"wattbook/settlement/document"
	"wattbook/settlement/rating"
)

// billed returns a log in which October is closed and invoiced.
func billed(t failer) *logscript.Player {
	p := logscript.New()
	if err := p.Play(
		"site s step=24h zone=UTC", "meter revenue", "meter n4 under=revenue use=ai", "read revenue 2026-10@UTC 310kWh every=24h", "read n4 2026-10@UTC 100kWh every=24h",
		"price hb_south 2026-10@UTC 24h 50", "now 2026-11-02T09:00",
		"contract aurora tax=0.0825", "charge space reserved-power 10 x 100", "charge power power-pass-through n4 loss=0.013",
		"charge energy usage kwh meters=n4 model=graduated tiers=1000:0.011,:0.007", "charge least minimum 1200",
	); err != nil {
		t.Fatalf("%v", err)
	}
	if _, err := p.Facts(); err != nil {
		t.Fatalf("%v", err)
	}
	s := settler(p.Log, p.Now())
	if _, err := s.Close(t.Context(), "s", october); err != nil {
		t.Fatalf("%v", err)
	}
	if issued, err := s.Issue(t.Context(), "s", october); err != nil || len(issued) != 1 {
		t.Fatalf("issued %d, %v", len(issued), err)
	}
	return p
}

// correction draws something that comes on record after the invoice.
func correction(t *rapid.T, version *int, tax *string) string {
	day := rapid.IntRange(1, 30).Draw(t, "day")
	span := fmt.Sprintf("2026-10-%02d..2026-10-%02d", day, day+1)
	switch rapid.IntRange(0, 3).Draw(t, "what") {
	case 0:
		return fmt.Sprintf("read n4 %s %dWh mark=corrected", span, rapid.IntRange(0, 500_000).Draw(t, "Wh"))
	case 1:
		return fmt.Sprintf("price hb_south %s 24h %s corrects=yes", span, domain.NewDecimal(rapid.Int64Range(-9999, 99999).Draw(t, "price"), -2))
	case 2:
		return fmt.Sprintf("read revenue %s %dkWh mark=corrected", span, rapid.IntRange(0, 500).Draw(t, "kWh"))
	}
	*version++
	if now := rapid.SampledFrom([]string{"0.0825", "0.0825", "0.19", "0"}).Draw(t, "tax"); now != *tax {
		*tax, day = now, 1 // a month is under one tax
	}
	return fmt.Sprintf("contract aurora version=%d tax=%s from=2026-10-%02d\ncharge space reserved-power 10 x %d\ncharge power power-pass-through n4 loss=0.013\ncharge least minimum 1200",
		*version, *tax, day, rapid.IntRange(1, 200).Draw(t, "rate"))
}

// TestAnInvoiceAndItsNotesAreWhatTheInvoiceWouldHaveBeen records corrections
// in turn, with runs between some of them, and runs that are cut off: in the
// end invoice and notes sum to what the invoice would have been, line for line
// and in tax, numbers have no gap, and every note comes out again from what was
// known where it was drawn.
func TestAnInvoiceAndItsNotesAreWhatTheInvoiceWouldHaveBeen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, version, tax := billed(t), 1, "0.0825"
		for range rapid.IntRange(1, 5).Draw(t, "corrections") {
			if err := p.Play(correction(t, &version, &tax)); err != nil {
				t.Fatal(err)
			}
			if _, err := p.Facts(); err != nil {
				t.Fatal(err)
			}
			if rapid.Bool().Draw(t, "run") {
				log := &faulty{Log: p.Log, reads: true, plan: rapid.SliceOfN(rapid.SampledFrom([]fault{works, works, refused, lost}), 0, 6).Draw(t, "plan")}
				if _, err := settler(log, p.Now()).Correct(t.Context(), "s", october); err != nil && !errors.Is(err, errCut) {
					t.Fatal(err)
				}
			}
		}
		s := settler(p.Log, p.Now())
		if _, err := s.Correct(t.Context(), "s", october); err != nil {
			t.Fatal(err)
		}
		if again, err := settler(p.Log, p.Now()).Correct(t.Context(), "s", october); err != nil || len(again) > 0 {
			t.Fatalf("a second run issues %d notes, %v", len(again), err)
		}
		checkCorrected(t, p, s, october)
	})
}

// checkCorrected compares the invoice and its notes with what the invoice
// would be.
func checkCorrected(t *rapid.T, p *logscript.Player, s *settlement.Settler, period domain.Period) {
	want, err := rating.Draft(s.Facts, "aurora", period)
	if err != nil {
		t.Fatal(err)
	}
	issued, _ := s.Facts.Invoice("aurora", period)
	subtotal, tax, lines := issued.Invoice.Subtotal, issued.Invoice.TaxDue, issued.Invoice.Lines
	for _, n := range s.Facts.Notes(issued.Invoice.Number) {
		sum := domain.Money{Currency: "USD"}
		for _, l := range n.Note.Lines {
			sum = sum.Add(l.Amount)
		}
		if sum != n.Note.Subtotal || n.Note.Subtotal.Add(n.Note.TaxDue) != n.Note.Total || (n.Note.Kind == domain.DebitNote) != (n.Note.Total.Minor > 0) || len(n.Note.Causes) == 0 {
			t.Fatalf("a note does not add up: %+v", n.Note)
		}
		checkEInvoice(t, n.Note)
		subtotal, tax, lines = subtotal.Add(n.Note.Subtotal), tax.Add(n.Note.TaxDue), append(lines[:len(lines):len(lines)], n.Note.Lines...)
	}
	if subtotal != want.Subtotal || tax != want.TaxDue {
		t.Fatalf("invoice and notes come to %s and tax %s, want %s and %s", subtotal, tax, want.Subtotal, want.TaxDue)
	}
	sums := func(lines []domain.InvoiceLine) map[string]int64 {
		out := map[string]int64{}
		for _, l := range lines {
			if k := l.Charge + l.Description; !l.Amount.IsZero() {
				if out[k] += l.Amount.Minor; out[k] == 0 {
					delete(out, k)
				}
			}
		}
		return out
	}
	if got, want := fmt.Sprint(sums(lines)), fmt.Sprint(sums(want.Lines)); got != want {
		t.Fatalf("by charge they come to %s, want %s", got, want)
	}
	next := 0
	for r, err := range p.Log.ReadAll(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		rec, err := wire.Open(r)
		if err != nil {
			t.Fatal(err)
		}
		number := ""
		switch e := rec.Event.(type) {
		case domain.InvoiceIssued:
			number = e.Invoice.Number
		case domain.NoteIssued:
			number = e.Note.Number
			corrected, _ := s.Facts.InvoiceNumbered(e.Note.Corrects)
			again, ok, err := settlement.Correction(at(t, p.Log, e.Note.AsOf), corrected)
			again.Number, again.Issued, again.Due = e.Note.Number, e.Note.Issued, e.Note.Due
			if err != nil || !ok || fmt.Sprintf("%+v", again) != fmt.Sprintf("%+v", e.Note) {
				t.Fatalf("note %s comes out otherwise: %v\n%+v\n%+v", number, err, again, e.Note)
			}
		default:
			continue
		}
		if next++; number != fmt.Sprintf("CB-2026-%06d", next) {
			t.Fatalf("number %s is the %dth", number, next)
		}
	}
}

// checkEInvoice holds the sums of a note's e-invoice to the rules, and its tax
// to the note's. (The parties have no tax identifiers.)
func checkEInvoice(t *rapid.T, n domain.Note) {
	raw, err := document.NoteUBL(n)
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range document.CheckUBL(raw) {
		if name, _, _ := strings.Cut(rule, ":"); !strings.HasSuffix(name, "-02") {
			t.Fatalf("the e-invoice of a note breaks %s\n%s", rule, raw)
		}
	}
	tax := n.TaxDue
	if n.Kind == domain.CreditNote {
		tax = tax.Neg()
	}
	if want := `<cbc:TaxAmount currencyID="USD">` + tax.Amount() + "<"; !strings.Contains(string(raw), want) {
		t.Fatalf("the e-invoice of a note does not say %s\n%s", want, raw)
	}
}

// TestANoteOfTaxAloneStands records a note as they were drawn before lines were
// parted by their tax: it comes out again as it is, nothing is left to correct,
// and what comes next is under the tax that it brought.
func TestANoteOfTaxAloneStands(t *testing.T) {
	p := billed(t)
	play := func(script string) {
		t.Helper()
		if err := p.Play(script); err != nil {
			t.Fatal(err)
		}
	}
	play("contract aurora version=2 tax=0.19 from=2026-10-01\ncharge space reserved-power 10 x 100\ncharge power power-pass-through n4 loss=0.013\n" +
		"charge energy usage kwh meters=n4 model=graduated tiers=1000:0.011,:0.007\ncharge least minimum 1200")
	f, err := p.Facts()
	if err != nil {
		t.Fatal(err)
	}
	issued, _ := f.Invoice("aurora", october)
	note, due, err := settlement.Correction(f, issued)
	if err != nil || !due || len(note.Taxes) != 2 {
		t.Fatalf("drawn %+v, %t, %v", note, due, err)
	}
	note.Number, note.Issued, note.Lines, note.Taxes = "CB-2026-000002", p.Now(), nil, nil
	draft, err := wire.Draft(domain.EventIDOf("note", "by hand"), domain.NoteIssued{Note: note}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Log.Append(t.Context(), eventlog.Write{Stream: "invoice-CB.2026", Expect: eventlog.Any, Events: []eventlog.Draft{draft}}); err != nil {
		t.Fatal(err)
	}
	again, due, err := settlement.Redraw(at(t, p.Log, note.AsOf), issued, note)
	again.Number, again.Issued = note.Number, note.Issued
	if err != nil || !due || fmt.Sprintf("%+v", again) != fmt.Sprintf("%+v", note) {
		t.Errorf("it comes out as\n%+v, want\n%+v; %t, %v", again, note, due, err)
	}
	if f, err = p.Facts(); err != nil {
		t.Fatal(err)
	}
	if more, due, err := settlement.Correction(f, issued); due || err != nil {
		t.Errorf("it is to be corrected again: %+v, %v", more, err)
	}
	play("read n4 2026-10-14..2026-10-15 120kWh mark=corrected")
	if f, err = p.Facts(); err != nil {
		t.Fatal(err)
	}
	if more, due, err := settlement.Correction(f, issued); !due || err != nil || len(more.Taxes) > 0 || len(more.Lines) == 0 || !more.Tax.Same(note.Tax) {
		t.Errorf("the next note is %+v, %t, %v", more, due, err)
	}
}

// TestRunsThatCorrectAtOnceIssueOneNote starts several runs beside each other.
func TestRunsThatCorrectAtOnceIssueOneNote(t *testing.T) {
	p := billed(t)
	if err := p.Play("read n4 2026-10-14..2026-10-15 120kWh mark=corrected"); err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	var found [4]int
	var errs [4]error
	start := make(chan struct{})
	for n := range found {
		wait.Go(func() {
			<-start
			all, err := settler(slow{p.Log}, p.Now().Add(domain.Minute*domain.Duration(n))).Correct(t.Context(), "s", october)
			found[n], errs[n] = len(all), err
		})
	}
	close(start)
	wait.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	f := at(t, p.Log, headOf(t, p.Log))
	if sum := found[0] + found[1] + found[2] + found[3]; sum != 1 || len(f.Notes("")) != 1 {
		t.Errorf("runs issued %v notes, on record are %d", found, len(f.Notes("")))
	}
}

func headOf(t failer, log eventlog.Log) domain.Position {
	head, err := log.Head(t.Context())
	if err != nil {
		t.Fatalf("%v", err)
	}
	return head
}
