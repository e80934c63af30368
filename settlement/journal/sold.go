package journal

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"wattbook/domain"
	"wattbook/projections/facts"
	"wattbook/settlement/coin"
)

// disposal is coin that left the holdings, as it lay there.
type disposal struct {
	coin.Lot
	date string
}

// sold books a sale: what leaves, leaves at its cost, with its part of what
// remeasurement added; the rest of the proceeds is realized. A sale that becomes
// known after a period was closed that its coin did not live to the end of is
// of the day on which it was recorded: the closed books carry that coin at the
// fair value of the period's end, and so it leaves.
func (b *builder) sold(rec domain.Recorded, e domain.CoinSold) error {
	if e.Proceeds.Currency != b.currency() || !b.counted(domain.ContractID(b.site), e.Reference, rec) {
		return nil
	}
	first, rest := splitNamed(e.Lots, e.Amount)
	date, late := b.dated(rec, e.At)
	m := b.move(rec, date, fmt.Sprintf("Sale %s of %s BTC, %s", e.Reference, e.Amount.BTC(), e.Basis))
	m.late(late, "made")
	parts, err := b.dispose(m, e, e.Amount, first)
	if err != nil {
		return err
	}
	carried := m.costs(parts)
	for _, p := range parts {
		carried += p.Adjusted
		m.money(fairValueAdj, -p.Adjusted)
	}
	m.money(bank(e.Proceeds.Currency), e.Proceeds.Minor-e.Fee.Minor)
	m.money(venueFees, e.Fee.Minor)
	m.money(realized, carried-e.Proceeds.Minor)
	if err := m.done(); err != nil || e.NetworkFee == 0 {
		return err
	}
	m = b.move(rec, date, fmt.Sprintf("Network fee of sale %s", e.Reference))
	m.late(late, "made")
	if parts, err = b.dispose(m, e, e.NetworkFee, rest); err != nil {
		return err
	}
	for _, p := range parts {
		m.money(fairValueAdj, -p.Adjusted)
		m.money(networkFees, p.Adjusted)
	}
	m.money(networkFees, m.costs(parts))
	return m.done()
}

// ClosedOver returns the last closed period of a site that ended after an
// instant, and whether there is one: then the books of that time are closed.
func ClosedOver(f *facts.Facts, site domain.SiteID, at domain.Instant) (last domain.PeriodClosed, ok bool) {
	for _, c := range f.Periods() {
		if c.Site == site && c.Interval.End > max(at, last.Interval.End) {
			last, ok = c, true
		}
	}
	return last, ok
}

// Sellable reports why a sale cannot be: more was sold than the books held at
// its time, in all or of a lot.
func Sellable(b Books, e domain.CoinSold) error {
	zone, err := time.LoadLocation(b.Site.Zone)
	if err != nil {
		return fmt.Errorf("sale %s: %w", e.Reference, err)
	}
	date := dateIn(zone, e.At)
	lots := map[string]domain.Decimal{}
	var all domain.Decimal
	for _, entry := range b.Entries {
		for _, p := range entry.Postings {
			if strings.HasPrefix(p.Account, holdings) && (cmp.Or(entry.Late, entry.Date) <= date || p.Amount.Sign() < 0) {
				lots[p.Cost.Lot] = lots[p.Cost.Lot].Add(p.Amount)
				all = all.Add(p.Amount)
			}
		}
	}
	if want := (e.Amount + e.NetworkFee).BTC(); all.Cmp(want) < 0 {
		return fmt.Errorf("sale %s of %s BTC: the books hold %s BTC on %s that no other sale took; see wattbook journal coin", e.Reference, want, all, date)
	}
	for _, p := range e.Lots {
		if lots[p.Lot] = lots[p.Lot].Sub(p.Amount.BTC()); lots[p.Lot].Sign() < 0 {
			return fmt.Errorf("sale %s: lot %q holds %s BTC on %s, less than %s; see wattbook journal coin", e.Reference, p.Lot, lots[p.Lot].Add(p.Amount.BTC()), date, p.Amount.BTC())
		}
	}
	return nil
}

// splitNamed splits named lots at an amount.
func splitNamed(all []domain.CoinPart, at domain.Satoshi) (first, rest []coin.Part) {
	for _, p := range all {
		part := min(at, p.Amount)
		at -= part
		if part > 0 {
			first = append(first, coin.Part{Lot: p.Lot, Amount: part})
		}
		if p.Amount > part {
			rest = append(rest, coin.Part{Lot: p.Lot, Amount: p.Amount - part})
		}
	}
	return first, rest
}

// dispose takes coin out of the holdings: of what lay there on the date of the
// sale, by the basis of the sale; then of what lies there at all, the oldest
// first; and what is not held, the site is short of, at the price of the sale.
func (b *builder) dispose(m *move, e domain.CoinSold, amount domain.Satoshi, named []coin.Part) ([]coin.Lot, error) {
	basis, err := coin.ParseBasis(e.Basis)
	if err != nil {
		return nil, err
	}
	date := dateIn(zoneOf(b.facts, b.site), e.At)
	parts, short := m.take(coin.Want{Amount: amount, Basis: basis, Named: named, From: func(l coin.Lot) bool { return held(l) && l.Since <= date }})
	more, short := m.take(coin.Want{Amount: short, From: held})
	parts = append(parts, more...)
	for _, p := range parts {
		b.coins.gone = append(b.coins.gone, disposal{p, m.entry.Date})
	}
	if short > 0 {
		price := domain.Quo(e.Proceeds.Decimal(), e.Amount.BTC(), max(2, b.currency().Digits()))
		lot := coin.Lot{Account: coinShort, Name: "short " + e.Reference, Date: m.entry.Date, Price: price, Amount: short}
		m.put(coinShort, lot)
		parts = append(parts, lot)
	}
	return parts, nil
}

// remeasure brings the coin that was held at the end of a period to its fair
// value there: the last price of the period. Of coin that has left since, what
// that adds leaves with it.
func (b *builder) remeasure(rec domain.Recorded, e domain.PeriodClosed) error {
	price, priced, ok := b.pricedAt(e.Interval.End - 1)
	if !ok {
		return nil // of no known value
	}
	last, digits := dateIn(zoneOf(b.facts, b.site), e.Interval.End-1), b.currency().Digits()
	lay := func(l coin.Lot) bool { return held(l) && l.Since <= last }
	post := func(date, against string, change int64) error {
		m := b.move(rec, date, fmt.Sprintf("Fair value at the end of %s, at %s %s per BTC", e.Period, price, b.currency()))
		m.entry.Priced = priced
		m.money(fairValueAdj, change)
		m.money(against, -change)
		return m.done()
	}
	change := b.coins.book.Remeasure(price, digits, lay)
	left := map[string]int64{}
	for _, g := range b.coins.gone {
		if lay(g.Lot) && g.date > last {
			more := coin.Minor(g.Amount.BTC().Mul(price).Sub(g.Cost()), digits) - g.Adjusted
			change += more
			left[g.date] += more
		}
	}
	b.coins.gone = slices.DeleteFunc(b.coins.gone, func(g disposal) bool { return lay(g.Lot) })
	if err := post(last, unrealized, change); err != nil {
		return err
	}
	var dates []string
	for d := range left {
		dates = append(dates, d)
	}
	slices.SortFunc(dates, cmp.Compare)
	for _, d := range dates {
		if err := post(d, realized, -left[d]); err != nil {
			return err
		}
	}
	return nil
}
