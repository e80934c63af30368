package warehouse

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"

	duckdb "github.com/duckdb/duckdb-go/v2"
)

// ErrRefused means that a statement is not one that only reads.
var ErrRefused = errors.New("only a single SELECT (or DESCRIBE, SHOW, SUMMARIZE) is run here")

// ErrNothingPublished means that the folder holds no published database.
var ErrNothingPublished = errors.New("nothing is published")

// Limits bound what a query may take. What is zero has a default.
type Limits struct {
	Memory  string // 1GB
	Threads int    // 2
}

// Client reads a published warehouse, and can do nothing else: no file outside
// its folder, no extension, no other database, no change of settings. It is
// not safe for concurrent use.
type Client struct {
	engine *engine
}

// OpenClient opens the database that is published in a folder as it is now.
// What is published later is seen by a client that is opened later; readings
// alone go on (view readings_live). It is an error that wraps
// [ErrNothingPublished] if there is none.
func OpenClient(ctx context.Context, dir string, limits Limits) (*Client, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open warehouse: %w", err)
	}
	path := filepath.Join(dir, publishedName)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open warehouse %s: %w yet", dir, ErrNothingPublished)
	}
	if limits.Memory == "" {
		limits.Memory = "1GB"
	}
	e, err := newEngine(engineLimits{Memory: limits.Memory, Threads: max(2, limits.Threads)})
	if err != nil {
		return nil, err
	}
	for _, s := range []string{
		"ATTACH " + quoted(path) + " AS wh (READ_ONLY)",
		"USE wh",
		// The folder may have been moved since, or be a copy.
		fmt.Sprintf("SET VARIABLE %s = %s", placeVariable, quoted(dir)),
		// The views read Parquet files of this folder, and nothing reads any
		// other file.
		"SET allowed_directories = [" + quoted(dir) + "]",
		"SET enable_external_access = false",
		"SET lock_configuration = true",
	} {
		if err := e.exec(ctx, s); err != nil {
			return nil, errors.Join(fmt.Errorf("open warehouse %s: %w", dir, err), e.close())
		}
	}
	return &Client{e}, nil
}

// Close ends the client.
func (c *Client) Close() error { return c.engine.close() }

// Column is a column of a result.
type Column struct {
	Name string
	Type string // as DuckDB names it: DECIMAL(22,3)
}

// Query runs one statement that only reads, and calls each with every row:
// what [Text] and [JSON] write. It is an error that wraps [ErrRefused] if the
// statement does more. Columns is called once, before the first row.
func (c *Client) Query(ctx context.Context, statement string, columns func([]Column) error, each func(row []any) error) (err error) {
	// Prepare, unlike PrepareContext, runs nothing: it refuses a text of
	// several statements, the first of which might do anything.
	prepared, err := c.engine.conn.Prepare(statement)
	if err != nil {
		if strings.Contains(err.Error(), "multiple statements") || strings.Contains(err.Error(), "missing context") {
			return fmt.Errorf("%w: %w", ErrRefused, err)
		}
		return plain(err)
	}
	stmt := prepared.(*duckdb.Stmt)
	defer func() { err = errors.Join(err, stmt.Close()) }()
	kind, err := stmt.StatementType()
	if err != nil {
		return err
	}
	if kind != duckdb.STATEMENT_TYPE_SELECT {
		return ErrRefused
	}
	rows, err := stmt.QueryContext(ctx, nil)
	if err != nil {
		return plain(err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	typed := rows.(driver.RowsColumnTypeDatabaseTypeName)
	names := rows.Columns()
	all := make([]Column, len(names))
	for i, n := range names {
		all[i] = Column{n, typed.ColumnTypeDatabaseTypeName(i)}
	}
	if err := columns(all); err != nil {
		return err
	}
	raw, row := make([]driver.Value, len(all)), make([]any, len(all))
	for {
		if err := rows.Next(raw); err == io.EOF {
			return nil
		} else if err != nil {
			return plain(err)
		}
		for i, v := range raw {
			row[i] = exactValue(v, all[i].Type)
		}
		if err := each(row); err != nil {
			return err
		}
	}
}

// plain takes DuckDB's error without the driver's words around it.
func plain(err error) error {
	var d *duckdb.Error
	if errors.As(err, &d) {
		return errors.New(strings.TrimSpace(d.Msg))
	}
	return err
}

// exactValue returns a value of a result as one of nil, bool, int64, *big.Int,
// string (numbers with a point, times, text) or []any. Numbers with a point
// are written with all digits that their type has; a DOUBLE, which no column
// here is, as the shortest text that stands for it.
func exactValue(v any, typ string) any {
	switch v := v.(type) {
	case nil, bool, int64, string, *big.Int:
		return v
	case duckdb.Decimal:
		return fixed(v)
	case time.Time:
		switch typ {
		case "DATE":
			return v.UTC().Format(time.DateOnly)
		case "TIME":
			return v.UTC().Format("15:04:05.999999")
		}
		return v.UTC().Format("2006-01-02 15:04:05.999999")
	case int8:
		return int64(v)
	case int16:
		return int64(v)
	case int32:
		return int64(v)
	case uint8:
		return int64(v)
	case uint16:
		return int64(v)
	case uint32:
		return int64(v)
	case uint64:
		return new(big.Int).SetUint64(v)
	case []any:
		list := make([]any, len(v))
		for i, e := range v {
			list[i] = exactValue(e, "")
		}
		return list
	}
	return fmt.Sprint(v)
}

// fixed writes a decimal with the digits of its scale.
func fixed(d duckdb.Decimal) string {
	digits := new(big.Int).Abs(d.Value).String()
	if n := int(d.Scale) + 1 - len(digits); n > 0 {
		digits = strings.Repeat("0", n) + digits
	}
	whole, fraction := digits[:len(digits)-int(d.Scale)], digits[len(digits)-int(d.Scale):]
	if fraction != "" {
		whole += "." + fraction
	}
	if d.Value.Sign() < 0 {
		whole = "-" + whole
	}
	return whole
}
