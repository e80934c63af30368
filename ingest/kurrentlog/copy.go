package kurrentlog

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"wattbook/domain"
	"wattbook/domain/eventlog"
)

// Extend appends events that another log has recorded: those from this log's
// head on. Every field of every record stays what it was, so that what both
// hold has one Merkle tree. It returns when they are on the server.
//
// What came before an error is there, and an Extend from the head on continues
// it. What the appends of the other log were is not known any more: while
// events are brought, the head may stand between two that were one append.
//
// It is an error if a record cannot be the next one, be it because somebody
// else appends here, too.
func (l *Log) Extend(ctx context.Context, records iter.Seq2[eventlog.Record, error]) error {
	var batch []eventlog.Record
	size := 0
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		if _, err := l.submit(ctx, copyRequest(ctx, batch)); err != nil {
			return fmt.Errorf("extend log %s: events from position %d on: %w", l.cfg.Stream, batch[0].Position, err)
		}
		batch, size = nil, 0
		return nil
	}
	for r, err := range records {
		if err == nil {
			err = copyable(r)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("extend log %s: %w", l.cfg.Stream, err), flush())
		}
		more := len(r.Payload) + overhead
		for k, v := range r.Metadata {
			more += len(k) + len(v)
		}
		if size+more > l.cfg.MaxAppendBytes || len(batch) == eventlog.MaxAppendEvents {
			if err := flush(); err != nil {
				return err
			}
		}
		batch = append(batch, r)
		size += more
	}
	return flush()
}

// copyable reports why a record cannot be on the server.
func copyable(r eventlog.Record) error {
	d := eventlog.Draft{ID: r.ID, Type: r.Type, Payload: r.Payload, Metadata: r.Metadata}
	w := []eventlog.Write{{Stream: r.Stream, Expect: eventlog.Any, Events: []eventlog.Draft{d}}}
	if err := check(w); err != nil {
		return fmt.Errorf("event at position %d: %w", r.Position, err)
	}
	return nil
}

func copyRequest(ctx context.Context, records []eventlog.Record) *request {
	r := &request{gone: ctx.Done(), done: make(chan struct{}), copied: records}
	for _, c := range records {
		r.ids = append(r.ids, c.ID)
	}
	return r
}

// following places records behind the last event, where they say that they are. The
// caller holds mu.
func (v *view) following(records []eventlog.Record) ([]staged, error) {
	events := make([]staged, len(records))
	lengths := map[eventlog.Stream]eventlog.Revision{}
	last := v.last()
	for i, r := range records {
		fail := func(format string, args ...any) ([]staged, error) {
			return nil, fmt.Errorf("event at position %d: %w", r.Position, fmt.Errorf(format, args...))
		}
		if at := domain.Position(len(v.events) + i); r.Position != at {
			return fail("the next one of the log is %d", at)
		}
		n, ok := lengths[r.Stream]
		if !ok {
			n = v.length(r.Stream)
		}
		if r.Revision != n {
			return fail("revision %d of %s follows %d events", r.Revision, r.Stream, n)
		}
		if r.RecordedAt <= last && r.Position > 0 {
			return fail("it is recorded at %s, and the event before it at %s", r.RecordedAt, last)
		}
		lengths[r.Stream], last = n+1, r.RecordedAt
		draft := eventlog.Draft{ID: r.ID, Type: r.Type, Payload: r.Payload, Metadata: r.Metadata}
		events[i] = staged{stream: r.Stream, revision: n, draft: draft, stated: true, recorded: r.RecordedAt}
	}
	return events, nil
}
