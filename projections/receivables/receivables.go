// Package receivables answers what buyers owe, and since when.
package receivables

import (
	"wattbook/domain"
	"wattbook/projections/facts"
)

// State is what has become of an invoice.
type State string

// The states of an issued invoice.
const (
	Issued   State = "issued" // nothing is paid
	PartPaid State = "part paid"
	Paid     State = "paid"
	Overpaid State = "overpaid" // more arrived than is due
	Voided   State = "voided"
)

// Standing is how an invoice stands.
type Standing struct {
	Invoice domain.Invoice
	State   State
	Notes   domain.Money // sum of its notes: negative where it was credited
	Paid    domain.Money // what arrived for it, prepayments that it drew and its notes did not give back included
	Open    domain.Money // Total + Notes − Paid; negative if overpaid
}

// Overdue reports whether something of it is open after its due date.
func (s Standing) Overdue(at domain.Instant) bool {
	return s.Open.Minor > 0 && at > s.Invoice.Due
}

// All returns how each invoice of a site stands, in the order of issue.
func All(f *facts.Facts, site domain.SiteID) []Standing {
	var all []Standing
	for _, i := range f.Invoices() {
		if i.Invoice.Site == site {
			all = append(all, Of(f, i.Invoice))
		}
	}
	return all
}

// Of returns how an invoice stands.
func Of(f *facts.Facts, inv domain.Invoice) Standing {
	zero := domain.Money{Currency: inv.Total.Currency}
	s := Standing{Invoice: inv, Notes: zero, Paid: zero}
	if f.Voided(inv.Number) {
		s.State, s.Open = Voided, zero
		return s
	}
	if inv.Prepaid.Currency == zero.Currency {
		s.Paid = inv.Prepaid
	}
	for _, n := range f.Notes(inv.Number) {
		if n.Note.Prepaid.Currency == zero.Currency {
			s.Paid = s.Paid.Add(n.Note.Prepaid)
		}
		if n.Note.Total.Currency == zero.Currency {
			s.Notes = s.Notes.Add(n.Note.Total)
		}
	}
	for _, p := range f.Payments(inv.Number) {
		if p.Amount.Currency == zero.Currency {
			s.Paid = s.Paid.Add(p.Amount)
		}
	}
	s.Open = inv.Total.Add(s.Notes).Sub(s.Paid)
	switch {
	case s.Open.Minor < 0 && s.Paid.Minor > 0:
		s.State = Overpaid
	case s.Open.Minor <= 0:
		s.State = Paid
	case s.Paid.Minor > 0:
		s.State = PartPaid
	default:
		s.State = Issued
	}
	return s
}

// Age is how long what is open has been due.
type Age string

// The ages, in the order of reports.
const (
	NotDue Age = "not due"
	To30   Age = "1-30 days"
	To60   Age = "31-60 days"
	To90   Age = "61-90 days"
	Over90 Age = "over 90 days"
)

// Ages returns the ages in the order of reports.
func Ages() []Age { return []Age{NotDue, To30, To60, To90, Over90} }

// AgeAt returns how long a due date has passed at an instant.
func AgeAt(due, at domain.Instant) Age {
	switch late := at.Sub(due); {
	case late <= 0:
		return NotDue
	case late <= 30*domain.Day:
		return To30
	case late <= 60*domain.Day:
		return To60
	case late <= 90*domain.Day:
		return To90
	}
	return Over90
}
