package warehouse

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"wattbook/domain"
)

// dayFile are the Parquet files of what is concluded about local days of a
// site, the days from one to another, one of each table. Its name tells what it
// is: <generation>-<from>-<to>-<position>.parquet in a folder of the site.
//
// What counts is told by the names alone. Files of a position that is not
// published yet do not count, nor do those of an older generation than the
// site's last one (all days were drawn again in it); of two files that have a
// day in common, the one of the later position counts.
type dayFile struct {
	path       string // of the last table
	site       domain.SiteID
	generation int64
	from, to   day             // the last day is in the file
	position   domain.Position // that its rows were drawn at
}

// firstDay and lastDay are before and after every day.
const firstDay, lastDay = day(-1 << 30), day(1 << 30)

// lastDaily is the table that is written last: a file is there when it is.
const lastDaily = "intervals"

// daily are the tables of what is concluded about days, the one that is
// written last at the end.
func daily() []string {
	var all []string
	for _, r := range relations(daysSQL) {
		if r.name != lastDaily {
			all = append(all, r.name)
		}
	}
	return append(all, lastDaily)
}

// dailyOrder is how the rows of a table stand in its files.
func dailyOrder(table string) string {
	switch table {
	case "intervals":
		return "start_utc, part"
	case "margins":
		return "start_utc"
	case "usage":
		return "start_utc, customer"
	case "accruals":
		return "contract, version, charge, overage, start_utc"
	case "device_days":
		return "local_day, device"
	case "estimates":
		return "device, channel, start_utc"
	case "margins_by_hour":
		return "start_utc, use, local_day"
	case "margins_by_day":
		return "local_day, use"
	case "margins_by_customer":
		return "local_day, customer, currency"
	}
	return "local_day, model"
}

// text writes a day as in the names of files: 20261031.
func (d day) text() string { return time.Unix(int64(d)*86_400, 0).UTC().Format("20060102") }

// month returns the first and the last day of the month that a day is in.
func (d day) month() (first, last day) {
	y, m, _ := time.Unix(int64(d)*86_400, 0).UTC().Date()
	at := func(m time.Month) day { return day(time.Date(y, m, 1, 0, 0, 0, 0, time.UTC).Unix() / 86_400) }
	return at(m), at(m+1) - 1
}

func parseDay(s string) (day, error) {
	t, err := time.Parse("20060102", s)
	return day(t.Unix() / 86_400), err
}

// of returns the path of a table's file.
func (f dayFile) of(table string) string { return beside(f.path, table) }

func (f dayFile) overlaps(from, to day) bool { return f.from <= to && from <= f.to }

// named returns the file with its path, in the folder of the parts of l.
func (f dayFile) named(l *layout) dayFile {
	name := fmt.Sprintf("%d-%s-%s-%d.parquet", f.generation, f.from.text(), f.to.text(), f.position)
	f.path = filepath.Join(l.daysDir(lastDaily), "site="+url.PathEscape(string(f.site)), name)
	return f
}

func (l *layout) daysDir(table string) string { return filepath.Join(l.dir, l.name, daysName, table) }

// parseDayFile reads a name of the form <generation>-<from>-<to>-<position>.parquet.
func parseDayFile(l *layout, path string) (dayFile, error) {
	var f dayFile
	site, err := url.PathUnescape(strings.TrimPrefix(filepath.Base(filepath.Dir(path)), "site="))
	f.site = domain.SiteID(site)
	var from, to string
	if err == nil {
		_, err = fmt.Sscanf(filepath.Base(path), "%d-%8s-%8s-%d.parquet", &f.generation, &from, &to, &f.position)
	}
	if err == nil {
		f.from, err = parseDay(from)
	}
	if err == nil {
		f.to, err = parseDay(to)
	}
	if f = f.named(l); err != nil || f.path != path || f.to < f.from {
		return f, fmt.Errorf("warehouse: file %s is not of the form <generation>-<from>-<to>-<position>.parquet", path)
	}
	return f, nil
}

// scanDays finds the files of days that count at a published position.
func (l *layout) scanDays(at domain.Position) error {
	var all []dayFile
	last := map[domain.SiteID]int64{}
	for _, path := range globbed(filepath.Join(l.daysDir(lastDaily), "site=*", "*.parquet")) {
		f, err := parseDayFile(l, path)
		if err != nil {
			return err
		}
		if f.position > at {
			l.unpublished = append(l.unpublished, f)
			continue
		}
		all, last[f.site] = append(all, f), max(last[f.site], f.generation)
	}
	// The later position first, and of one position the larger file.
	slices.SortFunc(all, func(a, b dayFile) int {
		return cmp.Or(cmp.Compare(b.position, a.position), cmp.Compare(b.to-b.from, a.to-a.from))
	})
	for _, f := range all {
		since := retiredSince(f.path)
		if since != 0 || f.generation < last[f.site] || len(l.daysOf(f.site, f.from, f.to)) > 0 {
			l.retired = append(l.retired, retirement{f.path, since})
			continue
		}
		l.addDays(f)
	}
	return nil
}

// addDays adds a file, by site and day.
func (l *layout) addDays(f dayFile) {
	i, _ := slices.BinarySearchFunc(l.days, f, func(a, b dayFile) int { return cmp.Or(cmp.Compare(a.site, b.site), cmp.Compare(a.from, b.from)) })
	l.days = slices.Insert(l.days, i, f)
}

// daysOf returns the files that have days of a site from one to another.
func (l *layout) daysOf(site domain.SiteID, from, to day) (all []dayFile) {
	for _, f := range l.days {
		if f.site == site && f.overlaps(from, to) {
			all = append(all, f)
		}
	}
	return all
}

// supersede puts a file in the place of those that have its days.
func (l *layout) supersede(f dayFile) {
	l.dropDays(f.site, f.from, f.to)
	l.addDays(f)
}

// dropDays retires the files that have days of a site.
func (l *layout) dropDays(site domain.SiteID, from, to day) {
	for _, old := range l.daysOf(site, from, to) {
		l.retired = append(l.retired, retirement{path: old.path})
	}
	l.days = slices.DeleteFunc(l.days, func(f dayFile) bool { return f.site == site && f.overlaps(from, to) })
}

// generation returns the generation of a site's files, 1 if there are none.
func (l *layout) generation(site domain.SiteID) int64 {
	for _, f := range l.days {
		if f.site == site {
			return f.generation
		}
	}
	return 1
}

// clearDays deletes the files that no database ever named: those of a
// publication that did not come to its end.
func (l *layout) clearDays() error {
	var all error
	for _, f := range l.unpublished {
		for _, table := range slices.Backward(daily()) { // the last one says that it is there
			all = errors.Join(all, remove(f.of(table)))
		}
	}
	l.unpublished = nil
	return all
}

// missingDays returns an error that names the first file of days that is not
// there.
func (l *layout) missingDays() error {
	for _, f := range l.days {
		for _, table := range daily() {
			if err := whole(f.of(table)); err != nil {
				return err
			}
		}
	}
	return nil
}

// dailyViews returns the definitions of the views on what is concluded about
// days, for the published position.
func (l *layout) dailyViews(next domain.Position) []relation {
	var all []relation
	for _, r := range relations(daysSQL) {
		columns := r.drawn().columnNames()
		from := "SELECT " + columns + " FROM " + openSchema + "." + r.name
		if len(l.days) > 0 {
			files := make([]string, len(l.days))
			for i, f := range l.days {
				files[i] = f.of(r.name)
			}
			from = fmt.Sprintf("SELECT %s\n  FROM read_parquet([%s], hive_partitioning = false)\n  UNION ALL %s", columns, l.found(files), from)
		}
		if r.name == "margins_by_hour" {
			from = wholeHours + "FROM (\n  " + from + "\n)\nGROUP BY site, start_utc, use, currency"
		}
		r.view = true
		r.sql = fmt.Sprintf("CREATE VIEW %s AS\nSELECT CAST(%d AS BIGINT) AS position, %s\nFROM (\n  %s\n);\n", r.name, next, columns, from)
		all = append(all, r)
	}
	return all
}

// wholeHours adds up the pieces of an hour that is in two local days.
const wholeHours = `SELECT site, start_utc, any_value(local_start) AS local_start, min(local_day) AS local_day, use, currency,
  CAST(sum(energy_milliwatt_hours) AS BIGINT) AS energy_milliwatt_hours, sum(revenue) AS revenue, sum(energy_cost) AS energy_cost, sum(margin) AS margin,
  CAST(sum(intervals) AS BIGINT) AS intervals, CAST(sum(unknown_intervals) AS BIGINT) AS unknown_intervals,
  CAST(sum(estimated_intervals) AS BIGINT) AS estimated_intervals,
  ['estimated', 'stated', 'received'][min(list_position(['estimated', 'stated', 'received'], revenue_basis))] AS revenue_basis
`
