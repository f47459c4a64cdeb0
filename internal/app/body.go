package app

import (
	"errors"
	"io"
	"net/http"
	"time"
)

const (
	bodyTimeout = 10 * time.Second // for the body of a request

	// restTimeout is how long the rest of a body is read after the answer was given. If a connection is closed with unread bytes in it,
	// the client does not get the answer.
	restTimeout = time.Second
)

// limitBody gives the body of each request bodyTimeout to arrive. If the handler answers before the body has ended, the connection is
// closed after the answer: otherwise net/http would wait for the rest of the body, before and after it sends the answer.
func limitBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 0 {
			next.ServeHTTP(w, r)
			return
		}
		conn := http.NewResponseController(w)
		_ = conn.SetReadDeadline(time.Now().Add(bodyTimeout)) // fails only if the connection is gone
		w.Header().Set("Connection", "close")
		b := &body{ReadCloser: r.Body, w: w, conn: conn}
		r.Body = b
		defer func() {
			if !b.ended {
				_ = conn.SetReadDeadline(time.Now().Add(restTimeout))
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// body is the body of a request. When it has ended, the connection may be used for further requests, and the deadline is removed: if it
// passed later, net/http would think that the client is gone.
type body struct {
	io.ReadCloser
	w     http.ResponseWriter
	conn  *http.ResponseController
	ended bool
}

// Read reads from the body.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) && !b.ended {
		b.ended = true
		b.w.Header().Del("Connection")
		_ = b.conn.SetReadDeadline(time.Time{})
	}
	return n, err
}
