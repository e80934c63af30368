package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wattbook/domain"
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
		{"prove --invoice LB-2026-000001 -o invoice.proof", "BEWARE: credit note LB-2026-000002 corrects invoice LB-2026-000001; the file does not say so"},
		{"invoice run --period 2026-10", "was issued before"},
		{"replay", "All of them come out as they are on record."},
		{"prove --check note.proof --key DIR/book/keys/log.pub", "PROVED   credit note LB-2026-000002 of -0.18 USD, of Orchard Compute, Inc. for 2026-10, to invoice LB-2026-000001"},
	} {
		if said := s.run(strings.Fields(step.command)); !strings.Contains(said, step.want) || strings.Contains(said, "\n= ") {
			t.Fatalf("%s:\n%s\nwant %s", step.command, said, step.want)
		}
	}
	for _, number := range []string{"LB-2026-000001", "LB-2026-000002"} {
		namesWhatWasSigned(t, filepath.Join(s.dir, "book"), number)
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
	// A key is shown as it was given, or said to be cut.
	for key, want := range map[string]string{
		"wattbook/18b3dbaf5d7fac9a+ac04eadf+AXsuQE70+T+/iT+Ud4c9Lu+YLf8VqDuBMfESFVr1Amdx": `1Amdx" is no public key`,
		strings.Repeat("A", 200): `AAA"… is no public key`,
	} {
		if said := s.run([]string{"prove", "--check", "note.proof", "--key", key}); !strings.Contains(said, want) {
			t.Errorf("a key that is none: %s\nwant %s", said, want)
		}
	}
}

// namesWhatWasSigned compares what a document says that the log had signed with
// the checkpoint of that size in the folder.
func namesWhatWasSigned(t *testing.T, data, number string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(data, "invoices", number+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var says domain.Invoice
	if err := json.Unmarshal(raw, &says); err != nil {
		t.Fatal(err)
	}
	key, err := folder(data).verifier()
	if err != nil {
		t.Fatal(err)
	}
	signed, err := folder(data).readCheckpoint(int64(says.Checkpoint.Size), key)
	if err != nil || signed.Origin != says.Checkpoint.Log || domain.Digest(signed.Root) != says.Checkpoint.Root {
		t.Errorf("%s names %+v; signed is %+v, %v", number, says.Checkpoint, signed.Checkpoint, err)
	}
	if number == "LB-2026-000001" && says.Checkpoint.Size < says.AsOf {
		t.Errorf("%s was drawn from %d events, of which %d are signed", number, says.AsOf, says.Checkpoint.Size)
	}
}

// estimatedScript is a month of which a day was estimated.
const estimatedScript = `
now 2026-09-15
site s step=24h zone=UTC
meter revenue
meter n4 under=revenue use=ai
read revenue 2026-10@UTC 310kWh every=24h
read n4 2026-10-01..2026-10-14 100kWh every=24h
read n4 2026-10-15..2026-11-01 110kWh every=24h
price hb_south 2026-10@UTC 24h 50
now 2026-11-02T09:00
contract aurora tax=0.1 days=30
charge power power-pass-through n4
estimate n4 2026-10-14..2026-10-15 mean-of-neighbours
`

// TestEstimatesAreReplayedAndProved bills an estimated day: the proof says how
// it was made, and replay names an estimate that does not follow, or that
// nobody answers for.
func TestEstimatesAreReplayedAndProved(t *testing.T) {
	data, out := scriptedBook(t, estimatedScript), filepath.Join(t.TempDir(), "invoice.proof")
	for _, step := range []struct{ command, want string }{
		{"invoice run --period 2026-10", "CB-2026-000001"},
		{"prove --invoice CB-2026-000001 -o " + out, "invoice CB-2026-000001: "},
		{"prove --check " + out + " --key " + filepath.Join(data, "keys", "log.pub"), "1 of the readings, of n4 in [2026-10-14T00:00:00Z, 2026-10-15T00:00:00Z), are estimates by mean-of-neighbours, made by ana: fuse\n"},
		{"replay", "estimates                1         0"},
	} {
		if got := wattbook(t, append(strings.Fields(step.command), "--data", data)...); got.code != exitOK || !strings.Contains(got.out, step.want) {
			t.Fatalf("%s: exit %d\n%s%s\nwant %s", step.command, got.code, got.out, got.errors, step.want)
		}
	}
	tampered := scriptedBook(t, estimatedScript, "read n4 2026-10-20..2026-10-21 90kWh mark=estimated")
	const want = "! estimate of n4 for [2026-10-20T00:00:00Z, 2026-10-21T00:00:00Z) (event at position 10): 1 reading(s) are marked as estimated, and no event says by what method and who had them made"
	if got := wattbook(t, "replay", "--data", tampered); got.code != exitFinding || !strings.Contains(got.out, want) {
		t.Errorf("an estimate that nobody answers for: exit %d\n%s%s", got.code, got.out, got.errors)
	}
}
