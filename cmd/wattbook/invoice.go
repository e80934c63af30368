package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"wattbook/domain"
	"wattbook/projections/facts"
	"wattbook/settlement"
)

func invoiceVerb() verb {
	return verb{
		name: "invoice", args: "run --period YYYY-MM [--site SITE] [--contract ID] [--partial] | show NUMBER",
		summary: "issue a period's invoices, or show one",
		help: `
run closes the site's period, if every meter is complete, and issues one invoice
for each contract that was in force: number, PDF and JSON. It is safe to run
twice or beside another run: what is issued stays, and no number is lost.
show prints an issued invoice.

Example: wattbook invoice run --period 2026-10`,
		run: invoice,
	}
}

func invoice(ctx context.Context, p *program, args []string) error {
	var period, site, contract string
	var partial bool
	p.flags.StringVar(&period, "period", "", "`month` to bill, such as 2026-10")
	p.flags.StringVar(&site, "site", "", "`site`; needed if the log holds several")
	p.flags.StringVar(&contract, "contract", "", "only this `contract`")
	p.flags.BoolVar(&partial, "partial", false, "close a month that begins before the site's book does, without what was before")
	rest, err := p.parse(args, 1, 2)
	if err != nil {
		return err
	}
	switch {
	case rest[0] == "run" && len(rest) == 1:
		month, err := domain.ParsePeriod(period)
		if err != nil {
			return usagef("--period: %v", err)
		}
		return p.withBook(ctx, func(b *book) error { return invoiceRun(ctx, p, b, site, month, domain.ContractID(contract), partial) })
	case rest[0] == "show" && len(rest) == 2:
		return p.withBook(ctx, func(b *book) error { return invoiceShow(p, b, rest[1]) })
	}
	return usagef("want run, or show and a number")
}

func invoiceRun(ctx context.Context, p *program, b *book, site string, period domain.Period, only domain.ContractID, partial bool) error {
	reg, err := b.siteNamed(site)
	if err != nil {
		return err
	}
	s := &settlement.Settler{Log: b.log, Facts: b.facts, Now: b.now, Render: render(b.facts), Partial: partial}
	_, before := b.facts.Closed(reg.Site, period)
	if !before { // a period that cannot be billed stays open
		if _, _, err := s.Drafts(reg.Site, period, only); err != nil {
			return err
		}
	}
	closed, err := s.Close(ctx, reg.Site, period)
	if err != nil {
		return err
	}
	if !before {
		if err := b.sign(closingLine(closed)); err != nil {
			return err
		}
	}
	issued, err := s.Issue(ctx, reg.Site, period, only)
	if err != nil {
		return err
	}
	if err := writeDocuments(b.folder.invoices(), issued); err != nil {
		return err
	}
	if err := b.sign(); err != nil {
		return err
	}
	if p.common.json {
		return p.printJSON(issuedReport(issued))
	}
	for _, i := range issued {
		what := "issued"
		if i.Before {
			what = "was issued before"
		}
		fmt.Fprintf(p.stdout, "%s  %-30s %16s %s  %s; %s/%s.pdf\n", i.Invoice.Number, i.Invoice.Buyer.Name, group(i.Invoice.Total.Amount()), i.Invoice.Total.Currency, what, b.folder.invoices(), i.Invoice.Number)
	}
	if len(issued) == 0 {
		fmt.Fprintln(p.stdout, nothing(b.facts, reg.Site, closed, only))
	}
	return nil
}

// nothing says why a closed period has no invoice.
func nothing(f *facts.Facts, site domain.SiteID, closed domain.PeriodClosed, only domain.ContractID) string {
	var inForce []string
	for _, id := range f.Contracts(site) {
		if len(f.InForce(id, closed.Interval)) > 0 && (only == "" || id == only) {
			inForce = append(inForce, string(id))
		}
	}
	if len(inForce) == 0 {
		return fmt.Sprintf("no contract of %s was in force in %s", site, closed.Period)
	}
	return fmt.Sprintf("nothing to bill in %s: %s came to nothing", closed.Period, strings.Join(inForce, ", "))
}

func issuedReport(issued []settlement.Issued) any {
	type row struct {
		Number   string       `json:"number"`
		Contract string       `json:"contract"`
		Total    domain.Money `json:"total"`
		Before   bool         `json:"issued_before"`
	}
	rows := []row{}
	for _, i := range issued {
		rows = append(rows, row{i.Invoice.Number, string(i.Invoice.Contract), i.Invoice.Total, i.Before})
	}
	return rows
}

func invoiceShow(p *program, b *book, number string) error {
	i, err := invoiceNumbered(b.facts, number)
	if err != nil {
		return err
	}
	if p.common.json {
		return p.printJSON(i)
	}
	printInvoice(p, i)
	return nil
}

// invoiceNumbered returns the invoice of a number.
func invoiceNumbered(f *facts.Facts, number string) (domain.InvoiceIssued, error) {
	var known []string
	for _, i := range f.Invoices() {
		if i.Invoice.Number == number {
			return i, nil
		}
		known = append(known, i.Invoice.Number)
	}
	if len(known) == 0 {
		return domain.InvoiceIssued{}, fmt.Errorf("invoice %s is not on record: none is", number)
	}
	return domain.InvoiceIssued{}, fmt.Errorf("invoice %s is not on record; did you mean %s?", number, nearest(number, known))
}

func printInvoice(p *program, issued domain.InvoiceIssued) {
	inv := issued.Invoice
	zone, err := time.LoadLocation(inv.Zone)
	if err != nil {
		zone = time.UTC
	}
	date := func(t domain.Instant) string { return t.Time().In(zone).Format("2 January 2006") }
	out := p.stdout
	fmt.Fprintf(out, "Invoice %s of %s\n", inv.Number, date(inv.Issued))
	fmt.Fprintf(out, "from     %s\nto       %s\n", inv.Seller.Name, inv.Buyer.Name)
	fmt.Fprintf(out, "for      %s, contract %s version %d\ndue      %s\n\n", inv.Period, inv.Contract, inv.Version, date(inv.Due))
	for _, l := range inv.Lines {
		price := ""
		if l.UnitPrice != nil {
			price = "at " + group(l.UnitPrice.Fixed(max(2, places(*l.UnitPrice))))
		}
		fmt.Fprintf(out, "%2d  %-44s %16s %-10s %-12s %14s\n", l.Line, l.Description, group(l.Quantity.String()), l.Unit, price, group(l.Amount.Amount()))
		if l.Detail != "" {
			fmt.Fprintf(out, "    %s\n", l.Detail)
		}
		if !l.Estimated.IsZero() {
			fmt.Fprintf(out, "    of which estimated: %s %s\n", group(l.Estimated.String()), l.Unit)
		}
	}
	tax := inv.Tax.Name + " " + inv.Tax.Rate.Shift(2).String() + " %"
	if inv.Tax.Reason != "" {
		tax += " (" + inv.Tax.Reason + ")"
	}
	fmt.Fprintf(out, "\n    subtotal %s\n    %s %s\n    total    %s %s\n\n", group(inv.Subtotal.Amount()), tax, group(inv.TaxDue.Amount()), group(inv.Total.Amount()), inv.Total.Currency)
	fmt.Fprintf(out, "drawn at position %d of the log\n", inv.AsOf)
	for _, d := range issued.Documents {
		fmt.Fprintf(out, "%s  SHA-256 %s\n", d.Name, d.Digest)
	}
}

// places returns how many digits a decimal has after its point.
func places(d domain.Decimal) int32 {
	_, fraction, _ := strings.Cut(d.String(), ".")
	return int32(len(fraction))
}
