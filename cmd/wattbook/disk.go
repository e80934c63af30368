package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// demoBytes is what a month at the sample site takes at most while it is
// played: some 250 MB are kept.
const demoBytes = 500 << 20

// enoughDisk reports that the disk on which a folder is, or will be made, has
// too little room for a month. Free tells what an existing folder's disk has.
func enoughDisk(dir string, free func(dir string) (bytes int64, err error)) error {
	there, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	for {
		if _, err := os.Stat(there); !errors.Is(err, fs.ErrNotExist) || there == filepath.Dir(there) {
			break
		}
		there = filepath.Dir(there)
	}
	n, err := free(there)
	if err != nil {
		return fmt.Errorf("see how much room %s has: %w", there, err)
	}
	if n < demoBytes {
		return fmt.Errorf("%s has %d MB of free disk, and a month takes %d MB while it is played: free some, or name a folder on another disk with --data", there, n>>20, demoBytes>>20)
	}
	return nil
}

// freeBytes returns how much may be written to the disk of a folder.
func freeBytes(dir string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(min(s.Bavail, 1<<40)) * int64(s.Bsize), nil
}
