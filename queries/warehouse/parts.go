package warehouse

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"wattbook/domain"
)

// openEpoch makes the folders and the sentinels of the open epoch, if they are
// not there.
func (p *Publisher) openEpoch(ctx context.Context) error {
	for _, table := range parted() {
		dir := p.layout.openDir(table, p.layout.epoch)
		if err := makeDir(dir); err != nil {
			return err
		}
		sentinel := filepath.Join(dir, sentinelName)
		if len(globbed(sentinel)) > 0 {
			continue
		}
		if err := p.store(ctx, fmt.Sprintf("FROM %s LIMIT 0", table), sentinel); err != nil {
			return err
		}
	}
	return nil
}

// store writes the rows of a query into a Parquet file of a name that is new.
func (p *Publisher) store(ctx context.Context, query, path string) error {
	tmp := p.layout.tmp(filepath.Base(path))
	if err := p.engine.exec(ctx, copyTo(query, tmp)); err != nil {
		return err
	}
	return settle(tmp, path)
}

// storePart writes the files of a part, one for each of the tables. What a process
// that was killed wrote of it is in no view yet, since the readings are not
// there.
func (p *Publisher) storePart(ctx context.Context, n part, tables []string, query func(table string) string) error {
	for _, table := range tables {
		path := n.of(table)
		if err := makeDir(filepath.Dir(path)); err != nil {
			return err
		}
		if table != lastParted {
			if err := remove(path); err != nil {
				return err
			}
		}
		if err := p.store(ctx, query(table), path); err != nil {
			return err
		}
	}
	return nil
}

// ordered returns a query with the order of a table's files.
func ordered(query, table string) string { return query + " ORDER BY " + partOrder(table) }

// cut writes the rows that were collected into a part, if there are any.
func (p *Publisher) cut(ctx context.Context) error {
	if err := p.tables.flush(ctx); err != nil {
		return err
	}
	n := part{epoch: p.layout.epoch, first: p.layout.end(), last: p.history.next - 1}
	if p.history.next <= n.first {
		return nil
	}
	n.path = filepath.Join(p.layout.openDir(lastParted, n.epoch), fmt.Sprintf("part-%d-%d.parquet", n.first, n.last))
	if err := p.engine.tellNames(ctx); err != nil {
		return err
	}
	err := p.storePart(ctx, n, parted(), func(table string) string {
		if table == lastParted {
			return heldQuery // in its order already
		}
		return ordered("FROM "+table, table)
	})
	if err != nil {
		return err
	}
	if err := n.measure(); err != nil {
		return err
	}
	p.layout.open = append(p.layout.open, n)
	p.history.rows, p.held = 0, newHeld()
	if err := p.emptyParts(ctx); err != nil {
		return err
	}
	if sizeOf(p.layout.open) >= p.cfg.Large { // when much is read at once
		return p.closeEpoch(ctx)
	}
	return nil
}

// compact closes the open epoch once it has many parts, and joins compacted
// files of one level once there are many, or enough for one that is large: what
// is asked of a device or a day is then found in few files, each of them in
// order. What is replaced stays until its grace is over.
func (p *Publisher) compact(ctx context.Context) error {
	if err := p.joined(false); err != nil {
		return err
	}
	if l := p.layout; len(l.open) >= p.cfg.Parts {
		if err := p.closeEpoch(ctx); err != nil {
			return err
		}
	}
	for p.joining == nil {
		of, level := p.layout.joinable(p.cfg.Merge, p.cfg.Large)
		if len(of) == 0 {
			return nil
		}
		whole := part{epoch: of[len(of)-1].epoch, first: of[0].first, last: of[len(of)-1].last, level: level + 1}
		if p.background && sizeOf(of) > p.inline {
			p.joining = p.startJoin(whole, of)
			return nil
		}
		if err := p.join(ctx, &whole, of); err != nil {
			return err
		}
		p.layout.replace(of, whole)
	}
	return nil
}

// emptyParts empties the tables of what was collected for a part.
func (p *Publisher) emptyParts(ctx context.Context) error {
	for _, table := range parted() {
		if err := p.engine.exec(ctx, "TRUNCATE "+table); err != nil {
			return err
		}
	}
	return nil
}

func sizeOf(all []part) (sum int64) {
	for _, p := range all {
		sum += p.size
	}
	return sum
}

// joinable returns the files of the last level that are to be joined: many, or
// such as make a large one. A large file stays as it is.
func (l *layout) joinable(many int, large int64) (of []part, level int) {
	start, n := len(l.closed), len(l.closed)
	if n == 0 {
		return nil, 0
	}
	level = l.closed[n-1].level
	for start > 0 && l.closed[start-1].level == level && l.closed[start-1].size < large {
		start--
	}
	of = l.closed[start:]
	if len(of) >= many || len(of) > 1 && sizeOf(of) >= large {
		return slices.Clone(of), level
	}
	return nil, level
}

// replace puts a file in the place of those that it is made of. It reports
// false if they are not there.
func (l *layout) replace(of []part, whole part) bool {
	at := slices.IndexFunc(l.closed, func(p part) bool { return p.path == of[0].path })
	if at < 0 || at+len(of) > len(l.closed) || l.closed[at+len(of)-1].path != of[len(of)-1].path {
		return false
	}
	for _, s := range of {
		l.retired = append(l.retired, retirement{path: s.path})
	}
	l.closed = slices.Replace(l.closed, at, at+len(of), whole)
	return true
}

// closeEpoch makes one file of the parts of the open epochs, and opens the
// next.
func (p *Publisher) closeEpoch(ctx context.Context) error {
	l := p.layout
	whole := part{epoch: l.epoch, first: l.open[0].first, last: l.open[len(l.open)-1].last}
	if err := p.join(ctx, &whole, l.open); err != nil {
		return err
	}
	for n := l.base; n <= l.epoch; n++ {
		l.retired = append(l.retired, retirement{path: filepath.Join(l.openDir(lastParted, n), sentinelName)})
	}
	l.closed, l.open = append(l.closed, whole), nil
	l.epoch++
	l.base = l.epoch
	return p.openEpoch(ctx)
}

// bulk writes the files of a warehouse that is made from the beginning of the
// log: large ones, each of the events and decisions at once, and of the readings
// while the next one is filled. What a file holds is in order, so that none is
// joined.
type bulk struct {
	p       *Publisher
	engine  *engine
	held    *held
	whole   part
	writing chan error // or nil
}

// cut begins to write what was collected.
func (b *bulk) cut(ctx context.Context) error {
	p, l := b.p, b.p.layout
	if err := errors.Join(b.wait(), p.tables.flush(ctx)); err != nil {
		return err
	}
	b.whole = part{epoch: l.epoch, first: l.end(), last: p.history.next - 1}
	b.whole.path = l.closedPath(b.whole)
	if err := p.storePart(ctx, b.whole, parted()[:len(parted())-1], func(table string) string { return ordered("FROM "+table, table) }); err != nil {
		return err
	}
	if b.engine == nil {
		var err error
		if b.engine, err = newEngine(engineLimits{Memory: p.cfg.Memory, Threads: 1, Spill: l.tmp(spillName + "-bulk")}); err != nil {
			return err
		}
		if err := b.engine.serveReadings(ctx, func() *held { return b.held }); err != nil {
			return err
		}
	}
	if err := makeDir(filepath.Dir(b.whole.path)); err != nil {
		return err
	}
	b.held = p.held
	b.writing = make(chan error, 1)
	go func() { b.writing <- b.write(ctx) }()
	p.history.rows, p.held = 0, newHeld()
	l.closed = append(l.closed, b.whole)
	l.epoch++
	return p.emptyParts(ctx)
}

func (b *bulk) write(ctx context.Context) error {
	tmp := b.p.layout.tmp(filepath.Base(b.whole.path))
	if err := errors.Join(b.engine.tellNames(ctx), b.engine.exec(ctx, copyTo(heldQuery, tmp))); err != nil {
		return err
	}
	return settle(tmp, b.whole.path)
}

// wait waits until the readings of the last file are written.
func (b *bulk) wait() error {
	if b.writing == nil {
		return nil
	}
	err := <-b.writing
	b.writing, b.held = nil, nil
	if err != nil {
		return err
	}
	l := b.p.layout
	return l.closed[len(l.closed)-1].measure()
}

// end opens the epoch after the files that were written.
func (b *bulk) end(ctx context.Context) error {
	err := b.wait()
	if b.engine == nil {
		return err
	}
	l := b.p.layout
	for n := l.base; n < l.epoch; n++ {
		if sentinel := filepath.Join(l.openDir(lastParted, n), sentinelName); len(globbed(sentinel)) > 0 {
			l.retired = append(l.retired, retirement{path: sentinel})
		}
	}
	l.base = l.epoch
	err = errors.Join(err, b.engine.close(), b.p.openEpoch(ctx))
	b.engine = nil
	return err
}

// closedPath is where a compacted file lies.
func (l *layout) closedPath(p part) string {
	return filepath.Join(l.closedDir(lastParted, p.epoch), fmt.Sprintf("%s-%d-%d.parquet", compactedKind(p.level), p.first, p.last))
}

// joinQuery reads the rows of a table's files in the order of one.
func joinQuery(of []part, table string) string {
	paths := make([]string, len(of))
	for i, s := range of {
		paths[i] = s.of(table)
	}
	return ordered(fmt.Sprintf("FROM read_parquet([%s], hive_partitioning = false)", quotedList(paths)), table)
}

// join writes the rows of several parts into one and names it.
func (p *Publisher) join(ctx context.Context, whole *part, of []part) error {
	whole.path = p.layout.closedPath(*whole)
	if err := p.storePart(ctx, *whole, parted(), func(table string) string { return joinQuery(of, table) }); err != nil {
		return err
	}
	return whole.measure()
}

// siteStep is a site's metering step.
type siteStep struct {
	site string
	step int64 // in microseconds
}

// views returns the definitions of the views on the parts, for the published
// position and the sites' metering steps.
func (l *layout) views(next domain.Position, sites []siteStep) []relation {
	var all []relation
	for _, r := range relations(partsSQL) {
		r.view = true
		r.sql = fmt.Sprintf("CREATE VIEW %s AS\nSELECT %s\nFROM read_parquet([%s], hive_partitioning = false)\nWHERE position < %d;\n",
			r.name, r.columnNames(), l.found(l.files(r.name)), next)
		all = append(all, r)
		if r.name == "readings" {
			all = append(all, l.live(r, next))
		}
	}
	all = append(all, l.dailyViews(next)...)
	steps := []string{"(NULL, NULL)"} // there may be no site
	for _, s := range sites {
		steps = append(steps, fmt.Sprintf("(%s, %d)", quoted(s.site), s.step))
	}
	for _, r := range relations(viewsSQL) {
		r.sql = fill(r.sql, map[string]string{
			"{readings}": l.found(l.files("readings")), "{position}": fmt.Sprint(next), "{steps}": strings.Join(steps, ", "),
		})
		all = append(all, r)
	}
	return all
}

// files returns the files of a table: its sentinel, since there may be no
// part, and the parts by name, so that one that is missing is an error.
func (l *layout) files(table string) []string {
	files := []string{filepath.Join(l.openDir(table, l.base), sentinelName)}
	for _, p := range l.parts() {
		files = append(files, p.of(table))
	}
	return files
}

// live is the view of the readings that finds parts which are newer than the
// database.
func (l *layout) live(r relation, next domain.Position) relation {
	columns := r.columnNames()
	r.name = "readings_live"
	r.comment = "All readings, like the view readings, but up to the last part that was written: it may be ahead of the tables of this file."
	newer := []string{filepath.Join(l.openDir("readings", l.base), sentinelName), filepath.Join(l.dir, l.name, "open", "readings", "*", "*.parquet")}
	r.sql = fmt.Sprintf(`CREATE VIEW readings_live AS
SELECT %[1]s
FROM read_parquet([%[2]s], hive_partitioning = false)
UNION ALL
SELECT %[1]s
FROM read_parquet([%[3]s], hive_partitioning = true, hive_types = {'epoch': BIGINT})
WHERE epoch >= %[4]d AND position >= %[5]d;
`, columns, l.found(l.files("readings")), l.found(newer), l.base, next)
	return r
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
