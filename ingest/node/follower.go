package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"wattbook/domain"
	"wattbook/ingest"
)

// Decoder is the name of the decoder of this package, as deliveries name it.
const Decoder = "bitcoin-rpc/1"

// Payee is an address on which a pool pays an account.
type Payee struct {
	Address string
	Pool    domain.PoolID
	Account string
}

// Config describes a follower.
type Config struct {
	Name  domain.SourceID
	Every domain.Duration // how often the node is asked

	Client *Client
	// Network is the chain that the node must be on: main, test3, signet,
	// regtest or simnet.
	Network string
	Payees  []Payee

	// Confirmations is how many blocks, its own among them, a receipt has
	// before it is delivered; 0 means 6.
	Confirmations int
	// Lookback is how many blocks below the newest are walked by the first
	// poll; 0 means 1008, a week.
	Lookback int
	// Blocks bounds how many blocks one poll walks, so that catching up does not
	// hold up the other sources; 0 means 200.
	Blocks int
	// Chain is true if difficulty and fees of the network are delivered too:
	// where a node is there, no explorer is needed.
	Chain bool

	Now    func() domain.Instant
	Logger *slog.Logger
}

// geneses are the ids of the first blocks, by network.
func geneses() map[string]string {
	return map[string]string{
		"main":    "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f",
		"test3":   "000000000933ea01ad0ee984209779baaec3ced90fa3f408719526f8d77f4943",
		"signet":  "00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6",
		"regtest": "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206",
		"simnet":  "683e86bd5c6d110d91b94b97137ba6bfe02dbbdb8e3dff722a669b5d69d77af6",
	}
}

const (
	// behind is the age of the newest block from which on a node is taken for
	// one that is still syncing.
	behind = domain.Day
	// maxAhead is how far a block's time may be ahead of the clock for the
	// network to accept it.
	maxAhead = 2 * domain.Hour
	// deepest bounds how far back a branch is undone: no chain that matters ever
	// lost so many blocks.
	deepest = 2016
)

// Follower is a source of receipts: it follows the branch of the chain that
// the node believes in.
type Follower struct {
	c       Config
	payees  map[string]Payee
	checked bool // the node is on the right network

	at      domain.Instant // boundary of the last poll that delivered
	last    ingest.Delivery
	walked  []link             // the blocks that were walked, by height
	bottom  int64              // height of walked[0]
	pending map[string]receipt // delivered, and not buried deep, by transaction and address
	network told               // what was delivered of the network
}

// link is a block that was walked.
type link struct {
	id   string
	time domain.Instant
	fees domain.Satoshi
}

var _ ingest.Source = (*Follower)(nil)

// NewFollower returns a follower.
func NewFollower(c Config) (*Follower, error) {
	if c.Confirmations == 0 {
		c.Confirmations = 6
	}
	if c.Lookback == 0 {
		c.Lookback = 1008
	}
	if c.Blocks == 0 {
		c.Blocks = 200
	}
	f := &Follower{c: c, pending: map[string]receipt{}}
	var err error
	if f.payees, err = watched(c.Payees); err != nil {
		return nil, fmt.Errorf("node source %s: %w", c.Name, err)
	}
	switch {
	case domain.CheckID("name", c.Name) != nil:
		err = domain.CheckID("name", c.Name)
	case geneses()[c.Network] == "":
		err = fmt.Errorf("network %q is not known; want one of %q", c.Network, slices.Sorted(maps.Keys(geneses())))
	case c.Every <= 0:
		err = fmt.Errorf("polling interval %s is not positive", c.Every)
	case c.Confirmations < 1 || c.Confirmations > domain.CoinbaseMaturity:
		err = fmt.Errorf("confirmations %d are not between 1 and %d", c.Confirmations, domain.CoinbaseMaturity)
	case c.Lookback < 0 || c.Lookback > 52_560 || c.Blocks < 1:
		err = fmt.Errorf("lookback of %d blocks is not between 1 and 52560, or a poll walks none", c.Lookback)
	case c.Client == nil || c.Now == nil || c.Logger == nil:
		err = errors.New("client, clock and logger are required")
	}
	if err != nil {
		return nil, fmt.Errorf("node source %s: %w", c.Name, err)
	}
	return f, nil
}

// Remember tells the follower what is on record of its addresses. After a
// restart, its first poll says which of it was undone meanwhile.
func (f *Follower) Remember(recent []domain.PayoutReceived) {
	for _, r := range recent {
		if _, ours := f.payees[canonical(r.Address)]; ours && r.Block != "" {
			f.pending[key(r)] = receipt{PayoutReceived: r}
		}
	}
}

// watched returns the payees by address.
func watched(all []Payee) (map[string]Payee, error) {
	payees := map[string]Payee{}
	for _, p := range all {
		if _, twice := payees[canonical(p.Address)]; twice || p.Address == "" {
			return nil, fmt.Errorf("address %q is empty or there twice", p.Address)
		}
		if err := errors.Join(domain.CheckID("pool", p.Pool), domain.CheckID("account", p.Account)); err != nil {
			return nil, fmt.Errorf("address %q: %w", p.Address, err)
		}
		payees[canonical(p.Address)] = p
	}
	if len(payees) == 0 {
		return nil, errors.New("there are no addresses of pool accounts")
	}
	return payees, nil
}

func key(r domain.PayoutReceived) string { return r.Transaction + " " + canonical(r.Address) }

// Name implements [ingest.Source].
func (f *Follower) Name() domain.SourceID { return f.c.Name }

// Every implements [ingest.Source].
func (f *Follower) Every() domain.Duration { return f.c.Every }

// Poll implements [ingest.Source]. It delivers what blocks that are confirmed
// enough pay to the addresses; what can be spent since, of a coinbase; and
// first of all what was delivered and is undone. A boundary that is polled
// again gets again what it got. It is an error if the node cannot be reached,
// is on another network, or is still syncing: then nothing is known.
func (f *Follower) Poll(ctx context.Context, at domain.Instant) (ingest.Delivery, error) {
	if at == f.at && f.at != 0 {
		return f.last, nil
	}
	w := &walk{Follower: f, walked: slices.Clone(f.walked), bottom: f.bottom, pending: maps.Clone(f.pending), network: f.network}
	d := ingest.Delivery{Source: f.c.Name, Decoder: Decoder}
	if err := w.run(ctx); err != nil {
		var bad *badBlock
		if !errors.As(err, &bad) {
			return ingest.Delivery{}, fmt.Errorf("follow the chain: %w", err)
		}
		d.Observed, d.Raw, d.Rejected = f.c.Now(), bad.raw, []ingest.Rejection{{Reason: bad.Error()}}
		return d, nil
	}
	d.Observed = f.c.Now()
	if len(w.facts) > 0 {
		d.Facts, d.Raw = w.facts, bytes.Join(w.raw, []byte("\n"))
	}
	f.walked, f.bottom, f.pending, f.network = w.walked, w.bottom, w.pending, w.network
	f.at, f.last = at, d
	return d, nil
}

// badBlock is a block that cannot be understood.
type badBlock struct {
	err error
	raw []byte
}

func (b *badBlock) Error() string { return b.err.Error() }

// walk is one poll. Its copies take the place of the follower's when it has
// succeeded.
type walk struct {
	*Follower
	walked  []link
	bottom  int64
	pending map[string]receipt
	network told
	facts   ingest.Facts
	raw     [][]byte // blocks that facts come from
}

func (w *walk) run(ctx context.Context) error {
	tip, err := w.tip(ctx)
	if err != nil {
		return err
	}
	top := tip - int64(w.c.Confirmations) + 1 // the newest block that is confirmed enough
	undone, err := w.fork(ctx, tip)
	if err != nil {
		return err
	}
	if len(w.walked) == 0 {
		w.bottom = max(0, top-int64(w.c.Lookback)+1)
	}
	var found []receipt
	spent := map[string]string{} // by the output, the transaction that spends it on this branch
	for n, blocks := w.bottom+int64(len(w.walked)), 0; n <= top && blocks < w.c.Blocks; n, blocks = n+1, blocks+1 {
		b, raw, err := w.block(ctx, n)
		if err != nil {
			return err
		}
		if len(w.walked) > 0 && b.Previous != w.walked[len(w.walked)-1].id {
			return fmt.Errorf("the branch changed while it was walked, at height %d; the next poll walks it again", n)
		}
		pays, err := b.receipts(w.payees)
		if err != nil {
			return &badBlock{err, raw}
		}
		if len(undone) > 0 {
			for _, t := range b.transactions() {
				for _, s := range t.spends() {
					spent[s] = t.ID
				}
			}
		}
		fees, err := b.fees()
		if err != nil {
			return &badBlock{err, raw}
		}
		w.walked = append(w.walked, link{b.Hash, domain.Unix(b.Time), fees})
		if len(pays) > 0 {
			found = append(found, pays...)
			w.raw = append(w.raw, raw)
		}
	}
	w.deliver(undone, found, spent, tip)
	if w.c.Chain && len(w.walked) > 0 {
		if err := w.state(ctx); err != nil {
			return err
		}
	}
	if extra := len(w.walked) - deepest; extra > 0 {
		w.walked, w.bottom = slices.Clone(w.walked[extra:]), w.bottom+int64(extra)
	}
	return nil
}

// deliver tells what was undone, what arrived, and what can be spent.
func (w *walk) deliver(undone, found []receipt, spent map[string]string, tip int64) {
	for _, r := range undone {
		reason := "block " + r.Block + " was undone"
		for _, s := range r.spends {
			if by := spent[s]; by != "" && by != r.Transaction {
				reason += ", and transaction " + by + " took its place"
				break
			}
		}
		w.facts = append(w.facts, domain.PayoutReversed{
			Pool: r.Pool, Account: r.Account, Transaction: r.Transaction, Address: r.Address, Amount: r.Amount, Block: r.Block, Reason: reason,
		})
		delete(w.pending, key(r.PayoutReceived))
		w.c.Logger.Warn("receipt is undone", "source", w.c.Name, "transaction", r.Transaction, "reason", reason)
	}
	for _, r := range found {
		r.Matured = r.Generation && tip-r.Height+1 >= domain.CoinbaseMaturity
		if known, ok := w.pending[key(r.PayoutReceived)]; !ok || known.Block != r.Block || known.Matured != r.Matured {
			w.facts = append(w.facts, r.PayoutReceived)
		}
		w.pending[key(r.PayoutReceived)] = r
	}
	for _, k := range slices.Sorted(maps.Keys(w.pending)) {
		r := w.pending[k]
		if r.Generation && !r.Matured && tip-r.Height+1 >= domain.CoinbaseMaturity {
			r.Matured = true
			w.pending[k] = r
			w.facts = append(w.facts, r.PayoutReceived)
		}
		if tip-r.Height > deepest {
			delete(w.pending, k)
		}
	}
}

// tip returns the height of the newest block, of a node that can be believed.
func (w *walk) tip(ctx context.Context) (int64, error) {
	if !w.checked {
		var genesis string
		if _, err := w.c.Client.Call(ctx, "getblockhash", &genesis, 0); err != nil {
			return 0, err
		}
		if genesis != geneses()[w.c.Network] {
			return 0, fmt.Errorf("node is not on the network %s: its first block is %.64s", w.c.Network, genesis)
		}
		w.checked = true
	}
	var info struct {
		Blocks  int64 `json:"blocks"`
		Headers int64 `json:"headers"`
		Initial bool  `json:"initialblockdownload"` // Core
	}
	if _, err := w.c.Client.Call(ctx, "getblockchaininfo", &info); err != nil {
		return 0, err
	}
	header, err := w.header(ctx, info.Blocks)
	if err != nil {
		return 0, err
	}
	newest, now := domain.Unix(header.Time), w.c.Now()
	switch {
	case info.Initial || info.Headers > info.Blocks+int64(w.c.Confirmations):
		return 0, fmt.Errorf("node is syncing: it has %d of %d blocks; what is in the others is not known", info.Blocks, info.Headers)
	case newest > now.Add(maxAhead):
		return 0, fmt.Errorf("block %d has the time %s, further ahead of the clock, %s, than the network accepts; check both clocks", info.Blocks, newest, now)
	case newest < now.Add(-behind):
		return 0, fmt.Errorf("node is syncing, or cut off: its newest block, %d, is of %s", info.Blocks, newest)
	}
	return info.Blocks, nil
}

type header struct {
	Time int64 `json:"time"`
}

// header returns the header of the block at a height.
func (w *walk) header(ctx context.Context, height int64) (h header, err error) {
	hash, err := w.hash(ctx, height)
	if err != nil {
		return h, err
	}
	_, err = w.c.Client.Call(ctx, "getblockheader", &h, hash, true)
	return h, err
}

func (w *walk) hash(ctx context.Context, height int64) (hash string, err error) {
	_, err = w.c.Client.Call(ctx, "getblockhash", &hash, height)
	if err == nil && !isID(hash) {
		err = fmt.Errorf("node names block %d %.70q", height, hash)
	}
	return hash, err
}

func (w *walk) block(ctx context.Context, height int64) (b block, raw json.RawMessage, err error) {
	hash, err := w.hash(ctx, height)
	if err != nil {
		return b, nil, err
	}
	if raw, err = w.c.Client.Call(ctx, "getblock", nil, hash, 2); err != nil {
		return b, nil, err
	}
	b, err = parseBlock(raw)
	if err == nil && (b.Hash != hash || b.Height != height) {
		err = fmt.Errorf("node gives block %s at %d for %s at %d", b.Hash, b.Height, hash, height)
	}
	if err != nil {
		return b, nil, &badBlock{err, raw}
	}
	return b, raw, nil
}

// fork forgets the walked blocks that are not on the node's branch any more,
// and returns what they paid.
func (w *walk) fork(ctx context.Context, tip int64) (undone []receipt, err error) {
	for n := len(w.walked); n > 0; n-- {
		height := w.bottom + int64(n) - 1
		same := false
		if height <= tip {
			hash, err := w.hash(ctx, height)
			if err != nil && !missing(err) {
				return nil, err
			}
			same = err == nil && hash == w.walked[n-1].id
		}
		if same {
			break
		}
		if w.walked = w.walked[:n-1]; n == 1 { // of what lies deeper, what is on record is asked for below
			w.c.Logger.Warn("node has another branch than was walked", "source", w.c.Name, "from", w.bottom)
			w.walked = nil
		}
	}
	// What is on record of blocks that were not walked since the start is asked
	// for by its block.
	stale := map[string]bool{}
	for _, k := range slices.Sorted(maps.Keys(w.pending)) {
		r := w.pending[k]
		at := r.Height - w.bottom
		if len(w.walked) > 0 && at >= 0 && at < int64(len(w.walked)) && w.walked[at].id == r.Block {
			continue
		}
		if len(w.walked) > 0 && at < 0 {
			continue // below what is walked: it was asked for at the start
		}
		gone, asked := stale[r.Block]
		if !asked {
			// Core says −1 confirmations of a block that is undone and btcd that
			// it is not there; both tell which block is at its height.
			hash, err := w.hash(ctx, r.Height)
			if err != nil && !missing(err) {
				return nil, err
			}
			gone = err != nil || hash != r.Block
			stale[r.Block] = gone
		}
		if gone {
			undone = append(undone, r)
		}
	}
	return undone, nil
}

// missing reports whether the node says that there is no such block.
func missing(err error) bool {
	var e *RPCError
	return errors.As(err, &e) && (e.Code == codeNotFound || e.Code == codeNoHeight || e.Code == codeNoNumber)
}
