package pools_test

import (
	"fmt"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"wattbook/domain"
	"wattbook/settlement/pools"
)

func difficulty(v int64) domain.ShareDifficulty {
	return domain.ShareDifficulty{Int128: domain.Int(v)}
}

func proofs(t *rapid.T, name string) []pools.Proof {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) pools.Proof {
		return pools.Proof{
			Miner:      rapid.StringMatching(`[a-e]`).Draw(t, "miner"),
			Difficulty: difficulty(rapid.Int64Range(1, 1<<50).Draw(t, "difficulty")),
			Fees:       domain.Satoshi(rapid.Int64Range(0, 1<<32).Draw(t, "fees")),
		}
	}), 1, 40).Draw(t, name)
}

// sums reports parts that are negative or do not make up the reward, or a rest
// that rounding does not explain.
func sums(t *rapid.T, d pools.Division, reward domain.Satoshi) {
	t.Helper()
	sum := d.Rest
	for i, p := range d.Parts {
		if p.Amount < 0 || i > 0 && p.Miner <= d.Parts[i-1].Miner || d.Of(p.Miner) != p.Amount {
			t.Fatalf("part %d of %v", i, d)
		}
		sum += p.Amount
	}
	if sum != reward || d.Rest < 0 || d.Rest > domain.Satoshi(len(d.Parts)) {
		t.Fatalf("parts and the rest of %d sum to %d, want %d", d.Rest, sum, reward)
	}
}

func TestAWindowDividesTheWholeReward(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := proofs(t, "log")
		window := difficulty(rapid.Int64Range(1, 1<<55).Draw(t, "window"))
		reward := domain.Satoshi(rapid.Int64Range(0, 50_0000_0000).Draw(t, "reward"))
		in := pools.WindowOf(log, window)
		var total, all domain.Int128
		for _, p := range in {
			total = total.Add(p.Difficulty.Int128)
		}
		for _, p := range log {
			all = all.Add(p.Difficulty.Int128)
		}
		if want := window.Int128; total != want && (total != all || all.Cmp(want) > 0) {
			t.Fatalf("window of %s holds %s of %s", want, total, all)
		}
		d, err := pools.PayWindow(in, reward)
		if err != nil {
			t.Fatal(err)
		}
		sums(t, d, reward)
	})
}

func TestSlicesDivideTheWholeReward(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var window [][]pools.Proof
		for i := range rapid.IntRange(1, 6).Draw(t, "slices") {
			slice := proofs(t, fmt.Sprint("slice ", i))
			if rapid.Bool().Draw(t, "empty templates") {
				for i := range slice {
					slice[i].Fees = 0
				}
			}
			window = append(window, slice)
		}
		if rapid.Bool().Draw(t, "a slice without shares") {
			window = append(window, nil)
		}
		subsidy := domain.Satoshi(rapid.Int64Range(0, 50_0000_0000).Draw(t, "subsidy"))
		fees := domain.Satoshi(rapid.Int64Range(0, 50_0000_0000).Draw(t, "fees"))
		d, err := pools.PaySlices(window, subsidy, fees)
		if err != nil {
			t.Fatal(err)
		}
		sums(t, d, subsidy+fees)
	})
}

// TestTIDES has a window of 8 × D at difficulty 1, which is 800,000,000 units.
func TestTIDES(t *testing.T) {
	window, err := pools.TIDESWindow(0x1d00ffff)
	if err != nil || window != difficulty(800_000_000) {
		t.Fatalf("window of %s, %v", window, err)
	}
	log := []pools.Proof{
		{Miner: "old", Difficulty: difficulty(500_000_000)},
		{Miner: "us", Difficulty: difficulty(200_000_000)},
		{Miner: "them", Difficulty: difficulty(500_000_000)},
	}
	// 1 of 8 is left for the old miner, 2 are ours, 5 theirs.
	d, err := pools.PayWindow(pools.WindowOf(log, window), 316_877_221)
	if err != nil || d.Of("old") != 39_609_652 || d.Of("us") != 79_219_305 || d.Of("them") != 198_048_263 || d.Rest != 1 || d.Of("nobody") != 0 {
		t.Errorf("got %+v, %v", d, err)
	}
	// While the log is shorter than the window, its total is the denominator.
	d, err = pools.PayWindow(pools.WindowOf(log[1:], window), 700)
	if err != nil || d.Of("us") != 200 || d.Of("them") != 500 || d.Rest != 0 {
		t.Errorf("under-filled: got %+v, %v", d, err)
	}
	if _, err := pools.PayWindow(nil, 700); err == nil {
		t.Error("an empty window was divided")
	}
	if _, err := pools.TIDESWindow(0); err == nil {
		t.Error("no target has a window")
	}
	if w, err := pools.PPLNSWindow(5, 0x1d00ffff); err != nil || w != difficulty(500_000_000) {
		t.Errorf("five times difficulty 1 is %s, %v", w, err)
	}
}

func TestShiftsAreWhole(t *testing.T) {
	us, them := pools.Proof{Miner: "us", Difficulty: difficulty(3)}, pools.Proof{Miner: "them", Difficulty: difficulty(1)}
	shifts := [][]pools.Proof{{us}, {them, us}, {them}}
	for _, row := range []struct{ window, proofs int64 }{{1, 1}, {2, 3}, {5, 3}, {6, 4}, {100, 4}} {
		if got := pools.WindowOfShifts(shifts, difficulty(row.window)); int64(len(got)) != row.proofs {
			t.Errorf("a window of %d has %d proofs, want %d", row.window, len(got), row.proofs)
		}
	}
}

// TestSLICE has two slices. By difficulty we have 3 of 8 of the subsidy. Of the
// fees of the first slice (half: 40) we have 1×10 of 1×10+3×30, a tenth; of the
// second's, all templates being empty, 2 of 4.
func TestSLICE(t *testing.T) {
	window := [][]pools.Proof{
		{{Miner: "us", Difficulty: difficulty(1), Fees: 10}, {Miner: "them", Difficulty: difficulty(3), Fees: 30}},
		{{Miner: "us", Difficulty: difficulty(2)}, {Miner: "them", Difficulty: difficulty(2)}},
	}
	d, err := pools.PaySlices(window, 800, 80)
	if err != nil || d.Of("us") != 300+4+20 || d.Of("them") != 500+36+20 || d.Rest != 0 {
		t.Errorf("got %+v, %v", d, err)
	}
	if _, err := pools.PaySlices([][]pools.Proof{{}, {}}, 800, 80); err == nil {
		t.Error("slices without work were divided")
	}
	if _, err := pools.PaySlices([][]pools.Proof{{{Miner: "us", Difficulty: difficulty(1), Fees: -1}}}, 800, 80); err == nil {
		t.Error("negative fees were divided")
	}
}

// TestWindowVarianceIsTheIntegralOfTheOverlap integrates the square of the
// overlap of window and work, piece by piece, by Simpson's rule: exact for
// squares.
func TestWindowVarianceIsTheIntegralOfTheOverlap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := big.NewRat(rapid.Int64Range(1, 5000).Draw(t, "blocks"), rapid.Int64Range(1, 100).Draw(t, "of"))
		k := big.NewRat(rapid.Int64Range(1, 5000).Draw(t, "window"), rapid.Int64Range(1, 100).Draw(t, "by"))
		mean := big.NewRat(rapid.Int64Range(0, 1<<40).Draw(t, "mean"), 1)
		least, most := p, k
		if least.Cmp(most) > 0 {
			least, most = most, least
		}
		zero, end := new(big.Rat), new(big.Rat).Add(p, k)
		square := func(x *big.Rat) *big.Rat { // of the part of [x−k, x) in [0, p)
			low, high := new(big.Rat).Sub(x, k), new(big.Rat).Set(x)
			if low.Sign() < 0 {
				low.Set(zero)
			}
			if high.Cmp(p) > 0 {
				high.Set(p)
			}
			high.Sub(high, low)
			return high.Mul(high, high)
		}
		integral := new(big.Rat)
		cuts := []*big.Rat{zero, least, most, end}
		for i := range 3 {
			a, b := cuts[i], cuts[i+1]
			middle := new(big.Rat).Add(a, b)
			middle.Mul(middle, big.NewRat(1, 2))
			piece := new(big.Rat).Mul(square(middle), big.NewRat(4, 1))
			piece.Add(piece, square(a)).Add(piece, square(b)).Mul(piece, new(big.Rat).Sub(b, a)).Mul(piece, big.NewRat(1, 6))
			integral.Add(integral, piece)
		}
		want := new(big.Rat).Mul(integral, mean)
		want.Mul(want, mean).Quo(want, p).Quo(want, p).Quo(want, k).Quo(want, k)
		if got := domain.WindowVariance(mean, p, k); got.Cmp(want) != 0 {
			t.Fatalf("got %s, want %s", got, want)
		}
	})
}
