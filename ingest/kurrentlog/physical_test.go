package kurrentlog_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"pgregory.net/rapid"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/ingest/kurrentlog"
	"wattbook/ingest/kurrentlog/server"
)

// TestEveryDraftComesBack writes random drafts and reads them back, cut or not.
func TestEveryDraftComesBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.Rune(), 0, 20, -1)
		raw := rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 40), func(b []byte) string { return string(b) })
		keys := rapid.OneOf(text, raw, rapid.Map(text, func(s string) string { return "wattbook." + s }), rapid.Just("$correlationId"), rapid.Just("wattbook.own.wattbook.stream"))
		values := rapid.OneOf(text, raw, rapid.Map(rapid.IntRange(0, 40<<10), func(n int) string { return string(make([]byte, n)) }))
		d := eventlog.Draft{
			ID: domain.EventIDOf("draft"), Type: "thing.happened/1",
			Metadata: rapid.MapOfN(keys, values, 0, eventlog.MaxMetadataPairs).Draw(t, "metadata"),
			Payload:  rapid.OneOf(rapid.SliceOfN(rapid.Byte(), 0, 100), rapid.Map(rapid.IntRange(0, 300<<10), func(n int) []byte { return make([]byte, n) }), rapid.Just([]byte(`{"a":1}`))).Draw(t, "payload"),
		}
		const limit = 64 << 10
		got, events, largest, err := kurrentlog.RoundTrip("things-1", d, limit)
		switch {
		case err != nil:
			t.Fatalf("read back: %v", err)
		case !got.SameContent("things-1", d) || got.ID != d.ID || got.Revision != 7:
			t.Fatalf("got %d bytes and metadata %.200q, want %d and %.200q", len(got.Payload), got.Metadata, len(d.Payload), d.Metadata)
		case largest > limit:
			t.Fatalf("the largest of %d physical events has %d bytes, limit %d", events, largest, limit)
		}
	})
}

// FuzzPhysicalEvent reads metadata and data as they come from a server: it may
// refuse them, and never fails otherwise.
func FuzzPhysicalEvent(f *testing.F) {
	good := part("a", "things-1", 0, domain.EventIDOf("append"), 1, 1)
	f.Add(good.Metadata, good.Data)
	head := eventlog.AppendRecord(nil, eventlog.Record{Metadata: eventlog.Metadata{"k": "\xff"}})
	m := map[string]string{}
	if err := json.Unmarshal(good.Metadata, &m); err != nil {
		f.Fatal(err)
	}
	m["wattbook.metadata"] = "45"
	enveloped, err := json.Marshal(m)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(enveloped, head)
	f.Add([]byte(`{"wattbook.piece":"1/9223372036854775808","wattbook.part":"-1/1"}`), []byte{})
	f.Fuzz(func(t *testing.T, metadata, data []byte) {
		_ = kurrentlog.Decode(&esdb.RecordedEvent{EventID: [16]byte{1}, UserMetadata: metadata, Data: data})
	})
}

// FuzzViewFile loads files that are not views. What is loaded is a prefix of
// what was kept, whatever happened to the file, and opening it again gives the
// same.
func FuzzViewFile(f *testing.F) {
	dir := f.TempDir()
	s, err := server.Start(server.Config{})
	if err != nil {
		f.Fatal(err)
	}
	defer s.Close()
	log, err := kurrentlog.Open(f.Context(), kurrentlog.Config{URL: s.URL(), Dir: dir, Timeout: time.Second, Logger: quiet()})
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c"} {
		if _, err := log.Append(f.Context(), write("things-1", eventlog.Any, draft(name, 0))); err != nil {
			f.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(filepath.Join(dir, "view"))
	if err != nil {
		f.Fatal(err)
	}
	want := []domain.EventID{draft("a", 0).ID, draft("b", 0).ID, draft("c", 0).ID}
	f.Add(whole)
	f.Add(whole[:100])
	f.Add([]byte("no view"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "view"), raw, 0o644); err != nil {
			t.Fatal(err)
		}
		loaded := -1
		for range 2 {
			ids, err := kurrentlog.LoadView(dir, kurrentlog.DefaultStream)
			if err != nil {
				t.Fatal(err)
			}
			if loaded >= 0 && len(ids) != loaded {
				t.Fatalf("loaded %d events, and then %d", loaded, len(ids))
			}
			loaded = len(ids)
			for i, id := range ids {
				if i >= len(want) || id != want[i] {
					t.Fatalf("event %d of the view is %s", i, id)
				}
			}
		}
	})
}
