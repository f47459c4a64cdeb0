package transponder

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"transponder/internal/media"
	"transponder/internal/stream"
)

// holderConfig is what a holder needs to know. It does not change.
type holderConfig struct {
	hub *stream.Hub
	log *slog.Logger
	aac func(*stream.Source) (*stream.Feed, func(), error)

	pictures  func(*stream.Source) (*stream.Feed, func(), error) // what is sent of a source's; nil: the source's own
	converted func(*stream.Source) (*stream.Feed, func(), error) // what is sent of those that cannot be sent as they are
	silent    func() *media.Track                                // what silence is sent as where Opus is not taken

	buffer BufferConfig // between the source and the connection

	maxLag time.Duration // how old pictures may get before they are sent

	grace time.Duration // how long a stream's publisher is waited for; 0: the end of the stream is the end, unless it was taken over

	// slate returns a key frame to show meanwhile, for the size of what was sent; nil shows the last picture.
	slate func(width, height int) (media.Frame, error)

	// changed is told when the stream is gone and held, by nil, and of the source by which it goes on. Read calls it.
	changed func(*stream.Source)
}

// holder reads what a push is to send: a source's frames, and when the source is gone, what bridges the time until a publisher
// takes its name again, over any door, and then that publisher's. All frames are on the first source's clock.
//
// Read, listen, Restart and Close are for one goroutine; the other methods are for any.
type holder struct {
	cfg     holderConfig
	clock   *stream.Source // the first
	shift   time.Duration  // of the present source's clock to the first's
	bridge  bridge
	sound   *stream.Feed // of the present source; nil while it is not read
	release func()       // gives it back; likewise
	let     func()       // likewise of its pictures; nil where they are the source's own
	failed  error        // why there are no pictures
	until   time.Time    // the publisher is waited for; zero while it is there
	held    bool
	heard   time.Time   // the first sound of the source that ends a hold
	blind   atomic.Bool // a hold has ended by sound, and a picture is repeated

	mu     sync.Mutex
	maxLag time.Duration      // guarded by mu; of the reader
	src    *stream.Source     // guarded by mu; the present or last one
	reader *stream.Reader     // guarded by mu; nil while there is no source
	video  *stream.Feed       // guarded by mu; that pictures are read from
	buffer *Buffer            // guarded by mu; nil where the settings have none
	past   stream.ReaderStats // guarded by mu; of the readers before
}

// newHolder makes a holder that reads nothing until wake is called.
func newHolder(cfg holderConfig, src *stream.Source) *holder {
	return &holder{cfg: cfg, clock: src, src: src, maxLag: cfg.maxLag, bridge: bridge{silenceOnly: cfg.grace == 0}}
}

// wake attaches to the source's pictures at once, so that none is missed. If the source has gone meanwhile, Read finds out.
func (h *holder) wake() {
	h.bridge.restart()
	if !h.held {
		h.attach(h.src)
	}
}

// sleep releases the source while nothing can be sent.
func (h *holder) sleep() { h.detach() }

func (h *holder) attach(src *stream.Source) {
	h.shift = src.Created().Sub(h.clock.Created())
	h.heard = time.Time{}
	video := src.Video
	if h.cfg.pictures != nil {
		feed, let, err := h.cfg.pictures(src)
		if err == nil {
			video, h.let = feed, let
		} else if src.Err() == nil {
			h.failed = err
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	reader := src.NewReader(stream.ReaderConfig{
		Video: video, KeyFrames: true, MaxLag: h.maxLag, MaxDuration: 2 * max(h.maxLag, stream.DefaultMaxDuration),
	})
	h.src, h.reader, h.video = src, reader, video
	if h.cfg.buffer.Enabled {
		h.buffer = NewBuffer(h.cfg.buffer, reader)
	}
}

// listen adds the sound of a source that is live. Calling it again is harmless.
func (h *holder) listen() error {
	if h.release != nil || h.reader == nil {
		return nil
	}
	feed, release, err := h.cfg.aac(h.src)
	switch {
	case err == nil:
	case h.src.Err() != nil && h.ending() == nil:
		return nil // Read will say so
	default:
		return err
	}
	h.sound, h.release = feed, release
	h.reader.AddAudio(feed)
	return nil
}

// relisten asks anew for the sound, which cannot be sent as it is any more: the far end is another. Calling it again is harmless.
func (h *holder) relisten() error {
	h.bridge.resound(h.cfg.silent())
	if h.reader == nil {
		return nil
	}
	feed, release, err := h.cfg.aac(h.src)
	switch {
	case err == nil && feed == h.sound:
		release()
		return nil
	case err == nil:
	case h.src.Err() != nil:
		return nil // Read will say so
	default:
		return err
	}
	h.reader.UseAudio(feed)
	h.release()
	h.sound, h.release = feed, release
	return nil
}

// convert reads what is made of the present source's pictures instead of these. Calling it again is harmless.
func (h *holder) convert() error {
	if h.reader == nil && h.cfg.slate != nil { // what is repeated cannot be converted, but replaced
		h.bridge.replace(h.still())
	}
	if h.let != nil || h.reader == nil {
		return nil
	}
	feed, let, err := h.cfg.converted(h.src)
	switch {
	case err == nil:
	case h.src.Err() != nil:
		return nil // Read will say so
	default:
		return err
	}
	h.let = let
	h.mu.Lock()
	h.video = feed
	h.mu.Unlock()
	h.reader.UseVideo(feed)
	return nil
}

// RequestKeyFrame asks whoever makes the pictures for a key frame.
func (h *holder) RequestKeyFrame() { h.feed().RequestKeyFrame() }

// FrameRate returns how many pictures a second come, 0 while that is unknown.
func (h *holder) FrameRate() float64 { return h.feed().Stats().FrameRate }

func (h *holder) feed() *stream.Feed {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.video
}

// detach lets the present source go.
func (h *holder) detach() {
	if h.reader == nil {
		return
	}
	h.reader.Close()
	if h.release != nil {
		h.release()
		h.sound, h.release = nil, nil
	}
	if h.let != nil {
		h.let()
		h.let = nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	st := h.reader.Stats()
	h.past.DroppedFrames += st.DroppedFrames
	h.past.DroppedBytes += st.DroppedBytes
	h.past.DroppedTime += st.DroppedTime
	h.past.DroppedSound += st.DroppedSound
	h.past.Drops += st.Drops
	h.reader, h.buffer = nil, nil
}

// Close detaches from whatever is read. Closing twice is harmless.
func (h *holder) Close() { h.detach() }

// Source returns the source that is read, or was read last.
func (h *holder) Source() *stream.Source {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.src
}

// SetMaxLag changes how old pictures may get before they are sent. Any goroutine may call it.
func (h *holder) SetMaxLag(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.maxLag == d {
		return
	}
	h.maxLag = d
	if h.reader != nil {
		h.reader.SetMaxLag(d)
	}
}

// Now returns the present time on the clock of the frames.
func (h *holder) Now() media.Timestamp { return h.clock.Now() }

// Stats returns the figures of what is queued now and of all that was dropped.
func (h *holder) Stats() stream.ReaderStats {
	h.mu.Lock()
	defer h.mu.Unlock()
	st := h.past
	if h.reader == nil {
		return st
	}
	now := h.reader.Stats()
	now.DroppedFrames += st.DroppedFrames
	now.DroppedBytes += st.DroppedBytes
	now.DroppedTime += st.DroppedTime
	now.DroppedSound += st.DroppedSound
	now.Drops += st.Drops
	return now
}

// Buffered returns the buffer's figures, zeros where there is none.
func (h *holder) Buffered() BufferStats {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.buffer == nil {
		return BufferStats{}
	}
	return h.buffer.Stats()
}

// Restart throws away what is queued and begins anew at a key frame, for a new connection.
func (h *holder) Restart() {
	h.bridge.restart()
	if h.reader != nil {
		h.reader.Restart()
	}
	if h.buffer != nil {
		h.buffer.Restart()
	}
}

// Read waits for at least one frame and copies as many as there are and fit to dst, which has room for two at least. It returns why the
// source ended when that is final: its publisher did not come back in time, or was not to be waited for.
func (h *holder) Read(ctx context.Context, dst []media.Frame) (int, error) {
	for {
		if err := ctx.Err(); err != nil {
			return 0, context.Cause(ctx)
		}
		if h.failed != nil {
			return 0, h.failed
		}
		if n := h.bridge.next(h.Now(), dst); n > 0 {
			return n, nil
		}
		n, err := h.wait(ctx, dst)
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// ReadRest is Read of what the source has left now, without waiting and without the pace of the buffer. ctx has ended.
func (h *holder) ReadRest(ctx context.Context, dst []media.Frame) (int, error) {
	if h.reader == nil || h.held {
		return 0, nil
	}
	if h.buffer != nil {
		h.buffer.Hurry()
	}
	return h.read(ctx, dst)
}

// ending returns why the source has ended if no other is waited for, though some of it may still be queued; nil if it is to go
// on. Any goroutine may call it.
func (h *holder) ending() error {
	err := h.Source().Err()
	if errors.Is(err, stream.ErrTerminated) || h.grace(err) == 0 {
		return err
	}
	return nil
}

// takeoverGrace is how long the newcomer that took over a stream's name may take until its media comes: as long as a WebRTC publisher
// may take to connect, and some time more.
const takeoverGrace = 15 * time.Second

// grace returns how long another publisher is waited for after a source ended with err.
func (h *holder) grace(err error) time.Duration {
	if errors.Is(err, stream.ErrReplaced) {
		return max(h.cfg.grace, takeoverGrace)
	}
	return h.cfg.grace
}

// wait waits for what comes first: the source's frames, the source itself, or the time for more to be made up.
func (h *holder) wait(ctx context.Context, dst []media.Frame) (int, error) {
	if !h.held && !h.bridge.active() {
		n, err := h.read(ctx, dst)
		if err != nil {
			err = h.lose(ctx, err)
		}
		return n, err
	}
	if h.expired() {
		return 0, h.src.Err()
	}
	soon, cancel := context.WithTimeout(ctx, h.bridge.pause(h.Now()))
	defer cancel()
	if h.reader == nil {
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

// take reads from the source, through the buffer where there is one.
func (h *holder) take(ctx context.Context, dst []media.Frame) (int, error) {
	if h.buffer != nil {
		return h.buffer.Read(ctx, dst)
	}
	return h.reader.Read(ctx, dst)
}

// joinRoom is how many frames of silence fit before a source's first sound: somewhat more than can be missing.
const joinRoom = 8

// read takes what the source has and fits it to what was sent before.
func (h *holder) read(ctx context.Context, dst []media.Frame) (int, error) {
	var room []media.Frame // for silence before the source's first sound
	if h.bridge.sounds && len(dst) > 2*joinRoom {
		room = dst[:joinRoom]
	}
	frames := dst[len(room):]
	n, err := h.take(ctx, frames)
	kept := 0
	for _, f := range frames[:n] {
		f.Time = f.Time.Add(h.shift)
		if f.Kind() == media.Audio && h.bridge.sounds {
			kept += h.bridge.join(f.Time, dst[kept:kept+len(room)])
		}
		f, ok := h.bridge.admit(f)
		if !ok {
			continue
		}
		h.bridge.sent(f)
		dst[kept] = f
		kept++
		h.back(f)
	}
	clear(dst[kept : len(room)+n])
	return kept, err
}

// back ends a hold with the first frame of what the source is awaited for: pictures, if it is to have any. One that has sent sound
// alone for a while is back without.
func (h *holder) back(f media.Frame) {
	picture := f.Kind() == media.Video
	if picture && h.blind.Load() {
		h.blind.Store(false)
	}
	if !h.held {
		return
	}
	if !picture && h.src.Info().HasVideo {
		if h.heard.IsZero() {
			h.heard = time.Now()
		}
		if time.Since(h.heard) < videoWait {
			return
		}
		h.blind.Store(h.bridge.pictures)
	}
	h.held, h.until = false, time.Time{}
	h.changed(h.src)
}

// lose bridges the time after a source's end, or returns its error if the end is final.
func (h *holder) lose(ctx context.Context, err error) error {
	if ctx.Err() != nil || h.src.Err() == nil || h.ending() != nil {
		return err
	}
	h.detach()
	h.bridge.begin(h.slate())
	if !h.held {
		h.held = true
		h.blind.Store(false)
		h.miss()
		h.changed(nil)
	}
	return nil
}

// miss begins the time for which the publisher is waited for, if it has not begun.
func (h *holder) miss() {
	if h.until.IsZero() {
		h.until = time.Now().Add(h.grace(h.src.Err()))
	}
}

// expired says whether the publisher was waited for long enough, and nobody has taken its name.
func (h *holder) expired() bool {
	if h.reader != nil || h.until.IsZero() || time.Now().Before(h.until) {
		return false
	}
	_, back := h.cfg.hub.Source(h.src.Info().Name)
	return !back
}

// slate returns the key frame to show, none if the last picture is to stay.
func (h *holder) slate() media.Frame {
	last := h.bridge.last
	if h.cfg.slate == nil || h.bridge.pictures || last.Track == nil || last.Track.Codec != media.H264 {
		return media.Frame{}
	}
	return h.still()
}

// still makes the slate in the size of what was sent.
func (h *holder) still() media.Frame {
	last := h.bridge.last
	f, err := h.cfg.slate(last.Track.Width, last.Track.Height)
	if err != nil {
		h.cfg.log.Warn("slate cannot be shown, the last picture stays", "err", err)
		return media.Frame{}
	}
	return f
}

// await attaches to the next publisher when it is live. That ctx ended is no error.
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
	if err := h.listen(); err != nil {
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
