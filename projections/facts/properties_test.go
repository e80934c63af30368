package facts_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/wire"
	"wattbook/projections"
	"wattbook/projections/balance"
	"wattbook/projections/facts"
	"wattbook/projections/logscript"
	"wattbook/projections/margin"
	"wattbook/projections/usage"
)

// hour is the interval that the random logs are about.
var hour = domain.Interval{Start: domain.Unix(1_791_979_200), End: domain.Unix(1_791_982_800)} // 2026-10-14, 12:00 to 13:00

// randomLog plays events of every kind that a fold reads, in any order.
func randomLog(t *rapid.T) *logscript.Player {
	p := logscript.New()
	play := func(format string, args ...any) {
		if err := p.Play(fmt.Sprintf(format, args...)); err != nil {
			t.Fatal(err)
		}
	}
	play("day 2026-10-14\nsite s loss=0.012 adder=5 fee=0.02\nmeter revenue\nmeter c1 under=revenue use=mining\nmeter c2 under=revenue use=mining")
	play("meter ai under=revenue use=ai\nminer m1 under=c1\nminer m2 under=c1\nminer m3 under=c2")
	draw := func(name string, from, to int64) int64 { return rapid.Int64Range(from, to).Draw(t, name) }
	span := func() string {
		start := draw("start", 0, 11)
		end := start + draw("length", 1, min(3, 12-start))
		return fmt.Sprintf("12:%02d..1%d:%02d", 5*start, 2+end/12, 5*end%60)
	}
	for range draw("events", 1, 40) {
		mark := rapid.SampledFrom([]string{"normal", "gap", "corrected", "estimated", "glitch"}).Draw(t, "mark")
		switch draw("kind", 0, 12) {
		case 0, 1, 2:
			play("read %s %s %dmWh mark=%s", rapid.SampledFrom([]string{"revenue", "c1", "c2", "ai"}).Draw(t, "meter"), span(), draw("energy", 0, 1<<40), mark)
		case 3, 4, 5:
			play("read m%d %s %dshares mark=%s", draw("miner", 1, 3), span(), draw("shares", 0, 1<<50), mark)
		case 6:
			play("miner m%d under=c%d", draw("miner", 1, 3), draw("feeder", 1, 2))
		case 7:
			play("price hb_south %s 5m %d.%02d", span(), draw("price", -300, 5000), draw("cents", 0, 99))
		case 8:
			play("bitcoin USD 12:00 1h %d", draw("bitcoin", 1, 200_000))
		case 9:
			play("difficulty %d 12:%02d 17%06x", draw("height", 900_000, 1_000_000), draw("minute", 0, 59), draw("bits", 0x010000, 0x07ffff))
		case 10:
			play("fees 2026-10-14 %d %d", draw("blocks", 0, 150), draw("fees", 0, 1<<40))
		case 11:
			job := draw("job", 1, 5)
			if rapid.Bool().Draw(t, "begins") {
				play("start job-%d aurora %d 12:%02d", job, draw("gpus", 1, 8), draw("minute", 0, 59))
			} else {
				play("end job-%d 12:%02d", job, draw("minute", 0, 59))
			}
		case 12:
			play("contract aurora version=%d from=12:%02d\ncharge used on-demand-gpus 2.49\ncharge power power-pass-through ai adder=6", draw("version", 1, 4), draw("minute", 0, 59))
		}
	}
	if _, err := p.Facts(); err != nil { // the last contract is signed
		t.Fatal(err)
	}
	return p
}

// digests are all that the read models say of the hour.
func digests(t *rapid.T, f *facts.Facts) [3]domain.Digest {
	m, err := margin.Digest(margin.Rows(f, "s", hour))
	if err != nil {
		t.Fatal(err)
	}
	return [3]domain.Digest{balance.Digest(balance.Rows(f, "s", hour)), usage.Digest(f, "s", hour), m}
}

// TestFoldingInPartsIsFoldingAtOnce stops anywhere, looks at everything, and
// goes on.
func TestFoldingInPartsIsFoldingAtOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := randomLog(t)
		fold := func(f *facts.Facts, to domain.Position) {
			if _, err := projections.Fold(t.Context(), p.Log, f.Next, to, f); err != nil {
				t.Fatal(err)
			}
		}
		head, err := p.Log.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		stop := domain.Position(rapid.Uint64Range(5, uint64(head)).Draw(t, "stop"))
		parts, prefix, whole := facts.New(), facts.New(), facts.New()
		fold(parts, stop)
		fold(prefix, stop)
		then := digests(t, parts)
		fold(parts, projections.Head)
		fold(whole, projections.Head)
		if got, want := digests(t, parts), digests(t, whole); got != want {
			t.Fatalf("in parts %v, at once %v", got, want)
		}
		if got := digests(t, prefix); got != then {
			t.Fatalf("up to %d: %v and %v", stop, got, then)
		}
	})
}

// TestSumsOfWorkAreSumsOfCells compares the sums that are kept with sums that
// are made anew.
func TestSumsOfWorkAreSumsOfCells(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := randomLog(t)
		f, err := p.Facts()
		if err != nil {
			t.Fatal(err)
		}
		table := f.Table("s")
		first, end := table.Slots(hour)
		for s := first; s < end; s++ {
			var want, feeders facts.Cell
			worst := facts.Metered
			for _, m := range []domain.DeviceID{"m1", "m2", "m3"} {
				if c := table.Cell(m, domain.ChannelShares, s); c.State != facts.Unknown {
					want.Value, want.Reported, worst = want.Value.Add(c.Value), want.Reported+1, min(worst, c.State)
				}
			}
			if want.Reported == 0 {
				worst = facts.Unknown
			}
			for _, m := range []domain.DeviceID{"c1", "c2"} {
				c := table.Group(m, domain.ChannelShares, s)
				feeders.Value, feeders.Reported = feeders.Value.Add(c.Value), feeders.Reported+c.Reported
			}
			for name, got := range map[string]facts.Cell{
				"site": table.Total(domain.ChannelShares, s), "revenue": table.Group("revenue", domain.ChannelShares, s),
			} {
				if got.Value != want.Value || got.Reported != want.Reported || got.State != worst {
					t.Fatalf("%s: got %s of %d, %s; want %s of %d, %s", name, got.Value, got.Reported, got.State, want.Value, want.Reported, worst)
				}
			}
			if feeders.Value != want.Value || feeders.Reported != want.Reported {
				t.Fatalf("feeders: got %s of %d, want %s of %d", feeders.Value, feeders.Reported, want.Value, want.Reported)
			}
		}
	})
}

// TestPartsOfASpreadReadingSumToIt checks values up to the limit of a reading.
func TestPartsOfASpreadReadingSumToIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := domain.Int128{Hi: rapid.Int64Range(0, 1<<32-1).Draw(t, "hi"), Lo: rapid.Uint64().Draw(t, "lo")}
		n := rapid.Int64Range(1, 600).Draw(t, "intervals")
		f := facts.New()
		iv := domain.Interval{Start: hour.Start, End: hour.Start.Add(5 * domain.Minute * domain.Duration(n))}
		for i, e := range []domain.Event{
			domain.SiteRegistered{Site: "s", Step: 5 * domain.Minute},
			domain.ReadingsRecorded{Site: "s", Readings: []domain.Reading{{
				Device: "m1", Channel: domain.ChannelShares, Interval: iv, Value: value, Mark: domain.MarkGap, Provenance: domain.ProvenanceFirmwareMeasured,
			}}},
		} {
			if err := f.Apply(domain.Recorded{Position: domain.Position(i), Event: e}); err != nil {
				t.Fatal(err)
			}
		}
		table := f.Table("s")
		var sum domain.Int128
		first, end := table.Slots(iv)
		for s := first; s < end; s++ {
			c := table.Cell("m1", domain.ChannelShares, s)
			if c.Value.Sign() < 0 || (c.State == facts.Metered) != (n == 1) || c.Value.Sub(value.MulDiv(1, n)).Abs().Cmp(domain.Int(1)) > 0 {
				t.Fatalf("slot %d holds %s, %s", s, c.Value, c.State)
			}
			sum = sum.Add(c.Value)
		}
		if sum != value {
			t.Fatalf("parts sum to %s, want %s", sum, value)
		}
	})
}

// TestGPUTimesOfAdjacentIntervalsSum cuts an allocation anywhere.
func TestGPUTimesOfAdjacentIntervalsSum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := func(name string) domain.Instant {
			return hour.Start + domain.Instant(rapid.Int64Range(0, int64(domain.Hour)).Draw(t, name))
		}
		a := facts.Allocation{GPUs: rapid.Int64Range(1, 8).Draw(t, "gpus"), At: at("start")}
		if rapid.Bool().Draw(t, "ended") {
			a.End = at("end")
		}
		cut := at("cut")
		before, after := domain.Interval{Start: hour.Start, End: cut}, domain.Interval{Start: cut, End: hour.End}
		if got, want := a.During(before)+a.During(after), a.During(hour); got != want {
			t.Fatalf("parts sum to %d ms, want %d", got, want)
		}
	})
}

func TestEventsThatNoFoldCanUseAreErrors(t *testing.T) {
	site := domain.SiteRegistered{Site: "s", Step: 5 * domain.Minute}
	reading := domain.Reading{Device: "m", Channel: domain.ChannelEnergyImport, Interval: domain.Interval{Start: hour.Start, End: hour.End + 1}, Mark: domain.MarkNormal, Provenance: domain.ProvenanceSubMeter}
	for _, c := range []struct {
		name   string
		want   string
		events []domain.Event
	}{
		{"a site without a step", "site s has a step of 0s", []domain.Event{domain.SiteRegistered{Site: "s"}}},
		{"readings of a site that is not registered", "readings of site s, which is not registered", []domain.Event{domain.ReadingsRecorded{Site: "s"}}},
		{
			"a reading off the grid", "row 0: reading of m: interval [2026-10-14T12:00:00Z, 2026-10-14T13:00:00.000001Z) is not aligned to 5m0s",
			[]domain.Event{site, domain.ReadingsRecorded{Site: "s", Readings: []domain.Reading{reading}}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := facts.New()
			var err error
			for i, e := range c.events {
				err = f.Apply(domain.Recorded{Position: domain.Position(i), Event: e})
			}
			if err == nil || err.Error() != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
	t.Run("an event out of turn", func(t *testing.T) {
		err := facts.New().Apply(domain.Recorded{Position: 3, Event: site})
		if err == nil || err.Error() != "event at position 3 is out of turn, want 0" {
			t.Errorf("got %v", err)
		}
	})
}

// TestLateReadingsOfABatchAreOneFinding brings an hour of two meters in one
// event, days later.
func TestLateReadingsOfABatchAreOneFinding(t *testing.T) {
	e := domain.ReadingsRecorded{Site: "s", Origin: domain.Origin{Source: "file"}}
	for i := range 12 {
		start := hour.Start.Add(5 * domain.Minute * domain.Duration(i))
		for _, device := range []domain.DeviceID{"m1", "m2"} {
			if device == "m2" && i == 6 {
				continue // which begins another finding
			}
			e.Readings = append(e.Readings, domain.Reading{
				Device: device, Channel: domain.ChannelEnergyImport, Interval: domain.Interval{Start: start, End: start.Add(5 * domain.Minute)},
				Value: domain.Int(10), Register: domain.Int(int64(10 * (i + 1))), Mark: domain.MarkNormal, Provenance: domain.ProvenanceSubMeter,
			})
		}
	}
	f := facts.New()
	for i, e := range []domain.Event{domain.SiteRegistered{Site: "s", Step: 5 * domain.Minute}, e} {
		if err := f.Apply(domain.Recorded{Position: domain.Position(i), RecordedAt: hour.End.Add(48 * domain.Hour), Event: e}); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, g := range f.Findings() {
		got = append(got, fmt.Sprintf("row %d: %s %s, %d of %s, %s at %s", g.Row, g.Kind, g.Device, g.Readings, g.Interval.Length(), g.Value, g.Register))
	}
	want := []string{"row 0: late m1, 12 of 1h0m0s, 120 at 120", "row 1: late m2, 6 of 30m0s, 60 at 60", "row 14: late m2, 5 of 25m0s, 50 at 120"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestAnotherStepIsAFinding registers a site again with another metering
// interval: everything that was recorded stays readable.
func TestAnotherStepIsAFinding(t *testing.T) {
	f := facts.New()
	for i, e := range []domain.Event{domain.SiteRegistered{Site: "s", Step: 5 * domain.Minute}, domain.SiteRegistered{Site: "s", Name: "renamed", Step: domain.Minute}} {
		if err := f.Apply(domain.Recorded{Position: domain.Position(i), Event: e}); err != nil {
			t.Fatal(err)
		}
	}
	site, _ := f.Site("s")
	if site.Step != 5*domain.Minute || site.Name != "renamed" || f.Table("s").Step != 5*domain.Minute {
		t.Errorf("got %+v", site)
	}
	if all := f.Findings(); len(all) != 1 || all[0].What != "the metering interval of site s is 5m0s; 1m0s was registered" {
		t.Errorf("findings: %+v", all)
	}
}

func TestDevicesThatWereRegisteredBeforeTheirSiteHaveTheirPlace(t *testing.T) {
	f := facts.New()
	for i, e := range []domain.Event{
		domain.DeviceRegistered{Site: "s", Device: "c1", Kind: domain.KindMeter, Under: "revenue"},
		domain.DeviceRegistered{Site: "s", Device: "m1", Kind: domain.KindMiner, Under: "c1"},
		domain.SiteRegistered{Site: "s", Step: domain.Hour},
		domain.ReadingsRecorded{Site: "s", Readings: []domain.Reading{{Device: "m1", Channel: domain.ChannelShares, Interval: hour, Value: domain.Int(7), Mark: domain.MarkNormal}}},
	} {
		if err := f.Apply(domain.Recorded{Position: domain.Position(i), Event: e}); err != nil {
			t.Fatal(err)
		}
	}
	table := f.Table("s")
	if c := table.Group("c1", domain.ChannelShares, table.SlotOf(hour.Start)); c.Value != domain.Int(7) {
		t.Errorf("got %s", c.Value)
	}
	below := f.Below("s", "revenue")
	if len(below) != 2 || below[0].Device != "c1" || below[1].Device != "m1" {
		t.Errorf("below the revenue meter: %v", below)
	}
}

// BenchmarkApply folds a day of a site with 60 devices and two registers each:
// 34,560 readings.
// BenchmarkReplay opens and folds the batches of a site, one a poll. Work is
// summed over the site and the meter above; energy is not.
func BenchmarkReplay(b *testing.B) {
	for _, channel := range []domain.Channel{domain.ChannelEnergyImport, domain.ChannelShares} {
		b.Run("channel="+channel.String(), func(b *testing.B) {
			const devices, polls = 1000, 1000
			events := []domain.Event{domain.SiteRegistered{Site: "s", Name: "s", Zone: "UTC", Step: 5 * domain.Minute, Currency: "USD", Node: "n", RevenueMeter: "revenue"}}
			for i := range devices {
				events = append(events, domain.DeviceRegistered{Site: "s", Device: domain.DeviceID(fmt.Sprint("m", i)), Kind: domain.KindMiner, Under: "c1", Units: 1})
			}
			for s := range polls {
				iv := domain.Interval{Start: hour.Start.Add(5 * domain.Minute * domain.Duration(s)), End: hour.Start.Add(5 * domain.Minute * domain.Duration(s+1))}
				e := domain.ReadingsRecorded{Site: "s", At: iv.End, Origin: domain.Origin{Source: "miners", Observed: iv.End, Decoder: "d/1"}}
				for i := range devices {
					value := domain.Int(int64(280_000 + (7*s+i)%9_000))
					e.Readings = append(e.Readings, domain.Reading{
						Device: domain.DeviceID(fmt.Sprint("m", i)), Channel: channel, Interval: iv, Value: value, Register: value,
						Mark: domain.MarkNormal, Provenance: domain.ProvenanceSubMeter,
					})
				}
				events = append(events, e)
			}
			var log []eventlog.Record
			for i, e := range events {
				name, payload, err := wire.Encode(e)
				if err != nil {
					b.Fatal(err)
				}
				at := hour.Start.Add(5 * domain.Minute * domain.Duration(max(i-devices, 0)))
				log = append(log, eventlog.Record{Position: domain.Position(i), Type: name, Payload: payload, RecordedAt: at})
			}
			b.ReportAllocs()
			for b.Loop() {
				f := facts.New()
				var opener wire.Opener
				for _, r := range log {
					rec, err := opener.Open(r)
					if err == nil {
						err = f.Apply(rec)
					}
					if err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.N)*devices*polls/b.Elapsed().Seconds(), "readings/s")
		})
	}
}

var _ projections.Projection = (*facts.Facts)(nil)

func TestFoldNamesTheEventThatItCannotApply(t *testing.T) {
	p := logscript.New()
	if err := p.Append("facts-script", domain.ReadingsRecorded{Site: "nowhere"}); err != nil {
		t.Fatal(err)
	}
	next, err := projections.Fold(context.Background(), p.Log, 0, projections.Head, facts.New())
	if next != 0 || err == nil || err.Error() != "fold event at position 0: readings of site nowhere, which is not registered" {
		t.Errorf("got %d, %v", next, err)
	}
}
