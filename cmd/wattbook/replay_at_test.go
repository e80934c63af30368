package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"wattbook/domain"
)

// TestReplayAtAgreesWithTheWarehouse asks both for a month with what was known
// at moments before, at and after its closing.
func TestReplayAtAgreesWithTheWarehouse(t *testing.T) {
	dir := t.TempDir()
	smallBook(t, dir)
	data := filepath.Join(dir, "book")
	ask := func(into any, args ...string) {
		t.Helper()
		got := wattbook(t, append(args, "--json", "--data", data)...)
		if got.code != exitOK {
			t.Fatalf("%s: exit %d\n%s", args, got.code, got.errors)
		}
		if err := json.Unmarshal([]byte(got.out), into); err != nil {
			t.Fatalf("%s: %v\n%s", args, err, got.out)
		}
	}
	var closings []struct {
		Position int64 `json:"as_of_position"`
		Closing  int64 `json:"position"`
	}
	ask(&closings, "sql", "SELECT as_of_position, position FROM closed_periods")
	if len(closings) != 1 {
		t.Fatalf("%d closings, want 1", len(closings))
	}
	seen := map[string]bool{}
	for _, at := range []string{"5", "2026-10", fmt.Sprint(closings[0].Closing + 1), "2026-11-05T12:00:00Z", "2026-11-05", fmt.Sprint(closings[0].Closing + 2)} {
		var known []asKnown
		ask(&known, "replay", "--at", at, "--month", "2026-10")
		var rows []struct {
			Use     string         `json:"use"`
			Energy  domain.Energy  `json:"energy"`
			Revenue domain.Decimal `json:"revenue"`
			Cost    domain.Decimal `json:"cost"`
			Margin  domain.Decimal `json:"margin"`
		}
		ask(&rows, "sql", "--at", at, "SELECT use, COALESCE(energy_milliwatt_hours, 0) AS energy, COALESCE(revenue, 0)::VARCHAR AS revenue, COALESCE(energy_cost, 0)::VARCHAR AS cost, COALESCE(margin, 0)::VARCHAR AS margin FROM margins_by_month WHERE month = '2026-10'")
		want := map[string]string{}
		for _, u := range known[0].Uses {
			if known[0].Intervals > 0 {
				want[u.Use] = fmt.Sprint(u.Energy, u.Revenue, u.Cost, u.Margin)
			}
		}
		if len(rows) != len(want) {
			t.Errorf("--at %s: %d uses in the warehouse, and %d in the replay", at, len(rows), len(want))
		}
		for _, r := range rows {
			if got := fmt.Sprint(r.Energy, r.Revenue, r.Cost, r.Margin); got != want[r.Use] {
				t.Errorf("--at %s: %s is %s in the warehouse, and %s in the replay", at, r.Use, got, want[r.Use])
			}
			seen[fmt.Sprint(want)] = true
		}
		var numbers []struct {
			Number   string `json:"number"`
			Position int64  `json:"position"`
		}
		ask(&numbers, "sql", "--at", at, "SELECT (SELECT string_agg(number, ',' ORDER BY number) FROM invoices WHERE period = '2026-10') AS number, position FROM published")
		var issued []string
		for _, i := range known[0].Invoices {
			issued = append(issued, i.Number)
		}
		if numbers[0].Number != strings.Join(issued, ",") || numbers[0].Position != int64(known[0].Position) {
			t.Errorf("--at %s: position %d with invoices %q in the warehouse, and %d with %q in the replay", at, numbers[0].Position, numbers[0].Number, known[0].Position, issued)
		}
		seen[numbers[0].Number] = true
	}
	if len(seen) < 3 {
		t.Errorf("the moments do not differ: %v", seen)
	}
}
