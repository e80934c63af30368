package document

import (
	"bytes"
	"fmt"

	"codeberg.org/go-pdf/fpdf"

	"wattbook/domain"
)

// length is a distance on the page in hundredths of a point, which are 1/7200
// of an inch. All layout is done in it; only [length.points] makes a float of
// it, for the PDF library, which prints it with two digits.
type length int

const pt length = 100

// points returns l in points.
func (l length) points() float64 { return float64(l) / 100 }

// The page is A4 (ISO 216: 210 mm × 297 mm). The margins hold the head and the
// foot that every page repeats.
const (
	pageWidth  length = 595*pt + 28
	pageHeight length = 841*pt + 89
	left              = 56 * pt
	right             = pageWidth - left
	top               = 56 * pt
	bottom            = pageHeight - 66*pt
)

// ink is a color, red green and blue.
type ink [3]int

// style is how text looks.
type style struct {
	face face
	size length
	ink  ink
}

// align says which end of a text is at its x.
type align int

const (
	toRight align = iota // text begins at x
	toLeft               // text ends at x
)

// text is one piece of cleaned text. dy is the distance of its baseline from
// the top of its strip.
type text struct {
	x, dy length
	align align
	style style
	s     string
}

// box is a filled rectangle. dy is the distance of its top edge from the top
// of its strip.
type box struct {
	x, dy, w, h length
	ink         ink
}

// strip is a piece of a page that no page break cuts: most often one line of
// text.
type strip struct {
	height length
	boxes  []box // below the texts
	texts  []text
}

// beside puts stacks of strips next to each other. They are places for
// different columns of one page; the result is as high as the highest.
func beside(stacks ...[]strip) []strip {
	var all []strip
	for _, stack := range stacks {
		for i, s := range stack {
			if i == len(all) {
				all = append(all, strip{})
			}
			all[i].height = max(all[i].height, s.height)
			all[i].boxes = append(all[i].boxes, s.boxes...)
			all[i].texts = append(all[i].texts, s.texts...)
		}
	}
	return all
}

// placed is a strip with the place of its top edge on a page.
type placed struct {
	y length
	strip
}

// A book collects strips into pages.
type book struct {
	pages [][]placed
	y     length  // where the next strip goes
	head  []strip // repeated at the top of a page that goes on with a table
}

// breakPage begins a new page, with the head of the table that goes on there.
func (b *book) breakPage() {
	b.pages = append(b.pages, nil)
	b.y = top
	for _, s := range b.head {
		b.put(s)
	}
}

// put places a strip, whether it fits or not.
func (b *book) put(s strip) {
	p := &b.pages[len(b.pages)-1]
	*p = append(*p, placed{b.y, s})
	b.y += s.height
}

// add places strips on one page if one page can hold them, and otherwise
// breaks between them where it must.
func (b *book) add(strips ...strip) {
	var height length
	for _, s := range strips {
		height += s.height
	}
	if room := bottom - top - heightOf(b.head); height <= room && b.y+height > bottom {
		b.breakPage()
	}
	for _, s := range strips {
		if b.y+s.height > bottom {
			b.breakPage()
		}
		b.put(s)
	}
}

// gap leaves space, unless the page has just begun.
func (b *book) gap(height length) {
	if b.y > top {
		b.y += height
	}
}

func heightOf(strips []strip) (h length) {
	for _, s := range strips {
		h += s.height
	}
	return h
}

// properties are what the PDF says about itself.
type properties struct {
	title, author, subject string
	at                     domain.Instant
}

// draw writes the pages as a PDF whose streams the library compressed, or not,
// as it likes; see [freeze].
func draw(t *typesetter, b *book, about properties) ([]byte, error) {
	f := fpdf.New("P", "pt", "A4", "")
	f.SetCompression(false)
	f.SetCatalogSort(true)
	f.SetCreationDate(about.at.Time())
	f.SetModificationDate(about.at.Time())
	f.SetProducer("Wattbook", false)
	f.SetTitle(about.title, true)
	f.SetAuthor(about.author, true)
	f.SetSubject(about.subject, true)
	f.SetLang("en")
	f.SetAutoPageBreak(false, 0)
	styles := [faces]string{"", "B"}
	for i := range faces {
		f.AddUTF8FontFromBytes("sans", styles[i], []byte(i.ttf()))
	}
	for _, page := range b.pages {
		f.AddPage()
		for _, p := range page {
			for _, x := range p.boxes {
				f.SetFillColor(x.ink[0], x.ink[1], x.ink[2])
				f.Rect(x.x.points(), (p.y + x.dy).points(), x.w.points(), x.h.points(), "F")
			}
			for _, x := range p.texts {
				at := x.x
				if x.align == toLeft {
					at -= t.width(x.s, x.style.face, x.style.size)
				}
				f.SetFont("sans", styles[x.style.face], x.style.size.points())
				f.SetTextColor(x.style.ink[0], x.style.ink[1], x.style.ink[2])
				f.Text(at.points(), (p.y + x.dy).points(), x.s)
			}
		}
	}
	var out bytes.Buffer
	if err := f.Output(&out); err != nil {
		return nil, fmt.Errorf("draw pages: %w", err)
	}
	return out.Bytes(), nil
}
