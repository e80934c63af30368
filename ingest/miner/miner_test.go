package miner_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wattbook/domain"
	"wattbook/fixtures/fake"
	"wattbook/ingest"
	"wattbook/ingest/miner"
)

// boundary is what the tests poll for, and observed when a poll was finished.
var (
	boundary = mustInstant("2026-10-14T17:35:00Z")
	observed = mustInstant("2026-10-14T17:35:02Z")
)

func mustInstant(s string) domain.Instant {
	v, err := domain.ParseInstant(s)
	if err != nil {
		panic(err)
	}
	return v
}

// ran is a rack of 100 TH/s that ran for an hour, and did 100.5 TH/s of late.
func ran(fault fake.MinerFault) fake.MinerState {
	return fake.MinerState{
		Now: boundary, Elapsed: 3600, Fault: fault,
		Hashes:          domain.Int(100_000_000_000_000).MulDiv(3600, 1).Add(domain.Int(123_456)),
		HashesPerSecond: domain.Int(100_500_000_000_000),
		ShareDifficulty: domain.Int(8_381_907_151_234_567),
		Accepted:        2046, Rejected: 4, Power: 3300 * domain.Watt,
	}
}

func serve(t testing.TB, d fake.MinerDialect, state func() (fake.MinerState, error)) *fake.MinerServer {
	t.Helper()
	s, err := fake.ServeMiner(d, state)
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

func source(t testing.TB, timeout time.Duration, miners ...miner.Miner) *miner.Source {
	t.Helper()
	s, err := miner.New(miner.Config{
		Name: "container-1", Every: 5 * domain.Minute, Miners: miners, Timeout: timeout,
		Now: func() domain.Instant { return observed },
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func poll(t testing.TB, s *miner.Source) ingest.Delivery {
	t.Helper()
	d, err := s.Poll(t.Context(), boundary)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// parsed is what a delivery says, without its evidence.
func parsed(d ingest.Delivery) ingest.Delivery {
	d.Raw = nil
	return d
}

func number(s string) domain.Int128 {
	v, err := domain.ParseInt(s)
	if err != nil {
		panic(err)
	}
	return v
}

var dialects = []struct {
	name  string
	fake  fake.MinerDialect
	speak miner.Dialect
}{
	{"antminer", fake.MinerAntminer, miner.DialectAntminer},
	{"whatsminer", fake.MinerWhatsminer, miner.DialectWhatsminer},
	{"luxos", fake.MinerLuxOS, miner.DialectLuxOS},
}

// wantOf is what is delivered of the rack that ran for an hour.
func wantOf(device domain.DeviceID, d miner.Dialect) ingest.Delivery {
	started := mustInstant("2026-10-14T16:35:00Z")
	want := ingest.Delivery{
		Source: "container-1", Observed: observed, Decoder: "cgminer/1",
		Samples: []ingest.Sample{{
			Device: device, Channel: domain.ChannelShares, Provenance: domain.ProvenanceFirmwareMeasured,
			Scale: ingest.Scale{Num: 1, Den: 1}, Register: number("8381907151234567"), Started: started,
		}},
	}
	if d == miner.DialectLuxOS {
		want.Values = []ingest.Value{{
			Device: device, Channel: domain.ChannelHashes, Provenance: domain.ProvenanceFirmwareEstimated,
			Interval: domain.Interval{Start: mustInstant("2026-10-14T17:30:00Z"), End: boundary},
			Value:    number("30150000000000000"), // 100.5 TH/s for 300 s
		}}
		return want
	}
	want.Samples = append(want.Samples, ingest.Sample{
		Device: device, Channel: domain.ChannelHashes, Provenance: domain.ProvenanceFirmwareMeasured,
		Scale: ingest.Scale{Num: 100, Den: 1}, Register: number("3600000000001234"), Started: started, // 56 hashes are below its last digit
	})
	return want
}

func TestPollOfEachDialect(t *testing.T) {
	for _, row := range dialects {
		for _, speak := range []miner.Dialect{row.speak, miner.DialectAuto} {
			t.Run(fmt.Sprintf("%s, configured as %s", row.name, speak), func(t *testing.T) {
				s := serve(t, row.fake, func() (fake.MinerState, error) { return ran(fake.MinerFaultNone), nil })
				got := poll(t, source(t, 10*time.Second, miner.Miner{Device: "rack-01", Address: s.Addr(), Dialect: speak}))
				if diff := cmp.Diff(wantOf("rack-01", row.speak), parsed(got)); diff != "" {
					t.Errorf("delivery (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestDecodingTheEvidenceGivesTheSame(t *testing.T) {
	var miners []miner.Miner
	for _, row := range dialects {
		for fault := fake.MinerFaultNone; fault <= fake.MinerFaultDrip; fault++ {
			s := serve(t, row.fake, func() (fake.MinerState, error) { return ran(fault), nil })
			miners = append(miners, miner.Miner{Device: domain.DeviceID(fmt.Sprintf("%s-%d", row.name, fault)), Address: s.Addr(), Dialect: row.speak})
		}
	}
	got := poll(t, source(t, 500*time.Millisecond, miners...))
	again, err := miner.Decode(got.Raw)
	if err != nil {
		t.Fatal(err)
	}
	again.Source, again.Observed = got.Source, got.Observed
	if diff := cmp.Diff(got, again); diff != "" {
		t.Errorf("decoded again (-first +second):\n%s", diff)
	}
	p, err := miner.ParsePoll(got.Raw)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range p.Replies {
		if r.Device != miners[i].Device || r.Address != miners[i].Address || r.Dialect != miners[i].Dialect {
			t.Errorf("reply %d is of %s at %s in %s; want the order of the configuration", i, r.Device, r.Address, r.Dialect)
		}
	}
	if len(got.Samples) != 5 || len(got.Values) != 1 {
		t.Errorf("got %d samples and %d values; want those of the three that answered", len(got.Samples), len(got.Values))
	}
}

func TestPollOfFaults(t *testing.T) {
	for _, row := range []struct {
		name     string
		fault    fake.MinerFault
		err      error
		silent   string // part of the reason
		rejected string
	}{
		{"a silent miner is silent", fake.MinerFaultSilent, nil, "no answer within 300ms", ""},
		{"a miner that refuses is silent", fake.MinerFaultRefuse, nil, "connection reset by peer", ""},
		{"a malformed reply is rejected", fake.MinerFaultMalformed, nil, "", `'"' where a comma or '}' should be`},
		{"a reply cut short by the miner is rejected", fake.MinerFaultTruncated, nil, "", "id is 0: the miner cut its reply short"},
		{"a reply cut short by the connection is rejected", fake.MinerFaultCut, nil, "", "reply ends before it is complete"},
		{"a reply that drips is rejected", fake.MinerFaultDrip, nil, "", "bytes: no answer within 300ms"},
		{"an error status is rejected", fake.MinerFaultNone, errors.New("boards are off"), "", `status "E", code 132: "API command ERROR: boards are off"`},
	} {
		for _, d := range dialects {
			t.Run(row.name+", "+d.name, func(t *testing.T) {
				s := serve(t, d.fake, func() (fake.MinerState, error) { return ran(row.fault), row.err })
				got := poll(t, source(t, 300*time.Millisecond, miner.Miner{Device: "rack-01", Address: s.Addr(), Dialect: d.speak}))
				if len(got.Samples)+len(got.Values) != 0 {
					t.Fatalf("got samples %v and values %v", got.Samples, got.Values)
				}
				if row.silent != "" {
					if len(got.Silent) != 2 || got.Silent[0].Channel != domain.ChannelShares || got.Silent[1].Channel != domain.ChannelHashes ||
						got.Silent[0].Device != "rack-01" || !strings.Contains(got.Silent[0].Reason, row.silent) || len(got.Rejected) != 0 {
						t.Errorf("got silent %v, rejected %v; want both channels silent with %q", got.Silent, got.Rejected, row.silent)
					}
					return
				}
				if len(got.Rejected) != 1 || got.Rejected[0].Device != "rack-01" || len(got.Silent) != 0 ||
					!strings.Contains(got.Rejected[0].Reason, row.rejected) || !strings.HasPrefix(got.Rejected[0].Reason, s.Addr()+": ") {
					t.Errorf("got silent %v, rejected %v; want a rejection with %q", got.Silent, got.Rejected, row.rejected)
				}
			})
		}
	}
}

func TestPollWhereNothingListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	got := poll(t, source(t, time.Second, miner.Miner{Device: "rack-01", Address: l.Addr().String()}))
	want := l.Addr().String() + ": connect: connection refused"
	if len(got.Silent) != 2 || got.Silent[0].Reason != want {
		t.Errorf("got %v, want %q", got.Silent, want)
	}
}

func TestAHangingMinerCostsOnlyItself(t *testing.T) {
	var miners []miner.Miner
	for i := range 12 {
		fault := fake.MinerFaultNone
		if i%3 == 0 {
			fault = fake.MinerFaultSilent
		}
		s := serve(t, dialects[i%3].fake, func() (fake.MinerState, error) { return ran(fault), nil })
		miners = append(miners, miner.Miner{Device: domain.DeviceID(fmt.Sprintf("rack-%02d", i)), Address: s.Addr(), Dialect: dialects[i%3].speak})
	}
	before := time.Now()
	got := poll(t, source(t, 500*time.Millisecond, miners...))
	if took := time.Since(before); took > 5*time.Second {
		t.Errorf("four hanging miners took %s", took)
	}
	if len(got.Silent) != 8 || len(got.Samples) != 12 || len(got.Values) != 4 || len(got.Rejected) != 0 {
		t.Errorf("got %d silences, %d samples, %d values, rejected %v", len(got.Silent), len(got.Samples), len(got.Values), got.Rejected)
	}
}

func TestParallelBoundsTheConnections(t *testing.T) {
	var open, most atomic.Int64
	var miners []miner.Miner
	for i := range 9 {
		s := serve(t, fake.MinerAntminer, func() (fake.MinerState, error) {
			most.Store(max(most.Load(), open.Add(1)))
			time.Sleep(5 * time.Millisecond) // so that they overlap if they may
			open.Add(-1)
			return ran(fake.MinerFaultNone), nil
		})
		miners = append(miners, miner.Miner{Device: domain.DeviceID(fmt.Sprintf("rack-%02d", i)), Address: s.Addr()})
	}
	s, err := miner.New(miner.Config{Name: "c", Every: domain.Minute, Miners: miners, Parallel: 2, Now: func() domain.Instant { return observed }})
	if err != nil {
		t.Fatal(err)
	}
	if d := poll(t, s); len(d.Samples) != 18 || most.Load() > 2 {
		t.Errorf("got %d samples with %d connections at a time; want 18 with 2", len(d.Samples), most.Load())
	}
}

func TestPollLeavesNothingBehind(t *testing.T) {
	var servers []*fake.MinerServer
	var miners []miner.Miner
	for i, row := range dialects {
		s := serve(t, row.fake, func() (fake.MinerState, error) { return ran(fake.MinerFaultNone), nil })
		servers = append(servers, s)
		miners = append(miners, miner.Miner{Device: domain.DeviceID(fmt.Sprint("rack-", i)), Address: s.Addr(), Dialect: row.speak})
	}
	s := source(t, 10*time.Second, miners...)
	poll(t, s)
	before := runtime.NumGoroutine()
	for range 200 {
		if d := poll(t, s); len(d.Samples) != 5 {
			t.Fatalf("got %d samples, rejected %v, silent %v", len(d.Samples), d.Rejected, d.Silent)
		}
	}
	// The servers notice on their own time that the connections are gone.
	deadline := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > before+3 || servers[1].Connections() > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("after 200 polls there are %d goroutines, %d before, and %d connections", runtime.NumGoroutine(), before, servers[1].Connections())
		}
		time.Sleep(time.Millisecond)
	}
}

func TestPollThatIsStopped(t *testing.T) {
	s := serve(t, fake.MinerAntminer, func() (fake.MinerState, error) { return ran(fake.MinerFaultSilent), nil })
	src := source(t, time.Minute, miner.Miner{Device: "rack-01", Address: s.Addr()}, miner.Miner{Device: "rack-02", Address: "127.0.0.1:1"})
	t.Run("by its caller, ends at once with an error", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			for s.Connections() == 0 {
				time.Sleep(time.Millisecond)
			}
			cancel()
		}()
		before := time.Now()
		if _, err := src.Poll(ctx, boundary); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want that it was canceled", err)
		}
		if took := time.Since(before); took > 10*time.Second {
			t.Errorf("took %s", took)
		}
	})
	t.Run("by a deadline, delivers what there is", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		d, err := src.Poll(ctx, boundary)
		if err != nil || len(d.Silent) != 4 || !strings.Contains(d.Silent[0].Reason, "no answer before the poll ended") {
			t.Errorf("got %v, %v", d.Silent, err)
		}
	})
	t.Run("off its boundaries, is refused", func(t *testing.T) {
		if _, err := src.Poll(t.Context(), boundary+1); err == nil {
			t.Error("polled for an instant that is no boundary")
		}
		if _, err := src.Poll(t.Context(), -300_000_000); err == nil {
			t.Error("polled for an instant before 1970")
		}
	})
}

func TestNewRefuses(t *testing.T) {
	good := func() miner.Config {
		return miner.Config{
			Name: "container-1", Every: 5 * domain.Minute, Now: func() domain.Instant { return 0 },
			Miners: []miner.Miner{{Device: "rack-01", Address: "10.0.0.7:4028"}, {Device: "rack-02", Address: "[fe80::1%eth0]:4028"}},
		}
	}
	if s, err := miner.New(good()); err != nil || s.Name() != "container-1" || s.Every() != 5*domain.Minute {
		t.Fatalf("a good configuration: %v", err)
	}
	for _, row := range []struct {
		name   string
		change func(*miner.Config)
		want   string
	}{
		{"no name", func(c *miner.Config) { c.Name = "" }, "source is empty"},
		{"no miners", func(c *miner.Config) { c.Miners = nil }, "from 1 to 1024 miners, not 0"},
		{"too many miners", func(c *miner.Config) { c.Miners = make([]miner.Miner, 1025) }, "from 1 to 1024 miners, not 1025"},
		{"no clock", func(c *miner.Config) { c.Now = nil }, "no clock"},
		{"no time between polls", func(c *miner.Config) { c.Every = 0 }, "time between polls of 0s"},
		{"part of a second", func(c *miner.Config) { c.Every = domain.Second + 1 }, "whole seconds"},
		{"more than a day", func(c *miner.Config) { c.Every = 2 * domain.Day }, "up to 24h0m0s"},
		{"a negative timeout", func(c *miner.Config) { c.Timeout = -1 }, "negative"},
		{"a bad device", func(c *miner.Config) { c.Miners[0].Device = "Rack 1" }, `device "Rack 1"`},
		{"no port", func(c *miner.Config) { c.Miners[0].Address = "10.0.0.7" }, `miner address "10.0.0.7"`},
		{"a space in the address", func(c *miner.Config) { c.Miners[0].Address = "10.0.0.7 :4028" }, "miner address"},
		{"an unknown dialect", func(c *miner.Config) { c.Miners[0].Dialect = 9 }, "dialect 9 is not known"},
		{"a device twice", func(c *miner.Config) { c.Miners[1].Device = "rack-01" }, "rack-01 is there twice"},
		{"an address twice", func(c *miner.Config) { c.Miners[1].Address = "10.0.0.7:4028" }, "10.0.0.7:4028 is there twice"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := good()
			row.change(&c)
			if _, err := miner.New(c); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, want an error with %q", err, row.want)
			}
		})
	}
}

func TestDialectNames(t *testing.T) {
	for _, name := range []string{"auto", "antminer", "whatsminer", "luxos"} {
		var d miner.Dialect
		if err := json.Unmarshal([]byte(`"`+name+`"`), &d); err != nil || d.String() != name {
			t.Errorf("%s: got %s, %v", name, d, err)
		}
		if b, err := json.Marshal(d); err != nil || string(b) != `"`+name+`"` {
			t.Errorf("%s: wrote %s, %v", name, b, err)
		}
	}
	if _, err := miner.ParseDialect("avalon"); err == nil {
		t.Error("avalon was accepted")
	}
}

// TestReadReply uses a pipe that never closes where the row does not say so:
// a reader that waits for the end would hang.
func TestReadReply(t *testing.T) {
	big := strings.Repeat(" ", 5000)
	for _, row := range []struct {
		name  string
		parts []string // as they arrive
		end   error    // how the connection ends; nil if it stays open
		want  string
		err   string
	}{
		{"up to a NUL", []string{`{"a":1}`, "\x00"}, nil, "{\"a\":1}\x00", ""},
		{"up to a NUL in the middle of what arrives", []string{"{\"a\":1}\x00\x00"}, nil, "{\"a\":1}\x00\x00", ""},
		{"up to a newline after a whole document", []string{`{"a":`, "1}\n"}, nil, "{\"a\":1}\n", ""},
		{"past a newline within the document", []string{"{\n", "\"a\":1\n", "}\n"}, nil, "{\n\"a\":1\n}\n", ""},
		{"up to the end of the connection", []string{`{"a":1}`}, io.EOF, `{"a":1}`, ""},
		{"up to the end of the connection, even if it is early", []string{`{"a":`}, io.EOF, `{"a":`, ""},
		{"a whole document when the connection stalls", []string{`{"a":1}`}, os.ErrDeadlineExceeded, `{"a":1}`, ""},
		{"part of a document when the connection stalls", []string{`{"a":1`}, os.ErrDeadlineExceeded, `{"a":1`, "i/o timeout"},
		{"nothing", nil, io.EOF, "", "connection closed without an answer"},
		{"more than fits into the first buffer", []string{big, big, "{}\x00"}, nil, big + big + "{}\x00", ""},
		{"as much as the limit", []string{strings.Repeat("x", 19_999) + "\x00"}, nil, strings.Repeat("x", 19_999) + "\x00", ""},
		{"no more than the limit", []string{strings.Repeat("x", 20_000) + "\x00"}, nil, strings.Repeat("x", 4096), "reply is too long"},
		{"no end to it", []string{strings.Repeat("x", 30_000)}, nil, strings.Repeat("x", 4096), "reply is too long"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r, w := io.Pipe()
			go func() {
				for _, p := range row.parts {
					if _, err := io.WriteString(w, p); err != nil {
						return
					}
				}
				if row.end != nil {
					w.CloseWithError(row.end)
				}
			}()
			defer r.Close()
			got, err := miner.ReadReply(r, 20_000)
			if string(got) != row.want {
				t.Errorf("got %d bytes %.60q, want %d bytes %.60q", len(got), got, len(row.want), row.want)
			}
			if (err == nil) != (row.err == "") || err != nil && !strings.Contains(err.Error(), row.err) {
				t.Errorf("got error %v, want %q", err, row.err)
			}
		})
	}
}

// fieldData returns the path of a file of the folder of field data, and skips
// the test if it is absent.
func fieldData(t *testing.T, parts ...string) string {
	t.Helper()
	dir := os.Getenv("WATTBOOK_FIELD_DATA")
	if dir == "" {
		root, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for {
			if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
				break
			}
			if filepath.Dir(root) == root {
				t.Fatal("no go.mod above the test")
			}
			root = filepath.Dir(root)
		}
		dir = filepath.Join(root, "..", "shared", "data")
	}
	file := filepath.Join(append([]string{dir}, parts...)...)
	if _, err := os.Stat(file); err != nil {
		t.Skipf("field data %s is absent; set WATTBOOK_FIELD_DATA to its folder", filepath.Join(parts...))
	}
	return file
}
