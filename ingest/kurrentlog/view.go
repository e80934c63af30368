package kurrentlog

import (
	"fmt"
	"sync"

	"wattbook/domain"
	"wattbook/domain/eventlog"
)

// placed is what the view knows of the event at a position.
type placed struct {
	id              domain.EventID
	stream          uint32 // index into the view's names
	pieces          uint16 // physical events that hold it, from number on
	last            bool   // of its append
	stated          bool   // recorded is what another log recorded; false once it is placed
	revision        eventlog.Revision
	number          uint64
	commit, prepare uint64
	recorded        domain.Instant
}

// view is the fold of the physical stream: what is where. It holds no content.
//
// Every reader of the stream folds it to the same positions: they depend on
// the events and their order only.
type view struct {
	mu     sync.Mutex
	next   uint64 // revision of the next physical event
	events []placed
	ids    map[domain.EventID]domain.Position
	names  []eventlog.Stream
	number map[eventlog.Stream]uint32
	places [][]domain.Position // by stream, by revision
	open   *group              // the append at the end that is not there as a whole
	voids  int                 // appends that were interrupted
	moved  chan struct{}       // closed and replaced when next moves
	grown  chan struct{}       // closed and replaced when positions are given out
	broken error               // set once: the stream is damaged behind the last position
	watch  map[domain.EventID]*outcome
	file   *viewFile // nil: not kept
}

// group is an append of which some parts are there.
type group struct {
	append domain.EventID
	parts  int
	seen   int
	events []placed
	names  []eventlog.Stream // of the events
	whole  bool              // the last event has all its pieces
}

// outcome is what became of an append of this process.
type outcome struct {
	placed bool
	first  domain.Position
	count  int
}

func newView() *view {
	v := &view{moved: make(chan struct{}), grown: make(chan struct{}), watch: map[domain.EventID]*outcome{}}
	v.clear()
	return v
}

func (v *view) clear() {
	v.next, v.open = 0, nil
	v.events, v.names, v.places = nil, nil, nil
	v.ids, v.number = map[domain.EventID]domain.Position{}, map[eventlog.Stream]uint32{}
}

// gapError says that a physical event came before its predecessors.
type gapError struct{ want, got uint64 }

func (e *gapError) Error() string {
	return fmt.Sprintf("physical event %d came where %d was to come", e.got, e.want)
}

// fold takes the next physical event. One that it took before changes nothing.
//
// The parts of an append stand directly behind each other, since each was
// appended at the revision at which the one before it ended. Whatever comes
// instead of the next part, another append or the same one from its beginning,
// makes what there is of it void; the void parts have no position and their ids
// count for nothing.
func (v *view) fold(p physical) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.broken != nil:
		return v.broken
	case p.number < v.next:
		return nil
	case p.number > v.next:
		return &gapError{v.next, p.number}
	}
	g := v.open
	if g == nil || g.append != p.append || g.parts != p.parts || g.seen+1 != p.part {
		if g != nil {
			v.voids++
		}
		g = &group{append: p.append, parts: p.parts, whole: true}
		if p.part != 1 {
			g = nil
		}
	}
	if g != nil {
		if err := g.add(p); err != nil {
			return v.damage(p.number, err)
		}
		if g.seen++; g.seen == g.parts {
			if err := v.place(g); err != nil {
				return v.damage(p.number, err)
			}
			g = nil
		}
	}
	v.open = g
	v.next++
	close(v.moved)
	v.moved = make(chan struct{})
	return nil
}

// add takes the next part.
func (g *group) add(p physical) error {
	if p.piece == 1 && g.whole {
		g.events = append(g.events, placed{
			id: p.id, pieces: uint16(p.pieces), revision: p.revision, number: p.number,
			commit: p.commit, prepare: p.prepare, recorded: p.created,
		})
		if p.stated {
			last := &g.events[len(g.events)-1]
			last.stated, last.recorded = true, p.recorded
		}
		g.names = append(g.names, p.stream)
		g.whole = p.pieces == 1
		return nil
	}
	if g.whole {
		return fmt.Errorf("it is piece %d of an event that does not begin", p.piece)
	}
	last := g.events[len(g.events)-1]
	if have := p.number - last.number; p.piece != int(have)+1 || p.pieces != int(last.pieces) {
		return fmt.Errorf("it is piece %d of %d where piece %d of %d should be", p.piece, p.pieces, have+1, last.pieces)
	}
	g.whole = p.piece == p.pieces
	return nil
}

// place gives positions to the events of a whole append, after checking what
// its writer claims: new ids, and the next revisions of their streams.
func (v *view) place(g *group) error {
	if !g.whole {
		return fmt.Errorf("append %s ends inside an event", g.append)
	}
	first := domain.Position(len(v.events))
	names := len(v.names)
	lengths := map[eventlog.Stream]eventlog.Revision{}
	ids := map[domain.EventID]bool{}
	for i, e := range g.events {
		name := g.names[i]
		n, ok := lengths[name]
		if !ok {
			n = v.length(name)
		}
		if e.revision != n {
			return fmt.Errorf("it says that it is revision %d of %s, which has %d events", e.revision, name, n)
		}
		if at, known := v.ids[e.id]; known || ids[e.id] {
			return fmt.Errorf("id %s is on record at position %d", e.id, at)
		}
		lengths[name], ids[e.id] = n+1, true
	}
	recorded, err := v.recorded(g)
	if err != nil {
		return err
	}
	for i := range g.events {
		e := &g.events[i]
		e.stream, e.recorded, e.last, e.stated = v.named(g.names[i]), recorded[i], i == len(g.events)-1, false
		v.take(*e)
	}
	if o := v.watch[g.append]; o != nil {
		*o = outcome{true, first, len(g.events)}
	}
	v.file.append(v.names, names, g.events)
	close(v.grown)
	v.grown = make(chan struct{})
	return nil
}

// recorded returns when the events of an append are recorded: one after the
// other, whatever the server's clock did.
func (v *view) recorded(g *group) ([]domain.Instant, error) {
	last, all := v.last(), make([]domain.Instant, len(g.events))
	for i, e := range g.events {
		if e.stated && e.recorded <= last && len(v.events)+i > 0 {
			return nil, fmt.Errorf("it says that it was recorded at %s, and the event before it was at %s", e.recorded, last)
		}
		if last = max(last+1, e.recorded); e.stated {
			last = e.recorded
		}
		all[i] = last
	}
	return all, nil
}

// last returns when the last event was recorded, 0 if there is none. The
// caller holds mu.
func (v *view) last() domain.Instant {
	if n := len(v.events); n > 0 {
		return v.events[n-1].recorded
	}
	return 0
}

// take adds an event at the next position.
func (v *view) take(e placed) {
	p := domain.Position(len(v.events))
	v.events = append(v.events, e)
	v.ids[e.id] = p
	v.places[e.stream] = append(v.places[e.stream], p)
}

// named returns a stream's index, a new one for a stream that is new.
func (v *view) named(name eventlog.Stream) uint32 {
	n, ok := v.number[name]
	if !ok {
		n = uint32(len(v.names))
		v.number[name] = n
		v.names, v.places = append(v.names, name), append(v.places, nil)
	}
	return n
}

// length returns the number of events in a stream. The caller holds mu.
func (v *view) length(name eventlog.Stream) eventlog.Revision {
	if n, ok := v.number[name]; ok {
		return eventlog.Revision(len(v.places[n]))
	}
	return 0
}

// damage records that the stream cannot be folded beyond a physical event. The
// caller holds mu.
func (v *view) damage(number uint64, err error) error {
	if v.broken == nil {
		v.broken = &eventlog.CorruptError{Place: fmt.Sprintf("physical event %d", number), Err: err}
		close(v.moved)
		close(v.grown)
		v.moved, v.grown = make(chan struct{}), make(chan struct{})
	}
	return v.broken
}

// fail records damage that was found outside of the fold.
func (v *view) fail(number uint64, err error) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.damage(number, err)
}

// failure returns why the fold cannot go on, or nil.
func (v *view) failure() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.broken
}

// state returns the revision of the next physical event, the number of events,
// and channels that are closed when either moves.
func (v *view) state() (next uint64, head domain.Position, moved, grown <-chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.next, domain.Position(len(v.events)), v.moved, v.grown
}

// at returns the event at a position that was given out, with its stream.
func (v *view) at(p domain.Position) (placed, eventlog.Stream) {
	v.mu.Lock()
	defer v.mu.Unlock()
	e := v.events[p]
	return e, v.names[e.stream]
}

// stream returns the positions of a stream's events. The slice is only ever
// appended to.
func (v *view) stream(name eventlog.Stream) []domain.Position {
	v.mu.Lock()
	defer v.mu.Unlock()
	if n, ok := v.number[name]; ok {
		return v.places[n]
	}
	return nil
}

// find returns the positions of the ids that are on record.
func (v *view) find(ids []domain.EventID) map[domain.EventID]domain.Position {
	v.mu.Lock()
	defer v.mu.Unlock()
	var found map[domain.EventID]domain.Position
	for _, id := range ids {
		if p, ok := v.ids[id]; ok {
			if found == nil {
				found = map[domain.EventID]domain.Position{}
			}
			found[id] = p
		}
	}
	return found
}

// expect makes the fold note what becomes of an append.
func (v *view) expect(id domain.EventID, o *outcome) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.watch[id] = o
}

// forget ends that.
func (v *view) forget(ids []domain.EventID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, id := range ids {
		delete(v.watch, id)
	}
}

// became returns what became of an append.
func (v *view) became(o *outcome) outcome {
	v.mu.Lock()
	defer v.mu.Unlock()
	return *o
}

// foreign returns the append at the end that is unfinished and not ours, how
// many of its parts are there, and a channel that is closed when that may have
// changed.
func (v *view) foreign() (id domain.EventID, seen int, moved <-chan struct{}, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.open == nil || v.watch[v.open.append] != nil {
		return id, 0, nil, false
	}
	return v.open.append, v.open.seen, v.moved, true
}

// begun reports whether an append is there in part.
func (v *view) begun(id domain.EventID) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.open != nil && v.open.append == id
}
