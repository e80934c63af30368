package coin

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"wattbook/domain"
	"wattbook/projections/facts"
	"wattbook/settlement/pools"
)

// Mined returns the moves of a pool account over an interval, by time: each
// earning day's expected revenue, net of the agreed fee, at the price of bitcoin
// when the day began; what the pool states otherwise, at the same price; and
// what arrived. It is an error if a day's expectation or its price is not known:
// nothing is booked at a guess.
//
// Moves of one moment are in the order earned, restated, received. What arrived
// beyond what was stated is restated first: the lot "unmatched" and the day that
// it arrived, at the price of that day.
func Mined(f *facts.Facts, a pools.Account, currency domain.Currency, iv domain.Interval) ([]Move, error) {
	days, err := pools.Draw(f, a, iv)
	if err != nil {
		return nil, fmt.Errorf("coin of %s: %w", a.Terms.Pool, err)
	}
	var all []Move
	var unknown error
	for _, r := range days {
		price, ok := f.LastBitcoinPrice(currency, r.Interval.Start)
		if !ok {
			unknown = errors.Join(unknown, fmt.Errorf("coin of %s: the price of bitcoin is not known at %s", a.Terms.Pool, r.Interval.Start))
			continue
		}
		lot := r.Interval.Start.Time().Format(time.DateOnly)
		if r.Expected > 0 {
			all = append(all, Move{Kind: Earned, At: r.Interval.End, Pool: r.Pool, Lot: lot, Amount: r.Expected, Price: price})
		}
		if stated := statedFor(f, a, r.Interval); stated != nil && stated.Net != r.Expected {
			all = append(all, Move{Kind: Restated, At: r.Interval.End, Pool: r.Pool, Lot: lot, Amount: max(stated.Net, 0) - r.Expected, Price: price})
		}
	}
	if unknown != nil {
		return nil, unknown
	}
	settled := pools.Settle(f, a, f.Statements(a.Terms.Pool, a.Terms.Account, domain.Interval{End: 1<<63 - 1}))
	for _, p := range settled.Payouts {
		if arrived := p.Received + p.OffChain; iv.Contains(p.At) && arrived > 0 {
			all = append(all, Move{Kind: Received, At: p.At, Pool: a.Terms.Pool, Amount: arrived})
		}
	}
	all = slices.DeleteFunc(all, func(m Move) bool { return m.Amount == 0 })
	order := []Kind{Earned, Restated, Received}
	slices.SortStableFunc(all, func(x, y Move) int {
		return cmp.Or(cmp.Compare(x.At, y.At), cmp.Compare(slices.Index(order, x.Kind), slices.Index(order, y.Kind)))
	})
	return cover(f, currency, all)
}

func statedFor(f *facts.Facts, a pools.Account, day domain.Interval) *facts.Stated {
	for _, s := range f.Statements(a.Terms.Pool, a.Terms.Account, day) {
		if s.Interval == day && s.Complete {
			return &s
		}
	}
	return nil
}

// cover puts before each receipt what is needed for the pool to owe it.
func cover(f *facts.Facts, currency domain.Currency, moves []Move) ([]Move, error) {
	var all []Move
	var owed domain.Satoshi
	for _, m := range moves {
		switch m.Kind {
		case Received:
			if more := m.Amount - owed; more > 0 {
				price, ok := f.LastBitcoinPrice(currency, m.At)
				if !ok {
					return nil, fmt.Errorf("coin of %s: the price of bitcoin is not known at %s", m.Pool, m.At)
				}
				lot := "unmatched " + m.At.String()
				all = append(all, Move{Kind: Restated, At: m.At, Pool: m.Pool, Lot: lot, Amount: more, Price: price})
				owed += more
			}
			owed -= m.Amount
		default:
			owed += m.Amount
		}
		all = append(all, m)
	}
	return all, nil
}
