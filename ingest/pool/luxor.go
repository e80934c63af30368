package pool

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"wattbook/domain"
)

// The queries of Luxor's GraphQL interface: days of an account, newest first,
// and what was paid.
const (
	luxorDays = `query days($uname: String!, $first: Int!, $offset: Int!) {
  getHashrateScoreHistory(mpn: BTC, uname: $uname, first: $first, offset: $offset, orderBy: DATE_DESC) {
    totalCount nodes { date hashrate revenue efficiency uptimePercentage }
  }
}`
	luxorPaid = `query paid($uname: String!, $first: Int!, $offset: Int!) {
  getTransactionHistory(cid: BTC, uname: $uname, first: $first, offset: $offset) {
    totalCount nodes { rowId createdAt amount status transactionId address }
  }
}`
	luxorPage = 100
)

// fetchLuxor asks for as many days as are looked back on, and for the newest
// payments.
func fetchLuxor(ctx context.Context, a *asking) error {
	days := int(a.to.Sub(a.from)/domain.Day) + 1
	for offset := 0; offset < days; offset += luxorPage {
		if err := a.luxor(ctx, "days", luxorDays, min(luxorPage, days-offset), offset); err != nil {
			return err
		}
	}
	return a.luxor(ctx, "paid", luxorPaid, luxorPage, 0)
}

func (a *asking) luxor(ctx context.Context, name, query string, first, offset int) error {
	body, err := json.Marshal(map[string]any{
		"query": query, "variables": map[string]any{"uname": a.c.Subaccount, "first": first, "offset": offset},
	})
	if err != nil {
		return err
	}
	_, err = a.ask(ctx, name, http.MethodPost, "/graphql", "application/json", body)
	return err
}

type luxorDay struct {
	Date     string `json:"date"`
	Hashrate number `json:"hashrate"` // hashes per second
	Revenue  number `json:"revenue"`  // BTC, after the fee
}

type luxorPayment struct {
	ID          json.RawMessage `json:"rowId"`
	At          string          `json:"createdAt"`
	Amount      number          `json:"amount"`
	Status      string          `json:"status"`
	Transaction string          `json:"transactionId"`
	Address     string          `json:"address"`
}

func decodeLuxor(pages []page, d *decoding) {
	for _, p := range pages {
		var reply struct {
			Errors []struct {
				Message string `json:"message"`
			} `json:"errors"`
			Data struct {
				Days *struct {
					Nodes *[]luxorDay `json:"nodes"`
				} `json:"getHashrateScoreHistory"`
				Paid *struct {
					Nodes *[]luxorPayment `json:"nodes"`
				} `json:"getTransactionHistory"`
			} `json:"data"`
		}
		if !d.reply(p, &reply) {
			return
		}
		switch days, paid := reply.Data.Days, reply.Data.Paid; {
		case len(reply.Errors) > 0: // with status 200
			d.refuse("pool answers %s with an error: %.100q", p.name, reply.Errors[0].Message)
			return
		case days != nil && days.Nodes != nil:
			for i, row := range *days.Nodes {
				d.luxorDay(p.name, i, row)
			}
		case paid != nil && paid.Nodes != nil:
			for i, row := range *paid.Nodes {
				d.luxorPaid(i, row)
			}
		default:
			d.refuse("reply to %s has no nodes", p.name)
			return
		}
	}
}

func (d *decoding) luxorDay(name string, n int, row luxorDay) {
	s := domain.PoolStatementReceived{NetOnly: true}
	var err error
	if s.Interval, err = d.date(row.Date); err == nil {
		s.Net, err = row.Revenue.satoshi()
	}
	if err == nil {
		s.Hashrate, err = rate(row.Hashrate)
	}
	if err != nil {
		d.bad(name, n, err)
		return
	}
	d.add(s)
}

func (d *decoding) luxorPaid(n int, row luxorPayment) {
	amount, err := row.Amount.satoshi()
	if err != nil {
		d.bad("payout", n, fmt.Errorf("amount: %w", err))
		return
	}
	if amount < 0 { // what leaves the balance is negative in some accounts
		amount = -amount
	}
	at, err := luxorTime(row.At)
	if err != nil {
		d.bad("payout", n, fmt.Errorf("createdAt: %w", err))
		return
	}
	p := domain.PoolPayoutStated{
		Reference: strings.Trim(string(row.ID), `"`), Rail: domain.RailChain, Status: domain.PayoutPaid, At: at, Amount: amount,
		Transaction: strings.ToLower(row.Transaction), Address: row.Address,
	}
	switch {
	case strings.EqualFold(row.Status, "failed"):
		p.Status = domain.PayoutFailed
	case p.Transaction == "":
		p.Status = domain.PayoutPending
	}
	d.pay(n, p)
}

// luxorTime reads a time, which is UTC if it names no zone.
func luxorTime(text string) (domain.Instant, error) {
	if t, err := time.Parse("2006-01-02T15:04:05.999999999", text); err == nil {
		return domain.At(t), nil
	}
	return domain.ParseInstant(text)
}
