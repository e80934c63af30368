package ingest_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"wattbook/ingest"
)

func TestBadLinesShowTheFirstTen(t *testing.T) {
	var bad ingest.BadLines
	if bad.Add(nil); bad.Err() != nil {
		t.Errorf("no bad line: %v", bad.Err())
	}
	first := errors.New("f.csv:2:1: first")
	if bad.Add(first); !errors.Is(bad.Err(), first) || bad.Err().Error() != first.Error() {
		t.Errorf("one bad line: %v", bad.Err())
	}
	for i := range 11 {
		bad.Add(fmt.Errorf("f.csv:%d:1: other", i+3))
	}
	got := bad.Err().Error()
	if !strings.HasPrefix(got, "12 bad lines:\n  f.csv:2:1: first\n") || !strings.HasSuffix(got, "\n  f.csv:11:1: other\n  and 2 more") {
		t.Errorf("twelve bad lines:\n%s", got)
	}
}

func TestTextIsUTF8(t *testing.T) {
	for _, c := range []struct{ name, raw, want string }{
		{"plain", "a,b\r\n", ""},
		{"with a byte order mark", "\ufeffa,b\n", ""},
		{"other letters", "Castellan Héctor y Cía.\n", ""},
		{"UTF-16, little-endian", "\xff\xfea\x00", "the file is in UTF-16; save it as CSV UTF-8"},
		{"UTF-16, big-endian", "\xfe\xff\x00a", "the file is in UTF-16; save it as CSV UTF-8"},
		{"UTF-16 without its mark", "a\x00b\x00", "byte 2 is zero"},
	} {
		if err := ingest.Text([]byte(c.raw)); (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}
