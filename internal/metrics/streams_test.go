package metrics

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"transponder/internal/stream"
	"transponder/internal/transponder"
)

type tenantKey struct{}

// Whoever may read about some streams gets the series of those streams, and nothing about the others or about the whole server.
func TestSeriesOfSomeStreams(t *testing.T) {
	hub := stream.NewHub(stream.DefaultConfig(), nil)
	for _, name := range []string{"acme/a", "beta/b"} {
		src, err := hub.Publish(stream.Info{Name: name, ID: name})
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close(nil)
	}
	h, err := New(Parts{
		Streams: hub.Sources,
		Pushes: func() []transponder.Info {
			return []transponder.Info{{ID: "p1", SourceName: "acme/a"}, {ID: "p2", SourceName: "beta/b"}}
		},
		Reader: func(ctx context.Context) func(string) bool {
			prefix, _ := ctx.Value(tenantKey{}).(string)
			if prefix == "" {
				return nil
			}
			return func(stream string) bool { return strings.HasPrefix(stream, prefix) }
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	scrape := func(tenant string) string {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(context.WithValue(t.Context(), tenantKey{}, tenant), "GET", "/metrics", nil))
		if w.Code != 200 {
			t.Fatalf("answer = %d %s", w.Code, w.Body)
		}
		return w.Body.String()
	}
	whole := scrape("")
	for _, want := range []string{`stream="acme/a"`, `stream="beta/b"`, "transponder_streams{", "go_goroutines"} {
		if !strings.Contains(whole, want) {
			t.Errorf("%s is not in the whole", want)
		}
	}
	part := scrape("acme/")
	for line := range strings.Lines(part) {
		if !strings.HasPrefix(line, "#") && !strings.Contains(line, `stream="acme/a"`) {
			t.Errorf("a tenant reads %s", line)
		}
	}
	for _, want := range []string{`transponder_stream_frames_total{kind="video",stream="acme/a"}`, `transponder_push_sent_bytes_total{push="p1",stream="acme/a"}`} {
		if !strings.Contains(part, want) {
			t.Errorf("%s is not in %s", want, part)
		}
	}
	if scrape("nobody") != "" {
		t.Error("a tenant without streams reads something")
	}
}
