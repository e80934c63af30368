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
	// Tax is what the line is under; zero: the invoice's Tax. A note that takes
	// lines back under the rate that they were charged under says so.
	Tax Tax `json:"tax,omitzero"`
}

// TaxPart is the tax on those of an invoice's lines that are under one tax.
type TaxPart struct {
	Tax  Tax   `json:"tax"`
	Base Money `json:"base"` // what the lines come to
	Due  Money `json:"due"`
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
	// Taxes are the parts of TaxDue where the lines are under more than one
	// tax. None: all of it is under Tax.
	Taxes []TaxPart `json:"taxes,omitempty"`
	// Daily is the annex: what the customer used on each local day.
	Daily []DailyUsage `json:"daily"`
	// Prepaid is the part of Total that is paid from prepayments on record. Of a
	// credit note it is below zero: what goes back to them.
	Prepaid Money `json:"prepaid,omitzero"`
	// Balances say how commitments stand after the period.
	Balances []Balance `json:"balances,omitempty"`
	// BuyerReference and OrderReference are the contract's.
	BuyerReference string `json:"buyer_reference,omitempty"`
	OrderReference string `json:"order_reference,omitempty"`
	// Layout numbers how its documents are laid out; 0 is the first one. A
	// document prints again as it was issued, whatever is laid out today.
	Layout int64 `json:"layout,omitempty"`
	// Checkpoint is what the log had signed when the invoice was issued; zero:
	// it does not say.
	Checkpoint Checkpoint `json:"checkpoint,omitzero"`
}

// Checkpoint is what a log has signed: how many events, and their root.
type Checkpoint struct {
	Log  string   `json:"log"` // its name in its checkpoints
	Size Position `json:"size"`
	Root Digest   `json:"root"` // of the Merkle tree (RFC 6962) of the events before Size
}

// Payable returns what is left to pay when the invoice is issued.
func (i Invoice) Payable() Money {
	if i.Prepaid.IsZero() {
		return i.Total
	}
	return i.Total.Add(i.Prepaid.Neg())
}

// TaxOf returns the tax that a line is under.
func (i Invoice) TaxOf(l InvoiceLine) Tax {
	if l.Tax.IsZero() {
		return i.Tax
	}
	return l.Tax
}

// TaxParts returns the tax by what it is under: at least one part.
func (i Invoice) TaxParts() []TaxPart {
	if len(i.Taxes) > 0 {
		return i.Taxes
	}
	return []TaxPart{{i.Tax, i.Subtotal, i.TaxDue}}
}

// Balance is how a commitment stands: Opening + Added − Drawn − Expired =
// Closing.
type Balance struct {
	Charge  string `json:"charge"`
	Opening Money  `json:"opening"`
	Added   Money  `json:"added"`
	Drawn   Money  `json:"drawn"`
	Expired Money  `json:"expired"`
	Closing Money  `json:"closing"`
	// Rolled is the part of Closing that was paid in the term before.
	Rolled Money `json:"rolled"`
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

// InvoiceVoided records that an issued invoice counts for nothing: it keeps
// its number. Its period can be invoiced anew, under another number.
type InvoiceVoided struct {
	Invoice  string     `json:"invoice"` // its number
	Contract ContractID `json:"contract"`
	Period   Period     `json:"period"`
	At       Instant    `json:"at"`
	Reason   string     `json:"reason"`
}

// NoteKind tells a credit note from a debit note.
type NoteKind string

// The kinds of note.
const (
	CreditNote NoteKind = "credit" // the buyer owes less
	DebitNote  NoteKind = "debit"  // the buyer owes more
)

// Note corrects an issued invoice: its lines are what the lines of the invoice
// and of its earlier notes lack, or have too much, of what they would be if the
// invoice were drawn at the note's AsOf. Amounts and quantities keep their
// sign: those of a credit note are mostly negative. Its period and intervals
// are those of the service.
type Note struct {
	Invoice
	Kind     NoteKind `json:"kind"`
	Corrects string   `json:"corrects"` // number of the invoice
	// Causes say what is known now that was not known when the invoice and
	// its earlier notes were drawn.
	Causes []string `json:"causes"`
}

// NoteIssued records an issued note. It is never changed.
type NoteIssued struct {
	Note      Note             `json:"note"`
	Documents []DocumentDigest `json:"documents"`
}

// PaymentReceived records money that arrived for an invoice.
type PaymentReceived struct {
	Contract  ContractID `json:"contract"`
	Invoice   string     `json:"invoice"` // its number
	Amount    Money      `json:"amount"`
	At        Instant    `json:"at"`        // value date
	Reference string     `json:"reference"` // of the bank: unique in the contract
	Origin    Origin     `json:"origin"`
}

// PaymentReversed records that money which had arrived for an invoice was taken
// back: a transfer that was returned, a cheque that bounced. It takes back the
// payment whole, and what was paid is owed again.
type PaymentReversed struct {
	Contract ContractID `json:"contract"`
	Invoice  string     `json:"invoice"`           // its number
	Payment  string     `json:"payment_reference"` // of what arrived
	Amount   Money      `json:"amount"`            // likewise
	At       Instant    `json:"at"`                // value date of its return
	Reason   string     `json:"reason"`
	Origin   Origin     `json:"origin"`
}

// PrepaymentReceived records money that arrived for use to come.
type PrepaymentReceived struct {
	Contract  ContractID `json:"contract"`
	Amount    Money      `json:"amount"`
	At        Instant    `json:"at"`
	Reference string     `json:"reference"`
	Origin    Origin     `json:"origin"`
}

// ServiceCreditClaimed records that a buyer claims the credit of a period that
// its contract gives on claim only.
type ServiceCreditClaimed struct {
	Contract ContractID `json:"contract"`
	Charge   string     `json:"charge"`
	Period   Period     `json:"period"`
	At       Instant    `json:"at"`
	Origin   Origin     `json:"origin"`
}

// UtilityBilled records what the utility charges for the site's energy over an
// interval: what was accrued for it is trued up to that. A bill below zero is
// a credit.
type UtilityBilled struct {
	Site      SiteID   `json:"site"`
	Interval  Interval `json:"interval"`
	Amount    Money    `json:"amount"`
	At        Instant  `json:"at"` // date of the bill
	Reference string   `json:"reference"`
	Corrects  bool     `json:"corrects,omitempty"` // takes the place of the bill with its reference
	Origin    Origin   `json:"origin"`
}
