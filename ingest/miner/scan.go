package miner

import (
	"bytes"
	"errors"
	"fmt"
)

// scanner walks one JSON document as miners write it.
//
// Firmware builds its JSON by hand, and some of it is malformed in ways that
// are known from the field. Four of them leave no doubt about any value, and
// are read as what was meant:
//
//   - a comma before the end of an object or list: {"a":1,}
//   - a comma before the first element of a list that is an object: [,{"a":1}]
//   - no comma after a value that closes itself: {"a":"1""b":2}, [{…}{…}]
//   - raw control characters inside a string
//
// A bare nan or inf is walked over like any other value, and refused where a
// number is needed. Everything else is an error. In particular, a missing
// comma after a bare number is, since digits may be missing with it; and a
// document that ends early is, wherever it ends.
type scanner struct {
	src []byte
	pos int
	// sealed means that the last value ended with a delimiter of its own, so
	// that nothing of it is lost where the comma is.
	sealed bool
}

// kind says what a value is.
type kind uint8

const (
	absent    kind = iota
	text           // a string
	number         // a number
	word           // true, false, null, nan, inf
	composite      // an object or a list
)

// token is a value: the raw bytes of a string between its quotes, of a number
// or of a word; nothing of a composite.
type token struct {
	kind kind
	text []byte
}

// String writes the token as it was sent, as far as it is short.
func (t token) String() string {
	switch t.kind {
	case absent:
		return "absent"
	case composite:
		return "a list or an object"
	case text:
		return fmt.Sprintf("%.40q", t.text)
	}
	return fmt.Sprintf("%.40s", t.text)
}

// depthLimit is how deep a document may be nested; miners need four levels.
const depthLimit = 32

var errCut = errors.New("reply ends before it is complete")

func (s *scanner) errorf(format string, args ...any) error {
	return fmt.Errorf("malformed reply: byte %d: %s", s.pos, fmt.Sprintf(format, args...))
}

// peek skips white space and returns the next byte.
func (s *scanner) peek() (byte, error) {
	for ; s.pos < len(s.src); s.pos++ {
		switch c := s.src[s.pos]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c, nil
		}
	}
	return 0, errCut
}

// open enters an object or a list.
func (s *scanner) open(delimiter byte) error {
	c, err := s.peek()
	if err != nil {
		return err
	}
	if c != delimiter {
		return s.errorf("%q where %q should be", c, delimiter)
	}
	s.pos++
	return nil
}

// more goes on to the next member or element, or past the end. First is
// whether none came before it.
func (s *scanner) more(end byte, first bool) (bool, error) {
	c, err := s.peek()
	if err != nil {
		return false, err
	}
	switch {
	case c == end:
		s.pos, s.sealed = s.pos+1, true
		return false, nil
	case c == ',' && first && end == ']':
		s.pos++
		if c, err = s.peek(); err == nil && c != '{' {
			err = s.errorf("%q after the comma that begins a list", c)
		}
		return true, err
	case first:
		return true, nil
	case c == ',':
		s.pos++
		if c, err = s.peek(); err == nil && c == end {
			s.pos, s.sealed = s.pos+1, true
			return false, nil
		}
		return true, err
	case s.sealed && (c == '"' || c == '{'):
		return true, nil
	}
	return false, s.errorf("%q where a comma or %q should be", c, end)
}

// key reads the name of a member and the colon after it.
func (s *scanner) key() ([]byte, error) {
	c, err := s.peek()
	if err != nil {
		return nil, err
	}
	if c != '"' {
		return nil, s.errorf("%q where a field's name should begin", c)
	}
	name, err := s.quoted()
	if err != nil {
		return nil, err
	}
	if c, err = s.peek(); err != nil {
		return nil, err
	}
	if c != ':' {
		return nil, s.errorf("%q after the name %.40q; want a colon", c, name)
	}
	s.pos++
	return name, nil
}

// quoted reads a string and returns what is between its quotes.
func (s *scanner) quoted() ([]byte, error) {
	start := s.pos + 1
	for i := start; i < len(s.src); i++ {
		switch s.src[i] {
		case '\\':
			i++
		case '"':
			s.pos = i + 1
			return s.src[start:i], nil
		}
	}
	return nil, errCut
}

// value reads any value. Depth counts what it is nested in.
func (s *scanner) value(depth int) (token, error) {
	c, err := s.peek()
	if err != nil {
		return token{}, err
	}
	switch c {
	case '"':
		s.sealed = true
		b, err := s.quoted()
		return token{text, b}, err
	case '{', '[':
		return token{kind: composite}, s.skip(depth + 1)
	}
	s.sealed = false
	start := s.pos
	for s.pos < len(s.src) && isBare(s.src[s.pos]) {
		s.pos++
	}
	b := s.src[start:s.pos]
	if s.pos == len(s.src) {
		return token{}, errCut // whether it goes on cannot be known
	}
	if isNumber(b) {
		return token{number, b}, nil
	}
	switch string(b) {
	case "true", "false", "null", "nan", "-nan", "NaN", "inf", "-inf":
		return token{word, b}, nil
	case "":
		return token{}, s.errorf("%q where a value should be", c)
	}
	s.pos = start
	return token{}, s.errorf("%.40q is not a value", b)
}

// skip walks over an object or a list.
func (s *scanner) skip(depth int) error {
	if depth > depthLimit {
		return s.errorf("nested deeper than %d", depthLimit)
	}
	object := s.src[s.pos] == '{'
	end := byte(']')
	if object {
		end = '}'
	}
	s.pos++
	for first := true; ; first = false {
		if ok, err := s.more(end, first); !ok || err != nil {
			return err
		}
		if object {
			if _, err := s.key(); err != nil {
				return err
			}
		}
		if _, err := s.value(depth); err != nil {
			return err
		}
	}
}

// finish reports what stands after the document but the terminator: a NUL in
// cgminer, a newline elsewhere.
func (s *scanner) finish() error {
	for ; s.pos < len(s.src); s.pos++ {
		switch s.src[s.pos] {
		case ' ', '\t', '\r', '\n', 0:
		default:
			return s.errorf("%d more bytes after the end", len(s.src)-s.pos)
		}
	}
	return nil
}

// isComplete reports whether b holds a whole document, so that no more needs
// to be waited for.
func isComplete(b []byte) bool {
	s := scanner{src: b}
	if c, err := s.peek(); err != nil || c != '{' {
		return false
	}
	_, err := s.value(0)
	return err == nil
}

// isBare reports whether numbers and words may contain c.
func isBare(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '.' || c == '-' || c == '+'
}

// isNumber reports whether b is a number by JSON's grammar (RFC 8259, 6).
func isNumber(b []byte) bool {
	b = bytes.TrimPrefix(b, []byte("-"))
	whole := digits(b)
	if whole == 0 || whole > 1 && b[0] == '0' {
		return false
	}
	b = b[whole:]
	if len(b) > 0 && b[0] == '.' {
		fraction := digits(b[1:])
		if fraction == 0 {
			return false
		}
		b = b[1+fraction:]
	}
	if len(b) > 0 && (b[0] == 'e' || b[0] == 'E') {
		b = b[1:]
		if len(b) > 0 && (b[0] == '+' || b[0] == '-') {
			b = b[1:]
		}
		exponent := digits(b)
		if exponent == 0 {
			return false
		}
		b = b[exponent:]
	}
	return len(b) == 0
}

// digits returns how many digits b begins with.
func digits(b []byte) int {
	for i, c := range b {
		if c < '0' || c > '9' {
			return i
		}
	}
	return len(b)
}
