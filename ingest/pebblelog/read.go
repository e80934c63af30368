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

// Find returns the durable event with an id, and whether there is one.
func (l *Log) Find(ctx context.Context, id domain.EventID) (eventlog.Record, bool, error) {
	if err := ctx.Err(); err != nil {
		return eventlog.Record{}, false, err
	}
	if err := l.begin(); err != nil {
		return eventlog.Record{}, false, err
	}
	defer l.end()
	r, ok, err := l.find(id)
	if err != nil || r.Position >= domain.Position(l.head.Load()) {
		return eventlog.Record{}, false, err
	}
	return r, ok, nil
}

// find returns the record with the id, if there is one.
func (l *Log) find(id domain.EventID) (eventlog.Record, bool, error) {
	value, closer, err := l.db.Get(append([]byte{'i'}, id[:]...))
	if errors.Is(err, pebble.ErrNotFound) {
		return eventlog.Record{}, false, nil
	}
	if err != nil {
		return eventlog.Record{}, false, l.damage("id index", err)
	}
	if len(value) != 8 {
		return eventlog.Record{}, false, errors.Join(&eventlog.CorruptError{Place: "id " + id.String(), Err: errors.New("its position is cut short")}, closer.Close())
	}
	at := domain.Position(binary.BigEndian.Uint64(value))
	if err := closer.Close(); err != nil {
		return eventlog.Record{}, false, err
	}
	for r, err := range l.scan(context.Background(), at, at+1) {
		if err == nil && r.ID != id {
			err = &eventlog.CorruptError{Place: "id " + id.String(), Err: fmt.Errorf("it points to position %d, which holds event %s", at, r.ID)}
		}
		return r, err == nil, err
	}
	return eventlog.Record{}, false, missing(at)
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
	n, head := eventlog.Revision(0), domain.Position(l.head.Load())
	for ok := it.Last(); ok; ok = it.Prev() {
		run, bad := parseRun(it.Key(), it.Value())
		if bad != nil {
			return 0, errors.Join(bad, it.Close())
		}
		if run.position < head {
			n = run.revision + eventlog.Revision(run.count)
			break
		}
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return 0, l.damage("stream index of "+string(stream), err)
	}
	return n, nil
}

// run is events of a stream at consecutive revisions and positions.
type run struct {
	revision eventlog.Revision
	position domain.Position
	count    uint64
}

func parseRun(key, value []byte) (run, error) {
	bad := &eventlog.CorruptError{Place: fmt.Sprintf("stream index, key %q", key), Err: errors.New("it is cut short")}
	if len(key) < 10 || len(value) < 9 {
		return run{}, bad
	}
	count, n := binary.Uvarint(value[8:])
	if n <= 0 || 8+n != len(value) || count == 0 {
		return run{}, bad
	}
	return run{eventlog.Revision(binary.BigEndian.Uint64(key[len(key)-8:])), domain.Position(binary.BigEndian.Uint64(value)), count}, nil
}

// ReadAll implements [eventlog.Log].
func (l *Log) ReadAll(ctx context.Context, from domain.Position) iter.Seq2[eventlog.Record, error] {
	head := domain.Position(l.head.Load())
	return func(yield func(eventlog.Record, error) bool) {
		if from >= head || l.followed(ctx, from, head, yield) {
			return
		}
		for r, err := range l.scan(ctx, from, head) {
			if !yield(r, err) || err != nil {
				return
			}
		}
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
		want := from
		for run, err := range l.runs(ctx, stream, from) {
			if err == nil && run.position >= head {
				return // not durable yet
			}
			if err == nil && (run.revision > want || run.revision+eventlog.Revision(run.count) <= want) {
				err = &eventlog.CorruptError{Place: "stream index of " + string(stream), Err: fmt.Errorf("revision %d is missing", want)}
			}
			if err != nil {
				yield(eventlog.Record{}, err)
				return
			}
			start := run.position + domain.Position(want-run.revision)
			for r, err := range l.scan(ctx, start, run.position+domain.Position(run.count)) {
				if err == nil && (r.Stream != stream || r.Revision != want) {
					err = &eventlog.CorruptError{Place: "stream index of " + string(stream), Err: fmt.Errorf("revision %d points to another event, position %d", want, r.Position)}
				}
				if !yield(r, err) || err != nil {
					return
				}
				want++
			}
		}
	}
}

// runs yields the runs of a stream, from the one that holds a revision on.
func (l *Log) runs(ctx context.Context, stream eventlog.Stream, from eventlog.Revision) iter.Seq2[run, error] {
	return func(yield func(run, error) bool) {
		fail := func(err error) { yield(run{}, l.damage("stream index of "+string(stream), err)) }
		if err := l.begin(); err != nil {
			yield(run{}, err)
			return
		}
		defer l.end()
		it, err := l.db.NewIterWithContext(ctx, &pebble.IterOptions{
			LowerBound: streamKey(nil, stream, 0), UpperBound: append(append([]byte{'s'}, stream...), 1),
		})
		if err != nil {
			fail(err)
			return
		}
		defer it.Close()
		ok := it.SeekLT(streamKey(nil, stream, from+1))
		if ok { // the run before may end before it
			if r, err := parseRun(it.Key(), it.Value()); err == nil && r.revision+eventlog.Revision(r.count) <= from {
				ok = it.Next()
			}
		} else if it.Error() == nil {
			ok = it.First()
		}
		for ; ok; ok = it.Next() {
			r, err := parseRun(it.Key(), it.Value())
			if !yield(r, err) || err != nil {
				return
			}
		}
		if err := it.Error(); err != nil {
			fail(err)
		}
	}
}

// scan yields the records at positions [from, to), each with bytes of its own.
// It is an error if one is not there.
func (l *Log) scan(ctx context.Context, from, to domain.Position) iter.Seq2[eventlog.Record, error] {
	return func(yield func(eventlog.Record, error) bool) {
		if err := l.begin(); err != nil {
			yield(eventlog.Record{}, err)
			return
		}
		defer l.end()
		it, err := l.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: []byte{'e'}, UpperBound: eventKey(to)})
		if err != nil {
			yield(eventlog.Record{}, l.damage(placeOf(eventKey(from)), err))
			return
		}
		defer it.Close()
		next, going := from, true
		var parser eventlog.Parser
		for ok := it.SeekLT(eventKey(from + 1)); ok && going; ok = it.Next() {
			if err := ctx.Err(); err != nil {
				yield(eventlog.Record{}, err)
				return
			}
			err := eachRecord(&parser, it.Key(), bytes.Clone(it.Value()), func(r eventlog.Record) bool {
				switch {
				case r.Position < from:
					return true
				case r.Position >= to:
					going = false
				case r.Position != next:
					going = false
					yield(eventlog.Record{}, missing(next))
				default:
					next++
					going = yield(r, nil)
				}
				return going
			})
			if err != nil && going {
				yield(eventlog.Record{}, err)
				return
			}
		}
		switch err := it.Error(); {
		case !going:
		case err != nil:
			yield(eventlog.Record{}, l.damage(placeOf(eventKey(next)), err))
		case next < to:
			yield(eventlog.Record{}, missing(next))
		}
	}
}

// eachRecord calls each with the records of a block until it returns false.
// Their payloads alias the block.
func eachRecord(parser *eventlog.Parser, key, block []byte, each func(eventlog.Record) bool) error {
	if len(key) != 9 {
		return &eventlog.CorruptError{Place: placeOf(key), Err: errors.New("its key is of another length")}
	}
	at := domain.Position(binary.BigEndian.Uint64(key[1:]))
	for first := true; len(block) > 0 || first; first = false {
		n, size := binary.Uvarint(block)
		if size <= 0 || n > uint64(len(block)-size) {
			return &eventlog.CorruptError{Place: placeOf(eventKey(at)), Err: errors.New("its block is cut short")}
		}
		end := size + int(n)
		r, err := parser.Parse(block[size:end:end])
		if err == nil && r.Position != at {
			err = fmt.Errorf("it says that it is position %d", r.Position)
		}
		if err != nil {
			return &eventlog.CorruptError{Place: placeOf(eventKey(at)), Err: err}
		}
		if !each(r) {
			return nil
		}
		block = block[end:]
		at++
	}
	return nil
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
