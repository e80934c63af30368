package document

import (
	"bytes"
	"compress/zlib"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"codeberg.org/go-pdf/fpdf"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"wattbook/domain"
)

func TestFiguresAreGrouped(t *testing.T) {
	for in, want := range map[string]string{
		"0": "0", "7": "7", "999": "999", "1000": "1,000", "-1000": "-1,000", "-100.5": "-100.5", "1234567.8901": "1,234,567.8901",
		"-9223372036854775808": "-9,223,372,036,854,775,808",
	} {
		if got := group(in); got != want {
			t.Errorf("group(%s) is %s, want %s", in, got, want)
		}
	}
}

func TestPricesKeepEveryDigit(t *testing.T) {
	for _, test := range []struct {
		price    string
		currency domain.Currency
		want     string
	}{
		{"1460", "USD", "1,460.00"},
		{"2.4", "USD", "2.40"},
		{"0.0825", "USD", "0.0825"},
		{"2.500", "USD", "2.50"},
		{"360", "JPY", "360"},
		{"0.5", "JPY", "0.5"},
		{"1.5", "KWD", "1.500"},
	} {
		if got := price(domain.MustDecimal(test.price), test.currency); got != test.want {
			t.Errorf("price of %s %s is %s, want %s", test.price, test.currency, got, test.want)
		}
	}
	for in, want := range map[string]string{"0": "0%", "0.0825": "8.25%", "0.2": "20%", "10": "1,000%"} {
		if got := percent(domain.MustDecimal(in)); got != want {
			t.Errorf("percent of %s is %s, want %s", in, got, want)
		}
	}
}

func TestCalendarKnowsTheOffsets(t *testing.T) {
	at := func(s string) domain.Instant {
		v, err := domain.ParseInstant(s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	in := func(month time.Month, start, end string) domain.Invoice {
		return domain.Invoice{Period: domain.Period{Year: 2026, Month: month}, Interval: domain.Interval{Start: at(start), End: at(end)}}
	}
	october := in(time.October, "2026-10-01T00:00-05:00", "2026-11-01T00:00-05:00")
	november := in(time.November, "2026-11-01T00:00-05:00", "2026-12-01T00:00-06:00") // the clocks go back
	for _, test := range []struct {
		name, start, end string
		inv              domain.Invoice
		zone             string
		want             []string
	}{
		{"the whole month", "2026-10-01T00:00-05:00", "2026-11-01T00:00-05:00", october, "UTC-05:00", []string{"1–31 Oct 2026"}},
		{"one day", "2026-10-09T00:00-05:00", "2026-10-10T00:00-05:00", october, "UTC-05:00", []string{"9 Oct 2026"}},
		{
			"days at midnights of UTC", "2026-10-09T00:00Z", "2026-10-10T00:00Z", october, "UTC-05:00",
			[]string{"8 Oct 2026 19:00 to", "9 Oct 2026 19:00", "UTC-05:00"},
		},
		{"a month of two offsets", "2026-11-01T00:00-05:00", "2026-12-01T00:00-06:00", november, "UTC-05:00, then UTC-06:00", []string{"1–30 Nov 2026"}},
		{
			"days in a month of two offsets", "2026-11-01T00:00-05:00", "2026-11-10T00:00-06:00", november, "UTC-05:00, then UTC-06:00",
			[]string{"1 Nov 2026 00:00 to", "10 Nov 2026 01:00", "UTC-05:00"},
		},
		{"another month", "2026-08-01T00:00-05:00", "2026-10-01T00:00-05:00", october, "UTC-05:00", []string{"1 Aug 2026 to", "30 Sep 2026"}},
		{
			"half of the month", "2026-10-01T00:00-05:00", "2026-10-15T00:00-05:00",
			in(time.October, "2026-10-01T00:00-05:00", "2026-10-15T00:00-05:00"), "UTC-05:00",
			[]string{"1 Oct 2026 00:00 to", "15 Oct 2026 00:00", "UTC-05:00"},
		},
		{
			"an end that is hours early", "2026-10-01T00:00-05:00", "2026-10-31T20:00-05:00",
			in(time.October, "2026-10-01T00:00-05:00", "2026-10-31T20:00-05:00"), "UTC",
			[]string{"1 Oct 2026 05:00 to", "1 Nov 2026 01:00", "UTC"},
		},
		{
			"Kathmandu", "2026-10-01T00:00+05:45", "2026-11-01T00:00+05:45",
			in(time.October, "2026-10-01T00:00+05:45", "2026-11-01T00:00+05:45"), "UTC+05:45",
			[]string{"1–31 Oct 2026"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCalendar(test.inv)
			if got := c.zone(); got != test.zone {
				t.Errorf("the zone is %s, want %s", got, test.zone)
			}
			if diff := cmp.Diff(test.want, c.span(domain.Interval{Start: at(test.start), End: at(test.end)})); diff != "" {
				t.Errorf("the span (-want +got):\n%s", diff)
			}
		})
	}
}

// TestWidthsAreThoseOfTheLibrary holds the widths that texts are placed by
// against those that the PDF declares.
func TestWidthsAreThoseOfTheLibrary(t *testing.T) {
	ts := newTypesetter()
	f := fpdf.New("P", "pt", "A4", "")
	for face, style := range []string{"", "B"} {
		f.AddUTF8FontFromBytes("sans", style, []byte(ttfOf(face)))
		f.SetFont("sans", style, 10)
		if n := len(ts.advances[face]); n < 2000 {
			t.Fatalf("face %d has %d characters, want more than 2000", face, n)
		}
		for r, w := range ts.advances[face] {
			if got := f.GetStringSymbolWidth(string(r)); got != w {
				t.Errorf("face %d: %q is %d wide, the library says %d", face, r, w, got)
			}
		}
	}
	if !ts.shows(missing) || !ts.shows('ł') || ts.shows('東') {
		t.Error("the fonts do not show what they should")
	}
}

func ttfOf(i int) string { return face(i).ttf() }

func TestWrapKeepsEveryCharacter(t *testing.T) {
	ts := newTypesetter()
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringOf(rapid.RuneFrom([]rune("abWi -é\n東,"))).Draw(t, "text")
		width := length(rapid.IntRange(1, 20_000).Draw(t, "width"))
		joined := ""
		for _, line := range ts.wrap(s, regular, 9*pt, width) {
			if line == "" {
				t.Fatal("a line is empty")
			}
			if got := ts.width(line, regular, 9*pt); got > width && len([]rune(line)) > 1 {
				t.Fatalf("line %q is %d wide, limit %d", line, got, width)
			}
			joined += line
		}
		if got, want := squeeze(joined), squeeze(ts.clean(s)); got != want {
			t.Fatalf("the lines hold %q, want %q", got, want)
		}
	})
}

// squeeze leaves the spaces out of s.
func squeeze(s string) string {
	var b bytes.Buffer
	for _, r := range s {
		if r != ' ' && r != '\n' {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// TestPagesHaveNoOverlaps lays out any invoice and looks for texts that touch
// each other or leave the margins.
func TestPagesHaveNoOverlaps(t *testing.T) {
	ts := newTypesetter()
	rapid.Check(t, func(t *rapid.T) {
		inv := drawnInvoice(t)
		b := compose(ts, inv, Proof{Usage: domain.DigestOf(nil)}, papers{name: "Invoice"})
		for n, page := range b.pages {
			var areas []area
			for _, p := range page {
				for _, x := range p.texts {
					a := areaOf(ts, p, x)
					if a.left < left-1 || a.right > right+1 || a.top < 20*pt || a.bottom > pageHeight-20*pt {
						t.Fatalf("page %d: %q leaves the margins: %v", n+1, x.s, a)
					}
					for _, other := range areas {
						if a.touches(other) {
							t.Fatalf("page %d: %q lies on %q", n+1, a.s, other.s)
						}
					}
					areas = append(areas, a)
				}
			}
		}
	})
}

// area is where a text has ink: from the top of capitals to the baseline.
type area struct {
	left, right, top, bottom length
	s                        string
}

func areaOf(ts *typesetter, p placed, x text) area {
	w := ts.width(x.s, x.style.face, x.style.size)
	a := area{x.x, x.x + w, p.y + x.dy - x.style.size*69/100, p.y + x.dy, x.s}
	if x.align == toLeft {
		a.left, a.right = x.x-w, x.x
	}
	return a
}

func (a area) touches(b area) bool {
	return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom
}

// drawnInvoice draws an invoice of hard cases for the layout.
func drawnInvoice(t *rapid.T) domain.Invoice {
	word := rapid.StringOfN(rapid.RuneFrom([]rune("Wi m-éż\n東")), 0, 120, -1)
	number := rapid.Map(rapid.StringMatching(`-?[0-9]{1,30}(\.[0-9]{1,20})?`), domain.MustDecimal)
	party := func() domain.Party {
		return domain.Party{Name: word.Draw(t, "name"), Address: rapid.SliceOfN(word, 0, 60).Draw(t, "address"), Country: "US", TaxID: word.Draw(t, "tax id")}
	}
	currency := rapid.SampledFrom([]domain.Currency{"USD", "JPY", "KWD"}).Draw(t, "currency")
	money := func() domain.Money { return domain.Money{Minor: rapid.Int64().Draw(t, "money"), Currency: currency} }
	month := domain.Period{Year: 2026, Month: time.October}
	inv := domain.Invoice{
		Number: word.Draw(t, "number"), Site: "pecos-1", Contract: domain.ContractID(word.Draw(t, "contract")), Version: rapid.Int64().Draw(t, "version"),
		Seller: party(), Buyer: party(), Period: month, Interval: month.In(time.UTC), Zone: word.Draw(t, "zone"),
		AsOf: domain.Position(rapid.Uint64().Draw(t, "position")), Issued: month.In(time.UTC).End, Due: month.In(time.UTC).End,
		Subtotal: money(), Tax: domain.Tax{Name: word.Draw(t, "tax"), Rate: number.Draw(t, "rate"), Reason: word.Draw(t, "reason")},
		TaxDue: money(), Total: money(),
	}
	for i := range rapid.IntRange(0, 30).Draw(t, "lines") {
		l := domain.InvoiceLine{
			Line: int64(i) * rapid.Int64Range(1, 99999).Draw(t, "line"), Charge: word.Draw(t, "charge"), Description: word.Draw(t, "description"),
			Interval: domain.Interval{Start: inv.Interval.Start + domain.Instant(i), End: inv.Interval.End},
			Quantity: number.Draw(t, "quantity"), Unit: word.Draw(t, "unit"), Amount: money(), Detail: word.Draw(t, "detail"),
		}
		if rapid.Bool().Draw(t, "priced") {
			p := number.Draw(t, "price")
			l.UnitPrice = &p
		}
		inv.Lines = append(inv.Lines, l)
	}
	for i := range rapid.IntRange(0, 120).Draw(t, "days") {
		inv.Daily = append(inv.Daily, domain.DailyUsage{
			Day: time.Date(2026, 10, 1+i, 0, 0, 0, 0, time.UTC).Format(time.DateOnly),
			GPU: domain.GPUTime(rapid.Int64().Draw(t, "gpu")), Energy: domain.Energy(rapid.Int64().Draw(t, "energy")),
		})
	}
	return inv
}

func TestDeflateNeverChanges(t *testing.T) {
	in := "wattbook wattbook wattbook \x00\x90\xff " + fmt.Sprintf("%0300d", 7)
	const want = "78012b4f2c2949cacfcf56c064304cf8af60300a8805e6004a894498"
	if got := hex.EncodeToString(deflate([]byte(in))); got != want {
		t.Errorf("got %s, want %s; issued documents could not be printed again", got, want)
	}
}

func TestDeflateIsUndone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var data []byte
		for range rapid.IntRange(0, 20).Draw(t, "runs") {
			part := rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "part")
			data = append(data, bytes.Repeat(part, rapid.IntRange(1, 3000).Draw(t, "times"))...)
		}
		checkDeflate(t, data)
	})
}

func FuzzDeflate(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("aaa"))
	f.Add(bytes.Repeat([]byte{0}, 70_000))
	f.Add([]byte("wattbook wattbook"))
	f.Fuzz(func(t *testing.T, data []byte) { checkDeflate(t, data) })
}

func checkDeflate(t interface{ Fatal(...any) }, data []byte) {
	r, err := zlib.NewReader(bytes.NewReader(deflate(data)))
	if err != nil {
		t.Fatal(err)
	}
	back, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(back, data) {
		t.Fatal("the data came back changed")
	}
}

func TestFreezeRefusesWhatTheLibraryDoesNotWrite(t *testing.T) {
	file := func(object string) string {
		const start = "%PDF-1.3\n"
		return fmt.Sprintf("%s%sxref\n0 2\n%010d 00000 n \ntrailer\n<<\n>>\nstartxref\n%d\n%%%%EOF\n",
			start, object, len(start), len(start+object))
	}
	const whole = "1 0 obj\n<</Length 2>>\nstream\nab\nendstream\nendobj\n"
	if _, err := freeze([]byte(file(whole))); err != nil {
		t.Fatalf("a file like the library's: %v", err)
	}
	for name, pdf := range map[string]string{
		"nothing":                      "",
		"no place of the table":        "%PDF-1.3\ntrailer\n<<\n>>\nstartxref\nnone\n%%EOF\n",
		"a table before the file":      strings.Replace(file(whole), "startxref\n", "startxref\n-", 1),
		"a table after the file":       strings.Replace(file(whole), "startxref\n", "startxref\n9", 1),
		"no objects":                   "%PDF-1.3\nxref\n0 1\ntrailer\n<<\n>>\nstartxref\n9\n%%EOF\n",
		"an object behind the table":   strings.Replace(file(whole), "\n0000000009 ", "\n0000000999 ", 1),
		"a stream of another length":   file(strings.Replace(whole, "/Length 2", "/Length 9", 1)),
		"a stream without a length":    file(strings.Replace(whole, "/Length 2", "", 1)),
		"a stream that does not parse": file(strings.Replace(whole, "/Length 2", "/Length 2/Filter /FlateDecode", 1)),
	} {
		t.Run(name, func(t *testing.T) {
			if out, err := freeze([]byte(pdf)); err == nil {
				t.Errorf("no error, but %q", out)
			}
		})
	}
}
