package journal

import (
	"fmt"
	"strings"

	"wattbook/domain"
	"wattbook/settlement/coin"
)

// Accounts of coin; the first ones with the pool and its account behind them.
const (
	poolReceivable = "Assets:PoolReceivable:"
	poolDisputed   = "Assets:PoolDisputed:"
	poolUnmatched  = "Liabilities:PoolUnmatched:"
	poolOverpaid   = "Liabilities:PoolOverpaid:"
	miningIncome   = "Income:Mining:"
	feeIncome      = "Income:PoolFees:"
	poolVariance   = "Expenses:PoolVariance:"
	poolWrittenOff = "Expenses:PoolWrittenOff:"

	holdings     = "Assets:Digital:BTC:"
	onChain      = holdings + "OnChain"
	offChain     = holdings + "OffChain"
	fairValueAdj = "Assets:Digital:FairValueAdj"
	coinShort    = "Liabilities:CoinShort"
	unrealized   = "Income:DigitalAssets:FairValue"
	realized     = "Income:DigitalAssets:Realized"
	networkFees  = "Expenses:NetworkFees"
	venueFees    = "Expenses:VenueFees"
	rounding     = "Expenses:Rounding"
)

// account is an account at a pool.
type account struct {
	pool domain.PoolID
	name string
}

// on returns the account of the books that begins with a prefix and is for a.
func (a account) on(prefix string) string {
	if a.name == "" {
		return prefix + name(a.pool)
	}
	return prefix + name(a.pool) + ":" + name(a.name)
}

func (a account) String() string { return string(a.pool) + "/" + a.name }

// held reports whether a lot is of what the site holds.
func held(l coin.Lot) bool { return strings.HasPrefix(l.Account, holdings) }

// liable reports whether what lies on an account is owed by the site.
func liable(account string) bool { return strings.HasPrefix(account, "Liabilities:") }

// move is an entry that moves coin, while it is made. What is taken is taken at
// once; what is put is put when the entry is done, on its date, which is no
// earlier than the date since which any of the coin lay where it was taken
// from: so that lots are there before they leave, in the order of dates too.
type move struct {
	b     *builder
	entry Entry
	puts  []coin.Lot
	cents []Posting
}

func (b *builder) move(rec domain.Recorded, date, narration string) *move {
	return &move{b: b, entry: Entry{Date: date, Narration: narration, Event: rec.ID, Position: rec.Position}}
}

// late says when what the entry books happened, if its books were closed by the
// time that it became known.
func (m *move) late(date, how string) {
	if date != "" {
		m.entry.Late = date
		m.entry.Narration += fmt.Sprintf(", %s on %s", how, date)
	}
}

func (b *builder) currency() domain.Currency {
	s, _ := b.facts.Site(b.site)
	return s.Currency
}

// take takes coin out of the lots.
func (m *move) take(w coin.Want) (parts []coin.Lot, short domain.Satoshi) {
	if w.Amount <= 0 {
		return nil, 0
	}
	parts, short = m.b.coins.book.Take(w)
	for _, p := range parts {
		m.entry.Date = max(m.entry.Date, p.Since)
		m.entry.Postings = append(m.entry.Postings, m.b.units(p, -1))
	}
	return parts, short
}

// takeNamed takes coin of a name from an account.
func (m *move) takeNamed(account, name string, amount domain.Satoshi) (parts []coin.Lot, short domain.Satoshi) {
	return m.take(coin.Want{Amount: amount, From: func(l coin.Lot) bool { return l.Account == account && l.Name == name }})
}

// put lays coin on an account.
func (m *move) put(account string, l coin.Lot) {
	if l.Amount > 0 {
		l.Account = account
		m.puts = append(m.puts, l)
	}
}

// money posts minor units.
func (m *move) money(account string, v int64) {
	for i, p := range m.cents {
		if p.Account == account {
			m.cents[i].Amount = p.Amount.Add(minor(account, v, m.b.currency()).Amount)
			return
		}
	}
	m.cents = append(m.cents, minor(account, v, m.b.currency()))
}

// costs returns what parts cost, in minor units.
func (m *move) costs(parts []coin.Lot) int64 {
	var sum domain.Decimal
	for _, p := range parts {
		sum = sum.Add(p.Cost())
	}
	return coin.Minor(sum, m.b.currency().Digits())
}

// units is a posting of a lot, into its account or out of it.
func (b *builder) units(l coin.Lot, sign int64) Posting {
	if liable(l.Account) {
		sign = -sign
	}
	return Posting{l.Account, l.Amount.BTC().MulInt(sign), Bitcoin, Cost{Price: l.Price, Currency: string(b.currency()), Date: l.Date, Lot: l.Name}}
}

// done books the entry.
func (m *move) done() error {
	for _, l := range m.puts {
		l.Since = m.entry.Date
		m.b.coins.book.Put(l)
		m.entry.Postings = append(m.entry.Postings, m.b.units(l, 1))
	}
	if left := m.round(); len(m.entry.Postings) > 0 {
		most := domain.NewDecimal(int64(len(m.entry.Postings)), -m.b.currency().Digits())
		if left.Cmp(most) > 0 || left.Cmp(most.Neg()) < 0 {
			return fmt.Errorf("entry %q of %s leaves %s, more than rounding", m.entry.Narration, m.entry.Date, left)
		}
		m.b.entries = append(m.b.entries, m.entry)
	}
	return nil
}

// round posts the money, and what its rounding to minor units leaves of coin at
// its cost: less than a unit for each posting.
func (m *move) round() (left domain.Decimal) {
	for _, p := range m.cents {
		if !p.Amount.IsZero() {
			m.entry.Postings = append(m.entry.Postings, p)
		}
	}
	for _, p := range m.entry.Postings {
		weight, _ := p.Weight()
		left = left.Add(weight)
	}
	if !left.IsZero() {
		m.entry.Postings = append(m.entry.Postings, Posting{Account: rounding, Amount: left.Neg(), Commodity: string(m.b.currency())})
	}
	return left
}
