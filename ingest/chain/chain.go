// Package chain reads the Bitcoin network's difficulty and fees.
//
// A [Source] pages through the blocks of an explorer with mempool's REST
// interface, which an operator can host beside his own node. It uses one
// endpoint of it, in two forms, as mempool's source has them
// (backend/src/api/bitcoin/bitcoin.routes.ts, backend/src/api/blocks.ts and
// backend/src/mempool.interfaces.ts):
//
//	GET /api/v1/blocks           the 15 newest blocks, newest first
//	GET /api/v1/blocks/{height}  the 15 blocks from height down
//
// Of each block it reads id, previousblockhash, height, timestamp (seconds),
// bits (the compact target as an integer), extras.totalFees and extras.reward
// (satoshi). The "difficulty" beside them is a float and is passed over: bits
// say it exactly.
//
// What a block explorer says is checked as far as the blocks allow: they must
// link to each other, carry one target through each epoch of 2016 blocks, meet
// it by their ids, keep their times above the median of the eleven blocks
// before, and pay no more than subsidy and fees. See [Decode] for what is
// concluded from them.
//
// [ReadCheckpoints] and [ReadDifficulty] read files.
package chain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"wattbook/domain"
	"wattbook/ingest"
)

// Decoder is the name of the decoder of this package, as deliveries name it.
const Decoder = "blocks/1"

const (
	// pageBlocks is how many blocks a page has. Below the newest, pages are
	// asked for at multiples of it, so that no block is asked for twice.
	pageBlocks = 15
	// pagesPerDay bounds what a poll asks for: a day has about ten pages, and
	// never had four times that.
	pagesPerDay = 40
	// maxAhead is how far a block's time may be ahead of the clock for the
	// network to accept it (MAX_FUTURE_BLOCK_TIME of Bitcoin Core).
	maxAhead = 2 * domain.Hour
	// stale is the age of the newest block that is worth a warning.
	stale = 6 * domain.Hour
)

// Config describes a source of blocks.
type Config struct {
	Name  domain.SourceID
	Every domain.Duration // how often the explorer is asked

	// URL is where the explorer is, without /api: "https://mempool.example".
	URL string

	// Confirmations is how many blocks lie on top of the newest one that is
	// believed; 0 means 6. What is concluded is final: the book takes no second
	// value for the difficulty of a height or the fees of a day.
	Confirmations int

	// Days is how many finished days are delivered when one more has finished;
	// 0 means 2. With more than 1, what was lost on its way into the book is
	// delivered again a day later.
	Days int

	Client *http.Client
	Now    func() domain.Instant
	Logger *slog.Logger
}

// Source is a source of difficulty and fees.
//
// It asks for one page as a rule, and for about ten more once a day. A poll
// delivers nothing, and keeps no evidence, unless a day has finished or the
// difficulty has changed since the poll before.
type Source struct {
	c      Config
	client *http.Client
	pages  map[int64][]byte // pages below the newest blocks, by their lowest height

	at            domain.Instant // boundary of the last poll that delivered
	before, after delivered      // what was delivered before and after it
}

// delivered says how far the deliveries of a source have got.
type delivered struct {
	days  domain.Instant // end of the last day
	epoch int64          // the last epoch; 0 if none
}

var _ ingest.Source = (*Source)(nil)

// NewSource returns a source of difficulty and fees.
func NewSource(c Config) (*Source, error) {
	if c.Confirmations == 0 {
		c.Confirmations = 6
	}
	if c.Days == 0 {
		c.Days = 2
	}
	u, err := url.Parse(c.URL)
	switch {
	case domain.CheckID("name", c.Name) != nil:
		err = domain.CheckID("name", c.Name)
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "":
		err = errors.New("url is not of the form https://host")
	case c.Every <= 0:
		err = fmt.Errorf("polling interval %s is not positive", c.Every)
	case c.Confirmations < 0 || c.Confirmations > 100:
		err = fmt.Errorf("confirmations %d are not between 1 and 100", c.Confirmations)
	case c.Days < 0 || c.Days > 31:
		err = fmt.Errorf("days %d are not between 1 and 31", c.Days)
	case c.Client == nil || c.Now == nil || c.Logger == nil:
		err = errors.New("client, clock and logger are required")
	}
	if err != nil {
		return nil, fmt.Errorf("block source %s: %w", c.Name, err)
	}
	c.URL = strings.TrimSuffix(c.URL, "/")
	return &Source{c: c, client: withoutRedirects(c.Client), pages: map[int64][]byte{}}, nil
}

// Name implements [ingest.Source].
func (s *Source) Name() domain.SourceID { return s.c.Name }

// Every implements [ingest.Source].
func (s *Source) Every() domain.Duration { return s.c.Every }

// Poll implements [ingest.Source]. It delivers what the blocks say now,
// whatever the boundary; a boundary that is polled again gets again what it
// got. Pages that contradict each other are part of the delivery, as rejected;
// it is an error if a page did not come.
func (s *Source) Poll(ctx context.Context, at domain.Instant) (ingest.Delivery, error) {
	base := s.after
	if at <= s.at {
		base = s.before
	}
	w := walk{s: s, pagesLeft: pagesPerDay * (s.c.Days + 2)}
	reached, err := w.run(ctx, base)
	d := ingest.Delivery{Source: s.c.Name, Observed: s.c.Now(), Decoder: Decoder}
	var bad *badBlocks
	switch {
	case errors.As(err, &bad):
		clear(s.pages) // which of the pages is wrong cannot be told
		d.Raw = bytes.Join(w.raw, []byte("\n"))
		d.Rejected = []ingest.Rejection{{Reason: err.Error()}}
		return d, nil
	case err != nil:
		return ingest.Delivery{}, err
	case reached == base:
		return d, nil
	}
	d.Raw = bytes.Join(w.raw, []byte("\n"))
	d.Facts, d.Rejected = Decode(d.Raw, int64(s.c.Confirmations))
	s.at, s.before, s.after = at, base, reached
	return d, nil
}

// walk gathers the pages that one poll needs.
type walk struct {
	s         *Source
	pagesLeft int
	raw       [][]byte // the pages, in the order in which Decode wants them
	blocks    blocks
}

// run gathers what is new since base and returns how far that reaches. If
// nothing is new, that is base.
func (w *walk) run(ctx context.Context, base delivered) (delivered, error) {
	body, err := get(ctx, w.s.client, w.s.c.URL+"/api/v1/blocks", nil)
	if err != nil {
		return base, err
	}
	if err := w.add(body); err != nil {
		return base, err
	}
	tip := w.blocks.tip
	confirmed := tip - int64(w.s.c.Confirmations)
	newest, height := w.blocks.at[tip].time, tip
	for h, b := range w.blocks.at {
		if b.time > newest {
			newest, height = b.time, h
		}
	}
	switch now := w.s.c.Now(); {
	case newest > now.Add(maxAhead):
		return base, &badBlocks{fmt.Errorf("block %d has the time %s, further ahead of the clock, %s, than the network accepts; check both clocks", height, newest, now)}
	case newest < now.Add(-stale):
		w.s.c.Logger.Warn("block explorer is behind", "source", w.s.c.Name, "height", tip, "newest", newest)
	}
	if confirmed < 0 {
		return base, nil
	}
	reached := base
	lowest := confirmed
	// Only blocks from beyond a day can close it.
	if newest.Floor(domain.Day) > base.days {
		if lowest, err = w.days(ctx, &reached, confirmed); err != nil {
			return base, err
		}
	}
	if epoch := confirmed / domain.RetargetInterval; reached.days != base.days || epoch != base.epoch {
		reached.epoch = epoch
		for e := lowest / domain.RetargetInterval; e <= epoch; e++ {
			if err := w.include(ctx, e*domain.RetargetInterval); err != nil {
				return base, err
			}
		}
	}
	return reached, nil
}

// days gathers the days that have finished, if one more has than reached
// says, moves reached and returns the lowest height that they have.
func (w *walk) days(ctx context.Context, reached *delivered, confirmed int64) (lowest int64, err error) {
	for {
		if median, ok := w.blocks.median(confirmed); ok {
			closed := median.Floor(domain.Day)
			if closed <= reached.days {
				return confirmed, nil
			}
			reached.days = closed
			break
		}
		if err := w.include(ctx, w.blocks.low-1); err != nil {
			return 0, err
		}
	}
	first := reached.days.Add(-domain.Day * domain.Duration(w.s.c.Days))
	for w.blocks.completeFrom() > first {
		if err := w.include(ctx, w.blocks.low-1); err != nil {
			return 0, err
		}
	}
	// The next day needs none below these.
	maps.DeleteFunc(w.s.pages, func(low int64, _ []byte) bool { return low+pageBlocks <= w.blocks.low })
	return w.blocks.low, nil
}

// include adds the page that holds the block at height, unless it is there.
func (w *walk) include(ctx context.Context, height int64) error {
	if _, ok := w.blocks.at[height]; ok {
		return nil
	}
	low := height / pageBlocks * pageBlocks
	if body, ok := w.s.pages[low]; ok {
		return w.add(body)
	}
	if w.pagesLeft--; w.pagesLeft < 0 {
		return fmt.Errorf("explorer has more than %d pages of blocks for %d days", pagesPerDay*(w.s.c.Days+2), w.s.c.Days)
	}
	top := low + pageBlocks - 1
	body, err := get(ctx, w.s.client, fmt.Sprintf("%s/api/v1/blocks/%d", w.s.c.URL, top), nil)
	if err != nil {
		return err
	}
	page, err := parsePage(body)
	if want := min(top, w.blocks.tip); err == nil && (page[0].height != want || page[len(page)-1].height != low) {
		err = fmt.Errorf("page of blocks from %d down holds %d to %d; want %d to %d", top, page[0].height, page[len(page)-1].height, want, low)
	}
	if err != nil {
		w.raw = [][]byte{body}
		return &badBlocks{err}
	}
	if top <= w.blocks.tip-int64(w.s.c.Confirmations) {
		w.s.pages[low] = body
	}
	return w.add(body)
}

func (w *walk) add(body []byte) error {
	w.raw = append(w.raw, body)
	page, err := parsePage(body)
	if err == nil {
		err = w.blocks.add(page)
	}
	if err != nil {
		return &badBlocks{err}
	}
	return nil
}

// badBlocks is an error of what the explorer says, not of reaching it.
type badBlocks struct{ err error }

func (b *badBlocks) Error() string { return b.err.Error() }
