package document

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"wattbook/domain"
)

// The inks and styles of the document.
var (
	dark  = ink{24, 31, 42}
	muted = ink{98, 107, 121}
	hair  = ink{208, 213, 221}
	tint  = ink{242, 244, 247}

	title   = style{bold, 22 * pt, dark}
	heading = style{bold, 10 * pt, dark}
	strong  = style{bold, 9 * pt, dark}
	body    = style{regular, 9 * pt, dark}
	soft    = style{regular, 9 * pt, muted}
	label   = style{bold, 7*pt + 50, muted}
	small   = style{regular, 7*pt + 50, muted}
)

// A composer turns an invoice into the pages of its document.
type composer struct {
	*typesetter
	book
	inv      domain.Invoice
	currency domain.Currency
	calendar calendar
	papers
}

func compose(t *typesetter, inv domain.Invoice, proof Proof, what papers) *book {
	c := composer{typesetter: t, papers: what, inv: inv, currency: inv.Total.Currency, calendar: newCalendar(inv)}
	c.breakPage()
	c.parties()
	c.amountDue()
	c.lines()
	c.terms()
	c.checking(proof)
	c.annex()
	c.furnish()
	return &c.book
}

// line makes a strip of one line of text, its capitals centered in the height.
func line(s string, x length, a align, st style, height length) strip {
	if s == "" {
		return strip{height: height}
	}
	baseline := (height + st.size*69/100) / 2 // capitals are 0.69 of the size high
	return strip{height: height, texts: []text{{x, baseline, a, st, s}}}
}

// stack makes a line of each of lines.
func stack(lines []string, x length, a align, st style, height length) []strip {
	strips := make([]strip, len(lines))
	for i, s := range lines {
		strips[i] = line(s, x, a, st, height)
	}
	return strips
}

// block wraps s into a stack of lines that begin at x.
func (c *composer) block(s string, x, width length, st style) []strip {
	return stack(c.wrap(s, st.face, st.size, width), x, toRight, st, st.size*135/100)
}

// number makes a figure that ends at x. One that is too wide is set smaller
// and, in the end, broken: no digit is ever left out.
func (c *composer) number(s string, x, width length, st style) []strip {
	return c.fit(s, x, toLeft, width, st)
}

// fit makes a text that is set smaller, and then broken, where it is too wide.
func (c *composer) fit(s string, x length, a align, width length, st style) []strip {
	height := st.size * 135 / 100
	st = c.shrink(s, st, width)
	full, rest := c.chop(s, st.face, st.size, width)
	return stack(append(full, rest), x, a, st, height)
}

// shrink returns st at the size at which s is no wider than width, but not
// below 5 points.
func (t *typesetter) shrink(s string, st style, width length) style {
	for st.size > 5*pt && t.width(s, st.face, st.size) > width {
		st.size -= 50
	}
	return st
}

// parties sets the seller, the buyer and the facts of the invoice.
func (c *composer) parties() {
	const (
		middle = left + 250*pt
		values = middle + 66*pt
		height = 13 * pt
	)
	seller := c.party(c.inv.Seller, style{bold, 12 * pt, dark})
	name := line(c.name, right, toLeft, title, 0)
	name.texts[0].dy = seller[0].texts[0].dy // one baseline for both
	number := c.number(c.oneLine(c.inv.Number), right, 200*pt, style{regular, 10 * pt, muted})
	c.add(beside(seller, append([]strip{name}, number...))...)
	c.gap(22 * pt)

	buyer := append([]strip{line("BILL TO", left, toRight, label, height)}, c.party(c.inv.Buyer, heading)...)
	type fact struct {
		label, value string
		style        style
	}
	all := []fact{
		{"Issued", c.calendar.date(c.inv.Issued), body},
		{"Due", c.calendar.date(c.inv.Due), body},
		{"Period", month(c.inv.Period), body},
		{"", fmt.Sprintf("%s to %s", c.inv.Interval.Start, c.inv.Interval.End), small},
		{"Time zone", fmt.Sprintf("%s (%s)", c.inv.Zone, c.calendar.zone()), body},
		{"Contract", fmt.Sprintf("%s, version %d", c.inv.Contract, c.inv.Version), body},
		{"Site", string(c.inv.Site), body},
	}
	if c.corrects != "" {
		all = append(all, fact{"Corrects", "invoice " + c.corrects, body})
	}
	if c.corrects != "" && credits(c.inv) {
		all = slices.DeleteFunc(all, func(f fact) bool { return f.label == "Due" })
	}
	var facts []strip
	for _, f := range all {
		facts = append(facts, beside(
			stack([]string{f.label}, middle, toRight, soft, height),
			stack(c.wrap(f.value, f.style.face, f.style.size, right-values), values, toRight, f.style, height))...)
	}
	c.add(beside(buyer, facts)...)
	c.gap(20 * pt)
}

// credits reports whether a note is one that nothing is to be paid for.
func credits(note domain.Invoice) bool { return note.Layout >= 3 && note.Total.Minor <= 0 }

// party sets a name in the given style with what belongs to it.
func (c *composer) party(p domain.Party, name style) []strip {
	const width = 230 * pt
	strips := c.block(p.Name, left, width, name)
	if len(strips) == 0 {
		strips = stack([]string{"(no name)"}, left, toRight, name, name.size*135/100)
	}
	for _, s := range append(slices.Clone(p.Address), p.Country) {
		strips = append(strips, c.block(s, left, width, body)...)
	}
	if p.TaxID != "" {
		strips = append(strips, c.block("Tax ID "+p.TaxID, left, width, body)...)
	}
	return strips
}

// amountDue sets the sum that the reader looks for first.
func (c *composer) amountDue() {
	const height, inset = 44 * pt, 12 * pt
	what, when := "Amount due", "by "+c.calendar.date(c.inv.Due)
	if c.inv.Payable().Minor <= 0 {
		what, when = "Total", "no payment is due"
		if c.corrects != "" {
			what, when = "Credit", "against invoice "+c.corrects
		}
	}
	sum := text{right - inset, 28 * pt, toLeft, style{bold, 18 * pt, dark}, string(c.currency) + " " + amount(c.inv.Payable())}
	c.add(strip{
		height: height,
		boxes:  []box{{left, 0, right - left, height, tint}},
		texts: []text{
			{left + inset, 19 * pt, toRight, strong, what},
			{left + inset, 32 * pt, toRight, soft, when},
			sum,
		},
	})
	c.gap(14 * pt)
}

// Columns of the table of lines: where text begins, and where figures end.
const (
	descriptionAt = left + 16*pt
	serviceAt     = left + 170*pt
	quantityFrom  = serviceAt + 76*pt
	quantityTo    = quantityFrom + 66*pt
	unitAt        = quantityTo + 4*pt
	priceFrom     = unitAt + 50*pt
	priceTo       = priceFrom + 48*pt
	amountTo      = right
)

// lines sets the table of lines, with the totals on the page of the last one.
func (c *composer) lines() {
	const height = 16 * pt
	head := append(beside(
		stack([]string{"#"}, left, toRight, label, height),
		stack([]string{"Description"}, descriptionAt, toRight, label, height),
		stack([]string{"Service"}, serviceAt, toRight, label, height),
		stack([]string{"Quantity"}, quantityTo, toLeft, label, height),
		stack([]string{"Unit"}, unitAt, toRight, label, height),
		stack([]string{"Unit price"}, priceTo, toLeft, label, height),
		stack([]string{"Amount " + string(c.currency)}, amountTo, toLeft, label, height),
	), bar(muted))
	rows := make([][]strip, len(c.inv.Lines))
	for i, l := range c.inv.Lines {
		rows[i] = c.row(l)
	}
	if len(rows) == 0 {
		rows = [][]strip{stack([]string{"There are no charges in this period."}, descriptionAt, toRight, soft, 24*pt)}
	}
	rows[0] = append(slices.Clone(head), rows[0]...)
	last := len(rows) - 1
	rows[last] = append(rows[last], c.totals()...)
	for _, row := range rows {
		c.add(row...)
		c.head = head
	}
	c.head = nil
	c.gap(16 * pt)
}

// row sets one line of the invoice: its figures, and under the description in
// small type what explains them.
func (c *composer) row(l domain.InvoiceLine) []strip {
	const height = 12*pt + 15
	wide := serviceAt - descriptionAt - 10*pt
	text := c.block(l.Description, descriptionAt, wide, body)
	notes := append([]string{l.Detail}, c.explain(l)...)
	if !l.Estimated.IsZero() {
		notes = append(notes, fmt.Sprintf("of which estimated: %s %s", group(l.Estimated.String()), l.Unit))
	}
	if !l.Tax.IsZero() {
		notes = append(notes, "under "+taxName(l.Tax))
	}
	if l.Charge != "" {
		notes = append(notes, "contract charge: "+l.Charge)
	}
	var explained []strip
	for _, n := range notes {
		explained = append(explained, c.block(n, descriptionAt, wide, small)...)
	}
	if len(explained) > 0 {
		explained[0].height += pt
		explained[0].texts[0].dy += pt
	}
	text = append(text, explained...)
	unitPrice := stack([]string{c.perUnit(l)}, priceTo, toLeft, style{regular, 8 * pt, muted}, height)
	if l.UnitPrice != nil {
		unitPrice = c.number(price(*l.UnitPrice, c.currency), priceTo, priceTo-priceFrom, body)
	}
	quantity, unit := c.number(group(l.Quantity.String()), quantityTo, quantityTo-quantityFrom, body), c.block(l.Unit, unitAt, priceFrom-unitAt-2*pt, body)
	if says := changed(c.inv, c.corrects, l); says != "" && l.Quantity.IsZero() {
		quantity, unit = nil, c.block(says, quantityFrom+8*pt, priceFrom-quantityFrom-10*pt, style{regular, 8 * pt, muted})
	}
	row := []strip{{height: 4 * pt}}
	row = append(row, beside(
		c.fit(strconv.FormatInt(l.Line, 10), left, toRight, descriptionAt-left-3*pt, style{regular, 8 * pt, muted}),
		text,
		stack(c.calendar.span(l.Interval), serviceAt, toRight, style{regular, 8 * pt, dark}, height),
		quantity,
		unit,
		unitPrice,
		c.number(amount(l.Amount), amountTo, amountTo-priceTo-6*pt, body),
	)...)
	return append(row, strip{height: 4*pt + 50, boxes: []box{{left, 4 * pt, right - left, 50, hair}}})
}

// totals sets what the lines sum to, the tax and the total.
func (c *composer) totals() []strip {
	const (
		at     = left + 250*pt
		height = 16 * pt
	)
	item := func(what, figure string, st style) []strip {
		return beside(
			stack(c.wrap(what, st.face, st.size, 140*pt), at, toRight, st, height),
			stack([]string{figure}, right, toLeft, c.shrink(figure, st, 86*pt), height))
	}
	strips := append([]strip{{height: 6 * pt}}, item("Subtotal", amount(c.inv.Subtotal), body)...)
	for _, part := range c.inv.TaxParts() {
		says := taxName(part.Tax)
		if len(c.inv.Taxes) > 0 {
			says += " on " + amount(part.Base)
		}
		strips = append(strips, item(says, amount(part.Due), body)...)
		strips = append(strips, c.block(part.Tax.Reason, at, right-at, small)...)
	}
	strips = append(strips, strip{height: 8 * pt, boxes: []box{{at, 4 * pt, right - at, 80, dark}}})
	strips = append(strips, item("Total "+string(c.currency), amount(c.inv.Total), style{bold, 12 * pt, dark})...)
	if !c.inv.Prepaid.IsZero() {
		strips = append(strips, item(fromPrepayments(c.inv), amount(c.inv.Prepaid.Neg()), body)...)
		strips = append(strips, item("To pay "+string(c.currency), amount(c.inv.Payable()), style{bold, 12 * pt, dark})...)
	}
	return strips
}

// taxName says which tax it is.
func taxName(t domain.Tax) string {
	name := t.Name
	if name == "" {
		name = "Tax"
	}
	return name + " (" + percent(t.Rate) + ")"
}

// fromPrepayments says what is done with prepayments: a credit note adds to them.
func fromPrepayments(inv domain.Invoice) string {
	if inv.Prepaid.Minor < 0 {
		return "Added to prepayments"
	}
	return "Paid from prepayments"
}

// bar makes a thin line across the page, without space.
func bar(i ink) strip {
	return strip{height: 80, boxes: []box{{left, 0, right - left, 80, i}}}
}

// terms says what to pay and until when.
func (c *composer) terms() {
	says := "No payment is due for this invoice."
	if c.inv.Payable().Minor > 0 {
		net := ""
		if days := c.inv.Due.Sub(c.inv.Issued); days > 0 && days%domain.Day == 0 {
			net = fmt.Sprintf(" (net %d days)", days/domain.Day)
		}
		says = fmt.Sprintf("Please pay %s %s by %s%s and quote %s %s.",
			c.currency, amount(c.inv.Payable()), c.calendar.date(c.inv.Due), net, strings.ToLower(c.name), c.inv.Number)
	}
	if c.corrects != "" {
		if c.inv.Total.Minor <= 0 {
			says = fmt.Sprintf("The amount is credited against invoice %s.", c.corrects)
			if back := c.inv.Prepaid; back.Minor < 0 {
				says = fmt.Sprintf("Of the amount, %s %s of invoice %s was paid from prepayments: the next invoice can draw it again.", c.currency, amount(back.Neg()), c.corrects)
			}
		}
		why := c.block(fmt.Sprintf("Since invoice %s was drawn, the following has come on record:", c.corrects), left, right-left, body)
		for _, cause := range c.causes {
			why = append(why, c.block("· "+cause, left, right-left, body)...)
		}
		c.section("Why this note", why)
	}
	pay := c.block(says, left, right-left, body)
	if c.inv.Payable().Minor > 0 && c.corrects == "" || c.inv.Total.Minor > 0 && c.corrects != "" {
		pay = append(pay, c.bankDetails()...)
	}
	c.section("Payment", pay)
	c.balances()
}

// checking says where the invoice's figures come from and how to derive them
// again.
func (c *composer) checking(proof Proof) {
	says := fmt.Sprintf("This %s was drawn at log position %s: it follows from the events of site %s "+
		"that the log holds before that position, and from nothing else. To derive it again, run “wattbook replay” on a copy "+
		"of the log up to that position. The same %s always prints to the same bytes, "+
		"and the log holds the digest of this document.", strings.ToLower(c.name), count(c.inv.AsOf), c.inv.Site, strings.ToLower(c.name))
	strips := append(c.block(says, left, right-left, small), strip{height: 4 * pt})
	for _, f := range []struct{ label, value string }{
		{"Log", c.inv.Checkpoint.Log},
		{"Signed checkpoint", c.checkpoint()},
		{"Its root", root(c.inv.Checkpoint.Root)},
		{"Digest of the usage", digest(proof.Usage)},
	} {
		if f.value != "" {
			strips = append(strips, beside(
				c.block(f.label, left, 90*pt, small),
				c.block(f.value, left+90*pt, right-left-90*pt, small))...)
		}
	}
	strips = append(strips, c.proving()...)
	c.section("How to check this "+strings.ToLower(c.name), strips)
}

// clip cleans s and cuts it off where it is too wide. It is for what the
// document shows in full elsewhere.
func (c *composer) clip(s string, st style, width length) string {
	s = c.oneLine(s)
	if full, _ := c.chop(s, st.face, st.size, width); len(full) > 0 {
		return full[0] + "…"
	}
	return s
}

// digest writes d in hexadecimal, or nothing where there is none.
func digest(d domain.Digest) string {
	if d.IsZero() {
		return ""
	}
	return "SHA-256 " + d.String()
}

// checkpoint says how much of the log was signed.
func (c *composer) checkpoint() string {
	if c.inv.Checkpoint == (domain.Checkpoint{}) {
		return ""
	}
	return fmt.Sprintf("%s events, when this %s was issued", count(c.inv.Checkpoint.Size), strings.ToLower(c.name))
}

// root writes the root of a checkpoint as the checkpoint itself does (C2SP
// tlog-checkpoint), or nothing where there is none.
func root(d domain.Digest) string {
	if d.IsZero() {
		return ""
	}
	return base64.StdEncoding.EncodeToString(d[:])
}

// section sets strips under a heading.
func (c *composer) section(name string, strips []strip) {
	c.add(append([]strip{line(name, left, toRight, heading, 18*pt)}, strips...)...)
	c.gap(14 * pt)
}

// furnish gives every page its foot and all but the first their head, now that
// the number of pages is known.
func (c *composer) furnish() {
	number := c.clip(c.name+" "+c.inv.Number, small, 170*pt)
	foot := c.clip(fmt.Sprintf("%s · drawn at log position %s · derived again by “wattbook replay”",
		number, count(c.inv.AsOf)), small, right-left-80*pt)
	for i := range c.pages {
		put := func(y length, s strip) { c.pages[i] = append(c.pages[i], placed{y, s}) }
		if i > 0 {
			put(32*pt, line(number, left, toRight, small, 12*pt))
			put(32*pt, line(month(c.inv.Period), right, toLeft, small, 12*pt))
			put(45*pt, bar(hair))
		}
		put(pageHeight-50*pt, bar(hair))
		put(pageHeight-46*pt, line(foot, left, toRight, small, 12*pt))
		put(pageHeight-46*pt, line(fmt.Sprintf("page %d of %d", i+1, len(c.pages)), right, toLeft, small, 12*pt))
	}
}
