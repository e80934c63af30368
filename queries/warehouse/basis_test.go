package warehouse_test

import (
	"strings"
	"testing"

	"wattbook/queries/warehouse"
)

// TestMarginsSwitchToWhatThePoolStates publishes while knowledge of a day of
// mining arrives, in whatever order, and wants what follows from the log each
// time. A day of 24 intervals earns 0.024 x 3.135 BTC less 2 %.
func TestMarginsSwitchToWhatThePoolStates(t *testing.T) {
	s := siteOf(t, `
now 2026-10-01T00:00
site cedar step=1h zone=America/Chicago adder=5 pool=foundry/s fee=0.02
meter revenue
meter c1 under=revenue use=mining
miner m1 under=c1
difficulty 969696 2026-09-30 1d00ffff
fees 2026-09-30 100 100000000
bitcoin USD 2026-09-30..2026-11-05 1h 100000
price hb_south 2026-10@UTC 1h 50
read revenue 2026-10-10..2026-10-13 310kWh every=1h
read c1 2026-10-10..2026-10-13 300kWh every=1h
read m1 2026-10-10..2026-10-13 0.001shares every=1h`, nil)
	for _, step := range []struct {
		name, lines, basis, revenue, satoshi string
	}{
		{"accepted work alone", "", "estimated", "22120.5600000000", "7373520.0000000000"},
		{"a statement of a day that is not over", "statement foundry/s 2026-10-11 net=5 partial", "estimated", "22120.5600000000", "7373520.0000000000"},
		{"a statement", "statement foundry/s 2026-10-11 net=6636169", "estimated stated", "21383.2090000000", "6636169.0000000000"},
		{"a late reading of the stated day", "read m1 2026-10-11T20:00..2026-10-11T21:00 0.005shares mark=corrected", "estimated stated", "21383.2090000000", "6636169.0000000000"},
		{"what arrived", "payout foundry/s 2026-10-12T06:00 6636169 tx=t1 block=b1", "estimated received", "21383.2090000000", "6636169.0000000000"},
		{"a block that is undone", "reversed foundry/s t1 b1", "estimated stated", "21383.2090000000", "6636169.0000000000"},
		{"a statement of the day before, late", "statement foundry/s 2026-10-10 net=7373520", "estimated stated", "21383.2090000000", "6636169.0000000000"},
		{"a restated day", "statement foundry/s 2026-10-11 net=7000000", "estimated stated", "21747.0400000000", "7000000.0000000000"},
	} {
		s.play(step.lines)
		out := s.publish()
		got := ask(t, s.dir, `SELECT (SELECT string_agg(DISTINCT revenue_basis, ' ' ORDER BY revenue_basis) FROM margins), sum(mining_revenue),
			sum(earned_satoshi) FILTER (start_utc >= '2026-10-11' AND start_utc < '2026-10-12') FROM margins`)
		if want := strings.Join([]string{step.basis, step.revenue, step.satoshi}, "|"); got[0] != want {
			t.Errorf("%s: got %s, want %s", step.name, got[0], want)
		}
		if classes := ask(t, s.dir, "SELECT sum(revenue) FROM margins_by_device_class"); classes[0] != step.revenue {
			t.Errorf("%s: classes of miners earned %s, want %s", step.name, classes[0], step.revenue)
		}
		published, err := warehouse.ReadContents(t.Context(), s.dir, warehouse.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		scratch := s.config
		scratch.Dir = t.TempDir()
		derived, err := warehouse.Derive(t.Context(), s.player.Log, out.Position, scratch)
		if err != nil {
			t.Fatal(err)
		}
		if differ := warehouse.Compare(published, derived); len(differ) > 0 {
			t.Errorf("%s: what was published and what follows from the log differ: %v", step.name, differ)
		}
	}
}
