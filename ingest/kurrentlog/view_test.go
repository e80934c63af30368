package kurrentlog_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wattbook/domain/eventlog"
	"wattbook/ingest/kurrentlog"
	"wattbook/ingest/kurrentlog/server"
)

func kept(dir string) func(*kurrentlog.Config) {
	return func(c *kurrentlog.Config) { c.Dir = dir }
}

// filled returns a server with a log of some hundred events, whose view is kept
// in the folder, and what the log holds.
func filled(t *testing.T, dir string) (*server.Server, []string) {
	t.Helper()
	s := start(t, server.Config{})
	log := open(t, s.URL(), kept(dir), small)
	for i := range 40 {
		var events []eventlog.Draft
		for k := range 10 {
			events = append(events, draft(fmt.Sprint(i, "/", k), 9))
		}
		stream := eventlog.Stream(fmt.Sprintf("%s-%d", strings.Repeat("long", 1+i%40), i%7))
		mustAppend(t, log, write(stream, eventlog.Any, events...))
	}
	mustAppend(t, log, write("large-1", eventlog.Any, draft("large", 200<<10), draft("and small", 0)))
	all := contents(t, log)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return s, all
}

func TestAKeptViewSparesReadingTheLogAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, want := filled(t, dir)
	for round := range 3 {
		before := s.Sent()
		log := open(t, s.URL(), kept(dir))
		if n := s.Sent() - before; n > 2 {
			t.Errorf("round %d: opening a log of %d events read %d", round, len(want), n)
		}
		if diff := cmp.Diff(want, contents(t, log)); diff != "" {
			t.Errorf("round %d: the log differs (-want +got):\n%s", round, diff)
		}
		if _, err := tryOpen(t, s.URL(), kept(dir)); err == nil || !strings.Contains(err.Error(), "another process has it") {
			t.Errorf("round %d: a second process with the same folder: %v", round, err)
		}
		name := fmt.Sprint("round ", round)
		mustAppend(t, log, write("large-1", eventlog.After(eventlog.Revision(2+round)), draft(name, 0)))
		if r := mustAppend(t, log, write("large-1", eventlog.None, draft("large", 200<<10))); !r.Known || r.First != 400 {
			t.Errorf("round %d: the id of an old event gives %+v", round, r)
		}
		want = contents(t, log)
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, contents(t, open(t, s.URL()))); diff != "" {
		t.Errorf("the log without a view differs (-view +no view):\n%s", diff)
	}
}

// TestADamagedViewIsCutOff tears and damages the file anywhere.
func TestADamagedViewIsCutOff(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	s, want := filled(t, dir)
	raw, err := os.ReadFile(filepath.Join(dir, "view"))
	if err != nil {
		t.Fatal(err)
	}
	if len(raw)%72 != 0 || len(raw) < 72*len(want) {
		t.Fatalf("the view of %d events has %d bytes", len(want), len(raw))
	}
	for i := range 12 {
		b := append([]byte(nil), raw...)
		what := ""
		switch at := rng.IntN(len(b)); i % 4 {
		case 0:
			b, what = b[:at], fmt.Sprintf("torn at byte %d", at)
		case 1:
			b[at] ^= byte(1 + rng.IntN(255))
			what = fmt.Sprintf("byte %d damaged", at)
		case 2:
			at -= at % 72
			b = append(b[:at:at], b[min(at+72, len(b)):]...)
			what = fmt.Sprintf("entry %d lost", at/72)
		case 3:
			b = append(b, make([]byte, rng.IntN(200))...)
			what = "zeros at the end"
		}
		copied := t.TempDir()
		if err := os.WriteFile(filepath.Join(copied, "view"), b, 0o644); err != nil {
			t.Fatal(err)
		}
		for _, again := range []string{"", ", opened again"} {
			log := open(t, s.URL(), kept(copied))
			if diff := cmp.Diff(want, contents(t, log)); diff != "" {
				t.Errorf("%s%s: the log differs (-want +got):\n%s", what, again, diff)
			}
			if err := log.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if mended, err := os.ReadFile(filepath.Join(copied, "view")); err != nil || string(mended) != string(raw) {
			t.Errorf("%s: the view that was mended is not the one that was written: %v", what, err)
		}
	}
}

// TestTheViewOfAnotherLogIsMadeAnew opens other logs with the view: of another
// server, of a server that was set back, and of another stream.
func TestTheViewOfAnotherLogIsMadeAnew(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, all := filled(t, dir)
	check := func(name, url string, want int, change ...func(*kurrentlog.Config)) {
		t.Helper()
		log := open(t, url, append(change, kept(dir))...)
		if got := contents(t, log); len(got) != want {
			t.Errorf("%s: the log holds %d events, want %d", name, len(got), want)
		}
		mustAppend(t, log, write("new-1", eventlog.Any, draft("new "+name, 0)))
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
	other := start(t, server.Config{})
	log := open(t, other.URL())
	mustAppend(t, log, write("things-1", eventlog.Any, draft("of another log", 0)))
	check("another server", other.URL(), 1)
	check("the first again", s.URL(), len(all))
	check("another stream", s.URL(), 0, func(c *kurrentlog.Config) { c.Stream = "other-log" })

	check("the first once more", other.URL(), 2)
	back := &server.Memory{}
	if err := back.Append(other.Events()[:1]); err != nil {
		t.Fatal(err)
	}
	check("a server that was set back", start(t, server.Config{Store: back}).URL(), 1)
	check("an empty server", start(t, server.Config{}).URL(), 0)
}

// TestAServerThatWasSetBackUnderALog is found when it has other events where
// the view has its own.
func TestAServerThatWasSetBackUnderALog(t *testing.T) {
	s := start(t, server.Config{})
	log := open(t, s.URL(), short)
	for i := range 3 {
		mustAppend(t, log, write("things-1", eventlog.Any, draft(fmt.Sprint(i), 0)))
	}
	address := s.Address()
	store := &server.Memory{}
	if err := store.Append(s.Events()[:1]); err != nil {
		t.Fatal(err)
	}
	s.Close()
	back, err := server.Start(server.Config{Store: store, Address: address})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(back.Close)
	other := open(t, back.URL())
	for i := range 4 {
		mustAppend(t, other, write("other-1", eventlog.Any, draft(fmt.Sprint("other", i), 0)))
	}
	if _, err := log.Append(t.Context(), write("things-1", eventlog.Any, draft("x", 0))); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("append: %v", err)
	}
}
