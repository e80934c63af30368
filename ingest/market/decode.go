package market

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"wattbook/domain"
	"wattbook/ingest"
)

// priceList is a feed's reply; the package comment says what it means.
type priceList struct {
	Node     string  `json:"node"`
	Currency string  `json:"currency"`
	Unit     string  `json:"unit"`
	Step     string  `json:"step"`
	Prices   []entry `json:"prices"`
}

type entry struct {
	Start   string          `json:"start"`
	Price   json.RawMessage `json:"price"`
	Revised bool            `json:"revised"`
}

// Decode reads a reply of the feed; Poll does no more with it, so facts can be
// decoded again from evidence. A reply that is not what the feed was set up
// for, or whose intervals make no sense, is rejected whole; a price that
// cannot be read is rejected alone.
func (f *Feed) Decode(raw []byte) (ingest.Facts, []ingest.Rejection) {
	list, err := f.parse(raw)
	if err != nil {
		return nil, []ingest.Rejection{{Reason: err.Error()}}
	}
	points, rejected, err := f.points(list)
	if err != nil {
		return nil, []ingest.Rejection{{Reason: err.Error()}}
	}
	var facts ingest.Facts
	for _, s := range runs(points, f.c.Step) {
		if f.bitcoin {
			facts = append(facts, domain.BitcoinPriced{Currency: f.c.Currency, Series: s, Corrects: f.c.Revised})
		} else {
			facts = append(facts, domain.PowerPriced{Node: f.c.Node, Currency: f.c.Currency, Series: s, Corrects: f.c.Revised})
		}
	}
	return facts, rejected
}

// parse reads the reply and compares its head with what the feed is for.
func (f *Feed) parse(raw []byte) (priceList, error) {
	var list priceList
	if t := bytes.TrimLeft(raw, " \t\r\n"); len(t) > 0 && t[0] == '<' {
		return list, errors.New("reply is a web page, not a price list")
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if err := dec.Decode(&list); err != nil {
		return list, fmt.Errorf("reply is not a price list: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return list, errors.New("reply goes on after the price list")
	}
	unit := "MWh"
	if f.bitcoin {
		unit = "BTC"
		if list.Unit == "" {
			list.Unit = unit
		}
	}
	var step domain.Duration
	if err := step.UnmarshalText([]byte(list.Step)); err != nil {
		return list, fmt.Errorf("step: %w", err)
	}
	switch {
	case list.Node != string(f.c.Node):
		return list, fmt.Errorf("reply is for node %.40q, want %q", list.Node, f.c.Node)
	case list.Currency != string(f.c.Currency):
		return list, fmt.Errorf("reply is in currency %.40q, want %q", list.Currency, f.c.Currency)
	case list.Unit != unit:
		return list, fmt.Errorf("reply has prices per %.40q, want %q", list.Unit, unit)
	case step != f.c.Step:
		return list, fmt.Errorf("reply has a step of %s, want %s", step, f.c.Step)
	case list.Prices == nil:
		return list, errors.New("reply has no list of prices")
	}
	return list, nil
}

// points returns the prices that this feed delivers, and those that it
// rejects. It is an error if the intervals of the list make no sense.
func (f *Feed) points(list priceList) (points []point, rejected []ingest.Rejection, err error) {
	var before domain.Instant
	for i, e := range list.Prices {
		start, err := domain.ParseInstant(e.Start)
		if err != nil {
			return nil, nil, fmt.Errorf("price %d: start: %w", i+1, err)
		}
		switch {
		case start.Floor(f.c.Step) != start:
			return nil, nil, fmt.Errorf("price %d: start %s is not a multiple of the step %s", i+1, start, f.c.Step)
		case i > 0 && start == before:
			return nil, nil, fmt.Errorf("price %d: start %s is there twice", i+1, start)
		case i > 0 && start < before:
			return nil, nil, fmt.Errorf("price %d: start %s comes after %s", i+1, start, before)
		}
		before = start
		if e.Revised != f.c.Revised || bytes.Equal(e.Price, []byte("null")) {
			continue
		}
		price, err := f.price(e.Price)
		if err != nil {
			rejected = append(rejected, ingest.Rejection{Reason: fmt.Sprintf("price at %s: %v", start, err)})
			continue
		}
		points = append(points, point{start, price})
	}
	return points, rejected, nil
}

// price reads a plain decimal that is written as a string or as a number.
func (f *Feed) price(raw json.RawMessage) (domain.Decimal, error) {
	text := string(raw)
	switch {
	case text == "":
		return domain.Decimal{}, errors.New("there is no price")
	case text[0] == '"':
		if err := json.Unmarshal(raw, &text); err != nil {
			return domain.Decimal{}, err
		}
	}
	price, err := domain.ParseDecimal(text)
	if err == nil {
		err = checkPrice(price, f.bitcoin)
	}
	return price, err
}

// checkPrice refuses prices that cannot be. Power has been sold for less than
// nothing, bitcoin never. The bounds are far beyond any price in any currency:
// what is beyond them is another column, such as a time.
func checkPrice(price domain.Decimal, bitcoin bool) error {
	limit := domain.NewDecimal(1_000_000_000, 0)
	if bitcoin {
		limit = domain.NewDecimal(1_000_000_000_000, 0)
	}
	if price.Cmp(limit) > 0 || price.Sign() < 0 && price.Neg().Cmp(limit) > 0 {
		return fmt.Errorf("%.40s is beyond any price, %s; is it that of another column?", price.String(), limit)
	}
	if bitcoin && price.Sign() <= 0 {
		return fmt.Errorf("price %s of a bitcoin is not positive", price)
	}
	return nil
}

// point is the price of one interval.
type point struct {
	start domain.Instant
	price domain.Decimal
}

// runLimit is the greatest number of prices in one series: with the longest
// prices it stays at half of what an event of the log may hold.
const runLimit = 8192

// runs joins the prices of consecutive intervals. A gap begins a new series.
func runs(points []point, step domain.Duration) []domain.PriceSeries {
	var all []domain.PriceSeries
	for _, p := range points {
		n := len(all)
		if n == 0 || all[n-1].Interval().End != p.start || len(all[n-1].Prices) == runLimit {
			all = append(all, domain.PriceSeries{Start: p.start, Step: step})
			n++
		}
		all[n-1].Prices = append(all[n-1].Prices, p.price)
	}
	return all
}
