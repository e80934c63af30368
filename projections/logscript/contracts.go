package logscript

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"wattbook/domain"
)

func (p *Player) playContract(w *words) error {
	r := reader{p: p}
	c := domain.ContractSigned{
		Site: p.site, Contract: domain.ContractID(w.plain[1]), Version: r.integer(w.key("version", "1")),
		Seller: domain.Party{ID: "seller", Name: "Seller", Country: "US"}, Buyer: domain.Party{ID: domain.CustomerID(w.key("buyer", w.plain[1])), Name: "Buyer", Country: "US"},
		Series: w.key("series", "CB"), Currency: domain.Currency(w.key("currency", "USD")), Zone: w.key("zone", "UTC"),
		Start: r.instant(w.key("from", "2020-01-01")), PaymentDays: r.integer(w.key("days", "30")),
		Tax: domain.Tax{Name: "Sales tax", Rate: r.decimal(w.key("tax", "0"))},
	}
	if c.Tax.Category = domain.TaxCategory(w.key("category", "")); c.Tax.Rate.IsZero() {
		c.Tax.Reason = strings.ReplaceAll(w.key("reason", "not_taxed"), "_", " ")
	}
	c.PrepaidPortion = r.decimal(w.key("prepaid", "0"))
	for m := range listed(w.key("maintenance", "")) {
		c.Maintenance = append(c.Maintenance, r.interval(m))
	}
	if until := w.key("until", ""); until != "" {
		c.End = r.instant(until)
	}
	p.contract = &c
	return r.err
}

func (p *Player) playCharge(w *words) error {
	if p.contract == nil {
		return errors.New("a charge needs a contract above it")
	}
	r := reader{p: p}
	c := domain.Charge{
		ID: w.plain[1], Kind: domain.ChargeKind(w.plain[2]), Description: w.plain[1], Overage: r.decimal(w.key("overage", "0")),
		Adder: r.decimal(w.key("adder", "0")), LossPortion: r.decimal(w.key("loss", "0")),
	}
	r.more(&c, w)
	switch rest := w.plain[3:]; {
	case c.Kind == domain.ChargePassThrough:
		c.Meters = devices(rest[0])
	case c.Kind == domain.ChargeUsage:
		if c.Measure = domain.Measure(rest[0]); len(rest) > 1 {
			c.Rate = r.decimal(rest[1])
		}
	case c.Kind == domain.ChargePercentage:
		c.Portion = r.decimal(rest[0])
	case c.Kind == domain.ChargeMinimum, c.Kind == domain.ChargeMaximum, c.Kind == domain.ChargeCommitment:
		c.Amount = r.decimal(rest[0])
		c.TrueUp, c.Rollover = slices.Contains(rest, "true-up"), slices.Contains(rest, "rollover")
	case c.Kind == domain.ChargeSLACredit:
		c.SLA.Devices, c.SLA.OnClaim = devices(rest[0]), slices.Contains(rest, "on-claim")
	case len(rest) == 3 && rest[1] == "x":
		c.Quantity, c.Rate = r.integer(rest[0]), r.decimal(rest[2])
	default:
		c.Rate = r.decimal(rest[0])
	}
	p.contract.Charges = append(p.contract.Charges, c)
	return r.err
}

// listed yields the parts of a list with commas; an empty one has none.
func listed(s string) iter.Seq[string] {
	if s == "" {
		return func(func(string) bool) {}
	}
	return strings.SplitSeq(s, ",")
}

func devices(s string) (all []domain.DeviceID) {
	for d := range listed(s) {
		all = append(all, domain.DeviceID(d))
	}
	return all
}

// more reads the terms of a charge that have a key.
func (r *reader) more(c *domain.Charge, w *words) {
	decimal := func(key string) domain.Decimal { return r.decimal(w.key(key, "0")) }
	pointer := func(s string) *domain.Decimal { d := r.decimal(s); return &d }
	if at := w.key("from", ""); at != "" {
		c.From = r.instant(at)
	}
	if at := w.key("until", ""); at != "" {
		c.Until = r.instant(at)
	}
	c.OverageFactor, c.Free, c.Block = decimal("factor"), decimal("free"), decimal("block")
	c.Model, c.Months = domain.PriceModel(w.key("model", "")), r.integer(w.key("months", "0"))
	c.Meters = devices(w.key("meters", ""))
	for step := range listed(w.key("ramp", "")) { // 2026-10-16>16x1400
		at, terms, _ := strings.Cut(step, ">")
		quantity, rate, _ := strings.Cut(terms, "x")
		c.Ramp = append(c.Ramp, domain.RampStep{From: r.instant(at), Quantity: r.integer(quantity), Rate: r.decimal(cmp.Or(rate, "0"))})
	}
	for tier := range listed(w.key("tiers", "")) { // 10:5+3, the last without its end
		to, price, _ := strings.Cut(tier, ":")
		rate, flat, _ := strings.Cut(price, "+")
		t := domain.Tier{Rate: r.decimal(rate), Flat: r.decimal(cmp.Or(flat, "0"))}
		if to != "" {
			t.UpTo = pointer(to)
		}
		c.Tiers = append(c.Tiers, t)
	}
	for window := range listed(w.key("windows", "")) { // night@22:00-06:00@0.08@mon+tue
		v := strings.Split(window+"@@@", "@")
		from, to, _ := strings.Cut(v[1], "-")
		out := domain.Window{Name: v[0], From: from, To: to, Rate: r.decimal(v[2])}
		if v[3] != "" {
			out.Days = strings.Split(v[3], "+")
		}
		c.Windows = append(c.Windows, out)
	}
	c.Index, c.IndexFactor = domain.NodeID(w.key("index", "")), decimal("index-factor")
	if floor := w.key("index-floor", ""); floor != "" {
		c.IndexFloor = pointer(floor)
	}
	if limit := w.key("index-cap", ""); limit != "" {
		c.IndexCap = pointer(limit)
	}
	if pue := w.key("pue", ""); pue != "" { // facility/it/1.3, or a factor alone
		v := strings.Split(pue, "/")
		c.PUE = &domain.PUE{Cap: r.decimal(v[len(v)-1])}
		if len(v) == 3 {
			c.PUE.Facility, c.PUE.IT = devices(strings.ReplaceAll(v[0], "+", ",")), devices(strings.ReplaceAll(v[1], "+", ","))
		}
	}
	for of := range listed(w.key("of", "")) {
		c.Of = append(c.Of, of)
	}
	if bands := w.key("bands", ""); bands != "" { // 0.999:0.1
		c.SLA = &domain.SLA{MinimumOutage: r.duration(w.key("outage", "0s")), Cap: r.decimal(w.key("cap", "0"))}
		for band := range listed(bands) {
			below, portion, _ := strings.Cut(band, ":")
			c.SLA.Bands = append(c.SLA.Bands, domain.SLABand{Below: r.decimal(below), Portion: r.decimal(portion)})
		}
	} else if c.Kind == domain.ChargeSLACredit {
		r.keep(errors.New("an sla-credit needs bands="))
		c.SLA = &domain.SLA{}
	}
}

func (p *Player) playPrepay(w *words) error {
	r := reader{p: p}
	e := domain.PrepaymentReceived{Contract: domain.ContractID(w.plain[1]), At: r.instant(w.plain[3]), Reference: fmt.Sprintf("tx%d", p.played)}
	r.keep(e.Amount.UnmarshalText([]byte(w.plain[2] + " " + w.key("currency", "USD"))))
	return errors.Join(r.err, p.append("facts-script", e))
}

func (p *Player) playPay(w *words) error {
	r := reader{p: p}
	e := domain.PaymentReceived{Contract: domain.ContractID(w.plain[1]), Invoice: w.plain[2], At: r.instant(w.plain[4]), Reference: w.key("ref", fmt.Sprintf("tx%d", p.played))}
	r.keep(e.Amount.UnmarshalText([]byte(w.plain[3] + " " + w.key("currency", "USD"))))
	return errors.Join(r.err, p.append("facts-script", e))
}

// playBounce plays that a payment was taken back: "bounce aurora
// CB-2026-000001 tx7 500 2026-11-25".
func (p *Player) playBounce(w *words) error {
	r := reader{p: p}
	e := domain.PaymentReversed{Contract: domain.ContractID(w.plain[1]), Invoice: w.plain[2], Payment: w.plain[3], At: r.instant(w.plain[5]), Reason: "returned"}
	r.keep(e.Amount.UnmarshalText([]byte(w.plain[4] + " " + w.key("currency", "USD"))))
	return errors.Join(r.err, p.append("facts-script", e))
}

func (p *Player) playClaim(w *words) error {
	period, err := domain.ParsePeriod(w.plain[3])
	e := domain.ServiceCreditClaimed{Contract: domain.ContractID(w.plain[1]), Charge: w.plain[2], Period: period, At: p.now}
	return errors.Join(err, p.append("facts-script", e))
}

func (p *Player) playBill(w *words) error {
	r := reader{p: p}
	e := domain.UtilityBilled{Site: p.site, Interval: r.interval(w.plain[1]), At: p.now, Reference: w.key("reference", fmt.Sprintf("bill%d", p.played)), Corrects: len(w.plain) > 3 && w.plain[3] == "corrects"}
	if at := w.key("at", ""); at != "" {
		e.At = r.instant(at)
	}
	r.keep(e.Amount.UnmarshalText([]byte(w.plain[2] + " " + w.key("currency", "USD"))))
	return errors.Join(r.err, p.append("facts-script", e))
}
