package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"wattbook/domain"
	"wattbook/projections/facts"
	"wattbook/settlement"
	"wattbook/settlement/document"
)

// form is a kind of document, by the ending of its file's name.
type form struct {
	ending  string
	invoice func(domain.Invoice, document.Proof) ([]byte, error)
	note    func(domain.Note, document.Proof) ([]byte, error)
}

// forms are the documents of an invoice or a note, in the order in which the
// log names them.
func forms() []form {
	unproved := func(make func(domain.Invoice) ([]byte, error)) func(domain.Invoice, document.Proof) ([]byte, error) {
		return func(inv domain.Invoice, _ document.Proof) ([]byte, error) { return make(inv) }
	}
	noted := func(make func(domain.Note) ([]byte, error)) func(domain.Note, document.Proof) ([]byte, error) {
		return func(n domain.Note, _ document.Proof) ([]byte, error) { return make(n) }
	}
	return []form{
		{".pdf", document.PDF, document.NotePDF},
		{".json", unproved(document.JSON), noted(document.NoteJSON)},
		{".xml", unproved(document.UBL), noted(document.NoteUBL)},
		{".focus.csv", unproved(document.FOCUS), noted(document.NoteFOCUS)},
		{".xlsx", unproved(document.XLSX), noted(document.NoteXLSX)},
	}
}

// proofOf returns what lets a reader check the documents of an invoice.
func proofOf(f *facts.Facts, inv domain.Invoice) document.Proof {
	var proof document.Proof
	if c, ok := f.Closed(inv.Site, inv.Period); ok {
		proof.Usage = c.Usage
	}
	return proof
}

// render makes the documents of an invoice. There is no e-invoice in a currency
// that e-invoices cannot say.
func render(f *facts.Facts) func(domain.Invoice) ([]settlement.Document, error) {
	return func(inv domain.Invoice) (all []settlement.Document, err error) {
		for _, form := range forms() {
			content, err := form.invoice(inv, proofOf(f, inv))
			if err != nil && form.ending == ".xml" && inv.Total.Currency.Digits() > 2 {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("invoice %s: %w", inv.Number, err)
			}
			all = append(all, settlement.Document{Name: inv.Number + form.ending, Content: content})
		}
		return all, nil
	}
}

// renderNote makes the documents of a credit or debit note.
func renderNote(f *facts.Facts) func(domain.Note) ([]settlement.Document, error) {
	return func(n domain.Note) (all []settlement.Document, err error) {
		for _, form := range forms() {
			content, err := form.note(n, proofOf(f, n.Invoice))
			if err != nil && form.ending == ".xml" && n.Total.Currency.Digits() > 2 {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("note %s: %w", n.Number, err)
			}
			all = append(all, settlement.Document{Name: n.Number + form.ending, Content: content})
		}
		return all, nil
	}
}

// writeDocuments writes the documents of issued invoices into a folder. They
// can be made again at any time; a file that is there already is replaced by
// the same bytes.
func writeDocuments(dir string, issued []settlement.Issued) error {
	var all []settlement.Document
	for _, i := range issued {
		all = append(all, i.Documents...)
	}
	return writeFiles(dir, all)
}

// writeMissing writes the files of notes on record that are not there: a run
// that was killed may have left them out. The notes are those of a site's
// invoices up to a period, of all contracts or of those that are named. It
// returns the notes whose files it wrote.
func writeMissing(dir string, s *settlement.Settler, site domain.SiteID, period domain.Period, only []domain.ContractID) ([]domain.Note, error) {
	var written []domain.Note
	for _, n := range s.Facts.Notes("") {
		if n.Note.Site != site || n.Note.Period.After(period) || len(only) > 0 && !slices.Contains(only, n.Note.Contract) {
			continue
		}
		if !slices.ContainsFunc(n.Documents, func(d domain.DocumentDigest) bool {
			_, err := os.Stat(filepath.Join(dir, d.Name))
			return errors.Is(err, os.ErrNotExist)
		}) {
			continue
		}
		documents, err := s.Reprint(n)
		if err == nil {
			err = writeFiles(dir, documents)
		}
		if err != nil {
			return written, err
		}
		written = append(written, n.Note)
	}
	return written, nil
}

// sweep removes what writing files left half done in a folder when the program
// was killed.
func sweep(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, halfWritten))
	for _, name := range left {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}

// halfWritten is what files are called until they are whole.
const halfWritten = ".new-*"

func writeFiles(dir string, all []settlement.Document) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, d := range all {
		if err := writeFile(filepath.Join(dir, d.Name), d.Content); err != nil {
			return err
		}
	}
	return nil
}

// writeFile writes a file whole or not at all.
func writeFile(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), halfWritten)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err := f.Write(content); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.Rename(f.Name(), path)
}
