package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/ingest"
)

// hungSite is the configuration of a site whose meter takes connections and
// never answers.
func hungSite(t *testing.T, asked func()) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
			asked()
		}
	}()
	path := filepath.Join(t.TempDir(), "site.yaml")
	config := fmt.Sprintf(`
timeout: 1h
settle: 0s
site: {id: hung, zone: UTC, step: 1s, currency: USD, node: n, revenue_meter: m1}
devices: [{id: m1, kind: meter, rated_kw: 14000}]
sources: [{name: meters, type: modbus, every: 1s, timeout: 1h, meters: [{device: m1, address: %q, registers: sunspec, provenance: revenue-meter}]}]
`, l.Addr())
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestSignalsStopAServiceThatWaitsForADevice sends a signal while a device
// hangs: the service ends well, and soon.
func TestSignalsStopAServiceThatWaitsForADevice(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		asked := make(chan struct{}, 16)
		config := hungSite(t, func() { asked <- struct{}{} })
		cmd := exec.Command(os.Args[0], "serve", "--config", config, "--data", filepath.Join(t.TempDir(), "data"))
		cmd.Env = append(os.Environ(), "RUN_AS_PROGRAM=1")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-asked:
		case <-time.After(30 * time.Second):
			t.Error("the device is not asked")
		}
		sent := time.Now()
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v\n%s", sig, err, stderr.String())
		}
		if took := time.Since(sent); took > 5*time.Second {
			t.Errorf("%s: it ended after %s", sig, took)
		}
	}
}

// full is a log on a disk that is full.
type full struct {
	eventlog.Log
	refusing atomic.Bool
}

func (f *full) Append(ctx context.Context, ws ...eventlog.Write) (eventlog.Receipt, error) {
	if f.refusing.Load() {
		return eventlog.Receipt{}, fmt.Errorf("append: %w", syscall.ENOSPC)
	}
	return f.Log.Append(ctx, ws...)
}

// TestAServiceOnAFullDiskStops interrupts a service that cannot record: it
// says why the round is not on record, and ends.
func TestAServiceOnAFullDiskStops(t *testing.T) {
	config, data := liveSite(t), t.TempDir()
	in := inspectSite(config, config)
	p := &program{getenv: os.Getenv, stderr: os.Stderr}
	s := settings{Data: data, Timeout: time.Second, PublishEvery: time.Hour, SignEvery: time.Hour}
	quiet := slog.New(slog.DiscardHandler)
	e, err := openEngine(t.Context(), s, systemClock, quiet)
	if err != nil {
		t.Fatal(err)
	}
	disk := &full{Log: e.log}
	if e.door, err = ingest.OpenDoor(t.Context(), disk, e.evidence, quiet); err != nil {
		t.Fatal(err)
	}
	sources, err := builder{config: in.config, now: systemClock, logger: quiet, client: httpClient(), getenv: p.getenv, gpus: systemGPUs(systemClock)}.sources(in)
	if err != nil {
		t.Fatal(err)
	}
	e.collector = &ingest.Collector{Site: in.config.Site.ID, Sources: sources, Timeout: s.Timeout, Now: systemClock, Logger: quiet}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	var said bytes.Buffer
	go func() {
		ended <- stopWithin(ctx, stopLimit, func() error { return e.start(ctx, in.config, voice{Logger: quiet, out: &said}, s) })
	}()
	disk.refusing.Store(true)
	for deadline := time.Now().Add(20 * time.Second); e.failing.Load() == nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("recording does not fail")
		}
	}
	cancel()
	select {
	case err := <-ended:
		for _, want := range []string{"interrupted: the round of live at ", "no space left on device", data, "start again"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q is not in %v", want, err)
			}
		}
	case <-time.After(stopLimit + 5*time.Second):
		t.Fatal("the service does not stop")
	}
	// The test, other than a process, goes on: let what is tried again succeed.
	disk.refusing.Store(false)
	for deadline := time.Now().Add(30 * time.Second); e.failing.Load() != nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("recording does not go on")
		}
	}
	if err := e.close(); err != nil {
		t.Error(err)
	}
}

// fullBook is the log of a book on a disk that is full.
type fullBook struct {
	keptLog
	disk *full
}

func (f fullBook) Append(ctx context.Context, ws ...eventlog.Write) (eventlog.Receipt, error) {
	return f.disk.Append(ctx, ws...)
}

// TestADecisionOnAFullDiskSaysWhatToDo fills the disk between a round and its
// decision.
func TestADecisionOnAFullDiskSaysWhatToDo(t *testing.T) {
	dir := t.TempDir()
	smallBook(t, dir)
	e, err := openEngine(t.Context(), settings{Data: filepath.Join(dir, "book")}, smallNow, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	e.site, _ = e.facts.Site("little-bend")
	disk := &full{Log: e.log}
	disk.refusing.Store(true)
	kept := e.log
	e.log = fullBook{kept, disk}
	at := smallNow().Floor(domain.Hour)
	_, err = e.decide(t.Context(), domain.Interval{Start: at, End: at.Add(domain.Hour)})
	err = errors.Join(err, e.decided())
	for _, want := range []string{"record the decision for [2026-11-05T12:00:00Z", "no space left on device", "book is full; free some of it and start again", "the next one decides anew"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
	e.log = kept
	if err := e.close(); err != nil {
		t.Error(err)
	}
}

// TestAServiceSpeaksJSON reads every line that a service says with --json.
func TestAServiceSpeaksJSON(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	cmd := exec.Command(os.Args[0], "serve", "--config", liveSite(t), "--data", data, "--json")
	cmd.Env = append(os.Environ(), "RUN_AS_PROGRAM=1")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	watchdog := time.AfterFunc(60*time.Second, func() { _ = cmd.Process.Kill() })
	defer watchdog.Stop()
	var recorded int
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		var line struct {
			Message  string `json:"msg"`
			Site     string `json:"site"`
			Position uint64 `json:"position"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Errorf("%q: %v", lines.Text(), err)
		}
		if line.Message == "recorded" {
			if line.Site != "live" || line.Position == 0 {
				t.Errorf("%q names no site or position", lines.Text())
			}
			if recorded++; recorded == 2 {
				if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if err := cmd.Wait(); err != nil || recorded < 2 {
		t.Errorf("%d rounds, %v", recorded, err)
	}
	got := wattbook(t, "serve", "--config", "none.yaml", "--json")
	var last struct{ Level, Msg, Err string }
	if err := json.Unmarshal([]byte(got.errors), &last); err != nil || last.Level != "ERROR" || !strings.HasPrefix(last.Err, "none.yaml: cannot be read") || got.code != exitUsage {
		t.Errorf("without a configuration: exit %d, %q", got.code, got.errors)
	}
}

// TestAServiceHasNoFolderByDefault starts one without a data folder: none is
// made, wherever it runs.
func TestAServiceHasNoFolderByDefault(t *testing.T) {
	config := liveSite(t)
	t.Chdir(t.TempDir())
	got := wattbook(t, "serve", "--config", config)
	if got.code != exitUsage || !strings.Contains(got.errors, "--data is missing: name the folder of the book, or write data: DIR in ") {
		t.Errorf("exit %d, %q", got.code, got.errors)
	}
	if made, err := os.ReadDir("."); err != nil || len(made) > 0 {
		t.Errorf("made %v, %v", made, err)
	}
}
