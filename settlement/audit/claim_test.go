package audit_test

import (
	"strings"
	"testing"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/wire"
	"wattbook/settlement/audit"
)

// picked returns the events that the last reconciliation of a log follows from.
func picked(t *testing.T, log eventlog.Log) (all []eventlog.Record) {
	t.Helper()
	var claim *audit.Claim
	for range 2 {
		for r, err := range log.ReadAll(t.Context(), 0) {
			if err != nil {
				t.Fatal(err)
			}
			rec, err := wire.Open(r)
			if err != nil {
				t.Fatal(err)
			}
			if e, ok := rec.Event.(domain.PayoutReconciled); ok && claim == nil {
				claim = audit.ClaimOf(rec.Position, e)
				break
			}
			if claim != nil && claim.Picks(rec) {
				all = append(all, r)
			}
		}
	}
	return all
}

func TestAClaimComesOutOfItsEventsAlone(t *testing.T) {
	log := settled(t).Log
	records := picked(t, log)
	head, err := log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := audit.RecomputeClaim(records)
	if err != nil || got.Drawn.Stated != 7_373_520 || got.Readings == 0 || len(records) >= int(head) {
		t.Fatalf("%d of %d events: got %+v, %v", len(records), head, got, err)
	}
	// Without any of the kinds of events that it rests on, or with another
	// statement, it does not come out.
	for _, name := range []string{wire.PoolStatementReceived, wire.PayoutReceived, wire.ReadingsRecorded, wire.DifficultyAdjusted, wire.BlockFeesPublished, wire.SiteRegistered, wire.PayoutReconciled} {
		var less []eventlog.Record
		for _, r := range records {
			if r.Type != name {
				less = append(less, r)
			}
		}
		if len(less) == len(records) {
			t.Errorf("no %s is among the events", name)
		}
		if _, err := audit.RecomputeClaim(less); err == nil {
			t.Errorf("the claim comes out without %s", name)
		}
	}
	other := forge(t, log, forged(func(s *domain.PoolStatementReceived) { s.Net-- }))
	if _, err := audit.RecomputeClaim(picked(t, other)); err == nil || !strings.Contains(err.Error(), "does not follow") {
		t.Errorf("with another statement: %v", err)
	}
}
