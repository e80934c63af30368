package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"wattbook/domain"
)

// terms writes the terms of a version of a contract as a reader of invoices
// needs them: who pays whom under which tax, and each charge with what it
// counts and what that costs.
func terms(out io.Writer, c domain.ContractSigned, zone *time.Location) {
	say := contractWords{currency: c.Currency, zone: zone}
	until := ""
	if c.End != 0 {
		until = " until " + say.at(c.End)
	}
	fmt.Fprintf(out, "%s version %d: %s for %s, from %s%s (%s), %s, %d days to pay\n", c.Contract, c.Version, c.Seller.Name, c.Buyer.Name, say.at(c.Start), until, c.Zone, c.Currency, c.PaymentDays)
	tax := fmt.Sprintf("%s %s %%", c.Tax.Name, c.Tax.Rate.Shift(2))
	if c.Tax.Reason != "" {
		tax += " (" + c.Tax.Reason + ")"
	}
	fmt.Fprintf(out, "  tax %s, category %s; invoices %s\n", tax, c.Tax.Kind(), c.Series)
	if !c.PrepaidPortion.IsZero() {
		fmt.Fprintf(out, "  up to %s %% of an invoice is paid from prepayments\n", c.PrepaidPortion.Shift(2))
	}
	if c.BuyerReference != "" || c.OrderReference != "" {
		fmt.Fprintf(out, "  the buyer's references: %s\n", strings.Join(given(c.BuyerReference, c.OrderReference), ", "))
	}
	for _, m := range c.Maintenance {
		fmt.Fprintf(out, "  agreed maintenance from %s to %s\n", say.at(m.Start), say.at(m.End))
	}
	for _, ch := range c.Charges {
		fmt.Fprintf(out, "  %-16s %-20s %s\n", ch.ID, ch.Kind, ch.Description)
		for _, line := range say.charge(ch) {
			fmt.Fprintf(out, "  %-16s %s\n", "", line)
		}
	}
}

// given returns the words that are not empty.
func given(words ...string) (all []string) {
	for _, w := range words {
		if w != "" {
			all = append(all, w)
		}
	}
	return all
}

// contractWords puts charges into words.
type contractWords struct {
	currency domain.Currency
	zone     *time.Location
}

func (w contractWords) at(t domain.Instant) string {
	return t.Time().In(w.zone).Format("2006-01-02 15:04")
}

// price writes an amount of the contract's currency.
func (w contractWords) price(d domain.Decimal) string {
	return group(d.Fixed(max(w.currency.Digits(), places(d)))) + " " + string(w.currency)
}

func listOf[S ~string](names []S) string {
	words := make([]string, len(names))
	for i, n := range names {
		words[i] = string(n)
	}
	return strings.Join(words, ", ")
}

// charge returns the lines that say what a charge costs, and when.
func (w contractWords) charge(ch domain.Charge) (lines []string) {
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	switch ch.Kind {
	case domain.ChargeReservedGPUs:
		w.reserved(ch, "GPUs", "GPU-month", add)
	case domain.ChargeReservedPower:
		w.reserved(ch, "kW", "kW-month", add)
	case domain.ChargeOnDemandGPUs:
		add("%s per GPU-hour", w.price(ch.Rate))
	case domain.ChargeFixed:
		add("%s per month", w.price(ch.Rate))
	case domain.ChargePassThrough:
		w.passThrough(ch, add)
	case domain.ChargeUsage:
		w.usage(ch, add)
	case domain.ChargeDemand:
		add("%s per kW-month of the greatest demand of %s in an interval", w.price(ch.Rate), listOf(ch.Meters))
	default:
		w.derived(ch, add)
	}
	if ch.From != 0 {
		add("from %s", w.at(ch.From))
	}
	if ch.Until != 0 {
		add("until %s", w.at(ch.Until))
	}
	return lines
}

// reserved says what is reserved, step by step, and what is beyond it.
func (w contractWords) reserved(ch domain.Charge, unit, month string, add func(string, ...any)) {
	if ch.Quantity > 0 {
		add("%d %s at %s per %s, take or pay", ch.Quantity, unit, w.price(ch.Rate), month)
	}
	for _, r := range ch.Ramp {
		rate := r.Rate
		if rate.IsZero() {
			rate = ch.Rate
		}
		add("from %s: %d %s at %s per %s", w.at(r.From), r.Quantity, unit, w.price(rate), month)
	}
	switch {
	case !ch.Overage.IsZero():
		add("beyond: %s per GPU-hour", w.price(ch.Overage))
	case !ch.OverageFactor.IsZero() && len(ch.Meters) > 0:
		add("beyond, as %s measures it: %s times the rate", listOf(ch.Meters), ch.OverageFactor)
	case !ch.OverageFactor.IsZero():
		add("beyond: %s times the rate", ch.OverageFactor)
	}
}

// passThrough says how metered energy is passed on.
func (w contractWords) passThrough(ch domain.Charge, add func(string, ...any)) {
	node := "the site's node"
	if ch.Index != "" {
		node = string(ch.Index)
	}
	add("the energy of %s, each interval at its published price of %s%s", listOf(ch.Meters), node, w.collar(ch))
	if !ch.Adder.IsZero() {
		add("plus %s per MWh", w.price(ch.Adder))
	}
	if !ch.LossPortion.IsZero() {
		add("plus %s %% for losses", ch.LossPortion.Shift(2))
	}
	switch p := ch.PUE; {
	case p == nil:
	case len(p.Facility) == 0:
		add("times the agreed PUE, %s", p.Cap)
	case p.Cap.IsZero():
		add("times the PUE, %s by %s", listOf(p.Facility), listOf(p.IT))
	default:
		add("times the PUE, %s by %s, at most %s", listOf(p.Facility), listOf(p.IT), p.Cap)
	}
}

func (w contractWords) collar(ch domain.Charge) (says string) {
	if ch.IndexFloor != nil {
		says += ", at least " + w.price(*ch.IndexFloor)
	}
	if ch.IndexCap != nil {
		says += ", at most " + w.price(*ch.IndexCap)
	}
	return says
}

// usage says what is counted, and how it is priced.
func (w contractWords) usage(ch domain.Charge, add func(string, ...any)) {
	unit := "GPU-hour"
	if ch.Measure == domain.MeasureEnergy {
		unit = "kWh"
		add("of %s", listOf(ch.Meters))
	}
	if !ch.Free.IsZero() {
		add("the first %s %s of a month are free", group(ch.Free.String()), unit)
	}
	if !ch.Block.IsZero() && ch.Model != domain.Package {
		add("counted in started blocks of %s %s", group(ch.Block.String()), unit)
		unit = "block"
	}
	switch {
	case ch.Model == domain.Package:
		add("%s for each started package of %s %s", w.price(ch.Rate), group(ch.Block.String()), unit)
	case len(ch.Tiers) > 0:
		how := "each part of a month's use by its tier"
		if ch.Model == domain.Volume {
			how = "all of a month's use by the tier that it ends in"
		}
		add("%s:", how)
		for _, t := range ch.Tiers {
			price := w.price(t.Rate) + " per " + unit
			if !t.Flat.IsZero() {
				price += " and " + w.price(t.Flat) + " once"
			}
			if t.UpTo == nil {
				add("  beyond: %s", price)
			} else {
				add("  up to %s %s: %s", group(t.UpTo.String()), unit, price)
			}
		}
	case len(ch.Windows) > 0:
		for _, o := range ch.Windows {
			days := "every day"
			if len(o.Days) > 0 {
				days = strings.Join(o.Days, ", ")
			}
			add("%s, %s from %s to %s: %s per %s", o.Name, days, o.From, o.To, w.price(o.Rate), unit)
		}
	case ch.Index != "":
		add("%s times the published price of %s%s, plus %s per %s", ch.IndexFactor, ch.Index, w.collar(ch), w.price(ch.Rate), unit)
	default:
		add("%s per %s", w.price(ch.Rate), unit)
	}
}

// derived says how a charge is computed from others.
func (w contractWords) derived(ch domain.Charge, add func(string, ...any)) {
	of := "all charges that are not computed from others"
	if len(ch.Of) > 0 {
		of = listOf(ch.Of)
	}
	switch ch.Kind {
	case domain.ChargePercentage:
		add("%s %% of %s", ch.Portion.Shift(2), of)
	case domain.ChargeMinimum:
		add("at least %s a month for %s", w.price(ch.Amount), of)
	case domain.ChargeMaximum:
		add("at most %s a month for %s", w.price(ch.Amount), of)
	case domain.ChargeCommitment:
		term := "each month"
		if ch.Months > 1 {
			term = fmt.Sprintf("each term of %d months", ch.Months)
		}
		add("%s committed for %s on %s", w.price(ch.Amount), term, of)
		if !ch.OverageFactor.IsZero() {
			add("beyond: %s times its price", ch.OverageFactor)
		}
		if ch.TrueUp {
			add("what is not spent is due at the end of the term")
		}
		if ch.Rollover {
			add("and pays for use in the next term")
		}
	case domain.ChargeSLACredit:
		w.sla(ch, of, add)
	}
}

func (w contractWords) sla(ch domain.Charge, of string, add func(string, ...any)) {
	for _, b := range ch.SLA.Bands {
		add("available for less than %s %%: %s %% of %s", b.Below.Shift(2), b.Portion.Shift(2), of)
	}
	add("of %s; outages count from %s on", listOf(ch.SLA.Devices), strings.TrimSuffix(ch.SLA.MinimumOutage.String(), "0s"))
	if !ch.SLA.Cap.IsZero() {
		add("at most %s %%", ch.SLA.Cap.Shift(2))
	}
	if ch.SLA.OnClaim {
		add("given on claim: wattbook invoice claim")
	}
}
