package warehouse_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"wattbook/queries/warehouse"
)

// closedFiles are the compacted files that are read, by the kind of their names.
func closedFiles(t *testing.T, dir string) map[string]int {
	t.Helper()
	kinds := map[string]int{}
	for _, path := range ask(t, dir, "SELECT DISTINCT parse_filename(filename) FROM read_parquet(getvariable('wattbook_warehouse') || '/parts-*/closed/readings/*/*.parquet', filename = true)") {
		kind, _, _ := strings.Cut(path, "-")
		kinds[kind]++
	}
	return kinds
}

// TestFilesAreJoinedIntoLargerOnes publishes many small parts, and wants few
// files of them that say what one file says.
func TestFilesAreJoinedIntoLargerOnes(t *testing.T) {
	whole := siteOf(t, daily, nil)
	inline := siteOf(t, daily, func(c *warehouse.Config) { c.Parts, c.Merge = 2, 2 })
	beside := siteOf(t, daily, func(c *warehouse.Config) { c.Parts, c.Merge = 2, 2 })
	beside.out.InBackground(0)
	large := siteOf(t, daily, func(c *warehouse.Config) { c.Parts, c.Merge, c.Large = 2, 2, 1 })
	all := []*site{whole, inline, beside, large}
	for d := 1; d <= 8; d++ {
		for _, s := range all {
			s.play(metered(fmt.Sprintf("2026-10-%02d..2026-10-%02d", d, d+1)))
		}
		for _, s := range all[1:] {
			s.publish()
		}
	}
	// What goes on beside is taken over by a publication after its end.
	for d := 9; d < 12; d++ {
		for _, s := range all {
			s.play(metered(fmt.Sprintf("2026-10-%02d..2026-10-%02d", d, d+1)))
		}
		for _, s := range all[1:] {
			warehouse.Joined(s.out)
			s.publish()
		}
	}
	if kinds := closedFiles(t, beside.dir); kinds["m"] == 0 {
		t.Errorf("files %v, want some that were joined beside the publications", kinds)
	}
	whole.publish()
	want := contents(t, whole.dir)
	for _, s := range all[1:] {
		if got := contents(t, s.dir); !slices.Equal(got, want) {
			t.Errorf("%s: %d rows that are not the %d that one file has", filepath.Base(s.dir), len(got), len(want))
		}
	}
	if kinds := closedFiles(t, inline.dir); kinds["m2"] == 0 {
		t.Errorf("files %v, want one of the second level", kinds)
	}
	if kinds := closedFiles(t, large.dir); kinds["m"] > 0 || kinds["c"] < 4 {
		t.Errorf("files %v, want none that is joined of those that are large", kinds)
	}
	inline.close()
	inline.open()
	inline.play(metered("2026-10-29..2026-10-30"))
	inline.publish()
	if files := ask(t, inline.dir, "SELECT count(*) = count(DISTINCT (position, row)) FROM readings"); files[0] != "true" {
		t.Error("after a restart a reading is there twice")
	}
}

// TestAWarehouseThatIsMadeFromTheBeginningHasLargeFiles makes one in several
// files, goes on with it after a restart, and wants what small parts say.
func TestAWarehouseThatIsMadeFromTheBeginningHasLargeFiles(t *testing.T) {
	small := newSite(t, nil)
	bulk := newSite(t, func(c *warehouse.Config) { c.Rows, c.Bulk, c.Parts = 300, 1000, 3 })
	for _, date := range []string{"2026-10-14", "2026-10-15", "2026-10-16"} {
		small.readDay(date)
		small.publish()
		bulk.readDay(date)
	}
	if _, err := bulk.out.Publish(canceled(t), bulk.player.Log, bulk.facts()); err == nil {
		t.Error("a publication that is given up was published")
	}
	bulk.publish()
	if kinds := closedFiles(t, bulk.dir); kinds["c"] < 3 || len(kinds) != 1 {
		t.Errorf("files %v, want some that are not joined", kinds)
	}
	bulk.close()
	bulk.open()
	for _, s := range []*site{small, bulk} {
		s.readDay("2026-10-17")
		s.publish()
	}
	if got, want := contents(t, bulk.dir), contents(t, small.dir); !slices.Equal(got, want) {
		t.Errorf("%d rows in large files that are not the %d in small ones", len(got), len(want))
	}
}

// canceled returns a context that is done.
func canceled(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
