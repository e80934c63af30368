package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"wattbook/domain/eventlog/proof"
)

func checkpointVerb() verb {
	return verb{
		name: "checkpoint", args: "[--witness URL --witness-key KEY]...",
		summary: "sign where the log is, and let witnesses confirm it",
		help: `
Signs the size and the Merkle root of the log, and keeps the checkpoint in the
folder checkpoints. Give it away: whoever has one can tell later whether the log
has only grown since. With --witness it asks a witness (C2SP tlog-witness) to
cosign it, after proving to it that the log has only grown.

Example: wattbook checkpoint --data demo-data`,
		run: checkpoint,
	}
}

func checkpoint(ctx context.Context, p *program, args []string) error {
	var urls, keys []string
	p.flags.Func("witness", "`URL` of a witness; may be repeated", func(v string) error { urls = append(urls, v); return nil })
	p.flags.Func("witness-key", "public `key` of the witness, in the same order", func(v string) error { keys = append(keys, v); return nil })
	if _, err := p.parse(args, 0, 0); err != nil {
		return err
	}
	if len(urls) != len(keys) {
		return usagef("%d witnesses and %d witness keys are given; each --witness needs a --witness-key", len(urls), len(keys))
	}
	var witnesses []note.Verifier
	for _, k := range keys {
		w, err := proof.NewWitness(k)
		if err != nil {
			return usagef("--witness-key: %v", err)
		}
		witnesses = append(witnesses, w)
	}
	return p.withLog(ctx, func(l *logFolder) error {
		n, err := l.notary()
		if err != nil {
			return err
		}
		signed, err := n.sign()
		if err != nil {
			return err
		}
		for i, url := range urls {
			if signed, err = n.cosign(ctx, signed, url, witnesses[i]); err != nil {
				return err
			}
		}
		if p.common.json {
			return p.printJSON(checkpointReport(l.folder, signed))
		}
		_, err = p.stdout.Write(signed.Note)
		return err
	})
}

func checkpointReport(f folder, s proof.Signed) any {
	return map[string]any{
		"origin": s.Origin, "size": s.Size, "root": s.Root, "extensions": append([]string{}, s.Extensions...), "witnesses": append([]string{}, s.Witnesses...),
		"file": f.checkpoint(s.Size), "note": string(s.Note),
	}
}

// cosign asks a witness for its cosignature of a checkpoint, and keeps it.
func (n *notary) cosign(ctx context.Context, s proof.Signed, url string, w note.Verifier) (proof.Signed, error) {
	if before, err := proof.Open(s.Note, n.verifier, w); err == nil && slices.Contains(before.Witnesses, w.Name()) {
		return before, nil
	}
	old := int64(0)
	for range 3 { // the second time it has said what it knows
		growth, err := proof.ProveGrowth(old, s.Size, n.log)
		if err != nil {
			return s, err
		}
		status, body, err := post(ctx, strings.TrimSuffix(url, "/")+"/add-checkpoint", proof.FormatWitnessRequest(old, growth, s.Note))
		if err != nil {
			return s, fmt.Errorf("witness %s: %w", w.Name(), err)
		}
		known, notSize := strconv.ParseInt(strings.TrimSpace(string(body)), 10, 64)
		switch {
		case status == http.StatusOK:
			if s, err = proof.AddCosignatures(s, body, n.verifier, w); err != nil {
				return s, err
			}
			return s, n.keep(s)
		case status == http.StatusConflict && notSize == nil && known != old && known >= 0 && known <= s.Size:
			old = known
		case status == http.StatusConflict:
			return s, fmt.Errorf("witness %s knows another history of this log: it has seen %s events, of %d", w.Name(), bytes.TrimSpace(body), s.Size)
		default:
			return s, fmt.Errorf("witness %s answers %d %s: %.200q", w.Name(), status, http.StatusText(status), bytes.TrimSpace(body))
		}
	}
	return s, fmt.Errorf("witness %s does not say how much of the log it knows", w.Name())
}

func post(ctx context.Context, url string, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	resp, err := httpClient().Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	return resp.StatusCode, answer, err
}
