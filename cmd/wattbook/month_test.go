package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"wattbook/domain"
	"wattbook/queries/sql"
	"wattbook/queries/warehouse"
	"wattbook/settlement/audit"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestTheMonth plays the month at the sample site once and looks at it from
// all sides, as its users would.
func TestTheMonth(t *testing.T) {
	if testing.Short() {
		t.Skip("TestTheMonth: -short")
	}
	m := month{filepath.Join(t.TempDir(), "october")}
	played := wattbook(t, "demo", "--data", m.data, "--seed", "1")
	if played.code != exitOK {
		t.Fatalf("demo: exit %d\n%s", played.code, played.errors)
	}
	t.Run("the closing screen says what happened", func(t *testing.T) { m.screen(t, played) })
	t.Run("replay derives every conclusion again, twice the same", m.replay)
	t.Run("every misbehaviour is found, named and booked", m.mishaps)
	t.Run("the energy of every interval adds up", m.balance)
	t.Run("invoices add up, and SQL gives their totals again", m.invoices)
	t.Run("every satoshi of the pool's difference has a name", m.pool)
	t.Run("the questions of the catalogue have their answers", m.questions)
	t.Run("a decision is explained from the record", m.explain)
	t.Run("issuing and reconciling again records nothing twice", m.again)
	t.Run("every way leads to the same amount, and the books are accepted", m.money)
	t.Run("a folder that holds a book is not overwritten", m.kept)
	t.Run("the log tells what it holds", m.log)
	t.Run("whoever has the key checks invoices and events without the log", m.proofs)
	t.Run("a copy is the same book, and a rewritten one is found out", m.copies)
	t.Run("on a cluster the log says the same, and comes back the same", m.clustered)
	t.Run("a file is imported once, and a contradiction is a finding", m.imports)
	t.Run("a witness confirms that the log has only grown", m.witnessed)
}

type month struct{ data string }

// ask returns the rows of a query, cells separated by bars.
func (m month) ask(t *testing.T, statement string) []string {
	t.Helper()
	c, err := warehouse.OpenClient(t.Context(), folder(m.data).warehouse(), warehouse.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	err = c.Query(t.Context(), statement, func([]warehouse.Column) error { return nil }, func(row []any) error {
		cells := make([]string, len(row))
		for i, v := range row {
			cells[i] = cellText(v, "NULL")
		}
		rows = append(rows, strings.Join(cells, "|"))
		return nil
	})
	if err := errors.Join(err, c.Close()); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return rows
}

func (m month) screen(t *testing.T, played result) {
	for _, want := range []string{
		"Cedar Bend, 2026-10 (seed 1)", "METERED", "MINED", "SERVED", "CURTAILED", "MARGIN (USD)", "INVOICES", "CB-2026-000001", "CB-2026-000003",
		"foundry/cedarbend, FPPS, 31 days", "ocean/cedar-bend, TIDES, 31 days", " sigma)", "unpaid balance", "without tax they come to", "work not credited", "WHAT WENT WRONG", "FILES in " + m.data, "TRY NEXT",
	} {
		if !strings.Contains(played.out, want) {
			t.Errorf("the closing screen lacks %q", want)
		}
	}
	if rows := m.ask(t, "SELECT reading_rows >= 500000, reading_rows = (SELECT count(*) FROM readings), reading_checksum = (SELECT sum(value) FROM readings) FROM published"); rows[0] != "true|true|true" {
		t.Errorf("readings: %q", rows)
	}
	// Whatever the site plays is in the list.
	_, wrong, _ := strings.Cut(played.out, "WHAT WENT WRONG")
	for _, want := range []string{
		`5 Oct .* glitch +c1 `, `6 Oct .* silent +c2 `, `9 Oct .* corrected +c2 `, `rollover +revenue `, `11 Oct .* reset +c1-r05 `, `13 Oct .* glitch +c3 `,
		`15 Oct .* rejected .*c4-r07`, `restated .* 3 prices`, `16 Oct .* reversed .*that ocean had paid`, `19 Oct .* pool +foundry .*does not credit 7.4 %`, `27 Oct .* pool +ocean .*less work than the miners count`, `late +aux `, `21 Oct .* replaced +c4 `,
		`23 Oct .* silent +gpu-n3-5 `, `25 Oct .* rejected .*earnings`,
	} {
		if !regexp.MustCompile(want).MatchString(wrong) {
			t.Errorf("what went wrong lacks %q:\n%s", want, wrong)
		}
	}
	// Progress is lines where there is no terminal.
	if !strings.Contains(played.errors, "playing 2026-10: ") || strings.Contains(played.errors, "\r") {
		t.Errorf("progress: %.200q", played.errors)
	}
}

func (m month) replay(t *testing.T) {
	first := wattbook(t, "replay", "--data", m.data, "--json")
	if first.code != exitOK {
		t.Fatalf("replay: exit %d\n%s%s", first.code, first.out, first.errors)
	}
	var report audit.Report
	if err := json.Unmarshal([]byte(first.out), &report); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, k := range report.Kinds {
		if k.Checked == 0 && k.Name != "estimates" || k.Different != 0 { // the month needs no estimates
			t.Errorf("%s: %d checked, %d different", k.Name, k.Checked, k.Different)
		}
		fmt.Fprintf(&b, "%-16s %6d  %s\n", k.Name, k.Checked, k.Digest)
	}
	// The same seed gives the same conclusions, on any machine.
	golden := filepath.Join("testdata", "october-seed-1.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the month of seed 1 comes to other digests (go test ./cmd/wattbook -run TheMonth -update rewrites them):\ngot:\n%swant:\n%s", b.String(), want)
	}
	again := wattbook(t, "replay", "--data", m.data)
	if again.code != exitOK || !strings.Contains(again.out, report.Digest.String()) || !strings.Contains(again.out, "All of them come out as they are on record.") {
		t.Errorf("the second replay: exit %d\n%s", again.code, again.out)
	}
}

// mishaps states in words what the site does wrong, and how it must be found.
func (m month) mishaps(t *testing.T) {
	for _, c := range []struct{ words, ask, want string }{
		{
			"the revenue meter's register wraps twice at this load: its rise through the wrap is booked",
			"SELECT count(*), max(value) < 1200000000 FROM data_gaps WHERE kind = 'rollover' AND device = 'revenue' AND value > 0", "2|true",
		},
		{
			"a rack restarts its mining program: what it counts since is booked, and nothing is negative",
			"SELECT count(*), min(value) >= 0 FROM data_gaps WHERE kind = 'reset' AND device = 'c1-r05'", "2|true",
		},
		{
			"a poll returns another register's bytes: it is not believed, and the next reading books both intervals once",
			"SELECT string_agg(kind, ',' ORDER BY position) FROM data_gaps WHERE device = 'c1' AND start_utc BETWEEN '2026-10-05 09:00:00' AND '2026-10-05 10:00:00'", "glitch,gap",
		},
		{
			"a register reads 0 for one poll: nothing is booked for it, and nothing twice",
			"SELECT string_agg(kind, ',' ORDER BY position) FROM data_gaps WHERE device = 'c3'", "glitch,gap",
		},
		{
			"a meter is silent for hours: silent at every poll, spread evenly, then corrected by its own log",
			"SELECT string_agg(kind || ' ' || n, ',' ORDER BY first) FROM (SELECT kind, count(*) AS n, min(position) AS first FROM data_gaps WHERE device = 'c2' AND channel = 'energy.import' GROUP BY kind)", "silent 32,gap 1,corrected 33",
		},
		{
			"no interval of the silent meter is estimated any more when the month is billed",
			"SELECT count(*) FROM intervals WHERE state <> 'metered' AND start_utc BETWEEN '2026-10-06 02:00:00' AND '2026-10-06 05:00:00'", "0",
		},
		{
			"a file of readings comes two days late: its readings are late, in the intervals that they are about",
			"SELECT sum(readings), min(start_utc), max(end_utc) FROM data_gaps WHERE kind = 'late' AND device = 'aux'", "288|2026-10-17 00:00:00|2026-10-18 00:00:00",
		},
		{
			"the market restates prices: the later ones count, the first ones stay on record",
			"SELECT count(*), count(DISTINCT price_per_megawatt_hour) FROM power_price_history WHERE start_utc = '2026-10-18 19:00:00'", "2|2",
		},
		{
			"the restatement is found",
			"SELECT count(*) > 0 FROM data_gaps WHERE kind = 'restated'", "true",
		},
		{
			"the pool credits too little for a day: the day says how much, and other days do not",
			"SELECT string_agg(strftime(start_utc, '%d') || ' ' || finding, ',') FROM pool_days WHERE pool = 'foundry' AND finding IS NOT NULL AND start_utc < '2026-11-01'", "19 the pool does not credit 7.4 % of the accepted work",
		},
		{
			"a third of the shares of an afternoon is stale: that day accepted shares fall behind the hashes, and only there",
			"SELECT string_agg(strftime(start_utc, '%d') || ' ' || left(finding, 50), ',') FROM pool_days WHERE pool = 'ocean' AND finding IS NOT NULL AND start_utc < '2026-11-01'", "27 accepted shares stand for 4.1 % less work than the",
		},
		{
			"a pool that pays by its blocks: luck is within three sigma on every day, and nothing of it is a loss",
			"SELECT max(abs(luck_bridge_satoshi) / sigma_satoshi) < 3, sum(work_not_credited_bridge_satoshi), min(sigma_satoshi) > 0 FROM pool_days WHERE pool = 'ocean'", "true|0|true",
		},
		{
			"its fee falls in the month: what it takes is what was agreed, but for rounding",
			"SELECT max(abs(pool_fee_bridge_satoshi)) = 0, (SELECT count(*) FROM pool_terms WHERE pool = 'ocean'), (SELECT count(DISTINCT round(pool_fee_satoshi / subsidy_satoshi, 3)) FROM pool_statements WHERE pool = 'ocean' AND complete AND net_satoshi > 0) FROM pool_days WHERE pool = 'ocean'", "true|2|2",
		},
		{
			"the balance at the end of the month is below the threshold: it is unpaid, and nothing is wrong with it",
			"SELECT sum(unpaid_balance_bridge_satoshi) BETWEEN 1 AND any_value(threshold_satoshi) - 1, sum(not_received_bridge_satoshi) FROM pool_days JOIN pool_accounts USING (site, pool, account) WHERE pool = 'ocean'", "true|0",
		},
		{
			"the block of a payout is undone, and the next one pays: it is received, reversed and received",
			"SELECT string_agg(sign(amount_satoshi), ',' ORDER BY position), count(DISTINCT abs(amount_satoshi)) FROM payouts WHERE transaction_id = (SELECT any_value(transaction_id) FROM payouts WHERE amount_satoshi < 0)", "1,-1,1|1",
		},
		{
			"the difficulty changes near noon",
			"SELECT count(*) FROM difficulty WHERE start_utc BETWEEN '2026-10-20 11:00:00' AND '2026-10-20 13:00:00'", "1",
		},
		{
			"a meter is exchanged: the old one's rest and the new one's start are booked",
			"SELECT count(*), max(value) BETWEEN 200000000 AND 300000000 FROM data_gaps WHERE kind = 'replaced' AND device = 'c4'", "1|true",
		},
		{
			"a reply is malformed: it is rejected with its bytes kept",
			"SELECT count(*) FROM data_gaps WHERE kind = 'rejected' AND what LIKE 'c4-r07%malformed%'", "1",
		},
		{
			"a GPU falls off the bus: silent, and its counter fills the gap",
			"SELECT string_agg(DISTINCT kind, ',' ORDER BY kind) FROM data_gaps WHERE device = 'gpu-n3-5'", "gap,silent",
		},
		{
			"the pool's API is down: its polls are rejected, and no statement says zero",
			"SELECT (SELECT count(*) FROM data_gaps WHERE kind = 'rejected' AND what LIKE '%503%') > 0, (SELECT count(*) FROM pool_statements WHERE pool = 'foundry' AND net_satoshi = 0 AND complete)", "true|0",
		},
	} {
		t.Run(c.words, func(t *testing.T) {
			if got := m.ask(t, c.ask); len(got) != 1 || got[0] != c.want {
				t.Errorf("%s\n got %q\nwant %q", c.ask, got, c.want)
			}
		})
	}
	t.Run("evidence of the malformed reply is kept", func(t *testing.T) {
		rows := m.ask(t, "SELECT count(*) FROM readings WHERE evidence IS NULL AND mark NOT IN ('silent')")
		if rows[0] != "0" {
			t.Errorf("%s readings name no evidence", rows[0])
		}
	})
}

func (m month) balance(t *testing.T) {
	rows := m.ask(t, `
SELECT count(*), count(*) FILTER (revenue = mining + ai + overhead + losses + residual), count(*) FILTER (losses = CAST(round(CAST(mining + ai + overhead AS DECIMAL(20,0)) * 0.012, 0) AS BIGINT)),
  count(*) FILTER (abs(residual) * 1000 < revenue * 2)
FROM (PIVOT (SELECT start_utc, part, energy_milliwatt_hours FROM intervals WHERE start_utc >= '2026-10-01 05:00:00' AND end_utc <= '2026-11-01 05:00:00')
  ON part IN ('revenue-meter' AS revenue, 'mining' AS mining, 'ai' AS ai, 'overhead' AS overhead, 'losses' AS losses, 'residual' AS residual)
  USING any_value(energy_milliwatt_hours) GROUP BY start_utc)`)
	if rows[0] != "8928|8928|8928|8928" {
		t.Errorf("intervals, those that add up, those with the agreed losses, those with a residual below 0.2 %%: %s", rows[0])
	}
	rows = m.ask(t, "SELECT count(*), count(*) FILTER (site_margin = mining_revenue + ai_revenue - site_cost AND abs(site_cost - mining_cost - ai_cost - overhead_cost) <= 0.0000000003) FROM margins WHERE start_utc >= '2026-10-01 05:00:00' AND end_utc <= '2026-11-01 05:00:00'")
	if rows[0] != "8928|8928" {
		t.Errorf("margins that add up: %s", rows[0])
	}
}

func (m month) invoices(t *testing.T) {
	if rows := m.ask(t, "SELECT count(*) FROM invoices i WHERE subtotal = (SELECT sum(amount) FROM invoice_lines l WHERE l.number = i.number) AND total = subtotal + tax_amount"); rows[0] != "3" {
		t.Errorf("%s invoices add up, want 3", rows[0])
	}
	rows := m.ask(t, statementOf(t, "invoice-totals"))
	if len(rows) != 3 {
		t.Fatalf("%d invoices were computed again: %q", len(rows), rows)
	}
	for _, r := range rows {
		if !strings.HasSuffix(r, "|true|NULL") {
			t.Errorf("an invoice comes out otherwise: %s", r)
		}
	}
	for _, n := range []string{"CB-2026-000001", "CB-2026-000002", "CB-2026-000003"} {
		pdf, err := os.ReadFile(filepath.Join(m.data, "invoices", n+".pdf"))
		if err != nil || !strings.HasPrefix(string(pdf), "%PDF-") {
			t.Errorf("%s.pdf: %v", n, err)
		}
		shown := wattbook(t, "invoice", "show", n, "--data", m.data)
		if shown.code != exitOK || !strings.Contains(shown.out, domain.DigestOf(pdf).String()) {
			t.Errorf("invoice show %s does not name the digest of its PDF:\n%s%s", n, shown.out, shown.errors)
		}
	}
	if got := wattbook(t, "invoice", "show", "CB-2026-00001", "--data", m.data); got.code != exitFinding || !strings.Contains(got.errors, "did you mean CB-2026-000001?") {
		t.Errorf("a number that is not on record: exit %d, %s", got.code, got.errors)
	}
}

// questions asks all of the catalogue. Their answers are golden files, without
// the digests of evidence: the bytes of a reply hold what no month repeats.
func (m month) questions(t *testing.T) {
	digests := regexp.MustCompile(`\b[0-9a-f]{64}\b`)
	for _, q := range sql.Questions() {
		got := wattbook(t, "sql", q.Name, "--data", m.data)
		if got.code != exitOK {
			t.Errorf("sql %s: exit %d\n%s", q.Name, got.code, got.errors)
			continue
		}
		got.out = digests.ReplaceAllString(got.out, "(a digest)")
		path := filepath.Join("..", "..", "queries", "sql", "testdata", q.Name+".txt")
		if *update {
			if err := os.WriteFile(path, []byte(got.out), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil || got.out != string(want) {
			t.Errorf("sql %s is not what %s has (-update rewrites it), %v:\n%s", q.Name, path, err, got.out)
		}
	}
	if rows := m.ask(t, statementOf(t, "pool-day-totals")); len(rows) != 62 || slices.ContainsFunc(rows, func(r string) bool { return !strings.HasSuffix(r, "|true") }) {
		t.Errorf("pool days come out otherwise: %q", rows)
	}
}

func statementOf(t *testing.T, question string) string {
	t.Helper()
	for _, q := range sql.Questions() {
		if q.Name == question {
			return q.Statement
		}
	}
	t.Fatalf("there is no question %s", question)
	return ""
}

// published reports whether the warehouse shows all that the log holds.
func (m month) published(t *testing.T) {
	t.Helper()
	want := eventsOf(t, wattbook(t, "log", "stat", "--data", m.data, "--json").out)
	if got := m.ask(t, "SELECT position FROM published"); got[0] != want {
		t.Errorf("the warehouse is at position %s, and the log at %s", got[0], want)
	}
}

func (m month) pool(t *testing.T) {
	rows := m.ask(t, `
SELECT count(*), count(*) FILTER (difference_satoshi = expected_satoshi - received_satoshi
  AND difference_satoshi = work_not_credited_bridge_satoshi + fee_window_bridge_satoshi + pool_fee_bridge_satoshi + bonus_or_other_bridge_satoshi
    + no_statement_bridge_satoshi + not_received_bridge_satoshi + unpaid_balance_bridge_satoshi + network_fee_bridge_satoshi
    + paid_off_chain_bridge_satoshi + paid_not_arrived_bridge_satoshi + luck_bridge_satoshi + does_not_add_up_bridge_satoshi + rounding_bridge_satoshi)
FROM pool_days WHERE start_utc < '2026-11-01'`)
	if rows[0] != "62|62" {
		t.Errorf("days, and days whose difference is named in full: %s", rows[0])
	}
	if rows := m.ask(t, "SELECT count(*) FROM difficulty WHERE start_utc BETWEEN '2026-10-02' AND '2026-10-31'"); rows[0] == "0" {
		t.Error("the difficulty does not change inside the month")
	}
	noon := wattbook(t, "pool", "explain", "--day", "2026-10-20", "--account", "ocean", "--data", m.data)
	for _, want := range []string{"from 00:00Z  difficulty", "from 11:40Z  difficulty", "EXPECTED under TIDES less 1 %", "with a sigma of", "  luck "} {
		if noon.code != exitOK || !strings.Contains(noon.out, want) {
			t.Errorf("explain of the day on which the difficulty changes: exit %d, lacks %q\n%s%s", noon.code, want, noon.out, noon.errors)
		}
	}
	got := wattbook(t, "pool", "reconcile", "--from", "2026-10-19", "--to", "2026-10-19", "--data", m.data)
	if got.code != exitFinding || !strings.Contains(got.out, "! the pool does not credit 7.4 % of the accepted work") {
		t.Errorf("reconcile of the short day: exit %d\n%s%s", got.code, got.out, got.errors)
	}
}

func (m month) explain(t *testing.T) {
	got := wattbook(t, "explain", "--at", "2026-10-14T17:35Z", "--data", m.data)
	for _, want := range []string{"it is promised to customers", "what not consuming is worth", "rests", "(price 412.50 + delivery 5.25) × (1 + losses 1.2 %)"} {
		if got.code != exitOK || !strings.Contains(got.out, want) {
			t.Errorf("explain: exit %d, lacks %q\n%s%s", got.code, want, got.out, got.errors)
		}
	}
	late := wattbook(t, "explain", "--at", "2999-01-01T00:00Z", "--data", m.data)
	if late.code != exitFinding || !strings.Contains(late.errors, "that is in the future; the last decision on record is for ") {
		t.Errorf("a moment without a decision: exit %d, %s", late.code, late.errors)
	}
}

func (m month) again(t *testing.T) {
	before := wattbook(t, "log", "stat", "--data", m.data, "--json").out
	issued := wattbook(t, "invoice", "run", "--period", "2026-10", "--data", m.data)
	if issued.code != exitOK || strings.Count(issued.out, "was issued before") != 3 {
		t.Errorf("invoice run: exit %d\n%s%s", issued.code, issued.out, issued.errors)
	}
	pool := wattbook(t, "pool", "reconcile", "--period", "2026-10", "--data", m.data)
	if pool.code != exitFinding {
		t.Errorf("pool reconcile: exit %d\n%s%s", pool.code, pool.out, pool.errors)
	}
	if after := wattbook(t, "log", "stat", "--data", m.data, "--json").out; eventsOf(t, after) != eventsOf(t, before) {
		t.Errorf("the log grew from %s to %s events", eventsOf(t, before), eventsOf(t, after))
	}
}

func eventsOf(t *testing.T, stat string) string {
	t.Helper()
	var v struct{ Events json.Number }
	if err := json.Unmarshal([]byte(stat), &v); err != nil {
		t.Fatal(err)
	}
	return v.Events.String()
}

func (m month) kept(t *testing.T) {
	if got := wattbook(t, "demo", "--data", m.data); got.code != exitFinding || !strings.Contains(got.errors, "holds a book already; it is not overwritten") {
		t.Errorf("demo into a folder that is in use: exit %d, %s", got.code, got.errors)
	}
}

func (m month) log(t *testing.T) {
	tail := wattbook(t, "log", "tail", "--count", "2", "--data", m.data, "--json")
	var events []struct{ Type string }
	err := json.Unmarshal([]byte(tail.out), &events)
	if tail.code != exitOK || err != nil || len(events) != 2 || events[1].Type != "payout.reconciled/1" {
		t.Errorf("log tail: exit %d\n%s%s", tail.code, tail.out, tail.errors)
	}
	stat := wattbook(t, "log", "stat", "--data", m.data)
	for _, want := range []string{"readings.recorded/1", "invoice.issued/1", "readings by mark", "rollover"} {
		if !strings.Contains(stat.out, want) {
			t.Errorf("log stat lacks %q\n%s", want, stat.out)
		}
	}
	answer := wattbook(t, "sql", "SELECT number, total FROM invoices ORDER BY number LIMIT 1", "--data", m.data)
	if want := "number          total\n"; answer.code != exitOK || !strings.HasPrefix(strings.ReplaceAll(answer.out, "     total", " total"), want[:14]) || !strings.Contains(answer.out, "(1 row)") {
		t.Errorf("sql: exit %d\n%s%s", answer.code, answer.out, answer.errors)
	}
	csv := wattbook(t, "sql", "SELECT part, state, NULL AS none FROM intervals WHERE start_utc = '2026-10-14 12:00:00' AND part = 'revenue-meter'", "--format", "csv", "--data", m.data)
	if csv.out != "part,state,none\nrevenue-meter,metered,\n" {
		t.Errorf("sql as CSV: %q", csv.out)
	}
}

func (m month) imports(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	header := "time,price\n"
	good := write("prices.csv", header+"2026-11-03T00:00:00Z,31.5\n2026-11-03T00:15:00Z,-4.25\n")
	for i, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"new prices are recorded", []string{"prices", good}, exitOK, "1 facts in 1 events"},
		{"again they are on record", []string{"prices", good}, exitOK, "2 on record already"},
		{"another price is a conflict", []string{"prices", write("other.csv", header+"2026-11-03T00:00:00Z,32\n")}, exitFinding, "1 conflicting"},
		{"unless it corrects", []string{"prices", write("corrected.csv", header+"2026-11-03T00:00:00Z,33\n"), "--corrects"}, exitOK, "1 facts"},
		{"a gap is refused with its place", []string{"prices", write("gap.csv", header+"2026-11-04T00:00:00Z,31.5\n2026-11-04T00:45:00Z,31.5\n")}, exitFinding, "gap.csv:3"},
		{"an exponent is refused with its line", []string{"prices", write("float.csv", header+"2026-11-04T00:00:00Z,1e5\n")}, exitFinding, "float.csv:2"},
		{"a kind that is not known", []string{"redings", good}, exitUsage, `did you mean "readings"?`},
		{"a file that is not there", []string{"prices", filepath.Join(dir, "none.csv")}, exitUsage, "none.csv"},
		{"a reading of a meter that is not there refuses the file", []string{"readings", write("readings.csv", "device,channel,start,end,value,unit\nm9,energy.import,2026-10-05T00:00:00Z,2026-10-05T00:05:00Z,1,kWh\n")}, exitFinding, "readings.csv:2:1: device m9 is not registered"},
	} {
		got := wattbook(t, slices.Concat([]string{"import"}, c.args, []string{"--data", m.data})...)
		if got.code != c.code || !strings.Contains(got.out+got.errors, c.want) {
			t.Errorf("%d, %s: exit %d, want %d and %q\n%s%s", i+1, c.name, got.code, c.code, c.want, got.out, got.errors)
		}
	}
	m.published(t)
}
