// Package ingest is the only door for facts: what sources observed goes in,
// and events of the log come out.
//
// A [Source] polls or receives and decodes; it knows a protocol and nothing of
// the log. A [Collector] asks all sources of a site for one boundary of the
// metering grid and gets a [Round]. The [Door] keeps the raw bytes as
// evidence, interprets registers (package counter), compares facts with what
// is on record, and appends the events of the round at once: after a crash a
// round is there or it is not, and no reading is there twice.
//
// Nothing that arrived is dropped silently. What cannot be decoded is recorded
// as rejected, with its bytes kept; what contradicts the record is recorded as
// a conflict and does not count; a device that did not answer is recorded as
// silent.
package ingest

import (
	"context"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"wattbook/domain"
	"wattbook/domain/wire"
	"wattbook/ingest/counter"
)

// Source observes some devices or a feed. A source is polled from one
// goroutine at a time; different sources are polled concurrently.
type Source interface {
	// Name is unique at its site and stays the same for ever: it is part of
	// the identity of what the source delivers.
	Name() domain.SourceID
	// Every is how often the source is polled: a multiple of the site's step.
	Every() domain.Duration
	// Poll observes for the boundary at. What some devices could not deliver
	// is part of the delivery (Silent, Rejected); an error means that nothing
	// was observed at all.
	Poll(ctx context.Context, at domain.Instant) (Delivery, error)
}

// Delivery is what one source observed in one poll, or what one file holds.
type Delivery struct {
	Source   domain.SourceID `cbor:"source"`
	Observed domain.Instant  `cbor:"observed"` // when the source had it
	Decoder  string          `cbor:"decoder"`  // name and version of the decoder: "sunspec/1"
	Raw      []byte          `cbor:"raw"`      // the bytes that were received; kept as evidence
	Samples  []Sample        `cbor:"samples,omitempty"`
	Values   []Value         `cbor:"values,omitempty"`
	Silent   []Silence       `cbor:"silent,omitempty"`
	Rejected []Rejection     `cbor:"rejected,omitempty"`
	Facts    Facts           `cbor:"facts,omitempty"`
	// Estimated means that nobody counted the values: they are estimates by the
	// method of a fact of the delivery, and book only what nothing is booked
	// for. What is delivered later counts in their place.
	Estimated bool `cbor:"estimated,omitempty"`
	// Corrects means that the source restates what it delivered before: its
	// values count in place of those on record.
	Corrects bool `cbor:"corrects,omitempty"`
}

// Sample is one observation of a register.
type Sample struct {
	Device     domain.DeviceID   `cbor:"device"`
	Channel    domain.Channel    `cbor:"channel"`
	Provenance domain.Provenance `cbor:"provenance"`
	// Scale says what the register counts; the door adds the bound on its
	// movement from the device's rating.
	Scale    Scale          `cbor:"scale"`
	Register domain.Int128  `cbor:"register"`
	Started  domain.Instant `cbor:"started,omitzero"` // see counter.Sample
	Serial   string         `cbor:"serial,omitempty"`
}

// Scale is the part of a register's description that its protocol fixes; see
// counter.Register.
type Scale struct {
	Num        int64         `cbor:"num"`
	Den        int64         `cbor:"den"`
	Modulus    domain.Int128 `cbor:"modulus,omitzero"`
	ZeroIsNull bool          `cbor:"zero_is_null,omitempty"`
}

// Value is what a source counted over an interval by itself, without a
// register that could be read.
type Value struct {
	Device     domain.DeviceID   `cbor:"device"`
	Channel    domain.Channel    `cbor:"channel"`
	Provenance domain.Provenance `cbor:"provenance"`
	Interval   domain.Interval   `cbor:"interval"`
	Value      domain.Int128     `cbor:"value"`
}

// Silence is a device that was asked and did not answer.
type Silence struct {
	Device  domain.DeviceID `cbor:"device"`
	Channel domain.Channel  `cbor:"channel"`
	Reason  string          `cbor:"reason"`
}

// Rejection is a reply that could not be understood.
type Rejection struct {
	Device domain.DeviceID `cbor:"device,omitempty"`
	Reason string          `cbor:"reason"`
}

// Round is what all sources of a site delivered for one boundary.
type Round struct {
	Site       domain.SiteID  `cbor:"site"`
	At         domain.Instant `cbor:"at"`
	Deliveries []Delivery     `cbor:"deliveries"`
}

// Facts are events that a source observed ready-made. The door fills in their
// origin.
type Facts []domain.Event

// MarshalCBOR writes each fact under its wire name, in the bytes that the log
// would hold.
func (f Facts) MarshalCBOR() ([]byte, error) {
	out := make([]carried, len(f))
	for i, e := range f {
		name, payload, err := wire.Encode(e)
		if err != nil {
			return nil, err
		}
		out[i] = carried{name, payload}
	}
	return cbor.Marshal(out)
}

// UnmarshalCBOR reads what MarshalCBOR wrote.
func (f *Facts) UnmarshalCBOR(b []byte) error {
	var in []carried
	if err := cbor.Unmarshal(b, &in); err != nil {
		return err
	}
	if *f = nil; len(in) > 0 {
		*f = make(Facts, len(in))
	}
	for i, c := range in {
		e, err := wire.Decode(c.Type, c.Payload)
		if err != nil {
			return err
		}
		(*f)[i] = e
	}
	return nil
}

type carried struct {
	Type    string `cbor:"type"`
	Payload []byte `cbor:"payload"`
}

// EncodeRound returns the bytes of a round as brokers carry it: CBOR (RFC
// 8949), which takes replies as the bytes that they are.
func EncodeRound(r Round) ([]byte, error) {
	b, err := cbor.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode round of %s at %s: %w", r.Site, r.At, err)
	}
	return b, nil
}

// DecodeRound reads what EncodeRound wrote. Bytes that it did not write are an
// error, never a panic.
func DecodeRound(b []byte) (Round, error) {
	var r Round
	if err := cbor.Unmarshal(b, &r); err != nil {
		return Round{}, fmt.Errorf("decode round: %w", err)
	}
	return r, nil
}

// register returns the full description of a sample's register. The bound on
// its movement comes from what the device can physically do, with room for
// what its protocol adds: work is found at random, so shares get four times
// the rating, and reported hashes twice.
func (s Sample) register(d domain.DeviceRegistered) (counter.Register, error) {
	r := counter.Register{Num: s.Scale.Num, Den: s.Scale.Den, Modulus: s.Scale.Modulus, ZeroIsNull: s.Scale.ZeroIsNull}
	switch s.Channel {
	case domain.ChannelEnergyImport, domain.ChannelEnergyExport, domain.ChannelGPUEnergy:
		r.PerSecond = domain.Int(int64(d.RatedPower)).MulDiv(1, 3600).Add(domain.Int(1))
	case domain.ChannelHashes:
		r.PerSecond = d.RatedHashes.MulDiv(2, 1)
	case domain.ChannelShares:
		r.PerSecond = d.RatedHashes.MulDiv(4*domain.ShareUnit, 1<<32).Add(domain.Int(1))
	default:
		return r, fmt.Errorf("channel %s is not a register", s.Channel)
	}
	return r, r.Validate()
}
