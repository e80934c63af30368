package miner

import (
	"fmt"

	"wattbook/domain"
	"wattbook/ingest"
)

// hashUnit is how many hashes the unit of "Total MH" is here: it is written
// in megahashes with four digits after the point.
const hashUnit = 100

// elapsedLimit bounds "Elapsed", in seconds: no miner runs for 34 years.
const elapsedLimit = 1 << 30

// deliver decodes the replies of a poll.
func (p Poll) deliver() ingest.Delivery {
	d := ingest.Delivery{Decoder: decoder}
	for _, r := range p.Replies {
		p.reply(&d, r)
	}
	return d
}

// reply decodes one miner's reply into the delivery. What cannot be understood
// is rejected channel by channel: a miner whose hashes make no sense may well
// be right about its shares, which are what it is paid for.
func (p Poll) reply(d *ingest.Delivery, r Reply) {
	if len(r.Bytes) == 0 {
		for _, c := range []domain.Channel{domain.ChannelShares, domain.ChannelHashes} {
			d.Silent = append(d.Silent, ingest.Silence{Device: r.Device, Channel: c, Reason: r.Address + ": " + r.Failure})
		}
		return
	}
	reject := func(format string, args ...any) {
		d.Rejected = append(d.Rejected, ingest.Rejection{Device: r.Device, Reason: r.Address + ": " + fmt.Sprintf(format, args...)})
	}
	if r.Failure != "" {
		reject("partial reply of %d bytes: %s", len(r.Bytes), r.Failure)
		return
	}
	sum, err := parseSummary(r.Bytes)
	if err != nil {
		reject("%v", err)
		return
	}
	if r.Dialect == DialectAuto {
		if r.Dialect, err = sum.dialect(); err != nil {
			reject("%v", err)
			return
		}
	}
	elapsed, err := sum.elapsed()
	if err == nil && p.At < domain.Unix(elapsed) {
		err = fmt.Errorf("%q of %d s before %s is not a time since 1970", fieldNames[fieldElapsed], elapsed, p.At)
	}
	if err != nil {
		reject("%v", err)
		return
	}
	s := ingest.Sample{
		Device: r.Device, Provenance: domain.ProvenanceFirmwareMeasured,
		// The miner began to count Elapsed before the boundary, not before the
		// moment of the reply: the site's clock may be a simulated one, and
		// on a real one the seconds that a poll takes only make the start
		// earlier, which is harmless. It takes a later start than the last
		// boundary to mean a restart.
		Started: p.At - domain.Unix(elapsed),
	}
	shares, err := sum.fixed(fieldDifficultyAccepted, 8)
	if err != nil {
		reject("shares: %v", err)
	} else {
		s.Channel, s.Register, s.Scale = domain.ChannelShares, shares, ingest.Scale{Num: 1, Den: 1}
		d.Samples = append(d.Samples, s)
	}
	switch r.Dialect {
	case DialectLuxOS:
		v, err := sum.estimate(p.Every, elapsed)
		if err != nil {
			reject("hashes: %v", err)
			return
		}
		d.Values = append(d.Values, ingest.Value{
			Device: r.Device, Channel: domain.ChannelHashes, Provenance: domain.ProvenanceFirmwareEstimated,
			Interval: domain.Interval{Start: p.At.Add(-p.Every), End: p.At}, Value: v,
		})
	default:
		total, err := sum.total(r.Dialect, elapsed)
		if err != nil {
			reject("hashes: %v", err)
			return
		}
		s.Channel, s.Register, s.Scale = domain.ChannelHashes, total, ingest.Scale{Num: hashUnit, Den: 1}
		d.Samples = append(d.Samples, s)
	}
}

// elapsed returns the whole seconds since the miner's counters started from
// zero. WhatsMiner's "Uptime" is that of its control board, which outlives
// many starts of the mining program.
func (sum *summary) elapsed() (int64, error) {
	v, err := sum.fixed(fieldElapsed, 0)
	if err != nil {
		return 0, err
	}
	s, ok := v.Int64()
	if !ok || s > elapsedLimit {
		return 0, fmt.Errorf("%q is %s s; want at most %d", fieldNames[fieldElapsed], v, elapsedLimit)
	}
	return s, nil
}

// total returns "Total MH" in units of 100 hashes, after a check that it is
// what the dialect says: the sum of the work since Elapsed began.
func (sum *summary) total(dialect Dialect, elapsed int64) (domain.Int128, error) {
	total, err := sum.fixed(fieldTotalMH, 4)
	if err != nil {
		return total, err
	}
	// The average rate in the same unit per second, and 0.01 of its own unit,
	// to which it is rounded.
	average, places, rounding := fieldMHSAverage, 4, int64(100)
	if dialect == DialectAntminer {
		average, places, rounding = fieldGHSAverage, 7, 100_000
	}
	v, err := sum.fixed(average, places)
	if err != nil {
		return total, err
	}
	rate, ok := v.Int64()
	if !ok {
		return total, fmt.Errorf("%q is %s; no miner is as fast", fieldNames[average], sum.fields[average])
	}
	if agrees(total, rate, elapsed, rounding) {
		return total, nil
	}
	why := "it is not the work of that time"
	if off := total.Sub(domain.Int(rate)).Abs(); rate > 0 && off.Cmp(domain.Int(rate/10+rounding)) <= 0 {
		why = "this firmware's total looks like a rate; if it is LuxOS, set the dialect to luxos"
	}
	return total, fmt.Errorf("%q is %s after %d s at an average (%q) of %s: %s",
		fieldNames[fieldTotalMH], sum.fields[fieldTotalMH], elapsed, fieldNames[average], sum.fields[average], why)
}

// agrees reports whether a total of work agrees with an average rate over the
// time since both began. On firmware that counts, the two come from the same
// numbers, and agree to a thousandth in every reply recorded in the field;
// half that is allowed in the first ten minutes, when the start-up weighs
// most. A second of work is allowed besides, since Elapsed is whole seconds,
// and the rounding of the rate.
//
// The check tells a counter from a rate within seconds of a start, and must:
// the first sample after a restart is booked whole.
func agrees(total domain.Int128, rate, elapsed, rounding int64) bool {
	want := domain.Int(rate).MulDiv(elapsed, 1)
	tolerance := want.MulDiv(1, 2)
	if elapsed > 600 {
		tolerance = want.MulDiv(1, 1000)
	}
	tolerance = tolerance.Add(domain.Int(rate)).Add(domain.Int(rounding).MulDiv(elapsed, 1))
	return total.Sub(want).Abs().Cmp(tolerance) <= 0
}

// estimate returns the hashes of the last interval of a miner without a
// counter of hashes: LuxOS gives a rate for "Total MH". (In a reply recorded
// in the field it is 56917916.07 after 3453 s, with a "GHS av" of 56917.91.)
//
// The average since the start times Elapsed looks like a counter and is none:
// both are rounded and the average is not said to be over Elapsed, so the
// product of a miner that stands still for a dispatch moves up and down by as
// much as seconds of full work, and each fall would be a glitch. To
// estimate hashes from shares would say the same thing twice, and would hide
// what the second measure is for: work that was done and not accepted. So the
// work of an interval is the miner's own average rate over about that long,
// times its length, or times Elapsed where the miner started within it. The
// averages are exponential, not over the interval itself: a change of rate is
// spread over the next intervals, but not lost. And an interval without a
// reply has no value at all, where a counter would have caught up.
func (sum *summary) estimate(every domain.Duration, elapsed int64) (domain.Int128, error) {
	window := fieldGHS1m
	switch {
	case every >= 30*domain.Minute:
		window = fieldGHS30m
	case every >= 15*domain.Minute:
		window = fieldGHS15m
	case every >= 5*domain.Minute:
		window = fieldGHS5m
	}
	v, err := sum.fixed(window, 7) // in units of 100 hashes per second
	if err != nil {
		return v, err
	}
	rate, ok := v.Int64()
	if !ok {
		return v, fmt.Errorf("%q is %s; no miner is as fast", fieldNames[window], sum.fields[window])
	}
	seconds := min(int64(every/domain.Second), elapsed)
	return domain.Int(rate).MulDiv(seconds, 1).MulDiv(hashUnit, 1), nil
}
