package document

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"wattbook/domain"
)

// group sets off the thousands of a plain decimal: "-1234567.5" becomes
// "-1,234,567.5". The minus sign stays an ASCII hyphen, which every program
// reads that an amount is pasted into.
func group(s string) string {
	digits, minus := strings.CutPrefix(s, "-")
	whole, fraction, point := strings.Cut(digits, ".")
	var b strings.Builder
	if minus {
		b.WriteByte('-')
	}
	for i := range len(whole) {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteByte(whole[i])
	}
	if point {
		b.WriteByte('.')
		b.WriteString(fraction)
	}
	return b.String()
}

// amount writes m without its currency: "1,234.50".
func amount(m domain.Money) string { return group(m.Amount()) }

// price writes a unit price exactly, with at least the digits of the currency:
// "2.40", "0.0825".
func price(d domain.Decimal, c domain.Currency) string {
	if d.Equal(d.Round(c.Digits())) {
		return group(d.Fixed(c.Digits()))
	}
	return group(d.String())
}

// percent writes a portion as a percentage: 0.0825 is "8.25%".
func percent(portion domain.Decimal) string { return group(portion.MulInt(100).String()) + "%" }

// count writes a position with its thousands set off.
func count(p domain.Position) string { return group(strconv.FormatUint(uint64(p), 10)) }

// month writes a period: "October 2026".
func month(p domain.Period) string { return fmt.Sprintf("%s %d", p.Month, p.Year) }

// A calendar shows instants as local dates without a table of zones, which
// would be one more thing that a reprint depends on. It knows the offset from
// UTC at the ends of the billing period, since those are local midnights that
// the invoice gives as instants.
type calendar struct {
	invoice    domain.Interval
	start, end time.Duration // offsets from UTC
	// Whether the invoice tells them. One that does not is taken to be like the
	// other, and where neither is known dates are UTC.
	startKnown, endKnown bool
}

func newCalendar(inv domain.Invoice) calendar {
	midnight := inv.Period.In(time.UTC)
	c := calendar{invoice: inv.Interval}
	c.start, c.startKnown = offset(midnight.Start, inv.Interval.Start)
	c.end, c.endKnown = offset(midnight.End, inv.Interval.End)
	switch {
	case c.startKnown && c.endKnown && (c.end-c.start).Abs() > time.Hour:
		// No clock change does that: the invoice is for a part of the month.
		return calendar{invoice: inv.Interval}
	case !c.startKnown:
		c.start = c.end
	case !c.endKnown:
		c.end = c.start
	}
	return c
}

// offset returns how far local time was ahead of UTC at the instant at, which
// local clocks showed as local. An invoice for a part of a month has an end
// that is no local midnight; what that gives is no offset of any zone.
func offset(local, at domain.Instant) (ahead time.Duration, known bool) {
	ahead = local.Sub(at).Std()
	if ahead < -12*time.Hour || ahead > 14*time.Hour || ahead%(15*time.Minute) != 0 {
		return 0, false
	}
	return ahead, true
}

// midnight returns the local day that begins at the instant, if that is what
// it is known to do.
func (c calendar) midnight(at domain.Instant) (day time.Time, ok bool) {
	switch {
	case at == c.invoice.Start && c.startKnown:
		return at.Time().Add(c.start), true
	case at == c.invoice.End && c.endKnown:
		return at.Time().Add(c.end), true
	}
	day = at.Time().Add(c.start)
	return day, c.startKnown && c.endKnown && c.start == c.end && day.Equal(day.Truncate(24*time.Hour))
}

// local returns at as the clocks show it at the offset that holds when the
// period ends: invoices are issued and due after that.
func (c calendar) local(at domain.Instant) time.Time { return at.Time().Add(c.end) }

// date writes the calendar day on which at falls.
func (c calendar) date(at domain.Instant) string { return c.local(at).Format("2 January 2006") }

// Date returns the calendar day (2026-11-02) on which at falls in the
// documents of inv, so that every form of the invoice shows the same dates of
// issue and payment.
func Date(inv domain.Invoice, at domain.Instant) string {
	return newCalendar(inv).local(at).Format(time.DateOnly)
}

// zone writes the zone's offset, or both where the clocks changed: "UTC-05:00".
func (c calendar) zone() string {
	if c.start == c.end {
		return utc(c.start)
	}
	return utc(c.start) + ", then " + utc(c.end)
}

// span writes an interval in one or more short lines: as days where it begins
// and ends at local midnights, and otherwise with times and their offset.
func (c calendar) span(iv domain.Interval) []string {
	first, begins := c.midnight(iv.Start)
	after, ends := c.midnight(iv.End)
	if begins && ends {
		return days(first, after.AddDate(0, 0, -1))
	}
	const layout = "2 Jan 2006 15:04:05"
	short := func(at domain.Instant) string {
		return strings.TrimSuffix(at.Time().Add(c.start).Format(layout), ":00")
	}
	return []string{short(iv.Start) + " to", short(iv.End), utc(c.start)}
}

// days writes a run of days, both included: "1–31 Oct 2026".
func days(first, last time.Time) []string {
	switch {
	case first.Equal(last):
		return []string{first.Format("2 Jan 2006")}
	case first.Year() == last.Year() && first.Month() == last.Month():
		return []string{first.Format("2") + "–" + last.Format("2 Jan 2006")}
	}
	return []string{first.Format("2 Jan 2006") + " to", last.Format("2 Jan 2006")}
}

// utc writes an offset from UTC: "UTC-05:00".
func utc(ahead time.Duration) string {
	if ahead == 0 {
		return "UTC"
	}
	return "UTC" + time.Time{}.In(time.FixedZone("", int(ahead/time.Second))).Format("-07:00")
}
