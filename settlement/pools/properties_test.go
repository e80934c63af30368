package pools_test

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"wattbook/domain"
	"wattbook/projections/facts"
	"wattbook/projections/logscript"
	"wattbook/projections/margin"
	"wattbook/settlement/pools"
)

// oneDay is 14 October 2026.
var oneDay = domain.Interval{Start: domain.Unix(1_791_936_000), End: domain.Unix(1_791_936_000 + 86_400)}

// shift is a change of difficulty during the day.
type shift struct {
	second int64 // of the day; the first is before it
	bits   uint32
	height int64
}

// world is a day of random work, in metering intervals of an hour.
type world struct {
	fee          string
	blocks, fees int64
	shifts       []shift
	shares       [24]int64 // in 1e-8 of difficulty; negative: nobody reported
}

func drawWorld(t *rapid.T) world {
	draw := func(name string, from, to int64) int64 { return rapid.Int64Range(from, to).Draw(t, name) }
	w := world{fee: domain.NewDecimal(draw("fee", 0, 500), -4).String(), blocks: draw("blocks", 1, 200), fees: draw("fees", 0, 1<<36)}
	at := int64(-3600)
	for range draw("shifts", 1, 4) {
		bits := uint32(draw("exponent", 0x16, 0x1c))<<24 | uint32(draw("mantissa", 0x010000, 0x7fffff))
		w.shifts = append(w.shifts, shift{at, bits, draw("height", 800_000, 1_100_000)})
		at = max(at, 0) + draw("until", 1, 20_000)
	}
	for i := range w.shares {
		w.shares[i] = draw("shares", -1<<20, 1<<58)
	}
	return w
}

func (w world) play(t *rapid.T) *logscript.Player {
	p := logscript.New()
	play := func(format string, args ...any) {
		if err := p.Play(fmt.Sprintf(format, args...)); err != nil {
			t.Fatal(err)
		}
	}
	play("now 2026-10-20\nsite s step=1h pool=foundry/cedarbend fee=%s\nmeter revenue\nminer m1 under=revenue\nminer m2", w.fee)
	play("fees 2026-10-14 %d %d", w.blocks, w.fees)
	for _, s := range w.shifts {
		play("difficulty %d %s %08x", s.height, instant(oneDay.Start.Add(domain.Second*domain.Duration(s.second))), s.bits)
	}
	for hour, n := range w.shares {
		if n >= 0 { // a third of it by the other miner
			at := oneDay.Start.Add(domain.Hour * domain.Duration(hour))
			span := instant(at) + ".." + instant(at.Add(domain.Hour))
			play("read m1 %s %sshares\nread m2 %s %sshares", span, domain.NewDecimal(n-n/3, -8), span, domain.NewDecimal(n/3, -8))
		}
	}
	return p
}

func (w world) facts(t *rapid.T) *facts.Facts {
	f, err := w.play(t).Facts()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func instant(t domain.Instant) string { return strings.TrimSuffix(t.String(), "Z") }

// expected computes what the day's work should earn, by hand: the shares of
// each second range, over the difficulty that its bits stand for.
func (w world) expected() (net domain.Satoshi, shares *big.Int, missing int64) {
	earned, all := new(big.Rat), new(big.Int)
	for i, s := range w.shifts {
		from, to := max(0, s.second), int64(86_400)
		if i+1 < len(w.shifts) {
			to = w.shifts[i+1].second
		}
		work := new(big.Int) // in 1e-8
		for hour, n := range w.shares {
			first, last := max(from, int64(hour)*3600), min(to, int64(hour+1)*3600)
			if n < 0 || first >= last {
				continue
			}
			upTo := func(second int64) *big.Int { // whole units, rounded down
				v := new(big.Int).Mul(big.NewInt(n), big.NewInt(second-int64(hour)*3600))
				return v.Quo(v, big.NewInt(3600))
			}
			work.Add(work, upTo(last)).Sub(work, upTo(first))
		}
		all.Add(all, work)
		target := new(big.Int).Lsh(big.NewInt(int64(s.bits&0xffffff)), 8*(uint(s.bits>>24)-3))
		portion := new(big.Rat).SetFrac(work, big.NewInt(100_000_000))
		portion.Mul(portion, new(big.Rat).SetFrac(target, new(big.Int).Lsh(big.NewInt(0xffff), 208)))
		block := big.NewRat(w.fees, w.blocks)
		block.Add(block, big.NewRat(5_000_000_000>>(s.height/210_000), 1))
		earned.Add(earned, portion.Mul(portion, block))
	}
	for _, n := range w.shares {
		if n < 0 {
			missing++
		}
	}
	fee, _ := new(big.Rat).SetString(w.fee)
	earned.Mul(earned, fee.Sub(big.NewRat(1, 1), fee))
	floor := new(big.Int).Quo(earned.Num(), earned.Denom())
	return domain.Satoshi(floor.Int64()), all, missing
}

func TestExpectationsAreWhatIsComputedByHand(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		f := w.facts(t)
		e, err := pools.Expect(f, account(f, "s"), oneDay)
		if err != nil {
			t.Fatal(err)
		}
		net, shares, missing := w.expected()
		if e.Net() != net || e.Shares.Big().Cmp(shares) != 0 || e.Missing != missing {
			t.Fatalf("got %d sat for %s, %d missing; want %d for %s, %d", e.Net(), e.Shares, e.Missing, net, shares, missing)
		}
	})
}

// TestTheLinesSumToExpectedLessReceived compares work with any statement,
// even an absurd one, and with any payment.
func TestTheLinesSumToExpectedLessReceived(t *testing.T) {
	order := []domain.BridgeCause{
		domain.CauseUncredited, domain.CauseFees, domain.CausePoolFee, domain.CauseOther, domain.CauseUnstated, domain.CauseUnpaid,
		domain.CauseArithmetic, domain.CauseRounding,
	}
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		if rapid.Bool().Draw(t, "nobody works") {
			w.shares = [24]int64{}
		}
		f := w.facts(t)
		satoshi := func(name string) domain.Satoshi {
			return domain.Satoshi(rapid.Int64Range(-1<<20, 1<<50).Draw(t, name))
		}
		var stated *facts.Stated
		if rapid.Bool().Draw(t, "stated") {
			stated = &facts.Stated{PoolStatementReceived: domain.PoolStatementReceived{
				Subsidy: satoshi("subsidy"), Fees: satoshi("fees"), PoolFee: satoshi("fee"), Other: satoshi("other"), Net: satoshi("net"), Complete: true,
				Credits: rapid.Int64Range(0, 5).Draw(t, "credits"),
			}}
			if rapid.Bool().Draw(t, "adds up") {
				stated.Net = stated.Subsidy + stated.Fees - stated.PoolFee + stated.Other
			}
		}
		r, err := pools.Reconcile(f, account(f, "s"), oneDay, stated, satoshi("received"))
		if err != nil {
			t.Fatal(err)
		}
		left, last, rounding := r.Expected-r.Received, -1, domain.Satoshi(0)
		for _, l := range r.Lines {
			left -= l.Satoshi
			at := slices.Index(order, l.Cause)
			if at <= last || l.Satoshi == 0 {
				t.Fatalf("line %s of %d is out of order, there twice or of nothing: %v", l.Cause, l.Satoshi, r.Lines)
			}
			if last = at; l.Cause == domain.CauseRounding {
				rounding = l.Satoshi
			}
		}
		if left != 0 {
			t.Fatalf("expected %d, received %d: the lines leave %d: %v", r.Expected, r.Received, left, r.Lines)
		}
		// Half a satoshi for each of three lines and less than one for what is
		// expected; of each credit less than one for each amount that is stated,
		// and what the line of the subsidy and that of the fees may be off, where
		// fees are more than the subsidy.
		most := big.NewRat(2+5, 1)
		if stated != nil {
			e, err := pools.Expect(f, account(f, "s"), oneDay)
			if err != nil {
				t.Fatal(err)
			}
			each := big.NewRat(5+2, 1)
			if e.Base.Sign() > 0 {
				each.Add(each, new(big.Rat).Mul(big.NewRat(2, 1), new(big.Rat).Quo(e.Fees, e.Base)))
			}
			most.Add(most, each.Mul(each, big.NewRat(stated.Credits, 1)))
		}
		if new(big.Rat).SetInt64(int64(max(rounding, -rounding))).Cmp(most) > 0 {
			t.Fatalf("%d sat are rounding: %v", rounding, r.Lines)
		}
	})
}

// TestAMatchingStatementLeavesOnlyRounding states what the work earns, each
// part rounded as pools do, and pays it.
func TestAMatchingStatementLeavesOnlyRounding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		for i := range w.shares {
			w.shares[i] = max(0, w.shares[i]) // nobody is silent
		}
		w.fees %= w.blocks * 100_000_000 // of a block: less than its subsidy
		f := w.facts(t)
		a := account(f, "s")
		e, err := pools.Expect(f, a, oneDay)
		if err != nil {
			t.Fatal(err)
		}
		s := domain.PoolStatementReceived{Subsidy: domain.FloorSatoshi(e.Base), Fees: domain.FloorSatoshi(e.Fees), PoolFee: domain.FloorSatoshi(e.Fee), Complete: true, Credits: 1}
		s.Net = s.Subsidy + s.Fees - s.PoolFee
		r, err := pools.Reconcile(f, a, oneDay, &facts.Stated{PoolStatementReceived: s}, s.Net)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range r.Lines {
			if l.Cause != domain.CauseRounding || l.Satoshi < -3 || l.Satoshi > 3 {
				t.Fatalf("line %s of %d: %v", l.Cause, l.Satoshi, r.Lines)
			}
		}
		if r.Expected > 10_000 && r.Finding != "" {
			t.Fatalf("finding: %s", r.Finding)
		}
	})
}

// TestAChangeThatChangesNothingCostsNothing cuts the day with a block that has
// the difficulty and the subsidy of the one before it.
func TestAChangeThatChangesNothingCostsNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		again := w
		same := rapid.SampledFrom(w.shifts).Draw(t, "same")
		i := slices.Index(w.shifts, same) + 1
		same.second = max(0, same.second) + 1
		if i < len(w.shifts) && same.second >= w.shifts[i].second {
			t.Skip("there is no second between them")
		}
		again.shifts = slices.Insert(slices.Clone(w.shifts), i, same)
		var nets [2]string
		for n, w := range []world{w, again} {
			f := w.facts(t)
			e, err := pools.Expect(f, account(f, "s"), oneDay)
			if err != nil {
				t.Fatal(err)
			}
			if len(e.Subsidies) != len(w.shifts) {
				t.Fatalf("got %d epochs of %d", len(e.Subsidies), len(w.shifts))
			}
			nets[n] = fmt.Sprint(e.Base, e.Fees, e.Fee, e.Shares, e.Missing)
		}
		if nets[0] != nets[1] {
			t.Fatalf("got %s, cut %s", nets[0], nets[1])
		}
	})
}

// TestADayEarnsWhatItsIntervalsEarn compares what the finance department sees
// in two places: the pool's day, and the margins of its intervals. Where the
// difficulty changes inside an interval, one splits whole units of work and
// the other does not, so here it changes between intervals.
func TestADayEarnsWhatItsIntervalsEarn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		for i := range w.shifts {
			w.shifts[i].second = int64(i) * 3600 * 5
		}
		f := w.facts(t)
		e, err := pools.Expect(f, account(f, "s"), oneDay)
		if err != nil {
			t.Fatal(err)
		}
		total, err := margin.Total(margin.Rows(f, "s", oneDay))
		if err != nil {
			t.Fatal(err)
		}
		sum := new(big.Rat).Add(e.Base, e.Fees)
		if sum.Sub(sum, e.Fee).Cmp(total.Expected) != 0 || e.Shares != total.Shares {
			t.Fatalf("the day earns %s for %s, its intervals %s for %s", sum.FloatString(4), e.Shares, total.Expected.FloatString(4), total.Shares)
		}
	})
}

// TestNoSatoshiIsLostOrPaidTwice assigns random payouts to random days.
func TestNoSatoshiIsLostOrPaidTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string, from, to int64) int64 { return rapid.Int64Range(from, to).Draw(t, name) }
		var statements []facts.Stated
		for start := oneDay.Start; len(statements) < int(draw("days", 0, 8)); start = start.Add(domain.Day * domain.Duration(draw("apart", 1, 2))) {
			net := domain.Satoshi(draw("net", -5, 40))
			statements = append(statements, facts.Stated{PoolStatementReceived: domain.PoolStatementReceived{Interval: domain.Interval{Start: start, End: start.Add(domain.Day)}, Net: net}})
		}
		var payouts []domain.PayoutReceived
		total := domain.Satoshi(0)
		for range draw("payouts", 0, 12) {
			p := domain.PayoutReceived{At: oneDay.Start.Add(domain.Hour * domain.Duration(draw("hour", 0, 24*15))), Amount: domain.Satoshi(draw("amount", 1, 90))}
			payouts = append(payouts, p)
			total += p.Amount
		}
		before := slices.Clone(payouts)
		paid, unmatched := pools.Assign(statements, payouts)
		if !slices.Equal(payouts, before) {
			t.Fatal("the caller's payouts were put into another order")
		}
		sum := unmatched
		for start, got := range paid {
			i := slices.IndexFunc(statements, func(s facts.Stated) bool { return s.Interval.Start == start })
			if i < 0 {
				t.Fatalf("%d sat pay %s, of which nothing is stated", got, start)
			}
			arrived := domain.Satoshi(0) // since the day was over
			for _, p := range payouts {
				if p.At >= statements[i].Interval.End {
					arrived += p.Amount
				}
			}
			if got < 0 || got > arrived {
				t.Fatalf("%s got %d of the %d sat that arrived after it", start, got, arrived)
			}
			sum += got
		}
		if sum != total {
			t.Fatalf("of %d sat, %d are accounted for", total, sum)
		}
		slices.SortStableFunc(before, func(a, b domain.PayoutReceived) int { return int(a.At - b.At) })
		if again, rest := pools.Assign(statements, before); fmt.Sprint(again) != fmt.Sprint(paid) || rest != unmatched {
			t.Fatalf("in the order of arrival %v and %d, otherwise %v and %d", again, rest, paid, unmatched)
		}
	})
}

// TestWhatArrivedIsOnTheDays draws the days of a log with payouts of this and
// of other accounts: what arrived is on the days, or unmatched.
func TestWhatArrivedIsOnTheDays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string, from, to int64) int64 { return rapid.Int64Range(from, to).Draw(t, name) }
		p := logscript.New()
		play := func(format string, args ...any) {
			if err := p.Play(fmt.Sprintf(format, args...)); err != nil {
				t.Fatal(err)
			}
		}
		play("site s step=1h pool=foundry/cedarbend\nnow 2026-11-01\ndifficulty 969696 2026-10-10 1d00ffff\nfees 2026-10-10 100 0")
		hour := draw("hour at which the days begin", 0, 23)
		for range draw("statements", 0, 8) {
			net := draw("net", 0, 40)
			play("statement foundry/cedarbend 2026-10-%dT%02d:00 subsidy=%d net=%d", draw("day", 14, 18), hour, net, net)
		}
		total := domain.Satoshi(0)
		for range draw("payouts", 0, 8) {
			amount, whose := draw("amount", 1, 90), rapid.SampledFrom([]string{"foundry/cedarbend", "foundry/other", "braiins/cedarbend"}).Draw(t, "account")
			play("payout %s 2026-10-%dT%02d:30 %d", whose, draw("day", 14, 22), draw("hour", 0, 23), amount)
			if whose == "foundry/cedarbend" {
				total += domain.Satoshi(amount)
			}
		}
		f, err := p.Facts()
		if err != nil {
			t.Fatal(err)
		}
		a, all := account(f, "s"), domain.Interval{Start: oneDay.Start.Add(-domain.Day), End: oneDay.End.Add(10 * domain.Day)}
		_, sum := pools.Assign(f.Statements("foundry", "cedarbend", all), f.Payouts("foundry", "cedarbend"))
		drawn, err := pools.Draw(f, a, all)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range drawn {
			sum += r.Received
		}
		if sum != total {
			t.Fatalf("%d sat arrived, %d are on the days or unmatched", total, sum)
		}
	})
}
