package main

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/eventlog/proof"
	"wattbook/domain/wire"
	"wattbook/ingest/pebblelog"
	"wattbook/projections"
	"wattbook/projections/facts"
)

// own measures what only this log does: readings in batches, the check of the
// whole history, replay and proofs.
func own(dir string, length time.Duration) error {
	ctx := context.Background()
	fmt.Println("\nTHE LOG ITSELF")
	at := filepath.Join(dir, "readings")
	var polled atomic.Int64 // the clock: readings arrive when they are due
	polled.Store(int64(firstPoll))
	clock := func() domain.Instant { return domain.Instant(polled.Load()) }
	log, err := openPebbleAt(at, clock)
	if err != nil {
		return err
	}
	if err := setUp(ctx, log); err != nil {
		return err
	}
	rate, err := readings(ctx, log, &polled, 3*length)
	if err != nil {
		return err
	}
	aim("readings recorded durably, a second", rate, 3_000_000)
	head, err := log.Head(ctx)
	if err != nil {
		return err
	}
	if err := log.Close(); err != nil {
		return err
	}
	if log, err = openPebbleAt(at, clock); err != nil { // as the next process finds it
		return err
	}
	n := float64(head-2) * rows
	// A backup is the log without the write-ahead files, which are as large
	// whatever is in it.
	if err := log.Backup(filepath.Join(at, "backup")); err != nil {
		return err
	}
	size, err := bytesOf(filepath.Join(at, "backup"))
	if err != nil {
		return err
	}
	aimBelow("bytes on the disk for a reading", float64(size)/n, 10)

	start := time.Now()
	f := facts.New()
	if _, err := projections.Fold(ctx, log, 0, projections.Head, f); err != nil {
		return err
	}
	aim("readings replayed through the facts, a second", n/time.Since(start).Seconds(), 15_000_000)
	if err := log.Close(); err != nil {
		return err
	}

	events := filepath.Join(dir, "events")
	if log, err = openPebble(events); err != nil {
		return err
	}
	if err := filled(ctx, log, 500_000); err != nil {
		return err
	}
	start = time.Now()
	v, err := proof.Verify(ctx, log, log, nil, nil)
	if err != nil {
		return err
	}
	aim("events of the whole history verified, a second", float64(v.Events)/time.Since(start).Seconds(), 1_500_000)
	fmt.Printf("  %-44s %14s\n", "  of which hashing allows, on one core", short(hashing()))
	micros, err := proofs(log)
	if err != nil {
		return err
	}
	aimBelow("microseconds to prove an event and check it", micros, 15)
	return log.Close()
}

// rows is how many readings are in a batch: one for each device of a site.
const rows = 1000

func setUp(ctx context.Context, log eventlog.Log) error {
	for _, e := range []domain.Event{
		domain.SiteRegistered{Site: "s", Name: "s", Zone: "UTC", Step: 5 * domain.Minute, Currency: "USD", Node: "n", RevenueMeter: "m000"},
		domain.DeviceRegistered{Site: "s", Device: "m000", Kind: domain.KindMeter, Units: 1, RatedPower: domain.Megawatt},
	} {
		draft, err := wire.Draft(domain.EventIDOf("bench", fmt.Sprint(e)), e, nil)
		if err != nil {
			return err
		}
		if _, err := log.Append(ctx, eventlog.Write{Stream: "site-s", Expect: eventlog.Any, Events: []eventlog.Draft{draft}}); err != nil {
			return err
		}
	}
	return nil
}

// firstPoll is the boundary of the first poll.
const firstPoll = domain.Instant(1_790_812_800 * 1_000_000)

// batchOf is a regular poll: each device draws about what it always does.
func batchOf(rng *rand.Rand, poll int, registers []int64) domain.ReadingsRecorded {
	at := firstPoll.Add(5 * domain.Minute * domain.Duration(poll))
	e := domain.ReadingsRecorded{Site: "s", At: at, Origin: domain.Origin{Source: "meters", Observed: at, Decoder: "sunspec/1", Evidence: domain.DigestOf(fmt.Append(nil, poll))}}
	e.Readings = make([]domain.Reading, rows)
	for i := range e.Readings {
		moved := 280 + rng.Int64N(10) // watt-hours in five minutes, of a machine of 3.4 kW
		registers[i] += moved
		e.Readings[i] = domain.Reading{
			Device: domain.DeviceID(fmt.Sprintf("m%03d", i)), Channel: domain.ChannelEnergyImport,
			Interval: domain.Interval{Start: at.Add(-5 * domain.Minute), End: at},
			Value:    domain.Int(moved * 1000), Register: domain.Int(registers[i]), Mark: domain.MarkNormal, Provenance: domain.ProvenanceSubMeter,
		}
	}
	return e
}

// readings appends polls of a thousand devices, by several producers that
// encode side by side, and returns readings a second.
func readings(ctx context.Context, log eventlog.Log, polled *atomic.Int64, length time.Duration) (float64, error) {
	const polls = 1024 // made before, so that only encoding and appending is measured
	rng, registers := rand.New(rand.NewPCG(1, 1)), make([]int64, rows)
	batches := make([]domain.ReadingsRecorded, polls)
	for i := range batches {
		batches[i] = batchOf(rng, i, registers)
	}
	var next, done atomic.Int64
	var failed atomic.Value
	var wg sync.WaitGroup
	start := time.Now()
	for range 8 {
		wg.Go(func() {
			for time.Since(start) < length {
				n := next.Add(1) - 1
				batch := batches[n%polls]
				shift := domain.Duration(n/polls) * polls * 5 * domain.Minute
				batch.At = batch.At.Add(shift)
				if shift > 0 {
					batch.Readings = slices.Clone(batch.Readings)
					for i := range batch.Readings {
						iv := &batch.Readings[i].Interval
						iv.Start, iv.End = iv.Start.Add(shift), iv.End.Add(shift)
					}
				}
				polled.Store(int64(batch.At))
				draft, err := wire.Draft(domain.EventIDOf("poll", fmt.Sprint(n)), batch, nil)
				if err == nil {
					_, err = log.Append(ctx, eventlog.Write{Stream: "readings-s.meters", Expect: eventlog.Any, Events: []eventlog.Draft{draft}})
				}
				if err != nil {
					failed.Store(err)
					return
				}
				done.Add(rows)
			}
		})
	}
	wg.Wait()
	if err, ok := failed.Load().(error); ok {
		return 0, err
	}
	return float64(done.Load()) / time.Since(start).Seconds(), nil
}

func filled(ctx context.Context, log *pebblelog.Log, n int) error {
	s := &ourLog{log: log}
	pool := payloads(1, 1000)
	for range n / len(pool) {
		if err := s.add(ctx, 0, pool); err != nil {
			return err
		}
	}
	return nil
}

// hashing returns for how many events a second one core can do what no
// verification can do without: SHA-256 of the payload, of the leaf and of a
// node.
func hashing() float64 {
	const n = 200_000
	payload, leaf, node := make([]byte, 256), eventlog.AppendLeaf(nil, eventlog.Record{Stream: "things-0", Type: "thing.happened/1"}, domain.Digest{}), make([]byte, 65)
	start := time.Now()
	for i := range n {
		payload[0], leaf[0], node[0] = byte(i), byte(i), byte(i)
		for _, b := range [][]byte{payload, leaf, node} {
			_ = domain.DigestOf(b)
		}
	}
	return n / time.Since(start).Seconds()
}

// proofs returns how many microseconds it takes to build and check the proof
// that an event is in the log.
func proofs(log *pebblelog.Log) (float64, error) {
	size, root, err := log.Tree()
	if err != nil {
		return 0, err
	}
	rng := rand.New(rand.NewPCG(1, 2))
	const n = 20_000
	start := time.Now()
	for range n {
		at := rng.Int64N(int64(size))
		p, err := tlog.ProveRecord(int64(size), at, log)
		if err != nil {
			return 0, err
		}
		h, err := log.ReadHashes([]int64{tlog.StoredHashIndex(0, at)})
		if err != nil {
			return 0, err
		}
		if err := tlog.CheckRecord(p, int64(size), root, at, h[0]); err != nil {
			return 0, err
		}
	}
	return float64(time.Since(start).Microseconds()) / n, nil
}

func bytesOf(dir string) (total int64, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := os.Stat(path)
		if err == nil {
			total += info.Size()
		}
		return err
	})
	return total, err
}
