package warehouse

import (
	"math/big"

	"wattbook/domain"
	"wattbook/projections/accrual"
	"wattbook/projections/balance"
	"wattbook/projections/facts"
	"wattbook/projections/margin"
	"wattbook/projections/usage"
)

// spans cuts a run into pieces that lie in one page and one local day, so that
// what is summed over a piece can be drawn again with its page.
func (c *concluder) spans(run domain.Interval) []domain.Interval {
	var all []domain.Interval
	for t := run.Start; t < run.End; {
		day, page, end := c.zone.of(t), c.table.Page(t), t.Add(c.table.Step)
		for end < run.End && c.zone.of(end) == day && c.table.Page(end) == page {
			end = end.Add(c.table.Step)
		}
		all = append(all, domain.Interval{Start: t, End: end})
		t = end
	}
	return all
}

// counted are a quantity of a device over a piece.
type counted struct {
	channel domain.Channel
	sum     domain.Int128
	known   bool
	run     *run
}

// run is a run of estimated intervals.
type run struct {
	span      domain.Interval
	intervals int64
	value     domain.Int128
	position  domain.Position
}

// quantities are the columns of device_pieces that hold what a kind of device
// counts, in their order.
func quantities(k domain.DeviceKind) []*counted {
	switch k {
	case domain.KindMeter:
		return []*counted{{channel: domain.ChannelEnergyImport}, nil, nil, nil}
	case domain.KindMiner:
		return []*counted{nil, {channel: domain.ChannelHashes}, {channel: domain.ChannelShares}, nil}
	case domain.KindGPU:
		return []*counted{{channel: domain.ChannelGPUEnergy}, nil, nil, {channel: domain.ChannelGPUTime}}
	}
	return []*counted{nil, nil, nil, nil}
}

// devices adds the pieces of every device, and the runs of its estimates.
func (c *concluder) devices(span domain.Interval) error {
	first, end := c.table.Slots(span)
	for _, d := range c.facts.Devices(c.site.Site) {
		since, _ := c.facts.Since(c.site.Site, d.Device)
		columns := quantities(d.Kind)
		var intervals, estimated, unknown int64
		for s := first; s < end; s++ {
			if c.table.Interval(s).Start < since {
				continue // not there yet, which is not the same as silent
			}
			intervals++
			best, worst := facts.Unknown, facts.Metered
			for _, q := range columns {
				if q == nil {
					continue
				}
				cell := c.table.Cell(d.Device, q.channel, s)
				best = max(best, cell.State)
				if cell.State != facts.Unknown {
					worst = min(worst, cell.State)
				}
				if err := c.count(d.Device, q, cell, c.table.Interval(s)); err != nil {
					return err
				}
			}
			switch {
			case best == facts.Unknown:
				unknown++
			case worst == facts.Estimated:
				estimated++
			}
		}
		row := []any{string(c.site.Site), string(d.Device), string(d.Kind), text(d.Model), text(d.Use), span.Start, c.zone.of(span.Start)}
		for _, q := range columns {
			if q == nil {
				row = append(row, nil)
				continue
			}
			if err := c.endRun(d.Device, q); err != nil {
				return err
			}
			row = append(row, q.cell())
		}
		if intervals == 0 {
			continue
		}
		if err := c.tables.add("device_pieces", append(row, intervals, estimated, unknown)...); err != nil {
			return err
		}
	}
	return nil
}

// cell returns the sum as its column of device_pieces holds it.
func (q *counted) cell() any {
	if !q.known {
		return nil
	}
	switch q.channel {
	case domain.ChannelHashes:
		return q.sum
	case domain.ChannelShares:
		return domain.ShareDifficulty{Int128: q.sum}.Decimal()
	}
	v, ok := q.sum.Int64()
	return known(v, ok)
}

// count adds a cell to a quantity.
func (c *concluder) count(device domain.DeviceID, q *counted, cell facts.Cell, iv domain.Interval) error {
	if cell.State != facts.Unknown {
		q.sum, q.known = q.sum.Add(cell.Value), true
	}
	if cell.State != facts.Estimated {
		return c.endRun(device, q)
	}
	if q.run != nil && q.run.position != cell.Position {
		if err := c.endRun(device, q); err != nil {
			return err
		}
	}
	if q.run == nil {
		q.run = &run{span: domain.Interval{Start: iv.Start}, position: cell.Position}
	}
	q.run.span.End, q.run.intervals, q.run.value = iv.End, q.run.intervals+1, q.run.value.Add(cell.Value)
	return nil
}

// endRun adds the row of a run of estimates, if one is open.
func (c *concluder) endRun(device domain.DeviceID, q *counted) error {
	r := q.run
	if r == nil {
		return nil
	}
	q.run = nil
	return c.tables.add("estimates", string(c.site.Site), string(device), q.channel.String(), r.span.Start, r.span.End,
		c.zone.of(r.span.Start), r.intervals, r.value, unitOf(q.channel), r.position)
}

// contracts adds the rows of the tables usage and accruals.
func (c *concluder) contracts(span domain.Interval) error {
	var terms []*accrual.Contract
	for _, id := range c.facts.Contracts(c.site.Site) {
		all, err := accrual.Terms(c.facts, id, span)
		if err != nil {
			return err
		}
		terms = append(terms, all...)
	}
	gpu := map[domain.Instant][]usage.Row{}
	for r := range usage.GPU(c.facts, c.site.Site, span) {
		gpu[r.Interval.Start] = append(gpu[r.Interval.Start], r)
	}
	first, end := c.table.Slots(span)
	for s := first; s < end; s++ {
		slot := c.table.Interval(s)
		if err := c.used(slot, gpu[slot.Start], terms); err != nil {
			return err
		}
		if err := c.accrue(slot, terms); err != nil {
			return err
		}
	}
	return nil
}

// drawn is what a customer's own meters counted in an interval.
type drawn struct {
	energy domain.Energy
	state  facts.State
}

// used adds the rows of what customers used in an interval.
func (c *concluder) used(slot domain.Interval, gpu []usage.Row, terms []*accrual.Contract) error {
	var customers []domain.CustomerID
	times, energies := map[domain.CustomerID]domain.GPUTime{}, map[domain.CustomerID]drawn{}
	for _, r := range gpu {
		customers, times[r.Customer] = append(customers, r.Customer), r.GPU
	}
	for _, t := range terms {
		state, metered := facts.Metered, false
		for _, ch := range t.Charges {
			for _, m := range ch.Meters {
				_, of := c.table.Energy(m, c.table.SlotOf(slot.Start))
				state, metered = min(state, of), true
			}
		}
		if !metered || !t.Within(slot).Valid() {
			continue
		}
		d, again := energies[t.Buyer.ID]
		if !again {
			d.state = facts.Metered
			if _, ok := times[t.Buyer.ID]; !ok {
				customers = append(customers, t.Buyer.ID)
			}
		}
		energies[t.Buyer.ID] = drawn{d.energy + t.Metered(slot), min(d.state, state)}
	}
	held := c.terms(slot.Start)
	price, priced := c.facts.PowerPriceIn(held.Node, held.Currency, slot)
	for _, id := range customers {
		var state, energy, cost any
		if d, ok := energies[id]; ok {
			state, energy = d.state.String(), known(int64(d.energy), d.state != facts.Unknown)
			if priced && d.state != facts.Unknown {
				cost = price.Add(held.Dispatch.Adder).Mul(d.energy.MegawattHours()).Round(margin.Places)
			}
		}
		err := c.tables.add("usage", string(c.site.Site), string(id), slot.Start, slot.End, c.zone.of(slot.Start),
			int64(times[id]), energy, state, string(c.site.Currency), cost)
		if err != nil {
			return err
		}
	}
	return nil
}

// accrue adds the rows of what charges earn in an interval. Amounts are
// differences of rounded sums, so that they add up to the rounded whole.
func (c *concluder) accrue(slot domain.Interval, terms []*accrual.Contract) error {
	sum, before := new(big.Rat), domain.Decimal{}
	for _, t := range terms {
		for _, p := range t.Over(slot) {
			var amount any
			switch {
			case p.Amount == nil:
			case t.Currency != c.site.Currency:
				amount = domain.RoundRat(p.Amount, margin.Places)
			default:
				now := domain.RoundRat(sum.Add(sum, p.Amount), margin.Places)
				amount, before = now.Sub(before), now
			}
			err := c.tables.add("accruals", string(c.site.Site), string(t.Contract), t.Version, string(t.Buyer.ID), p.Charge.ID, string(p.Charge.Kind), p.Overage,
				slot.Start, slot.End, c.zone.of(slot.Start), domain.RoundRat(p.Quantity, margin.Places), rat(p.Estimated), rat(p.Used), string(t.Currency), amount)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// rat returns a quantity as its column holds it, or nil.
func rat(r *big.Rat) any {
	if r == nil {
		return nil
	}
	return domain.RoundRat(r, margin.Places)
}

// classOf returns the model of the miners below a meter, if they are of one.
func (c *concluder) classOf(meter domain.DeviceID) (model string, one bool) {
	for _, d := range c.facts.Below(c.site.Site, meter) {
		if d.Kind != domain.KindMiner {
			continue
		}
		if one && d.Model != model {
			return "", false
		}
		model, one = d.Model, true
	}
	return model, one
}

// class is a class of miners over a piece.
type class struct {
	miners     []domain.DeviceID
	meters     map[domain.DeviceID]bool
	mixed      bool // one of its meters counts another class too
	shares     domain.Int128
	reported   bool
	revenue    domain.Decimal
	earned     bool
	energy     domain.Energy
	cost       domain.Decimal
	metered    bool
	unknown    int64
	unknownNow bool
}

// classes adds the pieces of the classes of miners.
func (c *concluder) classes(span domain.Interval) error {
	models, all := c.minerClasses()
	if len(models) == 0 {
		return nil
	}
	intervals := int64(0)
	for r, err := range margin.Rows(c.facts, c.site.Site, span) {
		if err != nil {
			return err
		}
		intervals++
		for _, m := range models {
			all[m].unknownNow = false
		}
		c.classWork(r, models, all)
		for _, m := range models {
			if all[m].unknownNow {
				all[m].unknown++
			}
		}
	}
	for row := range balance.Rows(c.facts, c.site.Site, span) {
		terms := c.terms(row.Interval.Start)
		price, priced := c.facts.PowerPriceIn(terms.Node, terms.Currency, row.Interval)
		for _, b := range row.Branches {
			for _, m := range models {
				k := all[m]
				if !k.meters[b.Meter] || b.State == facts.Unknown || !priced {
					continue
				}
				k.energy, k.metered = k.energy+b.Energy, true
				k.cost = k.cost.Add(price.Add(terms.Dispatch.Adder).Mul(b.Energy.MegawattHours()).Round(margin.Places))
			}
		}
	}
	for _, m := range models {
		k := all[m]
		metered := k.metered && !k.mixed
		err := c.tables.add("class_pieces", string(c.site.Site), m, string(c.site.Currency), span.Start, c.zone.of(span.Start),
			known(domain.ShareDifficulty{Int128: k.shares}.Decimal(), k.reported), known(k.revenue, k.earned),
			known(int64(k.energy), metered), known(k.cost, metered), intervals, k.unknown)
		if err != nil {
			return err
		}
	}
	return nil
}

// minerClasses returns the classes of the site's miners by model, in order,
// before anything is known of them.
func (c *concluder) minerClasses() (models []string, all map[string]*class) {
	if c.models == nil {
		c.models, c.byModel = c.classesNow()
	}
	all = make(map[string]*class, len(c.byModel))
	for model, k := range c.byModel {
		all[model] = &class{miners: k.miners, meters: k.meters, mixed: k.mixed}
	}
	return c.models, all
}

// classesNow finds the classes of miners, and the meters of each.
func (c *concluder) classesNow() (models []string, all map[string]*class) {
	all = map[string]*class{}
	for _, d := range c.facts.Devices(c.site.Site) {
		if d.Kind != domain.KindMiner {
			continue
		}
		k := all[d.Model]
		if k == nil {
			k = &class{meters: map[domain.DeviceID]bool{}}
			all[d.Model], models = k, append(models, d.Model)
		}
		k.miners = append(k.miners, d.Device)
	}
	for _, b := range c.facts.Under(c.site.Site, c.site.RevenueMeter) {
		if model, one := c.classOf(b.Device); one {
			all[model].meters[b.Device] = true
			continue
		}
		for _, d := range c.facts.Below(c.site.Site, b.Device) {
			if d.Kind == domain.KindMiner {
				all[d.Model].mixed = true
			}
		}
	}
	return models, all
}

// classWork divides an interval's mining revenue by accepted work: differences
// of rounded sums, so that the portions add up to the revenue.
func (c *concluder) classWork(r margin.Row, models []string, all map[string]*class) {
	slot := c.table.SlotOf(r.Interval.Start)
	sum, before := domain.Int128{}, domain.Decimal{}
	for _, m := range models {
		k := all[m]
		shares, reported := domain.Int128{}, false
		for _, miner := range k.miners {
			if cell := c.table.Cell(miner, domain.ChannelShares, slot); cell.State != facts.Unknown {
				shares, reported = shares.Add(cell.Value), true
			}
		}
		if reported {
			k.shares, k.reported = k.shares.Add(shares), true
		}
		if !reported || r.Mining.Revenue == nil || r.Mining.State == facts.Unknown || r.Price == nil {
			k.unknownNow = true
		}
		if !reported || r.Mining.Revenue == nil {
			continue
		}
		k.earned = true
		if r.Mined.Shares.Sign() == 0 {
			continue
		}
		sum = sum.Add(shares)
		portion := new(big.Rat).SetFrac(sum.Big(), r.Mined.Shares.Big())
		now := domain.RoundRat(portion.Mul(portion, r.Mining.Revenue.Rat()), margin.Places)
		k.revenue, before = k.revenue.Add(now.Sub(before)), now
	}
}
