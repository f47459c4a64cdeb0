package stream

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"transponder/internal/media"
	"transponder/internal/trace"
)

// ErrClosed is the cause if a source or reader was closed by its owner without another cause.
var ErrClosed = errors.New("stream closed")

// ErrTerminated is the cause if somebody asked the server to end the source.
var ErrTerminated = errors.New("terminated by request")

// Info tells who publishes a source and how. It does not change.
type Info struct {
	Name      string
	Title     string // what people call the publisher, such as the name that a phone shows; "": Name
	ID        string // media session id: the browser's own, or made by the door
	SessionID string // of the connection that publishes, for lists of streams
	AppKey    string
	Provider  string      // "WebRTC", "WHIP", "RTMP", "SIP", or ProviderRelay
	Transport string      // "UDP", "TCP"
	Push      string      // if the stream is the output of a push of this server: its id; else ""
	Trail     [8][16]byte // of an RTMP publisher: an rtmp.Trail
	Publisher Publisher

	HasVideo, HasAudio bool // the publisher said that it would send these

	// Steps is the trace of the publisher's beginning, with its present step. The hub ends it with the first key frame, with the first sound if the
	// publisher sends no pictures, or with the source. nil: nobody watches.
	Steps *trace.Steps

	// AskKeyFrame asks the publisher for a key frame. It must not block. nil: the publisher cannot be asked.
	AskKeyFrame func()
}

// ProviderRelay is the provider of a stream that another server of the cluster sends here, so that it can be played here.
const ProviderRelay = "RELAY"

// IsRelay says whether the stream belongs to another server of the cluster. Such a stream gives way to a publisher, is pushed by the other
// server only, and is in no list.
func (i Info) IsRelay() bool { return i.Provider == ProviderRelay }

// Source is one live stream. Its publisher writes to Video and Audio and closes the source; everybody else reads.
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
	spare    bool        // it began as the spare of another source; set before others see it

	noVideo, noAudio atomic.Bool // see NoVideo

	speed speed // owned by Hub.Run

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
	s.Video.onKey, s.Video.ask = s.keyFrameCame, s.RequestKeyFrame
	return s
}

// Info returns the Info with which the source was published.
func (s *Source) Info() Info { return s.info }

// Created returns when the name was taken. The clock of the stream was zero then.
func (s *Source) Created() time.Time { return s.created }

// Now returns the time on the clock of the stream.
func (s *Source) Now() media.Timestamp { return media.Timestamp(time.Since(s.created)) }

// lastStep of the publisher's trace is the wait for media. A phone's first packet may hold the whole key frame: the step takes no time then.
const lastStep = "first key frame"

// SetLive notes that the publisher is connected and its media is on the way. Before, the name is only reserved.
func (s *Source) SetLive() {
	s.liveOnce.Do(func() {
		s.liveAt.Store(max(int64(s.Now()), 1))
		s.info.Steps.Next(lastStep)
		close(s.live)
	})
}

// SetEnding notes that the publisher has left, and that only frames which it sent before are still to come.
func (s *Source) SetEnding() { s.ending.Store(true) }

// NoVideo notes that the publisher will send no pictures after all: a phone that was called has refused them, for example. Nobody waits for
// pictures then, or misses them. If some come all the same, they are taken.
func (s *Source) NoVideo() {
	s.noVideo.Store(true)
	s.Video.unexpect()
}

// NoAudio is NoVideo for sound.
func (s *Source) NoAudio() {
	s.noAudio.Store(true)
	s.Audio.unexpect()
}

// HasVideo reports whether the publisher said that it would send pictures, and has not taken that back.
func (s *Source) HasVideo() bool { return s.info.HasVideo && !s.noVideo.Load() }

// HasAudio reports whether the publisher said that it would send sound, and has not taken that back.
func (s *Source) HasAudio() bool { return s.info.HasAudio && !s.noAudio.Load() }

// LiveFor returns how long the publisher has been connected, 0 if it is not connected yet.
func (s *Source) LiveFor() time.Duration {
	at := s.liveAt.Load()
	if at == 0 {
		return 0
	}
	return s.Now().Sub(media.Timestamp(at))
}

// Quiet returns for how long the publisher has sent nothing: since its last frame, or, before the first one, since the name was taken.
func (s *Source) Quiet(now time.Time) time.Duration { return now.Sub(s.LastMedia()) }

// Live is closed once the publisher is connected.
func (s *Source) Live() <-chan struct{} { return s.live }

// IsLive reports whether the publisher has connected. It stays true after the end of the stream.
func (s *Source) IsLive() bool { return s.liveAt.Load() != 0 }

// Done is closed when the stream has ended.
func (s *Source) Done() <-chan struct{} { return s.done }

// Err returns the cause of the end of the stream, nil before the end.
func (s *Source) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// keyFrameCame is called for each key frame of the publisher.
func (s *Source) keyFrameCame(now time.Time) {
	s.keys.came(now)
	s.info.Steps.Finish(lastStep)
}

// RequestKeyFrame asks the publisher for a key frame: now, or as soon as Config.KeyFrameGap allows. Many calls become one request.
func (s *Source) RequestKeyFrame() { s.keys.want(time.Now()) }

// Close ends the stream for a cause. The name becomes free, readers get their queued frames and then the cause, and renditions are stopped
// and joined. Only the first call has an effect.
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

	if s.Audio.Stats().Frames > 0 { // it said that it would send pictures, but sent only sound
		s.info.Steps.Finish(lastStep)
	}
	s.info.Steps.End(cause)
	s.hub.remove(s)
	close(s.done)
	s.Video.close(cause)
	s.Audio.close(cause)
	for _, r := range renditions {
		r.stop(cause)
	}
}

// rendition is a feed made from a source, with the goroutine that makes the feed.
type rendition struct {
	feed   *Feed
	cancel context.CancelCauseFunc
	done   chan struct{}
	users  int // guarded by Source.mu
}

// stop ends the goroutine of the rendition and waits for it.
func (r *rendition) stop(cause error) {
	r.cancel(cause)
	<-r.done
}

// Rendition returns the feed that run makes. All users of one key share the feed: the first call starts run in a goroutine, and the last
// release stops and joins it. Each user calls release once.
//
// run reads the source and writes to out. It returns when ctx ends, when the source ends, or when it fails; its error is the cause that
// readers of the feed get. ask is called, from any goroutine, for each key frame that a reader of the feed wants. It must not block, and is
// nil for sound.
func (s *Source) Rendition(key string, ask func(), run func(ctx context.Context, out *Feed) error) (feed *Feed, release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, nil, s.err
	}
	r := s.renditions[key]
	if r == nil {
		// The goroutine outlives its first caller. The source owns it and joins it.
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

// SourceStats are the figures of a source at one moment.
type SourceStats struct {
	Video, Audio FeedStats
	Live         bool
	KeyRequests  int64 // key frames asked for
}

// Stats returns the figures of the source.
func (s *Source) Stats() SourceStats {
	return SourceStats{Video: s.Video.Stats(), Audio: s.Audio.Stats(), Live: s.IsLive(), KeyRequests: s.keys.asked.Load()}
}
