package trace

import (
	"strings"

	oteltrace "go.opentelemetry.io/otel/trace"
)

// Link names a span that may be over, perhaps of another server. The zero Link names none.
type Link struct{ context oteltrace.SpanContext }

// String returns the text that ParseLink reads, in the form of the header traceparent (W3C Trace Context); "" if nobody will see the span.
func (l Link) String() string {
	if !l.context.IsValid() || !l.context.IsSampled() {
		return ""
	}
	return "00-" + l.context.TraceID().String() + "-" + l.context.SpanID().String() + "-" + l.context.TraceFlags().String()
}

// ParseLink reads the name of a span. A text that is none gives the zero Link.
func ParseLink(text string) Link {
	parts := strings.Split(text, "-")
	if len(parts) != 4 || parts[0] != "00" {
		return Link{}
	}
	trace, err := oteltrace.TraceIDFromHex(parts[1])
	if err != nil {
		return Link{}
	}
	span, err := oteltrace.SpanIDFromHex(parts[2])
	if err != nil {
		return Link{}
	}
	return Link{oteltrace.NewSpanContext(oteltrace.SpanContextConfig{TraceID: trace, SpanID: span, TraceFlags: oteltrace.FlagsSampled, Remote: true})}
}
