package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

func (f folder) privateKey() string { return filepath.Join(string(f), "keys", "log.key") }
func (f folder) publicKey() string  { return filepath.Join(string(f), "keys", "log.pub") }

// origin is a name for a new log that no other log has.
func newOrigin(random io.Reader) (string, error) {
	var b [8]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("name the log: %w", err)
	}
	return "wattbook/" + hex.EncodeToString(b[:]), nil
}

// signer returns the key that signs the log's checkpoints. A log without one
// gets one, under the origin or, if that is empty, under a name of its own.
func (f folder) signer(random io.Reader, origin string) (note.Signer, error) {
	raw, err := os.ReadFile(f.privateKey())
	if errors.Is(err, fs.ErrNotExist) {
		if sizes, err := f.checkpointSizes(); err != nil || len(sizes) > 0 {
			return nil, errors.Join(err, fmt.Errorf("the log has signed %d checkpoints, and its key %s is not there; restore it from its backup", len(sizes), f.privateKey()))
		}
		return f.newKey(random, origin)
	}
	if err != nil {
		return nil, fmt.Errorf("key of the log: %w", err)
	}
	s, err := note.NewSigner(strings.TrimSpace(string(raw)))
	if err != nil {
		return nil, fmt.Errorf("key of the log, %s: it is damaged; restore it from its backup", f.privateKey())
	}
	return s, nil
}

func (f folder) newKey(random io.Reader, origin string) (note.Signer, error) {
	if origin == "" {
		var err error
		if origin, err = newOrigin(random); err != nil {
			return nil, err
		}
	}
	private, public, err := note.GenerateKey(random, origin)
	if err != nil {
		return nil, fmt.Errorf("key of the log: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(f.privateKey()), 0o700); err != nil {
		return nil, fmt.Errorf("key of the log: %w", err)
	}
	// The public key first: a private key without it would never be read.
	if err := writeFile(f.publicKey(), []byte(public+"\n")); err != nil {
		return nil, err
	}
	if err := writeSecret(f.privateKey(), []byte(private+"\n")); err != nil {
		return nil, err
	}
	return note.NewSigner(private)
}

// verifier returns the key that verifies the log's checkpoints.
func (f folder) verifier() (note.Verifier, error) {
	raw, err := os.ReadFile(f.publicKey())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s has no key yet, so nothing is signed: make a checkpoint with wattbook checkpoint", f)
	}
	if err != nil {
		return nil, fmt.Errorf("key of the log: %w", err)
	}
	return readVerifier(string(raw), f.publicKey())
}

// readVerifier reads a public key of a log.
func readVerifier(key, from string) (note.Verifier, error) {
	v, err := note.NewVerifier(strings.TrimSpace(key))
	if err != nil {
		return nil, fmt.Errorf("%s is no public key of a log such as name+1a2b3c4d+AR…", from)
	}
	return v, nil
}

// keyNamed reads a public key that is given on the command line, or the file
// that it is in.
func keyNamed(s string) (note.Verifier, error) {
	if raw, err := os.ReadFile(s); err == nil {
		return readVerifier(string(raw), s)
	}
	const most = 100 // of a key such as the log's, and of a mistake
	shown := strconv.Quote(s)
	if len(s) > most {
		shown = strconv.Quote(s[:most]) + "…"
	}
	return readVerifier(s, "--key "+shown)
}

// writeSecret is writeFile for what only the owner may read.
func writeSecret(path string, content []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err, file.Sync(), file.Close())
}
