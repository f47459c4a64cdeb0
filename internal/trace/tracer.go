package trace

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"
)

// scope is the name of the instrumentation in traces.
const scope = "transponder"

// Config says where the collector is.
type Config struct {
	// Endpoint is the address of the collector, without /v1/traces; "": there are no traces.
	Endpoint string
}

// Validate reports an address that cannot be used.
func (c Config) Validate() error {
	if c.Endpoint == "" {
		return nil
	}
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("otel_endpoint must be like http://localhost:4318; a password goes into OTEL_EXPORTER_OTLP_HEADERS")
	}
	return nil
}

// Tracer makes spans and sends them. Any goroutine may call its methods.
type Tracer struct {
	tracer oteltrace.Tracer
	queue  *queue
}

// New makes a tracer for this server; nil if the settings name no collector. getenv reads the environment. The variables OTEL_* that the SDK
// itself reads, such as OTEL_TRACES_SAMPLER and OTEL_RESOURCE_ATTRIBUTES, are those of the process.
func New(ctx context.Context, cfg Config, node, version string, getenv func(string) string, log *slog.Logger) (*Tracer, error) {
	if cfg.Endpoint == "" || strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") {
		return nil, nil
	}
	client, err := newClient(cfg, version, getenv)
	if err != nil {
		return nil, fmt.Errorf("otel_endpoint: %w", err)
	}
	exporter, err := otlptrace.New(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("otel_endpoint: %w", err)
	}
	// Of two values of one attribute the later one counts.
	about, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", "transponder"), attribute.String("service.version", version), attribute.String("service.instance.id", node)),
		resource.WithFromEnv())
	if err != nil {
		log.Warn("OTEL_RESOURCE_ATTRIBUTES cannot be read", "err", err)
	}
	q := newQueue(exporter, getenv, log)
	provider := sdktrace.NewTracerProvider(sdktrace.WithResource(about), sdktrace.WithSpanProcessor(q))
	return &Tracer{provider.Tracer(scope), q}, nil
}

// Run sends spans until ctx ends, and then for two seconds at most what is still queued.
func (t *Tracer) Run(ctx context.Context) error {
	t.queue.run(ctx)
	return context.Cause(ctx)
}

// Stats returns the figures. A nil Tracer has none.
func (t *Tracer) Stats() Stats {
	if t == nil {
		return Stats{}
	}
	return t.queue.stats()
}

// Incoming returns a handler whose requests carry the trace of their client, if they have the header traceparent (W3C Trace Context).
func (t *Tracer) Incoming(h http.Handler) http.Handler {
	if t == nil {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("traceparent") != "" {
			r = r.WithContext(propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header)))
		}
		h.ServeHTTP(w, r)
	})
}

// Begin begins a span that belongs to no work of this server. If the client of the request has a trace, the span is inside of the client's span, and
// has a link to the span of, unless that one is in the same trace. Otherwise the span is inside of the span of.
func (t *Tracer) Begin(ctx context.Context, name string, of Link) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	options := []oteltrace.SpanStartOption{oteltrace.WithSpanKind(oteltrace.SpanKindServer)}
	switch client := oteltrace.SpanContextFromContext(ctx); {
	case !of.context.IsValid():
	case !client.IsValid():
		ctx = oteltrace.ContextWithRemoteSpanContext(ctx, of.context)
	case client.TraceID() != of.context.TraceID():
		options = append(options, oteltrace.WithLinks(oteltrace.Link{SpanContext: of.context}))
	}
	ctx, span := t.tracer.Start(ctx, name, options...)
	return ctx, Span{span}
}

// StartLate is Start for a span that may be over already.
func (t *Tracer) StartLate(ctx context.Context, name string) (context.Context, Span) {
	if t == nil || !oteltrace.SpanContextFromContext(ctx).IsValid() {
		return ctx, Span{}
	}
	ctx, span := t.tracer.Start(ctx, name)
	return ctx, Span{span}
}

// BeginTrace begins a span that is the first of a trace, and has links to the spans of. Of spans of one trace the first one is meant.
func (t *Tracer) BeginTrace(ctx context.Context, name string, of ...Link) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	var links []oteltrace.Link
	for _, l := range of {
		same := func(other oteltrace.Link) bool { return other.SpanContext.TraceID() == l.context.TraceID() }
		if l.context.IsValid() && !slices.ContainsFunc(links, same) {
			links = append(links, oteltrace.Link{SpanContext: l.context})
		}
	}
	ctx, span := t.tracer.Start(ctx, name, oteltrace.WithNewRoot(), oteltrace.WithLinks(links...))
	return ctx, Span{span}
}

// HandOver begins a span of work that another server does for the client of a request. The headers that the other server gets make what it does a
// part of the span. If the client has no trace, HandOver begins nothing.
func (t *Tracer) HandOver(ctx context.Context, header http.Header) Span {
	if t == nil || !oteltrace.SpanContextFromContext(ctx).IsValid() {
		return Span{}
	}
	ctx, span := t.tracer.Start(ctx, "hand over", oteltrace.WithSpanKind(oteltrace.SpanKindClient))
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(header))
	return Span{span}
}
