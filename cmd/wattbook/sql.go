package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"
	"unicode/utf8"

	"wattbook/queries/warehouse"
)

func sqlVerb() verb {
	return verb{
		name: "sql", args: `"SELECT …" | - [--format table|csv|json]`,
		summary: "ask the finance warehouse",
		help: `
Runs one statement that only reads, in DuckDB, on the warehouse as it was last
published: DESCRIBE and SHOW TABLES say what there is. It can neither write, nor
read any other file, nor load an extension. "-" reads the statement from
standard input. Any DuckDB client can open the file warehouse/warehouse.duckdb
of the data folder too, while the service runs.

Example: wattbook sql "SELECT number, customer_name, total FROM invoices"`,
		run: sqlAsk,
	}
}

func sqlAsk(ctx context.Context, p *program, args []string) error {
	format := p.flags.String("format", "table", "`form` of the answer: table, csv or json")
	rest, err := p.parse(args, 1, 1)
	if err != nil {
		return err
	}
	if p.common.json {
		*format = "json"
	}
	s, err := p.settings()
	if err != nil {
		return err
	}
	p.warnUnfinished(folder(s.Data))
	statement := rest[0]
	if statement == "-" {
		text, err := io.ReadAll(p.stdin)
		if err != nil {
			return fmt.Errorf("read the statement: %w", err)
		}
		statement = string(text)
	}
	var out answer
	switch *format {
	case "table":
		out = &tableAnswer{out: p.stdout}
	case "csv":
		out = &csvAnswer{out: csv.NewWriter(p.stdout)}
	case "json":
		out = &jsonAnswer{out: p.stdout}
	default:
		return usagef("--format %q; want table, csv or json", *format)
	}
	p.relocate(ctx, folder(s.Data).warehouse())
	c, err := warehouse.OpenClient(ctx, folder(s.Data).warehouse(), warehouse.Limits{})
	if errors.Is(err, warehouse.ErrNothingPublished) {
		return fmt.Errorf("%w; play a month with wattbook demo, or start wattbook serve, or name another folder with --data", err)
	}
	if err != nil {
		return err
	}
	err = c.Query(ctx, statement, out.columns, out.row)
	if err == nil {
		err = out.end()
	}
	return errors.Join(err, c.Close())
}

// relocate lets a warehouse that was moved look for its parts where it is now,
// for the sake of other clients: this one finds them anyway.
func (p *program) relocate(ctx context.Context, dir string) {
	from, err := warehouse.Relocate(ctx, dir)
	switch {
	case err != nil:
		fmt.Fprintf(p.stderr, "wattbook sql: other clients may not find the readings: %v\n", err)
	case from != "":
		fmt.Fprintf(p.stderr, "the warehouse was published in %s and is here now: its views were told, for all clients\n", from)
	}
}

// answer writes the result of a query.
type answer interface {
	columns(all []warehouse.Column) error
	row(values []any) error
	end() error
}

// tableAnswer writes a result in columns, numbers to the right.
type tableAnswer struct {
	out  io.Writer
	all  []warehouse.Column
	rows [][]string
}

func (a *tableAnswer) columns(all []warehouse.Column) error {
	a.all = all
	return nil
}

func (a *tableAnswer) row(values []any) error {
	cells := make([]string, len(values))
	for i, v := range values {
		cells[i] = cellText(v, "NULL")
	}
	a.rows = append(a.rows, cells)
	return nil
}

func (a *tableAnswer) end() error {
	widths := make([]int, len(a.all))
	for i, c := range a.all {
		widths[i] = utf8.RuneCountInString(c.Name)
	}
	for _, r := range a.rows {
		for i, v := range r {
			widths[i] = max(widths[i], utf8.RuneCountInString(v))
		}
	}
	var b strings.Builder
	line := func(cell func(i int) string) {
		for i, c := range a.all {
			if i > 0 {
				b.WriteString("  ")
			}
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell(i)))
			if numeric(c.Type) {
				b.WriteString(pad + cell(i))
			} else if b.WriteString(cell(i)); i < len(a.all)-1 {
				b.WriteString(pad)
			}
		}
		b.WriteString("\n")
	}
	line(func(i int) string { return a.all[i].Name })
	line(func(i int) string { return strings.Repeat("-", widths[i]) })
	for _, r := range a.rows {
		line(func(i int) string { return r[i] })
	}
	plural := "s"
	if len(a.rows) == 1 {
		plural = ""
	}
	fmt.Fprintf(&b, "(%d row%s)\n", len(a.rows), plural)
	_, err := io.WriteString(a.out, b.String())
	return err
}

func numeric(typ string) bool {
	return strings.HasPrefix(typ, "DECIMAL") || strings.HasSuffix(typ, "INT") || strings.HasSuffix(typ, "INTEGER") || typ == "DOUBLE" || typ == "FLOAT"
}

// cellText writes a value for people and for CSV.
func cellText(v any, null string) string {
	switch v := v.(type) {
	case nil:
		return null
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = cellText(e, null)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return fmt.Sprint(v)
}

// csvAnswer writes a result as CSV (RFC 4180); NULL is empty.
type csvAnswer struct{ out *csv.Writer }

func (a *csvAnswer) columns(all []warehouse.Column) error {
	names := make([]string, len(all))
	for i, c := range all {
		names[i] = c.Name
	}
	return a.out.Write(names)
}

func (a *csvAnswer) row(values []any) error {
	cells := make([]string, len(values))
	for i, v := range values {
		cells[i] = cellText(v, "")
	}
	return a.out.Write(cells)
}

func (a *csvAnswer) end() error {
	a.out.Flush()
	return a.out.Error()
}

// jsonAnswer writes a result as one JSON array with an object a line. Numbers
// are exact: one with a point is a string, as decimals are everywhere here.
type jsonAnswer struct {
	out  io.Writer
	all  []warehouse.Column
	rows int
}

func (a *jsonAnswer) columns(all []warehouse.Column) error {
	a.all = all
	return nil
}

func (a *jsonAnswer) row(values []any) error {
	var b strings.Builder
	if b.WriteString("["); a.rows > 0 {
		b.Reset()
		b.WriteString(",")
	}
	a.rows++
	b.WriteString("\n{")
	for i, v := range values {
		if i > 0 {
			b.WriteString(",")
		}
		if n, ok := v.(*big.Int); ok {
			v = n.String()
		}
		name, err := json.Marshal(a.all[i].Name)
		if err != nil {
			return err
		}
		value, err := json.Marshal(v)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s:%s", name, value)
	}
	b.WriteString("}")
	_, err := io.WriteString(a.out, b.String())
	return err
}

func (a *jsonAnswer) end() error {
	text := "\n]\n"
	if a.rows == 0 {
		text = "[]\n"
	}
	_, err := io.WriteString(a.out, text)
	return err
}
