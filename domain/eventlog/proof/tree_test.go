package proof_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/eventlog/proof"
)

// record returns an event that differs from others in every field.
func record(n int) eventlog.Record {
	return eventlog.Record{
		Position: domain.Position(n), Stream: eventlog.Stream(fmt.Sprintf("things-%d", n%3)), Revision: eventlog.Revision(n / 3),
		ID: domain.EventIDOf("proof", fmt.Sprint(n)), Type: "thing.happened/1", RecordedAt: domain.Unix(1_790_812_800).Add(domain.Duration(n)),
		Payload: fmt.Appendf(nil, `{"n":%d}`, n), Metadata: eventlog.Metadata{"$correlationId": fmt.Sprint("c", n)},
	}
}

// hashes are stored hashes in memory.
type hashes []tlog.Hash

func (h hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, n := range indexes {
		if n < 0 || n >= int64(len(h)) {
			return nil, fmt.Errorf("hash %d of %d", n, len(h))
		}
		out[i] = h[n]
	}
	return out, nil
}

// grown returns a tree of n events, what is stored of it, and its root at
// every size.
func grown(n int) (t *proof.Tree, stored hashes, roots []tlog.Hash) {
	t = new(proof.Tree)
	roots = append(roots, t.Root())
	for i := range n {
		r := record(i)
		stored = t.Add(stored, r, domain.DigestOf(r.Payload))
		roots = append(roots, t.Root())
	}
	return t, stored, roots
}

// TestTheTreeIsThatOfTlog compares every stored hash and every root with those
// that package tlog computes from the leaves.
func TestTheTreeIsThatOfTlog(t *testing.T) {
	_, stored, roots := grown(300)
	var want hashes
	for n := range int64(300) {
		r := record(int(n))
		more, err := tlog.StoredHashes(n, eventlog.AppendLeaf(nil, r, domain.DigestOf(r.Payload)), want)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, more...)
		if root, err := tlog.TreeHash(n+1, want); err != nil || root != roots[n+1] {
			t.Fatalf("root of %d: %v, %v; want %v", n+1, roots[n+1], err, root)
		}
	}
	if len(stored) != len(want) || int64(len(stored)) != tlog.StoredHashCount(300) {
		t.Fatalf("%d hashes are stored, want %d", len(stored), len(want))
	}
	for i := range want {
		if stored[i] != want[i] {
			t.Fatalf("stored hash %d is %v, want %v", i, stored[i], want[i])
		}
	}
	if got := hex.EncodeToString(roots[0][:]); got != "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" {
		t.Errorf("root of the empty tree: %s", got)
	}
}

func TestATreeResumesAtAnySize(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n, more := rapid.IntRange(0, 200).Draw(rt, "size"), rapid.IntRange(0, 70).Draw(rt, "more")
		_, stored, roots := grown(n + more)
		var tree proof.Tree
		if err := tree.Resume(int64(n), stored); err != nil {
			rt.Fatal(err)
		}
		if tree.Root() != roots[n] || tree.Size() != int64(n) {
			rt.Fatalf("resumed at %d: root %v, want %v", n, tree.Root(), roots[n])
		}
		for i := n; i < n+more; i++ {
			tree.AddHash(nil, proof.LeafHash(record(i)))
			if tree.Root() != roots[i+1] {
				rt.Fatalf("resumed at %d, root of %d: %v, want %v", n, i+1, tree.Root(), roots[i+1])
			}
		}
	})
	var tree proof.Tree
	if err := tree.Resume(9, hashes{}); err == nil || !strings.Contains(err.Error(), "resume the tree at size 9") {
		t.Errorf("hashes that are not there: %v", err)
	}
}

// TestEveryFieldIsInTheLeaf changes one field after the other.
func TestEveryFieldIsInTheLeaf(t *testing.T) {
	base := proof.LeafHash(record(7))
	for name, change := range map[string]func(*eventlog.Record){
		"position": func(r *eventlog.Record) { r.Position++ },
		"stream":   func(r *eventlog.Record) { r.Stream += "x" },
		"revision": func(r *eventlog.Record) { r.Revision++ },
		"id":       func(r *eventlog.Record) { r.ID[3]++ },
		"type":     func(r *eventlog.Record) { r.Type = "thing.happened/2" },
		"recorded": func(r *eventlog.Record) { r.RecordedAt++ },
		"payload":  func(r *eventlog.Record) { r.Payload = append(r.Payload, ' ') },
		"value":    func(r *eventlog.Record) { r.Metadata = eventlog.Metadata{"$correlationId": "other"} },
		"key":      func(r *eventlog.Record) { r.Metadata = eventlog.Metadata{"$causationId": "c7"} },
		"no pair":  func(r *eventlog.Record) { r.Metadata = nil },
	} {
		r := record(7)
		change(&r)
		if proof.LeafHash(r) == base {
			t.Errorf("the leaf does not depend on the %s", name)
		}
	}
}

// TestALeafIsWrittenAsItIsDocumented holds the bytes of a leaf.
func TestALeafIsWrittenAsItIsDocumented(t *testing.T) {
	r := eventlog.Record{
		Position: 2, Revision: 1, RecordedAt: 3, ID: domain.EventID{0: 0xaa, 15: 0xbb}, Stream: "a-1", Type: "t/1",
		Metadata: eventlog.Metadata{"k": "v"}, Payload: []byte("hello"),
	}
	want := "81" + "0000000000000002" + "0000000000000001" + "0000000000000003" + "aa0000000000000000000000000000bb" +
		"03" + hex.EncodeToString([]byte("a-1")) + "03" + hex.EncodeToString([]byte("t/1")) +
		"01" + "01" + "6b" + "01" + "76" + "05" + "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
	got := eventlog.AppendLeaf(nil, r, domain.DigestOf(r.Payload))
	if hex.EncodeToString(got) != want {
		t.Errorf("\n got %x\nwant %s", got, want)
	}
	if bytes.Equal(got, eventlog.AppendRecord(nil, r)) {
		t.Error("a leaf is a record")
	}
}
