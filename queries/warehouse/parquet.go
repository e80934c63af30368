package warehouse

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strings"

	duckdb "github.com/duckdb/duckdb-go/v2"
)

// ParquetFile collects the rows of a result and writes them as Parquet, in the
// types that the result has: a whole number that Parquet has no type for is a
// decimal there.
type ParquetFile struct {
	dir    string
	engine *engine
	app    *duckdb.Appender
	casts  []string
	cells  []driver.Value
}

// NewParquetFile begins a file of the columns.
func NewParquetFile(columns []Column) (*ParquetFile, error) {
	dir, err := os.MkdirTemp("", "wattbook-parquet-")
	if err != nil {
		return nil, fmt.Errorf("write Parquet: %w", err)
	}
	f := &ParquetFile{dir: dir, cells: make([]driver.Value, len(columns))}
	if f.engine, err = newEngine(engineLimits{Memory: "512MB", Threads: 1, Spill: filepath.Join(dir, "spill")}); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	names := make([]string, len(columns))
	for i, c := range columns {
		typ := c.Type
		if strings.HasSuffix(typ, "HUGEINT") { // Parquet would hold a DOUBLE
			typ = "DECIMAL(38,0)"
		}
		name := `"` + strings.ReplaceAll(c.Name, `"`, `""`) + `"`
		names[i] = fmt.Sprintf("c%d VARCHAR", i)
		f.casts = append(f.casts, fmt.Sprintf("CAST(c%d AS %s) AS %s", i, typ, name))
	}
	err = f.engine.exec(context.Background(), "CREATE TABLE answer ("+strings.Join(names, ", ")+")")
	if err == nil {
		f.app, err = duckdb.NewAppender(f.engine.conn, "memory", "main", "answer")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write Parquet: %w", err), f.engine.close(), os.RemoveAll(dir))
	}
	return f, nil
}

// Add adds a row, as [Client.Query] gives it.
func (f *ParquetFile) Add(row []any) error {
	for i, v := range row {
		switch v := v.(type) {
		case nil:
			f.cells[i] = nil
		case *big.Int:
			f.cells[i] = v.String()
		case []any:
			parts := make([]string, len(v))
			for k, e := range v {
				parts[k] = "NULL"
				if e != nil {
					// The cast to a list reads backslashes, unlike an SQL string.
					parts[k] = "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(fmt.Sprint(e)) + "'"
				}
			}
			f.cells[i] = "[" + strings.Join(parts, ", ") + "]"
		default:
			f.cells[i] = fmt.Sprint(v)
		}
	}
	return f.app.AppendRow(f.cells...)
}

// Finish writes the file and ends it.
func (f *ParquetFile) Finish(out io.Writer) (err error) {
	defer func() { err = errors.Join(err, f.engine.close(), os.RemoveAll(f.dir)) }()
	if err := f.app.Close(); err != nil {
		return fmt.Errorf("write Parquet: %w", err)
	}
	path := filepath.Join(f.dir, "answer.parquet")
	statement := fmt.Sprintf("COPY (SELECT %s FROM answer) TO %s (FORMAT parquet, COMPRESSION zstd)", strings.Join(f.casts, ", "), quoted(path))
	if err := f.engine.exec(context.Background(), statement); err != nil {
		return fmt.Errorf("write Parquet: %w", err)
	}
	in, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("write Parquet: %w", err)
	}
	defer in.Close()
	_, err = io.Copy(out, in)
	return err
}
