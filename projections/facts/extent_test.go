package facts_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"wattbook/domain"
	"wattbook/projections/logscript"
)

// TestExtentLeavesOutTheYearsBetween holds that two readings a year apart are
// two days of intervals and not a year of them.
func TestExtentLeavesOutTheYearsBetween(t *testing.T) {
	p := logscript.New()
	if err := p.Play(`
site s
meter revenue
meter c1 under=revenue use=mining
miner c1-r1 under=c1
read revenue 2026-01-02T10:00..2026-01-02T10:05 1kWh
read c1 2026-01-03T00:00..2026-01-03T00:05 1kWh
read c1-r1 2027-05-01T10:00..2027-05-01T10:05 100shares
`); err != nil {
		t.Fatal(err)
	}
	f, err := p.Facts()
	if err != nil {
		t.Fatal(err)
	}
	at := func(s string) domain.Instant {
		v, err := p.Instant(s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	want := []domain.Interval{
		{Start: at("2026-01-02T10:00"), End: at("2026-01-04")},
		{Start: at("2027-05-01"), End: at("2027-05-01T10:05")},
	}
	if diff := cmp.Diff(want, f.Table("s").Extent(0)); diff != "" {
		t.Errorf("extent (-want +got):\n%s", diff)
	}
	want[0].Start = at("2026-01-03")
	if diff := cmp.Diff(want, f.Table("s").Extent(at("2026-01-03T17:05"))); diff != "" {
		t.Errorf("extent from the second day (-want +got):\n%s", diff)
	}
	if got := f.Table("s").Extent(at("2027-05-02")); len(got) > 0 {
		t.Errorf("extent after all that is known is %v", got)
	}
}
