package warehouse_test

import (
	"strings"
	"testing"

	"wattbook/queries/warehouse"
)

// TestAWrongColumnIsAnsweredByThoseThatThereAre asks for columns that there
// are not: DuckDB offers "margin" for "day".
func TestAWrongColumnIsAnsweredByThoseThatThereAre(t *testing.T) {
	s := newSite(t, nil)
	s.readDay("2026-10-14")
	s.publish()
	client, err := warehouse.OpenClient(t.Context(), s.dir, warehouse.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, c := range []struct{ statement, want, not string }{
		{"SELECT day FROM margins_by_day", "margins_by_day has the columns position, site, local_day, use,", "Candidate"},
		{"SELECT m.customer_nam FROM Margins_By_Customer m JOIN sites USING (site)", "margins_by_customer has the columns position, site, customer,", "Candidate"},
		{"SELECT x FROM (SELECT 1 AS y)", "Referenced column", "has the columns"},
		{"SELECT 1 FROM margins_by_dy", "margins_by_dy does not exist", "has the columns"},
	} {
		err := client.Query(t.Context(), c.statement, func([]warehouse.Column) error { return nil }, func([]any) error { return nil })
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), c.not) {
			t.Errorf("%s: %v\nwant %q, and no %q", c.statement, err, c.want, c.not)
		}
	}
}

// TestDescribeSaysWhatColumnsMean looks for the comments in it, in the order of
// the columns, whatever way the table is named.
func TestDescribeSaysWhatColumnsMean(t *testing.T) {
	s := newSite(t, nil)
	s.readDay("2026-10-14")
	s.publish()
	for _, statement := range []string{"DESCRIBE devices", "desc Devices;", " DESCRIBE TABLE wh.main.\"devices\" ; "} {
		rows := ask(t, s.dir, statement)
		if len(rows) < 3 || rows[0] != "position|BIGINT|NO|of the registration" || !strings.HasPrefix(rows[2], "device|VARCHAR|NO|names the place and duty") {
			t.Errorf("%s: %q", statement, rows)
		}
	}
	for _, c := range []struct{ statement, want string }{
		{"DESCRIBE readings", "unit"},
		{"DESCRIBE SELECT 1 AS one", "one|INTEGER"},
		{"DESCRIBE (FROM sites)", "zone|VARCHAR"},
	} {
		if rows := strings.Join(ask(t, s.dir, c.statement), "\n"); !strings.Contains(rows, c.want) || strings.Contains(c.statement, "readings") && strings.Contains(rows, "<nil>") {
			t.Errorf("%s: %s", c.statement, rows)
		}
	}
	if _, err := try(s.dir, "DESCRIBE device"); err == nil || !strings.Contains(err.Error(), "device does not exist") {
		t.Errorf("a table that there is not: %v", err)
	}
}
