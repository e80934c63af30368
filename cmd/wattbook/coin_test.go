package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// coinScript is a site whose pool stated and paid two days: 0.0737352 BTC at
// 100,000 and as much at 90,000.
const coinScript = `
now 2026-09-15
site s step=24h zone=UTC pool=foundry/s fee=0.02
meter revenue
miner m1 under=revenue
bitcoin USD 2026-09-30..2026-10-16 24h 100000
bitcoin USD 2026-10-16..2026-11-01 24h 90000
price hb_south 2026-10@UTC 24h 50
read revenue 2026-10@UTC 310kWh every=24h
now 2026-10-18T09:00
statement foundry/s 2026-10-14 subsidy=7500000 fees=24000 fee=150480 net=7373520
statement foundry/s 2026-10-16 subsidy=7500000 fees=24000 fee=150480 net=7373520
payout foundry/s 2026-10-15T06:00 7373520 tx=t1
payout foundry/s 2026-10-17T06:00 7373520 tx=t2
`

// TestCoinIsSold sells bitcoin by the command line, and looks at the books.
func TestCoinIsSold(t *testing.T) {
	data := scriptedBook(t, coinScript)
	confirmation := filepath.Join(t.TempDir(), "confirmation.txt")
	if err := os.WriteFile(confirmation, []byte("sold 0.05 BTC"), 0o600); err != nil {
		t.Fatal(err)
	}
	sell := func(args ...string) []string { return append([]string{"coin", "sell"}, args...) }
	for _, c := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"the lots before", []string{"journal", "coin"}, exitOK, []string{"foundry/s 2026-10-14", "0.07373520 BTC at   100,000.00  cost         7,373.52 USD", "closing                   0.14747040              14,009.69"}},
		{"more than is held", sell("--amount", "0.2", "--proceeds", "1", "--reference", "T1"), exitFinding, []string{"the books hold 0.1474704 BTC"}},
		{"more than was held then", sell("--amount", "0.1", "--proceeds", "1", "--reference", "T1", "--at", "2026-10-16"), exitFinding, []string{"the books hold 0.0737352 BTC on 2026-10-16"}},
		{"more than a lot holds", sell("--amount", "0.1", "--proceeds", "1", "--reference", "T1", "--lot", "foundry/s 2026-10-16=0.1"), exitFinding, []string{`lot "foundry/s 2026-10-16" holds 0.0737352 BTC`}},
		{"lots that do not make it up", sell("--amount", "0.1", "--proceeds", "1", "--reference", "T1", "--lot", "foundry/s 2026-10-16=0.01"), exitUsage, []string{"the lots of sale T1 sum to 1000000 sat, not to 10000000"}},
		{"two bases", sell("--amount", "0.1", "--proceeds", "1", "--reference", "T1", "--basis", "fifo", "--lot", "foundry/s 2026-10-16=0.1"), exitUsage, []string{"leave one out"}},
		{"a basis that there is not", sell("--amount", "0.1", "--proceeds", "1", "--reference", "T1", "--basis", "lifo"), exitUsage, []string{"want fifo, specific or average"}},
		{"less than a satoshi", sell("--amount", "0.000000001", "--proceeds", "1", "--reference", "T1"), exitUsage, []string{"not a whole number of satoshi"}},
		{"no reference", sell("--amount", "0.1", "--proceeds", "1"), exitUsage, []string{"reference of 0 characters"}},
		{"a sale", sell("--amount", "0.05", "--proceeds", "4600", "--fee", "9.20", "--reference", "T1", "--at", "2026-10-17T12:00", "--evidence", confirmation), exitOK, []string{"sale T1 of 0.05 BTC for 4600.00 USD: recorded"}},
		{"the same sale, without its time", sell("--amount", "0.05", "--proceeds", "4600", "--fee", "9.20", "--reference", "T1"), exitOK, []string{"was recorded before"}},
		{"the same sale", sell("--amount", "0.05", "--proceeds", "4600", "--fee", "9.20", "--reference", "T1", "--at", "2026-10-17T12:00"), exitOK, []string{"was recorded before"}},
		{"the same reference for more", sell("--amount", "0.05", "--proceeds", "4700", "--fee", "9.20", "--reference", "T1", "--at", "2026-10-17T12:00"), exitFinding, []string{"is on record with other terms"}},
		{"of a lot that is named", sell("--amount", "0.01", "--proceeds", "900", "--reference", "T2", "--at", "2026-10-18", "--lot", "foundry/s 2026-10-16=0.01"), exitOK, []string{"recorded"}},
		{"the trial balance", []string{"journal", "balance"}, exitOK, []string{
			"Assets:Bank:USD                                                  5,490.80 USD", "Expenses:VenueFees                                                   9.20 USD",
			// 0.05 cost 5,000 and brought 4,600; 0.01 cost 900 and brought that.
			"Income:DigitalAssets:Realized                                      400.00 USD", "Assets:Digital:BTC:OnChain                                     0.08747040 BTC  cost 8,109.688 USD",
		}},
		{"the books agree with the reconciliation", []string{"verify", "--money"}, exitOK, []string{"the books agree"}},
		{"in numbers", []string{"journal", "coin", "--json"}, exitOK, []string{`"lot": "foundry/s 2026-10-14"`, `"price": "100000"`, `"btc": "0.0237352"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := wattbook(t, append(c.args, "--data", data)...)
			if got.code != c.code {
				t.Fatalf("exit %d, want %d\n%s%s", got.code, c.code, got.out, got.errors)
			}
			for _, want := range c.want {
				if !strings.Contains(got.out+got.errors, want) {
					t.Errorf("lacks %q\n%s%s", want, got.out, got.errors)
				}
			}
		})
	}
}

// TestALateSaleSaysThatItsMonthIsClosed sells bitcoin in a month that is closed.
func TestALateSaleSaysThatItsMonthIsClosed(t *testing.T) {
	data := scriptedBook(t, coinScript+"now 2026-11-02T09:00\n")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"invoice", "run", "--period", "2026-10"}, ""},
		{[]string{"coin", "sell", "--amount", "0.01", "--proceeds", "900", "--reference", "T1", "--at", "2026-10-20"}, "it was made before the end of 2026-10, which is closed: it is booked today"},
		{[]string{"coin", "sell", "--amount", "0.01", "--proceeds", "900", "--reference", "T1", "--at", "2026-10-20"}, "was recorded before"},
		{[]string{"coin", "sell", "--amount", "0.01", "--proceeds", "900", "--reference", "T2", "--at", "2026-10-20", "--json"}, `"closed_period": "2026-10"`},
		{[]string{"coin", "sell", "--amount", "0.01", "--proceeds", "900", "--reference", "T3", "--at", "2026-11-01"}, "T3 of 0.01 BTC for 900.00 USD: recorded\n"},
	} {
		got := wattbook(t, append(c.args, "--data", data)...)
		if got.code != exitOK || !strings.Contains(got.out, c.want) || c.want == "was recorded before" && strings.Contains(got.out, "closed") {
			t.Errorf("%v: exit %d, want %q\n%s%s", c.args, got.code, c.want, got.out, got.errors)
		}
		if strings.HasSuffix(c.want, "recorded\n") && strings.Contains(got.out, "closed") {
			t.Errorf("a sale of an open month speaks of a closed one: %s", got.out)
		}
	}
}
