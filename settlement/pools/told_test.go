package pools_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"wattbook/domain"
	"wattbook/projections/facts"
	"wattbook/projections/logscript"
	"wattbook/settlement/pools"
)

// TestEverySatoshiIsOnALine draws random histories of two accounts whose pool
// tells its payouts: batches, shared transactions, other rails, fees, failures,
// raised fees and undone blocks.
func TestEverySatoshiIsOnALine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string, from, to int64) int64 { return rapid.Int64Range(from, to).Draw(t, name) }
		p := logscript.New()
		var script strings.Builder
		play := func(format string, args ...any) { fmt.Fprintf(&script, format+"\n", args...) }
		play("site s step=1h pool=p/a scheme=%s", rapid.SampledFrom([]string{"fpps", "pplns", "pps+"}).Draw(t, "scheme"))
		play("now 2026-11-01\ndifficulty 969696 2026-10-10 1d00ffff\nfees 2026-10-10 100 0\nminer m1")
		play("read m1 2026-10-14..2026-10-18 0.%08dshares every=1h", draw("work", 0, 9))
		accounts := []string{"p/a", "p/b"}
		for _, a := range accounts {
			for range draw("statements", 0, 6) {
				gross, fee := draw("gross", 0, 60), draw("kept", 0, 3)
				play("statement %s 2026-10-%d subsidy=%d fee=%d net=%d %s", a, draw("day", 14, 17), gross, fee, gross-fee, rapid.SampledFrom([]string{"", "partial", "net-only", "unsplit"}).Draw(t, "kind"))
			}
			for n := range draw("told payouts", 0, 5) {
				play("paid %s %d 2026-10-%dT%02d:00 %d fee=%d rail=%s status=%s tx=t%d address=%s", a, n, draw("paid on", 15, 20), draw("hour", 0, 23), draw("paid", 1, 90), draw("network fee", 0, 3),
					rapid.SampledFrom([]string{"on-chain", "generation", "lightning", "internal"}).Draw(t, "rail"), rapid.SampledFrom([]string{"paid", "paid", "pending", "failed"}).Draw(t, "status"),
					draw("told transaction", 1, 4), rapid.SampledFrom([]string{"x", "y", ""}).Draw(t, "told address"))
			}
		}
		arrived := map[string]domain.Satoshi{} // by transaction and address
		for range draw("receipts", 0, 8) {
			a, tx, address := rapid.SampledFrom(accounts).Draw(t, "account"), draw("transaction", 1, 6), rapid.SampledFrom([]string{"x", "y"}).Draw(t, "address")
			key, amount := fmt.Sprint(tx, address), draw("amount", 1, 90)
			if arrived[key] == 0 && rapid.Bool().Draw(t, "undone first") {
				play("payout %s 2026-10-15T10:00 %d tx=t%d address=%s block=b0\nreversed %s t%d b0 address=%s", a, amount, tx, address, a, tx, address)
			}
			play("payout %s 2026-10-%dT%02d:30 %d tx=t%d address=%s block=b%d", a, draw("on", 15, 20), draw("at", 0, 23), amount, tx, address, draw("block", 1, 3))
			arrived[key] = domain.Satoshi(amount)
		}
		if err := p.Play(script.String()); err != nil {
			t.Fatal(err)
		}
		f, err := p.Facts()
		if err != nil {
			t.Fatal(err)
		}
		var left domain.Satoshi
		for _, amount := range arrived {
			left += amount
		}
		for _, name := range accounts {
			a := account(f, "s")
			_, a.Terms.Account, _ = strings.Cut(name, "/")
			left -= accounted(t, f, a)
		}
		if left != 0 {
			t.Fatalf("%d sat arrived beyond what is on the days or unmatched", left)
		}
	})
}

// accounted checks the days of an account, and returns what arrived for it.
func accounted(t *rapid.T, f *facts.Facts, a pools.Account) domain.Satoshi {
	t.Helper()
	all := domain.Interval{Start: oneDay.Start, End: oneDay.Start.Add(10 * domain.Day)}
	days, err := pools.Draw(f, a, all)
	if err != nil {
		t.Fatal(err)
	}
	again, _ := pools.Draw(f, a, all)
	if fmt.Sprint(days) != fmt.Sprint(again) {
		t.Fatalf("drawn twice: %v and %v", days, again)
	}
	settled := pools.Settle(f, a, f.Statements(a.Terms.Pool, a.Terms.Account, all))
	sum := settled.Unmatched.Received
	for _, r := range days {
		left := r.Expected - r.Received
		for _, l := range r.Lines {
			left -= l.Satoshi
		}
		if left != 0 {
			t.Fatalf("day of %s: lines leave %d of %v", r.Interval, left, r)
		}
		sum += r.Received
	}
	return sum
}
