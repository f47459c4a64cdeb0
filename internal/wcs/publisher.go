package wcs

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"transponder/internal/rtc"
	"transponder/internal/stream"
	"transponder/internal/transponder"
)

// publisher is one stream that a session publishes.
type publisher struct {
	s     *session
	req   mediaRequest
	media Publication
	log   *slog.Logger

	audioMuted, videoMuted atomic.Bool // as the page said

	mu    sync.Mutex
	ended bool // guarded by mu; the terminal status was sent, and nothing may follow it
}

// startPublisher makes the stream, answers the offer and leaves the rest to a goroutine. Offers are answered one after
// another, so that a page that stops a stream and publishes it again finds its name free.
func (s *session) startPublisher(life context.Context, req mediaRequest) error {
	if err := s.checkPublish(req); err != nil {
		return err
	}
	transport := "UDP"
	if strings.EqualFold(string(req.Transport), "TCP") {
		transport = "TCP"
	}
	ctx, cancel := context.WithTimeout(life, s.srv.cfg.AnswerTimeout)
	defer cancel()
	media, err := s.srv.publish(ctx, rtc.Offer{SDP: string(req.SDP), TCP: transport == "TCP"}, stream.Info{
		Name:      string(req.Name),
		ID:        string(req.MediaSessionID),
		SessionID: s.id,
		AppKey:    s.appKey(),
		Provider:  webRTC,
		Transport: transport,
	})
	if err != nil {
		return err
	}
	req.SDP, req.Transport = "", "" // read, and too big to keep
	p := &publisher{s: s, req: req, media: media, log: s.log.With("stream", string(req.Name))}
	s.mu.Lock()
	s.publishers[string(req.MediaSessionID)] = p
	s.mu.Unlock()
	s.srv.count.publishers.Add(1)
	p.log.Info("stream answered", "id", string(req.MediaSessionID), "transport", transport)
	s.send("setRemoteSDP", string(req.MediaSessionID), media.Answer(), true)
	s.wg.Go(func() { p.run(life) })
	return nil
}

// maxID is the most bytes of a media session id; the SDK's have 36.
const maxID = 255

// checkPublish refuses what need not be tried.
func (s *session) checkPublish(req mediaRequest) error {
	s.mu.Lock()
	n, inUse := len(s.publishers), s.publishers[string(req.MediaSessionID)] != nil
	s.mu.Unlock()
	switch {
	case req.MediaSessionID == "":
		return errNullID
	case len(req.MediaSessionID) > maxID:
		return errBadID
	case inUse: // also while it ends, until its status has been sent
		return stream.ErrIDInUse
	case n >= s.srv.cfg.MaxPublishers:
		return errTooMany
	case req.MediaProvider != "" && req.MediaProvider != webRTC:
		return rtc.ErrNoCommonCodecs
	}
	return nil
}

// run lives as long as the stream and tells the page how it goes.
func (p *publisher) run(ctx context.Context) {
	err := errPanic // unless it is replaced below
	p.s.guard(func() { err = p.follow(ctx) })
	if ctx.Err() != nil {
		err = errDisconnected // whatever the media noticed first
	}
	p.s.guard(func() { p.finish(ctx, err) })
}

// follow runs the media and announces it, and returns why the media ended.
func (p *publisher) follow(ctx context.Context) error {
	announcing, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { p.s.guard(func() { p.announce(announcing) }) })
	return p.media.Run(ctx)
}

// announce waits for the media, says PUBLISHING and starts the push that was asked for.
func (p *publisher) announce(ctx context.Context) {
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
	p.send("notifyStreamStatusEvent", p.describe(publishing, ""))
	if p.req.RTMPURL != "" {
		p.push(ctx)
	}
}

// push starts the push to rtmpUrl.
func (p *publisher) push(ctx context.Context) {
	info, err := p.s.srv.pusher.Start(ctx, transponder.Request{StreamName: string(p.req.Name), URL: string(p.req.RTMPURL)})
	switch {
	case err == nil:
		p.log.Debug("push asked for", "push", info.ID)
	case ctx.Err() != nil, p.media.Source().Err() != nil: // the stream ended meanwhile
	case errors.Is(err, transponder.ErrDuplicate): // somebody was quicker; the stream goes where it should
	default:
		p.pushFailed(err.Error())
	}
}

// pushFailed tells the page that its push came to nothing, or ends the stream if the settings say so. The words hold no
// secrets, as everything that package transponder says.
func (p *publisher) pushFailed(words string) {
	p.log.Warn("push of rtmpUrl failed", "err", words)
	if p.s.srv.cfg.FailWithPush {
		p.stop(errPushFailed)
		return
	}
	p.send("notifyStreamEvent", streamEvent{string(p.req.MediaSessionID), "pushFailed", reason{words}})
}

// stop ends the stream: its name is free when stop returns. The status follows when the media is gone.
func (p *publisher) stop(cause error) { p.media.Source().Close(cause) }

// send sends a message about the stream, unless its last one was sent.
func (p *publisher) send(name string, data ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		p.s.send(name, data...)
	}
}

// finish sends the terminal status, after the name and the id have become free for whoever waits for it.
func (p *publisher) finish(ctx context.Context, cause error) {
	p.media.Source().Close(cause) // done already, unless Run broke down
	status, info := outcome(cause)
	last := p.describe(status, info)
	p.s.forget(p)

	p.s.srv.count.publishers.Add(-1)
	level := slog.LevelInfo
	if status == failed && !errors.Is(cause, errDisconnected) {
		p.s.srv.count.publishFailed.Add(1)
		level = slog.LevelWarn
	}

	p.mu.Lock()
	p.ended = true
	p.s.send("notifyStreamStatusEvent", last)
	p.mu.Unlock()
	p.log.Log(ctx, level, "stream ended", "status", status, "err", cause)
}

// describe is the stream object at this moment.
func (p *publisher) describe(status, info string) streamInfo {
	src := p.media.Source()
	si, st := src.Info(), src.Stats()
	d := p.s.describe(p.req, status, info).ofPublisher()
	d.HasVideo, d.HasAudio = si.HasVideo, si.HasAudio
	d.Transport = si.Transport
	d.CreateDate = src.Created().UnixMilli()
	d.AudioState.Muted, d.VideoState.Muted = p.audioMuted.Load(), p.videoMuted.Load()
	if t := st.Video.Track; t != nil {
		d.VideoCodec, d.Width, d.Height = t.Codec.String(), t.Width, t.Height
	}
	if t := st.Audio.Track; t != nil {
		d.AudioCodec = t.Codec.String()
	}
	return d
}

// publisher returns the session's stream of that id, nil if there is none.
func (s *session) publisher(id string) *publisher {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.publishers[id]
}

// pushing returns the session's stream of that name if it asked for a push to that URL.
func (s *session) pushing(name, url string) *publisher {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.publishers {
		if string(p.req.Name) == name && string(p.req.RTMPURL) == url {
			return p
		}
	}
	return nil
}

func (s *session) forget(p *publisher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.publishers, string(p.req.MediaSessionID))
}

// endPublishers frees the names of all streams of a session that is over. Their goroutines end by themselves.
func (s *session) endPublishers() {
	s.mu.Lock()
	all := make([]*publisher, 0, len(s.publishers))
	for _, p := range s.publishers {
		all = append(all, p)
	}
	s.mu.Unlock()
	for _, p := range all {
		p.stop(errDisconnected)
	}
}

// appKey is the application that the browser named.
func (s *session) appKey() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == nil {
		return ""
	}
	return cmp.Or(string(s.client.AppKey), "defaultApp")
}
