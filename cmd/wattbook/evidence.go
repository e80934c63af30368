package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"unicode/utf8"

	"wattbook/domain"
	"wattbook/domain/wire"
	"wattbook/ingest/evidence"
)

func evidenceVerb() verb {
	return verb{
		name: "evidence", args: "show DIGEST... | check [DIGEST...]",
		summary: "show a raw reply that was kept, or check that all of them are there",
		help: `
show prints the bytes that a source received, as text or in hexadecimal, and
which events follow from them. A digest may be cut, to eight digits or more.

check reads every reply that the log names, or those whose digests are given,
and compares its bytes with its digest. It names those that are missing or
damaged, and the exit code is 1 if there are any.

Example: wattbook evidence check`,
		run: evidenceShow,
	}
}

func evidenceShow(ctx context.Context, p *program, args []string) error {
	rest, err := p.parse(args, 1, 100)
	if err != nil {
		return err
	}
	verb, digests := rest[0], rest[1:]
	for _, d := range digests {
		if len(d) < 8 || len(d) > 64 || strings.Trim(d, "0123456789abcdef") != "" {
			return usagef("%q is not a digest: want 8 to 64 hexadecimal digits in lower case", d)
		}
	}
	switch {
	case verb == "check":
	case verb == "show" && len(digests) > 0:
	default:
		return usagef("want show and digests, or check")
	}
	return p.withLog(ctx, func(l *logFolder) error {
		named, err := p.named(ctx, l, digests)
		if err != nil {
			return err
		}
		return p.withEvidence(l, func(store *evidence.Store) error {
			if verb == "check" {
				return p.checkEvidence(ctx, store, named)
			}
			return p.showEvidence(ctx, store, named)
		})
	})
}

// errNoEvidence means that a log came without its evidence.
var errNoEvidence = errors.New("is not there: this log came without its evidence")

// withEvidence gives a verb the replies that are kept beside the log.
func (p *program) withEvidence(l *logFolder, do func(*evidence.Store) error) error {
	if p.host != nil {
		return do(p.host.engine.evidence)
	}
	if _, err := os.Stat(l.folder.evidence()); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s %w; take it from a backup", l.folder.evidence(), errNoEvidence)
	}
	s, err := p.settings()
	if err != nil {
		return err
	}
	store, err := evidence.Open(l.folder.evidence(), p.logger(s))
	if err != nil {
		return err
	}
	return errors.Join(do(store), store.Close())
}

// naming is an event that names a reply.
type naming struct {
	Position domain.Position `json:"position"`
	Event    domain.EventID  `json:"event"`
	Type     string          `json:"type"`
	Source   domain.SourceID `json:"source"`
	Decoder  string          `json:"decoder"`
	Observed domain.Instant  `json:"observed"`
}

// keptReply is a digest that the log names, with the events that do.
type keptReply struct {
	digest domain.Digest
	by     []naming
}

// named returns the replies that the log names and that one of the digests
// stands for, or all, in the order of the log.
func (p *program) named(ctx context.Context, l *logFolder, digests []string) ([]keptReply, error) {
	head, err := l.log.Head(ctx)
	if err != nil {
		return nil, err
	}
	show := p.patient()
	at := map[domain.Digest]int{}
	var all []keptReply
	for r, err := range l.log.ReadAll(ctx, 0) {
		if err != nil {
			return nil, err
		}
		show(int64(r.Position)+1, int64(head))
		rec, err := wire.Open(r)
		if err != nil {
			return nil, err
		}
		o := originOf(rec.Event)
		if o.Evidence.IsZero() || len(digests) > 0 && !anyPrefix(digests, o.Evidence.String()) {
			continue
		}
		i, ok := at[o.Evidence]
		if !ok {
			i = len(all)
			at[o.Evidence], all = i, append(all, keptReply{digest: o.Evidence})
		}
		all[i].by = append(all[i].by, naming{r.Position, r.ID, r.Type, o.Source, o.Decoder, o.Observed})
	}
	for _, d := range digests {
		var meant []string
		for _, r := range all {
			if strings.HasPrefix(r.digest.String(), d) {
				meant = append(meant, r.digest.String())
			}
		}
		switch {
		case len(meant) == 0:
			return nil, fmt.Errorf("no event of the log names evidence %s", d)
		case len(meant) > 1:
			return nil, fmt.Errorf("%s is the beginning of %d digests: %s; write more of it", d, len(meant), strings.Join(meant[:min(3, len(meant))], ", "))
		}
	}
	return all, nil
}

func anyPrefix(prefixes []string, s string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

// originOf returns where a fact comes from; conclusions come from nowhere.
func originOf(event domain.Event) domain.Origin {
	switch e := event.(type) {
	case domain.ReadingsRecorded:
		return e.Origin
	case domain.DeviceReplaced:
		return e.Origin
	case domain.ObservationRejected:
		return e.Origin
	case domain.FactConflicted:
		return e.Origin
	case domain.PowerPriced:
		return e.Origin
	case domain.BitcoinPriced:
		return e.Origin
	case domain.DifficultyAdjusted:
		return e.Origin
	case domain.BlockFeesPublished:
		return e.Origin
	case domain.GPUAllocationStarted:
		return e.Origin
	case domain.GPUAllocationEnded:
		return e.Origin
	case domain.PoolStatementReceived:
		return e.Origin
	case domain.PayoutReceived:
		return e.Origin
	}
	return domain.Origin{}
}

// faultyReply is a reply that is missing or damaged.
type faultyReply struct {
	Digest  domain.Digest `json:"digest"`
	Problem string        `json:"problem"`
	Named   naming        `json:"first_named_by"`
}

// checkEvidence reads all replies and compares them with their digests.
func (p *program) checkEvidence(ctx context.Context, store *evidence.Store, named []keptReply) error {
	bar := newProgress(p.stderr, "checking")
	faulty := []faultyReply{}
	var size int64
	for i, r := range named {
		if err := ctx.Err(); err != nil {
			return err
		}
		bar.show(int64(i)+1, int64(len(named)), fmt.Sprintf("%s of %s replies", thousands(int64(i)+1), thousands(int64(len(named)))))
		raw, err := store.Get(ctx, r.digest)
		size += int64(len(raw))
		switch {
		case errors.Is(err, evidence.ErrNotKept):
			faulty = append(faulty, faultyReply{r.digest, "missing", r.by[0]})
		case err != nil:
			faulty = append(faulty, faultyReply{r.digest, err.Error(), r.by[0]})
		}
	}
	bar.done()
	if p.common.json {
		if err := p.printJSON(map[string]any{"replies": len(named), "bytes": size, "faulty": faulty}); err != nil {
			return err
		}
	} else {
		printFaulty(p.stdout, len(named), size, faulty)
	}
	if len(faulty) > 0 {
		return errFinding
	}
	return nil
}

func printFaulty(out io.Writer, n int, size int64, faulty []faultyReply) {
	if len(faulty) == 0 {
		fmt.Fprintf(out, "all %s replies that the log names are kept, %s bytes, and their digests are right\n", thousands(int64(n)), thousands(size))
		return
	}
	fmt.Fprintf(out, "of %s replies that the log names, %s are missing or damaged:\n", thousands(int64(n)), thousands(int64(len(faulty))))
	const most = 20
	for _, f := range faulty[:min(most, len(faulty))] {
		fmt.Fprintf(out, "  %s  %s; %s of %s at position %d\n", f.Digest, f.Problem, f.Named.Decoder, f.Named.Source, f.Named.Position)
	}
	if more := len(faulty) - most; more > 0 {
		fmt.Fprintf(out, "  and %s more; --json lists all\n", thousands(int64(more)))
	}
}

// showEvidence prints replies.
func (p *program) showEvidence(ctx context.Context, store *evidence.Store, named []keptReply) error {
	type shown struct {
		Digest   domain.Digest `json:"digest"`
		Bytes    int           `json:"bytes"`
		Encoding string        `json:"encoding"` // of the content: utf-8 or hex
		Content  string        `json:"content"`
		Named    []naming      `json:"named_by"`
	}
	all := []shown{}
	for _, r := range named {
		raw, err := store.Get(ctx, r.digest)
		if err != nil {
			return err
		}
		s := shown{Digest: r.digest, Bytes: len(raw), Encoding: "utf-8", Content: string(raw), Named: r.by}
		if !readableText(raw) {
			s.Encoding, s.Content = "hex", hex.EncodeToString(raw)
		}
		if all = append(all, s); p.common.json {
			continue
		}
		fmt.Fprintf(p.stdout, "evidence %s\n%s bytes, received by %s at %s, read by %s\n", r.digest, thousands(int64(len(raw))), r.by[0].Source, r.by[0].Observed, r.by[0].Decoder)
		for i, n := range r.by {
			if i == 3 {
				fmt.Fprintf(p.stdout, "and %s more events\n", thousands(int64(len(r.by)-i)))
				break
			}
			fmt.Fprintf(p.stdout, "named by event %s, %s, at position %d\n", n.Event, n.Type, n.Position)
		}
		text := strings.ReplaceAll(string(raw), "\x00", "␀")
		if s.Encoding == "hex" {
			text = hex.Dump(raw)
		}
		fmt.Fprintf(p.stdout, "\n%s\n", strings.TrimRight(text, "\n"))
	}
	if p.common.json {
		return p.printJSON(all)
	}
	return nil
}

// readableText reports whether bytes are text for a terminal, but for the NUL
// with which miners end their replies.
func readableText(b []byte) bool {
	for _, r := range string(b) {
		if r < ' ' && r != '\n' && r != '\r' && r != '\t' && r != 0 || r == 0x7f {
			return false
		}
	}
	return utf8.Valid(b)
}
