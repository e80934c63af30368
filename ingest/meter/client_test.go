package meter_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"wattbook/domain"
	"wattbook/ingest/meter"
)

// serveFrames answers every request of 12 bytes with what answer returns. It
// hangs up where that is nil, and after a frame that is not whole.
func serveFrames(t *testing.T, answer func(request []byte) []byte) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				if !errors.Is(err, net.ErrClosed) {
					t.Error(err)
				}
				return
			}
			request := make([]byte, 12)
			for {
				if _, err := io.ReadFull(c, request); err != nil {
					break
				}
				reply := answer(request)
				if reply == nil {
					break
				}
				if _, err := c.Write(reply); err != nil || len(reply) < 6+int(binary.BigEndian.Uint16(reply[4:])) {
					break
				}
			}
			c.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr().String()
}

// frame returns a reply to the request with the given unit, function and data.
func frame(request []byte, unit, function byte, data ...byte) []byte {
	b := append([]byte{}, request[:4]...)
	b = binary.BigEndian.AppendUint16(b, uint16(2+len(data)))
	return append(append(b, unit, function), data...)
}

func TestRepliesThatMakeNoSense(t *testing.T) {
	eight := []byte{8, 0, 0, 0, 0, 0, 0, 0, 42}
	sixteen := append([]byte{16}, make([]byte, 16)...)
	for _, row := range []struct {
		name   string
		answer func(request []byte) []byte
		reject string // or else it is silent
		silent string
	}{
		{
			name: "the answer to another request", reject: "reply to transaction 258",
			answer: func(r []byte) []byte { return append([]byte{1, 2}, frame(r, 1, 3, sixteen...)[2:]...) },
		},
		{
			name: "another protocol", reject: "protocol 257",
			answer: func(r []byte) []byte {
				return append(append(append([]byte{}, r[:2]...), 1, 1), frame(r, 1, 3, sixteen...)[4:]...)
			},
		},
		{name: "another unit", reject: "unit 2, not of 1", answer: func(r []byte) []byte { return frame(r, 2, 3, sixteen...) }},
		{name: "another function", reject: "function 4, not to 3", answer: func(r []byte) []byte { return frame(r, 1, 4, sixteen...) }},
		{name: "fewer registers", reject: "holds 8 bytes, want 16", answer: func(r []byte) []byte { return frame(r, 1, 3, eight...) }},
		{
			name: "another number of bytes than it says", reject: "want 16",
			answer: func(r []byte) []byte { return frame(r, 1, 3, append([]byte{15}, sixteen[1:]...)...) },
		},
		{
			name: "more bytes than it announces", reject: "are announced",
			answer: func(r []byte) []byte { return append(frame(r, 1, 3, sixteen...), 0) },
		},
		{
			name: "a frame that announces too much", reject: "are announced",
			answer: func(r []byte) []byte { return append(append([]byte{}, r[:4]...), 0xff, 0xff, 1, 3, 16) },
		},
		{
			name: "a frame without a function", reject: "are announced",
			answer: func(r []byte) []byte { return append(append([]byte{}, r[:4]...), 0, 1, 1, 3, 16) },
		},
		{name: "an exception with two codes", reject: "exception of 4 bytes", answer: func(r []byte) []byte { return frame(r, 1, 0x83, 2, 3) }},
		{
			name: "an exception that has no name", reject: "exception 99 when asked for 8 registers at 3203",
			answer: func(r []byte) []byte { return frame(r, 1, 0x83, 99) },
		},
		{
			name: "an exception in the gateway's own name", silent: "exception 10 (gateway path unavailable)",
			answer: func(r []byte) []byte { return frame(r, 255, 0x83, 10) },
		},
		{
			name: "half a reply", silent: "the connection was closed before an answer came",
			answer: func(r []byte) []byte { return frame(r, 1, 3, sixteen...)[:12] },
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			m := meter.Meter{Device: "main", Address: serveFrames(t, row.answer), Map: named(t, "iem3000"), Provenance: domain.ProvenanceSubMeter}
			d := poll(t, open(t, config(m)))
			got, want := "", row.reject
			switch {
			case len(d.Samples) != 0:
				t.Fatalf("samples %+v, want none", d.Samples)
			case row.silent != "" && len(d.Silent) == 2:
				got, want = d.Silent[0].Reason, row.silent
			case row.reject != "" && len(d.Rejected) == 1:
				got = d.Rejected[0].Reason
			}
			if !strings.Contains(got, want) || got == "" {
				t.Errorf("silent %v, rejected %v; want a reason with %q", d.Silent, d.Rejected, want)
			}
		})
	}
}
