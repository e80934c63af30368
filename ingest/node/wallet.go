package node

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"wattbook/domain"
	"wattbook/ingest"
)

// WalletFollower is a source of receipts that asks a wallet of Bitcoin Core
// which watches the addresses: one call a poll, whatever the blocks hold.
type WalletFollower struct {
	f    *Follower // configuration, network check and what is on record
	last string    // block since which is asked
	at   domain.Instant
	told ingest.Delivery
}

var _ ingest.Source = (*WalletFollower)(nil)

// NewWalletFollower returns a follower of a wallet. The URL of its client names
// the wallet where the node has several: http://127.0.0.1:8332/wallet/NAME.
func NewWalletFollower(c Config) (*WalletFollower, error) {
	f, err := NewFollower(c)
	if err != nil {
		return nil, err
	}
	return &WalletFollower{f: f}, nil
}

// Remember is [Follower.Remember].
func (w *WalletFollower) Remember(recent []domain.PayoutReceived) { w.f.Remember(recent) }

// Name implements [ingest.Source].
func (w *WalletFollower) Name() domain.SourceID { return w.f.c.Name }

// Every implements [ingest.Source].
func (w *WalletFollower) Every() domain.Duration { return w.f.c.Every }

// sinceBlock is what listsinceblock answers.
type sinceBlock struct {
	Transactions []walletEntry `json:"transactions"`
	Removed      []walletEntry `json:"removed"`
	Last         string        `json:"lastblock"`
}

type walletEntry struct {
	Address       string      `json:"address"`
	Category      string      `json:"category"` // receive, generate, immature, orphan or send
	Amount        json.Number `json:"amount"`
	Output        int64       `json:"vout"`
	Confirmations int64       `json:"confirmations"` // negative: conflicts with one that is confirmed
	Block         string      `json:"blockhash"`
	Height        int64       `json:"blockheight"`
	Time          int64       `json:"blocktime"`
	ID            string      `json:"txid"`
	Conflicts     []string    `json:"walletconflicts"`
}

// Poll implements [ingest.Source]. The transactions that a reorganisation took
// out of the chain (removed) are taken back, those that are confirmed enough are
// delivered; see [Follower.Poll].
func (w *WalletFollower) Poll(ctx context.Context, at domain.Instant) (ingest.Delivery, error) {
	if at == w.at && w.at != 0 {
		return w.told, nil
	}
	k := &walk{Follower: w.f, pending: maps.Clone(w.f.pending)}
	tip, err := k.tip(ctx)
	if err != nil {
		return ingest.Delivery{}, fmt.Errorf("follow the wallet: %w", err)
	}
	var reply sinceBlock
	raw, err := w.f.c.Client.Call(ctx, "listsinceblock", &reply, w.last, w.f.c.Confirmations, true, true)
	if err != nil {
		return ingest.Delivery{}, fmt.Errorf("follow the wallet: %w", err)
	}
	d := ingest.Delivery{Source: w.f.c.Name, Observed: w.f.c.Now(), Decoder: Decoder}
	found, err := w.receipts(reply.Transactions)
	if err == nil && !isID(reply.Last) {
		err = fmt.Errorf("lastblock %.70q is not 64 hexadecimal digits", reply.Last)
	}
	if err != nil {
		d.Raw, d.Rejected = raw, []ingest.Rejection{{Reason: "listsinceblock: " + err.Error()}}
		return d, nil
	}
	k.deliver(w.undone(k, reply, found), found, conflicts(reply), tip)
	if len(k.facts) > 0 {
		d.Facts, d.Raw = k.facts, raw
	}
	w.f.pending, w.last, w.at, w.told = k.pending, reply.Last, at, d
	return d, nil
}

// receipts sums what confirmed transactions pay to each address.
func (w *WalletFollower) receipts(entries []walletEntry) (all []receipt, err error) {
	index := map[string]int{}
	seen := map[string]bool{}
	for _, e := range entries {
		p, ours := w.f.payees[canonical(e.Address)]
		if !ours || e.Category == "send" || e.Category == "orphan" || e.Confirmations < int64(w.f.c.Confirmations) {
			continue
		}
		amount, err := satoshi(e.Amount)
		if err == nil && (!isID(e.ID) || !isID(e.Block) || e.Time <= 0 || e.Height < 0 || amount < 0) {
			err = fmt.Errorf("transaction %.70q in block %.70q at height %d and time %d", e.ID, e.Block, e.Height, e.Time)
		}
		if err != nil {
			return nil, err
		}
		r := domain.PayoutReceived{
			Pool: p.Pool, Account: p.Account, Transaction: e.ID, Address: p.Address, At: domain.Unix(e.Time), Amount: amount,
			Block: e.Block, Height: e.Height, Generation: e.Category != "receive",
		}
		output := fmt.Sprintf("%s:%d", e.ID, e.Output)
		if i, more := index[key(r)]; more {
			if !seen[output] {
				all[i].Amount += amount
			}
		} else if amount > 0 {
			index[key(r)] = len(all)
			all = append(all, receipt{PayoutReceived: r, spends: []string{e.ID}})
		}
		seen[output] = true
	}
	return all, nil
}

// undone returns what was delivered of blocks that are not in the chain any
// more.
func (w *WalletFollower) undone(k *walk, reply sinceBlock, found []receipt) (all []receipt) {
	removed := map[string]bool{}
	for _, e := range reply.Removed {
		removed[e.ID] = true
	}
	for _, e := range reply.Transactions {
		if e.Confirmations < 0 || e.Category == "orphan" {
			removed[e.ID] = true
		}
	}
	now := map[string]string{}
	for _, r := range found {
		now[key(r.PayoutReceived)] = r.Block
	}
	for _, id := range slices.Sorted(maps.Keys(k.pending)) {
		r := k.pending[id]
		if block := now[id]; removed[r.Transaction] && block != r.Block || block != "" && block != r.Block {
			r.spends = []string{r.Transaction}
			all = append(all, r)
		}
	}
	return all
}

// conflicts returns, by a transaction, the one that took its place.
func conflicts(reply sinceBlock) map[string]string {
	by := map[string]string{}
	for _, e := range slices.Concat(reply.Removed, reply.Transactions) {
		for _, c := range e.Conflicts {
			if e.Confirmations < 1 && isID(c) {
				by[e.ID] = c
			}
		}
	}
	return by
}
