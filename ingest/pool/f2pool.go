package pool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"wattbook/domain"
)

// fetchF2Pool asks POST /v2/assets/transactions/list for what an account
// earned and was paid.
func fetchF2Pool(ctx context.Context, a *asking) error {
	for _, kind := range []string{"revenue", "payout"} {
		body, err := json.Marshal(map[string]any{
			"currency": "bitcoin", "mining_user_name": a.c.Subaccount, "type": kind,
			"start_time": int64(a.from) / int64(domain.Second), "end_time": int64(a.to) / int64(domain.Second),
		})
		if err != nil {
			return err
		}
		if _, err := a.ask(ctx, kind, http.MethodPost, "/v2/assets/transactions/list", "application/json", body); err != nil {
			return err
		}
	}
	return nil
}

// f2Transaction is a row of F2Pool's list. Amounts are in BTC, as doubles of
// up to 17 digits; tx_fee is income, not a fee.
type f2Transaction struct {
	ID      json.Number `json:"id"`
	Type    string      `json:"type"`
	Account string      `json:"mining_user_name"`
	Change  number      `json:"changed_balance"`
	Created number      `json:"created_at"`
	Mining  *struct {
		Date    number `json:"mining_date"`
		PPS     number `json:"pps"`
		PPSFee  number `json:"pps_fee_rate"`
		Fees    number `json:"tx_fee"`
		FeesFee number `json:"tx_fee_rate"`
		Rate    number `json:"hash_rate"`
	} `json:"mining_extra"`
	Payout *struct {
		Value       number `json:"value"`
		Address     string `json:"address"`
		Transaction string `json:"tx_id"`
		Paid        number `json:"paid_time"`
		Wallet      string `json:"wallet_type"`
		Tip         number `json:"tip"`
	} `json:"payout_extra"`
}

func decodeF2Pool(pages []page, d *decoding) {
	days := map[domain.Instant]*domain.PoolStatementReceived{}
	var order []domain.Instant
	for _, p := range pages {
		var reply struct {
			Code         *json.Number     `json:"code"`
			Message      string           `json:"msg"`
			Transactions *[]f2Transaction `json:"transactions"`
		}
		if !d.reply(p, &reply) {
			return
		}
		if reply.Transactions == nil {
			d.refuse("pool answers %s with an error: %.100q", p.name, reply.Message)
			return
		}
		for i, t := range *reply.Transactions {
			if t.Account != "" && t.Account != d.Subaccount {
				d.refuse("reply is about the account %.40q, want %q", t.Account, d.Subaccount)
				return
			}
			if t.Payout != nil {
				d.f2Payout(i, t)
				continue
			}
			s, err := d.f2Day(t)
			if err != nil {
				d.bad(p.name, i, err)
				continue
			}
			day := days[s.Interval.Start]
			if day == nil {
				day = &domain.PoolStatementReceived{Interval: s.Interval}
				days[s.Interval.Start] = day
				order = append(order, s.Interval.Start)
			}
			day.Subsidy += s.Subsidy
			day.Fees += s.Fees
			day.PoolFee += s.PoolFee
			day.Other += s.Other
			day.Net += s.Net
			if t.Mining != nil {
				day.Credits++
			}
			day.NetOnly = day.NetOnly || s.NetOnly
			if s.Hashrate.Cmp(day.Hashrate) > 0 {
				day.Hashrate = s.Hashrate
			}
		}
	}
	for _, start := range order {
		d.add(*days[start])
	}
}

// f2Day reads a row of revenue. The rate of the pool's fee says whether pps and
// tx_fee are before or after it: what the balance changed by decides.
func (d *decoding) f2Day(t f2Transaction) (s domain.PoolStatementReceived, err error) {
	if !strings.HasPrefix(t.Type, "revenue") {
		return s, fmt.Errorf("type %.40q is neither a revenue nor a payout", t.Type)
	}
	if s.Net, err = t.Change.satoshi(); err != nil {
		return s, fmt.Errorf("changed_balance: %w", err)
	}
	when := t.Created
	if t.Mining != nil {
		when = t.Mining.Date
	}
	at, err := when.seconds()
	if err != nil {
		return s, fmt.Errorf("mining_date or created_at: %w", err)
	}
	if t.Mining == nil { // a bonus, at any time of its day
		s.Interval, err = d.day(at.Floor(domain.Day))
		s.Other = s.Net
		return s, err
	}
	if s.Interval, err = d.day(at); err != nil {
		return s, fmt.Errorf("mining_date: %w", err)
	}
	if s.Hashrate, err = rate(t.Mining.Rate); err != nil {
		return s, fmt.Errorf("hash_rate: %w", err)
	}
	var kept domain.Satoshi
	for _, part := range []struct {
		name   string
		amount number
		rate   number
		to     *domain.Satoshi
	}{{"pps", t.Mining.PPS, t.Mining.PPSFee, &s.Subsidy}, {"tx_fee", t.Mining.Fees, t.Mining.FeesFee, &s.Fees}} {
		if *part.to, err = part.amount.optional(); err != nil {
			return s, fmt.Errorf("%s: %w", part.name, err)
		}
		if !part.rate.there {
			continue
		}
		if part.rate.err != nil || part.rate.value.Sign() < 0 || part.rate.value.Cmp(domain.NewDecimal(1, 0)) >= 0 {
			return s, errors.New("fee rate is not a portion from 0 to below 1")
		}
		fee, _, err := satoshi(domain.NewDecimal(int64(*part.to), -8).Mul(part.rate.value))
		if err != nil {
			return s, err
		}
		kept += fee
	}
	s.PoolFee = kept
	if net := s.Subsidy + s.Fees; kept != 0 && within(s.Net, net, 2) {
		// They are after the fee: what was before it is not told.
		s.Subsidy, s.Fees, s.PoolFee, s.NetOnly = 0, 0, 0, true
		return s, nil
	}
	s.Other = s.Net - (s.Subsidy + s.Fees - s.PoolFee)
	return s, nil
}

// within reports whether two amounts are no further apart than that.
func within(a, b, most domain.Satoshi) bool { return a-b <= most && b-a <= most }

// f2Payout reads a row of a payout, whose change is negative.
func (d *decoding) f2Payout(n int, t f2Transaction) {
	p := domain.PoolPayoutStated{
		Reference: t.ID.String(), Rail: domain.RailChain, Status: domain.PayoutPaid,
		Transaction: strings.ToLower(t.Payout.Transaction), Address: t.Payout.Address,
	}
	var err error
	if p.Amount, err = t.Payout.Value.satoshi(); err != nil {
		d.bad("payout", n, fmt.Errorf("value: %w", err))
		return
	}
	if p.NetworkFee, err = t.Payout.Tip.optional(); err != nil {
		d.bad("payout", n, fmt.Errorf("tip: %w", err))
		return
	}
	if p.At, err = t.Payout.Paid.seconds(); err != nil {
		if p.At, err = t.Created.seconds(); err != nil {
			d.bad("payout", n, fmt.Errorf("paid_time and created_at: %w", err))
			return
		}
		p.Status = domain.PayoutPending
	}
	if p.Transaction == "" {
		p.Rail = domain.RailInternal
	}
	if strings.Contains(strings.ToLower(t.Payout.Wallet), "lightning") {
		p.Rail = domain.RailLightning
	}
	d.pay(n, p)
}
