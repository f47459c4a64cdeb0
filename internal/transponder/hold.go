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

// holderConfig is what a holder works with. It does not change.
type holderConfig struct {
	hub *stream.Hub
	log *slog.Logger

	// sound returns the feed of a source's sound in the form in which it is sent, and how to release it.
	sound func(*stream.Source) (*stream.Feed, func(), error)
	// pictures does the same for pictures; nil: the pictures are sent as the source has them.
	pictures func(*stream.Source) (*stream.Feed, func(), error)
	// converted does the same for pictures that the destination does not take as the source has them.
	converted func(*stream.Source) (*stream.Feed, func(), error)
	// silent returns the track of silence for a destination that does not take Opus.
	silent func() *media.Track

	buffer BufferConfig // of the outgoing buffer

	maxLag time.Duration // older pictures are dropped

	grace time.Duration // how long to wait for another publisher; 0: the push ends with its stream, unless the stream was taken over

	// slate returns a key frame of the given size to show during a hold; nil: the last picture stays.
	slate func(width, height int) (media.Frame, error)

	// changed(nil) is called when the source is lost and the hold begins; changed(src) when src takes over and the hold ends. Read calls
	// it.
	changed func(*stream.Source)
}

// holder reads the frames that a push sends: those of a source. When the source ends, the holder makes up pictures and silence until
// another publisher takes the name of the stream, over any door. Then it reads that publisher's source. All frames have times on the
// clock of the first source.
//
// Any goroutine may call RequestKeyFrame, FrameRate, Source, SetMaxLag, Now, Stats, Buffered and ending, and read blind. All else
// belongs to one goroutine, the owner: that of push.run.
type holder struct {
	cfg    holderConfig
	clock  *stream.Source // the first
	shift  time.Duration  // from the clock of the present source to that of the first
	bridge bridge

	sound           *stream.Feed // of the present source; nil while it is not read
	releaseSound    func()       // nil while the sound is not read
	releasePictures func()       // nil while the pictures are not read, or are the source's own
	failed          error        // why there are no pictures

	held  bool
	until time.Time   // end of the wait for a publisher; zero while there is one
	heard time.Time   // when the first sound came from the source that is to end the hold; zero before
	blind atomic.Bool // the hold ended with sound alone, and a picture is still repeated

	// The owner writes these under mu, so it may read src, reader, video and buffer without.
	mu     sync.Mutex         // taken before the locks of package stream
	maxLag time.Duration      // guarded by mu; of the reader
	src    *stream.Source     // guarded by mu; the present source, or the last one
	reader *stream.Reader     // guarded by mu; nil while there is no source
	video  *stream.Feed       // guarded by mu; the pictures that are read
	buffer *frameBuffer       // guarded by mu; nil if the settings want none
	past   stream.ReaderStats // guarded by mu; of the readers before
}

// newHolder makes a holder that reads nothing until wake is called.
func newHolder(cfg holderConfig, src *stream.Source) *holder {
	return &holder{cfg: cfg, clock: src, src: src, maxLag: cfg.maxLag, bridge: bridge{silenceOnly: cfg.grace == 0}}
}

// wake starts to read the source again. It reads pictures at once, so that none is missed. If the source ended meanwhile, Read finds out.
func (h *holder) wake() {
	h.bridge.restart()
	if !h.held {
		h.attach(h.src)
	}
}

// sleep stops reading the source while nothing can be sent.
func (h *holder) sleep() { h.detach() }

// attach starts to read a source: its pictures at once, its sound with addSound.
func (h *holder) attach(src *stream.Source) {
	h.shift = src.Created().Sub(h.clock.Created())
	h.heard = time.Time{}
	video := src.Video
	if h.cfg.pictures != nil {
		feed, release, err := h.cfg.pictures(src)
		if err == nil {
			video, h.releasePictures = feed, release
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
		h.buffer = newFrameBuffer(h.cfg.buffer, reader)
	}
}

// addSound starts to read the sound of a source that is live. Calling it again is harmless.
func (h *holder) addSound() error {
	if h.releaseSound != nil || h.reader == nil {
		return nil
	}
	feed, release, err := h.cfg.sound(h.src)
	switch {
	case err == nil:
	case h.src.Err() != nil && h.ending() == nil:
		return nil // Read returns that error
	default:
		return err
	}
	h.sound, h.releaseSound = feed, release
	h.reader.AddAudio(feed)
	return nil
}

// renewSound reads the sound in another form, because the present destination does not take the form that the one before took. Calling
// it again is harmless.
func (h *holder) renewSound() error {
	h.bridge.changeSilence(h.cfg.silent())
	if h.reader == nil {
		return nil
	}
	feed, release, err := h.cfg.sound(h.src)
	switch {
	case err == nil && feed == h.sound:
		release()
		return nil
	case err == nil:
	case h.src.Err() != nil:
		return nil // Read returns that error
	default:
		return err
	}
	h.reader.UseAudio(feed)
	h.releaseSound()
	h.sound, h.releaseSound = feed, release
	return nil
}

// convert reads converted pictures of the present source instead of its own. Calling it again is harmless.
func (h *holder) convert() error {
	if h.reader == nil && h.cfg.slate != nil { // a repeated picture cannot be converted, but the slate can replace it
		h.bridge.replace(h.makeSlate())
	}
	if h.releasePictures != nil || h.reader == nil {
		return nil
	}
	feed, release, err := h.cfg.converted(h.src)
	switch {
	case err == nil:
	case h.src.Err() != nil:
		return nil // Read returns that error
	default:
		return err
	}
	h.releasePictures = release
	h.mu.Lock()
	h.video = feed
	h.mu.Unlock()
	h.reader.UseVideo(feed)
	return nil
}

// RequestKeyFrame asks for a key frame: the publisher, or the encoder of converted pictures.
func (h *holder) RequestKeyFrame() { h.feed().RequestKeyFrame() }

// FrameRate returns the frame rate of the pictures that are read, 0 while it is unknown.
func (h *holder) FrameRate() float64 { return h.feed().Stats().FrameRate }

func (h *holder) feed() *stream.Feed {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.video
}

// detach stops reading the present source and adds the figures of its reader to past.
func (h *holder) detach() {
	if h.reader == nil {
		return
	}
	h.reader.Close()
	if h.releaseSound != nil {
		h.releaseSound()
		h.sound, h.releaseSound = nil, nil
	}
	if h.releasePictures != nil {
		h.releasePictures()
		h.releasePictures = nil
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

// Close stops reading. Closing twice is harmless.
func (h *holder) Close() { h.detach() }

// Source returns the present source, or the last one if there is none now.
func (h *holder) Source() *stream.Source {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.src
}

// SetMaxLag changes how old pictures may get: older ones are dropped.
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

// Now returns the time on the clock of the frames.
func (h *holder) Now() media.Timestamp { return h.clock.Now() }

// Stats returns what is queued now, and what was dropped since the start of the push.
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

// Buffered returns the figures of the buffer, zeros if there is none.
func (h *holder) Buffered() bufferStats {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.buffer == nil {
		return bufferStats{}
	}
	return h.buffer.Stats()
}

// Restart throws away what is queued. The next picture is a key frame, for a new connection.
func (h *holder) Restart() {
	h.bridge.restart()
	if h.reader != nil {
		h.reader.Restart()
	}
	if h.buffer != nil {
		h.buffer.Restart()
	}
}

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
		if n := h.bridge.next(h.Now(), dst); n > 0 {
			return n, nil
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
	err := h.Source().Err()
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

// take reads from the source, through the buffer if there is one.
func (h *holder) take(ctx context.Context, dst []media.Frame) (int, error) {
	if h.buffer != nil {
		return h.buffer.Read(ctx, dst)
	}
	return h.reader.Read(ctx, dst)
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
		h.endHold(f)
	}
	clear(dst[kept : len(room)+n])
	return kept, err
}

// endHold ends a hold with the first picture of the new source. If the publisher announced no pictures, or sends sound alone for
// videoWait, the hold ends with its sound.
func (h *holder) endHold(f media.Frame) {
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

// lose begins a hold when the source has ended, or returns err if no other publisher is waited for.
func (h *holder) lose(ctx context.Context, err error) error {
	if ctx.Err() != nil || h.src.Err() == nil || h.ending() != nil {
		return err
	}
	h.detach()
	h.bridge.begin(h.slate())
	if !h.held {
		h.held = true
		h.blind.Store(false)
		h.startWaiting()
		h.changed(nil)
	}
	return nil
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
