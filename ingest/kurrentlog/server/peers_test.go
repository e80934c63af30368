package server_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wattbook/ingest/kurrentlog/server"
)

// peers returns the folder in which the clients of others are installed, or
// skips the test. WATTBOOK_PEERS names it; .ci/run installs what is in it.
func peers(t *testing.T, module string) string {
	t.Helper()
	dir := os.Getenv("WATTBOOK_PEERS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", ".ci", "peers")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", module)); err != nil {
		t.Skipf("the npm module %s is not installed in %s: .ci/run installs it", module, dir)
	}
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is not installed")
	}
	return dir
}

// run lets the client of others use a server, and returns what it printed.
func run(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", append([]string{"testdata/client.mjs", peers(t, "@eventstore/db-client")}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s%s", err, out.String(), errs.String())
	}
	return out.Bytes()
}

// TestAClientOfOthersIsServed runs the client that the makers of the real
// server wrote for Node.js, and compares what it says with what the real server
// answers. Positions are the server's own, and are compared among themselves.
func TestAClientOfOthersIsServed(t *testing.T) {
	peers(t, "@eventstore/db-client")
	s, err := server.Start(server.Config{BehindEvents: 20})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var got map[string]any
	if err := json.Unmarshal(run(t, s.URL()), &got); err != nil {
		t.Fatal(err)
	}
	event := func(stream, revision, n, kind string) map[string]any {
		return map[string]any{
			"stream": stream, "revision": revision, "id": "00000000-0000-4000-8000-00000000000" + n, "type": kind, "json": true,
			"data": `{"n":` + n + `}`, "metadata": `{"$correlationId":"c` + n + `"}`,
		}
	}
	id := func(n string) any { return "00000000-0000-4000-8000-00000000000" + n }
	first := []any{
		event("things-1", "0", "1", "odd"), event("things-1", "1", "2", "even"), event("things-1", "2", "3", "odd"),
		event("things-1", "3", "5", "odd"), event("things-1", "4", "7", "odd"),
	}
	binary := event("things-2", "1", "9", "odd")
	binary["json"], binary["data"], binary["metadata"] = false, "00ff01", ""
	refused := func(current string) any { return map[string]any{"error": "wrong-expected-version", "current": current} }
	failed := func(kind string) any { return map[string]any{"error": kind} }
	at := func(revision string) any { return map[string]any{"revision": revision} }
	seen := func(checkpoints bool, what ...any) any {
		return map[string]any{"seen": append([]any{"confirmed"}, what...), "checkpoints": checkpoints}
	}
	want := map[string]any{
		"created": at("2"), "createdAgain": refused("2"), "retried": at("2"), "retriedAny": at("2"),
		"exact": at("3"), "exactRetried": at("3"), "wrong": refused("3"), "exists": at("4"), "missing": refused("no_stream"),
		"any": at("1"), "tooLarge": failed("maximum-append-size-exceeded"),
		"forwards": first, "middle": first[1:3], "backwards": []any{first[4], first[3]}, "binary": []any{binary}, "noStream": failed("stream-not-found"),
		"all": append(append([]any{}, first...), event("things-2", "0", "8", "even"), binary), "allFrom": []any{id("3"), id("5")},
		"allBackwards": []any{id("9"), id("8"), id("7")}, "allBackwardsFrom": []any{id("2"), id("1")},
		"live":     at("5"),
		"stream":   seen(false, "things-1 3", "things-1 4", "caught up", "things-1 5"),
		"filtered": seen(true, "things-1 1", "things-2 0", "caught up", "things-1 5"),
		"prefixed": seen(false, "things-2 0", "things-2 1"),
		"behind":   []any{"confirmed", "caught up", "fell behind"},
		"metadata": 2.0, "kept": []any{"4", "5"},
		"deleted": "deleted", "deletedRead": failed("stream-not-found"), "again": at("6"), "againRead": []any{"6"},
		"tombstoned": "tombstoned", "tombstonedRead": failed("stream-deleted"), "tombstonedAppend": failed("stream-deleted"),
	}
	retried, created := position(got["retried"]), position(got["created"])
	if retried == "" || retried != created || position(got["exact"]) == created {
		t.Errorf("an append that is made again is at %s, the first was at %s", retried, created)
	}
	if diff := cmp.Diff(any(want), without(got, "position")); diff != "" {
		t.Errorf("the client was answered otherwise (-want +got):\n%s", diff)
	}
}

func position(v any) string {
	m, _ := v.(map[string]any)
	raw, _ := json.Marshal(m["position"])
	return string(raw)
}

// without returns a value of JSON without a key, wherever it is.
func without(v any, key string) any {
	switch v := v.(type) {
	case map[string]any:
		m := map[string]any{}
		for k, e := range v {
			if k != key {
				m[k] = without(e, key)
			}
		}
		return m
	case []any:
		l := []any{}
		for _, e := range v {
			l = append(l, without(e, key))
		}
		return l
	}
	return v
}

// TestAClientOfOthersIsKnownByItsPassword uses TLS, discovery of a cluster of
// two, and credentials.
func TestAClientOfOthersIsKnownByItsPassword(t *testing.T) {
	peers(t, "@eventstore/db-client")
	secure, ca, err := server.Certificate(t.TempDir(), time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cfg := server.Config{TLS: secure, Users: map[string]string{"book": "secret"}}
	leader, err := server.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer leader.Close()
	cfg.Leader = leader
	follower, err := server.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer follower.Close()
	for user, want := range map[string]string{"book:secret": `"revision":"0"`, "book:guess": `"error":"access-denied"`} {
		url := strings.Replace(follower.DiscoverURL(), "://", "://"+user+"@", 1) + "&tlsCAFile=" + ca
		if got := string(run(t, url, "write")); !strings.Contains(got, want) {
			t.Errorf("%s: %s", user, got)
		}
	}
	if n := len(leader.Events()); n != 1 {
		t.Errorf("the cluster holds %d events, want 1", n)
	}
}
