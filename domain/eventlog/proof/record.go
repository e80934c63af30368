package proof

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"wattbook/domain/eventlog"
)

// Hash is a hash of the tree.
type Hash = tlog.Hash

// Event proves that one event is in a log: the event, its inclusion proof, and
// a checkpoint that the log signed. Its file has the form of C2SP tlog-proof,
// with the canonical record of the event as extra data:
//
//	c2sp.org/tlog-proof@v1
//	extra <base64 of eventlog.AppendRecord>
//	index <position>
//	<base64 of a hash, from the leaf's sibling up>
//	…
//
//	<the signed checkpoint>
type Event struct {
	Record     eventlog.Record
	Inclusion  tlog.RecordProof
	Checkpoint []byte // signed
}

const eventHead = "c2sp.org/tlog-proof@v1"

// EventLimit bounds the file of an event's proof: four times the greatest
// event in base64, and a checkpoint.
const EventLimit = 4*eventlog.MaxEventBytes + CheckpointLimit

// ProveEvent proves that an event is in the tree of a checkpoint.
func ProveEvent(r eventlog.Record, s Signed, stored tlog.HashReader) (Event, error) {
	p, err := tlog.ProveRecord(s.Size, int64(r.Position), stored)
	if err != nil {
		return Event{}, fmt.Errorf("prove event at position %d: %w", r.Position, err)
	}
	return Event{Record: r, Inclusion: p, Checkpoint: s.Note}, nil
}

// Format returns the bytes of the proof's file.
func (e Event) Format() []byte {
	b := []byte(eventHead + "\nextra ")
	b = base64.StdEncoding.AppendEncode(b, eventlog.AppendRecord(nil, e.Record))
	b = fmt.Appendf(b, "\nindex %d\n", e.Record.Position)
	for _, h := range e.Inclusion {
		b = append(base64.StdEncoding.AppendEncode(b, h[:]), '\n')
	}
	return append(append(b, '\n'), e.Checkpoint...)
}

// ParseEvent reads what Format returns. It verifies nothing; see [Event.Check].
func ParseEvent(b []byte) (Event, error) {
	fail := func(format string, args ...any) (Event, error) {
		return Event{}, errors.New("event proof: " + fmt.Sprintf(format, args...))
	}
	if len(b) > EventLimit {
		return fail("it is longer than %d bytes", EventLimit)
	}
	head, checkpoint, ok := bytes.Cut(b, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if !ok || len(lines) < 3 || lines[0] != eventHead {
		return fail("want the line %s, a line of extra data, an index, hashes, an empty line and a checkpoint", eventHead)
	}
	extra, ok := strings.CutPrefix(lines[1], "extra ")
	if !ok {
		return fail("line 2 is not the event, as extra data")
	}
	raw, err := strict.DecodeString(extra)
	if err != nil {
		return fail("line 2: %v", err)
	}
	e := Event{Checkpoint: checkpoint}
	if e.Record, err = eventlog.ParseRecord(raw); err != nil {
		return fail("line 2: %v", err)
	}
	if lines[2] != "index "+strconv.FormatUint(uint64(e.Record.Position), 10) {
		return fail("line 3 is %.40q, and the event says that its index is %d", lines[2], e.Record.Position)
	}
	if e.Inclusion, err = parseHashes(lines[3:]); err != nil {
		return fail("%v", err)
	}
	return e, nil
}

// parseHashes reads hashes in base64, one a line.
func parseHashes(lines []string) ([]Hash, error) {
	var all []Hash
	for _, l := range lines {
		raw, err := strict.DecodeString(l)
		if err != nil || len(raw) != tlog.HashSize || strict.EncodeToString(raw) != l { // it skips carriage returns
			return nil, fmt.Errorf("%.60q is not the base64 of a SHA-256 hash", l)
		}
		all = append(all, Hash(raw))
	}
	return all, nil
}

// Check verifies the proof with nothing but the key of the log, and returns
// the checkpoint that the event is under.
func (e Event) Check(log note.Verifier, witnesses ...note.Verifier) (Signed, error) {
	s, err := Open(e.Checkpoint, log, witnesses...)
	if err != nil {
		return s, err
	}
	if p := e.Record.Position; uint64(p) >= uint64(s.Size) {
		return s, fmt.Errorf("event at position %d is not in a log of %d events", p, s.Size)
	}
	if err := tlog.CheckRecord(e.Inclusion, s.Size, s.Root, int64(e.Record.Position), LeafHash(e.Record)); err != nil {
		return s, fmt.Errorf("event at position %d is not in the log that checkpoint %d is of: %w", e.Record.Position, s.Size, err)
	}
	return s, nil
}

// ProveGrowth proves that a log of a size has only grown from an old size.
func ProveGrowth(old, size int64, stored tlog.HashReader) (tlog.TreeProof, error) {
	if old == 0 {
		return nil, nil // everything grows from nothing
	}
	p, err := tlog.ProveTree(size, old, stored)
	if err != nil {
		return nil, fmt.Errorf("prove growth from %d to %d: %w", old, size, err)
	}
	return p, nil
}

// CheckGrowth verifies what ProveGrowth proves.
func CheckGrowth(p tlog.TreeProof, old, now Checkpoint) error {
	switch {
	case old.Size > now.Size:
		return fmt.Errorf("the log has shrunk from %d events to %d", old.Size, now.Size)
	case old.Size == 0:
		return nil
	}
	if err := tlog.CheckTree(p, now.Size, now.Root, old.Size, old.Root); err != nil {
		return fmt.Errorf("the log of %d events is not the one that had %d: %w", now.Size, old.Size, err)
	}
	return nil
}
