package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestANoteIsProved corrects a reading of a billed month, and proves the note
// that the next run issues: with the key alone, and not if a byte is changed.
func TestANoteIsProved(t *testing.T) {
	s := script{t: t, dir: t.TempDir()}
	smallBook(t, s.dir)
	late := "device,channel,start,end,value,unit\nhall,energy.import,2026-10-14T12:00:00Z,2026-10-14T13:00:00Z,55,kWh\n"
	if err := os.WriteFile(filepath.Join(s.dir, "late.csv"), []byte(late), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ command, want string }{
		{"import readings late.csv --corrects", "1 corrected"},
		{"invoice run --period 2026-10", "credit note for LB-2026-000001"},
		{"prove --invoice LB-2026-000002 -o note.proof", "invoice LB-2026-000002: "},
		{"prove --check note.proof --key DIR/book/keys/log.pub", "PROVED   credit note LB-2026-000002 of -0.18 USD, of Orchard Compute, Inc. for 2026-10, to invoice LB-2026-000001"},
	} {
		if said := s.run(strings.Fields(step.command)); !strings.Contains(said, step.want) || strings.Contains(said, "\n= ") {
			t.Fatalf("%s:\n%s\nwant %s", step.command, said, step.want)
		}
	}
	path := filepath.Join(s.dir, "note.proof")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 1
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	if said := s.run(strings.Fields("prove --check note.proof --key DIR/book/keys/log.pub")); !strings.Contains(said, "NOT PROVED") || !strings.HasSuffix(said, "= 1\n") {
		t.Errorf("a forged note: %s", said)
	}
}
