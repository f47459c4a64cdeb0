// Package tracekit is for the tests of packages that make traces.
package tracekit

import (
	"context"
	"log/slog"
	"testing"

	"transponder/internal/testkit"
	"transponder/internal/trace"
)

// Start makes a collector, and a tracer that sends to it every few milliseconds. Both end with the test.
func Start(t *testing.T) (*testkit.Collector, *trace.Tracer) {
	t.Helper()
	c := testkit.NewCollector(t)
	often := func(key string) string { return map[string]string{"OTEL_BSP_SCHEDULE_DELAY": "5"}[key] }
	tracer, err := trace.New(t.Context(), trace.Config{Endpoint: c.URL}, "n1", "1.2", often, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = tracer.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return c, tracer
}
