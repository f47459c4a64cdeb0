package metrics

import "time"

var (
	nodeDraining = desc("draining", "1 while the server takes no new streams because it ends soon.")
	nodeDrain    = desc("cluster_drain_remaining_seconds", "How long streams may still go on, if the server is draining.")
)

func (s sink) node(left time.Duration, draining bool) {
	is := 0.0
	if draining {
		is = 1
	}
	s.gauge(nodeDraining, is)
	s.gauge(nodeDrain, left.Seconds())
}
