package warehouse

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"wattbook/domain"
	"wattbook/projections/facts"
)

// Conclusions about intervals are drawn by local days of a site. A day that is
// over is drawn once: its rows go into a file of the day, and a while after the
// end of the month into one of the month. What a later fact makes stale of it is
// drawn again, into a new file that takes the place of the old one. The days
// that are not over are drawn at every publication, into tables of the database
// that it publishes.

// openSchema holds the tables of days that are not over.
const openSchema = "open"

// settling is how long after its end a day is drawn for good: until then the
// last readings of it arrive.
const settling = domain.Hour

// monthly is how many days after its end a month gets a file of its own: until
// then statements and corrections of its days arrive.
const monthly = 10

// localDay is a local day of a site.
type localDay struct {
	day
	span domain.Interval // from its first metering interval to its last
}

// days returns the local days of a site of which anything is known and that are
// over, in order, and when the first day begins that is not.
func (p *Publisher) days(table *facts.Table, z *zone) (over []localDay, open domain.Instant) {
	up := func(t domain.Instant) domain.Instant { // to where a metering interval begins
		if down := t.Floor(table.Step); down < t {
			return down.Add(table.Step)
		}
		return t
	}
	z.of(table.End().Add(-max(settling, table.Step)))
	if open = up(z.span.Start); p.whole {
		open = beginning
	}
	for _, run := range table.Extent(beginning) {
		for t := run.Start; t < min(run.End, open); {
			d := localDay{z.of(t), domain.Interval{Start: up(z.span.Start), End: up(z.span.End)}}
			if n := len(over); n == 0 || over[n-1].day != d.day { // a day may be in two runs
				over = append(over, d)
			}
			t = d.span.End
		}
	}
	return over, open
}

// settleRows draws the days that are over and not drawn yet, or not any more,
// and those that are not over.
func (p *Publisher) settleRows(ctx context.Context, f *facts.Facts) error {
	if err := p.settleDays(ctx, f); err != nil {
		return err
	}
	p.books.forget(p.stale.first())
	p.stale = newStale(p.known)
	return p.drawOpen(ctx, f)
}

// settleDays draws the days that are over and not drawn yet, or not any more.
func (p *Publisher) settleDays(ctx context.Context, f *facts.Facts) error {
	if err := p.tellDays(ctx, f); err != nil {
		return err
	}
	for _, site := range f.Sites() {
		location, err := f.Zone(site.Zone)
		if err != nil {
			return fmt.Errorf("site %s: %w", site.Site, err)
		}
		over, open := p.days(f.Table(site.Site), &zone{location: location})
		if p.stale.everything(site.Site) && len(p.layout.daysOf(site.Site, firstDay, lastDay)) > 0 {
			generation := p.layout.generation(site.Site) + 1
			p.layout.dropDays(site.Site, firstDay, lastDay)
			p.generations[site.Site] = generation
		}
		for _, t := range p.targets(f, site.Site, over) {
			if err := p.storeDays(ctx, f, site, t); err != nil {
				return err
			}
		}
		p.opened[site.Site] = open
		p.known[site.Site] = f.Table(site.Site).Extent(beginning)
	}
	return nil
}

// drawAhead begins to draw the days that are over of a warehouse that is made
// from the beginning of the log, beside the reading of it. What it returns takes
// the error of the reading, waits for what is drawn, and takes it over; if there
// is an error it is given up.
func (p *Publisher) drawAhead(ctx context.Context, f *facts.Facts) (drawn func(error) error, err error) {
	if !p.fresh() || len(p.layout.days) > 0 {
		return func(err error) error { return err }, nil
	}
	q := &Publisher{cfg: p.cfg, layout: &layout{dir: p.layout.dir, name: p.layout.name, work: p.layout.work}}
	if err := q.begin(ctx, spillName+"-days", nil); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- q.settleDays(ctx, f) }()
	return func(read error) error {
		if read != nil {
			cancel()
		}
		err := errors.Join(<-done, q.engine.close())
		cancel()
		p.layout.days = q.layout.days
		if read != nil {
			return read
		}
		return err
	}, nil
}

// target is a file of days that is to be written.
type target struct {
	from, to day
	of       []dayFile  // that have days of it, and whose place it takes
	redraw   []localDay // what is not taken from them
}

// targets returns the files that are to be written so that they hold the days
// that are over.
func (p *Publisher) targets(f *facts.Facts, site domain.SiteID, over []localDay) (all []target) {
	if len(over) == 0 {
		return nil
	}
	stale := p.stale.of(f, site)
	last := over[len(over)-1].day
	for len(over) > 0 {
		from, to := over[0].month()
		n := 0
		for n < len(over) && over[n].day <= to {
			n++
		}
		month := target{from: from, to: to, of: p.layout.daysOf(site, from, to)}
		for _, d := range over[:n] {
			covered := slices.ContainsFunc(month.of, func(f dayFile) bool { return f.overlaps(d.day, d.day) })
			if !covered || slices.ContainsFunc(stale, func(iv domain.Interval) bool { return iv.Overlap(d.span).Valid() }) {
				month.redraw = append(month.redraw, d)
			}
		}
		over = over[n:]
		whole := len(month.of) == 1 && month.of[0].from == from && month.of[0].to == to
		switch {
		case whole || to+monthly <= last:
			if !whole || len(month.redraw) > 0 {
				all = append(all, month)
			}
		default:
			for _, d := range month.redraw {
				all = append(all, target{d.day, d.day, p.layout.daysOf(site, d.day, d.day), []localDay{d}})
			}
		}
	}
	return all
}

// storeDays writes the files of a target.
func (p *Publisher) storeDays(ctx context.Context, f *facts.Facts, site domain.SiteRegistered, t target) error {
	var within []domain.Interval
	kept := []string{"-1"} // there may be none
	for _, d := range t.redraw {
		within = append(within, d.span)
		kept = append(kept, fmt.Sprint(d.day))
	}
	if err := p.draw(ctx, f, site, within); err != nil {
		return err
	}
	file := dayFile{site: site.Site, generation: max(p.generations[site.Site], p.layout.generation(site.Site)), from: t.from, to: t.to, position: f.Next}.named(p.layout)
	for _, table := range daily() {
		columns := p.tables.relations[table].columnNames()
		query := fmt.Sprintf("SELECT %s FROM %s", columns, table)
		if len(t.of) > 0 {
			files := make([]string, len(t.of))
			for i, of := range t.of {
				files[i] = of.of(table)
			}
			query += fmt.Sprintf(" UNION ALL SELECT %s FROM read_parquet([%s], hive_partitioning = false) WHERE local_day - DATE '1970-01-01' NOT IN (%s)",
				columns, quotedList(files), strings.Join(kept, ", "))
		}
		path := file.of(table)
		if err := makeDir(filepath.Dir(path)); err != nil {
			return err
		}
		if err := p.store(ctx, "FROM ("+query+") ORDER BY "+dailyOrder(table), path); err != nil {
			return err
		}
	}
	p.layout.supersede(file)
	return nil
}

// drawOpen draws the days that are not over. Their rows are in the tables in
// memory after it.
func (p *Publisher) drawOpen(ctx context.Context, f *facts.Facts) error {
	if err := p.truncate(ctx); err != nil {
		return err
	}
	for _, site := range f.Sites() {
		if err := conclude(p.tables, f, site, []domain.Interval{{Start: p.opened[site.Site], End: never}}); err != nil {
			return err
		}
	}
	return p.sum(ctx)
}

// draw draws days of a site. Their rows are in the tables in memory after it,
// and no others.
func (p *Publisher) draw(ctx context.Context, f *facts.Facts, site domain.SiteRegistered, within []domain.Interval) error {
	if err := p.truncate(ctx); err != nil {
		return err
	}
	if err := conclude(p.tables, f, site, within); err != nil {
		return err
	}
	return p.sum(ctx)
}

// sum adds up what was drawn.
func (p *Publisher) sum(ctx context.Context) error {
	if err := p.tables.flush(ctx); err != nil {
		return err
	}
	return p.engine.exec(ctx, dailySQL)
}

// truncate empties the tables of conclusions in memory.
func (p *Publisher) truncate(ctx context.Context) error {
	var all strings.Builder
	for _, table := range append(daily(), "device_pieces", "class_pieces") {
		fmt.Fprintf(&all, "TRUNCATE %s;\n", table)
	}
	return p.engine.exec(ctx, all.String())
}

// tellDays tells DuckDB of the zones of the sites and of what their pools have
// paid, and makes stale what rests on a day that is paid now and was not, or was
// and is not.
func (p *Publisher) tellDays(ctx context.Context, f *facts.Facts) error {
	if err := p.engine.exec(ctx, "TRUNCATE site_zones; TRUNCATE paid_days"); err != nil {
		return err
	}
	for _, s := range f.Sites() {
		if err := p.tables.add("site_zones", string(s.Site), s.Zone); err != nil {
			return err
		}
	}
	if err := p.drawPool(f); err != nil {
		return err
	}
	paid := map[paidDay]bool{}
	for _, d := range p.pool {
		if err := p.tables.add("paid_days", string(d.site), d.span.Start, d.span.End, d.received); err != nil {
			return err
		}
		paid[d.paidDay] = d.received
	}
	if err := p.tables.flush(ctx); err != nil {
		return err
	}
	if p.paid == nil { // what the parts rest on is told by them
		if err := p.unpaid(ctx); err != nil {
			return err
		}
	} else {
		p.repaid(paid)
	}
	p.paid = paid
	return nil
}

// repaid makes stale what rests on days that are paid now and were not, or were
// and are not. A day that nobody pays counts as one that is not paid.
func (p *Publisher) repaid(now map[paidDay]bool) {
	before := func(d paidDay) bool { // another account was paid for a part of it
		for o, received := range p.paid {
			if received && o != d && o.site == d.site && o.span.Overlap(d.span).Valid() {
				return true
			}
		}
		return false
	}
	for d, received := range p.paid {
		if is, ok := now[d]; received != is || !ok && before(d) {
			p.stale.over(d.site, d.span)
		}
	}
	for d, received := range now {
		if _, ok := p.paid[d]; !ok && (received || before(d)) {
			p.stale.over(d.site, d.span)
		}
	}
}

// unpaid makes stale what the files of days say of being paid, and is not so.
func (p *Publisher) unpaid(ctx context.Context) error {
	if len(p.layout.days) == 0 {
		return nil
	}
	return p.engine.query(ctx, fmt.Sprintf(`WITH margin AS (
  SELECT site, start_utc, revenue_basis = 'received' AS received FROM %s WHERE revenue_basis <> 'estimated'
), due AS (
  SELECT m.site, m.start_utc, any_value(m.received) AS received, COALESCE(bool_and(d.received), false) AS now
  FROM margin m LEFT JOIN paid_days d ON d.site = m.site AND d.start_utc <= m.start_utc AND m.start_utc < d.end_utc
  GROUP BY m.site, m.start_utc
)
SELECT site, epoch_us(min(start_utc)), epoch_us(max(start_utc)) FROM due WHERE received <> now GROUP BY site, CAST(start_utc AS DATE)`,
		p.layout.marginFiles("")), func(row []driver.Value) error {
		site, _ := row[0].(string)
		first, _ := row[1].(int64)
		last, _ := row[2].(int64)
		p.stale.over(domain.SiteID(site), domain.Interval{Start: domain.Instant(first), End: domain.Instant(last) + 1})
		return nil
	})
}

// recall reads from the files of days in which pages of the sites anything was
// known when they were drawn.
func (p *Publisher) recall(ctx context.Context, f *facts.Facts) error {
	for _, s := range f.Sites() {
		if len(p.layout.daysOf(s.Site, firstDay, lastDay)) == 0 {
			continue
		}
		length := f.Table(s.Site).PageLength()
		err := p.engine.query(ctx, fmt.Sprintf("SELECT DISTINCT epoch_us(start_utc) // %d FROM %s", int64(length), p.layout.marginFiles(s.Site)), func(row []driver.Value) error {
			n, _ := row[0].(int64)
			start := domain.Instant(n) * domain.Instant(length)
			p.known[s.Site] = append(p.known[s.Site], domain.Interval{Start: start, End: start.Add(length)})
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// marginFiles reads the margins of the days of a site that lie in files; "" is
// any.
func (l *layout) marginFiles(site domain.SiteID) string {
	var files []string
	for _, f := range l.days {
		if site == "" || f.site == site {
			files = append(files, f.of("margins"))
		}
	}
	return fmt.Sprintf("read_parquet([%s], hive_partitioning = false)", quotedList(files))
}

// conclude draws the conclusions about the intervals of a site that begin
// within others, as far as anything is known.
func conclude(t *tables, f *facts.Facts, site domain.SiteRegistered, within []domain.Interval) error {
	location, err := f.Zone(site.Zone)
	if err != nil {
		return fmt.Errorf("site %s: %w", site.Site, err)
	}
	c := concluder{tables: t, facts: f, site: site, table: f.Table(site.Site), zone: &zone{location: location}}
	within = united(slices.Clone(within))
	for _, run := range c.table.Extent(beginning) {
		for _, w := range within {
			if in := run.Overlap(w); in.Valid() {
				if err := c.conclude(in); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (c *concluder) conclude(run domain.Interval) error {
	if err := c.balance(run); err != nil {
		return err
	}
	if err := c.margins(run); err != nil {
		return err
	}
	for _, span := range c.spans(run) {
		for _, draw := range []func(domain.Interval) error{c.contracts, c.devices, c.classes} {
			if err := draw(span); err != nil {
				return err
			}
		}
	}
	return nil
}
