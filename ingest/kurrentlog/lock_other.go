//go:build !unix

package kurrentlog

import (
	"fmt"
	"os"
)

// lock holds the file open. Where there are no advisory locks, that there is
// one process is up to the operator.
func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock view: %w", err)
	}
	return f, nil
}
