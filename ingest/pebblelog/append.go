package pebblelog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/eventlog/proof"
)

const (
	// A group commit takes at most this many appends and bytes, which bounds
	// how long the first of them waits for the last.
	groupAppends = 1024
	groupBytes   = 8 << 20

	// queueAppends bounds what waits: an append beyond it blocks its caller.
	queueAppends = 1024

	// revisionCache bounds the streams whose length the writer remembers.
	revisionCache = 1 << 16

	// eventBytes is about what an event takes beside its payload.
	eventBytes = 96

	// blockBytes bounds a block of several records.
	blockBytes = 32 << 10
)

// request is an append that waits for its answer.
type request struct {
	writes  []eventlog.Write
	digests []domain.Digest // of the payloads, in order
	receipt eventlog.Receipt
	err     error
	done    chan struct{}
}

// group is a group commit: the appends that share an fsync.
type group struct {
	requests []*request
	batch    *pebble.Batch
	records  []eventlog.Record // what the batch adds, by position
	payloads []byte            // of the records: the callers' own are theirs again once they are answered
	index    map[domain.EventID]int
	head     domain.Position // after it
}

// keep copies a draft's payload and metadata into the group.
func (g *group) keep(d eventlog.Draft) ([]byte, eventlog.Metadata) {
	at := len(g.payloads)
	g.payloads = append(g.payloads, d.Payload...)
	return g.payloads[at:len(g.payloads):len(g.payloads)], maps.Clone(d.Metadata)
}

// Append implements [eventlog.Log].
func (l *Log) Append(ctx context.Context, writes ...eventlog.Write) (eventlog.Receipt, error) {
	if err := eventlog.Check(writes); err != nil {
		return eventlog.Receipt{}, err
	}
	if err := l.failure(); err != nil {
		return eventlog.Receipt{}, err
	}
	r := &request{writes: writes, done: make(chan struct{})}
	for _, w := range writes {
		for _, d := range w.Events {
			r.digests = append(r.digests, domain.DigestOf(d.Payload)) // here, where callers work side by side
		}
	}
	select {
	case <-l.closing:
		return eventlog.Receipt{}, eventlog.ErrClosed
	default:
	}
	select {
	case l.queue <- r:
	case <-l.closing:
		return eventlog.Receipt{}, eventlog.ErrClosed
	case <-ctx.Done():
		return eventlog.Receipt{}, ctx.Err()
	}
	select {
	case <-r.done:
		return r.receipt, r.err
	case <-ctx.Done():
		return eventlog.Receipt{}, fmt.Errorf("append was queued and may yet be recorded: %w", ctx.Err())
	case <-l.stopped:
		select {
		case <-r.done:
			return r.receipt, r.err
		default:
			return eventlog.Receipt{}, eventlog.ErrClosed
		}
	}
}

// writer is what the staging goroutine knows of the log's end, groups that are
// being committed included.
type writer struct {
	next      domain.Position
	recorded  domain.Instant
	revisions map[eventlog.Stream]eventlog.Revision // lengths of streams: all that are staged, and recent ones
	ids       idFilter
	tree      *proof.Tree
	hashes    hashWriter
	flying    []*group // staged and perhaps not durable yet: two at the most
	block     []byte   // being filled
	key       []byte   // of the last run, to be written over, and its value
	value     []byte
}

// stageGroups is the writer: it stages one group after another until Close.
func (l *Log) stageGroups(groups chan<- *group) {
	defer close(groups)
	for {
		g := &group{}
		select {
		case r := <-l.queue:
			g.requests = append(g.requests, r)
		case <-l.closing:
			select { // finish what was queued before
			case r := <-l.queue:
				g.requests = append(g.requests, r)
			default:
				return
			}
		}
		size := g.requests[0].size()
	gather:
		for len(g.requests) < groupAppends && size < groupBytes {
			select {
			case r := <-l.queue:
				g.requests = append(g.requests, r)
				size += r.size()
			default:
				break gather
			}
		}
		l.stageGroup(g, size)
		groups <- g
		l.writer.flying = append(l.writer.flying, g)
		if n := len(l.writer.flying); n > 2 { // groups is one deep: the others are answered
			l.writer.flying = append(l.writer.flying[:0], l.writer.flying[n-2:]...)
		}
	}
}

func (r *request) size() int {
	n := 0
	for _, w := range r.writes {
		for _, d := range w.Events {
			n += len(d.Payload) + eventBytes
		}
	}
	return n
}

// stageGroup stages the appends of a group into one batch.
func (l *Log) stageGroup(g *group, size int) {
	w := &l.writer
	g.head = w.next
	if err := errors.Join(l.failure(), l.room()); err != nil {
		for _, r := range g.requests {
			r.err = err
		}
		return
	}
	if len(w.revisions) >= revisionCache {
		l.forget()
	}
	events := 0
	for _, r := range g.requests {
		events += len(r.digests)
	}
	g.batch = l.db.NewBatchWithSize(size + size/4 + 4096)
	g.payloads = make([]byte, 0, size)
	g.records = make([]eventlog.Record, 0, events)
	g.index = make(map[domain.EventID]int, events)
	for _, r := range g.requests {
		r.receipt, r.err = l.stage(g, r)
	}
	w.hashes.stage(g.batch)
	g.stageIDs()
	g.head = w.next
}

// stageIDs adds the ids to the batch, in their order: so they go into the
// database's sorted table much faster than as they come.
func (g *group) stageIDs() {
	order := make([]int, len(g.records))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return bytes.Compare(g.records[a].ID[:], g.records[b].ID[:]) })
	for _, i := range order {
		r := &g.records[i]
		op := g.batch.SetDeferred(17, 8)
		op.Key[0] = 'i'
		copy(op.Key[1:], r.ID[:])
		binary.BigEndian.PutUint64(op.Value, uint64(r.Position))
		must(op.Finish())
	}
}

// forget empties the cache of revisions, but for the streams of groups that
// may not be in the database yet.
func (l *Log) forget() {
	w := &l.writer
	kept := map[eventlog.Stream]eventlog.Revision{}
	for _, g := range w.flying {
		for _, r := range g.records {
			kept[r.Stream] = w.revisions[r.Stream]
		}
	}
	w.revisions = kept
}

// stage checks one append against the log and the groups so far, and adds its
// keys to the batch. On an error it adds nothing.
func (l *Log) stage(g *group, r *request) (eventlog.Receipt, error) {
	w := &l.writer
	known, receipt, err := eventlog.Known(r.writes, func(id domain.EventID) (eventlog.Record, bool, error) { return l.recall(g, id) })
	if known || err != nil {
		return receipt, err
	}
	lengths := make([]eventlog.Revision, len(r.writes))
	for i, wr := range r.writes {
		if lengths[i], err = l.length(wr.Stream); err != nil {
			return eventlog.Receipt{}, err
		}
		if !wr.Expect.Met(lengths[i]) {
			return eventlog.Receipt{}, &eventlog.RevisionError{Stream: wr.Stream, Want: wr.Expect, Actual: lengths[i]}
		}
	}
	receipt = eventlog.Receipt{First: w.next}
	now := l.cfg.Now()
	first := w.next // of the block
	for i, wr := range r.writes {
		if len(wr.Events) == 0 {
			continue
		}
		w.run(g.batch, wr.Stream, lengths[i], len(wr.Events))
		for _, d := range wr.Events {
			rec := eventlog.Record{Position: w.next, Stream: wr.Stream, Revision: lengths[i], ID: d.ID, Type: d.Type, RecordedAt: max(now, w.recorded+1)}
			rec.Payload, rec.Metadata = g.keep(d)
			first = w.add(g, first, rec, r.digests[receipt.Count])
			lengths[i]++
			receipt.Count++
		}
		w.revisions[wr.Stream] = lengths[i]
	}
	w.endBlock(g.batch, first)
	return receipt, nil
}

// run adds the key of a run: so many events of the stream come next.
func (w *writer) run(batch *pebble.Batch, stream eventlog.Stream, from eventlog.Revision, count int) {
	// Set copies; it fails only on a closed or indexed batch.
	w.key = streamKey(w.key[:0], stream, from)
	w.value = binary.AppendUvarint(binary.BigEndian.AppendUint64(w.value[:0], uint64(w.next)), uint64(count))
	must(batch.Set(w.key, w.value, nil))
}

// add adds the next record to the group and its block, which begins at first,
// and returns where its block begins then.
func (w *writer) add(g *group, first domain.Position, r eventlog.Record, payload domain.Digest) domain.Position {
	first = w.pack(g.batch, first, r)
	w.hashes.hashes = w.tree.Add(w.hashes.hashes, r, payload)
	w.ids.add(r.ID)
	g.index[r.ID] = len(g.records)
	g.records = append(g.records, r)
	w.next, w.recorded = r.Position+1, r.RecordedAt
	return first
}

// pack adds a record to the block that begins at first, or to a new one if it
// is full, and returns where its block begins.
func (w *writer) pack(batch *pebble.Batch, first domain.Position, r eventlog.Record) domain.Position {
	at := len(w.block)
	w.block = append(w.block, 0, 0, 0, 0) // room for the length: a record is less than 4 MiB
	w.block = eventlog.AppendRecord(w.block, r)
	var length [binary.MaxVarintLen32]byte
	n := binary.PutUvarint(length[:], uint64(len(w.block)-at-4))
	copy(w.block[at+n:], w.block[at+4:])
	copy(w.block[at:], length[:n])
	w.block = w.block[:len(w.block)-4+n]
	if at == 0 || len(w.block) <= blockBytes {
		return first
	}
	must(batch.Set(eventKey(first), w.block[:at], nil))
	w.block = append(w.block[:0], w.block[at:]...)
	return r.Position
}

func (w *writer) endBlock(batch *pebble.Batch, first domain.Position) {
	must(batch.Set(eventKey(first), w.block, nil))
	w.block = w.block[:0]
}

// recall returns the record with an id, if there is one: staged in this group
// or in one that is being committed, or on disk.
func (l *Log) recall(g *group, id domain.EventID) (eventlog.Record, bool, error) {
	if i, ok := g.index[id]; ok {
		return g.records[i], true, nil
	}
	for _, f := range l.writer.flying {
		if i, ok := f.index[id]; ok {
			return f.records[i], true, nil
		}
	}
	select {
	case <-l.loaded:
		if !l.writer.ids.mayHave(id) {
			return eventlog.Record{}, false, nil
		}
	default:
	}
	return l.find(id)
}

// length returns the number of events in a stream, as the writer sees it.
func (l *Log) length(stream eventlog.Stream) (eventlog.Revision, error) {
	if n, ok := l.writer.revisions[stream]; ok {
		return n, nil
	}
	return l.stored(stream)
}

// commitGroups commits what the writer staged, and answers.
func (l *Log) commitGroups(groups <-chan *group) {
	defer close(l.stopped)
	for g := range groups {
		l.commit(g)
		for _, r := range g.requests {
			close(r.done)
		}
	}
}

// commit makes a group durable.
//
// A crash before apply leaves the log as it was. A crash inside it leaves
// either all of the group or nothing: Pebble's log holds the batch as one
// record. A crash after it loses nothing: the file END may say less than is
// there, and whoever was not answered finds the events by their ids.
func (l *Log) commit(g *group) {
	if g.batch == nil {
		return // refused as a whole
	}
	defer g.batch.Close()
	if err := l.failure(); err != nil { // a group before it failed: nothing of this one is true
		for _, r := range g.requests {
			r.receipt, r.err = eventlog.Receipt{}, err
		}
		return
	}
	if len(g.records) == 0 {
		return // duplicates and refusals only
	}
	if err := l.apply(g.batch); err != nil {
		l.fail(err)
		for _, r := range g.requests {
			if r.err == nil {
				r.receipt, r.err = eventlog.Receipt{}, l.failure()
			}
		}
		return
	}
	if err := l.ended.write(g.head); err != nil && !l.ended.failed {
		l.ended.failed = true // the events are durable all the same
		l.cfg.Logger.Warn("log: how far it has come cannot be noted: a lost end would not be noticed", "dir", l.cfg.Dir, "err", err)
	}
	l.mu.Lock()
	l.tail.add(g.records)
	l.head.Store(uint64(g.head))
	close(l.grown)
	l.grown = make(chan struct{})
	l.mu.Unlock()
}

// apply commits the batch with an fsync. Pebble treats an error of its commit
// pipeline as fatal and calls its logger's Fatalf, which panics here so that
// the program can say what happened and go on reading.
func (l *Log) apply(batch *pebble.Batch) (err error) {
	defer func() {
		if p := recover(); p != nil {
			f, ok := p.(fatal)
			if !ok {
				panic(p)
			}
			err = f
		}
	}()
	return l.db.Apply(batch, pebble.Sync)
}

// room refuses to write into the reserve: an append that is refused while the
// disk still works is cheaper than a database that stops in the middle.
func (l *Log) room() error {
	usage, err := l.cfg.FS.GetDiskUsage(l.cfg.Dir)
	if err != nil {
		if errors.Is(err, vfs.ErrUnsupported) {
			return nil
		}
		return fmt.Errorf("append: free space of %s: %w", l.cfg.Dir, err)
	}
	if usage.AvailBytes < l.cfg.Reserve {
		return fmt.Errorf("append: %w: %d MiB free under %s, and %d MiB are kept in reserve; nothing was recorded, make room and try again",
			ErrDiskFull, usage.AvailBytes>>20, l.cfg.Dir, l.cfg.Reserve>>20)
	}
	return nil
}

func must(err error) {
	if err != nil {
		panic("pebblelog: stage: " + err.Error())
	}
}
