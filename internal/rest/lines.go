package rest

import (
	"encoding/json"
	"mime"
	"net/http"
	"strings"
	"time"
)

// linesType is the content type of an answer in lines, each of which is JSON.
const linesType = "application/x-ndjson"

// wantsLines reports whether the sender of a request asks for an answer in lines.
func wantsLines(r *http.Request) bool {
	for _, accept := range r.Header.Values("Accept") {
		for one := range strings.SplitSeq(accept, ",") {
			if kind, _, err := mime.ParseMediaType(one); err == nil && kind == linesType {
				return true
			}
		}
	}
	return false
}

// lineWriter sends an answer line by line. One goroutine at a time uses it.
type lineWriter struct {
	w     http.ResponseWriter
	conn  *http.ResponseController
	begun bool
	err   error // of the first write that failed. The context of the request ends when the client is gone
}

// write sends one line at once.
func (l *lineWriter) write(v any) {
	if l.err != nil {
		return
	}
	if !l.begun {
		l.begun = true
		l.w.Header().Set("Content-Type", linesType)
		l.w.Header().Set("X-Accel-Buffering", "no") // otherwise nginx keeps the lines until the end
		l.w.WriteHeader(http.StatusOK)
	}
	_ = l.conn.SetWriteDeadline(time.Now().Add(followTimeout)) // not every ResponseWriter has deadlines
	e := json.NewEncoder(l.w)
	e.SetEscapeHTML(false)
	if l.err = e.Encode(v); l.err == nil {
		l.err = l.conn.Flush()
	}
}
