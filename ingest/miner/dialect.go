package miner

import (
	"bytes"
	"fmt"
)

// Dialect is a family of firmware that speaks the cgminer API in its own way.
type Dialect uint8

// The dialects. What sets them apart was found in replies recorded in the
// field; the same field name does not mean the same thing in all of them.
const (
	// DialectAuto tells the family from each reply; see [Detect].
	DialectAuto Dialect = iota
	// DialectAntminer is Bitmain's cgminer and bmminer: rates in GH/s, and
	// "Total MH" counts the work since "Elapsed" began.
	DialectAntminer
	// DialectWhatsminer is MicroBT's btminer, API versions 1 and 2: rates in
	// MH/s, and "Total MH" counts. "Uptime" is the control board's, "Elapsed"
	// the mining program's. It leaves the connection open after its reply.
	DialectWhatsminer
	// DialectLuxOS is Luxor's LUXminer: rates in GH/s, and "Total MH" is a
	// rate too, in MH/s.
	DialectLuxOS
)

var dialectNames = [...]string{
	DialectAuto: "auto", DialectAntminer: "antminer", DialectWhatsminer: "whatsminer", DialectLuxOS: "luxos",
}

// String returns the dialect's name, or "" for an unknown one.
func (d Dialect) String() string {
	if int(d) >= len(dialectNames) {
		return ""
	}
	return dialectNames[d]
}

// ParseDialect reads a dialect's name.
func ParseDialect(s string) (Dialect, error) {
	for d, name := range dialectNames {
		if name == s {
			return Dialect(d), nil
		}
	}
	return 0, fmt.Errorf("miner dialect %q is not one of %q", s, dialectNames)
}

// MarshalText writes the dialect's name.
func (d Dialect) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads a dialect's name.
func (d *Dialect) UnmarshalText(b []byte) error {
	v, err := ParseDialect(string(b))
	if err == nil {
		*d = v
	}
	return err
}

// Detect tells the dialect of a miner from its reply to "summary". It is an
// error if the reply is malformed, or if its description and its fields fit
// none of the known families: to guess would be to book a rate as a count, or
// gigahashes as megahashes.
func Detect(reply []byte) (Dialect, error) {
	s, err := parseSummary(reply)
	if err != nil {
		return 0, err
	}
	return s.dialect()
}

// dialect tells the family. The description alone does not: Antminers,
// WhatsMiners and others all call themselves "cgminer", each with a version
// of its own making. So the fields that only one family sends decide there.
func (s *summary) dialect() (Dialect, error) {
	program, _, _ := bytes.Cut(s.description.text, []byte(" "))
	gigahashes := s.fields[fieldGHSAverage].kind != absent
	megahashes := s.fields[fieldMHSAverage].kind != absent
	microBT := s.fields[fieldFactoryGHS].kind != absent || s.fields[fieldHSRT].kind != absent
	switch string(program) {
	case "LUXminer":
		return DialectLuxOS, nil
	case "cgminer", "bmminer":
		if gigahashes && !megahashes && !microBT {
			return DialectAntminer, nil
		}
		if megahashes && !gigahashes && microBT {
			return DialectWhatsminer, nil
		}
	case "btminer", "whatsminer":
		return DialectWhatsminer, nil
	}
	return 0, fmt.Errorf("firmware described as %.80q is not known; set its dialect to one of %q if it is of that family",
		s.description.text, dialectNames[1:])
}
