package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"wattbook/domain"
	"wattbook/projections/facts"
	"wattbook/projections/receivables"
	"wattbook/settlement"
	"wattbook/settlement/document"
)

func invoiceVerb() verb {
	return verb{
		name:    "invoice",
		args:    "run --period YYYY-MM [--site SITE] [--customer ID] [--contract ID] [--partial] [--dry-run [--as-of POSITION|TIME]] | list | show NUMBER | pay NUMBER --amount N --reference REF [--overpay] | pay NUMBER --reverse REF --reason WHY | void NUMBER --reason WHY | prepay CONTRACT --amount N --reference REF | claim CONTRACT CHARGE --period YYYY-MM",
		summary: "issue a period's invoices and the notes that correct them; record what is paid",
		help: `
run closes the site's period, if every meter is complete, and issues one invoice
for each contract that was in force: number, PDF and JSON. Invoices of the
period and of earlier ones that would come out otherwise now, since a reading,
a price or a contract was corrected, get a credit or debit note. It is safe to
run twice or beside another run: what is issued stays, and no number is lost. A
contract that cannot be billed is named, with what to do, and the others are
billed: the exit status is 1 then. While another process has the folder open it
waits, for 10s unless the setting wait (WATTBOOK_WAIT) says otherwise.
With --dry-run it only shows what it would issue: as of now, or as of a position
of the log or a time (--as-of), from what was known there.

list says how invoices stand, with the notes that correct them; show prints an
invoice or a note. pay records money that arrived for an invoice, in part or
whole; more than is open is refused unless --overpay says that it is meant: the
rest is to the buyer's credit. pay --reverse records that the bank took a payment
back: what it paid is owed again. prepay records money for use to come; claim, that a buyer claims a credit that its contract gives on claim. void
takes an invoice back that was issued in error: it keeps its number, and the
next run issues the period anew.

Example: wattbook invoice run --period 2026-10`,
		run: invoice,
	}
}

// invoiceOptions are the flags of invoice.
type invoiceOptions struct {
	period, site, asOf         string
	contract, customer         string
	amount, reference, at, why string
	reverse                    string
	dryRun, partial, overpay   bool
}

func invoice(ctx context.Context, p *program, args []string) error {
	var o invoiceOptions
	p.flags.StringVar(&o.period, "period", "", "`month` to bill, such as 2026-10")
	p.flags.StringVar(&o.site, "site", "", "`site`; needed if the log holds several")
	p.flags.StringVar(&o.contract, "contract", "", "only this `contract`")
	p.flags.StringVar(&o.customer, "customer", "", "only the contracts of this `customer`")
	p.flags.BoolVar(&o.partial, "partial", false, "close a month that begins before the site's book does, without what was before")
	p.flags.BoolVar(&o.dryRun, "dry-run", false, "show what would be issued, and record nothing")
	p.flags.StringVar(&o.asOf, "as-of", "", "`position` of the log, or time, up to which to know things (with --dry-run)")
	p.flags.StringVar(&o.amount, "amount", "", "`amount` that arrived, in the contract's currency")
	p.flags.StringVar(&o.reference, "reference", "", "the bank's `reference` of a payment, unique in the contract")
	p.flags.StringVar(&o.at, "at", "", "value `date` of a payment (default now)")
	p.flags.StringVar(&o.why, "reason", "", "`why` an invoice is voided, or a payment was taken back")
	p.flags.StringVar(&o.reverse, "reverse", "", "`reference` of a payment that the bank took back")
	p.flags.BoolVar(&o.overpay, "overpay", false, "record a payment of more than is open")
	rest, err := p.parse(args, 1, 3)
	if err != nil {
		return err
	}
	switch what := rest[0]; {
	case what == "run" && len(rest) == 1:
		return p.invoicePeriod(ctx, o)
	case what == "list" && len(rest) == 1:
		return p.withBook(ctx, func(b *book) error { return invoiceList(p, b, o.site) })
	case what == "show" && len(rest) == 2:
		return p.withBook(ctx, func(b *book) error { return invoiceShow(p, b, rest[1]) })
	case what == "void" && len(rest) == 2:
		return p.withBook(ctx, func(b *book) error { return invoiceVoid(ctx, p, b, rest[1], o.why) })
	case what == "pay" && len(rest) == 2, what == "prepay" && len(rest) == 2, what == "claim" && len(rest) == 3:
		return p.withEngine(ctx, func(e *engine) error { return e.recordMoney(ctx, p, o, rest) })
	}
	return usagef("want run, or show, pay or void and a number, or list, prepay or claim")
}

func (p *program) invoicePeriod(ctx context.Context, o invoiceOptions) error {
	month, err := domain.ParsePeriod(o.period)
	switch {
	case err != nil:
		return usagef("--period: %v", err)
	case o.asOf != "" && !o.dryRun:
		return usagef("--as-of needs --dry-run: invoices are issued from all that is known")
	case o.dryRun:
		return p.withLog(ctx, func(l *logFolder) error { return invoiceDraft(ctx, p, l, o, month) })
	}
	return p.withBook(ctx, func(b *book) error {
		return invoiceRun(ctx, p, b, o, month)
	})
}

func invoiceRun(ctx context.Context, p *program, b *book, o invoiceOptions, period domain.Period) error {
	reg, err := b.siteNamed(o.site)
	if err != nil {
		return err
	}
	only, err := o.contracts(b.facts, reg.Site)
	if err != nil {
		return err
	}
	s := &settlement.Settler{Log: b.log, Facts: b.facts, Now: b.now, Render: render(b.facts), RenderNote: renderNote(b.facts), Layout: document.Layout, Partial: o.partial, Signed: sync.OnceValues(b.signed)}
	_, before := b.facts.Closed(reg.Site, period)
	if !before { // a period of which nothing can be billed stays open
		if err := s.Begun(reg.Site, period); err != nil {
			return err
		}
		_, drafts, err := s.Drafts(reg.Site, period, only...)
		if err != nil && !slices.ContainsFunc(drafts, func(i domain.Invoice) bool { return len(i.Lines) > 0 }) {
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
	issued, unbilled := s.Issue(ctx, reg.Site, period, only...)
	if err := errors.Join(sweep(b.folder.invoices()), writeDocuments(b.folder.invoices(), issued)); err != nil {
		return err
	}
	notes, failed := s.Correct(ctx, reg.Site, period, only...)
	failed = errors.Join(unbilled, failed)
	for _, n := range notes {
		if err := writeFiles(b.folder.invoices(), n.Documents); err != nil {
			return err
		}
	}
	again, err := writeMissing(b.folder.invoices(), s, reg.Site, period, only)
	if err := errors.Join(err, b.sign()); err != nil {
		return err
	}
	if p.common.json {
		return errors.Join(p.printJSON(issuedReport(issued, notes)), failed)
	}
	for _, i := range issued {
		what := "issued"
		if i.Before {
			what = "was issued before"
		}
		fmt.Fprintf(p.stdout, "%s  %-30s %16s %s  %s; %s/%s.pdf\n", i.Invoice.Number, i.Invoice.Buyer.Name, group(i.Invoice.Total.Amount()), i.Invoice.Total.Currency, what, b.folder.invoices(), i.Invoice.Number)
		if !i.Before {
			p.sayRules(i.Documents)
		}
	}
	for _, n := range notes {
		fmt.Fprintf(p.stdout, "%s  %-30s %16s %s  %s note for %s; %s/%s.pdf\n", n.Note.Number, n.Note.Buyer.Name, group(n.Note.Total.Amount()), n.Note.Total.Currency, n.Note.Kind, n.Note.Corrects, b.folder.invoices(), n.Note.Number)
		for _, c := range n.Note.Causes {
			fmt.Fprintf(p.stdout, "    %s\n", c)
		}
		p.sayRules(n.Documents)
	}
	for _, n := range again {
		fmt.Fprintf(p.stdout, "%s  %s note for %s was issued before, and its files were missing: they are written; %s/%s.pdf\n", n.Number, n.Kind, n.Corrects, b.folder.invoices(), n.Number)
	}
	if len(issued) == 0 && unbilled == nil {
		fmt.Fprintln(p.stdout, nothing(b.facts, reg.Site, closed, only))
	}
	return failed
}

// contracts returns the contracts that a run is for; none are all.
func (o invoiceOptions) contracts(f *facts.Facts, site domain.SiteID) ([]domain.ContractID, error) {
	known := f.Contracts(site)
	if o.contract != "" && !slices.Contains(known, domain.ContractID(o.contract)) {
		return nil, fmt.Errorf("--contract: %s has no contract %s; known are %q", site, o.contract, known)
	}
	if o.contract == "" && o.customer == "" {
		return nil, nil
	}
	var only []domain.ContractID
	var customers []string
	for _, id := range known {
		versions := f.ContractVersions(id)
		customer := string(versions[len(versions)-1].Buyer.ID)
		if (o.customer == "" || customer == o.customer) && (o.contract == "" || string(id) == o.contract) {
			only = append(only, id)
		}
		if !slices.Contains(customers, customer) {
			customers = append(customers, customer)
		}
	}
	switch {
	case len(only) > 0:
		return only, nil
	case slices.Contains(customers, o.customer):
		return nil, fmt.Errorf("--customer: contract %s is not one of %s", o.contract, o.customer)
	}
	return nil, fmt.Errorf("--customer: %s has no customer %s; known are %q", site, o.customer, customers)
}

// nothing says why a closed period has no invoice.
func nothing(f *facts.Facts, site domain.SiteID, closed domain.PeriodClosed, only []domain.ContractID) string {
	var inForce []string
	for _, id := range f.Contracts(site) {
		if len(f.InForce(id, closed.Interval)) > 0 && (len(only) == 0 || slices.Contains(only, id)) {
			inForce = append(inForce, string(id))
		}
	}
	if len(inForce) == 0 {
		return fmt.Sprintf("no contract of %s was in force in %s", site, closed.Period)
	}
	return fmt.Sprintf("nothing to bill in %s: %s came to nothing", closed.Period, strings.Join(inForce, ", "))
}

// sayRules names the rules of EN 16931 that an e-invoice breaks, since a party
// lacks what it must show.
func (p *program) sayRules(documents []settlement.Document) {
	for _, d := range documents {
		if !strings.HasSuffix(d.Name, ".xml") {
			continue
		}
		for _, rule := range document.CheckUBL(d.Content) {
			fmt.Fprintf(p.stdout, "    %s breaks %s\n", d.Name, rule)
		}
	}
}

func issuedReport(issued []settlement.Issued, notes []settlement.IssuedNote) any {
	type row struct {
		Number   string       `json:"number"`
		Contract string       `json:"contract"`
		Total    domain.Money `json:"total"`
		Before   bool         `json:"issued_before"`
		Corrects string       `json:"corrects,omitempty"`
		Causes   []string     `json:"causes,omitempty"`
	}
	rows := []row{}
	for _, i := range issued {
		rows = append(rows, row{i.Invoice.Number, string(i.Invoice.Contract), i.Invoice.Total, i.Before, "", nil})
	}
	for _, n := range notes {
		rows = append(rows, row{n.Note.Number, string(n.Note.Contract), n.Note.Total, false, n.Note.Corrects, n.Note.Causes})
	}
	return rows
}

func invoiceShow(p *program, b *book, number string) error {
	if n, ok := b.facts.NoteNumbered(number); ok {
		if p.common.json {
			return p.printJSON(n)
		}
		printInvoice(p, strings.ToUpper(string(n.Note.Kind[:1]))+string(n.Note.Kind[1:])+" note", n.Note.Invoice, n.Documents)
		fmt.Fprintf(p.stdout, "corrects invoice %s, since\n", n.Note.Corrects)
		for _, c := range n.Note.Causes {
			fmt.Fprintf(p.stdout, "    %s\n", c)
		}
		return nil
	}
	i, err := invoiceNumbered(b.facts, number)
	if err != nil {
		return err
	}
	if p.common.json {
		return p.printJSON(i)
	}
	printInvoice(p, "Invoice", i.Invoice, i.Documents)
	printStanding(p, receivables.Of(b.facts, i.Invoice), b.facts)
	return nil
}

// invoiceNumbered returns the invoice of a number.
func invoiceNumbered(f *facts.Facts, number string) (domain.InvoiceIssued, error) {
	if i, ok := f.InvoiceNumbered(number); ok {
		return i, nil
	}
	var known []string
	for _, i := range f.Invoices() {
		known = append(known, i.Invoice.Number)
	}
	if len(known) == 0 {
		return domain.InvoiceIssued{}, fmt.Errorf("invoice %s is not on record: none is", number)
	}
	return domain.InvoiceIssued{}, fmt.Errorf("invoice %s is not on record; did you mean %s?", number, nearest(number, known))
}

func printInvoice(p *program, what string, inv domain.Invoice, documents []domain.DocumentDigest) {
	zone, err := time.LoadLocation(inv.Zone)
	if err != nil {
		zone = time.UTC
	}
	date := func(t domain.Instant) string { return t.Time().In(zone).Format("2 January 2006") }
	out := p.stdout
	if inv.Issued == 0 {
		fmt.Fprintln(out, what)
	} else {
		fmt.Fprintf(out, "%s %s of %s\n", what, inv.Number, date(inv.Issued))
	}
	fmt.Fprintf(out, "from     %s\nto       %s\n", inv.Seller.Name, inv.Buyer.Name)
	fmt.Fprintf(out, "for      %s, contract %s version %d\n", inv.Period, inv.Contract, inv.Version)
	if inv.Issued != 0 && !strings.HasPrefix(what, "Credit") {
		fmt.Fprintf(out, "due      %s\n", date(inv.Due))
	}
	fmt.Fprintln(out)
	for _, l := range inv.Lines {
		price := ""
		if l.UnitPrice != nil {
			price = "at " + group(l.UnitPrice.Fixed(max(2, places(*l.UnitPrice))))
		}
		quantity, unit := group(l.Quantity.String()), l.Unit
		if strings.Contains(what, " note") && l.Quantity.IsZero() {
			quantity, unit, price = document.Change(l), "", ""
		}
		fmt.Fprintf(out, "%2d  %-44s %16s %-10s %-12s %14s\n", l.Line, l.Description, quantity, unit, price, group(l.Amount.Amount()))
		if !l.Tax.IsZero() {
			fmt.Fprintf(out, "    under %s %s %%\n", l.Tax.Name, l.Tax.Rate.Shift(2))
		}
		if l.Detail != "" {
			fmt.Fprintf(out, "    %s\n", l.Detail)
		}
		if !l.Estimated.IsZero() {
			fmt.Fprintf(out, "    of which estimated: %s %s\n", group(l.Estimated.String()), l.Unit)
		}
	}
	fmt.Fprintf(out, "\n    subtotal %s\n", group(inv.Subtotal.Amount()))
	for _, part := range inv.TaxParts() {
		tax := part.Tax.Name + " " + part.Tax.Rate.Shift(2).String() + " %"
		if part.Tax.Reason != "" {
			tax += " (" + part.Tax.Reason + ")"
		}
		if len(inv.Taxes) > 0 {
			tax += " on " + group(part.Base.Amount())
		}
		fmt.Fprintf(out, "    %s %s\n", tax, group(part.Due.Amount()))
	}
	fmt.Fprintf(out, "    total    %s %s\n\n", group(inv.Total.Amount()), inv.Total.Currency)
	if back := inv.Prepaid.Neg(); back.Minor > 0 {
		fmt.Fprintf(out, "    prepaid  %s, given back for the next invoices\n\n", moneyText(back))
	} else if !inv.Prepaid.IsZero() {
		fmt.Fprintf(out, "    prepaid  %s\n    to pay   %s\n\n", moneyText(inv.Prepaid), moneyText(inv.Payable()))
	}
	for _, b := range inv.Balances {
		fmt.Fprintf(out, "    %s: %s opening, %s added, %s drawn, %s expired, %s left\n", b.Charge, moneyText(b.Opening), moneyText(b.Added), moneyText(b.Drawn), moneyText(b.Expired), moneyText(b.Closing))
	}
	fmt.Fprintf(out, "drawn at position %d of the log\n", inv.AsOf)
	for _, d := range documents {
		fmt.Fprintf(out, "%s  SHA-256 %s\n", d.Name, d.Digest)
	}
}

// places returns how many digits a decimal has after its point.
func places(d domain.Decimal) int32 {
	_, fraction, _ := strings.Cut(d.String(), ".")
	return int32(len(fraction))
}
