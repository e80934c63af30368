package warehouse

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/big"
	"os"
	"slices"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/projections"
	"wattbook/projections/facts"
	"wattbook/projections/scratch"
)

// TableDigest stands for all rows of a published table or view, whatever their
// order and the files that they lie in.
type TableDigest struct {
	Name   string        `json:"name"`
	Rows   int64         `json:"rows"`
	Digest domain.Digest `json:"digest"`
}

// Contents are the digests of all that a warehouse says at a position.
type Contents struct {
	Position domain.Position `json:"position"`
	Tables   []TableDigest   `json:"tables"`
	Digest   domain.Digest   `json:"digest"` // of all of them
}

// volatile are the columns of the table published that say when and where, and
// not what.
const volatile = "published_utc, folder, parts, open_epoch"

// ReadContents computes the digests of the warehouse that a folder publishes.
// The views readings_live and booked_values are left out, since they follow
// from the readings. A part that is missing or damaged is an error.
func ReadContents(ctx context.Context, dir string, limits Limits) (out Contents, err error) {
	c, err := OpenClient(ctx, dir, limits)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if err := c.current(ctx); err != nil {
		return out, fmt.Errorf("read warehouse %s: %w", dir, err)
	}
	row, err := c.engine.one(ctx, "SELECT position FROM published")
	if err != nil {
		return out, err
	}
	position, _ := row[0].(int64)
	out.Position = domain.Position(position)
	var whole domain.Digester
	for _, r := range slices.Concat(relations(schemaSQL), relations(daysSQL), relations(viewsSQL), relations(partsSQL)) {
		if r.name == "booked_values" {
			continue
		}
		t, err := c.tableDigest(ctx, r.name)
		if err != nil {
			return out, fmt.Errorf("read warehouse %s: %s: %w", dir, r.name, err)
		}
		fmt.Fprintf(&whole, "%s %s\n", t.Name, t.Digest)
		out.Tables = append(out.Tables, t)
	}
	out.Digest = whole.Digest()
	return out, nil
}

// tableDigest adds up the MD5 digests of a table's rows, so that their order
// does not matter, and returns the SHA-256 digest of the sums.
func (c *Client) tableDigest(ctx context.Context, name string) (TableDigest, error) {
	from := name
	if name == "published" {
		from = "(SELECT * EXCLUDE (" + volatile + ") FROM published)"
	}
	row, err := c.engine.one(ctx, fmt.Sprintf(`SELECT count(*),
		sum(CAST(md5_number_lower(CAST(t AS VARCHAR)) AS HUGEINT)), sum(CAST(md5_number_upper(CAST(t AS VARCHAR)) AS HUGEINT)) FROM %s t`, from))
	if err != nil {
		return TableDigest{}, plain(err)
	}
	t := TableDigest{Name: name}
	t.Rows, _ = row[0].(int64)
	lower, _ := row[1].(*big.Int) // nil for no rows
	upper, _ := row[2].(*big.Int)
	t.Digest = domain.DigestOf(fmt.Appendf(nil, "%s %d %v %v", name, t.Rows, lower, upper))
	return t, nil
}

// current returns an error if the database is not of this program's schema.
func (c *Client) current(ctx context.Context) error {
	row, err := c.engine.one(ctx, "SELECT schema_version FROM published")
	if err != nil {
		return fmt.Errorf("it does not say what it is (%w); make it anew with: wattbook warehouse rebuild", plain(err))
	}
	if v, _ := row[0].(string); v != schemaVersion() {
		return fmt.Errorf("its schema is version %s, and this program's is %s; make it anew with: wattbook warehouse rebuild", v, schemaVersion())
	}
	return nil
}

// Difference is a table that is not what the log says.
type Difference struct {
	Table string `json:"table"`
	Why   string `json:"why"`
}

// Compare returns how the contents of a warehouse differ from what they should
// be.
func Compare(got, want Contents) []Difference {
	var all []Difference
	if got.Position != want.Position {
		all = append(all, Difference{"published", fmt.Sprintf("position %d, want %d", got.Position, want.Position)})
	}
	for i, w := range want.Tables {
		switch g := got.Tables[i]; {
		case g.Rows != w.Rows:
			all = append(all, Difference{w.Name, fmt.Sprintf("%d rows, and %d follow from the log", g.Rows, w.Rows)})
		case g.Digest != w.Digest:
			all = append(all, Difference{w.Name, fmt.Sprintf("%d rows, of which some are not what follows from the log", g.Rows)})
		}
	}
	return all
}

// Derive makes the warehouse of a log at a position in a folder of its own for
// the time of the call, and returns its contents.
func Derive(ctx context.Context, log eventlog.Log, at domain.Position, cfg Config) (out Contents, err error) {
	if cfg.Dir, err = os.MkdirTemp(cfg.Dir, "derived-"); err != nil {
		return out, fmt.Errorf("derive the warehouse: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(cfg.Dir)) }()
	area := scratch.In(cfg.Dir, foldedInHeap)
	defer func() { err = errors.Join(err, area.Close()) }()
	f := facts.In(area)
	if _, err := projections.Fold(ctx, log, 0, at, f); err != nil {
		return out, fmt.Errorf("derive the warehouse: %w", err)
	}
	p, err := Open(cfg)
	if err != nil {
		return out, err
	}
	_, err = p.Publish(ctx, log, f)
	if err == nil {
		out, err = ReadContents(ctx, cfg.Dir, Limits{})
	}
	return out, errors.Join(err, p.Close())
}

// Files returns the first thing that is wrong with the files of a folder,
// without reading the log: a database of another schema, a part that is
// missing or cut short, or rows that do not add up to what it says of itself.
func Files(ctx context.Context, dir string) (err error) {
	c, err := OpenClient(ctx, dir, Limits{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if err := c.current(ctx); err != nil {
		return fmt.Errorf("warehouse %s: %w", dir, err)
	}
	row, err := c.engine.one(ctx, `SELECT p.reading_rows, p.reading_checksum, r.n, r.total
		FROM published p, (SELECT count(*) AS n, CAST(COALESCE(sum(value), 0) AS DECIMAL(38,0)) AS total FROM readings) r`)
	if err != nil {
		return fmt.Errorf("warehouse %s: %w; make it anew with: wattbook warehouse rebuild", dir, plain(err))
	}
	text := func(v driver.Value) string { return fmt.Sprint(exactValue(v, "")) }
	if text(row[0]) != text(row[2]) || text(row[1]) != text(row[3]) {
		return fmt.Errorf("warehouse %s: %s readings that sum to %s, and it says %s that sum to %s; make it anew with: wattbook warehouse rebuild",
			dir, text(row[2]), text(row[3]), text(row[0]), text(row[1]))
	}
	return nil
}
