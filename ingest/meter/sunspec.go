package meter

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"wattbook/domain"
	"wattbook/ingest"
)

// Offsets, in registers from the start of its model, of what is read of a
// SunSpec meter of integer model 201, 202, 203 or 204 (sunspec/models,
// model_201.json to model_204.json: the four have one layout).
const (
	offsetID       = 0
	offsetLength   = 1
	offsetPower    = 18 // W int16: not a register that counts; kept as evidence of what the meter saw
	offsetExport   = 38 // TotWhExp acc32
	offsetImport   = 46 // TotWhImp acc32
	offsetScale    = 54 // TotWh_SF sunssf
	meterLength    = 105
	meterRead      = offsetScale + 1 // registers read in one request: a scale from another moment would be a tenfold error
	firstMeter     = 201
	lastMeter      = 204
	commonModel    = 1
	commonSerial   = 50 // SN, 16 registers of text (model_1.json)
	serialCount    = 16
	commonLength   = 65 // without the pad register that makes it 66
	endModel       = 0xffff
	notImplemented = math.MinInt16 // sunssf
)

// modelsLimit bounds a walk along a chain of models: real devices have fewer
// than 20.
const modelsLimit = 64

// marker is "SunS", the two registers that every SunSpec device begins with.
const marker = 0x53756e53

// markerAddresses are where the marker may stand, the most usual first.
func markerAddresses() []uint16 { return []uint16{40000, 0, 50000} }

// layout is where a SunSpec device keeps what is read of it.
type layout struct {
	model  uint16 // address of the meter model
	serial uint16 // address of the serial number; 0 if there is no common model
}

// reader reads registers of one unit and keeps the replies.
type reader func(ctx context.Context, f Function, address, count uint16) ([]byte, error)

// detect walks the chain of models for the first integer meter model.
func detect(ctx context.Context, read reader) (layout, error) {
	base, err := findMarker(ctx, read)
	if err != nil {
		return layout{}, err
	}
	var l layout
	var seen []string
	at := int(base) + 2
	for range modelsLimit {
		if at+2 > math.MaxUint16 {
			return layout{}, senselessf("the chain of SunSpec models from %d leaves the address space", base)
		}
		b, err := read(ctx, Holding, uint16(at), 2)
		if err != nil {
			return layout{}, err
		}
		id, length := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
		switch {
		case id == commonModel && length >= commonLength && l.serial == 0 && at+commonLength <= math.MaxUint16:
			l.serial = uint16(at) + commonSerial
		case firstMeter <= id && id <= lastMeter:
			l.model = uint16(at)
			return l, nil
		case id == endModel:
			return layout{}, senselessf("no SunSpec meter model 201 to 204 among the models %s; describe its registers in a map", strings.Join(seen, ", "))
		}
		seen = append(seen, fmt.Sprint(id))
		at += 2 + int(length)
	}
	return layout{}, senselessf("the chain of SunSpec models from %d does not end within %d models", base, modelsLimit)
}

// findMarker returns the address of the marker. A device refuses addresses
// that it does not have: an exception only means that the marker is elsewhere.
func findMarker(ctx context.Context, read reader) (uint16, error) {
	for _, base := range markerAddresses() {
		b, err := read(ctx, Holding, base, 2)
		if e, ok := err.(exception); ok && !e.silent() {
			continue
		}
		if err != nil {
			return 0, err
		}
		if binary.BigEndian.Uint32(b) == marker {
			return base, nil
		}
	}
	return 0, senseless("no SunSpec marker at 40000, 0 or 50000; describe its registers in a map")
}

// holds reports whether the registers read from l.model on still are those of
// a meter model: firmware updates move models.
func (l layout) holds(b []byte) bool {
	id := binary.BigEndian.Uint16(b[2*offsetID:])
	return firstMeter <= id && id <= lastMeter && binary.BigEndian.Uint16(b[2*offsetLength:]) == meterLength
}

// Exponents of TotWh_SF that are taken: with a smaller one the register could
// not hold 430 Wh, with a greater one it would be off the SunSpec scale.
const (
	scaleMin = -3
	scaleMax = 10
)

// samples decodes what was read of a SunSpec meter.
//
// The meter may change its exponent at any time, and with it the unit of the
// raw register. The register of the sample is therefore always in
// milliwatt-hours, raw × 10^(SF+3), and its modulus 2^32 × 10^(SF+3): a meter
// that moves to a coarser exponent goes on where it was, and an exponent that
// was misread is a jump that package counter does not believe.
func (l layout) samples(find finder) ([]ingest.Sample, error) {
	var serial string
	if l.serial != 0 {
		b, err := find(Holding, l.serial, serialCount)
		if err != nil {
			return nil, err
		}
		if serial, err = text(b); err != nil {
			return nil, err
		}
	}
	b, err := find(Holding, l.model, meterRead)
	if err != nil {
		return nil, err
	}
	if !l.holds(b) {
		return nil, fmt.Errorf("registers at %d begin with %#04x %#04x, not with a meter model 201 to 204 of length %d",
			l.model, binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]), meterLength)
	}
	scale := int16(binary.BigEndian.Uint16(b[2*offsetScale:]))
	switch {
	case scale == notImplemented:
		return nil, errors.New("energy scale TotWh_SF is not implemented (0x8000): what its registers count is unknown")
	case scale < scaleMin || scale > scaleMax:
		return nil, fmt.Errorf("energy scale TotWh_SF is %d, outside %d to %d", scale, scaleMin, scaleMax)
	}
	unit := power10(int(scale) - scaleMin) // milliwatt-hours
	sample := func(c domain.Channel, raw uint32) ingest.Sample {
		return ingest.Sample{
			Channel: c, Register: domain.Int(int64(raw)).MulDiv(unit, 1), Serial: serial,
			Scale: ingest.Scale{Num: 1, Den: 1, Modulus: domain.Int(1<<32).MulDiv(unit, 1), ZeroIsNull: true},
		}
	}
	imported, exported := binary.BigEndian.Uint32(b[2*offsetImport:]), binary.BigEndian.Uint32(b[2*offsetExport:])
	if imported == math.MaxUint32 {
		return nil, errors.New("import register TotWhImp shows 0xffffffff: saturated or not implemented")
	}
	samples := []ingest.Sample{sample(domain.ChannelEnergyImport, imported)}
	if exported != math.MaxUint32 {
		samples = append(samples, sample(domain.ChannelEnergyExport, exported))
	}
	return slices.DeleteFunc(samples, absent), nil
}

// absent reports whether a sample is of an export register that shows "not
// accumulated": most sites never deliver, and would otherwise record at every
// poll that nothing was there. A zero of the import register is passed on: it
// is either a fault or the register's first moment, and both are to be seen.
func absent(s ingest.Sample) bool {
	return s.Channel == domain.ChannelEnergyExport && s.Scale.ZeroIsNull && s.Register.Sign() == 0
}

func power10(n int) int64 {
	v := int64(1)
	for range n {
		v *= 10
	}
	return v
}

// text reads a text of registers: printable characters up to the first NUL,
// perhaps filled up with spaces or 0xff.
func text(b []byte) (string, error) {
	s, _, _ := strings.Cut(string(b), "\x00")
	for strings.HasSuffix(s, "\xff") { // not TrimRight: the byte alone is no character
		s = s[:len(s)-1]
	}
	s = strings.Trim(s, " ")
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return "", fmt.Errorf("serial number %x is not text", b)
		}
	}
	return s, nil
}
