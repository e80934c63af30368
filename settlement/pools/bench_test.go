package pools_test

import (
	"fmt"
	"strings"
	"testing"

	"wattbook/domain"
	"wattbook/projections/logscript"
	"wattbook/settlement/pools"
)

// BenchmarkYear reconciles a year of 20 accounts, in 5-minute intervals, whose
// pool tells its payouts.
func BenchmarkYear(b *testing.B) {
	const accounts, days = 20, 365
	p := logscript.New()
	start := domain.Unix(1_767_225_600) // 2026
	var script strings.Builder
	play := func(format string, args ...any) { fmt.Fprintf(&script, format+"\n", args...) }
	play("site s step=5m pool=p/a0 fee=0.02\nminer m0\ndifficulty 969696 2025-12-30 1d00ffff")
	for a := 1; a < accounts; a++ {
		play("account p/a%d miners=m%d fee=0.02\nminer m%d", a, a, a)
	}
	play("now 2027-01-02")
	for d := range days {
		day := start.Add(domain.Day * domain.Duration(d))
		text := day.Time().Format("2006-01-02")
		if d%14 == 7 {
			play("difficulty %d %sT12:00 1d00ffff", 971_712+int64(d/14)*domain.RetargetInterval, text)
		}
		play("fees %s 144 633600000", text)
		for a := range accounts {
			next := day.Add(domain.Day).Time().Format("2006-01-02")
			play("read m%d %s..%s 0.0001shares every=5m\nread m%d %s..%s 429503hashes every=5m", a, text, next, a, text, next)
			play("statement p/a%d %s subsidy=9000000 fees=126720 fee=182534 net=8944186", a, text)
			play("paid p/a%d %d %sT23:59 8944186 tx=t%d-%d address=x%d", a, d, text, a, d, a)
			play("payout p/a%d %sT23:59 8944186 tx=t%d-%d address=x%d", a, text, a, d, a)
		}
	}
	if err := p.Play(script.String()); err != nil {
		b.Fatal(err)
	}
	f, err := p.Facts()
	if err != nil {
		b.Fatal(err)
	}
	year := domain.Interval{Start: start, End: start.Add(days * domain.Day)}
	b.Run(fmt.Sprintf("accounts=%d/days=%d/step=5m", accounts, days), func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			n := 0
			for a := range accounts {
				all, err := pools.Draw(f, pools.AccountOf(f, "s", "p", fmt.Sprintf("a%d", a)), year)
				if err != nil {
					b.Fatal(err)
				}
				n += len(all)
			}
			if n != accounts*days {
				b.Fatalf("%d days", n)
			}
		}
		b.ReportMetric(float64(b.N*accounts*days)/b.Elapsed().Seconds(), "days/s")
	})
}
