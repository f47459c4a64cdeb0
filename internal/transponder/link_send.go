package transponder

import (
	"context"
	"net"
	"slices"
	"time"

	"transponder/internal/media"
)

// send writes frames as they come. When another link is ready it goes on with that from the next key frame on, so that
// between the two nothing is missing.
func (p *push) send(ctx context.Context, l *link) error {
	n, err := p.sendable(l, l.backlog) // for the link before they were
	if err != nil {
		return err
	}
	if err := p.write(ctx, l, l.backlog[:n]); err != nil {
		return err
	}
	l.backlog = nil
	frames := make([]media.Frame, 64)
	for {
		batch := frames
		if l.out.late.Load() {
			if err := p.room(ctx, l); err != nil {
				return p.readError(ctx, err)
			}
			batch = frames[:lateBatch] // what is read can not be dropped any more
		}
		n, err := p.in.Read(ctx, batch)
		if err != nil {
			return p.readError(ctx, err)
		}
		if n, err = p.sendable(l, frames[:n]); err != nil {
			return err
		}
		n = p.voice.apply(frames[:n])
		now := p.turn(l, frames[:n])
		if err := p.write(ctx, l, frames[:p.complete(l, frames[:now])]); err != nil {
			return err
		}
		if now < n {
			l.made.backlog = slices.Clone(frames[now:n])
			return &redirect{link: l.made}
		}
		clear(frames[:n])
	}
}

// lateBatch is how many frames are sent at once while writing waits for room. It is the least that can be read.
const lateBatch = 2

// room waits until so little lies outside that more may be written.
func (p *push) room(ctx context.Context, l *link) error {
	poll := time.NewTicker(roomPoll)
	defer poll.Stop()
	for {
		p.look(l, tcpInfo(l.conn))
		now := time.Now()
		if p.in.Stats().QueuedFrames == 0 {
			l.out.caughtUp(now)
		}
		if l.out.room(now, l.client.BytesSent()) {
			return nil
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// turn returns how many of the frames are still the link's: all, unless another is ready and begins with one of them.
func (p *push) turn(l *link, frames []media.Frame) int {
	if l.made == nil {
		select {
		case l.made = <-l.next:
			p.in.RequestKeyFrame()
		default:
			return len(frames)
		}
	}
	silent := p.source().Video.Track() == nil // there is nothing but sound, where any frame will do
	for i, f := range frames {
		if silent || f.Kind() == media.Video && f.Key {
			return i
		}
	}
	return len(frames)
}

// sendable keeps of frames what the link takes. Where the stream's pictures are none of that, they are transcoded from now on, and
// where its Opus is not, which the link before has taken, AAC is made of it.
func (p *push) sendable(l *link, frames []media.Frame) (int, error) {
	kept := 0
	for _, f := range frames {
		var err error
		switch {
		case f.Kind() == media.Video && f.Track.Codec != media.H264 && !p.passes(l.client, f.Track.Codec):
			err = p.in.convert()
		case f.Track.Codec == media.Opus && !p.passes(l.client, media.Opus):
			p.opus = false
			err = p.in.relisten()
		default:
			frames[kept] = f
			kept++
		}
		if err != nil {
			return 0, err
		}
	}
	clear(frames[kept:])
	return kept, nil
}

const (
	// lateAfter is how long a link must have begun before a kind of media counts as late: what is made of a source's sound takes a
	// moment to come.
	lateAfter = time.Second
	// lateFor is after how long without an objection a server has accepted a kind of media that came late.
	lateFor = 10 * time.Second
	// lateGap is the least time between two connections made for such a kind: one that comes and goes is not to keep us busy.
	lateGap = 30 * time.Second
)

// complete returns how many of the frames go to the link. A kind of media that the link has begun without is lost on servers that
// look for headers at the beginning only, and some end the connection for it. So a link is made that has both kinds from its first
// frame on; until then the present one goes on without. A server that would not have two links at once gets the kind late.
func (p *push) complete(l *link, frames []media.Frame) int {
	kept := 0
	for _, f := range frames {
		if l.lateAt.IsZero() && l.mux.Late(f) && time.Since(l.begunAt) > lateAfter {
			switch {
			case l.alone.Load(), !l.replaced && time.Since(p.movedAt) < lateGap:
				l.lateAt = time.Now()
			case !l.replaced:
				l.replaced = true
				if l.asked.CompareAndSwap(nil, &l.target) { // else there will be another link anyway
					p.log.Info("the stream has more than the connection began with, reconnecting", "kind", f.Kind())
					l.replace()
				}
			}
			if l.lateAt.IsZero() {
				continue
			}
		}
		frames[kept] = f
		kept++
	}
	clear(frames[kept:])
	return kept
}

// replace makes the link that complete wants, and leaves it in l.next.
func (p *push) replace(ctx context.Context, l *link) {
	p.attempts.Add(1)
	made, err := p.connect(ctx, l.target, nil)
	switch {
	case err == nil:
		l.next <- made
	case ctx.Err() == nil:
		p.log.Warn("no second connection, so the first gets what it began without", "err", printable(err))
		l.asked.Store(nil)
		l.alone.Store(true)
	}
}

// objects says whether the link may have been ended for a kind of media that came late: another link would begin with it.
func (l *link) objects() bool { return !l.lateAt.IsZero() && time.Since(l.lateAt) < lateFor }

// write lays frames onto the link. It may change their order of storage.
func (p *push) write(ctx context.Context, l *link, frames []media.Frame) error {
	tags, written := l.tags[:0], frames[:0]
	for _, f := range frames {
		begun := len(tags)
		var err error
		if tags, err = l.mux.Append(tags, f); err != nil {
			return err
		}
		if len(tags) > begun { // else it is from before the connection's first picture
			written = append(written, f)
		}
		p.clock.place(l.mux, f, tags[begun:])
	}
	l.tags = tags
	if len(tags) == 0 {
		return nil
	}
	now := time.Now()
	if now.After(l.allowed) { // moved once a second: a timer per write is not free
		l.allowed = now.Add(time.Second)
		p.allowWrite(ctx, l.conn)
	}
	if l.begunAt.IsZero() {
		l.begunAt = now
	}
	if ping, due := l.out.write(now, l.client.BytesSent(), tags); due {
		l.client.Ping(ping)
	}
	l.busy.Store(true)
	err := l.client.WriteTags(tags)
	l.busy.Store(false)
	if err != nil {
		return writeError(ctx, err)
	}
	clear(tags)
	p.sent(written)
	return nil
}

// allowWrite gives the next writes the time that a healthy peer needs, or a little when ctx has ended. The order matters: ctx
// may end between the two lines, and its own change of the deadline be overwritten.
func (p *push) allowWrite(ctx context.Context, conn net.Conn) {
	conn.SetWriteDeadline(time.Now().Add(p.cfg.WriteTimeout))
	if ctx.Err() != nil {
		conn.SetWriteDeadline(time.Now().Add(p.cfg.DrainTimeout))
	}
}
