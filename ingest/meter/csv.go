package meter

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"wattbook/domain"
	"wattbook/ingest"
)

// unit is a unit that a file may count in.
type unit struct {
	name   string
	digits int32 // one of it is 10^digits of the channel's unit
}

// energyUnits are the units of energy; no name is the end of one before it.
func energyUnits() []unit { return []unit{{"mWh", 0}, {"kWh", 6}, {"MWh", 9}, {"Wh", 3}} }

// unitsOf returns the units that a channel's values may be written in.
func unitsOf(c domain.Channel) []unit {
	switch c {
	case domain.ChannelEnergyImport, domain.ChannelEnergyExport, domain.ChannelGPUEnergy:
		return energyUnits()
	case domain.ChannelHashes:
		return []unit{{"hashes", 0}}
	case domain.ChannelShares:
		return []unit{{"difficulty", 8}}
	case domain.ChannelGPUTime:
		return []unit{{"ms", 0}}
	}
	return nil
}

// The columns of a file of readings, in order.
const (
	columnDevice = iota
	columnChannel
	columnStart
	columnEnd
	columnValue
	columnUnit
	columns
)

func header() []string { return []string{"device", "channel", "start", "end", "value", "unit"} }

// ReadReadings reads interval readings from a CSV file (RFC 4180) with the
// header
//
//	device,channel,start,end,value,unit
//
// Times are RFC 3339 with an offset or Z. The unit is one of mWh, Wh, kWh and
// MWh for energy, hashes for hashes, difficulty for accepted shares, and ms for
// GPU time. Values are plain decimals that are exact in the channel's unit:
// nothing is rounded, and an exponent is refused, since it comes from a program
// that kept the number as a float.
//
// A file is read whole or not at all: an error names the file, and line and
// column of each of the first ten bad lines. Name is what errors call the file.
// The provenance of the values is left for the caller to set: a file does not
// say where its numbers come from.
func ReadReadings(r io.Reader, name string) ([]ingest.Value, error) {
	return Strict{}.ReadReadings(r, name)
}

// Strict reads files of which every line must be bookable.
type Strict struct {
	// Now is the latest time at which an interval may end; 0 is no bound.
	Now domain.Instant
	// Fits reports why a value cannot be booked, as [ingest.Door.Fits] does;
	// nil takes every value. If it is set, an interval that another line of
	// the file tells too is an error.
	Fits func(ingest.Value) error
}

// ReadReadings is the function of this name, for a file of which every line
// must be bookable.
func (s Strict) ReadReadings(r io.Reader, name string) ([]ingest.Value, error) {
	buffered := bufio.NewReader(r)
	if mark, err := buffered.Peek(3); err == nil && string(mark) == "\ufeff" {
		_, _ = buffered.Discard(3) // the byte order mark that spreadsheets write
	}
	f := readingsFile{Strict: s, name: name, r: csv.NewReader(buffered), told: map[series][]told{}}
	f.r.FieldsPerRecord = -1 // counted here, to say what is missing
	f.r.ReuseRecord = true
	record, err := f.r.Read()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read readings %s: the file is empty; begin it with %s", name, strings.Join(header(), ","))
	}
	if err != nil {
		return nil, f.syntax(err)
	}
	if !slices.Equal(record, header()) {
		return nil, fmt.Errorf("read readings %w", f.errorf(0, "header is %.80q; write %s", strings.Join(record, ","), strings.Join(header(), ",")))
	}
	var out []ingest.Value
	var bad ingest.BadLines
	for {
		record, err := f.r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil { // where the next line begins is not sure
			return nil, f.syntax(err)
		}
		v, err := f.value(record)
		if err == nil {
			err = f.bookable(v)
		}
		bad.Add(err)
		out = append(out, v)
	}
	if err := bad.Err(); err != nil {
		if _, one := errors.AsType[*placedError](err); one {
			return nil, fmt.Errorf("read readings %w", err)
		}
		return nil, fmt.Errorf("read readings %s: %w", name, err)
	}
	return out, nil
}

// series is what a value is one of.
type series struct {
	device  domain.DeviceID
	channel domain.Channel
}

// told is an interval of a series, and the line that told it.
type told struct {
	interval domain.Interval
	line     int
}

// readingsFile is a file that is being read.
type readingsFile struct {
	Strict
	name string
	r    *csv.Reader
	told map[series][]told // by start
}

// placedError is an error with its place in a file.
type placedError struct {
	file         string
	line, column int
	err          error
}

func (e *placedError) Error() string {
	return fmt.Sprintf("%s:%d:%d: %v", e.file, e.line, e.column, e.err)
}

func (e *placedError) Unwrap() error { return e.err }

// errorf reports an error in a column of the record that was read last.
func (f readingsFile) errorf(column int, format string, args ...any) error {
	line, at := f.r.FieldPos(column)
	return &placedError{f.name, line, at, fmt.Errorf(format, args...)}
}

// bookable reports why the value of the record that was read last cannot be
// booked.
func (f readingsFile) bookable(v ingest.Value) error {
	if f.Now != 0 && v.Interval.End > f.Now {
		return f.errorf(columnEnd, "end %s is in the future, it is %s; correct the date or the offset", v.Interval.End, f.Now)
	}
	if f.Fits == nil {
		return nil
	}
	if err := f.Fits(v); err != nil {
		column := columnDevice
		if e, ok := errors.AsType[*ingest.ValueError](err); ok {
			column = max(0, slices.Index(header(), e.Field))
		}
		return f.errorf(column, "%w", err)
	}
	k := series{v.Device, v.Channel}
	line, _ := f.r.FieldPos(0)
	all := f.told[k]
	at, _ := slices.BinarySearchFunc(all, v.Interval.Start, func(t told, start domain.Instant) int { return int(t.interval.Start - start) })
	for _, other := range all[max(0, at-1):min(len(all), at+1)] {
		if !other.interval.Overlap(v.Interval).Valid() {
			continue
		}
		if other.interval == v.Interval {
			return f.errorf(columnStart, "line %d tells %s of %s for this interval already; remove one of the two", other.line, v.Channel, v.Device)
		}
		return f.errorf(columnStart, "%s overlaps %s of line %d; tell each interval of %s of %s once", v.Interval, other.interval, other.line, v.Channel, v.Device)
	}
	f.told[k] = slices.Insert(all, at, told{v.Interval, line})
	return nil
}

// syntax turns an error of the CSV library into one with a place.
func (f readingsFile) syntax(err error) error {
	var p *csv.ParseError
	if errors.As(err, &p) {
		return fmt.Errorf("read readings %s:%d:%d: %w; put a field with commas or quotes in quotes, and double the quotes in it", f.name, p.Line, p.Column, p.Err)
	}
	return fmt.Errorf("read readings %s: %w", f.name, err)
}

// value reads one record.
func (f readingsFile) value(record []string) (ingest.Value, error) {
	var v ingest.Value
	var err error
	if len(record) != columns {
		return v, f.errorf(0, "%d fields, want %d: %s", len(record), columns, strings.Join(header(), ","))
	}
	v.Device = domain.DeviceID(strings.Clone(record[columnDevice]))
	if err := domain.CheckID("device", v.Device); err != nil {
		return v, f.errorf(columnDevice, "%w", err)
	}
	if v.Channel, err = domain.ParseChannel(record[columnChannel]); err != nil {
		return v, f.errorf(columnChannel, "%w", err)
	}
	if v.Interval.Start, err = domain.ParseInstant(record[columnStart]); err != nil {
		return v, f.errorf(columnStart, "start: %w", err)
	}
	if v.Interval.End, err = domain.ParseInstant(record[columnEnd]); err != nil {
		return v, f.errorf(columnEnd, "end: %w", err)
	}
	if !v.Interval.Valid() {
		return v, f.errorf(columnEnd, "end %s is not after start %s; swap or correct them", v.Interval.End, v.Interval.Start)
	}
	units := unitsOf(v.Channel)
	at := slices.IndexFunc(units, func(u unit) bool { return u.name == record[columnUnit] })
	if at < 0 {
		names := make([]string, len(units))
		for i, u := range units {
			names[i] = u.name
		}
		return v, f.errorf(columnUnit, "unit %.20q does not fit channel %s; use %s", record[columnUnit], v.Channel, strings.Join(names, ", "))
	}
	v.Value, err = f.number(record[columnValue], v.Channel, units[at])
	return v, err
}

// number reads a value exactly.
func (f readingsFile) number(s string, c domain.Channel, u unit) (domain.Int128, error) {
	d, err := domain.ParseDecimal(s)
	if err != nil {
		return domain.Int128{}, f.errorf(columnValue, "value: %w", err)
	}
	whole, exact := d.Scaled(u.digits)
	switch {
	case d.Sign() < 0:
		return domain.Int128{}, f.errorf(columnValue, "value %.40s is negative; book what flows the other way on its own channel", s)
	case !exact:
		return domain.Int128{}, f.errorf(columnValue, "value %.40s %s has more than %d digits after the point, finer than the book counts; round it where it comes from", s, u.name, u.digits)
	}
	wide := c == domain.ChannelHashes || c == domain.ChannelShares
	v, err := domain.IntFromBig(whole)
	if err != nil || v.Cmp(domain.ReadingLimit) > 0 || !wide && !whole.IsInt64() {
		return domain.Int128{}, f.errorf(columnValue, "value %.40s %s is greater than any device can count", s, u.name)
	}
	return v, nil
}
