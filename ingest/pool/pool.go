// Package pool reads what mining pools say that they owe.
//
// A [Foundry] source brings the daily earnings of a pool account into the one
// normal form of a statement, a [Statements] source those of seven other pools,
// with the payouts that these tell, and [ReadStatements] those of a table. A
// [Wallet] source brings the payouts that arrived on the addresses of accounts;
// [ReadPayouts] reads them from a file.
//
// No answer is no statement. A pool that is out of reach, refuses, or answers
// with something else, is unknown for that poll and never zero.
package pool

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"wattbook/domain"
)

// The decoders of this package, as deliveries name them.
const (
	FoundryDecoder = "foundry/1"
	WalletDecoder  = "wallet-csv/1"
)

// maxSupply bounds an amount of bitcoin.
const maxSupply = 21_000_000 * domain.Bitcoin

// satoshi returns an amount in bitcoin as satoshi, and whether it is a whole
// number of them; if it is not, it is rounded half away from zero.
func satoshi(btc domain.Decimal) (amount domain.Satoshi, exact bool, err error) {
	limit := maxSupply.BTC()
	if btc.Cmp(limit) > 0 || btc.Cmp(limit.Neg()) < 0 {
		return 0, false, fmt.Errorf("%.40s BTC are more than there can be", btc)
	}
	_, exact = btc.Scaled(8)
	v, _ := btc.Round(8).Scaled(8)
	return domain.Satoshi(v.Int64()), exact, nil
}

// whole returns v rounded half away from zero to an Int128 of at most
// [domain.ReadingLimit].
func whole(v domain.Decimal) (domain.Int128, error) {
	n, _ := v.Round(0).Scaled(0)
	if n.Sign() < 0 || n.Cmp(domain.ReadingLimit.Big()) > 0 {
		return domain.Int128{}, fmt.Errorf("%.40s is not between 0 and 2^96", v)
	}
	return domain.IntFromBig(n)
}

// checkFeed reports why an account cannot be asked for at an address, or nil.
func checkFeed(name domain.SourceID, pool domain.PoolID, account, address string, key Key) error {
	if err := domain.CheckID("name", name); err != nil {
		return err
	}
	if err := checkAccount(pool, account); err != nil {
		return err
	}
	return checkURL(address, key)
}

// checkAccount reports why a pool account cannot be booked, or nil.
func checkAccount(pool domain.PoolID, account string) error {
	if err := domain.CheckID("pool", pool); err != nil {
		return err
	}
	return domain.CheckID("account", account)
}

// checkURL reports why the address cannot be polled with the key, or nil. It
// does not repeat what may hold a secret.
func checkURL(address string, key Key) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return errors.New("url is not of the form https://host/path")
	}
	return key.check(u)
}

// window fills an interval into an address.
func window(template string, iv domain.Interval) string {
	return strings.NewReplacer(
		"{start}", url.QueryEscape(iv.Start.String()),
		"{end}", url.QueryEscape(iv.End.String()),
	).Replace(template)
}
