package journal

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Format is the plain-text form of a program that keeps books.
type Format string

// The formats.
const (
	Beancount Format = "beancount"
	HLedger   Format = "hledger"
	Ledger    Format = "ledger"
)

// Formats returns the formats that there are.
func Formats() []Format { return []Format{Beancount, HLedger, Ledger} }

// Export writes books in a format, so that the program's own checker accepts
// them. Each entry names its event and position; a pending one is marked.
func Export(w io.Writer, b Books, f Format) error {
	out := bufio.NewWriter(w)
	accounts, commodities, first := used(b.Entries)
	title := fmt.Sprintf("Books of %s, as of position %d of its log", b.Site.Name, b.AsOf)
	if b.Site.Name == "" {
		title = fmt.Sprintf("Books of %s, as of position %d of its log", b.Site.Site, b.AsOf)
	}
	switch f {
	case Beancount:
		fmt.Fprintf(out, "; %s\noption \"title\" %s\noption \"operating_currency\" \"%s\"\n\n", oneLine(title), quoted(title), b.Site.Currency)
		for _, a := range accounts {
			fmt.Fprintf(out, "%s open %s\n", first, a)
		}
	case HLedger, Ledger:
		fmt.Fprintf(out, "; %s\n\n", oneLine(title))
		for _, c := range commodities {
			zero := "1000."
			if d := Digits(c); d > 0 {
				zero += strings.Repeat("0", int(d))
			}
			fmt.Fprintf(out, "commodity %s\n    format %s %s\n", c, zero, c)
		}
		for _, a := range accounts {
			fmt.Fprintf(out, "account %s\n", a)
		}
		if f == Ledger {
			fmt.Fprint(out, "tag event\ntag position\n")
		}
	default:
		return fmt.Errorf("journal format %q is not known; want one of %v", f, Formats())
	}
	for _, e := range b.Entries {
		mark := "*"
		if e.Pending {
			mark = "!"
		}
		if f == Beancount {
			fmt.Fprintf(out, "\n%s %s %s\n  event: \"%s\"\n  position: %d\n", e.Date, mark, quoted(e.Narration), e.Event, e.Position)
		} else {
			fmt.Fprintf(out, "\n%s %s %s\n    ; event: %s\n    ; position: %d\n", e.Date, mark, oneLine(e.Narration), e.Event, e.Position)
		}
		for _, p := range e.Postings {
			fmt.Fprintf(out, "    %-52s  %16s %s\n", p.Account, p.Amount.Fixed(Digits(p.Commodity)), p.Commodity)
		}
	}
	return out.Flush()
}

// used returns the accounts and commodities of entries, and the first date.
func used(entries []Entry) (accounts, commodities []string, first string) {
	a, c := map[string]bool{}, map[string]bool{}
	for _, e := range entries {
		if first == "" || e.Date < first {
			first = e.Date
		}
		for _, p := range e.Postings {
			a[p.Account], c[p.Commodity] = true, true
		}
	}
	return slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(c)), first
}

// oneLine takes what would end a line, or begin a comment, out of a text.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r < ' ' || r == ';' || r == '|' }), " ")
}

// quoted writes a text as a string of beancount.
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(oneLine(s)) + `"`
}
