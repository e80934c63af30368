package pebblelog_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/mod/sumdb/tlog"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/eventlog/proof"
)

// TestKills starts a process that appends to a log on the disk, kills it, and
// looks at what is there, again and again on one log: every append that was
// acknowledged is there once and whole, positions are dense, and the tree is
// the one that was seen before, grown. WATTBOOK_KILLS says how often.
func TestKills(t *testing.T) {
	if dir := os.Getenv("WATTBOOK_KILL_DIR"); dir != "" {
		appendUntilKilled(t, dir)
		return
	}
	seed, kills := fromEnvironment(t, "WATTBOOK_KILLS", 5)
	t.Logf("%d kills; the moments are from WATTBOOK_SEED=%d", kills, seed)
	rng := rand.New(rand.NewPCG(seed, 3))
	k := &killed{dir: t.TempDir(), acked: map[string]bool{}}
	for range kills {
		k.run(t, rng)
		k.check(t)
		if t.Failed() {
			return
		}
	}
	t.Logf("%d events; %d appends were acknowledged, %d more are there whole", k.seen.Size, len(k.acked), k.untold)
}

// appendUntilKilled is the process that is killed: it says what is
// acknowledged.
func appendUntilKilled(t *testing.T, dir string) {
	log := open(t, dir)
	start, err := log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("%d.%d.%d", start, w, i)
				stream := eventlog.Stream(fmt.Sprintf("things-%d.%d", start, w))
				if _, err := log.Append(t.Context(), eventlog.Write{Stream: stream, Expect: eventlog.After(eventlog.Revision(2 * i)), Events: []eventlog.Draft{event(name+"a", 200), event(name+"b", 200)}}); err != nil {
					fmt.Println("failed", err)
					return
				}
				fmt.Println("acked", name)
			}
		})
	}
	wg.Wait()
}

// killed is a log whose writers are killed.
type killed struct {
	dir    string
	acked  map[string]bool
	seen   proof.Checkpoint
	untold int
}

func (k *killed) run(t *testing.T, rng *rand.Rand) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKills$")
	cmd.Env = append(os.Environ(), "WATTBOOK_KILL_DIR="+k.dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	first := true
	for lines.Scan() {
		what, name, _ := strings.Cut(lines.Text(), " ")
		if what != "acked" {
			t.Errorf("the writer says: %s", lines.Text())
			continue
		}
		k.acked[name] = true
		if first { // it works: its end is near
			first = false
			time.AfterFunc(time.Duration(rng.IntN(60_000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
		}
	}
	_ = cmd.Wait() // it was killed
	if first {
		t.Error("the writer acknowledged nothing")
	}
}

func (k *killed) check(t *testing.T) {
	t.Helper()
	log, err := openOn(t, vfs.Default, k.dir)
	if err != nil {
		t.Fatalf("open after a kill: %v", err)
	}
	defer log.Close()
	next := map[eventlog.Stream]eventlog.Revision{}
	found := map[string]int{}
	position := domain.Position(0)
	for r, err := range log.ReadAll(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Position != position || r.Revision != next[r.Stream] {
			t.Fatalf("position %d, revision %d of %s; want %d and %d", r.Position, r.Revision, r.Stream, position, next[r.Stream])
		}
		position++
		next[r.Stream]++
		found[strings.TrimRight(strings.Fields(string(r.Payload))[0], "ab")]++
	}
	for name, n := range found {
		if n != 2 {
			t.Errorf("%d events of append %s are there", n, name)
		}
	}
	for name := range k.acked {
		if found[name] == 0 {
			t.Errorf("append %s was acknowledged, and is lost", name)
		}
	}
	k.untold = len(found) - len(k.acked)
	if root, err := tlog.TreeHash(k.seen.Size, log); err != nil || k.seen.Size > 0 && root != k.seen.Root {
		t.Errorf("the tree of %d events is another one: %v", k.seen.Size, err)
	}
	size, root, err := log.Tree()
	if err != nil {
		t.Fatal(err)
	}
	k.seen = proof.Checkpoint{Origin: "kills", Size: int64(size), Root: root}
	if _, err := proof.Verify(t.Context(), log, log, []proof.Checkpoint{k.seen}, nil); err != nil {
		t.Error(err)
	}
	if err := log.VerifyIndexes(t.Context()); err != nil {
		t.Error(err)
	}
}
