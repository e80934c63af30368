// Package journal keeps the double-entry books: postings that follow from the
// events of the log and from nothing else.
//
// Every entry names the event that it follows from and sums to zero in each
// currency, with bitcoin at its cost. Revenue and the cost of energy are accrued day by day: for a closed
// period from what was known when it was closed, so that its entries never
// change; for days that are not closed yet from what is known now, as pending
// entries.
//
// A day's revenue is what the contract would come to for the period so far, less
// what it came to before the day, line by line as its invoice rounds them. So
// tiers, packages and the greatest power are accrued as they are reached, a
// minimum, a maximum and what is due of a commitment for the portion of the month
// that is over, and a service credit as soon as availability falls short. At the
// end of the period what is accrued is what the invoice charges: the revenue of a
// month is that of its service. An invoice takes the accrual, less the credits,
// into a receivable; only what became known after the days were closed is revenue
// of the day of issue.
//
// The accounts are:
//
//	Assets:Bank:USD                      money received
//	Assets:AR:Customers:<buyer>          invoiced and not paid
//	Assets:ContractAsset:Unbilled:<contract>   accrued and not invoiced, less the credits expected
//	Assets:PoolReceivable:<pool>:<account>   BTC, owed and not received
//	Assets:PoolDisputed:<pool>:<account>     BTC, claimed from the pool
//	Assets:Digital:BTC:{OnChain,OffChain}    BTC, held
//	Assets:Digital:FairValueAdj          what remeasurement added to the cost of what is held
//	Liabilities:AccruedEnergy:<meter>    energy used and not billed by the utility
//	Liabilities:Payable:Utility
//	Liabilities:ContractLiability:<contract>   prepayments not drawn yet
//	Liabilities:CustomerCredits:<buyer>  credited or paid beyond what was due
//	Liabilities:SalesTax:<seller's country>
//	Liabilities:PoolUnmatched:<pool>:<account>   BTC, paid by the pool before it stated for what
//	Liabilities:PoolOverpaid:<pool>:<account>    BTC, paid and then restated away
//	Liabilities:CoinShort                BTC, gone and not held: something is not on record
//	Income:AI:{Reserved,OnDemand,PowerPassThrough,Fixed}   of the charges that earn by the interval,
//	Income:AI:{Usage,Demand}             metered use and the greatest power, at prices of the contract
//	Income:AI:{Percentage,Minimum,Maximum}   of other charges, up to a minimum, down to a maximum
//	Income:AI:Commitment                 what is due of a commitment, beyond it, and paid before
//	Income:AI:SLACredits                 service credits: less revenue
//	Income:Mining:<pool>:<account>       before the pool's fee
//	Income:PoolFees:<pool>:<account>     the fee: less revenue, since it is paid to the customer
//	Income:DigitalAssets:{FairValue,Realized}
//	Expenses:Energy:{Mining,AI,Overhead}:{Supply,Delivery}, Expenses:Energy:TrueUp
//	Expenses:PoolVariance:<pool>:<account>   expected, not stated, and not explained
//	Expenses:PoolWrittenOff:<pool>:<account>
//	Expenses:NetworkFees, Expenses:VenueFees
//	Expenses:Rounding                    of coin at cost to whole cents
//
// Mined bitcoin is noncash consideration: it is revenue at its fair value when
// the earning day begins, the price that the book's series has there (or the
// last one before), which the entry names by its event; later prices do not
// change that. What the pool owes for a day is a lot with that price as its
// cost, and a receipt moves the lot. At the end of each period that is closed,
// what is held is remeasured to fair value through income (ASC 350-60); what
// leaves, leaves at cost by the basis of its sale, with its part of what
// remeasurement added, and the rest is realized.
//
// Entries follow the log: what becomes known later is an entry of its own. It
// is of the earning day, unless the day was reconciled before and its period is
// closed: then it is of the date on which it became known. So are a sale, a payout
// and a bill of the utility that become known after their period was closed.
package journal

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"wattbook/domain"
)

// Bitcoin is the commodity of bitcoin; money is in its currency.
const Bitcoin = "BTC"

// Posting moves an amount into an account; a negative one, out of it.
type Posting struct {
	Account   string
	Amount    domain.Decimal
	Commodity string
	Cost      Cost // of bitcoin; none for money
}

// Cost says of which lot the bitcoin of a posting is, and what one cost.
type Cost struct {
	Price    domain.Decimal `json:"price"` // of one bitcoin
	Currency string         `json:"currency"`
	Date     string         `json:"date"` // of the lot
	Lot      string         `json:"lot"`
}

// IsZero reports whether there is no cost: what is posted is money.
func (c Cost) IsZero() bool { return c.Currency == "" }

// Weight returns what a posting counts in the sum of its entry: money as it
// is, and bitcoin at its cost.
func (p Posting) Weight() (domain.Decimal, string) {
	if p.Cost.IsZero() {
		return p.Amount, p.Commodity
	}
	return p.Amount.Mul(p.Cost.Price), p.Cost.Currency
}

// Entry is a set of postings that belong together.
type Entry struct {
	Date      string // local date at the site, "2026-10-14"
	Narration string
	Pending   bool // follows from what is not closed yet, and may change
	Event     domain.EventID
	Position  domain.Position // of the event
	Postings  []Posting
	// Late is the date on which coin moved, where the books of that date were
	// closed when it became known, so that Date is a later one; else empty.
	Late string
	// Priced is the event that published the price of bitcoin at which coin
	// came into the entry; zero if none did.
	Priced domain.EventID
}

// Check reports an entry that does not sum to zero with its bitcoin at cost, or
// says nothing.
func (e Entry) Check() error {
	if len(e.Postings) == 0 {
		return fmt.Errorf("entry %q of %s has no postings", e.Narration, e.Date)
	}
	sums := map[string]domain.Decimal{}
	for _, p := range e.Postings {
		weight, commodity := p.Weight()
		sums[commodity] = sums[commodity].Add(weight)
	}
	for _, c := range slices.Sorted(maps.Keys(sums)) {
		if !sums[c].IsZero() {
			return fmt.Errorf("entry %q of %s sums to %s %s, not to zero", e.Narration, e.Date, sums[c], c)
		}
	}
	return nil
}

// Digits returns how many digits amounts of a commodity have.
func Digits(commodity string) int32 {
	if commodity == Bitcoin {
		return 8
	}
	return domain.Currency(commodity).Digits()
}

// Balance is what an account holds of a commodity.
type Balance struct {
	Account   string         `json:"account"`
	Amount    domain.Decimal `json:"amount"`
	Commodity string         `json:"commodity"`
	// Cost is what the bitcoin of the account cost, in Currency; of money, there
	// is none.
	Cost     domain.Decimal `json:"cost,omitzero"`
	Currency string         `json:"cost_currency,omitempty"`
}

// TrialBalance returns the balances of all accounts that are not empty, by
// account and commodity. With bitcoin at its cost, they sum to zero in each
// currency.
func TrialBalance(entries []Entry) []Balance {
	type of struct{ account, commodity string }
	sums := map[of]*Balance{}
	for _, e := range entries {
		for _, p := range e.Postings {
			k := of{p.Account, p.Commodity}
			if sums[k] == nil {
				sums[k] = &Balance{Account: p.Account, Commodity: p.Commodity}
			}
			sums[k].Amount = sums[k].Amount.Add(p.Amount)
			if !p.Cost.IsZero() {
				weight, currency := p.Weight()
				sums[k].Cost, sums[k].Currency = sums[k].Cost.Add(weight), currency
			}
		}
	}
	var all []Balance
	for _, v := range sums {
		if !v.Amount.IsZero() {
			all = append(all, *v)
		}
	}
	slices.SortFunc(all, func(a, b Balance) int {
		return cmp.Or(cmp.Compare(rank(a.Account), rank(b.Account)), strings.Compare(a.Account, b.Account), strings.Compare(a.Commodity, b.Commodity))
	})
	return all
}

// rank orders accounts as reports list them.
func rank(account string) int {
	root, _, _ := strings.Cut(account, ":")
	return slices.Index([]string{"Assets", "Liabilities", "Equity", "Income", "Expenses"}, root)
}

// Revenue is what was recognized as revenue in a month.
type Revenue struct {
	Period    string         `json:"period"` // "2026-10"
	Account   string         `json:"account"`
	Amount    domain.Decimal `json:"amount"` // positive: earned
	Commodity string         `json:"commodity"`
	Pending   bool           `json:"pending"` // some of it is not closed yet
}

// RevenueByPeriod returns what was recognized, by month and account.
func RevenueByPeriod(entries []Entry) []Revenue {
	type of struct{ period, account, commodity string }
	sums := map[of]*Revenue{}
	for _, e := range entries {
		for _, p := range e.Postings {
			if !strings.HasPrefix(p.Account, "Income:") {
				continue
			}
			k := of{e.Date[:len("2006-01")], p.Account, p.Commodity}
			if sums[k] == nil {
				sums[k] = &Revenue{Period: k.period, Account: k.account, Commodity: k.commodity}
			}
			sums[k].Amount = sums[k].Amount.Sub(p.Amount)
			sums[k].Pending = sums[k].Pending || e.Pending
		}
	}
	var all []Revenue
	for _, r := range sums {
		if !r.Amount.IsZero() {
			all = append(all, *r)
		}
	}
	slices.SortFunc(all, func(a, b Revenue) int {
		return cmp.Or(strings.Compare(a.Period, b.Period), strings.Compare(a.Account, b.Account), strings.Compare(a.Commodity, b.Commodity))
	})
	return all
}

// name makes a part of an account's name of an identifier: it begins with a
// capital letter or a digit, and has letters, digits and hyphens only.
func name[S ~string](id S) string {
	var b strings.Builder
	for i, r := range string(id) {
		switch {
		case 'a' <= r && r <= 'z' && i == 0:
			b.WriteRune(r - 'a' + 'A')
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
			b.WriteRune(r)
		case i == 0:
			b.WriteByte('X')
		case r == '_':
			b.WriteString("--")
		case r == '.':
			b.WriteString("---")
		default:
			b.WriteByte('-')
		}
	}
	return b.String()
}

// incomeOf returns the account that the revenue of a kind of charge belongs to.
func incomeOf(kind domain.ChargeKind) string {
	const income = "Income:AI:"
	switch kind {
	case domain.ChargeReservedGPUs, domain.ChargeReservedPower:
		return income + "Reserved"
	case domain.ChargeOnDemandGPUs:
		return income + "OnDemand"
	case domain.ChargePassThrough:
		return income + "PowerPassThrough"
	case domain.ChargeFixed:
		return income + "Fixed"
	case domain.ChargeUsage:
		return income + "Usage"
	case domain.ChargeDemand:
		return income + "Demand"
	case domain.ChargePercentage:
		return income + "Percentage"
	case domain.ChargeMinimum:
		return income + "Minimum"
	case domain.ChargeMaximum:
		return income + "Maximum"
	case domain.ChargeCommitment:
		return income + "Commitment"
	case domain.ChargeSLACredit:
		return income + "SLACredits"
	}
	return income + "Other"
}

// dateIn returns the local date of an instant.
func dateIn(zone *time.Location, t domain.Instant) string {
	return t.Time().In(zone).Format(time.DateOnly)
}
