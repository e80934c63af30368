package pools

import (
	"cmp"
	"slices"

	"wattbook/domain"
	"wattbook/projections/facts"
)

// Paid is what became of what a pool states for a day.
type Paid struct {
	Received domain.Satoshi // on the chain
	OffChain domain.Satoshi // credited by Lightning or in a book
	Transit  domain.Satoshi // paid by the pool's account of it, and not arrived
	Fee      domain.Satoshi // kept for the transaction
}

func (p Paid) sum() domain.Satoshi { return p.Received + p.OffChain + p.Transit + p.Fee }

// take moves up to an amount out of p: first what was received, last the fee,
// which so falls on the last of the days that a payout pays.
func (p *Paid) take(amount domain.Satoshi) (out Paid) {
	for _, m := range []struct{ from, to *domain.Satoshi }{
		{&p.Received, &out.Received},
		{&p.OffChain, &out.OffChain},
		{&p.Transit, &out.Transit},
		{&p.Fee, &out.Fee},
	} {
		*m.to = min(amount, *m.from)
		*m.from -= *m.to
		amount -= *m.to
	}
	return out
}

func (p *Paid) add(more Paid) {
	p.Received += more.Received
	p.OffChain += more.OffChain
	p.Transit += more.Transit
	p.Fee += more.Fee
}

// lines are the lines between a stated net and what was received of it.
func (p Paid) lines(net domain.Satoshi, told bool) []part {
	if !told {
		return []part{{domain.CauseUnpaid, ratOf(net - p.Received)}}
	}
	return []part{
		{domain.CauseBalance, ratOf(net - p.sum())},
		{domain.CauseNetworkFee, ratOf(p.Fee)},
		{domain.CauseOffChain, ratOf(p.OffChain)},
		{domain.CauseTransit, ratOf(p.Transit)},
	}
}

// Payout is one payment out of an account's balance: as the pool tells it,
// with what arrived of it, or as it arrived where the pool tells none.
type Payout struct {
	At     domain.Instant
	Stated *domain.PoolPayoutStated
	// Transactions are those that brought it; one that the pool does not name
	// replaced the one that it does, for a higher fee.
	Transactions []string
	// Days are the starts of the days that it pays.
	Days []domain.Instant
	Paid
}

// Settled is what the payouts of an account paid.
type Settled struct {
	Days      map[domain.Instant]Paid // by the start of the day
	Unmatched Paid                    // that pays no day
	Payouts   []Payout                // by time
	Told      bool                    // the pool tells its payouts
	// Balance is what is stated and was not paid out, and Oldest the first day
	// of it.
	Balance domain.Satoshi
	Oldest  domain.Instant
}

// Settle matches what is stated with what was paid and with what arrived, for
// an account, over all time. A payout pays the one unpaid day that it equals,
// or else the oldest unpaid days that were over when it was made, in order,
// until it is used up; a rest is booked to the last of them. One that is made
// while no day is unpaid pays none.
func Settle(f *facts.Facts, a Account, statements []facts.Stated) Settled {
	s := Settled{Days: map[domain.Instant]Paid{}}
	s.Payouts, s.Told = payouts(f, a)
	for i := range s.Payouts {
		rest := s.assign(statements, &s.Payouts[i])
		s.Unmatched.add(rest)
	}
	for _, st := range statements {
		if left := st.Net - s.Days[st.Interval.Start].sum(); left > 0 && st.Complete {
			if s.Balance == 0 {
				s.Oldest = st.Interval.Start
			}
			s.Balance += left
		}
	}
	return s
}

// assign books a payout to the days that it pays, and returns what pays none.
func (s *Settled) assign(statements []facts.Stated, p *Payout) Paid {
	owed := func(st facts.Stated) domain.Satoshi { return st.Net - s.Days[st.Interval.Start].sum() }
	book := func(st facts.Stated, part Paid) {
		day := s.Days[st.Interval.Start]
		day.add(part)
		s.Days[st.Interval.Start] = day
		if part.sum() > 0 {
			p.Days = append(p.Days, st.Interval.Start)
		}
	}
	var due []facts.Stated
	for _, st := range statements {
		if st.Interval.End <= p.At && owed(st) > 0 {
			due = append(due, st)
		}
	}
	left := p.Paid
	if i := slices.IndexFunc(due, func(st facts.Stated) bool { return owed(st) == left.sum() }); i >= 0 {
		book(due[i], left)
		return Paid{}
	}
	if len(due) == 0 {
		return left
	}
	for i, st := range due {
		amount := min(left.sum(), owed(st))
		if i == len(due)-1 {
			amount = left.sum()
		}
		book(st, left.take(amount))
	}
	return Paid{}
}

// arrived is a receipt, and what no payout has claimed of it yet.
type arrived struct {
	domain.PayoutReceived
	left domain.Satoshi
}

// Windows in which a transaction that a pool does not name can be the payout
// that it tells.
const (
	bumpBefore = domain.Day
	bumpAfter  = 14 * domain.Day
)

// payouts returns the payments of an account by time, and whether its pool
// tells them. One transaction may pay several accounts, on one address or on
// several: each satoshi of it is claimed once.
func payouts(f *facts.Facts, a Account) (all []Payout, told bool) {
	receipts := make([]*arrived, 0, len(f.AllPayouts()))
	byTransaction := map[string][]*arrived{}
	for _, r := range f.AllPayouts() {
		x := &arrived{r, r.Amount}
		receipts = append(receipts, x)
		byTransaction[r.Transaction] = append(byTransaction[r.Transaction], x)
	}
	ours := func(pool domain.PoolID, account string) bool {
		return pool == a.Terms.Pool && account == a.Terms.Account
	}
	stated := f.AllStatedPayouts()
	named := map[string]bool{}
	claims := make([]Payout, len(stated))
	for i, st := range stated {
		claims[i] = claim(st)
		told = told || ours(st.Pool, st.Account)
		if claims[i].Transit == 0 {
			continue
		}
		named[st.Transaction] = st.Transaction != ""
		for _, r := range byTransaction[st.Transaction] {
			if st.Transaction != "" && (st.Address == "" && r.Pool == st.Pool && r.Account == st.Account || st.Address == r.Address) {
				claims[i].draw(r)
			}
		}
	}
	for i, st := range stated { // a fee was raised: another transaction brought it
		c := &claims[i]
		if c.Transit != st.Amount || c.Received > 0 {
			continue
		}
		for _, r := range receipts {
			if r.left == st.Amount && r.Amount == st.Amount && !named[r.Transaction] && r.Pool == st.Pool && r.Account == st.Account &&
				(st.Address == "" || st.Address == r.Address) && st.At.Add(-bumpBefore) <= r.At && r.At <= st.At.Add(bumpAfter) {
				c.draw(r)
				break
			}
		}
	}
	for i, st := range stated {
		if ours(st.Pool, st.Account) && claims[i].sum() > 0 {
			all = append(all, claims[i])
		}
	}
	for _, r := range receipts { // that no pool tells of
		if ours(r.Pool, r.Account) && r.left > 0 {
			all = append(all, Payout{At: r.At, Transactions: []string{r.Transaction}, Paid: Paid{Received: r.left}})
		}
	}
	slices.SortStableFunc(all, func(x, y Payout) int { return cmp.Compare(x.At, y.At) })
	return all, told
}

// claim returns a stated payout as it stands before anything arrived. One that
// is pending or failed has left no balance.
func claim(st domain.PoolPayoutStated) Payout {
	p := Payout{At: st.At, Stated: &st}
	switch {
	case st.Status != domain.PayoutPaid:
	case st.Rail == domain.RailLightning || st.Rail == domain.RailInternal:
		p.OffChain, p.Fee = st.Amount, st.NetworkFee
	default:
		p.Transit, p.Fee = st.Amount, st.NetworkFee
	}
	return p
}

// draw claims what there is of a receipt.
func (p *Payout) draw(r *arrived) {
	if amount := min(p.Transit, r.left); amount > 0 {
		p.Transit -= amount
		p.Received += amount
		r.left -= amount
		p.Transactions = append(p.Transactions, r.Transaction)
	}
}

// grid returns the statements of an account on its days, those that lie across
// them, and when its days begin after midnight UTC: as its terms say, or else as
// its last statement does.
func grid(f *facts.Facts, a Account) (on, across []facts.Stated, offset domain.Instant) {
	all := f.Statements(a.Terms.Pool, a.Terms.Account, domain.Interval{End: 1<<63 - 1})
	if n := len(all); n > 0 {
		start := all[n-1].Interval.Start
		offset = start - start.Floor(domain.Day)
	}
	if a.Terms.DayStart > 0 {
		offset = domain.Instant(a.Terms.DayStart)
	}
	for _, s := range all {
		if (s.Interval.Start-offset).Floor(domain.Day) == s.Interval.Start-offset && s.Interval.Length() == domain.Day {
			on = append(on, s)
		} else {
			across = append(across, s)
		}
	}
	return on, across, offset
}

// Match is [Assign] without what pays no day.
func Match(statements []facts.Stated, payouts []domain.PayoutReceived) map[domain.Instant]domain.Satoshi {
	paid, _ := Assign(statements, payouts)
	return paid
}

// Assign assigns what arrived to the days that it pays, as [Settle] does where
// a pool does not tell its payouts, and returns what each day got, by the start
// of the day, and the sum of what pays none.
func Assign(statements []facts.Stated, payouts []domain.PayoutReceived) (paid map[domain.Instant]domain.Satoshi, unmatched domain.Satoshi) {
	paid = map[domain.Instant]domain.Satoshi{}
	s := Settled{Days: map[domain.Instant]Paid{}}
	payouts = slices.Clone(payouts)
	slices.SortStableFunc(payouts, func(a, b domain.PayoutReceived) int { return cmp.Compare(a.At, b.At) })
	for _, p := range payouts {
		rest := s.assign(statements, &Payout{At: p.At, Paid: Paid{Received: p.Amount}})
		unmatched += rest.Received
	}
	for start, p := range s.Days {
		paid[start] = p.Received
	}
	return paid, unmatched
}
