package rtmpserver

import (
	"slices"
	"time"

	"transponder/internal/media"
)

const (
	// maxStep is how far ahead of everything before it, and of its arrival, a message may be. More is a jump: a restarted
	// encoder, a clock that was set.
	maxStep = 3 * time.Second

	// maxBack is how far a track's time may go back, by rounding or by what its encoder takes back. More is a jump.
	maxBack = 200 * time.Millisecond

	// sameClock is how far apart two tracks may be that share a clock: what a multiplexer lets one run ahead of the other.
	sameClock = 3 * time.Second

	// maxLag is how late a message may be that is still believed: longer than a link may stand still without being closed.
	maxLag = time.Minute

	// late is from when on messages that stay late, for two of lateWindow, are of a publisher that stood still or is slow, and not
	// of a link that catches up. catching is by how much a link gets better in one of them.
	late       = 250 * time.Millisecond
	lateWindow = time.Second
	catching   = 100 * time.Millisecond

	// maxLead is how far ahead of its own pace a publisher is read. One that is faster, like a file sent without pace, is read
	// no faster.
	maxLead = 2 * time.Second
	// smallStep is the longest step of a publisher that runs at its pace. A longer one is a gap of its own making, and no reason to hold it
	// back.
	smallStep = 500 * time.Millisecond

	// topSpeed is how many times faster than real time a link is read that catches up, so that readers' queues can follow, and
	// freeBurst is how much is read at any speed.
	topSpeed  = 10
	freeBurst = time.Second

	// window is over how long the earliest arrival is taken for the true one, and paceWindows over how many of them a
	// publisher's pace is known: longer than a link is slow that then catches up.
	window      = 10 * time.Second
	paceWindows = 60

	// slew is the most that a window corrects: a tenth of a percent, inaudible and faster than any two clocks part.
	slew = window / 1000

	// A track whose times have stood still for so many messages and so long has no times.
	stuckMessages = 4
	stuckFor      = 300 * time.Millisecond
	// stuckError is how far its frames, which are spread evenly then, may be from their arrival.
	stuckError = 500 * time.Millisecond
)

// clock lays a publisher's 32-bit milliseconds on the stream's clock, which is that of arrival. Tracks that share a clock stay in
// step.
//
// A message that is late is believed: a link that stood still delivers what was recorded meanwhile with true times, and is read
// fast until it has caught up. Arrival corrects times slowly, and all at once only where a publisher's clock has jumped or
// stood still. Times never go back, and no new beginning is before the last frame of the old one.
type clock struct {
	audio, video track
	jumps        int64

	readAt media.Timestamp // when the last message arrived
	burst  time.Duration   // how much came faster than topSpeed

	begun   bool
	held    bool // the publisher was held back
	heldAt  media.Timestamp
	mayRead time.Duration // how long the next message is to wait
}

// track is one track's clock.
type track struct {
	started bool
	line    *line
	said    time.Duration   // the publisher's time of the latest message, unwrapped
	last    media.Timestamp // where that lies on the stream's clock
	usual   time.Duration   // between two frames

	same      int // messages in a row that said what the one before did
	sameSince media.Timestamp
	stuck     int // messages since the times are not believed
	stuckFrom media.Timestamp
}

// line is one run of a publisher's time, which tracks may share.
type line struct {
	offset time.Duration   // from the publisher's time to the stream's clock
	latest media.Timestamp // of all its messages, on the stream's clock

	windowEnd media.Timestamp
	least     time.Duration // from the publisher's time to arrival, in the window
	held      bool          // the publisher was held back in the window, so that its pace did not show
	excused   time.Duration // ahead by steps, in the window

	pace  time.Duration // from the publisher's time to when it is due by the publisher's own pace
	paces [paceWindows]time.Duration
	known int // of them

	lateEnd           media.Timestamp
	lateNow, lateThen time.Duration // least delay in this lateWindow and in the one before
}

// timestamp returns the time on the stream's clock of a message that says ms and arrived at now.
func (c *clock) timestamp(k media.Kind, ms uint32, now media.Timestamp) media.Timestamp {
	t, other := &c.audio, &c.video
	if k == media.Video {
		t, other = other, t
	}
	if !t.started {
		t.begin(ms, other)
		c.place(t, other, now)
	} else if at, ok := c.follow(t, other, ms, now); ok {
		t.last = at
		return at
	}
	l := t.line
	at := media.Timestamp(t.said + l.offset)
	c.pace(t, at, now)
	at = at.Add(l.correct(now, time.Duration(now)-t.said))
	l.latest = max(l.latest, at)
	if t.same > 0 {
		at = max(at, t.last.Add(t.usual)) // several frames of one time follow each other
	}
	t.last = at
	return at
}

// follow takes a message of a track that has begun. ok says that its time is not the publisher's, but at.
func (c *clock) follow(t, other *track, ms uint32, now media.Timestamp) (at media.Timestamp, ok bool) {
	step := time.Duration(int32(ms-uint32(t.said/time.Millisecond))) * time.Millisecond
	t.said += step
	if step == 0 {
		return t.stand(now)
	}
	wasStuck := t.stuck > 0
	if step > 0 && step < smallStep {
		t.usual = step / time.Duration(t.same+1)
	}
	t.same, t.stuck = 0, 0
	if wasStuck || t.jumped(step, now) {
		c.jumps++
		c.place(t, other, now)
	}
	return 0, false
}

// begin takes a track's first message.
func (t *track) begin(ms uint32, other *track) {
	t.started, t.usual = true, 20*time.Millisecond
	t.said = time.Duration(ms) * time.Millisecond
	if other.started { // its time may have wrapped, or be about to
		t.said = other.said + time.Duration(int32(ms-uint32(other.said/time.Millisecond)))*time.Millisecond
	}
}

// jumped says whether a step cannot be time that passed.
func (t *track) jumped(step time.Duration, now media.Timestamp) bool {
	at := media.Timestamp(t.said + t.line.offset)
	return step < -maxBack || at.Sub(max(t.line.latest, now)) > maxStep || now.Sub(at) > maxLag
}

// place begins anew, or for the first time, at a message that arrives now: on the other track's line if it fits, else at the time
// of arrival.
func (c *clock) place(t, other *track, now media.Timestamp) {
	if other.started && other.stuck == 0 && other.line != t.line {
		if d := media.Timestamp(t.said + other.line.offset).Sub(other.last); d <= sameClock && d >= -sameClock {
			t.line = other.line
			return
		}
	}
	at := max(now, other.last)
	if t.line != nil {
		at = max(at, t.last.Add(t.usual))
	}
	offset := time.Duration(at) - t.said
	t.line = &line{
		offset: offset, pace: offset, latest: at,
		windowEnd: now.Add(window), least: time.Duration(now) - t.said, lateEnd: now.Add(lateWindow), lateNow: maxLag,
	}
	if !other.started && !c.begun {
		// What was recorded while the link stood still before the first message may come at once: up to what passed since the
		// publisher was let in.
		c.begun = true
		t.line.pace -= min(time.Duration(now), maxLag)
	}
}

// stand takes a message that says the same time as the one before. ok says that the track has no times, but at.
func (t *track) stand(now media.Timestamp) (at media.Timestamp, ok bool) {
	if t.same == 0 {
		t.sameSince = now
	}
	t.same++
	if t.stuck == 0 && (t.same < stuckMessages || now.Sub(t.sameSince) < stuckFor) {
		return 0, false
	}
	if t.stuck == 0 {
		t.stuckFrom = t.sameSince
		t.stuck = t.same
	}
	t.stuck++
	// Frames are as long as those so far were on average, and drift towards their arrival.
	at = t.last.Add(max(now.Sub(t.stuckFrom)/time.Duration(t.stuck), time.Millisecond))
	if d := now.Sub(at); d > stuckError {
		at = now
	} else {
		at = max(at.Add(d/16), t.last.Add(time.Millisecond))
	}
	return at, true
}

// pace decides how long the publisher is to be held back.
func (c *clock) pace(t *track, at, now media.Timestamp) {
	l := t.line
	c.burst = max(0, c.burst-topSpeed*now.Sub(c.readAt)) + min(max(0, at.Sub(l.latest)), smallStep)
	c.readAt = now
	if excess := at.Sub(max(l.latest, now)); excess > smallStep && l.excused+excess <= maxStep {
		l.excused += excess
		l.pace -= excess
	}
	if lead := t.said + l.pace - time.Duration(now); lead > maxLead {
		c.mayRead, c.heldAt, c.held, l.held = lead-maxLead, now, true, true
		return
	}
	c.mayRead = max(0, c.burst-freeBurst) / topSpeed
}

// fast says whether messages come faster than their media plays.
func (c *clock) fast() bool {
	return c.burst > freeBurst/4 || c.held && c.readAt.Sub(c.heldAt) < maxLead
}

// rest returns how long a publisher that was held back lately, and has ended, is ahead of its time.
func (c *clock) rest(now media.Timestamp) time.Duration {
	if !c.held || now.Sub(c.heldAt) > maxLead+maxStep {
		return 0
	}
	return min(max(0, c.audio.last.Sub(now), c.video.last.Sub(now)), maxLead+maxStep)
}

// correct learns from a message that arrived so long after the publisher's time. It returns what it has moved the line by.
func (l *line) correct(now media.Timestamp, way time.Duration) time.Duration {
	l.least = min(l.least, way)
	moved := l.standstill(now, way)
	if now < l.windowEnd {
		return moved
	}
	if !l.held {
		l.paces[l.known%paceWindows] = l.least
		l.known++
		l.pace = slices.Min(l.paces[:min(l.known, paceWindows)])
	}
	d := min(max(l.least-l.offset, -slew), slew)
	l.offset += d
	l.windowEnd, l.least, l.held, l.excused = now.Add(window), way, false, 0
	return moved + d
}

// standstill moves the line to where messages arrive that stay late: their publisher has stood still, or is slower than its times. Those
// of a link that catches up are ever less late.
func (l *line) standstill(now media.Timestamp, way time.Duration) time.Duration {
	delay := way - l.offset
	if now < l.lateEnd {
		l.lateNow = min(l.lateNow, delay)
		return 0
	}
	moved := time.Duration(0)
	if l.lateThen > late && l.lateNow > late && l.lateThen-l.lateNow < catching {
		moved = min(l.lateThen, l.lateNow, delay)
		l.offset += moved
		l.least = way
	}
	l.lateThen, l.lateNow, l.lateEnd = l.lateNow-moved, delay-moved, now.Add(lateWindow)
	return moved
}
