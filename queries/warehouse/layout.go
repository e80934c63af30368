package warehouse

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"wattbook/domain"
)

// The folder of a warehouse:
//
//	warehouse.duckdb              views of the parts, and the other tables
//	warehouse-<position>.duckdb   hard links to the last few of them
//	as-of-<position>.duckdb       what was known at earlier positions, made when it was asked for
//	parts-5f3a9c01/               the parts, in a folder of a name drawn at random
//	  open/readings/epoch=000003/   parts of the open epoch, beside its sentinel
//	  open/events/, …               likewise: every part has a file of each table
//	  closed/readings/epoch=900001/ compacted parts of closed epochs, joined into larger ones
//	  days/margins/site=cedar/, …   what is concluded about days that are over, of a day or a month
//	tmp/                          files that are being written
//	publisher.lock                held by the one publisher
//
// A file never changes once it has its name, and no name is used twice: a
// client that opens a file more than once for one query would mix two of them.
// A warehouse that is made anew has a new folder of parts, so that no database
// ever reads parts of another log. What the folder holds is told by its file
// names alone.
const (
	publishedName = "warehouse.duckdb"
	linkPrefix    = "warehouse-"
	sentinelName  = "000-sentinel.parquet"
	lockName      = "publisher.lock"
	spillName     = "spill" // in tmp: what DuckDB has no memory for
	partsPrefix   = "parts-"
	daysName      = "days"
	asOfPrefix    = "as-of-"
	retiredInfix  = ".retired-" // name, infix, microseconds: since when no published view reads it

	// closedBase is added to the number of an open epoch for the folder of what
	// it is compacted into. Views read the epochs from a number on, and list
	// compacted files by name: these pass, since they are above every open one.
	closedBase = 900_000
)

// part are the Parquet files of the events at positions [first, last], one of
// each table.
type part struct {
	path        string // of the readings
	epoch       int64  // open epoch that it is, or ends with
	first, last domain.Position
	level       int   // of a compacted file: 0 if it is made of parts, and one more than what it is made of
	size        int64 // of the readings, in bytes
}

// of returns the path of a table's file.
func (p part) of(table string) string { return beside(p.path, table) }

// beside returns where another table has what the readings have at a path.
func beside(path, table string) string {
	epoch := filepath.Dir(path)
	return filepath.Join(filepath.Dir(filepath.Dir(epoch)), table, filepath.Base(epoch), filepath.Base(path))
}

// tablesBeside are the tables that have a file beside one of a part.
func tablesBeside(path string) []string {
	if filepath.Base(filepath.Dir(filepath.Dir(filepath.Dir(path)))) == daysName {
		return daily()
	}
	return parted()
}

// layout is what the file names of a folder say.
type layout struct {
	dir    string
	name   string // of the folder of the parts, in dir
	work   string // folder of files that are being written; empty: tmp in dir
	base   int64  // first open epoch: views read from it on
	epoch  int64  // open epoch that parts go to
	open   []part // by position
	closed []part // by position; those that larger ones replace are left out

	days        []dayFile // by site and day
	unpublished []dayFile // of positions after the published one

	retired []retirement
}

// retirement is a file, the sentinel of an epoch, or a folder of parts that no
// published view reads since an instant; 0 while the views that leave it out are not
// published yet.
type retirement struct {
	path  string
	since domain.Instant
}

func (l *layout) tmp(name string) string {
	return filepath.Join(cmp.Or(l.work, filepath.Join(l.dir, "tmp")), name)
}

func (l *layout) published() string { return filepath.Join(l.dir, publishedName) }

func (l *layout) openDir(table string, epoch int64) string {
	return filepath.Join(l.dir, l.name, "open", table, fmt.Sprintf("epoch=%06d", epoch))
}

func (l *layout) closedDir(table string, epoch int64) string {
	return filepath.Join(l.dir, l.name, "closed", table, fmt.Sprintf("epoch=%d", closedBase+epoch))
}

// end returns the position after the last one that a part covers.
func (l *layout) end() domain.Position {
	if n := len(l.open); n > 0 {
		return l.open[n-1].last + 1
	}
	if n := len(l.closed); n > 0 {
		return l.closed[n-1].last + 1
	}
	return 0
}

// parts returns all parts that count, by position.
func (l *layout) parts() []part { return slices.Concat(l.closed, l.open) }

// missing returns an error that names the first part that is not there.
func (l *layout) missing() error {
	for _, p := range l.parts() {
		for _, table := range parted() {
			if err := whole(p.of(table)); err != nil {
				return err
			}
		}
	}
	return l.missingDays()
}

// scan reads what a folder of parts holds that is published at a position.
// Parts of the log that count must cover it from its beginning without a hole:
// anything else is an error.
func scan(dir, name string, at domain.Position) (*layout, error) {
	l := &layout{dir: dir, name: name}
	l.scanOthers()
	if err := errors.Join(l.scanClosed(), l.scanDays(at)); err != nil {
		return nil, err
	}
	l.base = 1
	if n := len(l.closed); n > 0 {
		l.base = l.closed[n-1].epoch + 1
	}
	if err := l.scanOpen(); err != nil {
		return nil, err
	}
	next := domain.Position(0)
	for _, p := range l.parts() {
		if p.first != next {
			return nil, fmt.Errorf("a part is missing: %s does not follow position %d", p.path, next)
		}
		next = p.last + 1
	}
	return l, l.missing()
}

// scanOthers finds the folders of parts of warehouses before this one; the
// oldest of them had no folder of their own.
func (l *layout) scanOthers() {
	others := append(globbed(filepath.Join(l.dir, partsPrefix+"*")), filepath.Join(l.dir, "open"), filepath.Join(l.dir, "closed"))
	for _, path := range others {
		if s, err := os.Stat(path); err == nil && s.IsDir() && filepath.Base(path) != l.name {
			l.retired = append(l.retired, retirement{path, retiredSince(path)})
		}
	}
}

func (l *layout) scanClosed() error {
	var all []part
	for _, path := range globbed(filepath.Join(l.dir, l.name, "closed", "readings", "epoch=*", "*.parquet")) {
		p, err := parsePart(path)
		if err != nil {
			return err
		}
		p.epoch -= closedBase
		if err := p.measure(); err != nil {
			return err
		}
		all = append(all, p)
	}
	// By beginning, the longer first: what begins inside the one before it is
	// replaced by it.
	slices.SortFunc(all, func(a, b part) int { return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(b.last, a.last)) })
	for _, p := range all {
		if n := len(l.closed); n > 0 && p.last <= l.closed[n-1].last {
			l.retired = append(l.retired, retirement{p.path, retiredSince(p.path)})
			continue
		}
		l.closed = append(l.closed, p)
	}
	return nil
}

func (l *layout) scanOpen() error {
	var epochs []int64
	for _, dir := range globbed(filepath.Join(l.dir, l.name, "open", "readings", "epoch=*")) {
		n, err := parseEpoch(dir)
		if err != nil {
			return err
		}
		if n >= l.base {
			epochs = append(epochs, n)
			continue
		}
		sentinel := filepath.Join(dir, sentinelName)
		since := retiredSince(sentinel)
		if _, err := os.Stat(sentinel); errors.Is(err, fs.ErrNotExist) {
			since = 1 // its deletion had begun
		}
		l.retired = append(l.retired, retirement{sentinel, since})
	}
	slices.Sort(epochs)
	if len(epochs) > 0 {
		l.base = epochs[0]
	}
	l.epoch = l.base
	for _, n := range epochs {
		l.epoch = n
		for _, path := range globbed(filepath.Join(l.openDir(lastParted, n), "part-*.parquet")) {
			p, err := parsePart(path)
			if err == nil {
				err = p.measure()
			}
			if err != nil {
				return err
			}
			l.open = append(l.open, p)
		}
	}
	slices.SortFunc(l.open, func(a, b part) int { return cmp.Compare(a.first, b.first) })
	return nil
}

// globbed returns the paths that match. The pattern is one of ours, and a
// folder's name has no characters that mean something to it (see Open).
func globbed(pattern string) []string {
	all, err := filepath.Glob(pattern)
	if err != nil {
		panic("warehouse: " + err.Error())
	}
	return all
}

func parseEpoch(dir string) (n int64, err error) {
	if _, err := fmt.Sscanf(filepath.Base(dir), "epoch=%d", &n); err != nil || n < 1 {
		return 0, fmt.Errorf("warehouse: folder %s is not of the form epoch=000001", dir)
	}
	return n, nil
}

// measure finds how large the readings of a part are.
func (p *part) measure() error {
	s, err := os.Stat(p.path)
	if err != nil {
		return fmt.Errorf("a part is missing: %w", err)
	}
	p.size = s.Size()
	return nil
}

// compactedKind is how the name of a compacted file begins: c, m, m2, m3, …
func compactedKind(level int) string {
	switch level {
	case 0:
		return "c"
	case 1:
		return "m"
	}
	return fmt.Sprintf("m%d", level)
}

// parsePart reads a name of the form part-<first>-<last>.parquet.
func parsePart(path string) (part, error) {
	p := part{path: path}
	var err error
	if p.epoch, err = parseEpoch(filepath.Dir(path)); err != nil {
		return p, err
	}
	stem := strings.TrimSuffix(filepath.Base(path), ".parquet")
	kind, rest, _ := strings.Cut(stem, "-")
	var again string
	if _, err := fmt.Sscanf(rest, "%d-%d", &p.first, &p.last); err == nil {
		again = fmt.Sprintf("%s-%d-%d", kind, p.first, p.last)
	}
	if again != stem || p.last < p.first {
		return p, fmt.Errorf("warehouse: file %s is not of the form part-<first>-<last>.parquet", path)
	}
	if _, err := fmt.Sscanf(kind, "m%d", &p.level); err != nil && kind == "m" {
		p.level = 1
	}
	return p, nil
}

// retiredSince returns what the mark beside a file says, or 0.
func retiredSince(path string) (since domain.Instant) {
	for _, mark := range globbed(path + retiredInfix + "*") {
		if _, err := fmt.Sscanf(strings.TrimPrefix(mark, path), retiredInfix+"%d", &since); err != nil {
			continue
		}
		return since
	}
	return 0
}

// retire marks what the views that were just published leave out.
func (l *layout) retire(now domain.Instant) error {
	for i, r := range l.retired {
		if r.since != 0 {
			continue
		}
		mark := fmt.Sprintf("%s%s%d", r.path, retiredInfix, int64(now))
		if err := os.WriteFile(mark, nil, 0o644); err != nil {
			return fmt.Errorf("retire %s: %w", r.path, err)
		}
		l.retired[i].since = now
	}
	return nil
}

// sweep deletes what has been retired for longer than the grace. An epoch's
// sentinel goes first: a client that still holds the views of its time names
// it, and fails loudly rather than miss rows.
func (l *layout) sweep(now domain.Instant, grace domain.Duration) error {
	var left []retirement
	for _, r := range l.retired {
		if r.since == 0 || now.Sub(r.since) < grace {
			left = append(left, r)
			continue
		}
		if err := l.delete(r.path); err != nil {
			return fmt.Errorf("delete what is retired: %w", err)
		}
	}
	l.retired = left
	// What was made of earlier positions reads parts that may go now.
	for _, path := range globbed(filepath.Join(l.dir, asOfPrefix+"*.duckdb")) {
		if s, err := os.Stat(path); err == nil && now.Sub(domain.At(s.ModTime())) >= grace {
			if err := remove(path); err != nil {
				return err
			}
		}
	}
	return nil
}

// delete deletes a retired file and those beside it, an epoch by its sentinel,
// or a folder of parts; the mark that says so goes last.
func (l *layout) delete(path string) error {
	if filepath.Dir(path) == l.dir {
		if err := removeParts(path); err != nil {
			return err
		}
	} else {
		for _, table := range tablesBeside(path) {
			file := beside(path, table)
			if err := remove(file); err != nil {
				return err
			}
			if filepath.Base(file) == sentinelName && table != lastParted {
				if err := os.RemoveAll(filepath.Dir(file)); err != nil {
					return err
				}
			}
		}
		if filepath.Base(path) == sentinelName {
			return errors.Join(syncDir(filepath.Dir(path)), os.RemoveAll(filepath.Dir(path)))
		}
	}
	for _, mark := range globbed(path + retiredInfix + "*") {
		if err := remove(mark); err != nil {
			return err
		}
	}
	if filepath.Dir(path) != l.dir {
		for _, table := range tablesBeside(path) {
			_ = os.Remove(filepath.Dir(beside(path, table))) // if it is empty now
		}
	}
	return nil
}

// removeParts deletes a folder of parts, its sentinels first.
func removeParts(dir string) error {
	for _, s := range globbed(filepath.Join(dir, "*", "*", "epoch=*", sentinelName)) {
		if err := remove(s); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("delete the parts of a warehouse before this one: %w", err)
	}
	return nil
}

// settle gives a file in tmp its name for good: its bytes and then its name
// are on the disk when settle returns.
func settle(tmp, path string) error {
	if _, err := os.Lstat(path); err == nil && filepath.Ext(path) == ".parquet" {
		return fmt.Errorf("publish %s: the name is taken, and no name is used twice", path)
	}
	if err := syncFile(tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("publish %s: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}

// makeDir makes a folder and those above it, and puts their names on the disk.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	above := filepath.Dir(dir)
	if err := makeDir(above); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make folder: %w", err)
	}
	return syncDir(above)
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete: %w", err)
	}
	return nil
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	return errors.Join(f.Sync(), f.Close())
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	return errors.Join(f.Sync(), f.Close())
}
