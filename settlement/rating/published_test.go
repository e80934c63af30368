package rating_test

import (
	"math/big"
	"testing"
	"time"

	"wattbook/domain"
	"wattbook/projections/logscript"
	"wattbook/settlement/rating"
)

func dec(s string) domain.Decimal { return domain.MustDecimal(s) }

func upTo(s string) *domain.Decimal { d := dec(s); return &d }

func tier(end, unit, flat string) domain.Tier {
	t := domain.Tier{Rate: dec(unit), Flat: dec(flat)}
	if end != "" {
		t.UpTo = upTo(end)
	}
	return t
}

// TestPublishedPriceModels holds the price models against worked examples that
// billing systems publish: each names the file that it is from.
func TestPublishedPriceModels(t *testing.T) {
	graduated := domain.Charge{Model: domain.Graduated, Tiers: []domain.Tier{tier("5", "0", "100"), tier("10", "0", "50"), tier("15", "5", "0"), tier("", "1", "0")}}
	volume := domain.Charge{Model: domain.Volume, Tiers: []domain.Tier{tier("5", "0", "100"), tier("10", "0", "150"), tier("15", "10", "0"), tier("", "5", "0")}}
	minutes := []domain.Tier{tier("100", "1", "0"), tier("", "0.5", "0")} // in blocks of 10
	megabytes := []domain.Tier{tier("1024", "0.5", "0"), tier("", "0.1", "0")}
	lago := domain.Charge{Model: domain.Graduated, Tiers: []domain.Tier{tier("10", "10", "2"), tier("20", "5", "3"), tier("", "5", "3")}}
	pack := func(free string) domain.Charge {
		return domain.Charge{Model: domain.Package, Rate: dec("100"), Block: dec("10"), Free: dec(free)}
	}
	for _, c := range []struct {
		source   string
		charge   domain.Charge
		quantity string
		want     string
	}{
		{"openmeter rate/tieredgraduated_test.go", graduated, "22", "182"},
		{"openmeter rate/tieredgraduated_test.go, 12 billed already", graduated, "12", "160"},
		{"openmeter rate/tieredvolume_test.go", volume, "3", "100"},
		{"openmeter rate/tieredvolume_test.go", volume, "5", "100"},
		{"openmeter rate/tieredvolume_test.go", volume, "14", "140"},
		{"openmeter rate/tieredvolume_test.go", volume, "15", "150"},
		{"openmeter rate/tieredvolume_test.go", volume, "16", "80"},
		{"openmeter rate/tieredvolume_test.go", volume, "100", "500"},
		{"killbill-docs catalog-usage.adoc, minutes, ALL_TIER", domain.Charge{Model: domain.Graduated, Block: dec("10"), Tiers: minutes}, "1500", "125"},
		{"killbill-docs catalog-usage.adoc, megabytes, ALL_TIER (739.4 with the minutes)", domain.Charge{Model: domain.Graduated, Tiers: megabytes}, "2048", "614.4"},
		{"killbill-docs catalog-usage.adoc, minutes, TOP_TIER", domain.Charge{Model: domain.Volume, Block: dec("10"), Tiers: minutes}, "1500", "75"},
		{"killbill-docs catalog-usage.adoc, megabytes, TOP_TIER (279.8 with the minutes)", domain.Charge{Model: domain.Volume, Tiers: megabytes}, "2048", "204.8"},
		{"lago-api graduated_service_spec.rb", lago, "0", "2"},
		{"lago-api graduated_service_spec.rb", lago, "1", "12"},
		{"lago-api graduated_service_spec.rb", lago, "10", "102"},
		{"lago-api graduated_service_spec.rb", lago, "11", "110"},
		{"lago-api package_service_spec.rb", pack("0"), "121", "1300"},
		{"lago-api package_service_spec.rb, 10 free", pack("10"), "121", "1200"},
		{"lago-api package_service_spec.rb, 200 free", pack("200"), "121", "0"},
		{"lago docs, package", domain.Charge{Model: domain.Package, Rate: dec("5"), Block: dec("100"), Free: dec("100")}, "201", "10"},
	} {
		got := rating.Price(c.charge, dec(c.quantity).Rat())
		if got.Cmp(dec(c.want).Rat()) != 0 {
			t.Errorf("%s: %s units cost %s, want %s", c.source, c.quantity, got.FloatString(6), c.want)
		}
	}
	// Minutes and megabytes are one invoice.
	for want, m := range map[string]domain.PriceModel{"739.4": domain.Graduated, "279.8": domain.Volume} {
		of := rating.Price(domain.Charge{Model: m, Block: dec("10"), Tiers: minutes}, big.NewRat(1500, 1))
		if of.Add(of, rating.Price(domain.Charge{Model: m, Tiers: megabytes}, big.NewRat(2048, 1))); of.Cmp(dec(want).Rat()) != 0 {
			t.Errorf("killbill-docs catalog-usage.adoc, %s: minutes and megabytes cost %s, want %s", m, of.FloatString(2), want)
		}
	}
	// What is billed at 22 after 12 were billed before: 15 + 7.
	more := new(big.Rat).Sub(rating.Price(graduated, big.NewRat(22, 1)), rating.Price(graduated, big.NewRat(12, 1)))
	if more.Cmp(big.NewRat(22, 1)) != 0 {
		t.Errorf("openmeter rate/tieredgraduated_test.go: from 12 to 22 units, %s, want 22", more.FloatString(2))
	}
}

// TestPublishedInvoices holds whole invoices against published ones.
func TestPublishedInvoices(t *testing.T) {
	for _, c := range []struct {
		source string
		period domain.Period
		lines  []string
		want   string // subtotal, tax, total
	}{
		{
			"lago spending_minimum_spec.rb: a plan of 50.00 from 8 January, 20 % tax",
			domain.Period{Year: 2026, Month: time.January},
			[]string{"contract aurora from=2026-01-08 tax=0.2", "charge plan fixed 50"},
			"38.71 7.74 46.45",
		},
		{
			"lago spending_minimum_spec.rb: a minimum of 10.00 for 25 of 28 days, 8.00 used",
			domain.Period{Year: 2026, Month: time.February},
			[]string{"contract aurora from=2026-02-04 tax=0.2", "charge used on-demand-gpus 1", "charge least minimum 10", "start j aurora 8 2026-02-10T00:00", "end j 2026-02-10T01:00"},
			"8.93 1.79 10.72",
		},
		{
			"flexprice time-of-day-buckets.mdx: 600 used of a commitment of 500, 1.5 times beyond",
			domain.Period{Year: 2026, Month: time.February},
			[]string{"contract aurora", "charge used on-demand-gpus 1", "charge commit commitment 500 factor=1.5", "start j aurora 600 2026-02-10T00:00", "end j 2026-02-10T01:00"},
			"650.00 0.00 650.00",
		},
		{
			"flexprice time-of-day-buckets.mdx: exactly 500 used",
			domain.Period{Year: 2026, Month: time.February},
			[]string{"contract aurora", "charge used on-demand-gpus 1", "charge commit commitment 500 factor=1.5", "start j aurora 500 2026-02-10T00:00", "end j 2026-02-10T01:00"},
			"500.00 0.00 500.00",
		},
		{
			"flexprice time-of-day-buckets.mdx: 40 used at night of a commitment of 100 that is trued up",
			domain.Period{Year: 2026, Month: time.February},
			[]string{"contract aurora", "charge used usage gpu-hours windows=night@22:00-06:00@1,day@06:00-22:00@3", "charge commit commitment 100 true-up", "start j aurora 40 2026-02-10T23:00", "end j 2026-02-11T00:00"},
			"100.00 0.00 100.00",
		},
	} {
		t.Run(c.source, func(t *testing.T) {
			p := logscript.New()
			if err := p.Play(append([]string{"now 2026-04-01", "site s step=1h", "meter revenue"}, c.lines...)...); err != nil {
				t.Fatal(err)
			}
			f, err := p.Facts()
			if err != nil {
				t.Fatal(err)
			}
			inv, err := rating.Draft(f, "aurora", c.period)
			if err != nil {
				t.Fatal(err)
			}
			if got := inv.Subtotal.Amount() + " " + inv.TaxDue.Amount() + " " + inv.Total.Amount(); got != c.want {
				t.Errorf("got %s, want %s: %+v", got, c.want, inv.Lines)
			}
		})
	}
}

// TestPublishedTrueUpAndCredit holds the parts of lago's
// spending_minimum_spec.rb: 8.00 used of a minimum of 10.00 over 25 of 28 days,
// and the credit of the 15 days that are left of it. A note of ours makes the
// invoice and the note together come to what the invoice would have been, and so
// rounds their tax once; the published credit is taxed by itself.
func TestPublishedTrueUpAndCredit(t *testing.T) {
	p := logscript.New()
	if err := p.Play("now 2026-04-01", "site s step=1h", "meter revenue", "contract aurora from=2026-02-04 tax=0.2", "charge used on-demand-gpus 1", "charge least minimum 10",
		"start j aurora 8 2026-02-10T00:00", "end j 2026-02-10T01:00"); err != nil {
		t.Fatal(err)
	}
	f, err := p.Facts()
	if err != nil {
		t.Fatal(err)
	}
	inv, err := rating.Draft(f, "aurora", domain.Period{Year: 2026, Month: time.February})
	if err != nil {
		t.Fatal(err)
	}
	round := func(r *big.Rat) domain.Money {
		m, err := domain.Currency("USD").Round(domain.RoundRat(r, 6))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	portion := func(m domain.Money, num, den int64) domain.Money {
		r := m.Decimal().Rat()
		return round(r.Mul(r, big.NewRat(num, den)))
	}
	trueUp, credit := inv.Lines[1].Amount, portion(inv.Subtotal, 15, 25)
	refund := credit.Add(portion(credit, 1, 5))
	for _, c := range []struct {
		what string
		got  domain.Money
		want string
	}{
		{"true-up", trueUp, "0.93"},
		{"tax of it", portion(trueUp, 1, 5), "0.19"},
		{"invoice", inv.Total, "10.72"},
		{"credit", credit, "5.36"},
		{"tax of it", portion(credit, 1, 5), "1.07"},
		{"refund", refund, "6.43"},
		{"due", inv.Total.Sub(refund), "4.29"},
	} {
		if c.got.Amount() != c.want {
			t.Errorf("%s: %s, want %s", c.what, c.got.Amount(), c.want)
		}
	}
}
