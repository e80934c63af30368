package pool

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"wattbook/domain"
)

// fetchOcean asks GET /v1/earnpay/{user}/{start}/{end}, in seconds.
func fetchOcean(ctx context.Context, a *asking) error {
	from, to := int64(a.from)/int64(domain.Second), int64(a.to)/int64(domain.Second)
	_, err := a.get(ctx, fmt.Sprintf("earnpay/%d/%d", from, to), fmt.Sprintf("/v1/earnpay/%s/%d/%d", url.PathEscape(a.c.Subaccount), from, to))
	return err
}

// oceanEarnings is what a block of the pool earned the account. Numbers are
// often strings, and one name is misspelled.
type oceanEarnings struct {
	Block  string `json:"block_hash"`
	At     number `json:"ts"`
	Shares number `json:"shares_in_window"`
	Fees   number `json:"fees_colected_satoshis"`
	Fixed  number `json:"fees_collected_satoshis"` // should they mend it
	Net    number `json:"satoshis_net_earned"`
}

type oceanPayout struct {
	At          number `json:"ts"`
	Transaction string `json:"on_chain_txid"`
	Amount      number `json:"total_satoshis_net_paid"`
	Generation  truth  `json:"is_generation_txn"`
}

// truth is true, "true" or 1.
type truth bool

// UnmarshalJSON reads what truth stands for.
func (t *truth) UnmarshalJSON(b []byte) error {
	*t = truth(strings.Trim(strings.ToLower(string(b)), `"`) == "true" || string(b) == "1")
	return nil
}

// decodeOcean sums what blocks earned by UTC day. The pool pays by blocks: of
// a day in which it found none it says nothing, and what it owes for that is
// nothing, since the reply covers it.
func decodeOcean(pages []page, d *decoding) {
	if len(pages) != 1 {
		d.refuse("evidence has %d pages, want 1", len(pages))
		return
	}
	type body struct {
		Earnings *[]oceanEarnings `json:"earnings"`
		Payouts  *[]oceanPayout   `json:"payouts"`
	}
	var reply struct {
		body
		Result *body  `json:"result"`
		Error  string `json:"error"`
	}
	if !d.reply(pages[0], &reply) {
		return
	}
	if reply.Result != nil {
		reply.body = *reply.Result
	}
	if reply.Earnings == nil || reply.Payouts == nil {
		d.refuse("reply has no earnings and payouts: %.100q", reply.Error)
		return
	}
	days := map[domain.Instant]*domain.PoolStatementReceived{}
	doubtful := map[domain.Instant]bool{}
	first, last, err := oceanWindow(pages[0].name)
	if err != nil {
		d.refuse("%w", err)
		return
	}
	last = min(last, d.observed.Floor(domain.Day)) // of days to come, nothing is known
	for day := first; day <= last; day = day.Add(domain.Day) {
		days[day] = &domain.PoolStatementReceived{Interval: domain.Interval{Start: day, End: day.Add(domain.Day)}, Unsplit: true}
	}
	seen := map[string]bool{}
	for i, e := range *reply.Earnings {
		at, err := e.At.seconds()
		if err != nil {
			d.refuse("earnings %d: ts: %w: the day that they belong to cannot be told", i+1, err)
			return
		}
		s := days[at.Floor(domain.Day)]
		switch {
		case at > d.observed:
			err = fmt.Errorf("block of %s is still to come", at)
		case s == nil:
			err = fmt.Errorf("block of %s is outside what was asked for", at)
		case seen[e.Block]:
			err = fmt.Errorf("block %.70q is there twice", e.Block)
		default:
			err = e.add(s)
		}
		seen[e.Block] = true
		if err != nil { // a sum without it would be no statement of the day
			doubtful[at.Floor(domain.Day)] = true
			d.bad("earnings", i, err)
		}
	}
	for day := first; day <= last; day = day.Add(domain.Day) {
		if !doubtful[day] {
			d.add(*days[day])
		}
	}
	for i, p := range *reply.Payouts {
		d.oceanPayout(i, p)
	}
}

func (e oceanEarnings) add(s *domain.PoolStatementReceived) error {
	net, err := sats(e.Net)
	if err != nil {
		return fmt.Errorf("satoshis_net_earned: %w", err)
	}
	fees := e.Fees
	if !fees.there {
		fees = e.Fixed
	}
	fee, err := sats(fees)
	if err != nil {
		return fmt.Errorf("fees_colected_satoshis: %w", err)
	}
	s.Net += net
	s.PoolFee += fee
	s.Subsidy += net + fee
	s.Credits++
	return nil
}

// oceanWindow returns the first and the last UTC day that a page covers.
func oceanWindow(name string) (first, last domain.Instant, err error) {
	parts := strings.Split(name, "/")
	if len(parts) == 3 {
		from, err1 := strconv.ParseInt(parts[1], 10, 64)
		to, err2 := strconv.ParseInt(parts[2], 10, 64)
		if err1 == nil && err2 == nil && from >= 0 && from <= to && to < 253_402_300_799 && to-from <= 400*86_400 {
			return domain.Unix(from).Floor(domain.Day), domain.Unix(to).Floor(domain.Day), nil
		}
	}
	return 0, 0, fmt.Errorf("page %.60q does not name the time that it covers", name)
}

func (d *decoding) oceanPayout(n int, o oceanPayout) {
	p := domain.PoolPayoutStated{Rail: domain.RailChain, Status: domain.PayoutPaid, Transaction: strings.ToLower(o.Transaction), Reference: strings.ToLower(o.Transaction)}
	if o.Generation {
		p.Rail = domain.RailGeneration
	}
	var err error
	if p.At, err = o.At.seconds(); err == nil {
		p.Amount, err = sats(o.Amount)
	}
	if p.Reference == "" { // Lightning, and what is on its way
		p.Rail, p.Reference = domain.RailLightning, fmt.Sprintf("%d.%d", int64(p.At)/int64(domain.Second), p.Amount)
	}
	if err != nil {
		d.bad("payout", n, err)
		return
	}
	d.pay(n, p)
}
