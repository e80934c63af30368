package ingest

import (
	"slices"

	"wattbook/domain"
)

// series is a quantity of a device.
type series struct {
	site    domain.SiteID
	device  domain.DeviceID
	channel domain.Channel
}

// runs are the intervals of a series that are booked, in order, with adjacent
// ones joined: a device that never misses costs one run for ever.
type runs []domain.Interval

// overlaps reports whether any part of iv is booked.
func (r runs) overlaps(iv domain.Interval) bool {
	i := r.after(iv.Start)
	return i < len(r) && r[i].Start < iv.End
}

// after returns the index of the first run that ends after t.
func (r runs) after(t domain.Instant) int {
	i, _ := slices.BinarySearchFunc(r, t, func(run domain.Interval, t domain.Instant) int {
		if run.End <= t {
			return -1
		}
		return 1
	})
	return i
}

// add books iv, joining it with what it touches or overlaps.
func (r runs) add(iv domain.Interval) runs {
	if n := len(r); n > 0 && r[n-1].End == iv.Start { // the next reading, as almost always
		r[n-1].End = iv.End
		return r
	}
	from := r.after(iv.Start - 1) // a run that ends at iv.Start touches it
	to := from
	for to < len(r) && r[to].Start <= iv.End {
		iv.Start, iv.End = min(iv.Start, r[to].Start), max(iv.End, r[to].End)
		to++
	}
	return slices.Replace(r, from, to, iv)
}

// covers reports whether all of iv is booked.
func (r runs) covers(iv domain.Interval) bool {
	i := r.after(iv.Start)
	return i < len(r) && r[i].Start <= iv.Start && iv.End <= r[i].End
}

// remove takes iv out.
func (r runs) remove(iv domain.Interval) runs {
	if !r.overlaps(iv) {
		return r
	}
	var left runs
	for _, run := range r {
		for _, rest := range []domain.Interval{{Start: run.Start, End: min(run.End, iv.Start)}, {Start: max(run.Start, iv.End), End: run.End}} {
			if rest.Valid() {
				left = append(left, rest)
			}
		}
	}
	return left
}
