package warehouse

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

// whole returns an error unless a part is there from its first bytes to its
// last: one that was cut off or overwritten is not. What else may have happened
// in between shows when it is read.
func whole(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("a part is missing: %w", err)
	}
	defer f.Close()
	var mark [4]byte
	for _, from := range []struct {
		offset int64
		whence int
	}{{0, io.SeekStart}, {-int64(len(mark)), io.SeekEnd}} {
		_, err := f.Seek(from.offset, from.whence)
		if err == nil {
			_, err = io.ReadFull(f, mark[:])
		}
		if err != nil || string(mark[:]) != "PAR1" {
			return fmt.Errorf("a part is damaged: %s does not begin and end as Parquet does", path)
		}
	}
	return nil
}

// partSaid finds the part that DuckDB's error is about.
var partSaid = regexp.MustCompile(`[^/\\'"]+\.parquet`)

// spoiled puts words for who reads a warehouse in place of DuckDB's about a
// part that is not there or cannot be read. Other errors stay what they are.
func spoiled(err error) error {
	said := err.Error()
	for _, about := range []string{"No files found", "No magic bytes", "too small to be a Parquet", "Cannot open file", "footer", "ZSTD", "zstd", "TProtocolException", "corrupt"} {
		name := partSaid.FindString(said)
		if !strings.Contains(said, about) || name == "" {
			continue
		}
		return fmt.Errorf("a part is missing or damaged (%s); serve makes it anew at its next publication, or: wattbook warehouse rebuild (%w)", name, errors.New(firstLine(err)))
	}
	return err
}
