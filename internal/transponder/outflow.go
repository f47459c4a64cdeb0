package transponder

import (
	"sync"
	"sync/atomic"
	"time"

	"transponder/internal/flv"
)

// Frames that were written can no longer be dropped. Outside means: behind our queue, in our kernel, in proxies and in the server's kernel.
// The bytes outside the queue are bounded by time, measured by the rate at which they leave. A bound in bytes, or a smaller socket buffer, would
// throttle a healthy connection over a long distance.
const (
	// oldAfter is the age of the oldest byte outside at which writing begins to wait for room. Healthy connections stay far below it.
	oldAfter = 700 * time.Millisecond
	// While writing waits for room, so much may lie in our kernel, and so much on the whole way to the server.
	kernelRoom = 500 * time.Millisecond
	farRoom    = time.Second
	// leastRoom is always allowed, whatever the rate is. It is a frame or two.
	leastRoom = 16 << 10
	// stayThrottled is how long there must always have been room before writing waits no more.
	stayThrottled = 10 * time.Second
	// roomPoll is the time between two looks whether there is room.
	roomPoll = 50 * time.Millisecond

	// pingEvery is the time between two pings of a server that answers them. While writing waits for room, each write has a ping. A ping is
	// sent together with a frame and costs no write of its own.
	pingEvery = 2 * time.Second
	// pingFirst is the time between two pings until the server has answered pingProof of them.
	pingFirst = 300 * time.Millisecond
	// pingTries is how many pings a server gets to show that it answers them. In RTMP servers send pings and clients answer (RTMP 1.0, 7.1.7),
	// but nginx-rtmp, SRS and MediaMTX answer as well. A server that answers none gets no more pings: its silence says nothing.
	pingTries = 3
	// pingProof is how many pings a server must have answered before a missing answer counts.
	pingProof = 2
	// maxPings bounds the pings without an answer.
	maxPings = 64
	// farExpires is how long the last news from the server is believed.
	farExpires = 10 * time.Second

	// ackDrift is the share by which the acknowledgements of a server that keeps up may be less than what was sent, for example because the
	// server does not count the headers of chunks.
	ackDrift = 0.12
	// ackBase is a number of bytes that such acknowledgements may lack besides, for example the handshake.
	ackBase = 8 << 10
	// ackPatience is how long the next acknowledgement may be overdue before more is written without it.
	ackPatience = 2 * time.Second

	// markEvery is the time between two marks of what was written.
	markEvery = 200 * time.Millisecond

	// After more than mostIdle acknowledgements that do not grow, the numbers are not understood. Nor are they if one grows by less than a
	// driftTrust-th of what was sent meanwhile: it counts something else.
	mostIdle   = 3
	driftTrust = 10
)

// outflow follows the bytes that were written to a connection: how far they have come, and how old the bytes are that still lie outside. Our
// kernel tells how much it still holds. How much has reached the server, answers to pings tell, or else the acknowledgements of RTMP, if
// they can be understood. It has no clock of its own, and any goroutine may use it.
type outflow struct {
	throttled atomic.Bool // writing has to wait for room

	mu      sync.Mutex // guards all that follows
	written marks
	wrote   time.Time // the last write
	kernel  passage
	far     passage
	tcp     tcpState
	window  int           // the largest window that the server had
	dwell   time.Duration // how long a byte that is written now will lie in the two kernels
	held    int           // bytes that the server's kernel probably holds
	waited  time.Time     // when there was no room the last time
	seen    backlog       // the result of the last look

	pings    []mark // not answered yet, with the number of bytes written before each
	values   uint32 // the value of the latest ping
	asked    int    // pings sent
	answered int    // pings answered
	lastPing time.Time
	minRTT   time.Duration // the shortest time between a ping and its answer

	ackStep        int64   // the largest step between two acknowledgements
	acked, ackSent int64   // the last acknowledgement, and what had been sent then
	idle           int     // acknowledgements that did not grow
	ackBase        float64 // bytes that the acknowledgements always lack
	noSums         bool    // acknowledgements are not understood
}

// backlog says how much lies outside.
type backlog struct {
	bytes int64
	lag   time.Duration // how old the oldest byte is
	delay time.Duration // how long a byte that is written now will lie there
}

func newOutflow() *outflow {
	past := marks{every: 250 * time.Millisecond, keep: 4 * time.Second}
	return &outflow{
		written: marks{every: markEvery, keep: time.Minute}, kernel: passage{past: past}, far: passage{past: marks{every: past.every, keep: 2 * past.keep}},
		tcp: tcpState{queued: -1}, minRTT: time.Hour,
	}
}

// write records that tags are written, after sent bytes. If a ping is due behind them, it returns the value of the ping.
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
	case o.throttled.Load():
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

// answer records the answer to a ping. An answer with a value that we did not send counts for the oldest ping.
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

// ack records that the server acknowledges acked bytes, of sent bytes. If the server answers pings, these mostly tell more.
func (o *outflow) ack(now time.Time, acked, sent int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.answered >= pingProof {
		if acked > o.far.reached.bytes && acked <= sent { // some servers answer pings late
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
	if !o.throttled.Load() {
		o.ackBase += ackDrift * float64(more)
	}
	o.ackBase = max(0, min(o.ackBase, float64(sent-acked)))
	o.acked, o.ackSent = acked, sent
	o.ackStep = max(o.ackStep, got)
	at := min(sent, acked+int64(o.ackBase))
	o.reach(now, at, o.age(now, at, sent))
	o.far.step = o.ackStep
}

// reach records how many bytes have reached the server. The caller holds mu.
func (o *outflow) reach(now time.Time, bytes int64, lag time.Duration) {
	o.far.set(now, bytes, lag)
	o.far.past.add(now, bytes)
}

// age returns how long ago the byte behind the first bytes was written. The caller holds mu.
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

// unanswered returns when the oldest ping without an answer was sent, and whether the server is known to answer pings.
func (o *outflow) unanswered() (since time.Time, proven bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.pings) > 0 {
		since = o.pings[0].at
	}
	return since, o.answered >= pingProof
}

// look takes the kernel's figures, after sent bytes were written, and returns what lies outside.
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
		if tcp.queued == 0 && !o.throttled.Load() {
			o.kernel.past.list = o.kernel.past.list[:0]
		}
		o.kernel.past.add(now, at)
	}
	o.seen = backlog{bytes: int64(max(tcp.queued, 0)), lag: o.kernel.lag}
	far := o.farLag(now)
	throttled := o.throttled.Load()
	if o.kernel.lag > oldAfter+tcp.minRTT || far > oldAfter+300*time.Millisecond {
		if !throttled {
			o.waited = now
		}
		throttled = true
		o.throttled.Store(true)
	}
	o.seen.lag = max(o.seen.lag, far)
	// Since the last write, what waits in the queue has grown older too.
	o.seen.delay = max(0, o.seen.lag-now.Sub(o.wrote))
	if !throttled {
		o.held, o.dwell = 0, 0
		return o.seen
	}
	waiting, rate := o.farWaiting(now, sent)
	if o.answered == 0 { // the estimate may be wrong by half of the step between two acknowledgements
		waiting += o.far.step / 2
	}
	kernelRate, _ := o.kernel.rate(now)
	hidden := o.hidden(now)
	o.seen.bytes = max(o.seen.bytes+hidden, waiting)
	o.seen.lag += lasts(hidden, kernelRate)
	if moved { // while nothing leaves, the rate says nothing
		o.dwell = lasts(int64(tcp.queued)+hidden, kernelRate)
	}
	o.seen.delay = max(o.seen.delay, lasts(waiting, rate), o.dwell)
	return o.seen
}

// hidden estimates how many bytes the server's kernel holds if the server tells nothing about that. If a server does not keep up, its kernel
// fills the window that it once offered; Linux lets that grow to about twice the size. The caller holds mu.
func (o *outflow) hidden(now time.Time) int64 {
	if o.farKnown(now) {
		return 0
	}
	if o.tcp.unsent > 0 {
		o.held = max(o.held, 2*(o.window-o.tcp.window))
	}
	return int64(o.held)
}

// farKnown reports whether the server has told lately how much has reached it. The caller holds mu.
func (o *outflow) farKnown(now time.Time) bool {
	return o.far.known && now.Sub(o.far.reached.at) < farExpires
}

// farLag returns how late data reaches the server. The caller holds mu.
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

// farWaiting estimates how many bytes are on their way to the server. It assumes that since the last news more bytes have arrived, at the
// same rate, but not so many that there would be new news. The caller holds mu.
func (o *outflow) farWaiting(now time.Time, sent int64) (bytes int64, rate float64) {
	if !o.farKnown(now) {
		return 0, 0
	}
	rate, _ = o.far.rate(now)
	passed := min(int64(rate*now.Sub(o.far.reached.at).Seconds()), max(o.far.step, 0))
	return max(0, sent-o.far.reached.bytes-passed), rate
}

// room reports whether more may be written, after sent bytes.
func (o *outflow) room(now time.Time, sent int64) bool {
	if !o.throttled.Load() {
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

// fits reports whether little enough lies outside. The caller holds mu.
func (o *outflow) fits(now time.Time, sent int64) bool {
	if o.tcp.queued > leastRoom {
		rate, _ := o.kernel.rate(now)
		if float64(o.tcp.queued) > rate*(kernelRoom+o.tcp.minRTT).Seconds() {
			return false
		}
	}
	waiting, rate := o.farWaiting(now, sent)
	if quiet := now.Sub(o.far.reached.at); o.answered == 0 && o.far.known && quiet > ackPatience+lasts(o.far.step, rate) {
		// Probably everything has arrived, and the server counts less than we do.
		o.ackBase, o.far.known = max(o.ackBase, float64(sent-o.acked-o.far.step)), false
		return true
	}
	return waiting <= leastRoom || float64(waiting) <= rate*o.farAllowed().Seconds()
}

// farAllowed returns how much may be on its way to the server, as a time. The caller holds mu.
func (o *outflow) farAllowed() time.Duration {
	if o.answered == 0 {
		return farRoom
	}
	return farRoom + o.minRTT
}

// caughtUp is called when the queue is empty. It ends the waiting for room if hardly anything lies outside and there has been room for a
// while.
func (o *outflow) caughtUp(now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now.Sub(o.waited) > stayThrottled && o.kernel.lag < oldAfter/2+o.tcp.minRTT && o.farLag(now) < oldAfter/2 {
		o.throttled.Store(false)
	}
}

// outside returns the result of the last look.
func (o *outflow) outside() backlog {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.seen
}
