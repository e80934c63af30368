// Package bus carries rounds from where they are observed to where they are
// recorded, over any broker that watermill supports.
//
// Rounds of one topic are recorded one at a time in the order in which they
// were published. What fails for a reason that may pass (a full disk, a log
// that is away) is tried again for as long as it takes, and meanwhile the
// publisher waits: that is the back-pressure. What can never be recorded goes
// to the poison queue, which is the log itself: the event names the reason and
// keeps the message's bytes as evidence.
package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"

	"wattbook/domain"
	"wattbook/ingest"
)

// Metadata keys of a message.
const (
	keySite = "site"
	keyAt   = "at"
)

// Config says what a bus connects.
type Config struct {
	// Publisher and Subscriber are the broker; InProcess makes both for one
	// process. A broker must keep the order of a topic.
	Publisher  message.Publisher
	Subscriber message.Subscriber
	Topic      string
	// Record is called for each round, one at a time.
	Record func(ctx context.Context, round ingest.Round) error
	// Park is called for a message that can never be recorded.
	Park func(ctx context.Context, site domain.SiteID, at domain.Instant, payload []byte, reason string) error
	// Retrying, if set, is told of each attempt that failed and will be made
	// again.
	Retrying func(err error)
	Logger   *slog.Logger
}

// InProcess returns a broker within the process whose Publish returns when the
// round is recorded.
func InProcess(logger *slog.Logger) *gochannel.GoChannel {
	return gochannel.NewGoChannel(gochannel.Config{BlockPublishUntilSubscriberAck: true}, watermill.NewSlogLogger(logger))
}

// Bus publishes rounds, and records those that are published.
type Bus struct {
	cfg    Config
	router *message.Router
}

// New returns a bus; Run starts it.
func New(cfg Config) (*Bus, error) {
	words := watermill.NewSlogLogger(cfg.Logger)
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: 30 * time.Second}, words)
	if err != nil {
		return nil, fmt.Errorf("make bus: %w", err)
	}
	b := &Bus{cfg: cfg, router: router}
	poison, err := middleware.PoisonQueueWithFilter(parking{b}, "log", permanent)
	if err != nil {
		return nil, fmt.Errorf("make bus: %w", err)
	}
	router.AddMiddleware(
		poison,
		middleware.Retry{
			MaxRetries:      math.MaxInt32,
			InitialInterval: 10 * time.Millisecond,
			MaxInterval:     10 * time.Second,
			Multiplier:      2, // applied twice an attempt: asking ShouldRetry advances it too
			ShouldRetry: func(p middleware.RetryParams) bool {
				if permanent(p.Err) {
					return false
				}
				cfg.Logger.Error("recording failed and will be tried again", "attempt", p.RetryNum+1, "err", p.Err)
				if cfg.Retrying != nil {
					cfg.Retrying(p.Err)
				}
				return true
			},
		}.Middleware,
		middleware.Recoverer,
	)
	router.AddConsumerHandler("record", cfg.Topic, cfg.Subscriber, b.handle)
	return b, nil
}

// permanent reports whether trying again is of no use.
func permanent(err error) bool {
	var panicked middleware.RecoveredPanicError
	return errors.Is(err, ingest.ErrUnrecordable) || errors.As(err, &panicked)
}

// Run records what is published until the context ends, and finishes the
// round in hand.
func (b *Bus) Run(ctx context.Context) error {
	if err := b.router.Run(ctx); err != nil {
		return fmt.Errorf("run bus: %w", err)
	}
	return nil
}

// Running is closed when the bus has subscribed.
func (b *Bus) Running() <-chan struct{} { return b.router.Running() }

// Publish hands a round to the broker. In process it returns when the round
// is recorded.
func (b *Bus) Publish(ctx context.Context, round ingest.Round) error {
	payload, err := ingest.EncodeRound(round)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	msg := message.NewMessageWithContext(ctx, watermill.NewUUID(), payload)
	msg.Metadata.Set(keySite, string(round.Site))
	msg.Metadata.Set(keyAt, round.At.String())
	middleware.SetCorrelationID(string(round.Site)+"/"+round.At.String(), msg)
	if err := b.cfg.Publisher.Publish(b.cfg.Topic, msg); err != nil {
		return fmt.Errorf("publish round of %s at %s: %w", round.Site, round.At, err)
	}
	return ctx.Err()
}

func (b *Bus) handle(msg *message.Message) error {
	round, err := ingest.DecodeRound(msg.Payload)
	if err != nil {
		return fmt.Errorf("%w: message %s: %w", ingest.ErrUnrecordable, msg.UUID, err)
	}
	return b.cfg.Record(msg.Context(), round)
}

// parking is the poison queue: a publisher that records in the log.
type parking struct{ b *Bus }

// Publish parks messages that the poison middleware gave up.
func (p parking) Publish(_ string, msgs ...*message.Message) error {
	for _, msg := range msgs {
		site := domain.SiteID(msg.Metadata.Get(keySite))
		at, err := domain.ParseInstant(msg.Metadata.Get(keyAt))
		if err != nil {
			at = 0
		}
		if err := p.b.cfg.Park(msg.Context(), site, at, msg.Payload, msg.Metadata.Get(middleware.ReasonForPoisonedKey)); err != nil {
			return err
		}
	}
	return nil
}

// Close has nothing to close.
func (parking) Close() error { return nil }
