package document

import (
	"fmt"
	"strings"

	"wattbook/domain"
)

// explain says in words what a line's figures do not: what is beyond a
// reservation, and what an interval costs on average where each has its price.
func (c *composer) explain(l domain.InvoiceLine) (notes []string) {
	if c.inv.Layout < 1 {
		return nil
	}
	if l.Kind == domain.ChargeReservedGPUs && strings.HasSuffix(l.Description, ", beyond the reservation") {
		notes = append(notes, "GPU time above the reserved number, counted in each metering interval by itself: what is not used of the reservation in one interval does not make up for another")
	}
	if l.Kind == domain.ChargeReservedPower && strings.HasSuffix(l.Description, ", beyond the reservation") {
		notes = append(notes, "power drawn above the reserved kW, counted in each metering interval by itself")
	}
	if says := c.average(l); says != "" {
		notes = append(notes, says)
	}
	if says := changed(c.inv, c.corrects, l); says == "change of quantity" {
		notes = append(notes, says+", which costs the same")
	}
	return notes
}

// bankDetails says where to pay to, if the seller's account is known.
func (c *composer) bankDetails() []strip {
	b := c.inv.Seller.Bank
	if b == nil {
		return nil
	}
	holder := b.Holder
	if holder == "" {
		holder = c.inv.Seller.Name
	}
	var strips []strip
	for _, f := range []struct{ label, value string }{{"To", holder}, {"Account", b.Account}, {"Bank", b.Name}, {"Routing", b.Routing}, {"Reference", c.inv.Number}} {
		if f.value != "" {
			strips = append(strips, beside(c.block(f.label, left, 60*pt, soft), c.block(f.value, left+60*pt, right-left-60*pt, body))...)
		}
	}
	return strips
}

// balances says how commitments stand after the period.
func (c *composer) balances() {
	if len(c.inv.Balances) == 0 {
		return
	}
	var strips []strip
	for _, b := range c.inv.Balances {
		strips = append(strips, c.block(fmt.Sprintf("%s: %s before, %s added, %s drawn, %s expired; %s left, %s of it paid already.",
			b.Charge, b.Opening, b.Added, b.Drawn, b.Expired, b.Closing, b.Rolled), left, right-left, body)...)
	}
	c.section("Commitments", strips)
}

// proving says how a buyer checks the document without the seller's book.
func (c *composer) proving() []strip {
	if c.inv.Layout < 1 || c.corrects != "" && c.inv.Layout < 4 {
		return nil
	}
	what, file, follows := "invoice", "invoice", "the invoice follows from"
	if c.corrects != "" {
		what, file = strings.ToLower(c.name), "note"
		follows = fmt.Sprintf("the %s follows from, and invoice %s among them", what, c.corrects)
	}
	says := fmt.Sprintf("To check it without access to the seller's book: ask the seller for the proof of this %s "+
		"(“wattbook prove --invoice %s -o %s.proof”) and, once, for the public key of its log, and run “wattbook prove --check %s.proof --key KEY”. "+
		"The proof holds every reading, price and allocation that %s, each with its place in a checkpoint that the log has signed; "+
		"compare that checkpoint, of more than %s events, with one that you or a witness were given before.", what, c.inv.Number, file, file, follows, count(c.inv.AsOf))
	return append([]strip{{height: 4 * pt}}, c.block(says, left, right-left, small)...)
}

// billsGPUs reports whether any line is for GPUs.
func billsGPUs(inv domain.Invoice) bool {
	for _, l := range inv.Lines {
		if strings.HasPrefix(l.Unit, "GPU-") {
			return true
		}
	}
	return false
}

// reconcile says how the days of the annex become the quantities of the lines.
func (c *composer) reconcile() []string {
	var energy domain.Decimal
	for _, d := range c.inv.Daily {
		energy = energy.Add(d.Energy.KilowattHours())
	}
	var says []string
	switch {
	case energy.IsZero():
	case c.inv.Layout >= 4:
		says = c.reconcileEnergy(energy)
	default:
		says = c.reconcileLines(energy)
	}
	return append(says, c.reconcileGPUs()...)
}

// reconcileLines is what layouts 1 to 3 say of the energy of the days: they take
// all of it for that of each line.
func (c *composer) reconcileLines(energy domain.Decimal) (says []string) {
	for _, l := range c.inv.Lines {
		if l.Unit != "kWh" {
			continue
		}
		s := fmt.Sprintf("Line %d bills %s kWh; the days sum to %s kWh as metered.", l.Line, group(l.Quantity.Fixed(3)), group(energy.Fixed(3)))
		if factor := domain.Quo(l.Quantity, energy, 6); !factor.Equal(domain.NewDecimal(1, 0)) && l.Kind == domain.ChargePassThrough {
			s += fmt.Sprintf(" The line is %s times that: the losses and factors that it names.", factor)
		}
		if !l.Estimated.IsZero() && c.inv.Layout >= 2 {
			s += fmt.Sprintf(" Of the line, %s kWh are estimated: no meter counted them interval by interval.", group(l.Estimated.Fixed(3)))
		}
		says = append(says, s)
	}
	return says
}
