package eventlog

import (
	"bytes"
	"context"
	"iter"
	"maps"
	"sync"

	"wattbook/domain"
)

// Mem is a log in memory, for tests and for dry runs. It keeps the contract
// but for durability.
type Mem struct {
	now func() domain.Instant

	mu      sync.Mutex
	records []Record
	streams map[Stream][]domain.Position
	ids     map[domain.EventID]domain.Position
	grown   chan struct{} // closed and replaced at every append and at Close
	closed  bool
}

var _ Log = (*Mem)(nil)

// NewMem returns an empty log whose records are stamped by now.
func NewMem(now func() domain.Instant) *Mem {
	return &Mem{
		now:     now,
		streams: map[Stream][]domain.Position{},
		ids:     map[domain.EventID]domain.Position{},
		grown:   make(chan struct{}),
	}
}

// Append implements [Log].
func (m *Mem) Append(ctx context.Context, writes ...Write) (Receipt, error) {
	if err := Check(writes); err != nil {
		return Receipt{}, err
	}
	if err := ctx.Err(); err != nil {
		return Receipt{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return Receipt{}, ErrClosed
	}
	known, receipt, err := Known(writes, func(id domain.EventID) (Record, bool, error) {
		p, ok := m.ids[id]
		if !ok {
			return Record{}, false, nil
		}
		return m.records[p], true, nil
	})
	if known || err != nil {
		return receipt, err
	}
	for _, w := range writes {
		if n := Revision(len(m.streams[w.Stream])); !w.Expect.Met(n) {
			return Receipt{}, &RevisionError{w.Stream, w.Expect, n}
		}
	}
	receipt = Receipt{First: domain.Position(len(m.records))}
	at := m.now()
	for _, w := range writes {
		for _, d := range w.Events {
			p := domain.Position(len(m.records))
			if p > 0 {
				at = max(at, m.records[p-1].RecordedAt+1)
			}
			m.records = append(m.records, Record{
				Position: p, Stream: w.Stream, Revision: Revision(len(m.streams[w.Stream])),
				ID: d.ID, Type: d.Type, RecordedAt: at,
				Payload: bytes.Clone(d.Payload), Metadata: maps.Clone(d.Metadata),
			})
			m.streams[w.Stream] = append(m.streams[w.Stream], p)
			m.ids[d.ID] = p
			receipt.Count++
		}
	}
	close(m.grown)
	m.grown = make(chan struct{})
	return receipt, nil
}

// Known looks the events of an append up by id. It reports known when all of
// them are on record with the same content; a *ConflictError when one has
// other content, or when only some are on record: an append is never half new.
// Implementations of [Log] call it before they look at revisions.
func Known(writes []Write, find func(domain.EventID) (Record, bool, error)) (known bool, receipt Receipt, err error) {
	var first, some *Record
	missing := false
	for _, w := range writes {
		for _, d := range w.Events {
			r, ok, err := find(d.ID)
			if err != nil {
				return false, Receipt{}, err
			}
			if !ok {
				missing = true
				continue
			}
			if !r.SameContent(w.Stream, d) {
				return false, Receipt{}, &ConflictError{d.ID, r.Position}
			}
			if some = &r; first == nil && !missing {
				first = &r
			}
			receipt.Count++
		}
	}
	switch {
	case some == nil:
		return false, Receipt{}, nil
	case missing:
		return false, Receipt{}, &ConflictError{some.ID, some.Position}
	}
	receipt.First, receipt.Known = first.Position, true
	return true, receipt, nil
}

// ReadAll implements [Log].
func (m *Mem) ReadAll(ctx context.Context, from domain.Position) iter.Seq2[Record, error] {
	m.mu.Lock()
	head := domain.Position(len(m.records))
	m.mu.Unlock()
	return func(yield func(Record, error) bool) {
		for p := from; p < head; p++ {
			if !m.yieldAt(ctx, p, yield) {
				return
			}
		}
	}
}

// ReadStream implements [Log].
func (m *Mem) ReadStream(ctx context.Context, stream Stream, from Revision) iter.Seq2[Record, error] {
	m.mu.Lock()
	positions := m.streams[stream] // only ever appended to: the prefix stays as it is
	m.mu.Unlock()
	return func(yield func(Record, error) bool) {
		for n := from; n < Revision(len(positions)); n++ {
			if !m.yieldAt(ctx, positions[n], yield) {
				return
			}
		}
	}
}

func (m *Mem) yieldAt(ctx context.Context, p domain.Position, yield func(Record, error) bool) bool {
	if err := ctx.Err(); err != nil {
		yield(Record{}, err)
		return false
	}
	m.mu.Lock()
	r, closed := m.records[p], m.closed
	m.mu.Unlock()
	if closed {
		yield(Record{}, ErrClosed)
		return false
	}
	r.Payload, r.Metadata = bytes.Clone(r.Payload), maps.Clone(r.Metadata)
	return yield(r, nil)
}

// Next implements [Log].
func (m *Mem) Next(_ context.Context, stream Stream) (Revision, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return 0, ErrClosed
	}
	return Revision(len(m.streams[stream])), nil
}

// Head implements [Log].
func (m *Mem) Head(context.Context) (domain.Position, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return 0, ErrClosed
	}
	return domain.Position(len(m.records)), nil
}

// Wait implements [Log].
func (m *Mem) Wait(ctx context.Context, position domain.Position) error {
	for {
		m.mu.Lock()
		head, grown, closed := domain.Position(len(m.records)), m.grown, m.closed
		m.mu.Unlock()
		switch {
		case closed:
			return ErrClosed
		case head > position:
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Close implements [Log].
func (m *Mem) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		m.closed = true
		close(m.grown)
	}
	return nil
}
