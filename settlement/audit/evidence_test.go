package audit_test

import (
	"slices"
	"strings"
	"testing"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/wire"
	"wattbook/projections"
	"wattbook/projections/facts"
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
	var picked []eventlog.Record
	total := 0
	for r, err := range p.Log.ReadAll(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		rec, err := wire.Open(r)
		if err != nil {
			t.Fatal(err)
		}
		if total++; e.Picks(rec) {
			picked = append(picked, r)
		}
	}
	if len(picked) >= total/2 {
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
