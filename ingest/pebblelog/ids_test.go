package pebblelog

import (
	"fmt"
	"testing"

	"wattbook/domain"
)

// TestTheFilterForgetsNoIDAndSparesMostSearches adds ids beyond the room of
// several filters.
func TestTheFilterForgetsNoIDAndSparesMostSearches(t *testing.T) {
	const n = 300_000
	var f idFilter
	id := func(i int) domain.EventID { return domain.EventIDOf("filter", fmt.Sprint(i)) }
	for i := range n {
		f.add(id(i))
	}
	for i := range n {
		if !f.mayHave(id(i)) {
			t.Fatalf("id %d was forgotten", i)
		}
	}
	vain := 0
	for i := range n {
		if f.mayHave(id(n + i)) {
			vain++
		}
	}
	t.Logf("%d of %d ids that are new are looked for, in %d filters", vain, n, len(f.levels))
	if vain > n/100 {
		t.Errorf("%d of %d ids that are new are looked for", vain, n)
	}
}
