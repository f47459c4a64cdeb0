package rtmpserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"transponder/internal/access"
	"transponder/internal/flv"
	"transponder/internal/hook"
	"transponder/internal/load"
	"transponder/internal/media"
	"transponder/internal/rtmp"
	"transponder/internal/stream"
)

var (
	errNotFound = errors.New("no such stream")
	errPlayed   = errors.New("the played stream has ended")
)

// play sends a stream until the stream or the player ends. It returns rtmp.ErrStreamClosed if the client may ask for another stream.
func (c *session) play(ctx context.Context, r request) error {
	who, err := c.admit(ctx, access.Play, r)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return c.turnAway(rtmp.Play, err)
	}
	leave, err := c.srv.parts.Access.Take(who.who, access.Play)
	if err != nil {
		return c.turnAway(rtmp.Play, err)
	}
	defer leave()
	told, err := c.ask(ctx, access.Play, &who, stream.NewID(), r.key)
	if err != nil {
		return c.turnAway(rtmp.Play, err)
	}
	c.admitted()
	lease := c.srv.parts.Access.Hold(who.who)
	defer lease.Release()
	c.srv.counters.players.Add(1)
	defer c.srv.counters.players.Add(-1)
	c.net.patience(0) // a player need not send anything; a write finds out that a player is gone
	ctx, cancel := context.WithCancelCause(ctx)
	p := &player{session: c, resumed: make(chan struct{}, 1), told: told}
	p.mux = flv.Muxer{Metadata: flv.PlayerMetadataTag, Allowed: c.allowed}

	var wg sync.WaitGroup
	wg.Go(func() {
		err := c.safely(p.readCommands)
		cancel(err)
		if !errors.Is(err, rtmp.ErrStreamClosed) && !errors.Is(err, os.ErrDeadlineExceeded) {
			c.net.Close() // ends a blocked write
		}
	})
	wg.Go(func() {
		select {
		case <-lease.Done():
			cancel(fmt.Errorf("%w: %w", errPlayed, lease.Err()))
			c.net.hurry()
		case <-ctx.Done():
		}
	})
	p.end = func(err error) { cancel(fmt.Errorf("%w: %w", errPlayed, err)) }
	err = c.safely(func() error { return p.serve(ctx, who.name) })
	if ctx.Err() != nil {
		err = context.Cause(ctx) // the reading goroutine has ended first, or the lease, and knows why
	}
	c.tellStop(told, err)
	var refused *hook.Refused
	if errors.Is(err, access.ErrExpired) || errors.Is(err, access.ErrRevoked) || errors.As(err, &refused) {
		_ = c.safely(c.conn.EndPlay) // on an error, too, the connection is closed next
	}
	cancel(nil)
	c.net.interrupt() // ends the reading goroutine
	wg.Wait()
	return err
}

// player sends a stream to one client.
type player struct {
	session *session
	resumed chan struct{} // holds a token when a pause is over
	told    hook.Stream   // what the backend is told of the stream
	end     func(error)   // ends the playing because the backend demands that
	paused  atomic.Bool

	mux  flv.Muxer // owned by serve
	tags []flv.Tag // owned by serve
	sent time.Time // when frames were sent last; owned by serve
}

// readCommands reads the pauses of the player until the playing or the connection ends, and returns why.
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
		return c.refuse("NetStream.Play.StreamNotFound", err.Error(), err) // there is no such stream, or there can be none
	}
	if err := c.srv.parts.Gate.Admit(load.Player); err != nil {
		return c.refuse("NetStream.Play.Failed", err.Error(), err)
	}
	if err := c.takes(src); err != nil {
		return err
	}
	if err := c.conn.Start(); err != nil {
		return err
	}
	c.log.Info("rtmp play live", "stream", name)
	c.tell(p.told, hook.StatusPlaying, nil, p.end)
	stop := c.keepAlive(p.told, hook.StatusPlaying, p.end)
	defer stop()
	for {
		err := p.show(ctx, src)
		if ctx.Err() != nil || !errors.Is(err, errPlayed) {
			return err
		}
		next, noNext := c.srv.next(ctx, name)
		if noNext != nil {
			_ = c.conn.EndPlay() // on an error, too, the connection is closed next
			return err
		}
		if err := c.takes(next); err != nil {
			return err
		}
		c.log.Info("rtmp play goes on", "stream", name, "err", err)
		src = next
	}
}

// show sends a source until the source or ctx ends.
func (p *player) show(ctx context.Context, src *stream.Source) error {
	c := p.session
	audio, release := c.audioFeed(src)
	defer release()
	cfg := stream.ReaderConfig{Audio: audio}
	if src.HasVideo() {
		cfg.Video = src.Video
	}
	r := src.NewReader(cfg)
	defer r.Close()
	p.aim(cfg)
	err := p.send(ctx, r)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	st := r.Stats()
	c.srv.counters.slow.Add(st.Drops)
	c.srv.counters.drops.Add(st.DroppedFrames)
	c.log.Info("rtmp play ended", "stream", src.Info().Name, "err", err, "dropped", st.DroppedFrames)
	return err
}

// next returns the stream that has the name after another stream of that name has ended: of its spare publisher, or of one that has taken over
// the name.
func (s *Server) next(ctx context.Context, name string) (*stream.Source, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.cfg.PlayWait, errNotFound)
	defer cancel()
	return live(ctx, func() (*stream.Source, error) {
		if src, ok := s.find(ctx, name); ok {
			return src, nil
		}
		return nil, errNotFound
	})
}

// allowed reports whether the client has offered to take the codec by Enhanced RTMP.
func (c *session) allowed(codec media.Codec) bool {
	fourCC := flv.FourCC(codec)
	return fourCC != "" && c.who.Offers(fourCC)
}

// takes checks that the client takes the pictures of a source.
func (c *session) takes(src *stream.Source) error {
	if t := src.Video.Track(); t != nil && t.Codec != media.H264 && !c.allowed(t.Codec) {
		return c.refuseCodec(fmt.Errorf("%w: %s", flv.ErrUnsupported, t.Codec))
	}
	return nil
}

// refuseCodec tells a player that RTMP does not have the codec of the stream, or that the player has not offered to take it.
func (c *session) refuseCodec(err error) error {
	return c.refuse("NetStream.Play.NoSupportedTrackFound", err.Error(), err)
}

// audioFeed returns a feed of the sound as AAC. It is nil if the stream has none and none can be made.
func (c *session) audioFeed(src *stream.Source) (feed *stream.Feed, release func()) {
	feed, release, err := c.srv.parts.Audio.Feed(src, media.AudioFormat{Codec: media.AAC})
	if err == nil {
		return feed, release
	}
	if t := src.Audio.Track(); t != nil && t.Codec == media.AAC {
		return src.Audio, func() {}
	}
	c.log.Warn("rtmp play without sound", "stream", src.Info().Name, "err", err)
	return nil, func() {}
}

// await waits until a stream with the name is live.
func (s *Server) await(ctx context.Context, name string) (*stream.Source, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.cfg.PlayWait, errNotFound)
	defer cancel()
	s.find(ctx, name) // brings a stream of another server into the hub
	return live(ctx, func() (*stream.Source, error) { return s.parts.Hub.Await(ctx, name) })
}

// find returns the stream with the name, also one that another server has.
func (s *Server) find(ctx context.Context, name string) (*stream.Source, bool) {
	if s.parts.Relays != nil {
		return s.parts.Relays.Find(ctx, name)
	}
	return s.parts.Hub.Source(name)
}

// live waits until the stream that find returns is live. If the stream ends before, find is called again.
func live(ctx context.Context, find func() (*stream.Source, error)) (*stream.Source, error) {
	for {
		src, err := find()
		if err != nil {
			return nil, err
		}
		select {
		case <-src.Live():
			return src, nil
		case <-src.Done(): // its publisher never connected
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// send sends frames until the source or ctx ends.
func (p *player) send(ctx context.Context, r *stream.Reader) error {
	var frames [64]media.Frame
	begun := false
	for {
		n, err := r.Read(ctx, frames[:])
		if err != nil {
			if ctx.Err() == nil {
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
		if !begun {
			p.mux.GoOn(time.Since(p.sent).Milliseconds())
			begun = true
		}
		p.tags = p.tags[:0]
		for _, f := range frames[:n] {
			if p.tags, err = p.mux.Append(p.tags, f); err != nil {
				return p.session.refuseCodec(err)
			}
		}
		if err := p.session.conn.WriteTags(p.tags); err != nil {
			return err
		}
		p.sent = time.Now()
	}
}

// How much sound is held back until the first picture: pictureWait if the stream has pictures, videoWait if it may have none.
const (
	pictureWait = 15 * time.Second // longer than the usual key frame intervals of encoders
	videoWait   = time.Second
)

// aim makes the muxer send a source.
func (p *player) aim(from stream.ReaderConfig) {
	m := &p.mux
	m.FrameRate, m.Announced, m.WaitVideoMS = func() float64 { return 0 }, nil, 0
	if v := from.Video; v != nil {
		m.FrameRate = func() float64 { return v.Stats().FrameRate }
		m.Announced = v.Announced
		m.WaitVideoMS = videoWait.Milliseconds()
		if v.Track() != nil {
			m.WaitVideoMS = pictureWait.Milliseconds()
		}
	}
}
