package warehouse

import (
	"fmt"
	"strconv"
	"strings"
)

// ownMemory is what a process that answers needs beside what its query takes:
// for Go, for DuckDB, its threads and the catalogue, and the rows on their way.
const ownMemory = 256 << 20

// parseMemory returns the bytes that a limit such as 512MB or 1GiB stands for.
func parseMemory(text string) (uint64, error) {
	digits := strings.TrimRight(text, "BGKMTbgikmt ")
	n, err := strconv.ParseUint(digits, 10, 32)
	units := map[string]uint64{
		"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40,
	}
	unit, ok := units[strings.ToUpper(strings.TrimSpace(text[len(digits):]))]
	if err != nil || !ok {
		return 0, fmt.Errorf("limit of memory %q; want one such as 512MB", text)
	}
	return n * unit, nil
}
