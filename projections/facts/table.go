package facts

import (
	"fmt"

	"wattbook/domain"
	"wattbook/projections/scratch"
)

// State says how well a value is known.
type State uint8

// The states, worst first.
const (
	Unknown   State = iota // nobody knows: not zero
	Estimated              // part of a longer reading, spread evenly over its intervals
	Metered                // counted for this interval
)

var stateNames = [...]string{"unknown", "estimated", "metered"}

// String returns the state's name.
func (s State) String() string { return stateNames[s] }

// Slot numbers the metering intervals of a site: slot n is [n × step,
// (n+1) × step) after 1970-01-01T00:00:00Z.
type Slot int64

// Table holds what every device of a site counted in every metering interval,
// and for mining work also what all devices behind a meter counted.
type Table struct {
	Step domain.Duration

	pool   scratch.Pool[page]
	cells  map[quantity]*column
	groups map[quantity]*column // sums over the devices below a meter; "" is the site
	under  map[domain.DeviceID][]placement
	end    Slot // after the last slot that anything is known of

	tracks map[domain.SourceID][]track // by row of a source's last batches
	slots  slots                       // of the reading before
}

type quantity struct {
	device  domain.DeviceID
	channel domain.Channel
}

// placement says which meter a device hangs on from a position on.
type placement struct {
	from  domain.Position
	meter domain.DeviceID
}

// Cell is a quantity in one slot.
type Cell struct {
	Value     domain.Int128
	State     State
	estimated uint16          // in a sum: how many of the devices are estimated
	Reported  int32           // in a sum: how many devices are in it
	Position  domain.Position // of the event that said so last
}

func newTable(step domain.Duration, area *scratch.Area) *Table {
	return &Table{
		Step: step, pool: scratch.PoolIn[page](area), cells: map[quantity]*column{}, groups: map[quantity]*column{}, under: map[domain.DeviceID][]placement{},
		tracks: map[domain.SourceID][]track{},
	}
}

// place remembers the meter that a device hangs on. A device that moves
// counts towards the new meter from its next reading on.
func (t *Table) place(d domain.DeviceRegistered, p domain.Position) {
	if all := t.under[d.Device]; len(all) == 0 || all[len(all)-1].meter != d.Under {
		t.under[d.Device] = append(all, placement{p, d.Under})
		clear(t.tracks)
	}
}

// meterAt returns the meter that a device hung on when an event at the
// position was folded, or "".
func (t *Table) meterAt(device domain.DeviceID, p domain.Position) domain.DeviceID {
	all := t.under[device]
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].from <= p {
			return all[i].meter
		}
	}
	return ""
}

// SlotOf returns the slot that holds an instant.
func (t *Table) SlotOf(at domain.Instant) Slot { return Slot(at.Floor(t.Step)) / Slot(t.Step) }

// Interval returns the interval of a slot.
func (t *Table) Interval(s Slot) domain.Interval {
	start := domain.Instant(s) * domain.Instant(t.Step)
	return domain.Interval{Start: start, End: start.Add(t.Step)}
}

// Slots returns the slots from the first to the one after the last of an
// interval that is aligned to the step.
func (t *Table) Slots(iv domain.Interval) (first, end Slot) {
	return t.SlotOf(iv.Start), t.SlotOf(iv.End)
}

// End returns the end of the last interval that anything is known of.
func (t *Table) End() domain.Instant { return t.Interval(t.end).Start }

// Cell returns what a device counted in a slot.
func (t *Table) Cell(device domain.DeviceID, channel domain.Channel, s Slot) Cell {
	return t.cells[quantity{device, channel}].at(s)
}

// Group returns the sum of what the devices below a meter counted in a slot.
// Its state is that of the worst of those that reported; who did not report
// is missing from it, so compare Reported with how many there are. Only
// mining work (hashes, shares) is summed.
func (t *Table) Group(meter domain.DeviceID, channel domain.Channel, s Slot) Cell {
	return t.groups[quantity{meter, channel}].at(s)
}

// Total is [Table.Group] of all devices of the site, wherever they hang.
func (t *Table) Total(channel domain.Channel, s Slot) Cell { return t.Group("", channel, s) }

// AccountWork returns the mining work (hashes or shares) that a pool account
// gets in a slot under the terms of its site, and how many miners reported of
// it: the work of the miners that the account names or, of the first account,
// all that no other account gets.
func (t *Table) AccountWork(site domain.SiteRegistered, account domain.PoolTerms, channel domain.Channel, s Slot) (work domain.Int128, reported int32) {
	if len(account.Miners) > 0 {
		return t.workOf(account.Miners, channel, s)
	}
	all := t.Total(channel, s)
	work, reported = all.Value, all.Reported
	for _, other := range site.Accounts {
		v, n := t.workOf(other.Miners, channel, s)
		work, reported = work.Sub(v), reported-n
	}
	return work, reported
}

// workOf sums mining work of miners, and of all miners below meters.
func (t *Table) workOf(devices []domain.DeviceID, channel domain.Channel, s Slot) (work domain.Int128, reported int32) {
	for _, d := range devices {
		for _, c := range []Cell{t.Cell(d, channel, s), t.Group(d, channel, s)} {
			work, reported = work.Add(c.Value), reported+c.Reported
		}
	}
	return work, reported
}

// Energy returns the energy that a meter counted in a slot.
func (t *Table) Energy(meter domain.DeviceID, s Slot) (domain.Energy, State) {
	c := t.Cell(meter, domain.ChannelEnergyImport, s)
	v, _ := c.Value.Int64()
	return domain.Energy(v), c.State
}

// Cells returns what a device counted in the slots from one on, and the slot
// after them: as many as lie together before end. It returns no cells for
// slots of which nothing was ever known. The cells are not to be changed.
func (t *Table) Cells(device domain.DeviceID, channel domain.Channel, from, end Slot) (cells []Cell, next Slot) {
	number, index := place(from)
	next = min(end, from-index+pageSlots)
	if c := t.cells[quantity{device, channel}]; c != nil {
		if p := c.pages[number]; p != nil {
			cells = p[index : index+next-from]
		}
	}
	return cells, next
}

// first returns the first slot in which a device counted anything.
func (t *Table) first(device domain.DeviceID) (first Slot, ok bool) {
	for channel := domain.ChannelEnergyImport; channel <= domain.ChannelGPUTime; channel++ {
		if c := t.cells[quantity{device, channel}]; c != nil && (!ok || c.first < first) {
			first, ok = c.first, true
		}
	}
	return first, ok
}

// track is where a row of a source's batch goes. A source asks the same
// devices poll after poll, so the same row goes there in its next batch.
type track struct {
	quantity
	cells *column
	above []*column // the sums that it counts in
}

// tracksOf returns the tracks of a source's batch with so many rows.
func (t *Table) tracksOf(source domain.SourceID, rows int) []track {
	all := t.tracks[source]
	if len(all) < rows {
		all = append(all, make([]track, rows-len(all))...)
		t.tracks[source] = all
	}
	return all
}

// lead sets where a quantity goes that an event at the position counts.
func (t *Table) lead(row *track, q quantity, p domain.Position, first Slot) {
	*row = track{quantity: q, cells: t.column(t.cells, q, first)}
	if q.channel == domain.ChannelShares || q.channel == domain.ChannelHashes {
		row.above = t.above(q, p, first)
	}
}

// slots are those of an interval: most readings of a batch share one.
type slots struct {
	of         domain.Interval
	first, end Slot
}

// apply books a reading, in a row of its batch. One of several slots is spread
// evenly, the parts summing to the whole, and counts as estimated in each of
// them. One that is too long to be spread counts for nothing.
func (t *Table) apply(r *domain.Reading, row *track, p domain.Position) error {
	if !r.Mark.Books() {
		return nil
	}
	if r.Interval != t.slots.of {
		if r.Interval.Start.Floor(t.Step) != r.Interval.Start || r.Interval.End.Floor(t.Step) != r.Interval.End {
			return fmt.Errorf("reading of %s: interval %s is not aligned to %s", r.Device, r.Interval, t.Step)
		}
		t.slots.of = r.Interval
		t.slots.first, t.slots.end = t.Slots(r.Interval)
	}
	first, n := t.slots.first, int64(t.slots.end-t.slots.first)
	if n > maxSpread {
		return nil
	}
	if q := (quantity{r.Device, r.Channel}); row.quantity != q {
		t.lead(row, q, p, first)
	}
	t.end = max(t.end, t.slots.end)
	c := Cell{Value: r.Value, State: Metered, Reported: 1, Position: p}
	if n > 1 || r.Mark == domain.MarkEstimated {
		c.State, c.estimated = Estimated, 1
	}
	spread := domain.Int128{}
	for k := range n {
		if n > 1 {
			upTo := r.Value.MulDiv(k+1, n)
			c.Value, spread = upTo.Sub(spread), upTo
		}
		s := first + Slot(k)
		at := row.cells.cell(s)
		before := *at
		*at = c
		if row.above != nil {
			t.regroup(row, s, before, c)
		}
	}
	return nil
}

// maxSpread bounds how many slots one reading may cover: a year of 5-minute
// intervals, so that a forged reading cannot fill the memory. What a meter
// counted over a longer silence says nothing of any interval in it.
const maxSpread = 366 * 24 * 12

// TooLong reports whether a reading covers so many intervals of a step that it
// counts for nothing.
func TooLong(r *domain.Reading, step domain.Duration) bool { return r.Interval.Steps(step) > maxSpread }

func (t *Table) tooLong(r *domain.Reading) bool { return TooLong(r, t.Step) }

// maxDepth bounds how many meters stand between a device and the grid.
const maxDepth = 16

// above returns the sums that a quantity counts in which an event at the
// position said: that of the site, and those of the meters above the device.
func (t *Table) above(q quantity, p domain.Position, first Slot) []*column {
	sums := []*column{t.column(t.groups, quantity{"", q.channel}, first)}
	m := t.meterAt(q.device, p)
	for range maxDepth {
		if m == "" {
			break
		}
		sums = append(sums, t.column(t.groups, quantity{m, q.channel}, first))
		m = t.meterAt(m, p)
	}
	return sums
}

// regroup moves the sums above a device: a cell counts in those that were
// above it at the cell's position.
func (t *Table) regroup(row *track, s Slot, before, now Cell) {
	if before.State != Unknown {
		for _, sums := range t.above(row.quantity, before.Position, s) {
			sum := sums.cell(s)
			sum.Value = sum.Value.Sub(before.Value)
			sum.Reported--
			sum.estimated -= before.estimated
			sum.settle(now.Position)
		}
	}
	for _, sums := range row.above {
		sum := sums.cell(s)
		sum.Value = sum.Value.Add(now.Value)
		sum.Reported++
		sum.estimated += now.estimated
		sum.settle(now.Position)
	}
}

// settle sets a sum's state from what is in it.
func (c *Cell) settle(p domain.Position) {
	c.Position = p
	switch {
	case c.Reported == 0:
		c.State = Unknown
	case c.estimated > 0:
		c.State = Estimated
	default:
		c.State = Metered
	}
}

// column is one quantity, slot after slot, in pages: a reading of another
// century costs one page and not the years in between.
type column struct {
	pool  scratch.Pool[page]
	pages map[Slot]*page
	first Slot // that was ever set

	number Slot // of the page that was set last
	last   *page
}

// pageSlots is how many slots a page holds: a day of 5-minute intervals.
const pageSlots = 288

type page [pageSlots]Cell

// column returns the column of a quantity, one of the cells or of the sums.
func (t *Table) column(of map[quantity]*column, q quantity, first Slot) *column {
	c := of[q]
	if c == nil {
		c = &column{pool: t.pool, pages: map[Slot]*page{}, first: first}
		of[q] = c
	}
	return c
}

// place returns the page of a slot and the slot's index in it.
func place(s Slot) (number, index Slot) {
	number, index = s/pageSlots, s%pageSlots
	if index < 0 {
		return number - 1, index + pageSlots
	}
	return number, index
}

// at returns the cell of a slot; a slot that was never set is Unknown.
func (c *column) at(s Slot) Cell {
	if c == nil {
		return Cell{}
	}
	number, index := place(s)
	if p := c.pages[number]; p != nil {
		return p[index]
	}
	return Cell{}
}

// cell returns the place of a slot's cell, to be set.
func (c *column) cell(s Slot) *Cell {
	number, index := place(s)
	if c.last == nil || c.number != number {
		p := c.pages[number]
		if p == nil {
			p = c.pool.New()
			c.pages[number] = p
		}
		c.number, c.last = number, p
	}
	c.first = min(c.first, s)
	return &c.last[index]
}
