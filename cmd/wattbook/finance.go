package main

import (
	"context"
	"errors"
	"log/slog"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/projections"
	"wattbook/projections/facts"
	"wattbook/queries/warehouse"
)

// finance publishes the warehouse beside ingestion: it follows the log with
// facts of its own, so that no poll ever waits for a publication.
type finance struct {
	publisher *warehouse.Publisher
	log       eventlog.Log
	facts     *facts.Facts
	logger    *slog.Logger
	asked     chan struct{}
	cancel    context.CancelFunc
	ended     chan struct{}
}

// startFinance opens the warehouse of a data folder and publishes it whenever
// it is asked to.
func startFinance(f folder, log eventlog.Log, now func() domain.Instant, logger *slog.Logger) (*finance, error) {
	p, err := warehouse.Open(warehouse.Config{Dir: f.warehouse(), Now: now, Logger: logger})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	v := &finance{
		publisher: p, log: log, facts: facts.New(), logger: logger,
		asked: make(chan struct{}, 1), cancel: cancel, ended: make(chan struct{}),
	}
	go func() {
		defer close(v.ended)
		for {
			select {
			case <-ctx.Done():
				return
			case <-v.asked:
			}
			// What cannot be published now is made up for later: the log is
			// the truth, and ingestion goes on.
			if err := v.publish(ctx); err != nil && ctx.Err() == nil {
				logger.Error("the warehouse was not published and will be tried again", "err", err)
			}
		}
	}()
	return v, nil
}

// ask asks for a publication of what the log holds by now. It does not wait;
// while one is being made, one more is remembered.
func (v *finance) ask() {
	select {
	case v.asked <- struct{}{}:
	default:
	}
}

func (v *finance) publish(ctx context.Context) error {
	if _, err := projections.Fold(ctx, v.log, v.facts.Next, projections.Head, v.facts); err != nil {
		return err
	}
	_, err := v.publisher.Publish(ctx, v.log, v.facts)
	return err
}

// end publishes once more and closes the warehouse. A publication in hand is
// given up for it.
func (v *finance) end(ctx context.Context) error {
	v.cancel()
	<-v.ended
	return errors.Join(v.publish(ctx), v.publisher.Close())
}

// abandon closes the warehouse as it was last published.
func (v *finance) abandon() error {
	v.cancel()
	<-v.ended
	return v.publisher.Close()
}
