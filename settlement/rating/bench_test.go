package rating_test

import (
	"fmt"
	"testing"
	"time"

	"wattbook/domain"
	"wattbook/projections/logscript"
	"wattbook/settlement/rating"
)

// BenchmarkDraftMonth rates a customer's month of 15-minute intervals and
// hourly allocations under a contract with a reservation, its overage and power
// that is passed through. Customers are rated one after the other, so that a
// run's time is that of one times their number.
func BenchmarkDraftMonth(b *testing.B) {
	p := logscript.New()
	lines := []string{
		"now 2026-11-02", "site s step=15m", "meter revenue", "meter n4 under=revenue use=ai",
		"read n4 2026-10@UTC 3.3kWh every=15m", "price hb_south 2026-10@UTC 15m 41.27",
		"contract aurora", "charge reserved reserved-gpus 4 x 1450 overage=2.75", "charge power power-pass-through n4 adder=5 loss=0.012",
	}
	start := time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)
	for hour := range 744 {
		at := domain.At(start.Add(time.Duration(hour) * time.Hour))
		lines = append(lines, fmt.Sprintf("start j%d aurora %d %s", hour, hour%8+1, instant(at)), fmt.Sprintf("end j%d %s", hour, instant(at.Add(domain.Hour))))
	}
	if err := p.Play(lines...); err != nil {
		b.Fatal(err)
	}
	f, err := p.Facts()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		inv, err := rating.Draft(f, "aurora", domain.Period{Year: 2026, Month: time.October})
		if err != nil || len(inv.Lines) != 3 {
			b.Fatal(len(inv.Lines), err)
		}
	}
	b.ReportMetric(float64(b.N)*2976/b.Elapsed().Seconds(), "intervals/s")
}
