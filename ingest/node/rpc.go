// Package node follows the Bitcoin chain on a node of one's own.
//
// A [Follower] needs no wallet: it walks the blocks of a node (Bitcoin Core or
// btcd), matches outputs with the addresses of a site's pool accounts, says when
// an output of a coinbase can be spent, and takes back what a block paid that is
// undone. Where a Core wallet watches the addresses, a [WalletFollower] asks
// listsinceblock instead. A [Client] is the part of the node's JSON-RPC interface
// that they need; amounts are read from the digits of the reply.
package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"wattbook/domain"
)

// maxReply bounds a reply in bytes: a block of 4 MB with its transactions in
// words.
const maxReply = 64 << 20

// Client speaks JSON-RPC with a node.
type Client struct {
	http    *http.Client
	address string
	user    string
	// password hands the password out: in a field it would show where the
	// client is printed.
	password func() string
}

// NewClient returns a client of the node at an address such as
// http://127.0.0.1:8332. A password is sent in the clear to this machine alone.
func NewClient(c *http.Client, address, user, password string) (*Client, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil:
		return nil, errors.New("node: url is not of the form http://host:port")
	case u.Scheme == "http" && password != "" && !loopback(u.Hostname()):
		return nil, fmt.Errorf("node: password would be sent in the clear to %s; use https", u.Host)
	case c == nil:
		return nil, errors.New("node: a client is required")
	}
	own := *c
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{&own, address, user, func() string { return password }}, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// RPCError is an error that the node answers with.
type RPCError struct {
	Method  string
	Code    int64
	Message string
}

// Error implements error.
func (e *RPCError) Error() string {
	return fmt.Sprintf("node answers %s with error %d: %.200s", e.Method, e.Code, e.Message)
}

// Codes of errors that callers branch on.
const (
	codeNotFound = -5 // no such block or transaction
	codeNoHeight = -8 // Core: block height out of range
	codeNoNumber = -1 // btcd: block number out of range
)

// Call calls a method, and decodes its result into out unless that is nil. It
// returns the result as it was received.
func (c *Client) Call(ctx context.Context, method string, out any, params ...any) (json.RawMessage, error) {
	if params == nil {
		params = []any{}
	}
	content, err := json.Marshal(map[string]any{"jsonrpc": "1.0", "id": 1, "method": method, "params": params})
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", method, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.address, bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("node %s: the url does not parse", method)
	}
	req.Header.Set("Content-Type", "application/json")
	if c.user != "" || c.password() != "" {
		req.SetBasicAuth(c.user, c.password())
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", method, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReply+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("node %s: read the reply: %w", method, err)
	case len(body) > maxReply:
		return nil, fmt.Errorf("node %s: reply has more than %d bytes", method, maxReply)
	}
	var reply struct {
		Result json.RawMessage `json:"result"`
		Error  *struct {
			Code    json.Number `json:"code"`
			Message string      `json:"message"`
		} `json:"error"`
	}
	// Core answers errors with status 500 and the error in the body.
	if err := json.Unmarshal(body, &reply); err != nil {
		return nil, fmt.Errorf("node %s: status %d %s, and the reply is no JSON", method, resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	if reply.Error != nil {
		code, _ := reply.Error.Code.Int64()
		return nil, &RPCError{method, code, reply.Error.Message}
	}
	if resp.StatusCode != http.StatusOK || reply.Result == nil {
		return nil, fmt.Errorf("node %s: status %d %s without a result", method, resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	if out != nil {
		if err := json.Unmarshal(reply.Result, out); err != nil {
			return nil, fmt.Errorf("node %s: result is not as documented: %w", method, err)
		}
	}
	return reply.Result, nil
}

// satoshi reads an amount of bitcoin from its digits. More than eight after
// the point, or more than there can be, is an error.
func satoshi(n json.Number) (domain.Satoshi, error) {
	text := string(n)
	mantissa, exponent, scientific := strings.Cut(strings.ToLower(text), "e")
	v, err := domain.ParseDecimal(mantissa)
	if err != nil {
		return 0, fmt.Errorf("amount %.40q: %w", text, err)
	}
	if scientific { // btcd writes amounts below a thousandth so
		var shift int32
		if _, err := fmt.Sscanf(exponent, "%d", &shift); err != nil || shift < -20 || shift > 20 {
			return 0, fmt.Errorf("amount %.40q has no exponent from -20 to 20", text)
		}
		v = v.Shift(shift)
	}
	sat, exact := v.Scaled(8)
	switch {
	case !exact:
		return 0, fmt.Errorf("amount %.40q is not a whole number of satoshi", text)
	case !sat.IsInt64() || sat.Int64() > int64(21_000_000*domain.Bitcoin) || sat.Int64() < -int64(21_000_000*domain.Bitcoin):
		return 0, fmt.Errorf("amount %.40q is more than there can be", text)
	}
	return domain.Satoshi(sat.Int64()), nil
}
