package meter

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"

	"wattbook/domain"
	"wattbook/ingest"
)

// Type is how a value is coded in registers.
type Type string

// The types. Single and Double are the floating point numbers of IEEE 754.
const (
	Uint32 Type = "uint32"
	Int32  Type = "int32"
	Uint64 Type = "uint64"
	Int64  Type = "int64"
	Single Type = "float32"
	Double Type = "float64"
	Text   Type = "text" // of serial numbers only
)

// Types returns the types that a register may have.
func Types() []Type { return []Type{Uint32, Int32, Uint64, Int64, Single, Double} }

// count returns how many registers a value takes.
func (t Type) count() uint16 {
	switch t {
	case Uint32, Int32, Single:
		return 2
	case Uint64, Int64, Double:
		return 4
	}
	return 0
}

// modulusLimit returns the greatest modulus that the type can show.
func (t Type) modulusLimit() domain.Int128 {
	switch t {
	case Uint32:
		return domain.Int(1 << 32)
	case Int32:
		return domain.Int(1 << 31)
	case Uint64:
		return domain.Int128{Hi: 1}
	}
	return domain.Uint(1 << 63)
}

// Map describes where a kind of meter keeps what it counts. Maps come from
// files, see [ReadMap].
type Map struct {
	Name     string   // an identifier: "iem3000"
	Function Function // of the energy registers
	// UnitID is the Modbus unit that is asked where a meter's configuration
	// names none.
	UnitID       uint8
	LittleEndian bool       // the low byte of a register comes first
	LowWordFirst bool       // the low register of a value comes first
	Registers    []Register // one for each channel that the meter counts
	Serial       *Serial    // nil if the meter does not tell its serial number
}

// Register is one energy register of a meter.
type Register struct {
	Channel domain.Channel // energy.import or energy.export
	Address uint16         // as sent: 0 for the register that manuals number 1, 30001 or 40001
	Type    Type
	// Unit is what one count stands for, in milliwatt-hours.
	Unit domain.Decimal
	// Ratio multiplies what the meter counted on the secondary side of its
	// transformers: current ratio × voltage ratio, or 1.
	Ratio domain.Decimal
	// Modulus is the count at which the register wraps to 0; 0 if it never
	// does.
	Modulus domain.Int128
	// ZeroIsNull means that the register shows 0 when it does not know.
	ZeroIsNull bool
}

// Serial is where a meter keeps its serial number.
type Serial struct {
	Function Function
	Address  uint16
	Type     Type   // Text, Uint32 or Uint64
	Count    uint16 // registers
}

// Bounds on what a map may claim: wider than any meter, and narrow enough that
// no conversion of a register overflows.
const (
	ratioLimit = 1_000_000           // a current ratio of 1000 and a voltage ratio of 1000
	unitLimit  = domain.MegawattHour // a count
	digitLimit = 9                   // digits after the point of a unit and of a ratio
)

// Validate reports the first field that cannot be.
func (m Map) Validate() error {
	if err := domain.CheckID("map", m.Name); err != nil {
		return err
	}
	if err := m.Function.validate(); err != nil {
		return err
	}
	if len(m.Registers) == 0 {
		return errors.New("no registers; name at least the one of energy.import")
	}
	for i, r := range m.Registers {
		if slices.ContainsFunc(m.Registers[:i], func(o Register) bool { return o.Channel == r.Channel }) {
			return fmt.Errorf("channel %s has two registers; keep one", r.Channel)
		}
		if err := r.Validate(); err != nil {
			return err
		}
	}
	if m.Serial != nil {
		return m.Serial.validate()
	}
	return nil
}

func (f Function) validate() error {
	if f != Holding && f != Input {
		return fmt.Errorf("function %d; use 3 (holding registers) or 4 (input registers)", f)
	}
	return nil
}

// Validate reports the first field that cannot be.
func (r Register) Validate() error {
	_, fine := r.Unit.Scaled(digitLimit)
	_, even := r.Ratio.Scaled(digitLimit)
	switch {
	case r.Channel != domain.ChannelEnergyImport && r.Channel != domain.ChannelEnergyExport:
		return fmt.Errorf("channel %q; a meter counts energy.import or energy.export", r.Channel)
	case r.Type.count() == 0:
		return fmt.Errorf("type %.20q; use one of %v", r.Type, Types())
	case int(r.Address)+int(r.Type.count()) > 1<<16:
		return fmt.Errorf("a %s at address %d ends beyond register 65535", r.Type, r.Address)
	case r.Unit.Sign() <= 0 || !fine || r.Unit.Cmp(domain.NewDecimal(int64(unitLimit), 0)) > 0:
		return fmt.Errorf("unit of %s milliwatt-hours; use more than 0, at most 1 MWh, and %d digits at most after the point", r.Unit, digitLimit)
	case r.Ratio.Sign() <= 0 || !even || r.Ratio.Cmp(domain.NewDecimal(ratioLimit, 0)) > 0:
		return fmt.Errorf("ratio %s; use more than 0, at most %d, and %d digits at most after the point", r.Ratio, ratioLimit, digitLimit)
	case r.Modulus.Sign() < 0 || r.Modulus.Cmp(r.Type.modulusLimit()) > 0:
		return fmt.Errorf("modulus %s; a %s holds 1 to %s, and 0 stands for a register that never wraps", r.Modulus, r.Type, r.Type.modulusLimit())
	}
	_, err := r.scale()
	return err
}

func (s Serial) validate() error {
	if err := s.Function.validate(); err != nil {
		return err
	}
	switch {
	case s.Type == Uint32 && s.Count == 2, s.Type == Uint64 && s.Count == 4:
	case s.Type == Text && s.Count >= 1 && s.Count <= 32:
	case s.Type == Text:
		return fmt.Errorf("serial number of %d registers; a text has 1 to 32", s.Count)
	default:
		return fmt.Errorf("serial number of type %.20q and %d registers; use text, uint32 (2) or uint64 (4)", s.Type, s.Count)
	}
	if int(s.Address)+int(s.Count) > 1<<16 {
		return fmt.Errorf("serial number at address %d ends beyond register 65535", s.Address)
	}
	return nil
}

// floating reports whether values are floating point numbers.
func (r Register) floating() bool { return r.Type == Single || r.Type == Double }

// scale returns how samples of the register convert to milliwatt-hours. An
// integer register is delivered as it is, in its own counts. A floating point
// register is delivered in milliwatt-hours before the ratio, and its modulus
// with it.
func (r Register) scale() (ingest.Scale, error) {
	rate, modulus := r.Ratio.Rat(), r.Modulus
	if r.floating() {
		m := new(big.Rat).Mul(new(big.Rat).SetInt(r.Modulus.Big()), r.Unit.Rat())
		if !m.IsInt() || m.Num().BitLen() > 63 {
			return ingest.Scale{}, fmt.Errorf("modulus %s of units of %s milliwatt-hours is not a whole number of milliwatt-hours below 2^63", r.Modulus, r.Unit)
		}
		modulus = domain.Int(m.Num().Int64())
	} else {
		rate.Mul(rate, r.Unit.Rat())
	}
	if !rate.Num().IsInt64() || !rate.Denom().IsInt64() {
		return ingest.Scale{}, fmt.Errorf("unit of %s milliwatt-hours × ratio %s needs more digits than a meter has; round the ratio", r.Unit, r.Ratio)
	}
	return ingest.Scale{Num: rate.Num().Int64(), Den: rate.Denom().Int64(), Modulus: modulus, ZeroIsNull: r.ZeroIsNull}, nil
}

// samples decodes what was read of the meter.
func (m Map) samples(find finder) ([]ingest.Sample, error) {
	var serial string
	if m.Serial != nil {
		b, err := find(m.Serial.Function, m.Serial.Address, m.Serial.Count)
		if err != nil {
			return nil, err
		}
		if serial, err = m.serial(b); err != nil {
			return nil, err
		}
	}
	samples := make([]ingest.Sample, 0, len(m.Registers))
	for _, r := range m.Registers {
		b, err := find(m.Function, r.Address, r.Type.count())
		if err != nil {
			return nil, err
		}
		register, err := r.decode(m.bits(b))
		if err != nil {
			return nil, fmt.Errorf("register %d (%s, %s): %w", r.Address, r.Channel, r.Type, err)
		}
		scale, err := r.scale()
		if err != nil {
			return nil, err
		}
		samples = append(samples, ingest.Sample{Channel: r.Channel, Register: register, Serial: serial, Scale: scale})
	}
	return slices.DeleteFunc(samples, absent), nil
}

// bits puts the bytes of a value of 2 or 4 registers in order.
func (m Map) bits(b []byte) uint64 {
	var v uint64
	for i := range len(b) / 2 {
		at := 2 * i
		if m.LowWordFirst {
			at = len(b) - 2 - at
		}
		word := binary.BigEndian.Uint16(b[at:])
		if m.LittleEndian {
			word = word<<8 | word>>8
		}
		v = v<<16 | uint64(word)
	}
	return v
}

// serial reads a serial number.
func (m Map) serial(b []byte) (string, error) {
	if m.Serial.Type != Text {
		return strconv.FormatUint(m.bits(b), 10), nil
	}
	if m.LittleEndian {
		b = slices.Clone(b)
		for i := 0; i+1 < len(b); i += 2 {
			b[i], b[i+1] = b[i+1], b[i]
		}
	}
	return text(b)
}

// decode returns the register that the bits of its value stand for: the count
// of an integer type, and milliwatt-hours of a floating point type.
func (r Register) decode(bits uint64) (domain.Int128, error) {
	switch r.Type {
	case Single:
		return exact(bits, 8, 23, r.Unit)
	case Double:
		return exact(bits, 11, 52, r.Unit)
	case Int32:
		bits = uint64(int64(int32(uint32(bits))))
		fallthrough
	case Int64:
		if int64(bits) < 0 {
			return domain.Int128{}, fmt.Errorf("shows %d; a register that counts up is never negative", int64(bits))
		}
	case Uint32:
		if bits == math.MaxUint32 {
			return domain.Int128{}, errors.New("shows 0xffffffff: saturated or not implemented")
		}
	case Uint64:
		if bits == math.MaxUint64 {
			return domain.Int128{}, errors.New("shows 0xffffffffffffffff: saturated or not implemented")
		}
	}
	return domain.Uint(bits), nil
}

// exact returns the floating point number of the given bits, in units of so
// many milliwatt-hours, as whole milliwatt-hours rounded down.
//
// The number is an integer times a power of two (IEEE 754, 3.4), so nothing is
// rounded on the way: the one rounding is down to the milliwatt-hour, of the
// register and not of its movements, and so it never adds up. That a meter
// keeps its total as a floating point number makes it coarse all the same: in
// steps of 7.8 Wh at 100 MWh for a float32 of kWh.
func exact(bits uint64, exponentBits, fractionBits uint, unit domain.Decimal) (domain.Int128, error) {
	fraction := bits & (1<<fractionBits - 1)
	exponent := int(bits >> fractionBits & (1<<exponentBits - 1))
	negative := bits>>(fractionBits+exponentBits)&1 == 1
	bias := 1<<(exponentBits-1) - 1
	switch {
	case exponent == 1<<exponentBits-1 && fraction != 0:
		return domain.Int128{}, errors.New("shows NaN")
	case exponent == 1<<exponentBits-1:
		return domain.Int128{}, errors.New("shows an infinity")
	case exponent == 0 && fraction == 0: // zero of either sign
		return domain.Int128{}, nil
	case negative:
		return domain.Int128{}, errors.New("is negative; a register that counts up never is")
	case exponent == 0:
		exponent = 1 // subnormal: no implicit bit
	default:
		fraction |= 1 << fractionBits
	}
	power := exponent - bias - int(fractionBits) // the number is fraction × 2^power

	rate := unit.Rat()
	n := new(big.Int).SetUint64(fraction)
	n.Mul(n, rate.Num())
	if n.BitLen()+power-rate.Denom().BitLen() <= 64 { // otherwise too great whatever the digits
		if power >= 0 {
			n.Lsh(n, uint(power)).Quo(n, rate.Denom())
		} else {
			n.Quo(n, new(big.Int).Lsh(rate.Denom(), uint(-power)))
		}
		if n.IsInt64() {
			return domain.Int(n.Int64()), nil
		}
	}
	return domain.Int128{}, errors.New("is beyond 2^63 milliwatt-hours; is the map's type, byte order or unit right?")
}

// span is a run of registers that one request reads.
type span struct {
	function       Function
	address, count uint16
}

// spans returns the requests that read the meter's registers. Registers that
// touch each other are read together; nothing between registers is read, since
// meters refuse addresses that they do not have.
func (m Map) spans() []span {
	var out []span
	if s := m.Serial; s != nil {
		out = append(out, span{s.Function, s.Address, s.Count})
	}
	registers := slices.SortedFunc(slices.Values(m.Registers), func(a, b Register) int { return cmp.Compare(a.Address, b.Address) })
	first := len(out)
	for _, r := range registers {
		end := int(r.Address) + int(r.Type.count())
		if last := len(out) - 1; last >= first && int(out[last].address)+int(out[last].count) >= int(r.Address) {
			end = max(end, int(out[last].address)+int(out[last].count))
			out[last].count = uint16(end - int(out[last].address))
			continue
		}
		out = append(out, span{m.Function, r.Address, uint16(end - int(r.Address))})
	}
	return out
}
