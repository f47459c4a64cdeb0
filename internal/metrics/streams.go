package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// ofStreams gathers the series of those streams that somebody may read about. Series that are about no stream tell of the whole server, and
// are left out.
type ofStreams struct {
	all   prometheus.Gatherer
	reads func(stream string) bool
}

// Gather implements prometheus.Gatherer.
func (g ofStreams) Gather() ([]*dto.MetricFamily, error) {
	families, err := g.all.Gather()
	var some []*dto.MetricFamily
	for _, f := range families {
		var kept []*dto.Metric
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "stream" && g.reads(l.GetValue()) {
					kept = append(kept, m)
				}
			}
		}
		if len(kept) > 0 {
			some = append(some, &dto.MetricFamily{Name: f.Name, Help: f.Help, Type: f.Type, Metric: kept})
		}
	}
	return some, err
}
