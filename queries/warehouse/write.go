package warehouse

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"wattbook/domain"
	"wattbook/projections/facts"
)

// storageVersion is that of the published file: DuckDB 1.0 and later read it.
const storageVersion = "v1.0.0"

func fill(sql string, words map[string]string) string {
	for word, value := range words {
		sql = strings.ReplaceAll(sql, word, value)
	}
	return sql
}

// write publishes a database of what the tables hold and the facts say.
func (p *Publisher) write(ctx context.Context, f *facts.Facts) (Published, error) {
	tmp, out, err := p.make(ctx, f)
	if err != nil {
		return out, err
	}
	return out, p.release(tmp, out.Position)
}

// make writes a database that has no name for good yet.
func (p *Publisher) make(ctx context.Context, f *facts.Facts) (tmp string, out Published, err error) {
	out = Published{
		Position: f.Next, At: p.cfg.Now(), Schema: schemaVersion(), LastEvent: p.history.last.String(),
		Folder: p.cfg.Dir, Parts: p.layout.name, ReadingRows: p.history.count, OpenEpoch: p.layout.base,
	}
	tmp = p.layout.tmp(fmt.Sprintf("%s%d.duckdb", linkPrefix, out.Position))
	if err := remove(tmp); err != nil {
		return tmp, out, err
	}
	if err := p.engine.exec(ctx, fmt.Sprintf("ATTACH %s AS pub (STORAGE_VERSION '%s'); USE pub", quoted(tmp), storageVersion)); err != nil {
		return tmp, out, err
	}
	// One transaction, so that DuckDB syncs the file once, and not after each
	// of a thousand statements.
	err = p.engine.exec(ctx, "BEGIN")
	if err == nil {
		err = p.fill(ctx, f, out)
	}
	if err == nil {
		err = p.engine.exec(ctx, "COMMIT")
	} else {
		err = errors.Join(err, p.engine.exec(context.WithoutCancel(ctx), "ROLLBACK"))
	}
	// Whatever became of it, and of the context, it is let go of.
	if err = errors.Join(err, p.engine.exec(context.WithoutCancel(ctx), "USE memory; DETACH pub")); err != nil {
		return tmp, out, err
	}
	if _, err := os.Stat(tmp + ".wal"); !errors.Is(err, fs.ErrNotExist) {
		return tmp, out, fmt.Errorf("publish %s: DuckDB left a write-ahead log beside it", tmp)
	}
	return tmp, out, nil
}

// release gives a finished database its names: that of its position, and the
// one that clients open.
func (p *Publisher) release(tmp string, at domain.Position) error {
	if err := syncFile(tmp); err != nil {
		return err
	}
	link := filepath.Join(p.cfg.Dir, fmt.Sprintf("%s%d.duckdb", linkPrefix, at))
	if err := remove(link); err != nil {
		return err
	}
	if err := os.Link(tmp, link); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	if err := settle(tmp, p.layout.published()); err != nil {
		return err
	}
	links := globbed(filepath.Join(p.cfg.Dir, linkPrefix+"*.duckdb"))
	slices.SortFunc(links, func(a, b string) int { return int(linkPosition(a)) - int(linkPosition(b)) })
	for _, old := range links[:max(0, len(links)-p.cfg.Links)] {
		if err := remove(old); err != nil {
			return err
		}
	}
	return nil
}

// linkPosition reads the position in a database's name; 0 if there is none.
func linkPosition(path string) (at domain.Position) {
	_, _ = fmt.Sscanf(filepath.Base(path), linkPrefix+"%d.duckdb", &at) // what is not ours is swept first
	return at
}

// shape makes a database in memory with the empty tables and their comments,
// of which every publication is a copy: a thousand statements made anew each
// time take longer than all else.
func (p *Publisher) shape(ctx context.Context) error {
	var all strings.Builder
	for _, r := range relations(schemaSQL) {
		all.WriteString(r.sql)
	}
	for _, r := range relations(schemaSQL) {
		all.WriteString(r.comments())
	}
	all.WriteString("CREATE SCHEMA " + openSchema + ";\n")
	for _, r := range relations(daysSQL) {
		r = r.drawn()
		all.WriteString(strings.Replace(r.sql, "CREATE TABLE ", "CREATE TABLE "+openSchema+".", 1))
		r.comment = "Rows of the view " + r.name + ": of days that are not over, or were over a moment ago."
		r.name = openSchema + "." + r.name
		all.WriteString(r.comments())
	}
	return p.engine.exec(ctx, "ATTACH ':memory:' AS shape; USE shape;\n"+all.String()+"USE memory")
}

// fill makes the tables and views of the database in the catalog pub.
func (p *Publisher) fill(ctx context.Context, f *facts.Facts, out Published) error {
	if err := p.engine.exec(ctx, "COPY FROM DATABASE shape TO pub (SCHEMA)"); err != nil {
		return err
	}
	made := relations(schemaSQL)
	for _, r := range made {
		if err := p.engine.exec(ctx, fmt.Sprintf("INSERT INTO %[1]s SELECT %[2]s FROM memory.main.%[1]s", r.name, r.columnNames())); err != nil {
			return err
		}
	}
	for _, r := range relations(daysSQL) {
		if err := p.engine.exec(ctx, fmt.Sprintf("INSERT INTO pub.%[3]s.%[1]s SELECT %[2]s FROM memory.main.%[1]s", r.name, r.drawn().columnNames(), openSchema)); err != nil {
			return err
		}
	}
	t := newTables(p.engine, "pub", made)
	err := t.add("published", out.Position, instant(f.Recorded), out.At, out.Schema, out.LastEvent, out.ReadingRows, p.history.sum, out.Folder, out.Parts, out.OpenEpoch)
	if err = errors.Join(err, p.standing(t, f), p.closingRows(t), p.books.rows(t), t.flush(ctx)); err != nil {
		return err
	}
	if err := p.engine.exec(ctx, derivedSQL); err != nil {
		return err
	}
	var steps []siteStep
	for _, s := range f.Sites() {
		steps = append(steps, siteStep{string(s.Site), int64(s.Step)})
	}
	for _, r := range p.layout.views(out.Position, steps) {
		if err := p.engine.exec(ctx, r.sql+r.comments()); err != nil {
			return err
		}
	}
	// Macros name tables and views that are there by now.
	return p.engine.exec(ctx, macros())
}

// readPublished returns what the folder's database says of itself. It reports
// false if there is none.
func readPublished(ctx context.Context, dir string) (out Published, ok bool, err error) {
	return readDatabase(ctx, filepath.Join(dir, publishedName))
}

func readDatabase(ctx context.Context, path string) (out Published, ok bool, err error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return out, false, nil
	}
	e, err := newEngine(engineLimits{Memory: "128MB", Threads: 1})
	if err != nil {
		return out, false, err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	var row []driver.Value
	err = e.exec(ctx, "ATTACH "+quoted(path)+" AS wh (READ_ONLY)")
	if err == nil {
		row, err = e.one(ctx, "SELECT schema_version FROM wh.published")
	}
	if err == nil {
		if out.Schema, _ = row[0].(string); out.Schema != schemaVersion() {
			return out, true, nil // what else it says is not known
		}
		row, err = e.one(ctx, "SELECT position, published_utc, last_event, reading_rows, folder, parts, open_epoch FROM wh.published")
	}
	if err != nil {
		return out, false, fmt.Errorf("read %s: %w", path, err)
	}
	position, _ := row[0].(int64)
	at, _ := row[1].(time.Time)
	out.Position, out.At = domain.Position(position), domain.At(at)
	out.LastEvent, _ = row[2].(string)
	out.ReadingRows, _ = row[3].(int64)
	out.Folder, _ = row[4].(string)
	out.Parts, _ = row[5].(string)
	out.OpenEpoch, _ = row[6].(int64)
	return out, true, nil
}
