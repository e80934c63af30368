package logtest

import (
	"bytes"
	"fmt"
	"maps"
	"strings"
	"testing"

	"wattbook/domain"
	"wattbook/domain/eventlog"
)

func limits(t *testing.T, log eventlog.Log) {
	big := eventlog.Draft{ID: domain.EventIDOf("big"), Type: "thing.happened/1", Payload: make([]byte, eventlog.MaxEventBytes)}
	mustAppend(t, log, write("things-1", eventlog.None, big))
	if got := all(t, log); len(got) != 1 || len(got[0].Payload) != eventlog.MaxEventBytes {
		t.Fatal("an event of the greatest size did not come back whole")
	}
	pairs := eventlog.Metadata{}
	for i := range eventlog.MaxMetadataPairs {
		pairs[fmt.Sprint("key", i)] = fmt.Sprint(i)
	}
	full := draft("full")
	full.Metadata = pairs
	longest := eventlog.Stream("t-" + strings.Repeat("x", eventlog.MaxStreamName-2))
	mustAppend(t, log, write(longest, eventlog.None, full))
	if got := stream(t, log, longest, 0); len(got) != 1 || !got[0].SameContent(longest, full) {
		t.Fatal("an event with the longest name and the most metadata did not come back whole")
	}
	more := draft("more")
	more.Metadata = maps.Clone(pairs)
	more.Metadata["one more"] = ""
	tooBig := big
	tooBig.ID, tooBig.Payload = domain.EventIDOf("too big"), make([]byte, eventlog.MaxEventBytes+1)
	noID, noType, reserved := draft("a"), draft("b"), draft("c")
	noID.ID, noType.Type, reserved.Type = domain.EventID{}, "", "$thing"
	many := make([]eventlog.Draft, eventlog.MaxAppendEvents+1)
	for i := range many {
		many[i] = draft("many", i)
	}
	for name, w := range map[string][]eventlog.Write{
		"too many bytes":       {write("things-1", eventlog.Any, tooBig)},
		"too many events":      {write("things-1", eventlog.Any, many...)},
		"too many pairs":       {write("things-1", eventlog.Any, more)},
		"too long a name":      {write(longest+"x", eventlog.Any, draft("a"))},
		"too large an append":  {write("things-1", eventlog.Any, append(large(), draft("a"))...)},
		"no events":            {write("things-1", eventlog.Any)},
		"nothing":              {},
		"no id":                {write("things-1", eventlog.Any, noID)},
		"no type":              {write("things-1", eventlog.Any, noType)},
		"reserved type":        {write("things-1", eventlog.Any, reserved)},
		"the same id twice":    {write("things-1", eventlog.Any, draft("a"), draft("a"))},
		"a stream named twice": {write("things-1", eventlog.Any, draft("a")), write("things-1", eventlog.Any, draft("b"))},
		"reserved stream":      {write("$things-1", eventlog.Any, draft("a"))},
		"stream without id":    {write("things", eventlog.Any, draft("a"))},
		"empty id":             {write("things-", eventlog.Any, draft("a"))},
		"empty stream":         {write("", eventlog.Any, draft("a"))},
		"control character":    {write("things-a\x00b", eventlog.Any, draft("a"))},
	} {
		if _, err := log.Append(t.Context(), w...); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	head(t, log, 2)
	mustAppend(t, log, write("things-2", eventlog.None, many[:eventlog.MaxAppendEvents]...))
	head(t, log, 2+eventlog.MaxAppendEvents)
	mustAppend(t, log, write("things-3", eventlog.None, large()...))
	for i, r := range stream(t, log, "things-3", 0) {
		if want := large()[i]; !r.SameContent("things-3", want) {
			t.Fatalf("event %d of an append of the greatest size did not come back whole", i)
		}
	}
}

// large returns as many bytes as one append may have.
func large() []eventlog.Draft {
	events := make([]eventlog.Draft, eventlog.MaxAppendBytes/eventlog.MaxEventBytes)
	for i := range events {
		events[i] = draft("large", i)
		events[i].Payload = bytes.Repeat([]byte{byte(i)}, eventlog.MaxEventBytes)
	}
	return events
}
