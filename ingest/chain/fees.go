package chain

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"wattbook/domain"
)

// ReadBlockFees reads the transaction fees of the blocks of UTC days from a
// CSV file, whose name is for errors: the columns day (2026-10-14), blocks and
// fees_btc, and any others. Each day is there once; every line that cannot be
// read is named in the error, up to 20.
func ReadBlockFees(r io.Reader, name string) ([]domain.BlockFeesPublished, error) {
	rows := csv.NewReader(r)
	names, err := rows.Read()
	if err != nil {
		return nil, fmt.Errorf("%s:1: line of column names: %w", name, csvError(err))
	}
	at := map[string]int{}
	for i, n := range names {
		at[strings.TrimSpace(strings.TrimPrefix(n, "\ufeff"))] = i
	}
	for _, want := range []string{"day", "blocks", "fees_btc"} {
		if _, ok := at[want]; !ok {
			return nil, fmt.Errorf("%s:1: columns are %q; want day, blocks and fees_btc", name, names)
		}
	}
	var all []domain.BlockFeesPublished
	var bad []error
	seen := map[domain.Instant]bool{}
	for len(bad) < 20 {
		record, err := rows.Read()
		if err == io.EOF {
			break
		}
		var syntax *csv.ParseError
		if errors.As(err, &syntax) {
			bad = append(bad, fmt.Errorf("%s:%d: %w", name, syntax.Line, syntax.Err))
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		line, _ := rows.FieldPos(0)
		f, err := blockFees(record, at)
		if err == nil && seen[f.Interval.Start] {
			err = fmt.Errorf("day %s is there twice; remove one of the two", record[at["day"]])
		}
		if err != nil {
			bad = append(bad, fmt.Errorf("%s:%d: %w", name, line, err))
			continue
		}
		seen[f.Interval.Start] = true
		all = append(all, f)
	}
	if len(bad) > 0 {
		return nil, errors.Join(bad...)
	}
	return all, nil
}

func blockFees(record []string, at map[string]int) (f domain.BlockFeesPublished, err error) {
	field := func(name string) string { return strings.TrimSpace(record[at[name]]) }
	day, err := time.Parse(time.DateOnly, field("day"))
	if err != nil || day.Year() < 2009 {
		return f, fmt.Errorf("day %.40q is not a day such as 2026-10-14", field("day"))
	}
	start := domain.At(day)
	f.Interval = domain.Interval{Start: start, End: start.Add(domain.Day)}
	if f.Blocks, err = strconv.ParseInt(field("blocks"), 10, 64); err != nil || f.Blocks < 1 || f.Blocks > 1000 {
		return f, fmt.Errorf("blocks %.40q are not a number from 1 to 1000", field("blocks"))
	}
	v, err := domain.ParseDecimal(field("fees_btc"))
	if err != nil {
		return f, fmt.Errorf("fees_btc: %w", err)
	}
	sat, exact := v.Scaled(8)
	if !exact || v.Sign() < 0 || v.Cmp(domain.NewDecimal(21_000_000, 0)) > 0 {
		return f, fmt.Errorf("fees_btc %s is negative, more than there can be, or not whole satoshi", v)
	}
	f.Fees = domain.Satoshi(sat.Int64())
	return f, nil
}
