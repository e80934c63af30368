package domain

// Party is a seller or a buyer as documents name it.
type Party struct {
	ID      CustomerID `json:"id"`
	Name    string     `json:"name"`
	Address []string   `json:"address"`
	Country string     `json:"country"` // ISO 3166 alpha-2
	TaxID   string     `json:"tax_id,omitempty"`
	// Endpoint is the party's electronic address, as "scheme:identifier"
	// ("0088:7300010000001"), for e-invoices.
	Endpoint string `json:"endpoint,omitempty"`
	// Bank is where a seller is paid; absent if documents are not to say.
	Bank *Bank `json:"bank,omitempty"`
}

// Bank is an account at a bank.
type Bank struct {
	Holder  string `json:"holder,omitempty"`  // empty: the party itself
	Name    string `json:"name,omitempty"`    // of the bank
	Account string `json:"account"`           // an IBAN, or what the bank calls the account
	Routing string `json:"routing,omitempty"` // a BIC, or a routing number
}

// Tax is the tax on a contract's invoices.
type Tax struct {
	Name   string  `json:"name"`
	Rate   Decimal `json:"rate_portion"`     // 0.0825 is 8.25 %
	Reason string  `json:"reason,omitempty"` // why the rate is zero, as the invoice must say
	// Category is the UNCL 5305 code of the tax. Empty: S, the standard rate,
	// where the rate is not zero, and E, exempt, where it is.
	Category TaxCategory `json:"category,omitempty"`
}

// TaxCategory is a code of UNCL 5305, as far as EN 16931 knows it.
type TaxCategory string

// The categories of tax.
const (
	TaxStandard      TaxCategory = "S"
	TaxZeroRated     TaxCategory = "Z"
	TaxExempt        TaxCategory = "E"
	TaxReverseCharge TaxCategory = "AE"
	TaxExport        TaxCategory = "G"
	TaxOutOfScope    TaxCategory = "O"
)

// Kind returns the tax's category, which is never empty.
func (t Tax) Kind() TaxCategory {
	switch {
	case t.Category != "":
		return t.Category
	case t.Rate.IsZero():
		return TaxExempt
	}
	return TaxStandard
}

// Same reports whether two taxes are of one category and rate, whatever they
// are called.
func (t Tax) Same(other Tax) bool { return t.Kind() == other.Kind() && t.Rate.Equal(other.Rate) }

// IsZero reports whether no tax is named.
func (t Tax) IsZero() bool {
	return t.Name == "" && t.Reason == "" && t.Category == "" && t.Rate.IsZero()
}

// ContractSigned records a version of an AI customer's contract. Versions of a
// contract are numbered from 1; a later one replaces the terms from its Start.
type ContractSigned struct {
	Site        SiteID     `json:"site"`
	Contract    ContractID `json:"contract"`
	Version     int64      `json:"version"`
	Seller      Party      `json:"seller"`
	Buyer       Party      `json:"buyer"`
	Series      string     `json:"series"` // of the seller's invoice numbers: "CB" gives CB-2026-000001
	Currency    Currency   `json:"currency"`
	Zone        string     `json:"zone"` // IANA name of the zone whose months are billed
	Start       Instant    `json:"start"`
	End         Instant    `json:"end,omitzero"` // zero: until it is ended by a later version
	PaymentDays int64      `json:"payment_days"`
	Tax         Tax        `json:"tax"`
	Charges     []Charge   `json:"charges"`
	// BuyerReference and OrderReference are what the buyer wants to read on
	// its invoices: a cost center, a purchase order.
	BuyerReference string `json:"buyer_reference,omitempty"`
	OrderReference string `json:"order_reference,omitempty"`
	// PrepaidPortion is the greatest portion of an invoice that is paid from
	// prepayments on record. Zero: all of it.
	PrepaidPortion Decimal `json:"prepaid_portion,omitzero"`
	// Maintenance is agreed maintenance: it does not count against the
	// availability that is promised.
	Maintenance []Interval `json:"maintenance,omitempty"`
}

// InForce returns when a version of a contract is in force by itself.
func (c ContractSigned) InForce() Interval {
	if c.End == 0 {
		return Interval{Start: c.Start, End: 1<<63 - 1}
	}
	return Interval{Start: c.Start, End: c.End}
}

// GPUAllocationStarted records that GPUs of a host serve a customer from At
// on. It is the billable truth; what the GPUs measured is evidence beside it.
type GPUAllocationStarted struct {
	Site       SiteID     `json:"site"`
	Allocation string     `json:"allocation"` // the scheduler's key, e.g. job id and submit time
	Customer   CustomerID `json:"customer"`
	Host       string     `json:"host"`
	GPUs       int64      `json:"gpus"`
	At         Instant    `json:"at"`
	Origin     Origin     `json:"origin"`
}

// GPUAllocationEnded records that an allocation ended at At.
type GPUAllocationEnded struct {
	Site       SiteID  `json:"site"`
	Allocation string  `json:"allocation"`
	At         Instant `json:"at"`
	State      string  `json:"state"` // the scheduler's word: COMPLETED, FAILED, …
	Origin     Origin  `json:"origin"`
}
