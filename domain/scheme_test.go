package domain_test

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"wattbook/domain"
)

func rat(s string) *big.Rat {
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		panic(s)
	}
	return r
}

// TestPublishedExamples recomputes what was published of an S19's work at a
// difficulty of 113,757,508,810,854, with the mean fees of eight blocks.
func TestPublishedExamples(t *testing.T) {
	portion := rat("1305083904/113757508810854")
	perBlock := rat("4377221.875")
	for _, row := range []struct{ scheme, fee, gross, fees, net string }{
		{"pps", "0", "3585.16", "0", "3585.16"},
		{"fpps", "0", "3635.38", "50.22", "3635.38"},
		{"fpps", "0.025", "3635.38", "50.22", "3544.49"},
		{"", "0.025", "3635.38", "50.22", "3544.49"},
		{"tides", "0.02", "3635.38", "50.22", "3562.67"},
	} {
		base, fees, fee, err := domain.Earned(portion, 312_500_000, perBlock, domain.PoolTerms{Scheme: row.scheme, Fee: domain.MustDecimal(row.fee)})
		if err != nil {
			t.Fatal(err)
		}
		gross := new(big.Rat).Add(base, fees)
		net := new(big.Rat).Sub(gross, fee)
		for what, pair := range map[string][2]string{
			"gross": {domain.RoundRat(gross, 2).String(), row.gross}, "fees": {domain.RoundRat(fees, 2).String(), row.fees}, "net": {domain.RoundRat(net, 2).String(), row.net},
		} {
			if pair[0] != pair[1] {
				t.Errorf("%s less %s: %s is %s sat, want %s", row.scheme, row.fee, what, pair[0], pair[1])
			}
		}
	}
	// Hashprice: what 1 PH/s earns in a day, by the usual 2^32.
	day := rat("1000000000000000").Mul(rat("1000000000000000"), rat("86400"))
	day.Quo(day, rat("113757508810854")).Quo(day, rat("4294967296")).Mul(day, new(big.Rat).Add(rat("312500000"), perBlock))
	if got := domain.RoundRat(day.Quo(day, rat("100000000")), 9).String(); got != "0.000560357" {
		t.Errorf("hashprice is %s BTC, want 0.000560357", got)
	}
	// Of 1 EH/s at a difficulty of 10^14: blocks a day, and their subsidy.
	blocks := rat("1000000000000000000").Mul(rat("1000000000000000000"), rat("86400"))
	blocks.Quo(blocks, rat("100000000000000")).Quo(blocks, rat("4294967296"))
	if got := domain.RoundRat(blocks, 15).String(); got != "0.201165676116943" {
		t.Errorf("%s blocks a day, want 0.201165676116943", got)
	}
	if got := domain.RoundRat(new(big.Rat).Mul(blocks, rat("3.125")), 15).String(); got != "0.628642737865448" {
		t.Errorf("%s BTC a day, want 0.628642737865448", got)
	}
}

// TestASingleShareHasRosenfeldsVariance: CV² = D/N.
func TestASingleShareHasRosenfeldsVariance(t *testing.T) {
	mean := rat("1000")
	got := domain.WindowVariance(mean, rat("1/1000000000000"), rat("8"))
	off := new(big.Rat).Sub(got, rat("125000")) // 1000² / 8
	if off.Abs(off).Cmp(rat("1/1000")) > 0 {
		t.Errorf("variance is %s, want 125000", got.FloatString(6))
	}
	if domain.WindowVariance(mean, rat("0"), rat("8")) != nil || domain.BlocksVariance(mean, rat("0")) != nil {
		t.Error("a pool without work has a variance")
	}
}

func TestSigmaLiesBetweenItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := big.NewRat(rapid.Int64Range(0, 1<<60).Draw(t, "over"), rapid.Int64Range(1, 1<<40).Draw(t, "under"))
		places := int32(rapid.IntRange(0, 9).Draw(t, "places"))
		low, high := domain.Sigma(v, places)
		l, h := low.Rat(), high.Rat()
		if l.Mul(l, l).Cmp(v) > 0 || h.Mul(h, h).Cmp(v) <= 0 || !high.Sub(low).Equal(domain.NewDecimal(1, -places)) {
			t.Fatalf("√%s is not in %s to %s", v, low, high)
		}
	})
}

func TestTermsAreDated(t *testing.T) {
	dec := domain.MustDecimal
	terms := domain.PoolTerms{Scheme: "fpps", Fee: dec("0.04"), Rates: []domain.PoolRate{
		{From: 100, Fee: dec("0.025")}, {From: 200, Fee: dec("0.02"), Scheme: "pplns", Hashrate: domain.Int(7)},
	}}
	if err := terms.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		at          domain.Instant
		scheme, fee string
		hashrate    int64
	}{{0, "fpps", "0.04", 0}, {99, "fpps", "0.04", 0}, {100, "fpps", "0.025", 0}, {200, "pplns", "0.02", 7}} {
		if got := terms.At(row.at); got.Scheme != row.scheme || got.Fee.String() != row.fee || got.Hashrate != domain.Int(row.hashrate) {
			t.Errorf("at %d: %s, %s, %s", row.at, got.Scheme, got.Fee, got.Hashrate)
		}
	}
	whole := []domain.Interval{{Start: 0, End: 100}, {Start: 100, End: 300}}
	want := []domain.Interval{{Start: 0, End: 100}, {Start: 100, End: 200}, {Start: 200, End: 300}}
	if got := terms.Split(whole); len(got) != 3 || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] || len(whole) != 2 {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestTermsThatCannotBe(t *testing.T) {
	dec := domain.MustDecimal
	for name, terms := range map[string]domain.PoolTerms{
		"a scheme that nobody knows": {Scheme: "score"},
		"a fee of all":               {Fee: dec("1")},
		"a negative fee":             {Rates: []domain.PoolRate{{Fee: dec("-0.01")}}},
		"changes out of order":       {Rates: []domain.PoolRate{{From: 2}, {From: 1}}},
		"a scheme to come":           {Rates: []domain.PoolRate{{Scheme: "x"}}},
		"a day that starts tomorrow": {DayStart: domain.Day},
		"a threshold below nothing":  {Threshold: -1},
		"a pool that unworks":        {Hashrate: domain.Int(-1)},
	} {
		if terms.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for in, want := range map[string]domain.Scheme{"": domain.SchemeFPPS, "PPLNS-JD": domain.SchemeSLICE, "TIDES": domain.SchemeTIDES, "pps+": domain.SchemePPSPlus} {
		if got, err := domain.ParseScheme(in); got != want || err != nil {
			t.Errorf("%q is %q, %v; want %q", in, got, err, want)
		}
	}
}
