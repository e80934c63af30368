package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"sort"

	"golang.org/x/mod/sumdb/tlog"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/ingest/kurrentlog"
	"wattbook/ingest/pebblelog"
)

// logCopy brings a log from a data folder to a cluster, or back.
func logCopy(ctx context.Context, p *program, from, to string) error {
	switch {
	case from == "" || to == "":
		return usagef("--from and --to are missing: name a data folder and a connection string such as esdb://host:2113?tls=true")
	case isCluster(from) == isCluster(to):
		return usagef("one of --from and --to must be a data folder, the other a connection string such as esdb://host:2113?tls=true; wattbook backup copies a folder")
	}
	s, err := p.settings()
	if err != nil {
		return err
	}
	if isCluster(to) {
		s.Cluster = s.Cluster.at(to)
		return p.withFolder(ctx, s, from, func(l *logFolder) error {
			source, err := l.embedded()
			if err != nil {
				return err
			}
			return p.copyToCluster(ctx, s, source, from)
		})
	}
	s.Cluster = s.Cluster.at(from)
	source, err := s.Cluster.open(ctx, "", p.logger(s))
	if err != nil {
		return err
	}
	return errors.Join(p.copyToFolder(ctx, s, source, to), source.Close())
}

// withFolder gives a verb the log that is in a folder, whatever the settings
// say.
func (p *program) withFolder(ctx context.Context, s settings, dir string, do func(l *logFolder) error) error {
	if p.host != nil {
		return do(p.host.engine.logFolder)
	}
	s.Data, s.Cluster = dir, clusterSettings{}
	if err := p.elsewhere(ctx, s); err != nil {
		return err
	}
	l, err := openFolder(ctx, s, systemClock, p.logger(s))
	if err != nil {
		return err
	}
	return errors.Join(do(l), l.log.Close())
}

// copying is one copy of a log into another.
type copying struct {
	p      *program
	source keptLog
	size   domain.Position // of the source when the copy began
	root   tlog.Hash
	held   domain.Position // by the target, before
	bar    *progress
}

func (p *program) copyFrom(source keptLog) (*copying, error) {
	size, root, err := source.Tree()
	if err != nil {
		return nil, err
	}
	return &copying{p: p, source: source, size: size, root: root, bar: newProgress(p.stderr, "copying")}, nil
}

func (p *program) copyToCluster(ctx context.Context, s settings, source keptLog, from string) error {
	c, err := p.copyFrom(source)
	if err != nil {
		return err
	}
	target, err := s.Cluster.open(ctx, "", p.logger(s))
	if err != nil {
		return err
	}
	err = c.extend(ctx, target)
	if err = errors.Join(err, target.Close()); err != nil {
		return fmt.Errorf("copy to %s: %w", s.Cluster.shown(), err)
	}
	return c.report(from, s.Cluster.shown())
}

// extend brings a cluster the events that it lacks, and reads them back.
func (c *copying) extend(ctx context.Context, target *kurrentlog.Log) error {
	held, _, err := target.Tree()
	if err != nil {
		return err
	}
	if err := c.agree(held, target); err != nil {
		return err
	}
	if err := target.Extend(ctx, c.rest(ctx)); err != nil {
		return err
	}
	size, root, err := target.Tree()
	if err != nil {
		return err
	}
	return c.same(size, root)
}

// copyToFolder brings the events into a data folder: into the log there, or into
// a new one, which has another name until it is whole.
func (p *program) copyToFolder(ctx context.Context, s settings, source keptLog, to string) error {
	c, err := p.copyFrom(source)
	if err != nil {
		return err
	}
	target := folder(p.path(to))
	there, err := pebblelog.Exists(target.log())
	if err != nil {
		return err
	}
	work := target.log()
	if !there {
		if err := target.mayHoldBook(); err != nil {
			return err
		}
		work += ".partial"
	}
	_, _, err = pebblelog.Extend(ctx, pebblelog.Config{Dir: work, Now: systemClock, Logger: p.logger(s)},
		func(held domain.Position, stored tlog.HashReader) iter.Seq2[eventlog.Record, error] {
			if err := c.agree(held, stored); err != nil {
				return func(yield func(eventlog.Record, error) bool) { yield(eventlog.Record{}, err) }
			}
			return c.rest(ctx)
		})
	if err == nil {
		err = c.readBack(ctx, target, work, s)
	}
	if err == nil && !there {
		err = os.Rename(work, target.log())
	}
	if err != nil {
		return fmt.Errorf("copy to %s: %w", work, err)
	}
	return c.report(s.Cluster.shown(), to)
}

// mayHoldBook refuses a folder that is something else.
func (f folder) mayHoldBook() error {
	entries, err := os.ReadDir(string(f))
	if len(entries) == 0 {
		return nil //nolint:nilerr // it will be made
	}
	parts := append(f.kept(), f.log()+".partial", f.evidence(), f.warehouse(), f.cluster())
	for _, e := range entries {
		if slices.Contains(parts, filepath.Join(string(f), e.Name())) {
			return nil
		}
	}
	return errors.Join(err, fmt.Errorf("%s is there already and is no data folder: name another one", f))
}

// readBack verifies the log that was made, by the checkpoints of its folder,
// too, if there are some.
func (c *copying) readBack(ctx context.Context, f folder, dir string, s settings) error {
	log, err := pebblelog.Open(pebblelog.Config{Dir: dir, Now: systemClock, Logger: c.p.logger(s)})
	if err != nil {
		return err
	}
	made := &logFolder{folder: f, log: log}
	found, err := made.verifyOwn(ctx, func(done, total int64) {})
	if err = errors.Join(err, log.Close()); err != nil {
		return err
	}
	return c.same(domain.Position(found.Events), found.Root)
}

// agree reports a target that holds what the source does not: another history,
// or a longer one. Stored is the target's tree.
func (c *copying) agree(held domain.Position, stored tlog.HashReader) error {
	c.held = held
	shared := min(held, c.size)
	ours, err1 := tlog.TreeHash(int64(shared), c.source)
	theirs, err2 := tlog.TreeHash(int64(shared), stored)
	switch {
	case err1 != nil || err2 != nil:
		return errors.Join(err1, err2)
	case ours != theirs:
		return fmt.Errorf("it holds another history from position %d on: its first %s events have the root %s, and those of the source %s; nothing was copied",
			c.parting(shared, stored), thousands(int64(shared)), theirs, ours)
	case held > c.size:
		return fmt.Errorf("it has %s events, and the source only %s: copy the other way", thousands(int64(held)), thousands(int64(c.size)))
	}
	return nil
}

// parting returns the first position that two histories do not share.
func (c *copying) parting(shared domain.Position, stored tlog.HashReader) int {
	return sort.Search(int(shared), func(i int) bool {
		ours, err1 := tlog.TreeHash(int64(i+1), c.source)
		theirs, err2 := tlog.TreeHash(int64(i+1), stored)
		return err1 != nil || err2 != nil || ours != theirs
	})
}

// rest yields what the target lacks.
func (c *copying) rest(ctx context.Context) iter.Seq2[eventlog.Record, error] {
	return func(yield func(eventlog.Record, error) bool) {
		for r, err := range c.source.ReadAll(ctx, c.held) {
			if err == nil && r.Position >= c.size {
				return
			}
			if !yield(r, err) || err != nil {
				return
			}
			if done := int64(r.Position) + 1; done%1024 == 0 || done == int64(c.size) {
				c.bar.show(done, int64(c.size), fmt.Sprintf("%s of %s events", thousands(done), thousands(int64(c.size))))
			}
		}
	}
}

// same reports a target that is not what the source was.
func (c *copying) same(size domain.Position, root tlog.Hash) error {
	c.bar.done()
	if size != c.size || root != c.root {
		return fmt.Errorf("the copy has %s events with the root %s; the source %s with %s", thousands(int64(size)), root, thousands(int64(c.size)), c.root)
	}
	return nil
}

func (c *copying) report(from, to string) error {
	brought := c.size - c.held
	if c.p.common.json {
		return c.p.printJSON(map[string]any{"from": from, "to": to, "events": c.size, "copied": brought, "root": c.root})
	}
	fmt.Fprintf(c.p.stdout, "%s → %s: %s events, root %s; %s were copied, and the copy was read back\n", from, to, thousands(int64(c.size)), c.root, thousands(int64(brought)))
	return nil
}
