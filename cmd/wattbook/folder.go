package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/ingest/evidence"
	"wattbook/ingest/pebblelog"
	"wattbook/projections"
	"wattbook/projections/facts"
	"wattbook/projections/scratch"
)

// folder is where a book's parts are.
type folder string

func (f folder) log() string       { return filepath.Join(string(f), "log") }
func (f folder) evidence() string  { return filepath.Join(string(f), "evidence") }
func (f folder) warehouse() string { return filepath.Join(string(f), "warehouse") }
func (f folder) invoices() string  { return filepath.Join(string(f), "invoices") }
func (f folder) site() string      { return filepath.Join(string(f), "site.yaml") }

// scratch returns where what is folded from the log lies: beyond what most books
// need, in a file of the folder that has no name.
func (f folder) scratch() *scratch.Area { return scratch.In(string(f), foldedInHeap) }

// foldedInHeap is how many bytes of readings and allocations are kept in the
// heap: those of some months of a site.
const foldedInHeap = 64 << 20

// unfinished is a file that is there while a month is being played, and stays
// if it is not played to its end.
func (f folder) unfinished() string { return filepath.Join(string(f), "unfinished") }

// halfPlayed reports whether the folder holds a part of a month only.
func (f folder) halfPlayed() bool {
	_, err := os.Stat(f.unfinished())
	return err == nil
}

// warnUnfinished says that a folder's figures are of a part of a month.
func (p *program) warnUnfinished(f folder) {
	if f.halfPlayed() {
		fmt.Fprintf(p.stderr, "wattbook: %s holds a month that was not played to its end: figures from it are not those of the demo; remove the folder to play it anew\n", f)
	}
}

// holdsBook reports a folder that holds no book: a mistyped name must not make
// a new one.
func (f folder) holdsBook() error {
	there, err := pebblelog.Exists(f.log())
	if err != nil || there {
		return err
	}
	if sizes, err := f.checkpointSizes(); err == nil && len(sizes) > 0 {
		return &eventlog.CorruptError{Place: f.log(), Err: fmt.Errorf("it holds no log, and %d events were signed; restore a backup", sizes[len(sizes)-1])}
	}
	return fmt.Errorf("%s holds no book; make one with wattbook demo or wattbook serve, or name another folder with --data", f)
}

// logFolder is an open data folder: its log, without anything folded from it.
type logFolder struct {
	folder folder
	log    keptLog
	origin string // name of the log, if it gets its key now

	mu     sync.Mutex
	signer *notary // nil: not asked for yet
}

func openFolder(ctx context.Context, s settings, now func() domain.Instant, logger *slog.Logger) (*logFolder, error) {
	l := &logFolder{folder: folder(s.Data), origin: s.Origin}
	var err error
	l.log, err = s.openLog(ctx, now, logger)
	return l, err
}

// notary returns who signs for the log.
func (l *logFolder) notary() (*notary, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.signer == nil {
		var err error
		if l.signer, err = l.folder.notary(l.log, rand.Reader, l.origin); err != nil {
			return nil, err
		}
	}
	return l.signer, nil
}

// sign signs a checkpoint of what the log holds now.
func (l *logFolder) sign(extensions ...string) error {
	n, err := l.notary()
	if err == nil {
		_, err = n.sign(extensions...)
	}
	return err
}

// signed signs a checkpoint of what the log holds now, and returns what
// documents say of it.
func (l *logFolder) signed() (domain.Checkpoint, error) {
	n, err := l.notary()
	if err != nil {
		return domain.Checkpoint{}, err
	}
	s, err := n.sign()
	if err != nil {
		return domain.Checkpoint{}, err
	}
	return domain.Checkpoint{Log: s.Origin, Size: domain.Position(s.Size), Root: domain.Digest(s.Root)}, nil
}

// asSigned reports a log that is not the one that was signed last, grown.
func (l *logFolder) asSigned() error {
	sizes, err := l.folder.checkpointSizes()
	if err != nil || len(sizes) == 0 {
		return err
	}
	key, err := l.folder.verifier()
	if err != nil {
		return err
	}
	last, err := l.folder.readCheckpoint(sizes[len(sizes)-1], key)
	if err != nil {
		return err
	}
	head, _, err := l.log.Tree()
	if err != nil {
		return err
	}
	if last.Size > int64(head) {
		return &eventlog.CorruptError{
			Place: fmt.Sprintf("position %d", head),
			Err:   fmt.Errorf("the log ends there, and %s is of %d events; restore a backup", l.folder.checkpoint(last.Size), last.Size),
		}
	}
	root, err := tlog.TreeHash(last.Size, l.log)
	if err != nil {
		return err
	}
	if root != last.Root {
		return &eventlog.CorruptError{
			Place: fmt.Sprintf("the first %d events", last.Size),
			Err:   fmt.Errorf("they are not those that %s was signed over; run wattbook verify", l.folder.checkpoint(last.Size)),
		}
	}
	return nil
}

// book is an open data folder: its log, and what is known from it.
type book struct {
	*logFolder
	area   *scratch.Area // in which the facts lie
	facts  *facts.Facts
	now    func() domain.Instant
	logger *slog.Logger
}

// openBook opens the log of a data folder and folds it.
func openBook(ctx context.Context, s settings, now func() domain.Instant, logger *slog.Logger) (*book, error) {
	l, err := openFolder(ctx, s, now, logger)
	if err != nil {
		return nil, err
	}
	b := &book{logFolder: l, area: l.folder.scratch(), now: now, logger: logger}
	b.facts = facts.In(b.area)
	err = b.asSigned()
	if err == nil {
		err = b.open(ctx, s.reading)
	}
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

// open folds the log, and tells how far it has come, if anybody wants to know.
func (b *book) open(ctx context.Context, show func(done, total int64)) error {
	if show == nil {
		return b.refresh(ctx)
	}
	head, err := b.log.Head(ctx)
	if err != nil {
		return err
	}
	_, err = projections.Fold(ctx, b.log, b.facts.Next, projections.Head, b.facts, folded{head, show})
	return err
}

// refresh folds what the log holds beyond what is known.
func (b *book) refresh(ctx context.Context) error {
	_, err := projections.Fold(ctx, b.log, b.facts.Next, projections.Head, b.facts)
	return err
}

func (b *book) close() error { return errors.Join(b.log.Close(), b.area.Close()) }

// folded gives what is known from the events before a position.
func (l *logFolder) folded(ctx context.Context, to domain.Position, do func(f *facts.Facts) error) error {
	area := l.folder.scratch()
	f := facts.In(area)
	_, err := projections.Fold(ctx, l.log, 0, to, f)
	if err == nil {
		err = do(f)
	}
	return errors.Join(err, area.Close())
}

// siteNamed returns the site of a name, or the only one.
func (b *book) siteNamed(name string) (domain.SiteRegistered, error) {
	sites := b.facts.Sites()
	var known []string
	for _, s := range sites {
		if string(s.Site) == name {
			return s, nil
		}
		known = append(known, string(s.Site))
	}
	switch {
	case len(sites) == 0:
		return domain.SiteRegistered{}, fmt.Errorf("%s: no site is registered", b.folder)
	case name != "":
		return domain.SiteRegistered{}, fmt.Errorf("%s: site %s is not registered; registered are %q", b.folder, name, known)
	case len(sites) > 1:
		return domain.SiteRegistered{}, usagef("the log holds several sites: name one with --site, of %q", known)
	}
	return sites[0], nil
}

func systemClock() domain.Instant { return domain.At(time.Now()) }

// patiently opens a data folder. While another process has it open it tries
// again, for as long as the settings say; if that is a service which comes to
// take verbs meanwhile, the verb runs there.
func patiently[T any](ctx context.Context, p *program, s settings, open func() (T, error)) (T, error) {
	waiting, cancel := context.WithTimeout(ctx, s.Wait)
	defer cancel()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		opened, err := open()
		if !errors.Is(err, pebblelog.ErrInUse) && !errors.Is(err, evidence.ErrInUse) {
			return opened, err
		}
		select {
		case <-waiting.Done():
			return opened, errors.Join(ctx.Err(), fmt.Errorf("%w, or let the verb wait for longer than %s: WATTBOOK_WAIT=1m", err, s.Wait))
		case <-again.C:
		}
		if err := p.askHost(ctx, folder(s.Data)); err != nil {
			return opened, err
		}
	}
}

// withLog gives a verb the log of the data folder as it is: the service's, if
// one runs there.
func (p *program) withLog(ctx context.Context, do func(l *logFolder) error) error {
	if p.host != nil {
		return do(p.host.engine.logFolder)
	}
	s, err := p.settings()
	if err != nil {
		return err
	}
	if err := p.elsewhere(ctx, s); err != nil {
		return err
	}
	l, err := patiently(ctx, p, s, func() (*logFolder, error) { return openFolder(ctx, s, p.now, p.logger(s)) })
	if err != nil {
		return err
	}
	return errors.Join(do(l), l.log.Close())
}

// withBook gives a verb what is known from the log as well.
func (p *program) withBook(ctx context.Context, do func(b *book) error) error {
	if p.host != nil {
		defer p.host.finance.ask() // it may record
		return p.host.engine.alone(func() error {
			if err := p.host.engine.refresh(ctx); err != nil {
				return err
			}
			return do(p.host.engine.book)
		})
	}
	s, err := p.settings()
	if err != nil {
		return err
	}
	if err := p.elsewhere(ctx, s); err != nil {
		return err
	}
	b, err := patiently(ctx, p, s, func() (*book, error) { return openBook(ctx, s, p.now, p.logger(s)) })
	if err != nil {
		return err
	}
	before := b.facts.Next
	err = do(b)
	if b.facts.Next > before {
		p.publishBook(ctx, b.folder, b.log, b.facts, b.logger)
	}
	return errors.Join(err, b.close())
}

// withEngine gives a verb the way by which facts are recorded.
func (p *program) withEngine(ctx context.Context, do func(e *engine) error) error {
	if p.host != nil {
		defer p.host.finance.ask()
		return p.host.engine.alone(func() error { return do(p.host.engine) })
	}
	s, err := p.settings()
	if err != nil {
		return err
	}
	if err := p.elsewhere(ctx, s); err != nil {
		return err
	}
	e, err := patiently(ctx, p, s, func() (*engine, error) { return openEngine(ctx, s, p.now, p.logger(s)) })
	if err != nil {
		return err
	}
	before := e.facts.Next
	err = do(e)
	if e.facts.Next > before {
		p.publishBook(ctx, e.folder, e.log, e.facts, e.logger)
	}
	return errors.Join(err, e.close())
}

// elsewhere runs the verb inside the service that has the folder open, if one
// has: a log has one writer. It returns an *elsewhereError if it did.
func (p *program) elsewhere(ctx context.Context, s settings) error {
	f := folder(s.Data)
	if s.Cluster.URL == "" {
		if err := f.holdsBook(); err != nil {
			return err
		}
	}
	p.warnUnfinished(f)
	return p.askHost(ctx, f)
}
