// Package gpu reads GPUs through NVML, the management library of NVIDIA's
// driver.
//
// Two quantities come of a poll. Energy is the board's own counter, in
// millijoules since the driver was last reloaded, taken as a register. GPU
// time is whether a compute process was there at the moment of the poll, for
// the whole interval that ends there: evidence that a GPU was at work, to be
// held against what the scheduler says was allocated, and nothing to bill by.
// On a GPU that is divided by MIG both are those of the whole board.
//
// What the library does not answer is unknown and never zero: a GPU that has
// no energy counter, or is lost, is reported silent for each quantity that it
// did not tell.
//
// The library says neither when the driver was reloaded nor how often, so
// a counter that starts again from zero is recognised by its movements alone
// (package counter). Without persistence mode the driver may unload the GPU,
// and start its counter again, whenever its last user goes: the library stays
// open between polls, and a GPU host should have persistence mode on.
package gpu

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"wattbook/domain"
	"wattbook/ingest"
)

// Config describes the GPUs of one host.
type Config struct {
	Name  domain.SourceID
	Every domain.Duration // a multiple of the site's step
	// Node is the host's name, as the scheduler and the devices' registration
	// have it.
	Node string
	GPUs []GPU
	// Library is the host's, initialised: see [OpenLibrary]. Tests and the
	// sample site give a mock.
	Library nvml.Interface
	Now     func() domain.Instant
	Logger  *slog.Logger
}

// GPU says which GPU a device is.
type GPU struct {
	Device domain.DeviceID
	// UUID is the GPU's: "GPU-8f6c…". It is also the serial number by which
	// an exchange of the hardware is noticed, where the device is registered
	// with one.
	UUID string
	// Index is the GPU's number on its host, from 0, and counts only if UUID
	// is empty. The order may change when GPUs are exchanged or the host is
	// started anew; a UUID never does.
	Index int
}

// indexLimit is far above the number of GPUs that any host has.
const indexLimit = 1024

// asked is how the GPU is asked for, as the evidence names it.
func (g GPU) asked() string {
	if g.UUID != "" {
		return g.UUID
	}
	return fmt.Sprintf("index %d", g.Index)
}

func (c Config) validate() error {
	if err := domain.CheckID("source", c.Name); err != nil {
		return err
	}
	switch {
	case c.Every < domain.Second || c.Every%domain.Second != 0:
		return fmt.Errorf("polled every %s; want whole seconds", c.Every)
	case c.Node == "":
		return errors.New("the node has no name")
	case len(c.GPUs) == 0:
		return errors.New("no GPU is configured")
	case c.Library == nil || c.Now == nil || c.Logger == nil:
		return errors.New("library, clock and logger are required")
	}
	said := map[string]bool{}
	for _, g := range c.GPUs {
		if err := domain.CheckID("device", g.Device); err != nil {
			return err
		}
		switch {
		case strings.HasPrefix(g.UUID, "MIG-"):
			return fmt.Errorf("device %s: %s is a MIG instance, which has no energy counter; name its GPU", g.Device, g.UUID)
		case g.UUID != "" && !strings.HasPrefix(g.UUID, "GPU-"):
			return fmt.Errorf("device %s: %q is not a GPU's UUID; want GPU-… as nvidia-smi -L prints it", g.Device, g.UUID)
		case g.UUID == "" && (g.Index < 0 || g.Index >= indexLimit):
			return fmt.Errorf("device %s: index %d is outside 0 to %d", g.Device, g.Index, indexLimit-1)
		case said[string(g.Device)+" device"]:
			return fmt.Errorf("device %s is configured twice", g.Device)
		case said[g.asked()]:
			return fmt.Errorf("device %s: GPU %s has another device already", g.Device, g.asked())
		}
		said[string(g.Device)+" device"], said[g.asked()] = true, true
	}
	return nil
}

// Source polls the GPUs of one host. It implements [ingest.Source].
type Source struct {
	config Config
	system slot
	slots  []slot
	counts int // GPUs on the host, as last logged
}

var _ ingest.Aligned = (*Source)(nil)

// New returns the source. It calls nothing of the library yet.
func New(c Config) (*Source, error) {
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("gpu source %s on %s: %w", c.Name, c.Node, err)
	}
	s := &Source{config: c, system: newSlot(), slots: make([]slot, len(c.GPUs))}
	for i := range s.slots {
		s.slots[i] = newSlot()
	}
	return s, nil
}

// Name implements [ingest.Source].
func (s *Source) Name() domain.SourceID { return s.config.Name }

// Every implements [ingest.Source].
func (s *Source) Every() domain.Duration { return s.config.Every }

// Aligned implements [ingest.Aligned]: what is measured between two polls is
// of the time that ends at the boundary.
func (s *Source) Aligned() {}

// Poll implements [ingest.Source]. It returns when all GPUs have answered or
// ctx is done: a call that hangs in the driver cannot be stopped, and costs
// the readings of its own GPU only.
func (s *Source) Poll(ctx context.Context, at domain.Instant) (ingest.Delivery, error) {
	p := poll{Node: s.config.Node, At: at, Every: s.config.Every, GPUs: make([]answers, len(s.config.GPUs))}
	for i, g := range s.config.GPUs {
		p.GPUs[i] = answers{Device: g.Device, Asked: g.asked()}
	}
	system, ok := within(ctx, s.system, s.askSystem)
	p.System = system
	switch {
	case !ok:
		p.System.Late = true
	case system.Init == nil || system.Init.Return == nvml.SUCCESS:
		s.compare(system)
		var wg sync.WaitGroup
		for i, g := range s.config.GPUs {
			wg.Go(func() {
				if a, ok := within(ctx, s.slots[i], func() answers { return s.askGPU(g) }); ok {
					p.GPUs[i] = a
				} else {
					p.GPUs[i].Late = true
				}
			})
		}
		wg.Wait()
	}
	raw, err := p.encode()
	if err != nil {
		return ingest.Delivery{}, err
	}
	d, err := Decode(raw)
	d.Source, d.Observed = s.config.Name, s.config.Now()
	return d, err
}

// compare logs, once for each change, that the host has another number of
// GPUs than are configured: one that nobody polls draws energy unseen.
func (s *Source) compare(system system) {
	if n, unknown := system.Count.value(); unknown == "" && n != s.counts {
		s.counts = n
		if n != len(s.config.GPUs) {
			s.config.Logger.Warn("the host has another number of GPUs than are configured",
				"source", s.config.Name, "node", s.config.Node, "host", n, "configured", len(s.config.GPUs))
		}
	}
}

// askSystem asks what is the same for all GPUs, and opens the library anew if
// it was closed under us.
func (s *Source) askSystem() system {
	lib := s.config.Library
	var y system
	y.Driver = told(lib.SystemGetDriverVersion())
	if y.Driver.Return == nvml.ERROR_UNINITIALIZED {
		y.Init = &outcome{lib.Init()}
		y.Driver = told(lib.SystemGetDriverVersion())
	}
	y.Count = told(lib.DeviceGetCount())
	return y
}

// askGPU asks one GPU everything. The handle is looked up each time: one that
// was held over a reset of the GPU would be stale.
func (s *Source) askGPU(g GPU) answers {
	lib := s.config.Library
	a := answers{Device: g.Device, Asked: g.asked()}
	var d nvml.Device
	var ret nvml.Return
	if g.UUID != "" {
		d, ret = lib.DeviceGetHandleByUUID(g.UUID)
	} else {
		d, ret = lib.DeviceGetHandleByIndex(g.Index)
	}
	a.Handle = &outcome{ret}
	if ret != nvml.SUCCESS {
		return a
	}
	a.UUID = told(d.GetUUID())
	a.Name = told(d.GetName())
	a.Energy = told(d.GetTotalEnergyConsumption())
	a.Power = told(d.GetPowerUsage())
	processes, ret := d.GetComputeRunningProcesses()
	a.Processes = told(pids(processes), ret)
	return a
}

// slot lets one call at a time into the driver. A call that hangs keeps its
// slot, so that hanging calls do not pile up poll after poll.
type slot chan struct{}

func newSlot() slot { return make(slot, 1) }

// within runs f and returns what it does, or false if ctx is done before, or
// if an earlier f is still at it.
func within[T any](ctx context.Context, s slot, f func() T) (T, bool) {
	var nothing T
	select {
	case s <- struct{}{}:
	default:
		return nothing, false
	}
	done := make(chan T, 1)
	go func() {
		v := f()
		<-s // before the answer is seen: the next poll finds the slot free
		done <- v
	}()
	select {
	case v := <-done:
		return v, true
	case <-ctx.Done():
		return nothing, false
	}
}
