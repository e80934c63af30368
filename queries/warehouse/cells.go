package warehouse

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	duckdb "github.com/duckdb/duckdb-go/v2"

	"wattbook/domain"
)

// The appender of DuckDB believes what it is given: a decimal of another scale
// is stored as another number, one that is too wide is stored, and text that
// is not UTF-8 becomes NULL. So every cell passes cell, which refuses what its
// column does not hold exactly.

// rounded is a fact's decimal that may have more digits than its column: it is
// rounded half away from zero, and NULL if it is too large.
type rounded struct{ domain.Decimal }

// day is a date: days since 1970-01-01.
type day int32

// optional returns what v points to, or nil.
func optional(v *domain.Decimal) any {
	if v == nil {
		return nil
	}
	return *v
}

func optionalRounded(v *domain.Decimal) any {
	if v == nil {
		return nil
	}
	return rounded{*v}
}

// known returns v, or nil if it is not known.
func known(v any, ok bool) any {
	if !ok {
		return nil
	}
	return v
}

// text returns s, or nil if it is empty.
func text[S ~string](s S) any {
	if s == "" {
		return nil
	}
	return string(s)
}

// instant returns t, or nil if it is absent.
func instant(t domain.Instant) any {
	if t == 0 {
		return nil
	}
	return t
}

// digest returns d in hexadecimal, or nil if it is absent.
func digest(d domain.Digest) any {
	if d.IsZero() {
		return nil
	}
	return d.String()
}

// cell returns v as the driver takes it for the column.
func (c column) cell(v any) (driver.Value, error) {
	if v == nil {
		return nil, nil
	}
	switch c.typ {
	case "BIGINT":
		if n, ok := v.(int64); ok {
			return n, nil
		}
		if p, ok := v.(domain.Position); ok && p < 1<<63 {
			return int64(p), nil
		}
	case "VARCHAR":
		if s, ok := v.(string); ok {
			return strings.ToValidUTF8(s, "�"), nil
		}
	case "VARCHAR[]":
		if s, ok := v.([]string); ok {
			return s, nil
		}
	case "BOOLEAN":
		if b, ok := v.(bool); ok {
			return b, nil
		}
	case "TIMESTAMP":
		if t, ok := v.(domain.Instant); ok {
			return t.Time(), nil
		}
	case "DATE":
		if d, ok := v.(day); ok {
			return time.Unix(int64(d)*86_400, 0).UTC(), nil
		}
	default:
		if c.width > 0 {
			return c.decimal(v)
		}
	}
	return nil, fmt.Errorf("column %s %s takes no %T", c.name, c.typ, v)
}

func power10(n int32) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// decimal returns v as an integer of 10^-scale.
func (c column) decimal(v any) (driver.Value, error) {
	var scaled *big.Int
	lossy := false
	switch v := v.(type) {
	case domain.Int128:
		if scaled = v.Big(); c.scale > 0 {
			scaled.Mul(scaled, power10(c.scale))
		}
	case domain.Decimal:
		whole := false
		if scaled, whole = v.Scaled(c.scale); !whole {
			return nil, fmt.Errorf("column %s %s does not hold %s: it has more digits", c.name, c.typ, v)
		}
	case rounded:
		scaled, _ = v.Round(c.scale).Scaled(c.scale)
		lossy = true
	default:
		return nil, fmt.Errorf("column %s %s takes no %T", c.name, c.typ, v)
	}
	switch {
	case scaled.CmpAbs(c.limit) < 0:
		return scaled, nil
	case lossy:
		return nil, nil
	}
	return nil, fmt.Errorf("column %s %s does not hold %v: it is too large", c.name, c.typ, v)
}

// appender adds rows to a table of the engine.
type appender struct {
	relation
	app *duckdb.Appender
	row []driver.Value
}

// add appends a row, given in the order of the columns.
func (a *appender) add(values ...any) error {
	if len(values) != len(a.columns) {
		panic(fmt.Sprintf("warehouse: %d values for the %d columns of %s", len(values), len(a.columns), a.name))
	}
	for i, v := range values {
		cell, err := a.columns[i].cell(v)
		if err != nil {
			return fmt.Errorf("row of %s: %w", a.name, err)
		}
		a.row[i] = cell
	}
	if err := a.app.AppendRow(a.row...); err != nil {
		return fmt.Errorf("row of %s: %w", a.name, err)
	}
	return nil
}

// tables holds the appenders that are open to the tables of a catalog.
type tables struct {
	engine    *engine
	catalog   string
	relations map[string]relation
	open      map[string]*appender
	order     []string
}

func newTables(e *engine, catalog string, all []relation) *tables {
	t := &tables{engine: e, catalog: catalog, relations: map[string]relation{}, open: map[string]*appender{}}
	for _, r := range all {
		t.relations[r.name] = r
	}
	return t
}

// add appends a row to a table.
func (t *tables) add(table string, values ...any) error {
	a, ok := t.open[table]
	if !ok {
		r := t.relations[table]
		app, err := duckdb.NewAppender(t.engine.conn, t.catalog, "main", table)
		if err != nil {
			return fmt.Errorf("append to %s: %w", table, err)
		}
		a = &appender{relation: r, app: app, row: make([]driver.Value, len(r.columns))}
		t.open[table] = a
		t.order = append(t.order, table)
	}
	return a.add(values...)
}

// flush ends the open appenders: their rows are in the tables after it.
func (t *tables) flush(ctx context.Context) error {
	var all error
	for _, name := range t.order {
		if err := t.open[name].app.CloseWithCancel(ctx); err != nil {
			all = errors.Join(all, fmt.Errorf("append to %s: %w", name, err))
		}
	}
	clear(t.open)
	t.order = nil
	return all
}
