package bus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"

	"wattbook/domain"
	"wattbook/ingest"
	"wattbook/ingest/bus"
)

var quiet = slog.New(slog.DiscardHandler)

// recorder is what a bus records to.
type recorder struct {
	mu       sync.Mutex
	recorded []domain.Instant
	parked   []string
	fail     func(round ingest.Round) error
}

func (r *recorder) record(_ context.Context, round ingest.Round) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		if err := r.fail(round); err != nil {
			return err
		}
	}
	r.recorded = append(r.recorded, round.At)
	return nil
}

func (r *recorder) park(_ context.Context, site domain.SiteID, at domain.Instant, payload []byte, reason string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.parked = append(r.parked, fmt.Sprintf("%s %d %d bytes: %s", site, at, len(payload), reason))
	return nil
}

// start runs a bus on an in-process broker until the test ends.
func start(t *testing.T, r *recorder) (*bus.Bus, message.Publisher) {
	t.Helper()
	broker := bus.InProcess(quiet)
	b, err := bus.New(bus.Config{Publisher: broker, Subscriber: broker, Topic: "rounds", Record: r.record, Park: r.park, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	<-b.Running()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("run: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("the bus did not stop")
		}
	})
	return b, broker
}

func round(n int64) ingest.Round {
	return ingest.Round{Site: "cedar-bend", At: domain.Instant(n), Deliveries: []ingest.Delivery{{Source: "m", Raw: []byte{0, 255}}}}
}

func TestPublishReturnsWhenTheRoundIsRecordedInOrder(t *testing.T) {
	r := &recorder{}
	b, _ := start(t, r)
	var want []domain.Instant
	for i := range int64(50) {
		if err := b.Publish(t.Context(), round(i)); err != nil {
			t.Fatal(err)
		}
		want = append(want, domain.Instant(i))
		r.mu.Lock()
		n := len(r.recorded)
		r.mu.Unlock()
		if n != len(want) {
			t.Fatalf("publish returned with %d of %d rounds recorded", n, len(want))
		}
	}
	if diff := cmp.Diff(want, r.recorded); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhatMayPassIsTriedAgainAndNothingOvertakesIt(t *testing.T) {
	failures := 4
	r := &recorder{fail: func(round ingest.Round) error {
		if round.At == 1 && failures > 0 {
			failures--
			return errors.New("the disk is full")
		}
		return nil
	}}
	b, _ := start(t, r)
	for i := range int64(3) {
		if err := b.Publish(t.Context(), round(i)); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]domain.Instant{0, 1, 2}, r.recorded); diff != "" || len(r.parked) > 0 {
		t.Errorf("parked %v (-want +got):\n%s", r.parked, diff)
	}
}

func TestWhatCanNeverBeRecordedIsParkedAndTheRestGoesOn(t *testing.T) {
	r := &recorder{fail: func(round ingest.Round) error {
		switch round.At {
		case 1:
			return fmt.Errorf("%w: nobody knows this site", ingest.ErrUnrecordable)
		case 2:
			panic("a bug")
		}
		return nil
	}}
	b, broker := start(t, r)
	for i := range int64(4) {
		if err := b.Publish(t.Context(), round(i)); err != nil {
			t.Fatal(err)
		}
	}
	junk := message.NewMessage(watermill.NewUUID(), []byte("{"))
	if err := broker.Publish("rounds", junk); err != nil {
		t.Fatal(err)
	}
	if err := b.Publish(t.Context(), round(4)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]domain.Instant{0, 3, 4}, r.recorded); diff != "" {
		t.Errorf("recorded (-want +got):\n%s", diff)
	}
	if len(r.parked) != 3 {
		t.Errorf("parked %q", r.parked)
	}
}
