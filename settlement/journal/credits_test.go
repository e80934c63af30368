package journal_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"wattbook/domain"
	"wattbook/projections/logscript"
	"wattbook/settlement/journal"
)

// promised draws a month of contracts that promise availability, with devices
// that are silent now and then, and terms that may change in it.
func promised(t *rapid.T, zone, contractZone string) *logscript.Player {
	p := logscript.New()
	play := func(format string, args ...any) {
		if err := p.Play(fmt.Sprintf(format, args...)); err != nil {
			t.Fatal(err)
		}
	}
	draw := func(name string, from, to int) int { return rapid.IntRange(from, to).Draw(t, name) }
	decimal := func(name string, from, to int64, digits int32) domain.Decimal {
		return domain.NewDecimal(rapid.Int64Range(from, to).Draw(t, name), -digits)
	}
	play("site s step=1h zone=%s adder=3.7", zone)
	play("meter revenue\nmeter n4 under=revenue use=ai\ngpu g under=n4\ngpu h under=n4")
	play("read revenue 2026-09-30..2026-11-02 310kWh every=1h\nread n4 2026-09-30..2026-11-02 100kWh every=1h\nprice hb_south 2026-09-30..2026-11-02 1h 50.0137")
	for _, gpu := range []string{"g", "h"} {
		hour := draw("first hour", -24, 300) // of the month
		for hour < 32*24 {
			up := draw("hours up", 1, 400)
			at := func(h int) string {
				return strings.TrimSuffix(domain.Instant(1_790_812_800_000_000).Add(domain.Hour*domain.Duration(h)).String(), "Z")
			}
			play("read %s %s..%s 1kWh every=1h", gpu, at(hour), at(hour+up))
			hour += up + draw("hours down", 1, 40)
		}
	}
	play("now 2026-11-02T09:00")
	terms := func(version, day int) {
		play("contract aurora version=%d tax=0.0825 zone=%[2]s from=2026-10-%02[3]d@%[2]s until=2026-11-01@%[2]s", version, contractZone, day)
		play("charge space reserved-power 7 x %s until=%s\ncharge power power-pass-through n4 loss=0.013\ncharge used on-demand-gpus 2.49", decimal("rate", 1, 30_000, 2),
			rapid.SampledFrom([]string{"2026-11-01", "2026-12-01", fmt.Sprintf("2026-10-%02dT11:00", max(day, 2))}).Draw(t, "until"))
		play("charge sla sla-credit %s outage=%dh of=%s bands=0.999:0.0333,0.97:0.15,0.9:%s cap=%s", rapid.SampledFrom([]string{"g", "h", "g,h"}).Draw(t, "devices"), draw("outage", 0, 9),
			rapid.SampledFrom([]string{"space", "power,space", "used"}).Draw(t, "of"), decimal("band", 0, 100, 2), decimal("cap", 0, 100, 2))
		play("charge more sla-credit g outage=2h bands=0.995:%s", decimal("band", 0, 1000, 3))
	}
	terms(1, 1)
	if draw("amendments", 0, 1) == 1 {
		terms(2, draw("amended", 2, 31))
	}
	start := draw("start", 1, 20)
	play("start j aurora 3 2026-10-%02dT13:07", start)
	play("end j 2026-10-%02dT07:13", start+draw("days", 1, 11))
	return p
}

// TestExpectedCreditsAreTheInvoices holds that what the days of a month expect
// to be given back sums to what its invoice gives back, to the cent, and that
// the invoice leaves nothing unbilled.
func TestExpectedCreditsAreTheInvoices(t *testing.T) {
	given := 0
	rapid.Check(t, func(t *rapid.T) {
		zone := rapid.SampledFrom([]string{"UTC", "America/Chicago", "Europe/Berlin"}).Draw(t, "zone")
		p := promised(t, zone, zone)
		if err := run(t.Context(), p, "2026-10"); err != nil {
			t.Fatal(err)
		}
		inv, ok := known(t, p).Invoice("aurora", domain.Period{Year: 2026, Month: 10})
		if !ok {
			t.Fatal("there is no invoice")
		}
		want := domain.Decimal{}
		for _, l := range inv.Invoice.Lines {
			if l.Kind == domain.ChargeSLACredit {
				want = want.Add(l.Amount.Decimal())
				given++
			}
		}
		books, err := journal.Build(t.Context(), p.Log, "s", nil)
		if err != nil {
			t.Fatal(err)
		}
		expected, left := domain.Decimal{}, domain.Decimal{}
		for _, e := range books.Entries {
			for _, posting := range e.Postings {
				switch {
				case strings.HasPrefix(e.Date, "2026-10") && posting.Account == "Income:AI:SLACredits":
					expected = expected.Sub(posting.Amount)
				case strings.HasPrefix(e.Narration, "Invoice ") && posting.Account == "Income:AI:SLACredits":
					t.Errorf("the invoice books %s of credits beside what was expected", posting.Amount)
				}
				if strings.HasPrefix(posting.Account, "Assets:ContractAsset:Unbilled:") && !e.Pending {
					left = left.Add(posting.Amount)
				}
			}
		}
		if !expected.Equal(want) {
			t.Errorf("the days expect %s, the invoice gives %s", expected, want)
		}
		if !left.IsZero() {
			t.Errorf("%s stays unbilled", left)
		}
	})
	if given == 0 {
		t.Error("no month gave a credit")
	}
}

// TestBooksOfAContractOfAnotherZone holds that where a contract's months are not
// those of the site, the books come to its invoice all the same: whatever part of
// the month was closed when it was issued, what is closed later changes nothing.
func TestBooksOfAContractOfAnotherZone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zones := []string{"UTC", "America/Chicago", "Europe/Berlin", "Asia/Tokyo"}
		p := promised(t, rapid.SampledFrom(zones).Draw(t, "zone"), rapid.SampledFrom(zones).Draw(t, "zone of the contract"))
		for _, month := range rapid.SampledFrom([][]string{{"2026-10"}, {"2026-09", "2026-10"}, {"2026-10", "2026-11"}, {"2026-09", "2026-10", "2026-11"}}).Draw(t, "months") {
			more := map[string]string{"2026-09": "2026-08-31..2026-09-30", "2026-11": "2026-11-02..2026-12-02"}[month]
			if more != "" {
				if err := p.Play("read revenue "+more+" 7440kWh every=24h", "read n4 "+more+" 2400kWh every=24h"); err != nil {
					t.Fatal(err)
				}
			}
			if month == "2026-11" {
				if err := p.Play("now 2026-12-03"); err != nil {
					t.Fatal(err)
				}
			}
			if err := run(t.Context(), p, month); err != nil {
				t.Fatal(err)
			}
		}
		f := known(t, p)
		inv, ok := f.Invoice("aurora", domain.Period{Year: 2026, Month: 10})
		if !ok || len(f.Invoices()) != 1 {
			t.Fatalf("%d invoices, want that of October", len(f.Invoices()))
		}
		books, err := journal.Build(t.Context(), p.Log, "s", nil)
		if err != nil {
			t.Fatal(err)
		}
		income := domain.Decimal{}
		for _, b := range journal.TrialBalance(books.Entries) {
			if strings.HasPrefix(b.Account, "Assets:ContractAsset:Unbilled:") {
				t.Errorf("%s of %s stays unbilled", b.Amount, b.Account)
			}
			if strings.HasPrefix(b.Account, "Income:AI:") {
				income = income.Sub(b.Amount)
			}
		}
		if want := inv.Invoice.Subtotal.Decimal(); !income.Equal(want) {
			t.Errorf("income %s, invoiced %s", income, want)
		}
	})
}
