package miner

import (
	"errors"
	"fmt"
	"math/bits"

	"wattbook/domain"
)

// field is a field of a summary that is read here.
type field uint8

const (
	fieldElapsed field = iota
	fieldDifficultyAccepted
	fieldTotalMH
	fieldMHSAverage
	fieldGHSAverage
	fieldGHS1m
	fieldGHS5m
	fieldGHS15m
	fieldGHS30m
	fieldFactoryGHS // these two only tell a WhatsMiner; see dialect
	fieldHSRT
	fieldCount
)

// fieldNames are the names as firmware spells them, letter case included.
var fieldNames = [fieldCount]string{
	fieldElapsed: "Elapsed", fieldDifficultyAccepted: "Difficulty Accepted", fieldTotalMH: "Total MH",
	fieldMHSAverage: "MHS av", fieldGHSAverage: "GHS av",
	fieldGHS1m: "GHS 1m", fieldGHS5m: "GHS 5m", fieldGHS15m: "GHS 15m", fieldGHS30m: "GHS 30m",
	fieldFactoryGHS: "Factory GHS", fieldHSRT: "HS RT",
}

// fieldOf returns the field of a name.
func fieldOf(name []byte) (field, bool) {
	for f, n := range fieldNames {
		if string(name) == n {
			return field(f), true
		}
	}
	return 0, false
}

// summary is what is read of the reply to "summary".
type summary struct {
	severity, code, message, description token
	id                                   token
	statuses, summaries                  int
	fields                               [fieldCount]token
}

// parseSummary reads a reply to "summary". It is an error if the reply is
// malformed, cut short by the miner, or reports anything but success.
func parseSummary(reply []byte) (*summary, error) {
	s := scanner{src: reply}
	sum := new(summary)
	if err := sum.reply(&s); err != nil {
		return nil, err
	}
	if err := s.finish(); err != nil {
		return nil, err
	}
	return sum, sum.check()
}

// reply reads the top of the document.
func (sum *summary) reply(s *scanner) error {
	return object(s, func(key []byte) error {
		switch string(key) {
		case "STATUS":
			// WhatsMiners report errors flat, with the fields of the status
			// beside it instead of in a list.
			if c, err := s.peek(); err != nil || c != '[' {
				return only(s, &sum.severity, key)
			}
			return list(s, func() error {
				sum.statuses++
				return object(s, func(key []byte) error { return sum.status(s, key) })
			})
		case "SUMMARY":
			return list(s, func() error {
				sum.summaries++
				return object(s, func(key []byte) error {
					if f, ok := fieldOf(key); ok {
						return only(s, &sum.fields[f], key)
					}
					_, err := s.value(3)
					return err
				})
			})
		case "id":
			return only(s, &sum.id, key)
		}
		return sum.status(s, key)
	})
}

// status reads a member of the status.
func (sum *summary) status(s *scanner, key []byte) error {
	switch string(key) {
	case "STATUS":
		return only(s, &sum.severity, key)
	case "Code":
		return only(s, &sum.code, key)
	case "Msg":
		return only(s, &sum.message, key)
	case "Description":
		return only(s, &sum.description, key)
	}
	_, err := s.value(3)
	return err
}

// only reads a value that may be there once: of two, nobody can say which
// one is meant.
func only(s *scanner, t *token, key []byte) error {
	if t.kind != absent {
		return s.errorf("%q is there twice", key)
	}
	var err error
	*t, err = s.value(3)
	return err
}

// object calls member with the key of each member, which reads the value.
func object(s *scanner, member func(key []byte) error) error {
	if err := s.open('{'); err != nil {
		return err
	}
	for first := true; ; first = false {
		if ok, err := s.more('}', first); !ok || err != nil {
			return err
		}
		key, err := s.key()
		if err != nil {
			return err
		}
		if err := member(key); err != nil {
			return err
		}
	}
}

// list calls element at each element of a list, which reads it.
func list(s *scanner, element func() error) error {
	if err := s.open('['); err != nil {
		return err
	}
	for first := true; ; first = false {
		if ok, err := s.more(']', first); !ok || err != nil {
			return err
		}
		if err := element(); err != nil {
			return err
		}
	}
}

// check reports why the reply is no summary that can be believed.
func (sum *summary) check() error {
	if sum.id.kind == number && string(sum.id.text) == "0" {
		// API versions 1.22 to 2 cut long replies at a record, closed the
		// brackets and sent id 0 for 1 (cgminer's API-README).
		return errors.New("id is 0: the miner cut its reply short")
	}
	switch severity := string(sum.severity.text); {
	case sum.severity.kind == absent:
		return errors.New("reply has no STATUS")
	case sum.statuses > 1:
		return fmt.Errorf("reply has %d STATUS records, want one", sum.statuses)
	case severity != "S" && severity != "I": // success, information
		return fmt.Errorf("status %.10q, code %s: %.120q", severity, sum.code, sum.message.text)
	case sum.summaries != 1:
		return fmt.Errorf("reply has %d SUMMARY records, want one", sum.summaries)
	}
	return nil
}

// fixed returns a field as a whole number of 10^-places, cut below that.
func (sum *summary) fixed(f field, places int) (domain.Int128, error) {
	t := sum.fields[f]
	if t.kind == absent {
		return domain.Int128{}, fmt.Errorf("reply has no %q", fieldNames[f])
	}
	if t.kind == number || t.kind == text { // old firmware quotes some of its numbers
		if v, ok := parseFixed(t.text, places); ok {
			return v, nil
		}
	}
	return domain.Int128{}, fmt.Errorf("%q is %s; want a plain decimal number from 0 to 2^96 of its unit", fieldNames[f], t)
}

// parseFixed reads a plain decimal number, without sign and exponent, as a
// whole number of 10^-places, exactly. Digits beyond that are cut: they are
// finer than the unit that the ledger keeps, and the values of a cumulative
// register that is cut each time never drift. It reports false for anything
// else, and for what is beyond [domain.ReadingLimit].
func parseFixed(b []byte, places int) (v domain.Int128, ok bool) {
	whole := digits(b)
	fraction := b[whole:]
	if whole == 0 {
		return v, false
	}
	if len(fraction) > 0 {
		fraction = fraction[1:]
		if b[whole] != '.' || len(fraction) == 0 || digits(fraction) != len(fraction) {
			return v, false
		}
	}
	for _, c := range b[:whole] {
		if v, ok = shiftIn(v, c-'0'); !ok {
			return v, false
		}
	}
	for i := range places {
		digit := byte(0)
		if i < len(fraction) {
			digit = fraction[i] - '0'
		}
		if v, ok = shiftIn(v, digit); !ok {
			return v, false
		}
	}
	return v, v.Cmp(domain.ReadingLimit) <= 0
}

// shiftIn returns 10v + digit, and whether that is below twice the limit.
func shiftIn(v domain.Int128, digit byte) (domain.Int128, bool) {
	hi, lo := bits.Mul64(v.Lo, 10)
	lo, carry := bits.Add64(lo, uint64(digit), 0)
	hi += uint64(v.Hi)*10 + carry // v.Hi is below 2^33: this cannot overflow
	return domain.Int128{Hi: int64(hi), Lo: lo}, hi < 2<<32
}
