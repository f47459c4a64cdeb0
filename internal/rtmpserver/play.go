package rtmpserver

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"transponder/internal/flv"
	"transponder/internal/media"
	"transponder/internal/rtmp"
	"transponder/internal/stream"
)

// findPause is how often a waiting player's stream is looked for in the hub: so often that its first key frame is not missed.
const findPause = 10 * time.Millisecond

// encoderName is what our metadata call us.
const encoderName = "Transponder"

var (
	errNotFound = errors.New("no such stream")
	errPlayed   = errors.New("the played stream has ended")
)

// play serves a stream until it or the player ends. It returns rtmp.ErrStreamClosed if the client may ask for another.
func (c *session) play(ctx context.Context, name string) error {
	c.srv.counters.players.Add(1)
	defer c.srv.counters.players.Add(-1)
	c.net.patience(0) // a player has nothing to say; a dead one is found by writing
	ctx, cancel := context.WithCancelCause(ctx)
	p := &player{session: c, resumed: make(chan struct{}, 1)}

	var wg sync.WaitGroup
	wg.Go(func() {
		err := c.guard(p.readCommands)
		cancel(err)
		if !errors.Is(err, rtmp.ErrStreamClosed) && !errors.Is(err, os.ErrDeadlineExceeded) {
			c.net.Close() // lets a blocked write go
		}
	})
	err := c.guard(func() error { return p.serve(ctx, name) })
	if ctx.Err() != nil {
		err = context.Cause(ctx) // the reading goroutine ended first and said why
	} else {
		c.net.interrupt() // lets the reading goroutine go
	}
	wg.Wait()
	return err
}

// player sends a stream to one client.
type player struct {
	session *session
	resumed chan struct{} // holds a token when a pause is over
	paused  atomic.Bool

	sender sender // owned by serve
}

// readCommands follows the player's pauses until it or the connection ends, and returns why.
func (p *player) readCommands() error {
	for {
		paused, err := p.session.conn.ReadPause()
		if err != nil {
			return err
		}
		if p.paused.Swap(paused) && !paused {
			select {
			case p.resumed <- struct{}{}:
			default:
			}
		}
	}
}

// serve waits for the stream and sends it.
func (p *player) serve(ctx context.Context, name string) error {
	c := p.session
	src, err := c.srv.await(ctx, name)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		return c.refuse("NetStream.Play.StreamNotFound", "no such stream", err)
	}
	if t := src.Video.Track(); t != nil && t.Codec != media.H264 {
		return c.refuseCodec(fmt.Errorf("%w: %s", flv.ErrUnsupported, t.Codec))
	}
	audio, release := c.audioFeed(src)
	defer release()
	cfg := stream.ReaderConfig{Audio: audio}
	if src.Info().HasVideo {
		cfg.Video = src.Video
	}
	p.sender = sender{from: cfg}
	r := src.NewReader(cfg)
	defer r.Close()
	if err := c.conn.Start(); err != nil {
		return err
	}
	c.log.Info("rtmp play live", "stream", name)
	err = p.send(ctx, r)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	st := r.Stats()
	c.srv.counters.slow.Add(st.Drops)
	c.srv.counters.drops.Add(st.DroppedFrames)
	c.log.Info("rtmp play ended", "stream", name, "err", err, "dropped", st.DroppedFrames)
	return err
}

// refuseCodec tells a player that the stream's codec is none that RTMP has.
func (c *session) refuseCodec(err error) error {
	return c.refuse("NetStream.Play.NoSupportedTrackFound", err.Error(), err)
}

// audioFeed returns the feed of the stream's sound as AAC, nil if there is none and none can be made.
func (c *session) audioFeed(src *stream.Source) (feed *stream.Feed, release func()) {
	feed, release, err := c.srv.audio.AAC(src)
	if err == nil {
		return feed, release
	}
	if t := src.Audio.Track(); t != nil && t.Codec == media.AAC {
		return src.Audio, func() {}
	}
	c.log.Warn("rtmp play without sound", "stream", src.Info().Name, "err", err)
	return nil, func() {}
}

// await returns the stream of that name once it is live. Names appear at the pace of people, so looking is enough.
func (s *Server) await(ctx context.Context, name string) (*stream.Source, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.cfg.PlayWait, errNotFound)
	defer cancel()
	for {
		if src, ok := s.hub.Source(name); ok {
			select {
			case <-src.Live():
				return src, nil
			case <-src.Done():
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
		if err := pause(ctx, findPause); err != nil {
			return nil, err
		}
	}
}

// send passes frames on until the source or ctx ends.
func (p *player) send(ctx context.Context, r *stream.Reader) error {
	var frames [64]media.Frame
	for {
		n, err := r.Read(ctx, frames[:])
		if err != nil {
			if ctx.Err() == nil {
				_ = p.session.conn.EndPlay() // the connection is closed in any case
				return fmt.Errorf("%w: %w", errPlayed, err)
			}
			return err
		}
		if p.paused.Load() {
			continue
		}
		select {
		case <-p.resumed:
			r.Restart()
			continue
		default:
		}
		tags, err := p.sender.tags(frames[:n])
		if err != nil {
			return p.session.refuseCodec(err)
		}
		if err := p.session.conn.WriteTags(tags); err != nil {
			return err
		}
	}
}

// videoWait is how much sound passes before a stream is held to have no pictures.
const videoWait = time.Second

// sender turns frames into a player's tags. Time begins at 0 with the first key frame, or with the first sound of a
// stream without pictures, and only grows.
type sender struct {
	from stream.ReaderConfig

	started    bool
	soundSince media.Timestamp // first sound that came while waiting for pictures
	heard      bool
	base       media.Timestamp // time 0

	video, audio     *media.Track // last announced
	videoMS, audioMS int64        // last sent
	buf              []flv.Tag
}

// tags returns the tags of frames, valid until the next call.
func (s *sender) tags(frames []media.Frame) ([]flv.Tag, error) {
	s.buf = s.buf[:0]
	for _, f := range frames {
		if !s.started && !s.start(f) {
			continue
		}
		if f.Time < s.base {
			continue // sound from before the first picture
		}
		if err := s.add(f); err != nil {
			return nil, err
		}
	}
	return s.buf, nil
}

// start begins with f if it can be the first frame, and announces what the stream holds as far as that is known.
func (s *sender) start(f media.Frame) bool {
	if f.Kind() == media.Audio && s.from.Video != nil {
		if !s.heard {
			s.heard, s.soundSince = true, f.Time
		}
		if s.from.Video.Track() != nil || f.Time.Sub(s.soundSince) < videoWait {
			return false
		}
	}
	s.started, s.base = true, f.Time
	s.videoMS, s.audioMS = -1, -1
	m := flv.Metadata{Encoder: encoderName}
	if s.from.Video != nil {
		st := s.from.Video.Stats()
		m.Video, m.FrameRate = st.Track, math.Round(st.FPS)
	}
	if s.from.Audio != nil {
		m.Audio = s.from.Audio.Track()
	}
	s.buf = append(s.buf, flv.PlayerMetadataTag(m))
	return true
}

// add appends a frame's tag, with its track's configuration before it where that is new.
func (s *sender) add(f media.Frame) error {
	track, last := &s.video, &s.videoMS
	if f.Kind() == media.Audio {
		track, last = &s.audio, &s.audioMS
	}
	ms := max(f.Time.Sub(s.base).Milliseconds(), *last+1)
	if f.Track != *track {
		if tag, ok := flv.ConfigTag(f.Track, ms); ok {
			s.buf = append(s.buf, tag)
		}
		*track = f.Track
	}
	tag, err := flv.FrameTag(f, ms)
	if err != nil {
		return err
	}
	s.buf = append(s.buf, tag)
	*last = ms
	return nil
}
