package miner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// request asks for the summary. In this form the reply is JSON; asked in
// plain text, cgminer answers in a format of its own.
const request = `{"command":"summary"}`

// keptOfOversize is how much of a reply beyond the limit is kept as evidence.
const keptOfOversize = 4096

// errOversize means that a reply did not end within the limit.
var errOversize = errors.New("reply is too long")

// ask asks one miner on a connection of its own.
func (s *Source) ask(ctx context.Context, m Miner) Reply {
	r := Reply{Device: m.Device, Address: m.Address, Dialect: m.Dialect}
	limit := replyLimit(len(s.config.Miners))
	asked, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	var err error
	r.Bytes, err = s.exchange(asked, m.Address, limit)
	switch {
	case err == nil:
	case errors.Is(err, errOversize):
		r.Failure = fmt.Sprintf("no end within %d bytes", limit)
	case asked.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded):
		r.Failure = fmt.Sprintf("no answer within %s", s.config.Timeout)
		// The connection may notice the poll's deadline before ctx does.
		ends, _ := asked.Deadline()
		if poll, ok := ctx.Deadline(); ctx.Err() != nil || ok && poll.Equal(ends) {
			r.Failure = "no answer before the poll ended"
		}
	default:
		r.Failure = reason(err)
	}
	r.Failure = r.Failure[:min(len(r.Failure), failureLimit)]
	return r
}

// reason says what went wrong without the addresses that net adds: the
// miner's is named beside it, and this end's port is different every time.
func reason(err error) string {
	for {
		var op *net.OpError
		if !errors.As(err, &op) || op.Err == nil {
			return err.Error()
		}
		err = op.Err
	}
}

// exchange sends the request and returns the reply, or what there is of it
// and why there is no more.
func (s *Source) exchange(ctx context.Context, address string, limit int) ([]byte, error) {
	conn, err := s.dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if tcp, ok := conn.(*net.TCPConn); ok {
		// Close by reset: by then nothing is wanted of the connection any
		// more, and a port that lingers for a minute after each of thousands
		// of polls is one that the next polls miss. If it cannot be set, the
		// port lingers.
		_ = tcp.SetLinger(0)
	}
	deadline, _ := ctx.Deadline() // there is one: ask sets it
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	// A canceled poll ends at once, not at the deadline.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := io.WriteString(conn, request); err != nil {
		return nil, err
	}
	return readReply(conn, limit)
}

// readReply reads up to where a reply ends: a NUL, which cgminer sends; the
// newline that others send; or the end of the connection. Some miners send
// one of the first two and leave the connection open, so the end of it is not
// waited for. If a connection fails or stalls without any of the three after
// a whole document, it is a whole reply all the same.
func readReply(conn io.Reader, limit int) ([]byte, error) {
	b := make([]byte, 0, 4096)
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		seen := len(b)
		n, err := conn.Read(b[seen:min(cap(b), limit+1)])
		b = b[:seen+n]
		switch {
		case len(b) > limit:
			return b[:min(len(b), keptOfOversize)], errOversize
		case bytes.IndexByte(b[seen:], 0) >= 0:
			return b, nil
		case n > 0 && b[len(b)-1] == '\n' && isComplete(b):
			return b, nil
		case err == nil:
		case len(b) > 0 && (errors.Is(err, io.EOF) || isComplete(b)):
			return b, nil // where it ends too early, its decoder says so
		case errors.Is(err, io.EOF):
			return nil, errors.New("connection closed without an answer")
		default:
			return b, err
		}
	}
}
