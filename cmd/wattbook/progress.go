package main

import (
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"time"

	"wattbook/domain"
	"wattbook/domain/eventlog"
)

// progress shows how far long work has come: a bar on a terminal, a line now
// and then elsewhere.
type progress struct {
	out      io.Writer
	terminal bool
	what     string
	started  time.Time
	shown    time.Time
	every    time.Duration
}

// newProgress returns the progress of some work.
func newProgress(out io.Writer, what string) *progress {
	p := &progress{out: out, what: what, started: time.Now(), every: 10 * time.Second}
	if f, ok := out.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			p.terminal, p.every = true, 100*time.Millisecond
		}
	}
	return p
}

// show tells how much is done, with a note.
func (p *progress) show(done, total int64, note string) {
	now := time.Now()
	if now.Sub(p.shown) < p.every && (done < total || total == 0) {
		return
	}
	first := p.shown.IsZero()
	p.shown = now
	if total == 0 { // how much there is, is not known yet
		if p.terminal {
			fmt.Fprintf(p.out, "\r\x1b[K%s %s", p.what, note)
		} else if !first {
			fmt.Fprintf(p.out, "%s: %s\n", p.what, note)
		}
		return
	}
	percent := done * 100 / max(1, total)
	if p.terminal {
		const width = 30
		filled := int(done * width / max(1, total))
		fmt.Fprintf(p.out, "\r\x1b[K%s [%s%s] %3d %%  %s", p.what, strings.Repeat("=", filled), strings.Repeat(" ", width-filled), percent, note)
		return
	}
	if !first || done < total {
		fmt.Fprintf(p.out, "%s: %d %%, %s\n", p.what, percent, note)
	}
}

// done ends the display.
func (p *progress) done() {
	if p.terminal {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}

// patient returns a function that shows how far reading the log has come, once
// it takes long enough for anybody to wonder.
func (p *program) patient() func(done, total int64) {
	bar := newProgress(p.stderr, "reading the log")
	bar.shown = bar.started
	return func(done, total int64) {
		if done >= total {
			bar.done()
			return
		}
		bar.show(done, total, fmt.Sprintf("%s of %s events", thousands(done), thousands(total)))
	}
}

// folded is a projection that tells how far a fold has come.
type folded struct {
	total domain.Position
	show  func(done, total int64)
}

// Apply implements [projections.Projection].
func (f folded) Apply(rec domain.Recorded) error {
	f.show(int64(rec.Position)+1, int64(f.total))
	return nil
}

// counting shows how far a sequence of records has come.
func (p *program) counting(what string, total int64, records iter.Seq2[eventlog.Record, error]) iter.Seq2[eventlog.Record, error] {
	return func(yield func(eventlog.Record, error) bool) {
		bar := newProgress(p.stderr, what)
		defer bar.done()
		done := int64(0)
		for r, err := range records {
			done++
			note := thousands(done) + " events"
			if total > 0 {
				note = fmt.Sprintf("%s of %s events", thousands(done), thousands(total))
			}
			bar.show(done, total, note)
			if !yield(r, err) {
				return
			}
		}
	}
}
