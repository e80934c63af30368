package domain

import (
	"fmt"
	"math"
	"math/big"
	"strings"

	"github.com/cockroachdb/apd/v3"
)

// DecimalDigits bounds a decimal read from outside: at most this many digits
// before and after the point together.
const DecimalDigits = 60

// Decimal is an exact decimal number of any size. It is an immutable value:
// every method returns a new one. The zero value is 0.
//
// Two decimals are equal when they are the same number ([Decimal.Equal]);
// 1.50 and 1.5 are written alike.
type Decimal struct {
	d apd.Decimal
}

// exact does arithmetic without rounding: precision 0 means unlimited.
func exact() *apd.Context {
	return &apd.Context{MaxExponent: apd.MaxExponent, MinExponent: apd.MinExponent}
}

// NewDecimal returns coefficient × 10^exponent.
func NewDecimal(coefficient int64, exponent int32) Decimal {
	var v Decimal
	v.d.SetFinite(coefficient, exponent)
	return v
}

// ParseDecimal reads a plain decimal: an optional minus sign, digits, and
// optionally a point with more digits. An exponent (1e5), a plus sign, a
// thousands separator, NaN and infinities are refused: they come from programs
// that keep numbers as floats, and what they lost cannot be known.
func ParseDecimal(s string) (Decimal, error) {
	digits := strings.TrimPrefix(s, "-")
	whole, fraction, point := strings.Cut(digits, ".")
	switch {
	case allDigits(whole) && (!point || allDigits(fraction)):
	case allDigits(whole[:min(1, len(whole))]) && strings.ContainsAny(digits, "eE"):
		return Decimal{}, fmt.Errorf("%.40q is written with an exponent; write it out as a plain decimal", s)
	default:
		return Decimal{}, fmt.Errorf("%.40q is not a plain decimal number", s)
	}
	if len(whole)+len(fraction) > DecimalDigits {
		return Decimal{}, fmt.Errorf("%.20q… has more than %d digits", s, DecimalDigits)
	}
	var v Decimal
	if _, _, err := v.d.SetString(s); err != nil {
		return Decimal{}, fmt.Errorf("%q is not a plain decimal number: %w", s, err)
	}
	return v, nil
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// MustDecimal is [ParseDecimal] for constants in code; it panics on an error.
func MustDecimal(s string) Decimal {
	v, err := ParseDecimal(s)
	if err != nil {
		panic("domain: " + err.Error())
	}
	return v
}

// DecimalFromInt returns v as a Decimal.
func DecimalFromInt(v Int128) Decimal { return decimalFromBig(v.Big(), 0) }

func decimalFromBig(coefficient *big.Int, exponent int32) Decimal {
	var v Decimal
	v.d.Coeff.SetMathBigInt(coefficient)
	if v.d.Coeff.Sign() < 0 {
		v.d.Coeff.Neg(&v.d.Coeff)
		v.d.Negative = true
	}
	v.d.Exponent = exponent
	return v
}

// Add returns a + b.
func (a Decimal) Add(b Decimal) Decimal {
	var v Decimal
	must(exact().Add(&v.d, &a.d, &b.d))
	return v
}

// Sub returns a − b.
func (a Decimal) Sub(b Decimal) Decimal {
	var v Decimal
	must(exact().Sub(&v.d, &a.d, &b.d))
	return v
}

// Mul returns a × b.
func (a Decimal) Mul(b Decimal) Decimal {
	var v Decimal
	must(exact().Mul(&v.d, &a.d, &b.d))
	return v
}

// MulInt returns a × n.
func (a Decimal) MulInt(n int64) Decimal { return a.Mul(NewDecimal(n, 0)) }

// Shift returns a × 10^n: the point moved n places to the right.
func (a Decimal) Shift(n int32) Decimal {
	v := a
	v.d.Exponent += n
	return v
}

// Neg returns −a.
func (a Decimal) Neg() Decimal {
	v := a
	v.d.Negative = !a.d.Negative && !a.d.IsZero()
	return v
}

// Cmp returns −1, 0 or +1 as a is below, equal to or above b.
func (a Decimal) Cmp(b Decimal) int { return a.d.Cmp(&b.d) }

// Equal reports whether a and b are the same number.
func (a Decimal) Equal(b Decimal) bool { return a.Cmp(b) == 0 }

// Sign returns −1, 0 or +1.
func (a Decimal) Sign() int { return a.d.Sign() }

// IsZero reports whether a is 0.
func (a Decimal) IsZero() bool { return a.d.IsZero() }

// Round returns a rounded to places digits after the point, half away from
// zero. It is the one rounding rule of money here.
func (a Decimal) Round(places int32) Decimal {
	if -a.d.Exponent <= places {
		return a
	}
	return Quo(a, NewDecimal(1, 0), places)
}

// Quo returns a / b rounded once, half away from zero, to places digits after
// the point. It panics if b is zero: callers decide what that means.
func Quo(a, b Decimal, places int32) Decimal {
	if b.IsZero() {
		panic("domain: division by zero")
	}
	num, den := a.coefficient(), b.coefficient()
	shift := int64(a.d.Exponent) - int64(b.d.Exponent) + int64(places)
	if shift >= 0 {
		num.Mul(num, pow10(shift))
	} else {
		den.Mul(den, pow10(-shift))
	}
	return decimalFromBig(quoHalfAway(num, den), -places)
}

// RoundRat returns r rounded once, half away from zero, to places digits after
// the point.
func RoundRat(r *big.Rat, places int32) Decimal {
	num := new(big.Int).Mul(r.Num(), pow10(int64(places)))
	return decimalFromBig(quoHalfAway(num, r.Denom()), -places)
}

// quoHalfAway returns num / den rounded half away from zero.
func quoHalfAway(num, den *big.Int) *big.Int {
	q, r := new(big.Int).QuoRem(num, den, new(big.Int))
	if r.Lsh(r.Abs(r), 1); r.CmpAbs(den) >= 0 {
		if num.Sign()*den.Sign() < 0 {
			q.Sub(q, big.NewInt(1))
		} else {
			q.Add(q, big.NewInt(1))
		}
	}
	return q
}

func pow10(n int64) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(n), nil) }

// coefficient returns the signed coefficient as a new big.Int.
func (a Decimal) coefficient() *big.Int {
	c := new(big.Int).Set(a.d.Coeff.MathBigInt())
	if a.d.Negative {
		c.Neg(c)
	}
	return c
}

// Scaled returns a × 10^places as an integer, and whether a has no further
// digits (so that nothing was lost).
func (a Decimal) Scaled(places int32) (v *big.Int, ok bool) {
	shift := int64(a.d.Exponent) + int64(places)
	c := a.coefficient()
	if shift >= 0 {
		return c.Mul(c, pow10(shift)), true
	}
	q, r := c.QuoRem(c, pow10(-shift), new(big.Int))
	return q, r.Sign() == 0
}

// Int64 returns a × 10^places, and whether it is a whole number that fits.
func (a Decimal) Int64(places int32) (v int64, ok bool) {
	shift := int64(a.d.Exponent) + int64(places)
	if shift < 0 || !a.d.Coeff.IsInt64() {
		if a.IsZero() {
			return 0, true
		}
		whole, exact := a.Scaled(places)
		return whole.Int64(), exact && whole.IsInt64()
	}
	v = a.d.Coeff.Int64()
	for range shift {
		if v > math.MaxInt64/10 {
			return 0, false
		}
		v *= 10
	}
	if a.d.Negative {
		v = -v
	}
	return v, true
}

// Rat returns a as a fraction.
func (a Decimal) Rat() *big.Rat {
	r := new(big.Rat).SetInt(a.coefficient())
	if e := int64(a.d.Exponent); e >= 0 {
		return r.Mul(r, new(big.Rat).SetInt(pow10(e)))
	}
	return r.Quo(r, new(big.Rat).SetInt(pow10(-int64(a.d.Exponent))))
}

// String writes a in plain notation without trailing zeros after the point:
// the same number is always the same text.
func (a Decimal) String() string {
	if a.IsZero() {
		return "0"
	}
	s := a.d.Text('f')
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// Fixed writes a rounded to exactly places digits after the point.
func (a Decimal) Fixed(places int32) string {
	r := a.Round(places)
	var v Decimal
	c, _ := r.Scaled(places)
	v = decimalFromBig(c, -places)
	s := v.d.Text('f')
	if v.IsZero() {
		s = strings.TrimPrefix(s, "-")
	}
	return s
}

// MarshalText writes what String returns; in JSON a decimal is a string.
func (a Decimal) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads what [ParseDecimal] accepts.
func (a *Decimal) UnmarshalText(b []byte) error {
	v, err := ParseDecimal(string(b))
	if err == nil {
		*a = v
	}
	return err
}

// must panics on an error of exact arithmetic: it means an exponent beyond
// ±100000, which no validated input can reach.
func must(_ apd.Condition, err error) {
	if err != nil {
		panic("domain: decimal arithmetic: " + err.Error())
	}
}
