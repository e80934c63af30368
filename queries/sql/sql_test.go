package sql_test

import (
	"regexp"
	"strings"
	"testing"

	"wattbook/queries/sql"
)

func TestEveryQuestionSaysWhatItAnswers(t *testing.T) {
	all := sql.Questions()
	if len(all) < 20 {
		t.Fatalf("%d questions, want 20 at least", len(all))
	}
	variable := regexp.MustCompile(`getvariable\('([a-z]+)'\)`)
	for _, q := range all {
		if !strings.HasPrefix(q.Statement, "-- "+q.Purpose+"\n") || !strings.HasSuffix(q.Purpose, ".") || len(q.Purpose) > 130 {
			t.Errorf("%s does not begin with what it answers, in a line: %q", q.Name, q.Purpose)
		}
		if !strings.HasSuffix(q.Statement, ";\n") {
			t.Errorf("%s does not end with a semicolon and a new line", q.Name)
		}
		declared, used := map[string]bool{}, map[string]bool{}
		for _, p := range q.Parameters {
			declared[p.Name] = true
		}
		for _, m := range variable.FindAllStringSubmatch(q.Statement, -1) {
			used[m[1]] = true
			if !declared[m[1]] {
				t.Errorf("%s uses %s and does not declare it", q.Name, m[1])
			}
		}
		for name := range declared {
			if !used[name] {
				t.Errorf("%s declares %s and does not use it", q.Name, name)
			}
		}
		for line := range strings.Lines(q.Statement) {
			code, _, _ := strings.Cut(line, "--")
			if regexp.MustCompile(`[^/]/[^/]|\bavg\(|\bround_even\(`).MatchString(regexp.MustCompile(`'[^']*'`).ReplaceAllString(code, "''")) {
				t.Errorf("%s divides, which gives a float: use quotient(): %s", q.Name, line)
			}
		}
	}
}

func TestWrongParametersAreRefused(t *testing.T) {
	for _, q := range sql.Questions() {
		if q.Name != "worst-hours" {
			continue
		}
		for _, c := range []struct{ name, value, want string }{
			{"month", "2026-13", "2026-13"},
			{"month", "October", "October"},
			{"count", "many", "is not a number"},
			{"count", "-1", "is not a number"},
			{"moth", "2026-10", "it has month, count"},
		} {
			if _, err := q.Bind(map[string]string{c.name: c.value}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s=%s: %v, want %q", c.name, c.value, err, c.want)
			}
		}
		bound, err := q.Bind(map[string]string{"month": "2026-10", "count": "3"})
		if err != nil || bound["month"] != "2026-10" || bound["count"] != "3" {
			t.Errorf("bound %v, %v", bound, err)
		}
		return
	}
	t.Fatal("worst-hours is gone")
}
