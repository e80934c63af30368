package facts

import (
	"slices"

	"wattbook/domain"
)

// Extent returns where anything is known of the site's meters or of its
// mining work, from an instant on: runs of whole pages of intervals, in order
// and apart from each other, the first from the start of the instant's page
// ([Table.Page]), none before [Table.Start] or beyond [Table.End]. Who walks a
// site's intervals walks these, since one reading of another century must not
// cost the years in between.
func (t *Table) Extent(since domain.Instant) []domain.Interval {
	pages := map[Slot]bool{}
	for q, c := range t.cells {
		if q.channel == domain.ChannelEnergyImport {
			for n := range c.pages {
				pages[n] = true
			}
		}
	}
	for q, c := range t.groups {
		if q.device == "" {
			for n := range c.pages {
				pages[n] = true
			}
		}
	}
	numbers := make([]Slot, 0, len(pages))
	for n := range pages {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	start := t.Start()
	from, _ := place(t.SlotOf(since))
	first, _ := slices.BinarySearch(numbers, from)
	var runs []domain.Interval
	for _, n := range numbers[first:] {
		run := domain.Interval{Start: max(t.Interval(n*pageSlots).Start, start), End: min(t.Interval((n+1)*pageSlots).Start, t.End())}
		if last := len(runs) - 1; last >= 0 && runs[last].End == run.Start {
			runs[last].End = run.End
		} else {
			runs = append(runs, run)
		}
	}
	return runs
}

// Start returns the start of the first interval in which anything is known of
// the site's meters or of its mining work, or [Table.End] if nothing is.
func (t *Table) Start() domain.Instant {
	first := t.end
	for q, c := range t.cells {
		if q.channel == domain.ChannelEnergyImport {
			first = min(first, c.first)
		}
	}
	for q, c := range t.groups {
		if q.device == "" {
			first = min(first, c.first)
		}
	}
	return t.Interval(first).Start
}

// Page returns the start of the page of intervals that an instant is in: what
// is known is kept page by page, a day of 5-minute intervals each.
func (t *Table) Page(at domain.Instant) domain.Instant {
	number, _ := place(t.SlotOf(at))
	return t.Interval(number * pageSlots).Start
}

// PageLength returns how long a page is.
func (t *Table) PageLength() domain.Duration { return pageSlots * t.Step }
