package kurrentlog

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"wattbook/domain"
	"wattbook/domain/eventlog"
)

const (
	entryBytes = 72
	bodyBytes  = 64 // the rest is the checksum
	nameBytes  = 56 // of a stream's name in one entry
	viewFormat = "wattbook view 1"
)

// viewFile keeps a view: one file of entries of 72 bytes. A nil *viewFile
// keeps nothing.
//
//	'w' zero(7) format(24) SHA-256 of the physical stream's name(32)
//	'n' rest(1) length(1) zero(1) stream(4) part of the stream's name(56)
//	'e' last(1) pieces(2) stream(4) id(16) revision(8) number(8) commit(8) prepare(8) recorded(8)
//
// Behind these 64 bytes is their CRC-64 (ECMA), which goes on from that of the
// entry before, so that an entry cannot be lost from the middle. Integers are
// big-endian. The first entry is of kind 'w'; the others stand in the order of
// positions, and a stream's name before its first event.
//
// The file is a cache: it is not synced, and whatever is wrong with it is cut
// off and read from the server again.
type viewFile struct {
	file   *os.File
	lock   *os.File
	sum    uint64
	table  *crc64.Table
	logger *slog.Logger
}

// openViewFile opens the view of a stream in a folder, which one process at a
// time may have, and loads it into v.
func openViewFile(dir, stream string, v *view, logger *slog.Logger) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("open view: %w", err)
	}
	f := &viewFile{table: crc64.MakeTable(crc64.ECMA), logger: logger}
	if f.lock, err = lock(filepath.Join(dir, "lock")); err != nil {
		return err
	}
	if f.file, err = os.OpenFile(filepath.Join(dir, "view"), os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		return errors.Join(fmt.Errorf("open view: %w", err), f.lock.Close())
	}
	v.file = f
	if err := f.load(header(stream), v); err != nil {
		return errors.Join(fmt.Errorf("open view %s: %w", f.file.Name(), err), f.close())
	}
	return nil
}

func header(stream string) []byte {
	b := make([]byte, 32, bodyBytes)
	b[0] = 'w'
	copy(b[8:], viewFormat)
	digest := sha256.Sum256([]byte(stream))
	return append(b, digest[:]...)
}

// load takes the entries up to the last whole append before the first that is
// not as it was written, and cuts off the rest.
func (f *viewFile) load(head []byte, v *view) error {
	r := bufio.NewReaderSize(f.file, 1<<16)
	raw := make([]byte, entryBytes)
	count, kept, sum := int64(0), int64(0), uint64(0) // entries, and the checksum up to them
	var pending []placed
	var names []eventlog.Stream
	part := ""
read:
	for {
		if _, err := io.ReadFull(r, raw); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				break read
			}
			return err
		}
		body := raw[:bodyBytes]
		next := crc64.Update(sum, f.table, body)
		if binary.BigEndian.Uint64(raw[bodyBytes:]) != next || count == 0 && string(body) != string(head) {
			break read
		}
		sum = next
		count++
		switch body[0] {
		case 'n':
			if part += string(body[8 : 8+min(int(body[2]), nameBytes)]); body[1] == 0 {
				names = append(names, eventlog.Stream(part))
				part = ""
			}
		case 'e':
			e := parseEntry(body)
			if int(e.stream) >= len(v.names)+len(names) || e.pieces == 0 {
				break read
			}
			if pending = append(pending, e); !e.last {
				continue
			}
			for _, name := range names {
				v.named(name)
			}
			for _, e := range pending {
				v.take(e)
			}
			v.next = e.number + uint64(e.pieces)
			names, pending = names[:0], pending[:0]
			kept, f.sum = count, sum
		}
	}
	info, err := f.file.Stat()
	if err != nil {
		return err
	}
	if kept == 0 {
		return f.reset(head)
	}
	if info.Size() != kept*entryBytes {
		f.logger.Warn("log: the end of the view is cut off and read again", "file", f.file.Name(), "bytes", info.Size()-kept*entryBytes)
	}
	if err := f.file.Truncate(kept * entryBytes); err != nil {
		return err
	}
	_, err = f.file.Seek(0, io.SeekEnd)
	return err
}

// reset empties the file but for its first entry.
func (f *viewFile) reset(head []byte) error {
	if f == nil {
		return nil
	}
	if err := f.file.Truncate(0); err != nil {
		return err
	}
	if _, err := f.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	f.sum = 0
	_, err := f.file.Write(f.seal(nil, head))
	return err
}

// seal appends an entry to dst.
func (f *viewFile) seal(dst, body []byte) []byte {
	f.sum = crc64.Update(f.sum, f.table, body)
	return binary.BigEndian.AppendUint64(append(dst, body...), f.sum)
}

// append writes the events of an append, and before them the names that are
// new. A file that cannot be written is given up: the next process reads from
// the server what is not in it.
func (f *viewFile) append(names []eventlog.Stream, known int, events []placed) {
	if f == nil || f.file == nil {
		return
	}
	var raw []byte
	for n := known; n < len(names); n++ {
		for rest := string(names[n]); ; {
			length := min(len(rest), nameBytes)
			body := make([]byte, bodyBytes)
			body[0], body[2] = 'n', byte(length)
			if len(rest) > nameBytes {
				body[1] = 1
			}
			binary.BigEndian.PutUint32(body[4:], uint32(n))
			copy(body[8:], rest[:length])
			raw = f.seal(raw, body)
			if rest = rest[length:]; rest == "" {
				break
			}
		}
	}
	for _, e := range events {
		raw = f.seal(raw, entry(e))
	}
	if _, err := f.file.Write(raw); err != nil {
		f.logger.Warn("log: the view is no longer kept", "err", err)
		_ = f.file.Close() // it is given up for the error that was just told
		f.file = nil
	}
}

func entry(e placed) []byte {
	b := make([]byte, 0, bodyBytes)
	last := byte(0)
	if e.last {
		last = 1
	}
	b = append(b, 'e', last)
	b = binary.BigEndian.AppendUint16(b, e.pieces)
	b = binary.BigEndian.AppendUint32(b, e.stream)
	b = append(b, e.id[:]...)
	for _, n := range []uint64{uint64(e.revision), e.number, e.commit, e.prepare, uint64(e.recorded)} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return b
}

func parseEntry(b []byte) placed {
	n := func(i int) uint64 { return binary.BigEndian.Uint64(b[24+8*i:]) }
	return placed{
		last: b[1] == 1, pieces: binary.BigEndian.Uint16(b[2:]), stream: binary.BigEndian.Uint32(b[4:]),
		id: domain.EventID(b[8:24]), revision: eventlog.Revision(n(0)), number: n(1),
		commit: n(2), prepare: n(3), recorded: domain.Instant(n(4)),
	}
}

func (f *viewFile) close() error {
	if f == nil {
		return nil
	}
	var err error
	if f.file != nil {
		err = f.file.Close()
	}
	return errors.Join(err, f.lock.Close())
}
