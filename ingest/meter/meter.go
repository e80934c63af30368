// Package meter reads energy registers of meters over Modbus TCP.
//
// A meter is either a SunSpec device, whose layout is found by walking its
// chain of models, or one that a [Map] describes: a file that says which
// register counts what. What a register's movement means is not decided here,
// see package counter.
//
// Every reply is kept as it came, see [Decode]: the samples of a poll are
// always those that decoding its evidence gives.
//
// The package also reads interval readings from CSV files, see [ReadReadings],
// for meters that are read by others.
package meter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"wattbook/domain"
	"wattbook/ingest"
)

// Config describes a group of meters that are polled together.
type Config struct {
	Name   domain.SourceID
	Every  domain.Duration // between polls, a multiple of the site's step
	Meters []Meter
	// Timeout bounds what is done for one meter in one poll, connecting
	// included. 0 means 2 seconds.
	Timeout time.Duration
	// Parallel is how many addresses are asked at the same time. 0 means 16.
	Parallel int
	Now      func() domain.Instant
	Logger   *slog.Logger
}

// Meter is one meter and how it is reached.
type Meter struct {
	Device  domain.DeviceID
	Address string // host:port; the port of Modbus is 502
	// Unit is the Modbus unit id, which tells meters behind one gateway
	// apart. 0 means that of the map, or 1.
	Unit uint8
	// Map describes the meter's registers. Nil means a SunSpec meter of model
	// 201 to 204.
	Map        *Map
	Provenance domain.Provenance // revenue-meter, sub-meter or pdu
}

// Source polls a group of meters. It implements [ingest.Source].
type Source struct {
	config Config
	lines  []*line
}

// line is an address and the meters behind it. They share one connection and
// are asked one after the other: a gateway passes one request at a time on to
// its bus, and many accept only few connections.
type line struct {
	address string
	meters  []*meter
	conn    *conn // kept between polls; nil if there is none
}

// meter is what is remembered of a meter between polls.
type meter struct {
	Meter
	index  int     // in the configuration
	layout *layout // of a SunSpec meter; found once for each connection
}

var _ ingest.Source = (*Source)(nil)

// New returns a source for the meters. It connects when it is first polled.
func New(c Config) (*Source, error) {
	if c.Timeout == 0 {
		c.Timeout = 2 * time.Second
	}
	if c.Parallel == 0 {
		c.Parallel = 16
	}
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("meter source %s: %w", c.Name, err)
	}
	s := &Source{config: c}
	for i, m := range c.Meters {
		if m.Map != nil {
			copied := *m.Map
			copied.Registers = slices.Clone(copied.Registers)
			if copied.Serial != nil {
				serial := *copied.Serial
				copied.Serial = &serial
			}
			m.Map = &copied
		}
		if m.Unit == 0 {
			m.Unit = 1
			if m.Map != nil && m.Map.UnitID != 0 {
				m.Unit = m.Map.UnitID
			}
		}
		at := slices.IndexFunc(s.lines, func(l *line) bool { return l.address == m.Address })
		if at < 0 {
			at = len(s.lines)
			s.lines = append(s.lines, &line{address: m.Address})
		}
		s.lines[at].meters = append(s.lines[at].meters, &meter{Meter: m, index: i})
	}
	return s, nil
}

func (c Config) validate() error {
	if err := domain.CheckID("source", c.Name); err != nil {
		return err
	}
	switch {
	case c.Every <= 0:
		return fmt.Errorf("polled every %s; use a multiple of the site's step", c.Every)
	case c.Timeout < 0 || c.Parallel < 0:
		return errors.New("timeout or parallel is negative; use 0 for the default")
	case c.Now == nil || c.Logger == nil:
		return errors.New("clock or logger is missing")
	case len(c.Meters) == 0:
		return errors.New("no meters")
	}
	seen := map[domain.DeviceID]bool{}
	for _, m := range c.Meters {
		if err := m.validate(); err != nil {
			return err
		}
		if seen[m.Device] {
			return fmt.Errorf("meter %s is named twice", m.Device)
		}
		seen[m.Device] = true
	}
	return nil
}

func (m Meter) validate() error {
	if err := domain.CheckID("device", m.Device); err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(m.Address)
	if err != nil || host == "" || port == "" || strings.ContainsFunc(m.Address, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("meter %s: address %q; use host:port, such as 10.0.0.7:502", m.Device, m.Address)
	}
	switch m.Provenance {
	case domain.ProvenanceRevenueMeter, domain.ProvenanceSubMeter, domain.ProvenancePDU:
	default:
		return fmt.Errorf("meter %s: provenance %q; a meter is a revenue-meter, a sub-meter or a pdu", m.Device, m.Provenance)
	}
	if m.Map != nil {
		if err := m.Map.Validate(); err != nil {
			return fmt.Errorf("meter %s: map %s: %w", m.Device, m.Map.Name, err)
		}
	}
	return nil
}

// Name implements [ingest.Source].
func (s *Source) Name() domain.SourceID { return s.config.Name }

// Every implements [ingest.Source].
func (s *Source) Every() domain.Duration { return s.config.Every }

// Close closes the kept connections. A later poll connects again. It must not
// be called during a poll.
func (s *Source) Close() error {
	for _, l := range s.lines {
		l.drop()
	}
	return nil
}

// Poll implements [ingest.Source]. A meter that does not answer is silent in
// the delivery, also where the context's deadline came before its answer; the
// error is of a context that was cancelled.
func (s *Source) Poll(ctx context.Context, _ domain.Instant) (ingest.Delivery, error) {
	observations := make([]observation, len(s.config.Meters))
	free := make(chan struct{}, s.config.Parallel)
	var wg sync.WaitGroup
	for _, l := range s.lines {
		free <- struct{}{}
		wg.Go(func() {
			s.askLine(ctx, l, observations)
			<-free
		})
	}
	wg.Wait()
	if err := ctx.Err(); errors.Is(err, context.Canceled) {
		return ingest.Delivery{}, fmt.Errorf("poll %s: %w", s.config.Name, err)
	}
	observed := s.config.Now()
	raw := []byte(Decoder + "\n")
	for _, o := range observations {
		raw = o.appendTo(raw)
	}
	d, err := Decode(raw)
	if err != nil {
		return ingest.Delivery{}, fmt.Errorf("poll %s: %w", s.config.Name, err)
	}
	d.Source, d.Observed = s.config.Name, observed
	return d, nil
}

// askLine asks the meters of one address, one after the other.
func (s *Source) askLine(ctx context.Context, l *line, observations []observation) {
	unreachable := ""
	for _, m := range l.meters {
		o := observation{Meter: m.Meter, silent: unreachable}
		if unreachable == "" {
			o, unreachable = s.ask(ctx, l, m)
		}
		observations[m.index] = o
	}
}

// ask asks one meter. It returns what was observed and, if the address could
// not be connected to, why.
func (s *Source) ask(ctx context.Context, l *line, m *meter) (o observation, unreachable string) {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	kept := l.conn != nil
	for {
		if l.conn == nil {
			c, err := dial(ctx, l.address)
			if err != nil {
				why := whySilent(err)
				return observation{Meter: m.Meter, silent: why}, why
			}
			l.conn = c
		}
		o = observation{Meter: m.Meter}
		err := l.fetch(ctx, m, &o)
		switch e := err.(type) {
		case nil, exception:
		case senseless:
			o.senseless = e.Error()
		default:
			o.silent = whySilent(err)
		}
		if err == nil {
			return o, ""
		}
		s.config.Logger.Debug("meter did not deliver", "source", s.config.Name, "device", m.Device, "address", l.address, "error", err)
		m.layout = nil
		if !usable(err) {
			l.drop()
		}
		if !kept || !broken(err) {
			return o, ""
		}
		kept = false // the connection had gone since the last poll: once more on a new one
	}
}

// usable reports whether a connection may be asked again after the error: the
// meter answered, with an exception.
func usable(err error) bool {
	_, ok := err.(exception)
	return ok
}

// drop closes the connection. What was known through it is found anew: behind
// another connection there may be another device.
func (l *line) drop() {
	if l.conn != nil {
		l.conn.close()
		l.conn = nil
	}
	for _, m := range l.meters {
		m.layout = nil
	}
}

// fetch reads the meter's registers into o.
func (l *line) fetch(ctx context.Context, m *meter, o *observation) error {
	read := func(ctx context.Context, f Function, address, count uint16) ([]byte, error) {
		data, err := l.conn.read(ctx, m.Unit, f, address, count)
		r := reply{span: span{f, address, count}, data: data}
		if e, ok := err.(exception); ok {
			r.exception = e
		} else if err != nil {
			return nil, err
		}
		o.replies = append(o.replies, r)
		return data, err
	}
	if m.Map != nil {
		for _, p := range m.Map.spans() {
			if _, err := read(ctx, p.function, p.address, p.count); err != nil {
				return err
			}
		}
		return nil
	}
	if m.layout == nil {
		found, err := detect(ctx, read)
		if err != nil {
			return err
		}
		m.layout = &found
	}
	o.layout = m.layout
	// The serial number is read in every poll: a meter may be exchanged behind
	// a gateway, whose connection lives on.
	if m.layout.serial != 0 {
		if _, err := read(ctx, Holding, m.layout.serial, serialCount); err != nil {
			return err
		}
	}
	b, err := read(ctx, Holding, m.layout.model, meterRead)
	if err == nil && !m.layout.holds(b) {
		m.layout = nil // decoding rejects it; the next poll looks where the models are now
	}
	return err
}
