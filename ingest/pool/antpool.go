package pool

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"wattbook/domain"
)

// fetchAntpool asks POST /api/paymentHistoryV2.htm for what an account earned
// and was paid, page after page. Requests are signed: HMAC-SHA256 of user, key
// and a nonce that grows, in capital hexadecimal digits.
func fetchAntpool(ctx context.Context, a *asking) error {
	for _, kind := range []string{"recv", "payout"} {
		for n := 1; ; n++ {
			nonce := fmt.Sprint(int64(a.c.Now())/int64(domain.Millisecond) + int64(len(a.pages)))
			form := url.Values{
				"key": {string(a.client.key.open())}, "nonce": {nonce}, "userId": {a.c.Subaccount}, "coinType": {"BTC"}, "type": {kind},
				"pageEnable": {"1"}, "page": {fmt.Sprint(n)}, "pageSize": {"50"},
				"signature": {strings.ToUpper(sign(a.client.secret.open(), a.c.Subaccount+string(a.client.key.open())+nonce))},
			}
			p, err := a.ask(ctx, kind, http.MethodPost, "/api/paymentHistoryV2.htm", "application/x-www-form-urlencoded", []byte(form.Encode()))
			if err != nil {
				return err
			}
			d := &decoding{}
			reply := d.antReply(p)
			if reply == nil || !reply.later(n) || a.reached(reply) {
				break
			}
		}
	}
	return nil
}

// sign returns the HMAC-SHA256 of a text in hexadecimal digits.
func sign(secret Key, text string) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(text))
	return hex.EncodeToString(h.Sum(nil))
}

// antPage is a page of rows, newest first.
type antPage struct {
	Total number     `json:"totalPage"`
	Rows  *[]*antRow `json:"rows"`
}

// antRow is a day that was earned or a payment. Amounts are strings in BTC,
// those of days after the fee.
type antRow struct {
	Time     string `json:"timestamp"`
	Hashrate string `json:"hashrate"`

	PPS      number `json:"ppsAmount"`
	PPLNS    number `json:"pplnsAmount"`
	Solo     number `json:"soloAmount"`
	PPAPPS   number `json:"ppappsAmount"`
	PPAPPLNS number `json:"ppapplnsAmount"`
	Block    number `json:"fppsBlockAmount"`
	Fees     number `json:"fppsFeeAmount"`

	Address     string `json:"walletAddress"`
	Transaction string `json:"txId"`
	Amount      number `json:"amount"`
}

// later reports whether there are pages after page n.
func (p *antPage) later(n int) bool {
	v, _ := p.Total.value.Scaled(0)
	return len(*p.Rows) > 0 && v.IsInt64() && v.Int64() > int64(n)
}

// reached reports whether a page goes back before what is asked for.
func (a *asking) reached(p *antPage) bool {
	for _, row := range *p.Rows {
		if t, err := time.ParseInLocation(time.DateTime, row.Time, a.c.Zone); err == nil && domain.At(t) < a.from {
			return true
		}
	}
	return false
}

func (d *decoding) antReply(p page) *antPage {
	var reply struct {
		Code    number   `json:"code"`
		Message string   `json:"message"`
		Data    *antPage `json:"data"`
	}
	if !d.reply(p, &reply) {
		return nil
	}
	if !reply.Code.there || !reply.Code.value.IsZero() || reply.Data == nil || reply.Data.Rows == nil {
		d.refuse("pool answers %s with an error: code %s, %.100q", p.name, reply.Code.value, reply.Message)
		return nil
	}
	for _, row := range *reply.Data.Rows {
		if row == nil {
			d.refuse("reply to %s has a row that is null", p.name)
			return nil
		}
	}
	return reply.Data
}

func decodeAntpool(pages []page, d *decoding) {
	// A row moves to the next page when a new one comes: the same is there twice.
	seen := map[domain.PoolStatementReceived]bool{}
	for _, p := range pages {
		reply := d.antReply(p)
		if reply == nil {
			return
		}
		for i, row := range *reply.Rows {
			if p.name == "payout" {
				d.antPaid(i, row)
				continue
			}
			s, err := d.antDay(row)
			switch {
			case err != nil:
				d.bad(p.name, i, err)
			case !seen[s]:
				seen[s] = true
				d.add(s)
			}
		}
	}
}

func (d *decoding) antDay(row *antRow) (s domain.PoolStatementReceived, err error) {
	s.NetOnly = true
	if s.Interval, err = d.date(row.Time); err != nil {
		return s, fmt.Errorf("timestamp: %w", err)
	}
	there := false
	for _, part := range []struct {
		name string
		from number
	}{
		{"ppsAmount", row.PPS},
		{"pplnsAmount", row.PPLNS},
		{"soloAmount", row.Solo},
		{"ppappsAmount", row.PPAPPS},
		{"ppapplnsAmount", row.PPAPPLNS},
		{"fppsBlockAmount", row.Block},
		{"fppsFeeAmount", row.Fees},
	} {
		v, err := part.from.optional()
		if err != nil {
			return s, fmt.Errorf("%s: %w", part.name, err)
		}
		there = there || part.from.there
		s.Net += v
		if v != 0 {
			s.Credits++
		}
	}
	if !there {
		return s, fmt.Errorf("row has no amounts")
	}
	s.Hashrate, err = antHashrate(row.Hashrate)
	return s, err
}

// antHashrate reads a hashrate such as "1,234.5 TH/s"; without a unit it is in
// hashes per second.
func antHashrate(text string) (domain.Int128, error) {
	number, unit, _ := strings.Cut(strings.TrimSpace(strings.ReplaceAll(text, ",", "")), " ")
	if number == "" {
		return domain.Int128{}, nil
	}
	exponent, ok := map[string]int32{"": 0, "H/S": 0, "KH/S": 3, "MH/S": 6, "GH/S": 9, "TH/S": 12, "PH/S": 15, "EH/S": 18}[strings.ToUpper(unit)]
	v, err := parseNumber(number)
	if err != nil || !ok {
		return domain.Int128{}, fmt.Errorf("hashrate %.40q is not a number with a unit such as TH/s", text)
	}
	return whole(v.Shift(exponent))
}

func (d *decoding) antPaid(n int, row *antRow) {
	t, err := time.ParseInLocation(time.DateTime, row.Time, d.Zone)
	p := domain.PoolPayoutStated{
		Rail: domain.RailChain, Status: domain.PayoutPaid, At: domain.At(t), Transaction: strings.ToLower(row.Transaction), Address: row.Address,
	}
	if err == nil {
		p.Amount, err = row.Amount.satoshi()
	}
	if err != nil {
		d.bad("payout", n, err)
		return
	}
	p.Reference = p.Transaction + "." + p.Address
	if p.Transaction == "" {
		p.Rail, p.Reference = domain.RailInternal, fmt.Sprintf("%d.%d", int64(p.At)/int64(domain.Second), p.Amount)
	}
	d.pay(n, p)
}
