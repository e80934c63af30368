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
// A file is read whole or not at all: the first error, which names the file,
// line and column, refuses it. Name is what errors call the file. The
// provenance of the values is left for the caller to set: a file does not say
// where its numbers come from.
func ReadReadings(r io.Reader, name string) ([]ingest.Value, error) {
	buffered := bufio.NewReader(r)
	if mark, err := buffered.Peek(3); err == nil && string(mark) == "\ufeff" {
		_, _ = buffered.Discard(3) // the byte order mark that spreadsheets write
	}
	f := readingsFile{name: name, r: csv.NewReader(buffered)}
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
		return nil, f.errorf(0, "header is %.80q; write %s", strings.Join(record, ","), strings.Join(header(), ","))
	}
	var out []ingest.Value
	for {
		record, err := f.r.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, f.syntax(err)
		}
		v, err := f.value(record)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
}

// readingsFile is a file that is being read.
type readingsFile struct {
	name string
	r    *csv.Reader
}

// errorf reports an error in a column of the record that was read last.
func (f readingsFile) errorf(column int, format string, args ...any) error {
	line, at := f.r.FieldPos(column)
	return fmt.Errorf("read readings %s:%d:%d: %w", f.name, line, at, fmt.Errorf(format, args...))
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
