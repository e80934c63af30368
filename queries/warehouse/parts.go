package warehouse

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"wattbook/domain"
)

// partOrder is how the rows of a file stand: what is asked for together lies
// together.
const partOrder = "site, device, channel, start_utc, position, row"

// openEpoch makes the folder and the sentinel of the open epoch, if they are
// not there.
func (p *Publisher) openEpoch(ctx context.Context) error {
	dir := p.layout.openDir(p.layout.epoch)
	if err := makeDir(dir); err != nil {
		return err
	}
	sentinel := filepath.Join(dir, sentinelName)
	if len(globbed(sentinel)) > 0 {
		return nil
	}
	return p.store(ctx, "SELECT * FROM part LIMIT 0", sentinel)
}

// store writes the rows of a query into a Parquet file of a name that is new.
func (p *Publisher) store(ctx context.Context, query, path string) error {
	tmp := p.layout.tmp(filepath.Base(path))
	if err := p.engine.exec(ctx, fmt.Sprintf("COPY (%s) TO %s (FORMAT parquet, COMPRESSION zstd)", query, quoted(tmp))); err != nil {
		return err
	}
	return settle(tmp, path)
}

// cut writes the rows that were collected into a part, if there are any.
func (p *Publisher) cut(ctx context.Context) error {
	if err := p.tables.flush(ctx); err != nil {
		return err
	}
	if p.history.rows == 0 {
		return nil
	}
	n := part{epoch: p.layout.epoch, first: p.layout.end(), last: p.history.next - 1}
	n.path = filepath.Join(p.layout.openDir(n.epoch), fmt.Sprintf("part-%d-%d.parquet", n.first, n.last))
	if err := p.store(ctx, "FROM part ORDER BY "+partOrder, n.path); err != nil {
		return err
	}
	p.layout.open = append(p.layout.open, n)
	p.history.rows = 0
	return p.engine.exec(ctx, "TRUNCATE part")
}

// compact closes the open epoch once it has many parts, and joins compacted
// files once there are many. What is replaced stays until its grace is over.
func (p *Publisher) compact(ctx context.Context) error {
	l := p.layout
	if len(l.open) >= p.cfg.Parts {
		whole := part{epoch: l.epoch, first: l.open[0].first, last: l.open[len(l.open)-1].last}
		if err := p.join(ctx, &whole, l.open, "c"); err != nil {
			return err
		}
		for n := l.base; n <= l.epoch; n++ {
			l.retired = append(l.retired, retirement{path: filepath.Join(l.openDir(n), sentinelName)})
		}
		l.closed, l.open = append(l.closed, whole), nil
		l.epoch++
		l.base = l.epoch
		if err := p.openEpoch(ctx); err != nil {
			return err
		}
	}
	start := len(l.closed)
	for start > 0 && !l.closed[start-1].merged {
		start--
	}
	small := l.closed[start:]
	if len(small) < p.cfg.Merge {
		return nil
	}
	last := small[len(small)-1]
	whole := part{epoch: last.epoch, first: small[0].first, last: last.last, merged: true}
	if err := p.join(ctx, &whole, small, "m"); err != nil {
		return err
	}
	for _, s := range small {
		l.retired = append(l.retired, retirement{path: s.path})
	}
	l.closed = append(l.closed[:start:start], whole)
	return nil
}

// join writes the rows of several files into one and names it.
func (p *Publisher) join(ctx context.Context, whole *part, of []part, kind string) error {
	dir := p.layout.closedDir(whole.epoch)
	if err := makeDir(dir); err != nil {
		return err
	}
	whole.path = filepath.Join(dir, fmt.Sprintf("%s-%d-%d.parquet", kind, whole.first, whole.last))
	paths := make([]string, len(of))
	for i, s := range of {
		paths[i] = s.path
	}
	return p.store(ctx, fmt.Sprintf("FROM read_parquet([%s], hive_partitioning = false) ORDER BY %s", quotedList(paths), partOrder), whole.path)
}

// siteStep is a site's metering step.
type siteStep struct {
	site string
	step int64 // in microseconds
}

// views returns the definitions of the views on the parts, for the published
// position and the sites' metering steps.
func (l *layout) views(next domain.Position, sites []siteStep) []relation {
	files := []string{filepath.Join(l.openDir(l.base), sentinelName)} // there may be no part
	for _, c := range l.parts() {
		files = append(files, c.path)
	}
	live := []string{files[0], filepath.Join(l.dir, l.name, "open", "readings", "*", "*.parquet")}
	steps := []string{"(NULL, NULL)"} // there may be no site
	for _, s := range sites {
		steps = append(steps, fmt.Sprintf("(%s, %d)", quoted(s.site), s.step))
	}
	var views []relation
	for _, r := range append(relations(readingsSQL), relations(viewsSQL)...) {
		if r.view {
			r.sql = fill(r.sql, map[string]string{
				"{files}": l.found(files), "{live}": l.found(live), "{epoch}": fmt.Sprint(l.base), "{position}": fmt.Sprint(next), "{steps}": strings.Join(steps, ", "),
			})
			views = append(views, r)
		}
	}
	return views
}

// found returns files as a list of SQL expressions. They are looked for in the
// folder that the client's variable wattbook_warehouse names, or where they
// were published: a copy of the folder can be read at its place.
func (l *layout) found(files []string) string {
	all := make([]string, len(files))
	for i, f := range files {
		all[i] = fmt.Sprintf("%s || %s", place(l.dir), quoted(filepath.ToSlash(strings.TrimPrefix(f, l.dir))))
	}
	return strings.Join(all, ", ")
}

// placeVariable is the variable of a client that says where the folder is.
const placeVariable = "wattbook_warehouse"

// place returns the SQL expression for the folder that was published in dir.
func place(dir string) string {
	return fmt.Sprintf("COALESCE(getvariable(%s), %s)", quoted(placeVariable), quoted(dir))
}
