package wcs

import "sync"

// outgoing is a message on its way to a browser.
type outgoing struct {
	frame   []byte
	picture bool
}

// outbox is the queue of messages to one browser. An empty outbox takes no memory for messages.
type outbox struct {
	maxMessages, maxBytes int

	arrived chan struct{} // holds one token when there may be a message

	mu       sync.Mutex
	list     []outgoing // guarded by mu
	bytes    int        // guarded by mu; of the messages in list, without pictures
	pictures int        // guarded by mu; bytes of the pictures that are not written yet
}

func newOutbox(maxMessages, maxBytes int) *outbox {
	return &outbox{maxMessages: maxMessages, maxBytes: maxBytes, arrived: make(chan struct{}, 1)}
}

// put adds a message. It returns false if too much is waiting already.
func (o *outbox) put(frame []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.bytes > o.maxBytes || len(o.list) >= o.maxMessages {
		return false
	}
	o.bytes += len(frame)
	o.add(outgoing{frame: frame})
	return true
}

// putPicture adds a snapshot, which is large. It returns false if too many are waiting already.
func (o *outbox) putPicture(frame []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.pictures > o.maxBytes || len(o.list) >= o.maxMessages {
		return false
	}
	o.pictures += len(frame)
	o.add(outgoing{frame, true})
	return true
}

func (o *outbox) add(m outgoing) {
	o.list = append(o.list, m)
	select {
	case o.arrived <- struct{}{}:
	default:
	}
}

// takesPictures says whether putPicture has room for another snapshot, as far as bytes go.
func (o *outbox) takesPictures() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.pictures <= o.maxBytes
}

// busy says whether more than half of the messages that may wait are waiting. Messages that are useless later should then be left out.
func (o *outbox) busy() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.list) > o.maxMessages/2
}

// next removes and returns the oldest message. ok is false if there is none.
func (o *outbox) next() (m outgoing, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.list) == 0 {
		return outgoing{}, false
	}
	m, o.list[0] = o.list[0], outgoing{}
	o.list = o.list[1:]
	if len(o.list) == 0 {
		o.list = nil
	}
	if !m.picture {
		o.bytes -= len(m.frame)
	}
	return m, true
}

// written is called when a message from next was written.
func (o *outbox) written(m outgoing) {
	if m.picture {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.pictures -= len(m.frame)
	}
}
