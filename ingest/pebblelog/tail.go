package pebblelog

import (
	"bytes"
	"maps"

	"wattbook/domain"
	"wattbook/domain/eventlog"
)

// Limits of what is kept of the log's end in memory. Whoever follows the log
// reads there what was just recorded, and the database is not asked.
const (
	tailRecords = 2048
	tailBytes   = 8 << 20
)

// tail holds the last records of the log, all of them durable, without gaps.
type tail struct {
	records []eventlog.Record
	size    int // bytes of their payloads
}

// add appends records that became durable, which are the tail's from then on,
// and lets go of the oldest.
func (t *tail) add(records []eventlog.Record) {
	if n := len(records) - tailRecords; n > 0 {
		t.records, t.size, records = nil, 0, records[n:]
	}
	t.records = append(t.records, records...)
	for _, r := range records {
		t.size += len(r.Payload)
	}
	drop := 0
	for drop < len(t.records) && (len(t.records)-drop > tailRecords || t.size > tailBytes) {
		t.size -= len(t.records[drop].Payload)
		drop++
	}
	t.records = t.records[drop:] // what is before it goes when append moves the rest
}

// from returns the records at positions [from, head), if all of them are
// there. They are shared: whoever hands them out copies them.
func (t *tail) from(from, head domain.Position) ([]eventlog.Record, bool) {
	if len(t.records) == 0 || from < t.records[0].Position {
		return nil, false
	}
	first := t.records[0].Position
	return t.records[from-first : head-first : head-first], true
}

// copied returns a record whose bytes belong to the caller.
func copied(r eventlog.Record) eventlog.Record {
	r.Payload, r.Metadata = bytes.Clone(r.Payload), maps.Clone(r.Metadata)
	return r
}
