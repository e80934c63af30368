package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// edited is a case of a script: what changes in site.yaml, and what the
// program says of it.
type edited struct {
	name     string
	from, to []string
	says     []string
}

// readScript reads cases: a name, then lines that go (-) and lines that come
// in their place (+), then what is said (>).
func readScript(t *testing.T, file string) (head string, cases []edited) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	for block := range strings.SplitSeq(strings.TrimSpace(string(raw)), "\n\n") {
		if strings.HasPrefix(block, "#") {
			head += block + "\n"
			continue
		}
		lines := strings.Split(block, "\n")
		c := edited{name: lines[0]}
		last := ""
		for _, l := range lines[1:] {
			mark, text, _ := strings.Cut(l, " ")
			if mark != last && mark == "-" {
				c.from, c.to = append(c.from, ""), append(c.to, "")
			}
			i := len(c.from) - 1
			switch {
			case mark == ">":
				c.says = append(c.says, text)
			case mark == "-" && last == "-":
				c.from[i] += "\n" + text
			case mark == "-":
				c.from[i] = text
			case mark == "+" && last == "+":
				c.to[i] += "\n" + text
			case mark == "+" && i >= 0:
				c.to[i] = text
			default:
				t.Fatalf("testdata/%s: %q is no line of a case; begin it with -, + or >", file, l)
			}
			last = mark
		}
		cases = append(cases, c)
	}
	return head, cases
}

// writeScript rewrites what is said in a script.
func writeScript(t *testing.T, file, head string, cases []edited) {
	t.Helper()
	var b strings.Builder
	b.WriteString(head)
	for _, c := range cases {
		fmt.Fprintf(&b, "\n%s\n", c.name)
		for i := range c.from {
			for _, e := range []struct{ mark, text string }{{"-", c.from[i]}, {"+", c.to[i]}} {
				for l := range strings.SplitSeq(e.text, "\n") {
					fmt.Fprintln(&b, strings.TrimSpace(e.mark+" "+l))
				}
			}
		}
		for _, s := range c.says {
			fmt.Fprintln(&b, "> "+s)
		}
	}
	if err := os.WriteFile(filepath.Join("testdata", file), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// edit writes site.yaml, changed as a case says, as site.yaml of the working
// directory.
func (c edited) edit(t *testing.T, site string) {
	t.Helper()
	for i, from := range c.from {
		if !strings.Contains(site, from) {
			t.Fatalf("%s: %q is not in the configuration", c.name, from)
		}
		site = strings.Replace(site, from, c.to[i], 1)
	}
	if err := os.WriteFile("site.yaml", []byte(site), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestConfigurationsThatAreWrong holds every message about a configuration to
// testdata/configurations.txt. Nothing is recorded when one is given.
func TestConfigurationsThatAreWrong(t *testing.T) {
	const file = "configurations.txt"
	head, cases := readScript(t, file)
	site, err := os.ReadFile("testdata/site.yaml")
	if err != nil {
		t.Fatal(err)
	}
	home, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	for i, c := range cases {
		c.edit(t, string(site))
		got := wattbook(t, "check", "--config", "site.yaml")
		says := strings.Split(strings.TrimSpace(got.out), "\n")
		if got.code != exitUsage || got.errors != "" {
			t.Errorf("%s: exit %d, %q; want exit %d", c.name, got.code, got.errors, exitUsage)
		}
		if *update {
			cases[i].says = says
		} else if d := cmp.Diff(c.says, says); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
		served := wattbook(t, "serve", "--config", "site.yaml")
		if served.code != exitUsage || !strings.Contains(served.errors, says[len(says)-1]) {
			t.Errorf("%s: serve: exit %d, %q", c.name, served.code, served.errors)
		}
		if _, err := os.Stat("book"); err == nil {
			t.Fatalf("%s: a folder was made for it", c.name)
		}
	}
	if *update {
		t.Chdir(home)
		writeScript(t, file, head, cases)
	}
}

// TestASoundConfigurationSaysWhatIsPolled checks one from outside its folder:
// names of files in it count from where it is.
func TestASoundConfigurationSaysWhatIsPolled(t *testing.T) {
	site, err := filepath.Abs("testdata/site.yaml")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	got := wattbook(t, "check", "--config", site)
	for _, want := range []string{
		"is sound: site cedar-bend, 5 devices, 1 contracts", "m1 at 127.0.0.1:1, c1 at 127.0.0.1:2",
		"slurm   sacct         1h0m0s  " + filepath.Join(filepath.Dir(site), "sacct.txt"), "http://127.0.0.1:4",
	} {
		if !strings.Contains(got.out, want) {
			t.Errorf("%q is not in\n%s", want, got.out)
		}
	}
	if got.code != exitOK || strings.Contains(got.out, "secret") {
		t.Errorf("exit %d\n%s%s", got.code, got.out, got.errors)
	}
	if got := wattbook(t, "check", "--config", "none.yaml"); got.code != exitUsage || !strings.Contains(got.out, "none.yaml: cannot be read") {
		t.Errorf("a file that is not there: exit %d, %q", got.code, got.out)
	}
}

// FuzzConfiguration reads texts that are no configurations: they are refused
// with a place in them, never with a panic.
func FuzzConfiguration(f *testing.F) {
	site, err := os.ReadFile("testdata/site.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		string(site), "", "---", "a: &a [*a]", "site: &s {pool: *s, dispatch: *s}", "devices: [[], {}, null, 1]", "sources: {}", "site: !!binary x", "? [a]\n: b", "devices: [{id: a, under: b}, {id: b, under: a}]", "\x00",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		in := newInspection("site.yaml", "site.yaml")
		in.parse(raw, &in.config, "site", "write one")
		if in.root.node != nil {
			in.checkValues()
		}
		for _, p := range in.problems {
			if p.Text == "" || !strings.HasPrefix(p.String(), "site.yaml") {
				t.Errorf("%+v does not say what is wrong", p)
			}
		}
		if len(in.problems) == 0 {
			if _, err := in.config.events(); err != nil {
				t.Errorf("a sound configuration describes nothing that can be registered: %v", err)
			}
		}
	})
}
