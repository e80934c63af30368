package audit

import (
	"errors"
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
	for a := range f.GPUAllocations(inv.Site) {
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
	issued, ok := f.InvoiceNumbered(n.Corrects)
	if !ok {
		return nil, fmt.Errorf("evidence of note %s: invoice %s, which it corrects, is not on record", n.Number, n.Corrects)
	}
	e, err := EvidenceOf(f, issued.Invoice)
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
		// Those of other invoices have given back what was prepaid.
		return e.note != "" && n.Note.Corrects == e.invoice.Number && (n.Note.Number == e.note || rec.Position < e.asOf) ||
			e.note == "" && !e.invoice.Prepaid.IsZero() && !n.Note.Prepaid.IsZero() && n.Note.Contract == e.invoice.Contract && rec.Position < e.asOf
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
	case domain.ReadingsEstimated: // says of its readings by what method and why
		return ev.Site == e.invoice.Site && e.meters[ev.Device] && ev.Interval.Overlap(in).Valid()
	case domain.PaymentReceived:
		return e.note != "" && !e.invoice.Prepaid.IsZero() && ev.Invoice == e.invoice.Number
	case domain.PaymentReversed:
		return e.note != "" && !e.invoice.Prepaid.IsZero() && ev.Invoice == e.invoice.Number
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
	// Estimates say of the readings that are estimates how they were made, in
	// the order of the log.
	Estimates []Estimated
}

// Estimated says how readings among the events were estimated. Readings of
// which no event says it have no method.
type Estimated struct {
	domain.ReadingsEstimated
	Readings int64 `json:"readings"`
}

// Recompute draws the invoice again that is among the events, from the others
// alone. It is an error if it is not the one that was issued, to the cent and
// to the word.
func Recompute(records []eventlog.Record) (Recomputed, error) {
	e, err := split[domain.InvoiceIssued](records, wire.InvoiceIssued)
	out := Recomputed{Issued: e.subject, Readings: e.readings, Events: e.others, Estimates: e.estimated()}
	if err != nil {
		return out, err
	}
	inv := out.Issued.Invoice
	if inv.Number == "" {
		return out, fmt.Errorf("none of the %d events is an invoice", len(records))
	}
	e.facts.Skip(inv.AsOf)
	draft, err := rating.Draft(e.facts, inv.Contract, inv.Period)
	if err != nil {
		return out, fmt.Errorf("invoice %s: %w", inv.Number, err)
	}
	if err := numbered(&draft, inv, e.facts); err != nil {
		return out, fmt.Errorf("invoice %s %w", inv.Number, err)
	}
	if err := follows(domain.InvoiceIssued{Invoice: inv}, domain.InvoiceIssued{Invoice: draft}); err != nil {
		return out, fmt.Errorf("invoice %s %w", inv.Number, err)
	}
	return out, nil
}

// RecomputedNote is a note that came out of the events of its evidence.
type RecomputedNote struct {
	Issued    domain.NoteIssued
	Readings  int64 // in the events of its meters
	Estimates []Estimated
}

// RecomputeNote draws the note again that is the last one among the events,
// from the others alone, as [Recompute] does with an invoice.
func RecomputeNote(records []eventlog.Record) (RecomputedNote, error) {
	e, err := split[domain.NoteIssued](records, wire.NoteIssued)
	out := RecomputedNote{Issued: e.subject, Readings: e.readings, Estimates: e.estimated()}
	if err != nil {
		return out, err
	}
	n, f := out.Issued.Note, e.facts
	issued, ok := f.InvoiceNumbered(n.Corrects)
	if !ok {
		return out, fmt.Errorf("none of the %d events is the invoice that note %s corrects", len(records), n.Number)
	}
	f.Skip(n.AsOf)
	drawn, ok, err := settlement.Redraw(f, issued, n)
	if err == nil && !ok {
		err = fmt.Errorf("invoice %s lacks nothing", n.Corrects)
	}
	if err != nil {
		return out, fmt.Errorf("note %s: %w", n.Number, err)
	}
	if err := numbered(&drawn.Invoice, n.Invoice, f); err != nil {
		return out, fmt.Errorf("note %s %w", n.Number, err)
	}
	if err := follows(domain.NoteIssued{Note: n}, domain.NoteIssued{Note: drawn}); err != nil {
		return out, fmt.Errorf("note %s %w", n.Number, err)
	}
	return out, nil
}

// evidence is a document among events, and the facts that the others make.
type evidence[E domain.Event] struct {
	subject  E
	facts    *facts.Facts
	readings int64
	others   int
	made     []domain.ReadingsEstimated
	guesses  map[domain.Digest]int64 // estimated readings by their evidence
}

// estimated says how the estimated readings among the events were made.
func (e evidence[E]) estimated() (all []Estimated) {
	left := int64(0)
	for _, n := range e.guesses {
		left += n
	}
	for _, m := range e.made {
		all = append(all, Estimated{m, e.guesses[m.Origin.Evidence]})
		left -= e.guesses[m.Origin.Evidence]
	}
	if left > 0 {
		all = append(all, Estimated{Readings: left})
	}
	return all
}

// split takes the last event of a wire name out of the records and folds the
// others: earlier ones of the name are among the facts. The subject is zero if
// there is none.
func split[E domain.Event](records []eventlog.Record, name string) (evidence[E], error) {
	e := evidence[E]{facts: facts.New(), guesses: map[domain.Digest]int64{}}
	last := -1
	for i, r := range records {
		if r.Type == name {
			last = i
		}
	}
	for i, r := range records {
		rec, err := wire.Open(r)
		if err != nil {
			return e, err
		}
		if subject, ok := rec.Event.(E); ok && i == last {
			e.subject = subject // drawn at a position before its own
			continue
		}
		e.facts.Skip(rec.Position)
		if err := e.facts.Apply(rec); err != nil {
			return e, fmt.Errorf("event at position %d: %w", rec.Position, err)
		}
		switch ev := rec.Event.(type) {
		case domain.ReadingsRecorded:
			e.readings += int64(len(ev.Readings))
			for _, r := range ev.Readings {
				if r.Mark == domain.MarkEstimated {
					e.guesses[ev.Origin.Evidence]++
				}
			}
		case domain.ReadingsEstimated:
			e.made = append(e.made, ev)
		}
		e.others++
	}
	return e, nil
}

// numbered gives a document that was drawn again what only its issue can say,
// and reports a due date that its contract does not give.
func numbered(drawn *domain.Invoice, issued domain.Invoice, f *facts.Facts) error {
	drawn.Number, drawn.Issued, drawn.Due, drawn.Layout = issued.Number, issued.Issued, issued.Due, issued.Layout
	drawn.Checkpoint = issued.Checkpoint
	for _, c := range f.ContractVersions(drawn.Contract) {
		if c.Version == drawn.Version && settlement.Due(c, issued.Issued) != issued.Due {
			return errors.New("is due at another time than its contract says")
		}
	}
	return nil
}

// follows reports how what was drawn again differs from what was issued.
func follows(issued, drawn domain.Event) error {
	want, got, err := encodings(issued, drawn)
	if err != nil {
		return err
	}
	if string(got) != string(want) {
		return fmt.Errorf("does not follow from the events: %s", difference(want, got))
	}
	return nil
}
