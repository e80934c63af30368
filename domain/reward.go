package domain

import "math/big"

// WorkPortion returns the portion of a block that accepted share difficulty
// is worth at a network difficulty: s / D, exactly. The constant that turns
// difficulty into hashes cancels, so money never passes through hashes.
func WorkPortion(s ShareDifficulty, b Bits) *big.Rat {
	target, err := b.Target()
	if err != nil {
		return new(big.Rat)
	}
	num := s.Big()
	num.Mul(num, target)
	return new(big.Rat).SetFrac(num, new(big.Int).Mul(MaxTarget(), big.NewInt(ShareUnit)))
}

// FullPayPerShare returns what FPPS pays for accepted work, in satoshi before
// rounding: portion × (subsidy + fees per block), split into subsidy and fees,
// and the pool's fee on both.
//
// Formula: full pay per share, with fees per block averaged over the pool's
// window; see the pools' own documentation of FPPS.
func FullPayPerShare(portion *big.Rat, subsidy Satoshi, feesPerBlock *big.Rat, poolFee Decimal) (base, fees, fee *big.Rat) {
	base = new(big.Rat).Mul(portion, new(big.Rat).SetInt64(int64(subsidy)))
	fees = new(big.Rat).Mul(portion, feesPerBlock)
	fee = new(big.Rat).Add(base, fees)
	return base, fees, fee.Mul(fee, poolFee.Rat())
}

// FloorSatoshi returns r rounded down to whole satoshi, as pools pay.
func FloorSatoshi(r *big.Rat) Satoshi {
	q := new(big.Int)
	q.DivMod(r.Num(), r.Denom(), new(big.Int)) // the denominator is positive: floor
	return Satoshi(q.Int64())
}
