package pool

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"wattbook/domain"
)

// fetchViaBTC asks GET /res/openapi/v1/profit/history, page after page. Its
// days are those of UTC+8 unless utc=true is asked for.
func fetchViaBTC(ctx context.Context, a *asking) error {
	for n := 1; ; n++ {
		query := url.Values{
			"coin": {"BTC"}, "page": {fmt.Sprint(n)}, "limit": {"50"},
			"start_date": {a.from.Time().In(a.c.Zone).Format(time.DateOnly)}, "end_date": {a.to.Time().In(a.c.Zone).Format(time.DateOnly)},
		}
		if a.c.Zone == time.UTC {
			query.Set("utc", "true")
		}
		p, err := a.get(ctx, "profit", "/res/openapi/v1/profit/history?"+query.Encode())
		if err != nil {
			return err
		}
		d := &decoding{}
		if reply := d.viaReply(p); reply == nil || !reply.More {
			return nil
		}
	}
}

// viaPage is a page of profits.
type viaPage struct {
	More bool `json:"has_next"`
	Rows *[]struct {
		Coin     string `json:"coin"`
		Date     string `json:"date"`
		Hashrate number `json:"hashrate"`
		Total    number `json:"total_profit"`
	} `json:"data"`
}

// viaReply reads a page, or refuses it and returns nil.
func (d *decoding) viaReply(p page) *viaPage {
	var v viaPage
	if d.data(p, &v); v.Rows == nil {
		d.refuse("reply to %s has no data", p.name)
		return nil
	}
	return &v
}

// decodeViaBTC takes the total of a day; the parts that its schemes paid are
// in it, all after the fee.
func decodeViaBTC(pages []page, d *decoding) {
	for k, p := range pages {
		reply := d.viaReply(p)
		if reply == nil {
			return
		}
		if reply.More != (k < len(pages)-1) {
			d.refuse("page %d of %d says has_next %t", k+1, len(pages), reply.More)
			return
		}
		for i, row := range *reply.Rows {
			if row.Coin != "" && row.Coin != "BTC" {
				d.refuse("reply is about the coin %.40q, want BTC", row.Coin)
				return
			}
			s := domain.PoolStatementReceived{NetOnly: true}
			var err error
			if s.Interval, err = d.date(row.Date); err == nil {
				s.Net, err = row.Total.satoshi()
			}
			if err == nil {
				s.Hashrate, err = rate(row.Hashrate)
			}
			if err != nil {
				d.bad(p.name, i, err)
				continue
			}
			d.add(s)
		}
	}
}

// counted reports whether a page that says how many rows there are in all
// leaves some out, and refuses counts that cannot be.
func counted(total number, got int) (more bool, err error) {
	if err := total.check(); err != nil {
		return false, fmt.Errorf("number of rows: %w", err)
	}
	v, exact := total.value.Scaled(0)
	if !exact || !v.IsInt64() || v.Sign() < 0 {
		return false, errors.New("number of rows is not one")
	}
	return v.Int64() > int64(got), nil
}
