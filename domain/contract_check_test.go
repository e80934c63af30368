package domain_test

import (
	"errors"
	"strings"
	"testing"

	"wattbook/domain"
)

// contractWith returns a contract that is in order but for its charges.
func contractWith(charges ...domain.Charge) domain.ContractSigned {
	return domain.ContractSigned{
		Contract: "aurora", Version: 1, Buyer: domain.Party{ID: "aurora"}, Series: "CB", Currency: "USD", Zone: "UTC",
		Start: domain.Unix(1_790_000_000), End: domain.Unix(1_800_000_000), Tax: domain.Tax{Name: "VAT", Rate: domain.MustDecimal("0.19")}, Charges: charges,
	}
}

// TestTermsThatCannotBeBilled holds each rule: where it says that a contract
// breaks it, and in what words.
func TestTermsThatCannotBeBilled(t *testing.T) {
	dec := domain.MustDecimal
	end := func(s string) *domain.Decimal { d := dec(s); return &d }
	usage := func(edit func(*domain.Charge)) domain.ContractSigned {
		c := domain.Charge{ID: "used", Kind: domain.ChargeUsage, Measure: domain.MeasureGPUHours, Rate: dec("2")}
		edit(&c)
		return contractWith(c)
	}
	reserved := func(ramp ...domain.RampStep) domain.ContractSigned {
		return contractWith(domain.Charge{ID: "r", Kind: domain.ChargeReservedGPUs, Quantity: 1, Rate: dec("2"), Ramp: ramp})
	}
	sla := func(bands ...domain.SLABand) domain.ContractSigned {
		return contractWith(domain.Charge{ID: "sla", Kind: domain.ChargeSLACredit, SLA: &domain.SLA{Devices: []domain.DeviceID{"g"}, Bands: bands}})
	}
	windows := func(all ...domain.Window) domain.ContractSigned {
		return usage(func(c *domain.Charge) { c.Rate, c.Windows = dec("0"), all })
	}
	for _, c := range []struct {
		contract   domain.ContractSigned
		path, rule string
	}{
		{usage(func(c *domain.Charge) {
			c.Model, c.Tiers = domain.Graduated, []domain.Tier{{UpTo: end("10"), Rate: dec("1")}}
		}), "charges/0/tiers/0/up_to", "tier gap: nothing prices what is beyond 10"},
		{usage(func(c *domain.Charge) {
			c.Model, c.Tiers = domain.Volume, []domain.Tier{{UpTo: end("10")}, {UpTo: end("10")}, {}}
		}), "charges/0/tiers/1/up_to", "not above where it begins"},
		{usage(func(c *domain.Charge) { c.Model, c.Tiers = domain.Volume, []domain.Tier{{}, {}} }), "charges/0/tiers/0/up_to", "has no end, and others follow it"},
		{usage(func(c *domain.Charge) { c.Model = "stairs" }), "charges/0/model", `model "stairs"`},
		{usage(func(c *domain.Charge) { c.Model = domain.Package }), "charges/0/block_quantity", "needs block_quantity"},
		{usage(func(c *domain.Charge) { c.Measure = "hours" }), "charges/0/measure", "want gpu-hours or kwh"},
		{usage(func(c *domain.Charge) { c.Measure = domain.MeasureEnergy }), "charges/0/meters", "kwh are of meters"},
		{usage(func(c *domain.Charge) { c.Index, c.IndexFloor, c.IndexCap = "n", end("5"), end("4") }), "charges/0/index_cap", "below its index_floor"},
		{usage(func(c *domain.Charge) { c.From = domain.Unix(1_900_000_000) }), "charges/0/from", "when the contract has ended"},
		{usage(func(c *domain.Charge) { c.Until = domain.Unix(1_000_000_000) }), "charges/0/until", "before it begins"},
		{reserved(domain.RampStep{From: 20, Quantity: 1}, domain.RampStep{From: 10, Quantity: 1}), "charges/0/ramp/1/from", "its ramp overlaps"},
		{windows(domain.Window{Name: "a", From: "00:00", To: "12:00"}), "charges/0/windows", "no window covers Sunday at 12:00"},
		{windows(domain.Window{Name: "a", From: "00:00", To: "24:00"}, domain.Window{Name: "b", From: "22:00", To: "06:00"}), "charges/0/windows/1", `"a" and "b" overlap on Sunday at 22:00`},
		{windows(domain.Window{Name: "a", From: "0", To: "24:00"}), "charges/0/windows/0", `"0" is not a time of day`},
		{contractWith(domain.Charge{ID: "p", Kind: domain.ChargePercentage, Portion: dec("0.1"), Of: []string{"x"}}), "charges/0/of/0", `charge "x" is not before it`},
		{contractWith(domain.Charge{ID: "c", Kind: domain.ChargeCommitment}), "charges/0/amount", "needs an amount"},
		{contractWith(domain.Charge{ID: "c", Kind: domain.ChargeCommitment, Amount: dec("1"), Rollover: true}), "charges/0/rollover", "set true_up"},
		{contractWith(domain.Charge{ID: "c", Kind: domain.ChargeMinimum, Amount: dec("10.005")}), "charges/0/amount", "10.005 has more digits than USD has, which are 2"},
		{contractWith(domain.Charge{ID: "d", Kind: domain.ChargeDemand}), "charges/0/meters", "needs meters"},
		{contractWith(domain.Charge{ID: "d", Kind: "gift"}), "charges/0/kind", `kind "gift" is not known`},
		{sla(domain.SLABand{Below: dec("0.9")}, domain.SLABand{Below: dec("0.99")}), "charges/0/sla/bands/1/below_portion", "bands fall"},
		{sla(domain.SLABand{Below: dec("0.9"), Portion: dec("2")}), "charges/0/sla/bands/0/credit_portion", "want 0 to 1"},
	} {
		err := c.contract.Validate()
		var term *domain.TermError
		if !errors.As(err, &term) || term.Path != c.path || !strings.Contains(term.Rule, c.rule) || !strings.HasPrefix(err.Error(), "contract aurora: ") {
			t.Errorf("got %+v, want %s: %s", err, c.path, c.rule)
		}
	}
	for _, c := range []domain.ContractSigned{
		reserved(domain.RampStep{From: 10, Quantity: 1}, domain.RampStep{From: 20}),
		windows(domain.Window{Name: "day", From: "06:00", To: "22:00"}, domain.Window{Name: "night", From: "22:00", To: "06:00"}),
		sla(domain.SLABand{Below: dec("0.99"), Portion: dec("0.1")}, domain.SLABand{Below: dec("0.9"), Portion: dec("1")}),
	} {
		if err := c.Validate(); err != nil {
			t.Error(err)
		}
	}
}

func TestATaxHasItsCategory(t *testing.T) {
	dec := domain.MustDecimal
	for _, c := range []struct {
		tax  domain.Tax
		kind domain.TaxCategory
		ok   bool
	}{
		{domain.Tax{Rate: dec("0.19")}, domain.TaxStandard, true},
		{domain.Tax{Reason: "small business"}, domain.TaxExempt, true},
		{domain.Tax{Reason: "Reverse charge", Category: domain.TaxReverseCharge}, domain.TaxReverseCharge, true},
		{domain.Tax{Rate: dec("0.19"), Category: domain.TaxReverseCharge}, domain.TaxReverseCharge, false},
		{domain.Tax{Category: domain.TaxZeroRated}, domain.TaxZeroRated, false}, // no reason
		{domain.Tax{Reason: "x", Category: "Q"}, "Q", false},
		{domain.Tax{Reason: "x", Category: domain.TaxStandard}, domain.TaxStandard, false},
	} {
		k := contractWith(domain.Charge{ID: "x", Kind: domain.ChargeFixed, Rate: dec("1")})
		k.Tax = c.tax
		if err := k.Validate(); (err == nil) != c.ok || c.tax.Kind() != c.kind {
			t.Errorf("%+v: %v, category %s", c.tax, err, c.tax.Kind())
		}
	}
}
