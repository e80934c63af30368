package journal

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"wattbook/domain"
	"wattbook/settlement/coin"
)

// arrival is an output that brought bitcoin, and whom it was booked to.
type arrival struct {
	domain.PayoutReceived
	given map[account]domain.Satoshi
}

// payoutKey names a payout as its pool does.
type payoutKey struct {
	account
	reference string
}

func (k payoutKey) compare(l payoutKey) int {
	return cmp.Or(cmp.Compare(k.pool, l.pool), cmp.Compare(k.name, l.name), cmp.Compare(k.reference, l.reference))
}

// payout is a payout as its pool tells it last, and what is booked of it
// beside what the chain shows.
type payout struct {
	domain.PoolPayoutStated
	fee, off []coin.Lot
}

// arrive books what arrived. What arrives again, in another block, is booked
// once: an entry says by how much it changed.
func (b *builder) arrive(rec domain.Recorded, e domain.PayoutReceived) error {
	all := b.coins.arrivals[e.Transaction]
	if i := slices.IndexFunc(all, func(x *arrival) bool { return e.Block != "" && x.Address == e.Address }); i >= 0 {
		all[i].PayoutReceived = e
	} else {
		b.coins.arrivals[e.Transaction] = append(all, &arrival{e, map[account]domain.Satoshi{}})
	}
	return b.assign(rec, e.Transaction)
}

// reverse takes back what did not arrive after all.
func (b *builder) reverse(rec domain.Recorded, e domain.PayoutReversed) error {
	for _, x := range b.coins.arrivals[e.Transaction] {
		if x.Address == e.Address && x.Block == e.Block {
			x.Amount = 0
		}
	}
	if err := b.assign(rec, e.Transaction); err != nil {
		return err
	}
	b.coins.arrivals[e.Transaction] = slices.DeleteFunc(b.coins.arrivals[e.Transaction], func(x *arrival) bool { return x.Amount == 0 })
	return nil
}

// assign books the outputs of a transaction to the accounts whose pools say
// that they paid with it, and what nobody claims to the account whose address
// it is.
func (b *builder) assign(rec domain.Recorded, transaction string) error {
	if transaction == "" {
		return nil
	}
	all := b.coins.arrivals[transaction]
	var claims []payoutKey
	for k, p := range b.coins.payouts {
		if p.Transaction == transaction && p.Status == domain.PayoutPaid && (p.Rail == domain.RailChain || p.Rail == domain.RailGeneration) {
			claims = append(claims, k)
		}
	}
	slices.SortFunc(claims, payoutKey.compare)
	targets := make([]map[account]domain.Satoshi, len(all))
	left := make([]domain.Satoshi, len(all))
	for i, x := range all {
		targets[i], left[i] = map[account]domain.Satoshi{}, x.Amount
	}
	for _, k := range claims {
		p := b.coins.payouts[k]
		want := p.Amount
		for i, x := range all {
			if p.Address == "" && (account{x.Pool, x.Account}) == k.account || p.Address == x.Address {
				part := min(want, left[i])
				targets[i][k.account] += part
				left[i] -= part
				want -= part
			}
		}
	}
	for i, x := range all {
		own := account{x.Pool, x.Account}
		targets[i][own] += left[i]
		for a := range x.given {
			targets[i][a] += 0
		}
	}
	for _, more := range []bool{false, true} { // first what one account has too much
		for i, x := range all {
			for _, a := range sortedAccounts(targets[i]) {
				change := targets[i][a] - x.given[a]
				if !b.coins.accounts[a] || change == 0 || change > 0 != more {
					continue
				}
				ok, err := b.give(rec, x, a, change)
				if err != nil {
					return err
				}
				if !ok {
					b.coins.arrivalsUnpriced[transaction] = true
					continue
				}
				x.given[a] = targets[i][a]
			}
		}
	}
	return nil
}

func sortedAccounts(m map[account]domain.Satoshi) []account {
	var all []account
	for a := range m {
		all = append(all, a)
	}
	slices.SortFunc(all, func(x, y account) int { return cmp.Or(cmp.Compare(x.pool, y.pool), cmp.Compare(x.name, y.name)) })
	return all
}

// give books what arrived for an account, or takes it back if it is negative.
// It reports false if that needs a price of bitcoin that is not known.
func (b *builder) give(rec domain.Recorded, x *arrival, a account, amount domain.Satoshi) (bool, error) {
	if amount < 0 {
		return true, b.takeBack(rec, x, a, -amount)
	}
	date, late := b.dated(rec, x.At)
	m := b.move(rec, date, fmt.Sprintf("Payout %s of %s", x.Transaction, a))
	m.late(late, "arrived")
	parts, unmatched, ok := b.takeOwed(m, a, amount, x.At)
	if !ok {
		return false, nil
	}
	for _, l := range slices.Concat(parts, unmatched) {
		m.put(onChain, l)
	}
	return true, m.done()
}

// takeOwed takes what a pool paid out of what it owes: the one day that it
// equals, or else the oldest days. What it paid beyond that is worth the price
// of its day, and is owed to the pool until it states what it paid for. It
// reports false, and takes nothing, if that price is needed and not known.
func (b *builder) takeOwed(m *move, a account, amount domain.Satoshi, at domain.Instant) (parts, unmatched []coin.Lot, ok bool) {
	date, owed := dateIn(zoneOf(b.facts, b.site), at), map[string]domain.Satoshi{}
	from := func(l coin.Lot) bool { return l.Account == a.on(poolReceivable) && l.Date <= date }
	var sum domain.Satoshi
	var names []string
	for _, l := range b.coins.book.Lots() {
		if from(l) {
			if owed[l.Name] == 0 {
				names = append(names, l.Name)
			}
			owed[l.Name] += l.Amount
			sum += l.Amount
		}
	}
	price, priced, known := b.pricedAt(at)
	if amount > sum && !known {
		return nil, nil, false
	}
	if i := slices.IndexFunc(names, func(n string) bool { return owed[n] == amount }); i >= 0 {
		parts, _ = m.takeNamed(a.on(poolReceivable), names[i], amount)
		return parts, nil, true
	}
	parts, short := m.take(coin.Want{Amount: amount, From: from})
	if short > 0 {
		m.entry.Priced = priced
		lot := coin.Lot{Name: fmt.Sprintf("unmatched %s %s", a, at.Time().Format("2006-01-02T15:04:05Z")), Date: date, Price: price, Amount: short}
		m.put(a.on(poolUnmatched), lot)
		unmatched = append(unmatched, lot)
	}
	return parts, unmatched, true
}

// takeBack undoes that an amount arrived: the coin that came last for the
// account goes back to where it came from. If it is no longer held, other coin
// goes; of what is not held at all, the site is short.
func (b *builder) takeBack(rec domain.Recorded, x *arrival, a account, amount domain.Satoshi) error {
	m := b.move(rec, max(dateIn(zoneOf(b.facts, b.site), x.At), dateIn(zoneOf(b.facts, b.site), rec.RecordedAt)), fmt.Sprintf("Undone payout %s of %s", x.Transaction, a))
	lots := slices.DeleteFunc(b.coins.book.Lots(), func(l coin.Lot) bool { return !held(l) })
	slices.SortStableFunc(lots, func(x, y coin.Lot) int {
		ours := func(l coin.Lot) int {
			if strings.HasPrefix(strings.TrimPrefix(l.Name, "unmatched "), a.String()+" ") && l.Account == onChain {
				return 0
			}
			return 1
		}
		return cmp.Or(cmp.Compare(ours(x), ours(y)), cmp.Compare(y.Since, x.Since))
	})
	for _, lot := range lots {
		parts, _ := m.take(coin.Want{Amount: min(amount, lot.Amount), From: func(l coin.Lot) bool {
			return l.Account == lot.Account && l.Name == lot.Name && l.Since == lot.Since && l.Price.Equal(lot.Price)
		}})
		for _, p := range parts {
			amount -= p.Amount
			b.giveBack(m, a, p)
		}
	}
	if amount > 0 {
		price, priced, ok := b.pricedAt(x.At)
		if !ok {
			return nil
		}
		m.entry.Priced = priced
		lot := coin.Lot{Name: "short " + x.Transaction, Date: m.entry.Date, Price: price, Amount: amount}
		m.put(a.on(poolReceivable), lot)
		m.put(coinShort, lot)
	}
	return m.done()
}

// giveBack lays coin that was taken out of the holdings where it came from:
// against what the pool paid beyond what it owed, or into what it owes.
func (b *builder) giveBack(m *move, a account, l coin.Lot) {
	rest := l
	if strings.HasPrefix(l.Name, "unmatched ") {
		_, rest.Amount = m.takeNamed(a.on(poolUnmatched), l.Name, l.Amount)
	}
	m.money(fairValueAdj, -l.Adjusted)
	m.money(unrealized, l.Adjusted)
	rest.Adjusted = 0
	m.put(a.on(poolReceivable), rest)
}

// settleUnmatched sets what a pool paid beyond what it owed off against what it
// states now. The coin that came with it gets the cost of the day that it is
// for, as far as it is still held; of the rest, the difference is realized.
func (b *builder) settleUnmatched(rec domain.Recorded, a account) error {
	for _, u := range b.coins.book.Lots() {
		if u.Account != a.on(poolUnmatched) {
			continue
		}
		m := b.move(rec, u.Since, fmt.Sprintf("What %s paid for", u.Name))
		from := func(l coin.Lot) bool { return l.Account == a.on(poolReceivable) && l.Date <= u.Date }
		owed, _ := m.take(coin.Want{Amount: u.Amount, From: from})
		if len(owed) == 0 {
			return nil
		}
		gone := domain.Decimal{}
		for _, r := range owed {
			m.takeNamed(u.Account, u.Name, r.Amount)
			left := r.Amount
			for _, h := range b.coins.book.Lots() {
				if !held(h) || h.Name != u.Name {
					continue
				}
				parts, _ := m.take(coin.Want{Amount: min(left, h.Amount), From: func(l coin.Lot) bool {
					return l.Account == h.Account && l.Name == h.Name && l.Since == h.Since
				}})
				for _, p := range parts {
					left -= p.Amount
					p.Name, p.Date, p.Price = r.Name, r.Date, r.Price
					m.put(h.Account, p)
				}
			}
			gone = gone.Add(left.BTC().Mul(r.Price.Sub(u.Price)))
		}
		m.money(realized, coin.Minor(gone, b.currency().Digits()))
		if err := m.done(); err != nil {
			return err
		}
	}
	return nil
}

// statedPayout books what a pool says that it paid beside the chain: what it
// kept for the transaction, and what it credited off the chain. What it says
// anew takes the place of what it said before.
func (b *builder) statedPayout(rec domain.Recorded, e domain.PoolPayoutStated) error {
	k := payoutKey{account{e.Pool, e.Account}, e.Reference}
	p := b.coins.payouts[k]
	if p == nil {
		p = &payout{}
		b.coins.payouts[k] = p
	}
	before := p.Transaction
	if b.coins.accounts[k.account] && len(p.fee)+len(p.off) > 0 && (e.Status != p.Status || e.Amount != p.Amount || e.NetworkFee != p.NetworkFee || e.Rail != p.Rail) {
		if err := b.unbookPayout(rec, p); err != nil {
			return err
		}
	}
	p.PoolPayoutStated = e
	for _, tx := range []string{before, e.Transaction} {
		if err := b.assign(rec, tx); err != nil {
			return err
		}
	}
	if !b.coins.accounts[k.account] {
		return nil
	}
	return b.bookPayout(rec, p)
}

// beside returns what a payout takes out of what is owed beside the chain.
func (p *payout) beside() (fee, off domain.Satoshi) {
	if p.Status != domain.PayoutPaid {
		return 0, 0
	}
	if p.Rail == domain.RailLightning || p.Rail == domain.RailInternal {
		off = p.Amount
	}
	return p.NetworkFee, off
}

func (b *builder) bookPayout(rec domain.Recorded, p *payout) error {
	a := account{p.Pool, p.Account}
	fee, off := p.beside()
	if fee+off == 0 || len(p.fee)+len(p.off) > 0 {
		return nil
	}
	date, late := b.dated(rec, p.At)
	m := b.move(rec, date, fmt.Sprintf("Payout %s of %s beside the chain", p.Reference, a))
	m.late(late, "made")
	parts, unmatched, ok := b.takeOwed(m, a, off+fee, p.At)
	if !ok {
		b.coins.payoutsUnpriced[payoutKey{a, p.Reference}] = true
		return nil
	}
	for _, l := range slices.Concat(parts, unmatched) {
		l.Adjusted = 0
		credited := l
		credited.Amount = min(off, l.Amount)
		off -= credited.Amount
		kept := l
		kept.Amount -= credited.Amount
		if m.put(offChain, credited); credited.Amount > 0 {
			p.off = append(p.off, credited)
		}
		if kept.Amount > 0 {
			p.fee = append(p.fee, kept)
		}
	}
	m.money(networkFees, m.costs(p.fee))
	return m.done()
}

// unbookPayout undoes what was booked of a payout beside the chain.
func (b *builder) unbookPayout(rec domain.Recorded, p *payout) error {
	a := account{p.Pool, p.Account}
	m := b.move(rec, max(dateIn(zoneOf(b.facts, b.site), p.At), dateIn(zoneOf(b.facts, b.site), rec.RecordedAt)), fmt.Sprintf("Undone payout %s of %s beside the chain", p.Reference, a))
	m.money(networkFees, -m.costs(p.fee))
	for _, l := range p.fee {
		b.giveBack(m, a, l)
	}
	for _, l := range p.off {
		parts, short := m.take(coin.Want{Amount: l.Amount, From: func(h coin.Lot) bool { return h.Account == offChain && h.Name == l.Name }})
		more, left := m.take(coin.Want{Amount: short, From: held})
		for _, part := range slices.Concat(parts, more) {
			b.giveBack(m, a, part)
		}
		l.Amount = left
		m.put(coinShort, l)
		m.put(a.on(poolReceivable), l)
	}
	p.fee, p.off = nil, nil
	return m.done()
}
