package gpu_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/server"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/wire"
	"wattbook/fixtures/fake"
	"wattbook/ingest"
	"wattbook/ingest/gpu"
)

const (
	node  = "gpu-01"
	every = 5 * domain.Minute
)

// noon is the boundary that the tests poll for: 2026-10-14T12:00:00Z.
var noon = domain.Unix(1_791_979_200)

// machine is a host of scripted GPUs.
type machine struct {
	states [fake.GPUs]fake.GPUState
	nvml   nvml.Interface
}

func newMachine() *machine {
	m := &machine{}
	m.nvml = fake.NVML(node, func(i int) fake.GPUState { return m.states[i] })
	return m
}

// source polls the first GPUs of the machine by UUID, as gpu-01-0, gpu-01-1
// and so on.
func (m *machine) source(t testing.TB, gpus int, change ...func(*gpu.Config)) *gpu.Source {
	t.Helper()
	c := gpu.Config{
		Name: "nvml-01", Every: every, Node: node, Library: m.nvml,
		Now: func() domain.Instant { return noon + 1 }, Logger: slog.New(slog.DiscardHandler),
	}
	for i := range gpus {
		c.GPUs = append(c.GPUs, gpu.GPU{Device: device(i), UUID: fake.GPUUUID(node, i)})
	}
	for _, f := range change {
		f(&c)
	}
	s, err := gpu.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func device(i int) domain.DeviceID { return domain.DeviceID(fmt.Sprintf("%s-%d", node, i)) }

func poll(t testing.TB, s *gpu.Source, at domain.Instant) ingest.Delivery {
	t.Helper()
	d, err := s.Poll(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	again, err := gpu.Decode(d.Raw)
	if err != nil {
		t.Fatal(err)
	}
	again.Source, again.Observed = d.Source, d.Observed
	if diff := cmp.Diff(again, d); diff != "" {
		t.Errorf("the evidence decodes to something else than was delivered (-evidence +delivery):\n%s", diff)
	}
	return d
}

func TestPollDeliversEnergyAndTime(t *testing.T) {
	m := newMachine()
	m.states[0] = fake.GPUState{Energy: 7_203_599, Power: 700_000, Processes: 2}
	m.states[1] = fake.GPUState{Energy: 0, Power: 70_000}
	got := poll(t, m.source(t, 2), noon)

	last := domain.Interval{Start: noon.Add(-every), End: noon}
	want := ingest.Delivery{
		Source: "nvml-01", Observed: noon + 1, Decoder: "nvml/1", Raw: got.Raw,
		Samples: []ingest.Sample{
			{
				Device: device(0), Channel: domain.ChannelGPUEnergy, Provenance: domain.ProvenanceFirmwareMeasured,
				Scale: ingest.Scale{Num: 1, Den: 3600}, Register: domain.Int(7_203_599), Serial: fake.GPUUUID(node, 0),
			},
			{
				Device: device(1), Channel: domain.ChannelGPUEnergy, Provenance: domain.ProvenanceFirmwareMeasured,
				Scale: ingest.Scale{Num: 1, Den: 3600}, Register: domain.Int(0), Serial: fake.GPUUUID(node, 1),
			},
		},
		Values: []ingest.Value{
			{Device: device(0), Channel: domain.ChannelGPUTime, Provenance: domain.ProvenanceFirmwareEstimated, Interval: last, Value: domain.Int(300_000)},
			{Device: device(1), Channel: domain.ChannelGPUTime, Provenance: domain.ProvenanceFirmwareEstimated, Interval: last, Value: domain.Int(0)},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("delivery (-want +got):\n%s", diff)
	}
	golden, err := os.ReadFile("testdata/poll.json")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.TrimSpace(string(golden)), string(got.Raw)); diff != "" {
		t.Errorf("the evidence is not as it was frozen in testdata/poll.json (-want +got):\n%s", diff)
	}
	if again := poll(t, m.source(t, 2), noon); string(again.Raw) != string(got.Raw) {
		t.Errorf("the same answers give other evidence:\n%s\n%s", got.Raw, again.Raw)
	}
}

func TestWhatAGPUDoesNotTellIsUnknown(t *testing.T) {
	busy := func(f fake.GPUFault) fake.GPUState {
		return fake.GPUState{Energy: 36_000_000, Power: 700_000, Processes: 1, Fault: f}
	}
	uuid := fake.GPUUUID(node, 0)
	for _, row := range []struct {
		name     string
		state    fake.GPUState
		samples  int
		values   int
		silent   []ingest.Silence
		rejected []ingest.Rejection
	}{
		{
			name: "no energy counter leaves energy silent and time told", state: busy(fake.GPUWithoutEnergy), values: 1,
			silent: []ingest.Silence{{Device: device(0), Channel: domain.ChannelGPUEnergy, Reason: uuid + " on gpu-01: total energy: not supported by this GPU"}},
		},
		{
			name: "no process list leaves time silent and energy told", state: busy(fake.GPUWithoutProcesses), samples: 1,
			silent: []ingest.Silence{{Device: device(0), Channel: domain.ChannelGPUTime, Reason: uuid + " on gpu-01: compute processes: not supported by this GPU"}},
		},
		{
			name: "a lost GPU is silent", state: busy(fake.GPULost),
			silent: both(uuid + " on gpu-01: UUID, without which the register is anybody's: the GPU is lost: it fell off the bus"),
		},
		{
			name: "another driver than the library's leaves all silent", state: busy(fake.GPUDriverMismatching),
			silent: both(uuid + " on gpu-01: UUID, without which the register is anybody's: driver and library are of different versions; restart the host or reload the driver"),
		},
		{
			name: "a mark of an unknown number is refused", state: fake.GPUState{Energy: 0x7ffffffffffffff0}, values: 1,
			rejected: []ingest.Rejection{{Device: device(0), Reason: uuid + " on gpu-01: total energy 9223372036854775792 mJ is the mark of an unknown number"}},
		},
		{
			name: "all ones are refused", state: fake.GPUState{Energy: 1<<64 - 1}, values: 1,
			rejected: []ingest.Rejection{{Device: device(0), Reason: uuid + " on gpu-01: total energy 18446744073709551615 mJ is the mark of an unknown number"}},
		},
		{name: "the greatest number below the marks is a number", state: fake.GPUState{Energy: 0x7fffffffffffffef}, values: 1, samples: 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			m := newMachine()
			m.states[0] = row.state
			got := poll(t, m.source(t, 1), noon)
			if len(got.Samples) != row.samples || len(got.Values) != row.values {
				t.Errorf("got %d samples and %d values, want %d and %d", len(got.Samples), len(got.Values), row.samples, row.values)
			}
			if diff := cmp.Diff(row.silent, got.Silent); diff != "" {
				t.Errorf("silent (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(row.rejected, got.Rejected); diff != "" {
				t.Errorf("rejected (-want +got):\n%s", diff)
			}
		})
	}
}

// both is the silence of both quantities of the first GPU.
func both(reason string) []ingest.Silence {
	return []ingest.Silence{
		{Device: device(0), Channel: domain.ChannelGPUEnergy, Reason: reason},
		{Device: device(0), Channel: domain.ChannelGPUTime, Reason: reason},
	}
}

func TestBoardsAreToldApart(t *testing.T) {
	for _, row := range []struct {
		name    string
		gpus    []gpu.GPU
		serials []string
		refused string // by rejection or silence
	}{
		{
			name: "by index the board's UUID is delivered as its serial number",
			gpus: []gpu.GPU{{Device: "a", Index: 3}}, serials: []string{fake.GPUUUID(node, 3)},
		},
		{
			name: "one board for two devices counts once",
			gpus: []gpu.GPU{{Device: "a", Index: 3}, {Device: "b", UUID: fake.GPUUUID(node, 3)}}, serials: []string{fake.GPUUUID(node, 3)},
			refused: fmt.Sprintf("%s on gpu-01: GPU %q is device a already; configure both by UUID", fake.GPUUUID(node, 3), fake.GPUUUID(node, 3)),
		},
		{
			name: "a UUID that the host does not have is silent", gpus: []gpu.GPU{{Device: "a", UUID: "GPU-of-elsewhere"}},
			refused: "GPU-of-elsewhere on gpu-01: there is no such GPU",
		},
		{
			name: "an index that the host does not have is silent", gpus: []gpu.GPU{{Device: "a", Index: 8}},
			refused: "index 8 on gpu-01: there is no such GPU",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := poll(t, newMachine().source(t, 0, func(c *gpu.Config) { c.GPUs = row.gpus }), noon)
			var serials []string
			for _, s := range got.Samples {
				serials = append(serials, s.Serial)
			}
			if diff := cmp.Diff(row.serials, serials); diff != "" {
				t.Errorf("serials (-want +got):\n%s", diff)
			}
			refused := ""
			for _, s := range got.Silent {
				refused = s.Reason
			}
			for _, r := range got.Rejected {
				refused = r.Reason
			}
			if refused != row.refused {
				t.Errorf("got %q, want %q", refused, row.refused)
			}
		})
	}
}

func TestAGPUThatHangsCostsOnlyItsOwnReadings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		lib := fake.NVML(node, func(i int) fake.GPUState {
			if i == 1 {
				<-hang
			}
			return fake.GPUState{Energy: 3_600_000}
		})
		m := &machine{nvml: lib}
		s := m.source(t, 3)
		delivered := func() (devices []domain.DeviceID, silent []string) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			d, err := s.Poll(ctx, noon)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range d.Samples {
				devices = append(devices, x.Device)
			}
			for _, x := range d.Silent {
				silent = append(silent, x.Reason)
			}
			return devices, silent
		}
		late := fake.GPUUUID(node, 1) + " on gpu-01: it did not answer in time"
		for range 2 { // the second poll finds the first one's call still hanging
			devices, silent := delivered()
			if diff := cmp.Diff([]domain.DeviceID{device(0), device(2)}, devices); diff != "" {
				t.Errorf("devices (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{late, late}, silent); diff != "" {
				t.Errorf("silent (-want +got):\n%s", diff)
			}
		}
		close(hang)
		synctest.Wait()
		devices, silent := delivered()
		if len(devices) != 3 || len(silent) != 0 {
			t.Errorf("once it answers again: got %v and %v, want all three", devices, silent)
		}
	})
}

func TestTheLibraryIsOpenedAnewWhenItWasClosed(t *testing.T) {
	for _, row := range []struct {
		name    string
		init    nvml.Return
		samples int
		silent  string
	}{
		{name: "and polled if that succeeds", init: nvml.SUCCESS, samples: 1},
		{name: "and all is silent if it does not", init: nvml.ERROR_DRIVER_NOT_LOADED, silent: "NVML cannot be opened: the NVIDIA driver is not loaded"},
	} {
		t.Run(row.name, func(t *testing.T) {
			m := newMachine()
			open := false
			lib := m.nvml.(*server.Server)
			lib.SystemGetDriverVersionFunc = func() (string, nvml.Return) {
				if !open {
					return "", nvml.ERROR_UNINITIALIZED
				}
				return "550.54.15", nvml.SUCCESS
			}
			lib.InitFunc = func() nvml.Return {
				open = row.init == nvml.SUCCESS
				return row.init
			}
			got := poll(t, m.source(t, 1), noon)
			if len(got.Samples) != row.samples {
				t.Errorf("got %d samples, want %d", len(got.Samples), row.samples)
			}
			if row.silent == "" {
				if len(got.Silent) != 0 {
					t.Errorf("got %v, want nothing silent", got.Silent)
				}
			} else if diff := cmp.Diff(both(fake.GPUUUID(node, 0)+" on gpu-01: "+row.silent), got.Silent); diff != "" {
				t.Errorf("silent (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNVMLThatHangsLeavesAllSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine()
		hang := make(chan struct{})
		m.nvml.(*server.Server).SystemGetDriverVersionFunc = func() (string, nvml.Return) {
			<-hang
			return "550.54.15", nvml.SUCCESS
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		d, err := m.source(t, 1).Poll(ctx, noon)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(both(fake.GPUUUID(node, 0)+" on gpu-01: NVML did not answer in time"), d.Silent); diff != "" {
			t.Errorf("silent (-want +got):\n%s", diff)
		}
		close(hang)
	})
}

func TestGPUsThatNobodyConfiguredAreLoggedOnce(t *testing.T) {
	var logged strings.Builder
	m := newMachine()
	s := m.source(t, 7, func(c *gpu.Config) { c.Logger = slog.New(slog.NewTextHandler(&logged, nil)) })
	poll(t, s, noon)
	poll(t, s, noon.Add(every))
	if got := strings.Count(logged.String(), "host=8 configured=7"); got != 1 {
		t.Errorf("logged %d times, want once:\n%s", got, &logged)
	}
}

// book is a log behind a door, with one GPU registered.
type book struct {
	t      testing.TB
	door   *ingest.Door
	log    *eventlog.Mem
	source *gpu.Source
}

type keepNothing struct{}

func (keepNothing) Put(_ context.Context, blobs ...[]byte) ([]domain.Digest, func() error, error) {
	return make([]domain.Digest, len(blobs)), func() error { return nil }, nil
}

func (m *machine) book(t testing.TB) *book {
	t.Helper()
	clock := noon
	log := eventlog.NewMem(func() domain.Instant { clock++; return clock })
	door, err := ingest.OpenDoor(t.Context(), log, keepNothing{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	b := &book{t: t, door: door, log: log, source: m.source(t, 1)}
	b.record(ingest.Delivery{Source: "config", Facts: ingest.Facts{
		domain.SiteRegistered{Site: "west", Name: "West", Zone: "UTC", Step: every, Currency: "USD"},
		domain.DeviceRegistered{
			Site: "west", Device: device(0), Kind: domain.KindGPU, Under: "ai-1", Use: domain.UseAI, Units: 1,
			RatedPower: 700 * domain.Watt, Host: node, Serial: fake.GPUUUID(node, 0),
		},
	}}, noon)
	return b
}

func (b *book) record(d ingest.Delivery, at domain.Instant) {
	b.t.Helper()
	if _, err := b.door.Record(b.t.Context(), ingest.Round{Site: "west", At: at, Deliveries: []ingest.Delivery{d}}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *book) poll(at domain.Instant) { b.t.Helper(); b.record(poll(b.t, b.source, at), at) }

// booked returns what the log holds of a channel: its total and the marks.
func (b *book) booked(channel domain.Channel) (total int64, marks []domain.Mark) {
	b.t.Helper()
	for r, err := range b.log.ReadAll(b.t.Context(), 0) {
		if err != nil {
			b.t.Fatal(err)
		}
		rec, err := wire.Open(r)
		if err != nil {
			b.t.Fatal(err)
		}
		batch, ok := rec.Event.(domain.ReadingsRecorded)
		if !ok {
			continue
		}
		for _, r := range batch.Readings {
			if r.Channel != channel {
				continue
			}
			marks = append(marks, r.Mark)
			if v, ok := r.Value.Int64(); ok && r.Mark.Books() {
				total += v
			}
		}
	}
	return total, marks
}

func TestBookedEnergyNeverDrifts(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newMachine()
		b := m.book(t)
		const most = 700_000 * 300 // millijoules in five minutes at 700 W
		first := rapid.Uint64Range(0, 1<<50).Draw(rt, "first")
		m.states[0].Energy = first
		at := noon
		b.poll(at)
		for range rapid.IntRange(1, 12).Draw(rt, "polls") {
			m.states[0].Energy += rapid.Uint64Range(0, most).Draw(rt, "millijoules")
			at = at.Add(every)
			b.poll(at)
		}
		total, marks := b.booked(domain.ChannelGPUEnergy)
		if want := int64(m.states[0].Energy/3600 - first/3600); total != want {
			rt.Fatalf("booked %d mWh of %d mJ, want %d mWh; marks %v", total, m.states[0].Energy-first, want, marks)
		}
	})
}

func TestAReloadOfTheDriverBooksNoLifetimeTwice(t *testing.T) {
	m := newMachine()
	b := m.book(t)
	watts := func(w uint64) { m.states[0].Energy += w * 1000 * 300 }
	m.states[0].Energy = 5_000_000_000
	b.poll(noon)
	watts(600)
	b.poll(noon.Add(every))
	m.states[0].Reloaded = m.states[0].Energy // the driver is reloaded just after the poll
	watts(360)
	b.poll(noon.Add(2 * every))
	watts(480)
	b.poll(noon.Add(3 * every))

	total, marks := b.booked(domain.ChannelGPUEnergy)
	// 50 Wh before the reload; the first sight of the new register is not
	// believed until the next one continues from it, with 40 Wh.
	if want := int64(90 * domain.WattHour); total != want {
		t.Errorf("booked %d mWh, want %d", total, want)
	}
	if diff := cmp.Diff([]domain.Mark{domain.MarkFirst, domain.MarkNormal, domain.MarkGlitch, domain.MarkReset}, marks); diff != "" {
		t.Errorf("marks (-want +got):\n%s", diff)
	}
}

func TestALostGPUIsAGapThatItsCounterFills(t *testing.T) {
	m := newMachine()
	b := m.book(t)
	m.states[0] = fake.GPUState{Energy: 5_000_000_000, Processes: 1}
	b.poll(noon)
	m.states[0].Fault = fake.GPULost
	b.poll(noon.Add(every))
	m.states[0].Fault = fake.GPUHealthy
	m.states[0].Energy += 360_000_000 // 100 Wh in two intervals
	b.poll(noon.Add(2 * every))

	total, marks := b.booked(domain.ChannelGPUEnergy)
	if want := int64(100 * domain.WattHour); total != want {
		t.Errorf("booked %d mWh, want %d", total, want)
	}
	if diff := cmp.Diff([]domain.Mark{domain.MarkFirst, domain.MarkSilent, domain.MarkGap}, marks); diff != "" {
		t.Errorf("marks (-want +got):\n%s", diff)
	}
	milliseconds, marks := b.booked(domain.ChannelGPUTime)
	if milliseconds != 600_000 {
		t.Errorf("booked %d ms with a process, want two intervals of 300000; marks %v", milliseconds, marks)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*gpu.Config)
		want   string
	}{
		{"a name that is no identifier", func(c *gpu.Config) { c.Name = "NVML 1" }, `gpu source NVML 1 on gpu-01: source "NVML 1": character 'N'; use lower-case letters, digits, and inside them . _ -`},
		{"no interval", func(c *gpu.Config) { c.Every = 0 }, "gpu source nvml-01 on gpu-01: polled every 0s; want whole seconds"},
		{"no node", func(c *gpu.Config) { c.Node = "" }, "gpu source nvml-01 on : the node has no name"},
		{"no GPU", func(c *gpu.Config) { c.GPUs = nil }, "gpu source nvml-01 on gpu-01: no GPU is configured"},
		{"no library", func(c *gpu.Config) { c.Library = nil }, "gpu source nvml-01 on gpu-01: library, clock and logger are required"},
		{"a device that is no identifier", func(c *gpu.Config) { c.GPUs = []gpu.GPU{{UUID: "GPU-a"}} }, "gpu source nvml-01 on gpu-01: device is empty"},
		{"a MIG instance", func(c *gpu.Config) { c.GPUs = []gpu.GPU{{Device: "a", UUID: "MIG-a"}} }, "gpu source nvml-01 on gpu-01: device a: MIG-a is a MIG instance, which has no energy counter; name its GPU"},
		{"what is no UUID", func(c *gpu.Config) { c.GPUs = []gpu.GPU{{Device: "a", UUID: "0"}} }, `gpu source nvml-01 on gpu-01: device a: "0" is not a GPU's UUID; want GPU-… as nvidia-smi -L prints it`},
		{"an index that no host has", func(c *gpu.Config) { c.GPUs = []gpu.GPU{{Device: "a", Index: -1}} }, "gpu source nvml-01 on gpu-01: device a: index -1 is outside 0 to 1023"},
		{"a device twice", func(c *gpu.Config) { c.GPUs = []gpu.GPU{{Device: "a"}, {Device: "a", Index: 1}} }, "gpu source nvml-01 on gpu-01: device a is configured twice"},
		{"a GPU for two devices", func(c *gpu.Config) { c.GPUs = []gpu.GPU{{Device: "a"}, {Device: "b"}} }, "gpu source nvml-01 on gpu-01: device b: GPU index 0 has another device already"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := gpu.Config{
				Name: "nvml-01", Every: every, Node: node, Library: newMachine().nvml, GPUs: []gpu.GPU{{Device: "a"}},
				Now: func() domain.Instant { return noon }, Logger: slog.New(slog.DiscardHandler),
			}
			row.change(&c)
			_, err := gpu.New(c)
			if err == nil || err.Error() != row.want {
				t.Errorf("got %v\nwant %s", err, row.want)
			}
		})
	}
}
