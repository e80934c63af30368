package proof

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/bits"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"wattbook/domain/eventlog"
)

// Bundle proves that many events are in one log. Its file is text:
//
//	wattbook-proof@v1
//	about <words that say what it is for; they prove nothing>
//	event <base64 of eventlog.AppendRecord>        one a line, by position
//	…
//	hash <stored index> <base64>                   subtrees without any of the events
//	…
//
//	<the signed checkpoint>
//
// The hashes are those of the largest complete subtrees that hold none of the
// events, so that the events and the hashes together give the root: a hundred
// neighbours need hardly more hashes than one event.
type Bundle struct {
	About   string
	Records []eventlog.Record
	Signed  Signed
}

const bundleHead = "wattbook-proof@v1"

// bundleLine bounds a line: an event in base64.
const bundleLine = 4 * eventlog.MaxEventBytes

// WriteBundle writes the proof that events are in the tree of a checkpoint.
// They come by ascending position.
func WriteBundle(w io.Writer, about string, s Signed, stored tlog.HashReader, events iter.Seq2[eventlog.Record, error]) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "%s\nabout %s\n", bundleHead, strings.Join(strings.Fields(about), " "))
	var positions []int64
	for r, err := range events {
		if err != nil {
			return err
		}
		p := int64(r.Position)
		if n := len(positions); n > 0 && p <= positions[n-1] || p >= s.Size {
			return fmt.Errorf("prove %s: event at position %d is out of order, or beyond the checkpoint of %d events", about, p, s.Size)
		}
		positions = append(positions, p)
		fmt.Fprintf(out, "event %s\n", base64.StdEncoding.EncodeToString(eventlog.AppendRecord(nil, r)))
	}
	if len(positions) == 0 {
		return fmt.Errorf("prove %s: there are no events", about)
	}
	indexes := lacking(s.Size, positions)
	hashes, err := stored.ReadHashes(indexes)
	if err != nil {
		return fmt.Errorf("prove %s: %w", about, err)
	}
	for i, h := range hashes {
		fmt.Fprintf(out, "hash %d %s\n", indexes[i], base64.StdEncoding.EncodeToString(h[:]))
	}
	out.WriteByte('\n')
	out.Write(s.Note)
	return out.Flush()
}

// subtree is a complete subtree: leaves [n << level, (n+1) << level).
type subtree struct {
	level int
	n     int64
}

// subtrees yields the complete subtrees that make up a tree, the largest
// first.
func subtrees(size int64) iter.Seq[subtree] {
	return func(yield func(subtree) bool) {
		left := int64(0)
		for level := bits.Len64(uint64(size)) - 1; level >= 0; level-- {
			if size&(1<<level) != 0 {
				if !yield(subtree{level, left >> level}) {
					return
				}
				left += 1 << level
			}
		}
	}
}

// lacking returns the stored indexes of the largest subtrees of a tree that
// hold none of the leaves, which come in order.
func lacking(size int64, leaves []int64) (indexes []int64) {
	var walk func(t subtree, in []int64)
	walk = func(t subtree, in []int64) {
		switch {
		case len(in) == 0:
			indexes = append(indexes, tlog.StoredHashIndex(t.level, t.n))
		case t.level > 0:
			left := subtree{t.level - 1, 2 * t.n}
			middle := (left.n + 1) << left.level
			k := 0
			for k < len(in) && in[k] < middle {
				k++
			}
			walk(left, in[:k])
			walk(subtree{left.level, left.n + 1}, in[k:])
		}
	}
	for t := range subtrees(size) {
		k := 0
		for k < len(leaves) && leaves[k] < (t.n+1)<<t.level {
			k++
		}
		walk(t, leaves[:k])
		leaves = leaves[k:]
	}
	return indexes
}

// ReadBundle reads a file that WriteBundle wrote and verifies all of it with
// nothing but the key of the log.
func ReadBundle(r io.Reader, log note.Verifier, witnesses ...note.Verifier) (Bundle, error) {
	var b Bundle
	p, err := parseBundle(r)
	if err != nil {
		return b, fmt.Errorf("proof: %w", err)
	}
	if b.Signed, err = Open(p.checkpoint, log, witnesses...); err != nil {
		return b, fmt.Errorf("proof: %w", err)
	}
	b.About, b.Records = p.about, p.records
	root, err := p.root(b.Signed.Size)
	if err == nil && root != b.Signed.Root {
		err = fmt.Errorf("its events are not those of the log of %d events that %s signed", b.Signed.Size, log.Name())
	}
	if err != nil {
		return b, fmt.Errorf("proof: %w", err)
	}
	return b, nil
}

// splitLines is bufio.ScanLines, but that every byte counts: a carriage return
// is part of its line.
func splitLines(data []byte, atEOF bool) (advance int, line []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

// parsedBundle is a bundle that nobody believes yet.
type parsedBundle struct {
	about      string
	records    []eventlog.Record
	hashes     map[int64]Hash // by stored index
	checkpoint []byte
}

func parseBundle(r io.Reader) (*parsedBundle, error) {
	p := &parsedBundle{hashes: map[int64]Hash{}}
	lines := bufio.NewScanner(r)
	lines.Split(splitLines)
	lines.Buffer(make([]byte, 0, 64<<10), bundleLine)
	var parser eventlog.Parser
	n, ended := 0, false
	for lines.Scan() {
		line := lines.Text()
		n++
		if ended {
			if len(p.checkpoint)+len(line) >= CheckpointLimit {
				return nil, fmt.Errorf("line %d: the checkpoint is too long", n)
			}
			p.checkpoint = append(append(p.checkpoint, line...), '\n')
			continue
		}
		if n == 1 && line != bundleHead {
			return nil, fmt.Errorf("line 1 is %.40q, want %s", line, bundleHead)
		}
		if n == 1 {
			continue
		}
		if ended = line == ""; ended {
			continue
		}
		if err := p.line(&parser, line); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", n+1, err)
	}
	if !ended {
		return nil, errors.New("it ends before its checkpoint")
	}
	return p, nil
}

func (p *parsedBundle) line(parser *eventlog.Parser, line string) error {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "about":
		p.about = rest
		return nil
	case "event":
		raw, err := strict.DecodeString(rest)
		if err != nil {
			return err
		}
		r, err := parser.Parse(raw)
		if err != nil {
			return err
		}
		if n := len(p.records); n > 0 && r.Position <= p.records[n-1].Position || r.Position >= 1<<62 {
			return fmt.Errorf("event at position %d is out of order", r.Position)
		}
		if !bytes.Equal(eventlog.AppendRecord(nil, r), raw) {
			return fmt.Errorf("event at position %d is not written canonically", r.Position)
		}
		p.records = append(p.records, r)
		return nil
	case "hash":
		index, encoded, _ := strings.Cut(rest, " ")
		n, err := strconv.ParseInt(index, 10, 64)
		if err != nil || n < 0 {
			return fmt.Errorf("hash index %.30q is not a number", index)
		}
		h, err := parseHashes([]string{encoded})
		if err != nil {
			return err
		}
		p.hashes[n] = h[0]
		return nil
	}
	return fmt.Errorf("%.20q is neither about, event nor hash", word)
}

// root computes the root of a tree from the events and the hashes.
func (p *parsedBundle) root(size int64) (Hash, error) {
	records := p.records
	var edge []Hash
	for t := range subtrees(size) {
		end := uint64((t.n + 1) << t.level)
		k := 0
		for k < len(records) && uint64(records[k].Position) < end {
			k++
		}
		h, err := p.subtree(t, records[:k])
		if err != nil {
			return Hash{}, err
		}
		edge = append(edge, h)
		records = records[k:]
	}
	if len(records) > 0 || len(edge) == 0 {
		return Hash{}, fmt.Errorf("it has events that a log of %d events cannot hold", size)
	}
	h := edge[len(edge)-1]
	for i := len(edge) - 2; i >= 0; i-- {
		h = tlog.NodeHash(edge[i], h)
	}
	return h, nil
}

// subtree computes the hash of a subtree that holds the records.
func (p *parsedBundle) subtree(t subtree, in []eventlog.Record) (Hash, error) {
	switch {
	case len(in) == 0:
		h, ok := p.hashes[tlog.StoredHashIndex(t.level, t.n)]
		if !ok {
			return h, fmt.Errorf("hash %d is missing", tlog.StoredHashIndex(t.level, t.n))
		}
		return h, nil
	case t.level == 0:
		return LeafHash(in[0]), nil
	}
	left := subtree{t.level - 1, 2 * t.n}
	middle := uint64((left.n + 1) << left.level)
	k := 0
	for k < len(in) && uint64(in[k].Position) < middle {
		k++
	}
	l, err := p.subtree(left, in[:k])
	if err != nil {
		return l, err
	}
	r, err := p.subtree(subtree{left.level, left.n + 1}, in[k:])
	if err != nil {
		return r, err
	}
	return tlog.NodeHash(l, r), nil
}
