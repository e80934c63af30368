package coin_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"wattbook/domain"
	"wattbook/settlement/coin"
)

var dec = domain.MustDecimal

func all(coin.Lot) bool { return true }

// held are 1 BTC that cost 60,000 and 0.9 BTC that cost 90,000, remeasured at
// 100,000: of 49,000 that are added, 40,000 are the first lot's.
func held(t *testing.T) *coin.Book {
	t.Helper()
	b := &coin.Book{}
	b.Put(coin.Lot{Name: "b", Date: "2026-10-02", Price: dec("90000"), Since: "2026-10-03", Amount: 90_000_000})
	b.Put(coin.Lot{Name: "a", Date: "2026-10-01", Price: dec("60000"), Since: "2026-10-03", Amount: 100_000_000})
	if got := b.Remeasure(dec("100000"), 2, all); got != 4_900_000 {
		t.Fatalf("remeasured by %d cents, want 4,900,000", got)
	}
	return b
}

func TestWhichCoinLeavesFirst(t *testing.T) {
	for _, row := range []struct {
		basis          coin.Basis
		named          []coin.Part
		amount, short  domain.Satoshi
		cost           string
		adjusted, left int64
	}{
		{coin.FIFO, nil, 50_000_000, 0, "30000", 2_000_000, 2_900_000},
		{coin.FIFO, nil, 145_000_000, 0, "100500", 4_450_000, 450_000},
		{coin.FIFO, nil, 200_000_000, 10_000_000, "141000", 4_900_000, 0},
		{coin.Specific, []coin.Part{{Lot: "b", Amount: 50_000_000}}, 50_000_000, 0, "45000", 500_000, 4_400_000},
		{coin.Specific, []coin.Part{{Lot: "b", Amount: 95_000_000}, {Lot: "z", Amount: 5}}, 95_000_005, 5_000_005, "81000", 900_000, 4_000_000},
		// 100/190 and 90/190 of 0.95 BTC: half of each lot.
		{coin.Average, nil, 95_000_000, 0, "70500", 2_450_000, 2_450_000},
	} {
		b := held(t)
		parts, short := b.Take(coin.Want{Amount: row.amount, Basis: row.basis, From: all, Named: row.named})
		cost, adjusted, left := domain.Decimal{}, int64(0), int64(0)
		for _, p := range parts {
			cost, adjusted = cost.Add(p.Cost()), adjusted+p.Adjusted
		}
		for _, l := range b.Lots() {
			left += l.Adjusted
		}
		if short != row.short || !cost.Equal(dec(row.cost)) || adjusted != row.adjusted || left != row.left {
			t.Errorf("%s of %d: short %d, cost %s, adjusted %d, left %d; want %+v", row.basis, row.amount, short, cost, adjusted, left, row)
		}
	}
	if _, err := coin.ParseBasis("lifo"); err == nil {
		t.Error("a basis that nobody knows was accepted")
	}
	if basis, err := coin.ParseBasis(""); err != nil || basis != coin.FIFO {
		t.Errorf("no basis is %q, %v", basis, err)
	}
}

func TestLotsLieByAgeAndAccount(t *testing.T) {
	b := &coin.Book{}
	for _, l := range []coin.Lot{
		{Account: "x", Name: "b", Date: "2026-10-02", Since: "2026-10-03", Price: dec("2"), Amount: 1},
		{Account: "x", Name: "a", Date: "2026-10-01", Since: "2026-10-04", Price: dec("1"), Amount: 2},
		{Account: "x", Name: "a", Date: "2026-10-01", Since: "2026-10-04", Price: dec("1"), Amount: 3},
		{Account: "y", Name: "a", Date: "2026-10-01", Since: "2026-10-04", Price: dec("1"), Amount: 4},
		{Account: "x", Name: "a", Date: "2026-10-01", Since: "2026-10-03", Price: dec("1"), Amount: 5},
		{Account: "x", Name: "c", Date: "2026-10-01", Since: "2026-10-03", Price: dec("1")},
	} {
		b.Put(l)
	}
	var got []string
	for _, l := range b.Lots() {
		got = append(got, l.Account+" "+l.Name+" "+l.Since+" "+l.Amount.BTC().String())
	}
	want := []string{"x a 2026-10-03 0.00000005", "x a 2026-10-04 0.00000005", "y a 2026-10-04 0.00000004", "x b 2026-10-03 0.00000001"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestLotsLoseNothing takes at random: parts and what is left sum to what was
// there, in units, cost and what was remeasured.
func TestLotsLoseNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string, from, to int64) int64 { return rapid.Int64Range(from, to).Draw(t, name) }
		b := &coin.Book{}
		sum := func(lots []coin.Lot) (units domain.Satoshi, cost domain.Decimal, adjusted int64) {
			for _, l := range lots {
				if l.Amount <= 0 {
					t.Fatalf("an empty lot: %+v", l)
				}
				units, cost, adjusted = units+l.Amount, cost.Add(l.Cost()), adjusted+l.Adjusted
			}
			return units, cost, adjusted
		}
		for range draw("steps", 1, 30) {
			switch draw("what", 0, 3) {
			case 0, 1:
				day := "2026-10-" + string(rune('0'+draw("day", 1, 9)))
				b.Put(coin.Lot{Name: day, Date: day, Since: day, Price: domain.NewDecimal(draw("price", 1, 20_000_000), -2), Amount: domain.Satoshi(draw("amount", 1, 1<<33))})
			case 2:
				price := domain.NewDecimal(draw("price", 1, 20_000_000), -2)
				_, _, before := sum(b.Lots())
				change := b.Remeasure(price, 2, all)
				units, cost, after := sum(b.Lots())
				if after-before != change || after != coin.Minor(units.BTC().Mul(price).Sub(cost), 2) {
					t.Fatalf("remeasured by %d from %d to %d at %s", change, before, after, price)
				}
			default:
				units, cost, adjusted := sum(b.Lots())
				w := coin.Want{Amount: domain.Satoshi(draw("take", 1, 1<<34)), From: all, Basis: rapid.SampledFrom([]coin.Basis{coin.FIFO, coin.Average, coin.Specific}).Draw(t, "basis")}
				w.Named = []coin.Part{{Lot: "2026-10-5", Amount: w.Amount / 2}, {Lot: "2026-10-7", Amount: w.Amount}}
				parts, short := b.Take(w)
				pu, pc, pa := sum(parts)
				lu, lc, la := sum(b.Lots())
				if pu+short != w.Amount || pu+lu != units || !pc.Add(lc).Equal(cost) || pa+la != adjusted {
					t.Fatalf("took %+v of %d, short %d, left %+v", parts, w.Amount, short, b.Lots())
				}
			}
		}
	})
}
