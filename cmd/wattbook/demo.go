package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"wattbook/domain"
	"wattbook/fixtures/cedarbend"
	"wattbook/ingest"
	"wattbook/ingest/chain"
	"wattbook/ingest/market"
	"wattbook/ingest/meter"
	"wattbook/settlement"
	"wattbook/settlement/document"
	"wattbook/settlement/pools"
)

func demoVerb() verb {
	return verb{
		name: "demo", args: "[--data DIR] [--seed N] [--period YYYY-MM] [--prices FILE] [--difficulty FILE] [--devices]",
		summary: "play a month at the sample site, from its meters to its invoices",
		help: `
Plays a month at Cedar Bend, a sample site of about 12 MW. Its meters, miners,
GPUs, markets, pool and scheduler are servers on loopback that speak the real
protocols; everything that is read goes the way that a real site's readings go.
At the end the month is closed, its invoices are issued, the pool is reconciled,
and the finance warehouse is published. The same seed gives the same month.

With --devices the site's devices run in real time until interrupted, and a
configuration for "wattbook serve" is written, to try it against them.

A month takes some 250 MB of disk, and up to 500 MB while it is played. If it is
interrupted, the folder is marked as unfinished; remove it to play anew.

Example: wattbook demo --data /tmp/october --seed 7`,
		run: demo,
	}
}

// demoOptions are the flags of demo.
type demoOptions struct {
	seed       uint64
	period     string
	prices     string
	difficulty string
	devices    bool
}

func demo(ctx context.Context, p *program, args []string) error {
	var o demoOptions
	p.flags.Uint64Var(&o.seed, "seed", 1, "`number` that the month follows from")
	p.flags.StringVar(&o.period, "period", "2026-10", "`month` to play")
	p.flags.StringVar(&o.prices, "prices", "", "CSV `file` of real 15-minute prices to play with")
	p.flags.StringVar(&o.difficulty, "difficulty", "", "`file` of real difficulty targets to play with (checkpoints, JSON)")
	p.flags.BoolVar(&o.devices, "devices", false, "run the site's devices in real time instead")
	if _, err := p.parse(args, 0, 0); err != nil {
		return err
	}
	s, err := p.settings()
	if err != nil {
		return err
	}
	if s.Cluster.URL != "" {
		return configf("the demo is played into a folder: unset the setting cluster; wattbook log copy brings it to a cluster")
	}
	period, err := domain.ParsePeriod(o.period)
	if err != nil {
		return usagef("--period: %v", err)
	}
	config := cedarbend.Config{Seed: o.seed, Period: period}
	if err := o.replace(p, &config); err != nil {
		return err
	}
	if o.devices {
		return demoDevices(ctx, p, s, config)
	}
	// The mishaps of the month are warnings; the closing screen tells of them.
	level := s.LogLevel
	if p.common.level == "" && p.getenv("WATTBOOK_LOG_LEVEL") == "" {
		level = slog.LevelError + 4
	}
	logger := slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: level}))
	return stopWithin(ctx, stopLimit, func() error { return playMonth(ctx, p, s, config, logger) })
}

// playMonth plays the month and settles it.
func playMonth(ctx context.Context, p *program, s settings, c cedarbend.Config, logger *slog.Logger) error {
	play, err := newPlay(ctx, p, s, c, logger)
	if err == nil {
		err = play.month(ctx)
		if err == nil {
			err = play.settle(ctx)
		}
		if err == nil {
			err = play.describe() // a meter was exchanged during the month
		}
		err = errors.Join(err, play.close())
	}
	switch f := folder(s.Data); {
	case err == nil:
		return os.Remove(f.unfinished())
	case ctx.Err() != nil && f.halfPlayed():
		return fmt.Errorf("interrupted: %s holds a part of the month; remove that folder to play it anew", s.Data)
	}
	return err
}

// replace puts real files in place of simulated prices and difficulty.
func (o demoOptions) replace(p *program, c *cedarbend.Config) error {
	if o.prices != "" {
		span, err := c.Span()
		if err != nil {
			return err
		}
		if c.Prices, err = pricesFrom(o.prices, span); err != nil {
			return err
		}
	}
	if o.difficulty != "" {
		f, err := os.Open(o.difficulty)
		if err != nil {
			return usagef("--difficulty: %v", err)
		}
		defer f.Close()
		epochs, err := chain.ReadCheckpoints(f, o.difficulty)
		if err != nil {
			return err
		}
		if len(epochs) < cedarbend.Epochs {
			return usagef("--difficulty: %s has %d epochs; the month needs %d", o.difficulty, len(epochs), cedarbend.Epochs)
		}
		last := epochs[len(epochs)-cedarbend.Epochs:]
		for _, e := range last {
			c.Difficulty = append(c.Difficulty, e.Bits)
		}
		fmt.Fprintf(p.stderr, "difficulty: the last %d epochs of %s, from height %d on\n", len(last), o.difficulty, last[0].Height)
	}
	return nil
}

// pricesFrom reads 15-minute prices that cover the span. A file whose times
// have no offset is read as UTC−6, the standard time of the sample site.
func pricesFrom(path string, span domain.Interval) (map[domain.Instant]domain.Decimal, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, usagef("--prices: %v", err)
	}
	times, price, err := priceColumns(raw, path)
	if err != nil {
		return nil, err
	}
	series, err := market.ReadPowerPrices(bytes.NewReader(raw), path, market.CSV{
		TimeColumn: times, PriceColumn: price, Node: cedarbend.Node, Currency: "USD", Step: 15 * domain.Minute,
		Location: time.FixedZone("UTC-6", -6*3600), AllowGaps: true,
	})
	if err != nil {
		return nil, err
	}
	out := map[domain.Instant]domain.Decimal{}
	var covered domain.Interval
	for i, e := range series {
		if i == 0 {
			covered.Start = e.Series.Start
		}
		covered.End = e.Series.Interval().End
		for k, v := range e.Series.Prices {
			out[e.Series.Start.Add(e.Series.Step*domain.Duration(k))] = v
		}
	}
	for t := span.Start; t < span.End; t = t.Add(15 * domain.Minute) {
		if _, ok := out[t]; !ok {
			return nil, fmt.Errorf("--prices: %s has no price for %s; it covers %s: choose a month inside it with --period", path, t, covered)
		}
	}
	return out, nil
}

// play is a month at the sample site while it is played.
type play struct {
	p        *program
	settings settings
	world    *cedarbend.World
	engine   *engine
	finance  *finance
	sacct    string
	started  time.Time

	exchanged, recovered bool // what people did in the month
}

func newPlay(ctx context.Context, p *program, s settings, c cedarbend.Config, logger *slog.Logger) (*play, error) {
	if err := freshFolder(s.Data); err != nil {
		return nil, err
	}
	world, err := cedarbend.New(c)
	if err != nil {
		return nil, err
	}
	if err := world.Start(); err != nil {
		return nil, err
	}
	v := &play{p: p, settings: s, world: world, sacct: filepath.Join(s.Data, "sacct.txt"), started: time.Now()}
	if v.engine, err = openEngine(ctx, s, world.Now, logger); err != nil {
		return nil, errors.Join(err, world.Close())
	}
	if err := v.prepare(ctx, logger); err != nil {
		return nil, errors.Join(err, v.close())
	}
	return v, nil
}

// describe writes the site's configuration as the site is now.
func (v *play) describe() error {
	return os.WriteFile(v.engine.folder.site(), []byte(v.world.Config(filepath.Base(v.sacct), "mock")), 0o644)
}

// prepare writes the site's configuration, reads it back as a service would,
// and registers what it describes.
func (v *play) prepare(ctx context.Context, logger *slog.Logger) error {
	if err := v.account(); err != nil {
		return err
	}
	if err := v.describe(); err != nil {
		return err
	}
	path := v.engine.folder.site()
	in := inspectSite(path, path)
	if err := in.err(); err != nil {
		return err
	}
	config := in.config
	// What is recorded must not depend on how fast this machine is.
	for i := range config.Sources {
		config.Sources[i].Timeout = patience
	}
	client := httpClient()
	client.Timeout = patience.Std()
	sources, err := builder{
		config: config, now: v.world.Now, logger: logger, client: client, getenv: v.p.getenv,
		gpus: func(_, host string) (nvml.Interface, error) { return v.world.NVML(host), nil },
	}.sources(in)
	if err != nil {
		return err
	}
	v.engine.collector = &ingest.Collector{Site: config.Site.ID, Sources: sources, Timeout: 2 * patience.Std(), Now: v.world.Now, Logger: logger}
	events, err := config.events()
	if err != nil {
		return err
	}
	if v.finance, err = startFinance(v.engine.folder, v.engine.log, v.world.Now, logger); err != nil {
		return err
	}
	return v.engine.register(ctx, config.Site.ID, events)
}

// patience is how long a played month waits for the answer of a device: its
// own silences are refusals, which take no time.
const patience = 5 * domain.Minute

// httpClient returns a client for feeds on a network that may be slow.
func httpClient() *http.Client {
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute}}
}

// freshFolder makes the data folder, and marks it as unfinished. A folder that
// holds a book already is not touched.
func freshFolder(dir string) error {
	f := folder(dir)
	if f.halfPlayed() {
		return fmt.Errorf("%s holds a month that was not played to its end: remove the folder, or name another with --data", dir)
	}
	if _, err := os.Stat(f.log()); err == nil {
		return fmt.Errorf("%s holds a book already; it is not overwritten: remove the folder, or name another with --data", dir)
	}
	if err := enoughDisk(dir, freeBytes); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(f.unfinished(), []byte("wattbook demo did not play this month to its end. Remove the folder to play it anew.\n"), 0o644)
}

// account writes what the scheduler's accounting prints now.
func (v *play) account() error {
	temporary := v.sacct + ".new"
	if err := os.WriteFile(temporary, []byte(v.world.Sacct()), 0o644); err != nil {
		return err
	}
	return os.Rename(temporary, v.sacct)
}

// month plays the span, boundary after boundary.
func (v *play) month(ctx context.Context) error {
	span := v.world.Span()
	steps := span.Steps(cedarbend.Step)
	bar := newProgress(v.p.stderr, "playing "+v.world.Period().String())
	defer bar.done()
	for n := int64(0); ; n++ {
		at := v.world.Now()
		if at.Floor(domain.Hour) == at {
			if err := v.account(); err != nil {
				return err
			}
		}
		if err := v.people(ctx); err != nil {
			return err
		}
		decided, err := v.engine.tick(ctx, at)
		if err != nil {
			return err
		}
		if at.Floor(publishEvery) == at {
			v.finance.ask()
			if err := v.engine.sign(); err != nil {
				return err
			}
		}
		bar.show(n, steps, fmt.Sprintf("%s, %s readings", at.Time().Format("2 Jan 15:04"), thousands(int64(v.engine.recorded.Readings))))
		if at >= span.End {
			return errors.Join(v.engine.decided(), v.engine.refresh(ctx))
		}
		v.world.Obey(decided)
		v.world.Advance()
	}
}

// publishEvery is how often the warehouse is published while the month is
// played, in the time of the site.
const publishEvery = 5 * domain.Day

// people do what people at a site do: record the exchange of a meter, and
// import the log of one that was silent.
func (v *play) people(ctx context.Context) error {
	if facts := v.world.Exchanged(); len(facts) > 0 && !v.exchanged {
		v.exchanged = true
		if err := v.engine.publish(ctx, cedarbend.Site, ingest.Delivery{Source: "operator", Observed: v.world.Now(), Facts: facts}); err != nil {
			return err
		}
	}
	if file := v.world.Recovered(); file != "" && !v.recovered {
		v.recovered = true
		values, err := meter.ReadReadings(bytes.NewReader([]byte(file)), "c2-log.csv")
		if err != nil {
			return err
		}
		return v.engine.publish(ctx, cedarbend.Site, readingsFile(values, []byte(file), domain.ProvenanceSubMeter, true, v.world.Now()))
	}
	return nil
}

// settle closes the month and draws what follows from it.
func (v *play) settle(ctx context.Context) error {
	bar := newProgress(v.p.stderr, "settling")
	defer bar.done()
	e := v.engine
	settler := &settlement.Settler{Log: e.log, Facts: e.facts, Now: v.world.Now, Render: render(e.facts), Layout: document.Layout, Signed: sync.OnceValues(e.signed)}
	period := v.world.Period()
	bar.show(0, 4, "closing the month")
	closed, err := settler.Close(ctx, cedarbend.Site, period)
	if err != nil {
		return err
	}
	if err := e.sign(closingLine(closed)); err != nil {
		return err
	}
	bar.show(1, 4, "issuing invoices")
	issued, err := settler.Issue(ctx, cedarbend.Site, period)
	if err != nil {
		return err
	}
	if err := writeDocuments(e.folder.invoices(), issued); err != nil {
		return err
	}
	bar.show(2, 4, "reconciling the pools")
	month := utcMonth(period)
	for _, a := range pools.Accounts(e.facts, cedarbend.Site) {
		if _, err := settler.Reconcile(ctx, a, month); err != nil {
			return err
		}
	}
	if err := e.sign(); err != nil {
		return err
	}
	bar.show(3, 4, "publishing the warehouse")
	err = v.finance.end(ctx)
	if v.finance = nil; err != nil {
		return err
	}
	bar.done()
	screen, err := monthScreen(e.facts, e.site, closed, month, issued)
	if err != nil {
		return err
	}
	screen.Seed, screen.Readings, screen.Events = v.world.Seed(), int64(e.recorded.Readings), int64(e.facts.Next)
	screen.Played = time.Since(v.started).Round(100 * time.Millisecond).String()
	screen.Folder = string(e.folder)
	if screen.TryNext = screen.tryNext(); v.p.common.json {
		return v.p.printJSON(screen)
	}
	return screen.print(v.p.stdout)
}

// utcMonth returns the UTC days of a calendar month: pools settle by UTC day.
func utcMonth(p domain.Period) domain.Interval { return p.In(time.UTC) }

func (v *play) close() error {
	var errs []error
	if v.finance != nil {
		errs = append(errs, v.finance.abandon())
	}
	if v.engine != nil {
		errs = append(errs, v.engine.close())
	}
	return errors.Join(append(errs, v.world.Close())...)
}
