package wcs

import (
	"sync"
	"sync/atomic"
)

// line carries what a page is told of one of its streams: the terminal status is the last of it.
//
// Lock order: line.mu, then session.mu.
type line struct {
	s  *session
	id string // the stream's, as the page calls it

	announced atomic.Bool // the page heard, or is about to hear, that the stream is on

	mu   sync.Mutex
	over bool // guarded by mu; the terminal status was sent
}

// send sends a message about the stream, unless its last one was sent.
func (l *line) send(name string, data ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		l.s.send(name, data...)
	}
}

// sendRate tells how much is on its way.
func (l *line) sendRate(name string, bps int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		l.s.sendRate(name, videoRate{l.id, bps})
	}
}

// announce says that the stream is on. Events are taken from before on, so that what describe does not know yet comes as one.
func (l *line) announce(describe func(status, info string) streamInfo, status string) {
	l.announced.Store(true)
	l.send("notifyStreamStatusEvent", describe(status, ""))
}

// event tells the page what happened to a stream that is on.
func (l *line) event(kind string, payload any) {
	if l.announced.Load() {
		l.send("notifyStreamEvent", streamEvent{l.id, kind, payload})
	}
}

// finish sends the terminal status.
func (l *line) finish(info streamInfo) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	l.s.sendLast(info)
}

// retell says once more that a stream is on, to a page that comes back.
func (l *line) retell(describe func(status, info string) streamInfo, status string) {
	if l.announced.Load() {
		l.send("notifyStreamStatusEvent", describe(status, ""))
	}
}
