// Package powercut is a disk in memory for tests: its power goes at a chosen
// sync, its bytes change, and it gets full.
package powercut

import (
	"fmt"
	"io"
	"math/rand/v2"
	"path"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// Disk is a disk. It is safe for concurrent use.
type Disk struct {
	mem *vfs.MemFS
	rng *rand.Rand

	mu    sync.Mutex
	left  int // syncs until the power goes; below 0: it stays
	after *vfs.MemFS
	full  bool
}

// New returns an empty disk. What is random about it comes from rng, which is
// the disk's from then on.
func New(rng *rand.Rand) *Disk { return &Disk{mem: vfs.NewCrashableMem(), rng: rng, left: -1} }

// FS returns the disk as the file system that the database takes.
func (d *Disk) FS() vfs.FS { return usage{errorfs.Wrap(d.mem, errorfs.InjectorFunc(d.inject)), d} }

// CutAt lets the power go at the n-th sync from now, 0 being the next one:
// what the sync was to make durable may be there, be torn, or be absent.
//
// Whoever uses the disk does not notice: it goes on on the old one, and what
// it does from then on is not on the disk that Restart returns.
func (d *Disk) CutAt(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left = n
}

// Off reports whether the power has gone.
func (d *Disk) Off() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.after != nil
}

// Cut lets the power go now.
func (d *Disk) Cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cut()
}

func (d *Disk) cut() {
	percent := d.rng.IntN(101)
	if d.rng.IntN(4) == 0 {
		percent = 0 // exactly what was synced
	}
	d.after = d.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: d.rng})
}

// Restart returns the disk as it is when the power is back.
func (d *Disk) Restart() *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &Disk{mem: d.after, rng: d.rng, left: -1}
}

// Fill makes the disk full, or makes room.
func (d *Disk) Fill(full bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.full = full
}

func (d *Disk) inject(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
	default:
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.left == 0 && d.after == nil {
		d.cut()
	}
	if d.left >= 0 {
		d.left--
	}
	return nil
}

// Changed returns a copy of the disk on which one byte of one of the folder's
// files is another, and which one.
func (d *Disk) Changed(dir string) (*Disk, string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	clone := d.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: d.rng})
	names, err := clone.List(dir)
	if err != nil {
		return nil, "", err
	}
	var sizes []int64
	total := int64(0)
	for _, name := range names {
		info, err := clone.Stat(clone.PathJoin(dir, name))
		if err != nil {
			return nil, "", err
		}
		sizes = append(sizes, info.Size())
		total += info.Size()
	}
	at := d.rng.Int64N(total)
	i := 0
	for ; at >= sizes[i]; i++ {
		at -= sizes[i]
	}
	name := clone.PathJoin(dir, names[i])
	f, err := clone.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, "", err
	}
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil && err != io.EOF {
		return nil, "", err
	}
	b[0] ^= byte(1 + d.rng.IntN(255))
	if _, err := f.WriteAt(b[:], at); err != nil {
		return nil, "", err
	}
	return &Disk{mem: clone, rng: d.rng, left: -1}, fmt.Sprintf("byte %d of %s", at, path.Base(name)), f.Close()
}

// usage answers how much is free.
type usage struct {
	vfs.FS
	disk *Disk
}

func (u usage) GetDiskUsage(string) (vfs.DiskUsage, error) {
	u.disk.mu.Lock()
	defer u.disk.mu.Unlock()
	if u.disk.full {
		return vfs.DiskUsage{TotalBytes: 1 << 40}, nil
	}
	return vfs.DiskUsage{AvailBytes: 1 << 39, TotalBytes: 1 << 40}, nil
}
