package warehouse

import (
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"time"

	"wattbook/queries/sql"
)

// HandlerConfig says what a handler serves.
type HandlerConfig struct {
	Dir string
	// Limits of a query; what is zero is 30 seconds, 512MB, 100,000 rows and
	// 64 MiB of values.
	Limits Limits
	// Queries is how many run at the same time: 2. Others are told to come
	// back.
	Queries int
	// Token, if it is set, must come with every request (Authorization: Bearer
	// …). Without one, only requests that name this machine are answered, so
	// that no web page can have a browser ask.
	Token string
	// Command starts a process that calls [Work]: every query gets one of its
	// own, and what it takes beyond its limits ends that process alone.
	// Without it they run in this process.
	Command func() *exec.Cmd
}

// Handler answers questions about the warehouse over HTTP. It can do nothing
// else: every query is run by a [Client].
//
//	POST /sql                      a statement in the body
//	GET  /sql/margin-by-use?month=2026-10   a question of the catalogue
//	GET  /sql                      the catalogue
//
// The answer is JSON, one object a line, or CSV with ?format=csv. An answer
// that could not be finished ends with a line {"error": …}.
func Handler(c HandlerConfig) http.Handler {
	c.Limits.Time = cmp.Or(c.Limits.Time, 30*time.Second)
	c.Limits.Memory = cmp.Or(c.Limits.Memory, "512MB")
	c.Limits.Rows = cmp.Or(c.Limits.Rows, 100_000)
	c.Limits.Bytes = cmp.Or(c.Limits.Bytes, 64<<20)
	c.Limits = c.Limits.withDefaults()
	h := &handler{HandlerConfig: c, running: make(chan struct{}, max(2, c.Queries))}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sql", h.list)
	mux.HandleFunc("GET /sql/{name}", h.question)
	mux.HandleFunc("POST /sql", h.statement)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !h.admits(r) {
			h.Limits.Logger.Warn("a request was refused", "from", r.RemoteAddr, "host", r.Host, "path", r.URL.Path)
			http.Error(w, "refused: the token is missing or wrong, or the request does not name this machine", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

type handler struct {
	HandlerConfig
	running chan struct{}
}

// statementLimit bounds a statement's bytes.
const statementLimit = 1 << 20

func (h *handler) admits(r *http.Request) bool {
	if h.Token != "" {
		return subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte("Bearer "+h.Token)) == 1
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return (host == "localhost" || ip != nil && ip.IsLoopback()) && r.Header.Get("Origin") == ""
}

func (h *handler) list(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(sql.Questions()) // the asker is gone
}

func (h *handler) statement(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, statementLimit))
	if err != nil {
		http.Error(w, fmt.Sprintf("the statement cannot be read: %v", err), http.StatusBadRequest)
		return
	}
	h.answer(w, r, string(text), nil)
}

func (h *handler) question(w http.ResponseWriter, r *http.Request) {
	for _, q := range sql.Questions() {
		if q.Name != r.PathValue("name") {
			continue
		}
		values := map[string]string{}
		for name, all := range r.URL.Query() {
			if name != "format" {
				values[name] = all[0]
			}
		}
		bound, err := q.Bind(values)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		h.answer(w, r, q.Statement, bound)
		return
	}
	http.Error(w, fmt.Sprintf("there is no question %q; GET /sql lists them", r.PathValue("name")), http.StatusNotFound)
}

// answer runs a statement on the warehouse as it is now.
func (h *handler) answer(w http.ResponseWriter, r *http.Request, statement string, variables map[string]string) {
	select {
	case h.running <- struct{}{}:
		defer func() { <-h.running }()
	default:
		w.Header().Set("Retry-After", "1")
		http.Error(w, "as many queries run as may: come back in a second", http.StatusServiceUnavailable)
		return
	}
	limits := h.Limits
	limits.Variables = variables
	out := newWritten(w, r.URL.Query().Get("format"))
	if out == nil {
		http.Error(w, "the format is json or csv", http.StatusBadRequest)
		return
	}
	err := h.query(r.Context(), limits, statement, out)
	if err != nil && !out.begun {
		http.Error(w, err.Error(), statusOf(err))
		return
	}
	out.end(err)
}

// query runs a statement, in a process of its own if there can be one.
func (h *handler) query(ctx context.Context, limits Limits, statement string, out *written) error {
	if h.Command != nil {
		worker := NewWorker(h.Command)
		return errors.Join(worker.Query(ctx, h.Dir, limits, statement, out.columns, out.row), worker.Close())
	}
	c, err := OpenClient(ctx, h.Dir, limits)
	if err != nil {
		return err
	}
	return errors.Join(c.Query(ctx, statement, out.columns, out.row), c.Close())
}

func statusOf(err error) int {
	switch {
	case errors.Is(err, ErrRefused):
		return http.StatusForbidden
	case errors.Is(err, ErrLimit):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, ErrNothingPublished), errors.Is(err, context.Canceled):
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

// written is an answer on its way.
type written struct {
	to    http.ResponseWriter
	csv   *csv.Writer // nil: JSON
	names []string
	begun bool
}

func newWritten(w http.ResponseWriter, format string) *written {
	switch format {
	case "", "json":
		return &written{to: w}
	case "csv":
		return &written{to: w, csv: csv.NewWriter(w)}
	}
	return nil
}

func (a *written) columns(all []Column) error {
	a.names = make([]string, len(all))
	for i, c := range all {
		a.names[i] = c.Name
	}
	return nil
}

func (a *written) begin() error {
	if a.begun {
		return nil
	}
	a.begun = true
	if a.csv != nil {
		a.to.Header().Set("Content-Type", "text/csv; charset=utf-8")
		return a.csv.Write(a.names)
	}
	a.to.Header().Set("Content-Type", "application/x-ndjson")
	return nil
}

func (a *written) row(values []any) error {
	if err := a.begin(); err != nil {
		return err
	}
	if a.csv != nil {
		cells := make([]string, len(values))
		for i, v := range values {
			if v != nil {
				cells[i] = fmt.Sprint(v)
			}
		}
		return a.csv.Write(cells)
	}
	var b strings.Builder
	b.WriteByte('{')
	for i, v := range values {
		if i > 0 {
			b.WriteByte(',')
		}
		if n, ok := v.(*big.Int); ok {
			v = n.String()
		}
		name, err := json.Marshal(a.names[i])
		if err != nil {
			return err
		}
		value, err := json.Marshal(v)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s:%s", name, value)
	}
	b.WriteString("}\n")
	_, err := io.WriteString(a.to, b.String())
	return err
}

// end finishes the answer. An error that came after the first row is said in a
// last line, which is no row.
func (a *written) end(err error) {
	if err == nil {
		err = a.begin()
	}
	if a.csv != nil {
		a.csv.Flush()
	}
	if err != nil {
		line, _ := json.Marshal(map[string]string{"error": err.Error()}) // of strings
		_, _ = fmt.Fprintf(a.to, "%s\n", line)                           // the asker may be gone
	}
}
