package pool

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"wattbook/domain"
)

// StatementColumns are the names of the columns of a table of statements. An
// empty name stands for the one that is given here; all but the day and the
// net may be missing. Amounts are in BTC.
type StatementColumns struct {
	Day      string // "day": 2026-10-14
	Net      string // "net_btc"
	Subsidy  string // "subsidy_btc"
	Fees     string // "fees_btc"
	PoolFee  string // "pool_fee_btc": positive
	Other    string // "other_btc"
	Hashrate string // "hashes_per_second"
	Shares   string // "share_difficulty"
	Account  string // "account": of the pool; other accounts are refused
}

// MapStatementColumns reads names of columns such as "day=Date,net=Earned".
func MapStatementColumns(text string) (c StatementColumns, err error) {
	fields := c.fields()
	if text == "" {
		return c, nil
	}
	for pair := range strings.SplitSeq(text, ",") {
		name, column, ok := strings.Cut(pair, "=")
		i := slices.IndexFunc(fields, func(f statementField) bool { return f.short == name })
		if !ok || i < 0 || column == "" {
			return c, fmt.Errorf("%q is not of the form day=NAME; known are day, net, subsidy, fees, pool_fee, other, hashrate, shares and account", pair)
		}
		*fields[i].name = column
	}
	return c, nil
}

type statementField struct {
	short, standard string
	name            *string
}

func (c *StatementColumns) fields() []statementField {
	return []statementField{
		{"day", "day", &c.Day},
		{"net", "net_btc", &c.Net},
		{"subsidy", "subsidy_btc", &c.Subsidy},
		{"fees", "fees_btc", &c.Fees},
		{"pool_fee", "pool_fee_btc", &c.PoolFee},
		{"other", "other_btc", &c.Other},
		{"hashrate", "hashes_per_second", &c.Hashrate},
		{"shares", "share_difficulty", &c.Shares},
		{"account", "account", &c.Account},
	}
}

// ReadStatements reads the statements of an account from a CSV file, whose
// name is for errors. A table without subsidy and fees states its net alone;
// one with a subsidy and no fees does not tell them apart. The file is refused
// with every line that cannot be read.
func ReadStatements(r io.Reader, name string, s Stated, columns StatementColumns, observed domain.Instant) ([]domain.PoolStatementReceived, error) {
	rows := csv.NewReader(r)
	head, err := rows.Read()
	if err != nil {
		return nil, fmt.Errorf("%s:1: line of column names: %w", name, csvError(err))
	}
	t := statementTable{decoding: &decoding{Stated: s, observed: observed}, at: map[string]int{}}
	if t.Zone == nil {
		t.Zone = time.UTC
	}
	if err := t.head(head, columns); err != nil {
		return nil, fmt.Errorf("%s:1: %w", name, err)
	}
	var bad []error
	for {
		record, err := rows.Read()
		if err == io.EOF {
			break
		}
		line := 0
		var syntax *csv.ParseError
		if errors.As(err, &syntax) {
			line = syntax.Line
		}
		if err == nil || len(record) > 0 {
			line, _ = rows.FieldPos(0)
		}
		if err == nil {
			err = t.row(record)
		}
		if err != nil {
			bad = append(bad, fmt.Errorf("%s:%d: %w", name, line, csvError(err)))
		}
		if len(bad) == badLines || syntax != nil {
			break
		}
	}
	if len(bad) > 0 {
		return nil, errors.Join(bad...)
	}
	facts, err := settled(t.statements, observed)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var all []domain.PoolStatementReceived
	for _, f := range facts {
		all = append(all, f.(domain.PoolStatementReceived))
	}
	return all, nil
}

type statementTable struct {
	*decoding
	at map[string]int // column by its short name
}

func (t *statementTable) head(names []string, columns StatementColumns) error {
	names = slices.Clone(names)
	for i := range names {
		names[i] = strings.TrimSpace(strings.TrimPrefix(names[i], "\ufeff"))
	}
	for _, f := range columns.fields() {
		want := f.standard
		if *f.name != "" {
			want = *f.name
		}
		i := slices.Index(names, want)
		switch {
		case i >= 0 && slices.Contains(names[i+1:], want):
			return fmt.Errorf("column %q is there twice", want)
		case i >= 0:
			t.at[f.short] = i
		case *f.name != "" || f.short == "day" || f.short == "net":
			return fmt.Errorf("there is no column %q; the file has %q", want, names)
		}
	}
	return nil
}

func (t *statementTable) row(record []string) error {
	field := func(short string) (string, bool) {
		i, ok := t.at[short]
		if !ok {
			return "", false
		}
		return strings.TrimSpace(record[i]), true
	}
	if a, ok := field("account"); ok && a != t.Subaccount {
		return fmt.Errorf("account %.40q is not %q; leave out the lines of other accounts", a, t.Subaccount)
	}
	var s domain.PoolStatementReceived
	day, _ := field("day")
	var err error
	if s.Interval, err = t.date(day); err != nil {
		return err
	}
	amounts := map[string]*domain.Satoshi{"net": &s.Net, "subsidy": &s.Subsidy, "fees": &s.Fees, "pool_fee": &s.PoolFee, "other": &s.Other}
	for _, short := range []string{"net", "subsidy", "fees", "pool_fee", "other"} {
		text, ok := field(short)
		if !ok {
			continue
		}
		v, err := parseNumber(text)
		if err == nil {
			*amounts[short], _, err = satoshi(v)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", short, err)
		}
	}
	_, split := t.at["fees"]
	_, gross := t.at["subsidy"]
	s.NetOnly, s.Unsplit = !gross, gross && !split
	_, told := t.at["other"]
	if s.NetOnly {
		s.Fees, s.PoolFee = 0, 0
	} else if !told {
		s.Other = s.Net - (s.Subsidy + s.Fees - s.PoolFee)
	}
	if text, ok := field("hashrate"); ok && text != "" {
		if s.Hashrate, err = antHashrate(text); err != nil {
			return err
		}
	}
	if text, ok := field("shares"); ok && text != "" {
		v, err := parseNumber(text)
		if s.Shares, err = shares(number{value: v, there: true, err: err}); err != nil {
			return fmt.Errorf("shares: %w", err)
		}
	}
	t.add(s)
	return nil
}
