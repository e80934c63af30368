// Package market reads prices of power and of bitcoin.
//
// A [Feed] polls an HTTP address that answers with a list of prices in this
// form:
//
//	{
//	  "node": "hb_south", "currency": "USD", "unit": "MWh", "step": "15m",
//	  "prices": [
//	    {"start": "2026-10-01T00:00:00Z", "price": "41.27"},
//	    {"start": "2026-10-01T00:15:00Z", "price": -3.5, "revised": true}
//	  ]
//	}
//
// A price is what one unit costs over [start, start + step). It is a string or
// a JSON number, and in both cases a plain decimal without an exponent. Starts
// have any offset, are multiples of the step in UTC, and come in order, each
// at most once. What is missing, or null, is unknown: nothing is put in its
// place. "revised" says that the market restates a price that it published
// before. A list of bitcoin prices has no node, and its unit, if it names one,
// is "BTC". Fields that are not listed here are passed over.
//
// [ReadPowerPrices] and [ReadBitcoinPrices] read files.
package market

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"wattbook/domain"
	"wattbook/ingest"
)

// The decoders of this package, as deliveries name them.
const (
	PowerDecoder   = "power-price/1"
	BitcoinDecoder = "bitcoin-price/1"
)

// Config describes a feed.
type Config struct {
	Name  domain.SourceID
	Every domain.Duration // how often the feed is polled

	// URL is where the prices are. {start} and {end} in it stand for the
	// interval that is asked for, in RFC 3339.
	URL string
	// Header is sent with each request, for feeds that want a key. It may be
	// nil.
	Header http.Header

	Node     domain.NodeID // the settlement point; empty for bitcoin
	Currency domain.Currency
	Step     domain.Duration // the length of a price's interval

	// A poll for the boundary at asks for the intervals of Step that begin
	// from at − Lookback on and end by at + Lookahead. Looking back finds what
	// was published late; looking ahead finds day-ahead prices. Without
	// looking ahead only intervals that are over are asked for.
	Lookback, Lookahead domain.Duration

	// Revised makes the feed deliver the prices that are marked as revised, as
	// corrections, and nothing else; otherwise it delivers all the others. A
	// delivery says once for everything in it whether it corrects, so a feed
	// that revises needs two sources, with names of their own: then a price
	// that changes without being marked stays a conflict.
	Revised bool

	Client *http.Client
	Now    func() domain.Instant
	Logger *slog.Logger
}

// Feed is a source of prices.
type Feed struct {
	c       Config
	client  *http.Client
	bitcoin bool
}

var _ ingest.Source = (*Feed)(nil)

// NewPowerFeed returns a source of prices of energy per MWh.
func NewPowerFeed(c Config) (*Feed, error) {
	if err := domain.CheckID("node", c.Node); err != nil {
		return nil, fmt.Errorf("price feed %s: %w", c.Name, err)
	}
	return newFeed(c, false)
}

// NewBitcoinFeed returns a source of prices of one bitcoin.
func NewBitcoinFeed(c Config) (*Feed, error) {
	if c.Node != "" {
		return nil, fmt.Errorf("price feed %s: bitcoin has no node; remove %q", c.Name, c.Node)
	}
	return newFeed(c, true)
}

func newFeed(c Config, bitcoin bool) (*Feed, error) {
	f := &Feed{c: c, bitcoin: bitcoin}
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("price feed %s: %w", c.Name, err)
	}
	f.client = withoutRedirects(c.Client)
	return f, nil
}

func (c Config) validate() error {
	if err := domain.CheckID("name", c.Name); err != nil {
		return err
	}
	if _, err := domain.ParseCurrency(string(c.Currency)); err != nil {
		return err
	}
	u, err := url.Parse(address(c.URL, domain.Interval{}))
	switch {
	case err != nil:
		return errors.New("url does not parse") // without the url: it may hold a key
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("url is not of the form https://host/path, but has the scheme %q and the host %q", u.Scheme, u.Host)
	case c.Every <= 0:
		return fmt.Errorf("polling interval %s is not positive", c.Every)
	case c.Step <= 0:
		return fmt.Errorf("step %s is not positive", c.Step)
	case c.Lookback < 0 || c.Lookahead < 0 || c.Lookback+c.Lookahead < c.Step:
		return fmt.Errorf("lookback %s and lookahead %s do not span a step of %s", c.Lookback, c.Lookahead, c.Step)
	case c.Client == nil || c.Now == nil || c.Logger == nil:
		return errors.New("client, clock and logger are required")
	}
	return nil
}

// Name implements [ingest.Source].
func (f *Feed) Name() domain.SourceID { return f.c.Name }

// Every implements [ingest.Source].
func (f *Feed) Every() domain.Duration { return f.c.Every }

// Poll implements [ingest.Source]. A reply that cannot be understood is part
// of the delivery, as rejected; it is an error if there was no reply or the
// server refused.
func (f *Feed) Poll(ctx context.Context, at domain.Instant) (ingest.Delivery, error) {
	window := domain.Interval{
		Start: at.Add(f.c.Step - 1 - f.c.Lookback).Floor(f.c.Step), // rounded up
		End:   at.Add(f.c.Lookahead).Floor(f.c.Step),
	}
	if !window.Valid() { // no interval fits between two steps
		return ingest.Delivery{Source: f.c.Name, Observed: f.c.Now(), Decoder: f.decoder()}, nil
	}
	body, err := get(ctx, f.client, address(f.c.URL, window), f.c.Header)
	if err != nil {
		return ingest.Delivery{}, fmt.Errorf("prices of %s: %w", window, err)
	}
	d := ingest.Delivery{Source: f.c.Name, Observed: f.c.Now(), Decoder: f.decoder(), Raw: body, Corrects: f.c.Revised}
	d.Facts, d.Rejected = f.Decode(body)
	if len(d.Facts) == 0 && len(d.Rejected) == 0 && !f.c.Revised {
		f.c.Logger.Warn("feed has no prices", "source", f.c.Name, "interval", window)
	}
	return d, nil
}

func (f *Feed) decoder() string {
	if f.bitcoin {
		return BitcoinDecoder
	}
	return PowerDecoder
}

// address returns the url that asks for the interval.
func address(template string, iv domain.Interval) string {
	return strings.NewReplacer(
		"{start}", url.QueryEscape(iv.Start.String()),
		"{end}", url.QueryEscape(iv.End.String()),
	).Replace(template)
}
