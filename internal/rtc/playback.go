package rtc

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/opus"

	"transponder/internal/load"
	"transponder/internal/media"
	"transponder/internal/stream"
)

// ErrSourceEnded means that what was played has ended. Why, the source's own error says, which is wrapped too.
var ErrSourceEnded = errors.New("the stream has ended")

// Sender answers the offers of those who play. All methods may be called from any goroutine.
type Sender interface {
	// Send starts a session for an offer to receive, and returns it with the complete answer. streamID names what is sent: the client
	// plays tracks of one stream together. ctx bounds the making of the answer only.
	Send(ctx context.Context, offer *ParsedOffer, streamID string, events SendEvents) (Outlet, string, error)
}

// SendEvents hears of a session that sends. Its methods may be called from any goroutine, and must not block.
type SendEvents interface {
	// Connected says that DTLS is done.
	Connected()
	// WantsKeyFrame says that the peer lost its picture.
	WantsKeyFrame()
	// Closed is the last call, once; cause is one of this package's errors, or context.Canceled after Outlet.Close.
	Closed(cause error)
}

// Outlet is a session that sends. Write and Report are for one goroutine.
type Outlet interface {
	// Write sends packets of one RTP time. With last, the frame is whole.
	Write(kind media.Kind, payloads [][]byte, rtpTime uint32, last bool) error
	// Report sends a sender report: the wall clock, and the RTP time that belongs to it.
	Report(kind media.Kind, wall time.Time, rtpTime uint32)
	Stats() PlayStats
	AddCandidate(candidate string) error
	// Close ends the session and waits until the events will not be called again.
	Close() error
}

// PlayStats are a playback's figures at one moment.
type PlayStats struct {
	Packets, Bytes int64 // of RTP sent, retransmissions apart
	VideoBytes     int64
	NACKed         int64 // packets that the peer asked for once more
	PLIs           int64 // key frames that it asked for
	Lost           int64 // packets that it said it never got

	Video, Audio *media.Track // that are sent; nil before the first frame
	Dropped      int64        // frames, as the session was too slow
}

// EgressConfig says how streams are played.
type EgressConfig struct {
	// ConnectTimeout bounds the time from the answer to the end of the DTLS handshake.
	ConnectTimeout time.Duration
	// TrackTimeout bounds the wait for a stream's first frames, without which it is not known what it sends.
	TrackTimeout time.Duration
	// MaxPlayers is how many may play at a time; 0: any number.
	MaxPlayers int
}

// DefaultEgressConfig waits as long as for publishers.
func DefaultEgressConfig() EgressConfig {
	return EgressConfig{ConnectTimeout: 12 * time.Second, TrackTimeout: 2 * time.Second}
}

// Validate reports every value that cannot work.
func (c EgressConfig) Validate() error {
	if c.ConnectTimeout <= 0 || c.TrackTimeout < 0 || c.MaxPlayers < 0 {
		return fmt.Errorf("connect timeout %v, track timeout %v, %d players: none of them may be negative, and the first not 0",
			c.ConnectTimeout, c.TrackTimeout, c.MaxPlayers)
	}
	return nil
}

// TranscodeFunc returns a feed in a codec that is made of a source, and what gives it back.
type TranscodeFunc func(*stream.Source, media.Codec) (feed *stream.Feed, release func(), err error)

// EgressParts are the parts of the server that an Egress works with.
type EgressParts struct {
	Sender    Sender
	Transcode TranscodeFunc // makes Opus of other sound, and H.264 or VP8 of pictures that a browser does not take
	Gate      *load.Gate    // decides whether the machine has room for another player; nil: it always has
}

// Egress plays streams of the hub to peers. It is what the doors use. All methods may be called from any goroutine.
type Egress struct {
	cfg   EgressConfig
	parts EgressParts
	log   *slog.Logger

	players atomic.Int64
}

// NewEgress makes an egress for a valid configuration.
func NewEgress(cfg EgressConfig, parts EgressParts, log *slog.Logger) *Egress {
	return &Egress{cfg: cfg, parts: parts, log: log}
}

// Players returns how many play at present.
func (e *Egress) Players() int { return int(e.players.Load()) }

// Play answers an offer with what the source sends, not yet connected; the caller calls Run. It fails with ErrBadOffer,
// ErrNoCommonCodecs, load.ErrFull, or an error of those who make what the source does not send.
func (e *Egress) Play(ctx context.Context, offer Offer, src *stream.Source) (*Playback, error) {
	if err := e.enter(); err != nil {
		return nil, err
	}
	p := &Playback{
		e: e, src: src, playing: src, awayChanged: make(chan struct{}),
		connected: make(chan struct{}), closed: make(chan error, 1), began: time.Now(),
	}
	if err := p.start(ctx, offer); err != nil {
		p.release()
		return nil, err
	}
	return p, nil
}

// enter counts one more player, where there is room.
func (e *Egress) enter() error {
	n := e.players.Add(1)
	err := e.parts.Gate.Admit(load.Player)
	if e.cfg.MaxPlayers > 0 && n > int64(e.cfg.MaxPlayers) {
		err = fmt.Errorf("%w: it takes %d players", load.ErrFull, e.cfg.MaxPlayers)
	}
	if err != nil {
		e.players.Add(-1)
	}
	return err
}

// Sources finds the streams that are live, as stream.Hub does.
type Sources interface {
	Source(name string) (*stream.Source, bool)
	// Added is closed when the next name is taken.
	Added() <-chan struct{}
}

// Playback is one peer who plays.
type Playback struct {
	e      *Egress
	src    *stream.Source // the first, whose clock is that of what is sent
	outlet Outlet

	sources Sources       // where the publisher is looked for when it has left; nil: the end of the stream is the end
	hold    time.Duration // how long it is waited for
	answer  string
	began   time.Time

	// What plays at present, owned by Run once it is called.
	playing      *stream.Source
	shift        time.Duration // of the playing source's clock to the first's
	joined       bool          // a frame of the playing source was sent
	video, audio *sendTrack    // nil: not sent
	feeds        []func()      // that give back what was made
	reader       *stream.Reader

	awayMu      sync.Mutex
	away        bool          // guarded by awayMu: the publisher is waited for
	awayChanged chan struct{} // guarded by awayMu; closed when away changes

	connected chan struct{}
	closed    chan error                  // gets one value: why the session ended
	shown     atomic.Pointer[stream.Feed] // of the pictures
	seen      atomic.Pointer[[2]*media.Track]
	dropped   atomic.Int64
}

// sendTrack is one track on its way out.
type sendTrack struct {
	kind  media.Kind
	codec media.Codec
	feed  *stream.Feed
	cut   packetizer
	clock *stopwatch
}

// sendEvents takes a playback's.
type sendEvents struct{ p *Playback }

func (e sendEvents) Connected() { close(e.p.connected) }

func (e sendEvents) WantsKeyFrame() {
	if feed := e.p.shown.Load(); feed != nil {
		feed.RequestKeyFrame()
	}
}

func (e sendEvents) Closed(cause error) { e.p.closed <- ended(cause) }

// start chooses what is sent and answers.
func (p *Playback) start(ctx context.Context, offer Offer) error {
	parsed, err := p.choose(ctx, offer)
	if err != nil {
		return err
	}
	streamID, err := p.open(parsed)
	if err != nil {
		return err
	}
	if parsed.Unbundled {
		p.outlet, p.answer, err = sendUnbundled(ctx, p.e.parts.Sender, parsed, streamID, sendEvents{p})
	} else {
		p.outlet, p.answer, err = p.e.parts.Sender.Send(ctx, parsed, streamID, sendEvents{p})
	}
	return err
}

// choose reads the offer for what the source sends, or else for what can be made of it.
func (p *Playback) choose(ctx context.Context, offer Offer) (*ParsedOffer, error) {
	video, audio := p.tracks(ctx)
	if video == nil && audio == nil {
		return nil, fmt.Errorf("%w: the stream has neither sound nor pictures", ErrNoCommonCodecs)
	}
	var tracks []*media.Track
	if video != nil {
		if newPacketizer(video.Codec) != nil {
			tracks = append(tracks, video)
		}
		for _, codec := range madePictures {
			if video.Codec != codec {
				tracks = append(tracks, &media.Track{Codec: codec})
			}
		}
	}
	if audio != nil {
		tracks = append(tracks, &media.Track{Codec: media.Opus})
	}
	return offer.parsePlay(tracks)
}

// madePictures are the codecs that pictures are made into. Browsers must have both (RFC 7742, 5); some have but the second until
// they have fetched the first.
var madePictures = []media.Codec{media.H264, media.VP8}

// tracks waits for the source's first frames, within bounds: a stream that has been live for that long has shown what it has. What is
// not known then is taken for what browsers send.
func (p *Playback) tracks(ctx context.Context) (video, audio *media.Track) {
	limit := time.NewTimer(max(0, p.e.cfg.TrackTimeout-p.src.LiveFor()))
	defer limit.Stop()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	info := p.src.Info()
	for late := false; ; {
		video, audio = p.src.Video.Track(), p.src.Audio.Track()
		if (video != nil || !info.HasVideo) && (audio != nil || !info.HasAudio) {
			return video, audio
		}
		if late {
			break
		}
		select {
		case <-again.C:
		case <-limit.C:
			late = true
		case <-ctx.Done():
			late = true
		case <-p.src.Done():
			late = true
		}
	}
	if video == nil && info.HasVideo {
		video = &media.Track{Codec: media.H264}
	}
	if audio == nil && info.HasAudio {
		audio = &media.Track{Codec: media.Opus}
	}
	return video, audio
}

// open gets a feed for each section that is used. It returns the stream's id for the answer.
func (p *Playback) open(offer *ParsedOffer) (streamID string, err error) {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	for i, s := range offer.Used() {
		origin := binary.BigEndian.Uint32(random[4*(i%2):])
		t := &sendTrack{kind: s.Kind, codec: s.Codec, cut: newPacketizer(s.Codec), clock: newStopwatch(s.Codec.ClockRate(), s.Kind == media.Audio, origin)}
		if err := p.feed(t); err != nil {
			return "", err
		}
		if s.Kind == media.Video {
			p.video = t
		} else {
			p.audio = t
		}
	}
	return fmt.Sprintf("%x", random), nil
}

// release gives back what was made, and the player's place.
func (p *Playback) release() {
	p.releaseFeeds()
	p.e.players.Add(-1)
}

func (p *Playback) releaseFeeds() {
	for _, f := range p.feeds {
		f()
	}
	p.feeds = nil
}

// Hold has the playback wait for so long, when its source has ended, for a publisher that takes the name again; then it goes on with
// that one's stream. It is called before Run.
func (p *Playback) Hold(sources Sources, limit time.Duration) { p.sources, p.hold = sources, limit }

// Away says whether the publisher has left and is waited for, and returns a channel that is closed when that changes.
func (p *Playback) Away() (away bool, changed <-chan struct{}) {
	p.awayMu.Lock()
	defer p.awayMu.Unlock()
	return p.away, p.awayChanged
}

func (p *Playback) setAway(away bool) {
	p.awayMu.Lock()
	defer p.awayMu.Unlock()
	if p.away != away {
		p.away = away
		close(p.awayChanged)
		p.awayChanged = make(chan struct{})
	}
}

// holds says whether the end of the source is not the end.
func (p *Playback) holds() bool { return p.sources != nil && p.hold > 0 }

// Answer returns the SDP answer, all candidates included.
func (p *Playback) Answer() string { return p.answer }

// Connected is closed when DTLS is connected, before the first packet is sent.
func (p *Playback) Connected() <-chan struct{} { return p.connected }

// AddCandidate gives the session a candidate of the peer that the offer did not have yet.
func (p *Playback) AddCandidate(candidate string) error { return p.outlet.AddCandidate(candidate) }

// Stats returns the playback's figures.
func (p *Playback) Stats() PlayStats {
	st := p.outlet.Stats()
	st.Dropped = p.dropped.Load()
	if seen := p.seen.Load(); seen != nil {
		st.Video, st.Audio = seen[0], seen[1]
	}
	return st
}

// Run lives as long as the playback: until the peer goes (one of this package's errors), the source ends (ErrSourceEnded) and, after
// Hold, does not return, or ctx ends (its cause). The session is joined when it returns. It must be called, once.
func (p *Playback) Run(ctx context.Context) error {
	defer p.release()
	cause := p.run(ctx)
	if err := p.outlet.Close(); err != nil {
		p.e.log.Debug("session closed badly", "stream", p.src.Info().Name, "err", err)
	}
	return cause
}

func (p *Playback) run(ctx context.Context) error {
	connect := time.NewTimer(p.e.cfg.ConnectTimeout)
	defer connect.Stop()
	gone := p.src.Done()
	if p.holds() {
		gone = nil
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-gone:
		return fmt.Errorf("%w: %w", ErrSourceEnded, p.src.Err())
	case err := <-p.closed:
		return err
	case <-connect.C:
		return ErrICETimeout
	case <-p.connected:
	}
	for {
		err := p.play(ctx)
		if !errors.Is(err, ErrSourceEnded) || !p.holds() {
			return err
		}
		p.setAway(true)
		next, err := p.await(ctx, err)
		if err != nil {
			return err
		}
		if err := p.join(next); err != nil && next.Err() == nil { // else play will say that it has ended
			return err
		}
	}
}

// await waits for the source of a publisher that returns; ended is what is returned when none did in time.
func (p *Playback) await(ctx context.Context, ended error) (*stream.Source, error) {
	p.releaseFeeds()
	limit := time.NewTimer(p.hold)
	defer limit.Stop()
	for {
		added := p.sources.Added()
		if next, ok := p.sources.Source(p.src.Info().Name); ok && next != p.playing {
			return next, nil
		}
		select {
		case <-added:
		case <-limit.C:
			return nil, ended
		case err := <-p.closed:
			return nil, err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// join goes on with another source, in the codecs that were agreed on. What is not known of it yet is taken for what it was, until
// its first frame tells.
func (p *Playback) join(next *stream.Source) error {
	p.playing, p.shift, p.joined = next, next.Created().Sub(p.src.Created()), false
	for _, t := range []*sendTrack{p.video, p.audio} {
		if t == nil {
			continue
		}
		if err := p.feed(t); err != nil {
			return err
		}
	}
	p.e.log.Info("playback goes on with another publisher", "stream", p.src.Info().Name)
	return nil
}

// feed gives a track what it sends of the playing source: the source's own, or what is made of it if that is of another codec.
func (p *Playback) feed(t *sendTrack) error {
	t.feed = p.playing.Video
	if t.kind == media.Audio {
		t.feed = p.playing.Audio
	}
	if now := t.feed.Track(); now != nil && now.Codec != t.codec {
		feed, release, err := p.e.parts.Transcode(p.playing, t.codec)
		if err != nil {
			return err
		}
		t.feed = feed
		p.feeds = append(p.feeds, release)
	}
	if t.kind == media.Video {
		p.shown.Store(t.feed)
	}
	return nil
}

// play sends what comes.
func (p *Playback) play(ctx context.Context) error {
	cfg := stream.ReaderConfig{MaxDuration: time.Second}
	if p.video != nil {
		cfg.Video = p.video.feed
	}
	if p.audio != nil {
		cfg.Audio = p.audio.feed
	}
	p.reader = p.playing.NewReader(cfg)
	defer p.reader.Close()
	report := time.NewTicker(time.Second)
	defer report.Stop()
	frames := make([]media.Frame, 16)
	for {
		n, err := p.reader.TryRead(frames)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrSourceEnded, err)
		}
		for _, f := range frames[:n] {
			if err := p.send(f); err != nil {
				return err
			}
		}
		clear(frames[:n])
		if n > 0 {
			continue
		}
		select {
		case <-p.reader.Arrived():
		case <-report.C:
			p.report(p.video)
			p.report(p.audio)
		case err := <-p.closed:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// send sends one frame.
func (p *Playback) send(f media.Frame) error {
	t := p.audio
	long := int64(0)
	if f.Kind() == media.Video {
		t = p.video
	} else if f.Track.Codec == media.Opus {
		long = opus.PacketDuration2(f.Data)
	}
	if t == nil {
		return nil
	}
	if f.Track.Codec != t.codec || f.Kind() == media.Video && f.Delay != 0 && t.feed == p.playing.Video {
		return p.instead(f, t)
	}
	p.see(f)
	first := !t.clock.begun
	at := t.clock.at(p.timeOf(f.Time.Add(f.Delay)), long)
	if err := p.write(t, t.cut.payloads(f), at); err != nil {
		return err
	}
	if first { // so that sound and picture are together from the beginning
		p.report(t)
	}
	return nil
}

// seam is the least time between what was sent of one source and what is sent of the next.
const seam = 20 * time.Millisecond

// timeOf returns a time of the playing source on the clock of what is sent. A publisher that takes over at once, or whose clock is
// slow, does not go back behind what its predecessor sent.
func (p *Playback) timeOf(t media.Timestamp) media.Timestamp {
	if !p.joined {
		p.joined = true
		p.setAway(false)
		for _, track := range []*sendTrack{p.video, p.audio} {
			if track != nil && track.clock.begun {
				p.shift += max(0, track.clock.last.Add(seam).Sub(t.Add(p.shift)))
			}
		}
	}
	return t.Add(p.shift)
}

const (
	// burst is how many packets are sent at once: 35 kB, which any queue on the way takes.
	burst = 30
	// maxSpread is how long a large frame may take on its way out, in pauses of at most burstPause.
	burstPause = 2 * time.Millisecond
	maxSpread  = 15 * time.Millisecond
)

// write sends a frame, a large one in parts: the routers of homes drop what comes all at once.
func (p *Playback) write(t *sendTrack, payloads [][]byte, at uint32) error {
	pause := min(burstPause, maxSpread*burst/time.Duration(max(len(payloads), 1)))
	for len(payloads) > burst {
		if err := p.outlet.Write(t.kind, payloads[:burst], at, false); err != nil {
			return err
		}
		payloads = payloads[burst:]
		time.Sleep(pause)
	}
	return p.outlet.Write(t.kind, payloads, at, true)
}

// instead has sound or pictures made that the peer can play: browsers show pictures in the order in which they come, so those that
// come in another are made anew, as is what comes in a codec that was not agreed. What was on its way by then is passed over.
func (p *Playback) instead(f media.Frame, t *sendTrack) error {
	made := t.codec == media.Opus || slices.Contains(madePictures, t.codec)
	if !made && p.playing != p.src { // only a new offer can get it
		return fmt.Errorf("the publisher has come back with %v, which was not agreed on: %w", f.Track.Codec, ErrNoCommonCodecs)
	}
	if !made || t.feed != p.playing.Video && t.feed != p.playing.Audio {
		p.dropped.Add(1)
		return nil
	}
	feed, release, err := p.e.parts.Transcode(p.playing, t.codec)
	if err != nil {
		return fmt.Errorf("play %v out of order, or of another codec: %w", f.Track.Codec, err)
	}
	p.feeds = append(p.feeds, release)
	t.feed = feed
	if t.kind == media.Audio {
		p.reader.UseAudio(feed)
		return nil
	}
	p.shown.Store(feed)
	p.reader.UseVideo(feed)
	return nil
}

// see notes what is sent.
func (p *Playback) see(f media.Frame) {
	var now [2]*media.Track
	if seen := p.seen.Load(); seen != nil {
		now = *seen
	}
	i := 0
	if f.Kind() == media.Audio {
		i = 1
	}
	if now[i] != f.Track {
		now[i] = f.Track
		p.seen.Store(&now)
	}
}

// report sends what a track's clock says. The wall clock's time is that of sending: peers' answers to it tell how long they take.
func (p *Playback) report(t *sendTrack) {
	if t != nil && t.clock.begun {
		now := p.src.Now()
		p.outlet.Report(t.kind, p.src.Created().Add(time.Duration(now)), t.clock.now(now))
	}
}
