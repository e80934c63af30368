package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/projections/facts"
	"wattbook/queries/warehouse"
)

func warehouseVerb() verb {
	return verb{
		name: "warehouse", args: "check | rebuild | publish",
		summary: "check the finance warehouse against the log, or make it anew",
		help: `
check makes the warehouse again from the log, beside the one that is published
and at the same position, and compares every table by digest. The exit code is 1
if one differs or a file is missing.
rebuild makes it anew in its place; clients that are at it go on with what they
opened. It compares the new one with the one before.
publish brings it to the end of the log: serve and every verb that records do so
by themselves.

Example: wattbook warehouse check --data demo-data`,
		run: warehouseRun,
	}
}

func warehouseRun(ctx context.Context, p *program, args []string) error {
	rest, err := p.parse(args, 1, 1)
	if err != nil {
		return err
	}
	switch rest[0] {
	case "check":
		return p.withLog(ctx, func(l *logFolder) error { return warehouseCheck(ctx, p, l) })
	case "rebuild":
		return p.withFinance(ctx, func(v *finance) error { return warehouseRebuild(ctx, p, v) })
	case "publish":
		return p.withFinance(ctx, func(v *finance) error {
			out, err := v.publish(ctx)
			if err != nil {
				return err
			}
			return p.sayPublished(out)
		})
	}
	return usagef("want check, rebuild or publish, got %q", rest[0])
}

func (p *program) sayPublished(out warehouse.Published) error {
	if p.common.json {
		return p.printJSON(map[string]any{"position": out.Position, "readings": out.ReadingRows, "folder": out.Folder})
	}
	_, err := fmt.Fprintf(p.stdout, "published: position %s, %s readings, in %s\n", thousands(int64(out.Position)), thousands(out.ReadingRows), out.Folder)
	return err
}

// warehouseConfig is how the warehouse of a folder is published.
func warehouseConfig(dir string, now func() domain.Instant, logger *slog.Logger) warehouse.Config {
	return warehouse.Config{Dir: dir, Now: now, Logger: logger, Random: rand.Reader}
}

// withFinance gives a verb the publisher of the folder: the service's, if it
// runs in one.
func (p *program) withFinance(ctx context.Context, do func(v *finance) error) error {
	if p.host != nil {
		return do(p.host.finance)
	}
	return p.withLog(ctx, func(l *logFolder) error {
		v, err := openFinance(l.folder, l.log, p.now, slog.New(slog.NewTextHandler(p.stderr, nil)))
		if err != nil {
			return err
		}
		return errors.Join(do(v), v.close())
	})
}

// publishBook brings the warehouse to what a verb has recorded. What is
// recorded stays recorded if that fails, and any later publication has it.
func (p *program) publishBook(ctx context.Context, f folder, log eventlog.Log, known *facts.Facts, logger *slog.Logger) {
	v, err := openFinance(f, log, p.now, logger)
	if err == nil {
		v.facts = known
		_, err = v.publish(ctx)
		err = errors.Join(err, v.close())
	}
	if err != nil {
		fmt.Fprintf(p.stderr, "wattbook %s: what was recorded is safe; the finance warehouse does not show it yet: %v; then run: wattbook warehouse publish\n", p.verb.name, err)
	}
}

// comparison is what check and rebuild report.
type comparison struct {
	warehouse.Contents
	Compared    string                 `json:"compared"`
	Differences []warehouse.Difference `json:"differences"`
}

func warehouseCheck(ctx context.Context, p *program, l *logFolder) error {
	dir := l.folder.warehouse()
	if err := warehouse.Files(ctx, dir); err != nil {
		return err
	}
	got, err := warehouse.ReadContents(ctx, dir, warehouse.Limits{})
	if err != nil {
		return err
	}
	head, err := l.log.Head(ctx)
	if err != nil {
		return err
	}
	if got.Position > head {
		return fmt.Errorf("warehouse %s is at position %d, and the log ends at %d: it was published from another log; make it anew with: wattbook warehouse rebuild", dir, got.Position, head)
	}
	want, err := warehouse.Derive(ctx, l.log, got.Position, warehouseConfig(os.TempDir(), p.now, slog.New(slog.DiscardHandler)))
	if err != nil {
		return err
	}
	return p.compared(comparison{got, fmt.Sprintf("with what follows from the %s events before that position", thousands(int64(got.Position))), warehouse.Compare(got, want)})
}

func warehouseRebuild(ctx context.Context, p *program, v *finance) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	// What is there is brought to the end of the log first, so that the two can
	// be compared; unless it was given up when it was opened.
	before, goesOn := warehouse.Contents{}, v.publisher.GoesOn()
	_, err := v.follow(ctx)
	if goesOn {
		if err == nil {
			before, err = warehouse.ReadContents(ctx, v.dir, warehouse.Limits{})
		}
		if err != nil {
			fmt.Fprintf(p.stderr, "wattbook warehouse: the one before cannot be compared: %v\n", err)
		}
		err = v.publisher.Anew(ctx)
	}
	if err != nil {
		return err
	}
	out, err := v.publisher.Publish(ctx, v.log, v.facts) // at the same position, whatever was recorded since
	if err != nil {
		return err
	}
	after, err := warehouse.ReadContents(ctx, v.dir, warehouse.Limits{})
	if err != nil {
		return err
	}
	if !p.common.json {
		if err := p.sayPublished(out); err != nil {
			return err
		}
	}
	c := comparison{Contents: after, Compared: "with nothing: there was none that could be read"}
	if before.Position == after.Position {
		c.Compared, c.Differences = "with the one before, made step by step", warehouse.Compare(before, after)
	}
	return p.compared(c)
}

// compared reports a comparison.
func (p *program) compared(c comparison) error {
	if c.Differences == nil {
		c.Differences = []warehouse.Difference{}
	}
	if p.common.json {
		if err := p.printJSON(c); err != nil {
			return err
		}
	} else {
		differs := map[string]string{}
		for _, d := range c.Differences {
			differs[d.Table] = d.Why
		}
		for _, t := range c.Tables {
			line := fmt.Sprintf("  %-22s %10s rows  %s", t.Name, thousands(t.Rows), t.Digest.Short())
			if why := differs[t.Name]; why != "" {
				line += "  ! " + why
			}
			fmt.Fprintln(p.stdout, line)
		}
		fmt.Fprintf(p.stdout, "  %-22s position %7s  %s\n", "all", thousands(int64(c.Position)), c.Digest.Short())
		verdict := "all tables are the same"
		if n := len(c.Differences); n > 0 {
			verdict = fmt.Sprintf("%d of %d tables differ", n, len(c.Tables))
		}
		fmt.Fprintf(p.stdout, "compared %s: %s\n", c.Compared, verdict)
	}
	if len(c.Differences) > 0 {
		return errFinding
	}
	return nil
}
