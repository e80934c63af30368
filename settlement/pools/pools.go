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

// Days yields the reconciliations of [Draw].
func Days(f *facts.Facts, a Account, iv domain.Interval) iter.Seq[domain.Reconciliation] {
	all, _ := Draw(f, a, iv)
	return slices.Values(all)
}

// Draw returns the reconciliation of each earning day of the account that lies
// in the interval and is over, in order. An earning day is the pool's own: a
// UTC day unless its statements begin at another hour. Days whose expectation
// is not known are left out; unknown says which and why.
func Draw(f *facts.Facts, a Account, iv domain.Interval) (all []domain.Reconciliation, unknown error) {
	// Payouts are matched over all time, since a payout in the interval may
	// pay for a day before it.
	statements := f.Statements(a.Terms.Pool, a.Terms.Account, domain.Interval{End: 1<<63 - 1})
	paid, _ := Assign(statements, f.Payouts(a.Terms.Pool, a.Terms.Account))
	byStart := map[domain.Instant]*facts.Stated{}
	offset := domain.Instant(0)
	for i, s := range statements {
		byStart[s.Interval.Start] = &statements[i]
		offset = s.Interval.Start - s.Interval.Start.Floor(domain.Day)
	}
	over := min(iv.End, f.Reached(a.Site))
	for start := (iv.Start - offset).Floor(domain.Day) + offset; start.Add(domain.Day) <= over; start = start.Add(domain.Day) {
		if start < iv.Start {
			continue
		}
		day := domain.Interval{Start: start, End: start.Add(domain.Day)}
		r, err := Reconcile(f, a, day, byStart[start], paid[start])
		if err != nil {
			unknown = errors.Join(unknown, err)
			continue
		}
		all = append(all, r)
	}
	return all, unknown
}

// Expectation is what accepted work should earn, before any rounding, in
// satoshi.
type Expectation struct {
	Shares    domain.ShareDifficulty
	Base      *big.Rat // subsidy for the work
	Fees      *big.Rat // transaction fees for the work
	Fee       *big.Rat // what the pool may keep of both
	PerBlock  *big.Rat // fees per block that Fees were computed with
	Subsidies []Epoch
	Missing   int64 // intervals in which no miner reported
	// Provisional is true while the fees of the day's blocks are not published
	// and those of the last day before it stand in.
	Provisional bool
}

// Epoch is the work done under one network difficulty.
type Epoch struct {
	Interval domain.Interval
	Bits     domain.Bits
	Subsidy  domain.Satoshi
	Shares   domain.ShareDifficulty
	Portion  *big.Rat // of a block
}

// Net returns what should arrive, rounded down to whole satoshi.
func (e Expectation) Net() domain.Satoshi {
	sum := new(big.Rat).Add(e.Base, e.Fees)
	return domain.FloorSatoshi(sum.Sub(sum, e.Fee))
}

// Expect prices the accepted share difficulty of an interval, epoch by epoch.
// Work in a metering interval in which the difficulty changes is split by
// time. It is an error if the difficulty or the fees are not known.
func Expect(f *facts.Facts, a Account, iv domain.Interval) (Expectation, error) {
	table := f.Table(a.Site)
	if table == nil {
		return Expectation{}, fmt.Errorf("expect revenue of %s: the site is not registered", a.Site)
	}
	perBlock, exact, ok := f.FeesPerBlock(iv.Start)
	if !ok {
		return Expectation{}, fmt.Errorf("expect revenue of %s: the fees of blocks are not known at %s", a.Site, iv.Start)
	}
	e := Expectation{Base: new(big.Rat), Fees: new(big.Rat), Fee: new(big.Rat), PerBlock: perBlock, Provisional: !exact}
	for _, part := range f.Epochs(iv) {
		d, ok := f.Difficulty(part.Start)
		if !ok {
			return Expectation{}, fmt.Errorf("expect revenue of %s: the network's difficulty is not known at %s", a.Site, part.Start)
		}
		epoch := Epoch{Interval: part, Bits: d.Bits, Subsidy: domain.Subsidy(d.Height), Portion: new(big.Rat)}
		first, end := table.SlotOf(part.Start), table.SlotOf(part.End-1)+1
		for s := first; s < end; s++ {
			slot := table.Interval(s)
			in := slot.Overlap(part)
			work := table.Total(domain.ChannelShares, s)
			if work.Reported == 0 && in.Start == max(slot.Start, iv.Start) { // a slot in two epochs counts once
				e.Missing++
			}
			// A part of a slot takes the work up to its end less the work up
			// to its start, so that the parts sum to the slot's.
			upTo := func(t domain.Instant) domain.Int128 {
				return work.Value.MulDiv(int64(t.Sub(slot.Start)), int64(slot.Length()))
			}
			epoch.Shares.Int128 = epoch.Shares.Add(upTo(in.End).Sub(upTo(in.Start)))
		}
		epoch.Portion = domain.WorkPortion(epoch.Shares, d.Bits)
		base, fees, fee := domain.FullPayPerShare(epoch.Portion, epoch.Subsidy, perBlock, a.Terms.Fee)
		e.Base.Add(e.Base, base)
		e.Fees.Add(e.Fees, fees)
		e.Fee.Add(e.Fee, fee)
		e.Shares.Int128 = e.Shares.Add(epoch.Shares.Int128)
		e.Subsidies = append(e.Subsidies, epoch)
	}
	return e, nil
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
// and rounding takes what the rounding of these lines leaves, so that the
// lines sum to expected − received exactly. A statement whose parts do not sum
// to its net leaves more than rounding there; the finding says so.
func Reconcile(f *facts.Facts, a Account, day domain.Interval, stated *facts.Stated, received domain.Satoshi) (domain.Reconciliation, error) {
	r := domain.Reconciliation{Pool: a.Terms.Pool, Account: a.Terms.Account, Interval: day, Received: received}
	e, err := Expect(f, a, day)
	if err != nil {
		return r, err
	}
	r.Shares, r.Expected = e.Shares, e.Net()
	if stated == nil {
		r.Lines = lines(r, []part{{domain.CauseUnstated, ratOf(r.Expected - received)}})
		r.Finding = "there is no statement of the pool for this day: what it owes is unknown"
		return r, nil
	}
	r.Stated = stated.Net
	keep := new(big.Rat).Sub(big.NewRat(1, 1), a.Terms.Fee.Rat())
	credited := creditedFees(e, stated.Subsidy)
	gross := new(big.Rat).Sub(e.Base, ratOf(stated.Subsidy))
	gross.Add(gross, e.Fees).Sub(gross, credited)
	uncredited := new(big.Rat).Mul(keep, gross)
	window := new(big.Rat).Sub(credited, ratOf(stated.Fees))
	agreed := new(big.Rat).Mul(a.Terms.Fee.Rat(), ratOf(stated.Subsidy+stated.Fees))
	r.Lines = lines(r, []part{
		{domain.CauseUncredited, uncredited},
		{domain.CauseFees, window.Mul(window, keep)},
		{domain.CausePoolFee, new(big.Rat).Sub(ratOf(stated.PoolFee), agreed)},
		{domain.CauseOther, ratOf(-stated.Other)},
		{domain.CauseUnpaid, ratOf(stated.Net - received)},
	})
	r.Finding = finding(r, e, stated)
	return r, nil
}

// creditedFees returns the fees that the work behind a stated subsidy would
// have earned at our fees per block.
func creditedFees(e Expectation, subsidy domain.Satoshi) *big.Rat {
	if e.Base.Sign() == 0 {
		// No work to compare with: take the fees and the subsidy of a block.
		block := e.Subsidies[0].Subsidy
		if block == 0 {
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
func finding(r domain.Reconciliation, e Expectation, stated *facts.Stated) string {
	parts := stated.Subsidy + stated.Fees - stated.PoolFee + stated.Other
	silent := ""
	if e.Missing > 0 {
		silent = fmt.Sprintf("in %d intervals no miner reported: the expectation is low", e.Missing)
	}
	work := differentWork(r)
	switch {
	case !stated.Complete:
		return "the pool's statement is of a day that was not over"
	case parts != stated.Net:
		return fmt.Sprintf("the pool's statement does not add up: its parts come to %s, its net is %s", parts, stated.Net)
	case work != "" && silent != "":
		return work + "; " + silent
	case work != "":
		return work
	case r.Received == 0 && r.Stated > 0:
		return "nothing of what the pool states has arrived"
	case silent != "":
		return silent
	case e.Provisional:
		return "the fees of this day's blocks are not published yet: those of an earlier day stand in"
	case stated.Restated:
		return "the pool restated its statement of this day"
	}
	return ""
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

func ratOf(s domain.Satoshi) *big.Rat { return new(big.Rat).SetInt64(int64(s)) }

// Match is [Assign] without what pays no day.
func Match(statements []facts.Stated, payouts []domain.PayoutReceived) map[domain.Instant]domain.Satoshi {
	paid, _ := Assign(statements, payouts)
	return paid
}

// Assign assigns payouts to the days that they pay, and returns what each day
// got, by the start of the day. A payout pays the one unpaid day that it
// equals, or else the oldest unpaid days that were over when it arrived, in
// order, until it is used up; a rest is booked to the last of them. Payouts
// that arrive while no statement is unpaid pay no day: unmatched is their sum.
func Assign(statements []facts.Stated, payouts []domain.PayoutReceived) (paid map[domain.Instant]domain.Satoshi, unmatched domain.Satoshi) {
	paid = map[domain.Instant]domain.Satoshi{}
	payouts = slices.Clone(payouts)
	slices.SortStableFunc(payouts, func(a, b domain.PayoutReceived) int { return cmp.Compare(a.At, b.At) })
	owed := func(s facts.Stated) domain.Satoshi { return s.Net - paid[s.Interval.Start] }
	for _, p := range payouts {
		var due []facts.Stated
		for _, s := range statements {
			if s.Interval.End <= p.At && owed(s) > 0 {
				due = append(due, s)
			}
		}
		if i := slices.IndexFunc(due, func(s facts.Stated) bool { return owed(s) == p.Amount }); i >= 0 {
			paid[due[i].Interval.Start] += p.Amount
			continue
		}
		if len(due) == 0 {
			unmatched += p.Amount
			continue
		}
		left := p.Amount
		for i, s := range due {
			part := min(left, owed(s))
			if i == len(due)-1 {
				part = left
			}
			paid[s.Interval.Start] += part
			left -= part
		}
	}
	return paid, unmatched
}
