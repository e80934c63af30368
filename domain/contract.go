package domain

import (
	"fmt"
	"strings"
)

// Party is a seller or a buyer as documents name it.
type Party struct {
	ID      CustomerID `json:"id"`
	Name    string     `json:"name"`
	Address []string   `json:"address"`
	Country string     `json:"country"` // ISO 3166 alpha-2
	TaxID   string     `json:"tax_id,omitempty"`
}

// Tax is the tax on a contract's invoices.
type Tax struct {
	Name   string  `json:"name"`
	Rate   Decimal `json:"rate_portion"`     // 0.0825 is 8.25 %
	Reason string  `json:"reason,omitempty"` // why the rate is zero, as the invoice must say
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
}

// ChargeKind is how a charge is computed.
type ChargeKind string

// The kinds of charge.
const (
	// ChargeReservedGPUs is take-or-pay: Quantity GPUs at Rate per GPU-month,
	// whatever was used; GPU-hours beyond Quantity in an interval cost Overage.
	ChargeReservedGPUs ChargeKind = "reserved-gpus"
	// ChargeOnDemandGPUs is Rate per GPU-hour allocated.
	ChargeOnDemandGPUs ChargeKind = "on-demand-gpus"
	// ChargeReservedPower is Quantity kW at Rate per kW-month.
	ChargeReservedPower ChargeKind = "reserved-power"
	// ChargePassThrough is the energy of Meters at each interval's published
	// price, plus Adder per MWh, scaled by the losses up to the revenue meter.
	ChargePassThrough ChargeKind = "power-pass-through"
)

// Charge is one priced term of a contract. Only the fields that its kind names
// are set.
type Charge struct {
	ID          string     `json:"id"` // unique in the contract: "reserved"
	Kind        ChargeKind `json:"kind"`
	Description string     `json:"description"`
	Quantity    int64      `json:"quantity,omitempty"`
	Rate        Decimal    `json:"rate,omitzero"`
	Overage     Decimal    `json:"overage_rate,omitzero"`
	Meters      []DeviceID `json:"meters,omitempty"`
	Adder       Decimal    `json:"adder_per_megawatt_hour,omitzero"`
	LossPortion Decimal    `json:"loss_portion,omitzero"`
}

// Validate reports the first term that cannot be billed.
func (c ContractSigned) Validate() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("contract %s: %s", c.Contract, fmt.Sprintf(format, args...))
	}
	if err := CheckID("contract", c.Contract); err != nil {
		return err
	}
	if err := CheckID("customer", c.Buyer.ID); err != nil {
		return fail("%v", err)
	}
	if _, err := ParseCurrency(string(c.Currency)); err != nil {
		return fail("%v", err)
	}
	switch {
	case c.Series == "" || strings.Trim(c.Series, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != "":
		return fail("series %q; invoice numbers start with capital letters and digits", c.Series)
	case c.Version < 1:
		return fail("version %d; versions count from 1", c.Version)
	case c.End != 0 && c.End <= c.Start:
		return fail("ends at %s, before it starts", c.End)
	case c.Tax.Rate.Sign() < 0:
		return fail("tax rate %s is negative", c.Tax.Rate)
	case c.Tax.Rate.IsZero() && c.Tax.Reason == "":
		return fail("tax rate is zero without a reason")
	case c.PaymentDays < 0:
		return fail("payment_days %d is negative", c.PaymentDays)
	case len(c.Charges) == 0:
		return fail("has no charges")
	}
	seen := map[string]bool{}
	for i, ch := range c.Charges {
		where := fmt.Sprintf("charge %d (%s)", i+1, ch.ID)
		switch {
		case ch.ID == "" || seen[ch.ID]:
			return fail("%s: its id is empty or used twice", where)
		case ch.Rate.Sign() < 0 || ch.Overage.Sign() < 0:
			return fail("%s: a rate is negative", where)
		}
		seen[ch.ID] = true
		switch ch.Kind {
		case ChargeReservedGPUs, ChargeReservedPower:
			if ch.Quantity <= 0 || ch.Rate.IsZero() {
				return fail("%s: needs a quantity and a rate", where)
			}
		case ChargeOnDemandGPUs:
			if ch.Rate.IsZero() {
				return fail("%s: needs a rate", where)
			}
		case ChargePassThrough:
			if len(ch.Meters) == 0 || ch.LossPortion.Sign() < 0 {
				return fail("%s: needs meters, and losses that are not negative", where)
			}
		default:
			return fail("%s: kind %q is not known", where, ch.Kind)
		}
	}
	return nil
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
