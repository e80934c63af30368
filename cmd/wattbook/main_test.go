package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain lets a test start the program as a process of its own.
func TestMain(m *testing.M) {
	if os.Getenv("RUN_AS_PROGRAM") == "1" {
		main()
		return
	}
	os.Exit(m.Run())
}

// result is what a run of the program said.
type result struct {
	code        int
	out, errors string
}

// wattbook runs the program in this process, in an environment without
// settings.
func wattbook(t *testing.T, args ...string) result {
	t.Helper()
	return wattbookIn(t, nil, args...)
}

func wattbookIn(t *testing.T, env []string, args ...string) result {
	t.Helper()
	for _, kv := range env {
		name, value, _ := strings.Cut(kv, "=")
		t.Setenv(name, value)
	}
	var out, errs bytes.Buffer
	p := &program{stdout: &out, stderr: &errs, getenv: os.Getenv, environ: os.Environ}
	code := run(context.Background(), args, p)
	return result{code, out.String(), errs.String()}
}

func TestCommandLinesThatAreWrong(t *testing.T) {
	empty := t.TempDir()
	for _, c := range []struct {
		args []string
		env  []string
		code int
		want string
	}{
		{args: nil, code: exitUsage},
		{args: []string{"serv"}, code: exitUsage, want: `did you mean "serve"?`},
		{args: []string{"explain", "--att", "x"}, code: exitUsage, want: "did you mean --at?"},
		{args: []string{"explain"}, code: exitUsage, want: "--at is missing"},
		{args: []string{"explain", "--at", "yesterday"}, code: exitUsage, want: "is not a time such as"},
		{args: []string{"explain", "--at", "2026-10-14T17:35Z", "--data", empty}, code: exitFinding, want: "holds no book"},
		{args: []string{"invoice", "run", "--period", "2026-13"}, code: exitUsage, want: "is not a billing period such as"},
		{args: []string{"invoice", "send"}, code: exitUsage, want: "want run, or show"},
		{args: []string{"pool", "reconcile"}, code: exitUsage, want: "name the days"},
		{args: []string{"pool", "reconcile", "--from", "2026-10-05", "--to", "2026-10-01"}, code: exitUsage, want: "is before --from"},
		{args: []string{"import", "redings", "x.csv", "--data", empty}, code: exitFinding, want: "holds no book"},
		{args: []string{"serve"}, code: exitUsage, want: "--config is missing"},
		{args: []string{"serve", "--config", "none.yaml"}, code: exitUsage, want: "none.yaml"},
		{args: []string{"demo", "--period", "October"}, code: exitUsage, want: "--period"},
		{args: []string{"log"}, code: exitUsage, want: "want 1"},
		{args: []string{"log", "head", "--data", empty}, code: exitUsage, want: "want stat, tail, export or import"},
		{args: []string{"log", "stat"}, env: []string{"WATTBOOK_DAT=x"}, code: exitUsage, want: "did you mean WATTBOOK_DATA?"},
		{args: []string{"log", "stat"}, env: []string{"WATTBOOK_LOG_LEVEL=loud"}, code: exitUsage, want: "want debug, info, warn or error"},
		{args: []string{"log", "stat"}, env: []string{"WATTBOOK_TIMEOUT=soon"}, code: exitUsage, want: "want a duration such as"},
	} {
		t.Run("wattbook "+strings.Join(append(c.env, c.args...), " "), func(t *testing.T) {
			got := wattbookIn(t, c.env, c.args...)
			if got.code != c.code || !strings.Contains(got.errors, c.want) {
				t.Errorf("exit %d, %q; want exit %d and %q", got.code, got.errors, c.code, c.want)
			}
		})
	}
}

func TestEveryVerbExplainsItself(t *testing.T) {
	overview := wattbook(t, "help")
	if overview.code != exitOK {
		t.Fatalf("help: exit %d", overview.code)
	}
	for _, v := range verbs() {
		if !strings.Contains(overview.out, v.name) || v.summary == "" {
			t.Errorf("%s is not in the overview", v.name)
		}
		for _, args := range [][]string{{"help", v.name}, {v.name, "--help"}} {
			got := wattbook(t, args...)
			if got.code != exitOK || !strings.Contains(got.out, "Usage: wattbook "+v.name) || !strings.Contains(got.out, "Example: wattbook "+v.name) || !strings.Contains(got.out, "--json") {
				t.Errorf("%v: exit %d\n%s%s", args, got.code, got.out, got.errors)
			}
		}
	}
}

const goodSite = `
site:
  id: cedar-bend
  zone: America/Chicago
  step: 5m
  currency: USD
  node: hb_south
  revenue_meter: m1
  loss_portion: 0.012
  dispatch: {limit_kw: 12000}
devices:
  - {id: m1, kind: meter, rated_kw: 14000}
sources:
  - {name: meters, type: modbus, every: 5m, meters: [{device: m1, address: "127.0.0.1:1", registers: sunspec, provenance: revenue-meter}]}
`

func TestConfigurationsThatAreWrong(t *testing.T) {
	for _, c := range []struct{ change, to, want string }{
		{"limit_kw", "limt_kw", `:10: there is no key "limt_kw" here; did you mean "limit_kw"?`},
		{"devices:", "device:", `:11: there is no key "device" here; did you mean "devices"?`},
		{"  step: 5m\n", "  step: 5m\n  step: 5m\n", "line 6: mapping key \"step\" already defined"},
		{"step: 5m", "step: 7m", "does not divide a day"},
		{"step: 5m", "step: often", `"often" is not a duration`},
		{"America/Chicago", "Texas", `site.zone "Texas" is not an IANA time zone`},
		{"USD", "USX", "use an ISO 4217 code"},
		{"0.012", "1.2e-2", "written with an exponent"},
		{"cedar-bend", "Cedar Bend", "use lower-case letters"},
		{"revenue_meter: m1", "revenue_meter: m2", `"m2" is not one of the devices`},
		{"rated_kw: 14000", "rated_kw: -1", "is negative"},
		{", rated_kw: 14000", "", "a meter needs rated_power"},
		{"kind: meter", "kind: metre", "want meter, miner or gpu"},
		{"every: 5m", "every: 7m", "is not a multiple of the site's step"},
		{"type: modbus", "type: modbs", `did you mean "modbus"?`},
		{"registers: sunspec", "registers: sunspeck", "sunspeck"},
		{"provenance: revenue-meter", "provenance: best", "best"},
		{"site:", "site: [", "yaml"},
	} {
		if !strings.Contains(goodSite, c.change) {
			t.Fatalf("%q is not in the configuration", c.change)
		}
		path := filepath.Join(t.TempDir(), "site.yaml")
		if err := os.WriteFile(path, []byte(strings.Replace(goodSite, c.change, c.to, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		got := wattbook(t, "serve", "--config", path, "--data", filepath.Join(t.TempDir(), "d"))
		if got.code != exitUsage || !strings.Contains(got.errors, c.want) {
			t.Errorf("%q to %q: exit %d, %q; want exit %d and %q", c.change, c.to, got.code, got.errors, exitUsage, c.want)
		}
	}
}

func TestASecondProcessOnTheSameFolderIsRefused(t *testing.T) {
	dir := t.TempDir()
	e, err := openEngine(t.Context(), settings{Data: dir}, systemClock, (&program{stderr: os.Stderr}).logger(settings{LogLevel: 8}))
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	got := wattbook(t, "log", "stat", "--data", dir)
	if got.code != exitFinding || !strings.Contains(got.errors, dir) || !strings.Contains(got.errors, "in use by another process") {
		t.Errorf("exit %d, %q", got.code, got.errors)
	}
}

func TestGroups(t *testing.T) {
	for in, want := range map[string]string{"0": "0", "999": "999", "1000": "1,000", "-1234567.5": "-1,234,567.5", "12": "12"} {
		if got := group(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
	if d := nearest("rekonsile", []string{"reconcile", "replay"}); d != "reconcile" {
		t.Error(d)
	}
	if fmt.Sprint(distance("kitten", "sitting")) != "3" {
		t.Error("distance of kitten and sitting is 3")
	}
}
