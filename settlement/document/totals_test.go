package document

import (
	"testing"

	"wattbook/domain"
)

// TestTotalsOfThePublishedExample is rules/examples/Allowance-example.xml of
// the Peppol BIS Billing 3 repository: prices per two pieces, charges and
// allowances on lines and on the document, two rates, a prepayment.
func TestTotalsOfThePublishedExample(t *testing.T) {
	dec := domain.MustDecimal
	standard, zero := taxRate{domain.TaxStandard, "25"}, taxRate{domain.TaxExempt, "0"}
	edits := []edit{{amount: dec("1")}, {amount: dec("-101")}}
	b := bill{
		lines: []billLine{
			{quantity: dec("10"), price: dec("200"), base: dec("2"), tax: zero},
			{quantity: dec("10"), price: dec("410"), edits: edits, tax: standard},
			{quantity: dec("10"), price: dec("100"), edits: edits, tax: standard},
		},
		edits:   []edit{{dec("200"), standard}, {dec("-200"), standard}},
		prepaid: dec("1000"),
		digits:  2,
	}
	got := b.totals()
	for i, want := range []string{"1000", "4000", "900"} {
		if got.nets[i].String() != want {
			t.Errorf("line %d is %s, want %s", i+1, got.nets[i], want)
		}
	}
	for _, c := range []struct {
		what string
		got  domain.Decimal
		want string
	}{
		{"lines", got.lines, "5900"},
		{"allowances", got.allowances, "200"},
		{"charges", got.charges, "200"},
		{"net", got.net, "5900"},
		{"tax", got.tax, "1225"},
		{"gross", got.gross, "7125"},
		{"prepaid", got.prepaid, "1000"},
		{"due", got.due, "6125"},
	} {
		if c.got.String() != c.want {
			t.Errorf("%s is %s, want %s", c.what, c.got, c.want)
		}
	}
	for i, want := range []struct{ taxable, tax string }{{"1000", "0"}, {"4900", "1225"}} {
		if g := got.groups[i]; g.taxable.String() != want.taxable || g.tax.String() != want.tax {
			t.Errorf("tax group %+v, want %s of %s", g, want.tax, want.taxable)
		}
	}
}
