package warehouse_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"wattbook/domain"
	"wattbook/projections/facts"
	"wattbook/queries/sql"
	"wattbook/settlement"
)

// charged has a contract of each kind of charge, or of several.
const charged = `
site s step=1h zone=America/Chicago
meter revenue
meter n4 under=revenue use=ai
meter n5 under=revenue use=ai
read revenue 2026-10@America/Chicago 31kWh every=1h
read n4 2026-10@America/Chicago 7123Wh every=1h
read n5 2026-10@America/Chicago 5001Wh every=1h
read n5 2026-10-20T10:00..2026-10-20T13:00 30kWh mark=corrected
price hb_south 2026-10@America/Chicago 1h 41.27
price hb_south 2026-10-14T10:00 15m 90 -12.5 17 120 corrects=yes
price hb_south 2026-10-15T10:00 1h 90 -12.5 corrects=yes
now 2026-11-02T09:00
contract aurora zone=America/Chicago tax=0.0825
charge reserved reserved-gpus 4 x 1450 overage=2.75
charge more on-demand-gpus 3
start job-1 aurora 12 2026-10-14T01:20
end job-1 2026-10-16T17:45
contract birch zone=America/Chicago tax=0.0825 from=2026-10-07T13:37
charge base fixed 99.99
charge space reserved-power 7 x 155.6 until=2026-10-20
contract castellan zone=America/Chicago
charge power power-pass-through n4 adder=5.25 loss=0.012 pue=1.25 index-floor=-5 index-cap=60
contract dune zone=America/Chicago from=2026-10-05T00:00
charge energy usage kwh 0.083 meters=n5
charge peak demand 11.5 meters=n5
contract elm zone=America/Chicago
charge energy usage kwh meters=n5 windows=night@22:00-06:00@0.08,day@06:00-22:00@0.12
contract fir zone=America/Chicago
charge reserved reserved-gpus 2 x 1001 factor=1.5
start job-2 fir 5 2026-10-10T01:00
end job-2 2026-10-12T01:10
contract gum zone=America/Chicago
charge used usage gpu-hours model=graduated tiers=10:2.5+5,20:2,:1.5
start job-3 gum 12 2026-10-14T12:00
end job-3 2026-10-14T14:00
contract hazel zone=America/Chicago tax=0.07
charge reserved reserved-gpus 2 x 1000
charge more on-demand-gpus 2.49
start job-4 hazel 5 2026-10-01T01:00
end job-4 2026-10-11T02:00
contract iris zone=America/Chicago
charge base fixed 100
charge least minimum 500
contract juniper zone=America/Chicago
charge base fixed 100
contract juniper version=2 zone=America/Chicago from=2026-10-16T00:00
charge base fixed 150
charge space reserved-power 3 x 150
`

// settle closes October, issues its invoices, or their notes.
func (s *site) settle() {
	s.Helper()
	told := func(name string, v any) ([]settlement.Document, error) {
		b, err := json.Marshal(v)
		return []settlement.Document{{Name: name, Content: b}}, err
	}
	if _, err := s.player.Facts(); err != nil { // the last contract is signed
		s.Fatal(err)
	}
	run := &settlement.Settler{
		Log: s.player.Log, Facts: facts.New(), Now: s.player.Now,
		Render:     func(inv domain.Invoice) ([]settlement.Document, error) { return told(inv.Number, inv) },
		RenderNote: func(n domain.Note) ([]settlement.Document, error) { return told(n.Number, n) },
	}
	period := domain.Period{Year: 2026, Month: time.October}
	if _, err := run.Close(s.Context(), s.player.Site(), period); err != nil {
		s.Fatal(err)
	}
	if _, err := run.Issue(s.Context(), s.player.Site(), period); err != nil {
		s.Fatal(err)
	}
	if _, err := run.Correct(s.Context(), s.player.Site(), period); err != nil {
		s.Fatal(err)
	}
}

// totals returns what the question says of each invoice and note.
func (s *site) totals() []string {
	s.Helper()
	for _, q := range sql.Questions() {
		if q.Name == "invoice-totals" {
			return ask(s.T, s.dir, fmt.Sprintf("SELECT i.contract, t.number, t.computed, t.issued, t.same, t.why FROM query('%s') t JOIN invoices i ON i.number = t.invoice ORDER BY i.contract, t.number",
				strings.ReplaceAll(strings.TrimSuffix(q.Statement, ";\n"), "'", "''")))
		}
	}
	s.Fatal("invoice-totals is gone")
	return nil
}

// What SQL computes from readings, prices, allocations and contracts is what
// was issued, of every invoice and of every note, and says so where it cannot.
func TestInvoicesAndNotesAreComputedAgainInSQL(t *testing.T) {
	s := siteOf(t, charged, nil)
	s.settle()
	s.publish()
	check := func(documents, unsaid int) {
		t.Helper()
		all := s.totals()
		if len(all) != documents {
			t.Errorf("%d documents, want %d", len(all), documents)
		}
		silent := 0
		for _, row := range all {
			if strings.Contains(row, "|<nil>|") && strings.Contains(row, "charge ") {
				silent++
			} else if !strings.HasSuffix(row, "|true|<nil>") {
				t.Errorf("it comes out otherwise: %s", row)
			}
		}
		if silent != unsaid {
			t.Errorf("%d documents are not computed, want %d:\n%s", silent, unsaid, strings.Join(all, "\n"))
		}
	}
	check(10, 2)
	s.play("now 2026-11-05T09:00\nread n4 2026-10-14T10:00..2026-10-14T11:00 8kWh mark=corrected\nread n5 2026-10-21T03:00..2026-10-21T04:00 50kWh mark=corrected\nprice hb_south 2026-10-22T10:00 1h 55.55 corrects=yes\nstart job-9 hazel 7 2026-10-20T03:00\nend job-9 2026-10-20T09:59\nstart job-8 aurora 3 2026-10-20T03:00\nend job-8 2026-10-20T09:59")
	s.settle()
	s.publish()
	check(14, 2)
}

// The work of a use stands in its intervals, as far as its machines told it.
func TestIntervalsHaveTheWorkOfTheirUse(t *testing.T) {
	s := newSite(t, nil)
	s.readDay("2026-10-14")
	s.play("read m1 2026-10-14T10:00..2026-10-14T11:00 12Phashes every=5m\nread c1 2026-10-14T11:00..2026-10-14T12:00 2400kWh mark=estimated")
	s.publish()
	for _, c := range []struct{ ask, want string }{
		{"SELECT string_agg(DISTINCT part, ','), count(*), sum(hashes) FROM intervals WHERE hashes IS NOT NULL", "mining|12|144000000000000000"},
		{"SELECT part, energy_milliwatt_hours, estimated_milliwatt_hours FROM intervals WHERE start_utc = '2026-10-14 11:30:00' AND part IN ('mining', 'losses') ORDER BY part DESC", "mining|200000000|200000000"},
		{"SELECT sum(estimated_milliwatt_hours) FROM intervals WHERE part <> 'mining'", "0"},
		{"SELECT count(estimated_milliwatt_hours) FROM intervals WHERE part IN ('losses', 'residual')", "0"},
	} {
		if got := ask(t, s.dir, c.ask); len(got) == 0 || got[0] != c.want {
			t.Errorf("%s\n got %q\nwant %q", c.ask, got, c.want)
		}
	}
}
