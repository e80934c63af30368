package document_test

import (
	"bytes"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"wattbook/domain"
	"wattbook/settlement/document"
)

// einvoice is an invoice with all that an e-invoice shows.
func einvoice() domain.Invoice {
	inv := sample()
	inv.Seller.Endpoint, inv.Buyer.Endpoint = "0060:123456789", "9930:DE123456789"
	inv.Seller.Bank = &domain.Bank{Holder: "Pecos Power", Account: "DE02120300000000202051", Routing: "BYLADEM1001"}
	inv.BuyerReference, inv.OrderReference = "CC-17", "PO-4711"
	inv.Prepaid = usd(1_000_000)
	return inv
}

// creditNote takes a part of the invoice back.
func creditNote() domain.Note {
	inv := einvoice()
	n := domain.Note{Invoice: inv, Kind: domain.CreditNote, Corrects: inv.Number, Causes: []string{"readings of n4 came on record: 3 corrected", "version 4 of the contract is in force from 2026-10-14T05:00:00Z"}}
	n.Number, n.Prepaid, n.Daily = "INV-2026-000151", domain.Money{}, nil
	n.Lines = []domain.InvoiceLine{
		{Line: 1, Charge: "power", Kind: domain.ChargePassThrough, Description: "Energy", Interval: inv.Interval, Quantity: domain.MustDecimal("-120.5"), Unit: "kWh", Amount: usd(-433), Detail: "metered"},
		{Line: 2, Charge: "power", Kind: domain.ChargePassThrough, Description: "Energy at another price", Interval: inv.Interval, Quantity: domain.Decimal{}, Unit: "kWh", Amount: usd(-700)},
		{Line: 3, Charge: "burst", Kind: domain.ChargeOnDemandGPUs, Description: "On demand", Interval: inv.Interval, Quantity: domain.MustDecimal("2"), Unit: "GPU-hour", UnitPrice: func() *domain.Decimal { d := domain.MustDecimal("0.89"); return &d }(), Amount: usd(178)},
	}
	n.Invoice = total(n.Invoice)
	n.Tax.Category = ""
	return n
}

func TestUBLGolden(t *testing.T) {
	raw, err := document.UBL(einvoice())
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "invoice.ubl.xml", raw)
	note, err := document.NoteUBL(creditNote())
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "credit-note.ubl.xml", note)
	debit := creditNote()
	debit.Kind, debit.Lines = domain.DebitNote, debit.Lines[2:]
	debit.Invoice = total(debit.Invoice)
	other, err := document.NoteUBL(debit)
	if err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string][]byte{"invoice": raw, "credit note": note, "debit note": other} {
		if broken := document.CheckUBL(raw); len(broken) > 0 {
			t.Errorf("the %s breaks rules:\n%s", name, strings.Join(broken, "\n"))
		}
		xmllint, err := exec.LookPath("xmllint")
		if err != nil {
			t.Log("xmllint is not installed: well-formedness is not checked by it")
			continue
		}
		cmd := exec.Command(xmllint, "--noout", "-")
		cmd.Stdin = bytes.NewReader(raw)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("xmllint refuses the %s: %v\n%s", name, err, out)
		}
	}
}

// TestBrokenUBLIsFound changes the golden invoice, one thing at a time, and
// expects the number of the rule that it breaks.
func TestBrokenUBLIsFound(t *testing.T) {
	raw, err := document.UBL(einvoice())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ from, to, rule string }{
		{"<cbc:ID>INV-2026-000147</cbc:ID>", "", "BR-02"},
		{"<cbc:IssueDate>2026-11-02<", "<cbc:IssueDate>2 Nov<", "BR-03"},
		{">380<", ">999<", "BR-04"},
		{"<cbc:DocumentCurrencyCode>USD<", "<cbc:DocumentCurrencyCode>US<", "BR-05"},
		{"<cbc:IdentificationCode>US<", "<cbc:IdentificationCode>USA<", "BR-09"},
		{"<cbc:ID>DE02120300000000202051</cbc:ID>", "", "BR-61"},
		{`unitCode="HUR"`, `unitCode=""`, "BR-23"},
		{`<cbc:PriceAmount currencyID="USD">1460<`, `<cbc:PriceAmount currencyID="USD">-1460<`, "BR-27"},
		{`<cbc:PriceAmount currencyID="USD">1460<`, `<cbc:PriceAmount currencyID="USD">1461<`, "PEPPOL-EN16931-R120"},
		{`<cbc:LineExtensionAmount currencyID="USD">747520.00<`, `<cbc:LineExtensionAmount currencyID="USD">747520.01<`, "BR-CO-10"},
		{`<cbc:TaxExclusiveAmount currencyID="USD">`, `<cbc:TaxExclusiveAmount currencyID="USD">1`, "BR-CO-13"},
		{`<cbc:TaxInclusiveAmount currencyID="USD">`, `<cbc:TaxInclusiveAmount currencyID="USD">1`, "BR-CO-15"},
		{`<cbc:PrepaidAmount currencyID="USD">10000.00<`, `<cbc:PrepaidAmount currencyID="USD">10000.01<`, "BR-CO-16"},
		{`<cbc:PrepaidAmount currencyID="USD">10000.00<`, `<cbc:PrepaidAmount currencyID="USD">ten<`, "BR-CO-16"},
		{`<cbc:TaxableAmount currencyID="USD">`, `<cbc:TaxableAmount currencyID="USD">9`, "BR-S-08"},
		{"<cbc:Percent>8.25</cbc:Percent>", "<cbc:Percent>9.25</cbc:Percent>", "BR-CO-17"},
		{`<cbc:EndpointID schemeID="0060">123456789</cbc:EndpointID>`, "", "PEPPOL-EN16931-R020"},
		{"<cbc:StartDate>2026-10-14</cbc:StartDate>", "<cbc:StartDate>2026-09-14</cbc:StartDate>", "PEPPOL-EN16931-R110"},
		{`<cbc:TaxableAmount currencyID="USD">776045.40</cbc:TaxableAmount>`, "", "BR-45"},
		{"<cbc:ID>S</cbc:ID>\n        <cbc:Percent>8.25</cbc:Percent>\n        <cac:TaxScheme>", "<cbc:Percent>8.25</cbc:Percent>\n        <cac:TaxScheme>", "BR-47"},
		{"<cac:ClassifiedTaxCategory>\n        <cbc:ID>S</cbc:ID>\n        <cbc:Percent>8.25<", "<cac:ClassifiedTaxCategory>\n        <cbc:ID>S</cbc:ID>\n        <cbc:Percent>0<", "BR-S-05"},
		{` schemeID="0060"`, "", "BR-62"},
		{` schemeID="9930"`, "", "BR-63"},
		{">DE123456789</cbc:CompanyID>", ">12345</cbc:CompanyID>", "BR-CO-09"},
		{"</Invoice>", "", "XML"},
	} {
		if !strings.Contains(string(raw), c.from) {
			t.Errorf("the invoice does not hold %s", c.from)
			continue
		}
		broken := strings.Join(document.CheckUBL([]byte(strings.Replace(string(raw), c.from, c.to, 1))), "\n")
		if !strings.Contains(broken, c.rule+": ") {
			t.Errorf("with %q for %q: got %q, want %s", c.to, c.from, broken, c.rule)
		}
	}
}

// TestAPartyWithoutItsAddressIsFound takes the address of the seller out of the
// golden invoice, and that of the buyer.
func TestAPartyWithoutItsAddressIsFound(t *testing.T) {
	raw, err := document.UBL(einvoice())
	if err != nil {
		t.Fatal(err)
	}
	for i, rule := range []string{"BR-08: ", "BR-10: "} {
		at := regexp.MustCompile(`(?s)<cac:PostalAddress>.*?</cac:PostalAddress>`).FindAllIndex(raw, 2)[i]
		broken := strings.Join(document.CheckUBL(slices.Concat(raw[:at[0]], raw[at[1]:])), "\n")
		if !strings.Contains(broken, rule) {
			t.Errorf("got %q, want %s", broken, rule)
		}
	}
}

// TestTaxCategoriesNeedTheirIdentifiers holds which tax identifiers a category
// needs, and that out of scope of VAT there must be none.
func TestTaxCategoriesNeedTheirIdentifiers(t *testing.T) {
	const vat, registration, none = "DE123456789", "84-1234567", ""
	for _, c := range []struct {
		category      domain.TaxCategory
		seller, buyer string
		broken        bool
	}{
		{domain.TaxStandard, registration, none, false},
		{domain.TaxStandard, none, vat, true},
		{domain.TaxZeroRated, vat, none, false},
		{domain.TaxZeroRated, none, vat, true},
		{domain.TaxExempt, registration, none, false},
		{domain.TaxExempt, none, vat, true},
		{domain.TaxExport, vat, none, false},
		{domain.TaxExport, registration, none, true},
		{domain.TaxReverseCharge, vat, vat, false},
		{domain.TaxReverseCharge, vat, none, true},
		{domain.TaxReverseCharge, none, vat, true},
		{domain.TaxOutOfScope, registration, none, false},
		{domain.TaxOutOfScope, none, none, false},
		{domain.TaxOutOfScope, registration, vat, true},
		{domain.TaxOutOfScope, vat, none, true},
	} {
		inv := einvoice()
		inv.Seller.TaxID, inv.Buyer.TaxID = c.seller, c.buyer
		if inv.Tax = (domain.Tax{Name: "VAT", Category: c.category, Reason: "why"}); c.category == domain.TaxStandard {
			inv.Tax.Rate = domain.MustDecimal("0.19")
		}
		inv = total(inv)
		raw, err := document.UBL(inv)
		if err != nil {
			t.Fatal(err)
		}
		broken := strings.Join(document.CheckUBL(raw), "\n")
		if want := "BR-" + string(c.category) + "-02: "; strings.Contains(broken, want) != c.broken || !c.broken && broken != "" {
			t.Errorf("%s, seller %q, buyer %q: %q", c.category, c.seller, c.buyer, broken)
		}
	}
	// A rate out of scope, and a document that mixes it with others.
	n := retaxed()
	n.Taxes[0].Tax.Category = domain.TaxOutOfScope
	for i := range n.Lines[:2] {
		n.Lines[i].Tax.Category = domain.TaxOutOfScope
	}
	raw, err := document.NoteUBL(n)
	if err != nil {
		t.Fatal(err)
	}
	const line = "<cac:ClassifiedTaxCategory>\n        <cbc:ID>O</cbc:ID>"
	raw = bytes.Replace(raw, []byte(line), []byte(line+"<cbc:Percent>5</cbc:Percent>"), 1)
	broken := strings.Join(document.CheckUBL(raw), "\n")
	for _, rule := range []string{"BR-O-05: ", "BR-O-11: "} {
		if !strings.Contains(broken, rule) {
			t.Errorf("got %q, want %s", broken, rule)
		}
	}
	exempt := bytes.ReplaceAll(raw, []byte("<cbc:ID>O</cbc:ID>"), []byte("<cbc:ID>E</cbc:ID>"))
	if broken := strings.Join(document.CheckUBL(exempt), "\n"); !strings.Contains(broken, "BR-E-05: ") {
		t.Errorf("an exempt line of 5 %%: %q", broken)
	}
}

// TestUBLOfAnyInvoiceKeepsTheRules draws lines, taxes and currencies.
func TestUBLOfAnyInvoiceKeepsTheRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		inv := sample()
		currency := rapid.SampledFrom([]domain.Currency{"USD", "EUR", "JPY"}).Draw(t, "currency")
		inv.Tax = rapid.SampledFrom([]domain.Tax{
			{Name: "VAT", Rate: domain.MustDecimal("0.19")},
			{Name: "VAT", Rate: domain.MustDecimal("0.0825")},
			{Name: "VAT", Reason: "Reverse charge", Category: domain.TaxReverseCharge},
			{Name: "VAT", Reason: "Export", Category: domain.TaxExport},
			{Name: "VAT", Reason: "small business"},
			{Name: "VAT", Reason: "zero", Category: domain.TaxZeroRated},
			{Name: "VAT", Reason: "not in scope", Category: domain.TaxOutOfScope},
		}).Draw(t, "tax")
		switch inv.Tax.Category { // what the parties must show, or must not
		case domain.TaxExport:
			inv.Seller.TaxID = "DE987654321"
		case domain.TaxOutOfScope:
			inv.Buyer.TaxID = ""
		}
		inv.Lines = nil
		for i := range rapid.IntRange(1, 6).Draw(t, "lines") {
			quantity := domain.NewDecimal(rapid.Int64Range(-1e15, 1e15).Draw(t, "quantity"), -6)
			l := domain.InvoiceLine{
				Line: int64(i + 1), Charge: "c", Description: rapid.StringN(0, 20, -1).Draw(t, "description"), Interval: inv.Interval,
				Quantity: quantity, Unit: rapid.SampledFrom([]string{"kWh", "GPU-hour", "kW-month", "GPU-month", "month", "each"}).Draw(t, "unit"),
			}
			if l.Description = strings.TrimSpace(strings.ToValidUTF8(l.Description, "")); l.Description == "" {
				l.Description = "line"
			}
			if rapid.Bool().Draw(t, "unit price") {
				p := domain.NewDecimal(rapid.Int64Range(0, 1e6).Draw(t, "price"), -4)
				l.UnitPrice = &p
				amount, err := currency.Round(quantity.Mul(p))
				if err != nil {
					t.Fatal(err)
				}
				l.Amount = amount
			} else {
				l.Amount = domain.Money{Minor: rapid.Int64Range(-1e9, 1e9).Draw(t, "amount"), Currency: currency}
			}
			inv.Lines = append(inv.Lines, l)
		}
		inv = total(inv)
		raw, err := document.UBL(inv)
		if err != nil {
			t.Fatal(err)
		}
		if broken := document.CheckUBL(raw); len(broken) > 0 {
			t.Fatalf("%s\n%s", strings.Join(broken, "\n"), raw)
		}
	})
}

func TestUBLRefusesWhatItCannotSay(t *testing.T) {
	inv := sample()
	for i := range inv.Lines {
		inv.Lines[i].Amount.Currency = "KWD"
		inv.Lines[i].Amount.Minor++
	}
	if _, err := document.UBL(total(inv)); err == nil || !strings.Contains(err.Error(), "more than two digits") {
		t.Errorf("dinars of three digits: %v", err)
	}
	inv = sample()
	inv.Total.Minor++
	if _, err := document.UBL(inv); err == nil || !strings.Contains(err.Error(), "its total is") {
		t.Errorf("a contradiction: %v", err)
	}
}

// retaxed takes two lines back under reverse charge and charges them at 19 %.
func retaxed() domain.Note {
	n := creditNote()
	inv := einvoice()
	n.Kind, n.Lines = domain.DebitNote, nil
	n.Tax = domain.Tax{Name: "VAT", Rate: domain.MustDecimal("0.19")}
	old := domain.Tax{Name: "VAT", Reason: "Reverse charge", Category: domain.TaxReverseCharge}
	for _, l := range inv.Lines[:2] {
		back := l
		back.Quantity, back.Amount, back.Detail, back.Tax = l.Quantity.Neg(), l.Amount.Neg(), "", old
		n.Lines = append(n.Lines, back)
	}
	n.Lines = append(n.Lines, inv.Lines[:2]...)
	for i := range n.Lines {
		n.Lines[i].Line = int64(i + 1)
	}
	base, tax := usd(75_072_420), usd(14_263_760) // 750,724.20 at 19 % is 142,637.598
	n.Subtotal, n.TaxDue, n.Total = usd(0), tax, tax
	n.Taxes = []domain.TaxPart{{Tax: old, Base: base.Neg(), Due: usd(0)}, {Tax: n.Tax, Base: base, Due: tax}}
	n.Layout = document.Layout
	return n
}

// TestANoteOfAnotherTaxHasBothTaxes reads what the documents of a note say that
// takes lines back under one tax and charges them under another.
func TestANoteOfAnotherTaxHasBothTaxes(t *testing.T) {
	n := retaxed()
	raw, err := document.NoteUBL(n)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "retaxed-note.ubl.xml", raw)
	if broken := document.CheckUBL(raw); len(broken) > 0 {
		t.Errorf("the e-invoice breaks rules:\n%s", strings.Join(broken, "\n"))
	}
	pdf, err := document.NotePDF(n, proof)
	if err != nil {
		t.Fatal(err)
	}
	text := readPDF(t, pdf).prose()
	for _, want := range []string{"VAT (0%) on -750,724.20 0.00 Reverse charge", "VAT (19%) on 750,724.20 142,637.60", "under VAT (0%)", "Amount due", "USD 142,637.60"} {
		if !strings.Contains(text, want) && !strings.Contains(text, strings.ReplaceAll(want, "-", "−")) {
			t.Errorf("the PDF lacks %q:\n%s", want, text)
		}
	}
	rows, err := document.NoteFOCUS(n)
	if err != nil {
		t.Fatal(err)
	}
	checkFocus(t, focus(t, rows), n.Payable())
	for what, spoil := range map[string]func(n *domain.Note){
		"the parts of the tax sum to":      func(n *domain.Note) { n.Taxes[1].Due.Minor++ },
		"its lines under VAT 19% sum to":   func(n *domain.Note) { n.Taxes[1].Base.Minor++ },
		"line 1 is under a tax that":       func(n *domain.Note) { n.Taxes = nil },
		"tax rate is zero without":         func(n *domain.Note) { n.Taxes[0].Tax.Reason = "" },
		"the tax of 0.00 EUR on -750724.2": func(n *domain.Note) { n.Taxes[0].Due.Currency = "EUR" },
	} {
		bad := retaxed()
		spoil(&bad)
		if _, err := document.NoteUBL(bad); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("got %v, want %q", err, what)
		}
	}
}
