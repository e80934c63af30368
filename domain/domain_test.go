package domain_test

import (
	"encoding/json"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"wattbook/domain"
)

func dec(s string) domain.Decimal { return domain.MustDecimal(s) }

func TestInt128AgreesWithBigIntegers(t *testing.T) {
	wide := rapid.Custom(func(t *rapid.T) domain.Int128 {
		return domain.Int128{Hi: rapid.Int64Range(-1<<40, 1<<40).Draw(t, "hi"), Lo: rapid.Uint64().Draw(t, "lo")}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := wide.Draw(t, "a"), wide.Draw(t, "b")
		for name, c := range map[string]struct {
			got  domain.Int128
			want *big.Int
		}{
			"add": {a.Add(b), new(big.Int).Add(a.Big(), b.Big())},
			"sub": {a.Sub(b), new(big.Int).Sub(a.Big(), b.Big())},
			"neg": {a.Neg(), new(big.Int).Neg(a.Big())},
			"abs": {a.Abs(), new(big.Int).Abs(a.Big())},
		} {
			if c.got.Big().Cmp(c.want) != 0 {
				t.Fatalf("%s of %s and %s: got %s, want %s", name, a, b, c.got, c.want)
			}
		}
		if got, want := a.Cmp(b), a.Big().Cmp(b.Big()); got != want {
			t.Fatalf("cmp %s %s: got %d, want %d", a, b, got, want)
		}
		num, den := rapid.Int64Min(0).Draw(t, "num"), rapid.Int64Min(1).Draw(t, "den")
		small := domain.Int128{Hi: a.Hi >> 24, Lo: a.Lo}
		product := new(big.Int).Mul(small.Big(), big.NewInt(num))
		want, _ := new(big.Int).DivMod(product, big.NewInt(den), new(big.Int))
		if want.BitLen() < 127 {
			if got := small.MulDiv(num, den); got.Big().Cmp(want) != 0 {
				t.Fatalf("%s × %d / %d: got %s, want %s", small, num, den, got, want)
			}
		}
		back, err := domain.ParseInt(a.String())
		if err != nil || back != a {
			t.Fatalf("%s came back as %s, %v", a, back, err)
		}
	})
}

func TestParseDecimal(t *testing.T) {
	for _, c := range []struct{ in, want, complaint string }{
		{"41.270", "41.27", ""},
		{"-12.50", "-12.5", ""},
		{"0", "0", ""},
		{"-0.000", "0", ""},
		{"100", "100", ""},
		{"0.00000001", "0.00000001", ""},
		{strings.Repeat("9", 60), strings.Repeat("9", 60), ""},
		{"1e5", "", "written with an exponent"},
		{"1.5E-7", "", "written with an exponent"},
		{"", "", "not a plain decimal"},
		{"-", "", "not a plain decimal"},
		{".5", "", "not a plain decimal"},
		{"5.", "", "not a plain decimal"},
		{"+5", "", "not a plain decimal"},
		{"1,000.00", "", "not a plain decimal"},
		{"$5", "", "not a plain decimal"},
		{" 5", "", "not a plain decimal"},
		{"NaN", "", "not a plain decimal"},
		{"Infinity", "", "not a plain decimal"},
		{"0x10", "", "not a plain decimal"},
		{strings.Repeat("9", 61), "", "more than 60 digits"},
	} {
		got, err := domain.ParseDecimal(c.in)
		switch {
		case c.complaint != "":
			if err == nil || !strings.Contains(err.Error(), c.complaint) {
				t.Errorf("%q: got %s, %v; want a complaint that it is %s", c.in, got, err, c.complaint)
			}
		case err != nil || got.String() != c.want:
			t.Errorf("%q: got %s, %v; want %s", c.in, got, err, c.want)
		}
	}
}

func FuzzParseDecimal(f *testing.F) {
	for _, s := range []string{"41.27", "-0.5", "1e5", "99999999999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := domain.ParseDecimal(s)
		if err != nil {
			return
		}
		back, err := domain.ParseDecimal(d.String())
		if err != nil || !back.Equal(d) || back.String() != d.String() {
			t.Fatalf("%q: %s came back as %s, %v", s, d, back, err)
		}
		want, ok := new(big.Rat).SetString(s)
		if !ok || want.Cmp(d.Rat()) != 0 {
			t.Fatalf("%q is %s, want %s", s, d.Rat(), want)
		}
	})
}

func TestDecimalArithmeticIsExact(t *testing.T) {
	decimals := rapid.Custom(func(t *rapid.T) domain.Decimal {
		return domain.NewDecimal(rapid.Int64().Draw(t, "coefficient"), int32(rapid.IntRange(-20, 20).Draw(t, "exponent")))
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := decimals.Draw(t, "a"), decimals.Draw(t, "b")
		check := func(what string, got domain.Decimal, want *big.Rat) {
			if got.Rat().Cmp(want) != 0 {
				t.Fatalf("%s of %s and %s: got %s, want %s", what, a, b, got, want)
			}
		}
		check("add", a.Add(b), new(big.Rat).Add(a.Rat(), b.Rat()))
		check("sub", a.Sub(b), new(big.Rat).Sub(a.Rat(), b.Rat()))
		check("mul", a.Mul(b), new(big.Rat).Mul(a.Rat(), b.Rat()))
		check("neg", a.Neg(), new(big.Rat).Neg(a.Rat()))
		if a.Cmp(b) != a.Rat().Cmp(b.Rat()) {
			t.Fatalf("cmp of %s and %s", a, b)
		}
		places := int32(rapid.IntRange(0, 12).Draw(t, "places"))
		half := big.NewRat(1, 2)
		unit := domain.NewDecimal(1, -places).Rat()
		round := func(r *big.Rat) *big.Rat { // half away from zero, by definition
			n := new(big.Rat).Quo(new(big.Rat).Abs(r), unit)
			n.Add(n, half)
			whole := new(big.Int).Quo(n.Num(), n.Denom())
			n.SetInt(whole).Mul(n, unit)
			if r.Sign() < 0 {
				n.Neg(n)
			}
			return n
		}
		check("round", a.Round(places), round(a.Rat()))
		check("round of a fraction", domain.RoundRat(a.Rat(), places), round(a.Rat()))
		if !b.IsZero() {
			check("quo", domain.Quo(a, b, places), round(new(big.Rat).Quo(a.Rat(), b.Rat())))
		}
		if back, err := domain.ParseDecimal(a.Shift(places).String()); err == nil {
			check("shift", back, new(big.Rat).Quo(a.Rat(), unit))
		}
		if fixed, err := domain.ParseDecimal(a.Fixed(places)); err == nil {
			check("fixed", fixed, round(a.Rat()))
		}
	})
}

func TestRoundingIsHalfAwayFromZero(t *testing.T) {
	for in, want := range map[string]string{
		"0.125": "0.13", "-0.125": "-0.13", "0.124999": "0.12", "2.5": "2.50", "1.005": "1.01",
		"-1.005": "-1.01", "0.005": "0.01", "-0.005": "-0.01", "0.004": "0.00", "-0.004": "0.00",
	} {
		if got := dec(in).Fixed(2); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

// The examples are those published in openmeter's currencyx allocation tests:
// 0.05 to 1:1:1, 6.00 to 10:5, 0.01 to 100:1.
func TestAllocatePublishedExamples(t *testing.T) {
	for _, c := range []struct {
		total         int64
		weights, want []int64
	}{
		{5, []int64{1, 1, 1}, []int64{2, 2, 1}},
		{600, []int64{10, 5}, []int64{400, 200}},
		{1, []int64{100, 1}, []int64{1, 0}},
		{-5, []int64{1, 1, 1}, []int64{-2, -2, -1}},
		{7, []int64{0, 0, 3}, []int64{0, 0, 7}},
		{7, []int64{0, 0}, nil},
		{7, []int64{1, -1}, nil},
	} {
		if diff := cmp.Diff(c.want, domain.Allocate(c.total, c.weights)); diff != "" {
			t.Errorf("%d to %v (-want +got):\n%s", c.total, c.weights, diff)
		}
	}
}

func TestAllocatedPartsSumToTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.Int64Range(-1<<40, 1<<40).Draw(t, "total")
		weights := rapid.SliceOfN(rapid.Int64Range(0, 1<<40), 1, 20).Draw(t, "weights")
		parts := domain.Allocate(total, weights)
		sum, weight := int64(0), int64(0)
		for i := range weights {
			weight += weights[i]
		}
		if weight == 0 {
			if parts != nil {
				t.Fatal("allocated to nobody")
			}
			return
		}
		for i, p := range parts {
			sum += p
			exact := new(big.Rat).SetFrac(new(big.Int).Mul(big.NewInt(total), big.NewInt(weights[i])), big.NewInt(weight))
			if off := new(big.Rat).Sub(exact, big.NewRat(p, 1)); off.Abs(off).Cmp(big.NewRat(1, 1)) >= 0 {
				t.Fatalf("part %d is %d, more than a unit from %s", i, p, exact)
			}
		}
		if sum != total {
			t.Fatalf("parts sum to %d, want %d", sum, total)
		}
	})
}

func TestMoney(t *testing.T) {
	for _, c := range []struct{ in, want, complaint string }{
		{"1234.5 USD", "1234.50 USD", ""},
		{"-0.01 USD", "-0.01 USD", ""},
		{"1000 JPY", "1000 JPY", ""},
		{"0.5 JPY", "", "not a whole number of the minor unit"},
		{"0.001 USD", "", "not a whole number of the minor unit"},
		{"12.50", "", "not an amount of money"},
		{"12.50 XXX", "", "is not known"},
		{"1e3 USD", "", "exponent"},
		{"99999999999999999999 USD", "", "minor unit"},
	} {
		var m domain.Money
		err := m.UnmarshalText([]byte(c.in))
		switch {
		case c.complaint != "":
			if err == nil || !strings.Contains(err.Error(), c.complaint) {
				t.Errorf("%q: got %v, want a complaint: %s", c.in, err, c.complaint)
			}
		case err != nil || m.String() != c.want:
			t.Errorf("%q: got %s, %v", c.in, m, err)
		}
	}
	if m, err := domain.Currency("USD").Round(dec("46.454999")); err != nil || m.String() != "46.45 USD" {
		t.Errorf("got %s, %v", m, err)
	}
	if _, err := domain.Currency("USD").Round(dec("1" + strings.Repeat("0", 30))); err == nil {
		t.Error("an amount beyond int64 was rounded to something")
	}
}

func TestUnits(t *testing.T) {
	for name, c := range map[string]struct{ got, want string }{
		"a megawatt-hour in mWh":           {domain.DecimalFromInt(domain.Int(int64(domain.MegawattHour))).String(), "1000000000"},
		"12 MW for 5 minutes":              {(12 * domain.Megawatt).Over(5 * domain.Minute).String(), "1000 kWh"},
		"1000 kWh over 5 minutes":          {(1000 * domain.KilowattHour).Mean(5 * domain.Minute).Megawatts().String(), "12"},
		"a satoshi":                        {domain.Satoshi(1).String(), "0.00000001 BTC"},
		"two GPUs for ninety minutes":      {(3 * domain.GPUHour).String(), "3 GPU-h"},
		"a third of an hour":               {domain.GPUTime(1_200_000).String(), "0.333333 GPU-h"},
		"hashes behind difficulty 1":       {domain.ShareDifficulty{Int128: domain.Int(domain.ShareUnit)}.Hashes().String(), "4295032833"},
		"an exahash-year of hashes":        {domain.Int(1_000_000_000_000_000_000).MulDiv(31_556_952, 1).String(), "31556952000000000000000000"},
		"halvings":                         {domain.Subsidy(839_999).String() + " " + domain.Subsidy(840_000).String(), "6.25000000 BTC 3.12500000 BTC"},
		"the subsidy after the last coin":  {domain.Subsidy(6_930_000).String(), "0.00000000 BTC"},
		"the subsidy before the first one": {domain.Subsidy(-1).String(), "0.00000000 BTC"},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %s, want %s", name, c.got, c.want)
		}
	}
}

// The values are those of block headers on the main network: the genesis
// block, block 100800 (see the Bitcoin wiki's worked example of 0x1b0404cb) and
// difficulties that explorers print for them.
func TestBits(t *testing.T) {
	for _, c := range []struct {
		bits       domain.Bits
		difficulty string
	}{
		{0x1d00ffff, "1.00000000"},
		{0x1b0404cb, "16307.42093852"},
		{0x1c05a3f4, "45.38582234"},
	} {
		if got := domain.RoundRat(c.bits.Difficulty(), 8).Fixed(8); got != c.difficulty {
			t.Errorf("%08x: got difficulty %s, want %s", uint32(c.bits), got, c.difficulty)
		}
		back, err := domain.BitsOfDifficulty(dec(c.difficulty))
		if err != nil || back != c.bits {
			t.Errorf("%s: got bits %08x, %v", c.difficulty, uint32(back), err)
		}
	}
	for _, bad := range []domain.Bits{0, 0x1d010000, 0x1d80ffff, 0xff00ffff, 0x01000000} {
		if _, err := bad.Target(); err == nil {
			t.Errorf("%08x was accepted", uint32(bad))
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		b := domain.Bits(rapid.Uint32Range(3, 0x1d).Draw(t, "size")<<24 | rapid.Uint32Range(0x008000, 0x7fffff).Draw(t, "mantissa"))
		target, err := b.Target()
		if err != nil {
			return
		}
		back, err := domain.BitsOfTarget(target)
		if err != nil || back != b {
			t.Fatalf("%08x came back as %08x, %v", uint32(b), uint32(back), err)
		}
		if fromDifficulty, err := domain.BitsOfDifficulty(domain.RoundRat(b.Difficulty(), 8)); b.Difficulty().Cmp(big.NewRat(1e12, 1)) > 0 && (err != nil || fromDifficulty != b) {
			t.Fatalf("%08x came back from its difficulty as %08x, %v", uint32(b), uint32(fromDifficulty), err)
		}
	})
}

func TestPeriodsFollowTheCalendarOfTheirZone(t *testing.T) {
	chicago, err := time.LoadLocation("America/Chicago")
	if err != nil {
		t.Fatal(err)
	}
	for p, hours := range map[string]int64{
		"2026-03": 31*24 - 1, // clocks go forward on the 8th
		"2026-11": 30*24 + 1, // and back on the 1st
		"2026-10": 31 * 24, "2028-02": 29 * 24, "2026-02": 28 * 24, "2026-12": 31 * 24,
	} {
		period, err := domain.ParsePeriod(p)
		if err != nil {
			t.Fatal(err)
		}
		if got := period.In(chicago).Steps(domain.Hour); got != hours {
			t.Errorf("%s: got %d hours, want %d", p, got, hours)
		}
		if period.In(chicago).End != period.Next().In(chicago).Start {
			t.Errorf("%s does not end where %s starts", p, period.Next())
		}
	}
	for _, bad := range []string{"2026-13", "2026-1", "2026", "1969-12", "October 2026", ""} {
		if _, err := domain.ParsePeriod(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestInstants(t *testing.T) {
	for in, want := range map[string]string{
		"2026-10-14T17:35Z":                "2026-10-14T17:35:00Z",
		"2026-10-14T12:35:00-05:00":        "2026-10-14T17:35:00Z",
		"2026-10-14T17:35:00.123456Z":      "2026-10-14T17:35:00.123456Z",
		"2026-10-14T17:35:00.123456789Z":   "2026-10-14T17:35:00.123456Z",
		"1970-01-01T00:00:00Z":             "1970-01-01T00:00:00Z",
		"2026-10-14T17:35:00.100000+00:00": "2026-10-14T17:35:00.1Z",
	} {
		got, err := domain.ParseInstant(in)
		if err != nil || got.String() != want {
			t.Errorf("%s: got %s, %v; want %s", in, got, err, want)
		}
	}
	for _, bad := range []string{"", "2026-10-14", "2026-10-14T17:35", "1969-12-31T23:59:59Z", "yesterday"} {
		if _, err := domain.ParseInstant(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
	if got := domain.Unix(-1).Floor(domain.Minute); got != domain.Unix(-60) {
		t.Errorf("floor before 1970: got %d", got)
	}
}

func TestEventIDs(t *testing.T) {
	a := domain.EventIDOf("ab", "c")
	if a != domain.EventIDOf("ab", "c") || a == domain.EventIDOf("a", "bc") || a == domain.EventIDOf("abc") {
		t.Error("ids do not tell their parts apart")
	}
	if a[6]>>4 != 5 || a[8]>>6 != 2 {
		t.Errorf("%s is not a version 5 UUID", a)
	}
	back, err := domain.ParseEventID(a.String())
	if err != nil || back != a {
		t.Errorf("%s came back as %s, %v", a, back, err)
	}
	for _, bad := range []string{"", a.String()[1:], a.String() + "0", strings.ReplaceAll(a.String(), "-", "+"), "zz" + a.String()[2:]} {
		if _, err := domain.ParseEventID(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
	// The id of a given name never changes: it is what a retry finds.
	if got := domain.EventIDOf("power", "hb_south").String(); got != "218c3feb-8765-5daa-8ae4-014a744fe386" {
		t.Errorf("the id of a name changed: %s", got)
	}
}

func TestIdentifiers(t *testing.T) {
	for _, good := range []string{"c1-r01", "hb_south", "a", "9.x"} {
		if err := domain.CheckID("device", good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "C1", "-a", "a b", "ä", "a/b", strings.Repeat("x", 65)} {
		if err := domain.CheckID("device", bad); err == nil || !strings.Contains(err.Error(), "device") {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}

func TestContractsAreChecked(t *testing.T) {
	good := domain.ContractSigned{
		Contract: "a", Series: "CB", Version: 1, Buyer: domain.Party{ID: "b"}, Currency: "USD", Start: 1,
		Tax:     domain.Tax{Name: "VAT", Rate: dec("0.2")},
		Charges: []domain.Charge{{ID: "x", Kind: domain.ChargeOnDemandGPUs, Rate: dec("2.49")}},
	}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*domain.ContractSigned){
		"series \"cb\"":          func(c *domain.ContractSigned) { c.Series = "cb" },
		"versions count from 1":  func(c *domain.ContractSigned) { c.Version = 0 },
		"before it starts":       func(c *domain.ContractSigned) { c.Start, c.End = 5, 4 },
		"is not known; use":      func(c *domain.ContractSigned) { c.Currency = "USX" },
		"rate -0.2 is negative":  func(c *domain.ContractSigned) { c.Tax.Rate = dec("-0.2") },
		"zero without a reason":  func(c *domain.ContractSigned) { c.Tax.Rate = dec("0") },
		"has no charges":         func(c *domain.ContractSigned) { c.Charges = nil },
		"used twice":             func(c *domain.ContractSigned) { c.Charges = append(c.Charges, c.Charges[0]) },
		"needs a rate":           func(c *domain.ContractSigned) { c.Charges[0].Rate = dec("0") },
		`kind "free" is not`:     func(c *domain.ContractSigned) { c.Charges[0].Kind = "free" },
		"a quantity and a rate":  func(c *domain.ContractSigned) { c.Charges[0].Kind = domain.ChargeReservedGPUs },
		"needs meters":           func(c *domain.ContractSigned) { c.Charges[0].Kind = domain.ChargePassThrough },
		"payment_days":           func(c *domain.ContractSigned) { c.PaymentDays = -1 },
		"customer is empty":      func(c *domain.ContractSigned) { c.Buyer.ID = "" },
		"use lower-case letters": func(c *domain.ContractSigned) { c.Contract = "A" },
	} {
		c := good
		c.Charges = append([]domain.Charge(nil), good.Charges...)
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want a complaint with %q, got %v", want, err)
		}
	}
}

func TestDigestsAndDurationsInJSON(t *testing.T) {
	type pair struct {
		D domain.Digest   `json:"d,omitzero"`
		T domain.Duration `json:"t"`
	}
	in := pair{domain.DigestOf([]byte("a"), []byte("b")), 90 * domain.Minute}
	if in.D != domain.DigestOf([]byte("ab")) {
		t.Error("a digest depends on how its bytes are cut")
	}
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out pair
	if err := json.Unmarshal(b, &out); err != nil || out != in {
		t.Errorf("%s came back as %+v, %v", b, out, err)
	}
	for _, bad := range []string{`{"d":"ab"}`, `{"d":"` + strings.Repeat("z", 64) + `"}`, `{"t":"5"}`, `{"t":"soon"}`} {
		if err := json.Unmarshal([]byte(bad), &out); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
}

func TestSitesThatNoBookCanBeKeptOf(t *testing.T) {
	for want, s := range map[string]domain.SiteRegistered{
		"site is empty":     {Step: domain.Minute},
		"step 7m0s is no":   {Site: "cedar-bend", Step: 7 * domain.Minute},
		"step 0s is no":     {Site: "cedar-bend"},
		"step -5m0s is no":  {Site: "cedar-bend", Step: -5 * domain.Minute},
		"step 500ms is no ": {Site: "cedar-bend", Step: 500 * domain.Millisecond},
	} {
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want a complaint with %q, got %v", want, err)
		}
	}
	if err := (domain.SiteRegistered{Site: "cedar-bend", Step: 5 * domain.Minute}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestCountries(t *testing.T) {
	for code, ok := range map[string]bool{"US": true, "MX": true, "AX": true, "ZW": true, "us": false, "USA": false, "": false, "XX": false, "S ": false, " U": false} {
		if err := domain.CheckCountry(code); (err == nil) != ok {
			t.Errorf("%q: %v", code, err)
		}
	}
}

// TestWholeNumbersAreExact compares the products and scaled decimals of whole
// numbers with those of unlimited width.
func TestWholeNumbersAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Int64().Draw(t, "a"), rapid.Int64().Draw(t, "b")
		want := new(big.Int).Mul(big.NewInt(a), big.NewInt(b))
		if got := domain.Product(a, b).Big(); got.Cmp(want) != 0 {
			t.Fatalf("%d × %d: got %s, want %s", a, b, got, want)
		}
		d, places := domain.NewDecimal(a, rapid.Int32Range(-22, 3).Draw(t, "exponent")), rapid.Int32Range(0, 12).Draw(t, "places")
		whole, exact := d.Scaled(places)
		got, ok := d.Int64(places)
		if ok != (exact && whole.IsInt64()) || ok && got != whole.Int64() {
			t.Fatalf("%s with %d places: got %d, %t; want %s, %t", d, places, got, ok, whole, exact)
		}
	})
}
