package logtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wattbook/domain"
	"wattbook/domain/eventlog"
)

func follow(t *testing.T, log eventlog.Log) {
	const events = 300
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	done := make(chan error, 3)
	for range 3 {
		go func() {
			next := domain.Position(0)
			for next < events {
				if err := log.Wait(ctx, next); err != nil {
					done <- err
					return
				}
				before := next
				for r, err := range log.ReadAll(ctx, next) {
					if err != nil || r.Position != next {
						done <- fmt.Errorf("at %d: got position %d, %w", next, r.Position, err)
						return
					}
					next++
				}
				if next == before {
					done <- fmt.Errorf("wait returned at %d, but nothing is there", next)
					return
				}
			}
			done <- nil
		}()
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := w; i < events; i += 4 {
				if _, err := log.Append(ctx, write(eventlog.Stream(fmt.Sprintf("things-%d", w)), eventlog.Any, draft(i))); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	for range 3 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// resume lets followers stop in the middle and go on from the position that
// they had come to, as a process does that was killed, while appends of several
// events arrive. What the head includes is there, whole appends only, and is
// the same for whoever reads it when.
func resume(t *testing.T, log eventlog.Log) {
	const appends, each = 90, 4
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	seen := make([][]domain.EventID, 2)
	for f := range seen {
		rng := rand.New(rand.NewPCG(seed, uint64(f)))
		wg.Go(func() {
			for len(seen[f]) < appends*each {
				next := domain.Position(len(seen[f]))
				if err := log.Wait(ctx, next); err != nil {
					t.Errorf("wait for %d: %v", next, err)
					return
				}
				head, err := log.Head(ctx)
				if err != nil || head <= next || head%each != 0 {
					t.Errorf("waited for %d: head %d, %v; every append has %d events", next, head, err, each)
					return
				}
				stop := rng.IntN(3 * each)
				for r, err := range log.ReadAll(ctx, next) {
					if err != nil || r.Position != next {
						t.Errorf("at %d: got position %d, %v", next, r.Position, err)
						return
					}
					seen[f] = append(seen[f], r.ID)
					if next++; stop == 0 {
						break
					}
					stop--
				}
				if stop > 0 && next < head {
					t.Errorf("the head is %d, and reading ended at %d", head, next)
					return
				}
			}
		})
	}
	for w := range 3 {
		wg.Go(func() {
			for i := w; i < appends; i += 3 {
				_, err := log.Append(ctx,
					write("things-1", eventlog.Any, draft(i, "a"), draft(i, "b")), write("things-2", eventlog.Any, draft(i, "c"), draft(i, "d")))
				if err != nil {
					t.Errorf("append %d: %v", i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	var want []domain.EventID
	for _, r := range all(t, log) {
		want = append(want, r.ID)
	}
	for f := range seen {
		if diff := cmp.Diff(want, seen[f]); diff != "" {
			t.Errorf("follower %d saw otherwise (-log +seen):\n%s", f, diff)
		}
	}
}

func waiting(t *testing.T, log eventlog.Log) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := log.Wait(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("wait on an empty log: got %v, want the context's end", err)
	}
	mustAppend(t, log, write("things-1", eventlog.Any, draft("a")))
	if err := log.Wait(t.Context(), 0); err != nil {
		t.Errorf("wait for what is there: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- log.Wait(context.WithoutCancel(t.Context()), 1) }()
	time.Sleep(5 * time.Millisecond)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if !errors.Is(err, eventlog.ErrClosed) {
			t.Errorf("wait on a log that is closed: got %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("wait did not end with the log")
	}
}
