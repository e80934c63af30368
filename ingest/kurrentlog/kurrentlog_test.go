package kurrentlog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/go-cmp/cmp"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/eventlog/logtest"
	"wattbook/ingest/kurrentlog"
	"wattbook/ingest/kurrentlog/server"
)

// clock steps back every few ticks, as clocks do.
func clock() func() time.Time {
	var n atomic.Int64
	return func() time.Time { i := n.Add(1); return time.UnixMicro(1_000_000 + i - 5*(i%7)) }
}

// await waits until something holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: it does not come", what)
		}
	}
}

// struck waits until the faults have come to pass.
func struck(t *testing.T, s *server.Server) {
	t.Helper()
	await(t, "the last fault", func() bool { return len(s.Pending()) == 0 })
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func start(t *testing.T, cfg server.Config) *server.Server {
	t.Helper()
	if cfg.Now == nil {
		cfg.Now = clock()
	}
	s, err := server.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func tryOpen(t *testing.T, url string, change ...func(*kurrentlog.Config)) (*kurrentlog.Log, error) {
	t.Helper()
	cfg := kurrentlog.Config{URL: url, Logger: quiet(), Timeout: 2 * time.Second}
	for _, c := range change {
		c(&cfg)
	}
	return kurrentlog.Open(t.Context(), cfg)
}

func open(t *testing.T, url string, change ...func(*kurrentlog.Config)) *kurrentlog.Log {
	t.Helper()
	log, err := tryOpen(t, url, change...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	return log
}

// client returns a client of the server with nothing between.
func client(t *testing.T, url string) *esdb.Client {
	t.Helper()
	conf, err := esdb.ParseConnectionString(url)
	if err != nil {
		t.Fatal(err)
	}
	conf.Logger, conf.MaxDiscoverAttempts = esdb.NoopLogging(), 2
	c, err := esdb.NewClient(conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !t.Failed() && t.Name() != "TestDefect2CallersBlockForEver" { // who blocks for ever would panic
			_ = c.Close()
		}
	})
	return c
}

func draft(about string, size int) eventlog.Draft {
	payload := []byte(about + strings.Repeat(" and more", size/9))
	return eventlog.Draft{ID: domain.EventIDOf("kurrentlog", about), Type: "thing.happened/1", Payload: payload}
}

func write(stream eventlog.Stream, expect eventlog.Expect, events ...eventlog.Draft) eventlog.Write {
	return eventlog.Write{Stream: stream, Expect: expect, Events: events}
}

func mustAppend(t *testing.T, log eventlog.Log, writes ...eventlog.Write) eventlog.Receipt {
	t.Helper()
	r, err := log.Append(t.Context(), writes...)
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	return r
}

// contents returns what a log holds, in words, and where.
func contents(t *testing.T, log *kurrentlog.Log) []string {
	t.Helper()
	var all []string
	for r, err := range log.ReadAll(t.Context(), 0) {
		if err != nil {
			t.Fatalf("read: %v", err)
		}
		place, ok := log.Place(r.Position)
		if !ok {
			t.Fatalf("position %d has no place", r.Position)
		}
		digest := domain.DigestOf(r.Payload)
		all = append(all, fmt.Sprint(r.Position, r.Stream, r.Revision, r.ID, r.Type, int64(r.RecordedAt), digest, r.Metadata, place))
	}
	return all
}

func caughtUp(t *testing.T, log eventlog.Log, head domain.Position) {
	t.Helper()
	if head == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := log.Wait(ctx, head-1); err != nil {
		t.Fatalf("wait for position %d: %v", head-1, err)
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	logtest.Run(t, func(t *testing.T) eventlog.Log { return open(t, start(t, server.Config{}).URL()) })
}

// TestConformanceWithAKeptView runs the suite where appends are cut small, and
// the view is kept.
func TestConformanceWithAKeptView(t *testing.T) {
	t.Parallel()
	logtest.Run(t, func(t *testing.T) eventlog.Log {
		s := start(t, server.Config{MaxAppendBytes: 80 << 10})
		return open(t, s.URL(), func(c *kurrentlog.Config) { c.Dir, c.MaxAppendBytes = t.TempDir(), 64<<10 })
	})
}

// TestConformanceWhenReopened closes and opens logs, whose view is kept or made
// anew.
func TestConformanceWhenReopened(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{"", t.TempDir()} {
		logtest.RunReopened(t, func(t *testing.T) func() eventlog.Log {
			s := start(t, server.Config{})
			return func() eventlog.Log { return open(t, s.URL(), kept(dir)) }
		})
	}
}

// TestConformanceOfARealServer runs the suite where there is one.
func TestConformanceOfARealServer(t *testing.T) {
	url := os.Getenv("WATTBOOK_EVENTSTOREDB")
	if url == "" {
		t.Skip("WATTBOOK_EVENTSTOREDB names no server: set it to a connection string, esdb://…, of one that may be written to")
	}
	run := rand.Uint64()
	n := 0
	logtest.Run(t, func(t *testing.T) eventlog.Log {
		n++
		return open(t, url, func(c *kurrentlog.Config) {
			c.Stream, c.Timeout = fmt.Sprintf("wattbook-test.%x-%d", run, n), 10*time.Second
		})
	})
	logtest.RunReopened(t, func(t *testing.T) func() eventlog.Log {
		return func() eventlog.Log {
			return open(t, url, func(c *kurrentlog.Config) {
				c.Stream, c.Timeout = fmt.Sprintf("wattbook-test.%x-again", run), 10*time.Second
			})
		}
	})
}

// TestAnEventIsStoredAsViewersExpect looks at what the server holds.
func TestAnEventIsStoredAsViewersExpect(t *testing.T) {
	s := start(t, server.Config{})
	log := open(t, s.URL())
	in := eventlog.Draft{
		ID: domain.EventIDOf("x"), Type: "power.priced/1", Payload: []byte(`{"price":"42"}`),
		Metadata: eventlog.Metadata{"$correlationId": "c", "$causationId": "b", "zone": "Zürich", "wattbook.stream": "mine", "wattbook.own.": "too"},
	}
	binary := eventlog.Draft{ID: domain.EventIDOf("y"), Type: "readings.recorded/1", Payload: []byte{0xff, 0}}
	mustAppend(t, log, write("prices-hb_south", eventlog.None, in), write("readings-site.1", eventlog.None, binary))
	events := s.Events()
	if len(events) != 2 || events[0].Stream != kurrentlog.DefaultStream {
		t.Fatalf("the server holds %+v", events)
	}
	var m map[string]string
	if err := json.Unmarshal(events[0].Metadata, &m); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"wattbook.stream": "prices-hb_south", "wattbook.revision": "0", "wattbook.part": "1/2", "wattbook.append": m["wattbook.append"],
		"$correlationId": "c", "$causationId": "b", "zone": "Zürich",
		"wattbook.own.wattbook.stream": "mine", "wattbook.own.wattbook.own.": "too",
	}
	if diff := cmp.Diff(want, m); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
	e := events[0]
	if e.ID != in.ID || e.Type != in.Type || !e.JSON || !bytes.Equal(e.Data, in.Payload) || events[1].JSON {
		t.Errorf("the first event is %+v, the second JSON: %t", e, events[1].JSON)
	}
	for r, err := range log.ReadAll(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if place, _ := log.Place(r.Position); place != (kurrentlog.Place{Revision: events[r.Position].Revision, Commit: events[r.Position].Commit, Prepare: events[r.Position].Prepare}) {
			t.Errorf("position %d is at %+v, want %+v", r.Position, place, events[r.Position])
		}
		if r.Position == 0 {
			if diff := cmp.Diff(in.Metadata, r.Metadata); diff != "" {
				t.Errorf("the draft's metadata (-want +got):\n%s", diff)
			}
		}
	}
	if _, ok := log.Place(2); ok {
		t.Error("a position without an event has a place")
	}
}

// TestWhatJSONCannotHoldComesBackWhole writes metadata that are not UTF-8, or
// larger than an append may be.
func TestWhatJSONCannotHoldComesBackWhole(t *testing.T) {
	t.Parallel()
	log := open(t, start(t, server.Config{}).URL())
	for i, m := range []eventlog.Metadata{
		{"k\xff": "v"},
		{"k": "v\xfe\x00"},
		{"k": strings.Repeat("\x01", 30<<10)},
		{"k": strings.Repeat("x", eventlog.MaxEventBytes-10)},
		{"": "", "wattbook.": "\xc3"},
	} {
		d := draft(fmt.Sprint(i), 0)
		d.Payload, d.Metadata = []byte("{}"), m
		mustAppend(t, log, write("things-1", eventlog.Any, d))
		if r := mustAppend(t, log, write("things-1", eventlog.Any, d)); !r.Known {
			t.Errorf("row %d: the same event again gives %+v", i, r)
		}
	}
	bad := draft("bad", 0)
	bad.Type = "\xff"
	if _, err := log.Append(t.Context(), write("things-1", eventlog.Any, bad)); err == nil || !strings.Contains(err.Error(), "UTF-8") {
		t.Errorf("a type that the protocol cannot carry: %v", err)
	}
}

// TestProcessesShareALog lets several logs write to one stream at once.
func TestProcessesShareALog(t *testing.T) {
	t.Parallel()
	const processes, writers, each = 3, 3, 15
	s := start(t, server.Config{})
	var logs []*kurrentlog.Log
	for range processes {
		logs = append(logs, open(t, s.URL()))
	}
	var wg sync.WaitGroup
	for p, log := range logs {
		for w := range writers {
			wg.Go(func() {
				for i := 0; i < each; {
					n, err := log.Next(t.Context(), "counter-1")
					if err != nil {
						t.Error(err)
						return
					}
					_, err = log.Append(t.Context(), write("counter-1", eventlog.After(n), draft(fmt.Sprint(p, w, i), 0)), write("other-1", eventlog.Any, draft(fmt.Sprint(p, w, i, "b"), 0)))
					var wrong *eventlog.RevisionError
					switch {
					case err == nil:
						i++
					case !errors.As(err, &wrong) || wrong.Actual <= n:
						t.Errorf("process %d, expecting %d events: %v", p, n, err)
						return
					}
				}
			})
		}
	}
	wg.Wait()
	const head = 2 * processes * writers * each
	var first []string
	for p, log := range logs {
		caughtUp(t, log, head)
		got := contents(t, log)
		if p == 0 {
			first = got
		}
		if diff := cmp.Diff(first, got); diff != "" || len(got) != head {
			t.Errorf("process %d has %d events, want %d (-first +got):\n%s", p, len(got), head, diff)
		}
	}
	// Two processes with the same event: one records it, the other finds it.
	results := make(chan eventlog.Receipt, processes)
	for _, log := range logs {
		wg.Go(func() { results <- mustAppend(t, log, write("same-1", eventlog.Any, draft("same", 9))) })
	}
	wg.Wait()
	known := 0
	for range logs {
		r := <-results
		if r.First != head || r.Count != 1 {
			t.Errorf("receipt %+v", r)
		}
		if r.Known {
			known++
		}
	}
	if known != processes-1 {
		t.Errorf("%d processes found the event on record, want %d", known, processes-1)
	}
	if _, err := logs[0].Append(t.Context(), write("same-1", eventlog.Any, eventlog.Draft{ID: draft("same", 9).ID, Type: "other/1"})); !errors.Is(err, eventlog.ErrIdempotencyConflict) {
		t.Errorf("the same id with other content: %v", err)
	}
}

// TestAppendsThatWaitTogetherTravelTogether counts the calls that the server
// sees: a call costs a round trip, and only one can be on its way.
func TestAppendsThatWaitTogetherTravelTogether(t *testing.T) {
	var calls atomic.Int64
	s := start(t, server.Config{Watch: count(&calls, server.Append)})
	s.Inject(server.Fault{On: server.Append, Do: server.Delay, For: 500 * time.Millisecond})
	log := open(t, s.URL())
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() { mustAppend(t, log, write("things-1", eventlog.Any, draft(fmt.Sprint(i), 0))) })
	}
	wg.Wait()
	if n := calls.Load(); n > 10 {
		t.Errorf("64 appends at once made %d calls", n)
	}
}

func count(n *atomic.Int64, what server.Call) func(server.Call, map[string][]string) {
	return func(call server.Call, _ map[string][]string) {
		if call == what {
			n.Add(1)
		}
	}
}

// goroutines returns the stacks of the goroutines that are running, by number.
func goroutines() map[string]string {
	raw := make([]byte, 8<<20)
	running := map[string]string{}
	for stack := range strings.SplitSeq(string(raw[:runtime.Stack(raw, true)]), "\n\n") {
		number, _, _ := strings.Cut(strings.TrimPrefix(stack, "goroutine "), " ")
		running[number] = stack
	}
	return running
}

// TestACloseLeavesNothingBehind looks for goroutines, after calls that ended
// well, badly and not at all.
func TestACloseLeavesNothingBehind(t *testing.T) {
	for name, script := range map[string][]server.Fault{
		"all is well":            {},
		"calls hang":             {{On: server.Append, Do: server.Hang}, {On: server.Read, Nth: 3, Do: server.Hang}},
		"connections drop":       {{On: server.Append, Do: server.Drop, After: true}, {On: server.Read, Nth: 3, Do: server.Drop}, {On: server.Subscribe, Nth: 2, Do: server.Drop, After: true}},
		"the client panics":      {{On: server.Read, Do: server.Unknown}},
		"the server restarts":    {{On: server.Append, Do: server.Restart, For: 30 * time.Millisecond}},
		"the leader is named":    {{On: server.Append, Do: server.NotLeader}},
		"discovery hangs":        {{On: server.Append, Do: server.Drop}, {On: server.Features, Do: server.Hang}},
		"the server is refusing": {{On: server.Append, Do: server.Refuse, For: 50 * time.Millisecond}},
	} {
		t.Run(name, func(t *testing.T) {
			before := goroutines()
			s, err := server.Start(server.Config{})
			if err != nil {
				t.Fatal(err)
			}
			log := open(t, s.URL(), func(c *kurrentlog.Config) { c.Timeout = 300 * time.Millisecond })
			s.Inject(script...)
			for i := range 3 {
				mustAppend(t, log, write("things-1", eventlog.Any, draft(fmt.Sprint(i), 0)))
			}
			contents(t, log)
			waiting := make(chan error, 1)
			go func() { waiting <- log.Wait(context.Background(), 1<<40) }()
			if err := log.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
			if err := <-waiting; !errors.Is(err, eventlog.ErrClosed) {
				t.Errorf("wait on a closed log: %v", err)
			}
			s.Close()
			var left map[string]string
			for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
				left = goroutines()
				for number := range before {
					delete(left, number)
				}
				if len(left) == 0 {
					return
				}
			}
			for _, stack := range left {
				t.Errorf("left behind:\n%s", stack)
			}
		})
	}
}

// listener hears what a logger writes.
type listener func(line string)

func (l listener) Write(b []byte) (int, error) {
	l(string(b))
	return len(b), nil
}

// TestCloseFinishesWhatIsQueued closes a log whose appends are on their way,
// and one whose server is gone.
func TestCloseFinishesWhatIsQueued(t *testing.T) {
	s := start(t, server.Config{})
	log := open(t, s.URL(), func(c *kurrentlog.Config) { c.Timeout = time.Second })
	s.Inject(server.Fault{On: server.Append, Do: server.Delay, For: 300 * time.Millisecond})
	done := make(chan error, 1)
	go func() {
		_, err := log.Append(context.Background(), write("things-1", eventlog.Any, draft("a", 0)))
		done <- err
	}()
	struck(t, s)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("the append that was on its way: %v", err)
	}
	var tried atomic.Bool
	log = open(t, s.URL(), func(c *kurrentlog.Config) {
		c.Timeout = 300 * time.Millisecond
		c.Logger = slog.New(slog.NewTextHandler(listener(func(line string) {
			if strings.Contains(line, "an append was not seen to its end") {
				tried.Store(true)
			}
		}), nil))
	})
	s.Stop()
	go func() {
		_, err := log.Append(context.Background(), write("things-1", eventlog.Any, draft("b", 0)))
		done <- err
	}()
	await(t, "an attempt to append", tried.Load)
	began := time.Now()
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, eventlog.ErrClosed) || !strings.Contains(err.Error(), "may yet be recorded") {
		t.Errorf("the append without a server: %v", err)
	}
	if d := time.Since(began); d > 10*time.Second {
		t.Errorf("close took %s", d)
	}
}
