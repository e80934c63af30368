package domain

// PeriodClosed records that a site's billing period is complete enough to
// bill, and what was known when it closed.
type PeriodClosed struct {
	Site     SiteID   `json:"site"`
	Period   Period   `json:"period"`
	Interval Interval `json:"interval"` // resolved once: replay consults no zone table
	AsOf     Position `json:"as_of"`
	// Metered, Estimated and Missing count (meter, interval) pairs of the
	// period: read, estimated by a named method, and unknown.
	Metered   int64 `json:"metered_intervals"`
	Estimated int64 `json:"estimated_intervals"`
	Missing   int64 `json:"missing_intervals"`
	// The digests of the projections at AsOf, cut to the interval.
	Balance Digest `json:"balance_digest"`
	Usage   Digest `json:"usage_digest"`
	Margin  Digest `json:"margin_digest"`
}

// InvoiceLine is one line of an invoice: a charge, or the part of it that was
// used or not.
type InvoiceLine struct {
	Line        int64      `json:"line"` // from 1
	Charge      string     `json:"charge"`
	Kind        ChargeKind `json:"kind"`
	Description string     `json:"description"`
	Interval    Interval   `json:"interval"` // of service
	Quantity    Decimal    `json:"quantity"`
	Unit        string     `json:"unit"`                 // "GPU-month", "GPU-hour", "kW-month", "kWh"
	UnitPrice   *Decimal   `json:"unit_price,omitempty"` // absent where every interval has its own
	Amount      Money      `json:"amount"`
	// Estimated is the part of Quantity that rests on estimates.
	Estimated Decimal `json:"estimated_quantity,omitzero"`
	// Detail says how the amount came about, for people.
	Detail string `json:"detail,omitempty"`
}

// Invoice is a rated period of a contract, with all that its documents show.
type Invoice struct {
	Number   string        `json:"number"`
	Site     SiteID        `json:"site"`
	Contract ContractID    `json:"contract"`
	Version  int64         `json:"contract_version"`
	Seller   Party         `json:"seller"`
	Buyer    Party         `json:"buyer"`
	Period   Period        `json:"period"`
	Interval Interval      `json:"interval"`
	Zone     string        `json:"zone"`
	AsOf     Position      `json:"as_of"`
	Issued   Instant       `json:"issued"`
	Due      Instant       `json:"due"`
	Lines    []InvoiceLine `json:"lines"`
	Subtotal Money         `json:"subtotal"`
	Tax      Tax           `json:"tax"`
	TaxDue   Money         `json:"tax_amount"`
	Total    Money         `json:"total"`
	// Daily is the annex: what the customer used on each local day.
	Daily []DailyUsage `json:"daily"`
}

// DailyUsage is one row of an invoice's annex.
type DailyUsage struct {
	Day    string  `json:"day"` // local date, "2026-10-14"
	GPU    GPUTime `json:"gpu_milliseconds"`
	Energy Energy  `json:"energy_milliwatt_hours"`
}

// DocumentDigest names a document that was made from an invoice.
type DocumentDigest struct {
	Name   string `json:"name"` // file name
	Digest Digest `json:"digest"`
}

// InvoiceIssued records an issued invoice. It is never changed; what turns out
// later can only become a credit or debit note.
type InvoiceIssued struct {
	Invoice   Invoice          `json:"invoice"`
	Documents []DocumentDigest `json:"documents"`
}
