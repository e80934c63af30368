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
	"slices"
	"strconv"
	"strings"
	"time"

	"wattbook/domain"
	"wattbook/ingest"
)

// StatementsConfig describes an account at a pool of one of the [Dialects].
type StatementsConfig struct {
	Name    domain.SourceID
	Every   domain.Duration // how often the pool is asked
	Dialect string

	URL        string // where the pool answers, without a path; empty means the pool's own
	Subaccount string // as the pool knows it
	Key        Key    // of the interface; OCEAN needs none
	Secret     Key    // by which Antpool and Binance want requests signed

	Pool    domain.PoolID
	Account string // as the book knows it, an identifier; empty means Subaccount

	// Zone is the zone in whose midnights the pool counts its days, where the
	// pool gives dates without one; nil means UTC.
	Zone *time.Location

	// Lookback is how many days before today are asked for, so that a
	// correction by the pool is seen; 0 means 7.
	Lookback int

	// Wait is called between two requests of a poll with the time that the
	// pool asks its customers to leave between them. It returns an error if the
	// context ends before.
	Wait func(context.Context, domain.Duration) error

	Client *http.Client
	Now    func() domain.Instant
	Logger *slog.Logger
}

// Statements is a source of statements, and of payouts as the pool tells them.
type Statements struct {
	c       StatementsConfig
	dialect dialect
	client  client
}

var _ ingest.Source = (*Statements)(nil)

// dialect is how a pool is asked and understood.
type dialect struct {
	url    string          // where the pool answers
	header string          // that carries the key; empty: it is not in a header
	pace   domain.Duration // between two requests
	signed bool            // requests are signed with a secret
	open   bool            // no key is needed

	fetch  func(ctx context.Context, a *asking) error
	decode func(pages []page, d *decoding)
}

// dialects are the pools that are understood, by name.
func dialects() map[string]dialect {
	return map[string]dialect{
		"f2pool":  {url: "https://api.f2pool.com", header: "F2p-Api-Secret", pace: domain.Second, fetch: fetchF2Pool, decode: decodeF2Pool},
		"braiins": {url: "https://pool.braiins.com", header: "Pool-Auth-Token", pace: 5 * domain.Second, fetch: fetchBraiins, decode: decodeBraiins},
		"ocean":   {url: "https://api.ocean.xyz", pace: domain.Second, open: true, fetch: fetchOcean, decode: decodeOcean},
		"viabtc":  {url: "https://www.viabtc.net", header: "X-Api-Key", pace: domain.Second, fetch: fetchViaBTC, decode: decodeViaBTC},
		"luxor":   {url: "https://api.luxor.tech", header: "X-Lux-Api-Key", pace: domain.Second, fetch: fetchLuxor, decode: decodeLuxor},
		"antpool": {url: "https://antpool.com", pace: domain.Second, signed: true, fetch: fetchAntpool, decode: decodeAntpool},
		"binance": {url: "https://api.binance.com", header: "X-Mbx-Apikey", pace: domain.Second, signed: true, fetch: fetchBinance, decode: decodeBinance},
	}
}

// Dialects returns the names of the pools that [NewStatements] understands.
func Dialects() []string {
	var names []string
	for n := range dialects() {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// NewStatements returns a source of statements.
func NewStatements(c StatementsConfig) (*Statements, error) {
	d, ok := dialects()[c.Dialect]
	if !ok {
		return nil, fmt.Errorf("pool source %s: dialect %q is not known; want one of %q", c.Name, c.Dialect, Dialects())
	}
	c.URL = strings.TrimSuffix(cmp.Or(c.URL, d.url), "/")
	c.Account = cmp.Or(c.Account, c.Subaccount)
	c.Lookback = cmp.Or(c.Lookback, 7)
	if c.Zone == nil {
		c.Zone = time.UTC
	}
	if err := c.validate(d); err != nil {
		return nil, fmt.Errorf("pool source %s: %w", c.Name, err)
	}
	s := &Statements{c: c, dialect: d, client: newClient(c.Client, d.header, c.Key)}
	s.client.secret = seal(c.Secret)
	s.c.Key, s.c.Secret = "", "" // the client has them; nothing else needs them
	return s, nil
}

func (c StatementsConfig) validate(d dialect) error {
	if err := checkFeed(c.Name, c.Pool, c.Account, c.URL, c.Key); err != nil {
		return err
	}
	switch {
	case c.Key == "" && !d.open:
		return errors.New("key is empty")
	case c.Secret == "" && d.signed:
		return errors.New("secret is empty; this pool wants requests signed")
	case c.Subaccount == "":
		return errors.New("subaccount is empty")
	case c.Every <= 0:
		return fmt.Errorf("polling interval %s is not positive", c.Every)
	case c.Lookback < 0 || c.Lookback > 366:
		return fmt.Errorf("lookback of %d days is not between 1 and 366", c.Lookback)
	case c.Client == nil || c.Now == nil || c.Logger == nil || c.Wait == nil:
		return errors.New("client, clock, logger and wait are required")
	}
	return nil
}

// Name implements [ingest.Source].
func (s *Statements) Name() domain.SourceID { return s.c.Name }

// Every implements [ingest.Source].
func (s *Statements) Every() domain.Duration { return s.c.Every }

// Poll implements [ingest.Source]. It is an error if the pool was out of reach
// or refused one of the requests: then nothing of the others is delivered, since
// a part of a statement is none. A reply that cannot be understood is part of
// the delivery, as rejected, with its bytes: it says nothing about what the pool
// owes.
func (s *Statements) Poll(ctx context.Context, at domain.Instant) (ingest.Delivery, error) {
	a := &asking{Statements: s, from: at.Floor(domain.Day).Add(-domain.Day * domain.Duration(s.c.Lookback)), to: at}
	if err := s.dialect.fetch(ctx, a); err != nil {
		return ingest.Delivery{}, fmt.Errorf("statements of %s at %s from %s: %w", s.c.Account, s.c.Pool, a.from, err)
	}
	d := ingest.Delivery{Source: s.c.Name, Observed: s.c.Now(), Decoder: s.c.Dialect + "/1", Raw: bundle(a.pages)}
	d.Facts, d.Rejected = s.c.account().Decode(d.Raw, d.Observed)
	if len(d.Facts) == 0 && len(d.Rejected) == 0 {
		s.c.Logger.Warn("pool has no earnings", "source", s.c.Name, "pool", s.c.Pool, "account", s.c.Account, "from", a.from)
	}
	return d, nil
}

func (c StatementsConfig) account() Stated {
	return Stated{Dialect: c.Dialect, Pool: c.Pool, Account: c.Account, Subaccount: c.Subaccount, Zone: c.Zone}
}

// Stated says whose statements evidence holds.
type Stated struct {
	Dialect    string
	Pool       domain.PoolID
	Account    string
	Subaccount string         // as the pool knows it
	Zone       *time.Location // see StatementsConfig
}

// Decode draws statements and payouts from evidence that was received at the
// time observed.
//
// Amounts with more than eight digits after the point are rounded half away
// from zero to the satoshi; Other takes what that leaves of the net. A reply
// that is none, that has a day twice, is in another coin or about another
// account, is rejected whole; a row that cannot be read is rejected alone.
func (s Stated) Decode(raw []byte, observed domain.Instant) (ingest.Facts, []ingest.Rejection) {
	pages, err := unbundle(raw)
	if err != nil {
		return nil, []ingest.Rejection{{Reason: err.Error()}}
	}
	d := &decoding{Stated: s, observed: observed}
	if d.Zone == nil {
		d.Zone = time.UTC
	}
	dialects()[s.Dialect].decode(pages, d)
	if d.whole != nil {
		return nil, []ingest.Rejection{{Reason: d.whole.Error()}}
	}
	facts, err := settled(d.statements, observed)
	if err != nil {
		return nil, []ingest.Rejection{{Reason: err.Error()}}
	}
	for _, p := range d.payouts {
		facts = append(facts, p)
	}
	return facts, d.rejected
}

// decoding collects what pages say.
type decoding struct {
	Stated
	observed   domain.Instant
	statements []domain.PoolStatementReceived
	payouts    []domain.PoolPayoutStated
	rejected   []ingest.Rejection
	whole      error // why nothing of it can be believed
}

// refuse rejects the reply whole.
func (d *decoding) refuse(format string, args ...any) {
	if d.whole == nil {
		d.whole = fmt.Errorf(format, args...)
	}
}

// bad rejects a row.
func (d *decoding) bad(what string, n int, err error) {
	d.rejected = append(d.rejected, ingest.Rejection{Reason: fmt.Sprintf("%s %d: %v", what, n+1, err)})
}

// day returns the interval of a pool's day that begins at an instant, or why
// it cannot be one.
func (d *decoding) day(start domain.Instant) (domain.Interval, error) {
	local := start.Time().In(d.Zone)
	next := time.Date(local.Year(), local.Month(), local.Day()+1, 0, 0, 0, 0, d.Zone)
	iv := domain.Interval{Start: start, End: domain.At(next)}
	switch {
	case !local.Equal(time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, d.Zone)):
		return iv, fmt.Errorf("%s is not the start of a day in %s; set the zone of the pool", start, d.Zone)
	case start > d.observed:
		return iv, fmt.Errorf("day %s is still to come", iv)
	}
	return iv, nil
}

// date reads a day such as 2026-10-14 in the pool's zone.
func (d *decoding) date(text string) (domain.Interval, error) {
	if len(text) > len(time.DateOnly) { // the time of day of a day is midnight
		text, _, _ = strings.Cut(text, " ")
		text, _, _ = strings.Cut(text, "T")
	}
	t, err := time.ParseInLocation(time.DateOnly, text, d.Zone)
	if err != nil {
		return domain.Interval{}, fmt.Errorf("date %.40q is not a day such as 2026-10-14", text)
	}
	return d.day(domain.At(t))
}

// add books a statement, whose other amount takes what rounding leaves.
func (d *decoding) add(s domain.PoolStatementReceived) {
	s.Pool, s.Account, s.Complete = d.Pool, d.Account, true
	if d.Zone != time.UTC {
		s.Zone = d.Zone.String()
	}
	d.statements = append(d.statements, s)
}

// pay books a payout, or rejects it.
func (d *decoding) pay(n int, p domain.PoolPayoutStated) {
	p.Pool, p.Account = d.Pool, d.Account
	err := p.Validate()
	if err == nil && p.At > d.observed {
		err = fmt.Errorf("payout %s of %s is still to come", p.Reference, p.At)
	}
	if err != nil {
		d.bad("payout", n, err)
		return
	}
	if i := slices.IndexFunc(d.payouts, func(q domain.PoolPayoutStated) bool { return q.Reference == p.Reference }); i >= 0 {
		if d.payouts[i] != p {
			d.refuse("reply tells the payout %.40q twice, and differently", p.Reference)
		}
		return
	}
	d.payouts = append(d.payouts, p)
}

// reply reads a page of JSON into v. It rejects the whole if it is none.
func (d *decoding) reply(p page, v any) bool {
	if t := bytes.TrimLeft(p.body, " \t\r\n"); len(t) > 0 && t[0] == '<' {
		d.refuse("reply to %s is a web page", p.name)
		return false
	}
	dec := json.NewDecoder(bytes.NewReader(p.body))
	if err := dec.Decode(v); err != nil {
		d.refuse("reply to %s is not as documented: %w", p.name, err)
		return false
	}
	if _, err := dec.Token(); err != io.EOF {
		d.refuse("reply to %s goes on after its end", p.name)
		return false
	}
	return true
}

// data reads what a page of JSON holds beside a code, which is 0 if all is well,
// into v. It rejects the whole if there is none.
func (d *decoding) data(p page, v any) {
	var reply struct {
		Code    number          `json:"code"`
		Message string          `json:"message"`
		Short   string          `json:"msg"` // as Binance calls it
		Data    json.RawMessage `json:"data"`
	}
	if !d.reply(p, &reply) {
		return
	}
	if !reply.Code.there || !reply.Code.value.IsZero() {
		d.refuse("pool answers %s with an error: code %s, %.100q", p.name, reply.Code.value, cmp.Or(reply.Message, reply.Short))
	} else if err := json.Unmarshal(reply.Data, v); err != nil {
		d.refuse("reply to %s is not as documented: %w", p.name, err)
	}
}

// asking is a poll of a pool.
type asking struct {
	*Statements
	from, to domain.Instant
	pages    []page
}

// maxPages bounds what one poll asks for.
const maxPages = 60

// ask makes one request, after the time that the pool wants left, and keeps
// its reply under a name.
func (a *asking) ask(ctx context.Context, name, method, path, kind string, content []byte) (page, error) {
	if len(a.pages) >= maxPages {
		return page{}, fmt.Errorf("pool has more than %d pages for %s to %s; ask for fewer days (lookback_days)", maxPages, a.from, a.to)
	}
	if len(a.pages) > 0 {
		if err := a.c.Wait(ctx, a.dialect.pace); err != nil {
			return page{}, err
		}
	}
	body, err := a.client.do(ctx, method, a.c.URL+path, kind, content)
	if err != nil {
		return page{}, err
	}
	p := page{name, body}
	a.pages = append(a.pages, p)
	return p, nil
}

func (a *asking) get(ctx context.Context, name, path string) (page, error) {
	return a.ask(ctx, name, http.MethodGet, path, "", nil)
}

// page is a reply and what it answers.
type page struct {
	name string // without spaces and line ends
	body []byte
}

// bundle puts the replies of a poll into one evidence: for each a line of its
// name and length, and the bytes as they were received.
func bundle(pages []page) []byte {
	var b bytes.Buffer
	for _, p := range pages {
		fmt.Fprintf(&b, "%s %d\n%s\n", p.name, len(p.body), p.body)
	}
	return b.Bytes()
}

// unbundle reads what bundle wrote.
func unbundle(raw []byte) ([]page, error) {
	var pages []page
	for len(raw) > 0 {
		line, rest, ok := bytes.Cut(raw, []byte("\n"))
		name, length, spaced := strings.Cut(string(line), " ")
		n, err := strconv.Atoi(length)
		if !ok || !spaced || err != nil || n < 0 || n >= len(rest) || rest[n] != '\n' {
			return nil, fmt.Errorf("evidence of %d pages is damaged", len(pages)+1)
		}
		pages, raw = append(pages, page{name, rest[:n]}), rest[n+1:]
	}
	if len(pages) == 0 {
		return nil, errors.New("evidence has no pages")
	}
	return pages, nil
}

// rate returns a hashrate, 0 if there is none.
func rate(n number) (domain.Int128, error) {
	if !n.there {
		return domain.Int128{}, nil
	}
	if n.err != nil {
		return domain.Int128{}, n.err
	}
	return whole(n.value)
}

// optional returns an amount in bitcoin, 0 if there is none.
func (n number) optional() (domain.Satoshi, error) {
	if !n.there {
		return 0, nil
	}
	return n.satoshi()
}

// seconds returns a time in seconds, as a number or in a string, or in RFC
// 3339.
func (n number) seconds() (domain.Instant, error) {
	if err := n.check(); err != nil {
		return 0, err
	}
	v, exact := n.value.Scaled(6)
	if !exact || !v.IsInt64() || v.Sign() <= 0 || v.Int64() > int64(domain.Unix(253_402_300_799)) {
		return 0, fmt.Errorf("%.40s is not a time in seconds", n.value)
	}
	return domain.Instant(v.Int64()), nil
}
