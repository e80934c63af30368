package pebblelog

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"golang.org/x/mod/sumdb/tlog"

	"wattbook/domain"
	"wattbook/domain/eventlog"
)

// Extend is [Restore] for a log that may hold the first of the events already,
// as one does whose restoring was killed. It asks for the records behind what
// the log holds: so many events with that stored tree, which the caller compares
// with the source's. After an error it holds what came before it, and another Extend
// continues; a crash may leave less.
func Extend(ctx context.Context, cfg Config, records func(size domain.Position, stored tlog.HashReader) iter.Seq2[eventlog.Record, error]) (size domain.Position, root tlog.Hash, err error) {
	l, err := open(cfg)
	if err != nil {
		return 0, root, err
	}
	defer func() { err = errors.Join(err, l.closeDB()) }()
	if err := l.failure(); err != nil {
		return 0, root, err
	}
	l.load() // an id that is there must not come twice
	select {
	case <-l.loaded:
	default:
		return 0, root, fmt.Errorf("extend log %s: its ids could not be read; see the warning above", cfg.Dir)
	}
	var ended error
	err = l.restore(context.WithoutCancel(ctx), until(ctx, records(domain.Position(l.head.Load()), l), &ended))
	if err = errors.Join(ended, err); err != nil {
		return 0, root, fmt.Errorf("extend log %s: %w", cfg.Dir, err)
	}
	return l.Tree()
}

// until yields the records before an error, which it notes, or the end of the
// context.
func until(ctx context.Context, records iter.Seq2[eventlog.Record, error], ended *error) iter.Seq2[eventlog.Record, error] {
	return func(yield func(eventlog.Record, error) bool) {
		for r, err := range records {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				*ended = err
				return
			}
			if !yield(r, nil) {
				return
			}
		}
	}
}
