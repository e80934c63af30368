package warehouse

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	duckdb "github.com/duckdb/duckdb-go/v2"
)

// ErrRefused means that a statement is not one that only reads.
var ErrRefused = errors.New("only a single SELECT (or DESCRIBE, SHOW, SUMMARIZE) on the warehouse's own tables is run here")

// ErrLimit means that a query took more than its client may.
var ErrLimit = errors.New("limit")

// ErrNothingPublished means that the folder holds no published database.
var ErrNothingPublished = errors.New("nothing is published")

// Limits bound what a client's queries may take. What is zero has a default.
type Limits struct {
	Memory  string        // 1GB
	Threads int           // 2
	Time    time.Duration // of a query: 5 minutes
	Rows    int           // of a result: 1,000,000
	Bytes   int64         // of a result, about: 256 MiB
	// Database is the file in the folder that is opened: the one that is
	// published, or what [AsOf] made.
	Database string
	// Variables are what getvariable returns: the parameters of a query.
	Variables map[string]string
	// Logger is told of statements that are refused, and of queries that a
	// limit stopped. It may be nil.
	Logger *slog.Logger
}

func (l Limits) withDefaults() Limits {
	l.Memory = cmp.Or(l.Memory, "1GB")
	l.Threads = cmp.Or(l.Threads, 2)
	l.Time = cmp.Or(l.Time, 5*time.Minute)
	l.Rows = cmp.Or(l.Rows, 1_000_000)
	l.Bytes = cmp.Or(l.Bytes, 256<<20)
	if l.Logger == nil {
		l.Logger = slog.New(slog.DiscardHandler)
	}
	return l
}

// Client reads a published warehouse, and can do nothing else: no file outside
// its folder, no extension, no other database, no change of settings. It is
// not safe for concurrent use.
type Client struct {
	engine *engine
	limits Limits
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
	path := filepath.Join(dir, filepath.Base(cmp.Or(limits.Database, publishedName)))
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open warehouse %s: %w yet", dir, ErrNothingPublished)
	}
	limits = limits.withDefaults()
	e, err := newEngine(engineLimits{Memory: limits.Memory, Threads: limits.Threads})
	if err != nil {
		return nil, err
	}
	settings := []string{
		"ATTACH " + quoted(path) + " AS wh (READ_ONLY)",
		"USE wh",
		// The folder may have been moved since, or be a copy.
		fmt.Sprintf("SET VARIABLE %s = %s", placeVariable, quoted(dir)),
	}
	for _, name := range slices.Sorted(maps.Keys(limits.Variables)) {
		settings = append(settings, fmt.Sprintf(`SET VARIABLE "%s" = %s`, strings.ReplaceAll(name, `"`, `""`), quoted(limits.Variables[name])))
	}
	settings = append(settings,
		// The views read Parquet files of this folder, and nothing reads any
		// other file.
		"SET allowed_directories = ["+quoted(dir)+"]",
		"SET enable_external_access = false",
		"SET lock_configuration = true",
	)
	for _, s := range settings {
		if err := e.exec(ctx, s); err != nil {
			return nil, errors.Join(fmt.Errorf("open warehouse %s: %w", dir, err), e.close())
		}
	}
	return &Client{e, limits}, nil
}

// Close ends the client.
func (c *Client) Close() error { return c.engine.close() }

// Column is a column of a result.
type Column struct {
	Name string
	Type string // as DuckDB names it: DECIMAL(22,3)
}

// Query runs one statement that only reads, and calls each with every row:
// what [Text] and [JSON] write. Columns is called once, before the first row.
// It is an error that wraps [ErrRefused] if the statement does more, and one
// that wraps [ErrLimit] if it takes too long or its result is too large.
func (c *Client) Query(ctx context.Context, statement string, columns func([]Column) error, each func(row []any) error) error {
	bounded, cancel := context.WithTimeout(ctx, c.limits.Time)
	defer cancel()
	err := c.run(bounded, statement, columns, each)
	switch {
	case err == nil:
		return nil
	case errors.Is(bounded.Err(), context.DeadlineExceeded) && ctx.Err() == nil:
		err = c.limits.overTime()
	case strings.HasPrefix(err.Error(), "Catalog Error") || strings.HasPrefix(err.Error(), "Binder Error"):
		// What is asked for may be there in another version.
		if other := c.current(bounded); other != nil {
			return fmt.Errorf("the warehouse is not of this program: %w (%s)", other, firstLine(err))
		}
		err = c.hinted(bounded, statement, err)
	case strings.Contains(err.Error(), "Out of Memory"):
		err = c.limits.overMemory()
	}
	c.limits.log(statement, err)
	return err
}

func (l Limits) overTime() error {
	return fmt.Errorf("the query ran for %s, which is its %w: ask for fewer days or devices", l.Time, ErrLimit)
}

func (l Limits) overMemory() error {
	return fmt.Errorf("the query needs more than %s of memory, which is its %w: ask for fewer days or devices", l.Memory, ErrLimit)
}

// log tells the logger of a statement that was refused or stopped.
func (l Limits) log(statement string, err error) {
	switch {
	case errors.Is(err, ErrRefused):
		l.Logger.Warn("a statement was refused", "statement", fmt.Sprintf("%.200q", statement), "why", err)
	case errors.Is(err, ErrLimit):
		l.Logger.Warn("a query was stopped", "statement", fmt.Sprintf("%.200q", statement), "why", err)
	}
}

// run runs a statement. The function query() takes nothing but one SELECT, and
// refuses everything else as it is parsed: to prepare any other statement can
// already write (EXPORT DATABASE makes its folder). The LIMIT around it keeps
// the rows in bounds before they are in memory.
func (c *Client) run(ctx context.Context, statement string, columns func([]Column) error, each func(row []any) error) (err error) {
	bounded := fmt.Sprintf("FROM query(%s) LIMIT %d", quoted(described(statement)), c.limits.Rows+1)
	rows, err := c.engine.conn.QueryContext(ctx, bounded, nil)
	if err != nil {
		return c.unwrapped(statement, plain(err))
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
	var size int64
	for n := 0; ; n++ {
		if err := rows.Next(raw); err == io.EOF {
			return nil
		} else if err != nil {
			return refusal(spoiled(plain(err)))
		}
		if n == c.limits.Rows {
			return fmt.Errorf("the result has more than %d rows, which is its %w: sum them up, or add a LIMIT", c.limits.Rows, ErrLimit)
		}
		for i, v := range raw {
			row[i] = exactValue(v, all[i].Type)
			size += bytesOf(row[i])
		}
		if size > c.limits.Bytes {
			return fmt.Errorf("the result has more than %d bytes, which is its %w: sum it up, or ask for fewer columns", c.limits.Bytes, ErrLimit)
		}
		if err := each(row); err != nil {
			return err
		}
	}
}

// bytesOf returns about how many bytes a value has where it is written.
func bytesOf(v any) int64 {
	switch v := v.(type) {
	case string:
		return int64(len(v)) + 1
	case *big.Int:
		return int64(v.BitLen())/3 + 2
	case []any:
		size := int64(2)
		for _, e := range v {
			size += bytesOf(e)
		}
		return size
	}
	return 8
}

// unwrapped returns what DuckDB says of a statement itself, without the query()
// around it.
func (c *Client) unwrapped(statement string, err error) error {
	switch said := err.Error(); {
	case strings.Contains(said, "Expected a single SELECT"):
		return refused(statement)
	case strings.HasPrefix(said, "Parser Error: PIVOT"):
		return errors.New("a PIVOT is answered where it says its values: PIVOT … ON use IN ('mining', 'ai') USING …")
	case strings.HasPrefix(said, "Parser Error: syntax error"), strings.HasPrefix(said, "Catalog Error"), strings.HasPrefix(said, "Binder Error"):
		// It does not parse, or it is one SELECT, which writes nothing when it
		// is prepared: then the error has the place in the statement.
		prepared, itself := c.engine.conn.Prepare(statement)
		if itself != nil {
			err = plain(itself)
		} else if closed := prepared.Close(); closed != nil {
			return closed
		}
	}
	return refusal(spoiled(err))
}

// aside are the parts of a statement in which a semicolon ends nothing.
var aside = regexp.MustCompile(`(?s)'[^']*'|"[^"]*"|--[^\n]*|/\*.*?\*/`)

// refused says why a statement that is not one SELECT is not run.
func refused(statement string) error {
	bare := strings.TrimRight(aside.ReplaceAllString(statement, " "), "; \t\r\n")
	switch {
	case bare == "":
		return errors.New("there is no statement; DESCRIBE and SHOW TABLES say what there is")
	case strings.Contains(bare, ";"):
		return fmt.Errorf("%w: one statement at a time is answered", ErrRefused)
	}
	return ErrRefused
}

// refusal marks DuckDB's errors about what the client may not do.
func refusal(err error) error {
	for _, said := range []string{"Permission Error", "configuration has been locked", "is disabled"} {
		if strings.Contains(err.Error(), said) {
			return fmt.Errorf("%w: %s", ErrRefused, firstLine(err))
		}
	}
	return err
}

func firstLine(err error) string {
	first, _, _ := strings.Cut(err.Error(), "\n")
	return first
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
