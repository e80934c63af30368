package warehouse_test

import (
	"encoding/csv"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"wattbook/domain"
	"wattbook/settlement/document"
)

// TestFOCUSRowsAreThoseOfTheDocuments wants the table to have the columns and the
// rows of the CSV documents, of invoices and of notes.
func TestFOCUSRowsAreThoseOfTheDocuments(t *testing.T) {
	s := siteOf(t, daily, nil)
	s.play(metered("2026-10-01..2026-11-01") + "\nnow 2026-11-02T09:00")
	inv := invoiced("CB-2026-000001", 100_000)
	inv.Seller = domain.Party{ID: "cedar", Name: "Cedar Bend", Country: "US"}
	inv.Buyer.Country = "US"
	inv.Lines[0].UnitPrice = new(domain.Decimal)
	*inv.Lines[0].UnitPrice = domain.MustDecimal("1000")
	inv.Prepaid = domain.Money{Minor: 30_000, Currency: "USD"}
	line := inv.Lines[0]
	line.Line, line.Charge, line.Kind, line.Unit, line.UnitPrice = 2, "sla", domain.ChargeSLACredit, "each", nil
	line.Amount.Minor = -1_000
	credit := invoiced("CB-2026-000002", -20_000)
	credit.Seller, credit.Buyer = inv.Seller, inv.Buyer
	inv.Layout, credit.Layout = document.Layout, document.Layout
	inv.Lines = append(inv.Lines, line)
	inv.Subtotal.Minor, inv.TaxDue.Minor, inv.Total.Minor = 99_000, 9_900, 108_900
	s.issue(domain.InvoiceIssued{Invoice: inv}, inv.Number)
	note := domain.Note{Invoice: credit, Kind: domain.CreditNote, Corrects: inv.Number, Causes: []string{"a late reading"}}
	s.issue(domain.NoteIssued{Note: note}, note.Number)
	s.publish()

	of, err := document.FOCUS(inv)
	if err != nil {
		t.Fatal(err)
	}
	correction, err := document.NoteFOCUS(note)
	if err != nil {
		t.Fatal(err)
	}
	columns := document.FOCUSColumns()
	if got := ask(t, s.dir, "SELECT string_agg(column_name, ',' ORDER BY column_index) FROM duckdb_columns() WHERE database_name = 'wh' AND table_name = 'focus_cost_and_usage'"); got[0] != strings.Join(columns, ",")+",x_Position" {
		t.Errorf("columns %s\nwant those of the documents %s", got[0], columns)
	}
	var want []string
	for _, raw := range [][]byte{of, correction} {
		rows, err := csv.NewReader(strings.NewReader(string(raw))).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows[1:] {
			for i, c := range r {
				if v, err := domain.ParseDecimal(c); err == nil && !strings.HasSuffix(columns[i], "Id") {
					r[i] = v.String()
				} else if at, err := time.Parse(time.RFC3339, c); err == nil {
					r[i] = at.Format(time.DateTime)
				} else if c == "" {
					r[i] = "<nil>"
				}
			}
			want = append(want, strings.Join(r, "|"))
		}
	}
	var got []string
	for _, r := range ask(t, s.dir, "SELECT * EXCLUDE (x_Position) FROM focus_cost_and_usage") {
		cells := strings.Split(r, "|")
		for i, c := range cells {
			if v, err := domain.ParseDecimal(c); err == nil && !strings.HasSuffix(columns[i], "Id") {
				cells[i] = v.String()
			}
		}
		got = append(got, strings.Join(cells, "|"))
	}
	slices.Sort(got)
	slices.Sort(want)
	if len(want) != 5 || !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for question, want := range map[string]string{
		"SELECT InvoiceId, InvoiceDetailId, BilledCost, x_Amount, ChargeCategory, PaymentTerms, InvoiceIssueStatus FROM focus_invoice_detail WHERE x_Kind = 'invoice' ORDER BY 2":                                                                   "[CB-2026-000001|1|727.020|1000.000|Usage|Net 30 days|Issued CB-2026-000001|2|-10.000|-10.000|Credit|Net 30 days|Issued CB-2026-000001|tax|71.980|99.000|Tax|Net 30 days|Issued]",
		"SELECT sum(BilledCost), x_Kind, ReferenceInvoiceId, BillingPeriodStart FROM focus_invoice_detail GROUP BY ALL ORDER BY 2":                                                                                                                  "[-220.000|credit|CB-2026-000001|2026-11-01 05:00:00 789.000|invoice|CB-2026-000001|2026-10-01 05:00:00]",
		"SELECT count(*) FROM focus_invoice_detail d FULL JOIN (SELECT InvoiceId, InvoiceDetailId, sum(BilledCost) AS cost FROM focus_cost_and_usage GROUP BY ALL) c USING (InvoiceId, InvoiceDetailId) WHERE c.cost IS DISTINCT FROM d.BilledCost": "[0]",
	} {
		if got := ask(t, s.dir, question); fmt.Sprint(got) != want {
			t.Errorf("%s\n%q, want\n%q", question, got, want)
		}
	}
}

// TestFOCUSTellsWhatWasVoidedAndBought voids an invoice of a contract on which
// money was prepaid.
func TestFOCUSTellsWhatWasVoidedAndBought(t *testing.T) {
	s := siteOf(t, daily, nil)
	s.play(metered("2026-10-01..2026-11-01") + "\nnow 2026-11-02T09:00\ncontract aurora zone=America/Chicago from=2026-10-01\ncharge rack fixed 10\ncontract aurora version=2 zone=America/Chicago from=2026-10-20\ncharge rack fixed 12\nprepay aurora 500 2026-10-25")
	inv := invoiced("CB-2026-000001", 100_000)
	inv.Seller, inv.OrderReference, inv.Layout = domain.Party{ID: "cedar", Name: "Cedar Bend", Country: "US"}, "PO-7", document.Layout
	s.issue(domain.InvoiceIssued{Invoice: inv}, inv.Number)
	s.issue(domain.InvoiceVoided{Invoice: inv.Number, Contract: inv.Contract, Period: inv.Period, At: inv.Issued.Add(domain.Hour), Reason: "wrong buyer"}, "void "+inv.Number)
	s.publish()
	for question, want := range map[string]string{
		"SELECT InvoiceDetailId, InvoiceIssueStatus, date_diff('second', InvoiceDetailCreated, InvoiceDetailLastUpdated), PurchaseOrderNumber FROM focus_invoice_detail ORDER BY 1":                     "[1|Voided|3600|PO-7 tax|Voided|3600|PO-7]",
		"SELECT ChargeCategory, ChargeFrequency, BilledCost, EffectiveCost, InvoiceId, BillingPeriodStart, SubAccountId, x_ContractVersion FROM focus_cost_and_usage WHERE ChargeCategory = 'Purchase'": "[Purchase|One-Time|500.000|0.000|<nil>|2026-10-01 05:00:00|aurora|2]",
	} {
		if got := ask(t, s.dir, question); fmt.Sprint(got) != want {
			t.Errorf("%s\n%q, want\n%q", question, got, want)
		}
	}
}
