// Package archive carries a whole log in one file.
//
// The file is the line "wattbook archive 1" and one zstd stream of frames, each
// behind its length (uvarint): the records of the log as eventlog.AppendRecord
// writes them, from position 0 on; an empty frame; and a checkpoint of all of
// them, as package proof writes it, signed or not. A reader computes the Merkle
// tree as it reads, so that a file is the log that its checkpoint states, or
// is refused.
package archive

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/mod/sumdb/tlog"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/eventlog/proof"
)

const header = "wattbook archive 1\n"

// recordLimit is the greatest size of a record that [eventlog.Check] lets
// through: payload and metadata, and the names around them.
const recordLimit = eventlog.MaxEventBytes + 64<<10

// Write writes the records of a log, which come from position 0 on, and then
// the signed text of a checkpoint of them. It is an error if the checkpoint
// states another log than the records make.
func Write(w io.Writer, records iter.Seq2[eventlog.Record, error], c proof.Checkpoint, note []byte) error {
	if _, err := io.WriteString(w, header); err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	defer z.Close()
	out := bufio.NewWriterSize(z, 256<<10)
	var tree proof.Tree
	var hashes []tlog.Hash
	var frame []byte
	for r, err := range records {
		if err != nil {
			return fmt.Errorf("write archive: %w", err)
		}
		if int64(r.Position) >= c.Size {
			break
		}
		if int64(r.Position) != tree.Size() {
			return fmt.Errorf("write archive: position %d follows %d events", r.Position, tree.Size())
		}
		hashes = tree.Add(hashes[:0], r, domain.DigestOf(r.Payload))
		frame = eventlog.AppendRecord(frame[:0], r)
		if err := writeFrame(out, frame); err != nil {
			return err
		}
	}
	if tree.Size() != c.Size || tree.Root() != c.Root {
		return fmt.Errorf("write archive: %w", disagree(&tree, c))
	}
	for _, frame := range [][]byte{nil, note} {
		if err := writeFrame(out, frame); err != nil {
			return err
		}
	}
	if err := errors.Join(out.Flush(), z.Close()); err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	return nil
}

func writeFrame(w *bufio.Writer, frame []byte) error {
	var length [binary.MaxVarintLen64]byte
	_, err := w.Write(binary.AppendUvarint(length[:0], uint64(len(frame))))
	if err == nil {
		_, err = w.Write(frame)
	}
	if err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	return nil
}

func disagree(t *proof.Tree, c proof.Checkpoint) error {
	return fmt.Errorf("%d events have the root %s; the checkpoint states %d events with the root %s", t.Size(), t.Root(), c.Size, c.Root)
}

// Reader reads an archive. Its records are true only when all were read
// without an error: the checkpoint comes last.
type Reader struct {
	z      *zstd.Decoder
	in     *bufio.Reader
	open   func(note []byte) (proof.Checkpoint, error)
	note   []byte
	stated proof.Checkpoint
}

// NewReader returns a reader of an archive whose checkpoint is opened by open,
// which verifies whatever signatures the caller wants to be there.
func NewReader(r io.Reader, open func(note []byte) (proof.Checkpoint, error)) (*Reader, error) {
	first := make([]byte, len(header))
	if _, err := io.ReadFull(r, first); err != nil || string(first) != header {
		return nil, fmt.Errorf("read archive: it begins with %.40q; want %q: it is not an archive that this version reads", first, header)
	}
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20))
	if err != nil {
		return nil, fmt.Errorf("read archive: %w", err)
	}
	return &Reader{z: z, in: bufio.NewReaderSize(z, 256<<10), open: open}, nil
}

// Close releases what the reader holds.
func (r *Reader) Close() { r.z.Close() }

// Note returns the checkpoint's signed text, once all records were read.
func (r *Reader) Note() []byte { return r.note }

// Checkpoint returns what the checkpoint states, once all records were read.
func (r *Reader) Checkpoint() proof.Checkpoint { return r.stated }

// Records yields the records, and an error where the file is not what was
// written, or at its end if the events are not those that its checkpoint
// states. It can be called once. A record's payload belongs to the caller.
func (r *Reader) Records() iter.Seq2[eventlog.Record, error] {
	return func(yield func(eventlog.Record, error) bool) {
		var tree proof.Tree
		var hashes []tlog.Hash
		var parser eventlog.Parser
		fail := func(err error) {
			yield(eventlog.Record{}, fmt.Errorf("read archive: event at position %d: %w", tree.Size(), err))
		}
		for {
			frame, err := r.frame(recordLimit)
			if err != nil {
				fail(err)
				return
			}
			if len(frame) == 0 {
				break
			}
			rec, err := parser.Parse(frame)
			if err == nil && int64(rec.Position) != tree.Size() {
				err = fmt.Errorf("it says that it is at %d", rec.Position)
			}
			if err != nil {
				fail(err)
				return
			}
			hashes = tree.Add(hashes[:0], rec, domain.DigestOf(rec.Payload))
			if !yield(rec, nil) {
				return
			}
		}
		if err := r.end(&tree); err != nil {
			yield(eventlog.Record{}, fmt.Errorf("read archive: %w", err))
		}
	}
}

// end reads what follows the records.
func (r *Reader) end(tree *proof.Tree) error {
	note, err := r.frame(proof.CheckpointLimit)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	c, err := r.open(note)
	if err != nil {
		return err
	}
	if c.Size != tree.Size() || c.Root != tree.Root() {
		return disagree(tree, c)
	}
	if _, err := r.in.ReadByte(); err != io.EOF {
		return errors.Join(errors.New("something follows the checkpoint"), err)
	}
	r.note, r.stated = note, c
	return nil
}

// frame reads one frame of at most limit bytes.
func (r *Reader) frame(limit uint64) ([]byte, error) {
	n, err := binary.ReadUvarint(r.in)
	if err == nil && n > limit {
		return nil, fmt.Errorf("a length of %d bytes, limit %d", n, limit)
	}
	var frame []byte
	if err == nil {
		frame = make([]byte, n)
		_, err = io.ReadFull(r.in, frame)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, errors.New("the file ends too early")
	}
	return frame, err
}
