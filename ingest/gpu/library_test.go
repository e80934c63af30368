package gpu_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"wattbook/fixtures/fake"
	"wattbook/ingest/gpu"
)

func TestInventory(t *testing.T) {
	m := newMachine()
	found, err := gpu.Inventory(m.nvml)
	if err != nil {
		t.Fatal(err)
	}
	want := gpu.Found{Index: 7, UUID: fake.GPUUUID(node, 7), Name: "NVIDIA H100 80GB HBM3"}
	if len(found) != fake.GPUs || found[7] != want {
		t.Errorf("got %v, want eight that end with %v", found, want)
	}
	m.states[2].Fault = fake.GPULost
	found, err = gpu.Inventory(m.nvml)
	if err == nil || err.Error() != "read the UUID of GPU 2: the GPU is lost: it fell off the bus" || len(found) != 2 {
		t.Errorf("with a lost GPU: got %d GPUs and %v, want two and its loss", len(found), err)
	}
}

// openLibrary opens the machine's own NVML, or skips the test by name.
func openLibrary(t *testing.T) nvml.Interface {
	t.Helper()
	lib, err := gpu.OpenLibrary()
	if errors.Is(err, gpu.ErrNoLibrary) {
		t.Skipf("%s: %v", t.Name(), err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if ret := lib.Shutdown(); ret != nvml.SUCCESS {
			t.Errorf("shut NVML down: %d", ret)
		}
	})
	return lib
}

func TestRealGPU(t *testing.T) {
	lib := openLibrary(t)
	found, err := gpu.Inventory(lib)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Skip("TestRealGPU: the library is there and finds no GPU")
	}
	s := (&machine{nvml: lib}).source(t, 0, func(c *gpu.Config) {
		for i, f := range found {
			c.GPUs = append(c.GPUs, gpu.GPU{Device: device(i), UUID: f.UUID})
		}
	})
	before, after := poll(t, s, noon), poll(t, s, noon.Add(every))
	t.Logf("first poll: %s", before.Raw)
	t.Logf("second poll: %s", after.Raw)
	if len(before.Samples)+len(before.Silent)+len(before.Rejected) < len(found) {
		t.Errorf("%d GPUs were asked and %d things said", len(found), len(before.Samples))
	}
	if len(before.Samples) != len(after.Samples) {
		t.Fatalf("%d GPUs told their energy at first and %d then", len(before.Samples), len(after.Samples))
	}
	for i, b := range before.Samples {
		a := after.Samples[i]
		if a.Serial != b.Serial || a.Device != b.Device {
			t.Errorf("%s was %s and is %s", b.Device, b.Serial, a.Serial)
		}
		if a.Register.Cmp(b.Register) < 0 {
			t.Errorf("%s: the energy counter fell from %s to %s mJ", b.Device, b.Register, a.Register)
		}
	}
}

func TestOpenLibraryNeverFallsBack(t *testing.T) {
	lib, err := gpu.OpenLibrary()
	if err == nil {
		lib.Shutdown()
		t.Skip("TestOpenLibraryNeverFallsBack: this machine has the library")
	}
	if lib != nil {
		t.Errorf("got a library with the error %v", err)
	}
	if !strings.HasPrefix(err.Error(), "open NVML: ") {
		t.Errorf("error %q does not name the operation", err)
	}
	if errors.Is(err, gpu.ErrNoLibrary) && !strings.Contains(err.Error(), "libnvidia-ml.so.1 is not on this machine") {
		t.Errorf("error %q does not name the library", err)
	}
}
