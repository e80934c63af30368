package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/wire"
	"wattbook/projections/facts"
	"wattbook/projections/margin"
	"wattbook/projections/receivables"
)

// asKnown is what was concluded of a month of a site with what was known at a
// position.
type asKnown struct {
	Position  domain.Position `json:"position"`
	Recorded  domain.Instant  `json:"known_until"` // when the event before the position was recorded
	Site      domain.SiteID   `json:"site"`
	Month     string          `json:"month"`
	Closed    bool            `json:"closed"`
	Currency  domain.Currency `json:"currency"`
	Intervals int64           `json:"intervals"` // of which anything is known
	Unknown   int64           `json:"unknown_intervals"`
	Estimated int64           `json:"estimated_intervals"`
	Uses      []knownUse      `json:"uses"`
	Invoices  []knownInvoice  `json:"invoices"`
}

// knownUse is what a use of energy came to. Sums leave out what is unknown.
type knownUse struct {
	Use     string         `json:"use"`
	Energy  domain.Energy  `json:"energy_milliwatt_hours"`
	Revenue domain.Decimal `json:"revenue"`
	Cost    domain.Decimal `json:"energy_cost"`
	Margin  domain.Decimal `json:"margin"`
	Unknown int64          `json:"unknown_intervals"` // that lack one of the figures, which are sums of the others
}

// knownInvoice is an invoice of the month, and how it stood.
type knownInvoice struct {
	Number string            `json:"number"`
	Buyer  string            `json:"buyer"`
	Total  domain.Money      `json:"total"`
	Open   domain.Money      `json:"open"`
	State  receivables.State `json:"state"`
}

// replayAt shows what a month came to with what was known at a moment: the
// figures that wattbook sql --at gives of it, drawn again from the log.
func (p *program) replayAt(ctx context.Context, l *logFolder, at, month string) error {
	position, named, err := momentOf(ctx, l.log, at)
	if err != nil {
		return err
	}
	if month != "" {
		of, err := domain.ParsePeriod(month)
		if err != nil {
			return usagef("--month: %v", err)
		}
		named = &of
	}
	var all []asKnown
	err = l.folded(ctx, position, func(f *facts.Facts) error {
		for _, s := range f.Sites() {
			one, err := knownOf(f, s, named)
			if err != nil {
				return err
			}
			all = append(all, one)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return fmt.Errorf("--at %s: no site was registered then", at)
	}
	if p.common.json {
		return p.printJSON(all)
	}
	for _, one := range all {
		if err := one.print(p.stdout); err != nil {
			return err
		}
	}
	return nil
}

// momentOf returns the position that a moment stands for, as sql --at has it,
// and the month that it names, if it names one. Of several sites a day ends
// when it does at the last of them.
func momentOf(ctx context.Context, log eventlog.Log, at string) (position domain.Position, month *domain.Period, err error) {
	head, err := log.Head(ctx)
	if err != nil {
		return 0, nil, err
	}
	if n, err := strconv.ParseUint(at, 10, 63); err == nil {
		if position = domain.Position(n); position > head {
			return 0, nil, usagef("--at %s: the log holds %d events", at, head)
		}
		return position, nil, nil
	}
	var until func(domain.Instant) domain.Instant // of a moment and the end of the day at a site
	var day time.Time
	if of, err := domain.ParsePeriod(at); err == nil {
		month = &of
	} else if day, err = time.Parse(time.DateOnly, at); err == nil {
		until = func(end domain.Instant) domain.Instant { return end }
	} else if t, err := domain.ParseInstant(at); err == nil {
		until = func(domain.Instant) domain.Instant { return t + 1 }
	} else {
		return 0, nil, usagef("--at %q; want a position, a day such as 2026-11-03, an instant such as 2026-11-03T17:35:00Z, or a month that was invoiced, such as 2026-10", at)
	}
	end := domain.At(day.AddDate(0, 0, 1))
	sites, closed := false, false
	for r, err := range log.ReadAll(ctx, 0) {
		if err != nil {
			return 0, nil, err
		}
		switch {
		case r.Type == wire.SiteRegistered && !day.IsZero():
			rec, err := wire.Open(r)
			if err != nil {
				return 0, nil, err
			}
			zone, err := time.LoadLocation(rec.Event.(domain.SiteRegistered).Zone)
			if err != nil {
				return 0, nil, err
			}
			there := domain.At(time.Date(day.Year(), day.Month(), day.Day()+1, 0, 0, 0, 0, zone))
			if !sites || there > end {
				end, sites = there, true
			}
		case r.Type == wire.PeriodClosed && month != nil:
			rec, err := wire.Open(r)
			if err != nil {
				return 0, nil, err
			}
			if c := rec.Event.(domain.PeriodClosed); c.Period == *month {
				position, closed = max(position, c.AsOf), true
			}
		}
		if until != nil && r.RecordedAt < until(end) {
			position = r.Position + 1
		}
	}
	if month != nil && !closed {
		return 0, nil, fmt.Errorf("--at %s: that month is not closed", at)
	}
	return position, month, nil
}

// knownOf draws the conclusions of a month of a site; if none is named, of the
// last one that anything is known of, or of the one that the last event is of.
func knownOf(f *facts.Facts, s domain.SiteRegistered, month *domain.Period) (asKnown, error) {
	zone, err := f.Zone(s.Zone)
	if err != nil {
		return asKnown{}, err
	}
	table := f.Table(s.Site)
	of := domain.Period{}
	if month != nil {
		of = *month
	} else {
		last := f.Recorded.Time().In(zone)
		if len(table.Extent(table.Start())) > 0 {
			last = (table.End() - 1).Time().In(zone)
		}
		of = domain.Period{Year: last.Year(), Month: last.Month()}
	}
	_, closed := f.Closed(s.Site, of)
	out := asKnown{Position: f.Next, Recorded: f.Recorded, Site: s.Site, Month: of.String(), Closed: closed, Currency: s.Currency, Invoices: []knownInvoice{}}
	iv := of.In(zone)
	uses := []knownUse{{Use: "mining"}, {Use: "ai"}, {Use: "overhead"}, {Use: "site"}}
	for _, run := range table.Extent(iv.Start) {
		if run = run.Overlap(iv); !run.Valid() {
			continue
		}
		for r, err := range margin.Rows(f, s.Site, run) {
			if err != nil {
				return out, err
			}
			out.Intervals++
			if r.Margin == nil {
				out.Unknown++
			}
			if r.Estimated {
				out.Estimated++
			}
			for i, u := range []margin.Use{r.Mining, r.AI, r.Overhead} {
				uses[i].add(u.Energy, u.State, u.Revenue, u.Cost, u.Margin)
			}
			var revenue *domain.Decimal
			if r.Mining.Revenue != nil && r.AI.Revenue != nil {
				sum := r.Mining.Revenue.Add(*r.AI.Revenue)
				revenue = &sum
			}
			energy, state := table.Energy(s.RevenueMeter, table.SlotOf(r.Interval.Start))
			uses[3].add(energy, state, revenue, r.Cost, r.Margin)
		}
	}
	out.Uses = uses
	for _, st := range receivables.All(f, s.Site) {
		if st.Invoice.Period == of {
			out.Invoices = append(out.Invoices, knownInvoice{st.Invoice.Number, st.Invoice.Buyer.Name, st.Invoice.Total, st.Open, st.State})
		}
	}
	return out, nil
}

func (u *knownUse) add(energy domain.Energy, state facts.State, revenue, cost, margin *domain.Decimal) {
	if state != facts.Unknown {
		u.Energy += energy
	}
	if state == facts.Unknown || revenue == nil || cost == nil || margin == nil {
		u.Unknown++
	}
	for _, pair := range []struct{ sum, more *domain.Decimal }{{&u.Revenue, revenue}, {&u.Cost, cost}, {&u.Margin, margin}} {
		if pair.more != nil {
			*pair.sum = pair.sum.Add(*pair.more)
		}
	}
}

func (k asKnown) print(out io.Writer) error {
	state := "not closed"
	if k.Closed {
		state = "closed"
	}
	fmt.Fprintf(out, "%s, %s (%s), as of position %s: what was recorded until %s\n", k.Site, k.Month, state, thousands(int64(k.Position)), k.Recorded)
	fmt.Fprintf(out, "  %-9s %16s %18s %18s %18s\n", "use", "MWh", "revenue "+string(k.Currency), "energy cost", "margin")
	for _, u := range k.Uses {
		lacking := ""
		if u.Unknown > 0 {
			lacking = fmt.Sprintf("  without %s intervals that are not known", thousands(u.Unknown))
		}
		fmt.Fprintf(out, "  %-9s %16s %18s %18s %18s%s\n", u.Use, group(u.Energy.MegawattHours().Fixed(3)), group(u.Revenue.Fixed(2)), group(u.Cost.Fixed(2)), group(u.Margin.Fixed(2)), lacking)
	}
	fmt.Fprintf(out, "  of %s intervals the margin of %s is not known, and %s rest on an estimate\n", thousands(k.Intervals), thousands(k.Unknown), thousands(k.Estimated))
	if len(k.Invoices) == 0 {
		_, err := fmt.Fprintln(out, "  no invoice of the month was issued by then")
		return err
	}
	for _, i := range k.Invoices {
		if _, err := fmt.Fprintf(out, "  %-16s %-32s %18s  %s, open %s\n", i.Number, i.Buyer, i.Total, i.State, i.Open); err != nil {
			return err
		}
	}
	return nil
}
