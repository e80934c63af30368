package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"wattbook/domain"
	"wattbook/projections/facts"
	"wattbook/projections/receivables"
	"wattbook/queries/sql"
	"wattbook/queries/warehouse"
	"wattbook/settlement"
	"wattbook/settlement/document"
	"wattbook/settlement/journal"
	"wattbook/settlement/pools"
	"wattbook/settlement/rating"
)

// moneyRow is an invoice with its notes, by every way that leads to its amount.
// An amount that is not known there is nil.
type moneyRow struct {
	Number     string        `json:"number"`
	Usage      *domain.Money `json:"usage_times_price"` // rated again from what is known now
	Lines      domain.Money  `json:"lines"`             // sum of the lines of invoice and notes, with their tax
	Total      domain.Money  `json:"total"`             // invoice and notes
	Receivable domain.Money  `json:"receivable"`        // paid and open
	FOCUS      *domain.Money `json:"focus_rows"`        // with what was prepaid
	SQL        *domain.Money `json:"warehouse_sql"`     // computed again from what is published, or else the sum of its published lines
	Computed   bool          `json:"warehouse_sql_computed"`
	Unsaid     string        `json:"warehouse_sql_not_computed,omitempty"` // why not
	Findings   []string      `json:"findings,omitempty"`
}

// verifyMoney compares every way that leads to the amount of an invoice: usage
// at its price, lines, total, receivable, FOCUS rows and the warehouse; and the
// books.
func (p *program) verifyMoney(ctx context.Context, b *book) error {
	var rows []moneyRow
	var findings []string
	published, err := p.publishedTotals(ctx, b)
	if err != nil {
		return err
	}
	for _, site := range b.facts.Sites() {
		owed := map[domain.Currency]domain.Money{}
		for _, s := range receivables.All(b.facts, site.Site) {
			c := s.Invoice.Total.Currency
			if _, ok := owed[c]; !ok {
				owed[c] = domain.Money{Currency: c}
			}
			if owed[c] = owed[c].Add(s.Open); s.State == receivables.Voided {
				continue
			}
			row := b.moneyRow(s, published)
			rows = append(rows, row)
			for _, f := range row.Findings {
				findings = append(findings, row.Number+": "+f)
			}
		}
		books, err := b.books(ctx, site.Site)
		if err != nil {
			return err
		}
		findings = append(findings, booked(books, owed)...)
		findings = append(findings, prepaid(b.facts, site.Site, books)...)
		findings = append(findings, journal.CheckCoin(b.facts, books, pools.Accounts(b.facts, site.Site))...)
	}
	if n := len(slices.DeleteFunc(slices.Clone(rows), func(r moneyRow) bool { return r.SQL != nil })); n > 0 {
		findings = append(findings, fmt.Sprintf("the warehouse shows %d of %d invoices; SQL was not asked for the others, where there is a dash: wattbook warehouse publish", len(rows)-n, len(rows)))
	}
	if p.common.json {
		if err := p.printJSON(map[string]any{"invoices": rows, "findings": findings}); err != nil {
			return err
		}
	} else {
		p.printMoney(rows, findings)
	}
	if len(findings) > 0 {
		return errFinding
	}
	return nil
}

// moneyRow computes an invoice's row.
func (b *book) moneyRow(s receivables.Standing, published map[string]publishedTotal) moneyRow {
	inv := s.Invoice
	r := moneyRow{Number: inv.Number, Total: inv.Total.Add(s.Notes), Lines: domain.Money{Currency: inv.Total.Currency}}
	r.Receivable = s.Paid.Add(s.Open)
	finding := func(format string, args ...any) { r.Findings = append(r.Findings, fmt.Sprintf(format, args...)) }
	papers := []domain.Invoice{inv}
	for _, n := range b.facts.Notes(inv.Number) {
		papers = append(papers, n.Note.Invoice)
	}
	for _, paper := range papers {
		for _, l := range paper.Lines {
			r.Lines = r.Lines.Add(l.Amount)
		}
		r.Lines = r.Lines.Add(paper.TaxDue)
	}
	if issued, err := invoiceNumbered(b.facts, inv.Number); err != nil {
		finding("%v", err)
	} else if note, lacks, err := settlement.Correction(b.facts, issued); err != nil {
		finding("it cannot be rated again: %v", err)
	} else {
		again := r.Total
		if lacks {
			again = again.Add(note.Total)
			finding("rated again it is %s more, since %s: wattbook invoice run issues the note", note.Total, strings.Join(note.Causes, "; "))
		}
		r.Usage = &again
	}
	if sum, err := b.focusSum(inv); err != nil {
		finding("%v", err)
	} else {
		r.FOCUS = &sum
	}
	if total, ok := published[inv.Number]; ok {
		sum := total.lines.Add(s.Notes)
		r.SQL, r.Unsaid = &sum, total.why
		if total.computed != nil && total.documents == len(papers) {
			r.SQL, r.Computed = total.computed, true
		}
	}
	for _, way := range []struct {
		name   string
		amount *domain.Money
	}{{"the lines sum to", &r.Lines}, {"paid and open are", &r.Receivable}, {"its FOCUS rows sum to", r.FOCUS}, {"the warehouse says", r.SQL}} {
		if way.amount != nil && *way.amount != r.Total {
			finding("%s %s, not %s", way.name, way.amount, r.Total)
		}
	}
	return r
}

// focusSum returns what the FOCUS rows of an invoice and its notes sum to, and
// what was prepaid of them.
func (b *book) focusSum(inv domain.Invoice) (domain.Money, error) {
	raw, err := document.FOCUS(inv)
	if err != nil {
		return domain.Money{}, err
	}
	sum, err := billedCost(raw)
	if err != nil {
		return domain.Money{}, err
	}
	for _, n := range b.facts.Notes(inv.Number) {
		if raw, err = document.NoteFOCUS(n.Note); err != nil {
			return domain.Money{}, err
		}
		more, err := billedCost(raw)
		if err != nil {
			return domain.Money{}, err
		}
		sum = sum.Add(more).Add(n.Note.Prepaid.Decimal())
	}
	return inv.Total.Currency.Round(sum.Add(inv.Prepaid.Decimal()))
}

// billedCost sums the column of FOCUS rows.
func billedCost(raw []byte) (domain.Decimal, error) {
	var sum domain.Decimal
	rows, err := csv.NewReader(bytes.NewReader(raw)).ReadAll()
	if err != nil {
		return sum, err
	}
	at := slices.Index(rows[0], "BilledCost")
	for _, r := range rows[1:] {
		v, err := domain.ParseDecimal(r[at])
		if err != nil {
			return sum, err
		}
		sum = sum.Add(v)
	}
	return sum, nil
}

// publishedTotal is what the warehouse says of an invoice.
type publishedTotal struct {
	lines     domain.Money  // with tax
	computed  *domain.Money // again, with its notes; nil if SQL does not say it
	why       string        // it does not
	documents int           // invoice and notes that the warehouse shows
}

// publishedTotals returns the totals of invoices as the warehouse sums their
// lines and tax, and as it computes them again from readings, prices and
// contracts; none, if there is no warehouse.
func (p *program) publishedTotals(ctx context.Context, b *book) (map[string]publishedTotal, error) {
	if _, err := os.Stat(filepath.Join(b.folder.warehouse(), "warehouse.duckdb")); err != nil {
		return nil, nil // nothing was published yet
	}
	c, err := warehouse.OpenClient(ctx, b.folder.warehouse(), warehouse.Limits{})
	if err != nil {
		return nil, err
	}
	totals := map[string]publishedTotal{}
	const statement = `SELECT i.number, i.currency, (SELECT sum(amount) FROM invoice_lines l WHERE l.number = i.number) + i.tax_amount FROM invoices i`
	err = c.Query(ctx, statement, func([]warehouse.Column) error { return nil }, func(cells []any) error {
		amount, err := domain.ParseDecimal(cellText(cells[2], "0"))
		if err != nil {
			return err
		}
		currency := domain.Currency(cellText(cells[1], ""))
		m, err := currency.Round(amount)
		totals[cellText(cells[0], "")] = publishedTotal{lines: m}
		return err
	})
	if err == nil {
		err = computedTotals(ctx, c, totals)
	}
	return totals, errors.Join(err, c.Close())
}

// computedTotals asks the question invoice-totals, whose last row of an invoice
// is of all its notes.
func computedTotals(ctx context.Context, c *warehouse.Client, totals map[string]publishedTotal) error {
	all := sql.Questions()
	statement := all[slices.IndexFunc(all, func(q sql.Question) bool { return q.Name == "invoice-totals" })].Statement
	at := map[string]int{}
	return c.Query(ctx, statement, func(columns []warehouse.Column) error {
		for i, column := range columns {
			at[column.Name] = i
		}
		return nil
	}, func(cells []any) error {
		number := cellText(cells[at["invoice"]], "")
		t := totals[number]
		t.documents++
		t.computed, t.why = nil, cellText(cells[at["why"]], "")
		if text := cellText(cells[at["computed"]], ""); text != "" {
			amount, err := domain.ParseDecimal(text)
			if err != nil {
				return err
			}
			m, err := t.lines.Currency.Round(amount)
			if err != nil {
				return err
			}
			t.computed = &m
		}
		totals[number] = t
		return nil
	})
}

// booked compares the books with what the invoices say is open.
func booked(books journal.Books, owed map[domain.Currency]domain.Money) (findings []string) {
	open := map[string]domain.Decimal{}
	for _, b := range journal.TrialBalance(books.Entries) {
		if strings.HasPrefix(b.Account, "Assets:AR:") || strings.HasPrefix(b.Account, "Liabilities:CustomerCredits:") {
			open[b.Commodity] = open[b.Commodity].Add(b.Amount)
		}
	}
	for c, m := range owed {
		if got := open[string(c)]; !got.Equal(m.Decimal()) {
			findings = append(findings, fmt.Sprintf("the books have %s %s receivable, the invoices %s open", got, c, m))
		}
	}
	return findings
}

// prepaid compares what the books owe for prepayments with what is left of them.
func prepaid(f *facts.Facts, site domain.SiteID, books journal.Books) (findings []string) {
	left := map[domain.Currency]domain.Money{}
	for _, id := range f.Contracts(site) {
		seen := map[domain.Currency]bool{}
		for _, p := range f.Prepayments(id) {
			c := p.Amount.Currency
			if _, ok := left[c]; !ok {
				left[c] = domain.Money{Currency: c}
			}
			if !seen[c] {
				seen[c], left[c] = true, left[c].Add(rating.Prepaid(f, id, c))
			}
		}
	}
	booked := map[string]domain.Decimal{}
	for _, b := range journal.TrialBalance(books.Entries) {
		if strings.HasPrefix(b.Account, "Liabilities:ContractLiability:") {
			booked[b.Commodity] = booked[b.Commodity].Sub(b.Amount)
		}
	}
	for c, m := range left {
		if got := booked[string(c)]; !got.Equal(m.Decimal()) {
			findings = append(findings, fmt.Sprintf("the books owe %s %s for prepayments, of which %s is left", got, c, m))
		}
	}
	return findings
}

func (p *program) printMoney(rows []moneyRow, findings []string) {
	say := func(m *domain.Money) string {
		if m == nil {
			return "-"
		}
		return group(m.Amount())
	}
	fmt.Fprintf(p.stdout, "%-16s %16s %16s %16s %16s %16s %16s\n", "invoice", "usage × price", "lines", "with notes", "paid and open", "FOCUS rows", "warehouse SQL")
	for _, r := range rows {
		fmt.Fprintf(p.stdout, "%-16s %16s %16s %16s %16s %16s %16s\n", r.Number, say(r.Usage), say(&r.Lines), say(&r.Total), say(&r.Receivable), say(r.FOCUS), say(r.SQL))
	}
	for _, r := range rows {
		if r.Unsaid != "" {
			fmt.Fprintf(p.stdout, "%s is not computed again in SQL, which sums its lines: %s\n", r.Number, r.Unsaid)
		}
	}
	for _, f := range findings {
		fmt.Fprintf(p.stdout, "! %s\n", f)
	}
	if len(findings) == 0 {
		fmt.Fprintf(p.stdout, "%d invoices come to the same by every way, and the books agree.\n", len(rows))
	}
}
