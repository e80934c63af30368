package pebblelog_test

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"wattbook/domain"
	"wattbook/domain/eventlog"
)

// TestTheFormatIsWhatTheExampleSays stores two appends and holds every key and
// value of the database against testdata/format.txt, which explains each byte:
// a reader in another language can be written from it.
func TestTheFormatIsWhatTheExampleSays(t *testing.T) {
	disk := vfs.NewMem()
	log, err := openOn(t, disk, "log")
	if err != nil {
		t.Fatal(err)
	}
	draft := func(n byte, payload string, metadata eventlog.Metadata) eventlog.Draft {
		id := domain.EventID{0: n, 15: n}
		return eventlog.Draft{ID: id, Type: "t/1", Payload: []byte(payload), Metadata: metadata}
	}
	for _, w := range []eventlog.Write{
		{Stream: "a-1", Expect: eventlog.None, Events: []eventlog.Draft{draft(0xa1, "x", nil), draft(0xa2, "yz", eventlog.Metadata{"k": "v"})}},
		{Stream: "b-2", Expect: eventlog.None, Events: []eventlog.Draft{draft(0xb1, "", nil)}},
	} {
		if _, err := log.Append(t.Context(), w); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}

	db, err := pebble.Open("log", &pebble.Options{FS: disk, ReadOnly: true, FormatMajorVersion: pebble.FormatWALSyncChunks, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	it, err := db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	var got []string
	for ok := it.First(); ok; ok = it.Next() {
		got = append(got, hex.EncodeToString(it.Key())+" = "+hex.EncodeToString(it.Value()))
	}
	if err := it.Error(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(example(t), got); diff != "" {
		t.Errorf("the database and testdata/format.txt differ (-example +database):\n%s", diff)
	}
}

// example reads the entries of the example: hexadecimal digits, with spaces
// wherever they help, "=" between key and value, and ";" behind an entry. What
// is behind a "#" explains.
func example(t *testing.T) (entries []string) {
	t.Helper()
	raw, err := os.ReadFile("testdata/format.txt")
	if err != nil {
		t.Fatal(err)
	}
	var digits strings.Builder
	for line := range strings.Lines(string(raw)) {
		line, _, _ = strings.Cut(line, "#")
		digits.WriteString(strings.Join(strings.Fields(line), ""))
	}
	for entry := range strings.SplitSeq(strings.TrimSuffix(digits.String(), ";"), ";") {
		entries = append(entries, strings.Replace(entry, "=", " = ", 1))
	}
	return entries
}
