package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"wattbook/domain"
	"wattbook/ingest"
	"wattbook/projections"
	"wattbook/projections/facts"
	"wattbook/projections/receivables"
	"wattbook/settlement"
	"wattbook/settlement/rating"
)

// asOf returns the position that a draft is to be drawn at: one of the log, the
// first that was recorded at a time or later, or the head if nothing is said.
func (l *logFolder) asOf(ctx context.Context, said string) (domain.Position, error) {
	if said == "" {
		return projections.Head, nil
	}
	if n, err := strconv.ParseUint(said, 10, 63); err == nil {
		head, err := l.log.Head(ctx)
		if err == nil && domain.Position(n) > head {
			err = usagef("--as-of: the log holds %d events", head)
		}
		return domain.Position(n), err
	}
	at, err := domain.ParseInstant(said)
	if err != nil {
		return 0, usagef("--as-of: %q is neither a position nor a time such as 2026-11-02T09:00Z", said)
	}
	for r, err := range l.log.ReadAll(ctx, 0) {
		if err != nil {
			return 0, err
		}
		if r.RecordedAt >= at {
			return r.Position, nil
		}
	}
	return projections.Head, nil
}

// invoiceDraft shows what a run would issue. It records nothing.
func invoiceDraft(ctx context.Context, p *program, l *logFolder, o invoiceOptions, period domain.Period) error {
	to, err := l.asOf(ctx, o.asOf)
	if err != nil {
		return err
	}
	return l.folded(ctx, to, func(f *facts.Facts) error { return showDrafts(p, l, f, o, period) })
}

func showDrafts(p *program, l *logFolder, f *facts.Facts, o invoiceOptions, period domain.Period) error {
	b := &book{logFolder: l, facts: f}
	reg, err := b.siteNamed(o.site)
	if err != nil {
		return err
	}
	contracts, err := o.contracts(f, reg.Site)
	if err != nil {
		return err
	}
	if contracts == nil {
		contracts = f.Contracts(reg.Site)
	}
	type draft struct {
		Invoice  *domain.Invoice `json:"invoice,omitempty"`
		Note     *domain.Note    `json:"note,omitempty"`
		Contract string          `json:"contract"`
		Why      string          `json:"why_not,omitempty"`
	}
	var all []draft
	rater := rating.New(f)
	for _, id := range contracts {
		d := draft{Contract: string(id)}
		if issued, ok := f.Invoice(id, period); ok {
			note, due, err := settlement.Correction(f, issued)
			switch {
			case err != nil:
				d.Why = err.Error()
			case due:
				d.Note = &note
			default:
				d.Why = fmt.Sprintf("invoice %s is issued, and nothing of it is to be corrected", issued.Invoice.Number)
			}
		} else if inv, err := rater.Draft(id, period); err != nil {
			d.Why = err.Error()
		} else if len(inv.Lines) == 0 {
			d.Why = "there is nothing to bill"
		} else {
			d.Invoice = &inv
		}
		all = append(all, d)
	}
	if p.common.json {
		return p.printJSON(map[string]any{"as_of": f.Next, "drafts": all})
	}
	fmt.Fprintf(p.stdout, "What a run for %s would issue, as of position %d: a draft, nothing is recorded.\n", period, f.Next)
	for _, d := range all {
		fmt.Fprintf(p.stdout, "\n%s: ", d.Contract)
		switch {
		case d.Invoice != nil:
			printInvoice(p, "Draft", *d.Invoice, nil)
		case d.Note != nil:
			printInvoice(p, fmt.Sprintf("Draft %s note for %s", d.Note.Kind, d.Note.Corrects), d.Note.Invoice, nil)
			for _, c := range d.Note.Causes {
				fmt.Fprintf(p.stdout, "    %s\n", c)
			}
		default:
			fmt.Fprintln(p.stdout, d.Why)
		}
	}
	return nil
}

// moneyEvent makes the event of a payment, of its reversal, of a prepayment or of
// a claim, and says what it is.
func (e *engine) moneyEvent(o invoiceOptions, args []string) (event domain.Event, site domain.SiteID, say string, err error) {
	at := e.now()
	if o.at != "" {
		if at, err = localTime(o.at, time.UTC); err != nil {
			return nil, "", "", usagef("--at: %v", err)
		}
	}
	contract := domain.ContractID(args[1])
	if args[0] == "pay" {
		inv, err := invoiceNumbered(e.facts, args[1])
		if err != nil {
			return nil, "", "", err
		}
		if e.facts.Voided(args[1]) {
			return nil, "", "", fmt.Errorf("invoice %s is voided: nothing is due for it", args[1])
		}
		contract = inv.Invoice.Contract
	}
	versions := e.facts.ContractVersions(contract)
	if len(versions) == 0 {
		return nil, "", "", fmt.Errorf("contract %s is not on record", contract)
	}
	last := versions[len(versions)-1]
	switch args[0] {
	case "claim":
		period, err := domain.ParsePeriod(o.period)
		if err != nil {
			return nil, "", "", usagef("--period: %v", err)
		}
		if !slices.ContainsFunc(last.Charges, func(c domain.Charge) bool { return c.ID == args[2] && c.Kind == domain.ChargeSLACredit }) {
			return nil, "", "", fmt.Errorf("contract %s has no credit %q", contract, args[2])
		}
		if o.at == "" {
			at = 0 // the same claim again is the same
		}
		event = domain.ServiceCreditClaimed{Contract: contract, Charge: args[2], Period: period, At: at}
		say = fmt.Sprintf("credit %s of contract %s for %s", args[2], contract, period)
	default:
		if args[0] == "pay" && o.reverse != "" {
			if event, say, err = e.reversal(o, contract, args[1], at); err != nil {
				return nil, "", "", err
			}
			break
		}
		var amount domain.Money
		if err := amount.UnmarshalText([]byte(o.amount + " " + string(last.Currency))); err != nil {
			return nil, "", "", usagef("--amount: %v", err)
		}
		if o.reference == "" {
			return nil, "", "", usagef("--reference is missing: a payment is told by it from another")
		}
		if amount.Minor <= 0 {
			return nil, "", "", usagef("--amount %s; want what has arrived, more than 0", amount)
		}
		if at > e.now() {
			return nil, "", "", usagef("--at %s is still to come; record money when it has arrived", at)
		}
		if o.at == "" {
			at = at.Floor(domain.Day)
		}
		if args[0] == "pay" {
			if err := e.payable(o, args[1], amount); err != nil {
				return nil, "", "", err
			}
			event = domain.PaymentReceived{Contract: contract, Invoice: args[1], Amount: amount, At: at, Reference: o.reference}
			say = fmt.Sprintf("%s for invoice %s", amount, args[1])
		} else {
			event = domain.PrepaymentReceived{Contract: contract, Amount: amount, At: at, Reference: o.reference}
			say = fmt.Sprintf("%s on contract %s", amount, contract)
		}
	}
	return event, last.Site, say, nil
}

// recordMoney records a payment, its reversal, a prepayment or a claim, once.
func (e *engine) recordMoney(ctx context.Context, p *program, o invoiceOptions, args []string) error {
	event, site, say, err := e.moneyEvent(o, args)
	if err != nil {
		return err
	}
	got, err := e.recordFact(ctx, site, ingest.Delivery{Source: "receipts", Observed: e.now(), Facts: []domain.Event{event}})
	if err != nil {
		return err
	}
	what := "recorded"
	switch {
	case got.Conflicts > 0 || got.Rejected > 0:
		return fmt.Errorf("%s: it is on record with another amount, date or reason, which stands", say)
	case got.Facts == 0:
		what = "was recorded before"
	}
	if p.common.json {
		return p.printJSON(map[string]any{"recorded": got.Facts > 0, "event": event})
	}
	fmt.Fprintf(p.stdout, "%s: %s\n", say, what)
	if args[0] == "pay" {
		inv, err := invoiceNumbered(e.facts, args[1])
		if err != nil {
			return err
		}
		printStanding(p, receivables.Of(e.facts, inv.Invoice), e.facts)
	}
	if prepaid, ok := event.(domain.PrepaymentReceived); ok {
		printPrepaid(p, e.facts, prepaid.Contract, prepaid.Amount.Currency)
	}
	return nil
}

// payable reports why an amount is not to be paid for an invoice: it is more
// than is open. A payment that is on record is not asked.
func (e *engine) payable(o invoiceOptions, number string, amount domain.Money) error {
	inv, err := invoiceNumbered(e.facts, number)
	if err != nil {
		return err
	}
	_, known := e.facts.Payment(number, o.reference)
	if e.facts.Reversed(inv.Invoice.Contract, o.reference) {
		return fmt.Errorf("payment %s of invoice %s was taken back; record another one with a reference of its own", o.reference, number)
	}
	if s := receivables.Of(e.facts, inv.Invoice); !known && !o.overpay && amount.Minor > max(s.Open.Minor, 0) {
		return fmt.Errorf("%s for invoice %s is more than the %s that is open; pay that, or say --overpay to record it all: the rest is then to the buyer's credit", amount, number, s.Open)
	}
	return nil
}

// reversal returns the event that takes a payment back.
func (e *engine) reversal(o invoiceOptions, contract domain.ContractID, number string, at domain.Instant) (domain.Event, string, error) {
	paid, ok := e.facts.Payment(number, o.reverse)
	switch {
	case !ok:
		return nil, "", fmt.Errorf("no payment %s of invoice %s is on record", o.reverse, number)
	case e.facts.Reversed(contract, o.reverse):
		return nil, "", fmt.Errorf("payment %s of invoice %s was taken back before", o.reverse, number)
	case o.why == "":
		return nil, "", usagef("--reason is missing: say why payment %s was taken back", o.reverse)
	case o.amount != "" || o.reference != "":
		return nil, "", usagef("--reverse takes a payment back whole; leave --amount and --reference out")
	case o.at == "":
		at = at.Floor(domain.Day)
	}
	return domain.PaymentReversed{Contract: contract, Invoice: number, Payment: o.reverse, Amount: paid.Amount, At: at, Reason: o.why},
		fmt.Sprintf("payment %s of %s for invoice %s is reversed", o.reverse, paid.Amount, number), nil
}

// recordFact records what somebody states, and returns what became of it.
func (e *engine) recordFact(ctx context.Context, site domain.SiteID, d ingest.Delivery) (ingest.Report, error) {
	before := e.recorded
	e.recorded = ingest.Report{Marks: map[domain.Mark]int{}}
	err := e.publish(ctx, site, d)
	got := e.recorded
	e.recorded = before
	e.recorded.Add(got)
	return got, err
}

func invoiceVoid(ctx context.Context, p *program, b *book, number, why string) error {
	if why == "" {
		return usagef("--reason is missing")
	}
	s := &settlement.Settler{Log: b.log, Facts: b.facts, Now: b.now}
	before := b.facts.Voided(number)
	v, err := s.Void(ctx, number, why)
	if err != nil {
		return err
	}
	if err := b.sign(); err != nil {
		return err
	}
	if p.common.json {
		return p.printJSON(v)
	}
	if before {
		_, err = fmt.Fprintf(p.stdout, "invoice %s of contract %s for %s was voided before, at %s: %s\n", number, v.Contract, v.Period, v.At, v.Reason)
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "invoice %s of contract %s for %s is voided: %s\nissue it anew with: wattbook invoice run --period %s\n", number, v.Contract, v.Period, v.Reason, v.Period)
	return err
}

// printStanding says what has become of an invoice.
func printStanding(p *program, s receivables.Standing, f *facts.Facts) {
	fmt.Fprintf(p.stdout, "%s", s.State)
	if s.State != receivables.Voided {
		fmt.Fprintf(p.stdout, ": paid %s, open %s", moneyText(s.Paid), moneyText(s.Open))
	}
	fmt.Fprintln(p.stdout)
	for _, n := range f.Notes(s.Invoice.Number) {
		fmt.Fprintf(p.stdout, "%s note %s of %s", n.Note.Kind, n.Note.Number, moneyText(n.Note.Total))
		if back := n.Note.Prepaid.Neg(); back.Minor > 0 {
			fmt.Fprintf(p.stdout, ", of it %s given back to what is prepaid", moneyText(back))
		}
		fmt.Fprintln(p.stdout)
	}
	printPrepaid(p, f, s.Invoice.Contract, s.Invoice.Total.Currency)
}

// printPrepaid says what is left of what was prepaid on a contract, if anything
// was.
func printPrepaid(p *program, f *facts.Facts, id domain.ContractID, c domain.Currency) {
	if len(f.Prepayments(id)) > 0 {
		fmt.Fprintf(p.stdout, "left of what was prepaid on contract %s: %s\n", id, moneyText(rating.Prepaid(f, id, c)))
	}
}

// moneyText writes money as people read it: "1,234.50 USD".
func moneyText(m domain.Money) string { return group(m.Amount()) + " " + string(m.Currency) }

func invoiceList(p *program, b *book, site string) error {
	reg, err := b.siteNamed(site)
	if err != nil {
		return err
	}
	all := receivables.All(b.facts, reg.Site)
	if p.common.json {
		type paper struct {
			Number string          `json:"number"`
			Kind   domain.NoteKind `json:"kind"`
			Total  domain.Money    `json:"total"`
			Issued domain.Instant  `json:"issued"`
		}
		type row struct {
			Number   string            `json:"number"`
			Contract domain.ContractID `json:"contract"`
			Buyer    string            `json:"buyer"`
			Period   domain.Period     `json:"period"`
			Total    domain.Money      `json:"total"`
			Notes    domain.Money      `json:"notes"`
			Paid     domain.Money      `json:"paid"`
			Open     domain.Money      `json:"open"`
			State    receivables.State `json:"state"`
			Due      domain.Instant    `json:"due"`
			Overdue  bool              `json:"overdue"`
			Papers   []paper           `json:"note_documents,omitempty"`
		}
		rows := []row{}
		for _, s := range all {
			i := s.Invoice
			rows = append(rows, row{i.Number, i.Contract, i.Buyer.Name, i.Period, i.Total, s.Notes, s.Paid, s.Open, s.State, i.Due, s.Overdue(b.now()), nil})
			for _, n := range b.facts.Notes(i.Number) {
				last := &rows[len(rows)-1]
				last.Papers = append(last.Papers, paper{n.Note.Number, n.Note.Kind, n.Note.Total, n.Note.Issued})
			}
		}
		return p.printJSON(rows)
	}
	if len(all) == 0 {
		return fmt.Errorf("no invoice of %s is issued", reg.Site)
	}
	fmt.Fprintf(p.stdout, "%-16s %-8s %-28s %16s %14s %16s %16s  %s\n", "number", "period", "buyer", "total", "notes", "paid", "open", "state")
	for _, s := range all {
		i, state := s.Invoice, string(s.State)
		if s.Overdue(b.now()) {
			state += ", overdue since " + i.Due.Time().Format(time.DateOnly)
		}
		fmt.Fprintf(p.stdout, "%-16s %-8s %-28s %16s %14s %16s %16s  %s\n", i.Number, i.Period, i.Buyer.Name, group(i.Total.String()), group(s.Notes.Amount()), group(s.Paid.Amount()), group(s.Open.Amount()), state)
		for _, n := range b.facts.Notes(i.Number) {
			what := string(n.Note.Kind) + " note of " + n.Note.Issued.Time().Format(time.DateOnly)
			fmt.Fprintf(p.stdout, "  %-14s %-8s %-28s %16s\n", n.Note.Number, n.Note.Period, what, group(n.Note.Total.String()))
		}
	}
	return nil
}
