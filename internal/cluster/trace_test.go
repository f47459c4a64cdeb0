package cluster

import (
	"log/slog"
	"net/http"
	"testing"
)

// The trace of a client goes on at the server that serves the call.
func TestRouterHandsTraceOver(t *testing.T) {
	sealer, w, log := newSealer(t), &wire{}, slog.New(slog.DiscardHandler)
	a, got := NewRouter(w.join("a"), sealer, log), make(chan http.Header, 1)
	NewRouter(w.join("b"), sealer, log).Serve(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header }))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://host/rest-api/push/startup", nil)
	if err != nil {
		t.Fatal(err)
	}
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	req.Header.Set("Traceparent", parent)
	req.Header.Set("Tracestate", "x=1")
	req.Header.Set("Cookie", "secret")
	if _, err := a.Ask(t.Context(), Owner{"b", "inc-b"}, NewCall(req, nil)); err != nil {
		t.Fatal(err)
	}
	if h := <-got; h.Get("Traceparent") != parent || h.Get("Tracestate") != "x=1" || h.Get("Cookie") != "" {
		t.Errorf("the other server gets %v", h)
	}
}
