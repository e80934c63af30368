package facts

import (
	"hash/maphash"

	"wattbook/projections/scratch"
)

// keys numbers texts in the order in which they are added, and finds them
// again. It is a hash table of numbers; the texts lie one after the other in
// blocks, so that millions of them are nothing to the garbage collector.
type keys struct {
	seed   maphash.Seed
	table  []entry // its length is a power of two, and at least half of it is free
	pool   scratch.Pool[places]
	pages  []*places
	n      uint32
	blocks [][]byte
	left   []byte // of the last block
	lender scratch.Pool[block]
}

// entry is a text in the table.
type entry struct {
	hash   uint32 // its upper half
	number uint32 // plus 1; 0 is none
}

// placed is where a text lies.
type placed struct{ block, at, length uint32 }

const (
	pagePlaces = 1024
	blockBytes = 64 << 10
)

type (
	places [pagePlaces]placed
	block  [blockBytes]byte
)

func newKeys(a *scratch.Area) keys {
	return keys{seed: maphash.MakeSeed(), table: make([]entry, 16), pool: scratch.PoolIn[places](a), lender: scratch.PoolIn[block](a)}
}

// bytes returns a text by its number. It is not to be changed.
func (k *keys) bytes(n uint32) []byte {
	p := &k.pages[n/pagePlaces][n%pagePlaces]
	return k.blocks[p.block][p.at : p.at+p.length]
}

// text returns a text by its number.
func (k *keys) text(n uint32) string { return string(k.bytes(n)) }

// slot returns where a text stands in the table, or where it would.
func (k *keys) slot(hash uint64, s string) int {
	mask := len(k.table) - 1
	i := int(hash) & mask
	for ; k.table[i].number != 0; i = (i + 1) & mask {
		if e := k.table[i]; e.hash == uint32(hash>>32) && string(k.bytes(e.number-1)) == s {
			break
		}
	}
	return i
}

// find returns the number of a text.
func (k *keys) find(s string) (n uint32, ok bool) {
	n = k.table[k.slot(maphash.String(k.seed, s), s)].number
	return n - 1, n > 0
}

// add returns the number of a text, and whether it was there before.
func (k *keys) add(s string) (n uint32, there bool) {
	hash := maphash.String(k.seed, s)
	i := k.slot(hash, s)
	if n := k.table[i].number; n > 0 {
		return n - 1, true
	}
	n = k.n
	k.n++
	k.put(n, s)
	k.table[i] = entry{uint32(hash >> 32), n + 1}
	if int(k.n) > len(k.table)/2 {
		k.grow()
	}
	return n, false
}

// put writes a text to where its number finds it.
func (k *keys) put(n uint32, s string) {
	if n%pagePlaces == 0 {
		k.pages = append(k.pages, k.pool.New())
	}
	if len(s) > len(k.left) || len(k.blocks) == 0 {
		if len(s) <= blockBytes {
			k.left = k.lender.New()[:]
		} else {
			k.left = make([]byte, len(s))
		}
		k.blocks = append(k.blocks, k.left)
	}
	last := len(k.blocks) - 1
	k.pages[n/pagePlaces][n%pagePlaces] = placed{uint32(last), uint32(len(k.blocks[last]) - len(k.left)), uint32(len(s))}
	copy(k.left, s)
	k.left = k.left[len(s):]
}

// grow makes the table twice as long.
func (k *keys) grow() {
	k.table = make([]entry, 2*len(k.table))
	mask := len(k.table) - 1
	for n := range k.n {
		hash := maphash.Bytes(k.seed, k.bytes(n))
		i := int(hash) & mask
		for k.table[i].number != 0 {
			i = (i + 1) & mask
		}
		k.table[i] = entry{uint32(hash >> 32), n + 1}
	}
}
