package metrics

import "transponder/internal/trace"

var (
	traceSpans  = desc("trace_spans_total", "Spans of traces: sent to the collector, dropped because the queue was full, or failed because the collector did not take them.", "result")
	traceQueued = desc("trace_spans_queued", "Spans that wait to be sent to the collector.")
)

func (s sink) traces(st trace.Stats) {
	s.counter(traceSpans, st.Sent, "sent")
	s.counter(traceSpans, st.Dropped, "dropped")
	s.counter(traceSpans, st.Failed, "failed")
	s.gauge(traceQueued, float64(st.Queued))
}
