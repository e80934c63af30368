package pools_test

import (
	"flag"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"wattbook/domain"
	"wattbook/projections/facts"
	"wattbook/projections/logscript"
	"wattbook/settlement/pools"
)

var rewrite = flag.Bool("rewrite", false, "write the answers that are given into the scripts")

func TestDays(t *testing.T)     { logscript.Run(t, "testdata/days.txt", *rewrite, answer) }
func TestSchemes(t *testing.T)  { logscript.Run(t, "testdata/schemes.txt", *rewrite, answer) }
func TestTold(t *testing.T)     { logscript.Run(t, "testdata/told.txt", *rewrite, answer) }
func TestAccounts(t *testing.T) { logscript.Run(t, "testdata/accounts.txt", *rewrite, answer) }
func TestPayouts(t *testing.T)  { logscript.Run(t, "testdata/payouts.txt", *rewrite, answer) }

// answer shows the reconciliations of an interval ("days 2026-10-14..2026-10-16"),
// what its work should earn ("work 2026-10-14..2026-10-15"), or which days the
// payouts pay ("paid"), of the site's first pool account or of the one that
// account=p/b names; or how the two measures of its work compare ("measures").
func answer(p *logscript.Player, question []string) (string, error) {
	f, err := p.Facts()
	if err != nil {
		return "", err
	}
	a := account(f, p.Site())
	if name, ok := strings.CutPrefix(question[len(question)-1], "account="); ok {
		pool, of, _ := strings.Cut(name, "/")
		a = pools.AccountOf(f, p.Site(), domain.PoolID(pool), of)
	}
	if question[0] == "accounts" {
		var names []string
		for _, a := range pools.Accounts(f, p.Site()) {
			names = append(names, a.Terms.Name())
		}
		return strings.Join(names, " ") + "\n", nil
	}
	if question[0] == "paid" {
		return paid(f, a), nil
	}
	if question[0] == "payouts" {
		return told(f, a), nil
	}
	iv, err := p.Interval(question[1])
	if err != nil {
		return "", err
	}
	if question[0] == "measures" {
		m := pools.Compare(f, a, iv)
		return fmt.Sprintf("shares %s, hashes %s, of %d machines in %d intervals\n", m.Shares.Decimal(), m.Hashes, m.Machines, m.Intervals), nil
	}
	if question[0] == "work" {
		e, err := pools.Expect(f, a, iv)
		if err != nil {
			return "", err
		}
		return work(e), nil
	}
	all, unknown := pools.Draw(f, a, iv)
	var b strings.Builder
	for _, r := range all {
		b.WriteString(show(r))
	}
	if len(all) == 0 {
		b.WriteString("no days\n")
	}
	if unknown != nil {
		fmt.Fprintf(&b, "unknown: %v\n", unknown)
	}
	return b.String(), nil
}

func account(f *facts.Facts, id domain.SiteID) pools.Account {
	site, _ := f.Site(id)
	return pools.Account{Site: id, Terms: site.Pool}
}

// show prints a day with its lines, which sum to expected less received.
func show(r domain.Reconciliation) string {
	head := fmt.Sprintf("%s  expected %d, stated %d, received %d, own work %s%s\n", at(r.Interval.Start), r.Expected, r.Stated, r.Received, r.Shares.Decimal(), sigma(r))
	var rows []string
	for _, l := range r.Lines {
		rows = append(rows, fmt.Sprintf("  %s\t%d", l.Cause, l.Satoshi))
	}
	if r.Finding != "" {
		rows = append(rows, "  ! "+r.Finding)
	}
	return head + logscript.Table(rows...)
}

// at leaves the hour away where a day begins at midnight UTC.
func at(t domain.Instant) string {
	return strings.TrimSuffix(t.Time().Format("2006-01-02T15:04"), "T00:00")
}

func work(e pools.Expectation) string {
	var rows []string
	for _, s := range e.Subsidies {
		rows = append(rows, fmt.Sprintf("%s..%s\tbits %08x\tsubsidy %d\twork %s\t%s of a block", at(s.Interval.Start), at(s.Interval.End), uint32(s.Bits), s.Subsidy, s.Shares.Decimal(), digits(s.Portion, 6)))
	}
	foot := fmt.Sprintf("base %s + fees %s - pool fee %s: %d sat; fees of a block %s", digits(e.Base, 4), digits(e.Fees, 4), digits(e.Fee, 4), e.Net(), digits(e.PerBlock, 4))
	if e.Provisional {
		foot += ", provisional"
	}
	if s := e.Subsidies[0].Scheme; s != domain.SchemeFPPS {
		foot += ", " + string(s)
		if e.Variance == nil {
			foot += ", sigma unknown"
		} else {
			low, high := domain.Sigma(e.Variance, 2)
			foot += fmt.Sprintf(", sigma %s to %s", low.Fixed(2), high.Fixed(2))
		}
	}
	if e.Missing > 0 {
		foot += fmt.Sprintf(", %d intervals without a report", e.Missing)
	}
	return logscript.Table(rows...) + foot + "\n"
}

func digits(r *big.Rat, places int32) string { return domain.RoundRat(r, places).String() }

// paid shows what each stated day got of the payouts.
func paid(f *facts.Facts, a pools.Account) string {
	statements := f.Statements(a.Terms.Pool, a.Terms.Account, domain.Interval{End: 1<<63 - 1})
	payouts := f.Payouts(a.Terms.Pool, a.Terms.Account)
	got, unmatched := pools.Assign(statements, payouts)
	var rows []string
	for _, s := range statements {
		rows = append(rows, fmt.Sprintf("%s\tstated %d\tpaid %d", at(s.Interval.Start), s.Net, got[s.Interval.Start]))
	}
	return logscript.Table(rows...) + fmt.Sprintf("unmatched %d\n", unmatched)
}

// TestThePublishedExample is the example with real figures of what 1.3 billion
// of accepted difficulty earn at a network difficulty of 113,757,508,810,854:
// 3,585.16 sat by PPS; with fees of 4,377,221.875 sat a block, the mean of
// eight real ones, 50.22 more by FPPS, 3,635.38; and 3,544.49 less 2.5 %.
//
// Bits 1702796c are those of that difficulty.
func TestThePublishedExample(t *testing.T) {
	if d := domain.RoundRat(domain.Bits(0x1702796c).Difficulty(), 0); d.String() != "113757508810854" {
		t.Fatalf("the bits stand for a difficulty of %s", d)
	}
	for _, row := range []struct {
		name            string
		fees            string
		fee             string
		base, over, net string
		satoshi         domain.Satoshi
	}{
		{"PPS", "fees 2026-10-14 8 0", "0", "3585.16", "0", "3585.16", 3585},
		{"FPPS", "fees 2026-10-14 8 35017775", "0", "3585.16", "50.22", "3635.38", 3635},
		{"FPPS less 2.5 %", "fees 2026-10-14 8 35017775", "0.025", "3585.16", "50.22", "3544.49", 3544},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := logscript.New()
			if err := p.Play("day 2026-10-14\nsite s step=1h fee="+row.fee, "meter revenue\nminer m1 under=revenue",
				"difficulty 919296 2026-10-10 1702796c", row.fees, "read m1 12:00..13:00 1305083904shares"); err != nil {
				t.Fatal(err)
			}
			f, err := p.Facts()
			if err != nil {
				t.Fatal(err)
			}
			day, _ := p.Interval("00:00..24:00")
			e, err := pools.Expect(f, account(f, "s"), day)
			if err != nil {
				t.Fatal(err)
			}
			net := new(big.Rat).Add(e.Base, e.Fees)
			got := []string{digits(e.Base, 2), digits(e.Fees, 2), digits(net.Sub(net, e.Fee), 2)}
			if want := []string{row.base, row.over, row.net}; !slices.Equal(got, want) || e.Net() != row.satoshi {
				t.Errorf("got %v and %d sat, want %v and %d", got, e.Net(), want, row.satoshi)
			}
		})
	}
}

func TestDaysAreThoseThatDrawReturns(t *testing.T) {
	p := logscript.New()
	if err := p.Play("now 2026-10-17\nsite s step=1h\nminer m1\ndifficulty 969696 2026-10-10 1d00ffff\nfees 2026-10-14 100 100000000",
		"read m1 2026-10-14..2026-10-16 0.001shares every=1h"); err != nil {
		t.Fatal(err)
	}
	f, err := p.Facts()
	if err != nil {
		t.Fatal(err)
	}
	iv, _ := p.Interval("2026-10-12..2026-10-17")
	var got []string
	for r := range pools.Days(f, account(f, "s"), iv) {
		got = append(got, at(r.Interval.Start))
	}
	// Of the first two days the fees are not known, and none before them.
	if want := "2026-10-14 2026-10-15 2026-10-16"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestASiteThatIsNotKnownExpectsNothing(t *testing.T) {
	day := domain.Interval{End: domain.Instant(domain.Day)}
	_, err := pools.Expect(facts.New(), pools.Account{Site: "nowhere"}, day)
	if err == nil || err.Error() != "expect revenue of nowhere: the site is not registered" {
		t.Errorf("got %v", err)
	}
}

func TestMatchIsAssignWithoutTheRest(t *testing.T) {
	day := func(n int64, net domain.Satoshi) facts.Stated {
		start := domain.Instant(n) * domain.Instant(domain.Day)
		return facts.Stated{PoolStatementReceived: domain.PoolStatementReceived{Interval: domain.Interval{Start: start, End: start.Add(domain.Day)}, Net: net}}
	}
	statements := []facts.Stated{day(1, 100)}
	payouts := []domain.PayoutReceived{{At: domain.Instant(domain.Day), Amount: 7}, {At: domain.Instant(3 * domain.Day), Amount: 100}}
	paid, unmatched := pools.Assign(statements, payouts)
	if got := paid[domain.Instant(domain.Day)]; got != 100 || len(paid) != 1 || unmatched != 7 {
		t.Errorf("got %v and %d, want 100 on day 1 and 7", paid, unmatched)
	}
	if paid, unmatched := pools.Assign(nil, payouts); len(paid) != 0 || unmatched != 107 {
		t.Errorf("without statements got %v and %d, want nothing and 107", paid, unmatched)
	}
	if got := pools.Match(statements, payouts)[domain.Instant(domain.Day)]; got != 100 {
		t.Errorf("got %d, want 100", got)
	}
}

func sigma(r domain.Reconciliation) string {
	if r.Sigma == 0 {
		return ""
	}
	return fmt.Sprintf(", sigma %d", r.Sigma)
}

// told shows the payments of the account.
func told(f *facts.Facts, a pools.Account) string {
	settled := pools.Settle(f, a, f.Statements(a.Terms.Pool, a.Terms.Account, domain.Interval{End: 1<<63 - 1}))
	var rows []string
	for _, p := range settled.Payouts {
		reference := "untold"
		if p.Stated != nil {
			reference = p.Stated.Reference
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\treceived %d\toff chain %d\ton its way %d\tfee %d\t%s", at(p.At), reference, p.Received, p.OffChain, p.Transit, p.Fee, strings.Join(p.Transactions, " ")))
	}
	u := settled.Unmatched
	return logscript.Table(rows...) + fmt.Sprintf("unmatched %d, unpaid balance %d\n", u.Received+u.OffChain+u.Transit+u.Fee, settled.Balance)
}
