package settlement_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"wattbook/domain"
	"wattbook/projections"
	"wattbook/projections/facts"
	"wattbook/projections/logscript"
	"wattbook/projections/scratch"
	"wattbook/settlement"
	"wattbook/settlement/rating"
)

// drawTenants plays a month of a site with several customers, day by day: late
// readings, corrections, holes, ends before starts, and months before.
func drawTenants(t *testing.T, random *rand.Rand) *logscript.Player {
	t.Helper()
	draw := func(from, to int) int { return from + random.IntN(to-from+1) }
	buyer := func(own int) string { return []string{"x", "y", fmt.Sprint("b", own)}[random.IntN(3)] }
	p := logscript.New()
	play := func(format string, args ...any) {
		if err := p.Play(fmt.Sprintf(format, args...)); err != nil {
			t.Fatal(err)
		}
	}
	customers := draw(1, 6)
	play("now 2026-08-20\nsite s step=6h\nmeter hall\nprice hb_south 2026-08-01..2026-11-05 6h 41.27")
	charges := []string{
		"reserved-gpus 4 x 1450 overage=2.75", "on-demand-gpus 2.49", "power-pass-through %s adder=5 loss=0.01", "power-pass-through %s pue=hall/%[1]s/1.6",
		"usage kwh meters=%s model=graduated tiers=100:0.1,:0.2", "demand 9 meters=%s", "minimum 90000", "commitment 70000 months=2 true-up rollover", "sla-credit %s,hall bands=0.999:0.1 outage=6h", "fixed 100",
	}
	for c := range customers {
		play("meter m%d under=hall use=ai", c)
		play("contract c%d buyer=%s series=CB from=2026-0%d-01", c, buyer(c), draw(8, 9))
		play("charge base fixed 1")
		for i, ch := range charges {
			if strings.Contains(ch, "%") {
				ch = fmt.Sprintf(ch, fmt.Sprintf("m%d", draw(0, c)))
			}
			if draw(0, 2) == 0 {
				play("charge k%d %s", i, ch)
			}
		}
		if draw(0, 2) == 0 {
			play("prepay c%d 500 2026-09-01", c)
		}
	}
	day := time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)
	for d := range 65 {
		at := day.AddDate(0, 0, d)
		play("now %s", at.AddDate(0, 0, 1).Format(time.DateOnly))
		for c := range customers {
			for _, m := range []string{fmt.Sprint("m", c), "hall"} {
				if random.IntN(300) > 0 && (m != "hall" || c == 0) {
					play("read %s %s..%s %dkWh every=6h", m, at.Format(time.DateOnly), at.AddDate(0, 0, 1).Format(time.DateOnly), random.IntN(900))
				}
			}
			if random.IntN(3) == 0 {
				start, end := fmt.Sprintf("start j%d-%d %s %d %s", d, c, buyer(c), 1+random.IntN(8), at.Format(time.DateOnly)), fmt.Sprintf("end j%d-%d %s", d, c, at.AddDate(0, 0, 2).Format(time.DateOnly))
				if random.IntN(4) == 0 {
					start, end = end, start
				}
				play("%s\n%s", start, end)
			}
		}
		if random.IntN(9) == 0 {
			play("read m0 %s..%s 77kWh mark=corrected", day.Format(time.DateOnly)+"T06:00", day.Format(time.DateOnly)+"T12:00")
		}
	}
	return p
}

// TestDraftsAreThoseOfEachContract compares the drafts of a run, which all
// cores draw from facts that lie in a file, with that of each contract by
// itself from facts in the heap.
func TestDraftsAreThoseOfEachContract(t *testing.T) {
	complete := 0
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 0))
		p := drawTenants(t, random)
		f, err := p.Facts()
		if err != nil {
			t.Fatal(err)
		}
		area := scratch.In(t.TempDir(), 0)
		s := settlement.Settler{Log: p.Log, Facts: facts.In(area)}
		if _, err := projections.Fold(context.Background(), p.Log, 0, projections.Head, s.Facts); err != nil {
			t.Fatal(err)
		}
		period := domain.Period{Year: 2026, Month: time.Month(9 + random.IntN(3))}
		contracts, drafts, failed := s.Drafts("s", period)
		var first error
		for i, id := range f.Contracts("s") {
			want, err := rating.Draft(f, id, period)
			if first == nil {
				first = err
			}
			if failed != nil {
				continue
			}
			a, err := json.Marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			b, err := json.Marshal(drafts[i])
			if err != nil {
				t.Fatal(err)
			}
			if contracts[i] != id || string(a) != string(b) {
				t.Fatalf("seed %d, %s: by itself\n%s\nand in the run\n%s", seed, id, a, b)
			}
			if len(want.Lines) > 0 {
				complete++
			}
		}
		if (first == nil) != (failed == nil) || failed != nil && !strings.Contains(failed.Error(), first.Error()) {
			t.Fatalf("seed %d: by itself %v, and in the run %v", seed, first, failed)
		}
		if err := errors.Join(area.Failed(), area.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if complete < 15 {
		t.Errorf("only %d invoices were complete: the test shows little", complete)
	}
}
