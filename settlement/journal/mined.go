package journal

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"wattbook/domain"
	"wattbook/projections/facts"
	"wattbook/settlement/coin"
	"wattbook/settlement/pools"
)

// coins is the state of the books of coin while a log is folded.
type coins struct {
	book     coin.Book
	accounts map[account]bool // of the site
	days     map[poolDay]*day
	arrivals map[string][]*arrival              // by transaction
	payouts  map[payoutKey]*payout              // as the pools tell them
	prices   map[domain.Position]domain.EventID // events that price bitcoin
	gone     []disposal
	// What waits for a price of bitcoin.
	daysUnpriced     map[poolDay]bool
	arrivalsUnpriced map[string]bool
	payoutsUnpriced  map[payoutKey]bool
}

func newCoins() coins {
	return coins{
		accounts: map[account]bool{}, days: map[poolDay]*day{}, arrivals: map[string][]*arrival{}, payouts: map[payoutKey]*payout{},
		prices: map[domain.Position]domain.EventID{}, daysUnpriced: map[poolDay]bool{}, arrivalsUnpriced: map[string]bool{}, payoutsUnpriced: map[payoutKey]bool{},
	}
}

// poolDay names an earning day of an account.
type poolDay struct {
	account
	start domain.Instant
}

// middle returns the middle of the day. What is earned on a pool's day is of
// the local date on which most of that day lies.
func (e poolDay) middle() domain.Instant { return e.start.Add(domain.Day / 2) }

func (e poolDay) lot() string {
	layout := time.DateOnly
	if e.start.Floor(domain.Day) != e.start {
		layout = "2006-01-02T15:04Z"
	}
	return e.account.String() + " " + e.start.Time().Format(layout)
}

// day is what is known of an earning day, and what is booked of it.
type day struct {
	poolDay
	date       string
	price      domain.Decimal // of one bitcoin when the day began; zero: not known
	priced     domain.EventID
	stated     *domain.PoolStatementReceived
	reconciled *domain.Reconciliation
	marked     *domain.DifferenceMarked
	booked     parts
	settled    bool // a reconciliation is booked
}

// parts are what an earning day's mining comes to, in satoshi. What the pool
// owes, the variance, what is disputed and what is written off sum to revenue.
type parts struct {
	owed, variance, disputed, written domain.Satoshi
	fee                               domain.Satoshi // that the pool may keep of what it states
}

func (p parts) revenue() domain.Satoshi { return p.owed + p.variance + p.disputed + p.written }

// parts draws what the day comes to from what is known of it. What is expected
// is revenue but for the part of the difference to what is stated that explains
// itself: luck, fees per block, bonuses, rounding. The rest is variance until
// somebody says what became of it: then it is disputed, or written off, or
// accepted. Of what is accepted, what the pool keeps beyond the agreed fee is its
// fee, and the rest no revenue after all: the estimate was wrong.
func (d *day) parts() parts {
	var p parts
	var kept domain.Satoshi // beyond the agreed fee
	r, stated := d.reconciled, d.stated != nil && (d.stated.Complete || d.reconciled != nil)
	switch {
	case stated:
		p.owed = d.stated.Net
		if !d.stated.NetOnly {
			p.fee = d.stated.PoolFee
		}
		if r == nil {
			break
		}
		if p.variance = r.Expected - d.stated.Net; r.Stated == d.stated.Net {
			p.variance = 0
			for _, l := range r.Lines {
				switch l.Cause {
				case domain.CausePoolFee:
					kept = l.Satoshi
					p.variance += l.Satoshi
				case domain.CauseUncredited, domain.CauseArithmetic:
					p.variance += l.Satoshi
				}
			}
		}
	case r != nil:
		p.owed = r.Expected
	}
	if m := d.marked; m != nil && r != nil && (!stated || r.Stated == d.stated.Net) && m.Unexplained == r.Unexplained() {
		unpaid := m.Unexplained - p.variance
		switch m.Status {
		case domain.DifferenceDisputed:
			if p.variance > 0 {
				p.disputed, p.variance = p.variance, 0
			}
		case domain.DifferenceAccepted:
			p.variance, kept = 0, 0
			p.owed -= unpaid
		case domain.DifferenceWrittenOff:
			p.written, p.variance = m.Unexplained, 0
			p.owed -= unpaid
		}
	}
	p.fee -= kept
	return p
}

// earnedOn returns the earning day that an event is about.
func (b *builder) earnedOn(a account, start domain.Instant) *day {
	k := poolDay{a, start}
	if b.coins.days[k] == nil {
		b.coins.days[k] = &day{poolDay: k, date: dateIn(zoneOf(b.facts, b.site), k.middle())}
	}
	return b.coins.days[k]
}

// statement books what a pool states for a day.
func (b *builder) statement(rec domain.Recorded, e domain.PoolStatementReceived) error {
	a := account{e.Pool, e.Account}
	if !b.coins.accounts[a] || e.Interval.Length() != domain.Day {
		return nil // a statement that is not of a day does not count
	}
	d := b.earnedOn(a, e.Interval.Start)
	d.stated = &e
	return b.mine(rec, d)
}

// reconciled books the mining of a day at its value at inception, and what the
// pool does not state of it; of a later reconciliation, what it changes.
func (b *builder) reconciled(rec domain.Recorded, e domain.PayoutReconciled) error {
	a := account{e.Pool, e.Account}
	b.coins.accounts[a] = true
	d := b.earnedOn(a, e.Interval.Start)
	d.reconciled = &e.Reconciliation
	return b.mine(rec, d)
}

// mark books what somebody decided of a difference.
func (b *builder) mark(rec domain.Recorded, e domain.DifferenceMarked) error {
	d := b.earnedOn(account{e.Pool, e.Account}, e.Interval.Start)
	d.marked = &e
	return b.mine(rec, d)
}

// pricedAt returns the price of bitcoin at an instant, to whole minor units or
// hundredths, and the event that published it.
func (b *builder) pricedAt(at domain.Instant) (domain.Decimal, domain.EventID, bool) {
	c := b.currency()
	p, position, ok := b.facts.LastBitcoinPriced(c, at)
	if p = p.Round(max(2, c.Digits())); !ok || p.Sign() <= 0 {
		return domain.Decimal{}, domain.EventID{}, false
	}
	return p, b.coins.prices[position], true
}

// mine books by how much a day's parts differ from what is booked of it. A day
// of no known value waits for its price.
func (b *builder) mine(rec domain.Recorded, d *day) error {
	target := d.parts()
	if target == d.booked {
		return nil
	}
	if d.price.IsZero() {
		var ok bool
		if d.price, d.priced, ok = b.pricedAt(d.start); !ok {
			b.coins.daysUnpriced[d.poolDay] = true
			return nil
		}
	}
	m := b.move(rec, b.dateOf(rec, d), fmt.Sprintf("%s, at %s %s per BTC", d.narration(rec), d.price, b.currency()))
	m.entry.Priced = d.priced
	b.bookDay(m, d, target)
	if err := m.done(); err != nil {
		return err
	}
	d.booked, d.settled = target, d.settled || d.reconciled != nil
	return b.settleUnmatched(rec, d.account)
}

// narration says what an entry about the day is, by the event that it follows
// from.
func (d *day) narration(rec domain.Recorded) string {
	switch e := rec.Event.(type) {
	case domain.DifferenceMarked:
		status := strings.ReplaceAll(string(e.Status), "-", " ")
		if e.Status == domain.DifferenceOpen {
			status = "opened again"
		}
		text := fmt.Sprintf("Difference of %s is %s by %s", d.lot(), status, e.By)
		if e.Note != "" {
			text += " (" + e.Note + ")"
		}
		return text
	case domain.PayoutReconciled:
		if d.booked != (parts{}) {
			return "Reconciliation of " + d.lot()
		}
	case domain.PoolStatementReceived:
		if d.booked != (parts{}) {
			return "Statement for " + d.lot() + " in place of what was known"
		}
	}
	return "Mining for " + d.lot()
}

// bookDay posts what takes a day from what is booked to a target.
func (b *builder) bookDay(m *move, d *day, target parts) {
	lot := coin.Lot{Name: d.lot(), Date: d.date, Price: d.price}
	if change := target.owed - d.booked.owed; change > 0 { // what the pool paid too much is set off first
		_, lot.Amount = m.takeNamed(d.on(poolOverpaid), d.lot(), change)
		m.put(d.on(poolReceivable), lot)
	} else {
		_, lot.Amount = m.takeNamed(d.on(poolReceivable), d.lot(), -change)
		m.put(d.on(poolOverpaid), lot)
	}
	lot.Amount = target.disputed - d.booked.disputed
	m.put(d.on(poolDisputed), lot)
	m.takeNamed(d.on(poolDisputed), d.lot(), -lot.Amount)
	worth := func(s domain.Satoshi) int64 { return coin.Minor(s.BTC().Mul(d.price), b.currency().Digits()) }
	for _, c := range []struct {
		account string
		is, was domain.Satoshi
	}{
		{d.on(miningIncome), -target.revenue() - target.fee, -d.booked.revenue() - d.booked.fee},
		{d.on(feeIncome), target.fee, d.booked.fee},
		{d.on(poolVariance), target.variance, d.booked.variance},
		{d.on(poolWrittenOff), target.written, d.booked.written},
	} {
		m.money(c.account, worth(c.is)-worth(c.was))
	}
}

// dateOf returns the date of an entry about a day: the day itself, unless a
// decision or what became known after the day was reconciled and its period
// closed: that is of the date on which it was recorded.
func (b *builder) dateOf(rec domain.Recorded, d *day) string {
	_, decided := rec.Event.(domain.DifferenceMarked)
	for _, c := range b.facts.Periods() {
		if c.Site == b.site && c.Interval.Contains(d.middle()) && d.settled {
			decided = true
		}
	}
	if decided {
		return max(d.date, dateIn(zoneOf(b.facts, b.site), rec.RecordedAt))
	}
	return d.date
}

// learnPrice keeps which event published a price, and books what waited for it.
func (b *builder) learnPrice(rec domain.Recorded) error {
	b.coins.prices[rec.Position] = rec.ID
	for _, k := range slices.SortedFunc(maps.Keys(b.coins.daysUnpriced), func(x, y poolDay) int {
		return cmp.Or(cmp.Compare(x.start, y.start), cmp.Compare(x.pool, y.pool), cmp.Compare(x.name, y.name))
	}) {
		delete(b.coins.daysUnpriced, k)
		if err := b.mine(rec, b.coins.days[k]); err != nil {
			return err
		}
	}
	for _, tx := range slices.Sorted(maps.Keys(b.coins.arrivalsUnpriced)) {
		delete(b.coins.arrivalsUnpriced, tx)
		if err := b.assign(rec, tx); err != nil {
			return err
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(b.coins.payoutsUnpriced), payoutKey.compare) {
		delete(b.coins.payoutsUnpriced, k)
		if err := b.bookPayout(rec, b.coins.payouts[k]); err != nil {
			return err
		}
	}
	return nil
}

// expected returns the entries of the earning days that are over and of which
// nothing is booked, at what their work should earn. What the pool states takes
// their place: they lie in no lot yet.
func (b *builder) expected(f *facts.Facts) (all []Entry) {
	if f.Table(b.site) == nil {
		return nil
	}
	for _, a := range pools.Accounts(f, b.site) {
		all = append(all, b.expectedBy(f, a)...)
	}
	return all
}

// expectedBy returns those of a pool account.
func (b *builder) expectedBy(f *facts.Facts, a pools.Account) (all []Entry) {
	table, offset := f.Table(b.site), pools.DayOffset(f, a)
	for _, run := range table.Extent(table.Start()) {
		first := (run.Start - offset + domain.Instant(domain.Day) - 1).Floor(domain.Day) + offset
		for start := first; start.Add(domain.Day) <= min(run.End, f.Reached(b.site)); start = start.Add(domain.Day) {
			of := poolDay{account{a.Terms.Pool, a.Terms.Account}, start}
			d := b.coins.days[of]
			price, priced, ok := b.pricedAt(start)
			if !ok || d != nil && (d.booked != (parts{}) || d.stated != nil && d.stated.Complete) {
				continue
			}
			net := b.expectedOf(f, a, domain.Interval{Start: start, End: start.Add(domain.Day)})
			if net == 0 {
				continue
			}
			from, currency := b.refs["site"], b.currency()
			lot := coin.Lot{Account: of.on(poolReceivable), Name: of.lot(), Date: dateIn(zoneOf(f, b.site), of.middle()), Price: price, Amount: net}
			m := &move{b: b, entry: Entry{
				Date: lot.Date, Narration: fmt.Sprintf("Mining for %s, not stated yet, at %s %s per BTC", lot.Name, price, currency), Pending: true,
				Event: from.event, Position: from.position, Priced: priced, Postings: []Posting{b.units(lot, 1)},
			}}
			m.money(of.on(miningIncome), -coin.Minor(lot.Cost(), currency.Digits()))
			m.round()
			all = append(all, m.entry)
		}
	}
	return all
}

// expectedOf returns what a day's work should earn; nothing, if that is not
// known. What is kept from before is not computed again.
func (b *builder) expectedOf(f *facts.Facts, a pools.Account, iv domain.Interval) domain.Satoshi {
	k := work{a.Terms.Pool, a.Terms.Account, iv}
	net, ok := b.kept.work[k]
	if !ok {
		if e, err := pools.Expect(f, a, iv); err == nil {
			net = e.Net()
		}
	}
	if b.fresh != nil {
		b.fresh.work[k] = net
	}
	return net
}
