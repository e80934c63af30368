package main

import (
	"fmt"
	"os"
	"path/filepath"

	"wattbook/domain"
	"wattbook/projections/facts"
	"wattbook/settlement"
	"wattbook/settlement/document"
)

// render makes the documents of an invoice: a PDF and a JSON file.
func render(f *facts.Facts) func(domain.Invoice) ([]settlement.Document, error) {
	return func(inv domain.Invoice) ([]settlement.Document, error) {
		var proof document.Proof
		if c, ok := f.Closed(inv.Site, inv.Period); ok {
			proof.Usage = c.Usage
		}
		pdf, err := document.PDF(inv, proof)
		if err != nil {
			return nil, fmt.Errorf("invoice %s: %w", inv.Number, err)
		}
		text, err := document.JSON(inv)
		if err != nil {
			return nil, fmt.Errorf("invoice %s: %w", inv.Number, err)
		}
		return []settlement.Document{{Name: inv.Number + ".pdf", Content: pdf}, {Name: inv.Number + ".json", Content: text}}, nil
	}
}

// renderNote makes the documents of a credit or debit note.
func renderNote(f *facts.Facts) func(domain.Note) ([]settlement.Document, error) {
	return func(n domain.Note) ([]settlement.Document, error) {
		var proof document.Proof
		if c, ok := f.Closed(n.Site, n.Period); ok {
			proof.Usage = c.Usage
		}
		pdf, err := document.NotePDF(n, proof)
		if err != nil {
			return nil, fmt.Errorf("note %s: %w", n.Number, err)
		}
		text, err := document.NoteJSON(n)
		if err != nil {
			return nil, fmt.Errorf("note %s: %w", n.Number, err)
		}
		return []settlement.Document{{Name: n.Number + ".pdf", Content: pdf}, {Name: n.Number + ".json", Content: text}}, nil
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
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
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
