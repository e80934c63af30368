package proof

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/mod/sumdb/note"

	"wattbook/domain"
)

// A witness states that every checkpoint of a log that it has seen is
// consistent with the one before: a log that shows two histories needs two
// witnesses that lie. Its cosignature is a signature line of a note with a
// time in it (C2SP tlog-cosignature, Ed25519):
//
//	key id     SHA-256(name || "\n" || 0x04 || public key)[:4]
//	signature  time in seconds (8 bytes, big-endian) || Ed25519 signature
//	message    "cosignature/v1\ntime <seconds>\n" || text of the checkpoint

// cosignatureType is the type byte of cosignature keys.
const cosignatureType = 0x04

// cosignatureSize is the size of a cosignature: time and Ed25519 signature.
const cosignatureSize = 8 + ed25519.SignatureSize

func cosignatureKeyID(name string, public []byte) uint32 {
	h := sha256.New()
	h.Write([]byte(name + "\n"))
	h.Write(append([]byte{cosignatureType}, public...))
	return binary.BigEndian.Uint32(h.Sum(nil))
}

func cosigned(text []byte, at uint64) []byte {
	return append(fmt.Appendf(nil, "cosignature/v1\ntime %d\n", at), text...)
}

// witness verifies cosignatures; it implements note.Verifier.
type witness struct {
	name   string
	public ed25519.PublicKey
}

func (w *witness) Name() string    { return w.name }
func (w *witness) KeyHash() uint32 { return cosignatureKeyID(w.name, w.public) }

func (w *witness) Verify(text, sig []byte) bool {
	if len(sig) != cosignatureSize {
		return false
	}
	at := binary.BigEndian.Uint64(sig)
	return at < 1<<63 && ed25519.Verify(w.public, cosigned(text, at), sig[8:])
}

// NewWitness reads the public key of a witness: name, key id and base64 of the
// type and key bytes, with plus signs between them, as note writes keys.
func NewWitness(key string) (note.Verifier, error) {
	name, material, err := splitKey(key)
	if err != nil {
		return nil, err
	}
	w := &witness{name, material}
	if want := fmt.Sprintf("%s+%08x+", name, w.KeyHash()); len(material) != ed25519.PublicKeySize || !strings.HasPrefix(key, want) {
		return nil, fmt.Errorf("witness key %.80q: it is damaged, or no Ed25519 key of a witness", key)
	}
	return w, nil
}

// splitKey returns the name and the key bytes behind the type byte.
func splitKey(key string) (name string, material []byte, err error) {
	parts := strings.SplitN(key, "+", 3) // base64 may hold a plus
	if len(parts) != 3 || !validName(parts[0]) {
		return "", nil, fmt.Errorf("key %.80q is not of the form name+id+key", key)
	}
	raw, err := strict.DecodeString(parts[2])
	if err != nil || len(raw) < 2 || raw[0] != cosignatureType {
		return "", nil, fmt.Errorf("key %.80q is not one for cosignatures (type %d)", key, cosignatureType)
	}
	return parts[0], raw[1:], nil
}

func validName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, unicode.IsSpace) && !strings.Contains(s, "+")
}

// Cosigner cosigns checkpoints as a witness; it implements note.Signer.
type Cosigner struct {
	witness
	private ed25519.PrivateKey
	now     func() domain.Instant
}

// GenerateWitness returns the private and the public key of a new witness.
func GenerateWitness(random io.Reader, name string) (private, public string, err error) {
	if !validName(name) {
		return "", "", fmt.Errorf("name %q of a witness is empty, or holds a space or a plus", name)
	}
	pub, priv, err := ed25519.GenerateKey(random)
	if err != nil {
		return "", "", fmt.Errorf("make a key for witness %s: %w", name, err)
	}
	id := cosignatureKeyID(name, pub)
	encode := func(material []byte) string {
		return base64.StdEncoding.EncodeToString(append([]byte{cosignatureType}, material...))
	}
	return fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", name, id, encode(priv.Seed())), fmt.Sprintf("%s+%08x+%s", name, id, encode(pub)), nil
}

// NewCosigner reads the private key of a witness; now is its clock.
func NewCosigner(private string, now func() domain.Instant) (*Cosigner, error) {
	key, ok := strings.CutPrefix(private, "PRIVATE+KEY+")
	if !ok {
		return nil, errors.New("the private key of a witness begins with PRIVATE+KEY+")
	}
	name, seed, err := splitKey(key)
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, errors.New("the private key of the witness is damaged") // without a word of it
	}
	c := &Cosigner{private: ed25519.NewKeyFromSeed(seed), now: now}
	c.witness = witness{name, c.private.Public().(ed25519.PublicKey)}
	return c, nil
}

// Sign returns the bytes of a cosignature of a checkpoint's text.
func (c *Cosigner) Sign(text []byte) ([]byte, error) {
	at := uint64(c.now()) / uint64(domain.Second)
	return append(binary.BigEndian.AppendUint64(nil, at), ed25519.Sign(c.private, cosigned(text, at))...), nil
}

// Cosign returns the signature line of a cosignature of a signed checkpoint.
func (c *Cosigner) Cosign(s Signed) ([]byte, error) {
	sig, err := c.Sign([]byte(s.Text()))
	if err != nil {
		return nil, err
	}
	raw := append(binary.BigEndian.AppendUint32(nil, c.KeyHash()), sig...)
	return fmt.Appendf(nil, "— %s %s\n", c.name, base64.StdEncoding.EncodeToString(raw)), nil
}

// AddCosignatures returns the signed checkpoint with the signature lines that
// verify by one of the witnesses and that it does not have yet. It is an error
// if none does.
func AddCosignatures(s Signed, lines []byte, log note.Verifier, witnesses ...note.Verifier) (Signed, error) {
	n, err := note.Open(append(bytes.Clone(s.Note), lines...), note.VerifierList(append([]note.Verifier{log}, witnesses...)...))
	if err != nil {
		return s, fmt.Errorf("cosignature of the checkpoint of size %d: %w", s.Size, err)
	}
	more := 0
	for _, sig := range n.Sigs {
		line := "— " + sig.Name + " " + sig.Base64 + "\n"
		if sig.Name == log.Name() && sig.Hash == log.KeyHash() || bytes.Contains(s.Note, []byte(line)) {
			continue
		}
		s.Note = append(bytes.Clone(s.Note), line...)
		s.Witnesses = append(s.Witnesses, sig.Name)
		more++
	}
	if more == 0 {
		return s, fmt.Errorf("cosignature of the checkpoint of size %d: no new one is of a witness that is known", s.Size)
	}
	return s, nil
}

// FormatWitnessRequest returns what a log posts to a witness's add-checkpoint
// (C2SP tlog-witness): the size that the witness knows, the proof that the log
// has only grown since, and the checkpoint.
func FormatWitnessRequest(old int64, consistency []Hash, checkpoint []byte) []byte {
	b := fmt.Appendf(nil, "old %d\n", old)
	for _, h := range consistency {
		b = append(base64.StdEncoding.AppendEncode(b, h[:]), '\n')
	}
	return append(append(b, '\n'), checkpoint...)
}

// ParseWitnessRequest reads what FormatWitnessRequest returns.
func ParseWitnessRequest(b []byte) (old int64, consistency []Hash, checkpoint []byte, err error) {
	head, checkpoint, ok := bytes.Cut(b, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	size, isOld := strings.CutPrefix(lines[0], "old ")
	old, err = strconv.ParseInt(size, 10, 64)
	switch {
	case !ok || !isOld || err != nil || old < 0 || strconv.FormatInt(old, 10) != size:
		return 0, nil, nil, errors.New("witness request: want a line such as old 17, hashes, an empty line and a checkpoint")
	case len(lines) > 64:
		return 0, nil, nil, fmt.Errorf("witness request: %d lines of proof, limit 63", len(lines)-1)
	}
	if consistency, err = parseHashes(lines[1:]); err != nil {
		return 0, nil, nil, fmt.Errorf("witness request: %w", err)
	}
	return old, consistency, checkpoint, nil
}
