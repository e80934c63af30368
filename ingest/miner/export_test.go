package miner

import (
	"io"

	"wattbook/domain"
)

// What the tests look at from inside.
const (
	EveryName = decoder
	RawLimit  = rawLimit
)

var (
	ParseFixed = parseFixed
	IsComplete = isComplete
	ReadReply  = func(r io.Reader, limit int) ([]byte, error) { return readReply(r, limit) }
)

// ScanFields returns the numbers of a reply by their names, as they are
// written, and whether the reply is well-formed and complete.
func ScanFields(reply []byte) (map[string]string, error) {
	s := scanner{src: reply}
	sum := new(summary)
	if err := sum.reply(&s); err != nil {
		return nil, err
	}
	if err := s.finish(); err != nil {
		return nil, err
	}
	out := map[string]string{}
	for f, t := range sum.fields {
		if t.kind == number {
			out[fieldNames[f]] = string(t.text)
		}
	}
	return out, nil
}

// Agrees is whether a total agrees with an average; see agrees.
func Agrees(total domain.Int128, rate, elapsed, rounding int64) bool {
	return agrees(total, rate, elapsed, rounding)
}
