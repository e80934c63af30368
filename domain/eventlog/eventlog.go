// Package eventlog is the contract of the one append-only, totally ordered
// book of events, with an in-memory log that keeps it.
//
// Append is atomic and durable before it returns. Positions are dense: the
// n-th event of the log has position n−1, for ever, and no reader sees a
// position before every smaller one. An event's id is remembered for ever:
// appending it again with the same content succeeds and records nothing, and
// with other content is a [ConflictError].
//
// The contract knows bytes only. Package wire turns events into bytes.
package eventlog

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"wattbook/domain"
)

// Log is an append-only book of events. All methods are safe for concurrent
// use, and every implementation passes logtest.Run.
type Log interface {
	// Append records all events of all writes, in the order given, at
	// consecutive positions, or none of them. It returns when they are
	// durable.
	//
	// It returns a [*RevisionError] if a stream is not where its write expects
	// it, a [*ConflictError] if an event's id is on record with other content,
	// and otherwise an error after which it is unknown whether the events were
	// recorded: appending them again settles it.
	//
	// Ids are looked at first: an append whose events are all on record, with
	// the same content, succeeds whatever the streams' revisions are by now.
	Append(ctx context.Context, writes ...Write) (Receipt, error)

	// ReadAll yields the events from a position on, in order, up to the head
	// at the time of the call. An error is yielded once and ends the sequence.
	// The bytes of a yielded record belong to the caller.
	ReadAll(ctx context.Context, from domain.Position) iter.Seq2[Record, error]

	// ReadStream yields the events of one stream from a revision on, likewise.
	// A stream that does not exist has no events.
	ReadStream(ctx context.Context, stream Stream, from Revision) iter.Seq2[Record, error]

	// Next returns the revision that the stream's next event will have: its
	// number of events.
	Next(ctx context.Context, stream Stream) (Revision, error)

	// Head returns the position that the next event will have: the number of
	// events in the log.
	Head(ctx context.Context) (domain.Position, error)

	// Wait blocks until there is an event at the position, the context ends
	// or the log is closed.
	Wait(ctx context.Context, position domain.Position) error

	// Close ends the log. Appends in flight are finished first.
	Close() error
}

// Stream names a stream: a category without '-', a '-', and an id, as
// EventStoreDB expects. A leading '$' is reserved.
type Stream string

// Revision is a place in a stream, counted from 0 without gaps.
type Revision uint64

// Expect says where a stream must be for a write to be accepted.
type Expect int64

// The expectations. A value of 0 or more is the exact revision of the last
// event; see [After].
const (
	Any    Expect = -1 // wherever it is
	None   Expect = -2 // it has no events
	Exists Expect = -3 // it has at least one event
)

// After expects that the stream holds exactly n events.
func After(n Revision) Expect {
	if n == 0 {
		return None
	}
	return Expect(n - 1)
}

// Met reports whether a stream of n events is where e expects it.
func (e Expect) Met(n Revision) bool {
	switch e {
	case Any:
		return true
	case None:
		return n == 0
	case Exists:
		return n > 0
	}
	return e >= 0 && n == Revision(e)+1
}

// String writes e in words.
func (e Expect) String() string {
	switch e {
	case Any:
		return "any revision"
	case None:
		return "no events"
	case Exists:
		return "at least one event"
	}
	return fmt.Sprintf("revision %d", int64(e))
}

// Draft is an event that is to be recorded.
type Draft struct {
	ID       domain.EventID // never zero: a retry must find what it wrote
	Type     string         // the frozen wire name: "power.priced/1"
	Payload  []byte
	Metadata Metadata
}

// Metadata are strings beside the payload: "$correlationId", "$causationId".
type Metadata map[string]string

// Write is what one append adds to one stream.
type Write struct {
	Stream Stream
	Expect Expect
	Events []Draft
}

// Receipt says where an append's events are.
type Receipt struct {
	First domain.Position // of the first event
	Count int             // events of the append, in order, from First on unless Known
	Known bool            // they were on record already: nothing was added
}

// Record is an event in the log.
type Record struct {
	Position   domain.Position
	Stream     Stream
	Revision   Revision
	ID         domain.EventID
	Type       string
	RecordedAt domain.Instant // strictly increasing with Position
	Payload    []byte
	Metadata   Metadata
}

// Limits of an append, chosen so that every server of the cluster log accepts
// what the embedded log accepts.
const (
	MaxEventBytes    = 1 << 20 // payload and metadata of one event
	MaxAppendEvents  = 4096
	MaxAppendBytes   = 16 << 20
	MaxStreamName    = 200
	MaxMetadataPairs = 16
)

// Errors that callers branch on.
var (
	// ErrWrongExpectedRevision means that somebody else wrote to the stream:
	// read it and decide again. It arrives as a *RevisionError.
	ErrWrongExpectedRevision = errors.New("wrong expected revision")
	// ErrIdempotencyConflict means that an event's id is on record with other
	// content: the two must not be confused, and the new one was not recorded.
	// It arrives as a *ConflictError.
	ErrIdempotencyConflict = errors.New("event id is on record with other content")
	// ErrClosed means that the log was closed.
	ErrClosed = errors.New("log is closed")
)

// RevisionError carries where a stream really is.
type RevisionError struct {
	Stream Stream
	Want   Expect
	Actual Revision // number of events in the stream
}

func (e *RevisionError) Error() string {
	return fmt.Sprintf("append to %s: %v: want %s, the stream has %d events", e.Stream, ErrWrongExpectedRevision, e.Want, e.Actual)
}

// Unwrap makes errors.Is(err, ErrWrongExpectedRevision) hold.
func (e *RevisionError) Unwrap() error { return ErrWrongExpectedRevision }

// ConflictError carries the event that is on record under the same id.
type ConflictError struct {
	ID       domain.EventID
	Position domain.Position
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("append event %s: %v, at position %d", e.ID, ErrIdempotencyConflict, e.Position)
}

// Unwrap makes errors.Is(err, ErrIdempotencyConflict) hold.
func (e *ConflictError) Unwrap() error { return ErrIdempotencyConflict }

// CorruptError locates stored bytes that are not what was written.
type CorruptError struct {
	Place string // "event at position 17", "stream index of prices-hb_south"
	Err   error
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("the log is damaged: %s: %v", e.Place, e.Err)
}

func (e *CorruptError) Unwrap() error { return e.Err }

// Check reports the first reason why the writes cannot be appended to any log.
func Check(writes []Write) error {
	events, bytes := 0, 0
	ids := map[domain.EventID]bool{}
	streams := map[Stream]bool{}
	for _, w := range writes {
		if err := w.Stream.Check(); err != nil {
			return err
		}
		if streams[w.Stream] {
			return fmt.Errorf("append names stream %s twice; put its events into one write", w.Stream)
		}
		streams[w.Stream] = true
		for _, d := range w.Events {
			size := len(d.Payload)
			for k, v := range d.Metadata {
				size += len(k) + len(v)
			}
			switch {
			case d.ID.IsZero():
				return fmt.Errorf("append to %s: event of type %s has no id", w.Stream, d.Type)
			case ids[d.ID]:
				return fmt.Errorf("append to %s: event id %s is used twice", w.Stream, d.ID)
			case d.Type == "" || d.Type[0] == '$':
				return fmt.Errorf("append to %s: event type %q is empty or reserved", w.Stream, d.Type)
			case size > MaxEventBytes:
				return fmt.Errorf("append to %s: event of type %s has %d bytes, limit %d", w.Stream, d.Type, size, MaxEventBytes)
			case len(d.Metadata) > MaxMetadataPairs:
				return fmt.Errorf("append to %s: event of type %s has %d metadata pairs, limit %d", w.Stream, d.Type, len(d.Metadata), MaxMetadataPairs)
			}
			ids[d.ID] = true
			events++
			bytes += size
		}
	}
	switch {
	case events == 0:
		return errors.New("append has no events")
	case events > MaxAppendEvents:
		return fmt.Errorf("append has %d events, limit %d", events, MaxAppendEvents)
	case bytes > MaxAppendBytes:
		return fmt.Errorf("append has %d bytes, limit %d", bytes, MaxAppendBytes)
	}
	return nil
}

// Check reports why s cannot name a stream, or nil.
func (s Stream) Check() error {
	dash := 0
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' {
			return fmt.Errorf("stream %q: character %q is not printable ASCII", s, c)
		}
		if s[i] == '-' && dash == 0 {
			dash = i
		}
	}
	switch {
	case s == "" || len(s) > MaxStreamName:
		return fmt.Errorf("stream %.40q has %d characters; want 1 to %d", s, len(s), MaxStreamName)
	case s[0] == '$':
		return fmt.Errorf("stream %s: a leading $ is reserved", s)
	case dash == 0 || dash == len(s)-1:
		return fmt.Errorf("stream %s is not of the form category-id", s)
	}
	return nil
}
