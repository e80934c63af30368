package pebblelog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"golang.org/x/mod/sumdb/tlog"

	"wattbook/domain"
	"wattbook/domain/eventlog"
)

// chunkHashes is how many stored hashes of the Merkle tree stand under one key.
const chunkHashes = 64

// hashWriter collects the hashes of new events, chunk by chunk. It is the
// writer's.
type hashWriter struct {
	base   int64       // stored index of the first one in hashes: the start of a chunk
	hashes []tlog.Hash // those that are not in a full chunk yet, and those of the group
}

// resume reads the hashes of the chunk that the next hash of a tree of a size
// goes to.
func (w *hashWriter) resume(size int64, stored tlog.HashReader) (err error) {
	count := tlog.StoredHashCount(size)
	w.base = count / chunkHashes * chunkHashes
	indexes := make([]int64, count-w.base)
	for i := range indexes {
		indexes[i] = w.base + int64(i)
	}
	w.hashes, err = stored.ReadHashes(indexes)
	return err
}

// stage adds the chunks that the group's hashes are in to the batch. The last
// chunk is written again by the next group, with more hashes in it.
func (w *hashWriter) stage(batch *pebble.Batch) {
	for first := 0; first < len(w.hashes); first += chunkHashes {
		chunk := w.hashes[first:min(first+chunkHashes, len(w.hashes))]
		op := batch.SetDeferred(9, len(chunk)*tlog.HashSize)
		chunkKey(op.Key[:0], w.base+int64(first))
		for i, h := range chunk {
			copy(op.Value[i*tlog.HashSize:], h[:])
		}
		must(op.Finish())
	}
	full := len(w.hashes) / chunkHashes * chunkHashes
	w.hashes = append(w.hashes[:0], w.hashes[full:]...)
	w.base += int64(full)
}

// chunkKey returns the key of the chunk that a stored index is in.
func chunkKey(dst []byte, index int64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, 'h'), uint64(index/chunkHashes))
}

// ReadHashes implements tlog.HashReader: it returns stored hashes of the
// Merkle tree over the log's events (see package proof). Those of the events
// before Head are there; each costs at most one look into the database.
func (l *Log) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	if err := l.begin(); err != nil {
		return nil, err
	}
	defer l.end()
	out := make([]tlog.Hash, len(indexes))
	for i, n := range indexes {
		var err error
		if out[i], err = l.hash(n); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (l *Log) hash(index int64) (h tlog.Hash, err error) {
	if index < 0 {
		return h, fmt.Errorf("hash %d of the tree: there is none", index)
	}
	at := int(index%chunkHashes) * tlog.HashSize
	if chunk := l.chunks.get(index / chunkHashes); chunk != nil {
		copy(h[:], chunk[at:])
		return h, nil
	}
	value, closer, err := l.db.Get(chunkKey(nil, index))
	if err != nil {
		return h, l.damage(fmt.Sprintf("hash %d of the tree", index), err)
	}
	if len(value) < at+tlog.HashSize {
		err = &eventlog.CorruptError{Place: fmt.Sprintf("hash %d of the tree", index), Err: errors.New("it is missing")}
	} else {
		copy(h[:], value[at:])
		if len(value) == chunkHashes*tlog.HashSize { // it never changes again
			l.chunks.put(index/chunkHashes, value)
		}
	}
	return h, errors.Join(err, closer.Close())
}

// Tree returns the number of events and the root of the Merkle tree over them.
func (l *Log) Tree() (size domain.Position, root tlog.Hash, err error) {
	size = domain.Position(l.head.Load())
	root, err = tlog.TreeHash(int64(size), l)
	if err != nil {
		return 0, root, fmt.Errorf("root of the log's tree: %w", err)
	}
	return size, root, nil
}

// chunkCache keeps full chunks in memory: 64 MiB of them at the most, of which
// all that proofs of recent events need.
type chunkCache struct {
	mu     sync.Mutex
	recent map[int64]*[chunkHashes * tlog.HashSize]byte
	older  map[int64]*[chunkHashes * tlog.HashSize]byte
}

const cachedChunks = 1 << 14 // in each half

func (c *chunkCache) get(n int64) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	chunk := c.recent[n]
	if chunk == nil {
		if chunk = c.older[n]; chunk == nil {
			return nil
		}
		c.keep(n, chunk)
	}
	return chunk[:]
}

func (c *chunkCache) put(n int64, value []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep(n, (*[chunkHashes * tlog.HashSize]byte)(append([]byte(nil), value...)))
}

func (c *chunkCache) keep(n int64, chunk *[chunkHashes * tlog.HashSize]byte) {
	if c.recent == nil || len(c.recent) >= cachedChunks {
		c.older, c.recent = c.recent, map[int64]*[chunkHashes * tlog.HashSize]byte{}
	}
	c.recent[n] = chunk
}
