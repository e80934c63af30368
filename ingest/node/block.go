package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"wattbook/domain"
	"wattbook/ingest"
)

// block is what is read of a block (getblock, verbosity 2). Core names its
// transactions tx and btcd rawtx.
type block struct {
	Hash     string        `json:"hash"`
	Height   int64         `json:"height"`
	Time     int64         `json:"time"`
	Bits     string        `json:"bits"`
	Previous string        `json:"previousblockhash"`
	Core     []transaction `json:"tx"`
	Btcd     []transaction `json:"rawtx"`
}

func (b block) transactions() []transaction {
	if len(b.Core) > 0 {
		return b.Core
	}
	return b.Btcd
}

type transaction struct {
	ID  string `json:"txid"`
	Ins []struct {
		Coinbase    *string `json:"coinbase"`
		Transaction string  `json:"txid"`
		Output      int64   `json:"vout"`
	} `json:"vin"`
	Outs []struct {
		Value  json.Number `json:"value"`
		Script struct {
			Address   string   `json:"address"`
			Addresses []string `json:"addresses"`
		} `json:"scriptPubKey"`
	} `json:"vout"`
}

// generation reports whether the transaction is a coinbase.
func (t transaction) generation() bool { return len(t.Ins) == 1 && t.Ins[0].Coinbase != nil }

// spends returns the outputs that the transaction spends.
func (t transaction) spends() (all []string) {
	for _, in := range t.Ins {
		if in.Coinbase == nil {
			all = append(all, fmt.Sprintf("%s:%d", in.Transaction, in.Output))
		}
	}
	return all
}

// parseBlock reads a block and checks what no block can be.
func parseBlock(raw json.RawMessage) (b block, err error) {
	if err := json.Unmarshal(raw, &b); err != nil {
		return b, fmt.Errorf("block is not as documented: %w", err)
	}
	switch {
	case !isID(b.Hash):
		return b, fmt.Errorf("block %.70q has no id of 64 hexadecimal digits", b.Hash)
	case b.Height < 0 || b.Time <= 0 || b.Time > 253_402_300_799:
		return b, fmt.Errorf("block %s is at height %d and time %d", b.Hash, b.Height, b.Time)
	case len(b.transactions()) == 0:
		return b, fmt.Errorf("block %s has no transactions; the node must serve getblock with verbosity 2", b.Hash)
	case !b.transactions()[0].generation():
		return b, fmt.Errorf("block %s does not begin with a coinbase", b.Hash)
	}
	for _, t := range b.transactions() {
		if !isID(t.ID) {
			return b, fmt.Errorf("block %s has a transaction %.70q", b.Hash, t.ID)
		}
	}
	return b, nil
}

func isID(s string) bool { return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == "" }

// receipt is what a transaction pays to an address.
type receipt struct {
	domain.PayoutReceived
	spends []string
}

// receipts returns what a block pays to the payees: the outputs of one
// transaction to one address are one receipt.
func (b block) receipts(payees map[string]Payee) (all []receipt, err error) {
	for _, t := range b.transactions() {
		sums := map[string]domain.Satoshi{}
		var order []string
		for i, out := range t.Outs {
			address, ok := paid(out.Script.Address, out.Script.Addresses, payees)
			if !ok {
				continue
			}
			amount, err := satoshi(out.Value)
			if err == nil && amount < 0 {
				err = errors.New("amount is negative")
			}
			if err != nil {
				return nil, fmt.Errorf("output %d of transaction %s: %w", i, t.ID, err)
			}
			if _, more := sums[address]; !more {
				order = append(order, address)
			}
			if sums[address] += amount; sums[address] > 21_000_000*domain.Bitcoin {
				return nil, fmt.Errorf("transaction %s pays more than there can be", t.ID)
			}
		}
		for _, address := range order {
			if sums[address] == 0 {
				continue
			}
			p := payees[address]
			all = append(all, receipt{domain.PayoutReceived{
				Pool: p.Pool, Account: p.Account, Transaction: t.ID, Address: p.Address, At: domain.Unix(b.Time), Amount: sums[address],
				Block: b.Hash, Height: b.Height, Generation: t.generation(),
			}, t.spends()})
		}
	}
	return all, nil
}

// paid returns the watched address that an output pays to. An output to several
// keys (bare multisig) is nobody's.
func paid(one string, several []string, payees map[string]Payee) (string, bool) {
	if one == "" && len(several) == 1 {
		one = several[0]
	}
	key := canonical(one)
	_, ok := payees[key]
	return key, ok
}

// canonical returns an address as it compares: bech32 is the same in capital
// letters.
func canonical(address string) string {
	if lower := strings.ToLower(address); strings.HasPrefix(lower, "bc1") || strings.HasPrefix(lower, "tb1") || strings.HasPrefix(lower, "bcrt1") || strings.HasPrefix(lower, "sb1") {
		return lower
	}
	return address
}

// DecodeBlock draws from a block of a node, as it was received, what it pays to
// the payees.
func DecodeBlock(raw []byte, payees []Payee) (ingest.Facts, error) {
	known, err := watched(payees)
	if err != nil {
		return nil, err
	}
	b, err := parseBlock(raw)
	if err != nil {
		return nil, err
	}
	all, err := b.receipts(known)
	if err != nil {
		return nil, err
	}
	var facts ingest.Facts
	for _, r := range all {
		facts = append(facts, r.PayoutReceived)
	}
	return facts, nil
}
