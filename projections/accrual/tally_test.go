package accrual_test

import (
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"wattbook/domain"
	"wattbook/projections/accrual"
	"wattbook/projections/logscript"
)

// drawDay draws a day of use in quarters of an hour, with estimates and holes,
// and a contract with some of all charges that earn interval by interval.
func drawDay(t *rapid.T) *logscript.Player {
	draw := func(name string, from, to int64) int64 { return rapid.Int64Range(from, to).Draw(t, name) }
	some := func(name string) bool { return rapid.Bool().Draw(t, name) }
	lines := []string{"now 2026-11-20", "day 2026-10-14", "site s step=15m", "meter revenue", "meter n4 under=revenue use=ai", "meter n5 under=revenue use=ai"}
	for _, m := range []string{"revenue", "n4", "n5"} {
		for hour := range 24 {
			at := fmt.Sprintf("%02d:00..%02d:00", hour, hour+1)
			switch kind := draw("reading", 0, 400); {
			case kind == 0: // nothing
			case kind < 60:
				lines = append(lines, fmt.Sprintf("read %s %s %dmWh mark=gap", m, at, draw("energy", 0, 1<<40)))
			case kind == 60:
				lines = append(lines, fmt.Sprintf("read %s %s %dmWh every=15m", m, at, draw("much", 0, 1<<53)))
			default:
				lines = append(lines, fmt.Sprintf("read %s %s %dmWh every=15m", m, at, draw("energy", 0, 1<<36)))
			}
		}
	}
	for hour := range 24 {
		if price := fmt.Sprintf("%d.%04d", draw("price", -300, 9000), draw("mills", 0, 9999)); draw("no price", 0, 200) > 0 {
			lines = append(lines, fmt.Sprintf("price hb_south %02d:00 %s %s", hour, rapid.SampledFrom([]string{"15m", "1h"}).Draw(t, "step"), strings.Repeat(price+" ", 4)))
		}
	}
	for job := range draw("jobs", 0, 6) {
		lines = append(lines, fmt.Sprintf("start job-%d aurora %d %02d:%02d:%02d", job, draw("gpus", 1, 16), draw("hour", 0, 23), draw("minute", 0, 59), draw("second", 0, 59)))
		if some("ends") {
			lines = append(lines, fmt.Sprintf("end job-%d 23:%02d", job, draw("minute", 0, 59)))
		}
	}
	lines = append(lines, fmt.Sprintf("contract aurora from=0%d:%02d until=2%d:%02d zone=America/Chicago", draw("hour", 0, 9), draw("minute", 0, 59), draw("hour", 0, 3), draw("minute", 0, 59)))
	charges := []string{
		"reserved-gpus 4 x 1450.5 overage=2.75", "reserved-gpus 2 x 1450 factor=1.5 ramp=10:07>6x1400,15:00>8x0", "reserved-gpus 3 x 700",
		"usage gpu-hours 2.49 free=3", "usage gpu-hours 1 index=hb_south index-factor=0.013 index-floor=5 index-cap=80.5", "on-demand-gpus 3.3",
		"reserved-power 120 x 155.6", "reserved-power 12 x 155.6 factor=1.25 meters=n4,n5", "fixed 250 from=11:11", "demand 9.5 meters=n4,n5",
		"power-pass-through n4,n5 adder=6.5 loss=0.0123", "power-pass-through n4 index-floor=0 index-cap=33.3 until=13:45", "power-pass-through n4 pue=1.17",
		"power-pass-through n4 pue=revenue/n4+n5/1.4", "power-pass-through n5 index-floor=0.12345678901", "usage kwh 0.08 meters=n4", "usage kwh meters=n4 model=graduated tiers=100:0.1,:0.2",
		"usage kwh 0.01 meters=n5 index=hb_south index-factor=0.001", "usage kwh meters=n4,n5 windows=night@22:00-06:30@0.05,day@06:30-22:00@0.13",
		"usage kwh 0.01 meters=n5 index=nowhere index-factor=0.001",
	}
	always := int(draw("always", 0, int64(len(charges)-1))) // a contract has a charge
	for i, ch := range charges {
		if i == always || draw("charge", 0, 3) == 0 {
			lines = append(lines, fmt.Sprintf("charge c%d %s", i, ch))
		}
	}
	p := logscript.New()
	if err := p.Play(lines...); err != nil {
		t.Fatal(err)
	}
	return p
}

// added adds up the parts of a run, one interval after the other.
func added(c *accrual.Contract, in domain.Interval, step domain.Duration) (sums []accrual.Tally, known bool) {
	for at := in.Start; at < in.End; at = at.Add(step) {
		for _, p := range c.All(domain.Interval{Start: at, End: at.Add(step)}) {
			if p.Unknown {
				return nil, false
			}
			var s *accrual.Tally
			for i := range sums {
				if o := sums[i]; o.Charge.ID == p.Charge.ID && o.Overage == p.Overage && o.Step == p.Step && o.Window == p.Window {
					s = &sums[i]
				}
			}
			if s == nil {
				sums = append(sums, accrual.Tally{Part: accrual.Part{
					Charge: p.Charge, Overage: p.Overage, Step: p.Step, Window: p.Window, ByPeriod: p.ByPeriod, Interval: p.Interval, Quantity: new(big.Rat),
				}})
				s = &sums[len(sums)-1]
			}
			s.Interval.End = p.Interval.End
			s.Intervals++
			if p.Charge.Kind == domain.ChargeDemand {
				if s.Peak == nil || p.Quantity.Cmp(s.Peak) > 0 {
					s.Peak, s.Estimated = p.Quantity, p.Estimated
				}
				s.Quantity.Add(s.Quantity, c.PortionOfMonth(p.Interval))
				continue
			}
			s.Quantity.Add(s.Quantity, p.Quantity)
			for _, v := range []struct {
				to  **big.Rat
				add *big.Rat
			}{{&s.Amount, p.Amount}, {&s.Used, p.Used}, {&s.Estimated, p.Estimated}} {
				if *v.to == nil && v.add != nil {
					*v.to = new(big.Rat)
				}
				if v.add != nil {
					(*v.to).Add(*v.to, v.add)
				}
			}
		}
	}
	return sums, true
}

// TestATallyIsTheSumOfItsParts adds whole intervals up in both ways: they are
// equal in every number, or the quick one says that it cannot.
func TestATallyIsTheSumOfItsParts(t *testing.T) {
	tallied := 0
	rapid.Check(t, func(t *rapid.T) {
		p := drawDay(t)
		f, err := p.Facts()
		if err != nil {
			t.Fatal(err)
		}
		c, err := accrual.For(f, f.ContractVersions("aurora")[0])
		if err != nil {
			t.Fatal(err)
		}
		day, _ := p.Interval("2026-10-14T00:00..2026-10-15T00:00")
		step, tally := 15*domain.Minute, accrual.NewTallier(f)
		for at := day.Start; at < day.End; {
			run, ok := tally.Tally(c, domain.Interval{Start: at, End: day.End})
			if !ok {
				at = at.Add(step)
				continue
			}
			tallied++
			want, known := added(c, run.Interval, step)
			if !known {
				t.Fatalf("%s has a tally, and something of it is unknown", run.Interval)
			}
			one := cmp.Comparer(func(a, b *big.Rat) bool {
				if a == nil || b == nil { // nothing is estimated, or none of it counts
					return (a == nil || a.Sign() == 0) && (b == nil || b.Sign() == 0)
				}
				return a.Cmp(b) == 0
			})
			decimal := cmp.Comparer(func(a, b domain.Decimal) bool { return a.Equal(b) })
			byKey := func(all []accrual.Tally) map[string]accrual.Tally {
				m := map[string]accrual.Tally{}
				for _, v := range all {
					m[fmt.Sprint(v.Charge.ID, v.Overage, v.Step, v.Window)] = v
				}
				return m
			}
			if diff := cmp.Diff(byKey(want), byKey(run.Tallies), one, decimal); diff != "" {
				t.Fatalf("%s: the sum of the parts differs from the tally (-parts +tally):\n%s", run.Interval, diff)
			}
			for i := range run.GPU {
				slot := domain.Interval{Start: run.Interval.Start.Add(step * domain.Duration(i)), End: run.Interval.Start.Add(step * domain.Duration(i+1))}
				if run.GPU[i] != c.Used(slot) || run.Energy[i] != c.Metered(slot) {
					t.Fatalf("%s: tallied %s and %s, used %s and %s", slot, run.GPU[i], run.Energy[i], c.Used(slot), c.Metered(slot))
				}
			}
			at = run.Interval.End
		}
	})
	if tallied < 100 {
		t.Errorf("only %d runs were tallied: the test shows little", tallied)
	}
}
