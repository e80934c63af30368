package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/mod/sumdb/note"

	"wattbook/domain/eventlog/proof"
	"wattbook/ingest/archive"
	"wattbook/ingest/pebblelog"
)

// logExport writes the log up to a new checkpoint into one file.
func logExport(ctx context.Context, p *program, l *logFolder, path string) error {
	n, err := l.notary()
	if err != nil {
		return err
	}
	signed, err := n.sign()
	if err != nil {
		return err
	}
	target := p.path(path)
	f, err := os.CreateTemp(filepath.Dir(target), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	out := bufio.NewWriterSize(f, 1<<20)
	err = archive.Write(out, p.counting("writing", signed.Size, l.log.ReadAll(ctx, 0)), signed.Checkpoint, signed.Note)
	if err = errors.Join(err, out.Flush(), f.Chmod(0o644), f.Sync()); err != nil {
		return errors.Join(err, f.Close())
	}
	info, err := f.Stat()
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), target); err != nil {
		return err
	}
	key, err := n.key()
	if err != nil {
		return err
	}
	if p.common.json {
		return p.printJSON(map[string]any{"file": path, "bytes": info.Size(), "events": signed.Size, "root": signed.Root, "key": key})
	}
	fmt.Fprintf(p.stdout, "%s: %s events, root %s, in %s bytes\nread it anywhere with\n  wattbook log import %s --key %s --data NEW\n",
		path, thousands(signed.Size), signed.Root, thousands(info.Size()), path, key)
	return nil
}

// logImport makes a new data folder of an exported log.
func logImport(ctx context.Context, p *program, path, key string) error {
	s, err := p.settings()
	if err != nil {
		return err
	}
	var log note.Verifier
	if key != "" {
		if log, err = keyNamed(key); err != nil {
			return usagef("%v", err)
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return usagef("%v", err)
	}
	defer f.Close()
	r, err := archive.NewReader(f, func(raw []byte) (proof.Checkpoint, error) {
		if log == nil {
			return proof.ReadUnverified(raw)
		}
		signed, err := proof.Open(raw, log)
		return signed.Checkpoint, err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	defer r.Close()
	return inNewFolder(s.Data, func(made folder) error {
		size, root, err := pebblelog.Restore(ctx, pebblelog.Config{Dir: made.log(), Now: systemClock, Logger: p.logger(s)}, p.counting("reading", r.Checkpoint().Size, r.Records()))
		if err != nil {
			return fmt.Errorf("%s: %w; nothing is kept of it", path, err)
		}
		c := r.Checkpoint()
		if int64(size) != c.Size || root != c.Root {
			return fmt.Errorf("%s: the log that was made has %d events and the root %s; want %d and %s", path, size, root, c.Size, c.Root)
		}
		if p.common.json {
			return p.printJSON(map[string]any{"events": size, "root": root, "origin": c.Origin, "signature_checked": log != nil})
		}
		fmt.Fprintf(p.stdout, "%s: %s events, root %s, into %s\n", path, thousands(int64(size)), root, s.Data)
		if log == nil {
			fmt.Fprintf(p.stdout, "the signature of %s was not checked: give its public key with --key\n", c.Origin)
		} else {
			fmt.Fprintf(p.stdout, "its checkpoint is signed by %s: checked with the key that was given\n", log.Name())
		}
		return nil
	})
}
