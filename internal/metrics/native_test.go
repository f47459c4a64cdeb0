package metrics

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// scrapeBinary reads /metrics as a Prometheus does that wants native histograms.
func scrapeBinary(t *testing.T, h http.Handler) map[string]*dto.MetricFamily {
	t.Helper()
	req := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	// As Prometheus 2.42 asks with --enable-feature=native-histograms.
	req.Header.Set("Accept", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	decoder := expfmt.NewDecoder(w.Body, expfmt.ResponseFormat(w.Header()))
	all := map[string]*dto.MetricFamily{}
	for {
		var f dto.MetricFamily
		if err := decoder.Decode(&f); err != nil {
			if len(all) == 0 {
				t.Fatal(err)
			}
			return all
		}
		all[f.GetName()] = &f
	}
}

// buckets returns the fine buckets of a histogram, and how many times there are in each, by the rules of the format: spans skip empty buckets, and
// each number is the difference to the one before.
func buckets(h *dto.Histogram) (index []int32, counts []int64) {
	at, n, k := int32(0), int64(0), 0
	for _, span := range h.PositiveSpan {
		at += span.GetOffset()
		for range span.GetLength() {
			n += h.PositiveDelta[k]
			index, counts = append(index, at), append(counts, n)
			at++
			k++
		}
	}
	return index, counts
}

// The times of pushes are there in both forms in the binary format. All times are in the fine buckets, too.
func TestNativeHistograms(t *testing.T) {
	h, err := New(everything(t))
	if err != nil {
		t.Fatal(err)
	}
	all := scrapeBinary(t, h)
	for name, want := range map[string]struct {
		index  []int32
		counts []int64
		zero   uint64
	}{
		"transponder_pushes_live_after_seconds": {[]int32{0, 6, 71}, []int64{1, 2, 1}, 0},
		"transponder_pushes_delay_seconds":      {[]int32{-3, -2, 1, 71}, []int64{1, 2, 1, 1}, 2},
	} {
		got := all[name].GetMetric()[0].GetHistogram()
		index, counts := buckets(got)
		if got.GetSchema() != 3 || got.GetZeroCount() != want.zero || !slices.Equal(index, want.index) || !slices.Equal(counts, want.counts) {
			t.Errorf("%s: schema %d, %d times near 0, buckets %v, counts %v", name, got.GetSchema(), got.GetZeroCount(), index, counts)
		}
		sum := got.GetZeroCount()
		for _, n := range counts {
			sum += uint64(n)
		}
		if sum != got.GetSampleCount() || len(got.GetBucket()) != 10 {
			t.Errorf("%s: %d times in fine buckets of %d, and %d classic buckets", name, sum, got.GetSampleCount(), len(got.GetBucket()))
		}
	}
}
