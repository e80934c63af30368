package coin_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"wattbook/domain"
	"wattbook/projections/logscript"
	"wattbook/settlement/coin"
	"wattbook/settlement/pools"
)

var dec = domain.MustDecimal

func usd(minor int64) domain.Money { return domain.Money{Minor: minor, Currency: "USD"} }

func at(day int64) domain.Instant {
	return domain.Unix(1_791_936_000).Add(domain.Day * domain.Duration(day))
}

func book(t *testing.T, basis coin.Basis, moves ...coin.Move) *coin.Book {
	t.Helper()
	b, err := coin.New("USD", basis)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range moves {
		if err := b.Apply(m); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func show(all []coin.Posting) string {
	var b strings.Builder
	for _, p := range all {
		fmt.Fprintf(&b, "%s %s %s\n", p.Account, p.Amount, p.Commodity)
	}
	return b.String()
}

// month earns 1 BTC at 60,000 and 1 BTC at 90,000, of which the pool states
// 0.9; receives all of it; remeasures at 100,000; pays a fee of 0.01 BTC, and
// sells 0.5 BTC for 55,000.
func month(lots ...coin.Part) []coin.Move {
	part := func(p coin.Part, amount domain.Satoshi) []coin.Part {
		if p.Lot == "" {
			return nil
		}
		return []coin.Part{{Lot: p.Lot, Amount: amount}}
	}
	named := coin.Part{}
	if len(lots) > 0 {
		named = lots[0]
	}
	return []coin.Move{
		{Kind: coin.Earned, At: at(1), Pool: "p", Lot: "a", Amount: 100_000_000, Price: dec("60000")},
		{Kind: coin.Earned, At: at(2), Pool: "p", Lot: "b", Amount: 100_000_000, Price: dec("90000")},
		{Kind: coin.Restated, At: at(2), Pool: "p", Lot: "b", Amount: -10_000_000},
		{Kind: coin.Received, At: at(3), Pool: "p", Amount: 190_000_000},
		{Kind: coin.Remeasured, At: at(4), Price: dec("100000")},
		{Kind: coin.Fee, At: at(5), Amount: 1_000_000, Lots: part(named, 1_000_000)},
		{Kind: coin.Sold, At: at(6), Amount: 50_000_000, Proceeds: usd(5_500_000), Lots: part(named, 50_000_000)},
	}
}

func TestAMonthOfCoin(t *testing.T) {
	const before = `Assets:Bank:USD 55000 USD
Assets:Digital:BTC 1.39 BTC
`
	for _, row := range []struct {
		basis coin.Basis
		lots  []coin.Part
		want  string
	}{
		// Cost was 60,000 + 81,000 = 141,000 and value 190,000: 49,000 were added,
		// 40,000 to the first lot and 9,000 to the second. The fee costs 600 + 400,
		// what is sold 30,000 + 20,000; 5,000 are realized.
		{coin.FIFO, nil, `Assets:Digital:FairValueAdj 28600 USD
Equity:Conversions -1.39 BTC
Equity:Conversions 110400 USD
Expenses:NetworkFees 1000 USD
Expenses:PoolVariance:p 9000 USD
Income:DigitalAssets:FairValue -49000 USD
Income:DigitalAssets:Realized -5000 USD
Income:Mining:p -150000 USD
`},
		// From the second lot: 900 + 100, and 45,000 + 5,000.
		{coin.Specific, []coin.Part{{Lot: "b"}}, `Assets:Digital:FairValueAdj 43900 USD
Equity:Conversions -1.39 BTC
Equity:Conversions 95100 USD
Expenses:NetworkFees 1000 USD
Expenses:PoolVariance:p 9000 USD
Income:DigitalAssets:FairValue -49000 USD
Income:DigitalAssets:Realized -5000 USD
Income:Mining:p -150000 USD
`},
		// 1/190 of 141,000 is 742.11 and of 49,000 is 257.89; 50/189 of the rest
		// are 37,105.26 and 12,894.74.
		{coin.Average, nil, `Assets:Digital:FairValueAdj 35847.37 USD
Equity:Conversions -1.39 BTC
Equity:Conversions 103152.63 USD
Expenses:NetworkFees 1000 USD
Expenses:PoolVariance:p 9000 USD
Income:DigitalAssets:FairValue -49000 USD
Income:DigitalAssets:Realized -5000 USD
Income:Mining:p -150000 USD
`},
	} {
		b := book(t, row.basis, month(row.lots...)...)
		if diff := cmp.Diff(before+row.want, show(coin.Balances(b.Entries()))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", row.basis, diff)
		}
		units, value := b.RollForward()
		if want := (coin.Roll{Received: 190_000_000, Sold: 50_000_000, Fees: 1_000_000, Closing: 139_000_000}); units != want {
			t.Errorf("%s: units %+v, want %+v", row.basis, units, want)
		}
		if want := (coin.Roll{Received: 14_100_000, Remeasured: 4_900_000, Sold: 5_000_000, Fees: 100_000, Closing: 13_900_000}); value != want {
			t.Errorf("%s: value %+v, want %+v", row.basis, value, want)
		}
		again, _ := b.RollForward()
		if want := (coin.Roll{Opening: 139_000_000, Closing: 139_000_000}); again != want {
			t.Errorf("%s: the next period %+v, want %+v", row.basis, again, want)
		}
	}
}

func TestMovesThatCannotBeChangeNothing(t *testing.T) {
	for name, m := range map[string]coin.Move{
		"nothing earned":         {Kind: coin.Earned, At: at(9), Pool: "p", Lot: "c", Price: dec("1")},
		"no price":               {Kind: coin.Earned, At: at(9), Pool: "p", Lot: "c", Amount: 1},
		"a lot twice":            {Kind: coin.Earned, At: at(9), Pool: "p", Lot: "a", Amount: 1, Price: dec("1")},
		"more than is owed":      {Kind: coin.Received, At: at(9), Pool: "p", Amount: 1},
		"more than is held":      {Kind: coin.Sold, At: at(9), Amount: 200_000_000, Proceeds: usd(1)},
		"another currency":       {Kind: coin.Sold, At: at(9), Amount: 1, Proceeds: domain.Money{Minor: 1, Currency: "EUR"}},
		"a lot that is not owed": {Kind: coin.Restated, At: at(9), Pool: "p", Lot: "z", Amount: -1},
		"no price to restate at": {Kind: coin.Restated, At: at(9), Pool: "p", Lot: "z", Amount: 1},
		"a price of nothing":     {Kind: coin.Remeasured, At: at(9)},
		"the past":               {Kind: coin.Remeasured, At: at(0), Price: dec("1")},
		"something else":         {Kind: "lost", At: at(9), Amount: 1},
	} {
		b := book(t, coin.FIFO, month()...)
		before := fmt.Sprint(b.Entries(), b.Held(), b.Owed("p"))
		if err := b.Apply(m); err == nil {
			t.Errorf("%s: booked", name)
		}
		if after := fmt.Sprint(b.Entries(), b.Held(), b.Owed("p")); after != before {
			t.Errorf("%s: was refused, and changed the book", name)
		}
	}
	b := book(t, coin.Specific, month(coin.Part{Lot: "b"})...)
	for _, lots := range [][]coin.Part{nil, {{Lot: "b", Amount: 5}}, {{Lot: "z", Amount: 10}}, {{Lot: "b", Amount: 39_000_001}}, {{Lot: "b", Amount: 11}, {Lot: "b", Amount: -1}}} {
		if err := b.Apply(coin.Move{Kind: coin.Fee, At: at(9), Amount: 10, Lots: lots}); err == nil {
			t.Errorf("lots %v make up 10 sat", lots)
		}
	}
	if _, err := coin.New("USD", "lifo"); err == nil {
		t.Error("a basis that nobody knows was accepted")
	}
	if _, err := coin.New("XXX", coin.FIFO); err == nil {
		t.Error("a currency that nobody knows was accepted")
	}
}

// TestBooksOfCoinBalance applies random moves: every entry sums to zero, the
// roll-forward closes, and the accounts say what the lots say.
func TestBooksOfCoinBalance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string, from, to int64) int64 { return rapid.Int64Range(from, to).Draw(t, name) }
		basis := rapid.SampledFrom([]coin.Basis{coin.FIFO, coin.Average, coin.Specific}).Draw(t, "basis")
		b, err := coin.New("USD", basis)
		if err != nil {
			t.Fatal(err)
		}
		for n := range draw("moves", 1, 30) {
			m := coin.Move{
				Kind: rapid.SampledFrom([]coin.Kind{coin.Earned, coin.Earned, coin.Restated, coin.Received, coin.Fee, coin.Sold, coin.Remeasured}).Draw(t, "kind"),
				At:   at(n), Pool: "p", Lot: fmt.Sprint(draw("lot", 0, 9)), Amount: domain.Satoshi(draw("amount", -3, 1<<33)), Price: domain.NewDecimal(draw("price", 1, 20_000_000), -2),
				Proceeds: usd(draw("proceeds", 0, 1<<40)),
			}
			if held := b.Held(); basis == coin.Specific && len(held) > 0 {
				l := held[draw("which", 0, int64(len(held)-1))]
				m.Amount = domain.Satoshi(draw("part", 1, int64(l.Amount)))
				m.Lots = []coin.Part{{Lot: l.ID, Amount: m.Amount}}
			}
			_ = b.Apply(m) // many cannot be
		}
		for _, e := range b.Entries() {
			for _, p := range coin.Balances([]coin.Entry{{Postings: collapse(e)}}) {
				t.Fatalf("entry %+v leaves %s %s", e, p.Amount, p.Commodity)
			}
		}
		units, value := b.RollForward()
		for what, r := range map[string]coin.Roll{"units": units, "value": value} {
			if r.Opening+r.Received+r.Remeasured-r.Sold-r.Fees != r.Closing {
				t.Fatalf("%s do not roll forward: %+v", what, r)
			}
		}
		accounts := map[string]domain.Decimal{}
		for _, p := range coin.Balances(b.Entries()) {
			accounts[p.Account+" "+p.Commodity] = p.Amount
		}
		var held, owed domain.Satoshi
		var cost, adjusted int64
		for _, l := range b.Held() {
			if l.Amount <= 0 {
				t.Fatalf("an empty lot is held: %+v", l)
			}
			held, cost, adjusted = held+l.Amount, cost+l.Cost.Minor, adjusted+l.Adjusted
		}
		for _, l := range b.Owed("p") {
			owed, cost = owed+l.Amount, cost+l.Cost.Minor
		}
		for account, want := range map[string]domain.Decimal{
			"Assets:Digital:BTC BTC": held.BTC(), "Assets:PoolReceivable:p BTC": owed.BTC(), "Equity:Conversions USD": domain.NewDecimal(cost, -2),
			"Assets:Digital:FairValueAdj USD": domain.NewDecimal(adjusted, -2), "Equity:Conversions BTC": (held + owed).BTC().Neg(),
		} {
			if got := accounts[account]; !got.Equal(want) {
				t.Fatalf("%s is %s, the lots say %s", account, got, want)
			}
		}
	})
}

// collapse puts the postings of an entry on one account, so that they sum.
func collapse(e coin.Entry) (all []coin.Posting) {
	for _, p := range e.Postings {
		all = append(all, coin.Posting{Account: "sum", Amount: p.Amount, Commodity: p.Commodity})
	}
	return all
}

func TestMinedIsWhatThePoolOwesAndPays(t *testing.T) {
	p := logscript.New()
	if err := p.Play(`
site s step=1h pool=foundry/acct fee=0.02
miner m1
difficulty 969696 2026-10-10 1d00ffff
fees 2026-10-14 100 100000000
fees 2026-10-15 100 100000000
bitcoin USD 2026-10-14..2026-10-17 1h 100000
read m1 2026-10-14..2026-10-16 0.001shares every=1h
now 2026-10-18T09:00
statement foundry/acct 2026-10-14 subsidy=7500000 fees=24000 fee=150480 net=7373520
statement foundry/acct 2026-10-15 subsidy=6750000 fees=21600 fee=135432 net=6636168
payout foundry/acct 2026-10-15T06:00 7373520
payout foundry/acct 2026-10-16T06:00 6636168
payout foundry/acct 2026-10-16T07:00 5`); err != nil {
		t.Fatal(err)
	}
	f, err := p.Facts()
	if err != nil {
		t.Fatal(err)
	}
	site, _ := f.Site("s")
	iv, err := p.Interval("2026-10-14..2026-10-17")
	if err != nil {
		t.Fatal(err)
	}
	days := domain.Interval{Start: iv.Start, End: iv.Start.Add(2 * domain.Day)}
	moves, err := coin.Mined(f, pools.Account{Site: "s", Terms: site.Pool}, "USD", domain.Interval{Start: days.Start, End: iv.End})
	if err != nil {
		t.Fatal(err)
	}
	b := book(t, coin.FIFO, moves...)
	want := `Assets:Digital:BTC 0.14009693 BTC
Equity:Conversions -0.14009693 BTC
Equity:Conversions 14009.7 USD
Expenses:PoolVariance:foundry 737.34 USD
Income:Mining:foundry -14747.04 USD
`
	if diff := cmp.Diff(want, show(coin.Balances(b.Entries()))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := coin.Mined(f, pools.Account{Site: "s", Terms: site.Pool}, "EUR", days); err == nil || !strings.Contains(err.Error(), "price of bitcoin is not known") {
		t.Errorf("in another currency: %v", err)
	}
}
