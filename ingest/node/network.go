package node

import (
	"context"
	"fmt"
	"strconv"

	"wattbook/domain"
)

// told is what was delivered of the network.
type told struct {
	epoch int64          // height at which the last epoch begins, plus 1; 0 if none
	days  domain.Instant // end of the last day
}

// settling is how long after its end a day's blocks are all there: the time of
// a block may lie as far behind that of one before it.
const settling = 2 * domain.Hour

// fees returns the transaction fees of a block: what its coinbase pays beyond
// the subsidy.
func (b block) fees() (domain.Satoshi, error) {
	var sum domain.Satoshi
	for i, out := range b.transactions()[0].Outs {
		amount, err := satoshi(out.Value)
		if err != nil || amount < 0 {
			return 0, fmt.Errorf("output %d of the coinbase of block %s: %w", i, b.Hash, err)
		}
		sum += amount
	}
	return max(0, sum-domain.Subsidy(b.Height)), nil
}

// state delivers the difficulty of the epochs that were walked and the fees of
// the days that were walked whole.
func (w *walk) state(ctx context.Context) error {
	top := w.bottom + int64(len(w.walked)) - 1
	first := w.network.epoch - 1 + domain.RetargetInterval
	if w.network.epoch == 0 {
		first = w.bottom / domain.RetargetInterval * domain.RetargetInterval
	}
	for n := first; n <= top; n += domain.RetargetInterval {
		b, raw, err := w.block(ctx, n)
		if err != nil {
			return err
		}
		bits, err := strconv.ParseUint(b.Bits, 16, 32)
		if err != nil || len(b.Bits) != 8 {
			return &badBlock{fmt.Errorf("block %s has the bits %.40q", b.Hash, b.Bits), raw}
		}
		w.facts = append(w.facts, domain.DifficultyAdjusted{Height: n, At: domain.Unix(b.Time), Bits: domain.Bits(bits)})
		w.raw = append(w.raw, raw)
		w.network.epoch = n + 1
	}
	newest := w.walked[0].time
	for _, l := range w.walked {
		newest = max(newest, l.time)
	}
	day := max(w.network.days, w.walked[0].time.Add(settling+domain.Day-1).Floor(domain.Day))
	for ; day.Add(domain.Day+settling) <= newest; day = day.Add(domain.Day) {
		f := domain.BlockFeesPublished{Interval: domain.Interval{Start: day, End: day.Add(domain.Day)}}
		for _, l := range w.walked {
			if f.Interval.Contains(l.time) {
				f.Blocks++
				f.Fees += l.fees
			}
		}
		w.facts = append(w.facts, f)
		w.network.days = f.Interval.End
	}
	return nil
}
