package transponder

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"transponder/internal/media"
	"transponder/internal/panics"
	"transponder/internal/rtmp"
	"transponder/internal/stream"
	"transponder/internal/transcode/picture"
)

// videoWait is how long a push waits for a source's first picture before it goes on with the sound alone.
const videoWait = 3 * time.Second

// pushConfig is what a push is made from. It does not change.
type pushConfig struct {
	id      string
	cfg     Config
	req     Request
	target  Target
	src     *stream.Source // the first source: with options.onSourceLoss others may follow
	profile picture.Profile

	parts   Parts
	journal *Journal
	log     *slog.Logger
	panics  *panics.Counter // of all pushes
}

// push is one push. run does the work; the other methods may be called from any goroutine unless their comment says otherwise.
type push struct {
	pushConfig

	in       *holder // what the push reads
	dialer   *dialer
	voice    voice
	machine  *machine
	started  time.Time
	attempts atomic.Int32
	known    atomic.Bool // the push was live once, so what is at its address is no secret any more

	moving sync.Mutex // held while the state changes and the journal is told, so that the journal has the right order; taken before mu

	addrs     []netip.Addr // owned by run; of the target when the push was asked for, for the first connection
	clock     timeline     // owned by run
	opus      bool         // owned by run; the present server takes Opus
	everLive  bool         // owned by run
	liveSince time.Time    // owned by run; since when the push is live without a break, zero while it is not
	movedAt   time.Time    // written by run between two connections, so their goroutines may read it; when a server last made us reconnect

	mu                  sync.Mutex
	link                *link           // guarded by mu; the present one, nil while there is none
	pastSent, pastAcked int64           // guarded by mu; bytes of the connections before
	meter               stream.Meter    // guarded by mu
	frames              [2]int64        // guarded by mu; audio, video sent
	picture             *media.Track    // guarded by mu; of the last picture sent
	lastKey             media.Timestamp // guarded by mu; of the last key frame sent
	keyInterval         time.Duration   // guarded by mu
}

// newPush makes a push that begins with the addresses of its target and, if it is to begin with a sound file, that file's player.
func newPush(c pushConfig, addrs []netip.Addr, player SoundPlayer) *push {
	p := &push{pushConfig: c, addrs: addrs, machine: newMachine(), started: time.Now()}
	p.in = newHolder(p.holding(), c.src)
	p.dialer = newDialer(c, p.source)
	p.voice.log = c.log
	p.voice.muted = c.req.Options.Action == actionMute
	if player != nil {
		p.voice.file, p.voice.player = c.req.Options.SoundFile, player
	}
	return p
}

// announce writes the first state to the journal.
func (p *push) announce() {
	p.moving.Lock()
	defer p.moving.Unlock()
	p.tell(Starting, p.machine.now())
}

// run publishes until the stream ends, ctx ends or the far end fails for good, and returns which. The state is final when it
// returns.
func (p *push) run(ctx context.Context) error {
	defer p.in.Close()
	p.in.wake() // before the stream is live and before dialling: its first key frame is the one to begin with
	err := p.waitLive(ctx)
	if err == nil {
		err = p.persist(ctx)
	}
	p.finish(ctx, err)
	return err
}

// holding says how the stream is read, and what happens when it ends.
func (p *push) holding() holderConfig {
	cfg := holderConfig{
		hub: p.parts.Hub, log: p.log, sound: p.sound, converted: p.converted, changed: p.held, buffer: p.cfg.Buffer,
		silent: p.silent, maxLag: p.cfg.MaxDelay,
	}
	if p.req.transcodes() {
		cfg.pictures = p.pictures
	}
	if o := p.req.Options; o.OnSourceLoss == "hold" {
		cfg.grace = cmp.Or(o.HoldFor, p.cfg.HoldFor)
		if o.Slate != "" {
			cfg.slate = func(w, h int) (media.Frame, error) { return p.parts.Stills.Frame(o.Slate, w, h) }
		}
	}
	return cfg
}

// sound is what is sent of a source's: AAC made of it, or itself where the request allows Opus and the server offers it.
func (p *push) sound(s *stream.Source) (*stream.Feed, func(), error) {
	if track := s.Audio.Track(); p.opus && track != nil && track.Codec == media.Opus {
		return s.Audio, func() {}, nil
	}
	return p.parts.Audio.Feed(s, p.req.Options.Audio)
}

// silent describes the sound that is made of a source's, for silence when there is none.
func (p *push) silent() *media.Track {
	track := *p.parts.Audio.Expect(p.source(), p.req.Options.Audio)
	if track.Codec == media.AAC && track.Config == nil {
		// Without it there is no silence, which players survive.
		track.Config, _ = media.AACConfig(track.SampleRate, track.Channels)
	}
	return &track
}

// held is told that the stream is gone, and of the source by which it goes on.
func (p *push) held(back *stream.Source) {
	if back != nil {
		p.log.Info("push has its stream back", "provider", back.Info().Provider)
		p.moveFrom([]State{Holding}, Status{State: Live})
		return
	}
	p.log.Info("push holds", "err", p.source().Err())
	p.moveFrom([]State{Live, Degraded}, holdingStatus)
}

var holdingStatus = Status{
	State: Holding, Reason: ReasonSourceLost, Detail: "The stream's publisher is gone. A picture and silence are sent until it returns.",
}

// source is what is read now, or was last.
func (p *push) source() *stream.Source { return p.in.Source() }

// waitLive waits for a stream whose name is only reserved yet. Another publisher may take over the name meanwhile.
func (p *push) waitLive(ctx context.Context) error {
	src := p.src
	for {
		select {
		case <-src.Live():
			return nil
		case <-src.Done():
			err := src.Err()
			next, ok := p.parts.Hub.Source(src.Info().Name)
			if !ok || next == src || !errors.Is(err, stream.ErrReplaced) {
				return &sourceError{err}
			}
			src = next
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// finish enters the final state that err stands for, and says so in the log.
func (p *push) finish(ctx context.Context, err error) {
	reason, detail := explain(err)
	state, level := Failed, slog.LevelWarn
	switch {
	case reason.Class() == Operator || reason == ReasonSourceLost:
		state, level = Ended, slog.LevelInfo
	case reason == ReasonInternal:
		level = slog.LevelError
	}
	p.move(Status{State: state, Reason: reason, Detail: detail})
	info := p.Info()
	p.log.Log(ctx, level, "push stopped", "reason", reason, "err", printable(err), "attempts", info.Attempts,
		"bytes", info.BytesSent, "video", info.VideoFrames, "audio", info.AudioFrames, "dropped", info.DroppedFrames)
}

// move enters a state and tells the journal.
func (p *push) move(s Status) {
	p.moving.Lock()
	defer p.moving.Unlock()
	before, err := p.machine.to(s)
	if err != nil {
		p.log.Error("push state", "err", err)
		return
	}
	p.tell(before.State, s)
}

// moveFrom is move if the state is one of those, and the status another than it was; it says whether it moved.
func (p *push) moveFrom(states []State, s Status) bool {
	p.moving.Lock()
	defer p.moving.Unlock()
	now := p.machine.now()
	if !slices.Contains(states, now.State) || now.State == s.State && now.Reason == s.Reason {
		return false
	}
	if _, err := p.machine.to(s); err != nil {
		p.log.Error("push state", "err", err)
		return false
	}
	p.tell(now.State, s)
	return true
}

// tell enters a step in the journal. The caller holds moving.
func (p *push) tell(before State, s Status) {
	_, acked := p.bytes()
	if s.State == Live {
		p.known.Store(true)
	}
	p.journal.add(Event{
		Hidden: p.hidden(),
		ID:     p.id, At: p.machine.now().Since, SourceName: p.src.Info().Name, Target: p.target.String(),
		From: before, To: s.State, Reason: s.Reason, Detail: s.Detail, Attempt: int(p.attempts.Load()),
		NextRetry: s.NextTry, BytesAcked: acked,
	})
}

// attempt makes a connection and publishes on it, then on each connection that follows it, and returns why no further one follows.
func (p *push) attempt(ctx context.Context) error {
	defer p.use(nil)
	if !slices.Contains(p.req.Options.Codecs, "opus") { // else what is heard depends on what the server offers
		if err := p.in.addSound(); err != nil {
			return p.readError(ctx, err)
		}
	}
	next, addrs := successor{target: p.target}, p.addrs
	p.addrs = nil // a later attempt asks for them again: the server may have moved
	for {
		if next.link == nil {
			l, err := p.begin(ctx, next.target, addrs)
			if err != nil {
				return err
			}
			p.opus = l.mux.Allowed(media.Opus)
			if err := p.in.addSound(); err != nil {
				l.conn.Close()
				return p.readError(ctx, err)
			}
			next.link, addrs = l, nil
		}
		var err error
		if next, err = next.link.run(ctx); err != nil {
			return err
		}
		p.movedAt = time.Now()
	}
}

// connect makes a link to a target, or to where its servers send the push.
func (p *push) connect(ctx context.Context, target Target, addrs []netip.Addr) (*link, error) {
	c, err := p.dialer.connect(ctx, target, addrs)
	if err != nil {
		return nil, err
	}
	return newLink(p, c), nil
}

// begin connects for the first time, or anew when there is no connection. What the reader has got meanwhile would be late
// for good if that took long.
func (p *push) begin(ctx context.Context, target Target, addrs []netip.Addr) (*link, error) {
	before := p.machine.now()
	p.attempts.Add(1)
	p.move(Status{State: Connecting, Reason: before.Reason, Detail: before.Detail})
	begun := time.Now()
	p.liveSince = time.Time{}
	p.use(nil)
	l, err := p.connect(ctx, target, addrs)
	if err == nil && time.Since(begun) > time.Second {
		p.in.Restart()
	}
	return l, err
}

// use switches the byte counters to a link and adds those of the link before to the total. nil: there is no connection now.
func (p *push) use(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.link != nil && p.link != l {
		p.pastAcked += p.link.client.BytesAcked()
		p.pastSent += p.link.client.BytesSent()
	}
	p.link = l
}

// bytes returns what was sent and acknowledged over all connections, never more of the latter.
func (p *push) bytes() (sent, acked int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	sent, acked = p.pastSent, p.pastAcked
	if p.link != nil {
		acked += p.link.client.BytesAcked() // first: both may grow meanwhile
		sent += p.link.client.BytesSent()
	}
	return sent, acked
}

// readError says whether the reader ended because of the stream, the push, or what makes the sound.
func (p *push) readError(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case p.source().Err() != nil:
		return &sourceError{p.source().Err()}
	default:
		return err
	}
}

// sent counts what was written. The first tags that the peer took make the push live.
func (p *push) sent(frames []media.Frame) {
	now := time.Now()
	p.mu.Lock()
	for _, f := range frames {
		p.meter.Count(now, len(f.Data))
		if f.Kind() != media.Video {
			p.frames[0]++
			continue
		}
		p.picture = f.Track
		if f.Key {
			if p.lastKey != 0 {
				p.keyInterval = f.Time.Sub(p.lastKey)
			}
			p.lastKey = f.Time
		}
		p.frames[1]++
	}
	p.mu.Unlock()
	if !p.liveSince.IsZero() {
		return
	}
	p.liveSince, p.everLive = now, true
	status := Status{State: Live}
	if p.in.held { // the stream went while there was no connection
		status = holdingStatus
	}
	if p.moveFrom([]State{Connecting}, status) {
		p.log.Info("push live", "attempt", p.attempts.Load(), "after", time.Since(p.started).Round(time.Millisecond))
	}
}

// drain says that the push ends, and why, if it has not been said yet.
func (p *push) drain(why error) {
	reason, detail := explain(why)
	p.moveFrom([]State{Connecting, Live, Degraded, Holding}, Status{State: Draining, Reason: reason, Detail: detail})
}

// hidden says whether the reasons of the push tell what is there in a private network.
func (p *push) hidden() bool { return p.dialer.inside.Load() && !p.known.Load() }

// Info returns what can be said of the push now.
func (p *push) Info() Info {
	status := p.machine.now()
	sent, acked := p.bytes()
	i := Info{
		ID: p.id, SourceName: p.src.Info().Name, StreamName: p.target.Name, URL: p.target.URL(), Options: p.req.Options,
		Target: p.target.String(), SecretName: p.target.SecretName,
		State: status.State, Since: status.Since, Reason: status.Reason, Detail: status.Detail, NextTry: status.NextTry,
		Attempts: int(p.attempts.Load()), Started: p.started,
		BytesSent: sent, BytesAcked: acked, Hidden: p.hidden(),
	}
	if status.State.final() {
		i.Ended = status.Since
	}
	i.Muted, i.SoundFile = p.voice.state()
	i.SoundEnabled = i.SoundFile != ""
	if made, ok := p.transcoder(); ok {
		i.TranscoderDropped = made.Dropped
	}
	queue, buffered := p.in.Stats(), p.in.Buffered()
	i.DroppedFrames, i.DroppedTime = queue.DroppedFrames, queue.DroppedTime
	i.QueuedBytes, i.QueuedTime = queue.QueuedBytes, queue.QueuedTime
	i.BufferDelay, i.Bufferings = buffered.Delay, buffered.Bufferings
	track := p.source().Video.Track()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.picture != nil {
		track = p.picture // what is sent: a slate, say
	}
	if track != nil {
		i.Width, i.Height = track.Width, track.Height
		if p.picture == nil && p.req.transcodes() {
			i.Width, i.Height = p.profile.Size(track.Width, track.Height)
		}
	} else {
		i.Width, i.Height = p.profile.Width, p.profile.Height
	}
	if p.link != nil {
		outside := p.link.out.outside()
		i.QueuedBytes += int(outside.bytes)
		i.QueuedTime += outside.lag
	}
	if status.State.up() {
		i.RateBPS, _ = p.meter.Rates(time.Now())
	}
	i.AudioFrames, i.VideoFrames, i.KeyInterval = p.frames[0], p.frames[1], p.keyInterval
	return i
}

// persist makes one connection after the other, as the policy wants it, and returns why there is no further one.
func (p *push) persist(ctx context.Context) error {
	policy := retryPolicy{Restore: p.cfg.restore(p.req.Options.Restore)}
	for {
		err := p.attempt(ctx)
		reason, detail := explain(err)
		l := loss{reason: reason, ever: p.everLive}
		if status := (*rtmp.StatusError)(nil); errors.As(err, &status) {
			l.full = isFull(status) && reason == ReasonPeerClosed
		}
		if !p.liveSince.IsZero() {
			l.healthy = time.Since(p.liveSince)
		}
		pause, again := policy.next(l, rand.Float64())
		if !again {
			return err
		}
		p.log.Warn("push lost", "reason", reason, "err", printable(err), "pause", pause)
		p.move(Status{State: Waiting, Reason: reason, Detail: detail, NextTry: time.Now().Add(pause)})
		if err := p.rest(ctx, pause); err != nil {
			return err
		}
	}
}

// rest waits for a pause to be over, unless there is nothing left to connect for. Nothing is read meanwhile.
func (p *push) rest(ctx context.Context, pause time.Duration) error {
	p.in.sleep()
	timer := time.NewTimer(pause)
	defer timer.Stop()
	src := p.in.Source()
	gone := src.Done()
	var expired <-chan time.Time
	for {
		select {
		case <-timer.C:
			p.in.wake()
			return nil
		case <-gone:
			if err := p.in.ending(); err != nil {
				return &sourceError{err}
			}
			gone = nil // it is held for when the connection is back
			p.in.startWaiting()
			expired = time.After(time.Until(p.in.until))
		case <-expired:
			if p.in.expired() {
				return &sourceError{src.Err()}
			}
			expired = time.After(watchEvery) // who has taken the name may not stay
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// runSafely runs the push to a final state.
func (p *push) runSafely(ctx context.Context) {
	err := p.safely(func() error { return p.run(ctx) })
	if !p.machine.now().State.final() {
		p.finish(ctx, err)
	}
}

// safely runs f. If f panics, the error ends this push and no other.
func (p *push) safely(f func() error) error {
	return p.panics.Run(p.log, "push panicked", f)
}

// matches compares the name with the source's and the published one, and the URL as it was given or as we read it.
func (p *push) matches(f Filter) bool {
	if f.ID != "" && f.ID != p.id {
		return false
	}
	if f.StreamName != "" && f.StreamName != p.src.Info().Name && f.StreamName != p.target.Name {
		return false
	}
	if f.URL == "" || f.URL == p.target.URL() {
		return true
	}
	other, err := ParseTarget(f.URL, "", Naming{})
	own, _ := ParseTarget(p.target.URL(), "", Naming{})
	return err == nil && other.key() == own.key()
}
