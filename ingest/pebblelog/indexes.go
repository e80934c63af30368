package pebblelog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"wattbook/domain"
	"wattbook/domain/eventlog"
)

// VerifyIndexes compares the indexes of ids and of streams with the events:
// each event is found by its id and by its place in its stream, and neither
// index holds anything else. It returns an *eventlog.CorruptError if not. It
// costs one walk over each, and no memory to speak of: what is compared are
// sums of digests, which do not depend on the order.
func (l *Log) VerifyIndexes(ctx context.Context) error {
	head := domain.Position(l.head.Load())
	var ids, streams sum
	for r, err := range l.scan(ctx, 0, head) {
		if err != nil {
			return err
		}
		ids.add(r.ID[:], uint64(r.Position))
		streams.add([]byte(r.Stream), uint64(r.Revision), uint64(r.Position))
	}
	byID, err := l.sumIDs(ctx, head)
	if err != nil {
		return err
	}
	if byID != ids {
		return &eventlog.CorruptError{Place: "id index", Err: errors.New("it does not hold the ids of the events, each with its position")}
	}
	byStream, err := l.sumStreams(ctx, head)
	if err != nil {
		return err
	}
	if byStream != streams {
		return &eventlog.CorruptError{Place: "stream index", Err: errors.New("it does not hold the events of the streams, each with its position")}
	}
	return nil
}

// sum is the sum of the digests of what was added, modulo 2^256.
type sum [4]uint64

func (s *sum) add(name []byte, numbers ...uint64) {
	b := append([]byte(nil), name...)
	for _, n := range numbers {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	d := domain.DigestOf(b)
	carry := uint64(0)
	for i := range s {
		v := binary.LittleEndian.Uint64(d[8*i:])
		t := s[i] + v
		next := uint64(0)
		if t < v {
			next = 1
		}
		if t += carry; t < carry {
			next = 1
		}
		s[i], carry = t, next
	}
}

func (l *Log) sumIDs(ctx context.Context, head domain.Position) (s sum, err error) {
	err = l.each(ctx, 'i', func(key, value []byte) error {
		if len(key) != 17 || len(value) != 8 {
			return &eventlog.CorruptError{Place: fmt.Sprintf("id index, key %q", key), Err: errors.New("it is cut short")}
		}
		if at := binary.BigEndian.Uint64(value); at < uint64(head) {
			s.add(key[1:], at)
		}
		return nil
	})
	return s, err
}

func (l *Log) sumStreams(ctx context.Context, head domain.Position) (s sum, err error) {
	total := uint64(0)
	err = l.each(ctx, 's', func(key, value []byte) error {
		r, err := parseRun(key, value)
		if err != nil || r.position >= head {
			return err
		}
		if total += r.count; total > uint64(head) {
			return &eventlog.CorruptError{Place: fmt.Sprintf("stream index, key %q", key), Err: errors.New("there are more events in it than in the log")}
		}
		for n := range r.count {
			s.add(key[1:len(key)-9], uint64(r.revision)+n, uint64(r.position)+n)
		}
		return nil
	})
	return s, err
}

// each calls each with all keys of a kind, and their values.
func (l *Log) each(ctx context.Context, kind byte, each func(key, value []byte) error) error {
	if err := l.begin(); err != nil {
		return err
	}
	defer l.end()
	it, err := l.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: []byte{kind}, UpperBound: []byte{kind + 1}})
	if err != nil {
		return l.damage(fmt.Sprintf("index %c", kind), err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if err := errors.Join(ctx.Err(), each(it.Key(), it.Value())); err != nil {
			return err
		}
	}
	if err := it.Error(); err != nil {
		return l.damage(fmt.Sprintf("index %c", kind), err)
	}
	return nil
}
