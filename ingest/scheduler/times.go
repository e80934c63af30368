package scheduler

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"wattbook/domain"
)

// lastSecond is 9999-12-31T23:59:59Z.
const lastSecond = 253_402_300_799

// useUnix is what to do about a time that does not say when it was.
const useUnix = "run sacct with SLURM_TIME_FORMAT=%s"

// instant reads a time as sacct prints it: Unix seconds, or a local time of
// the cluster without its zone ("2026-10-14T12:35:00"). A time that sacct does
// not know ("Unknown", "None") is 0.
func (t Terms) instant(s string) (domain.Instant, error) {
	switch s {
	case "", "Unknown", "None":
		return 0, nil
	}
	if seconds, err := strconv.ParseInt(s, 10, 64); err == nil {
		if seconds <= 0 || seconds > lastSecond {
			return 0, fmt.Errorf("%s is outside the years 1970 to 9999", s)
		}
		return domain.Unix(seconds), nil
	}
	const layout = "2006-01-02T15:04:05"
	wall, err := time.Parse(layout, s)
	if err != nil || len(s) != len(layout) || wall.Year() < 1971 {
		return 0, fmt.Errorf("%.32q is not a time; %s", s, useUnix)
	}
	if t.Zone == nil {
		return 0, fmt.Errorf("%s is a local time and no zone is configured; %s", s, useUnix)
	}
	switch all := instantsOf(wall, t.Zone); len(all) {
	case 1:
		return all[0], nil
	case 0:
		return 0, fmt.Errorf("%s does not exist in %s, where clocks were put forward; %s", s, t.Zone, useUnix)
	default:
		return 0, fmt.Errorf("%s occurs twice in %s, where clocks were put back; %s", s, t.Zone, useUnix)
	}
}

// instantsOf returns the instants at which clocks in the zone show the wall
// time, which is given as if it were UTC.
func instantsOf(wall time.Time, zone *time.Location) []domain.Instant {
	near := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), 0, zone)
	tries := []time.Time{near}
	begin, end := near.ZoneBounds()
	if !begin.IsZero() {
		tries = append(tries, begin.Add(-time.Second))
	}
	if !end.IsZero() {
		tries = append(tries, end)
	}
	var all []domain.Instant
	for _, try := range tries {
		_, offset := try.Zone()
		at := wall.Add(-time.Duration(offset) * time.Second)
		_, actual := at.In(zone).Zone()
		if instant := domain.At(at); actual == offset && !slices.Contains(all, instant) {
			all = append(all, instant)
		}
	}
	return all
}
