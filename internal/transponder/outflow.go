package transponder

import (
	"sync"
	"sync/atomic"
	"time"

	"transponder/internal/flv"
)

// What lies outside of the queue that can drop is bounded by time, against how fast it is seen to leave. A bound in bytes, or of the
// socket's buffer, would throttle a healthy connection over a long way.
const (
	// oldAfter is how old the oldest byte outside gets before writing waits for room. Healthy connections stay far below it.
	oldAfter = 700 * time.Millisecond
	// kernelRoom and farRoom are how much may lie in the kernel, and all the way to the server, then.
	kernelRoom = 500 * time.Millisecond
	farRoom    = time.Second
	// leastRoom is given whatever the rate is: a frame or two.
	leastRoom = 16 << 10
	// stayLate is how long there must have been room at all times before writing waits no more.
	stayLate = 10 * time.Second
	// roomPoll is how often it is looked whether there is room.
	roomPoll = 50 * time.Millisecond

	// pingEvery is how often a server that answers is pinged, but for a time of waiting, when there is one ping for each write. A ping
	// goes out with a frame and costs no write of its own.
	pingEvery = 2 * time.Second
	// pingFirst is how often until it has answered often enough.
	pingFirst = 300 * time.Millisecond
	// pingTries is how many pings a peer gets to show that it answers pings. Servers send pings and clients answer them (RTMP 1.0,
	// 7.1.7), but nginx-rtmp, SRS and MediaMTX answer as well. The others get no more: their silence says nothing.
	pingTries = 3
	// pingProof is how many pings a peer has answered when it is taken for granted that it would answer the next.
	pingProof = 2
	// maxPings is how many may be without an answer at a time.
	maxPings = 64
	// farExpires is after how long without news what the server has told is not believed any more.
	farExpires = 10 * time.Second

	// ackDrift is the share by which a server may count less than was sent (without the chunks' headers, say) and be taken for one that
	// keeps up.
	ackDrift = 0.12
	ackBase  = 8 << 10 // likewise: the handshake, say
	// ackPatience is how much longer than it should take the next acknowledgement is waited for before more is written.
	ackPatience = 2 * time.Second

	markEvery = 200 * time.Millisecond

	mostIdle   = 3  // acknowledgements that tell of nothing more: then the numbers are not understood
	driftTrust = 10 // an acknowledgement that tells less than this part of what was sent since the one before counts something else
)

// mark is a number of bytes and when it was so.
type mark struct {
	at    time.Time
	bytes int64
}

// marks are the latest of them, oldest first.
type marks struct {
	every, keep time.Duration // the least time between two, and how long they are kept
	list        []mark
}

func (m *marks) add(now time.Time, bytes int64) {
	if n := len(m.list); n > 0 && now.Sub(m.list[n-1].at) < m.every {
		return
	}
	old := 0
	for len(m.list)-old > 1 && now.Sub(m.list[old].at) > m.keep {
		old++
	}
	m.list = append(m.list[:copy(m.list, m.list[old:])], mark{now, bytes})
}

// passage is a place on the way of the bytes.
type passage struct {
	known   bool
	reached mark          // how many bytes have passed it, and when that was learned
	step    int64         // by which that grew the last time
	lag     time.Duration // how old the last of them was
	past    marks
}

func (s *passage) set(now time.Time, bytes int64, lag time.Duration) {
	s.step = bytes - s.reached.bytes
	s.known, s.reached, s.lag = true, mark{now, bytes}, lag
}

// rate returns how many bytes a second have passed in the last seconds, false while that is unknown.
func (s *passage) rate(now time.Time) (float64, bool) {
	if len(s.past.list) == 0 {
		return 0, false
	}
	from := s.past.list[0]
	took := s.reached.at.Sub(from.at)
	if took < 500*time.Millisecond {
		return 0, now.Sub(from.at) > 2*time.Second
	}
	rate := float64(s.reached.bytes-from.bytes) / took.Seconds()
	if quiet := now.Sub(s.reached.at); quiet > time.Second+2*lasts(s.step, rate) { // the next news is overdue
		rate = float64(s.reached.bytes-from.bytes) / now.Sub(from.at).Seconds()
	}
	return rate, true
}

// tcpState is what the kernel tells of a connection.
type tcpState struct {
	queued int // bytes that the peer's kernel has not acknowledged; -1: unknown
	unsent int // of them
	taken  int64
	window int // of the peer
	minRTT time.Duration
}

// outflow follows what was written to a connection: how far it has come, and how old what still lies outside is, in the kernel, in the
// peer's and in proxies. The kernel tells of the first. Of the rest, answers to pings tell, or else acknowledgements, where they are
// understood. It has no clock of its own and may be used by any goroutine.
type outflow struct {
	late atomic.Bool // writing is to wait for room

	mu      sync.Mutex
	written marks
	wrote   time.Time // the last write
	kernel  passage
	far     passage
	tcp     tcpState
	window  int           // the largest of the peer's
	dwell   time.Duration // how long what is written now will lie in the kernels
	held    int           // bytes that the peer's kernel is thought to hold
	waited  time.Time     // there was no room
	seen    backlog

	pings    []mark // that are not answered yet, with the bytes before them
	values   uint32 // of the latest ping
	asked    int
	answered int
	lastPing time.Time
	minRTT   time.Duration // of pings

	ackStep        int64   // the largest of an acknowledgement
	acked, ackSent int64   // what the last acknowledgement said, and what was sent then
	idle           int     // acknowledgements that told of nothing more
	ackBase        float64 // bytes that acknowledgements always lack
	noSums         bool    // acknowledgements are not understood
}

// backlog is what lies outside.
type backlog struct {
	bytes int64
	lag   time.Duration // how old the oldest of it is
	delay time.Duration // how long what is written now will lie there
}

func newOutflow() *outflow {
	past := marks{every: 250 * time.Millisecond, keep: 4 * time.Second}
	return &outflow{
		written: marks{every: markEvery, keep: time.Minute}, kernel: passage{past: past}, far: passage{past: marks{every: past.every, keep: 2 * past.keep}},
		tcp: tcpState{queued: -1}, minRTT: time.Hour,
	}
}

// write notes that tags are written after so many bytes, and returns the value of a ping that is to follow them.
func (o *outflow) write(now time.Time, sent int64, tags []flv.Tag) (ping uint32, due bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.written.add(now, sent)
	o.wrote = now
	every := pingEvery
	switch {
	case o.answered < pingProof:
		every = pingFirst
		if o.answered == 0 && o.asked >= pingTries {
			return 0, false
		}
	case o.late.Load():
		every = 0
	}
	if now.Sub(o.lastPing) < every || len(o.pings) == maxPings {
		return 0, false
	}
	o.lastPing = now
	o.asked++
	o.values++
	for i := range tags {
		sent += int64(len(tags[i].Head()) + len(tags[i].Payload))
	}
	o.pings = append(o.pings, mark{now, sent})
	return o.values, true
}

// answer notes the answer to a ping. One whose value is not ours is taken for the oldest's.
func (o *outflow) answer(now time.Time, value uint32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.pings) == 0 {
		return
	}
	i := len(o.pings) - 1 - int(o.values-value)
	if i < 0 || i >= len(o.pings) {
		i = 0
	}
	p := o.pings[i]
	o.pings = o.pings[:copy(o.pings, o.pings[i+1:])]
	o.answered++
	rtt := now.Sub(p.at)
	o.minRTT = min(o.minRTT, rtt)
	if p.bytes >= o.far.reached.bytes {
		o.reach(now, p.bytes, rtt-o.minRTT)
	}
}

// ack notes how many bytes the server says it has received, of so many that were sent. Where pings tell, they tell more at most times.
func (o *outflow) ack(now time.Time, acked, sent int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.answered >= pingProof {
		if acked > o.far.reached.bytes && acked <= sent { // some servers take their time to answer
			o.reach(now, acked, max(0, o.age(now, acked, sent)-o.minRTT))
		}
		return
	}
	if o.noSums || len(o.written.list) == 0 {
		return
	}
	got, more := acked-o.acked, sent-o.ackSent
	if got == 0 {
		o.idle++
	}
	switch {
	case o.idle > mostIdle, got > 0 && got*driftTrust < more:
		o.noSums, o.far.known = true, false
		return
	case got == 0:
		return
	case o.ackSent == 0:
		o.ackBase = ackBase
	}
	if !o.late.Load() {
		o.ackBase += ackDrift * float64(more)
	}
	o.ackBase = max(0, min(o.ackBase, float64(sent-acked)))
	o.acked, o.ackSent = acked, sent
	o.ackStep = max(o.ackStep, got)
	at := min(sent, acked+int64(o.ackBase))
	o.reach(now, at, o.age(now, at, sent))
	o.far.step = o.ackStep
}

// reach notes what has come to the server. The caller holds mu.
func (o *outflow) reach(now time.Time, bytes int64, lag time.Duration) {
	o.far.set(now, bytes, lag)
	o.far.past.add(now, bytes)
}

// age returns how long ago the byte after so many was written. The caller holds mu.
func (o *outflow) age(now time.Time, bytes, sent int64) time.Duration {
	if bytes >= sent || len(o.written.list) == 0 {
		return 0
	}
	i := len(o.written.list) - 1
	for i > 0 && o.written.list[i].bytes > bytes {
		i--
	}
	return max(0, now.Sub(o.written.list[i].at)-markEvery)
}

// unanswered returns since when a ping has had no answer, and whether the server is known to answer.
func (o *outflow) unanswered() (since time.Time, proven bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.pings) > 0 {
		since = o.pings[0].at
	}
	return since, o.answered >= pingProof
}

// look takes the kernel's figures after so many bytes were written, and returns what lies outside.
func (o *outflow) look(now time.Time, sent int64, tcp tcpState) backlog {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tcp = tcp
	o.window = max(o.window, tcp.window)
	moved := true
	if tcp.queued >= 0 {
		at := sent - int64(tcp.queued)
		moved = at != o.kernel.reached.bytes || tcp.queued == 0
		o.kernel.set(now, at, o.age(now, at, sent))
		if tcp.queued == 0 && !o.late.Load() {
			o.kernel.past.list = o.kernel.past.list[:0]
		}
		o.kernel.past.add(now, at)
	}
	o.seen = backlog{bytes: int64(max(tcp.queued, 0)), lag: o.kernel.lag}
	far := o.farLag(now)
	late := o.late.Load()
	if o.kernel.lag > oldAfter+tcp.minRTT || far > oldAfter+300*time.Millisecond {
		if !late {
			o.waited = now
		}
		late = true
		o.late.Store(true)
	}
	o.seen.lag = max(o.seen.lag, far)
	// For as long as nothing has been written, what waits in front has grown older by itself.
	o.seen.delay = max(0, o.seen.lag-now.Sub(o.wrote))
	if !late {
		o.held, o.dwell = 0, 0
		return o.seen
	}
	waiting, rate := o.farWaiting(now, sent)
	if o.answered == 0 { // the guess may be wrong by half of what an acknowledgement tells
		waiting += o.far.step / 2
	}
	kernelRate, _ := o.kernel.rate(now)
	hidden := o.hidden(now)
	o.seen.bytes = max(o.seen.bytes+hidden, waiting)
	o.seen.lag += lasts(hidden, kernelRate)
	if moved { // while nothing leaves, a rate says nothing
		o.dwell = lasts(int64(tcp.queued)+hidden, kernelRate)
	}
	o.seen.delay = max(o.seen.delay, lasts(waiting, rate), o.dwell)
	return o.seen
}

// hidden guesses how many bytes the peer's kernel holds, where nothing tells of it: a server that does not keep up lets it fill what it
// once offered as its window, which Linux lets grow to about twice that. The caller holds mu.
func (o *outflow) hidden(now time.Time) int64 {
	if o.farKnown(now) {
		return 0
	}
	if o.tcp.unsent > 0 {
		o.held = max(o.held, 2*(o.window-o.tcp.window))
	}
	return int64(o.held)
}

// lasts returns how long bytes take at a rate a second, as far as it is known.
func lasts(bytes int64, rate float64) time.Duration {
	if bytes <= 0 || rate < 1 {
		return 0
	}
	return time.Duration(float64(bytes) / rate * float64(time.Second))
}

func (o *outflow) farKnown(now time.Time) bool {
	return o.far.known && now.Sub(o.far.reached.at) < farExpires
}

// farLag returns how late what comes to the server is. The caller holds mu.
func (o *outflow) farLag(now time.Time) time.Duration {
	if !o.farKnown(now) {
		return 0
	}
	lag := o.far.lag
	if o.answered == 0 {
		return lag
	}
	for _, p := range o.pings {
		if p.bytes > o.far.reached.bytes {
			return max(lag, now.Sub(p.at)-o.minRTT)
		}
	}
	return lag
}

// farWaiting guesses how many bytes are on their way to the server: what was told of last has gone on since, at its rate, but not
// farther than to where the next news would come from. The caller holds mu.
func (o *outflow) farWaiting(now time.Time, sent int64) (bytes int64, rate float64) {
	if !o.farKnown(now) {
		return 0, 0
	}
	rate, _ = o.far.rate(now)
	passed := min(int64(rate*now.Sub(o.far.reached.at).Seconds()), max(o.far.step, 0))
	return max(0, sent-o.far.reached.bytes-passed), rate
}

// room says whether more may be written after so many bytes.
func (o *outflow) room(now time.Time, sent int64) bool {
	if !o.late.Load() {
		return true
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fits(now, sent) {
		return true
	}
	o.waited = now
	return false
}

// fits says whether little enough lies outside. The caller holds mu.
func (o *outflow) fits(now time.Time, sent int64) bool {
	if o.tcp.queued > leastRoom {
		rate, _ := o.kernel.rate(now)
		if float64(o.tcp.queued) > rate*(kernelRoom+o.tcp.minRTT).Seconds() {
			return false
		}
	}
	waiting, rate := o.farWaiting(now, sent)
	if quiet := now.Sub(o.far.reached.at); o.answered == 0 && o.far.known && quiet > ackPatience+lasts(o.far.step, rate) {
		// All has come, as it seems, and the server counts less.
		o.ackBase, o.far.known = max(o.ackBase, float64(sent-o.acked-o.far.step)), false
		return true
	}
	return waiting <= leastRoom || float64(waiting) <= rate*o.farAllowed().Seconds()
}

// farAllowed returns how long what is on its way to the server may last. The caller holds mu.
func (o *outflow) farAllowed() time.Duration {
	if o.answered == 0 {
		return farRoom
	}
	return farRoom + o.minRTT
}

// caughtUp ends the waiting for room when nothing waits in front, hardly anything outside, and there was room for a while.
func (o *outflow) caughtUp(now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now.Sub(o.waited) > stayLate && o.kernel.lag < oldAfter/2+o.tcp.minRTT && o.farLag(now) < oldAfter/2 {
		o.late.Store(false)
	}
}

// outside returns what was last seen of the backlog.
func (o *outflow) outside() backlog {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.seen
}
