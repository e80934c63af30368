package warehouse

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"

	duckdb "github.com/duckdb/duckdb-go/v2"

	"wattbook/domain"
)

// Readings go from the batches into Parquet without a table between them:
// DuckDB reads them, as they are written, from a table function that fills its
// vectors. Names come as numbers, and as one list of what they stand for.

// held are the readings of the part that is being filled.
type held struct {
	batches []heldBatch
	series  map[series]*heldSeries
	rows    int
	numbers map[string]int32 // of names, from 1; 0 is none
	names   []string
}

// heldBatch is an event of readings.
type heldBatch struct {
	position               domain.Position
	observed, recorded     domain.Instant
	site, source, evidence int32 // names
	readings               []domain.Reading
	days                   []int32 // local days of the readings; empty: not known
}

// heldSeries are the readings of a device's channel.
type heldSeries struct {
	device, channel, unit int32 // names
	rows                  []heldRow
}

// heldRow is a reading by its place.
type heldRow struct{ batch, row int32 }

// series is what a device counts: its readings lie together.
type series struct {
	site    domain.SiteID
	device  domain.DeviceID
	channel domain.Channel
}

func newHeld() *held { return &held{series: map[series]*heldSeries{}, numbers: map[string]int32{}} }

// name returns the number of a name.
func (h *held) name(s string) int32 {
	if s == "" {
		return 0
	}
	n, ok := h.numbers[s]
	if !ok {
		h.names = append(h.names, strings.ToValidUTF8(s, "�"))
		n = int32(len(h.names))
		h.numbers[s] = n
	}
	return n
}

// add holds the readings of an event. Their counts fit: none that can be
// recorded has more than 96 bits.
func (h *held) add(rec domain.Recorded, batch domain.ReadingsRecorded, localDay func(domain.Instant) (day, bool)) {
	b := heldBatch{
		position: rec.Position, recorded: rec.RecordedAt, observed: batch.Origin.Observed, readings: batch.Readings,
		site: h.name(string(batch.Site)), source: h.name(string(batch.Origin.Source)),
	}
	if !batch.Origin.Evidence.IsZero() {
		b.evidence = h.name(batch.Origin.Evidence.String())
	}
	for i := range batch.Readings {
		r := &batch.Readings[i]
		h.name(r.Mark.String())
		h.name(r.Provenance.String())
		if d, ok := localDay(r.Interval.Start); ok {
			b.days = append(b.days, int32(d))
		}
		k := series{batch.Site, r.Device, r.Channel}
		of := h.series[k]
		if of == nil {
			of = &heldSeries{device: h.name(string(r.Device)), channel: h.name(r.Channel.String()), unit: h.name(unitOf(r.Channel))}
			h.series[k] = of
		}
		of.rows = append(of.rows, heldRow{int32(len(h.batches)), int32(i)})
	}
	h.batches = append(h.batches, b)
	h.rows += len(batch.Readings)
}

func (h *held) reading(r heldRow) *domain.Reading { return &h.batches[r.batch].readings[r.row] }

// sorted returns the readings in the order of a part: by site, device and
// channel, then by time and by place in the log.
func (h *held) sorted() []*heldSeries {
	keys := make([]series, 0, len(h.series))
	for k := range h.series {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b series) int {
		return cmp.Or(cmp.Compare(a.site, b.site), cmp.Compare(a.device, b.device), cmp.Compare(a.channel.String(), b.channel.String()))
	})
	byTime := func(a, b heldRow) int {
		return cmp.Or(cmp.Compare(h.reading(a).Interval.Start, h.reading(b).Interval.Start), cmp.Compare(a.batch, b.batch), cmp.Compare(a.row, b.row))
	}
	all := make([]*heldSeries, len(keys))
	for i, k := range keys {
		if all[i] = h.series[k]; !slices.IsSortedFunc(all[i].rows, byTime) {
			slices.SortFunc(all[i].rows, byTime)
		}
	}
	return all
}

// source is the table function of the readings that are held.
type source struct {
	held  *held
	order []*heldSeries
	at    int // of order
	next  int // row of it
	infos []duckdb.ColumnInfo
}

// heldColumns are the columns of the table function, in their order.
const (
	colPosition = iota
	colRow
	colSite
	colDevice
	colChannel
	colStart
	colEnd
	colDay
	colValue
	colUnit
	colRegister
	colMark
	colBooks
	colProvenance
	colSource
	colObserved
	colRecorded
	colEvidence
)

// heldQuery reads the table function as rows of the table readings.
const heldQuery = `SELECT position, row, names[site] AS site, names[device] AS device, names[channel] AS channel,
  make_timestamp(start_us) AS start_utc, make_timestamp(end_us) AS end_utc, DATE '1970-01-01' + local_day AS local_day, value,
  names[unit] AS unit, register, names[mark] AS mark, books, names[provenance] AS provenance,
  names[source] AS source, make_timestamp(observed_us) AS observed_utc, make_timestamp(recorded_us) AS recorded_utc, names[evidence] AS evidence
FROM held_readings(), (SELECT getvariable('held_names') AS names)`

// sourceColumns returns the columns of the table function, in the order of the
// constants.
func sourceColumns() ([]duckdb.ColumnInfo, error) {
	count, errs := duckdb.NewDecimalInfo(38, 0)
	info := func(t duckdb.Type) duckdb.TypeInfo {
		i, err := duckdb.NewTypeInfo(t)
		errs = errors.Join(errs, err)
		return i
	}
	number, name, truth := info(duckdb.TYPE_BIGINT), info(duckdb.TYPE_INTEGER), info(duckdb.TYPE_BOOLEAN)
	return []duckdb.ColumnInfo{
		{Name: "position", T: number},
		{Name: "row", T: number},
		{Name: "site", T: name},
		{Name: "device", T: name},
		{Name: "channel", T: name},
		{Name: "start_us", T: number},
		{Name: "end_us", T: number},
		{Name: "local_day", T: name},
		{Name: "value", T: count},
		{Name: "unit", T: name},
		{Name: "register", T: count},
		{Name: "mark", T: name},
		{Name: "books", T: truth},
		{Name: "provenance", T: name},
		{Name: "source", T: name},
		{Name: "observed_us", T: number},
		{Name: "recorded_us", T: number},
		{Name: "evidence", T: name},
	}, errs
}

// newSource describes the readings that are held.
func newSource(h *held) (*source, error) {
	infos, err := sourceColumns()
	if err != nil {
		return nil, fmt.Errorf("readings of a part: %w", err)
	}
	return &source{held: h, order: h.sorted(), infos: infos}, nil
}

// ColumnInfos, Cardinality, Init and FillChunk implement
// duckdb.ChunkTableSource.
func (s *source) ColumnInfos() []duckdb.ColumnInfo { return s.infos }

func (s *source) Cardinality() *duckdb.CardinalityInfo {
	return &duckdb.CardinalityInfo{Cardinality: uint(s.held.rows), Exact: true}
}

func (s *source) Init() { s.at, s.next = 0, 0 }

func (s *source) FillChunk(chunk duckdb.DataChunk) error {
	w := chunkWriter{chunk: chunk}
	for full := duckdb.GetDataChunkCapacity(); w.row < full && s.at < len(s.order); {
		of := s.order[s.at]
		if s.next == len(of.rows) {
			s.at, s.next = s.at+1, 0
			continue
		}
		s.write(&w, of, of.rows[s.next])
		w.row++
		s.next++
	}
	return errors.Join(w.err, chunk.SetSize(w.row))
}

func (s *source) write(w *chunkWriter, of *heldSeries, at heldRow) {
	b, r := &s.held.batches[at.batch], s.held.reading(at)
	w.integer(colPosition, int64(b.position))
	w.integer(colRow, int64(at.row))
	w.name(colSite, b.site)
	w.name(colDevice, of.device)
	w.name(colChannel, of.channel)
	w.integer(colStart, int64(r.Interval.Start))
	w.integer(colEnd, int64(r.Interval.End))
	if len(b.days) > 0 {
		set(w, colDay, b.days[at.row])
	} else {
		set[any](w, colDay, nil)
	}
	w.count(colValue, r.Value)
	w.name(colUnit, of.unit)
	w.count(colRegister, r.Register)
	w.name(colMark, s.held.numbers[r.Mark.String()])
	set(w, colBooks, r.Mark.Books())
	w.name(colProvenance, s.held.numbers[r.Provenance.String()])
	w.name(colSource, b.source)
	if b.observed != 0 {
		w.integer(colObserved, int64(b.observed))
	} else {
		set[any](w, colObserved, nil)
	}
	w.integer(colRecorded, int64(b.recorded))
	w.name(colEvidence, b.evidence)
}

// chunkWriter writes a row of a chunk, and keeps the first error.
type chunkWriter struct {
	chunk duckdb.DataChunk
	row   int
	err   error
}

func set[T any](w *chunkWriter, column int, v T) {
	if err := duckdb.SetChunkValue(w.chunk, column, w.row, v); err != nil && w.err == nil {
		w.err = err
	}
}

func (w *chunkWriter) integer(column int, v int64) { set(w, column, v) }

func (w *chunkWriter) name(column int, n int32) {
	if n == 0 {
		set[any](w, column, nil)
		return
	}
	set(w, column, n)
}

func (w *chunkWriter) count(column int, v domain.Int128) {
	if n, ok := v.Int64(); ok {
		set(w, column, n)
		return
	}
	set(w, column, v.Big())
}

// nameSource is the table function of the names that are held.
type nameSource struct {
	names []string
	next  int
	infos []duckdb.ColumnInfo
}

// ColumnInfos, Cardinality, Init and FillChunk implement
// duckdb.ChunkTableSource.
func (s *nameSource) ColumnInfos() []duckdb.ColumnInfo { return s.infos }

func (s *nameSource) Cardinality() *duckdb.CardinalityInfo {
	return &duckdb.CardinalityInfo{Cardinality: uint(len(s.names)), Exact: true}
}

func (s *nameSource) Init() { s.next = 0 }

func (s *nameSource) FillChunk(chunk duckdb.DataChunk) error {
	w := chunkWriter{chunk: chunk}
	for full := duckdb.GetDataChunkCapacity(); w.row < full && s.next < len(s.names); w.row++ {
		set(&w, 0, int64(s.next))
		set(&w, 1, s.names[s.next])
		s.next++
	}
	return errors.Join(w.err, chunk.SetSize(w.row))
}

// newNameSource describes the names that are held.
func newNameSource(h *held) (*nameSource, error) {
	number, err := duckdb.NewTypeInfo(duckdb.TYPE_BIGINT)
	name, errName := duckdb.NewTypeInfo(duckdb.TYPE_VARCHAR)
	return &nameSource{names: h.names, infos: []duckdb.ColumnInfo{{Name: "n", T: number}, {Name: "name", T: name}}}, errors.Join(err, errName)
}

// tellNames tells DuckDB what the numbers of the readings that are held stand
// for.
func (e *engine) tellNames(ctx context.Context) error {
	return e.exec(ctx, "SET VARIABLE held_names = (SELECT list(name ORDER BY n) FROM held_names())")
}

// serveReadings lets DuckDB read the readings, and the names, that are held by
// then.
func (e *engine) serveReadings(ctx context.Context, now func() *held) (err error) {
	db := sql.OpenDB(struct{ driver.Connector }{e.connector}) // which db does not close
	defer func() { err = errors.Join(err, db.Close()) }()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	return errors.Join(duckdb.RegisterTableUDF(conn, "held_readings", duckdb.ChunkTableFunction{
		BindArguments: func(map[string]any, ...any) (duckdb.ChunkTableSource, error) { return newSource(now()) },
	}), duckdb.RegisterTableUDF(conn, "held_names", duckdb.ChunkTableFunction{
		BindArguments: func(map[string]any, ...any) (duckdb.ChunkTableSource, error) { return newNameSource(now()) },
	}))
}
