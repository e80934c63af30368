// Package scheduler reads from a scheduler's accounting which customer held
// how many GPUs of which node, and when.
//
// These allocations are what AI customers are billed for; what the GPUs did
// meanwhile (package gpu) is evidence beside it.
//
// # Slurm
//
// The text of sacct is read as [Command] runs it. Each poll delivers all rows
// of its window again, and the door books what is new. That works since
// nothing of a fact changes while a job goes on:
//
//   - An allocation is JobIDRaw, Submit and a node: "4103947/2026-10-14T12:35:00Z/n07".
//     Slurm gives a job that is requeued, or whose nodes change, another
//     record of the same number with a new Submit (the resize time, in the
//     latter case), so that each run is an allocation of its own. Without
//     --duplicates sacct shows the last run only, and the others are lost.
//   - The start is delivered while the job runs, and again with its end. The
//     end is delivered when the job is over.
//   - --truncate must not be used: it moves starts into the window. Where it
//     shows, on a running job, the row is refused.
//
// Another start, node count or customer for an allocation that is on record is
// a conflict, which the door records and does not count. It can happen where an
// operator edits the accounting, where the configuration moves an account to
// another customer within the window, and where a job is first seen while its
// nodes still boot, which Slurm later does not count as run time.
//
// The window of sacct must reach back further than polling can ever be
// interrupted. A job that ended in a gap which no window covers stays open,
// and has to be closed by a poll with a longer window.
//
// Accounting knows the GPUs of a job, not those of each of its nodes: they are
// divided evenly, and a job that does not divide is refused. The sum is the
// job's in any case. GPUs must be tracked (AccountingStorageTRES=gres/gpu in
// slurm.conf), or all jobs look like jobs without GPUs. Parts of GPUs (MIG
// profiles, shards, MPS) are refused, since a count of them is not a count of
// GPUs. Time for which a job is suspended counts: it keeps its GPUs.
package scheduler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"wattbook/domain"
	"wattbook/ingest"
)

// textLimit bounds the text: some 400,000 jobs.
const textLimit = 32 << 20

// Config describes the accounting of one cluster.
type Config struct {
	Name  domain.SourceID
	Every domain.Duration // a multiple of the site's step
	Terms Terms
	// Either Command prints the text or File holds it.
	//
	// Command is a program and its arguments: [Command] returns the usual one.
	// It is run with SLURM_TIME_FORMAT=%s in its environment; a command that
	// runs sacct elsewhere must pass that on ("ssh", "head", "env",
	// "SLURM_TIME_FORMAT=%s", "sacct", …), or Terms.Zone be set.
	Command []string
	// File is a file that something else writes, best by renaming a whole one.
	File string
	// Stale is the age from which the file is not believed to be written any
	// more; 0 believes it for ever.
	Stale domain.Duration
	// Timeout ends a command that hangs; 0 leaves that to the poll's context.
	Timeout domain.Duration
	Now     func() domain.Instant
	Logger  *slog.Logger
}

// Command returns the command that prints the jobs of the last window, with
// all columns that are needed.
func Command(window domain.Duration) []string {
	return []string{
		"sacct", "--allusers", "--duplicates", "--allocations", "--parsable2", "--noconvert",
		fmt.Sprintf("--starttime=now-%dseconds", window/domain.Second), "--format=" + strings.Join(Columns(), ","),
	}
}

func (c Config) validate() error {
	if err := domain.CheckID("source", c.Name); err != nil {
		return err
	}
	if err := domain.CheckID("site", c.Terms.Site); err != nil {
		return err
	}
	switch {
	case c.Every <= 0:
		return fmt.Errorf("polled every %s", c.Every)
	case (len(c.Command) == 0) == (c.File == ""):
		return errors.New("configure either a command or a file")
	case c.Stale < 0 || c.Timeout < 0:
		return errors.New("an age or a timeout is negative")
	case c.Now == nil || c.Logger == nil:
		return errors.New("clock and logger are required")
	}
	for account, customer := range c.Terms.Customers {
		if err := domain.CheckID("customer", customer); err != nil {
			return fmt.Errorf("account %s: %w", account, err)
		}
		if slices.Contains(c.Terms.Unbilled, account) {
			return fmt.Errorf("account %s is customer %s's and unbilled", account, customer)
		}
	}
	return nil
}

// Slurm polls the accounting of a Slurm cluster. It implements
// [ingest.Source].
type Slurm struct {
	config Config
	warned bool // that no job has GPUs
}

var _ ingest.Source = (*Slurm)(nil)

// New returns the source. It runs nothing yet.
func New(c Config) (*Slurm, error) {
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("scheduler source %s: %w", c.Name, err)
	}
	return &Slurm{config: c}, nil
}

// Name implements [ingest.Source].
func (s *Slurm) Name() domain.SourceID { return s.config.Name }

// Every implements [ingest.Source].
func (s *Slurm) Every() domain.Duration { return s.config.Every }

// Poll implements [ingest.Source]. The boundary plays no part: what a row says
// does not depend on when it is asked for.
func (s *Slurm) Poll(ctx context.Context, _ domain.Instant) (ingest.Delivery, error) {
	var raw []byte
	var err error
	if s.config.File != "" {
		raw, err = s.read()
	} else {
		raw, err = s.run(ctx)
	}
	if err != nil {
		return ingest.Delivery{}, err
	}
	observed := s.config.Now()
	decoded := s.config.Terms.Decode(raw)
	s.report(decoded.Counts)
	return ingest.Delivery{
		Source: s.config.Name, Observed: observed, Decoder: DecoderName, Raw: raw,
		Facts: decoded.Facts, Rejected: decoded.Rejected,
	}, nil
}

// report logs the counts, and warns once when jobs run and none has GPUs:
// what is not tracked is not billed.
func (s *Slurm) report(c Counts) {
	log := s.config.Logger.With("source", s.config.Name)
	log.Debug("accounting is read", "rows", c.Rows, "booked", c.Booked, "refused", c.Refused, "steps", c.Steps,
		"pending", c.Pending, "never_ran", c.NeverRan, "without_gpus", c.WithoutGPUs, "unbilled", c.Unbilled)
	bare := c.WithoutGPUs > 0 && c.Booked+c.Refused+c.Unbilled == 0
	if bare && !s.warned {
		log.Warn("no job has GPUs; is gres/gpu in AccountingStorageTRES of slurm.conf?", "jobs", c.WithoutGPUs)
	}
	s.warned = bare
}

// read returns what the file holds.
func (s *Slurm) read() ([]byte, error) {
	f, err := os.Open(s.config.File)
	if err != nil {
		return nil, fmt.Errorf("read accounting: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read accounting: %w", err)
	}
	if written := domain.At(info.ModTime()); s.config.Stale > 0 && written < s.config.Now().Add(-s.config.Stale) {
		return nil, fmt.Errorf("read accounting: %s was last written at %s; see to what writes it", s.config.File, written)
	}
	raw, err := io.ReadAll(io.LimitReader(f, textLimit+1))
	if err == nil && len(raw) > textLimit {
		err = fmt.Errorf("%s has more than %d bytes; shorten the window of sacct", s.config.File, textLimit)
	}
	if err != nil {
		return nil, fmt.Errorf("read accounting: %w", err)
	}
	return raw, nil
}

// run returns what the command prints.
func (s *Slurm) run(ctx context.Context) ([]byte, error) {
	if s.config.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.config.Timeout.Std())
		defer cancel()
	}
	program := filepath.Base(s.config.Command[0])
	cmd := exec.CommandContext(ctx, s.config.Command[0], s.config.Command[1:]...)
	cmd.Env = append(os.Environ(), "SLURM_TIME_FORMAT=%s")
	cmd.WaitDelay = 2 * time.Second // a child of the command may hold its output open
	out, complaint := capture{limit: textLimit}, capture{limit: 1000}
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("run %s: it did not end in time: %w", program, ctx.Err())
	case err != nil:
		return nil, fmt.Errorf("run %s: %w: %s", program, err, bytes.TrimSpace(complaint.kept))
	case out.more:
		return nil, fmt.Errorf("run %s: it prints more than %d bytes; shorten its window", program, textLimit)
	}
	return out.kept, nil
}

// capture keeps the first limit bytes that are written to it, and notes that
// there were more.
type capture struct {
	kept  []byte
	limit int
	more  bool
}

func (c *capture) Write(p []byte) (int, error) {
	n := min(len(p), c.limit-len(c.kept))
	c.kept = append(c.kept, p[:n]...)
	c.more = c.more || n < len(p)
	return len(p), nil
}
