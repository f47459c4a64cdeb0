package app

import (
	"fmt"
	"net/http"
	"net/http/pprof"
	"strconv"
	"strings"
	"time"
)

// maxProfile is how long a profile may take. The answer must be written within answerTimeout.
const maxProfile = 30 * time.Second

// newProfiler serves the profiles of the Go runtime below /debug/pprof/, one at a time. The command line is not served: it may have secrets in it.
func newProfiler() http.Handler {
	busy := make(chan struct{}, 1)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			w.Header().Set("Allow", http.MethodGet)
			http.Error(w, "use GET", http.StatusMethodNotAllowed)
			return
		}
		name := strings.TrimPrefix(r.URL.Path, "/debug/pprof/")
		if text := r.URL.Query().Get("seconds"); text != "" {
			if n, err := strconv.ParseFloat(text, 64); err != nil || n <= 0 || n > maxProfile.Seconds() {
				http.Error(w, fmt.Sprintf("seconds: it must be above 0, and at most %.0f", maxProfile.Seconds()), http.StatusBadRequest)
				return
			}
		}
		select {
		case busy <- struct{}{}:
			defer func() { <-busy }()
		default:
			w.Header().Set("Retry-After", "10")
			http.Error(w, "another profile is being made: there is one at a time", http.StatusServiceUnavailable)
			return
		}
		switch name {
		case "profile":
			pprof.Profile(w, r)
		case "trace":
			pprof.Trace(w, r)
		case "", "allocs", "block", "goroutine", "heap", "mutex", "threadcreate":
			pprof.Index(w, r)
		default:
			http.NotFound(w, r)
		}
	})
}
