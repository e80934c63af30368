// Package allocation decides, interval by interval, which loads of a site run:
// mining, AI, or nothing where not consuming is worth more.
//
// A decision is a pure function of its inputs ([Decide]), and its inputs are a
// pure function of what is known ([Inputs]). Both are recorded, so a decision
// can be explained from the record alone and derived again from the log.
package allocation

import (
	"cmp"
	"math/big"
	"slices"

	"wattbook/domain"
)

// Rule names the deciding function and its version. Deciding otherwise needs
// another version, so that old decisions stay explained.
const Rule = "merit-order/1"

// valuePlaces is how many digits a value or a cost per MWh keeps.
const valuePlaces = 4

// Decide returns the choice for every load, in merit order: what earns most
// per MWh first, and among equals by name.
//
// A load's value is what a MWh of it earns; its cost is what a MWh costs at
// the revenue meter: (price + adder) × (1 + losses). Not consuming is worth
// that cost, which may be negative. A load that earns more than it costs
// should run; the others should rest. Then limits apply, the stronger ones
// last:
//
//  1. minimum times: a load that was switched too recently stays as it is
//  2. the ramp: the site's power changes by no more than it may; of the
//     changes that are wanted, those worth most per MWh are made first
//  3. the limit of the connection: loads that earn least are left out
//  4. commitments: a load that customers are promised runs
//
// The ramp and the limit hold at the revenue meter: what loads draw counts
// with the losses on the way to them.
//
// Where the price, or what a mining load earns, is not known, mining loads
// stay as they are: unknown is not zero.
func Decide(in domain.AllocationInputs, interval domain.Interval) []domain.LoadChoice {
	d := decision{in: in, interval: interval, cost: cost(in)}
	for _, l := range in.Loads {
		d.loads = append(d.loads, d.want(l))
	}
	slices.SortStableFunc(d.loads, func(a, b load) int {
		return cmp.Or(compareValues(b.value, a.value), cmp.Compare(a.Load, b.Load))
	})
	d.minimumTimes()
	d.ramp()
	d.limit()
	return d.choices()
}

type decision struct {
	in       domain.AllocationInputs
	interval domain.Interval
	cost     *domain.Decimal
	loads    []load
}

// load is a load while it is decided on.
type load struct {
	domain.LoadInput
	value  *domain.Decimal
	run    bool
	reason domain.Reason
}

// cost returns what a MWh at a load costs at the revenue meter, or nil.
func cost(in domain.AllocationInputs) *domain.Decimal {
	if in.PowerPrice == nil {
		return nil
	}
	each := in.PowerPrice.Add(in.Dispatch.Adder)
	v := each.Add(each.Mul(in.LossPortion)).Round(valuePlaces)
	return &v
}

// value returns what a MWh of a load earns, or nil if that is not known.
func value(in domain.AllocationInputs, l domain.LoadInput) *domain.Decimal {
	if l.Use != domain.UseMining {
		return l.Value
	}
	poolFee, feesPerBlock := in.PoolTerms(l)
	if l.Shares == nil || in.BitcoinPrice == nil || feesPerBlock == nil {
		return nil
	}
	target, err := in.Bits.Target()
	if err != nil {
		return nil
	}
	portion := new(big.Rat).Mul(l.Shares.Rat(), new(big.Rat).SetFrac(target, domain.MaxTarget()))
	base, fees, fee := domain.FullPayPerShare(portion, domain.Subsidy(in.Height), feesPerBlock.Rat(), poolFee)
	satoshi := base.Add(base, fees).Sub(base, fee)
	v := domain.RoundRat(satoshi.Mul(satoshi, in.BitcoinPrice.Shift(-8).Rat()), valuePlaces)
	return &v
}

// want returns what merit alone would do with a load.
func (d *decision) want(in domain.LoadInput) load {
	l := load{LoadInput: in, value: value(d.in, in)}
	switch {
	case in.Committed:
		l.run, l.reason = true, domain.ReasonCommitted
	case d.cost == nil || l.value == nil:
		l.run, l.reason = in.On, domain.ReasonPriceUnknown
	case l.value.Cmp(*d.cost) > 0:
		l.run, l.reason = true, domain.ReasonProfitable
	default:
		l.reason = domain.ReasonUnprofitable
	}
	return l
}

// minimumTimes keeps loads as they are that were switched too recently.
func (d *decision) minimumTimes() {
	for i := range d.loads {
		l := &d.loads[i]
		if l.Committed || l.run == l.On || l.Since == 0 {
			continue
		}
		since := d.interval.Start.Sub(l.Since)
		switch {
		case l.On && since < d.in.Dispatch.MinOn:
			l.run, l.reason = true, domain.ReasonMinimumOn
		case !l.On && since < d.in.Dispatch.MinOff:
			l.run, l.reason = false, domain.ReasonMinimumOff
		}
	}
}

// ramp takes changes back until the site's power changes slowly enough: first
// those that are worth least per MWh.
func (d *decision) ramp() {
	if d.in.Dispatch.Ramp == 0 {
		return
	}
	change := func() (sum domain.Power) {
		for _, l := range d.loads {
			if l.run && !l.On {
				sum += l.Power
			} else if !l.run && l.On {
				sum -= l.Power
			}
		}
		return sum
	}
	for {
		sum := change()
		if d.gross(max(sum, -sum)).Cmp(milliwatts(d.in.Dispatch.Ramp)) <= 0 {
			return
		}
		least := -1
		for i, l := range d.loads {
			if l.Committed || l.run == l.On || l.run != (sum > 0) {
				continue
			}
			if least < 0 || d.worth(l).Cmp(d.worth(d.loads[least])) < 0 {
				least = i
			}
		}
		if least < 0 {
			return // only commitments change: they may
		}
		d.loads[least].run, d.loads[least].reason = d.loads[least].On, domain.ReasonRamp
	}
}

// gross returns what the revenue meter sees of power drawn at the loads, in
// milliwatts.
func (d *decision) gross(p domain.Power) domain.Decimal {
	net := milliwatts(p)
	return net.Add(net.Mul(d.in.LossPortion))
}

func milliwatts(p domain.Power) domain.Decimal { return domain.NewDecimal(int64(p), 0) }

// worth is what switching a load brings per MWh: how far its value is from
// its cost.
func (d *decision) worth(l load) domain.Decimal {
	if l.value == nil || d.cost == nil {
		return domain.Decimal{}
	}
	if w := l.value.Sub(*d.cost); w.Sign() > 0 {
		return w
	}
	return d.cost.Sub(*l.value)
}

// limit leaves loads out, those that earn least first, until the connection
// holds the rest.
func (d *decision) limit() {
	if d.in.Dispatch.Limit == 0 {
		return
	}
	sum := d.in.Dispatch.Reserve
	for _, l := range d.loads {
		if l.run {
			sum += l.Power
		}
	}
	limit := milliwatts(d.in.Dispatch.Limit)
	for i := len(d.loads) - 1; i >= 0 && d.gross(sum).Cmp(limit) > 0; i-- {
		if l := &d.loads[i]; l.run && !l.Committed {
			l.run, l.reason = false, domain.ReasonLimit
			sum -= l.Power
		}
	}
}

func (d *decision) choices() []domain.LoadChoice {
	out := make([]domain.LoadChoice, len(d.loads))
	for i, l := range d.loads {
		out[i] = domain.LoadChoice{Load: l.Load, Use: l.Use, On: l.run, Value: l.value, Cost: d.cost, Reason: l.reason}
		if l.run {
			out[i].Power = l.Power
		}
	}
	return out
}

// compareValues orders values; what is unknown is below everything.
func compareValues(a, b *domain.Decimal) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	return a.Cmp(*b)
}
