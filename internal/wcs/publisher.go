package wcs

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"transponder/internal/access"
	"transponder/internal/hook"
	"transponder/internal/panics"
	"transponder/internal/rtc"
	"transponder/internal/stream"
	"transponder/internal/trace"
	"transponder/internal/transponder"
)

// publisher is one stream that a session publishes.
type publisher struct {
	notifier
	req  mediaRequest // as the page sent it, but without the SDP
	name string       // of the stream: it may differ from the name in req, which is all that the page knows
	who  caller

	pushURL string        // the page, or the backend of its app, wants a push there; "": none
	lease   *access.Lease // of the token that the page gave for this stream; nil: it gave none
	media   Publication
	log     *slog.Logger

	release func() // gives back the place of the principal

	cancel context.CancelCauseFunc

	audioMuted, videoMuted atomic.Bool // as the page said

	told    chan struct{} // closed once the terminal status was sent
	tellEnd func()        // tells the backend once that the page has ended the stream
}

// startPublisher begins a stream, if the page may publish it.
func (s *session) startPublisher(ctx context.Context, req mediaRequest) {
	a := &asking{id: string(req.MediaSessionID), publishes: true}
	steps := s.srv.parts.Tracer.Steps(ctx, "publish", "answer")
	steps.Set("transponder.door", "websocket")
	steps.Set("transponder.stream", short(string(req.Name)))
	steps.Set("transponder.session", s.id)
	refused := func(err error) {
		steps.End(err)
		s.refusePublish(a, req, err)
	}
	if err := s.checkPublish(req); err != nil {
		refused(err)
		return
	}
	s.askFor(ctx, a, req.Custom, func(ctx context.Context) error { return s.admitPublisher(ctx, a, req, steps) }, refused)
}

// admitPublisher decides whether the page may publish. If so, it makes the stream, answers the offer, and starts a goroutine for the rest.
func (s *session) admitPublisher(ctx context.Context, a *asking, req mediaRequest, steps *trace.Steps) error {
	who, err := s.identify(ctx, req.Custom)
	if err != nil {
		return err
	}
	name := nameFor(who.principal, string(req.Name))
	if err := s.may(who, access.Publish, access.Object{Stream: name}); err != nil {
		return err
	}
	if err := a.reserve(name); err != nil {
		return err
	}
	asked, err := s.askBackend(ctx, a, hook.PublishStream, req, name)
	if err != nil {
		return err
	}
	// A push that is refused later would be lost without a word. What the backend has set needs no grant of the page.
	if asked.RTMPURL != "" && asked.RTMPURL == string(req.RTMPURL) {
		if err := s.may(who, access.Push, transponder.PushObject(name, asked.RTMPURL)); err != nil {
			return err
		}
	}
	if asked.Name != name { // a backend gives out what its app has, and no more
		name = asked.Name
		if err := s.may(who, access.Publish, access.Object{Stream: name}); err != nil {
			return err
		}
		if err := a.reserve(name); err != nil {
			return err
		}
	}
	if s.hook.HasBackend() {
		req.Record, req.Bitrate = flag(asked.Record), number(asked.Bitrate)
		req.MinBitrate, req.MaxBitrate = number(asked.MinBitrate), number(asked.MaxBitrate)
	}
	release, err := s.srv.access.Take(who.principal, access.Publish)
	if err != nil {
		return err
	}
	media, err := s.publish(ctx, req, name, who, steps)
	if err != nil {
		release()
		return err
	}
	req.SDP, req.Custom = "", nil // read, and too big to keep
	life, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	p := &publisher{
		notifier: notifier{s: s, id: a.id},
		req:      req,
		name:     name,
		pushURL:  asked.RTMPURL,
		who:      who,
		lease:    s.holdOwn(who),
		media:    media,
		log:      steps.Log(s.log.With("stream", name)),
		release:  release,
		cancel:   cancel,
		told:     make(chan struct{}),
	}
	p.tellEnd = sync.OnceFunc(func() { s.hook.Tell(hook.UnPublishStream, p.forHook(publishing, ""), nil) })
	s.streams.addPublisher(p)
	s.srv.participants.addPublisher(p)
	s.srv.count.publishers.Add(1)
	p.log.Info("stream answered", "id", p.id, "principal", who.principal.String(), "transport", media.Source().Info().Transport)
	p.send("setRemoteSDP", p.id, media.Answer(), true)
	if errors.Is(context.Cause(ctx), errStopped) { // the page has stopped it while the offer was being answered
		p.stop(errStopped)
	}
	if !s.streams.start(func() { p.run(life) }) { // the session ended meanwhile
		p.end(errDisconnected)
		p.run(life)
	}
	return nil
}

// nameFor returns the name of the stream that a principal publishes. A stored key has a name of its own.
func nameFor(p *access.Principal, name string) string {
	if p != nil && p.Stream != "" {
		return p.Stream
	}
	return name
}

// holdOwn returns the lease of a token that the page gave for one stream, nil if it gave none: the lease of the session counts then.
func (s *session) holdOwn(who caller) *access.Lease {
	if !who.own {
		return nil
	}
	return s.srv.access.Hold(who.principal)
}

func (s *session) publish(ctx context.Context, req mediaRequest, name string, who caller, steps *trace.Steps) (Publication, error) {
	transport := req.transport()
	ctx, cancel := context.WithTimeout(ctx, s.srv.cfg.AnswerTimeout)
	defer cancel()
	return s.srv.parts.Publish(ctx, rtc.Offer{SDP: string(req.SDP), TCP: transport == "TCP"}, stream.Info{
		Name:      name,
		ID:        string(req.MediaSessionID),
		SessionID: s.id,
		AppKey:    s.appKey(),
		Provider:  webRTC,
		Transport: transport,
		Publisher: s.publisher(name, who),
		Steps:     steps,
	})
}

// publisher describes who publishes the stream.
func (s *session) publisher(name string, who caller) stream.Publisher {
	p := stream.Publisher{Address: s.address(), Identity: who.principal.Identity(), Replace: who.principal.MayTakeOver(name)}
	if who.principal != nil {
		p.MaxRateBPS = int64(who.principal.Limits.BitrateKbps) * 1000
	}
	return p
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
	case len(req.Custom) > maxCustom:
		return errBadCustom
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
		err = context.Cause(ctx) // this is the cause, even if the media failed first
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
	if p.lease != nil {
		wg.Go(func() { untilOver(announcing, p.lease, p.end) })
	}
	return p.media.Run(ctx)
}

// untilOver calls end with the reason if the lease is over before ctx ends.
func untilOver(ctx context.Context, l *access.Lease, end func(error)) {
	select {
	case <-l.Done():
		end(l.Err())
	case <-ctx.Done():
	}
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
	p.s.tellBackend(p.describe(publishing, ""), p.name, p.stop)
	unkeep := p.s.hook.KeepAlive(func() hook.Stream { return p.forHook(publishing, "") }, p.stop)
	defer unkeep()
	var wg sync.WaitGroup
	defer wg.Wait()
	if p.pushURL != "" {
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
	req := transponder.Request{StreamName: p.name, URL: p.pushURL, By: p.who.principal, Via: transponder.ViaSDK}
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

// end is stop for a session that has ended, or a token that is no longer valid.
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
	p.lease.Release()
	p.release()
	status, info := outcome(cause)
	last := p.describe(status, info)
	last.Reason = reasonOf(cause)
	p.s.streams.dropPublisher(p.id)

	p.s.srv.count.publishers.Add(-1)
	level := slog.LevelInfo
	if status == failed && !errors.Is(cause, errDisconnected) && !isRefusal(cause) {
		p.s.srv.count.publishFailed.Add(1)
		level = slog.LevelWarn
	}
	if endedByPage(cause) {
		p.tellEnd()
	}
	p.notifier.finish(last)
	p.s.tellBackend(last, p.name, nil)
	p.log.Log(ctx, level, "stream ended", "status", status, "err", cause)
}

// forHook returns the stream as the backend of the app knows it.
func (p *publisher) forHook(status, info string) hook.Stream {
	return p.describe(status, info).forHook(p.name)
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
