package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"wattbook/domain/eventlog/proof"
	"wattbook/ingest/evidence"
)

func backupVerb() verb {
	return verb{
		name: "backup", args: "--to DIR",
		summary: "copy the book, while it is written",
		help: `
Makes a data folder of its own that holds every event that was durable when it
began, the raw replies that they name, the checkpoints, the keys and the invoices,
and verifies it. It works while wattbook serve runs. The copy shares its
files with the book where it can (hard links): bring it to another disk. Keep it
where you would keep the keys: the private key of the log is in it.

Example: wattbook backup --to /backup/cedar-bend-2026-10-31`,
		run: backup,
	}
}

func restoreVerb() verb {
	return verb{
		name: "restore", args: "--from DIR --data NEW",
		summary: "make a data folder of a backup",
		help: `
Copies a backup into a new data folder and verifies it against every checkpoint
in it. The finance warehouse is not in a backup: it is published again when the
site is served, or by wattbook warehouse rebuild.

Example: wattbook restore --from /backup/cedar-bend-2026-10-31 --data /var/lib/wattbook`,
		run: restore,
	}
}

// kept are the parts of a data folder that a backup holds: what cannot be made
// again from the log, and the documents that were sent.
func (f folder) kept() []string {
	return []string{f.checkpoints(), filepath.Dir(f.privateKey()), f.invoices(), f.site()}
}

func backup(ctx context.Context, p *program, args []string) error {
	var to string
	p.flags.StringVar(&to, "to", "", "`folder` to make")
	if _, err := p.parse(args, 0, 0); err != nil {
		return err
	}
	if to == "" {
		return usagef("--to is missing: name the folder of the backup")
	}
	return p.withLog(ctx, func(l *logFolder) error {
		log, err := l.embedded()
		if err != nil {
			return err
		}
		return inNewFolder(p.path(to), func(made folder) error {
			// The checkpoints first: the log's copy may be longer than what they
			// are of, and not shorter. Then the log: the replies that its events
			// name are on disk before the events.
			if err := copyTree(made.checkpoints(), l.folder.checkpoints()); err != nil {
				return err
			}
			if err := log.Backup(made.log()); err != nil {
				return err
			}
			if err := p.backupEvidence(l, made); err != nil {
				return err
			}
			for _, part := range l.folder.kept() {
				if part == l.folder.checkpoints() {
					continue
				}
				if err := copyTree(filepath.Join(string(made), filepath.Base(part)), part); err != nil {
					return err
				}
			}
			return p.verifyFolder(ctx, made, "backed up to "+to)
		})
	})
}

func (p *program) backupEvidence(l *logFolder, to folder) error {
	if p.host != nil {
		return p.host.engine.evidence.Backup(to.evidence())
	}
	if _, err := os.Stat(l.folder.evidence()); errors.Is(err, fs.ErrNotExist) {
		return nil // a log that was imported has none
	}
	s, err := p.settings()
	if err != nil {
		return err
	}
	store, err := evidence.Open(l.folder.evidence(), p.logger(s))
	if err != nil {
		return err
	}
	return errors.Join(store.Backup(to.evidence()), store.Close())
}

func restore(ctx context.Context, p *program, args []string) error {
	var from string
	p.flags.StringVar(&from, "from", "", "`folder` of the backup")
	if _, err := p.parse(args, 0, 0); err != nil {
		return err
	}
	if from == "" {
		return usagef("--from is missing: name the folder of the backup")
	}
	s, err := p.settings()
	if err != nil {
		return err
	}
	backup := folder(from)
	if err := backup.holdsBook(); err != nil {
		return err
	}
	err = inNewFolder(s.Data, func(made folder) error {
		for _, part := range append(backup.kept(), backup.log(), backup.evidence()) {
			if err := copyTree(filepath.Join(string(made), filepath.Base(part)), part); err != nil {
				return err
			}
		}
		return p.verifyFolder(ctx, made, "restored into "+s.Data)
	})
	if err == nil && !p.common.json {
		_, err = fmt.Fprintf(p.stdout, "the finance warehouse is made by wattbook serve, or now by: wattbook warehouse rebuild --data %s\n", s.Data)
	}
	return err
}

// inNewFolder makes a folder whole or not at all. One that is there already is
// not touched.
func inNewFolder(dir string, fill func(f folder) error) error {
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return fmt.Errorf("%s is there already and is not overwritten: name another folder", dir)
	}
	partial := strings.TrimRight(dir, string(filepath.Separator)) + ".partial"
	if err := os.RemoveAll(partial); err != nil {
		return err
	}
	if err := os.MkdirAll(partial, 0o755); err != nil {
		return err
	}
	if err := fill(folder(partial)); err != nil {
		return errors.Join(err, os.RemoveAll(partial))
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(partial, dir)
}

// copyTree copies a file, or a folder with all that is in it, and syncs it.
// What is not there is not copied. Modes are kept: keys stay secret.
func copyTree(to, from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == from {
			return nil
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case d.IsDir():
			return os.MkdirAll(target, info.Mode().Perm())
		case d.Type().IsRegular():
			return copyFile(target, path, info.Mode().Perm())
		}
		return nil // a socket of a service
	})
}

func copyFile(to, from string, mode fs.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = out.ReadFrom(in)
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	return nil
}

// verifyFolder verifies the log of a folder that was just made, and says what
// it holds.
func (p *program) verifyFolder(ctx context.Context, made folder, what string) error {
	s, err := p.settings()
	if err != nil {
		return err
	}
	l, err := openFolder(ctx, settings{Data: string(made)}, systemClock, p.logger(s))
	if err != nil {
		return err
	}
	bar := newProgress(p.stderr, "verifying")
	verified, err := l.verifyOwn(ctx, func(done, total int64) {
		bar.show(done, total, fmt.Sprintf("%s of %s events", thousands(done), thousands(total)))
	})
	bar.done()
	if err = errors.Join(err, l.log.Close()); err != nil {
		return fmt.Errorf("the copy is not what the log was: %w", err)
	}
	if p.common.json {
		return p.printJSON(map[string]any{"events": verified.Events, "root": verified.Root, "checkpoints": verified.Checkpoints})
	}
	fmt.Fprintf(p.stdout, "%s: %s events, root %s; %s checkpoints agree\n", what, thousands(verified.Events), verified.Root, thousands(int64(verified.Checkpoints)))
	return nil
}

// verifyOwn verifies the log against the checkpoints in its folder, by the key
// in its folder.
func (l *logFolder) verifyOwn(ctx context.Context, progress func(done, total int64)) (proof.Verified, error) {
	sizes, err := l.folder.checkpointSizes()
	if err != nil {
		return proof.Verified{}, err
	}
	var signed []proof.Signed
	if len(sizes) > 0 {
		key, err := l.folder.verifier()
		if err != nil {
			return proof.Verified{}, err
		}
		if signed, err = l.folder.readCheckpoints(key); err != nil {
			return proof.Verified{}, err
		}
	}
	return l.verify(ctx, signed, progress)
}
