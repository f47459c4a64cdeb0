package transponder

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"transponder/internal/media"
	"transponder/internal/panics"
	"transponder/internal/rtmp"
	"transponder/internal/stream"
	"transponder/internal/transcode/picture"
)

// goodbyeWait is how long a peer gets to close its side after deleteStream, before we close ours. Closing at once would
// throw away what it has not read yet.
const goodbyeWait = 300 * time.Millisecond

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

	hub     *stream.Hub
	audio   AudioRenditions
	stills  Stills
	video   VideoRenditions // nil: pictures are sent as they come
	journal *Journal
	log     *slog.Logger
	panics  *panics.Counter // of all pushes
}

// push is one push. run does the work; the other methods may be called from any goroutine unless their comment says otherwise.
type push struct {
	pushConfig

	in       *holder // what the push reads
	voice    voice
	machine  *machine
	started  time.Time
	attempts atomic.Int32
	inside   atomic.Bool // an address of a private network was dialled
	known    atomic.Bool // the push was live once, so what is at its address is no secret any more

	moving sync.Mutex // held while the state changes and the journal is told, so that the journal has the right order; taken before mu

	addrs     []netip.Addr // owned by run; of the target when the push was asked for, for the first connection
	clock     timeline     // owned by run
	opus      bool         // owned by run; the present server takes Opus
	everLive  bool         // owned by run
	liveSince time.Time    // owned by run; when the present connection took its first tags, zero before
	movedAt   time.Time    // written by run between two connections, so their goroutines may read it; when a server last made us reconnect

	mu                  sync.Mutex
	client              *rtmp.Client                 // guarded by mu; of the present connection
	out                 *outflow                     // guarded by mu; of the present connection
	hellos              [4]rtmp.Hello                // guarded by mu; of the latest connections, the newest first
	pastSent, pastAcked int64                        // guarded by mu; bytes of the connections before
	meter               stream.Meter                 // guarded by mu
	frames              [2]int64                     // guarded by mu; audio, video sent
	picture             *media.Track                 // guarded by mu; of the last picture sent
	lastKey             media.Timestamp              // guarded by mu; of the last key frame sent
	keyInterval         time.Duration                // guarded by mu
	failed              map[netip.AddrPort]time.Time // guarded by mu; addresses that failed last, and when
}

// newPush makes a push that begins with the addresses of its target and, if it is to begin with a sound file, that file's player.
func newPush(c pushConfig, addrs []netip.Addr, player SoundPlayer) *push {
	p := &push{pushConfig: c, addrs: addrs, machine: newMachine(), started: time.Now()}
	p.in = newHolder(p.holding(), c.src)
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
		hub: p.hub, log: p.log, aac: p.sound, converted: p.converted, changed: p.held, buffer: p.cfg.Buffer,
		silent: p.silent, maxLag: p.cfg.MaxDelay,
	}
	if p.req.transcodes() {
		cfg.pictures = p.pictures
	}
	if o := p.req.Options; o.OnSourceLoss == "hold" {
		cfg.grace = cmp.Or(o.HoldFor, p.cfg.HoldFor)
		if o.Slate != "" {
			cfg.slate = func(w, h int) (media.Frame, error) { return p.stills.Frame(o.Slate, w, h) }
		}
	}
	return cfg
}

// sound is what is sent of a source's: AAC made of it, or itself where the request allows Opus and the server offers it.
func (p *push) sound(s *stream.Source) (*stream.Feed, func(), error) {
	if track := s.Audio.Track(); p.opus && track != nil && track.Codec == media.Opus {
		return s.Audio, func() {}, nil
	}
	return p.audio.Feed(s, p.req.Options.Audio)
}

// silent describes the sound that is made of a source's, for silence when there is none.
func (p *push) silent() *media.Track {
	track := *p.audio.Expect(p.source(), p.req.Options.Audio)
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
			next, ok := p.hub.Source(src.Info().Name)
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

// attempt makes a connection and publishes on it, and on those that its peer asks for instead, to the end.
func (p *push) attempt(ctx context.Context) error {
	defer p.use(nil, nil)
	if !slices.Contains(p.req.Options.Codecs, "opus") { // else what is heard depends on what the server offers
		if err := p.in.listen(); err != nil {
			return p.readError(ctx, err)
		}
	}
	target, addrs := p.target, p.addrs
	p.addrs = nil // a later attempt asks for them again: the server may have moved
	for {
		l, err := p.begin(ctx, target, addrs)
		if err != nil {
			return err
		}
		p.opus = l.mux.Allowed(media.Opus)
		if err := p.in.listen(); err != nil {
			l.conn.Close()
			return p.readError(ctx, err)
		}
		var moved *redirect
		for l != nil {
			if err := p.publish(ctx, l); !errors.As(err, &moved) {
				return err
			}
			p.movedAt = time.Now()
			l = moved.link
		}
		target, addrs = moved.target, nil
	}
}

// begin connects for the first time, or anew when there is no connection. What the reader has got meanwhile would be late
// for good if that took long.
func (p *push) begin(ctx context.Context, target Target, addrs []netip.Addr) (*link, error) {
	before := p.machine.now()
	p.attempts.Add(1)
	p.move(Status{State: Connecting, Reason: before.Reason, Detail: before.Detail})
	begun := time.Now()
	p.liveSince = time.Time{}
	p.use(nil, nil)
	l, err := p.connect(ctx, target, addrs)
	if err == nil && time.Since(begun) > time.Second {
		p.in.Restart()
	}
	return l, err
}

// use says whose figures are counted from now on.
func (p *push) use(client *rtmp.Client, out *outflow) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.client != nil && p.client != client {
		p.pastAcked += p.client.BytesAcked()
		p.pastSent += p.client.BytesSent()
	}
	p.client, p.out = client, out
}

// bytes returns what was sent and acknowledged over all connections, never more of the latter.
func (p *push) bytes() (sent, acked int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	sent, acked = p.pastSent, p.pastAcked
	if p.client != nil {
		acked += p.client.BytesAcked() // first: both may grow meanwhile
		sent += p.client.BytesSent()
	}
	return sent, acked
}

// publish sends frames and reads what the peer says, until one of the two ends, and then says goodbye. It closes the link.
// A *redirect says that, and how, the stream goes on elsewhere.
func (p *push) publish(ctx context.Context, l *link) error {
	p.use(l.client, l.out)
	sending, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// A write that is blocked when the push is to end gets a little time to finish, and no more.
	stop := context.AfterFunc(sending, func() { l.conn.SetWriteDeadline(time.Now().Add(p.cfg.DrainTimeout)) })
	defer stop()

	var wg sync.WaitGroup
	wg.Go(func() {
		// No deadline: a peer may lawfully stay silent for hours. One that is dead shows when writing, and the connection is
		// closed when the sending ends.
		cancel(p.safely(func() error {
			return p.serve(l, func(target Target) {
				wg.Go(func() {
					if err := p.safely(func() error { return p.reconnect(sending, l, target) }); err != nil {
						cancel(err)
					}
				})
			})
		}))
	})
	wg.Go(func() { cancel(p.safely(func() error { return p.watch(sending, l) })) })
	l.replace = func() {
		wg.Go(func() {
			if err := p.safely(func() error { p.replace(sending, l); return nil }); err != nil {
				cancel(err)
			}
		})
	}
	err := p.safely(func() error { return p.send(sending, l) })
	cancel(err)
	if polite(err) {
		p.goodbye(sending, err, l, &wg)
	}
	l.conn.Close()
	wg.Wait()
	return p.after(ctx, l, err)
}

// after says how it goes on after a link: if its peer had asked for another, there, however the link ended.
func (p *push) after(ctx context.Context, l *link, err error) error {
	made := l.made
	if made == nil {
		select {
		case made = <-l.next:
		default:
		}
	}
	var moved *redirect
	var gone *sourceError
	asked := l.asked.Load()
	if asked == nil && l.objects() {
		asked = &l.target
	}
	if errors.As(err, &gone) || errors.As(err, &moved) || ctx.Err() != nil || asked == nil {
		if made != nil && (moved == nil || moved.link != made) {
			made.conn.Close()
		}
		return err
	}
	p.in.Restart()
	return &redirect{target: *asked, link: made}
}

// polite says whether the peer is still there to be told that the stream ends.
func polite(err error) bool {
	var source *sourceError
	var moved *redirect
	return errors.As(err, &source) || errors.As(err, &moved) || errors.Is(err, errTerminated) || errors.Is(err, ErrStopping)
}

// send writes frames as they come. When another link is ready it goes on with that from the next key frame on, so that
// between the two nothing is missing.
func (p *push) send(ctx context.Context, l *link) error {
	n, err := p.sendable(l, l.backlog) // for the link before they were
	if err != nil {
		return err
	}
	if err := p.write(ctx, l, l.backlog[:n]); err != nil {
		return err
	}
	l.backlog = nil
	frames := make([]media.Frame, 64)
	for {
		batch := frames
		if l.out.late.Load() {
			if err := p.room(ctx, l); err != nil {
				return p.readError(ctx, err)
			}
			batch = frames[:lateBatch] // what is read can not be dropped any more
		}
		n, err := p.in.Read(ctx, batch)
		if err != nil {
			return p.readError(ctx, err)
		}
		if n, err = p.sendable(l, frames[:n]); err != nil {
			return err
		}
		n = p.voice.apply(frames[:n])
		now := p.turn(l, frames[:n])
		if err := p.write(ctx, l, frames[:p.complete(l, frames[:now])]); err != nil {
			return err
		}
		if now < n {
			l.made.backlog = slices.Clone(frames[now:n])
			return &redirect{link: l.made}
		}
		clear(frames[:n])
	}
}

// lateBatch is how many frames are sent at once while writing waits for room. It is the least that can be read.
const lateBatch = 2

// room waits until so little lies outside that more may be written.
func (p *push) room(ctx context.Context, l *link) error {
	poll := time.NewTicker(roomPoll)
	defer poll.Stop()
	for {
		p.look(l, tcpInfo(l.conn))
		now := time.Now()
		if p.in.Stats().QueuedFrames == 0 {
			l.out.caughtUp(now)
		}
		if l.out.room(now, l.client.BytesSent()) {
			return nil
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// turn returns how many of the frames are still the link's: all, unless another is ready and begins with one of them.
func (p *push) turn(l *link, frames []media.Frame) int {
	if l.made == nil {
		select {
		case l.made = <-l.next:
			p.in.RequestKeyFrame()
		default:
			return len(frames)
		}
	}
	silent := p.source().Video.Track() == nil // there is nothing but sound, where any frame will do
	for i, f := range frames {
		if silent || f.Kind() == media.Video && f.Key {
			return i
		}
	}
	return len(frames)
}

// write lays frames onto the link. It may change their order of storage.
func (p *push) write(ctx context.Context, l *link, frames []media.Frame) error {
	tags, written := l.tags[:0], frames[:0]
	for _, f := range frames {
		begun := len(tags)
		var err error
		if tags, err = l.mux.Append(tags, f); err != nil {
			return err
		}
		if len(tags) > begun { // else it is from before the connection's first picture
			written = append(written, f)
		}
		p.clock.place(l.mux, f, tags[begun:])
	}
	l.tags = tags
	if len(tags) == 0 {
		return nil
	}
	now := time.Now()
	if now.After(l.allowed) { // moved once a second: a timer per write is not free
		l.allowed = now.Add(time.Second)
		p.allowWrite(ctx, l.conn)
	}
	if l.begunAt.IsZero() {
		l.begunAt = now
	}
	if ping, due := l.out.write(now, l.client.BytesSent(), tags); due {
		l.client.Ping(ping)
	}
	l.busy.Store(true)
	err := l.client.WriteTags(tags)
	l.busy.Store(false)
	if err != nil {
		return writeError(ctx, err)
	}
	clear(tags)
	p.sent(written)
	return nil
}

// allowWrite gives the next writes the time that a healthy peer needs, or a little when ctx has ended. The order matters: ctx
// may end between the two lines, and its own change of the deadline be overwritten.
func (p *push) allowWrite(ctx context.Context, conn net.Conn) {
	conn.SetWriteDeadline(time.Now().Add(p.cfg.WriteTimeout))
	if ctx.Err() != nil {
		conn.SetWriteDeadline(time.Now().Add(p.cfg.DrainTimeout))
	}
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

// writeError names a stalled peer. An error that the reading side has explained better is its.
func writeError(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errStalled
	default:
		return liveError(err)
	}
}

// liveError names a peer that has not acknowledged anything for so long that the kernel gave it up, on whichever side that
// shows first.
func liveError(err error) error {
	if errors.Is(err, syscall.ETIMEDOUT) {
		return errStalled
	}
	return err
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

// goodbye sends what is queued, if there is to be no more, tells the peer that the stream ends and lets it close first. ctx has
// ended.
func (p *push) goodbye(ctx context.Context, why error, l *link, reading *sync.WaitGroup) {
	l.conn.SetWriteDeadline(time.Now().Add(p.cfg.DrainTimeout))
	var moved *redirect
	if !errors.As(why, &moved) {
		p.drain(why)
		if err := p.empty(ctx, l); err != nil {
			p.log.Debug("send what is queued", "err", printable(err))
			return
		}
	}
	if err := l.client.Unpublish(); err != nil {
		p.log.Debug("say goodbye", "err", err)
		return
	}
	if half, ok := l.conn.(interface{ CloseWrite() error }); ok {
		if err := half.CloseWrite(); err != nil {
			return
		}
	}
	l.conn.SetReadDeadline(time.Now().Add(goodbyeWait))
	reading.Wait()
}

// empty sends what is queued, within the deadline that is set.
func (p *push) empty(ctx context.Context, l *link) error {
	l.allowed = time.Now().Add(time.Hour)
	frames := make([]media.Frame, 64)
	for {
		n, err := p.in.ReadRest(ctx, frames)
		if n == 0 || err != nil {
			return nil
		}
		if n, err = p.sendable(l, frames[:n]); err != nil {
			return err
		}
		if err := p.write(ctx, l, frames[:p.voice.apply(frames[:n])]); err != nil {
			return err
		}
	}
}

// hidden says whether the reasons of the push tell what is there in a private network.
func (p *push) hidden() bool { return p.inside.Load() && !p.known.Load() }

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
	if p.out != nil {
		outside := p.out.outside()
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
			p.in.miss()
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
