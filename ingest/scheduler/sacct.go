package scheduler

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"wattbook/domain"
	"wattbook/ingest"
)

// DecoderName names what [Terms.Decode] reads, with its version.
const DecoderName = "sacct/1"

// Terms say how jobs become allocations of customers.
type Terms struct {
	Site domain.SiteID
	// Customers are the customers by Slurm account. A job of an account that
	// is neither here nor in Unbilled is refused by name.
	Customers map[string]domain.CustomerID
	// Unbilled are the accounts that are known to be nobody's bill: the site's
	// own tests, say.
	Unbilled []string
	// Zone is the zone of the cluster, for times that are not Unix seconds;
	// nil refuses those.
	Zone *time.Location
	// Now is the latest time at which a job may have begun or ended; 0 is no
	// bound.
	Now domain.Instant
}

// Decoded is what a text of sacct holds.
type Decoded struct {
	Facts    ingest.Facts
	Rejected []ingest.Rejection
	Counts   Counts
	Unknown  []string // accounts that are no customer's and not unbilled, by name
}

// Counts says what became of the rows of a text; Rows is the sum of the others.
type Counts struct {
	Rows        int
	Booked      int // became facts
	Refused     int // could not be understood, or not be billed
	Steps       int // steps of a job, whose GPUs the job's own row holds
	Pending     int // wait for their start
	NeverRan    int // were cancelled before it
	WithoutGPUs int
	Unbilled    int // of an account that is nobody's bill
}

// fate is what becomes of a row.
type fate uint8

const (
	booked fate = iota
	refused
	step
	pending
	neverRan
	withoutGPUs
	unbilled
)

func (c *Counts) add(f fate) {
	c.Rows++
	switch f {
	case booked:
		c.Booked++
	case refused:
		c.Refused++
	case step:
		c.Steps++
	case pending:
		c.Pending++
	case neverRan:
		c.NeverRan++
	case withoutGPUs:
		c.WithoutGPUs++
	case unbilled:
		c.Unbilled++
	}
}

// Columns returns the columns that a text must have, in any order and among
// any others. The user is part of no fact: the column is there so that
// evidence says, in a dispute, whose job it was.
func Columns() []string {
	return []string{"JobIDRaw", "Submit", "User", "Account", "NodeList", "AllocTRES", "Start", "End", "State"}
}

// row is a line of the text.
type row struct {
	job, submit, account, nodes, tres, start, end, state string
}

// Decode reads what sacct --parsable2 --duplicates prints, with its header
// line. What cannot be read or billed is refused with the number of its line,
// and costs no other row.
func (t Terms) Decode(raw []byte) Decoded {
	var d Decoded
	var r refusals
	lines := bytes.Split(raw, []byte{'\n'})
	if last := len(lines) - 1; len(lines[last]) == 0 {
		lines = lines[:last]
	} else if last > 0 {
		d.Counts.add(refused)
		r.add(last+1, "", errors.New("the text ends in the middle of the line: it was cut off"))
		lines = lines[:last]
	}
	header, err := readHeader(lines)
	if err != nil {
		d.Rejected = []ingest.Rejection{{Reason: err.Error()}}
		return d
	}
	for i, line := range lines[1:] {
		line = bytes.TrimSuffix(line, []byte{'\r'})
		if len(line) == 0 {
			continue
		}
		row, err := header.row(line)
		var facts []domain.Event
		f := refused
		if err == nil {
			facts, f, err = t.allocations(row)
		}
		d.Counts.add(f)
		if errors.Is(err, errUnknownAccount) && !slices.Contains(d.Unknown, row.account) {
			d.Unknown = append(d.Unknown, row.account)
		}
		if err != nil {
			r.add(i+2, row.job, err)
			continue
		}
		d.Facts = append(d.Facts, facts...)
	}
	d.Rejected = r.rejections()
	slices.Sort(d.Unknown)
	return d
}

// header says where the columns are.
type header struct {
	width int
	at    map[string]int
}

func readHeader(lines [][]byte) (header, error) {
	if len(lines) == 0 || len(lines[0]) == 0 {
		return header{}, errors.New("sacct text: line 1: there is no header; run sacct with --parsable2 and without --noheader")
	}
	names := strings.Split(strings.TrimSuffix(string(lines[0]), "\r"), "|")
	h := header{width: len(names), at: map[string]int{}}
	for i, name := range names {
		if _, twice := h.at[name]; twice && slices.Contains(Columns(), name) {
			return h, fmt.Errorf("sacct text: line 1: column %s is there twice", name)
		}
		h.at[name] = i
	}
	for _, name := range Columns() {
		if _, ok := h.at[name]; !ok {
			return h, fmt.Errorf("sacct text: line 1: column %s is missing; run sacct with --parsable2 --format=%s", name, strings.Join(Columns(), ","))
		}
	}
	return h, nil
}

func (h header) row(line []byte) (row, error) {
	fields := strings.Split(string(line), "|")
	if len(fields) != h.width {
		return row{}, fmt.Errorf("%d fields under %d columns", len(fields), h.width)
	}
	get := func(name string) string { return fields[h.at[name]] }
	return row{
		job: get("JobIDRaw"), submit: get("Submit"), account: get("Account"), nodes: get("NodeList"),
		tres: get("AllocTRES"), start: get("Start"), end: get("End"), state: get("State"),
	}, nil
}

// allocations returns the facts of a row: for each node the start of its
// allocation and, once the job is over, the end.
func (t Terms) allocations(r row) ([]domain.Event, fate, error) {
	if strings.Contains(r.job, ".") {
		return nil, step, nil
	}
	state, over, err := parseState(r.state)
	switch {
	case err != nil:
		return nil, refused, err
	case state == "PENDING":
		return nil, pending, nil
	case slices.Contains(t.Unbilled, r.account):
		return nil, unbilled, nil
	}
	var gpus int64
	if r.tres != "" {
		if gpus, err = countGPUs(r.tres); err != nil {
			return nil, refused, err
		}
		if gpus == 0 {
			return nil, withoutGPUs, nil
		}
	}
	span, err := t.span(r, over)
	switch {
	case err != nil:
		return nil, refused, err
	case over && !span.ran() && (r.tres == "" || r.nodes == "" || r.nodes == noNodes):
		return nil, neverRan, nil
	case r.tres == "":
		return nil, refused, errors.New("the job ran and AllocTRES is empty, so what it held is unknown")
	case span.start == 0:
		return nil, refused, fmt.Errorf("the job held GPUs and its Start is %q", r.start)
	case t.Now != 0 && max(span.start, span.end) > t.Now:
		return nil, refused, fmt.Errorf("the job's Start or End, %s, is in the future, it is %s; correct the zone", max(span.start, span.end), t.Now)
	}
	facts, err := t.facts(r, gpus, span, over, state)
	if err != nil {
		return nil, refused, err
	}
	return facts, booked, nil
}

var errUnknownAccount = errors.New("is no customer's")

// facts returns what is recorded of a job that held GPUs.
func (t Terms) facts(r row, gpus int64, span span, over bool, state string) ([]domain.Event, error) {
	job, err := strconv.ParseUint(r.job, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("JobIDRaw %.32q is not a number", r.job)
	}
	customer, ok := t.Customers[r.account]
	if !ok {
		return nil, fmt.Errorf("account %.64q %w; name its customer in the configuration, or list it as unbilled", r.account, errUnknownAccount)
	}
	nodes, err := expandHosts(r.nodes)
	if err != nil {
		return nil, err
	}
	each, err := perNode(gpus, len(nodes))
	if err != nil {
		return nil, err
	}
	var facts []domain.Event
	for _, node := range nodes {
		key := fmt.Sprintf("%d/%s/%s", job, span.submit, node)
		facts = append(facts, domain.GPUAllocationStarted{
			Site: t.Site, Allocation: key, Customer: customer, Host: node, GPUs: each, At: span.start,
		})
		if over {
			facts = append(facts, domain.GPUAllocationEnded{Site: t.Site, Allocation: key, At: span.end, State: state})
		}
	}
	return facts, nil
}

// noNodes is what sacct prints for a job that has no nodes.
const noNodes = "None assigned"

// parseState returns the scheduler's word for the state, without what follows
// it ("CANCELLED by 1000"), and whether the job is over: JOB STATE CODES in
// the manual of sacct.
func parseState(s string) (state string, over bool, err error) {
	state, _, _ = strings.Cut(s, " ")
	switch state {
	case "PENDING", "RUNNING", "SUSPENDED":
		return state, false, nil
	case "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
		"PREEMPTED", "REQUEUED", "RESIZING", "REVOKED", "TIMEOUT":
		return state, true, nil
	}
	return "", false, fmt.Errorf("state %q is not one that sacct documents", s)
}

// span is when a job was submitted and held its nodes. An end of 0 is not
// known yet; a start of 0 never came.
type span struct{ submit, start, end domain.Instant }

// ran reports whether the job may have held anything for any time.
func (s span) ran() bool { return s.start != 0 && s.end > s.start }

func (t Terms) span(r row, over bool) (s span, err error) {
	for _, c := range []struct {
		name, text string
		to         *domain.Instant
	}{{"Submit", r.submit, &s.submit}, {"Start", r.start, &s.start}, {"End", r.end, &s.end}} {
		if *c.to, err = t.instant(c.text); err != nil {
			return s, fmt.Errorf("column %s: %w", c.name, err)
		}
	}
	switch {
	case s.submit == 0:
		return s, fmt.Errorf("column Submit: %q does not tell the runs of the job apart", r.submit)
	case over && s.end == 0:
		return s, fmt.Errorf("state is %s and End is %q", r.state, r.end)
	case over && s.start > s.end:
		return s, fmt.Errorf("the job ends at %s, before its start at %s", s.end, s.start)
	case over:
		return s, nil
	case s.start == 0:
		return s, fmt.Errorf("state is %s and Start is %q", r.state, r.start)
	case s.end != 0 && s.end != s.start:
		return s, fmt.Errorf("state is %s and End is %s: run sacct without --truncate, which moves starts and ends to its window", r.state, s.end)
	}
	return s, nil
}

// perNode divides a job's GPUs among its nodes. Accounting has only the total,
// so another division than an even one would be a guess.
func perNode(gpus int64, nodes int) (int64, error) {
	each := gpus / int64(nodes)
	switch {
	case gpus%int64(nodes) != 0:
		return 0, fmt.Errorf("%d GPUs on %d nodes: how many on each is not in the accounting; have such jobs submitted with --gpus-per-node", gpus, nodes)
	case each > gpusPerNodeLimit:
		return 0, fmt.Errorf("%d GPUs on %d nodes are more than nodes have", gpus, nodes)
	}
	return each, nil
}

// gpusPerNodeLimit is far above what a node holds and far below the numbers
// that Slurm uses for "infinite" and "no value", 0xffffffff and 0xfffffffe.
const gpusPerNodeLimit = 1024

// migProfile matches the types that Slurm gives to parts of a GPU under MIG:
// "1g.10gb", "a100_3g.20gb".
var migProfile = regexp.MustCompile(`(^|[^0-9a-z])[0-9]+g\.[0-9]+gb`)

// countGPUs returns the GPUs in a job's AllocTRES:
// "cpu=8,gres/gpu:h100=8,gres/gpu=8,mem=320G,node=1". The untyped count, where
// there is one, holds those of all types; types alone are summed.
func countGPUs(tres string) (int64, error) {
	total, typed, parts := int64(-1), int64(0), ""
	seen := map[string]bool{}
	for item := range strings.SplitSeq(tres, ",") {
		name, text, _ := strings.Cut(item, "=")
		kind, isGPU := strings.CutPrefix(name, "gres/gpu")
		isPart := isGRES(name, "shard") || isGRES(name, "mps")
		if !isPart && (!isGPU || kind != "" && kind[0] != ':') {
			continue // other resources, gres/gpumem and gres/gpuutil among them
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 || n > 1<<40 {
			return 0, fmt.Errorf("AllocTRES %.200q: %s is not a number of GPUs", tres, item)
		}
		if seen[name] {
			return 0, fmt.Errorf("AllocTRES %.200q has %s twice", tres, name)
		}
		seen[name] = true
		switch {
		case n == 0:
		case isPart || migProfile.MatchString(kind):
			parts = item
		case kind == "":
			total = n
		default:
			typed += n
		}
	}
	switch {
	case parts != "":
		return 0, fmt.Errorf("AllocTRES %.200q: %s is parts of a GPU, and only whole ones are billed", tres, parts)
	case total < 0:
		return typed, nil
	case typed > total:
		return 0, fmt.Errorf("AllocTRES %.200q has more GPUs by type than in all", tres)
	}
	return total, nil
}

// isGRES reports whether name is the generic resource, of whatever type.
func isGRES(name, resource string) bool {
	rest, ok := strings.CutPrefix(name, "gres/"+resource)
	return ok && (rest == "" || rest[0] == ':')
}

// refusals collects refused rows, those of one reason together: a customer who
// is missing from the configuration is one thing to mend, not a thousand.
type refusals struct {
	reasons []string
	rows    map[string]*refusal
	beyond  int // rows that are not listed any more
}

type refusal struct {
	line int
	job  string
	more int
}

// refusalLimit bounds the reasons that a text gives rise to. The text itself
// is kept as evidence, whole.
const refusalLimit = 50

func (r *refusals) add(line int, job string, reason error) {
	text := reason.Error()
	if known, ok := r.rows[text]; ok {
		known.more++
		return
	}
	if len(r.reasons) == refusalLimit {
		r.beyond++
		return
	}
	if r.rows == nil {
		r.rows = map[string]*refusal{}
	}
	r.reasons = append(r.reasons, text)
	r.rows[text] = &refusal{line: line, job: job}
}

func (r *refusals) rejections() []ingest.Rejection {
	var all []ingest.Rejection
	for _, reason := range r.reasons {
		first := r.rows[reason]
		where := fmt.Sprintf("sacct text: line %d", first.line)
		if first.job != "" {
			where += fmt.Sprintf(", job %.32q", first.job)
		}
		if first.more > 0 {
			where += fmt.Sprintf(" and %d more", first.more)
		}
		all = append(all, ingest.Rejection{Reason: where + ": " + reason})
	}
	if r.beyond > 0 {
		all = append(all, ingest.Rejection{Reason: fmt.Sprintf("sacct text: %d more rows are refused for other reasons", r.beyond)})
	}
	return all
}
