package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"wattbook/domain"
	"wattbook/domain/wire"
	"wattbook/ingest/evidence"
	"wattbook/ingest/meter"
)

// registersAgainst notes where the registers of a meter are to be read in
// another way than those of its last reading in the book were: the raw reply
// that is kept says how it was understood. Of a meter that never replied, or
// whose replies are not kept any more, nothing is known. Nothing is wrong
// either where the device has another serial number now.
func (in *inspection) registersAgainst(ctx context.Context, p *program, b *book) error {
	err := p.withEvidence(b.logFolder, func(store *evidence.Store) error {
		for i, source := range in.root.at("sources").items() {
			if in.config.Sources[i].Type != "modbus" {
				continue
			}
			for j, item := range source.at("meters").items() {
				m := in.config.Sources[i].Meters[j]
				if in.exchanged(b, m.Device) {
					continue
				}
				was, when, err := b.lastUnderstood(ctx, store, in.config.Site.ID, m.Device)
				if err != nil {
					return err
				}
				if was != nil {
					item.at("registers").registersDiffer(m.Device, m.Registers, *was, when)
				}
			}
		}
		return nil
	})
	if errors.Is(err, errNoEvidence) {
		err = nil // the log came without it
	}
	in.sorted()
	return err
}

// exchanged reports whether the configuration says of other hardware than the
// book.
func (in *inspection) exchanged(b *book, id domain.DeviceID) bool {
	now, ok := in.device(id)
	known, registered := b.facts.Device(in.config.Site.ID, id)
	return ok && registered && now.Serial != "" && known.Serial != "" && now.Serial != known.Serial
}

// lastPolls is how many of a device's last events are looked at for one that is a
// reply: others were imported, or are estimates.
const lastPolls = 100

// lastUnderstood returns how the last reply of a meter that gave a reading was
// understood, and the end of its interval; nil if that is not known.
func (b *book) lastUnderstood(ctx context.Context, store *evidence.Store, site domain.SiteID, id domain.DeviceID) (*meter.Meter, domain.Instant, error) {
	table := b.facts.Table(site)
	since, ok := b.facts.Since(site, id)
	if table == nil || !ok {
		return nil, 0, nil
	}
	looked := map[domain.Position]bool{}
	for s := table.SlotOf(table.End()) - 1; s >= table.SlotOf(since) && len(looked) < lastPolls; s-- {
		for _, channel := range []domain.Channel{domain.ChannelEnergyImport, domain.ChannelEnergyExport} {
			cell := table.Cell(id, channel, s)
			if cell.State == 0 || looked[cell.Position] {
				continue
			}
			looked[cell.Position] = true
			was, err := b.understood(ctx, store, cell.Position, id)
			if was != nil || err != nil {
				return was, table.Interval(s).End, err
			}
		}
	}
	return nil, 0, nil
}

// understood returns how a meter's reply in an event was understood; nil if the
// event is of no reply of a meter, or its bytes are not kept.
func (b *book) understood(ctx context.Context, store *evidence.Store, at domain.Position, id domain.DeviceID) (*meter.Meter, error) {
	for r, err := range b.log.ReadAll(ctx, at) {
		if err != nil {
			return nil, err
		}
		rec, err := wire.Open(r)
		if err != nil {
			return nil, err
		}
		batch, ok := rec.Event.(domain.ReadingsRecorded)
		if !ok || batch.Origin.Decoder != meter.Decoder || batch.Origin.Evidence.IsZero() {
			return nil, nil
		}
		raw, err := store.Get(ctx, batch.Origin.Evidence)
		if errors.Is(err, evidence.ErrNotKept) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		all, err := meter.Meters(raw)
		if err != nil {
			return nil, fmt.Errorf("evidence %s of the event at position %d: %w", batch.Origin.Evidence.Short(), at, err)
		}
		for i := range all {
			if all[i].Device == id {
				return &all[i], nil
			}
		}
		return nil, nil
	}
	return nil, nil
}

// registersDiffer compares the registers that a configuration names with how
// they were understood before.
func (p place) registersDiffer(id domain.DeviceID, name string, was meter.Meter, when domain.Instant) {
	var differ []string
	switch {
	case name == "sunspec" && was.Map == nil:
		return
	case name == "sunspec":
		differ = []string{fmt.Sprintf("the map %s is sunspec here", was.Map.Name)}
	case was.Map == nil:
		differ = []string{fmt.Sprintf("sunspec is the map %s here", name)}
	default:
		now, err := registerMap(name)
		if err != nil {
			return // which is said
		}
		for _, d := range now.Differences(*was.Map) {
			key := d.Key
			if d.Channel != 0 {
				key += " of " + d.Channel.String()
			}
			differ = append(differ, fmt.Sprintf("%s was %s, and is %s here", key, d.Was, d.Now))
		}
	}
	if len(differ) > 0 {
		p.contradicts("%s has readings up to %s that were read otherwise: %s. If the meter was exchanged, write its new serial number at the device; if it is set up in another way since then, serve takes this from its next poll on; if the old registers were wrong, correct what was read by them: wattbook import readings FILE --corrects",
			id, when, strings.Join(differ, "; "))
	}
}
