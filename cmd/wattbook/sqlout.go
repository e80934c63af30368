package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/big"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/xuri/excelize/v2"

	"wattbook/queries/warehouse"
)

// answer writes the result of a query.
type answer interface {
	columns(all []warehouse.Column) error
	row(values []any) error
	end() error
}

// tableAnswer writes a result in columns, numbers to the right.
//
// A result that is wider than the terminal, or of which records are asked, is
// written one value a line.
type tableAnswer struct {
	out     io.Writer
	records bool
	width   int // of the terminal; 0: not written to one
	all     []warehouse.Column
	rows    [][]string
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
	total := 2 * (len(widths) - 1)
	for _, w := range widths {
		total += w
	}
	if a.records || a.width > 0 && total > a.width && len(a.all) > 1 {
		return a.writeRecords()
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
	b.WriteString(countRows(len(a.rows)))
	_, err := io.WriteString(a.out, b.String())
	return err
}

// writeRecords writes one value a line.
func (a *tableAnswer) writeRecords() error {
	width := 0
	for _, c := range a.all {
		width = max(width, utf8.RuneCountInString(c.Name))
	}
	var b strings.Builder
	for i, r := range a.rows {
		fmt.Fprintf(&b, "-- row %d\n", i+1)
		for k, v := range r {
			fmt.Fprintf(&b, "%s%s  %s\n", a.all[k].Name, strings.Repeat(" ", width-utf8.RuneCountInString(a.all[k].Name)), v)
		}
	}
	b.WriteString(countRows(len(a.rows)))
	_, err := io.WriteString(a.out, b.String())
	return err
}

func countRows(n int) string {
	if n == 1 {
		return "(1 row)\n"
	}
	return fmt.Sprintf("(%d rows)\n", n)
}

// terminalWidth returns how many characters a line of the terminal has, or 0
// if the answer is not written to one.
func (p *program) terminalWidth(out io.Writer) int {
	f, ok := out.(*os.File)
	if !ok || !isTerminal(f) {
		return 0
	}
	return terminalColumns(f)
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

func newCSVAnswer(out io.Writer) *csvAnswer { return &csvAnswer{csv.NewWriter(out)} }

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

// parquetAnswer writes a result as a Parquet file of the same types.
type parquetAnswer struct {
	out  io.Writer
	file *warehouse.ParquetFile
}

func (a *parquetAnswer) columns(all []warehouse.Column) (err error) {
	a.file, err = warehouse.NewParquetFile(all)
	return err
}

func (a *parquetAnswer) row(values []any) error { return a.file.Add(values) }

func (a *parquetAnswer) end() error { return a.file.Finish(a.out) }

// sheetAnswer writes a result as an Excel workbook, with a second sheet that
// says what was asked. Excel computes with 15 digits: a number that has more
// is written as text, so that none is changed.
type sheetAnswer struct {
	out        io.Writer
	statement  string
	parameters map[string]string
	book       *excelize.File
	sheet      *excelize.StreamWriter
	all        []warehouse.Column
	styles     []int
	rows       int
}

const (
	sheetName   = "Answer"
	sheetDigits = 15
	sheetRows   = 1_048_575 // below the heads
)

func (a *sheetAnswer) columns(all []warehouse.Column) error {
	a.all, a.book = all, excelize.NewFile()
	if err := a.book.SetSheetName("Sheet1", sheetName); err != nil {
		return err
	}
	var err error
	if a.sheet, err = a.book.NewStreamWriter(sheetName); err != nil {
		return err
	}
	bold, err := a.book.NewStyle(&excelize.Style{Font: &excelize.Font{Bold: true}})
	if err != nil {
		return err
	}
	heads := make([]any, len(all))
	for i, c := range all {
		heads[i] = excelize.Cell{Value: c.Name, StyleID: bold}
		format := sheetFormat(c.Type)
		style, err := a.book.NewStyle(&excelize.Style{CustomNumFmt: &format})
		if err != nil {
			return err
		}
		a.styles = append(a.styles, style)
		if err := a.sheet.SetColWidth(i+1, i+1, sheetWidth(c)); err != nil {
			return err
		}
	}
	if err := a.sheet.SetPanes(&excelize.Panes{Freeze: true, YSplit: 1, TopLeftCell: "A2", ActivePane: "bottomLeft"}); err != nil {
		return err
	}
	return a.sheet.SetRow("A1", heads)
}

// sheetFormat returns Excel's number format for a type.
func sheetFormat(typ string) string {
	switch {
	case typ == "DATE":
		return "yyyy-mm-dd"
	case strings.HasPrefix(typ, "TIMESTAMP"):
		return "yyyy-mm-dd hh:mm:ss"
	case strings.HasPrefix(typ, "DECIMAL"):
		_, scale, _ := strings.Cut(strings.TrimSuffix(typ, ")"), ",")
		if n, err := strconv.Atoi(scale); err == nil && n > 0 {
			return "#,##0." + strings.Repeat("0", n)
		}
		return "#,##0"
	case numeric(typ):
		return "0"
	}
	return "@"
}

func sheetWidth(c warehouse.Column) float64 {
	width := utf8.RuneCountInString(c.Name) + 3
	switch {
	case strings.HasPrefix(c.Type, "TIMESTAMP"):
		width = max(width, 20)
	case numeric(c.Type), c.Type == "DATE":
		width = max(width, 14)
	default:
		width = max(width, 24)
	}
	return float64(width)
}

func (a *sheetAnswer) row(values []any) error {
	if a.rows++; a.rows > sheetRows {
		return fmt.Errorf("the result has more than the %d rows that a sheet of Excel holds: sum them up, or write Parquet", sheetRows)
	}
	cells := make([]any, len(values))
	for i, v := range values {
		cells[i] = excelize.Cell{Value: sheetValue(v, a.all[i].Type), StyleID: a.styles[i]}
	}
	at, err := excelize.CoordinatesToCellName(1, a.rows+1)
	if err != nil {
		return err
	}
	return a.sheet.SetRow(at, cells)
}

// sheetValue returns a value as a sheet holds it.
func sheetValue(v any, typ string) any {
	text := cellText(v, "")
	switch {
	case v == nil:
		return nil
	case typ == "BOOLEAN":
		return v
	case typ == "DATE", typ == "TIMESTAMP":
		layout := time.DateOnly
		if typ == "TIMESTAMP" {
			layout = "2006-01-02 15:04:05.999999"
		}
		if t, err := time.Parse(layout, text); err == nil {
			return t
		}
	case numeric(typ):
		digits := strings.TrimLeft(strings.NewReplacer("-", "", ".", "").Replace(text), "0")
		if !strings.ContainsAny(text, "eE") && len(digits) <= sheetDigits {
			if f, err := strconv.ParseFloat(text, 64); err == nil { // 15 digits survive it
				return f
			}
		}
	}
	return text
}

func (a *sheetAnswer) end() error {
	if err := a.sheet.Flush(); err != nil {
		return err
	}
	if _, err := a.book.NewSheet("Question"); err != nil {
		return err
	}
	lines := []string{"Times are UTC; numbers of more than 15 digits are text, since Excel would round them.", ""}
	for _, name := range slices.Sorted(maps.Keys(a.parameters)) {
		lines = append(lines, "-- "+name+" = "+a.parameters[name])
	}
	lines = append(lines, strings.Split(strings.TrimRight(a.statement, "\n"), "\n")...)
	for i, l := range lines {
		if err := a.book.SetCellStr("Question", fmt.Sprintf("A%d", i+1), l); err != nil {
			return err
		}
	}
	if err := a.book.Write(a.out); err != nil {
		return err
	}
	return a.book.Close()
}
