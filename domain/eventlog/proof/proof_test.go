package proof_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/eventlog/proof"
)

const origin = "wattbook.example/cedar-bend"

// chance is a stream of bytes for keys that are the same in every run.
type chance struct{ *rand.Rand }

func (c chance) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(c.Uint32())
	}
	return len(b), nil
}

func random(seed uint64) chance { return chance{rand.New(rand.NewPCG(seed, 7))} }

// keys returns the log's signer and verifier.
func keys(t testing.TB, seed uint64) (note.Signer, note.Verifier) {
	t.Helper()
	private, public, err := note.GenerateKey(random(seed), origin)
	if err != nil {
		t.Fatal(err)
	}
	s, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	return s, v
}

func witness(t testing.TB, seed uint64, name string) (*proof.Cosigner, note.Verifier) {
	t.Helper()
	private, public, err := proof.GenerateWitness(random(seed), name)
	if err != nil {
		t.Fatal(err)
	}
	c, err := proof.NewCosigner(private, func() domain.Instant { return domain.Unix(1_679_315_147) })
	if err != nil {
		t.Fatal(err)
	}
	v, err := proof.NewWitness(public)
	if err != nil {
		t.Fatal(err)
	}
	return c, v
}

// signed returns the log's checkpoint of a size.
func signed(t testing.TB, size int64, root tlog.Hash, extensions ...string) proof.Signed {
	t.Helper()
	signer, verifier := keys(t, 1)
	b, err := proof.Checkpoint{Origin: origin, Size: size, Root: root, Extensions: extensions}.Sign(signer)
	if err != nil {
		t.Fatal(err)
	}
	s, err := proof.Open(b, verifier)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestACheckpointIsWrittenAsC2SPWritesIt uses the example of tlog-checkpoint.
func TestACheckpointIsWrittenAsC2SPWritesIt(t *testing.T) {
	const text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
	c, err := proof.ParseCheckpoint(text)
	if err != nil || c.Origin != "example.com/behind-the-sofa" || c.Size != 20852163 || c.Root.String() != "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=" {
		t.Fatalf("got %+v, %v", c, err)
	}
	if c.Text() != text {
		t.Errorf("written again it is %q", c.Text())
	}
	for _, bad := range []string{
		"", "\n", "a\n1\n", "a\n01\n" + strings.SplitN(text, "\n", 3)[2], "a\n-1\n" + strings.SplitN(text, "\n", 3)[2], "\n1\n" + strings.SplitN(text, "\n", 3)[2],
		"a\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I\n", "a\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2J=\n", text + "\n", strings.TrimSuffix(text, "\n"), "a\n+1\n" + strings.SplitN(text, "\n", 3)[2],
	} {
		if c, err := proof.ParseCheckpoint(bad); err == nil {
			t.Errorf("%q is taken for %+v", bad, c)
		}
	}
}

func TestOnlyTheLogSignsItsCheckpoints(t *testing.T) {
	s := signed(t, 7, tlog.Hash{1}, "period cedar-bend 2026-10")
	_, verifier := keys(t, 1)
	if s.Extensions[0] != "period cedar-bend 2026-10" {
		t.Errorf("extensions %q", s.Extensions)
	}
	_, other := keys(t, 2)
	if _, err := proof.Open(s.Note, other); err == nil {
		t.Error("another key of the same name verifies it")
	}
	for i := range s.Note {
		bad := bytes.Clone(s.Note)
		bad[i] ^= 1
		if got, err := proof.Open(bad, verifier); err == nil {
			t.Errorf("with byte %d changed it verifies as %+v", i, got)
		}
	}
	c, w := witness(t, 3, "witness.example/w1")
	forged, err := note.Sign(&note.Note{Text: proof.Checkpoint{Origin: origin, Size: 9}.Text()}, c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := proof.Open(forged, verifier, w); err == nil || !strings.Contains(err.Error(), "has not signed it") {
		t.Errorf("a checkpoint that only a witness signed: %v", err)
	}
	mine, err := proof.Checkpoint{Origin: "another.example/log", Size: 9}.Sign(func() note.Signer { s, _ := keys(t, 1); return s }())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := proof.Open(mine, verifier); err == nil || !strings.Contains(err.Error(), "it is of log") {
		t.Errorf("a checkpoint of another log by this log's key: %v", err)
	}
}

func TestWitnessesCosign(t *testing.T) {
	s := signed(t, 7, tlog.Hash{1})
	_, log := keys(t, 1)
	c1, w1 := witness(t, 3, "witness.example/w1")
	c2, w2 := witness(t, 4, "pool.example/w2")
	line1, err := c1.Cosign(s)
	if err != nil {
		t.Fatal(err)
	}
	line2, err := c2.Cosign(s)
	if err != nil {
		t.Fatal(err)
	}
	both, err := proof.AddCosignatures(s, slices.Concat(line1, line2), log, w1, w2)
	if err != nil || len(both.Witnesses) != 2 {
		t.Fatalf("%v, %v", both.Witnesses, err)
	}
	again, err := proof.Open(both.Note, log, w1)
	if err != nil || fmt.Sprint(again.Witnesses) != "[witness.example/w1]" || fmt.Sprint(again.Unknown) != "[pool.example/w2]" {
		t.Errorf("known %v, unknown %v, %v", again.Witnesses, again.Unknown, err)
	}
	if _, err := proof.AddCosignatures(both, line1, log, w1, w2); err == nil {
		t.Error("a cosignature that is there is added again")
	}
	if _, err := proof.AddCosignatures(s, line2, log, w1); err == nil {
		t.Error("a cosignature of somebody unknown is added")
	}
	other := signed(t, 8, tlog.Hash{2})
	if _, err := proof.AddCosignatures(other, line1, log, w1); err == nil {
		t.Error("a cosignature of another checkpoint is added")
	}
	for i := range both.Note {
		bad := bytes.Clone(both.Note)
		bad[i] ^= 1
		if got, err := proof.Open(bad, log, w1, w2); err == nil && len(got.Witnesses) == 2 {
			t.Errorf("with byte %d changed both cosignatures verify", i)
		}
	}
	old, hashes, checkpoint, err := proof.ParseWitnessRequest(proof.FormatWitnessRequest(3, []tlog.Hash{{1}, {2}}, s.Note))
	if err != nil || old != 3 || len(hashes) != 2 || hashes[1] != (tlog.Hash{2}) || !bytes.Equal(checkpoint, s.Note) {
		t.Errorf("a request to a witness is read as %d, %v, %v", old, hashes, err)
	}
}

func TestEveryEventIsProvedAtEverySize(t *testing.T) {
	_, stored, roots := grown(40)
	_, log := keys(t, 1)
	for size := 1; size <= 40; size++ {
		s := signed(t, int64(size), roots[size])
		for n := range size {
			e, err := proof.ProveEvent(record(n), s, stored)
			if err != nil {
				t.Fatal(err)
			}
			read, err := proof.ParseEvent(e.Format())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(e, read, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("(-written +read):\n%s", diff)
			}
			if got, err := read.Check(log); err != nil || got.Size != int64(size) {
				t.Fatalf("event %d of %d: %v", n, size, err)
			}
		}
		for old := range size + 1 {
			p, err := proof.ProveGrowth(int64(old), int64(size), stored)
			if err != nil {
				t.Fatal(err)
			}
			was, is := proof.Checkpoint{Origin: origin, Size: int64(old), Root: roots[old]}, s.Checkpoint
			if err := proof.CheckGrowth(p, was, is); err != nil {
				t.Fatalf("growth from %d to %d: %v", old, size, err)
			}
			was.Root[5] ^= 1
			if err := proof.CheckGrowth(p, was, is); old > 0 && err == nil {
				t.Fatalf("growth from another log of %d to %d is proved", old, size)
			}
			if err := proof.CheckGrowth(p, is, was); old < size && err == nil {
				t.Fatalf("shrinking from %d to %d is proved", size, old)
			}
		}
	}
}

// TestNoChangeOfAProofPasses changes each byte of a file.
func TestNoChangeOfAProofPasses(t *testing.T) {
	_, stored, roots := grown(40)
	_, log := keys(t, 1)
	s := signed(t, 40, roots[40])
	e, err := proof.ProveEvent(record(17), s, stored)
	if err != nil {
		t.Fatal(err)
	}
	file := e.Format()
	for i := range file {
		for _, flip := range []byte{1, 0x20, 0x80} {
			bad := bytes.Clone(file)
			bad[i] ^= flip
			read, err := proof.ParseEvent(bad)
			if err != nil {
				continue
			}
			if _, err := read.Check(log); err == nil {
				t.Fatalf("with byte %d (%q) changed to %q it passes", i, file[i], bad[i])
			}
		}
	}
	if _, err := (proof.Event{Record: record(50), Checkpoint: s.Note}).Check(log); err == nil || !strings.Contains(err.Error(), "is not in a log of 40 events") {
		t.Errorf("an event beyond the checkpoint: %v", err)
	}
}

func pick(positions []int) iter.Seq2[eventlog.Record, error] {
	return func(yield func(eventlog.Record, error) bool) {
		for _, n := range positions {
			if !yield(record(n), nil) {
				return
			}
		}
	}
}

func TestBundlesProveAnySetOfEvents(t *testing.T) {
	_, stored, roots := grown(130)
	_, log := keys(t, 1)
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.IntRange(1, 130).Draw(rt, "size")
		set := rapid.SliceOfNDistinct(rapid.IntRange(0, size-1), 1, -1, rapid.ID).Draw(rt, "events")
		slices.Sort(set)
		s := signed(t, int64(size), roots[size])
		var file bytes.Buffer
		if err := proof.WriteBundle(&file, "some events\nof a test", s, stored, pick(set)); err != nil {
			rt.Fatal(err)
		}
		b, err := proof.ReadBundle(bytes.NewReader(file.Bytes()), log)
		if err != nil {
			rt.Fatal(err)
		}
		if b.About != "some events of a test" || b.Signed.Size != int64(size) || len(b.Records) != len(set) {
			rt.Fatalf("read %q, %d events under %d", b.About, len(b.Records), b.Signed.Size)
		}
		for i, n := range set {
			if diff := cmp.Diff(record(n), b.Records[i]); diff != "" {
				rt.Fatal(diff)
			}
		}
		// A change anywhere but in the words is noticed.
		raw := file.Bytes()
		if _, err := proof.ReadBundle(bytes.NewReader(append(bytes.Clone(raw[:len(raw)-1]), '\r')), log); err == nil {
			rt.Fatal("with its last byte changed to a carriage return it passes")
		}
		start := bytes.Index(raw, []byte("event "))
		at := rapid.IntRange(start, len(raw)-1).Draw(rt, "byte")
		bad := bytes.Clone(raw)
		bad[at] ^= byte(rapid.IntRange(1, 255).Draw(rt, "flip"))
		if _, err := proof.ReadBundle(bytes.NewReader(bad), log); err == nil {
			rt.Fatalf("with byte %d (%q) changed to %q it passes", at, raw[at], bad[at])
		}
	})
}

func TestBundlesThatCannotBe(t *testing.T) {
	_, stored, roots := grown(10)
	s := signed(t, 10, roots[10])
	for name, events := range map[string][]int{"no events": {}, "out of order": {3, 2}, "twice": {3, 3}, "beyond the checkpoint": {10}} {
		if err := proof.WriteBundle(&bytes.Buffer{}, name, s, stored, pick(events)); err == nil {
			t.Errorf("%s: it was written", name)
		}
	}
	lost := errors.New("lost")
	failing := func(yield func(eventlog.Record, error) bool) { yield(eventlog.Record{}, lost) }
	if err := proof.WriteBundle(&bytes.Buffer{}, "x", s, stored, failing); !errors.Is(err, lost) {
		t.Errorf("events that cannot be read: %v", err)
	}
}

// logOf returns a log of n events, changed as told after it was signed.
func logOf(t *testing.T, n int, change map[int]func(*eventlog.Record)) eventlog.Log {
	t.Helper()
	return fixed{func(yield func(eventlog.Record, error) bool) {
		for i := range n {
			r := record(i)
			if f := change[i]; f != nil {
				f(&r)
			}
			if !yield(r, nil) {
				return
			}
		}
	}, n}
}

// fixed is a log that is only read from its beginning.
type fixed struct {
	events iter.Seq2[eventlog.Record, error]
	n      int
}

func (f fixed) ReadAll(context.Context, domain.Position) iter.Seq2[eventlog.Record, error] {
	return f.events
}

func (f fixed) Head(context.Context) (domain.Position, error) { return domain.Position(f.n), nil }

func (f fixed) Append(context.Context, ...eventlog.Write) (eventlog.Receipt, error) {
	return eventlog.Receipt{}, eventlog.ErrClosed
}

func (f fixed) ReadStream(context.Context, eventlog.Stream, eventlog.Revision) iter.Seq2[eventlog.Record, error] {
	return nil
}
func (f fixed) Next(context.Context, eventlog.Stream) (eventlog.Revision, error) { return 0, nil }
func (f fixed) Wait(context.Context, domain.Position) error                      { return nil }
func (f fixed) Close() error                                                     { return nil }

func TestVerifyNamesTheFirstBadEvent(t *testing.T) {
	const n = 5000
	_, stored, roots := grown(n)
	var checkpoints []proof.Checkpoint
	for _, size := range []int{4000, 0, 1000, n} { // in any order
		checkpoints = append(checkpoints, proof.Checkpoint{Origin: origin, Size: int64(size), Root: roots[size]})
	}
	spoilt := slices.Clone(stored)
	spoilt[tlog.StoredHashIndex(0, 2500)][3] ^= 1
	inner := slices.Clone(stored)
	inner[tlog.StoredHashIndex(3, 100)][3] ^= 1 // completed by event 807
	edit := func(at int) map[int]func(*eventlog.Record) {
		return map[int]func(*eventlog.Record){at: func(r *eventlog.Record) { r.Payload = []byte("forged") }}
	}
	for _, c := range []struct {
		name        string
		log         eventlog.Log
		stored      tlog.HashReader
		checkpoints []proof.Checkpoint
		want        string // what is wrong, or how many checkpoints agree
	}{
		{"an untouched log", logOf(t, n, nil), stored, checkpoints, "4"},
		{"an untouched log without its tree", logOf(t, n, nil), nil, checkpoints, "4"},
		{"an untouched log without checkpoints", logOf(t, n, nil), stored, nil, "0"},
		{
			"an event that was changed", logOf(t, n, edit(1234)), stored, checkpoints,
			"position 1234: the event is not what it was; it contradicts the checkpoint of 4000 events",
		},
		{
			"an event that was changed, and the tree with it", logOf(t, n, edit(1234)), nil, checkpoints,
			"positions 1000 to 3999: an event is not what it was; it contradicts the checkpoint of 4000 events",
		},
		{
			"the first of two changes", logOf(t, n, map[int]func(*eventlog.Record){700: edit(0)[0], 3000: edit(0)[0]}), stored, checkpoints,
			"position 700: the event is not what it was; it contradicts the checkpoint of 1000 events",
		},
		{
			"a change after the last checkpoint", logOf(t, n, edit(4500)), stored, checkpoints[:3],
			"position 4500: the event, or the stored tree, is not what it was; there is no later checkpoint that tells which",
		},
		{
			"a stored leaf that was changed", logOf(t, n, nil), hashes(spoilt), checkpoints,
			"position 2500: the stored tree is damaged there; the events are those that were signed",
		},
		{
			"a stored node that was changed", logOf(t, n, nil), hashes(inner), checkpoints,
			"position 807: the stored tree is damaged there; the events are those that were signed",
		},
		{
			"events that were taken away", logOf(t, 4200, nil), stored, checkpoints,
			"positions 4200 to 4999: the log ends at position 4200: events were taken away; it contradicts the checkpoint of 5000 events",
		},
		{
			"a checkpoint of another log", logOf(t, n, nil), stored,
			[]proof.Checkpoint{{Origin: origin, Size: 2000, Root: roots[1999]}},
			"positions 0 to 1999: an event is not what it was; it contradicts the checkpoint of 2000 events",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var reader tlog.HashReader
			if h, ok := c.stored.(hashes); ok {
				reader = h
			}
			found, err := proof.Verify(t.Context(), c.log, reader, c.checkpoints, nil)
			got := fmt.Sprint(found.Checkpoints)
			if err != nil {
				var damage *proof.Damage
				if !errors.As(err, &damage) {
					t.Fatalf("%v is no *Damage", err)
				}
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("\n got %s\nwant %s", got, c.want)
			}
		})
	}
}
