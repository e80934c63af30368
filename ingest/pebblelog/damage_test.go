package pebblelog_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/tlog"

	"wattbook/domain/eventlog"
	"wattbook/ingest/pebblelog"
)

// stored is what a log's folder holds, by name.
type stored map[string][]byte

// storedLog returns the files of a log that was opened three times and then
// killed: tables, and events that only the write-ahead log has.
func storedLog(t *testing.T) (files stored, want answers) {
	t.Helper()
	mem := vfs.NewMem()
	for round := range 3 {
		log, err := openOn(t, mem, "log")
		if err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			n := 20*round + i
			w := eventlog.Write{Stream: eventlog.Stream(fmt.Sprintf("things-%d", n%3)), Expect: eventlog.Any, Events: []eventlog.Draft{event(fmt.Sprint(n), 99), event(fmt.Sprint(n, "b"), 30)}}
			if _, err := log.Append(t.Context(), w); err != nil {
				t.Fatal(err)
			}
		}
		if want, err = ask(t, log); err != nil {
			t.Fatal(err)
		}
		if round == 2 {
			defer log.Close()
			break // killed: its files are taken as they are now
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
	names, err := mem.List("log")
	if err != nil {
		t.Fatal(err)
	}
	files = stored{}
	for _, name := range names {
		f, err := mem.Open(mem.PathJoin("log", name))
		if err != nil {
			t.Fatal(err)
		}
		if files[name], err = io.ReadAll(f); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return files, want
}

// disk returns a disk with the files on it.
func (s stored) disk(t *testing.T) vfs.FS {
	t.Helper()
	mem := vfs.NewMem()
	if err := mem.MkdirAll("log", 0o755); err != nil {
		t.Fatal(err)
	}
	for name, raw := range s {
		f, err := mem.Create(mem.PathJoin("log", name), vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		// A Write of this disk may change what it is given.
		if _, err := f.Write(slices.Clone(raw)); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return mem
}

// answers is everything that a log can be asked for.
type answers struct {
	events  string
	streams string
	root    tlog.Hash
}

func ask(t *testing.T, log *pebblelog.Log) (answers, error) {
	t.Helper()
	events, err := contents(t, log)
	if err != nil {
		return answers{}, err
	}
	a := answers{events: fmt.Sprint(events)}
	for s := range 3 {
		for r, err := range log.ReadStream(t.Context(), eventlog.Stream(fmt.Sprintf("things-%d", s)), 0) {
			if err != nil {
				return a, err
			}
			a.streams += fmt.Sprint(r.Stream, r.Revision, r.Position, r.ID)
		}
	}
	if _, a.root, err = log.Tree(); err != nil {
		return a, err
	}
	return a, log.VerifyIndexes(t.Context())
}

// verdict opens the log on a disk and says whether damage was reported. A
// report is one line that names a place; anything but a report must be the
// same answers as before.
func verdict(t *testing.T, disk vfs.FS, want answers, what string) (reported bool) {
	t.Helper()
	log, err := openOn(t, disk, "log")
	if err == nil {
		var got answers
		got, err = ask(t, log)
		if err == nil && got != want {
			t.Errorf("%s: the log silently answers otherwise:\n%s", what, cmp.Diff(want.events, got.events))
		}
		if err := log.Close(); err != nil {
			t.Errorf("%s: close: %v", what, err)
		}
	}
	if err == nil {
		return false
	}
	var corrupt *eventlog.CorruptError
	if !errors.As(err, &corrupt) || corrupt.Place == "" || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "restore a backup") {
		t.Errorf("%s: the damage is reported as %v", what, err)
	}
	return true
}

// fromEnvironment returns the seed of a test and how often it does what it
// does.
func fromEnvironment(t *testing.T, name string, otherwise int) (seed uint64, n int) {
	t.Helper()
	seed, n = uint64(time.Now().UnixNano()), otherwise
	var err error
	if s := os.Getenv("WATTBOOK_SEED"); s != "" {
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("WATTBOOK_SEED: %v", err)
		}
	}
	if s := os.Getenv(name); s != "" {
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return seed, n
}

// TestChangedBytesAreReported changes single bytes anywhere in a stored log.
// Each change is either harmless, which equal answers to everything prove, or
// it is reported. WATTBOOK_CHANGES says how many there are.
func TestChangedBytesAreReported(t *testing.T) {
	seed, changes := fromEnvironment(t, "WATTBOOK_CHANGES", 300)
	t.Logf("%d changes; again with WATTBOOK_SEED=%d", changes, seed)
	rng := rand.New(rand.NewPCG(seed, 2))
	files, want := storedLog(t)
	if verdict(t, files.disk(t), want, "the files as they were") {
		t.Fatal("the test itself does harm")
	}
	var names []string
	total := 0
	for name, raw := range files {
		names = append(names, name)
		total += len(raw)
	}
	slices.Sort(names)
	reported, harmless := map[string]int{}, map[string]int{}
	for range changes {
		at := rng.IntN(total)
		i := 0
		for ; at >= len(files[names[i]]); i++ {
			at -= len(files[names[i]])
		}
		name, was := names[i], files[names[i]]
		files[name] = slices.Clone(was)
		files[name][at] ^= byte(1 + rng.IntN(255))
		kind := strings.TrimRight(strings.TrimSuffix(name, path.Ext(name)), "-0123456789.") + path.Ext(name)
		if verdict(t, files.disk(t), want, fmt.Sprintf("byte %d of %s", at, name)) {
			reported[kind]++
		} else {
			harmless[kind]++
		}
		files[name] = was
		if t.Failed() {
			t.FailNow()
		}
	}
	t.Logf("of %d bytes: reported %v, harmless %v", total, reported, harmless)
	if reported[".sst"] < changes/20 || reported[".log"] < changes/20 {
		t.Error("the changes do not reach the events")
	}
}

// TestWhatIsMissingIsReported takes each file of a stored log away, and cuts
// it short.
func TestWhatIsMissingIsReported(t *testing.T) {
	files, want := storedLog(t)
	mayGo := func(name string) bool { // without it the log is what it was
		return name == "LOCK" || name == "END" || strings.HasPrefix(name, "OPTIONS-") || strings.HasPrefix(name, "MANIFEST-")
	}
	for name, was := range files {
		delete(files, name)
		if !verdict(t, files.disk(t), want, name+" taken away") && !mayGo(name) {
			t.Errorf("%s is missing, and nobody says so", name)
		}
		for _, n := range []int{0, len(was) / 3, len(was) - 1} {
			if n < 0 || n >= len(was) {
				continue
			}
			files[name] = was[:n]
			if !verdict(t, files.disk(t), want, fmt.Sprintf("%s cut to %d of %d bytes", name, n, len(was))) && !mayGo(name) && len(was)-n > 1 {
				t.Errorf("%s is cut to %d of %d bytes, and nobody says so", name, n, len(was))
			}
		}
		files[name] = was
	}
	empty := vfs.NewMem()
	log, err := openOn(t, empty, "log")
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestALostEndIsReported takes the newest events away in a way that the
// database itself does not notice, and shows that the refusal leaves the rest
// for whoever goes on without them.
func TestALostEndIsReported(t *testing.T) {
	files, _ := storedLog(t)
	for name := range files {
		if path.Ext(name) == ".log" {
			files[name] = files[name][:len(files[name])/2]
		}
	}
	disk := files.disk(t)
	for range 2 { // refusing changes nothing
		_, err := openOn(t, disk, "log")
		if err == nil || !strings.Contains(err.Error(), "had come to position 120: ") {
			t.Fatalf("a log without its end opens with %v", err)
		}
	}
	if err := disk.Remove("log/END"); err != nil {
		t.Fatal(err)
	}
	log, err := openOn(t, disk, "log")
	if err != nil {
		t.Fatalf("without END: %v", err)
	}
	defer log.Close()
	got, err := contents(t, log)
	if err != nil || len(got) < 80 || len(got) >= 120 {
		t.Errorf("%d events are left, %v", len(got), err)
	}
}
