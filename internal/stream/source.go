package stream

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"transponder/internal/media"
)

// ErrClosed is the cause of a source's or reader's end when its owner simply closed it.
var ErrClosed = errors.New("stream closed")

// ErrTerminated is the cause of a source's end when somebody asked the server to stop it.
var ErrTerminated = errors.New("terminated by request")

// Info says who publishes a source and how. It does not change.
type Info struct {
	Name      string
	ID        string // media session id: the browser's own, or made by the door
	SessionID string // of the connection that publishes, for those who list streams
	AppKey    string
	Provider  string      // "WebRTC", "WHIP", "RTMP"
	Transport string      // "UDP", "TCP"
	Push      string      // the push of this server whose output it is; "" for all others
	Trail     [8][16]byte // of an RTMP publisher: an rtmp.Trail
	Publisher Publisher

	HasVideo, HasAudio bool // what the publisher said it would send

	// AskKeyFrame asks the publisher for a key frame. It must not block. Nil where that cannot be done.
	AskKeyFrame func()
}

// Source is one live stream. Its publisher writes to Video and Audio and closes it; everybody else reads.
type Source struct {
	Video, Audio *Feed

	hub     *Hub
	info    Info
	created time.Time
	keys    keyFrames

	liveOnce sync.Once
	liveAt   atomic.Int64 // on the stream's clock; 0 before
	live     chan struct{}
	done     chan struct{}
	ending   atomic.Bool // see SetEnding

	mu         sync.Mutex
	err        error                 // guarded by mu; set when done is closed
	renditions map[string]*rendition // guarded by mu
}

func newSource(h *Hub, info Info) *Source {
	s := &Source{
		hub:        h,
		info:       info,
		created:    time.Now(),
		live:       make(chan struct{}),
		done:       make(chan struct{}),
		renditions: map[string]*rendition{},
	}
	s.Video = newFeed(s)
	s.Audio = newFeed(s)
	s.keys = keyFrames{cfg: h.cfg, ask: info.AskKeyFrame}
	s.Video.onKey, s.Video.ask = s.keys.came, s.RequestKeyFrame
	return s
}

// Info returns what the source was published as.
func (s *Source) Info() Info { return s.info }

// Created returns when the name was taken. The stream's clock is zero then.
func (s *Source) Created() time.Time { return s.created }

// Now returns the present time on the stream's clock.
func (s *Source) Now() media.Timestamp { return media.Timestamp(time.Since(s.created)) }

// SetLive says that the publisher is connected and its media is on the way. Until then the name is only reserved.
func (s *Source) SetLive() {
	s.liveOnce.Do(func() {
		s.liveAt.Store(max(int64(s.Now()), 1))
		close(s.live)
	})
}

// SetEnding says that the publisher has left, and that only what it sent before is still to come.
func (s *Source) SetEnding() { s.ending.Store(true) }

// LiveFor returns for how long the publisher has been connected, 0 if it is not yet.
func (s *Source) LiveFor() time.Duration {
	at := s.liveAt.Load()
	if at == 0 {
		return 0
	}
	return s.Now().Sub(media.Timestamp(at))
}

// Live is closed once the publisher is connected.
func (s *Source) Live() <-chan struct{} { return s.live }

// IsLive says whether the publisher is connected.
func (s *Source) IsLive() bool { return s.liveAt.Load() != 0 }

// Done is closed when the stream has ended.
func (s *Source) Done() <-chan struct{} { return s.done }

// Err returns why the stream ended, nil while it lives.
func (s *Source) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// RequestKeyFrame asks the publisher for a key frame: now, or as soon as the least gap between two requests allows. Many
// calls become one request.
func (s *Source) RequestKeyFrame() { s.keys.want(time.Now()) }

// Close ends the stream for a cause: the name is free, readers get what is queued for them and then the cause, renditions
// are stopped and joined. The first call's cause counts.
func (s *Source) Close(cause error) {
	if cause == nil {
		cause = ErrClosed
	}
	s.mu.Lock()
	if s.err != nil {
		s.mu.Unlock()
		return
	}
	s.err = cause
	renditions := s.renditions
	s.renditions = nil
	s.mu.Unlock()

	s.hub.remove(s)
	close(s.done)
	s.Video.close(cause)
	s.Audio.close(cause)
	for _, r := range renditions {
		r.stop(cause)
	}
}

// rendition is a feed made from a source, with the goroutine that makes it.
type rendition struct {
	feed   *Feed
	cancel context.CancelCauseFunc
	done   chan struct{}
	users  int // guarded by the source's mu
}

// stop ends the rendition's goroutine and waits for it.
func (r *rendition) stop(cause error) {
	r.cancel(cause)
	<-r.done
}

// Rendition returns the feed that run makes, one for all users of the same key: the first call starts run in a goroutine,
// and the last release stops and joins it. run reads the source, writes to out and returns when ctx ends, when what it
// reads ends, or when it fails; readers of the feed then get why. ask is called for each key frame that a reader of the feed
// wants, from any goroutine; it must not block, and is nil for sound. A release may be called once.
func (s *Source) Rendition(key string, ask func(), run func(ctx context.Context, out *Feed) error) (feed *Feed, release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, nil, s.err
	}
	r := s.renditions[key]
	if r == nil {
		// The source is the owner and joins the goroutine, whichever caller happened to be first.
		ctx, cancel := context.WithCancelCause(context.Background())
		r = &rendition{feed: newFeed(s), cancel: cancel, done: make(chan struct{})}
		r.feed.ask = ask
		s.renditions[key] = r
		go func() {
			defer close(r.done)
			r.feed.close(run(ctx, r.feed))
		}()
	}
	r.users++
	return r.feed, func() { s.release(key, r) }, nil
}

func (s *Source) release(key string, r *rendition) {
	s.mu.Lock()
	r.users--
	last := r.users == 0
	if last && s.renditions[key] == r {
		delete(s.renditions, key)
	}
	s.mu.Unlock()
	if last {
		r.stop(ErrClosed)
	}
}

// SourceStats are a source's figures at one moment.
type SourceStats struct {
	Video, Audio FeedStats
	Live         bool
	KeyRequests  int64 // key frames asked for
}

// Stats returns the source's figures.
func (s *Source) Stats() SourceStats {
	return SourceStats{Video: s.Video.Stats(), Audio: s.Audio.Stats(), Live: s.IsLive(), KeyRequests: s.keys.asked.Load()}
}
