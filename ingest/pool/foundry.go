package pool

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"wattbook/domain"
	"wattbook/ingest"
)

// FoundryURL is where Foundry USA Pool answers.
const FoundryURL = "https://api.foundryusapool.com"

// FoundryConfig describes an account at Foundry USA Pool.
type FoundryConfig struct {
	Name  domain.SourceID
	Every domain.Duration // how often the pool is asked

	URL        string // where the pool answers, without a path; empty means FoundryURL
	Subaccount string // as the pool knows it
	Key        Key    // sent as X-API-KEY

	Pool    domain.PoolID
	Account string // as the book knows it, an identifier; empty means Subaccount

	// Lookback is how many days before today are asked for, so that a
	// correction by the pool is seen; 0 means 7.
	Lookback int

	Client *http.Client
	Now    func() domain.Instant
	Logger *slog.Logger
}

// Foundry is a source of statements of an account at Foundry USA Pool.
//
// It asks GET /v2/earnings/{subaccount}?coin=BTC&startDateUnixMs=… and gets a
// JSON array with a row for each UTC day (operation getEarningsV2 of the
// pool's OpenAPI document, as open clients of it describe the reply).
type Foundry struct {
	c      FoundryConfig
	client client
}

var _ ingest.Source = (*Foundry)(nil)

// NewFoundry returns a source of statements.
func NewFoundry(c FoundryConfig) (*Foundry, error) {
	if c.URL == "" {
		c.URL = FoundryURL
	}
	if c.Account == "" {
		c.Account = c.Subaccount
	}
	if c.Lookback == 0 {
		c.Lookback = 7
	}
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("pool source %s: %w", c.Name, err)
	}
	f := &Foundry{c: c, client: newClient(c.Client, "X-Api-Key", c.Key)}
	f.c.URL = strings.TrimSuffix(c.URL, "/")
	f.c.Key = "" // the client has it; nothing else needs it
	return f, nil
}

func (c FoundryConfig) validate() error {
	if err := checkFeed(c.Name, c.Pool, c.Account, c.URL, c.Key); err != nil {
		return err
	}
	switch {
	case c.Key == "":
		return errors.New("key is empty")
	case c.Subaccount == "":
		return errors.New("subaccount is empty")
	case c.Every <= 0:
		return fmt.Errorf("polling interval %s is not positive", c.Every)
	case c.Lookback < 0 || c.Lookback > 366:
		return fmt.Errorf("lookback of %d days is not between 1 and 366", c.Lookback)
	case c.Client == nil || c.Now == nil || c.Logger == nil:
		return errors.New("client, clock and logger are required")
	}
	return nil
}

// Name implements [ingest.Source].
func (f *Foundry) Name() domain.SourceID { return f.c.Name }

// Every implements [ingest.Source].
func (f *Foundry) Every() domain.Duration { return f.c.Every }

// Poll implements [ingest.Source]. It is an error if the pool was out of reach
// or refused. A reply that cannot be understood is part of the delivery, as
// rejected, with its bytes: it says nothing about what the pool owes.
func (f *Foundry) Poll(ctx context.Context, at domain.Instant) (ingest.Delivery, error) {
	from := at.Floor(domain.Day).Add(-domain.Day * domain.Duration(f.c.Lookback))
	query := url.Values{"coin": {"BTC"}, "startDateUnixMs": {strconv.FormatInt(int64(from)/int64(domain.Millisecond), 10)}}
	body, err := f.client.get(ctx, f.c.URL+"/v2/earnings/"+url.PathEscape(f.c.Subaccount)+"?"+query.Encode())
	if err != nil {
		return ingest.Delivery{}, fmt.Errorf("earnings of %s at %s from %s: %w", f.c.Account, f.c.Pool, from, err)
	}
	d := ingest.Delivery{Source: f.c.Name, Observed: f.c.Now(), Decoder: FoundryDecoder, Raw: body}
	d.Facts, d.Rejected = DecodeFoundry(body, f.c.Pool, f.c.Account, d.Observed)
	if len(d.Facts) == 0 && len(d.Rejected) == 0 {
		f.c.Logger.Warn("pool has no earnings", "source", f.c.Name, "pool", f.c.Pool, "account", f.c.Account, "from", from)
	}
	return d, nil
}

// earnings is a row of the pool's reply. Amounts are in BTC.
type earnings struct {
	Coin     *string `json:"coin"`
	Start    string  `json:"startTime"`
	End      string  `json:"endTime"`
	Total    number  `json:"totalAmount"` // after the fee
	Hashrate number  `json:"hashrate"`    // hashes per second
	Subsidy  number  `json:"ppsBaseAmount"`
	Fees     number  `json:"txFeeRewardAmount"`
	PoolFee  number  `json:"poolFeeAmount"`
	OldFee   number  `json:"feeAmount"` // the same in the first version
}

// DecodeFoundry draws the statements from a reply that was received at the
// time observed.
//
// An amount that has more than eight digits after the point is rounded half
// away from zero to the satoshi: pools compute in floats and print what these
// hold, which is far finer than a satoshi. Other is what is left of the net
// amount, and takes up the satoshi that such rounding may leave.
//
// The period of a row is its UTC day, even if the row ends earlier because the
// day does. A statement is complete if its day was over when it was observed,
// and either another day follows it in the reply or a whole day has passed
// since: the last row is one that the pool still adds to.
//
// A reply that is no list of days, or has a day twice, is rejected whole; a row
// that cannot be read is rejected alone.
func DecodeFoundry(raw []byte, pool domain.PoolID, account string, observed domain.Instant) (ingest.Facts, []ingest.Rejection) {
	rows, err := parseEarnings(raw)
	if err != nil {
		return nil, []ingest.Rejection{{Reason: err.Error()}}
	}
	var statements []domain.PoolStatementReceived
	var rejected []ingest.Rejection
	for i, row := range rows {
		s, err := row.statement(observed)
		if err != nil {
			rejected = append(rejected, ingest.Rejection{Reason: fmt.Sprintf("row %d, from %.40q: %v", i+1, row.Start, err)})
			continue
		}
		s.Pool, s.Account = pool, account
		statements = append(statements, s)
	}
	facts, err := settled(statements, observed)
	if err != nil {
		return nil, []ingest.Rejection{{Reason: err.Error()}}
	}
	return facts, rejected
}

// settled puts statements in order and says which are complete: those of a
// day that was over when it was observed, if either another day follows it in
// the reply or a whole day has passed since. A statement is of one credit
// unless it says of how many. It is an error if two overlap.
func settled(statements []domain.PoolStatementReceived, observed domain.Instant) (ingest.Facts, error) {
	slices.SortStableFunc(statements, func(a, b domain.PoolStatementReceived) int {
		return cmp.Compare(a.Interval.Start, b.Interval.Start)
	})
	facts := make(ingest.Facts, 0, len(statements))
	for i, s := range statements {
		if i > 0 && s.Interval.Start < statements[i-1].Interval.End {
			if s.Interval == statements[i-1].Interval {
				return nil, fmt.Errorf("reply has the day %s twice", s.Interval)
			}
			return nil, fmt.Errorf("reply has %s and %s, which overlap", statements[i-1].Interval, s.Interval)
		}
		end := s.Interval.End
		if i == len(statements)-1 {
			end = end.Add(domain.Day)
		}
		s.Complete = s.Complete && end <= observed
		s.Credits = max(1, s.Credits)
		facts = append(facts, s)
	}
	return facts, nil
}

func parseEarnings(raw []byte) ([]earnings, error) {
	if t := bytes.TrimLeft(raw, " \t\r\n"); len(t) > 0 && t[0] == '<' {
		return nil, errors.New("reply is a web page, not a list of earnings")
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	var rows []earnings
	if err := dec.Decode(&rows); err != nil {
		return nil, fmt.Errorf("reply is not a list of earnings: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("reply goes on after the list of earnings")
	}
	if rows == nil {
		return nil, errors.New("reply has no list of earnings")
	}
	for _, r := range rows {
		if r.Coin != nil && *r.Coin != "BTC" {
			return nil, fmt.Errorf("reply is about the coin %.40q, want BTC", *r.Coin)
		}
	}
	return rows, nil
}

// statement brings a row into the normal form. Complete says whether the row
// reaches to the end of its day.
func (e earnings) statement(observed domain.Instant) (s domain.PoolStatementReceived, err error) {
	start, err := domain.ParseInstant(e.Start)
	if err != nil {
		return s, fmt.Errorf("startTime: %w", err)
	}
	end, err := domain.ParseInstant(e.End)
	if err != nil {
		return s, fmt.Errorf("endTime: %w", err)
	}
	s.Interval = domain.Interval{Start: start, End: start.Add(domain.Day)}
	switch {
	case start.Floor(domain.Day) != start:
		return s, fmt.Errorf("startTime %s is not the start of a UTC day", start)
	case end <= start || end > s.Interval.End:
		return s, fmt.Errorf("endTime %s is not in the day of %s", end, start)
	case start > observed:
		return s, fmt.Errorf("day %s is still to come", s.Interval)
	}
	s.Complete = end == s.Interval.End
	fee := e.PoolFee
	if !fee.there {
		fee = e.OldFee
	} else if e.OldFee.there && !e.OldFee.value.Equal(fee.value) {
		return s, fmt.Errorf("poolFeeAmount %s and feeAmount %s differ", fee.value, e.OldFee.value)
	}
	for _, a := range []struct {
		name string
		from number
		to   *domain.Satoshi
	}{
		{"totalAmount", e.Total, &s.Net},
		{"ppsBaseAmount", e.Subsidy, &s.Subsidy},
		{"txFeeRewardAmount", e.Fees, &s.Fees},
		{"poolFeeAmount", fee, &s.PoolFee},
	} {
		if *a.to, err = a.from.satoshi(); err != nil {
			return s, fmt.Errorf("%s: %w", a.name, err)
		}
	}
	if s.Subsidy < 0 || s.Fees < 0 {
		return s, fmt.Errorf("ppsBaseAmount %s or txFeeRewardAmount %s is negative", e.Subsidy.value, e.Fees.value)
	}
	s.Other = s.Net - (s.Subsidy + s.Fees - s.PoolFee)
	if err := e.Hashrate.check(); err != nil {
		return s, fmt.Errorf("hashrate: %w", err)
	}
	if s.Hashrate, err = whole(e.Hashrate.value); err != nil {
		return s, fmt.Errorf("hashrate: %w", err)
	}
	return s, nil
}

// number is a decimal in JSON, as a string or as a number. Unlike prices it
// may have an exponent: servers that print doubles write every amount below a
// thousandth so, and the text is exact all the same.
type number struct {
	value domain.Decimal
	there bool
	err   error // why it cannot be read
}

func (n number) check() error {
	if !n.there {
		return errors.New("there is none")
	}
	return n.err
}

// satoshi returns the number, in BTC, rounded to the satoshi.
func (n number) satoshi() (domain.Satoshi, error) {
	if err := n.check(); err != nil {
		return 0, err
	}
	amount, _, err := satoshi(n.value)
	return amount, err
}

// maxExponent bounds the exponent of a number: a double of bitcoin or of
// hashes per second needs far less.
const maxExponent = 40

// UnmarshalJSON reads the number and keeps the error for the one row that it
// concerns. Null is no number.
func (n *number) UnmarshalJSON(b []byte) error {
	text := string(b)
	if text == "null" {
		return nil
	}
	if text[0] == '"' {
		if err := json.Unmarshal(b, &text); err != nil {
			return err
		}
	}
	n.there = true
	n.value, n.err = parseNumber(text)
	return nil
}

func parseNumber(text string) (domain.Decimal, error) {
	mantissa, exponent := text, ""
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		mantissa, exponent = text[:i], text[i+1:]
	}
	value, err := domain.ParseDecimal(mantissa)
	if err != nil || mantissa == text {
		return value, err
	}
	e, err := strconv.ParseInt(exponent, 10, 32)
	if err != nil || e < -maxExponent || e > maxExponent {
		return value, fmt.Errorf("exponent of %.40q is not between −%d and %d", text, maxExponent, maxExponent)
	}
	return value.Shift(int32(e)), nil
}
