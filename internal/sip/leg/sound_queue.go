package leg

import "time"

const (
	// leastWait and mostWait are how much sound of a played stream is kept before it is sent, so that a late frame leaves no gap. It begins
	// with leastWait, and grows with each gap.
	leastWait = 40 * time.Millisecond
	mostWait  = 200 * time.Millisecond
	// surplus is how much more than that may lie here. What is beyond was sent in a burst, or by a clock that is too fast.
	surplus = 200 * time.Millisecond
	// reviewed is after how many pieces the queue looks whether it is longer than it need be.
	reviewed = 50
	// queueSize limits the number of pieces. It is a power of two.
	queueSize = 64
)

// soundQueue evens out the sound of a played stream: pieces come when they come, and are taken at the pace of the RTP clock.
type soundQueue struct {
	pieces   [queueSize]piece
	first, n int
	held     time.Duration
	wait     time.Duration // how much must lie here before the first piece is taken
	flowing  bool          // pieces are being taken
	dropped  int64

	taken int           // since the last review
	least time.Duration // of held, since the last review
}

// piece is the sound of one packet.
type piece struct {
	payload []byte
	length  time.Duration
	wall    time.Time // when it was made
}

// push adds a copy of a piece.
func (q *soundQueue) push(p piece) {
	q.wait = max(q.wait, leastWait)
	for q.n > 0 && (q.n > queueSize-2 || q.held+p.length > q.wait+surplus) {
		q.drop()
	}
	at := &q.pieces[(q.first+q.n)%queueSize]
	p.payload = append(at.payload[:0], p.payload...)
	*at = p
	q.n++
	q.held += p.length
}

// drop loses the oldest piece.
func (q *soundQueue) drop() {
	q.held -= q.pieces[q.first].length
	q.first = (q.first + 1) % queueSize
	q.n--
	q.dropped++
}

// pop takes the next piece; not ok if there is none to take now. Its payload stays valid through one push.
func (q *soundQueue) pop() (p piece, ok bool) {
	switch {
	case q.n == 0 && q.flowing: // too slow: keep more from now on
		q.flowing, q.wait = false, min(q.wait+20*time.Millisecond, mostWait)
		return piece{}, false
	case q.n == 0, !q.flowing && q.held < q.wait:
		return piece{}, false
	}
	q.flowing = true
	q.review()
	p = q.pieces[q.first]
	q.drop()
	q.dropped--
	return p, true
}

// review drops a piece if more than was needed has been here for a while: people who talk hear a long delay.
func (q *soundQueue) review() {
	if q.taken == 0 || q.held < q.least {
		q.least = q.held
	}
	if q.taken++; q.taken < reviewed {
		return
	}
	q.taken = 0
	if q.least > q.wait+q.pieces[q.first].length {
		q.drop()
	}
}

// clear forgets all pieces, and begins anew.
func (q *soundQueue) clear() { q.first, q.n, q.held, q.wait, q.flowing, q.taken = 0, 0, 0, 0, false, 0 }
