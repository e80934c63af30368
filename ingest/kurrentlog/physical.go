package kurrentlog

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"wattbook/domain"
	"wattbook/domain/eventlog"
)

// Keys of the metadata that the log adds to an event's own.
const (
	keyStream   = "wattbook.stream"
	keyRevision = "wattbook.revision"
	keyAppend   = "wattbook.append"
	keyPart     = "wattbook.part"
	keyPiece    = "wattbook.piece"
	keyMetadata = "wattbook.metadata"
	keyRecorded = "wattbook.recorded"

	reserved = "wattbook."     // begins every key of the log's
	keyOwn   = "wattbook.own." // stands before a draft's key that begins like that, too
)

const (
	// typeContinued is the type of the pieces of an event but the first.
	typeContinued = "wattbook.continued"

	// maxInline bounds the draft's metadata that are written as JSON.
	maxInline = 32 << 10

	// overhead is more than what the log adds to an event.
	overhead = 1 << 10

	// maxParts bounds what is believed of an append's size.
	maxParts = 1 << 20
)

// physical is an event of the physical stream, and what its metadata say.
type physical struct {
	number          uint64 // revision in the physical stream
	commit, prepare uint64
	created         domain.Instant
	id              domain.EventID
	kind            string
	data            []byte

	stream        eventlog.Stream
	revision      eventlog.Revision
	append        domain.EventID
	part, parts   int
	piece, pieces int
	head          int  // bytes of data that are the draft's metadata
	stated        bool // recorded is when another log recorded the event
	recorded      domain.Instant
	metadata      eventlog.Metadata
}

// newAppendID names an append. It is random, not derived: two appends of the
// same events are two.
func newAppendID() (id domain.EventID) {
	_, _ = rand.Read(id[:]) // it never fails
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}

// staged is a draft with its place in its stream.
type staged struct {
	stream   eventlog.Stream
	revision eventlog.Revision
	draft    eventlog.Draft
	stated   bool // another log recorded it before, at the instant recorded
	recorded domain.Instant
}

// encode makes the physical events of an append, none of them larger than
// limit.
func encode(id domain.EventID, events []staged, limit int) []esdb.EventData {
	var all []esdb.EventData
	var metadata []map[string]string
	for _, s := range events {
		m, data := own(s.draft)
		if s.stated {
			m[keyRecorded] = strconv.FormatInt(int64(s.recorded), 10)
		}
		room := limit - overhead - sizeOf(m)
		m[keyStream] = string(s.stream)
		m[keyRevision] = strconv.FormatUint(uint64(s.revision), 10)
		pieces := cut(data, room, limit-overhead)
		for i, piece := range pieces {
			e := esdb.EventData{EventID: [16]byte(s.draft.ID), EventType: s.draft.Type, Data: piece}
			if i > 0 {
				e.EventID, e.EventType = [16]byte(pieceID(s.draft.ID, i+1)), typeContinued
				m = map[string]string{keyStream: m[keyStream], keyRevision: m[keyRevision]}
			}
			if len(pieces) > 1 {
				m[keyPiece] = ratio(i+1, len(pieces))
			} else if m[keyMetadata] == "" && json.Valid(data) {
				e.ContentType = esdb.ContentTypeJson
			}
			all, metadata = append(all, e), append(metadata, m)
		}
	}
	for i, m := range metadata {
		m[keyAppend] = id.String()
		m[keyPart] = ratio(i+1, len(metadata))
		all[i].Metadata, _ = json.Marshal(m) // strings always encode
	}
	return all
}

// own returns a draft's metadata as they are written, and the data. Metadata
// that JSON cannot hold, or that are long, go in front of the payload.
func own(d eventlog.Draft) (map[string]string, []byte) {
	m := make(map[string]string, len(d.Metadata)+6)
	plain := true
	for k, v := range d.Metadata {
		plain = plain && utf8.ValidString(k) && utf8.ValidString(v)
		if strings.HasPrefix(k, reserved) {
			k = keyOwn + k
		}
		m[k] = v
	}
	if plain && sizeOf(m) <= maxInline {
		return m, d.Payload
	}
	head := eventlog.AppendRecord(nil, eventlog.Record{Metadata: d.Metadata})
	return map[string]string{keyMetadata: strconv.Itoa(len(head))}, append(head, d.Payload...)
}

// cut divides data into pieces that fit, at least one. The first has less
// room, since the draft's metadata are with it.
func cut(data []byte, first, next int) [][]byte {
	n := min(len(data), first)
	pieces := [][]byte{data[:n]}
	for rest := data[n:]; len(rest) > 0; rest = rest[n:] {
		n = min(len(rest), next)
		pieces = append(pieces, rest[:n])
	}
	return pieces
}

// pieceID names a piece of an event: the server must know a retry by its ids.
func pieceID(id domain.EventID, piece int) domain.EventID {
	return domain.EventIDOf("kurrentlog piece", id.String(), strconv.Itoa(piece))
}

// sizeOf returns more than the bytes that m has as JSON.
func sizeOf(m map[string]string) int {
	raw, _ := json.Marshal(m) // strings always encode
	return len(raw)
}

// size returns more than what the server counts for an event.
func size(e esdb.EventData) int {
	return len(e.Data) + len(e.Metadata) + 2*len(e.EventType) + 64
}

func ratio(k, n int) string { return strconv.Itoa(k) + "/" + strconv.Itoa(n) }

// decode reads what encode wrote, as it comes back from the server.
func decode(e *esdb.RecordedEvent) (physical, error) {
	p := physical{
		number: e.EventNumber, commit: e.Position.Commit, prepare: e.Position.Prepare,
		created: domain.Instant(e.CreatedDate.UnixMicro()),
		id:      domain.EventID(e.EventID), kind: e.EventType, data: e.Data,
	}
	var m map[string]string
	if err := json.Unmarshal(e.UserMetadata, &m); err != nil {
		return p, fmt.Errorf("its metadata are not an object of strings: %w", err)
	}
	p.stream = eventlog.Stream(m[keyStream])
	revision, err := strconv.ParseUint(m[keyRevision], 10, 64)
	p.revision = eventlog.Revision(revision)
	errs := []error{err, p.stream.Check()}
	p.append, err = domain.ParseEventID(m[keyAppend])
	errs = append(errs, err)
	p.part, p.parts, err = parseRatio(m[keyPart])
	errs = append(errs, err)
	p.piece, p.pieces = 1, 1
	if v, ok := m[keyPiece]; ok {
		p.piece, p.pieces, err = parseRatio(v)
		if err == nil && p.pieces > math.MaxUint16 {
			err = fmt.Errorf("it has %d pieces", p.pieces)
		}
		errs = append(errs, err)
	}
	if v, ok := m[keyMetadata]; ok {
		p.head, err = strconv.Atoi(v)
		if err == nil && p.head <= 0 {
			err = errors.New("its metadata have no length")
		}
		errs = append(errs, err)
	}
	if v, ok := m[keyRecorded]; ok {
		recorded, err := strconv.ParseInt(v, 10, 64)
		p.stated, p.recorded = true, domain.Instant(recorded)
		errs = append(errs, err)
	}
	if p.id.IsZero() {
		errs = append(errs, errors.New("it has no id"))
	}
	for k, v := range m {
		if own, ok := strings.CutPrefix(k, keyOwn); ok {
			k = own
		} else if strings.HasPrefix(k, reserved) {
			continue
		}
		if p.metadata == nil {
			p.metadata = eventlog.Metadata{}
		}
		p.metadata[k] = v
	}
	return p, errors.Join(errs...)
}

func parseRatio(s string) (k, n int, err error) {
	left, right, _ := strings.Cut(s, "/")
	k, err = strconv.Atoi(left)
	if err != nil {
		return 0, 0, err
	}
	if n, err = strconv.Atoi(right); err != nil {
		return 0, 0, err
	}
	if k < 1 || k > n || n > maxParts {
		return 0, 0, fmt.Errorf("it is part %q", s)
	}
	return k, n, nil
}

// assemble puts the pieces of one event together.
func assemble(pieces []physical) (payload []byte, metadata eventlog.Metadata, err error) {
	first := pieces[0]
	payload = first.data
	for i, p := range pieces {
		switch {
		case p.piece != i+1 || p.pieces != len(pieces):
			return nil, nil, fmt.Errorf("it is piece %d of %d where piece %d of %d should be", p.piece, p.pieces, i+1, len(pieces))
		case i > 0 && (p.id != pieceID(first.id, i+1) || p.stream != first.stream || p.revision != first.revision):
			return nil, nil, fmt.Errorf("piece %d belongs to another event", p.piece)
		case i > 0:
			payload = append(payload[:len(payload):len(payload)], p.data...)
		}
	}
	if first.head == 0 {
		return payload, first.metadata, nil
	}
	if first.head > len(payload) {
		return nil, nil, errors.New("its metadata are longer than its data")
	}
	r, err := eventlog.ParseRecord(payload[:first.head:first.head])
	return payload[first.head:], r.Metadata, err
}
