package wire_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/wire"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestGolden holds every wire form to the bytes in testdata. A released form
// never changes: a failing row means that a new version is needed, not a new
// golden file.
func TestGolden(t *testing.T) {
	seen := map[string]int{}
	goldens := 0
	for _, e := range samples() {
		name, payload, err := wire.Encode(e)
		if err != nil {
			t.Fatalf("%T: %v", e, err)
		}
		seen[name]++
		goldens++
		path := filepath.Join("testdata", strings.ReplaceAll(name, "/", ".")+".golden")
		if seen[name] > 1 { // with what was added to the form
			path = filepath.Join("testdata", fmt.Sprintf("%s.more-%d.golden", strings.ReplaceAll(name, "/", "."), seen[name]-1))
		}
		t.Run(filepath.Base(path), func(t *testing.T) {
			if *update {
				if err := os.WriteFile(path, payload, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(payload)); diff != "" {
				t.Errorf("bytes differ (-golden +got):\n%s", diff)
			}
			back, err := wire.Decode(name, want)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(e, back); diff != "" {
				t.Errorf("event differs after a round trip (-want +got):\n%s", diff)
			}
			for n := range len(want) { // no proper prefix is an event
				if _, err := wire.Decode(name, want[:n]); err == nil {
					t.Fatalf("%d of %d bytes were decoded", n, len(want))
				}
			}
			if _, err := wire.Decode(name, append(bytes.Clone(want), 'x')); err == nil {
				t.Error("bytes after the event were accepted")
			}
		})
	}
	files, _ := filepath.Glob("testdata/*.golden")
	if len(files) != goldens {
		t.Errorf("%d golden files for %d samples of %d wire forms", len(files), goldens, len(seen))
	}
}

func TestUnknownFormsAreToldApartFromDamage(t *testing.T) {
	if _, err := wire.Decode("power.priced/99", nil); !errors.Is(err, wire.ErrUnknownType) {
		t.Errorf("got %v", err)
	}
	_, err := wire.Open(eventlog.Record{Position: 17, Type: wire.PowerPriced, Payload: []byte("{")})
	var corrupt *eventlog.CorruptError
	if !errors.As(err, &corrupt) || corrupt.Place != "event at position 17" {
		t.Errorf("got %v", err)
	}
	_, err = wire.Decode(wire.DifficultyAdjusted, []byte(`{"height":1,"at":"2026-01-01T00:00:00Z","bits":1,"origin":{"source":"x","observed":"2026-01-01T00:00:00Z"},"surprise":1}`))
	if err == nil || !strings.Contains(err.Error(), "surprise") {
		t.Errorf("a field that nobody knows was accepted: %v", err)
	}
}

// TestReadingsRoundTrip encodes random batches, of the shapes that polls and
// files have and of none.
func TestReadingsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := domain.ReadingsRecorded{
			Site: "cedar-bend", At: domain.Unix(rapid.Int64Range(0, 4e9).Draw(t, "at")),
			Origin: domain.Origin{Source: "c1", Decoder: "cgminer/1", Observed: domain.Instant(rapid.Int64Range(0, 4e15).Draw(t, "observed"))},
		}
		if rapid.Bool().Draw(t, "evidence") {
			e.Origin.Evidence = domain.DigestOf([]byte("raw"))
		}
		e.Readings = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) domain.Reading {
			start := domain.Instant(rapid.Int64Range(0, 4e15).Draw(t, "start"))
			r := domain.Reading{
				Device:     domain.DeviceID(rapid.StringMatching(`[a-z][a-z0-9]{0,3}-[0-9]{1,3}`).Draw(t, "device")),
				Channel:    domain.Channel(rapid.IntRange(1, 6).Draw(t, "channel")),
				Mark:       domain.Mark(rapid.IntRange(1, 13).Draw(t, "mark")),
				Provenance: domain.Provenance(rapid.IntRange(1, 8).Draw(t, "provenance")),
				Interval:   domain.Interval{Start: start, End: start.Add(domain.Duration(rapid.Int64Range(1, 1e12).Draw(t, "length")))},
				Value:      domain.Int(rapid.Int64Min(0).Draw(t, "value")),
				Register:   domain.Int128{Hi: rapid.Int64Range(0, 1<<32-1).Draw(t, "high"), Lo: rapid.Uint64().Draw(t, "low")},
			}
			if r.Channel == domain.ChannelHashes {
				r.Value.Hi = rapid.Int64Range(0, 1<<32-1).Draw(t, "wide")
			}
			return r
		}), 1, 50).Draw(t, "readings")
		name, payload, err := wire.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		back, err := wire.Decode(name, payload)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(domain.Event(e), back); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

// TestRegularReadingsAreSmall holds the cost of a reading: a poll of twelve
// racks with two registers each.
func TestRegularReadingsAreSmall(t *testing.T) {
	_, payload, err := wire.Encode(poll())
	if err != nil {
		t.Fatal(err)
	}
	if per := len(payload) / len(poll().Readings); per > 28 {
		t.Errorf("%d bytes a reading before block compression, want at most 28", per)
	}
}

// TestAnOpenerReadsWhatDecodeReads opens batches one after the other whose
// devices are sometimes those of the batch before.
func TestAnOpenerReadsWhatDecodeReads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var opener wire.Opener
		for n := range rapid.IntRange(2, 8).Draw(t, "batches") {
			e := poll()
			e.Origin.Source = domain.SourceID(rapid.SampledFrom([]string{"meters", "miners"}).Draw(t, "source"))
			e.Readings = e.Readings[:rapid.IntRange(0, min(5, len(e.Readings))).Draw(t, "rows")]
			for i := range e.Readings {
				e.Readings[i].Device = domain.DeviceID(fmt.Sprint("m", rapid.IntRange(0, 3).Draw(t, "device")))
				e.Readings[i].Register = domain.Int(rapid.Int64Range(0, 1<<40).Draw(t, "register"))
			}
			name, payload, err := wire.Encode(e)
			if err != nil {
				t.Fatal(err)
			}
			want, err := wire.Decode(name, payload)
			if err != nil {
				t.Fatal(err)
			}
			got, err := opener.Open(eventlog.Record{Position: domain.Position(n), Type: name, Payload: payload})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got.Event); diff != "" {
				t.Fatalf("batch %d (-decoded +opened):\n%s", n, diff)
			}
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, e := range samples() {
		name, payload, err := wire.Encode(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(name, payload)
	}
	f.Fuzz(func(t *testing.T, name string, payload []byte) {
		e, err := wire.Decode(name, payload)
		if err != nil {
			return
		}
		again, bytes, err := wire.Encode(e)
		if err != nil {
			t.Fatalf("decoded, but not encodable: %v", err)
		}
		back, err := wire.Decode(again, bytes)
		if err != nil {
			t.Fatalf("encoded, but not decodable: %v", err)
		}
		if diff := cmp.Diff(e, back); diff != "" {
			t.Fatalf("(-first +second):\n%s", diff)
		}
	})
}

func BenchmarkDecodeReadings(b *testing.B) {
	_, payload, err := wire.Encode(poll())
	if err != nil {
		b.Fatal(err)
	}
	n := len(poll().Readings)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.Decode(wire.ReadingsRecorded, payload); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "readings/s")
}
