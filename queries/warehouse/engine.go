package warehouse

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strings"

	duckdb "github.com/duckdb/duckdb-go/v2"
)

// engine is a DuckDB instance in memory with one connection. It is not safe
// for concurrent use.
type engine struct {
	connector *duckdb.Connector
	conn      *duckdb.Conn
}

// engineLimits bound what an instance takes. An empty Spill means that nothing
// is ever written to disk: what does not fit into Memory is an error.
type engineLimits struct {
	Memory  string
	Threads int
	Spill   string
}

func newEngine(limits engineLimits) (*engine, error) {
	connector, err := duckdb.NewConnector("", nil)
	if err != nil {
		return nil, fmt.Errorf("open DuckDB: %w", err)
	}
	e := &engine{connector: connector}
	conn, err := connector.Connect(context.Background())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open DuckDB: %w", err), connector.Close())
	}
	e.conn = conn.(*duckdb.Conn)
	settings := []string{
		"SET autoinstall_known_extensions = false",
		"SET autoload_known_extensions = false",
		"SET allow_community_extensions = false",
		"SET memory_limit = " + quoted(limits.Memory),
		fmt.Sprintf("SET threads = %d", limits.Threads),
		"SET temp_directory = " + quoted(limits.Spill),
		"SET TimeZone = 'UTC'", // what the host is set to must not show
	}
	for _, s := range settings {
		if err := e.exec(context.Background(), s); err != nil {
			return nil, errors.Join(err, e.close())
		}
	}
	return e, nil
}

func (e *engine) close() error { return errors.Join(e.conn.Close(), e.connector.Close()) }

// exec runs statements, one or several.
func (e *engine) exec(ctx context.Context, statements string) error {
	if _, err := e.conn.ExecContext(ctx, statements, nil); err != nil {
		return fmt.Errorf("%.60s: %w", strings.Join(strings.Fields(statements), " "), brief(err))
	}
	return nil
}

// brief takes DuckDB's error without its advice, which is for who runs DuckDB.
func brief(err error) error {
	var d *duckdb.Error
	if !errors.As(err, &d) {
		return err
	}
	var said []string
	for line := range strings.Lines(strings.TrimSpace(d.Msg)) {
		if line = strings.TrimSpace(line); line == "" {
			break
		}
		said = append(said, line)
	}
	return errors.New(strings.Join(said, " "))
}

// query calls each with every row. The row is reused.
func (e *engine) query(ctx context.Context, statement string, each func(row []driver.Value) error) (err error) {
	rows, err := e.conn.QueryContext(ctx, statement, nil)
	if err != nil {
		return fmt.Errorf("%.60s: %w", strings.Join(strings.Fields(statement), " "), err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	row := make([]driver.Value, len(rows.Columns()))
	for {
		if err := rows.Next(row); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := each(row); err != nil {
			return err
		}
	}
}

// one returns the only row of a query.
func (e *engine) one(ctx context.Context, statement string) (row []driver.Value, err error) {
	n := 0
	err = e.query(ctx, statement, func(r []driver.Value) error {
		row = append([]driver.Value(nil), r...)
		n++
		return nil
	})
	if err == nil && n != 1 {
		err = fmt.Errorf("%.60s: %d rows, want one", statement, n)
	}
	return row, err
}

// quoted returns s as an SQL string.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// quotedList returns paths as a list of SQL strings.
func quotedList(paths []string) string {
	all := make([]string, len(paths))
	for i, p := range paths {
		all[i] = quoted(p)
	}
	return strings.Join(all, ", ")
}
