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

// givenUp lets appends end before the log answers. Each is there as a whole or
// not at all, and appending it again settles it.
func givenUp(t *testing.T, log eventlog.Log) {
	const writers, each, events = 6, 25, 3
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	drafts := func(w, i int) []eventlog.Draft {
		var ds []eventlog.Draft
		for k := range events {
			ds = append(ds, draft(w, "/", i, "/", k))
		}
		return ds
	}
	var wg sync.WaitGroup
	acked := make([]int, writers)
	for w := range writers {
		rng := rand.New(rand.NewPCG(seed, uint64(w)))
		wg.Go(func() {
			for i := range each {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Duration(rng.IntN(1500))*time.Microsecond, cancel)
				ds := drafts(w, i)
				_, err := log.Append(ctx, write("things-1", eventlog.Any, ds[:1]...), write("things-2", eventlog.Any, ds[1:]...))
				cancel()
				switch {
				case err == nil:
					acked[w]++
				case !errors.Is(err, context.Canceled):
					t.Errorf("writer %d, append %d: %v", w, i, err)
				}
			}
		})
	}
	wg.Wait()
	for w := range writers {
		for i := range each {
			ds := drafts(w, i)
			r := mustAppend(t, log, write("things-1", eventlog.Any, ds[:1]...), write("things-2", eventlog.Any, ds[1:]...))
			if r.Known {
				acked[w]--
			}
		}
		if acked[w] > 0 {
			t.Errorf("writer %d: %d appends that were acknowledged were not on record", w, acked[w])
		}
	}
	rs := all(t, log)
	if len(rs) != writers*each*events {
		t.Fatalf("%d events are on record, want %d", len(rs), writers*each*events)
	}
	for i := 0; i < len(rs); i += events {
		var w, n int
		if _, err := fmt.Sscanf(string(rs[i].Payload), `{"about":"%d/%d/0"}`, &w, &n); err != nil {
			t.Fatalf("position %d begins no append: %s", i, rs[i].Payload)
		}
		for k, d := range drafts(w, n) {
			if rs[i+k].ID != d.ID {
				t.Fatalf("position %d is not event %d of append %d of writer %d", i+k, k, n, w)
			}
		}
	}
}

// RunReopened checks that a log that is closed and opened again is the same
// log: nothing is forgotten, however often. Open returns what opens one log
// again and again, the first time empty.
func RunReopened(t *testing.T, open func(t *testing.T) func() eventlog.Log) {
	again := open(t)
	var want []eventlog.Record
	for round := range 4 {
		log := again()
		if diff := cmp.Diff(want, all(t, log)); diff != "" {
			t.Fatalf("opened for the %d. time the log differs (-want +got):\n%s", round+1, diff)
		}
		for _, r := range want {
			d := eventlog.Draft{ID: r.ID, Type: r.Type, Payload: r.Payload, Metadata: r.Metadata}
			if got := mustAppend(t, log, write(r.Stream, eventlog.None, d)); got != (eventlog.Receipt{First: r.Position, Count: 1, Known: true}) {
				t.Fatalf("event %d again: receipt %+v", r.Position, got)
			}
			d.Payload = []byte("other")
			var conflict *eventlog.ConflictError
			if _, err := log.Append(t.Context(), write(r.Stream, eventlog.Any, d)); !errors.As(err, &conflict) || conflict.Position != r.Position {
				t.Fatalf("event %d with other content: %v", r.Position, err)
			}
		}
		head(t, log, domain.Position(len(want)))
		for i := range 20 {
			s := eventlog.Stream(fmt.Sprintf("things-%d", i%3))
			n, err := log.Next(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			var wrong *eventlog.RevisionError
			if _, err := log.Append(t.Context(), write(s, eventlog.After(n+1), draft("wrong"))); !errors.As(err, &wrong) || wrong.Actual != n {
				t.Fatalf("an append behind the end of %s, of %d events: %v", s, n, err)
			}
			mustAppend(t, log, write(s, eventlog.After(n), draft(round, "/", i, "a"), draft(round, "/", i, "b")))
		}
		rs := all(t, log)
		for i := 1; i < len(rs); i++ {
			if rs[i].RecordedAt <= rs[i-1].RecordedAt {
				t.Fatalf("position %d is recorded at %s, after %s", i, rs[i].RecordedAt, rs[i-1].RecordedAt)
			}
		}
		want = rs
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
