package domain

import (
	"fmt"
	"math/big"
	"math/bits"
)

// Int128 is a signed 128-bit integer in two's complement: wide enough for the
// hashes of an exahash site over a year (3.2e25) in any unit we store.
//
// Its zero value is 0 and values compare with ==. Arithmetic wraps on
// overflow; nothing here can reach it, since a reading's value is limited to
// ±[ReadingLimit] and 2^31 of them sum without overflow.
type Int128 struct {
	Hi int64
	Lo uint64
}

// ReadingLimit bounds the magnitude of a reading's value and register: 2^96.
var ReadingLimit = Int128{Hi: 1 << 32}

// Int returns v as an Int128.
func Int(v int64) Int128 { return Int128{Hi: v >> 63, Lo: uint64(v)} }

// Uint returns v as an Int128.
func Uint(v uint64) Int128 { return Int128{Lo: v} }

// Product returns a × b, exactly.
func Product(a, b int64) Int128 {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	if a < 0 {
		hi -= uint64(b)
	}
	if b < 0 {
		hi -= uint64(a)
	}
	return Int128{int64(hi), lo}
}

// Add returns a + b.
func (a Int128) Add(b Int128) Int128 {
	lo, carry := bits.Add64(a.Lo, b.Lo, 0)
	hi, _ := bits.Add64(uint64(a.Hi), uint64(b.Hi), carry)
	return Int128{int64(hi), lo}
}

// Sub returns a − b.
func (a Int128) Sub(b Int128) Int128 {
	lo, borrow := bits.Sub64(a.Lo, b.Lo, 0)
	hi, _ := bits.Sub64(uint64(a.Hi), uint64(b.Hi), borrow)
	return Int128{int64(hi), lo}
}

// Neg returns −a.
func (a Int128) Neg() Int128 { return Int128{}.Sub(a) }

// Abs returns the magnitude of a.
func (a Int128) Abs() Int128 {
	if a.Hi < 0 {
		return a.Neg()
	}
	return a
}

// Cmp returns −1, 0 or +1 as a is below, equal to or above b.
func (a Int128) Cmp(b Int128) int {
	switch {
	case a == b:
		return 0
	case a.Hi < b.Hi || a.Hi == b.Hi && a.Lo < b.Lo:
		return -1
	}
	return 1
}

// Sign returns −1, 0 or +1 as a is negative, zero or positive.
func (a Int128) Sign() int {
	switch {
	case a.Hi < 0:
		return -1
	case a == Int128{}:
		return 0
	}
	return 1
}

// Int64 returns a and whether it fits into an int64.
func (a Int128) Int64() (v int64, ok bool) {
	v = int64(a.Lo)
	return v, a.Hi == v>>63
}

// Big returns a as a new big.Int.
func (a Int128) Big() *big.Int {
	v := big.NewInt(a.Hi)
	v.Lsh(v, 64)
	return v.Or(v, new(big.Int).SetUint64(a.Lo))
}

// IntFromBig returns v as an Int128. It is an error if v needs more than 128
// bits.
func IntFromBig(v *big.Int) (Int128, error) {
	if v.BitLen() > 127 {
		return Int128{}, fmt.Errorf("integer %s is wider than 128 bits", v)
	}
	var a Int128
	abs := new(big.Int).Abs(v)
	a.Lo = new(big.Int).And(abs, new(big.Int).SetUint64(^uint64(0))).Uint64()
	a.Hi = int64(new(big.Int).Rsh(abs, 64).Uint64())
	if v.Sign() < 0 {
		a = a.Neg()
	}
	return a, nil
}

// MulDiv returns a × num / den rounded down towards minus infinity, exactly,
// whatever the width of the product. It panics if den is not positive and
// wraps if the result does not fit.
//
// Converting a cumulative register through MulDiv and subtracting the results
// never drifts: the floors telescope.
func (a Int128) MulDiv(num, den int64) Int128 {
	if den <= 0 {
		panic("domain: muldiv by a divisor that is not positive")
	}
	if num == den {
		return a
	}
	if den == 1 {
		if v, ok := a.Int64(); ok && v >= 0 && num >= 0 {
			hi, lo := bits.Mul64(uint64(v), uint64(num))
			return Int128{int64(hi), lo}
		}
	}
	if v, ok := a.Int64(); ok && v >= 0 && num >= 0 {
		hi, lo := bits.Mul64(uint64(v), uint64(num))
		if hi < uint64(den) {
			q, _ := bits.Div64(hi, lo, uint64(den))
			return Int128{Lo: q}
		}
	}
	p := a.Big()
	p.Mul(p, big.NewInt(num))
	q, m := new(big.Int), new(big.Int)
	q.DivMod(p, big.NewInt(den), m) // Euclidean: floor, since den > 0
	v, err := IntFromBig(q)
	if err != nil {
		panic("domain: muldiv out of range: " + err.Error())
	}
	return v
}

// String returns a in decimal.
func (a Int128) String() string {
	if v, ok := a.Int64(); ok {
		return fmt.Sprint(v)
	}
	return a.Big().String()
}

// ParseInt reads a decimal integer of at most 128 bits.
func ParseInt(s string) (Int128, error) {
	v, ok := new(big.Int).SetString(s, 10)
	if !ok {
		return Int128{}, fmt.Errorf("%q is not a whole number", s)
	}
	return IntFromBig(v)
}

// MarshalText writes a in decimal; in JSON it is a string, since JSON readers
// keep only 53 bits of a number.
func (a Int128) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (a *Int128) UnmarshalText(b []byte) error {
	v, err := ParseInt(string(b))
	if err == nil {
		*a = v
	}
	return err
}
