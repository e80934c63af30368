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
		name: "pool", args: "(reconcile (--period YYYY-MM | --from DATE --to DATE) | explain --day DATE | dispute --day DATE [--status STATUS] --by NAME [--note TEXT] [-o FILE]) [--account ACCOUNT] [--site SITE]",
		summary: "compare own work with the pool's statements and with what arrived",
		help: `
reconcile  For each of the pool's days: what the accepted work should have earned,
           epoch by epoch; what the pool says that it owes; what arrived; and the
           difference, every satoshi of it on a named line. Days that say
           something new are recorded. Lines that say what is missing and not why
           (work not credited, pool fee, no statement, not received, a statement
           that does not add up) are unexplained: they have an age and a status.
           What a pool rounds off is no such line: up to a satoshi of each amount,
           once a day or for each of its blocks. The exit code is 1 if a day has a
           finding that nobody has accepted or written off. All pool accounts of
           the site are reconciled, or the one that --account names.
explain    One day in full: work by shares and by hashes, terms, statement,
           payouts, lines.
dispute    Records what a person decides about the unexplained difference of a
           day (--status open, disputed, accepted or written-off; disputed if it
           is not given), says what that books and, for a dispute, prints a claim
           to send to the pool. What a pool does not state is variance in the
           books (Expenses:PoolVariance) while it is open; disputed, it is owed
           (Assets:PoolDisputed); accepted, what the pool keeps beyond the agreed
           fee is its fee (Income:PoolFees), and the rest was never earned and
           comes off Income:Mining; written off, it is an expense
           (Expenses:PoolWrittenOff). Each is an entry of the day of the decision.
           -o writes a proof of it, which the pool checks offline with
           wattbook prove --check FILE and the log's public key.

--account is an account, a pool, or both as POOL/ACCOUNT; explain and dispute
need it where the site has several.

Example: wattbook pool reconcile --period 2026-10`,
		run: runPool,
	}
}

// poolFlags are what the verb is told.
type poolFlags struct {
	period, from, to, site, day string
	account                     string
	status, by, note, out       string
}

func runPool(ctx context.Context, p *program, args []string) error {
	var o poolFlags
	p.flags.StringVar(&o.period, "period", "", "`month`, such as 2026-10")
	p.flags.StringVar(&o.from, "from", "", "first `day`, such as 2026-10-05")
	p.flags.StringVar(&o.to, "to", "", "last `day`")
	p.flags.StringVar(&o.day, "day", "", "`day` to explain or to dispute: the UTC day in which it begins")
	p.flags.StringVar(&o.status, "status", string(domain.DifferenceDisputed), "`status` of the difference")
	p.flags.StringVar(&o.by, "by", "", "`name` of who decides it")
	p.flags.StringVar(&o.note, "note", "", "`text` to keep with it")
	p.flags.StringVar(&o.out, "o", "", "`file` to write the proof of a claim to")
	p.flags.StringVar(&o.account, "account", "", "pool `account` of the site, or POOL/ACCOUNT")
	p.flags.StringVar(&o.site, "site", "", "`site`; needed if the log holds several")
	rest, err := p.parse(args, 1, 1)
	if err != nil {
		return err
	}
	switch rest[0] {
	case "reconcile":
		return poolReconcile(ctx, p, o)
	case "explain", "dispute":
		day, err := oneDay(o.day)
		if err != nil {
			return err
		}
		if rest[0] == "explain" {
			return poolExplain(ctx, p, o, day)
		}
		return poolDispute(ctx, p, o, day)
	}
	return usagef("want reconcile, explain or dispute, got %q", rest[0])
}

func oneDay(text string) (domain.Instant, error) {
	if text == "" {
		return 0, usagef("--day is missing: name the day, such as 2026-10-05")
	}
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return 0, usagef("--day: %q is not a day such as 2026-10-05", text)
	}
	return domain.At(t), nil
}

// reconciledDay is a day as it is printed.
type reconciledDay struct {
	domain.PayoutReconciled
	settlement.Difference
}

func poolReconcile(ctx context.Context, p *program, o poolFlags) error {
	iv, err := dayRange(o.period, o.from, o.to)
	if err != nil {
		return err
	}
	return p.withBook(ctx, func(b *book) error {
		reg, err := b.siteNamed(o.site)
		if err != nil {
			return err
		}
		accounts := accountsNamed(b.facts.PoolAccounts(reg.Site), o.account)
		if len(accounts) == 0 {
			_, err := oneAccount(b.facts.PoolAccounts(reg.Site), o.account, "--account")
			return usagef("%v", err)
		}
		return p.reconcileAll(ctx, b, reg, accounts, iv)
	})
}

// reconcileAll reconciles pool accounts of a site. An account of which there is
// nothing to compare is passed over, if there is of another.
func (p *program) reconcileAll(ctx context.Context, b *book, site domain.SiteRegistered, accounts []domain.PoolTerms, iv domain.Interval) error {
	s := &settlement.Settler{Log: b.log, Facts: b.facts, Now: b.now}
	var all []reconciledDay
	var idle, failed []error
	for _, terms := range accounts {
		a := pools.Account{Site: site.Site, Terms: terms}
		if err := b.reconcilable(a, iv); err != nil {
			idle = append(idle, err)
			continue
		}
		drawn, err := s.Reconcile(ctx, a, iv)
		if err != nil {
			failed = append(failed, fewer(err))
		}
		days := make([]reconciledDay, len(drawn))
		for i, d := range drawn {
			days[i] = reconciledDay{d, settlement.Standing(b.facts, d.Reconciliation, b.now())}
		}
		if len(days) > 0 && !p.common.json {
			if len(all) > 0 {
				fmt.Fprintln(p.stdout)
			}
			printDays(p, terms, days)
		}
		all = append(all, days...)
	}
	if len(idle) == len(accounts) {
		return errors.Join(idle...)
	}
	if len(all) > 0 && p.common.json {
		failed = append(failed, p.printJSON(all))
	}
	if err := errors.Join(failed...); err != nil {
		return err
	}
	return found(all)
}

// reconcilable reports days of which there is nothing to compare.
func (b *book) reconcilable(a pools.Account, iv domain.Interval) error {
	if len(b.facts.Statements(a.Terms.Pool, a.Terms.Account, iv)) > 0 {
		return nil
	}
	// Work is known only where the book reaches, however wide the days are.
	table := b.facts.Table(a.Site)
	first, end := table.Slots(domain.Interval{Start: iv.Start.Floor(table.Step), End: min(iv.End, table.End()).Floor(table.Step)})
	for slot := first; slot < end; slot++ {
		if a.Worked(b.facts, slot) {
			return nil
		}
	}
	return fmt.Errorf("there is nothing to reconcile of %s, account %s, from %s to %s: neither accepted work nor a statement is on record; the book of %s reaches to %s",
		a.Terms.Pool, a.Terms.Account, iv.Start.Time().Format(time.DateOnly), iv.End.Add(-domain.Day).Time().Format(time.DateOnly), a.Site, table.End())
}

// found is an error if a day needs a person's attention: it has a finding that
// nobody has accepted or written off.
func found(days []reconciledDay) error {
	if slices.ContainsFunc(days, func(d reconciledDay) bool {
		return d.Finding != "" && d.Status != domain.DifferenceAccepted && d.Status != domain.DifferenceWrittenOff
	}) {
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
func printDays(p *program, terms domain.PoolTerms, days []reconciledDay) {
	fmt.Fprintf(p.stdout, "%s, account %s, by the pool's day, in satoshi\n\n", terms.Pool, terms.Account)
	fmt.Fprintf(p.stdout, "%-10s %14s %14s %14s %12s  %s\n", "day", "expected", "stated", "received", "difference", "of which")
	var expected, stated, received domain.Satoshi
	for _, d := range days {
		fmt.Fprintf(p.stdout, "%-10s %14s %14s %14s %12s  %s\n", d.Interval.Start.Time().Format(time.DateOnly),
			thousands(int64(d.Expected)), thousands(int64(d.Stated)), thousands(int64(d.Received)), thousands(int64(d.Expected-d.Received)), bridgeLines(d.Lines, d.Sigma))
		if d.Finding != "" {
			fmt.Fprintf(p.stdout, "%-10s ! %s%s\n", "", d.Finding, standing(d.Difference))
		}
		expected, stated, received = expected+d.Expected, stated+d.Stated, received+d.Received
	}
	fmt.Fprintf(p.stdout, "\n%-10s %14s %14s %14s %12s\n", counted(len(days), "day"), thousands(int64(expected)), thousands(int64(stated)), thousands(int64(received)), thousands(int64(expected-received)))
	printUnexplained(p, days)
}

// bridgeLines names the lines of a difference, luck with how many sigma it is.
func bridgeLines(lines []domain.BridgeLine, sigma domain.Satoshi) string {
	var parts []string
	for _, l := range lines {
		part := fmt.Sprintf("%s %s", strings.ReplaceAll(string(l.Cause), "-", " "), thousands(int64(l.Satoshi)))
		if times := sigmas(l, sigma); times != "" {
			part += " (" + times + ")"
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}

// sigmas says how many standard deviations luck is; nothing of other lines, or
// if the deviation is not known.
func sigmas(l domain.BridgeLine, sigma domain.Satoshi) string {
	if l.Cause != domain.CauseLuck || sigma <= 0 {
		return ""
	}
	return domain.Quo(domain.NewDecimal(int64(max(l.Satoshi, -l.Satoshi)), 0), domain.NewDecimal(int64(sigma), 0), 1).Fixed(1) + " sigma"
}

// standing says what became of a difference, or nothing while nobody has
// marked it.
func standing(d settlement.Difference) string {
	if d.Status == "" || d.Status == domain.DifferenceOpen && d.By == "" {
		return ""
	}
	text := fmt.Sprintf(" [%s by %s", d.Status, d.By)
	if d.Note != "" {
		text += ": " + d.Note
	}
	return text + "]"
}

// printUnexplained sums what no line explains, by its status.
func printUnexplained(p *program, days []reconciledDay) {
	for _, status := range domain.DifferenceStatuses() {
		var sum domain.Satoshi
		n, oldest := 0, int64(0)
		var lines []domain.BridgeLine
		for _, d := range days {
			if d.Status == status {
				sum += d.Unexplained
				lines = addLines(lines, unexplained(d.Lines))
				oldest = max(oldest, d.Days)
				n++
			}
		}
		if n > 0 {
			fmt.Fprintf(p.stdout, "unexplained, %s: %s sat of %s, the oldest %s old: %s\n", strings.ReplaceAll(string(status), "-", " "), thousands(int64(sum)), counted(n, "day"), counted(int(oldest), "day"), bridgeLines(lines, 0))
		}
	}
}

// unexplained returns the lines that do not explain themselves.
func unexplained(lines []domain.BridgeLine) []domain.BridgeLine {
	return slices.DeleteFunc(slices.Clone(lines), func(l domain.BridgeLine) bool { return l.Cause.Explained() })
}

// addLines adds lines up by cause, in the order of the causes.
func addLines(sums, more []domain.BridgeLine) []domain.BridgeLine {
	order := domain.BridgeCauses()
	for _, l := range more {
		i := slices.IndexFunc(sums, func(s domain.BridgeLine) bool { return s.Cause == l.Cause })
		if i < 0 {
			sums = append(sums, l)
			continue
		}
		sums[i].Satoshi += l.Satoshi
	}
	slices.SortFunc(sums, func(a, b domain.BridgeLine) int { return slices.Index(order, a.Cause) - slices.Index(order, b.Cause) })
	return sums
}
