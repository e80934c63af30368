package meter_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"wattbook/domain"
	"wattbook/ingest"
	"wattbook/ingest/meter"
)

const header = "device,channel,start,end,value,unit\n"

// readings has a row of every channel.
const readings = header +
	"main,energy.import,2026-10-14T17:35:00Z,2026-10-14T17:40:00Z,83.333333,kWh\n" +
	"main,energy.export,2026-10-14T12:35:00-05:00,2026-10-14T17:40Z,0,Wh\n" +
	"hall-1,energy.import,2026-10-14T17:35:00Z,2026-10-14T17:40:00Z,\"1.5\",MWh\n" +
	"hall-1,energy.import,2026-10-14T17:40:00Z,2026-10-14T17:45:00Z,12345,mWh\n" +
	"miner-1,hashes,2026-10-14T17:35:00Z,2026-10-14T17:40:00Z,79228162514264337593543950336,hashes\n" +
	"miner-1,shares.accepted,2026-10-14T17:35:00Z,2026-10-14T17:40:00Z,65536.00000001,difficulty\n" +
	"gpu-1,gpu.energy,2026-10-14T17:35:00Z,2026-10-14T17:40:00Z,0.058,kWh\n" +
	"gpu-1,gpu.time,2026-10-14T17:35:00Z,2026-10-14T17:40:00Z,300000,ms\n"

func TestReadReadings(t *testing.T) {
	start, err := domain.ParseInstant("2026-10-14T17:35:00Z")
	if err != nil {
		t.Fatal(err)
	}
	row := func(device domain.DeviceID, c domain.Channel, value domain.Int128) ingest.Value {
		return ingest.Value{Device: device, Channel: c, Interval: domain.Interval{Start: start, End: start.Add(5 * domain.Minute)}, Value: value}
	}
	second := row("hall-1", imported, domain.Int(12_345))
	second.Interval = domain.Interval{Start: second.Interval.End, End: second.Interval.End.Add(5 * domain.Minute)}
	want := []ingest.Value{
		row("main", imported, domain.Int(83_333_333)),
		row("main", exported, domain.Int(0)),
		row("hall-1", imported, domain.Int(1_500_000_000)),
		second,
		row("miner-1", domain.ChannelHashes, domain.ReadingLimit),
		row("miner-1", domain.ChannelShares, domain.Int(6_553_600_000_001)),
		row("gpu-1", domain.ChannelGPUEnergy, domain.Int(58_000)),
		row("gpu-1", domain.ChannelGPUTime, domain.Int(300_000)),
	}
	for _, text := range []string{readings, "\ufeff" + strings.ReplaceAll(readings, "\n", "\r\n")} {
		got, err := meter.ReadReadings(strings.NewReader(text), "r.csv")
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v, values (-want +got):\n%s", err, diff)
		}
	}
	if got, err := meter.ReadReadings(strings.NewReader(header), "r.csv"); err != nil || len(got) != 0 {
		t.Errorf("a file without rows gives %v, %v", got, err)
	}
}

func TestReadingsThatAreRefused(t *testing.T) {
	for _, row := range []struct {
		name, from, to, want string
	}{
		{"another header", "device,channel", "meter,channel", `r.csv:1:1: header is "meter,channel,start,end,value,unit"; write device,channel`},
		{"another separator", header, strings.ReplaceAll(header, ",", ";"), "r.csv:1:1: header is"},
		{"a missing field", ",83.333333,kWh", ",83.333333", "r.csv:2:1: 5 fields, want 6"},
		{"a device with capitals", "\nmain,energy.import", "\nMain,energy.import", `r.csv:2:1: device "Main"`},
		{"an unknown channel", "main,energy.import", "main,energy", `r.csv:2:6: channel "energy" is not one of`},
		{"a start without an offset", "17:35:00Z,2026-10-14T17:40:00Z,83", "17:35:00,2026-10-14T17:40:00Z,83", "r.csv:2:20: start:"},
		{"an end that is no time", "2026-10-14T17:40Z,0", "later,0", "r.csv:3:46: end: \"later\""},
		{"an end before the start", "2026-10-14T17:40Z,0", "2026-10-14T17:35Z,0", "r.csv:3:46: end 2026-10-14T17:35:00Z is not after start"},
		{"a unit of another channel", "0.058,kWh", "0.058,ms", `r.csv:8:66: unit "ms" does not fit channel gpu.energy; use mWh, kWh, MWh, Wh`},
		{"a unit in other letters", "83.333333,kWh", "83.333333,kwh", `r.csv:2:72: unit "kwh"`},
		{"an exponent", "83.333333,", "8.3e1,", "r.csv:2:62: value: \"8.3e1\" is written with an exponent"},
		{"a thousands separator", "83.333333,", "\"1,083.3\",", "r.csv:2:62: value: \"1,083.3\" is not a plain decimal"},
		{"not a number", "83.333333,", "NaN,", "r.csv:2:62: value: \"NaN\""},
		{"a negative value", "83.333333,", "-83.3,", "r.csv:2:62: value -83.3 is negative"},
		{"finer than a milliwatt-hour", "83.333333,", "83.3333333,", "r.csv:2:62: value 83.3333333 kWh has more than 6 digits"},
		{"a fraction of a hash", "79228162514264337593543950336,", "0.5,", "more than 0 digits"},
		{"more hashes than the limit", "79228162514264337593543950336,", "79228162514264337593543950337,", "greater than any device"},
		{"more energy than 63 bits", "12345,mWh", "9223372036854775808,mWh", "greater than any device"},
		{"a quote inside a field", "83.333333,", "83\"3,", "r.csv:2:64: bare \" in non-quoted-field; put a field"},
		{"a quote that does not end", "\"1.5\",MWh", "\"1.5,MWh", "r.csv:"},
	} {
		t.Run(row.name, func(t *testing.T) {
			text := strings.Replace(readings, row.from, row.to, 1)
			if text == readings {
				t.Fatalf("the file has no %q", row.from)
			}
			if v, err := meter.ReadReadings(strings.NewReader(text), "r.csv"); err == nil || v != nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, %v; want an error with %q", v, err, row.want)
			}
		})
	}
	if _, err := meter.ReadReadings(strings.NewReader(""), "r.csv"); err == nil || !strings.Contains(err.Error(), "r.csv: the file is empty") {
		t.Errorf("an empty file: %v", err)
	}
}

// TestReadingsAreExact shows that what is written in any unit is read as it
// was.
func TestReadingsAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.Int64Min(0).Draw(t, "milliwatt-hours")
		unit := rapid.SampledFrom([]struct {
			name   string
			digits int32
		}{{"mWh", 0}, {"Wh", 3}, {"kWh", 6}, {"MWh", 9}}).Draw(t, "unit")
		text := header + "m,energy.import,2026-10-14T17:35:00Z,2026-10-14T17:40:00Z," + domain.NewDecimal(value, -unit.digits).String() + "," + unit.name + "\n"
		got, err := meter.ReadReadings(strings.NewReader(text), "r.csv")
		if err != nil || len(got) != 1 || got[0].Value != domain.Int(value) {
			t.Errorf("%s gives %v, %v; want %d", text, got, err, value)
		}
	})
}

// FuzzReadReadings shows that any text is values that can be booked, or an
// error.
func FuzzReadReadings(f *testing.F) {
	f.Add(readings)
	f.Add("\ufeff" + header + "\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		values, err := meter.ReadReadings(strings.NewReader(text), "fuzz.csv")
		if err != nil {
			if !strings.HasPrefix(err.Error(), "read readings fuzz.csv:") || values != nil {
				t.Fatalf("%d values and error %q", len(values), err)
			}
			return
		}
		for _, v := range values {
			r := domain.Reading{
				Device: v.Device, Channel: v.Channel, Interval: v.Interval, Value: v.Value,
				Mark: domain.MarkDelivered, Provenance: domain.ProvenanceRevenueMeter,
			}
			if err := r.Validate(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestAStrictFileNamesEveryBadLine(t *testing.T) {
	const row = "main,energy.import,2026-10-14T17:%s:00Z,2026-10-14T17:%s:00Z,%s,kWh\n"
	rows := func(lines ...[3]string) string {
		text := header
		for _, l := range lines {
			text += fmt.Sprintf(row, l[0], l[1], l[2])
		}
		return text
	}
	now, err := domain.ParseInstant("2026-10-14T17:50Z")
	if err != nil {
		t.Fatal(err)
	}
	strict := meter.Strict{Now: now, Fits: func(v ingest.Value) error {
		if v.Value == domain.Int(9_000_000) {
			return &ingest.ValueError{Field: "value", Err: errors.New("value 9 kWh is too much")}
		}
		return nil
	}}
	for _, c := range []struct{ name, text, want string }{
		{"good lines", rows([3]string{"40", "45", "1"}, [3]string{"35", "40", "1"}, [3]string{"45", "50", "1"}), ""},
		{"a value that does not fit", rows([3]string{"35", "40", "9"}), "read readings r.csv:2:62: value 9 kWh is too much"},
		{"an interval that ends in the future", rows([3]string{"50", "55", "1"}), "read readings r.csv:2:41: end 2026-10-14T17:55:00Z is in the future, it is 2026-10-14T17:50:00Z; correct the date or the offset"},
		{"an interval twice", rows([3]string{"35", "40", "1"}, [3]string{"40", "45", "1"}, [3]string{"35", "40", "1"}), "read readings r.csv:4:20: line 2 tells energy.import of main for this interval already; remove one of the two"},
		{
			"intervals that overlap", rows([3]string{"30", "40", "1"}, [3]string{"35", "45", "1"}),
			"read readings r.csv:3:20: [2026-10-14T17:35:00Z, 2026-10-14T17:45:00Z) overlaps [2026-10-14T17:30:00Z, 2026-10-14T17:40:00Z) of line 2; tell each interval of energy.import of main once",
		},
		{
			"two bad lines among good ones", rows([3]string{"30", "35", "1"}, [3]string{"35", "40", "x"}, [3]string{"40", "45", "1"}, [3]string{"45", "50", "1e5"}),
			"read readings r.csv: 2 bad lines:\n  r.csv:3:62: value: \"x\" is not a plain decimal number\n  r.csv:5:62: value: \"1e5\" is written with an exponent; write it out as a plain decimal",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			values, err := strict.ReadReadings(strings.NewReader(c.text), "r.csv")
			switch {
			case c.want == "" && (err != nil || len(values) != 3):
				t.Errorf("got %d values, %v", len(values), err)
			case c.want != "" && (err == nil || err.Error() != c.want || values != nil):
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}
