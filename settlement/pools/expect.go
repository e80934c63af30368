package pools

import (
	"fmt"
	"math/big"

	"wattbook/domain"
	"wattbook/projections/facts"
)

// Expectation is what accepted work should earn, before any rounding, in
// satoshi. Where the pool pays by the blocks that it finds, it is the mean.
type Expectation struct {
	Shares    domain.ShareDifficulty
	Base      *big.Rat // subsidy for the work
	Fees      *big.Rat // transaction fees for the work
	Fee       *big.Rat // what the pool may keep of both
	PerBlock  *big.Rat // fees per block at the start
	Subsidies []Epoch
	Missing   int64 // intervals in which no miner reported
	// Provisional is true while the fees of the day's blocks are not published
	// and those of the last day before it stand in.
	Provisional bool
	// Variance is that of what is paid around the mean: 0 where the pool bears
	// the luck, and nil if the pool's size is not known.
	Variance *big.Rat

	agreed domain.Decimal // fee at the start
}

// Epoch is the work done under one network difficulty and one version of the
// pool's terms.
type Epoch struct {
	Interval domain.Interval
	Bits     domain.Bits
	Subsidy  domain.Satoshi
	Scheme   domain.Scheme
	Shares   domain.ShareDifficulty
	Portion  *big.Rat // of a block
}

// exact returns what should arrive, before rounding.
func (e Expectation) exact() *big.Rat {
	sum := new(big.Rat).Add(e.Base, e.Fees)
	return sum.Sub(sum, e.Fee)
}

// Net returns what should arrive, rounded down to whole satoshi.
func (e Expectation) Net() domain.Satoshi { return domain.FloorSatoshi(e.exact()) }

// FeePortion returns the portion that the pool may keep: the agreed fee, or
// where that changes within the time, the mean over the work.
func (e Expectation) FeePortion() *big.Rat {
	gross := new(big.Rat).Add(e.Base, e.Fees)
	if gross.Sign() == 0 {
		return e.agreed.Rat()
	}
	return gross.Quo(e.Fee, gross)
}

// lucky reports whether a part of the expectation, which is its base or its
// fees, is paid by the blocks that the pool finds.
func (e Expectation) lucky(part *big.Rat) bool {
	for _, epoch := range e.Subsidies {
		one := big.NewRat(1, 1)
		if part == e.Base && epoch.Scheme.Lucky(one, new(big.Rat)).Sign() > 0 ||
			part == e.Fees && epoch.Scheme.Lucky(new(big.Rat), one).Sign() > 0 {
			return true
		}
	}
	return false
}

// sigma returns the standard deviation in whole satoshi, rounded up; 0 if
// there is none, or if it is not known.
func (e Expectation) sigma() domain.Satoshi {
	if e.Variance == nil || e.Variance.Sign() == 0 {
		return 0
	}
	_, high := domain.Sigma(e.Variance, 0)
	v, _ := high.Scaled(0)
	return domain.Satoshi(v.Int64())
}

// implausible says that the luck of a day is more than luck explains, or that
// this cannot be told; or nothing.
func (e Expectation) implausible(r domain.Reconciliation) string {
	for _, l := range r.Lines {
		if l.Cause != domain.CauseLuck {
			continue
		}
		if e.Variance == nil {
			return "the pool's size is not known: luck cannot be told from loss; give pool_petahash_per_second"
		}
		if e.Variance.Sign() == 0 { // no work: what is paid is for that of earlier days
			return ""
		}
		off := ratOf(l.Satoshi)
		off.Mul(off, off)
		if off.Cmp(new(big.Rat).Mul(e.Variance, big.NewRat(9, 1))) <= 0 {
			continue
		}
		times, _ := domain.Sigma(off.Quo(off, e.Variance), 1)
		if l.Satoshi > 0 {
			return fmt.Sprintf("the pool pays %s sigma less than the mean: bad luck does not explain it", times.Fixed(1))
		}
		return fmt.Sprintf("the pool pays %s sigma more than the mean: good luck does not explain it", times.Fixed(1))
	}
	return ""
}

// Expect prices the accepted share difficulty of an interval, epoch by epoch.
// Work in a metering interval in which the difficulty or the terms change is
// split by time. Work earns the fees of the blocks of its own UTC day, and its
// epoch the subsidy of its height. It is an error if the difficulty or the fees
// are not known.
func Expect(f *facts.Facts, a Account, iv domain.Interval) (Expectation, error) {
	table := f.Table(a.Site)
	if table == nil {
		return Expectation{}, fmt.Errorf("expect revenue of %s: the site is not registered", a.Site)
	}
	e := Expectation{Base: new(big.Rat), Fees: new(big.Rat), Fee: new(big.Rat), Variance: new(big.Rat)}
	terms, _, _ := a.at(f, iv.Start)
	e.agreed = terms.Fee
	for _, part := range a.split(f, iv) {
		if err := e.epoch(f, a, table, iv, part); err != nil {
			return Expectation{}, fmt.Errorf("expect revenue of %s: %w", a.Site, err)
		}
	}
	return e, nil
}

// epoch adds the work of a part of an interval in which neither the
// difficulty nor the terms change.
func (e *Expectation) epoch(f *facts.Facts, a Account, table *facts.Table, iv, part domain.Interval) error {
	d, ok := f.Difficulty(part.Start)
	if !ok {
		return fmt.Errorf("the network's difficulty is not known at %s", part.Start)
	}
	terms, site, works := a.at(f, part.Start)
	scheme, err := domain.ParseScheme(terms.Scheme)
	if err != nil {
		return err
	}
	epoch := Epoch{Interval: part, Bits: d.Bits, Subsidy: domain.Subsidy(d.Height), Scheme: scheme, Portion: new(big.Rat)}
	lucky := new(big.Rat) // before the fee
	for _, day := range days(part) {
		perBlock, exact, ok := f.FeesPerBlock(day.Start)
		if !ok {
			return fmt.Errorf("the fees of blocks are not known at %s", day.Start)
		}
		if e.PerBlock == nil {
			e.PerBlock = perBlock
		}
		e.Provisional = e.Provisional || !exact
		var shares domain.ShareDifficulty
		if works {
			var missing int64
			shares, missing = workOver(table, site, terms, iv, day)
			e.Missing += missing
		}
		portion := domain.WorkPortion(shares, d.Bits)
		base, fees, fee, err := domain.Earned(portion, epoch.Subsidy, perBlock, terms)
		if err != nil {
			return err
		}
		lucky.Add(lucky, scheme.Lucky(base, fees))
		e.Base.Add(e.Base, base)
		e.Fees.Add(e.Fees, fees)
		e.Fee.Add(e.Fee, fee)
		epoch.Shares.Int128 = epoch.Shares.Add(shares.Int128)
		epoch.Portion.Add(epoch.Portion, portion)
	}
	e.Shares.Int128 = e.Shares.Add(epoch.Shares.Int128)
	e.Subsidies = append(e.Subsidies, epoch)
	if lucky.Sign() == 0 || e.Variance == nil {
		return nil
	}
	lucky.Mul(lucky, new(big.Rat).Sub(big.NewRat(1, 1), terms.Fee.Rat()))
	variance := domain.BlocksVariance(lucky, domain.PoolBlocks(terms.Hashrate, part.Length(), d.Bits))
	if variance == nil {
		e.Variance = nil
		return nil
	}
	e.Variance.Add(e.Variance, variance)
	return nil
}

// days cuts an interval at midnight UTC.
func days(iv domain.Interval) (all []domain.Interval) {
	for iv.Valid() {
		end := min(iv.End, iv.Start.Floor(domain.Day).Add(domain.Day))
		all = append(all, domain.Interval{Start: iv.Start, End: end})
		iv.Start = end
	}
	return all
}

// workOver sums the accepted difficulty that an account gets over a part of an
// interval, and counts the metering intervals in which none reported: one in
// two parts counts once.
func workOver(table *facts.Table, site domain.SiteRegistered, terms domain.PoolTerms, iv, part domain.Interval) (shares domain.ShareDifficulty, missing int64) {
	first, end := table.SlotOf(part.Start), table.SlotOf(part.End-1)+1
	for s := first; s < end; s++ {
		slot := table.Interval(s)
		in := slot.Overlap(part)
		work, reported := table.AccountWork(site, terms, domain.ChannelShares, s)
		if reported == 0 && in.Start == max(slot.Start, iv.Start) {
			missing++
		}
		// A part of a slot takes the work up to its end less the work up
		// to its start, so that the parts sum to the slot's.
		upTo := func(t domain.Instant) domain.Int128 {
			return work.MulDiv(int64(t.Sub(slot.Start)), int64(slot.Length()))
		}
		shares.Int128 = shares.Add(upTo(in.End).Sub(upTo(in.Start)))
	}
	return shares, missing
}
