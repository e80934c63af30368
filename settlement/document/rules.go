package document

import (
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
	"time"

	"wattbook/domain"
)

// ublRead is what the rules read of a UBL invoice or credit note. Names are
// matched without their namespaces.
type ublRead struct {
	XMLName        xml.Name
	Customization  string     `xml:"CustomizationID"`
	ID             string     `xml:"ID"`
	IssueDate      string     `xml:"IssueDate"`
	DueDate        string     `xml:"DueDate"`
	InvoiceType    string     `xml:"InvoiceTypeCode"`
	CreditType     string     `xml:"CreditNoteTypeCode"`
	Currency       string     `xml:"DocumentCurrencyCode"`
	BuyerReference string     `xml:"BuyerReference"`
	Order          string     `xml:"OrderReference>ID"`
	Period         ublPeriod  `xml:"InvoicePeriod"`
	Corrects       []string   `xml:"BillingReference>InvoiceDocumentReference>ID"`
	Seller         ublParty   `xml:"AccountingSupplierParty>Party"`
	Buyer          ublParty   `xml:"AccountingCustomerParty>Party"`
	Means          []string   `xml:"PaymentMeans>PaymentMeansCode"`
	Accounts       []string   `xml:"PaymentMeans>PayeeFinancialAccount>ID"`
	Terms          string     `xml:"PaymentTerms>Note"`
	Tax            string     `xml:"TaxTotal>TaxAmount"`
	Groups         []ublGroup `xml:"TaxTotal>TaxSubtotal"`
	Sums           ublSums    `xml:"LegalMonetaryTotal"`
	Lines          []ublLine  `xml:"InvoiceLine"`
	Credits        []ublLine  `xml:"CreditNoteLine"`
}

type ublPeriod struct {
	Start string `xml:"StartDate"`
	End   string `xml:"EndDate"`
}

type ublParty struct {
	Endpoint ublEndpoint `xml:"EndpointID"`
	ID       string      `xml:"PartyIdentification>ID"`
	Legal    string      `xml:"PartyLegalEntity>RegistrationName"`
	Address  *ublAddress `xml:"PostalAddress"`
	Tax      []ublTaxID  `xml:"PartyTaxScheme"`
}

type ublEndpoint struct {
	Value  string `xml:",chardata"`
	Scheme string `xml:"schemeID,attr"`
}

type ublAddress struct {
	Country string `xml:"Country>IdentificationCode"`
}

// ublTaxID is a VAT identifier (BT-31, BT-48) or, under another scheme, a tax
// registration (BT-32).
type ublTaxID struct {
	ID     string `xml:"CompanyID"`
	Scheme string `xml:"TaxScheme>ID"`
}

// country returns the country of the party's address.
func (p ublParty) country() string {
	if p.Address == nil {
		return ""
	}
	return p.Address.Country
}

// vat reports whether the party has a VAT identifier.
func (p ublParty) vat() bool {
	return slices.ContainsFunc(p.Tax, func(t ublTaxID) bool { return t.Scheme == "VAT" && t.ID != "" })
}

type ublCategory struct {
	ID      string `xml:"ID"`
	Percent string `xml:"Percent"`
	Reason  string `xml:"TaxExemptionReason"`
	Code    string `xml:"TaxExemptionReasonCode"`
}

type ublGroup struct {
	Taxable  string      `xml:"TaxableAmount"`
	Tax      string      `xml:"TaxAmount"`
	Category ublCategory `xml:"TaxCategory"`
}

type ublSums struct {
	Lines   string `xml:"LineExtensionAmount"`
	Net     string `xml:"TaxExclusiveAmount"`
	Gross   string `xml:"TaxInclusiveAmount"`
	Prepaid string `xml:"PrepaidAmount"`
	Due     string `xml:"PayableAmount"`
}

type ublQuantity struct {
	Value string `xml:",chardata"`
	Unit  string `xml:"unitCode,attr"`
}

type ublLine struct {
	ID       string      `xml:"ID"`
	Invoiced ublQuantity `xml:"InvoicedQuantity"`
	Credited ublQuantity `xml:"CreditedQuantity"`
	Net      string      `xml:"LineExtensionAmount"`
	Period   ublPeriod   `xml:"InvoicePeriod"`
	Name     string      `xml:"Item>Name"`
	Category ublCategory `xml:"Item>ClassifiedTaxCategory"`
	Price    string      `xml:"Price>PriceAmount"`
}

// rulebook collects the rules that a document breaks.
type rulebook struct{ broken []string }

func (r *rulebook) must(rule string, ok bool, format string, args ...any) {
	if !ok {
		r.broken = append(r.broken, rule+": "+fmt.Sprintf(format, args...))
	}
}

// number reads an amount; one that is not there is 0.
func (r *rulebook) number(rule, what, s string) domain.Decimal {
	if s = strings.TrimSpace(s); s == "" {
		return domain.Decimal{}
	}
	v, err := domain.ParseDecimal(s)
	r.must(rule, err == nil, "%s is %q", what, s)
	return v
}

// CheckUBL reads a UBL document anew and returns the rules of EN 16931 and of
// Peppol BIS 3 that it breaks, each with its number: presence (BR), arithmetic
// (BR-CO), digits (BR-DEC), tax categories and periods, as far as they concern
// documents such as ours. It shares no code with what writes them but the
// decimals.
func CheckUBL(raw []byte) []string {
	var d ublRead
	r := &rulebook{}
	if err := xml.Unmarshal(raw, &d); err != nil {
		return []string{"XML: " + err.Error()}
	}
	r.presence(d)
	lines := append(d.Lines, d.Credits...)
	sum := domain.Decimal{}
	taxable := map[string]domain.Decimal{}
	for _, l := range lines {
		sum = sum.Add(r.line(d, l))
		k := l.Category.ID + " " + l.Category.Percent
		taxable[k] = taxable[k].Add(r.number("BR-24", "net amount of line "+l.ID, l.Net))
	}
	r.sums(d, sum)
	r.groups(d, taxable)
	return r.broken
}

func (r *rulebook) presence(d ublRead) {
	r.must("BR-01", d.Customization != "", "there is no specification identifier")
	r.must("BR-02", d.ID != "", "there is no number")
	_, err := time.Parse(time.DateOnly, d.IssueDate)
	r.must("BR-03", err == nil, "issue date %q", d.IssueDate)
	types := []string{"380", "381", "383"}
	r.must("BR-04", slices.Contains(types, d.InvoiceType+d.CreditType), "type %q", d.InvoiceType+d.CreditType)
	r.must("BR-04", (d.XMLName.Local == "CreditNote") == (d.CreditType == "381"), "a %s of type %q", d.XMLName.Local, d.InvoiceType+d.CreditType)
	_, err = domain.ParseCurrency(d.Currency)
	r.must("BR-05", err == nil, "currency %q", d.Currency)
	r.must("BR-06", d.Seller.Legal != "", "the seller has no name")
	r.must("BR-07", d.Buyer.Legal != "", "the buyer has no name")
	r.must("BR-08", d.Seller.Address != nil, "the seller has no address")
	r.must("BR-09", len(d.Seller.country()) == 2, "country of the seller %q", d.Seller.country())
	r.must("BR-10", d.Buyer.Address != nil, "the buyer has no address")
	r.must("BR-11", len(d.Buyer.country()) == 2, "country of the buyer %q", d.Buyer.country())
	r.must("BR-62", d.Seller.Endpoint.Value == "" || d.Seller.Endpoint.Scheme != "", "the electronic address of the seller has no scheme")
	r.must("BR-63", d.Buyer.Endpoint.Value == "" || d.Buyer.Endpoint.Scheme != "", "the electronic address of the buyer has no scheme")
	r.must("BR-CO-19", d.Period.Start+d.Period.End != "", "the period has neither a start nor an end")
	for _, t := range slices.Concat(d.Seller.Tax, d.Buyer.Tax) {
		r.must("BR-CO-09", t.Scheme != "VAT" || len(t.ID) > 2 && strings.Trim(t.ID[:2], "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "", "VAT identifier %q does not begin with its country", t.ID)
	}
	r.must("BR-16", len(d.Lines)+len(d.Credits) > 0, "there are no lines")
	r.must("BR-29", d.Period.Start <= d.Period.End, "the period ends at %s, before %s", d.Period.End, d.Period.Start)
	r.must("BR-49", len(d.Means) > 0, "there is no payment means")
	if slices.Contains(d.Means, "30") {
		r.must("BR-61", len(d.Accounts) > 0, "a transfer needs an account")
	}
	r.must("BR-CO-26", d.Seller.ID != "" || len(d.Seller.Tax) > 0, "the seller has no identifier")
	if due := d.Sums.Due; due != "" && !strings.HasPrefix(due, "-") && strings.Trim(due, "0.") != "" {
		r.must("BR-CO-25", d.DueDate != "" || d.Terms != "", "something is due, and neither a date nor terms are given")
	}
	if d.InvoiceType == "383" || d.CreditType != "" {
		r.must("BR-55", len(d.Corrects) > 0 && d.Corrects[0] != "", "it does not say which invoice it corrects")
	}
	if d.Customization == peppol {
		r.must("PEPPOL-EN16931-R003", d.BuyerReference != "" || d.Order != "", "neither a buyer reference nor an order is given")
		r.must("PEPPOL-EN16931-R010", d.Buyer.Endpoint.Value != "", "the buyer has no electronic address")
		r.must("PEPPOL-EN16931-R020", d.Seller.Endpoint.Value != "", "the seller has no electronic address")
	}
}

// line checks a line, and returns its net amount.
func (r *rulebook) line(d ublRead, l ublLine) domain.Decimal {
	what := "line " + l.ID
	r.must("BR-21", l.ID != "", "a line has no number")
	quantity := l.Invoiced
	if d.XMLName.Local == "CreditNote" {
		quantity = l.Credited
	}
	r.must("BR-22", quantity.Value != "", "%s has no quantity", what)
	r.must("BR-23", quantity.Unit != "", "%s has no unit", what)
	r.must("BR-25", l.Name != "", "%s has no name", what)
	price := r.number("BR-26", "price of "+what, l.Price)
	r.must("BR-26", l.Price != "", "%s has no price", what)
	r.must("BR-27", price.Sign() >= 0, "the price of %s is %s", what, l.Price)
	r.must("BR-CO-20", l.Period.Start+l.Period.End != "", "the period of %s has neither a start nor an end", what)
	r.must("BR-30", l.Period.Start <= l.Period.End, "the period of %s ends before it begins", what)
	r.must("PEPPOL-EN16931-R110", l.Period.Start >= d.Period.Start, "%s begins at %s, before the period", what, l.Period.Start)
	r.must("PEPPOL-EN16931-R111", l.Period.End <= d.Period.End, "%s ends at %s, after the period", what, l.Period.End)
	net := r.number("BR-24", "net amount of "+what, l.Net)
	r.must("BR-24", l.Net != "", "%s has no net amount", what)
	r.digits("BR-DEC-23", what, net)
	want := price.Mul(r.number("BR-22", "quantity of "+what, quantity.Value)).Round(amountDigits)
	r.must("PEPPOL-EN16931-R120", want.Equal(net), "%s is %s, its quantity at its price %s", what, net, want)
	r.must("BR-CO-04", l.Category.ID != "", "%s has no tax category", what)
	r.rate(what, l.Category)
	return net
}

func (r *rulebook) digits(rule, what string, v domain.Decimal) {
	r.must(rule, v.Equal(v.Round(amountDigits)), "%s is %s, with more than two digits", what, v)
}

func (r *rulebook) sums(d ublRead, lines domain.Decimal) {
	s := d.Sums
	net, gross := r.number("BR-13", "sum without tax", s.Net), r.number("BR-14", "sum with tax", s.Gross)
	tax, due := r.number("BR-CO-14", "tax", d.Tax), r.number("BR-15", "amount due", s.Due)
	for rule, v := range map[string]string{"BR-12": s.Lines, "BR-13": s.Net, "BR-14": s.Gross, "BR-15": s.Due} {
		r.must(rule, v != "", "a sum is not given")
	}
	r.must("BR-CO-10", lines.Equal(r.number("BR-12", "sum of the lines", s.Lines)), "the lines sum to %s, it says %s", lines, s.Lines)
	r.must("BR-CO-13", net.Equal(lines), "without tax it is %s, the lines are %s", net, lines)
	r.must("BR-CO-15", gross.Equal(net.Add(tax)), "with tax it is %s, not %s and %s", gross, net, tax)
	r.must("BR-CO-16", due.Equal(gross.Sub(r.number("BR-CO-16", "prepaid amount", s.Prepaid))), "due is %s of %s with %q prepaid", due, gross, s.Prepaid)
	for what, v := range map[string]domain.Decimal{"BR-DEC-09": lines, "BR-DEC-12": net, "BR-DEC-13": tax, "BR-DEC-14": gross, "BR-DEC-18": due} {
		r.digits(what, "a sum", v)
	}
	slices.Sort(r.broken)
}

func (r *rulebook) groups(d ublRead, taxable map[string]domain.Decimal) {
	r.must("BR-CO-18", len(d.Groups) > 0, "there is no breakdown of tax")
	sum := domain.Decimal{}
	for _, g := range d.Groups {
		c := g.Category
		what := "tax category " + c.ID
		r.must("BR-45", g.Taxable != "", "%s has no base", what)
		r.must("BR-46", g.Tax != "", "%s has no amount", what)
		r.must("BR-47", c.ID != "", "a breakdown of tax has no category")
		base, tax := r.number("BR-45", "base of "+what, g.Taxable), r.number("BR-46", "amount of "+what, g.Tax)
		sum = sum.Add(tax)
		k := c.ID + " " + c.Percent
		r.must("BR-"+c.ID+"-08", base.Equal(taxable[k]), "the base of %s is %s, its lines are %s", what, base, taxable[k])
		delete(taxable, k)
		rate := r.number("BR-48", "rate of "+what, c.Percent)
		r.must("BR-48", c.Percent != "" || c.ID == string(domain.TaxOutOfScope), "%s has no rate", what)
		// The official rule lets one unit of the currency pass; a note's tax may
		// be a cent from that of its own base.
		digits := min(amountDigits, domain.Currency(d.Currency).Digits())
		apart := magnitude(tax.Sub(base.Mul(rate).Shift(-2).Round(digits)))
		r.must("BR-CO-17", apart.Cmp(domain.NewDecimal(2, -digits)) <= 0, "the tax of %s is %s on %s at %s %%", what, tax, base, c.Percent)
		switch domain.TaxCategory(c.ID) {
		case domain.TaxStandard:
			r.must("BR-S-10", c.Reason == "" && c.Code == "", "a standard rate has a reason for exemption")
		case domain.TaxZeroRated:
			r.must("BR-Z-09", tax.IsZero(), "%s has a tax of %s", what, tax)
			r.must("BR-Z-10", c.Reason == "" && c.Code == "", "a zero rate has a reason for exemption")
		default:
			r.must("BR-"+c.ID+"-09", tax.IsZero(), "%s has a tax of %s", what, tax)
			r.must("BR-"+c.ID+"-10", c.Reason != "" || c.Code != "", "%s has no reason", what)
		}
		r.parties(d, domain.TaxCategory(c.ID))
		r.must("BR-O-11", c.ID != string(domain.TaxOutOfScope) || len(d.Groups) == 1, "what is out of scope of VAT is on one document with what is not")
	}
	r.must("BR-CO-14", sum.Equal(r.number("BR-CO-14", "tax", d.Tax)), "the tax is %s, its categories sum to %s", d.Tax, sum)
	r.must("BR-CO-18", len(taxable) == 0, "lines have tax categories without a breakdown")
}

// rate checks the rate of a line's tax category: that of the standard rate is
// above zero, there is none out of scope of VAT, and the others are zero.
func (r *rulebook) rate(what string, c ublCategory) {
	rate := r.number("BR-"+c.ID+"-05", "rate of "+what, c.Percent)
	switch domain.TaxCategory(c.ID) {
	case domain.TaxStandard:
		r.must("BR-S-05", rate.Sign() > 0, "the standard rate of %s is %s", what, c.Percent)
	case domain.TaxOutOfScope:
		r.must("BR-O-05", c.Percent == "", "%s is out of scope of VAT, and has a rate of %s", what, c.Percent)
	case domain.TaxZeroRated, domain.TaxExempt, domain.TaxReverseCharge, domain.TaxExport:
		r.must("BR-"+c.ID+"-05", c.Percent != "" && rate.IsZero(), "the rate of %s is %q, not 0", what, c.Percent)
	}
}

// parties checks the tax identifiers that a category needs, or forbids.
func (r *rulebook) parties(d ublRead, c domain.TaxCategory) {
	rule := "BR-" + string(c) + "-02"
	switch c {
	case domain.TaxStandard, domain.TaxZeroRated, domain.TaxExempt:
		r.must(rule, len(d.Seller.Tax) > 0, "the seller has no tax identifier")
	case domain.TaxExport:
		r.must(rule, d.Seller.vat(), "the seller has no VAT identifier, which an export needs")
	case domain.TaxReverseCharge:
		r.must(rule, len(d.Seller.Tax) > 0 && len(d.Buyer.Tax) > 0, "reverse charge needs the tax identifiers of both parties")
	case domain.TaxOutOfScope:
		for _, p := range []struct {
			name  string
			party ublParty
		}{{"seller", d.Seller}, {"buyer", d.Buyer}} {
			r.must(rule, !p.party.vat(), "what is out of scope of VAT must not name the VAT identifier of the %s; is it reverse charge (category AE)?", p.name)
		}
	}
}
