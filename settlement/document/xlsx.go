package document

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"wattbook/domain"
)

// XLSX returns the usage statement of an invoice as a workbook: its lines, and
// what was used on each local day. Numbers are numbers, with all their digits
// in the file. Entries are stored without compression and without a time, so
// that the same statement is the same bytes.
func XLSX(inv domain.Invoice) ([]byte, error) {
	if err := check(inv); err != nil {
		return nil, fmt.Errorf("render %q as XLSX: %w", inv.Number, err)
	}
	return workbook(inv, "Invoice", "", nil)
}

// NoteXLSX is [XLSX] of a note, which has lines and causes.
func NoteXLSX(n domain.Note) ([]byte, error) {
	if err := check(n.Invoice); err != nil {
		return nil, fmt.Errorf("render %q as XLSX: %w", n.Number, err)
	}
	return workbook(n.Invoice, noteName(n.Kind)+" for "+n.Corrects, n.Corrects, n.Causes)
}

// cell is a text, or a number if number is set.
type cell struct {
	text   string
	number bool
}

func words(texts ...string) []cell {
	cells := make([]cell, len(texts))
	for i, t := range texts {
		cells[i] = cell{text: t}
	}
	return cells
}

func figure(d domain.Decimal) cell { return cell{d.String(), true} }

func workbook(inv domain.Invoice, what, corrects string, causes []string) ([]byte, error) {
	c := newCalendar(inv)
	currency := string(inv.Total.Currency)
	lines := [][]cell{
		words(what, inv.Number), words("Seller", inv.Seller.Name), words("Buyer", inv.Buyer.Name), words("Contract", string(inv.Contract)),
		words("Period", inv.Period.String()), words("Time zone", inv.Zone), words("Issued", c.date(inv.Issued)), words("Due", c.date(inv.Due)),
		{{text: "Log position"}, {fmt.Sprint(uint64(inv.AsOf)), true}},
	}
	if len(causes) > 0 && credits(inv) {
		lines = slices.DeleteFunc(lines, func(l []cell) bool { return l[0].text == "Due" })
	}
	for _, cause := range causes {
		lines = append(lines, words("Since", cause))
	}
	lines = append(lines, nil, words("Line", "Charge", "Description", "From (UTC)", "To (UTC)", "Quantity", "Unit", "Unit price "+currency, "Amount "+currency, "Estimated quantity", "Detail"))
	for _, l := range inv.Lines {
		row := append([]cell{{fmt.Sprint(l.Line), true}}, words(l.Charge, l.Description, l.Interval.Start.String(), l.Interval.End.String())...)
		detail := []string{changed(inv, corrects, l), l.Detail}
		if !l.Tax.IsZero() {
			detail = append(detail, "under "+taxName(l.Tax))
		}
		unitPrice := cell{}
		if l.UnitPrice != nil {
			unitPrice = figure(*l.UnitPrice)
		}
		lines = append(lines, append(row, figure(l.Quantity), cell{text: l.Unit}, unitPrice, figure(l.Amount.Decimal()), figure(l.Estimated), cell{text: strings.Join(slices.DeleteFunc(detail, func(s string) bool { return s == "" }), "; ")}))
	}
	sum := func(name string, m domain.Money) {
		row := words("", "", name, "", "", "", "", "")
		lines = append(lines, append(row, figure(m.Decimal())))
	}
	lines = append(lines, nil)
	sum("Subtotal", inv.Subtotal)
	for _, part := range inv.TaxParts() {
		name := part.Tax.Name + " " + percent(part.Tax.Rate)
		if len(inv.Taxes) > 0 {
			name += " on " + part.Base.Amount()
		}
		sum(name, part.Due)
	}
	sum("Total", inv.Total)
	days := [][]cell{words("Day", "GPU-hours", "Energy (kWh)")}
	for _, d := range inv.Daily {
		hours := domain.Quo(domain.NewDecimal(int64(d.GPU), 0), domain.NewDecimal(int64(domain.GPUHour), 0), 6)
		days = append(days, []cell{{text: d.Day}, figure(hours), figure(d.Energy.KilowattHours())})
	}
	return archived([]part{
		{"[Content_Types].xml", contentTypes},
		{"_rels/.rels", rootRelations},
		{"xl/workbook.xml", bookXML},
		{"xl/_rels/workbook.xml.rels", bookRelations},
		{"xl/worksheets/sheet1.xml", sheet(lines)},
		{"xl/worksheets/sheet2.xml", sheet(days)},
	})
}

// part is a file in the workbook.
type part struct{ name, content string }

const (
	xmlHead      = `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>` + "\n"
	contentTypes = xmlHead + `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/><Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/><Override PartName="/xl/worksheets/sheet1.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/><Override PartName="/xl/worksheets/sheet2.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/></Types>`

	rootRelations = xmlHead + `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>`

	bookXML = xmlHead + `<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets><sheet name="Lines" sheetId="1" r:id="rId1"/><sheet name="Usage per day" sheetId="2" r:id="rId2"/></sheets></workbook>`

	bookRelations = xmlHead + `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/><Relationship Id="rId2" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet2.xml"/></Relationships>`
)

func sheet(rows [][]cell) string {
	var b bytes.Buffer
	b.WriteString(xmlHead + `<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>`)
	for i, row := range rows {
		fmt.Fprintf(&b, `<row r="%d">`, i+1)
		for j, c := range row {
			at := fmt.Sprintf("%c%d", 'A'+j, i+1)
			switch {
			case c.text == "":
			case c.number:
				fmt.Fprintf(&b, `<c r="%s"><v>%s</v></c>`, at, c.text)
			default:
				fmt.Fprintf(&b, `<c r="%s" t="inlineStr"><is><t xml:space="preserve">`, at)
				escape(&b, c.text)
				b.WriteString(`</t></is></c>`)
			}
		}
		b.WriteString("</row>")
	}
	b.WriteString("</sheetData></worksheet>")
	return b.String()
}

func archived(parts []part) ([]byte, error) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, p := range parts {
		w, err := z.CreateHeader(&zip.FileHeader{Name: p.name, Method: zip.Store})
		if err != nil {
			return nil, err
		}
		if _, err := io.Copy(w, strings.NewReader(p.content)); err != nil {
			return nil, err
		}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
