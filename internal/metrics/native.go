package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"transponder/internal/transponder"
)

// durations shows times as a histogram that has both forms: classic buckets, and the fine buckets of a native histogram. A Prometheus that wants
// native histograms asks for the binary format, which has both. The text format has the classic buckets only.
func (s sink) durations(d *prometheus.Desc, t transponder.Durations) {
	s.out <- nativeHistogram{histogram(d, transponder.DurationBounds[:], t.Counts[:], t.Sum), t}
}

// nativeHistogram adds fine buckets to a classic histogram.
type nativeHistogram struct {
	prometheus.Metric
	times transponder.Durations
}

// Write implements prometheus.Metric.
func (n nativeHistogram) Write(to *dto.Metric) error {
	if err := n.Metric.Write(to); err != nil {
		return err
	}
	h := to.Histogram
	schema, threshold, zero := int32(transponder.FineSchema), transponder.FineZero.Seconds(), uint64(n.times.Zero)
	h.Schema, h.ZeroThreshold, h.ZeroCount = &schema, &threshold, &zero
	var before int64
	next := int32(0) // the index that needs no new span
	for i, times := range n.times.Fine {
		if times == 0 {
			continue
		}
		if index := int32(transponder.FineFirst + i); len(h.PositiveSpan) == 0 || index != next {
			offset := index - next
			h.PositiveSpan = append(h.PositiveSpan, &dto.BucketSpan{Offset: &offset, Length: new(uint32)})
			next = index
		}
		*h.PositiveSpan[len(h.PositiveSpan)-1].Length++
		h.PositiveDelta = append(h.PositiveDelta, times-before)
		before = times
		next++
	}
	return nil
}
