package pool

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"wattbook/domain"
)

// fetchBraiins asks for daily rewards and for payouts.
func fetchBraiins(ctx context.Context, a *asking) error {
	query := url.Values{"from": {a.from.Time().Format(time.DateOnly)}, "to": {a.to.Time().Format(time.DateOnly)}}.Encode()
	for _, p := range [][2]string{{"rewards", "/accounts/rewards/json/btc?"}, {"payouts", "/accounts/payouts/json/btc?"}} {
		if _, err := a.get(ctx, p[0], p[1]+query); err != nil {
			return err
		}
	}
	return nil
}

// braiinsPayout is a payout; times are in seconds and amounts in satoshi, both
// at times as strings.
type braiinsPayout struct {
	Requested   number `json:"requested_at_ts"`
	Resolved    number `json:"resolved_at_ts"`
	Status      string `json:"status"`
	Amount      number `json:"amount_sats"`
	Fee         number `json:"fee_sats"`
	Destination string `json:"destination"`
	Transaction string `json:"tx_id"`
	Invoice     string `json:"invoice"`
	Preimage    string `json:"preimage"`
}

func decodeBraiins(pages []page, d *decoding) {
	for _, p := range pages {
		if p.name == "rewards" {
			d.braiinsRewards(p)
			continue
		}
		var reply struct {
			Chain     *[]braiinsPayout `json:"onchain"`
			Lightning *[]braiinsPayout `json:"lightning"`
		}
		if !d.reply(p, &reply) {
			return
		}
		if reply.Chain == nil && reply.Lightning == nil {
			d.refuse("reply to %s has no list of payouts", p.name)
			return
		}
		if reply.Chain != nil {
			for i, b := range *reply.Chain {
				d.braiinsPayout(i, b, domain.RailChain)
			}
		}
		if reply.Lightning != nil {
			for i, b := range *reply.Lightning {
				d.braiinsPayout(i, b, domain.RailLightning)
			}
		}
	}
}

// braiinsRewards reads the days. Amounts are decimal strings in BTC; the mining
// reward is after the fee, and a rebate of it stands beside it.
func (d *decoding) braiinsRewards(p page) {
	var reply struct {
		BTC *struct {
			Days *[]struct {
				Date    number `json:"date"`
				Total   number `json:"total_reward"`
				Mining  number `json:"mining_reward"`
				OS      number `json:"bos_plus_reward"`
				Bonus   number `json:"referral_bonus"`
				Reward  number `json:"referral_reward"`
				Shares  number `json:"shares"`
				Settled number `json:"calculation_date"`
			} `json:"daily_rewards"`
		} `json:"btc"`
	}
	if !d.reply(p, &reply) {
		return
	}
	if reply.BTC == nil || reply.BTC.Days == nil {
		d.refuse("reply to %s has no daily_rewards in btc", p.name)
		return
	}
	for i, row := range *reply.BTC.Days {
		s := domain.PoolStatementReceived{NetOnly: true}
		at, err := row.Date.seconds()
		if err == nil {
			s.Interval, err = d.day(at)
		}
		if err != nil {
			d.bad(p.name, i, fmt.Errorf("date: %w", err))
			continue
		}
		for _, part := range []struct {
			name string
			from number
			to   *domain.Satoshi
			must bool
		}{{"total_reward", row.Total, &s.Net, true}, {"bos_plus_reward", row.OS, &s.Other, false}, {"referral_bonus", row.Bonus, &s.Other, false}, {"referral_reward", row.Reward, &s.Other, false}} {
			var v domain.Satoshi
			if v, err = part.from.optional(); err == nil && part.must && !part.from.there {
				err = fmt.Errorf("there is none")
			}
			if err != nil {
				err = fmt.Errorf("%s: %w", part.name, err)
				break
			}
			*part.to += v
		}
		if err == nil && row.Shares.there {
			s.Shares, err = shares(row.Shares)
		}
		if err != nil {
			d.bad(p.name, i, err)
			continue
		}
		d.add(s)
	}
}

// shares returns an amount of share difficulty, cut to 1e-8.
func shares(n number) (domain.ShareDifficulty, error) {
	if n.err != nil {
		return domain.ShareDifficulty{}, n.err
	}
	v, err := whole(n.value.Shift(8))
	return domain.ShareDifficulty{Int128: v}, err
}

// sats returns a whole number of satoshi.
func sats(n number) (domain.Satoshi, error) {
	if err := n.check(); err != nil {
		return 0, err
	}
	amount, exact, err := satoshi(n.value.Shift(-8))
	if err == nil && !exact {
		err = fmt.Errorf("%.40s is not a whole number of satoshi", n.value)
	}
	return amount, err
}

func (d *decoding) braiinsPayout(n int, b braiinsPayout, rail domain.PayoutRail) {
	status, ok := map[string]domain.PayoutStatus{
		"queued": domain.PayoutPending, "confirmed": domain.PayoutPaid, "failed": domain.PayoutFailed,
	}[b.Status]
	p := domain.PoolPayoutStated{Rail: rail, Status: status, Transaction: strings.ToLower(b.Transaction), Address: b.Destination}
	if !ok {
		d.bad("payout", n, fmt.Errorf("status %.40q is none of queued, confirmed and failed", b.Status))
		return
	}
	requested, err := b.Requested.seconds()
	if err == nil {
		p.At = requested
		if b.Resolved.there {
			p.At, err = b.Resolved.seconds()
		}
	}
	if err == nil {
		p.Amount, err = sats(b.Amount)
	}
	if err == nil && b.Fee.there {
		p.NetworkFee, err = sats(b.Fee)
	}
	if err != nil {
		d.bad("payout", n, err)
		return
	}
	// A payout has no id; when it was asked for, how and how much is one. The
	// invoice and the preimage of Lightning prove it, and stay in the evidence.
	p.Reference = fmt.Sprintf("%s.%d.%d", rail, int64(requested)/int64(domain.Second), p.Amount)
	d.pay(n, p)
}
