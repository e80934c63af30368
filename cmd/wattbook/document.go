package main

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"wattbook/domain"
)

// problem is one thing that is wrong with a configuration.
type problem struct {
	File string `json:"file"`
	Line int    `json:"line,omitempty"` // 0: of the file as a whole
	Key  string `json:"key,omitempty"`
	Text string `json:"problem"` // what is wrong; what to write
	// Book means that the configuration is sound, and says something else than
	// the book that it is to be used with.
	Book bool `json:"contradicts_book,omitempty"`
}

func (p problem) String() string {
	where := p.File
	if p.Line > 0 {
		where += ":" + strconv.Itoa(p.Line)
	}
	if p.Key != "" {
		where += ": " + p.Key
	}
	return where + ": " + p.Text
}

// inspection is a configuration file that was read, and all that is wrong
// with it.
type inspection struct {
	path     string // where the file is
	file     string // what it is called
	config   siteConfig
	root     place
	problems []problem
	bad      map[*yaml.Node]bool     // values that could not be read: nothing more is said of them
	meant    map[*yaml.Node][]string // keys that are probably meant by keys that there are not, by what they stand in
}

func newInspection(path, file string) *inspection {
	return &inspection{path: path, file: file, bad: map[*yaml.Node]bool{}, meant: map[*yaml.Node][]string{}}
}

// err returns everything that is wrong as one error: a *configError, unless
// only the book is contradicted.
func (in *inspection) err() error {
	if len(in.problems) == 0 {
		return nil
	}
	lines := make([]string, len(in.problems))
	for i, p := range in.problems {
		lines[i] = p.String()
	}
	text := lines[0]
	if len(lines) > 1 {
		text = fmt.Sprintf("%d problems:\n  %s", len(lines), strings.Join(lines, "\n  "))
	}
	if slices.ContainsFunc(in.problems, func(p problem) bool { return !p.Book }) {
		return configf("%s", text)
	}
	return errors.New(text)
}

// sorted puts the problems in the order of the file.
func (in *inspection) sorted() {
	slices.SortStableFunc(in.problems, func(a, b problem) int { return a.Line - b.Line })
}

// resolve returns where a file is that the configuration names: relative names
// count from the folder of the configuration.
func (in *inspection) resolve(name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(in.path), name)
}

// readDocument reads a configuration file by its keys, without asking what its
// values mean. Problems are told of the name.
func readDocument(path, name string) *inspection {
	in := newInspection(path, name)
	raw, err := os.ReadFile(path)
	if err != nil {
		var at *os.PathError
		if errors.As(err, &at) {
			err = at.Err
		}
		in.problems = []problem{{File: name, Text: fmt.Sprintf("cannot be read: %v; name the file that describes the site", err)}}
		return in
	}
	in.parse(raw, &in.config, "site", `"wattbook demo --devices" writes an example of every key`)
	return in
}

// parse reads the text of the file, which describes one of something, into v.
func (in *inspection) parse(raw []byte, v any, one, hint string) {
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	var document yaml.Node
	if err := dec.Decode(&document); err != nil && !errors.Is(err, io.EOF) {
		in.problems = []problem{in.malformed(err)}
		return
	}
	if len(document.Content) == 0 || document.Content[0].Tag == "!!null" {
		in.problems = []problem{{File: in.file, Text: "is empty; " + hint}}
		return
	}
	var more yaml.Node
	switch err := dec.Decode(&more); {
	case err == nil:
		in.problems = []problem{{File: in.file, Line: more.Line, Text: fmt.Sprintf("a second document begins; one file describes one %s: remove the line --- and write one description", one)}}
		return
	case !errors.Is(err, io.EOF):
		in.problems = []problem{in.malformed(err)}
		return
	}
	in.root = place{in: in, node: document.Content[0], line: document.Content[0].Line}
	in.root.decode(reflect.ValueOf(v).Elem())
}

// malformed is a text that is no YAML.
func (in *inspection) malformed(err error) problem {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	p := problem{File: in.file, Text: "is not YAML: " + text}
	if m := regexp.MustCompile(`^line (\d+): (.*)`).FindStringSubmatch(text); m != nil {
		p.Line, _ = strconv.Atoi(m[1])
		p.Text = "is not YAML: " + m[2]
	}
	p.Text += "; look at the indentation, the brackets and the quotes there"
	return p
}

// place is where a value stands in a configuration file, or would stand.
type place struct {
	in   *inspection
	node *yaml.Node // nil: not given
	line int        // of the value, or of what it is missing in
	key  string     // from the top: "devices[c1].under"
}

// given reports whether the file says anything here.
func (p place) given() bool { return p.node != nil && p.node.Tag != "!!null" }

// at returns the place of a key below p.
func (p place) at(key string) place {
	child := place{in: p.in, line: p.line, key: key}
	if p.key != "" {
		child.key = p.key + "." + key
	}
	if p.node == nil || p.node.Kind != yaml.MappingNode {
		return child
	}
	for i := 0; i+1 < len(p.node.Content); i += 2 {
		if k := p.node.Content[i]; k.Value == key {
			child.node, child.line = followed(p.node.Content[i+1]), k.Line
			break // the first counts, and that there is another is said
		}
	}
	return child
}

// items returns the places of a list, each under its name if it has one.
func (p place) items() []place {
	if p.node == nil || p.node.Kind != yaml.SequenceNode {
		return nil
	}
	all := make([]place, len(p.node.Content))
	for i, n := range p.node.Content {
		all[i] = place{in: p.in, node: followed(n), line: n.Line, key: fmt.Sprintf("%s[#%d]", p.key, i+1)}
		for _, key := range []string{"id", "name", "device"} {
			if v := all[i].at(key).node; v != nil && domain.CheckID(key, v.Value) == nil {
				all[i].key = fmt.Sprintf("%s[%s]", p.key, v.Value)
				break
			}
		}
	}
	return all
}

// followed returns what an alias stands for.
func followed(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// walk returns the place of a term, such as charges/0/rate.
func (p place) walk(path string) place {
	for key := range strings.SplitSeq(path, "/") {
		next := p.at(key)
		if i, err := strconv.Atoi(key); err == nil {
			items := p.items()
			if i >= len(items) {
				return p
			}
			next = items[i]
		} else if next.node == nil && p.at(key+"_portion").node != nil {
			next = p.at(key + "_portion")
		}
		if next.node == nil {
			return p
		}
		p = next
	}
	return p
}

// troubled reports whether something is wrong here or below.
func (p place) troubled() bool {
	return slices.ContainsFunc(p.in.problems, func(q problem) bool {
		rest, below := strings.CutPrefix(q.Key, p.key)
		return below && q.Line >= p.line && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

// failf notes that something is wrong here.
func (p place) failf(format string, args ...any) {
	if !p.in.bad[p.node] || p.node == nil {
		p.in.problems = append(p.in.problems, problem{File: p.in.file, Line: p.line, Key: p.key, Text: fmt.Sprintf(format, args...)})
	}
}

// contradicts notes that the book says something else.
func (p place) contradicts(format string, args ...any) {
	p.in.problems = append(p.in.problems, problem{File: p.in.file, Line: p.line, Key: p.key, Text: fmt.Sprintf(format, args...), Book: true})
}

// unreadable notes that the value here is of no use.
func (p place) unreadable(format string, args ...any) {
	p.failf(format, args...)
	p.in.bad[p.node] = true
}

// decode reads the value at p into v.
func (p place) decode(v reflect.Value) {
	if !p.given() {
		return
	}
	_, text := v.Addr().Interface().(encoding.TextUnmarshaler)
	switch {
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		p.decode(v.Elem())
	case v.Kind() == reflect.Struct && !text:
		p.decodeStruct(v)
	case v.Kind() == reflect.Slice && !text:
		if p.node.Kind != yaml.SequenceNode {
			p.unreadable("is no list; write lines that begin with -, or [a, b]")
			return
		}
		items := p.items()
		v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
		for i, item := range items {
			item.decode(v.Index(i))
		}
	case p.node.Kind != yaml.ScalarNode:
		p.unreadable("is a list or has keys of its own; write one value")
	case isWhole(v.Kind()) && p.node.ShortTag() == "!!float":
		// The decoder would cut the fraction off.
		p.unreadable("%s is no whole number; %s", p.node.Value, p.wholeOf())
	default:
		if err := p.node.Decode(v.Addr().Interface()); err != nil {
			p.unreadable("%s", unreadableText(p.node.Value, v.Kind(), err))
		}
	}
}

// isWhole reports whether values of a kind are whole numbers.
func isWhole(kind reflect.Kind) bool {
	return kind == reflect.Int || kind == reflect.Int64 || kind == reflect.Uint8
}

// wholeOf says what to write for a number that has a fraction.
func (p place) wholeOf() string {
	key := p.key[strings.LastIndexByte(p.key, '.')+1:]
	switch key {
	case "quantity":
		return "a contract reserves whole GPUs and whole kW: write one of the two beside it"
	case "months", "payment_days":
		return "write whole " + strings.TrimPrefix(key, "payment_")
	}
	return "write a whole number"
}

// unreadableText says what is wrong with a scalar.
func unreadableText(value string, kind reflect.Kind, err error) string {
	var mismatch *yaml.TypeError
	if !errors.As(err, &mismatch) {
		return strings.TrimPrefix(err.Error(), "yaml: ")
	}
	want := "another kind of value"
	switch kind {
	case reflect.Int, reflect.Int64:
		want = "a whole number"
	case reflect.Uint8:
		want = "a whole number from 0 to 255"
	case reflect.Bool:
		want = "true or false"
	}
	return fmt.Sprintf("%q is of no use here; write %s", value, want)
}

func (p place) decodeStruct(v reflect.Value) {
	if p.node.Kind != yaml.MappingNode {
		p.unreadable("has no keys; write key: value below it")
		return
	}
	fields := fieldsOf(v.Type())
	known := make([]string, 0, len(fields))
	for name := range fields {
		known = append(known, name)
	}
	slices.Sort(known)
	lines := map[string]int{}
	for i := 0; i+1 < len(p.node.Content); i += 2 {
		key := p.node.Content[i]
		here := place{in: p.in, node: followed(p.node.Content[i+1]), line: key.Line, key: key.Value}
		if p.key != "" {
			here.key = p.key + "." + key.Value
		}
		index, ok := fields[key.Value]
		switch first := lines[key.Value]; {
		case !ok:
			likely := nearest(key.Value, known)
			here.failf("there is no such key here; did you mean %q?", likely)
			p.in.meant[p.node] = append(p.in.meant[p.node], likely)
		case first > 0:
			here.failf("is given twice, first on line %d; remove one", first)
		default:
			lines[key.Value] = key.Line
			here.decode(v.FieldByIndex(index))
		}
	}
}

// fieldsOf returns where a struct's fields are by their YAML keys.
func fieldsOf(t reflect.Type) map[string][]int {
	fields := map[string][]int{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if strings.Contains(options, "inline") {
			for k, index := range fieldsOf(f.Type) {
				fields[k] = append([]int{i}, index...)
			}
			continue
		}
		if name != "" && name != "-" {
			fields[name] = []int{i}
		}
	}
	return fields
}
