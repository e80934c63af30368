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
	"strings"
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
	key    sealed
	secret sealed // signs requests and is never sent
}

// sealed hands a key out. Unlike a key in a field it does not show where a
// struct around it is printed, of whose fields fmt cannot ask how.
type sealed func() Key

func seal(k Key) sealed { return func() Key { return k } }

func (s sealed) open() Key {
	if s == nil {
		return ""
	}
	return s()
}

// newClient returns a client like c that follows no redirect: the next host
// has no business with the key, and a login page is no reply.
func newClient(c *http.Client, header string, key Key) client {
	own := *c
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return client{http: &own, header: header, key: seal(key)}
}

// get returns the body of a successful reply as it was received. Its errors
// name the host and the path alone, since a query may hold a secret.
func (c client) get(ctx context.Context, address string) ([]byte, error) {
	return c.do(ctx, http.MethodGet, address, "", nil)
}

// do is get with a method, and with a body of a content type unless it is nil.
func (c client) do(ctx context.Context, method, address, kind string, content []byte) ([]byte, error) {
	verb := strings.ToLower(method)
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(content))
	if err != nil {
		return nil, errors.New("the url does not parse")
	}
	if content == nil {
		req.Body, req.ContentLength = http.NoBody, 0
	} else {
		req.Header.Set("Content-Type", kind)
	}
	if key := c.key.open(); key != "" && c.header != "" {
		req.Header.Set(c.header, string(key))
	}
	place := req.URL.Scheme + "://" + req.URL.Host + req.URL.EscapedPath()
	resp, err := c.http.Do(req)
	if err != nil {
		var whole *url.Error // repeats the query
		if errors.As(err, &whole) {
			err = whole.Err
		}
		return nil, fmt.Errorf("%s %s: %w", verb, place, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		wait := ""
		if after := resp.Header.Get("Retry-After"); after != "" && !c.leaks([]byte(after)) {
			wait = fmt.Sprintf(", retry after %.40q", after)
		}
		return nil, fmt.Errorf("%s %s: status %d %s%s", verb, place, resp.StatusCode, http.StatusText(resp.StatusCode), wait)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s %s: read the reply: %w", verb, place, err)
	case len(body) > maxBody:
		return nil, fmt.Errorf("%s %s: reply has more than %d bytes", verb, place, maxBody)
	case c.leaks(body):
		// Evidence is shown to auditors, so no reply with the key may become any.
		return nil, fmt.Errorf("%s %s: reply repeats the key; it is not kept", verb, place)
	}
	return body, nil
}

// leaks reports whether the bytes hold the key or the secret.
func (c client) leaks(b []byte) bool {
	for _, k := range []Key{c.key.open(), c.secret.open()} {
		if k != "" && bytes.Contains(b, []byte(k)) {
			return true
		}
	}
	return false
}
