// Package proof shows that an event is in a log, that a log has only grown,
// and who says so: a Merkle tree over the events (RFC 6962), checkpoints of it
// that are signed (C2SP tlog-checkpoint and signed notes), and files that
// prove to someone without the log (C2SP tlog-proof).
//
// The leaf of an event is its record as eventlog.AppendLeaf writes it: every
// stored field, with the payload by its digest. The hash of a leaf is
// SHA-256(0x00 || leaf), that of a node SHA-256(0x01 || left || right), as the
// RFC has it. Hashes are stored in the order in which they can be computed,
// which package tlog defines: a leaf, then every subtree that it completes,
// the smallest first.
package proof

import (
	"crypto/sha256"
	"fmt"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"

	"wattbook/domain"
	"wattbook/domain/eventlog"
)

// LeafHash returns the hash of an event's leaf.
func LeafHash(r eventlog.Record) tlog.Hash {
	return tlog.RecordHash(eventlog.AppendLeaf(nil, r, domain.DigestOf(r.Payload)))
}

// Tree is the growing edge of a Merkle tree: the roots of its complete
// subtrees, the largest first. The zero value is the empty tree. It takes a
// few hundred bytes, whatever the size of the tree.
type Tree struct {
	size  int64
	edge  [64]tlog.Hash // by place from the left; bits.OnesCount64(size) of them
	leaf  []byte        // of the last event, to be written over
	lefts [65]byte      // of a node's hash: 0x01, left, right
}

// Size returns the number of leaves.
func (t *Tree) Size() int64 { return t.size }

// Resume makes t the edge of a tree of a size whose hashes can be read.
func (t *Tree) Resume(size int64, stored tlog.HashReader) error {
	var indexes []int64
	left := int64(0) // of the subtree, in leaves
	for level := 62; level >= 0; level-- {
		if size&(1<<level) != 0 {
			indexes = append(indexes, tlog.StoredHashIndex(level, left>>level))
			left += 1 << level
		}
	}
	edge, err := stored.ReadHashes(indexes)
	if err != nil {
		return fmt.Errorf("resume the tree at size %d: %w", size, err)
	}
	*t = Tree{size: size}
	copy(t.edge[:], edge)
	return nil
}

// Add appends the leaf of an event and appends the hashes that are to be
// stored for it to dst, in their order. Payload is the digest of r's payload.
func (t *Tree) Add(dst []tlog.Hash, r eventlog.Record, payload domain.Digest) []tlog.Hash {
	t.leaf = eventlog.AppendLeaf(append(t.leaf[:0], 0x00), r, payload)
	return t.AddHash(dst, sha256.Sum256(t.leaf))
}

// AddHash is [Tree.Add] for a leaf whose hash is known.
func (t *Tree) AddHash(dst []tlog.Hash, h tlog.Hash) []tlog.Hash {
	dst = append(dst, h)
	top := bits.OnesCount64(uint64(t.size))
	for level := t.size; level&1 == 1; level >>= 1 { // a subtree is complete
		top--
		h = t.node(t.edge[top], h)
		dst = append(dst, h)
	}
	t.edge[top] = h
	t.size++
	return dst
}

// node is tlog.NodeHash without an allocation.
func (t *Tree) node(left, right tlog.Hash) tlog.Hash {
	t.lefts[0] = 0x01
	copy(t.lefts[1:], left[:])
	copy(t.lefts[33:], right[:])
	return sha256.Sum256(t.lefts[:])
}

// Root returns the hash of the whole tree: SHA-256 of nothing for the empty
// one.
func (t *Tree) Root() tlog.Hash {
	top := bits.OnesCount64(uint64(t.size))
	if top == 0 {
		return sha256.Sum256(nil)
	}
	h := t.edge[top-1]
	for i := top - 2; i >= 0; i-- {
		h = tlog.NodeHash(t.edge[i], h)
	}
	return h
}
