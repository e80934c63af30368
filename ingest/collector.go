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
	Now     func() domain.Instant
	Logger  *slog.Logger
}

// Collect polls every source that is due at the boundary, concurrently, and
// returns what they delivered in the order of Sources. A source that observed
// nothing at all is part of the round as rejected: it is unknown what it
// would have said, and that it was asked is on record.
func (c *Collector) Collect(ctx context.Context, at domain.Instant) (Round, error) {
	due := make([]*Delivery, len(c.Sources))
	var wg sync.WaitGroup
	for i, s := range c.Sources {
		if at.Floor(s.Every()) != at {
			continue
		}
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, c.Timeout)
			defer cancel()
			d, err := s.Poll(ctx, at)
			if err != nil {
				d = Delivery{Observed: c.Now(), Rejected: []Rejection{{Reason: fmt.Sprintf("poll: %v", err)}}}
			}
			d.Source = s.Name()
			due[i] = &d
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return Round{}, err // stopped half-way: whoever starts again polls the boundary anew
	}
	round := Round{Site: c.Site, At: at}
	for _, d := range due {
		if d != nil {
			round.Deliveries = append(round.Deliveries, *d)
		}
	}
	return round, nil
}
