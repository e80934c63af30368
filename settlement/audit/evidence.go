package audit

import (
	"fmt"
	"slices"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/wire"
	"wattbook/projections/facts"
	"wattbook/settlement"
	"wattbook/settlement/rating"
)

// Evidence picks the events that an invoice or a note follows from, so that it
// can be computed again from them alone.
type Evidence struct {
	invoice     domain.Invoice
	note        string          // number of the note, or empty: it is the invoice
	asOf        domain.Position // what it was drawn from
	in          domain.Interval // that facts are about
	nodes       map[domain.NodeID]bool
	site        domain.SiteRegistered
	meters      map[domain.DeviceID]bool
	allocations map[string]bool // of the customer
}

// EvidenceOf returns what picks the events of an invoice that is on record.
func EvidenceOf(f *facts.Facts, inv domain.Invoice) (*Evidence, error) {
	site, ok := f.Site(inv.Site)
	if !ok {
		return nil, fmt.Errorf("evidence of invoice %s: site %s is not registered", inv.Number, inv.Site)
	}
	e := &Evidence{
		invoice: inv, asOf: inv.AsOf, in: inv.Interval, site: site,
		meters: map[domain.DeviceID]bool{}, allocations: map[string]bool{}, nodes: map[domain.NodeID]bool{site.Node: true},
	}
	for _, c := range f.ContractVersions(inv.Contract) {
		for _, ch := range c.Charges {
			for _, m := range ch.Devices() {
				e.meters[m] = true
			}
			e.nodes[ch.Index] = true
			if ch.Kind == domain.ChargeCommitment && (ch.Rollover || ch.Months > 1) {
				e.in.Start = min(e.in.Start, c.Start) // it follows from all periods before
			}
		}
	}
	for _, a := range f.GPUAllocations(inv.Site) {
		if a.Customer == inv.Buyer.ID {
			e.allocations[a.Allocation] = true
		}
	}
	return e, nil
}

// EvidenceOfNote returns what picks the events of a note that is on record: all
// that its invoice would follow from where the note was drawn, the invoice and
// the notes before it among them.
func EvidenceOfNote(f *facts.Facts, n domain.Note) (*Evidence, error) {
	i := slices.IndexFunc(f.Invoices(), func(i domain.InvoiceIssued) bool { return i.Invoice.Number == n.Corrects })
	if i < 0 {
		return nil, fmt.Errorf("evidence of note %s: invoice %s, which it corrects, is not on record", n.Number, n.Corrects)
	}
	e, err := EvidenceOf(f, f.Invoices()[i].Invoice)
	if err != nil {
		return nil, err
	}
	e.note, e.asOf = n.Number, n.AsOf
	return e, nil
}

// Picks reports whether the invoice or the note follows from an event, or is
// it.
func (e *Evidence) Picks(rec domain.Recorded) bool {
	if n, ok := rec.Event.(domain.NoteIssued); ok {
		return e.note != "" && n.Note.Corrects == e.invoice.Number && (n.Note.Number == e.note || rec.Position < e.asOf)
	}
	if issued, ok := rec.Event.(domain.InvoiceIssued); ok {
		// Earlier ones have drawn on what was prepaid.
		return issued.Invoice.Number == e.invoice.Number ||
			!e.invoice.Prepaid.IsZero() && issued.Invoice.Contract == e.invoice.Contract && rec.Position < e.asOf
	}
	if rec.Position >= e.asOf {
		return false
	}
	in := e.in
	switch ev := rec.Event.(type) {
	case domain.SiteRegistered:
		return ev.Site == e.invoice.Site
	case domain.DeviceRegistered:
		return ev.Site == e.invoice.Site && e.meters[ev.Device]
	case domain.ContractSigned:
		return ev.Contract == e.invoice.Contract
	case domain.GPUAllocationStarted:
		return ev.Site == e.invoice.Site && e.allocations[ev.Allocation]
	case domain.GPUAllocationEnded:
		return ev.Site == e.invoice.Site && e.allocations[ev.Allocation]
	case domain.PowerPriced:
		return (len(e.meters) > 0 || ev.Node != e.site.Node) && e.nodes[ev.Node] && ev.Series.Interval().Overlap(in).Valid()
	case domain.ReadingsRecorded:
		return ev.Site == e.invoice.Site && slices.ContainsFunc(ev.Readings, func(r domain.Reading) bool {
			// A note says as its causes what came on record, booked or not.
			return e.meters[r.Device] && (r.Mark.Books() || e.note != "") && r.Interval.Overlap(in).Valid()
		})
	case domain.PrepaymentReceived:
		return ev.Contract == e.invoice.Contract
	case domain.InvoiceVoided:
		return ev.Contract == e.invoice.Contract
	case domain.ServiceCreditClaimed:
		return ev.Contract == e.invoice.Contract
	case domain.PeriodClosed:
		return ev.Site == e.invoice.Site && ev.Period == e.invoice.Period
	}
	return false
}

// Recomputed is an invoice that came out of the events of its evidence.
type Recomputed struct {
	Issued   domain.InvoiceIssued
	Readings int64 // readings of its meters in its period
	Events   int
}

// Recompute draws the invoice again that is among the events, from the others
// alone. It is an error if it is not the one that was issued, to the cent and
// to the word.
func Recompute(records []eventlog.Record) (Recomputed, error) {
	var out Recomputed
	f := facts.New()
	last := -1 // the others are earlier ones of the contract
	for i, r := range records {
		if r.Type == wire.InvoiceIssued {
			last = i
		}
	}
	for i, r := range records {
		rec, err := wire.Open(r)
		if err != nil {
			return out, err
		}
		if issued, ok := rec.Event.(domain.InvoiceIssued); ok && i == last {
			out.Issued = issued // drawn at a position before its own
			continue
		}
		f.Skip(rec.Position)
		if err := f.Apply(rec); err != nil {
			return out, fmt.Errorf("event at position %d: %w", rec.Position, err)
		}
		if batch, ok := rec.Event.(domain.ReadingsRecorded); ok {
			out.Readings += int64(len(batch.Readings))
		}
		out.Events++
	}
	inv := out.Issued.Invoice
	if inv.Number == "" {
		return out, fmt.Errorf("none of the %d events is an invoice", len(records))
	}
	f.Skip(inv.AsOf)
	draft, err := rating.Draft(f, inv.Contract, inv.Period)
	if err != nil {
		return out, fmt.Errorf("invoice %s: %w", inv.Number, err)
	}
	draft.Number, draft.Issued, draft.Due, draft.Layout = inv.Number, inv.Issued, inv.Due, inv.Layout
	for _, c := range f.ContractVersions(inv.Contract) {
		if c.Version == draft.Version && settlement.Due(c, inv.Issued) != inv.Due {
			return out, fmt.Errorf("invoice %s is due at another time than its contract says", inv.Number)
		}
	}
	_, want, err := wire.Encode(domain.InvoiceIssued{Invoice: inv})
	if err != nil {
		return out, err
	}
	_, got, err := wire.Encode(domain.InvoiceIssued{Invoice: draft})
	if err != nil {
		return out, err
	}
	if string(got) != string(want) {
		return out, fmt.Errorf("invoice %s does not follow from the events: %s", inv.Number, difference(want, got))
	}
	return out, nil
}

// RecomputedNote is a note that came out of the events of its evidence.
type RecomputedNote struct {
	Issued   domain.NoteIssued
	Readings int64 // in the events of its meters
}

// RecomputeNote draws the note again that is the last one among the events,
// from the others alone, as [Recompute] does with an invoice.
func RecomputeNote(records []eventlog.Record) (RecomputedNote, error) {
	var out RecomputedNote
	f := facts.New()
	last := -1 // the others are earlier ones of the invoice
	for i, r := range records {
		if r.Type == wire.NoteIssued {
			last = i
		}
	}
	for i, r := range records {
		rec, err := wire.Open(r)
		if err != nil {
			return out, err
		}
		if issued, ok := rec.Event.(domain.NoteIssued); ok && i == last {
			out.Issued = issued
			continue
		}
		f.Skip(rec.Position)
		if err := f.Apply(rec); err != nil {
			return out, fmt.Errorf("event at position %d: %w", rec.Position, err)
		}
		if batch, ok := rec.Event.(domain.ReadingsRecorded); ok {
			out.Readings += int64(len(batch.Readings))
		}
	}
	n := out.Issued.Note
	i := slices.IndexFunc(f.Invoices(), func(i domain.InvoiceIssued) bool { return i.Invoice.Number == n.Corrects })
	if i < 0 {
		return out, fmt.Errorf("none of the %d events is the invoice that note %s corrects", len(records), n.Number)
	}
	f.Skip(n.AsOf)
	drawn, ok, err := settlement.Correction(f, f.Invoices()[i])
	if err == nil && !ok {
		err = fmt.Errorf("invoice %s lacks nothing", n.Corrects)
	}
	if err != nil {
		return out, fmt.Errorf("note %s: %w", n.Number, err)
	}
	drawn.Number, drawn.Issued, drawn.Due, drawn.Layout = n.Number, n.Issued, n.Due, n.Layout
	for _, c := range f.ContractVersions(drawn.Contract) {
		if c.Version == drawn.Version && settlement.Due(c, n.Issued) != n.Due {
			return out, fmt.Errorf("note %s is due at another time than its contract says", n.Number)
		}
	}
	_, want, err := wire.Encode(domain.NoteIssued{Note: n})
	if err != nil {
		return out, err
	}
	_, got, err := wire.Encode(domain.NoteIssued{Note: drawn})
	if err != nil {
		return out, err
	}
	if string(got) != string(want) {
		return out, fmt.Errorf("note %s does not follow from the events: %s", n.Number, difference(want, got))
	}
	return out, nil
}
