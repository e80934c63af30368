package cmd_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "wattbook"

// mayImport is the picture of the design: which top-level folder may import
// which. Every folder may import its own.
func mayImport() map[string][]string {
	return map[string][]string{
		"domain":      {},
		"projections": {"domain"},
		"ingest":      {"domain"},
		"fixtures":    {"domain"},
		"settlement":  {"domain", "projections"},
		"queries":     {"domain", "projections", "settlement"},
		"cmd":         {"domain", "projections", "ingest", "fixtures", "settlement", "queries"},
	}
}

// reserved libraries and the only packages that may import them (tests of
// those packages included): each is an implementation detail of one room.
func reserved() map[string][]string {
	return map[string][]string{
		"github.com/duckdb/":               {"queries/warehouse"},
		"github.com/apache/arrow-go":       {"queries/warehouse"},
		"github.com/cockroachdb/pebble":    {"ingest/pebblelog", "ingest/pebblelog/powercut", "ingest/evidence"},
		"github.com/ThreeDotsLabs":         {"ingest/bus"},
		"github.com/EventStore":            {"ingest/kurrentlog", "ingest/kurrentlog/server"},
		"google.golang.org/grpc":           {"ingest/kurrentlog", "ingest/kurrentlog/server"},
		"github.com/NVIDIA/go-nvml":        {"ingest/gpu", "fixtures/fake", "fixtures/cedarbend", "cmd/wattbook"},
		"github.com/simonvetter/modbus":    {"fixtures/fake", "ingest/meter"},
		"codeberg.org/go-pdf/fpdf":         {"settlement/document"},
		"github.com/spf13/viper":           {"cmd/wattbook"},
		"github.com/xuri/excelize":         {"cmd/wattbook"},
		"github.com/peterh/liner":          {"cmd/wattbook"},
		"github.com/cockroachdb/apd":       {"domain"},
		"wattbook/domain/eventlog/logtest": {}, // tests only
	}
}

// siblings that may be imported from beside them: the others in ingest do not
// know of each other.
func sharedInIngest() []string { return []string{"ingest", "ingest/counter"} }

// source is a Go file of the project.
type source struct {
	file    string // slash-separated, from the root
	folder  string // of the package, from the root
	test    bool
	imports []string
}

func sources(t *testing.T) []source {
	t.Helper()
	root := ".."
	var all []source
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if name := d.Name(); rel != "." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "bin" || name == "demo-data") {
				return filepath.SkipDir
			}
			if _, err := os.Stat(filepath.Join(p, "go.mod")); rel != "." && err == nil {
				return filepath.SkipDir // a module of its own
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		s := source{file: rel, folder: path.Dir(rel), test: strings.HasSuffix(rel, "_test.go")}
		for _, spec := range f.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			s.imports = append(s.imports, name)
		}
		all = append(all, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 50 {
		t.Fatalf("found %d Go files: the walk is broken", len(all))
	}
	return all
}

// forbidden says why a file may not import a package, or nothing.
func forbidden(s source, imported string) string {
	top, _, _ := strings.Cut(s.folder, "/")
	for library, rooms := range reserved() {
		if strings.HasPrefix(imported, library) && !slices.Contains(rooms, s.folder) && !(s.test && strings.HasPrefix(library, module)) {
			return "only " + strings.Join(rooms, ", ") + " may import it"
		}
	}
	inside, ours := strings.CutPrefix(imported, module+"/")
	if !ours {
		if top == "domain" && !s.test && strings.Contains(strings.Split(imported, "/")[0], ".") && !strings.HasPrefix(imported, "github.com/cockroachdb/apd") && !strings.HasPrefix(imported, "golang.org/x/mod/sumdb") && !strings.HasSuffix(s.folder, "logtest") {
			return "domain imports the standard library, one decimal library and the note and tree of sumdb"
		}
		return ""
	}
	target, _, _ := strings.Cut(inside, "/")
	switch {
	case target == top:
		if top == "ingest" && !s.test && inside != s.folder && !slices.Contains(sharedInIngest(), inside) {
			return "the rooms of ingest do not know of each other"
		}
		return ""
	case s.test && target == "fixtures":
		return ""
	case !slices.Contains(mayImport()[top], target):
		return top + " may import " + strings.Join(mayImport()[top], ", ") + " only"
	}
	return ""
}

// TestImportsFollowTheDesign walks every import of the project.
func TestImportsFollowTheDesign(t *testing.T) {
	for _, s := range sources(t) {
		for _, imported := range s.imports {
			if why := forbidden(s, imported); why != "" {
				t.Errorf("%s imports %s: %s", s.file, imported, why)
			}
		}
	}
}

// TestTheRuleBites holds the rule against imports that break it.
func TestTheRuleBites(t *testing.T) {
	for _, c := range []struct {
		folder, imported string
		test, bad        bool
	}{
		{"domain", "wattbook/projections", false, true},
		{"domain", "github.com/google/uuid", false, true},
		{"domain", "github.com/cockroachdb/apd/v3", false, false},
		{"domain/wire", "wattbook/domain/eventlog", false, false},
		{"projections/margin", "wattbook/ingest", false, true},
		{"projections/margin", "wattbook/settlement", false, true},
		{"ingest/meter", "wattbook/ingest", false, false},
		{"ingest/meter", "wattbook/ingest/miner", false, true},
		{"ingest/meter", "wattbook/fixtures/fake", false, true},
		{"ingest/meter", "wattbook/fixtures/fake", true, false},
		{"ingest", "github.com/cockroachdb/pebble/v2", false, true},
		{"ingest/pebblelog", "github.com/cockroachdb/pebble/v2/vfs", false, false},
		{"ingest", "github.com/EventStore/EventStore-Client-Go/v4/esdb", false, true},
		{"ingest/kurrentlog/server", "github.com/EventStore/EventStore-Client-Go/v4/protos/streams", false, false},
		{"ingest/kurrentlog", "wattbook/ingest/kurrentlog/server", false, true},
		{"ingest/kurrentlog", "wattbook/ingest/kurrentlog/server", true, false},
		{"settlement", "github.com/duckdb/duckdb-go/v2", false, true},
		{"settlement", "wattbook/queries/warehouse", false, true},
		{"queries/warehouse", "github.com/duckdb/duckdb-go/v2", false, false},
		{"fixtures/cedarbend", "wattbook/ingest", false, true},
		{"ingest/pebblelog", "wattbook/domain/eventlog/logtest", false, true},
		{"ingest/pebblelog", "wattbook/domain/eventlog/logtest", true, false},
		{"cmd/wattbook", "wattbook/fixtures/cedarbend", false, false},
	} {
		if why := forbidden(source{file: "x.go", folder: c.folder, test: c.test}, c.imported); (why != "") != c.bad {
			t.Errorf("%s importing %s (test: %t): %q", c.folder, c.imported, c.test, why)
		}
	}
}

// TestTopLevelIsFixed holds the folders at the root.
func TestTopLevelIsFixed(t *testing.T) {
	want := slices.Sorted(maps.Keys(mayImport()))
	seen := map[string]bool{}
	for _, s := range sources(t) {
		top, _, _ := strings.Cut(s.folder, "/")
		seen[top] = true
	}
	if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, want) {
		t.Errorf("folders with Go files are %v, want %v", got, want)
	}
}
