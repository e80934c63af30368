package gpu_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wattbook/domain"
	"wattbook/ingest/gpu"
)

func TestDecodeRefuses(t *testing.T) {
	for _, row := range []struct{ name, raw, want string }{
		{"what is no JSON", `{`, "decode NVML answers: unexpected EOF"},
		{"a field of another version", `{"nodes":1}`, `decode NVML answers: json: unknown field "nodes"`},
		{"a poll without a time", `{"node":"a"}`, `decode NVML answers of "a": polled at 1970-01-01T00:00:00Z, every 0s`},
		{"an interval that begins before time", `{"node":"a","at":"1970-01-01T00:01:00Z","every":"5m"}`, `decode NVML answers of "a": polled at 1970-01-01T00:01:00Z, every 5m0s`},
		{"two polls", `{"node":"a","at":"2026-10-14T12:00:00Z","every":"5m"}{}`, "decode NVML answers: more than one poll"},
		{"a fraction of a millijoule", `{"gpus":[{"total_energy_consumption_millijoules":{"return":0,"value":1.5}}]}`, "decode NVML answers: json: cannot unmarshal number 1.5"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := gpu.Decode([]byte(row.raw))
			if err == nil || !strings.HasPrefix(err.Error(), row.want) { // the rest is the JSON package's
				t.Errorf("got  %v\nwant %s…", err, row.want)
			}
		})
	}
}

func TestDecodeTakesAnAbsentAnswerForUnknown(t *testing.T) {
	const head = `{"node":"n","at":"2026-10-14T12:00:00Z","every":"5m","system":{},"gpus":[{"device":"d","asked":"index 0"`
	for _, row := range []struct{ name, gpu, want string }{
		{"no handle", ``, "index 0 on n: it was not asked"},
		{"no UUID", `,"handle":{"return":0}`, "index 0 on n: UUID, without which the register is anybody's: it was not asked"},
		{"a UUID of null", `,"handle":{"return":0},"uuid":{"return":0,"value":null}`, "index 0 on n: UUID, without which the register is anybody's: success without a value"},
		{"a code that nobody knows", `,"handle":{"return":777}`, "index 0 on n: NVML error 777"},
		{"success without processes", `,"handle":{"return":0},"uuid":{"return":0,"value":"GPU-1"},"compute_running_process_ids":{"return":0}`, "index 0 on n: compute processes: success without a value"},
	} {
		t.Run(row.name, func(t *testing.T) {
			d, err := gpu.Decode([]byte(head + row.gpu + `}]}`))
			if err != nil {
				t.Fatal(err)
			}
			if len(d.Samples)+len(d.Values) != 0 || len(d.Silent) != 2 {
				t.Fatalf("got %v %v %v, want two silent quantities", d.Samples, d.Values, d.Silent)
			}
			if got := d.Silent[1].Reason; got != row.want {
				t.Errorf("got  %s\nwant %s", got, row.want)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	golden, err := os.ReadFile("testdata/poll.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	f.Add([]byte(`{"node":"n","at":"2026-10-14T12:00:00Z","every":"5m0s","system":{"late":true},"gpus":[{"device":"d","asked":"index 0"}]}`))
	limit := domain.Uint(0x7ffffffffffffff0)
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := gpu.Decode(raw)
		if err != nil {
			if len(d.Samples)+len(d.Values)+len(d.Silent) > 0 {
				t.Fatalf("delivered something with the error %v", err)
			}
			return
		}
		for _, s := range d.Samples {
			if s.Register.Sign() < 0 || s.Register.Cmp(limit) >= 0 || s.Serial == "" {
				t.Errorf("delivered %+v", s)
			}
		}
		for _, v := range d.Values {
			length := domain.Int(int64(v.Interval.Length() / domain.Millisecond))
			if v.Value != length && v.Value.Sign() != 0 || !v.Interval.Valid() {
				t.Errorf("delivered %+v", v)
			}
		}
		again, err := gpu.Decode(raw)
		if diff := cmp.Diff(d, again); err != nil || diff != "" {
			t.Errorf("decodes otherwise the second time: %v\n%s", err, diff)
		}
	})
}
