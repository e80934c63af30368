package document_test

import (
	"archive/zip"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"wattbook/domain"
	"wattbook/settlement/document"
)

// focus reads rows back, by column.
func focus(t *testing.T, raw []byte) []map[string]string {
	t.Helper()
	all, err := csv.NewReader(bytes.NewReader(raw)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var rows []map[string]string
	for _, cells := range all[1:] {
		r := map[string]string{}
		for i, c := range cells {
			r[all[0][i]] = c
		}
		rows = append(rows, r)
	}
	return rows
}

// checkFocus holds the rules of FOCUS that rows can break: mandatory columns,
// allowed values, cost that adds up, unit price times quantity.
func checkFocus(t *testing.T, rows []map[string]string, payable domain.Money) {
	t.Helper()
	sum := domain.Decimal{}
	details := map[string]bool{}
	for i, r := range rows {
		for _, c := range []string{
			"BilledCost", "BillingAccountId", "BillingCurrency", "BillingPeriodStart", "BillingPeriodEnd", "ChargeCategory", "ChargePeriodStart", "ChargePeriodEnd",
			"ContractedCost", "EffectiveCost", "ListCost", "ServiceCategory", "ServiceName", "InvoiceIssuerName", "ServiceProviderName", "HostProviderName", "InvoiceId", "InvoiceDetailId",
		} {
			if r[c] == "" {
				t.Errorf("row %d has no %s", i+1, c)
			}
		}
		if !slices.Contains([]string{"Usage", "Purchase", "Tax", "Credit", "Adjustment"}, r["ChargeCategory"]) || !slices.Contains([]string{"", "Standard", "Dynamic", "Committed", "Other"}, r["PricingCategory"]) ||
			!slices.Contains([]string{"", "Correction"}, r["ChargeClass"]) || !slices.Contains([]string{"", "Used", "Unused"}, r["CapacityReservationStatus"]) {
			t.Errorf("row %d has a value that is not allowed: %v", i+1, r)
		}
		if r["ChargeCategory"] == "Tax" && r["SkuId"]+r["PricingQuantity"]+r["ContractedUnitPrice"] != "" {
			t.Errorf("the tax has a unit: %v", r)
		}
		k := r["InvoiceDetailId"] + r["CapacityReservationStatus"]
		if details[k] {
			t.Errorf("detail %s is there twice", r["InvoiceDetailId"])
		}
		details[k] = true
		sum = sum.Add(domain.MustDecimal(r["BilledCost"]))
		if p := r["ContractedUnitPrice"]; p != "" && r["ChargeClass"] == "" {
			if product := domain.MustDecimal(p).Mul(domain.MustDecimal(r["PricingQuantity"])); !product.Equal(domain.MustDecimal(r["ContractedCost"])) {
				t.Errorf("row %d: %s times %s is %s, not %s", i+1, p, r["PricingQuantity"], product, r["ContractedCost"])
			}
		}
		if r["CapacityReservationStatus"] == "Unused" && r["ConsumedQuantity"] != "" {
			t.Errorf("row %d consumes what is not used", i+1)
		}
	}
	if !sum.Equal(payable.Decimal()) {
		t.Errorf("the rows sum to %s, payable are %s", sum, payable)
	}
}

func TestFOCUSRows(t *testing.T) {
	inv := einvoice()
	raw, err := document.FOCUS(inv)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "invoice.focus.csv", raw)
	rows := focus(t, raw)
	checkFocus(t, rows, inv.Payable())
	// The reservation: 372,105.5 of 380,928 hours is what the sample says; its
	// days say what is billed here.
	status := map[string]bool{}
	for _, r := range rows {
		status[r["CapacityReservationStatus"]] = true
	}
	if !status["Used"] || !status["Unused"] {
		t.Errorf("the reservation is not divided: %v", status)
	}
	note := creditNote()
	raw, err = document.NoteFOCUS(note)
	if err != nil {
		t.Fatal(err)
	}
	rows = focus(t, raw)
	checkFocus(t, rows, note.Total)
	for _, r := range rows {
		if r["ChargeClass"] != "Correction" || r["InvoiceId"] != note.Number || r["x_ReferenceInvoiceId"] != note.Corrects ||
			r["BillingPeriodStart"] != "2026-11-01T05:00:00Z" || !strings.HasPrefix(r["ChargePeriodStart"], "2026-10-01") {
			t.Errorf("a correction is of its own invoice, in the period of its issue, and of charges in the original period: %v", r)
		}
	}
}

// TestFOCUSOfACreditAndACommitment holds the categories of derived charges.
func TestFOCUSOfACreditAndACommitment(t *testing.T) {
	inv := sample()
	line := func(kind domain.ChargeKind, cents int64) {
		inv.Lines = append(inv.Lines, domain.InvoiceLine{Line: int64(len(inv.Lines) + 1), Charge: string(kind), Kind: kind, Description: string(kind), Interval: inv.Interval, Quantity: domain.NewDecimal(1, 0), Unit: "each", Amount: usd(cents)})
	}
	line(domain.ChargeSLACredit, -7440)
	line(domain.ChargeCommitment, 97_200)
	line(domain.ChargeMaximum, -100)
	inv = total(inv)
	raw, err := document.FOCUS(inv)
	if err != nil {
		t.Fatal(err)
	}
	rows := focus(t, raw)
	checkFocus(t, rows, inv.Total)
	for _, r := range rows {
		want := map[string]string{"sla-credit": "Credit -74.40 ", "commitment": "Usage 972.00 Committed", "maximum": "Adjustment -1.00 "}[r["SkuId"]]
		if got := fmt.Sprintf("%s %s %s", r["ChargeCategory"], r["BilledCost"], r["PricingCategory"]); want != "" && got != want {
			t.Errorf("%s: got %q, want %q", r["SkuId"], got, want)
		}
	}
}

// TestFOCUSTellsPowerFromGPUs holds the service of each kind of charge, the
// values that FOCUS allows for it, and that older documents print as they did.
func TestFOCUSTellsPowerFromGPUs(t *testing.T) {
	const gpu, power, hosting = "AI and Machine Learning|GPU compute|Other (AI and Machine Learning)", "Other|Power|Other (Other)", "Other|Hosting|Other (Other)"
	kinds := []struct {
		kind       domain.ChargeKind
		unit, want string
	}{
		{domain.ChargeReservedGPUs, "GPU-month", gpu},
		{domain.ChargeReservedGPUs, "GPU-hour", gpu},
		{domain.ChargeOnDemandGPUs, "GPU-hour", gpu},
		{domain.ChargeUsage, "GPU-hour", gpu},
		{domain.ChargeUsage, "kWh", power},
		{domain.ChargeReservedPower, "kW-month", power},
		{domain.ChargePassThrough, "kWh", power},
		{domain.ChargeDemand, "kW-month", power},
		{domain.ChargeFixed, "month", hosting},
		{domain.ChargeSLACredit, "each", hosting},
		{domain.ChargeCommitment, "each", hosting},
	}
	inv := einvoice()
	inv.Layout, inv.Lines, inv.Daily = document.Layout, nil, nil
	for i, k := range kinds {
		inv.Lines = append(inv.Lines, domain.InvoiceLine{Line: int64(i + 1), Charge: string(k.kind), Kind: k.kind, Description: k.want, Interval: inv.Interval, Quantity: domain.NewDecimal(1, 0), Unit: k.unit, Amount: usd(200_000)})
	}
	inv = total(inv)
	raw, err := document.FOCUS(inv)
	if err != nil {
		t.Fatal(err)
	}
	rows := focus(t, raw)
	checkFocus(t, rows, inv.Payable())
	service := func(r map[string]string) string {
		return r["ServiceCategory"] + "|" + r["ServiceName"] + "|" + r["ServiceSubcategory"]
	}
	for i, k := range kinds {
		if got := service(rows[i]); got != k.want {
			t.Errorf("%s in %s: got %s, want %s", k.kind, k.unit, got, k.want)
		}
	}
	if got, want := service(rows[len(rows)-1]), "Other|Billing|Other (Other)"; got != want {
		t.Errorf("what was prepaid: got %s, want %s", got, want)
	}
	inv.Layout = 3
	if raw, err = document.FOCUS(inv); err != nil {
		t.Fatal(err)
	}
	for i, r := range focus(t, raw) {
		if _, ok := r["ServiceSubcategory"]; ok {
			t.Fatal("a document of layout 3 has a column that it was issued without")
		}
		if i < len(kinds) && r["ServiceName"] != "GPU compute" && kinds[i].kind != domain.ChargePassThrough {
			t.Errorf("%s of layout 3 is %s", kinds[i].kind, r["ServiceName"])
		}
	}
}

func TestXLSXIsAWorkbookOfTheFigures(t *testing.T) {
	inv := einvoice()
	raw, err := document.XLSX(inv)
	if err != nil {
		t.Fatal(err)
	}
	again, err := document.XLSX(inv)
	if err != nil || !bytes.Equal(raw, again) {
		t.Errorf("made twice, the workbooks differ: %v", err)
	}
	note, err := document.NoteXLSX(creditNote())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		raw  []byte
		want []string
	}{
		"invoice": {raw, []string{"<v>418233.118204</v>", "<v>747520</v>", "Północ Modèles Çağdaş GmbH", "2026-10-31", "GPU-hours"}},
		"note":    {note, []string{"Credit note for INV-2026-000147", "<v>-120.5</v>", "version 4 of the contract"}},
	} {
		z, err := zip.NewReader(bytes.NewReader(c.raw), int64(len(c.raw)))
		if err != nil {
			t.Fatal(err)
		}
		all := ""
		for _, f := range z.File {
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			all += string(b)
		}
		for _, want := range c.want {
			if !strings.Contains(all, want) {
				t.Errorf("the workbook of the %s lacks %q", name, want)
			}
		}
	}
}

// TestFOCUSOfAPrepaymentIsAPurchase holds that what a prepayment pays for is
// billed once: by the purchase, which costs nothing, and not by the use.
func TestFOCUSOfAPrepaymentIsAPurchase(t *testing.T) {
	inv := einvoice()
	inv.Layout = document.Layout
	raw, err := document.FOCUS(inv)
	if err != nil {
		t.Fatal(err)
	}
	rows := focus(t, raw)
	checkFocus(t, rows, inv.Payable())
	var effective domain.Decimal
	for _, r := range rows {
		effective = effective.Add(domain.MustDecimal(r["EffectiveCost"]))
		billed, amount := domain.MustDecimal(r["BilledCost"]), domain.MustDecimal(r["EffectiveCost"])
		if r["ChargeCategory"] == "Adjustment" || amount.Sign() > 0 && (billed.Sign() < 0 || billed.Cmp(amount) >= 0) || amount.Sign() < 0 && !billed.Equal(amount) {
			t.Errorf("%s bills %s of a cost of %s", r["ChargeDescription"], billed, amount)
		}
	}
	if !effective.Equal(inv.Total.Decimal()) {
		t.Errorf("the cost is %s, the invoice %s", effective, inv.Total)
	}
	c := domain.ContractSigned{Site: inv.Site, Contract: inv.Contract, Version: 3, Seller: inv.Seller, Buyer: inv.Buyer, Currency: "USD"}
	bought := document.FOCUSPrepayment(c, domain.PrepaymentReceived{Contract: inv.Contract, Amount: inv.Prepaid, Reference: "TRX-0"}, inv.Interval, 7)
	if got := fmt.Sprint(bought["ChargeCategory"], bought["ChargeFrequency"], bought["BilledCost"], bought["EffectiveCost"], bought["InvoiceId"]); got != "PurchaseOne-Time10000.000.00" {
		t.Errorf("a prepayment is %q", got)
	}
	for c := range bought {
		if !slices.Contains(document.FOCUSColumns(), c) {
			t.Errorf("column %s is unknown", c)
		}
	}
	// A credit note gives back what was prepaid.
	note := creditNote()
	note.Layout, note.Prepaid = document.Layout, domain.Money{Minor: note.Total.Minor / 2, Currency: "USD"}
	if raw, err = document.NoteFOCUS(note); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(raw), "prepayments") {
		t.Errorf("a credit note has a row of what it gives back:\n%s", raw)
	}
	checkFocus(t, focus(t, raw), note.Payable())
	// All of an invoice can be prepaid.
	inv.Prepaid = inv.Total
	if raw, err = document.FOCUS(inv); err != nil {
		t.Fatal(err)
	}
	checkFocus(t, focus(t, raw), usd(0))
}

// TestFOCUSDetailIsARowALine holds invoice detail to the lines of the document
// and to the rows of cost and usage.
func TestFOCUSDetailIsARowALine(t *testing.T) {
	inv, note := einvoice(), retaxed()
	inv.Layout = document.Layout
	older := einvoice()
	for _, c := range []struct {
		details, costs []document.FOCUSRow
		inv            domain.Invoice
		rows           int
		reference      string
	}{
		{document.FOCUSDetails(inv), document.FOCUSRows(inv), inv, len(inv.Lines) + 1, inv.Number},
		{document.FOCUSDetails(older), nil, older, len(inv.Lines) + 2, inv.Number}, // and what is prepaid
		{document.NoteFOCUSDetails(note), document.NoteFOCUSRows(note), note.Invoice, len(note.Lines) + 1, note.Corrects},
	} {
		if len(c.details) != c.rows {
			t.Errorf("%d rows of %d lines, want %d", len(c.details), len(c.inv.Lines), c.rows)
		}
		billed, sum := map[string]domain.Decimal{}, domain.Decimal{}
		for _, r := range c.costs {
			billed[r["InvoiceDetailId"]] = billed[r["InvoiceDetailId"]].Add(domain.MustDecimal(r["BilledCost"]))
		}
		for i, r := range c.details {
			for _, column := range document.FOCUSDetailColumns() {
				if r[column] == "" {
					t.Errorf("row %d has no %s", i+1, column)
				}
			}
			for column := range r {
				if !slices.Contains(document.FOCUSDetailColumns(), column) {
					t.Errorf("column %s is unknown", column)
				}
			}
			sum = sum.Add(domain.MustDecimal(r["BilledCost"]))
			if c.costs != nil && !billed[r["InvoiceDetailId"]].Equal(domain.MustDecimal(r["BilledCost"])) {
				t.Errorf("detail %s bills %s, its cost and usage %s", r["InvoiceDetailId"], r["BilledCost"], billed[r["InvoiceDetailId"]])
			}
			if i < len(c.inv.Lines) && (r["x_Amount"] != c.inv.Lines[i].Amount.Amount() || r["InvoiceDetailDescription"] != c.inv.Lines[i].Description) {
				t.Errorf("row %d is of %s %q, the line of %s %q", i+1, r["x_Amount"], r["InvoiceDetailDescription"], c.inv.Lines[i].Amount.Amount(), c.inv.Lines[i].Description)
			}
			if r["ReferenceInvoiceId"] != c.reference || !json.Valid([]byte(r["InvoiceDetailGrain"])) {
				t.Errorf("row %d: %v", i+1, r)
			}
		}
		if !sum.Equal(c.inv.Payable().Decimal()) {
			t.Errorf("the rows sum to %s, payable are %s", sum, c.inv.Payable())
		}
	}
}
