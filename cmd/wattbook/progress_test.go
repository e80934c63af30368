package main

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestOpeningABookTellsHowFarItIsRead(t *testing.T) {
	dir := t.TempDir()
	smallBook(t, dir)
	var calls, last, total int64
	s := settings{Data: filepath.Join(dir, "book"), reading: func(done, of int64) { calls, last, total = calls+1, done, of }}
	b, err := openBook(t.Context(), s, smallNow, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.close(); err != nil {
		t.Fatal(err)
	}
	if want := int64(b.facts.Next); calls != want || last != want || total != want {
		t.Errorf("%d calls, the last for %d of %d; want %d", calls, last, total, want)
	}
}

func TestProgressIsLinesWhereThereIsNoTerminal(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out, "working")
	p.show(1, 4, "one")
	p.show(2, 4, "two") // too soon after the first
	p.shown = time.Now().Add(-time.Minute)
	p.show(3, 4, "three")
	p.show(4, 4, "four")
	p.done()
	if want := "working: 25 %, one\nworking: 75 %, three\nworking: 100 %, four\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
	out.Reset()
	show := (&program{stderr: &out}).patient()
	for done := range int64(5) {
		show(done, 4)
	}
	if got := out.String(); strings.Contains(got, "reading") {
		t.Errorf("a short log is announced: %q", got)
	}
}
