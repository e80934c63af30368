package warehouse

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// joining is a join that goes on beside the publications. It reads files that
// never change and writes into a folder of its own; the publisher gives what it
// wrote its names.
type joining struct {
	whole  part
	of     []part
	dir    string
	cancel context.CancelFunc
	done   chan error
}

// InBackground lets joins of more than a size in bytes go on beside the
// publications, in a process that stays: they take as much memory again. Where
// it is not called all joins are part of a publication.
func (p *Publisher) InBackground(size int64) { p.background, p.inline = true, size }

// startJoin begins a join. It returns nil if it cannot: the next publication
// tries again.
func (p *Publisher) startJoin(whole part, of []part) *joining {
	dir, err := os.MkdirTemp(p.cfg.Dir, "derived-join-")
	if err != nil {
		p.cfg.Logger.Warn("parts are not joined", "err", err)
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	j := &joining{whole: whole, of: of, dir: dir, cancel: cancel, done: make(chan error, 1)}
	memory := p.cfg.Memory
	go func() { j.done <- j.run(ctx, memory) }()
	return j
}

// file is what the join writes of a table.
func (j *joining) file(table string) string { return filepath.Join(j.dir, table+".parquet") }

func (j *joining) run(ctx context.Context, memory string) (err error) {
	e, err := newEngine(engineLimits{Memory: memory, Threads: 1, Spill: filepath.Join(j.dir, spillName)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	for _, table := range parted() {
		if err := e.exec(ctx, copyTo(joinQuery(j.of, table), j.file(table))); err != nil {
			return err
		}
	}
	return nil
}

// copyTo is the statement that writes the rows of a query into a Parquet file.
func copyTo(query, path string) string {
	return fmt.Sprintf("COPY (%s) TO %s (FORMAT parquet, COMPRESSION zstd)", query, quoted(path))
}

// joined takes over what a join beside the publications has written, if it is
// done, or gives it up. What belongs to files that the
// publisher does not have any more is let go.
func (p *Publisher) joined(giveUp bool) error {
	j := p.joining
	if j == nil {
		return nil
	}
	var err error
	if giveUp {
		j.cancel()
		err = errors.Join(context.Canceled, <-j.done)
	} else {
		select {
		case err = <-j.done:
		default:
			return nil
		}
	}
	p.joining = nil
	j.cancel()
	defer func() { _ = os.RemoveAll(j.dir) }() // else it is cleared a day later
	if err != nil {
		if !giveUp {
			p.cfg.Logger.Warn("parts are not joined, and stay as they are", "err", err)
		}
		return nil
	}
	j.whole.path = p.layout.closedPath(j.whole)
	for _, table := range parted() {
		path := j.whole.of(table)
		if err := makeDir(filepath.Dir(path)); err != nil {
			return err
		}
		if table != lastParted {
			if err := remove(path); err != nil {
				return err
			}
		}
		if err := settle(j.file(table), path); err != nil {
			return err
		}
	}
	if err := j.whole.measure(); err != nil {
		return err
	}
	p.layout.replace(j.of, j.whole)
	return nil
}
