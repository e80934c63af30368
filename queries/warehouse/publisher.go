package warehouse

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/wire"
	"wattbook/projections/facts"
)

// Config says where a warehouse is published and how. What is zero has a
// default.
type Config struct {
	Dir    string
	Now    func() domain.Instant
	Logger *slog.Logger
	Random io.Reader // names folders
	// Grace is how long a file stays after the last views that read it were
	// replaced: two days, so that whoever opened the database in the morning
	// can go on.
	Grace domain.Duration
	// Parts is how many parts an epoch has before it is compacted: 24. Merge
	// is how many compacted files of one level there are before they become
	// one: 8.
	Parts, Merge int
	// Large is how many bytes of readings make a file that stays as it is: 24
	// MiB, some 2 million readings.
	Large int64
	// Rows bounds a part: 300,000. They are in memory while it is filled. Bulk
	// bounds a file of a warehouse that is made from the beginning of the log:
	// 3,000,000. It is written while the next one is filled.
	Rows, Bulk int
	// Links is how many of the last databases stay under the name of their
	// position: 8.
	Links int
	// Memory bounds what DuckDB takes before it spills to Dir/tmp: 512MB.
	Memory string
}

func (c Config) withDefaults() Config {
	c.Grace = cmp.Or(c.Grace, 2*domain.Day)
	c.Parts = cmp.Or(c.Parts, 24)
	c.Merge = cmp.Or(c.Merge, 8)
	c.Large = cmp.Or(c.Large, 24<<20)
	c.Rows = cmp.Or(c.Rows, 300_000)
	c.Bulk = cmp.Or(c.Bulk, 3_000_000)
	c.Links = cmp.Or(c.Links, 8)
	c.Memory = cmp.Or(c.Memory, "512MB")
	return c
}

// Published says what a database file knows.
type Published struct {
	Position    domain.Position // events of the log before it are in the file
	At          domain.Instant  // when it was published
	Schema      string
	LastEvent   string // id of the event before Position
	Folder      string // that the views look into
	Parts       string // folder of the parts, in Folder
	ReadingRows int64
	OpenEpoch   int64
}

// Publisher keeps a warehouse up to date. One process publishes a folder; a
// publisher is not safe for concurrent use.
type Publisher struct {
	cfg    Config
	lock   *os.File
	before Published // what was found in the folder when it was opened

	engine  *engine
	tables  *tables
	layout  *layout
	history *history
	closed  map[domain.Position]figures // of closed periods, by the position of the closing
	books   *books
	held    *held
	last    Published
	broken  bool // an error left the tables half filled

	// Of the conclusions about days:
	whole       bool            // none lies in parts
	drawn       domain.Position // up to where stale is told of
	stale       *stale          // what is drawn and may differ
	opened      map[domain.SiteID]domain.Instant
	known       map[domain.SiteID][]domain.Interval // where anything was known when they were drawn
	generations map[domain.SiteID]int64             // of the site's files, where all days were drawn again
	pool        []pooled
	paid        map[paidDay]bool // by which they were drawn; nil: not told yet

	background bool // files of more than inline bytes are joined beside the publications
	inline     int64
	joining    *joining // or nil
}

// Open opens the folder for publishing. It is an error if another process
// publishes it. What cannot go on, since its tables are another version's or a
// part is missing, is made anew from the log.
func Open(cfg Config) (*Publisher, error) {
	cfg = cfg.withDefaults()
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("open warehouse: %w", err)
	}
	if strings.ContainsAny(dir, `*?[]{}\`) {
		return nil, fmt.Errorf("open warehouse: the path %s has one of the characters * ? [ ] { } \\, which mean something to DuckDB; use another folder", dir)
	}
	cfg.Dir = dir
	p := &Publisher{cfg: cfg}
	if err := makeDir(filepath.Join(dir, "tmp")); err != nil {
		return nil, err
	}
	if p.lock, err = lock(filepath.Join(dir, lockName)); err != nil {
		return nil, err
	}
	if err := p.prepare(context.Background()); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// Close gives the folder free. What was published stays.
func (p *Publisher) Close() error {
	err := p.joined(true)
	if p.engine != nil {
		err = errors.Join(err, p.engine.close())
		p.engine = nil
	}
	return errors.Join(err, p.lock.Close())
}

// prepare looks at what the folder holds and readies the tables. What was
// published under another schema, cannot be read or lacks a part is left to
// the clients that are at it, and made anew beside it.
func (p *Publisher) prepare(ctx context.Context) error {
	if err := p.clearTmp(); err != nil {
		return err
	}
	before, ok, err := readPublished(ctx, p.cfg.Dir)
	if err == nil && ok && before.Schema != schemaVersion() {
		err = fmt.Errorf("its schema is version %s, and this program's is %s", before.Schema, schemaVersion())
	}
	if err == nil && ok {
		p.layout, err = scan(p.cfg.Dir, before.Parts, before.Position)
	}
	if err == nil && ok {
		p.before = before
		return p.reset(ctx)
	}
	if err != nil {
		p.cfg.Logger.Warn("the warehouse is made anew from the log", "folder", p.cfg.Dir, "why", err)
	}
	return p.Anew(ctx)
}

// GoesOn reports whether the folder holds a warehouse that the next Publish
// goes on with.
func (p *Publisher) GoesOn() bool { return p.before.Position > 0 }

// Anew begins a new warehouse in the folder: the next Publish makes it from
// the first event of the log, and the one before it stays readable for the
// grace.
func (p *Publisher) Anew(ctx context.Context) error {
	var name [4]byte
	if _, err := io.ReadFull(p.cfg.Random, name[:]); err != nil {
		return fmt.Errorf("name the folder of the parts: %w", err)
	}
	var err error
	if p.layout, err = scan(p.cfg.Dir, fmt.Sprintf("%s%x", partsPrefix, name), 0); err != nil {
		return err
	}
	p.before = Published{}
	return p.reset(ctx)
}

// clearTmp deletes what was being written when a publication, or the process,
// ended before its end.
func (p *Publisher) clearTmp() error {
	for _, path := range globbed(filepath.Join(p.cfg.Dir, "tmp", "*")) {
		if p.engine != nil && filepath.Base(path) == spillName {
			continue // in use
		}
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("clear warehouse: %w", err)
		}
	}
	for _, path := range globbed(filepath.Join(p.cfg.Dir, "derived-*")) {
		// Left over, unless it is being made (see AsOf).
		if s, err := os.Stat(path); err == nil && p.cfg.Now().Sub(domain.At(s.ModTime())) > domain.Day {
			if err := os.RemoveAll(path); err != nil {
				return fmt.Errorf("clear warehouse: %w", err)
			}
		}
	}
	return makeDir(filepath.Join(p.cfg.Dir, "tmp"))
}

// reset empties the tables, which the next Publish fills from the first event
// of the log, and reads again what the folder holds.
func (p *Publisher) reset(ctx context.Context) error {
	if err := p.joined(true); err != nil {
		return err
	}
	if p.engine != nil {
		if err := p.engine.close(); err != nil {
			p.cfg.Logger.Warn("DuckDB did not close well", "err", err)
		}
		p.engine = nil
	}
	var err error
	if p.layout, err = scan(p.cfg.Dir, p.layout.name, p.before.Position); err != nil {
		return err
	}
	if err := p.layout.clearDays(); err != nil {
		return err
	}
	if err := p.ready(ctx); err != nil {
		return err
	}
	return p.openEpoch(ctx)
}

// ready makes empty tables.
func (p *Publisher) ready(ctx context.Context) error {
	err := p.begin(ctx, spillName, slices.Concat(relations(schemaSQL), relations(partsSQL)))
	if err != nil {
		return err
	}
	if err := errors.Join(p.shape(ctx), p.engine.serveReadings(ctx, func() *held { return p.held })); err != nil {
		return fmt.Errorf("make tables: %w", err)
	}
	p.closed, p.books, p.held = map[domain.Position]figures{}, nil, newHeld()
	p.last, p.broken = Published{}, false
	return nil
}

// begin makes an engine with empty tables: those of conclusions about days, and
// others.
func (p *Publisher) begin(ctx context.Context, spill string, others []relation) (err error) {
	if p.engine, err = newEngine(engineLimits{Memory: p.cfg.Memory, Threads: 2, Spill: p.layout.tmp(spill)}); err != nil {
		return err
	}
	all := slices.Concat(others, relations(piecesSQL))
	for _, r := range relations(daysSQL) {
		all = append(all, r.drawn())
	}
	p.tables = newTables(p.engine, "memory", all)
	for _, r := range all {
		if err := p.engine.exec(ctx, r.sql); err != nil {
			return fmt.Errorf("make tables: %w", err)
		}
	}
	p.history = newHistory(p.tables)
	p.drawn, p.paid, p.opened, p.known = p.before.Position, nil, map[domain.SiteID]domain.Instant{}, map[domain.SiteID][]domain.Interval{}
	p.stale, p.generations = newStale(p.known), map[domain.SiteID]int64{}
	return nil
}

// Publish brings the warehouse to the position that the facts are at, and
// returns what it published. A warehouse that is there already is left as it
// is. After an error what was published before stays as it was, and the next
// call tries again.
func (p *Publisher) Publish(ctx context.Context, log eventlog.Log, f *facts.Facts) (_ Published, err error) {
	defer func() {
		if err != nil {
			if full(err) {
				err = fmt.Errorf("the disk of %s is full, and what was published before stays: free some space, and the next publication makes up for it (%w)", p.cfg.Dir, err)
			}
			err = errors.Join(fmt.Errorf("publish the warehouse: %w", err), p.clearTmp())
		}
	}()
	if err := makeDir(p.layout.tmp("")); err != nil {
		return Published{}, err
	}
	if err := p.layout.missing(); err != nil {
		p.cfg.Logger.Warn("the warehouse is made anew from the log", "folder", p.cfg.Dir, "why", err)
		if err := p.Anew(ctx); err != nil {
			return Published{}, err
		}
	}
	if p.broken || p.books != nil && !p.books.of(f) {
		if err := p.reset(ctx); err != nil {
			return Published{}, err
		}
	}
	if f.Next == 0 || p.last.Position == f.Next {
		return p.last, nil
	}
	p.broken = true // until the tables are known to be whole
	if p.layout.end() > f.Next || p.before.Position > f.Next {
		return Published{}, p.foreign(fmt.Sprintf("the log ends at position %d", f.Next))
	}
	if err := p.follow(ctx, log, f); err != nil {
		return Published{}, err
	}
	if err := p.compact(ctx); err != nil {
		return Published{}, err
	}
	out, err := p.write(ctx, f)
	// A database that could not be written leaves the tables as they are, if
	// DuckDB itself goes on.
	p.broken = err != nil && p.engine.exec(ctx, "FROM memory.main.published") != nil
	if err != nil {
		return Published{}, err
	}
	now := p.cfg.Now()
	if err := errors.Join(p.layout.retire(now), p.layout.sweep(now, p.cfg.Grace)); err != nil {
		return Published{}, err
	}
	p.last, p.before = out, out
	return out, nil
}

// fresh reports whether the warehouse is made from the beginning of the log.
func (p *Publisher) fresh() bool { return p.before.Position == 0 && !p.whole }

// follow brings the tables to where the facts are.
func (p *Publisher) follow(ctx context.Context, log eventlog.Log, f *facts.Facts) error {
	if p.books == nil {
		p.books = newBooks(f)
	}
	drawn, err := p.drawAhead(ctx, f)
	if err != nil {
		return err
	}
	if err := drawn(p.read(ctx, log, f)); err != nil {
		return err
	}
	if err := p.settleRows(ctx, f); err != nil {
		return err
	}
	if err := p.settleClosings(ctx, log, f); err != nil {
		return err
	}
	return p.books.book(ctx, p.tables, f)
}

// full reports an error that comes of a full disk, as DuckDB or the system
// says it.
func full(err error) bool {
	for _, said := range []string{"No space left on device", "no space left on device", "max_temp_directory_size", "Could not write all bytes", "disk quota exceeded"} {
		if strings.Contains(err.Error(), said) {
			return true
		}
	}
	return false
}

// foreign is the error for a folder that was published from another log.
func (p *Publisher) foreign(why string) error {
	return fmt.Errorf("%s was published from another log, at position %d (%s): make it anew from this one with wattbook warehouse rebuild",
		p.cfg.Dir, max(p.before.Position, p.layout.end()), why)
}

// read tells the tables of the events up to where the facts are, and writes the
// parts of those that no part holds yet.
func (p *Publisher) read(ctx context.Context, log eventlog.Log, f *facts.Facts) (err error) {
	var opener wire.Opener
	to, rows, cut := f.Next, p.cfg.Rows, p.cut
	b := &bulk{p: p}
	if p.fresh() {
		defer func() { err = errors.Join(err, b.end(ctx)) }()
		rows, cut = p.cfg.Bulk, b.cut
	}
	if p.drawn == 0 {
		p.drawn = to // nothing is drawn yet
	} else if len(p.known) == 0 {
		if err := p.recall(ctx, f); err != nil {
			return err
		}
	}
	for r, err := range log.ReadAll(ctx, p.history.next) {
		if err != nil {
			return err
		}
		if r.Position >= to {
			break
		}
		rec, err := opener.Open(r)
		if err != nil {
			return err
		}
		if r.Position+1 == p.before.Position && rec.ID.String() != p.before.LastEvent {
			return p.foreign(fmt.Sprintf("the event at position %d is another", r.Position))
		}
		if err := p.history.tell(rec); err != nil {
			return fmt.Errorf("event at position %d: %w", r.Position, err)
		}
		if r.Position >= p.drawn {
			p.stale.learn(rec.Event, f)
		}
		p.books.tell(rec)
		if err := p.grow(r, rec); err != nil {
			return fmt.Errorf("event at position %d: %w", r.Position, err)
		}
		if p.history.rows >= rows {
			if err := cut(ctx); err != nil {
				return err
			}
		}
	}
	if p.history.next != to {
		return fmt.Errorf("the log ends at position %d, want %d", p.history.next, to)
	}
	p.drawn = to
	if p.fresh() && p.history.rows >= p.cfg.Rows {
		err = b.cut(ctx)
	}
	if err = errors.Join(err, b.end(ctx)); err != nil {
		return err
	}
	return p.cut(ctx)
}

// grow adds the rows of an event to the part that is being filled, unless a
// part holds them already.
func (p *Publisher) grow(r eventlog.Record, rec domain.Recorded) error {
	if rec.Position < p.layout.end() {
		return nil
	}
	p.history.rows++
	if err := p.event(r); err != nil {
		return err
	}
	switch e := rec.Event.(type) {
	case domain.ReadingsRecorded:
		p.history.rows += len(e.Readings)
		p.held.add(rec, e, func(t domain.Instant) (day, bool) {
			d, ok := p.history.localDay(e.Site, t).(day)
			return d, ok
		})
	case domain.AllocationDecided:
		return p.history.decision(rec, e)
	}
	return nil
}

func (p *Publisher) event(r eventlog.Record) error {
	category, _, _ := strings.Cut(string(r.Stream), "-")
	format, data := "Json", any(string(r.Payload))
	if r.Type == wire.ReadingsRecorded {
		format, data = "Bytes", nil
	}
	var metadata any
	if len(r.Metadata) > 0 {
		m, err := json.Marshal(r.Metadata)
		if err != nil {
			return err
		}
		metadata = string(m)
	}
	return p.tables.add("events", r.Position, r.Position, r.RecordedAt, string(r.Stream), int64(r.Revision), r.Type, nil, format, category, r.ID.String(), data, metadata)
}

// unitOf names the unit of a channel's values.
func unitOf(c domain.Channel) string {
	switch c {
	case domain.ChannelHashes:
		return "hashes"
	case domain.ChannelShares:
		return "share-difficulty-e-8"
	case domain.ChannelGPUTime:
		return "milliseconds"
	}
	return "milliwatt-hours"
}
