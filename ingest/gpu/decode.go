package gpu

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"wattbook/domain"
	"wattbook/ingest"
)

// DecoderName names what [Decode] reads, with its version.
const DecoderName = "nvml/1"

// poll is what a host's GPUs answered, as it is kept as evidence: NVML is a
// library and sends no bytes, so the answers are written down one by one. A
// call that was not made is absent.
type poll struct {
	Node   string          `json:"node"`
	At     domain.Instant  `json:"at"`
	Every  domain.Duration `json:"every"`
	System system          `json:"system"`
	GPUs   []answers       `json:"gpus"`
}

// system is what the library answered for the host.
type system struct {
	Late   bool          `json:"late,omitempty"` // no answer before the poll's end
	Init   *outcome      `json:"init,omitempty"` // made only if the library was closed
	Driver *call[string] `json:"driver_version,omitempty"`
	Count  *call[int]    `json:"count,omitempty"`
}

// answers are what was answered for one GPU.
type answers struct {
	Device    domain.DeviceID `json:"device"`
	Asked     string          `json:"asked"`          // a UUID, or "index 0"
	Late      bool            `json:"late,omitempty"` // no answer before the poll's end
	Handle    *outcome        `json:"handle,omitempty"`
	UUID      *call[string]   `json:"uuid,omitempty"`
	Name      *call[string]   `json:"name,omitempty"`
	Energy    *call[uint64]   `json:"total_energy_consumption_millijoules,omitempty"`
	Power     *call[uint32]   `json:"power_usage_milliwatts,omitempty"`
	Processes *call[[]uint32] `json:"compute_running_process_ids,omitempty"`
}

// outcome is the answer to a call that tells nothing but its return code.
type outcome struct {
	Return nvml.Return `json:"return"`
}

// call is the answer to a call that tells something: the library's return
// code and, with success only, a value.
type call[T any] struct {
	Return nvml.Return `json:"return"`
	Value  *T          `json:"value,omitempty"`
}

// told writes down what the library returned. The value of a call that did
// not succeed means nothing and is dropped.
func told[T any](value T, ret nvml.Return) *call[T] {
	if ret != nvml.SUCCESS {
		return &call[T]{Return: ret}
	}
	return &call[T]{Return: ret, Value: &value}
}

// value returns what the call told, or why it told nothing.
func (c *call[T]) value() (v T, unknown string) {
	switch {
	case c == nil:
		return v, "it was not asked"
	case c.Return == nvml.SUCCESS && c.Value != nil:
		return *c.Value, ""
	}
	return v, meaning(c.Return)
}

// pids returns the processes' numbers in order, once each: a process may be
// on several instances of a divided GPU.
func pids(processes []nvml.ProcessInfo) []uint32 {
	ids := make([]uint32, len(processes))
	for i, p := range processes {
		ids[i] = p.Pid
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

func (p poll) encode() ([]byte, error) {
	raw, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("write down the answers of %s: %w", p.Node, err)
	}
	return raw, nil
}

// unavailable is the least of the numbers by which NVIDIA's tools say that
// there is no number: dcgm's blanks begin there, and NVML's "not available"
// is all ones.
const unavailable = 0x7ffffffffffffff0

// Decode reads the evidence of a poll. Everything of the delivery but its
// source and the time of the observation is in it. It is an error if raw is
// not what a poll writes.
func Decode(raw []byte) (ingest.Delivery, error) {
	d := ingest.Delivery{Decoder: DecoderName, Raw: raw}
	var p poll
	in := json.NewDecoder(bytes.NewReader(raw))
	in.DisallowUnknownFields()
	if err := in.Decode(&p); err != nil {
		return d, fmt.Errorf("decode NVML answers: %w", err)
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return d, errors.New("decode NVML answers: more than one poll")
	}
	if p.At <= 0 || p.Every <= 0 || domain.Duration(p.At) < p.Every {
		return d, fmt.Errorf("decode NVML answers of %q: polled at %s, every %s", p.Node, p.At, p.Every)
	}
	known := map[string]domain.DeviceID{}
	for _, a := range p.GPUs {
		p.decode(&d, a, known)
	}
	return d, nil
}

// decode adds one GPU's answers to the delivery. Known holds the devices
// whose boards have been seen.
func (p poll) decode(d *ingest.Delivery, a answers, known map[string]domain.DeviceID) {
	say := func(reason string) string { return fmt.Sprintf("%s on %s: %s", a.Asked, p.Node, reason) }
	silent := func(channel domain.Channel, reason string) {
		d.Silent = append(d.Silent, ingest.Silence{Device: a.Device, Channel: channel, Reason: say(reason)})
	}
	reject := func(reason string) {
		d.Rejected = append(d.Rejected, ingest.Rejection{Device: a.Device, Reason: say(reason)})
	}
	uuid, unknown := p.uuid(a)
	if unknown != "" {
		silent(domain.ChannelGPUEnergy, unknown)
		silent(domain.ChannelGPUTime, unknown)
		return
	}
	switch other, twice := known[uuid]; {
	case uuid == "":
		reject("its UUID is empty")
		return
	case strings.HasPrefix(a.Asked, "GPU-") && a.Asked != uuid:
		reject(fmt.Sprintf("GPU %q answered in its place", uuid))
		return
	case twice:
		reject(fmt.Sprintf("GPU %q is device %s already; configure both by UUID", uuid, other))
		return
	}
	known[uuid] = a.Device

	switch energy, unknown := a.Energy.value(); {
	case unknown != "":
		silent(domain.ChannelGPUEnergy, "total energy: "+unknown)
	case energy >= unavailable:
		reject(fmt.Sprintf("total energy %d mJ is the mark of an unknown number", energy))
	default:
		d.Samples = append(d.Samples, ingest.Sample{
			Device: a.Device, Channel: domain.ChannelGPUEnergy, Provenance: domain.ProvenanceFirmwareMeasured,
			Scale:    ingest.Scale{Num: 1, Den: 3600}, // 3600 mJ are 1 mWh
			Register: domain.Uint(energy), Serial: uuid,
		})
	}
	processes, unknown := a.Processes.value()
	if unknown != "" {
		silent(domain.ChannelGPUTime, "compute processes: "+unknown)
		return
	}
	busy := domain.Int128{}
	if len(processes) > 0 {
		busy = domain.Int(int64(p.Every / domain.Millisecond))
	}
	d.Values = append(d.Values, ingest.Value{
		Device: a.Device, Channel: domain.ChannelGPUTime, Provenance: domain.ProvenanceFirmwareEstimated,
		Interval: domain.Interval{Start: p.At.Add(-p.Every), End: p.At}, Value: busy,
	})
}

// uuid returns which board answered, or why nothing is known of it.
func (p poll) uuid(a answers) (uuid, unknown string) {
	switch {
	case p.System.Late:
		return "", "NVML did not answer in time"
	case p.System.Init != nil && p.System.Init.Return != nvml.SUCCESS:
		return "", "NVML cannot be opened: " + meaning(p.System.Init.Return)
	case a.Late:
		return "", "it did not answer in time"
	case a.Handle == nil:
		return "", "it was not asked"
	case a.Handle.Return != nvml.SUCCESS:
		return "", meaning(a.Handle.Return)
	}
	if uuid, unknown = a.UUID.value(); unknown != "" {
		unknown = "UUID, without which the register is anybody's: " + unknown
	}
	return uuid, unknown
}

// meaning says what a return code of NVML means. The library has words of its
// own, but they change with the driver, and evidence must read the same on a
// machine that has none. Codes: nvmlReturn_t in nvml.h.
func meaning(ret nvml.Return) string {
	switch ret {
	case nvml.SUCCESS:
		return "success without a value"
	case nvml.ERROR_UNINITIALIZED:
		return "the library is not open"
	case nvml.ERROR_INVALID_ARGUMENT, nvml.ERROR_NOT_FOUND, nvml.ERROR_GPU_NOT_FOUND:
		return "there is no such GPU"
	case nvml.ERROR_NOT_SUPPORTED:
		return "not supported by this GPU"
	case nvml.ERROR_NO_PERMISSION:
		return "no permission"
	case nvml.ERROR_INSUFFICIENT_POWER:
		return "the GPU's power cables are not attached"
	case nvml.ERROR_DRIVER_NOT_LOADED:
		return "the NVIDIA driver is not loaded"
	case nvml.ERROR_TIMEOUT:
		return "the driver timed out"
	case nvml.ERROR_LIBRARY_NOT_FOUND:
		return "the library cannot be found"
	case nvml.ERROR_FUNCTION_NOT_FOUND:
		return "the library is too old and lacks the call"
	case nvml.ERROR_GPU_IS_LOST:
		return "the GPU is lost: it fell off the bus"
	case nvml.ERROR_RESET_REQUIRED:
		return "the GPU needs a reset"
	case nvml.ERROR_LIB_RM_VERSION_MISMATCH:
		return "driver and library are of different versions; restart the host or reload the driver"
	}
	return fmt.Sprintf("NVML error %d", int32(ret))
}
