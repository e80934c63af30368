package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/wire"
	"wattbook/ingest/kurrentlog/server"
	"wattbook/ingest/pebblelog"
)

// bookOf makes a data folder with a log of so many appends to streams that
// take turns.
func bookOf(t *testing.T, seed uint64, appends int) string {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	at := domain.Instant(1_790_000_000_000_000)
	log, err := pebblelog.Open(pebblelog.Config{
		Dir: folder(dir).log(), Now: func() domain.Instant { at += domain.Instant(rng.IntN(1000)); return at }, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range appends {
		var writes []eventlog.Write
		for s := range 1 + rng.IntN(3) {
			w := eventlog.Write{Stream: eventlog.Stream(fmt.Sprintf("sites-%d", s)), Expect: eventlog.Any}
			for k := range 1 + rng.IntN(5) {
				site := domain.SiteID(fmt.Sprintf("s%d.%d.%d", i, s, k))
				d, err := wire.Draft(domain.EventIDOf("copy", fmt.Sprint(seed), string(site)), domain.DeviceRegistered{Site: site, Device: "m"}, nil)
				if err != nil {
					t.Fatal(err)
				}
				if rng.IntN(30) == 0 {
					d.Payload = make([]byte, rng.IntN(200<<10))
					for b := range d.Payload {
						d.Payload[b] = byte(rng.Uint32())
					}
				}
				if rng.IntN(3) == 0 {
					d.Metadata = eventlog.Metadata{"$correlationId": fmt.Sprint(i), "zone": "Zürich\x00"}
				}
				w.Events = append(w.Events, d)
			}
			writes = append(writes, w)
		}
		if _, err := log.Append(t.Context(), writes...); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// copied is what log copy reports.
type copied struct {
	Events, Copied int64
	Root           string
}

func logCopied(t *testing.T, from, to string) (copied, result) {
	t.Helper()
	r := wattbook(t, "log", "copy", "--from", from, "--to", to, "--json")
	var c copied
	if r.code == exitOK {
		if err := json.Unmarshal([]byte(r.out), &c); err != nil {
			t.Fatalf("%v\n%s", err, r.out)
		}
	}
	return c, r
}

func rootOf(t *testing.T, dir string) copied {
	t.Helper()
	if r := wattbook(t, "checkpoint", "--data", dir); r.code != exitOK {
		t.Fatalf("checkpoint: exit %d\n%s%s", r.code, r.out, r.errors)
	}
	r := wattbook(t, "verify", "--json", "--data", dir)
	var c copied
	if err := json.Unmarshal([]byte(r.out), &c); err != nil || r.code != exitOK {
		t.Fatalf("verify: exit %d, %v\n%s%s", r.code, err, r.out, r.errors)
	}
	return c
}

func cluster(t *testing.T, cfg server.Config) *server.Server {
	t.Helper()
	s, err := server.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// TestALogGoesToAClusterAndBack copies a history over a server that fails, and
// back, and finds the digests equal.
func TestALogGoesToAClusterAndBack(t *testing.T) {
	book := bookOf(t, 1, 400)
	want := rootOf(t, book)
	s := cluster(t, server.Config{})
	s.Inject(
		server.Fault{On: server.Append, Nth: 2, Do: server.Drop, After: true},
		server.Fault{On: server.Append, Nth: 3, Do: server.Late, For: 30 * time.Millisecond},
		server.Fault{On: server.Append, Nth: 5, Do: server.Restart, For: 20 * time.Millisecond},
		server.Fault{On: server.Append, Nth: 6, Do: server.NotLeader},
		server.Fault{On: server.Append, Nth: 7, Do: server.Lie},
		server.Fault{On: server.Read, Nth: 3, Do: server.Unknown},
		server.Fault{On: server.Subscribe, Nth: 2, Do: server.Drop, After: true},
	)
	there, r := logCopied(t, book, s.URL())
	if r.code != exitOK || there.Root != want.Root || there.Copied != want.Events || there.Events != want.Events {
		t.Fatalf("copy: exit %d, %+v, want %+v\n%s%s", r.code, there, want, r.out, r.errors)
	}
	if left := s.Pending(); len(left) > 1 {
		t.Errorf("faults that did not strike: %v", left)
	}
	s.Inject(
		server.Fault{On: server.Read, Nth: 2, Do: server.Drop, After: true}, server.Fault{On: server.Read, Nth: 4, Do: server.Refuse, For: 30 * time.Millisecond},
	)
	back := filepath.Join(t.TempDir(), "back")
	home, r := logCopied(t, s.URL(), back)
	if r.code != exitOK || home.Root != want.Root || home.Copied != want.Events {
		t.Fatalf("copy back: exit %d, %+v, want %+v\n%s%s", r.code, home, want, r.out, r.errors)
	}
	if again := rootOf(t, back); again.Root != want.Root {
		t.Errorf("the log that came back has the root %s, want %s", again.Root, want.Root)
	}
	// Again finds everything there.
	for _, c := range [][2]string{{book, s.URL()}, {s.URL(), back}} {
		if got, r := logCopied(t, c[0], c[1]); r.code != exitOK || got.Copied != 0 || got.Root != want.Root {
			t.Errorf("copy again: exit %d, %+v\n%s", r.code, got, r.errors)
		}
	}
	text := wattbook(t, "log", "copy", "--from", book, "--to", s.URL())
	if text.code != exitOK || !strings.Contains(text.out, "0 were copied, and the copy was read back") {
		t.Errorf("in words: exit %d\n%s%s", text.code, text.out, text.errors)
	}
}

// TestACopyThatWasInterruptedGoesOn kills copies in the middle, in both
// directions.
func TestACopyThatWasInterruptedGoesOn(t *testing.T) {
	book := bookOf(t, 2, 1500)
	want := rootOf(t, book)
	var reads atomic.Int64
	s := cluster(t, server.Config{Watch: func(call server.Call, _ map[string][]string) {
		if call == server.Read {
			reads.Add(1)
		}
	}})
	// interrupted starts a copy that comes to a fault, and kills it there.
	interrupted := func(fault server.Fault, args ...string) {
		t.Helper()
		s.Inject(fault)
		cmd := exec.Command(os.Args[0], append([]string{"log", "copy"}, args...)...)
		cmd.Env = append(os.Environ(), "RUN_AS_PROGRAM=1")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(60 * time.Second); len(s.Pending()) > 0 && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil || len(s.Pending()) > 0 {
			t.Fatalf("the copy was not killed at the fault: %v\n%s", err, &out)
		}
	}
	interrupted(server.Fault{On: server.Append, Nth: 3, Do: server.Delay, For: time.Minute}, "--from", book, "--to", s.URL())
	part := int64(len(s.Events()))
	if part == 0 || part >= want.Events {
		t.Fatalf("%d of %d events were copied", part, want.Events)
	}
	got, r := logCopied(t, book, s.URL())
	if r.code != exitOK || got.Root != want.Root || got.Copied >= want.Events || got.Copied == 0 {
		t.Fatalf("copy again: exit %d, %+v, want %+v\n%s", r.code, got, want, r.errors)
	}
	back := filepath.Join(t.TempDir(), "back")
	before := reads.Load()
	if _, r := logCopied(t, s.URL(), filepath.Join(t.TempDir(), "whole")); r.code != exitOK {
		t.Fatalf("copy back: exit %d\n%s", r.code, r.errors)
	}
	// The log is read to open it, for its root, and to copy it.
	interrupted(server.Fault{On: server.Read, Nth: int(reads.Load()-before) * 5 / 6, Do: server.Delay, For: time.Minute}, "--from", s.URL(), "--to", back)
	if r := wattbook(t, "log", "stat", "--data", back); r.code != exitFinding || !strings.Contains(r.errors, "holds no book") {
		t.Errorf("half a copy is a book: exit %d\n%s%s", r.code, r.out, r.errors)
	}
	got, r = logCopied(t, s.URL(), back)
	if r.code != exitOK || got.Root != want.Root || got.Copied >= want.Events || got.Copied == 0 {
		t.Fatalf("copy back again: exit %d, %+v, want %+v\n%s", r.code, got, want, r.errors)
	}
}

// TestACopyRefusesAnotherHistory copies where something else is.
func TestACopyRefusesAnotherHistory(t *testing.T) {
	book, other := bookOf(t, 3, 20), bookOf(t, 4, 30)
	s, longer := cluster(t, server.Config{}), bookOf(t, 3, 40)
	if _, r := logCopied(t, book, s.URL()); r.code != exitOK {
		t.Fatalf("copy: exit %d\n%s", r.code, r.errors)
	}
	before := len(s.Events())
	occupied := t.TempDir()
	if err := os.WriteFile(filepath.Join(occupied, "letter"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		from, to string
		code     int
		want     string
	}{
		{other, s.URL(), exitFinding, "holds another history from position 0 on"},
		{s.URL(), other, exitFinding, "holds another history from position 0 on"},
		{s.URL(), longer, exitFinding, "copy the other way"},
		{s.URL(), occupied, exitFinding, "is no data folder"},
		{filepath.Join(occupied, "none"), s.URL(), exitFinding, "holds no book"},
		{book, "", exitUsage, "--from and --to are missing"},
		{book, other, exitUsage, "wattbook backup copies a folder"},
		{s.URL(), s.URL(), exitUsage, "one of --from and --to must be a data folder"},
		{book, "esdb://book:p4ss@127.0.0.1:1?tls=false", exitFinding, "credentials are not sent without TLS"},
	} {
		got, r := logCopied(t, c.from, c.to)
		if r.code != c.code || !strings.Contains(r.errors, c.want) || strings.Contains(r.errors+r.out, "p4ss") {
			t.Errorf("%s → %s: exit %d, %+v, want %d and %q\n%s%s", c.from, c.to, r.code, got, c.code, c.want, r.out, r.errors)
		}
	}
	if n := len(s.Events()); n != before {
		t.Errorf("the cluster has %d events, it had %d", n, before)
	}
	if got, r := logCopied(t, longer, s.URL()); r.code != exitOK || got.Copied >= got.Events || got.Copied == 0 {
		t.Errorf("the same history, grown: exit %d, %+v\n%s", r.code, got, r.errors)
	}
}

// TestTheBookMayBeOnACluster verifies, signs and proves a log that is on a
// server, with the keys and checkpoints of its folder.
func TestTheBookMayBeOnACluster(t *testing.T) {
	book := bookOf(t, 5, 60)
	want := rootOf(t, book)
	s := cluster(t, server.Config{Users: map[string]string{"book": "p4ss"}})
	env := []string{"WATTBOOK_CLUSTER_USER=book", "WATTBOOK_CLUSTER_PASSWORD=p4ss", "WATTBOOK_CLUSTER_PLAINTEXT=true", "WATTBOOK_CLUSTER_STREAM=cedar-bend"}
	if r := wattbookIn(t, env, "log", "copy", "--from", book, "--to", s.URL()); r.code != exitOK || strings.Contains(r.out+r.errors, "p4ss") {
		t.Fatalf("copy: exit %d\n%s%s", r.code, r.out, r.errors)
	}
	for user, code := range map[string]int{"book:p4ss": exitOK, "book:guess": exitFinding} {
		wrong := append(slices.Clone(env), "WATTBOOK_CLUSTER_PASSWORD=wrong")
		if r := wattbookIn(t, wrong, "log", "copy", "--from", book, "--to", strings.Replace(s.URL(), "://", "://"+user+"@", 1)); r.code != code || strings.Contains(r.out+r.errors, "p4ss") {
			t.Errorf("copy as %s: exit %d\n%s%s", user, r.code, r.out, r.errors)
		}
	}
	if err := os.RemoveAll(folder(book).log()); err != nil {
		t.Fatal(err)
	}
	env = append(env, "WATTBOOK_CLUSTER="+s.URL())
	check := func(code int, out string, args ...string) result {
		t.Helper()
		r := wattbookIn(t, env, append(args, "--data", book, "--log-level", "debug")...)
		if r.code != code || !strings.Contains(r.out+r.errors, out) || strings.Contains(r.out+r.errors, "p4ss") {
			t.Errorf("wattbook %s: exit %d, want %d and %q\n%s%s", strings.Join(args, " "), r.code, code, out, r.out, r.errors)
		}
		return r
	}
	events := fmt.Sprintf("%d events", want.Events)
	check(exitOK, events+", root "+want.Root+"\n1 checkpoints agree", "verify")
	check(exitOK, events, "log", "stat")
	check(exitOK, want.Root, "checkpoint")
	tail := check(exitOK, `"position":7`, "log", "tail", "--from", "7", "--count", "1", "--json")
	_, id, _ := strings.Cut(tail.out, `"id":"`)
	id, _, _ = strings.Cut(id, `"`)
	file := filepath.Join(t.TempDir(), "event.proof")
	check(exitOK, "event "+id, "prove", "--event", id, "-o", file)
	check(exitOK, "PROVED   event "+id, "prove", "--check", file, "--key", folder(book).publicKey())
	check(exitFinding, "the log of "+book+" is on a cluster", "backup", "--to", filepath.Join(t.TempDir(), "saved"))
	check(exitUsage, "unset the setting cluster", "demo")
	export := filepath.Join(t.TempDir(), "log.archive")
	check(exitOK, want.Root, "log", "export", "-o", export)

	// Somebody changes one byte on the server: its own checks say nothing.
	forged := &server.Memory{}
	all := s.Events()
	victim := len(all) / 2
	all[victim].Data = slices.Clone(all[victim].Data)
	all[victim].Data[len(all[victim].Data)/2] ^= 1
	if err := forged.Append(all); err != nil {
		t.Fatal(err)
	}
	env = append(env, "WATTBOOK_CLUSTER="+cluster(t, server.Config{Store: forged, Users: map[string]string{"book": "p4ss"}}).URL())
	check(exitFinding, fmt.Sprintf("DAMAGED  position %d: the event is not what it was; it contradicts the checkpoint of %s", victim, events), "verify")

	// What comes back into the folder must be what was signed.
	forgery := env[len(env)-1][len("WATTBOOK_CLUSTER="):]
	if r := wattbookIn(t, env, "log", "copy", "--from", forgery, "--to", book); r.code != exitFinding || !strings.Contains(r.errors, "it contradicts the checkpoint") {
		t.Errorf("copy of a forgery: exit %d\n%s%s", r.code, r.out, r.errors)
	}
	if err := os.RemoveAll(folder(book).log() + ".partial"); err != nil {
		t.Fatal(err)
	}
	if r := wattbookIn(t, env, "log", "copy", "--from", s.URL(), "--to", book); r.code != exitOK {
		t.Errorf("copy back into the folder: exit %d\n%s%s", r.code, r.out, r.errors)
	}

	for _, c := range []struct{ set, want string }{
		{"WATTBOOK_CLUSTER=host:2113", "setting cluster is no connection string; write one"},
		{"WATTBOOK_CLUSTER_LEADER=perhaps", `setting cluster_leader is "perhaps"; want true or false`},
		{"WATTBOOK_CLUSTER_USER=", "of the settings cluster_user and cluster_password one is empty"},
		{"WATTBOOK_CLUSTER_PASSWORT=p4ss", "did you mean WATTBOOK_CLUSTER_PASSWORD?"},
	} {
		t.Run(c.want, func(t *testing.T) {
			if r := wattbookIn(t, []string{c.set}, "log", "stat"); r.code != exitUsage || !strings.Contains(r.errors, c.want) || strings.Contains(r.errors, "p4ss") {
				t.Errorf("%s: exit %d\n%s", c.set, r.code, r.errors)
			}
		})
	}
}

// clustered moves the book to a server, and finds there what it was: the same
// conclusions, proofs and checkpoints.
func (m month) clustered(t *testing.T) {
	want := wattbook(t, "verify", "--data", m.data, "--json")
	var root copied
	if err := json.Unmarshal([]byte(want.out), &root); err != nil || want.code != exitOK {
		t.Fatalf("verify: exit %d, %v\n%s", want.code, err, want.errors)
	}
	s := cluster(t, server.Config{})
	there, r := logCopied(t, m.data, s.URL())
	if r.code != exitOK || there.Root != root.Root || there.Copied != root.Events {
		t.Fatalf("copy: exit %d, %+v, want %+v\n%s", r.code, there, root, r.errors)
	}
	back := filepath.Join(t.TempDir(), "back")
	if home, r := logCopied(t, s.URL(), back); r.code != exitOK || home.Root != root.Root {
		t.Errorf("copy back: exit %d, %+v, want %+v\n%s", r.code, home, root, r.errors)
	}
	// Another machine has the keys and checkpoints, and the log on the server.
	for _, part := range []string{folder(m.data).checkpoints(), filepath.Dir(folder(m.data).privateKey())} {
		if err := copyTree(filepath.Join(back, filepath.Base(part)), part); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.RemoveAll(folder(back).log()); err != nil {
		t.Fatal(err)
	}
	env := []string{"WATTBOOK_CLUSTER=" + s.URL()}
	if got := wattbookIn(t, env, "verify", "--data", back, "--json"); got.code != exitOK || got.out != want.out {
		t.Errorf("verify on the server: exit %d\n%swant\n%s%s", got.code, got.out, want.out, got.errors)
	}
	file := filepath.Join(t.TempDir(), "invoice.proof")
	made := wattbookIn(t, env, "prove", "--invoice", "CB-2026-000003", "-o", file, "--data", back)
	if checked := wattbook(t, "prove", "--check", file, "--key", folder(m.data).publicKey()); made.code != exitOK || checked.code != exitOK {
		t.Errorf("prove on the server: exit %d and %d\n%s%s", made.code, checked.code, made.errors, checked.out)
	}
	golden, err := os.ReadFile(filepath.Join("testdata", "october-seed-1.txt"))
	if err != nil {
		t.Fatal(err)
	}
	again := wattbookIn(t, env, "replay", "--data", back)
	for line := range strings.Lines(string(golden)) {
		fields := strings.Fields(line)
		if digest := fields[len(fields)-1]; again.code != exitOK || !strings.Contains(again.out, digest) {
			t.Errorf("the log on the server does not replay to %s\n%s%s", line, again.out, again.errors)
		}
	}
}

// TestAServiceOnAClusterIsKilled kills a service whose log is on a server that
// restarts meanwhile, and checks what TestKillingTheServiceLosesAndDoublesNothing
// does, in the copy that the log comes back as.
func TestAServiceOnAClusterIsKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("TestAServiceOnAClusterIsKilled: -short")
	}
	s := cluster(t, server.Config{Now: time.Now})
	t.Setenv("WATTBOOK_CLUSTER", s.URL())
	config, data := liveSite(t), filepath.Join(t.TempDir(), "data")
	acked := uint64(0)
	for round := range 3 {
		service := startService(t, config, data)
		for from, deadline := acked, time.Now().Add(30*time.Second); service.acked.Load() < from+9; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the service records nothing")
			}
		}
		if round == 1 {
			if err := s.Restart(50 * time.Millisecond); err != nil {
				t.Fatal(err)
			}
			for _, c := range []struct {
				args []string
				code int
				want string
			}{
				{[]string{"log", "stat"}, exitOK, "readings.recorded/1"},
				{[]string{"checkpoint"}, exitOK, "— wattbook/"},
				{[]string{"verify"}, exitOK, "checkpoints agree"},
				{[]string{"backup", "--to", filepath.Join(t.TempDir(), "saved")}, exitFinding, "is on a cluster"},
				{[]string{"serve", "--config", config}, exitFinding, "another process has it"},
			} {
				got := wattbook(t, append(c.args, "--data", data)...)
				if got.code != c.code || !strings.Contains(got.out+got.errors, c.want) {
					t.Errorf("wattbook %s: exit %d, want %d and %q\n%s%s", strings.Join(c.args, " "), got.code, c.code, c.want, got.out, got.errors)
				}
			}
		}
		if err := service.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-service.ended
		_ = service.cmd.Wait()
		acked = service.acked.Load()
	}
	back := filepath.Join(t.TempDir(), "back")
	got, r := logCopied(t, s.URL(), back)
	if r.code != exitOK || uint64(got.Events) < acked {
		t.Fatalf("position %d was announced, the copy: exit %d, %+v\n%s", acked, r.code, got, r.errors)
	}
	checkBooks(t, back)
	if entries, err := os.ReadDir(folder(data).log()); err == nil {
		t.Errorf("the folder of a log on a cluster holds a log: %v", entries)
	}
}
