package leg

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"

	"transponder/internal/media"
	"transponder/internal/rtc"
	"transponder/internal/stream"
)

// Options say for which call a leg is.
type Options struct {
	Name         string     // of the call, for logs
	Bind         netip.Addr // the address of ours that the phone sees; an unspecified one will do. The media has the same family
	Audio, Video bool       // what the call can have
	Events       Events
}

// Leg is the media of one call. All methods may be called from any goroutine. Only Run waits.
//
// One goroutine reads each socket. The ticker of Legs sends sound and reports, asks for key frames, and times out. The player's goroutine sends
// pictures, and the goroutine of Run resolves host names. mu protects the fields below it, up to later. mu is held while a batch of packets is
// processed and while RTCP is sent. Lock order: mu, then the lock of an out, of the voice or of the player, Feed.mu of the stream, and the lock
// of the stream's key frame requests.
type Leg struct {
	legs   *Legs
	bind   netip.Addr
	cname  string // of our reports; random, as RFC 7022 wants
	events Events
	log    *slog.Logger
	voice  *voice
	player *player

	closeOnce sync.Once

	names    chan struct{} // holds one token when a host name is to be resolved
	wantsKey atomic.Bool   // AskKeyFrame was called

	mu       sync.Mutex
	cancel   context.CancelCauseFunc // nil before Run
	failure  error                   // from before Run
	ended    bool
	audio    track
	video    track
	agreed   bool        // there was an agreement
	early    []early     // from before the first one
	frames   *rtc.Frames // nil: media is only counted
	src      *stream.Source
	live     bool // src was told that media comes
	started  bool
	keys     keyFrames
	activity activity
	talked   bool // an agreement had us send sound
	digits   digitReader
	digitsIn int64
	requests KeyRequests
	scratch  []byte   // for RTCP
	later    []func() // to be called without mu

	beats sync.WaitGroup // of the ticker; begun with mu held, while ended is false
}

// Open opens the sockets of a call. It fails with ErrNoPorts if all are in use. The caller calls Run, or else Close.
func (s *Legs) Open(o Options) (*Leg, error) {
	l := &Leg{
		legs: s, bind: o.Bind, events: o.Events, log: s.log.With("call", o.Name), names: make(chan struct{}, 1),
		cname:    fmt.Sprintf("%08x%08x%08x", random32(), random32(), random32()),
		audio:    s.newTrack(media.Audio),
		video:    s.newTrack(media.Video),
		keys:     keyFrames{gap: s.cfg.KeyFrameGap},
		activity: activity{first: s.cfg.FirstPacket, later: s.cfg.Activity},
	}
	var err error
	if o.Audio {
		l.audio.pair, err = s.ports.open(o.Bind)
	}
	if o.Video && err == nil {
		l.video.pair, err = s.ports.open(o.Bind)
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	l.audio.out, l.video.out = newOut(l.audio.pair), newOut(l.video.pair)
	l.voice = &voice{out: l.audio.out, digits: digitWriter{tone: s.cfg.Tone}}
	l.player = &player{
		voice: l.voice, pictures: l.video.out, transcode: s.parts.Transcode, now: s.clock, log: l.log, changed: make(chan struct{}, 1),
	}
	return l, nil
}

// AudioPort returns the port for the sound, 0 if there is none.
func (l *Leg) AudioPort() int { return l.audio.pair.port() }

// VideoPort returns the port for the picture, 0 if there is none.
func (l *Leg) VideoPort() int { return l.video.pair.port() }

// tracks returns the tracks that have sockets.
func (l *Leg) tracks() []*track {
	var list []*track
	for _, t := range [...]*track{&l.audio, &l.video} {
		if t.pair.rtp != nil {
			list = append(list, t)
		}
	}
	return list
}

// Close gives the ports back, if Run is not called. Run does it by itself. Closing twice is harmless.
func (l *Leg) Close() {
	l.closeOnce.Do(func() {
		for _, t := range l.tracks() {
			l.legs.ports.close(t.pair)
		}
	})
}

// AskKeyFrame asks the phone for a key frame, soon. It takes no lock, so it can be stream.Info.AskKeyFrame of the stream that the leg writes
// to.
func (l *Leg) AskKeyFrame() { l.wantsKey.Store(true) }

// Start notes that the call is answered. From now on the phone must send what was agreed on.
func (l *Leg) Start() {
	l.mu.Lock()
	defer l.unlock()
	l.started = true
	l.activity.start(l.legs.clock())
	l.expect()
}

// Publish sets the stream that the phone's media goes to; nil: none. The leg marks the stream as live when the first packet comes. It never
// closes the stream.
func (l *Leg) Publish(src *stream.Source) {
	l.mu.Lock()
	defer l.unlock()
	l.src, l.frames, l.live = src, nil, false
	if src == nil {
		return
	}
	l.frames = rtc.NewFrames(src, l.log)
	for _, t := range l.tracks() {
		if t.jitter != nil {
			t.jitter.Restart()
		}
	}
	l.replay()
	l.expect()
}

// Play lets the phone hear a stream, and see it if we agreed to send pictures; nil: it hears silence. It fails for the
// stream of the call itself.
func (l *Leg) Play(src *stream.Source) error {
	l.mu.Lock()
	own := src != nil && src == l.src
	l.mu.Unlock()
	if own {
		return errOwnStream
	}
	l.player.play(src)
	return nil
}

// PlaySound lets the phone hear a file in place of all other sound but digits; nil ends the file. The leg closes a file that is over or has
// been replaced.
func (l *Leg) PlaySound(p SoundPlayer) { l.voice.play(p) }

// SendDigits queues digits: 0 to 9, *, #, A to D, and a comma for a pause of a second. It fails with ErrNoEvents if the phone takes no
// digits over RTP. It also fails for a character that is no digit or that the phone does not take, and if more than 64 digits would wait.
func (l *Leg) SendDigits(digits string) error { return l.voice.sendDigits(digits) }
