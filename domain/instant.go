package domain

import (
	"fmt"
	"time"
)

// Instant is a moment in UTC, in microseconds since 1970-01-01T00:00:00Z.
// It carries no zone and no monotonic clock, so it compares with == and orders
// with <. Local time exists only in [Period] boundaries and in display.
type Instant int64

// Units of time between instants, in microseconds.
const (
	Microsecond Duration = 1
	Millisecond          = 1000 * Microsecond
	Second               = 1000 * Millisecond
	Minute               = 60 * Second
	Hour                 = 60 * Minute
	Day                  = 24 * Hour // a UTC day; a local day may be 23 or 25 hours
)

// Duration is a span of time in microseconds.
type Duration int64

// Std returns d as a time.Duration.
func (d Duration) Std() time.Duration { return time.Duration(d) * time.Microsecond }

// DurationOf returns d in whole microseconds.
func DurationOf(d time.Duration) Duration { return Duration(d / time.Microsecond) }

// String writes d as Go writes durations.
func (d Duration) String() string { return d.Std().String() }

// MarshalText writes d as Go writes durations: "5m0s".
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads a Go duration: "5m", "1h30m".
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("%q is not a duration such as 5m or 1h30m", b)
	}
	*d = DurationOf(v)
	return nil
}

// At returns the instant of t, cut to the microsecond.
func At(t time.Time) Instant { return Instant(t.UnixMicro()) }

// Unix returns the instant s seconds after 1970-01-01T00:00:00Z.
func Unix(s int64) Instant { return Instant(s) * Instant(Second) }

// Time returns t in UTC.
func (t Instant) Time() time.Time { return time.UnixMicro(int64(t)).UTC() }

// Add returns t + d.
func (t Instant) Add(d Duration) Instant { return t + Instant(d) }

// Sub returns t − u.
func (t Instant) Sub(u Instant) Duration { return Duration(t - u) }

// Floor returns the last multiple of step, counted from 1970-01-01T00:00:00Z,
// that is not after t.
func (t Instant) Floor(step Duration) Instant {
	r := t % Instant(step)
	if r < 0 {
		r += Instant(step)
	}
	return t - r
}

// String writes t as RFC 3339 in UTC, with a fraction only where there is one.
func (t Instant) String() string { return t.Time().Format(time.RFC3339Nano) }

// MarshalText writes what String returns.
func (t Instant) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads an RFC 3339 time of any offset.
func (t *Instant) UnmarshalText(b []byte) error {
	v, err := ParseInstant(string(b))
	if err == nil {
		*t = v
	}
	return err
}

// ParseInstant reads an RFC 3339 time; seconds may be left out
// ("2026-10-14T17:35Z").
func ParseInstant(s string) (Instant, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00"} {
		if t, err := time.Parse(layout, s); err == nil {
			if t.Year() < 1970 || t.Year() > 9999 {
				return 0, fmt.Errorf("time %q is outside the years 1970 to 9999", s)
			}
			return At(t), nil
		}
	}
	return 0, fmt.Errorf("%q is not a time such as 2026-10-14T17:35:00Z", s)
}

// Interval is the half-open span of time [Start, End): the only form of
// interval here.
type Interval struct {
	Start Instant `json:"start"`
	End   Instant `json:"end"`
}

// Length returns how long iv is.
func (iv Interval) Length() Duration { return iv.End.Sub(iv.Start) }

// Contains reports whether t is in [Start, End).
func (iv Interval) Contains(t Instant) bool { return iv.Start <= t && t < iv.End }

// Overlap returns the part that iv and other have in common; its length is 0
// or less when they have none.
func (iv Interval) Overlap(other Interval) Interval {
	return Interval{max(iv.Start, other.Start), min(iv.End, other.End)}
}

// Valid reports whether iv has a positive length.
func (iv Interval) Valid() bool { return iv.Start < iv.End }

// String writes iv as [start, end).
func (iv Interval) String() string { return fmt.Sprintf("[%s, %s)", iv.Start, iv.End) }

// Steps returns the number of whole steps in iv, which must be aligned to
// step for the count to be complete.
func (iv Interval) Steps(step Duration) int64 { return int64(iv.Length() / step) }

// Period is a calendar month, the unit of billing.
type Period struct {
	Year  int
	Month time.Month
}

// ParsePeriod reads "2026-10".
func ParsePeriod(s string) (Period, error) {
	t, err := time.Parse("2006-01", s)
	if err != nil || t.Year() < 1970 {
		return Period{}, fmt.Errorf("%q is not a billing period such as 2026-10", s)
	}
	return Period{t.Year(), t.Month()}, nil
}

// In returns the instants between which p lies in the zone: local midnight to
// local midnight, so that a month with a clock change is an hour shorter or
// longer.
func (p Period) In(zone *time.Location) Interval {
	return Interval{
		At(time.Date(p.Year, p.Month, 1, 0, 0, 0, 0, zone)),
		At(time.Date(p.Year, p.Month+1, 1, 0, 0, 0, 0, zone)),
	}
}

// Next returns the month after p.
func (p Period) Next() Period {
	t := time.Date(p.Year, p.Month+1, 1, 0, 0, 0, 0, time.UTC)
	return Period{t.Year(), t.Month()}
}

// After reports whether p is later than q.
func (p Period) After(q Period) bool { return p.Year > q.Year || p.Year == q.Year && p.Month > q.Month }

// Previous returns the month before p.
func (p Period) Previous() Period {
	t := time.Date(p.Year, p.Month-1, 1, 0, 0, 0, 0, time.UTC)
	return Period{t.Year(), t.Month()}
}

// String writes p as "2026-10".
func (p Period) String() string { return fmt.Sprintf("%04d-%02d", p.Year, int(p.Month)) }

// MarshalText writes what String returns, and nothing for the zero period.
func (p Period) MarshalText() ([]byte, error) {
	if p == (Period{}) {
		return []byte{}, nil
	}
	return []byte(p.String()), nil
}

// UnmarshalText reads what MarshalText wrote.
func (p *Period) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*p = Period{}
		return nil
	}
	v, err := ParsePeriod(string(b))
	if err == nil {
		*p = v
	}
	return err
}
