package leg

import "time"

// beat does what is due. The ticker of Legs calls it.
func (l *Leg) beat(now time.Duration) {
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		return
	}
	l.beats.Add(1)
	l.mu.Unlock()
	defer l.beats.Done()
	l.guard(func() {
		l.tick(now)
		if ended := l.voice.beat(now); ended != nil {
			l.events.SoundEnded(ended)
		}
	})
}

// tick gives up lost packets, asks for key frames, sends reports, ends digits whose end was lost, and finds out that nothing comes.
func (l *Leg) tick(now time.Duration) {
	l.mu.Lock()
	defer l.unlock()
	if l.wantsKey.Swap(false) {
		l.keys.want()
	}
	for _, t := range [...]*track{&l.audio, &l.video} {
		if t.flow == nil {
			continue
		}
		if l.frames != nil && t.arrived.Begun() && t.jitter.Waits() {
			if _, pli, _ := t.jitter.Tick(now, nil); pli {
				l.keys.need(now)
			}
		}
		if now >= t.reportAt {
			t.reportAt = now + reportPause() // also if nothing comes: some conference systems end calls without RTCP
			l.sendRTCP(t, now)
		}
	}
	l.askKeyFrame(now)
	if d, over := l.digits.overdue(now); over {
		l.report([2]digit{d}, 1)
	}
	if after, over := l.activity.over(now, l.expectsMedia()); over {
		err := l.timeoutError(after)
		l.later = append(l.later, func() { l.events.MediaTimeout(err) })
	}
}

// expectsMedia says whether a phone that sends nothing counts as gone; mu is held. A phone that puts us on hold may say that it goes on to
// send, since some have music for that; most send nothing then.
func (l *Leg) expectsMedia() bool {
	onHold := l.talked && l.audio.flow != nil && !l.audio.flow.Direction.Sends()
	return !onHold && (l.audio.receives() || l.video.receives())
}

// timeoutError says what was expected; mu is held.
func (l *Leg) timeoutError(after time.Duration) error {
	t := &l.audio
	if !t.receives() {
		t = &l.video
	}
	refused := l.audio.stats.Refused
	refused.Add(l.video.stats.Refused)
	return timeoutError(t.latch.remote(), after, l.activity.heard, refused)
}
