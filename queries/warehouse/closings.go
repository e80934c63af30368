package warehouse

import (
	"context"
	"errors"
	"fmt"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/projections"
	"wattbook/projections/facts"
	"wattbook/projections/margin"
	"wattbook/projections/scratch"
)

// closing is a closed period, and where its closing stands in the log.
type closing struct {
	domain.PeriodClosed
	position domain.Position
}

// figures are the margins of a closed period as they were known when it was
// closed.
type figures struct {
	currency domain.Currency
	uses     []*useSum // in the order of useNames
}

func useNames() []string { return []string{"mining", "ai", "overhead", "site"} }

// useSum adds up what is known of a use.
type useSum struct {
	energy                        domain.Energy
	metered                       bool
	revenue, cost, margin         *domain.Decimal
	intervals, unknown, estimated int64
}

func (s *useSum) add(energy domain.Energy, state facts.State, revenue, cost, margin *domain.Decimal, estimated bool) {
	if state != facts.Unknown {
		s.energy, s.metered = s.energy+energy, true
	}
	for _, pair := range []struct{ sum, of **domain.Decimal }{{&s.revenue, &revenue}, {&s.cost, &cost}, {&s.margin, &margin}} {
		if *pair.of == nil {
			continue
		}
		sum := **pair.of
		if *pair.sum != nil {
			sum = sum.Add(**pair.sum)
		}
		*pair.sum = &sum
	}
	s.intervals++
	if margin == nil {
		s.unknown++
	}
	if estimated {
		s.estimated++
	}
}

// foldedInHeap is how many bytes of readings and allocations that are folded
// for one call are kept in the heap.
const foldedInHeap = 64 << 20

// settleClosings computes the figures of closed periods that have none yet.
// They are those of now as long as no later event touches the period, and its
// margins have the digest that the closing recorded. Else the log is folded
// again up to what was known at the closing.
func (p *Publisher) settleClosings(ctx context.Context, log eventlog.Log, f *facts.Facts) (err error) {
	var again []closing // by position: a later closing is never drawn at an earlier one
	for _, c := range p.history.closings {
		if _, ok := p.closed[c.position]; ok {
			continue
		}
		now, err := margin.Digest(margin.Rows(f, c.Site, c.Interval))
		if err != nil {
			return err
		}
		// What is known of a part of a stated day tells what its other parts earned.
		end := margin.Around(f, c.Site, domain.Interval{Start: c.Interval.End - 1, End: c.Interval.End}).End
		if now != c.Margin || p.history.touched.since(c.AsOf) < end {
			again = append(again, c)
			continue
		}
		if err := p.settleClosing(f, c); err != nil {
			return err
		}
	}
	area := scratch.In(p.layout.tmp(""), foldedInHeap)
	defer func() { err = errors.Join(err, area.Close()) }()
	then := facts.In(area)
	for _, c := range again {
		if c.AsOf < then.Next {
			then = facts.In(area)
		}
		if _, err := projections.Fold(ctx, log, then.Next, c.AsOf, then); err != nil {
			return fmt.Errorf("closing of %s at position %d: %w", c.Period, c.position, err)
		}
		if err := p.settleClosing(then, c); err != nil {
			return err
		}
	}
	return nil
}

// settleClosing draws the figures of a closed period, and what it accrued.
func (p *Publisher) settleClosing(f *facts.Facts, c closing) error {
	of, err := draw(f, c)
	if err == nil {
		err = p.books.draw(f, c)
	}
	if err == nil {
		p.closed[c.position] = of
	}
	return err
}

// draw computes the figures of a closed period from the facts.
func draw(f *facts.Facts, c closing) (figures, error) {
	site, ok := f.Site(c.Site)
	if !ok {
		return figures{}, fmt.Errorf("closing of %s at position %d: site %s is not registered", c.Period, c.position, c.Site)
	}
	table := f.Table(c.Site)
	sums := make([]*useSum, len(useNames()))
	for i := range sums {
		sums[i] = &useSum{}
	}
	for r, err := range margin.Rows(f, c.Site, c.Interval) {
		if err != nil {
			return figures{}, err
		}
		for i, u := range []margin.Use{r.Mining, r.AI, r.Overhead} {
			sums[i].add(u.Energy, u.State, u.Revenue, u.Cost, u.Margin, r.Estimated)
		}
		var revenue *domain.Decimal
		if r.Mining.Revenue != nil && r.AI.Revenue != nil {
			sum := r.Mining.Revenue.Add(*r.AI.Revenue)
			revenue = &sum
		}
		energy, state := table.Energy(site.RevenueMeter, table.SlotOf(r.Interval.Start))
		sums[3].add(energy, state, revenue, r.Cost, r.Margin, r.Estimated)
	}
	return figures{site.Currency, sums}, nil
}

// closingRows adds the rows of closed periods.
func (p *Publisher) closingRows(t *tables) error {
	for _, c := range p.history.closings {
		of := p.closed[c.position]
		z := p.history.zones[c.Site]
		if z == nil {
			return fmt.Errorf("closing of %s at position %d: site %s is not registered", c.Period, c.position, c.Site)
		}
		mining, ai, site := of.uses[0], of.uses[1], of.uses[3]
		err := t.add("closed_periods", c.position, c.AsOf, string(c.Site), c.Period.String(), c.Interval.Start, c.Interval.End, z.of(c.Interval.Start),
			c.Metered, c.Estimated, c.Missing, digest(c.Balance), digest(c.Usage), digest(c.Margin),
			z.of(c.Interval.Start), z.of(c.Interval.End-1), string(of.currency), known(int64(site.energy), site.metered),
			optional(mining.revenue), optional(ai.revenue), optional(site.cost), optional(site.margin), site.unknown)
		if err != nil {
			return err
		}
		for i, use := range useNames() {
			s := of.uses[i]
			err := t.add("closed_margins", c.position, c.AsOf, string(c.Site), c.Period.String(), use, string(of.currency),
				known(int64(s.energy), s.metered), optional(s.revenue), optional(s.cost), optional(s.margin), s.intervals, s.unknown, s.estimated)
			if err != nil {
				return err
			}
		}
	}
	return nil
}
