package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"wattbook/domain"
)

// TestScripts plays command lines on a small book and compares what they say
// with what the script says. A script is a text file of testdata/scripts:
//
//	# words for the reader
//	write NAME      followed by lines of a file, each behind "| "
//	remove NAME     a file or folder
//	$ wattbook …    a command line; blanks separate its arguments
//	> …             what it must write to standard output
//	! …             and to standard error
//	= 1             its exit code, where it is not 0
//
// Lines of progress are left out, since they come with time. In what is
// written DIR stands for the folder of the script. Every script has
// a book of its own. go test -run Scripts -update writes what is said instead.
func TestScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/scripts/*.txt")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, path := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			s := script{t: t, dir: t.TempDir()}
			smallBook(t, s.dir)
			got := s.play(string(want))
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(want) {
				t.Errorf("%s: %s\n(go test ./cmd/wattbook -run Scripts -update rewrites it)", path, firstDifference(got, string(want)))
			}
		})
	}
}

// firstDifference shows where two texts part.
func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range g {
		if i >= len(w) || g[i] != w[i] {
			return fmt.Sprintf("line %d:\ngot  %s\nwant %s", i+1, strings.Join(g[i:min(i+4, len(g))], "\n     "), strings.Join(w[min(i, len(w)):min(i+4, len(w))], "\n     "))
		}
	}
	return fmt.Sprintf("ends after line %d of %d", len(g), len(w))
}

type script struct {
	t   *testing.T
	dir string
}

// play runs a script and returns it with what was said.
func (s script) play(text string) string {
	var out strings.Builder
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		name, file := strings.CutPrefix(line, "write ")
		command, run := strings.CutPrefix(line, "$ wattbook ")
		switch {
		case file:
			out.WriteString(line + "\n")
			var content strings.Builder
			for ; i+1 < len(lines) && strings.HasPrefix(lines[i+1], "|"); i++ {
				out.WriteString(lines[i+1] + "\n")
				content.WriteString(strings.NewReplacer(`\r`, "\r", `\ufeff`, "\ufeff", `\xff\xfe`, "\xff\xfe").Replace(strings.TrimPrefix(lines[i+1], "| ")) + "\n")
			}
			if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content.String()), 0o644); err != nil {
				s.t.Fatal(err)
			}
		case strings.HasPrefix(line, "remove "):
			out.WriteString(line + "\n")
			if err := os.RemoveAll(filepath.Join(s.dir, strings.TrimPrefix(line, "remove "))); err != nil {
				s.t.Fatal(err)
			}
		case run:
			out.WriteString(line + "\n" + s.run(strings.Fields(command)))
		case strings.HasPrefix(line, ">"), strings.HasPrefix(line, "!"), strings.HasPrefix(line, "="):
		default:
			out.WriteString(line + "\n")
		}
	}
	return out.String()
}

// run runs a command line and returns what it says, as a script writes it.
func (s script) run(args []string) string {
	var stdout, stderr bytes.Buffer
	p := &program{
		stdout: &stdout, stderr: &stderr, getenv: os.Getenv, environ: func() []string { return nil },
		now: smallNow, dir: s.dir,
	}
	for i, a := range args {
		args[i] = strings.ReplaceAll(a, "DIR", s.dir)
	}
	s.t.Setenv("WATTBOOK_DATA", filepath.Join(s.dir, "book"))
	s.t.Setenv("WATTBOOK_LOG_LEVEL", "error")
	code := run(context.Background(), args, p)
	// No two logs have one root, and these documents name it.
	signedDigest := regexp.MustCompile(`(\.(?:pdf|json)  SHA-256 )[0-9a-f]{64}`)
	var out strings.Builder
	for _, said := range []struct {
		mark string
		text string
	}{{">", stdout.String()}, {"!", stderr.String()}} {
		if said.text == "" {
			continue
		}
		for l := range strings.Lines(strings.ReplaceAll(said.text, s.dir, "DIR")) {
			if strings.Contains(l, " %, ") && said.mark == "!" {
				continue // progress
			}
			l = signedDigest.ReplaceAllString(l, "${1}(names the root of the log)")
			out.WriteString(strings.TrimRight(said.mark+" "+strings.TrimRight(l, "\n"), " ") + "\n")
		}
	}
	if code != exitOK {
		fmt.Fprintf(&out, "= %d\n", code)
	}
	return out.String()
}

// smallNow is the clock of the small book.
func smallNow() domain.Instant { return domain.Unix(1_793_880_000) } // 2026-11-05T12:00:00Z

// smallSite is a site with hourly meters and one customer, whose power is
// passed through.
const smallSite = `
site:
  id: little-bend
  name: Little Bend
  zone: America/Chicago
  step: 1h
  currency: USD
  node: hb_south
  revenue_meter: main
  loss_portion: "0.01"
  pool: {id: foundry, account: littlebend, scheme: fpps, fee_portion: "0.02"}
  dispatch: {limit_kw: 200}
devices:
  - {id: main, kind: meter, rated_kw: 200}
  - {id: hall, kind: meter, under: main, use: ai, rated_kw: 100}
contracts:
  - id: orchard-power
    version: 1
    seller: {id: little-bend-power, name: "Little Bend Power LLC", address: ["1 Substation Road", "Abilene, TX 79601"], country: US, tax_id: "12-3456789"}
    buyer: {id: orchard, name: "Orchard Compute, Inc.", address: ["500 Howard Street", "San Francisco, CA 94105"], country: US, tax_id: "98-7654321"}
    series: LB
    currency: USD
    zone: America/Chicago
    start: "2026-09-01T05:00:00Z"
    payment_days: 30
    tax: {name: "Texas sales tax", rate_portion: "0", reason: "Resale"}
    charges:
      - {id: power, kind: power-pass-through, description: "Power, passed through", adder_per_mwh: "5", loss_portion: "0.01", meters: [hall]}
`

// smallBook makes a book of October 2026 with an invoice in a folder: hourly
// readings of two meters, and prices.
func smallBook(t *testing.T, dir string) {
	t.Helper()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	readings, prices := "device,channel,start,end,value,unit\n", "time,price\n"
	const first, hours = 1_790_812_800, 31*24 + 6 // 2026-10-01T00:00:00Z
	for h := range int64(hours) {
		at := domain.Unix(first + h*3600)
		readings += fmt.Sprintf("main,energy.import,%s,%s,101,kWh\nhall,energy.import,%s,%s,60,kWh\n", at, at.Add(domain.Hour), at, at.Add(domain.Hour))
		prices += fmt.Sprintf("%s,%d\n", at, 20+h%24)
	}
	config, err := readSite(write("site.yaml", smallSite))
	if err != nil {
		t.Fatal(err)
	}
	events, err := config.events()
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "book")
	e, err := openEngine(t.Context(), settings{Data: data, Origin: "little-bend.example/log"}, smallNow, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := e.register(t.Context(), config.Site.ID, events); err != nil {
		t.Fatal(err)
	}
	if err := e.close(); err != nil {
		t.Fatal(err)
	}
	s := script{t: t, dir: dir}
	write("month-readings.csv", readings)
	write("month-prices.csv", prices)
	for _, command := range []string{"import readings month-readings.csv", "import prices month-prices.csv --step 1h", "invoice run --period 2026-10"} {
		if said := s.run(strings.Fields(command)); strings.Contains(said, "\n= ") {
			t.Fatalf("%s:\n%s", command, said)
		}
	}
}
