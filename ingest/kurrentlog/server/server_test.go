package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"wattbook/ingest/kurrentlog/server"
)

func start(t *testing.T, cfg server.Config) *server.Server {
	t.Helper()
	s, err := server.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func client(t *testing.T, url string) *esdb.Client {
	t.Helper()
	conf, err := esdb.ParseConnectionString(url)
	if err != nil {
		t.Fatal(err)
	}
	conf.Logger, conf.MaxDiscoverAttempts = esdb.NoopLogging(), 1
	c, err := esdb.NewClient(conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func event(n byte) esdb.EventData {
	return esdb.EventData{EventID: [16]byte{n}, EventType: "thing.happened/1", Data: []byte{n}}
}

func code(err error) esdb.ErrorCode {
	var e *esdb.Error
	if !errors.As(err, &e) {
		return -1
	}
	return e.Code()
}

// read returns the types of a stream's events, and the error that ended it.
func read(ctx context.Context, c *esdb.Client, stream string) (types []string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	events, err := c.ReadStream(ctx, stream, esdb.ReadStreamOptions{}, 100)
	if err != nil {
		return nil, err
	}
	defer events.Close()
	for {
		e, err := events.Recv()
		if errors.Is(err, io.EOF) {
			return types, nil
		}
		if err != nil {
			return types, err
		}
		types = append(types, e.Event.EventType)
	}
}

// patience is how long a call waits for an answer.
func patience(f server.Fault) time.Duration {
	if f.Do == server.Hang {
		return 300 * time.Millisecond
	}
	return 10 * time.Second
}

// TestFaultsOfAppends lets every fault strike an append, and looks at what the
// client is told and what is recorded.
func TestFaultsOfAppends(t *testing.T) {
	const none = esdb.ErrorCode(-1)
	for _, c := range []struct {
		fault    server.Fault
		want     esdb.ErrorCode
		recorded int
	}{
		{server.Fault{Do: server.Drop}, esdb.ErrorUnavailable, 0},
		{server.Fault{Do: server.Drop, After: true}, esdb.ErrorUnavailable, 1},
		{server.Fault{Do: server.Delay, For: 20 * time.Millisecond}, none, 1},
		{server.Fault{Do: server.NotLeader}, esdb.ErrorCodeNotLeader, 0},
		{server.Fault{Do: server.Refuse, For: 20 * time.Millisecond}, esdb.ErrorUnavailable, 0},
		{server.Fault{Do: server.Hang}, esdb.ErrorCodeDeadlineExceeded, 0},
		{server.Fault{Do: server.Hang, After: true}, esdb.ErrorCodeDeadlineExceeded, 1},
		{server.Fault{Do: server.Abort}, esdb.ErrorAborted, 0},
		{server.Fault{Do: server.Abort, After: true}, esdb.ErrorAborted, 1},
		{server.Fault{Do: server.Late, For: 300 * time.Millisecond}, esdb.ErrorAborted, 0},
		{server.Fault{Do: server.Deny}, esdb.ErrorCodeUnauthenticated, 0},
		{server.Fault{Do: server.TooLarge}, esdb.ErrorCodeUnknown, 0},
		{server.Fault{Do: server.Restart, For: 20 * time.Millisecond}, esdb.ErrorUnavailable, 0},
		{server.Fault{Do: server.Restart, After: true, For: 20 * time.Millisecond}, esdb.ErrorUnavailable, 1},
		{server.Fault{Do: server.Duplicate}, none, 1},
		{server.Fault{Do: server.Lie}, none, 0},
	} {
		c.fault.On = server.Append
		t.Run(c.fault.String(), func(t *testing.T) {
			s := start(t, server.Config{Faults: []server.Fault{c.fault}})
			ctx, cancel := context.WithTimeout(t.Context(), patience(c.fault))
			defer cancel()
			_, err := client(t, s.URL()).AppendToStream(ctx, "things-1", esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}, event(1))
			if code(err) != c.want || (err == nil) != (c.want == none) {
				t.Errorf("the client is told %v, want code %d", err, c.want)
			}
			if n := len(s.Events()); n != c.recorded {
				t.Errorf("%d events are recorded, want %d", n, c.recorded)
			}
			again := client(t, s.URL())
			for end := time.Now().Add(10 * time.Second); ; again = client(t, s.URL()) { // it may be refusing or restarting
				_, err := again.AppendToStream(t.Context(), "things-1", esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}, event(1))
				if err == nil {
					break
				}
				if time.Now().After(end) {
					t.Fatalf("the same append again: %v", err)
				}
				time.Sleep(5 * time.Millisecond)
			}
			if got, err := read(t.Context(), again, "things-1"); len(got) != 1 || err != nil || len(s.Pending()) != 0 {
				t.Errorf("in the end the stream holds %v, %v; faults left: %v", got, err, s.Pending())
			}
		})
	}
}

// TestFaultsOfReads does so with reads: each fails once, in its way, and the
// next read is whole.
func TestFaultsOfReads(t *testing.T) {
	for _, c := range []struct {
		fault server.Fault
		want  string
		read  int
	}{
		{server.Fault{Do: server.Drop}, "Unavailable", 0},
		{server.Fault{Do: server.Drop, After: true}, "Unavailable", 1},
		{server.Fault{Do: server.Hang, After: true}, "DeadlineExceeded", 1},
		{server.Fault{Do: server.Unknown}, "panic", 0},
		{server.Fault{Do: server.Refuse}, "Unavailable", 0},
		{server.Fault{Do: server.Behind}, "not found", 0},
	} {
		c.fault.On = server.Read
		t.Run(c.fault.String(), func(t *testing.T) {
			s := start(t, server.Config{Faults: []server.Fault{c.fault}})
			for n := range byte(3) {
				if err := s.Add("things-1", server.Event{ID: [16]byte{n}, Type: fmt.Sprint(n)}); err != nil {
					t.Fatal(err)
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience(c.fault))
			defer cancel()
			got, err := read(ctx, client(t, s.URL()), "things-1")
			// What was sent before a connection dropped may be lost with it.
			if err == nil || len(got) > c.read {
				t.Errorf("read %v, %v; want %s after %d events", got, err, c.want, c.read)
			}
			if got, err := read(t.Context(), client(t, s.URL()), "things-1"); len(got) != 3 || err != nil {
				t.Errorf("read again: %v, %v", got, err)
			}
		})
	}
}

// TestAFaultCountsCalls lets faults wait for their turn.
func TestAFaultCountsCalls(t *testing.T) {
	s := start(t, server.Config{Faults: []server.Fault{
		{On: server.Append, Nth: 3, Do: server.Abort}, {On: server.Append, Nth: 3, Do: server.Abort}, {On: server.Read, Do: server.Abort},
	}})
	c := client(t, s.URL())
	failed := ""
	for n := range byte(6) {
		if _, err := c.AppendToStream(t.Context(), "things-1", esdb.AppendToStreamOptions{}, event(1+n)); err != nil {
			failed += fmt.Sprint(n+1, " ")
		}
	}
	if failed != "3 4 " {
		t.Errorf("appends %sfailed, want 3 and, for the second fault, 4", failed)
	}
	if left := s.Pending(); len(left) != 1 || left[0].String() != "read 1: abort" {
		t.Errorf("faults left: %v", left)
	}
}

// TestARestartKeepsTheStore indexes the streams anew.
func TestARestartKeepsTheStore(t *testing.T) {
	store := &server.Memory{}
	s := start(t, server.Config{Store: store})
	c := client(t, s.URL())
	for n := range byte(4) {
		if _, err := c.AppendToStream(t.Context(), fmt.Sprint("things-", n%2), esdb.AppendToStreamOptions{}, event(1+n)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.TombstoneStream(t.Context(), "things-1", esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Revision(1)}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	c = client(t, start(t, server.Config{Store: store}).URL())
	if got, err := read(t.Context(), c, "things-0"); len(got) != 2 || err != nil {
		t.Errorf("read %v, %v", got, err)
	}
	if _, err := read(t.Context(), c, "things-1"); code(err) != esdb.ErrorCodeStreamDeleted {
		t.Errorf("read a stream that was deleted: %v", err)
	}
	w, err := c.AppendToStream(t.Context(), "things-0", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Revision(0)}, event(3))
	if err != nil || w.NextExpectedVersion != 1 {
		t.Errorf("an append of before the restart: %+v, %v", w, err)
	}
}
