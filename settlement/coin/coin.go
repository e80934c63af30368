// Package coin keeps the books of the bitcoin that mining earns, in units and
// in money: what a pool owes, what is held, at which cost, and at which value.
//
// Mined bitcoin is noncash consideration: it is revenue at its fair value when
// the day's contract with the pool begins, and later prices do not change that.
// It stands as a receivable from the pool in lots of a day, moves into the
// holdings at the lots' cost when it arrives, is remeasured to fair value at
// the end of each period through income (ASC 350-60), and leaves at cost by
// FIFO, by lots that are named, or at average cost; what was remeasured before
// leaves with it, and the rest of a sale is realized.
//
// Every amount of money is rounded once, half away from zero, to the minor unit
// of its currency; parts of a lot are rounded so that they sum to the lot. The
// postings of an entry sum to zero in each commodity: bitcoin stands against its
// value in Equity:Conversions.
package coin

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"wattbook/domain"
)

// The accounts.
const (
	Receivable  = "Assets:PoolReceivable:"         // and the pool; bitcoin
	Holdings    = "Assets:Digital:BTC"             // bitcoin
	FairValue   = "Assets:Digital:FairValueAdj"    // what remeasurement added to cost
	Bank        = "Assets:Bank:"                   // and the currency
	Mining      = "Income:Mining:"                 // and the pool
	Unrealized  = "Income:DigitalAssets:FairValue" // of remeasurement
	Realized    = "Income:DigitalAssets:Realized"  // of sales
	Variance    = "Expenses:PoolVariance:"         // and the pool: expected, and not stated
	PoolFees    = "Expenses:PoolFees"              // beyond the agreed fee
	NetworkFees = "Expenses:NetworkFees"           // of transactions
	Conversions = "Equity:Conversions"             // bitcoin against its value
)

// Bitcoin is the commodity of bitcoin.
const Bitcoin = "BTC"

// Posting moves an amount into an account; a negative one, out of it.
type Posting struct {
	Account   string
	Amount    domain.Decimal
	Commodity string
}

// Entry is a set of postings that belong together.
type Entry struct {
	At        domain.Instant
	Narration string
	Postings  []Posting
}

// Basis says which coin leaves first.
type Basis string

// The bases.
const (
	FIFO     Basis = "fifo"     // the oldest
	Specific Basis = "specific" // the lots that are named
	Average  Basis = "average"  // a part of every lot
)

// Lot is bitcoin that was earned on a day, with what it cost.
type Lot struct {
	ID       string
	Acquired domain.Instant // when it was earned
	Amount   domain.Satoshi
	Cost     domain.Money // fair value at inception
	Adjusted int64        // what remeasurement added, in minor units
}

// Kind is what a move does.
type Kind string

// The kinds of moves.
const (
	Earned     Kind = "earned"     // a day's work, at the price at inception
	Restated   Kind = "restated"   // what the pool states differs from what was expected, by an amount that may be negative
	Received   Kind = "received"   // arrived from the pool
	Fee        Kind = "fee"        // paid for a transaction
	Sold       Kind = "sold"       // for money
	Remeasured Kind = "remeasured" // to fair value, at a price
)

// Move is something that happens to the coin.
type Move struct {
	Kind   Kind
	At     domain.Instant
	Pool   domain.PoolID  // earned, restated, received
	Lot    string         // earned: the name of the new lot; restated: the lot that it is about
	Amount domain.Satoshi // not for remeasured
	Price  domain.Decimal // of one bitcoin: earned, restated beyond its lot, remeasured
	// Account takes what was restated: [Variance] and the pool if it is empty,
	// until somebody has explained it.
	Account  string
	Proceeds domain.Money // sold
	Lots     []Part       // sold and fee, by the specific basis
}

// Part is an amount of a lot.
type Part struct {
	Lot    string
	Amount domain.Satoshi
}

// Book is the state of the coin. Use [New].
type Book struct {
	currency   domain.Currency
	basis      Basis
	receivable map[domain.PoolID][]Lot // by when they were earned
	held       []Lot                   // by when they were earned
	entries    []Entry
	units      Roll
	value      Roll // in minor units
}

// Roll is the roll-forward of what is held.
type Roll struct {
	Opening, Received, Sold, Fees, Remeasured, Closing int64
}

// New returns an empty book.
func New(currency domain.Currency, basis Basis) (*Book, error) {
	if _, err := domain.ParseCurrency(string(currency)); err != nil {
		return nil, err
	}
	if !slices.Contains([]Basis{FIFO, Specific, Average}, basis) {
		return nil, fmt.Errorf("cost basis %q is not known; want fifo, specific or average", basis)
	}
	return &Book{currency: currency, basis: basis, receivable: map[domain.PoolID][]Lot{}}, nil
}

// Entries returns the entries of all moves, in order.
func (b *Book) Entries() []Entry { return b.entries }

// Held returns the lots that are held, oldest first.
func (b *Book) Held() []Lot { return slices.Clone(b.held) }

// Owed returns the lots that a pool owes, oldest first.
func (b *Book) Owed(pool domain.PoolID) []Lot { return slices.Clone(b.receivable[pool]) }

// RollForward returns the roll-forward of what is held since the last call: of
// units in satoshi, and of carrying value in minor units of the currency. The
// closing is the opening plus what was received and remeasured, less what was
// sold and paid in fees.
func (b *Book) RollForward() (units, value Roll) {
	units, value = b.units, b.value
	for _, l := range b.held {
		units.Closing += int64(l.Amount)
		value.Closing += l.Cost.Minor + l.Adjusted
	}
	b.units, b.value = Roll{Opening: units.Closing}, Roll{Opening: value.Closing}
	return units, value
}

// Apply books a move. A move that cannot be is an error, and changes nothing.
func (b *Book) Apply(m Move) error {
	if n := len(b.entries); n > 0 && m.At < b.entries[n-1].At {
		return fmt.Errorf("%s of %s comes after a move of %s; sort moves by time", m.Kind, m.At, b.entries[n-1].At)
	}
	if m.Amount <= 0 && m.Kind != Remeasured && (m.Kind != Restated || m.Amount == 0) {
		return fmt.Errorf("%s of %s: amount of %d sat is not above zero", m.Kind, m.At, m.Amount)
	}
	var err error
	switch m.Kind {
	case Earned:
		err = b.earn(m)
	case Restated:
		err = b.restate(m)
	case Received:
		err = b.receive(m)
	case Fee, Sold:
		err = b.dispose(m)
	case Remeasured:
		err = b.remeasure(m)
	default:
		err = errors.New("no such kind of move")
	}
	if err != nil {
		return fmt.Errorf("%s of %s: %w", m.Kind, m.At, err)
	}
	return nil
}

// worth returns an amount of bitcoin at a price, rounded to the minor unit.
func (b *Book) worth(s domain.Satoshi, price domain.Decimal) int64 {
	v, _ := s.BTC().Mul(price).Round(b.currency.Digits()).Scaled(b.currency.Digits())
	return v.Int64()
}

func (b *Book) money(minor int64) domain.Money {
	return domain.Money{Minor: minor, Currency: b.currency}
}

// post adds an entry; postings of nothing are left out.
func (b *Book) post(m Move, narration string, postings ...Posting) {
	e := Entry{At: m.At, Narration: narration}
	for _, p := range postings {
		if !p.Amount.IsZero() {
			e.Postings = append(e.Postings, p)
		}
	}
	b.entries = append(b.entries, e)
}

func units(account string, s domain.Satoshi) Posting { return Posting{account, s.BTC(), Bitcoin} }

func (b *Book) cash(account string, minor int64) Posting {
	return Posting{account, domain.NewDecimal(minor, -b.currency.Digits()), string(b.currency)}
}

func (b *Book) earn(m Move) error {
	if m.Price.Sign() <= 0 {
		return fmt.Errorf("price of %s is not above zero: the fair value at inception is not known", m.Price)
	}
	lots := b.receivable[m.Pool]
	for _, l := range slices.Concat(lots, b.held) {
		if l.ID == m.Lot {
			return fmt.Errorf("lot %q is there already", m.Lot)
		}
	}
	cost := b.worth(m.Amount, m.Price)
	b.receivable[m.Pool] = append(slices.Clone(lots), Lot{m.Lot, m.At, m.Amount, b.money(cost), 0})
	b.post(m, fmt.Sprintf("mined for %s, lot %s", m.Pool, m.Lot),
		units(Receivable+string(m.Pool), m.Amount), units(Conversions, -m.Amount), b.cash(Conversions, cost), b.cash(Mining+string(m.Pool), -cost))
	return nil
}

// restate changes what a pool owes for a lot, at the lot's own price: a later
// price does not change revenue.
func (b *Book) restate(m Move) error {
	lots := slices.Clone(b.receivable[m.Pool])
	account := cmp.Or(m.Account, Variance+string(m.Pool))
	i := slices.IndexFunc(lots, func(l Lot) bool { return l.ID == m.Lot })
	var cost int64
	switch {
	case m.Amount < 0 && i < 0:
		return fmt.Errorf("nothing is owed of lot %q", m.Lot)
	case m.Amount < 0 && -m.Amount > lots[i].Amount:
		return fmt.Errorf("lot %q is owed with %d sat, less than %d", m.Lot, lots[i].Amount, -m.Amount)
	case m.Amount < 0:
		part := take(&lots[i], -m.Amount)
		cost = -part.Cost.Minor
	case m.Price.Sign() <= 0:
		return fmt.Errorf("price of %s is not above zero: the fair value at inception is not known", m.Price)
	case i >= 0:
		cost = b.worth(m.Amount, m.Price)
		lots[i].Amount += m.Amount
		lots[i].Cost.Minor += cost
	default:
		cost = b.worth(m.Amount, m.Price)
		lots = append(lots, Lot{m.Lot, m.At, m.Amount, b.money(cost), 0})
	}
	b.receivable[m.Pool] = slices.DeleteFunc(lots, func(l Lot) bool { return l.Amount == 0 })
	b.post(m, fmt.Sprintf("%s states otherwise, lot %s", m.Pool, m.Lot),
		units(Receivable+string(m.Pool), m.Amount), units(Conversions, -m.Amount), b.cash(Conversions, cost), b.cash(account, -cost))
	return nil
}

// take takes an amount out of a lot, with its part of the cost and of what was
// remeasured; the parts sum to the lot.
func take(l *Lot, amount domain.Satoshi) Lot {
	portion := func(minor int64) int64 {
		v, _ := domain.Quo(domain.NewDecimal(minor, 0).MulInt(int64(amount)), domain.NewDecimal(int64(l.Amount), 0), 0).Scaled(0)
		return v.Int64()
	}
	out := *l
	out.Amount, out.Cost.Minor, out.Adjusted = amount, portion(l.Cost.Minor), portion(l.Adjusted)
	l.Amount -= amount
	l.Cost.Minor -= out.Cost.Minor
	l.Adjusted -= out.Adjusted
	return out
}

// receive moves what arrived from the oldest lots of the receivable into the
// holdings, at their cost.
func (b *Book) receive(m Move) error {
	lots := slices.Clone(b.receivable[m.Pool])
	var owed domain.Satoshi
	for _, l := range lots {
		owed += l.Amount
	}
	if m.Amount > owed {
		return fmt.Errorf("%s owes %d sat, less than the %d that arrived; book what it states first", m.Pool, owed, m.Amount)
	}
	left := m.Amount
	for i := range lots {
		if part := min(left, lots[i].Amount); part > 0 {
			in := take(&lots[i], part)
			b.hold(in)
			b.value.Received += in.Cost.Minor
			left -= part
		}
	}
	b.units.Received += int64(m.Amount)
	b.receivable[m.Pool] = slices.DeleteFunc(lots, func(l Lot) bool { return l.Amount == 0 })
	b.post(m, "received from "+string(m.Pool), units(Holdings, m.Amount), units(Receivable+string(m.Pool), -m.Amount))
	return nil
}

// hold adds a lot to the holdings; what arrives of one lot in parts is one lot
// again unless it was remeasured in between.
func (b *Book) hold(in Lot) {
	for i, l := range b.held {
		if l.ID == in.ID && l.Adjusted == 0 {
			b.held[i].Amount += in.Amount
			b.held[i].Cost.Minor += in.Cost.Minor
			return
		}
	}
	b.held = append(b.held, in)
	slices.SortStableFunc(b.held, func(x, y Lot) int { return cmp.Compare(x.Acquired, y.Acquired) })
}

// pick returns how much leaves each of the lots that are held.
func (b *Book) pick(m Move) ([]domain.Satoshi, error) {
	out := make([]domain.Satoshi, len(b.held))
	var all domain.Satoshi
	for _, l := range b.held {
		all += l.Amount
	}
	if m.Amount > all {
		return nil, fmt.Errorf("%d sat are held, less than %d", all, m.Amount)
	}
	left := m.Amount
	switch b.basis {
	case Specific:
		for _, p := range m.Lots {
			want := p.Amount
			for i, l := range b.held {
				if l.ID == p.Lot {
					part := min(want, l.Amount-out[i])
					out[i] += part
					want -= part
					left -= part
				}
			}
			if want != 0 || p.Amount <= 0 {
				return nil, fmt.Errorf("lot %q does not hold %d sat", p.Lot, p.Amount)
			}
		}
		if left != 0 {
			return nil, fmt.Errorf("the lots that are named make up %d of %d sat", m.Amount-left, m.Amount)
		}
	case Average:
		sum, done := domain.Int128{}, domain.Satoshi(0)
		for i, l := range b.held { // cumulative floors telescope to the amount
			sum = sum.Add(domain.Int(int64(l.Amount)))
			upTo, _ := sum.MulDiv(int64(m.Amount), int64(all)).Int64()
			out[i] = domain.Satoshi(upTo) - done
			done = domain.Satoshi(upTo)
		}
	default:
		for i, l := range b.held {
			out[i] = min(left, l.Amount)
			left -= out[i]
		}
	}
	return out, nil
}

// dispose takes coin out of the holdings, for money or for a transaction.
func (b *Book) dispose(m Move) error {
	if m.Kind == Sold && (m.Proceeds.Currency != b.currency || m.Proceeds.Minor < 0) {
		return fmt.Errorf("proceeds of %s %s are negative or not in %s", m.Proceeds.Amount(), m.Proceeds.Currency, b.currency)
	}
	parts, err := b.pick(m)
	if err != nil {
		return err
	}
	var cost, adjusted int64
	if b.basis == Average {
		cost, adjusted = b.average(m.Amount, parts)
	} else {
		for i, amount := range parts {
			if amount > 0 {
				out := take(&b.held[i], amount)
				cost += out.Cost.Minor
				adjusted += out.Adjusted
			}
		}
	}
	b.held = slices.DeleteFunc(b.held, func(l Lot) bool { return l.Amount == 0 })
	base := []Posting{units(Holdings, -m.Amount), units(Conversions, m.Amount), b.cash(Conversions, -cost), b.cash(FairValue, -adjusted)}
	if m.Kind == Fee {
		b.units.Fees += int64(m.Amount)
		b.value.Fees += cost + adjusted
		b.post(m, "fee of a transaction", append(base, b.cash(NetworkFees, cost+adjusted))...)
		return nil
	}
	b.units.Sold += int64(m.Amount)
	b.value.Sold += cost + adjusted
	b.post(m, "sold", append(base, b.cash(Bank+string(b.currency), m.Proceeds.Minor), b.cash(Realized, cost+adjusted-m.Proceeds.Minor))...)
	return nil
}

// average takes parts of all lots at the cost that the holdings have on
// average: the lots keep their units, and what is left of cost and adjustment is
// spread over them by their units.
func (b *Book) average(amount domain.Satoshi, parts []domain.Satoshi) (cost, adjusted int64) {
	all := Lot{Cost: b.money(0)}
	for i := range b.held {
		all.Amount += b.held[i].Amount
		all.Cost.Minor += b.held[i].Cost.Minor
		all.Adjusted += b.held[i].Adjusted
		b.held[i].Amount -= parts[i]
	}
	out := take(&all, amount)
	for i := range b.held {
		part := Lot{}
		if b.held[i].Amount > 0 {
			part = take(&all, b.held[i].Amount)
		}
		b.held[i].Cost.Minor, b.held[i].Adjusted = part.Cost.Minor, part.Adjusted
	}
	return out.Cost.Minor, out.Adjusted
}

// remeasure brings what is held to its fair value at a price.
func (b *Book) remeasure(m Move) error {
	if m.Price.Sign() <= 0 {
		return fmt.Errorf("price of %s is not above zero", m.Price)
	}
	var sum domain.Satoshi
	var done, change int64
	for i := range b.held {
		l := &b.held[i]
		sum += l.Amount
		upTo := b.worth(sum, m.Price) // the lots sum to the value of all, rounded once
		now := upTo - done - l.Cost.Minor
		change += now - l.Adjusted
		l.Adjusted, done = now, upTo
	}
	b.value.Remeasured += change
	b.post(m, "remeasured at "+m.Price.String(), b.cash(FairValue, change), b.cash(Unrealized, -change))
	return nil
}

// Balances returns what the entries leave on each account, by account and
// commodity, without those that are empty.
func Balances(entries []Entry) []Posting {
	type key struct{ account, commodity string }
	sums := map[key]domain.Decimal{}
	for _, e := range entries {
		for _, p := range e.Postings {
			k := key{p.Account, p.Commodity}
			sums[k] = sums[k].Add(p.Amount)
		}
	}
	keys := slices.SortedFunc(maps.Keys(sums), func(x, y key) int {
		return cmp.Or(cmp.Compare(x.account, y.account), cmp.Compare(x.commodity, y.commodity))
	})
	var all []Posting
	for _, k := range keys {
		if !sums[k].IsZero() {
			all = append(all, Posting{k.account, sums[k], k.commodity})
		}
	}
	return all
}
