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
// for "day", or nothing for a table under another name. Other errors stay what
// they are.
func (c *Client) hinted(ctx context.Context, statement string, err error) error {
	lines := strings.Split(err.Error(), "\n")
	at := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "Candidate bindings:") })
	switch {
	case at >= 0:
		lines = slices.Delete(lines, at, at+1)
	case strings.Contains(lines[0], "does not have a column named"):
		at = 1
	default:
		return err
	}
	var names []string
	for _, w := range word.FindAllString(strings.ToLower(statement), -1) {
		names = append(names, quoted(w))
	}
	var hints []string
	failed := c.engine.query(ctx, fmt.Sprintf(
		"SELECT table_name, string_agg(column_name, ', ' ORDER BY column_index) FROM duckdb_columns() WHERE database_name = 'wh' AND schema_name = 'main' AND table_name IN (%s) GROUP BY ALL ORDER BY 1",
		strings.Join(names, ", ")), func(row []driver.Value) error {
		hints = append(hints, fmt.Sprintf("%s has the columns %s", row[0], row[1]))
		return nil
	})
	if failed != nil || len(hints) == 0 {
		return err
	}
	lines = slices.Insert(lines, at, hints...)
	return fmt.Errorf("%s", strings.Join(slices.DeleteFunc(lines, func(l string) bool { return l == "" }), "\n"))
}
