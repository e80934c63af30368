package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/eventlog/proof"
	"wattbook/ingest/archive"
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
	if words := []byte("about invoice"); bytes.HasPrefix(lines[1], words) {
		if err := os.WriteFile(forged, bytes.Replace(good, words, []byte("about another invoice"), 1), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := wattbook(t, "prove", "--check", forged, "--key", key); !strings.Contains(got.out, "BEWARE: line 2 of the file calls it") {
			t.Errorf("words that are not of what is proved: %s", got.out)
		}
	}
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

// copies carries the book away and back, and finds it the same.
func (m month) copies(t *testing.T) {
	dir := t.TempDir()
	root := func(r result) string {
		_, after, _ := strings.Cut(r.out, "root ")
		root, _, _ := strings.Cut(after, "\n")
		root, _, _ = strings.Cut(root, ";")
		root, _, _ = strings.Cut(root, ",")
		return root
	}
	saved, restored, file, imported := filepath.Join(dir, "saved"), filepath.Join(dir, "restored"), filepath.Join(dir, "log.archive"), filepath.Join(dir, "imported")
	want := wattbook(t, "verify", "--data", m.data)
	for _, args := range [][]string{
		{"backup", "--to", saved, "--data", m.data},
		{"restore", "--from", saved, "--data", restored},
		{"verify", "--data", restored},
		{"log", "export", "-o", file, "--data", m.data},
		{"log", "import", file, "--key", folder(m.data).publicKey(), "--data", imported},
	} {
		if got := wattbook(t, args...); got.code != exitOK || root(got) != root(want) {
			t.Fatalf("wattbook %s: exit %d, want root %s\n%s%s", strings.Join(args, " "), got.code, root(want), got.out, got.errors)
		}
	}
	again := wattbook(t, "replay", "--data", restored)
	golden, err := os.ReadFile(filepath.Join("testdata", "october-seed-1.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(golden)) {
		fields := strings.Fields(line)
		if digest := fields[len(fields)-1]; !strings.Contains(again.out, digest) {
			t.Errorf("the restored book does not replay to %s\n%s", line, again.out)
		}
	}
	if mode, err := os.Stat(folder(restored).privateKey()); err != nil || mode.Mode().Perm() != 0o600 {
		t.Errorf("the key of the restored log: %v, %v", mode, err)
	}
	for _, args := range [][]string{
		{"backup", "--to", saved, "--data", m.data},
		{"restore", "--from", saved, "--data", restored},
		{"log", "import", file, "--data", imported},
	} {
		if got := wattbook(t, args...); got.code != exitFinding || !strings.Contains(got.errors, "is not overwritten") {
			t.Errorf("wattbook %s again: exit %d\n%s%s", strings.Join(args, " "), got.code, got.out, got.errors)
		}
	}
	m.rewritten(t, file)
	m.emptied(t, restored)
}

// emptied takes the log away and leaves what was signed of it: no verb takes
// that for a book without events.
func (m month) emptied(t *testing.T, data string) {
	if err := os.RemoveAll(folder(data).log()); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"replay"}, {"verify"}, {"invoice", "run", "--period", "2026-10"}} {
		if got := wattbook(t, append(args, "--data", data)...); got.code != exitFinding || !strings.Contains(got.errors, "it holds no log, and") {
			t.Errorf("wattbook %s without its log: exit %d\n%s%s", strings.Join(args, " "), got.code, got.out, got.errors)
		}
	}
	e, err := openEngine(t.Context(), settings{Data: data}, systemClock, slog.New(slog.DiscardHandler)) // as serve does, in the empty folder
	if err == nil {
		t.Error("a new log begins where another was signed", e.close())
	} else if !strings.Contains(err.Error(), "the log ends there, and") {
		t.Error(err)
	}
}

// rewritten tells another history: one payload is changed, and the tree over
// all events is made anew, so that the log agrees with itself.
func (m month) rewritten(t *testing.T, file string) {
	v, err := folder(m.data).verifier()
	if err != nil {
		t.Fatal(err)
	}
	sizes, err := folder(m.data).checkpointSizes()
	if err != nil {
		t.Fatal(err)
	}
	victim := domain.Position(sizes[1] + 100)
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	r, err := archive.NewReader(in, func(raw []byte) (proof.Checkpoint, error) {
		s, err := proof.Open(raw, v)
		return s.Checkpoint, err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var records []eventlog.Record
	var tree proof.Tree
	for rec, err := range r.Records() {
		if err != nil {
			t.Fatal(err)
		}
		if rec.Position == victim {
			rec.Payload[len(rec.Payload)/2] ^= 1
		}
		tree.Add(nil, rec, domain.DigestOf(rec.Payload))
		records = append(records, rec)
	}
	c := proof.Checkpoint{Origin: v.Name(), Size: tree.Size(), Root: tree.Root()}
	private, _, err := note.GenerateKey(rand.Reader, v.Name()) // the name is not the key
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := c.Sign(signer)
	if err != nil {
		t.Fatal(err)
	}
	var forged bytes.Buffer
	err = archive.Write(&forged, func(yield func(eventlog.Record, error) bool) {
		for _, rec := range records {
			if !yield(rec, nil) {
				return
			}
		}
	}, c, raw)
	if err != nil {
		t.Fatal(err)
	}
	path, data := filepath.Join(t.TempDir(), "forged.archive"), filepath.Join(t.TempDir(), "forged")
	if err := os.WriteFile(path, forged.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	got := wattbook(t, "log", "import", path, "--key", folder(m.data).publicKey(), "--data", data)
	if got.code != exitFinding || !strings.Contains(got.errors, "it is not signed with the key "+v.Name()) {
		t.Errorf("import of a forged log: exit %d\n%s%s", got.code, got.out, got.errors)
	}
	if _, err := os.Stat(data); err == nil {
		t.Error("something is kept of an import that was refused")
	}
	got = wattbook(t, "log", "import", path, "--data", data)
	if got.code != exitOK || !strings.Contains(got.out, "the signature of "+v.Name()+" was not checked") {
		t.Fatalf("import without a key: exit %d\n%s%s", got.code, got.out, got.errors)
	}
	// Whoever kept the checkpoints finds out, and from where on.
	if err := os.CopyFS(folder(data).checkpoints(), os.DirFS(folder(m.data).checkpoints())); err != nil {
		t.Fatal(err)
	}
	got = wattbook(t, "verify", "--key", folder(m.data).publicKey(), "--data", data)
	want := fmt.Sprintf("DAMAGED  positions %d to %d: an event is not what it was; it contradicts the checkpoint of %d events", sizes[1], sizes[2]-1, sizes[2])
	if got.code != exitFinding || !strings.Contains(got.out, want) {
		t.Errorf("verify of another history: exit %d, want %q\n%s%s", got.code, want, got.out, got.errors)
	}
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
