package warehouse

import (
	"fmt"
	"regexp"
	"strings"
)

// describing is a DESCRIBE of a table or view of the warehouse.
var describing = regexp.MustCompile(`(?i)^\s*desc(?:ribe)?\s+(?:table\s+)?((?:wh\.)?(?:main\.)?(\w+|"\w+"))\s*;?\s*$`)

// described lets DESCRIBE of a table say what its columns mean, for which
// DuckDB's own has no column. Other statements stay what they are.
func described(statement string) string {
	m := describing.FindStringSubmatch(statement)
	if m == nil || strings.EqualFold(m[2], "select") || strings.EqualFold(m[2], "values") {
		return statement
	}
	return fmt.Sprintf(`SELECT d.* EXCLUDE (key, "default", extra), c.comment
FROM (DESCRIBE %s) d
LEFT JOIN duckdb_columns() c ON c.database_name = 'wh' AND c.schema_name = 'main' AND c.column_name = d.column_name AND lower(c.table_name) = %s
ORDER BY c.column_index`, m[1], quoted(strings.ToLower(strings.Trim(m[2], `"`))))
}
