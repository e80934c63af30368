// Package miner reads the work of ASIC miners over the cgminer-family API.
//
// Miners are asked for their "summary" on TCP port 4028, one connection for
// one request. Of the reply, two quantities are taken: the share difficulty
// that the pool accepted, which is what a miner earns by, and the hashes that
// the firmware says it did, which is what its energy is compared with. How
// far a firmware can be believed about its hashes depends on its [Dialect].
//
// Everything that miners said is kept as it came; see [Poll.Format]. What is
// delivered is decoded from that, so decoding it again, by [Decode], gives
// the same.
package miner

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"wattbook/domain"
	"wattbook/ingest"
)

// Config describes a group of miners that are polled together.
type Config struct {
	Name   domain.SourceID
	Every  domain.Duration // time between polls: whole seconds, at most [EveryLimit]
	Miners []Miner         // at least one, at most [MinerLimit]
	// Timeout bounds one miner's answer, from the dial to the last byte; 0
	// means 5 s. A group that is switched off takes Timeout × miners /
	// Parallel to poll: keep it below the time that the collector gives.
	Timeout time.Duration
	// Parallel is how many miners are asked at the same time; 0 means 32.
	Parallel int
	// Now says when a poll was finished.
	Now func() domain.Instant
}

// Miner is one address that answers for a miner, or a rack of them.
type Miner struct {
	Device  domain.DeviceID
	Address string // host and port; the port is 4028 as a rule
	Dialect Dialect
}

// Source polls a group of miners. It implements [ingest.Source].
type Source struct {
	config Config
	dialer net.Dialer
}

var _ ingest.Aligned = (*Source)(nil)

// New returns the source of a group of miners.
func New(c Config) (*Source, error) {
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	if c.Parallel == 0 {
		c.Parallel = 32
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("miners %s: %w", c.Name, err)
	}
	// A connection lives for one request: probes to keep it alive are calls
	// to the kernel for nothing.
	return &Source{config: c, dialer: net.Dialer{KeepAlive: -1}}, nil
}

func (c Config) check() error {
	switch {
	case len(c.Miners) == 0 || len(c.Miners) > MinerLimit:
		return fmt.Errorf("a source has from 1 to %d miners, not %d; split the group", MinerLimit, len(c.Miners))
	case c.Timeout < 0 || c.Parallel < 0:
		return fmt.Errorf("timeout %s or parallel %d is negative", c.Timeout, c.Parallel)
	case c.Now == nil:
		return errors.New("there is no clock")
	}
	if err := errors.Join(domain.CheckID("source", c.Name), checkEvery(c.Every)); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, m := range c.Miners {
		if err := errors.Join(domain.CheckID("device", m.Device), checkAddress(m.Address)); err != nil {
			return err
		}
		if m.Dialect.String() == "" {
			return fmt.Errorf("device %s: miner dialect %d is not known", m.Device, m.Dialect)
		}
		// Work that is counted twice is paid for twice.
		for _, k := range []string{string(m.Device), m.Address} {
			if seen[k] {
				return fmt.Errorf("device %s: %s is there twice", m.Device, k)
			}
			seen[k] = true
		}
	}
	return nil
}

func checkEvery(d domain.Duration) error {
	if d <= 0 || d > EveryLimit || d%domain.Second != 0 {
		return fmt.Errorf("time between polls of %s is not a number of whole seconds up to %s", d, EveryLimit)
	}
	return nil
}

// checkAddress reports whether an address can be dialed and framed.
func checkAddress(s string) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" || port == "" || len(s) > 300 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("miner address %.60q is not a host and port such as 10.0.0.7:4028", s)
	}
	return nil
}

// Name returns the source's name.
func (s *Source) Name() domain.SourceID { return s.config.Name }

// Every returns the time between polls.
func (s *Source) Every() domain.Duration { return s.config.Every }

// Aligned implements [ingest.Aligned]: what is measured between two polls is
// of the time that ends at the boundary.
func (s *Source) Aligned() {}

// Poll asks every miner of the group. It is an error only if ctx was canceled,
// or if at is no boundary of the group from 1970 to 9999; miners that are not
// reached before the deadline of ctx are silent.
func (s *Source) Poll(ctx context.Context, at domain.Instant) (ingest.Delivery, error) {
	if at.Floor(s.config.Every) != at {
		return ingest.Delivery{}, fmt.Errorf("poll miners %s: %s is not a multiple of %s", s.config.Name, at, s.config.Every)
	}
	if _, err := domain.ParseInstant(at.String()); err != nil { // it could not be read back
		return ingest.Delivery{}, fmt.Errorf("poll miners %s: %w", s.config.Name, err)
	}
	p := Poll{At: at, Every: s.config.Every, Replies: make([]Reply, len(s.config.Miners))}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(s.config.Parallel, len(p.Replies)) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(p.Replies) {
					return
				}
				p.Replies[i] = s.ask(ctx, s.config.Miners[i])
			}
		})
	}
	wg.Wait()
	if err := ctx.Err(); errors.Is(err, context.Canceled) {
		return ingest.Delivery{}, fmt.Errorf("poll miners %s: %w", s.config.Name, err)
	}
	d, err := Decode(p.Format())
	if err != nil {
		return ingest.Delivery{}, fmt.Errorf("poll miners %s: %w", s.config.Name, err)
	}
	d.Source, d.Observed = s.config.Name, s.config.Now()
	return d, nil
}
