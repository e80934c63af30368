package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"wattbook/domain"
)

// The form readings.recorded/1. Numbers are unsigned varints (uvarint) unless
// they are said to be signed (zigzag varints); a string is its length and its
// bytes; instants are microseconds.
//
//	site, source, decoder   3 strings
//	at                      signed
//	observed − at           signed
//	evidence                1 byte, 0 or 1; then 32 bytes if 1
//	rows                    number of readings
//	series                  number of series, then for each:
//	                        bytes shared with the device name before it,
//	                        the rest of the device name (string),
//	                        channel (1 byte), provenance (1 byte)
//	columns                 series index, at − end, end − start, mark:
//	                        each a run-length coded column (below)
//	values                  one wide integer a row
//	registers               one wide integer a row: the difference to the
//	                        register of the row before in the same series,
//	                        or the register itself in the series' first row
//
// A run-length coded column is (run length, signed difference to the value
// before) until all rows are covered: a poll of many devices, or a file of
// many intervals, costs a few bytes a column. A wide integer is a zigzag
// varint of up to 128 bits.

func encodeReadings(e domain.ReadingsRecorded) ([]byte, error) {
	type key struct {
		device     domain.DeviceID
		channel    domain.Channel
		provenance domain.Provenance
	}
	index := make(map[key]int64, len(e.Readings))
	var order []key
	column := make([]int64, len(e.Readings))
	for i, r := range e.Readings {
		if err := r.Validate(); err != nil {
			return nil, fmt.Errorf("encode %s: row %d: %w", ReadingsRecorded, i, err)
		}
		s := key{r.Device, r.Channel, r.Provenance}
		n, ok := index[s]
		if !ok {
			n = int64(len(order))
			index[s] = n
			order = append(order, s)
		}
		column[i] = n
	}

	b := make([]byte, 0, 128+16*len(e.Readings))
	b = appendString(b, string(e.Site))
	b = appendString(b, string(e.Origin.Source))
	b = appendString(b, e.Origin.Decoder)
	b = binary.AppendVarint(b, int64(e.At))
	b = binary.AppendVarint(b, int64(e.Origin.Observed-e.At))
	if e.Origin.Evidence.IsZero() {
		b = append(b, 0)
	} else {
		b = append(b, 1)
		b = append(b, e.Origin.Evidence[:]...)
	}
	b = binary.AppendUvarint(b, uint64(len(e.Readings)))
	b = binary.AppendUvarint(b, uint64(len(order)))
	before := domain.DeviceID("")
	for _, s := range order {
		shared := 0
		for shared < min(len(before), len(s.device)) && before[shared] == s.device[shared] {
			shared++
		}
		b = binary.AppendUvarint(b, uint64(shared))
		b = appendString(b, string(s.device[shared:]))
		b = append(b, byte(s.channel), byte(s.provenance))
		before = s.device
	}

	b = appendColumn(b, column)
	for i, r := range e.Readings {
		column[i] = int64(e.At - r.Interval.End)
	}
	b = appendColumn(b, column)
	for i, r := range e.Readings {
		column[i] = int64(r.Interval.Length())
	}
	b = appendColumn(b, column)
	for i, r := range e.Readings {
		column[i] = int64(r.Mark)
	}
	b = appendColumn(b, column)
	for _, r := range e.Readings {
		b = appendWide(b, r.Value)
	}
	last := make([]domain.Int128, len(order))
	for _, r := range e.Readings {
		n := index[key{r.Device, r.Channel, r.Provenance}]
		b = appendWide(b, r.Register.Sub(last[n]))
		last[n] = r.Register
	}
	return b, nil
}

// readings reads a batch.
func (o *Opener) readings(payload []byte) (domain.Event, error) {
	d := reader{b: payload}
	var e domain.ReadingsRecorded
	e.Site = domain.SiteID(d.string())
	e.Origin.Source = domain.SourceID(d.string())
	e.Origin.Decoder = d.string()
	e.At = domain.Instant(d.varint())
	e.Origin.Observed = e.At + domain.Instant(d.varint())
	switch d.byte() {
	case 0:
	case 1:
		copy(e.Origin.Evidence[:], d.take(len(e.Origin.Evidence)))
	default:
		d.fail("evidence flag is neither 0 nor 1")
	}
	rows := d.count()
	all := o.series(&d, e.Origin.Source)
	e.Readings = make([]domain.Reading, rows)
	in := resized(&o.in, rows) // the series that each row is in
	d.column(rows, func(i, end int, v, step int64) {
		for ; i < end; i, v = i+1, v+step {
			if v < 0 || v >= int64(len(all)) {
				d.fail("series index is out of range")
				return
			}
			in[i] = int32(v)
			r, s := &e.Readings[i], &all[v]
			r.Device, r.Channel, r.Provenance = s.device, s.channel, s.provenance
		}
	})
	d.column(rows, func(i, end int, v, step int64) {
		for ; i < end; i, v = i+1, v+step {
			e.Readings[i].Interval.End = e.At - domain.Instant(v)
		}
	})
	d.column(rows, func(i, end int, v, step int64) {
		for ; i < end; i, v = i+1, v+step {
			e.Readings[i].Interval.Start = e.Readings[i].Interval.End - domain.Instant(v)
		}
	})
	d.column(rows, func(i, end int, v, step int64) {
		for ; i < end; i, v = i+1, v+step {
			if v < 0 || v > 255 {
				d.fail("mark is out of range")
				return
			}
			e.Readings[i].Mark = domain.Mark(v)
		}
	})
	for i := range e.Readings {
		e.Readings[i].Value = d.wide()
	}
	registers := resized(&o.registers, len(all)) // as they stood in the row before
	clear(registers)
	for i := range e.Readings {
		v := d.wide()
		if d.err != nil {
			break
		}
		last := &registers[in[i]]
		*last = last.Add(v)
		e.Readings[i].Register = *last
	}
	if d.err == nil && len(d.b) > 0 {
		d.fail("more bytes after the last reading")
	}
	if d.err != nil {
		return nil, fmt.Errorf("decode %s: %w", ReadingsRecorded, d.err)
	}
	for i := range e.Readings {
		r, s := &e.Readings[i], &all[in[i]]
		check := r.ValidateCount
		if !s.valid { // what its readings have in common is checked once
			check, s.valid = r.Validate, true
		}
		if err := check(); err != nil {
			return nil, fmt.Errorf("decode %s: row %d: %w", ReadingsRecorded, i, err)
		}
	}
	return e, nil
}

// series is what the readings of one register have in common.
type series struct {
	device     domain.DeviceID
	channel    domain.Channel
	provenance domain.Provenance
	valid      bool
	start, end int // of the name in the names
}

// batch is the series of a batch, as bytes and as what the bytes say.
type batch struct {
	raw []byte
	all []series
}

// series reads the series of a source's batch. A source asks the same devices
// poll after poll: where the bytes are those of its batch before, so is what
// they say.
func (o *Opener) series(d *reader, source domain.SourceID) []series {
	if last := o.last[source]; last.raw != nil && bytes.HasPrefix(d.b, last.raw) {
		d.take(len(last.raw))
		return last.all
	}
	raw := d.b
	all := d.series()
	if d.err == nil {
		if o.last == nil {
			o.last = map[domain.SourceID]batch{}
		}
		o.last[source] = batch{bytes.Clone(raw[:len(raw)-len(d.b)]), all}
	}
	return all
}

// resized returns a buffer of n, whatever is in it.
func resized[E any](buffer *[]E, n int) []E {
	if cap(*buffer) < n {
		*buffer = make([]E, n)
	}
	return (*buffer)[:n]
}

// series reads the series of a batch. All names are one string, which is one
// allocation: who keeps a name for longer than the batch copies it.
func (d *reader) series() []series {
	all := make([]series, d.count())
	names := make([]byte, 0, 8*len(all))
	start := 0
	for i := range all {
		before := names[start:]
		shared, n := d.uvarint(), d.uvarint()
		rest := d.take(int(min(n, domain.IDLimit+1)))
		switch {
		case shared > uint64(len(before)):
			d.fail("device name shares more bytes than there are")
		case shared+n > domain.IDLimit:
			d.fail(fmt.Sprintf("device name is longer than %d characters", domain.IDLimit))
		}
		if d.err != nil {
			return nil
		}
		start = len(names)
		names = append(append(names, before[:shared]...), rest...)
		all[i] = series{start: start, end: len(names), channel: domain.Channel(d.byte()), provenance: domain.Provenance(d.byte())}
	}
	text := domain.DeviceID(names)
	for i := range all {
		all[i].device = text[all[i].start:all[i].end]
	}
	return all
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func appendColumn(b []byte, column []int64) []byte {
	last := int64(0)
	for i := 0; i < len(column); {
		diff := column[i] - last
		run := i + 1
		last = column[i]
		for run < len(column) && column[run]-last == diff {
			last = column[run]
			run++
		}
		b = binary.AppendUvarint(b, uint64(run-i))
		b = binary.AppendVarint(b, diff)
		i = run
	}
	return b
}

// appendWide writes the zigzag of v as a varint of up to 19 bytes.
func appendWide(b []byte, v domain.Int128) []byte {
	sign := uint64(v.Hi >> 63)
	hi, lo := (uint64(v.Hi)<<1|v.Lo>>63)^sign, v.Lo<<1^sign
	for hi > 0 || lo >= 0x80 {
		b = append(b, byte(lo)|0x80)
		lo = lo>>7 | hi<<57
		hi >>= 7
	}
	return append(b, byte(lo))
}

// reader reads what the functions above wrote. The first thing that is out of
// range is kept in err; after that everything reads as zero.
type reader struct {
	b   []byte
	err error
}

func (d *reader) fail(why string) {
	if d.err == nil {
		d.err = errors.New(why)
	}
	d.b = nil
}

func (d *reader) take(n int) []byte {
	if n < 0 || n > len(d.b) {
		d.fail("bytes are cut short")
		return nil
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *reader) byte() byte {
	if len(d.b) == 0 {
		d.fail("bytes are cut short")
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *reader) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail("a number is cut short or too long")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *reader) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail("a number is cut short or too long")
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count reads a number of things that take at least one byte each, so a
// hostile count cannot ask for more memory than its bytes are worth.
func (d *reader) count() int {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.fail("a count is larger than what follows")
		return 0
	}
	return int(n)
}

func (d *reader) string() string {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.fail("a string is cut short")
		return ""
	}
	return string(d.take(int(n)))
}

// column reads a column and sets it run by run: the rows from i to end hold v,
// v + step, v + 2 × step and so on.
func (d *reader) column(rows int, set func(i, end int, v, step int64)) {
	last := int64(0)
	for i := 0; i < rows && d.err == nil; {
		run, diff := d.uvarint(), d.varint()
		if run == 0 || run > uint64(rows-i) {
			d.fail("a run is empty or longer than its column")
			return
		}
		end := i + int(run)
		set(i, end, last+diff, diff)
		last += diff * int64(run)
		i = end
	}
}

func (d *reader) wide() domain.Int128 {
	if v, n := binary.Uvarint(d.b); n > 0 { // of 64 bits, as most are
		d.b = d.b[n:]
		sign := -(v & 1)
		return domain.Int128{Hi: int64(sign), Lo: v>>1 ^ sign}
	}
	var hi, lo uint64
	for shift := uint(0); ; shift += 7 {
		c := d.byte()
		part := uint64(c & 0x7f)
		switch {
		case d.err != nil:
			return domain.Int128{}
		case shift > 126 || shift == 126 && part > 3:
			d.fail("a wide integer has more than 128 bits")
			return domain.Int128{}
		case shift < 64:
			lo |= part << shift
			if shift > 57 {
				hi |= part >> (64 - shift)
			}
		default:
			hi |= part << (shift - 64)
		}
		if c < 0x80 {
			break
		}
	}
	sign := -(lo & 1)
	return domain.Int128{Hi: int64(hi>>1 ^ sign), Lo: (lo>>1 | hi<<63) ^ sign}
}
