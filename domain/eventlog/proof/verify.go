package proof

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"wattbook/domain"
	"wattbook/domain/eventlog"
)

// Damage is a log that is not what it said it was.
type Damage struct {
	// From is the first position that may be wrong, and To the last: they are
	// equal where it is known which.
	From, To domain.Position
	// Contradicts is the checkpoint that says otherwise, or nil if it is the
	// log's own tree that does.
	Contradicts *Checkpoint
	Why         string
}

func (d *Damage) Error() string {
	where := fmt.Sprintf("position %d", d.From)
	if d.From != d.To {
		where = fmt.Sprintf("positions %d to %d", d.From, d.To)
	}
	if d.Contradicts == nil {
		return where + ": " + d.Why
	}
	return fmt.Sprintf("%s: %s; it contradicts the checkpoint of %d events", where, d.Why, d.Contradicts.Size)
}

// Verified is what a verification found.
type Verified struct {
	Events      int64
	Root        Hash
	Checkpoints int // that the log agrees with
}

// Verify computes the tree of a log again from its events, and compares it
// with what the log has stored of it and with checkpoints, whose signatures
// are verified already. It returns a *Damage for the first event that is not
// what it was, and an *eventlog.CorruptError where the log cannot be read.
// Stored may be nil. Progress, if set, is told how far it is.
func Verify(ctx context.Context, log eventlog.Log, stored tlog.HashReader, checkpoints []Checkpoint, progress func(done, total int64)) (Verified, error) {
	head, err := log.Head(ctx)
	if err != nil {
		return Verified{}, err
	}
	checkpoints = slices.Clone(checkpoints)
	slices.SortFunc(checkpoints, func(a, b Checkpoint) int { return int(a.Size - b.Size) })
	v := verifier{log: log, head: int64(head), stored: stored, checkpoints: checkpoints}
	for l, err := range leaves(ctx, log, head) {
		if err != nil {
			return v.found(), err
		}
		if err := v.event(l); err != nil {
			return v.found(), err
		}
		if progress != nil && v.tree.Size()%8192 == 0 {
			progress(v.tree.Size(), v.head)
		}
	}
	err = v.end()
	return v.found(), err
}

// leaf is an event with the digest of its payload.
type leaf struct {
	record  eventlog.Record
	payload domain.Digest
}

// How much is read ahead at once: so many events, or so many bytes of them.
const (
	aheadEvents = 512
	aheadBytes  = 1 << 20
)

// leaves yields the events before the head. They are read and their payloads
// digested ahead and beside the tree, which takes as long: most of a
// verification is SHA-256.
func leaves(ctx context.Context, log eventlog.Log, head domain.Position) iter.Seq2[leaf, error] {
	type chunk struct {
		leaves []leaf
		err    error // after them
	}
	return func(yield func(leaf, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		chunks := make(chan chunk, 2)
		defer func() {
			cancel()
			for range chunks { // until the reader has gone
			}
		}()
		go func() {
			defer close(chunks)
			var c chunk
			bytes := 0
			send := func() bool {
				select {
				case chunks <- c:
					c, bytes = chunk{leaves: make([]leaf, 0, aheadEvents)}, 0
					return true
				case <-ctx.Done():
					return false
				}
			}
			for r, err := range log.ReadAll(ctx, 0) {
				if c.err = err; err != nil || r.Position >= head {
					break
				}
				c.leaves = append(c.leaves, leaf{r, domain.DigestOf(r.Payload)})
				if bytes += len(r.Payload); (len(c.leaves) == aheadEvents || bytes >= aheadBytes) && !send() {
					return
				}
			}
			send()
		}()
		for c := range chunks {
			for _, l := range c.leaves {
				if !yield(l, nil) {
					return
				}
			}
			if c.err != nil {
				yield(leaf{}, c.err)
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(leaf{}, err)
		}
	}
}

// verifier compares as it reads.
type verifier struct {
	log         eventlog.Log
	head        int64
	stored      tlog.HashReader
	checkpoints []Checkpoint // that were not reached yet, by size
	agreed      int
	last        int64 // size of the last checkpoint that agreed

	tree    Tree
	fresh   []Hash  // hashes of the events since the last comparison
	indexes []int64 // and where they are stored
	base    int64
	suspect *domain.Position // first event whose stored hash is another
}

func (v *verifier) found() Verified { return Verified{v.tree.Size(), v.tree.Root(), v.agreed} }

// comparedAtOnce is how many stored hashes are read at once.
const comparedAtOnce = 4096

func (v *verifier) event(l leaf) error {
	if err := v.reach(); err != nil {
		return err
	}
	v.fresh = v.tree.Add(v.fresh, l.record, l.payload)
	if len(v.fresh) >= comparedAtOnce {
		return v.compare()
	}
	return nil
}

// compare compares the hashes of the last events with those that are stored.
func (v *verifier) compare() error {
	n := int64(len(v.fresh))
	defer func() { v.base, v.fresh = v.base+n, v.fresh[:0] }()
	if v.stored == nil || n == 0 || v.suspect != nil {
		return nil
	}
	v.indexes = v.indexes[:0]
	for i := range n {
		v.indexes = append(v.indexes, v.base+i)
	}
	stored, err := v.stored.ReadHashes(v.indexes)
	if err != nil {
		return err
	}
	for i, h := range stored {
		if h != v.fresh[i] {
			level, k := tlog.SplitStoredHashIndex(v.base + int64(i))
			p := domain.Position((k+1)<<level - 1) // the event that completed it
			v.suspect = &p
			break
		}
	}
	return nil
}

// reach compares the root with the checkpoints of the size that the tree has.
func (v *verifier) reach() error {
	for len(v.checkpoints) > 0 && v.checkpoints[0].Size == v.tree.Size() {
		c := v.checkpoints[0]
		if err := v.compare(); err != nil {
			return err
		}
		if c.Root != v.tree.Root() {
			d := &Damage{From: domain.Position(v.last), To: domain.Position(max(c.Size, 1) - 1), Contradicts: &c, Why: "an event is not what it was"}
			if v.suspect != nil {
				d.From, d.To = *v.suspect, *v.suspect
				d.Why = "the event is not what it was"
			}
			return d
		}
		if v.suspect != nil {
			return &Damage{From: *v.suspect, To: *v.suspect, Why: "the stored tree is damaged there; the events are those that were signed"}
		}
		v.checkpoints, v.agreed, v.last = v.checkpoints[1:], v.agreed+1, c.Size
	}
	return nil
}

// end compares what is left.
func (v *verifier) end() error {
	if err := v.reach(); err != nil {
		return err
	}
	if err := v.compare(); err != nil {
		return err
	}
	if len(v.checkpoints) > 0 {
		c := v.checkpoints[0]
		return &Damage{
			From: domain.Position(v.head), To: domain.Position(c.Size - 1), Contradicts: &c,
			Why: fmt.Sprintf("the log ends at position %d: events were taken away", v.head),
		}
	}
	if v.suspect != nil {
		return &Damage{From: *v.suspect, To: *v.suspect, Why: "the event, or the stored tree, is not what it was; there is no later checkpoint that tells which"}
	}
	if v.tree.Size() != v.head {
		return errors.New("the log ended while it was read")
	}
	return nil
}
