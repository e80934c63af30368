package pools

import (
	"fmt"
	"math/big"

	"wattbook/domain"
	"wattbook/projections/facts"
)

// Measures are the two measures of the same mining work: the difficulty of the
// shares that the pool accepted, by which it pays, and the hashes that the
// miners counted. They are summed over the metering intervals in which every
// miner that reported one also reported the other.
type Measures struct {
	Shares    domain.ShareDifficulty
	Hashes    domain.Hashes // counted
	Intervals int64         // that are in the sums
	Machines  int64         // that the miners stand for
	over      domain.Duration
}

// Compare sums both measures of an account's work over an interval.
func Compare(f *facts.Facts, a Account, iv domain.Interval) Measures {
	var m Measures
	table := f.Table(a.Site)
	if table == nil {
		return m
	}
	_, site, _ := a.at(f, iv.Start)
	for _, d := range f.Devices(a.Site) {
		if d.Kind == domain.KindMiner && f.WorksFor(site, d.Device).Name() == a.Terms.Name() {
			m.Machines += d.Units
		}
	}
	for _, part := range a.split(f, iv) {
		terms, site, works := a.at(f, part.Start)
		if !works {
			continue
		}
		for s := table.SlotOf(part.Start + domain.Instant(table.Step) - 1); table.Interval(s).Start < part.End; s++ {
			shares, reported := table.AccountWork(site, terms, domain.ChannelShares, s)
			hashes, counted := table.AccountWork(site, terms, domain.ChannelHashes, s)
			if reported == 0 || reported != counted {
				continue
			}
			m.Shares.Int128 = m.Shares.Add(shares)
			m.Hashes.Int128 = m.Hashes.Add(hashes)
			m.Intervals++
		}
	}
	m.over = table.Step * domain.Duration(m.Intervals)
	return m
}

// Off returns by which portion the hashes behind the shares are above those
// that were counted, rounded to a thousandth of a percent; nil if there is
// nothing to compare.
func (m Measures) Off() *domain.Decimal {
	if m.Hashes.Sign() <= 0 {
		return nil
	}
	r := new(big.Rat).SetFrac(m.Shares.Hashes().Sub(m.Hashes.Int128).Big(), m.Hashes.Big())
	d := domain.RoundRat(r, 5)
	return &d
}

const (
	// sharesPerMinute is the rate at which pools let a machine find shares; it
	// fixes how far luck takes the two measures apart.
	sharesPerMinute = 20
	// measureTolerance is the difference between the measures, in hundredths,
	// that counters of real machines show.
	measureTolerance = 2
)

// Alarm says that the measures part company: by more than 2 %, and by more
// than four times what luck explains, over a day or more. It is nothing where
// they agree or are too short to tell.
func (m Measures) Alarm() string {
	if m.over < domain.Day*9/10 || m.Hashes.Sign() <= 0 || m.Machines == 0 {
		return ""
	}
	off := new(big.Rat).SetFrac(m.Shares.Hashes().Sub(m.Hashes.Int128).Big(), m.Hashes.Big())
	square := new(big.Rat).Mul(off, off)
	// The relative variance of n shares is 1/n.
	n := big.NewRat(m.Machines*sharesPerMinute*int64(m.over/domain.Minute), 1)
	if square.Cmp(new(big.Rat).Quo(big.NewRat(16, 1), n)) <= 0 || square.Cmp(big.NewRat(measureTolerance*measureTolerance, 10_000)) <= 0 {
		return ""
	}
	word := "more"
	if off.Sign() < 0 {
		word = "less"
	}
	return fmt.Sprintf("accepted shares stand for %s %% %s work than the miners count: look for stale or rejected shares, or a counter that is off",
		domain.RoundRat(off.Abs(off), 4).Shift(2).Fixed(1), word)
}
