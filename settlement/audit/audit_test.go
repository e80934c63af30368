package audit_test

import (
	"encoding/json"
	"errors"
	"fmt"
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
	"wattbook/settlement/pools"
)

// october is a month with a conclusion of every kind to be drawn.
const october = `
site s step=1h zone=America/Chicago loss=0.01 fee=0.02 pool=foundry/s limit=12MW
meter revenue rated=14MW
meter c1 under=revenue use=mining rated=3.5MW
meter n4 under=revenue use=ai
miner m1 under=c1 typical=200kW typical-hash=12P
difficulty 969696 2026-09-30 1d00ffff
fees 2026-10-14 100 100000000
bitcoin USD 2026-09-30..2026-11-03 24h 98211.42
price hb_south 2026-10@America/Chicago 1h 41.27
read revenue 2026-10@America/Chicago 260kWh every=1h
read c1 2026-10@America/Chicago 200kWh every=1h
read n4 2026-10@America/Chicago 40kWh every=1h
read m1 2026-10@America/Chicago 0.001shares every=1h
contract aurora zone=America/Chicago tax=0.0825 from=2026-10-01@America/Chicago
charge power power-pass-through n4 adder=5 loss=0.01
now 2026-11-02T09:00
decide 2026-11-02T09:00..2026-11-02T10:00
decide 2026-11-02T10:00..2026-11-02T11:00
statement foundry/s 2026-10-14 subsidy=7500000 fees=24000 fee=150480 net=7373520
payout foundry/s 2026-10-15T13:27 7373520
`

// render makes the documents of an invoice.
func render(inv domain.Invoice, _ *facts.Facts) ([]settlement.Document, error) {
	b, err := json.Marshal(inv)
	return []settlement.Document{{Name: inv.Number + ".json", Content: b}}, err
}

func renderNote(n domain.Note, _ *facts.Facts) ([]settlement.Document, error) {
	b, err := json.Marshal(n)
	return []settlement.Document{{Name: n.Number + ".json", Content: b}}, err
}

// TestNotesComeOutAgain corrects a reading after the invoice, and the rate of
// the contract, and draws both notes again; then it forges one.
func TestNotesComeOutAgain(t *testing.T) {
	p := settled(t)
	s := &settlement.Settler{
		Log: p.Log, Facts: facts.New(), Now: p.Now,
		RenderNote: func(n domain.Note) ([]settlement.Document, error) { return renderNote(n, nil) },
	}
	period := domain.Period{Year: 2026, Month: 10}
	for _, change := range []string{
		"read n4 2026-10-14T10:00..2026-10-14T11:00 55kWh mark=corrected",
		"contract aurora version=2 zone=America/Chicago tax=0.0825 from=2026-10-10@America/Chicago\ncharge power power-pass-through n4 adder=6 loss=0.01",
	} {
		if err := p.Play(change); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Facts(); err != nil {
			t.Fatal(err)
		}
		if notes, err := s.Correct(t.Context(), "s", period); err != nil || len(notes) != 1 {
			t.Fatalf("%s: %d notes, %v", change, len(notes), err)
		}
	}
	found := run(t, p.Log)
	if len(found.Differences) > 0 {
		t.Fatalf("differences: %+v", found.Differences)
	}
	for _, k := range found.Kinds {
		if (k.Name == "invoices" || k.Name == "documents") && k.Checked != 3 {
			t.Errorf("%d %s were checked, want an invoice and two notes", k.Checked, k.Name)
		}
	}
	forged := s.Facts.Notes("")[0]
	forged.Note.Number, forged.Note.Total = "CB-2026-000004", forged.Note.Total.Add(domain.Money{Minor: 1, Currency: "USD"})
	if err := p.Append("invoice-CB.2026", forged); err != nil {
		t.Fatal(err)
	}
	if found := run(t, p.Log); len(found.Differences) != 2 || found.Differences[0].What != "note CB-2026-000004" {
		t.Errorf("a forged note: %+v", found.Differences)
	}
}

// settled returns a log in which the month is played and settled.
func settled(t *testing.T) *logscript.Player { return settledUnder(t, nil) }

// settledUnder is [settled] with documents that name what was signed.
func settledUnder(t *testing.T, signed func() (domain.Checkpoint, error)) *logscript.Player {
	t.Helper()
	p := logscript.New()
	if err := p.Play(october); err != nil {
		t.Fatal(err)
	}
	s := &settlement.Settler{
		Log: p.Log, Facts: facts.New(), Now: p.Now,
		Render:     func(inv domain.Invoice) ([]settlement.Document, error) { return render(inv, nil) },
		RenderNote: func(n domain.Note) ([]settlement.Document, error) { return renderNote(n, nil) },
		Signed:     signed,
	}
	period := domain.Period{Year: 2026, Month: 10}
	if _, err := s.Close(t.Context(), "s", period); err != nil {
		t.Fatal(err)
	}
	if all, err := s.Issue(t.Context(), "s", period); err != nil || len(all) != 1 {
		t.Fatalf("issued %d, %v", len(all), err)
	}
	site, _ := s.Facts.Site("s")
	day, err := p.Interval("2026-10-14..2026-10-15")
	if err != nil {
		t.Fatal(err)
	}
	if all, err := s.Reconcile(t.Context(), pools.Account{Site: "s", Terms: site.Pool}, day); err != nil || len(all) != 1 {
		t.Fatalf("reconciled %d, %v", len(all), err)
	}
	return p
}

// TestWhatWasSignedIsCompared replays an invoice that names a checkpoint: it
// comes out with the digests of one that names another, since no two logs have
// one root, and the root is compared with the log's.
func TestWhatWasSignedIsCompared(t *testing.T) {
	c := domain.Checkpoint{Log: "log.example/s", Size: 12, Root: domain.DigestOf([]byte("root"))}
	p := settledUnder(t, func() (domain.Checkpoint, error) { return c, nil })
	other := run(t, settledUnder(t, func() (domain.Checkpoint, error) {
		return domain.Checkpoint{Log: "another.example", Size: 13, Root: domain.DigestOf([]byte("other"))}, nil
	}).Log)
	for _, x := range []struct {
		root domain.Digest
		err  error
		want string
	}{
		{c.Root, nil, ""},
		{domain.DigestOf([]byte("another")), nil, "they have another root"},
		{c.Root, errors.New("beyond the end"), "they have another root"},
	} {
		found, err := audit.Run(t.Context(), p.Log, audit.Options{Render: render, RenderNote: renderNote, Root: func(size domain.Position) (domain.Digest, error) {
			if size != c.Size {
				t.Errorf("asked for the root of %d events, want %d", size, c.Size)
			}
			return x.root, x.err
		}})
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%+v", found.Differences); (x.want == "") != (len(found.Differences) == 0) || !strings.Contains(got, x.want) {
			t.Errorf("got %s, want %q", got, x.want)
		}
		for i, k := range found.Kinds {
			if k.Digest != other.Kinds[i].Digest {
				t.Errorf("%s have another digest than under another checkpoint", k.Name)
			}
		}
	}
}

func run(t *testing.T, log eventlog.Log) audit.Report {
	t.Helper()
	r, err := audit.Run(t.Context(), log, audit.Options{Render: render, RenderNote: renderNote})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestEveryConclusionComesOutAgain(t *testing.T) {
	p := settled(t)
	first := run(t, p.Log)
	if len(first.Differences) > 0 {
		t.Fatalf("differences: %+v", first.Differences)
	}
	want := map[string]int64{"estimates": 0, "decisions": 2, "balances": 1, "usage": 1, "margins": 1, "periods": 1, "invoices": 1, "documents": 1, "reconciliations": 1}
	got := map[string]int64{}
	for _, k := range first.Kinds {
		got[k.Name] = k.Checked
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("checked (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(first, run(t, p.Log)); diff != "" {
		t.Errorf("the second replay (-first +second):\n%s", diff)
	}
	// Another log that says the same has the same digests.
	if diff := cmp.Diff(first, run(t, settled(t).Log)); diff != "" {
		t.Errorf("a log that was made again (-first +second):\n%s", diff)
	}
	var out strings.Builder
	if err := first.Print(&out); err != nil || !strings.Contains(out.String(), "All of them come out as they are on record.") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// forge returns a log in which one event is another.
func forge(t *testing.T, log eventlog.Log, change func(domain.Event) domain.Event) *eventlog.Mem {
	t.Helper()
	var at domain.Instant
	out := eventlog.NewMem(func() domain.Instant { return at })
	changed := false
	for r, err := range log.ReadAll(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		rec, err := wire.Open(r)
		if err != nil {
			t.Fatal(err)
		}
		if e := change(rec.Event); e != nil && !changed {
			changed = true
			if _, r.Payload, err = wire.Encode(e); err != nil {
				t.Fatal(err)
			}
		}
		at = r.RecordedAt
		d := eventlog.Draft{ID: r.ID, Type: r.Type, Payload: r.Payload, Metadata: r.Metadata}
		if _, err := out.Append(t.Context(), eventlog.Write{Stream: r.Stream, Expect: eventlog.Any, Events: []eventlog.Draft{d}}); err != nil {
			t.Fatal(err)
		}
	}
	if !changed {
		t.Fatal("there was nothing to forge")
	}
	return out
}

// forged changes an event of one type, and leaves others alone.
func forged[E domain.Event](change func(*E)) func(domain.Event) domain.Event {
	return func(e domain.Event) domain.Event {
		if v, ok := e.(E); ok {
			change(&v)
			return v
		}
		return nil
	}
}

func TestAForgedConclusionIsNamed(t *testing.T) {
	p := settled(t)
	for _, c := range []struct {
		name   string
		change func(domain.Event) domain.Event
		want   string // what and why, of the first difference
	}{
		{
			"a decision that runs a load", forged(func(d *domain.AllocationDecided) { d.Choices[0].Reason = domain.ReasonRamp }),
			`decision of s for 2026-11-02T09:00:00Z: choices[0].reason is "ramp" on record, and "price-unknown" when it is derived`,
		},
		{
			"a decision by a rule of the future", forged(func(d *domain.AllocationDecided) { d.Rule = "merit-order/2" }),
			"decision of s for 2026-11-02T09:00:00Z: it was drawn by the rule merit-order/2, which this version does not have; replay it with the version that does",
		},
		{
			"a decision that knows the future", forged(func(d *domain.AllocationDecided) { d.AsOf += 100 }),
			"conclusion: it says that it was drawn at position 114, which is after it",
		},
		{
			"a balance", forged(func(d *domain.PeriodClosed) { d.Balance[0] ^= 1 }),
			"balances of 2026-10: the digest on record is ",
		},
		{
			"a margin", forged(func(d *domain.PeriodClosed) { d.Margin[0] ^= 1 }),
			"margins of 2026-10: the digest on record is ",
		},
		{
			"a closing", forged(func(d *domain.PeriodClosed) { d.Missing = 3 }),
			"closing of s for 2026-10: missing_intervals is 3 on record, and 0 when it is derived",
		},
		{
			"a total", forged(func(d *domain.InvoiceIssued) { d.Invoice.Total.Minor += 100 }),
			`invoice CB-2026-000001: invoice.total is "1506.51 USD" on record, and "1505.51 USD" when it is derived`,
		},
		{
			"a number", forged(func(d *domain.InvoiceIssued) { d.Invoice.Number = "CB-2026-000007" }),
			`invoice CB-2026-000007: invoice.number is "CB-2026-000007" on record, and "CB-2026-000001" when it is derived`,
		},
		{
			"a document", forged(func(d *domain.InvoiceIssued) { d.Documents[0].Digest[3] ^= 1 }),
			"documents of invoice CB-2026-000001: their bytes do not come out as they were issued",
		},
		{
			"a reconciliation", forged(func(d *domain.PayoutReconciled) { d.Expected += 5 }),
			"reconciliation of foundry/s for 2026-10-14T00:00:00Z: expected_satoshi is 7373525 on record, and 7373520 when it is derived",
		},
		{
			"a price that conclusions rest on", forged(func(d *domain.PowerPriced) { d.Series.Prices[3] = domain.MustDecimal("12") }),
			"margins of 2026-10: the digest on record is ",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := run(t, forge(t, p.Log, c.change))
			if len(r.Differences) == 0 {
				t.Fatal("nothing is different")
			}
			d := r.Differences[0]
			if got := d.What + ": " + d.Why; !strings.HasPrefix(got, c.want) {
				t.Errorf("\n got %s\nwant %s", got, c.want)
			}
			var out strings.Builder
			if err := r.Print(&out); err != nil || !strings.Contains(out.String(), "! "+d.What) || strings.Contains(out.String(), "All of them") {
				t.Errorf("%v\n%s", err, out.String())
			}
		})
	}
}

func TestALogThatCannotBeReadIsAnError(t *testing.T) {
	p := settled(t)
	log := forge(t, p.Log, forged(func(d *domain.PowerPriced) { d.Series.Prices = nil }))
	draft := eventlog.Draft{ID: domain.EventIDOf("x"), Type: "power.priced/1", Payload: []byte("{")}
	if _, err := log.Append(t.Context(), eventlog.Write{Stream: "x-1", Expect: eventlog.Any, Events: []eventlog.Draft{draft}}); err != nil {
		t.Fatal(err)
	}
	head, err := log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var corrupt *eventlog.CorruptError
	if _, err := audit.Run(t.Context(), log, audit.Options{Render: render, RenderNote: renderNote}); !errors.As(err, &corrupt) || !strings.Contains(err.Error(), fmt.Sprintf("position %d", head-1)) {
		t.Errorf("got %v, want a *CorruptError that names position %d", err, head-1)
	}
}
