package meter_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/simonvetter/modbus"

	"wattbook/domain"
	"wattbook/fixtures/fake"
	"wattbook/ingest"
	"wattbook/ingest/meter"
)

const (
	imported = domain.ChannelEnergyImport
	exported = domain.ChannelEnergyExport
)

// noon is the boundary that tests poll for.
const noon = domain.Instant(1_790_000_000_000_000)

// shown is a meter's state, which a test changes between polls.
type shown struct {
	mu    sync.Mutex
	state fake.MeterState
	err   error
}

func (s *shown) set(st fake.MeterState) { s.fail(st, nil) }

func (s *shown) fail(st fake.MeterState, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.err = st, err
}

func (s *shown) get() (fake.MeterState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state, s.err
}

func closing(t testing.TB, s *fake.MeterServer, err error) *fake.MeterServer {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func serveSunSpec(t testing.TB, model uint16, scale int16, st *shown) *fake.MeterServer {
	t.Helper()
	s, err := fake.ServeSunSpec(model, scale, st.get)
	return closing(t, s, err)
}

func serveMap(t testing.TB, l fake.MeterLayout, st *shown) *fake.MeterServer {
	t.Helper()
	s, err := fake.ServeMap(l, st.get)
	return closing(t, s, err)
}

// config returns the configuration of a group, with a timeout that only a
// meter that never answers reaches.
func config(meters ...meter.Meter) meter.Config {
	return meter.Config{
		Name: "meters", Every: 5 * domain.Minute, Meters: meters, Timeout: 5 * time.Second,
		Now: func() domain.Instant { return noon + 1 }, Logger: slog.New(slog.DiscardHandler),
	}
}

func open(t testing.TB, c meter.Config) *meter.Source {
	t.Helper()
	s, err := meter.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// poll polls and checks what holds of every delivery: it is what its evidence
// decodes to.
func poll(t testing.TB, s *meter.Source) ingest.Delivery {
	t.Helper()
	d, err := s.Poll(t.Context(), noon)
	if err != nil {
		t.Fatal(err)
	}
	again, err := meter.Decode(d.Raw)
	if err != nil {
		t.Fatalf("decode the evidence of a poll: %v", err)
	}
	again.Source, again.Observed = d.Source, d.Observed
	if diff := cmp.Diff(d, again); diff != "" {
		t.Errorf("the evidence decodes to something else than the poll (-poll +decoded):\n%s", diff)
	}
	return d
}

// revenue returns the configuration of a revenue meter called main.
func revenue(s *fake.MeterServer) meter.Meter {
	return meter.Meter{Device: "main", Address: s.Addr(), Provenance: domain.ProvenanceRevenueMeter}
}

func named(t testing.TB, name string) *meter.Map {
	t.Helper()
	m, err := meter.NamedMap(name)
	if err != nil {
		t.Fatal(err)
	}
	return &m
}

// healthy is the state of a meter that works.
var healthy = fake.MeterState{Import: domain.MegawattHour}

// fault is a way in which a meter does not deliver, and what becomes of it.
type fault struct {
	name      string
	misbehave func(*testing.T, *fake.MeterServer, *shown)
	silent    string
	reject    string
	timeout   time.Duration
}

func faults() []fault {
	return []fault{
		{
			name: "never answers", silent: "no answer in time", timeout: 500 * time.Millisecond,
			misbehave: func(_ *testing.T, _ *fake.MeterServer, st *shown) {
				st.set(fake.MeterState{Fault: fake.MeterFaultSilent})
			},
		},
		{
			name: "refuses connections", silent: "connection refused",
			misbehave: func(t *testing.T, s *fake.MeterServer, _ *shown) {
				if err := s.Refuse(); err != nil {
					t.Fatal(err)
				}
			},
		},
		{
			name: "hangs up", silent: "the connection was closed before an answer came",
			misbehave: func(_ *testing.T, _ *fake.MeterServer, st *shown) {
				st.set(fake.MeterState{Fault: fake.MeterFaultHangUp})
			},
		},
		{
			name: "answers with an exception", reject: "exception 6 (server device busy) when asked for 16 registers at 40052",
			misbehave: func(_ *testing.T, _ *fake.MeterServer, st *shown) { st.fail(healthy, modbus.ErrServerDeviceBusy) },
		},
		{
			name: "is silent behind its gateway", silent: "exception 11 (gateway target device failed to respond)",
			misbehave: func(_ *testing.T, _ *fake.MeterServer, st *shown) {
				st.fail(healthy, modbus.ErrGWTargetFailedToRespond)
			},
		},
	}
}

func TestMetersThatDoNotDeliver(t *testing.T) {
	for _, row := range faults() {
		t.Run("a meter that "+row.name+" costs only itself", func(t *testing.T) {
			var bad, fine shown
			bad.set(healthy)
			fine.set(healthy)
			broken := serveSunSpec(t, 203, 0, &bad)
			c := config(revenue(broken), meter.Meter{
				Device: "hall", Address: serveMap(t, fake.LayoutIEM3000(), &fine).Addr(), Map: named(t, "iem3000"), Provenance: domain.ProvenanceSubMeter,
			})
			if row.timeout != 0 {
				c.Timeout = row.timeout
			}
			s := open(t, c)
			if d := poll(t, s); len(d.Samples) != 3 {
				t.Fatalf("before: %+v", d)
			}
			row.misbehave(t, broken, &bad)
			d := poll(t, s)
			if len(d.Samples) != 2 || d.Samples[0].Device != "hall" {
				t.Errorf("samples are %+v, want those of the other meter", d.Samples)
			}
			var silent []ingest.Silence
			var rejected []ingest.Rejection
			if row.silent != "" {
				silent = []ingest.Silence{{Device: "main", Channel: imported, Reason: row.silent}}
			} else {
				rejected = []ingest.Rejection{{Device: "main", Reason: row.reject}}
			}
			if diff := cmp.Diff(silent, d.Silent); diff != "" {
				t.Errorf("silent (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(rejected, d.Rejected); diff != "" {
				t.Errorf("rejected (-want +got):\n%s", diff)
			}

			bad.set(healthy)
			if err := broken.Accept(); err != nil {
				t.Fatal(err)
			}
			if d := poll(t, s); len(d.Samples) != 3 {
				t.Errorf("after it recovered: %+v", d)
			}
		})
	}
}

func TestSilenceIsOfEachChannelOfAMap(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	meters := []meter.Meter{
		{Device: "main", Address: address, Map: named(t, "iem3000"), Provenance: domain.ProvenanceSubMeter},
		{Device: "next", Address: address, Unit: 2, Provenance: domain.ProvenanceSubMeter},
	}
	want := []ingest.Silence{
		{Device: "main", Channel: imported, Reason: "connection refused"},
		{Device: "main", Channel: exported, Reason: "connection refused"},
		{Device: "next", Channel: imported, Reason: "connection refused"},
	}
	c := config(meters...)
	c.Parallel = 1
	if diff := cmp.Diff(want, poll(t, open(t, c)).Silent); diff != "" {
		t.Errorf("silent (-want +got):\n%s", diff)
	}
}

func TestConnectionsAreKept(t *testing.T) {
	var st shown
	st.set(fake.MeterState{Import: domain.MegawattHour, Serial: "WB-1"})
	server := serveSunSpec(t, 203, 0, &st)
	s := open(t, config(revenue(server)))
	poll(t, s)
	found := server.Requests()
	for range 10 {
		poll(t, s)
	}
	if server.Connections() != 1 || server.Requests() != found+20 {
		t.Errorf("10 polls made %d requests over %d connections; want 2 requests each over one", server.Requests()-found, server.Connections())
	}

	// The server closes the connection between polls, as meters do: the poll
	// after it connects again and does not notice.
	if err := errors.Join(server.Refuse(), server.Accept()); err != nil {
		t.Fatal(err)
	}
	if d := poll(t, s); len(d.Samples) != 1 {
		t.Errorf("after the connection was closed: %+v", d)
	}
	if server.Connections() != 2 {
		t.Errorf("%d connections, want a second", server.Connections())
	}

	// A meter that was exchanged behind a connection that lives on shows its
	// own serial number at once.
	st.set(fake.MeterState{Import: domain.MegawattHour, Serial: "WB-2"})
	if d := poll(t, s); d.Samples[0].Serial != "WB-2" || server.Connections() != 2 {
		t.Errorf("serial number is %q over %d connections, want WB-2 over 2", d.Samples[0].Serial, server.Connections())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if d := poll(t, s); len(d.Samples) != 1 || server.Connections() != 3 {
		t.Errorf("after Close: %+v over %d connections, want a third", d, server.Connections())
	}
}

func TestMetersOfOneAddressShareAConnection(t *testing.T) {
	var st shown
	st.set(fake.MeterState{Import: domain.MegawattHour})
	server := serveMap(t, fake.LayoutSDM630(), &st)
	var meters []meter.Meter
	for i := range 5 {
		meters = append(meters, meter.Meter{
			Device: domain.DeviceID(fmt.Sprintf("m%d", i)), Address: server.Addr(), Unit: uint8(i + 1),
			Map: named(t, "sdm630"), Provenance: domain.ProvenancePDU,
		})
	}
	d := poll(t, open(t, config(meters...)))
	if len(d.Samples) != 10 || d.Samples[8].Device != "m4" || server.Connections() != 1 {
		t.Errorf("%d samples over %d connections, want 10 over 1", len(d.Samples), server.Connections())
	}
}

func TestContexts(t *testing.T) {
	var st shown
	server := serveSunSpec(t, 203, 0, &st)
	s := open(t, config(revenue(server)))
	st.set(fake.MeterState{Import: 1e6})
	poll(t, s)
	st.set(fake.MeterState{Fault: fake.MeterFaultSilent})

	t.Run("a deadline makes meters silent that have not answered", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		d, err := s.Poll(ctx, noon)
		if err != nil || len(d.Silent) != 1 || d.Silent[0].Reason != "no answer in time" {
			t.Errorf("got %+v, %v; want a silent meter", d, err)
		}
	})
	t.Run("a cancelled poll observed nothing", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		silent, err := fake.ServeSunSpec(203, 0, func() (fake.MeterState, error) {
			cancel() // once the meter has been asked
			return fake.MeterState{Fault: fake.MeterFaultSilent}, nil
		})
		s := open(t, config(revenue(closing(t, silent, err))))
		if d, err := s.Poll(ctx, noon); !errors.Is(err, context.Canceled) {
			t.Errorf("got %+v, %v; want the cancellation", d, err)
		}
	})
	t.Run("and the next poll goes on", func(t *testing.T) {
		st.set(fake.MeterState{Import: 1e6})
		if d := poll(t, s); len(d.Samples) != 1 {
			t.Errorf("got %+v, want a sample", d)
		}
	})
}

func TestConfigurationsThatAreRefused(t *testing.T) {
	good := meter.Meter{Device: "main", Address: "10.0.0.7:502", Provenance: domain.ProvenanceRevenueMeter}
	with := func(change func(*meter.Config)) meter.Config {
		c := config(good)
		change(&c)
		return c
	}
	one := func(change func(*meter.Meter)) meter.Config {
		return with(func(c *meter.Config) {
			m := good
			change(&m)
			c.Meters = []meter.Meter{m}
		})
	}
	for _, row := range []struct {
		name   string
		config meter.Config
		want   string
	}{
		{"no name", with(func(c *meter.Config) { c.Name = "" }), "source is empty"},
		{"no interval", with(func(c *meter.Config) { c.Every = 0 }), "multiple of the site's step"},
		{"a negative timeout", with(func(c *meter.Config) { c.Timeout = -1 }), "negative"},
		{"no clock", with(func(c *meter.Config) { c.Now = nil }), "clock"},
		{"no meters", with(func(c *meter.Config) { c.Meters = nil }), "no meters"},
		{"a meter twice", with(func(c *meter.Config) { c.Meters = []meter.Meter{good, good} }), "main is named twice"},
		{"a device with a space", one(func(m *meter.Meter) { m.Device = "a b" }), "lower-case"},
		{"an address without a port", one(func(m *meter.Meter) { m.Address = "10.0.0.7" }), "host:port"},
		{"an address with a line break", one(func(m *meter.Meter) { m.Address = "10.0.0.7\n:502" }), "host:port"},
		{"a meter that estimates", one(func(m *meter.Meter) { m.Provenance = domain.ProvenanceNameplate }), `provenance "nameplate"`},
		{"a map without registers", one(func(m *meter.Meter) { m.Map = &meter.Map{Name: "x", Function: 3} }), "no registers"},
		{"a map of another function", one(func(m *meter.Meter) { m.Map = &meter.Map{Name: "x", Function: 6} }), "function 6"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if _, err := meter.New(row.config); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, want an error with %q", err, row.want)
			}
		})
	}
}

func TestUnits(t *testing.T) {
	m := named(t, "iem3000")
	m.UnitID = 9
	for _, row := range []struct {
		name  string
		meter meter.Meter
		want  byte
	}{
		{"the meter's own", meter.Meter{Unit: 7, Map: m}, 7},
		{"the map's", meter.Meter{Map: m}, 9},
		{"1 for a SunSpec meter", meter.Meter{}, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.meter.Device, row.meter.Provenance = "main", domain.ProvenanceSubMeter
			asked := make(chan byte, 1)
			row.meter.Address = serveFrames(t, func(request []byte) []byte {
				asked <- request[6]
				return nil
			})
			poll(t, open(t, config(row.meter)))
			if got := <-asked; got != row.want {
				t.Errorf("unit %d was asked, want %d", got, row.want)
			}
		})
	}
}

// BenchmarkPoll measures polls of a site's eleven meters over kept
// connections, decoding included.
func BenchmarkPoll(b *testing.B) {
	for _, kind := range []string{"sunspec", "iem3000"} {
		b.Run("meters=11/kind="+kind, func(b *testing.B) {
			var meters []meter.Meter
			for i := range 11 {
				var st shown
				st.set(fake.MeterState{Power: 10 * domain.Megawatt, Import: 12_345 * domain.MegawattHour, Serial: "WB-0001"})
				m := meter.Meter{Device: domain.DeviceID(fmt.Sprintf("meter-%d", i)), Provenance: domain.ProvenanceSubMeter}
				if kind == "sunspec" {
					m.Address = serveSunSpec(b, 203, 0, &st).Addr()
				} else {
					m.Address, m.Map = serveMap(b, fake.LayoutIEM3000(), &st).Addr(), named(b, kind)
				}
				meters = append(meters, m)
			}
			s := open(b, config(meters...))
			poll(b, s)
			b.ReportAllocs()
			for b.Loop() {
				if d, err := s.Poll(b.Context(), noon); err != nil || len(d.Silent)+len(d.Rejected) != 0 {
					b.Fatal(d, err)
				}
			}
		})
	}
}
