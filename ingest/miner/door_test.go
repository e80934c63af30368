package miner_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/wire"
	"wattbook/fixtures/fake"
	"wattbook/ingest"
	"wattbook/ingest/miner"
)

// discarded keeps no evidence.
type discarded struct{}

func (discarded) Put(_ context.Context, raws ...[]byte) ([]domain.Digest, func() error, error) {
	ds := make([]domain.Digest, len(raws))
	for i, r := range raws {
		ds[i] = domain.DigestOf(r)
	}
	return ds, func() error { return nil }, nil
}

// outages are the polls of a miner that was silent once and restarted twice.
var outages = []struct {
	minute  int64 // of the boundary
	elapsed int64
	fault   fake.MinerFault
}{
	{0, 1000, fake.MinerFaultNone},
	{5, 1300, fake.MinerFaultNone},
	{10, 1600, fake.MinerFaultSilent},
	{15, 1900, fake.MinerFaultNone},
	{20, 100, fake.MinerFaultNone},
	{25, 400, fake.MinerFaultNone},
	{125, 5900, fake.MinerFaultNone},
}

// TestWorkIsBookedOnce polls a miner of 100 TH/s through outages, into a log.
// The second restart falls into a long outage: when the miner answers again it
// has counted more than before, so that only Elapsed tells. The boundaries are
// those of a simulated clock, which no start may be taken from but theirs.
func TestWorkIsBookedOnce(t *testing.T) {
	for _, row := range []struct {
		dialect int // index in dialects
		want    []string
	}{
		{0, []string{
			"shares.accepted 0m first 0", "hashes 0m first 0",
			"shares.accepted 0m-5m normal 690000000000000", "hashes 0m-5m normal 30000000000000000",
			"shares.accepted 10m silent 0", "hashes 10m silent 0",
			"shares.accepted 5m-15m gap 1380000000000000", "hashes 5m-15m gap 60000000000000000",
			"shares.accepted 15m-20m reset 230000000000000", "hashes 15m-20m reset 10000000000000000",
			"shares.accepted 20m-25m normal 690000000000000", "hashes 20m-25m normal 30000000000000000",
			"shares.accepted 25m-125m reset 13570000000000000", "hashes 25m-125m reset 590000000000000000",
		}},
		{2, []string{
			"shares.accepted 0m first 0", "hashes -5m-0m delivered 30000000000000000",
			"shares.accepted 0m-5m normal 690000000000000", "hashes 0m-5m delivered 30000000000000000",
			"shares.accepted 10m silent 0", "hashes 10m silent 0",
			"shares.accepted 5m-15m gap 1380000000000000", "hashes 10m-15m delivered 30000000000000000",
			"shares.accepted 15m-20m reset 230000000000000", "hashes 15m-20m delivered 10000000000000000",
			"shares.accepted 20m-25m normal 690000000000000", "hashes 20m-25m delivered 30000000000000000",
			"shares.accepted 25m-125m reset 13570000000000000", "hashes 120m-125m delivered 30000000000000000",
		}},
	} {
		d := dialects[row.dialect]
		t.Run(d.name, func(t *testing.T) {
			var mu sync.Mutex
			var state fake.MinerState
			server := serve(t, d.fake, func() (fake.MinerState, error) {
				mu.Lock()
				defer mu.Unlock()
				return state, nil
			})
			src := source(t, 200*time.Millisecond, miner.Miner{Device: "rack-01", Address: server.Addr(), Dialect: d.speak})
			log := eventlog.NewMem(func() domain.Instant { return observed })
			door, err := ingest.OpenDoor(t.Context(), log, discarded{}, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			record(t, door, boundary, ingest.Delivery{Source: "config", Facts: ingest.Facts{
				domain.SiteRegistered{Site: "cedar-bend", Step: 5 * domain.Minute, Currency: "USD", Node: "hb_south", RevenueMeter: "m1"},
				domain.DeviceRegistered{Site: "cedar-bend", Device: "rack-01", Kind: domain.KindMiner, Under: "m1", Use: domain.UseMining, Units: 1, RatedHashes: domain.Int(120_000_000_000_000)},
			}})
			for _, p := range outages {
				at := boundary.Add(domain.Duration(p.minute) * domain.Minute)
				mu.Lock()
				state = fake.MinerState{
					Now: at, Elapsed: p.elapsed, Fault: p.fault,
					Hashes:          domain.Int(100_000_000_000_000).MulDiv(p.elapsed, 1),
					HashesPerSecond: domain.Int(100_000_000_000_000),
					ShareDifficulty: domain.Int(23_000*domain.ShareUnit).MulDiv(p.elapsed, 1),
				}
				mu.Unlock()
				del, err := src.Poll(t.Context(), at)
				if err != nil {
					t.Fatal(err)
				}
				record(t, door, at, del)
			}
			if diff := cmp.Diff(row.want, booked(t, log)); diff != "" {
				t.Errorf("readings (-want +got):\n%s", diff)
			}
		})
	}
}

// record records a delivery, all of which must be acceptable.
func record(t *testing.T, door *ingest.Door, at domain.Instant, d ingest.Delivery) {
	t.Helper()
	r, err := door.Record(t.Context(), ingest.Round{Site: "cedar-bend", At: at, Deliveries: []ingest.Delivery{d}})
	if err != nil || r.Rejected > 0 || r.Conflicts > 0 {
		t.Fatalf("record: %s, %v", r, err)
	}
}

// booked returns every reading on record, in words.
func booked(t *testing.T, log eventlog.Log) []string {
	t.Helper()
	var out []string
	minute := func(at domain.Instant) string { return fmt.Sprintf("%dm", at.Sub(boundary)/domain.Minute) }
	for r, err := range log.ReadAll(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		rec, err := wire.Open(r)
		if err != nil {
			t.Fatal(err)
		}
		e, ok := rec.Event.(domain.ReadingsRecorded)
		if !ok {
			continue
		}
		for _, r := range e.Readings {
			when := minute(r.Interval.Start)
			if r.Interval.Valid() {
				when += "-" + minute(r.Interval.End)
			}
			out = append(out, fmt.Sprintf("%s %s %s %s", r.Channel, when, r.Mark, r.Value))
		}
	}
	return out
}
