// Package availability answers for how long devices were there to be used.
package availability

import (
	"cmp"
	"fmt"
	"math/big"
	"slices"

	"wattbook/domain"
	"wattbook/projections/facts"
)

// Outage is a span in which a device reported nothing, without a break.
type Outage struct {
	Device   domain.DeviceID
	Interval domain.Interval
	Counted  domain.Duration // of it, outside maintenance; 0 if it was too short
}

// Availability is what devices were available for over an interval.
type Availability struct {
	Promised domain.Duration // device time in service, maintenance taken out
	Down     domain.Duration // of it, in outages that count
	Outages  []Outage        // all of them, by device and time
}

// Portion returns the available part of the promised time. Of no time, it is
// all.
func (a Availability) Portion() *big.Rat {
	if a.Promised <= 0 {
		return big.NewRat(1, 1)
	}
	return big.NewRat(int64(a.Promised-a.Down), int64(a.Promised))
}

// Counting returns how many outages count.
func (a Availability) Counting() (n int64) {
	for _, o := range a.Outages {
		if o.Counted > 0 {
			n++
		}
	}
	return n
}

// Of returns the availability of devices over an interval. A device is down in
// a metering interval in which none of its registers was read: what a later
// reading fills by an estimate stays an outage. It counts from when it went
// into service on. An outage whose part outside maintenance is shorter than
// minimum does not count. How a job ended does not matter, since devices are
// promised: where one failed, the job's failure is in its outage, and a device
// that reports all the time was there. It is an error if a device is not
// registered.
func Of(f *facts.Facts, site domain.SiteID, devices []domain.DeviceID, iv domain.Interval, maintenance []domain.Interval, minimum domain.Duration) (Availability, error) {
	return From(f, site, devices, iv, maintenance, minimum, func(d domain.DeviceID, in domain.Interval) []domain.Interval { return Silence(f, site, d, in) })
}

// From is [Of] with the silence of devices as somebody keeps it: that of an
// interval at least, as [Silence] returns it.
func From(f *facts.Facts, site domain.SiteID, devices []domain.DeviceID, iv domain.Interval, maintenance []domain.Interval, minimum domain.Duration,
	silence func(domain.DeviceID, domain.Interval) []domain.Interval,
) (Availability, error) {
	var a Availability
	if f.Table(site) == nil {
		return a, fmt.Errorf("availability: site %s is not registered", site)
	}
	maintenance = merged(maintenance)
	for _, d := range devices {
		since, ok := f.Since(site, d)
		if !ok {
			return a, fmt.Errorf("availability: device %s is not registered at %s", d, site)
		}
		in := domain.Interval{Start: max(iv.Start, since), End: iv.End}
		if !in.Valid() {
			continue
		}
		a.Promised += outside(in, maintenance)
		for _, down := range silence(d, in) {
			if down = down.Overlap(in); !down.Valid() {
				continue
			}
			o := Outage{Device: d, Interval: down}
			if t := outside(down, maintenance); t >= max(minimum, 1) {
				o.Counted = t
				a.Down += t
			}
			a.Outages = append(a.Outages, o)
		}
	}
	return a, nil
}

// Silence returns the spans of an interval in which a device of a site reported
// nothing, in order, none without a break after the one before it.
func Silence(f *facts.Facts, site domain.SiteID, d domain.DeviceID, iv domain.Interval) []domain.Interval {
	table := f.Table(site)
	if table == nil {
		return nil
	}
	var all []domain.Interval
	for t := iv.Start; t < iv.End; {
		s := table.SlotOf(t)
		part := table.Interval(s).Overlap(iv)
		if !read(table, d, s) {
			all = Join(all, part)
		}
		t = part.End
	}
	return all
}

// Join appends an interval to those that end before it begins: to the last one,
// if that ends where it begins.
func Join(all []domain.Interval, iv domain.Interval) []domain.Interval {
	if n := len(all); n > 0 && iv.Start <= all[n-1].End {
		all[n-1].End = max(all[n-1].End, iv.End)
		return all
	}
	return append(all, iv)
}

// read reports whether any register of a device was read in a slot.
func read(table *facts.Table, d domain.DeviceID, s facts.Slot) bool {
	for channel := domain.ChannelEnergyImport; channel <= domain.ChannelGPUTime; channel++ {
		if table.Cell(d, channel, s).State == facts.Metered {
			return true
		}
	}
	return false
}

// outside returns how long an interval is without its maintenance, which is
// merged.
func outside(iv domain.Interval, maintenance []domain.Interval) domain.Duration {
	length := iv.Length()
	for _, m := range maintenance {
		if part := iv.Overlap(m); part.Valid() {
			length -= part.Length()
		}
	}
	return length
}

// merged returns intervals in order, with those that touch put together.
func merged(all []domain.Interval) []domain.Interval {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b domain.Interval) int { return cmp.Compare(a.Start, b.Start) })
	var out []domain.Interval
	for _, iv := range all {
		out = Join(out, iv)
	}
	return out
}
