package app

import (
	"errors"
	"io"
	"net/http"
	"time"
)

const (
	bodyTimeout = 10 * time.Second // for a request's body to come

	// restTimeout is for what still comes of a body that nobody waits for. An answer to a client that is still sending is lost when the
	// connection is closed with unread bytes in it.
	restTimeout = time.Second
)

// limitBody gives a request's body its time, whatever becomes of the request. An answer that is given before the body has ended ends the
// connection too: net/http would wait for the rest of the body otherwise, before it sends the answer, and after that.
func limitBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 0 {
			next.ServeHTTP(w, r)
			return
		}
		conn := http.NewResponseController(w)
		_ = conn.SetReadDeadline(time.Now().Add(bodyTimeout)) // fails where the connection is gone
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

// body is a request's body. Once it has ended, the connection can be used again, and its deadline is lifted: net/http takes one that
// passes later for the end of the client.
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
