package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"wattbook/domain"
	"wattbook/ingest"
	"wattbook/projections/facts"
)

func contractVerb() verb {
	return verb{
		name: "contract", args: "check FILE | sign FILE | amend FILE | show [ID] [--version N]",
		summary: "check, sign, amend or show an AI customer's contract",
		help: `
A contract is a YAML file; fixtures/contracts has one for each kind of charge.
check says whether it can be billed, and if not, all mistakes at once, each with
the file, the line and the rule; beside a book it also checks devices and indexes. sign records a new
contract. amend records its next version, which replaces the terms from its
start on: what was issued before then is corrected by notes at the next invoice
run. show prints the versions on record with their terms: prices, quantities,
steps, tiers and tax.

Example: wattbook contract check aurora.yaml`,
		run: contract,
	}
}

func contract(ctx context.Context, p *program, args []string) error {
	var version int64
	var site string
	p.flags.Int64Var(&version, "version", 0, "`number` of the version to show (default all)")
	p.flags.StringVar(&site, "site", "", "`site`; needed if the log holds several and the file names none")
	rest, err := p.parse(args, 1, 2)
	if err != nil {
		return err
	}
	name := ""
	if len(rest) == 2 {
		name = rest[1]
	}
	switch verb := rest[0]; {
	case verb == "show":
		return p.withBook(ctx, func(b *book) error { return contractShow(p, b.facts, domain.ContractID(name), version) })
	case verb == "check" && name != "":
		return p.contractCheck(ctx, name, site)
	case (verb == "sign" || verb == "amend") && name != "":
		d, err := p.readContractFile(name)
		if err == nil {
			err = d.err()
		}
		if err != nil {
			return err
		}
		return p.withEngine(ctx, func(e *engine) error { return e.signContract(ctx, p, d, site, verb == "amend") })
	}
	return usagef("want check, sign or amend and a file, or show")
}

// contractCheck checks a file by itself and, where there is a book, against
// it.
func (p *program) contractCheck(ctx context.Context, name, site string) error {
	d, err := p.readContractFile(name)
	if err != nil {
		return err
	}
	say := func(beside string) error {
		if p.common.json {
			return p.printJSON(map[string]any{"contract": d.signed.Contract, "charges": len(d.signed.Charges), "beside": beside})
		}
		if beside == "" {
			beside = "by itself: there is no book beside it"
		}
		_, err := fmt.Fprintf(p.stdout, "%s: contract %s with %d charges can be billed (checked %s)\n", name, d.signed.Contract, len(d.signed.Charges), beside)
		return err
	}
	s, err := p.settings()
	if err != nil {
		return err
	}
	if d.in.root.in == nil || p.host == nil && folder(s.Data).holdsBook() != nil {
		if err := d.err(); err != nil {
			return err
		}
		return say("")
	}
	opened := false
	err = p.withBook(ctx, func(b *book) error {
		opened = true
		reg, err := b.siteNamed(first(string(d.signed.Site), site))
		if err != nil {
			return errors.Join(d.err(), err)
		}
		d.against(b.facts, reg)
		if err := d.err(); err != nil {
			return err
		}
		if err := say("against " + s.Data); err != nil || p.common.json {
			return err
		}
		c := d.signed
		c.Site = reg.Site
		for _, s := range reaches(b.facts, c) {
			fmt.Fprintln(p.stdout, s)
		}
		return nil
	})
	if err != nil && !opened {
		err = errors.Join(d.err(), err)
	}
	return err
}

// first returns the first word that is not empty.
func first(words ...string) string {
	for _, w := range words {
		if w != "" {
			return w
		}
	}
	return ""
}

// signContract records a contract, or the next version of one.
func (e *engine) signContract(ctx context.Context, p *program, d *contractDocument, site string, amend bool) error {
	reg, err := e.siteNamed(first(string(d.signed.Site), site))
	if err != nil {
		return err
	}
	c := &d.signed
	c.Site = reg.Site
	known := e.facts.ContractVersions(c.Contract)
	next := int64(1)
	if n := len(known); n > 0 {
		next = known[n-1].Version + 1
	}
	switch {
	case !amend && len(known) > 0 && c.Version < next && c.Version != 0:
		// The same again is recorded once; another text is a conflict.
	case !amend && len(known) > 0:
		return fmt.Errorf("contract %s is signed, version %d is in force; change it with: wattbook contract amend %s", c.Contract, next-1, d.path)
	case amend && len(known) == 0:
		return fmt.Errorf("contract %s is not signed; do that with: wattbook contract sign %s", c.Contract, d.path)
	case c.Version == 0:
		c.Version = next
	case amend && c.Version > next:
		return configf("%s: version %d of contract %s leaves %d out", d.path, c.Version, c.Contract, next)
	}
	d.against(e.facts, reg)
	if err := d.err(); err != nil {
		return err
	}
	before := e.recorded
	e.recorded = ingest.Report{Marks: map[domain.Mark]int{}}
	err = e.publish(ctx, reg.Site, ingest.Delivery{Source: "contracts", Observed: e.now(), Facts: []domain.Event{*c}})
	got := e.recorded
	e.recorded = before
	e.recorded.Add(got)
	if err != nil {
		return err
	}
	if got.Conflicts > 0 || got.Rejected > 0 {
		return fmt.Errorf("contract %s: version %d is on record with other terms, which stand; leave version out to amend it", c.Contract, c.Version)
	}
	return p.saySigned(e.facts, *c, got.Facts > 0)
}

// saySigned says what was recorded, and which invoices it will correct.
func (p *program) saySigned(f *facts.Facts, c domain.ContractSigned, recorded bool) error {
	var touched []string
	for _, i := range f.Invoices() {
		if i.Invoice.Contract == c.Contract && i.Invoice.Interval.End > c.Start && !f.Voided(i.Invoice.Number) {
			touched = append(touched, i.Invoice.Number)
		}
	}
	if p.common.json {
		return p.printJSON(map[string]any{
			"contract": c.Contract, "version": c.Version, "recorded": recorded, "start": c.Start, "invoices_to_correct": touched, "closed_periods_to_bill": unbilled(f, c),
		})
	}
	what := "is signed"
	if !recorded {
		what = "was signed before"
	}
	fmt.Fprintf(p.stdout, "contract %s version %d %s, in force from %s\n", c.Contract, c.Version, what, c.Start)
	for _, n := range touched {
		fmt.Fprintf(p.stdout, "invoice %s is for a time that it changes: the next invoice run corrects it by a note\n", n)
	}
	for _, period := range unbilled(f, c) {
		fmt.Fprintf(p.stdout, "%s is closed, and the contract is in force in it: wattbook invoice run --period %s issues its invoice for that month, late\n", period, period)
	}
	return nil
}

// unbilled returns the closed periods in which a contract is in force, and for
// which it has no invoice.
func unbilled(f *facts.Facts, c domain.ContractSigned) []domain.Period {
	periods := []domain.Period{}
	for _, closed := range f.Periods() {
		if _, billed := f.Invoice(c.Contract, closed.Period); closed.Site == c.Site && !billed && len(f.InForce(c.Contract, closed.Interval)) > 0 {
			periods = append(periods, closed.Period)
		}
	}
	return periods
}

// reaches says what a contract that is not signed yet will cause, since it
// begins in a period that is closed.
func reaches(f *facts.Facts, c domain.ContractSigned) (says []string) {
	for _, closed := range f.Periods() {
		if closed.Site != c.Site || c.Start >= closed.Interval.End || c.End != 0 && c.End <= closed.Interval.Start {
			continue
		}
		if i, billed := f.Invoice(c.Contract, closed.Period); billed {
			says = append(says, fmt.Sprintf("%s is closed: the next invoice run after it is signed corrects invoice %s by a note", closed.Period, i.Invoice.Number))
		} else {
			says = append(says, fmt.Sprintf("%s is closed: once it is signed, wattbook invoice run --period %s issues its invoice for that month, late", closed.Period, closed.Period))
		}
	}
	return says
}

func contractShow(p *program, f *facts.Facts, id domain.ContractID, version int64) error {
	var all []domain.ContractSigned
	var known []string
	for _, s := range f.Sites() {
		for _, c := range f.Contracts(s.Site) {
			known = append(known, string(c))
			for _, v := range f.ContractVersions(c) {
				if (id == "" || c == id) && (version == 0 || v.Version == version) {
					all = append(all, v)
				}
			}
		}
	}
	if len(all) == 0 {
		if id == "" {
			return fmt.Errorf("no contract is signed")
		}
		return fmt.Errorf("contract %s version %d is not on record; did you mean %s?", id, version, nearest(string(id), known))
	}
	if p.common.json {
		return p.printJSON(all)
	}
	for _, c := range all {
		zone, err := f.Zone(c.Zone)
		if err != nil {
			zone = time.UTC
		}
		terms(p.stdout, c, zone)
	}
	return nil
}
