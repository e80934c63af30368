package meter_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wattbook/domain"
	"wattbook/fixtures/fake"
	"wattbook/ingest"
	"wattbook/ingest/meter"
)

// golden is evidence of one poll of six meters: a SunSpec meter, one by a map
// with all that a map can say, a silent one, one that refused, one without
// models and one behind a gateway that did not reach it.
const golden = `modbus/1
meter main revenue-meter 10.0.0.7:502 1
sunspec 40070 40052
read 3 40052 57422d3100000000000000000000000000000000000000000000000000000000
read 3 40070 00cb006980008000800080008000800080008000800080008000800080008000003c000003e88000800080000003800080008000800080008000800080008000800080008000800080008000000000c80000000000000000000000000012d6870000000000000000000000000000
meter hall-1 sub-meter [fe80::1]:502 12
map hall 4 little low
register energy.import 3203 uint32 100000 26.6667 100000000 null
register energy.export 3300 float64 1000 1 0 zero
serial 3 129 uint32 2
read 3 129 78563412
read 4 3203 ff5f0d00
read 4 3300 000000000000f040
meter hall-2 sub-meter hall-2.example:502 1
sunspec
silent connection refused
meter hall-3 pdu 10.0.0.9:502 3
map iem3000 3 big high
register energy.import 3203 int64 1000 1 0 zero
register energy.export 3207 int64 1000 1 0 zero
exception 3 3203 8 2
meter hall-4 pdu 10.0.0.10:502 1
sunspec
exception 3 40000 2 2
read 3 0 00000000
exception 3 50000 2 2
senseless no SunSpec marker at 40000, 0 or 50000; describe its registers in a map
meter hall-5 pdu 10.0.0.10:502 2
sunspec 70 52
exception 3 52 16 11
`

// decoded is what the golden evidence says.
func decoded() ingest.Delivery {
	sunspec := ingest.Sample{
		Device: "main", Channel: imported, Provenance: domain.ProvenanceRevenueMeter, Serial: "WB-1", Register: domain.Int(1_234_567_000),
		Scale: ingest.Scale{Num: 1, Den: 1, Modulus: domain.Int(1<<32).MulDiv(1000, 1), ZeroIsNull: true},
	}
	out := sunspec
	out.Channel, out.Register = exported, domain.Int(200_000)
	return ingest.Delivery{
		Decoder: "modbus/1", Raw: []byte(golden),
		Samples: []ingest.Sample{
			sunspec, out,
			{
				Device: "hall-1", Channel: imported, Provenance: domain.ProvenanceSubMeter, Serial: "305419896", Register: domain.Int(876_543),
				Scale: ingest.Scale{Num: 2_666_670, Den: 1, Modulus: domain.Int(100_000_000), ZeroIsNull: true},
			},
			{
				Device: "hall-1", Channel: exported, Provenance: domain.ProvenanceSubMeter, Serial: "305419896", Register: domain.Int(65_536_000),
				Scale: ingest.Scale{Num: 1, Den: 1},
			},
		},
		Silent: []ingest.Silence{
			{Device: "hall-2", Channel: imported, Reason: "connection refused"},
			{Device: "hall-5", Channel: imported, Reason: "exception 11 (gateway target device failed to respond)"},
		},
		Rejected: []ingest.Rejection{
			{Device: "hall-3", Reason: "exception 2 (illegal data address) when asked for 8 registers at 3203"},
			{Device: "hall-4", Reason: "no SunSpec marker at 40000, 0 or 50000; describe its registers in a map"},
		},
	}
}

func TestGoldenEvidence(t *testing.T) {
	got, err := meter.Decode([]byte(golden))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(decoded(), got); diff != "" {
		t.Errorf("delivery (-want +got):\n%s", diff)
	}
}

func TestPollWritesTheEvidenceOfEveryReply(t *testing.T) {
	var a, b shown
	a.set(fake.MeterState{Import: 5 * domain.WattHour, Serial: "A"})
	b.set(fake.MeterState{Import: 7 * domain.WattHour})
	first, second := serveSunSpec(t, 203, 0, &a), serveMap(t, fake.LayoutIEM3000(), &b)
	s := open(t, config(revenue(first), meter.Meter{
		Device: "hall", Address: second.Addr(), Unit: 4, Map: named(t, "iem3000"), Provenance: domain.ProvenanceSubMeter,
	}))
	want := `modbus/1
meter main revenue-meter ` + first.Addr() + ` 1
sunspec 40070 40052
DETECTIONread 3 40052 41` + strings.Repeat("00", 31) + `
read 3 40070 00cb0069` + strings.Repeat("8000", 14) + `003c0000` + // from the current to the frequency
		`00008000800080000000` + // 0 W
		strings.Repeat("8000", 15) + strings.Repeat("0000", 8) + // to the power factor; nothing exported
		`00000005` + strings.Repeat("0000", 6) + `0000
meter hall sub-meter ` + second.Addr() + ` 4
map iem3000 3 big high
register energy.import 3203 int64 1000 1 0 zero
register energy.export 3207 int64 1000 1 0 zero
read 3 3203 00000000000000070000000000000000
`
	detection := "read 3 40000 53756e53\nread 3 40002 00010042\nread 3 40070 00cb0069\n"
	if diff := cmp.Diff(strings.Replace(want, "DETECTION", detection, 1), string(poll(t, s).Raw)); diff != "" {
		t.Errorf("evidence of the first poll (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(strings.Replace(want, "DETECTION", "", 1), string(poll(t, s).Raw)); diff != "" {
		t.Errorf("evidence of the second poll (-want +got):\n%s", diff)
	}
}

func TestHistoryIsDecodedAgainByACorrectedMeter(t *testing.T) {
	m := named(t, "iem3000")
	m.Registers = m.Registers[:1]
	m.Registers[0].Ratio = domain.NewDecimal(80, 0)
	raw := strings.Replace(golden, "exception 3 3203 8 2", "read 3 3203 000000000000002a0000000000000000", 1)
	d, err := meter.Decode([]byte(raw), meter.Meter{Device: "hall-3", Map: m, Provenance: domain.ProvenanceSubMeter})
	if err != nil {
		t.Fatal(err)
	}
	want := ingest.Sample{
		Device: "hall-3", Channel: imported, Provenance: domain.ProvenanceSubMeter, Register: domain.Int(42), Scale: ingest.Scale{Num: 80_000, Den: 1},
	}
	if diff := cmp.Diff(append(decoded().Samples, want), d.Samples); diff != "" {
		t.Errorf("samples (-want +got):\n%s", diff)
	}

	t.Run("a register that was not read then cannot be decoded now", func(t *testing.T) {
		m.Registers[0].Address = 9
		d, err := meter.Decode([]byte(raw), meter.Meter{Device: "hall-3", Map: m, Provenance: domain.ProvenanceSubMeter})
		if err != nil || len(d.Rejected) != 2 || d.Rejected[0].Reason != "4 registers at 9 were not read" {
			t.Errorf("rejected %v, %v", d.Rejected, err)
		}
	})
	t.Run("a SunSpec meter whose models are not in the evidence is rejected", func(t *testing.T) {
		d, err := meter.Decode([]byte(raw), meter.Meter{Device: "hall-3", Provenance: domain.ProvenanceSubMeter})
		if err != nil || len(d.Rejected) != 2 || !strings.Contains(d.Rejected[0].Reason, "is not known") {
			t.Errorf("rejected %v, %v", d.Rejected, err)
		}
	})
}

func TestDamagedEvidenceIsRefused(t *testing.T) {
	for _, row := range []struct {
		name, from, to, want string
	}{
		{"another form", "modbus/1", "modbus/2", `line 1 is "modbus/2"`},
		{"a line before the first meter", "meter main", "sunspec\nmeter main", "line 2: sunspec: comes before"},
		{"an unknown line", "sunspec 40070 40052", "sunspecs 40070 40052", "line 3: sunspecs: is not a line"},
		{"a missing word", "sunspec 40070 40052", "sunspec 40070", "line 3: sunspec: 1 words, want 2"},
		{"an address of 17 bits", "sunspec 40070 40052", "sunspec 70000 40052", "16 bits"},
		{"a bad device", "meter hall-1", "meter Hall-1", "lower-case"},
		{"a bad provenance", "sub-meter [", "submeter [", "provenance"},
		{"a unit of 9 bits", ":502 12", ":502 256", "8 bits"},
		{"half a byte", "read 3 129 78563412", "read 3 129 7856341", "odd length"},
		{"half a register", "read 3 129 78563412", "read 3 129 785634", "3 bytes"},
		{"a reply without registers", "read 3 129 78563412", "read 3 129 ", "0 bytes"},
		{"a function that reads nothing", "read 3 129", "read 6 129", "function 6"},
		{"a byte order that does not exist", "4 little low", "4 middle low", "neither little nor big"},
		{"a register of an unknown type", "uint32 100000", "uint31 100000", "uint31"},
		{"a unit with an exponent", "uint32 100000", "uint32 1e5", "exponent"},
		{"a register without a map", "map hall 4 little low\n", "", "has no map"},
		{"a channel twice", "register energy.export 3300", "register energy.import 3300", "two registers"},
		{"a map without registers", "register energy.import 3203 int64 1000 1 0 zero\nregister energy.export 3207 int64 1000 1 0 zero\n", "", "no registers"},
		{"a serial number of a wrong length", "uint32 2\n", "uint32 3\n", "serial number of type"},
		{"silence without a reason", "silent connection refused", "silent", "has no reason"},
		{"an exception of 9 bits", "exception 3 3203 8 2", "exception 3 3203 8 256", "8 bits"},
	} {
		t.Run(row.name, func(t *testing.T) {
			raw := strings.Replace(golden, row.from, row.to, 1)
			if raw == golden {
				t.Fatalf("the golden evidence has no %q", row.from)
			}
			if _, err := meter.Decode([]byte(raw)); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, want an error with %q", err, row.want)
			}
		})
	}
}

// FuzzDecode shows that evidence of any content decodes to samples that the
// door can take, or not at all.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(golden))
	f.Add([]byte("modbus/1\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := meter.Decode(raw)
		if err != nil {
			return
		}
		again, err := meter.Decode(raw)
		if diff := cmp.Diff(d, again); diff != "" || err != nil {
			t.Fatalf("decoding twice gives two deliveries: %v\n%s", err, diff)
		}
		for _, s := range d.Samples {
			if s.Register.Sign() < 0 || s.Register.Cmp(domain.ReadingLimit) > 0 || s.Scale.Num <= 0 || s.Scale.Den <= 0 || s.Scale.Modulus.Sign() < 0 {
				t.Fatalf("sample %+v cannot be", s)
			}
			// The conversions of package counter do not overflow.
			top := s.Register.Add(s.Scale.Modulus)
			if v := top.MulDiv(s.Scale.Num, s.Scale.Den); v.Sign() < 0 || v.Cmp(top) < 0 && s.Scale.Num >= s.Scale.Den {
				t.Fatalf("sample %+v converts to %s", s, v)
			}
		}
	})
}
