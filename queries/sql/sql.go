// Package sql is the catalogue of questions that a finance team asks of the
// warehouse at month end, each a file that any DuckDB client can run.
//
// A file begins with comments: what it answers, in one line; its parameters;
// and what there is to know. A parameter is a variable of the client (SET
// VARIABLE month = '2026-10'), and every one can be left out.
package sql

import (
	"embed"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
	"time"

	"wattbook/domain"
)

//go:embed *.sql
var files embed.FS

// Question is an entry of the catalogue.
type Question struct {
	Name       string      `json:"name"`
	Purpose    string      `json:"purpose"` // in one line
	Parameters []Parameter `json:"parameters,omitempty"`
	Statement  string      `json:"-"`
}

// Parameter is what a question can be told.
type Parameter struct {
	Name    string `json:"name"`
	Kind    string `json:"kind"` // month, day, integer or text
	Meaning string `json:"meaning"`
}

var parameterLine = regexp.MustCompile(`^-- param ([a-z]+) \((month|day|integer|text)\): (.+)$`)

// Questions returns the catalogue by name.
func Questions() []Question {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		panic("sql: " + err.Error())
	}
	var all []Question
	for _, name := range names {
		text, err := files.ReadFile(name)
		if err != nil {
			panic("sql: " + err.Error())
		}
		all = append(all, parse(strings.TrimSuffix(name, ".sql"), string(text)))
	}
	return all
}

func parse(name, text string) Question {
	q := Question{Name: name, Statement: text}
	first, _, _ := strings.Cut(text, "\n")
	q.Purpose = strings.TrimPrefix(first, "-- ")
	for line := range strings.Lines(text) {
		if m := parameterLine.FindStringSubmatch(strings.TrimRight(line, "\n")); m != nil {
			q.Parameters = append(q.Parameters, Parameter{m[1], m[2], m[3]})
		}
	}
	return q
}

// Bind returns the variables for values such as month=2026-10. It is an error,
// which says what is wanted, if a name is not a parameter of the question or a
// value is not of its kind.
func (q Question) Bind(values map[string]string) (map[string]string, error) {
	bound := map[string]string{}
	for name, value := range values {
		p, ok := q.parameter(name)
		if !ok {
			return nil, fmt.Errorf("%s has no parameter %q; it has %s", q.Name, name, q.known())
		}
		if err := p.check(value); err != nil {
			return nil, fmt.Errorf("parameter %s of %s: %w", name, q.Name, err)
		}
		bound[name] = value
	}
	return bound, nil
}

func (q Question) parameter(name string) (Parameter, bool) {
	for _, p := range q.Parameters {
		if p.Name == name {
			return p, true
		}
	}
	return Parameter{}, false
}

// known names the parameters in words.
func (q Question) known() string {
	if len(q.Parameters) == 0 {
		return "none"
	}
	names := make([]string, len(q.Parameters))
	for i, p := range q.Parameters {
		names[i] = p.Name
	}
	return strings.Join(names, ", ")
}

func (p Parameter) check(value string) error {
	switch p.Kind {
	case "month":
		_, err := domain.ParsePeriod(value)
		return err
	case "day":
		if _, err := time.Parse(time.DateOnly, value); err != nil {
			return fmt.Errorf("%q is not a day such as 2026-10-05", value)
		}
	case "integer":
		if n, err := strconv.ParseInt(value, 10, 64); err != nil || n < 0 {
			return fmt.Errorf("%q is not a number such as 10", value)
		}
	}
	return nil
}
