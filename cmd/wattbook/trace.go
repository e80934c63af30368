package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"wattbook/domain"
	"wattbook/domain/wire"
	"wattbook/ingest/evidence"
	"wattbook/projections/balance"
	"wattbook/projections/facts"
	"wattbook/projections/usage"
)

func traceVerb() verb {
	return verb{
		name: "trace", args: "DEVICE --at TIME [--site SITE]",
		summary: "walk a figure back to the reply that it comes from",
		help: `
Shows every reading of a device that is about a moment, the later versions of a
corrected one among them: the event that holds it, who measured it, how the
register moved, the decoder that read it and the digest of the raw reply. The
version that counts is marked with an asterisk. Then it shows what the figure
went into: the balance or the usage of the interval, and the invoices.

Example: wattbook trace c1 --at 2026-10-14T17:35Z`,
		run: trace,
	}
}

func trace(ctx context.Context, p *program, args []string) error {
	var at, site string
	p.flags.StringVar(&at, "at", "", "`time`, such as 2026-10-14T17:35Z")
	p.flags.StringVar(&site, "site", "", "`site`; needed if the log holds several")
	rest, err := p.parse(args, 1, 1)
	if err != nil {
		return err
	}
	if at == "" {
		return usagef("--at is missing: name the moment, such as 2026-10-14T17:35Z")
	}
	t, err := domain.ParseInstant(at)
	if err != nil {
		return usagef("--at: %v", err)
	}
	return p.withBook(ctx, func(b *book) error {
		reg, err := b.siteNamed(site)
		if err != nil {
			return err
		}
		r, err := b.trace(ctx, p, reg, domain.DeviceID(rest[0]), t)
		if err != nil {
			return err
		}
		if p.common.json {
			return p.printJSON(r)
		}
		r.print(p.stdout)
		return nil
	})
}

// traced is what is known of a device in an interval, and where from.
type traced struct {
	Site     domain.SiteID     `json:"site"`
	Device   domain.DeviceID   `json:"device"`
	Kind     domain.DeviceKind `json:"kind"`
	Model    string            `json:"model"`
	Interval domain.Interval   `json:"interval"`
	Readings []tracedReading   `json:"readings"`
	Went     []string          `json:"went_into"`
}

// tracedReading is one version of a reading.
type tracedReading struct {
	Channel    string          `json:"channel"`
	Interval   domain.Interval `json:"interval"`
	Value      domain.Int128   `json:"value"`
	Unit       string          `json:"unit"`
	Register   domain.Int128   `json:"register"`
	Mark       string          `json:"mark"`
	Provenance string          `json:"provenance"`
	Counts     bool            `json:"counts"`
	Position   domain.Position `json:"position"`
	Row        int             `json:"row"`
	Event      domain.EventID  `json:"event"`
	Recorded   domain.Instant  `json:"recorded_at"`
	Source     domain.SourceID `json:"source"`
	Observed   domain.Instant  `json:"observed"`
	Decoder    string          `json:"decoder"`
	Evidence   domain.Digest   `json:"evidence_digest"`
	Kept       bool            `json:"evidence_kept"` // its bytes are there
	channel    domain.Channel
	mark       domain.Mark
}

// trace finds the readings of a device that are about a moment.
func (b *book) trace(ctx context.Context, p *program, site domain.SiteRegistered, id domain.DeviceID, t domain.Instant) (*traced, error) {
	device, ok := b.facts.Device(site.Site, id)
	if !ok {
		var known []string
		for _, d := range b.facts.Devices(site.Site) {
			known = append(known, string(d.Device))
		}
		return nil, fmt.Errorf("device %s is not registered at %s; did you mean %s?", id, site.Site, nearest(string(id), known))
	}
	start := t.Floor(site.Step)
	r := &traced{
		Site: site.Site, Device: id, Kind: device.Kind, Model: device.Model, Went: []string{}, Readings: []tracedReading{},
		Interval: domain.Interval{Start: start, End: start.Add(site.Step)},
	}
	if err := b.readingsOf(ctx, p, r); err != nil {
		return nil, err
	}
	if len(r.Readings) == 0 {
		return nil, b.unread(r, b.now())
	}
	err := p.withEvidence(b.logFolder, func(store *evidence.Store) error {
		for i, v := range r.Readings {
			if v.Evidence.IsZero() {
				continue
			}
			_, err := store.Get(ctx, v.Evidence)
			if r.Readings[i].Kept = err == nil; err != nil && !errors.Is(err, evidence.ErrNotKept) {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, errNoEvidence) {
		err = nil // the log came without it
	}
	b.went(r, device)
	return r, err
}

// readingsOf reads the log for what is about the interval.
func (b *book) readingsOf(ctx context.Context, p *program, r *traced) error {
	show := p.patient()
	counts := map[domain.Channel]int{} // the version that counts
	for rec, err := range b.log.ReadAll(ctx, 0) {
		if err != nil {
			return err
		}
		show(int64(rec.Position)+1, int64(b.facts.Next))
		if rec.Type != wire.ReadingsRecorded {
			continue
		}
		opened, err := wire.Open(rec)
		if err != nil {
			return err
		}
		batch := opened.Event.(domain.ReadingsRecorded)
		if batch.Site != r.Site {
			continue
		}
		for i, row := range batch.Readings {
			if row.Device != r.Device || !concerns(row.Interval, r.Interval) {
				continue
			}
			if row.Mark.Books() {
				counts[row.Channel] = len(r.Readings)
			}
			r.Readings = append(r.Readings, tracedReading{
				Channel: row.Channel.String(), Interval: row.Interval, Value: row.Value, Unit: unitOf(row.Channel), Register: row.Register,
				Mark: row.Mark.String(), Provenance: row.Provenance.String(), Position: rec.Position, Row: i, Event: rec.ID,
				Recorded: rec.RecordedAt, Source: batch.Origin.Source, Observed: batch.Origin.Observed, Decoder: batch.Origin.Decoder,
				Evidence: batch.Origin.Evidence, channel: row.Channel, mark: row.Mark,
			})
		}
	}
	for _, i := range counts {
		r.Readings[i].Counts = true
	}
	slices.SortStableFunc(r.Readings, func(a, b tracedReading) int { return int(a.channel) - int(b.channel) })
	return nil
}

// concerns reports whether a reading is about an interval. One that books
// nothing has an empty interval, at the boundary that was observed.
func concerns(reading, iv domain.Interval) bool {
	if reading.Valid() {
		return reading.Overlap(iv).Valid()
	}
	return iv.Start < reading.Start && reading.Start <= iv.End
}

// unread says why no reading of a device is about the interval.
func (b *book) unread(r *traced, now domain.Instant) error {
	why := "none is on record: what it counted then is unknown"
	since, ok := b.facts.Since(r.Site, r.Device)
	switch {
	case r.Interval.Start >= now:
		why = "the interval is in the future"
	case !ok:
		why = "it has none at all"
	case r.Interval.End <= since:
		why = fmt.Sprintf("its first one is for %s", since)
	case r.Interval.Start >= b.facts.Reached(r.Site):
		why = fmt.Sprintf("the book reaches to %s", b.facts.Reached(r.Site))
	}
	return fmt.Errorf("there is no reading of %s for %s to %s: %s", r.Device, r.Interval.Start, r.Interval.End, why)
}

// went says what the readings went into.
func (b *book) went(r *traced, device domain.DeviceRegistered) {
	table, add := b.facts.Table(r.Site), func(format string, args ...any) { r.Went = append(r.Went, fmt.Sprintf(format, args...)) }
	slot := table.SlotOf(r.Interval.Start)
	if site, _ := b.facts.Site(r.Site); device.Kind == domain.KindMeter {
		for row := range balance.Rows(b.facts, r.Site, r.Interval) {
			part := fmt.Sprintf("not a part of it: it hangs on %s", device.Under)
			if device.Device == site.RevenueMeter {
				part = fmt.Sprintf("the revenue meter, %s", row.State)
			}
			for _, branch := range row.Branches {
				if branch.Meter == device.Device {
					part = fmt.Sprintf("a branch of it with %s, %s", branch.Energy, branch.State)
				}
			}
			add("balance of the interval: revenue meter %s = branches %s + losses %s + residual %s; this device is %s", row.Revenue, row.Metered, row.Losses, row.Residual, part)
		}
	}
	for _, channel := range []domain.Channel{domain.ChannelHashes, domain.ChannelShares} {
		if c := table.Cell(device.Device, channel, slot); c.State != facts.Unknown {
			all := table.Total(channel, slot)
			add("mining work of the site: %s of %s by %d devices, %s", figure(channel, c.Value), figure(channel, all.Value), all.Reported, c.State)
		}
	}
	if device.Kind == domain.KindGPU && device.Host != "" {
		for row := range usage.GPU(b.facts, r.Site, r.Interval) {
			add("GPU time of the interval is billed by the scheduler's allocations, not by readings: %s has %d ms at the site", row.Customer, int64(row.GPU))
		}
	}
	for _, id := range b.facts.Contracts(r.Site) {
		for _, term := range b.facts.InForce(id, r.Interval) {
			for _, c := range term.Charges {
				if slices.Contains(c.Meters, device.Device) {
					b.billed(id, c.ID, r.Interval, add)
				}
			}
		}
	}
	for _, closed := range b.facts.Periods() {
		if closed.Site == r.Site && closed.Interval.Overlap(r.Interval).Valid() {
			add("period %s, closed with what was known at position %d%s", closed.Period, closed.AsOf, r.before(closed.AsOf))
		}
	}
}

// before names the versions that counted at a position, where others do now.
func (r *traced) before(position domain.Position) string {
	then := map[domain.Channel]domain.Position{}
	later := false
	for _, v := range r.Readings {
		switch {
		case !v.mark.Books():
		case v.Position < position:
			then[v.channel] = v.Position
		default:
			later = true
		}
	}
	if !later {
		return ""
	}
	for _, v := range r.Readings {
		if v.Position == then[v.channel] && v.channel == domain.ChannelEnergyImport {
			return fmt.Sprintf("; what counted then is the %s reading at position %d", v.Mark, v.Position)
		}
	}
	return "; some of it was not known then"
}

// billed says which invoice a charge of the interval is on.
func (b *book) billed(id domain.ContractID, charge string, iv domain.Interval, add func(string, ...any)) {
	for _, i := range b.facts.Invoices() {
		if inv := i.Invoice; inv.Contract == id && inv.Interval.Overlap(iv).Valid() {
			add("charge %s of contract %s, on invoice %s, drawn at position %d", charge, id, inv.Number, inv.AsOf)
			return
		}
	}
	add("charge %s of contract %s, on no invoice yet", charge, id)
}

// print writes what was found.
func (r *traced) print(out io.Writer) {
	fmt.Fprintf(out, "%s of %s, %s, %s to %s\n", r.Device, r.Site, strings.TrimSpace(string(r.Kind)+" "+r.Model), r.Interval.Start, r.Interval.End)
	channel := ""
	for _, v := range r.Readings {
		if v.Channel != channel {
			channel = v.Channel
			fmt.Fprintf(out, "\n%s\n", channel)
		}
		mark := " "
		if v.Counts {
			mark = "*"
		}
		fmt.Fprintf(out, "%s %s  %s, %s", mark, figure(v.channel, v.Value), v.Mark, v.Provenance)
		if v.Interval != r.Interval && v.Interval.Valid() {
			fmt.Fprintf(out, ", over %s to %s", v.Interval.Start, v.Interval.End)
		}
		fmt.Fprintf(out, "\n    row %d of event %s at position %d, recorded at %s\n", v.Row, v.Event, v.Position, v.Recorded)
		register := ""
		if v.mark != domain.MarkDelivered && v.mark != domain.MarkCorrected { // those come without one
			register = fmt.Sprintf(", register %s", v.Register)
		}
		fmt.Fprintf(out, "    from %s, observed at %s%s, read by %s\n", v.Source, v.Observed, register, v.Decoder)
		switch {
		case v.Evidence.IsZero():
			fmt.Fprintf(out, "    it names no evidence\n")
		case v.Kept:
			fmt.Fprintf(out, "    evidence %s\n", v.Evidence)
		default:
			fmt.Fprintf(out, "    evidence %s, whose bytes are not kept here\n", v.Evidence)
		}
	}
	fmt.Fprintf(out, "\nIt went into\n")
	for _, w := range r.Went {
		fmt.Fprintf(out, "  %s\n", w)
	}
	for _, v := range r.Readings {
		if v.Kept && v.Counts {
			fmt.Fprintf(out, "\nSee the raw reply with\n  wattbook evidence show %s\n", v.Evidence.Short())
			break
		}
	}
}

// figure writes a value of a channel for people.
func figure(c domain.Channel, v domain.Int128) string {
	switch c {
	case domain.ChannelHashes:
		return group(v.String()) + " hashes"
	case domain.ChannelShares:
		return group(domain.DecimalFromInt(v).Shift(-8).String()) + " of share difficulty"
	case domain.ChannelGPUTime:
		return group(v.String()) + " ms"
	}
	return group(domain.DecimalFromInt(v).Shift(-6).String()) + " kWh"
}
