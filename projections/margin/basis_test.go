package margin_test

import (
	"fmt"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"wattbook/domain"
	"wattbook/projections/facts"
	"wattbook/projections/logscript"
	"wattbook/projections/margin"
)

// TestAStatedDayIsDividedWhole draws work and statements of two accounts over
// some days: of each account, the intervals of a stated day sum to what is
// stated, those of another to what is estimated, and the parts that rows of any
// interval have are those of the whole; digests know of no statement.
func TestAStatedDayIsDividedWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := logscript.New()
		play := func(format string, args ...any) {
			if err := p.Play(fmt.Sprintf(format, args...)); err != nil {
				t.Fatal(err)
			}
		}
		draw := func(name string, from, to int64) int64 { return rapid.Int64Range(from, to).Draw(t, name) }
		play("site s step=1h pool=foundry/a fee=0.02\nmeter revenue\nminer m1\nminer m2\naccount ocean/b miners=m2 fee=0.01")
		play("difficulty 969696 2026-10-10 1d00ffff\ndifficulty 971712 2026-10-15T%02d:30 1c00ffff\nfees 2026-10-14 100 100000000", draw("hour", 0, 23))
		play("bitcoin USD 2026-10-14..2026-10-17 1h 98211.42")
		for range draw("readings", 0, 20) {
			day, hour := draw("day", 14, 16), draw("hour", 0, 22)
			play("read m%d 2026-10-%dT%02d:00..2026-10-%dT%02d:00 0.%08dshares", draw("miner", 1, 2), day, hour, day, hour+1, draw("work", 0, 99_999_999))
		}
		before, iv := facts3(t, p), domain.Interval{}
		iv, _ = p.Interval("2026-10-14..2026-10-17")
		digest, err := margin.Digest(margin.Rows(before, "s", iv))
		if err != nil {
			t.Fatal(err)
		}
		stated := map[string]int64{}
		for range draw("statements", 0, 5) {
			account, day, net := rapid.SampledFrom([]string{"foundry/a", "ocean/b"}).Draw(t, "account"), draw("day", 14, 16), draw("net", -5, 1<<40)
			play("statement %s 2026-10-%d net=%d", account, day, net)
			stated[fmt.Sprintf("%s %d", account, day)] = net
		}
		f := facts3(t, p)
		if again, err := margin.Digest(margin.Rows(f, "s", iv)); err != nil || again != digest {
			t.Fatalf("the digest of what is estimated has changed: %v", err)
		}
		sums, total, worked := map[string]*big.Rat{}, map[string]*big.Rat{}, map[string]bool{}
		for r, err := range margin.Rows(f, "s", iv) {
			if err != nil {
				t.Fatal(err)
			}
			day := r.Interval.Start.Time().Day()
			for _, a := range r.Mined.Accounts {
				k := fmt.Sprintf("%s/%s %d", a.Pool, a.Account, day)
				if _, ok := stated[k]; ok != (a.Basis == margin.Stated) {
					t.Fatalf("%s is %s", k, a.Basis)
				}
				if sums[k] == nil {
					sums[k] = new(big.Rat)
				}
				if worked[k] = worked[k] || a.Shares.Sign() > 0; a.Earned != nil {
					sums[k].Add(sums[k], a.Earned)
				}
			}
			k := fmt.Sprint(day)
			if total[k] == nil {
				total[k] = new(big.Rat)
			}
			if r.Mined.Earned != nil {
				total[k].Add(total[k], r.Mined.Earned)
			}
			for one, err := range margin.Rows(f, "s", r.Interval) {
				if err != nil || fmt.Sprint(one.Mined.Earned, one.Mining.Revenue) != fmt.Sprint(r.Mined.Earned, r.Mining.Revenue) {
					t.Fatalf("%s by itself earned %v, in the whole %v", r.Interval, one.Mined.Earned, r.Mined.Earned)
				}
			}
		}
		for k, net := range stated {
			if got := sums[k]; worked[k] && got.Cmp(big.NewRat(net, 1)) != 0 {
				t.Fatalf("%s sums to %s of %d", k, got.FloatString(3), net)
			}
		}
		for day := 14; day <= 16; day++ {
			a, b := stated[fmt.Sprintf("foundry/a %d", day)], stated[fmt.Sprintf("ocean/b %d", day)]
			_, both := stated[fmt.Sprintf("foundry/a %d", day)]
			if _, ok := stated[fmt.Sprintf("ocean/b %d", day)]; !both || !ok {
				continue
			}
			if got := total[fmt.Sprint(day)]; got.Cmp(big.NewRat(a+b, 1)) != 0 {
				t.Fatalf("day %d sums to %s of %d and %d", day, got.FloatString(3), a, b)
			}
		}
	})
}

func facts3(t *rapid.T, p *logscript.Player) *facts.Facts {
	f, err := p.Facts()
	if err != nil {
		t.Fatal(err)
	}
	return f
}
