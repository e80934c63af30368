package pool

import (
	"context"
	"fmt"
	"net/url"

	"wattbook/domain"
)

// binancePage is how many rows a page has.
const binancePage = 200

// fetchBinance asks GET /sapi/v1/mining/payment/list, page after page. Requests
// are signed: HMAC-SHA256 of the query.
func fetchBinance(ctx context.Context, a *asking) error {
	milliseconds := func(t domain.Instant) string { return fmt.Sprint(int64(t) / int64(domain.Millisecond)) }
	for n, got := 1, 0; ; n++ {
		query := url.Values{
			"algo": {"sha256"}, "userName": {a.c.Subaccount}, "coin": {"BTC"}, "pageIndex": {fmt.Sprint(n)}, "pageSize": {fmt.Sprint(binancePage)},
			"startDate": {milliseconds(a.from)}, "endDate": {milliseconds(a.to)}, "timestamp": {milliseconds(a.c.Now())},
		}.Encode()
		p, err := a.get(ctx, "payment", "/sapi/v1/mining/payment/list?"+query+"&signature="+sign(a.client.secret.open(), query))
		if err != nil {
			return err
		}
		d := &decoding{}
		reply := d.binanceReply(p)
		if reply == nil || len(*reply.Rows) == 0 {
			return nil
		}
		got += len(*reply.Rows)
		if more, err := counted(reply.Total, got); err != nil || !more {
			return nil //nolint:nilerr // decoding the page says what is wrong with it
		}
	}
}

type binanceList struct {
	Total number        `json:"totalNum"`
	Rows  *[]binanceRow `json:"accountProfits"`
}

// binanceRow is what a day earned in one way. Amounts are numbers in BTC with
// more digits than there are; a day begins at its time, which is midnight in
// UTC+8.
type binanceRow struct {
	Time     number `json:"time"` // milliseconds
	Type     int64  `json:"type"`
	Hashrate number `json:"dayHashRate"`
	Amount   number `json:"profitAmount"`
	Coin     string `json:"coinName"`
	Status   int64  `json:"status"`
}

func (d *decoding) binanceReply(p page) *binanceList {
	var l binanceList
	if d.data(p, &l); l.Rows == nil {
		d.refuse("reply to %s has no accountProfits", p.name)
		return nil
	}
	return &l
}

// decodeBinance sums the rows of a day: what its work earned, and beside it
// what was bought or sold of hashrate.
func decodeBinance(pages []page, d *decoding) {
	days := map[domain.Instant]*domain.PoolStatementReceived{}
	doubtful := map[domain.Instant]bool{}
	var order []domain.Instant
	rows := 0
	for k, p := range pages {
		reply := d.binanceReply(p)
		if reply == nil {
			return
		}
		rows += len(*reply.Rows)
		more, err := counted(reply.Total, rows)
		if err != nil || more && k == len(pages)-1 {
			d.refuse("reply ends after %d rows of %s", rows, reply.Total.value)
			return
		}
		for i, row := range *reply.Rows {
			if row.Coin != "BTC" {
				d.refuse("reply is about the coin %.40q, want BTC", row.Coin)
				return
			}
			at, err := number{value: row.Time.value.Shift(-3), there: row.Time.there, err: row.Time.err}.seconds()
			if err != nil {
				d.refuse("row %d: time: %w: the day that it belongs to cannot be told", i+1, err)
				return
			}
			s := days[at]
			if s == nil {
				s = &domain.PoolStatementReceived{NetOnly: true}
				s.Interval, err = d.day(at)
				days[at] = s
				order = append(order, at)
			}
			if err == nil {
				err = row.add(s)
			}
			if err != nil { // a sum without it would be no statement of the day
				doubtful[at] = true
				d.bad(p.name, i, err)
			}
		}
	}
	for _, at := range order {
		if !doubtful[at] {
			d.add(*days[at])
		}
	}
}

func (r binanceRow) add(s *domain.PoolStatementReceived) error {
	amount, err := r.Amount.satoshi()
	if err != nil {
		return fmt.Errorf("profitAmount: %w", err)
	}
	hashrate, err := rate(r.Hashrate)
	if err != nil {
		return fmt.Errorf("dayHashRate: %w", err)
	}
	s.Net += amount
	s.Credits++
	switch r.Type {
	case 0, 5, 7, 8: // own work, to the wallet, an address, savings or another account
		s.Hashrate = s.Hashrate.Add(hashrate)
	case 31, 32, 33: // transferred income, and hashrate that was sold
		s.Other += amount
	default:
		return fmt.Errorf("type %d is not known", r.Type)
	}
	return nil
}
