package pebblelog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"

	"wattbook/domain"
	"wattbook/domain/eventlog"
)

// find returns the record with the id, if there is one.
func (l *Log) find(id domain.EventID) (eventlog.Record, bool, error) {
	place, closer, err := l.db.Get(append([]byte{'i'}, id[:]...))
	if errors.Is(err, pebble.ErrNotFound) {
		return eventlog.Record{}, false, nil
	}
	if err != nil {
		return eventlog.Record{}, false, l.damage("id index", err)
	}
	key := append([]byte{'e'}, place...)
	if err := closer.Close(); err != nil {
		return eventlog.Record{}, false, err
	}
	r, err := l.get(key)
	return r, err == nil, err
}

func (l *Log) get(key []byte) (eventlog.Record, error) {
	value, closer, err := l.db.Get(key)
	if err != nil {
		return eventlog.Record{}, l.damage(placeOf(key), err)
	}
	r, err := parse(key, bytes.Clone(value))
	return r, errors.Join(err, closer.Close())
}

// length returns the number of events in a stream, as the writer sees it.
func (l *Log) length(stream eventlog.Stream) (eventlog.Revision, error) {
	if n, ok := l.revisions[stream]; ok {
		return n, nil
	}
	return l.stored(stream)
}

// stored returns the number of durable events in a stream.
func (l *Log) stored(stream eventlog.Stream) (eventlog.Revision, error) {
	it, err := l.db.NewIter(&pebble.IterOptions{
		LowerBound: streamKey(nil, stream, 0),
		UpperBound: append(append([]byte{'s'}, stream...), 1),
	})
	if err != nil {
		return 0, l.damage("stream index of "+string(stream), err)
	}
	n, head := eventlog.Revision(0), l.head.Load()
	for ok := it.Last(); ok; ok = it.Prev() {
		if k, v := it.Key(), it.Value(); len(v) == 8 && binary.BigEndian.Uint64(v) < head {
			n = eventlog.Revision(binary.BigEndian.Uint64(k[len(k)-8:])) + 1
			break
		}
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return 0, l.damage("stream index of "+string(stream), err)
	}
	return n, nil
}

// ReadAll implements [eventlog.Log].
func (l *Log) ReadAll(ctx context.Context, from domain.Position) iter.Seq2[eventlog.Record, error] {
	head := domain.Position(l.head.Load())
	return func(yield func(eventlog.Record, error) bool) {
		if from >= head || l.followed(ctx, from, head, yield) {
			return
		}
		l.scan(ctx, eventKey(from), eventKey(head), yield, func(it *pebble.Iterator, n uint64) (eventlog.Record, error) {
			want := from + domain.Position(n)
			if !bytes.Equal(it.Key(), eventKey(want)) {
				return eventlog.Record{}, missing(want)
			}
			return parse(it.Key(), bytes.Clone(it.Value()))
		}, uint64(head-from))
	}
}

// followed yields the records at positions [from, head) if memory holds all of
// them, and reports whether it does.
func (l *Log) followed(ctx context.Context, from, head domain.Position, yield func(eventlog.Record, error) bool) bool {
	l.mu.Lock()
	records, ok := l.tail.from(from, head)
	ok = ok && !l.refused
	l.mu.Unlock()
	if !ok {
		return false
	}
	for _, r := range records {
		if err := ctx.Err(); err != nil {
			yield(eventlog.Record{}, err)
			return true
		}
		if !yield(copied(r), nil) {
			return true
		}
	}
	return true
}

// ReadStream implements [eventlog.Log].
func (l *Log) ReadStream(ctx context.Context, stream eventlog.Stream, from eventlog.Revision) iter.Seq2[eventlog.Record, error] {
	head := domain.Position(l.head.Load())
	return func(yield func(eventlog.Record, error) bool) {
		upper := append(append([]byte{'s'}, stream...), 1)
		l.scan(ctx, streamKey(nil, stream, from), upper, yield, func(it *pebble.Iterator, n uint64) (eventlog.Record, error) {
			place := "stream index of " + string(stream)
			if want := streamKey(nil, stream, from+eventlog.Revision(n)); !bytes.Equal(it.Key(), want) || len(it.Value()) != 8 {
				return eventlog.Record{}, &eventlog.CorruptError{Place: place, Err: fmt.Errorf("revision %d is missing", uint64(from)+n)}
			}
			if domain.Position(binary.BigEndian.Uint64(it.Value())) >= head {
				return eventlog.Record{}, errBeyondHead
			}
			r, err := l.get(append([]byte{'e'}, it.Value()...))
			if err == nil && (r.Stream != stream || r.Revision != from+eventlog.Revision(n)) {
				err = &eventlog.CorruptError{Place: place, Err: fmt.Errorf("revision %d points to another event, position %d", uint64(from)+n, r.Position)}
			}
			return r, err
		}, 0)
	}
}

// errBeyondHead ends a scan of a stream at events that are not durable yet.
var errBeyondHead = errors.New("beyond the head")

// scan yields what at makes of each key in [lower, upper). With want > 0 it is
// an error to find fewer keys.
func (l *Log) scan(ctx context.Context, lower, upper []byte, yield func(eventlog.Record, error) bool,
	at func(it *pebble.Iterator, n uint64) (eventlog.Record, error), want uint64,
) {
	if err := l.begin(); err != nil {
		yield(eventlog.Record{}, err)
		return
	}
	defer l.end()
	it, err := l.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		yield(eventlog.Record{}, l.damage(placeOf(lower), err))
		return
	}
	defer it.Close()
	n := uint64(0)
	for ok := it.First(); ok; ok = it.Next() {
		if err := ctx.Err(); err != nil {
			yield(eventlog.Record{}, err)
			return
		}
		r, err := at(it, n)
		if errors.Is(err, errBeyondHead) {
			return
		}
		if !yield(r, err) || err != nil {
			return
		}
		n++
	}
	if err := it.Error(); err != nil {
		yield(eventlog.Record{}, l.damage(placeOf(lower), err))
	} else if n < want {
		yield(eventlog.Record{}, missing(domain.Position(binary.BigEndian.Uint64(lower[1:]))+domain.Position(n)))
	}
}

// Next implements [eventlog.Log].
func (l *Log) Next(ctx context.Context, stream eventlog.Stream) (eventlog.Revision, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if err := l.begin(); err != nil {
		return 0, err
	}
	defer l.end()
	return l.stored(stream)
}

// Head implements [eventlog.Log].
func (l *Log) Head(context.Context) (domain.Position, error) {
	select {
	case <-l.closing:
		return 0, eventlog.ErrClosed
	default:
		return domain.Position(l.head.Load()), nil
	}
}

// Wait implements [eventlog.Log].
func (l *Log) Wait(ctx context.Context, position domain.Position) error {
	for {
		l.mu.Lock()
		grown := l.grown
		l.mu.Unlock()
		if domain.Position(l.head.Load()) > position {
			return nil
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

// damage turns what Pebble says of stored bytes into a *CorruptError.
func (l *Log) damage(place string, err error) error {
	if pebble.IsCorruptionError(err) || errors.Is(err, pebble.ErrNotFound) {
		return &eventlog.CorruptError{Place: place, Err: err}
	}
	return fmt.Errorf("read %s: %w", place, err)
}

// parse reads the record under an event key.
func parse(key, value []byte) (eventlog.Record, error) {
	r, err := eventlog.ParseRecord(value)
	if err == nil && !bytes.Equal(key, eventKey(r.Position)) {
		err = fmt.Errorf("it says that it is position %d", r.Position)
	}
	if err != nil {
		return eventlog.Record{}, &eventlog.CorruptError{Place: placeOf(key), Err: err}
	}
	return r, nil
}

func missing(p domain.Position) error {
	return &eventlog.CorruptError{Place: placeOf(eventKey(p)), Err: errors.New("the event is missing")}
}

func eventKey(p domain.Position) []byte {
	return binary.BigEndian.AppendUint64([]byte{'e'}, uint64(p))
}

func streamKey(dst []byte, stream eventlog.Stream, n eventlog.Revision) []byte {
	dst = append(append(append(dst, 's'), stream...), 0)
	return binary.BigEndian.AppendUint64(dst, uint64(n))
}

func placeOf(key []byte) string {
	if len(key) == 9 && key[0] == 'e' {
		return fmt.Sprintf("event at position %d", binary.BigEndian.Uint64(key[1:]))
	}
	return fmt.Sprintf("key %q", key)
}
