package warehouse_test

import (
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"math/big"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"sync"
	"testing"
	"time"

	_ "github.com/duckdb/duckdb-go/v2"

	"wattbook/domain"
	"wattbook/projections/facts"
	"wattbook/projections/scratch"
	"wattbook/settlement"
)

// tenants is a month of customers: a meter and a contract each, a reading every
// 15 minutes, and an allocation every hour. Nothing of it is held in memory.
type tenants struct {
	customers int
	start     domain.Instant
	devices   []domain.DeviceID
	buyers    []domain.CustomerID
}

// madeTogether is how many events are handed over together, up to a poll.
const madeTogether = 256

const (
	tenantHours  = 31 * 24
	tenantSlots  = 4 * tenantHours
	tenantGPUs   = 4 // reserved
	tenantAdder  = 5
	tenantGross  = 1012 // thousandths
	tenantPeriod = "2026-10"
)

func newTenants(n int) *tenants {
	t := &tenants{customers: n, start: domain.At(time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC))}
	for c := range n {
		t.devices = append(t.devices, domain.DeviceID(fmt.Sprintf("m%05d", c)))
		t.buyers = append(t.buyers, domain.CustomerID(fmt.Sprintf("c%05d", c)))
	}
	return t
}

// Of customer c in slot or hour i. The same formulas make the rows of DuckDB.
func (t *tenants) energy(c, i int) int64 { return int64((c*7919+i*104729)%9_000_000 + 100_000) }
func (t *tenants) gpus(c, h int) int64   { return int64((c+h)%8 + 1) }
func (t *tenants) cents(i int) int64     { return int64((i * 31) % 9000) } // per MWh

func (t *tenants) contract(c int) domain.ContractSigned {
	party := domain.Party{ID: t.buyers[c], Name: "Customer", Country: "US"}
	return domain.ContractSigned{
		Site: "s", Contract: domain.ContractID(t.buyers[c]), Version: 1, Seller: domain.Party{ID: "seller", Name: "Seller", Country: "US"}, Buyer: party,
		Series: "T", Currency: "USD", Zone: "UTC", Start: t.start, PaymentDays: 30, Tax: domain.Tax{Name: "Sales tax", Reason: "not taxed"},
		Charges: []domain.Charge{
			{ID: "reserved", Kind: domain.ChargeReservedGPUs, Description: "GPUs", Quantity: tenantGPUs, Rate: domain.NewDecimal(1450, 0), Overage: domain.NewDecimal(275, -2)},
			{ID: "power", Kind: domain.ChargePassThrough, Description: "Power", Meters: t.devices[c : c+1], Adder: domain.NewDecimal(tenantAdder, 0), LossPortion: domain.NewDecimal(tenantGross-1000, -3)},
		},
	}
}

// events yields the month: polls with a reading of every meter, and every hour
// the end and the start of every customer's allocation.
func (t *tenants) events() iter.Seq[domain.Recorded] {
	return func(yield func(domain.Recorded) bool) {
		rec := domain.Recorded{RecordedAt: t.start}
		say := func(e domain.Event) bool {
			rec.Event = e
			ok := yield(rec)
			rec.Position++
			return ok
		}
		if !say(domain.SiteRegistered{Site: "s", Zone: "UTC", Currency: "USD", Step: 15 * domain.Minute, Node: "hub"}) {
			return
		}
		prices := domain.PowerPriced{Node: "hub", Currency: "USD", Series: domain.PriceSeries{Start: t.start, Step: 15 * domain.Minute}}
		for i := range tenantSlots {
			prices.Series.Prices = append(prices.Series.Prices, domain.NewDecimal(t.cents(i), -2))
		}
		say(prices)
		for c := range t.customers {
			say(domain.DeviceRegistered{Site: "s", Device: t.devices[c], Kind: domain.KindMeter, Use: domain.UseAI})
			say(t.contract(c))
		}
		var polls [8]domain.ReadingsRecorded // more than are handed over and not folded yet
		for i := range polls {
			polls[i] = domain.ReadingsRecorded{Site: "s", Readings: make([]domain.Reading, t.customers)}
		}
		name := func(c, h int) string { return strconv.Itoa(c) + "/" + strconv.Itoa(h) }
		for i := range tenantSlots {
			iv := domain.Interval{Start: t.start.Add(15 * domain.Minute * domain.Duration(i)), End: t.start.Add(15 * domain.Minute * domain.Duration(i+1))}
			rec.RecordedAt = iv.End
			poll := polls[i%len(polls)]
			for c := range t.customers {
				if h := i / 4; i%4 == 0 {
					if h > 0 {
						say(domain.GPUAllocationEnded{Site: "s", Allocation: name(c, h-1), At: iv.Start})
					}
					say(domain.GPUAllocationStarted{Site: "s", Allocation: name(c, h), Customer: t.buyers[c], GPUs: t.gpus(c, h), At: iv.Start})
				}
				poll.Readings[c] = domain.Reading{Device: t.devices[c], Channel: domain.ChannelEnergyImport, Interval: iv, Value: domain.Int(t.energy(c, i)), Mark: domain.MarkNormal, Provenance: domain.ProvenanceSubMeter}
			}
			if !say(poll) {
				return
			}
		}
	}
}

// peak returns the greatest memory of the process, in bytes, while something
// runs.
func peak(do func()) (most uint64) {
	debug.FreeOSMemory()
	sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	done := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			metrics.Read(sample)
			most = max(most, sample[0].Value.Uint64()-sample[1].Value.Uint64())
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	})
	do()
	close(done)
	watching.Wait()
	return most
}

// aggregate is the bare aggregation that the invoices rest on, in SQL.
const aggregate = `
WITH energy AS (
  SELECT customer, sum(energy)::HUGEINT AS energy, sum(energy::HUGEINT * (cents + 500)) AS amount
  FROM readings JOIN prices USING (start) GROUP BY customer),
slots AS (
  SELECT customer, unnest(range(start, until, INTERVAL 15 MINUTE)) AS slot, start, until, gpus FROM allocations),
used AS (
  SELECT customer, slot, sum(gpus * (epoch_ms(least(until, slot + INTERVAL 15 MINUTE)) - epoch_ms(greatest(start, slot)))) AS used
  FROM slots GROUP BY customer, slot),
gpus AS (
  SELECT customer, sum(greatest(used - 4 * 900000, 0)) AS beyond FROM used GROUP BY customer)
SELECT customer, energy, amount, beyond FROM energy JOIN gpus USING (customer) ORDER BY customer`

// due is what SQL says of a customer, in cents.
type due struct{ power, overage int64 }

// load makes the rows of the month in DuckDB, which then has as many threads
// as the run.
func (t *tenants) load(b *testing.B) *sql.DB {
	db, err := sql.Open("duckdb", "")
	if err != nil {
		b.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	for _, s := range []string{
		fmt.Sprintf("SET threads = %d", runtime.GOMAXPROCS(0)),
		fmt.Sprintf("CREATE TABLE readings AS SELECT c.range::INTEGER AS customer, TIMESTAMP '2026-10-01' + INTERVAL (i.range * 15) MINUTE AS start, ((c.range * 7919 + i.range * 104729) %% 9000000 + 100000)::BIGINT AS energy FROM range(%d) i, range(%d) c", tenantSlots, t.customers),
		fmt.Sprintf("CREATE TABLE allocations AS SELECT c.range::INTEGER AS customer, TIMESTAMP '2026-10-01' + INTERVAL (h.range) HOUR AS start, TIMESTAMP '2026-10-01' + INTERVAL (h.range + 1) HOUR AS until, ((c.range + h.range) %% 8 + 1)::INTEGER AS gpus FROM range(%d) h, range(%d) c", tenantHours, t.customers),
		fmt.Sprintf("CREATE TABLE prices AS SELECT TIMESTAMP '2026-10-01' + INTERVAL (range * 15) MINUTE AS start, ((range * 31) %% 9000)::BIGINT AS cents FROM range(%d)", tenantSlots),
	} {
		if _, err := db.Exec(s); err != nil {
			b.Fatal(err)
		}
	}
	return db
}

func (t *tenants) sql(b *testing.B, db *sql.DB) []due {
	rows, err := db.Query(aggregate)
	if err != nil {
		b.Fatal(err)
	}
	defer rows.Close()
	var all []due
	cents := func(num *big.Int, den int64) int64 {
		m, err := domain.Currency("USD").Round(domain.RoundRat(new(big.Rat).SetFrac(num, big.NewInt(den)), 2))
		if err != nil {
			b.Fatal(err)
		}
		return m.Minor
	}
	for rows.Next() {
		var customer int64
		var energy, amount, beyond *big.Int
		if err := rows.Scan(&customer, &energy, &amount, &beyond); err != nil {
			b.Fatal(err)
		}
		all = append(all, due{
			power:   cents(amount.Mul(amount, big.NewInt(tenantGross)), 1000*100*int64(domain.MegawattHour)), // mWh × cents
			overage: cents(beyond.Mul(beyond, big.NewInt(275)), 100*int64(domain.GPUHour)),
		})
	}
	if err := rows.Err(); err != nil {
		b.Fatal(err)
	}
	return all
}

// BenchmarkInvoiceRun folds a month of many customers and drafts its invoices,
// and compares them to the cent with the bare aggregation of the same rows in
// DuckDB, which is the yardstick.
func BenchmarkInvoiceRun(b *testing.B) {
	period, err := domain.ParsePeriod(tenantPeriod)
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{1000, 10_000} {
		t := newTenants(n)
		want := make([]due, n)
		b.Run(fmt.Sprintf("customers=%d/v=duckdb", n), func(b *testing.B) {
			db := t.load(b)
			defer db.Close()
			for b.Loop() {
				want = t.sql(b, db)
			}
			b.ReportMetric(float64(n)*tenantSlots*float64(b.N)/b.Elapsed().Seconds(), "readings/s")
		})
		b.Run(fmt.Sprintf("customers=%d/v=wattbook", n), func(b *testing.B) {
			dir, most, mapped := b.TempDir(), uint64(0), int64(0)
			for b.Loop() {
				most = max(most, peak(func() {
					area := scratch.In(dir, 64<<20)
					defer func() {
						mapped = area.Mapped()
						if err := errors.Join(area.Failed(), area.Close()); err != nil {
							b.Fatal(err)
						}
					}()
					got, err := t.draft(area, period)
					if err != nil {
						b.Fatal(err)
					}
					for c := range got {
						if want[c] != got[c] && want[c] != (due{}) {
							b.Fatalf("customer %d: SQL says %+v, the invoice says %+v", c, want[c], got[c])
						}
					}
				}))
			}
			b.ReportMetric(float64(n)*tenantSlots*float64(b.N)/b.Elapsed().Seconds(), "readings/s")
			b.ReportMetric(float64(most)/1e6, "peak-heap-MB")
			b.ReportMetric(float64(mapped)/1e6, "scratch-MB")
		})
	}
}

// draft folds the month and drafts its invoices, as a run does: the events are
// made beside the fold, as those of a log are decoded beside it.
func (t *tenants) draft(area *scratch.Area, period domain.Period) ([]due, error) {
	f := facts.In(area)
	made := make(chan []domain.Recorded, 1)
	go func() {
		defer close(made)
		var batch []domain.Recorded
		for rec := range t.events() {
			_, poll := rec.Event.(domain.ReadingsRecorded)
			if batch = append(batch, rec); poll || len(batch) == madeTogether {
				made <- batch
				batch = make([]domain.Recorded, 0, madeTogether)
			}
		}
		made <- batch
	}()
	var failed error
	for batch := range made {
		for _, rec := range batch {
			if failed == nil {
				failed = f.Apply(rec)
			}
		}
	}
	if failed != nil {
		return nil, failed
	}
	s := settlement.Settler{Facts: f}
	contracts, drafts, err := s.Drafts("s", period)
	if err != nil {
		return nil, err
	}
	if len(contracts) != t.customers {
		return nil, fmt.Errorf("%d contracts of %d customers", len(contracts), t.customers)
	}
	all := make([]due, t.customers)
	for i, id := range contracts {
		c, err := strconv.Atoi(string(id[1:]))
		if err != nil || len(drafts[i].Lines) != 3 {
			return nil, fmt.Errorf("%s: %d lines, %w", id, len(drafts[i].Lines), err)
		}
		all[c] = due{power: drafts[i].Lines[2].Amount.Minor, overage: drafts[i].Lines[1].Amount.Minor}
	}
	return all, nil
}
