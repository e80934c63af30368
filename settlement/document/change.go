package document

import (
	"fmt"
	"math/big"
	"strings"

	"wattbook/domain"
)

// Change says of a note's line what has changed, where its figures alone would
// not read: a price or an amount of the same quantity, or a quantity that costs
// the same. Of other lines it says nothing: they have a quantity and an amount.
func Change(l domain.InvoiceLine) string {
	switch {
	case l.Quantity.IsZero() && (domain.Charge{Kind: l.Kind}).Derived():
		return "change of amount"
	case l.Quantity.IsZero():
		return "change of price"
	case l.Amount.IsZero():
		return "change of quantity"
	}
	return ""
}

// changed is [Change] of a line of a document, if it is a note that says so.
func changed(inv domain.Invoice, corrects string, l domain.InvoiceLine) string {
	if inv.Layout < 4 || corrects == "" {
		return ""
	}
	return Change(l)
}

// counted writes the quantity of a line in words: of one whose quantity has not
// changed, what has.
func counted(inv domain.Invoice, corrects string, l domain.InvoiceLine) string {
	if says := changed(inv, corrects, l); says != "" && l.Quantity.IsZero() {
		return says
	}
	return fmt.Sprintf("%s %s", l.Quantity, l.Unit)
}

// perUnit says what stands for the price of a line that has no single one.
func (c *composer) perUnit(l domain.InvoiceLine) string {
	switch {
	case c.inv.Layout < 4, l.Kind == domain.ChargePassThrough && !l.Quantity.IsZero():
		return "per interval"
	case l.Kind == domain.ChargeUsage && c.corrects == "":
		return "as described"
	}
	return ""
}

// average says what a kWh of a line costs on average, if the line has no price
// of its own.
func (c *composer) average(l domain.InvoiceLine) string {
	if l.UnitPrice != nil || l.Unit != "kWh" || l.Quantity.IsZero() || c.corrects != "" {
		return ""
	}
	says := fmt.Sprintf("on average %s %s per kWh", domain.Quo(l.Amount.Decimal(), l.Quantity, 6), c.currency)
	if c.inv.Layout < 4 {
		return says + "; the price of each interval is what its market published"
	}
	return says
}

// energyLines are the kWh of a charge on an invoice.
type energyLines struct {
	charge    string
	kind      domain.ChargeKind
	lines     []string
	quantity  domain.Decimal
	estimated domain.Decimal
	span      domain.Interval // from the first line to the last
}

// reconcileEnergy says how the energy of the days becomes the quantities of the
// lines, charge by charge. The days are of all meters of the contract, and a
// charge can be of some of them: what is not known of the invoice alone is not
// said.
func (c *composer) reconcileEnergy(days domain.Decimal) (says []string) {
	var all []*energyLines
	meters := map[string]bool{} // charges that meters count for
	for _, l := range c.inv.Lines {
		if l.Unit == "kWh" || l.Kind == domain.ChargeDemand || l.Kind == domain.ChargeReservedPower {
			meters[l.Charge] = true
		}
		if l.Unit != "kWh" {
			continue
		}
		var of *energyLines
		for _, e := range all {
			if e.charge == l.Charge && e.kind == l.Kind {
				of = e
			}
		}
		if of == nil {
			of = &energyLines{charge: l.Charge, kind: l.Kind, span: l.Interval}
			all = append(all, of)
		}
		of.span.Start, of.span.End = min(of.span.Start, l.Interval.Start), max(of.span.End, l.Interval.End)
		of.lines = append(of.lines, fmt.Sprint(l.Line))
		of.quantity, of.estimated = of.quantity.Add(l.Quantity), of.estimated.Add(l.Estimated)
	}
	apart := false // a charge is not of all meters, as far as the invoice tells
	for _, e := range all {
		bills, names := "Line "+e.lines[0]+" bills", "it names"
		if len(e.lines) > 1 {
			last := len(e.lines) - 1
			bills, names = "Lines "+strings.Join(e.lines[:last], ", ")+" and "+e.lines[last]+" bill", "they name"
		}
		s := fmt.Sprintf("%s %s kWh", bills, group(e.quantity.Fixed(3)))
		factor := domain.Quo(e.quantity, days, 6)
		switch {
		case e.quantity.Equal(days):
			s += ", which is what the days sum to."
		case e.kind == domain.ChargePassThrough && len(meters) == 1 && e.span == c.inv.Interval:
			s += fmt.Sprintf("; the days sum to %s kWh as metered. That is %s times as much: the losses and factors that %s.", group(days.Fixed(3)), factor, names)
		case e.kind == domain.ChargePassThrough:
			s, apart = s+fmt.Sprintf(" of the meters of charge %q, with the losses and factors that %s.", e.charge, names), true
		default:
			s, apart = s+fmt.Sprintf(" of the meters of charge %q.", e.charge), true
		}
		if !e.estimated.IsZero() {
			s += fmt.Sprintf(" Of that, %s kWh are estimated: no meter counted them interval by interval.", group(e.estimated.Fixed(3)))
		}
		says = append(says, s)
	}
	if apart {
		says = append(says, fmt.Sprintf("The days sum to %s kWh: they are of all meters that the contract names, each counted once.", group(days.Fixed(3))))
	}
	return says
}

// reconcileGPUs says how the GPU time of the days becomes what the lines bill.
func (c *composer) reconcileGPUs() []string {
	if !billsGPUs(c.inv) {
		return nil
	}
	used := new(big.Rat)
	for _, d := range c.inv.Daily {
		used.Add(used, big.NewRat(int64(d.GPU), int64(domain.GPUHour)))
	}
	hours := domain.RoundRat(used, 3)
	var beyond domain.Decimal
	reserved, months := false, false
	for _, l := range c.inv.Lines {
		if l.Unit == "GPU-hour" {
			beyond = beyond.Add(l.Quantity)
		}
		reserved = reserved || l.Kind == domain.ChargeReservedGPUs
		months = months || l.Kind == domain.ChargeReservedGPUs && l.Unit == "GPU-month" && strings.HasSuffix(l.Description, ", beyond the reservation")
	}
	s := fmt.Sprintf("The days sum to %s GPU-hours; %s of them are billed by the hour", group(hours.Fixed(3)), group(beyond.Fixed(3)))
	switch rest := group(hours.Sub(beyond).Fixed(3)); {
	case months && c.inv.Layout >= 4:
		s += fmt.Sprintf(", and %s are part of the reservation or are billed in months beyond it", rest)
	case reserved:
		s += fmt.Sprintf(", and %s are part of the reservation", rest)
	}
	return []string{s + "."}
}
