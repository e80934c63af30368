package audit

import (
	"fmt"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/settlement"
)

// note draws a note again: what its invoice lacked where the note was drawn.
// Notes count as invoices.
func (a *auditor) note(rec domain.Recorded, e domain.NoteIssued) {
	what := "note " + e.Note.Number
	issued, ok := a.facts.InvoiceNumbered(e.Note.Corrects)
	if !ok {
		a.count(kindInvoices, rec, what, nil, fmt.Sprintf("it corrects invoice %s, which is not on record", e.Note.Corrects))
		return
	}
	derived, ok, err := settlement.Redraw(a.facts, issued, e.Note)
	if err == nil && !ok {
		err = fmt.Errorf("invoice %s lacks nothing there", e.Note.Corrects)
	}
	if err != nil {
		a.count(kindInvoices, rec, what, nil, err.Error())
		return
	}
	for _, c := range a.facts.ContractVersions(derived.Contract) {
		if c.Version == derived.Version {
			derived.Issued, derived.Layout = e.Note.Issued, e.Note.Layout
			derived.Due = settlement.Due(c, e.Note.Issued)
			derived.Number = settlement.Number(c, e.Note.Issued, eventlog.Revision(rec.Revision))
		}
	}
	said, documents := e.Note.Checkpoint, e.Documents
	if said != (domain.Checkpoint{}) {
		e.Note.Checkpoint, e.Documents = domain.Checkpoint{}, nil
	}
	unsigned := rec
	unsigned.Event = e
	a.compare(kindInvoices, unsigned, what, domain.NoteIssued{Note: derived, Documents: e.Documents})
	a.documents(rec, what, said, documents, func(c domain.Checkpoint) ([]settlement.Document, error) {
		derived.Checkpoint = c
		return a.options.RenderNote(derived, a.facts)
	})
}
