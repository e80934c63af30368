package kurrentlog_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/ingest/kurrentlog"
	"wattbook/ingest/kurrentlog/server"
)

// small cuts appends into many parts.
func small(c *kurrentlog.Config) { c.MaxAppendBytes = 64 << 10 }

func several(about string) []eventlog.Draft {
	var events []eventlog.Draft
	for i := range 5 {
		events = append(events, draft(fmt.Sprint(about, i), 50<<10))
	}
	return append(events, draft(about+"large", 150<<10))
}

// agree checks that logs on one server hold the same, however they came to it.
func agree(t *testing.T, s *server.Server, logs ...*kurrentlog.Log) []string {
	t.Helper()
	want := contents(t, open(t, s.URL()))
	for i, log := range logs {
		caughtUp(t, log, domain.Position(len(want)))
		if diff := cmp.Diff(want, contents(t, log)); diff != "" {
			t.Errorf("log %d differs from one that was opened now (-opened +log):\n%s", i, diff)
		}
	}
	return want
}

func TestALargeAppendIsSplitAndSeenWhole(t *testing.T) {
	s := start(t, server.Config{MaxAppendBytes: 64 << 10})
	writer, reader := open(t, s.URL(), small), open(t, s.URL())
	events := several("a")
	done := make(chan struct{})
	go func() {
		defer close(done)
		for { // the head never stands between the first and the last event
			head, err := reader.Head(t.Context())
			if err != nil || head != 0 && head != domain.Position(len(events)) {
				t.Errorf("head %d, %v", head, err)
			}
			if head > 0 || err != nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	if r := mustAppend(t, writer, write("things-1", eventlog.None, events[:3]...), write("things-2", eventlog.None, events[3:]...)); r.First != 0 || r.Count != len(events) || r.Known {
		t.Errorf("receipt %+v", r)
	}
	<-done
	if n := len(s.Events()); n <= len(events) {
		t.Errorf("the server holds %d physical events for %d", n, len(events))
	}
	i := 0
	for r, err := range reader.ReadAll(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if !r.SameContent(r.Stream, events[i]) {
			t.Errorf("event %d did not come back whole", i)
		}
		i++
	}
	agree(t, s, writer, reader)
}

// TestAnInterruptedAppendIsVoidAndMadeAgain holds up the third part of an
// append while another process appends.
func TestAnInterruptedAppendIsVoidAndMadeAgain(t *testing.T) {
	s := start(t, server.Config{})
	writer := open(t, s.URL(), small)
	hasty := open(t, s.URL(), func(c *kurrentlog.Config) { c.Grace = time.Nanosecond })
	mustAppend(t, hasty, write("things-0", eventlog.None, draft("first", 0)))
	caughtUp(t, writer, 1)
	s.Inject(server.Fault{On: server.Append, Nth: 3, Do: server.Delay, For: 1500 * time.Millisecond})
	done := make(chan eventlog.Receipt, 1)
	go func() { done <- mustAppend(t, writer, write("things-1", eventlog.None, several("a")...)) }()
	struck(t, s)
	await(t, "the first parts", func() bool { return kurrentlog.Folded(hasty) == uint64(len(s.Events())) })
	// It takes the place, and an id, of the append that is on its way.
	if r := mustAppend(t, hasty, write("things-0", eventlog.After(1), draft("hasty", 0))); r.First != 1 {
		t.Errorf("the interrupting append: receipt %+v", r)
	}
	if r := <-done; r.First != 2 || r.Count != 6 || r.Known {
		t.Errorf("the interrupted append: receipt %+v", r)
	}
	if got := agree(t, s, writer, hasty); len(got) != 8 {
		t.Errorf("the log holds %d events, want 8", len(got))
	}
	parts, whole := 0, 0
	for _, e := range s.Events() {
		if e.ID == draft("a0", 50<<10).ID {
			parts++
		}
		if e.ID == draft("alarge", 150<<10).ID {
			whole++
		}
	}
	if parts != 2 || whole != 1 {
		t.Errorf("the server holds the append's first event %d times and its last %d times, want 2 and 1", parts, whole)
	}
}

// TestPiecesOfTwoCutsAreNeverOneEvent records the first piece of an event when
// its writer has cut it anew, for a server that takes less.
func TestPiecesOfTwoCutsAreNeverOneEvent(t *testing.T) {
	s := start(t, server.Config{})
	log := open(t, s.URL(), func(c *kurrentlog.Config) { c.MaxAppendBytes = 100 << 10 })
	s.Inject(
		server.Fault{On: server.Append, Do: server.Late, For: 100 * time.Millisecond},
		server.Fault{On: server.Append, Nth: 2, Do: server.TooLarge},
		server.Fault{On: server.Append, Nth: 3, Do: server.Delay, For: 200 * time.Millisecond},
	)
	large := draft("large", 120<<10) // two pieces, whether a piece has 100 KiB or half of it
	if r := mustAppend(t, log, write("things-1", eventlog.None, large)); r.First != 0 || r.Known {
		t.Errorf("receipt %+v", r)
	}
	if left := s.Pending(); len(left) > 0 || len(s.Events()) != 3 {
		t.Errorf("the server holds %d physical events, want 3; faults left: %v", len(s.Events()), left)
	}
	for r, err := range log.ReadAll(t.Context(), 0) {
		if err != nil || !r.SameContent("things-1", large) {
			t.Errorf("the event did not come back whole: %v", err)
		}
	}
	agree(t, s, log)
}

// TestAWriterWaitsForAnAppendThatIsOnItsWay is the same with patience.
func TestAWriterWaitsForAnAppendThatIsOnItsWay(t *testing.T) {
	s := start(t, server.Config{})
	writer, polite := open(t, s.URL(), small), open(t, s.URL(), func(c *kurrentlog.Config) { c.Grace = 5 * time.Second })
	s.Inject(server.Fault{On: server.Append, Nth: 3, Do: server.Delay, For: time.Second})
	done := make(chan eventlog.Receipt, 1)
	go func() { done <- mustAppend(t, writer, write("things-1", eventlog.None, several("a")...)) }()
	struck(t, s)
	await(t, "the first parts", func() bool { return kurrentlog.Folded(polite) == uint64(len(s.Events())) })
	if r := mustAppend(t, polite, write("things-0", eventlog.Any, draft("polite", 0))); r.First != 6 {
		t.Errorf("the append that waits: receipt %+v", r)
	}
	if r := <-done; r.First != 0 {
		t.Errorf("the append that is waited for: receipt %+v", r)
	}
	if got := agree(t, s, writer, polite); len(got) != 7 {
		t.Errorf("the log holds %d events, want 7", len(got))
	}
}

// part makes a physical event as a writer does that is about to die.
func part(about string, stream eventlog.Stream, revision int, appendID domain.EventID, k, n int) server.Event {
	d := draft(about, 0)
	m, _ := json.Marshal(map[string]string{
		"wattbook.stream": string(stream), "wattbook.revision": fmt.Sprint(revision),
		"wattbook.append": appendID.String(), "wattbook.part": fmt.Sprintf("%d/%d", k, n),
	})
	return server.Event{ID: d.ID, Type: d.Type, Data: d.Payload, Metadata: m}
}

// TestWhatAWriterLeftUnfinishedCountsForNothing begins with parts of appends
// whose writers died.
func TestWhatAWriterLeftUnfinishedCountsForNothing(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	one, two := domain.EventIDOf("append one"), domain.EventIDOf("append two")
	add := func(events ...server.Event) {
		t.Helper()
		if err := s.Add(kurrentlog.DefaultStream, events...); err != nil {
			t.Fatal(err)
		}
	}
	add(part("a", "things-1", 0, one, 1, 3), part("b", "things-1", 1, one, 2, 3)) // interrupted by another
	add(part("a", "things-1", 0, two, 1, 2))                                      // and that by itself, begun again
	add(part("a", "things-1", 0, two, 1, 2), part("b", "things-1", 1, two, 2, 2))
	add(part("x", "things-1", 2, one, 3, 3)) // the end of what is void
	add(part("c", "things-1", 2, one, 1, 2)) // unfinished
	log := open(t, s.URL(), func(c *kurrentlog.Config) { c.Dir = t.TempDir() })
	if head, err := log.Head(t.Context()); err != nil || head != 2 {
		t.Errorf("head %d, %v; want 2", head, err)
	}
	began := time.Now()
	if r := mustAppend(t, log, write("things-1", eventlog.After(2), draft("c", 0), draft("x", 0))); r.First != 2 || r.Known {
		t.Errorf("ids of void events: receipt %+v", r)
	}
	if d := time.Since(began); d < 500*time.Millisecond {
		t.Errorf("the unfinished append was waited for %s, want a second", d)
	}
	if got := agree(t, s, log); len(got) != 4 {
		t.Errorf("the log holds %q", got)
	}
}

// TestWhatNoLogWroteIsDamage lets others write to the physical stream.
func TestWhatNoLogWroteIsDamage(t *testing.T) {
	t.Parallel()
	id := domain.EventIDOf("append")
	meta := func(change func(m map[string]string)) server.Event {
		e := part("b", "things-1", 1, id, 1, 1)
		m := map[string]string{}
		_ = json.Unmarshal(e.Metadata, &m)
		change(m)
		e.Metadata, _ = json.Marshal(m)
		return e
	}
	for name, e := range map[string]server.Event{
		"no metadata":             {ID: id, Type: "stray"},
		"metadata of numbers":     {ID: id, Type: "stray", Metadata: []byte(`{"wattbook.revision":1}`)},
		"no stream":               meta(func(m map[string]string) { delete(m, "wattbook.stream") }),
		"a stream with no id":     meta(func(m map[string]string) { m["wattbook.stream"] = "things" }),
		"no revision":             meta(func(m map[string]string) { delete(m, "wattbook.revision") }),
		"a revision that is not":  meta(func(m map[string]string) { m["wattbook.revision"] = "7" }),
		"no append":               meta(func(m map[string]string) { delete(m, "wattbook.append") }),
		"no part":                 meta(func(m map[string]string) { delete(m, "wattbook.part") }),
		"part 2 of 1":             meta(func(m map[string]string) { m["wattbook.part"] = "2/1" }),
		"too many pieces":         meta(func(m map[string]string) { m["wattbook.piece"] = "1/100000" }),
		"half an event":           meta(func(m map[string]string) { m["wattbook.piece"] = "1/2" }),
		"the end of an event":     meta(func(m map[string]string) { m["wattbook.piece"] = "2/2" }),
		"metadata of no length":   meta(func(m map[string]string) { m["wattbook.metadata"] = "x" }),
		"an id that is on record": part("a", "things-1", 1, id, 1, 1),
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, server.Config{})
			log := open(t, s.URL())
			mustAppend(t, log, write("things-1", eventlog.None, draft("a", 0)))
			if err := s.Add(kurrentlog.DefaultStream, e); err != nil {
				t.Fatal(err)
			}
			var corrupt *eventlog.CorruptError
			if err := log.Wait(t.Context(), 1); !errors.As(err, &corrupt) || corrupt.Place != "physical event 1" {
				t.Errorf("wait: %v", err)
			}
			if _, err := log.Append(t.Context(), write("things-1", eventlog.Any, draft("c", 0))); !errors.As(err, &corrupt) {
				t.Errorf("append: %v", err)
			}
			if got := contents(t, log); len(got) != 1 {
				t.Errorf("what is before it: %q", got)
			}
			if _, err := tryOpen(t, s.URL()); !errors.As(err, &corrupt) || corrupt.Place != "physical event 1" {
				t.Errorf("open: %v", err)
			}
		})
	}
}

// TestContentThatIsNotWhatTheViewSays is damage, and so is content that is
// gone.
func TestContentThatIsNotWhatTheViewSays(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	log := open(t, s.URL(), small, short)
	mustAppend(t, log, write("things-1", eventlog.None, draft("a", 0), draft("large", 200<<10), draft("c", 0)))
	s.Inject(server.Fault{On: server.Read, Do: server.Garble})
	damage := func(from domain.Position, place string) {
		t.Helper()
		for _, err := range log.ReadAll(t.Context(), from) {
			var corrupt *eventlog.CorruptError
			if !errors.As(err, &corrupt) || !strings.HasPrefix(corrupt.Place, place) {
				t.Errorf("from %d: %v", from, err)
			}
			return
		}
	}
	damage(0, "event at position 0 (physical event 0)")
	if got := contents(t, log); len(got) != 3 {
		t.Errorf("read again: %q", got)
	}
	if err := s.Add("$$"+kurrentlog.DefaultStream, server.Event{ID: domain.EventIDOf("m"), Type: "$metadata", JSON: true, Data: []byte(`{"$tb":2}`)}); err != nil {
		t.Fatal(err)
	}
	damage(0, "event at position 0 (physical event 0)")
	damage(1, "event at position 1 (physical event 1)")
	var corrupt *eventlog.CorruptError
	if _, err := tryOpen(t, s.URL()); !errors.As(err, &corrupt) || corrupt.Place != "physical event 0" {
		t.Errorf("open: %v", err)
	}
	if err := s.Add("$$"+kurrentlog.DefaultStream, server.Event{ID: domain.EventIDOf("n"), Type: "$metadata", JSON: true, Data: []byte(`{"$tb":9223372036854775807}`)}); err != nil {
		t.Fatal(err)
	}
	damage(2, "event at position 2")
}
