package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wattbook/domain"
	"wattbook/ingest"
	"wattbook/ingest/meter"
)

// polledBook is a folder of a book that was begun with testdata/site.yaml, in
// which c1 was read by the map iem3000 and m1 by SunSpec, and a later value of c1
// was imported.
func polledBook(t *testing.T, dir string) {
	t.Helper()
	e, err := openEngine(t.Context(), settings{Data: dir}, systemClock, (&program{stderr: os.Stderr}).logger(settings{LogLevel: 8}))
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	c, err := readSite("site.yaml")
	if err != nil {
		t.Fatal(err)
	}
	events, err := c.events()
	if err != nil {
		t.Fatal(err)
	}
	if err := e.register(t.Context(), c.Site.ID, events); err != nil {
		t.Fatal(err)
	}
	five := domain.Unix(1_790_830_800) // 2026-10-01T05:00:00Z
	value := func(device domain.DeviceID, at domain.Instant) ingest.Value {
		return ingest.Value{
			Device: device, Channel: domain.ChannelEnergyImport, Provenance: domain.ProvenanceSubMeter,
			Interval: domain.Interval{Start: at, End: at.Add(5 * domain.Minute)}, Value: domain.Int(7_000_000),
		}
	}
	const evidence = `modbus/1
meter m1 revenue-meter 127.0.0.1:1 1
sunspec 203 0
meter c1 sub-meter 127.0.0.1:2 1
map iem3000 3 big high
register energy.import 3203 int64 1000 1 0 zero
register energy.export 3207 int64 1000 1 0 zero
read 3 3203 0000000000001b58
`
	for _, d := range []ingest.Delivery{
		{Source: "meters", Observed: five, Decoder: meter.Decoder, Raw: []byte(evidence), Values: []ingest.Value{value("m1", five), value("c1", five)}},
		{Source: "import", Observed: five, Decoder: meter.DailyDecoder, Raw: []byte("a file"), Values: []ingest.Value{value("c1", five.Add(5*domain.Minute))}},
	} {
		if err := e.publish(t.Context(), c.Site.ID, d); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRegistersThatWereReadOtherwiseAreNamed changes how meters are to be read,
// and has it compared with how their last replies were understood.
func TestRegistersThatWereReadOtherwiseAreNamed(t *testing.T) {
	site, err := os.ReadFile("testdata/site.yaml")
	if err != nil {
		t.Fatal(err)
	}
	iem, err := os.ReadFile(filepath.Join("..", "..", "ingest", "meter", "maps", "iem3000.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("site.yaml", string(site))
	polledBook(t, "polled")
	const then = "c1 has readings up to 2026-10-01T05:05:00Z that were read otherwise: "
	for _, c := range []struct{ name, from, to, mapFrom, mapTo, want string }{
		{name: "as it was"},
		{name: "a map that says the same", from: "registers: iem3000", to: "registers: ./own.yaml"},
		{
			name: "another unit", from: "registers: iem3000", to: "registers: ./own.yaml", mapFrom: "type: int64\n    unit: Wh\n  - channel: energy.export", mapTo: "type: int64\n    unit: kWh\n  - channel: energy.export",
			want: then + "unit of energy.import was 1 Wh, and is 1000 Wh here. If the meter was exchanged, write its new serial number at the device; ",
		},
		{
			name: "another register, modulus and type", from: "registers: iem3000", to: "registers: ./own.yaml", mapFrom: "address: 0x0C83\n    type: int64\n    unit: Wh", mapTo: "address: 0x0C85\n    type: uint32\n    unit: Wh\n    ratio: 80\n    modulus: 100000000",
			want: then + "address of energy.import was 0x0c83, and is 0x0c85 here; type of energy.import was int64, and is uint32 here; ratio of energy.import was 1, and is 80 here; modulus of energy.import was none, and is 100000000 here.",
		},
		{
			name: "a channel less", from: "registers: iem3000", to: "registers: ./own.yaml", mapFrom: "\n  - channel: energy.export\n    address: 0x0C87\n    type: int64\n    unit: Wh", mapTo: "",
			want: then + "registers of energy.export was there, and is not there here.",
		},
		{
			name: "another order of words", from: "registers: iem3000", to: "registers: ./own.yaml", mapFrom: "word_order: high", mapTo: "word_order: low",
			want: then + "word_order was high, and is low here.",
		},
		{name: "another kind of meter", from: "registers: iem3000", to: "registers: sunspec", want: then + "the map iem3000 is sunspec here."},
		{name: "a SunSpec meter by a map", from: "registers: sunspec", to: "registers: iem3000", want: "m1 has readings up to 2026-10-01T05:05:00Z that were read otherwise: sunspec is the map iem3000 here."},
		{name: "a meter that never replied", from: "registers: sdm630", to: "registers: iem3000"},
		{name: "an exchanged meter", from: `serial: "C1-1"`, to: `serial: "C1-2"`, mapFrom: "word_order: high", mapTo: "word_order: low"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := strings.Replace(string(site), c.from, c.to, 1)
			if c.name == "an exchanged meter" {
				config = strings.Replace(config, "registers: iem3000", "registers: ./own.yaml", 1)
			}
			own := strings.Replace(string(iem), c.mapFrom, c.mapTo, 1)
			if c.from != "" && config == string(site) || c.mapFrom != "" && own == string(iem) {
				t.Fatal("nothing is changed")
			}
			write("site.yaml", config)
			write("own.yaml", own)
			got := wattbook(t, "check", "--config", "site.yaml", "--data", "polled")
			if c.want == "" {
				if got.code != exitOK || got.errors != "" {
					t.Fatalf("exit %d\n%s%s", got.code, got.out, got.errors)
				}
				return
			}
			device, _, _ := strings.Cut(c.want, " ")
			line := 1 + strings.Count(config[:strings.Index(config, "{device: "+device)], "\n")
			want := fmt.Sprintf("site.yaml:%d: sources[meters].meters[%s].registers: %s", line, device, c.want)
			if got.code != exitFinding || !strings.HasPrefix(got.out, want) || strings.Count(got.out, "\n") != 1 {
				t.Errorf("exit %d\ngot  %s%s\nwant %s", got.code, got.out, got.errors, want)
			}
		})
	}
}
