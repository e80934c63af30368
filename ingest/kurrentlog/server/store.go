package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"sync"
	"time"
)

// Event is an event as the server keeps it.
type Event struct {
	Stream   string
	Revision uint64 // place in the stream, from 0
	ID       [16]byte
	Type     string
	JSON     bool // what the content type says of Data
	Created  time.Time
	Data     []byte
	Metadata []byte
	Commit   uint64 // the two halves of its place in $all
	Prepare  uint64
}

// Store keeps events in the order of $all. The server calls it from one
// goroutine at a time.
type Store interface {
	Append(events []Event) error
	Len() int
	At(i int) Event
}

// Memory is a store in memory.
type Memory struct{ events []Event }

// Append implements [Store].
func (m *Memory) Append(events []Event) error {
	m.events = append(m.events, events...)
	return nil
}

// Len implements [Store].
func (m *Memory) Len() int { return len(m.events) }

// At implements [Store].
func (m *Memory) At(i int) Event { return m.events[i] }

// The expected revisions, as the real server numbers them.
const (
	expectNone   = -1
	expectAny    = -2
	expectExists = -4
)

var (
	errNoStream = errors.New("stream is not found")
	errDeleted  = errors.New("stream is deleted")
)

// wrongRevision says where a stream is, -1 if it has no events.
type wrongRevision struct{ current int64 }

func (wrongRevision) Error() string { return "wrong expected revision" }

// written says where an append ended.
type written struct {
	revision        int64
	commit, prepare uint64
}

// book is the store with the index of its streams.
type book struct {
	mu      sync.Mutex
	store   Store
	now     func() time.Time
	streams map[string]*line
	ids     map[[16]byte]place // where an id was written last
	end     uint64             // position behind the last event
	grown   chan struct{}      // closed and replaced at every append
}

// line is one stream: where its events are in the store, by revision.
type line struct {
	at         []int
	tombstoned bool
}

type place struct {
	stream   string
	revision int64
}

func newBook(store Store, now func() time.Time) *book {
	b := &book{store: store, now: now, streams: map[string]*line{}, ids: map[[16]byte]place{}, grown: make(chan struct{})}
	for i := range store.Len() {
		b.index(i, store.At(i))
	}
	return b
}

func (b *book) index(i int, e Event) {
	l := b.streams[e.Stream]
	if l == nil {
		l = &line{}
		b.streams[e.Stream] = l
	}
	l.at = append(l.at, i)
	l.tombstoned = l.tombstoned || e.Type == "$streamDeleted"
	b.ids[e.ID] = place{e.Stream, int64(e.Revision)}
	b.end = max(b.end, e.Commit, e.Prepare) + 1
}

// everything returns all events.
func (b *book) everything() []Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]Event, b.store.Len())
	for i := range all {
		all[i] = b.store.At(i)
	}
	return all
}

// append adds events to a stream that is where it is expected to be, or finds
// that it has them already.
func (b *book) append(stream string, expect int64, events []Event) (written, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l := b.streams[stream]; l != nil && l.tombstoned {
		return written{}, errDeleted
	}
	current := b.current(stream)
	_, deleted := b.first(stream)
	known, err := b.decide(stream, expect, current, deleted, events)
	if err != nil {
		return written{}, err
	}
	if known >= 0 {
		e := b.store.At(b.streams[stream].at[known])
		return written{known, e.Commit, e.Prepare}, nil
	}
	w, err := b.write(stream, events)
	if err == nil && deleted && len(events) > 0 {
		// A stream that is written to again goes on where it was, and what was
		// deleted stays unread.
		_, err = b.write("$$"+stream, []Event{b.metadata(stream, current+1)})
	}
	return w, err
}

// decide reports whether an append is refused, or known and ending at which
// revision, or new (-1). What is expected to be behind the stream's end is
// known if the same ids are there, one by one; without an exact revision, an
// append is known if its ids were written to the stream, whenever.
func (b *book) decide(stream string, expect, current int64, deleted bool, events []Event) (int64, error) {
	wrong := wrongRevision{current}
	switch {
	case expect == expectExists && deleted:
		return -1, errDeleted
	case expect == expectExists && current < 0 && b.current("$$"+stream) < 0:
		return -1, wrong
	case expect == expectAny || expect == expectExists:
		last := int64(-1)
		for i, e := range events {
			p, ok := b.ids[e.ID]
			if !ok || p.stream != stream {
				if i == 0 {
					return -1, nil
				}
				return -1, wrong
			}
			last = p.revision
		}
		return last, nil
	case expect == expectNone && deleted:
		return -1, nil
	case expect < current:
		for i, e := range events {
			n := expect + 1 + int64(i)
			if n > current || b.store.At(b.streams[stream].at[n]).ID != e.ID {
				return -1, wrong
			}
		}
		return expect + int64(len(events)), nil
	case expect > current:
		return -1, wrong
	}
	return -1, nil
}

// write adds events to the end. The events of one append share the commit
// position, and each has a prepare position of its own.
func (b *book) write(stream string, events []Event) (written, error) {
	current := b.current(stream)
	if len(events) == 0 {
		return written{revision: current}, nil
	}
	added := make([]Event, len(events))
	position := b.end
	created := b.now()
	for i, e := range events {
		current++
		e.Stream, e.Revision, e.Created, e.Prepare = stream, uint64(current), created, position
		e.Data, e.Metadata = bytes.Clone(e.Data), bytes.Clone(e.Metadata)
		position += uint64(100 + len(stream) + len(e.Data) + len(e.Metadata))
		added[i] = e
	}
	for i := range added {
		added[i].Commit = added[len(added)-1].Prepare
	}
	if err := b.store.Append(added); err != nil {
		return written{}, err
	}
	for i, e := range added {
		b.index(b.store.Len()-len(added)+i, e)
	}
	b.end = position
	close(b.grown)
	b.grown = make(chan struct{})
	last := added[len(added)-1]
	return written{current, last.Commit, last.Prepare}, nil
}

// remove deletes a stream: softly by its metadata, or for good by a tombstone.
func (b *book) remove(stream string, expect int64, forGood bool) (written, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l := b.streams[stream]; l != nil && l.tombstoned {
		return written{}, errDeleted
	}
	current := b.current(stream)
	if expect == expectExists && current < 0 || expect >= expectNone && expect != current {
		return written{}, wrongRevision{current}
	}
	if forGood {
		return b.write(stream, []Event{{ID: newID(), Type: "$streamDeleted"}})
	}
	return b.write("$$"+stream, []Event{b.metadata(stream, math.MaxInt64)})
}

// metadata returns the event that sets before which revision a stream is not
// read, beside what its metadata say already.
func (b *book) metadata(stream string, truncateBefore int64) Event {
	fields := map[string]json.RawMessage{}
	if n := b.current("$$" + stream); n >= 0 {
		old := map[string]json.RawMessage{}
		if json.Unmarshal(b.store.At(b.streams["$$"+stream].at[n]).Data, &old) == nil {
			maps.Copy(fields, old)
		}
	}
	fields["$tb"], _ = json.Marshal(truncateBefore) // an integer always encodes
	data, _ := json.Marshal(fields)                 // and so do fields that were parsed
	return Event{ID: newID(), Type: "$metadata", JSON: true, Data: data}
}

// current returns a stream's last revision, -1 if it has no events.
func (b *book) current(stream string) int64 {
	if l := b.streams[stream]; l != nil {
		return int64(len(l.at)) - 1
	}
	return -1
}

// first returns the first revision of a stream that is still to be read, and
// whether it is deleted softly.
func (b *book) first(stream string) (first int64, deleted bool) {
	n := b.current("$$" + stream)
	if n < 0 {
		return 0, false
	}
	var m struct {
		TruncateBefore int64 `json:"$tb"`
		MaxCount       int64 `json:"$maxCount"`
	}
	if json.Unmarshal(b.store.At(b.streams["$$"+stream].at[n]).Data, &m) != nil {
		return 0, false
	}
	if m.TruncateBefore == math.MaxInt64 {
		return b.current(stream) + 1, true
	}
	first = m.TruncateBefore
	if m.MaxCount > 0 {
		first = max(first, b.current(stream)+1-m.MaxCount)
	}
	return first, false
}

// page returns up to limit events of a stream from a revision on, in either
// direction; from may be behind the end.
func (b *book) page(stream string, from int64, backwards bool, limit int) ([]Event, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.streams[stream]
	first, deleted := b.first(stream)
	switch {
	case l == nil || deleted:
		return nil, errNoStream
	case l.tombstoned:
		return nil, errDeleted
	}
	var events []Event
	if backwards {
		for n := min(from, int64(len(l.at))-1); n >= first && len(events) < limit; n-- {
			events = append(events, b.store.At(l.at[n]))
		}
		return events, nil
	}
	for n := max(from, first); n < int64(len(l.at)) && len(events) < limit; n++ {
		events = append(events, b.store.At(l.at[n]))
	}
	return events, nil
}

// last returns a stream's last revision, -1 if there is none.
func (b *book) last(stream string) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.current(stream)
}

// size returns the number of events, and a channel that is closed when there
// are more.
func (b *book) size() (int, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.store.Len(), b.grown
}

// slice returns up to limit events of $all from a place in the store on.
func (b *book) slice(from, limit int) []Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	var events []Event
	for i := max(from, 0); i < b.store.Len() && len(events) < limit; i++ {
		events = append(events, b.store.At(i))
	}
	return events
}

// before returns how many events of $all are before a position, or before and
// at it.
func (b *book) before(commit, prepare uint64, orAt bool) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	low, high := 0, b.store.Len()
	for low < high {
		middle := (low + high) / 2
		e := b.store.At(middle)
		less := e.Commit < commit || e.Commit == commit && e.Prepare < prepare
		if less || orAt && e.Commit == commit && e.Prepare == prepare {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low
}
