package audit_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/wire"
	"wattbook/projections"
	"wattbook/projections/facts"
	"wattbook/projections/logscript"
	"wattbook/settlement"
	"wattbook/settlement/audit"
)

func TestAnInvoiceFollowsFromItsEvidenceAlone(t *testing.T) {
	p := settled(t)
	f := facts.New()
	if _, err := projections.Fold(t.Context(), p.Log, 0, projections.Head, f); err != nil {
		t.Fatal(err)
	}
	issued := f.Invoices()[0]
	e, err := audit.EvidenceOf(f, issued.Invoice)
	if err != nil {
		t.Fatal(err)
	}
	picked := picks(t, p.Log, e)
	if total := int(f.Next); len(picked) >= total/2 {
		t.Errorf("%d of %d events are picked", len(picked), total)
	}
	got, err := audit.Recompute(picked)
	if err != nil || got.Issued.Invoice.Number != issued.Invoice.Number || got.Readings != 744 {
		t.Fatalf("%+v, %v", got, err)
	}
	// Without any one of them it does not come out, or cannot be computed, but
	// for the closing, which only says that the period is complete.
	for i, r := range picked {
		rest := slices.Delete(slices.Clone(picked), i, i+1)
		_, err := audit.Recompute(rest)
		switch {
		case strings.HasPrefix(r.Type, "period.") && err != nil:
			t.Errorf("without the closing: %v", err)
		case !strings.HasPrefix(r.Type, "period.") && !strings.HasPrefix(r.Type, "device.") && err == nil:
			t.Errorf("without event %d (%s) it comes out all the same", i, r.Type)
		}
	}
	_, payload, err := wire.Encode(func() domain.InvoiceIssued { i := issued; i.Invoice.Total.Minor++; return i }())
	if err != nil {
		t.Fatal(err)
	}
	forged := slices.Clone(picked)
	forged[len(forged)-1].Payload = payload
	if _, err := audit.Recompute(forged); err == nil || !strings.Contains(err.Error(), `invoice.total is "1505.52 USD" on record, and "1505.51 USD" when it is derived`) {
		t.Errorf("a forged total: %v", err)
	}
	if _, err := audit.Recompute(picked[:3]); err == nil || !strings.Contains(err.Error(), "is an invoice") {
		t.Errorf("no invoice: %v", err)
	}
}

// TestAnInvoiceThatDrawsOnAPrepaymentFollowsFromItAndEarlierInvoices settles
// two months of a contract with a commitment that rolls over.
func TestAnInvoiceThatDrawsOnAPrepaymentFollowsFromItAndEarlierInvoices(t *testing.T) {
	p := logscript.New()
	if err := p.Play(
		"site s step=24h zone=UTC", "meter revenue", "read revenue 2026-09@UTC 1kWh every=24h", "read revenue 2026-10@UTC 1kWh every=24h", "now 2026-11-02",
		"contract aurora from=2026-09-01", "charge used on-demand-gpus 2", "charge commit commitment 100 true-up rollover",
		"start j aurora 10 2026-09-10", "end j 2026-09-10T02:00", "start k aurora 40 2026-10-10", "end k 2026-10-10T02:00", "prepay aurora 150 2026-08-30",
	); err != nil {
		t.Fatal(err)
	}
	s := &settlement.Settler{Log: p.Log, Facts: facts.New(), Now: p.Now, Render: func(inv domain.Invoice) ([]settlement.Document, error) { return render(inv, nil) }}
	for _, month := range []time.Month{9, 10} {
		if _, err := s.Close(t.Context(), "s", domain.Period{Year: 2026, Month: month}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Issue(t.Context(), "s", domain.Period{Year: 2026, Month: month}); err != nil {
			t.Fatal(err)
		}
	}
	last := s.Facts.Invoices()[1]
	if last.Invoice.Prepaid.Amount() != "50.00" || last.Invoice.Total.Amount() != "100.00" {
		t.Fatalf("prepaid %s of %s", last.Invoice.Prepaid, last.Invoice.Total)
	}
	e, err := audit.EvidenceOf(s.Facts, last.Invoice)
	if err != nil {
		t.Fatal(err)
	}
	picked := picks(t, p.Log, e)
	got, err := audit.Recompute(picked)
	if err != nil || got.Issued.Invoice.Number != last.Invoice.Number {
		t.Fatalf("%+v, %v", got.Issued.Invoice.Number, err)
	}
	for _, without := range []string{wire.PrepaymentReceived, wire.InvoiceIssued, wire.GPUAllocationStarted} {
		i := slices.IndexFunc(picked, func(r eventlog.Record) bool { return r.Type == without })
		if _, err := audit.Recompute(slices.Delete(slices.Clone(picked), i, i+1)); err == nil {
			t.Errorf("without the first %s it comes out all the same", without)
		}
	}
}

// TestANoteFollowsFromItsEvidenceAlone corrects a month twice, and computes both
// notes again from the events that are picked for each.
func TestANoteFollowsFromItsEvidenceAlone(t *testing.T) {
	p := logscript.New()
	if err := p.Play(
		"site s step=1h zone=UTC", "meter revenue", "meter n4 under=revenue use=ai", "read revenue 2026-10@UTC 2kWh every=1h", "read n4 2026-10@UTC 1kWh every=1h",
		"price hb_south 2026-10@UTC 1h 40", "now 2026-11-02", "contract aurora from=2026-10-01 days=10", "charge power power-pass-through n4 adder=5",
		"contract other from=2026-10-01", "charge power power-pass-through revenue",
	); err != nil {
		t.Fatal(err)
	}
	october := domain.Period{Year: 2026, Month: 10}
	s := &settlement.Settler{
		Log: p.Log, Facts: facts.New(), Now: p.Now, Render: func(inv domain.Invoice) ([]settlement.Document, error) { return render(inv, nil) },
		RenderNote: func(domain.Note) ([]settlement.Document, error) { return nil, nil },
	}
	if _, err := s.Close(t.Context(), "s", october); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Issue(t.Context(), "s", october); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"read n4 2026-10-14T12:00..2026-10-14T13:00 301kWh mark=corrected", "read n4 2026-10-15T12:00..2026-10-15T13:00 201kWh mark=corrected\nread n4 2026-10-15T12:00..2026-10-15T13:00 7kWh mark=conflict"} {
		if err := p.Play(line); err != nil {
			t.Fatal(err)
		}
		if notes, err := s.Correct(t.Context(), "s", october); err != nil || len(notes) != 1 {
			t.Fatalf("%d notes, %v", len(notes), err)
		}
	}
	for _, n := range s.Facts.Notes("") {
		e, err := audit.EvidenceOfNote(s.Facts, n.Note)
		if err != nil {
			t.Fatal(err)
		}
		picked := picks(t, p.Log, e)
		got, err := audit.RecomputeNote(picked)
		if err != nil || got.Issued.Note.Number != n.Note.Number {
			t.Fatalf("note %s: %+v, %v", n.Note.Number, got.Issued.Note.Number, err)
		}
		for i, r := range picked {
			_, err := audit.RecomputeNote(slices.Delete(slices.Clone(picked), i, i+1))
			if needless := strings.HasPrefix(r.Type, "period.") || strings.HasPrefix(r.Type, "device."); needless != (err == nil) {
				t.Errorf("note %s without event %d (%s): %v", n.Note.Number, i, r.Type, err)
			}
		}
		if !strings.HasPrefix(n.Note.Causes[0], "readings of n4 came on record: 1 corrected") || picked[len(picked)-1].Type != wire.NoteIssued {
			t.Errorf("note %s is caused by %v", n.Note.Number, n.Note.Causes)
		}
	}
	gone := s.Facts.Notes("")[0].Note
	gone.Corrects = "CB-2026-000009"
	if _, err := audit.EvidenceOfNote(s.Facts, gone); err == nil || !strings.Contains(err.Error(), "is not on record") {
		t.Errorf("a note to no invoice: %v", err)
	}
}

// TestWhatIsPrepaidFollowsFromItsEvidence corrects an invoice that was paid from
// a prepayment and by the bank, and computes the note and the next invoice again
// from the events that are picked for each: what the note gave back is drawn.
func TestWhatIsPrepaidFollowsFromItsEvidence(t *testing.T) {
	p := logscript.New()
	if err := p.Play(
		"site s step=24h zone=UTC", "meter revenue", "meter n4 under=revenue use=ai", "read revenue 2026-10@UTC 2kWh every=24h", "read n4 2026-10@UTC 1kWh every=24h",
		"read revenue 2026-11@UTC 2kWh every=24h", "read n4 2026-11@UTC 1kWh every=24h", "prepay aurora 30 2026-10-01",
		"now 2026-12-02", "contract aurora from=2026-10-01 days=10 prepaid=0.9", "charge energy usage kwh 1 meters=n4",
	); err != nil {
		t.Fatal(err)
	}
	october := domain.Period{Year: 2026, Month: 10}
	s := &settlement.Settler{
		Log: p.Log, Facts: facts.New(), Now: p.Now, Render: func(inv domain.Invoice) ([]settlement.Document, error) { return render(inv, nil) },
		RenderNote: func(domain.Note) ([]settlement.Document, error) { return nil, nil },
	}
	issue := func(period domain.Period) domain.Invoice {
		t.Helper()
		if _, err := p.Facts(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Close(t.Context(), "s", period); err != nil {
			t.Fatal(err)
		}
		all, err := s.Issue(t.Context(), "s", period)
		if err != nil || len(all) != 1 {
			t.Fatalf("%d invoices, %v", len(all), err)
		}
		return all[0].Invoice
	}
	picked := func(e *audit.Evidence, err error) []eventlog.Record {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return picks(t, p.Log, e)
	}
	first := issue(october) // 31.00, of it 27.90 prepaid
	if err := p.Play("pay aurora "+first.Number+" 2 2026-12-02", "read n4 2026-10-03..2026-10-15 0kWh mark=corrected every=24h"); err != nil {
		t.Fatal(err)
	}
	notes, err := s.Correct(t.Context(), "s", october) // 12.00 less, 1.10 were open
	if err != nil || len(notes) != 1 || notes[0].Note.Prepaid.Minor != -1090 {
		t.Fatalf("%+v, %v", notes, err)
	}
	if got, err := audit.RecomputeNote(picked(audit.EvidenceOfNote(s.Facts, notes[0].Note))); err != nil || got.Issued.Note.Prepaid.Minor != -1090 {
		t.Errorf("%+v, %v", got.Issued.Note.Prepaid, err)
	}
	second := issue(october.Next()) // 2.10 were left, and 10.90 came back
	if second.Prepaid.Minor != 1300 {
		t.Errorf("November draws %s", second.Prepaid)
	}
	if got, err := audit.Recompute(picked(audit.EvidenceOf(s.Facts, second))); err != nil || got.Issued.Invoice.Prepaid.Minor != 1300 {
		t.Errorf("%+v, %v", got.Issued.Invoice.Prepaid, err)
	}
}

// picks returns the events of a log that evidence picks.
func picks(t *testing.T, log eventlog.Log, e *audit.Evidence) (all []eventlog.Record) {
	t.Helper()
	for r, err := range log.ReadAll(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		rec, err := wire.Open(r)
		if err != nil {
			t.Fatal(err)
		}
		if e.Picks(rec) {
			all = append(all, r)
		}
	}
	return all
}
