package transponder

import (
	"context"
	"errors"
	"time"

	"transponder/internal/media"
	"transponder/internal/stream"
)

// Read waits for at least one frame, then copies all frames that are there and fit into dst, which has room for two at least. Its error
// is the cause of the source's end if no other publisher is waited for, or none came in time.
func (h *holder) Read(ctx context.Context, dst []media.Frame) (int, error) {
	for {
		if err := ctx.Err(); err != nil {
			return 0, context.Cause(ctx)
		}
		if h.failed != nil {
			return 0, h.failed
		}
		h.look()
		h.choose()
		h.holdStill()
		if h.queue == nil || len(h.queue.early) == 0 {
			if n := h.bridge.next(h.made(), dst); n > 0 {
				return n, nil
			}
		}
		n, err := h.wait(ctx, dst)
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// ReadRest reads what the source has left. It does not wait, and the buffer holds nothing back. ctx has ended.
func (h *holder) ReadRest(ctx context.Context, dst []media.Frame) (int, error) {
	if h.reader == nil || h.held {
		return 0, nil
	}
	if h.buffer != nil {
		h.buffer.Hurry()
	}
	return h.read(ctx, dst)
}

// ending returns the cause of the source's end if no other publisher is waited for, and nil if the push goes on. Frames of the source
// may still be queued.
func (h *holder) ending() error {
	src := h.Source()
	err := src.Err()
	if err != nil && h.spares != nil && h.spares.another(h.cfg.hub, src) {
		return nil
	}
	if errors.Is(err, stream.ErrTerminated) || h.grace(err) == 0 {
		return err
	}
	return nil
}

// takeoverGrace is how long to wait for media of the publisher that took over the name of a stream: as long as a WebRTC publisher may
// take to connect, and some seconds more.
const takeoverGrace = 15 * time.Second

// grace returns how long to wait for another publisher after a source ended with err.
func (h *holder) grace(err error) time.Duration {
	if errors.Is(err, stream.ErrReplaced) {
		return max(h.cfg.grace, takeoverGrace)
	}
	return h.cfg.grace
}

// wait waits for frames of the source, for a source, or until the bridge has to make up more, and reads frames if there are some.
func (h *holder) wait(ctx context.Context, dst []media.Frame) (int, error) {
	if !h.held && !h.bridge.active() && h.cfg.standIn == nil && h.spares == nil && h.cfg.grace == 0 {
		n, err := h.read(ctx, dst)
		if err != nil {
			err = h.lose(ctx, err)
		}
		return n, err
	}
	if h.expired() {
		return 0, h.src.Err()
	}
	pause := h.bridge.untilNext(h.made())
	if h.spares != nil {
		pause = min(pause, spareEvery)
	}
	soon, cancel := context.WithTimeout(ctx, pause)
	defer cancel()
	switch {
	case h.reader == nil && h.spares != nil:
		<-soon.Done() // choose finds the next source
		return 0, nil
	case h.reader == nil:
		return 0, h.await(soon)
	}
	n, err := h.read(soon, dst)
	switch {
	case soon.Err() != nil:
		return n, nil // Read knows whether ctx ended
	case err != nil:
		return n, h.lose(ctx, err)
	}
	return n, nil
}

// take reads from the source, through the buffer if there is one.
func (h *holder) take(ctx context.Context, dst []media.Frame) (int, error) {
	if h.buffer != nil {
		return h.buffer.Read(ctx, dst)
	}
	return h.queue.Read(ctx, dst)
}

// joinRoom is how many frames of silence fit before the first sound of a source: somewhat more than can be missing.
const joinRoom = 8

// read takes frames from the source and makes them follow the frames that were sent before.
func (h *holder) read(ctx context.Context, dst []media.Frame) (int, error) {
	var room []media.Frame // for silence before the source's first sound
	if h.bridge.sounds && len(dst) > 2*joinRoom {
		room = dst[:joinRoom]
	}
	frames := dst[len(room):]
	n, err := h.take(ctx, frames)
	kept := 0
	for _, f := range frames[:n] {
		h.spares.joined(f)
		if f.Kind() == media.Audio && h.bridge.sounds {
			kept += h.bridge.join(f.Time, dst[kept:kept+len(room)])
		}
		picture := f.Kind() == media.Video
		if picture {
			h.stand.pictureAt = time.Now()
		}
		f, ok := h.bridge.admit(f)
		if !ok {
			if picture { // pictures have come back without a key frame
				h.RequestKeyFrame()
			}
			continue
		}
		h.bridge.sent(f)
		h.stand.shown = h.stand.shown && !picture
		dst[kept] = f
		kept++
		h.endHold(f)
	}
	clear(dst[kept : len(room)+n])
	return kept, err
}

// endHold ends a hold with the first picture of the new source. If the publisher announced no pictures, or sends sound alone for
// videoWait, the hold ends with its sound.
func (h *holder) endHold(f media.Frame) {
	picture := f.Kind() == media.Video
	if h.still && !picture && h.src.Quiet(time.Now()) >= lookEvery {
		return // the sound is silence that a rendition has made up
	}
	if picture && h.blind.Load() {
		h.blind.Store(false)
	}
	if !h.held {
		return
	}
	if !picture && h.src.HasVideo() {
		if h.heard.IsZero() {
			h.heard = time.Now()
		}
		if time.Since(h.heard) < videoWait {
			return
		}
		h.blind.Store(h.bridge.pictures)
	}
	h.held, h.still, h.until = false, false, time.Time{}
	h.changed(h.src)
}

// lose begins a hold when the source has ended, or returns err if no other publisher is waited for.
func (h *holder) lose(ctx context.Context, err error) error {
	if ctx.Err() != nil || h.src.Err() == nil || h.ending() != nil {
		return err
	}
	if !h.held && h.replaceLost() {
		return nil
	}
	h.detach()
	h.bridge.begin(h.slate())
	h.startWaiting()
	h.still = false
	h.hold()
	return nil
}

// hold notes that the frames are made up from now on.
func (h *holder) hold() {
	if !h.held {
		h.held = true
		h.blind.Store(false)
		h.changed(nil)
	}
}

// stillAfter is how long a source may send nothing until a push that may hold makes up pictures and silence: a phone that changes from one network
// to another is silent for 3 to 8 s.
const stillAfter = 2 * time.Second

// stillLimit returns how long the source may send nothing. Who has named backup streams has said when silence is a fault. If none of them can be sent,
// the hold begins then.
func (h *holder) stillLimit() time.Duration {
	if s := h.spares; s != nil && len(s.names) > 1 && !s.another(h.cfg.hub, h.src) {
		return min(s.after, stillAfter)
	}
	return stillAfter
}

// holdStill begins a hold when the source sends nothing, although it has not ended. The source is still read, and ends the hold.
func (h *holder) holdStill() {
	now := time.Now()
	if h.cfg.grace == 0 || h.reader == nil || h.held || now.Sub(h.stilled) < lookEvery {
		return
	}
	h.stilled = now
	if !h.src.IsLive() || h.src.Err() != nil || h.src.Quiet(now) < h.stillLimit() || h.bridge.last.Track == nil && h.bridge.sound.Track == nil {
		return
	}
	if st := h.src.Stats(); st.Audio.Frames == 0 && !st.Video.Missing {
		return // pictures alone may be slow by nature: a screen that seldom changes
	}
	h.bridge.begin(h.slate())
	h.still = true
	h.hold()
}

// startWaiting begins the wait for a publisher if it has not begun.
func (h *holder) startWaiting() {
	if h.until.IsZero() {
		h.until = time.Now().Add(h.grace(h.src.Err()))
	}
}

// expired reports whether the wait for a publisher is over and nobody has taken the name.
func (h *holder) expired() bool {
	if h.reader != nil || h.until.IsZero() || time.Now().Before(h.until) {
		return false
	}
	if h.spares != nil && h.spares.another(h.cfg.hub, nil) {
		return false
	}
	_, back := h.cfg.hub.Source(h.src.Info().Name)
	return !back
}

// slate returns the key frame to show during a hold; a frame without a track if the last picture stays.
func (h *holder) slate() media.Frame {
	last := h.bridge.last
	if h.cfg.slate == nil || h.bridge.pictures || last.Track == nil || last.Track.Codec != media.H264 {
		return media.Frame{}
	}
	return h.makeSlate()
}

// makeSlate returns the slate in the size of the pictures that were sent.
func (h *holder) makeSlate() media.Frame {
	last := h.bridge.last
	f, err := h.cfg.slate(last.Track.Width, last.Track.Height)
	if err != nil {
		h.cfg.log.Warn("slate cannot be shown, the last picture stays", "err", err)
		return media.Frame{}
	}
	return f
}

// await starts to read the next source when it is live. It returns no error if ctx ends first.
func (h *holder) await(ctx context.Context) error {
	src, err := h.cfg.hub.Await(ctx, h.src.Info().Name)
	if err != nil {
		return nil
	}
	select {
	case <-src.Live():
	case <-src.Done():
		return nil
	case <-ctx.Done():
		return nil
	}
	h.attach(src)
	if err := h.addSound(); err != nil {
		if src.Err() == nil {
			return err
		}
		h.detach()
	}
	return nil
}

func (h *holder) changed(src *stream.Source) {
	if h.cfg.changed != nil {
		h.cfg.changed(src)
	}
}
