package warehouse_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"wattbook/domain"
	"wattbook/projections/facts"
	"wattbook/queries/sql"
	"wattbook/settlement"
	"wattbook/settlement/journal"
)

// daily is a site that is metered by the day, so that its month is small.
const daily = `
now 2026-10-01T00:00
site cedar step=24h zone=UTC adder=5 pool=foundry/s fee=0.02
meter revenue
meter n4 under=revenue use=ai
meter c1 under=revenue use=mining
miner m1 under=c1
gpu g under=n4
difficulty 969696 2026-09-30 1d00ffff
fees 2026-09-30 100 100000000
bitcoin USD 2026-09-30..2026-11-05 24h 98211.42
price hb_south 2026-10@UTC 24h 50.0137
contract aurora tax=0.0825
charge space reserved-power 7 x 101.37
charge power power-pass-through n4 loss=0.013
charge sla sla-credit g outage=1h bands=0.97:0.1,0.9:0.3
contract brightwater
charge used on-demand-gpus 2.49
charge sla sla-credit g on-claim outage=1h bands=0.999:0.05
start j brightwater 3 2026-10-05T13:00
end j 2026-10-07T07:13
`

// metered is what the meters count over some days.
func metered(days string) string {
	return fmt.Sprintf("read revenue %[1]s 310kWh every=24h\nread n4 %[1]s 100.5kWh every=24h\nread c1 %[1]s 200kWh every=24h\nread m1 %[1]s 0.024shares every=24h", days)
}

// monthly is a version of a contract whose charges are rated over a month.
func monthly(version, force string) string {
	return "contract coral version=" + version + " " + force + `
charge tiers usage kwh meters=n4 model=graduated tiers=1000:0.2,:0.1+7
charge peak demand 2.003 meters=n4
charge support percentage 0.03 of=tiers
charge commit commitment 9000 months=3 true-up
charge sla sla-credit g of=tiers,peak outage=1h bands=0.97:0.1`
}

// booked wants the table journal to be the books that are derived from the log.
func (s *site) booked(when string) {
	s.Helper()
	books, err := journal.Build(s.Context(), s.player.Log, "cedar", nil)
	if err != nil {
		s.Fatal(err)
	}
	var want []string
	for _, e := range books.Entries {
		for _, p := range e.Postings {
			want = append(want, fmt.Sprintf("%s|%s|%t|%d|%s|%s|%s|%s", e.Date, e.Narration, e.Pending, e.Position, e.Event, p.Account, p.Amount.Fixed(10), p.Commodity))
		}
	}
	got := ask(s.T, s.dir, "SELECT local_day, narration, pending, position, event, account, amount, commodity FROM journal ORDER BY local_day, position, entry, posting")
	slices.Sort(got) // entries of one event and day have no order
	slices.Sort(want)
	if len(want) == 0 || !slices.Equal(got, want) {
		s.Fatalf("%s: the journal has\n%q\nand the books are\n%q", when, got, want)
	}
	if sums := ask(s.T, s.dir, "SELECT site, position, entry FROM journal GROUP BY site, position, entry, value_currency HAVING sum(value) <> 0"); len(sums) > 0 {
		s.Errorf("%s: entries do not sum to zero: %q", when, sums)
	}
}

// TestTheJournalIsTheBooks publishes step by step, with a late reading, a
// closing, an invoice and what follows it between the steps, and wants the
// table to be the books every time; and again when it is made in one go, where
// facts that came after the closing have changed the month.
func TestTheJournalIsTheBooks(t *testing.T) {
	s := siteOf(t, daily, nil)
	period := domain.Period{Year: 2026, Month: time.October}
	bills := settlement.Settler{Log: s.player.Log, Facts: facts.New(), Now: s.player.Now, Render: func(inv domain.Invoice) ([]settlement.Document, error) {
		b, err := json.Marshal(inv)
		return []settlement.Document{{Name: inv.Number, Content: b}}, err
	}}
	closed := func() {
		if _, err := bills.Close(t.Context(), "cedar", period); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"some days", func() { s.play(metered("2026-10-01..2026-10-14")) }},
		{"a contract that is rated over its months", func() { s.play(monthly("1", "from=2026-10-01 until=2026-11-01")) }},
		{"more days", func() { s.play(metered("2026-10-14..2026-11-01")) }},
		{"a device that is read but for two days", func() {
			s.play("read g 2026-10-01..2026-10-20 2kWh every=24h\nread g 2026-10-22..2026-11-01 2kWh every=24h")
		}},
		{"a claim", func() { s.play("claim brightwater sla 2026-10") }},
		{"a late reading of it", func() { s.play("read g 2026-10-20..2026-10-21 2kWh") }},
		{"a late reading", func() { s.play("read c1 2026-10-10..2026-10-11 300kWh mark=corrected") }},
		{"what arrived", func() { s.play("payout foundry/s 2026-10-15T06:00 8848224") }},
		{"what the pool states", func() { s.play("statement foundry/s 2026-10-14 subsidy=7500000 fees=24000 fee=150480 net=7373520") }},
		{"what was sold", func() { s.play("sell 0.05 BTC 4900.07 2026-10-16T12:00 network=141") }},
		{"a closed month", func() { s.play("now 2026-11-02T09:00"); closed() }},
		{"a bill", func() { s.play("bill 2026-10@UTC 2440.10") }},
		{"issued invoices", func() {
			if _, err := bills.Issue(t.Context(), "cedar", period); err != nil {
				t.Fatal(err)
			}
		}},
		{"readings after the closing", func() {
			s.play("read c1 2026-10-15..2026-10-16 100kWh mark=corrected\n" + metered("2026-11-01..2026-11-03"))
		}},
		{"a contract that goes on", func() { s.play(monthly("2", "from=2026-11-01")) }},
		{"another contract", func() {
			s.play("contract aurora version=2 from=2026-10-15T12:00 tax=0.0825\ncharge used on-demand-gpus 3.1")
		}},
	} {
		step.do()
		s.publish()
		s.booked(step.name)
	}
	s.close()
	s.open()
	s.publish()
	s.booked("after a restart")
}

// TestAClosingIsDrawnAsOfItsTime signs a version from the next month on after a
// month was closed in which a commitment ended by what was known, and publishes
// both at once: the books keep what was due of the commitment. What such charges
// have accrued is in the question of what is not billed.
func TestAClosingIsDrawnAsOfItsTime(t *testing.T) {
	s := siteOf(t, daily, nil)
	s.play(metered("2026-10-01..2026-11-01"))
	s.play(monthly("1", "from=2026-10-01 until=2026-11-01"))
	s.play("now 2026-11-02T09:00")
	bills := settlement.Settler{Log: s.player.Log, Facts: facts.New(), Now: s.player.Now}
	if _, err := bills.Close(t.Context(), "cedar", domain.Period{Year: 2026, Month: time.October}); err != nil {
		t.Fatal(err)
	}
	s.play(monthly("2", "from=2026-11-01"))
	s.publish()
	s.booked("a version after the closing")
	balance := ask(t, s.dir, "SELECT -sum(amount) FROM journal WHERE account = 'Income:AI:Commitment'")
	if len(balance) != 1 || !strings.HasPrefix(balance[0], "8") {
		t.Errorf("%q is due of the commitment, want what is left of 9000", balance)
	}
	for _, q := range sql.Questions() {
		if q.Name == "unbilled-at-period-end" {
			got := ask(t, s.dir, fmt.Sprintf("SELECT contract, last_day, unknown, unbilled = (SELECT sum(amount) FROM journal WHERE account = 'Assets:ContractAsset:Unbilled:Coral') FROM query('%s') WHERE contract = 'coral'",
				strings.ReplaceAll(strings.ReplaceAll(strings.TrimSuffix(q.Statement, ";\n"), "getvariable('day')", "NULL"), "'", "''")))
			if want := []string{"coral|2026-10-31|0|true"}; !slices.Equal(got, want) {
				t.Errorf("%s: got %q, want %q", q.Name, got, want)
			}
		}
	}
}
