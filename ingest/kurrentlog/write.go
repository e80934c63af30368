package kurrentlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"wattbook/domain"
	"wattbook/domain/eventlog"
)

const (
	// queued appends wait in memory; the next caller blocks.
	queueAppends = 1024

	// groupAppends is how many appends the writer looks at together.
	groupAppends = 512

	// readBackAfter is how long the subscription may take to bring what was
	// acknowledged before it is read.
	readBackAfter = 30 * time.Millisecond

	// readBacks is how often what was acknowledged is looked for.
	readBacks = 4
)

// request is an append that is queued.
type request struct {
	writes []eventlog.Write
	copied []eventlog.Record // that another log recorded, instead of writes
	ids    []domain.EventID
	gone   <-chan struct{} // closed when the caller does not wait any more

	id      domain.EventID   // of the append, the same at every attempt that cuts it alike
	cuts    []domain.EventID // id, and those before it
	outcome outcome          // the view's
	events  []esdb.EventData
	base    uint64 // physical revision that the events were made for
	limit   int    // that they were cut to
	trouble atomic.Pointer[error]

	receipt eventlog.Receipt
	err     error
	done    chan struct{}
}

// newRequest copies the writes: a caller whose context ends takes his bytes
// back while they may still be on their way.
func newRequest(ctx context.Context, writes []eventlog.Write) *request {
	r := &request{gone: ctx.Done(), done: make(chan struct{})}
	for _, w := range writes {
		events := make([]eventlog.Draft, len(w.Events))
		for i, d := range w.Events {
			d.Payload, d.Metadata = bytes.Clone(d.Payload), maps.Clone(d.Metadata)
			events[i] = d
			r.ids = append(r.ids, d.ID)
		}
		w.Events = events
		r.writes = append(r.writes, w)
	}
	return r
}

// finish answers a request.
func (r *request) finish(receipt eventlog.Receipt, err error) {
	r.receipt, r.err = receipt, err
	close(r.done)
}

// unknown says that a request was not seen to its end, and what was in its way.
func (r *request) unknown(cause error) error {
	if t := r.trouble.Load(); t != nil {
		return fmt.Errorf("append may yet be recorded: %w; the last attempt: %w", cause, *t)
	}
	return fmt.Errorf("append may yet be recorded: %w", cause)
}

// Append implements [eventlog.Log].
func (l *Log) Append(ctx context.Context, writes ...eventlog.Write) (eventlog.Receipt, error) {
	if err := check(writes); err != nil {
		return eventlog.Receipt{}, err
	}
	if err := ctx.Err(); err != nil {
		return eventlog.Receipt{}, err
	}
	return l.submit(ctx, newRequest(ctx, writes))
}

// check is eventlog.Check, with what the server wants beyond.
func check(writes []eventlog.Write) error {
	if err := eventlog.Check(writes); err != nil {
		return err
	}
	for _, w := range writes {
		for _, d := range w.Events {
			if !utf8.ValidString(d.Type) {
				return fmt.Errorf("append to %s: event type %q is not UTF-8, which the server wants", w.Stream, d.Type)
			}
		}
	}
	return nil
}

// submit queues a request and waits until it is answered.
func (l *Log) submit(ctx context.Context, r *request) (eventlog.Receipt, error) {
	if l.closed() {
		return eventlog.Receipt{}, eventlog.ErrClosed
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
		return eventlog.Receipt{}, r.unknown(ctx.Err())
	case <-l.stopped:
		select {
		case <-r.done:
			return r.receipt, r.err
		default:
			return eventlog.Receipt{}, eventlog.ErrClosed
		}
	}
}

// write is the writer: it sees one group of appends after another to its end,
// until Close.
func (l *Log) write() {
	defer close(l.stopped)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-l.giveUp:
			cancel()
		case <-ctx.Done():
		}
	}()
	for {
		var group []*request
		select {
		case r := <-l.queue:
			group = append(group, r)
		case <-l.closing:
			select { // finish what was queued before
			case r := <-l.queue:
				group = append(group, r)
			default:
				return
			}
		}
	gather:
		for len(group) < groupAppends {
			select {
			case r := <-l.queue:
				group = append(group, r)
			default:
				break gather
			}
		}
		l.commit(ctx, group)
	}
}

// commit makes rounds until every append of the group is answered.
func (l *Log) commit(ctx context.Context, group []*request) {
	all := group
	defer func() {
		for _, r := range all {
			l.view.forget(r.cuts)
		}
	}()
	for attempt := 0; ; attempt++ {
		group = l.waiting(group)
		if len(group) == 0 {
			return
		}
		sent, err := l.round(ctx, group)
		if err == nil {
			attempt = -1
			continue
		}
		for _, r := range group {
			r.trouble.Store(&err)
		}
		if answer := l.hopeless(ctx, sent, err); answer != nil {
			for _, r := range l.waiting(group) {
				r.finish(eventlog.Receipt{}, answer)
			}
			return
		}
		if ctx.Err() == nil && classify(err) != behind { // another writer was faster, as it may be
			l.cfg.Logger.Warn("log: an append was not seen to its end and is made again", "err", err, "attempt", attempt+1)
		}
		// Whatever the attempt came to is in the stream, or will never be: an
		// append is made for one revision only.
		if l.super.pause(ctx, attempt) != nil {
			continue
		}
		n, _ := l.catchUp(ctx) // if that fails, so does the next round
		if classify(err) == behind && n == 0 && attempt > 2 {
			l.recheck(ctx)
		}
	}
}

// recheck looks whether the server still has the stream that the view is of:
// it refuses the end of the view, and has nothing beyond it.
func (l *Log) recheck(ctx context.Context) {
	differs, err := l.contradicted(ctx)
	if err == nil && differs != nil && !errors.Is(differs, errAbsent) {
		next, _, _, _ := l.view.state()
		_ = l.view.fail(next, fmt.Errorf("the server holds another log: %w", differs)) // the next round says so
	}
}

// waiting returns the requests that are not answered yet, after answering
// those that are on record by now and those that nobody waits for. One of which
// parts are there is seen to its end all the same: it stands in everybody's way.
func (l *Log) waiting(group []*request) []*request {
	var left []*request
	for _, r := range group {
		select {
		case <-r.done:
			continue
		default:
		}
		if o := l.view.became(&r.outcome); o.placed {
			r.finish(eventlog.Receipt{First: o.first, Count: o.count}, nil)
			continue
		}
		select {
		case <-r.gone:
			if !l.view.begun(r.id) {
				r.finish(eventlog.Receipt{}, errors.New("nobody waits for it"))
				continue
			}
		default:
		}
		left = append(left, r)
	}
	return left
}

// hopeless returns the answer to give when another attempt is of no use, or
// nil.
func (l *Log) hopeless(ctx context.Context, sent int, err error) error {
	if broken := l.view.failure(); broken != nil {
		return fmt.Errorf("append: the log takes no events: %w", broken)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("append may yet be recorded: %w; the last attempt: %w", eventlog.ErrClosed, err)
	}
	switch classify(err) {
	case refused:
		return err
	case deleted:
		next, _, _, _ := l.view.state()
		return l.view.fail(next, err)
	case large:
		if sent <= leastAppendBytes {
			return err
		}
		l.shrink()
	}
	return nil
}

// shrink halves what is sent at once to a server that takes less than it was
// said to.
func (l *Log) shrink() {
	l.limit = max(l.limit/2, leastAppendBytes)
	l.cfg.Logger.Warn("log: the server finds appends too large; they are made smaller", "bytes", l.limit)
}

// round sends what one append to the server holds, and waits until it is read
// back. It returns how many bytes it sent.
func (l *Log) round(ctx context.Context, group []*request) (int, error) {
	if err := l.view.failure(); err != nil {
		return 0, err
	}
	if err := l.patience(ctx); err != nil {
		return 0, err
	}
	if err := l.known(ctx, group); err != nil {
		return 0, err
	}
	base, events := l.stage(l.waiting(group))
	if len(events) == 0 {
		return 0, nil
	}
	sent := 0
	for _, e := range events {
		sent += size(e)
	}
	err := l.send(ctx, base, events)
	for again := 0; classify(err) == severed && again < 2; again++ {
		// The client keeps to itself why the server ended the call. If it was
		// the size, it will be again; if it was the connection, it will not.
		if again == 1 && sent > leastAppendBytes {
			l.shrink()
			break
		}
		if err = l.super.pause(ctx, 0); err == nil {
			err = l.send(ctx, base, events)
		}
	}
	if err != nil {
		return sent, err
	}
	return sent, l.readBack(ctx, base+uint64(len(events)))
}

// send appends events at exactly the end of the view.
func (l *Log) send(ctx context.Context, base uint64, events []esdb.EventData) error {
	options := esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}
	if base > 0 {
		options.ExpectedRevision = esdb.Revision(base - 1)
	}
	_, err := call(ctx, l.super, "append to "+l.cfg.Stream, func(ctx context.Context, c *esdb.Client) (*esdb.WriteResult, error) {
		return c.AppendToStream(ctx, l.cfg.Stream, options, events...)
	})
	return err
}

// readBack waits until the view has what was acknowledged. The subscription
// brings it; if it does not, it is read.
func (l *Log) readBack(ctx context.Context, want uint64) error {
	wait := readBackAfter
	for tries := 0; ; {
		next, _, moved, _ := l.view.state()
		if next >= want {
			return nil
		}
		if err := l.view.failure(); err != nil {
			return err
		}
		t := time.NewTimer(wait)
		select {
		case <-moved:
			t.Stop()
			continue
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-t.C:
		}
		if tries++; tries > readBacks {
			return fmt.Errorf("append to %s: it was acknowledged, and physical event %d is not there", l.cfg.Stream, want-1)
		}
		if _, err := l.catchUp(ctx); err != nil {
			return err
		}
		wait *= 2
	}
}

// patience waits for the unfinished append of another writer at the end of the
// stream, as long as it goes on. To append now would make it void.
func (l *Log) patience(ctx context.Context) error {
	var last domain.EventID
	parts, until := 0, time.Now()
	for {
		id, seen, moved, ok := l.view.foreign()
		if !ok {
			return nil
		}
		if id != last || seen != parts {
			last, parts, until = id, seen, time.Now().Add(l.cfg.Grace)
		}
		left := time.Until(until)
		if left <= 0 {
			return nil
		}
		t := time.NewTimer(left)
		select {
		case <-moved:
			t.Stop()
		case <-t.C:
			if _, err := l.catchUp(ctx); err != nil { // the subscription may be late
				return err
			}
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
	}
}

// known answers the appends whose ids are on record: with where they are, or
// with a conflict.
func (l *Log) known(ctx context.Context, group []*request) error {
	for _, r := range group {
		found := l.view.find(r.ids)
		if len(found) == 0 || l.view.became(&r.outcome).placed {
			continue
		}
		if r.copied != nil {
			for id, p := range found {
				r.finish(eventlog.Receipt{}, &eventlog.ConflictError{ID: id, Position: p})
				break
			}
			continue
		}
		records, err := l.fetch(ctx, found)
		var corrupt *eventlog.CorruptError
		if errors.As(err, &corrupt) {
			r.finish(eventlog.Receipt{}, err)
			continue
		}
		if err != nil {
			return err
		}
		known, receipt, err := eventlog.Known(r.writes, func(id domain.EventID) (eventlog.Record, bool, error) {
			record, ok := records[id]
			return record, ok, nil
		})
		if known || err != nil {
			r.finish(receipt, err)
		}
	}
	return nil
}

// stage chooses what to send next, at the end of the view, and answers the
// appends whose streams are not where they expect them.
func (l *Log) stage(group []*request) (base uint64, events []esdb.EventData) {
	v := l.view
	v.mu.Lock()
	base = v.next
	for _, r := range group {
		// An append of ours that is there in part goes on where it is.
		if g := v.open; g != nil && g.append == r.id && r.limit == l.limit && r.base+uint64(g.seen) == base {
			rest := r.events[g.seen:] // those that the fold had not seen at base
			v.mu.Unlock()
			return base, l.fitting(rest)
		}
	}
	chosen, places := l.choose(group)
	v.mu.Unlock()
	sum := 0
	for i, r := range chosen {
		if len(r.cuts) == 0 || r.limit != l.limit {
			// Pieces of different cuts must never be taken for one event, not
			// even if the attempt before is on its way still.
			r.id = newAppendID()
			r.cuts = append(r.cuts, r.id)
			v.expect(r.id, &r.outcome)
		}
		r.events, r.base, r.limit = encode(r.id, places[i], l.limit), base+uint64(len(events)), l.limit
		for _, e := range r.events {
			sum += size(e)
		}
		if sum > l.limit {
			if i == 0 {
				events = l.fitting(r.events)
			}
			break
		}
		events = append(events, r.events...)
	}
	return base, events
}

// fitting returns the first events that go together in one append.
func (l *Log) fitting(events []esdb.EventData) []esdb.EventData {
	sum := 0
	for i, e := range events {
		if sum += size(e); sum > l.limit && i > 0 {
			return events[:i]
		}
	}
	return events
}

// choose checks the appends of a group, each as if those chosen before it were
// recorded, and places the events of those that pass. The caller holds the
// view's mu.
//
// What fails only because of an append that is chosen but not yet recorded is
// left for the next round: nothing is refused for what may never happen.
func (l *Log) choose(group []*request) (chosen []*request, places [][]staged) {
	lengths := map[eventlog.Stream]eventlog.Revision{}
	ids := map[domain.EventID]bool{}
	bytes := 0
	for _, r := range group {
		if bytes > l.limit {
			break
		}
		clear := true
		for _, id := range r.ids {
			if _, on := l.view.ids[id]; on || ids[id] {
				clear = false
			}
		}
		if !clear {
			continue
		}
		if r.copied != nil {
			if len(chosen) > 0 {
				continue // it has a round of its own
			}
			events, err := l.view.following(r.copied)
			if err != nil {
				r.finish(eventlog.Receipt{}, err)
				continue
			}
			return []*request{r}, [][]staged{events}
		}
		refused, later := l.refuses(r, lengths)
		if later {
			continue
		}
		if refused != nil {
			r.finish(eventlog.Receipt{}, refused)
			continue
		}
		var events []staged
		for _, w := range r.writes {
			n, ok := lengths[w.Stream]
			if !ok {
				n = l.view.length(w.Stream)
			}
			for _, d := range w.Events {
				events = append(events, staged{stream: w.Stream, revision: n, draft: d})
				ids[d.ID] = true
				bytes += len(d.Payload)
				n++
			}
			if len(w.Events) > 0 {
				lengths[w.Stream] = n
			}
		}
		chosen, places = append(chosen, r), append(places, events)
	}
	return chosen, places
}

// refuses returns why a request is refused, or that it must wait for those
// before it. The caller holds the view's mu.
func (l *Log) refuses(r *request, lengths map[eventlog.Stream]eventlog.Revision) (refused error, later bool) {
	for _, w := range r.writes {
		n, touched := lengths[w.Stream]
		if !touched {
			n = l.view.length(w.Stream)
		}
		if w.Expect.Met(n) {
			continue
		}
		if touched {
			return nil, true
		}
		return &eventlog.RevisionError{Stream: w.Stream, Want: w.Expect, Actual: n}, false
	}
	return nil, false
}
