package pebblelog

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"wattbook/domain/eventlog"
)

// damage turns what Pebble says of stored bytes into a *CorruptError, in one
// line. What is wrong with the machine, such as a file that may not be read,
// stays what it is.
func (l *Log) damage(place string, err error) error {
	var already *eventlog.CorruptError
	if err == nil || errors.As(err, &already) {
		return err
	}
	var machine *fs.PathError
	if errors.As(err, &machine) && !errors.Is(err, fs.ErrNotExist) && !pebble.IsCorruptionError(err) {
		return fmt.Errorf("read %s: %w", place, err)
	}
	if errors.Is(err, eventlog.ErrClosed) || errors.Is(err, errFormat) {
		return err
	}
	return &eventlog.CorruptError{Place: place, Err: &storedError{plain(err, l.cfg.Dir), err}}
}

// storedError says in short what a database says at length.
type storedError struct {
	text  string
	cause error
}

func (e *storedError) Error() string { return e.text }
func (e *storedError) Unwrap() error { return e.cause }

// plain returns the first thing that is wrong and what to do.
func plain(err error, dir string) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	table := func(pattern string) string {
		if m := regexp.MustCompile(pattern).FindStringSubmatch(text); m != nil {
			return m[1]
		}
		return ""
	}
	if n := table(`file (\d+) \(type sstable\) unknown`); n != "" {
		text = fmt.Sprintf("the file %s.sst is missing", n)
	} else if n := table(`(\d+): object size mismatch`); n != "" {
		text = fmt.Sprintf("the file %s.sst is not as long as it was", n)
	} else if n := table(`could not open manifest file "([^"]*)"`); n != "" {
		text = fmt.Sprintf("the file %s is missing", n)
	} else if n := table(`malformed manifest file "([^"]*)"`); n != "" {
		text = fmt.Sprintf("the file %s, which says what belongs to the log, is damaged", n)
	} else if m := regexp.MustCompile(`file (\d+): block (\d+)/(\d+): .*mismatch`).FindStringSubmatch(text); m != nil {
		text = fmt.Sprintf("the %s bytes from %s on of the file %s.sst are not what was written", m[3], m[2], m[1])
	} else if strings.Contains(text, "invalid key=value syntax") {
		text = "the file OPTIONS is damaged: " + text
	} else if strings.Contains(text, "already exists and is not pristine") {
		text = "the file marker.format-version is missing"
	}
	text = strings.ReplaceAll(strings.TrimPrefix(text, "pebble: "), dir, ".")
	return text + "; restore a backup"
}
