package wcs

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"transponder/internal/panics"
	"transponder/internal/rtc"
	"transponder/internal/stream"
	"transponder/internal/transponder"
)

// publisher is one stream that a session publishes.
type publisher struct {
	notifier
	req   mediaRequest
	media Publication
	log   *slog.Logger

	cancel context.CancelCauseFunc

	audioMuted, videoMuted atomic.Bool // as the page said

	told chan struct{} // closed once the terminal status was sent
}

// startPublisher makes the stream, answers the offer, and starts a goroutine for the rest. Offers are answered one after another:
// when a page stops a stream and publishes it again, the name is free.
func (s *session) startPublisher(ctx context.Context, req mediaRequest) error {
	id := string(req.MediaSessionID)
	if err := s.checkPublish(req); err != nil {
		return err
	}
	if err := s.streams.reserve(id); err != nil {
		return err
	}
	var p *publisher
	defer func() {
		if p == nil {
			s.streams.dropPublisher(id)
		}
	}()
	media, err := s.publish(ctx, req)
	if err != nil {
		return err
	}
	req.SDP = "" // read, and too big to keep
	life, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	p = &publisher{
		notifier: notifier{s: s, id: id},
		req:      req,
		media:    media,
		log:      s.log.With("stream", string(req.Name)),
		cancel:   cancel,
		told:     make(chan struct{}),
	}
	s.streams.addPublisher(p)
	s.srv.participants.addPublisher(p)
	s.srv.count.publishers.Add(1)
	p.log.Info("stream answered", "id", id, "transport", media.Source().Info().Transport)
	p.send("setRemoteSDP", id, media.Answer(), true)
	if !s.streams.start(func() { p.run(life) }) { // the session ended meanwhile
		p.end(errDisconnected)
		p.run(life)
	}
	return nil
}

func (s *session) publish(ctx context.Context, req mediaRequest) (Publication, error) {
	transport := "UDP"
	if strings.EqualFold(string(req.Transport), "TCP") {
		transport = "TCP"
	}
	ctx, cancel := context.WithTimeout(ctx, s.srv.cfg.AnswerTimeout)
	defer cancel()
	return s.srv.parts.Publish(ctx, rtc.Offer{SDP: string(req.SDP), TCP: transport == "TCP"}, stream.Info{
		Name:      string(req.Name),
		ID:        string(req.MediaSessionID),
		SessionID: s.id,
		AppKey:    s.appKey(),
		Provider:  webRTC,
		Transport: transport,
		Publisher: stream.Publisher{Address: s.address()},
	})
}

// checkPublish returns what is wrong with a request, as far as that is known before the offer is read.
func (s *session) checkPublish(req mediaRequest) error {
	if err := checkMedia(req); err != nil {
		return err
	}
	if s.srv.participants.player(string(req.MediaSessionID)) != nil {
		return stream.ErrIDInUse
	}
	return nil
}

// maxID is the longest media session id, in bytes; those of the SDK have 36.
const maxID = 255

// checkMedia returns what is wrong with a request, whether to publish or to play.
func checkMedia(req mediaRequest) error {
	switch {
	case req.MediaSessionID == "":
		return errNullID
	case len(req.MediaSessionID) > maxID:
		return errBadID
	case req.MediaProvider != "" && req.MediaProvider != webRTC:
		return rtc.ErrNoCommonCodecs
	}
	return nil
}

// run runs the stream until it ends, and tells the page.
func (p *publisher) run(ctx context.Context) {
	defer p.cancel(nil)
	err := panics.Err // unless it is replaced below
	p.s.safely(func() { err = p.follow(ctx) })
	if ctx.Err() != nil {
		err = errDisconnected // this is the cause, even if the media failed first
	}
	p.s.safely(func() { p.finish(ctx, err) })
}

// follow runs the media and announces it, and returns why the media ended.
func (p *publisher) follow(ctx context.Context) error {
	announcing, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { p.s.safely(func() { p.announceLive(announcing) }) })
	return p.media.Run(ctx)
}

// announceLive waits until the publisher is connected. Then it says PUBLISHING, starts the push that the page asked for, and sends
// the bit rate once a second.
func (p *publisher) announceLive(ctx context.Context) {
	src := p.media.Source()
	select {
	case <-src.Live():
	case <-src.Done():
		return
	case <-ctx.Done():
		return
	}
	p.s.srv.count.published.Add(1)
	p.log.Info("stream published")
	p.announce(p.describe, publishing)
	var wg sync.WaitGroup
	defer wg.Wait()
	if p.req.RTMPURL != "" {
		wg.Go(func() { p.s.safely(func() { p.push(ctx) }) })
	}
	p.tellRate(ctx)
}

// tellRate tells the page how much video arrives here. The page compares that with what it has sent.
func (p *publisher) tellRate(ctx context.Context) {
	src := p.media.Source()
	if !src.HasVideo() {
		return
	}
	m := rateMeter{bytes: src.Video.Stats().Bytes, at: time.Now()}
	everySecond(ctx, func(now time.Time) {
		p.sendRate("inboundVideoRate", m.rate(now, src.Video.Stats().Bytes))
	})
}

// push starts the push to rtmpUrl.
func (p *publisher) push(ctx context.Context) {
	req := transponder.Request{StreamName: string(p.req.Name), URL: string(p.req.RTMPURL)}
	info, err := p.s.srv.parts.Pusher.Start(ctx, req)
	switch {
	case err == nil:
		p.log.Debug("push asked for", "push", info.ID)
	case ctx.Err() != nil, p.media.Source().Err() != nil: // the stream ended meanwhile
	case errors.Is(err, transponder.ErrDuplicate): // the stream is pushed there already
	default:
		p.pushFailed(err.Error())
	}
}

// pushFailed tells the page that its push failed, or ends the stream if the settings say so. The words are those of package
// transponder, which holds no secrets in its errors.
func (p *publisher) pushFailed(words string) {
	p.log.Warn("push of rtmpUrl failed", "err", words)
	if p.s.srv.cfg.FailWithPush {
		p.stop(errPushFailed)
		return
	}
	p.event("pushFailed", reason{words})
}

// mute notes that the page has muted or unmuted a track.
func (p *publisher) mute(kind string) {
	switch kind {
	case audioMuted, audioUnmuted:
		p.audioMuted.Store(kind == audioMuted)
	case videoMuted, videoUnmuted:
		p.videoMuted.Store(kind == videoMuted)
	}
}

// stop ends the stream. The name is free when stop returns; the terminal status follows when the media has ended.
func (p *publisher) stop(cause error) { p.media.Source().Close(cause) }

// end is stop for a session that has ended.
func (p *publisher) end(cause error) {
	p.stop(cause)
	p.cancel(cause)
}

// finish sends the terminal status. The name and the id are free before: a page may publish again as soon as it has the status.
// The players are told after it.
func (p *publisher) finish(ctx context.Context, cause error) {
	defer p.s.srv.participants.dropPublisher(p) // only now: players find there the publisher to wait for
	defer close(p.told)
	p.media.Source().Close(cause) // already closed, unless Run panicked
	status, info := outcome(cause)
	last := p.describe(status, info)
	p.s.streams.dropPublisher(p.id)

	p.s.srv.count.publishers.Add(-1)
	level := slog.LevelInfo
	if status == failed && !errors.Is(cause, errDisconnected) {
		p.s.srv.count.publishFailed.Add(1)
		level = slog.LevelWarn
	}
	p.notifier.finish(last)
	p.log.Log(ctx, level, "stream ended", "status", status, "err", cause)
}

func (p *publisher) announceAgain() { p.notifier.announceAgain(p.describe, publishing) }

// describe returns the stream object as it is now.
func (p *publisher) describe(status, info string) streamInfo {
	src := p.media.Source()
	si, st := src.Info(), src.Stats()
	d := p.s.describe(p.req, status, info).ofPublisher()
	d.HasVideo, d.HasAudio = si.HasVideo, si.HasAudio
	d.Transport = si.Transport
	d.CreateDate = src.Created().UnixMilli()
	d.AudioState.Muted, d.VideoState.Muted = p.audioMuted.Load(), p.videoMuted.Load()
	d.use(st.Video.Track, st.Audio.Track)
	return d
}
