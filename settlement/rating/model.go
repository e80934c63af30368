package rating

import (
	"fmt"
	"math/big"
	"strings"

	"wattbook/domain"
)

// Price returns what a quantity that was used over a period costs under the
// price model of a usage charge, exactly: without its free part, counted in
// started blocks where the charge has them, and then per unit, per package or
// in tiers. A tier begins above the end of the one before it and includes its
// own end.
func Price(ch domain.Charge, quantity *big.Rat) *big.Rat {
	q := billable(ch, quantity)
	switch ch.Model {
	case domain.Graduated:
		sum := new(big.Rat)
		for _, p := range graduated(ch, nil, q) {
			sum.Add(sum, p.amount())
		}
		return sum
	case domain.Volume:
		return tierPart{tierOf(ch, q), q}.amount()
	}
	return q.Mul(q, ch.Rate.Rat())
}

// billable returns the priced part of a quantity: what is not free, in units
// or in started blocks.
func billable(ch domain.Charge, quantity *big.Rat) *big.Rat {
	q := new(big.Rat).Sub(quantity, ch.Free.Rat())
	if q.Sign() < 0 {
		q.SetInt64(0)
	}
	if ch.Block.IsZero() {
		return q
	}
	q.Quo(q, ch.Block.Rat())
	blocks, rest := new(big.Int).QuoRem(q.Num(), q.Denom(), new(big.Int))
	if rest.Sign() > 0 {
		blocks.Add(blocks, big.NewInt(1))
	}
	return q.SetInt(blocks)
}

// tierPart is a quantity that a tier prices.
type tierPart struct {
	tier     domain.Tier
	quantity *big.Rat
}

func (p tierPart) amount() *big.Rat {
	a := new(big.Rat).Mul(p.quantity, p.tier.Rate.Rat())
	return a.Add(a, p.tier.Flat.Rat())
}

// graduated cuts the quantity from one point to another at the ends of the
// tiers. From nil on, the first tier is entered by nothing; from a point on, a
// tier that was entered before it has no flat part.
func graduated(ch domain.Charge, from, to *big.Rat) []tierPart {
	var parts []tierPart
	start := new(big.Rat)
	for i, t := range ch.Tiers {
		end, low := to, start
		if t.UpTo != nil && t.UpTo.Rat().Cmp(to) < 0 {
			end = t.UpTo.Rat()
		}
		if from != nil && from.Cmp(start) > 0 {
			low = from
		}
		entered := i > 0 && to.Cmp(start) > 0 && (from == nil || from.Cmp(start) <= 0) || i == 0 && from == nil
		if !entered {
			t.Flat = domain.Decimal{}
		}
		if entered || end.Cmp(low) > 0 {
			parts = append(parts, tierPart{t, new(big.Rat).Sub(end, low)})
		}
		if t.UpTo != nil {
			start = t.UpTo.Rat()
		}
	}
	return parts
}

// tierOf returns the tier that a quantity ends in.
func tierOf(ch domain.Charge, q *big.Rat) domain.Tier {
	for _, t := range ch.Tiers {
		if t.UpTo == nil || q.Cmp(t.UpTo.Rat()) <= 0 {
			return t
		}
	}
	return domain.Tier{}
}

// usageDetail says how a period's quantity is priced, from a point on that
// terms before an amendment have priced; nil if there are none.
func usageDetail(ch domain.Charge, before, to *big.Rat) string {
	q := billable(ch, to)
	var say []string
	var from *big.Rat
	if before != nil {
		from = billable(ch, before)
		say = append(say, fmt.Sprintf("from %s on", domain.RoundRat(before, quantityPlaces)))
	}
	if !ch.Free.IsZero() {
		say = append(say, fmt.Sprintf("%s free", ch.Free))
	}
	if !ch.Block.IsZero() {
		say = append(say, fmt.Sprintf("%s started blocks of %s", domain.RoundRat(q, 0), ch.Block))
	}
	priced := func(p tierPart) string {
		s := fmt.Sprintf("%s at %s", domain.RoundRat(p.quantity, quantityPlaces), p.tier.Rate)
		if !p.tier.Flat.IsZero() {
			s += fmt.Sprintf(" plus %s", p.tier.Flat)
		}
		return s
	}
	switch ch.Model {
	case domain.Graduated:
		for _, p := range graduated(ch, from, q) {
			say = append(say, priced(p))
		}
	case domain.Volume:
		say = append(say, priced(tierPart{tierOf(ch, q), q}))
	default:
		if from != nil {
			q.Sub(q, from)
		}
		say = append(say, fmt.Sprintf("%s at %s", domain.RoundRat(q, quantityPlaces), ch.Rate))
	}
	return strings.Join(say, ", ")
}
