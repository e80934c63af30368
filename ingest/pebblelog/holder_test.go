package pebblelog_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"wattbook/ingest/pebblelog"
)

// TestWhoHasTheFolder opens a log that another process has open: the error says
// which one. When that has ended, it is opened.
func TestWhoHasTheFolder(t *testing.T) {
	if dir := os.Getenv("WATTBOOK_HELD_DIR"); dir != "" {
		open(t, dir)
		fmt.Println("open")
		_, _ = io.Copy(io.Discard, os.Stdin)
		return
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestWhoHasTheFolder$")
	cmd.Env = append(os.Environ(), "WATTBOOK_HELD_DIR="+dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if said, err := bufio.NewReader(out).ReadString('\n'); said != "open\n" {
		t.Fatalf("the other process says %q, %v", said, err)
	}
	for range 2 { // to ask does not open the lock
		_, err = pebblelog.Open(config(dir))
		if want := fmt.Sprintf("(process %d", cmd.Process.Pid); !errors.Is(err, pebblelog.ErrInUse) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	open(t, dir)
}
