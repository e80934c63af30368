package market

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"wattbook/domain"
	"wattbook/ingest"
)

// CSV says how a file of prices is to be read.
type CSV struct {
	// TimeColumn and PriceColumn are the names of the two columns that matter,
	// as the file's first line has them.
	TimeColumn, PriceColumn string

	Node     domain.NodeID // the settlement point; empty for bitcoin
	Currency domain.Currency
	Step     domain.Duration // the length of a price's interval

	// Location is the zone of times that are written without an offset. If it
	// is nil, such times are an error: nobody can know what they mean.
	Location *time.Location

	// AllowGaps reads a file in which intervals are missing or have no price.
	// They stay unknown.
	AllowGaps bool

	// Corrects says that the file restates what was published before.
	Corrects bool

	// Until is the latest time at which a price's interval may begin; 0 is no
	// bound.
	Until domain.Instant
}

// ReadPowerPrices reads prices of energy per MWh from a CSV file, whose name
// is for errors. Each run of consecutive prices is one event.
//
// The file has a line of column names, then one line for each interval, in
// order. A time is the start of the interval: RFC 3339, or "2006-01-02
// 15:04:05" in o.Location. A local time that occurs twice, as clocks are put
// back, is the one that continues the line before. A price is a plain decimal;
// an exponent, an empty price, a gap, a repeated line and a time that is not a
// multiple of the step are errors. They name line and column of the first ten
// bad lines.
func ReadPowerPrices(r io.Reader, name string, o CSV) ([]domain.PowerPriced, error) {
	if err := domain.CheckID("node", o.Node); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	series, err := readPrices(r, name, o, false)
	if err != nil {
		return nil, err
	}
	priced := make([]domain.PowerPriced, len(series))
	for i, s := range series {
		priced[i] = domain.PowerPriced{Node: o.Node, Currency: o.Currency, Series: s, Corrects: o.Corrects}
	}
	return priced, nil
}

// ReadBitcoinPrices reads prices of one bitcoin from a CSV file of the form
// that [ReadPowerPrices] describes.
func ReadBitcoinPrices(r io.Reader, name string, o CSV) ([]domain.BitcoinPriced, error) {
	if o.Node != "" {
		return nil, fmt.Errorf("%s: bitcoin has no node; remove %q", name, o.Node)
	}
	series, err := readPrices(r, name, o, true)
	if err != nil {
		return nil, err
	}
	priced := make([]domain.BitcoinPriced, len(series))
	for i, s := range series {
		priced[i] = domain.BitcoinPriced{Currency: o.Currency, Series: s, Corrects: o.Corrects}
	}
	return priced, nil
}

// priceFile reads a file line by line.
type priceFile struct {
	CSV
	rows        *csv.Reader
	timeColumn  int
	priceColumn int
	bitcoin     bool
	line        int // of the row that is being read

	points []point
	before domain.Instant // start of the row before; 0 on the first
	lineOf int            // line of the row before

	apart map[domain.Duration]int // how many rows begin so long after the one before
	rowsN int
}

func readPrices(r io.Reader, name string, o CSV, bitcoin bool) ([]domain.PriceSeries, error) {
	if _, err := domain.ParseCurrency(string(o.Currency)); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if o.Step <= 0 {
		return nil, fmt.Errorf("%s: step %s is not positive", name, o.Step)
	}
	f := priceFile{CSV: o, rows: csv.NewReader(r), bitcoin: bitcoin, apart: map[domain.Duration]int{}}
	f.rows.ReuseRecord = true
	if err := f.head(); err != nil {
		return nil, fmt.Errorf("%s:1: %w", name, err)
	}
	var bad ingest.BadLines
	for {
		record, err := f.rows.Read()
		if err == io.EOF {
			break
		}
		var syntax *csv.ParseError
		if errors.As(err, &syntax) { // where the next line begins is not sure
			return nil, fmt.Errorf("%s:%d: %w", name, syntax.Line, syntax.Err)
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, f.line+1, err)
		}
		f.line, _ = f.rows.FieldPos(0)
		f.rowsN++
		if column, err := f.row(record); err != nil {
			_, at := f.rows.FieldPos(column)
			bad.Add(fmt.Errorf("%s:%d:%d: %w", name, f.line, at, err))
		}
	}
	if step := f.usual(); step != 0 && step != o.Step {
		return nil, fmt.Errorf("%s: lines are %s apart and the step is %s; pass --step %s", name, short(step), short(o.Step), short(step))
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	if len(f.points) == 0 {
		return nil, fmt.Errorf("%s: file has no prices", name)
	}
	return runs(f.points, o.Step), nil
}

// usual returns how far apart most rows begin, or 0 if that cannot be told.
func (f *priceFile) usual() domain.Duration {
	const fewest = 3 // of two rows, either could be missing
	for d, n := range f.apart {
		if n >= fewest && 2*n >= f.rowsN {
			return d
		}
	}
	return 0
}

// head reads the line of column names.
func (f *priceFile) head() error {
	record, err := f.rows.Read()
	if err != nil {
		return fmt.Errorf("line of column names: %w", err)
	}
	record = slices.Clone(record)
	record[0] = strings.TrimPrefix(record[0], "\ufeff") // as spreadsheets write it
	for i := range record {
		record[i] = strings.TrimSpace(record[i])
	}
	if f.timeColumn, err = column(record, f.TimeColumn); err != nil {
		return err
	}
	f.priceColumn, err = column(record, f.PriceColumn)
	return err
}

// column returns where the column of that name is.
func column(names []string, name string) (int, error) {
	i := slices.Index(names, name)
	switch {
	case i < 0:
		return 0, fmt.Errorf("there is no column %q; the file has %q", name, names)
	case slices.Contains(names[i+1:], name):
		return 0, fmt.Errorf("column %q is there twice", name)
	}
	return i, nil
}

// row reads one price. With an error it returns the column that is wrong.
func (f *priceFile) row(record []string) (column int, err error) {
	first := f.lineOf == 0
	before, line := f.before, f.lineOf
	next := before.Add(f.Step)
	start, err := f.instant(strings.TrimSpace(record[f.timeColumn]), next, first)
	if err != nil {
		f.before = next // so that the line after this one is no gap
		return f.timeColumn, err
	}
	f.before, f.lineOf = start, f.line
	if !first && start > before {
		f.apart[start.Sub(before)]++
	}
	switch {
	case start.Floor(f.Step) != start:
		return f.timeColumn, fmt.Errorf("time %s is not a multiple of the step %s", start, short(f.Step))
	case f.Until != 0 && start > f.Until:
		return f.timeColumn, fmt.Errorf("time %s is later than %s, up to which a price can be known; correct the date or the zone", start, f.Until)
	case !first && start == before:
		return f.timeColumn, fmt.Errorf("time %s is that of line %d again; remove one of the two", start, line)
	case !first && start < before:
		f.before, f.lineOf = before, line
		return f.timeColumn, fmt.Errorf("time %s is before that of line %d, %s; sort the file by time", start, line, before)
	case !first && start > next && !f.AllowGaps:
		return f.timeColumn, fmt.Errorf("gap of %s before line %d: there are no prices from %s to %s; fill it or pass --allow-gaps",
			short(start.Sub(next)), f.line, next, start)
	}
	text := strings.TrimSpace(record[f.priceColumn])
	if text == "" {
		if f.AllowGaps {
			return 0, nil
		}
		return f.priceColumn, fmt.Errorf("price of %s is empty; fill it or pass --allow-gaps", start)
	}
	price, err := domain.ParseDecimal(text)
	if err == nil {
		err = checkPrice(price, f.bitcoin)
	}
	if err != nil {
		return f.priceColumn, fmt.Errorf("column %s: %w", f.PriceColumn, err)
	}
	f.points = append(f.points, point{start, price})
	return 0, nil
}

// instant reads a time. Next is when the row is expected, unless it is the
// first.
func (f *priceFile) instant(text string, next domain.Instant, first bool) (domain.Instant, error) {
	if len(text) > 10 && text[10] == ' ' { // as databases write it
		text = text[:10] + "T" + text[11:]
	}
	naive, err := parseNaive(text)
	if err != nil {
		return domain.ParseInstant(text)
	}
	if f.Location == nil {
		return 0, fmt.Errorf("time %q has no offset; pass the zone of the file", text)
	}
	switch at := occurrences(naive, f.Location); {
	case len(at) == 0:
		return 0, fmt.Errorf("time %q does not exist in %s: clocks were put forward over it", text, f.Location)
	case len(at) == 1:
		return at[0], nil
	case !first && slices.Contains(at, next):
		return next, nil
	}
	return 0, fmt.Errorf("time %q occurs twice in %s, and neither continues the line before; write times with an offset", text, f.Location)
}

// parseNaive reads a time without an offset, as if it were in UTC.
func parseNaive(text string) (time.Time, error) {
	t, err := time.Parse("2006-01-02T15:04:05", text)
	if err != nil {
		t, err = time.Parse("2006-01-02T15:04", text)
	}
	if err == nil && (t.Year() < 1970 || t.Year() > 9999) {
		err = errors.New("year out of range")
	}
	return t, err
}

// occurrences returns the instants at which clocks in the zone show the time:
// none or two where they are changed, else one. The offsets a day before and
// a day after are the two that can apply.
func occurrences(naive time.Time, zone *time.Location) []domain.Instant {
	var at []domain.Instant
	for _, days := range []int{-1, 1} {
		_, offset := naive.AddDate(0, 0, days).In(zone).Zone()
		t := naive.Add(-time.Duration(offset) * time.Second)
		_, actual := t.In(zone).Zone()
		if actual == offset && !slices.Contains(at, domain.At(t)) {
			at = append(at, domain.At(t))
		}
	}
	return at
}

// short writes a duration without its zero units: "45m" for "45m0s".
func short(d domain.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
