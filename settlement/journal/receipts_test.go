package journal_test

import (
	"testing"

	"wattbook/domain"
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

func TestCoinThatIsBookedLateCanHaveBeenSoldBefore(t *testing.T) {
	p := logscript.New()
	if err := p.Play("site s step=24h zone=UTC pool=foundry/s fee=0.02\nmeter revenue\nread revenue 2026-10@UTC 310kWh every=24h\nprice hb_south 2026-10@UTC 24h 50\nbitcoin USD 2026-09-30..2026-12-05 24h 100000\n" +
		"statement foundry/s 2026-10-14 subsidy=7500000 fees=24000 fee=150480 net=7373520\nnow 2026-11-01T09:00"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Facts(); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), p, "2026-10"); err != nil {
		t.Fatal(err)
	}
	if err := p.Play("now 2026-11-20T09:00\npayout foundry/s 2026-10-15T06:00 7373520 tx=t1"); err != nil {
		t.Fatal(err)
	}
	books, err := journal.Build(t.Context(), p.Log, "s", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		at   domain.Instant
		sold bool
	}{
		{domain.Unix(1_792_000_000), false}, // 2026-10-14T14:26:40Z, before it arrived
		{domain.Unix(1_792_600_000), true},  // 2026-10-21T13:06:40Z
	} {
		err := journal.Sellable(books, domain.CoinSold{Reference: "T-1", At: row.at, Amount: 7_373_520})
		if (err == nil) != row.sold {
			t.Errorf("a sale at %s: %v", row.at, err)
		}
	}
}
