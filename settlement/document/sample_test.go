package document_test

import (
	"fmt"
	"time"

	"wattbook/domain"
	"wattbook/settlement/document"
)

// zone is Chicago in October 2026, without a table of zones.
var zone = time.FixedZone("", -5*3600)

func local(month time.Month, day, hour int) domain.Instant {
	return domain.At(time.Date(2026, month, day, hour, 0, 0, 0, zone))
}

// usd returns minor units of dollars.
func usd(cents int64) domain.Money { return domain.Money{Minor: cents, Currency: "USD"} }

// sample returns an invoice with every kind of line.
func sample() domain.Invoice {
	month := domain.Interval{Start: local(time.October, 1, 0), End: local(time.November, 1, 0)}
	unit := func(s string) *domain.Decimal { d := domain.MustDecimal(s); return &d }
	inv := domain.Invoice{
		Number: "INV-2026-000147", Site: "pecos-1", Contract: "north-models", Version: 3,
		Seller: domain.Party{ID: "seller", Name: "Pecos Power & Compute LLC", Address: []string{"4100 Substation Road", "Pecos, TX 79772"}, Country: "US", TaxID: "84-1234567"},
		Buyer:  domain.Party{ID: "north-models", Name: "Północ Modèles Çağdaş GmbH", Address: []string{"Accounts payable", "Königstraße 12", "80331 München"}, Country: "DE", TaxID: "DE123456789"},
		Period: domain.Period{Year: 2026, Month: time.October}, Interval: month, Zone: "America/Chicago",
		AsOf: 1_048_211, Issued: local(time.November, 2, 3), Due: local(time.December, 2, 3),
		Tax: domain.Tax{Name: "Sales tax", Rate: domain.MustDecimal("0.0825")},
		Lines: []domain.InvoiceLine{
			{
				Line: 1, Charge: "reserved-h200", Kind: domain.ChargeReservedGPUs, Description: "512 reserved H200 GPUs, take-or-pay", Interval: month,
				Quantity: domain.MustDecimal("512"), Unit: "GPU-month", UnitPrice: unit("1460"), Amount: usd(74_752_000),
				Detail: "372,105.5 of 380,928 GPU-hours used (97.7%)",
			},
			{
				Line: 2, Charge: "reserved-h200", Kind: domain.ChargeReservedGPUs, Description: "GPU-hours beyond the reserved quantity", Interval: month,
				Quantity: domain.MustDecimal("1284.25"), Unit: "GPU-hour", UnitPrice: unit("2.495"), Amount: usd(320_420),
			},
			{
				Line: 3, Charge: "burst", Kind: domain.ChargeOnDemandGPUs, Description: "On-demand L40S GPUs for the evaluation cluster, from the day on which the fourth hall was taken into service", Interval: domain.Interval{Start: local(time.October, 14, 12), End: month.End},
				Quantity: domain.MustDecimal("9312.5"), Unit: "GPU-hour", UnitPrice: unit("0.89"), Amount: usd(828_813), Estimated: domain.MustDecimal("12.5"),
				Detail: "scheduler log missing from 2026-10-19T04:00Z to 04:25Z; estimated by the mean of the hour before",
			},
			{
				Line: 4, Charge: "power", Kind: domain.ChargePassThrough, Description: "Energy at the price of each interval (hb_west), plus 4.00 USD/MWh, scaled by losses of 1.8%", Interval: month,
				Quantity: domain.MustDecimal("418233.118204"), Unit: "kWh", Amount: usd(1_713_207), Estimated: domain.MustDecimal("96.4"),
			},
			{
				Line: 5, Charge: "power", Kind: domain.ChargePassThrough, Description: "Credit: curtailment during the grid emergency", Interval: domain.Interval{Start: local(time.October, 20, 0), End: local(time.October, 22, 0)},
				Quantity: domain.MustDecimal("-1200"), Unit: "kWh", UnitPrice: unit("0.0825"), Amount: usd(-9_900),
			},
		},
	}
	for day := range 31 {
		d := domain.DailyUsage{Day: fmt.Sprintf("2026-10-%02d", day+1)}
		d.GPU = domain.GPUTime(11_800+int64(day*day*7%611)) * domain.GPUHour
		d.Energy = domain.Energy(12_900_000+int64(day*7_123_457%1_500_000)) * domain.WattHour
		if day == 19 || day == 20 {
			d.GPU, d.Energy = d.GPU/5*2+1234, d.Energy/3
		}
		inv.Daily = append(inv.Daily, d)
	}
	return total(inv)
}

// total sets the sums of an invoice from its lines.
func total(inv domain.Invoice) domain.Invoice {
	sum := domain.Money{Currency: inv.Lines[0].Amount.Currency}
	for _, l := range inv.Lines {
		sum = sum.Add(l.Amount)
	}
	tax, err := sum.Currency.Round(sum.Decimal().Mul(inv.Tax.Rate))
	if err != nil {
		panic(err)
	}
	inv.Subtotal, inv.TaxDue, inv.Total = sum, tax, sum.Add(tax)
	return inv
}

var proof = document.Proof{Usage: domain.DigestOf([]byte("usage"))}
