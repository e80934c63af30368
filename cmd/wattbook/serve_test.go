package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"wattbook/domain"
	"wattbook/domain/wire"
	"wattbook/fixtures/fake"
	"wattbook/ingest/pebblelog"
	"wattbook/queries/warehouse"
)

// liveSite is a meter and a miner on loopback that count by the wall clock,
// and the configuration of a service that polls them every second.
func liveSite(t *testing.T) string {
	t.Helper()
	start := time.Now()
	since := func() int64 { return int64(time.Since(start) / time.Millisecond) }
	meter, err := fake.ServeSunSpec(203, 0, func() (fake.MeterState, error) {
		return fake.MeterState{Import: 5*domain.MegawattHour + domain.Energy(since())*2*domain.WattHour, Serial: "M-1"}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = meter.Close() })
	miner, err := fake.ServeMiner(fake.MinerAntminer, func() (fake.MinerState, error) {
		ms := since()
		return fake.MinerState{
			Now: domain.At(time.Now()), Elapsed: 5000 + ms/1000,
			Hashes:          domain.Int(5000*1000+ms).MulDiv(200_000_000_000, 1),
			ShareDifficulty: domain.Int(5000*1000+ms).MulDiv(46_000*domain.ShareUnit/1000, 1),
			HashesPerSecond: domain.Int(200_000_000_000_000),
		}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = miner.Close() })
	path := filepath.Join(t.TempDir(), "site.yaml")
	config := fmt.Sprintf(`
settle: 20ms
publish_every: 1s
site: {id: live, zone: UTC, step: 1s, currency: USD, node: n, revenue_meter: m1, loss_portion: 0}
devices:
  # Rated far above what they do: on a busy machine a second is long.
  - {id: m1, kind: meter, rated_kw: 500000}
  - {id: r1, kind: miner, under: m1, use: mining, rated_terahash_per_second: 20000}
sources:
  - {name: meters, type: modbus, every: 1s, meters: [{device: m1, address: "%s", registers: sunspec, provenance: revenue-meter}]}
  - {name: miners, type: cgminer, every: 1s, miners: [{device: r1, address: "%s", dialect: antminer}]}
`, meter.Addr(), miner.Addr())
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// service is a running process of wattbook serve.
type service struct {
	cmd   *exec.Cmd
	acked atomic.Uint64 // the last position that it said is recorded
	ended chan struct{}
}

func startService(t *testing.T, config, data string) *service {
	t.Helper()
	s := &service{cmd: exec.Command(os.Args[0], "serve", "--config", config, "--data", data), ended: make(chan struct{})}
	s.cmd.Env = append(os.Environ(), "RUN_AS_PROGRAM=1")
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.ended)
		for sc := bufio.NewScanner(stderr); sc.Scan(); {
			if _, position, ok := strings.Cut(sc.Text(), ", position "); ok {
				var p uint64
				if _, err := fmt.Sscan(position, &p); err == nil {
					s.acked.Store(p)
				}
			} else if !strings.HasPrefix(sc.Text(), "serving") {
				t.Logf("service: %s", sc.Text())
			}
		}
	}()
	return s
}

// TestKillingTheServiceLosesAndDoublesNothing kills the service at random
// moments, restarts it, and checks that every position that it had announced
// is there, and that what is booked is exactly what the registers moved by.
func TestKillingTheServiceLosesAndDoublesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("TestKillingTheServiceLosesAndDoublesNothing: -short")
	}
	config, data := liveSite(t), filepath.Join(t.TempDir(), "data")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	acked := uint64(0)
	for range 6 {
		s := startService(t, config, data)
		time.Sleep(time.Duration(900+rng.IntN(2200)) * time.Millisecond)
		if err := s.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-s.ended
		_ = s.cmd.Wait()
		acked = max(acked, s.acked.Load())
		if head := headOf(t, data); uint64(head) < acked {
			t.Fatalf("position %d was announced, but the log ends at %d", acked, head)
		}
		// What was published stays readable and right, whenever the publisher
		// was killed.
		if err := warehouse.Files(t.Context(), folder(data).warehouse()); err != nil && !errors.Is(err, warehouse.ErrNothingPublished) {
			t.Errorf("after a kill: %v", err)
		}
	}
	s := startService(t, config, data)
	time.Sleep(2500 * time.Millisecond)
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-s.ended
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("the service did not end well: %v", err)
	}
	checkBooks(t, data)
	if got := wattbook(t, "warehouse", "check", "--data", data); got.code != exitOK || !strings.Contains(got.out, "all tables are the same") {
		t.Errorf("warehouse check: exit %d\n%s%s", got.code, got.out, got.errors)
	}
	got := wattbook(t, "sql", "SELECT position AS n FROM published", "--format", "csv", "--data", data)
	if want := fmt.Sprintf("n\n%d\n", headOf(t, data)); got.out != want {
		t.Errorf("the warehouse is at %q, want %q\n%s", got.out, want, got.errors)
	}
}

// TestVerbsRunInsideTheService runs verbs on the folder of a running service:
// they see what it has recorded, and what they record is in its log.
func TestVerbsRunInsideTheService(t *testing.T) {
	if testing.Short() {
		t.Skip("TestVerbsRunInsideTheService: -short")
	}
	config, data := liveSite(t), filepath.Join(t.TempDir(), "data")
	s := startService(t, config, data)
	for deadline := time.Now().Add(time.Minute); s.acked.Load() == 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the service records nothing")
		}
	}
	dir := t.TempDir()
	t.Chdir(dir) // relative names of files count from where the caller is
	if err := os.WriteFile("prices.csv", []byte("time,price\n2026-11-04T00:00:00Z,31.5\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"log", "stat"}, exitOK, "readings.recorded/1"},
		{[]string{"import", "prices", "prices.csv", "--step", "1s"}, exitOK, "1 facts in 1 events"},
		{[]string{"import", "prices", "prices.csv", "--step", "1s"}, exitOK, "1 on record already"},
		{[]string{"warehouse", "publish"}, exitOK, "published: position"},
		{[]string{"sql", "SELECT price_as_published FROM power_prices"}, exitOK, "31.5"},
		{[]string{"warehouse", "rebuild"}, exitOK, "with the one before, made step by step: all tables are the same"},
		{[]string{"warehouse", "check"}, exitOK, "all tables are the same"},
		{[]string{"sql", "--at", "3", "SELECT position FROM published"}, exitOK, "       3"},
		{[]string{"warehouse", "chekc"}, exitUsage, "want check, rebuild or publish"},
		{[]string{"checkpoint"}, exitOK, "— wattbook/"},
		{[]string{"verify"}, exitOK, "checkpoints agree"},
		{[]string{"backup", "--to", "saved"}, exitOK, "backed up to saved: "},
		{[]string{"prove", "--event", "00000000-0000-0000-0000-000000000000", "-o", "x.proof"}, exitFinding, "is not in the log"},
		{[]string{"invoice", "run", "--period", "2020-01"}, exitFinding, "all of it is before the book of the site"},
		{[]string{"check", "--config", config}, exitOK, "is sound: site live, 2 devices"},
		{[]string{"explain"}, exitUsage, "--at is missing"},
		{[]string{"serve", "--config", config}, exitFinding, "in use by another process"},
	} {
		got := wattbook(t, append(c.args, "--data", data)...)
		if got.code != c.code || !strings.Contains(got.out+got.errors, c.want) {
			t.Errorf("wattbook %s: exit %d, want %d and %q\n%s%s", strings.Join(c.args, " "), got.code, c.code, c.want, got.out, got.errors)
		}
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-s.ended
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("the service did not end well: %v", err)
	}
	if got := wattbook(t, "verify", "--data", data); got.code != exitOK || strings.Contains(got.out, "under no checkpoint") {
		t.Errorf("after the service has ended: exit %d\n%s%s", got.code, got.out, got.errors)
	}
}

func openLog(t *testing.T, data string) *pebblelog.Log {
	t.Helper()
	log, err := pebblelog.Open(pebblelog.Config{Dir: folder(data).log(), Now: systemClock, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func headOf(t *testing.T, data string) domain.Position {
	t.Helper()
	log := openLog(t, data)
	defer log.Close()
	head, err := log.Head(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return head
}

// checkBooks checks that each series is one unbroken chain of readings whose
// values sum to the movement of its register.
func checkBooks(t *testing.T, data string) {
	t.Helper()
	log := openLog(t, data)
	defer log.Close()
	type chain struct {
		first, last domain.Int128 // registers
		end         domain.Instant
		booked      domain.Int128
		n           int
	}
	chains := map[string]*chain{}
	for r, err := range log.ReadAll(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		rec, err := wire.Open(r)
		if err != nil {
			t.Fatal(err)
		}
		batch, ok := rec.Event.(domain.ReadingsRecorded)
		if !ok {
			continue
		}
		for _, row := range batch.Readings {
			k := fmt.Sprint(row.Device, " ", row.Channel)
			c := chains[k]
			switch {
			case c == nil:
				chains[k] = &chain{first: row.Register, last: row.Register, end: row.Interval.End}
				if row.Mark != domain.MarkFirst {
					t.Errorf("%s begins with a %s reading", k, row.Mark)
				}
				continue
			case row.Mark != domain.MarkNormal && row.Mark != domain.MarkGap:
				t.Errorf("%s at %s: %s", k, row.Interval, row.Mark)
			case row.Interval.Start != c.end:
				t.Errorf("%s: a reading of %s follows one that ends at %s", k, row.Interval, c.end)
			}
			c.end, c.last, c.booked, c.n = row.Interval.End, row.Register, c.booked.Add(row.Value), c.n+1
		}
	}
	if len(chains) < 3 {
		t.Fatalf("%d series are on record", len(chains))
	}
	for k, c := range chains {
		moved := c.last.Sub(c.first)
		if strings.HasSuffix(k, "hashes") {
			moved = moved.MulDiv(100, 1)
		}
		if c.booked != moved || c.n < 5 {
			t.Errorf("%s: %d readings book %s, the register moved by %s", k, c.n, c.booked, moved)
		}
	}
}
