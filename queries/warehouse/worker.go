package warehouse

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// Worker asks a published warehouse as [Client] does, in a process of its own:
// memory that DuckDB takes beside its limit, and time that it spends where it
// cannot be interrupted, end that process and no other. It keeps the process
// from query to query, and starts another after one that ended. It is not safe
// for concurrent use.
type Worker struct {
	command func() *exec.Cmd
	process *process
}

// NewWorker returns a worker whose process is started by a command: one that
// calls [Work] on its standard input and output. It starts with the first
// query.
func NewWorker(command func() *exec.Cmd) *Worker { return &Worker{command: command} }

// grace is how long after its time a process may still say so itself.
const grace = time.Second

// asked is a query on its way to the process.
type asked struct {
	Dir       string
	Statement string
	Memory    string
	Threads   int
	Time      time.Duration
	Rows      int
	Bytes     int64
	Database  string
	Variables map[string]string
}

// told is a piece of the answer: first the columns, then rows, and at last End.
type told struct {
	Columns []Column
	Rows    [][]cell
	End     bool
	// What went wrong, if it did: words, and the error that they wrap.
	Failed string
	Kind   failure
}

// failure says which of the package's errors a failure wraps.
type failure int

const (
	failedOtherwise failure = iota
	failedRefused
	failedLimit
	failedUnpublished
)

func failures() map[failure]error {
	return map[failure]error{failedRefused: ErrRefused, failedLimit: ErrLimit, failedUnpublished: ErrNothingPublished}
}

// saidError is an error of the other process: its words, and what it wraps.
type saidError struct {
	text string
	is   error
}

func (e *saidError) Error() string { return e.text }
func (e *saidError) Unwrap() error { return e.is }

// cell is a value of a row as it is sent.
type cell struct {
	Kind byte // 0: NULL; b: bool; i: int64; n: *big.Int; s: string; l: list
	Int  int64
	Text string
	List []cell
}

func toCell(v any) cell {
	switch v := v.(type) {
	case nil:
		return cell{}
	case bool:
		if v {
			return cell{Kind: 'b', Int: 1}
		}
		return cell{Kind: 'b'}
	case int64:
		return cell{Kind: 'i', Int: v}
	case *big.Int:
		return cell{Kind: 'n', Text: v.String()}
	case []any:
		c := cell{Kind: 'l', List: make([]cell, len(v))}
		for i, e := range v {
			c.List[i] = toCell(e)
		}
		return c
	}
	return cell{Kind: 's', Text: fmt.Sprint(v)}
}

func (c cell) value() any {
	switch c.Kind {
	case 'b':
		return c.Int != 0
	case 'i':
		return c.Int
	case 'n':
		n, _ := new(big.Int).SetString(c.Text, 10) // it was one
		return n
	case 'l':
		list := make([]any, len(c.List))
		for i, e := range c.List {
			list[i] = e.value()
		}
		return list
	case 's':
		return c.Text
	}
	return nil
}

// process is one that answers.
type process struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *io.PipeReader
	ask    *gob.Encoder
	hear   *gob.Decoder
	stderr *tail
	ended  chan struct{}
}

// tail keeps the beginning of what a process says on standard error.
type tail struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if room := 4096 - t.text.Len(); room > 0 {
		t.text.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

func (w *Worker) start() error {
	if w.process != nil {
		return nil
	}
	out, to := io.Pipe()
	p := &process{cmd: w.command(), out: out, stderr: &tail{}, ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = to, p.stderr
	in, err := p.cmd.StdinPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		return fmt.Errorf("start the process that answers queries: %w", err)
	}
	p.in, p.ask, p.hear = in, gob.NewEncoder(in), gob.NewDecoder(bufio.NewReader(out))
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // that it ended is all there is to know
		_ = to.Close()
	}()
	w.process = p
	return nil
}

// Close ends the process.
func (w *Worker) Close() error {
	if p := w.process; p != nil {
		w.process = nil
		_ = p.in.Close()
		_ = p.cmd.Process.Kill() // it may have ended
		_ = p.out.Close()
		<-p.ended
	}
	return nil
}

// Query is that of a [Client] that is opened on a folder for it alone, and its
// errors are those of [OpenClient] and [Client.Query].
func (w *Worker) Query(ctx context.Context, dir string, limits Limits, statement string, columns func([]Column) error, each func(row []any) error) error {
	limits = limits.withDefaults()
	if err := w.start(); err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, limits.Time+grace)
	defer cancel()
	process := w.process
	stop := context.AfterFunc(bounded, func() { _ = process.cmd.Process.Kill() }) // it may have ended
	defer stop()
	whole, err := process.query(asked{
		Dir: dir, Statement: statement, Memory: limits.Memory, Threads: limits.Threads, Time: limits.Time, Rows: limits.Rows, Bytes: limits.Bytes,
		Database: limits.Database, Variables: limits.Variables,
	}, columns, each)
	if !whole {
		// What is left of the answer is not read, or the process is no more.
		_ = w.Close()
		if errors.Is(err, errEnded) {
			err = process.why(limits)
		}
		switch {
		case ctx.Err() != nil:
			err = ctx.Err()
		case bounded.Err() != nil:
			err = limits.overTime()
		}
	}
	limits.log(statement, err)
	return err
}

// errEnded means that the process ended before its answer did.
var errEnded = errors.New("the process that answered has ended")

// query asks and hands on the answer. Whole is whether all of it was read, so
// that the process can be asked again.
func (p *process) query(q asked, columns func([]Column) error, each func(row []any) error) (whole bool, err error) {
	if p.ask.Encode(q) != nil {
		return false, errEnded
	}
	for first := true; ; first = false {
		var t told
		if p.hear.Decode(&t) != nil {
			return false, errEnded
		}
		if t.End {
			switch is := failures()[t.Kind]; {
			case t.Failed == "":
				return true, nil
			case is == nil:
				return true, errors.New(t.Failed)
			default:
				return t.Kind != failedLimit, &saidError{t.Failed, is}
			}
		}
		if first {
			err = columns(t.Columns)
		}
		for _, cells := range t.Rows {
			if err != nil {
				break
			}
			row := make([]any, len(cells))
			for i, c := range cells {
				row[i] = c.value()
			}
			err = each(row)
		}
		if err != nil {
			return false, err
		}
	}
}

// why says why a process ended that nobody stopped.
func (p *process) why(limits Limits) error {
	<-p.ended
	said := p.stderr.String()
	for _, memory := range []string{"out of memory", "cannot allocate memory", "bad_alloc", "Out of Memory", "Cannot allocate memory"} {
		if strings.Contains(said, memory) {
			return limits.overMemory()
		}
	}
	first, _, _ := strings.Cut(said, "\n")
	return fmt.Errorf("the query ended the process that ran it (%v): %s", p.cmd.ProcessState, cmp.Or(first, "it said nothing"))
}

// Work answers the queries of a [Worker] until there are no more. The caller's
// process takes no more memory than they may from then on, and ends when the
// one that asks does.
func Work(ctx context.Context, in io.Reader, out io.Writer) error {
	queries := make(chan asked)
	go func() {
		// A query that runs cannot always be interrupted: the process ends.
		defer os.Exit(0)
		for from := gob.NewDecoder(in); ; {
			var q asked
			if from.Decode(&q) != nil {
				return
			}
			select {
			case queries <- q:
			case <-ctx.Done():
				return
			}
		}
	}()
	buffered := bufio.NewWriter(out)
	to := gob.NewEncoder(buffered)
	send := func(t told) error { return errors.Join(to.Encode(t), buffered.Flush()) }
	for {
		select {
		case <-ctx.Done():
			return nil
		case q := <-queries:
			end := told{End: true}
			if err := answer(ctx, q, send); err != nil {
				end.Failed = err.Error()
				for kind, is := range failures() {
					if errors.Is(err, is) {
						end.Kind = kind
					}
				}
			}
			if err := send(end); err != nil {
				return err
			}
		}
	}
}

// Rows are sent in pieces of about so many bytes or rows.
const (
	pieceBytes = 64 << 10
	pieceRows  = 500
)

// answer runs one query and sends its columns and rows.
func answer(ctx context.Context, q asked, send func(told) error) (err error) {
	limits := Limits{
		Memory: q.Memory, Threads: q.Threads, Time: q.Time, Rows: q.Rows, Bytes: q.Bytes,
		Database: q.Database, Variables: q.Variables, Logger: slog.New(slog.DiscardHandler),
	}
	if err := limitMemory(q.Memory); err != nil {
		return err
	}
	c, err := OpenClient(ctx, q.Dir, limits)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	var piece told
	var size int64
	flush := func() error {
		err := send(piece)
		piece, size = told{}, 0
		return err
	}
	err = c.Query(ctx, q.Statement, func(all []Column) error {
		piece.Columns = all
		return nil
	}, func(row []any) error {
		cells := make([]cell, len(row))
		for i, v := range row {
			cells[i] = toCell(v)
			size += bytesOf(v)
		}
		if piece.Rows = append(piece.Rows, cells); size > pieceBytes || len(piece.Rows) == pieceRows {
			return flush()
		}
		return nil
	})
	if piece.Columns != nil || piece.Rows != nil {
		err = errors.Join(err, flush())
	}
	return err
}
