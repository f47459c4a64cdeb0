package rtc

import (
	"math"
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
	// stalledBy: if all packets of stallSeconds are later than before by so much, then the sender's clock stood still, or
	// the path has become longer for good. A browser that gets no CPU time counts no samples meanwhile.
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

// lane is the clock of one track. Lane time is the RTP time since the first frame, as a duration that does not wrap.
type lane struct {
	rate int64

	begun     bool
	rtpTime   uint32        // of the last frame
	ticks     int64         // lane time of the last frame, in units of RTP time
	at        time.Duration // lane time of the last frame
	heardAt   media.Timestamp
	offset    time.Duration // from lane time to the stream's clock
	delay     leastDelay
	lowest    time.Duration // the least delay since the last new start or stall
	loweredAt media.Timestamp
	timed     bool            // a time was given out
	last      media.Timestamp // the last time that was given out
	jumped    int64

	late      bool // by more than jumpAfter
	lateSince media.Timestamp

	reported  bool          // two reports agreed, so sender is known
	sender    time.Duration // from lane time to the sender's wall clock, by the last adopted report
	candidate bool          // there is a last report
	reportAt  time.Duration // lane time of the last report
	reportOf  time.Duration // wall clock of the last report
	goodAt    time.Duration // lane time of the last adopted report
	goodOf    time.Duration // wall clock of the last adopted report
}

// follow moves the lane to a frame. It returns true if the RTP clock has jumped, so that the frame is a new start. open
// means that nothing blocks the path.
func (l *lane) follow(rtpTime uint32, now media.Timestamp, open bool) (lost bool) {
	step := media.Samples(int64(int32(rtpTime-l.rtpTime)), int(l.rate))
	lost = l.stepped(step, now, open)
	l.ticks += int64(int32(rtpTime - l.rtpTime))
	l.rtpTime = rtpTime
	l.at = media.Samples(l.ticks, int(l.rate))
	l.arrive(now)
	return lost || l.misplaced(now)
}

// arrive notes the delay of a frame: the difference between arrival and lane time.
func (l *lane) arrive(now media.Timestamp) {
	d := time.Duration(now) - l.at
	l.delay.add(now, d)
	if d < l.lowest-settlingStep {
		l.lowest, l.loweredAt = d, now
	}
}

// settled says whether the delay of the fastest packets is known.
func (l *lane) settled(now media.Timestamp) bool { return l.begun && now.Sub(l.loweredAt) >= settling }

// ahead returns how far the times are ahead of the arrival of the fastest packets.
func (l *lane) ahead(now media.Timestamp) (time.Duration, bool) {
	least, ok := l.delay.least(now)
	if !ok {
		return 0, false
	}
	return l.offset - least, true
}

// stepped says whether a step of RTP time cannot be time that has passed: it goes back, it goes far ahead of arrival, or
// the clock stood still while nothing blocked the path. Two cases are no jump: a late track that catches up, and a track
// that has just started, with losses in its burst.
func (l *lane) stepped(step time.Duration, now media.Timestamp, open bool) bool {
	least, ok := l.delay.least(now)
	if step < -stepBy || !ok {
		return step < -stepBy
	}
	passed := now.Sub(l.heardAt)
	late := time.Duration(l.heardAt) - l.at - least
	if step-passed > stepBy {
		return l.settled(now) && late < onTime
	}
	return open && passed >= idleAfter && passed-step > stepBy
}

// misplaced says whether a frame is too far from its arrival. A frame that is too early counts at once. Late frames may
// come from a path that was blocked and now delivers, so they count only after some time.
func (l *lane) misplaced(now media.Timestamp) bool {
	late := time.Duration(now) - l.at - l.offset
	if late <= jumpAfter {
		l.late = false
		return late < -maxAhead
	}
	if !l.late {
		l.late, l.lateSince = true, now
	}
	return now.Sub(l.lateSince) > lateFor
}

// anchor starts over at a frame that has arrived now. The frame's time is ahead of its arrival as given, and after the last
// frame. Earlier reports become void.
func (l *lane) anchor(now media.Timestamp, ahead time.Duration) {
	l.lowest, l.loweredAt = time.Duration(now)-l.at, now
	l.offset = l.lowest + ahead
	if l.timed {
		l.offset = max(l.offset, time.Duration(l.last)+leastStep-l.at)
	}
	l.delay = leastDelay{}
	l.delay.add(now, l.lowest)
	l.reported, l.candidate, l.late = false, false, false
}

// restart adopts the delay of the packets since a stall. Earlier reports become void.
func (l *lane) restart(now media.Timestamp) {
	least, ok := l.delay.least(now)
	if !ok {
		return
	}
	l.lowest, l.loweredAt = least, now-media.Timestamp(settling)
	if least <= l.offset {
		return
	}
	l.offset = least
	l.jumped++
	l.reported, l.candidate = false, false
}

// report takes a sender report. A report is adopted if it agrees with the one before, so a single wrong one does no harm
// (OBS starts with an RTP time of 0xFFFFFFFF). report returns false if the last two agree with each other, but not with the
// adopted ones.
func (l *lane) report(ntp uint64, rtpTime uint32) bool {
	if !l.begun || ntp == 0 {
		return true
	}
	at := l.at + media.Samples(int64(int32(rtpTime-l.rtpTime)), int(l.rate))
	if d := at - l.at; d > reportReach || d < -reportReach {
		return true
	}
	of := wallClock(ntp)
	agrees := l.candidate && agree(at, of, l.reportAt, l.reportOf)
	repeated := l.candidate && at == l.reportAt && of == l.reportOf
	l.candidate, l.reportAt, l.reportOf = true, at, of
	if !agrees || repeated {
		return true
	}
	stepped := l.reported && !agree(at, of, l.goodAt, l.goodOf)
	l.reported, l.sender, l.goodAt, l.goodOf = true, of-at, at, of
	return !stepped
}

// agree says whether two reports can come from the same clocks.
func agree(at, of, at2, of2 time.Duration) bool {
	off := (of - of2) - (at - at2)
	tolerance := reportTolerance + time.Duration(math.Abs(float64(at-at2))*reportDrift)
	return off <= tolerance && off >= -tolerance
}

// wallClock turns an NTP timestamp (RFC 3550, 4) into the time since 1900. It is right until NTP timestamps wrap in 2036.
func wallClock(ntp uint64) time.Duration {
	return time.Duration(ntp>>32)*time.Second + time.Duration((ntp&0xffffffff)*uint64(time.Second)>>32)
}

// leastDelay keeps the least delay of the last delayWindow: one value for each second.
type leastDelay struct {
	buckets [delayWindow / time.Second]delayBucket
	overall delayBucket // the least of all buckets, as of its second
}

type delayBucket struct {
	second int64 // counted from 1; 0: the bucket is empty
	least  time.Duration
}

// note takes a delay in a second.
func (b *delayBucket) note(second int64, delay time.Duration) {
	if b.second != second {
		*b = delayBucket{second: second, least: delay}
		return
	}
	b.least = min(b.least, delay)
}

func secondOf(now media.Timestamp) int64 { return int64(now)/int64(time.Second) + 1 }

func (d *leastDelay) add(now media.Timestamp, delay time.Duration) {
	second := secondOf(now)
	if d.overall.second == second {
		d.overall.note(second, delay)
	}
	d.buckets[second%int64(len(d.buckets))].note(second, delay)
}

// stalled says whether all packets of the last stallSeconds were later than the least delay before, by more than stalledBy.
// If so, it forgets the delays before.
func (d *leastDelay) stalled(now media.Timestamp) bool {
	before, ok := d.least(now)
	if !ok {
		return false
	}
	second := secondOf(now)
	if second <= stallSeconds {
		return false
	}
	recent := leastDelay{}
	for back := range int64(stallSeconds + 1) {
		b := d.buckets[(second-back)%int64(len(d.buckets))]
		if b.second != second-back {
			return false // nothing came in that second, so nothing is known
		}
		recent.buckets[b.second%int64(len(d.buckets))] = b
	}
	least, _ := recent.least(now)
	if least-before <= stalledBy {
		return false
	}
	*d = recent
	return true
}

// least returns the least delay of the last delayWindow; not ok if nothing came.
func (d *leastDelay) least(now media.Timestamp) (least time.Duration, ok bool) {
	second := secondOf(now)
	if d.overall.second == second {
		return d.overall.least, true
	}
	for _, b := range d.buckets {
		if b.second != 0 && second-b.second < int64(len(d.buckets)) && (!ok || b.least < least) {
			least, ok = b.least, true
		}
	}
	if ok {
		d.overall = delayBucket{second: second, least: least}
	}
	return least, ok
}
