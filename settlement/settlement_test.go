package settlement_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/wire"
	"wattbook/projections"
	"wattbook/projections/facts"
	"wattbook/projections/logscript"
	"wattbook/projections/receivables"
	"wattbook/settlement"
	"wattbook/settlement/pools"
	"wattbook/settlement/rating"
)

var rewrite = flag.Bool("rewrite", false, "write the answers that are given into the scripts")

func TestSettle(t *testing.T) { logscript.Run(t, "testdata/settle.txt", *rewrite, answer) }

func TestNotes(t *testing.T) { logscript.Run(t, "testdata/notes.txt", *rewrite, answer) }

func TestReconcile(t *testing.T) { logscript.Run(t, "testdata/reconcile.txt", *rewrite, answer) }

// render makes the documents of an invoice.
func render(inv domain.Invoice) ([]settlement.Document, error) {
	b, err := json.Marshal(inv)
	return []settlement.Document{{Name: inv.Number + ".json", Content: b}}, err
}

// settler starts a run as a new process does: it knows nothing yet.
func settler(log eventlog.Log, now domain.Instant) *settlement.Settler {
	return &settlement.Settler{Log: log, Facts: facts.New(), Now: func() domain.Instant { return now }, Render: render, RenderNote: renderNote}
}

func renderNote(n domain.Note) ([]settlement.Document, error) {
	b, err := json.Marshal(n)
	return []settlement.Document{{Name: n.Number + ".json", Content: b}}, err
}

// answer closes, issues or reconciles, each in a new run, and shows what came
// of it; or it shows the conclusions in the log.
func answer(p *logscript.Player, question []string) (string, error) {
	f, err := p.Facts() // the last contract is signed
	if err != nil {
		return "", err
	}
	s, ctx := settler(p.Log, p.Now()), context.Background()
	switch question[0] {
	case "close":
		period, err := domain.ParsePeriod(question[1])
		if err != nil {
			return "", err
		}
		s.Partial = len(question) > 2 && question[2] == "partial"
		c, err := s.Close(ctx, p.Site(), period)
		if err != nil {
			return "", told(err)
		}
		return fmt.Sprintf("%s: %d metered, %d estimated, %d missing, known up to %d", c.Interval, c.Metered, c.Estimated, c.Missing, c.AsOf), nil
	case "issue":
		period, err := domain.ParsePeriod(question[1])
		if err != nil {
			return "", err
		}
		var only []domain.ContractID
		for _, id := range question[2:] {
			only = append(only, domain.ContractID(id))
		}
		issued, err := s.Issue(ctx, p.Site(), period, only...)
		return invoices(issued), told(err)
	case "correct":
		period, err := domain.ParsePeriod(question[1])
		if err != nil {
			return "", err
		}
		all, err := s.Correct(ctx, p.Site(), period)
		return notes(all), told(err)
	case "void":
		v, err := s.Void(ctx, question[1], strings.Join(question[2:], " "))
		return fmt.Sprintf("%s of %s for %s: %s", v.Invoice, v.Contract, v.Period, v.Reason), err
	case "standing":
		return standings(f, p), nil
	case "reconcile":
		iv, err := p.Interval(question[1])
		if err != nil {
			return "", err
		}
		site, _ := f.Site(p.Site())
		all, err := s.Reconcile(ctx, pools.Account{Site: p.Site(), Terms: site.Pool}, iv)
		return reconciled(all, err), nil
	}
	return conclusions(p.Log)
}

// told marks an error that a later run may not meet.
func told(err error) error {
	if errors.Is(err, settlement.ErrIncomplete) || errors.Is(err, settlement.ErrNotClosed) {
		return fmt.Errorf("(not yet) %w", err)
	}
	return err
}

func invoices(all []settlement.Issued) string {
	if len(all) == 0 {
		return "nothing"
	}
	var rows []string
	for _, i := range all {
		what := "now"
		if i.Before {
			what = "before"
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\tdue %s\tissued %s, %s", i.Invoice.Number, i.Invoice.Contract, i.Invoice.Total, day(i.Invoice.Due), day(i.Invoice.Issued), what))
	}
	return logscript.Table(rows...)
}

func notes(all []settlement.IssuedNote) string {
	if len(all) == 0 {
		return "nothing"
	}
	var b strings.Builder
	for _, n := range all {
		fmt.Fprintf(&b, "%s, a %s note for %s: %s, tax %s, total %s\n", n.Note.Number, n.Note.Kind, n.Note.Corrects, n.Note.Subtotal, n.Note.TaxDue, n.Note.Total)
		for _, l := range n.Note.Lines {
			price := ""
			if l.UnitPrice != nil {
				price = " x " + l.UnitPrice.String()
			}
			fmt.Fprintf(&b, "  %d %s: %s %s%s = %s", l.Line, l.Description, l.Quantity, l.Unit, price, l.Amount.Amount())
			if !l.Tax.IsZero() {
				fmt.Fprintf(&b, ", under %s %s", l.Tax.Kind(), l.Tax.Rate)
			}
			b.WriteString("\n")
		}
		for _, t := range n.Note.Taxes {
			fmt.Fprintf(&b, "  tax %s %s on %s = %s\n", t.Tax.Kind(), t.Tax.Rate, t.Base, t.Due)
		}
		if !n.Note.Prepaid.IsZero() {
			fmt.Fprintf(&b, "  prepaid %s\n", n.Note.Prepaid)
		}
		for _, c := range n.Note.Causes {
			fmt.Fprintf(&b, "  since %s\n", c)
		}
	}
	return b.String()
}

// standings says what is owed.
func standings(f *facts.Facts, p *logscript.Player) string {
	var rows []string
	for _, s := range receivables.All(f, p.Site()) {
		late := ""
		if s.Overdue(p.Now()) {
			late = "overdue, " + string(receivables.AgeOn(f, s.Invoice, receivables.DayOf(p.Now(), time.UTC)))
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\ttotal %s\tnotes %s\tpaid %s\topen %s\t%s", s.Invoice.Number, s.State, s.Invoice.Total.Amount(), s.Notes.Amount(), s.Paid.Amount(), s.Open.Amount(), late))
	}
	return logscript.Table(rows...)
}

func reconciled(all []domain.PayoutReconciled, err error) string {
	var rows []string
	for _, r := range all {
		rows = append(rows, fmt.Sprintf("%s\texpected %d\treceived %d\tknown up to %d\t%s", day(r.Interval.Start), r.Expected, r.Received, r.AsOf, r.Finding))
	}
	if err != nil {
		rows = append(rows, "error: "+told(err).Error())
	}
	return logscript.Table(rows...)
}

func day(t domain.Instant) string { return t.Time().Format(time.DateOnly) }

// conclusions lists the events of settlement, by stream.
func conclusions(log eventlog.Log) (string, error) {
	var rows []string
	for r, err := range log.ReadAll(context.Background(), 0) {
		if err != nil {
			return "", err
		}
		rec, err := wire.Open(r)
		if err != nil {
			return "", err
		}
		what := ""
		switch e := rec.Event.(type) {
		case domain.PeriodClosed:
			what = e.Period.String()
		case domain.InvoiceIssued:
			what = e.Invoice.Number + " of " + string(e.Invoice.Contract)
		case domain.PayoutReconciled:
			what = fmt.Sprintf("%s, received %d", day(e.Interval.Start), e.Received)
		default:
			continue
		}
		rows = append(rows, fmt.Sprintf("%s\t%d\t%s", r.Stream, r.Revision, what))
	}
	slices.SortStableFunc(rows, func(a, b string) int {
		return strings.Compare(a[:strings.IndexByte(a, '\t')], b[:strings.IndexByte(b, '\t')])
	})
	return logscript.Table(rows...), nil
}

// october is the month that is settled here.
var october = domain.Period{Year: 2026, Month: time.October}

// account is the pool account of site s, and miningDays its days.
var (
	account    = pools.Account{Site: "s", Terms: domain.PoolTerms{Pool: "foundry", Account: "acct", Scheme: "fpps", Fee: domain.MustDecimal("0.02")}}
	miningDays = domain.Interval{Start: domain.At(time.Date(2026, 10, 14, 0, 0, 0, 0, time.UTC)), End: domain.At(time.Date(2026, 10, 18, 0, 0, 0, 0, time.UTC))}
)

// book returns a log with all of October 2026 at a site, in metering intervals
// of a day, and contracts of one series.
func book(t testing.TB, contracts int) *logscript.Player {
	t.Helper()
	p := logscript.New()
	lines := []string{
		"site s step=24h zone=UTC pool=foundry/acct fee=0.02", "meter revenue", "miner m1 under=revenue",
		"read revenue 2026-10@UTC 100kWh every=24h", "read m1 2026-10@UTC 0.024shares every=24h",
		"difficulty 969696 2026-09-30 1d00ffff", "fees 2026-09-30 100 100000000",
		"statement foundry/acct 2026-10-14 subsidy=7500000 fees=24000 fee=150480 net=7373520", "payout foundry/acct 2026-10-15T06:00 7373520",
		"now 2026-11-02T09:00",
	}
	for n := range contracts {
		lines = append(lines, fmt.Sprintf("contract c%02d", n+1), fmt.Sprintf("charge space reserved-power 1 x %d", 100+n))
	}
	if err := p.Play(lines...); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Facts(); err != nil { // the last contract is signed
		t.Fatal(err)
	}
	return p
}

// settle closes October, issues its invoices and reconciles its mining days.
func settle(ctx context.Context, s *settlement.Settler) ([]settlement.Issued, error) {
	if _, err := s.Close(ctx, "s", october); err != nil {
		return nil, err
	}
	issued, err := s.Issue(ctx, "s", october)
	if err != nil {
		return issued, err
	}
	_, err = s.Reconcile(ctx, account, miningDays)
	return issued, err
}

// failer is a *testing.T or a *rapid.T.
type failer interface {
	Context() context.Context
	Fatalf(format string, args ...any)
}

// check reads a log as somebody who trusts nobody: invoices are numbered in
// their series without a gap, no contract has two for a month and no month is
// closed twice, nothing is reconciled again that has not changed, and every
// conclusion comes out again from what was known at its position. It returns
// how many closings, invoices and reconciliations there are.
func check(t failer, log eventlog.Log) (counts [3]int) {
	closed, billed, days := map[string]bool{}, map[string]bool{}, map[string]domain.Reconciliation{}
	for r, err := range log.ReadAll(t.Context(), 0) {
		if err != nil {
			t.Fatalf("read: %v", err)
		}
		rec, err := wire.Open(r)
		if err != nil {
			t.Fatalf("open: %v", err)
		}
		switch e := rec.Event.(type) {
		case domain.PeriodClosed:
			counts[0]++
			k := fmt.Sprint(e.Site, e.Period)
			if closed[k] {
				t.Fatalf("%s is closed twice", k)
			}
			closed[k] = true
			if again, _, err := settlement.Closing(at(t, log, e.AsOf), e.Site, e.Period); err != nil || again != e {
				t.Fatalf("closing: got %+v, %v; on record is %+v", again, err, e)
			}
		case domain.InvoiceIssued:
			counts[1]++
			k := fmt.Sprint(e.Invoice.Contract, e.Invoice.Period)
			if billed[k] {
				t.Fatalf("%s is billed twice", k)
			}
			billed[k] = true
			checkInvoice(t, log, r, e)
		case domain.PayoutReconciled:
			counts[2]++
			k := fmt.Sprint(e.Pool, e.Account, e.Interval)
			if before, ok := days[k]; ok && settlement.Same(before, e.Reconciliation) {
				t.Fatalf("%s is reconciled again, though nothing has changed", k)
			}
			days[k] = e.Reconciliation
			again, _ := pools.Draw(at(t, log, e.AsOf), account, e.Interval)
			if len(again) != 1 || e.Site != account.Site || !settlement.Same(again[0], e.Reconciliation) {
				t.Fatalf("reconciliation: got %+v; on record is %+v", again, e)
			}
		}
	}
	return counts
}

func checkInvoice(t failer, log eventlog.Log, r eventlog.Record, e domain.InvoiceIssued) {
	series, year, _ := strings.Cut(strings.TrimPrefix(string(r.Stream), "invoice-"), ".")
	if want := fmt.Sprintf("%s-%s-%06d", series, year, r.Revision+1); e.Invoice.Number != want {
		t.Fatalf("invoice %s is number %s of its series", e.Invoice.Number, want)
	}
	again, err := rating.Draft(at(t, log, e.Invoice.AsOf), e.Invoice.Contract, e.Invoice.Period)
	if err != nil {
		t.Fatalf("rate again: %v", err)
	}
	again.Number, again.Issued, again.Due = e.Invoice.Number, e.Invoice.Issued, e.Invoice.Due
	if diff := cmp.Diff(e.Invoice, again); diff != "" {
		t.Fatalf("invoice %s comes out otherwise (-on record +again):\n%s", e.Invoice.Number, diff)
	}
	documents, err := render(e.Invoice)
	if err != nil || !slices.Equal(settlement.Digests(documents), e.Documents) {
		t.Fatalf("the documents of invoice %s have other digests: %v", e.Invoice.Number, err)
	}
}

// at returns what was known at a position.
func at(t failer, log eventlog.Log, position domain.Position) *facts.Facts {
	f := facts.New()
	if _, err := projections.Fold(t.Context(), log, 0, position, f); err != nil {
		t.Fatalf("fold up to %d: %v", position, err)
	}
	return f
}

func TestGapsAreRunsOfOneMeter(t *testing.T) {
	p := logscript.New()
	if err := p.Play("site s step=24h", "meter m1", "meter m2 under=m1 use=ai",
		"read m1 2026-10-01..2026-10-03 1kWh every=24h", "read m1 2026-10-04..2026-11-01 1kWh every=24h", // not the 3rd
		"read m2 2026-10-01..2026-10-04 1kWh every=24h", "read m2 2026-10-06..2026-11-01 1kWh every=24h"); err != nil { // nor 4th and 5th
		t.Fatal(err)
	}
	f, err := p.Facts()
	if err != nil {
		t.Fatal(err)
	}
	c, gaps, err := settlement.Closing(f, "s", october)
	if err != nil {
		t.Fatal(err)
	}
	want := "[m1 [2026-10-03T00:00:00Z, 2026-10-04T00:00:00Z) m2 [2026-10-04T00:00:00Z, 2026-10-06T00:00:00Z)]"
	if got := fmt.Sprint(gaps); got != want || c.Missing != 3 || c.Metered != 59 {
		t.Errorf("got %s, %d missing and %d metered; want %s, 3 and 59", got, c.Missing, c.Metered, want)
	}
}

func TestReconciliationsAreTheSameIfAllThatTheySayIs(t *testing.T) {
	base := domain.Reconciliation{
		Shares: domain.ShareDifficulty{Int128: domain.Int(5)}, Expected: 100, Stated: 90, Received: 80, Finding: "late",
		Lines: []domain.BridgeLine{{Cause: domain.CauseUncredited, Satoshi: 10}, {Cause: domain.CauseUnpaid, Satoshi: 10}},
	}
	if !settlement.Same(base, base) {
		t.Error("it differs from itself")
	}
	for name, change := range map[string]func(*domain.Reconciliation){
		"work": func(r *domain.Reconciliation) { r.Shares.Int128 = domain.Int(6) }, "expected": func(r *domain.Reconciliation) { r.Expected++ },
		"stated": func(r *domain.Reconciliation) { r.Stated++ }, "received": func(r *domain.Reconciliation) { r.Received++ },
		"finding": func(r *domain.Reconciliation) { r.Finding = "" }, "a line less": func(r *domain.Reconciliation) { r.Lines = r.Lines[:1] },
		"a line's amount": func(r *domain.Reconciliation) { r.Lines[1].Satoshi++ }, "a line's cause": func(r *domain.Reconciliation) { r.Lines[1].Cause = domain.CauseRounding },
	} {
		other := base
		other.Lines = slices.Clone(base.Lines)
		if change(&other); settlement.Same(base, other) || settlement.Same(other, base) {
			t.Errorf("%s makes no difference", name)
		}
	}
}
