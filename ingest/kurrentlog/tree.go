package kurrentlog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/mod/sumdb/tlog"

	"wattbook/domain"
	"wattbook/domain/eventlog/proof"
)

// tree is the Merkle tree over the events (package proof). The server has none:
// a process computes it of what it reads, in the order of $all, and holds it in
// memory. With Config.Dir it is kept in the file hashes there: the stored
// hashes in their order, 32 bytes each.
//
// The file is a cache: it is not synced, and it is believed as far as it agrees
// with itself and, at its end, with the event on the server. The rest is
// computed again.
type tree struct {
	mu     sync.Mutex
	loaded bool
	edge   proof.Tree
	hashes []tlog.Hash
	file   *os.File // nil: not kept
}

// hashesAtOnce is how many hashes are written to the file at once.
const hashesAtOnce = 4096

// Tree returns the number of events and the root of the Merkle tree over them.
// The first call of a process may read the whole log, and each reads what came
// since the one before.
func (l *Log) Tree() (size domain.Position, root tlog.Hash, err error) {
	t := &l.tree
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := l.grow(context.Background()); err != nil { // it ends with the log
		return 0, root, fmt.Errorf("root of the log's tree: %w", err)
	}
	return domain.Position(t.edge.Size()), t.edge.Root(), nil
}

// ReadHashes implements tlog.HashReader: it returns stored hashes of the
// Merkle tree over the events, up to the head.
func (l *Log) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	t := &l.tree
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]tlog.Hash, len(indexes))
	for i, n := range indexes {
		if n >= int64(len(t.hashes)) {
			if err := l.grow(context.Background()); err != nil {
				return nil, err
			}
		}
		if n < 0 || n >= int64(len(t.hashes)) {
			return nil, fmt.Errorf("hash %d of the tree: there is none", n)
		}
		out[i] = t.hashes[n]
	}
	return out, nil
}

// grow adds the events that the tree does not have. The caller holds its mu.
func (l *Log) grow(ctx context.Context) error {
	t := &l.tree
	if !t.loaded {
		if err := l.loadTree(ctx); err != nil {
			return err
		}
		t.loaded = true
	}
	kept := len(t.hashes)
	for r, err := range l.ReadAll(ctx, domain.Position(t.edge.Size())) {
		if err != nil {
			return err
		}
		t.hashes = t.edge.Add(t.hashes, r, domain.DigestOf(r.Payload))
		if len(t.hashes)-kept >= hashesAtOnce {
			t.keep(kept, l.cfg.Logger)
			kept = len(t.hashes)
		}
	}
	t.keep(kept, l.cfg.Logger)
	return nil
}

// keep writes the hashes from an index on to the file. One that cannot be
// written is given up.
func (t *tree) keep(from int, logger *slog.Logger) {
	if t.file == nil || from == len(t.hashes) {
		return
	}
	raw := make([]byte, 0, (len(t.hashes)-from)*tlog.HashSize)
	for _, h := range t.hashes[from:] {
		raw = append(raw, h[:]...)
	}
	if _, err := t.file.Write(raw); err != nil {
		logger.Warn("log: the tree is no longer kept", "err", err)
		_ = t.file.Close() // it is given up for the error that was just told
		t.file = nil
	}
}

// loadTree takes from the file what can be believed, and cuts off the rest.
func (l *Log) loadTree(ctx context.Context) error {
	t := &l.tree
	if l.cfg.Dir == "" {
		return nil
	}
	path := filepath.Join(l.cfg.Dir, "hashes")
	raw, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("open tree: %w", err)
	}
	_, head, _, _ := l.view.state()
	t.take(raw, int64(head))
	if size := t.edge.Size(); size > 0 {
		for r, err := range l.ReadAll(ctx, domain.Position(size-1)) {
			if err != nil {
				return err
			}
			if proof.LeafHash(r) != t.hashes[tlog.StoredHashIndex(0, size-1)] {
				l.cfg.Logger.Warn("log: the tree is of another log and is made anew", "file", path)
				t.edge, t.hashes = proof.Tree{}, nil
			}
			break
		}
	}
	if t.file, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644); err != nil {
		return fmt.Errorf("open tree: %w", err)
	}
	end := int64(len(t.hashes) * tlog.HashSize)
	if err := t.file.Truncate(end); err != nil {
		return fmt.Errorf("open tree: %w", err)
	}
	_, err = t.file.Seek(end, 0)
	return err
}

// take computes the tree of the stored leaves, up to the first hash that is
// another, and to the head.
func (t *tree) take(raw []byte, head int64) {
	for t.edge.Size() < head {
		leaf := tlog.StoredHashIndex(0, t.edge.Size()) * tlog.HashSize
		if leaf+tlog.HashSize > int64(len(raw)) {
			return
		}
		edge, kept := t.edge, len(t.hashes)
		t.hashes = t.edge.AddHash(t.hashes, tlog.Hash(raw[leaf:leaf+tlog.HashSize]))
		for i := kept; i < len(t.hashes); i++ {
			at := i * tlog.HashSize
			if at+tlog.HashSize > len(raw) || tlog.Hash(raw[at:at+tlog.HashSize]) != t.hashes[i] {
				t.edge, t.hashes = edge, t.hashes[:kept]
				return
			}
		}
	}
}

func (t *tree) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.file == nil {
		return nil
	}
	err := t.file.Close()
	t.file = nil
	return err
}
