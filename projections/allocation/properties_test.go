package allocation_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"wattbook/domain"
	"wattbook/domain/wire"
	"wattbook/projections/allocation"
)

const step = 5 * domain.Minute

var noon = domain.Unix(1_791_979_200) // 2026-10-14

// drawInputs returns any inputs that a site can have.
func drawInputs(t *rapid.T) domain.AllocationInputs {
	number := func(name string, from, to int64) int64 { return rapid.Int64Range(from, to).Draw(t, name) }
	maybe := func(name string, from, to int64, exponent int32) *domain.Decimal {
		if number(name+" known", 0, 9) == 0 {
			return nil
		}
		d := domain.NewDecimal(number(name, from, to), exponent)
		return &d
	}
	in := domain.AllocationInputs{
		PowerPrice: maybe("price", -25_000, 500_000, -2), BitcoinPrice: maybe("bitcoin", 1, 200_000, 0),
		Bits: domain.Bits(0x17000000 + number("bits", 0, 0x07ffff)), Height: number("height", 0, 1_100_000), FeesPerBlock: maybe("fees", 0, 1<<30, -4),
		PoolFee: domain.NewDecimal(number("fee", 0, 50), -3), LossPortion: domain.NewDecimal(number("loss", 0, 99), -3),
		Dispatch: domain.DispatchRule{
			Limit: domain.Power(number("limit", 0, 12)) * domain.Megawatt, Ramp: domain.Power(number("ramp", 0, 8)) * domain.Megawatt,
			MinOn: domain.Duration(number("min on", 0, 4)) * step, MinOff: domain.Duration(number("min off", 0, 4)) * step,
			Adder: domain.NewDecimal(number("adder", 0, 1000), -2), Reserve: domain.Power(number("reserve", 0, 1000)) * domain.Kilowatt,
		},
	}
	for i := range number("loads", 0, 6) {
		l := domain.LoadInput{
			Load: domain.DeviceID(fmt.Sprint("c", i)), Use: domain.UseMining, Power: domain.Power(number("power", 0, 4000)) * domain.Kilowatt,
			Shares: maybe("shares", 0, 1<<40, 0), On: rapid.Bool().Draw(t, "on"), Basis: "drawn",
		}
		if rapid.Bool().Draw(t, "is ai") {
			l.Use, l.Shares, l.Value, l.Committed = domain.UseAI, nil, maybe("value", 0, 3000, 0), rapid.Bool().Draw(t, "committed")
		}
		if since := number("since", 0, 6); since > 0 {
			l.Since = noon.Add(-step * domain.Duration(since))
		}
		in.Loads = append(in.Loads, l)
	}
	return in
}

// TestDecisionsKeepTheRules checks every rule that a decision states.
func TestDecisionsKeepTheRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInputs(t)
		got := allocation.Decide(in, domain.Interval{Start: noon, End: noon.Add(step)})
		if len(got) != len(in.Loads) {
			t.Fatalf("got %d choices for %d loads", len(got), len(in.Loads))
		}
		loads := map[domain.DeviceID]domain.LoadInput{}
		for _, l := range in.Loads {
			loads[l.Load] = l
		}
		var run, committed, change domain.Power
		limited, promised := false, false
		for i, c := range got {
			l := loads[c.Load]
			if i > 0 && !ordered(got[i-1], c) {
				t.Fatalf("%s stands behind %s", c.Load, got[i-1].Load)
			}
			if want := map[bool]domain.Power{true: l.Power}[c.On]; c.Power != want {
				t.Fatalf("%s: got %s, want %s", c.Load, c.Power, want)
			}
			checkReason(t, in, l, c)
			run += c.Power
			limited = limited || c.Reason == domain.ReasonLimit
			if l.Committed {
				committed += l.Power
				promised = promised || c.On != l.On
			}
			switch {
			case c.On && !l.On:
				change += l.Power
			case l.On && !c.On:
				change -= l.Power
			}
		}
		above := func(p, limit domain.Power) bool { // with losses
			net := domain.NewDecimal(int64(p), 0)
			return net.Add(net.Mul(in.LossPortion)).Cmp(domain.NewDecimal(int64(limit), 0)) > 0
		}
		rule := in.Dispatch
		if rule.Limit > 0 && above(run+rule.Reserve, rule.Limit) && run != committed {
			t.Fatalf("%s run, %s of them committed, and the limit is %s", run, committed, rule.Limit)
		}
		if rule.Ramp > 0 && above(max(change, -change), rule.Ramp) && !limited && !promised {
			t.Fatalf("the site changes by %s, and its ramp is %s", change, rule.Ramp)
		}
	})
}

// ordered reports whether a may stand before b.
func ordered(a, b domain.LoadChoice) bool {
	switch {
	case a.Value == nil && b.Value == nil:
		return a.Load < b.Load
	case a.Value == nil || b.Value == nil:
		return b.Value == nil
	}
	c := a.Value.Cmp(*b.Value)
	return c > 0 || c == 0 && a.Load < b.Load
}

// checkReason checks that a choice is what its reason says.
func checkReason(t *rapid.T, in domain.AllocationInputs, l domain.LoadInput, c domain.LoadChoice) {
	age := noon.Sub(l.Since)
	known := c.Value != nil && c.Cost != nil
	ok := false
	switch c.Reason {
	case domain.ReasonCommitted:
		ok = c.On && l.Committed
	case domain.ReasonProfitable:
		ok = c.On && known && c.Value.Cmp(*c.Cost) > 0
	case domain.ReasonUnprofitable:
		ok = !c.On && known && c.Value.Cmp(*c.Cost) <= 0
	case domain.ReasonMinimumOn:
		ok = c.On && l.On && l.Since != 0 && age < in.Dispatch.MinOn && known && c.Value.Cmp(*c.Cost) <= 0
	case domain.ReasonMinimumOff:
		ok = !c.On && !l.On && l.Since != 0 && age < in.Dispatch.MinOff && known && c.Value.Cmp(*c.Cost) > 0
	case domain.ReasonRamp:
		ok = c.On == l.On && known && in.Dispatch.Ramp > 0
	case domain.ReasonLimit:
		ok = !c.On && in.Dispatch.Limit > 0
	case domain.ReasonPriceUnknown:
		ok = c.On == l.On && !known
	}
	if !ok || l.Committed != (c.Reason == domain.ReasonCommitted) {
		t.Fatalf("%s: %s for the reason %s; before: on %t since %s; earns %s, costs %s", c.Load, onOff(c.On), c.Reason, l.On, l.Since, text(c.Value), text(c.Cost))
	}
	if switched := c.On != l.On; switched && l.Since != 0 && !l.Committed && c.Reason != domain.ReasonLimit {
		if l.On && age < in.Dispatch.MinOn || !l.On && age < in.Dispatch.MinOff {
			t.Fatalf("%s was switched %s ago and is switched again for the reason %s", c.Load, age, c.Reason)
		}
	}
}

// TestDecidingAgainFromTheRecordIsTheSame sends a decision through the log's
// form, shuffles its loads, and decides again.
func TestDecidingAgainFromTheRecordIsTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := domain.AllocationDecided{Site: "s", Interval: domain.Interval{Start: noon, End: noon.Add(step)}, Rule: allocation.Rule, Inputs: drawInputs(t)}
		e.Choices = allocation.Decide(e.Inputs, e.Interval)
		_, payload, err := wire.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		back, err := wire.Decode(wire.AllocationDecided, payload)
		if err != nil {
			t.Fatal(err)
		}
		recorded := back.(domain.AllocationDecided)
		recorded.Inputs.Loads = rapid.Permutation(recorded.Inputs.Loads).Draw(t, "order")
		again := allocation.Decide(recorded.Inputs, recorded.Interval)
		if diff := cmp.Diff(e.Choices, again); diff != "" {
			t.Fatalf("deciding again (-first +again):\n%s", diff)
		}
	})
}

// horizon is a sequence of intervals with known prices, in whole megawatts and
// dollars, on which the best plan in hindsight can be computed.
type horizon struct {
	prices        []int64
	values, power [3]int64
	minOn, minOff int64 // in intervals
	ramp, limit   int64 // 0 for none
	on            [3]bool
}

func drawHorizon(t *rapid.T, times, ramp, limit bool) horizon {
	number := func(name string, from, to int64) int64 { return rapid.Int64Range(from, to).Draw(t, name) }
	h := horizon{prices: rapid.SliceOfN(rapid.Int64Range(-50, 150), 12, 12).Draw(t, "prices")}
	for i := range h.power {
		h.values[i], h.power[i], h.on[i] = number("value", 0, 120), number("power", 1, 5), rapid.Bool().Draw(t, "on")
	}
	if times {
		h.minOn, h.minOff = number("min on", 0, 4), number("min off", 0, 4)
	}
	if ramp {
		h.ramp = number("ramp", 1, 12)
	}
	if limit {
		h.limit, h.on = number("limit", 1, 15), [3]bool{}
	}
	return h
}

// place is where a plan stands: which loads run, and for how many intervals
// they have not been switched. Old switches do not matter.
type place struct {
	on  [3]bool
	age [3]int64
}

// longAgo is the age at which every minimum time is over.
func (h horizon) longAgo() int64 { return max(1, h.minOn, h.minOff) }

// step returns where switching to on leads and what the interval earns, or
// false if the constraints forbid it.
func (h horizon) step(from place, on [3]bool, price int64) (to place, earned int64, ok bool) {
	change, sum := int64(0), int64(0)
	for i := range on {
		to.on[i], to.age[i] = on[i], min(from.age[i]+1, h.longAgo())
		if on[i] {
			sum += h.power[i]
			earned += h.power[i] * (h.values[i] - price)
		}
		if on[i] == from.on[i] {
			continue
		}
		to.age[i] = 1 // in the next interval, one ago
		if on[i] {
			change += h.power[i]
		} else {
			change -= h.power[i]
		}
		if from.on[i] && from.age[i] < h.minOn || !from.on[i] && from.age[i] < h.minOff {
			return to, 0, false
		}
	}
	if h.ramp > 0 && max(change, -change) > h.ramp || h.limit > 0 && sum > h.limit {
		return to, 0, false
	}
	return to, earned, true
}

// best returns the most that any plan earns that knows all prices.
func (h horizon) best() int64 {
	at := map[place]int64{h.start(): 0}
	for _, price := range h.prices {
		next := map[place]int64{}
		for from, sum := range at {
			for mask := range 8 {
				to, earned, ok := h.step(from, [3]bool{mask&1 > 0, mask&2 > 0, mask&4 > 0}, price)
				if before, seen := next[to]; ok && (!seen || sum+earned > before) {
					next[to] = sum + earned
				}
			}
		}
		at = next
	}
	most, first := int64(0), true
	for _, sum := range at {
		if first || sum > most {
			most, first = sum, false
		}
	}
	return most
}

func (h horizon) start() place {
	return place{h.on, [3]int64{h.longAgo(), h.longAgo(), h.longAgo()}}
}

// decided returns what the dispatcher earns, which knows one price at a time.
// It is an error if it breaks a constraint.
func (h horizon) decided() (int64, error) {
	in := domain.AllocationInputs{Dispatch: domain.DispatchRule{
		MinOn: step * domain.Duration(h.minOn), MinOff: step * domain.Duration(h.minOff),
		Ramp: domain.Power(h.ramp) * domain.Megawatt, Limit: domain.Power(h.limit) * domain.Megawatt,
	}}
	for i := range h.power {
		value := domain.NewDecimal(h.values[i], 0)
		in.Loads = append(in.Loads, domain.LoadInput{
			Load: domain.DeviceID(fmt.Sprint(i)), Use: domain.UseAI, Power: domain.Power(h.power[i]) * domain.Megawatt, Value: &value, On: h.on[i],
		})
	}
	at, sum := h.start(), int64(0)
	for n, p := range h.prices {
		price := domain.NewDecimal(p, 0)
		in.PowerPrice = &price
		start := noon.Add(step * domain.Duration(n))
		choices := allocation.Decide(in, domain.Interval{Start: start, End: start.Add(step)})
		var on [3]bool
		for i := range in.Loads {
			l := &in.Loads[i]
			c := choices[slices.IndexFunc(choices, func(c domain.LoadChoice) bool { return c.Load == l.Load })]
			if on[i] = c.On; c.On != l.On {
				l.On, l.Since = c.On, start
			}
		}
		to, earned, ok := h.step(at, on, p)
		if !ok {
			return 0, fmt.Errorf("interval %d: from %v to %v breaks a constraint", n, at, on)
		}
		at, sum = to, sum+earned
	}
	return sum, nil
}

// TestNoDecisionsBeatTheBestPlanInHindsight compares the dispatcher with the
// exact optimum under the same constraints.
func TestNoDecisionsBeatTheBestPlanInHindsight(t *testing.T) {
	for _, c := range []struct {
		name               string
		times, ramp, limit bool
	}{
		{"without constraints they are the best plan", false, false, false},
		{"with minimum times", true, false, false},
		{"with a ramp", false, true, false},
		{"with minimum times and a ramp", true, true, false},
		{"with a limit", false, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				h := drawHorizon(t, c.times, c.ramp, c.limit)
				got, err := h.decided()
				if err != nil {
					t.Fatal(err)
				}
				best := h.best()
				if got > best || !c.times && !c.ramp && !c.limit && got != best {
					t.Fatalf("the decisions earn %d, the best plan %d", got, best)
				}
			})
		})
	}
}
