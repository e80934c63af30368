package pool

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"wattbook/domain"
	"wattbook/ingest"
)

// Payee is an address on which a pool pays an account.
type Payee struct {
	Address string
	Pool    domain.PoolID
	Account string
}

// Columns are the names of the columns of a wallet's export. An empty name
// stands for the one that is given here.
type Columns struct {
	Time        string // "time": RFC 3339 with an offset
	Transaction string // "txid": 64 hexadecimal digits
	Output      string // "vout": the number of the output; the column may be missing
	Address     string // "address"
	Amount      string // "amount_btc": a plain decimal
}

// WalletConfig describes an export of a wallet.
type WalletConfig struct {
	Name  domain.SourceID
	Every domain.Duration // how often the export is fetched

	// URL is where the export is. {start} and {end} in it stand for the time
	// from Lookback before the boundary up to it, in RFC 3339.
	URL      string
	Lookback domain.Duration
	Key      Key // sent as the Authorization header, unless it is empty

	Payees  []Payee
	Columns Columns

	Client *http.Client
	Now    func() domain.Instant
	Logger *slog.Logger
}

// Wallet is a source of payouts: a wallet's export of what it received.
type Wallet struct {
	c      WalletConfig
	client client
}

var _ ingest.Source = (*Wallet)(nil)

// NewWallet returns a source of payouts.
func NewWallet(c WalletConfig) (*Wallet, error) {
	err := domain.CheckID("name", c.Name)
	if err == nil {
		_, err = payees(c.Payees)
	}
	if err == nil {
		err = checkURL(window(c.URL, domain.Interval{}), c.Key)
	}
	switch {
	case err != nil:
	case c.Every <= 0:
		err = fmt.Errorf("polling interval %s is not positive", c.Every)
	case c.Lookback < 0:
		err = fmt.Errorf("lookback %s is negative", c.Lookback)
	case c.Client == nil || c.Now == nil || c.Logger == nil:
		err = errors.New("client, clock and logger are required")
	}
	if err != nil {
		return nil, fmt.Errorf("wallet source %s: %w", c.Name, err)
	}
	w := &Wallet{c: c, client: newClient(c.Client, "Authorization", c.Key)}
	w.c.Key = "" // the client has it; nothing else needs it
	return w, nil
}

// Name implements [ingest.Source].
func (w *Wallet) Name() domain.SourceID { return w.c.Name }

// Every implements [ingest.Source].
func (w *Wallet) Every() domain.Duration { return w.c.Every }

// Poll implements [ingest.Source]. It is an error if the export did not come.
// An export that cannot be read is part of the delivery, as rejected; a line
// that cannot be read is rejected alone.
func (w *Wallet) Poll(ctx context.Context, at domain.Instant) (ingest.Delivery, error) {
	body, err := w.client.get(ctx, window(w.c.URL, domain.Interval{Start: at.Add(-w.c.Lookback), End: at}))
	if err != nil {
		return ingest.Delivery{}, fmt.Errorf("wallet export: %w", err)
	}
	d := ingest.Delivery{Source: w.c.Name, Observed: w.c.Now(), Decoder: WalletDecoder, Raw: body}
	var others int
	d.Facts, d.Rejected, others = DecodeWallet(body, w.c.Payees, w.c.Columns)
	if others > 0 {
		w.c.Logger.Info("receipts on other addresses are left out", "source", w.c.Name, "receipts", others)
	}
	return d, nil
}

// DecodeWallet draws the payouts from an export, and says how many lines are
// about other addresses. See [ReadPayouts] for the form of an export.
//
// An export that is no table is rejected whole; a line that cannot be read is
// rejected alone, and with it the payout that it belongs to.
func DecodeWallet(raw []byte, to []Payee, columns Columns) (facts ingest.Facts, rejected []ingest.Rejection, others int) {
	p, err := readPayouts(bytes.NewReader(raw), "export", to, columns)
	if err != nil {
		return nil, []ingest.Rejection{{Reason: err.Error()}}, 0
	}
	for _, r := range p.received {
		if !p.doubtful[payoutID{r.Transaction, r.Address}] {
			facts = append(facts, r)
		}
	}
	for _, err := range p.bad {
		rejected = append(rejected, ingest.Rejection{Reason: err.Error()})
	}
	return facts, rejected, p.others
}

// ReadPayouts reads a wallet's export from a CSV file, whose name is for
// errors, and returns what arrived on the addresses of the payees, in the
// order of the file, and how many lines are about other addresses.
//
// The first line names the columns. An amount is a whole number of satoshi
// above zero, in BTC; a time is that of the block which confirmed the
// transaction, so one that is not confirmed has no place in the file. Outputs
// of one transaction to the same address are one payout, the sum of them; they
// can be told from a line that is there twice only by their output numbers, so
// without these they are an error. The error names line and column of the
// first ten lines that cannot be read.
func ReadPayouts(r io.Reader, name string, to []Payee, columns Columns) (received []domain.PayoutReceived, others int, err error) {
	p, err := readPayouts(r, name, to, columns)
	if err != nil {
		return nil, 0, err
	}
	var bad ingest.BadLines
	for _, err := range p.bad {
		bad.Add(err)
	}
	if err := bad.Err(); err != nil {
		return nil, 0, err
	}
	return p.received, p.others, nil
}

// payouts are what an export holds.
type payouts struct {
	received []domain.PayoutReceived
	others   int     // lines about other addresses
	bad      []error // lines that cannot be read

	to       map[string]Payee
	names    Columns
	columns  map[string]int    // by name
	sum      map[payoutID]int  // index into received
	outputs  map[outputID]bool // that were seen
	doubtful map[payoutID]bool // have a line that cannot be read
}

// payoutID is what a payout is about.
type payoutID struct{ transaction, address string }

// outputID is a line of a payout; output is empty where lines have no number.
type outputID struct {
	payoutID
	output string
}

// badLines is how many bad lines an export may have before it is taken for
// something else.
const badLines = 20

func readPayouts(r io.Reader, name string, to []Payee, columns Columns) (*payouts, error) {
	known, err := payees(to)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	p := &payouts{
		to: known, names: columns.orDefault(),
		sum: map[payoutID]int{}, outputs: map[outputID]bool{}, doubtful: map[payoutID]bool{},
	}
	rows := csv.NewReader(r)
	rows.ReuseRecord = true
	names, err := rows.Read()
	if err != nil {
		return nil, fmt.Errorf("%s:1: line of column names: %w", name, csvError(err))
	}
	if err := p.head(names); err != nil {
		return nil, fmt.Errorf("%s:1: %w", name, err)
	}
	for {
		record, err := rows.Read()
		if err == io.EOF {
			return p, nil
		}
		var syntax *csv.ParseError
		if errors.As(err, &syntax) {
			return nil, fmt.Errorf("%s:%d: %w", name, syntax.Line, syntax.Err)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if column, err := p.row(record); err != nil {
			line, at := rows.FieldPos(p.columns[column])
			p.bad = append(p.bad, fmt.Errorf("%s:%d:%d: %w", name, line, at, err))
		}
		if len(p.bad) > badLines {
			return nil, fmt.Errorf("%s: more than %d lines cannot be read: %w", name, badLines, errors.Join(p.bad...))
		}
	}
}

// csvError returns an error of package csv without the line, which is said
// already.
func csvError(err error) error {
	var syntax *csv.ParseError
	if errors.As(err, &syntax) {
		return syntax.Err
	}
	return err
}

func (c Columns) orDefault() Columns {
	for _, f := range []struct {
		name  *string
		value string
	}{{&c.Time, "time"}, {&c.Transaction, "txid"}, {&c.Output, "vout"}, {&c.Address, "address"}, {&c.Amount, "amount_btc"}} {
		if *f.name == "" {
			*f.name = f.value
		}
	}
	return c
}

// payees returns the payees by their addresses.
func payees(list []Payee) (map[string]Payee, error) {
	if len(list) == 0 {
		return nil, errors.New("there are no addresses of pool accounts")
	}
	by := make(map[string]Payee, len(list))
	for _, p := range list {
		if err := checkAccount(p.Pool, p.Account); err != nil {
			return nil, fmt.Errorf("address %.90q: %w", p.Address, err)
		}
		p.Address = canonical(p.Address)
		if _, ok := by[p.Address]; ok || p.Address == "" {
			return nil, fmt.Errorf("address %.90q is empty or there twice", p.Address)
		}
		by[p.Address] = p
	}
	return by, nil
}

// canonical returns the one form of an address: bech32 addresses may be
// written in capitals throughout (BIP 173).
func canonical(address string) string {
	address = strings.TrimSpace(address)
	lower := strings.ToLower(address)
	if address == strings.ToUpper(address) && (strings.HasPrefix(lower, "bc1") || strings.HasPrefix(lower, "tb1") || strings.HasPrefix(lower, "bcrt1")) {
		return lower
	}
	return address
}

// head reads the line of column names.
func (p *payouts) head(names []string) error {
	names = slices.Clone(names)
	names[0] = strings.TrimPrefix(names[0], "\ufeff") // as spreadsheets write it
	p.columns = map[string]int{}
	for i, n := range names {
		n = strings.TrimSpace(n)
		if _, ok := p.columns[n]; ok && n != "" {
			return fmt.Errorf("column %q is there twice", n)
		}
		p.columns[n] = i
	}
	for _, want := range []string{p.names.Time, p.names.Transaction, p.names.Address, p.names.Amount} {
		if _, ok := p.columns[want]; !ok {
			return fmt.Errorf("there is no column %q; the file has %q", want, names)
		}
	}
	return nil
}

// row reads one line. With an error it returns the column that is wrong.
func (p *payouts) row(record []string) (column string, err error) {
	field := func(name string) string { return strings.TrimSpace(record[p.columns[name]]) }
	to, ok := p.to[canonical(field(p.names.Address))]
	if !ok {
		p.others++
		return "", nil
	}
	transaction := strings.ToLower(field(p.names.Transaction))
	if len(transaction) != 64 || strings.Trim(transaction, "0123456789abcdef") != "" {
		return p.names.Transaction, fmt.Errorf("%s %.70q is not 64 hexadecimal digits", p.names.Transaction, transaction)
	}
	if column, err = p.payout(payoutID{transaction, to.Address}, to, field); err != nil {
		p.doubtful[payoutID{transaction, to.Address}] = true
	}
	return column, err
}

// payout reads what a line says of a payout.
func (p *payouts) payout(id payoutID, to Payee, field func(string) string) (column string, err error) {
	if field(p.names.Time) == "" {
		return p.names.Time, fmt.Errorf("transaction %s has no time; leave out what is not confirmed", id.transaction)
	}
	at, err := domain.ParseInstant(field(p.names.Time))
	if err != nil {
		return p.names.Time, fmt.Errorf("%s: %w", p.names.Time, err)
	}
	btc, err := domain.ParseDecimal(field(p.names.Amount))
	if err != nil {
		return p.names.Amount, fmt.Errorf("%s: %w", p.names.Amount, err)
	}
	amount, exact, err := satoshi(btc)
	switch {
	case err != nil:
		return p.names.Amount, fmt.Errorf("%s: %w", p.names.Amount, err)
	case !exact:
		return p.names.Amount, fmt.Errorf("%s %s is not a whole number of satoshi", p.names.Amount, btc)
	case amount <= 0:
		return p.names.Amount, fmt.Errorf("%s %s is not above zero; leave out what the wallet sent", p.names.Amount, btc)
	}
	output := ""
	if _, ok := p.columns[p.names.Output]; ok {
		output = field(p.names.Output)
	}
	return p.names.Transaction, p.book(domain.PayoutReceived{
		Pool: to.Pool, Account: to.Account, Transaction: id.transaction, Address: id.address, At: at, Amount: amount,
	}, output)
}

// book adds a payout, or adds to one.
func (p *payouts) book(r domain.PayoutReceived, output string) error {
	id := payoutID{r.Transaction, r.Address}
	i, more := p.sum[id]
	switch {
	case !more:
		p.sum[id] = len(p.received)
		p.received = append(p.received, r)
	case output == "" || p.outputs[outputID{id, ""}]:
		return fmt.Errorf("transaction %s pays %s on an earlier line too; give the numbers of the outputs in a column %q, or remove one of the two",
			r.Transaction, r.Address, p.names.Output)
	case p.outputs[outputID{id, output}]:
		return fmt.Errorf("output %s of transaction %s is on an earlier line too; remove one of the two", output, r.Transaction)
	case p.received[i].At != r.At:
		return fmt.Errorf("transaction %s has the time %s here and %s on an earlier line", r.Transaction, r.At, p.received[i].At)
	case p.received[i].Amount+r.Amount > maxSupply:
		return fmt.Errorf("transaction %s pays more than there can be", r.Transaction)
	default:
		p.received[i].Amount += r.Amount
	}
	p.outputs[outputID{id, output}] = true
	return nil
}
