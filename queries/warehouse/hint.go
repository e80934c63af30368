package warehouse

import (
	"context"
	"database/sql/driver"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// word is a name in a statement.
var word = regexp.MustCompile(`\w+`)

// hinted puts the columns that the tables of a statement have in place of those
// that DuckDB takes for what was meant: it goes by letters, and offers "margin"
// for "day". Other errors stay what they are.
func (c *Client) hinted(ctx context.Context, statement string, err error) error {
	lines := strings.Split(err.Error(), "\n")
	at := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "Candidate bindings:") })
	if at < 0 {
		return err
	}
	var names []string
	for _, w := range word.FindAllString(strings.ToLower(statement), -1) {
		names = append(names, quoted(w))
	}
	var hints []string
	failed := c.engine.query(ctx, fmt.Sprintf(
		"SELECT table_name, string_agg(column_name, ', ' ORDER BY column_index) FROM duckdb_columns() WHERE database_name = 'wh' AND table_name IN (%s) GROUP BY ALL ORDER BY 1",
		strings.Join(names, ", ")), func(row []driver.Value) error {
		hints = append(hints, fmt.Sprintf("%s has the columns %s", row[0], row[1]))
		return nil
	})
	if failed != nil || len(hints) == 0 {
		return err
	}
	lines = slices.Replace(lines, at, at+1, hints...)
	return fmt.Errorf("%s", strings.Join(slices.DeleteFunc(lines, func(l string) bool { return l == "" }), "\n"))
}
