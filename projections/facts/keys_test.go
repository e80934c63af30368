package facts

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"wattbook/projections/scratch"
)

// TestKeysAreAMap holds the table of keys against a map.
func TestKeysAreAMap(t *testing.T) {
	text := rapid.Custom(func(t *rapid.T) string {
		return strings.Repeat(rapid.StringN(0, 3, 4).Draw(t, "text"), rapid.SampledFrom([]int{1, 1, 1, 40, blockBytes / 2, blockBytes + 1}).Draw(t, "times"))
	})
	rapid.Check(t, func(t *rapid.T) {
		k := newKeys(scratch.In("", 1<<20))
		want := map[string]uint32{}
		for range rapid.IntRange(0, 400).Draw(t, "n") {
			s := text.Draw(t, "key")
			n, known := want[s]
			if found, ok := k.find(s); ok != known || ok && found != n {
				t.Fatalf("%.20q is %d, %v; want %d, %v", s, found, ok, n, known)
			}
			if !known {
				n = uint32(len(want))
				want[s] = n
			}
			if got, there := k.add(s); got != n || there != known {
				t.Fatalf("added, %.20q is %d, %v; want %d, %v", s, got, there, n, known)
			}
		}
		for s, n := range want {
			if k.text(n) != s {
				t.Fatalf("%d is %.20q, want %.20q", n, k.text(n), s)
			}
		}
	})
}

func TestManyKeysAreFound(t *testing.T) {
	k := newKeys(nil)
	const n = 50_000
	for i := range uint32(n) {
		if got, there := k.add(fmt.Sprintf("job-%d", i)); got != i || there {
			t.Fatalf("key %d is %d, %v", i, got, there)
		}
	}
	for i := range uint32(n) {
		if got, ok := k.find(fmt.Sprintf("job-%d", i)); !ok || got != i {
			t.Fatalf("key %d is %d, %v", i, got, ok)
		}
	}
	if _, ok := k.find("job-"); ok {
		t.Error("a key is found that was never added")
	}
}
