package bus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/ingest/bus"
	"wattbook/ingest/kurrentlog"
	"wattbook/ingest/kurrentlog/server"
	"wattbook/ingest/pebblelog"
)

func embedded(t testing.TB) *pebblelog.Log {
	t.Helper()
	log, err := pebblelog.Open(pebblelog.Config{Dir: t.TempDir(), Now: func() domain.Instant { return domain.At(time.Now()) }, Logger: slog.New(slog.DiscardHandler), Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	return log
}

func files(t testing.TB) *bus.Files {
	t.Helper()
	f, err := bus.NewFiles(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func subscriber(t testing.TB, cfg bus.SubscriberConfig) *bus.Subscriber {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	if cfg.Redeliver == 0 {
		cfg.Redeliver, cfg.RedeliverMost = time.Millisecond, 5*time.Millisecond
	}
	if cfg.Drain == 0 {
		cfg.Drain = 2 * time.Second
	}
	s, err := bus.NewSubscriber(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestWatermillsOwnSuite runs the suite that watermill has for every Pub/Sub.
func TestWatermillsOwnSuite(t *testing.T) {
	suite(t, embedded(t))
}

// TestWatermillsOwnSuiteOnTheCluster runs it on the log that a server keeps.
func TestWatermillsOwnSuiteOnTheCluster(t *testing.T) {
	s, err := server.Start(server.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	log, err := kurrentlog.Open(t.Context(), kurrentlog.Config{URL: s.URL(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	suite(t, log)
}

func suite(t *testing.T, log eventlog.Log) {
	checkpoints := files(t)
	grouped := func(t *testing.T, group string) (message.Publisher, message.Subscriber) {
		return bus.NewPublisher(bus.PublisherConfig{Log: log}), subscriber(t, bus.SubscriberConfig{Log: log, Group: group, Checkpoints: checkpoints})
	}
	tests.TestPubSub(t, tests.Features{
		ConsumerGroups:  true,
		GuaranteedOrder: true,
		Persistent:      true,
	}, func(t *testing.T) (message.Publisher, message.Subscriber) { return grouped(t, "suite") }, grouped)
	t.Run("without a group", func(t *testing.T) {
		tests.TestNewSubscriberReceivesOldMessages(t, tests.TestContext{
			TestID:   tests.NewTestID(),
			Features: tests.Features{GuaranteedOrder: true, Persistent: true, NewSubscriberReceivesOldMessages: true},
		}, func(t *testing.T) (message.Publisher, message.Subscriber) {
			return bus.NewPublisher(bus.PublisherConfig{Log: log}), subscriber(t, bus.SubscriberConfig{Log: log})
		})
	})
}

func publish(t *testing.T, log eventlog.Log, topic string, n int) {
	t.Helper()
	p := bus.NewPublisher(bus.PublisherConfig{Log: log})
	for i := range n {
		m := message.NewMessage(watermill.NewUUID(), []byte(fmt.Sprint(topic, "/", i)))
		middleware.SetCorrelationID("c-"+fmt.Sprint(i), m)
		m.Metadata.Set("kept", "yes")
		m.Metadata.Set(bus.KeyType, "thing.happened/1")
		if err := p.Publish(topic, m); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
}

// receive takes n messages and acknowledges them.
func receive(t *testing.T, messages <-chan *message.Message, n int) []*message.Message {
	t.Helper()
	var all []*message.Message
	for range n {
		select {
		case m, ok := <-messages:
			if !ok {
				t.Fatalf("the subscription ended after %d messages", len(all))
			}
			all = append(all, m)
			m.Ack()
		case <-time.After(10 * time.Second):
			t.Fatalf("%d messages of %d came", len(all), n)
		}
	}
	return all
}

func TestTopicsAreStreamsCategoriesAndAll(t *testing.T) {
	log := embedded(t)
	publish(t, log, "a-1", 3)
	publish(t, log, "b-1", 2)
	publish(t, log, "a-2", 2)
	s := subscriber(t, bus.SubscriberConfig{Log: log})
	defer s.Close()
	for topic, want := range map[string]string{
		"a-1":   "a-1/0 a-1/1 a-1/2",
		"a":     "a-1/0 a-1/1 a-1/2 a-2/0 a-2/1",
		bus.All: "a-1/0 a-1/1 a-1/2 b-1/0 b-1/1 a-2/0 a-2/1",
	} {
		messages, err := s.Subscribe(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range receive(t, messages, len(strings.Fields(want))) {
			got = append(got, string(m.Payload))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %q, want %q", topic, got, want)
		}
	}
}

func TestAMessageSaysWhereItsEventIs(t *testing.T) {
	log := embedded(t)
	publish(t, log, "b-1", 2)
	publish(t, log, "a-1", 2)
	// In the log it is as its tools expect it.
	for r, err := range log.ReadStream(t.Context(), "a-1", 1) {
		if err != nil || r.Metadata["$correlationId"] != "c-1" || r.Metadata["correlation_id"] != "" || r.Type != "thing.happened/1" || r.Metadata["kept"] != "yes" {
			t.Errorf("got %+v, %v", r, err)
		}
	}
	s := subscriber(t, bus.SubscriberConfig{Log: log})
	defer s.Close()
	messages, err := s.Subscribe(t.Context(), "a-1")
	if err != nil {
		t.Fatal(err)
	}
	m := receive(t, messages, 2)[1] // its own context has ended
	for key, want := range map[string]string{
		bus.KeyPosition: "3", bus.KeyStream: "a-1", bus.KeyRevision: "1", bus.KeyType: "thing.happened/1",
		"correlation_id": "c-1", "$correlationId": "", "kept": "yes", "message_uuid": "",
	} {
		if got := m.Metadata.Get(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if p, err := bus.PositionOf(m); err != nil || p != 3 {
		t.Errorf("position %d, %v", p, err)
	}
	if _, err := bus.PositionOf(message.NewMessage("x", nil)); err == nil {
		t.Error("a message that was never recorded has a position")
	}
	// It can be passed on: what says where it was does not travel.
	other := embedded(t)
	p := bus.NewPublisher(bus.PublisherConfig{Log: other})
	for range 2 {
		if err := p.Publish("c-1", m.Copy()); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for r, err := range other.ReadAll(t.Context(), 0) {
		if n++; err != nil || r.Metadata[bus.KeyPosition] != "" || r.Type != "thing.happened/1" {
			t.Errorf("passed on: %+v, %v", r, err)
		}
	}
	if n != 1 {
		t.Errorf("a message that was published twice is there %d times", n)
	}
}

func TestAGroupGoesOnWhereItWas(t *testing.T) {
	log, dir := embedded(t), t.TempDir()
	open := func() *bus.Subscriber {
		checkpoints, err := bus.NewFiles(dir) // as after a restart
		if err != nil {
			t.Fatal(err)
		}
		return subscriber(t, bus.SubscriberConfig{Log: log, Group: "g/1 ü", Checkpoints: checkpoints})
	}
	publish(t, log, "b-1", 3)
	publish(t, log, "a-1", 10)
	for _, topic := range []string{"a-1", "a", bus.All} {
		seen := map[string]int{}
		for _, n := range []int{3, 4, 3} {
			s := open()
			messages, err := s.Subscribe(t.Context(), topic)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range receive(t, messages, n) {
				seen[string(m.Payload)]++
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if len(seen) != 10 {
			t.Errorf("%s: %d messages in three turns, want 10: %v", topic, len(seen), seen)
		}
	}
	// A place that cannot be read stops the group, and names the file's cure.
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Fatalf("%d checkpoints, %v", len(entries), err)
	}
	if err := os.WriteFile(filepath.Join(dir, entries[0].Name()), []byte("junk"), 0o644); err != nil {
		t.Fatal(err)
	}
	checkpoints, err := bus.NewFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	broken := 0
	for _, topic := range []string{"a-1", "a", bus.All} {
		c, err := checkpoints.Acquire(t.Context(), "g/1 ü", topic)
		if err != nil {
			broken++
			if !strings.Contains(err.Error(), "remove the file") {
				t.Error(err)
			}
			continue
		}
		if err := c.Release(); err != nil {
			t.Error(err)
		}
	}
	if broken != 1 {
		t.Errorf("%d checkpoints are broken, want 1", broken)
	}
}

// TestOneMemberOfAGroupAtATime lets two members of a group share a topic.
func TestOneMemberOfAGroupAtATime(t *testing.T) {
	log, checkpoints := embedded(t), files(t)
	publish(t, log, "a-1", 4)
	first := subscriber(t, bus.SubscriberConfig{Log: log, Group: "g", Checkpoints: checkpoints})
	second := subscriber(t, bus.SubscriberConfig{Log: log, Group: "g", Checkpoints: checkpoints})
	defer second.Close()
	one, err := first.Subscribe(t.Context(), "a-1")
	if err != nil {
		t.Fatal(err)
	}
	receive(t, one, 2)
	two, err := second.Subscribe(t.Context(), "a-1")
	if err != nil {
		t.Fatal(err)
	}
	select {
	case m := <-two:
		t.Fatalf("the second member received %s while the first one works", m.Payload)
	case <-time.After(50 * time.Millisecond):
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, two, 2); string(got[0].Payload) != "a-1/2" || string(got[1].Payload) != "a-1/3" {
		t.Errorf("the second member goes on with %s", got[0].Payload)
	}
}

// TestCloseWaitsForTheMessageInHand drains: work that has begun is finished
// and remembered, and its context lives until then.
func TestCloseWaitsForTheMessageInHand(t *testing.T) {
	log, checkpoints := embedded(t), files(t)
	publish(t, log, "a-1", 2)
	s := subscriber(t, bus.SubscriberConfig{Log: log, Group: "g", Checkpoints: checkpoints})
	ctx, cancel := context.WithCancel(t.Context())
	messages, err := s.Subscribe(ctx, "a-1")
	if err != nil {
		t.Fatal(err)
	}
	m := <-messages
	cancel()
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Close() })
	time.Sleep(50 * time.Millisecond)
	if m.Context().Err() != nil {
		t.Error("the context of a message in hand was cancelled at once")
	}
	m.Ack()
	wg.Wait()
	if _, ok := <-messages; ok {
		t.Error("a message came after the end")
	}
	if _, err := s.Subscribe(t.Context(), "a-1"); err == nil {
		t.Error("a closed subscriber subscribes")
	}
	c, err := checkpoints.Acquire(t.Context(), "g", "a-1")
	if err != nil || c.Next() != 1 {
		t.Errorf("the group is at %d, %v; want 1", c.Next(), err)
	}
}

func TestWhatIsRefused(t *testing.T) {
	log := embedded(t)
	if _, err := bus.NewSubscriber(bus.SubscriberConfig{Log: log, Group: "g"}); err == nil {
		t.Error("a group without checkpoints")
	}
	s := subscriber(t, bus.SubscriberConfig{Log: log})
	defer s.Close()
	if _, err := s.Subscribe(t.Context(), ""); err == nil {
		t.Error("an empty topic")
	}
	p := bus.NewPublisher(bus.PublisherConfig{Log: log})
	if err := p.Publish("nocategory", message.NewMessage("1", nil)); err == nil || !strings.Contains(err.Error(), "publish to nocategory") {
		t.Errorf("a topic that is no stream: %v", err)
	}
	if err := p.Publish("a-1", message.NewMessage("1", []byte("x"))); err != nil {
		t.Fatal(err)
	}
	if err := p.Publish("a-1", message.NewMessage("1", []byte("y"))); !errors.Is(err, eventlog.ErrIdempotencyConflict) {
		t.Errorf("another message under the same UUID: %v", err)
	}
	if err := p.Publish("a-1"); err != nil {
		t.Errorf("nothing to publish: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.Publish("a-1", message.NewMessage("2", nil)); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("after Close: %v", err)
	}
}

// TestManyMessagesAreSplitIntoAppends publishes more than one append takes.
func TestManyMessagesAreSplitIntoAppends(t *testing.T) {
	log := embedded(t)
	var all []*message.Message
	for i := range eventlog.MaxAppendEvents + 10 {
		all = append(all, message.NewMessage(fmt.Sprint(i), []byte("x")))
	}
	for i := range 20 {
		all = append(all, message.NewMessage(fmt.Sprint("large", i), make([]byte, 900_000)))
	}
	p := bus.NewPublisher(bus.PublisherConfig{Log: log})
	for range 2 { // the second time they are known
		if err := p.Publish("a-1", all...); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := log.Next(t.Context(), "a-1"); err != nil || int(n) != len(all) {
		t.Errorf("%d events, want %d, %v", n, len(all), err)
	}
}
