package warehouse

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"wattbook/domain"
)

// Relocate makes the database of a folder that was moved, or is a copy, look
// for its parts where it is now, so that every client finds them without being
// told. It returns where it looked before, or nothing if there was nothing to
// do, or if a publisher has the folder: that one writes it anyway.
func Relocate(ctx context.Context, dir string) (from string, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return "", fmt.Errorf("relocate warehouse: %w", err)
	}
	out, ok, err := readPublished(ctx, dir)
	if err != nil || !ok || out.Schema != schemaVersion() || out.Folder == dir {
		return "", err
	}
	published := filepath.Join(dir, publishedName)
	if same(published, filepath.Join(out.Folder, publishedName)) {
		return "", nil // two names of one folder
	}
	held, err := lock(filepath.Join(dir, lockName))
	if err != nil {
		return "", nil //nolint:nilerr // a publisher has it
	}
	defer func() { err = errors.Join(err, held.Close()) }()
	l, err := scan(dir, out.Parts, out.Position)
	if err != nil {
		return "", fmt.Errorf("relocate warehouse %s: %w; make it anew with: wattbook warehouse rebuild", dir, err)
	}
	tmp := l.tmp(publishedName)
	if err := errors.Join(makeDir(filepath.Dir(tmp)), copyFile(published, tmp)); err != nil {
		return "", fmt.Errorf("relocate warehouse: %w", err)
	}
	if err := l.rewrite(ctx, tmp, out.Position); err != nil {
		return "", errors.Join(fmt.Errorf("relocate warehouse %s: %w", dir, err), remove(tmp))
	}
	return out.Folder, settle(tmp, published)
}

// rewrite makes the views of a database that is not published yet anew.
func (l *layout) rewrite(ctx context.Context, path string, at domain.Position) (err error) {
	e, err := newEngine(engineLimits{Memory: "256MB", Threads: 1})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	if err := e.exec(ctx, "ATTACH "+quoted(path)+" AS wh; USE wh"); err != nil {
		return err
	}
	var steps []siteStep
	err = e.query(ctx, "SELECT site, step_microseconds FROM sites ORDER BY 1", func(row []driver.Value) error {
		s := siteStep{}
		s.site, _ = row[0].(string)
		s.step, _ = row[1].(int64)
		steps = append(steps, s)
		return nil
	})
	if err != nil {
		return err
	}
	for _, r := range l.views(at, steps) {
		if err := e.exec(ctx, "DROP VIEW "+r.name+"; "+r.sql+r.comments()); err != nil {
			return err
		}
	}
	return e.exec(ctx, "UPDATE published SET folder = "+quoted(l.dir)+"; USE memory; DETACH wh")
}

// same reports whether two names are of one file.
func same(a, b string) bool {
	x, errA := os.Stat(a)
	y, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(x, y)
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(out, in)
	return err
}
