// Package receivables answers what buyers owe, and since when.
package receivables

import (
	"time"

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
	Open    domain.Money // Total + Notes − Paid; negative if overpaid. Of a voided invoice −Paid, without prepayments
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

// On returns how each invoice of a site that was issued by a day stood at its
// end, in the order of issue. Everything counts by the day that it bears,
// whenever it became known: invoices, notes and voids by that of the invoice's
// zone, payments and what was taken back of them by that of their value, in UTC.
func On(f *facts.Facts, site domain.SiteID, day Day) []Standing {
	var all []Standing
	for _, i := range f.Invoices() {
		if i.Invoice.Site == site && by(i.Invoice.Issued, zoneOf(f, i.Invoice), day) {
			all = append(all, standing(f, i.Invoice, day))
		}
	}
	return all
}

// Of returns how an invoice stands, by all that is known.
func Of(f *facts.Facts, inv domain.Invoice) Standing { return standing(f, inv, forever) }

// zoneOf returns the zone of an invoice's days.
func zoneOf(f *facts.Facts, inv domain.Invoice) *time.Location {
	zone, err := f.Zone(inv.Zone)
	if err != nil {
		return time.UTC // no invoice is issued without a zone that is known
	}
	return zone
}

// by reports whether an instant is before the end of a day in a zone.
func by(at domain.Instant, zone *time.Location, day Day) bool {
	return day == forever || DayOf(at, zone) <= day
}

// voided reports whether an invoice counts for nothing by the end of a day.
func voided(f *facts.Facts, inv domain.Invoice, day Day) bool {
	if day == forever || !f.Voided(inv.Number) {
		return f.Voided(inv.Number)
	}
	for _, v := range f.Voids() {
		if v.Invoice == inv.Number {
			return by(v.At, zoneOf(f, inv), day)
		}
	}
	return false
}

// standing returns how an invoice stood at the end of a day.
func standing(f *facts.Facts, inv domain.Invoice, day Day) Standing {
	zero := domain.Money{Currency: inv.Total.Currency}
	s := Standing{Invoice: inv, Notes: zero, Paid: zero}
	for _, p := range f.Arrived(inv.Number) {
		if p.Amount.Currency != zero.Currency || !by(p.At, time.UTC, day) {
			continue
		}
		s.Paid = s.Paid.Add(p.Amount)
		if back, ok := f.Reversal(p.Contract, p.Reference); ok && by(back.At, time.UTC, day) {
			s.Paid = s.Paid.Sub(p.Amount)
		}
	}
	if voided(f, inv, day) {
		s.State, s.Open = Voided, s.Paid.Neg()
		return s
	}
	if inv.Prepaid.Currency == zero.Currency {
		s.Paid = s.Paid.Add(inv.Prepaid)
	}
	for _, n := range f.Notes(inv.Number) {
		if !by(n.Note.Issued, zoneOf(f, inv), day) {
			continue
		}
		if n.Note.Prepaid.Currency == zero.Currency {
			s.Paid = s.Paid.Add(n.Note.Prepaid)
		}
		if n.Note.Total.Currency == zero.Currency {
			s.Notes = s.Notes.Add(n.Note.Total)
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

// AgeOn returns how long the date on which an invoice is due has passed on a
// day. On the date itself it is not overdue.
func AgeOn(f *facts.Facts, inv domain.Invoice, day Day) Age {
	switch late := day - DayOf(inv.Due, zoneOf(f, inv)); {
	case late <= 0:
		return NotDue
	case late <= 30:
		return To30
	case late <= 60:
		return To60
	case late <= 90:
		return To90
	}
	return Over90
}

// Day is a date: days since 1 January 1970.
type Day int64

// forever is after all days.
const forever Day = 1 << 62

// DayOf returns the date of an instant in a zone.
func DayOf(at domain.Instant, zone *time.Location) Day {
	y, m, d := at.Time().In(zone).Date()
	return Day(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86_400)
}

// String writes d as 2026-10-14.
func (d Day) String() string {
	return time.Unix(int64(d)*86_400, 0).UTC().Format(time.DateOnly)
}
