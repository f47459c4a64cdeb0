package stream

import (
	"slices"
	"sync"
	"time"

	"transponder/internal/media"
)

// Feed gives the frames of one kind, from a publisher or a rendition, to readers.
//
// Lock order: Feed.mu, then Reader.mu.
type Feed struct {
	src   *Source
	onKey func(time.Time) // called for each key frame; nil for renditions
	begun chan struct{}   // closed at the first frame
	ask   func()          // asks the writer for a key frame; nil if the writer cannot be asked

	mu        sync.Mutex
	track     *media.Track // guarded by mu; of the last frame
	announced *media.Track // guarded by mu; of the frames to come, as Announce says
	expected  bool         // guarded by mu; the publisher has said that it sends this kind
	readers   []*Reader    // guarded by mu
	closed    error        // guarded by mu
	meter     Meter        // guarded by mu
	pace      pace         // guarded by mu
	rate      frameRate    // guarded by mu; of pictures
	stats     FeedStats    // guarded by mu; without the rates, which meter has
}

func newFeed(s *Source) *Feed { return &Feed{src: s, begun: make(chan struct{})} }

// FeedStats are the figures of a feed at one moment.
type FeedStats struct {
	Track         *media.Track // nil before the first frame
	Frames, Bytes int64
	KeyFrames     int64
	RateBPS       int64         // of the last whole second
	FPS           float64       // frames a second, by their arrival, over the last whole second
	FrameRate     float64       // of the camera or encoder, by the times of the pictures (29.97); 0 while unknown
	KeyInterval   time.Duration // between the last two key frames, 0 while unknown
	Readers       int
	Faults        Faults

	// Missing is true if the publisher sent frames of this kind, or said that it would, and now sends none. A publisher that is slow by
	// nature, like a slide show, is not missing.
	Missing bool

	lastKey media.Timestamp
}

// Write gives a frame to every reader. It never blocks. frame.Data must not be changed afterwards. If the feed is closed, Write drops the
// frame.
func (f *Feed) Write(frame media.Frame) {
	now := time.Now()
	key := frame.Key && frame.Kind() == media.Video
	if key && f.onKey != nil {
		f.onKey(now)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed != nil {
		return
	}
	if f.stats.Frames == 0 {
		close(f.begun)
		if !f.src.info.HasVideo {
			f.src.info.Steps.Finish(lastStep)
		}
	}
	f.track = frame.Track
	f.meter.Count(now, len(frame.Data))
	f.pace.came(now)
	if frame.Kind() == media.Video {
		f.rate.came(frame.Time)
	}
	f.stats.Frames++
	f.stats.Bytes += int64(len(frame.Data))
	if key {
		f.stats.KeyFrames++
		if f.stats.KeyFrames > 1 {
			f.stats.KeyInterval = frame.Time.Sub(f.stats.lastKey)
		}
		f.stats.lastKey = frame.Time
	}
	for _, r := range f.readers {
		r.push(frame)
	}
}

// Fill is Write for a frame that the publisher did not send and that fills a gap. The figures do not count it.
func (f *Feed) Fill(frame media.Frame) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed != nil {
		return
	}
	for _, r := range f.readers {
		r.push(frame)
	}
}

// Expect notes that the publisher will send frames of this kind, although none has come yet.
func (f *Feed) Expect() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.expected = true
}

// unexpect takes back what Expect or Announce noted. The frames that have come are no promise of more, either.
func (f *Feed) unexpect() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.expected, f.announced, f.pace.count = false, nil, 0
}

// Announce is Expect, with the track of the frames to come.
func (f *Feed) Announce(t *media.Track) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.expected, f.announced = true, t
}

// Fault counts something that the publisher sent and that cannot be used as it is.
func (f *Feed) Fault(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stats.Faults[fault]++
}

// RequestKeyFrame asks the writer of the feed for a key frame. Many calls may become one request.
func (f *Feed) RequestKeyFrame() {
	if f.ask != nil {
		f.ask()
	}
}

// Begun is closed when the first frame has come. From then on Track is not nil.
func (f *Feed) Begun() <-chan struct{} { return f.begun }

// Track returns the track of the last frame, nil before the first.
func (f *Feed) Track() *media.Track {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.track
}

// Announced returns the track of the last frame, or the announced track before the first frame; nil if there is neither.
func (f *Feed) Announced() *media.Track {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.track != nil {
		return f.track
	}
	return f.announced
}

// written returns when the last frame was written, the zero Time before the first.
func (f *Feed) written() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.pace.at
}

// Stats returns the figures of the feed.
func (f *Feed) Stats() FeedStats {
	f.mu.Lock()
	defer f.mu.Unlock()
	st := f.stats
	st.Track = f.track
	st.Readers = len(f.readers)
	now := time.Now()
	st.RateBPS, st.FPS = f.meter.Rates(now)
	st.FrameRate = f.rate.rate
	st.Missing = f.missing(now)
	return st
}

// missing computes FeedStats.Missing. The caller holds mu.
func (f *Feed) missing(now time.Time) bool {
	if f.pace.count > 0 {
		return f.pace.stopped(now)
	}
	live := f.src.liveAt.Load()
	return f.expected && live > 0 && media.Timestamp(now.Sub(f.src.created)).Sub(media.Timestamp(live)) >= missingAfter
}

func (f *Feed) add(r *Reader) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed != nil {
		r.end(f.closed)
		return
	}
	f.readers = append(f.readers, r)
}

func (f *Feed) drop(r *Reader) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.readers = slices.DeleteFunc(f.readers, func(x *Reader) bool { return x == r })
}

// close ends the feed. Its readers get what is queued, then the cause.
func (f *Feed) close(cause error) {
	if cause == nil {
		cause = ErrClosed
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed != nil {
		return
	}
	f.closed = cause
	for _, r := range f.readers {
		r.end(cause)
	}
	f.readers = nil
}
