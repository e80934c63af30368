package meter_test

import (
	"fmt"
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"wattbook/domain"
	"wattbook/fixtures/fake"
	"wattbook/ingest"
	"wattbook/ingest/meter"
)

var (
	wattHour = domain.NewDecimal(1000, 0)
	kWh      = domain.NewDecimal(1_000_000, 0)
	one      = domain.NewDecimal(1, 0)
)

func TestMapMeters(t *testing.T) {
	plain := func(c domain.Channel, register, num, den int64) ingest.Sample {
		return ingest.Sample{
			Device: "main", Channel: c, Provenance: domain.ProvenanceRevenueMeter, Register: domain.Int(register),
			Scale: ingest.Scale{Num: num, Den: den},
		}
	}
	state := fake.MeterState{Import: 1_234_567_891_012, Export: 5_500_000}
	for _, row := range []struct {
		name   string
		layout fake.MeterLayout
		want   []ingest.Sample
	}{
		{"iem3000", fake.LayoutIEM3000(), []ingest.Sample{plain(imported, 1_234_567_891, 1000, 1), plain(exported, 5500, 1000, 1)}},
		// The float32 next to 1234567.891012 kWh is 1234567.875.
		{"sdm630", fake.LayoutSDM630(), []ingest.Sample{plain(imported, 1_234_567_875_000, 1, 1), plain(exported, 5_500_000, 1, 1)}},
	} {
		t.Run(row.name, func(t *testing.T) {
			var st shown
			st.set(state)
			s := serveMap(t, row.layout, &st)
			m := revenue(s)
			m.Map = named(t, row.name)
			d := poll(t, open(t, config(m)))
			if diff := cmp.Diff(row.want, d.Samples); diff != "" {
				t.Errorf("samples (-want +got):\n%s", diff)
			}
			if s.Requests() != 1 {
				t.Errorf("%d requests, want 1: the registers touch", s.Requests())
			}
		})
	}
}

func TestMapCodings(t *testing.T) {
	tenth := domain.NewDecimal(100_000, 0) // 0.1 kWh
	for _, kind := range meter.Types() {
		for _, order := range []struct{ little, low bool }{{false, false}, {true, false}, {false, true}, {true, true}} {
			t.Run(fmt.Sprintf("%s with little=%t low=%t", kind, order.little, order.low), func(t *testing.T) {
				var st shown
				st.set(fake.MeterState{Import: 87_654_300_000, Serial: "305419896"})
				layout := fake.MeterLayout{LittleEndian: order.little, LowWordFirst: order.low, Points: []fake.MeterPoint{
					{Address: 100, Quantity: fake.ShowImport, Type: string(kind), Unit: tenth},
					{Address: 300, Quantity: fake.ShowSerial, Type: "uint32", Unit: domain.NewDecimal(1, 0)},
				}}
				m := revenue(serveMap(t, layout, &st))
				m.Map = &meter.Map{
					Name: "hall", Function: meter.Holding, LittleEndian: order.little, LowWordFirst: order.low,
					Registers: []meter.Register{{
						Channel: imported, Address: 100, Type: kind, Unit: tenth, Ratio: domain.MustDecimal("26.6667"),
						Modulus: domain.Int(100_000_000), ZeroIsNull: true,
					}},
					Serial: &meter.Serial{Function: meter.Holding, Address: 300, Type: meter.Uint32, Count: 2},
				}
				want := ingest.Sample{
					Device: "main", Channel: imported, Provenance: domain.ProvenanceRevenueMeter, Serial: "305419896",
					Register: domain.Int(876_543),
					Scale:    ingest.Scale{Num: 2_666_670, Den: 1, Modulus: domain.Int(100_000_000), ZeroIsNull: true},
				}
				if kind == meter.Single || kind == meter.Double {
					want.Register, want.Scale.Modulus = domain.Int(87_654_300_000), domain.Int(10_000_000_000_000)
					want.Scale.Num, want.Scale.Den = 266_667, 10_000
				}
				d := poll(t, open(t, config(m)))
				if diff := cmp.Diff([]ingest.Sample{want}, d.Samples); diff != "" {
					t.Errorf("samples (-want +got):\n%s\nrejected: %v", diff, d.Rejected)
				}
			})
		}
	}
	t.Run("a text with swapped bytes", func(t *testing.T) {
		var st shown
		st.set(fake.MeterState{Import: domain.KilowattHour, Serial: "AB-12345"})
		layout := fake.MeterLayout{Input: true, LittleEndian: true, Points: []fake.MeterPoint{
			{Address: 0, Quantity: fake.ShowImport, Type: "uint32", Unit: tenth},
			{Address: 2, Quantity: fake.ShowSerial, Type: "text", Registers: 5},
		}}
		m := revenue(serveMap(t, layout, &st))
		m.Map = &meter.Map{
			Name: "hall", Function: meter.Input, LittleEndian: true,
			Registers: []meter.Register{{Channel: imported, Type: meter.Uint32, Unit: tenth, Ratio: domain.NewDecimal(1, 0)}},
			Serial:    &meter.Serial{Function: meter.Input, Address: 2, Type: meter.Text, Count: 5},
		}
		if d := poll(t, open(t, config(m))); len(d.Samples) != 1 || d.Samples[0].Serial != "AB-12345" || d.Samples[0].Register != domain.Int(10) {
			t.Errorf("delivery is %+v", d)
		}
	})
}

func TestMapRegistersThatMakeNoSense(t *testing.T) {
	kWh := domain.NewDecimal(int64(domain.KilowattHour), 0)
	for _, row := range []struct {
		name string
		kind meter.Type
		bits uint64
		want string
	}{
		{"a float32 NaN", meter.Single, 0x7fc00000, "NaN"},
		{"a float32 infinity", meter.Single, 0x7f800000, "infinity"},
		{"a negative float32", meter.Single, 0xbf800000, "negative"},
		{"a float32 beyond any meter", meter.Single, 0x7f7fffff, "2^63"},
		{"a float64 NaN", meter.Double, 0x7ff8000000000001, "NaN"},
		{"a float64 infinity", meter.Double, 0xfff0000000000000, "infinity"},
		{"a negative int32", meter.Int32, 0xffffffff, "shows -1"},
		{"an int64 that is not available", meter.Int64, 0x8000000000000000, "negative"},
		{"a saturated uint32", meter.Uint32, 0xffffffff, "saturated"},
		{"a saturated uint64", meter.Uint64, math.MaxUint64, "saturated"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var st shown
			st.set(fake.MeterState{RawImport: &row.bits})
			layout := fake.MeterLayout{Points: []fake.MeterPoint{{Address: 7, Quantity: fake.ShowImport, Type: string(row.kind), Unit: kWh}}}
			m := revenue(serveMap(t, layout, &st))
			m.Map = &meter.Map{Name: "hall", Function: meter.Holding, Registers: []meter.Register{
				{Channel: imported, Address: 7, Type: row.kind, Unit: kWh, Ratio: domain.NewDecimal(1, 0)},
			}}
			d := poll(t, open(t, config(m)))
			if len(d.Samples) != 0 || len(d.Rejected) != 1 || !strings.Contains(d.Rejected[0].Reason, row.want) {
				t.Errorf("samples %v, rejected %v; want a rejection with %q", d.Samples, d.Rejected, row.want)
			}
		})
	}
}

func TestExactIsTheFloorOfTheNumber(t *testing.T) {
	for _, row := range []struct {
		name string
		bits uint64
		wide bool // float64
		unit domain.Decimal
		want int64
	}{
		{"one kWh", 0x3f800000, false, kWh, 1_000_000},
		{"minus zero is zero", 0x80000000, false, kWh, 0},
		{"0.1 kWh is kept as 0.100000001490116…", 0x3dcccccd, false, kWh, 100_000},
		{"the number below it is 0.0999999940395355…", 0x3dcccccc, false, kWh, 99_999},
		{"180.1 kWh is kept as 180.1000061035156…", 0x4334199a, false, kWh, 180_100_006},
		{"5000 kWh", 0x459c4000, false, kWh, 5_000_000_000},
		{"16.8 GWh, in steps of 2 kWh", 0x4b802f48, false, kWh, 16_801_424_000_000},
		{"the least subnormal is nothing", 1, false, kWh, 0},
		{"a float64 keeps 123456789.123456 kWh", 0x419d6f34547e6b40, true, kWh, 123_456_789_123_456},
		{"a float64 of 0.1 kWh units", 0x3ff0000000000000, true, domain.NewDecimal(100_000, 0), 100_000},
		{"the greatest float64 that fits", 0x43dfffffffffffff, true, one, 9223372036854774784},
		{"the least float64", 1, true, kWh, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			exponent, fraction := uint(8), uint(23)
			if row.wide {
				exponent, fraction = 11, 52
			}
			got, err := meter.Exact(row.bits, exponent, fraction, row.unit)
			if err != nil || got != domain.Int(row.want) {
				t.Errorf("got %s, %v; want %d", got, err, row.want)
			}
		})
	}
	t.Run("beyond 2^63 milliwatt-hours is refused", func(t *testing.T) {
		for _, bits := range []uint64{0x43e0000000000000, 0x7fefffffffffffff} {
			if got, err := meter.Exact(bits, 11, 52, one); err == nil {
				t.Errorf("%#x gives %s", bits, got)
			}
		}
	})
}

// TestExactAgreesWithFractions builds numbers from their parts and compares
// with exact fractions.
func TestExactAgreesWithFractions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		wide := rapid.Bool().Draw(t, "float64")
		exponentBits, fractionBits, bias := uint(8), uint(23), 127
		if wide {
			exponentBits, fractionBits, bias = 11, 52, 1023
		}
		fraction := rapid.Uint64Range(0, 1<<fractionBits-1).Draw(t, "fraction")
		// Around the numbers that meters show, and over the whole range.
		exponent := rapid.OneOf(rapid.IntRange(bias-30, bias+62), rapid.IntRange(1, 2*bias)).Draw(t, "exponent")
		unit := domain.NewDecimal(rapid.Int64Range(1, 1_000_000_000).Draw(t, "coefficient"), -int32(rapid.IntRange(0, 9).Draw(t, "digits")))

		value := new(big.Rat).SetInt(new(big.Int).SetUint64(1<<fractionBits | fraction))
		power := new(big.Rat).SetInt(new(big.Int).Lsh(big.NewInt(1), uint(max(exponent-bias-int(fractionBits), bias+int(fractionBits)-exponent))))
		if exponent-bias < int(fractionBits) {
			power.Inv(power)
		}
		value.Mul(value, power).Mul(value, unit.Rat())
		floor := new(big.Int).Quo(value.Num(), value.Denom())

		got, err := meter.Exact(uint64(exponent)<<fractionBits|fraction, exponentBits, fractionBits, unit)
		if floor.IsInt64() != (err == nil) {
			t.Fatalf("got %s, %v; the number is %s", got, err, floor)
		}
		if err == nil && got.Big().Cmp(floor) != 0 {
			t.Errorf("got %s, want %s", got, floor)
		}
	})
}

func TestRequests(t *testing.T) {
	at := func(c domain.Channel, address uint16, kind meter.Type) meter.Register {
		return meter.Register{Channel: c, Address: address, Type: kind, Unit: wattHour, Ratio: one}
	}
	for _, row := range []struct {
		name string
		m    meter.Map
		want [][3]uint16 // function, address, registers
	}{
		{"registers that touch are read together", meter.Map{Function: meter.Input, Registers: []meter.Register{
			at(exported, 104, meter.Uint32), at(imported, 100, meter.Int64),
		}}, [][3]uint16{{4, 100, 6}}},
		{"registers that overlap are read once", meter.Map{Function: meter.Holding, Registers: []meter.Register{
			at(imported, 100, meter.Int64), at(exported, 102, meter.Uint32),
		}}, [][3]uint16{{3, 100, 4}}},
		{"nothing between registers is read", meter.Map{Function: meter.Holding, Registers: []meter.Register{
			at(imported, 100, meter.Uint32), at(exported, 103, meter.Uint32),
		}}, [][3]uint16{{3, 100, 2}, {3, 103, 2}}},
		{"the serial number is read by itself", meter.Map{
			Function:  meter.Holding,
			Registers: []meter.Register{at(imported, 100, meter.Uint32)},
			Serial:    &meter.Serial{Function: meter.Holding, Address: 98, Type: meter.Uint32, Count: 2},
		}, [][3]uint16{{3, 98, 2}, {3, 100, 2}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			if diff := cmp.Diff(row.want, meter.Spans(row.m)); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRegistersThatAreRefused(t *testing.T) {
	good := meter.Register{Channel: imported, Address: 7, Type: meter.Uint32, Unit: wattHour, Ratio: one}
	for _, row := range []struct {
		name   string
		change func(*meter.Register)
		want   string
	}{
		{"a channel that no meter counts", func(r *meter.Register) { r.Channel = domain.ChannelHashes }, "energy.import"},
		{"a type that does not exist", func(r *meter.Register) { r.Type = "int16" }, "use one of"},
		{"an address whose value ends outside", func(r *meter.Register) { r.Address = 65535 }, "beyond register 65535"},
		{"a unit of nothing", func(r *meter.Register) { r.Unit = domain.Decimal{} }, "more than 0"},
		{"a unit beyond a megawatt-hour", func(r *meter.Register) { r.Unit = domain.NewDecimal(1, 10) }, "at most 1 MWh"},
		{"a ratio below zero", func(r *meter.Register) { r.Ratio = domain.NewDecimal(-1, 0) }, "ratio -1"},
		{"a ratio of too many digits", func(r *meter.Register) { r.Ratio = domain.MustDecimal("26.66666666666") }, "9 digits"},
		{"a scale of too many digits", func(r *meter.Register) {
			r.Unit, r.Ratio = domain.MustDecimal("999999999.999999999"), domain.MustDecimal("999999.999999999")
		}, "round the ratio"},
		{"a modulus that the type cannot show", func(r *meter.Register) { r.Modulus = domain.Int(1<<32 + 1) }, "modulus 4294967297"},
		{"a negative modulus", func(r *meter.Register) { r.Modulus = domain.Int(-1) }, "modulus -1"},
		{"a modulus between milliwatt-hours", func(r *meter.Register) {
			r.Type, r.Unit, r.Modulus = meter.Single, domain.MustDecimal("0.3"), domain.Int(1)
		}, "whole number of milliwatt-hours"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := good
			row.change(&r)
			if err := r.Validate(); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, want an error with %q", err, row.want)
			}
		})
	}
	if err := good.Validate(); err != nil {
		t.Errorf("the register itself: %v", err)
	}
}

func ExampleRegister() {
	r := meter.Register{Channel: domain.ChannelEnergyImport, Address: 7, Type: "int16"}
	fmt.Println(r.Validate())
	// Output: type "int16"; use one of [uint32 int32 uint64 int64 float32 float64]
}
