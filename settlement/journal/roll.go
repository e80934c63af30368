package journal

import (
	"cmp"
	"slices"
	"strings"

	"wattbook/domain"
)

// Held is an amount of bitcoin and what it is carried at: its cost, and what
// remeasurement added.
type Held struct {
	Units domain.Decimal `json:"btc"`
	Value domain.Decimal `json:"value"`
}

func (h *Held) add(more Held) {
	h.Units, h.Value = h.Units.Add(more.Units), h.Value.Add(more.Value)
}

// Roll is how the bitcoin that is held rolls forward over a month: the closing
// is the opening and all between.
type Roll struct {
	Period      string `json:"period"` // "2026-10"
	Opening     Held   `json:"opening"`
	Received    Held   `json:"received"` // from pools, at fair value at inception
	Sold        Held   `json:"sold"`     // negative
	NetworkFees Held   `json:"network_fees"`
	Remeasured  Held   `json:"remeasured"`
	Closing     Held   `json:"closing"`
}

// RollForward returns the roll-forward of each month in which bitcoin moved or
// was remeasured.
func RollForward(entries []Entry) []Roll {
	var all []Roll
	for _, e := range entries {
		change, touched := Held{}, false
		on := map[string]bool{}
		for _, p := range e.Postings {
			on[kindOf(p.Account)] = true
			switch {
			case strings.HasPrefix(p.Account, holdings):
				weight, _ := p.Weight()
				change.add(Held{p.Amount, weight})
				touched = true
			case p.Account == fairValueAdj:
				change.Value = change.Value.Add(p.Amount)
				touched = true
			}
		}
		if !touched {
			continue
		}
		month := e.Date[:len("2006-01")]
		i, ok := slices.BinarySearchFunc(all, month, func(r Roll, m string) int { return strings.Compare(r.Period, m) })
		if !ok {
			all = slices.Insert(all, i, Roll{Period: month})
		}
		r := &all[i]
		switch {
		case on["Assets:PoolReceivable"] || on["Liabilities:PoolUnmatched"]:
			r.Received.add(change)
		case !on["Assets:Digital:BTC"] && on[unrealized]:
			r.Remeasured.add(change)
		case on[networkFees] && !on["Assets:Bank"]:
			r.NetworkFees.add(change)
		default:
			r.Sold.add(change)
		}
	}
	open := Held{}
	for i := range all {
		r := &all[i]
		r.Opening = open
		for _, h := range []Held{r.Received, r.Sold, r.NetworkFees, r.Remeasured} {
			open.add(h)
		}
		r.Closing = open
	}
	return all
}

// kindOf returns the part of an account that says what it is for, without what
// it is about: that of "Assets:PoolReceivable:Foundry" is "Assets:PoolReceivable".
func kindOf(account string) string {
	for _, p := range []string{poolReceivable, poolUnmatched, holdings, "Assets:Bank:"} {
		if strings.HasPrefix(account, p) {
			return strings.TrimSuffix(p, ":")
		}
	}
	return account
}

// Lot is what an account has of a lot of bitcoin.
type Lot struct {
	Account string         `json:"account"`
	Lot     string         `json:"lot"`
	Date    string         `json:"date"`
	Price   domain.Decimal `json:"price"`
	Units   domain.Decimal `json:"btc"`
	Cost    domain.Decimal `json:"cost"`
}

// Lots returns what the accounts have of each lot, by account and age.
func Lots(entries []Entry) []Lot {
	type of struct{ account, lot, date, price string }
	sums := map[of]*Lot{}
	for _, e := range entries {
		for _, p := range e.Postings {
			if p.Cost.IsZero() {
				continue
			}
			k := of{p.Account, p.Cost.Lot, p.Cost.Date, p.Cost.Price.String()}
			if sums[k] == nil {
				sums[k] = &Lot{Account: p.Account, Lot: p.Cost.Lot, Date: p.Cost.Date, Price: p.Cost.Price}
			}
			weight, _ := p.Weight()
			sums[k].Units, sums[k].Cost = sums[k].Units.Add(p.Amount), sums[k].Cost.Add(weight)
		}
	}
	var all []Lot
	for _, l := range sums {
		if !l.Units.IsZero() {
			all = append(all, *l)
		}
	}
	slices.SortFunc(all, func(a, b Lot) int {
		return cmp.Or(cmp.Compare(rank(a.Account), rank(b.Account)), strings.Compare(a.Account, b.Account), strings.Compare(a.Date, b.Date),
			strings.Compare(a.Lot, b.Lot), a.Price.Cmp(b.Price))
	})
	return all
}
