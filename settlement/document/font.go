package document

import (
	_ "embed"
	"encoding/binary"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// The fonts are Liberation Sans 2.1 under the SIL Open Font License 1.1
// (font/LICENSE), as the Go module codeberg.org/go-fonts/liberation v0.6.0
// carries them. They are kept here and not imported, so that no update of a
// module changes what an issued invoice prints to.
//
// They are strings because the PDF library writes into the bytes that it is
// given: every document gets its own copy.
var (
	//go:embed font/LiberationSans-Regular.ttf
	regularTTF string
	//go:embed font/LiberationSans-Bold.ttf
	boldTTF string
)

// face is one of the two weights of the document's typeface.
type face int

const (
	regular face = iota
	bold
	faces
)

// ttf returns the font file of f.
func (f face) ttf() string { return [faces]string{regularTTF, boldTTF}[f] }

// missing stands for a character that the fonts do not have.
const missing = '□'

// A typesetter knows how wide text is and which characters can be shown.
type typesetter struct {
	advances [faces]map[rune]int // thousandths of the type size
}

func newTypesetter() *typesetter {
	var t typesetter
	for f := range faces {
		t.advances[f] = advances(f.ttf())
	}
	return &t
}

// shows reports whether every face has r.
func (t *typesetter) shows(r rune) bool {
	for f := range faces {
		if _, ok := t.advances[f][r]; !ok {
			return false
		}
	}
	return true
}

// clean returns what of s can be shown: composed characters, spaces for other
// white space, nothing for controls and marks of direction, which could make a
// document say something else than its data, and [missing] for the rest. Line
// ends stay.
func (t *typesetter) clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case unicode.IsSpace(r):
			return ' '
		case unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Cf, r):
			return -1
		case t.shows(r):
			return r
		}
		return missing
	}, norm.NFC.String(strings.ToValidUTF8(s, string(missing))))
}

// oneLine is clean, with line ends as spaces.
func (t *typesetter) oneLine(s string) string {
	return strings.Join(strings.Fields(t.clean(s)), " ")
}

// width returns the width of cleaned text, rounded up.
func (t *typesetter) width(s string, f face, size length) length {
	sum := 0
	for _, r := range s {
		sum += t.advances[f][r]
	}
	return (length(sum)*size + 999) / 1000
}

// wrap cleans s and breaks it into lines of at most the given width: at line
// ends and spaces, and inside a word only where the word alone is too wide.
func (t *typesetter) wrap(s string, f face, size, width length) []string {
	var lines []string
	for paragraph := range strings.SplitSeq(t.clean(s), "\n") {
		line := ""
		for _, word := range strings.Fields(paragraph) {
			if line != "" {
				if longer := line + " " + word; t.width(longer, f, size) <= width {
					line = longer
					continue
				}
				lines = append(lines, line)
			}
			var full []string
			full, line = t.chop(word, f, size, width)
			lines = append(lines, full...)
		}
		if line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// chop cuts full lines off a word until the rest fits. A line has at least one
// character, however narrow it is.
func (t *typesetter) chop(word string, f face, size, width length) (full []string, rest string) {
	start := 0
	for i := range word {
		_, n := next(word[i:])
		if i > start && t.width(word[start:i+n], f, size) > width {
			full = append(full, word[start:i])
			start = i
		}
	}
	return full, word[start:]
}

// next returns the first character of s and its length in bytes.
func next(s string) (rune, int) {
	for i, r := range s {
		if i > 0 {
			return r, i
		}
	}
	return 0, len(s)
}

// advances returns how far each character of a font moves the pen, in
// thousandths of the type size. It reads the tables cmap (format 4), head,
// hhea and hmtx of the OpenType specification 1.9, and panics on a font that
// lacks them: the fonts are ours.
func advances(ttf string) map[rune]int {
	font := []byte(ttf)
	u16 := func(b []byte, at int) int { return int(binary.BigEndian.Uint16(b[at:])) }
	u32 := func(b []byte, at int) int { return int(binary.BigEndian.Uint32(b[at:])) }
	tables := map[string][]byte{}
	for i := range u16(font, 4) {
		record := font[12+16*i:]
		tables[string(record[:4])] = font[u32(record, 8):][:u32(record, 12)]
	}
	perEm := u16(tables["head"], 18)
	metrics := u16(tables["hhea"], 34)
	hmtx := tables["hmtx"]

	cmap := tables["cmap"]
	var m []byte // the mapping of Unicode's first plane
	for i := range u16(cmap, 2) {
		record := cmap[4+8*i:]
		if t := cmap[u32(record, 4):]; u16(record, 0) == 3 && u16(record, 2) == 1 && u16(t, 0) == 4 {
			m = t
		}
	}
	width := map[rune]int{}
	doubled := u16(m, 6) // twice the number of segments
	ends, starts := m[14:], m[16+doubled:]
	deltas, ranges := m[16+2*doubled:], m[16+3*doubled:]
	for s := 0; s < doubled; s += 2 {
		for r := u16(starts, s); r <= u16(ends, s) && r < 0xffff; r++ {
			glyph := r + u16(deltas, s)
			if at := u16(ranges, s); at != 0 {
				if glyph = u16(ranges, s+at+2*(r-u16(starts, s))); glyph != 0 {
					glyph += u16(deltas, s)
				}
			}
			if glyph &= 0xffff; glyph != 0 {
				units := u16(hmtx, 4*min(glyph, metrics-1))
				width[rune(r)] = (1000*units + perEm/2) / perEm
			}
		}
	}
	return width
}
