package warehouse_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"wattbook/domain"
	"wattbook/queries/warehouse"
)

// hourly is a site that is metered by the hour, from the middle of September
// to the 20th of November.
const hourly = `
now 2026-09-15T00:00
site cedar step=1h zone=America/Chicago loss=0.01 adder=5 fee=0.02 pool=foundry/s
meter revenue rated=14MW
meter c1 under=revenue use=mining rated=3.5MW
meter ai under=revenue use=ai rated=500kW
miner m1 under=c1 typical=1MW typical-hash=50P
difficulty 969696 2026-09-10 1d00ffff
fees 2026-09-15 100 100000000
bitcoin USD 2026-09-15..2026-11-21 24h 98211.42
price hb_south 2026-09-15..2026-11-21 1h 41.27
contract castellan from=2026-09-01
charge power power-pass-through ai adder=5 loss=0.01
start job-1 castellan 8 2026-09-20T01:00
`

// hours returns a span's readings of all meters of it.
func hours(span string) string {
	return strings.ReplaceAll(`
read revenue SPAN 300kWh every=1h
read c1 SPAN 200kWh every=1h
read ai SPAN 40kWh every=1h
read m1 SPAN 0.0001shares every=1h
`, "SPAN", span)
}

// dayFiles returns the files of days that the published views read, as
// <from>-<to>, by what they are called.
func dayFiles(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, path := range ask(t, dir, `SELECT DISTINCT parse_filename(file) FROM (
		SELECT unnest(regexp_extract_all(sql, 'days/intervals/[^'']+\.parquet')) AS file FROM duckdb_views() WHERE view_name = 'intervals' AND database_name = 'wh')`) {
		var generation, position int
		var from, to string
		if _, err := fmt.Sscanf(path, "%d-%8s-%8s-%d.parquet", &generation, &from, &to, &position); err != nil {
			t.Fatal(err)
		}
		all[from+"-"+to] = path
	}
	return all
}

// follows wants the published warehouse to be what follows from the log.
func (s *site) follows(what string) {
	s.Helper()
	out, err := warehouse.ReadContents(s.Context(), s.dir, warehouse.Limits{})
	if err != nil {
		s.Fatalf("%s: %v", what, err)
	}
	scratch := s.config
	scratch.Dir = s.TempDir()
	derived, err := warehouse.Derive(s.Context(), s.player.Log, out.Position, scratch)
	if err != nil {
		s.Fatalf("%s: %v", what, err)
	}
	if differ := warehouse.Compare(out, derived); len(differ) > 0 {
		s.Errorf("%s: what was published and what follows from the log differ: %v", what, differ)
	}
}

// TestOnlyTheDaysThatAFactChangesAreDrawnAgain publishes fact after fact, half
// of them after a restart, and wants new files of the days that each is about,
// and of no others.
func TestOnlyTheDaysThatAFactChangesAreDrawnAgain(t *testing.T) {
	s := siteOf(t, hourly, nil)
	before := map[string]string{}
	for i, step := range []struct {
		what, lines string
		want        []string // files that are new
	}{
		{"a history", hours("2026-09-15T06:00..2026-11-12T18:00"), []string{
			"20260901-20260930", "20261001-20261031",
			"20261101-20261101", "20261102-20261102", "20261103-20261103", "20261104-20261104", "20261105-20261105", "20261106-20261106", "20261107-20261107",
			"20261108-20261108", "20261109-20261109", "20261110-20261110", "20261111-20261111",
		}},
		{"an hour of a day that is not over", hours("2026-11-12T18:00..2026-11-12T19:00"), nil},
		{"nothing but a restart", hours("2026-11-12T19:00..2026-11-12T20:00"), nil},
		{"a correction in a day", "read ai 2026-11-05T10:00..2026-11-05T11:00 50kWh mark=corrected", []string{"20261105-20261105"}},
		{"a price of a month that is over", "price hb_south 2026-10-05T10:00 1h 90 corrects=yes", []string{"20261001-20261031"}},
		{"a statement of a day that is two local ones", "statement foundry/s 2026-11-09 net=7000000", []string{"20261108-20261108", "20261109-20261109", "20261110-20261110", "20261111-20261111"}},
		{"what arrived", "payout foundry/s 2026-11-10T06:00 7000000 tx=t1 block=b1", []string{"20261108-20261108", "20261109-20261109"}},
		{"nothing but a restart, of what arrived", hours("2026-11-12T20:00..2026-11-12T21:00"), nil},
		{"a block that is undone", "reversed foundry/s t1 b1", []string{"20261108-20261108", "20261109-20261109"}},
		{"the day is over", hours("2026-11-12T21:00..2026-11-13T08:00"), []string{"20261112-20261112"}},
		{"a device that is registered", "meter aux under=revenue use=overhead rated=900kW", nil}, // all of them, see below
	} {
		if i%2 == 0 && i > 0 || strings.Contains(step.what, "restart") {
			s.close()
			s.open()
		}
		s.play(step.lines)
		s.publish()
		after, fresh := dayFiles(t, s.dir), []string{}
		for span, path := range after {
			if before[span] != path {
				fresh = append(fresh, span)
			}
		}
		slices.Sort(fresh)
		if strings.HasPrefix(step.what, "a device") {
			if len(fresh) != len(after) {
				t.Errorf("%s: new are %q of %d files, want all", step.what, fresh, len(after))
			}
		} else if !slices.Equal(fresh, step.want) {
			t.Errorf("%s: new are the files %q, want %q", step.what, fresh, step.want)
		}
		if i%3 == 2 {
			s.follows(step.what)
		}
		before = after
	}
	// A month is one file once statements of its last days have arrived.
	s.play("bitcoin USD 2026-11-21..2026-12-13 24h 98211.42\n" + hours("2026-11-13T08:00..2026-12-12T12:00"))
	s.publish()
	if files := dayFiles(t, s.dir); files["20261101-20261130"] == "" || files["20261111-20261111"] != "" || files["20261201-20261201"] == "" {
		t.Errorf("on 12 December there are the files %q", files)
	}
	s.follows("the month is over")
}

// TestDaysFollowFromTheLogWhateverComes plays facts drawn by chance, with
// restarts between them.
func TestDaysFollowFromTheLogWhateverComes(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 5))
			s := siteOf(t, hourly, func(c *warehouse.Config) { c.Parts = 3 })
			at, jobs := 0, 1 // hours since the beginning of October, allocations
			hour := func(n int) string { return fmt.Sprintf("2026-10-%02dT%02d:00", 1+n/24, n%24) }
			span := func(n, length int) string { return hour(n) + ".." + hour(n+length) }
			s.play(hours("2026-09-27T06:00..2026-10-01T00:00"))
			var played []string
			for range 14 {
				late := r.IntN(at + 1)
				var lines string
				switch r.IntN(12) {
				case 0, 1, 2:
					n := 5 + r.IntN(30)
					lines, at = hours(span(at, n)), at+n
				case 3:
					lines = fmt.Sprintf("read c1 %s %dkWh mark=corrected", span(late, 1), 100+r.IntN(100))
				case 4: // of hours that it had counted, and others
					lines = fmt.Sprintf("read ai %s %dkWh mark=gap", span(late, 1+r.IntN(30)), 100+r.IntN(100))
				case 5:
					lines = fmt.Sprintf("price hb_south %s 1h %d corrects=yes", hour(late), r.IntN(90))
				case 6:
					lines = fmt.Sprintf("statement foundry/s 2026-10-%02d net=%d", 1+late/24, 6_000_000+r.IntN(1_000_000))
				case 7:
					lines = fmt.Sprintf("payout foundry/s %s %d", hour(at), 6_000_000+r.IntN(1_000_000))
				case 8:
					lines = fmt.Sprintf("fees 2026-10-%02d 100 %d", 1+late/24, 90_000_000+r.IntN(1_000_000))
				case 9:
					jobs++
					lines = fmt.Sprintf("start job-%d castellan 4 %s", jobs, hour(late))
				case 10:
					lines = fmt.Sprintf("miner x%d under=c1\nread x%[1]d %s 0.0001shares every=1h", jobs*100+at, span(late, 10))
				case 11: // a day long before, and another page
					lines = fmt.Sprintf("read revenue 2026-08-%02[1]dT03:00..2026-08-%02[1]dT04:00 1kWh", 1+r.IntN(28))
				}
				played = append(played, lines)
				s.play(lines)
				if r.IntN(3) == 0 {
					s.close()
					s.open()
				}
				s.publish()
			}
			s.follows(strings.Join(played, "\n"))
		})
	}
}

// TestAPublicationThatIsKilledLeavesNoDays writes the files of a day, and not
// the database that names them.
func TestAPublicationThatIsKilledLeavesNoDays(t *testing.T) {
	s := siteOf(t, hourly, nil)
	s.play(hours("2026-10-10T05:00..2026-10-12T12:00"))
	s.publish()
	want, err := warehouse.ReadContents(t.Context(), s.dir, warehouse.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	s.play("read ai 2026-10-10T10:00..2026-10-10T11:00 50kWh mark=corrected\n" + hours("2026-10-12T12:00..2026-10-13T12:00"))
	inTheWay := filepath.Join(s.dir, fmt.Sprintf("warehouse-%d.duckdb", s.facts().Next), "full")
	if err := os.MkdirAll(inTheWay, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := s.out.Publish(t.Context(), s.player.Log, s.facts()); err == nil {
		t.Fatal("it was published")
	}
	written := func() int {
		all, err := filepath.Glob(filepath.Join(s.dir, "parts-*", "days", "*", "*", fmt.Sprintf("*-%d.parquet", s.facts().Next)))
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	if n := written(); n != 20 { // the day that was corrected and the one that is over, in ten tables
		t.Errorf("%d files are there, want 20", n)
	}
	got, err := warehouse.ReadContents(t.Context(), s.dir, warehouse.Limits{})
	if err != nil || got.Digest != want.Digest {
		t.Errorf("what was published before is not what it was: %v, %v", warehouse.Compare(got, want), err)
	}
	s.close()
	if err := os.RemoveAll(filepath.Dir(inTheWay)); err != nil {
		t.Fatal(err)
	}
	s.open()
	if n := written(); n != 0 {
		t.Errorf("%d files that no database names are left", n)
	}
	s.publish()
	s.follows("after the restart")
}

// TestDaysThatAreReplacedStayForTheGrace reads with a client that was there
// before a correction, until the grace is over.
func TestDaysThatAreReplacedStayForTheGrace(t *testing.T) {
	s := siteOf(t, hourly, func(c *warehouse.Config) { c.Grace = domain.Day })
	s.play(hours("2026-10-10T05:00..2026-10-12T12:00"))
	s.publish()
	sum := func(c *warehouse.Client) (rows string, err error) {
		err = c.Query(t.Context(), "SELECT sum(energy_milliwatt_hours) FROM intervals WHERE part = 'ai'", func([]warehouse.Column) error { return nil },
			func(row []any) error { rows = fmt.Sprint(row[0]); return nil })
		return rows, err
	}
	opened := func() *warehouse.Client {
		c, err := warehouse.OpenClient(t.Context(), s.dir, warehouse.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	old := opened()
	const hourly, hours55 = 40_000_000, 55
	s.play("read ai 2026-10-10T10:00..2026-10-10T11:00 50kWh mark=corrected")
	s.publish()
	if got, err := sum(old); got != fmt.Sprint(hours55*hourly) || err != nil {
		t.Errorf("a client of before the correction sees %s, %v", got, err)
	}
	if got, err := sum(opened()); got != fmt.Sprint(hours55*hourly+10_000_000) || err != nil {
		t.Errorf("a client of after the correction sees %s, %v", got, err)
	}
	s.play("now 2026-12-01T00:00\n" + "payout foundry/s 2026-10-17T06:00 1")
	s.publish()
	s.play("now 2026-12-03T00:00\n" + "payout foundry/s 2026-10-18T06:00 1")
	s.publish()
	if got, err := sum(old); err == nil || !strings.Contains(err.Error(), "days/intervals") {
		t.Errorf("after the grace it sees %s, %v", got, err)
	}
	if got, err := sum(opened()); got != fmt.Sprint(hours55*hourly+10_000_000) || err != nil {
		t.Errorf("a client of after the grace sees %s, %v", got, err)
	}
}

// TestAnHourInTwoLocalDaysIsOneRow publishes a site whose days begin at half
// past the hour, beside another site.
func TestAnHourInTwoLocalDaysIsOneRow(t *testing.T) {
	s := siteOf(t, hourly, nil)
	s.play(hours("2026-10-10T05:00..2026-10-11T12:00") + `
site pune step=30m zone=Asia/Kolkata adder=5
meter revenue
meter c1 under=revenue use=mining
read revenue 2026-10-10T00:00..2026-10-12T12:00 10kWh every=30m
read c1 2026-10-10T00:00..2026-10-12T12:00 9kWh every=30m`)
	s.publish()
	for query, want := range map[string][]string{
		"SELECT count(*) = count(DISTINCT (site, start_utc, use)) FROM margins_by_hour": {"true"},
		// The day ends at 18:30; what lies in parts and what is open are of one hour.
		"SELECT start_utc, local_day, intervals, energy_milliwatt_hours FROM margins_by_hour WHERE site = 'pune' AND use = 'mining' AND hour(start_utc) = 18 ORDER BY 1": {
			"2026-10-10 18:00:00|2026-10-10|2|18000000", "2026-10-11 18:00:00|2026-10-11|2|18000000",
		},
		"SELECT DISTINCT local_day FROM open.margins WHERE site = 'pune'":                                       {"2026-10-12"},
		"SELECT local_day, intervals FROM margins_by_day WHERE site = 'pune' AND use = 'site' ORDER BY 1":       {"2026-10-10|37", "2026-10-11|48", "2026-10-12|35"},
		"SELECT (SELECT sum(intervals) FROM margins_by_hour) = (SELECT sum(intervals) FROM margins_by_day)":     {"true"},
		"SELECT count(DISTINCT site) FROM device_days WHERE local_day = '2026-10-10' AND unknown_intervals = 0": {"2"},
	} {
		if got := ask(t, s.dir, query); !slices.Equal(got, want) {
			t.Errorf("%s\n got %q\nwant %q", query, got, want)
		}
	}
	s.play("read c1 2026-10-10T18:30..2026-10-10T19:00 7kWh mark=corrected") // of the site that was named last
	s.publish()
	s.follows("two sites")
}
