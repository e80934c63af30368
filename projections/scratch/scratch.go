// Package scratch lends memory that lies in a file without a name, for what a
// fold holds of a long history. The system writes it out when memory gets
// short and reads it again when it is touched, so that a history is bounded by
// the disk, and the garbage collector does not walk through it.
//
// What is lent is lost when the process ends: it can be folded from the log
// again.
package scratch

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// An Area lends memory; nil lends that of the Go heap, without end. Its methods
// are safe for concurrent use.
type Area struct {
	dir    string
	inHeap int // bytes that are lent before there is a file

	mu     sync.Mutex
	free   []byte   // of the last chunk
	mapped [][]byte // the chunks that lie in the file
	lent   int      // bytes of all chunks
	file   *os.File
	failed error // why there is no file, or no more of it
}

// chunkBytes is how much is taken at once.
const chunkBytes = 16 << 20

// In returns an area that lends inHeap bytes of the heap, and then those of a
// file in a folder, which should be on a disk and not in memory.
func In(dir string, inHeap int) *Area { return &Area{dir: dir, inHeap: inHeap} }

// Close gives the memory back. What was lent must not be touched any more.
func (a *Area) Close() error {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var err error
	for _, m := range a.mapped {
		err = errors.Join(err, unix.Munmap(m))
	}
	a.mapped, a.free = nil, nil
	if a.file != nil {
		err = errors.Join(err, a.file.Close())
		a.file = nil
	}
	return err
}

// Failed returns why the heap lends what the file should, or nil: its folder
// cannot be written, or its disk is full.
func (a *Area) Failed() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.failed
}

// Mapped returns how many bytes lie in the file.
func (a *Area) Mapped() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return int64(len(a.mapped)) * chunkBytes
}

// bytes lends n zero bytes, no more than a chunk, at an address that is a
// multiple of 8.
func (a *Area) bytes(n int) []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	n = (n + 7) &^ 7
	if n > len(a.free) {
		a.free = a.chunk()
	}
	b := a.free[:n:n]
	a.free = a.free[n:]
	return b
}

func (a *Area) chunk() []byte {
	if a.lent >= a.inHeap && a.failed == nil {
		m, err := a.more()
		if err == nil {
			a.mapped = append(a.mapped, m)
			return m
		}
		a.failed = err
	}
	a.lent += heapChunk
	return make([]byte, heapChunk)
}

// heapChunk is how much is taken of the heap at once.
const heapChunk = 1 << 20

// more makes the file longer by a chunk. Its zeros are written, so that a full
// disk is noticed here and not when they are touched.
func (a *Area) more() ([]byte, error) {
	if a.file == nil {
		f, err := os.CreateTemp(a.dir, "scratch-")
		if err != nil {
			return nil, fmt.Errorf("make a scratch file: %w", err)
		}
		if err := os.Remove(f.Name()); err != nil {
			return nil, errors.Join(fmt.Errorf("take the name of a scratch file: %w", err), f.Close())
		}
		a.file = f
	}
	at := int64(len(a.mapped)) * chunkBytes
	var zeros [64 << 10]byte
	for k := int64(0); k < chunkBytes; k += int64(len(zeros)) {
		if _, err := a.file.WriteAt(zeros[:], at+k); err != nil {
			return nil, fmt.Errorf("make a scratch file longer: %w", err)
		}
	}
	m, err := unix.Mmap(int(a.file.Fd()), at, chunkBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map a scratch file: %w", err)
	}
	return m, nil
}

// A Pool lends values of a type from an area.
type Pool[T any] struct{ area *Area }

// PoolIn returns a pool of values that lie in an area; nil is the heap. The type
// must have no pointers, which the garbage collector would not see.
func PoolIn[T any](a *Area) Pool[T] {
	if t := reflect.TypeFor[T](); pointers(t) || t.Size() > heapChunk {
		panic(fmt.Sprintf("scratch: a %s cannot lie in a file", t))
	}
	return Pool[T]{a}
}

// New lends a zero value.
func (p Pool[T]) New() *T {
	if p.area == nil {
		return new(T)
	}
	return (*T)(unsafe.Pointer(unsafe.SliceData(p.area.bytes(int(unsafe.Sizeof(*new(T)))))))
}

// pointers reports whether values of a type hold any, or may.
func pointers(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return false
	case reflect.Array:
		return pointers(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if pointers(t.Field(i).Type) {
				return true
			}
		}
		return false
	}
	return true
}
