package warehouse_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/wire"
	"wattbook/projections"
	"wattbook/projections/facts"
	"wattbook/projections/receivables"
	"wattbook/queries/sql"
	"wattbook/queries/warehouse"
)

// issue records an event beside the script.
func (s *site) issue(e domain.Event, about string) {
	s.Helper()
	draft, err := wire.Draft(domain.EventIDOf("test", about), e, nil)
	if err != nil {
		s.Fatal(err)
	}
	if _, err := s.player.Log.Append(s.Context(), eventlog.Write{Stream: "invoice-CB.2026", Expect: eventlog.Any, Events: []eventlog.Draft{draft}}); err != nil {
		s.Fatal(err)
	}
}

// invoiced returns an invoice of an amount in cents, and of 10 % tax on it.
func invoiced(number string, cents int64) domain.Invoice {
	period := domain.Period{Year: 2026, Month: time.October}
	zone, err := time.LoadLocation("America/Chicago")
	if err != nil {
		panic(err)
	}
	iv := period.In(zone)
	usd := func(n int64) domain.Money { return domain.Money{Minor: n, Currency: "USD"} }
	return domain.Invoice{
		Number: number, Site: "cedar", Contract: "aurora", Version: 1, Buyer: domain.Party{ID: "aurora", Name: "Aurora Labs"}, Period: period, Interval: iv,
		Zone: "America/Chicago", AsOf: 3, Issued: iv.End.Add(26 * domain.Hour), Due: iv.End.Add(26*domain.Hour + 30*domain.Day),
		Lines: []domain.InvoiceLine{{
			Line: 1, Charge: "reserved", Kind: domain.ChargeReservedGPUs, Interval: iv, Quantity: domain.MustDecimal("1"), Unit: "GPU-month", Amount: usd(cents),
		}},
		Subtotal: usd(cents), Tax: domain.Tax{Name: "tax", Rate: domain.MustDecimal("0.1")}, TaxDue: usd(cents / 10), Total: usd(cents + cents/10),
	}
}

func TestWhatIsOwedIsInvoicesAndNotesLessPayments(t *testing.T) {
	s := newSite(t, nil)
	s.readDay("2026-10-14")
	for i := range 4 {
		inv := invoiced(fmt.Sprintf("CB-2026-00000%d", i+1), 100_000)
		s.issue(domain.InvoiceIssued{Invoice: inv}, inv.Number)
	}
	s.issue(domain.NoteIssued{Note: domain.Note{Invoice: invoiced("CB-2026-000005", -20_000), Kind: domain.CreditNote, Corrects: "CB-2026-000002", Causes: []string{"a late reading"}}}, "note")
	s.issue(domain.InvoiceVoided{Invoice: "CB-2026-000004", Contract: "aurora", Period: domain.Period{Year: 2026, Month: time.October}, At: domain.Unix(1_793_600_000), Reason: "sent in error"}, "void")
	s.play("now 2026-12-20T00:00\npay aurora CB-2026-000001 600 2026-12-05\npay aurora CB-2026-000003 1100 2026-12-06\npay aurora CB-2026-000002 880 2026-12-06 ref=cheque\nbounce aurora CB-2026-000002 cheque 880 2026-12-08\nprepay aurora 1000 2026-12-07\nbill 2026-10@America/Chicago 244000.10 reference=b1\nbill 2026-10@America/Chicago 1 reference=b1\nbill 2026-10@America/Chicago 243000 corrects reference=b1")
	s.publish()
	for _, c := range []struct{ ask, want string }{
		{"SELECT string_agg(number || ' ' || open_amount || ' ' || bucket, ', ' ORDER BY number) FROM receivables_ageing", "CB-2026-000001 500.000 1-30 days, CB-2026-000002 880.000 1-30 days, CB-2026-000003 0.000 settled, CB-2026-000004 0.000 settled"},
		{"SELECT issued_day, due_day, days_overdue, notes, paid, voided FROM receivables_ageing WHERE number = 'CB-2026-000002'", "2026-11-02|2026-12-02|18|-220.000|0.000|false"},
		{"SELECT number, kind, corrects, total, causes FROM credit_notes", "CB-2026-000005|credit|CB-2026-000002|-220.000|[a late reading]"},
		{"SELECT number, quantity, amount FROM credit_note_lines", "CB-2026-000005|1.0000000000|-200.000"},
		{"SELECT kind, number, amount FROM payments ORDER BY position DESC LIMIT 1", "prepayment|<nil>|1000.000"},
		{"SELECT kind, number, amount, reference FROM payments WHERE kind = 'reversal'", "reversal|CB-2026-000002|-880.000|cheque"},
		{"SELECT number, reason FROM voided_invoices", "CB-2026-000004|sent in error"},
		{"SELECT string_agg(amount, ' ' ORDER BY position, amount), any_value(start_utc), sum(amount) FROM utility_bills", "244000.100 -244000.100 243000.000|2026-10-01 05:00:00|243000.000"},
		{"SELECT bool_and(total = cost) FROM invoices i JOIN (SELECT InvoiceId, sum(BilledCost) AS cost FROM focus_cost_and_usage GROUP BY 1) f ON f.InvoiceId = i.number", "true"},
	} {
		if got := ask(t, s.dir, c.ask); len(got) == 0 || got[0] != c.want {
			t.Errorf("%s\n got %q\nwant %q", c.ask, got, c.want)
		}
	}
	for _, q := range sql.Questions() {
		if q.Name != "late-data-effect" {
			continue
		}
		got := ask(t, s.dir, fmt.Sprintf("SELECT number, issued, notes, effect = now - issued - notes FROM query(%s)", "'"+strings.ReplaceAll(strings.ReplaceAll(strings.TrimSuffix(q.Statement, ";\n"), "getvariable('month')", "'2026-10'"), "'", "''")+"'"))
		if want := []string{"CB-2026-000001|1000.000|0.000|true", "CB-2026-000002|1000.000|-200.000|true", "CB-2026-000003|1000.000|0.000|true"}; !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q: a voided invoice is left out, and a note counts", q.Name, got, want)
		}
	}
}

// On each day, the macro says of each invoice what the Go code says of it.
func TestWhatWasOwedOnADayIsTheSameInSQLAndInGo(t *testing.T) {
	s := newSite(t, nil)
	s.readDay("2026-10-14")
	for i := range 4 {
		inv := invoiced(fmt.Sprintf("CB-2026-00000%d", i+1), 100_000)
		if i == 1 || i == 2 {
			inv.Prepaid = domain.Money{Minor: 30_000, Currency: "USD"}
		}
		s.issue(domain.InvoiceIssued{Invoice: inv}, inv.Number)
	}
	note := domain.Note{Invoice: invoiced("CB-2026-000005", -20_000), Kind: domain.CreditNote, Corrects: "CB-2026-000002", Causes: []string{"a late reading"}}
	note.Issued = note.Issued.Add(20 * domain.Day)
	note.Prepaid = domain.Money{Minor: -5_000, Currency: "USD"}
	s.issue(domain.NoteIssued{Note: note}, "note")
	s.play("now 2026-12-20T00:00\npay aurora CB-2026-000001 600 2026-11-26\npay aurora CB-2026-000003 800 2026-12-06\npay aurora CB-2026-000004 100 2026-12-01\npay aurora CB-2026-000002 880 2026-12-06 ref=cheque\nbounce aurora CB-2026-000002 cheque 880 2026-12-08")
	s.issue(domain.InvoiceVoided{Invoice: "CB-2026-000004", Contract: "aurora", Period: domain.Period{Year: 2026, Month: time.October}, At: domain.Unix(1_796_850_000), Reason: "sent in error"}, "void")
	s.publish()
	f := facts.New()
	if _, err := projections.Fold(t.Context(), s.player.Log, 0, domain.Position(1<<40), f); err != nil {
		t.Fatal(err)
	}
	states := map[string]bool{}
	for day := receivables.DayOf(domain.Unix(1_793_500_000), time.UTC); day < receivables.DayOf(domain.Unix(1_803_000_000), time.UTC); day++ {
		want := []string{}
		for _, st := range receivables.On(f, "cedar", day) {
			bucket := "settled"
			if st.Open.Minor > 0 {
				bucket = string(receivables.AgeOn(f, st.Invoice, day))
			}
			want = append(want, fmt.Sprintf("%s|%s|%s|%t|%s|%s", st.Invoice.Number, st.Paid.Decimal().Fixed(3), st.Open.Decimal().Fixed(3), st.State == receivables.Voided, day, bucket))
			states[string(st.State)+" "+bucket] = true
		}
		got := ask(t, s.dir, fmt.Sprintf("SELECT number, paid, open_amount, voided, looked_at, bucket FROM receivables_on(DATE '%s') ORDER BY number", day))
		if !slices.Equal(got, want) {
			t.Fatalf("on %s\n in SQL %q\n  in Go %q", day, got, want)
		}
	}
	if want := 8; len(states) < want {
		t.Errorf("%d states were seen, want %d at least: %v", len(states), want, states)
	}
	if got, want := ask(t, s.dir, "SELECT open_amount FROM receivables_on(DATE '2026-11-25') WHERE number = 'CB-2026-000001'"), "1100.000"; got[0] != want {
		t.Errorf("%s is open on the day before the payment, want %s", got, want)
	}
	now := "SELECT number, paid, voided, open_amount, bucket FROM %s ORDER BY number"
	if got, want := ask(t, s.dir, fmt.Sprintf(now, "receivables_on(NULL)")), ask(t, s.dir, fmt.Sprintf(now, "receivables_ageing")); !slices.Equal(got, want) {
		t.Errorf("without a day\n got %q\nwant %q", got, want)
	}
}

func TestEveryTableHasAMacroOfAnEarlierPosition(t *testing.T) {
	s := newSite(t, nil)
	s.readDay("2026-10-14")
	s.publish()
	names := ask(t, s.dir, "SELECT name FROM (SELECT table_name AS name FROM duckdb_tables() WHERE schema_name = 'main' UNION ALL SELECT view_name FROM duckdb_views() WHERE NOT internal AND schema_name = 'main') WHERE name NOT IN ('published', 'readings_live') ORDER BY name")
	told := 0
	for _, name := range names {
		_, err := try(s.dir, "SELECT count(*) FROM "+name+"_at(1000)")
		switch {
		case err == nil:
			told++
		case !strings.Contains(err.Error(), `wattbook sql --at POSITION "FROM `+name+`"`):
			t.Errorf("%s_at: %v", name, err)
		}
	}
	if told < 25 {
		t.Errorf("%d of %d tables are told by a macro, want 25 at least", told, len(names))
	}
	if rows := ask(t, s.dir, "SELECT function_name FROM duckdb_functions() WHERE NOT internal AND comment IS NULL"); len(rows) > 0 {
		t.Errorf("macros without a comment: %q", rows)
	}
	s.play("start job-9 aurora 16 2026-10-16T08:00\nend job-9 2026-10-16T09:00")
	s.publish()
	got := ask(t, s.dir, "SELECT a.end_utc IS NULL, a.end_position IS NULL, n.end_utc IS NULL FROM allocations n, allocations_at(n.end_position) a WHERE a.allocation = 'job-9' AND n.allocation = 'job-9'")
	if !slices.Equal(got, []string{"true|true|false"}) {
		t.Errorf("an allocation before its end was known: %q", got)
	}
}

func TestAWarehouseOfAnotherVersionSaysWhatToDo(t *testing.T) {
	s := newSite(t, nil)
	s.publish()
	if _, err := try(s.dir, "FROM nowhere"); err == nil || strings.Contains(err.Error(), "rebuild") {
		t.Errorf("%v, want an error without advice: the warehouse is of this version", err)
	}
	if err := warehouse.Alter(t.Context(), s.dir, "UPDATE published SET schema_version = 'older'"); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{"FROM nowhere", "SELECT nothing FROM sites"} {
		if _, err := try(s.dir, statement); err == nil || !strings.Contains(err.Error(), "its schema is version older") || !strings.Contains(err.Error(), "wattbook warehouse rebuild") {
			t.Errorf("%s: %v, want what to do", statement, err)
		}
	}
	if rows, err := try(s.dir, "SELECT schema_version FROM published"); err != nil || rows[0] != "older" {
		t.Errorf("%q, %v; what is there is still to be read", rows, err)
	}
}
