package document

import (
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"wattbook/domain"
)

// FOCUSDetailColumns are the columns of FOCUS Invoice Detail, and our own (x_)
// after them.
func FOCUSDetailColumns() []string {
	return []string{
		"BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory",
		"InvoiceDetailCreated", "InvoiceDetailDescription", "InvoiceDetailGrain", "InvoiceDetailId", "InvoiceDetailLastUpdated",
		"InvoiceId", "InvoiceIssueDate", "InvoiceIssueStatus", "InvoiceIssuerName", "PaymentCurrency", "PaymentCurrencyBilledCost", "PaymentDueDate", "PaymentTerms",
		"PurchaseOrderNumber", "ReferenceInvoiceId", "x_Amount", "x_Kind",
	}
}

// FOCUSDetails returns an invoice as rows of FOCUS Invoice Detail: one a line,
// and one a tax. BilledCost is the sum of what the rows of [FOCUSRows] with its
// InvoiceDetailId bill, x_Amount what the invoice shows.
func FOCUSDetails(inv domain.Invoice) []FOCUSRow {
	return focusDetails(inv, FOCUSRows(inv), "", "invoice")
}

// NoteFOCUSDetails is [FOCUSDetails] of a note, with the rows of [NoteFOCUSRows].
func NoteFOCUSDetails(n domain.Note) []FOCUSRow {
	return focusDetails(n.Invoice, NoteFOCUSRows(n), n.Corrects, string(n.Kind))
}

func focusDetails(inv domain.Invoice, costs []FOCUSRow, corrects, kind string) []FOCUSRow {
	c := newCalendar(inv)
	day := func(at domain.Instant) string { return c.local(at).Format("2006-01-02") }
	base := FOCUSRow{
		"InvoiceDetailCreated": inv.Issued.String(), "InvoiceDetailLastUpdated": inv.Issued.String(), "InvoiceIssueDate": day(inv.Issued), "InvoiceIssueStatus": "Issued",
		"PaymentCurrency": string(inv.Total.Currency), "PaymentDueDate": day(inv.Due), "PaymentTerms": paymentTerms(inv, corrects), "PurchaseOrderNumber": inv.OrderReference,
		"ReferenceInvoiceId": inv.Number, "x_Kind": kind,
	}
	if corrects != "" {
		base["ReferenceInvoiceId"] = corrects
	}
	var rows []FOCUSRow
	billed, shown := map[string]domain.Decimal{}, map[string]domain.Decimal{}
	for _, cost := range costs {
		id, _, _ := strings.Cut(cost["InvoiceDetailId"], "-Used")
		id, _, _ = strings.Cut(id, "-Unused") // of a row before layout 4
		if _, ok := billed[id]; !ok {
			r := maps.Clone(base)
			for _, same := range []string{"BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory", "InvoiceId", "InvoiceIssuerName"} {
				r[same] = cost[same]
			}
			r["InvoiceDetailId"], r["InvoiceDetailDescription"], r["InvoiceDetailGrain"] = id, cost["ChargeDescription"], grain(cost)
			rows = append(rows, r)
		}
		billed[id] = billed[id].Add(domain.MustDecimal(cost["BilledCost"]))
		shown[id] = shown[id].Add(domain.MustDecimal(cost["EffectiveCost"]))
	}
	digits := inv.Total.Currency.Digits()
	for _, r := range rows {
		cost := billed[r["InvoiceDetailId"]].Fixed(digits)
		r["BilledCost"], r["PaymentCurrencyBilledCost"], r["x_Amount"] = cost, cost, shown[r["InvoiceDetailId"]].Fixed(digits)
	}
	return rows
}

// grain says what a row of Invoice Detail is about, as JSON: the keys that FOCUS
// defines, and our own.
func grain(cost FOCUSRow) string {
	keys := map[string]string{"x_ChargeCategory": cost["ChargeCategory"], "x_ChargePeriodStart": cost["ChargePeriodStart"], "x_ChargePeriodEnd": cost["ChargePeriodEnd"]}
	for _, k := range []string{"RegionId", "ServiceName", "SkuId", "SkuPriceId", "SubAccountId"} {
		if cost[k] != "" {
			keys[k] = cost[k]
		}
	}
	raw, err := json.Marshal(keys)
	if err != nil {
		panic("document: strings do not encode") // they always do
	}
	return string(raw)
}

// paymentTerms says in words when a document is to be paid.
func paymentTerms(inv domain.Invoice, corrects string) string {
	if corrects != "" && inv.Total.Minor <= 0 {
		return "Credited against invoice " + corrects
	}
	if inv.Payable().Minor <= 0 {
		return "Nothing is due"
	}
	if days := inv.Due.Sub(inv.Issued); days > 0 && days%domain.Day == 0 {
		return fmt.Sprintf("Net %d days", days/domain.Day)
	}
	return "Due on " + inv.Due.String()
}

// FOCUSPrepayment returns the row of a prepayment: a purchase that costs nothing
// by itself, since what it pays for costs what it costs when it is used. It is
// on no invoice. The contract is the version in force, billing the month in
// which the money arrived, and at the position of the event.
func FOCUSPrepayment(c domain.ContractSigned, e domain.PrepaymentReceived, billing domain.Interval, at domain.Position) FOCUSRow {
	amount := e.Amount.Amount()
	return FOCUSRow{
		"BilledCost": amount, "ContractedCost": amount, "ListCost": amount, "EffectiveCost": domain.Money{Currency: e.Amount.Currency}.Amount(),
		"BillingAccountId": string(c.Buyer.ID), "BillingAccountName": c.Buyer.Name, "BillingCurrency": string(e.Amount.Currency),
		"BillingPeriodStart": billing.Start.String(), "BillingPeriodEnd": billing.End.String(), "ChargeCategory": "Purchase", "ChargeFrequency": "One-Time",
		"ChargeDescription": "Prepayment " + e.Reference, "ChargePeriodStart": billing.Start.String(), "ChargePeriodEnd": billing.End.String(),
		"HostProviderName": c.Seller.Name, "InvoiceIssuerName": c.Seller.Name, "ServiceProviderName": c.Seller.Name, "PricingCategory": "Standard",
		"PricingQuantity": "1", "PricingUnit": "Units", "ContractedUnitPrice": amount, "ListUnitPrice": amount, "RegionId": string(c.Site), "RegionName": string(c.Site),
		"ServiceCategory": "Other", "ServiceName": "Billing", "ServiceSubcategory": "Other (Other)", "SkuId": "prepayment", "SkuPriceId": "prepayment/" + e.Reference,
		"SubAccountId": string(c.Contract), "x_ContractVersion": strconv.FormatInt(c.Version, 10), "x_LogPosition": strconv.FormatUint(uint64(at), 10),
	}
}

// drawDown takes what is paid from prepayments off what rows bill, in
// proportion: what it pays for was billed when it was bought. What a credit note
// gives back to prepayments it takes off what rows credit. It reports false if
// there is nothing to take it off.
func drawDown(rows []FOCUSRow, prepaid domain.Money) bool {
	digits, sign := prepaid.Currency.Digits(), int64(1)
	if prepaid.Minor < 0 {
		sign = -1
	}
	weights := make([]int64, len(rows))
	for i, r := range rows {
		if v, err := prepaid.Currency.Round(domain.MustDecimal(r["BilledCost"])); err == nil {
			weights[i] = max(0, sign*v.Minor)
		}
	}
	shares := domain.Allocate(sign*prepaid.Minor, weights)
	for i, share := range shares {
		if share != 0 {
			rows[i]["BilledCost"] = domain.MustDecimal(rows[i]["BilledCost"]).Sub(domain.NewDecimal(sign*share, -digits)).Fixed(digits)
		}
	}
	return shares != nil
}
