package transponder

import (
	"slices"
	"time"

	"transponder/internal/media"
)

// use switches the byte counters to a link and adds those of the link before to the total. nil: there is no connection now.
func (p *push) use(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.link != nil && p.link != l {
		acked, sent := p.link.client.BytesAcked(), p.link.client.BytesSent()
		p.pastAcked += acked
		p.pastSent += sent
		p.pastResent += p.link.kernel.Load().resent
		p.addresses[p.link.address].count(sent, acked)
	}
	if p.link != l {
		p.sentUpTo, p.sentKinds = [2]media.Timestamp{}, [2]bool{}
	}
	p.link = l
	if l != nil {
		p.at.Store(int32(l.address))
	}
}

// bytes returns how many bytes were sent and acknowledged over all connections. acked is never more than sent.
func (p *push) bytes() (sent, acked int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	sent, acked = p.connectionBytes()
	return p.pastSent + sent, p.pastAcked + acked
}

// connectionBytes is bytes of the present connection. The caller holds mu.
func (p *push) connectionBytes() (sent, acked int64) {
	if p.link == nil {
		return 0, 0
	}
	acked = p.link.client.BytesAcked() // read first, because both may grow meanwhile
	return p.link.client.BytesSent(), acked
}

// total returns the bytes over all connections, those of the legs included.
func (p *push) total() (sent, acked int64) {
	sent, acked = p.bytes()
	for _, leg := range p.legs.list() {
		s, a := leg.bytes()
		sent, acked = sent+s, acked+a
	}
	return sent, acked
}

// latest notes the time of a frame that was sent. The caller holds p.mu.
func (p *push) latest(f media.Frame) {
	kind := 0
	if f.Kind() == media.Video {
		kind = 1
	}
	p.sentUpTo[kind], p.sentKinds[kind] = f.Time, true
}

// begun notes that the push is live, if that is the first time since the request. A push that this process has not begun may have been live
// before.
func (p *push) begun(now time.Time) {
	switch {
	case p.front != nil:
		p.front.begun(now)
	case p.restored == nil:
		after := max(now.Sub(p.started), 1)
		if p.liveAfter.CompareAndSwap(0, int64(after)) {
			p.figures.liveAfter.add(after)
		}
	}
}

// sent counts frames that were written. The first frames that the server took make the push live. It is for the goroutine of run.
func (p *push) sent(frames []media.Frame) {
	now := time.Now()
	p.mu.Lock()
	for _, f := range frames {
		p.meter.Count(now, len(f.Data))
		p.latest(f)
		if f.Kind() != media.Video {
			p.frames[0]++
			continue
		}
		p.picture = f.Track
		if f.Key {
			if p.lastKey != 0 {
				p.keyInterval = f.Time.Sub(p.lastKey)
			}
			p.lastKey = f.Time
		}
		p.frames[1]++
	}
	p.mu.Unlock()
	if !p.liveSince.IsZero() {
		return
	}
	p.liveSince, p.everLive = now, true
	p.traces.live()
	p.present().accept()
	status := pushStatus{State: Live}
	if p.in.held { // the stream was lost while there was no connection
		status = p.held()
	}
	if p.moveFrom([]State{Connecting}, status) {
		p.resumed()
		p.begun(now)
		p.log.Info("push live", "attempt", p.attempts.Load(), "after", time.Since(p.started).Round(time.Millisecond))
	}
}

// Info returns what is known of the push now.
func (p *push) Info() Info {
	i := p.info()
	p.addLegs(&i)
	return i
}

// info is Info without what the legs have sent.
func (p *push) info() Info {
	status := p.machine.now()
	i := Info{
		ID: p.id, Owner: p.req.By.Identity(), By: p.req.starter(), Asked: p.req.asked(), SourceName: p.req.StreamName, StreamName: p.target.Name, URL: p.req.URL, Options: p.req.Options,
		Target: p.target.String(), SecretName: p.target.SecretName, Destination: p.target.Destination,
		State: status.State, Since: status.Since, Reason: status.Reason, Detail: status.Detail, NextTry: status.NextTry,
		Attempts: int(p.attempts.Load()), Started: p.started,
		Hidden: p.hidden(), NotKept: !status.State.final() && p.cfg.resumeFor(p.req) > 0 && !p.claim.Kept(),
		LiveAfter: time.Duration(p.liveAfter.Load()), Active: p.source().Info().Name, Switches: int(p.switches.Load()),
	}
	if i.Destination != "" && i.SecretName {
		i.StreamName, i.SecretName = i.SourceName, false
	}
	if status.State.final() {
		i.Ended = status.Since
	}
	i.Muted, i.SoundFile = p.voice.state()
	i.SoundEnabled = i.SoundFile != ""
	if made, ok := p.transcoder(); ok {
		i.TranscoderDropped = made.Dropped
	}
	queue, buffered := p.in.Stats(), p.in.Buffered()
	i.DroppedFrames, i.DroppedLate, i.DroppedTime = queue.DroppedFrames, queue.DroppedLate, queue.DroppedTime
	i.DroppedBytes, i.DroppedSound = queue.DroppedBytes, queue.DroppedSound
	i.QueuedBytes, i.QueuedTime = queue.QueuedBytes, queue.QueuedTime
	i.BufferDelay, i.Bufferings = buffered.Delay, buffered.Bufferings
	i.Health = p.findings(status.State)
	track := p.source().Video.Track()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.picture != nil {
		track = p.picture // what is really sent; it may be a slate
	}
	if track != nil {
		i.Width, i.Height = track.Width, track.Height
		if p.picture == nil && p.req.transcodes() {
			i.Width, i.Height = p.profile.Size(track.Width, track.Height)
		}
	} else {
		i.Width, i.Height = p.profile.Width, p.profile.Height
	}
	sent, acked := p.connectionBytes() // once, so that the addresses add up to the total
	i.BytesSent, i.BytesAcked = p.pastSent+sent, p.pastAcked+acked
	i.Addresses = p.addressInfos(status, sent, acked)
	i.Resent = p.pastResent
	if p.link != nil {
		kernel := p.link.kernel.Load()
		i.RoundTrip, i.Resent = kernel.rtt, i.Resent+kernel.resent
		i.AVOffset, i.AVKnown = p.sentUpTo[0].Sub(p.sentUpTo[1]), p.sentKinds == [2]bool{true, true}
		outside := p.link.out.outside()
		i.QueuedBytes += int(outside.bytes)
		i.QueuedTime = outside.age(i.QueuedTime)
	}
	if status.State.up() {
		i.RateBPS, _ = p.meter.Rates(time.Now())
	}
	i.AudioFrames, i.VideoFrames, i.KeyInterval = p.frames[0], p.frames[1], p.keyInterval
	return i
}

// matches reports whether a filter picks the push. The name may be that of the stream or the published one. The URL may be written
// differently from the URL of the request.
func (p *push) matches(f Filter) bool {
	if f.ID != "" && f.ID != p.id {
		return false
	}
	// What the name of a destination stands for is not to be guessed at.
	secret := p.target.Destination != "" && p.target.SecretName
	if f.StreamName != "" && f.StreamName != p.req.StreamName && (f.StreamName != p.target.Name || secret) {
		return false
	}
	return f.URL == "" || slices.ContainsFunc(p.addresses, func(a *address) bool { return a.matches(f.URL) })
}
