package wcs

import (
	"sync"
	"sync/atomic"
)

// notifier tells the page about one of its streams. The terminal status is the last message.
//
// Lock order: notifier.mu, then session.mu.
type notifier struct {
	s  *session
	id string // media session id of the stream

	announced  atomic.Bool // the page was told, or is about to be told, that the stream is on
	restarting atomic.Bool // ICE is being restarted

	mu       sync.Mutex
	finished bool // guarded by mu; the terminal status was sent
}

// send sends a message about the stream, unless the terminal status was sent.
func (n *notifier) send(name string, data ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.finished {
		n.s.send(name, data...)
	}
}

// sendRate tells the page the bit rate of the video.
func (n *notifier) sendRate(name string, bps int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.finished {
		n.s.sendRate(name, videoRate{n.id, bps})
	}
}

// announce says that the stream is on. Events are accepted before the status is made, so that a change which the status does not
// contain yet still reaches the page as an event.
func (n *notifier) announce(describe func(status, info string) streamInfo, status string) {
	n.announced.Store(true)
	n.send("notifyStreamStatusEvent", n.s.forPage(describe(status, "")))
}

// announceAgain repeats the announcement, if there was one, for a page that has come back.
func (n *notifier) announceAgain(describe func(status, info string) streamInfo, status string) {
	if n.announced.Load() {
		n.send("notifyStreamStatusEvent", n.s.forPage(describe(status, "")))
	}
}

// event tells the page what happened to a stream that is on.
func (n *notifier) event(kind string, payload any) {
	if n.announced.Load() {
		n.send("notifyStreamEvent", streamEvent{n.id, kind, payload})
	}
}

// finish sends the terminal status.
func (n *notifier) finish(info streamInfo) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.finished = true
	n.s.sendLast("notifyStreamStatusEvent", n.s.forPage(info))
}
