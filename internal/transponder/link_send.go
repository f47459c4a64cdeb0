package transponder

import (
	"context"
	"slices"
	"time"

	"transponder/internal/media"
)

// send writes frames as they come. When another link is ready it goes on with that from the next key frame on, so that
// between the two nothing is missing.
func (l *link) send(ctx context.Context) error {
	n, err := l.sendable(l.backlog) // for the link before they were
	if err != nil {
		return err
	}
	if err := l.write(ctx, l.backlog[:n]); err != nil {
		return err
	}
	l.backlog = nil
	frames := make([]media.Frame, 64)
	for {
		batch := frames
		if l.out.late.Load() {
			if err := l.room(ctx); err != nil {
				return l.push.readError(ctx, err)
			}
			batch = frames[:lateBatch] // what is read can not be dropped any more
		}
		n, err := l.push.in.Read(ctx, batch)
		if err != nil {
			return l.push.readError(ctx, err)
		}
		if n, err = l.sendable(frames[:n]); err != nil {
			return err
		}
		n = l.push.voice.apply(frames[:n])
		now := l.turn(frames[:n])
		if err := l.write(ctx, frames[:l.complete(ctx, frames[:now])]); err != nil {
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
func (l *link) room(ctx context.Context) error {
	poll := time.NewTicker(roomPoll)
	defer poll.Stop()
	for {
		l.look(tcpInfo(l.conn))
		now := time.Now()
		if l.push.in.Stats().QueuedFrames == 0 {
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
func (l *link) turn(frames []media.Frame) int {
	if l.made == nil {
		select {
		case l.made = <-l.next:
			l.push.in.RequestKeyFrame()
		default:
			return len(frames)
		}
	}
	silent := l.push.source().Video.Track() == nil // there is nothing but sound, where any frame will do
	for i, f := range frames {
		if silent || f.Kind() == media.Video && f.Key {
			return i
		}
	}
	return len(frames)
}

// sendable keeps of frames what the link takes. Where the stream's pictures are none of that, they are transcoded from now on, and
// where its Opus is not, which the link before has taken, AAC is made of it.
func (l *link) sendable(frames []media.Frame) (int, error) {
	kept := 0
	for _, f := range frames {
		var err error
		switch {
		case f.Kind() == media.Video && f.Track.Codec != media.H264 && !l.passes(f.Track.Codec):
			err = l.push.in.convert()
		case f.Track.Codec == media.Opus && !l.passes(media.Opus):
			l.push.opus = false
			err = l.push.in.relisten()
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
func (l *link) complete(ctx context.Context, frames []media.Frame) int {
	kept := 0
	for _, f := range frames {
		if l.lateAt.IsZero() && l.mux.Late(f) && time.Since(l.begunAt) > lateAfter {
			switch {
			case l.alone.Load(), !l.replaced && time.Since(l.push.movedAt) < lateGap:
				l.lateAt = time.Now()
			case !l.replaced:
				l.replaced = true
				if l.asked.CompareAndSwap(nil, &l.target) { // else there will be another link anyway
					l.push.log.Info("the stream has more than the connection began with, reconnecting", "kind", f.Kind())
					l.do(ctx, l.replace)
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
func (l *link) replace(ctx context.Context) error {
	l.push.attempts.Add(1)
	made, err := l.push.connect(ctx, l.target, nil)
	switch {
	case err == nil:
		l.next <- made
	case ctx.Err() == nil:
		l.push.log.Warn("no second connection, so the first gets what it began without", "err", printable(err))
		l.asked.Store(nil)
		l.alone.Store(true)
	}
	return nil
}

// objects says whether the link may have been ended for a kind of media that came late: another link would begin with it.
func (l *link) objects() bool { return !l.lateAt.IsZero() && time.Since(l.lateAt) < lateFor }

// write lays frames onto the link. It may change their order of storage.
func (l *link) write(ctx context.Context, frames []media.Frame) error {
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
		l.push.clock.place(l.mux, f, tags[begun:])
	}
	l.tags = tags
	if len(tags) == 0 {
		return nil
	}
	now := time.Now()
	if now.After(l.allowed) { // moved once a second: a timer per write is not free
		l.allowed = now.Add(time.Second)
		l.allowWrite(ctx)
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
	l.push.sent(written)
	return nil
}

// allowWrite gives the next writes the time that a healthy peer needs, or a little when ctx has ended. The order matters: ctx
// may end between the two lines, and its own change of the deadline be overwritten.
func (l *link) allowWrite(ctx context.Context) {
	l.conn.SetWriteDeadline(time.Now().Add(l.push.cfg.WriteTimeout))
	if ctx.Err() != nil {
		l.conn.SetWriteDeadline(time.Now().Add(l.push.cfg.DrainTimeout))
	}
}
