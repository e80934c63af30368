package kurrentlog

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"wattbook/domain"
	"wattbook/domain/eventlog"
)

// runGap is how many physical events that nobody asked for are read rather than
// read around.
const runGap = 64

// emptyAnswers is how many answers without an event that the view has are put
// down to a node that is behind, however long they take.
const emptyAnswers = 6

// ReadAll implements [eventlog.Log].
func (l *Log) ReadAll(ctx context.Context, from domain.Position) iter.Seq2[eventlog.Record, error] {
	_, head, _, _ := l.view.state()
	return func(yield func(eventlog.Record, error) bool) {
		l.read(ctx, int(max(head, from)-from), func(i int) domain.Position { return from + domain.Position(i) }, yield)
	}
}

// ReadStream implements [eventlog.Log].
func (l *Log) ReadStream(ctx context.Context, stream eventlog.Stream, from eventlog.Revision) iter.Seq2[eventlog.Record, error] {
	places := l.view.stream(stream)
	places = places[min(from, eventlog.Revision(len(places))):]
	return func(yield func(eventlog.Record, error) bool) {
		l.read(ctx, len(places), func(i int) domain.Position { return places[i] }, yield)
	}
}

// read yields the events at n positions, in ascending order.
func (l *Log) read(ctx context.Context, n int, at func(i int) domain.Position, yield func(eventlog.Record, error) bool) {
	if l.closed() {
		yield(eventlog.Record{}, eventlog.ErrClosed)
		return
	}
	l.scan(ctx, n, at, func(r eventlog.Record, err error) bool {
		if err != nil && l.closed() {
			err = eventlog.ErrClosed
		}
		return yield(r, err)
	})
}

// scan does so for the writer, too, which goes on while the log closes.
func (l *Log) scan(ctx context.Context, n int, at func(i int) domain.Position, yield func(eventlog.Record, error) bool) {
	empty, since := 0, time.Time{} // answers without an event, one after the other, and since when
	for i := 0; i < n; {
		records, err := l.some(ctx, n-i, func(k int) domain.Position { return at(i + k) })
		for _, r := range records {
			if ctx.Err() != nil {
				yield(eventlog.Record{}, ctx.Err())
				return
			}
			if !yield(r, nil) {
				return
			}
		}
		i += len(records)
		if empty++; len(records) > 0 {
			empty = 0
		}
		if empty == 1 {
			since = time.Now()
		}
		if err == nil && empty > 0 {
			// The view has the event, so it is there: this node may be behind.
			if err = l.super.pause(ctx, empty); err == nil && empty > emptyAnswers && time.Since(since) > l.cfg.Timeout {
				err = &eventlog.CorruptError{Place: placeOf(at(i)), Err: errors.New("the server does not have it any more")}
			}
		}
		if err != nil {
			yield(eventlog.Record{}, err)
			return
		}
	}
}

// some reads one page that begins with the first of n positions, and returns
// the events of as many of them as are in it as a whole.
func (l *Log) some(ctx context.Context, n int, at func(i int) domain.Position) ([]eventlog.Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	first, _ := l.view.at(at(0))
	end := first.number + uint64(first.pieces)
	for i := 1; i < n; i++ {
		e, _ := l.view.at(at(i))
		if e.number > end+runGap || e.number+uint64(e.pieces)-first.number > pageEvents {
			n = i
			break
		}
		end = e.number + uint64(e.pieces)
	}
	got, err := l.page(ctx, first.number, int(end-first.number))
	if err != nil {
		return nil, err
	}
	var records []eventlog.Record
	for i := range n {
		r, ok, err := l.record(at(i), got.events)
		if err != nil || !ok {
			return records, err
		}
		records = append(records, r)
	}
	return records, nil
}

// record finds the event at a position among physical events, and holds it
// against the view.
func (l *Log) record(p domain.Position, events []*esdb.RecordedEvent) (r eventlog.Record, ok bool, err error) {
	e, stream := l.view.at(p)
	i, _ := slices.BinarySearchFunc(events, e.number, func(e *esdb.RecordedEvent, n uint64) int {
		return int(int64(e.EventNumber) - int64(n))
	})
	if i+int(e.pieces) > len(events) {
		return r, false, nil
	}
	damaged := func(err error) error {
		return &eventlog.CorruptError{Place: fmt.Sprintf("%s (physical event %d)", placeOf(p), e.number), Err: err}
	}
	pieces := make([]physical, e.pieces)
	for k := range pieces {
		if pieces[k], err = decode(events[i+k]); err != nil {
			return r, false, damaged(err)
		}
		if pieces[k].number != e.number+uint64(k) {
			return r, false, damaged(errors.New("it is gone"))
		}
	}
	first := pieces[0]
	if first.id != e.id || first.stream != stream || first.revision != e.revision {
		return r, false, damaged(fmt.Errorf("it is event %s, revision %d of %s, where %s, revision %d of %s was", first.id, first.revision, first.stream, e.id, e.revision, stream))
	}
	payload, metadata, err := assemble(pieces)
	if err != nil {
		return r, false, damaged(err)
	}
	return eventlog.Record{
		Position: p, Stream: stream, Revision: e.revision, ID: e.id, Type: first.kind,
		RecordedAt: e.recorded, Payload: payload, Metadata: metadata,
	}, true, nil
}

func placeOf(p domain.Position) string { return fmt.Sprintf("event at position %d", p) }

// fetch reads the events at some positions, by id.
func (l *Log) fetch(ctx context.Context, found map[domain.EventID]domain.Position) (map[domain.EventID]eventlog.Record, error) {
	var places []domain.Position
	for _, p := range found {
		places = append(places, p)
	}
	slices.Sort(places)
	records := map[domain.EventID]eventlog.Record{}
	var failed error
	l.scan(ctx, len(places), func(i int) domain.Position { return places[i] }, func(r eventlog.Record, err error) bool {
		records[r.ID], failed = r, err
		return err == nil
	})
	return records, failed
}

// Find returns the event with an id, and whether there is one.
func (l *Log) Find(ctx context.Context, id domain.EventID) (eventlog.Record, bool, error) {
	if l.closed() {
		return eventlog.Record{}, false, eventlog.ErrClosed
	}
	found := l.view.find([]domain.EventID{id})
	if len(found) == 0 {
		return eventlog.Record{}, false, ctx.Err()
	}
	records, err := l.fetch(ctx, found)
	return records[id], err == nil, err
}

// Next implements [eventlog.Log].
func (l *Log) Next(ctx context.Context, stream eventlog.Stream) (eventlog.Revision, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if l.closed() {
		return 0, eventlog.ErrClosed
	}
	return eventlog.Revision(len(l.view.stream(stream))), nil
}

// Head implements [eventlog.Log].
func (l *Log) Head(context.Context) (domain.Position, error) {
	if l.closed() {
		return 0, eventlog.ErrClosed
	}
	_, head, _, _ := l.view.state()
	return head, nil
}

// Wait implements [eventlog.Log].
func (l *Log) Wait(ctx context.Context, position domain.Position) error {
	for {
		_, head, _, grown := l.view.state()
		switch {
		case l.closed():
			return eventlog.ErrClosed
		case head > position:
			return nil
		}
		if err := l.view.failure(); err != nil {
			return err
		}
		select {
		case <-grown:
		case <-l.closing:
			return eventlog.ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
