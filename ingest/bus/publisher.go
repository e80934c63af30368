package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"wattbook/domain"
	"wattbook/domain/eventlog"
)

// Metadata that a delivered message has besides its event's own. A publisher
// does not record them, so that a message can be passed on.
const (
	KeyPosition = "wattbook.position" // in the log, from 0 on
	KeyStream   = "wattbook.stream"
	KeyRevision = "wattbook.revision" // in the stream, from 0 on
	KeyRecorded = "wattbook.recorded" // RFC 3339, UTC
	KeyType     = "wattbook.type"     // of the event; a publisher takes it from here
	reserved    = "wattbook."
)

const (
	// correlation is what EventStoreDB and its tools call the correlation id.
	correlation = "$correlationId"
	// uuidKey keeps the UUID of a message. It is not the event's id: one
	// message may be published to several topics.
	uuidKey = "message_uuid"
	// plainType is the type of a message that names none.
	plainType = "message.published/1"
)

// PublisherConfig says where messages are recorded.
type PublisherConfig struct {
	Log eventlog.Log
	// Timeout is the greatest time of a call of Publish. 0: 30 s.
	Timeout time.Duration
}

// Publisher records watermill messages as events of a log. A topic is the
// stream of its events. It implements message.Publisher.
//
// A topic knows a message for ever by its UUID: publishing it again records
// nothing, so that a call that failed is simply made again.
type Publisher struct {
	cfg     PublisherConfig
	mu      sync.RWMutex // held by calls; taken by Close
	stopped bool
}

var _ message.Publisher = (*Publisher)(nil)

// NewPublisher returns a publisher into a log, which must stay open until the
// publisher is closed.
func NewPublisher(cfg PublisherConfig) *Publisher {
	if cfg.Timeout == 0 {
		cfg.Timeout = 30 * time.Second
	}
	return &Publisher{cfg: cfg}
}

// Publish records the messages in order and returns when they are durable. As
// many as an append takes are recorded together or not at all.
func (p *Publisher) Publish(topic string, messages ...*message.Message) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.stopped {
		return fmt.Errorf("publish to %s: the publisher is closed", topic)
	}
	var drafts []eventlog.Draft
	size := 0
	for _, m := range messages {
		d := draftOf(topic, m)
		if len(drafts) > 0 && (len(drafts) == eventlog.MaxAppendEvents || size+len(d.Payload) > eventlog.MaxAppendBytes/2) {
			if err := p.append(topic, messages[0].Context(), drafts); err != nil {
				return err
			}
			drafts, size = nil, 0
		}
		drafts, size = append(drafts, d), size+len(d.Payload)
	}
	if len(drafts) == 0 {
		return nil
	}
	return p.append(topic, messages[0].Context(), drafts)
}

func (p *Publisher) append(topic string, ctx context.Context, drafts []eventlog.Draft) error {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	if _, err := p.cfg.Log.Append(ctx, eventlog.Write{Stream: eventlog.Stream(topic), Expect: eventlog.Any, Events: drafts}); err != nil {
		return fmt.Errorf("publish to %s: %w", topic, err)
	}
	return nil
}

// Close waits for the calls that have begun, and refuses more.
func (p *Publisher) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	return nil
}

// draftOf returns the event that records a message.
func draftOf(topic string, m *message.Message) eventlog.Draft {
	d := eventlog.Draft{ID: domain.EventIDOf("message", topic, m.UUID), Type: plainType, Payload: m.Payload, Metadata: eventlog.Metadata{uuidKey: m.UUID}}
	for key, value := range m.Metadata {
		switch {
		case key == middleware.CorrelationIDMetadataKey:
			d.Metadata[correlation] = value
		case key == KeyType:
			d.Type = value
		case !strings.HasPrefix(key, reserved):
			d.Metadata[key] = value
		}
	}
	return d
}

// messageOf returns the message of an event.
func messageOf(r eventlog.Record) *message.Message {
	uuid := r.ID.String()
	if original, ok := r.Metadata[uuidKey]; ok {
		uuid = original
	}
	m := message.NewMessage(uuid, r.Payload)
	for key, value := range r.Metadata {
		switch key {
		case correlation:
			m.Metadata.Set(middleware.CorrelationIDMetadataKey, value)
		case uuidKey:
		default:
			m.Metadata.Set(key, value)
		}
	}
	m.Metadata.Set(KeyPosition, strconv.FormatUint(uint64(r.Position), 10))
	m.Metadata.Set(KeyStream, string(r.Stream))
	m.Metadata.Set(KeyRevision, strconv.FormatUint(uint64(r.Revision), 10))
	m.Metadata.Set(KeyRecorded, r.RecordedAt.String())
	m.Metadata.Set(KeyType, r.Type)
	return m
}

var errNoPosition = errors.New("the message has no position: it does not come from a log")

// PositionOf returns where the event of a delivered message is in its log.
func PositionOf(m *message.Message) (domain.Position, error) {
	n, err := strconv.ParseUint(m.Metadata.Get(KeyPosition), 10, 64)
	if err != nil {
		return 0, errNoPosition
	}
	return domain.Position(n), nil
}
