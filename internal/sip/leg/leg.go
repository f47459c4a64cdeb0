package leg

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"transponder/internal/media"
	"transponder/internal/rtc"
	"transponder/internal/rtc/udp"
	"transponder/internal/stream"
)

// Events takes what happens in a leg. The methods are called from goroutines of the leg and of Legs, without a lock, until Leg.Run returns.
// They must not block.
type Events interface {
	// Began reports the first packet of a kind that was accepted after Leg.Start.
	Began(media.Kind)
	// Digit reports a key of the phone once, when it is released.
	Digit(key byte, d time.Duration)
	// KeyFrameMissing reports that the phone has sent no key frame for a second, though it was asked by RTCP and the picture needs one.
	KeyFrameMissing()
	// MediaTimeout reports, once, that the phone sends nothing. The error wraps ErrMediaTimeout and names the address that should send.
	MediaTimeout(error)
	// StreamEnded reports that a played stream is over. The error wraps rtc.ErrSourceEnded, or says why the stream cannot be played.
	StreamEnded(error)
	// SoundEnded reports that a file is over (io.EOF), or why it cannot be played.
	SoundEnded(error)
}

// Options say for which call a leg is.
type Options struct {
	Name         string     // of the call, for logs
	Bind         netip.Addr // the address of ours that the phone sees; an unspecified one will do. Its family is that of the call
	Audio, Video bool       // what the call can have
	Events       Events
}

// Leg is the media of one call. All methods may be called from any goroutine; none waits but Run.
//
// One goroutine reads each socket; the ticker of Legs sends, asks and times out; the player sends pictures. mu is held while a batch of
// packets is processed and while RTCP is sent. Lock order: mu, then those of out, voice and player, Feed.mu of the stream, and the lock of
// the stream's key frame requests.
type Leg struct {
	legs   *Legs
	bind   netip.Addr
	cname  string // of our reports; random, as RFC 7022 wants
	events Events
	log    *slog.Logger
	voice  *voice
	player *player

	names    chan struct{} // holds one token when a host name is to be resolved
	wantsKey atomic.Bool   // AskKeyFrame was called

	mu       sync.Mutex
	cancel   context.CancelCauseFunc // nil before Run
	failure  error                   // from before Run
	ended    bool
	audio    track
	video    track
	frames   *rtc.Frames // nil: media is only counted
	src      *stream.Source
	live     bool // src was told that media comes
	started  bool
	keys     keyFrames
	activity activity
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
		legs: s, bind: o.Bind, cname: fmt.Sprintf("%08x%08x%08x", random32(), random32(), random32()), events: o.Events, log: s.log.With("call", o.Name), names: make(chan struct{}, 1),
		keys:     keyFrames{gap: s.cfg.KeyFrameGap},
		activity: activity{first: s.cfg.FirstPacket, later: s.cfg.Activity},
	}
	for _, t := range []struct {
		track *track
		kind  media.Kind
		on    bool
	}{{&l.audio, media.Audio, o.Audio}, {&l.video, media.Video, o.Video}} {
		t.track.kind = t.kind
		t.track.latch = latch{strict: s.cfg.Strict, any: s.cfg.LearnAny, learn: s.cfg.Learn}
		if t.on {
			var err error
			if t.track.pair, err = s.ports.open(o.Bind); err != nil {
				l.Close()
				return nil, err
			}
		}
		t.track.out = newOut(t.track.pair)
	}
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

// Close gives the ports back, if Run was never called.
func (l *Leg) Close() {
	for _, t := range l.tracks() {
		l.legs.ports.close(t.pair)
	}
}

// errReads ends a leg whose socket cannot be read.
var errReads = errors.New("a media socket fails")

// Run moves media until ctx ends; it returns the cause. It fails with an error that wraps panics.Err after a panic: the call must end then,
// and other calls go on. Run is called once.
func (l *Leg) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l.mu.Lock()
	l.cancel = cancel
	if l.failure != nil {
		cancel(l.failure)
	}
	l.mu.Unlock()

	var wg sync.WaitGroup
	for _, t := range l.tracks() {
		wg.Go(func() { l.guard(func() { l.read(t, t.pair.rtp, false) }) })
		wg.Go(func() { l.guard(func() { l.read(t, t.pair.rtcp, true) }) })
	}
	wg.Go(func() { l.guard(func() { l.player.run(ctx, l.events.StreamEnded) }) })
	l.legs.add(l)
	l.guard(func() { l.resolveNames(ctx) })
	l.Close() // the only way out of a read
	wg.Wait()
	l.end()
	return context.Cause(ctx)
}

// end takes the leg off the ticker, and waits until the ticker has done with it.
func (l *Leg) end() {
	l.legs.remove(l)
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	l.beats.Wait()
	l.voice.close()
}

// guard calls f. A panic ends the leg.
func (l *Leg) guard(f func()) {
	defer func() {
		if v := recover(); v != nil {
			l.panicked(v)
		}
	}()
	f()
}

// panicked ends the leg after a panic. It is called from deferred functions, with the recovered value.
func (l *Leg) panicked(value any) {
	l.fail(l.legs.panics.Note(l.log, "media of a call panicked", value))
}

func (l *Leg) fail(cause error) {
	l.mu.Lock()
	cancel := l.cancel
	if cancel == nil {
		l.failure = cause
	}
	l.mu.Unlock()
	if cancel != nil {
		cancel(cause)
	}
}

// unlock unlocks mu, and calls what was to be called without it. After a panic it ends the leg.
func (l *Leg) unlock() {
	v := recover()
	later := l.later
	l.later = nil
	l.mu.Unlock()
	if v != nil {
		l.panicked(v)
		return
	}
	for _, f := range later {
		f()
	}
}

// maxFaults is how many reads in a row may fail. A fault is usually about one datagram.
const maxFaults = 100

// read takes the datagrams of a socket until it is closed.
func (l *Leg) read(t *track, conn *udp.Conn, overRTCP bool) {
	for faults := 0; faults < maxFaults; {
		b, err := conn.Read()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			faults++
			continue
		}
		faults = 0
		l.take(t, b, overRTCP)
		l.legs.ports.batches.Put(b)
	}
	l.fail(fmt.Errorf("%w: port %d", errReads, conn.Port()))
}

// take processes the datagrams of one read.
func (l *Leg) take(t *track, b *udp.Batch, overRTCP bool) {
	now := l.legs.clock()
	l.mu.Lock()
	defer l.unlock()
	for i := range b.Len() {
		data, from := b.Datagram(i)
		l.datagram(t, data, from, overRTCP, now)
	}
}

// datagram processes one datagram; mu is held. RTCP may come to either port: some phones send it to the RTP port without having agreed to
// (RFC 5761). RTP may not.
func (l *Leg) datagram(t *track, b []byte, from netip.AddrPort, overRTCP bool, now time.Duration) {
	switch f := formOf(b); {
	case f == formRTP && !overRTCP:
		if p, ok := t.takeRTP(b, from, now); ok {
			l.push(t, p, now)
		}
	case f == formRTCP:
		l.takeRTCP(t, b, from, now)
	case f == formSTUN:
		t.stats.Refused.STUN++
	case f == formDTLS:
		t.stats.Refused.DTLS++
	default:
		t.stats.Refused.Malformed++
	}
}

// push gives a packet of the phone to the jitter buffer; mu is held. Before Publish packets are only counted: it may be the ring-back tone.
func (l *Leg) push(t *track, p rtc.Packet, now time.Duration) {
	l.activity.came(now)
	if l.started && !t.began {
		t.began = true
		l.later = append(l.later, func() { l.events.Began(t.kind) })
	}
	if x := t.types[p.PayloadType]; x.class == typeEvents {
		l.report(l.digits.packet(p.Payload, p.Time, x.clock, now))
	}
	if l.frames == nil {
		return
	}
	if !l.live {
		l.live = true
		l.later = append(l.later, l.src.SetLive)
	}
	t.jitter.Push(p, now)
}

// report tells of digits; mu is held.
func (l *Leg) report(done [2]digit, n int) {
	for _, d := range done[:n] {
		l.digitsIn++
		l.later = append(l.later, func() { l.events.Digit(d.key, d.duration) })
	}
}

// beat does what is due. The ticker of Legs calls it.
func (l *Leg) beat(now time.Duration) {
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		return
	}
	l.beats.Add(1)
	l.mu.Unlock()
	defer l.beats.Done()
	l.guard(func() {
		l.tick(now)
		if ended := l.voice.beat(now); ended != nil {
			l.events.SoundEnded(ended)
		}
	})
}

// tick gives up lost packets, asks for key frames, sends reports and finds out that nothing comes.
func (l *Leg) tick(now time.Duration) {
	l.mu.Lock()
	defer l.unlock()
	if l.wantsKey.Swap(false) {
		l.keys.want()
	}
	for _, t := range [...]*track{&l.audio, &l.video} {
		if t.flow == nil {
			continue
		}
		if l.frames != nil && t.arrived.Begun() && t.jitter.Waits() {
			if _, pli, _ := t.jitter.Tick(now, nil); pli {
				l.keys.need(now)
			}
		}
		if now >= t.reportAt {
			t.reportAt = now + reportPause() // also if nothing comes: some conference systems end calls without RTCP
			l.sendRTCP(t, now)
		}
	}
	l.askKeyFrame(now)
	if d, over := l.digits.overdue(now); over {
		l.report([2]digit{d}, 1)
	}
	if after, over := l.activity.over(now, l.audio.receives() || l.video.receives()); over {
		err := l.timeoutError(after)
		l.later = append(l.later, func() { l.events.MediaTimeout(err) })
	}
}

// timeoutError says what was expected; mu is held.
func (l *Leg) timeoutError(after time.Duration) error {
	t := &l.audio
	if !t.receives() {
		t = &l.video
	}
	refused := l.audio.stats.Refused
	refused.Add(l.video.stats.Refused)
	return timeoutError(t.latch.remote(), after, l.activity.heard, refused)
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
	l.expect()
}

// Play lets the phone hear a stream, and see it if we agreed to send pictures; nil: it hears silence. It fails with ErrOwnStream for the
// stream of the call itself.
func (l *Leg) Play(src *stream.Source) error {
	l.mu.Lock()
	own := src != nil && src == l.src
	l.mu.Unlock()
	if own {
		return ErrOwnStream
	}
	l.player.play(src)
	return nil
}

// PlaySound lets the phone hear a file in the place of all other sound; nil: it ends the file. The leg closes the player when it is over, or
// replaced.
func (l *Leg) PlaySound(p SoundPlayer) { l.voice.play(p) }

// SendDigits queues digits: 0 to 9, *, #, A to D, and a comma for a pause of a second. It fails with ErrNoEvents if the phone takes no
// digits over RTP, with ErrDigits, or with ErrQueue if more than 64 wait.
func (l *Leg) SendDigits(digits string) error { return l.voice.sendDigits(digits) }
