package allocation

import (
	"fmt"
	"math/big"
	"slices"

	"wattbook/domain"
	"wattbook/projections/accrual"
	"wattbook/projections/facts"
)

// The windows over which the meters say what a load draws and earns.
const (
	powerWindow = 12  // intervals in which it ran, among the last
	lookBack    = 288 // intervals
	valueWindow = 12
)

// Inputs gathers what a decision for the interval depends on, from what is
// known. It is an error if the site is not registered.
//
// What a load draws is the mean of its last intervals in which it ran; what a
// mining load earns is the accepted work of the miners behind its meter over
// the energy that it drew, over the same intervals: those in which as many
// miners reported as ever do, since the silence of one is not idleness. Until
// the meters have shown enough, the typical figures of the registered devices
// stand in. What AI loads earn is what the contracts earned over the energy of
// all of them.
func Inputs(f *facts.Facts, id domain.SiteID, interval domain.Interval) (domain.AllocationInputs, error) {
	site, ok := f.SiteAt(id, interval.Start)
	table := f.Table(id)
	if !ok || table == nil {
		return domain.AllocationInputs{}, fmt.Errorf("decide for %s: the site is not registered", id)
	}
	terms := site.Pool.At(interval.Start)
	in := domain.AllocationInputs{PoolFee: terms.Fee, FeesPerBlock: feesPerBlock(f, terms, interval.Start), LossPortion: site.LossPortion, Dispatch: site.Dispatch}
	if p, ok := f.PowerPriceIn(site.Node, site.Currency, interval); ok {
		in.PowerPrice = &p
	}
	if p, ok := f.LastBitcoinPrice(site.Currency, interval.Start); ok {
		in.BitcoinPrice = &p
	}
	if d, ok := f.Difficulty(interval.Start); ok {
		in.Bits, in.Height = d.Bits, d.Height
	}
	last, decided := f.LastDecision(id)
	g := gatherer{facts: f, table: table, site: site, now: table.SlotOf(interval.Start)}
	loads := slices.DeleteFunc(f.Under(id, site.RevenueMeter), func(d domain.DeviceRegistered) bool {
		return d.Kind != domain.KindMeter || d.Use == domain.UseOverhead
	})
	worth, err := g.worth(loads)
	if err != nil {
		return in, fmt.Errorf("decide for %s: %w", id, err)
	}
	for _, d := range loads {
		l := domain.LoadInput{Load: d.Device, Use: d.Use, On: true}
		if decided {
			l.On, l.Since = state(last, d.Device)
		}
		if d.Use == domain.UseMining {
			g.mining(d, &l)
			g.account(d, &l, interval.Start)
		} else {
			g.ai(d, worth, &l)
		}
		in.Loads = append(in.Loads, l)
	}
	return in, nil
}

// feesPerBlock returns the fees of a block that a pool pays its part of, or nil
// if they are not known.
func feesPerBlock(f *facts.Facts, terms domain.PoolTerms, at domain.Instant) *domain.Decimal {
	fees, _, ok := f.FeesPerBlock(at)
	if !ok {
		return nil
	}
	v := domain.RoundRat(fees, valuePlaces)
	if terms.Scheme == string(domain.SchemePPS) { // the pool keeps them
		v = domain.Decimal{}
	}
	return &v
}

// state returns whether a load ran after the last decision, and since when.
func state(last domain.AllocationDecided, id domain.DeviceID) (on bool, since domain.Instant) {
	before := domain.LoadInput{On: true}
	for _, l := range last.Inputs.Loads {
		if l.Load == id {
			before = l
		}
	}
	for _, c := range last.Choices {
		if c.Load == id && c.On != before.On {
			return c.On, last.Interval.Start
		}
	}
	return before.On, before.Since
}

// gatherer reads the recent intervals of loads.
type gatherer struct {
	facts *facts.Facts
	table *facts.Table
	site  domain.SiteRegistered
	now   facts.Slot // the slot that is decided for; those before it may be known
}

// mining fills in what a mining load draws and earns.
func (g *gatherer) mining(load domain.DeviceRegistered, l *domain.LoadInput) {
	g.nameplate(load, l)
	ran := g.ran(load)
	most := int32(0)
	for _, s := range ran {
		most = max(most, s.work.Reported)
	}
	ran = slices.DeleteFunc(ran, func(s shown) bool { return s.work.Reported < most })
	if len(ran) < powerWindow {
		return
	}
	var energy, drawn domain.Energy
	var work domain.Int128
	for i, s := range ran {
		energy, work = energy+s.energy, work.Add(s.work.Value)
		if i < powerWindow {
			drawn += s.energy
		}
	}
	l.Power = drawn.Mean(g.table.Step * powerWindow)
	perMWh := new(big.Rat).SetFrac(work.Big(), big.NewInt(domain.ShareUnit))
	perMWh.Mul(perMWh, big.NewRat(int64(domain.MegawattHour), int64(energy)))
	v := domain.RoundRat(perMWh, valuePlaces)
	l.Shares = &v
	l.Basis = fmt.Sprintf("metered over %d intervals", len(ran))
}

// account fills in the terms of a load whose miners work for another pool
// account than the site's first. A load whose miners work for several is valued
// by the first.
func (g *gatherer) account(load domain.DeviceRegistered, l *domain.LoadInput, at domain.Instant) {
	if len(g.site.Accounts) == 0 {
		return
	}
	terms, any := g.facts.WorksFor(g.site, load.Device), false
	for _, d := range g.facts.Below(g.site.Site, load.Device) {
		if d.Kind != domain.KindMiner {
			continue
		}
		t := g.facts.WorksFor(g.site, d.Device)
		if any && t.Name() != terms.Name() {
			return
		}
		terms, any = t, true
	}
	if terms.Name() == g.site.Pool.Name() {
		return
	}
	terms = terms.At(at)
	l.PoolFee, l.FeesPerBlock = &terms.Fee, feesPerBlock(g.facts, terms, at)
}

// nameplate fills in the typical figures of the miners behind a load's meter.
func (g *gatherer) nameplate(load domain.DeviceRegistered, l *domain.LoadInput) {
	var hashes domain.Int128
	for _, d := range g.facts.Below(g.site.Site, load.Device) {
		if d.Kind == domain.KindMiner {
			l.Power += d.TypicalPower
			hashes = hashes.Add(d.TypicalHashes)
		}
	}
	l.Basis = "nameplate"
	if l.Power == 0 || hashes.Sign() == 0 {
		return // nobody knows what it earns
	}
	// A MWh is 3.6e12 milliwatt-seconds: hashes per MWh = hashes/s × 3.6e12 /
	// mW. Difficulty = hashes × 65535 / 2^48.
	perMWh := new(big.Rat).SetFrac(hashes.Big(), big.NewInt(int64(l.Power)))
	perMWh.Mul(perMWh, big.NewRat(3_600_000_000_000, 1))
	perMWh.Mul(perMWh, new(big.Rat).SetFrac(big.NewInt(65535), new(big.Int).Lsh(big.NewInt(1), 48)))
	v := domain.RoundRat(perMWh, valuePlaces)
	l.Shares = &v
}

// shown is what the meters show of a mining load in one interval.
type shown struct {
	energy domain.Energy
	work   facts.Cell
}

// ran returns the recent intervals in which a mining load ran, the last first.
// An interval counts if the load drew at least half of what its feeder can
// carry: that is far above standby, and below what it draws when it runs.
func (g *gatherer) ran(load domain.DeviceRegistered) []shown {
	idle := load.RatedPower.Over(g.table.Step) / 2
	var all []shown
	for s := g.now - 1; s >= g.now-lookBack; s-- {
		e, state := g.table.Energy(load.Device, s)
		work := g.table.Group(load.Device, domain.ChannelShares, s)
		if state == facts.Metered && work.State != facts.Unknown && e >= idle && e > 0 {
			all = append(all, shown{e, work})
		}
	}
	return all
}

// ai fills in what an AI load draws, by its meter's mean over the last
// intervals that are known, and what it earns.
func (g *gatherer) ai(load domain.DeviceRegistered, worth earned, l *domain.LoadInput) {
	l.Committed = true
	l.Basis = "nothing metered yet"
	var energy domain.Energy
	n := domain.Duration(0)
	for s := g.now - 1; s >= g.now-lookBack && n < valueWindow; s-- {
		if e, state := g.table.Energy(load.Device, s); state == facts.Metered {
			energy += e
			n++
		}
	}
	if n > 0 {
		l.Power = energy.Mean(g.table.Step * n)
		l.Basis = fmt.Sprintf("metered over %d intervals", n)
	}
	if worth.value != nil {
		l.Value = worth.value
		l.Basis = fmt.Sprintf("contracts in force over %d metered intervals", worth.intervals)
	}
}

// earned is what a MWh of AI loads earned, or nil if that is not known.
type earned struct {
	value     *domain.Decimal
	intervals int64
}

// worth returns what the contracts in force earned per MWh of all AI loads
// together, over the last intervals in which all of it is known.
func (g *gatherer) worth(loads []domain.DeviceRegistered) (earned, error) {
	window := domain.Interval{Start: g.table.Interval(g.now - lookBack).Start, End: g.table.Interval(g.now).End}
	var contracts []*accrual.Contract
	for _, id := range g.facts.Contracts(g.site.Site) {
		terms, err := accrual.Terms(g.facts, id, window)
		if err != nil {
			return earned{}, err
		}
		contracts = append(contracts, terms...)
	}
	var energy domain.Energy
	sum, n := new(big.Rat), int64(0)
	for s := g.now - 1; s >= g.now-lookBack && n < valueWindow; s-- {
		drawn, known := g.drawn(loads, s)
		if !known {
			continue
		}
		if amount := revenue(contracts, g.table.Interval(s), g.site.Currency); amount != nil {
			energy += drawn
			sum.Add(sum, amount)
			n++
		}
	}
	if energy <= 0 {
		return earned{}, nil
	}
	v := domain.RoundRat(sum.Mul(sum, big.NewRat(int64(domain.MegawattHour), int64(energy))), valuePlaces)
	return earned{&v, n}, nil
}

// drawn returns the energy of all AI loads in a slot, if all of it is metered.
func (g *gatherer) drawn(loads []domain.DeviceRegistered, s facts.Slot) (sum domain.Energy, known bool) {
	for _, d := range loads {
		if d.Use == domain.UseMining {
			continue
		}
		e, state := g.table.Energy(d.Device, s)
		if state != facts.Metered {
			return 0, false
		}
		sum, known = sum+e, true
	}
	return sum, known
}

// revenue returns what contracts earned in an interval, or nil if that is not
// known in the currency.
func revenue(contracts []*accrual.Contract, iv domain.Interval, currency domain.Currency) *big.Rat {
	sum := new(big.Rat)
	for _, c := range contracts {
		for _, p := range c.Over(iv) {
			if p.Amount == nil || c.Currency != currency {
				return nil
			}
			sum.Add(sum, p.Amount)
		}
	}
	return sum
}

// For returns the decision for an interval from what is known. It records the
// position that it was drawn at.
func For(f *facts.Facts, id domain.SiteID, interval domain.Interval) (domain.AllocationDecided, error) {
	in, err := Inputs(f, id, interval)
	if err != nil {
		return domain.AllocationDecided{}, err
	}
	return domain.AllocationDecided{
		Site: id, Interval: interval, AsOf: f.Next, Rule: Rule, Inputs: in, Choices: Decide(in, interval),
	}, nil
}
