package chain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"

	"wattbook/domain"
	"wattbook/ingest"
)

// medianSpan is how many blocks the median time is taken of (nMedianTimeSpan
// of Bitcoin Core). A block's time must be above the median of the blocks
// before it, so that median never falls.
const medianSpan = 11

// honest is how far above the median time of the chain a block's time may be
// for what is concluded here to hold. The network refuses blocks that are two
// hours ahead of its clock, and the median trails the clock by an hour or so;
// this leaves an hour more.
const honest = 4 * domain.Hour

// maxSupply bounds an amount of bitcoin.
const maxSupply = 21_000_000 * domain.Bitcoin

// block is what is read of a block.
type block struct {
	height   int64
	id       string
	previous string // empty for the first block of all
	time     domain.Instant
	bits     domain.Bits
	fees     domain.Satoshi
	priced   bool // the explorer knows the fees
}

// Decode draws facts from pages of blocks as the explorer sent them, one after
// the other. The first page holds the newest blocks.
//
// A block is believed if confirmations blocks or more lie on it. Where the
// first block of an epoch of 2016 is among those, its target is the network's
// difficulty from that height on. A UTC day's fees are those of the blocks
// whose times lie in it, and the day is finished when the median time of the
// eleven newest believed blocks has reached its end: consensus then leaves no
// time in that day to any block to come. All its blocks are there if the pages
// reach back, without a gap, to where the median time was four hours before
// the day.
//
// Pages that contradict each other, or the rules of the network, are rejected
// whole; a day with a block whose fees the explorer does not know is rejected
// alone.
func Decode(raw []byte, confirmations int64) (ingest.Facts, []ingest.Rejection) {
	var all blocks
	dec := json.NewDecoder(bytes.NewReader(raw))
	for {
		page, err := nextPage(dec)
		if err == io.EOF {
			break
		}
		if err == nil {
			err = all.add(page)
		}
		if err != nil {
			return nil, []ingest.Rejection{{Reason: err.Error()}}
		}
	}
	confirmed := all.tip - max(0, confirmations)
	if len(all.at) == 0 || confirmed < 0 {
		return nil, nil
	}
	facts := all.adjustments(confirmed)
	fees, rejected := all.fees(confirmed)
	return append(facts, fees...), rejected
}

// parsePage reads one page.
func parsePage(body []byte) ([]block, error) {
	if t := bytes.TrimLeft(body, " \t\r\n"); len(t) > 0 && t[0] == '<' {
		return nil, errors.New("reply is a web page, not a list of blocks")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	page, err := nextPage(dec)
	if err == io.EOF {
		return nil, errors.New("reply is empty")
	}
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("reply goes on after the list of blocks")
	}
	return page, nil
}

// sentBlock is a block in the explorer's form.
type sentBlock struct {
	ID        string  `json:"id"`
	Height    *int64  `json:"height"`
	Timestamp *int64  `json:"timestamp"`
	Bits      *uint32 `json:"bits"`
	Previous  string  `json:"previousblockhash"`
	Extras    *struct {
		TotalFees *domain.Satoshi `json:"totalFees"`
		Reward    *domain.Satoshi `json:"reward"`
	} `json:"extras"`
}

// nextPage reads the next list of blocks. At the end it returns io.EOF.
func nextPage(dec *json.Decoder) ([]block, error) {
	var sent []sentBlock
	switch err := dec.Decode(&sent); {
	case err == io.EOF:
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("reply is not a list of blocks: %w", err)
	case len(sent) == 0:
		return nil, errors.New("reply is a list without blocks")
	}
	page := make([]block, len(sent))
	for i, s := range sent {
		b, err := s.block()
		if err != nil {
			return nil, err
		}
		if i > 0 && b.height != page[i-1].height-1 {
			return nil, fmt.Errorf("page of blocks goes from height %d to %d", page[i-1].height, b.height)
		}
		page[i] = b
	}
	return page, nil
}

// block checks all that a block says by itself.
func (s sentBlock) block() (block, error) {
	if s.Height == nil || s.Timestamp == nil || s.Bits == nil {
		return block{}, errors.New("block has no height, timestamp or bits")
	}
	b := block{
		height: *s.Height, id: s.ID, previous: s.Previous,
		time: domain.Unix(*s.Timestamp), bits: domain.Bits(*s.Bits),
	}
	id, err := blockID(s.ID)
	if err != nil {
		return b, fmt.Errorf("block %d: %w", b.height, err)
	}
	target, err := b.bits.Target()
	if err != nil {
		return b, fmt.Errorf("block %d: %w", b.height, err)
	}
	switch {
	case b.height < 0 || b.height > 1<<32:
		return b, fmt.Errorf("block %d: no such height", b.height)
	case *s.Timestamp <= 0 || *s.Timestamp >= 1<<32: // 32 bits in the block's header
		return b, fmt.Errorf("block %d: no such timestamp as %d", b.height, *s.Timestamp)
	case id.Cmp(target) > 0:
		return b, fmt.Errorf("block %d: id %s does not meet the target of bits %08x", b.height, s.ID, uint32(b.bits))
	}
	if b.height == 0 {
		b.previous = ""
	} else if _, err := blockID(s.Previous); err != nil {
		return b, fmt.Errorf("block %d: previous block: %w", b.height, err)
	}
	if s.Extras == nil || s.Extras.TotalFees == nil {
		return b, nil
	}
	b.fees, b.priced = *s.Extras.TotalFees, true
	most := domain.Subsidy(b.height) + b.fees
	switch {
	case b.fees < 0 || b.fees > maxSupply:
		return b, fmt.Errorf("block %d: fees of %d sat cannot be", b.height, b.fees)
	case s.Extras.Reward != nil && *s.Extras.Reward > most:
		return b, fmt.Errorf("block %d: reward of %d sat is more than subsidy and fees, %d sat", b.height, *s.Extras.Reward, most)
	}
	return b, nil
}

// blockID reads a block's id as a number.
func blockID(s string) (*big.Int, error) {
	if len(s) != 64 || strings.Trim(s, "0123456789abcdef") != "" {
		return nil, fmt.Errorf("id %.70q is not 64 hexadecimal digits", s)
	}
	v, _ := new(big.Int).SetString(s, 16)
	return v, nil
}

// blocks are the blocks of some pages. Those from low to tip have no gap;
// others may lie below.
type blocks struct {
	at       map[int64]block // by height
	low, tip int64
	bits     map[int64]domain.Bits // by epoch
}

// add takes in a page, after checking it against what is there.
func (c *blocks) add(page []block) error {
	if c.at == nil {
		c.at = map[int64]block{}
		c.bits = map[int64]domain.Bits{}
		c.tip = page[0].height
		c.low = c.tip + 1
	}
	for _, b := range page {
		if known, ok := c.at[b.height]; ok {
			if !b.priced { // the explorer may have indexed it meanwhile, or not
				b.fees, b.priced = known.fees, known.priced
			} else if !known.priced {
				known.fees, known.priced = b.fees, b.priced
			}
			if known != b {
				return fmt.Errorf("block %d is told in two ways, with the ids %s and %s: the chain changed while it was read", b.height, known.id, b.id)
			}
		}
		if b.height > c.tip {
			return fmt.Errorf("block %d is above the newest, %d: the chain grew while it was read", b.height, c.tip)
		}
		epoch := b.height / domain.RetargetInterval
		if bits, ok := c.bits[epoch]; ok && bits != b.bits {
			return fmt.Errorf("block %d has bits %08x in an epoch of bits %08x", b.height, uint32(b.bits), uint32(bits))
		}
		c.at[b.height], c.bits[epoch] = b, b.bits
	}
	for _, b := range page {
		if err := c.links(b.height); err != nil {
			return err
		}
	}
	if err := c.links(page[0].height + 1); err != nil {
		return err
	}
	for ; c.low > 0; c.low-- {
		if _, ok := c.at[c.low-1]; !ok {
			break
		}
	}
	return c.timesRise(page[len(page)-1].height, page[0].height+medianSpan)
}

// links checks that the block at height follows the one below it, if both are
// there.
func (c *blocks) links(height int64) error {
	b, ok := c.at[height]
	below, okBelow := c.at[height-1]
	if ok && okBelow && b.previous != below.id {
		return fmt.Errorf("block %d follows %s, but block %d is %s: the chain changed while it was read", height, b.previous, height-1, below.id)
	}
	return nil
}

// timesRise checks the blocks of two heights and between against the median
// times below them, as far as those are known.
func (c *blocks) timesRise(from, to int64) error {
	for h := from; h <= to; h++ {
		b, ok := c.at[h]
		if !ok || h == 0 {
			continue
		}
		if median, ok := c.median(h - 1); ok && b.time <= median {
			return fmt.Errorf("block %d has the time %s, not after the median time %s of the blocks before", h, b.time, median)
		}
	}
	return nil
}

// median returns the median time of the block at height and the ten before
// it, if all are there. The first blocks of all have fewer before them.
func (c *blocks) median(height int64) (domain.Instant, bool) {
	var times []domain.Instant
	for h := height; h >= 0 && h > height-medianSpan; h-- {
		b, ok := c.at[h]
		if !ok {
			return 0, false
		}
		times = append(times, b.time)
	}
	if len(times) == 0 {
		return 0, false
	}
	slices.Sort(times)
	return times[len(times)/2], true
}

// completeFrom returns the instant from which on no block is missing: no block
// below low has a time after it.
func (c *blocks) completeFrom() domain.Instant {
	if c.low == 0 {
		return 0
	}
	median, ok := c.median(c.low + medianSpan - 1)
	if !ok {
		return c.at[c.tip].time.Add(honest)
	}
	return median.Add(honest)
}

// adjustments returns the difficulty of each epoch whose first block is there.
func (c *blocks) adjustments(confirmed int64) (facts ingest.Facts) {
	var heights []int64
	for h := range c.at {
		if h%domain.RetargetInterval == 0 && h <= confirmed {
			heights = append(heights, h)
		}
	}
	slices.Sort(heights)
	for _, h := range heights {
		facts = append(facts, domain.DifficultyAdjusted{Height: h, At: c.at[h].time, Bits: c.at[h].bits})
	}
	return facts
}

// fees returns the fees of each finished day that is there from end to end.
func (c *blocks) fees(confirmed int64) (facts ingest.Facts, rejected []ingest.Rejection) {
	median, ok := c.median(confirmed)
	if !ok {
		return nil, nil
	}
	from := c.completeFrom()
	if c.low == 0 {
		from = c.at[0].time.Floor(domain.Day) // no day before the first block
	}
	first := from.Add(domain.Day - 1).Floor(domain.Day)
	end := median.Floor(domain.Day)
	if end <= first {
		return nil, nil
	}
	days := make([]domain.BlockFeesPublished, end.Sub(first)/domain.Day)
	unknown := make([]int64, len(days)) // a height without fees, plus 1
	for h := c.low; h <= confirmed; h++ {
		b := c.at[h]
		if b.time < first || b.time >= end {
			continue
		}
		i := b.time.Sub(first) / domain.Day
		days[i].Blocks++
		days[i].Fees = min(days[i].Fees+b.fees, maxSupply+1) // which is refused below
		if !b.priced {
			unknown[i] = h + 1
		}
	}
	for i := range days {
		start := first.Add(domain.Day * domain.Duration(i))
		days[i].Interval = domain.Interval{Start: start, End: start.Add(domain.Day)}
		if unknown[i] > 0 {
			rejected = append(rejected, ingest.Rejection{Reason: fmt.Sprintf(
				"fees of %s: the explorer does not know those of block %d; let it index its blocks", days[i].Interval, unknown[i]-1)})
			continue
		}
		if days[i].Fees > maxSupply {
			rejected = append(rejected, ingest.Rejection{Reason: fmt.Sprintf("fees of %s are more than all bitcoin", days[i].Interval)})
			continue
		}
		facts = append(facts, days[i])
	}
	return facts, rejected
}
