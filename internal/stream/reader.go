package stream

import (
	"context"
	"sync"
	"time"

	"transponder/internal/media"
)

// ReaderConfig says what a reader takes and how far it may fall behind.
type ReaderConfig struct {
	Video, Audio *Feed // nil: not wanted

	// KeyFrames asks the publisher for key frames at the hub's interval as long as the reader takes the publisher's own video.
	KeyFrames bool

	// A queue longer than either bound loses whole groups of pictures; see Reader. Zero takes the default.
	MaxBytes    int
	MaxDuration time.Duration

	// MaxLag is how much older than the newest a picture may get in the queue: then the pictures before the newest key frame are given
	// up, so that whoever takes less than there is gets whole groups of the present. Zero: no limit.
	MaxLag time.Duration
}

// The default bounds: a 2 MB key frame of a 4K picture fits several times, and a receiver that is this late is better
// served by the next GOP.
const (
	DefaultMaxBytes    = 16 << 20
	DefaultMaxDuration = 5 * time.Second
)

// MaxFrames bounds any queue in frames, so that a publisher who sends nothing but tiny ones fills no memory with what is kept
// beside their bytes. It is a minute of a fast stream.
const MaxFrames = 8192

// audioAllowance is how much audio may still be queued once video is being dropped, as a multiple of the bounds: sound is
// small, and a receiver forgives a frozen picture before it forgives a gap in the sound.
const audioAllowance = 2

// Reader takes frames from a source through a bounded queue. Read, TryRead and Arrived are for one goroutine; the other
// methods are for any.
//
// When video does not fit, the group of pictures that it belongs to is given up whole: what is queued of it is taken back as
// long as older pictures stay in front, and what comes is dropped up to the next key frame that fits. So what is read can
// always be decoded, and no picture is sent that leads nowhere. Sound is only dropped far beyond the bounds. With a MaxLag it is the
// oldest that is given up instead of the newest.
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

// ReaderStats are a reader's figures at one moment.
type ReaderStats struct {
	QueuedFrames  int
	QueuedBytes   int
	QueuedTime    time.Duration // from the oldest to the newest frame in the queue
	DroppedFrames int64         // lost because the reader was too slow
	DroppedBytes  int64
	DroppedTime   time.Duration // of video: from each first frame lost to the next that was kept
	DroppedSound  time.Duration // of audio, likewise
	Drops         int64         // times that dropping began, of either
}

// gap measures what is missing of one kind. Its reader guards it.
type gap struct {
	open       bool
	from, last media.Timestamp // of the first and the last frame lost; while open
	closed     time.Duration   // of all gaps before
}

// lose notes a lost frame, and returns whether it opens a gap.
func (g *gap) lose(t media.Timestamp) (first bool) {
	first = !g.open
	if first {
		g.open, g.from = true, t
	}
	g.last = t
	return first
}

// end closes the gap at the time of the frame that follows it.
func (g *gap) end(t media.Timestamp) {
	if g.open {
		g.open = false
		g.closed += max(0, t.Sub(g.from))
	}
}

// total returns how much is missing so far.
func (g *gap) total() time.Duration {
	if !g.open {
		return g.closed
	}
	return g.closed + max(0, g.last.Sub(g.from))
}

// NewReader attaches a reader to feeds of s. Video begins with the next key frame, which is asked for at once. The caller
// closes the reader.
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

// AddAudio takes sound from a feed as well, from now on. It is for readers that were made without, and is called before Close.
func (r *Reader) AddAudio(f *Feed) {
	r.cfg.Audio = f
	f.add(r)
}

// UseAudio takes sound from another feed of the same source instead, from its next frame on. It is for the goroutine that reads,
// before Close.
func (r *Reader) UseAudio(f *Feed) {
	if r.cfg.Audio != nil {
		r.cfg.Audio.drop(r)
	}
	r.AddAudio(f)
}

// UseVideo takes pictures from another feed of the same source instead, from its next key frame on, which is asked for at once.
// What is queued of the first feed is thrown away, and not counted as dropped. It is for the goroutine that
// reads, before Close.
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

// SetMaxLag changes what ReaderConfig says.
func (r *Reader) SetMaxLag(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.maxLag = d
}

// keyed counts the reader among those, or no more, that want the publisher's key frames at the interval.
func (r *Reader) keyed(n int32) {
	if r.cfg.KeyFrames && r.cfg.Video == r.src.Video {
		r.src.keys.readers.Add(n)
	}
}

// Read waits for at least one frame and copies as many as there are and fit to dst. After the source's end it returns what
// is still queued, and then why the source ended.
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

// TryRead is Read without the waiting: where there is no frame, it returns none and no error.
func (r *Reader) TryRead(dst []media.Frame) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := r.queue.take(dst); n > 0 {
		return n, nil
	}
	return 0, r.ended
}

// Arrived gets a token when TryRead may have more to give than the last time.
func (r *Reader) Arrived() <-chan struct{} { return r.arrive }

// Restart throws away what is queued and begins anew at a key frame, which is asked for at once. What is thrown away is not
// counted as dropped: it was never meant to be sent.
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

// Stats returns the reader's figures.
func (r *Reader) Stats() ReaderStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	st := r.stats
	st.DroppedTime, st.DroppedSound = r.video.total(), r.audio.total()
	st.QueuedFrames, st.QueuedBytes, st.QueuedTime = r.queue.n, r.queue.bytes, r.queue.span()
	return st
}

// push queues a frame, or drops it by the rules of the bounds. Called by the feed's writer.
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
		r.dropped(&r.audio, f)
		return
	default:
		r.audio.end(f.Time)
		r.shedSound(f.Time)
	}
	r.queue.put(f)
	r.wake()
}

// takesVideo says whether f can be queued. If its place is taken, the group that it belongs to ends here: what is queued of it
// goes too. A key frame begins a group, so the one before is whole and stays.
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
	r.needKey = true
	r.dropped(&r.video, f)
	return false
}

// shedPictures gives up pictures that have become too old when one of a time comes. It says whether a group is left for that to go on.
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
		r.needKey = last == q.n
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

// soundGrace is how much older than pictures sound may get: it is small, and a receiver forgives a frozen picture before it forgives a
// gap in the sound. One gap of that length is better than many.
const soundGrace = 1500 * time.Millisecond

// shedSound gives up sound that has become too old when some of a time comes.
func (r *Reader) shedSound(now media.Timestamp) {
	oldest, ok := r.queue.oldestOf(media.Audio)
	if r.maxLag == 0 || !ok || now.Sub(oldest) <= r.maxLag+soundGrace {
		return
	}
	from := now.Add(-r.maxLag)
	r.queue.cut(func(_ int, f *media.Frame) bool {
		if f.Kind() != media.Audio || f.Time >= from {
			return true
		}
		r.dropped(&r.audio, *f)
		return false
	})
	r.audio.end(from)
}

// withdraw takes back what is queued of the newest group of pictures.
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

// full says whether f would take the queue past so many times its bounds. An empty queue takes any frame.
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
	r.stats.DroppedBytes += int64(len(f.Data))
}

// end lets Read return cause once the queue is empty.
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
