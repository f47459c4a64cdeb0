package trace

import (
	"context"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// flushLimit is how long the queue may take at the end: other parts of the server have to end within the same five seconds.
const flushLimit = 2 * time.Second

// Stats are the figures of the spans that are over.
type Stats struct {
	Sent    int64
	Dropped int64 // the queue had no room for them
	Failed  int64 // the collector did not take them
	Queued  int
}

// queue takes spans that are over, and sends them in batches. The batch processor of the SDK does the same, but does not tell how many spans it
// has dropped.
type queue struct {
	exporter sdktrace.SpanExporter
	log      *slog.Logger

	delay time.Duration // how long a span may wait for others
	batch int           // the most spans in one request

	spans chan sdktrace.ReadOnlySpan

	sent, dropped, failed atomic.Int64
	warned                time.Time // owned by run
}

var _ sdktrace.SpanProcessor = (*queue)(nil)

// newQueue makes a queue with the sizes of OpenTelemetry's specification (Batch Span Processor), or those of the environment.
func newQueue(exporter sdktrace.SpanExporter, getenv func(string) string, log *slog.Logger) *queue {
	number := func(key string, usual, most int) int {
		if n, err := strconv.Atoi(getenv(key)); err == nil && n > 0 {
			return min(n, most)
		}
		return usual
	}
	size := number("OTEL_BSP_MAX_QUEUE_SIZE", 2048, 1<<16)
	return &queue{
		exporter: exporter, log: log, spans: make(chan sdktrace.ReadOnlySpan, size),
		delay: time.Duration(number("OTEL_BSP_SCHEDULE_DELAY", 5000, 60_000)) * time.Millisecond,
		batch: min(size, number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512, 1<<16)),
	}
}

// OnStart implements sdktrace.SpanProcessor.
func (q *queue) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

// OnEnd implements sdktrace.SpanProcessor. It never blocks.
func (q *queue) OnEnd(s sdktrace.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	select {
	case q.spans <- s:
	default:
		q.dropped.Add(1)
	}
}

// Shutdown implements sdktrace.SpanProcessor. The queue ends with the context of run.
func (q *queue) Shutdown(context.Context) error { return nil }

// ForceFlush implements sdktrace.SpanProcessor.
func (q *queue) ForceFlush(context.Context) error { return nil }

func (q *queue) stats() Stats {
	return Stats{Sent: q.sent.Load(), Dropped: q.dropped.Load(), Failed: q.failed.Load(), Queued: len(q.spans)}
}

// run sends spans until ctx ends, then what is left, as far as flushLimit allows.
func (q *queue) run(ctx context.Context) {
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(flushLimit, cancel) })
	defer stop()
	defer func() { _ = q.exporter.Shutdown(sending) }() // before cancel
	for {
		batch := q.collect(ctx)
		if len(batch) == 0 {
			return // ctx has ended, and nothing is left
		}
		q.send(sending, batch)
		if sending.Err() != nil {
			q.dropped.Add(int64(len(q.spans)))
			return
		}
	}
}

// collect waits for the next batch. It returns what there is when ctx has ended.
func (q *queue) collect(ctx context.Context) []sdktrace.ReadOnlySpan {
	var batch []sdktrace.ReadOnlySpan
	var due <-chan time.Time
	for len(batch) < q.batch {
		select {
		case s := <-q.spans:
			if batch = append(batch, s); due == nil {
				due = time.After(q.delay)
			}
			continue
		default:
		}
		select {
		case s := <-q.spans:
			if batch = append(batch, s); due == nil {
				due = time.After(q.delay)
			}
		case <-due:
			return batch
		case <-ctx.Done():
			if len(q.spans) == 0 {
				return batch
			}
		}
	}
	return batch
}

// send sends a batch. Errors are logged once a minute at most.
func (q *queue) send(ctx context.Context, batch []sdktrace.ReadOnlySpan) {
	err := q.exporter.ExportSpans(ctx, batch)
	if err == nil {
		q.sent.Add(int64(len(batch)))
		return
	}
	q.failed.Add(int64(len(batch)))
	if now := time.Now(); now.Sub(q.warned) >= time.Minute {
		q.warned = now
		q.log.Warn("traces not sent", "err", err, "spans", len(batch))
	}
}
