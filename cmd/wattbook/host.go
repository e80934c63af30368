package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// socket is where a service takes the verbs that are run on its folder.
func (f folder) socket() string { return filepath.Join(string(f), "run", "serve.sock") }

// host is a service that has the data folder open. The verbs that others run
// on that folder are run inside it, since a log has one writer: they are sent
// over a socket that only the owner of the folder can open.
type host struct {
	engine   *engine
	finance  *finance
	logger   *slog.Logger
	listener net.Listener
	calls    sync.WaitGroup
}

// call is a verb as it is sent to the service: one line of JSON. The answer is
// lines of [heard].
type call struct {
	Args   []string `json:"args"`
	Folder string   `json:"folder"` // from which its relative file names count
}

// heard is a piece of what a verb says, and its exit code at the end.
type heard struct {
	Out  []byte `json:"out,omitempty"`
	Err  []byte `json:"err,omitempty"`
	Exit *int   `json:"exit,omitempty"`
}

// startHost begins to take verbs. It returns nil where that is not possible:
// the service goes on without.
func startHost(ctx context.Context, e *engine, v *finance, logger *slog.Logger) *host {
	h := &host{engine: e, finance: v, logger: logger}
	path := e.folder.socket()
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		// The folder is locked, so that a socket there is left over.
		if err = os.Remove(path); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err == nil {
		h.listener, err = net.Listen("unix", path)
	}
	if err != nil {
		logger.Warn("other verbs cannot be run on the folder while this service runs", "err", err)
		return nil
	}
	go func() {
		for {
			conn, err := h.listener.Accept()
			if err != nil {
				return
			}
			h.calls.Go(func() { h.serve(ctx, conn) })
		}
	}()
	return h
}

// close ends the verbs that run; their contexts have ended.
func (h *host) close() {
	if h == nil {
		return
	}
	_ = h.listener.Close()
	h.calls.Wait()
}

// serve runs one verb. It is interrupted when the caller goes away.
func (h *host) serve(ctx context.Context, conn net.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer conn.Close()
	lines := json.NewDecoder(io.LimitReader(conn, 1<<20))
	var c call
	if err := lines.Decode(&c); err != nil {
		h.logger.Warn("a verb was not understood", "err", err)
		return
	}
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, conn)
	}()
	reply := &reply{enc: json.NewEncoder(conn)}
	p := &program{
		stdin: eof{}, stdout: speaker{reply, false}, stderr: speaker{reply, true},
		getenv: os.Getenv, environ: os.Environ, now: h.engine.now, host: h, dir: c.Folder,
	}
	code := run(ctx, c.Args, p)
	_ = reply.send(heard{Exit: &code})
}

// eof is an input that nothing comes from.
type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }

type reply struct {
	mu  sync.Mutex
	enc *json.Encoder
}

func (a *reply) send(h heard) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.enc.Encode(h)
}

// speaker sends what a verb prints.
type speaker struct {
	to    *reply
	error bool
}

func (s speaker) Write(b []byte) (int, error) {
	h := heard{Out: b}
	if s.error {
		h = heard{Err: b}
	}
	return len(b), s.to.send(h)
}

// elsewhereError is a verb that ran in a service, and its exit code there.
type elsewhereError struct{ exit int }

func (e *elsewhereError) Error() string {
	return fmt.Sprintf("ran in the service, exit code %d", e.exit)
}

// askHost runs the verb in the service of the folder. It returns nil if none
// runs.
func (p *program) askHost(ctx context.Context, f folder) error {
	if _, err := os.Stat(f.socket()); err != nil {
		return nil //nolint:nilerr // no service is there
	}
	conn, err := net.DialTimeout("unix", f.socket(), 5*time.Second)
	if err != nil {
		return nil //nolint:nilerr // left over by one that was killed
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	if err := json.NewEncoder(conn).Encode(call{Args: p.args, Folder: dir}); err != nil {
		return fmt.Errorf("run in the service of %s: %w", f, err)
	}
	for lines := json.NewDecoder(conn); ; {
		var h heard
		if err := lines.Decode(&h); err != nil {
			return errors.Join(ctx.Err(), fmt.Errorf("the service of %s ended before the verb did: %w", f, err))
		}
		if _, err := p.stdout.Write(h.Out); err != nil {
			return err
		}
		if _, err := p.stderr.Write(h.Err); err != nil {
			return err
		}
		if h.Exit != nil {
			return &elsewhereError{*h.Exit}
		}
	}
}

// path returns where a file is that the command line names.
func (p *program) path(name string) string {
	if p.dir == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(p.dir, name)
}
