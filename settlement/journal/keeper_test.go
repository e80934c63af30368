package journal_test

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"wattbook/domain"
	"wattbook/domain/wire"
	"wattbook/projections"
	"wattbook/projections/facts"
	"wattbook/settlement/journal"
)

// TestKeptBooksAreTheDerivedBooks follows a log in steps, and wants the books
// that are derived from it in one go.
func TestKeptBooksAreTheDerivedBooks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := history(t)
		want, err := journal.Build(t.Context(), p.Log, "s", nil)
		if err != nil {
			t.Fatal(err)
		}
		k, f := journal.NewKeeper("s"), facts.New()
		var entries, pending []journal.Entry
		changed := domain.Instant(1 << 62)
		for r, err := range p.Log.ReadAll(t.Context(), 0) {
			if err != nil {
				t.Fatal(err)
			}
			rec, err := wire.Open(r)
			if err != nil {
				t.Fatal(err)
			}
			k.Tell(rec)
			changed = min(changed, changedBy(rec.Event))
			if err := f.Apply(rec); err != nil {
				t.Fatal(err)
			}
			if c, ok := rec.Event.(domain.PeriodClosed); ok {
				then := facts.New()
				if _, err := projections.Fold(t.Context(), p.Log, 0, c.AsOf, then); err != nil {
					t.Fatal(err)
				}
				if err := k.Draw(rec.Position, c, then); err != nil {
					t.Fatal(err)
				}
			}
			if rec.Position+1 == want.AsOf || rapid.IntRange(0, 5).Draw(t, "stop") == 0 {
				k.Forget(changed)
				changed = 1 << 62
				var more []journal.Entry
				if more, pending, err = k.Entries(f); err != nil {
					t.Fatal(err)
				}
				entries = append(entries, more...)
			}
		}
		got := slices.Concat(entries, pending)
		slices.SortStableFunc(got, func(x, y journal.Entry) int {
			return cmp.Or(strings.Compare(x.Date, y.Date), cmp.Compare(x.Position, y.Position))
		})
		if diff := gocmp.Diff(want.Entries, got, gocmp.Comparer(domain.Decimal.Equal)); diff != "" {
			t.Fatalf("the books that were kept differ (-derived +kept):\n%s", diff)
		}
	})
}

// changedBy returns since when what accrues may be another by an event.
func changedBy(e domain.Event) domain.Instant {
	switch e := e.(type) {
	case domain.ReadingsRecorded:
		first := e.Readings[0].Interval.Start
		for _, r := range e.Readings {
			first = min(first, r.Interval.Start)
		}
		return first
	case domain.PowerPriced:
		return e.Series.Start
	case domain.ContractSigned:
		return e.Start
	case domain.PoolStatementReceived:
		return e.Interval.Start
	case domain.InvoiceIssued, domain.NoteIssued, domain.InvoiceVoided, domain.PeriodClosed, domain.PaymentReceived, domain.ServiceCreditClaimed, domain.PayoutReconciled:
		return 1 << 62
	}
	return -1 << 62
}

func TestBooksThatAreNotAtTheHeadAreRefused(t *testing.T) {
	f := facts.New()
	f.Skip(3)
	if _, _, err := journal.NewKeeper("s").Entries(f); err == nil || !strings.Contains(err.Error(), "the facts are at position 3") {
		t.Fatalf("%v, want an error that says where the facts are", err)
	}
}
