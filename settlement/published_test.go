package settlement_test

import (
	"testing"

	"wattbook/domain"
	"wattbook/projections/logscript"
	"wattbook/settlement/document"
	"wattbook/settlement/rating"
)

// TestTheCommitmentOfFOCUS holds a spend commitment against the published rows
// of FOCUS v1.2, saas_spend_agreements_a1.csv, from the contract on: of 1,200 in
// three months 48, 120 and 60 are used, and the row at the end of the term is
// 972.
func TestTheCommitmentOfFOCUS(t *testing.T) {
	p := logscript.New()
	if err := p.Play("now 2026-12-02", "site s step=1h", "meter revenue", "contract aurora from=2026-08-01", "charge used on-demand-gpus 1", "charge commit commitment 1200 months=3 true-up",
		"start a aurora 48 2026-08-10T12:00", "end a 2026-08-10T13:00", "start b aurora 120 2026-09-10T12:00", "end b 2026-09-10T13:00", "start c aurora 60 2026-10-14T12:00", "end c 2026-10-14T13:00"); err != nil {
		t.Fatal(err)
	}
	f, err := p.Facts()
	if err != nil {
		t.Fatal(err)
	}
	for month, want := range map[string]map[string]string{
		"2026-08": {"used": "48.00"}, "2026-09": {"used": "120.00"}, "2026-10": {"used": "60.00", "commit": "972.00"},
	} {
		period, err := domain.ParsePeriod(month)
		if err != nil {
			t.Fatal(err)
		}
		inv, err := rating.Draft(f, "aurora", period)
		if err != nil {
			t.Fatal(err)
		}
		rows := document.FOCUSRows(inv)
		if len(rows) != len(want) {
			t.Errorf("%s: %d rows, want %d: %v", month, len(rows), len(want), rows)
		}
		for _, r := range rows {
			if r["BilledCost"] != want[r["SkuId"]] {
				t.Errorf("%s: %s is billed at %s, want %s", month, r["SkuId"], r["BilledCost"], want[r["SkuId"]])
			}
		}
	}
}
