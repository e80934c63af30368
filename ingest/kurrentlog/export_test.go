package kurrentlog

import (
	"log/slog"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"wattbook/domain"
	"wattbook/domain/eventlog"
)

// Decode reads a physical event as the log does.
func Decode(e *esdb.RecordedEvent) error {
	p, err := decode(e)
	if err == nil {
		_, _, err = assemble([]physical{p})
	}
	return err
}

// RoundTrip writes a draft as physical events of at most limit bytes and reads
// it back. It returns how many events that took, and the largest of them.
func RoundTrip(stream eventlog.Stream, d eventlog.Draft, limit int) (back eventlog.Record, events, largest int, err error) {
	var pieces []physical
	for i, e := range encode(newAppendID(), []staged{{stream: stream, revision: 7, draft: d}}, limit) {
		largest = max(largest, size(e))
		p, err := decode(&esdb.RecordedEvent{
			EventID: e.EventID, EventType: e.EventType, EventNumber: uint64(i), Data: e.Data, UserMetadata: e.Metadata,
		})
		if err != nil {
			return back, 0, 0, err
		}
		pieces = append(pieces, p)
	}
	back.Payload, back.Metadata, err = assemble(pieces)
	back.Stream, back.Revision, back.ID, back.Type = pieces[0].stream, pieces[0].revision, pieces[0].id, pieces[0].kind
	return back, len(pieces), largest, err
}

// Folded returns how many physical events a log has folded.
func Folded(l *Log) uint64 {
	next, _, _, _ := l.view.state()
	return next
}

// LoadView opens the view in a folder, and returns what it holds: the ids, in
// order.
func LoadView(dir, stream string) (ids []domain.EventID, err error) {
	v := newView()
	if err := openViewFile(dir, stream, v, slog.New(slog.DiscardHandler)); err != nil {
		return nil, err
	}
	for _, e := range v.events {
		ids = append(ids, e.id)
	}
	return ids, v.file.close()
}
