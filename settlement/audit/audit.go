// Package audit draws every conclusion of a log again, from nothing but the
// events before the position that it was drawn at, and compares.
//
// It is what someone does who does not trust the operator's figures: estimates
// by their methods, allocation decisions, closings with the digests of their balances, usage and margins,
// invoices with the bytes of their documents, and pool reconciliations.
package audit

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/wire"
	"wattbook/projections"
	"wattbook/projections/allocation"
	"wattbook/projections/facts"
	"wattbook/projections/scratch"
	"wattbook/settlement"
	"wattbook/settlement/pools"
	"wattbook/settlement/rating"
)

// Options say how to draw again what is not in the log alone.
type Options struct {
	// Render makes the documents of an invoice from what was known when it was
	// drawn.
	Render func(domain.Invoice, *facts.Facts) ([]settlement.Document, error)
	// RenderNote makes those of a note.
	RenderNote func(domain.Note, *facts.Facts) ([]settlement.Document, error)
	// Root returns the Merkle root of the first events of the log, to compare
	// with what documents say that the log had signed; nil: it is not compared.
	Root func(size domain.Position) (domain.Digest, error)
	// Scratch is where what is folded lies; nil: in the heap.
	Scratch *scratch.Area
	// Progress, if set, is told how far the log is read.
	Progress func(done, total domain.Position)
}

// Kind is what became of one kind of conclusion.
type Kind struct {
	Name      string        `json:"name"`
	Checked   int64         `json:"checked"`
	Different int64         `json:"different"`
	Digest    domain.Digest `json:"digest"` // of what was derived, in the order of the log
}

// Difference is a conclusion on record that does not come out again.
type Difference struct {
	Position domain.Position `json:"position"` // of the event
	AsOf     domain.Position `json:"as_of"`    // what it was drawn from
	What     string          `json:"what"`
	Why      string          `json:"why"`
}

// Report is the outcome of a replay.
type Report struct {
	Events      domain.Position `json:"events"`
	Kinds       []Kind          `json:"kinds"`
	Digest      domain.Digest   `json:"digest"` // of all kinds
	Differences []Difference    `json:"differences"`
}

// Names of the kinds, in the order in which reports list them.
const (
	kindEstimates       = "estimates"
	kindDecisions       = "decisions"
	kindBalances        = "balances"
	kindUsage           = "usage"
	kindMargins         = "margins"
	kindPeriods         = "periods"
	kindInvoices        = "invoices"
	kindDocuments       = "documents"
	kindReconciliations = "reconciliations"
)

func kinds() []string {
	return []string{kindEstimates, kindDecisions, kindBalances, kindUsage, kindMargins, kindPeriods, kindInvoices, kindDocuments, kindReconciliations}
}

// Run replays a log up to its head. It costs one fold of the log, and each
// conclusion once more. An error means that the log could not be read; what
// does not come out again is in the report.
func Run(ctx context.Context, log eventlog.Log, o Options) (Report, error) {
	head, err := log.Head(ctx)
	if err != nil {
		return Report{}, fmt.Errorf("replay: %w", err)
	}
	a := &auditor{
		options: o, facts: facts.In(o.Scratch), digests: map[string]*domain.Digester{}, counts: map[string]*Kind{},
		estimates: estimates{values: map[made]*estimatedReadings{}},
	}
	for _, k := range kinds() {
		a.digests[k], a.counts[k] = &domain.Digester{}, &Kind{Name: k}
	}
	if err := a.collect(ctx, log, head); err != nil {
		return Report{}, fmt.Errorf("replay: %w", err)
	}
	for rec, err := range projections.Read(ctx, log, 0, head) {
		if err != nil {
			return Report{}, fmt.Errorf("replay: %w", err)
		}
		a.check(rec.Position)
		a.take(rec)
		if err := a.facts.Apply(rec); err != nil {
			return Report{}, fmt.Errorf("replay event at position %d: %w", rec.Position, err)
		}
		if o.Progress != nil && rec.Position%512 == 0 {
			o.Progress(rec.Position, head)
		}
	}
	a.check(head)
	a.compareEstimates()
	return a.report(head), nil
}

// auditor folds the log, and draws conclusions where they were drawn.
type auditor struct {
	options     Options
	facts       *facts.Facts
	due         map[domain.Position][]domain.Recorded // conclusions by the position that they were drawn at
	digests     map[string]*domain.Digester
	counts      map[string]*Kind
	estimates   estimates
	differences []Difference
}

// collect finds the conclusions of the log.
func (a *auditor) collect(ctx context.Context, log eventlog.Log, head domain.Position) error {
	a.due = map[domain.Position][]domain.Recorded{}
	for r, err := range log.ReadAll(ctx, 0) {
		if err != nil {
			return err
		}
		if r.Position >= head {
			return nil
		}
		switch r.Type {
		case wire.ReadingsEstimated, wire.AllocationDecided, wire.PeriodClosed, wire.InvoiceIssued, wire.NoteIssued, wire.PayoutReconciled:
		default:
			continue
		}
		rec, err := wire.Open(r)
		if err != nil {
			return err
		}
		at := asOf(rec.Event)
		if at > rec.Position {
			a.different(rec, "conclusion", fmt.Sprintf("it says that it was drawn at position %d, which is after it", at))
			continue
		}
		a.due[at] = append(a.due[at], rec)
	}
	return nil
}

// asOf returns the position that a conclusion says it was drawn at.
func asOf(e domain.Event) domain.Position {
	switch e := e.(type) {
	case domain.ReadingsEstimated:
		return e.AsOf
	case domain.AllocationDecided:
		return e.AsOf
	case domain.PeriodClosed:
		return e.AsOf
	case domain.InvoiceIssued:
		return e.Invoice.AsOf
	case domain.NoteIssued:
		return e.Note.AsOf
	case domain.PayoutReconciled:
		return e.AsOf
	}
	return 0
}

// check draws the conclusions again that were drawn at a position, which is
// where the facts are.
func (a *auditor) check(at domain.Position) {
	for _, rec := range a.due[at] {
		switch e := rec.Event.(type) {
		case domain.ReadingsEstimated:
			a.estimate(rec, e)
		case domain.AllocationDecided:
			a.decision(rec, e)
		case domain.PeriodClosed:
			a.period(rec, e)
		case domain.InvoiceIssued:
			a.invoice(rec, e)
		case domain.NoteIssued:
			a.note(rec, e)
		case domain.PayoutReconciled:
			a.reconciliation(rec, e)
		}
	}
	delete(a.due, at)
}

func (a *auditor) different(rec domain.Recorded, what, why string) {
	a.differences = append(a.differences, Difference{rec.Position, asOf(rec.Event), what, why})
}

// count notes a conclusion that was checked: what was derived, and how it
// differs from the record.
func (a *auditor) count(kind string, rec domain.Recorded, what string, derived []byte, why string) {
	k := a.counts[kind]
	k.Checked++
	fmt.Fprintf(a.digests[kind], "%d %d\n%s\n", rec.Position, len(derived), derived)
	if why != "" {
		k.Different++
		a.different(rec, what, why)
	}
}

// compare counts an event that was derived again.
func (a *auditor) compare(kind string, rec domain.Recorded, what string, derived domain.Event) {
	want, got, err := encodings(rec.Event, derived)
	if err != nil {
		a.count(kind, rec, what, nil, err.Error())
		return
	}
	why := ""
	if !bytes.Equal(got, want) {
		why = difference(want, got)
	}
	a.count(kind, rec, what, got, why)
}

func (a *auditor) decision(rec domain.Recorded, e domain.AllocationDecided) {
	what := fmt.Sprintf("decision of %s for %s", e.Site, e.Interval.Start)
	if e.Rule != allocation.Rule {
		a.count(kindDecisions, rec, what, nil, fmt.Sprintf("it was drawn by the rule %s, which this version does not have; replay it with the version that does", e.Rule))
		return
	}
	derived, err := allocation.For(a.facts, e.Site, e.Interval)
	if err != nil {
		a.count(kindDecisions, rec, what, nil, err.Error())
		return
	}
	a.compare(kindDecisions, rec, what, derived)
}

func (a *auditor) period(rec domain.Recorded, e domain.PeriodClosed) {
	what := fmt.Sprintf("closing of %s for %s", e.Site, e.Period)
	derived, _, err := settlement.Closing(a.facts, e.Site, e.Period)
	if err != nil {
		a.count(kindPeriods, rec, what, nil, err.Error())
		return
	}
	for _, d := range []struct {
		kind      string
		want, got domain.Digest
	}{{kindBalances, e.Balance, derived.Balance}, {kindUsage, e.Usage, derived.Usage}, {kindMargins, e.Margin, derived.Margin}} {
		why := ""
		if d.want != d.got {
			why = fmt.Sprintf("the digest on record is %s, the one derived is %s", d.want.Short(), d.got.Short())
		}
		a.count(d.kind, rec, d.kind+" of "+e.Period.String(), d.got[:], why)
	}
	// Their digests are compared above.
	derived.Balance, derived.Usage, derived.Margin = e.Balance, e.Usage, e.Margin
	a.compare(kindPeriods, rec, what, derived)
}

func (a *auditor) invoice(rec domain.Recorded, e domain.InvoiceIssued) {
	inv := e.Invoice
	what := "invoice " + inv.Number
	derived, err := a.draft(rec, inv)
	if err != nil {
		a.count(kindInvoices, rec, what, nil, err.Error())
		return
	}
	documents := e.Documents
	if inv.Checkpoint != (domain.Checkpoint{}) {
		e.Invoice.Checkpoint, e.Documents = domain.Checkpoint{}, nil
	}
	unsigned := rec
	unsigned.Event = e
	a.compare(kindInvoices, unsigned, what, domain.InvoiceIssued{Invoice: derived, Documents: e.Documents})
	a.documents(rec, what, inv.Checkpoint, documents, func(c domain.Checkpoint) ([]settlement.Document, error) {
		derived.Checkpoint = c
		return a.options.Render(derived, a.facts)
	})
}

// documents makes the documents again of an invoice or a note, and compares what
// it says that the log had signed with the log. Digests of what was derived are
// without that: it is not the same in two logs of the same facts.
func (a *auditor) documents(rec domain.Recorded, what string, c domain.Checkpoint, issued []domain.DocumentDigest, render func(domain.Checkpoint) ([]settlement.Document, error)) {
	all, err := render(c)
	plain := all
	if err == nil && c != (domain.Checkpoint{}) {
		plain, err = render(domain.Checkpoint{})
	}
	if err != nil {
		a.count(kindDocuments, rec, "documents of "+what, nil, err.Error())
		return
	}
	why := ""
	if !slices.Equal(settlement.Digests(settlement.Named(all, issued)), issued) {
		why = "their bytes do not come out as they were issued"
	}
	a.count(kindDocuments, rec, "documents of "+what, fmt.Append(nil, settlement.Digests(settlement.Named(plain, issued))), why)
	if c == (domain.Checkpoint{}) || a.options.Root == nil {
		return
	}
	if root, err := a.options.Root(c.Size); err != nil || root != c.Root {
		a.counts[kindInvoices].Different++
		a.different(rec, what, fmt.Sprintf("it says that the log had signed %d events, and they have another root than it says", c.Size))
	}
}

// draft draws an invoice again, with the number that its place in its series
// gives it and the dates that follow from its issue.
func (a *auditor) draft(rec domain.Recorded, inv domain.Invoice) (domain.Invoice, error) {
	derived, err := rating.Draft(a.facts, inv.Contract, inv.Period)
	if err != nil {
		return derived, err
	}
	for _, c := range a.facts.ContractVersions(inv.Contract) {
		if c.Version == derived.Version {
			derived.Issued, derived.Layout = inv.Issued, inv.Layout
			derived.Due = settlement.Due(c, inv.Issued)
			derived.Number = settlement.Number(c, inv.Issued, eventlog.Revision(rec.Revision))
		}
	}
	return derived, nil
}

func (a *auditor) reconciliation(rec domain.Recorded, e domain.PayoutReconciled) {
	what := fmt.Sprintf("reconciliation of %s/%s for %s", e.Pool, e.Account, e.Interval.Start)
	if _, ok := a.facts.Site(e.Site); !ok {
		a.count(kindReconciliations, rec, what, nil, fmt.Sprintf("site %s is not registered", e.Site))
		return
	}
	drawn, err := pools.Draw(a.facts, pools.AccountOf(a.facts, e.Site, e.Pool, e.Account), e.Interval)
	if len(drawn) != 1 {
		a.count(kindReconciliations, rec, what, nil, fmt.Sprintf("it cannot be drawn: %v", err))
		return
	}
	derived := e
	derived.Reconciliation = drawn[0]
	a.compare(kindReconciliations, rec, what, derived)
}

// report puts together what was found.
func (a *auditor) report(head domain.Position) Report {
	r := Report{Events: head, Differences: a.differences}
	var all domain.Digester
	for _, name := range kinds() {
		k := a.counts[name]
		k.Digest = a.digests[name].Digest()
		fmt.Fprintln(&all, k.Name, k.Checked, k.Digest)
		r.Kinds = append(r.Kinds, *k)
	}
	r.Digest = all.Digest()
	slices.SortStableFunc(r.Differences, func(x, y Difference) int { return int(x.Position) - int(y.Position) })
	return r
}
