package wcs

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"transponder/internal/access"
	"transponder/internal/hook"
	"transponder/internal/media"
	"transponder/internal/panics"
	"transponder/internal/rtc"
	"transponder/internal/stream"
)

// player is one stream that a session plays.
type player struct {
	notifier
	req     mediaRequest // as the page sent it, but without the SDP
	name    string       // of the stream: it may differ from the name in req, which is all that the page knows
	who     caller
	lease   *access.Lease                 // of the token that the page gave for this stream; nil: it gave none
	src     atomic.Pointer[stream.Source] // plays now; participants change it
	created time.Time
	log     *slog.Logger

	release func() // gives back the place of the principal

	cancel  context.CancelCauseFunc
	tellEnd func() // tells the backend once that the page has ended the player

	rateBPS  atomic.Int64 // of the video sent
	stats    atomic.Pointer[rtc.PlayStats]
	playback atomic.Pointer[Playback] // nil while the offer is not answered
}

// Player describes one player. Its fields are those of rest.Player.
type Player struct {
	ID                     string // media session id
	Name                   string // of the stream
	SessionID              string
	AppKey                 string
	Provider               string       // always "WebRTC"
	Transport              string       // "UDP", "TCP"
	Playing                bool         // the page was told so
	HasVideo, HasAudio     bool         // of the stream
	AudioMuted, VideoMuted bool         // by the publisher
	Video, Audio           *media.Track // as they are sent; nil before the first frame
	VideoRateBPS           int64
	Created                time.Time
}

// Players returns all players, oldest first.
func (s *Server) Players() []Player {
	var all []Player
	for _, p := range s.participants.allPlayers() {
		all = append(all, p.player())
	}
	slices.SortFunc(all, func(a, b Player) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	return all
}

// StopPlayer ends the player with the id, and says whether there was one.
func (s *Server) StopPlayer(id string) bool {
	p := s.participants.player(id)
	if p != nil {
		p.stop(stream.ErrTerminated)
	}
	return p != nil
}

// Muted says which tracks of a stream the page of its publisher has muted.
func (s *Server) Muted(src *stream.Source) (audio, video bool) {
	if p := s.participants.publisher(src); p != nil {
		return p.audioMuted.Load(), p.videoMuted.Load()
	}
	return false, false
}

// startPlayer begins to play a stream, if the page may play it.
func (s *session) startPlayer(ctx context.Context, req mediaRequest) {
	a := &asking{id: string(req.MediaSessionID)}
	refused := func(err error) { s.refusePlay(a, req, err) }
	if err := checkMedia(req); err != nil {
		refused(err)
		return
	}
	s.askFor(ctx, a, req.Custom, func(ctx context.Context) error { return s.admitPlayer(ctx, a, req) }, refused)
}

// admitPlayer decides whether the page may play the stream. If so, it looks up the stream, and starts a goroutine for the rest.
func (s *session) admitPlayer(ctx context.Context, a *asking, req mediaRequest) error {
	who, err := s.identify(ctx, req.Custom)
	if err != nil {
		return err
	}
	name := string(req.Name)
	if err := s.may(who, access.Play, access.Object{Stream: name}); err != nil {
		return err
	}
	asked, err := s.askBackend(ctx, a, hook.PlayStream, req, name)
	if err != nil {
		return err
	}
	if asked.Name != name {
		name = asked.Name
		if err := s.may(who, access.Play, access.Object{Stream: name}); err != nil {
			return err
		}
	}
	src, err := s.toPlay(name, a.id)
	if err != nil {
		return err
	}
	release, err := s.srv.access.Take(who.principal, access.Play)
	if err != nil {
		return err
	}
	offer := rtc.Offer{SDP: string(req.SDP), TCP: req.transport() == "TCP"}
	req.SDP, req.Custom = "", nil // too big to keep
	life, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	p := &player{
		notifier: notifier{s: s, id: a.id},
		req:      req,
		name:     name,
		who:      who,
		lease:    s.holdOwn(who),
		created:  time.Now(),
		log:      s.log.With("stream", name, "player", a.id),
		release:  release,
		cancel:   cancel,
	}
	p.src.Store(src)
	p.tellEnd = sync.OnceFunc(func() { s.hook.Tell(hook.StopStream, p.forHook(playing, ""), nil) })
	if err := s.streams.addPlayer(p, &s.srv.participants, func() { p.run(life, offer) }); err != nil {
		cancel(nil)
		p.lease.Release()
		release()
		return err
	}
	if errors.Is(context.Cause(ctx), errStopped) { // the page has stopped it meanwhile
		p.stop(errStopped)
	}
	return nil
}

// toPlay returns the stream with the name, or why it cannot be played.
func (s *session) toPlay(name, id string) (*stream.Source, error) {
	if strings.Contains(name, "://") {
		return nil, errBadURI
	}
	src, found := s.srv.parts.Streams.Source(name)
	switch {
	case !found:
		return nil, errNoStream
	case s.srv.parts.Play == nil:
		return nil, errNoPlaying
	}
	if _, taken := s.srv.parts.Streams.SourceByID(id); taken {
		return nil, stream.ErrIDInUse
	}
	return src, nil
}

// run plays until the end, and tells the page.
func (p *player) run(ctx context.Context, offer rtc.Offer) {
	defer p.cancel(nil)
	err := panics.Err // unless it is replaced below
	p.s.safely(func() { err = p.play(ctx, offer) })
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx) // this is the cause, even if the media failed first
	case errors.Is(err, rtc.ErrSourceEnded), errors.Is(err, errPublisherGone):
		err = errPublisherGone // the page would take the cause of the publisher's end for that of the player's
		p.awaitPublisher(ctx)
	}
	p.s.safely(func() { p.finish(ctx, err) })
}

// play waits for the stream, answers the offer and runs the media. It returns why the media ended.
func (p *player) play(ctx context.Context, offer rtc.Offer) error {
	if err := p.awaitLive(ctx); err != nil {
		return err
	}
	playback, err := p.answer(ctx, offer)
	if err != nil {
		return err
	}
	playback.Follow(p.s.srv.parts.Streams, func(next *stream.Source) { p.s.srv.participants.movePlayer(p, next) })
	p.playback.Store(&playback)
	p.log.Info("player answered")
	p.send("setRemoteSDP", p.id, playback.Answer(), true)

	announcing, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { p.s.safely(func() { p.announcePlaying(announcing, playback) }) })
	if p.lease != nil {
		wg.Go(func() { untilOver(announcing, p.lease, p.stop) })
	}
	return playback.Run(ctx)
}

// awaitLive waits for the publisher of the stream to connect.
func (p *player) awaitLive(ctx context.Context) error {
	late := time.NewTimer(p.s.srv.cfg.ReadyTimeout)
	defer late.Stop()
	select {
	case <-p.src.Load().Live():
		return nil
	case <-p.src.Load().Done():
		return errPublisherGone
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-late.C:
		return errNotReady
	}
}

func (p *player) answer(ctx context.Context, offer rtc.Offer) (Playback, error) {
	ctx, cancel := context.WithTimeout(ctx, p.s.srv.cfg.AnswerTimeout)
	defer cancel()
	playback, err := p.s.srv.parts.Play(ctx, offer, p.src.Load())
	if err != nil && p.src.Load().Err() != nil {
		return nil, errPublisherGone
	}
	return playback, err
}

// announcePlaying says PLAYING as soon as the media is connected: the page has applied the answer by then, and no picture has come
// yet. After that it tells the page the bit rate and the size of the pictures.
func (p *player) announcePlaying(ctx context.Context, playback Playback) {
	select {
	case <-playback.Connected():
	case <-ctx.Done():
		return
	}
	first := playback.Stats()
	p.stats.Store(&first)
	p.s.srv.count.played.Add(1)
	p.s.srv.count.players.Add(1)
	defer p.s.srv.count.players.Add(-1)
	p.log.Info("stream played")
	p.announce(p.describe, playing)
	p.s.tellBackend(p.describe(playing, ""), p.name, p.stop)
	unkeep := p.s.hook.KeepAlive(func() hook.Stream { return p.forHook(playing, "") }, p.stop)
	defer unkeep()

	m := rateMeter{bytes: first.VideoBytes, at: time.Now()}
	var size resize
	everySecond(ctx, func(now time.Time) {
		st := playback.Stats()
		p.stats.Store(&st)
		if p.src.Load().HasVideo() {
			p.rateBPS.Store(m.rate(now, st.VideoBytes))
			p.sendRate("outboundVideoRate", p.rateBPS.Load())
		}
		if next := sizeOf(st.Video); next != size && next != (resize{}) {
			size = next
			p.event("resize", size)
		}
	})
}

// resize is the payload of the event "resize". The SDK learns the size of the pictures from it, so the first size is sent, too.
type resize struct {
	Width  int `json:"streamerVideoWidth"`
	Height int `json:"streamerVideoHeight"`
}

func sizeOf(t *media.Track) resize {
	if t == nil {
		return resize{}
	}
	return resize{t.Width, t.Height}
}

// awaitPublisher waits until the publisher was told that its stream has ended. The players are told after it.
func (p *player) awaitPublisher(ctx context.Context) {
	if pub := p.s.srv.participants.publisher(p.src.Load()); pub != nil {
		select {
		case <-pub.told:
		case <-ctx.Done():
		}
	}
}

// stop ends the player. The goroutine of the player sends the status.
func (p *player) stop(cause error) { p.cancel(cause) }

// finish sends the terminal status. The id is free before.
func (p *player) finish(ctx context.Context, cause error) {
	status, info := outcomeOfPlay(cause)
	last := p.describe(status, info)
	p.lease.Release()
	p.release()
	p.s.srv.participants.dropPlayer(p)
	p.s.streams.dropPlayer(p)

	level := slog.LevelInfo
	if status == failed && !errors.Is(cause, errDisconnected) && !errors.Is(cause, errPublisherGone) && !isRefusal(cause) {
		p.s.srv.count.playFailed.Add(1)
		level = slog.LevelWarn
	}
	if endedByPage(cause) {
		p.tellEnd()
	}
	p.notifier.finish(last)
	p.s.tellBackend(last, p.name, nil)
	p.log.Log(ctx, level, "player ended", "status", status, "err", cause)
}

// forHook returns the stream as the backend of the app knows it.
func (p *player) forHook(status, info string) hook.Stream {
	return p.describe(status, info).forHook(p.name)
}

func (p *player) announceAgain() { p.notifier.announceAgain(p.describe, playing) }

// describe returns the stream object as it is now.
func (p *player) describe(status, info string) streamInfo {
	si := p.src.Load().Info()
	d := p.s.describe(p.req, status, info)
	d.HasVideo, d.HasAudio = si.HasVideo, si.HasAudio
	d.Transport = p.req.transport()
	d.CreateDate = p.created.UnixMilli()
	d.AudioState.Muted, d.VideoState.Muted = p.s.srv.Muted(p.src.Load())
	if st := p.stats.Load(); st != nil {
		d.use(st.Video, st.Audio)
	}
	return d
}

// player describes the player to other doors.
func (p *player) player() Player {
	si := p.src.Load().Info()
	v := Player{
		ID:           p.id,
		Name:         p.name,
		SessionID:    p.s.id,
		AppKey:       p.s.appKey(),
		Provider:     webRTC,
		Transport:    p.req.transport(),
		Playing:      p.announced.Load(),
		HasVideo:     si.HasVideo,
		HasAudio:     si.HasAudio,
		VideoRateBPS: p.rateBPS.Load(),
		Created:      p.created,
	}
	v.AudioMuted, v.VideoMuted = p.s.srv.Muted(p.src.Load())
	if st := p.stats.Load(); st != nil {
		v.Video, v.Audio = st.Video, st.Audio
	}
	return v
}
