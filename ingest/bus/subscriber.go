package bus

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"wattbook/domain"
	"wattbook/domain/eventlog"
)

// All is the topic of every event of the log.
const All = "$all"

// SubscriberConfig says how events become messages.
type SubscriberConfig struct {
	Log eventlog.Log
	// Group names those that share the work of a topic: each event is handled
	// by one of them, in order, and whoever takes over goes on where the last
	// one was. Without a group every subscription receives everything.
	Group string
	// Checkpoints remember where groups are; needed with a group.
	Checkpoints Checkpoints
	// Redeliver is how long the first redelivery of a message waits that was
	// not acknowledged; each next one waits twice as long, up to
	// RedeliverMost. 0: 10 ms, and a second.
	Redeliver, RedeliverMost time.Duration
	// Drain is how long Close, or the end of a subscription's context, waits
	// for the message in hand before its context is cancelled. 0: 30 s.
	Drain  time.Duration
	Logger *slog.Logger
}

// Subscriber delivers the events of a log as watermill messages: in order, one
// at a time, each at least once. It implements message.Subscriber.
//
// A topic is [All], a stream ("readings-cedar-bend"), or a category: all
// streams whose names have it before their first '-' ("invoice"). Besides the
// event's own metadata a message carries where the event is in the log; see
// the Key constants.
type Subscriber struct {
	cfg     SubscriberConfig
	closing chan struct{}
	once    sync.Once
	mu      sync.Mutex // a subscription begins, or Close does
	running sync.WaitGroup
}

var _ message.Subscriber = (*Subscriber)(nil)

// NewSubscriber returns a subscriber of a log, which must stay open until the
// subscriber is closed.
func NewSubscriber(cfg SubscriberConfig) (*Subscriber, error) {
	if cfg.Group != "" && cfg.Checkpoints == nil {
		return nil, fmt.Errorf("make subscriber: group %s has nowhere to remember where it is", cfg.Group)
	}
	if cfg.Redeliver == 0 {
		cfg.Redeliver = 10 * time.Millisecond
	}
	if cfg.RedeliverMost == 0 {
		cfg.RedeliverMost = time.Second
	}
	if cfg.Drain == 0 {
		cfg.Drain = 30 * time.Second
	}
	return &Subscriber{cfg: cfg, closing: make(chan struct{})}, nil
}

// Subscribe begins to deliver a topic: from where the group is, or from the
// beginning. The channel is closed when the context ends or the subscriber is
// closed, once the message in hand is answered.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	if topic == "" {
		return nil, errors.New("subscribe: the topic is empty")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.closing:
		return nil, fmt.Errorf("subscribe to %s: the subscriber is closed", topic)
	default:
	}
	out := make(chan *message.Message)
	sub := &subscription{SubscriberConfig: s.cfg, topic: topic, out: out, values: context.WithoutCancel(ctx)}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-s.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	s.running.Go(func() {
		defer close(out)
		defer cancel()
		sub.run(ctx)
	})
	return out, nil
}

// Close ends all subscriptions and waits for them.
func (s *Subscriber) Close() error {
	s.once.Do(func() {
		s.mu.Lock()
		close(s.closing)
		s.mu.Unlock()
	})
	s.running.Wait()
	return nil
}

// subscription is one delivery of one topic.
type subscription struct {
	SubscriberConfig
	topic  string
	out    chan<- *message.Message
	values context.Context // of messages: never ends by itself
}

// run delivers until the context ends. What fails is tried again: the log may
// be away for a while.
func (s *subscription) run(ctx context.Context) {
	for wait := s.Redeliver; ; wait = min(2*wait, s.RedeliverMost) {
		err := s.deliverAll(ctx)
		if ctx.Err() != nil || errors.Is(err, eventlog.ErrClosed) {
			return
		}
		s.Logger.Error("subscription failed and goes on", "topic", s.topic, "group", s.Group, "err", err)
		if pause(ctx, wait) != nil {
			return
		}
	}
}

// deliverAll delivers from where the group is. It returns only an error.
func (s *subscription) deliverAll(ctx context.Context) (err error) {
	var at Checkpoint = new(forgotten)
	if s.Group != "" {
		if at, err = s.Checkpoints.Acquire(ctx, s.Group, s.topic); err != nil {
			return err
		}
	}
	defer func() { err = errors.Join(err, at.Release()) }()
	for next := at.Next(); ; {
		head, err := s.Log.Head(ctx)
		if err != nil {
			return err
		}
		for r, err := range s.events(ctx, next) {
			if err != nil {
				return err
			}
			if wanted(s.topic, r.Stream) {
				if err := s.deliver(ctx, r); err != nil {
					return err
				}
				next = s.place(r) + 1
				if err := at.Save(next, false); err != nil {
					return err
				}
			}
			next = s.place(r) + 1
		}
		// Caught up: what did not concern the topic is not read again.
		if err := at.Save(next, true); err != nil {
			return err
		}
		if err := s.Log.Wait(ctx, head); err != nil {
			return err
		}
	}
}

// events yields what may belong to the topic.
func (s *subscription) events(ctx context.Context, next uint64) iter.Seq2[eventlog.Record, error] {
	if isStream(s.topic) {
		return s.Log.ReadStream(ctx, eventlog.Stream(s.topic), eventlog.Revision(next))
	}
	return s.Log.ReadAll(ctx, domain.Position(next))
}

// place returns where a record is on the topic: a revision of its stream, or a
// position of the log.
func (s *subscription) place(r eventlog.Record) uint64 {
	if isStream(s.topic) {
		return uint64(r.Revision)
	}
	return uint64(r.Position)
}

func isStream(topic string) bool { return topic != All && strings.Contains(topic, "-") }

func wanted(topic string, stream eventlog.Stream) bool {
	if topic == All || isStream(topic) {
		return true
	}
	category, _, _ := strings.Cut(string(stream), "-")
	return category == topic
}

// deliver hands over one event until it is acknowledged.
func (s *subscription) deliver(ctx context.Context, r eventlog.Record) error {
	for wait := s.Redeliver; ; wait = min(2*wait, s.RedeliverMost) {
		acked, err := s.once(ctx, r)
		if acked || err != nil {
			return err
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}

// once hands over an event and waits for the answer: as long as it takes, or
// for the drain after the subscription has ended.
func (s *subscription) once(ctx context.Context, r eventlog.Record) (acked bool, err error) {
	msg := messageOf(r)
	alive, cancel := context.WithCancel(s.values)
	defer cancel()
	msg.SetContext(alive)
	select {
	case s.out <- msg:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	select {
	case <-msg.Acked():
		return true, nil
	case <-msg.Nacked():
		return false, nil
	case <-ctx.Done():
	}
	drain := time.NewTimer(s.Drain)
	defer drain.Stop()
	select {
	case <-msg.Acked():
		return true, nil
	case <-msg.Nacked():
	case <-drain.C:
		s.Logger.Warn("a message was not answered in time and will come again", "topic", s.topic, "message", msg.UUID, "after", s.Drain)
	}
	return false, ctx.Err()
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
