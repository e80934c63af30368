package gpu

import (
	"errors"
	"fmt"

	"github.com/NVIDIA/go-nvml/pkg/dl"
	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// ErrNoLibrary means that this machine has no NVML: GPUs are to be polled by
// a process on their own host.
var ErrNoLibrary = errors.New("libnvidia-ml.so.1 is not on this machine")

// library is the file that NVIDIA's driver installs.
const library = "libnvidia-ml.so.1"

// symbols are the functions that a poll calls and that early drivers lack.
// They are looked up first because the binding resolves them when they are
// called, and a missing one would end the process.
func symbols() []string {
	return []string{
		"nvmlSystemGetDriverVersion",
		"nvmlDeviceGetCount_v2",
		"nvmlDeviceGetHandleByUUID",
		"nvmlDeviceGetHandleByIndex_v2",
		"nvmlDeviceGetUUID",
		"nvmlDeviceGetName",
		"nvmlDeviceGetTotalEnergyConsumption", // since the drivers that know Volta
		"nvmlDeviceGetPowerUsage",
		"nvmlDeviceGetComputeRunningProcesses",
	}
}

// OpenLibrary opens this machine's NVML. There is no other library to fall
// back to: where it cannot be opened that is an error, [ErrNoLibrary] if there
// is none. The library may be shared by any number of sources; it is closed by
// its Shutdown.
func OpenLibrary() (nvml.Interface, error) {
	lib := nvml.New()
	switch ret := lib.Init(); ret {
	case nvml.SUCCESS:
	case nvml.ERROR_LIBRARY_NOT_FOUND:
		return nil, fmt.Errorf("open NVML: %w: %w; install the NVIDIA driver, or run the GPU source on the GPUs' own host", ErrNoLibrary, loadError())
	default:
		return nil, fmt.Errorf("open NVML: %s", meaning(ret))
	}
	for _, name := range symbols() {
		if err := lib.Extensions().LookupSymbol(name); err != nil {
			lib.Shutdown()
			return nil, fmt.Errorf("open NVML: the driver is too old: %w", err)
		}
	}
	return lib, nil
}

// loadError returns what the dynamic linker says of the library, which the
// binding does not pass on.
func loadError() error {
	l := dl.New(library, dl.RTLD_LAZY|dl.RTLD_GLOBAL)
	if err := l.Open(); err != nil {
		return err
	}
	return errors.Join(errors.New("it loads, but its binding does not"), l.Close())
}

// Found is a GPU of the host.
type Found struct {
	Index int    // its number on the host, from 0
	UUID  string // "GPU-8f6c…"
	Name  string // "NVIDIA H100 80GB HBM3"; empty if it does not tell
}

// Inventory lists the host's GPUs by index, for whoever writes the
// configuration. A GPU that does not tell its UUID is an error, with those
// before it.
func Inventory(lib nvml.Interface) ([]Found, error) {
	n, ret := lib.DeviceGetCount()
	if ret != nvml.SUCCESS {
		return nil, fmt.Errorf("count GPUs: %s", meaning(ret))
	}
	var all []Found
	for i := range n {
		d, ret := lib.DeviceGetHandleByIndex(i)
		if ret != nvml.SUCCESS {
			return all, fmt.Errorf("open GPU %d: %s", i, meaning(ret))
		}
		uuid, ret := d.GetUUID()
		if ret != nvml.SUCCESS {
			return all, fmt.Errorf("read the UUID of GPU %d: %s", i, meaning(ret))
		}
		name, _ := told(d.GetName()).value()
		all = append(all, Found{Index: i, UUID: uuid, Name: name})
	}
	return all, nil
}
