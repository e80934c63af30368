package domain

import (
	"fmt"
	"math/big"
)

// PriceSeries is a run of prices for consecutive intervals of one length.
type PriceSeries struct {
	Start  Instant   `json:"start"`
	Step   Duration  `json:"step"`
	Prices []Decimal `json:"prices"`
}

// Interval returns the span that the series covers.
func (s PriceSeries) Interval() Interval {
	return Interval{s.Start, s.Start.Add(s.Step * Duration(len(s.Prices)))}
}

// Validate reports why no fold may be asked to trust s, or nil.
func (s PriceSeries) Validate() error {
	switch {
	case len(s.Prices) == 0:
		return fmt.Errorf("price series at %s has no prices", s.Start)
	case s.Step <= 0 || s.Start.Floor(s.Step) != s.Start:
		return fmt.Errorf("price series at %s is not aligned to its step %s", s.Start, s.Step)
	}
	return nil
}

// PowerPriced records prices of energy at a settlement point, in the currency
// per MWh. A negative price pays the consumer.
type PowerPriced struct {
	Node     NodeID      `json:"node"`
	Currency Currency    `json:"currency"`
	Series   PriceSeries `json:"series_per_megawatt_hour"`
	Corrects bool        `json:"corrects,omitempty"` // the market restates what it published before
	Origin   Origin      `json:"origin"`
}

// BitcoinPriced records prices of one bitcoin in the currency.
type BitcoinPriced struct {
	Currency Currency    `json:"currency"`
	Series   PriceSeries `json:"series_per_bitcoin"`
	Corrects bool        `json:"corrects,omitempty"`
	Origin   Origin      `json:"origin"`
}

// DifficultyAdjusted records that the network's difficulty changed with the
// block at Height, which carries Bits.
type DifficultyAdjusted struct {
	Height int64   `json:"height"`
	At     Instant `json:"at"` // the block's time
	Bits   Bits    `json:"bits"`
	Origin Origin  `json:"origin"`
}

// BlockFeesPublished records the transaction fees of all blocks of an
// interval, by which pools pay for fees.
type BlockFeesPublished struct {
	Interval Interval `json:"interval"`
	Blocks   int64    `json:"blocks"`
	Fees     Satoshi  `json:"fees_satoshi"`
	Origin   Origin   `json:"origin"`
}

// PerBlock returns the mean fees of a block, in satoshi, as an exact fraction.
func (f BlockFeesPublished) PerBlock() *big.Rat {
	if f.Blocks <= 0 {
		return new(big.Rat)
	}
	return big.NewRat(int64(f.Fees), f.Blocks)
}

// Bits is a block header's compact target, the exact source of the network's
// difficulty: the first byte is a length, the other three the leading digits
// of the target in base 256.
type Bits uint32

// MaxTarget is the target of difficulty 1: 0xffff × 2^208.
func MaxTarget() *big.Int { return new(big.Int).Lsh(big.NewInt(0xffff), 208) }

// Target returns the target that b stands for. It is an error if b is
// negative, zero or above difficulty 1.
func (b Bits) Target() (*big.Int, error) {
	size, mantissa := uint(b>>24), int64(b&0x007fffff)
	t := big.NewInt(mantissa)
	if size >= 3 {
		t.Lsh(t, 8*(size-3))
	} else {
		t.Rsh(t, 8*(3-size))
	}
	if b&0x00800000 != 0 || t.Sign() == 0 || t.Cmp(MaxTarget()) > 0 {
		return nil, fmt.Errorf("bits %08x are not a valid target", uint32(b))
	}
	return t, nil
}

// Difficulty returns 0xffff × 2^208 / target, exactly, or 0 for invalid bits.
func (b Bits) Difficulty() *big.Rat {
	t, err := b.Target()
	if err != nil {
		return new(big.Rat)
	}
	return new(big.Rat).SetFrac(MaxTarget(), t)
}

// BitsOfTarget returns the compact form of a target, cut to its three leading
// bytes as consensus does.
func BitsOfTarget(target *big.Int) (Bits, error) {
	if target.Sign() <= 0 || target.Cmp(MaxTarget()) > 0 {
		return 0, fmt.Errorf("target %s is not between 1 and that of difficulty 1", target)
	}
	size := uint(target.BitLen()+7) / 8
	var mantissa uint64
	if size <= 3 {
		mantissa = target.Uint64() << (8 * (3 - size))
	} else {
		mantissa = new(big.Int).Rsh(target, 8*(size-3)).Uint64()
	}
	if mantissa&0x00800000 != 0 { // the sign bit: one more byte keeps it clear
		mantissa >>= 8
		size++
	}
	return Bits(uint32(size)<<24 | uint32(mantissa)), nil
}

// BitsOfDifficulty returns the bits whose difficulty is nearest to d. A
// published difficulty has more digits than bits have, so the true bits come
// back from any decimal that was computed from them.
func BitsOfDifficulty(d Decimal) (Bits, error) {
	if d.Cmp(NewDecimal(1, 0)) < 0 {
		return 0, fmt.Errorf("difficulty %s is below 1", d)
	}
	want := d.Rat()
	t := new(big.Rat).Quo(new(big.Rat).SetInt(MaxTarget()), want)
	below, err := BitsOfTarget(new(big.Int).Quo(t.Num(), t.Denom()))
	if err != nil {
		return 0, err
	}
	best := below
	for _, b := range []Bits{below + 1} { // the truncated digits may round up
		if _, err := b.Target(); err == nil && distance(b, want).Cmp(distance(best, want)) < 0 {
			best = b
		}
	}
	return best, nil
}

func distance(b Bits, want *big.Rat) *big.Rat {
	d := new(big.Rat).Sub(b.Difficulty(), want)
	return d.Abs(d)
}

// HalvingInterval is the number of blocks between two halvings of the subsidy.
const HalvingInterval = 210_000

// RetargetInterval is the number of blocks between two changes of difficulty.
const RetargetInterval = 2016

// Subsidy returns the new bitcoin that the block at height creates.
func Subsidy(height int64) Satoshi {
	halvings := height / HalvingInterval
	if height < 0 || halvings >= 64 {
		return 0
	}
	return 50 * Bitcoin >> uint(halvings)
}
