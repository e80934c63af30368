package pebblelog_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/eventlog/proof"
	"wattbook/ingest/pebblelog"
)

// checkTree compares what a log stores of its tree with what follows from its
// events.
func checkTree(t *testing.T, log *pebblelog.Log) {
	t.Helper()
	var tree proof.Tree
	var want []tlog.Hash
	for r, err := range log.ReadAll(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		want = tree.Add(want, r, domain.DigestOf(r.Payload))
	}
	size, root, err := log.Tree()
	if err != nil || int64(size) != tree.Size() || root != tree.Root() {
		t.Fatalf("the log's tree has %d leaves and root %v, %v; from its events %d and %v", size, root, err, tree.Size(), tree.Root())
	}
	indexes := make([]int64, len(want))
	for i := range indexes {
		indexes[i] = int64(i)
	}
	for range 2 { // from disk, and from memory
		got, err := log.ReadHashes(indexes)
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("stored hash %d is %v, want %v", i, got[i], want[i])
			}
		}
	}
}

func TestTheTreeIsStoredWithTheEvents(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 3))
	dir := t.TempDir()
	n := 0
	for range 6 {
		log := open(t, dir)
		checkTree(t, log)
		for range rng.IntN(12) {
			writes := []eventlog.Write{{Stream: "things-1", Expect: eventlog.Any}, {Stream: "things-2", Expect: eventlog.Any}}
			for i := range writes {
				for range 1 + rng.IntN(150) {
					n++
					writes[i].Events = append(writes[i].Events, event(fmt.Sprint(n), rng.IntN(2000)))
				}
			}
			if _, err := log.Append(t.Context(), writes...); err != nil {
				t.Fatal(err)
			}
			if rng.IntN(3) == 0 { // what is refused leaves no trace in the tree
				_, err := log.Append(t.Context(), eventlog.Write{Stream: "things-1", Expect: eventlog.None, Events: []eventlog.Draft{event("never", 10)}})
				if !errors.Is(err, eventlog.ErrWrongExpectedRevision) {
					t.Fatal(err)
				}
			}
		}
		checkTree(t, log)
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
	log := open(t, dir)
	defer log.Close()
	if _, err := log.ReadHashes([]int64{tlog.StoredHashCount(int64(n))}); err == nil || !strings.Contains(err.Error(), "of the tree") {
		t.Errorf("a hash beyond the end: %v", err)
	}
	if _, err := log.ReadHashes([]int64{-1}); err == nil {
		t.Error("a hash before the beginning")
	}
}
