package document

import (
	"fmt"
	"math/big"
	"slices"
	"time"

	"wattbook/domain"
)

// A series is one column of the annex: a quantity for every day.
type series struct {
	name string
	unit int64 // how many of the values make one of what is shown
	ink  ink
	days []domain.DailyUsage
	of   func(domain.DailyUsage) int64
}

// amount returns a value in the unit that is shown, rounded to a thousandth.
func (s series) amount(v *big.Int) domain.Decimal {
	return domain.RoundRat(new(big.Rat).SetFrac(v, big.NewInt(s.unit)), 3)
}

// show writes an amount with all its digits, for columns of figures.
func (s series) show(v *big.Int) string { return group(s.amount(v).Fixed(3)) }

func (s series) value(d domain.DailyUsage) *big.Int { return big.NewInt(s.of(d)) }

// sum returns the exact total, and the day with the highest value.
func (s series) sum() (total *big.Int, peak domain.DailyUsage) {
	total, peak = new(big.Int), s.days[0]
	for _, d := range s.days {
		total.Add(total, s.value(d))
		if s.of(d) > s.of(peak) {
			peak = d
		}
	}
	return total, peak
}

// used reports whether any day has a value other than zero.
func (s series) used() bool {
	for _, d := range s.days {
		if s.of(d) != 0 {
			return true
		}
	}
	return false
}

// annex sets the usage of every local day, as charts and as a table: one page
// for a month, or the rest of one where that is enough.
func (c *composer) annex() {
	if len(c.inv.Daily) == 0 {
		return
	}
	all := []series{
		{
			"GPU-hours", int64(domain.GPUHour),
			ink{38, 84, 124},
			c.inv.Daily,
			func(d domain.DailyUsage) int64 { return int64(d.GPU) },
		},
		{
			"Energy (kWh)", int64(domain.KilowattHour),
			ink{178, 112, 32},
			c.inv.Daily,
			func(d domain.DailyUsage) int64 { return int64(d.Energy) },
		},
	}
	var used []series
	for _, s := range all {
		if s.used() && (c.inv.Layout < 1 || s.unit != int64(domain.GPUHour) || billsGPUs(c.inv)) {
			used = append(used, s)
		}
	}
	strips := []strip{line("Annex: usage per day", left, toRight, style{bold, 14 * pt, dark}, 22*pt)}
	strips = append(strips, c.block("Days are local days of "+c.inv.Zone+". Figures are rounded to a thousandth; "+
		"totals are rounded from the exact sum.", left, right-left, small)...)
	if c.inv.Layout >= 1 {
		for _, says := range c.reconcile() {
			strips = append(strips, c.block(says, left, right-left, small)...)
		}
	}
	for _, s := range used {
		strips = append(strips, strip{height: 12 * pt})
		strips = append(strips, c.chart(s)...)
	}
	if len(used) == 0 {
		used = all // a table of zeros says that there was no usage
	}
	c.gap(10 * pt)
	head, rows := c.dailyTable(used)
	c.add(append(strips, rows[0]...)...)
	c.head = head
	for _, row := range rows[1:] {
		c.add(row...)
	}
	c.head = nil
}

// dailyTable sets the days in two columns. What it returns is the head, and
// pieces to keep on one page: a month is one piece, which begins with its
// head.
func (c *composer) dailyTable(used []series) (head []strip, pieces [][]strip) {
	const (
		height = 12*pt + 50
		gutter = 30 * pt
		width  = (right - left - gutter) / 2
		month  = 31
	)
	columns := [2]length{left, left + width + gutter}
	row := func(column length, height length, name string, st style, figure func(series) string) strip {
		s := line(name, column, toRight, st, height)
		for i, u := range used {
			to := column + width - length(len(used)-1-i)*75*pt
			shown := figure(u)
			s.texts = append(s.texts, line(shown, to, toLeft, c.shrink(shown, st, 70*pt), height).texts...)
		}
		return s
	}
	for _, column := range columns {
		h := row(column, 15*pt, "Day", label, func(s series) string { return s.name })
		head = beside(head, []strip{h, {height: 80, boxes: []box{{column, 0, width, 80, muted}}}})
	}
	days := used[0].days
	for start := 0; start < len(days); start += month {
		part := days[start:min(start+month, len(days))]
		half := (len(part) + 1) / 2
		var stacks [2][]strip
		for i, d := range part {
			n := i / half
			stacks[n] = append(stacks[n], row(columns[n], height, dayName(d), style{regular, 8 * pt, dark},
				func(s series) string { return s.show(s.value(d)) }))
		}
		pieces = append(pieces, beside(stacks[0], stacks[1]))
	}
	sum := []strip{
		{height: 4 * pt, boxes: []box{{columns[1], 2 * pt, width, 50, muted}}},
		row(columns[1], 14*pt, "Total", strong, func(s series) string { total, _ := s.sum(); return s.show(total) }),
	}
	pieces[0] = append(slices.Concat([]strip{{height: 14 * pt}}, head), pieces[0]...)
	last := len(pieces) - 1
	pieces[last] = append(pieces[last], sum...)
	return head, pieces
}

// date returns a day that check has parsed.
func date(d domain.DailyUsage) time.Time {
	day, _ := time.Parse(time.DateOnly, d.Day)
	return day
}

func dayName(d domain.DailyUsage) string { return date(d).Format("Mon 2 Jan 2006") }

// chart draws a bar for every day, on an axis of round steps. A day without a
// row has no bar and no name: it is not known to be zero.
func (c *composer) chart(s series) []strip {
	const (
		head   = 9 * pt  // above the plot
		height = 84 * pt // of the plot
		foot   = 14 * pt // below it, for the days
	)
	total, peak := s.sum()
	about := fmt.Sprintf("total %s, highest %s on %s", s.show(total), s.show(s.value(peak)), dayName(peak))
	name := beside(
		stack([]string{s.name + " per day"}, left, toRight, strong, 14*pt),
		stack([]string{about}, right, toLeft, small, 14*pt))

	lo, hi, step := axis(s)
	down := func(v *big.Int) length { // from the top of the strip
		d := new(big.Int).Sub(hi, v)
		d.Mul(d, big.NewInt(int64(height)))
		return head + length(d.Quo(d, new(big.Int).Sub(hi, lo)).Int64())
	}
	var ticks []*big.Int
	gutter := 50 * pt // left of the plot, for the names of the steps
	for v := lo; v.Cmp(hi) <= 0; v = new(big.Int).Add(v, step) {
		ticks = append(ticks, v)
		gutter = max(gutter, c.width(s.tick(v), small.face, small.size)+5*pt)
	}
	plot := right - left - gutter
	art := strip{height: head + height + foot}
	for _, v := range ticks {
		y, color := down(v), hair
		if v.Sign() == 0 {
			color = muted
		}
		art.boxes = append(art.boxes, box{left + gutter, y, plot, 50, color})
		art.texts = append(art.texts, text{left + gutter - 5*pt, y + 250, toLeft, small, s.tick(v)})
	}
	zero := down(new(big.Int))
	slots := s.slot(s.days[len(s.days)-1]) + 1
	every := 1 + (slots-1)/31 // days to a name
	for _, d := range s.days {
		n := s.slot(d)
		x, w, y := left+gutter+n*plot/slots, plot/slots, down(s.value(d))
		art.boxes = append(art.boxes, box{x + w/6, min(y, zero), w - w/3, max(y-zero, zero-y), s.ink})
		if n%every == 0 {
			day := date(d).Format("2")
			to := min(x+(w+c.width(day, small.face, small.size))/2, right)
			art.texts = append(art.texts, text{to, head + height + 10*pt, toLeft, small, day})
		}
	}
	return append(name, art)
}

// slot returns the place of a day on the chart, from 0.
func (s series) slot(d domain.DailyUsage) length {
	return length(date(d).Sub(date(s.days[0])) / (24 * time.Hour))
}

// axis returns the ends of a chart's axis and the step between its lines: the
// smallest power of ten times 1, 2 or 5 of which five reach over the values,
// but at least the thousandth of a unit that figures show.
func axis(s series) (lo, hi, step *big.Int) {
	least, most := new(big.Int), new(big.Int)
	for _, d := range s.days {
		v := s.value(d)
		if v.Cmp(most) > 0 {
			most = v
		}
		if v.Cmp(least) < 0 {
			least = v
		}
	}
	span := new(big.Int).Sub(most, least)
	for power := big.NewInt(s.unit / 1000); ; power.Mul(power, big.NewInt(10)) {
		for _, f := range []int64{1, 2, 5} {
			step = new(big.Int).Mul(power, big.NewInt(f))
			if new(big.Int).Mul(step, big.NewInt(5)).Cmp(span) < 0 {
				continue
			}
			lo = new(big.Int).Div(least, step) // rounds down, since step is positive
			hi = new(big.Int).Div(most.Neg(most), step)
			return lo.Mul(lo, step), hi.Mul(hi, step).Neg(hi), step
		}
	}
}

// tick writes a value of the axis without zeros that say nothing.
func (s series) tick(v *big.Int) string { return group(s.amount(v).String()) }
