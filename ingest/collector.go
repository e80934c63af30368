package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"wattbook/domain"
)

// Collector asks the sources of a site for one boundary after another.
type Collector struct {
	Site    domain.SiteID
	Sources []Source
	// Timeout bounds the poll of one source: a device that hangs costs its own
	// readings, never those of others.
	Timeout time.Duration
	// Eager makes the first round ask every source, due or not: a service that
	// was just started shows at once what it cannot reach. A source that is
	// not due makes up for the boundary that it had last, but for an [Aligned]
	// one, which waits for its next.
	Eager  bool
	Now    func() domain.Instant
	Logger *slog.Logger

	begun bool
}

// Aligned is a source that measures over the time that ends at its boundary,
// so that it can only be asked there.
type Aligned interface {
	Source
	Aligned()
}

// stopping is how long Collect waits for sources that do not notice that the
// context has ended.
const stopping = 2 * time.Second

// Collect polls every source that is due at the boundary, concurrently, and
// returns what they delivered in the order of Sources. A source that observed
// nothing at all is part of the round as rejected: it is unknown what it
// would have said, and that it was asked is on record.
func (c *Collector) Collect(ctx context.Context, at domain.Instant) (Round, error) {
	due := make([]*Delivery, len(c.Sources))
	var wg sync.WaitGroup
	first := c.Eager && !c.begun
	for i, s := range c.Sources {
		boundary := at.Floor(s.Every())
		_, aligned := s.(Aligned)
		if boundary != at && (aligned || !first) {
			continue
		}
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, c.Timeout)
			defer cancel()
			d, err := s.Poll(ctx, boundary)
			if err != nil {
				d = Delivery{Observed: c.Now(), Rejected: []Rejection{{Reason: fmt.Sprintf("poll: %v", err)}}}
			}
			d.Source = s.Name()
			due[i] = &d
		})
	}
	if err := waitFor(ctx, &wg); err != nil {
		return Round{}, err // stopped half-way: whoever starts again polls the boundary anew
	}
	c.begun = true
	round := Round{Site: c.Site, At: at}
	for _, d := range due {
		if d != nil {
			round.Deliveries = append(round.Deliveries, *d)
		}
	}
	return round, nil
}

// waitFor waits for the sources. When the context has ended it waits a little
// longer and gives up those that hang.
func waitFor(ctx context.Context, wg *sync.WaitGroup) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		wg.Wait()
	}()
	select {
	case <-done:
	case <-ctx.Done():
		t := time.NewTimer(stopping)
		defer t.Stop()
		select {
		case <-done:
		case <-t.C:
		}
	}
	return ctx.Err()
}
