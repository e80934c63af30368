//go:build unix

package kurrentlog

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lock takes the folder for one process, until the file is closed or the
// process ends, however it ends.
func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock view: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: another process has it: %w", path, err), f.Close())
	}
	return f, nil
}
