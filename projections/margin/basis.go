package margin

import (
	"math/big"
	"slices"

	"wattbook/domain"
	"wattbook/projections/facts"
)

// Basis says what mining revenue rests on.
type Basis string

// The bases, in the order in which knowledge arrives. Rows are estimated or
// stated; whether what is stated has arrived, the reconciliation says.
const (
	Estimated Basis = "estimated" // from accepted work
	Stated    Basis = "stated"    // by the pool, for the whole day
	Received  Basis = "received"  // stated, and paid in full
)

// Statements returns what a pool states of whole days of an account, as far as
// they overlap an interval, in order. Of two that overlap, the one that begins
// first counts.
func Statements(f *facts.Facts, terms domain.PoolTerms, iv domain.Interval) []facts.Stated {
	var all []facts.Stated
	end := domain.Instant(-1 << 62)
	for _, s := range f.Statements(terms.Pool, terms.Account, domain.Interval{Start: end, End: iv.End}) {
		if !s.Complete || s.Interval.Length() != domain.Day || s.Interval.Start < end {
			continue
		}
		if end = s.Interval.End; s.Interval.Overlap(iv).Valid() {
			all = append(all, s)
		}
	}
	return all
}

// Around returns the interval that has in it, whole, every stated day of which a
// part is in iv: what is known of any part of such a day tells what its other
// parts earned.
func Around(f *facts.Facts, id domain.SiteID, iv domain.Interval) domain.Interval {
	for _, terms := range f.PoolAccounts(id) {
		for _, s := range Statements(f, terms, iv) {
			iv.Start, iv.End = min(iv.Start, s.Interval.Start), max(iv.End, s.Interval.End)
		}
	}
	return iv
}

// division is what the stated days of an account come to, interval by interval.
// A day is divided when it is asked for; only that of the last one is kept.
type division struct {
	terms  domain.PoolTerms
	stated []facts.Stated // by time, apart from each other
	day    domain.Interval
	parts  []domain.Satoshi // of the day, by slot; none if it cannot be divided
}

// weightUnits makes a millionth of a satoshi of the expectation count when a
// stated day is divided.
const weightUnits = 1_000_000

// part returns what a stated day has of an interval, if the interval is in one.
//
// The day's amount is divided over its intervals in proportion to what their
// work should earn, by largest remainder: the parts are whole satoshi and sum to
// what is stated. Of a day without work every interval has the same part. A day
// of which the expectation of some work is not known stays estimated: it cannot
// be divided.
func (m *maker) part(d *division, t domain.Instant) (domain.Satoshi, bool) {
	if !d.day.Contains(t) {
		i, ok := slices.BinarySearchFunc(d.stated, t, func(s facts.Stated, t domain.Instant) int {
			switch {
			case s.Interval.End <= t:
				return -1
			case s.Interval.Start > t:
				return 1
			}
			return 0
		})
		if !ok {
			return 0, false
		}
		d.day = d.stated[i].Interval
		d.parts = m.divide(d.terms, d.stated[i])
	}
	if d.parts == nil {
		return 0, false
	}
	return d.parts[m.table.SlotOf(t)-m.table.SlotOf(d.day.Start)], true
}

func (m *maker) divide(terms domain.PoolTerms, s facts.Stated) []domain.Satoshi {
	first, end := m.table.SlotOf(s.Interval.Start), m.table.SlotOf(s.Interval.End)
	if m.table.Interval(first).Start != s.Interval.Start || m.table.Interval(end).Start != s.Interval.End {
		return nil // its day is not made of metering intervals
	}
	weights, all := make([]int64, end-first), int64(0)
	for slot := first; slot < end; slot++ {
		weight, known := m.weight(terms, m.table.Interval(slot))
		if !known {
			return nil
		}
		weights[slot-first] = weight
		all += weight
	}
	if all == 0 {
		for i := range weights {
			weights[i] = 1
		}
	}
	parts := make([]domain.Satoshi, len(weights))
	for i, part := range domain.Allocate(int64(s.Net), weights) {
		parts[i] = domain.Satoshi(part)
	}
	return parts
}

// weight returns what the work of an account in an interval should earn, in
// millionths of a satoshi; of an interval in which no miner reported, nothing.
func (m *maker) weight(terms domain.PoolTerms, iv domain.Interval) (int64, bool) {
	for _, w := range m.work(iv).Accounts {
		if w.Pool != terms.Pool || w.Account != terms.Account {
			continue
		}
		if w.Expected == nil {
			return 0, false
		}
		millionths := new(big.Rat).Mul(w.Expected, big.NewRat(weightUnits, 1))
		return max(0, int64(domain.FloorSatoshi(millionths))), true
	}
	return 0, true
}

// earn settles what mining earned in an interval: of each account what its pool
// states of it, or else what its work should earn. It rests on an estimate if
// any part of it does. An account that gets no work by the terms of the site may
// be paid all the same.
func (m *maker) earn(w Work, t domain.Instant) Work {
	w.Basis, w.Earned = Estimated, w.Expected
	if len(m.stated) == 0 {
		return w
	}
	w.Accounts = slices.Clone(w.Accounts)
	sum, basis, any := new(big.Rat), Stated, len(w.Accounts) > 0
	paid := make([]bool, len(w.Accounts))
	for _, d := range m.stated {
		satoshi, ok := m.part(d, t)
		if !ok {
			continue
		}
		earned := new(big.Rat).SetInt64(int64(satoshi))
		sum, any = add(sum, earned), true
		if i := slices.IndexFunc(w.Accounts, func(a AccountWork) bool { return a.Pool == d.terms.Pool && a.Account == d.terms.Account }); i >= 0 {
			w.Accounts[i].Basis, w.Accounts[i].Earned, paid[i] = Stated, earned, true
		}
	}
	for i := range w.Accounts {
		if a := w.Accounts[i]; !paid[i] {
			basis = Estimated
			sum = add(sum, a.Earned)
		}
	}
	if any {
		w.Basis, w.Earned = basis, sum
	}
	return w
}
