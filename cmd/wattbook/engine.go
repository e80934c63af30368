package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/wire"
	"wattbook/ingest"
	"wattbook/ingest/bus"
	"wattbook/ingest/evidence"
	"wattbook/projections/allocation"
)

// engine records what a site's sources deliver, boundary after boundary, and
// decides what runs next.
type engine struct {
	*book
	mu        sync.Mutex // held by a round, and by a verb that runs between two
	site      domain.SiteRegistered
	evidence  *evidence.Store
	door      *ingest.Door
	bus       *bus.Bus
	collector *ingest.Collector
	stop      context.CancelFunc
	ended     chan error
	recorded  ingest.Report // sums over all rounds
	deciding  chan error    // answered when the last decision is durable; nil if it is

	failing atomic.Pointer[error] // why recording fails and is tried again; nil if it does not
}

// openEngine opens a data folder for writing. The collector has no sources
// yet; the site may not be registered yet.
func openEngine(ctx context.Context, s settings, now func() domain.Instant, logger *slog.Logger) (*engine, error) {
	b, err := openBook(ctx, s, now, logger)
	if err != nil {
		return nil, err
	}
	e := &engine{book: b, ended: make(chan error, 1), recorded: ingest.Report{Marks: map[domain.Mark]int{}}}
	if e.evidence, err = evidence.Open(b.folder.evidence(), logger); err != nil {
		return nil, errors.Join(err, b.close())
	}
	if e.door, err = ingest.OpenDoor(ctx, b.log, e.evidence, logger); err != nil {
		return nil, errors.Join(err, e.evidence.Close(), b.close())
	}
	broker := bus.InProcess(logger)
	e.bus, err = bus.New(bus.Config{
		Publisher: broker, Subscriber: broker, Topic: "rounds", Record: e.record, Park: e.door.Park, Logger: logger,
		Retrying: func(err error) { e.failing.Store(&err) },
	})
	if err != nil {
		return nil, errors.Join(err, e.evidence.Close(), b.close())
	}
	// The bus outlives the context, so that the round in hand is finished.
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	e.stop = cancel
	go func() { e.ended <- e.bus.Run(running) }()
	<-e.bus.Running()
	return e, nil
}

// alone runs something while no round is.
func (e *engine) alone(do func() error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return do()
}

// record is called by the bus, one round at a time.
func (e *engine) record(ctx context.Context, round ingest.Round) error {
	r, err := e.door.Record(ctx, round)
	if err != nil {
		return err
	}
	e.failing.Store(nil)
	e.logger.Debug("recorded", "site", round.Site, "at", round.At, "report", r.String())
	e.recorded.Add(r)
	return nil
}

// register records the site, its devices and its contracts, where they are
// new or changed.
func (e *engine) register(ctx context.Context, site domain.SiteID, events []domain.Event) error {
	if err := e.publish(ctx, site, ingest.Delivery{Source: "configuration", Observed: e.now(), Facts: events}); err != nil {
		return err
	}
	var ok bool
	if e.site, ok = e.facts.Site(site); !ok {
		return fmt.Errorf("register site %s: it was not accepted; see the warnings above", site)
	}
	return nil
}

// publish records one delivery outside the rounds of polling, and learns it.
func (e *engine) publish(ctx context.Context, site domain.SiteID, d ingest.Delivery) error {
	step := domain.Minute
	if s, ok := e.facts.Site(site); ok {
		step = s.Step
	}
	if err := e.decided(); err != nil { // the order of the log does not depend on chance
		return err
	}
	if err := e.send(ctx, ingest.Round{Site: site, At: e.now().Floor(step), Deliveries: []ingest.Delivery{d}}); err != nil {
		return err
	}
	return e.refresh(ctx)
}

// send gives a round to the bus and returns when it is recorded. What fails is
// tried again for as long as it takes; only when the context has ended is a
// round given up that cannot be recorded now.
func (e *engine) send(ctx context.Context, round ingest.Round) error {
	done := make(chan error, 1)
	go func() { done <- e.bus.Publish(ctx, round) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	t := time.NewTimer(lastAttempt)
	defer t.Stop()
	select {
	case err := <-done:
		return err
	case <-t.C:
	}
	reason := errors.New("recording takes too long")
	if failing := e.failing.Load(); failing != nil {
		reason = *failing
	}
	return fmt.Errorf("interrupted: the round of %s at %s is not on record: %w; see to it (%s) and start again: what was announced is on disk, and what registers counted meanwhile is read from them",
		round.Site, round.At, reason, e.folder)
}

// lastAttempt is how long a round may take to be recorded after the context
// has ended.
const lastAttempt = 3 * time.Second

// tick polls for a boundary, records the round, and decides what runs in the
// interval that begins there. When it returns, all of it is durable but a
// decision that switches nothing: that is waited for with the next poll, since
// nobody acts on it.
func (e *engine) tick(ctx context.Context, at domain.Instant) (domain.AllocationDecided, error) {
	round, err := e.collector.Collect(ctx, at)
	if err = errors.Join(err, e.decided()); err != nil {
		return domain.AllocationDecided{}, err
	}
	if err := e.send(ctx, round); err != nil {
		return domain.AllocationDecided{}, err
	}
	if err := e.refresh(ctx); err != nil {
		return domain.AllocationDecided{}, err
	}
	return e.decide(ctx, domain.Interval{Start: at, End: at.Add(e.site.Step)})
}

// decide records the allocation for an interval, unless one is on record.
func (e *engine) decide(ctx context.Context, iv domain.Interval) (domain.AllocationDecided, error) {
	if at, ok := e.facts.DecisionAt(e.site.Site, iv.Start); ok {
		return e.decision(ctx, at)
	}
	d, err := allocation.For(e.facts, e.site.Site, iv)
	if err != nil {
		return d, err
	}
	draft, err := wire.Draft(domain.EventIDOf("allocation", string(e.site.Site), iv.Start.String()), d, nil)
	if err != nil {
		return d, err
	}
	stream := eventlog.Stream("allocation-" + string(e.site.Site))
	deciding := make(chan error, 1)
	ctx = context.WithoutCancel(ctx) // what is under way is finished
	go func() {
		_, err := e.log.Append(ctx, eventlog.Write{Stream: stream, Expect: eventlog.Any, Events: []eventlog.Draft{draft}})
		if err != nil {
			err = fmt.Errorf("record the decision for %s: %w", iv, err)
			if errors.Is(err, syscall.ENOSPC) {
				err = fmt.Errorf("%w: the disk of %s is full; free some of it and start again: the readings of the round are on record, and the next one decides anew", err, e.folder)
			}
		}
		deciding <- err
	}()
	if e.deciding = deciding; switches(d) {
		err = e.decided()
	}
	return d, err
}

// decided waits for the decision that is being recorded, if one is.
func (e *engine) decided() error {
	if e.deciding == nil {
		return nil
	}
	err := <-e.deciding
	e.deciding = nil
	return err
}

// switches reports whether a decision starts or stops a load.
func switches(d domain.AllocationDecided) bool {
	on := map[domain.DeviceID]bool{}
	for _, l := range d.Inputs.Loads {
		on[l.Load] = l.On
	}
	return slices.ContainsFunc(d.Choices, func(c domain.LoadChoice) bool { return c.On != on[c.Load] })
}

// close finishes the round in hand and closes the folder.
func (e *engine) close() error {
	e.stop()
	err := e.decided()
	patience := 30 * time.Second
	if e.failing.Load() != nil {
		patience = time.Second // it will not end by itself
	}
	select {
	case ended := <-e.ended:
		err = errors.Join(err, ended)
	case <-time.After(patience):
		if e.failing.Load() != nil {
			return err // the folder stays locked until the process ends: something may still write to it
		}
		err = errors.Join(err, fmt.Errorf("recording did not end within %s", patience))
	}
	return errors.Join(err, e.evidence.Close(), e.book.close())
}
