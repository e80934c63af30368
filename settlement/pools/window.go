package pools

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"

	"wattbook/domain"
)

// Proof is accepted work in a pool's share log: whose it is and its
// difficulty, in 1e-8.
type Proof struct {
	Miner      string
	Difficulty domain.ShareDifficulty
	Fees       domain.Satoshi // of the block template that it was found for; only SLICE counts them
}

// Division says whom a block pays. Parts and Rest sum to what was divided.
type Division struct {
	Parts []Part // by miner, by name
	// Rest is what rounding down leaves, less than one satoshi for each miner:
	// the pool's.
	Rest domain.Satoshi
}

// Part is what a miner gets of a block.
type Part struct {
	Miner  string
	Amount domain.Satoshi
}

// Of returns what a miner gets.
func (d Division) Of(miner string) domain.Satoshi {
	i, ok := slices.BinarySearchFunc(d.Parts, miner, func(p Part, m string) int { return cmp.Compare(p.Miner, m) })
	if !ok {
		return 0
	}
	return d.Parts[i].Amount
}

// WindowOf returns the last work of a share log, oldest first, up to a window
// of share difficulty; the oldest proof that is in it counts with the part that
// fits. A log that is shorter is in it whole.
func WindowOf(log []Proof, window domain.ShareDifficulty) []Proof {
	left := window.Int128
	for i, p := range slices.Backward(log) {
		if p.Difficulty.Cmp(left) >= 0 {
			in := slices.Clone(log[i:])
			in[0].Difficulty.Int128 = left
			return in
		}
		left = left.Sub(p.Difficulty.Int128)
	}
	return slices.Clone(log)
}

// WindowOfShifts is [WindowOf] for pools that count back in whole shifts: the
// last shifts whose work makes up a window.
func WindowOfShifts(shifts [][]Proof, window domain.ShareDifficulty) []Proof {
	var sum domain.Int128
	for i, shift := range slices.Backward(shifts) {
		for _, p := range shift {
			sum = sum.Add(p.Difficulty.Int128)
		}
		if sum.Cmp(window.Int128) >= 0 {
			return slices.Concat(shifts[i:]...)
		}
	}
	return slices.Concat(shifts...)
}

// TIDESWindow returns the window of TIDES at a network difficulty: 8 × D,
// rounded up to 1e-8.
func TIDESWindow(b domain.Bits) (domain.ShareDifficulty, error) { return windowOf(8, b) }

// PPLNSWindow returns the window of a multiple of the network difficulty.
func PPLNSWindow(times int64, b domain.Bits) (domain.ShareDifficulty, error) {
	return windowOf(times, b)
}

func windowOf(times int64, b domain.Bits) (domain.ShareDifficulty, error) {
	if _, err := b.Target(); err != nil {
		return domain.ShareDifficulty{}, err
	}
	d := b.Difficulty()
	num := new(big.Int).Mul(d.Num(), big.NewInt(times*domain.ShareUnit))
	num.Add(num, new(big.Int).Sub(d.Denom(), big.NewInt(1)))
	v, err := domain.IntFromBig(num.Quo(num, d.Denom()))
	return domain.ShareDifficulty{Int128: v}, err
}

// PayWindow divides a block's reward among the work of a window, as PPLNS and
// TIDES do: each miner gets the portion of his work, rounded down to whole
// satoshi. An empty window is an error.
func PayWindow(window []Proof, reward domain.Satoshi) (Division, error) {
	work := map[string]*big.Rat{}
	total := new(big.Rat)
	for _, p := range window {
		w := weight(p)
		add(work, p.Miner, w)
		total.Add(total, w)
	}
	if total.Sign() <= 0 {
		return Division{}, errors.New("divide a block: there is no work in its window")
	}
	for _, w := range work {
		w.Mul(w, ratOf(reward)).Quo(w, total)
	}
	return divide(work, reward), nil
}

// PaySlices divides a block among the slices of a window as SLICE does, by the
// paper "PPLNS with job declaration": the subsidy by the difficulty of all
// shares; the fees in equal parts by slice, and within one by the difficulty of
// a share times the fees of its template. Where no template of a slice has
// fees, its part goes by difficulty. The slice in which the block was found is
// not among those that it pays.
func PaySlices(slices [][]Proof, subsidy, fees domain.Satoshi) (Division, error) {
	paid := map[string]*big.Rat{}
	all, full := new(big.Rat), int64(0)
	sums := make([]*big.Rat, len(slices)) // of difficulty × fees
	works := make([]*big.Rat, len(slices))
	for i, slice := range slices {
		sums[i], works[i] = new(big.Rat), new(big.Rat)
		for _, p := range slice {
			if p.Fees < 0 {
				return Division{}, fmt.Errorf("divide a block: slice %d: a template with fees of %d sat", i+1, p.Fees)
			}
			w := weight(p)
			works[i].Add(works[i], w)
			sums[i].Add(sums[i], new(big.Rat).Mul(w, ratOf(p.Fees)))
		}
		if all.Add(all, works[i]); works[i].Sign() > 0 {
			full++
		}
	}
	if full == 0 {
		return Division{}, errors.New("divide a block: there is no work in its window")
	}
	each := new(big.Rat).SetFrac64(int64(fees), full)
	for i, slice := range slices {
		for _, p := range slice {
			w := weight(p)
			part := new(big.Rat).Mul(w, ratOf(subsidy))
			part.Quo(part, all)
			scored, sum := w, works[i]
			if sums[i].Sign() > 0 {
				scored, sum = new(big.Rat).Mul(w, ratOf(p.Fees)), sums[i]
			}
			if sum.Sign() > 0 {
				part.Add(part, new(big.Rat).Mul(each, new(big.Rat).Quo(scored, sum)))
			}
			add(paid, p.Miner, part)
		}
	}
	return divide(paid, subsidy+fees), nil
}

func weight(p Proof) *big.Rat { return new(big.Rat).SetInt(p.Difficulty.Big()) }

func add(to map[string]*big.Rat, miner string, v *big.Rat) {
	if to[miner] == nil {
		to[miner] = new(big.Rat)
	}
	to[miner].Add(to[miner], v)
}

// divide rounds exact parts of a reward, which sum to it, down.
func divide(exact map[string]*big.Rat, reward domain.Satoshi) Division {
	d := Division{Rest: reward}
	for _, m := range slices.Sorted(maps.Keys(exact)) {
		p := Part{m, domain.FloorSatoshi(exact[m])}
		d.Parts = append(d.Parts, p)
		d.Rest -= p.Amount
	}
	return d
}
