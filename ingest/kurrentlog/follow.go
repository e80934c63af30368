package kurrentlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

const (
	// A page of physical events ends with whichever comes first.
	pageEvents = 512
	pageBytes  = 4 << 20

	// watchEvery is how often the subscription is looked at.
	watchEvery = 500 * time.Millisecond
)

// page is what one read of the physical stream gave.
type page struct {
	events []*esdb.RecordedEvent
	end    bool // the stream has no more
}

// page reads physical events, up to count of them.
func (l *Log) page(ctx context.Context, from uint64, count int) (page, error) {
	got, err := retry(ctx, l.super, "read "+l.cfg.Stream, func(ctx context.Context, c *esdb.Client) (page, error) {
		var got page
		s, err := c.ReadStream(ctx, l.cfg.Stream, esdb.ReadStreamOptions{From: esdb.Revision(from)}, uint64(count))
		if err != nil {
			return got, err
		}
		defer s.Close()
		for bytes := 0; bytes < pageBytes; {
			e, err := s.Recv()
			if errors.Is(err, io.EOF) {
				got.end = len(got.events) < count
				return got, nil
			}
			if err != nil {
				return got, err
			}
			if e.Event == nil {
				return got, errors.New("an answer has no event")
			}
			got.events = append(got.events, e.Event)
			bytes += len(e.Event.Data) + len(e.Event.UserMetadata)
		}
		return got, nil
	})
	switch classify(err) {
	case missing:
		return page{end: true}, nil
	case deleted:
		next, _, _, _ := l.view.state()
		return got, l.view.fail(next, err)
	}
	return got, err
}

// catchUp folds what the stream has beyond the view, and returns how many
// physical events that were.
func (l *Log) catchUp(ctx context.Context) (int, error) {
	for total := 0; ; {
		if err := l.view.failure(); err != nil {
			return total, err
		}
		next, _, _, _ := l.view.state()
		got, err := l.page(ctx, next, pageEvents)
		if err != nil {
			return total, err
		}
		for _, e := range got.events {
			if err := l.fold(e); err != nil {
				var gap *gapError
				if errors.As(err, &gap) {
					return total, l.view.fail(gap.want, fmt.Errorf("it is gone, and those up to %d with it", gap.got-1))
				}
				return total, err
			}
			total++
		}
		if got.end || len(got.events) == 0 {
			return total, nil
		}
	}
}

func (l *Log) fold(e *esdb.RecordedEvent) error {
	p, err := decode(e)
	if err != nil {
		next, _, _, _ := l.view.state()
		if e.EventNumber < next {
			return nil // it was folded before, and is damaged only as it came now
		}
		return l.view.fail(e.EventNumber, err)
	}
	return l.view.fold(p)
}

// follow keeps a subscription going until Close.
func (l *Log) follow() {
	defer close(l.followed)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-l.closing
		cancel()
	}()
	for attempt := 0; ; attempt++ {
		before := l.delivered.Load()
		err := l.subscribe(ctx)
		if ctx.Err() != nil || l.view.failure() != nil {
			return
		}
		if l.delivered.Load() > before {
			attempt = 0
		}
		l.cfg.Logger.Warn("log: the subscription ended and is made again", "err", err)
		if l.super.pause(ctx, attempt) != nil {
			return
		}
		// A read says what a subscription does not: that the stream is gone.
		if _, err := l.catchUp(ctx); err != nil && l.view.failure() != nil {
			return
		}
	}
}

// subscribe folds what a subscription brings until it ends, or until it is
// known to have missed something.
func (l *Log) subscribe(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events, ended, err := l.subscription(ctx)
	if err != nil {
		return err
	}
	tick := time.NewTicker(min(watchEvery, l.cfg.Timeout))
	defer tick.Stop()
	heard, confirmed := time.Now(), false
	seen, late := l.delivered.Load(), false
	for {
		select {
		case e := <-events:
			heard, confirmed = time.Now(), true
			if e == nil {
				continue
			}
			if err := l.deliver(ctx, e); err != nil {
				return err
			}
		case err := <-ended:
			return err
		case <-tick.C:
			next, _, _, _ := l.view.state()
			now := l.delivered.Load()
			behind := now < next && now == seen
			switch {
			case behind && late:
				return fmt.Errorf("subscribe to %s: nothing came, and the stream went on", l.cfg.Stream)
			case time.Since(heard) < l.cfg.Timeout:
			case !confirmed:
				return fmt.Errorf("subscribe to %s: there was no answer in %s", l.cfg.Stream, l.cfg.Timeout)
			default:
				if _, err := l.catchUp(ctx); err != nil {
					return err
				}
				heard = time.Now()
			}
			seen, late = now, behind
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// subscription subscribes behind what the view has, in a goroutine that passes
// on what comes: nil when the server confirms, then events.
func (l *Log) subscription(ctx context.Context) (<-chan *esdb.RecordedEvent, <-chan error, error) {
	c, err := l.super.take()
	if err != nil {
		return nil, nil, err
	}
	next, _, _, _ := l.view.state()
	l.delivered.Store(next)
	options := esdb.SubscribeToStreamOptions{From: esdb.Start{}}
	if next > 0 {
		options.From = esdb.Revision(next - 1)
	}
	events, ended := make(chan *esdb.RecordedEvent, 64), make(chan error, 1)
	go func() {
		var err error
		defer func() {
			if p := recover(); p != nil {
				err = &panicError{p}
			}
			l.super.put(c, errors.Join(errors.New("the subscription ended"), err))
			ended <- explain("subscribe to "+l.cfg.Stream, err)
		}()
		var s *esdb.Subscription
		if s, err = c.SubscribeToStream(l.super.outgoing(ctx), l.cfg.Stream, options); err != nil {
			return
		}
		defer s.Close()
		for pass := (*esdb.RecordedEvent)(nil); ; {
			select {
			case events <- pass:
			case <-ctx.Done():
				err = ctx.Err()
				return
			}
			e := s.Recv()
			if e.SubscriptionDropped != nil {
				err = e.SubscriptionDropped.Error
				return
			}
			if pass = nil; e.EventAppeared != nil {
				pass = e.EventAppeared.Event
			}
		}
	}()
	return events, ended, nil
}

// deliver folds an event of the subscription. What is missing before it is
// read.
func (l *Log) deliver(ctx context.Context, e *esdb.RecordedEvent) error {
	err := l.fold(e)
	var gap *gapError
	if errors.As(err, &gap) {
		_, err = l.catchUp(ctx)
	}
	if err == nil {
		l.delivered.Store(e.EventNumber + 1)
	}
	return err
}
