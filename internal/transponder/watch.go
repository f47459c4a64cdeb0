package transponder

import (
	"context"
	"time"

	"transponder/internal/stream"
)

// watch takes a sample once a second and moves the push between Live and Degraded. It returns when the server is given up, when the source
// has ended and the server takes the rest too slowly, or when ctx ends.
func (l *link) watch(ctx context.Context) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var h health
	var ended time.Time
	judged := l.push.source()
	for {
		if src := l.push.source(); src != judged {
			judged = src
			h = h.ofServer() // the figures of another source are no change of this one's
		}
		now := l.sample()
		l.push.figures.delay.add(now.lag)
		stuck, reason := h.judge(now)
		if stuck >= l.push.cfg.WriteTimeout {
			return errStalled
		}
		if !l.busy.Load() || h.progressed(now) {
			// A server that takes a large frame slowly is not stalled. And while there is nothing to send, the deadline of the last write
			// would pass, and an answer to a ping could not be written.
			l.allowWrite(ctx)
		}
		if err := l.push.in.ending(); err == nil {
			l.push.degrade(reason)
		} else {
			l.push.drain(&sourceError{err})
			if ended.IsZero() {
				ended = time.Now()
			}
			if time.Since(ended) >= l.push.cfg.drainLimit() {
				return &sourceError{err}
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// drainLimit is how long it may take to send the rest of a source that has ended: as long as the buffer holds it back, and then as long as
// one write may take.
func (c Config) drainLimit() time.Duration {
	limit := c.WriteTimeout
	if c.Buffer.Enabled {
		limit += c.Buffer.MaxSize
	}
	return limit
}

func (l *link) sample() sample {
	now := time.Now()
	src := l.push.published().Stats()
	made, _ := l.push.transcoder()
	muted, file := l.push.voice.state()
	queue := l.push.in.Stats()
	s := sample{
		at: now, frames: src.Video.Frames + src.Audio.Frames, pictures: src.Video.Frames,
		keys: src.Video.KeyFrames, asked: src.KeyRequests, dropped: queue.DroppedFrames, skipped: made.Dropped,
		sent: l.client.BytesSent(), tcp: tcpInfo(l.conn), received: l.client.BytesReceived(),
		unheard: muted || file != "",
		kinds:   [2]kindSample{kindOf(src.Audio), kindOf(src.Video)},
		keyless: src.Video.Faults[stream.FaultKeyFrame], reordered: src.Video.Faults[stream.FaultOrder],
	}
	s.kinds[1].missing = s.kinds[1].missing || l.push.in.blind.Load()
	s.lag, s.maxLag, s.throttled = l.look(s.tcp).age(queue.QueuedTime), l.push.cfg.MaxDelay, l.out.throttled.Load()
	s.unanswered, s.answers = l.out.unanswered()
	return s
}

// note keeps the kernel's figures of the connection, unless the connection is closed already.
func (l *link) note(tcp tcpState) {
	if tcp.queued >= 0 {
		l.kernel.Store(&tcp)
	}
}

// look updates outflow with the figures of the kernel, shortens the queue by the delay behind it, and returns what lies behind the queue.
func (l *link) look(tcp tcpState) backlog {
	l.note(tcp)
	outside := l.out.look(time.Now(), l.client.BytesSent(), tcp)
	delay := outside.delay
	if l.out.throttled.Load() {
		delay += lagReserve
	}
	l.push.in.SetMaxLag(max(l.push.cfg.MaxDelay-delay-l.push.in.Buffered().Delay, minLag))
	return outside
}
