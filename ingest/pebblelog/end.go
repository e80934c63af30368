package pebblelog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"wattbook/domain"
	"wattbook/domain/eventlog"
)

// endFile is beside the database and says how far the log has come. A database
// takes the damaged end of its own log for one that a crash tore, and forgets
// the events there without a word: this file knows better.
//
// It has two slots, 4 KiB apart, that are written in turn: "wattend1", the
// head (8 bytes, big-endian), and the CRC-32C of both. A slot is written after
// the events before that head are durable, so it is never ahead of them. It is
// synced when the log is opened and closed: after a power cut it may be
// behind, by what the operating system had not written yet.
const endFile = "END"

const (
	endMagic   = "wattend1"
	endBytes   = 20
	slotStride = 4096
)

// endMark is the open file. It is the committing goroutine's.
type endMark struct {
	file   vfs.File
	slot   int64 // the one written last
	failed bool
}

// readEnd returns how far the log in dir had come, and in which slot that is.
func readEnd(disk vfs.FS, dir string) (head domain.Position, last int64, err error) {
	file, err := disk.Open(disk.PathJoin(dir, endFile))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, 1, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("read how far the log had come: %w", err)
	}
	raw, err := io.ReadAll(io.LimitReader(file, 2*slotStride))
	if err := errors.Join(err, file.Close()); err != nil {
		return 0, 0, fmt.Errorf("read how far the log had come: %w", err)
	}
	last = 1
	for slot := range int64(2) {
		if at := slot * slotStride; int64(len(raw)) >= at+endBytes {
			if n, ok := parseEnd(raw[at : at+endBytes]); ok && n >= head {
				head, last = n, slot
			}
		}
	}
	return head, last, nil
}

// openEnd opens the file, which is made if it is not there, to write the slot
// after the last one.
func openEnd(disk vfs.FS, dir string, last int64) (*endMark, error) {
	file, err := disk.OpenReadWrite(disk.PathJoin(dir, endFile), vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, fmt.Errorf("open the mark of the log's end: %w", err)
	}
	return &endMark{file: file, slot: last}, nil
}

func parseEnd(b []byte) (domain.Position, bool) {
	if string(b[:8]) != endMagic || endSum(b[:16]) != binary.BigEndian.Uint32(b[16:]) {
		return 0, false
	}
	return domain.Position(binary.BigEndian.Uint64(b[8:])), true
}

func endSum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// write notes that the log has come to head.
func (e *endMark) write(head domain.Position) error {
	e.slot = 1 - e.slot
	b := binary.BigEndian.AppendUint64(append(make([]byte, 0, endBytes), endMagic...), uint64(head))
	b = binary.BigEndian.AppendUint32(b, endSum(b))
	_, err := e.file.WriteAt(b, e.slot*slotStride)
	return err
}

// catchUp notes, durably, where an opened log stands.
func (e *endMark) catchUp(head domain.Position) error {
	if err := e.write(head); err != nil {
		return fmt.Errorf("note how far the log has come: %w", err)
	}
	return e.file.Sync()
}

func (e *endMark) close() error { return errors.Join(e.file.Sync(), e.file.Close()) }

// writeEnd makes the file of a log that is copied to dir.
func writeEnd(disk vfs.FS, dir string, head domain.Position) error {
	e, err := openEnd(disk, dir, 1)
	if err != nil {
		return err
	}
	return errors.Join(e.write(head), e.close())
}

// Exists reports whether a folder of the disk holds a log. What is left of one
// is an *eventlog.CorruptError.
func Exists(dir string) (bool, error) {
	if _, err := vfs.Default.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return exists(vfs.Default, dir)
}

// exists reports whether dir holds a log. What is left of one, without the
// file that says which of the others count, is a *eventlog.CorruptError: a
// database made there anew would delete the rest.
func exists(disk vfs.FS, dir string) (bool, error) {
	found, err := pebble.Peek(dir, disk)
	if err != nil {
		return false, fmt.Errorf("look for a log: %w", err)
	}
	if found.Exists {
		return true, nil
	}
	files, err := disk.List(dir)
	if err != nil {
		return false, fmt.Errorf("look for a log: %w", err)
	}
	for _, name := range files {
		if ext := path.Ext(name); ext == ".sst" || ext == ".log" || name == endFile {
			return false, &eventlog.CorruptError{
				Place: dir,
				Err:   fmt.Errorf("%s is there, and the file that says what belongs to the log (marker.manifest) is not; restore a backup", name),
			}
		}
	}
	return false, nil
}

// lost is the error of a log that ends before it did.
func lost(dir string, was, is domain.Position) error {
	return &eventlog.CorruptError{
		Place: fmt.Sprintf("position %d", is),
		Err: fmt.Errorf("the log in %s ends there and had come to position %d: %d events are lost; restore a backup (to go on without them, remove the file %s)",
			dir, was, was-is, endFile),
	}
}
