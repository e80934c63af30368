package cmd_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// exactFolders hold facts and money: nothing in them may be a float.
func exactFolders() []string { return []string{"domain", "ingest", "projections", "settlement"} }

// floatAllowed are files that place ink on paper.
func floatAllowed() []string { return []string{"settlement/document/layout.go"} }

// inexact are names that make or take floats, wherever they come from.
var inexact = regexp.MustCompile(`^(float32|float64|complex64|complex128|ParseFloat|FormatFloat|AppendFloat|Float32|Float64|SetFloat64|Float32bits|Float64bits|Float32frombits|Float64frombits|NewFloat)$`)

// parsed is a Go file with its syntax.
type parsed struct {
	source
	fset *token.FileSet
	ast  *ast.File
}

func parsedSources(t *testing.T) []parsed {
	t.Helper()
	var all []parsed
	for _, s := range sources(t) {
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, filepath.Join("..", s.file), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, parsed{s, fset, f})
	}
	return all
}

func (p parsed) at(n ast.Node) string {
	pos := p.fset.Position(n.Pos())
	return fmt.Sprintf("%s:%d", p.file, pos.Line)
}

// floats returns where a file names a float or writes one.
func floats(p parsed) (found []string) {
	ast.Inspect(p.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Ident:
			if inexact.MatchString(n.Name) {
				found = append(found, p.at(n)+": "+n.Name)
			}
		case *ast.BasicLit:
			if n.Kind == token.FLOAT || n.Kind == token.IMAG {
				found = append(found, p.at(n)+": "+n.Value)
			}
		}
		return true
	})
	return found
}

// TestNothingExactIsAFloat walks the folders of facts and money.
func TestNothingExactIsAFloat(t *testing.T) {
	for _, p := range parsedSources(t) {
		top, _, _ := strings.Cut(p.folder, "/")
		if p.test || !slices.Contains(exactFolders(), top) || slices.Contains(floatAllowed(), p.file) {
			continue
		}
		for _, f := range floats(p) {
			t.Errorf("%s: facts and money are exact: use integers or domain.Decimal", f)
		}
	}
}

// TestTheFloatRuleBites holds the rule against code that breaks it.
func TestTheFloatRuleBites(t *testing.T) {
	for _, code := range []string{
		"var x float64", "var x = 0.5", "var x = 1e3", "func f(v interface{ Float64() float64 }) {}", "var _ = strconv.ParseFloat", "var _ = math.Float32frombits",
	} {
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, "x.go", "package x\n"+code, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(floats(parsed{source{file: "x.go"}, fset, f})) == 0 {
			t.Errorf("%s: was not found", code)
		}
	}
}

// TestHouseRules holds the habits of the code base that a machine can check.
func TestHouseRules(t *testing.T) {
	unfinished := regexp.MustCompile(`\b(TODO|FIXME|XXX|HACK)\b|[Nn]ot implemented yet`)
	documented := map[string]bool{}
	packages := map[string]string{}
	for _, p := range parsedSources(t) {
		if !p.test {
			packages[p.folder] = p.file
			if p.ast.Doc != nil {
				documented[p.folder] = true
			}
		}
		for _, d := range p.ast.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if f.Name.Name == "init" && f.Recv == nil {
				t.Errorf("%s: func init: state is made where it is used", p.at(f))
			}
			lines := p.fset.Position(f.End()).Line - p.fset.Position(f.Pos()).Line
			if lines > functionLimit && !p.test {
				t.Errorf("%s: %s has %d lines, limit %d", p.at(f), f.Name.Name, lines, functionLimit)
			}
		}
		for _, group := range p.ast.Comments {
			if p.file != "cmd/rules_test.go" && unfinished.MatchString(group.Text()) {
				t.Errorf("%s: an unfinished mark", p.at(group))
			}
		}
		if lines := p.fset.Position(p.ast.End()).Line; lines > fileLimit && !p.test {
			t.Errorf("%s has %d lines, limit %d: would two names serve a reader better?", p.file, lines, fileLimit)
		}
	}
	for folder, file := range packages {
		if !documented[folder] {
			t.Errorf("package of %s (%s) has no sentence that says what it is", folder, file)
		}
	}
}

// Limits of length. They may be lowered.
const (
	functionLimit = 90
	fileLimit     = 650
)

// TestNothingNamesThisMachine looks for paths and registries in what is kept.
func TestNothingNamesThisMachine(t *testing.T) {
	bad := regexp.MustCompile(`/work/|/root/|/home/[a-z]|proxy\.golang\.org|registry\.npmjs\.org|deb\.debian\.org`)
	err := filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if name == ".git" || name == "bin" || name == "demo-data" || name == "node_modules" {
				return filepath.SkipDir
			}
			return nil
		}
		if name == "rules_test.go" || name == "go.sum" {
			return nil
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if m := bad.Find(raw); m != nil && !strings.HasSuffix(name, ".ttf") {
			t.Errorf("%s names %s", path, m)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
