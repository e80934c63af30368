package pebblelog

import (
	"encoding/binary"
	"math/bits"
	"sync"

	"wattbook/domain"
)

// idFilter says of an event id that it is new, or that it may be on record. It
// spares the writer a search through the database for nearly every event. Ids
// are made by a digest, so their own bits serve as hashes.
//
// It is a list of Bloom filters, each four times the size of the one before it:
// with sixteen bits and seven probes inside one cache line, one id in some
// hundreds is looked for in vain.
type idFilter struct {
	mu     sync.Mutex // the writer adds and asks; opening adds what is on disk
	levels []filterLevel
}

// filterLevel is one Bloom filter of blocks of 512 bits.
type filterLevel struct {
	blocks [][8]uint64
	room   int // ids that it still takes
}

const (
	firstRoom  = 1 << 15
	bitsPerID  = 16
	filterBits = 512
	probes     = 7
)

// grow adds a filter for so many ids, if the last one is full.
func (f *idFilter) grow(room int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.level(room)
}

func (f *idFilter) level(room int) *filterLevel {
	if n := len(f.levels); n > 0 && f.levels[n-1].room > 0 {
		return &f.levels[n-1]
	}
	f.levels = append(f.levels, filterLevel{make([][8]uint64, (room*bitsPerID+filterBits-1)/filterBits), room})
	return &f.levels[len(f.levels)-1]
}

// add remembers an id.
func (f *idFilter) add(id domain.EventID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.level(firstRoom << (2 * min(len(f.levels), 8)))
	l.room--
	block, places := l.at(id)
	for range probes {
		block[places>>6&7] |= 1 << (places & 63)
		places >>= 9
	}
}

// mayHave reports false only of an id that was never added.
func (f *idFilter) mayHave(id domain.EventID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := len(f.levels) - 1; i >= 0; i-- {
		block, places := f.levels[i].at(id)
		found := true
		for range probes {
			found = found && block[places>>6&7]&(1<<(places&63)) != 0
			places >>= 9
		}
		if found {
			return true
		}
	}
	return false
}

// at returns the block of an id and the bits that choose its places there. The
// bits that say the version and the variant of a UUID are the same in all of
// them: they choose nothing alone.
func (l *filterLevel) at(id domain.EventID) (*[8]uint64, uint64) {
	high, low := binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:])
	n, _ := bits.Mul64(high^low<<32, uint64(len(l.blocks)))
	return &l.blocks[n], low ^ high<<54
}
