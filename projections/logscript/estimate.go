package logscript

import (
	"errors"
	"fmt"

	"wattbook/domain"
	"wattbook/projections/estimation"
)

// playEstimate estimates what is missing of a meter from what is known: the
// event that says how, and readings with the values, of one evidence.
func (p *Player) playEstimate(w *words) error {
	r := reader{p: p}
	meter, in, method := domain.DeviceID(w.plain[1]), r.interval(w.plain[2]), domain.EstimateMethod(w.plain[3])
	f, err := p.Facts()
	if err = errors.Join(r.err, err); err != nil {
		return err
	}
	values, err := estimation.Of(f, p.site, meter, in, method)
	if err != nil {
		return err
	}
	if len(values) == 0 {
		return fmt.Errorf("nothing of %s is missing in %s", meter, in)
	}
	origin := domain.Origin{Source: "estimate", Observed: p.now, Evidence: domain.DigestOf(fmt.Append(nil, "estimate", p.played))}
	made := domain.ReadingsEstimated{
		Site: p.site, Device: meter, Channel: domain.ChannelEnergyImport, Method: method, Intervals: int64(len(values)), AsOf: f.Next,
		Interval: domain.Interval{Start: values[0].Interval.Start, End: values[len(values)-1].Interval.End},
		By:       w.key("by", "ana"), Reason: w.key("reason", "fuse"), Origin: origin,
	}
	batch := domain.ReadingsRecorded{Site: p.site, At: made.Interval.End, Origin: origin}
	for _, v := range values {
		made.Value = made.Value.Add(domain.Int(int64(v.Energy)))
		batch.Readings = append(batch.Readings, domain.Reading{
			Device: meter, Channel: made.Channel, Interval: v.Interval, Value: domain.Int(int64(v.Energy)), Mark: domain.MarkEstimated, Provenance: domain.ProvenanceEstimated,
		})
	}
	if err := p.append("facts-script", batch); err != nil {
		return err
	}
	return p.append("facts-script", made)
}
