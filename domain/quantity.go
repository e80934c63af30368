package domain

import (
	"fmt"
	"math/big"
)

// Energy is an amount of electrical energy in milliwatt-hours: a meter's
// watt-hour is exact in it, and it prints as a finite decimal of
// kilowatt-hours. An int64 holds 9.2e12 kWh.
type Energy int64

// Common amounts of energy.
const (
	MilliwattHour Energy = 1
	WattHour             = 1000 * MilliwattHour
	KilowattHour         = 1000 * WattHour
	MegawattHour         = 1000 * KilowattHour
)

// MegawattHours returns e as an exact decimal of MWh.
func (e Energy) MegawattHours() Decimal { return NewDecimal(int64(e), -9) }

// KilowattHours returns e as an exact decimal of kWh.
func (e Energy) KilowattHours() Decimal { return NewDecimal(int64(e), -6) }

// String writes e in kWh.
func (e Energy) String() string { return e.KilowattHours().String() + " kWh" }

// Power is electrical power in milliwatts.
type Power int64

// Common amounts of power.
const (
	Milliwatt Power = 1
	Watt            = 1000 * Milliwatt
	Kilowatt        = 1000 * Watt
	Megawatt        = 1000 * Kilowatt
)

// Megawatts returns p as an exact decimal of MW.
func (p Power) Megawatts() Decimal { return NewDecimal(int64(p), -9) }

// String writes p in kW.
func (p Power) String() string { return NewDecimal(int64(p), -6).String() + " kW" }

// Over returns the energy that p delivers in d, rounded down.
func (p Power) Over(d Duration) Energy {
	v, _ := Int(int64(p)).MulDiv(int64(d), int64(Hour)).Int64()
	return Energy(v)
}

// Mean returns the mean power of e over d, rounded down.
func (e Energy) Mean(d Duration) Power {
	v, _ := Int(int64(e)).MulDiv(int64(Hour), int64(d)).Int64()
	return Power(v)
}

// Hashes is an amount of double-SHA-256 evaluations, exact.
type Hashes struct{ Int128 }

// ShareDifficulty is an amount of accepted pool work: the sum of the
// difficulties of the shares, in units of 1e-8 difficulty, as miners report it
// with eight digits. It is what a pool pays for; see [NetworkDifficulty].
type ShareDifficulty struct{ Int128 }

// ShareUnit is how many units of [ShareDifficulty] make difficulty 1.
const ShareUnit = 100_000_000

// Decimal returns s as an exact decimal of difficulty.
func (s ShareDifficulty) Decimal() Decimal { return DecimalFromInt(s.Int128).Shift(-8) }

// Hashes returns the expected number of hashes behind s: difficulty × 2^48 /
// 65535, rounded down. It is for statistics only: money is computed from share
// difficulty over network difficulty, where the constant cancels.
func (s ShareDifficulty) Hashes() Hashes {
	v := s.Big()
	v.Lsh(v, 48)
	v.Quo(v, big.NewInt(65535*ShareUnit))
	h, err := IntFromBig(v)
	if err != nil {
		return Hashes{} // beyond ReadingLimit: no validated reading gets here
	}
	return Hashes{h}
}

// GPUTime is time on one GPU in milliseconds: two GPUs for an hour are two
// GPU-hours.
type GPUTime int64

// GPUHour is one GPU for one hour.
const GPUHour GPUTime = 3_600_000

// String writes t in GPU-hours, rounded to a millionth.
func (t GPUTime) String() string {
	return Quo(NewDecimal(int64(t), 0), NewDecimal(int64(GPUHour), 0), 6).String() + " GPU-h"
}

// Satoshi is an amount of bitcoin in units of 1e-8 BTC.
type Satoshi int64

// Bitcoin is one bitcoin in satoshi.
const Bitcoin Satoshi = 100_000_000

// BTC returns s as an exact decimal of bitcoin.
func (s Satoshi) BTC() Decimal { return NewDecimal(int64(s), -8) }

// String writes s in BTC with eight digits.
func (s Satoshi) String() string { return s.BTC().Fixed(8) + " BTC" }

// Digits after the point that money is divided into, by currency (ISO 4217).
func currencyDigits(c Currency) (int32, bool) {
	switch c {
	case "USD", "EUR", "GBP", "CAD", "AUD", "CHF", "SEK", "NOK", "DKK", "BRL", "MXN", "SGD", "AED":
		return 2, true
	case "JPY", "KRW", "ISK", "PYG":
		return 0, true
	case "KWD", "BHD", "OMR", "TND":
		return 3, true
	}
	return 0, false
}

// Currency is an ISO 4217 code.
type Currency string

// ParseCurrency accepts the codes whose minor unit is known here.
func ParseCurrency(s string) (Currency, error) {
	if _, ok := currencyDigits(Currency(s)); !ok {
		return "", fmt.Errorf("currency %q is not known; use an ISO 4217 code such as USD", s)
	}
	return Currency(s), nil
}

// Digits returns the number of digits of the minor unit: 2 for USD.
func (c Currency) Digits() int32 {
	d, _ := currencyDigits(c)
	return d
}
