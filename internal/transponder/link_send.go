package transponder

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"syscall"
	"time"

	"transponder/internal/media"
)

// send writes frames as they come. When the next link is ready, it goes on from the next key frame on, so that no frame is missing
// between the two.
func (l *link) send(ctx context.Context) error {
	n, err := l.sendable(l.carried) // the link before may have taken other codecs
	if err != nil {
		return err
	}
	if err := l.write(ctx, l.carried[:n]); err != nil {
		return err
	}
	l.carried = nil
	frames := make([]media.Frame, 64)
	for {
		batch := frames
		if l.out.throttled.Load() {
			if err := l.room(ctx); err != nil {
				return l.push.readError(ctx, err)
			}
			batch = frames[:throttledBatch] // frames that are read cannot be dropped any more
		}
		n, err := l.push.in.Read(ctx, batch)
		if err != nil {
			return l.push.readError(ctx, err)
		}
		if n, err = l.sendable(frames[:n]); err != nil {
			return err
		}
		n = l.push.voice.apply(frames[:n])
		own := l.changeover(frames[:n])
		if err := l.write(ctx, frames[:l.withoutLate(ctx, frames[:own])]); err != nil {
			return err
		}
		if own < n {
			l.made.Load().carried = slices.Clone(frames[own:n])
			return errMoved
		}
		clear(frames[:n])
	}
}

// throttledBatch is how many frames are read at once while writing waits for room. It is the smallest batch that Read allows.
const throttledBatch = 2

// room waits until so little is queued behind us, in the kernel and beyond, that more may be written.
func (l *link) room(ctx context.Context) error {
	poll := time.NewTicker(roomPoll)
	defer poll.Stop()
	for {
		l.look(tcpInfo(l.conn))
		now := time.Now()
		if l.push.in.Stats().QueuedFrames == 0 {
			l.out.caughtUp(now, l.client.BytesSent())
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

// sendable returns how many of the frames this link takes, and keeps those. If the link does not take the stream's pictures, they are
// transcoded from now on. If it does not take Opus, which the link before has taken, the sound is encoded in AAC from now on.
func (l *link) sendable(frames []media.Frame) (int, error) {
	kept := 0
	for _, f := range frames {
		var err error
		switch {
		case f.Kind() == media.Video && f.Track.Codec != media.H264 && !l.passes(f.Track.Codec):
			err = l.push.in.convert()
		case f.Track.Codec == media.Opus && !l.passes(media.Opus):
			l.push.opus = false
			err = l.push.in.renewSound()
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

// write sends frames. It overwrites the slice.
func (l *link) write(ctx context.Context, frames []media.Frame) error {
	tags, written := l.tags[:0], frames[:0]
	for _, f := range frames {
		begun := len(tags)
		var err error
		if tags, err = l.mux.Append(tags, f); err != nil {
			return err
		}
		if len(tags) > begun { // else the muxer leaves it out: it is older than the first picture of the connection
			written = append(written, f)
		}
		l.push.clock.place(l.mux, f, tags[begun:])
	}
	l.tags = tags
	if len(tags) == 0 {
		return nil
	}
	if !l.push.claim.Open() {
		if err := l.push.untilOpen(ctx); err != nil {
			return err
		}
	}
	now := time.Now()
	if now.After(l.deadlineAt) { // moved once a second: a timer per write is not free
		l.deadlineAt = now.Add(time.Second)
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

// allowWrite gives the next writes the time that a healthy server needs, or only a little if ctx has ended. The order matters: ctx may end
// between the two lines, which sets a deadline that the first line would overwrite.
func (l *link) allowWrite(ctx context.Context) {
	l.conn.SetWriteDeadline(time.Now().Add(l.push.cfg.WriteTimeout))
	if ctx.Err() != nil {
		l.conn.SetWriteDeadline(time.Now().Add(l.push.cfg.DrainTimeout))
	}
}

// writeError returns why a write failed: errStalled if the server took nothing for too long. If the reading goroutine has already
// given a more precise cause, that one is returned.
func writeError(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	switch {
	case errors.Is(err, syscall.ETIMEDOUT) && errors.Is(cause, io.EOF):
		return errStalled // the kernel gave up; the reading goroutine, which came second, has heard only that the connection is over
	case cause != nil:
		return cause
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errStalled
	case errors.Is(err, syscall.EPIPE):
		// The kernel gives the cause to one call only, and the reading goroutine had it. It is about to report.
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(causeWait):
		}
	}
	return liveError(err)
}

// causeWait is how long a write that failed waits for the reading goroutine to report the cause.
const causeWait = 200 * time.Millisecond
