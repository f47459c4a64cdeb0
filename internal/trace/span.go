package trace

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	oteltrace "go.opentelemetry.io/otel/trace"
)

// logKey is the key of the trace in log lines (OpenTelemetry, Trace Context in non-OTLP Log Formats).
const logKey = "trace_id"

// Span is work that is under way. The zero Span is none, and its methods do nothing. Any goroutine may call the methods.
type Span struct{ span oteltrace.Span }

// Start begins a span inside of the span that ctx carries. If that one is over, or if there is none, it begins nothing.
func Start(ctx context.Context, name string) (context.Context, Span) {
	parent := oteltrace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, Span{}
	}
	ctx, span := parent.TracerProvider().Tracer(scope).Start(ctx, name)
	return ctx, Span{span}
}

// Of returns the span that ctx carries.
func Of(ctx context.Context) Span { return Span{oteltrace.SpanFromContext(ctx)} }

// On says whether somebody will see the span. Values that cost something are made only then.
func (s Span) On() bool { return s.span != nil && s.span.IsRecording() }

// Set notes a fact.
func (s Span) Set(key, value string) {
	if s.On() {
		s.span.SetAttributes(attribute.String(key, value))
	}
}

// SetInt notes a number.
func (s Span) SetInt(key string, value int) {
	if s.On() {
		s.span.SetAttributes(attribute.Int(key, value))
	}
}

// End ends the span. Only the first call of End or Fail has an effect.
func (s Span) End() {
	if s.span != nil {
		s.span.End()
	}
}

// Fail ends the span with a reason from a closed list and a sentence, neither of which may hold a secret.
func (s Span) Fail(reason, words string) {
	if s.On() {
		s.span.SetAttributes(attribute.String("error.type", reason))
		s.span.SetStatus(codes.Error, words)
	}
	s.End()
}

// Link returns the name of the span.
func (s Span) Link() Link {
	if s.span == nil {
		return Link{}
	}
	return Link{s.span.SpanContext()}
}

// Log returns a logger whose lines name the trace.
func (s Span) Log(log *slog.Logger) *slog.Logger {
	if id := s.traceID(); id != "" {
		return log.With(logKey, id)
	}
	return log
}

// traceID returns the name of the trace as logs show it; "" if nobody will see the trace.
func (s Span) traceID() string {
	if s.span == nil || !s.span.SpanContext().IsSampled() {
		return ""
	}
	return s.span.SpanContext().TraceID().String()
}
