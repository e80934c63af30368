package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/note"

	"wattbook/domain/eventlog"
	"wattbook/domain/eventlog/proof"
	"wattbook/ingest/pebblelog"
)

func verifyVerb() verb {
	return verb{
		name: "verify", args: "[--key KEY] [--witness-key KEY]... | --money",
		summary: "check the whole log against every checkpoint, or the money",
		help: `
Computes the Merkle tree of the log again from its events, and compares it with
the tree that is stored, with the indexes, and with every checkpoint in the
folder checkpoints; put those there that you were given. If something is not
what it was, it names the first bad position and the checkpoint that it
contradicts, and the exit code is 1. --key is the log's public key, or the file
that it is in, where you do not want to believe the one in the folder.

--money compares, for every invoice, the ways that lead to its amount: usage at
its price as it is known now, the lines, the total with its notes, what is paid
and open, the FOCUS rows and SQL on the warehouse; and the books with them.

Example: wattbook verify --data demo-data`,
		run: verify,
	}
}

func verify(ctx context.Context, p *program, args []string) error {
	var key string
	var money bool
	var witnesses []note.Verifier
	p.flags.StringVar(&key, "key", "", "public `key` of the log, or its file (default keys/log.pub)")
	p.flags.Func("witness-key", "public `key` of a witness that must have cosigned the last checkpoint; may be repeated", func(v string) error {
		w, err := proof.NewWitness(v)
		witnesses = append(witnesses, w)
		return err
	})
	p.flags.BoolVar(&money, "money", false, "compare every way that leads to the amount of an invoice")
	if _, err := p.parse(args, 0, 0); err != nil {
		return err
	}
	if money {
		return p.withBook(ctx, func(b *book) error { return p.verifyMoney(ctx, b) })
	}
	return p.withLog(ctx, func(l *logFolder) error {
		log, err := l.folder.verifier()
		if key != "" {
			log, err = keyNamed(key)
		}
		if err != nil {
			return err
		}
		signed, err := l.folder.readCheckpoints(log, witnesses...)
		if err != nil {
			return p.damaged(err)
		}
		if err := cosignedBy(signed, witnesses); err != nil {
			return p.damaged(err)
		}
		return p.verifyLog(ctx, l, signed)
	})
}

// cosignedBy reports a witness that has not cosigned the last checkpoint.
func cosignedBy(signed []proof.Signed, witnesses []note.Verifier) error {
	for _, w := range witnesses {
		if len(signed) == 0 {
			return fmt.Errorf("witness %s has cosigned nothing: there is no checkpoint", w.Name())
		}
		last, found := signed[len(signed)-1], false
		for _, name := range last.Witnesses {
			found = found || name == w.Name()
		}
		if !found {
			return fmt.Errorf("witness %s has not cosigned the checkpoint of %d events", w.Name(), last.Size)
		}
	}
	return nil
}

// verifyLog compares the log with checkpoints.
func (p *program) verifyLog(ctx context.Context, l *logFolder, signed []proof.Signed) error {
	began := time.Now()
	bar := newProgress(p.stderr, "verifying")
	found, err := l.verify(ctx, signed, func(done, total int64) {
		bar.show(done, total, fmt.Sprintf("%s of %s events", thousands(done), thousands(total)))
	})
	bar.done()
	var damage *proof.Damage
	var corrupt *eventlog.CorruptError
	if errors.As(err, &damage) || errors.As(err, &corrupt) {
		return p.damaged(err)
	}
	if err != nil {
		return err
	}
	last := int64(0)
	if n := len(signed); n > 0 {
		last = signed[n-1].Size
	}
	if p.common.json {
		return p.printJSON(map[string]any{"events": found.Events, "root": found.Root, "checkpoints": found.Checkpoints, "last_checkpoint": last})
	}
	fmt.Fprintf(p.stdout, "%s events, root %s\n%s checkpoints agree, the last of %s events; verified in %s\n",
		thousands(found.Events), found.Root, thousands(int64(found.Checkpoints)), thousands(last), time.Since(began).Round(time.Millisecond))
	if last < found.Events {
		fmt.Fprintf(p.stdout, "the last %s events are under no checkpoint yet: make one with wattbook checkpoint\n", thousands(found.Events-last))
	}
	return nil
}

// verify compares the log with itself, its indexes and checkpoints.
func (l *logFolder) verify(ctx context.Context, signed []proof.Signed, progress func(done, total int64)) (proof.Verified, error) {
	checkpoints := make([]proof.Checkpoint, len(signed))
	for i, s := range signed {
		checkpoints[i] = s.Checkpoint
	}
	found, err := proof.Verify(ctx, l.log, l.log, checkpoints, progress)
	if log, embedded := l.log.(*pebblelog.Log); embedded && err == nil {
		err = log.VerifyIndexes(ctx) // on a cluster there are none but in memory
	}
	return found, err
}

// damaged reports that a log is not what it was.
func (p *program) damaged(err error) error {
	if p.common.json {
		return errors.Join(p.printJSON(map[string]any{"damage": err.Error()}), errFinding)
	}
	fmt.Fprintf(p.stdout, "DAMAGED  %v\n", err)
	return errFinding
}
