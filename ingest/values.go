package ingest

import (
	"context"
	"fmt"
	"iter"

	"wattbook/domain"
	"wattbook/domain/wire"
)

// values compares delivered values with what is booked.
func (p *plan) values(ctx context.Context, del Delivery) (rows []domain.Reading, bad []Rejection, err error) {
	if len(del.Values) == 0 {
		return nil, nil, nil
	}
	site, ok := p.door.registry.Site(p.round.Site)
	if !ok {
		return nil, []Rejection{{Reason: fmt.Sprintf("site %s is not registered", p.round.Site)}}, nil
	}
	var asked map[cell]domain.Int128
	covered := make([]bool, len(del.Values))
	booked := map[series]runs{} // by this delivery
	for i, v := range del.Values {
		k := series{p.round.Site, v.Device, v.Channel}
		covered[i] = p.door.booked[k].overlaps(v.Interval) || booked[k].overlaps(v.Interval)
		booked[k] = booked[k].add(v.Interval)
		if covered[i] {
			if asked == nil {
				asked = map[cell]domain.Int128{}
			}
			asked[cell{k, v.Interval}] = unknown
		}
	}
	if err := p.door.lookUp(ctx, asked); err != nil {
		return nil, nil, err
	}
	for i, v := range del.Values {
		r := domain.Reading{
			Device: v.Device, Channel: v.Channel, Interval: v.Interval, Value: v.Value,
			Provenance: v.Provenance, Mark: domain.MarkDelivered,
		}
		if err := p.door.fits(site, r); err != nil {
			bad = append(bad, Rejection{v.Device, err.Error()})
			continue
		}
		if del.Estimated {
			if covered[i] {
				p.report.Duplicates++
				continue
			}
			r.Mark = domain.MarkEstimated
		} else if covered[i] {
			k := series{p.round.Site, v.Device, v.Channel}
			switch known := asked[cell{k, v.Interval}]; {
			case p.door.estimated[k].covers(v.Interval):
				r.Mark = domain.MarkCorrected // of an estimate, whatever it said
			case known == v.Value:
				p.report.Duplicates++
				continue
			case del.Corrects:
				r.Mark = domain.MarkCorrected
			default:
				r.Mark = domain.MarkConflict
				if _, known := p.door.facts[contradiction(p.round.Site, r)]; known {
					p.report.Duplicates++
					continue
				}
			}
		}
		rows = append(rows, r)
	}
	return rows, bad, nil
}

// Fits reports why a value could not be booked at a site as a [*ValueError]:
// its device is not registered, its interval is not on the site's grid, or no
// such device can have counted it. The value's provenance does not matter.
func (d *Door) Fits(site domain.SiteID, v Value) error {
	registered, ok := d.registry.Site(site)
	if !ok {
		return fmt.Errorf("site %s is not registered", site)
	}
	return d.fits(registered, domain.Reading{
		Device: v.Device, Channel: v.Channel, Interval: v.Interval, Value: v.Value,
		Provenance: domain.ProvenanceSubMeter, Mark: domain.MarkDelivered,
	})
}

func (d *Door) fits(site domain.SiteRegistered, r domain.Reading) error {
	device, ok := d.registry.Device(site.Site, r.Device)
	switch {
	case !ok:
		return &ValueError{"device", fmt.Errorf("device %s is not registered at %s", r.Device, site.Site)}
	case r.Interval.Start.Floor(site.Step) != r.Interval.Start || r.Interval.End.Floor(site.Step) != r.Interval.End:
		return &ValueError{"start", fmt.Errorf("interval %s of %s is not a multiple of the site's step %s; begin and end intervals at multiples of it", r.Interval, r.Device, site.Step)}
	}
	if err := errOr(r.Validate(), possible(r, device)); err != nil {
		return &ValueError{"value", err}
	}
	return nil
}

// possible reports whether a device can physically have counted a delivered
// value.
func possible(r domain.Reading, d domain.DeviceRegistered) error {
	var limit domain.Int128
	switch r.Channel {
	case domain.ChannelGPUTime:
		limit = domain.Int(int64(r.Interval.Length()) / 1000) // milliseconds
	case domain.ChannelHashes:
		limit = d.RatedHashes.MulDiv(2*int64(r.Interval.Length()/domain.Second), 1)
	case domain.ChannelShares:
		return nil // bounded by luck alone
	default:
		limit = domain.Int(int64(d.RatedPower.Over(r.Interval.Length())) + 1)
	}
	if r.Value.Cmp(limit) > 0 {
		return fmt.Errorf("value %s of %s %s over %s is more than the device can do, %s", amount(r.Channel, r.Value), r.Device, r.Channel, r.Interval, amount(r.Channel, limit))
	}
	return nil
}

// amount writes a value in a unit that people use.
func amount(c domain.Channel, v domain.Int128) string {
	switch c {
	case domain.ChannelHashes:
		return v.String() + " hashes"
	case domain.ChannelGPUTime:
		return v.String() + " ms"
	case domain.ChannelShares:
		return v.String()
	}
	return domain.DecimalFromInt(v).Shift(-6).String() + " kWh"
}

// cell is an interval of a series.
type cell struct {
	series
	interval domain.Interval
}

// unknown marks a cell whose value is not on record as such: no reading has
// this value.
var unknown = domain.Int(-1)

// lookUp fills in the values of the cells that are on record, by reading the
// log once. Only a source that delivers the same interval again needs it.
func (d *Door) lookUp(ctx context.Context, cells map[cell]domain.Int128) error {
	if len(cells) == 0 {
		return nil
	}
	for batch, err := range d.batches(ctx) {
		if err != nil {
			return err
		}
		for _, row := range batch.Readings {
			k := cell{series{batch.Site, row.Device, row.Channel}, row.Interval}
			if _, ok := cells[k]; ok && row.Mark.Books() {
				cells[k] = row.Value
			}
		}
	}
	return nil
}

// registersAt returns the registers that are on record for a boundary, by
// reading the log once. Only a round that comes again after later ones needs
// it.
func (d *Door) registersAt(ctx context.Context, site domain.SiteID, at domain.Instant) (map[series]domain.Int128, error) {
	registers := map[series]domain.Int128{}
	for batch, err := range d.batches(ctx) {
		if err != nil {
			return nil, err
		}
		if batch.Site != site || batch.At != at {
			continue
		}
		for _, row := range batch.Readings {
			switch row.Mark {
			case domain.MarkSilent, domain.MarkConflict, domain.MarkDelivered, domain.MarkCorrected, domain.MarkEstimated:
			default:
				registers[series{site, row.Device, row.Channel}] = row.Register
			}
		}
	}
	return registers, nil
}

// batches yields the batches of readings on record.
func (d *Door) batches(ctx context.Context) iter.Seq2[domain.ReadingsRecorded, error] {
	return func(yield func(domain.ReadingsRecorded, error) bool) {
		for r, err := range d.log.ReadAll(ctx, 0) {
			if err == nil && r.Type != wire.ReadingsRecorded {
				continue
			}
			var rec domain.Recorded
			if err == nil {
				rec, err = wire.Open(r)
			}
			if err != nil {
				yield(domain.ReadingsRecorded{}, fmt.Errorf("look up old readings: %w", err))
				return
			}
			if !yield(rec.Event.(domain.ReadingsRecorded), nil) {
				return
			}
		}
	}
}
