package pool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// maxBody bounds a reply in bytes: far above any honest one.
const maxBody = 16 << 20

// Key is a secret that a pool or a wallet knows its customer by. However it is
// printed, logged or encoded, it does not show.
type Key string

// Format writes a stand-in for every verb.
func (Key) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "(key)") }

// MarshalText writes the stand-in.
func (Key) MarshalText() ([]byte, error) { return []byte("(key)"), nil }

// check reports why k cannot be sent to the address, or nil.
func (k Key) check(u *url.URL) error {
	for i := range len(k) {
		if k[i] < ' ' || k[i] > '~' {
			return fmt.Errorf("key has a character at %d that no header can carry; look for a line end that was copied with it", i+1)
		}
	}
	if k != "" && u.Scheme == "http" && !loopback(u.Hostname()) {
		return fmt.Errorf("key would be sent in the clear to %s; use https", u.Host)
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// client gets replies from one server.
type client struct {
	http   *http.Client
	header string // that carries the key
	key    Key
}

// newClient returns a client like c that follows no redirect: the next host
// has no business with the key, and a login page is no reply.
func newClient(c *http.Client, header string, key Key) client {
	own := *c
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return client{&own, header, key}
}

// get returns the body of a successful reply as it was received. Its errors
// name the host and the path alone, since a query may hold a secret.
func (c client) get(ctx context.Context, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, errors.New("the url does not parse")
	}
	if c.key != "" {
		req.Header.Set(c.header, string(c.key))
	}
	place := req.URL.Scheme + "://" + req.URL.Host + req.URL.EscapedPath()
	resp, err := c.http.Do(req)
	if err != nil {
		var whole *url.Error // repeats the query
		if errors.As(err, &whole) {
			err = whole.Err
		}
		return nil, fmt.Errorf("get %s: %w", place, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		wait := ""
		if after := resp.Header.Get("Retry-After"); after != "" && !c.leaks([]byte(after)) {
			wait = fmt.Sprintf(", retry after %.40q", after)
		}
		return nil, fmt.Errorf("get %s: status %d %s%s", place, resp.StatusCode, http.StatusText(resp.StatusCode), wait)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("get %s: read the reply: %w", place, err)
	case len(body) > maxBody:
		return nil, fmt.Errorf("get %s: reply has more than %d bytes", place, maxBody)
	case c.leaks(body):
		// Evidence is shown to auditors, so no reply with the key may become any.
		return nil, fmt.Errorf("get %s: reply repeats the key; it is not kept", place)
	}
	return body, nil
}

// leaks reports whether the bytes hold the key.
func (c client) leaks(b []byte) bool { return c.key != "" && bytes.Contains(b, []byte(c.key)) }
