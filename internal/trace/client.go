package trace

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// client posts spans to the collector. It is what otlptracehttp does, without the gRPC library, which otlptracehttp brings for three types.
type client struct {
	http    *http.Client
	url     string
	headers http.Header
	zip     bool
	timeout time.Duration // of one request
}

// newClient makes a client with what the environment says of requests (OpenTelemetry, OTLP Exporter Configuration).
func newClient(cfg Config, version string, getenv func(string) string) (*client, error) {
	first := func(name string) string {
		if v := getenv("OTEL_EXPORTER_OTLP_TRACES_" + name); v != "" {
			return v
		}
		return getenv("OTEL_EXPORTER_OTLP_" + name)
	}
	c := &client{
		url: strings.TrimSuffix(cfg.Endpoint, "/") + "/v1/traces", zip: first("COMPRESSION") == "gzip", timeout: 10 * time.Second,
		headers: http.Header{"Content-Type": {"application/x-protobuf"}, "User-Agent": {"Transponder/" + version}},
	}
	for pair := range strings.SplitSeq(first("HEADERS"), ",") {
		key, value, ok := strings.Cut(pair, "=")
		if value, err := url.PathUnescape(strings.TrimSpace(value)); ok && err == nil {
			c.headers.Set(strings.TrimSpace(key), value)
		}
	}
	if ms, err := strconv.Atoi(first("TIMEOUT")); err == nil && ms > 0 {
		c.timeout = min(time.Duration(ms)*time.Millisecond, time.Minute)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if file := first("CERTIFICATE"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_CERTIFICATE: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_CERTIFICATE: %s holds no certificate in PEM", file)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	c.http = &http.Client{Transport: transport}
	return c, nil
}

// Start implements otlptrace.Client.
func (c *client) Start(context.Context) error { return nil }

// Stop implements otlptrace.Client.
func (c *client) Stop(context.Context) error {
	c.http.CloseIdleConnections()
	return nil
}

// tries is how often a batch is sent. Meanwhile the queue fills, and spans are dropped if that lasts.
const tries = 4

// UploadTraces implements otlptrace.Client. It tries again if the collector has too much to do.
func (c *client) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	// The request of the service has one field, with the number and type of that of TracesData.
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return err
	}
	if c.zip {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		if _, err := w.Write(body); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		body = b.Bytes()
	}
	pause := 500 * time.Millisecond
	for try := 1; ; try++ {
		again, after, err := c.post(ctx, body)
		if err == nil || !again || try == tries {
			return err
		}
		select {
		case <-time.After(min(max(pause, after), 10*time.Second)):
			pause *= 2
		case <-ctx.Done():
			return err
		}
	}
}

// retryable are the answers after which the same request may succeed later (OTLP, Failures).
var retryable = []int{http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}

// post sends one request. again says whether the request may succeed later, and after how long the collector wants it.
func (c *client) post(ctx context.Context, body []byte) (again bool, after time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return false, 0, err
	}
	req.Header = c.headers.Clone()
	if c.zip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return true, 0, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return false, 0, fmt.Errorf("read the collector's answer: %w", err)
	}
	if resp.StatusCode/100 == 2 {
		return false, 0, rejected(answer)
	}
	seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
	return slices.Contains(retryable, resp.StatusCode), time.Duration(seconds) * time.Second, errors.New("the collector answers " + resp.Status)
}

// rejected returns an error if the collector says that it has not taken all spans: the field partial_success (1) of the answer has a number of
// rejected spans (1) and a text (2).
func rejected(answer []byte) error {
	partial, n := field(answer, 1), uint64(0)
	for b := partial; len(b) > 0; {
		number, kind, tag := protowire.ConsumeTag(b)
		if tag < 0 {
			return nil
		}
		if number == 1 && kind == protowire.VarintType {
			n, _ = protowire.ConsumeVarint(b[tag:])
		}
		size := protowire.ConsumeFieldValue(number, kind, b[tag:])
		if size < 0 {
			return nil
		}
		b = b[tag+size:]
	}
	if n == 0 {
		return nil
	}
	return fmt.Errorf("the collector has rejected %d spans: %q", n, field(partial, 2))
}

// field returns the content of a field of bytes; nil if there is none.
func field(b []byte, want protowire.Number) []byte {
	for len(b) > 0 {
		number, kind, tag := protowire.ConsumeTag(b)
		if tag < 0 {
			return nil
		}
		size := protowire.ConsumeFieldValue(number, kind, b[tag:])
		if size < 0 {
			return nil
		}
		if number == want && kind == protowire.BytesType {
			content, _ := protowire.ConsumeBytes(b[tag:])
			return content
		}
		b = b[tag+size:]
	}
	return nil
}
