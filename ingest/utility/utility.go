// Package utility reads the bills of the utility that serves a site.
package utility

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

// Decoder is the name and version of how a file of bills is read.
const Decoder = "utility-bill-csv/1"

// columns are those that a file of bills has; it may have others.
func columns() []string {
	return []string{"site", "from", "to", "amount", "currency", "reference", "date"}
}

// Terms are what the bills of a file must fit.
type Terms struct {
	Site     domain.SiteID
	Currency domain.Currency // of the site's books
	Zone     *time.Location  // of dates
	Now      domain.Instant  // what is billed is over by then
}

// Read reads bills from a CSV file, whose name is for errors: the columns site,
// from, to (the day after the last that is billed), amount, currency, reference
// and date (of the bill), and any others. Days are of the zone; an instant may
// stand for a day. Every mistake is named in the error with its line, the first
// ten in words.
func (t Terms) Read(r io.Reader, name string) ([]domain.UtilityBilled, error) {
	rows := csv.NewReader(r)
	names, err := rows.Read()
	if err != nil {
		return nil, fmt.Errorf("%s:1: line of column names: %w", name, csvError(err))
	}
	at := map[string]int{}
	for i, n := range names {
		at[strings.ToLower(strings.TrimSpace(strings.TrimPrefix(n, "\ufeff")))] = i
	}
	for _, want := range columns() {
		if _, ok := at[want]; !ok {
			return nil, fmt.Errorf("%s:1: columns are %q and there is no %s; want %s, with commas between them", name, names, want, strings.Join(columns(), ","))
		}
	}
	var all []domain.UtilityBilled
	var bad ingest.BadLines
	lines := map[string]int{} // by reference
	for {
		record, err := rows.Read()
		if err == io.EOF {
			break
		}
		if syntax, ok := errors.AsType[*csv.ParseError](err); ok {
			bad.Add(fmt.Errorf("%s:%d: %w", name, syntax.Line, syntax.Err))
			if errors.Is(err, csv.ErrFieldCount) {
				continue
			}
			break // quotes that do not pair: what follows is no line
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		line, _ := rows.FieldPos(0)
		bill, wrong := t.bill(func(column string) string { return strings.TrimSpace(record[at[column]]) })
		if first, twice := lines[bill.Reference]; twice && bill.Reference != "" {
			wrong = append(wrong, fmt.Errorf("reference %s is in line %d already; remove one of the two, or give each bill its own", bill.Reference, first))
		}
		lines[bill.Reference] = line
		for _, err := range wrong {
			bad.Add(fmt.Errorf("%s:%d: %w", name, line, err))
		}
		all = append(all, bill)
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	return all, nil
}

// bill reads a line, and tells all that is wrong in it.
func (t Terms) bill(field func(column string) string) (b domain.UtilityBilled, wrong []error) {
	fail := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	b = domain.UtilityBilled{Site: t.Site, Reference: field("reference")}
	if site := field("site"); site != string(t.Site) {
		fail("site %.40q is not %s; name the site of the file with --site, and split the file if it is of several", site, t.Site)
	}
	times := map[string]domain.Instant{}
	for _, column := range []string{"from", "to", "date"} {
		v, err := t.time(field(column))
		if err != nil {
			fail("%s %w", column, err)
			continue
		}
		times[column] = v
	}
	b.Interval, b.At = domain.Interval{Start: times["from"], End: times["to"]}, times["date"]
	if len(times) == 3 {
		wrong = append(wrong, t.order(b, field("to"))...)
	}
	if currency := field("currency"); currency != string(t.Currency) {
		fail("currency %.40q is not that of the books of %s; want %s", currency, t.Site, t.Currency)
	} else if err := b.Amount.UnmarshalText([]byte(field("amount") + " " + currency)); err != nil {
		fail("amount: %w; want a number such as 24310.55, without thousands separators", err)
	}
	if b.Reference == "" {
		fail("reference is empty; it is the number that the utility gives the bill")
	}
	return b, wrong
}

// order tells what is wrong in how the times of a bill lie to each other.
func (t Terms) order(b domain.UtilityBilled, to string) (wrong []error) {
	fail := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	from, end := b.Interval.Start.Time().In(t.Zone), b.Interval.End.Time().In(t.Zone)
	switch {
	case !b.Interval.Valid():
		fail("to %s is not after from %s; it is the day after the last that is billed", to, from.Format(time.DateOnly))
	case len(to) == len(time.DateOnly) && from.Day() == 1 && end.AddDate(0, 0, 1).Day() == 1:
		fail("to is the day after the last that is billed: write %s if %s is billed, and %sT00:00 if it is not", end.AddDate(0, 0, 1).Format(time.DateOnly), to, to)
	case b.Interval.End > t.Now:
		fail("to %s is still to come: it is %s; correct the day, or wait until what is billed is over", to, t.Now)
	}
	if b.At > t.Now {
		fail("date %s is still to come: it is %s; correct it", b.At.Time().In(t.Zone).Format(time.DateOnly), t.Now)
	}
	return wrong
}

// time reads a day, or a time of it, in the zone, or an instant.
func (t Terms) time(s string) (domain.Instant, error) {
	if at, err := domain.ParseInstant(s); err == nil {
		return at, nil
	}
	for _, layout := range []string{time.DateOnly, "2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if at, err := time.ParseInLocation(layout, s, t.Zone); err == nil && slices.Contains([]int{19, 20, 21}, at.Year()/100) {
			return domain.At(at), nil
		}
	}
	return 0, fmt.Errorf("%.40q is not a day such as 2026-10-01", s)
}

// csvError returns what is wrong without the line, which the caller names.
func csvError(err error) error {
	if syntax, ok := errors.AsType[*csv.ParseError](err); ok {
		return syntax.Err
	}
	return err
}
