package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestADemoNeedsRoom(t *testing.T) {
	dir := t.TempDir()
	for free, want := range map[int64]string{
		demoBytes:     "",
		demoBytes - 1: dir + " has 499 MB of free disk, and a month takes 500 MB",
	} {
		err := enoughDisk(filepath.Join(dir, "not", "there", "yet"), func(of string) (int64, error) {
			if of != dir {
				t.Errorf("asked for %s, want %s", of, dir)
			}
			return free, nil
		})
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
			t.Errorf("%d bytes: %v", free, err)
		}
	}
	if n, err := freeBytes(dir); err != nil || n <= 0 {
		t.Errorf("the disk of a temporary folder has %d bytes: %v", n, err)
	}
}

// TestAnInterruptedDemoIsMarked interrupts a demo while it plays: it says so,
// and its folder is not taken for a month.
func TestAnInterruptedDemoIsMarked(t *testing.T) {
	if testing.Short() {
		t.Skip("TestAnInterruptedDemoIsMarked: -short")
	}
	data := filepath.Join(t.TempDir(), "october")
	cmd := exec.Command(os.Args[0], "demo", "--data", data)
	cmd.Env = append(os.Environ(), "RUN_AS_PROGRAM=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(folder(data).site()); err == nil {
			break // its devices run, and playing begins
		}
		if time.Now().After(deadline) {
			_ = cmd.Process.Kill()
			t.Fatal("the demo does not begin")
		}
	}
	sent := time.Now()
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitFinding || !strings.Contains(stderr.String(), "wattbook demo: interrupted: ") {
		t.Errorf("exit %d\n%s", code, stderr.String())
	}
	if took := time.Since(sent); took > stopLimit {
		t.Errorf("it ended after %s", took)
	}
	again := wattbook(t, "demo", "--data", data)
	if again.code != exitFinding || !strings.Contains(again.errors, "was not played to its end: remove the folder") {
		t.Errorf("played again: exit %d, %q", again.code, again.errors)
	}
	if stat := wattbook(t, "log", "stat", "--data", data); stat.code != exitOK || !strings.Contains(stat.errors, "was not played to its end") {
		t.Errorf("log stat: exit %d, %q", stat.code, stat.errors)
	}
}
