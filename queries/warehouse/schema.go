package warehouse

import (
	_ "embed"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"

	"wattbook/domain"
)

//go:embed schema.sql
var schemaSQL string

//go:embed parts.sql
var partsSQL string

//go:embed days.sql
var daysSQL string

//go:embed daily.sql
var dailySQL string

//go:embed pieces.sql
var piecesSQL string

//go:embed views.sql
var viewsSQL string

//go:embed macros.sql
var macrosSQL string

//go:embed derived.sql
var derivedSQL string

// schemaVersion names the tables and views: it changes with any word of them.
func schemaVersion() string {
	return domain.DigestOf([]byte(schemaSQL), []byte(partsSQL), []byte(daysSQL), []byte(dailySQL), []byte(wholeHours), []byte(piecesSQL), []byte(viewsSQL), []byte(macrosSQL), []byte(derivedSQL)).Short()
}

// parted are the tables that lie in Parquet parts. The readings are written
// last: a part is there when they are.
func parted() []string { return []string{"events", "decisions", lastParted} }

const lastParted = "readings"

// partOrder is how the rows of a table stand in its files: what is asked for
// together lies together.
func partOrder(table string) string {
	switch table {
	case "events":
		return "position"
	case "decisions":
		return "site, start_utc, position, merit_order"
	}
	return "site, device, channel, start_utc, position, row"
}

// relation is a table or view as the SQL files define it.
type relation struct {
	name    string
	view    bool
	comment string
	columns []column
	sql     string // the whole CREATE statement
}

// column is a column of a relation. A view's has no type here.
type column struct {
	name    string
	typ     string
	comment string

	width, scale int32    // of a decimal
	limit        *big.Int // of a decimal in units of its scale: 10^width
}

var (
	macroLine  = regexp.MustCompile(`^CREATE MACRO ([a-z_]+)\([^)]*\) AS( TABLE)?`)
	createLine = regexp.MustCompile(`^CREATE (TABLE|VIEW) ([a-z_]+)`)
	// columnLine is a line with a comment behind it: of a table the name, the
	// type and the comment; of a view the last name before the comma.
	tableColumn  = regexp.MustCompile(`^  ([A-Za-z_]+) ([A-Z]+(?:\(\d+,\d+\))?(?:\[\])?)(?: NOT NULL)?,? -- (.+)$`)
	viewColumn   = regexp.MustCompile(`([a-z_]+),? -- (.+)$`)
	positionLine = regexp.MustCompile(`(?m)^  position .+\n`)
	decimalType  = regexp.MustCompile(`^DECIMAL\((\d+),(\d+)\)$`)
)

// relations reads definitions: statements that end with a semicolon at the end
// of a line, each with its comment above it.
func relations(text string) []relation {
	var all []relation
	var above []string
	var now *relation
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if m := createLine.FindStringSubmatch(line); m != nil {
			all = append(all, relation{name: m[2], view: m[1] == "VIEW", comment: strings.Join(above, " ")})
			now = &all[len(all)-1]
		}
		if now == nil {
			if said, ok := strings.CutPrefix(line, "-- "); ok {
				above = append(above, said)
			} else {
				above = nil
			}
			continue
		}
		now.sql += line + "\n"
		if m := tableColumn.FindStringSubmatch(line); m != nil && !now.view {
			now.columns = append(now.columns, newColumn(m[1], m[2], m[3]))
		} else if m := viewColumn.FindStringSubmatch(line); m != nil && now.view && !strings.HasPrefix(strings.TrimSpace(line), "--") {
			now.columns = append(now.columns, column{name: m[1], comment: m[2]})
		}
		if strings.HasSuffix(line, ";") {
			now, above = nil, nil
		}
	}
	return all
}

// macros returns the statements that make the macros with their comments. What
// no macro can tell as of an earlier position has one that says who can.
func macros() string {
	var all strings.Builder
	all.WriteString(macrosSQL)
	there := map[string]bool{}
	comment := func(kind, name, words string) {
		fmt.Fprintf(&all, "COMMENT ON MACRO%s %s IS %s;\n", kind, name, quoted(words))
	}
	var above []string
	for line := range strings.Lines(macrosSQL) {
		line = strings.TrimRight(line, "\n")
		if said, ok := strings.CutPrefix(line, "-- "); ok {
			above = append(above, said)
			continue
		}
		if m := macroLine.FindStringSubmatch(line); m != nil {
			if of, ok := strings.CutSuffix(m[1], "_at"); ok && len(above) == 0 {
				above = []string{"The rows of " + of + " of the events before a position."}
			}
			comment(m[2], m[1], strings.Join(above, " "))
			there[m[1]] = true
		}
		above = nil
	}
	for _, r := range relations(schemaSQL + daysSQL + viewsSQL) {
		name := r.name + "_at"
		if there[name] || r.name == "published" {
			continue
		}
		words := fmt.Sprintf(`what %[1]s said at an earlier position is drawn from the log again: wattbook sql --at POSITION "FROM %[1]s"`, r.name)
		fmt.Fprintf(&all, "CREATE MACRO %s(known) AS TABLE SELECT error(%s) WHERE known IS NOT NULL OR known IS NULL;\n", name, quoted(words))
		comment(" TABLE", name, "Always an error: "+words+".")
	}
	return all.String()
}

func newColumn(name, typ, comment string) column {
	c := column{name: name, typ: typ, comment: comment}
	if m := decimalType.FindStringSubmatch(typ); m != nil {
		width, _ := strconv.Atoi(m[1])
		scale, _ := strconv.Atoi(m[2])
		c.width, c.scale = int32(width), int32(scale)
		c.limit = power10(c.width)
	}
	return c
}

// drawn returns r without its first column, the position: as it is drawn, and
// lies in a part.
func (r relation) drawn() relation {
	r.columns, r.sql = r.columns[1:], positionLine.ReplaceAllString(r.sql, "")
	return r
}

// comments returns the statements that publish the comments of r.
func (r relation) comments() string {
	kind := "TABLE"
	if r.view {
		kind = "VIEW"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "COMMENT ON %s %s IS %s;\n", kind, r.name, quoted(r.comment))
	for _, c := range r.columns {
		fmt.Fprintf(&b, "COMMENT ON COLUMN %s.%s IS %s;\n", r.name, c.name, quoted(c.comment))
	}
	return b.String()
}

// columnNames returns the names of r's columns with commas between them.
func (r relation) columnNames() string {
	names := make([]string, len(r.columns))
	for i, c := range r.columns {
		names[i] = c.name
	}
	return strings.Join(names, ", ")
}
