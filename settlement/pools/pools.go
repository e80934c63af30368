// Package pools compares what the miners did with what a mining pool says that
// it owes and with what arrived, and puts every satoshi of the difference on a
// named line.
package pools

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"math/big"
	"slices"

	"wattbook/domain"
	"wattbook/projections/facts"
)

// Account is a pool account of a site.
type Account struct {
	Site  domain.SiteID
	Terms domain.PoolTerms
}

// Accounts returns the pool accounts of a site, with the latest terms of each.
func Accounts(f *facts.Facts, site domain.SiteID) (all []Account) {
	for _, t := range f.PoolAccounts(site) {
		all = append(all, Account{site, t})
	}
	return all
}

// AccountOf returns one of them. Of an account that the site never worked for,
// nothing is expected.
func AccountOf(f *facts.Facts, site domain.SiteID, pool domain.PoolID, account string) Account {
	if t, ok := f.PoolAccount(site, pool, account); ok {
		return Account{site, t}
	}
	return Account{site, domain.PoolTerms{Pool: pool, Account: account}}
}

// at returns the terms of the account that hold at an instant, and the site
// with all of its accounts as they are then. It reports false while the site
// does not work for the account: it gets no work then.
func (a Account) at(f *facts.Facts, at domain.Instant) (terms domain.PoolTerms, site domain.SiteRegistered, ok bool) {
	site, _ = f.PoolTermsAt(a.Site, at)
	terms, ok = site.PoolAccount(a.Terms.Pool, a.Terms.Account)
	if !ok {
		terms = a.Terms
	}
	return terms.At(at), site, ok
}

// Worked reports whether accepted work of the account is on record in a metering
// interval of its site.
func (a Account) Worked(f *facts.Facts, slot facts.Slot) bool {
	table := f.Table(a.Site)
	terms, site, ok := a.at(f, table.Interval(slot).Start)
	if !ok {
		return false
	}
	_, reported := table.AccountWork(site, terms, domain.ChannelShares, slot)
	return reported > 0
}

// worked reports whether the site works for the account at any time of an
// interval.
func (a Account) worked(f *facts.Facts, iv domain.Interval) bool {
	return slices.ContainsFunc(a.split(f, iv), func(part domain.Interval) bool {
		_, _, ok := a.at(f, part.Start)
		return ok
	})
}

// split cuts an interval where the difficulty or the terms change.
func (a Account) split(f *facts.Facts, iv domain.Interval) []domain.Interval {
	changes := domain.PoolTerms{Rates: slices.Clone(a.Terms.Rates)}
	for _, from := range f.TermsFrom(a.Site) {
		changes.Rates = append(changes.Rates, domain.PoolRate{From: from})
		if s, ok := f.SiteAt(a.Site, from); ok {
			t, _ := s.PoolAccount(a.Terms.Pool, a.Terms.Account)
			changes.Rates = append(changes.Rates, t.Rates...)
		}
	}
	return changes.Split(f.Epochs(iv))
}

// Days yields the reconciliations of [Draw].
func Days(f *facts.Facts, a Account, iv domain.Interval) iter.Seq[domain.Reconciliation] {
	all, _ := Draw(f, a, iv)
	return slices.Values(all)
}

// Draw returns the reconciliation of each earning day of the account that lies
// in the interval and is over, in order. An earning day is the pool's own: a
// UTC day unless its statements begin at another hour. Days whose expectation
// is not known are left out; unknown says which and why. So are days on which
// the site did not work for the account, unless something is stated for them.
func Draw(f *facts.Facts, a Account, iv domain.Interval) (all []domain.Reconciliation, unknown error) {
	// Payouts are matched over all time, since a payout in the interval may
	// pay for a day before it.
	statements, strays, offset := grid(f, a)
	paid := Settle(f, a, statements)
	byStart := map[domain.Instant]*facts.Stated{}
	for i, s := range statements {
		byStart[s.Interval.Start] = &statements[i]
	}
	over := min(iv.End, f.Reached(a.Site))
	for start := (iv.Start - offset).Floor(domain.Day) + offset; start.Add(domain.Day) <= over; start = start.Add(domain.Day) {
		if start < iv.Start {
			continue
		}
		day := domain.Interval{Start: start, End: start.Add(domain.Day)}
		if byStart[start] == nil && !a.worked(f, day) {
			continue
		}
		r, err := reconcile(f, a, day, byStart[start], paid.Days[start], paid.Told)
		if err != nil {
			unknown = errors.Join(unknown, err)
			continue
		}
		for _, s := range strays {
			if in := s.Interval.Overlap(day); in.Valid() {
				r.Finding = fmt.Sprintf("a statement of %s overlaps this day and does not count: the days of this account begin at %s; correct day_start or the zone of its source",
					s.Interval, day.Start.Time().Format("15:04Z"))
			}
		}
		if paid.Balance > a.Terms.Threshold && a.Terms.Threshold > 0 && byStart[start] != nil && start == paid.Oldest {
			r.Finding = cmp.Or(r.Finding, fmt.Sprintf("the unpaid balance of %s is above the threshold of %s", paid.Balance, a.Terms.Threshold))
		}
		all = append(all, r)
	}
	return all, unknown
}

// Reconcile compares a day's work with the pool's statement for it, which may
// be absent, and with what arrived of it. It is an error if what is
// expected is not known.
//
// With r the agreed fee, e what is expected and s what is stated, c the fees
// that the work credited by the pool would have earned at our fees per block:
//
//	work not credited  (1 − r) × ((e.base − s.subsidy) + (e.fees − c))
//	fee window         (1 − r) × (c − s.fees)
//	pool fee           s.fee − r × (s.subsidy + s.fees)
//	bonus or other     −s.other
//	not received       s.net − received
//
// Where the pool tells its payouts, the last line is several: the balance that
// is not paid out, the fee of the transaction, what was credited off chain, and
// what was paid and has not arrived.
//
// Under a scheme that pays by the blocks that the pool finds, what is stated
// says nothing of the work: where the statement tells the difficulty that it
// credits, work is not credited in that proportion, and the rest of the first
// two lines is luck. A statement that does not tell fees from subsidy has no fee
// window, and one that tells its net alone is taken to keep the agreed fee.
//
// A pool rounds what it credits to the satoshi: once a day, or once for each
// of its blocks ([domain.PoolStatementReceived.Credits], n below), most of them
// down. Each amount that it states may so be n satoshi off, and a line of no
// more than what that does to it is rounding and no finding: of the work and of
// the fees n × (1 − r) × (1 + e.fees / e.base), of the pool fee n × (1 + 2r), of
// a statement of its net alone n. More than that is never taken for rounding,
// however little it is.
//
// Rounding takes these and what the rounding of the other lines leaves, so that
// the lines sum to expected − received exactly. If a statement's parts do not
// sum to its net within n satoshi for each amount that it states, the
// difference has a line of its own: the pool's arithmetic is wrong.
func Reconcile(f *facts.Facts, a Account, day domain.Interval, stated *facts.Stated, received domain.Satoshi) (domain.Reconciliation, error) {
	return reconcile(f, a, day, stated, Paid{Received: received}, false)
}

// reconcile is [Reconcile] with all that became of the day's net. If the pool
// tells its payouts, what is not received has more than one line.
func reconcile(f *facts.Facts, a Account, day domain.Interval, stated *facts.Stated, paid Paid, told bool) (domain.Reconciliation, error) {
	received := paid.Received
	r := domain.Reconciliation{Pool: a.Terms.Pool, Account: a.Terms.Account, Interval: day, Received: received}
	e, err := Expect(f, a, day)
	if err != nil {
		return r, err
	}
	r.Shares, r.Expected, r.Sigma = e.Shares, e.Net(), e.sigma()
	if stated == nil {
		r.Lines = lines(r, []part{{domain.CauseUnstated, ratOf(r.Expected - received)}})
		r.Finding = "there is no statement of the pool for this day: what it owes is unknown"
		return r, nil
	}
	r.Stated = stated.Net
	r.Lines = lines(r, slices.Concat(e.work(stated), []part{{domain.CauseOther, ratOf(-stated.Other)}}, paid.lines(stated.Net, told), arithmetic(stated)))
	r.Finding = finding(f, a, r, e, stated)
	return r, nil
}

// arithmetic returns what the parts of a statement come to more than its net,
// beyond what rounding each of its amounts explains.
func arithmetic(s *facts.Stated) []part {
	off := sumOfParts(s) - s.Net
	amounts := domain.Satoshi(1) // the net
	for _, a := range []domain.Satoshi{s.Subsidy, s.Fees, s.PoolFee, s.Other} {
		if a != 0 {
			amounts++
		}
	}
	if most := amounts * domain.Satoshi(max(1, s.Credits)); -most <= off && off <= most {
		return nil
	}
	return []part{{domain.CauseArithmetic, ratOf(off)}}
}

// sumOfParts returns what the parts of a statement come to.
func sumOfParts(s *facts.Stated) domain.Satoshi {
	if s.NetOnly {
		return s.Net
	}
	return s.Subsidy + s.Fees - s.PoolFee + s.Other
}

// work returns what a statement's subsidy, fees and pool fee differ by from
// what is expected, without what the pool's rounding explains.
func (e Expectation) work(s *facts.Stated) []part {
	agreed := e.FeePortion()
	one := big.NewRat(1, 1)
	ofFee := new(big.Rat).Add(one, new(big.Rat).Mul(big.NewRat(2, 1), agreed))
	ofWork := one
	if !s.NetOnly {
		ofWork = new(big.Rat).Sub(one, agreed)
		if e.Base.Sign() > 0 {
			ofWork.Mul(ofWork, new(big.Rat).Add(one, new(big.Rat).Quo(e.Fees, e.Base)))
		}
	}
	bounds := map[domain.BridgeCause]*big.Rat{domain.CauseUncredited: ofWork, domain.CauseFees: ofWork, domain.CausePoolFee: ofFee}
	return slices.DeleteFunc(e.differences(s), func(p part) bool {
		most, ok := bounds[p.cause]
		return ok && new(big.Rat).Abs(p.exact).Cmp(new(big.Rat).Mul(most, new(big.Rat).SetInt64(s.Credits))) <= 0
	})
}

// differences returns what a statement's subsidy, fees and pool fee differ by
// from what is expected.
func (e Expectation) differences(s *facts.Stated) []part {
	agreed := e.FeePortion()
	keep := new(big.Rat).Sub(big.NewRat(1, 1), agreed)
	credited := e.creditedFees(s.Subsidy)
	uncredited := new(big.Rat).Sub(e.Base, ratOf(s.Subsidy))
	uncredited.Add(uncredited, e.Fees).Sub(uncredited, credited)
	uncredited.Mul(uncredited, keep)
	window := new(big.Rat).Sub(credited, ratOf(s.Fees))
	window.Mul(window, keep)
	fee := new(big.Rat).Mul(agreed, ratOf(s.Subsidy+s.Fees))
	fee.Sub(ratOf(s.PoolFee), fee)
	switch {
	case s.NetOnly:
		uncredited.Sub(e.exact(), ratOf(s.Net-s.Other))
		window, fee = new(big.Rat), new(big.Rat)
	case s.Unsplit:
		uncredited.Add(e.Base, e.Fees).Sub(uncredited, ratOf(s.Subsidy)).Mul(uncredited, keep)
		window = new(big.Rat)
	}
	switch {
	case e.lucky(e.Base):
		all := uncredited.Add(uncredited, window)
		uncredited = new(big.Rat)
		if s.Shares.Sign() > 0 && e.Shares.Sign() > 0 {
			uncredited.SetFrac(e.Shares.Sub(s.Shares.Int128).Big(), e.Shares.Big())
			uncredited.Mul(uncredited, e.exact())
		}
		return []part{{domain.CauseUncredited, uncredited}, {domain.CausePoolFee, fee}, {domain.CauseLuck, all.Sub(all, uncredited)}}
	case e.lucky(e.Fees):
		return []part{{domain.CauseUncredited, uncredited}, {domain.CausePoolFee, fee}, {domain.CauseLuck, window}}
	}
	return []part{{domain.CauseUncredited, uncredited}, {domain.CauseFees, window}, {domain.CausePoolFee, fee}}
}

// creditedFees returns the fees that the work behind a stated subsidy would
// have earned at our fees per block.
func (e Expectation) creditedFees(subsidy domain.Satoshi) *big.Rat {
	if e.Base.Sign() == 0 {
		// No work to compare with: take the fees and the subsidy of a block.
		block := e.Subsidies[0].Subsidy
		if block == 0 || e.Subsidies[0].Scheme == domain.SchemePPS {
			return new(big.Rat)
		}
		portion := new(big.Rat).Quo(ratOf(subsidy), ratOf(block))
		return portion.Mul(portion, e.PerBlock)
	}
	portion := new(big.Rat).Quo(ratOf(subsidy), e.Base)
	return portion.Mul(portion, e.Fees)
}

type part struct {
	cause domain.BridgeCause
	exact *big.Rat
}

// lines rounds the parts to whole satoshi, half away from zero, and adds what
// that leaves as rounding. Parts of nothing have no line.
func lines(r domain.Reconciliation, parts []part) []domain.BridgeLine {
	left := r.Expected - r.Received
	var out []domain.BridgeLine
	for _, p := range parts {
		v, _ := domain.RoundRat(p.exact, 0).Scaled(0)
		s := domain.Satoshi(v.Int64())
		left -= s
		if s != 0 {
			out = append(out, domain.BridgeLine{Cause: p.cause, Satoshi: s})
		}
	}
	if left != 0 {
		out = append(out, domain.BridgeLine{Cause: domain.CauseRounding, Satoshi: left})
	}
	return out
}

// finding says what a person should look at first, or nothing. Differences in
// work below a thousandth are restarts between two polls and the cut of the
// day.
func finding(f *facts.Facts, a Account, r domain.Reconciliation, e Expectation, stated *facts.Stated) string {
	silent := ""
	if e.Missing > 0 {
		silent = fmt.Sprintf("in %d intervals no miner reported: the expectation is low", e.Missing)
	}
	work := cmp.Or(differentWork(r), e.implausible(r))
	switch {
	case !stated.Complete:
		return "the pool's statement is of a day that was not over"
	case len(arithmetic(stated)) > 0:
		return fmt.Sprintf("the pool's statement does not add up: its parts come to %s, its net is %s", sumOfParts(stated), stated.Net)
	case work != "" && silent != "":
		return work + "; " + silent
	case work != "":
		return work
	case unpaid(r) > 0 && r.Received == 0:
		return "nothing of what the pool states has arrived"
	case unpaid(r) > 0:
		return fmt.Sprintf("%s of what the pool states has not arrived", unpaid(r))
	case silent != "":
		return silent
	case e.Provisional:
		return "the fees of this day's blocks are not published yet: those of an earlier day stand in"
	case stated.Restated:
		return "the pool restated its statement of this day"
	}
	return Compare(f, a, r.Interval).Alarm()
}

// differentWork says by how much work or fee differ, or nothing.
func differentWork(r domain.Reconciliation) string {
	for _, l := range r.Lines {
		part := domain.Quo(domain.NewDecimal(int64(l.Satoshi), 0), domain.NewDecimal(max(1, int64(r.Expected)), 0), 5)
		switch {
		case l.Cause == domain.CauseUncredited && r.Expected <= 0 && l.Satoshi < 0:
			return "the pool credits work that no miner reports"
		case l.Cause == domain.CauseUncredited && part.Cmp(domain.MustDecimal("0.001")) > 0:
			return fmt.Sprintf("the pool does not credit %s %% of the accepted work", part.Shift(2).Fixed(1))
		case l.Cause == domain.CauseUncredited && part.Cmp(domain.MustDecimal("-0.001")) < 0:
			return fmt.Sprintf("the pool credits %s %% more work than the miners report", part.Neg().Shift(2).Fixed(1))
		case l.Cause == domain.CausePoolFee && part.Cmp(domain.MustDecimal("0.0001")) > 0:
			return fmt.Sprintf("the pool keeps %s more than the agreed fee", l.Satoshi)
		}
	}
	return ""
}

// unpaid returns what is stated, should have arrived and did not.
func unpaid(r domain.Reconciliation) (sum domain.Satoshi) {
	for _, l := range r.Lines {
		if l.Cause == domain.CauseUnpaid || l.Cause == domain.CauseTransit {
			sum += l.Satoshi
		}
	}
	return sum
}

func ratOf(s domain.Satoshi) *big.Rat { return new(big.Rat).SetInt64(int64(s)) }
