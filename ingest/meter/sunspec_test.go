package meter_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/simonvetter/modbus"

	"wattbook/domain"
	"wattbook/fixtures/fake"
	"wattbook/ingest"
	"wattbook/ingest/counter"
	"wattbook/ingest/meter"
)

// fieldData returns a file of the folder of field data, or skips the test.
func fieldData(t *testing.T, name string) []byte {
	t.Helper()
	dir := os.Getenv("WATTBOOK_FIELD_DATA")
	if dir == "" {
		root, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for {
			if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
				break
			}
			parent := filepath.Dir(root)
			if parent == root {
				t.Skip("no go.mod above the test: cannot find the field data")
			}
			root = parent
		}
		dir = filepath.Join(root, "..", "shared", "data")
	}
	b, err := os.ReadFile(filepath.Join(dir, name))
	if os.IsNotExist(err) {
		t.Skipf("field data %s is absent; set WATTBOOK_FIELD_DATA", name)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestOffsetsAreThoseOfThePublishedModels(t *testing.T) {
	for _, id := range []int{201, 202, 203, 204} {
		t.Run(fmt.Sprintf("model %d", id), func(t *testing.T) {
			var model struct {
				ID    int
				Group struct {
					Points []struct {
						Name, Type, Units, SF string
						Size                  int
					}
				}
			}
			if err := json.Unmarshal(fieldData(t, fmt.Sprintf("sunspec/model_%d.json", id)), &model); err != nil {
				t.Fatal(err)
			}
			if model.ID != id {
				t.Fatalf("the file describes model %d", model.ID)
			}
			ours, read := meter.Offsets()
			kinds := map[string]string{
				"ID": "uint16", "L": "uint16", "W": "int16", "TotWhExp": "acc32", "TotWhImp": "acc32", "TotWh_SF": "sunssf",
			}
			at, found := 0, 0
			for _, p := range model.Group.Points {
				if want, ok := ours[p.Name]; ok {
					found++
					if at != want || p.Type != kinds[p.Name] || at+p.Size > read {
						t.Errorf("%s is %s at %d; it is read as %s at %d, of %d registers", p.Name, p.Type, at, kinds[p.Name], want, read)
					}
					if p.Type == "acc32" && (p.Units != "Wh" || p.SF != "TotWh_SF") {
						t.Errorf("%s is in %s by %s, want Wh by TotWh_SF", p.Name, p.Units, p.SF)
					}
				}
				at += p.Size
			}
			if found != len(ours) {
				t.Errorf("%d of %d points are in the model", found, len(ours))
			}
			if at-2 != meter.MeterLength {
				t.Errorf("the model has length %d, want %d", at-2, meter.MeterLength)
			}
		})
	}
}

// acc32 is the sample of a SunSpec register of the main meter.
func acc32(c domain.Channel, register, unit int64, serial string) ingest.Sample {
	return ingest.Sample{
		Device: "main", Channel: c, Provenance: domain.ProvenanceRevenueMeter, Register: domain.Int(register), Serial: serial,
		Scale: ingest.Scale{Num: 1, Den: 1, Modulus: domain.Int(1<<32).MulDiv(unit, 1), ZeroIsNull: true},
	}
}

func TestSunSpecModelsAndScales(t *testing.T) {
	for _, row := range []struct {
		model uint16
		scale int16
		want  int64 // the register in milliwatt-hours
		unit  int64
	}{
		{201, 0, 1_234_567_000, 1000},
		{202, -3, 1_234_567_891, 1},
		{203, -2, 1_234_567_890, 10},
		{204, 3, 1_234_000_000, 1_000_000},
	} {
		t.Run(fmt.Sprintf("model %d counts in 10^%d Wh", row.model, row.scale), func(t *testing.T) {
			var st shown
			st.set(fake.MeterState{Power: domain.Megawatt, Import: 1_234_567_891, Serial: "WB-0001"})
			d := poll(t, open(t, config(revenue(serveSunSpec(t, row.model, row.scale, &st)))))
			want := []ingest.Sample{acc32(imported, row.want, row.unit, "WB-0001")}
			if diff := cmp.Diff(want, d.Samples); diff != "" {
				t.Errorf("samples (-want +got):\n%s", diff)
			}
			if d.Source != "meters" || d.Observed != noon+1 || d.Decoder != "modbus/1" || len(d.Silent)+len(d.Rejected) != 0 {
				t.Errorf("delivery is %+v", d)
			}
		})
	}
}

func TestSunSpecRegisters(t *testing.T) {
	zero, full, raw := uint64(0), uint64(math.MaxUint32), uint64(0xfffffffe)
	absent, tooFine, tooCoarse, coarsest := fake.SunSpecNotImplemented, int16(-4), int16(11), int16(10)
	for _, row := range []struct {
		name   string
		state  fake.MeterState
		want   []ingest.Sample
		reject string
	}{
		{
			"a meter that delivered has two registers",
			fake.MeterState{Import: 5 * domain.WattHour, Export: 2 * domain.WattHour},
			[]ingest.Sample{acc32(imported, 5000, 1000, ""), acc32(exported, 2000, 1000, "")},
			"",
		},
		{
			"a register that wrapped shows the rest",
			fake.MeterState{Import: (1<<32 + 7) * domain.WattHour},
			[]ingest.Sample{acc32(imported, 7000, 1000, "")},
			"",
		},
		{
			"a zero import is passed on as a null",
			fake.MeterState{Import: 5 * domain.WattHour, RawImport: &zero},
			[]ingest.Sample{acc32(imported, 0, 1000, "")},
			"",
		},
		{
			"the last value before the wrap is a value",
			fake.MeterState{RawImport: &raw},
			[]ingest.Sample{acc32(imported, 0xfffffffe*1000, 1000, "")},
			"",
		},
		{
			"the coarsest scale still fits",
			fake.MeterState{RawImport: &raw, Scale: &coarsest},
			[]ingest.Sample{{
				Device: "main", Channel: imported, Provenance: domain.ProvenanceRevenueMeter,
				Register: domain.Int(0xfffffffe).MulDiv(1e13, 1),
				Scale:    ingest.Scale{Num: 1, Den: 1, Modulus: domain.Int(1<<32).MulDiv(1e13, 1), ZeroIsNull: true},
			}},
			"",
		},
		{"all ones are no reading", fake.MeterState{RawImport: &full}, nil, "saturated"},
		{"a scale that is not implemented leaves the unit unknown", fake.MeterState{Import: 1e6, Scale: &absent}, nil, "TotWh_SF is not implemented"},
		{"a scale finer than a milliwatt-hour is refused", fake.MeterState{Import: 1e6, Scale: &tooFine}, nil, "TotWh_SF is -4"},
		{"a scale off the SunSpec range is refused", fake.MeterState{Import: 1e6, Scale: &tooCoarse}, nil, "TotWh_SF is 11"},
		{"a serial number may be filled up with spaces and 0xff", fake.MeterState{Import: 1e6, Serial: " WB-1 \xff\xff"}, []ingest.Sample{acc32(imported, 1_000_000, 1000, "WB-1")}, ""},
		{"a serial number ends where it ends, whatever follows", fake.MeterState{Import: 1e6, Serial: "WB-1\x00\x01\x02"}, []ingest.Sample{acc32(imported, 1_000_000, 1000, "WB-1")}, ""},
		{"a serial number that ends in another byte is refused", fake.MeterState{Import: 1e6, Serial: "WB-1\xfe"}, nil, "is not text"},
		{"a serial number that is not text is refused", fake.MeterState{Import: 1e6, Serial: "WB\x01"}, nil, "is not text"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var st shown
			st.set(row.state)
			d := poll(t, open(t, config(revenue(serveSunSpec(t, 203, 0, &st)))))
			if diff := cmp.Diff(row.want, d.Samples); diff != "" {
				t.Errorf("samples (-want +got):\n%s", diff)
			}
			if len(d.Silent) != 0 || (row.reject == "") != (len(d.Rejected) == 0) {
				t.Fatalf("silent %v, rejected %v", d.Silent, d.Rejected)
			}
			if row.reject != "" && (d.Rejected[0].Device != "main" || !strings.Contains(d.Rejected[0].Reason, row.reject)) {
				t.Errorf("rejected %+v, want a reason with %q", d.Rejected[0], row.reject)
			}
		})
	}
}

// TestRegistersBook drives what the source delivers through package counter:
// what is booked is what the meter really counted, wherever its register was.
func TestRegistersBook(t *testing.T) {
	coarse, misread := int16(1), int16(2)
	garbage := uint64(0)
	type step struct {
		state fake.MeterState
		mark  domain.Mark
		value int64 // milliwatt-hours
	}
	const wrap = (1 << 32) * domain.WattHour
	for _, row := range []struct {
		name  string
		steps []step
	}{
		{"through the wrap of an acc32", []step{
			{fake.MeterState{Import: wrap - 40*domain.KilowattHour}, domain.MarkFirst, 0},
			{fake.MeterState{Import: wrap + 43*domain.KilowattHour}, domain.MarkRollover, 83_000_000},
			{fake.MeterState{Import: wrap + 126*domain.KilowattHour}, domain.MarkNormal, 83_000_000},
		}},
		{"across a change to a coarser scale", []step{
			{fake.MeterState{Import: 4000 * domain.MegawattHour}, domain.MarkFirst, 0},
			{fake.MeterState{Import: 4000*domain.MegawattHour + 80*domain.KilowattHour, Scale: &coarse}, domain.MarkNormal, 80_000_000},
			{fake.MeterState{Import: 4000*domain.MegawattHour + 160*domain.KilowattHour, Scale: &coarse}, domain.MarkNormal, 80_000_000},
		}},
		{"over a poll that showed zero", []step{
			{fake.MeterState{Import: 100 * domain.MegawattHour}, domain.MarkFirst, 0},
			{fake.MeterState{Import: 100*domain.MegawattHour + 80*domain.KilowattHour, RawImport: &garbage}, domain.MarkGlitch, 0},
			{fake.MeterState{Import: 100*domain.MegawattHour + 160*domain.KilowattHour}, domain.MarkGap, 160_000_000},
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			var st shown
			s := open(t, config(revenue(serveSunSpec(t, 203, 0, &st))))
			var state counter.State
			for i, want := range row.steps {
				st.set(want.state)
				sample := poll(t, s).Samples[0]
				register := counter.Register{
					Num: sample.Scale.Num, Den: sample.Scale.Den, Modulus: sample.Scale.Modulus, ZeroIsNull: sample.Scale.ZeroIsNull,
					PerSecond: domain.Int(int64(domain.Megawatt) / 3600),
				}
				at := noon.Add(domain.Duration(i) * 5 * domain.Minute)
				got, err := state.Step(register, 5*domain.Minute, "", nil, counter.Sample{At: at, Register: sample.Register})
				if err != nil || got.Mark != want.mark || got.Value != domain.Int(want.value) {
					t.Errorf("step %d: %s of %s, %v; want %s of %d", i+1, got.Mark, got.Value, err, want.mark, want.value)
				}
			}
		})
	}
	t.Run("but not by a scale that was misread", func(t *testing.T) {
		var st shown
		s := open(t, config(revenue(serveSunSpec(t, 203, 0, &st))))
		st.set(fake.MeterState{Import: 40 * domain.MegawattHour})
		before := poll(t, s).Samples[0].Register
		raw := uint64(40_000_000)
		st.set(fake.MeterState{RawImport: &raw, Scale: &misread})
		if got := poll(t, s).Samples[0].Register; got != before.MulDiv(100, 1) {
			t.Errorf("register is %s after %s; a hundredfold jump is what the counter refuses", got, before)
		}
	})
}

// registersAt serves an image that begins at base.
func registersAt(t *testing.T, base int, image func() []uint16) *fake.MeterServer {
	t.Helper()
	s, err := fake.ServeRegisters(func(_ bool, address, quantity uint16) ([]uint16, error) {
		r, from := image(), int(address)-base
		if from < 0 || from+int(quantity) > len(r) {
			return nil, modbus.ErrIllegalDataAddress
		}
		return r[from : from+int(quantity)], nil
	})
	return closing(t, s, err)
}

// insert puts a model of another kind between the common model and the meter.
func insert(image []uint16, model uint16) []uint16 {
	const meterAt = 70
	other := append([]uint16{model, 50}, make([]uint16, 50)...)
	return append(append(append([]uint16{}, image[:meterAt]...), other...), image[meterAt:]...)
}

func TestSunSpecChains(t *testing.T) {
	state := fake.MeterState{Import: 3 * domain.WattHour, Serial: "WB-1"}
	image := fake.SunSpecRegisters(203, 0, state)
	want := acc32(imported, 3000, 1000, "WB-1")
	nameless := want
	nameless.Serial = ""
	float := append([]uint16{}, image...)
	float[70] = 213
	short := append([]uint16{}, image...)
	short[71] = 104
	endless := append([]uint16{0x5375, 0x6e53}, make([]uint16, 400)...)
	for i := 2; i < len(endless); i++ {
		endless[i] = 64 * uint16(1-i%2) // model 64 of length 0, and again
	}
	wide := append([]uint16{}, image...)
	wide[3] = 0xfff0
	for _, row := range []struct {
		name  string
		base  int
		image []uint16
		want  *ingest.Sample
		why   string
	}{
		{"that begins at 0", 0, image, &want, ""},
		{"that begins at 50000", 50000, image, &want, ""},
		{"with another model before the meter", 40000, insert(image, 120), &want, ""},
		{"without a common model", 40000, append([]uint16{0x5375, 0x6e53}, image[70:]...), &nameless, ""},
		{"elsewhere", 30000, image, nil, "no SunSpec marker at 40000, 0 or 50000"},
		{"with a meter in floating point", 40000, float, nil, "among the models 1, 213; describe"},
		{"with a meter of another length", 40000, short, nil, "registers at 40070 begin with 0x00cb 0x0068"},
		{"without an end", 40000, endless, nil, "does not end within 64 models"},
		{"out of the address space", 40000, wide, nil, "leaves the address space"},
	} {
		t.Run("a chain "+row.name, func(t *testing.T) {
			d := poll(t, open(t, config(revenue(registersAt(t, row.base, func() []uint16 { return row.image })))))
			if row.want != nil {
				if diff := cmp.Diff([]ingest.Sample{*row.want}, d.Samples); diff != "" {
					t.Errorf("samples (-want +got):\n%s\nrejected: %v", diff, d.Rejected)
				}
				return
			}
			if len(d.Rejected) != 1 || !strings.Contains(d.Rejected[0].Reason, row.why) {
				t.Errorf("rejected %v, silent %v; want a rejection with %q", d.Rejected, d.Silent, row.why)
			}
		})
	}
}

func TestModelsThatMovedAreFoundAgain(t *testing.T) {
	image := fake.SunSpecRegisters(203, 0, fake.MeterState{Import: 3 * domain.WattHour})
	var mu sync.Mutex
	server := registersAt(t, 40000, func() []uint16 {
		mu.Lock()
		defer mu.Unlock()
		return image
	})
	s := open(t, config(revenue(server)))
	poll(t, s)
	mu.Lock()
	image = insert(image, 120)
	mu.Unlock()
	if d := poll(t, s); len(d.Samples) != 0 || len(d.Rejected) != 1 {
		t.Errorf("where the meter was: %+v, want a rejection", d)
	}
	if d := poll(t, s); len(d.Samples) != 1 || server.Connections() != 1 {
		t.Errorf("where the meter is now: %+v over %d connections, want a sample over 1", d, server.Connections())
	}
}
