package document

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"wattbook/domain"
)

// bill is an e-invoice in the terms of EN 16931-1, with what its calculation
// rules need. Amounts are of two digits at most.
type bill struct {
	lines    []billLine
	edits    []edit         // allowances and charges of the whole document
	prepaid  domain.Decimal // BT-113
	rounding domain.Decimal // BT-114
	digits   int32          // of the currency, at most two
}

// billLine is a line: BT-131 is its net price for its quantity, with charges and
// without allowances, each of them rounded apart.
type billLine struct {
	quantity, price, base domain.Decimal // base zero: 1
	edits                 []edit
	tax                   taxRate
}

// edit is a charge (positive) or an allowance (negative).
type edit struct {
	amount domain.Decimal
	tax    taxRate // of the whole document's
}

// taxRate tells the groups of BG-23 apart.
type taxRate struct {
	category domain.TaxCategory
	percent  string // "19"; "" where the category has none
}

// billTotals are the sums of BG-22 and BG-23.
type billTotals struct {
	nets                          []domain.Decimal // BT-131 of each line
	lines, allowances, charges    domain.Decimal   // BT-106, 107, 108
	net, tax, gross, prepaid, due domain.Decimal   // BT-109, 110, 112, 113, 115
	groups                        []taxGroup
}

// taxGroup is a breakdown of BG-23.
type taxGroup struct {
	rate         taxRate
	taxable, tax domain.Decimal // BT-116, 117
}

// amountDigits is how many digits the amounts of an e-invoice have at most
// (BR-DEC-01 and those that follow it).
const amountDigits = 2

// totals computes the sums of a document: our own port of the calculation rules
// of EN 16931 (BR-CO-10 to BR-CO-17). A sum of amounts that are rounded is not
// rounded again.
func (b bill) totals() billTotals {
	var t billTotals
	taxed := func(r taxRate, amount domain.Decimal) {
		i := slices.IndexFunc(t.groups, func(g taxGroup) bool { return g.rate == r })
		if i < 0 {
			i = len(t.groups)
			t.groups = append(t.groups, taxGroup{rate: r})
		}
		t.groups[i].taxable = t.groups[i].taxable.Add(amount)
	}
	for _, l := range b.lines {
		base := l.base
		if base.IsZero() {
			base = domain.NewDecimal(1, 0)
		}
		net := domain.Quo(l.price.Mul(l.quantity), base, amountDigits)
		for _, e := range l.edits {
			net = net.Add(e.amount.Round(amountDigits))
		}
		t.nets = append(t.nets, net)
		t.lines = t.lines.Add(net)
		taxed(l.tax, net)
	}
	for _, e := range b.edits {
		v := e.amount.Round(amountDigits)
		if v.Sign() < 0 {
			t.allowances = t.allowances.Sub(v)
		} else {
			t.charges = t.charges.Add(v)
		}
		taxed(e.tax, v)
	}
	for i, g := range t.groups {
		rate := domain.Decimal{}
		if g.rate.percent != "" {
			rate = domain.MustDecimal(g.rate.percent).Shift(-2)
		}
		t.groups[i].tax = g.taxable.Mul(rate).Round(b.digits)
		t.tax = t.tax.Add(t.groups[i].tax)
	}
	slices.SortStableFunc(t.groups, func(x, y taxGroup) int {
		return cmp.Or(cmp.Compare(x.rate.category, y.rate.category), cmp.Compare(x.rate.percent, y.rate.percent))
	})
	t.net = t.lines.Sub(t.allowances).Add(t.charges)
	t.gross = t.net.Add(t.tax)
	t.prepaid = b.prepaid
	t.due = t.gross.Sub(b.prepaid).Add(b.rounding)
	return t
}

// eInvoiceOf brings the figures of an invoice into the terms of an e-invoice.
// Sign is −1 for a credit note, whose amounts are what is credited. Where a
// line's price does not give its amount, since each interval has its own or the
// quantity shown is rounded, the price is what its amount is per unit.
func eInvoiceOf(inv domain.Invoice, sign int64) (bill, error) {
	b := bill{digits: min(amountDigits, inv.Total.Currency.Digits())}
	for _, l := range inv.Lines {
		amount := l.Amount.Decimal().MulInt(sign)
		if !amount.Equal(amount.Round(amountDigits)) {
			return b, fmt.Errorf("line %d: amounts in %s have more than two digits, and an e-invoice must not", l.Line, l.Amount.Currency)
		}
		out := billLine{quantity: l.Quantity.MulInt(sign), tax: rateOf(inv.TaxOf(l))}
		switch {
		case l.UnitPrice != nil && l.UnitPrice.Sign() >= 0 && l.UnitPrice.Mul(out.quantity).Round(amountDigits).Equal(amount):
			out.price = *l.UnitPrice
		case out.quantity.IsZero():
			out.quantity, out.price = domain.NewDecimal(int64(amount.Sign()), 0), magnitude(amount)
		default:
			out.quantity = signed(magnitude(out.quantity), amount)
			out.price = domain.Quo(magnitude(amount), magnitude(out.quantity), unitPriceDigits)
		}
		b.lines = append(b.lines, out)
	}
	if !inv.Prepaid.IsZero() {
		b.prepaid = inv.Prepaid.Decimal().MulInt(sign)
	}
	got := b.totals()
	for i, net := range got.nets {
		if want := inv.Lines[i].Amount.Decimal().MulInt(sign); !net.Equal(want) {
			// Ten digits of a price are too few for so large a quantity.
			b.lines[i].quantity, b.lines[i].price = domain.NewDecimal(int64(want.Sign()), 0), magnitude(want)
		}
	}
	if got = b.totals(); !got.net.Equal(inv.Subtotal.Decimal().MulInt(sign)) {
		return b, errors.New("its lines do not sum to its subtotal")
	}
	return b, nil
}

// rateOf returns the group that a tax is in.
func rateOf(t domain.Tax) taxRate {
	if t.Kind() == domain.TaxOutOfScope {
		return taxRate{category: domain.TaxOutOfScope}
	}
	return taxRate{category: t.Kind(), percent: t.Rate.Shift(2).String()}
}

// unitPriceDigits is how many digits a price per unit has that is computed from
// an amount.
const unitPriceDigits = 10

func magnitude(d domain.Decimal) domain.Decimal {
	if d.Sign() < 0 {
		return d.Neg()
	}
	return d
}

// signed returns d with the sign of another.
func signed(d, like domain.Decimal) domain.Decimal {
	if like.Sign() < 0 {
		return d.Neg()
	}
	return d
}
