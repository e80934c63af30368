package kurrentlog_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/ingest/kurrentlog"
	"wattbook/ingest/kurrentlog/server"
)

// TestTheProjectionLinksWhatTheLogPlaces runs the projection for viewers in
// another engine of JavaScript over what a server holds, void appends included.
func TestTheProjectionLinksWhatTheLogPlaces(t *testing.T) {
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is not installed")
	}
	s := start(t, server.Config{})
	one, two := domain.EventIDOf("append one"), domain.EventIDOf("append two")
	for _, e := range []server.Event{
		part("a", "things-1", 0, one, 1, 3), part("b", "things-1", 1, one, 2, 3),
		part("a", "things-1", 0, two, 1, 2), part("a", "things-1", 0, two, 1, 2), part("b", "things-1", 1, two, 2, 2),
		part("x", "things-1", 2, one, 3, 3),
	} {
		if err := s.Add(kurrentlog.DefaultStream, e); err != nil {
			t.Fatal(err)
		}
	}
	log := open(t, s.URL())
	mustAppend(t, log, write("things-1", eventlog.After(2), draft("c", 0)), write("other-1", eventlog.None, draft("x", 0), draft("y", 0)))
	if err := s.Add("elsewhere-1", server.Event{ID: domain.EventIDOf("else"), Type: "other"}); err != nil {
		t.Fatal(err)
	}
	type given struct {
		StreamID       string `json:"streamId"`
		SequenceNumber uint64 `json:"sequenceNumber"`
		MetadataRaw    string `json:"metadataRaw"`
	}
	var events []given
	for _, e := range s.Events() {
		events = append(events, given{e.Stream, e.Revision, string(e.Metadata)})
	}
	input, err := json.Marshal(map[string]any{"projection": kurrentlog.LinksProjection, "events": events})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "testdata/project.mjs")
	var errs bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	var got, want []string
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	for r, err := range log.ReadAll(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		place, _ := log.Place(r.Position)
		want = append(want, fmt.Sprintf("%s %d@%s", r.Stream, place.Revision, kurrentlog.DefaultStream))
	}
	if diff := cmp.Diff(want, got); diff != "" || len(want) != 5 {
		t.Errorf("links (-log +projection):\n%s", diff)
	}
}
