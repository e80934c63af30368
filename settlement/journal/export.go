package journal

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"wattbook/domain"
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
// them. Each entry names its event and position, and the event that published
// the price of bitcoin that it is at; a pending one is marked. Bitcoin is in
// lots at cost, as each program writes them: beancount checks that what leaves a
// lot is in it, ledger keeps the lots apart, and hledger has the cost alone.
func Export(w io.Writer, b Books, f Format) error {
	out := bufio.NewWriter(w)
	accounts, commodities, coins, first := used(b.Entries)
	title := fmt.Sprintf("Books of %s, as of position %d of its log", b.Site.Name, b.AsOf)
	if b.Site.Name == "" {
		title = fmt.Sprintf("Books of %s, as of position %d of its log", b.Site.Site, b.AsOf)
	}
	switch f {
	case Beancount:
		fmt.Fprintf(out, "; %s\noption \"title\" %s\noption \"operating_currency\" \"%s\"\n\n", oneLine(title), quoted(title), b.Site.Currency)
		for _, a := range accounts {
			booking := ""
			if coins[a] {
				booking = " BTC \"STRICT\""
			}
			fmt.Fprintf(out, "%s open %s%s\n", first, a, booking)
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
			fmt.Fprint(out, "tag event\ntag position\ntag price_event\n")
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
			if !e.Priced.IsZero() {
				fmt.Fprintf(out, "  price_event: \"%s\"\n", e.Priced)
			}
		} else {
			fmt.Fprintf(out, "\n%s %s %s\n    ; event: %s\n    ; position: %d\n", e.Date, mark, oneLine(e.Narration), e.Event, e.Position)
			if !e.Priced.IsZero() {
				fmt.Fprintf(out, "    ; price_event: %s\n", e.Priced)
			}
		}
		for _, p := range e.Postings {
			fmt.Fprintf(out, "    %-52s  %16s %s%s\n", p.Account, Text(p.Amount, p.Commodity), p.Commodity, atCost(p.Cost, f))
		}
	}
	return out.Flush()
}

// Text writes an amount with the digits of its commodity; one that has more,
// as it is: what rounding leaves.
func Text(amount domain.Decimal, commodity string) string {
	if _, whole := amount.Scaled(Digits(commodity)); !whole {
		return amount.String()
	}
	return amount.Fixed(Digits(commodity))
}

// atCost writes the cost of bitcoin behind its amount.
func atCost(c Cost, f Format) string {
	if c.IsZero() {
		return ""
	}
	price := Text(c.Price, c.Currency) + " " + c.Currency
	switch f {
	case Beancount:
		return fmt.Sprintf(" {%s, %s, %s}", price, c.Date, quoted(c.Lot))
	case Ledger:
		return fmt.Sprintf(" {%s} [%s] (%s) @ %s", price, c.Date, strings.NewReplacer("(", "", ")", "", "@", " ").Replace(oneLine(c.Lot)), price)
	}
	return fmt.Sprintf(" @ %s  ; lot: %s of %s", price, oneLine(c.Lot), c.Date)
}

// used returns the accounts and commodities of entries, which accounts have
// lots, and the first date.
func used(entries []Entry) (accounts, commodities []string, coins map[string]bool, first string) {
	a, c, coins := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, e := range entries {
		if first == "" || e.Date < first {
			first = e.Date
		}
		for _, p := range e.Postings {
			a[p.Account], c[p.Commodity] = true, true
			if !p.Cost.IsZero() {
				coins[p.Account], c[p.Cost.Currency] = true, true
			}
		}
	}
	return slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(c)), coins, first
}

// oneLine takes what would end a line, or begin a comment, out of a text.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r < ' ' || r == ';' || r == '|' }), " ")
}

// quoted writes a text as a string of beancount.
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(oneLine(s)) + `"`
}
