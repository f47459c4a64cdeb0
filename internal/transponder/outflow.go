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
	// The way is blocked if nothing passes for so long. How fast our kernel gives away after that is known when it has done so for freeFor.
	blocked = time.Second
	freeFor = 300 * time.Millisecond
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
	// largeKept is how long a large write is expected to come again. Key frames are the large ones.
	largeKept = 10 * time.Second
	// What a proxy has read and not written is seen by nobody but a server that answers. Most proxies hold a few blocks of 16 or 32 kB. A window
	// tells nothing of them, so this is assumed, but no more than a time.
	unseen     = 96 << 10
	unseenTime = 1500 * time.Millisecond
	// A window that does not grow for so long, while writing pauses, is smaller for another reason than unread data. Proxies read in blocks of up
	// to blockSize: one may be about to read the next one.
	flatTime  = 1500 * time.Millisecond
	blockSize = 32 << 10
	// usualKept is how long the server is expected to read as fast again. A wrong idea of the window must not make itself true: it makes us write less, and
	// the server read less.
	usualKept = 30 * time.Second
	// leastDue is the least number of bytes that the server must read in a pause for the window to prove anything.
	leastDue = 4 << 10
	// probeEvery is the time between two writes that find out whether the window grows. A window that has grown in a pause needs none for
	// provenFor.
	probeEvery = 500 * time.Millisecond
	provenFor  = 2 * time.Second

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
// they can be understood. Where the server tells nothing, what its kernel holds makes the window of TCP smaller (RFC 9293, 3.8.6). outflow has
// no clock of its own, and any goroutine may use it.
type outflow struct {
	throttled atomic.Bool // writing has to wait for room

	mu      sync.Mutex // guards all that follows
	written marks
	wrote   time.Time // the last write
	large   mark      // the largest write of late, with its size
	kernel  passage
	far     passage
	moved   time.Time     // when our kernel gave something away the last time, or had nothing
	freed   mark          // when our kernel did so after it had been blocked, and how many bytes it had given away before
	held    time.Duration // for how long our kernel, or the way behind it, was blocked the last time, if it is usually not
	heldTo  time.Time     // until when
	tcp     tcpState
	dwell   time.Duration // how long a byte that is written now will lie in our kernel
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

	usual   float64 // the largest rate of late at which the server has read, in bytes a second
	usualAt time.Time
	window  int       // the largest window that the server's kernel had
	told    tcpState  // of the last look after which the server's kernel had answered
	toldAt  int64     // how many bytes had reached the server's kernel then
	opened  passage   // how far the bytes have come, judged by the window
	flat    time.Time // since when the window does not grow in pauses; zero: it does
	grown   time.Time // when the window had grown in a pause
}

// backlog says how much lies outside.
type backlog struct {
	bytes int64
	lag   time.Duration // how old the oldest byte is
	quiet time.Duration // for how long of that nothing was written or could pass
	delay time.Duration // how long a byte that is written now will lie there
}

// age returns how old the oldest byte is, with those of a queue before it that spans queued. While it is quiet, both become older.
func (b backlog) age(queued time.Duration) time.Duration {
	return max(b.lag, queued+b.lag-b.quiet)
}

func newOutflow() *outflow {
	past := marks{every: 250 * time.Millisecond, keep: 4 * time.Second}
	long := marks{every: past.every, keep: 2 * past.keep}
	return &outflow{
		written: marks{every: markEvery, keep: time.Minute}, kernel: passage{past: past}, far: passage{past: long}, opened: passage{past: long},
		tcp: tcpState{queued: -1}, minRTT: time.Hour,
	}
}

// write records that tags are written, after sent bytes. If a ping is due behind them, it returns the value of the ping.
func (o *outflow) write(now time.Time, sent int64, tags []flv.Tag) (ping uint32, due bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.written.add(now, sent)
	o.wrote = now
	size := int64(0)
	for i := range tags {
		size += int64(len(tags[i].Head()) + len(tags[i].Payload))
	}
	if size >= o.large.bytes || now.Sub(o.large.at) > largeKept {
		o.large = mark{now, size}
	}
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
	o.pings = append(o.pings, mark{now, sent + size})
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
		o.free(now, min(now.Sub(o.far.reached.at), rtt-o.minRTT))
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
	moved := true
	if tcp.queued >= 0 {
		at := sent - int64(tcp.queued)
		moved = at != o.kernel.reached.bytes || tcp.queued == 0
		if moved {
			o.moves(now)
		}
		o.kernel.set(now, at, o.age(now, at, sent))
		if tcp.queued == 0 && !o.throttled.Load() {
			o.kernel.past.list = o.kernel.past.list[:0]
		}
		o.kernel.past.add(now, at)
		o.lookAtWindow(now, sent)
	}
	o.seen = backlog{bytes: int64(max(tcp.queued, 0)), lag: o.kernel.lag, quiet: now.Sub(o.wrote)}
	far := o.farLag(now, sent)
	throttled := o.throttled.Load()
	if o.kernel.lag > oldAfter+tcp.minRTT || far > oldAfter+300*time.Millisecond {
		if !throttled {
			o.waited = now
		}
		throttled = true
		o.throttled.Store(true)
	}
	o.seen.lag = max(o.seen.lag, far)
	// Since the last write, and while the way was blocked, what waits in the queue has grown older too.
	if now.Sub(o.heldTo) < o.seen.lag {
		o.seen.quiet = max(o.seen.quiet, o.held)
	}
	o.seen.delay = max(0, o.seen.lag-o.seen.quiet)
	if !throttled {
		o.dwell = 0
		return o.seen
	}
	waiting, rate := o.farWaiting(now, sent)
	switch {
	case !o.farKnown(now) && o.opened.known: // a frame has come when its last byte has
		waiting += o.large.bytes + min(unseen, int64(rate*unseenTime.Seconds()))
	case o.answered == 0: // the estimate may be wrong by half of the step between two acknowledgements
		waiting += o.far.step / 2
	}
	o.seen.bytes = max(o.seen.bytes, waiting)
	if free := now.Sub(o.freed.at); moved && free >= freeFor { // while nothing leaves, the rate says nothing
		kernelRate, _ := o.kernel.rate(now)
		if free < o.kernel.past.keep { // that rate counts the time while it was blocked, which is over
			kernelRate = max(kernelRate, float64(o.kernel.reached.bytes-o.freed.bytes)/free.Seconds())
		}
		o.dwell = lasts(int64(tcp.queued), kernelRate)
	}
	o.seen.delay = max(o.seen.delay, lasts(waiting, rate), o.dwell)
	return o.seen
}

// moves records that our kernel gives bytes away, or has none. The caller holds mu.
func (o *outflow) moves(now time.Time) {
	if held := now.Sub(o.moved); !o.moved.IsZero() && o.free(now, held) {
		o.freed = mark{now, o.kernel.reached.bytes}
		o.far.shift(held, now)
		o.opened.shift(held, now)
	}
	o.moved = now
}

// free records that bytes pass which were held for a time. It reports whether they are usually not, so that this time says nothing of how fast bytes
// pass. The caller holds mu.
func (o *outflow) free(now time.Time, held time.Duration) bool {
	if held <= blocked {
		return false
	}
	rare := o.rare(now, held)
	o.held, o.heldTo = 0, now
	if rare {
		o.held = held
	}
	return rare
}

// rare reports whether bytes have passed for long before they were held for a time that ends now. If only the window tells what the server reads,
// that is not known: a server that reads slowly opens it in steps. The caller holds mu.
func (o *outflow) rare(now time.Time, held time.Duration) bool {
	return o.far.known && now.Add(-held).Sub(o.heldTo) >= 2*held
}

// lookAtWindow judges by the window how much the server's kernel holds. Linux takes from the window what a program has not read, byte by byte.
// The caller holds mu.
func (o *outflow) lookAtWindow(now time.Time, sent int64) {
	tcp := o.tcp
	o.window = max(o.window, tcp.window)
	if tcp.window == o.told.window && tcp.taken == o.told.taken {
		return // the figures are those of the last look
	}
	at := sent - int64(tcp.queued)
	held := int64(o.window - tcp.window)
	_, rate := o.passed(now, &o.opened)
	if rate >= o.usual || now.Sub(o.usualAt) > usualKept {
		o.usual, o.usualAt = rate, now
	}
	due := min(int64(o.usual*now.Sub(o.opened.reached.at).Seconds()), max(o.opened.step, 0))
	in := at - o.toldAt
	switch read := o.opened.step - held; { // beside what came in
	case due < leastDue || in > due/2: // no pause
	case read >= (due-in)/4:
		o.flat, o.grown = time.Time{}, now
	case o.flat.IsZero():
		o.flat = o.opened.reached.at
	}
	if !o.flat.IsZero() && now.Sub(o.flat) > flatTime+lasts(2*blockSize, o.usual) {
		o.flat, o.window, held = time.Time{}, tcp.window, 0
	}
	o.told, o.toldAt = tcp, at
	at = max(at-held, o.opened.reached.bytes)
	o.opened.set(now, at, max(0, o.age(now, at, sent)-tcp.minRTT))
	o.opened.step = held
	o.opened.past.add(now, at)
}

// passed returns how many bytes have probably passed a point since the last news of it, and the rate. While our kernel is blocked, no news can
// come, and the rate is that of before. The caller holds mu.
func (o *outflow) passed(now time.Time, p *passage) (bytes int64, rate float64) {
	at := now
	if o.tcp.queued > 0 && o.rare(now, now.Sub(o.moved)) {
		at = o.moved
	}
	rate, _ = p.rate(at)
	return min(int64(rate*now.Sub(p.reached.at).Seconds()), max(p.step, 0)), rate
}

// farKnown reports whether the server has told lately how much has reached it. The caller holds mu.
func (o *outflow) farKnown(now time.Time) bool {
	return o.far.known && now.Sub(o.far.reached.at) < farExpires
}

// farLag returns how late data reaches the server. The caller holds mu.
func (o *outflow) farLag(now time.Time, sent int64) time.Duration {
	switch {
	case !o.farKnown(now):
		if !o.opened.known {
			return 0
		}
		passed, _ := o.passed(now, &o.opened)
		return max(0, o.age(now, o.opened.reached.bytes+passed, sent)-o.tcp.minRTT)
	case o.answered == 0:
		return o.far.lag
	}
	for _, p := range o.pings {
		if p.bytes > o.far.reached.bytes {
			return max(o.far.lag, now.Sub(p.at)-o.minRTT)
		}
	}
	return o.far.lag
}

// farWaiting estimates how many bytes are on their way to the server. It assumes that since the last news more bytes have arrived, at the
// same rate, but not so many that there would be new news. The caller holds mu.
func (o *outflow) farWaiting(now time.Time, sent int64) (bytes int64, rate float64) {
	p := &o.far
	if !o.farKnown(now) {
		p = &o.opened
	}
	if !p.known {
		return 0, 0
	}
	passed, rate := o.passed(now, p)
	return max(0, sent-p.reached.bytes-passed), rate
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
	if !o.farKnown(now) && o.tcp.queued == 0 && now.Sub(o.wrote) > probeEvery && now.Sub(o.grown) > provenFor {
		return true
	}
	waiting, rate := o.farWaiting(now, sent)
	if quiet := now.Sub(o.far.reached.at); o.answered == 0 && o.far.known && quiet > ackPatience+lasts(o.far.step, rate) {
		// Probably everything has arrived, and the server counts less than we do.
		o.ackBase, o.far.known = max(o.ackBase, float64(sent-o.acked-o.far.step)), false
		return true
	}
	return waiting <= leastRoom || float64(waiting) <= rate*o.farAllowed(now).Seconds()
}

// farAllowed returns how much may be on its way to the server, as a time. The caller holds mu.
func (o *outflow) farAllowed(now time.Time) time.Duration {
	switch {
	case !o.farKnown(now):
		return farRoom + o.tcp.minRTT
	case o.answered == 0:
		return farRoom
	}
	return farRoom + o.minRTT
}

// caughtUp is called when the queue is empty. It ends the waiting for room if hardly anything lies outside and there has been room for a
// while.
func (o *outflow) caughtUp(now time.Time, sent int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now.Sub(o.waited) > stayThrottled && o.kernel.lag < oldAfter/2+o.tcp.minRTT && o.farLag(now, sent) < oldAfter/2 {
		o.throttled.Store(false)
	}
}

// outside returns the result of the last look.
func (o *outflow) outside() backlog {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.seen
}
