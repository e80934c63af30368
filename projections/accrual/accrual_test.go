package accrual_test

import (
	"fmt"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"wattbook/domain"
	"wattbook/projections/accrual"
	"wattbook/projections/logscript"
)

// contract plays a contract with every kind of charge, and use of it in the
// hours of 14 October that are cut at will.
func contract(t interface{ Fatal(...any) }, lines ...string) (*accrual.Contract, *logscript.Player) {
	p := logscript.New()
	if err := p.Play(append([]string{"day 2026-10-14", "site s", "meter revenue", "meter n4 under=revenue use=ai"}, lines...)...); err != nil {
		t.Fatal(err)
	}
	f, err := p.Facts()
	if err != nil {
		t.Fatal(err)
	}
	c, err := accrual.For(f, f.ContractVersions("aurora")[0])
	if err != nil {
		t.Fatal(err)
	}
	return c, p
}

// sums adds parts up by charge.
func sums(c *accrual.Contract, all ...domain.Interval) map[string]*big.Rat {
	total := map[string]*big.Rat{}
	for _, iv := range all {
		for _, part := range c.Over(iv) {
			for what, v := range map[string]*big.Rat{"quantity": part.Quantity, "amount": part.Amount, "used": part.Used} {
				if v == nil {
					continue
				}
				k := fmt.Sprintf("%s %v %s", part.Charge.ID, part.Overage, what)
				if total[k] == nil {
					total[k] = new(big.Rat)
				}
				total[k].Add(total[k], v)
			}
		}
	}
	for k, v := range total {
		if v.Sign() == 0 {
			delete(total, k)
		}
	}
	return total
}

// TestPartsOfAnIntervalEarnWhatItEarns cuts a metering interval anywhere: what
// its parts earn sums to what the whole earns, exactly. (An overage is not
// among the charges, since it is what exceeds a reservation in an interval.)
func TestPartsOfAnIntervalEarnWhatItEarns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string, from, to int64) int64 { return rapid.Int64Range(from, to).Draw(t, name) }
		lines := []string{
			fmt.Sprintf("read n4 12:00..12:05 %dmWh", draw("energy", 0, 1<<45)),
			fmt.Sprintf("price hb_south 12:00 5m %d.%03d", draw("price", -300, 5000), draw("mills", 0, 999)),
			fmt.Sprintf("contract aurora from=12:0%d:%02d until=12:04:%02d zone=America/Chicago", draw("minute", 0, 3), draw("second", 0, 59), draw("second", 1, 59)),
			"charge space reserved-power 12 x 155.6", "charge used on-demand-gpus 2.49", "charge power power-pass-through n4 adder=6.5 loss=0.0123",
		}
		for job := range draw("jobs", 0, 4) {
			lines = append(lines, fmt.Sprintf("start job-%d aurora %d 12:0%d:%02d", job, draw("gpus", 1, 8), draw("minute", 0, 4), draw("second", 0, 59)))
			if rapid.Bool().Draw(t, "ends") {
				lines = append(lines, fmt.Sprintf("end job-%d 12:0%d:%02d", job, draw("minute", 0, 4), draw("second", 0, 59)))
			}
		}
		c, p := contract(t, lines...)
		whole, _ := p.Interval("12:00..12:05")
		cut := whole.Start + domain.Instant(draw("cut", 1, int64(whole.Length())-1)) // any microsecond
		parts := []domain.Interval{{Start: whole.Start, End: cut}, {Start: cut, End: whole.End}}
		got, want := sums(c, parts...), sums(c, whole)
		for k := range want {
			if got[k] == nil || got[k].Cmp(want[k]) != 0 {
				t.Fatalf("%s: parts come to %v, the whole to %v", k, got[k], want[k])
			}
		}
		if len(got) != len(want) {
			t.Fatalf("parts have %d sums, the whole has %d", len(got), len(want))
		}
		if got, want := c.Metered(parts[0])+c.Metered(parts[1]), c.Metered(whole); got != want {
			t.Fatalf("metered %d mWh in parts, %d in all", got, want)
		}
	})
}

// TestAMonthIsOneMonth sums what a month's intervals are of it: in every month
// of three years and in zones with and without clock changes, exactly 1.
func TestAMonthIsOneMonth(t *testing.T) {
	for _, zone := range []string{"UTC", "America/Chicago", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe"} {
		t.Run(zone, func(t *testing.T) {
			c, p := contract(t, "contract aurora zone="+zone, "charge space reserved-power 1 x 1")
			for month := range 36 {
				iv, err := p.Interval(fmt.Sprintf("%d-%02d@%s", 2023+month/12, month%12+1, zone))
				if err != nil {
					t.Fatal(err)
				}
				sum := new(big.Rat)
				for at := iv.Start; at < iv.End; at = at.Add(6 * domain.Hour) {
					for _, part := range c.Over(domain.Interval{Start: at, End: min(iv.End, at.Add(6*domain.Hour))}) {
						sum.Add(sum, part.Quantity)
					}
				}
				if sum.Cmp(big.NewRat(1, 1)) != 0 {
					t.Errorf("%s: got %s", c.Period(iv.Start), sum)
				}
			}
		})
	}
}

// TestEveryHourIsChargedOnce follows GPU time through a contract's charges.
func TestEveryHourIsChargedOnce(t *testing.T) {
	use := []string{"start job-1 aurora 10 12:00", "end job-1 12:05"} // 10 GPUs for 5 minutes: 5/6 of a GPU-hour
	for _, row := range []struct {
		name    string
		charges []string
		want    string // charge, quantity
	}{
		{"the reservation covers it", []string{"charge r reserved-gpus 16 x 720 overage=2"}, "r uses 5/6"},
		{"what is beyond the reservation is overage", []string{"charge r reserved-gpus 4 x 720 overage=2"}, "r uses 1/3; r overage 1/2"},
		{"or is on demand, if the contract has that", []string{"charge r reserved-gpus 4 x 720", "charge od on-demand-gpus 3"}, "r uses 1/3; od 1/2"},
		{"two reservations fill up one after the other", []string{"charge r reserved-gpus 4 x 720", "charge s reserved-gpus 4 x 700", "charge od on-demand-gpus 3"}, "r uses 1/3; s uses 1/3; od 1/6"},
		{"an overage takes all that is left", []string{"charge r reserved-gpus 4 x 720 overage=2", "charge od on-demand-gpus 3"}, "r uses 1/3; r overage 1/2; od 0"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c, p := contract(t, append(append(use, "contract aurora"), row.charges...)...)
			iv, _ := p.Interval("12:00..12:05")
			var got []string
			for _, part := range c.Over(iv) {
				switch {
				case part.Used != nil:
					got = append(got, part.Charge.ID+" uses "+part.Used.RatString())
				case part.Overage:
					got = append(got, part.Charge.ID+" overage "+part.Quantity.RatString())
				default:
					got = append(got, part.Charge.ID+" "+part.Quantity.RatString())
				}
			}
			if s := strings.Join(got, "; "); s != row.want {
				t.Errorf("got %s, want %s", s, row.want)
			}
		})
	}
}

func TestWhatIsUnknownHasNoAmount(t *testing.T) {
	lines := []string{"contract aurora", "charge power power-pass-through n4,n5", "meter n5 under=revenue use=ai"}
	for _, row := range []struct {
		name  string
		lines []string
		known bool
	}{
		{"all is known", []string{"read n4 12:00..12:05 1kWh", "read n5 12:00..12:05 1kWh", "price hb_south 12:00 5m 40"}, true},
		{"a reading of nothing is known", []string{"read n4 12:00..12:05 0kWh", "read n5 12:00..12:05 1kWh", "price hb_south 12:00 5m 0"}, true},
		{"one of the meters is silent", []string{"read n4 12:00..12:05 1kWh", "silent n5 12:05", "price hb_south 12:00 5m 40"}, false},
		{"there is no price", []string{"read n4 12:00..12:05 1kWh", "read n5 12:00..12:05 1kWh"}, false},
		{"there is a price in another currency only", []string{"read n4 12:00..12:05 1kWh", "read n5 12:00..12:05 1kWh", "price hb_south 12:00 5m 40 currency=EUR"}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			c, p := contract(t, append(lines, row.lines...)...)
			iv, _ := p.Interval("12:00..12:05")
			if parts := c.Over(iv); len(parts) != 1 || (parts[0].Amount != nil) != row.known {
				t.Errorf("got %+v", parts)
			}
		})
	}
}

func TestContractsThatCannotBeAccrued(t *testing.T) {
	p := logscript.New()
	if err := p.Play("site s", "contract aurora zone=Europe/Atlantis", "charge r on-demand-gpus 2"); err != nil {
		t.Fatal(err)
	}
	f, err := p.Facts()
	if err != nil {
		t.Fatal(err)
	}
	c := f.ContractVersions("aurora")[0]
	if _, err := accrual.For(f, c); err == nil || err.Error() != `contract aurora: zone "Europe/Atlantis": unknown time zone Europe/Atlantis` {
		t.Errorf("got %v", err)
	}
	c.Zone, c.Site = "UTC", "nowhere"
	if _, err := accrual.For(f, c); err == nil || err.Error() != "contract aurora: site nowhere is not registered" {
		t.Errorf("got %v", err)
	}
}
