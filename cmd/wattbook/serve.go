package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"wattbook/domain"
	"wattbook/fixtures/cedarbend"
	"wattbook/fixtures/fake"
	"wattbook/ingest"
	"wattbook/ingest/gpu"
)

func serveVerb() verb {
	return verb{
		name: "serve", args: "--config FILE [--data DIR] [--add-site]",
		summary: "ingest a configured site until stopped",
		help: `
Polls the sources of the site that the configuration describes, at every
boundary of its metering step, records what they say, decides what runs next,
and publishes the finance warehouse, until it is interrupted. Whatever was
recorded is safe from then on: kill it at any moment and start it again. The
first round asks every source, so that it shows what cannot be reached.

The folder of the book is named by --data, or by the key data of the
configuration; names of files in a configuration count from where it is. What is
wrong with a configuration is said before anything is recorded, as "wattbook
check" says it; so is what contradicts the book. With --json, every message is a
line of JSON on standard error.

Example: wattbook serve --config site.yaml --data /var/lib/wattbook`,
		run: serve,
	}
}

func serve(ctx context.Context, p *program, args []string) error {
	err := serveSite(ctx, p, args)
	if err == nil || !p.common.json || errors.Is(err, flag.ErrHelp) {
		return err
	}
	slog.New(slog.NewJSONHandler(p.stderr, nil)).Error("ended", "err", err.Error())
	var wrong *configError
	var usage *usageError
	if errors.As(err, &wrong) || errors.As(err, &usage) {
		return errWrong
	}
	return errFinding
}

func serveSite(ctx context.Context, p *program, args []string) error {
	adding := p.flags.Bool("add-site", false, "keep the site in a book that holds another")
	if _, err := p.parse(args, 0, 0); err != nil {
		return err
	}
	if p.common.config == "" {
		return usagef("--config is missing: name the file that describes the site")
	}
	in := inspectSite(p.path(p.common.config), p.common.config)
	if err := in.err(); err != nil {
		return err
	}
	s, err := p.settings()
	if err != nil {
		return err
	}
	if !s.Chosen {
		return usagef("--data is missing: name the folder of the book, or write data: DIR in %s", p.common.config)
	}
	voice := p.voice(s)
	now := func() domain.Instant { return domain.At(time.Now()) }
	sources, err := builder{config: in.config, now: now, logger: voice.Logger, client: httpClient(), getenv: p.getenv, gpus: systemGPUs(now)}.sources(in)
	if err != nil {
		return err
	}
	e, err := openEngine(ctx, s, now, voice.Logger)
	if err != nil {
		return err
	}
	return stopWithin(ctx, stopLimit, func() error {
		err := in.against(e.facts, s.Data, *adding)
		if err == nil {
			err = in.err()
		}
		if err == nil {
			e.collector = &ingest.Collector{Site: in.config.Site.ID, Sources: sources, Timeout: s.Timeout, Eager: true, Now: now, Logger: voice.Logger}
			err = e.start(ctx, in.config, voice, s)
		}
		return errors.Join(err, e.close())
	})
}

// stopLimit is how long a service may take to stop.
const stopLimit = 10 * time.Second

// stopWithin does something that is to end when the context does, and gives it
// up if it does not.
func stopWithin(ctx context.Context, limit time.Duration, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case err := <-done:
		return err
	case <-t.C:
		return fmt.Errorf("interrupted, and did not end within %s; what was announced is on disk, and the next start goes on from there", limit)
	}
}

// voice is how a service speaks: text for people, or lines of JSON.
type voice struct {
	*slog.Logger // of trouble, at the level that was asked for

	out  io.Writer
	json *slog.Logger // nil: text
}

func (p *program) voice(s settings) voice {
	if !p.common.json {
		return voice{Logger: p.logger(s), out: p.stderr}
	}
	handler := func(level slog.Level) *slog.Logger {
		return slog.New(slog.NewJSONHandler(p.stderr, &slog.HandlerOptions{Level: level}))
	}
	return voice{Logger: handler(s.LogLevel), out: p.stderr, json: handler(slog.LevelInfo)}
}

// say announces something, whatever the level: in words, or as what happened
// with its values.
func (v voice) say(words, happened string, values ...any) {
	if v.json != nil {
		v.json.Info(happened, values...)
		return
	}
	fmt.Fprintln(v.out, words)
}

// start registers what the configuration describes, and serves it.
func (e *engine) start(ctx context.Context, c siteConfig, v voice, s settings) error {
	events, err := c.events()
	if err != nil {
		return err
	}
	if err := e.register(ctx, c.Site.ID, events); err != nil {
		return stopped(ctx, err)
	}
	for _, source := range e.collector.Sources {
		if follows, ok := source.(interface {
			Remember([]domain.PayoutReceived)
		}); ok {
			follows.Remember(e.facts.AllPayouts())
		}
	}
	return e.serve(ctx, v, s)
}

// serve polls boundary after boundary until the context ends.
func (e *engine) serve(ctx context.Context, v voice, s settings) error {
	finance, err := startFinance(e.folder, e.log, e.now, e.logger)
	if err != nil {
		return err
	}
	host := startHost(ctx, e, finance, e.logger)
	web, err := startSQL(e.folder, s, e.logger)
	if err == nil {
		err = e.poll(ctx, v, s, finance)
	}
	web.close()
	host.close()
	if err != nil {
		return errors.Join(err, finance.abandon())
	}
	e.trySign()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastPublication)
	defer cancel()
	err = finance.end(last)
	if err != nil && last.Err() != nil {
		e.logger.Warn("the warehouse is as it was last published; the next start brings it up to date", "err", err)
		return nil
	}
	return err
}

// lastPublication bounds what is published when a service stops.
const lastPublication = 5 * time.Second

// stopped is nil for an error that says only that the context has ended.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && (err == nil || errors.Is(err, ctx.Err())) {
		return nil
	}
	return err
}

// poll polls until the context ends; only a failure is an error.
func (e *engine) poll(ctx context.Context, v voice, s settings, finance *finance) error {
	step := e.site.Step
	v.say(fmt.Sprintf("serving %s every %s into %s; stop with Ctrl-C", e.site.Site, step, e.folder),
		"serving", "site", e.site.Site, "step", step.String(), "data", string(e.folder))
	var published, signed time.Time
	last := e.door.Polled(e.site.Site)
	for {
		// The last boundary that has passed, or the next one. What was missed
		// while nothing ran is in the registers.
		at := max(e.now().Floor(step), last.Add(step))
		if err := sleep(ctx, at.Add(domain.DurationOf(s.Settle)).Sub(e.now()).Std()); err != nil {
			return nil //nolint:nilerr // interrupted, as it is meant to end
		}
		err := e.alone(func() error {
			began := e.recorded
			if _, err := e.tick(ctx, at); err != nil {
				return err
			}
			readings, facts := e.recorded.Readings-began.Readings, e.recorded.Facts-began.Facts
			v.say(fmt.Sprintf("%s: %d readings, %d facts, position %d", at, readings, facts, e.facts.Next),
				"recorded", "site", e.site.Site, "at", at, "readings", readings, "facts", facts, "position", e.facts.Next)
			return nil
		})
		if err := stopped(ctx, err); err != nil || ctx.Err() != nil {
			return err
		}
		last = at
		if time.Since(published) >= s.PublishEvery {
			finance.ask()
			published = time.Now()
		}
		if time.Since(signed) >= s.SignEvery {
			e.trySign()
			signed = time.Now()
		}
	}
}

// trySign signs a checkpoint. Recording goes on if that fails: what is not
// signed now is under the next checkpoint.
func (e *engine) trySign() {
	if err := e.sign(); err != nil {
		e.logger.Error("no checkpoint was signed", "err", err)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// systemGPUs returns the management library of this machine, or a simulated
// machine of eight H100 where the configuration names the mock.
func systemGPUs(now func() domain.Instant) func(library, host string) (nvml.Interface, error) {
	var system nvml.Interface
	return func(library, host string) (nvml.Interface, error) {
		if err := knownLibrary(library); err != nil {
			return nil, err
		}
		if library == "mock" {
			return fake.NVML(host, func(index int) fake.GPUState {
				// Six hundred watts since 2026 began.
				seconds := now().Sub(domain.Unix(1_767_225_600)) / domain.Second
				return fake.GPUState{Energy: uint64(seconds) * 600_000, Power: 600_000, Processes: 1}
			}), nil
		}
		var err error
		if system == nil {
			system, err = gpu.OpenLibrary()
		}
		return system, err
	}
}

// knownLibrary refuses a management library that there is not.
func knownLibrary(name string) error {
	if name != "" && name != "system" && name != "mock" {
		return fmt.Errorf("library %q is not known; use system, or mock for a simulated machine", name)
	}
	return nil
}

// demoDevices runs the sample site's devices in real time.
func demoDevices(ctx context.Context, p *program, s settings, c cedarbend.Config) error {
	now := time.Now().UTC()
	c.Period = domain.Period{Year: now.Year(), Month: now.Month()}
	world, err := cedarbend.New(c)
	if err != nil {
		return err
	}
	for world.Now().Add(cedarbend.Step) <= domain.At(now) {
		world.Advance()
	}
	if err := world.Start(); err != nil {
		return err
	}
	defer world.Close()
	if err := os.MkdirAll(s.Data, 0o755); err != nil {
		return err
	}
	sacct, path := filepath.Join(s.Data, "sacct.txt"), folder(s.Data).site()
	if err := writeFile(path, []byte(world.Config(filepath.Base(sacct), "mock"))); err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "Cedar Bend runs. In another terminal: wattbook serve --config %s --data %s\n", path, s.Data)
	for {
		if err := writeFile(sacct, []byte(world.Sacct())); err != nil {
			return err
		}
		slog.New(slog.NewTextHandler(p.stderr, nil)).Info("boundary", "at", world.Now())
		if err := sleep(ctx, world.Now().Add(cedarbend.Step).Sub(domain.At(time.Now())).Std()); err != nil {
			return nil //nolint:nilerr // interrupted, as it is meant to end
		}
		world.Advance()
	}
}
