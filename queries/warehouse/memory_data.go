//go:build linux || darwin

package warehouse

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// limitMemory lets this process have what a query may take, and what it needs
// itself. Allocations beyond that fail: DuckDB says so, or the process ends.
// Where the system counts no mapped memory as data (macOS), only DuckDB's own
// limit holds.
func limitMemory(memory string) error {
	n, err := parseMemory(memory)
	if err != nil {
		return err
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_DATA, &limit); err != nil {
		return fmt.Errorf("limit memory: %w", err)
	}
	if limit.Cur = min(limit.Max, n+ownMemory); unix.Setrlimit(unix.RLIMIT_DATA, &limit) != nil {
		return fmt.Errorf("limit memory to %d bytes: the system does not let it", limit.Cur)
	}
	return nil
}
