package cluster

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"transponder/internal/testkit"
	"transponder/internal/testkit/tracekit"
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

// A server that hands requests over makes a span of each in the trace of the client. What the other server does is a part of that span.
func TestRouterTracesHandingOver(t *testing.T) {
	c, tracer := tracekit.Start(t)
	sealer, w, log := newSealer(t), &wire{}, slog.New(slog.DiscardHandler)
	a, got := NewRouter(w.join("a"), sealer, log), make(chan string, 2)
	a.Trace(tracer)
	for _, node := range []string{"b", "c"} {
		NewRouter(w.join(node), sealer, log).Serve(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			got <- node + " " + r.Header.Get("Traceparent")
			rw.WriteHeader(http.StatusConflict)
		}))
	}
	const client, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	ask := func(traceparent string, ask func(*http.Request)) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://host/rest-api/push/startup", nil)
		if err != nil {
			t.Fatal(err)
		}
		if traceparent != "" {
			r.Header.Set("Traceparent", traceparent)
		}
		tracer.Incoming(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { ask(r) })).ServeHTTP(nil, r)
	}
	ask("", func(r *http.Request) {
		if _, err := a.Ask(r.Context(), Owner{"b", "inc-b"}, NewCall(r, nil)); err != nil {
			t.Fatal(err)
		}
	})
	if at := <-got; at != "b " {
		t.Errorf("without a trace of the client: %q", at)
	}
	traced := "00-" + client + "-" + parent + "-01"
	ask(traced, func(r *http.Request) {
		if _, missing := a.AskAll(r.Context(), NewCall(r, nil)); missing != nil {
			t.Fatal(missing)
		}
	})
	for range 2 {
		node, header, _ := strings.Cut(<-got, " ")
		span := c.Await(t, "hand over", func(s testkit.TraceSpan) bool { return s.Attributes["transponder.node"] == node })
		if span.Trace != client || span.Parent != parent || span.Failed || span.Attributes["http.response.status_code"] != "409" {
			t.Errorf("span of the request to %s: %+v", node, span)
		}
		if want := "00-" + client + "-" + span.ID + "-01"; header != want {
			t.Errorf("%s gets the trace %q, want %q", node, header, want)
		}
	}
	w.leave(Owner{"b", "inc-b"})
	ask(traced, func(r *http.Request) {
		if _, err := a.Ask(r.Context(), Owner{"b", "inc-b"}, NewCall(r, nil)); !errors.Is(err, ErrGone) {
			t.Fatal(err)
		}
	})
	c.Await(t, "hand over", func(s testkit.TraceSpan) bool { return s.Failed && s.Attributes["error.type"] == "node_gone" })
	if n := len(c.Spans()); n != 3 {
		t.Errorf("%d spans, want 3", n)
	}
}
