package rating_test

import (
	"fmt"
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"

	"wattbook/domain"
	"wattbook/projections/logscript"
	"wattbook/settlement/rating"
)

// drawModel draws a usage charge that is rated over the period.
func drawModel(t *rapid.T) domain.Charge {
	price := func(name string) domain.Decimal {
		return domain.NewDecimal(rapid.Int64Range(0, 9999).Draw(t, name), -3)
	}
	c := domain.Charge{
		ID: "used", Kind: domain.ChargeUsage, Description: "used", Measure: domain.MeasureGPUHours, Rate: price("rate"),
		Model: rapid.SampledFrom([]domain.PriceModel{domain.Graduated, domain.Volume, domain.Package}).Draw(t, "model"),
	}
	if rapid.Bool().Draw(t, "free") {
		c.Free = domain.NewDecimal(rapid.Int64Range(1, 500).Draw(t, "free quantity"), -1)
	}
	if c.Model == domain.Package || rapid.Bool().Draw(t, "blocks") {
		c.Block = domain.NewDecimal(rapid.Int64Range(1, 100).Draw(t, "block"), -1)
	}
	if c.Model == domain.Package {
		c.Rate = c.Rate.Add(domain.NewDecimal(1, -3))
		return c
	}
	end := int64(0)
	for range rapid.IntRange(0, 4).Draw(t, "tiers") {
		end += rapid.Int64Range(1, 300).Draw(t, "width")
		to := domain.NewDecimal(end, -1)
		c.Tiers = append(c.Tiers, domain.Tier{UpTo: &to, Rate: price("tier"), Flat: price("flat")})
	}
	c.Tiers = append(c.Tiers, domain.Tier{Rate: price("tier"), Flat: price("flat")})
	return c
}

// signed plays use of GPUs by the hour and versions of a contract with the
// charges, from each of the instants on.
func signed(t *rapid.T, use []int64, charges []domain.Charge, from ...domain.Instant) domain.Invoice {
	p := logscript.New()
	play := func(format string, args ...any) {
		if err := p.Play(fmt.Sprintf(format, args...)); err != nil {
			t.Fatal(err)
		}
	}
	play("now 2026-11-02\nsite s step=1h\nmeter revenue")
	start := domain.At(time.Date(2026, 10, 10, 0, 0, 0, 0, time.UTC))
	for i, gpus := range use {
		if at := start.Add(domain.Hour * domain.Duration(i)); gpus > 0 {
			play("start job-%d aurora %d %s\nend job-%d %s", i, gpus, instant(at), i, instant(at.Add(domain.Hour)))
		}
	}
	for i, at := range from {
		e := domain.ContractSigned{
			Site: "s", Contract: "aurora", Version: int64(i + 1), Seller: domain.Party{ID: "seller"}, Buyer: domain.Party{ID: "aurora"}, Series: "CB",
			Currency: "USD", Zone: "UTC", Start: at, Tax: domain.Tax{Name: "VAT", Rate: dec("0.19")}, Charges: charges,
		}
		if err := e.Validate(); err != nil {
			t.Fatal(err)
		}
		if err := p.Append("contract-aurora", e); err != nil {
			t.Fatal(err)
		}
	}
	f, err := p.Facts()
	if err != nil {
		t.Fatal(err)
	}
	inv, err := rating.Draft(f, "aurora", domain.Period{Year: 2026, Month: time.October})
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

// TestRatingInAnySplitIsRatingInOneGo rates hours of use at once, and divided
// by amendments with the same terms: the lines' amounts before their rounding
// sum to the same, so that rounded they differ by half a cent a line at most.
func TestRatingInAnySplitIsRatingInOneGo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ch := drawModel(t)
		use := rapid.SliceOfN(rapid.Int64Range(0, 20), 1, 12).Draw(t, "use")
		sum := int64(0)
		for _, n := range use {
			sum += n
		}
		whole := signed(t, use, []domain.Charge{ch}, 0)
		want := rounded(rating.Price(ch, big.NewRat(sum, 1)), 2)
		if got := whole.Subtotal.Minor; got != want {
			t.Fatalf("%d GPU-hours cost %d cents, want %d", sum, got, want)
		}
		cuts := []domain.Instant{0}
		start := domain.At(time.Date(2026, 10, 10, 0, 0, 0, 0, time.UTC))
		for i := range use {
			if i > 0 && rapid.Bool().Draw(t, "cut") {
				cuts = append(cuts, start.Add(domain.Hour*domain.Duration(i)))
			}
		}
		parts := signed(t, use, []domain.Charge{ch}, cuts...)
		if apart := parts.Subtotal.Minor - want; apart > int64(len(cuts)) || -apart > int64(len(cuts)) {
			t.Fatalf("%v GPU-hours cost %d cents in one go and %d in %d parts", use, want, parts.Subtotal.Minor, len(cuts))
		}
	})
}

// TestGraduatedAndPackagePricesNeverFall holds that more use never costs less.
func TestGraduatedAndPackagePricesNeverFall(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ch := drawModel(t)
		if ch.Model == domain.Volume {
			t.Skip("a volume price falls where a tier begins")
		}
		less := domain.NewDecimal(rapid.Int64Range(0, 100_000).Draw(t, "less"), -2).Rat()
		more := new(big.Rat).Add(less, domain.NewDecimal(rapid.Int64Range(0, 100_000).Draw(t, "more"), -2).Rat())
		if rating.Price(ch, less).Cmp(rating.Price(ch, more)) > 0 {
			t.Fatalf("%s units cost more than %s", less.FloatString(2), more.FloatString(2))
		}
	})
}

// TestDerivedChargesKeepTheirBounds draws contracts with a commitment, a
// percentage, a minimum and a maximum, and holds what each promises.
func TestDerivedChargesKeepTheirBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		used := drawModel(t)
		amount := func(name string) domain.Decimal {
			return domain.NewDecimal(rapid.Int64Range(1, 300_000).Draw(t, name), -2)
		}
		commit := domain.Charge{
			ID: "commit", Kind: domain.ChargeCommitment, Description: "commit", Of: []string{"used"}, Amount: amount("commitment"),
			TrueUp: rapid.Bool().Draw(t, "true-up"), OverageFactor: dec("1.5"),
		}
		least := domain.Charge{ID: "least", Kind: domain.ChargeMinimum, Description: "least", Amount: amount("minimum")}
		most := domain.Charge{ID: "most", Kind: domain.ChargeMaximum, Description: "most", Amount: amount("maximum")}
		inv := signed(t, rapid.SliceOfN(rapid.Int64Range(0, 50), 1, 8).Draw(t, "use"), []domain.Charge{used, commit, least, most}, 0)
		by, sum := map[string]int64{}, int64(0)
		for _, l := range inv.Lines {
			by[l.Charge] += l.Amount.Minor
			sum += l.Amount.Minor
		}
		if sum != inv.Subtotal.Minor || inv.Total != inv.Subtotal.Add(inv.TaxDue) {
			t.Fatalf("lines of %d, subtotal %s, tax %s, total %s", sum, inv.Subtotal, inv.TaxDue, inv.Total)
		}
		cents := func(c domain.Charge) int64 { v, _ := c.Amount.Scaled(2); return v.Int64() }
		if spent := by["used"] + by["commit"]; commit.TrueUp && spent < cents(commit) {
			t.Fatalf("spent %d of a commitment of %d", spent, cents(commit))
		}
		if over := by["used"] - cents(commit); over > 0 && by["commit"] != (over+1)/2 {
			t.Fatalf("%d beyond the commitment cost %d more, want half of it", over, by["commit"])
		}
		if by["used"]+by["least"] < cents(least) || by["used"]+by["most"] > cents(most) {
			t.Fatalf("used %d, at least %d (%d more), at most %d (%d less)", by["used"], cents(least), by["least"], cents(most), by["most"])
		}
		for _, b := range inv.Balances {
			if b.Opening.Add(b.Added).Sub(b.Drawn).Sub(b.Expired) != b.Closing {
				t.Fatalf("a balance does not add up: %+v", b)
			}
		}
	})
}
