package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"wattbook/domain"
	"wattbook/projections/receivables"
	"wattbook/settlement/journal"
)

func journalVerb() verb {
	return verb{
		name: "journal", args: "export --format beancount|hledger|ledger [-o FILE] | balance | coin | ageing [--at DAY] | revenue",
		summary: "the double-entry books: export them, or show balances, coin, ageing and revenue",
		help: `
The books follow from the events of the log: every entry names its event and sums
to zero, with bitcoin at its cost. Energy and revenue are accrued day by day, with
tiers, minimums, commitments and service credits as they come to for the period so
far, so that a month's revenue is that of its service; what is not closed yet is
pending (marked with !). Energy is trued up to the utility's bill (wattbook import
bills). export writes them for beancount, hledger or ledger. balance is the trial balance, coin the lots of bitcoin at cost
and how what is held rolls forward, ageing what buyers owed at the end of a day by how
long it has been due, revenue what was recognized in each month.

Example: wattbook journal export --format hledger -o books.journal`,
		run: journalBooks,
	}
}

func journalBooks(ctx context.Context, p *program, args []string) error {
	var format, out, site, at string
	p.flags.StringVar(&format, "format", "beancount", "`format` of the export: beancount, hledger or ledger")
	p.flags.StringVar(&out, "o", "", "`file` to write (default standard output)")
	p.flags.StringVar(&site, "site", "", "`site`; needed if the log holds several")
	p.flags.StringVar(&at, "at", "", "`day` of the ageing at the site, at whose end it is shown (default today)")
	rest, err := p.parse(args, 1, 1)
	if err != nil {
		return err
	}
	if !slices.Contains([]string{"export", "balance", "coin", "ageing", "revenue"}, rest[0]) {
		return usagef("want export, balance, coin, ageing or revenue")
	}
	if !slices.Contains(journal.Formats(), journal.Format(format)) {
		return usagef("--format %q; want one of %v", format, journal.Formats())
	}
	return p.withBook(ctx, func(b *book) error {
		reg, err := b.siteNamed(site)
		if err != nil {
			return err
		}
		if rest[0] == "ageing" {
			return p.ageing(b, reg, at)
		}
		books, err := b.books(ctx, reg.Site)
		if err != nil {
			return err
		}
		switch rest[0] {
		case "balance":
			return p.trialBalance(books)
		case "coin":
			return p.coinBooks(books)
		case "revenue":
			return p.recognized(b, books)
		}
		return p.exportBooks(books, journal.Format(format), out)
	})
}

func (p *program) exportBooks(books journal.Books, format journal.Format, out string) error {
	if out == "" {
		return journal.Export(p.stdout, books, format)
	}
	f, err := os.Create(p.path(out))
	if err != nil {
		return usagef("-o: %v", err)
	}
	defer f.Close()
	if err := journal.Export(f, books, format); err != nil {
		return fmt.Errorf("write %s: %w", out, err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("write %s: %w", out, err)
	}
	if p.common.json {
		return p.printJSON(map[string]any{"file": out, "format": format, "entries": len(books.Entries), "as_of": books.AsOf})
	}
	_, err = fmt.Fprintf(p.stdout, "%s entries as of position %s in %s\n", thousands(int64(len(books.Entries))), thousands(int64(books.AsOf)), out)
	return err
}

func (p *program) trialBalance(books journal.Books) error {
	all := journal.TrialBalance(books.Entries)
	if p.common.json {
		return p.printJSON(map[string]any{"as_of": books.AsOf, "balances": all})
	}
	sums := map[string]domain.Decimal{}
	var order []string
	for _, b := range all {
		cost, amount, commodity := "", b.Amount, b.Commodity
		if b.Currency != "" {
			cost = "  cost " + group(journal.Text(b.Cost, b.Currency)) + " " + b.Currency
			amount, commodity = b.Cost, b.Currency
		}
		fmt.Fprintf(p.stdout, "%-52s %20s %s%s\n", b.Account, group(journal.Text(b.Amount, b.Commodity)), b.Commodity, cost)
		if _, ok := sums[commodity]; !ok {
			order = append(order, commodity)
		}
		sums[commodity] = sums[commodity].Add(amount)
	}
	for _, c := range order {
		fmt.Fprintf(p.stdout, "%-52s %20s %s, with bitcoin at cost\n", "sum", journal.Text(sums[c], c), c)
	}
	return nil
}

// coinBooks shows the lots of bitcoin, and how what is held rolls forward.
func (p *program) coinBooks(books journal.Books) error {
	lots, rolls := journal.Lots(books.Entries), journal.RollForward(books.Entries)
	c := string(books.Site.Currency)
	if p.common.json {
		return p.printJSON(map[string]any{"as_of": books.AsOf, "currency": c, "lots": lots, "roll_forward": rolls})
	}
	if len(lots) == 0 && len(rolls) == 0 {
		return fmt.Errorf("there is no bitcoin in the books of %s", books.Site.Site)
	}
	for _, r := range rolls {
		fmt.Fprintf(p.stdout, "%s %30s %22s\n", r.Period, "BTC", c)
		for _, h := range []struct {
			name string
			journal.Held
		}{{"opening", r.Opening}, {"received", r.Received}, {"sold", r.Sold}, {"network fees", r.NetworkFees}, {"remeasured", r.Remeasured}, {"closing", r.Closing}} {
			fmt.Fprintf(p.stdout, "  %-12s %23s %22s\n", h.name, h.Units.Fixed(8), group(h.Value.Fixed(books.Site.Currency.Digits())))
		}
		fmt.Fprintln(p.stdout)
	}
	account := ""
	for _, l := range lots {
		if l.Account != account {
			account = l.Account
			fmt.Fprintln(p.stdout, account)
		}
		fmt.Fprintf(p.stdout, "  %-36s %14s BTC at %12s  cost %16s %s\n", l.Lot, l.Units.Fixed(8), group(journal.Text(l.Price, c)), group(l.Cost.Fixed(books.Site.Currency.Digits())), c)
	}
	return nil
}

// recognized shows the revenue of each month of local dates. What was earned in
// the hours of the first days that are of the month before by the clock at the
// site is that month's: the book began in the middle of it.
func (p *program) recognized(b *book, books journal.Books) error {
	all := journal.RevenueByPeriod(books.Entries)
	if p.common.json {
		return p.printJSON(map[string]any{"as_of": books.AsOf, "zone": books.Site.Zone, "revenue": all})
	}
	zone, err := b.facts.Zone(books.Site.Zone)
	if err != nil {
		return err
	}
	for _, r := range all {
		pending := ""
		if r.Pending {
			pending = "  not closed yet"
		}
		fmt.Fprintf(p.stdout, "%s  %-40s %20s %s%s\n", r.Period, r.Account, group(r.Amount.Fixed(journal.Digits(r.Commodity))), r.Commodity, pending)
	}
	if table := b.facts.Table(books.Site.Site); table != nil && len(all) > 0 {
		start := table.Start()
		fmt.Fprintf(p.stdout, "months of local dates, %s; the book begins at %s, %s there\n", books.Site.Zone, start, start.Time().In(zone).Format("2006-01-02 15:04"))
	}
	return nil
}

// ageing shows what buyers owe, by how long it has been due.
func (p *program) ageing(b *book, site domain.SiteRegistered, when string) error {
	zone, err := b.facts.Zone(site.Zone)
	if err != nil {
		return err
	}
	at := b.now()
	if when != "" {
		if at, err = localTime(when, zone); err != nil {
			return usagef("--at: %v", err)
		}
	}
	day := receivables.DayOf(at, zone)
	standings := receivables.On(b.facts, site.Site, day)
	if when == "" { // a payment of a date to come counts as well: it is known
		standings = receivables.All(b.facts, site.Site)
	}
	type row struct {
		Buyer    string                             `json:"buyer"`
		Currency domain.Currency                    `json:"currency"`
		Open     map[receivables.Age]domain.Decimal `json:"open"`
		Total    domain.Decimal                     `json:"total"`
	}
	var rows []row
	for _, s := range standings {
		if s.Open.IsZero() {
			continue
		}
		i := slices.IndexFunc(rows, func(r row) bool { return r.Buyer == s.Invoice.Buyer.Name && r.Currency == s.Open.Currency })
		if i < 0 {
			i = len(rows)
			rows = append(rows, row{s.Invoice.Buyer.Name, s.Open.Currency, map[receivables.Age]domain.Decimal{}, domain.Decimal{}})
		}
		age := receivables.AgeOn(b.facts, s.Invoice, day)
		rows[i].Open[age] = rows[i].Open[age].Add(s.Open.Decimal())
		rows[i].Total = rows[i].Total.Add(s.Open.Decimal())
	}
	if p.common.json {
		return p.printJSON(map[string]any{"at": at, "day": day.String(), "buyers": rows})
	}
	fmt.Fprintf(p.stdout, "%-30s %-4s", "buyer", "")
	for _, a := range receivables.Ages() {
		fmt.Fprintf(p.stdout, " %14s", a)
	}
	fmt.Fprintf(p.stdout, " %14s\n", "open")
	for _, r := range rows {
		fmt.Fprintf(p.stdout, "%-30s %-4s", r.Buyer, r.Currency)
		for _, a := range receivables.Ages() {
			fmt.Fprintf(p.stdout, " %14s", group(r.Open[a].Fixed(r.Currency.Digits())))
		}
		fmt.Fprintf(p.stdout, " %14s\n", group(r.Total.Fixed(r.Currency.Digits())))
	}
	return nil
}

// books derives the books of a site.
func (l *logFolder) books(ctx context.Context, site domain.SiteID) (journal.Books, error) {
	area := l.folder.scratch()
	books, err := journal.Build(ctx, l.log, site, area)
	return books, errors.Join(err, area.Close())
}
