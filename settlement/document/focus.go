package document

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"

	"wattbook/domain"
)

// FOCUSColumns are the columns of FOCUS Cost and Usage that apply to us, in
// the order of the rows, and our own (x_) after them. Rows of an older layout
// have no ServiceSubcategory.
func FOCUSColumns() []string {
	return []string{
		"BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart",
		"CapacityReservationId", "CapacityReservationStatus", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency",
		"ChargePeriodEnd", "ChargePeriodStart", "ConsumedQuantity", "ConsumedUnit", "ContractedCost", "ContractedUnitPrice", "EffectiveCost",
		"HostProviderName", "InvoiceDetailId", "InvoiceId", "InvoiceIssuerName", "ListCost", "ListUnitPrice", "PricingCategory", "PricingQuantity",
		"PricingUnit", "RegionId", "RegionName", "ServiceCategory", "ServiceName", "ServiceProviderName", "ServiceSubcategory", "SkuId", "SkuPriceId", "SubAccountId",
		"x_ContractVersion", "x_EstimatedQuantity", "x_LogPosition", "x_ReferenceInvoiceId",
	}
}

// FOCUSRow is a row by column; a column that is empty or not there is null.
type FOCUSRow map[string]string

// FOCUSRows returns the rows of [FOCUS]. Of an invoice that no document could be
// made of they say what it says.
func FOCUSRows(inv domain.Invoice) []FOCUSRow { return focusRows(inv, "", inv.Interval) }

// NoteFOCUSRows returns the rows of [NoteFOCUS], likewise.
func NoteFOCUSRows(n domain.Note) []FOCUSRow {
	c := newCalendar(n.Invoice)
	issued := c.local(n.Issued)
	period := domain.Period{Year: issued.Year(), Month: issued.Month()}
	shift := domain.DurationOf(c.end)
	billing := period.In(issued.Location())
	billing.Start, billing.End = billing.Start.Add(-shift), billing.End.Add(-shift)
	return focusRows(n.Invoice, n.Corrects, billing)
}

// FOCUS returns an invoice as rows of FOCUS Cost and Usage, as CSV. The sum of
// BilledCost is what the invoice asks to be paid: what is paid from a prepayment
// was billed when that was bought, and is cost here (EffectiveCost). Up to
// layout 3 a row took it off. A reservation of GPUs is a row of what was used of it and
// a row of what was not, if the invoice tells them apart.
func FOCUS(inv domain.Invoice) ([]byte, error) {
	if err := check(inv); err != nil {
		return nil, fmt.Errorf("render %q as FOCUS rows: %w", inv.Number, err)
	}
	return focusCSV(inv.Layout, FOCUSRows(inv))
}

// NoteFOCUS is [FOCUS] of a note: corrections in the billing period of its
// issue, of charges in the period that it corrects.
func NoteFOCUS(n domain.Note) ([]byte, error) {
	if err := check(n.Invoice); err != nil {
		return nil, fmt.Errorf("render %q as FOCUS rows: %w", n.Number, err)
	}
	return focusCSV(n.Layout, NoteFOCUSRows(n))
}

func focusCSV(layout int64, rows []FOCUSRow) ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	columns := FOCUSColumns()
	if layout < 4 {
		columns = slices.DeleteFunc(columns, func(c string) bool { return c == "ServiceSubcategory" })
	}
	if err := w.Write(columns); err != nil {
		return nil, err
	}
	for _, r := range rows {
		cells := make([]string, len(columns))
		for i, c := range columns {
			cells[i] = r[c]
		}
		if err := w.Write(cells); err != nil {
			return nil, err
		}
	}
	w.Flush()
	return b.Bytes(), w.Error()
}

func focusRows(inv domain.Invoice, corrects string, billing domain.Interval) []FOCUSRow {
	base := FOCUSRow{
		"BillingAccountId": string(inv.Buyer.ID), "BillingAccountName": inv.Buyer.Name, "BillingCurrency": string(inv.Total.Currency),
		"BillingPeriodStart": billing.Start.String(), "BillingPeriodEnd": billing.End.String(), "InvoiceId": inv.Number, "InvoiceIssuerName": inv.Seller.Name,
		"ServiceProviderName": inv.Seller.Name, "HostProviderName": inv.Seller.Name, "RegionId": string(inv.Site), "RegionName": string(inv.Site),
		"SubAccountId": string(inv.Contract), "x_ContractVersion": strconv.FormatInt(inv.Version, 10), "x_LogPosition": strconv.FormatUint(uint64(inv.AsOf), 10),
	}
	if corrects != "" {
		base["ChargeClass"], base["x_ReferenceInvoiceId"] = "Correction", corrects
	}
	var rows []FOCUSRow
	add := func(more FOCUSRow) {
		r := maps.Clone(base)
		maps.Copy(r, more)
		if inv.Layout < 4 {
			firstService(r)
		}
		rows = append(rows, r)
	}
	used, split := reservedUse(inv)
	for i, l := range inv.Lines {
		if split == i && corrects == "" {
			for _, half := range halves(l, used) {
				if inv.Layout >= 4 { // both are of one line
					half["InvoiceDetailId"] = strconv.FormatInt(l.Line, 10)
				}
				add(half)
			}
			continue
		}
		r := focusLine(l, l.Amount)
		if says := changed(inv, corrects, l); says != "" {
			r["ChargeDescription"] += ", " + says
		}
		add(r)
	}
	whole := func(detail, category, description string, amount domain.Money, effective string) {
		add(FOCUSRow{
			"BilledCost": amount.Amount(), "ContractedCost": amount.Amount(), "ListCost": amount.Amount(), "EffectiveCost": effective, "InvoiceDetailId": detail,
			"ChargeCategory": category, "ChargeDescription": description, "ChargeFrequency": "One-Time", "ServiceName": "Billing", "ServiceCategory": "Other",
			"ServiceSubcategory": "Other (Other)", "ChargePeriodStart": inv.Interval.Start.String(), "ChargePeriodEnd": inv.Interval.End.String(),
		})
	}
	for i, part := range inv.TaxParts() {
		detail := "tax"
		if i > 0 {
			detail = fmt.Sprintf("tax-%d", i+1)
		}
		if !part.Due.IsZero() {
			whole(detail, "Tax", part.Tax.Name+" "+percent(part.Tax.Rate), part.Due, part.Due.Amount())
		}
	}
	if !inv.Prepaid.IsZero() && (inv.Layout < 4 || !drawDown(rows, inv.Prepaid)) {
		whole("prepaid", "Adjustment", fromPrepayments(inv), inv.Prepaid.Neg(), domain.Money{Currency: inv.Prepaid.Currency}.Amount())
	}
	return rows
}

// focusLine is the row of a line, of which amount is billed.
func focusLine(l domain.InvoiceLine, amount domain.Money) FOCUSRow {
	r := FOCUSRow{
		"BilledCost": amount.Amount(), "EffectiveCost": amount.Amount(), "ContractedCost": amount.Amount(), "ListCost": amount.Amount(),
		"ChargeCategory": "Usage", "ChargeDescription": l.Description, "ChargeFrequency": "Usage-Based", "PricingCategory": "Standard",
		"ChargePeriodStart": l.Interval.Start.String(), "ChargePeriodEnd": l.Interval.End.String(), "InvoiceDetailId": strconv.FormatInt(l.Line, 10),
		"PricingQuantity": l.Quantity.String(), "PricingUnit": focusUnit(l.Unit), "SkuId": l.Charge, "SkuPriceId": l.Charge + "/" + l.Description,
	}
	r["ServiceCategory"], r["ServiceName"], r["ServiceSubcategory"] = service(l)
	if l.UnitPrice != nil {
		r["ContractedUnitPrice"], r["ListUnitPrice"] = l.UnitPrice.String(), l.UnitPrice.String()
		if product := l.UnitPrice.Mul(l.Quantity); product.Round(l.Amount.Currency.Digits()).Equal(l.Amount.Decimal()) {
			r["ContractedCost"], r["ListCost"] = product.String(), product.String()
		} else { // the quantity shown is rounded
			delete(r, "ContractedUnitPrice")
			delete(r, "ListUnitPrice")
		}
	}
	switch l.Kind {
	case domain.ChargeReservedGPUs, domain.ChargeReservedPower:
		r["PricingCategory"], r["ChargeFrequency"], r["CapacityReservationId"] = "Committed", "Recurring", l.Charge
		r["CapacityReservationStatus"] = "Used"
	case domain.ChargePassThrough:
		r["PricingCategory"] = "Dynamic"
	case domain.ChargeUsage:
		if l.UnitPrice == nil {
			r["PricingCategory"] = "Other"
		}
	case domain.ChargeFixed:
		r["ChargeFrequency"] = "Recurring"
	case domain.ChargeSLACredit:
		r["ChargeCategory"], r["ChargeFrequency"], r["PricingCategory"] = "Credit", "One-Time", ""
	case domain.ChargeMaximum:
		r["ChargeCategory"], r["PricingCategory"] = "Adjustment", ""
	case domain.ChargeCommitment, domain.ChargeMinimum:
		r["PricingCategory"] = "Committed"
	}
	if !(domain.Charge{Kind: l.Kind}).Derived() && (l.Unit == "kWh" || l.Unit == "GPU-hour") {
		r["ConsumedQuantity"], r["ConsumedUnit"] = l.Quantity.String(), focusUnit(l.Unit)
	}
	if !l.Estimated.IsZero() {
		r["x_EstimatedQuantity"] = l.Estimated.String()
	}
	return r
}

// service returns what a line charges for, as FOCUS classifies it. FOCUS has no
// category for power, nor for space and hands: they are Other. So is what is
// rated on the charges of a contract, whatever those are for (a minimum, a
// committed spend, a credit): a note that corrects it alone says the same of it.
func service(l domain.InvoiceLine) (category, name, subcategory string) {
	switch l.Kind {
	case domain.ChargeReservedPower, domain.ChargePassThrough, domain.ChargeDemand:
		return "Other", "Power", "Other (Other)"
	case domain.ChargeUsage:
		if l.Unit == "kWh" {
			return "Other", "Power", "Other (Other)"
		}
	case domain.ChargeReservedGPUs, domain.ChargeOnDemandGPUs:
	default:
		return "Other", "Hosting", "Other (Other)"
	}
	return "AI and Machine Learning", "GPU compute", "Other (AI and Machine Learning)"
}

// firstService gives a row the service that it had up to layout 3: all was GPU
// compute but power at its price, tax and prepayments.
func firstService(r FOCUSRow) {
	if r["ServiceName"] != "Billing" && r["PricingCategory"] != "Dynamic" {
		r["ServiceCategory"], r["ServiceName"] = "AI and Machine Learning", "GPU compute"
	}
	delete(r, "ServiceSubcategory")
}

func focusUnit(unit string) string {
	switch unit {
	case "GPU-hour":
		return "GPU Hours"
	case "GPU-month":
		return "GPU Months"
	case "kW-month":
		return "kW Months"
	case "month":
		return "Months"
	case "each":
		return "Units"
	}
	return unit
}

// reservedUse returns how much of the one reservation of GPUs of an invoice
// was used, as a portion, and the index of its line; −1 if there is not exactly
// one, or if GPU time was charged beside it that hours do not tell.
func reservedUse(inv domain.Invoice) (used *big.Rat, at int) {
	at = -1
	left := new(big.Rat)
	for _, d := range inv.Daily {
		left.Add(left, big.NewRat(int64(d.GPU), int64(domain.GPUHour)))
	}
	for i, l := range inv.Lines {
		switch {
		case l.Unit == "GPU-hour":
			left.Sub(left, l.Quantity.Rat())
		case l.Kind == domain.ChargeReservedGPUs && at >= 0, l.Kind == domain.ChargeReservedGPUs && l.UnitPrice == nil:
			return nil, -1
		case l.Kind == domain.ChargeReservedGPUs:
			at = i
		}
	}
	if at < 0 || len(inv.Daily) == 0 {
		return nil, -1
	}
	months := inv.Lines[at].Quantity.Rat()
	hours := new(big.Rat).Mul(months, big.NewRat(int64(inv.Interval.Length()), int64(domain.Hour)))
	if hours.Sign() <= 0 || left.Sign() < 0 {
		return nil, -1
	}
	used = new(big.Rat).Quo(left, hours)
	if one := big.NewRat(1, 1); used.Cmp(one) > 0 {
		used = one
	}
	return used, at
}

// halves are the rows of what was used of a reservation, and of what was not.
func halves(l domain.InvoiceLine, used *big.Rat) []FOCUSRow {
	const parts = 1_000_000
	share, _ := domain.RoundRat(used, 6).Scaled(6)
	amounts := domain.Allocate(l.Amount.Minor, []int64{share.Int64(), parts - share.Int64()})
	quantity := domain.RoundRat(new(big.Rat).Mul(l.Quantity.Rat(), used), 6)
	var rows []FOCUSRow
	for i, half := range []struct {
		status   string
		quantity domain.Decimal
	}{{"Used", quantity}, {"Unused", l.Quantity.Sub(quantity)}} {
		part := l
		part.Quantity, part.Amount.Minor = half.quantity, amounts[i]
		r := focusLine(part, part.Amount)
		r["CapacityReservationStatus"] = half.status
		r["InvoiceDetailId"] = fmt.Sprintf("%d-%s", l.Line, half.status)
		if half.status == "Used" {
			r["ConsumedQuantity"], r["ConsumedUnit"] = half.quantity.String(), focusUnit(l.Unit)
		}
		if amounts[i] != 0 || !half.quantity.IsZero() {
			rows = append(rows, r)
		}
	}
	return rows
}
