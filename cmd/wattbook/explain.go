package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"wattbook/domain"
	"wattbook/projections/facts"
)

func explainVerb() verb {
	return verb{
		name: "explain", args: "--at TIME [--site SITE]",
		summary: "say why loads ran or rested at a moment",
		help: `
Says in words and numbers why each load of a site ran or rested in the interval
that holds the moment: what a megawatt-hour would have earned in each use, what
it cost, and which limit decided. It reads only the decision on record.

Example: wattbook explain --at 2026-10-14T17:35Z`,
		run: explain,
	}
}

func explain(ctx context.Context, p *program, args []string) error {
	var at, site string
	p.flags.StringVar(&at, "at", "", "`time`, such as 2026-10-14T17:35Z")
	p.flags.StringVar(&site, "site", "", "`site`; needed if the log holds several")
	if _, err := p.parse(args, 0, 0); err != nil {
		return err
	}
	if at == "" {
		return usagef("--at is missing: name the moment, such as 2026-10-14T17:35Z")
	}
	t, err := domain.ParseInstant(at)
	if err != nil {
		return usagef("--at: %v", err)
	}
	return p.withBook(ctx, func(b *book) error {
		reg, err := b.siteNamed(site)
		if err != nil {
			return err
		}
		d, ok := b.facts.DecisionAt(reg.Site, t)
		if !ok {
			return fmt.Errorf("there is no decision for %s at %s; %s", reg.Site, t, decidedSpan(b.facts, reg.Site))
		}
		if p.common.json {
			return p.printJSON(d)
		}
		return explainDecision(p.stdout, reg, d)
	})
}

func decidedSpan(f *facts.Facts, site domain.SiteID) string {
	all := f.Decisions(site)
	if len(all) == 0 {
		return "none is on record"
	}
	return fmt.Sprintf("those on record are for %s to %s", all[0].Interval.Start, all[len(all)-1].Interval.End)
}

// explainDecision writes a decision in words and numbers.
func explainDecision(out io.Writer, site domain.SiteRegistered, d domain.AllocationDecided) error {
	var b strings.Builder
	local := ""
	if zone, err := time.LoadLocation(site.Zone); err == nil {
		local = d.Interval.Start.Time().In(zone).Format(", Mon 2 Jan 15:04 MST")
	}
	in := d.Inputs
	fmt.Fprintf(&b, "%s, %s to %s%s\n", site.Name, d.Interval.Start, d.Interval.End.Time().Format("15:04Z"), local)
	fmt.Fprintf(&b, "decided by %s from what was known at position %d of the log\n\n", d.Rule, d.AsOf)
	unit := string(site.Currency) + "/MWh"
	if in.PowerPrice == nil {
		b.WriteString("The price of power was not known: mining stays as it was.\n")
	} else {
		fmt.Fprintf(&b, "A megawatt-hour costs %s %s at a load: (price %s + delivery %s) × (1 + losses %s %%).\n",
			decimal(costOf(d), 2), unit, in.PowerPrice.Fixed(2), in.Dispatch.Adder.Fixed(2), in.LossPortion.Shift(2))
	}
	if in.BitcoinPrice != nil && in.FeesPerBlock != nil {
		fmt.Fprintf(&b, "Bitcoin at %s %s, difficulty %s, %s + %s sat a block, pool fee %s %%.\n",
			group(in.BitcoinPrice.Fixed(2)), site.Currency, group(domain.RoundRat(in.Bits.Difficulty(), 0).Fixed(0)),
			thousands(int64(domain.Subsidy(in.Height))), group(in.FeesPerBlock.Fixed(0)), in.PoolFee.Shift(2))
	}
	b.WriteString("\nWhat a megawatt-hour earns, best first:\n")
	rested := false
	for _, c := range d.Choices {
		rested = idle(&b, d, c, rested, unit)
		state := "rests"
		if c.On {
			state = "runs "
		}
		fmt.Fprintf(&b, "  %-8s %-7s %12s %s  %s %9s kW  %s\n", c.Load, c.Use, decimal(c.Value, 2), unit, state,
			group(domain.NewDecimal(int64(c.Power), -6).Fixed(0)), because(d, c))
	}
	if !rested {
		idleLine(&b, costOf(d), unit)
	}
	var total domain.Power
	for _, c := range d.Choices {
		total += c.Power
	}
	fmt.Fprintf(&b, "\nPlanned: %s kW of loads, and up to %s kW of overhead, under a limit of %s kW.\n",
		group(domain.NewDecimal(int64(total), -6).Fixed(0)), group(domain.NewDecimal(int64(in.Dispatch.Reserve), -6).Fixed(0)), group(domain.NewDecimal(int64(in.Dispatch.Limit), -6).Fixed(0)))
	b.WriteString("\nBasis:\n")
	for _, l := range in.Loads {
		fmt.Fprintf(&b, "  %-8s %s kW, %s\n", l.Load, group(domain.NewDecimal(int64(l.Power), -6).Fixed(0)), l.Basis)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// idle writes the line of not consuming where it stands in the ranking.
func idle(b *strings.Builder, d domain.AllocationDecided, next domain.LoadChoice, done bool, unit string) bool {
	cost := costOf(d)
	if done || cost == nil || next.Value == nil || next.Value.Cmp(*cost) > 0 {
		return done
	}
	idleLine(b, cost, unit)
	return true
}

func idleLine(b *strings.Builder, cost *domain.Decimal, unit string) {
	if cost != nil {
		fmt.Fprintf(b, "  %-8s %-7s %12s %s  what not consuming is worth\n", "-", "idle", decimal(cost, 2), unit)
	}
}

func costOf(d domain.AllocationDecided) *domain.Decimal {
	for _, c := range d.Choices {
		if c.Cost != nil {
			return c.Cost
		}
	}
	return nil
}

// because says why a load runs or rests.
func because(d domain.AllocationDecided, c domain.LoadChoice) string {
	var load domain.LoadInput
	for _, l := range d.Inputs.Loads {
		if l.Load == c.Load {
			load = l
		}
	}
	since := d.Interval.Start.Sub(load.Since)
	switch c.Reason {
	case domain.ReasonCommitted:
		return "customers are promised it"
	case domain.ReasonProfitable:
		return fmt.Sprintf("earns %s more than it costs", decimalDifference(c.Value, c.Cost))
	case domain.ReasonUnprofitable:
		return fmt.Sprintf("not consuming is worth %s more", decimalDifference(c.Cost, c.Value))
	case domain.ReasonMinimumOn:
		return fmt.Sprintf("would rest, but was started %s ago and stays on for %s", since, d.Inputs.Dispatch.MinOn)
	case domain.ReasonMinimumOff:
		return fmt.Sprintf("would run, but was stopped %s ago and stays off for %s", since, d.Inputs.Dispatch.MinOff)
	case domain.ReasonRamp:
		return "stays as it was: the site's power may not change faster"
	case domain.ReasonLimit:
		return "the grid connection is full with loads that earn more"
	case domain.ReasonPriceUnknown:
		return "stays as it was: a price is not known"
	}
	return string(c.Reason)
}

func decimal(v *domain.Decimal, places int32) string {
	if v == nil {
		return "unknown"
	}
	return group(v.Fixed(places))
}

func decimalDifference(a, b *domain.Decimal) string {
	if a == nil || b == nil {
		return "an unknown amount"
	}
	v := a.Sub(*b)
	return decimal(&v, 2)
}
