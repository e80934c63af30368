package domain

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// Scheme names how a pool pays for accepted work.
type Scheme string

// The schemes. With s the accepted share difficulty, D the network's, B the
// subsidy and F the fees of a block, the mean of what s earns before the
// pool's fee is s/D × B under PPS and s/D × (B + F) under all others. They
// differ in who bears the luck.
const (
	SchemePPS     Scheme = "pps"   // the pool bears the luck, and keeps the transaction fees
	SchemeFPPS    Scheme = "fpps"  // the pool bears the luck of subsidy and fees
	SchemePPSPlus Scheme = "pps+"  // the pool bears the luck of the subsidy; fees are paid by window, as in PPLNS
	SchemePPLNS   Scheme = "pplns" // each block of the pool pays the last N shares
	SchemeTIDES   Scheme = "tides" // PPLNS over a window of 8 × D, paid by the coinbase
	SchemeSLICE   Scheme = "slice" // PPLNS in which a share's fees are those of its own block template (job declaration)
)

// Schemes returns the schemes that are known.
func Schemes() []Scheme {
	return []Scheme{SchemePPS, SchemeFPPS, SchemePPSPlus, SchemePPLNS, SchemeTIDES, SchemeSLICE}
}

// ParseScheme reads the name of a scheme. No name is FPPS, and "pplns-jd"
// another name of SLICE.
func ParseScheme(s string) (Scheme, error) {
	switch v := Scheme(strings.ToLower(s)); {
	case v == "":
		return SchemeFPPS, nil
	case v == "pplns-jd":
		return SchemeSLICE, nil
	case slices.Contains(Schemes(), v):
		return v, nil
	}
	return "", fmt.Errorf("payment scheme %q is not known; want one of %q", s, Schemes())
}

// PoolRate is a change of a pool account's terms from an instant on.
type PoolRate struct {
	From   Instant `json:"from"`
	Scheme string  `json:"scheme,omitempty"` // empty: as before
	Fee    Decimal `json:"fee_portion"`
	// Hashrate is what the whole pool does, hashes per second; 0: as before.
	Hashrate Int128 `json:"pool_hashes_per_second,omitzero"`
}

// Validate reports the first term that cannot be.
func (t PoolTerms) Validate() error {
	one := MustDecimal("1")
	check := func(scheme string, fee Decimal) error {
		if _, err := ParseScheme(scheme); err != nil {
			return err
		}
		if fee.Sign() < 0 || fee.Cmp(one) >= 0 {
			return fmt.Errorf("pool fee %s is not a portion from 0 to below 1; write 0.02 for 2 %%", fee)
		}
		return nil
	}
	if err := check(t.Scheme, t.Fee); err != nil {
		return err
	}
	for i, r := range t.Rates {
		if err := check(r.Scheme, r.Fee); err != nil {
			return fmt.Errorf("terms from %s: %w", r.From, err)
		}
		if i > 0 && r.From <= t.Rates[i-1].From {
			return fmt.Errorf("terms from %s come after those from %s; sort them by time, each once", r.From, t.Rates[i-1].From)
		}
	}
	switch {
	case t.DayStart < 0 || t.DayStart >= Day:
		return fmt.Errorf("pool day starts %s after midnight UTC; want less than 24h", t.DayStart)
	case t.Threshold < 0:
		return fmt.Errorf("payout threshold of %d sat is negative", t.Threshold)
	case t.Hashrate.Sign() < 0:
		return fmt.Errorf("the pool's hashrate %s is negative", t.Hashrate)
	}
	return nil
}

// At returns the terms that are in force at an instant: the scheme, fee and
// hashrate of the last change up to it.
func (t PoolTerms) At(at Instant) PoolTerms {
	for _, r := range t.Rates {
		if r.From > at {
			break
		}
		t.Fee = r.Fee
		if r.Scheme != "" {
			t.Scheme = r.Scheme
		}
		if r.Hashrate.Sign() > 0 {
			t.Hashrate = r.Hashrate
		}
	}
	return t
}

// Split cuts intervals where the terms change.
func (t PoolTerms) Split(all []Interval) []Interval {
	for _, r := range t.Rates {
		for i, iv := range all {
			if iv.Start < r.From && r.From < iv.End {
				all = slices.Replace(slices.Clone(all), i, i+1, Interval{iv.Start, r.From}, Interval{r.From, iv.End})
				break
			}
		}
	}
	return all
}

// Earned returns the mean of what a portion of a block earns under the terms,
// in satoshi before rounding, split into subsidy and fees, and the pool's fee
// on both. The terms are those of an instant ([PoolTerms.At]). It is an error
// if their scheme is not known.
func Earned(portion *big.Rat, subsidy Satoshi, feesPerBlock *big.Rat, terms PoolTerms) (base, fees, fee *big.Rat, err error) {
	scheme, err := ParseScheme(terms.Scheme)
	if err != nil {
		return nil, nil, nil, err
	}
	if scheme == SchemePPS {
		feesPerBlock = new(big.Rat)
	}
	base, fees, fee = FullPayPerShare(portion, subsidy, feesPerBlock, terms.Fee)
	return base, fees, fee, nil
}

// Lucky returns the part of what a scheme pays that depends on the blocks
// which the pool finds.
func (s Scheme) Lucky(base, fees *big.Rat) *big.Rat {
	switch s {
	case SchemePPLNS, SchemeTIDES, SchemeSLICE:
		return new(big.Rat).Add(base, fees)
	case SchemePPSPlus:
		return new(big.Rat).Set(fees)
	}
	return new(big.Rat)
}

// PoolBlocks returns how many blocks a pool of a hashrate finds over a time on
// average, exactly: hashes / (D × 2^48 / 65535).
func PoolBlocks(hashrate Int128, over Duration, b Bits) *big.Rat {
	target, err := b.Target()
	if err != nil {
		return new(big.Rat)
	}
	n := hashrate.Big()
	n.Mul(n, big.NewInt(int64(over)))
	n.Mul(n, target)
	n.Mul(n, big.NewInt(65535))
	den := new(big.Int).Lsh(MaxTarget(), 48)
	return new(big.Rat).SetFrac(n, den.Mul(den, big.NewInt(int64(Second))))
}

// BlocksVariance returns the variance of what is paid for the blocks of a time
// in which a pool finds so many on average, to who expects the mean of them:
// blocks are found at random (Poisson), so it is mean² / blocks. It is nil if
// blocks is not above 0: then it is not known.
func BlocksVariance(mean, blocks *big.Rat) *big.Rat {
	if blocks.Sign() <= 0 {
		return nil
	}
	v := new(big.Rat).Mul(mean, mean)
	return v.Quo(v, blocks)
}

// WindowVariance returns the variance of all that work done in a time will
// ever earn under a scheme that pays the last work of window × D at each
// block, for a pool that finds so many blocks in that time on average: with m
// the lesser and M the greater of blocks p and window k,
//
//	mean² × m² × (M − m/3) / (p² × k²)
//
// which for a single share is mean² / k, Rosenfeld's CV² = D/N. It is nil if
// blocks or window is not above 0.
func WindowVariance(mean, blocks, window *big.Rat) *big.Rat {
	if blocks.Sign() <= 0 || window.Sign() <= 0 {
		return nil
	}
	least, most := blocks, window
	if least.Cmp(most) > 0 {
		least, most = most, least
	}
	v := new(big.Rat).Mul(least, big.NewRat(1, 3))
	v.Sub(most, v)
	v.Mul(v, least).Mul(v, least).Mul(v, mean).Mul(v, mean)
	pk := new(big.Rat).Mul(blocks, window)
	return v.Quo(v, pk.Mul(pk, pk))
}

// Sigma returns the standard deviation of a variance between two decimals
// that differ by one in the last of their places: low ≤ σ < high.
func Sigma(variance *big.Rat, places int32) (low, high Decimal) {
	// √(a/b) × 10^n = √(a × b × 10^2n) / b
	scaled := new(big.Int).Mul(variance.Num(), pow10(2*int64(places)))
	root := new(big.Int).Sqrt(scaled.Quo(scaled, variance.Denom()))
	low = decimalFromBig(root, -places)
	return low, low.Add(NewDecimal(1, -places))
}
