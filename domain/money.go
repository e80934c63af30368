package domain

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// Money is an amount in the minor unit of its currency (cents for USD): the
// result of rounding, never an input to rating. It compares with ==.
type Money struct {
	Minor    int64
	Currency Currency
}

// Round returns amount as Money, rounded once, half away from zero, to the
// currency's minor unit. It is an error if the amount does not fit an int64 of
// minor units.
func (c Currency) Round(amount Decimal) (Money, error) {
	v, _ := amount.Round(c.Digits()).Scaled(c.Digits())
	if !v.IsInt64() {
		return Money{}, fmt.Errorf("amount %s %s is too large", amount, c)
	}
	return Money{v.Int64(), c}, nil
}

// Decimal returns m as a decimal of the currency.
func (m Money) Decimal() Decimal { return NewDecimal(m.Minor, -m.Currency.Digits()) }

// Add returns m + n. It panics if the currencies differ: adding them is a bug
// of ours, since every document has one currency.
func (m Money) Add(n Money) Money {
	if m.Currency != n.Currency {
		panic(fmt.Sprintf("domain: adding %s to %s", n.Currency, m.Currency))
	}
	return Money{m.Minor + n.Minor, m.Currency}
}

// Sub returns m − n; see [Money.Add].
func (m Money) Sub(n Money) Money { return m.Add(n.Neg()) }

// IsZero reports whether the amount is nothing, in whatever currency.
func (m Money) IsZero() bool { return m.Minor == 0 }

// Neg returns −m.
func (m Money) Neg() Money { return Money{-m.Minor, m.Currency} }

// Amount writes the number alone with the currency's digits: "1234.50".
func (m Money) Amount() string { return m.Decimal().Fixed(m.Currency.Digits()) }

// String writes m as "1234.50 USD".
func (m Money) String() string { return m.Amount() + " " + string(m.Currency) }

// MarshalText writes what String returns, and nothing for the zero value,
// which has no currency.
func (m Money) MarshalText() ([]byte, error) {
	if m == (Money{}) {
		return []byte{}, nil
	}
	return []byte(m.String()), nil
}

// UnmarshalText reads "1234.50 USD". More digits than the currency has are an
// error.
func (m *Money) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*m = Money{}
		return nil
	}
	amount, code, ok := strings.Cut(string(b), " ")
	if !ok {
		return fmt.Errorf("%q is not an amount of money such as 12.50 USD", b)
	}
	c, err := ParseCurrency(code)
	if err != nil {
		return err
	}
	d, err := ParseDecimal(amount)
	if err != nil {
		return err
	}
	v, whole := d.Scaled(c.Digits())
	if !whole || !v.IsInt64() {
		return fmt.Errorf("%q is not a whole number of the minor unit of %s", b, c)
	}
	*m = Money{v.Int64(), c}
	return nil
}

// Allocate splits total over the weights so that the parts sum to it exactly:
// each part is rounded down and the units left over go to the largest
// remainders, the earlier index first among equals. Weights are not negative
// and at least one is positive; otherwise the result is nil.
//
// Source of the method and its examples: Hamilton's method, as published with
// worked figures in openmeter's currencyx allocation tests.
func Allocate(total int64, weights []int64) []int64 {
	sum := new(big.Int)
	for _, w := range weights {
		if w < 0 {
			return nil
		}
		sum.Add(sum, big.NewInt(w))
	}
	if sum.Sign() == 0 {
		return nil
	}
	magnitude, sign := total, int64(1)
	if total < 0 {
		magnitude, sign = -total, -1
	}
	parts := make([]int64, len(weights))
	remainders := make([]*big.Int, len(weights))
	order := make([]int, len(weights))
	left := magnitude
	for i, w := range weights {
		p := new(big.Int).Mul(big.NewInt(magnitude), big.NewInt(w))
		q, r := p.QuoRem(p, sum, new(big.Int))
		parts[i], remainders[i], order[i] = q.Int64(), r, i
		left -= parts[i]
	}
	slices.SortStableFunc(order, func(a, b int) int { return remainders[b].Cmp(remainders[a]) })
	for _, i := range order[:left] {
		parts[i]++
	}
	for i := range parts {
		parts[i] *= sign
	}
	return parts
}
