package testkit

import (
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// TraceSpan is a span as a collector has got it.
type TraceSpan struct {
	Name, Trace, ID, Parent string
	Links                   []string // traces
	Failed                  bool
	Words                   string // why it failed
	Attributes              map[string]string
	Resource                map[string]string
	Begin, End              uint64 // nanoseconds since 1970
}

// Collector takes traces by OTLP over HTTP.
type Collector struct {
	*httptest.Server

	mu       sync.Mutex
	spans    []TraceSpan     // guarded by mu
	requests []*http.Request // guarded by mu
	answers  []int           // guarded by mu; to the next requests, before they are taken
}

// NewCollector starts a collector. It ends with the test.
func NewCollector(t testing.TB) *Collector {
	c := &Collector{}
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	return c
}

// Refuse makes the collector answer the next requests so.
func (c *Collector) Refuse(codes ...int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers = codes
}

// Spans returns what came so far.
func (c *Collector) Spans() []TraceSpan {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]TraceSpan(nil), c.spans...)
}

// Await waits for a span with a name.
func (c *Collector) Await(t testing.TB, name string, is func(TraceSpan) bool) (found TraceSpan) {
	t.Helper()
	Eventually(t, 15*time.Second, func() string {
		all := c.Spans()
		i := slices.IndexFunc(all, func(s TraceSpan) bool { return s.Name == name && is(s) })
		if i < 0 {
			return fmt.Sprintf("no span %s among %+v", name, all)
		}
		found = all[i]
		return ""
	})
	return found
}

// Within says whether a span is a step of another one.
func (s TraceSpan) Within(parent TraceSpan) bool {
	return s.Trace == parent.Trace && s.Parent == parent.ID
}

// Requests returns the requests that came so far, without their bodies.
func (c *Collector) Requests() []*http.Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*http.Request(nil), c.requests...)
}

// ServeHTTP implements http.Handler.
func (c *Collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		zipped, err := gzip.NewReader(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = zipped
	}
	b, err := io.ReadAll(body)
	var data tracepb.TracesData
	if err == nil {
		err = proto.Unmarshal(b, &data)
	}
	if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" || len(data.ProtoReflect().GetUnknown()) > 0 {
		http.Error(w, "no traces", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests = append(c.requests, r)
	if len(c.answers) > 0 {
		code := c.answers[0]
		c.answers = c.answers[1:]
		w.WriteHeader(code)
		return
	}
	for _, resource := range data.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, s := range scope.Spans {
				span := TraceSpan{
					Name: s.Name, Trace: hex.EncodeToString(s.TraceId), ID: hex.EncodeToString(s.SpanId), Parent: hex.EncodeToString(s.ParentSpanId),
					Failed: s.Status.GetCode() == tracepb.Status_STATUS_CODE_ERROR, Words: s.Status.GetMessage(),
					Attributes: attributes(s.Attributes), Resource: attributes(resource.Resource.GetAttributes()), Begin: s.StartTimeUnixNano, End: s.EndTimeUnixNano,
				}
				for _, l := range s.Links {
					span.Links = append(span.Links, hex.EncodeToString(l.TraceId))
				}
				c.spans = append(c.spans, span)
			}
		}
	}
}

func attributes(all []*commonpb.KeyValue) map[string]string {
	m := map[string]string{}
	for _, a := range all {
		if v, ok := a.Value.GetValue().(*commonpb.AnyValue_IntValue); ok {
			m[a.Key] = strconv.FormatInt(v.IntValue, 10)
			continue
		}
		m[a.Key] = a.Value.GetStringValue()
	}
	return m
}
