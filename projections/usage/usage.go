// Package usage answers what each customer and each device used.
package usage

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"wattbook/domain"
	"wattbook/projections/facts"
)

// Row is what a customer used in one metering interval.
type Row struct {
	Interval domain.Interval
	Customer domain.CustomerID
	GPU      domain.GPUTime // allocated by the scheduler
}

// GPU yields what customers used of the site's GPUs, by interval and in it by
// customer. Intervals without use are left out.
func GPU(f *facts.Facts, id domain.SiteID, iv domain.Interval) iter.Seq[Row] {
	return func(yield func(Row) bool) {
		table := f.Table(id)
		if table == nil {
			return
		}
		first, end := table.Slots(iv)
		all := domain.Interval{Start: table.Interval(first).Start, End: table.Interval(end).Start}
		calendar := f.Calendar(id, all)
		for s := first; s < end; s++ {
			slot := table.Interval(s)
			var rows []Row
			for a := range calendar.During(slot) {
				if t := a.During(slot); t > 0 {
					i := slices.IndexFunc(rows, func(r Row) bool { return r.Customer == a.Customer })
					if i < 0 {
						i = len(rows)
						rows = append(rows, Row{Interval: slot, Customer: a.Customer})
					}
					rows[i].GPU += t
				}
			}
			slices.SortFunc(rows, func(a, b Row) int { return strings.Compare(string(a.Customer), string(b.Customer)) })
			for _, r := range rows {
				if !yield(r) {
					return
				}
			}
		}
	}
}

// Device is what a device counted over an interval.
type Device struct {
	domain.DeviceRegistered
	Energy  domain.Energy // counted by a meter, or by a GPU itself
	Hashes  domain.Hashes
	Shares  domain.ShareDifficulty
	GPU     domain.GPUTime // with a compute process
	Known   int64          // intervals in which any of its quantities is known
	Unknown int64          // and in which none is, though it was in service
}

// Devices returns what each device of the site counted, by name.
func Devices(f *facts.Facts, id domain.SiteID, iv domain.Interval) []Device {
	table := f.Table(id)
	if table == nil {
		return nil
	}
	first, end := table.Slots(iv)
	var all []Device
	for _, reg := range f.Devices(id) {
		d := Device{DeviceRegistered: reg}
		since, _ := f.Since(id, reg.Device)
		for s := first; s < end; s++ {
			if table.Interval(s).Start >= since {
				d.add(table, s)
			}
		}
		all = append(all, d)
	}
	return all
}

func (d *Device) add(table *facts.Table, s facts.Slot) {
	known := false
	sum := func(channel domain.Channel) domain.Int128 {
		c := table.Cell(d.Device, channel, s)
		known = known || c.State != facts.Unknown
		return c.Value
	}
	small := func(channel domain.Channel) int64 { v, _ := sum(channel).Int64(); return v }
	switch d.Kind {
	case domain.KindMeter:
		d.Energy += domain.Energy(small(domain.ChannelEnergyImport))
	case domain.KindMiner:
		d.Shares.Int128 = d.Shares.Add(sum(domain.ChannelShares))
		d.Hashes.Int128 = d.Hashes.Add(sum(domain.ChannelHashes))
	case domain.KindGPU:
		d.Energy += domain.Energy(small(domain.ChannelGPUEnergy))
		d.GPU += domain.GPUTime(small(domain.ChannelGPUTime))
	}
	if known {
		d.Known++
	} else {
		d.Unknown++
	}
}

// Digest is the digest of a site's usage over an interval.
func Digest(f *facts.Facts, id domain.SiteID, iv domain.Interval) domain.Digest {
	var d domain.Digester
	for r := range GPU(f, id, iv) {
		fmt.Fprintln(&d, r.Interval, r.Customer, int64(r.GPU))
	}
	for _, v := range Devices(f, id, iv) {
		fmt.Fprintln(&d, v.Device, int64(v.Energy), v.Hashes, v.Shares, int64(v.GPU), v.Known, v.Unknown)
	}
	return d.Digest()
}
