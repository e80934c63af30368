package settlement_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/projections/logscript"
	"wattbook/settlement"
	"wattbook/settlement/rating"
)

// fault is what happens to a call of the log.
type fault int

const (
	works   fault = iota
	refused       // nothing is done
	lost          // it is done, and the answer is lost
)

var faultNames = map[fault]string{works: "works", refused: "is refused", lost: "is done, but its answer is lost"}

var errCut = errors.New("the connection was cut")

// faulty is a log whose calls fail as planned: one fault a call, and none when
// the plan is used up. Reads have no effect, so to lose their answer is to
// refuse them.
type faulty struct {
	eventlog.Log
	reads bool // fail, too
	plan  []fault
}

func (l *faulty) next(read bool) fault {
	if len(l.plan) == 0 || read && !l.reads {
		return works
	}
	f := l.plan[0]
	l.plan = l.plan[1:]
	return f
}

func (l *faulty) Append(ctx context.Context, writes ...eventlog.Write) (eventlog.Receipt, error) {
	f := l.next(false)
	if f == refused {
		return eventlog.Receipt{}, errCut
	}
	receipt, err := l.Log.Append(ctx, writes...)
	if f == lost {
		return eventlog.Receipt{}, errCut
	}
	return receipt, err
}

func (l *faulty) Next(ctx context.Context, stream eventlog.Stream) (eventlog.Revision, error) {
	if l.next(true) != works {
		return 0, errCut
	}
	return l.Log.Next(ctx, stream)
}

// ReadAll fails in the middle of what it reads.
func (l *faulty) ReadAll(ctx context.Context, from domain.Position) iter.Seq2[eventlog.Record, error] {
	if l.next(true) == works {
		return l.Log.ReadAll(ctx, from)
	}
	return func(yield func(eventlog.Record, error) bool) {
		for r, err := range l.Log.ReadAll(ctx, from) {
			if !yield(r, err) {
				return
			}
			if r.Position%3 == 2 {
				break
			}
		}
		yield(eventlog.Record{}, errCut)
	}
}

// TestARunThatFailsCanBeRunAgain makes each append of a run fail, before and
// after it is recorded. The next run does what is left to do.
func TestARunThatFailsCanBeRunAgain(t *testing.T) {
	const contracts = 3
	names := []string{"closing", "first invoice", "second invoice", "third invoice", "reconciliation"}
	for n, name := range names {
		for _, f := range []fault{refused, lost} {
			t.Run(name+" "+faultNames[f], func(t *testing.T) {
				p := book(t, contracts)
				log := &faulty{Log: p.Log, plan: append(make([]fault, n), f)}
				if _, err := settle(t.Context(), settler(log, p.Now())); !errors.Is(err, errCut) {
					t.Fatalf("got %v, want %v", err, errCut)
				}
				done := n // appends that are recorded
				if f == lost {
					done++
				}
				want := [3]int{min(done, 1), min(max(done-1, 0), contracts), 0}
				if done > 4 {
					want[2] = 4
				}
				if got := check(t, p.Log); got != want {
					t.Errorf("after the failure there are %v closings, invoices and reconciliations, want %v", got, want)
				}
				issued, err := settle(t.Context(), settler(log, p.Now().Add(domain.Hour)))
				if err != nil {
					t.Fatal(err)
				}
				for i, inv := range issued {
					if want := i < done-1; inv.Before != want {
						t.Errorf("%s was issued before: %t, want %t", inv.Invoice.Number, inv.Before, want)
					}
				}
				if got, want := check(t, p.Log), [3]int{1, contracts, 4}; got != want {
					t.Errorf("got %v closings, invoices and reconciliations, want %v", got, want)
				}
			})
		}
	}
}

// TestRunsThatFailAnywhereComeToAnEnd runs until a run succeeds, over any
// faults of any calls, in a new process or in the same one.
func TestRunsThatFailAnywhereComeToAnEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		contracts := rapid.IntRange(1, 3).Draw(t, "contracts")
		p := logscript.New()
		lines := []string{"site s step=24h pool=foundry/acct fee=0.02", "meter revenue", "read revenue 2026-10@UTC 1kWh every=24h", "difficulty 969696 2026-09-30 1d00ffff", "fees 2026-09-30 100 1", "now 2026-11-02"}
		for n := range contracts {
			lines = append(lines, fmt.Sprintf("contract c%d series=%s", n, rapid.SampledFrom([]string{"CB", "NM"}).Draw(t, "series")), "charge space reserved-power 1 x 100")
		}
		if err := p.Play(lines...); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Facts(); err != nil {
			t.Fatal(err)
		}
		log := &faulty{Log: p.Log, reads: true, plan: rapid.SliceOfN(rapid.SampledFrom([]fault{works, works, refused, lost}), 0, 12).Draw(t, "plan")}
		faults := 0
		for _, f := range log.plan {
			if f != works {
				faults++
			}
		}
		s := settler(log, p.Now())
		for run := 0; ; run++ {
			_, err := settle(t.Context(), s)
			if got := check(t, p.Log); got[0] > 1 || got[1] > contracts || got[2] > 4 {
				t.Fatalf("got %v", got)
			}
			if err == nil {
				break
			}
			if !errors.Is(err, errCut) || run >= faults {
				t.Fatalf("run %d of at most %d: %v", run, faults+1, err)
			}
			if rapid.Bool().Draw(t, "new process") {
				s = settler(log, p.Now().Add(domain.Hour*domain.Duration(run)))
			}
		}
		if got, want := check(t, p.Log), [3]int{1, contracts, 4}; got != want {
			t.Fatalf("got %v closings, invoices and reconciliations, want %v", got, want)
		}
	})
}

// slow is a log whose answers take their time, so that runs overlap.
type slow struct{ eventlog.Log }

func (l slow) Next(ctx context.Context, stream eventlog.Stream) (eventlog.Revision, error) {
	n, err := l.Log.Next(ctx, stream)
	time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond)
	return n, err
}

// TestRunsThatRace starts several runs at once, on one log. Each comes to its
// end, with the same invoices.
func TestRunsThatRace(t *testing.T) {
	const runs, contracts = 4, 12
	for range 4 {
		p := book(t, contracts)
		var wait sync.WaitGroup
		var outcome [runs]string
		var errs [runs]error
		start := make(chan struct{})
		for n := range runs {
			wait.Go(func() {
				<-start
				issued, err := settle(t.Context(), settler(slow{p.Log}, p.Now().Add(domain.Minute*domain.Duration(n))))
				for _, i := range issued {
					outcome[n] += fmt.Sprintln(i.Invoice.Number, i.Invoice.Contract, i.Invoice.Issued, i.InvoiceIssued.Documents[0].Digest)
				}
				errs[n] = err
			})
		}
		close(start)
		wait.Wait()
		for n := range runs {
			if errs[n] != nil {
				t.Fatalf("run %d: %v", n, errs[n])
			}
			if outcome[n] != outcome[0] {
				t.Fatalf("run %d says\n%s\nrun 0 says\n%s", n, outcome[n], outcome[0])
			}
		}
		if got, want := check(t, p.Log), [3]int{1, contracts, 4}; got != want {
			t.Fatalf("got %v closings, invoices and reconciliations, want %v", got, want)
		}
	}
}

// behind is a log that other runs reach first: just before an append.
type behind struct {
	eventlog.Log
	first []func() // before each of the appends
}

func (l *behind) Append(ctx context.Context, writes ...eventlog.Write) (eventlog.Receipt, error) {
	if len(l.first) > 0 {
		f := l.first[0]
		if l.first = l.first[1:]; f != nil {
			f()
		}
	}
	return l.Log.Append(ctx, writes...)
}

// rival is what another run does in the meantime: one that knows the same, at
// the same time or an hour later.
type rival func(ctx context.Context, p *logscript.Player, same, later *settlement.Settler) error

func closes(ctx context.Context, _ *logscript.Player, same, _ *settlement.Settler) error {
	_, err := same.Close(ctx, "s", october)
	return err
}

func issuesNow(only ...domain.ContractID) rival {
	return func(ctx context.Context, _ *logscript.Player, same, _ *settlement.Settler) error {
		_, err := same.Issue(ctx, "s", october, only...)
		return err
	}
}

func issuesLater(only ...domain.ContractID) rival {
	return func(ctx context.Context, _ *logscript.Player, _, later *settlement.Settler) error {
		_, err := later.Issue(ctx, "s", october, only...)
		return err
	}
}

// reconciles days of the account, counted from the first mining day.
func reconciles(first, end domain.Duration) rival {
	days := domain.Interval{Start: miningDays.Start.Add(first * domain.Day), End: miningDays.Start.Add(end * domain.Day)}
	return func(ctx context.Context, _ *logscript.Player, same, _ *settlement.Settler) error {
		_, err := same.Reconcile(ctx, account, days)
		return err
	}
}

// knowing more, another run concludes something else.
func knowing(line string, then rival) rival {
	return func(ctx context.Context, p *logscript.Player, same, later *settlement.Settler) error {
		if err := p.Play(line); err != nil {
			return err
		}
		return then(ctx, p, same, later)
	}
}

// TestAnotherRunIsFirst lets another run append between what a run reads and
// what it appends.
func TestAnotherRunIsFirst(t *testing.T) {
	statement := "statement foundry/acct 2026-10-15 subsidy=7500000 fees=24000 fee=150480 net=7373520"
	for _, row := range []struct {
		name   string
		append int // of the run: 0 is the closing, 1 and 2 are invoices, 3 is the reconciliation
		other  rival
		days   int // reconciled
	}{
		{"the month is closed, from the same facts", 0, closes, 4},
		{"the month is closed, from later facts", 0, knowing("bitcoin USD 2026-11-01 1h 100000", closes), 4},
		{"the invoice is issued, at the same time", 1, issuesNow("c01"), 4},
		{"the invoice is issued, at another time", 1, issuesLater("c01"), 4},
		{"another contract takes the number", 1, issuesLater("c02"), 4},
		{"all invoices are issued", 1, issuesLater(), 4},
		{"the second invoice is issued, from later facts", 2, knowing("bitcoin USD 2026-11-01 1h 100000", issuesNow("c02")), 4},
		{"the same days are reconciled", 3, reconciles(0, 4), 4},
		{"some of the days are reconciled", 3, reconciles(0, 2), 4},
		{"more days are reconciled", 3, reconciles(0, 5), 5},
		{"other days are reconciled", 3, reconciles(4, 5), 5},
		{"the same days are reconciled, from later facts", 3, knowing(statement, reconciles(0, 4)), 4},
		{"one of the days is reconciled, from later facts", 3, knowing(statement, reconciles(0, 1)), 4},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := book(t, 2)
			first := make([]func(), row.append+1)
			first[row.append] = func() {
				if err := row.other(t.Context(), p, settler(p.Log, p.Now()), settler(p.Log, p.Now().Add(domain.Hour))); err != nil {
					t.Fatal(err)
				}
			}
			issued, err := settle(t.Context(), settler(&behind{p.Log, first}, p.Now()))
			if err != nil {
				t.Fatal(err)
			}
			if got, want := check(t, p.Log), [3]int{1, 2, row.days}; got != want {
				t.Errorf("got %v closings, invoices and reconciliations, want %v", got, want)
			}
			f, err := p.Facts()
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range issued { // what the run says is what is on record
				before, ok := f.Invoice(i.Invoice.Contract, october)
				if !ok || before.Invoice.Number != i.Invoice.Number || before.Invoice.Issued != i.Invoice.Issued || i.Documents[0].Name != i.Invoice.Number+".json" {
					t.Errorf("%s is issued as %s; on record is %s", i.Invoice.Contract, i.Invoice.Number, before.Invoice.Number)
				}
			}
		})
	}
}

// TestClosingTellsWhatIsOnRecord closes a month while another run, which knows
// more, is faster.
func TestClosingTellsWhatIsOnRecord(t *testing.T) {
	p := book(t, 1)
	other := func() {
		if err := knowing("bitcoin USD 2026-11-01 1h 100000", closes)(t.Context(), p, settler(p.Log, p.Now()), nil); err != nil {
			t.Fatal(err)
		}
	}
	c, err := settler(&behind{p.Log, []func(){other}}, p.Now()).Close(t.Context(), "s", october)
	if err != nil {
		t.Fatal(err)
	}
	f, err := p.Facts()
	if err != nil {
		t.Fatal(err)
	}
	if want, ok := f.Closed("s", october); !ok || c != want {
		t.Errorf("got %+v, on record is %+v", c, want)
	}
}

// TestARunKnowsWhatItConcluded looks at the facts after each step.
func TestARunKnowsWhatItConcluded(t *testing.T) {
	p := book(t, 2)
	s := settler(p.Log, p.Now())
	known := func(step string, err error) {
		t.Helper()
		head, _ := p.Log.Head(t.Context())
		if err != nil || s.Facts.Next != head {
			t.Errorf("after %s, the log is known up to %d of %d: %v", step, s.Facts.Next, head, err)
		}
	}
	_, err := s.Close(t.Context(), "s", october)
	known("closing", err)
	_, err = s.Issue(t.Context(), "s", october)
	known("issuing", err)
	_, err = s.Reconcile(t.Context(), account, miningDays)
	known("reconciling", err)
}

func TestDocumentsThatComeOutOtherwiseAreReported(t *testing.T) {
	p := book(t, 1)
	if _, err := settle(t.Context(), settler(p.Log, p.Now())); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name   string
		change func([]settlement.Document) []settlement.Document
	}{
		{"a byte is another one", func(d []settlement.Document) []settlement.Document { d[0].Content[7] ^= 1; return d }},
		{"the name is another one", func(d []settlement.Document) []settlement.Document { d[0].Name = "x"; return d }},
		{"a document is missing", func([]settlement.Document) []settlement.Document { return nil }},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := settler(p.Log, p.Now())
			s.Render = func(inv domain.Invoice) ([]settlement.Document, error) {
				d, err := render(inv)
				return row.change(d), err
			}
			_, err := s.Issue(t.Context(), "s", october)
			if want := "issue invoice of c01 for 2026-10: the documents of invoice CB-2026-000001 do not come out as they were issued; print them with the version that issued them"; err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
			if got, want := check(t, p.Log), [3]int{1, 1, 4}; got != want {
				t.Errorf("got %v closings, invoices and reconciliations, want %v", got, want)
			}
		})
	}
}

// TestAKindOfDocumentThatIsNewerThanTheInvoiceIsLeftOut renders one more than
// the record names.
func TestAKindOfDocumentThatIsNewerThanTheInvoiceIsLeftOut(t *testing.T) {
	p := book(t, 1)
	if _, err := settle(t.Context(), settler(p.Log, p.Now())); err != nil {
		t.Fatal(err)
	}
	s := settler(p.Log, p.Now())
	s.Render = func(inv domain.Invoice) ([]settlement.Document, error) {
		d, err := render(inv)
		return append([]settlement.Document{{Name: "new", Content: []byte("x")}}, d...), err
	}
	again, err := s.Issue(t.Context(), "s", october)
	if err != nil || len(again) != 1 || !again[0].Before || len(again[0].Documents) != 1 || again[0].Documents[0].Name != again[0].Invoice.Number+".json" {
		t.Errorf("got %+v, %v", again, err)
	}
}

func TestWhatCannotBeRenderedIsNotIssued(t *testing.T) {
	p := book(t, 3)
	s := settler(p.Log, p.Now())
	paper := errors.New("out of paper")
	s.Render = func(inv domain.Invoice) ([]settlement.Document, error) {
		if inv.Contract == "c02" {
			return nil, paper
		}
		return render(inv)
	}
	issued, err := settle(t.Context(), s)
	if !errors.Is(err, paper) || !strings.Contains(err.Error(), "c02") {
		t.Errorf("got %v", err)
	}
	if len(issued) != 1 || issued[0].Invoice.Contract != "c01" {
		t.Errorf("got %d invoices, want that of c01", len(issued))
	}
	if got, want := check(t, p.Log), [3]int{1, 1, 0}; got != want {
		t.Errorf("got %v closings, invoices and reconciliations, want %v", got, want)
	}
	s.Render = render
	if _, err := settle(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if got, want := check(t, p.Log), [3]int{1, 3, 4}; got != want {
		t.Errorf("got %v closings, invoices and reconciliations, want %v", got, want)
	}
}

func TestAnInvoiceCarriesItsDocuments(t *testing.T) {
	p := book(t, 1)
	issued, err := settle(t.Context(), settler(p.Log, p.Now()))
	if err != nil || len(issued) != 1 {
		t.Fatal(issued, err)
	}
	i := issued[0]
	if len(i.Documents) != 1 || len(i.InvoiceIssued.Documents) != 1 {
		t.Fatalf("got %d documents and %d digests, want 1 and 1", len(i.Documents), len(i.InvoiceIssued.Documents))
	}
	want := domain.DocumentDigest{Name: "CB-2026-000001.json", Digest: domain.DigestOf(i.Documents[0].Content)}
	if got := i.InvoiceIssued.Documents[0]; got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if !strings.Contains(string(i.Documents[0].Content), `"number":"CB-2026-000001"`) {
		t.Errorf("the document does not show the number: %s", i.Documents[0].Content)
	}
}

func TestSitesThatCannotBeClosed(t *testing.T) {
	p := logscript.New()
	if err := p.Play("now 2026-11-02", "site s zone=Europe/Atlantis"); err != nil {
		t.Fatal(err)
	}
	s := settler(p.Log, p.Now())
	for site, want := range map[domain.SiteID]string{
		"s":       `close 2026-10 of s: zone "Europe/Atlantis": unknown time zone Europe/Atlantis`,
		"nowhere": "close 2026-10: site nowhere is not registered",
	} {
		if _, err := s.Close(t.Context(), site, october); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := s.Issue(t.Context(), "s", october); !errors.Is(err, settlement.ErrNotClosed) {
		t.Errorf("got %v, want %v", err, settlement.ErrNotClosed)
	}
	if settlement.ErrIncomplete != rating.ErrIncomplete {
		t.Error("what is incomplete has two names")
	}
}

// TestAClosingTellsKnowledgeApart closes the same month knowing more.
func TestAClosingTellsKnowledgeApart(t *testing.T) {
	closing := func(more ...string) domain.PeriodClosed {
		p := book(t, 1)
		if err := p.Play(more...); err != nil {
			t.Fatal(err)
		}
		c, err := settler(p.Log, p.Now()).Close(t.Context(), "s", october)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	base := closing()
	for _, row := range []struct {
		name                   string
		line                   string
		balance, usage, margin bool // changes
	}{
		{"a corrected meter", "read revenue 2026-10-14..2026-10-15 101kWh mark=corrected", true, true, true},
		{"use of a GPU", "start job-1 aurora 1 2026-10-14", false, true, false},
		{"a price of power", "price hb_south 2026-10-14..2026-10-15 1h 40", false, false, true},
		{"a reading of November", "read revenue 2026-11-01..2026-11-02 1kWh", false, false, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := closing(row.line)
			if (c.Balance != base.Balance) != row.balance || (c.Usage != base.Usage) != row.usage || (c.Margin != base.Margin) != row.margin {
				t.Errorf("balance, usage and margin change: %t, %t, %t; want %t, %t, %t",
					c.Balance != base.Balance, c.Usage != base.Usage, c.Margin != base.Margin, row.balance, row.usage, row.margin)
			}
			if c.AsOf != base.AsOf+1 {
				t.Errorf("known up to %d, want %d", c.AsOf, base.AsOf+1)
			}
		})
	}
}
