package proof

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Checkpoint is a statement of a log about itself: so many events have this
// root. Whoever keeps a signed one can tell later whether the log has only
// grown.
//
// Its text is that of C2SP tlog-checkpoint: the origin, the size in decimal,
// the root in base64, and extension lines, each ended by a newline. It is
// signed as a note (C2SP signed-note, package note).
type Checkpoint struct {
	Origin     string // names the log, for ever; also the name of its key
	Size       int64
	Root       tlog.Hash
	Extensions []string // lines that mean something to the log's own users
}

// strict refuses base64 that another encoder would write otherwise: there is
// one text for one hash.
var strict = base64.StdEncoding.Strict()

// CheckpointLimit bounds a signed checkpoint.
const CheckpointLimit = 1 << 20

// Text returns the text that is signed.
func (c Checkpoint) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%d\n%s\n", c.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Root[:]))
	for _, e := range c.Extensions {
		b.WriteString(e + "\n")
	}
	return b.String()
}

// ParseCheckpoint reads what Text returns. A text that is written otherwise,
// be it by a leading zero, is an error.
func ParseCheckpoint(text string) (Checkpoint, error) {
	fail := func(why string) (Checkpoint, error) { return Checkpoint{}, errors.New("checkpoint: " + why) }
	if len(text) > CheckpointLimit {
		return fail("it is too long")
	}
	lines := strings.Split(text, "\n")
	if len(lines) < 4 || lines[len(lines)-1] != "" {
		return fail("it has fewer than three lines, or does not end with a newline")
	}
	c := Checkpoint{Origin: lines[0]}
	var err error
	if c.Size, err = strconv.ParseInt(lines[1], 10, 64); err != nil || c.Size < 0 || strconv.FormatInt(c.Size, 10) != lines[1] {
		return fail(fmt.Sprintf("size %.30q is not a decimal number", lines[1]))
	}
	root, err := strict.DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize || base64.StdEncoding.EncodeToString(root) != lines[2] { // a newline inside is skipped by the decoder
		return fail(fmt.Sprintf("root %.60q is not the base64 of a SHA-256 hash", lines[2]))
	}
	c.Root = tlog.Hash(root)
	for _, e := range lines[3 : len(lines)-1] {
		if e == "" {
			return fail("an extension line is empty")
		}
		c.Extensions = append(c.Extensions, e)
	}
	if c.Origin == "" {
		return fail("its origin is empty")
	}
	return c, nil
}

// Sign returns the checkpoint signed by its log and whoever else signs.
func (c Checkpoint) Sign(signers ...note.Signer) ([]byte, error) {
	if _, err := ParseCheckpoint(c.Text()); err != nil {
		return nil, err
	}
	b, err := note.Sign(&note.Note{Text: c.Text()}, signers...)
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint of size %d: %w", c.Size, err)
	}
	return b, nil
}

// Signed is a checkpoint whose log's signature was verified, with who else
// signed it.
type Signed struct {
	Checkpoint
	Note      []byte   // as it was read
	Witnesses []string // names of the keys of verified cosignatures
	Unknown   []string // names of keys that signed and are not known
}

// Open verifies a signed checkpoint of a log. It is an error if the log has
// not signed it, or if a signature by a witness that is known does not verify.
func Open(signed []byte, log note.Verifier, witnesses ...note.Verifier) (Signed, error) {
	out := Signed{Note: signed}
	if len(signed) > CheckpointLimit {
		return out, errors.New("checkpoint: it is too long")
	}
	n, err := note.Open(signed, note.VerifierList(append([]note.Verifier{log}, witnesses...)...))
	var unverified *note.UnverifiedNoteError
	if errors.As(err, &unverified) {
		return out, fmt.Errorf("checkpoint: it is not signed with the key %s+%08x", log.Name(), log.KeyHash())
	}
	if err != nil {
		return out, fmt.Errorf("checkpoint: %w", err)
	}
	if out.Checkpoint, err = ParseCheckpoint(n.Text); err != nil {
		return out, err
	}
	byLog := false
	for _, s := range n.Sigs {
		if s.Name == log.Name() && s.Hash == log.KeyHash() {
			byLog = true
		} else {
			out.Witnesses = append(out.Witnesses, s.Name)
		}
	}
	for _, s := range n.UnverifiedSigs {
		out.Unknown = append(out.Unknown, s.Name)
	}
	switch {
	case !byLog:
		return out, fmt.Errorf("checkpoint: log %s has not signed it; its signatures are of %q", log.Name(), append(out.Witnesses, out.Unknown...))
	case out.Origin != log.Name():
		return out, fmt.Errorf("checkpoint: it is of log %q, and the key is of %q", out.Origin, log.Name())
	}
	return out, nil
}

// ReadUnverified reads a signed checkpoint without any key: nothing says who
// stated it.
func ReadUnverified(signed []byte) (Checkpoint, error) {
	if len(signed) > CheckpointLimit {
		return Checkpoint{}, errors.New("checkpoint: it is too long")
	}
	var unverified *note.UnverifiedNoteError
	if _, err := note.Open(signed, note.VerifierList()); !errors.As(err, &unverified) {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w", err)
	}
	return ParseCheckpoint(unverified.Note.Text)
}
