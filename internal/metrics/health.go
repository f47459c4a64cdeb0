package metrics

import (
	"fmt"
	"net/http"
)

// Live is the handler for /health/live. That it answers is what it says.
func Live() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "live") })
}

// Ready is the handler for /health/ready: 200 when ready returns nil, else 503 with the reason. A server that is stopping is
// not ready, so that whoever spreads the work sends it elsewhere.
func Ready(ready func() error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			answer(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		answer(w, http.StatusOK, "ready")
	})
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, text)
}
