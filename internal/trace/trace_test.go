package trace

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"transponder/internal/testkit"
)

// started returns a tracer that sends to a collector at once, and a function that ends it.
func started(t *testing.T, url string, env map[string]string) (tracer *Tracer, stop func()) {
	t.Helper()
	get := func(key string) string {
		if v, ok := env[key]; ok {
			return v
		}
		return map[string]string{"OTEL_BSP_SCHEDULE_DELAY": "1"}[key]
	}
	tracer, err := New(t.Context(), Config{Endpoint: url}, "n1", "1.2", get, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = tracer.Run(ctx)
	}()
	stop = func() {
		cancel()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			t.Error("the tracer does not end")
		}
	}
	t.Cleanup(stop)
	return tracer, stop
}

func find(t *testing.T, all []testkit.TraceSpan, name string) testkit.TraceSpan {
	t.Helper()
	i := slices.IndexFunc(all, func(s testkit.TraceSpan) bool { return s.Name == name })
	if i < 0 {
		t.Fatalf("no span %s in %+v", name, all)
	}
	return all[i]
}

// A publisher's steps and a push of its stream are one trace; a reconnect has a trace of its own with a link. At the end all of it is sent.
func TestTraces(t *testing.T) {
	c := testkit.NewCollector(t)
	tracer, stop := started(t, c.URL+"/", map[string]string{
		"OTEL_EXPORTER_OTLP_HEADERS": "authorization=Basic%20abc, x=1", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
	})
	steps := tracer.Steps(t.Context(), "publish", "answer")
	steps.Set("transponder.stream", "cam")
	steps.NextAfter("ICE", "DTLS") // it is not at ICE yet
	steps.Next("ICE")
	steps.NextAfter("ICE", "DTLS")
	steps.End(errors.New("gone"))
	steps.Next("never")
	ctx, push := tracer.Begin(t.Context(), "push", steps.Link())
	within, connect := Start(ctx, "connect")
	_, tcp := Start(within, "TCP")
	tcp.Fail("tcp_refused", "Nothing listens at this address.")
	connect.End()
	connect.Fail("late", "It is over already.")
	push.End()
	_, late := Start(ctx, "late")
	late.End()
	_, leg := tracer.StartLate(ctx, "leg")
	leg.End()
	_, none := tracer.StartLate(t.Context(), "none")
	none.End()
	_, again := tracer.BeginTrace(ctx, "reconnect", push.Link())
	again.SetInt("transponder.attempt", 2)
	again.End()
	stop()
	all := c.Spans()
	publish := find(t, all, "publish")
	for _, s := range all {
		switch one := s.Name == "reconnect"; {
		case one && (s.Trace == publish.Trace || len(s.Links) != 1 || s.Links[0] != publish.Trace || s.Attributes["transponder.attempt"] != "2"):
			t.Errorf("reconnect: %+v", s)
		case !one && s.Trace != publish.Trace:
			t.Errorf("%s is in another trace than the publisher", s.Name)
		}
		if s.Resource["service.name"] != "transponder" || s.Resource["service.version"] != "1.2" || s.Resource["service.instance.id"] != "n1" {
			t.Errorf("resource %v", s.Resource)
		}
	}
	for name, want := range map[string]struct {
		parent string
		failed bool
		reason string
	}{
		"publish": {"", true, "publisher"}, "answer": {"publish", false, ""}, "ICE": {"publish", false, ""}, "DTLS": {"publish", true, "publisher"},
		"push": {"publish", false, ""}, "leg": {"push", false, ""}, "connect": {"push", false, ""}, "TCP": {"connect", true, "tcp_refused"},
	} {
		s, parent := find(t, all, name), ""
		if want.parent != "" {
			parent = find(t, all, want.parent).ID
		}
		if s.Parent != parent || s.Failed != want.failed || s.Attributes["error.type"] != want.reason {
			t.Errorf("%s: %+v", name, s)
		}
	}
	if len(all) != 9 || publish.Words != "gone" || publish.Attributes["transponder.stream"] != "cam" {
		t.Errorf("%d spans, publish %+v", len(all), publish)
	}
	r := c.Requests()[0]
	if r.Header.Get("Authorization") != "Basic abc" || r.Header.Get("X") != "1" || r.Header.Get("Content-Encoding") != "gzip" || r.UserAgent() != "Transponder/1.2" {
		t.Errorf("headers %v", r.Header)
	}
	if s := tracer.Stats(); s != (Stats{Sent: 9}) {
		t.Errorf("figures %+v", s)
	}
}

// A request with a traceparent gives its trace to what it starts, and a span that belongs to another trace too gets a link.
func TestTraceOfTheClient(t *testing.T) {
	c := testkit.NewCollector(t)
	tracer, stop := started(t, c.URL, nil)
	other := tracer.Steps(t.Context(), "publish", "answer")
	handler := tracer.Incoming(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, span := tracer.Begin(r.Context(), "push", other.Link())
		span.End()
	}))
	for header, id := range map[string]string{"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01": "", "nonsense": "", "": ""} {
		_ = id
		req := httptest.NewRequest(http.MethodPost, "/", nil)
		if header != "" {
			req.Header.Set("Traceparent", header)
		}
		handler.ServeHTTP(httptest.NewRecorder(), req)
	}
	other.End(nil)
	stop()
	publish := find(t, c.Spans(), "publish")
	foreign := 0
	for _, s := range c.Spans() {
		switch {
		case s.Name != "push":
		case s.Trace == "0af7651916cd43dd8448eb211c80319c":
			foreign++
			if s.Parent != "b7ad6b7169203331" || len(s.Links) != 1 || s.Links[0] != publish.Trace {
				t.Errorf("push of the client: %+v", s)
			}
		case s.Trace != publish.Trace || s.Parent != publish.ID:
			t.Errorf("push: %+v", s)
		}
	}
	if foreign != 1 {
		t.Errorf("%d pushes are in the trace of their client", foreign)
	}
}

// A client that wants no trace gets none.
func TestNotSampled(t *testing.T) {
	c := testkit.NewCollector(t)
	tracer, stop := started(t, c.URL, nil)
	req := httptest.NewRequest(http.MethodPost, "/", nil)
	req.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")
	tracer.Incoming(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		steps := tracer.Steps(r.Context(), "publish", "answer")
		if steps != nil {
			t.Error("there are steps")
		}
		steps.End(nil)
	})).ServeHTTP(httptest.NewRecorder(), req)
	stop()
	if n := len(c.Spans()); n != 0 {
		t.Errorf("%d spans", n)
	}
}

// A collector that has too much to do is asked again. One that refuses is not, and the spans are counted.
func TestCollectorRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		codes []int
		want  Stats
		asked int
	}{
		"busy":     {[]int{http.StatusServiceUnavailable}, Stats{Sent: 1}, 2},
		"refusing": {[]int{http.StatusBadRequest}, Stats{Failed: 1}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			collector := testkit.NewCollector(t)
			collector.Refuse(c.codes...)
			tracer, _ := started(t, collector.URL, nil)
			_, span := tracer.Begin(t.Context(), "push", Link{})
			span.End()
			testkit.Eventually(t, 20*time.Second, func() string {
				if got := tracer.Stats(); got.Sent+got.Failed == 0 {
					return "nothing was sent"
				}
				return ""
			})
			if got := tracer.Stats(); got != c.want || len(collector.Requests()) != c.asked {
				t.Errorf("%+v after %d requests", got, len(collector.Requests()))
			}
		})
	}
}

// With a collector that does not answer, spans are dropped and nobody waits. The tracer ends in time all the same.
func TestCollectorHangs(t *testing.T) {
	asked, release := make(chan struct{}, 9), make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		asked <- struct{}{}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer hanging.Close()
	defer close(release)
	tracer, stop := started(t, hanging.URL, map[string]string{"OTEL_BSP_MAX_QUEUE_SIZE": "10", "OTEL_BSP_SCHEDULE_DELAY": "1"})
	end := func() { _, span := tracer.Begin(t.Context(), "push", Link{}); span.End() }
	end()
	<-asked
	for range 110 {
		end()
	}
	if s := tracer.Stats(); s.Dropped < 90 || s.Queued > 10 {
		t.Errorf("figures %+v", s)
	}
	begun := time.Now()
	stop()
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("the tracer takes %v to end", took)
	}
	if s := tracer.Stats(); s.Sent != 0 || s.Failed+s.Dropped < 101 {
		t.Errorf("figures at the end: %+v", s)
	}
}

// The lines of a log name the trace that is current when they are written.
func TestLog(t *testing.T) {
	c := testkit.NewCollector(t)
	tracer, _ := started(t, c.URL, nil)
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, nil))
	var current Current
	pushLog := current.Log(log).With("push", "p")
	pushLog.Info("without")
	_, first := tracer.Begin(t.Context(), "push", Link{})
	current.Set(first)
	pushLog.Info("with")
	first.Log(log).Info("own")
	Span{}.Log(log).Info("none")
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	id := `"trace_id":"` + first.traceID() + `"`
	for i, has := range []bool{false, true, true, false} {
		if strings.Contains(lines[i], id) != has || strings.Contains(lines[i], "trace_id") != has {
			t.Errorf("line %d: %s", i, lines[i])
		}
	}
}

func TestConfig(t *testing.T) {
	for url, good := range map[string]bool{
		"": true, "http://localhost:4318": true, "https://otel.example.com/path/": true,
		"localhost:4318": false, "ftp://x": false, "http://": false, "http://u:p@x": false, "http://x?key=1": false,
	} {
		if err := (Config{url}).Validate(); (err == nil) != good {
			t.Errorf("%s: %v", url, err)
		}
	}
	for _, env := range []map[string]string{{}, {"OTEL_SDK_DISABLED": "true"}} {
		cfg := Config{}
		if len(env) > 0 {
			cfg.Endpoint = "http://localhost:4318"
		}
		if tracer, err := New(t.Context(), cfg, "", "", func(k string) string { return env[k] }, slog.New(slog.DiscardHandler)); tracer != nil || err != nil {
			t.Errorf("%v: tracer %v, %v", env, tracer, err)
		}
	}
	for _, env := range []string{"/nowhere/ca.pem", "trace_test.go"} {
		if _, err := newClient(Config{}, "", func(string) string { return env }); err == nil {
			t.Errorf("certificates of %s are taken", env)
		}
	}
}

// The collector may take some spans of a request and reject others.
func TestRejected(t *testing.T) {
	partial := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 3)
	partial = protowire.AppendString(protowire.AppendTag(partial, 2, protowire.BytesType), "too old")
	answer := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), partial)
	if err := rejected(answer); err == nil || !strings.Contains(err.Error(), `3 spans: "too old"`) {
		t.Errorf("rejected spans: %v", err)
	}
	for _, b := range [][]byte{nil, {10, 0}, []byte("<html>"), answer[:3], {0xff}} {
		if err := rejected(b); err != nil {
			t.Errorf("%q: %v", b, err)
		}
	}
}

// The name of a span can be kept as text. Nothing is kept of a span that nobody will see.
func TestLinkAsText(t *testing.T) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, tt := range []struct{ text, want string }{
		{parent, parent},
		{"", ""},
		{"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", ""},
		{"01" + parent[2:], ""},
		{"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", ""},
		{"00-00000000000000000000000000000000-b7ad6b7169203331-01", ""},
		{"00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01", ""},
	} {
		if got := ParseLink(tt.text).String(); got != tt.want {
			t.Errorf("%q becomes %q, want %q", tt.text, got, tt.want)
		}
	}
	c := testkit.NewCollector(t)
	t.Setenv("OTEL_TRACES_SAMPLER", "always_off")
	tracer, stop := started(t, c.URL, nil)
	defer stop()
	if _, s := tracer.Begin(t.Context(), "push", Link{}); s.Link().String() != "" {
		t.Errorf("of a span that nobody will see is kept %q", s.Link())
	}
}

// Without a collector all of it costs no memory.
func off(ctx context.Context, t *Tracer) {
	steps := t.Steps(ctx, "publish", "answer")
	steps.Set("transponder.stream", "cam")
	steps.Next("ICE")
	steps.NextAfter("ICE", "DTLS")
	steps.End(nil)
	ctx, push := t.Begin(ctx, "push", steps.Link())
	_, tcp := Start(ctx, "TCP")
	tcp.SetInt("network.peer.port", 1935)
	tcp.Fail("timeout", "The server did not answer in time.")
	_, again := t.BeginTrace(ctx, "reconnect", push.Link(), steps.Link())
	again.End()
	t.HandOver(ctx, nil).End()
	push.End()
}

func TestOffCostsNothing(t *testing.T) {
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() { off(ctx, nil) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkOff(b *testing.B) {
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		off(ctx, nil)
	}
}
