package document_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"wattbook/domain"
	"wattbook/settlement/document"
)

var update = flag.Bool("update", false, "write the golden files of this package anew")

// render returns the PDF of inv, read back.
func render(t testing.TB, inv domain.Invoice) pdfFile {
	t.Helper()
	pdf, err := document.PDF(inv, proof)
	if err != nil {
		t.Fatal(err)
	}
	return readPDF(t, pdf)
}

// many returns the sample with n lines.
func many(n int) domain.Invoice {
	inv := sample()
	kinds := inv.Lines
	inv.Lines = nil
	for i := range n {
		l := kinds[i%len(kinds)]
		l.Line = int64(i + 1)
		l.Amount.Minor += int64(i)
		inv.Lines = append(inv.Lines, l)
	}
	return total(inv)
}

func TestPDFShowsEveryFigure(t *testing.T) {
	yen := many(1)
	yen.Lines[0].Amount = domain.Money{Minor: 74_752_000, Currency: "JPY"}
	yen.Tax = domain.Tax{Name: "Consumption tax", Rate: domain.MustDecimal("0.1")}
	exempt := many(1)
	exempt.Tax = domain.Tax{Name: "VAT", Reason: "Reverse charge: the recipient owes the tax (Article 196 of Directive 2006/112/EC)."}
	credit := many(5)
	credit.Lines = credit.Lines[4:]
	plain := many(3)
	plain.Daily = nil
	idle := many(2)
	for i := range idle.Daily {
		idle.Daily[i].GPU = 0
	}
	nothing := sample()
	nothing.Lines = nil
	nothing.Subtotal.Minor, nothing.TaxDue.Minor, nothing.Total.Minor = 0, 0, 0
	for name, test := range map[string]struct {
		inv   domain.Invoice
		pages int
		want  []string
		not   []string
	}{
		"a month with every kind of line": {sample(), 2, []string{
			"USD 840,069.15", "-99.00", "per interval", "2.495", "418,233.118204",
			"of which estimated: 96.4 kWh", "Sales tax (8.25%)", "GPU-hours per day", "Energy (kWh) per day", "net 30 days",
			"2 November 2026", "2 December 2026", "1–31 Oct 2026", "20–21 Oct 2026", "14 Oct 2026 12:00 to", "1 Nov 2026 00:00", "UTC-05:00",
			"America/Chicago (UTC-05:00)", "north-models, version 3", "log position 1,048,211", "wattbook replay",
		}, nil},
		"one line":                        {many(1), 2, []string{"747,520.00"}, []string{"-99.00"}},
		"two hundred lines":               {many(200), 22, []string{"page 22 of 22", "page 1 of 22"}, nil},
		"a currency without a minor unit": {total(yen), 2, []string{"JPY 82,227,200", "Consumption tax (10%)", "7,475,200"}, []string{"74,752,000.00"}},
		"an exemption with its reason":    {total(exempt), 2, []string{"VAT (0%)", exempt.Tax.Reason}, nil},
		"a total below zero":              {total(credit), 2, []string{"USD -107.12", "No payment is due for this invoice."}, []string{"Please pay"}},
		"no daily usage":                  {total(plain), 1, []string{"How to check this invoice"}, []string{"Annex"}},
		"energy without GPUs":             {idle, 2, []string{"Energy (kWh) per day"}, []string{"GPU-hours per day"}},
		"no lines":                        {nothing, 2, []string{"There are no charges in this period.", "USD 0.00"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := render(t, test.inv)
			if len(f.pages) != test.pages {
				t.Errorf("%d pages, want %d", len(f.pages), test.pages)
			}
			text, prose := f.text(), f.prose()
			for _, l := range test.inv.Lines {
				test.want = append(append(test.want, grouped(l.Amount), fmt.Sprint(l.Line)), strings.Fields(l.Description)...)
			}
			test.want = append(test.want, test.inv.Number, test.inv.Seller.Name, test.inv.Buyer.Name,
				grouped(test.inv.Subtotal), grouped(test.inv.TaxDue), grouped(test.inv.Total))
			for _, s := range test.want {
				if !strings.Contains(prose, s) {
					t.Errorf("the text lacks %q", s)
				}
			}
			for _, s := range test.not {
				if strings.Contains(prose, s) {
					t.Errorf("the text has %q", s)
				}
			}
			if t.Failed() {
				t.Log(text)
			}
		})
	}
}

// grouped writes an amount as the document should, digit by digit.
func grouped(m domain.Money) string {
	s := m.Amount()
	whole, fraction, _ := strings.Cut(strings.TrimPrefix(s, "-"), ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if fraction != "" {
		whole += "." + fraction
	}
	if s[0] == '-' {
		return "-" + whole
	}
	return whole
}

func TestPDFRepeatsHeadsAndFeet(t *testing.T) {
	f := render(t, many(200))
	rows := 0
	for i, page := range f.pages {
		if want := fmt.Sprintf("page %d of %d\n", i+1, len(f.pages)); !strings.Contains(page, want) {
			t.Errorf("page %d lacks %q", i+1, want)
		}
		if !strings.Contains(page, "drawn at log position 1,048,211") {
			t.Errorf("page %d does not say where it was drawn", i+1)
		}
		n := strings.Count(page, "contract charge: ")
		rows += n
		if heads := strings.Count(page, "Unit price\n"); n > 0 && heads != 1 {
			t.Errorf("page %d has %d lines and %d table heads", i+1, n, heads)
		}
	}
	if rows != 200 {
		t.Errorf("%d lines are on the pages, want 200", rows)
	}
}

func TestPDFIsTheSameEveryTime(t *testing.T) {
	first, err := document.PDF(sample(), proof)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			// Another document in between uses other characters of the fonts.
			other := many(1)
			other.Buyer.Name = fmt.Sprintf("Ωμέγα Łódź Ж%d", i)
			if _, err := document.PDF(other, document.Proof{}); err != nil {
				t.Error(err)
			}
			again, err := document.PDF(sample(), proof)
			if err != nil {
				t.Error(err)
			}
			if !bytes.Equal(first, again) {
				t.Error("two renderings differ")
			}
		})
	}
	wg.Wait()
}

func TestPDFIsOneFileOfItsOwn(t *testing.T) {
	pdf, err := document.PDF(sample(), proof)
	if err != nil {
		t.Fatal(err)
	}
	f := readPDF(t, pdf)
	for number, plain := range f.streams {
		if !bytes.Equal(document.Deflate(plain), f.raw[number]) {
			t.Errorf("the stream of object %d is not compressed by this package", number)
		}
	}
	for _, want := range []string{"(D:20261102080000)", "/ID [<", "/Lang (en)", "/Producer (Wattbook)"} {
		if !bytes.Contains(pdf, []byte(want)) {
			t.Errorf("the file lacks %q", want)
		}
	}
	other, err := document.PDF(many(1), proof)
	if err != nil {
		t.Fatal(err)
	}
	id := func(pdf []byte) string { return string(pdf[bytes.LastIndex(pdf, []byte("/ID [<")):][:39]) }
	if id(pdf) == id(other) {
		t.Error("two documents have the same identifier")
	}
}

func TestPDFShowsProofs(t *testing.T) {
	inv := sample()
	inv.Checkpoint = domain.Checkpoint{Log: "wattbook.example/pecos-1", Size: 1_048_300, Root: domain.DigestOf([]byte("root"))}
	with := render(t, inv).prose()
	for _, want := range []string{"wattbook.example/pecos-1", "1,048,300 events, when this invoice was issued", "SBNJTRN+FjG7owHVrKtue7eqdM4RhdRWVl71HXN2d7I=", proof.Usage.String()} {
		if !strings.Contains(with, want) {
			t.Errorf("the text lacks %q", want)
		}
	}
	pdf, err := document.PDF(sample(), document.Proof{})
	if err != nil {
		t.Fatal(err)
	}
	if without := readPDF(t, pdf).prose(); strings.Contains(without, "SHA-256") {
		t.Error("an empty proof shows a digest")
	}
}

func TestPDFShowsNamesOfManyLanguages(t *testing.T) {
	for _, test := range []struct{ what, name, want string }{
		{"accents", "Société Générale Façade, Łódź, Peñalver, Müller", ""},
		{"bytes that PDF strings escape", `Ĩĩ Ŝ (č) \ ċĊ čŨ`, ""},
		{"Greek and Cyrillic", "Ωμέγα Жуков Ђорђе", ""},
		{"Vietnamese", "Nguyễn Thị Phượng", ""},
		{"decomposed accents", "Cafe\u0301 Lo\u0308we", "Café Löwe"},
		{"scripts without glyphs", "東京 Compute", "□□ Compute"},
		{"characters beyond the first plane", "GPU 🚀 cloud", "GPU □ cloud"},
		{"marks that turn the direction", "Acme\u202e LLC", "Acme LLC"},
		{"bytes that are no text", "Acme\xff LLC", "Acme□ LLC"},
		{"alias of the page count", "{nb} Compute", ""},
	} {
		t.Run(test.what, func(t *testing.T) {
			inv := many(1)
			inv.Buyer.Name = test.name
			if test.want == "" {
				test.want = test.name
			}
			if text := render(t, inv).pages[0]; !strings.Contains(text, test.want) {
				t.Errorf("the text lacks %q:\n%s", test.want, text)
			}
		})
	}
}

func TestDocumentsRefuseContradictions(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*domain.Invoice)
		want   string
	}{
		"lines that do not give the subtotal": {func(inv *domain.Invoice) { inv.Lines[1].Amount.Minor++ }, "its lines sum to 776045.41, its subtotal is 776045.40 USD"},
		"sums that do not give the total":     {func(inv *domain.Invoice) { inv.Total.Minor-- }, "subtotal and tax sum to 840069.15, its total is 840069.14 USD"},
		"a total beyond 64 bits": {func(inv *domain.Invoice) {
			inv.Lines[0].Amount.Minor, inv.Lines[1].Amount.Minor = 1<<63-1, 1<<63-1
			*inv = total(*inv)
		}, "its lines sum to"},
		"a line in another currency":      {func(inv *domain.Invoice) { inv.Lines[2].Amount.Currency = "EUR" }, `line 3 is in "EUR", the total in USD`},
		"a tax in another currency":       {func(inv *domain.Invoice) { inv.TaxDue.Currency = "EUR" }, `tax amount is in "EUR", the total in USD`},
		"a currency that is not known":    {func(inv *domain.Invoice) { inv.Total.Currency = "XBT" }, `total: currency "XBT" is not known`},
		"no number":                       {func(inv *domain.Invoice) { inv.Number = "" }, "it has no number"},
		"no tax and no reason":            {func(inv *domain.Invoice) { inv.Tax.Rate = domain.Decimal{} }, "tax rate is zero without a reason"},
		"an empty interval":               {func(inv *domain.Invoice) { inv.Interval.End = inv.Interval.Start }, "interval"},
		"a line with an empty interval":   {func(inv *domain.Invoice) { inv.Lines[4].Interval = domain.Interval{} }, "line 5: its interval"},
		"an instant before 1970":          {func(inv *domain.Invoice) { inv.Issued = -62_135_596_800_000_000 }, "in the year 1;"},
		"a month that is none":            {func(inv *domain.Invoice) { inv.Period.Month = 13 }, "period 2026-13 is not a month"},
		"a day that is none":              {func(inv *domain.Invoice) { inv.Daily[3].Day = "2026-10-32" }, `"2026-10-32" is not a date`},
		"days out of order":               {func(inv *domain.Invoice) { inv.Daily[3].Day = inv.Daily[2].Day }, "2026-10-03 comes after 2026-10-03"},
		"days of more than a year":        {func(inv *domain.Invoice) { inv.Daily[30].Day = "2028-10-31" }, "spans 762 days, limit 366"},
		"a line at the end of all clocks": {func(inv *domain.Invoice) { inv.Lines[0].Interval.End = 1<<63 - 1 }, "line 1: an instant is in the year"},
	} {
		t.Run(name, func(t *testing.T) {
			inv := sample()
			test.change(&inv)
			_, errPDF := document.PDF(inv, proof)
			_, errJSON := document.JSON(inv)
			for _, err := range []error{errPDF, errJSON} {
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("error %v, want one with %q", err, test.want)
				}
			}
		})
	}
}

func TestJSONIsAsRecorded(t *testing.T) {
	got, err := document.JSON(sample())
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "sample.json", got)
	var back domain.Invoice
	if err := json.Unmarshal(got, &back); err != nil {
		t.Fatal(err)
	}
	same := cmp.Comparer(func(a, b domain.Decimal) bool { return a.Equal(b) })
	if diff := cmp.Diff(sample(), back, same); diff != "" {
		t.Errorf("the document reads back as another invoice (-want +got):\n%s", diff)
	}
}

// TestPDFText compares the text of the sample, as another program reads it,
// with a golden file.
func TestPDFText(t *testing.T) {
	pdf, err := document.PDF(sample(), proof)
	if err != nil {
		t.Fatal(err)
	}
	pageText(t, "sample.txt", pdf)
}

// golden compares got with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestDateIsLocal(t *testing.T) {
	october := sample()
	tokyo := sample()
	tokyo.Interval = domain.Interval{Start: local(time.September, 30, 10), End: local(time.October, 31, 10)}
	for _, test := range []struct {
		name string
		inv  domain.Invoice
		at   domain.Instant
		want string
	}{
		{"before midnight west of Greenwich", october, local(time.November, 1, 23), "2026-11-01"},
		{"after midnight west of Greenwich", october, local(time.November, 2, 0), "2026-11-02"},
		{"after midnight east of Greenwich", tokyo, local(time.October, 31, 10), "2026-11-01"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := document.Date(test.inv, test.at); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestPDFKeepsAnyText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		inv := anyInvoice(t)
		inv.Checkpoint.Log = rapid.String().Draw(t, "log")
		pdf, err := document.PDF(inv, document.Proof{})
		if err != nil {
			t.Fatal(err)
		}
		f, err := parsePDF(pdf)
		if err != nil {
			t.Fatal(err)
		}
		if len(f.pages) == 0 {
			t.Fatal("the file has no pages")
		}
		text := strings.ReplaceAll(f.text(), "\n", "")
		for _, l := range inv.Lines {
			if !strings.Contains(text, grouped(l.Amount)) {
				t.Fatalf("the text lacks the amount %s of line %d", grouped(l.Amount), l.Line)
			}
		}
	})
}

// anyInvoice draws an invoice that adds up, with any text and any figures.
func anyInvoice(t *rapid.T) domain.Invoice {
	inv := sample()
	word := rapid.OneOf(rapid.String(), rapid.StringOfN(rapid.Rune(), 0, 300, -1),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
	for _, s := range []*string{
		&inv.Seller.Name, &inv.Seller.TaxID, &inv.Buyer.Name, &inv.Buyer.Country, &inv.Zone, &inv.Tax.Name, &inv.Tax.Reason,
		(*string)(&inv.Site), (*string)(&inv.Contract),
	} {
		*s = word.Draw(t, "text")
	}
	inv.Number = "N" + word.Draw(t, "number")
	inv.Buyer.Address = rapid.SliceOfN(word, 0, 80).Draw(t, "address")
	inv.AsOf = domain.Position(rapid.Uint64().Draw(t, "position"))
	currency := rapid.SampledFrom([]domain.Currency{"USD", "JPY", "KWD"}).Draw(t, "currency")
	number := rapid.Map(rapid.StringMatching(`-?[0-9]{1,24}(\.[0-9]{1,24})?`), domain.MustDecimal)
	inv.Lines = nil
	for i := range rapid.IntRange(1, 12).Draw(t, "lines") {
		l := sample().Lines[i%5]
		l.Line = int64(i + 1)
		l.Description, l.Detail, l.Unit = word.Draw(t, "description"), word.Draw(t, "detail"), word.Draw(t, "unit")
		l.Quantity, l.Estimated = number.Draw(t, "quantity"), number.Draw(t, "estimated")
		if l.UnitPrice != nil {
			price := number.Draw(t, "price")
			l.UnitPrice = &price
		}
		l.Amount = domain.Money{Minor: rapid.Int64Range(-1<<59, 1<<59).Draw(t, "amount"), Currency: currency}
		inv.Lines = append(inv.Lines, l)
	}
	inv.Daily = inv.Daily[:rapid.IntRange(0, 31).Draw(t, "days")]
	for i := range inv.Daily {
		inv.Daily[i].GPU = domain.GPUTime(rapid.Int64().Draw(t, "gpu"))
		inv.Daily[i].Energy = domain.Energy(rapid.Int64().Draw(t, "energy"))
	}
	return total(inv)
}

func FuzzPDF(f *testing.F) {
	f.Add("Północ Modèles GmbH", "On-demand GPUs")
	f.Add("\xff{nb}(\\)\r\n", "東京\x00\u202e")
	f.Fuzz(func(t *testing.T, name, description string) {
		inv := many(2)
		inv.Buyer.Name, inv.Lines[0].Description = name, description
		if f := render(t, inv); len(f.pages) == 0 {
			t.Fatal("the file has no pages")
		}
	})
}

func BenchmarkPDF(b *testing.B) {
	for _, lines := range []int{5, 200} {
		inv := many(lines)
		b.Run(fmt.Sprintf("lines=%d", lines), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := document.PDF(inv, proof); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
