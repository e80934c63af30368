package document

import (
	"bytes"
	"compress/zlib"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
)

// What the PDF library writes around a stream and in front of the trailer.
var (
	streamBegin = []byte("\nstream\n")
	streamEnd   = []byte("\nendstream\nendobj\n")
	trailerKey  = []byte("trailer\n<<\n")
	startKey    = []byte("startxref\n")
	lengthKey   = regexp.MustCompile(`/Length (\d+)\n?`)
	flateKey    = regexp.MustCompile(`/Filter /FlateDecode\n?`)
	entryKey    = regexp.MustCompile(`(\d{10}) 00000 n \n`)
)

// freeze writes a PDF of the library anew, with every stream compressed by
// [deflate], so that its bytes do not depend on the version of Go, and with
// the identifier that PDF 2.0 (ISO 32000-2, 14.4) asks for, which derives from
// the content.
func freeze(pdf []byte) ([]byte, error) {
	start, trailer := bytes.LastIndex(pdf, startKey), bytes.LastIndex(pdf, trailerKey)
	if start < 0 || trailer < 0 {
		return nil, errors.New("freeze PDF: it has no trailer")
	}
	var table int
	if _, err := fmt.Sscan(string(pdf[start+len(startKey):]), &table); err != nil || table < 0 || table > trailer {
		return nil, errors.New("freeze PDF: it does not say where its objects are")
	}
	var offsets []int // by object number, from 1
	for _, e := range entryKey.FindAllSubmatch(pdf[table:trailer], -1) {
		offset, _ := strconv.Atoi(string(e[1]))
		offsets = append(offsets, offset)
	}
	order := append(slices.Sorted(slices.Values(offsets)), table)
	if len(offsets) == 0 || order[len(offsets)-1] >= table {
		return nil, errors.New("freeze PDF: its objects are not in front of their table")
	}

	out := slices.Clone(pdf[:order[0]])
	moved := map[int]int{}
	for i, at := range order[:len(offsets)] {
		moved[at] = len(out)
		object, err := recompress(pdf[at:order[i+1]])
		if err != nil {
			return nil, fmt.Errorf("freeze PDF: object at byte %d: %w", at, err)
		}
		out = append(out, object...)
	}
	table = len(out)
	id := sha256.Sum256(out)
	out = fmt.Appendf(out, "xref\n0 %d\n0000000000 65535 f \n", len(offsets)+1)
	for _, at := range offsets {
		out = fmt.Appendf(out, "%010d 00000 n \n", moved[at])
	}
	out = append(out, trailerKey...)
	out = fmt.Appendf(out, "/ID [<%x> <%x>]\n", id[:16], id[:16])
	out = append(out, pdf[trailer+len(trailerKey):start]...)
	return fmt.Appendf(out, "startxref\n%d\n%%%%EOF\n", table), nil
}

// recompress returns an object with its stream, if it has one, as [deflate]
// compresses it.
func recompress(object []byte) ([]byte, error) {
	if !bytes.HasSuffix(object, streamEnd) {
		return object, nil
	}
	dict, data, _ := bytes.Cut(object, streamBegin)
	data = bytes.TrimSuffix(data, streamEnd)
	length := lengthKey.FindSubmatch(dict)
	if length == nil || string(length[1]) != strconv.Itoa(len(data)) {
		return nil, errors.New("its stream is not as long as it says")
	}
	dict = lengthKey.ReplaceAll(dict, nil)
	if flateKey.Match(dict) {
		dict = flateKey.ReplaceAll(dict, nil)
		r, err := zlib.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("its stream: %w", err)
		}
		if data, err = io.ReadAll(r); err != nil {
			return nil, fmt.Errorf("its stream: %w", err)
		}
	}
	data = deflate(data)
	dict = bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(dict), []byte(">>")))
	object = fmt.Appendf(nil, "%s /Filter /FlateDecode /Length %d>>", dict, len(data))
	return slices.Concat(object, streamBegin, data, streamEnd), nil
}
