package journal

import (
	"fmt"
	"slices"

	"wattbook/domain"
)

// utilityBill is a bill of the utility as it was told last.
type utilityBill struct {
	domain.UtilityBilled
	trued      bool     // what was accrued for it is trued up to it
	difference int64    // that was booked then
	days       []string // whose accrual it took
}

// utility books a bill of the utility. Where all of its interval is closed,
// what was accrued for it is trued up to the bill; else that waits until it is.
// A bill that is restated is taken back first.
func (b *builder) utility(rec domain.Recorded, e domain.UtilityBilled) {
	site, ok := b.facts.Site(b.site)
	if !ok || e.Amount.Currency != site.Currency {
		return
	}
	date, late := b.dated(rec, e.At)
	if late != "" {
		late = ", dated " + late
	}
	if i := slices.IndexFunc(b.bills, func(o *utilityBill) bool { return o.Reference == e.Reference }); i >= 0 {
		if !e.Corrects {
			return
		}
		was := b.bills[i]
		b.bills = slices.Delete(b.bills, i, i+1)
		for _, day := range was.days {
			delete(b.taken, day)
		}
		b.bookOn(rec, date, fmt.Sprintf("Utility bill %s for %s to %s is restated: what was booked of it%s", e.Reference, was.Interval.Start, was.Interval.End, late),
			minor(accruedEnergy(site), was.difference-was.Amount.Minor, site.Currency), money(utilityPayable, was.Amount), minor(energyTrueUp, -was.difference, site.Currency))
	}
	b.bookOn(rec, date, fmt.Sprintf("Utility bill %s for %s to %s%s", e.Reference, e.Interval.Start, e.Interval.End, late),
		money(accruedEnergy(site), e.Amount), money(utilityPayable, e.Amount.Neg()))
	b.bills = append(b.bills, &utilityBill{UtilityBilled: e})
	b.trueUp(rec, date)
}

// Accounts of the utility's bills.
const (
	utilityPayable = "Liabilities:Payable:Utility"
	energyTrueUp   = "Expenses:Energy:TrueUp"
)

func accruedEnergy(site domain.SiteRegistered) string {
	return "Liabilities:AccruedEnergy:" + name(site.RevenueMeter)
}

// trueUp books, on a date, the differences of bills to what was accrued for
// their intervals, as soon as those are closed. What was accrued for a day is
// billed once: where two bills are for the same day, as of supply and of
// delivery, the later one is all difference.
func (b *builder) trueUp(rec domain.Recorded, date string) {
	site, _ := b.facts.Site(b.site)
	zone := zoneOf(b.facts, b.site)
	for _, e := range b.bills {
		if e.trued || !b.closedOver(e.Interval) {
			continue
		}
		accrued := int64(0)
		for day, v := range b.energy {
			if !b.taken[day] && day >= dateIn(zone, e.Interval.Start) && day < dateIn(zone, e.Interval.End) {
				accrued += v
				e.days = append(e.days, day)
				b.taken[day] = true
			}
		}
		e.trued, e.difference = true, e.Amount.Minor-accrued
		b.bookOn(rec, date, fmt.Sprintf("Utility bill %s against what was accrued from %s to %s", e.Reference, e.Interval.Start, e.Interval.End),
			minor(energyTrueUp, e.difference, site.Currency), minor(accruedEnergy(site), -e.difference, site.Currency))
	}
}

// closedOver reports whether all of an interval is in closed periods.
func (b *builder) closedOver(iv domain.Interval) bool {
	covered := domain.Duration(0)
	for _, c := range b.facts.Periods() {
		if part := c.Interval.Overlap(iv); c.Site == b.site && part.Valid() {
			covered += part.Length()
		}
	}
	return covered >= iv.Length()
}
