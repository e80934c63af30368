package pebblelog_test

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/ingest/pebblelog"
)

func event(name string, size int) eventlog.Draft {
	payload := []byte(name + strings.Repeat(" and more", size/9))
	return eventlog.Draft{ID: domain.EventIDOf("fault", name), Type: "thing.happened/1", Payload: payload}
}

func openOn(t *testing.T, fs vfs.FS, dir string) (*pebblelog.Log, error) {
	t.Helper()
	return pebblelog.Open(pebblelog.Config{Dir: dir, FS: fs, Now: clock(), Logger: slog.New(slog.DiscardHandler), Reserve: 1})
}

// contents returns what a log holds, in words.
func contents(t *testing.T, log eventlog.Log) ([]string, error) {
	t.Helper()
	var all []string
	for r, err := range log.ReadAll(t.Context(), 0) {
		if err != nil {
			return all, err
		}
		all = append(all, fmt.Sprint(r.Position, r.Stream, r.Revision, r.ID, r.Type, r.RecordedAt, string(r.Payload), r.Metadata))
	}
	return all, nil
}

func TestAReopenedLogGoesOnWhereItWas(t *testing.T) {
	dir := t.TempDir()
	var before []string
	for round := range 3 {
		log := open(t, dir)
		got, err := contents(t, log)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(before) {
			t.Fatalf("round %d: got %d events, %v; want %d", round, len(got), err, len(before))
		}
		for i := range 5 {
			name := fmt.Sprint(round, "/", i)
			if _, err := log.Append(t.Context(), eventlog.Write{Stream: "things-1", Expect: eventlog.After(eventlog.Revision(5*round + i)), Events: []eventlog.Draft{event(name, 10)}}); err != nil {
				t.Fatal(err)
			}
		}
		if r, err := log.Append(t.Context(), eventlog.Write{Stream: "things-1", Expect: eventlog.None, Events: []eventlog.Draft{event("0/3", 10)}}); err != nil || !r.Known || r.First != 3 {
			t.Errorf("round %d: the id of an old event gives %+v, %v", round, r, err)
		}
		if before, err = contents(t, log); err != nil {
			t.Fatal(err)
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPowerCuts cuts the power at random moments while several writers append.
// What was acknowledged must be there once, positions must be dense, and every
// append must be there whole or not at all.
func TestPowerCuts(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	for range 40 {
		powerCut(t, rng)
	}
}

func powerCut(t *testing.T, rng *rand.Rand) {
	fs := vfs.NewCrashableMem()
	log, err := openOn(t, fs, "log")
	if err != nil {
		t.Fatal(err)
	}
	var acked sync.Map
	var wg sync.WaitGroup
	var stop atomic.Bool
	for w := range 4 {
		wg.Go(func() {
			for i := 0; !stop.Load(); i++ {
				name := fmt.Sprint(w, "/", i)
				_, err := log.Append(t.Context(), eventlog.Write{Stream: eventlog.Stream(fmt.Sprintf("things-%d", w)), Expect: eventlog.After(eventlog.Revision(2 * i)), Events: []eventlog.Draft{event(name+"a", 200), event(name+"b", 200)}})
				if err != nil {
					t.Errorf("append %s: %v", name, err)
					return
				}
				acked.Store(name, true)
			}
		})
	}
	time.Sleep(time.Duration(rng.IntN(6000)) * time.Microsecond)
	sure := map[string]bool{} // acknowledged before the power went
	acked.Range(func(k, _ any) bool { sure[k.(string)] = true; return true })
	after := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
	stop.Store(true)
	wg.Wait()
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	log, err = openOn(t, after, "log")
	if err != nil {
		t.Fatalf("open after the power cut: %v", err)
	}
	defer log.Close()
	next := map[eventlog.Stream]eventlog.Revision{}
	position := domain.Position(0)
	for r, err := range log.ReadAll(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Position != position || r.Revision != next[r.Stream] {
			t.Fatalf("position %d, revision %d of %s; want %d and %d", r.Position, r.Revision, r.Stream, position, next[r.Stream])
		}
		position++
		next[r.Stream]++
		delete(sure, strings.TrimRight(strings.Fields(string(r.Payload))[0], "ab"))
	}
	if len(sure) > 0 {
		t.Fatalf("%d acknowledged appends are lost", len(sure))
	}
	for s, n := range next {
		if n%2 != 0 {
			t.Fatalf("an append to %s is there by half", s)
		}
	}
	if _, err := log.Append(t.Context(), eventlog.Write{Stream: "things-9", Expect: eventlog.None, Events: []eventlog.Draft{event("after", 10)}}); err != nil {
		t.Fatalf("append after the power cut: %v", err)
	}
}

// nearlyFull is a disk with a settable amount of free space.
type nearlyFull struct {
	vfs.FS
	free atomic.Uint64
}

func (f *nearlyFull) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: f.free.Load(), TotalBytes: 1 << 40}, nil
}

func TestAFullDiskRefusesAndRecovers(t *testing.T) {
	disk := &nearlyFull{FS: vfs.NewMem()}
	disk.free.Store(1 << 40)
	log, err := pebblelog.Open(pebblelog.Config{Dir: "log", FS: disk, Now: clock(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	add := func(name string) error {
		_, err := log.Append(t.Context(), eventlog.Write{Stream: "things-1", Expect: eventlog.Any, Events: []eventlog.Draft{event(name, 10)}})
		return err
	}
	if err := add("a"); err != nil {
		t.Fatal(err)
	}
	disk.free.Store(100 << 20)
	err = add("b")
	if !errors.Is(err, pebblelog.ErrDiskFull) || !strings.Contains(err.Error(), "100 MiB free under log") {
		t.Errorf("got %v", err)
	}
	if got, err := contents(t, log); err != nil || len(got) != 1 {
		t.Errorf("what is recorded: %d events, %v", len(got), err)
	}
	disk.free.Store(1 << 40)
	if err := add("b"); err != nil {
		t.Errorf("after room was made: %v", err)
	}
}

// TestADiskThatFailsIsNeverBelieved fails writes and syncs of the database's
// own log. The append that meets the failure must not be acknowledged, later
// ones say why the log has stopped, and what was recorded stays readable, now
// and by the next process.
func TestADiskThatFailsIsNeverBelieved(t *testing.T) {
	for name, op := range map[string]errorfs.OpKind{"writes fail": errorfs.OpFileWrite, "syncs fail": errorfs.OpFileSync} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewCrashableMem()
			var failing atomic.Bool
			fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(o errorfs.Op) error {
				if failing.Load() && (o.Kind == op || o.Kind == errorfs.OpFileSyncData) && strings.HasSuffix(o.Path, ".log") {
					return syscall.ENOSPC
				}
				return nil
			}))
			log, err := openOn(t, fs, "log")
			if err != nil {
				t.Fatal(err)
			}
			add := func(name string) error {
				_, err := log.Append(t.Context(), eventlog.Write{Stream: "things-1", Expect: eventlog.Any, Events: []eventlog.Draft{event(name, 10)}})
				return err
			}
			if err := add("a"); err != nil {
				t.Fatal(err)
			}
			failing.Store(true)
			for _, name := range []string{"b", "c"} {
				if err := add(name); err == nil || !strings.Contains(err.Error(), "stopped taking events") {
					t.Fatalf("append %s on a failing disk: %v", name, err)
				}
			}
			if got, err := contents(t, log); err != nil || len(got) != 1 {
				t.Errorf("what is recorded: %d events, %v", len(got), err)
			}
			after := mem.CrashClone(vfs.CrashCloneCfg{})
			if err := log.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
			again, err := openOn(t, after, "log")
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			if got, err := contents(t, again); err != nil || len(got) != 1 {
				t.Errorf("the next process reads %d events, %v", len(got), err)
			}
		})
	}
}
