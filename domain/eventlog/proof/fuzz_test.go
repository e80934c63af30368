package proof_test

import (
	"bytes"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"wattbook/domain/eventlog/proof"
)

func FuzzParseCheckpoint(f *testing.F) {
	f.Add("example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n")
	f.Add("a\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\nperiod s 2026-10\n")
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := proof.ParseCheckpoint(text); err == nil && c.Text() != text {
			t.Errorf("%q is written again as %q", text, c.Text())
		}
	})
}

func FuzzParseEvent(f *testing.F) {
	_, stored, roots := grown(20)
	e, err := proof.ProveEvent(record(11), signed(f, 20, roots[20]), stored)
	if err != nil {
		f.Fatal(err)
	}
	_, log := keys(f, 1)
	f.Add(e.Format())
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := proof.ParseEvent(b)
		if err != nil {
			return
		}
		if _, err := got.Check(log); err == nil && !bytes.Equal(got.Format(), e.Format()) {
			t.Errorf("%q proves another event", b)
		}
	})
}

func FuzzReadBundle(f *testing.F) {
	_, stored, roots := grown(20)
	_, log := keys(f, 1)
	var file bytes.Buffer
	if err := proof.WriteBundle(&file, "x", signed(f, 20, roots[20]), stored, pick([]int{3, 4, 17})); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes())
	f.Add([]byte("wattbook-proof@v1\nhash 0 AAAA\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := proof.ReadBundle(bytes.NewReader(b), log)
		if err != nil {
			return
		}
		for _, r := range got.Records {
			if proof.LeafHash(r) != proof.LeafHash(record(int(r.Position))) {
				t.Errorf("%q proves another event at position %d", b, r.Position)
			}
		}
	})
}

func FuzzParseWitnessRequest(f *testing.F) {
	f.Add(proof.FormatWitnessRequest(3, []tlog.Hash{{1}}, []byte("x\n")))
	f.Add([]byte("old 0\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		old, hashes, checkpoint, err := proof.ParseWitnessRequest(b)
		if err == nil && !bytes.Equal(proof.FormatWitnessRequest(old, hashes, checkpoint), b) {
			t.Errorf("%q is written again otherwise", b)
		}
	})
}

func FuzzNewWitness(f *testing.F) {
	_, public, err := proof.GenerateWitness(random(1), "w.example")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(public)
	f.Fuzz(func(t *testing.T, key string) {
		if w, err := proof.NewWitness(key); err == nil {
			w.Verify([]byte("x"), make([]byte, 72))
		}
	})
}
