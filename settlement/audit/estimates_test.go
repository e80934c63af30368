package audit_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/wire"
	"wattbook/projections/facts"
	"wattbook/projections/logscript"
	"wattbook/settlement"
	"wattbook/settlement/audit"
)

// withGaps is a month in which n4 was silent for some hours, each of which is
// estimated by another method, and what it is billed on.
const withGaps = `
site s step=1h zone=America/Chicago loss=0.01 fee=0.02 pool=foundry/s
meter revenue
meter c1 under=revenue use=mining
meter n4 under=revenue use=ai
price hb_south 2026-10@America/Chicago 1h 41.27
read revenue 2026-10@America/Chicago 303kWh every=1h
read c1 2026-10@America/Chicago 260kWh every=1h
read n4 2026-10-01@America/Chicago..2026-10-14T10:00 40kWh every=1h
read n4 2026-10-14T13:00..2026-10-20T02:00 41kWh every=1h
read n4 2026-10-20T04:00..2026-10-25T00:00 40kWh every=1h
read n4 2026-10-25T02:00..2026-11-01@America/Chicago 40kWh every=1h
contract aurora zone=America/Chicago tax=0.0825 from=2026-10-01@America/Chicago
charge power power-pass-through n4 adder=5 loss=0.01
now 2026-11-02T09:00
estimate n4 2026-10-14T10:00..2026-10-14T13:00 mean-of-neighbours
estimate n4 2026-10-20T00:00..2026-10-20T12:00 previous-day-same-interval
estimate n4 2026-10-25T00:00..2026-10-25T02:00 residual-of-balance reason=upgrade
`

// estimated returns a log in which the month is played and billed.
func estimated(t *testing.T) *logscript.Player {
	t.Helper()
	p := logscript.New()
	if err := p.Play(withGaps); err != nil {
		t.Fatal(err)
	}
	s := &settlement.Settler{
		Log: p.Log, Facts: facts.New(), Now: p.Now,
		Render: func(inv domain.Invoice) ([]settlement.Document, error) { return render(inv, nil) },
	}
	period := domain.Period{Year: 2026, Month: 10}
	if _, err := s.Close(t.Context(), "s", period); err != nil {
		t.Fatal(err)
	}
	if all, err := s.Issue(t.Context(), "s", period); err != nil || len(all) != 1 {
		t.Fatalf("issued %d, %v", len(all), err)
	}
	return p
}

func TestEstimatesComeOutAgain(t *testing.T) {
	p := estimated(t)
	// A reading that comes later counts in an estimate's place, and changes
	// nothing of how it was made.
	if err := p.Play("read n4 2026-10-14T11:00..2026-10-14T12:00 39kWh", "read n4 2026-10-14T09:00..2026-10-14T10:00 60kWh mark=corrected"); err != nil {
		t.Fatal(err)
	}
	found := run(t, p.Log)
	if k := found.Kinds[0]; k.Name != "estimates" || k.Checked != 3 || k.Different != 0 || len(found.Differences) > 0 {
		t.Fatalf("%+v, differences %+v", k, found.Differences)
	}
}

// TestATamperedEstimateIsNamed changes what is on record of an estimate in
// turn: its event, its readings, and what it rests on.
func TestATamperedEstimateIsNamed(t *testing.T) {
	p := estimated(t)
	readings := func(change func(b *domain.ReadingsRecorded)) func(domain.Event) domain.Event {
		return func(e domain.Event) domain.Event {
			b, ok := e.(domain.ReadingsRecorded)
			if !ok || b.Origin.Source != "estimate" || len(b.Readings) != 3 {
				return nil
			}
			b.Readings = slices.Clone(b.Readings)
			change(&b)
			return b
		}
	}
	const first = "estimate of n4 for [2026-10-14T10:00:00Z, 2026-10-14T13:00:00Z) by mean-of-neighbours: "
	for _, c := range []struct {
		name   string
		change func(domain.Event) domain.Event
		want   string
	}{
		{"its sum", forged(func(e *domain.ReadingsEstimated) { e.Value = domain.Int(1) }), first + `value is "1" on record, and "121500000" when it is derived`},
		{"its number of intervals", forged(func(e *domain.ReadingsEstimated) { e.Intervals = 2 }), first + "intervals is 2 on record, and 3 when it is derived"},
		{
			"its method", forged(func(e *domain.ReadingsEstimated) { e.Method = domain.PreviousDay }),
			"estimate of n4 for [2026-10-14T10:00:00Z, 2026-10-14T13:00:00Z) by previous-day-same-interval: " + `value is "121500000" on record, and "120000000" when it is derived`,
		},
		{
			"a method that cannot do it", forged(func(e *domain.ReadingsEstimated) { e.Device = "revenue"; e.Method = domain.BalanceResidual }),
			"estimate of revenue for [2026-10-14T10:00:00Z, 2026-10-14T13:00:00Z) by residual-of-balance: nothing of revenue was missing in",
		},
		{"of another site", forged(func(e *domain.ReadingsEstimated) { e.Site = "t" }), first + "site t is not registered"},
		{"when it was drawn", forged(func(e *domain.ReadingsEstimated) { e.AsOf = 5 }), first + "estimate [2026-10-14T10:00:00Z, 2026-10-14T11:00:00Z) of n4 by mean-of-neighbours: it has no neighbour within 24h0m0s"},
		{
			"a value", readings(func(b *domain.ReadingsRecorded) { b.Readings[1].Value = domain.Int(99_000_000) }),
			first + "the reading for [2026-10-14T11:00:00Z, 2026-10-14T12:00:00Z) is 99 kWh on record, and 40.5 kWh when it is derived",
		},
		{
			"a value that is left out", readings(func(b *domain.ReadingsRecorded) { b.Readings = b.Readings[:2] }),
			first + "the reading for [2026-10-14T12:00:00Z, 2026-10-14T13:00:00Z) is absent on record, and 40.5 kWh when it is derived",
		},
		{
			"a value too many", readings(func(b *domain.ReadingsRecorded) {
				more := b.Readings[2]
				more.Interval = domain.Interval{Start: more.Interval.End, End: more.Interval.End.Add(domain.Hour)}
				b.Readings = append(b.Readings, more)
			}),
			first + "the reading for [2026-10-14T13:00:00Z, 2026-10-14T14:00:00Z) is marked as estimated on record, and was not missing",
		},
		{
			"a value of another meter", readings(func(b *domain.ReadingsRecorded) { b.Readings[0].Device = "c1" }),
			first + "a reading of c1, energy.import for [2026-10-14T10:00:00Z, 2026-10-14T11:00:00Z) is marked as estimated on record, and was not missing",
		},
		{
			"readings that nobody answers for", readings(func(b *domain.ReadingsRecorded) { b.Origin.Evidence = domain.DigestOf([]byte("other")) }),
			"estimate of n4 for [2026-10-14T10:00:00Z, 2026-10-14T11:00:00Z): 3 reading(s) are marked as estimated, and no event says by what method",
		},
		{
			"what it rests on", func(e domain.Event) domain.Event {
				b, ok := e.(domain.ReadingsRecorded)
				if last := len(b.Readings) - 1; ok && b.Readings[0].Device == "n4" && b.Readings[last].Interval.End.String() == "2026-10-14T10:00:00Z" {
					b.Readings = slices.Clone(b.Readings)
					b.Readings[last].Value = domain.Int(10_000_000)
					return b
				}
				return nil
			},
			first + `value is "121500000" on record, and "76500000" when it is derived`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := run(t, forge(t, p.Log, c.change))
			for _, d := range r.Differences {
				if strings.HasPrefix(d.What+": "+d.Why, c.want) {
					return
				}
			}
			t.Errorf("got  %+v\nwant %s", r.Differences, c.want)
		})
	}
}

// TestTheProofOfAnInvoiceHoldsItsEstimates holds that the events of an invoice
// say of each estimated reading by what method it was made, by whom and why.
func TestTheProofOfAnInvoiceHoldsItsEstimates(t *testing.T) {
	p := estimated(t)
	f, err := p.Facts()
	if err != nil {
		t.Fatal(err)
	}
	e, err := audit.EvidenceOf(f, f.Invoices()[0].Invoice)
	if err != nil {
		t.Fatal(err)
	}
	picked := picks(t, p.Log, e)
	said := map[domain.Digest]string{}
	readings := 0
	for _, r := range picked {
		rec, err := wire.Open(r)
		if err != nil {
			t.Fatal(err)
		}
		switch e := rec.Event.(type) {
		case domain.ReadingsEstimated:
			said[e.Origin.Evidence] = e.Reason
		case domain.ReadingsRecorded:
			if e.Readings[0].Mark == domain.MarkEstimated {
				readings += len(e.Readings)
			}
		}
	}
	if readings != 7 || len(said) != 3 {
		t.Errorf("%d estimated readings and %d events that say how; want 7 and 3", readings, len(said))
	}
	got, err := audit.Recompute(picked)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"n4 mean-of-neighbours ana fuse 3", "n4 previous-day-same-interval ana fuse 2", "n4 residual-of-balance ana upgrade 2"}
	if diff := cmp.Diff(want, told(got.Estimates)); diff != "" {
		t.Errorf("estimates (-want +got):\n%s", diff)
	}
	// A proof that was made without these events still says that it rests on
	// estimates.
	bare := slices.DeleteFunc(picked, func(r eventlog.Record) bool { return r.Type == wire.ReadingsEstimated })
	if got, err = audit.Recompute(bare); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"    7"}, told(got.Estimates)); diff != "" {
		t.Errorf("estimates without their events (-want +got):\n%s", diff)
	}
}

func told(estimates []audit.Estimated) (all []string) {
	for _, e := range estimates {
		all = append(all, fmt.Sprintf("%s %s %s %s %d", e.Device, e.Method, e.By, e.Reason, e.Readings))
	}
	return all
}
