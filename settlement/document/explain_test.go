package document_test

import (
	"strings"
	"testing"

	"wattbook/domain"
	"wattbook/settlement/document"
)

// TestTheLayoutOfTodayExplains holds what layouts 1 and 2 say, and that an
// invoice of layout 0 says nothing of it, and one of layout 1 nothing of 2.
func TestTheLayoutOfTodayExplains(t *testing.T) {
	inv := einvoice()
	inv.Lines[1].Description = "512 reserved H200 GPUs, beyond the reservation"
	inv.Balances = []domain.Balance{{Charge: "commit", Opening: usd(100), Added: usd(200), Drawn: usd(50), Expired: usd(0), Closing: usd(250), Rolled: usd(0)}}
	const estimates = "96.400 kWh are estimated"
	explained := []string{
		"counted in each metering interval by itself", "on average 0.040963 USD per kWh", "as metered", "are part of the reservation", estimates,
		"wattbook prove --invoice INV-2026-000147 -o invoice.proof", "wattbook prove --check invoice.proof --key KEY",
	}
	always := []string{"DE02120300000000202051", "BYLADEM1001", "Paid from prepayments", "-10,000.00", "USD 830,069.15", "Commitments", "commit: 1.00 USD before"}
	first := render(t, inv).prose()
	inv.Layout = 1
	if strings.Contains(render(t, inv).prose(), estimates) {
		t.Error("layout 1 says what is estimated")
	}
	inv.Layout = document.Layout
	today := render(t, inv).prose()
	for _, want := range always {
		if !strings.Contains(today, want) || !strings.Contains(first, want) {
			t.Errorf("a document lacks %q", want)
		}
	}
	for _, want := range explained {
		if !strings.Contains(today, want) {
			t.Errorf("the layout of today lacks %q", want)
		}
		if strings.Contains(first, want) {
			t.Errorf("the first layout says %q", want)
		}
	}
	// A buyer of power alone sees no chart of GPUs.
	inv.Lines = inv.Lines[3:4]
	inv.Prepaid = domain.Money{}
	inv = total(inv)
	if power := render(t, inv).prose(); strings.Contains(power, "GPU-hours per day") || !strings.Contains(power, "Energy (kWh) per day") {
		t.Error("an invoice for power alone has a chart of GPUs, or none of energy")
	}
}

// TestNotesNameTheInvoiceAndTheCauses reads the PDF of a credit and a debit
// note.
func TestNotesNameTheInvoiceAndTheCauses(t *testing.T) {
	for kind, want := range map[domain.NoteKind][]string{
		domain.CreditNote: {"Credit note", "invoice INV-2026-000147", "against invoice INV-2026-000147", "Since invoice INV-2026-000147 was drawn", "readings of n4 came on record: 3 corrected", "is credited against"},
		domain.DebitNote:  {"Debit note", "Amount due", "quote debit note INV-2026-000151", "DE02120300000000202051"},
	} {
		n := creditNote()
		n.Kind = kind
		if kind == domain.DebitNote {
			n.Lines = n.Lines[2:]
			n.Invoice = total(n.Invoice)
		}
		pdf, err := document.NotePDF(n, proof)
		if err != nil {
			t.Fatal(err)
		}
		text := readPDF(t, pdf).prose()
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("the %s note lacks %q", kind, w)
			}
		}
		raw, err := document.NoteJSON(n)
		if err != nil || !strings.Contains(string(raw), `"corrects": "INV-2026-000147"`) {
			t.Errorf("the JSON of the %s note: %v", kind, err)
		}
	}
	n := creditNote()
	n.Total.Minor++
	for name, make := range map[string]func() ([]byte, error){
		"PDF":  func() ([]byte, error) { return document.NotePDF(n, proof) },
		"JSON": func() ([]byte, error) { return document.NoteJSON(n) }, "UBL": func() ([]byte, error) { return document.NoteUBL(n) },
		"FOCUS": func() ([]byte, error) { return document.NoteFOCUS(n) }, "XLSX": func() ([]byte, error) { return document.NoteXLSX(n) },
	} {
		if _, err := make(); err == nil || !strings.Contains(err.Error(), "its total is") {
			t.Errorf("%s of a note that contradicts itself: %v", name, err)
		}
	}
}

// TestACreditNoteHasNoDueDate holds what layout 3 leaves out of a note that
// nothing is to be paid for, and keeps on one of an older layout.
func TestACreditNoteHasNoDueDate(t *testing.T) {
	for _, c := range []struct {
		layout int64
		kind   domain.NoteKind
		due    bool
	}{{2, domain.CreditNote, true}, {document.Layout, domain.CreditNote, false}, {document.Layout, domain.DebitNote, true}} {
		n := creditNote()
		n.Layout, n.Kind = c.layout, c.kind
		if c.kind == domain.DebitNote {
			n.Lines = n.Lines[2:]
			n.Invoice = total(n.Invoice)
		}
		pdf, err := document.NotePDF(n, proof)
		if err != nil {
			t.Fatal(err)
		}
		xml, err := document.NoteUBL(n)
		if err != nil {
			t.Fatal(err)
		}
		prose := readPDF(t, pdf).prose()
		if got := strings.Contains(prose, "Due "); got != c.due {
			t.Errorf("%+v: the PDF has a due date: %t\n%s", c, got, prose)
		}
		if got := strings.Contains(string(xml), "DueDate"); got != c.due {
			t.Errorf("%+v: the e-invoice has a due date: %t\n%s", c, got, xml)
		}
		if broken := document.CheckUBL(xml); len(broken) > 0 {
			t.Errorf("%+v: %v", c, broken)
		}
	}
}
