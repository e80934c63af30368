package main

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"wattbook/domain"
	"wattbook/projections/facts"
	"wattbook/settlement"
	"wattbook/settlement/audit"
)

func replayVerb() verb {
	return verb{
		name: "replay", args: "[--at MOMENT [--month YYYY-MM]]",
		summary: "derive every decision, margin and invoice again, and compare",
		help: `
Reads the log from its first event and, at the position that each conclusion was
drawn at, draws it again: estimates, by their methods; allocation decisions; the
balance, the usage and the margins of closed periods; invoices with the bytes of
their documents; and reconciliations. It compares what it gets with what is on record and prints
digests: two replays of one log print the same ones, on any machine. The exit
code is 1 if anything differs.

With --at it draws the conclusions of a month with what was known at a moment
(a position, a day at the site, an instant, or a month: what that was invoiced
on): margins by use, and invoices as they stood. wattbook sql --at gives the same
figures of the warehouse.

Example: wattbook replay --at 2026-10-20`,
		run: replay,
	}
}

func replay(ctx context.Context, p *program, args []string) error {
	at := p.flags.String("at", "", "show what was concluded with what was known at a `moment`: a position, 2026-11-03 (the end of that day at the site), 2026-11-03T17:35:00Z, or 2026-10 (what that month was invoiced on)")
	month := p.flags.String("month", "", "`month` to show, with --at (default the one that MOMENT names, or the last one of which anything was known)")
	if _, err := p.parse(args, 0, 0); err != nil {
		return err
	}
	if *month != "" && *at == "" {
		return usagef("--month goes with --at")
	}
	return p.withLog(ctx, func(l *logFolder) error {
		if err := l.asSigned(); err != nil {
			return err
		}
		if *at != "" {
			return p.replayAt(ctx, l, *at, *month)
		}
		bar := newProgress(p.stderr, "replaying")
		area := l.folder.scratch()
		report, err := audit.Run(ctx, l.log, audit.Options{
			Scratch:    area,
			Render:     func(inv domain.Invoice, f *facts.Facts) ([]settlement.Document, error) { return render(f)(inv) },
			RenderNote: func(n domain.Note, f *facts.Facts) ([]settlement.Document, error) { return renderNote(f)(n) },
			Root: func(size domain.Position) (domain.Digest, error) {
				root, err := tlog.TreeHash(int64(size), l.log)
				return domain.Digest(root), err
			},
			Progress: func(done, total domain.Position) {
				bar.show(int64(done), int64(total), fmt.Sprintf("position %s of %s", thousands(int64(done)), thousands(int64(total))))
			},
		})
		bar.done()
		if err = errors.Join(err, area.Close()); err != nil {
			return err
		}
		if p.common.json {
			err = p.printJSON(report)
		} else {
			err = report.Print(p.stdout)
		}
		if err == nil && len(report.Differences) > 0 {
			return errFinding
		}
		return err
	})
}
