package document_test

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"
)

// pdfFile is a PDF as the tests read it: by its cross-reference table, as a
// viewer does.
type pdfFile struct {
	objects map[int][]byte // by number
	raw     map[int][]byte // streams as they are in the file
	streams map[int][]byte // and decompressed
	pages   []string       // the text of each page, one line for each piece
}

var (
	startPattern  = regexp.MustCompile(`startxref\n(\d+)\n%%EOF\n$`)
	entryPattern  = regexp.MustCompile(`(\d{10}) \d{5} ([nf]) \n`)
	lengthPattern = regexp.MustCompile(`/Length (\d+)`)
	kidsPattern   = regexp.MustCompile(`/Kids \[([^\]]*)\]`)
	bodyPattern   = regexp.MustCompile(`/Contents (\d+) 0 R`)
	showPattern   = regexp.MustCompile(`(?s)\(((?:\\.|[^\\)])*)\) Tj`)
	escapePattern = regexp.MustCompile(`(?s)\\(.)`)
)

// readPDF reads a PDF and fails the test where a viewer would have to guess.
func readPDF(t testing.TB, pdf []byte) pdfFile {
	t.Helper()
	f, err := parsePDF(pdf)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func parsePDF(pdf []byte) (pdfFile, error) {
	f := pdfFile{objects: map[int][]byte{}, raw: map[int][]byte{}, streams: map[int][]byte{}}
	start := startPattern.FindSubmatch(pdf)
	if start == nil {
		return f, fmt.Errorf("the file does not end with the place of its table")
	}
	table, _ := strconv.Atoi(string(start[1]))
	if !bytes.HasPrefix(pdf[table:], []byte("xref\n0 ")) {
		return f, fmt.Errorf("there is no table at byte %d", table)
	}
	for number, entry := range entryPattern.FindAllSubmatch(pdf[table:], -1) {
		if string(entry[2]) == "f" {
			continue
		}
		at, _ := strconv.Atoi(string(entry[1]))
		name := fmt.Appendf(nil, "%d 0 obj\n", number)
		if !bytes.HasPrefix(pdf[at:], name) {
			return f, fmt.Errorf("object %d is not at byte %d", number, at)
		}
		body := pdf[at+len(name) : table]
		dict, data, isStream := bytes.Cut(body, []byte("\nstream\n"))
		if end := bytes.Index(dict, []byte("\nendobj\n")); end >= 0 || !isStream {
			f.objects[number] = body[:end]
			continue
		}
		length := lengthPattern.FindSubmatch(dict)
		if length == nil {
			return f, fmt.Errorf("object %d: its stream has no length", number)
		}
		n, _ := strconv.Atoi(string(length[1]))
		if !bytes.HasPrefix(data[n:], []byte("\nendstream\nendobj\n")) {
			return f, fmt.Errorf("object %d: its stream does not end after %d bytes", number, n)
		}
		r, err := zlib.NewReader(bytes.NewReader(data[:n]))
		if err != nil {
			return f, fmt.Errorf("object %d: %w", number, err)
		}
		plain, err := io.ReadAll(r)
		if err != nil {
			return f, fmt.Errorf("object %d: %w", number, err)
		}
		f.objects[number], f.raw[number], f.streams[number] = dict, data[:n], plain
	}
	kids := kidsPattern.FindSubmatch(f.objects[1])
	if kids == nil {
		return f, fmt.Errorf("the file has no list of pages")
	}
	for _, kid := range strings.Split(strings.TrimSpace(string(kids[1])), " 0 R") {
		if kid = strings.TrimSpace(kid); kid == "" {
			continue
		}
		number, _ := strconv.Atoi(kid)
		body := bodyPattern.FindSubmatch(f.objects[number])
		if body == nil {
			return f, fmt.Errorf("page object %d has no content", number)
		}
		number, _ = strconv.Atoi(string(body[1]))
		f.pages = append(f.pages, shown(f.streams[number]))
	}
	return f, nil
}

// shown returns the text that a page's content shows, piece by piece.
func shown(content []byte) string {
	var b strings.Builder
	for _, m := range showPattern.FindAllSubmatch(content, -1) {
		plain := escapePattern.ReplaceAllFunc(m[1], func(e []byte) []byte {
			if e[1] == 'r' {
				return []byte{'\r'}
			}
			return e[1:]
		})
		var units []uint16
		for i := 0; i+1 < len(plain); i += 2 {
			units = append(units, uint16(plain[i])<<8|uint16(plain[i+1]))
		}
		b.WriteString(string(utf16.Decode(units)))
		b.WriteByte('\n')
	}
	return b.String()
}

// text returns the text of all pages.
func (f pdfFile) text() string { return strings.Join(f.pages, "\f") }

// prose returns the text of all pages as one line, so that where a line broke
// does not matter.
func (f pdfFile) prose() string { return strings.Join(strings.Fields(f.text()), " ") }
