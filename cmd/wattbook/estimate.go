package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"wattbook/domain"
	"wattbook/ingest"
	"wattbook/projections/estimation"
	"wattbook/projections/facts"
)

func estimateVerb() verb {
	return verb{
		name: "estimate", args: "METER --from TIME --to TIME --method METHOD --by NAME --reason WHY [--site SITE] [--dry-run]",
		summary: "estimate intervals that nobody read, by a named method",
		help: `
Estimates the intervals of a meter that are missing, so that their month can be
closed and billed. The values are on record with the method, who had them made
and why; they are marked as estimated wherever they count. A reading that is
imported later takes their place, and the next invoice run makes the notes of
it. Intervals that are known stay as they are.

The methods, of which each names the formula that it stands for:
  previous-day-same-interval  what the meter counted in the same interval of the
                              last of the 7 days before on which it was read
  mean-of-neighbours          the mean of the last interval before the gap and
                              the first after it, not more than a day away
  residual-of-balance         what the meter above it counted, without losses
                              (÷ 1 + loss portion), less the meters beside it
They rest on what was metered, never on another estimate. --dry-run shows the
values and what they rest on, and records nothing.

Example: wattbook estimate n4 --from 2026-10-14T12:00Z --to 2026-10-14T14:00Z
             --method mean-of-neighbours --by ana --reason "fuse blown"`,
		run: estimate,
	}
}

// estimateOptions are the flags of estimate.
type estimateOptions struct {
	from, to, method, by, reason, site string
	dryRun                             bool
}

func estimate(ctx context.Context, p *program, args []string) error {
	var o estimateOptions
	p.flags.StringVar(&o.from, "from", "", "start of the first `interval`: a time, such as 2026-10-14T12:00Z")
	p.flags.StringVar(&o.to, "to", "", "`end` of the last interval")
	p.flags.StringVar(&o.method, "method", "", "`method` by which to estimate")
	p.flags.StringVar(&o.by, "by", "", "`name` of who decides it")
	p.flags.StringVar(&o.reason, "reason", "", "`why` nothing was read")
	p.flags.StringVar(&o.site, "site", "", "`site`; needed if the log holds several")
	p.flags.BoolVar(&o.dryRun, "dry-run", false, "show the estimates, and record nothing")
	rest, err := p.parse(args, 1, 1)
	if err != nil {
		return err
	}
	var in domain.Interval
	if in.Start, err = domain.ParseInstant(o.from); err != nil {
		return usagef("--from: %v", err)
	}
	if in.End, err = domain.ParseInstant(o.to); err != nil {
		return usagef("--to: %v", err)
	}
	switch {
	case !in.Valid():
		return usagef("--to %s is not after --from %s", in.End, in.Start)
	case !slices.Contains(domain.EstimateMethods(), domain.EstimateMethod(o.method)):
		return usagef("--method: %q is not a method; want one of %q", o.method, domain.EstimateMethods())
	case o.by == "" && !o.dryRun:
		return usagef("--by: say who decides it")
	case o.reason == "" && !o.dryRun:
		return usagef("--reason: say why nothing was read")
	}
	if o.dryRun {
		return p.withBook(ctx, func(b *book) error {
			e, err := estimateOf(b.facts, b, domain.DeviceID(rest[0]), in, o)
			if err != nil {
				return err
			}
			return e.print(p, "would be estimated; nothing is recorded")
		})
	}
	return p.withEngine(ctx, func(e *engine) error {
		found, err := estimateOf(e.facts, e.book, domain.DeviceID(rest[0]), in, o)
		if err != nil {
			return err
		}
		if err := e.estimate(ctx, found); err != nil {
			return err
		}
		return found.print(p, "estimated")
	})
}

// estimated is what is estimated, and on what it rests.
type estimated struct {
	domain.ReadingsEstimated
	Values []estimatedValue `json:"values"`
}

type estimatedValue struct {
	Start  domain.Instant `json:"start"`
	Energy domain.Energy  `json:"energy_milliwatt_hours"`
	Rests  []basis        `json:"rests_on"`
	end    domain.Instant
}

type basis struct {
	Meter  domain.DeviceID `json:"meter"`
	Start  domain.Instant  `json:"start"`
	Energy domain.Energy   `json:"energy_milliwatt_hours"`
}

// estimateOf draws the estimates of what is missing of a meter.
func estimateOf(f *facts.Facts, b *book, meter domain.DeviceID, in domain.Interval, o estimateOptions) (estimated, error) {
	site, err := b.siteNamed(o.site)
	if err != nil {
		return estimated{}, err
	}
	var meters []string
	for _, d := range f.Devices(site.Site) {
		if d.Kind == domain.KindMeter {
			meters = append(meters, string(d.Device))
		}
	}
	if !slices.Contains(meters, string(meter)) {
		return estimated{}, fmt.Errorf("%s has no meter %q; did you mean %s?", site.Site, meter, nearest(string(meter), meters))
	}
	for _, at := range []domain.Instant{in.Start, in.End} {
		if at.Floor(site.Step) != at {
			return estimated{}, fmt.Errorf("%s is not a multiple of the site's step %s; begin and end intervals at multiples of it", at, site.Step)
		}
	}
	if known := f.Recorded.Floor(site.Step); in.End > known {
		return estimated{}, fmt.Errorf("%s is not over in what is known, which reaches to %s; estimate what was", in, known)
	}
	values, err := estimation.Of(f, site.Site, meter, in, domain.EstimateMethod(o.method))
	if err != nil {
		return estimated{}, fmt.Errorf("%w; take another method, or import the reading", err)
	}
	if len(values) == 0 {
		return estimated{}, fmt.Errorf("nothing of %s is missing in %s: it is read, estimated already, or not in service yet", meter, in)
	}
	e := estimated{ReadingsEstimated: domain.ReadingsEstimated{
		Site: site.Site, Device: meter, Channel: domain.ChannelEnergyImport, Method: domain.EstimateMethod(o.method),
		Interval: domain.Interval{Start: values[0].Interval.Start, End: values[len(values)-1].Interval.End}, Intervals: int64(len(values)),
		AsOf: f.Next, By: o.by, Reason: o.reason, Origin: domain.Origin{Source: "estimate", Observed: b.now(), Decoder: o.method + "/1"},
	}}
	for _, v := range values {
		e.Value = e.Value.Add(domain.Int(int64(v.Energy)))
		row := estimatedValue{Start: v.Interval.Start, Energy: v.Energy, end: v.Interval.End}
		for _, b := range v.Rests {
			row.Rests = append(row.Rests, basis{b.Meter, b.At, b.Energy})
		}
		e.Values = append(e.Values, row)
	}
	return e, nil
}

// estimate records estimates: the values, and who had them made. Its evidence
// is what they rest on.
func (e *engine) estimate(ctx context.Context, made estimated) error {
	raw, err := json.MarshalIndent(made, "", "  ")
	if err != nil {
		return err
	}
	d := ingest.Delivery{
		Source: made.Origin.Source, Observed: made.Origin.Observed, Decoder: made.Origin.Decoder, Raw: raw, Estimated: true, Facts: ingest.Facts{made.ReadingsEstimated},
	}
	for _, v := range made.Values {
		d.Values = append(d.Values, ingest.Value{
			Device: made.Device, Channel: made.Channel, Provenance: domain.ProvenanceEstimated,
			Interval: domain.Interval{Start: v.Start, End: v.end}, Value: domain.Int(int64(v.Energy)),
		})
	}
	before := e.recorded
	e.recorded = ingest.Report{Marks: map[domain.Mark]int{}}
	err = e.publish(ctx, made.Site, d)
	got := e.recorded
	e.recorded = before
	e.recorded.Add(got)
	if err == nil && (got.Rejected > 0 || got.Marks[domain.MarkEstimated] != len(made.Values)) {
		err = fmt.Errorf("of %s, %d were recorded and %d refused; wattbook log says why", counted(len(made.Values), "estimate"), got.Marks[domain.MarkEstimated], got.Rejected)
	}
	return err
}

func (e estimated) print(p *program, what string) error {
	if p.common.json {
		return p.printJSON(e)
	}
	total, _ := e.Value.Int64()
	fmt.Fprintf(p.stdout, "%s of %s in %s: %s kWh by %s, %s\n", counted(int(e.Intervals), "interval"), e.Device, e.Interval, energyText(domain.Energy(total)), e.Method, what)
	for _, v := range e.Values {
		var rests []string
		for _, b := range v.Rests {
			rests = append(rests, fmt.Sprintf("%s kWh of %s at %s", energyText(b.Energy), b.Meter, b.Start))
		}
		fmt.Fprintf(p.stdout, "  %s  %12s kWh  from %s\n", v.Start, energyText(v.Energy), strings.Join(rests, ", "))
	}
	return nil
}

// energyText writes an amount of energy in kWh.
func energyText(e domain.Energy) string { return group(e.KilowattHours().String()) }
