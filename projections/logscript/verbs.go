package logscript

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"wattbook/domain"
	"wattbook/projections/allocation"
)

// reader reads values and keeps the first error, so that a line is read
// without a check behind every word.
type reader struct {
	p   *Player
	err error
}

func (r *reader) keep(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *reader) instant(s string) domain.Instant {
	v, err := r.p.Instant(s)
	r.keep(err)
	return v
}

func (r *reader) interval(s string) domain.Interval {
	v, err := r.p.Interval(s)
	r.keep(err)
	return v
}

func (r *reader) decimal(s string) domain.Decimal {
	v, err := domain.ParseDecimal(s)
	r.keep(err)
	return v
}

func (r *reader) integer(s string) int64 {
	v, err := strconv.ParseInt(s, 10, 64)
	r.keep(err)
	return v
}

func (r *reader) duration(s string) domain.Duration {
	var d domain.Duration
	r.keep(d.UnmarshalText([]byte(s)))
	return d
}

func (r *reader) mark(s string) domain.Mark {
	for m := domain.MarkFirst; m.String() != ""; m++ {
		if m.String() == s {
			return m
		}
	}
	r.keep(fmt.Errorf("no such mark: %q", s))
	return 0
}

// unit reads a number with one of the units behind it, as an integer of
// 10^-exponent of it.
func (r *reader) unit(s string, units map[string]int32) domain.Int128 {
	number := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	exponent, ok := units[s[len(number):]]
	if !ok {
		r.keep(fmt.Errorf("%q has no unit of %v", s, units))
		return domain.Int128{}
	}
	v, whole := r.decimal(number).Scaled(exponent)
	if !whole {
		r.keep(fmt.Errorf("%q has too many digits", s))
	}
	i, err := domain.IntFromBig(v)
	r.keep(err)
	return i
}

func (r *reader) power(s string) domain.Power {
	v, _ := r.unit(s, map[string]int32{"mW": 0, "W": 3, "kW": 6, "MW": 9}).Int64()
	return domain.Power(v)
}

func (r *reader) hashrate(s string) domain.Int128 {
	return r.unit(s, map[string]int32{"T": 12, "P": 15, "E": 18})
}

func (p *Player) playDay(w *words) error {
	r := reader{p: p}
	p.day = r.instant(w.plain[1]).Time()
	return r.err
}

func (p *Player) playNow(w *words) error {
	r := reader{p: p}
	p.now = r.instant(w.plain[1])
	return r.err
}

func (p *Player) playSite(w *words) error {
	r := reader{p: p}
	p.site = domain.SiteID(w.plain[1])
	e := domain.SiteRegistered{
		Site: p.site, Name: w.plain[1], Zone: w.key("zone", "UTC"), Step: r.duration(w.key("step", "5m")),
		Currency: domain.Currency(w.key("currency", "USD")), Node: domain.NodeID(w.key("node", "hb_south")),
		RevenueMeter: domain.DeviceID(w.key("revenue", "revenue")), LossPortion: r.decimal(w.key("loss", "0")),
		Pool: r.poolTerms(w, w.key("pool", "foundry/site")),
		Dispatch: domain.DispatchRule{
			Limit: r.power(w.key("limit", "0W")), Ramp: r.power(w.key("ramp", "0W")), MinOn: r.duration(w.key("min-on", "0s")),
			MinOff: r.duration(w.key("min-off", "0s")), Adder: r.decimal(w.key("adder", "0")), Reserve: r.power(w.key("reserve", "0W")),
		},
	}
	if from := w.key("from", ""); from != "" {
		e.From = r.instant(from)
	}
	p.registered = e
	return errors.Join(r.err, p.append("facts-script", e))
}

// playAccount registers the site again, with one more pool account or with
// other terms of one that it has.
func (p *Player) playAccount(w *words) error {
	r := reader{p: p}
	t := r.poolTerms(w, w.plain[1])
	for id := range strings.SplitSeq(w.key("miners", ""), ",") {
		t.Miners = append(t.Miners, domain.DeviceID(id))
	}
	e := p.registered
	if e.From = 0; w.key("from", "") != "" {
		e.From = r.instant(w.key("from", ""))
	}
	e.Accounts = append(slices.DeleteFunc(slices.Clone(e.Accounts), func(o domain.PoolTerms) bool { return o.Name() == t.Name() }), t)
	p.registered = e
	return errors.Join(r.err, e.Validate(), p.append("facts-script", e))
}

// poolTerms reads the terms of a pool account.
func (r *reader) poolTerms(w *words, name string) domain.PoolTerms {
	pool, account, _ := strings.Cut(name, "/")
	t := domain.PoolTerms{
		Pool: domain.PoolID(pool), Account: account, Scheme: w.key("scheme", "fpps"), Fee: r.decimal(w.key("fee", "0")),
		Hashrate: r.hashrate(w.key("pool-hash", "0P")), Threshold: domain.Satoshi(r.integer(w.key("threshold", "0"))), DayStart: r.duration(w.key("day-start", "0s")),
	}
	if later := w.key("later", ""); later != "" { // 2026-10-14T12:00:0.015,…
		for change := range strings.SplitSeq(later, ",") {
			i := strings.LastIndexByte(change, ':')
			if i < 0 {
				r.keep(fmt.Errorf("%q is not of the form TIME:FEE", change))
				break
			}
			t.Rates = append(t.Rates, domain.PoolRate{From: r.instant(change[:i]), Fee: r.decimal(change[i+1:])})
		}
	}
	return t
}

func (p *Player) playDevice(w *words) error {
	r := reader{p: p}
	e := domain.DeviceRegistered{
		Site: p.site, Device: domain.DeviceID(w.plain[1]), Kind: domain.DeviceKind(w.plain[0]), Under: domain.DeviceID(w.key("under", "")),
		Use: domain.Use(w.key("use", "")), Units: 1, RatedPower: r.power(w.key("rated", "1MW")), RatedHashes: r.hashrate(w.key("rated-hash", "0P")),
		TypicalPower: r.power(w.key("typical", "0W")), TypicalHashes: r.hashrate(w.key("typical-hash", "0P")), Host: w.key("host", ""),
	}
	switch e.Kind {
	case domain.KindMiner:
		e.Use = domain.UseMining
		if e.RatedHashes.Sign() == 0 {
			e.RatedHashes = r.hashrate("1E")
		}
	case domain.KindGPU:
		e.Use = domain.UseAI
	}
	r.keep(e.Validate())
	if r.err != nil {
		return r.err
	}
	return p.append("facts-script", e)
}

func (p *Player) playRead(w *words) error {
	r := reader{p: p}
	reading := domain.Reading{Device: domain.DeviceID(w.plain[1]), Channel: domain.ChannelEnergyImport, Provenance: domain.ProvenanceSubMeter}
	all := r.interval(w.plain[2])
	if v, ok := strings.CutSuffix(w.plain[3], "shares"); ok {
		reading.Channel = domain.ChannelShares
		reading.Value = r.unit(v, map[string]int32{"": 8})
	} else if v, ok := strings.CutSuffix(w.plain[3], "hashes"); ok {
		reading.Channel = domain.ChannelHashes
		reading.Value = r.unit(v, map[string]int32{"": 0, "T": 12, "P": 15, "E": 18})
	} else {
		reading.Value = r.unit(v, map[string]int32{"mWh": 0, "Wh": 3, "kWh": 6, "MWh": 9})
	}
	reading.Mark = r.mark(w.key("mark", "normal"))
	every := r.duration(w.key("every", all.Length().String()))
	if r.err != nil {
		return r.err
	}
	batch := domain.ReadingsRecorded{Site: p.site, Origin: domain.Origin{Source: "script"}}
	for t := all.Start; t < all.End; t = t.Add(every) {
		reading.Interval = domain.Interval{Start: t, End: t.Add(every)}
		batch.Readings = append(batch.Readings, reading)
		if batch.At = reading.Interval.End; len(batch.Readings) == 4096 {
			if err := p.append("facts-script", batch); err != nil {
				return err
			}
			batch.Readings = nil
		}
	}
	if len(batch.Readings) == 0 {
		return nil
	}
	return p.append("facts-script", batch)
}

func (p *Player) playSilent(w *words) error {
	r := reader{p: p}
	at := r.instant(w.plain[2])
	e := domain.ReadingsRecorded{Site: p.site, At: at, Origin: domain.Origin{Source: "script"}, Readings: []domain.Reading{{
		Device: domain.DeviceID(w.plain[1]), Channel: domain.ChannelEnergyImport, Interval: domain.Interval{Start: at, End: at},
		Mark: domain.MarkSilent, Provenance: domain.ProvenanceEstimated,
	}}}
	return errors.Join(r.err, p.append("facts-script", e))
}

// pricesPerEvent keeps an event of prices below the log's limit.
const pricesPerEvent = 4096

func (p *Player) playPrice(w *words) error {
	r := reader{p: p}
	s := domain.PriceSeries{Step: r.duration(w.plain[3])}
	for _, v := range w.plain[4:] {
		s.Prices = append(s.Prices, r.decimal(v))
	}
	if strings.Contains(w.plain[2], "..") || strings.Count(w.plain[2], "-") == 1 {
		iv := r.interval(w.plain[2])
		s.Start = iv.Start
		for n := int64(1); r.err == nil && n < iv.Steps(s.Step); n++ {
			s.Prices = append(s.Prices, s.Prices[0])
		}
	} else {
		s.Start = r.instant(w.plain[2])
	}
	currency, corrects := domain.Currency(w.key("currency", "USD")), w.key("corrects", "") != ""
	if r.keep(s.Validate()); r.err != nil {
		return r.err
	}
	for len(s.Prices) > 0 {
		part := s
		part.Prices = s.Prices[:min(len(s.Prices), pricesPerEvent)]
		s.Prices, s.Start = s.Prices[len(part.Prices):], part.Interval().End
		var e domain.Event = domain.PowerPriced{Node: domain.NodeID(w.plain[1]), Currency: currency, Series: part, Corrects: corrects}
		if w.plain[0] == "bitcoin" {
			e = domain.BitcoinPriced{Currency: domain.Currency(w.plain[1]), Series: part, Corrects: corrects}
		}
		if err := p.append("facts-script", e); err != nil {
			return err
		}
	}
	return nil
}

func (p *Player) playDifficulty(w *words) error {
	r := reader{p: p}
	bits, err := strconv.ParseUint(w.plain[3], 16, 32)
	r.keep(err)
	e := domain.DifficultyAdjusted{Height: r.integer(w.plain[1]), At: r.instant(w.plain[2]), Bits: domain.Bits(bits)}
	_, err = e.Bits.Target()
	if r.keep(err); r.err != nil {
		return r.err
	}
	return p.append("facts-script", e)
}

func (p *Player) playFees(w *words) error {
	r := reader{p: p}
	day := r.instant(w.plain[1])
	e := domain.BlockFeesPublished{
		Interval: domain.Interval{Start: day, End: day.Add(domain.Day)}, Blocks: r.integer(w.plain[2]), Fees: domain.Satoshi(r.integer(w.plain[3])),
	}
	return errors.Join(r.err, p.append("facts-script", e))
}

func (p *Player) playStart(w *words) error {
	r := reader{p: p}
	e := domain.GPUAllocationStarted{
		Site: p.site, Allocation: w.plain[1], Customer: domain.CustomerID(w.plain[2]), Host: "host", GPUs: r.integer(w.plain[3]), At: r.instant(w.plain[4]),
	}
	return errors.Join(r.err, p.append("facts-script", e))
}

func (p *Player) playEnd(w *words) error {
	r := reader{p: p}
	e := domain.GPUAllocationEnded{Site: p.site, Allocation: w.plain[1], At: r.instant(w.plain[2]), State: "COMPLETED"}
	return errors.Join(r.err, p.append("facts-script", e))
}

func (p *Player) playStatement(w *words) error {
	r := reader{p: p}
	pool, account, _ := strings.Cut(w.plain[1], "/")
	start := r.instant(w.plain[2])
	e := domain.PoolStatementReceived{
		Pool: domain.PoolID(pool), Account: account, Interval: domain.Interval{Start: start, End: start.Add(domain.Day)},
		Subsidy: domain.Satoshi(r.integer(w.key("subsidy", "0"))), Fees: domain.Satoshi(r.integer(w.key("fees", "0"))),
		PoolFee: domain.Satoshi(r.integer(w.key("fee", "0"))), Other: domain.Satoshi(r.integer(w.key("other", "0"))),
		Net: domain.Satoshi(r.integer(w.key("net", "0"))), Complete: len(w.plain) == 3 || w.plain[3] != "partial",
		Shares:  domain.ShareDifficulty{Int128: r.unit(w.key("shares", "0"), map[string]int32{"": 8})},
		Credits: r.integer(w.key("credits", "0")),
		Unsplit: len(w.plain) > 3 && w.plain[3] == "unsplit", NetOnly: len(w.plain) > 3 && w.plain[3] == "net-only",
	}
	return errors.Join(r.err, p.append("facts-script", e))
}

func (p *Player) playPayout(w *words) error {
	r := reader{p: p}
	pool, account, _ := strings.Cut(w.plain[1], "/")
	e := domain.PayoutReceived{
		Pool: domain.PoolID(pool), Account: account, Transaction: w.key("tx", fmt.Sprintf("tx%d", p.played)), Address: w.key("address", "bc1q"),
		At: r.instant(w.plain[2]), Amount: domain.Satoshi(r.integer(w.plain[3])), Block: w.key("block", ""),
	}
	return errors.Join(r.err, p.append("facts-script", e))
}

// playPaid plays what a pool says that it paid: "paid foundry/cedarbend ref
// 2026-10-15T06:00 1000 fee=2 rail=on-chain status=paid tx=t1 address=bc1q".
func (p *Player) playPaid(w *words) error {
	r := reader{p: p}
	pool, account, _ := strings.Cut(w.plain[1], "/")
	e := domain.PoolPayoutStated{
		Pool: domain.PoolID(pool), Account: account, Reference: w.plain[2], At: r.instant(w.plain[3]), Amount: domain.Satoshi(r.integer(w.plain[4])),
		NetworkFee: domain.Satoshi(r.integer(w.key("fee", "0"))), Rail: domain.PayoutRail(w.key("rail", "on-chain")),
		Status: domain.PayoutStatus(w.key("status", "paid")), Transaction: w.key("tx", ""), Address: w.key("address", ""),
	}
	r.keep(e.Validate())
	return errors.Join(r.err, p.append("facts-script", e))
}

// playReversed plays that a receipt was undone: "reversed foundry/cedarbend t1 block".
func (p *Player) playReversed(w *words) error {
	pool, account, _ := strings.Cut(w.plain[1], "/")
	return p.append("facts-script", domain.PayoutReversed{
		Pool: domain.PoolID(pool), Account: account, Transaction: w.plain[2], Address: w.key("address", "bc1q"), Block: w.plain[3], Amount: 1, Reason: "the block was undone",
	})
}

func (p *Player) playDecide(w *words) error {
	r := reader{p: p}
	all := r.interval(w.plain[1])
	every := r.duration(w.key("every", all.Length().String()))
	for t := all.Start; r.err == nil && t < all.End; t = t.Add(every) {
		f, err := p.Facts()
		if err != nil {
			return err
		}
		d, err := allocation.For(f, p.site, domain.Interval{Start: t, End: t.Add(every)})
		if err != nil {
			return err
		}
		r.keep(p.append("allocation-script", d))
	}
	return r.err
}
