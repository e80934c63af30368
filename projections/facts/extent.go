package facts

import (
	"slices"

	"wattbook/domain"
)

// Extent returns where anything is known of the site's meters or of its
// mining work: runs of whole pages of intervals, in order and apart from each
// other, none beyond [Table.End]. Who walks a site's intervals walks these,
// since one reading of another century must not cost the years in between.
func (t *Table) Extent() []domain.Interval {
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
	var runs []domain.Interval
	for _, n := range numbers {
		run := domain.Interval{Start: t.Interval(n * pageSlots).Start, End: min(t.Interval((n+1)*pageSlots).Start, t.End())}
		if last := len(runs) - 1; last >= 0 && runs[last].End == run.Start {
			runs[last].End = run.End
		} else {
			runs = append(runs, run)
		}
	}
	return runs
}
