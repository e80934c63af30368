package scheduler_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/wire"
	"wattbook/ingest"
	"wattbook/ingest/scheduler"
)

// noon is 2026-10-14T12:00:00Z.
var noon = domain.Unix(1_791_979_200)

func source(t testing.TB, change func(*scheduler.Config)) *scheduler.Slurm {
	t.Helper()
	c := scheduler.Config{
		Name: "slurm", Every: 5 * domain.Minute, Terms: terms(),
		Now: func() domain.Instant { return noon }, Logger: slog.New(slog.DiscardHandler),
	}
	change(&c)
	s, err := scheduler.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// shell makes a source run a script in place of sacct.
func shell(script string) func(*scheduler.Config) {
	return func(c *scheduler.Config) { c.Command = []string{"/bin/sh", "-c", script} }
}

func TestPollRunsTheCommand(t *testing.T) {
	want := terms().Decode(read(t, "sacct-unix.txt"))
	got, err := source(t, shell("cat testdata/sacct-unix.txt; echo a warning >&2")).Poll(t.Context(), noon)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ingest.Delivery{
		Source: "slurm", Observed: noon, Decoder: "sacct/1", Raw: read(t, "sacct-unix.txt"),
		Facts: want.Facts, Rejected: want.Rejected,
	}, got); diff != "" {
		t.Errorf("delivery (-want +got):\n%s", diff)
	}
	again := terms().Decode(got.Raw)
	if diff := cmp.Diff(again.Facts, got.Facts); diff != "" {
		t.Errorf("the evidence decodes to other facts (-evidence +delivery):\n%s", diff)
	}
}

func TestTheCommandIsAskedForUnixSeconds(t *testing.T) {
	got, err := source(t, shell(`printf %s "$SLURM_TIME_FORMAT"`)).Poll(t.Context(), noon)
	if err != nil {
		t.Fatal(err)
	}
	if string(got.Raw) != "%s" {
		t.Errorf("SLURM_TIME_FORMAT is %q, want %q", got.Raw, "%s")
	}
	if len(got.Rejected) != 1 { // and what is no text of sacct is kept, and refused
		t.Errorf("got %v, want one rejection", got.Rejected)
	}
}

func TestCommand(t *testing.T) {
	want := "sacct --allusers --duplicates --allocations --parsable2 --noconvert --starttime=now-604800seconds " +
		"--format=JobIDRaw,Submit,User,Account,NodeList,AllocTRES,Start,End,State"
	if got := strings.Join(scheduler.Command(7*domain.Day), " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestPollFails(t *testing.T) {
	dir := t.TempDir()
	old := filepath.Join(dir, "old.txt")
	if err := os.WriteFile(old, text(), 0o600); err != nil {
		t.Fatal(err)
	}
	written := noon.Add(-domain.Hour - domain.Second).Time()
	if err := os.Chtimes(old, written, written); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name   string
		change func(*scheduler.Config)
		want   string
		is     error
	}{
		{name: "when the command fails, with what it complains of", change: shell("echo JobIDRaw; echo no slurmdbd >&2; exit 3"), want: "run sh: exit status 3: no slurmdbd"},
		{name: "when the command is not there", change: func(c *scheduler.Config) { c.Command = []string{"/nowhere/sacct"} }, want: "run sacct: fork/exec /nowhere/sacct: no such file or directory: ", is: os.ErrNotExist},
		{name: "when the command prints without end", change: shell("head -c 33554433 /dev/zero"), want: "run sh: it prints more than 33554432 bytes; shorten its window"},
		{name: "when the command hangs", change: func(c *scheduler.Config) {
			shell("exec sleep 60")(c)
			c.Timeout = 50 * domain.Millisecond
		}, want: "run sh: it did not end in time: context deadline exceeded", is: context.DeadlineExceeded},
		{name: "when the file is not there", change: func(c *scheduler.Config) { c.File = filepath.Join(dir, "none.txt") }, want: "read accounting: open " + filepath.Join(dir, "none.txt") + ": no such file or directory", is: os.ErrNotExist},
		{name: "when nobody writes the file any more", change: func(c *scheduler.Config) { c.File, c.Stale = old, domain.Hour }, want: "read accounting: " + old + " was last written at 2026-10-14T10:59:59Z; see to what writes it"},
		{name: "when the file is too large", change: func(c *scheduler.Config) { c.File = "/dev/zero" }, want: "read accounting: /dev/zero has more than 33554432 bytes; shorten the window of sacct"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := source(t, row.change).Poll(t.Context(), noon)
			if err == nil || err.Error() != row.want {
				t.Fatalf("got  %v\nwant %s", err, row.want)
			}
			if row.is != nil && !errors.Is(err, row.is) {
				t.Errorf("%v is not %v", err, row.is)
			}
		})
	}
}

func TestPollIsStoppedByItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := source(t, shell("exec sleep 60")).Poll(ctx, noon)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want that it did not end in time", err)
	}
}

func TestJobsWithoutGPUsAreNoticedOnce(t *testing.T) {
	var logged strings.Builder
	file := filepath.Join(t.TempDir(), "sacct.txt")
	bare := usual
	bare.tres = "cpu=1,node=1"
	s := source(t, func(c *scheduler.Config) {
		c.File, c.Logger = file, slog.New(slog.NewTextHandler(&logged, nil))
	})
	for i, raw := range [][]byte{text(bare.String()), text(bare.String()), text(bare.String(), usual.String()), text(bare.String())} {
		if err := os.WriteFile(file, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Poll(t.Context(), noon); err != nil {
			t.Fatal(err)
		}
		want := []int{1, 1, 1, 2}[i] // again once there were GPUs in between
		if got := strings.Count(logged.String(), "AccountingStorageTRES"); got != want {
			t.Errorf("after poll %d: warned %d times, want %d", i+1, got, want)
		}
	}
}

type keepNothing struct{}

func (keepNothing) Put(_ context.Context, blobs ...[]byte) ([]domain.Digest, func() error, error) {
	return make([]domain.Digest, len(blobs)), func() error { return nil }, nil
}

// TestPollsOfAGrowingAccounting follows jobs through the door: what is
// delivered again books nothing, and what changes is a conflict.
func TestPollsOfAGrowingAccounting(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sacct.txt")
	s := source(t, func(c *scheduler.Config) { c.File = file })
	clock := noon
	log := eventlog.NewMem(func() domain.Instant { clock++; return clock })
	door, err := ingest.OpenDoor(t.Context(), log, keepNothing{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	running := usual
	running.state, running.end = "RUNNING", "Unknown"
	asItStarted := running
	asItStarted.end = running.start
	over := usual
	requeued := over
	requeued.state = "REQUEUED"
	secondRun := running
	secondRun.submit, secondRun.start = over.end, "1791979500"
	moved := secondRun
	moved.start = "1791979560"

	at := noon
	for _, row := range []struct {
		name                         string
		rows                         []job
		facts, duplicates, conflicts int
	}{
		{"a job starts", []job{running}, 1, 0, 0},
		{"a job runs on", []job{running}, 0, 1, 0},
		{"a running job shows its start as its end", []job{asItStarted}, 0, 1, 0},
		{"a job is requeued and waits", []job{requeued}, 1, 1, 0},
		{"its second run starts", []job{requeued, secondRun}, 1, 2, 0},
		{"its start is edited", []job{requeued, moved}, 0, 2, 1},
		{"the edit is offered again, and is on record", []job{requeued, moved}, 0, 2, 1},
	} {
		var lines []string
		for _, j := range row.rows {
			lines = append(lines, j.String())
		}
		if err := os.WriteFile(file, text(lines...), 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := s.Poll(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		r, err := door.Record(t.Context(), ingest.Round{Site: "west", At: at, Deliveries: []ingest.Delivery{d}})
		if err != nil {
			t.Fatal(err)
		}
		if r.Facts != row.facts || r.Duplicates != row.duplicates || r.Conflicts != row.conflicts || r.Rejected != 0 {
			t.Errorf("%s: got %d new, %d known, %d conflicting, %d refused; want %d, %d, %d, 0",
				row.name, r.Facts, r.Duplicates, r.Conflicts, r.Rejected, row.facts, row.duplicates, row.conflicts)
		}
		at = at.Add(5 * domain.Minute)
	}
	var got []string
	for r, err := range log.ReadAll(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		rec, err := wire.Open(r)
		if err != nil {
			t.Fatal(err)
		}
		switch e := rec.Event.(type) {
		case domain.GPUAllocationStarted:
			got = append(got, e.Allocation+" starts "+e.At.String())
		case domain.GPUAllocationEnded:
			got = append(got, e.Allocation+" ends "+e.At.String()+" "+e.State)
		case domain.FactConflicted:
			got = append(got, "conflict")
		default:
			t.Errorf("got a %T", e)
		}
	}
	if diff := cmp.Diff([]string{
		"7/2026-10-14T12:00:00Z/n1 starts 2026-10-14T12:01:00Z",
		"7/2026-10-14T12:00:00Z/n1 ends 2026-10-14T12:02:00Z REQUEUED",
		"7/2026-10-14T12:02:00Z/n1 starts 2026-10-14T12:05:00Z",
		"conflict",
	}, got); diff != "" {
		t.Errorf("the log (-want +got):\n%s", diff)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*scheduler.Config)
		want   string
	}{
		{"a name that is no identifier", func(c *scheduler.Config) { c.Name = "" }, "scheduler source : source is empty"},
		{"no site", func(c *scheduler.Config) { c.Terms.Site = "" }, "scheduler source slurm: site is empty"},
		{"no interval", func(c *scheduler.Config) { c.Every = 0 }, "scheduler source slurm: polled every 0s"},
		{"neither command nor file", func(c *scheduler.Config) { c.File = "" }, "scheduler source slurm: configure either a command or a file"},
		{"both command and file", func(c *scheduler.Config) { c.Command = scheduler.Command(domain.Day) }, "scheduler source slurm: configure either a command or a file"},
		{"a negative timeout", func(c *scheduler.Config) { c.Timeout = -1 }, "scheduler source slurm: an age or a timeout is negative"},
		{"no clock", func(c *scheduler.Config) { c.Now = nil }, "scheduler source slurm: clock and logger are required"},
		{"a customer that is no identifier", func(c *scheduler.Config) { c.Terms.Customers = map[string]domain.CustomerID{"a": ""} }, "scheduler source slurm: account a: customer is empty"},
		{"an account that is billed and not", func(c *scheduler.Config) { c.Terms.Customers = map[string]domain.CustomerID{"burn-in": "x"} }, "scheduler source slurm: account burn-in is customer x's and unbilled"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := scheduler.Config{
				Name: "slurm", Every: 5 * domain.Minute, Terms: terms(), File: "sacct.txt",
				Now: func() domain.Instant { return noon }, Logger: slog.New(slog.DiscardHandler),
			}
			row.change(&c)
			_, err := scheduler.New(c)
			if err == nil || err.Error() != row.want {
				t.Errorf("got  %v\nwant %s", err, row.want)
			}
		})
	}
}
