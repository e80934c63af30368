package journal_test

import (
	"testing"

	"wattbook/projections/logscript"
	"wattbook/settlement/journal"
)

// TestAReceiptThatIsUndoneIsTakenBack confirms a payment in two blocks, undoes
// both, and confirms it in a third.
func TestAReceiptThatIsUndoneIsTakenBack(t *testing.T) {
	p := logscript.New()
	if err := p.Play("site s step=24h zone=UTC pool=foundry/s\nbitcoin USD 2026-10-01..2026-11-01 24h 100000\nnow 2026-11-02T09:00"); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ line, holds string }{
		{"payout foundry/s 2026-10-15T06:00 900 tx=t1 block=b1", "0.00000900"},
		{"payout foundry/s 2026-10-15T07:00 900 tx=t1 block=b2", "0.00000900"},
		{"reversed foundry/s t1 b1", "0.00000900"},
		{"reversed foundry/s t1 b2", ""},
		{"payout foundry/s 2026-10-15T08:00 900 tx=t1 block=b3", "0.00000900"},
		{"payout foundry/s 2026-10-16T08:00 100 tx=t2", "0.00001000"},
		{"reversed foundry/s t9 b3", "0.00001000"},
	} {
		if err := p.Play(step.line); err != nil {
			t.Fatal(err)
		}
		books, err := journal.Build(t.Context(), p.Log, "s", nil)
		if err != nil {
			t.Fatal(err)
		}
		holds := ""
		for _, b := range journal.TrialBalance(books.Entries) {
			if b.Account == "Assets:Digital:BTC:OnChain" {
				holds = b.Amount.Fixed(journal.Digits(b.Commodity))
			}
		}
		if holds != step.holds {
			t.Errorf("%s: holds %q, want %q", step.line, holds, step.holds)
		}
	}
}
