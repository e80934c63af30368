package meter

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// Function is a Modbus function code that reads registers.
type Function uint8

// The functions. A register's number says nothing without its function: both
// count from 0.
const (
	Holding Function = 3
	Input   Function = 4
)

// countLimit is how many registers one request may ask for.
const countLimit = 125

// conn is a connection to a Modbus TCP server (MODBUS Messaging on TCP/IP
// Implementation Guide V1.0b, section 3). It is not safe for concurrent use.
// After any error but an exception the connection is of no further use: what
// comes next on it could be the answer to an older request.
//
// The client is written out here, since a poll must end when its context does,
// and evidence needs each reply as it was.
type conn struct {
	socket      net.Conn
	transaction uint16
}

// exception is a reply by which a meter, or the gateway before it, refuses a
// request.
type exception uint8

// Error names the exception as the Modbus specification does.
func (e exception) Error() string {
	names := [...]string{
		1: "illegal function", 2: "illegal data address", 3: "illegal data value", 4: "server device failure",
		5: "acknowledge", 6: "server device busy", 8: "memory parity error",
		10: "gateway path unavailable", 11: "gateway target device failed to respond",
	}
	if int(e) < len(names) && names[e] != "" {
		return fmt.Sprintf("exception %d (%s)", uint8(e), names[e])
	}
	return fmt.Sprintf("exception %d", uint8(e))
}

// silent reports whether a gateway says that the meter behind it is silent.
func (e exception) silent() bool { return e == 10 || e == 11 }

// senseless is a reply that no working meter gives.
type senseless string

func (s senseless) Error() string { return string(s) }

func senselessf(format string, args ...any) error { return senseless(fmt.Sprintf(format, args...)) }

func dial(ctx context.Context, address string) (*conn, error) {
	var d net.Dialer
	socket, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &conn{socket: socket}, nil
}

func (c *conn) close() { _ = c.socket.Close() } // nothing was written that could be lost

// read asks a unit for count registers and returns their bytes. The error is
// an exception, a senseless reply, or of the network.
func (c *conn) read(ctx context.Context, unit uint8, f Function, address, count uint16) ([]byte, error) {
	if err := c.socket.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	// A deadline in the past wakes whoever waits on the socket.
	stop := context.AfterFunc(ctx, func() { _ = c.socket.SetDeadline(time.Unix(1, 0)) })
	data, err := c.exchange(unit, f, address, count)
	if !stop() {
		return nil, ctx.Err()
	}
	return data, err
}

// A frame is a header of 7 bytes (transaction, protocol 0, number of bytes
// that follow, unit), a function code and its data; at most 260 bytes.
const (
	headerSize = 7
	frameSize  = 260
)

func (c *conn) exchange(unit uint8, f Function, address, count uint16) ([]byte, error) {
	c.transaction++
	var request [12]byte
	binary.BigEndian.PutUint16(request[0:], c.transaction)
	binary.BigEndian.PutUint16(request[4:], 6)
	request[6], request[7] = unit, byte(f)
	binary.BigEndian.PutUint16(request[8:], address)
	binary.BigEndian.PutUint16(request[10:], count)
	if _, err := c.socket.Write(request[:]); err != nil {
		return nil, err
	}

	var reply [frameSize]byte
	n, err := io.ReadAtLeast(c.socket, reply[:], headerSize+2)
	if err != nil {
		return nil, err
	}
	size := int(binary.BigEndian.Uint16(reply[4:])) + headerSize - 1
	switch {
	case binary.BigEndian.Uint16(reply[2:]) != 0:
		return nil, senselessf("reply of protocol %d, not of Modbus", binary.BigEndian.Uint16(reply[2:]))
	case binary.BigEndian.Uint16(reply[0:]) != c.transaction:
		return nil, senselessf("reply to transaction %d, not to %d", binary.BigEndian.Uint16(reply[0:]), c.transaction)
	case size < headerSize+2 || size > frameSize || n > size:
		return nil, senselessf("reply of %d bytes where %d are announced", n, size)
	}
	if n < size {
		if _, err := io.ReadFull(c.socket, reply[n:size]); err != nil {
			return nil, err
		}
	}
	return parseReply(reply[6:size], unit, f, count)
}

// parseReply returns the register bytes of a reply that begins with its unit.
func parseReply(b []byte, unit uint8, f Function, count uint16) ([]byte, error) {
	if b[1] == byte(f)|0x80 { // a gateway may sign an exception with a unit of its own
		if len(b) != 3 {
			return nil, senselessf("exception of %d bytes, want 3", len(b))
		}
		return nil, exception(b[2])
	}
	data := b[min(3, len(b)):]
	switch {
	case b[0] != unit:
		return nil, senselessf("reply of unit %d, not of %d", b[0], unit)
	case b[1] != byte(f):
		return nil, senselessf("reply to function %d, not to %d", b[1], f)
	case len(data) != 2*int(count) || int(b[2]) != len(data):
		return nil, senselessf("reply holds %d bytes, want %d", len(data), 2*int(count))
	}
	return data, nil
}

// broken reports whether a connection was closed by the other side: perhaps
// long ago, so asking again on a new one is worthwhile.
func broken(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNABORTED)
}

// whySilent puts a network error into words that are the same at every poll:
// without the port that this machine happened to use.
func whySilent(err error) string {
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, context.Canceled):
		return "the poll was stopped"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case broken(err):
		return "the connection was closed before an answer came"
	case errors.As(err, &dns):
		return "host name: " + dns.Err
	case errors.As(err, &op):
		return op.Err.Error()
	}
	return err.Error()
}
