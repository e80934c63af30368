package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestMain lets a test start the program as a process of its own.
func TestMain(m *testing.M) {
	if os.Getenv("RUN_AS_PROGRAM") == "1" || len(os.Args) == 2 && os.Args[1] == sqlWork {
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
	p := &program{stdout: &out, stderr: &errs, getenv: os.Getenv, environ: os.Environ, now: systemClock}
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
		{args: []string{"import", "readings", "x.csv", "--data", empty}, code: exitFinding, want: "holds no book"},
		{args: []string{"serve"}, code: exitUsage, want: "--config is missing"},
		{args: []string{"serve", "--config", "none.yaml"}, code: exitUsage, want: "none.yaml"},
		{args: []string{"demo", "--period", "October"}, code: exitUsage, want: "--period"},
		{args: []string{"log"}, code: exitUsage, want: "want 1"},
		{args: []string{"log", "head", "--data", empty}, code: exitUsage, want: "want stat, tail, export, import or copy"},
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

// TestASecondProcessOnTheSameFolderWaits runs a verb on a folder that is open:
// it waits, and fails if that lasts for too long.
func TestASecondProcessOnTheSameFolderWaits(t *testing.T) {
	dir := t.TempDir()
	e, err := openEngine(t.Context(), settings{Data: dir}, systemClock, (&program{stderr: os.Stderr}).logger(settings{LogLevel: 8}))
	if err != nil {
		t.Fatal(err)
	}
	got := wattbookIn(t, []string{"WATTBOOK_WAIT=150ms"}, "log", "stat", "--data", dir)
	if got.code != exitFinding || !strings.Contains(got.errors, dir) || !strings.Contains(got.errors, "in use by another process; try again when that has ended, or let the verb wait for longer than 150ms: WATTBOOK_WAIT=1m") {
		t.Errorf("exit %d, %q", got.code, got.errors)
	}
	tries := 0
	p := &program{stderr: os.Stderr}
	_, err = patiently(t.Context(), p, settings{Data: dir, Wait: time.Minute}, func() (*logFolder, error) {
		if tries++; tries == 3 {
			if err := e.close(); err != nil {
				t.Fatal(err)
			}
		}
		l, err := openFolder(t.Context(), settings{Data: dir}, systemClock, p.logger(settings{LogLevel: 8}))
		if err == nil {
			err = l.log.Close()
		}
		return l, err
	})
	if err != nil || tries != 3 {
		t.Errorf("opened after %d tries, %v", tries, err)
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
