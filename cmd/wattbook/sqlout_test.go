package main

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"

	"wattbook/queries/warehouse"
)

// answered writes a small result in a form.
func answered(t *testing.T, a answer) {
	t.Helper()
	err := a.columns([]warehouse.Column{
		{Name: "number", Type: "VARCHAR"},
		{Name: "total", Type: "DECIMAL(22,3)"},
		{Name: "revenue", Type: "DECIMAL(38,10)"},
		{Name: "rows", Type: "BIGINT"},
		{Name: "due_day", Type: "DATE"},
		{Name: "start_utc", Type: "TIMESTAMP"},
		{Name: "same", Type: "BOOLEAN"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range [][]any{
		{"CB-1", "25385.920", "699713.5042074006", int64(3), "2026-12-01", "2026-11-02 02:00:00", true},
		{"=1+1", "-0.005", nil, nil, nil, nil, nil},
	} {
		if err := a.row(row); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.end(); err != nil {
		t.Fatal(err)
	}
}

func TestATableIsAlignedAndAWideOneIsWrittenInRecords(t *testing.T) {
	var out bytes.Buffer
	answered(t, &tableAnswer{out: &out})
	want := `
number      total            revenue  rows  due_day     start_utc            same
------  ---------  -----------------  ----  ----------  -------------------  ----
CB-1    25385.920  699713.5042074006     3  2026-12-01  2026-11-02 02:00:00  true
=1+1       -0.005               NULL  NULL  NULL        NULL                 NULL
(2 rows)
`
	if got := "\n" + out.String(); got != want {
		t.Errorf("table:%s", got)
	}
	out.Reset()
	answered(t, &tableAnswer{out: &out, width: 80})
	if got := out.String(); !strings.HasPrefix(got, "-- row 1\nnumber     CB-1\ntotal      25385.920\n") || !strings.Contains(got, "revenue    NULL\n") {
		t.Errorf("records:\n%s", got)
	}
	out.Reset()
	answered(t, &tableAnswer{out: &out, width: 81})
	if got := "\n" + out.String(); got != want {
		t.Errorf("a table that just fits:%s", got)
	}
}

// TestASheetHoldsEveryDigit opens a workbook with another reader.
func TestASheetHoldsEveryDigit(t *testing.T) {
	var out bytes.Buffer
	answered(t, &sheetAnswer{out: &out, statement: "SELECT 1;\n", parameters: map[string]string{"month": "2026-10"}})
	book, err := excelize.OpenReader(&out)
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	for _, c := range []struct {
		cell, want string
		typ        excelize.CellType
	}{
		{"A1", "number", excelize.CellTypeInlineString},
		{"B2", "25385.92", excelize.CellTypeUnset},                 // a number
		{"C2", "699713.5042074006", excelize.CellTypeInlineString}, // 16 digits: text
		{"D2", "3", excelize.CellTypeUnset},
		{"E2", "46357", excelize.CellTypeUnset},       // a day
		{"A3", "=1+1", excelize.CellTypeInlineString}, // no formula
		{"B3", "-0.005", excelize.CellTypeUnset},
		{"C3", "", excelize.CellTypeUnset}, // unknown is not zero
		{"G2", "1", excelize.CellTypeBool},
	} {
		got, err := book.GetCellValue(sheetName, c.cell, excelize.Options{RawCellValue: true})
		typ, typErr := book.GetCellType(sheetName, c.cell)
		if err != nil || typErr != nil || got != c.want || typ != c.typ {
			t.Errorf("%s is %q of type %v, want %q of %v (%v, %v)", c.cell, got, typ, c.want, c.typ, err, typErr)
		}
	}
	if f, err := book.GetCellFormula(sheetName, "A3"); err != nil || f != "" {
		t.Errorf("a text became the formula %q, %v", f, err)
	}
	if got, err := book.GetCellValue("Question", "A3"); err != nil || got != "-- month = 2026-10" {
		t.Errorf("the question's parameter is %q, %v", got, err)
	}
}

func TestSQLRequestsThatAreRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"margin-by-us"}, "did you mean margin-by-use?"},
		{[]string{"margin-by-use", "--param", "month=2026-13"}, "2026-13"},
		{[]string{"margin-by-use", "--param", "moth=2026-10"}, `no parameter "moth"; it has month`},
		{[]string{"margin-by-use", "--param", "month"}, "not of the form name=value"},
		{[]string{"margin-by-use", "--format", "excel"}, "want table, record, csv, json, parquet, xlsx"},
		{[]string{"margin-by-use", "--format", "xlsx"}, "-o answer.xlsx"},
		{[]string{"margin-by-use", "--timeout", "0s"}, "must be more than zero"},
		{[]string{"VACUUM"}, "it is no statement that only reads; --list shows the questions"},
		{[]string{"margin-by-use", "-o", "a.txt"}, "-o a.txt: the ending \".txt\" says no form; want one of .csv, .json, .parquet, .xlsx, or say it with --format"},
		{[]string{"margin-by-use", "-o", "a"}, "says no form"},
		{nil, "--list shows the questions"},
	} {
		got := wattbook(t, append([]string{"sql", "--data", dir}, c.args...)...)
		if got.code != exitUsage || !strings.Contains(got.errors, c.want) {
			t.Errorf("sql %q: exit %d, want %q\n%s", c.args, got.code, c.want, got.errors)
		}
	}
	if got := wattbook(t, "sql", "--list"); got.code != exitOK || strings.Count(got.out, "\n    --param ") < 20 || !strings.Contains(got.out, "margin-by-use\n    What each use") {
		t.Errorf("sql --list: exit %d\n%s", got.code, got.out)
	}
	if got := wattbook(t, "sql", "--data", dir, "SELECT 1"); got.code != exitFinding || !strings.Contains(got.errors, "nothing is published") {
		t.Errorf("a folder without a warehouse: exit %d\n%s", got.code, got.errors)
	}
}

// TestWhatIsSaidAtThePrompt holds what is no SQL against the command that was
// meant.
func TestWhatIsSaidAtThePrompt(t *testing.T) {
	for said, want := range map[string]string{
		"help": ".help", "HELP;": ".help", "?": ".help", "exit": ".quit", "quit;": ".quit", ".tables": ".tables",
		"margin-by-use": ".question margin-by-use", "margin-by-use month=2026-10 ;": ".question margin-by-use month=2026-10",
		"SELECT 1": "SELECT 1", "SELECT *\nFROM receivables;": "SELECT *\nFROM receivables;", "": "",
	} {
		if got := command(said); got != want {
			t.Errorf("%q: %q, want %q", said, got, want)
		}
	}
	err := (&program{}).sqlSaid(t.Context(), &sqlRequest{}, command("margin-by-use month=2026-10"))
	if err == nil || !strings.Contains(err.Error(), ".ask margin-by-use month=2026-10") {
		t.Errorf("a question without .ask: %v", err)
	}
}

// TestThePromptGoesOn stops a query at the prompt and asks the next, and looks
// for what was logged of it.
func TestThePromptGoesOn(t *testing.T) {
	dir := t.TempDir()
	smallBook(t, dir)
	var out, log strings.Builder
	p := &program{stdout: &out, stderr: &log}
	r := sqlRequest{
		dir: folder(filepath.Join(dir, "book")).warehouse(), format: "table", worker: warehouse.NewWorker(sqlCommand),
		limits: warehouse.Limits{Memory: "128MB", Logger: p.logger(settings{LogLevel: slog.LevelInfo})},
	}
	defer r.worker.Close()
	for _, c := range []struct{ said, out, failed, log string }{
		{".tables", "\nsites ", "", ""},
		{"SELECT len(range(150000000));", "", "more than 128MB of memory", "a query was stopped"},
		{"SELECT site FROM sites;", "little-bend\n(1 row)", "", ""},
		{"DROP TABLE sites;", "", "only a single SELECT", "a statement was refused"},
		{".ask margin-by-use month=2026-10", "mining", "", ""},
	} {
		out.Reset()
		log.Reset()
		err := p.sqlSaid(t.Context(), &r, c.said)
		if (err != nil) != (c.failed != "") || err != nil && !strings.Contains(err.Error(), c.failed) || !strings.Contains(out.String(), c.out) || !strings.Contains(log.String(), c.log) {
			t.Errorf("%s: %v, want %q and %q\n%s%s", c.said, err, c.failed, c.out, out.String(), log.String())
		}
		if n := strings.Count(out.String(), "\nmargins_by_hour "); c.said == ".tables" && n != 1 {
			t.Errorf("margins_by_hour is shown %d times", n)
		}
	}
}

func TestSQLIsNotAnsweredToOtherMachinesWithoutAToken(t *testing.T) {
	logger := slog.New(slog.DiscardHandler)
	for _, address := range []string{"0.0.0.0:0", ":0", "192.0.2.1:0", "8480"} {
		if v, err := startSQL(folder(t.TempDir()), settings{SQLListen: address}, logger); err == nil {
			v.close()
			t.Errorf("SQL is answered at %s without a token", address)
		}
	}
	for _, s := range []settings{{}, {SQLListen: "127.0.0.1:0"}, {SQLListen: "localhost:0"}, {SQLListen: ":0", SQLToken: "secret"}} {
		v, err := startSQL(folder(t.TempDir()), s, logger)
		if err != nil {
			t.Errorf("%+v: %v", s, err)
		}
		v.close()
	}
}
