//go:build unix

package warehouse_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"wattbook/projections"
	"wattbook/projections/facts"
	"wattbook/projections/logscript"
	"wattbook/queries/warehouse"
)

// BenchmarkPublication is one more publication of a site that has everything
// that a site has, by how many months of history it has.
// WATTBOOK_BENCH_MONTHS says how many are the most.
func BenchmarkPublication(b *testing.B) {
	for _, months := range []int{1, number(b, "WATTBOOK_BENCH_MONTHS", 12)} {
		b.Run(fmt.Sprintf("months=%d", months), func(b *testing.B) {
			p := logscript.New()
			play := func(lines string) {
				b.Helper()
				if err := p.Play(lines); err != nil {
					b.Fatal(err)
				}
			}
			day := func(n int) string { return time.Date(2026, 1, 1+n, 0, 0, 0, 0, time.UTC).Format("2006-01-02") }
			days := months * 30
			play(fmt.Sprintf(townsite, day(days+2)))
			for n := range days {
				play(townDay(day(n), day(n+1)))
			}
			dir := filepath.Join(b.TempDir(), "warehouse")
			out, err := warehouse.Open(warehouse.Config{Dir: dir, Now: p.Now, Logger: slog.New(slog.DiscardHandler), Random: rand.Reader})
			if err != nil {
				b.Fatal(err)
			}
			defer out.Close()
			known := facts.New()
			publish := func() {
				b.Helper()
				if _, err := projections.Fold(context.Background(), p.Log, known.Next, projections.Head, known); err != nil {
					b.Fatal(err)
				}
				if _, err := out.Publish(context.Background(), p.Log, known); err != nil {
					b.Fatal(err)
				}
			}
			publish()
			minute, spent := 0, time.Duration(0)
			for b.Loop() {
				b.StopTimer()
				at := fmt.Sprintf("%sT%02d:%02d", day(days), minute/60, minute%60)
				minute += 5
				play(strings.ReplaceAll(townReadings, "SPAN", fmt.Sprintf("%s..%sT%02d:%02d", at, day(days), minute/60, minute%60)))
				b.StartTimer()
				began := processTime(b)
				publish()
				spent += processTime(b) - began
			}
			b.ReportMetric(float64(spent.Milliseconds())/float64(b.N), "cpu-ms/op")
		})
	}
}

// processTime returns what the process has taken of the processors: on a
// machine that does other work, the clock tells little.
func processTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// townsite is a site with miners, two customers, a pool and prices of every
// quarter of an hour.
const townsite = `
now 2026-01-01T00:00
site town step=5m zone=America/Chicago loss=0.01 adder=5 fee=0.02 pool=foundry/s
meter revenue rated=14MW
meter c1 under=revenue use=mining rated=3.5MW
meter ai under=revenue use=ai rated=500kW
miner m1 under=c1 typical=1MW typical-hash=50P
miner m2 under=c1 typical=1MW typical-hash=50P
miner m3 under=c1 typical=1MW typical-hash=50P
miner m4 under=c1 typical=1MW typical-hash=50P
difficulty 969696 2025-12-30 1d00ffff
bitcoin USD 2026-01-01..%[1]s 24h 98211.42
price hb_south 2026-01-01..%[1]s 15m 41.27
contract aurora from=2026-01-01 tax=0.0825
charge reserved reserved-gpus 16 x 1450 overage=2.75
contract castellan from=2026-01-01
charge power power-pass-through ai adder=5 loss=0.01
start job-1 aurora 8 2026-01-01T01:00
`

const townReadings = `
read revenue SPAN 300kWh every=5m
read c1 SPAN 200kWh every=5m
read ai SPAN 40kWh every=5m
read m1 SPAN 0.0001shares every=5m
read m2 SPAN 0.0001shares every=5m
read m3 SPAN 0.0001shares every=5m
read m4 SPAN 0.0001shares every=5m
`

// townDay is all that is recorded of a day.
func townDay(day, next string) string {
	return strings.ReplaceAll(townReadings, "SPAN", day+"T00:00.."+next+"T00:00") +
		fmt.Sprintf("\nfees %[1]s 100 100000000\nstatement foundry/s %[1]s subsidy=35000000 fees=115200 fee=702304 net=34412896\npayout foundry/s %[2]sT06:00 34412896", day, next)
}
