package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"wattbook/domain"
	"wattbook/projections"
	"wattbook/projections/facts"
	"wattbook/projections/margin"
	"wattbook/settlement/pools"
)

func explainVerb() verb {
	return verb{
		name: "explain", args: "--at TIME [--site SITE]",
		summary: "say why loads ran or rested at a moment",
		help: `
Says in words and numbers why each load of a site ran or rested in the interval
that holds the moment: what a megawatt-hour would have earned in each use, what
it cost, and which limit decided. That is the decision on record, as it was taken.
Below it stands what mining earned since, as far as that is known by now: what its
work should earn, and what the pool states of it.

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
		at, ok := b.facts.DecisionAt(reg.Site, t)
		if !ok {
			return undecided(b.facts, reg.Site, t, b.now())
		}
		d, err := b.decision(ctx, at)
		if err != nil {
			return err
		}
		earned, err := minedIn(b.facts, reg, d.Interval)
		if err != nil {
			return err
		}
		if p.common.json {
			return p.printJSON(struct {
				domain.AllocationDecided
				Mining minedReport `json:"mining_revenue"`
			}{d, earned})
		}
		if err := explainDecision(p.stdout, reg, d); err != nil {
			return err
		}
		return earned.print(p.stdout, reg.Currency)
	})
}

// minedReport is what mining earned in the interval of a decision, by what is
// known now.
type minedReport struct {
	Basis    pools.Basis     `json:"revenue_basis"`
	Revenue  *domain.Decimal `json:"revenue"`
	Estimate *domain.Decimal `json:"estimate"`
	Satoshi  *domain.Decimal `json:"satoshi"`

	idle bool // there are no miners
}

func minedIn(f *facts.Facts, site domain.SiteRegistered, iv domain.Interval) (minedReport, error) {
	var r minedReport
	for row, err := range margin.Rows(f, site.Site, iv) {
		if err != nil {
			return r, err
		}
		r = minedReport{Basis: pools.BasisAt(f, row), Revenue: row.Mining.Revenue, Estimate: row.Estimate, idle: row.Mined.Miners == 0}
		if row.Mined.Earned != nil {
			v := domain.RoundRat(row.Mined.Earned, 0)
			r.Satoshi = &v
		}
	}
	return r, nil
}

func (r minedReport) print(out io.Writer, c domain.Currency) error {
	var err error
	switch {
	case r.idle:
	case r.Revenue == nil:
		_, err = fmt.Fprintf(out, "\nWhat mining earned then is not known yet.\n")
	case r.Basis == pools.Estimated:
		_, err = fmt.Fprintf(out, "\nMining earned %s %s then, %s sat, as its accepted work is estimated: the pool has not stated the day.\n", group(r.Revenue.Fixed(2)), c, group(r.Satoshi.Fixed(0)))
	default:
		what := map[pools.Basis]string{pools.Stated: "as the pool states", pools.Received: "as the pool states and has paid"}[r.Basis]
		_, err = fmt.Fprintf(out, "\nMining earned %s %s then, %s sat, %s for the day; its accepted work was estimated at %s %s.\n",
			group(r.Revenue.Fixed(2)), c, group(r.Satoshi.Fixed(0)), what, decimal(r.Estimate, 2), c)
	}
	return err
}

// decision reads a decision from the log.
func (l *logFolder) decision(ctx context.Context, at facts.Decision) (domain.AllocationDecided, error) {
	for rec, err := range projections.Read(ctx, l.log, at.Position, at.Position+1) {
		if d, ok := rec.Event.(domain.AllocationDecided); ok || err != nil {
			return d, err
		}
	}
	return domain.AllocationDecided{}, fmt.Errorf("the decision for %s is not at position %d of the log", at.Interval, at.Position)
}

// undecided says why there is no decision for a moment.
func undecided(f *facts.Facts, site domain.SiteID, t, now domain.Instant) error {
	all := f.Decisions(site)
	if len(all) == 0 {
		return fmt.Errorf("there is no decision for %s at %s: none is on record; wattbook serve records one for every interval", site, t)
	}
	first, last := all[0].Interval, all[len(all)-1].Interval
	why := fmt.Sprintf("nothing was decided then; decisions are on record from %s to %s", first.Start, last.End)
	switch {
	case t < first.Start:
		why = fmt.Sprintf("that is before the book begins; its first decision is for %s", first.Start)
	case t >= last.End && t > now:
		why = fmt.Sprintf("that is in the future; the last decision on record is for %s to %s", last.Start, last.End)
	case t >= last.End:
		why = fmt.Sprintf("that is after the last decision on record, which is for %s to %s", last.Start, last.End)
	}
	return fmt.Errorf("there is no decision for %s at %s: %s", site, t, why)
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
	fmt.Fprintf(&b, "decided by the rule %s from what was known at position %d of the log\n\n", d.Rule, d.AsOf)
	unit := string(site.Currency) + "/MWh"
	if in.PowerPrice == nil {
		b.WriteString("The price of power was not known, so mining stays as it was.\n")
	} else {
		fmt.Fprintf(&b, "A megawatt-hour at a load costs %s %s: (price %s + delivery %s) × (1 + losses %s %%).\n",
			decimal(costOf(d), 2), site.Currency, in.PowerPrice.Fixed(2), in.Dispatch.Adder.Fixed(2), in.LossPortion.Shift(2))
	}
	if in.BitcoinPrice != nil && in.FeesPerBlock != nil {
		fmt.Fprintf(&b, "A bitcoin is at %s %s and the difficulty at %s; a block pays %s sat and %s sat of fees, and the pool keeps %s %%.\n",
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
			group(domain.NewDecimal(int64(c.Power), -6).Fixed(0)), because(d, c, unit))
	}
	if !rested {
		idleLine(&b, costOf(d), unit)
	}
	var total domain.Power
	for _, c := range d.Choices {
		total += c.Power
	}
	fmt.Fprintf(&b, "\nLoads of %s kW are planned, and up to %s kW of overhead, under the site's limit of %s kW.\n",
		group(domain.NewDecimal(int64(total), -6).Fixed(0)), group(domain.NewDecimal(int64(in.Dispatch.Reserve), -6).Fixed(0)), group(domain.NewDecimal(int64(in.Dispatch.Limit), -6).Fixed(0)))
	b.WriteString("\nWhat each load draws when it runs, and how that is known:\n")
	for _, l := range in.Loads {
		own := ""
		if l.PoolFee != nil {
			own = fmt.Sprintf("; the pool that it works for keeps %s %%", l.PoolFee.Shift(2))
		}
		fmt.Fprintf(&b, "  %-8s %s kW, %s%s\n", l.Load, group(domain.NewDecimal(int64(l.Power), -6).Fixed(0)), l.Basis, own)
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
func because(d domain.AllocationDecided, c domain.LoadChoice, unit string) string {
	var load domain.LoadInput
	for _, l := range d.Inputs.Loads {
		if l.Load == c.Load {
			load = l
		}
	}
	since := d.Interval.Start.Sub(load.Since)
	switch c.Reason {
	case domain.ReasonCommitted:
		return "it is promised to customers"
	case domain.ReasonProfitable:
		return fmt.Sprintf("it earns %s more than it costs", decimalDifference(c.Value, c.Cost, unit))
	case domain.ReasonUnprofitable:
		return fmt.Sprintf("not consuming is worth %s more", decimalDifference(c.Cost, c.Value, unit))
	case domain.ReasonMinimumOn:
		return fmt.Sprintf("it would rest, but was started %s ago and stays on for %s", plain(since), plain(d.Inputs.Dispatch.MinOn))
	case domain.ReasonMinimumOff:
		return fmt.Sprintf("it would run, but was stopped %s ago and stays off for %s", plain(since), plain(d.Inputs.Dispatch.MinOff))
	case domain.ReasonRamp:
		return "it stays as it was: the site's power may not change faster"
	case domain.ReasonLimit:
		return "the grid connection is full with loads that earn more"
	case domain.ReasonPriceUnknown:
		return "it stays as it was: a price is not known"
	}
	return string(c.Reason)
}

func decimal(v *domain.Decimal, places int32) string {
	if v == nil {
		return "unknown"
	}
	return group(v.Fixed(places))
}

func decimalDifference(a, b *domain.Decimal, unit string) string {
	if a == nil || b == nil {
		return "an unknown amount"
	}
	v := a.Sub(*b)
	return decimal(&v, 2) + " " + unit
}

// plain writes a duration without its zero units: "15m" for "15m0s".
func plain(d domain.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
