package main

import (
	"context"
	"errors"
	"fmt"
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
		name: "serve", args: "--config FILE [--data DIR]",
		summary: "ingest a configured site until stopped",
		help: `
Polls the sources of the site that the configuration describes, at every
boundary of its metering step, records what they say, decides what runs next,
and publishes the finance warehouse, until it is interrupted. Whatever was
recorded is safe from then on: kill it at any moment and start it again.

Example: wattbook serve --config site.yaml --data /var/lib/wattbook`,
		run: serve,
	}
}

func serve(ctx context.Context, p *program, args []string) error {
	if _, err := p.parse(args, 0, 0); err != nil {
		return err
	}
	if p.common.config == "" {
		return usagef("--config is missing: name the file that describes the site")
	}
	s, err := p.settings()
	if err != nil {
		return err
	}
	config, err := readSite(p.common.config)
	if err != nil {
		return err
	}
	logger := p.logger(s)
	now := func() domain.Instant { return domain.At(time.Now()) }
	sources, err := builder{config: config, now: now, logger: logger, client: httpClient(), getenv: p.getenv, gpus: systemGPUs(now)}.sources()
	if err != nil {
		return err
	}
	events, err := config.events()
	if err != nil {
		return err
	}
	e, err := openEngine(ctx, s, now, logger)
	if err != nil {
		return err
	}
	e.collector = &ingest.Collector{Site: config.Site.ID, Sources: sources, Timeout: s.Timeout, Now: now, Logger: logger}
	err = e.register(ctx, config.Site.ID, events)
	if err == nil {
		err = e.serve(ctx, p, s)
	}
	return errors.Join(err, e.close())
}

// serve polls boundary after boundary until the context ends.
func (e *engine) serve(ctx context.Context, p *program, s settings) error {
	finance, err := startFinance(e.folder, e.log, e.now, e.logger)
	if err != nil {
		return err
	}
	host := startHost(ctx, e, e.logger)
	err = e.poll(ctx, p, s, finance)
	host.close()
	if err != nil {
		return errors.Join(err, finance.abandon())
	}
	e.trySign()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	return finance.end(last)
}

// poll polls until the context ends; only a failure is an error.
func (e *engine) poll(ctx context.Context, p *program, s settings, finance *finance) error {
	step := e.site.Step
	fmt.Fprintf(p.stderr, "serving %s every %s into %s; stop with Ctrl-C\n", e.site.Site, step, e.folder)
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
			fmt.Fprintf(p.stderr, "%s: %d readings, %d facts, position %d\n", at, e.recorded.Readings-began.Readings, e.recorded.Facts-began.Facts, e.facts.Next)
			return nil
		})
		if ctx.Err() != nil {
			return nil //nolint:nilerr // likewise
		}
		if err != nil {
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
		switch library {
		case "mock":
			return fake.NVML(host, func(index int) fake.GPUState {
				// Six hundred watts since 2026 began.
				seconds := now().Sub(domain.Unix(1_767_225_600)) / domain.Second
				return fake.GPUState{Energy: uint64(seconds) * 600_000, Power: 600_000, Processes: 1}
			}), nil
		case "system", "":
			var err error
			if system == nil {
				system, err = gpu.OpenLibrary()
			}
			return system, err
		}
		return nil, fmt.Errorf("library %q is not known; use system, or mock for a simulated machine", library)
	}
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
	if err := writeFile(path, []byte(world.Config(sacct, "mock"))); err != nil {
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
