package ingest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/wire"
	"wattbook/ingest"
)

const (
	site = domain.SiteID("cedar-bend")
	step = 5 * domain.Minute
)

var t0 = domain.Unix(1_790_812_800) // 2026-10-01T00:00:00Z

// blobs keeps evidence in memory.
type blobs map[domain.Digest][]byte

func (b blobs) Put(_ context.Context, raws ...[]byte) ([]domain.Digest, func() error, error) {
	ds := make([]domain.Digest, len(raws))
	for i, r := range raws {
		ds[i] = domain.DigestOf(r)
		b[ds[i]] = r
	}
	return ds, func() error { return nil }, nil
}

// bench is a door on a log in memory, with a site of one meter and one miner.
type bench struct {
	t    testing.TB
	log  eventlog.Log
	kept blobs
	door *ingest.Door
}

func newBench(t testing.TB) *bench {
	b := &bench{t: t, log: eventlog.NewMem(func() domain.Instant { return t0 }), kept: blobs{}}
	b.reopen()
	b.record(t0, ingest.Delivery{Source: "config", Facts: ingest.Facts{
		domain.SiteRegistered{Site: site, Step: step, Currency: "USD", Node: "hb_south", RevenueMeter: "m1"},
		domain.DeviceRegistered{Site: site, Device: "m1", Kind: domain.KindMeter, Units: 1, RatedPower: 12 * domain.Megawatt},
		domain.DeviceRegistered{Site: site, Device: "r1", Kind: domain.KindMiner, Under: "m1", Use: domain.UseMining, Units: 60, RatedHashes: domain.Int(15_000_000_000_000_000)},
	}})
	return b
}

// reopen throws the door's memory away, as a restart does.
func (b *bench) reopen() {
	b.t.Helper()
	door, err := ingest.OpenDoor(context.Background(), b.log, b.kept, slog.New(slog.DiscardHandler))
	if err != nil {
		b.t.Fatal(err)
	}
	b.door = door
}

// told returns what the door says to the operator while something is done.
func (b *bench) told(do func()) []string {
	b.t.Helper()
	var out bytes.Buffer
	door, err := ingest.OpenDoor(context.Background(), b.log, b.kept, slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == "site" {
				return slog.Attr{}
			}
			return a
		},
	})))
	if err != nil {
		b.t.Fatal(err)
	}
	b.door = door
	do()
	return strings.Split(strings.TrimSpace(out.String()), "\n")
}

func (b *bench) record(at domain.Instant, ds ...ingest.Delivery) ingest.Report {
	b.t.Helper()
	r, err := b.door.Record(context.Background(), ingest.Round{Site: site, At: at, Deliveries: ds})
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// readings returns every reading on record, in words.
func (b *bench) readings() []string {
	var out []string
	for _, e := range events[domain.ReadingsRecorded](b) {
		for _, r := range e.Readings {
			out = append(out, fmt.Sprintf("%s %s %s+%s %s %s", r.Device, r.Channel, r.Interval.Start.Sub(t0), r.Interval.Length(), r.Mark, r.Value))
		}
	}
	return out
}

func events[E domain.Event](b *bench) []E {
	b.t.Helper()
	var all []E
	for r, err := range b.log.ReadAll(context.Background(), 0) {
		if err != nil {
			b.t.Fatal(err)
		}
		rec, err := wire.Open(r)
		if err != nil {
			b.t.Fatal(err)
		}
		if e, ok := rec.Event.(E); ok {
			all = append(all, e)
		}
	}
	return all
}

// meter is a delivery of one watt-hour register.
func meter(wh int64) ingest.Delivery {
	return ingest.Delivery{Source: "meters", Decoder: "test/1", Raw: fmt.Appendf(nil, "m1 %d", wh), Samples: []ingest.Sample{{
		Device: "m1", Channel: domain.ChannelEnergyImport, Provenance: domain.ProvenanceRevenueMeter,
		Scale: ingest.Scale{Num: 1000, Den: 1, Modulus: domain.Uint(1 << 32), ZeroIsNull: true}, Register: domain.Int(wh),
	}}}
}

func value(start, length domain.Duration, mwh int64) ingest.Value {
	return ingest.Value{
		Device: "m1", Channel: domain.ChannelEnergyImport, Provenance: domain.ProvenanceSubMeter,
		Interval: domain.Interval{Start: t0.Add(start), End: t0.Add(start + length)}, Value: domain.Int(mwh),
	}
}

func TestRegistersBecomeReadings(t *testing.T) {
	b := newBench(t)
	b.record(t0, meter(5_000_000))
	b.record(t0.Add(step), meter(5_800_000))
	b.reopen()
	b.record(t0.Add(2*step), ingest.Delivery{Source: "meters", Silent: []ingest.Silence{{Device: "m1", Channel: domain.ChannelEnergyImport, Reason: "timeout"}}})
	b.reopen()
	b.record(t0.Add(3*step), meter(0))
	b.reopen()
	b.record(t0.Add(4*step), meter(8_200_000))
	want := []string{
		"m1 energy.import 0s+0s first 0",
		"m1 energy.import 0s+5m0s normal 800000000",
		"m1 energy.import 10m0s+0s silent 0",
		"m1 energy.import 15m0s+0s glitch 0",
		"m1 energy.import 5m0s+15m0s gap 2400000000",
	}
	if diff := cmp.Diff(want, b.readings()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := b.door.Polled(site); got != t0.Add(4*step) {
		t.Errorf("polled until %s", got)
	}
}

func TestEvidenceIsKeptForWhatIsRecorded(t *testing.T) {
	b := newBench(t)
	b.record(t0, meter(5_000_000))
	e := events[domain.ReadingsRecorded](b)[0]
	if got := string(b.kept[e.Origin.Evidence]); got != "m1 5000000" {
		t.Errorf("evidence is %q", got)
	}
	if e.Origin.Decoder != "test/1" || e.Origin.Source != "meters" {
		t.Errorf("origin is %+v", e.Origin)
	}
}

func TestTheSameRoundAgainRecordsNothing(t *testing.T) {
	b := newBench(t)
	b.record(t0, meter(5_000_000))
	b.record(t0.Add(step), meter(5_800_000))
	head, _ := b.log.Head(t.Context())
	for range 2 {
		if r := b.record(t0.Add(step), meter(5_800_000)); r.Events != 0 || r.Duplicates != 1 {
			t.Errorf("report %+v", r)
		}
		b.reopen()
	}
	if after, _ := b.log.Head(t.Context()); after != head {
		t.Errorf("the log grew from %d to %d", head, after)
	}
}

// TestASilenceAndAContradictionAreRecordedOnce delivers a boundary again, after
// a restart and with something new beside it.
func TestASilenceAndAContradictionAreRecordedOnce(t *testing.T) {
	b := newBench(t)
	silent := meter(5_000_000)
	silent.Silent = []ingest.Silence{{Device: "r1", Channel: domain.ChannelShares, Reason: "timeout"}}
	b.record(t0, silent)
	b.record(t0.Add(step), meter(5_010_000))
	contradicts := meter(5_020_000)
	b.record(t0, contradicts)
	want := b.readings()
	for range 2 {
		b.reopen()
		if r := b.record(t0, silent); r.Readings != 0 || r.Duplicates != 2 {
			t.Errorf("the same round again: %s", r)
		}
		contradicts.Silent = silent.Silent
		if r := b.record(t0, contradicts); r.Readings != 0 || r.Duplicates != 2 {
			t.Errorf("the same contradiction again: %s", r)
		}
	}
	if diff := cmp.Diff(want, b.readings()); diff != "" {
		t.Errorf("readings (-want +got):\n%s", diff)
	}
}

func TestAnotherRegisterForAPassedBoundaryIsAConflictOnRecord(t *testing.T) {
	b := newBench(t)
	b.record(t0, meter(5_000_000))
	b.record(t0.Add(step), meter(5_800_000))
	for _, wh := range []int64{5_900_000, 5_950_000} {
		if r := b.record(t0.Add(step), meter(wh)); r.Marks[domain.MarkConflict] != 1 {
			t.Errorf("report %+v", r)
		}
	}
	b.record(t0.Add(2*step), meter(6_600_000))
	want := []string{
		"m1 energy.import 0s+0s first 0",
		"m1 energy.import 0s+5m0s normal 800000000",
		"m1 energy.import 5m0s+0s conflict 0",
		"m1 energy.import 5m0s+0s conflict 0",
		"m1 energy.import 5m0s+5m0s normal 800000000",
	}
	if diff := cmp.Diff(want, b.readings()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLateValuesFillHolesAndContradictionsDoNotCount(t *testing.T) {
	b := newBench(t)
	file := func(corrects bool, values ...ingest.Value) ingest.Delivery {
		return ingest.Delivery{Source: "file", Values: values, Corrects: corrects}
	}
	b.record(t0, file(false, value(0, step, 100), value(2*step, step, 300)))
	b.reopen()
	r := b.record(t0.Add(step), file(false, value(0, step, 100), value(step, step, 200), value(2*step, step, 301)))
	if r.Duplicates != 1 || r.Marks[domain.MarkDelivered] != 1 || r.Marks[domain.MarkConflict] != 1 {
		t.Errorf("report %s", r)
	}
	b.record(t0.Add(2*step), file(true, value(2*step, step, 302), value(step, step, 200)))
	want := []string{
		"m1 energy.import 0s+5m0s delivered 100",
		"m1 energy.import 10m0s+5m0s delivered 300",
		"m1 energy.import 5m0s+5m0s delivered 200",
		"m1 energy.import 10m0s+5m0s conflict 301",
		"m1 energy.import 10m0s+5m0s corrected 302",
	}
	if diff := cmp.Diff(want, b.readings()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTheSameIntervalTwiceInOneFileIsAConflict(t *testing.T) {
	b := newBench(t)
	r := b.record(t0, ingest.Delivery{Source: "file", Values: []ingest.Value{value(0, step, 100), value(0, step, 101)}})
	if r.Marks[domain.MarkDelivered] != 1 || r.Marks[domain.MarkConflict] != 1 {
		t.Errorf("report %s", r)
	}
}

func TestWhatCannotBeIsRejectedOnRecord(t *testing.T) {
	unknown := meter(5)
	unknown.Samples[0].Device = "m9"
	negative := meter(-5)
	b := newBench(t)
	b.record(t0, meter(5_000_000))
	for _, c := range []struct {
		why string
		at  domain.Instant
		d   ingest.Delivery
	}{
		{"m9: device m9 is not registered at cedar-bend", t0, unknown},
		{"m1: register -5 of energy.import is outside 0 to 2^96", t0, negative},
		{"m1: boundary 2026-10-01T00:00:01Z is not a multiple of the site's step 5m0s", t0.Add(domain.Second), meter(6)},
		{"m1: interval [2026-10-01T00:00:01Z, 2026-10-01T00:05:00Z) of m1 is not a multiple of the site's step 5m0s; begin and end intervals at multiples of it", t0, ingest.Delivery{Source: "file", Values: []ingest.Value{value(domain.Second, step-domain.Second, 1)}}},
		{"m1: value 9000000 kWh of m1 energy.import over [2026-10-01T00:00:00Z, 2026-10-01T00:05:00Z) is more than the device can do, 1000.000001 kWh", t0, ingest.Delivery{Source: "file", Values: []ingest.Value{value(0, step, 9_000_000_000_000)}}},
		{"fact 1: price series at 2026-10-01T00:00:00Z has no prices", t0, ingest.Delivery{Source: "feed", Facts: ingest.Facts{domain.PowerPriced{Node: "n", Currency: "USD", Series: domain.PriceSeries{Start: t0, Step: step}}}}},
		{"c1: it said\u00a0nonsense", t0, ingest.Delivery{Source: "miners", Raw: []byte("\x00\xff"), Rejected: []ingest.Rejection{{Device: "c1", Reason: "it said\u00a0nonsense"}}}},
	} {
		before := len(events[domain.ObservationRejected](b))
		if r := b.record(c.at, c.d); r.Rejected != 1 || r.Readings != 0 {
			t.Errorf("%s: report %s", c.why, r)
		}
		all := events[domain.ObservationRejected](b)
		if len(all) != before+1 || all[before].Reason != c.why {
			t.Errorf("want %q, got %+v", c.why, all[before:])
		}
	}
	if got := len(b.readings()); got != 1 {
		t.Errorf("%d readings on record, want 1", got)
	}
}

func prices(start domain.Duration, corrects bool, ps ...string) domain.PowerPriced {
	e := domain.PowerPriced{Node: "hb_south", Currency: "USD", Series: domain.PriceSeries{Start: t0.Add(start), Step: 15 * domain.Minute}, Corrects: corrects}
	for _, p := range ps {
		e.Series.Prices = append(e.Series.Prices, domain.MustDecimal(p))
	}
	return e
}

func TestPricesAreFactsIntervalByInterval(t *testing.T) {
	const q = 15 * domain.Minute
	b := newBench(t)
	feed := func(e domain.PowerPriced, corrects bool) ingest.Report {
		b.reopen()
		return b.record(t0, ingest.Delivery{Source: "feed", Observed: t0, Corrects: corrects, Facts: ingest.Facts{e}})
	}
	feed(prices(0, false, "41.27", "40"), false)
	if r := feed(prices(0, false, "41.270", "40.0"), false); r.Events != 0 || r.Duplicates != 2 {
		t.Errorf("the same prices, written otherwise: %s", r)
	}
	feed(prices(q, false, "40", "39", "-5"), false) // known, new, new
	for range 3 {
		feed(prices(0, false, "4127", "40"), false) // a contradiction, offered at every poll
	}
	feed(prices(0, true, "41.28", "40", "38.5", "-5"), true)
	var got []string
	for _, e := range events[domain.PowerPriced](b) {
		got = append(got, fmt.Sprint(e.Series.Start.Sub(t0), e.Series.Prices, e.Corrects))
	}
	want := []string{"0s [41.27 40] false", "30m0s [39 -5] false", "0s [41.28] true", "30m0s [38.5] true"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	conflicts := events[domain.FactConflicted](b)
	if len(conflicts) != 1 || conflicts[0].Known != "41.27" || conflicts[0].Offered != "4127" {
		t.Errorf("conflicts: %+v", conflicts)
	}
	// A price may be restated back to what it was.
	feed(prices(0, true, "41.27"), true)
	if n := len(events[domain.PowerPriced](b)); n != 5 {
		t.Errorf("%d prices on record, want 5", n)
	}
}

func TestABillIsRestatedOnlyByASourceThatCorrects(t *testing.T) {
	b := newBench(t)
	bill := domain.UtilityBilled{Site: site, Interval: domain.Interval{Start: t0, End: t0.Add(domain.Day)}, At: t0, Reference: "INV-77"}
	feed := func(minor int64, corrects bool) ingest.Report {
		bill.Amount = domain.Money{Minor: minor, Currency: "USD"}
		r := b.record(t0, ingest.Delivery{Source: domain.SourceID(fmt.Sprint("file.", minor)), Facts: ingest.Facts{bill}, Corrects: corrects})
		b.reopen()
		return r
	}
	if r := feed(100, true); r.Facts != 1 {
		t.Errorf("the first: %s", r)
	}
	for _, corrects := range []bool{true, false} {
		if r := feed(100, corrects); r.Facts != 0 || r.Duplicates != 1 {
			t.Errorf("the same: %s", r)
		}
	}
	if r := feed(90, false); r.Facts != 0 || r.Conflicts != 1 {
		t.Errorf("another amount: %s", r)
	}
	for range 2 {
		if r := feed(90, true); r.Facts+r.Duplicates != 1 || r.Conflicts != 0 {
			t.Errorf("a correction: %s", r)
		}
	}
	var got []string
	for _, e := range events[domain.UtilityBilled](b) {
		got = append(got, fmt.Sprint(e.Amount, " ", e.Corrects))
	}
	if diff := cmp.Diff([]string{"1.00 USD false", "0.90 USD true"}, got); diff != "" {
		t.Errorf("bills (-want +got):\n%s", diff)
	}
}

func TestAStatementOfTheSameDayReplacesTheEarlierOne(t *testing.T) {
	b := newBench(t)
	s := domain.PoolStatementReceived{Pool: "foundry", Account: "cedarbend", Interval: domain.Interval{Start: t0, End: t0.Add(domain.Day)}, Net: 100}
	for _, net := range []domain.Satoshi{100, 100, 90, 90} {
		s.Net = net
		b.record(t0, ingest.Delivery{Source: "pool", Facts: ingest.Facts{s}})
		b.reopen()
	}
	if got := events[domain.PoolStatementReceived](b); len(got) != 2 || got[1].Net != 90 {
		t.Errorf("statements: %+v", got)
	}
}

// faulty fails some appends, before or after they were recorded.
type faulty struct {
	eventlog.Log
	before, after bool
}

var errFault = errors.New("the disk went away")

func (f *faulty) Append(ctx context.Context, ws ...eventlog.Write) (eventlog.Receipt, error) {
	if f.before {
		return eventlog.Receipt{}, errFault
	}
	r, err := f.Log.Append(ctx, ws...)
	if f.after && err == nil {
		return eventlog.Receipt{}, errFault
	}
	return r, err
}

// TestNoReadingIsLostOrDoubledWhateverFails delivers random rounds to a log
// that fails before or after it recorded, retries or restarts at random, and
// checks that every interval is on record exactly once with its energy.
func TestNoReadingIsLostOrDoubledWhateverFails(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := newBench(t)
		f := &faulty{Log: b.log}
		b.log = f
		b.reopen()
		register, want := int64(1000), int64(0)
		b.record(t0, meter(register))
		polls := rapid.IntRange(1, 12).Draw(rt, "polls")
		for i := range polls {
			move := rapid.Int64Range(0, 1_000_000).Draw(rt, "move")
			register, want = register+move, want+move*1000
			at := t0.Add(step * domain.Duration(i+1))
			for try := 0; ; try++ {
				if try < 3 {
					f.before = rapid.Bool().Draw(rt, "fails before")
					f.after = rapid.Bool().Draw(rt, "fails after")
				} else {
					f.before, f.after = false, false
				}
				_, err := b.door.Record(context.Background(), ingest.Round{Site: site, At: at, Deliveries: []ingest.Delivery{meter(register), {Source: "feed", Facts: ingest.Facts{prices(domain.Duration(i)*15*domain.Minute, false, "1")}}}})
				if err == nil {
					break
				}
				if !errors.Is(err, errFault) {
					rt.Fatal(err)
				}
				if rapid.Bool().Draw(rt, "restarts") {
					b.reopen()
					if b.door.Polled(site) >= at {
						break // it was recorded after all, and polling goes on
					}
				}
			}
		}
		got := int64(0)
		for i, e := range events[domain.ReadingsRecorded](b) {
			if at := t0.Add(step * domain.Duration(i)); e.At != at {
				rt.Fatalf("batch %d is for %s, want %s", i, e.At, at)
			}
			v, _ := e.Readings[0].Value.Int64()
			got += v
		}
		if got != want {
			rt.Fatalf("booked %d mWh, want %d", got, want)
		}
		if n := len(events[domain.PowerPriced](b)); n > polls {
			rt.Fatalf("%d prices on record, want at most %d", n, polls)
		}
	})
}

func TestASecondDoorIsNoticed(t *testing.T) {
	b := newBench(t)
	b.record(t0, meter(5_000_000))
	other := &bench{t: t, log: b.log, kept: b.kept}
	other.reopen()
	other.record(t0.Add(step), meter(5_800_000))
	// The first door learns what the second recorded and goes on from there.
	b.record(t0.Add(2*step), meter(6_600_000))
	want := []string{
		"m1 energy.import 0s+0s first 0",
		"m1 energy.import 0s+5m0s normal 800000000",
		"m1 energy.import 5m0s+5m0s normal 800000000",
	}
	if diff := cmp.Diff(want, b.readings()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRoundsThatCanNeverBeRecordedAreParked(t *testing.T) {
	b := newBench(t)
	_, err := b.door.Record(t.Context(), ingest.Round{Site: "No Such Site", At: t0})
	if !errors.Is(err, ingest.ErrUnrecordable) {
		t.Errorf("got %v", err)
	}
	payload := []byte(`{"site":"No Such Site"`)
	if err := b.door.Park(t.Context(), "No Such Site", t0, payload, err.Error()); err != nil {
		t.Fatal(err)
	}
	all := events[domain.ObservationRejected](b)
	if len(all) != 1 || all[0].Site != "unknown" || string(b.kept[all[0].Origin.Evidence]) != string(payload) {
		t.Errorf("parked: %+v", all)
	}
}

// lost is evidence that does not reach the disk.
type lost struct{ blobs }

func (l lost) Put(ctx context.Context, raws ...[]byte) ([]domain.Digest, func() error, error) {
	digests, _, err := l.blobs.Put(ctx, raws...)
	return digests, func() error { return errors.New("the disk is full") }, err
}

func TestNothingIsRecordedWhoseEvidenceIsNot(t *testing.T) {
	b := newBench(t)
	before := len(b.readings())
	door, err := ingest.OpenDoor(t.Context(), b.log, lost{blobs{}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	_, err = door.Record(t.Context(), ingest.Round{Site: site, At: t0, Deliveries: []ingest.Delivery{meter(5)}})
	if err == nil || !strings.Contains(err.Error(), "keep evidence of cedar-bend at 2026-10-01T00:00:00Z: the disk is full") {
		t.Errorf("got %v", err)
	}
	if errors.Is(err, ingest.ErrUnrecordable) {
		t.Error("a full disk is no reason to park a round")
	}
	if after := len(b.readings()); after != before {
		t.Errorf("%d readings were recorded", after-before)
	}
}

// travelling is a round with something of everything.
func travelling() ingest.Round {
	return ingest.Round{Site: site, At: t0, Deliveries: []ingest.Delivery{
		meter(5),
		{Source: "feed", Corrects: true, Facts: ingest.Facts{prices(0, true, "-5.5")}, Values: []ingest.Value{value(0, step, 7)}},
		{Source: "miners", Raw: []byte{0, 255}, Silent: []ingest.Silence{{Device: "r1", Channel: domain.ChannelShares, Reason: "refused"}}, Rejected: []ingest.Rejection{{Reason: "é"}}},
	}}
}

func TestRoundsTravelWhole(t *testing.T) {
	in := travelling()
	b, err := ingest.EncodeRound(in)
	if err != nil {
		t.Fatal(err)
	}
	out, err := ingest.DecodeRound(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(in, out); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for n := range b {
		if _, err := ingest.DecodeRound(b[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes are taken for a round", n, len(b))
		}
	}
}

// FuzzDecodeRound holds that no message can do more than be refused, and that
// what is read is written again as it was read.
func FuzzDecodeRound(f *testing.F) {
	b, err := ingest.EncodeRound(travelling())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{0xa0})
	f.Add([]byte(`{"site":"cedar-bend"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		first, err := ingest.DecodeRound(b)
		if err != nil {
			return
		}
		again, err := ingest.EncodeRound(first)
		if err != nil {
			t.Fatal(err)
		}
		second, err := ingest.DecodeRound(again)
		if err != nil {
			t.Fatal(err)
		}
		if third, err := ingest.EncodeRound(second); err != nil || !bytes.Equal(again, third) {
			t.Fatalf("%x is written as %x, and then as %x: %v", b, again, third, err)
		}
	})
}

func TestLargeFilesBecomeSeveralEvents(t *testing.T) {
	b := newBench(t)
	var d ingest.Delivery
	d.Source = "file"
	for i := range 20_000 {
		d.Values = append(d.Values, value(step*domain.Duration(i), step, int64(i)))
	}
	if r := b.record(t0, d); r.Readings != 20_000 || r.Events != 3 {
		t.Errorf("report %s", r)
	}
	if r := b.record(t0, d); r.Duplicates != 20_000 || r.Events != 0 {
		t.Errorf("again: %s", r)
	}
}

// TestCoverageAgreesWithASetOfIntervals drives late and repeated values in
// random order against a plain set.
func TestCoverageAgreesWithASetOfIntervals(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := newBench(t)
		seen := map[int]bool{}
		for range rapid.IntRange(1, 25).Draw(rt, "files") {
			i := rapid.IntRange(0, 12).Draw(rt, "interval")
			r := b.record(t0, ingest.Delivery{Source: "file", Values: []ingest.Value{value(step*domain.Duration(i), step, int64(i))}})
			if fresh := r.Marks[domain.MarkDelivered] == 1; fresh == seen[i] {
				rt.Fatalf("interval %d: seen %t, recorded %t", i, seen[i], fresh)
			}
			seen[i] = true
		}
		if got := b.readings(); len(got) != len(seen) {
			rt.Fatalf("%d readings for %d intervals", len(got), len(seen))
		}
	})
}

func TestReportsReadWell(t *testing.T) {
	r := ingest.Report{Readings: 5, Facts: 1, Events: 3, Rejected: 1, Marks: map[domain.Mark]int{domain.MarkNormal: 3, domain.MarkGap: 1, domain.MarkSilent: 1}}
	if got := r.String(); !strings.HasPrefix(got, "5 readings, 1 facts in 3 events, 1 gap, 1 silent") {
		t.Error(got)
	}
}

func TestTroubleIsToldWhenItBeginsAndWhenItEnds(t *testing.T) {
	b := newBench(t)
	silent := ingest.Delivery{Source: "meters", Silent: []ingest.Silence{{Device: "m1", Channel: domain.ChannelEnergyImport, Reason: "no answer"}}}
	down := func(port int) ingest.Delivery {
		return ingest.Delivery{Source: "prices", Rejected: []ingest.Rejection{{Reason: fmt.Sprintf("poll: port %d refused", port)}}}
	}
	got := b.told(func() {
		b.record(t0.Add(1*step), meter(100), down(4001))
		b.record(t0.Add(2*step), silent, down(4002))
		b.record(t0.Add(3*step), silent, down(4003), ingest.Delivery{Source: "prices", Rejected: []ingest.Rejection{{Reason: "a float"}}})
		b.record(t0.Add(4*step), meter(400), ingest.Delivery{Source: "prices"})
		b.record(t0.Add(5*step), meter(500), ingest.Delivery{Source: "prices"})
		b.record(t0.Add(6*step), silent)
	})
	want := []string{
		`msg="observation is rejected" source=prices at=2026-10-01T00:05:00Z reason="poll: port 4001 refused"`,
		`msg="device is silent" device=m1 at=2026-10-01T00:10:00Z reason="no answer"`,
		`msg="observation is rejected" source=prices at=2026-10-01T00:15:00Z reason="a float"`,
		`msg="device answers again" device=m1 at=2026-10-01T00:20:00Z silent_since=2026-10-01T00:10:00Z`,
		`msg="source delivers again" source=prices at=2026-10-01T00:20:00Z`,
		`msg="device is silent" device=m1 at=2026-10-01T00:30:00Z reason="no answer"`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if n := len(events[domain.ObservationRejected](b)); n != 4 {
		t.Errorf("%d rejections are on record, want 4", n)
	}
}

// TestWhatASiteIsDoesNotChange offers registrations that would make what is on
// record meaningless: they are conflicts, and everything else is restated.
func TestWhatASiteIsDoesNotChange(t *testing.T) {
	b := newBench(t)
	b.record(t0.Add(step), meter(100))
	register := func(e domain.Event) ingest.Report {
		return b.record(t0.Add(2*step), ingest.Delivery{Source: "config", Facts: ingest.Facts{e}})
	}
	terms := domain.SiteRegistered{Site: site, Step: step, Currency: "USD", Node: "hb_south", RevenueMeter: "m1", Name: "Cedar Bend"}
	if r := register(terms); r.Facts != 1 || r.Conflicts != 0 {
		t.Errorf("another name: %s", r)
	}
	terms.Step = 10 * domain.Minute
	for range 2 {
		if r := register(terms); r.Facts != 0 || r.Conflicts != 1 {
			t.Errorf("another step: %s", r)
		}
	}
	if r := register(domain.DeviceRegistered{Site: site, Device: "m1", Kind: domain.KindGPU, Units: 1, RatedPower: domain.Kilowatt}); r.Conflicts != 1 {
		t.Errorf("another kind: %s", r)
	}
	if r := register(domain.SiteRegistered{Site: site, Step: 7 * domain.Minute}); r.Rejected != 1 {
		t.Errorf("a step that divides no day: %s", r)
	}
	// Twice in one delivery: the first counts.
	r := b.record(t0.Add(2*step), ingest.Delivery{Source: "config", Facts: ingest.Facts{
		domain.SiteRegistered{Site: "north", Step: step}, domain.SiteRegistered{Site: "north", Step: domain.Minute},
	}})
	if r.Facts != 1 || r.Conflicts != 1 {
		t.Errorf("two steps at once: %s", r)
	}
	for _, e := range events[domain.SiteRegistered](b) {
		if e.Step != step {
			t.Errorf("site %s is registered with a step of %s", e.Site, e.Step)
		}
	}
	if n := len(events[domain.FactConflicted](b)); n != 3 {
		t.Errorf("%d conflicts are on record, want 3: step, kind, two at once", n)
	}
	b.reopen()
	if r := b.record(t0.Add(2*step), meter(200)); r.Marks[domain.MarkNormal] != 1 {
		t.Errorf("after it: %s", r)
	}
}

// TestAnEstimateGivesWayToAReading books estimates where nothing is on record,
// and what is delivered later in their place: once, whatever it says.
func TestAnEstimateGivesWayToAReading(t *testing.T) {
	b := newBench(t)
	value := func(from, to int, wh int64) ingest.Value {
		return ingest.Value{
			Device: "m1", Channel: domain.ChannelEnergyImport, Provenance: domain.ProvenanceSubMeter, Value: domain.Int(wh * 1000),
			Interval: domain.Interval{Start: t0.Add(step * domain.Duration(from)), End: t0.Add(step * domain.Duration(to))},
		}
	}
	made := domain.ReadingsEstimated{
		Site: site, Device: "m1", Channel: domain.ChannelEnergyImport, Interval: domain.Interval{Start: t0, End: t0.Add(4 * step)}, Intervals: 4,
		Value: domain.Int(28000), Method: domain.PreviousDay, By: "ana", Reason: "fuse",
	}
	estimates := ingest.Delivery{
		Source: "estimate", Estimated: true, Facts: ingest.Facts{made}, Values: []ingest.Value{value(0, 1, 7), value(1, 2, 7), value(2, 3, 7), value(3, 4, 7)},
	}
	file := func(values ...ingest.Value) ingest.Delivery { return ingest.Delivery{Source: "file", Values: values} }
	for i, row := range []struct {
		del  ingest.Delivery
		want string
	}{
		{file(value(0, 1, 5)), "1 readings, 0 facts in 1 events"},
		{estimates, "3 readings, 1 facts in 2 events, 3 estimated, 1 on record already"},
		{estimates, "0 readings, 0 facts in 0 events, 5 on record already"},
		{file(value(1, 2, 7)), "1 readings, 0 facts in 1 events, 1 corrected"}, // the same value, but counted
		{file(value(1, 2, 8)), "1 readings, 0 facts in 1 events, 1 conflict"},  // and no estimate any more
		{file(value(0, 2, 9)), "1 readings, 0 facts in 1 events, 1 conflict"},
		{file(value(2, 4, 9)), "1 readings, 0 facts in 1 events, 1 corrected"}, // one reading of both
		{file(value(3, 4, 3)), "1 readings, 0 facts in 1 events, 1 conflict"},
	} {
		if i%2 == 0 {
			b.reopen()
		}
		if got := b.record(t0.Add(domain.Hour+step*domain.Duration(i)), row.del).String(); got != row.want {
			t.Errorf("delivery %d: got %s, want %s", i+1, got, row.want)
		}
	}
	made.By = ""
	if got := b.record(t0.Add(2*domain.Hour), ingest.Delivery{Source: "estimate", Facts: ingest.Facts{made}}).String(); got != "0 readings, 0 facts in 1 events, 1 rejected" {
		t.Errorf("an estimate by nobody: %s", got)
	}
}
