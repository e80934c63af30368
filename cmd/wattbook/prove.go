package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"wattbook/domain"
	"wattbook/domain/eventlog"
	"wattbook/domain/eventlog/proof"
	"wattbook/domain/wire"
	"wattbook/projections"
	"wattbook/projections/facts"
	"wattbook/settlement/audit"
)

func proveVerb() verb {
	return verb{
		name: "prove", args: "(--event ID | --invoice NUMBER) -o FILE | --check FILE --key KEY",
		summary: "prove that an event, or all that an invoice or a note follows from, is in the log",
		help: `
Writes a file that someone who has neither the log nor this machine can check:
an event with its place in a checkpoint that the log signed (C2SP tlog-proof),
or every event that an invoice follows from, its readings among them, and how
those that are estimates were made. NUMBER may be that of a credit or debit note:
the file then holds what it came from, with the invoice that it corrects.

--check verifies such a file, offline, with nothing but the log's public key;
an invoice or a note is also computed again from the events in the file, and must come out
to the cent. The exit code is 1 if it does not.

Example: wattbook prove --invoice CB-2026-000003 -o invoice.proof`,
		run: prove,
	}
}

func prove(ctx context.Context, p *program, args []string) error {
	var event, invoice, out, check, key string
	p.flags.StringVar(&event, "event", "", "`id` of an event")
	p.flags.StringVar(&invoice, "invoice", "", "`number` of an invoice or a note")
	p.flags.StringVar(&out, "o", "", "`file` to write")
	p.flags.StringVar(&check, "check", "", "`file` to verify")
	p.flags.StringVar(&key, "key", "", "public `key` of the log, or the file that it is in")
	if _, err := p.parse(args, 0, 0); err != nil {
		return err
	}
	switch {
	case check != "" && event == "" && invoice == "" && out == "":
		if key == "" {
			return usagef("--key is missing: the proof is worth what the key is")
		}
		return p.checkProof(check, key)
	case check == "" && out != "" && (event == "") != (invoice == ""):
		return p.withLog(ctx, func(l *logFolder) error { return l.prove(ctx, p, event, invoice, out) })
	}
	return usagef("want --event or --invoice and -o, or --check and --key")
}

// prove writes a proof file under the first checkpoint that covers it, or
// under a new one.
func (l *logFolder) prove(ctx context.Context, p *program, event, invoice, path string) error {
	n, err := l.notary()
	if err != nil {
		return err
	}
	var file bytes.Buffer
	what, since := "event "+event, []string(nil)
	if event != "" {
		err = l.proveEvent(ctx, &file, n, event)
	} else {
		what = "invoice " + invoice
		since, err = l.proveInvoice(ctx, &file, n, invoice)
	}
	if err != nil {
		return err
	}
	if err := writeFile(p.path(path), file.Bytes()); err != nil {
		return err
	}
	key, err := n.key()
	if err != nil {
		return err
	}
	if p.common.json {
		return p.printJSON(map[string]any{"proof_of": what, "file": path, "bytes": file.Len(), "key": key, "since": since})
	}
	fmt.Fprintf(p.stdout, "%s: %s bytes in %s\ncheck it anywhere with\n  wattbook prove --check %s --key %s\n", what, thousands(int64(file.Len())), path, path, key)
	for _, s := range since {
		fmt.Fprintf(p.stdout, "BEWARE: %s; the file does not say so\n", s)
	}
	return nil
}

func (l *logFolder) proveEvent(ctx context.Context, out io.Writer, n *notary, name string) error {
	id, err := domain.ParseEventID(name)
	if err != nil {
		return usagef("--event: %v", err)
	}
	r, ok, err := l.log.Find(ctx, id)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("event %s is not in the log", id)
	}
	s, err := n.covering(r.Position)
	if err != nil {
		return err
	}
	e, err := proof.ProveEvent(r, s, l.log)
	if err != nil {
		return err
	}
	_, err = out.Write(e.Format())
	return err
}

// proveInvoice writes the proof of an invoice or a note, and returns what became
// of it since, which the proof does not hold.
func (l *logFolder) proveInvoice(ctx context.Context, out io.Writer, n *notary, number string) (since []string, err error) {
	err = l.folded(ctx, projections.Head, func(f *facts.Facts) error {
		e, about, err := evidenceNumbered(f, number)
		if err != nil {
			return err
		}
		s, err := n.covering(f.Next - 1)
		if err != nil {
			return err
		}
		since = becameOf(f, number)
		return proof.WriteBundle(out, about, s, l.log, l.picked(ctx, e))
	})
	return since, err
}

// becameOf says that an invoice, or the one that a note is to, was voided, and
// by which notes it is corrected.
func becameOf(f *facts.Facts, number string) []string {
	since := []string{}
	if f.Voided(number) {
		since = append(since, fmt.Sprintf("invoice %s was voided", number))
	}
	for _, n := range f.Notes(number) {
		since = append(since, fmt.Sprintf("%s note %s corrects invoice %s", n.Note.Kind, n.Note.Number, number))
	}
	if n, ok := f.NoteNumbered(number); ok && f.Voided(n.Note.Corrects) {
		since = append(since, fmt.Sprintf("invoice %s, which it corrects, was voided", n.Note.Corrects))
	}
	return since
}

// evidenceNumbered returns what picks the events of an invoice or a note, and
// what it is.
func evidenceNumbered(f *facts.Facts, number string) (*audit.Evidence, string, error) {
	if n, ok := f.NoteNumbered(number); ok {
		e, err := audit.EvidenceOfNote(f, n.Note)
		return e, aboutNote(n.Note), err
	}
	inv, err := invoiceNumbered(f, number)
	if err != nil {
		return nil, "", err
	}
	e, err := audit.EvidenceOf(f, inv.Invoice)
	return e, aboutInvoice(inv.Invoice), err
}

// What the file of a proof says that it is for. The words prove nothing.
func aboutInvoice(inv domain.Invoice) string {
	return fmt.Sprintf("invoice %s of %s for %s", inv.Number, inv.Total, inv.Buyer.Name)
}

func aboutNote(n domain.Note) string {
	return fmt.Sprintf("%s note %s of %s for %s", n.Kind, n.Number, n.Total, n.Buyer.Name)
}

// printEvidence says what a proof rests on, what it shows and does not show,
// and that its words are others than what is proved if they are.
func (p *program) printEvidence(b proof.Bundle, readings int64, estimates []audit.Estimated, shows string, documents []domain.DocumentDigest, about string) {
	fmt.Fprintf(p.stdout, "         %s events with %s readings are in the log %s, under its checkpoint of %s events\n",
		thousands(int64(len(b.Records))), thousands(readings), b.Signed.Origin, thousands(b.Signed.Size))
	for _, e := range estimates {
		if e.Method == "" {
			fmt.Fprintf(p.stdout, "         %s of the readings are estimates, and the file does not say how they were made\n", thousands(e.Readings))
			continue
		}
		fmt.Fprintf(p.stdout, "         %s of the readings, of %s in %s, are estimates by %s, made by %s: %s\n", thousands(e.Readings), e.Device, e.Interval, e.Method, e.By, e.Reason)
	}
	fmt.Fprintf(p.stdout, "         computed again from them, %s\n", shows)
	for _, d := range documents {
		fmt.Fprintf(p.stdout, "         %s has SHA-256 %s\n", d.Name, d.Digest)
	}
	fmt.Fprintf(p.stdout, "         what became of it since (payments, notes, a void) is not in the file\n")
	if b.About != strings.Join(strings.Fields(about), " ") {
		fmt.Fprintf(p.stdout, "         BEWARE: line 2 of the file calls it %q; what counts is what is said here\n", b.About)
	}
}

// picked yields the events that an invoice follows from.
func (l *logFolder) picked(ctx context.Context, e *audit.Evidence) iter.Seq2[eventlog.Record, error] {
	return func(yield func(eventlog.Record, error) bool) {
		for r, err := range l.log.ReadAll(ctx, 0) {
			if err == nil {
				var rec domain.Recorded
				if rec, err = wire.Open(r); err == nil && !e.Picks(rec) {
					continue
				}
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// checkProof verifies a proof file with the log's key alone.
func (p *program) checkProof(path, key string) error {
	log, err := keyNamed(key)
	if err != nil {
		return usagef("%v", err)
	}
	raw, err := os.ReadFile(p.path(path))
	if err != nil {
		return usagef("--check: %v", err)
	}
	if strings.HasPrefix(string(raw), "c2sp.org/tlog-proof@") {
		return p.checkEvent(raw, log)
	}
	b, err := proof.ReadBundle(bytes.NewReader(raw), log)
	if err != nil {
		return p.unproven(err)
	}
	// What a proof is of is the last document in it: the others are of before.
	subject := ""
	for _, r := range b.Records {
		if r.Type == wire.InvoiceIssued || r.Type == wire.NoteIssued {
			subject = r.Type
		}
	}
	switch subject {
	case "":
		return p.checkClaim(b)
	case wire.NoteIssued:
		return p.checkNote(b)
	}
	again, err := audit.Recompute(b.Records)
	if err != nil {
		return p.unproven(err)
	}
	inv := again.Issued.Invoice
	if p.common.json {
		return p.printJSON(map[string]any{
			"proved": true, "invoice": inv.Number, "total": inv.Total, "events": len(b.Records), "readings": again.Readings, "estimates": append([]audit.Estimated{}, again.Estimates...),
			"log": b.Signed.Origin, "checkpoint": b.Signed.Size,
		})
	}
	fmt.Fprintf(p.stdout, "PROVED   invoice %s of %s, of %s for %s\n", inv.Number, inv.Total, inv.Buyer.Name, inv.Period)
	p.printEvidence(b, again.Readings, again.Estimates, "the invoice comes out to the cent", again.Issued.Documents, aboutInvoice(inv))
	return nil
}

// checkNote computes the note again that a proof is of.
func (p *program) checkNote(b proof.Bundle) error {
	again, err := audit.RecomputeNote(b.Records)
	if err != nil {
		return p.unproven(err)
	}
	n := again.Issued.Note
	if p.common.json {
		return p.printJSON(map[string]any{
			"proved": true, "note": n.Number, "corrects": n.Corrects, "total": n.Total, "events": len(b.Records), "readings": again.Readings, "estimates": append([]audit.Estimated{}, again.Estimates...),
			"log": b.Signed.Origin, "checkpoint": b.Signed.Size,
		})
	}
	fmt.Fprintf(p.stdout, "PROVED   %s note %s of %s, of %s for %s, to invoice %s\n", n.Kind, n.Number, n.Total, n.Buyer.Name, n.Period, n.Corrects)
	p.printEvidence(b, again.Readings, again.Estimates, "it is what the invoice and the notes before it lacked, to the cent", again.Issued.Documents, aboutNote(n))
	return nil
}

func (p *program) checkEvent(raw []byte, log note.Verifier) error {
	e, err := proof.ParseEvent(raw)
	if err != nil {
		return p.unproven(err)
	}
	s, err := e.Check(log)
	if err != nil {
		return p.unproven(err)
	}
	r := e.Record
	if p.common.json {
		return p.printJSON(map[string]any{
			"proved": true, "event": r.ID, "position": r.Position, "type": r.Type, "stream": r.Stream, "recorded_at": r.RecordedAt,
			"log": s.Origin, "checkpoint": s.Size,
		})
	}
	fmt.Fprintf(p.stdout, "PROVED   event %s, %s in %s, recorded at %s\n", r.ID, r.Type, r.Stream, r.RecordedAt.Time().Format(time.RFC3339))
	fmt.Fprintf(p.stdout, "         is at position %d of the log %s, under its checkpoint of %s events\n", r.Position, s.Origin, thousands(s.Size))
	return (&tail{p: p}).print(r)
}

func (p *program) unproven(err error) error {
	if p.common.json {
		if err := p.printJSON(map[string]any{"proved": false, "why": err.Error()}); err != nil {
			return err
		}
		return errFinding
	}
	fmt.Fprintf(p.stdout, "NOT PROVED  %v\n", err)
	return errFinding
}
