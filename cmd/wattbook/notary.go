package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"wattbook/domain"
	"wattbook/domain/eventlog/proof"
)

func (f folder) checkpoints() string { return filepath.Join(string(f), "checkpoints") }

// A checkpoint's file is named by its size, so that the names sort as the log
// grew.
func (f folder) checkpoint(size int64) string {
	return filepath.Join(f.checkpoints(), fmt.Sprintf("%015d.checkpoint", size))
}

// checkpointSizes returns the sizes of the checkpoints in the folder,
// ascending.
func (f folder) checkpointSizes() ([]int64, error) {
	entries, err := os.ReadDir(f.checkpoints())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("checkpoints: %w", err)
	}
	var sizes []int64
	for _, e := range entries {
		var size int64
		if n, err := fmt.Sscanf(e.Name(), "%d.checkpoint", &size); n == 1 && err == nil && f.checkpoint(size) == filepath.Join(f.checkpoints(), e.Name()) {
			sizes = append(sizes, size)
		}
	}
	slices.Sort(sizes)
	return sizes, nil
}

// readCheckpoint reads the checkpoint of a size, which the log must have signed.
func (f folder) readCheckpoint(size int64, log note.Verifier, witnesses ...note.Verifier) (proof.Signed, error) {
	raw, err := os.ReadFile(f.checkpoint(size))
	if err != nil {
		return proof.Signed{}, fmt.Errorf("checkpoint: %w", err)
	}
	s, err := proof.Open(raw, log, witnesses...)
	if err == nil && s.Size != size {
		err = fmt.Errorf("it is of %d events", s.Size)
	}
	if err != nil {
		return s, fmt.Errorf("%s: %w", f.checkpoint(size), err)
	}
	return s, nil
}

// readCheckpoints reads every checkpoint in the folder by size, whatever the
// name of its file: those that others kept are put there under any name.
func (f folder) readCheckpoints(log note.Verifier, witnesses ...note.Verifier) ([]proof.Signed, error) {
	paths, err := filepath.Glob(filepath.Join(f.checkpoints(), "*.checkpoint"))
	if err != nil {
		return nil, err
	}
	var all []proof.Signed
	for _, p := range paths {
		raw, err := os.ReadFile(p)
		if err != nil {
			return nil, fmt.Errorf("checkpoint: %w", err)
		}
		s, err := proof.Open(raw, log, witnesses...)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
		all = append(all, s)
	}
	slices.SortStableFunc(all, func(a, b proof.Signed) int { return int(a.Size - b.Size) })
	return all, nil
}

// grownLog is a log that keeps its Merkle tree.
type grownLog interface {
	tlog.HashReader
	Tree() (domain.Position, tlog.Hash, error)
}

// notary signs checkpoints of one log and keeps them in the data folder.
type notary struct {
	folder   folder
	log      grownLog
	signer   note.Signer
	verifier note.Verifier
	mu       sync.Mutex // one signature at a time: each is over what the one before saw, grown
}

// notary returns who signs for a log. A folder without a key gets one, under
// the origin or, if that is empty, under a name of its own.
func (f folder) notary(log grownLog, random io.Reader, origin string) (*notary, error) {
	signer, err := f.signer(random, origin)
	if err != nil {
		return nil, err
	}
	verifier, err := f.verifier()
	if err != nil {
		return nil, err
	}
	if signer.Name() != verifier.Name() || signer.KeyHash() != verifier.KeyHash() {
		return nil, fmt.Errorf("%s and %s are not of one pair; restore both from one backup", f.privateKey(), f.publicKey())
	}
	return &notary{folder: f, log: log, signer: signer, verifier: verifier}, nil
}

// sign signs where the log is. A log that has not grown since the last
// checkpoint, and has nothing new to say in an extension, keeps that one. It
// refuses to sign a log that is not the one that was signed before, grown:
// that would be a second history.
func (n *notary) sign(extensions ...string) (proof.Signed, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var s proof.Signed
	sizes, err := n.folder.checkpointSizes()
	if err != nil {
		return s, err
	}
	size, root, err := n.log.Tree()
	if err != nil {
		return s, fmt.Errorf("sign a checkpoint: %w", err)
	}
	c := proof.Checkpoint{Origin: n.signer.Name(), Size: int64(size), Root: root, Extensions: extensions}
	if len(sizes) > 0 {
		last, err := n.folder.readCheckpoint(sizes[len(sizes)-1], n.verifier)
		if err == nil {
			var growth tlog.TreeProof
			if growth, err = proof.ProveGrowth(last.Size, c.Size, n.log); err == nil {
				err = proof.CheckGrowth(growth, last.Checkpoint, c)
			}
		}
		if err != nil {
			return s, fmt.Errorf("sign a checkpoint: %w; run wattbook verify", err)
		}
		if last.Size == c.Size {
			fresh := slices.DeleteFunc(slices.Clone(extensions), func(e string) bool { return slices.Contains(last.Extensions, e) })
			if len(fresh) == 0 {
				return last, nil
			}
			c.Extensions = slices.Concat(last.Extensions, fresh)
		}
	}
	raw, err := c.Sign(n.signer)
	if err != nil {
		return s, err
	}
	if s, err = proof.Open(raw, n.verifier); err != nil {
		return s, err
	}
	return s, n.keep(s)
}

// keep writes a signed checkpoint into the folder.
func (n *notary) keep(s proof.Signed) error {
	if err := os.MkdirAll(n.folder.checkpoints(), 0o755); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return writeFile(n.folder.checkpoint(s.Size), s.Note)
}

// covering returns the first checkpoint that covers a position, or a new one.
func (n *notary) covering(at domain.Position) (proof.Signed, error) {
	sizes, err := n.folder.checkpointSizes()
	if err != nil {
		return proof.Signed{}, err
	}
	if i, _ := slices.BinarySearch(sizes, int64(at)+1); i < len(sizes) {
		return n.folder.readCheckpoint(sizes[i], n.verifier)
	}
	return n.sign()
}

// key returns the public key in the form that others are given.
func (n *notary) key() (string, error) {
	raw, err := os.ReadFile(n.folder.publicKey())
	return strings.TrimSpace(string(raw)), err
}

// closingLine is the extension line of the checkpoint of a closed period.
func closingLine(c domain.PeriodClosed) string { return fmt.Sprintf("closed %s %s", c.Site, c.Period) }
