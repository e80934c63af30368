package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"wattbook/domain"
	"wattbook/ingest"
	"wattbook/settlement/coin"
	"wattbook/settlement/journal"
)

func coinVerb() verb {
	return verb{
		name:    "coin",
		args:    "sell --amount BTC --proceeds N --reference REF [--at TIME] [--fee N] [--network-fee BTC] [--basis fifo|average] [--lot NAME=BTC ...] [--evidence FILE] [--site SITE]",
		summary: "record bitcoin that the site sold",
		help: `
sell records a sale as the venue confirms it: what left, what it brought before
the venue's fee, and which lots of it left: the oldest (fifo), the same portion of
each (average), or those that --lot names, which must sum to the amount and the
network fee. wattbook journal coin lists the lots. The venue's confirmation is
kept as evidence if it is given. The same reference again is the same sale. More
than the books hold at that time is refused. A sale that was made before the end of a
month that is closed is booked on the day on which it is recorded, and leaves at the
fair value of the end of that month, at which the closed books carry it.

Example: wattbook coin sell --amount 0.5 --proceeds 49105.71 --fee 14.73 --reference T-88 --at 2026-11-03T15:00Z`,
		run: coinSell,
	}
}

// repeated is a flag that may be given several times.
type repeated []string

func (r *repeated) String() string     { return strings.Join(*r, " ") }
func (r *repeated) Set(s string) error { *r = append(*r, s); return nil }

// saleFlags are the flags of coin sell.
type saleFlags struct {
	amount, proceeds, fee, network, reference, at, basis, evidence, site string
	lots                                                                 repeated
}

func coinSell(ctx context.Context, p *program, args []string) error {
	var o saleFlags
	p.flags.StringVar(&o.amount, "amount", "", "bitcoin that was sold, in `BTC`")
	p.flags.StringVar(&o.proceeds, "proceeds", "", "`amount` that it brought, in the site's currency, before the venue's fee")
	p.flags.StringVar(&o.fee, "fee", "0", "`amount` of it that the venue kept")
	p.flags.StringVar(&o.network, "network-fee", "0", "bitcoin that its transaction cost beside the amount, in `BTC`")
	p.flags.StringVar(&o.reference, "reference", "", "the venue's `reference` of the sale, unique in the site")
	p.flags.StringVar(&o.at, "at", "", "`time` of the sale (default now)")
	p.flags.StringVar(&o.basis, "basis", "", "cost `basis`: fifo or average (default fifo; specific with --lot)")
	p.flags.Var(&o.lots, "lot", "`NAME=BTC` that left, by specific lots; may be given several times")
	p.flags.StringVar(&o.evidence, "evidence", "", "`file` of the venue's confirmation, kept as evidence")
	p.flags.StringVar(&o.site, "site", "", "`site`; needed if the log holds several")
	rest, err := p.parse(args, 1, 1)
	if err != nil {
		return err
	}
	if rest[0] != "sell" {
		return usagef("want sell")
	}
	return p.withEngine(ctx, func(e *engine) error {
		site, err := e.siteNamed(o.site)
		if err != nil {
			return err
		}
		sale, err := e.sale(o, site)
		if err != nil {
			return err
		}
		var raw []byte
		if o.evidence != "" {
			if raw, err = os.ReadFile(p.path(o.evidence)); err != nil {
				return usagef("--evidence: %v", err)
			}
		}
		return e.recordSale(ctx, p, sale, raw)
	})
}

// sale reads the flags of a sale.
func (e *engine) sale(o saleFlags, site domain.SiteRegistered) (domain.CoinSold, error) {
	s := domain.CoinSold{Site: site.Site, At: e.now(), Reference: o.reference}
	if before, ok := e.saleOnRecord(s); ok { // told again, without its time
		s.At = before.At
	}
	var err error
	if s.Amount, err = satoshiOf(o.amount); err != nil {
		return s, usagef("--amount: %v", err)
	}
	if s.NetworkFee, err = satoshiOf(o.network); err != nil {
		return s, usagef("--network-fee: %v", err)
	}
	if err := s.Proceeds.UnmarshalText([]byte(o.proceeds + " " + string(site.Currency))); err != nil {
		return s, usagef("--proceeds: %v", err)
	}
	if err := s.Fee.UnmarshalText([]byte(o.fee + " " + string(site.Currency))); err != nil {
		return s, usagef("--fee: %v", err)
	}
	if s.Fee.IsZero() {
		s.Fee = domain.Money{}
	}
	if o.at != "" {
		zone, err := e.facts.Zone(site.Zone)
		if err != nil {
			return s, err
		}
		if s.At, err = localTime(o.at, zone); err != nil {
			return s, usagef("--at: %v", err)
		}
	}
	for _, l := range o.lots {
		i := strings.LastIndexByte(l, '=')
		if i < 0 {
			return s, usagef("--lot %q; want NAME=BTC, with a name that wattbook journal coin lists", l)
		}
		amount, err := satoshiOf(l[i+1:])
		if err != nil {
			return s, usagef("--lot: %v", err)
		}
		s.Lots = append(s.Lots, domain.CoinPart{Lot: l[:i], Amount: amount})
	}
	basis, err := coin.ParseBasis(o.basis)
	switch {
	case err != nil:
		return s, usagef("--basis: %v", err)
	case len(s.Lots) > 0 && o.basis != "" && basis != coin.Specific:
		return s, usagef("--lot names specific lots, and --basis says %s; leave one out", basis)
	case len(s.Lots) > 0:
		basis = coin.Specific
	}
	s.Basis = string(basis)
	if err := s.Validate(); err != nil {
		return s, usagef("%v", err)
	}
	return s, nil
}

// satoshiOf reads an amount of bitcoin.
func satoshiOf(s string) (domain.Satoshi, error) {
	d, err := domain.ParseDecimal(s)
	if err != nil {
		return 0, err
	}
	v, whole := d.Scaled(8)
	if !whole || !v.IsInt64() {
		return 0, fmt.Errorf("%s BTC is not a whole number of satoshi", s)
	}
	return domain.Satoshi(v.Int64()), nil
}

// saleOnRecord returns the recorded sale of the site with the reference.
func (e *engine) saleOnRecord(s domain.CoinSold) (domain.CoinSold, bool) {
	sales := e.facts.CoinSales(s.Site)
	i := slices.IndexFunc(sales, func(before domain.CoinSold) bool { return before.Reference == s.Reference })
	if i < 0 {
		return domain.CoinSold{}, false
	}
	return sales[i], true
}

// recordSale records a sale, once, if the books hold what was sold.
func (e *engine) recordSale(ctx context.Context, p *program, s domain.CoinSold, raw []byte) error {
	_, known := e.saleOnRecord(s)
	closed, late := journal.ClosedOver(e.facts, s.Site, s.At)
	if !known {
		books, err := e.books(ctx, s.Site)
		if err != nil {
			return err
		}
		if err := journal.Sellable(books, s); err != nil {
			return err
		}
	}
	got, err := e.recordFact(ctx, s.Site, ingest.Delivery{Source: "sales", Observed: e.now(), Raw: raw, Facts: []domain.Event{s}})
	if err != nil {
		return err
	}
	say, what := fmt.Sprintf("sale %s of %s BTC for %s", s.Reference, s.Amount.BTC(), s.Proceeds), "recorded"
	switch {
	case got.Conflicts > 0 || got.Rejected > 0:
		return fmt.Errorf("%s: it is on record with other terms, which stand", say)
	case got.Facts == 0:
		what = "was recorded before"
	}
	late = late && got.Facts > 0
	if p.common.json {
		report := map[string]any{"recorded": got.Facts > 0, "event": s}
		if late {
			report["closed_period"] = closed.Period
		}
		return p.printJSON(report)
	}
	fmt.Fprintf(p.stdout, "%s: %s\n", say, what)
	if late {
		fmt.Fprintf(p.stdout, "it was made before the end of %s, which is closed: it is booked today, at the fair value of that end\n", closed.Period)
	}
	return nil
}
