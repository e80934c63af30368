package logscript

import (
	"os"
	"strings"
	"testing"
	"text/tabwriter"
)

// Answer answers a question of a script from what its log holds. An error is
// an answer too.
type Answer func(p *Player, question []string) (string, error)

// Run plays the cases of a script file. A line "case name" begins a case; the
// lines before the first one begin every case. A line that starts with '>' is
// a question; the lines below it, up to an empty one, are the answer that is
// expected. With rewrite the answers that are given are written to the file.
func Run(t *testing.T, path string, rewrite bool, answer Answer) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := parse(string(text))
	for _, c := range s.cases {
		t.Run(c.name, func(t *testing.T) { play(t, path, s.preamble, c, rewrite, answer) })
	}
	if rewrite {
		if err := os.WriteFile(path, []byte(s.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func play(t *testing.T, path string, preamble []string, c *scriptCase, rewrite bool, answer Answer) {
	p := New()
	if err := p.Play(preamble...); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	for _, step := range c.steps {
		if step.question == "" {
			if err := p.Play(step.lines...); err != nil {
				t.Fatalf("%s:%d: %v", path, step.number, err)
			}
			continue
		}
		got, err := answer(p, strings.Fields(step.question))
		if err != nil {
			got = "error: " + err.Error()
		}
		want := strings.Join(step.lines, "\n")
		if got = tidy(got); got != want && !rewrite {
			t.Errorf("%s:%d: %s\ngot:\n%s\nwant:\n%s", path, step.number, step.question, got, want)
		}
		step.lines = strings.Split(got, "\n")
	}
}

// tidy takes away what nobody sees.
func tidy(s string) string {
	lines := strings.Split(strings.TrimRight(s, "\n "), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

// Table sets rows of cells, separated by tabs, in columns.
func Table(rows ...string) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 1, 2, ' ', 0)
	for _, r := range rows {
		w.Write([]byte(r + "\n"))
	}
	w.Flush()
	return b.String()
}

// script is a file: what every case begins with, and the cases.
type script struct {
	preamble []string
	cases    []*scriptCase
}

type scriptCase struct {
	name  string
	steps []*step
}

// step is lines that are played, or a question with its answer.
type step struct {
	number   int // of its first line
	question string
	lines    []string
}

func parse(text string) *script {
	s := &script{}
	var at *step
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		name, begins := strings.CutPrefix(line, "case ")
		question, asks := strings.CutPrefix(line, "> ")
		switch {
		case begins:
			s.cases = append(s.cases, &scriptCase{name: name})
			at = nil
		case len(s.cases) == 0:
			s.preamble = append(s.preamble, line)
		case asks:
			at = s.step(i + 1)
			at.question = question
		case at == nil, at.question != "" && line == "":
			at = s.step(i + 1)
			at.lines = append(at.lines, line)
		default:
			at.lines = append(at.lines, line)
		}
	}
	return s
}

func (s *script) step(number int) *step {
	c := s.cases[len(s.cases)-1]
	c.steps = append(c.steps, &step{number: number})
	return c.steps[len(c.steps)-1]
}

// String writes the file back.
func (s *script) String() string {
	lines := append([]string(nil), s.preamble...)
	for _, c := range s.cases {
		lines = append(lines, "case "+c.name)
		for _, st := range c.steps {
			if st.question != "" {
				lines = append(lines, "> "+st.question)
			}
			lines = append(lines, st.lines...)
		}
	}
	return strings.Join(lines, "\n") + "\n"
}
