package domain

import (
	"fmt"
	"slices"
)

// Channel is one quantity that a device counts.
type Channel uint8

// The channels and the units of their values.
const (
	ChannelEnergyImport Channel = 1 + iota // milliwatt-hours drawn
	ChannelEnergyExport                    // milliwatt-hours delivered
	ChannelHashes                          // hashes computed
	ChannelShares                          // share difficulty that the pool accepted, in 1e-8
	ChannelGPUEnergy                       // milliwatt-hours drawn by the GPU board
	ChannelGPUTime                         // milliseconds with a compute process on the GPU
)

var channelNames = [...]string{
	ChannelEnergyImport: "energy.import",
	ChannelEnergyExport: "energy.export",
	ChannelHashes:       "hashes",
	ChannelShares:       "shares.accepted",
	ChannelGPUEnergy:    "gpu.energy",
	ChannelGPUTime:      "gpu.time",
}

// Mark says how a register moved between two observations, and with it
// whether a reading books its value.
type Mark uint8

// The marks. "Books" means that the value counts.
const (
	MarkFirst       Mark = 1 + iota // first sight of the register: books nothing
	MarkNormal                      // it rose by a plausible amount: books the rise
	MarkRollover                    // it wrapped at its modulus: books the rise through the wrap
	MarkReset                       // it restarted from zero: books what it counted since
	MarkReplaced                    // the hardware was exchanged, with indexes on record: books both parts
	MarkGap                         // it rose over several intervals without an observation: books the rise, spread evenly
	MarkDelivered                   // the source counted the interval itself, without a register: books the value
	MarkCorrected                   // the source corrects what was booked: books in its place
	MarkEstimated                   // no observation: books a value by a named method
	MarkGlitch                      // not believed: books nothing
	MarkSilent                      // the device was asked and did not answer: books nothing
	MarkConflict                    // another value for what is booked already: books nothing
	MarkUnallocated                 // it moved, but by how much cannot be known: books nothing
)

var markNames = [...]string{
	MarkFirst: "first", MarkNormal: "normal", MarkRollover: "rollover", MarkReset: "reset",
	MarkReplaced: "replaced", MarkGap: "gap", MarkDelivered: "delivered", MarkCorrected: "corrected", MarkEstimated: "estimated",
	MarkGlitch: "glitch", MarkSilent: "silent", MarkConflict: "conflict", MarkUnallocated: "unallocated",
}

// Books reports whether a reading with this mark counts.
func (m Mark) Books() bool { return MarkNormal <= m && m <= MarkEstimated }

// Provenance says how good a quantity's origin is, best first.
type Provenance uint8

// The provenances.
const (
	ProvenanceRevenueMeter      Provenance = 1 + iota // the meter that the utility bills by
	ProvenanceSubMeter                                // the site's own meter
	ProvenancePDU                                     // a power distribution unit's counter
	ProvenanceFirmwareMeasured                        // counted by the device itself
	ProvenanceFirmwareEstimated                       // derived by the device or from its rates
	ProvenanceNameplate                               // rated value × time
	ProvenanceEstimated                               // estimated by a named method
	ProvenanceEdited                                  // entered by a person
)

var provenanceNames = [...]string{
	ProvenanceRevenueMeter: "revenue-meter", ProvenanceSubMeter: "sub-meter", ProvenancePDU: "pdu",
	ProvenanceFirmwareMeasured: "firmware-measured", ProvenanceFirmwareEstimated: "firmware-estimated",
	ProvenanceNameplate: "nameplate", ProvenanceEstimated: "estimated", ProvenanceEdited: "edited",
}

// Reading is what one register counted over one interval.
//
// Its identity is (device, channel, start of the interval). A reading that
// books nothing is kept all the same: nothing that arrived is dropped.
type Reading struct {
	Device     DeviceID
	Channel    Channel
	Interval   Interval // aligned to the site's step; empty at the observed boundary where nothing is booked
	Value      Int128   // in the channel's unit
	Register   Int128   // the raw register at the end of the interval, in the register's own unit
	Mark       Mark
	Provenance Provenance
}

// Validate reports the first field that no fold may be asked to trust.
func (r *Reading) Validate() error {
	if err := CheckID("device", r.Device); err != nil {
		return err
	}
	switch {
	case r.Channel.String() == "":
		return fmt.Errorf("reading of %s: unknown channel %d", r.Device, r.Channel)
	case r.Provenance.String() == "":
		return fmt.Errorf("reading of %s: unknown provenance %d", r.Device, r.Provenance)
	}
	return r.ValidateCount()
}

// ValidateCount is [Reading.Validate] without what all readings of a register
// have in common: its device, channel and provenance.
func (r *Reading) ValidateCount() error {
	switch {
	case r.Mark.String() == "":
		return fmt.Errorf("reading of %s: unknown mark %d", r.Device, r.Mark)
	case r.Interval.End < r.Interval.Start, r.Mark.Books() && r.Interval.End == r.Interval.Start:
		return fmt.Errorf("reading of %s: interval %s is empty", r.Device, r.Interval)
	case r.Value.Sign() < 0 || r.Value.Cmp(ReadingLimit) > 0:
		return fmt.Errorf("reading of %s: value %s is outside 0 to 2^96", r.Device, r.Value)
	case r.Register.Sign() < 0 || r.Register.Cmp(ReadingLimit) > 0:
		return fmt.Errorf("reading of %s: register %s is outside 0 to 2^96", r.Device, r.Register)
	}
	if _, ok := r.Value.Int64(); !ok && r.Channel != ChannelHashes && r.Channel != ChannelShares {
		return fmt.Errorf("reading of %s: value %s of channel %s is wider than 63 bits", r.Device, r.Value, r.Channel)
	}
	return nil
}

// ReadingsRecorded records what one source observed in one poll, or what one
// file held: the unit of append and of proof.
type ReadingsRecorded struct {
	Site     SiteID
	At       Instant // the boundary that was polled for, or the end of the file's last interval
	Origin   Origin
	Readings []Reading
}

// EstimateMethod names how values are found for intervals that nobody read; see
// package projections/estimation for what each computes.
type EstimateMethod string

// The methods.
const (
	PreviousDay      EstimateMethod = "previous-day-same-interval"
	MeanOfNeighbours EstimateMethod = "mean-of-neighbours"
	BalanceResidual  EstimateMethod = "residual-of-balance"
)

// EstimateMethods returns the methods that there are.
func EstimateMethods() []EstimateMethod {
	return []EstimateMethod{PreviousDay, MeanOfNeighbours, BalanceResidual}
}

// ReadingsEstimated records that a person had intervals of a meter estimated
// that nobody read. The values are in the readings that are recorded with it,
// marked as estimated; a reading that is delivered later counts in their place.
type ReadingsEstimated struct {
	Site      SiteID         `json:"site"`
	Device    DeviceID       `json:"device"`
	Channel   Channel        `json:"channel"`
	Interval  Interval       `json:"interval"`  // from the first estimated interval to the last
	Intervals int64          `json:"intervals"` // how many of it were not known, and are estimated
	Value     Int128         `json:"value"`     // their sum, in the channel's unit
	Method    EstimateMethod `json:"method"`
	AsOf      Position       `json:"as_of"` // what the values follow from
	By        string         `json:"by"`
	Reason    string         `json:"reason"`
	Origin    Origin         `json:"origin"`
}

// Validate reports the first thing that an estimate lacks.
func (e ReadingsEstimated) Validate() error {
	switch {
	case !e.Interval.Valid() || e.Intervals < 1:
		return fmt.Errorf("estimate of %s: interval %s has %d estimated intervals", e.Device, e.Interval, e.Intervals)
	case !slices.Contains(EstimateMethods(), e.Method):
		return fmt.Errorf("estimate of %s: method %q is not one of %q", e.Device, e.Method, EstimateMethods())
	case e.By == "" || e.Reason == "":
		return fmt.Errorf("estimate of %s: nobody says who made it and why", e.Device)
	}
	return nil
}

// String returns the channel's name, or "" for an unknown one.
func (c Channel) String() string { return nameOf(channelNames[:], int(c)) }

// String returns the mark's name, or "" for an unknown one.
func (m Mark) String() string { return nameOf(markNames[:], int(m)) }

// String returns the provenance's name, or "" for an unknown one.
func (p Provenance) String() string { return nameOf(provenanceNames[:], int(p)) }

// MarshalText writes the channel's name.
func (c Channel) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads a channel's name, and nothing as no channel.
func (c *Channel) UnmarshalText(b []byte) (err error) {
	if *c = 0; len(b) > 0 {
		*c, err = ParseChannel(string(b))
	}
	return err
}

// ParseChannel reads a channel's name.
func ParseChannel(s string) (Channel, error) {
	for i, n := range channelNames {
		if n == s && n != "" {
			return Channel(i), nil
		}
	}
	return 0, fmt.Errorf("channel %q is not one of %q", s, channelNames[1:])
}

// ParseProvenance reads a provenance's name.
func ParseProvenance(s string) (Provenance, error) {
	for i, n := range provenanceNames {
		if n == s && n != "" {
			return Provenance(i), nil
		}
	}
	return 0, fmt.Errorf("provenance %q is not one of %q", s, provenanceNames[1:])
}

func nameOf(names []string, i int) string {
	if i < 0 || i >= len(names) {
		return ""
	}
	return names[i]
}
