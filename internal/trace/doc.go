// Package trace makes the traces of OpenTelemetry: what took how long, from the offer of a publisher to the first picture at the destination, and
// what failed on the way. A collector gets them by OTLP over HTTP (the OTLP specification 1.x, in its binary encoding).
//
// New returns nil if the settings name no collector. A nil *Tracer, a nil *Steps and a zero Span are ready to use, and do and cost nothing. Spans
// of work inside of other work come from Start, which needs no Tracer.
//
// Nobody waits for the collector. Spans that are over go to a queue with a bound, and Run, which app runs and stops, sends them. Stats counts the
// spans that were lost. Names of targets come without their secrets from the callers.
package trace
