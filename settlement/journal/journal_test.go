package journal_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"wattbook/domain"
	"wattbook/projections/facts"
	"wattbook/projections/logscript"
	"wattbook/projections/receivables"
	"wattbook/settlement"
	"wattbook/settlement/journal"
	"wattbook/settlement/pools"
)

var rewrite = flag.Bool("rewrite", false, "write the answers that are given into the scripts")

func TestBooks(t *testing.T) { logscript.Run(t, "testdata/books.txt", *rewrite, answer) }
func TestBooksOfZones(t *testing.T) {
	logscript.Run(t, "testdata/zones.txt", *rewrite, answer)
}
func TestBooksOfCoin(t *testing.T) { logscript.Run(t, "testdata/coin.txt", *rewrite, answer) }

func settler(p *logscript.Player) *settlement.Settler {
	return &settlement.Settler{
		Log: p.Log, Facts: facts.New(), Now: p.Now,
		Render: func(inv domain.Invoice) ([]settlement.Document, error) {
			b, err := json.Marshal(inv)
			return []settlement.Document{{Name: inv.Number, Content: b}}, err
		},
		RenderNote: func(n domain.Note) ([]settlement.Document, error) {
			b, err := json.Marshal(n)
			return []settlement.Document{{Name: n.Number, Content: b}}, err
		},
	}
}

// run closes a month of site s and issues its invoices and notes, and
// reconciles the pool.
func run(ctx context.Context, p *logscript.Player, month string) error {
	period, err := domain.ParsePeriod(month)
	if err != nil {
		return err
	}
	s := settler(p)
	if _, err := s.Close(ctx, "s", period); err != nil {
		return err
	}
	if _, err := s.Issue(ctx, "s", period); err != nil {
		return err
	}
	if _, err := s.Correct(ctx, "s", period); err != nil {
		return err
	}
	site, _ := s.Facts.Site("s")
	if !slices.ContainsFunc(s.Facts.Devices("s"), func(d domain.DeviceRegistered) bool { return d.Kind == domain.KindMiner }) {
		return nil
	}
	closed, _ := s.Facts.Closed("s", period)
	_, err = s.Reconcile(ctx, pools.Account{Site: "s", Terms: site.Pool}, closed.Interval)
	return err
}

// answer runs a month ("run 2026-10"), voids an invoice, or shows the books:
// the entries from a date on, or the balances.
func answer(p *logscript.Player, question []string) (string, error) {
	ctx := context.Background()
	if _, err := p.Facts(); err != nil {
		return "", err
	}
	switch question[0] {
	case "run":
		return "done", run(ctx, p, question[1])
	case "void":
		_, err := settler(p).Void(ctx, question[1], "an error")
		return "done", err
	}
	books, err := journal.Build(ctx, p.Log, "s", nil)
	if err != nil {
		return "", err
	}
	var rows []string
	switch question[0] {
	case "balance":
		for _, b := range journal.TrialBalance(books.Entries) {
			row := fmt.Sprintf("%s\t%s %s", b.Account, journal.Text(b.Amount, b.Commodity), b.Commodity)
			if b.Currency != "" {
				row += fmt.Sprintf("\tcost %s %s", journal.Text(b.Cost, b.Currency), b.Currency)
			}
			rows = append(rows, row)
		}
	case "roll":
		for _, r := range journal.RollForward(books.Entries) {
			for _, h := range []struct {
				name string
				journal.Held
			}{{"opening", r.Opening}, {"received", r.Received}, {"sold", r.Sold}, {"network fees", r.NetworkFees}, {"remeasured", r.Remeasured}, {"closing", r.Closing}} {
				rows = append(rows, fmt.Sprintf("%s %s\t%s BTC\t%s", r.Period, h.name, h.Units.Fixed(8), journal.Text(h.Value, "USD")))
			}
		}
	case "lots":
		for _, l := range journal.Lots(books.Entries) {
			rows = append(rows, fmt.Sprintf("%s\t%s\t%s BTC at %s\t%s", l.Account, l.Lot, l.Units.Fixed(8), l.Price, journal.Text(l.Cost, "USD")))
		}
	case "revenue":
		for _, r := range journal.RevenueByPeriod(books.Entries) {
			rows = append(rows, fmt.Sprintf("%s\t%s\t%s %s\t%t", r.Period, r.Account, r.Amount.Fixed(journal.Digits(r.Commodity)), r.Commodity, r.Pending))
		}
	default:
		for _, e := range books.Entries {
			if len(question) > 1 && !strings.Contains(e.Narration, strings.ReplaceAll(question[1], "_", " ")) {
				continue
			}
			rows = append(rows, fmt.Sprintf("%s %s", e.Date, e.Narration))
			for _, posting := range e.Postings {
				row := fmt.Sprintf("  %s\t%s %s", posting.Account, journal.Text(posting.Amount, posting.Commodity), posting.Commodity)
				if !posting.Cost.IsZero() {
					row += fmt.Sprintf("\t{%s %s, %s, %s}", posting.Cost.Price, posting.Cost.Currency, posting.Cost.Date, posting.Cost.Lot)
				}
				rows = append(rows, row)
			}
		}
	}
	return logscript.Table(rows...), nil
}

// history draws events of a site's month in turn, with runs between them.
func history(t *rapid.T) *logscript.Player {
	p := logscript.New()
	play := func(lines ...string) {
		if err := p.Play(lines...); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Facts(); err != nil {
			t.Fatal(err)
		}
	}
	play("site s step=24h zone=UTC adder=5 pool=foundry/s fee=0.02", "meter revenue", "meter n4 under=revenue use=ai", "miner m1 under=revenue", "gpu g under=n4",
		"read g 2026-10-01..2026-10-12 2kWh every=24h", "read g 2026-10-15..2026-10-29 2kWh every=24h",
		"read revenue 2026-10@UTC 310kWh every=24h", "read n4 2026-10@UTC 100kWh every=24h", "read m1 2026-10@UTC 0.024shares every=24h",
		"difficulty 969696 2026-09-30 1d00ffff", "fees 2026-09-30 100 100000000", "bitcoin USD 2026-09-30..2026-11-05 24h 98211.42",
		"price hb_south 2026-10@UTC 24h 50.0137", "now 2026-11-02T09:00",
		"contract aurora tax=0.0825 prepaid=0.5", "charge space reserved-power 7 x 101.37", "charge power power-pass-through n4 loss=0.013", "charge peak demand 3.333 meters=n4", "charge least minimum 900",
		"charge sla sla-credit g outage=1h bands=0.99:0.05,0.9:0.15",
		"contract brightwater", "charge used on-demand-gpus 2.49", "charge sla sla-credit g on-claim outage=1h bands=0.99:0.1", "start j brightwater 3 2026-10-05T13:00", "end j 2026-10-07T07:13")
	version := 1
	for range rapid.IntRange(0, 12).Draw(t, "events") {
		day := rapid.IntRange(1, 30).Draw(t, "day")
		span := fmt.Sprintf("2026-10-%02d..2026-10-%02d", day, day+1)
		switch rapid.IntRange(0, 17).Draw(t, "what") {
		case 0, 1:
			if err := run(t.Context(), p, "2026-10"); err != nil {
				t.Fatal(err)
			}
		case 2:
			play(fmt.Sprintf("read n4 %s %dWh mark=corrected", span, rapid.IntRange(0, 500_000).Draw(t, "Wh")))
		case 3:
			play(fmt.Sprintf("price hb_south %s 24h %s corrects=yes", span, domain.NewDecimal(rapid.Int64Range(-9999, 99999).Draw(t, "price"), -2)))
		case 4:
			version++
			play(fmt.Sprintf("contract aurora version=%d tax=0.0825 from=2026-10-%02d\ncharge space reserved-power 7 x %d", version, day, rapid.IntRange(1, 300).Draw(t, "rate")))
		case 5:
			play(fmt.Sprintf("prepay aurora %d 2026-10-20", rapid.IntRange(1, 2000).Draw(t, "prepaid")))
		case 6:
			if inv, ok := known(t, p).Invoice("aurora", domain.Period{Year: 2026, Month: 10}); ok {
				play(fmt.Sprintf("pay aurora %s %d.17 2026-11-%02d", inv.Invoice.Number, rapid.IntRange(1, 2000).Draw(t, "paid"), day))
			}
		case 7:
			_, err := settler(p).Void(t.Context(), fmt.Sprintf("CB-2026-00000%d", rapid.IntRange(1, 3).Draw(t, "number")), "an error")
			_ = err // paid, corrected, or not there: it stands
		case 10:
			play(fmt.Sprintf("read g %s 2kWh mark=%s", span, rapid.SampledFrom([]string{"corrected", "gap", "normal"}).Draw(t, "mark")))
		case 11:
			play("claim brightwater sla 2026-10")
		case 8:
			play(fmt.Sprintf("bill %s %d.55 reference=%s%s", rapid.SampledFrom([]string{"2026-10@UTC", span}).Draw(t, "billed"), rapid.IntRange(1, 2000).Draw(t, "bill"),
				rapid.SampledFrom([]string{"supply", "delivery"}).Draw(t, "reference"), rapid.SampledFrom([]string{"", " corrects"}).Draw(t, "corrects")))
		case 9:
			if all := known(t, p).Payments(""); len(all) > 0 {
				play(fmt.Sprintf("bounce aurora %s %s %s 2026-11-%02d", all[0].Invoice, all[0].Reference, all[0].Amount.Amount(), day))
			}
		default:
			coinEvent(t, p, day, play)
		}
	}
	return p
}

// coinEvent draws an event of the pool, of the chain or of a sale.
func coinEvent(t *rapid.T, p *logscript.Player, day int, play func(...string)) {
	credited := rapid.IntRange(0, 7_500_000).Draw(t, "credited")
	amount := rapid.SampledFrom([]int{7_373_520, credited + 1}).Draw(t, "amount")
	tx := rapid.IntRange(1, 4).Draw(t, "tx")
	block := rapid.IntRange(1, 2).Draw(t, "block")
	switch rapid.IntRange(0, 6).Draw(t, "coin") {
	case 0, 1:
		play(fmt.Sprintf("statement foundry/s 2026-10-%02d subsidy=%d fees=24000 fee=150480 other=0 net=%d %s", day, credited, credited+24_000-150_480,
			rapid.SampledFrom([]string{"", "", "partial"}).Draw(t, "complete")))
	case 2:
		play(fmt.Sprintf("payout foundry/s 2026-10-%02dT06:00 %d tx=t%d block=b%d", day, amount, tx, block))
	case 3:
		play(fmt.Sprintf("reversed foundry/s t%d b%d", tx, block))
	case 4:
		play(fmt.Sprintf("paid %s p%d 2026-10-%02dT06:00 %d fee=%d rail=%s status=%s tx=t%d address=%s", rapid.SampledFrom([]string{"foundry/s", "foundry/s", "foundry/other"}).Draw(t, "account"), tx, day, amount,
			rapid.IntRange(0, 999).Draw(t, "fee"), rapid.SampledFrom([]string{"on-chain", "lightning"}).Draw(t, "rail"), rapid.SampledFrom([]string{"paid", "paid", "failed"}).Draw(t, "status"), tx,
			rapid.SampledFrom([]string{"", "bc1q"}).Draw(t, "address")))
	case 5:
		play(fmt.Sprintf("sell %s BTC %d 2026-11-%02d basis=%s network=%d", domain.NewDecimal(int64(amount), -8), rapid.IntRange(0, 9999).Draw(t, "proceeds"), day,
			rapid.SampledFrom([]string{"fifo", "average"}).Draw(t, "basis"), rapid.IntRange(0, 999).Draw(t, "network")))
	default:
		f := known(t, p)
		if all := f.Reconciled("foundry", "s", domain.Interval{End: 1 << 62}); len(all) > 0 {
			r := all[day%len(all)]
			play(fmt.Sprintf("marked foundry/s %s %s %d", r.Interval.Start.Time().Format("2006-01-02"), rapid.SampledFrom(domain.DifferenceStatuses()).Draw(t, "status"), r.Unexplained()))
		}
	}
}

func known(t *rapid.T, p *logscript.Player) *facts.Facts {
	f, err := p.Facts()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestBooksOfAnyHistory holds what is true of the books of any history: every
// entry sums to zero and names its event, receivables are what the invoices
// say is open, nothing that was invoiced stays unbilled, and what was booked
// before a closing is never booked otherwise later.
func TestBooksOfAnyHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := history(t)
		books, err := journal.Build(t.Context(), p.Log, "s", nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(books.Entries) == 0 {
			t.Fatal("there are no entries")
		}
		for _, e := range books.Entries {
			if err := e.Check(); err != nil || e.Event.IsZero() {
				t.Fatalf("%+v: %v", e, err)
			}
		}
		got := map[string]domain.Decimal{}
		for _, b := range journal.TrialBalance(books.Entries) {
			got[b.Account+" "+b.Commodity] = b.Amount
		}
		f := known(t, p)
		site, _ := f.Site("s")
		if found := journal.CheckCoin(f, books, []pools.Account{{Site: "s", Terms: site.Pool}}); len(found) > 0 {
			t.Fatalf("%v\n%s", found, logOf(t, p))
		}
		inLots(t, books)
		receivable, credit := domain.Decimal{}, domain.Decimal{}
		for _, s := range receivables.All(f, "s") {
			if s.Open.Minor > 0 {
				receivable = receivable.Add(s.Open.Decimal())
			} else {
				credit = credit.Sub(s.Open.Decimal())
			}
		}
		sum := func(prefix string) (v domain.Decimal) {
			for k, amount := range got {
				if strings.HasPrefix(k, prefix) {
					v = v.Add(amount)
				}
			}
			return v
		}
		ar, credits := sum("Assets:AR:"), sum("Liabilities:CustomerCredits:").Neg()
		if net := ar.Sub(credits); !net.Equal(receivable.Sub(credit)) {
			t.Fatalf("receivables %s less credits %s, want %s less %s", ar, credits, receivable, credit)
		}
		if inv, ok := f.Invoice("aurora", domain.Period{Year: 2026, Month: 10}); ok {
			if left := got["Assets:ContractAsset:Unbilled:Aurora USD"]; !left.IsZero() {
				t.Fatalf("%s is unbilled though invoice %s is issued", left, inv.Invoice.Number)
			}
			income := sum("Income:AI:").Neg()
			want := domain.Decimal{}
			for _, i := range f.Invoices() {
				if !f.Voided(i.Invoice.Number) {
					want = want.Add(i.Invoice.Subtotal.Decimal())
					for _, n := range f.Notes(i.Invoice.Number) {
						want = want.Add(n.Note.Subtotal.Decimal())
					}
				}
			}
			if _, both := f.Invoice("brightwater", domain.Period{Year: 2026, Month: 10}); both && !income.Equal(want) {
				t.Fatalf("revenue %s, invoices and notes without tax %s", income, want)
			}
		}
		again, err := journal.Build(t.Context(), p.Log, "s", nil)
		if err != nil || fmt.Sprint(again) != fmt.Sprint(books) {
			t.Fatalf("built twice, the books differ: %v", err)
		}
	})
}

// inLots checks, in the order of dates, that nothing leaves a lot before it is
// in it, and that the roll-forward closes at what is held.
func inLots(t *rapid.T, books journal.Books) {
	type lot struct{ account, name, date, price string }
	lots := map[lot]domain.Decimal{}
	holds := journal.Held{}
	for _, e := range books.Entries {
		for _, p := range e.Postings {
			if weight, _ := p.Weight(); strings.HasPrefix(p.Account, "Assets:Digital:") {
				if holds.Value = holds.Value.Add(weight); p.Commodity == journal.Bitcoin {
					holds.Units = holds.Units.Add(p.Amount)
				}
			}
			if p.Cost.IsZero() {
				continue
			}
			k := lot{p.Account, p.Cost.Lot, p.Cost.Date, p.Cost.Price.String()}
			lots[k] = lots[k].Add(p.Amount)
			if strings.HasPrefix(p.Account, "Assets:") && lots[k].Sign() < 0 || strings.HasPrefix(p.Account, "Liabilities:") && lots[k].Sign() > 0 {
				t.Fatalf("entry %+v leaves %s in lot %+v", e, lots[k], k)
			}
		}
	}
	roll := journal.RollForward(books.Entries)
	if len(roll) > 0 && (!roll[len(roll)-1].Closing.Units.Equal(holds.Units) || !roll[len(roll)-1].Closing.Value.Equal(holds.Value)) {
		t.Fatalf("the roll-forward %+v does not close at %+v", roll, holds)
	}
}

func logOf(t *rapid.T, p *logscript.Player) string {
	var b strings.Builder
	for r, err := range p.Log.ReadAll(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(r.Type, "p") && !strings.HasPrefix(r.Type, "power") || r.Type == "coin.sold/1" {
			fmt.Fprintf(&b, "%s %s\n", r.Type, r.Payload)
		}
	}
	return b.String()
}

// TestBooksAreAcceptedByOtherPrograms exports books and has them checked by
// the programs whose formats they are in.
func TestBooksAreAcceptedByOtherPrograms(t *testing.T) {
	p := logscript.New()
	if err := p.Play(busy); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Facts(); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), p, "2026-10"); err != nil {
		t.Fatal(err)
	}
	if err := p.Play("read n4 2026-10-14..2026-10-15 120kWh mark=corrected\npay aurora CB-2026-000001 100 2026-11-20\nmarked foundry/s 2026-10-16 disputed 737352\nsell 0.01 BTC 1100 2026-11-21 basis=average\nbill 2026-10@UTC 481.07"); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), p, "2026-10"); err != nil {
		t.Fatal(err)
	}
	books, err := journal.Build(t.Context(), p.Log, "s", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		format  journal.Format
		file    string
		command []string
		wrong   [][2]string // what must not pass, for what
	}{
		{journal.Beancount, "books.beancount", []string{"bean-check", "FILE"}, [][2]string{
			{" 100.00 USD", " 100.10 USD"},
			{"0.07300000 BTC {100000.00 USD", "0.07300000 BTC {100001.00 USD"},
			{"-0.07300000 BTC {100000.00 USD, 2026-10-14", "-0.07300000 BTC {100000.00 USD, 2026-10-13"}, // out of another lot
		}},
		{journal.HLedger, "books.journal", []string{"hledger", "-f", "FILE", "check", "--strict"}, [][2]string{
			{" 100.00 USD", " 100.10 USD"}, {"0.07300000 BTC @ 100000.00 USD", "0.07300000 BTC @ 100001.00 USD"},
		}},
		{journal.Ledger, "books.ledger", []string{"ledger", "-f", "FILE", "--strict", "--pedantic", "bal"}, [][2]string{
			{" 100.00 USD", " 100.10 USD"}, {"0.07300000 BTC {100000.00 USD}", "0.07300000 BTC {100001.00 USD}"},
		}},
	} {
		t.Run(string(c.format), func(t *testing.T) {
			if _, err := exec.LookPath(c.command[0]); err != nil {
				t.Skipf("%s is not installed", c.command[0])
			}
			path := filepath.Join(t.TempDir(), c.file)
			check := func(change func(string) string) (string, error) {
				var b strings.Builder
				if err := journal.Export(&b, books, c.format); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(change(b.String())), 0o600); err != nil {
					t.Fatal(err)
				}
				args := append([]string{}, c.command[1:]...)
				for i, a := range args {
					if a == "FILE" {
						args[i] = path
					}
				}
				out, err := exec.Command(c.command[0], args...).CombinedOutput()
				return string(out), err
			}
			if out, err := check(func(s string) string { return s }); err != nil {
				t.Errorf("%v: %v\n%s", c.command, err, out)
			}
			// The checker bites.
			for _, change := range c.wrong {
				out, err := check(func(s string) string {
					if !strings.Contains(s, change[0]) {
						t.Fatalf("the export has no %q", change[0])
					}
					return strings.Replace(s, change[0], change[1], 1)
				})
				if err == nil {
					t.Errorf("%v accepts %q in place of %q\n%s", c.command, change[1], change[0], out)
				}
			}
		})
	}
}

func TestFormatsAreNamed(t *testing.T) {
	if err := journal.Export(&strings.Builder{}, journal.Books{}, "gnucash"); err == nil || !strings.Contains(err.Error(), "want one of") {
		t.Errorf("got %v", err)
	}
	if err := (journal.Entry{Postings: []journal.Posting{{Account: "a", Amount: domain.NewDecimal(1, 0), Commodity: "USD"}}}).Check(); err == nil {
		t.Error("an entry of one posting was accepted")
	}
}

const busy = `
site s step=24h zone=UTC adder=5 pool=foundry/s fee=0.02
meter revenue
meter n4 under=revenue use=ai
miner m1 under=revenue
read revenue 2026-10@UTC 310kWh every=24h
read n4 2026-10@UTC 100kWh every=24h
read m1 2026-10@UTC 0.024shares every=24h
difficulty 969696 2026-09-30 1d00ffff
fees 2026-09-30 100 100000000
bitcoin USD 2026-09-30..2026-11-05 24h 100000
price hb_south 2026-10@UTC 24h 50
statement foundry/s 2026-10-14 subsidy=7500000 fees=24000 fee=150480 other=0 net=7300000
payout foundry/s 2026-10-15T06:00 7300000
statement foundry/s 2026-10-16 subsidy=6750000 fees=21600 fee=135432 net=6636168
paid foundry/s p1 2026-10-17T06:00 6635000 fee=1168 tx=t2 address=bc1q
payout foundry/s 2026-10-17T06:20 6635000 tx=t2 block=b1
reversed foundry/s t2 b1
payout foundry/s 2026-10-17T07:20 6635000 tx=t2 block=b2
payout foundry/s 2026-10-19T06:00 7373520 tx=t3
sell 0.15 BTC 15000.07 2026-10-20T18:00 fee=15 network=1410
statement foundry/s 2026-10-18 subsidy=7500000 fees=24000 fee=150480 net=7373520
paid foundry/s p2 2026-10-20T06:00 5000 rail=lightning
now 2026-11-02T09:00
contract aurora tax=0.1
charge space reserved-power 10 x 93
charge power power-pass-through n4
charge least minimum 1100
gpu g under=n4
read g 2026-10-01..2026-10-10 1kWh every=24h
read g 2026-10-11..2026-11-01 1kWh every=24h
contract coral tax=0.1
charge space reserved-power 10 x 93
charge sla sla-credit g outage=1h bands=0.95:0.1
`
