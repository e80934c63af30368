package eventlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"wattbook/domain"
)

// recordForm is the first byte of an encoded record: the form's version.
const recordForm = 1

// AppendRecord appends the canonical bytes of r to dst. Every field is there,
// and every field of variable length carries its length, so no two different
// records share bytes:
//
//	form      1 byte, 1
//	position  8 bytes, big-endian
//	revision  8 bytes, big-endian
//	recorded  8 bytes, big-endian, microseconds since 1970
//	id        16 bytes
//	stream    length (uvarint), bytes
//	type      length (uvarint), bytes
//	metadata  number of pairs (uvarint), then by ascending key:
//	          key length, key, value length, value
//	payload   length (uvarint), bytes
func AppendRecord(dst []byte, r Record) []byte {
	return appendBytes(appendHeader(append(dst, recordForm), r), r.Payload)
}

// leafForm is the first byte of a leaf: the form's version. It is never that
// of a record.
const leafForm = 0x81

// AppendLeaf appends the bytes that stand for r in the Merkle tree of a log to
// dst: those of [AppendRecord], with form 0x81 and with the SHA-256 digest of
// the payload (32 bytes) behind its length in place of the payload itself. So
// a payload may be erased one day, and what is proved of its event stays so.
func AppendLeaf(dst []byte, r Record, payload domain.Digest) []byte {
	dst = appendHeader(append(dst, leafForm), r)
	dst = binary.AppendUvarint(dst, uint64(len(r.Payload)))
	return append(dst, payload[:]...)
}

// appendHeader appends all fields but the payload.
func appendHeader(dst []byte, r Record) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.Position))
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.Revision))
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.RecordedAt))
	dst = append(dst, r.ID[:]...)
	dst = appendBytes(dst, r.Stream)
	dst = appendBytes(dst, r.Type)
	dst = binary.AppendUvarint(dst, uint64(len(r.Metadata)))
	if len(r.Metadata) == 0 {
		return dst
	}
	for _, k := range slices.Sorted(maps.Keys(r.Metadata)) {
		dst = appendBytes(dst, k)
		dst = appendBytes(dst, r.Metadata[k])
	}
	return dst
}

// ParseRecord reads what AppendRecord wrote. The payload aliases b.
func ParseRecord(b []byte) (Record, error) { return new(Parser).Parse(b) }

// Parser reads many records: names that come again and again (streams, types)
// are made once. The zero value is ready. It is not safe for concurrent use.
type Parser struct{ names map[string]string }

// parserNames bounds what a parser remembers.
const parserNames = 4096

// name returns b as a string.
func (p *Parser) name(b []byte) string {
	if s, ok := p.names[string(b)]; ok {
		return s
	}
	if p.names == nil || len(p.names) >= parserNames {
		p.names = map[string]string{}
	}
	s := string(b)
	p.names[s] = s
	return s
}

// Parse is [ParseRecord].
func (p *Parser) Parse(b []byte) (Record, error) {
	var r Record
	if len(b) < 41 || b[0] != recordForm {
		return r, errors.New("record is cut short or of an unknown form")
	}
	r.Position = domain.Position(binary.BigEndian.Uint64(b[1:]))
	r.Revision = Revision(binary.BigEndian.Uint64(b[9:]))
	r.RecordedAt = domain.Instant(binary.BigEndian.Uint64(b[17:]))
	r.ID = domain.EventID(b[25:41])
	d := decoder{b: b[41:]}
	r.Stream = Stream(p.name(d.bytes()))
	r.Type = p.name(d.bytes())
	if n := d.uvarint(); n > 0 && n <= MaxMetadataPairs {
		r.Metadata = make(Metadata, n)
		last := ""
		for i := range n {
			k := string(d.bytes())
			if i > 0 && k <= last {
				return Record{}, errors.New("record's metadata keys are not in order")
			}
			last = k
			r.Metadata[k] = string(d.bytes())
		}
	} else if n > MaxMetadataPairs {
		return Record{}, fmt.Errorf("record has %d metadata pairs, limit %d", n, MaxMetadataPairs)
	}
	r.Payload = d.bytes()
	if d.bad || len(d.b) > 0 {
		return Record{}, errors.New("record's lengths do not add up")
	}
	return r, nil
}

// SameContent reports whether a draft for a stream is what r records: stream,
// type, payload and metadata alike.
func (r Record) SameContent(stream Stream, d Draft) bool {
	return r.Stream == stream && r.Type == d.Type &&
		bytes.Equal(r.Payload, d.Payload) && maps.Equal(r.Metadata, d.Metadata)
}

func appendBytes[S ~string | ~[]byte](dst []byte, s S) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// decoder reads lengths and bytes; bad is set once anything is out of range.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.bad, d.b = true, nil
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}
