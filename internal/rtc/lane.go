package rtc

import (
	"math"
	"time"

	"transponder/internal/media"
)

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

// anchor starts over at a frame that has arrived now. The time of the frame is the time of arrival plus ahead, or leastStep
// after the last frame if that is later. Earlier reports become void.
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
