package pebblelog_test

import (
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/ingest/pebblelog"
)

// TestExtendContinuesWhereItEnded brings a log in several goes, the last of
// which find everything there.
func TestExtendContinuesWhereItEnded(t *testing.T) {
	source := open(t, t.TempDir())
	fill(t, source, "a", 60)
	var all []eventlog.Record
	for r, err := range source.ReadAll(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	want, wantRoot, err := source.Tree()
	if err != nil {
		t.Fatal(err)
	}
	dir, away := t.TempDir(), errors.New("the source went away")
	held := []domain.Position{}
	for range 100 {
		size, root, err := pebblelog.Extend(t.Context(), config(dir), func(size domain.Position, stored tlog.HashReader) iter.Seq2[eventlog.Record, error] {
			want, err1 := tlog.TreeHash(int64(size), source)
			if root, err := tlog.TreeHash(int64(size), stored); err != nil || err1 != nil || root != want {
				t.Errorf("%d events have the root %s, want %s, %v", size, root, want, errors.Join(err, err1))
			}
			held = append(held, size)
			return func(yield func(eventlog.Record, error) bool) {
				for i, r := range all[size:] {
					if i == 150 {
						yield(r, away)
						return
					}
					if !yield(r, nil) {
						return
					}
				}
			}
		})
		if err == nil {
			if size != want || root != wantRoot {
				t.Errorf("%d events with the root %s, want %d and %s", size, root, want, wantRoot)
			}
			break
		}
		if !errors.Is(err, away) {
			t.Fatal(err)
		}
	}
	if len(held) < 3 || !slices.IsSorted(held) || len(slices.Compact(slices.Clone(held))) != len(held) {
		t.Errorf("the log held %v events when it was extended", held)
	}
	twice := all[0]
	twice.Position, twice.RecordedAt, twice.Revision = want, all[want-1].RecordedAt+1, 0
	twice.Stream = "twice-1"
	if _, _, err := pebblelog.Extend(t.Context(), config(dir), func(domain.Position, tlog.HashReader) iter.Seq2[eventlog.Record, error] {
		return func(yield func(eventlog.Record, error) bool) { yield(twice, nil) }
	}); err == nil || !strings.Contains(err.Error(), "comes twice") {
		t.Errorf("an id that is on record: %v", err)
	}
	extended := open(t, dir)
	same(t, source, extended)
	if err := extended.VerifyIndexes(t.Context()); err != nil {
		t.Error(err)
	}
}
