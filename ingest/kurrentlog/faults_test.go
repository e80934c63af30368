package kurrentlog_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/eventlog/logtest"
	"wattbook/ingest/kurrentlog"
	"wattbook/ingest/kurrentlog/server"
)

// script returns n random faults, spread over as many calls of each kind.
func script(rng *rand.Rand, n, calls int) []server.Fault {
	kinds := map[server.Call][]server.Fault{
		server.Append: {
			{Do: server.Drop},
			{Do: server.Drop, After: true},
			{Do: server.Delay, For: 5 * time.Millisecond},
			{Do: server.Delay, After: true, For: 5 * time.Millisecond},
			{Do: server.NotLeader},
			{Do: server.Duplicate},
			{Do: server.Lie},
			{Do: server.Abort},
			{Do: server.Abort, After: true},
			{Do: server.Late, For: 2 * time.Millisecond},
			{Do: server.Late, For: 30 * time.Millisecond},
			{Do: server.Refuse, For: 20 * time.Millisecond},
			{Do: server.Hang},
			{Do: server.Hang, After: true},
			{Do: server.Restart, For: 10 * time.Millisecond},
			{Do: server.Restart, After: true, For: 10 * time.Millisecond},
		},
		server.Read: {
			{Do: server.Drop},
			{Do: server.Drop, After: true},
			{Do: server.Delay, For: 5 * time.Millisecond},
			{Do: server.Unknown},
			{Do: server.Abort},
			{Do: server.Refuse, For: 20 * time.Millisecond},
			{Do: server.Hang, After: true},
			{Do: server.NotLeader},
			{Do: server.Behind},
		},
		server.Subscribe: {
			{Do: server.Drop}, {Do: server.Drop, After: true}, {Do: server.Silence}, {Do: server.Unknown}, {Do: server.Hang, After: true},
		},
		server.Features: {{Do: server.Drop}, {Do: server.Refuse, For: 10 * time.Millisecond}},
	}
	var faults []server.Fault
	for range n {
		call := []server.Call{server.Append, server.Append, server.Append, server.Read, server.Read, server.Subscribe, server.Features}[rng.IntN(7)]
		f := kinds[call][rng.IntN(len(kinds[call]))]
		f.On, f.Nth = call, 1+rng.IntN(calls)
		if call == server.Subscribe || call == server.Features {
			f.Nth = 1 + rng.IntN(6)
		}
		faults = append(faults, f)
	}
	return faults
}

func hurried(c *kurrentlog.Config) {
	c.Timeout, c.Grace = 250*time.Millisecond, 50*time.Millisecond
}

// TestConformanceUnderFaults runs the suite while the server fails at random.
func TestConformanceUnderFaults(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	n := uint64(0)
	logtest.Run(t, func(t *testing.T) eventlog.Log {
		n++
		faults := script(rand.New(rand.NewPCG(seed, n)), 14, 40)
		s := start(t, server.Config{})
		log := open(t, s.URL(), hurried)
		s.Inject(faults...)
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("faults: %v; left: %v", faults, s.Pending())
			}
		})
		return log
	})
}

// TestWhatIsAcknowledgedIsThereOnce lets processes write through a server that
// fails all the time. Each append that was acknowledged must be there once, as
// a whole, where its receipt says; each that was not, once or not at all.
func TestWhatIsAcknowledgedIsThereOnce(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for round := range uint64(3) {
		t.Run(fmt.Sprint("round ", round), func(t *testing.T) { acknowledged(t, rand.New(rand.NewPCG(seed, round))) })
	}
}

func acknowledged(t *testing.T, rng *rand.Rand) {
	const processes, writers, each, events = 2, 3, 12, 3
	s := start(t, server.Config{})
	var logs []*kurrentlog.Log
	for range processes {
		logs = append(logs, open(t, s.URL(), hurried, small))
	}
	faults := script(rng, 40, 60)
	s.Inject(faults...)
	var mu sync.Mutex
	acked := map[domain.EventID]domain.Position{}
	last := map[string]domain.Position{}
	var wg sync.WaitGroup
	for p, log := range logs {
		for w := range writers {
			size, patience := []int{0, 0, 40 << 10}[w], time.Duration(100+rng.IntN(3000))*time.Millisecond
			wg.Go(func() {
				stream := eventlog.Stream(fmt.Sprintf("things-%d.%d", p, w))
				for i := range each {
					var drafts []eventlog.Draft
					for k := range events {
						drafts = append(drafts, draft(fmt.Sprint(p, "/", w, "/", i, "/", k), size))
					}
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					r, err := log.Append(ctx, write(stream, eventlog.Any, drafts[:1]...), write("shared-1", eventlog.Any, drafts[1:]...))
					cancel()
					if err != nil {
						if ctx.Err() == nil {
							t.Errorf("append %d of %s: %v", i, stream, err)
						}
						continue
					}
					mu.Lock()
					for k, d := range drafts {
						acked[d.ID] = r.First + domain.Position(k)
					}
					if before, ok := last[string(stream)]; ok && r.First <= before {
						t.Errorf("append %d of %s is at %d, the one before at %d", i, stream, r.First, before)
					}
					last[string(stream)] = r.First
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	t.Logf("%d of %d events acknowledged, %d of %d faults struck", len(acked), processes*writers*each*events, len(faults)-len(s.Pending()), len(faults))
	for _, log := range logs {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	}
	s.Close()
	after := &server.Memory{}
	if err := after.Append(s.Events()); err != nil { // what the server's disk holds
		t.Fatal(err)
	}
	seen := map[domain.EventID]bool{}
	whole := map[string]int{}
	for r, err := range open(t, start(t, server.Config{Store: after}).URL()).ReadAll(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if seen[r.ID] {
			t.Errorf("event %s is recorded twice", r.ID)
		}
		seen[r.ID] = true
		if at, ok := acked[r.ID]; ok && at != r.Position {
			t.Errorf("event %s is at %d, and was acknowledged at %d", r.ID, r.Position, at)
		}
		delete(acked, r.ID)
		var p, w, i, k int
		if _, err := fmt.Sscanf(string(r.Payload), "%d/%d/%d/%d", &p, &w, &i, &k); err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprint(p, "/", w, "/", i)
		if whole[name] != k {
			t.Errorf("append %s: event %d comes as number %d", name, k, whole[name])
		}
		whole[name]++
	}
	for id, at := range acked {
		t.Errorf("event %s was acknowledged at %d and is not there", id, at)
	}
	for name, n := range whole {
		if n != events {
			t.Errorf("append %s is there with %d of %d events", name, n, events)
		}
	}
	if t.Failed() {
		t.Logf("faults: %v", faults)
	}
}

// TestANodeThatIsBehindIsWaitedFor reads from one, after a call that took all
// the time that a call may take.
func TestANodeThatIsBehindIsWaitedFor(t *testing.T) {
	s := start(t, server.Config{})
	log := open(t, s.URL(), hurried)
	mustAppend(t, log, write("things-1", eventlog.Any, draft("a", 0)))
	s.Inject(
		server.Fault{On: server.Read, Do: server.Hang},
		server.Fault{On: server.Read, Nth: 2, Do: server.Behind},
		server.Fault{On: server.Read, Nth: 3, Do: server.Hang},
		server.Fault{On: server.Read, Nth: 4, Do: server.Behind},
	)
	for len(s.Pending()) > 0 { // a subscription that is late may take one, too
		if got := contents(t, log); len(got) != 1 {
			t.Errorf("the log holds %q", got)
		}
	}
}

// TestASilentSubscriptionIsNoticed lets the subscription of a reader go quiet.
func TestASilentSubscriptionIsNoticed(t *testing.T) {
	s := start(t, server.Config{})
	writer := open(t, s.URL())
	s.Inject(server.Fault{On: server.Subscribe, Do: server.Silence})
	reader := open(t, s.URL(), hurried)
	struck(t, s) // its subscription is silent
	for i := range 3 {
		mustAppend(t, writer, write("things-1", eventlog.Any, draft(fmt.Sprint(i), 0)))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		if err := reader.Wait(ctx, domain.Position(i)); err != nil {
			t.Errorf("event %d: %v", i, err)
		}
		cancel()
	}
}
