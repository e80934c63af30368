package facts

import (
	"slices"

	"wattbook/domain"
)

// prices are the prices of one thing. Where prices of several lengths cover an
// instant (a market that publishes hours and quarters), the shortest counts.
type prices struct {
	at     map[span]quote
	steps  []domain.Duration // those that occur, the shortest first
	starts []domain.Instant  // of all prices, in order, each once
}

// quote is a price, and the event that published it last.
type quote struct {
	domain.Decimal
	position domain.Position
}

type span struct {
	start domain.Instant
	step  domain.Duration
}

func (p *prices) apply(s domain.PriceSeries, position domain.Position) {
	if i, ok := slices.BinarySearch(p.steps, s.Step); !ok {
		p.steps = slices.Insert(p.steps, i, s.Step)
	}
	for i, v := range s.Prices {
		start := s.Start.Add(s.Step * domain.Duration(i))
		p.at[span{start, s.Step}] = quote{v, position}
		if n := len(p.starts); n == 0 || p.starts[n-1] < start {
			p.starts = append(p.starts, start)
		} else if i, ok := slices.BinarySearch(p.starts, start); !ok {
			p.starts = slices.Insert(p.starts, i, start)
		}
	}
}

// in returns the price in force at t.
func (p *prices) in(t domain.Instant) (quote, bool) {
	if p == nil {
		return quote{}, false
	}
	for _, step := range p.steps {
		if v, ok := p.at[span{t.Floor(step), step}]; ok {
			return v, true
		}
	}
	return quote{}, false
}

// meanPlaces is how many digits a mean of prices keeps: more than any market
// publishes.
const meanPlaces = 10

// over returns the price of an interval. Where prices change inside it, it is
// their mean over time, rounded to ten digits; where one is unknown, all is.
func (p *prices) over(iv domain.Interval) (domain.Decimal, bool) {
	first, ok := p.in(iv.Start)
	if !ok {
		return domain.Decimal{}, false
	}
	step, one := p.steps[0], true
	var sum domain.Decimal
	for t := iv.Start; t < iv.End; {
		v, ok := p.in(t)
		if !ok {
			return domain.Decimal{}, false
		}
		end := min(iv.End, t.Floor(step).Add(step))
		if t == iv.Start && end == iv.End {
			return v.Decimal, true // as almost always
		}
		one = one && v.Equal(first.Decimal)
		sum = sum.Add(v.MulInt(int64(end.Sub(t))))
		t = end
	}
	if one {
		return first.Decimal, true
	}
	return domain.Quo(sum, domain.NewDecimal(int64(iv.Length()), 0), meanPlaces), true
}

// before returns the price in force at t or, if that is not known, the last
// known one of an interval that begins before t.
func (p *prices) before(t domain.Instant) (quote, bool) {
	if v, ok := p.in(t); ok || p == nil {
		return v, ok
	}
	i, _ := slices.BinarySearch(p.starts, t)
	if i == 0 {
		return quote{}, false
	}
	return p.in(p.starts[i-1])
}
