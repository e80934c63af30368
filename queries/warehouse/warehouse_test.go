package warehouse_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"wattbook/domain"
	"wattbook/projections/facts"
	"wattbook/projections/logscript"
	"wattbook/queries/warehouse"
)

// month is a short history with something of everything.
const month = `
now 2026-10-14T00:00
site cedar step=5m zone=America/Chicago loss=0.01 adder=5 fee=0.02 pool=foundry/s
meter revenue rated=14MW
meter c1 under=revenue use=mining rated=3.5MW
meter ai under=revenue use=ai rated=500kW
meter aux under=revenue use=overhead rated=800kW
miner m1 under=c1 typical=1MW typical-hash=50P
difficulty 969696 2026-10-10 1d00ffff
fees 2026-10-14 100 100000000
bitcoin USD 2026-10-13 24h 98211.42 100000 101000
price hb_south 2026-10-14..2026-10-16 15m 41.27
contract aurora from=2026-10-01 tax=0.0825
charge reserved reserved-gpus 16 x 1450 overage=2.75
contract castellan from=2026-10-01
charge power power-pass-through ai adder=5 loss=0.01
start job-1 aurora 8 2026-10-14T01:00
`

// day returns a day's readings of all meters.
func day(date string) string {
	return strings.ReplaceAll(`
read revenue D..D+1 300kWh every=5m
read c1 D..D+1 200kWh every=5m
read ai D..D+1 40kWh every=5m
read aux D..D+1 50kWh every=5m
read m1 D..D+1 0.0001shares every=5m
`, "D+1", next(date)+"T00:00") + ""
}

func next(date string) string {
	var y, m, d int
	if _, err := fmt.Sscanf(date, "%d-%d-%d", &y, &m, &d); err != nil {
		panic(err)
	}
	return fmt.Sprintf("%04d-%02d-%02d", y, m, d+1)
}

// site is a warehouse and the log that it is published from.
type site struct {
	*testing.T
	dir    string
	player *logscript.Player
	config warehouse.Config
	out    *warehouse.Publisher
}

func newSite(t *testing.T, change func(*warehouse.Config)) *site {
	t.Helper()
	return siteOf(t, month, change)
}

func siteOf(t *testing.T, script string, change func(*warehouse.Config)) *site {
	t.Helper()
	s := &site{T: t, dir: filepath.Join(t.TempDir(), "warehouse"), player: logscript.New()}
	s.config = warehouse.Config{Dir: s.dir, Now: s.player.Now, Logger: slog.New(slog.DiscardHandler), Random: rand.Reader}
	if change != nil {
		change(&s.config)
	}
	s.open()
	s.play(script)
	return s
}

func (s *site) open() {
	s.Helper()
	var err error
	if s.out, err = warehouse.Open(s.config); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		if s.out != nil {
			_ = s.out.Close()
		}
	})
}

func (s *site) close() {
	s.Helper()
	if err := s.out.Close(); err != nil {
		s.Fatal(err)
	}
	s.out = nil
}

func (s *site) play(lines string) {
	s.Helper()
	if err := s.player.Play(lines); err != nil {
		s.Fatal(err)
	}
}

// readDay plays the readings of a day.
func (s *site) readDay(date string) {
	s.Helper()
	s.play(strings.ReplaceAll(day(date), "D..", date+"T00:00.."))
}

func (s *site) facts() *facts.Facts {
	s.Helper()
	f, err := s.player.Facts()
	if err != nil {
		s.Fatal(err)
	}
	return f
}

func (s *site) publish() warehouse.Published {
	s.Helper()
	out, err := s.out.Publish(context.Background(), s.player.Log, s.facts())
	if err != nil {
		s.Fatal(err)
	}
	return out
}

// ask returns the rows of a query, cells separated by a bar.
func ask(t *testing.T, dir, statement string) []string {
	t.Helper()
	rows, err := try(dir, statement)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return rows
}

func try(dir, statement string) (rows []string, err error) { return tryIn(dir, "", statement) }

// tryIn asks one of the databases of a folder.
func tryIn(dir, database, statement string) (rows []string, err error) {
	c, err := warehouse.OpenClient(context.Background(), dir, warehouse.Limits{Database: database})
	if err != nil {
		return nil, err
	}
	rows, err = rowsOf(c, statement)
	return rows, errors.Join(err, c.Close())
}

// rowsOf returns the rows that a client gets, cells separated by a bar.
func rowsOf(c *warehouse.Client, statement string) (rows []string, err error) {
	err = c.Query(context.Background(), statement, func([]warehouse.Column) error { return nil }, func(row []any) error {
		cells := make([]string, len(row))
		for i, v := range row {
			cells[i] = fmt.Sprint(v)
		}
		rows = append(rows, strings.Join(cells, "|"))
		return nil
	})
	return rows, err
}

// contents are the rows of every relation in an order that does not depend on
// how they came to be, and without when and where they were published.
func contents(t *testing.T, dir string) []string {
	t.Helper()
	return contentsOf(t, dir, "")
}

func contentsOf(t *testing.T, dir, database string) []string {
	t.Helper()
	c, err := warehouse.OpenClient(context.Background(), dir, warehouse.Limits{Database: database})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ask := func(statement string) []string {
		rows, err := rowsOf(c, statement)
		if err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
		return rows
	}
	var all []string
	for _, name := range ask("SELECT table_name FROM information_schema.tables WHERE table_catalog = 'wh' AND table_schema = 'main' ORDER BY 1") {
		columns := "*"
		if name == "published" {
			columns = "* EXCLUDE (published_utc, folder, parts, open_epoch)"
		}
		if database != "" && name == "readings_live" {
			continue
		}
		all = append(all, name)
		all = append(all, ask(fmt.Sprintf("SELECT %s FROM %s ORDER BY ALL", columns, name))...)
	}
	return all
}

func TestWhatIsPublishedIsWhatTheLogSays(t *testing.T) {
	s := newSite(t, nil)
	s.readDay("2026-10-14")
	s.play("statement foundry/s 2026-10-14 subsidy=9000000 fees=28800 fee=180576 net=8848224\npayout foundry/s 2026-10-15T06:00 8848224\nend job-1 2026-10-14T09:00\nsilent c1 2026-10-14T17:35")
	s.play("decide 2026-10-15T00:00..2026-10-15T00:05")
	out := s.publish()
	for _, c := range []struct{ ask, want string }{
		{"SELECT position, reading_rows FROM published", fmt.Sprintf("%d|1441", out.Position)},
		{"SELECT count(*), sum(CAST(value AS DECIMAL(38,0))), max(unit) FROM readings WHERE device = 'c1' AND books", "288|57600000000|milliwatt-hours"},
		{"SELECT count(*) FROM readings_live", "1441"},
		{"SELECT (SELECT reading_checksum FROM published) = (SELECT sum(value) FROM readings)", "true"},
		{"SELECT part, energy_milliwatt_hours, state, cost FROM intervals WHERE start_utc = '2026-10-14 12:00:00' AND part = 'mining'", "mining|200000000|metered|9.2540000000"},
		{"SELECT energy_milliwatt_hours FROM intervals WHERE start_utc = '2026-10-14 12:00:00' AND part = 'residual'", "7100000"},
		{"SELECT local_day, mining_revenue, ai_margin, site_energy_milliwatt_hours, miners_reported FROM margins WHERE start_utc = '2026-10-14 04:55:00'", "2026-10-13|30.7230000000|2.6170743082|300000000|1"},
		{"SELECT local_day, count(*) FROM margins GROUP BY 1 ORDER BY 1 LIMIT 1", "2026-10-13|60"},
		{"SELECT load, runs, reason, currency FROM decisions WHERE use = 'mining'", "c1|true|profitable|USD"},
		{"SELECT allocation, start_utc, end_utc, end_state FROM allocations", "job-1|2026-10-14 01:00:00|2026-10-14 09:00:00|COMPLETED"},
		{"SELECT customer, sum(gpu_milliseconds) FROM usage GROUP BY 1 ORDER BY 1", "aurora|230400000"},
		{"SELECT meters, adder_per_megawatt_hour, rate FROM contract_charges WHERE contract = 'castellan'", "[ai]|5.0000000000|<nil>"},
		{"SELECT bits, difficulty, subsidy_satoshi FROM difficulty", "1d00ffff|1.00000000|312500000"},
		{"SELECT expected_satoshi, stated_satoshi, received_satoshi, difference_satoshi, pool_fee_bridge_satoshi FROM pool_days", "8848224|8848224|8848224|0|0"},
		{"SELECT revenue_basis, revenue_satoshi FROM pool_days", "received|8848224"},
		{"SELECT kind, device FROM data_gaps", "silent|c1"},
		{"SELECT (SELECT sum(amount) FROM accruals WHERE start_utc = '2026-10-14 12:00:00') = (SELECT ai_revenue FROM margins WHERE start_utc = '2026-10-14 12:00:00')", "true"},
		{"SELECT count(*), sum(energy_milliwatt_hours), sum(unknown_intervals) FROM device_days WHERE device = 'c1'", "2|57600000000|0"},
		{"SELECT local_day, revenue, intervals, unknown_intervals FROM margins_by_device_class ORDER BY 1 LIMIT 1", "2026-10-13|1843.3800000000|60|0"},
		{"SELECT sum(revenue) = (SELECT sum(mining_revenue) FROM margins) FROM margins_by_device_class", "true"},
		{"SELECT (SELECT sum(margin) FROM margins_by_month WHERE use = 'site') = (SELECT sum(site_margin) FROM margins)", "true"},
		{"SELECT (SELECT sum(margin) FROM margins_by_hour WHERE use = 'ai') = (SELECT sum(margin) FROM margins_by_day WHERE use = 'ai')", "true"},
		{"SELECT local_start FROM margins_by_hour WHERE start_utc = '2026-10-14 12:00:00' LIMIT 1", "2026-10-14 07:00:00"},
		{"SELECT sum(c.revenue) = any_value(d.revenue) AND sum(c.energy_milliwatt_hours) = any_value(d.energy_milliwatt_hours) AND sum(c.energy_cost) = any_value(d.energy_cost) AND sum(c.margin) = any_value(d.margin), count(*) FILTER (customer = '(unallocated)') FROM margins_by_customer c JOIN margins_by_day d USING (site, local_day, currency) WHERE d.use = 'ai' AND local_day = '2026-10-14'", "true|1"},
		{"SELECT count(*) > 0, bool_and(foregone_per_megawatt_hour IS NOT DISTINCT FROM if(runs, cost_per_megawatt_hour, value_per_megawatt_hour)), count(foregone_per_megawatt_hour) > 0 FROM decisions", "true|true|true"},
		{"SELECT (SELECT sum(hashes) FROM intervals) IS NOT DISTINCT FROM (SELECT sum(hashes) FROM device_days), (SELECT CAST(sum(gpu_milliseconds) AS BIGINT) FROM intervals) IS NOT DISTINCT FROM (SELECT CAST(sum(gpu_milliseconds) AS BIGINT) FROM device_days)", "true|true"},
		{"SELECT count(*) > 0, bool_and(estimated_milliwatt_hours = if(state = 'estimated', energy_milliwatt_hours, 0)) FROM intervals WHERE part IN ('revenue-meter', 'mining') AND state <> 'unknown'", "true|true"},
		{"SELECT gpu_milliseconds, energy_milliwatt_hours, energy_cost FROM margins_by_customer WHERE customer = 'castellan' AND local_day = '2026-10-14'", "0|9120000000|421.9824000000"},
		{"SELECT log_position, schema_name, category, stream, schema_format, data IS NULL FROM events WHERE schema_name LIKE 'readings%' LIMIT 1", "13|readings.recorded/1|facts|facts-script|Bytes|true"},
		{"SELECT json_extract_string(data, '$.contract') FROM events WHERE schema_name = 'contract.signed/1' ORDER BY position LIMIT 1", "aurora"},
		{"SELECT count(*), max(position) + 1 FROM events", fmt.Sprintf("%d|%d", out.Position, out.Position)},
		{"SELECT earning_day, start_utc, local_start FROM pool_days", "2026-10-14|2026-10-14 00:00:00|2026-10-13 19:00:00"},
		{"SELECT count(*) = (SELECT count(*) FROM power_prices) + (SELECT count(*) FROM bitcoin_prices) FROM prices", "true"},
		{"SELECT price_per_megawatt_hour FROM power_prices WHERE start_utc = '2026-10-14 12:00:00'", "41.2700000000"},
		{"SELECT value, state FROM booked_values WHERE device = 'c1' AND channel = 'energy.import' AND start_utc = '2026-10-14 12:00:00'", "200000000|metered"},
	} {
		if got := ask(t, s.dir, c.ask); len(got) == 0 || got[0] != c.want {
			t.Errorf("%s\n got %q\nwant %q", c.ask, got, c.want)
		}
	}
}

// TestTheSameLogGivesTheSameWarehouse publishes a history in one go, and in
// many steps with a late reading, a restatement, a restart and compaction
// between them.
func TestTheSameLogGivesTheSameWarehouse(t *testing.T) {
	whole := newSite(t, nil)
	steps := newSite(t, func(c *warehouse.Config) { c.Parts, c.Merge = 2, 2 })
	for i, lines := range []string{
		"", "start job-2 aurora 16 2026-10-14T08:00", "end job-2 2026-10-15T03:00", "read c1 2026-10-14T10:00..2026-10-14T11:00 3MWh every=5m mark=corrected",
		"price hb_south 2026-10-14T10:00 15m 90 -12.5 corrects=yes", "fees 2026-10-15 90 80000000", "end job-1 2026-10-16T00:10",
		"difficulty 971712 2026-10-15T07:07 1c7fff80", "meter aux under=revenue use=overhead rated=900kW", "read c1 2026-10-16T09:00..2026-10-16T09:05 1kWh", "contract aurora version=2 from=2026-10-15T12:00 tax=0.0825\ncharge used on-demand-gpus 3.1",
	} {
		for _, s := range []*site{whole, steps} {
			if date := fmt.Sprintf("2026-10-%d", 14+i); i < 3 {
				s.readDay(date)
			}
			s.play(lines)
		}
		steps.publish()
		if i == 5 {
			steps.close()
			steps.open()
		}
	}
	whole.publish()
	got, want := contents(t, steps.dir), contents(t, whole.dir)
	if !slices.Equal(got, want) {
		for i := range want {
			if i >= len(got) || got[i] != want[i] {
				t.Fatalf("row %d of %d:\nin steps %s\nin one go %s", i, len(want), got[min(i, len(got)-1)], want[i])
			}
		}
		t.Fatalf("%d rows in steps, %d in one go", len(got), len(want))
	}
}

func TestARestartGoesOnAfterTheLastPart(t *testing.T) {
	s := newSite(t, nil)
	s.readDay("2026-10-14")
	s.publish()
	before := partsOf(t, s.dir)
	s.close()
	s.open()
	s.readDay("2026-10-15")
	s.publish()
	after := partsOf(t, s.dir)
	if len(before) != 1 || len(after) != 2 || !slices.Contains(after, before[0]) {
		t.Errorf("parts before the restart %q, after it %q", before, after)
	}
	if got := ask(t, s.dir, "SELECT count(*) FROM readings"); got[0] != "2880" {
		t.Errorf("%s readings, want 2880", got[0])
	}
}

func partsOf(t *testing.T, dir string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "parts-*", "open", "readings", "*", "part-*.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestAClientThatIsOpenSeesOnePublishedPosition(t *testing.T) {
	s := newSite(t, nil)
	s.readDay("2026-10-14")
	s.publish()
	c, err := warehouse.OpenClient(t.Context(), s.dir, warehouse.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	count := func(view string) (n any) {
		err := c.Query(t.Context(), "SELECT count(*) FROM "+view, func([]warehouse.Column) error { return nil }, func(row []any) error { n = row[0]; return nil })
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	s.readDay("2026-10-15")
	s.publish()
	if a, b := count("readings"), count("readings_live"); a != int64(1440) || b != int64(2880) {
		t.Errorf("readings %v and live %v; want 1440, as published when the client opened, and 2880", a, b)
	}
}

func TestFilesStayForTheGraceAndGoAfterIt(t *testing.T) {
	s := newSite(t, func(c *warehouse.Config) { c.Parts, c.Merge, c.Links, c.Grace = 2, 100, 2, domain.Day })
	for i := range 6 {
		s.play(fmt.Sprintf("now 2026-10-%dT12:00", 14+i))
		s.readDay(fmt.Sprintf("2026-10-%d", 14+i))
		s.publish()
	}
	sentinels, err := filepath.Glob(filepath.Join(s.dir, "parts-*", "open", "readings", "*", "000-sentinel.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	// Epochs closed on the 15th and the 17th are gone since the 16th and the
	// 18th; that of the 19th stays, beside the open one.
	if len(sentinels) != 2 {
		t.Errorf("sentinels left: %q", sentinels)
	}
	links, err := filepath.Glob(filepath.Join(s.dir, "warehouse-*.duckdb"))
	if err != nil || len(links) != 2 {
		t.Errorf("links left: %q, %v", links, err)
	}
	if got := ask(t, s.dir, "SELECT count(*) FROM readings"); got[0] != fmt.Sprint(6*1440) {
		t.Errorf("%s readings, want %d", got[0], 6*1440)
	}
}

func TestNoPublishedColumnIsInexact(t *testing.T) {
	s := newSite(t, nil)
	s.readDay("2026-10-14")
	s.publish()
	columns := ask(t, s.dir, "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_catalog = 'wh'")
	if len(columns) < 300 {
		t.Fatalf("only %d columns are published", len(columns))
	}
	for _, c := range columns {
		if strings.HasSuffix(c, "DOUBLE") || strings.HasSuffix(c, "FLOAT") || strings.HasSuffix(c, "HUGEINT") || strings.Contains(c, "WITH TIME ZONE") {
			t.Errorf("column %s is not exact, or depends on the client's settings", c)
		}
	}
	for _, c := range ask(t, s.dir, "SELECT table_name || '.' || column_name FROM duckdb_columns() WHERE database_name = 'wh' AND comment IS NULL") {
		t.Errorf("column %s has no comment", c)
	}
	for _, r := range ask(t, s.dir, "SELECT table_name FROM duckdb_tables() WHERE database_name = 'wh' AND comment IS NULL UNION ALL SELECT view_name FROM duckdb_views() WHERE database_name = 'wh' AND NOT internal AND comment IS NULL") {
		t.Errorf("%s has no comment", r)
	}
}

func TestAClientReadsAndDoesNothingElse(t *testing.T) {
	s := newSite(t, nil)
	s.readDay("2026-10-14")
	s.publish()
	outside := filepath.Join(t.TempDir(), "secret.csv")
	if err := os.WriteFile(outside, []byte("a,b\n1,2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		"SELECT * FROM read_csv('" + outside + "')", "SELECT * FROM '" + outside + "'", "SELECT content FROM read_text('" + outside + "')",
		"SELECT * FROM glob('/*')", "COPY (SELECT 1) TO '" + s.dir + "/x.csv'", "COPY readings TO '" + outside + "'",
		"ATTACH '" + outside + ".duckdb'", "INSTALL httpfs", "LOAD httpfs", "SET memory_limit = '20GB'", "SET enable_external_access = true",
		"CREATE TABLE memory.t (a INTEGER)", "DROP VIEW readings", "INSERT INTO sites SELECT * FROM sites", "DELETE FROM sites", "UPDATE sites SET name = ''",
		"SELECT 1; DROP TABLE sites", "EXPLAIN ANALYZE COPY (SELECT 1) TO '" + s.dir + "/x.csv'", "PRAGMA enable_profiling", "EXPORT DATABASE '" + s.dir + "/e'",
		"CALL pragma_version()", "DETACH wh", "USE memory", "", "-- nothing", "EXPLAIN SELECT 1", "SET VARIABLE x = 1",
		"/* a */ -- b\nEXPORT DATABASE '" + s.dir + "/e'", "/* /* */ SELECT 1 */ EXPORT DATABASE '" + s.dir + "/e'", "(EXPORT DATABASE '" + s.dir + "/e')",
		"SELECT 1; EXPORT DATABASE '" + s.dir + "/e'", "EXPORT DATABASE '" + s.dir + "/e'; SELECT 1", "EXPLAIN EXPORT DATABASE '" + s.dir + "/e'",
		"WITH x AS (SELECT 1) INSERT INTO sites FROM x", "PREPARE p AS SELECT 1", "PRAGMA version", "VACUUM",
	} {
		rows, err := try(s.dir, statement)
		if err == nil {
			t.Errorf("%s: was run, %q", statement, rows)
		} else if none, wrong := strings.Contains(err.Error(), "there is no statement"), strings.HasPrefix(err.Error(), "Parser Error: syntax"); !none && !wrong && !errors.Is(err, warehouse.ErrRefused) {
			t.Errorf("%s: is not said to be refused: %v", statement, err)
		}
		for _, name := range []string{"x.csv", "e"} {
			if _, err := os.Stat(filepath.Join(s.dir, name)); !errors.Is(err, fs.ErrNotExist) {
				t.Fatalf("%s: wrote %s, %v", statement, name, err)
			}
		}
	}
	for statement, want := range map[string]string{
		"SELECT 1; SELECT 2": "one statement at a time is answered", "SELECT ';' -- ;\n; DROP TABLE sites": "one statement at a time is answered",
		"SELECT\n 1 +\n FROM sites": "LINE 3:  FROM sites", "PIVOT devices ON kind USING count(*)": "a PIVOT is answered where it says its values",
	} {
		if _, err := try(s.dir, statement); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", statement, err, want)
		}
	}
	for _, statement := range []string{"DESCRIBE sites", "SHOW TABLES", "SUMMARIZE sites", "FROM sites", "WITH x AS (SELECT 1 AS a) SELECT * FROM x", "VALUES (1)", "(SELECT 1)", "-- a\nSELECT ';';", "PIVOT devices ON kind IN ('meter') USING count(*)"} {
		if _, err := try(s.dir, statement); err != nil {
			t.Errorf("%s: %v", statement, err)
		}
	}
}

func TestAClientStaysInItsLimits(t *testing.T) {
	s := newSite(t, nil)
	s.readDay("2026-10-14")
	s.publish()
	for _, c := range []struct {
		limits          warehouse.Limits
		statement, want string
	}{
		{warehouse.Limits{Time: 200 * time.Millisecond}, "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range * b.range = 7", "ran for 200ms"},
		{warehouse.Limits{Rows: 1000}, "SELECT range FROM range(1000000000)", "more than 1000 rows"},
		{warehouse.Limits{Bytes: 1000}, "SELECT repeat('x', 100) FROM range(20)", "more than 1000 bytes"},
		{warehouse.Limits{Memory: "64MB"}, "SELECT count(*) FROM (SELECT DISTINCT range, hash(range) FROM range(20000000))", "more than 64MB of memory"},
	} {
		var log strings.Builder
		c.limits.Logger = slog.New(slog.NewTextHandler(&log, nil))
		client, err := warehouse.OpenClient(t.Context(), s.dir, c.limits)
		if err != nil {
			t.Fatal(err)
		}
		err = client.Query(t.Context(), c.statement, func([]warehouse.Column) error { return nil }, func([]any) error { return nil })
		if !errors.Is(err, warehouse.ErrLimit) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.statement, err, c.want)
		}
		if !strings.Contains(log.String(), c.want) {
			t.Errorf("%s: logged %q", c.statement, log.String())
		}
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	}
	var log strings.Builder
	client, err := warehouse.OpenClient(t.Context(), s.dir, warehouse.Limits{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	err = client.Query(t.Context(), "SELECT * FROM read_text('/etc/passwd')", func([]warehouse.Column) error { return nil }, func([]any) error { return nil })
	if !errors.Is(err, warehouse.ErrRefused) || !strings.Contains(log.String(), "/etc/passwd") {
		t.Errorf("an attempt: %v, logged %q", err, log.String())
	}
}

func TestFoldersThatCannotBePublished(t *testing.T) {
	s := newSite(t, nil)
	s.readDay("2026-10-14")
	s.publish()
	if _, err := warehouse.Open(s.config); err == nil || !strings.Contains(err.Error(), "another publisher has it") {
		t.Errorf("a second publisher: %v", err)
	}
	if _, err := try(t.TempDir(), "SELECT 1"); !errors.Is(err, warehouse.ErrNothingPublished) {
		t.Errorf("an empty folder: %v", err)
	}
	bad := s.config
	bad.Dir = filepath.Join(t.TempDir(), "a*b")
	if _, err := warehouse.Open(bad); err == nil || !strings.Contains(err.Error(), "use another folder") {
		t.Errorf("a folder with a star: %v", err)
	}
	s.close()

	// Another log is not mixed into the folder.
	other := newSite(t, nil)
	other.play("read revenue 2026-10-14T00:00..2026-10-14T00:05 1kWh")
	other.close()
	other.config.Dir, other.dir = s.dir, s.dir
	other.open()
	if _, err := other.out.Publish(t.Context(), other.player.Log, other.facts()); err == nil || !strings.Contains(err.Error(), "another log") {
		t.Errorf("another log: %v", err)
	}
}

func TestAParquetAnswerHasTheTypesAndDigitsOfTheResult(t *testing.T) {
	s := newSite(t, nil)
	s.readDay("2026-10-14")
	s.publish()
	c, err := warehouse.OpenClient(t.Context(), s.dir, warehouse.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var file *warehouse.ParquetFile
	statement := `SELECT 'it''s "x"' AS "a ""name", CAST('12345678901234567890123456.789' AS DECIMAL(38,3)) AS d, sum(range) AS h, DATE '2026-10-14' AS day,
		TIMESTAMP '2026-10-14 00:00:00.000001' AS t, NULL AS n, ['a', 'b, ''c'''] AS l, true AS b FROM range(3)`
	err = c.Query(t.Context(), statement, func(all []warehouse.Column) (err error) {
		file, err = warehouse.NewParquetFile(all)
		return err
	}, func(row []any) error { return file.Add(row) })
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.dir, "answer.parquet")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(file.Finish(out), out.Close()); err != nil {
		t.Fatal(err)
	}
	want := `it's "x"|12345678901234567890123456.789|3|2026-10-14|2026-10-14 00:00:00.000001|<nil>|[a b, 'c']|true`
	if got := ask(t, s.dir, "FROM '"+path+"'"); got[0] != want {
		t.Errorf("the file holds %s, want %s", got[0], want)
	}
	if got := ask(t, s.dir, "SELECT string_agg(column_type, ' ') FROM (DESCRIBE FROM '"+path+"')"); got[0] != "VARCHAR DECIMAL(38,3) DECIMAL(38,0) DATE TIMESTAMP INTEGER VARCHAR[] BOOLEAN" {
		t.Errorf("its types are %s", got[0])
	}
}
