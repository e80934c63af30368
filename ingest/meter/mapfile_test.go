package meter_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wattbook/domain"
	"wattbook/ingest/meter"
)

// hall is a map that says all that a map can say.
const hall = `name: hall-meter
function: input
unit_id: 12
byte_order: little
word_order: low
registers:
  - channel: energy.import
    address: 0x0C83
    type: uint32
    unit: 0.1 kWh
    ratio: 26.6667
    modulus: 100000000
    zero_is_null: true
  - channel: energy.export
    address: 3300
    type: float64
    unit: Wh
serial:
  function: holding
  address: 0x0081
  type: text
  registers: 8
`

func TestReadMap(t *testing.T) {
	got, err := meter.ReadMap(strings.NewReader(hall), "hall.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := meter.Map{
		Name: "hall-meter", Function: meter.Input, UnitID: 12, LittleEndian: true, LowWordFirst: true,
		Registers: []meter.Register{
			{
				Channel: imported, Address: 3203, Type: meter.Uint32, Unit: domain.NewDecimal(100_000, 0),
				Ratio: domain.MustDecimal("26.6667"), Modulus: domain.Int(100_000_000), ZeroIsNull: true,
			},
			{Channel: exported, Address: 3300, Type: meter.Double, Unit: domain.NewDecimal(1000, 0), Ratio: domain.NewDecimal(1, 0)},
		},
		Serial: &meter.Serial{Function: meter.Holding, Address: 129, Type: meter.Text, Count: 8},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("map (-want +got):\n%s", diff)
	}
	t.Run("what is left out has its default", func(t *testing.T) {
		short := "name: x\nfunction: holding\nregisters: [{channel: energy.import, address: 0, type: uint64, unit: MWh, modulus: 18446744073709551616}]\n"
		got, err := meter.ReadMap(strings.NewReader(short), "x.yaml")
		want := meter.Map{Name: "x", Function: meter.Holding, UnitID: 1, Registers: []meter.Register{{
			Channel: imported, Type: meter.Uint64, Unit: domain.NewDecimal(1, 9), Ratio: domain.NewDecimal(1, 0), Modulus: domain.Int128{Hi: 1},
		}}}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v, map (-want +got):\n%s", err, diff)
		}
	})
}

func TestNamedMaps(t *testing.T) {
	if diff := cmp.Diff([]string{"iem3000", "sdm630"}, meter.MapNames()); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	for _, name := range meter.MapNames() {
		if m, err := meter.NamedMap(name); err != nil || m.Name != name {
			t.Errorf("map %s is called %q, %v", name, m.Name, err)
		}
	}
	if _, err := meter.NamedMap("../mapfile"); err == nil || !strings.Contains(err.Error(), "iem3000") {
		t.Errorf("a map that is not there: %v, want an error that names those that are", err)
	}
}

func TestMapsThatAreRefused(t *testing.T) {
	for _, row := range []struct {
		name, from, to, want string
	}{
		{"an unknown key", "unit_id: 12", "unit: 12", `hall.yaml:3: key "unit" of the map is not known; use name, function`},
		{"a key twice", "unit_id: 12", "unit_id: 12\nunit_id: 13", "hall.yaml:4: key unit_id of the map is there twice"},
		{"an unknown key of a register", "    modulus: 1", "    wraps: 1", `hall.yaml:12: key "wraps" of the register`},
		{"a name that is missing", "name: hall-meter\n", "", "hall.yaml:1: the map has no name; add it"},
		{"a name with capitals", "hall-meter", "HallMeter", "hall.yaml:1: map \"HallMeter\""},
		{"a function that does not exist", "function: input", "function: coils", `hall.yaml:2: function is "coils"; use holding or input`},
		{"a unit id of 9 bits", "unit_id: 12", "unit_id: 256", "hall.yaml:3: unit_id is \"256\"; use a whole number from 0 to 255"},
		{"a unit id of no unit", "unit_id: 12", "unit_id: 0", "hall.yaml:3: unit_id is 0"},
		{"a byte order that does not exist", "byte_order: little", "byte_order: middle", "hall.yaml:4: byte_order is"},
		{"a word order that is a list", "word_order: low", "word_order: [low]", "hall.yaml:5: word_order is not a single value"},
		{"a channel that no meter counts", "channel: energy.export", "channel: energy", "hall.yaml:14: channel \"energy\"; use energy.import or energy.export"},
		{"a channel twice", "channel: energy.export", "channel: energy.import", "hall.yaml:14: channel energy.import has a register already"},
		{"a channel that is none of a meter", "channel: energy.export", "channel: hashes", "hall.yaml:14: channel \"hashes\"; a meter counts"},
		{"an address that looks octal", "address: 3300", "address: 0330", "hall.yaml:15: address is \"0330\""},
		{"an address of 17 bits", "address: 0x0C83", "address: 0x10000", "hall.yaml:8: address is \"0x10000\"; use a whole number from 0 to 65535"},
		{"an address with a sign", "address: 3300", "address: -1", "hall.yaml:15: address is \"-1\""},
		{"a type that does not exist", "type: uint32", "type: word", `hall.yaml:7: type "word"; use one of`},
		{"a unit that is no energy", "unit: Wh", "unit: kW", `hall.yaml:17: unit is "kW"; use Wh, kWh or MWh`},
		{"a unit with an exponent", "0.1 kWh", "1e-1 kWh", "hall.yaml:10: unit \"1e-1 kWh\": \"1e-1\" is written with an exponent"},
		{"a unit of nothing", "0.1 kWh", "0 kWh", "hall.yaml:10: unit is \"0 kWh\"; one count stands for more than nothing"},
		{"a ratio that is no number", "26.6667", "400/15", "hall.yaml:11: ratio: \"400/15\" is not a plain decimal"},
		{"a ratio of nothing", "26.6667", "0", "hall.yaml:7: ratio 0"},
		{"a modulus of zero", "modulus: 100000000", "modulus: 0", "hall.yaml:12: modulus is 0"},
		{"a modulus that the type cannot show", "modulus: 100000000", "modulus: 4294967297", "hall.yaml:7: modulus 4294967297"},
		{"a truth that is no truth", "zero_is_null: true", "zero_is_null: yes", `hall.yaml:13: zero_is_null is "yes"; use false or true`},
		{"a serial number without a length", "  registers: 8\n", "", "hall.yaml:19: serial number of 0 registers; a text has 1 to 32"},
		{"a serial number in floating point", "type: text", "type: float32", "hall.yaml:19: serial number of type"},
		{"a tabulator", "  address: 0x0081", "\taddress: 0x0081", "hall.yaml:19: found a tab character"},
		{"a second document", "  registers: 8\n", "  registers: 8\n---\nname: y\n", "a second document follows"},
		{"an alias", "name: hall-meter", "name: *hall", "unknown anchor"},
	} {
		t.Run(row.name, func(t *testing.T) {
			text := strings.Replace(hall, row.from, row.to, 1)
			if text == hall {
				t.Fatalf("the map has no %q", row.from)
			}
			if m, err := meter.ReadMap(strings.NewReader(text), "hall.yaml"); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %+v, %v; want an error with %q", m, err, row.want)
			}
		})
	}
	for _, row := range []struct{ name, text, want string }{
		{"an empty file", "", "read map x.yaml: the file is empty"},
		{"a file of comments", "# nothing\n", "the file is empty"},
		{"a list", "- a\n", "x.yaml:1: the map is not a list of keys and values"},
		{"registers that are no list", "name: x\nfunction: input\nregisters: {channel: energy.import}\n", "x.yaml:3: registers is not a list; begin each"},
		{"a map without registers", "name: x\nfunction: input\nregisters: []\n", "x.yaml:1: no registers"},
		{"a file of another kind", strings.Repeat("a", 70_000), "longer than 65536 bytes"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if _, err := meter.ReadMap(strings.NewReader(row.text), "x.yaml"); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, want an error with %q", err, row.want)
			}
		})
	}
}

// FuzzReadMap shows that any text is a map that validates, or an error.
func FuzzReadMap(f *testing.F) {
	f.Add(hall)
	f.Add("name: &a x\nfunction: *a\nregisters: [{<<: *a}]\n")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := meter.ReadMap(strings.NewReader(text), "fuzz.yaml")
		if err != nil {
			if !strings.HasPrefix(err.Error(), "read map fuzz.yaml:") {
				t.Fatalf("error %q does not name the file", err)
			}
			return
		}
		if err := m.Validate(); err != nil {
			t.Fatalf("map %+v is not valid: %v", m, err)
		}
	})
}
