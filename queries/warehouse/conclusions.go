package warehouse

import (
	"errors"
	"fmt"
	"math/big"

	"wattbook/domain"
	"wattbook/projections/balance"
	"wattbook/projections/facts"
	"wattbook/projections/margin"
	"wattbook/settlement/pools"
)

type concluder struct {
	tables *tables
	facts  *facts.Facts
	site   domain.SiteRegistered
	table  *facts.Table
	zone   *zone

	models  []string // of the site's miners
	byModel map[string]*class
	byKind  map[domain.DeviceKind][]domain.DeviceID
}

// terms returns the terms of the site that hold at an instant.
func (c *concluder) terms(t domain.Instant) domain.SiteRegistered {
	s, _ := c.facts.SiteAt(c.site.Site, t)
	return s
}

// share is a part of an interval's balance.
type share struct {
	name    string
	energy  domain.Energy
	state   facts.State
	reading domain.Position // of the latest reading in it
	read    bool            // there is one

	estimated domain.Energy // of the energy
	computed  bool          // from other shares: nothing is known of what was estimated
	hashes    any
	gpu       any
}

// join adds the cell of a meter to what is known of a share.
func (s *share) join(c facts.Cell) {
	if c.State != facts.Unknown {
		s.reading, s.read = max(s.reading, c.Position), true
	}
}

// balance adds the rows of the table intervals.
func (c *concluder) balance(run domain.Interval) error {
	for row := range balance.Rows(c.facts, c.site.Site, run) {
		var each *domain.Decimal
		terms := c.terms(row.Interval.Start)
		if price, ok := c.facts.PowerPriceIn(terms.Node, terms.Currency, row.Interval); ok {
			v := price.Add(terms.Dispatch.Adder)
			each = &v
		}
		for _, s := range c.shares(row) {
			var cost any
			if each != nil && s.state != facts.Unknown {
				cost = each.Mul(s.energy.MegawattHours()).Round(margin.Places)
			}
			err := c.tables.add("intervals", string(c.site.Site), row.Interval.Start, row.Interval.End, c.zone.of(row.Interval.Start), s.name,
				known(int64(s.energy), s.state != facts.Unknown), s.state.String(),
				known(int64(s.estimated), s.state != facts.Unknown && !s.computed), s.hashes, s.gpu, string(c.site.Currency), cost, known(s.reading, s.read))
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// shares returns the parts of an interval's balance, in the order in which
// they are shown.
func (c *concluder) shares(row balance.Row) []share {
	slot := c.table.SlotOf(row.Interval.Start)
	cell := func(m domain.DeviceID) facts.Cell { return c.table.Cell(m, domain.ChannelEnergyImport, slot) }
	revenue := share{name: "revenue-meter", energy: row.Revenue, state: row.State}
	revenue.join(cell(c.site.RevenueMeter))
	if revenue.state == facts.Estimated {
		revenue.estimated = revenue.energy
	}
	all := []share{revenue}
	metered := share{state: facts.Metered}
	for _, use := range domain.Uses() {
		s := share{name: string(use)}
		s.energy, s.state = row.Use(use)
		for _, b := range row.Branches {
			if b.Use == use {
				s.join(cell(b.Meter))
				metered.join(cell(b.Meter))
				if b.State == facts.Estimated {
					s.estimated += b.Energy
				}
			}
		}
		metered.state = min(metered.state, s.state)
		switch use {
		case domain.UseMining:
			s.hashes = c.reported(domain.KindMiner, domain.ChannelHashes, slot)
		case domain.UseAI:
			s.gpu = c.reported(domain.KindGPU, domain.ChannelGPUTime, slot)
		}
		all = append(all, s)
	}
	metered.computed = true
	losses, residual := metered, metered
	losses.name, losses.energy = "losses", row.Losses
	residual.name, residual.energy = "residual", row.Residual
	residual.join(cell(c.site.RevenueMeter))
	residual.state = min(metered.state, row.State)
	return append(all, losses, residual)
}

// reported returns the sum of a quantity of the site's devices of a kind over
// those that reported it, or nil if none did.
func (c *concluder) reported(kind domain.DeviceKind, channel domain.Channel, slot facts.Slot) any {
	if c.byKind == nil {
		c.byKind = map[domain.DeviceKind][]domain.DeviceID{}
		for _, d := range c.facts.Devices(c.site.Site) {
			c.byKind[d.Kind] = append(c.byKind[d.Kind], d.Device)
		}
	}
	sum, one := domain.Int128{}, false
	for _, d := range c.byKind[kind] {
		if v := c.table.Cell(d, channel, slot); v.State != facts.Unknown {
			sum, one = sum.Add(v.Value), true
		}
	}
	if !one {
		return nil
	}
	if channel == domain.ChannelHashes {
		return sum
	}
	v, ok := sum.Int64()
	return known(v, ok)
}

// margins adds the rows of the table margins.
func (c *concluder) margins(run domain.Interval) error {
	for r, err := range margin.Rows(c.facts, c.site.Site, run) {
		if err != nil {
			return err
		}
		terms := c.terms(r.Interval.Start)
		revenue, state := c.table.Energy(terms.RevenueMeter, c.table.SlotOf(r.Interval.Start))
		row := []any{
			string(c.site.Site), r.Interval.Start, r.Interval.End, c.zone.of(r.Interval.Start), string(c.site.Currency),
			optionalRounded(r.Price),
			rounded{terms.Dispatch.Adder},
		}
		for _, u := range []margin.Use{r.Mining, r.AI, r.Overhead} {
			row = append(row, known(int64(u.Energy), u.State != facts.Unknown), u.State.String(), optional(u.Revenue), optional(u.Cost), optional(u.Margin))
		}
		row = append(row, known(int64(revenue), state != facts.Unknown), optional(r.Cost), optional(r.Margin),
			known(r.Mined.Shares.Decimal(), r.Mined.Reported > 0 || r.Mined.Miners == 0), r.Mined.Reported, r.Mined.Miners,
			satoshi(r.Mined.Expected), satoshi(r.Mined.Earned), optional(r.Estimate), string(r.Mined.Basis), r.Mined.Provisional, r.Estimated)
		if err := c.tables.add("margins", row...); err != nil {
			return err
		}
	}
	return nil
}

// satoshi returns an exact amount of satoshi as its column holds it.
func satoshi(r *big.Rat) any {
	if r == nil {
		return nil
	}
	return domain.RoundRat(r, 10)
}

// standing adds the rows of what is as it is now: sites, devices, days,
// allocations, pool days and findings.
func (p *Publisher) standing(t *tables, f *facts.Facts) error {
	for _, site := range f.Sites() {
		location, err := f.Zone(site.Zone)
		if err != nil {
			return fmt.Errorf("site %s: %w", site.Site, err)
		}
		z := &zone{location: location}
		for _, add := range []func(*tables, *facts.Facts, domain.SiteRegistered, *zone) error{p.siteRow, p.accountRows, p.deviceRows, p.dayRows, p.allocationRows} {
			if err := add(t, f, site, z); err != nil {
				return err
			}
		}
	}
	for _, d := range p.pool {
		if err := t.add("pool_days", d.row...); err != nil {
			return err
		}
	}
	return p.findingRows(t, f)
}

func (p *Publisher) siteRow(t *tables, _ *facts.Facts, s domain.SiteRegistered, _ *zone) error {
	d := s.Dispatch
	return t.add("sites", p.history.sites[s.Site].position, string(s.Site), text(s.Name), text(s.Zone), int64(s.Step), text(s.Currency), text(s.Node), text(s.RevenueMeter),
		rounded{s.LossPortion}, rounded{d.Adder}, text(s.Pool.Pool), text(s.Pool.Account), text(s.Pool.Scheme), rounded{s.Pool.Fee},
		int64(d.Limit), int64(d.Ramp), int64(d.MinOn), int64(d.MinOff), int64(d.Reserve))
}

// accountRows adds the pool accounts of a site and the miners of each.
func (p *Publisher) accountRows(t *tables, f *facts.Facts, s domain.SiteRegistered, _ *zone) error {
	accounts := s.PoolAccounts()
	at := p.history.sites[s.Site].position
	for i, a := range accounts {
		err := t.add("pool_accounts", at, string(s.Site), string(a.Pool), a.Account, int64(i+1), int64(a.Threshold), int64(a.DayStart))
		if err = errors.Join(err, p.termRows(t, s, a)); err != nil {
			return err
		}
	}
	for _, d := range f.Devices(s.Site) {
		if d.Kind != domain.KindMiner || len(accounts) == 0 {
			continue
		}
		a := f.WorksFor(s, d.Device)
		if err := t.add("pool_miners", at, string(s.Site), string(d.Device), string(a.Pool), a.Account); err != nil {
			return err
		}
	}
	return nil
}

// termRows adds the terms of a pool account, by when they hold.
func (p *Publisher) termRows(t *tables, s domain.SiteRegistered, a domain.PoolTerms) error {
	begin := []domain.Instant{0}
	for _, r := range a.Rates {
		begin = append(begin, r.From)
	}
	for i, from := range begin {
		terms, end := a, any(nil)
		if i > 0 {
			terms = a.At(from)
		}
		if i+1 < len(begin) {
			end = begin[i+1]
		}
		scheme, err := domain.ParseScheme(terms.Scheme)
		if err != nil {
			scheme = domain.Scheme(terms.Scheme)
		}
		if err := t.add("pool_terms", p.history.sites[s.Site].position, string(s.Site), string(a.Pool), a.Account, from, end, string(scheme), rounded{terms.Fee}); err != nil {
			return err
		}
	}
	return nil
}

func (p *Publisher) deviceRows(t *tables, f *facts.Facts, s domain.SiteRegistered, _ *zone) error {
	for _, d := range f.Devices(s.Site) {
		err := t.add("devices", p.history.devices[domain.DeviceKey{Site: s.Site, Device: d.Device}], string(s.Site), string(d.Device), string(d.Kind), text(d.Model),
			text(d.Serial), text(d.Under), text(d.Use), d.Units, known(int64(d.RatedPower), d.RatedPower != 0), known(d.RatedHashes, d.RatedHashes.Sign() != 0),
			known(int64(d.TypicalPower), d.TypicalPower != 0), known(d.TypicalHashes, d.TypicalHashes.Sign() != 0), text(d.Host))
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *Publisher) dayRows(t *tables, f *facts.Facts, s domain.SiteRegistered, z *zone) error {
	last, any := day(0), false
	for _, run := range f.Table(s.Site).Extent(beginning) {
		for at := run.Start; at < run.End; at = max(at+1, z.span.End) {
			if d := z.of(at); !any || d != last { // a day may be in two runs
				if err := t.add("local_days", f.Next, string(s.Site), d, z.span.Start, z.span.End); err != nil {
					return err
				}
				last, any = d, true
			}
		}
	}
	return nil
}

func (p *Publisher) allocationRows(t *tables, f *facts.Facts, s domain.SiteRegistered, z *zone) error {
	for a, end := range f.GPUAllocations(s.Site) {
		at := p.history.allocations[allocationKey{s.Site, a.Allocation}]
		err := t.add("allocations", at.start, string(s.Site), a.Allocation, string(a.Customer), text(a.Host), a.GPUs, a.At, instant(end), z.of(a.At),
			known(at.end, at.ended), text(at.state), text(a.Origin.Source), digest(a.Origin.Evidence))
		if err != nil {
			return err
		}
	}
	return nil
}

// paidDay names an earning day of a pool account.
type paidDay struct {
	site    domain.SiteID
	pool    domain.PoolID
	account string
	span    domain.Interval
}

// pooled is what is known of an earning day.
type pooled struct {
	paidDay
	received bool  // all that the pool states for it has arrived
	row      []any // of pool_days
}

// drawPool draws what is known of the days of all pool accounts.
func (p *Publisher) drawPool(f *facts.Facts) error {
	p.pool = nil
	for _, site := range f.Sites() {
		location, err := f.Zone(site.Zone)
		if err != nil {
			return fmt.Errorf("site %s: %w", site.Site, err)
		}
		z := &zone{location: location}
		for _, a := range pools.Accounts(f, site.Site) {
			p.accountDays(f, a, z)
		}
	}
	return nil
}

// accountDays draws the days of a pool account.
func (p *Publisher) accountDays(f *facts.Facts, a pools.Account, z *zone) {
	begun := f.Table(a.Site).Start() // of a day before it nothing is expected
	for _, run := range f.Table(a.Site).Extent(beginning) {
		if run.Start = run.Start.Floor(domain.Day); run.Start < begun {
			run.Start = run.Start.Add(domain.Day)
		}
		stated := map[domain.Instant]bool{}
		for _, st := range f.Statements(a.Terms.Pool, a.Terms.Account, run) {
			stated[st.Interval.Start] = true
		}
		days, unknown := pools.Draw(f, a, run)
		if unknown != nil {
			p.cfg.Logger.Debug("pool days are left out", "site", a.Site, "account", a.Terms.Name(), "why", unknown)
		}
		for _, d := range days {
			p.poolRow(f, a, z, d, stated[d.Interval.Start])
		}
	}
}

func (p *Publisher) poolRow(f *facts.Facts, a pools.Account, z *zone, d domain.Reconciliation, stated bool) {
	lines := map[domain.BridgeCause]domain.Satoshi{}
	for _, l := range d.Lines {
		lines[l.Cause] += l.Satoshi
	}
	row := []any{
		f.Next, string(a.Site), string(d.Pool), d.Account, dayOf(d.Interval.Start), d.Interval.Start, d.Interval.End,
		z.clock(d.Interval.Start), z.clock(d.Interval.End), d.Shares.Decimal(),
		int64(d.Expected), known(int64(d.Stated), stated), int64(d.Received), int64(d.Expected - d.Received),
	}
	basis, revenue := pools.BasisOf(f, a, d)
	for _, c := range domain.BridgeCauses() {
		row = append(row, int64(lines[c]))
	}
	at, ok := p.history.reconciled[reconciledKey{d.Pool, d.Account, d.Interval.Start}]
	row = append(row, known(int64(d.Sigma), d.Sigma > 0), string(basis), int64(revenue), text(d.Finding), known(at, ok))
	p.pool = append(p.pool, pooled{paidDay{a.Site, d.Pool, d.Account, d.Interval}, basis == pools.Received, row})
}

func (p *Publisher) findingRows(t *tables, f *facts.Facts) error {
	zones := map[domain.SiteID]*zone{}
	for _, s := range f.Sites() {
		location, err := f.Zone(s.Zone)
		if err != nil {
			return err
		}
		zones[s.Site] = &zone{location: location}
	}
	for _, g := range f.Findings() {
		start, end := instant(g.At), any(nil)
		if g.Interval != (domain.Interval{}) {
			start, end = instant(g.Interval.Start), instant(g.Interval.End)
		}
		var local any
		if z := zones[g.Site]; z != nil && start != nil {
			local = z.of(start.(domain.Instant))
		}
		channel, value, register, readings := any(nil), any(nil), any(nil), any(nil)
		if g.Device != "" {
			channel, value, register, readings = g.Channel.String(), g.Value, g.Register, int64(g.Readings)
		}
		err := t.add("data_gaps", g.Position, int64(g.Row), text(g.Site), g.Kind, start, end, local, text(g.Source), text(g.Device), channel, value, register, readings, text(g.What))
		if err != nil {
			return err
		}
	}
	return nil
}
