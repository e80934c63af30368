package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/peterh/liner"

	"wattbook/queries/sql"
)

// historyFile is where the prompt keeps what was asked, or nothing.
func (p *program) historyFile() string {
	base := p.getenv("XDG_STATE_HOME")
	if base == "" {
		home := p.getenv("HOME")
		if home == "" {
			return ""
		}
		base = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(base, "wattbook", "sql_history")
}

const promptHelp = `Statements end with a semicolon; each sees the warehouse as it is then.
  .tables          tables and views
  .list            questions of the catalogue
  .ask NAME K=V …  ask a question of the catalogue
  .format F        table, record, csv or json
  .quit            leave
`

// sqlPrompt asks statement after statement. Errors are shown, and it goes on.
func (p *program) sqlPrompt(ctx context.Context, r sqlRequest) error {
	line := liner.NewLiner()
	defer line.Close()
	line.SetCtrlCAborts(true)
	line.SetMultiLineMode(true)
	line.SetCompleter(completions)
	history := p.historyFile()
	if f, err := os.Open(history); err == nil {
		_, err = line.ReadHistory(f)
		if err = errors.Join(err, f.Close()); err != nil {
			fmt.Fprintf(p.stderr, "the history %s cannot be read: %v\n", history, err)
		}
	}
	fmt.Fprintf(p.stdout, "%s; .help says what can be done\n", r.dir)
	var text strings.Builder
	for ctx.Err() == nil {
		prompt := "wattbook> "
		if text.Len() > 0 {
			prompt = "     ...> "
		}
		said, err := line.Prompt(prompt)
		if errors.Is(err, liner.ErrPromptAborted) {
			text.Reset()
			continue
		}
		if errors.Is(err, io.EOF) {
			fmt.Fprintln(p.stdout)
			break
		}
		if err != nil {
			return fmt.Errorf("read the statement: %w", err)
		}
		text.WriteString(said + "\n")
		whole := command(strings.TrimSpace(text.String()))
		if whole == "" || !strings.HasPrefix(whole, ".") && !strings.HasSuffix(whole, ";") {
			if whole == "" {
				text.Reset()
			}
			continue
		}
		text.Reset()
		line.AppendHistory(strings.Join(strings.Fields(whole), " "))
		if whole == ".quit" || whole == ".exit" {
			break
		}
		if err := p.sqlSaid(ctx, &r, whole); err != nil {
			fmt.Fprintf(p.stderr, "%v\n", err)
		}
	}
	return writeHistory(line, history)
}

// command returns what was said as the command that was meant: help is .help,
// and the name of a question, which is no SQL, .ask and the name.
func command(said string) string {
	bare := strings.TrimSpace(strings.TrimRight(said, "; "))
	switch strings.ToLower(bare) {
	case "help", "?", `\?`:
		return ".help"
	case "quit", "exit", `\q`:
		return ".quit"
	}
	name, _, _ := strings.Cut(bare, " ")
	if slices.ContainsFunc(sql.Questions(), func(q sql.Question) bool { return q.Name == name }) {
		return ".question " + bare
	}
	return said
}

func writeHistory(line *liner.State, path string) error {
	if path == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("keep the history: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("keep the history: %w", err)
	}
	_, err = line.WriteHistory(f)
	return errors.Join(err, f.Close())
}

// sqlSaid does what was said at the prompt.
func (p *program) sqlSaid(ctx context.Context, r *sqlRequest, said string) error {
	words := strings.Fields(said)
	switch words[0] {
	case ".help":
		_, err := io.WriteString(p.stdout, promptHelp)
		return err
	case ".tables":
		tables := *r
		tables.format = wideFormat
		return p.sqlRun(ctx, tables, "SELECT table_name AS name, comment FROM duckdb_tables() WHERE database_name = 'wh' AND schema_name = 'main' UNION ALL SELECT view_name, comment FROM duckdb_views() WHERE database_name = 'wh' AND schema_name = 'main' AND NOT internal ORDER BY 1")
	case ".question":
		return fmt.Errorf("%s is a question of the catalogue: .ask %s", words[1], strings.Join(words[1:], " "))
	case ".list":
		return p.sqlList()
	case ".format":
		if len(words) != 2 || !slices.Contains([]string{"table", "record", "csv", "json"}, words[1]) {
			return errors.New("want table, record, csv or json")
		}
		r.format = words[1]
		return nil
	case ".ask":
		if len(words) < 2 {
			return errors.New("want the name of a question; .list shows them")
		}
		ask := *r
		ask.parameters = map[string]string{}
		for _, w := range words[2:] {
			name, value, _ := strings.Cut(w, "=")
			ask.parameters[name] = value
		}
		statement, err := p.sqlStatement(&ask, words[1])
		if err != nil {
			return err
		}
		return p.sqlRun(ctx, ask, statement)
	}
	if strings.HasPrefix(said, ".") {
		return fmt.Errorf("there is no %s; .help says what there is", words[0])
	}
	return p.sqlRun(ctx, *r, said)
}

// completions completes what begins like a command or a question.
func completions(line string) []string {
	var all []string
	for _, c := range []string{".help", ".tables", ".list", ".format ", ".ask ", ".quit"} {
		if strings.HasPrefix(c, line) {
			all = append(all, c)
		}
	}
	if rest, ok := strings.CutPrefix(line, ".ask "); ok {
		for _, q := range sql.Questions() {
			if strings.HasPrefix(q.Name, rest) {
				all = append(all, ".ask "+q.Name)
			}
		}
	}
	return all
}
