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

// kinds draws some charges of every kind, in an order that they can have.
func kinds(t *rapid.T) string {
	draw := func(name string, from, to int) int { return rapid.IntRange(from, to).Draw(t, name) }
	decimal := func(name string, from, to int64, digits int32) domain.Decimal {
		return domain.NewDecimal(rapid.Int64Range(from, to).Draw(t, name), -digits)
	}
	tiers := func() string {
		return fmt.Sprintf("%d:%s+%d,%d:%s,:%s+%d", draw("first tier", 1, 9_000), decimal("rate", 0, 999, 4), draw("flat", 0, 50), draw("second tier", 9_001, 60_000), decimal("rate", 0, 999, 4), decimal("rate", 0, 999, 4), draw("flat", 0, 50))
	}
	all := []string{
		fmt.Sprintf("charge space reserved-power 7 x %s from=2026-%02d-%02d", decimal("rate", 1, 30_000, 2), draw("month", 9, 11), draw("day", 1, 28)),
		fmt.Sprintf("charge power power-pass-through n4 loss=0.013 adder=%s", decimal("adder", -900, 900, 2)),
		"charge graduated usage kwh meters=n4 model=graduated tiers=" + tiers(),
		"charge volume usage kwh meters=n4 model=volume tiers=" + tiers(),
		fmt.Sprintf("charge packages usage kwh %s meters=n4 model=package block=%d free=%d", decimal("rate", 1, 999, 2), draw("block", 1, 3000), draw("free", 0, 9000)),
		fmt.Sprintf("charge jobs usage gpu-hours %s free=%d", decimal("rate", 1, 999, 2), draw("free hours", 0, 300)),
		fmt.Sprintf("charge peak demand %s meters=n4", decimal("rate", 1, 999, 2)),
		fmt.Sprintf("charge support percentage %s", decimal("portion", 1, 300, 3)),
		fmt.Sprintf("charge least minimum %d", draw("least", 1, 60_000)),
		fmt.Sprintf("charge most maximum %d", draw("most", 1, 60_000)),
		fmt.Sprintf("charge commit commitment %d months=%d factor=1.5 true-up%s", draw("committed", 1, 90_000), draw("months", 1, 3), rapid.SampledFrom([]string{"", " rollover"}).Draw(t, "rollover")),
		fmt.Sprintf("charge sla sla-credit g outage=%dh bands=0.999:0.0333,0.9:0.15", draw("outage", 0, 9)),
	}
	some := []string{fmt.Sprintf("charge fee fixed %s", decimal("fee", 1, 99_999, 2))}
	for _, charge := range all {
		if draw("has", 0, 1) == 1 {
			some = append(some, charge)
		}
	}
	return strings.Join(some, "\n")
}

// earned draws two months of a contract with charges of any kind, which may be
// amended in the second.
func earned(t *rapid.T, zone string) *logscript.Player {
	p := logscript.New()
	play := func(format string, args ...any) {
		if err := p.Play(fmt.Sprintf(format, args...)); err != nil {
			t.Fatal(err)
		}
	}
	draw := func(name string, from, to int) int { return rapid.IntRange(from, to).Draw(t, name) }
	step := map[bool]string{true: "1h", false: "6h"}[zone == "Europe/Berlin"] // a month begins where an interval does
	play("site s step=%s zone=%s adder=3.7\nmeter revenue\nmeter n4 under=revenue use=ai\ngpu g under=n4", step, zone)
	play("read revenue 2026-08-31..2026-11-02 310kWh every=%[1]s\nread n4 2026-08-31..2026-10-09 10.007kWh every=%[1]s\nread n4 2026-10-09..2026-11-02 %[2]dkWh every=%[1]s\nprice hb_south 2026-08-31..2026-11-02 %[1]s 50.0137", step, draw("kWh", 0, 60))
	for hour := draw("first hour", -24, 90); hour < 124; {
		up := draw("up", 1, 90)
		at := func(h int) string {
			return strings.TrimSuffix(domain.Instant(1_790_812_800_000_000).Add(6*domain.Hour*domain.Duration(h)).String(), "Z")
		}
		play("read g %s..%s 1kWh every=%s", at(hour), at(hour+up), step)
		hour += up + draw("down", 1, 12)
	}
	play("now 2026-11-02T09:00\nstart j aurora 3 2026-10-%02dT13:07\nend j 2026-10-29T07:13", draw("start", 1, 20))
	charges := kinds(t)
	play("contract aurora zone=%[1]s from=2026-09-%02[2]d@%[1]s\n%[3]s", zone, draw("begins", 2, 30), charges)
	if draw("amended", 0, 1) == 1 {
		play("contract aurora version=2 zone=%[1]s from=2026-10-%02[2]d@%[1]s\n%[3]s", zone, draw("from", 1, 31), rapid.SampledFrom([]string{charges, kinds(t)}).Draw(t, "charges"))
	}
	return p
}

// income returns what entries book to each account of income, by the month of
// their dates.
func income(entries []journal.Entry) map[string]domain.Decimal {
	sums := map[string]domain.Decimal{}
	for _, r := range journal.RevenueByPeriod(entries) {
		if strings.HasPrefix(r.Account, "Income:AI:") {
			sums[r.Period+" "+r.Account] = r.Amount
		}
	}
	return sums
}

// TestAccrualsAreTheInvoices holds that the days of a month accrue what its
// invoice charges, to the cent and by account, whatever the kinds of its
// charges are: the revenue of a month is that of its service, and issuing an
// invoice adds none. What is pending before the month is closed is what is booked
// when it is.
func TestAccrualsAreTheInvoices(t *testing.T) {
	derived := 0
	accountOf := map[domain.ChargeKind]string{
		domain.ChargeReservedGPUs: "Income:AI:Reserved", domain.ChargeReservedPower: "Income:AI:Reserved", domain.ChargeOnDemandGPUs: "Income:AI:OnDemand",
		domain.ChargePassThrough: "Income:AI:PowerPassThrough", domain.ChargeFixed: "Income:AI:Fixed", domain.ChargeUsage: "Income:AI:Usage", domain.ChargeDemand: "Income:AI:Demand",
		domain.ChargePercentage: "Income:AI:Percentage", domain.ChargeMinimum: "Income:AI:Minimum", domain.ChargeMaximum: "Income:AI:Maximum",
		domain.ChargeCommitment: "Income:AI:Commitment", domain.ChargeSLACredit: "Income:AI:SLACredits",
	}
	rapid.Check(t, func(t *rapid.T) {
		zone := rapid.SampledFrom([]string{"UTC", "Etc/GMT+6", "Etc/GMT-6", "UTC", "Europe/Berlin"}).Draw(t, "zone")
		p := earned(t, zone)
		if _, err := p.Facts(); err != nil {
			t.Fatal(err)
		}
		before, err := journal.Build(t.Context(), p.Log, "s", nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, month := range []string{"2026-09", "2026-10"} {
			if err := run(t.Context(), p, month); err != nil {
				t.Fatal(err)
			}
		}
		books, err := journal.Build(t.Context(), p.Log, "s", nil)
		if err != nil {
			t.Fatal(err)
		}
		want := domain.Decimal{}
		for _, inv := range known(t, p).Invoices() {
			want = want.Add(inv.Invoice.Subtotal.Decimal())
			for _, l := range inv.Invoice.Lines {
				if (domain.Charge{Kind: l.Kind}).Derived() {
					derived++
				}
			}
		}
		charged, accrued := map[string]domain.Decimal{}, map[string]domain.Decimal{}
		for _, inv := range known(t, p).Invoices() {
			for _, l := range inv.Invoice.Lines {
				charged[accountOf[l.Kind]] = charged[accountOf[l.Kind]].Add(l.Amount.Decimal())
			}
		}
		got := domain.Decimal{}
		for account, v := range income(books.Entries) {
			if strings.HasPrefix(account, "2026-11 ") {
				continue // of the next month's days, which are pending
			}
			if was := income(before.Entries)[account]; !was.Equal(v) {
				t.Errorf("%s: %s was pending, %s is booked", account, was, v)
			}
			got = got.Add(v)
			accrued[account[len("2026-10 "):]] = accrued[account[len("2026-10 "):]].Add(v)
		}
		for kind, account := range accountOf {
			if !accrued[account].Equal(charged[account]) {
				t.Errorf("%s accrues %s, its lines of kind %s charge %s", account, accrued[account], kind, charged[account])
			}
		}
		if !got.Equal(want) {
			t.Errorf("the days accrue %s, the invoices charge %s", got, want)
		}
		for _, e := range books.Entries {
			for _, posting := range e.Postings {
				if strings.HasPrefix(e.Narration, "Invoice ") && strings.HasPrefix(posting.Account, "Income:") {
					t.Errorf("%s books %s to %s beside what accrued", e.Narration, posting.Amount, posting.Account)
				}
			}
		}
	})
	if derived == 0 {
		t.Error("no month had a charge that is computed from others")
	}
}
