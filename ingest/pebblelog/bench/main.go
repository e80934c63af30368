// Command bench measures the event log beside other stores that promise the
// same: what was acknowledged is on the disk. All of a run is on one disk, and
// every figure stands beside a plain file that is synced, which is the limit.
//
// It is a module of its own, so that the other stores are not among the
// libraries of the log.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

func main() {
	dir := flag.String("dir", "", "`folder` on the disk to measure; default: a temporary one")
	length := flag.Duration("for", 2*time.Second, "how long each store is measured for each figure")
	flag.Parse()
	if err := run(*dir, *length); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// store is something that keeps events durably.
type store interface {
	// add makes the events durable, all or none, before it returns. It is
	// called by several producers at once.
	add(ctx context.Context, producer int, events [][]byte) error
	close() error
}

// stores opens each kind of store in a folder.
func stores() []struct {
	name string
	open func(dir string) (store, error)
} {
	return []struct {
		name string
		open func(dir string) (store, error)
	}{
		{"plain file", openFile},
		{"wattbook", openLog},
		{"bbolt", openBolt},
		{"sqlite", openSQLite},
		{"jetstream", openJetStream},
	}
}

func run(dir string, length time.Duration) error {
	dir, err := os.MkdirTemp(dir, "bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Printf("on %s, %s for each figure\n\n", dir, length)
	if err := appends(dir, length); err != nil {
		return err
	}
	return own(dir, length)
}

// shape is a way to append.
type shape struct {
	name             string
	producers, batch int
}

// appends measures every store in every shape, one after the other, and prints
// events per second.
func appends(dir string, length time.Duration) error {
	shapes := []shape{{"1 producer", 1, 1}, {"8 producers", 8, 1}, {"64 producers", 64, 1}, {"batches of 1,000", 4, 1000}}
	rates := map[string][]float64{}
	for i, sh := range shapes {
		for _, s := range stores() {
			at := filepath.Join(dir, fmt.Sprintf("%s-%d", strings.ReplaceAll(s.name, " ", "-"), i))
			rate, err := measure(s.open, at, sh, length)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", s.name, sh.name, err)
			}
			rates[s.name] = append(rates[s.name], rate)
		}
	}
	fmt.Println("DURABLE APPENDS of 256 bytes, events a second (and the portion of the plain file's)")
	fmt.Printf("  %-12s", "")
	for _, sh := range shapes {
		fmt.Printf("%24s", sh.name)
	}
	fmt.Println()
	for _, s := range stores() {
		fmt.Printf("  %-12s", s.name)
		for i := range shapes {
			fmt.Printf("%16s (%5.2f)", grouped(rates[s.name][i]), rates[s.name][i]/rates["plain file"][i])
		}
		fmt.Println()
	}
	own := rates["wattbook"]
	fmt.Println()
	aim("64 producers, times bbolt", own[2]/rates["bbolt"][2], 10)
	aim("64 producers, events/s", own[2], 60_000)
	aim("batches, portion of the plain file", own[3]/rates["plain file"][3], 0.4)
	aim("batches, events/s", own[3], 700_000)
	return nil
}

// measure returns how many events a second a fresh store takes.
func measure(open func(string) (store, error), dir string, sh shape, length time.Duration) (rate float64, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 0, err
	}
	s, err := open(dir)
	if err != nil {
		return 0, err
	}
	defer func() {
		if e := s.close(); err == nil {
			err = e
		}
		_ = os.RemoveAll(dir)
	}()
	ctx := context.Background()
	var total atomic.Int64
	var failed atomic.Value
	var wg sync.WaitGroup
	start := time.Now()
	for p := range sh.producers {
		wg.Go(func() {
			// Made before the clock would matter: random bytes, so that no store
			// gains by compressing them.
			pool := payloads(uint64(p), max(sh.batch, 64))
			for time.Since(start) < length {
				events := pool
				if sh.batch == 1 {
					events = pool[int(total.Load())%len(pool):][:1]
				}
				if err := s.add(ctx, p, events); err != nil {
					failed.Store(err)
					return
				}
				total.Add(int64(len(events)))
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	if err, ok := failed.Load().(error); ok {
		return 0, err
	}
	return float64(total.Load()) / took.Seconds(), nil
}

// aim prints a figure beside what it should be.
func aim(what string, is, want float64) {
	verdict := "reached"
	if is < want {
		verdict = fmt.Sprintf("missed by %.0f %%", 100*(1-is/want))
	}
	fmt.Printf("  %-44s %14s, aim %10s: %s\n", what, short(is), short(want), verdict)
}

// aimBelow prints a figure that should be small.
func aimBelow(what string, is, want float64) {
	verdict := "reached"
	if is > want {
		verdict = fmt.Sprintf("missed by %.0f %%", 100*(is/want-1))
	}
	fmt.Printf("  %-44s %14s, aim %10s: %s\n", what, short(is), short(want), verdict)
}

func short(v float64) string {
	if v >= 1000 {
		return grouped(v)
	}
	return fmt.Sprintf("%.2f", v)
}

func grouped(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	var parts []string
	for len(s) > 3 {
		parts = append(parts, s[len(s)-3:])
		s = s[:len(s)-3]
	}
	parts = append(parts, s)
	slices.Reverse(parts)
	return strings.Join(parts, ",")
}
