package warehouse_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"wattbook/domain"
	"wattbook/queries/warehouse"
)

func TestADamagedWarehouseIsMadeAgain(t *testing.T) {
	s := newSite(t, nil)
	s.readDay("2026-10-14")
	s.publish()
	want := contents(t, s.dir)
	s.close()
	if err := os.WriteFile(filepath.Join(s.dir, "warehouse.duckdb"), []byte("not a database"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.open()
	s.publish()
	if got := contents(t, s.dir); !slices.Equal(got, want) {
		t.Error("what is published after a damage is not what was published before")
	}
}

func TestAFolderThatWasMovedOrCopiedReadsItsOwnParts(t *testing.T) {
	s := newSite(t, nil)
	s.readDay("2026-10-14")
	s.publish()
	want := contents(t, s.dir)
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(copied, os.DirFS(s.dir)); err != nil {
		t.Fatal(err)
	}
	s.close()
	if err := os.RemoveAll(s.dir); err != nil {
		t.Fatal(err)
	}
	// A client of ours finds the parts at once, and any client after the
	// database was told where it is.
	if got := contents(t, copied); !slices.Equal(got, want) {
		t.Error("the copy does not hold what the original held")
	}
	looked := func() string { return ask(t, copied, "SELECT folder FROM published")[0] }
	if got := looked(); got != s.dir {
		t.Errorf("before it is relocated the copy looks into %s", got)
	}
	from, err := warehouse.Relocate(t.Context(), copied)
	if err != nil || from != s.dir {
		t.Fatalf("relocated from %q, %v", from, err)
	}
	if got := looked(); got != copied {
		t.Errorf("the copy looks into %s, want %s", got, copied)
	}
	if got := contents(t, copied); !slices.Equal(got, want) {
		t.Error("the relocated copy does not hold what the original held")
	}
	for _, c := range ask(t, copied, "SELECT table_name || '.' || column_name FROM duckdb_columns() WHERE database_name = 'wh' AND comment IS NULL") {
		t.Errorf("relocated: column %s has no comment", c)
	}
	if from, err := warehouse.Relocate(t.Context(), copied); from != "" || err != nil {
		t.Errorf("a second time: %q, %v", from, err)
	}
}

func TestAMissingOrDamagedPartIsNoticedAndMadeAnew(t *testing.T) {
	for _, c := range []struct {
		name   string
		closed bool // while the publisher is
		spoil  func(part string) error
	}{
		{"removed while open", false, os.Remove},
		{"removed while closed", true, os.Remove},
		{"cut off while open", false, func(part string) error { return os.Truncate(part, 300) }},
		{"cut off while closed", true, func(part string) error { return os.Truncate(part, 300) }},
		{"emptied", false, func(part string) error { return os.Truncate(part, 0) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, nil)
			for _, d := range []string{"2026-10-14", "2026-10-15"} {
				s.readDay(d)
				s.publish()
			}
			if c.closed {
				s.close()
			}
			if err := c.spoil(partsOf(t, s.dir)[0]); err != nil {
				t.Fatal(err)
			}
			for _, view := range []string{"readings", "readings_live", "booked_values"} {
				rows, err := try(s.dir, "SELECT * FROM "+view)
				if err == nil || !strings.Contains(err.Error(), "a part is missing or damaged (part-0-") || !strings.Contains(err.Error(), "wattbook warehouse rebuild") {
					t.Errorf("%s without a part: %q, %v", view, rows, err)
				}
			}
			if c.closed {
				s.open()
			}
			s.publish() // even if nothing new has come
			if got := ask(t, s.dir, "SELECT count(*) FROM readings"); got[0] != fmt.Sprint(2*1440) {
				t.Errorf("%s readings, want %d", got[0], 2*1440)
			}
		})
	}
}

// TestAPublicationThatFailsIsMadeUpFor lets the disk refuse to hold a part, and
// then the database.
func TestAPublicationThatFailsIsMadeUpFor(t *testing.T) {
	s, whole := newSite(t, nil), newSite(t, nil)
	s.readDay("2026-10-14")
	s.publish()
	for i, date := range []string{"2026-10-15", "2026-10-16"} {
		s.readDay(date)
		tmp := filepath.Join(s.dir, "tmp")
		inTheWay := tmp // no part can be written
		if i == 1 {     // parts can, and the database cannot
			inTheWay = filepath.Join(s.dir, fmt.Sprintf("warehouse-%d.duckdb", s.facts().Next))
		}
		if err := os.RemoveAll(inTheWay); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			err := os.WriteFile(tmp, nil, 0o644)
			if err != nil {
				t.Fatal(err)
			}
		} else if err := os.MkdirAll(filepath.Join(inTheWay, "full"), 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := s.out.Publish(t.Context(), s.player.Log, s.facts()); err == nil {
			t.Fatalf("%s was published", date)
		}
		if got := ask(t, s.dir, "SELECT count(*) FROM readings"); got[0] != fmt.Sprint((i+1)*1440) {
			t.Errorf("after the failure %s readings, want what was published before", got[0])
		}
		if err := os.RemoveAll(inTheWay); err != nil {
			t.Fatal(err)
		}
		s.publish()
	}
	for _, date := range []string{"2026-10-14", "2026-10-15", "2026-10-16"} {
		whole.readDay(date)
	}
	whole.publish()
	if got, want := contents(t, s.dir), contents(t, whole.dir); !slices.Equal(got, want) {
		t.Error("what is published after failures is not what is published in one go")
	}
}

// TestWhatWasKnownAtAPosition compares what is drawn of an earlier position
// with what was published at it, before readings came late, prices were
// restated and the parts were compacted.
func TestWhatWasKnownAtAPosition(t *testing.T) {
	s := newSite(t, func(c *warehouse.Config) { c.Parts, c.Merge = 2, 2 })
	known := map[domain.Position][]string{}
	for i, lines := range []string{
		"start job-2 aurora 16 2026-10-14T08:00", "price hb_south 2026-10-14T10:00 15m 90 -12.5 corrects=yes",
		"read c1 2026-10-14T10:00..2026-10-14T11:00 3MWh every=5m mark=corrected\nend job-1 2026-10-16T00:10", "difficulty 971712 2026-10-15T07:07 1c7fff80",
	} {
		s.readDay(fmt.Sprintf("2026-10-%d", 14+i))
		s.play(lines)
		known[s.publish().Position] = contents(t, s.dir)
	}
	for at, want := range known {
		name, err := warehouse.AsOf(t.Context(), s.player.Log, at, s.config)
		if err != nil {
			t.Fatal(err)
		}
		got := contentsOf(t, s.dir, name)
		if live := slices.Index(want, "readings_live"); live >= 0 { // it goes on, and is left out
			end := slices.Index(want, "receivables_ageing")
			want = slices.Delete(slices.Clone(want), live, end)
		}
		if !slices.Equal(got, want) {
			for i := range want {
				if i >= len(got) || got[i] != want[i] {
					t.Fatalf("position %d, row %d of %d:\ndrawn again %s\npublished   %s", at, i, len(want), got[min(i, len(got)-1)], want[i])
				}
			}
			t.Errorf("position %d: %d rows, want %d", at, len(got), len(want))
		}
	}
	for _, c := range []struct {
		at   domain.Position
		want string
	}{{0, "nothing was known"}, {1 << 40, "is at position"}} {
		if _, err := warehouse.AsOf(t.Context(), s.player.Log, c.at, s.config); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("as of %d: %v, want %q", c.at, err, c.want)
		}
	}
	if left, err := filepath.Glob(filepath.Join(s.dir, "derived-*")); err != nil || len(left) > 0 {
		t.Errorf("left over: %q, %v", left, err)
	}
	// The macros say the same of facts, without the log.
	for at := range known {
		name := fmt.Sprintf("as-of-%d.duckdb", at)
		for _, table := range []string{"readings", "events", "contracts", "booked_values", "power_prices"} {
			statement := fmt.Sprintf("SELECT count(*), sum(CAST(md5_number_lower(CAST(t AS VARCHAR)) AS HUGEINT)) FROM %s t", table)
			if table == "power_prices" { // the history has more columns
				statement = "SELECT count(*), sum(price_per_megawatt_hour), max(position) FROM power_prices t"
			}
			then, err := tryIn(s.dir, name, statement)
			if err != nil {
				t.Fatal(err)
			}
			now := ask(t, s.dir, strings.Replace(statement, table+" t", fmt.Sprintf("%s_at(%d) t", table, at), 1))
			if now[0] != then[0] {
				t.Errorf("%s_at(%d) is %s, want %s", table, at, now[0], then[0])
			}
		}
	}
}

// TestWhatWasTamperedWithIsFound changes what is published, and compares it
// with what follows from the log.
func TestWhatWasTamperedWithIsFound(t *testing.T) {
	s := newSite(t, nil)
	s.readDay("2026-10-14")
	out := s.publish()
	want, err := warehouse.ReadContents(t.Context(), s.dir, warehouse.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	scratch := s.config
	scratch.Dir = t.TempDir()
	derived, err := warehouse.Derive(t.Context(), s.player.Log, out.Position, scratch)
	if err != nil {
		t.Fatal(err)
	}
	if differ := warehouse.Compare(want, derived); len(differ) > 0 || want.Digest != derived.Digest {
		t.Errorf("what was published and what follows from the log differ: %v", differ)
	}
	for _, c := range []struct{ statement, table, why string }{
		{"UPDATE open.margins SET mining_revenue = mining_revenue + 0.0000000001 WHERE start_utc = '2026-10-14 12:00:00'", "margins", "some are not what follows"},
		{"DELETE FROM contracts WHERE contract = 'castellan'", "contracts", "and 2 follow from the log"},
	} {
		if err := warehouse.Alter(t.Context(), s.dir, c.statement); err != nil {
			t.Fatal(err)
		}
		got, err := warehouse.ReadContents(t.Context(), s.dir, warehouse.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		found := slices.ContainsFunc(warehouse.Compare(got, derived), func(d warehouse.Difference) bool { return d.Table == c.table && strings.Contains(d.Why, c.why) })
		if !found || got.Digest == derived.Digest {
			t.Errorf("%s: found %v", c.statement, warehouse.Compare(got, derived))
		}
	}
	if err := warehouse.Files(t.Context(), s.dir); err != nil {
		t.Errorf("the files alone: %v", err)
	}

	// Another version's database is not read by this one, and made anew.
	if err := warehouse.Alter(t.Context(), s.dir, "UPDATE published SET schema_version = 'older'"); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"contents": func() error { _, err := warehouse.ReadContents(t.Context(), s.dir, warehouse.Limits{}); return err }(),
		"files":    warehouse.Files(t.Context(), s.dir),
		"as of":    func() error { _, err := warehouse.AsOf(t.Context(), s.player.Log, 3, s.config); return err }(),
	} {
		if err == nil || !strings.Contains(err.Error(), "schema") || !strings.Contains(err.Error(), "warehouse rebuild") {
			t.Errorf("%s of another version: %v", what, err)
		}
	}
	s.close()
	s.open()
	s.publish()
	again, err := warehouse.ReadContents(t.Context(), s.dir, warehouse.Limits{})
	if err != nil || again.Digest != derived.Digest {
		t.Errorf("made anew: %v, %v", warehouse.Compare(again, derived), err)
	}
}
