package transponder

import (
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

	// takes reports whether the destination takes a codec of pictures as it is; nil: it takes all.
	takes func(media.Codec) bool

	// slate returns a key frame of the given size to show during a hold; nil: the last picture stays.
	slate func(width, height int) (media.Frame, error)

	// standIn returns a key frame to show while the stream has no pictures, in the given size if that is not 0; nil: the sound is sent
	// alone.
	standIn func(width, height int) (media.Frame, error)

	// changed(nil) is called when the source is lost and the hold begins; changed(src) when src takes over and the hold ends. Read calls
	// it.
	changed func(*stream.Source)

	// switched is called when src takes the place of another source that may still be live, and why. Read calls it; nil: nobody is told.
	switched func(src *stream.Source, why SwitchCause)
}

// holder reads the frames that a push sends: those of a source. When the source ends, the holder makes up pictures and silence until
// another publisher takes the name of the stream, over any door. Then it reads that publisher's source. If there are spares, it may read
// another stream. All frames have times on the clock of the push, which begins with the first source.
//
// Any goroutine may call RequestKeyFrame, FrameRate, Source, SetMaxLag, Now, Stats, Buffered and ending, and read blind. All else
// belongs to one goroutine, the owner: that of push.run.
type holder struct {
	cfg    holderConfig
	clock  atomic.Pointer[stream.Source] // the first
	spares *spares                       // nil: the push sends one stream only
	bridge bridge

	sound           *stream.Feed // of the present source; nil while it is not read
	releaseSound    func()       // nil while the sound is not read
	releasePictures func()       // nil while the pictures are not read, or are the source's own
	failed          error        // why there are no pictures

	stand   standIn
	held    bool
	stilled time.Time   // when the holder last looked whether the source sends anything
	still   bool        // held because the source sends nothing, although it has not ended
	until   time.Time   // end of the wait for a publisher; zero while there is one
	heard   time.Time   // when the first sound came from the source that is to end the hold; zero before
	blind   atomic.Bool // the hold ended with sound alone, and a picture is still repeated

	// The owner writes these under mu, so it may read src, reader, queue, video and buffer without.
	mu     sync.Mutex         // taken before the locks of package stream
	maxLag time.Duration      // guarded by mu; of the reader
	src    *stream.Source     // guarded by mu; the present source, or the last one
	reader *stream.Reader     // guarded by mu; nil while there is no source
	queue  *queue             // guarded by mu; the frames of reader on the clock of the push; nil while there is no source
	video  *stream.Feed       // guarded by mu; the pictures that are read
	buffer *frameBuffer       // guarded by mu; nil if the settings want none
	past   stream.ReaderStats // guarded by mu; of the readers before
}

// newHolder makes a holder that reads nothing until wake is called.
func newHolder(cfg holderConfig, src *stream.Source) *holder {
	h := &holder{cfg: cfg, src: src, maxLag: cfg.maxLag, bridge: bridge{silenceOnly: cfg.grace == 0 && cfg.standIn == nil}}
	h.clock.Store(src)
	return h
}

// begin starts to read a source, as if it was the first: nothing was read before.
func (h *holder) begin(src *stream.Source) {
	h.clock.Store(src)
	h.bridge.restart()
	h.attach(src)
}

// useSpares lets the holder send other sources, too. nil: it sends one stream only. It is called before wake.
func (h *holder) useSpares(s *spares) {
	h.spares = s
	h.bridge.silenceOnly = h.bridge.silenceOnly && s == nil
}

// wake starts to read the source again. It reads pictures at once, so that none is missed. If the source ended meanwhile, Read finds out.
func (h *holder) wake() {
	h.bridge.restart()
	if !h.held {
		h.attach(h.src)
	}
}

// sleep stops reading the source while nothing can be sent.
func (h *holder) sleep() { h.Close() }

// attach starts to read a source: its pictures at once, its sound with addSound.
func (h *holder) attach(src *stream.Source) {
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
	h.queue = &queue{reader: reader, shift: src.Created().Sub(h.clock.Load().Created())}
	if h.cfg.buffer.Enabled {
		h.buffer = newFrameBuffer(h.cfg.buffer, h.queue)
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
	h.dropNext()
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
	h.queue.discard()
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
	h.past.DroppedLate += st.DroppedLate
	h.past.DroppedBytes += st.DroppedBytes
	h.past.DroppedTime += st.DroppedTime
	h.past.DroppedSound += st.DroppedSound
	h.past.Drops += st.Drops
	h.reader, h.queue, h.buffer = nil, nil, nil
}

// Close stops reading. Closing twice is harmless.
func (h *holder) Close() {
	h.dropNext()
	h.detach()
}

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
func (h *holder) Now() media.Timestamp { return h.clock.Load().Now() }

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
	now.DroppedLate += st.DroppedLate
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

// hurry throws away what is queued before the newest key frame. It is called before the first Read.
func (h *holder) hurry() {
	if h.reader != nil {
		h.reader.Hurry()
	}
}

// Restart throws away what is queued. The next picture is a key frame, for a new connection.
func (h *holder) Restart() {
	h.bridge.restart()
	if h.reader != nil {
		h.queue.discard()
		h.reader.Restart()
	}
	if h.buffer != nil {
		h.buffer.Restart()
	}
}
