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
	// audioSlew and videoSlew are how fast a track's times move towards a better estimate: 5 ms of sound a second is heard
	// by nobody, and pictures may hurry ten times as much.
	audioSlew = 0.005
	videoSlew = 0.05
	// stalledBy is how much later than before all packets of stallSeconds must be for their sender's clock to have stood
	// still, or their path to have become longer for good: a browser that gets no processor counts no samples meanwhile.
	stalledBy    = 200 * time.Millisecond
	stallSeconds = 2
	// jumpAfter is how far RTP time may be from arrival before the sender must have set its clock anew.
	jumpAfter = 3 * time.Second
	// lateFor is how long a track may be that late before its clock is not believed.
	lateFor = 2 * time.Second
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
// Each track begins at the time of arrival of its first frame and goes on by its RTP time. The frames that came fastest
// show where it should be: arrival is late by the path's queues, never early. Once sender reports (RFC 3550, 6.4.1) say how
// the tracks' RTP times belong together, sound goes by the track that is faster on its way, and pictures keep to the sound.
// All corrections are slewed, but for the one after a stall: what was not recorded leaves a gap.
type clock struct {
	lanes [2]lane // audio, video
}

func (c *clock) lane(k media.Kind) *lane {
	if k == media.Video {
		return &c.lanes[1]
	}
	return &c.lanes[0]
}

// start sets the rates of a track's RTP clock.
func (c *clock) start(k media.Kind, rate int) { c.lane(k).rate = int64(rate) }

// time returns when on the stream's clock a frame belongs that arrived now. It never goes back within a track.
func (c *clock) time(k media.Kind, rtpTime uint32, now media.Timestamp) media.Timestamp {
	l, rate := c.lane(k), audioSlew
	if k == media.Video {
		rate = videoSlew
	}
	before := l.at
	m := l.follow(rtpTime, now)
	if l.delay.stalled(now) {
		l.restart(now)
	}
	if target, ok := c.target(k, now); ok {
		most := time.Duration(float64(min(max(l.at-before, 0), time.Second)) * rate)
		l.offset += min(max(target-l.offset, -most), most)
	}
	t := media.Timestamp(m + l.offset)
	if l.timed && t <= l.last {
		t = l.last + 1
	}
	l.timed, l.last = true, t
	return t
}

// target returns what a track's offset should be.
func (c *clock) target(k media.Kind, now media.Timestamp) (time.Duration, bool) {
	l := c.lane(k)
	own, ok := l.delay.least(now)
	if !ok || !c.shared(now) {
		return own, ok
	}
	// The sender's clock runs at lane time + sender; both tracks' offsets to the stream's clock must then be one.
	audio, video := &c.lanes[0], &c.lanes[1]
	if k == media.Video {
		return audio.offset - audio.sender + video.sender, true
	}
	theirs, _ := video.delay.least(now)
	return min(own-audio.sender, theirs-video.sender) + audio.sender, true
}

// shared says whether both tracks have reports, and of one clock.
func (c *clock) shared(now media.Timestamp) bool {
	audio, video := &c.lanes[0], &c.lanes[1]
	a, ok1 := audio.delay.least(now)
	v, ok2 := video.delay.least(now)
	if !ok1 || !ok2 || !audio.reported || !video.reported {
		return false
	}
	spread := (a - audio.sender) - (v - video.sender)
	return spread <= sharedWithin && spread >= -sharedWithin
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

	begun   bool
	rtpTime uint32
	ticks   int64
	at      time.Duration // lane time of the last frame
	offset  time.Duration // from lane time to the stream's clock
	delay   leastDelay
	timed   bool
	last    media.Timestamp
	jumped  int64

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

// follow moves the lane to a frame and returns its lane time.
func (l *lane) follow(rtpTime uint32, now media.Timestamp) time.Duration {
	if !l.begun {
		l.begun, l.rtpTime = true, rtpTime
		l.anchor(now)
		return l.at
	}
	step := int64(int32(rtpTime - l.rtpTime))
	l.rtpTime = rtpTime
	l.ticks += step
	l.at = media.Samples(l.ticks, int(l.rate))
	arrival := time.Duration(now) - l.at
	l.delay.add(now, arrival)
	if l.lost(step, arrival-l.offset, now) {
		l.jumped++
		l.anchor(now)
	}
	return l.at
}

// lost says that the RTP clock was set anew: a frame is far before the one before it, or ahead of its own arrival. One that
// is late may come from a path that was blocked and delivers now, so that is believed only after some time.
func (l *lane) lost(step int64, late time.Duration, now media.Timestamp) bool {
	if late <= jumpAfter {
		l.late = false
		return late < -jumpAfter || media.Samples(step, int(l.rate)) < -jumpAfter
	}
	if !l.late {
		l.late, l.lateSince = true, now
	}
	return now.Sub(l.lateSince) > lateFor
}

// anchor begins anew at a frame that arrives now.
func (l *lane) anchor(now media.Timestamp) {
	l.offset = time.Duration(now) - l.at
	l.delay = leastDelay{}
	l.delay.add(now, l.offset)
	l.reported, l.candidate, l.late = false, false, false
}

// restart goes on from where the packets since a stall are. Reports are of the time before.
func (l *lane) restart(now media.Timestamp) {
	least, ok := l.delay.least(now)
	if !ok || least <= l.offset {
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
}

type delayBucket struct {
	second int64 // 1-based, 0: empty
	least  time.Duration
}

func (d *leastDelay) add(now media.Timestamp, offset time.Duration) {
	second := int64(now)/int64(time.Second) + 1
	b := &d.buckets[second%int64(len(d.buckets))]
	if b.second != second {
		*b = delayBucket{second: second, least: offset}
		return
	}
	b.least = min(b.least, offset)
}

// stalled says whether all that came in the last stallSeconds was later, by stalledBy, than the best before. What came before
// is forgotten then: it is of a time that is gone.
func (d *leastDelay) stalled(now media.Timestamp) bool {
	before, ok := d.least(now)
	if !ok {
		return false
	}
	second := int64(now)/int64(time.Second) + 1
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
	second := int64(now)/int64(time.Second) + 1
	for _, b := range d.buckets {
		if b.second != 0 && second-b.second < int64(len(d.buckets)) && (!ok || b.least < least) {
			least, ok = b.least, true
		}
	}
	return least, ok
}
