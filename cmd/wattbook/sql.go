package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"wattbook/domain"
	"wattbook/queries/sql"
	"wattbook/queries/warehouse"
)

func sqlVerb() verb {
	return verb{
		name: "sql", args: `NAME | "SELECT …" | - [--param K=V] [--format F] [-o FILE] | --list`,
		summary: "ask the finance warehouse",
		help: `
Runs one statement that only reads, in DuckDB, on the warehouse as it was last
published: DESCRIBE and SHOW TABLES say what there is. A NAME is a question of
the catalogue, which --list shows; --param tells it what it is about. "-" reads
the statement from standard input, and without one there is a prompt, with
history. It can neither write, nor read any other file, nor load an extension,
and is bounded in time, memory, rows and bytes. Any DuckDB client can open the file
warehouse/warehouse.duckdb of the data folder too, while the service runs.

Example: wattbook sql margin-by-use --param month=2026-10`,
		run: sqlAsk,
	}
}

// sqlRequest is what the command line asks.
type sqlRequest struct {
	dir        string // of the warehouse
	format     string
	file       string // that the answer is written to; empty: standard output
	limits     warehouse.Limits
	parameters map[string]string
	worker     *warehouse.Worker
	question   string // of the catalogue that is asked; empty: a statement
	month      string // that a question is about if no parameter says so; empty: what it says itself
}

func sqlAsk(ctx context.Context, p *program, args []string) error {
	r := sqlRequest{parameters: map[string]string{}}
	list := p.flags.Bool("list", false, "show the questions of the catalogue")
	p.flags.StringVar(&r.format, "format", "", "`form` of the answer: table, record, csv, json, parquet or xlsx (default by the ending of FILE, or table)")
	p.flags.StringVar(&r.file, "o", "", "write the answer to a `file`")
	p.flags.DurationVar(&r.limits.Time, "timeout", 5*time.Minute, "`time` that a query may take")
	p.flags.IntVar(&r.limits.Rows, "rows", 1_000_000, "`rows` that an answer may have")
	p.flags.Int64Var(&r.limits.Bytes, "bytes", 256<<20, "`bytes` of values that an answer may have")
	at := p.flags.String("at", "", "as it was known at a `moment`: a position, 2026-11-03 (the end of that day at the site), 2026-11-03T17:35:00Z, or 2026-10 (what that month was invoiced on)")
	p.flags.Func("param", "`name=value` of a parameter, once for each", func(v string) error {
		name, value, ok := strings.Cut(v, "=")
		if !ok || name == "" {
			return fmt.Errorf("%q is not of the form name=value", v)
		}
		r.parameters[name] = value
		return nil
	})
	rest, err := p.parse(args, 0, 1)
	if err != nil {
		return err
	}
	if *list {
		return p.sqlList()
	}
	if r.limits.Time <= 0 || r.limits.Rows <= 0 || r.limits.Bytes <= 0 {
		return usagef("--timeout, --rows and --bytes must be more than zero")
	}
	if err := r.form(p.common.json); err != nil {
		return err
	}
	s, err := p.settings()
	if err != nil {
		return err
	}
	r.dir = folder(s.Data).warehouse()
	if s.LogLevel < slog.LevelWarn {
		// Otherwise the error that follows says it, once.
		r.limits.Logger = p.logger(s)
	}
	r.worker = warehouse.NewWorker(sqlCommand)
	defer func() { _ = r.worker.Close() }() // it only read
	if r.file != "" {
		r.file = p.path(r.file)
	}
	p.warnUnfinished(folder(s.Data))
	p.relocate(ctx, r.dir)
	if *at != "" {
		if err := p.sqlAt(ctx, &r, *at); err != nil {
			return err
		}
	}
	if len(rest) == 0 {
		if !isTerminal(p.stdin) {
			return usagef("want a question, a statement, or - to read one from standard input; --list shows the questions")
		}
		return p.sqlPrompt(ctx, r)
	}
	statement, err := p.sqlStatement(&r, rest[0])
	if err != nil {
		return err
	}
	return p.sqlRun(ctx, r, statement)
}

// sqlAt lets the request see what was known at a moment.
func (p *program) sqlAt(ctx context.Context, r *sqlRequest, at string) error {
	position, err := p.sqlPosition(ctx, r.dir, at)
	if err != nil {
		return err
	}
	return p.withLog(ctx, func(l *logFolder) (err error) {
		r.limits.Database, err = warehouse.AsOf(ctx, l.log, position, warehouseConfig(r.dir, p.now, slog.New(slog.DiscardHandler)))
		if err != nil {
			return err
		}
		return p.sqlMonth(ctx, r, at, position)
	})
}

// sqlMonth settles which month questions are about with what was known at a
// moment: the month that the moment names, or the last one that was closed
// then, or the one that was going on. Of what a month was invoiced on its
// invoices are no part, which people do not expect.
func (p *program) sqlMonth(ctx context.Context, r *sqlRequest, at string, position domain.Position) error {
	if _, err := domain.ParsePeriod(at); err == nil {
		r.month = at
		fmt.Fprintf(p.stderr, "wattbook sql: position %s, which %s was invoiced on: its invoices were issued after that, and are not in it; leave out --at, or name a later moment, to see them\n", thousands(int64(position)), at)
		return nil
	}
	c, err := warehouse.OpenClient(ctx, r.dir, r.limits)
	if err != nil {
		return err
	}
	err = c.Query(ctx, "SELECT strftime(max(local_day), '%Y-%m') FROM local_days WHERE NOT EXISTS (FROM closed_periods)", func([]warehouse.Column) error { return nil }, func(row []any) error {
		r.month, _ = row[0].(string)
		return nil
	})
	return errors.Join(err, c.Close())
}

// sqlPosition returns the position that a moment stands for.
func (p *program) sqlPosition(ctx context.Context, dir, at string) (position domain.Position, err error) {
	if n, err := strconv.ParseUint(at, 10, 63); err == nil {
		return domain.Position(n), nil
	}
	statement := ""
	if month, err := domain.ParsePeriod(at); err == nil {
		statement = fmt.Sprintf("SELECT position_invoiced('%s')", month)
	} else if day, err := time.Parse(time.DateOnly, at); err == nil {
		next := day.AddDate(0, 0, 1).Format(time.DateOnly)
		statement = fmt.Sprintf("SELECT position_at(COALESCE((SELECT max(end_utc) FROM local_days WHERE local_day = '%s'), TIMESTAMP '%s 00:00:00') - INTERVAL 1 MICROSECOND)", at, next)
	} else if t, err := domain.ParseInstant(at); err == nil {
		statement = fmt.Sprintf("SELECT position_at('%s')", t.Time().Format("2006-01-02 15:04:05.999999"))
	} else {
		return 0, usagef("--at %q; want a position, a day such as 2026-11-03, an instant such as 2026-11-03T17:35:00Z, or a month that was invoiced, such as 2026-10", at)
	}
	c, err := warehouse.OpenClient(ctx, dir, warehouse.Limits{})
	if err != nil {
		return 0, err
	}
	found := false
	err = c.Query(ctx, statement, func([]warehouse.Column) error { return nil }, func(row []any) error {
		n, ok := row[0].(int64)
		position, found = domain.Position(n), ok
		return nil
	})
	if err = errors.Join(err, c.Close()); err == nil && !found {
		err = fmt.Errorf("--at %s: that month is not closed", at)
	}
	return position, err
}

// form settles in which form the answer is written.
func (r *sqlRequest) form(json bool) error {
	if json {
		r.format = "json"
	}
	if ending := strings.TrimPrefix(filepath.Ext(r.file), "."); r.format == "" && slices.Contains(sqlFormats(), ending) {
		r.format = ending
	}
	if ending := filepath.Ext(r.file); r.format == "" && r.file != "" {
		return usagef("-o %s: the ending %q says no form; want one of .%s, or say it with --format", r.file, ending, strings.Join(sqlFormats()[2:], ", ."))
	}
	if r.format == "" {
		r.format = "table"
	}
	if !slices.Contains(sqlFormats(), r.format) {
		return usagef("--format %q; want %s", r.format, strings.Join(sqlFormats(), ", "))
	}
	if (r.format == "parquet" || r.format == "xlsx") && r.file == "" {
		return usagef("--format %s needs a file: -o answer.%s", r.format, r.format)
	}
	return nil
}

func sqlFormats() []string { return []string{"table", "record", "csv", "json", "parquet", "xlsx"} }

// wideFormat is a table that goes on beyond the terminal's last column.
const wideFormat = "wide"

func isTerminal(v any) bool {
	f, ok := v.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// sqlStatement returns the statement that an argument stands for, and binds
// the parameters of a question.
func (p *program) sqlStatement(r *sqlRequest, arg string) (string, error) {
	if arg == "-" {
		text, err := io.ReadAll(p.stdin)
		if err != nil {
			return "", fmt.Errorf("read the statement: %w", err)
		}
		r.limits.Variables = r.parameters
		return string(text), nil
	}
	if strings.ContainsAny(strings.TrimSpace(arg), " \t\n;(") {
		r.limits.Variables = r.parameters
		return arg, nil
	}
	var names []string
	for _, q := range sql.Questions() {
		if q.Name == arg {
			if r.month != "" && r.parameters["month"] == "" && slices.ContainsFunc(q.Parameters, func(v sql.Parameter) bool { return v.Name == "month" }) {
				r.parameters["month"] = r.month
			}
			var err error
			if r.limits.Variables, err = q.Bind(r.parameters); err != nil {
				return "", usagef("%v", err)
			}
			r.question = q.Name
			return q.Statement, nil
		}
		names = append(names, q.Name)
	}
	if meant := nearest(arg, names); distance(arg, meant) <= max(2, len(arg)/2) {
		return "", usagef("there is no question %q; did you mean %s? --list shows them all", arg, meant)
	}
	return "", usagef("there is no question %q, and it is no statement that only reads; --list shows the questions, and a statement is one argument: \"SELECT …\"", arg)
}

// sqlList shows the catalogue.
func (p *program) sqlList() error {
	all := sql.Questions()
	if p.common.json {
		return p.printJSON(all)
	}
	for _, q := range all {
		fmt.Fprintf(p.stdout, "%s\n    %s\n", q.Name, q.Purpose)
		for _, v := range q.Parameters {
			fmt.Fprintf(p.stdout, "    --param %s=%s: %s\n", v.Name, v.Kind, v.Meaning)
		}
	}
	fmt.Fprintf(p.stdout, "\n%d questions; wattbook sql NAME asks one, and queries/sql has them to run by hand\n", len(all))
	return nil
}

// sqlRun asks the warehouse as it is now and writes the answer.
func (p *program) sqlRun(ctx context.Context, r sqlRequest, statement string) (err error) {
	if r.file == "" {
		rows, err := p.sqlWrite(ctx, r, p.stdout, statement)
		if err == nil && rows == 0 {
			err = p.sqlEmpty(ctx, r)
		}
		return err
	}
	// A file is there whole, or not at all.
	tmp := r.file + ".tmp"
	f, err := os.Create(tmp)
	if err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	rows, err := p.sqlWrite(ctx, r, f, statement)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(tmp, r.file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	if rows == 0 {
		if err := p.sqlEmpty(ctx, r); err != nil {
			return err
		}
	}
	if p.common.json {
		return p.printJSON(map[string]any{"file": r.file, "rows": rows})
	}
	noun := "rows"
	if rows == 1 {
		noun = "row"
	}
	_, err = fmt.Fprintf(p.stdout, "%s %s in %s\n", thousands(rows), noun, r.file)
	return err
}

// sqlWrite writes the answer in the form that is asked for, and returns how
// many rows it has.
func (p *program) sqlWrite(ctx context.Context, r sqlRequest, out io.Writer, statement string) (rows int64, err error) {
	var a answer
	switch r.format {
	case "record":
		a = &tableAnswer{out: out, records: true}
	case wideFormat:
		a = &tableAnswer{out: out}
	case "csv":
		a = newCSVAnswer(out)
	case "json":
		a = &jsonAnswer{out: out}
	case "parquet":
		a = &parquetAnswer{out: out}
	case "xlsx":
		a = &sheetAnswer{out: out, statement: statement, parameters: r.limits.Variables}
	default:
		a = &tableAnswer{out: out, width: p.terminalWidth(out)}
	}
	err = r.worker.Query(ctx, r.dir, r.limits, statement, a.columns, func(row []any) error {
		rows++
		return a.row(row)
	})
	if errors.Is(err, warehouse.ErrNothingPublished) {
		err = fmt.Errorf("%w; make the warehouse of this book with wattbook warehouse rebuild, or name another folder with --data", err)
	}
	if err != nil {
		return rows, err
	}
	return rows, a.end()
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
