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
	"encoding/json"
	"fmt"

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
	Source   domain.SourceID `json:"source"`
	Observed domain.Instant  `json:"observed"` // when the source had it
	Decoder  string          `json:"decoder"`  // name and version of the decoder: "sunspec/1"
	Raw      []byte          `json:"raw"`      // the bytes that were received; kept as evidence
	Samples  []Sample        `json:"samples,omitempty"`
	Values   []Value         `json:"values,omitempty"`
	Silent   []Silence       `json:"silent,omitempty"`
	Rejected []Rejection     `json:"rejected,omitempty"`
	Facts    Facts           `json:"facts,omitempty"`
	// Corrects means that the source restates what it delivered before: its
	// values count in place of those on record.
	Corrects bool `json:"corrects,omitempty"`
}

// Sample is one observation of a register.
type Sample struct {
	Device     domain.DeviceID   `json:"device"`
	Channel    domain.Channel    `json:"channel"`
	Provenance domain.Provenance `json:"provenance"`
	// Scale says what the register counts; the door adds the bound on its
	// movement from the device's rating.
	Scale    Scale          `json:"scale"`
	Register domain.Int128  `json:"register"`
	Started  domain.Instant `json:"started,omitzero"` // see counter.Sample
	Serial   string         `json:"serial,omitempty"`
}

// Scale is the part of a register's description that its protocol fixes; see
// counter.Register.
type Scale struct {
	Num        int64         `json:"num"`
	Den        int64         `json:"den"`
	Modulus    domain.Int128 `json:"modulus,omitzero"`
	ZeroIsNull bool          `json:"zero_is_null,omitempty"`
}

// Value is what a source counted over an interval by itself, without a
// register that could be read.
type Value struct {
	Device     domain.DeviceID   `json:"device"`
	Channel    domain.Channel    `json:"channel"`
	Provenance domain.Provenance `json:"provenance"`
	Interval   domain.Interval   `json:"interval"`
	Value      domain.Int128     `json:"value"`
}

// Silence is a device that was asked and did not answer.
type Silence struct {
	Device  domain.DeviceID `json:"device"`
	Channel domain.Channel  `json:"channel"`
	Reason  string          `json:"reason"`
}

// Rejection is a reply that could not be understood.
type Rejection struct {
	Device domain.DeviceID `json:"device,omitempty"`
	Reason string          `json:"reason"`
}

// Round is what all sources of a site delivered for one boundary.
type Round struct {
	Site       domain.SiteID  `json:"site"`
	At         domain.Instant `json:"at"`
	Deliveries []Delivery     `json:"deliveries"`
}

// Facts are events that a source observed ready-made. The door fills in their
// origin.
type Facts []domain.Event

// MarshalJSON writes each fact under its wire name.
func (f Facts) MarshalJSON() ([]byte, error) {
	out := make([]carried, len(f))
	for i, e := range f {
		name, payload, err := wire.Encode(e)
		if err != nil {
			return nil, err
		}
		out[i] = carried{name, payload}
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (f *Facts) UnmarshalJSON(b []byte) error {
	var in []carried
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	*f = make(Facts, len(in))
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
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload"`
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
