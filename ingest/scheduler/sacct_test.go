package scheduler_test

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"wattbook/domain"
	"wattbook/ingest"
	"wattbook/ingest/scheduler"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func terms() scheduler.Terms {
	return scheduler.Terms{
		Site:      "west",
		Customers: map[string]domain.CustomerID{"helios": "helios-ai", "orbital": "orbital-labs"},
		Unbilled:  []string{"burn-in"},
	}
}

func at(t testing.TB, s string) domain.Instant {
	t.Helper()
	i, err := domain.ParseInstant("2026-10-14T" + s + "Z")
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func started(t testing.TB, key string, customer domain.CustomerID, gpus int64, when string) domain.Event {
	return domain.GPUAllocationStarted{
		Site: "west", Allocation: key, Customer: customer, Host: key[strings.LastIndexByte(key, '/')+1:], GPUs: gpus, At: at(t, when),
	}
}

func ended(t testing.TB, key, when, state string) domain.Event {
	return domain.GPUAllocationEnded{Site: "west", Allocation: key, At: at(t, when), State: state}
}

func TestDecodeReadsWhatSacctPrints(t *testing.T) {
	want := scheduler.Decoded{
		Facts: ingest.Facts{
			started(t, "4103947/2026-10-14T12:35:00Z/n07", "helios-ai", 8, "12:36:10"),
			ended(t, "4103947/2026-10-14T12:35:00Z/n07", "15:06:10", "COMPLETED"),
			started(t, "4103950/2026-10-14T13:00:00Z/n08", "orbital-labs", 4, "13:00:05"),
			started(t, "4103951/2026-10-14T13:01:00Z/n08", "orbital-labs", 1, "13:01:30"),
			started(t, "4103962/2026-10-14T13:15:00Z/n09", "helios-ai", 2, "13:16:00"),
			ended(t, "4103962/2026-10-14T13:15:00Z/n09", "13:46:00", "REQUEUED"),
			started(t, "4103962/2026-10-14T13:46:00Z/n10", "helios-ai", 2, "13:50:00"),
			ended(t, "4103962/2026-10-14T13:46:00Z/n10", "14:50:00", "CANCELLED"),
			started(t, "4103970/2026-10-14T14:00:00Z/n01", "helios-ai", 8, "14:00:20"),
			ended(t, "4103970/2026-10-14T14:00:00Z/n01", "14:05:20", "NODE_FAIL"),
			started(t, "4103970/2026-10-14T14:00:00Z/n02", "helios-ai", 8, "14:00:20"),
			ended(t, "4103970/2026-10-14T14:00:00Z/n02", "14:05:20", "NODE_FAIL"),
			started(t, "4103970/2026-10-14T14:00:00Z/n03", "helios-ai", 8, "14:00:20"),
			ended(t, "4103970/2026-10-14T14:00:00Z/n03", "14:05:20", "NODE_FAIL"),
			started(t, "4103970/2026-10-14T14:00:00Z/n05", "helios-ai", 8, "14:00:20"),
			ended(t, "4103970/2026-10-14T14:00:00Z/n05", "14:05:20", "NODE_FAIL"),
			started(t, "4103980/2026-10-14T14:10:00Z/n14", "orbital-labs", 8, "14:10:30"),
			ended(t, "4103980/2026-10-14T14:10:00Z/n14", "14:40:00", "RESIZING"),
			started(t, "4103980/2026-10-14T14:10:00Z/n15", "orbital-labs", 8, "14:10:30"),
			ended(t, "4103980/2026-10-14T14:10:00Z/n15", "14:40:00", "RESIZING"),
			started(t, "4103980/2026-10-14T14:40:00Z/n14", "orbital-labs", 8, "14:40:00"),
		},
		Rejected: []ingest.Rejection{
			{Reason: `sacct text: line 13, job "4103971": 5 GPUs on 2 nodes: how many on each is not in the accounting; have such jobs submitted with --gpus-per-node`},
			{Reason: `sacct text: line 15, job "4103973" and 1 more: account "nomad" is no customer's; name its customer in the configuration, or list it as unbilled`},
			{Reason: `sacct text: line 18, job "4103976": AllocTRES "cpu=1,gres/gpu:h100_1g.10gb=7,gres/gpu=7,node=1": gres/gpu:h100_1g.10gb=7 is parts of a GPU, and only whole ones are billed`},
			{Reason: `sacct text: line 19, job "4103977": AllocTRES "cpu=1,gres/shard=2,node=1": gres/shard=2 is parts of a GPU, and only whole ones are billed`},
		},
		Counts:  scheduler.Counts{Rows: 20, Booked: 8, Refused: 5, Steps: 3, Pending: 1, NeverRan: 1, WithoutGPUs: 1, Unbilled: 1},
		Unknown: []string{"nomad"},
	}
	t.Run("with times in Unix seconds", func(t *testing.T) {
		if diff := cmp.Diff(want, terms().Decode(read(t, "sacct-unix.txt"))); diff != "" {
			t.Errorf("decoded (-want +got):\n%s", diff)
		}
	})
	t.Run("with times of the cluster's zone, to the same facts under the same keys", func(t *testing.T) {
		in := terms()
		in.Zone = zone(t, "America/Chicago")
		if diff := cmp.Diff(want, in.Decode(read(t, "sacct-local.txt"))); diff != "" {
			t.Errorf("decoded (-want +got):\n%s", diff)
		}
	})
	t.Run("with local times and no zone, to nothing but a refusal that says what to do", func(t *testing.T) {
		got := terms().Decode(read(t, "sacct-local.txt"))
		if len(got.Facts) != 0 || len(got.Rejected) == 0 {
			t.Fatalf("got %d facts and %d rejections", len(got.Facts), len(got.Rejected))
		}
		if first, want := got.Rejected[0].Reason, `sacct text: line 2, job "4103947": column Submit: 2026-10-14T07:35:00 is a local time and no zone is configured; run sacct with SLURM_TIME_FORMAT=%s`; first != want {
			t.Errorf("got  %s\nwant %s", first, want)
		}
	})
}

// job is a row with what the tests change of it.
type job struct{ id, submit, account, nodes, tres, start, end, state string }

var usual = job{"7", "1791979200", "helios", "n1", "cpu=1,gres/gpu=2,node=1", "1791979260", "1791979320", "COMPLETED"}

func (j job) String() string {
	return strings.Join([]string{j.id, j.submit, "ada", j.account, j.nodes, j.tres, j.start, j.end, j.state}, "|")
}

func text(lines ...string) []byte {
	return []byte(strings.Join(scheduler.Columns(), "|") + "\n" + strings.Join(lines, "\n") + "\n")
}

func TestDecodeRow(t *testing.T) {
	long := strings.Repeat("9", 30)
	for _, row := range []struct {
		name   string
		change func(*job)
		facts  int
		counts scheduler.Counts
		reason string // after "sacct text: line 2, job "7": "
	}{
		{name: "a job that is over starts and ends", facts: 2, counts: scheduler.Counts{Booked: 1}},
		{name: "a running job starts", change: func(j *job) { j.state, j.end = "RUNNING", "Unknown" }, facts: 1, counts: scheduler.Counts{Booked: 1}},
		{name: "a job of no length is booked as such", change: func(j *job) { j.end = j.start }, facts: 2, counts: scheduler.Counts{Booked: 1}},
		{name: "a job that was cancelled with its start unknown never ran", change: func(j *job) { j.state, j.start, j.nodes, j.tres = "CANCELLED by 0", "None", "None assigned", "" }, counts: scheduler.Counts{NeverRan: 1}},
		{name: "a job without nodes that ended as it started never ran", change: func(j *job) { j.state, j.end, j.nodes = "CANCELLED", j.start, "None assigned" }, counts: scheduler.Counts{NeverRan: 1}},
		{name: "a job without GPUs is counted, whatever its times are", change: func(j *job) { j.tres, j.start = "cpu=1,node=1", "?" }, counts: scheduler.Counts{WithoutGPUs: 1}},
		{name: "an unbilled account is counted, whatever it held", change: func(j *job) { j.account, j.tres = "burn-in", "gres/shard=1" }, counts: scheduler.Counts{Unbilled: 1}},

		{name: "an end that is running shows a truncated window", change: func(j *job) { j.state = "RUNNING" }, reason: "state is RUNNING and End is 2026-10-14T12:02:00Z: run sacct without --truncate, which moves starts and ends to its window"},
		{name: "a running job has a start", change: func(j *job) { j.state, j.start, j.end = "RUNNING", "Unknown", "Unknown" }, reason: `state is RUNNING and Start is "Unknown"`},
		{name: "a job that is over has an end", change: func(j *job) { j.end = "Unknown" }, reason: `state is COMPLETED and End is "Unknown"`},
		{name: "a job that held GPUs has a start", change: func(j *job) { j.start = "None" }, reason: `the job held GPUs and its Start is "None"`},
		{name: "a job does not end before it starts", change: func(j *job) { j.end = "1791979259" }, reason: "the job ends at 2026-10-14T12:00:59Z, before its start at 2026-10-14T12:01:00Z"},
		{name: "a job was submitted", change: func(j *job) { j.submit = "Unknown" }, reason: `column Submit: "Unknown" does not tell the runs of the job apart`},
		{name: "what a job held is known", change: func(j *job) { j.tres = "" }, reason: "the job ran and AllocTRES is empty, so what it held is unknown"},
		{name: "a state is a documented one", change: func(j *job) { j.state = "SLEEPING" }, reason: `state "SLEEPING" is not one that sacct documents`},
		{name: "a job's number is a number", change: func(j *job) { j.id = "7_[1-3]" }, reason: `JobIDRaw "7_[1-3]" is not a number`},
		{name: "an account is a customer's", change: func(j *job) { j.account = "" }, reason: `account "" is no customer's; name its customer in the configuration, or list it as unbilled`},
		{name: "a time is a time", change: func(j *job) { j.start = "noon" }, reason: `column Start: "noon" is not a time; run sacct with SLURM_TIME_FORMAT=%s`},
		{name: "a time is after 1970", change: func(j *job) { j.end = "0" }, reason: "column End: 0 is outside the years 1970 to 9999"},
		{name: "a time is not one of Slurm's infinities", change: func(j *job) { j.end = "253402300800" }, reason: "column End: 253402300800 is outside the years 1970 to 9999"},
		{name: "a time fits", change: func(j *job) { j.end = long }, reason: `column End: "` + long + `" is not a time; run sacct with SLURM_TIME_FORMAT=%s`},
		{name: "a local time has no fraction", change: func(j *job) { j.end = "2026-10-14T12:35:00.5" }, reason: `column End: "2026-10-14T12:35:00.5" is not a time; run sacct with SLURM_TIME_FORMAT=%s`},
		{name: "GPUs are on nodes", change: func(j *job) { j.nodes = "None assigned" }, reason: `NodeList "None assigned": the job held GPUs on no node`},
		{name: "GPUs divide among the nodes", change: func(j *job) { j.nodes = "n[1-3]" }, reason: "2 GPUs on 3 nodes: how many on each is not in the accounting; have such jobs submitted with --gpus-per-node"},
		{name: "GPUs are not Slurm's number for no value", change: func(j *job) { j.tres = "gres/gpu=4294967294" }, reason: "4294967294 GPUs on 1 nodes are more than nodes have"},
	} {
		t.Run(row.name, func(t *testing.T) {
			j := usual
			if row.change != nil {
				row.change(&j)
			}
			got := terms().Decode(text(j.String()))
			if len(got.Facts) != row.facts {
				t.Errorf("got %d facts, want %d: %+v", len(got.Facts), row.facts, got.Facts)
			}
			counts := row.counts
			counts.Rows = 1
			var want []ingest.Rejection
			if row.reason != "" {
				counts.Refused = 1
				want = []ingest.Rejection{{Reason: fmt.Sprintf("sacct text: line 2, job %q: %s", j.id, row.reason)}}
			}
			if diff := cmp.Diff(want, got.Rejected); diff != "" {
				t.Errorf("rejected (-want +got):\n%s", diff)
			}
			if got.Counts != counts {
				t.Errorf("counts: got %+v, want %+v", got.Counts, counts)
			}
		})
	}
}

func TestClockChanges(t *testing.T) {
	for _, row := range []struct {
		name, zone, wall string
		want             string // an instant or the refusal
	}{
		{"summer time", "America/Chicago", "2026-10-31T12:00:00", "2026-10-31T17:00:00Z"},
		{"the last second before clocks are put back", "America/Chicago", "2026-11-01T00:59:59", "2026-11-01T05:59:59Z"},
		{"the first second that comes twice", "America/Chicago", "2026-11-01T01:00:00", "2026-11-01T01:00:00 occurs twice in America/Chicago, where clocks were put back; run sacct with SLURM_TIME_FORMAT=%s"},
		{"the last second that comes twice", "America/Chicago", "2026-11-01T01:59:59", "2026-11-01T01:59:59 occurs twice in America/Chicago, where clocks were put back; run sacct with SLURM_TIME_FORMAT=%s"},
		{"the first second after", "America/Chicago", "2026-11-01T02:00:00", "2026-11-01T08:00:00Z"},
		{"the last second before clocks are put forward", "America/Chicago", "2026-03-08T01:59:59", "2026-03-08T07:59:59Z"},
		{"the first second that is left out", "America/Chicago", "2026-03-08T02:00:00", "2026-03-08T02:00:00 does not exist in America/Chicago, where clocks were put forward; run sacct with SLURM_TIME_FORMAT=%s"},
		{"the last second that is left out", "America/Chicago", "2026-03-08T02:59:59", "2026-03-08T02:59:59 does not exist in America/Chicago, where clocks were put forward; run sacct with SLURM_TIME_FORMAT=%s"},
		{"the first second after that", "America/Chicago", "2026-03-08T03:00:00", "2026-03-08T08:00:00Z"},
		{"east of Greenwich", "Europe/Berlin", "2026-10-25T02:30:00", "2026-10-25T02:30:00 occurs twice in Europe/Berlin, where clocks were put back; run sacct with SLURM_TIME_FORMAT=%s"},
		{"a change of half an hour", "Australia/Lord_Howe", "2026-10-04T02:15:00", "2026-10-04T02:15:00 does not exist in Australia/Lord_Howe, where clocks were put forward; run sacct with SLURM_TIME_FORMAT=%s"},
		{"a zone without changes", "Asia/Tokyo", "2026-10-25T02:30:00", "2026-10-24T17:30:00Z"},
		{"UTC", "UTC", "2026-10-25T02:30:00", "2026-10-25T02:30:00Z"},
	} {
		t.Run(row.name, func(t *testing.T) {
			in := terms()
			in.Zone = zone(t, row.zone)
			j := usual
			j.submit, j.start, j.end, j.state = "1700000000", row.wall, "Unknown", "RUNNING"
			got := in.Decode(text(j.String()))
			if len(got.Facts) == 1 {
				if at := got.Facts[0].(domain.GPUAllocationStarted).At.String(); at != row.want {
					t.Errorf("got %s, want %s", at, row.want)
				}
				return
			}
			if want := `sacct text: line 2, job "7": column Start: ` + row.want; len(got.Rejected) != 1 || got.Rejected[0].Reason != want {
				t.Errorf("got  %v\nwant %s", got.Rejected, want)
			}
		})
	}
}

func TestEveryInstantIsReadBackOrRefusedAsAmbiguous(t *testing.T) {
	zones := []*time.Location{zone(t, "America/Chicago"), zone(t, "Europe/Berlin"), zone(t, "Australia/Lord_Howe"), zone(t, "Asia/Kathmandu"), time.UTC}
	rapid.Check(t, func(rt *rapid.T) {
		z := rapid.SampledFrom(zones).Draw(rt, "zone")
		moment := time.Unix(rapid.Int64Range(100_000_000, 4_000_000_000).Draw(rt, "seconds"), 0)
		in := terms()
		in.Zone = z
		j := usual
		j.submit, j.start, j.end, j.state = "1700000000", moment.In(z).Format("2006-01-02T15:04:05"), "Unknown", "RUNNING"
		got := in.Decode(text(j.String()))
		if len(got.Facts) == 1 {
			if at := got.Facts[0].(domain.GPUAllocationStarted).At; at != domain.At(moment) {
				rt.Fatalf("%s in %s is read as %s, is %s", j.start, z, at, domain.At(moment))
			}
			return
		}
		if len(got.Rejected) != 1 || !strings.Contains(got.Rejected[0].Reason, "occurs twice") {
			rt.Fatalf("%s in %s: %v", j.start, z, got.Rejected)
		}
		// It is ambiguous indeed: an hour or half an hour off, clocks show the same.
		for _, d := range []time.Duration{time.Hour, -time.Hour, 30 * time.Minute, -30 * time.Minute} {
			if moment.Add(d).In(z).Format("2006-01-02T15:04:05") == j.start {
				return
			}
		}
		rt.Fatalf("%s in %s is refused and comes once", j.start, z)
	})
}

func TestDecodeText(t *testing.T) {
	columns := strings.Join(scheduler.Columns(), "|")
	without := func(name string) string {
		return strings.Join(slices.DeleteFunc(scheduler.Columns(), func(c string) bool { return c == name }), "|") + "\n"
	}
	second := usual
	second.id = "8"
	for _, row := range []struct {
		name    string
		text    string
		facts   int
		reasons []string
	}{
		{"nothing", "", 0, []string{"sacct text: line 1: there is no header; run sacct with --parsable2 and without --noheader"}},
		{"an empty line", "\n", 0, []string{"sacct text: line 1: there is no header; run sacct with --parsable2 and without --noheader"}},
		{"a header alone", columns + "\n", 0, nil},
		{"a header that was cut off in its line end", columns, 0, nil},
		{"no column for the account", without("Account"), 0, []string{"sacct text: line 1: column Account is missing; run sacct with --parsable2 --format=JobIDRaw,Submit,User,Account,NodeList,AllocTRES,Start,End,State"}},
		{"no column for the user", without("User"), 0, []string{"sacct text: line 1: column User is missing; run sacct with --parsable2 --format=JobIDRaw,Submit,User,Account,NodeList,AllocTRES,Start,End,State"}},
		{"a column twice", columns + "|End\n", 0, []string{"sacct text: line 1: column End is there twice"}},
		{"a row without a header", usual.String() + "\n", 0, []string{"sacct text: line 1: column JobIDRaw is missing; run sacct with --parsable2 --format=JobIDRaw,Submit,User,Account,NodeList,AllocTRES,Start,End,State"}},
		{"line ends of another system", columns + "\r\n" + usual.String() + "\r\n", 2, nil},
		{"the bars at line ends of --parsable", columns + "|\n" + usual.String() + "|\n", 2, nil},
		{"an empty line between rows", columns + "\n" + usual.String() + "\n\n" + second.String() + "\n", 4, nil},
		{"a bar in a field", columns + "\n" + strings.Replace(usual.String(), "ada", "a|da", 1) + "\n" + second.String() + "\n", 2, []string{"sacct text: line 2: 10 fields under 9 columns"}},
		{"a text that was cut off in a row", columns + "\n" + usual.String() + "\n" + second.String(), 2, []string{"sacct text: line 3: the text ends in the middle of the line: it was cut off"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := terms().Decode([]byte(row.text))
			if len(got.Facts) != row.facts {
				t.Errorf("got %d facts, want %d", len(got.Facts), row.facts)
			}
			var reasons []string
			for _, r := range got.Rejected {
				reasons = append(reasons, r.Reason)
			}
			if diff := cmp.Diff(row.reasons, reasons); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRefusalsAreBounded(t *testing.T) {
	var lines []string
	for i := range 1000 {
		j := usual
		j.account = fmt.Sprintf("account-%d", i)
		lines = append(lines, j.String())
	}
	got := terms().Decode(text(lines...))
	if got.Counts.Refused != 1000 || len(got.Rejected) != 51 {
		t.Fatalf("got %d rejections of %d rows, want 51 of 1000", len(got.Rejected), got.Counts.Refused)
	}
	if last, want := got.Rejected[50].Reason, "sacct text: 950 more rows are refused for other reasons"; last != want {
		t.Errorf("got %q, want %q", last, want)
	}
}

func TestCountGPUs(t *testing.T) {
	for _, row := range []struct {
		tres string
		want int64
		err  string
	}{
		{tres: "billing=80,cpu=8,energy=1439089,gres/gpu=8,mem=320G,node=1", want: 8},
		{tres: "gres/gpu:h100=4", want: 4},
		{tres: "gres/gpu:h100=4,gres/gpu:a100=2", want: 6},
		{tres: "gres/gpu=4,gres/gpu:h100=4", want: 4},
		{tres: "gres/gpu:h100=1,gres/gpu=4", want: 4}, // not every type is tracked
		{tres: "gres/gpu=0", want: 0},
		{tres: "gres/gpu=0,gres/gpu:h100_1g.10gb=0", want: 0},
		{tres: "gres/gpumem=80G,gres/gpuutil=98,gres/gpus=3,license/gpu=1,cpu=1", want: 0},
		{tres: "gres/shardmem=1,gres/mpsx=1", want: 0},
		{tres: "cpu", want: 0},
		{tres: "gres/gpu:nvidia_h100_80gb_hbm3=2", want: 2},
		{tres: "gres/gpu:h100=5,gres/gpu=4", err: `AllocTRES "gres/gpu:h100=5,gres/gpu=4" has more GPUs by type than in all`},
		{tres: "gres/gpu=4,gres/gpu=4", err: `AllocTRES "gres/gpu=4,gres/gpu=4" has gres/gpu twice`},
		{tres: "gres/gpu=", err: `AllocTRES "gres/gpu=": gres/gpu= is not a number of GPUs`},
		{tres: "gres/gpu=1.5", err: `AllocTRES "gres/gpu=1.5": gres/gpu=1.5 is not a number of GPUs`},
		{tres: "gres/gpu=-1", err: `AllocTRES "gres/gpu=-1": gres/gpu=-1 is not a number of GPUs`},
		{tres: "gres/gpu=18446744073709551614", err: `AllocTRES "gres/gpu=18446744073709551614": gres/gpu=18446744073709551614 is not a number of GPUs`},
		{tres: "gres/gpu=1K", err: `AllocTRES "gres/gpu=1K": gres/gpu=1K is not a number of GPUs`},
		{tres: "gres/gpu:1g.10gb=2", err: `AllocTRES "gres/gpu:1g.10gb=2": gres/gpu:1g.10gb=2 is parts of a GPU, and only whole ones are billed`},
		{tres: "gres/gpu:a100_3g.20gb=1,gres/gpu=1", err: `AllocTRES "gres/gpu:a100_3g.20gb=1,gres/gpu=1": gres/gpu:a100_3g.20gb=1 is parts of a GPU, and only whole ones are billed`},
		{tres: "gres/mps:h100=50", err: `AllocTRES "gres/mps:h100=50": gres/mps:h100=50 is parts of a GPU, and only whole ones are billed`},
	} {
		t.Run(row.tres, func(t *testing.T) {
			got, err := scheduler.CountGPUs(row.tres)
			if message := fmt.Sprint(err); row.err == "" && err != nil || row.err != "" && message != row.err {
				t.Errorf("got error %v, want %s", err, row.err)
			}
			if err == nil && got != row.want {
				t.Errorf("got %d, want %d", got, row.want)
			}
		})
	}
}

func TestExpandHosts(t *testing.T) {
	for _, row := range []struct{ list, want string }{
		{"n1", "n1"},
		{"n[1-3,5]", "n1 n2 n3 n5"},
		{"n[01-03,5]", "n01 n02 n03 n5"},
		{"n[098-101]", "n098 n099 n100 n101"},
		{"n[8-11]", "n8 n9 n10 n11"},
		{"a1,b[2-3],c", "a1 b2 b3 c"},
		{"rack[0-1]n[01-02]", "rack0n01 rack0n02 rack1n01 rack1n02"},
		{"gpu-[1,3].west.example", "gpu-1.west.example gpu-3.west.example"},
		{"[1-2]", "1 2"},
		{"", `error: NodeList "": the job held GPUs on no node`},
		{"n[1-2", `error: NodeList "n[1-2": brackets do not pair, or a name is empty`},
		{"n1]", `error: NodeList "n1]": brackets do not pair, or a name is empty`},
		{"n[[1]]", `error: NodeList "n[[1]]": brackets do not pair, or a name is empty`},
		{"n1,", `error: NodeList "n1,": brackets do not pair, or a name is empty`},
		{",n1", `error: NodeList ",n1": brackets do not pair, or a name is empty`},
		{"n1,,n2", `error: NodeList "n1,,n2": brackets do not pair, or a name is empty`},
		{"n[]", `error: NodeList "n[]": "" is not a number`},
		{"n[1-]", `error: NodeList "n[1-]": "" is not a number`},
		{"n[1-2-3]", `error: NodeList "n[1-2-3]": "2-3" is not a number`},
		{"n[a-c]", `error: NodeList "n[a-c]": "a" is not a number`},
		{"n[3-1]", `error: NodeList "n[3-1]": range 3-1 runs backwards`},
		{"n[1-3],n2", `error: NodeList "n[1-3],n2": n2 is there twice`},
		{"n 1", `error: NodeList "n 1": character ' ' cannot be in a name`},
		{"n[0000000001]", `error: NodeList "n[0000000001]": "0000000001" is not a number`},
		{"n[0-65536]", `error: NodeList "n[0-65536]": more than 65536 names`},
		{"n[0-999]m[0-999]", `error: NodeList "n[0-999]m[0-999]": more than 65536 names`},
		{"n[0-999999999]", `error: NodeList "n[0-999999999]": more than 65536 names`},
		{"n[0-65535],m", `error: NodeList "n[0-65535],m": more than 65536 names`},
	} {
		t.Run(row.list, func(t *testing.T) {
			names, err := scheduler.ExpandHosts(row.list)
			got := strings.Join(names, " ")
			if err != nil {
				got = "error: " + err.Error()
			}
			if got != row.want {
				t.Errorf("got  %s\nwant %s", got, row.want)
			}
		})
	}
	if names, err := scheduler.ExpandHosts("n[0-65535]"); err != nil || len(names) != 65536 {
		t.Errorf("all of 65536: got %d names, %v", len(names), err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(read(f, "sacct-unix.txt"))
	f.Add(read(f, "sacct-local.txt"))
	f.Add(text(usual.String()))
	in := terms()
	in.Zone = zone(f, "America/Chicago")
	f.Fuzz(func(t *testing.T, raw []byte) {
		before := bytes.Clone(raw)
		got := in.Decode(raw)
		if c := got.Counts; c.Rows != c.Booked+c.Refused+c.Steps+c.Pending+c.NeverRan+c.WithoutGPUs+c.Unbilled {
			t.Errorf("rows were lost: %+v", c)
		}
		if got.Counts.Refused > 0 && len(got.Rejected) == 0 {
			t.Errorf("%d rows are refused without a reason", got.Counts.Refused)
		}
		start := map[string]domain.Instant{}
		for _, fact := range got.Facts {
			switch fact := fact.(type) {
			case domain.GPUAllocationStarted:
				if fact.GPUs < 1 || fact.At <= 0 || fact.Host == "" || fact.Customer == "" {
					t.Errorf("started: %+v", fact)
				}
				start[fact.Allocation] = fact.At
			case domain.GPUAllocationEnded:
				if from, ok := start[fact.Allocation]; !ok || fact.At < from {
					t.Errorf("ended without or before its start at %s: %+v", from, fact)
				}
			default:
				t.Errorf("a fact of another kind: %T", fact)
			}
		}
		if diff := cmp.Diff(got, in.Decode(raw)); diff != "" || !bytes.Equal(raw, before) {
			t.Errorf("decodes otherwise the second time:\n%s", diff)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	lines := make([]string, 10_000)
	for i := range lines {
		j := usual
		j.id = fmt.Sprint(i)
		lines[i] = j.String()
	}
	raw := text(lines...)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if got := terms().Decode(raw); got.Counts.Booked != len(lines) {
			b.Fatalf("%+v", got.Counts)
		}
	}
}
