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

	// KeyFrames asks the publisher for key frames at the hub's interval as long as the reader lives.
	KeyFrames bool

	// A queue longer than either bound loses video up to the next key frame that fits. Zero takes the default.
	MaxBytes    int
	MaxDuration time.Duration
}

// The default bounds: a 2 MB key frame of a 4K picture fits several times, and a receiver that is this late is better
// served by the next GOP.
const (
	DefaultMaxBytes    = 16 << 20
	DefaultMaxDuration = 5 * time.Second
)

// audioAllowance is how much audio may still be queued once video is being dropped, as a multiple of the bounds: sound is
// small, and a receiver forgives a frozen picture before it forgives a gap in the sound.
const audioAllowance = 2

// Reader takes frames from a source through a bounded queue. Read is for one goroutine; the other methods are for any.
type Reader struct {
	cfg    ReaderConfig
	src    *Source
	arrive chan struct{} // holds one token when the queue may have changed

	mu       sync.Mutex
	queue    ring        // guarded by mu
	needKey  bool        // guarded by mu: video waits for a key frame
	dropping bool        // guarded by mu: it waits because the queue was full
	ended    error       // guarded by mu
	stats    ReaderStats // guarded by mu

	closeOnce sync.Once
}

// ReaderStats are a reader's figures at one moment.
type ReaderStats struct {
	QueuedFrames  int
	QueuedBytes   int
	QueuedTime    time.Duration // from the oldest to the newest frame in the queue
	DroppedFrames int64         // lost because the reader was too slow
	DroppedBytes  int64
	Drops         int64 // times that dropping began
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
	r := &Reader{cfg: cfg, src: s, arrive: make(chan struct{}, 1), needKey: true}
	if cfg.KeyFrames {
		s.keys.readers.Add(1)
	}
	if cfg.Video != nil {
		cfg.Video.add(r)
		s.RequestKeyFrame()
	}
	if cfg.Audio != nil {
		cfg.Audio.add(r)
	}
	return r
}

// AddAudio takes sound from a feed as well, from now on. It is for readers that were made without, and is called once, before
// Close.
func (r *Reader) AddAudio(f *Feed) {
	r.cfg.Audio = f
	f.add(r)
}

// Read waits for at least one frame and copies as many as there are and fit to dst. After the source's end it returns what
// is still queued, and then why the source ended.
func (r *Reader) Read(ctx context.Context, dst []media.Frame) (int, error) {
	for {
		r.mu.Lock()
		n := r.queue.take(dst)
		ended := r.ended
		r.mu.Unlock()
		if n > 0 {
			return n, nil
		}
		if ended != nil {
			return 0, ended
		}
		select {
		case <-r.arrive:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// Restart throws away what is queued and begins anew at a key frame, which is asked for at once. What is thrown away is not
// counted as dropped: it was never meant to be sent.
func (r *Reader) Restart() {
	r.mu.Lock()
	r.queue.clear()
	r.needKey, r.dropping = true, false
	r.mu.Unlock()
	if r.cfg.Video != nil {
		r.src.RequestKeyFrame()
	}
}

// Close detaches the reader. A waiting Read returns ErrClosed. Closing twice is harmless.
func (r *Reader) Close() {
	r.closeOnce.Do(func() {
		if r.cfg.KeyFrames {
			r.src.keys.readers.Add(-1)
		}
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
	st.QueuedFrames, st.QueuedBytes, st.QueuedTime = r.queue.n, r.queue.bytes, r.queue.span()
	return st
}

// push queues a frame, or drops it by the rules of the bounds. Called by the feed's writer.
func (r *Reader) push(f media.Frame) {
	video := f.Kind() == media.Video
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended != nil {
		return
	}
	switch {
	case video && r.needKey && !f.Key:
		if r.dropping {
			r.dropped(f)
		}
		return
	case video && r.full(f, 1):
		if !r.dropping {
			r.dropping = true
			r.stats.Drops++
		}
		r.needKey = true
		r.dropped(f)
		return
	case !video && r.full(f, audioAllowance):
		r.dropped(f)
		return
	}
	if video {
		r.needKey, r.dropping = false, false
	}
	r.queue.put(f)
	r.wake()
}

// full says whether f would take the queue past so many times its bounds. An empty queue takes any frame.
func (r *Reader) full(f media.Frame, times int) bool {
	if r.queue.n == 0 {
		return false
	}
	return r.queue.bytes+len(f.Data) > times*r.cfg.MaxBytes ||
		f.Time.Sub(r.queue.oldest()) > time.Duration(times)*r.cfg.MaxDuration
}

func (r *Reader) dropped(f media.Frame) {
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
