package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/projections"
	"wattbook/projections/facts"
	"wattbook/projections/scratch"
	"wattbook/queries/warehouse"
)

// finance publishes the warehouse beside ingestion: it follows the log with
// facts of its own, so that no poll ever waits for a publication.
type finance struct {
	dir       string
	mu        sync.Mutex // held by a publication
	publisher *warehouse.Publisher
	log       eventlog.Log
	facts     *facts.Facts
	area      *scratch.Area // in which they lie
	logger    *slog.Logger
	asked     chan struct{}
	cancel    context.CancelFunc
	ended     chan struct{}
}

// publishPause is how many times as long as a publication took the next one is
// put off, a minute at most.
const publishPause = 4

// inlineJoin is how many bytes of readings a publication joins by itself: more
// would keep what is visible back for seconds.
const inlineJoin = 16 << 20

// openFinance opens the warehouse of a data folder.
func openFinance(f folder, log eventlog.Log, now func() domain.Instant, logger *slog.Logger) (*finance, error) {
	p, err := warehouse.Open(warehouseConfig(f.warehouse(), now, logger))
	if err != nil {
		return nil, err
	}
	area := f.scratch()
	return &finance{dir: f.warehouse(), publisher: p, log: log, area: area, facts: facts.In(area), logger: logger, asked: make(chan struct{}, 1)}, nil
}

// startFinance opens the warehouse of a data folder and publishes it whenever
// it is asked to.
func startFinance(f folder, log eventlog.Log, now func() domain.Instant, logger *slog.Logger) (*finance, error) {
	v, err := openFinance(f, log, now, logger)
	if err != nil {
		return nil, err
	}
	v.publisher.InBackground(inlineJoin)
	ctx, cancel := context.WithCancel(context.Background())
	v.cancel, v.ended = cancel, make(chan struct{})
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
			began := time.Now()
			if _, err := v.publish(ctx); err != nil && ctx.Err() == nil {
				logger.Error("the warehouse was not published and will be tried again", "err", err)
			}
			// A book that takes long to publish is published less often.
			if sleep(ctx, min(publishPause*time.Since(began), time.Minute)) != nil {
				return
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

// publish publishes what the log holds by now.
func (v *finance) publish(ctx context.Context) (warehouse.Published, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.follow(ctx)
}

// follow is publish for who holds the mutex.
func (v *finance) follow(ctx context.Context) (warehouse.Published, error) {
	if _, err := projections.Fold(ctx, v.log, v.facts.Next, projections.Head, v.facts); err != nil {
		return warehouse.Published{}, err
	}
	return v.publisher.Publish(ctx, v.log, v.facts)
}

// end publishes once more and closes the warehouse. A publication in hand is
// given up for it.
func (v *finance) end(ctx context.Context) error {
	v.cancel()
	<-v.ended
	_, err := v.publish(ctx)
	return errors.Join(err, v.close())
}

func (v *finance) close() error { return errors.Join(v.publisher.Close(), v.area.Close()) }

// abandon closes the warehouse as it was last published.
func (v *finance) abandon() error {
	v.cancel()
	<-v.ended
	return v.close()
}
