package document

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
	"time"

	"wattbook/domain"
)

// Identifiers of the specifications that an e-invoice follows.
const (
	core    = "urn:cen.eu:en16931:2017"
	peppol  = core + "#compliant#urn:fdc:peppol.eu:2017:poacc:billing:3.0"
	process = "urn:fdc:peppol.eu:2017:poacc:billing:01:1.0"
)

// UBL returns an invoice as UBL 2.1 by the rules of EN 16931 and, where the
// parties have electronic addresses and the buyer a reference, of Peppol BIS
// Billing 3. It is an error where [PDF] would be one, and for a currency whose
// minor unit has more than two digits.
func UBL(inv domain.Invoice) ([]byte, error) {
	return ubl(inv, ublKind{root: "Invoice", code: "380", line: "InvoiceLine", quantity: "InvoicedQuantity", sign: 1})
}

// NoteUBL is [UBL] of a note: a credit note, or an invoice of the debit kind.
func NoteUBL(note domain.Note) ([]byte, error) {
	k := ublKind{root: "Invoice", code: "383", line: "InvoiceLine", quantity: "InvoicedQuantity", sign: 1, corrects: note.Corrects, causes: note.Causes}
	if note.Kind == domain.CreditNote {
		k.root, k.code, k.line, k.quantity, k.sign = "CreditNote", "381", "CreditNoteLine", "CreditedQuantity", -1
	}
	return ubl(note.Invoice, k)
}

// ublKind is what tells an invoice from a credit note.
type ublKind struct {
	root, code, line, quantity string
	sign                       int64
	corrects                   string
	causes                     []string
}

// markup writes XML, two spaces a level.
type markup struct {
	bytes.Buffer
	depth int
}

// node writes an element with what children write into it.
func (m *markup) node(name string, children func()) {
	m.indent()
	fmt.Fprintf(m, "<%s>\n", name)
	m.depth++
	children()
	m.depth--
	m.indent()
	fmt.Fprintf(m, "</%s>\n", strings.Fields(name)[0])
}

// leaf writes an element with a text; an empty one is left out. Attributes are
// names and values in turn.
func (m *markup) leaf(name, text string, attributes ...string) {
	if text = strings.TrimSpace(text); text == "" {
		return
	}
	m.indent()
	m.WriteString("<" + name)
	for i := 0; i+1 < len(attributes); i += 2 {
		fmt.Fprintf(m, " %s=\"", attributes[i])
		escape(&m.Buffer, attributes[i+1])
		m.WriteByte('"')
	}
	m.WriteByte('>')
	escape(&m.Buffer, text)
	fmt.Fprintf(m, "</%s>\n", name)
}

func (m *markup) indent() { m.WriteString(strings.Repeat("  ", m.depth)) }

// escape writes a text as XML; what XML cannot hold becomes U+FFFD.
func escape(b *bytes.Buffer, s string) {
	// A bytes.Buffer takes everything.
	_ = xml.EscapeText(b, []byte(strings.ToValidUTF8(s, "\uFFFD")))
}

// ublDocument writes one document.
type ublDocument struct {
	markup
	inv      domain.Invoice
	kind     ublKind
	bill     bill
	totals   billTotals
	currency string
	calendar calendar
}

func ubl(inv domain.Invoice, kind ublKind) ([]byte, error) {
	if err := check(inv); err != nil {
		return nil, fmt.Errorf("render %q as UBL: %w", inv.Number, err)
	}
	b, err := eInvoiceOf(inv, kind.sign)
	if err != nil {
		return nil, fmt.Errorf("render %q as UBL: %w", inv.Number, err)
	}
	d := ublDocument{inv: inv, kind: kind, bill: b, totals: b.totals(), currency: string(inv.Total.Currency), calendar: newCalendar(inv)}
	d.settleTax()
	d.WriteString(xml.Header)
	d.node(fmt.Sprintf("%s xmlns=%q xmlns:cac=%q xmlns:cbc=%q", kind.root, "urn:oasis:names:specification:ubl:schema:xsd:"+kind.root+"-2",
		"urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2", "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2"), func() {
		d.head()
		d.party("AccountingSupplierParty", inv.Seller)
		d.party("AccountingCustomerParty", inv.Buyer)
		d.payment()
		d.taxes()
		d.sums()
		for i := range inv.Lines {
			d.line(i)
		}
	})
	return d.Bytes(), nil
}

// settleTax takes the tax that is on record: of a note it is what the tax of
// the whole lacks, which can be a cent from the tax of its own net.
func (d *ublDocument) settleTax() {
	for _, part := range d.inv.TaxParts() {
		i := slices.IndexFunc(d.totals.groups, func(g taxGroup) bool { return g.rate == rateOf(part.Tax) })
		if i < 0 {
			continue
		}
		g := &d.totals.groups[i]
		apart := part.Due.Decimal().MulInt(d.kind.sign).Sub(g.tax)
		g.tax = g.tax.Add(apart)
		d.totals.tax, d.totals.gross, d.totals.due = d.totals.tax.Add(apart), d.totals.gross.Add(apart), d.totals.due.Add(apart)
	}
}

// reason returns why no tax is due at a rate.
func (d *ublDocument) reason(r taxRate) string {
	for _, part := range d.inv.TaxParts() {
		if rateOf(part.Tax) == r {
			return part.Tax.Reason
		}
	}
	return ""
}

// day writes the local date of an instant.
func (d *ublDocument) day(at domain.Instant) string {
	if day, ok := d.calendar.midnight(at); ok {
		return day.Format(time.DateOnly)
	}
	return d.calendar.local(at).Format(time.DateOnly)
}

// last writes the local date of the last moment before an instant.
func (d *ublDocument) last(at domain.Instant) string {
	if day, ok := d.calendar.midnight(at); ok {
		return day.AddDate(0, 0, -1).Format(time.DateOnly)
	}
	return d.calendar.local(at - 1).Format(time.DateOnly)
}

func (d *ublDocument) head() {
	inv := d.inv
	customization := core
	if inv.Seller.Endpoint != "" && inv.Buyer.Endpoint != "" && inv.BuyerReference+inv.OrderReference != "" {
		customization = peppol
	}
	d.leaf("cbc:CustomizationID", customization)
	d.leaf("cbc:ProfileID", process)
	d.leaf("cbc:ID", inv.Number)
	d.leaf("cbc:IssueDate", d.calendar.local(inv.Issued).Format(time.DateOnly))
	note := strings.Join(d.kind.causes, "; ")
	if d.kind.root == "Invoice" {
		d.leaf("cbc:DueDate", d.calendar.local(inv.Due).Format(time.DateOnly))
		d.leaf("cbc:InvoiceTypeCode", d.kind.code)
	} else {
		d.leaf("cbc:CreditNoteTypeCode", d.kind.code)
	}
	d.leaf("cbc:Note", note)
	d.leaf("cbc:DocumentCurrencyCode", d.currency)
	d.leaf("cbc:BuyerReference", inv.BuyerReference)
	d.node("cac:InvoicePeriod", func() {
		d.leaf("cbc:StartDate", d.day(inv.Interval.Start))
		d.leaf("cbc:EndDate", d.last(inv.Interval.End))
	})
	if inv.OrderReference != "" {
		d.node("cac:OrderReference", func() { d.leaf("cbc:ID", inv.OrderReference) })
	}
	if d.kind.corrects != "" {
		d.node("cac:BillingReference", func() {
			d.node("cac:InvoiceDocumentReference", func() { d.leaf("cbc:ID", d.kind.corrects) })
		})
	}
	d.node("cac:ContractDocumentReference", func() { d.leaf("cbc:ID", string(inv.Contract)) })
}

func (d *ublDocument) party(role string, p domain.Party) {
	d.node("cac:"+role, func() {
		d.node("cac:Party", func() {
			if scheme, id, ok := strings.Cut(p.Endpoint, ":"); ok {
				d.leaf("cbc:EndpointID", id, "schemeID", scheme)
			}
			d.node("cac:PartyIdentification", func() { d.leaf("cbc:ID", string(p.ID)) })
			d.node("cac:PartyName", func() { d.leaf("cbc:Name", p.Name) })
			d.node("cac:PostalAddress", func() {
				line := func(i int) string {
					if i < len(p.Address) {
						return p.Address[i]
					}
					return ""
				}
				d.leaf("cbc:StreetName", line(0))
				d.leaf("cbc:AdditionalStreetName", line(1))
				if more := strings.Join(p.Address[min(2, len(p.Address)):], ", "); more != "" {
					d.node("cac:AddressLine", func() { d.leaf("cbc:Line", more) })
				}
				d.node("cac:Country", func() { d.leaf("cbc:IdentificationCode", p.Country) })
			})
			if p.TaxID != "" {
				scheme := "TAX"
				if len(p.TaxID) > 2 && strings.Trim(p.TaxID[:2], "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "" {
					scheme = "VAT" // BR-CO-09: it begins with its country's code
				}
				d.node("cac:PartyTaxScheme", func() {
					d.leaf("cbc:CompanyID", p.TaxID)
					d.node("cac:TaxScheme", func() { d.leaf("cbc:ID", scheme) })
				})
			}
			d.node("cac:PartyLegalEntity", func() { d.leaf("cbc:RegistrationName", p.Name) })
		})
	})
}

func (d *ublDocument) payment() {
	inv := d.inv
	d.node("cac:PaymentMeans", func() {
		code := "1" // not defined
		if inv.Seller.Bank != nil {
			code = "30" // credit transfer
		}
		d.leaf("cbc:PaymentMeansCode", code)
		if d.kind.root == "CreditNote" && !credits(inv) {
			d.leaf("cbc:PaymentDueDate", d.calendar.local(inv.Due).Format(time.DateOnly))
		}
		d.leaf("cbc:PaymentID", inv.Number)
		if b := inv.Seller.Bank; b != nil {
			d.node("cac:PayeeFinancialAccount", func() {
				d.leaf("cbc:ID", b.Account)
				d.leaf("cbc:Name", b.Holder)
				if b.Routing != "" {
					d.node("cac:FinancialInstitutionBranch", func() { d.leaf("cbc:ID", b.Routing) })
				}
			})
		}
	})
	if d.kind.root == "CreditNote" && credits(inv) { // terms, or a date: BR-CO-25
		d.node("cac:PaymentTerms", func() { d.leaf("cbc:Note", "Credited against invoice "+d.kind.corrects+"; no payment is due") })
	} else if days := inv.Due.Sub(inv.Issued); days > 0 && days%domain.Day == 0 {
		d.node("cac:PaymentTerms", func() { d.leaf("cbc:Note", fmt.Sprintf("Net %d days", days/domain.Day)) })
	}
}

// money writes an amount with its currency.
func (d *ublDocument) money(name string, v domain.Decimal) {
	d.leaf(name, v.Fixed(min(amountDigits, d.inv.Total.Currency.Digits())), "currencyID", d.currency)
}

func (d *ublDocument) taxes() {
	d.node("cac:TaxTotal", func() {
		d.money("cbc:TaxAmount", d.totals.tax)
		for _, g := range d.totals.groups {
			d.node("cac:TaxSubtotal", func() {
				d.money("cbc:TaxableAmount", g.taxable)
				d.money("cbc:TaxAmount", g.tax)
				d.category("cac:TaxCategory", g.rate, true)
			})
		}
	})
}

// category writes a tax category; of a group, also why nothing is due.
func (d *ublDocument) category(name string, r taxRate, reason bool) {
	d.node(name, func() {
		d.leaf("cbc:ID", string(r.category))
		d.leaf("cbc:Percent", r.percent)
		if reason && r.category != domain.TaxStandard && r.category != domain.TaxZeroRated {
			d.leaf("cbc:TaxExemptionReasonCode", map[domain.TaxCategory]string{
				domain.TaxReverseCharge: "VATEX-EU-AE", domain.TaxExport: "VATEX-EU-G", domain.TaxOutOfScope: "VATEX-EU-O",
			}[r.category])
			d.leaf("cbc:TaxExemptionReason", d.reason(r))
		}
		d.node("cac:TaxScheme", func() { d.leaf("cbc:ID", "VAT") })
	})
}

func (d *ublDocument) sums() {
	t := d.totals
	d.node("cac:LegalMonetaryTotal", func() {
		d.money("cbc:LineExtensionAmount", t.lines)
		d.money("cbc:TaxExclusiveAmount", t.net)
		d.money("cbc:TaxInclusiveAmount", t.gross)
		if !t.prepaid.IsZero() {
			d.money("cbc:PrepaidAmount", t.prepaid)
		}
		d.money("cbc:PayableAmount", t.due)
	})
}

// unitCode returns the code of UN/ECE recommendation 20 for a unit. There is
// none for a kW or a GPU over a month: it is counted in kilowatts, or in pieces,
// and the line's period says the rest.
func unitCode(unit string) string {
	switch unit {
	case "kWh":
		return "KWH"
	case "GPU-hour":
		return "HUR"
	case "kW-month":
		return "KWT"
	case "month":
		return "MON"
	}
	return "C62"
}

func (d *ublDocument) line(i int) {
	l, b := d.inv.Lines[i], d.bill.lines[i]
	d.node("cac:"+d.kind.line, func() {
		d.leaf("cbc:ID", fmt.Sprint(l.Line))
		unit := unitCode(l.Unit)
		if !b.quantity.Equal(l.Quantity.MulInt(d.kind.sign)) && !magnitude(b.quantity).Equal(magnitude(l.Quantity)) {
			unit = "C62" // the quantity is in the item's description
		}
		d.leaf("cbc:"+d.kind.quantity, b.quantity.String(), "unitCode", unit)
		d.money("cbc:LineExtensionAmount", d.totals.nets[i])
		d.node("cac:InvoicePeriod", func() {
			d.leaf("cbc:StartDate", d.day(l.Interval.Start))
			d.leaf("cbc:EndDate", d.last(l.Interval.End))
		})
		d.node("cac:Item", func() {
			description := counted(d.inv, d.kind.corrects, l)
			if l.Detail != "" {
				description += "; " + l.Detail
			}
			d.leaf("cbc:Description", description)
			name := l.Description
			if name == "" {
				name = l.Charge
			}
			d.leaf("cbc:Name", name)
			d.node("cac:SellersItemIdentification", func() { d.leaf("cbc:ID", l.Charge) })
			d.category("cac:ClassifiedTaxCategory", b.tax, false)
		})
		d.node("cac:Price", func() { d.leaf("cbc:PriceAmount", b.price.String(), "currencyID", d.currency) })
	})
}
