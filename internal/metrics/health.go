package metrics

import (
	"fmt"
	"net/http"
)

// Live returns the handler for /health/live. It always answers 200: an answer shows that the process works.
func Live() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "live") })
}

// Ready returns the handler for /health/ready. It answers 200 if ready returns nil, otherwise 503 with the error. A server that is
// stopping is not ready, so that load balancers send new clients elsewhere. A server whose SIP registrations are down is ready for all
// other work, so note only tells how many are up, in a line of its own; "" leaves the line out.
func Ready(ready func() error, note func() string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			answer(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		text := "ready"
		if line := note(); line != "" {
			text += "\n" + line
		}
		answer(w, http.StatusOK, text)
	})
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, text)
}
