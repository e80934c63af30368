// Package logtest is the conformance suite that every event log passes.
package logtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wattbook/domain"
	"wattbook/domain/eventlog"
)

// Run checks that the logs that open returns keep the contract. Each call of
// open must return a new, empty log; Run closes it.
func Run(t *testing.T, open func(t *testing.T) eventlog.Log) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, log eventlog.Log)
	}{
		{"positions and revisions are dense from 0", dense},
		{"a record holds what was appended", content},
		{"a write is refused where its stream is not", revisions},
		{"writes to several streams are recorded together or not at all", several},
		{"an event that is on record is accepted and recorded once", duplicates},
		{"an id with other content is a conflict", conflicts},
		{"an append that is half on record is a conflict", halves},
		{"recorded times increase whatever the clock does", times},
		{"concurrent appenders lose and double nothing", concurrent},
		{"concurrent writers of one stream take turns", contention},
		{"a follower sees every event once, in order, without a gap", follow},
		{"a follower that resumes anywhere sees the same, and never half an append", resume},
		{"waiting ends with the context and with the log", waiting},
		{"reading starts anywhere and stops at will", reading},
		{"a cancelled append says so", cancelled},
		{"appends that are given up are there once and whole, or not at all", givenUp},
		{"limits are stated and kept", limits},
		{"a closed log says so", closed},
		{"random histories agree with a model", model},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := open(t)
			t.Cleanup(func() {
				if err := log.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
			c.test(t, log)
		})
	}
}

// draft returns an event named by what it is about.
func draft(about ...any) eventlog.Draft {
	name := fmt.Sprint(about...)
	return eventlog.Draft{ID: domain.EventIDOf("logtest", name), Type: "thing.happened/1", Payload: []byte(`{"about":"` + name + `"}`)}
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

func all(t *testing.T, log eventlog.Log) []eventlog.Record {
	t.Helper()
	var rs []eventlog.Record
	for r, err := range log.ReadAll(t.Context(), 0) {
		if err != nil {
			t.Fatalf("read all: %v", err)
		}
		rs = append(rs, r)
	}
	return rs
}

func stream(t *testing.T, log eventlog.Log, s eventlog.Stream, from eventlog.Revision) []eventlog.Record {
	t.Helper()
	var rs []eventlog.Record
	for r, err := range log.ReadStream(t.Context(), s, from) {
		if err != nil {
			t.Fatalf("read stream %s: %v", s, err)
		}
		rs = append(rs, r)
	}
	return rs
}

func head(t *testing.T, log eventlog.Log, want domain.Position) {
	t.Helper()
	if got, err := log.Head(t.Context()); err != nil || got != want {
		t.Fatalf("head: got %d, %v; want %d", got, err, want)
	}
}

func dense(t *testing.T, log eventlog.Log) {
	head(t, log, 0)
	for i := range 30 {
		s := eventlog.Stream(fmt.Sprintf("things-%d", i%3))
		r := mustAppend(t, log, write(s, eventlog.Any, draft(i, "a"), draft(i, "b")))
		if want := (eventlog.Receipt{First: domain.Position(2 * i), Count: 2}); r != want {
			t.Fatalf("append %d: receipt %+v, want %+v", i, r, want)
		}
	}
	head(t, log, 60)
	next := map[eventlog.Stream]eventlog.Revision{}
	for i, r := range all(t, log) {
		if r.Position != domain.Position(i) || r.Revision != next[r.Stream] {
			t.Fatalf("event %d: position %d, %s revision %d; want revision %d", i, r.Position, r.Stream, r.Revision, next[r.Stream])
		}
		next[r.Stream]++
	}
	for s, want := range next {
		if got, err := log.Next(t.Context(), s); err != nil || got != want {
			t.Errorf("next of %s: got %d, %v; want %d", s, got, err, want)
		}
	}
	if got, err := log.Next(t.Context(), "things-none"); err != nil || got != 0 {
		t.Errorf("next of a stream that does not exist: got %d, %v; want 0", got, err)
	}
}

func content(t *testing.T, log eventlog.Log) {
	d := eventlog.Draft{
		ID: domain.EventIDOf("content"), Type: "readings.recorded/1",
		Payload:  []byte{0, 1, 2, 0xff, 0xfe, '"', '\n'},
		Metadata: eventlog.Metadata{"$correlationId": "poll 7", "zone": "Zürich", "empty": ""},
	}
	given := eventlog.Draft{ID: d.ID, Type: d.Type, Payload: slices.Clone(d.Payload), Metadata: maps.Clone(d.Metadata)}
	mustAppend(t, log, write("readings-site.meter-1", eventlog.None, given))
	given.Payload[0] = 9 // what is recorded does not change with the caller's bytes
	given.Metadata["zone"] = "elsewhere"
	rs := all(t, log)
	if len(rs) != 1 {
		t.Fatalf("got %d events, want 1", len(rs))
	}
	if rs[0].RecordedAt == 0 {
		t.Error("recorded time is missing")
	}
	want := eventlog.Record{Stream: "readings-site.meter-1", ID: d.ID, Type: d.Type, RecordedAt: rs[0].RecordedAt, Payload: d.Payload, Metadata: d.Metadata}
	if diff := cmp.Diff(want, rs[0]); diff != "" {
		t.Errorf("record differs (-want +got):\n%s", diff)
	}
	rs[0].Payload[0] = 7 // nor with the reader's
	if diff := cmp.Diff(want, all(t, log)[0]); diff != "" {
		t.Errorf("record changed with a reader's bytes:\n%s", diff)
	}
	mustAppend(t, log, write("readings-empty", eventlog.None, eventlog.Draft{ID: domain.EventIDOf("empty"), Type: "nothing.happened/1"}))
	if got := stream(t, log, "readings-empty", 0); len(got) != 1 || len(got[0].Payload) != 0 || len(got[0].Metadata) != 0 {
		t.Errorf("empty event: got %+v", got)
	}
}

func revisions(t *testing.T, log eventlog.Log) {
	const s = "things-1"
	for i, c := range []struct {
		expect eventlog.Expect
		ok     bool
		after  eventlog.Revision
	}{
		{eventlog.Exists, false, 0},
		{0, false, 0},
		{eventlog.None, true, 1},
		{eventlog.None, false, 1},
		{1, false, 1},
		{0, true, 2},
		{0, false, 2},
		{eventlog.Exists, true, 3},
		{eventlog.Any, true, 4},
		{eventlog.After(4), true, 5},
		{eventlog.After(4), false, 5},
		{99, false, 5},
	} {
		_, err := log.Append(t.Context(), write(s, c.expect, draft(i)))
		if c.ok {
			if err != nil {
				t.Fatalf("step %d, expecting %s: %v", i, c.expect, err)
			}
		} else {
			var wrong *eventlog.RevisionError
			if !errors.As(err, &wrong) || !errors.Is(err, eventlog.ErrWrongExpectedRevision) {
				t.Fatalf("step %d, expecting %s: got %v, want a revision error", i, c.expect, err)
			}
			if want := (eventlog.RevisionError{Stream: s, Want: c.expect, Actual: c.after}); *wrong != want {
				t.Fatalf("step %d: got %+v, want %+v", i, *wrong, want)
			}
		}
		if got, _ := log.Next(t.Context(), s); got != c.after {
			t.Fatalf("step %d: the stream has %d events, want %d", i, got, c.after)
		}
	}
}

func several(t *testing.T, log eventlog.Log) {
	mustAppend(t, log, write("energy-1", eventlog.None, draft("e0")), write("money-1", eventlog.None, draft("m0"), draft("m1")))
	_, err := log.Append(t.Context(), write("energy-1", eventlog.After(1), draft("e1")), write("money-1", eventlog.After(1), draft("m2")))
	if !errors.Is(err, eventlog.ErrWrongExpectedRevision) {
		t.Fatalf("got %v, want a revision error", err)
	}
	head(t, log, 3)
	// A write without events is a condition on a stream that is not written.
	_, err = log.Append(t.Context(), write("money-1", eventlog.After(1)), write("energy-1", eventlog.Any, draft("e1")))
	if !errors.Is(err, eventlog.ErrWrongExpectedRevision) {
		t.Fatalf("condition: got %v, want a revision error", err)
	}
	r := mustAppend(t, log, write("money-1", eventlog.After(2)), write("energy-1", eventlog.After(1), draft("e1")), write("heat-1", eventlog.None, draft("h0")))
	if r.First != 3 || r.Count != 2 {
		t.Fatalf("receipt %+v", r)
	}
	var names []string
	for _, r := range all(t, log) {
		names = append(names, fmt.Sprintf("%s %d", r.Stream, r.Revision))
	}
	want := []string{"energy-1 0", "money-1 0", "money-1 1", "energy-1 1", "heat-1 0"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func duplicates(t *testing.T, log eventlog.Log) {
	first := []eventlog.Write{write("things-1", eventlog.None, draft("a"), draft("b"))}
	mustAppend(t, log, write("things-0", eventlog.Any, draft("z")))
	mustAppend(t, log, first...)
	for i := range 50 {
		mustAppend(t, log, write("things-2", eventlog.Any, draft("later", i)))
	}
	for range 3 {
		r := mustAppend(t, log, first...)
		if want := (eventlog.Receipt{First: 1, Count: 2, Known: true}); r != want {
			t.Fatalf("receipt %+v, want %+v", r, want)
		}
	}
	head(t, log, 53)
}

func conflicts(t *testing.T, log eventlog.Log) {
	d := draft("a")
	d.Metadata = eventlog.Metadata{"k": "v"}
	mustAppend(t, log, write("things-1", eventlog.Any, draft("z"), d))
	other := func(change func(*eventlog.Draft)) eventlog.Draft {
		o := d
		o.Metadata = maps.Clone(d.Metadata)
		change(&o)
		return o
	}
	for name, w := range map[string]eventlog.Write{
		"payload":        write("things-1", eventlog.Any, other(func(o *eventlog.Draft) { o.Payload = []byte("else") })),
		"type":           write("things-1", eventlog.Any, other(func(o *eventlog.Draft) { o.Type = "else.happened/1" })),
		"metadata":       write("things-1", eventlog.Any, other(func(o *eventlog.Draft) { o.Metadata["k"] = "w" })),
		"more metadata":  write("things-1", eventlog.Any, other(func(o *eventlog.Draft) { o.Metadata["l"] = "" })),
		"another stream": write("things-2", eventlog.Any, d),
	} {
		_, err := log.Append(t.Context(), w)
		var conflict *eventlog.ConflictError
		if !errors.As(err, &conflict) || !errors.Is(err, eventlog.ErrIdempotencyConflict) {
			t.Errorf("%s: got %v, want a conflict", name, err)
		} else if conflict.ID != d.ID || conflict.Position != 1 {
			t.Errorf("%s: got %+v", name, *conflict)
		}
	}
	head(t, log, 2)
}

func halves(t *testing.T, log eventlog.Log) {
	mustAppend(t, log, write("things-1", eventlog.Any, draft("a")))
	for name, events := range map[string][]eventlog.Draft{
		"known first": {draft("a"), draft("b")}, "new first": {draft("b"), draft("a")},
	} {
		if _, err := log.Append(t.Context(), write("things-1", eventlog.Any, events...)); !errors.Is(err, eventlog.ErrIdempotencyConflict) {
			t.Errorf("%s: got %v, want a conflict", name, err)
		}
	}
	head(t, log, 1)
}

func times(t *testing.T, log eventlog.Log) {
	for i := range 200 {
		mustAppend(t, log, write("things-1", eventlog.Any, draft(i, "a"), draft(i, "b"), draft(i, "c")))
	}
	last := domain.Instant(0)
	for _, r := range all(t, log) {
		if r.RecordedAt <= last {
			t.Fatalf("position %d is recorded at %s, after %s", r.Position, r.RecordedAt, last)
		}
		last = r.RecordedAt
	}
}

func concurrent(t *testing.T, log eventlog.Log) {
	const writers, each = 16, 40
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				s := eventlog.Stream(fmt.Sprintf("things-%d", (w+i)%5))
				for range 1 + (w+i)%2 { // some appends are retried
					if _, err := log.Append(t.Context(), write(s, eventlog.Any, draft(w, "/", i, "a"), draft(w, "/", i, "b"))); err != nil {
						t.Errorf("writer %d, append %d: %v", w, i, err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	seen := map[domain.EventID]bool{}
	rs := all(t, log)
	for i, r := range rs {
		if seen[r.ID] {
			t.Fatalf("event %s is recorded twice", r.ID)
		}
		seen[r.ID] = true
		if r.Position != domain.Position(i) {
			t.Fatalf("position %d in place %d", r.Position, i)
		}
	}
	if want := writers * each * 2; len(rs) != want {
		t.Fatalf("%d events recorded, want %d", len(rs), want)
	}
}

func contention(t *testing.T, log eventlog.Log) {
	const writers, each = 8, 12
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				for {
					n, err := log.Next(t.Context(), "counter-1")
					if err != nil {
						t.Error(err)
						return
					}
					_, err = log.Append(t.Context(), write("counter-1", eventlog.After(n), draft(w, "/", i)))
					if err == nil {
						break
					}
					if !errors.Is(err, eventlog.ErrWrongExpectedRevision) {
						t.Errorf("writer %d: %v", w, err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	head(t, log, writers*each)
}

func reading(t *testing.T, log eventlog.Log) {
	for i := range 20 {
		mustAppend(t, log, write(eventlog.Stream(fmt.Sprintf("things-%d", i%2)), eventlog.Any, draft(i)))
	}
	for from := range domain.Position(22) {
		n := 0
		for r, err := range log.ReadAll(t.Context(), from) {
			if err != nil {
				t.Fatal(err)
			}
			if r.Position != from+domain.Position(n) {
				t.Fatalf("from %d: got position %d after %d events", from, r.Position, n)
			}
			n++
		}
		if want := max(0, 20-int(from)); n != want {
			t.Fatalf("from %d: got %d events, want %d", from, n, want)
		}
	}
	for from := range eventlog.Revision(12) {
		rs := stream(t, log, "things-1", from)
		if got, want := len(rs), max(0, 10-int(from)); got != want {
			t.Fatalf("stream from %d: got %d events, want %d", from, got, want)
		}
		for i, r := range rs {
			if want := from + eventlog.Revision(i); r.Stream != "things-1" || r.Revision != want || r.Position != domain.Position(2*want+1) {
				t.Fatalf("stream from %d: event %d is revision %d of %s at position %d", from, i, r.Revision, r.Stream, r.Position)
			}
		}
	}
	if got := stream(t, log, "things-none", 0); len(got) != 0 {
		t.Errorf("a stream that does not exist has %d events", len(got))
	}
	// A stream whose name begins like another's is not part of it.
	mustAppend(t, log, write("things-11", eventlog.None, draft("eleven")))
	if got := stream(t, log, "things-1", 0); len(got) != 10 {
		t.Errorf("things-1 has %d events, want 10", len(got))
	}
	for range log.ReadAll(t.Context(), 0) {
		break
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	for _, err := range log.ReadAll(ctx, 0) {
		if n++; n == 5 {
			cancel()
		}
		if err != nil {
			if !errors.Is(err, context.Canceled) || n != 6 {
				t.Errorf("after %d events: %v", n, err)
			}
		}
	}
	if n > 6 {
		t.Errorf("a cancelled read went on to %d events", n)
	}
}

func cancelled(t *testing.T, log eventlog.Log) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := log.Append(ctx, write("things-1", eventlog.Any, draft("a"))); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's end", err)
	}
	// Whatever became of it, appending again settles it.
	mustAppend(t, log, write("things-1", eventlog.Any, draft("a")))
	head(t, log, 1)
}

func closed(t *testing.T, log eventlog.Log) {
	mustAppend(t, log, write("things-1", eventlog.Any, draft("a")))
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := log.Append(t.Context(), write("things-1", eventlog.Any, draft("b"))); !errors.Is(err, eventlog.ErrClosed) {
		t.Errorf("append: got %v", err)
	}
	if _, err := log.Head(t.Context()); !errors.Is(err, eventlog.ErrClosed) {
		t.Errorf("head: got %v", err)
	}
	if _, err := log.Next(t.Context(), "things-1"); !errors.Is(err, eventlog.ErrClosed) {
		t.Errorf("next: got %v", err)
	}
	if err := log.Wait(t.Context(), 5); !errors.Is(err, eventlog.ErrClosed) {
		t.Errorf("wait: got %v", err)
	}
	for _, err := range log.ReadAll(t.Context(), 0) {
		if !errors.Is(err, eventlog.ErrClosed) {
			t.Errorf("read all: got %v", err)
		}
	}
	if err := log.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}

// model drives the log and a trivial model with the same random appends.
func model(t *testing.T, log eventlog.Log) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	mem := eventlog.NewMem(func() domain.Instant { return 1 })
	for i := range 400 {
		var writes []eventlog.Write
		for s := range rng.IntN(3) + 1 {
			w := write(eventlog.Stream(fmt.Sprintf("things-%d", s)), eventlog.Expect(rng.IntN(8)-3))
			for range rng.IntN(3) {
				d := draft(rng.IntN(150))
				if rng.IntN(20) == 0 {
					d.Payload = []byte("other")
				}
				w.Events = append(w.Events, d)
			}
			writes = append(writes, w)
		}
		got, gotErr := log.Append(t.Context(), writes...)
		want, wantErr := mem.Append(t.Context(), writes...)
		if got != want || fmt.Sprint(gotErr) != fmt.Sprint(wantErr) {
			t.Fatalf("step %d: got %+v, %v; want %+v, %v", i, got, gotErr, want, wantErr)
		}
	}
	got, want := all(t, log), all(t, mem)
	for i := range got {
		got[i].RecordedAt = 0
	}
	for i := range want {
		want[i].RecordedAt = 0
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("logs differ (-want +got):\n%s", diff)
	}
}
