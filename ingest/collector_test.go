package ingest_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wattbook/domain"
	"wattbook/ingest"
)

// asked is a source that notes for which boundaries it is asked.
type asked struct {
	name  domain.SourceID
	every domain.Duration
	times []domain.Duration // since t0
}

func (a *asked) Name() domain.SourceID  { return a.name }
func (a *asked) Every() domain.Duration { return a.every }
func (a *asked) Poll(_ context.Context, at domain.Instant) (ingest.Delivery, error) {
	a.times = append(a.times, at.Sub(t0))
	return ingest.Delivery{}, nil
}

// measuring is one that measures up to its boundary.
type measuring struct{ asked }

func (*measuring) Aligned() {}

func TestTheFirstRoundAsksEverySource(t *testing.T) {
	for _, eager := range []bool{false, true} {
		meters, prices, gpus := &asked{name: "meters", every: step}, &asked{name: "prices", every: domain.Hour}, &measuring{asked{name: "gpus", every: domain.Hour}}
		c := ingest.Collector{Site: site, Sources: []ingest.Source{meters, prices, gpus}, Timeout: time.Minute, Eager: eager, Now: func() domain.Instant { return t0 }, Logger: slog.New(slog.DiscardHandler)}
		for n := range domain.Duration(13) {
			if _, err := c.Collect(t.Context(), t0.Add(domain.Hour+7*step+n*step)); err != nil {
				t.Fatal(err)
			}
		}
		want := []domain.Duration{2 * domain.Hour}
		if d := cmp.Diff(want, gpus.times); d != "" {
			t.Errorf("eager %t: what measures up to its boundary (-want +got):\n%s", eager, d)
		}
		if eager {
			want = []domain.Duration{domain.Hour, 2 * domain.Hour} // the boundary that has passed, then the next
		}
		if d := cmp.Diff(want, prices.times); d != "" {
			t.Errorf("eager %t: a feed (-want +got):\n%s", eager, d)
		}
		if len(meters.times) != 13 {
			t.Errorf("eager %t: meters were asked %d times, want 13", eager, len(meters.times))
		}
	}
}

// hanging is a source that does not notice that its context has ended.
type hanging struct {
	asked
	begun, release chan struct{}
}

func (h *hanging) Poll(context.Context, domain.Instant) (ingest.Delivery, error) {
	close(h.begun)
	<-h.release
	return ingest.Delivery{}, nil
}

func TestASourceThatHangsDoesNotKeepFromStopping(t *testing.T) {
	h := &hanging{asked: asked{name: "stuck", every: step}, begun: make(chan struct{}), release: make(chan struct{})}
	defer close(h.release)
	c := ingest.Collector{Site: site, Sources: []ingest.Source{h}, Timeout: time.Hour, Now: func() domain.Instant { return t0 }, Logger: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-h.begun
		cancel()
	}()
	if _, err := c.Collect(ctx, t0); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was canceled", err)
	}
}
