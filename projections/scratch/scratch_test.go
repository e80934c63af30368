package scratch

import (
	"math/rand/v2"
	"os"
	"testing"
)

type cell struct {
	value [3]int64
	small uint8
}

func TestWhatIsLentIsZeroAndKeepsWhatIsWritten(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for name, inHeap := range map[string]int{"in the heap": 1 << 30, "in a file": 0, "in both": 2 << 20} {
		t.Run(name, func(t *testing.T) {
			a := In(t.TempDir(), inHeap)
			cells, pages := PoolIn[cell](a), PoolIn[[1 << 12]int64](a)
			var all []*cell
			var large []*[1 << 12]int64
			for i := range 100_000 {
				if random.IntN(100) > 0 {
					c := cells.New()
					if *c != (cell{}) {
						t.Fatalf("cell %d is %v at first", i, *c)
					}
					c.value[2], c.small = int64(i), uint8(i)
					all = append(all, c)
					continue
				}
				p := pages.New()
				if *p != [1 << 12]int64{} {
					t.Fatalf("page %d is not zero at first", i)
				}
				for k := range p {
					p[k] = int64(len(large))
				}
				large = append(large, p)
			}
			seen := map[int64]bool{}
			for _, c := range all {
				if seen[c.value[2]] || c.small != uint8(c.value[2]) || c.value[0] != 0 {
					t.Fatalf("a cell holds %v", *c)
				}
				seen[c.value[2]] = true
			}
			for i, p := range large {
				for k := range p {
					if p[k] != int64(i) {
						t.Fatalf("page %d holds %d", i, p[k])
					}
				}
			}
			if mapped := a.Mapped() > 0; mapped != (inHeap < 1<<30) || a.Failed() != nil {
				t.Errorf("%d bytes are in the file, %v", a.Mapped(), a.Failed())
			}
			if err := a.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestTheFileHasNoName: nobody finds it, and it is gone with the process.
func TestTheFileHasNoName(t *testing.T) {
	dir := t.TempDir()
	a := In(dir, 0)
	PoolIn[cell](a).New().small = 7
	if files, err := os.ReadDir(dir); err != nil || len(files) > 0 || a.Mapped() == 0 {
		t.Errorf("%v in the folder, %d bytes in the file, %v", files, a.Mapped(), err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if err := a.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
}

// TestWithoutAFileTheHeapLends: a folder that cannot be written costs memory,
// and no facts.
func TestWithoutAFileTheHeapLends(t *testing.T) {
	a := In(t.TempDir()+"/is/not/there", 0)
	c := PoolIn[cell](a).New()
	if c.small = 7; a.Failed() == nil || a.Mapped() > 0 {
		t.Errorf("failed: %v, %d bytes in the file", a.Failed(), a.Mapped())
	}
	var none *Area
	if PoolIn[cell](none).New() == nil || none.Close() != nil {
		t.Error("no area is not the heap")
	}
}

func TestWhatTheCollectorHasToSeeIsRefused(t *testing.T) {
	for name, pool := range map[string]func(){
		"a string":    func() { PoolIn[string](nil) },
		"a slice":     func() { PoolIn[struct{ a []int }](nil) },
		"a pointer":   func() { PoolIn[[2]*int](nil) },
		"a long page": func() { PoolIn[[2 << 20]byte](nil) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("it was taken")
				}
			}()
			pool()
		})
	}
}
