package stream

import (
	"context"
	"sync"
	"time"

	"transponder/internal/media"
)

// ReaderConfig is what a reader reads and how far it may fall behind.
type ReaderConfig struct {
	Video, Audio *Feed // nil: not wanted

	// KeyFrames makes the hub ask the publisher for key frames at its interval, while the reader reads the video feed of the publisher.
	KeyFrames bool

	// If the queue exceeds one of these bounds, the reader drops whole groups of pictures; see Reader. Zero: the default.
	MaxBytes    int
	MaxDuration time.Duration

	// MaxLag is how much older than the newest frame a picture may get in the queue. If one gets older, the pictures before the newest
	// key frame are dropped. So a reader that is too slow for all frames gets whole, recent groups of pictures. Zero: no limit.
	MaxLag time.Duration
}

// The default bounds. Several key frames of a 4K picture fit, at 2 MB each. A receiver that is this late is better served by the next group
// of pictures.
const (
	DefaultMaxBytes    = 16 << 20
	DefaultMaxDuration = 5 * time.Second
)

// MaxFrames is the bound of a queue in frames. Without it, a publisher of tiny frames could fill the memory with what each frame needs
// beside its bytes. It is a minute of a fast stream.
const MaxFrames = 8192

// audioAllowance is the multiple of the bounds up to which sound is queued while video is dropped: sound is small, and a gap in the sound
// disturbs more than a frozen picture.
const audioAllowance = 2

// Reader reads frames from a source through a bounded queue. Read, TryRead, Arrived, AddAudio, UseAudio and UseVideo belong to one
// goroutine; any goroutine may call the other methods.
//
// When a picture does not fit, its group of pictures is dropped: the queued part of the group is taken back if older pictures stay in front
// of it, and new pictures are dropped up to the next key frame that fits. So the pictures that are read can always be decoded, and
// few bytes are spent on groups that are cut short. Sound is dropped only far beyond the bounds. With MaxLag the oldest pictures are dropped instead of the
// newest.
type Reader struct {
	cfg    ReaderConfig
	src    *Source
	arrive chan struct{} // holds one token when the queue may have changed

	mu      sync.Mutex
	maxLag  time.Duration // guarded by mu
	queue   ring          // guarded by mu
	needKey bool          // guarded by mu: video waits for a key frame
	video   gap           // guarded by mu: open while video waits because the queue was full
	audio   gap           // guarded by mu
	ended   error         // guarded by mu
	stats   ReaderStats   // guarded by mu

	closeOnce sync.Once
}

// ReaderStats are the figures of a reader at one moment.
type ReaderStats struct {
	QueuedFrames  int
	QueuedBytes   int
	QueuedTime    time.Duration // from the oldest to the newest frame in the queue
	DroppedFrames int64         // lost because the reader was too slow
	DroppedLate   int64         // of these, lost because of MaxLag; the others exceeded a bound of the queue
	DroppedBytes  int64
	DroppedTime   time.Duration // of video: from the first dropped frame of each gap to the next frame that was kept
	DroppedSound  time.Duration // the same for audio
	Drops         int64         // times that dropping began, for video and audio
}

// gap measures the frames of one kind that were dropped. It is guarded by Reader.mu.
type gap struct {
	open       bool
	late       bool            // MaxLag is why frames were dropped last
	from, last media.Timestamp // of the first and the last dropped frame; valid while open
	closed     time.Duration   // of all gaps before
}

// lose notes a dropped frame and reports whether it opens a gap.
func (g *gap) lose(t media.Timestamp) (first bool) {
	first = !g.open
	if first {
		g.open, g.from = true, t
	}
	g.last = t
	return first
}

// end closes the gap at the time of the next frame that was kept.
func (g *gap) end(t media.Timestamp) {
	if g.open {
		g.open = false
		g.closed += max(0, t.Sub(g.from))
	}
}

// total returns the duration of all gaps so far.
func (g *gap) total() time.Duration {
	if !g.open {
		return g.closed
	}
	return g.closed + max(0, g.last.Sub(g.from))
}

// NewReader makes a reader of feeds of s. Video begins with the next key frame, which is asked for at once. The caller closes the reader.
func (s *Source) NewReader(cfg ReaderConfig) *Reader {
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = DefaultMaxBytes
	}
	if cfg.MaxDuration == 0 {
		cfg.MaxDuration = DefaultMaxDuration
	}
	r := &Reader{cfg: cfg, src: s, arrive: make(chan struct{}, 1), maxLag: cfg.MaxLag, needKey: true}
	r.keyed(1)
	if cfg.Video != nil {
		cfg.Video.add(r)
		cfg.Video.RequestKeyFrame()
	}
	if cfg.Audio != nil {
		cfg.Audio.add(r)
	}
	return r
}

// AddAudio makes a reader without sound read the sound of a feed from now on. It is called before Close.
func (r *Reader) AddAudio(f *Feed) {
	r.cfg.Audio = f
	f.add(r)
}

// UseAudio replaces the audio feed by another feed of the same source, from the next frame of that feed on. It is called before Close.
func (r *Reader) UseAudio(f *Feed) {
	if r.cfg.Audio != nil {
		r.cfg.Audio.drop(r)
	}
	r.AddAudio(f)
}

// UseVideo replaces the video feed by another feed of the same source, from the next key frame of that feed on, which is asked for at once.
// Queued pictures of the old feed are thrown away and not counted as dropped. It is called before Close.
func (r *Reader) UseVideo(f *Feed) {
	r.keyed(-1)
	if r.cfg.Video != nil {
		r.cfg.Video.drop(r)
	}
	r.cfg.Video = f
	r.keyed(1)
	r.mu.Lock()
	r.queue.discardVideo()
	r.needKey = true
	r.video.end(r.video.last)
	r.mu.Unlock()
	f.add(r)
	f.RequestKeyFrame()
}

// SetMaxLag changes ReaderConfig.MaxLag.
func (r *Reader) SetMaxLag(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.maxLag = d
}

// keyed adds n to the number of readers that want key frames of the publisher at the interval.
func (r *Reader) keyed(n int32) {
	if r.cfg.KeyFrames && r.cfg.Video == r.src.Video {
		r.src.keys.readers.Add(n)
	}
}

// Read waits for at least one frame, then copies the frames that are there and fit into dst. After the end of the source it returns what is
// still queued, and then the cause of the end.
func (r *Reader) Read(ctx context.Context, dst []media.Frame) (int, error) {
	for {
		if n, err := r.TryRead(dst); n > 0 || err != nil {
			return n, err
		}
		select {
		case <-r.arrive:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// TryRead is Read without waiting: if there is no frame, it returns 0 and no error.
func (r *Reader) TryRead(dst []media.Frame) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := r.queue.take(dst); n > 0 {
		return n, nil
	}
	return 0, r.ended
}

// Arrived returns a channel that gets a value when TryRead may have more frames than the last time.
func (r *Reader) Arrived() <-chan struct{} { return r.arrive }

// Restart throws away what is queued and begins again with a key frame, which is asked for at once. The frames that are thrown away do not
// count as dropped, since they were not to be sent.
func (r *Reader) Restart() {
	r.mu.Lock()
	r.queue.clear()
	r.needKey = true
	r.video.end(r.video.last)
	r.mu.Unlock()
	if r.cfg.Video != nil {
		r.cfg.Video.RequestKeyFrame()
	}
}

// Hurry throws away what is queued before the newest key frame. If no key frame is queued, it throws away all, as Restart does.
func (r *Reader) Hurry() {
	if !r.hurry() {
		r.Restart()
	}
}

// hurry reports whether there is a key frame.
func (r *Reader) hurry() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	key, at, ok := r.queue.newestKey()
	if !ok {
		return false
	}
	r.queue.cut(func(i int, f *media.Frame) bool { return i >= key || f.Kind() == media.Audio && f.Time >= at })
	return true
}

// Close detaches the reader. A waiting Read returns ErrClosed. Closing twice is harmless.
func (r *Reader) Close() {
	r.closeOnce.Do(func() {
		r.keyed(-1)
		if r.cfg.Video != nil {
			r.cfg.Video.drop(r)
		}
		if r.cfg.Audio != nil {
			r.cfg.Audio.drop(r)
		}
		r.mu.Lock()
		r.queue.clear()
		r.mu.Unlock()
		r.end(ErrClosed)
	})
}

// Stats returns the figures of the reader.
func (r *Reader) Stats() ReaderStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	st := r.stats
	st.DroppedTime, st.DroppedSound = r.video.total(), r.audio.total()
	st.QueuedFrames, st.QueuedBytes, st.QueuedTime = r.queue.n, r.queue.bytes, r.queue.span()
	return st
}

// push queues a frame, or drops it as the bounds demand. The writer of the feed calls it.
func (r *Reader) push(f media.Frame) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.ended != nil:
		return
	case f.Kind() == media.Video:
		if !r.takesVideo(f) {
			return
		}
		r.needKey = false
		r.video.end(f.Time)
	case r.full(f, audioAllowance):
		r.audio.late = false
		r.dropped(&r.audio, f)
		return
	default:
		r.audio.end(f.Time)
		r.shedSound(f.Time)
	}
	r.queue.put(f)
	r.wake()
}

// takesVideo reports whether picture f is queued. If there is no room, its group of pictures ends here, and the queued part of the group is
// dropped too. If f is a key frame, the group before it is complete and stays.
func (r *Reader) takesVideo(f media.Frame) bool {
	switch {
	case r.needKey && !f.Key, !r.shedPictures(f.Time) && !f.Key:
		if r.video.open {
			r.dropped(&r.video, f)
		}
		return false
	case !r.full(f, 1):
		return true
	}
	if !f.Key {
		r.withdraw()
	}
	r.needKey, r.video.late = true, false
	r.dropped(&r.video, f)
	return false
}

// shedPictures drops pictures that are too old when a picture of time now comes. It reports whether the group of the new picture is left.
func (r *Reader) shedPictures(now media.Timestamp) bool {
	for r.maxLag > 0 {
		oldest, ok := r.queue.oldestOf(media.Video)
		if !ok || now.Sub(oldest) <= r.maxLag {
			return true
		}
		q := &r.queue
		last, end := q.n, now
		if q.older > 0 {
			last = (q.newest - q.first) & (len(q.frames) - 1)
			end = q.frames[q.newest].Time
		}
		r.needKey, r.video.late = last == q.n, true
		q.cut(func(i int, f *media.Frame) bool {
			if i >= last || f.Kind() != media.Video {
				return true
			}
			r.dropped(&r.video, *f)
			return false
		})
		if r.needKey {
			return false
		}
		r.video.end(end)
	}
	return true
}

// soundGrace is how much older than pictures sound may get: sound is small, and a gap in the sound disturbs more than a frozen picture. One
// gap of this length is better than many.
const soundGrace = 1500 * time.Millisecond

// shedSound drops sound that is too old when sound of time now comes.
func (r *Reader) shedSound(now media.Timestamp) {
	oldest, ok := r.queue.oldestOf(media.Audio)
	if r.maxLag == 0 || !ok || now.Sub(oldest) <= r.maxLag+soundGrace {
		return
	}
	from := now.Add(-r.maxLag)
	r.audio.late = true
	r.queue.cut(func(_ int, f *media.Frame) bool {
		if f.Kind() != media.Audio || f.Time >= from {
			return true
		}
		r.dropped(&r.audio, *f)
		return false
	})
	r.audio.end(from)
}

// withdraw drops the queued part of the newest group of pictures.
func (r *Reader) withdraw() {
	frames, bytes, from := r.queue.withdraw()
	if frames == 0 {
		return
	}
	r.stats.DroppedFrames += int64(frames)
	r.stats.DroppedBytes += int64(bytes)
	if r.video.lose(from) {
		r.stats.Drops++
	}
}

// full reports whether the queue with f would exceed a multiple of its bounds. An empty queue takes any frame.
func (r *Reader) full(f media.Frame, times int) bool {
	if r.queue.n == 0 {
		return false
	}
	return r.queue.bytes+len(f.Data) > times*r.cfg.MaxBytes || r.queue.n >= times*MaxFrames ||
		f.Time.Sub(r.queue.oldest()) > time.Duration(times)*r.cfg.MaxDuration
}

func (r *Reader) dropped(g *gap, f media.Frame) {
	if g.lose(f.Time) {
		r.stats.Drops++
	}
	r.stats.DroppedFrames++
	if g.late {
		r.stats.DroppedLate++
	}
	r.stats.DroppedBytes += int64(len(f.Data))
}

// end makes Read return cause when the queue is empty.
func (r *Reader) end(cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended == nil {
		r.ended = cause
		r.wake()
	}
}

func (r *Reader) wake() {
	select {
	case r.arrive <- struct{}{}:
	default:
	}
}
