// Package coin keeps lots of bitcoin: what was earned together, at which cost,
// on which account of the books it lies, and which of it leaves first.
//
// A lot has the price of one bitcoin as its cost, in whole minor units of the
// currency, so that every part of it costs exactly its amount times that price,
// however it is split. What remeasurement added to the cost is kept beside it,
// in minor units; parts of that are rounded so that they sum to the lot's.
package coin

import (
	"cmp"
	"fmt"
	"slices"

	"wattbook/domain"
)

// Basis says which coin leaves first.
type Basis string

// The bases.
const (
	FIFO     Basis = "fifo"     // the oldest
	Specific Basis = "specific" // the lots that are named
	// Average takes the same portion of every lot, so that what leaves has the
	// average cost, to the satoshi, and so has what stays.
	Average Basis = "average"
)

// ParseBasis reads the name of a basis. No name is FIFO.
func ParseBasis(s string) (Basis, error) {
	if s == "" {
		return FIFO, nil
	}
	if b := Basis(s); slices.Contains([]Basis{FIFO, Specific, Average}, b) {
		return b, nil
	}
	return "", fmt.Errorf("cost basis %q is not known; want fifo, specific or average", s)
}

// Lot is bitcoin that was earned together and lies on one account.
type Lot struct {
	Account  string         // of the books
	Name     string         // of what earned it: pool, account and day
	Date     string         // of that day: the oldest leaves first
	Price    domain.Decimal // of one bitcoin: its cost
	Since    string         // date from which on it lies there
	Amount   domain.Satoshi
	Adjusted int64 // what remeasurement added to its cost, in minor units
}

// Cost returns what the lot cost, exactly.
func (l Lot) Cost() domain.Decimal { return l.Amount.BTC().Mul(l.Price) }

// Part is an amount of a lot that is named.
type Part struct {
	Lot    string
	Amount domain.Satoshi
}

// Want says what to take of the lots.
type Want struct {
	Amount domain.Satoshi
	Basis  Basis
	From   func(Lot) bool // which lots are there to take from
	Named  []Part         // by the specific basis
}

// Book holds lots, the oldest first. The zero value holds none.
type Book struct{ lots []Lot }

// Lots returns the lots, the oldest first.
func (b *Book) Lots() []Lot { return slices.Clone(b.lots) }

// Sum returns how much there is of the lots that from accepts.
func (b *Book) Sum(from func(Lot) bool) (sum domain.Satoshi) {
	for _, l := range b.lots {
		if from(l) {
			sum += l.Amount
		}
	}
	return sum
}

// Put adds a lot. What comes of one lot on one day, and was not remeasured, is
// one lot again.
func (b *Book) Put(l Lot) {
	if l.Amount <= 0 {
		return
	}
	for i, have := range b.lots {
		if have.Account == l.Account && have.Name == l.Name && have.Since == l.Since && have.Price.Equal(l.Price) && have.Adjusted == 0 && l.Adjusted == 0 {
			b.lots[i].Amount += l.Amount
			return
		}
	}
	at, _ := slices.BinarySearchFunc(b.lots, l, func(x, y Lot) int {
		return cmp.Or(cmp.Compare(x.Date, y.Date), cmp.Compare(x.Name, y.Name), cmp.Compare(x.Since, y.Since), -1)
	})
	b.lots = slices.Insert(b.lots, at, l)
}

// Take takes an amount out of the lots and returns the parts, and what there
// was too little of.
func (b *Book) Take(w Want) (parts []Lot, short domain.Satoshi) {
	out, short := b.pick(w)
	for i, amount := range out {
		if amount > 0 {
			parts = append(parts, split(&b.lots[i], amount))
		}
	}
	b.lots = slices.DeleteFunc(b.lots, func(l Lot) bool { return l.Amount == 0 })
	return parts, short
}

// pick returns how much leaves each lot.
func (b *Book) pick(w Want) (out []domain.Satoshi, short domain.Satoshi) {
	out = make([]domain.Satoshi, len(b.lots))
	all := b.Sum(w.From)
	left := min(w.Amount, all)
	short = w.Amount - left
	switch {
	case w.Basis == Specific:
		left, short = 0, w.Amount
		for _, p := range w.Named {
			want := min(p.Amount, short)
			for i, l := range b.lots {
				if l.Name == p.Lot && w.From(l) {
					part := min(want, l.Amount-out[i])
					out[i] += part
					want -= part
					short -= part
				}
			}
		}
	case w.Basis == Average && all > 0:
		sum, done := domain.Int128{}, domain.Satoshi(0)
		for i, l := range b.lots { // cumulative floors telescope to the amount
			if !w.From(l) {
				continue
			}
			sum = sum.Add(domain.Int(int64(l.Amount)))
			upTo, _ := sum.MulDiv(int64(left), int64(all)).Int64()
			out[i] = domain.Satoshi(upTo) - done
			done = domain.Satoshi(upTo)
		}
	default:
		for i, l := range b.lots {
			if w.From(l) {
				out[i] = min(left, l.Amount)
				left -= out[i]
			}
		}
	}
	return out, short
}

// split takes an amount out of a lot, with its part of what was remeasured.
func split(l *Lot, amount domain.Satoshi) Lot {
	out := *l
	v, _ := domain.Quo(domain.NewDecimal(l.Adjusted, 0).MulInt(int64(amount)), domain.NewDecimal(int64(l.Amount), 0), 0).Scaled(0)
	out.Amount, out.Adjusted = amount, v.Int64()
	l.Amount -= out.Amount
	l.Adjusted -= out.Adjusted
	return out
}

// Remeasure brings the lots that from accepts to their fair value at a price,
// and returns by how much that changes what was added to their cost. The lots
// sum to the value of all of them, rounded once to digits.
func (b *Book) Remeasure(price domain.Decimal, digits int32, from func(Lot) bool) (change int64) {
	var sum domain.Satoshi
	var cost domain.Decimal
	done := int64(0)
	for i := range b.lots {
		l := &b.lots[i]
		if !from(*l) {
			continue
		}
		sum += l.Amount
		cost = cost.Add(l.Cost())
		upTo := Minor(sum.BTC().Mul(price).Sub(cost), digits)
		change += upTo - done - l.Adjusted
		l.Adjusted, done = upTo-done, upTo
	}
	return change
}

// Minor rounds an amount to digits and returns it in units of the last.
func Minor(d domain.Decimal, digits int32) int64 {
	v, _ := d.Round(digits).Scaled(digits)
	return v.Int64()
}
