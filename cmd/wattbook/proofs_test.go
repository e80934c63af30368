package main

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"wattbook/domain/eventlog/proof"
)

// proofs proves invoices and events to someone who has the key alone.
func (m month) proofs(t *testing.T) {
	key, err := os.ReadFile(folder(m.data).publicKey())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	verified := wattbook(t, "verify", "--data", m.data)
	if verified.code != exitOK || !strings.Contains(verified.out, "checkpoints agree") {
		t.Fatalf("verify: exit %d\n%s%s", verified.code, verified.out, verified.errors)
	}
	closing := 0
	v, err := folder(m.data).verifier()
	if err != nil {
		t.Fatal(err)
	}
	signed, err := folder(m.data).readCheckpoints(v)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range signed {
		if slices.Contains(s.Extensions, "closed cedar-bend 2026-10") {
			closing++
		}
	}
	if len(signed) < 7 || closing != 1 {
		t.Errorf("%d checkpoints, %d at the close of the month", len(signed), closing)
	}
	var file string
	for _, c := range []struct{ number, want string }{
		{"CB-2026-000001", "of 25385.92 USD, of Aurora Labs, Inc. for 2026-10"},
		{"CB-2026-000002", "computed again from them, the invoice comes out to the cent"},
		{"CB-2026-000003", "events with 0 readings"},
	} {
		file = filepath.Join(dir, c.number+".proof")
		made := wattbook(t, "prove", "--invoice", c.number, "-o", file, "--data", m.data)
		// Checked without the folder, with nothing but the file and the key.
		checked := wattbook(t, "prove", "--check", file, "--key", strings.TrimSpace(string(key)), "--data", filepath.Join(dir, "none"))
		if c.number == "CB-2026-000003" { // bills energy: its readings are in the file
			if strings.Contains(checked.out, c.want) {
				t.Errorf("the proof of an invoice for energy holds no readings:\n%s", checked.out)
			}
			c.want = " readings are in the log"
		}
		if made.code != exitOK || checked.code != exitOK || !strings.HasPrefix(checked.out, "PROVED") || !strings.Contains(checked.out, c.want) {
			t.Errorf("%s: exit %d and %d, want %q\n%s%s%s%s", c.number, made.code, checked.code, c.want, made.out, made.errors, checked.out, checked.errors)
		}
	}
	m.forged(t, file, folder(m.data).publicKey())

	event := wattbook(t, "log", "tail", "--count", "1", "--json", "--data", m.data).out
	_, id, _ := strings.Cut(event, `"id":"`)
	id, _, _ = strings.Cut(id, `"`)
	path := filepath.Join(dir, "event.proof")
	if made := wattbook(t, "prove", "--event", id, "-o", path, "--data", m.data); made.code != exitOK {
		t.Fatalf("prove --event %s: exit %d\n%s", id, made.code, made.errors)
	}
	checked := wattbook(t, "prove", "--check", path, "--key", folder(m.data).publicKey())
	if checked.code != exitOK || !strings.Contains(checked.out, "PROVED   event "+id+", payout.reconciled/1") {
		t.Errorf("check of an event: exit %d\n%s%s", checked.code, checked.out, checked.errors)
	}
	m.forged(t, path, folder(m.data).publicKey())
}

// forged changes a proof file at many places; none of the files may prove
// anything else.
func (m month) forged(t *testing.T, path, key string) {
	t.Helper()
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	forged := filepath.Join(t.TempDir(), "forged.proof")
	check := func(what string, content []byte) {
		if err := os.WriteFile(forged, content, 0o644); err != nil {
			t.Fatal(err)
		}
		got := wattbook(t, "prove", "--check", forged, "--key", key)
		if got.code != exitFinding || !strings.HasPrefix(got.out, "NOT PROVED") {
			t.Errorf("%s: exit %d\n%.300s%s", what, got.code, got.out, got.errors)
		}
	}
	lines := bytes.SplitAfter(good, []byte("\n"))
	for i := range 20 {
		at := len(good) * i / 20
		if bytes.HasPrefix(good[:at], []byte("wattbook")) && bytes.Count(good[:at], []byte("\n")) == 1 {
			continue // what a bundle says that it is about proves nothing
		}
		changed := slices.Clone(good)
		changed[at] ^= 1
		check(fmt.Sprintf("byte %d of %d changed", at, len(good)), changed)
		check(fmt.Sprintf("cut short to %d bytes", at), good[:at])
	}
	for i := 2; i < len(lines)-1; i += max(1, len(lines)/20) {
		check(fmt.Sprintf("line %d left out", i+1), bytes.Join(slices.Delete(slices.Clone(lines), i, i+1), nil))
	}
	other := wattbook(t, "prove", "--check", path, "--key", otherKey(t))
	if other.code != exitFinding || !strings.HasPrefix(other.out, "NOT PROVED") {
		t.Errorf("under the key of another log: exit %d\n%s", other.code, other.out)
	}
}

func otherKey(t *testing.T) string {
	t.Helper()
	_, public, err := note.GenerateKey(rand.Reader, "wattbook/other")
	if err != nil {
		t.Fatal(err)
	}
	return public
}

// tampered rewrites events of a copy of the log with the database's own means,
// so that every checksum of the storage is right.
func (m month) tampered(t *testing.T) {
	data := filepath.Join(t.TempDir(), "copy")
	for _, part := range []string{"log", "checkpoints", "keys"} {
		if err := os.CopyFS(filepath.Join(data, part), os.DirFS(filepath.Join(m.data, part))); err != nil {
			t.Fatal(err)
		}
	}
	sizes, err := folder(data).checkpointSizes()
	if err != nil {
		t.Fatal(err)
	}
	db, err := pebble.Open(folder(data).log(), &pebble.Options{FormatMajorVersion: pebble.FormatWALSyncChunks, Logger: silent{}})
	if err != nil {
		t.Fatal(err)
	}
	// The block that holds the event at the second checkpoint's end.
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{'e'}, UpperBound: []byte{'f'}})
	if err != nil {
		t.Fatal(err)
	}
	if !it.SeekLT(binary.BigEndian.AppendUint64([]byte{'e'}, uint64(sizes[1]))) {
		t.Fatal("no block")
	}
	key, block := slices.Clone(it.Key()), slices.Clone(it.Value())
	first := binary.BigEndian.Uint64(key[1:])
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	block[len(block)-1] ^= 1 // the last byte of a payload
	if err := db.Set(key, block, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	got := wattbook(t, "verify", "--data", data)
	if got.code != exitFinding || !strings.Contains(got.out, "DAMAGED") {
		t.Fatalf("verify of a log that was rewritten: exit %d\n%s%s", got.code, got.out, got.errors)
	}
	var at uint64
	if _, after, ok := strings.Cut(got.out, "position "); ok {
		_, _ = fmt.Sscan(after, &at)
	}
	if at < first || at > uint64(sizes[1]) || !strings.Contains(got.out, "checkpoint") {
		t.Errorf("the change is in the block of position %d, under the checkpoint of %d events; verify says:\n%s", first, sizes[1], got.out)
	}
}

type silent struct{}

func (silent) Infof(string, ...any)  {}
func (silent) Errorf(string, ...any) {}
func (silent) Fatalf(f string, a ...any) {
	panic(fmt.Sprintf(f, a...))
}

// witness is one as C2SP tlog-witness describes it.
type witness struct {
	log  note.Verifier
	key  *proof.Cosigner
	size int64
	root tlog.Hash
}

func (w *witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || r.URL.Path != "/add-checkpoint" {
		http.Error(rw, "no", http.StatusNotFound)
		return
	}
	old, growth, checkpoint, err := proof.ParseWitnessRequest(body)
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	s, err := proof.Open(checkpoint, w.log)
	switch {
	case err != nil:
		http.Error(rw, err.Error(), http.StatusForbidden)
		return
	case old != w.size:
		rw.Header().Set("Content-Type", "text/x.tlog.size")
		rw.WriteHeader(http.StatusConflict)
		fmt.Fprintf(rw, "%d\n", w.size)
		return
	}
	if err := proof.CheckGrowth(growth, proof.Checkpoint{Origin: s.Origin, Size: w.size, Root: w.root}, s.Checkpoint); err != nil {
		http.Error(rw, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	line, err := w.key.Cosign(s)
	if err != nil {
		http.Error(rw, err.Error(), http.StatusInternalServerError)
		return
	}
	w.size, w.root = s.Size, s.Root
	_, _ = rw.Write(line)
}

// witnessed lets a witness cosign the log as it grows.
func (m month) witnessed(t *testing.T) {
	private, public, err := proof.GenerateWitness(rand.Reader, "witness.example")
	if err != nil {
		t.Fatal(err)
	}
	key, err := proof.NewCosigner(private, systemClock)
	if err != nil {
		t.Fatal(err)
	}
	log, err := folder(m.data).verifier()
	if err != nil {
		t.Fatal(err)
	}
	w := &witness{log: log, key: key}
	server := httptest.NewServer(w)
	defer server.Close()
	sign := func() result {
		return wattbook(t, "checkpoint", "--witness", server.URL+"/", "--witness-key", public, "--data", m.data)
	}
	verify := func() result { return wattbook(t, "verify", "--witness-key", public, "--data", m.data) }

	if got := verify(); got.code != exitFinding || !strings.Contains(got.out, "witness.example has not cosigned") {
		t.Errorf("verify before the witness has seen anything: exit %d\n%s%s", got.code, got.out, got.errors)
	}
	for _, when := range []string{"the first time", "again, with nothing new"} {
		got := sign()
		if got.code != exitOK || strings.Count(got.out, "— witness.example ") != 1 {
			t.Errorf("%s: exit %d\n%s%s", when, got.code, got.out, got.errors)
		}
	}
	path := filepath.Join(t.TempDir(), "prices.csv")
	if err := os.WriteFile(path, []byte("time,price\n2026-11-04T00:00:00Z,31.5\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := wattbook(t, "import", "prices", path, "--data", m.data); got.code != exitOK {
		t.Fatalf("import: %s", got.errors)
	}
	seen := w.size
	if got := sign(); got.code != exitOK || w.size <= seen || !strings.Contains(got.out, "— witness.example ") {
		t.Errorf("after the log has grown: exit %d, the witness has seen %d events\n%s%s", got.code, w.size, got.out, got.errors)
	}
	if got := verify(); got.code != exitOK {
		t.Errorf("verify: exit %d\n%s%s", got.code, got.out, got.errors)
	}
	// A witness that has seen another history of the log says no.
	uncosigned := func() {
		if err := os.Remove(folder(m.data).checkpoint(w.size)); err != nil {
			t.Fatal(err)
		}
	}
	uncosigned()
	seen = w.size
	w.root[0] ^= 1
	w.size--
	if got := sign(); got.code != exitFinding || !strings.Contains(got.errors, "witness witness.example answers 422") {
		t.Errorf("a witness of another history: exit %d\n%s%s", got.code, got.out, got.errors)
	}
	w.size = seen
	uncosigned()
	w.size += 1000
	if got := sign(); got.code != exitFinding || !strings.Contains(got.errors, "knows another history of this log") {
		t.Errorf("a witness of a longer history: exit %d\n%s%s", got.code, got.out, got.errors)
	}
}
