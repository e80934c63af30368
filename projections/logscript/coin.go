package logscript

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"wattbook/domain"
)

// playMarked plays what somebody decided of the difference of an earning day:
// "marked foundry/cedarbend 2026-10-14 disputed 73280".
func (p *Player) playMarked(w *words) error {
	r := reader{p: p}
	pool, account, _ := strings.Cut(w.plain[1], "/")
	start := r.instant(w.plain[2])
	e := domain.DifferenceMarked{
		Site: p.site, Pool: domain.PoolID(pool), Account: account, Interval: domain.Interval{Start: start, End: start.Add(domain.Day)},
		Status: domain.DifferenceStatus(w.plain[3]), Unexplained: domain.Satoshi(r.integer(w.plain[4])), By: "script",
	}
	return errors.Join(r.err, p.append("facts-script", e))
}

// playSell plays a sale of bitcoin: "sell 0.05 BTC 4910.57 2026-10-20T18:00".
func (p *Player) playSell(w *words) error {
	r := reader{p: p}
	satoshi := func(s string) domain.Satoshi {
		v, _ := r.unit(s, map[string]int32{"": 8}).Int64()
		return domain.Satoshi(v)
	}
	currency := w.key("currency", "USD")
	e := domain.CoinSold{
		Site: p.site, Amount: satoshi(w.plain[1]), At: r.instant(w.plain[4]), Reference: cmp.Or(w.key("ref", ""), fmt.Sprintf("sale%d", p.played)),
		NetworkFee: domain.Satoshi(r.integer(w.key("network", "0"))), Basis: w.key("basis", "fifo"),
	}
	r.keep(e.Proceeds.UnmarshalText([]byte(w.plain[3] + " " + currency)))
	if fee := w.key("fee", ""); fee != "" {
		r.keep(e.Fee.UnmarshalText([]byte(fee + " " + currency)))
	}
	for lot := range listed(w.key("lots", "")) {
		i := strings.LastIndexByte(lot, ':')
		if i < 0 {
			return fmt.Errorf("%q is not of the form LOT:AMOUNT", lot)
		}
		e.Lots = append(e.Lots, domain.CoinPart{Lot: strings.ReplaceAll(lot[:i], "_", " "), Amount: satoshi(lot[i+1:])})
	}
	if r.keep(e.Validate()); r.err != nil {
		return r.err
	}
	return p.append("facts-script", e)
}
