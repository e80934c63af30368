package domain

import (
	"crypto/sha1" //nolint:gosec // UUIDv5 is defined on SHA-1 (RFC 9562); nothing here relies on its strength.
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
)

// Identifiers are lower-case names: letters, digits, and inside them '.', '_'
// and '-'. They are part of stream names, file names and columns.
type (
	// SiteID names a site: one grid connection and what hangs on it.
	SiteID string
	// DeviceID names a device at a site. It belongs to the place and duty, not
	// to the hardware: a replaced meter keeps its id.
	DeviceID string
	// SourceID names what observed a fact: a poller, a feed, an imported file.
	SourceID string
	// CustomerID names an AI customer.
	CustomerID string
	// ContractID names a contract.
	ContractID string
	// NodeID names a settlement point of a power market: "hb_south".
	NodeID string
	// PoolID names a mining pool.
	PoolID string
)

// IDLimit is the greatest length of an identifier.
const IDLimit = 64

// CheckID reports why s cannot be an identifier, or nil. What names the kind
// of identifier in the error.
func CheckID[S ~string](what string, s S) error {
	if s == "" {
		return fmt.Errorf("%s is empty", what)
	}
	if len(s) > IDLimit {
		return fmt.Errorf("%s %.20q… is longer than %d characters", what, s, IDLimit)
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z' || '0' <= c && c <= '9':
		case i > 0 && (c == '.' || c == '_' || c == '-'):
		default:
			return fmt.Errorf("%s %q: character %q; use lower-case letters, digits, and inside them . _ -", what, s, c)
		}
	}
	return nil
}

// Digest is a SHA-256 digest. (A hash is mining work.)
type Digest [sha256.Size]byte

// DigestOf returns the digest of the parts written one after the other.
func DigestOf(parts ...[]byte) Digest {
	if len(parts) == 1 {
		return sha256.Sum256(parts[0])
	}
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
	}
	return Digest(h.Sum(nil))
}

// Digester makes a digest of what is written to it. The zero value is ready.
type Digester struct{ h hash.Hash }

// Write never returns an error.
func (d *Digester) Write(b []byte) (int, error) {
	if d.h == nil {
		d.h = sha256.New()
	}
	return d.h.Write(b)
}

// Digest returns the digest of what was written so far.
func (d *Digester) Digest() Digest {
	if d.h == nil {
		return DigestOf()
	}
	return Digest(d.h.Sum(nil))
}

// String writes d in hexadecimal.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Short writes the first eight bytes of d, for people.
func (d Digest) Short() string { return hex.EncodeToString(d[:8]) }

// IsZero reports whether d is absent.
func (d Digest) IsZero() bool { return d == Digest{} }

// MarshalText writes d in hexadecimal, and nothing for the zero digest.
func (d Digest) MarshalText() ([]byte, error) {
	if d.IsZero() {
		return []byte{}, nil
	}
	return []byte(d.String()), nil
}

// UnmarshalText reads what MarshalText wrote.
func (d *Digest) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*d = Digest{}
		return nil
	}
	var v Digest
	if len(b) != 2*len(v) {
		return fmt.Errorf("digest %.16q… has %d characters, want %d", b, len(b), 2*len(v))
	}
	if _, err := hex.Decode(v[:], b); err != nil {
		return fmt.Errorf("digest %.16q…: %w", b, err)
	}
	*d = v
	return nil
}

// EventID identifies an event by what it is about: a UUID of version 5.
type EventID [16]byte

// namespace is the UUID under which wattbook's names live: the version 5 UUID
// of "wattbook" in the RFC 9562 URL namespace.
var namespace = uuid5([16]byte{0x6b, 0xa7, 0xb8, 0x11, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8}, []byte("wattbook"))

// EventIDOf derives an id from the parts that say what the event is about.
// Parts are length-prefixed, so ("ab", "c") and ("a", "bc") differ.
func EventIDOf(parts ...string) EventID {
	var name []byte
	for _, p := range parts {
		name = append(name, byte(len(p)>>24), byte(len(p)>>16), byte(len(p)>>8), byte(len(p)))
		name = append(name, p...)
	}
	return uuid5(namespace, name)
}

func uuid5(space [16]byte, name []byte) EventID {
	h := sha1.New() //nolint:gosec // see the import
	h.Write(space[:])
	h.Write(name)
	id := EventID(h.Sum(nil)[:16])
	id[6] = id[6]&0x0f | 0x50
	id[8] = id[8]&0x3f | 0x80
	return id
}

// IsZero reports whether id is absent.
func (id EventID) IsZero() bool { return id == EventID{} }

// String writes id in the usual groups.
func (id EventID) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[0:4], id[4:6], id[6:8], id[8:10], id[10:16])
}

// MarshalText writes what String returns.
func (id EventID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what String returns.
func (id *EventID) UnmarshalText(b []byte) error {
	v, err := ParseEventID(string(b))
	if err == nil {
		*id = v
	}
	return err
}

// ParseEventID reads a UUID in the usual groups.
func ParseEventID(s string) (EventID, error) {
	var id EventID
	plain := make([]byte, 0, 32)
	for i := range len(s) {
		if dash := i == 8 || i == 13 || i == 18 || i == 23; dash != (s[i] == '-') {
			return id, fmt.Errorf("event id %q is not a UUID", s)
		} else if !dash {
			plain = append(plain, s[i])
		}
	}
	if len(plain) != 32 {
		return id, fmt.Errorf("event id %q is not a UUID", s)
	}
	if _, err := hex.Decode(id[:], plain); err != nil {
		return EventID{}, fmt.Errorf("event id %q is not a UUID", s)
	}
	return id, nil
}
