package warehouse

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/projections"
	"wattbook/projections/facts"
	"wattbook/projections/scratch"
)

// AsOf makes a database of what was known at an earlier position, beside the
// one that is published, and returns its name: every table and view as it was
// published then, on the parts that are there. It is drawn from the log again,
// so it is what a replay up to that position says. One that was made within a
// day is used again.
func AsOf(ctx context.Context, log eventlog.Log, at domain.Position, cfg Config) (name string, err error) {
	cfg = cfg.withDefaults()
	fail := func(err error) (string, error) {
		return "", fmt.Errorf("warehouse as of position %d: %w", at, err)
	}
	if cfg.Dir, err = filepath.Abs(cfg.Dir); err != nil {
		return fail(err)
	}
	now, ok, err := readPublished(ctx, cfg.Dir)
	switch {
	case err != nil:
		return fail(err)
	case !ok:
		return fail(ErrNothingPublished)
	case now.Schema != schemaVersion():
		return fail(errors.New("what is published has another schema; make it anew with: wattbook warehouse rebuild"))
	case at == 0:
		return fail(errors.New("nothing was known then"))
	case at > now.Position:
		return fail(fmt.Errorf("the warehouse is at position %d; bring it up to date with: wattbook warehouse publish", now.Position))
	}
	name = fmt.Sprintf("%s%d.duckdb", asOfPrefix, at)
	path := filepath.Join(cfg.Dir, name)
	if s, err := os.Stat(path); err == nil && cfg.Now().Sub(domain.At(s.ModTime())) < domain.Day {
		if of, ok, err := readDatabase(ctx, path); err == nil && ok && of.Schema == now.Schema && of.Parts == now.Parts && of.OpenEpoch == now.OpenEpoch {
			return name, nil
		}
	}
	p := &Publisher{cfg: cfg, whole: true}
	if p.layout, err = scan(cfg.Dir, now.Parts, now.Position); err != nil {
		return fail(err)
	}
	p.layout.upTo(at)
	p.layout.days = nil // they are of what was known later
	if p.layout.work, err = os.MkdirTemp(cfg.Dir, "derived-"); err != nil {
		return fail(err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(p.layout.work)) }()
	if err := p.ready(ctx); err != nil {
		return fail(err)
	}
	defer func() { err = errors.Join(err, p.engine.close()) }()
	area := scratch.In(p.layout.work, foldedInHeap)
	defer func() { err = errors.Join(err, area.Close()) }()
	f := facts.In(area)
	if _, err := projections.Fold(ctx, log, 0, at, f); err != nil {
		return fail(err)
	}
	if err := p.follow(ctx, log, f); err != nil {
		return fail(err)
	}
	tmp, _, err := p.make(ctx, f)
	if err != nil {
		return fail(err)
	}
	return name, settle(tmp, path)
}

// upTo leaves out the parts of events from a position on.
func (l *layout) upTo(at domain.Position) {
	before := func(all []part) []part {
		for i, p := range all {
			if p.first >= at {
				return all[:i]
			}
		}
		return all
	}
	l.open, l.closed = before(l.open), before(l.closed)
}
