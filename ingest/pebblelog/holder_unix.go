//go:build unix

package pebblelog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// holder says which process has a folder locked, as far as the system tells:
// " (process 4711: wattbook invoice run)". A lock of this process is not looked
// at, since to close its file again would open it.
func holder(disk vfs.FS, dir string, refused error) string {
	if disk != vfs.Default || !errors.Is(refused, syscall.EAGAIN) && !errors.Is(refused, syscall.EACCES) {
		return ""
	}
	f, err := os.OpenFile(filepath.Join(dir, "LOCK"), os.O_RDWR, 0)
	if err != nil {
		return ""
	}
	defer f.Close()
	lock := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart}
	if err := syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &lock); err != nil || lock.Type == syscall.F_UNLCK || lock.Pid <= 0 {
		return ""
	}
	if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", lock.Pid)); err == nil && len(line) > 0 {
		words := bytes.Split(bytes.TrimRight(line, "\x00"), []byte{0})
		words[0] = []byte(filepath.Base(string(words[0])))
		return fmt.Sprintf(" (process %d: %q)", lock.Pid, bytes.Join(words[:min(len(words), 4)], []byte(" ")))
	}
	return fmt.Sprintf(" (process %d)", lock.Pid)
}
