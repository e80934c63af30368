package document

import (
	"encoding/binary"
	"hash/adler32"
	"math/bits"
)

// The window and the lengths of matches of DEFLATE (RFC 1951).
const (
	windowSize  = 32 << 10
	shortest    = 3
	longest     = 258
	searchLimit = 64 // candidates tried for a match
	endOfBlock  = 256
)

// deflate compresses data into a zlib stream (RFC 1950) with one block of the
// fixed codes of RFC 1951. It gives up some size so that it can be short,
// since it must never change: issued documents are printed again through it.
func deflate(data []byte) []byte {
	w := bitWriter{out: []byte{0x78, 0x01}} // a 32 KiB window, no dictionary
	w.bits(1, 1)                            // the last block
	w.bits(1, 2)                            // with the fixed codes
	var heads [1 << 15]int                  // for three bytes: one past where they were last seen
	earlier := make([]int, len(data))       // one past where they were seen before that
	slot := func(i int) *int {
		v := uint32(data[i]) | uint32(data[i+1])<<8 | uint32(data[i+2])<<16
		return &heads[v*2654435761>>17]
	}
	for i := 0; i < len(data); {
		n, from := 0, 0
		if i+shortest <= len(data) {
			n, from = match(data, i, *slot(i), earlier)
		}
		if n == 0 {
			w.literal(int(data[i]))
			n = 1
		} else {
			w.pair(n, i-from)
		}
		for ; n > 0; n-- {
			if i+shortest <= len(data) {
				h := slot(i)
				earlier[i], *h = *h, i+1
			}
			i++
		}
	}
	w.literal(endOfBlock)
	return binary.BigEndian.AppendUint32(w.flush(), adler32.Checksum(data))
}

// match returns the longest earlier run of what is at i, the nearest among
// equals, or 0 if there is none worth coding.
func match(data []byte, i, candidate int, earlier []int) (n, from int) {
	limit := min(longest, len(data)-i)
	for range searchLimit {
		at := candidate - 1
		if at < 0 || i-at > windowSize {
			break
		}
		same := 0
		for same < limit && data[at+same] == data[i+same] {
			same++
		}
		if same > n {
			n, from = same, at
		}
		if n == limit {
			break
		}
		candidate = earlier[at]
	}
	if n < shortest {
		return 0, 0
	}
	return n, from
}

// bitWriter packs bits from the least significant end of each byte.
type bitWriter struct {
	out  []byte
	hold uint64
	held int
}

func (w *bitWriter) bits(v uint32, n int) {
	w.hold |= uint64(v) << w.held
	w.held += n
	for w.held >= 8 {
		w.out = append(w.out, byte(w.hold))
		w.hold >>= 8
		w.held -= 8
	}
}

func (w *bitWriter) flush() []byte {
	if w.held > 0 {
		w.bits(0, 8-w.held)
	}
	return w.out
}

// code writes a Huffman code, which begins with its most significant bit.
func (w *bitWriter) code(v uint32, n int) { w.bits(bits.Reverse32(v)>>(32-n), n) }

// literal writes a byte, the end of the block or a code of length, by the
// fixed codes of RFC 1951, section 3.2.6.
func (w *bitWriter) literal(v int) {
	switch {
	case v < 144:
		w.code(uint32(0x30+v), 8)
	case v < 256:
		w.code(uint32(0x190+v-144), 9)
	case v < 280:
		w.code(uint32(v-256), 7)
	default:
		w.code(uint32(0xc0+v-280), 8)
	}
}

// pair writes a match: n bytes as they were distance bytes before. The codes
// of RFC 1951, section 3.2.5, follow a rule: after the first ones, which stand
// for themselves, each power of two of values has four codes of length or two
// of distance, and the rest of the value in extra bits.
func (w *bitWriter) pair(n, distance int) {
	if n == longest {
		w.literal(285)
	} else if v := n - shortest; v < 8 {
		w.literal(257 + v)
	} else {
		extra := bits.Len(uint(v)) - 3
		w.literal(257 + 4*extra + v>>extra)
		w.bits(uint32(v)&(1<<extra-1), extra)
	}
	if v := distance - 1; v < 4 {
		w.code(uint32(v), 5)
	} else {
		extra := bits.Len(uint(v)) - 2
		w.code(uint32(2*extra+v>>extra), 5)
		w.bits(uint32(v)&(1<<extra-1), extra)
	}
}
