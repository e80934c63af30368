package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// shown is how many differences a printed report lists.
const shown = 20

// Print writes the report for people.
func (r Report) Print(out io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%d events read; every conclusion drawn again at the position that it was drawn at\n\n", r.Events)
	fmt.Fprintf(&b, "  %-16s %9s %9s  %s\n", "", "checked", "differ", "digest of what was derived")
	for _, k := range r.Kinds {
		fmt.Fprintf(&b, "  %-16s %9d %9d  %s\n", k.Name, k.Checked, k.Different, k.Digest)
	}
	fmt.Fprintf(&b, "  %-16s %9s %9s  %s\n\n", "all", "", "", r.Digest)
	checked := int64(0)
	for _, k := range r.Kinds {
		checked += k.Checked
	}
	switch {
	case checked == 0:
		b.WriteString("There is no conclusion on record yet: nothing was compared.\n")
	case len(r.Differences) == 0:
		b.WriteString("All of them come out as they are on record.\n")
	}
	for i, d := range r.Differences {
		if i == shown {
			fmt.Fprintf(&b, "… and %d more\n", len(r.Differences)-shown)
			break
		}
		drawn := ""
		if d.AsOf > 0 {
			drawn = fmt.Sprintf(", drawn at %d", d.AsOf)
		}
		fmt.Fprintf(&b, "! %s (event at position %d%s): %s\n", d.What, d.Position, drawn, d.Why)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// difference says where two JSON texts first differ.
func difference(recorded, derived []byte) string {
	var want, got any
	if read(recorded, &want) != nil || read(derived, &got) != nil {
		return "the bytes differ"
	}
	path, w, g := differ("", want, got)
	return fmt.Sprintf("%s is %s on record, and %s when it is derived", strings.TrimPrefix(path, "."), brief(w), brief(g))
}

func read(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return d.Decode(v)
}

// differ returns the path of the first difference, in the order of the keys,
// and what is there in each.
func differ(path string, want, got any) (string, any, any) {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			break
		}
		keys := slices.Collect(maps.Keys(w))
		for k := range g {
			if _, both := w[k]; !both {
				keys = append(keys, k)
			}
		}
		slices.Sort(keys)
		for _, k := range keys {
			if p, a, b := differ(path+"."+k, w[k], g[k]); p != "" {
				return p, a, b
			}
		}
		return "", nil, nil
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			break
		}
		for i := range w {
			if p, a, b := differ(fmt.Sprintf("%s[%d]", path, i), w[i], g[i]); p != "" {
				return p, a, b
			}
		}
		return "", nil, nil
	default:
		if want == got {
			return "", nil, nil
		}
	}
	return path, want, got
}

// brief writes a JSON value, cut short.
func brief(v any) string {
	if v == nil {
		return "absent"
	}
	b, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	if len(b) > 80 {
		return strings.ToValidUTF8(string(b[:80]), "") + "…"
	}
	return string(b)
}
