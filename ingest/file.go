package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// Text checks that a file is text that the decoders read: UTF-8, with or
// without a byte order mark. A file in UTF-16, as some spreadsheets and
// PowerShell write it, is an error that says how to convert it.
func Text(raw []byte) error {
	for _, mark := range [][]byte{{0xff, 0xfe}, {0xfe, 0xff}} {
		if bytes.HasPrefix(raw, mark) {
			return errors.New("the file is in UTF-16; save it as CSV UTF-8, or convert it with iconv -f UTF-16 -t UTF-8")
		}
	}
	if i := bytes.IndexByte(raw, 0); i >= 0 {
		return fmt.Errorf("byte %d is zero, so that the file is no text in UTF-8; save it as CSV UTF-8, or convert it with iconv -f UTF-16LE -t UTF-8", i+1)
	}
	return nil
}

// shownLines is how many bad lines an error shows; the others are counted.
const shownLines = 10

// BadLines collects what is wrong in a file, line by line. The zero value has
// none.
type BadLines struct {
	shown []error
	n     int
}

// Add adds what is wrong in a line. An error that is nil is left out.
func (b *BadLines) Add(err error) {
	if err == nil {
		return
	}
	if b.n++; len(b.shown) < shownLines {
		b.shown = append(b.shown, err)
	}
}

// Err returns nil if no line is bad, the error of the only bad line, or one
// error that shows the first ten and says how many there are.
func (b *BadLines) Err() error {
	switch b.n {
	case 0:
		return nil
	case 1:
		return b.shown[0]
	}
	lines := make([]string, len(b.shown), len(b.shown)+1)
	for i, err := range b.shown {
		lines[i] = err.Error()
	}
	if more := b.n - len(b.shown); more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return fmt.Errorf("%d bad lines:\n  %s", b.n, strings.Join(lines, "\n  "))
}

// A ValueError says what is wrong with a delivered value, and in which field
// of it.
type ValueError struct {
	Field string // "device", "start", "end" or "value"
	Err   error
}

// Error implements error.
func (e *ValueError) Error() string { return e.Err.Error() }

// Unwrap returns the error without the field.
func (e *ValueError) Unwrap() error { return e.Err }
