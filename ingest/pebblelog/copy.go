package pebblelog

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"
	"golang.org/x/mod/sumdb/tlog"

	"wattbook/domain"
	"wattbook/domain/eventlog"
)

// Backup makes a copy of the log in dir, which must not exist, while the log
// goes on. The copy holds every event that is durable when Backup is called,
// and opens as a log of its own. On one file system most of it are hard links,
// which cost no room.
func (l *Log) Backup(dir string) error {
	if err := l.begin(); err != nil {
		return err
	}
	defer l.end()
	head := domain.Position(l.head.Load())
	err := l.db.Checkpoint(dir, pebble.WithFlushedWAL())
	if err == nil {
		err = writeEnd(l.cfg.FS, dir, head)
	}
	if err != nil {
		return fmt.Errorf("back up log %s to %s: %w", l.cfg.Dir, dir, err)
	}
	return nil
}

// Restore makes a log in cfg.Dir of records that another log yielded, from
// position 0 on, and returns how many there are and the root of their Merkle
// tree. Every field of every record stays what it was. The folder must hold no
// events. After an error it holds a part of them, and is to be removed.
func Restore(ctx context.Context, cfg Config, records iter.Seq2[eventlog.Record, error]) (size domain.Position, root tlog.Hash, err error) {
	l, err := open(cfg)
	if err != nil {
		return 0, root, err
	}
	defer func() { err = errors.Join(err, l.closeDB()) }()
	if l.readOnly {
		return 0, root, fmt.Errorf("restore log %s: %w", cfg.Dir, ErrReadOnly)
	}
	if n := l.head.Load(); n > 0 {
		return 0, root, fmt.Errorf("restore log %s: it holds %d events already", cfg.Dir, n)
	}
	if err := l.restore(ctx, records); err != nil {
		return 0, root, fmt.Errorf("restore log %s: %w", cfg.Dir, err)
	}
	return l.Tree()
}

// restore stages group after group. Nothing is durable before the last flush.
func (l *Log) restore(ctx context.Context, records iter.Seq2[eventlog.Record, error]) error {
	var pending []eventlog.Record
	size := 0
	for r, err := range records {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if len(pending) > 0 && (size >= groupBytes || len(pending) >= eventlog.MaxAppendEvents) {
			if err := l.restoreGroup(pending); err != nil {
				return err
			}
			pending, size = pending[:0], 0
		}
		pending = append(pending, r)
		size += len(r.Payload) + eventBytes
	}
	if len(pending) > 0 {
		if err := l.restoreGroup(pending); err != nil {
			return err
		}
	}
	l.head.Store(uint64(l.writer.next))
	if err := l.db.Flush(); err != nil {
		return err
	}
	return l.ended.write(l.writer.next)
}

func (l *Log) restoreGroup(records []eventlog.Record) error {
	if err := l.room(); err != nil {
		return err
	}
	w := &l.writer
	if len(w.revisions) >= revisionCache {
		l.head.Store(uint64(w.next)) // what is looked up must be there
		clear(w.revisions)
	}
	g := &group{batch: l.db.NewBatch(), index: make(map[domain.EventID]int, len(records))}
	defer g.batch.Close()
	first := w.next
	for i, r := range records {
		if err := l.fits(g, r); err != nil {
			return err
		}
		if i == 0 || records[i-1].Stream != r.Stream {
			n := i + 1
			for n < len(records) && records[n].Stream == r.Stream {
				n++
			}
			w.run(g.batch, r.Stream, r.Revision, n-i)
		}
		first = w.add(g, first, r, domain.DigestOf(r.Payload))
		w.revisions[r.Stream] = r.Revision + 1
	}
	w.endBlock(g.batch, first)
	w.hashes.stage(g.batch)
	g.stageIDs()
	return l.db.Apply(g.batch, pebble.NoSync)
}

// fits reports why a record cannot be the next one of the log.
func (l *Log) fits(g *group, r eventlog.Record) error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("event at position %d: %w", r.Position, fmt.Errorf(format, args...))
	}
	if r.Position != l.writer.next {
		return fail("position %d is the next one", l.writer.next)
	}
	if err := eventlog.Check([]eventlog.Write{{Stream: r.Stream, Expect: eventlog.Any, Events: []eventlog.Draft{{ID: r.ID, Type: r.Type, Payload: r.Payload, Metadata: r.Metadata}}}}); err != nil {
		return fail("%w", err)
	}
	if r.RecordedAt <= l.writer.recorded && r.Position > 0 {
		return fail("it is recorded at %s, not after the event before it", r.RecordedAt)
	}
	n, err := l.length(r.Stream)
	if err != nil {
		return err
	}
	if r.Revision != n {
		return fail("revision %d of %s follows %d events", r.Revision, r.Stream, n)
	}
	if _, ok := g.index[r.ID]; ok {
		return fail("its id %s comes twice", r.ID)
	}
	if !l.writer.ids.mayHave(r.ID) {
		return nil
	}
	switch _, ok, err := l.find(r.ID); {
	case err != nil:
		return err
	case ok:
		return fail("its id %s comes twice", r.ID)
	}
	return nil
}
