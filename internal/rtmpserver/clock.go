package rtmpserver

import (
	"slices"
	"time"

	"transponder/internal/media"
)

const (
	// maxStep is how far the time of a message may be ahead of all messages before it, and of its arrival. More is a jump, as of an
	// encoder that was restarted, or of a clock that was set.
	maxStep = 3 * time.Second

	// maxBack is how far the time of a track may go back, as rounding and some encoders make it. More is a jump.
	maxBack = 200 * time.Millisecond

	// sameClock is how far apart two tracks with the same clock may be: a multiplexer may send one of them that much earlier.
	sameClock = 3 * time.Second

	// Sound that shares the clock of the pictures by its times, but comes ownZero or more after these times for doubtFor, while the pictures
	// come in time, has begun late, with a zero of its own: no encoder holds sound back for so long. A file whose tracks are badly interleaved
	// sends its sound in bursts, and the end of a burst is in time. Pictures that come so late are believed: an encoder that looks ahead may
	// hold them back, and the first picture of such an encoder looks like that of an encoder whose camera was switched on late.
	ownZero  = time.Second
	doubtFor = time.Second

	// maxLag is how late a message may be whose time is still believed. A connection that stands still is closed earlier.
	maxLag = time.Minute

	// If messages are later than late for two windows of lateWindow, the publisher has stood still or is slow. If their lateness
	// shrinks by catching or more from one window to the next, the network was slow, and catches up.
	late       = 250 * time.Millisecond
	lateWindow = time.Second
	catching   = 100 * time.Millisecond

	// maxLead is how far a publisher is read ahead of its own pace. A publisher that sends faster, such as a file that is sent without
	// pacing, is held back.
	maxLead = 2 * time.Second
	// smallStep is the longest step in time of a publisher that keeps its pace. A longer step is a gap in its media, and no reason to
	// hold the publisher back.
	smallStep = 500 * time.Millisecond

	// topSpeed is how many times faster than real time a publisher is read that catches up, so that the queues of readers can follow.
	// The first freeBurst of media is read at any speed.
	topSpeed  = 10
	freeBurst = time.Second

	// The shortest time to arrival within a window is taken for the true one. The pace of a publisher is the shortest of paceWindows
	// windows, which is longer than a network is slow that then catches up.
	window      = 10 * time.Second
	paceWindows = 60

	// slew is the most that is corrected in a window. A tenth of a percent is not audible, and two clocks differ by less.
	slew = window / 1000

	// A track has no usable times if they have stood still for stuckMessages messages and for stuckFor.
	stuckMessages = 4
	stuckFor      = 300 * time.Millisecond
	// The frames of such a track are spread evenly; stuckError is how far they may be from their arrival.
	stuckError = 500 * time.Millisecond
)

// clock turns the 32-bit milliseconds of a publisher into times on the clock of the stream, which is the clock of arrival. Tracks that
// share a clock stay in step.
//
// The time of a late message is believed: after a network has stood still, it delivers media that was recorded meanwhile with right
// times, and the publisher is read fast until it has caught up. Times of arrival correct the offset slowly. Only when the clock of a
// publisher has jumped or stood still is the offset corrected at once. Times never go back: a new timeline begins after the last
// frame of the old one.
type clock struct {
	audio, video trackClock
	jumps        int64

	readAt media.Timestamp // when the last message arrived
	burst  time.Duration   // how much media came faster than topSpeed

	begun   bool
	held    bool // the publisher was held back at heldAt
	heldAt  media.Timestamp
	mayRead time.Duration // how long to wait before the next message is read
}

// trackClock is the clock of one track.
type trackClock struct {
	started  bool
	timeline *timeline
	said     time.Duration   // time of the latest message as the publisher said it, without wrapping at 32 bits
	last     media.Timestamp // time of that message on the clock of the stream
	usual    time.Duration   // between two frames
	delay    time.Duration   // of the latest message: from last to its arrival

	doubtEnd media.Timestamp // until then it is open whether the track shares the clock of the other one; 0: it is not
	least    time.Duration   // shortest delay while that is open

	same      int // messages in a row with the same time
	sameSince media.Timestamp
	stuck     int // messages since the times are no longer believed
	stuckFrom media.Timestamp
}

// timeline is a stretch of the time of a publisher without jumps. Tracks may share it.
type timeline struct {
	offset time.Duration   // from the time of the publisher to the clock of the stream
	latest media.Timestamp // of all its messages, on the clock of the stream

	windowEnd media.Timestamp
	least     time.Duration // shortest time from the time of the publisher to the arrival, in the window
	held      bool          // the publisher was held back in the window, so its pace is not known
	excused   time.Duration // sum of the gaps in the media, in the window

	pace  time.Duration // from the time of the publisher to when the media is due at the pace of the publisher
	paces [paceWindows]time.Duration
	known int // of paces

	lateEnd           media.Timestamp
	lateNow, lateThen time.Duration // shortest delay in this lateWindow and in the one before
}

// timestamp returns the time on the clock of the stream of a message that says ms and arrived at now.
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
	l := t.timeline
	at := media.Timestamp(t.said + l.offset)
	c.pace(t, at, now)
	at = at.Add(l.correct(now, time.Duration(now)-t.said))
	t.delay = now.Sub(at)
	if k == media.Audio && t.hasOwnZero(other, now) {
		c.jumps++
		l = newTimeline(l.offset+t.least, t.said, now)
		t.timeline, at, t.delay = l, l.latest, t.delay-t.least
	}
	l.latest = max(l.latest, at)
	if t.same > 0 {
		at = max(at, t.last.Add(t.usual)) // several frames with the same time are spread
	}
	t.last = at
	return at
}

// follow handles a message of a track that has begun. If ok is true, the time of the message is at, whatever the publisher says.
func (c *clock) follow(t, other *trackClock, ms uint32, now media.Timestamp) (at media.Timestamp, ok bool) {
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

// begin handles the first message of a track.
func (t *trackClock) begin(ms uint32, other *trackClock) {
	t.started, t.usual = true, 20*time.Millisecond
	t.said = time.Duration(ms) * time.Millisecond
	if other.started { // one of the two times may have wrapped
		t.said = other.said + time.Duration(int32(ms-uint32(other.said/time.Millisecond)))*time.Millisecond
	}
}

// jumped reports whether a step in the time of the publisher is a jump of its clock.
func (t *trackClock) jumped(step time.Duration, now media.Timestamp) bool {
	at := media.Timestamp(t.said + t.timeline.offset)
	return step < -maxBack || at.Sub(max(t.timeline.latest, now)) > maxStep || now.Sub(at) > maxLag
}

// place gives a track a timeline at a message that arrives now: the timeline of the other track if the time fits, otherwise a new one that
// begins at the time of arrival.
func (c *clock) place(t, other *trackClock, now media.Timestamp) {
	if other.started && other.stuck == 0 && other.timeline != t.timeline {
		if d := media.Timestamp(t.said + other.timeline.offset).Sub(other.last); d <= sameClock && d >= -sameClock {
			t.timeline, t.doubtEnd = other.timeline, 0
			if d <= -ownZero {
				t.doubtEnd, t.least = now.Add(doubtFor), maxLag
			}
			return
		}
	}
	at := max(now, other.last)
	if t.timeline != nil {
		at = max(at, t.last.Add(t.usual))
	}
	t.timeline = newTimeline(time.Duration(at)-t.said, t.said, now)
	if !other.started && !c.begun {
		// If the network stood still before the first message, all media since then may come at once: up to the time since the
		// publisher was accepted.
		c.begun = true
		t.timeline.pace -= min(time.Duration(now), maxLag)
	}
}

// newTimeline makes a timeline that begins at a message that says said and arrives now.
func newTimeline(offset, said time.Duration, now media.Timestamp) *timeline {
	return &timeline{
		offset: offset, pace: offset, latest: media.Timestamp(said + offset),
		windowEnd: now.Add(window), least: time.Duration(now) - said, lateEnd: now.Add(lateWindow), lateNow: maxLag,
	}
}

// hasOwnZero reports whether a track that has joined the timeline of the other one does not share its clock. It is asked at each message.
func (t *trackClock) hasOwnZero(other *trackClock, now media.Timestamp) bool {
	if t.doubtEnd == 0 {
		return false
	}
	t.least = min(t.least, t.delay)
	switch {
	case t.least < ownZero:
		t.doubtEnd = 0
		return false
	case now < t.doubtEnd, other.delay >= late, other.timeline != t.timeline:
		return false
	default:
		t.doubtEnd = 0
		return true
	}
}

// stand handles a message with the same time as the one before. If ok is true, the track has no usable times, and at is the time of the
// message.
func (t *trackClock) stand(now media.Timestamp) (at media.Timestamp, ok bool) {
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
	// A frame is as long as the frames before it on average. The times drift towards the times of arrival.
	at = t.last.Add(max(now.Sub(t.stuckFrom)/time.Duration(t.stuck), time.Millisecond))
	if d := now.Sub(at); d > stuckError {
		at = now
	} else {
		at = max(at.Add(d/16), t.last.Add(time.Millisecond))
	}
	return at, true
}

// pace decides how long the publisher is held back.
func (c *clock) pace(t *trackClock, at, now media.Timestamp) {
	l := t.timeline
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

// fast reports whether messages come faster than the media plays.
func (c *clock) fast() bool {
	return c.burst > freeBurst/4 || c.held && c.readAt.Sub(c.heldAt) < maxLead
}

// rest returns how much media is still to be played of a publisher that has ended, and was held back shortly before.
func (c *clock) rest(now media.Timestamp) time.Duration {
	if !c.held || now.Sub(c.heldAt) > maxLead+maxStep {
		return 0
	}
	return min(max(0, c.audio.last.Sub(now), c.video.last.Sub(now)), maxLead+maxStep)
}

// correct adjusts the offset by a message. way is the time from the time of the publisher to the arrival. It returns the change of the
// offset.
func (l *timeline) correct(now media.Timestamp, way time.Duration) time.Duration {
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

// standstill moves the offset to the times of arrival if messages stay late: then the publisher has stood still, or is slower than its
// times say. After a slow network the messages become less and less late.
func (l *timeline) standstill(now media.Timestamp, way time.Duration) time.Duration {
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
