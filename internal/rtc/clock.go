package rtc

import (
	"math"
	"time"

	"transponder/internal/media"
)

const (
	// delayWindow is how long a packet counts among those that came fastest: long enough to span the bursts of a
	// congested path, short enough to follow a clock that is 100 ppm off within 2 ms.
	delayWindow = 20 * time.Second
	// audioSlew and videoSlew are how fast times move towards a better estimate: 5 ms of sound a second is heard by nobody, and
	// pictures may hurry twenty times as much.
	audioSlew = 0.005
	videoSlew = 0.1
	// settling is for how long no packet of a track may have come faster than those before: the burst that a sender begins with
	// is over then, and how the two tracks arrive tells how they belong together.
	settling = 300 * time.Millisecond
	// settlingStep is how much faster a packet must be to count as such.
	settlingStep = 5 * time.Millisecond
	// farApart is from when on the tracks' distance is too much for a slew of seconds. One of them then leaves a gap.
	farApart = 250 * time.Millisecond
	// inBurst is how far ahead of arrival both tracks are after a burst, and sameBurst is how much further one may be than the
	// other if both bursts began with the same moment.
	inBurst   = 200 * time.Millisecond
	sameBurst = 120 * time.Millisecond
	// idleAfter is how long a track must be silent to have paused.
	idleAfter = 500 * time.Millisecond
	// stalledBy is how much later than before all packets of stallSeconds must be for their sender's clock to have stood
	// still, or their path to have become longer for good: a browser that gets no processor counts no samples meanwhile.
	stalledBy    = 200 * time.Millisecond
	stallSeconds = 2
	// stepBy is how far a single step of RTP time may go back, or ahead of the time that passed. Pictures in coding order go
	// back by less.
	stepBy = 200 * time.Millisecond
	// onTime is how late a packet may be that proves that the path is open.
	onTime = 100 * time.Millisecond
	// maxAhead is how far times may be ahead of arrival. A sender that begins with a longer burst, or whose clock is fast, is
	// followed no further.
	maxAhead = 8 * time.Second
	// jumpAfter is how late a track may be, and lateFor for how long, before its clock is not believed.
	jumpAfter = 3 * time.Second
	lateFor   = 2 * time.Second
	// leastStep is how long a track's last frame lasts before a new beginning.
	leastStep = 10 * time.Millisecond
	// reportTolerance is how far two sender reports of a track may be from each other, beside the clocks' own difference.
	reportTolerance = 20 * time.Millisecond
	// reportDrift is that difference at most, of RTP clock and wall clock.
	reportDrift = 0.002
	// reportReach is how far from the last packet a report's RTP time may be.
	reportReach = 15 * time.Second
	// sharedWithin is how far apart the two tracks' delays may be if their reports are of one clock.
	sharedWithin = 1500 * time.Millisecond
)

// clock lays a publisher's tracks on the stream's clock.
//
// A track's times are its RTP times plus an offset. The clock answers two questions apart from each other. How do the tracks
// belong together? Sender reports (RFC 3550, 6.4.1) say so; without usable ones the packets of each track that came fastest
// do, once the burst is over that some senders begin with. When did it all happen? Arrival is late by the path's queues,
// never early, so again the fastest packets tell. A correction of the first kind moves the pictures alone. A correction of
// the second kind moves both tracks together and as slowly as sound may move: the tracks stay together meanwhile.
//
// All corrections are slewed, but for large ones, which leave a gap: times never go back.
type clock struct {
	lanes [2]lane // audio, video

	// lag is how much later pictures arrive than sound of the same moment: as reports told, which holds when they are void, or as
	// the beginning of a burst did.
	lag  time.Duration
	told bool // lag is known
}

func (c *clock) lane(k media.Kind) *lane {
	if k == media.Video {
		return &c.lanes[1]
	}
	return &c.lanes[0]
}

// start sets the rate of a track's RTP clock. With another rate the track begins anew.
func (c *clock) start(k media.Kind, rate int) {
	if l := c.lane(k); l.rate != int64(rate) {
		l.rate = int64(rate)
		l.begun, l.ticks, l.at = false, 0, 0
	}
}

// time returns when on the stream's clock a frame belongs that arrived now. It never goes back within a track.
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

// heard says whether the other track's packets come, and in time: then the path is open.
func (c *clock) heard(k media.Kind, now media.Timestamp) bool {
	other := &c.lanes[0]
	if k == media.Audio {
		other = &c.lanes[1]
	}
	least, ok := other.delay.least(now)
	return ok && now.Sub(other.heardAt) < idleAfter/2 && time.Duration(other.heardAt)-other.at-least < onTime
}

// ahead returns how far ahead of arrival a track is to begin, or to begin anew: as far as the other track is, or as it was
// itself.
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

// join moves the tracks towards where they belong together.
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

// distance returns what the video's offset should be beyond the audio's.
func (c *clock) distance(now media.Timestamp) (time.Duration, bool) {
	audio, video := &c.lanes[0], &c.lanes[1]
	a, ok1 := audio.delay.least(now)
	v, ok2 := video.delay.least(now)
	if !ok1 || !ok2 {
		return 0, false
	}
	arriving := v - a
	if audio.reported && video.reported {
		// The sender's clock runs at lane time + sender; both tracks' offsets to the stream's clock must then be one.
		told := video.sender - audio.sender
		if d := arriving - told; d <= sharedWithin && d >= -sharedWithin { // else they are not of one clock
			if audio.settled(now) && video.settled(now) {
				c.lag, c.told = d, true
			}
			return told, true
		}
	}
	if !audio.settled(now) || !video.settled(now) {
		return 0, false
	}
	if !c.told {
		c.told, c.lag = true, commonStart(audio.offset-a, video.offset-v)
	}
	return arriving - c.lag, true
}

// commonStart returns how much later pictures arrive than sound, by how far both tracks are ahead of their arrival. A sender that
// begins with a burst has kept what it recorded since its start, so that the first packets are of the same moment. That says more
// than how fast the packets after them come, which holds what its encoders take. Without a burst nothing is known.
func commonStart(audio, video time.Duration) time.Duration {
	d := audio - video
	if min(audio, video) < inBurst || d > sameBurst || d < -sameBurst {
		return 0
	}
	return d
}

// move brings both tracks nearer to arrival. Sound sets the pace while there is any.
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

// slewed returns the part of a correction that may be made now.
func slewed(d time.Duration, most float64) time.Duration {
	return min(max(d, -time.Duration(most)), time.Duration(most))
}

// report takes a sender report.
func (c *clock) report(k media.Kind, ntp uint64, rtpTime uint32) {
	l := c.lane(k)
	if l.report(ntp, rtpTime) {
		return
	}
	// The sender's wall clock was set anew: the other track's reports are of the old one.
	for i := range c.lanes {
		c.lanes[i].reported = false
	}
}

// jumps returns how often senders set their RTP clocks anew.
func (c *clock) jumps() int64 { return c.lanes[0].jumped + c.lanes[1].jumped }

// lane is one track's clock. Lane time is RTP time since the first frame, unwrapped, as a duration.
type lane struct {
	rate int64

	begun     bool
	rtpTime   uint32
	ticks     int64
	at        time.Duration // lane time of the last frame
	heardAt   media.Timestamp
	offset    time.Duration // from lane time to the stream's clock
	delay     leastDelay
	lowest    time.Duration // of the delay, since the last anchor or stall
	loweredAt media.Timestamp
	timed     bool
	last      media.Timestamp
	jumped    int64

	late      bool // by more than jumpAfter
	lateSince media.Timestamp

	reported  bool          // two reports agreed
	sender    time.Duration // from lane time to the sender's wall clock, by the last good report
	candidate bool
	reportAt  time.Duration // lane time of the last report
	reportOf  time.Duration // its wall clock
	goodAt    time.Duration // the same of the last report that was adopted
	goodOf    time.Duration
}

// follow moves the lane to a frame. It returns true if the RTP clock was set anew, and the frame is to be a new beginning.
// open says that the path is known not to be blocked.
func (l *lane) follow(rtpTime uint32, now media.Timestamp, open bool) (lost bool) {
	step := media.Samples(int64(int32(rtpTime-l.rtpTime)), int(l.rate))
	lost = l.stepped(step, now, open)
	l.ticks += int64(int32(rtpTime - l.rtpTime))
	l.rtpTime = rtpTime
	l.at = media.Samples(l.ticks, int(l.rate))
	l.arrive(now)
	return lost || l.misplaced(now)
}

// arrive notes a frame's way from lane time to arrival.
func (l *lane) arrive(now media.Timestamp) {
	d := time.Duration(now) - l.at
	l.delay.add(now, d)
	if d < l.lowest-settlingStep {
		l.lowest, l.loweredAt = d, now
	}
}

// settled says whether the track's fastest packets are known.
func (l *lane) settled(now media.Timestamp) bool { return l.begun && now.Sub(l.loweredAt) >= settling }

// ahead returns how far the track's times are ahead of its fastest packets.
func (l *lane) ahead(now media.Timestamp) (time.Duration, bool) {
	least, ok := l.delay.least(now)
	if !ok {
		return 0, false
	}
	return l.offset - least, true
}

// stepped says whether a step from the last frame cannot be time that passed: it goes back, or far ahead of arrival, or its clock stood
// still while the path was open. A track that is late catches up, and one that has just begun may come in a burst with
// losses.
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

// misplaced says that a frame is far ahead of its own arrival. One that is late may come from a path that was blocked and
// delivers now, so that is believed only after some time.
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

// anchor begins anew at a frame that arrives now, so far ahead of its arrival, and after the last frame. Reports are of the
// time before.
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

// restart goes on from where the packets since a stall are. Reports are of the time before.
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

// report takes a sender report; it is adopted when it agrees with the one before, so that a single wrong one does no harm
// (OBS begins with an RTP time of 0xFFFFFFFF). It returns false when two agree with each other but not with those that
// were adopted.
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

// agree says whether two reports are of the same two clocks.
func agree(at, of, at2, of2 time.Duration) bool {
	off := (of - of2) - (at - at2)
	tolerance := reportTolerance + time.Duration(math.Abs(float64(at-at2))*reportDrift)
	return off <= tolerance && off >= -tolerance
}

// wallClock turns an NTP timestamp (RFC 3550, 4) into a duration since 1900, which fits up to its own wrap in 2036.
func wallClock(ntp uint64) time.Duration {
	return time.Duration(ntp>>32)*time.Second + time.Duration((ntp&0xffffffff)*uint64(time.Second)>>32)
}

// leastDelay keeps the least of the offsets from lane time to arrival over the last delayWindow, by the second.
type leastDelay struct {
	buckets [delayWindow / time.Second]delayBucket
	overall delayBucket // the least of them all, as of that second
}

type delayBucket struct {
	second int64 // 1-based, 0: empty
	least  time.Duration
}

// note takes an offset of a second.
func (b *delayBucket) note(second int64, offset time.Duration) {
	if b.second != second {
		*b = delayBucket{second: second, least: offset}
		return
	}
	b.least = min(b.least, offset)
}

func secondOf(now media.Timestamp) int64 { return int64(now)/int64(time.Second) + 1 }

func (d *leastDelay) add(now media.Timestamp, offset time.Duration) {
	second := secondOf(now)
	if d.overall.second == second {
		d.overall.note(second, offset)
	}
	d.buckets[second%int64(len(d.buckets))].note(second, offset)
}

// stalled says whether all that came in the last stallSeconds was later, by stalledBy, than the best before. What came before
// is forgotten then: it is of a time that is gone.
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
			return false // nothing came, so nothing is known
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
