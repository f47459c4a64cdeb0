package transponder

import (
	"context"
	"errors"
	"slices"
	"time"

	"transponder/internal/media"
	"transponder/internal/rtmp"
)

// successor says where the stream goes on after a link.
type successor struct {
	target  pushTarget
	address int   // of the push, index
	link    *link // connected already; nil: still to be connected, because the server does not take two connections at once
}

// errMoved ends the sending on a link because the stream goes on over the next link.
var errMoved = errors.New("the stream goes on over another connection")

// moveGap is the least time between a move at the request of a server and the next such request that is followed, so that two servers that
// send us to each other do not keep us busy.
const moveGap = 5 * time.Second

// connectNext makes the next link, while this link still stands: to where the server wants it, or to the same target again. send changes over
// to it at the next key frame. If another server refuses, because the name is in use for example, this link is ended first.
func (l *link) connectNext(ctx context.Context) error {
	for {
		to, asked := l.next.goal()
		next := successor{target: to, address: l.address}
		if !asked && l.returning.Load() {
			next.address = 0
		}
		l.push.tried(next.address)
		traced, span := l.push.traces.reconnect(ctx, l.push, to, next.address)
		made, err := l.push.connect(traced, next, nil, l.push.cfg.ConnectTimeout)
		endSpan(span, err)
		if err != nil && ctx.Err() != nil {
			return nil // the link has ended, perhaps because a server takes one connection only; the next one is made when this is over
		}
		again := l.next.tried(err == nil)
		switch {
		case again && err == nil:
			made.conn.Close()
		case again:
			l.push.log.Debug("no second connection, but the peer asks for another one", "err", printable(err))
		case err == nil:
			l.made.Store(made)
			l.push.in.RequestKeyFrame()
			return nil
		default:
			return l.unconnected(to, asked, err)
		}
	}
}

// unconnected handles that the next link could not be made.
func (l *link) unconnected(to pushTarget, asked bool, err error) error {
	var refused *rtmp.StatusError
	switch {
	case !asked && l.returning.Load():
		reason, detail := explain(err)
		l.push.addresses[0].fail(reason, detail)
		l.push.log.Debug("first address is not well yet", "reason", reason, "err", printable(err))
		return nil
	case !asked:
		l.push.log.Warn("no second connection, so the first gets what it began without", "err", printable(err))
	case errors.As(err, &refused):
		return errMoved
	default: // it may still work once the server closes this link
		l.push.log.Warn("no connection to where the peer wants it", "to", to, "err", printable(err))
	}
	l.alone.Store(true)
	return nil
}

// changeover returns the index of the first frame that belongs to the next link, len(frames) if there is none. The next link begins
// with a key frame, so that no frame is missing between the two.
func (l *link) changeover(frames []media.Frame) int {
	if l.made.Load() == nil {
		return len(frames)
	}
	soundOnly := l.push.source().Video.Track() == nil && !l.push.in.bridge.pictures // then any frame will do
	for i, f := range frames {
		if soundOnly || f.Kind() == media.Video && f.Key {
			return i
		}
	}
	return len(frames)
}

// after decides what follows when this link has ended with err. If another connection was wanted, the stream goes on there, whatever
// the error was, unless the stream or the push is over too. Otherwise err is the end of the attempt.
func (l *link) after(ctx context.Context, err error) (successor, error) {
	wanted, asked, later := l.next.end()
	made := l.made.Load()
	if wanted == nil && l.endedByLateKind() {
		wanted = &l.target
	}
	if !errors.Is(err, errMoved) {
		var gone *sourceError
		if errors.As(err, &gone) || ctx.Err() != nil || wanted == nil {
			if made != nil {
				made.conn.Close()
			}
			return successor{}, err
		}
		l.push.in.Restart()
	}
	if asked {
		l.push.followedAt = time.Now()
	}
	if made != nil {
		made.inherited = later
	}
	next := successor{target: *wanted, address: l.address, link: made}
	switch {
	case made != nil:
		next.address = made.address
	case !asked && l.returning.Load(): // the way back had begun
		next.address = 0
		l.push.addresses[l.address].fail(explain(err))
	}
	return next, nil
}

const (
	// lateAfter is the age of a link at which a kind of media that it began without counts as late. The sound that is made of a
	// source's sound takes a moment to come.
	lateAfter = time.Second
	// lateFor is the time without an objection after which a server has accepted a kind of media that came late.
	lateFor = 10 * time.Second
	// lateGap is the least time between two connections made for such a kind, so that a kind that comes and goes does not keep us busy.
	lateGap = 30 * time.Second
)

// withoutLate returns how many of the frames this link sends, and keeps those. Servers that look for headers at the beginning only lose
// a kind of media that the link began without, and some servers end the connection because of it. So a second link is made, which has
// both kinds from its first frame on; until then this link goes on without the late kind. If the server does not take two connections
// at once, this link sends the late kind.
func (l *link) withoutLate(ctx context.Context, frames []media.Frame) int {
	kept := 0
	for _, f := range frames {
		if l.lateAt.IsZero() && l.mux.Late(f) && time.Since(l.begunAt) > lateAfter && !hasKind(frames[:kept], f.Kind()) {
			switch {
			case l.alone.Load(), !l.replaced && time.Since(l.push.movedAt) < lateGap:
				l.lateAt = time.Now()
			case !l.replaced:
				l.replaced = true
				if l.next.replace(&l.target) { // else there will be another link anyway
					l.push.log.Info("the stream has more than the connection began with, reconnecting", "kind", f.Kind())
					l.do(ctx, l.connectNext)
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

func hasKind(frames []media.Frame, kind media.Kind) bool {
	return slices.ContainsFunc(frames, func(f media.Frame) bool { return f.Kind() == kind })
}

// endedByLateKind reports whether the server may have ended the link because a kind of media came late. A new link begins with it.
func (l *link) endedByLateKind() bool { return !l.lateAt.IsZero() && time.Since(l.lateAt) < lateFor }
