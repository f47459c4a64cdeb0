package client

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
	"strconv"
	"strings"
	"time"
)

const (
	// prefix is the path of the interface.
	prefix = "/rest-api"

	// requestTimeout is how long one request may take. The longest that the server takes by itself is 25 seconds, for CheckPush.
	requestTimeout = time.Minute

	// maxAnswer bounds what is read of an answer.
	maxAnswer = 64 << 20
)

// Client calls one server. Make it by New.
type Client struct {
	base      string
	http      *http.Client
	plain     bool                // a secret may go to another machine over http://
	authorize func(*http.Request) // nil: without a credential
	heard     func([]byte)        // nil: nobody wants the answers as they come
}

// Option changes what New makes.
type Option func(*Client)

// WithToken shows a token, or a stored key, with each request.
func WithToken(token string) Option {
	return func(c *Client) {
		c.authorize = func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
	}
}

// WithPassword shows the name and the password of a user with each request.
func WithPassword(name, password string) Option {
	return func(c *Client) {
		c.authorize = func(r *http.Request) { r.SetBasicAuth(name, password) }
	}
}

// WithHTTPClient makes requests by another client than the default, for example with certificates of its own. The Timeout of the client must be
// 0 for Events.
func WithHTTPClient(h *http.Client) Option { return func(c *Client) { c.http = h } }

// WithPlainHTTP lets a token or a password go to another machine over http://, which everybody in between can read. Use it inside a network that
// is yours, for example behind a proxy that ends TLS.
func WithPlainHTTP() Option { return func(c *Client) { c.plain = true } }

// WithAnswers gives each answer of a method to f as it came, before it is decoded: a later server may have members that this package does not know.
func WithAnswers(f func(json []byte)) Option { return func(c *Client) { c.heard = f } }

// ErrPlain means that a secret would go over http:// to another machine; see WithPlainHTTP.
var ErrPlain = errors.New("a password or a token goes to another machine over https:// only")

// New returns a client for the server at an address such as https://live.example.com:8444. It does not connect yet.
func New(address string, options ...Option) (*Client, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("the address of the server must look like https://live.example.com:8444") // without the address: it may have a password in it
	}
	if u.User != nil {
		return nil, errors.New("the address of the server must not have a password in it: use WithPassword")
	}
	c := &Client{base: u.Scheme + "://" + u.Host + strings.TrimRight(u.Path, "/")}
	for _, set := range options {
		set(c)
	}
	if c.http == nil {
		c.http = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return errRedirect }}
	}
	if c.authorize != nil && u.Scheme == "http" && !isLoopback(u.Hostname()) && !c.plain {
		return nil, ErrPlain
	}
	return c, nil
}

// errRedirect keeps a redirected POST from becoming a GET, and a credential from going elsewhere.
var errRedirect = errors.New("the server redirects: use the last address")

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Page is a part of a list. The zero Page is the whole list.
type Page struct {
	Limit int    // how many entries at most; 0: all. They are in the order of their ids then.
	After string // the list begins after the entry with this id
}

// query adds the page to a query.
func (p Page) query(q url.Values) url.Values {
	q.Set("limit", number(p.Limit))
	q.Set("after", p.After)
	return q
}

// number returns a number for a query, "" for 0.
func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// Moment is a time in milliseconds since 1970. 0 is none.
type Moment int64

// At returns the Moment of a time.
func At(t time.Time) Moment { return Moment(t.UnixMilli()) }

// Time returns the time. That of 0 is the zero time.
func (m Moment) Time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(m))
}

// Specification returns the OpenAPI document of the server, which is YAML.
func (c *Client) Specification(ctx context.Context) ([]byte, error) {
	var text []byte
	err := c.Do(ctx, http.MethodGet, "/openapi_specification", nil, nil, &text)
	return text, err
}

// Profile returns a profile of the Go runtime of the server: heap, goroutine, profile (of the processor) or another one below /debug/pprof/. query
// may have seconds, or debug=2 for text. It needs the action admin, and the server makes one profile at a time.
func (c *Client) Profile(ctx context.Context, name string, query url.Values) ([]byte, error) {
	return c.text(ctx, "/debug/pprof/"+name, query)
}

// Metrics returns the metrics of the server in the text form of Prometheus.
func (c *Client) Metrics(ctx context.Context) ([]byte, error) { return c.text(ctx, "/metrics", nil) }

// text returns the answer of a path that is not below the prefix.
func (c *Client) text(ctx context.Context, path string, query url.Values) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	got, err := c.send(ctx, http.MethodGet, path, query, nil, nil)
	if err != nil {
		return nil, err
	}
	defer got.Body.Close()
	return readAnswer(got)
}

// Do makes one request, for what no other method does. path comes after /rest-api. Members of query without a value are left out. body is sent as
// JSON, unless it is nil. answer is a pointer: the answer is decoded into it, or copied as it is into a *[]byte or a *json.RawMessage; nil drops
// it.
func (c *Client) Do(ctx context.Context, method, path string, query url.Values, body, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	got, err := c.send(ctx, method, prefix+path, query, body, nil)
	if err != nil {
		return err
	}
	defer got.Body.Close()
	text, err := readAnswer(got)
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", path, err)
	}
	if c.heard != nil {
		c.heard(text)
	}
	switch to := answer.(type) {
	case nil:
	case *[]byte:
		*to = text
	case *json.RawMessage:
		*to = text
	default:
		if len(text) == 0 {
			return nil
		}
		if err := json.Unmarshal(text, answer); err != nil {
			return fmt.Errorf("%s has answered something else than a Transponder does: %w", c.base, err)
		}
	}
	return nil
}

func readAnswer(got *http.Response) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(got.Body, maxAnswer+1))
	if len(text) > maxAnswer {
		return nil, fmt.Errorf("it is larger than %d bytes", maxAnswer)
	}
	return text, err
}

// send makes a request, and returns the answer if it is a success. The caller closes the body. A body that is an io.Reader is sent as it is, any other
// as JSON.
func (c *Client) send(ctx context.Context, method, path string, query url.Values, body any, header http.Header) (*http.Response, error) {
	sent, isFile := body.(io.Reader)
	if body != nil && !isFile {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("the body of %s: %w", path, err)
		}
		sent = bytes.NewReader(text)
	}
	address := c.base + path
	for key, values := range query {
		if values[0] == "" {
			delete(query, key)
		}
	}
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, method, address, sent)
	if err != nil {
		return nil, err
	}
	for key, values := range header {
		r.Header[key] = values
	}
	switch {
	case isFile:
		r.Header.Set("Content-Type", "application/octet-stream")
	case body != nil:
		r.Header.Set("Content-Type", "application/json")
	}
	if c.authorize != nil {
		c.authorize(r)
	}
	got, err := c.http.Do(r)
	if err != nil {
		return nil, &UnreachableError{Address: c.base, Err: cause(err)}
	}
	if got.StatusCode < 200 || got.StatusCode > 299 {
		defer got.Body.Close()
		return nil, newError(got)
	}
	return got, nil
}

// cause returns an error of net/http without the address, which UnreachableError has already.
func cause(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}
