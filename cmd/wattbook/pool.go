package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"wattbook/domain"
	"wattbook/settlement"
	"wattbook/settlement/pools"
)

func poolVerb() verb {
	return verb{
		name: "pool", args: "reconcile (--period YYYY-MM | --from DATE --to DATE) [--site SITE]",
		summary: "compare own work with the pool's statements and with what arrived",
		help: `
For each UTC day: what the accepted work should have earned, epoch by epoch;
what the pool says that it owes; what arrived; and the difference, every satoshi
of it on a named line. Days that say something new are recorded. The exit code
is 1 if a day needs a person's attention.

Example: wattbook pool reconcile --period 2026-10`,
		run: poolReconcile,
	}
}

func poolReconcile(ctx context.Context, p *program, args []string) error {
	var period, from, to, site string
	p.flags.StringVar(&period, "period", "", "`month`, such as 2026-10")
	p.flags.StringVar(&from, "from", "", "first `day`, such as 2026-10-05")
	p.flags.StringVar(&to, "to", "", "last `day`")
	p.flags.StringVar(&site, "site", "", "`site`; needed if the log holds several")
	rest, err := p.parse(args, 1, 1)
	if err != nil {
		return err
	}
	if rest[0] != "reconcile" {
		return usagef("want reconcile, got %q", rest[0])
	}
	iv, err := dayRange(period, from, to)
	if err != nil {
		return err
	}
	return p.withBook(ctx, func(b *book) error {
		reg, err := b.siteNamed(site)
		if err != nil {
			return err
		}
		if err := b.reconcilable(reg, iv); err != nil {
			return err
		}
		s := &settlement.Settler{Log: b.log, Facts: b.facts, Now: b.now}
		days, err := s.Reconcile(ctx, pools.Account{Site: reg.Site, Terms: reg.Pool}, iv)
		if len(days) > 0 && p.common.json {
			err = errors.Join(p.printJSON(days), err)
		} else if len(days) > 0 {
			printDays(p, reg.Pool, days)
		}
		if err != nil {
			return fewer(err)
		}
		return found(days)
	})
}

// reconcilable reports days of which there is nothing to compare.
func (b *book) reconcilable(site domain.SiteRegistered, iv domain.Interval) error {
	terms := site.Pool
	if terms.Pool == "" {
		return fmt.Errorf("%s works for no pool; name one in its configuration, site.pool", site.Site)
	}
	if len(b.facts.Statements(terms.Pool, terms.Account, iv)) > 0 {
		return nil
	}
	// Work is known only where the book reaches, however wide the days are.
	table := b.facts.Table(site.Site)
	first, end := table.Slots(domain.Interval{Start: iv.Start.Floor(table.Step), End: min(iv.End, table.End()).Floor(table.Step)})
	for slot := first; slot < end; slot++ {
		if table.Total(domain.ChannelShares, slot).Reported > 0 {
			return nil
		}
	}
	return fmt.Errorf("there is nothing to reconcile of %s, account %s, from %s to %s: neither accepted work nor a statement is on record; the book of %s reaches to %s",
		terms.Pool, terms.Account, iv.Start.Time().Format(time.DateOnly), iv.End.Add(-domain.Day).Time().Format(time.DateOnly), site.Site, table.End())
}

// found is an error if a day needs a person's attention.
func found(days []domain.PayoutReconciled) error {
	if slices.ContainsFunc(days, func(d domain.PayoutReconciled) bool { return d.Finding != "" }) {
		return errFinding
	}
	return nil
}

// fewer cuts an error that says the same of many days.
func fewer(err error) error {
	if err == nil {
		return nil
	}
	const most = 3
	lines := strings.Split(err.Error(), "\n")
	if len(lines) <= most {
		return err
	}
	return fmt.Errorf("%s\nand %d more days", strings.Join(lines[:most], "\n"), len(lines)-most)
}

// dayRange returns the days that a period or two dates name.
func dayRange(period, from, to string) (domain.Interval, error) {
	if period != "" {
		if from != "" || to != "" {
			return domain.Interval{}, usagef("--period and --from or --to name the days twice; leave one out")
		}
		month, err := domain.ParsePeriod(period)
		if err != nil {
			return domain.Interval{}, usagef("--period: %v", err)
		}
		return utcMonth(month), nil
	}
	if from == "" || to == "" {
		return domain.Interval{}, usagef("name the days: --period, or --from and --to")
	}
	first, err := time.Parse(time.DateOnly, from)
	if err != nil {
		return domain.Interval{}, usagef("--from: %q is not a day such as 2026-10-05", from)
	}
	last, err := time.Parse(time.DateOnly, to)
	if err != nil {
		return domain.Interval{}, usagef("--to: %q is not a day such as 2026-10-05", to)
	}
	iv := domain.Interval{Start: domain.At(first), End: domain.At(last).Add(domain.Day)}
	if !iv.Valid() {
		return iv, usagef("--to %s is before --from %s", to, from)
	}
	return iv, nil
}

// printDays writes the reconciliation day by day.
func printDays(p *program, terms domain.PoolTerms, days []domain.PayoutReconciled) {
	fmt.Fprintf(p.stdout, "%s, account %s, by UTC day, in satoshi\n\n", terms.Pool, terms.Account)
	fmt.Fprintf(p.stdout, "%-10s %14s %14s %14s %12s  %s\n", "day", "expected", "stated", "received", "difference", "of which")
	var expected, stated, received domain.Satoshi
	for _, d := range days {
		var parts []string
		for _, l := range d.Lines {
			parts = append(parts, fmt.Sprintf("%s %s", strings.ReplaceAll(string(l.Cause), "-", " "), thousands(int64(l.Satoshi))))
		}
		fmt.Fprintf(p.stdout, "%-10s %14s %14s %14s %12s  %s\n", d.Interval.Start.Time().Format(time.DateOnly),
			thousands(int64(d.Expected)), thousands(int64(d.Stated)), thousands(int64(d.Received)), thousands(int64(d.Expected-d.Received)), strings.Join(parts, ", "))
		if d.Finding != "" {
			fmt.Fprintf(p.stdout, "%-10s ! %s\n", "", d.Finding)
		}
		expected, stated, received = expected+d.Expected, stated+d.Stated, received+d.Received
	}
	fmt.Fprintf(p.stdout, "\n%-10s %14s %14s %14s %12s\n", counted(len(days), "day"), thousands(int64(expected)), thousands(int64(stated)), thousands(int64(received)), thousands(int64(expected-received)))
}
