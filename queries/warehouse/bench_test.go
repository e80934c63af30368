package warehouse_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/wire"
	"wattbook/projections"
	"wattbook/projections/facts"
	"wattbook/projections/logscript"
	"wattbook/queries/warehouse"
)

const (
	fleetMeters = 10
	fleetMiners = 1990
	fleetSource = 50 // devices that one source answers for
)

// fleet is a generated site of 2,000 devices and the log of some of its days.
type fleet struct {
	*logscript.Player
	step domain.Duration
	next domain.Instant // boundary that is not polled yet
	poll int64
}

// number returns what a variable of the environment says, or a default.
func number(b *testing.B, name string, otherwise int) int {
	b.Helper()
	v := os.Getenv(name)
	if v == "" {
		return otherwise
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 {
		b.Fatalf("%s is %q, want a whole number from 1 on", name, v)
	}
	return n
}

// newFleet returns a site whose log holds days of 5-minute readings.
// WATTBOOK_BENCH_DAYS says how many; 1 without it.
func newFleet(b *testing.B) *fleet {
	b.Helper()
	return fleetOf(b, number(b, "WATTBOOK_BENCH_DAYS", 1), 5*domain.Minute)
}

func fleetOf(b *testing.B, days int, step domain.Duration) *fleet {
	b.Helper()
	f := &fleet{Player: logscript.New(), step: step}
	var site strings.Builder
	fmt.Fprintf(&site, "now 2026-01-01T00:00\nsite fleet step=%dm zone=America/Chicago loss=0.01 adder=5 fee=0.02 pool=foundry/s\nmeter revenue rated=200MW\n", step/domain.Minute)
	for i := range fleetMeters {
		fmt.Fprintf(&site, "meter c%d under=revenue use=mining rated=20MW\n", i)
	}
	for i := range fleetMiners {
		fmt.Fprintf(&site, "miner m%04d under=c%d typical=3500W typical-hash=200T\n", i, i%fleetMeters)
	}
	site.WriteString("difficulty 969696 2025-12-30 17023c7e\nfees 2026-01-01 100 100000000\nbitcoin USD 2026-01-01 24h 98211.42\nprice hb_south 2026-01-01..2026-01-03 15m 41.27\n")
	if err := f.Play(site.String()); err != nil {
		b.Fatal(err)
	}
	f.next = domain.Unix(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Unix()).Add(step)
	for range days * int(domain.Day/step) {
		f.round(b)
	}
	return f
}

// round records what all devices counted up to the next boundary.
func (f *fleet) round(b *testing.B) {
	b.Helper()
	iv := domain.Interval{Start: f.next.Add(-f.step), End: f.next}
	f.poll++
	var events []eventlog.Draft
	for first := 0; first < fleetMeters+fleetMiners; first += fleetSource {
		batch := domain.ReadingsRecorded{Site: "fleet", At: iv.End, Origin: domain.Origin{
			Source: domain.SourceID(fmt.Sprintf("s%02d", first/fleetSource)), Observed: iv.End, Decoder: "bench/1", Evidence: domain.DigestOf(fmt.Appendf(nil, "%d %d", first, f.poll)),
		}}
		for i := first; i < first+fleetSource; i++ {
			r := domain.Reading{Device: domain.DeviceID(fmt.Sprintf("m%04d", i-fleetMeters)), Channel: domain.ChannelShares, Interval: iv, Mark: domain.MarkNormal, Provenance: domain.ProvenanceFirmwareMeasured}
			noise := (int64(i)*2654435761 + f.poll*40503) % 9973
			r.Value = domain.Int(46_000*domain.ShareUnit + noise*domain.ShareUnit)
			if i < fleetMeters {
				r.Device, r.Channel, r.Provenance = domain.DeviceID(fmt.Sprintf("c%d", i)), domain.ChannelEnergyImport, domain.ProvenanceSubMeter
				r.Value = domain.Int(58_000_000 + noise*1000)
			}
			r.Register = r.Value.MulDiv(f.poll, 1)
			batch.Readings = append(batch.Readings, r)
		}
		draft, err := wire.Draft(domain.EventIDOf("bench", fmt.Sprint(first, f.poll)), batch, nil)
		if err != nil {
			b.Fatal(err)
		}
		events = append(events, draft)
	}
	if _, err := f.Log.Append(context.Background(), eventlog.Write{Stream: "facts-fleet", Expect: eventlog.Any, Events: events}); err != nil {
		b.Fatal(err)
	}
	f.next = f.next.Add(f.step)
}

func (f *fleet) fold(b *testing.B, known *facts.Facts) {
	b.Helper()
	if _, err := projections.Fold(context.Background(), f.Log, known.Next, projections.Head, known); err != nil {
		b.Fatal(err)
	}
}

func (f *fleet) open(b *testing.B) (*warehouse.Publisher, string) {
	b.Helper()
	dir := filepath.Join(b.TempDir(), "warehouse")
	p, err := warehouse.Open(warehouse.Config{Dir: dir, Now: f.Now, Logger: slog.New(slog.DiscardHandler), Random: rand.Reader})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = p.Close() })
	return p, dir
}

// bytesOf adds up the files below a folder that end in something.
func bytesOf(b *testing.B, dir, ending string) (sum int64) {
	b.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ending) {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return sum
}

// BenchmarkRebuild makes the warehouse of the whole log, and folds the log
// alone beside it.
func BenchmarkRebuild(b *testing.B) {
	f := newFleet(b)
	readings, size := int64(0), int64(0)
	var replayed time.Duration
	for b.Loop() {
		began := time.Now()
		known := facts.New()
		f.fold(b, known)
		replayed += time.Since(began)
		p, dir := f.open(b)
		out, err := p.Publish(context.Background(), f.Log, known)
		if err != nil {
			b.Fatal(err)
		}
		readings, size = out.ReadingRows, bytesOf(b, filepath.Join(dir, out.Parts), ".parquet")
	}
	each := b.Elapsed().Seconds() / float64(b.N)
	replay := replayed.Seconds() / float64(b.N)
	b.ReportMetric(float64(readings)/(each-replay), "readings/s")
	b.ReportMetric(float64(size)/float64(readings), "B/reading")
	b.ReportMetric((each-replay)/replay, "publish/replay")
}

// BenchmarkVisible is the delay from 10,000 readings that are on record to a
// client, opened anew, that sees them.
func BenchmarkVisible(b *testing.B) {
	f := newFleet(b)
	known := facts.New()
	f.fold(b, known)
	p, dir := f.open(b)
	if _, err := p.Publish(context.Background(), f.Log, known); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		b.StopTimer()
		for range 5 {
			f.round(b)
		}
		b.StartTimer()
		f.fold(b, known)
		out, err := p.Publish(context.Background(), f.Log, known)
		if err != nil {
			b.Fatal(err)
		}
		rows, err := try(dir, "SELECT position FROM published")
		if err != nil || rows[0] != fmt.Sprint(out.Position) {
			b.Fatalf("%v, %v", rows, err)
		}
	}
}

// BenchmarkYear is a year of a site of 2,000 devices: the log is folded, and
// published, first in one go and its last hours step by step; then what is
// asked at month end is asked of the parts, and of one file that is sorted by
// hand. Readings are of 30 minutes; WATTBOOK_BENCH_MINUTES says otherwise (5
// takes some 10 GB of memory), and WATTBOOK_BENCH_YEAR_DAYS how many days a year
// has.
func BenchmarkYear(b *testing.B) {
	f := fleetOf(b, number(b, "WATTBOOK_BENCH_YEAR_DAYS", 365), domain.Duration(number(b, "WATTBOOK_BENCH_MINUTES", 30))*domain.Minute)
	known := facts.New()
	began := time.Now()
	f.fold(b, known)
	replayed := time.Since(began)
	p, dir := f.open(b)
	began = time.Now()
	out, err := p.Publish(context.Background(), f.Log, known)
	if err != nil {
		b.Fatal(err)
	}
	published := time.Since(began)
	b.Run("rebuild", func(b *testing.B) {
		for b.Loop() { // it was measured above: once is enough
		}
		b.ReportMetric(float64(out.ReadingRows)/published.Seconds(), "readings/s")
		b.ReportMetric(float64(out.ReadingRows)/replayed.Seconds(), "replayed/s")
		b.ReportMetric(published.Seconds()/replayed.Seconds(), "publish/replay")
		size, err := warehouse.PartBytes(p)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(size)/float64(out.ReadingRows), "B/reading")
		b.ReportMetric(float64(out.ReadingRows), "readings")
	})
	for range 12 { // the open epoch has small parts
		f.round(b)
		f.fold(b, known)
		if _, err := p.Publish(context.Background(), f.Log, known); err != nil {
			b.Fatal(err)
		}
	}
	if err := warehouse.CopySorted(context.Background(), dir, "sorted.parquet"); err != nil {
		b.Fatal(err)
	}
	last := f.next.Time().AddDate(0, -1, 0)
	month := fmt.Sprintf("local_day BETWEEN '%s' AND '%s'", last.Format("2006-01-02"), f.next.Time().Format("2006-01-02"))
	for _, q := range []struct{ name, statement string }{
		{"energy-by-meter", "SELECT device, sum(value) FROM readings WHERE channel = 'energy.import' GROUP BY device"},
		{"work-by-day", "SELECT local_day, sum(value), count(*) FROM readings WHERE channel = 'shares.accepted' GROUP BY local_day"},
		{"one-device", "SELECT start_utc, value, register FROM readings WHERE device = 'm0777' ORDER BY start_utc"},
		{"marks-of-a-month", "SELECT mark, provenance, count(*) FROM readings WHERE " + month + " GROUP BY ALL"},
		{"registers-at-end", "SELECT device, max_by(register, end_utc) FROM readings WHERE channel = 'energy.import' GROUP BY device"},
		{"behind-an-event", "SELECT count(*), sum(value) FROM readings WHERE position BETWEEN 2100 AND 2110"},
	} {
		for _, layout := range []string{"parts", "sorted"} {
			b.Run("query="+q.name+"/layout="+layout, func(b *testing.B) {
				statement := q.statement
				if layout == "sorted" {
					statement = strings.ReplaceAll(statement, "FROM readings", "FROM '"+filepath.Join(dir, "sorted.parquet")+"'")
				}
				c, err := warehouse.OpenClient(context.Background(), dir, warehouse.Limits{})
				if err != nil {
					b.Fatal(err)
				}
				defer c.Close()
				for b.Loop() {
					rows := 0
					err := c.Query(context.Background(), statement, func([]warehouse.Column) error { return nil }, func([]any) error { rows++; return nil })
					if err != nil || rows == 0 {
						b.Fatalf("%d rows, %v", rows, err)
					}
				}
			})
		}
	}
}
