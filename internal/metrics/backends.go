package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"transponder/internal/hook"
)

var (
	hookRequests = desc("hook_requests_total", "Requests to the backends of applications, by result.", "app", "method", "result")
	hookUnderWay = desc("hook_requests_under_way", "Requests to the backend that are under way.", "app")
	hookWaiting  = desc("hook_requests_waiting", "Requests that wait because enough are under way.", "app")
	hookSeconds  = desc("hook_duration_seconds", "Time until the backend answered, with the time that the request waited for its turn.", "app")
	hookIgnored  = desc("hook_refusals_ignored_total", "Refusals of the backend that had no effect, because restOnError is LOG or rest_backend_down=allow.", "app")
	hookLost     = desc("hook_events_lost_total", "Events that the backend has not received.", "app")
	hookDown     = desc("hook_backend_down", "1 if the last requests to the backend had no answer.", "app")
)

func (s sink) backends(all []hook.Stats) {
	for _, st := range all {
		for method, results := range st.Requests {
			for result, n := range results {
				s.counter(hookRequests, n, st.App, string(method), string(result))
			}
		}
		s.gauge(hookUnderWay, float64(st.UnderWay), st.App)
		s.gauge(hookWaiting, float64(st.Waiting), st.App)
		s.out <- prometheus.MustNewConstHistogram(hookSeconds, st.Count, st.Seconds, st.Buckets, st.App)
		s.counter(hookIgnored, st.Ignored, st.App)
		s.counter(hookLost, st.LostEvents, st.App)
		down := 0.0
		if st.Down {
			down = 1
		}
		s.gauge(hookDown, down, st.App)
	}
}
