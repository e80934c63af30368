package settlement

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"wattbook/domain"
	"wattbook/projections/facts"
)

// spill is what was put aside for a group: a row for each reading, in the order
// of the log, and one for each allocation. Its bytes never leave the run that
// wrote them.
type spill struct {
	file    Scratch
	devices []device
	buyers  []domain.CustomerID

	step  domain.Duration
	out   *bufio.Writer
	err   error // of the first write that failed
	row   []byte
	last  domain.Position
	start int64 // of the reading before, in steps
}

type device struct {
	id    domain.DeviceID
	first domain.Instant // of what was read of it so far
}

// spillBuffer is how many bytes of a group wait to be written.
const spillBuffer = 32 << 10

func newSpill(file Scratch, step domain.Duration) spill {
	return spill{file: file, step: step, out: bufio.NewWriterSize(file, spillBuffer)}
}

// The kinds of row. That of a reading is its channel, times 16, plus its mark.
const (
	rowAllocation = 1
	rowReading    = 16
)

// end ends a row.
func (s *spill) end() {
	if _, err := s.out.Write(s.row); err != nil && s.err == nil {
		s.err = err
	}
}

func (s *spill) reading(p domain.Position, number int, r domain.Reading) {
	s.row = append(s.row[:0], byte(r.Channel)*rowReading+byte(r.Mark))
	s.row = binary.AppendUvarint(s.row, uint64(p-s.last))
	start := int64(r.Interval.Start) / int64(s.step)
	s.row = binary.AppendUvarint(s.row, uint64(number))
	s.row = binary.AppendVarint(s.row, start-s.start)
	s.row = binary.AppendVarint(s.row, r.Interval.Steps(s.step))
	s.row = binary.AppendUvarint(s.row, r.Value.Lo)
	s.row = binary.AppendVarint(s.row, r.Value.Hi)
	s.last, s.start = p, start
	s.end()
}

func (s *spill) allocation(number int, a facts.Allocation) {
	s.row = append(s.row[:0], rowAllocation)
	s.row = binary.AppendUvarint(s.row, uint64(number))
	s.row = binary.AppendVarint(s.row, a.GPUs)
	s.row = binary.AppendVarint(s.row, int64(a.At))
	s.row = binary.AppendVarint(s.row, int64(a.End))
	s.end()
}

func (s *spill) flush() error {
	if err := errors.Join(s.err, s.out.Flush()); err != nil {
		return fmt.Errorf("write the scratch file: %w", err)
	}
	s.out = nil
	return nil
}

// replay yields the readings that were put aside, those of a position together,
// and the allocations.
func (s *spill) replay(site domain.SiteID, allocated func(facts.Allocation), yield func(domain.Recorded) error) error {
	fail := func(err error) error { return fmt.Errorf("read the scratch file: %w", err) }
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return fail(err)
	}
	in := &rowReader{r: bufio.NewReaderSize(s.file, spillBuffer)}
	var batch domain.ReadingsRecorded
	var at domain.Position
	flush := func() error {
		if len(batch.Readings) == 0 {
			return nil
		}
		err := yield(domain.Recorded{Position: at, Event: batch})
		batch.Readings = batch.Readings[:0]
		return err
	}
	batch.Site = site
	position, start := domain.Position(0), int64(0)
	for {
		kind, err := in.r.ReadByte()
		if errors.Is(err, io.EOF) {
			return flush()
		}
		if err == nil && kind == rowAllocation {
			allocated(in.allocation(site, s.buyers))
		} else if err == nil {
			if position += domain.Position(in.uvarint()); position != at {
				if err := flush(); err != nil {
					return err
				}
				at = position
			}
			r := domain.Reading{Device: s.devices[in.index(len(s.devices))].id, Channel: domain.Channel(kind / rowReading), Mark: domain.Mark(kind % rowReading)}
			start += in.varint()
			r.Interval.Start = domain.Instant(start) * domain.Instant(s.step)
			r.Interval.End = r.Interval.Start.Add(domain.Duration(in.varint()) * s.step)
			r.Value = domain.Int128{Lo: in.uvarint(), Hi: in.varint()}
			batch.Readings = append(batch.Readings, r)
		}
		if in.keep(err); in.err != nil {
			return fail(in.err)
		}
	}
}

// rowReader reads the numbers of rows, and keeps the first error.
type rowReader struct {
	r   *bufio.Reader
	err error
}

func (r *rowReader) uvarint() uint64 {
	v, err := binary.ReadUvarint(r.r)
	r.keep(err)
	return v
}

func (r *rowReader) varint() int64 {
	v, err := binary.ReadVarint(r.r)
	r.keep(err)
	return v
}

func (r *rowReader) keep(err error) {
	if r.err == nil {
		r.err = err
	}
}

// index reads a number below n, which is not 0 where there are rows.
func (r *rowReader) index(n int) uint64 {
	v := r.uvarint()
	if v >= uint64(n) {
		r.keep(fmt.Errorf("row of number %d of %d", v, n))
		return 0
	}
	return v
}

func (r *rowReader) allocation(site domain.SiteID, buyers []domain.CustomerID) facts.Allocation {
	var a facts.Allocation
	a.Site, a.Customer = site, buyers[r.index(len(buyers))]
	a.GPUs, a.At, a.End = r.varint(), domain.Instant(r.varint()), domain.Instant(r.varint())
	return a
}
