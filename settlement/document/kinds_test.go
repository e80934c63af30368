package document_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"wattbook/domain"
	"wattbook/projections/logscript"
	"wattbook/settlement"
	"wattbook/settlement/document"
	"wattbook/settlement/rating"
)

// kinds is a month of a contract with every kind of charge, and energy of two
// groups of meters.
func kinds(t *testing.T) (*logscript.Player, domain.Invoice) {
	t.Helper()
	p := logscript.New()
	if err := p.Play(
		"site s step=6h zone=UTC", "meter revenue", "meter n4 under=revenue use=ai", "meter n5 under=revenue use=ai",
	); err != nil {
		t.Fatal(err)
	}
	if err := p.Play(
		"read revenue 2026-10@UTC 100kWh every=6h", "read n4 2026-10@UTC 25kWh every=6h", "read n5 2026-10@UTC 60kWh every=6h", "price hb_south 2026-10@UTC 6h 50",
		"now 2026-11-02T09:00", "start job-1 aurora 12 2026-10-05", "end job-1 2026-10-20", "prepay aurora 500 2026-09-01",
		"contract aurora tax=0.0825 from=2026-10-01", "charge reserved reserved-gpus 8 x 1450 factor=1.25",
		"charge space reserved-power 10 x 100", "charge power power-pass-through n4 loss=0.013 adder=4", "charge rack fixed 300",
		"charge tiers usage kwh meters=n5 model=graduated tiers=1000:0.011+5,:0.007", "charge packs usage kwh 18 meters=n4 model=package block=1000 free=50",
		"charge volume usage kwh meters=n5 model=volume tiers=5000:0.012,:0.010", "charge index usage kwh 0.01 meters=n5 index=hb_south index-factor=0.001",
		"charge clock usage kwh meters=n4 windows=night@22:00-06:00@0.02,day@06:00-22:00@0.03", "charge peak demand 15 meters=n5",
		"charge support percentage 0.05 of=space", "charge least minimum 2000 of=rack", "charge most maximum 900 of=space",
		"charge commit commitment 50000 true-up rollover months=1",
	); err != nil {
		t.Fatal(err)
	}
	f, err := p.Facts()
	if err != nil {
		t.Fatal(err)
	}
	inv, err := rating.Draft(f, "aurora", domain.Period{Year: 2026, Month: time.October})
	if err != nil {
		t.Fatal(err)
	}
	inv.Number, inv.Issued, inv.Due, inv.Layout = "CB-2026-000001", p.Now(), p.Now().Add(30*domain.Day), document.Layout
	inv.Checkpoint = domain.Checkpoint{Log: "wattbook.example/s", Size: inv.AsOf + 1, Root: domain.DigestOf([]byte("root"))}
	return p, inv
}

// pageText compares the text of a PDF, as another program reads it, with a
// golden file.
func pageText(t *testing.T, name string, pdf []byte) {
	t.Helper()
	tool, err := exec.LookPath("pdftotext")
	if err != nil {
		t.Skip("pdftotext (poppler-utils) is not installed")
	}
	path := filepath.Join(t.TempDir(), "page.pdf")
	if err := os.WriteFile(path, pdf, 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := exec.Command(tool, "-raw", "-enc", "UTF-8", path, "-").Output()
	if err != nil {
		t.Fatal(err)
	}
	// Versions of the program differ in how much space they find.
	var lines []string
	for line := range strings.Lines(string(text)) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	golden(t, name, []byte(strings.Join(lines, "\n")+"\n"))
}

// TestEveryKindOfChargeIsToldAsItIs holds the pages of an invoice with every
// kind of charge: a price of each interval is said of what has one, and the days
// of two groups of meters are not said to be those of one.
func TestEveryKindOfChargeIsToldAsItIs(t *testing.T) {
	_, inv := kinds(t)
	pdf, err := document.PDF(inv, proof)
	if err != nil {
		t.Fatal(err)
	}
	had := map[domain.ChargeKind]bool{}
	for _, l := range inv.Lines {
		had[l.Kind] = true
	}
	for _, k := range domain.ChargeKinds() {
		if !had[k] && k != domain.ChargeOnDemandGPUs && k != domain.ChargeSLACredit {
			t.Errorf("the invoice has no %s", k)
		}
	}
	prose := readPDF(t, pdf).prose()
	for _, never := range []string{"is what its market published", "times as much", "as metered"} {
		if strings.Contains(prose, never) {
			t.Errorf("the pages say %q", never)
		}
	}
	if n := strings.Count(prose, "per interval"); n != 1 {
		t.Errorf("%d lines have a price per interval, want that of power alone", n)
	}
	pageText(t, "every-kind.txt", pdf)
	raw, err := document.UBL(inv)
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range document.CheckUBL(raw) {
		if !strings.HasPrefix(rule, "BR-S-02: ") && !strings.HasPrefix(rule, "BR-08: ") && !strings.HasPrefix(rule, "BR-10: ") { // the parties of scripts have no address and no tax identifier
			t.Errorf("the e-invoice breaks %s", rule)
		}
	}
}

// TestANoteSaysWhatHasChanged holds the pages of a note whose lines change a
// price, an amount and a quantity.
func TestANoteSaysWhatHasChanged(t *testing.T) {
	p, inv := kinds(t)
	issued := domain.InvoiceIssued{Invoice: inv}
	if err := p.Play("price hb_south 2026-10-01..2026-10-08 6h 60 corrects=yes", "read n4 2026-10-14T00:00..2026-10-14T06:00 26kWh mark=corrected",
		"contract aurora version=2 tax=0.0825 from=2026-10-01", "charge reserved reserved-gpus 8 x 1450 factor=1.25",
		"charge space reserved-power 10 x 90", "charge power power-pass-through n4 loss=0.013 adder=4", "charge rack fixed 300",
		"charge tiers usage kwh meters=n5 model=graduated tiers=1000:0.011+5,:0.008", "charge packs usage kwh 18 meters=n4 model=package block=1000 free=50",
		"charge support percentage 0.05 of=space", "charge least minimum 2000 of=rack",
	); err != nil {
		t.Fatal(err)
	}
	f, err := p.Facts()
	if err != nil {
		t.Fatal(err)
	}
	note, due, err := settlement.Correction(f, issued)
	if err != nil || !due {
		t.Fatalf("%t, %v", due, err)
	}
	note.Number, note.Issued, note.Due, note.Layout = "CB-2026-000002", p.Now(), p.Now().Add(30*domain.Day), document.Layout
	pdf, err := document.NotePDF(note, proof)
	if err != nil {
		t.Fatal(err)
	}
	pageText(t, "every-change.txt", pdf)
	ubl, err := document.NoteUBL(note)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := document.NoteFOCUS(note)
	if err != nil {
		t.Fatal(err)
	}
	checkFocus(t, focus(t, rows), note.Total)
	for _, l := range note.Lines {
		says := document.Change(l)
		if (says == "change of price" || says == "change of amount") && (!l.Quantity.IsZero() || l.Amount.IsZero()) || says == "change of quantity" && (l.Quantity.IsZero() || !l.Amount.IsZero()) {
			t.Errorf("%q of a line of %s %s that comes to %s", says, l.Quantity, l.Unit, l.Amount)
		}
		for what, text := range map[string]string{"the PDF": readPDF(t, pdf).prose(), "the FOCUS rows": string(rows)} {
			if !strings.Contains(text, says) {
				t.Errorf("%s does not say %q", what, says)
			}
		}
		if l.Quantity.IsZero() && !strings.Contains(string(ubl), "<cbc:Description>"+says) {
			t.Errorf("the e-invoice does not say %q", says)
		}
	}
}
