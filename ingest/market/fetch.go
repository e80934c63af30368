package market

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// maxBody bounds a reply in bytes: far above any honest one.
const maxBody = 16 << 20

// withoutRedirects returns a client like c that follows no redirect: the next
// host has no business with the headers meant for this one, and a login page
// is no reply.
func withoutRedirects(c *http.Client) *http.Client {
	client := *c
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &client
}

// get returns the body of a successful reply as it was received. Its errors
// name the host and the path alone, since a query may hold a key.
func get(ctx context.Context, client *http.Client, address string, header http.Header) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, errors.New("the url does not parse")
	}
	for name, values := range header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	place := req.URL.Scheme + "://" + req.URL.Host + req.URL.EscapedPath()
	resp, err := client.Do(req)
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
		if after := resp.Header.Get("Retry-After"); after != "" {
			wait = fmt.Sprintf(", retry after %.40q", after)
		}
		return nil, fmt.Errorf("get %s: status %d %s%s", place, resp.StatusCode, http.StatusText(resp.StatusCode), wait)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return nil, fmt.Errorf("get %s: read the reply: %w", place, err)
	}
	if len(body) > maxBody {
		return nil, fmt.Errorf("get %s: reply has more than %d bytes", place, maxBody)
	}
	return body, nil
}
