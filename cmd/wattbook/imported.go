package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	"wattbook/domain"
	"wattbook/domain/wire"
	"wattbook/ingest"
	"wattbook/settlement/rating"
)

// importReport is what became of a file.
type importReport struct {
	Kind       string           `json:"kind"`
	File       string           `json:"file"`
	Evidence   domain.Digest    `json:"evidence_digest"`
	Site       domain.SiteID    `json:"site"`
	Readings   int              `json:"readings"` // rows recorded, whatever their mark
	Marks      map[string]int   `json:"marks"`
	Facts      int              `json:"facts"`
	Duplicates int              `json:"on_record_already"`
	Conflicts  int              `json:"conflicts"` // of facts; those of readings are a mark
	Rejected   int              `json:"rejected"`
	Events     int              `json:"events"`
	Restated   []restatedPeriod `json:"restated_periods"`
	// Unused is the node of a file of prices, if no site and no contract is
	// priced there; Nodes are those that are.
	Unused string   `json:"unused_node,omitempty"`
	Nodes  []string `json:"used_nodes,omitempty"`
}

// restatedPeriod is a closed period that the file says something new of.
type restatedPeriod struct {
	Period   domain.Period     `json:"period"`
	AsOf     domain.Position   `json:"closed_as_of"`
	Changes  int               `json:"changes"`
	Invoices []restatedInvoice `json:"invoices"`
}

// restatedInvoice is an issued invoice and what it would come to now.
type restatedInvoice struct {
	Number   string        `json:"number"`
	Customer string        `json:"customer"`
	Issued   domain.Money  `json:"issued_total"`
	Now      *domain.Money `json:"total_now"`         // nil if it cannot be drawn
	Problem  string        `json:"problem,omitempty"` // why it cannot
}

// imported reports what became of a file, of which the events are recorded
// from a position on.
func (e *engine) imported(ctx context.Context, f importedFile, got ingest.Report, from domain.Position) (importReport, error) {
	r := importReport{
		Kind: f.kind, File: f.name, Evidence: domain.DigestOf(f.raw), Site: f.site.Site,
		Readings: got.Readings, Marks: map[string]int{}, Facts: got.Facts, Duplicates: got.Duplicates,
		Conflicts: got.Conflicts, Rejected: got.Rejected, Events: got.Events, Restated: []restatedPeriod{},
	}
	for m, n := range got.Marks {
		r.Marks[m.String()] = n
	}
	if nodes := e.usedNodes(); f.node != "" && !slices.Contains(nodes, f.node) {
		r.Unused, r.Nodes = f.node, nodes
		return r, nil // nothing follows from them
	}
	var changed []domain.Interval
	for rec, err := range e.log.ReadAll(ctx, from) {
		if err != nil {
			return r, err
		}
		opened, err := wire.Open(rec)
		if err != nil {
			return r, err
		}
		changed = append(changed, about(opened.Event)...)
	}
	for _, closed := range e.facts.Periods() {
		if closed.Site != f.site.Site {
			continue
		}
		p := restatedPeriod{Period: closed.Period, AsOf: closed.AsOf, Invoices: []restatedInvoice{}}
		for _, iv := range changed {
			if iv.Overlap(closed.Interval).Valid() {
				p.Changes++
			}
		}
		if p.Changes > 0 {
			p.Invoices = append(p.Invoices, e.restated(f.site.Site, closed.Period)...)
			r.Restated = append(r.Restated, p)
		}
	}
	return r, nil
}

// usedNodes returns the nodes at whose prices a site or a charge of a contract
// is, or was, by name.
func (e *engine) usedNodes() []string {
	used := map[string]bool{}
	for _, s := range e.facts.Sites() {
		used[string(s.Node)] = true
		for _, id := range e.facts.Contracts(s.Site) {
			for _, c := range e.facts.ContractVersions(id) {
				for _, ch := range c.Charges {
					if ch.Index != "" {
						used[string(ch.Index)] = true
					}
				}
			}
		}
	}
	return sortedKeys(used)
}

// about returns the intervals that a recorded fact changes something in.
func about(event domain.Event) []domain.Interval {
	switch e := event.(type) {
	case domain.ReadingsRecorded:
		var all []domain.Interval
		for _, row := range e.Readings {
			if row.Mark.Books() {
				all = append(all, row.Interval)
			}
		}
		return all
	case domain.PowerPriced:
		return []domain.Interval{e.Series.Interval()}
	case domain.BitcoinPriced:
		return []domain.Interval{e.Series.Interval()}
	case domain.DifficultyAdjusted:
		return []domain.Interval{{Start: e.At, End: e.At + 1}}
	case domain.GPUAllocationStarted:
		return []domain.Interval{{Start: e.At, End: e.At + 1}}
	case domain.GPUAllocationEnded:
		return []domain.Interval{{Start: e.At, End: e.At + 1}}
	}
	return nil
}

// restated draws the invoices of a period again, from what is known now.
func (e *engine) restated(site domain.SiteID, period domain.Period) []restatedInvoice {
	var all []restatedInvoice
	for _, i := range e.facts.Invoices() {
		if e.facts.Voided(i.Invoice.Number) {
			continue
		}
		inv := i.Invoice
		if inv.Site != site || inv.Period != period {
			continue
		}
		r := restatedInvoice{Number: inv.Number, Customer: inv.Buyer.Name, Issued: inv.Total}
		if now, err := rating.Draft(e.facts, inv.Contract, period); err != nil {
			r.Problem = err.Error()
		} else {
			r.Now = &now.Total
		}
		all = append(all, r)
	}
	return all
}

// print writes the report as text.
func (r importReport) print(out io.Writer, got ingest.Report) {
	fmt.Fprintf(out, "%s: %s\n", r.File, got)
	if r.Unused != "" {
		fmt.Fprintf(out, "No site and no contract is priced at %s, so nothing follows from these prices until a contract names it as an index. Did you mean %s?\n", r.Unused, nearest(r.Unused, r.Nodes))
	}
	for _, p := range r.Restated {
		fmt.Fprintf(out, "%s of %s is closed, as of position %d, and the file changes it in %s.\n", p.Period, r.Site, p.AsOf, counted(p.Changes, "place"))
		fmt.Fprintf(out, "That is on record; the closing and the invoices stay as they were issued.\n")
		if len(p.Invoices) == 0 {
			fmt.Fprintf(out, "No invoice of %s is issued yet: wattbook invoice run draws on what is known now.\n", p.Period)
		}
		owed := false
		for _, i := range p.Invoices {
			fmt.Fprintf(out, "  %-15s %-30s ", i.Number, i.Customer)
			switch {
			case i.Now == nil:
				fmt.Fprintf(out, "cannot be drawn again: %s\n", i.Problem)
			case *i.Now == i.Issued:
				fmt.Fprintf(out, "%s %s, as before\n", group(i.Issued.Amount()), i.Issued.Currency)
			default:
				owed = true
				more, what := i.Now.Add(i.Issued.Neg()), "is not billed"
				if more.Minor < 0 {
					more, what = more.Neg(), "was billed too much"
				}
				fmt.Fprintf(out, "%s %s as issued, %s now: %s %s\n", group(i.Issued.Amount()), i.Issued.Currency, group(i.Now.Amount()), group(more.Amount()), what)
			}
		}
		if owed {
			fmt.Fprintf(out, "The next wattbook invoice run makes the credit or debit notes of that.\n")
		}
	}
}

// counted writes a number of things.
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return thousands(int64(n)) + " " + thing + "s"
}
