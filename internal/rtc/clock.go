package rtc

import (
	"time"

	"transponder/internal/media"
)

const (
	// delayWindow is how long a packet counts when we look for the fastest ones. It is long enough to span the bursts of a
	// congested path, and short enough to follow a clock that is 100 ppm off within 2 ms.
	delayWindow = 20 * time.Second
	// audioSlew and videoSlew limit how fast times move towards a better estimate, in seconds per second. Nobody hears 5 ms
	// in a second of sound. Pictures may move twenty times as fast.
	audioSlew = 0.005
	videoSlew = 0.1
	// settling: a track has settled when for so long no packet came faster than all packets before it. Then the burst at
	// the start of the stream is over, and the arrival of the two tracks tells how they belong together.
	settling = 300 * time.Millisecond
	// settlingStep is how much faster a packet must be to count as faster.
	settlingStep = 5 * time.Millisecond
	// farApart: if the tracks are farther from each other, a slew would take too long. Then one of them makes a jump, which
	// leaves a gap.
	farApart = 250 * time.Millisecond
	// inBurst: if both tracks are so far ahead of their arrival, they started with a burst. sameBurst is the largest
	// difference between the two if both bursts started with the same moment.
	inBurst   = 200 * time.Millisecond
	sameBurst = 120 * time.Millisecond
	// idleAfter: a track that is silent for so long has paused.
	idleAfter = 500 * time.Millisecond
	// stalledBy: if all packets of the last stallSeconds are later than before by more than this, then the sender's clock
	// stood still, or the path has become longer for good. A browser that gets no CPU time counts no samples meanwhile.
	stalledBy    = 200 * time.Millisecond
	stallSeconds = 2
	// stepBy limits how far one step of RTP time may go back, or ahead of the time that has passed. Pictures in coding
	// order go back by less.
	stepBy = 200 * time.Millisecond
	// onTime: a packet that is no later than this proves that nothing blocks the path.
	onTime = 100 * time.Millisecond
	// maxAhead limits how far times may be ahead of arrival, after a long burst or with a fast clock of the sender.
	maxAhead = 8 * time.Second
	// jumpAfter and lateFor: if a track is late by more than jumpAfter for longer than lateFor, its clock is no longer
	// believed.
	jumpAfter = 3 * time.Second
	lateFor   = 2 * time.Second
	// leastStep is the least time between the last frame before a new start of a track and the first frame after it.
	leastStep = 10 * time.Millisecond
	// reportTolerance is how much two sender reports of a track may disagree, besides the drift of the clocks.
	reportTolerance = 20 * time.Millisecond
	// reportDrift is the largest drift between RTP clock and wall clock, in seconds per second.
	reportDrift = 0.002
	// reportReach limits how far the RTP time of a report may be from the last packet.
	reportReach = 15 * time.Second
	// sharedWithin limits how much the delays of the two tracks may differ if their reports come from one clock.
	sharedWithin = 1500 * time.Millisecond
)

// clock places the two tracks of a publisher on the stream's clock.
//
// The time of a frame is its RTP time plus an offset of its track. The clock answers two questions, independently of each
// other.
//
// How do the tracks belong together? Sender reports (RFC 3550, 6.4.1) tell it. Without usable reports, the fastest packets
// of each track do, as soon as the burst is over with which some senders start. Corrections move the pictures only.
//
// When did it happen? Packets arrive late because of the queues on the path, and never early. So again the fastest packets
// tell. Corrections move both tracks together, as slowly as sound may move, so the tracks stay in sync.
//
// Small corrections are made slowly. Large ones are jumps and leave a gap. Times never go back.
type clock struct {
	lanes [2]lane // audio, video

	// lag is how much later pictures arrive than the sound of the same moment. Sender reports told it, and it still holds
	// if they become void; or the burst at the start did.
	lag   time.Duration
	known bool // lag is known
}

func (c *clock) lane(k media.Kind) *lane {
	if k == media.Video {
		return &c.lanes[1]
	}
	return &c.lanes[0]
}

// start sets the rate of a track's RTP clock. If the rate changes, the track starts over.
func (c *clock) start(k media.Kind, rate int) {
	if l := c.lane(k); l.rate != int64(rate) {
		l.rate = int64(rate)
		l.begun, l.ticks, l.at = false, 0, 0
	}
}

// restart lets the next frame of a track be a new start.
func (c *clock) restart(k media.Kind) { c.lane(k).begun = false }

// time returns the time on the stream's clock of a frame that has arrived now. Within a track it never goes back.
func (c *clock) time(k media.Kind, rtpTime uint32, now media.Timestamp) media.Timestamp {
	l := c.lane(k)
	before := l.at
	ahead := c.ahead(l, now)
	switch {
	case !l.begun:
		l.begun, l.rtpTime = true, rtpTime
		l.anchor(now, ahead)
	case l.follow(rtpTime, now, c.heard(k, now)):
		l.jumped++
		l.anchor(now, ahead)
	case l.delay.stalled(now):
		l.restart(now)
	}
	l.heardAt = now
	passed := float64(min(max(l.at-before, 0), time.Second))
	c.join(k, passed, now)
	c.move(k, passed, now)
	t := media.Timestamp(l.at + l.offset)
	if l.timed && t <= l.last {
		t = l.last + 1
	}
	l.timed, l.last = true, t
	return t
}

// heard says whether packets of the other track arrive, and in time. If so, nothing blocks the path.
func (c *clock) heard(k media.Kind, now media.Timestamp) bool {
	other := &c.lanes[0]
	if k == media.Audio {
		other = &c.lanes[1]
	}
	least, ok := other.delay.least(now)
	return ok && now.Sub(other.heardAt) < idleAfter/2 && time.Duration(other.heardAt)-other.at-least < onTime
}

// ahead returns how far ahead of arrival a track is to start, or to start over: as far as the other track is; or else as
// far as it was itself.
func (c *clock) ahead(l *lane, now media.Timestamp) time.Duration {
	audio, video := &c.lanes[0], &c.lanes[1]
	other, lag := audio, -c.lag
	if l == audio {
		other, lag = video, c.lag
	}
	if d, ok := other.ahead(now); ok && other.settled(now) {
		return d + lag
	}
	d, _ := l.ahead(now)
	return d
}

// join brings the tracks into sync.
func (c *clock) join(k media.Kind, passed float64, now media.Timestamp) {
	audio, video := &c.lanes[0], &c.lanes[1]
	distance, ok := c.distance(now)
	if !ok {
		return
	}
	switch wrong := video.offset - audio.offset - distance; {
	case wrong > farApart:
		audio.offset += wrong
	case wrong < -farApart:
		video.offset -= wrong
	case k == media.Video:
		video.offset -= slewed(wrong, passed*videoSlew)
	}
}

// distance returns the right difference between the offsets of video and audio, if it is known.
func (c *clock) distance(now media.Timestamp) (time.Duration, bool) {
	audio, video := &c.lanes[0], &c.lanes[1]
	a, ok1 := audio.delay.least(now)
	v, ok2 := video.delay.least(now)
	if !ok1 || !ok2 {
		return 0, false
	}
	arriving := v - a
	if audio.reported && video.reported {
		// The sender's wall clock is lane time plus sender. The way from it to the stream's clock must be the same for both
		// tracks.
		told := video.sender - audio.sender
		if d := arriving - told; d <= sharedWithin && d >= -sharedWithin { // otherwise the reports are not of one clock
			if audio.settled(now) && video.settled(now) {
				c.lag, c.known = d, true
			}
			return told, true
		}
	}
	if !audio.settled(now) || !video.settled(now) {
		return 0, false
	}
	if !c.known {
		c.known, c.lag = true, commonStart(audio.offset-a, video.offset-v)
	}
	return arriving - c.lag, true
}

// commonStart returns how much later pictures arrive than sound, judged by how far both tracks are ahead of their arrival.
// A sender that starts with a burst has kept everything since it began to record, so the first packets of both tracks are
// of the same moment. This is better evidence than the fastest packets after the burst, whose delay contains the time that
// the encoders take. Without a burst it is 0.
func commonStart(audio, video time.Duration) time.Duration {
	d := audio - video
	if min(audio, video) < inBurst || d > sameBurst || d < -sameBurst {
		return 0
	}
	return d
}

// move moves both tracks towards their arrival. While there is sound, it sets the pace.
func (c *clock) move(k media.Kind, passed float64, now media.Timestamp) {
	rate := audioSlew
	if k == media.Video {
		if audio := &c.lanes[0]; audio.begun && now.Sub(audio.heardAt) < 2*idleAfter {
			return
		}
		rate = videoSlew
	}
	nearest, known := time.Duration(0), false
	for i := range c.lanes {
		l := &c.lanes[i]
		if least, ok := l.delay.least(now); ok && (!known || least-l.offset < nearest) {
			nearest, known = least-l.offset, true
		}
	}
	d := slewed(nearest, passed*rate)
	for i := range c.lanes {
		c.lanes[i].offset += d
	}
}

// slewed returns the part of a correction that is allowed now.
func slewed(d time.Duration, most float64) time.Duration {
	return min(max(d, -time.Duration(most)), time.Duration(most))
}

// report takes a sender report.
func (c *clock) report(k media.Kind, ntp uint64, rtpTime uint32) {
	l := c.lane(k)
	if l.report(ntp, rtpTime) {
		return
	}
	// The sender's wall clock was set: the reports of the other track are from before.
	for i := range c.lanes {
		c.lanes[i].reported = false
	}
}

// jumps returns how often the RTP clocks of the sender have jumped.
func (c *clock) jumps() int64 { return c.lanes[0].jumped + c.lanes[1].jumped }
