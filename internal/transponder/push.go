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

// Transponder is one push. Run does the work; the other methods may be called from any goroutine.
type Transponder struct {
	id      string
	cfg     Config
	req     Request
	target  Target
	addrs   []netip.Addr // of the target when the push was asked for; the first connection takes them
	hub     *stream.Hub
	src     *stream.Source // the first: with options.onSourceLoss there may be others after it
	audio   AudioRenditions
	stills  Stills
	video   VideoRenditions // nil: pictures are sent as they come
	profile picture.Profile
	voice   voice
	journal *Journal
	log     *slog.Logger
	panics  *panics.Counter // of all pushes

	machine  *machine
	started  time.Time
	attempts atomic.Int32
	inside   atomic.Bool // an address of a private network was dialled
	known    atomic.Bool // it was live once: what is there is no secret any more

	moving sync.Mutex // held through a move and its entry in the journal, so that these are in order; before mu

	clock     timeline  // owned by Run
	opus      bool      // owned by Run; the present server takes Opus
	everLive  bool      // owned by Run
	liveSince time.Time // owned by Run; when the present connection took its first tags, zero before
	movedAt   time.Time // owned by Run, and by what publish starts; when the peer last had us move

	mu                  sync.Mutex
	in                  *holder       // guarded by mu; set by Run
	client              *rtmp.Client  // guarded by mu; of the present connection
	out                 *outflow      // guarded by mu; likewise
	hellos              [4]rtmp.Hello // guarded by mu; of the latest connections, the newest first
	pastSent, pastAcked int64         // guarded by mu; bytes of the connections before
	meter               stream.Meter  // guarded by mu
	frames              [2]int64      // guarded by mu; audio, video sent
	picture             *media.Track  // guarded by mu; of the last one sent
	lastKey             media.Timestamp
	keyInterval         time.Duration                // guarded by mu, as is lastKey
	failed              map[netip.AddrPort]time.Time // guarded by mu; addresses that failed last, and when
}

// Run publishes until the stream ends, ctx ends or the far end fails for good, and returns which. The state is final when it
// returns.
func (t *Transponder) Run(ctx context.Context) error {
	// Attached before the stream is live and before dialling: its first key frame is the one to begin with.
	in := newHolder(t.holding(), t.src)
	defer in.Close()
	t.mu.Lock()
	t.in = in
	t.mu.Unlock()
	err := t.waitLive(ctx)
	if err == nil {
		err = t.persist(ctx, in)
	}
	t.finish(ctx, err)
	return err
}

// holding says how the stream is read, and what happens when it ends.
func (t *Transponder) holding() holderConfig {
	cfg := holderConfig{
		hub: t.hub, log: t.log, aac: t.sound, converted: t.converted, changed: t.held, buffer: t.cfg.Buffer,
		silent: t.silent, maxLag: t.cfg.MaxDelay,
	}
	if t.req.transcodes() {
		cfg.pictures = t.pictures
	}
	if o := t.req.Options; o.OnSourceLoss == "hold" {
		cfg.grace = cmp.Or(o.HoldFor, t.cfg.HoldFor)
		if o.Slate != "" {
			cfg.slate = func(w, h int) (media.Frame, error) { return t.stills.Frame(o.Slate, w, h) }
		}
	}
	return cfg
}

// sound is what is sent of a source's: AAC made of it, or itself where the request allows Opus and the server offers it.
func (t *Transponder) sound(s *stream.Source) (*stream.Feed, func(), error) {
	if track := s.Audio.Track(); t.opus && track != nil && track.Codec == media.Opus {
		return s.Audio, func() {}, nil
	}
	return t.audio.Feed(s, t.req.Options.Audio)
}

// silent describes the sound that is made of a source's, for silence when there is none.
func (t *Transponder) silent() *media.Track {
	track := *t.audio.Expect(t.source(), t.req.Options.Audio)
	if track.Codec == media.AAC && track.Config == nil {
		// Without it there is no silence, which players survive.
		track.Config, _ = media.AACConfig(track.SampleRate, track.Channels)
	}
	return &track
}

// held is told that the stream is gone, and of the source by which it goes on.
func (t *Transponder) held(back *stream.Source) {
	if back != nil {
		t.log.Info("push has its stream back", "provider", back.Info().Provider)
		t.moveFrom([]State{Holding}, Status{State: Live})
		return
	}
	t.log.Info("push holds", "err", t.source().Err())
	t.moveFrom([]State{Live, Degraded}, holdingStatus)
}

var holdingStatus = Status{
	State: Holding, Reason: ReasonSourceLost, Detail: "The stream's publisher is gone. A picture and silence are sent until it returns.",
}

// source is what is read now, or was last.
func (t *Transponder) source() *stream.Source {
	t.mu.Lock()
	in := t.in
	t.mu.Unlock()
	if in == nil {
		return t.src
	}
	return in.Source()
}

// waitLive waits for a stream whose name is only reserved yet. Another publisher may take over the name meanwhile.
func (t *Transponder) waitLive(ctx context.Context) error {
	src := t.src
	for {
		select {
		case <-src.Live():
			return nil
		case <-src.Done():
			err := src.Err()
			next, ok := t.hub.Source(src.Info().Name)
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
func (t *Transponder) finish(ctx context.Context, err error) {
	reason, detail := explain(err)
	state, level := Failed, slog.LevelWarn
	switch {
	case reason.Class() == Operator || reason == ReasonSourceLost:
		state, level = Ended, slog.LevelInfo
	case reason == ReasonInternal:
		level = slog.LevelError
	}
	t.move(Status{State: state, Reason: reason, Detail: detail})
	info := t.Info()
	t.log.Log(ctx, level, "push stopped", "reason", reason, "err", printable(err), "attempts", info.Attempts,
		"bytes", info.BytesSent, "video", info.VideoFrames, "audio", info.AudioFrames, "dropped", info.DroppedFrames)
}

// move enters a state and tells the journal.
func (t *Transponder) move(s Status) {
	t.moving.Lock()
	defer t.moving.Unlock()
	before, err := t.machine.to(s)
	if err != nil {
		t.log.Error("push state", "err", err)
		return
	}
	t.tell(before.State, s)
}

// moveFrom is move if the state is one of those, and the status another than it was; it says whether it moved.
func (t *Transponder) moveFrom(states []State, s Status) bool {
	t.moving.Lock()
	defer t.moving.Unlock()
	now := t.machine.now()
	if !slices.Contains(states, now.State) || now.State == s.State && now.Reason == s.Reason {
		return false
	}
	if _, err := t.machine.to(s); err != nil {
		t.log.Error("push state", "err", err)
		return false
	}
	t.tell(now.State, s)
	return true
}

// tell enters a step in the journal. The caller holds moving.
func (t *Transponder) tell(before State, s Status) {
	_, acked := t.bytes()
	if s.State == Live {
		t.known.Store(true)
	}
	t.journal.add(Event{
		Hidden: t.hidden(),
		ID:     t.id, At: t.machine.now().Since, SourceName: t.src.Info().Name, Target: t.target.String(),
		From: before, To: s.State, Reason: s.Reason, Detail: s.Detail, Attempt: int(t.attempts.Load()),
		NextRetry: s.NextTry, BytesAcked: acked,
	})
}

// attempt makes a connection and publishes on it, and on those that its peer asks for instead, to the end.
func (t *Transponder) attempt(ctx context.Context, in *holder) error {
	defer t.use(nil, nil)
	if !slices.Contains(t.req.Options.Codecs, "opus") { // else what is heard depends on what the server offers
		if err := in.listen(); err != nil {
			return t.readError(ctx, err)
		}
	}
	target, addrs := t.target, t.addrs
	t.addrs = nil // a later attempt asks for them again: the server may have moved
	for {
		l, err := t.begin(ctx, in, target, addrs)
		if err != nil {
			return err
		}
		t.opus = l.mux.Allowed(media.Opus)
		if err := in.listen(); err != nil {
			l.conn.Close()
			return t.readError(ctx, err)
		}
		var moved *redirect
		for l != nil {
			if err := t.publish(ctx, l, in); !errors.As(err, &moved) {
				return err
			}
			t.movedAt = time.Now()
			l = moved.link
		}
		target, addrs = moved.target, nil
	}
}

// begin connects for the first time, or anew when there is no connection. What the reader has got meanwhile would be late
// for good if that took long.
func (t *Transponder) begin(ctx context.Context, in *holder, target Target, addrs []netip.Addr) (*link, error) {
	before := t.machine.now()
	t.attempts.Add(1)
	t.move(Status{State: Connecting, Reason: before.Reason, Detail: before.Detail})
	begun := time.Now()
	t.liveSince = time.Time{}
	t.use(nil, nil)
	l, err := t.connect(ctx, target, addrs)
	if err == nil && time.Since(begun) > time.Second {
		in.Restart()
	}
	return l, err
}

// use says whose figures are counted from now on.
func (t *Transponder) use(client *rtmp.Client, out *outflow) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.client != nil && t.client != client {
		t.pastAcked += t.client.BytesAcked()
		t.pastSent += t.client.BytesSent()
	}
	t.client, t.out = client, out
}

// bytes returns what was sent and acknowledged over all connections, never more of the latter.
func (t *Transponder) bytes() (sent, acked int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	sent, acked = t.pastSent, t.pastAcked
	if t.client != nil {
		acked += t.client.BytesAcked() // first: both may grow meanwhile
		sent += t.client.BytesSent()
	}
	return sent, acked
}

// publish sends frames and reads what the peer says, until one of the two ends, and then says goodbye. It closes the link.
// A *redirect says that, and how, the stream goes on elsewhere.
func (t *Transponder) publish(ctx context.Context, l *link, in *holder) error {
	t.use(l.client, l.out)
	sending, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// A write that is blocked when the push is to end gets a little time to finish, and no more.
	stop := context.AfterFunc(sending, func() { l.conn.SetWriteDeadline(time.Now().Add(t.cfg.DrainTimeout)) })
	defer stop()

	var wg sync.WaitGroup
	wg.Go(func() {
		// No deadline: a peer may lawfully stay silent for hours. One that is dead shows when writing, and the connection is
		// closed when the sending ends.
		cancel(t.safely(func() error {
			return t.serve(l, func(target Target) {
				wg.Go(func() {
					if err := t.safely(func() error { return t.reconnect(sending, l, target) }); err != nil {
						cancel(err)
					}
				})
			})
		}))
	})
	wg.Go(func() { cancel(t.safely(func() error { return t.watch(sending, l, in) })) })
	l.replace = func() {
		wg.Go(func() {
			if err := t.safely(func() error { t.replace(sending, l); return nil }); err != nil {
				cancel(err)
			}
		})
	}
	err := t.safely(func() error { return t.send(sending, l, in) })
	cancel(err)
	if polite(err) {
		t.goodbye(sending, err, l, in, &wg)
	}
	l.conn.Close()
	wg.Wait()
	return t.after(ctx, l, in, err)
}

// after says how it goes on after a link: if its peer had asked for another, there, however the link ended.
func (t *Transponder) after(ctx context.Context, l *link, in *holder, err error) error {
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
	in.Restart()
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
func (t *Transponder) send(ctx context.Context, l *link, in *holder) error {
	n, err := t.sendable(l, in, l.backlog) // for the link before they were
	if err != nil {
		return err
	}
	if err := t.write(ctx, l, l.backlog[:n]); err != nil {
		return err
	}
	l.backlog = nil
	frames := make([]media.Frame, 64)
	for {
		batch := frames
		if l.out.late.Load() {
			if err := t.room(ctx, l, in); err != nil {
				return t.readError(ctx, err)
			}
			batch = frames[:lateBatch] // what is read can not be dropped any more
		}
		n, err := in.Read(ctx, batch)
		if err != nil {
			return t.readError(ctx, err)
		}
		if n, err = t.sendable(l, in, frames[:n]); err != nil {
			return err
		}
		n = t.voice.apply(frames[:n])
		now := t.turn(l, frames[:n])
		if err := t.write(ctx, l, frames[:t.complete(l, frames[:now])]); err != nil {
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
func (t *Transponder) room(ctx context.Context, l *link, in *holder) error {
	poll := time.NewTicker(roomPoll)
	defer poll.Stop()
	for {
		t.look(l, in, tcpInfo(l.conn))
		now := time.Now()
		if in.Stats().QueuedFrames == 0 {
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
func (t *Transponder) turn(l *link, frames []media.Frame) int {
	if l.made == nil {
		select {
		case l.made = <-l.next:
			t.in.RequestKeyFrame()
		default:
			return len(frames)
		}
	}
	silent := t.source().Video.Track() == nil // there is nothing but sound, where any frame will do
	for i, f := range frames {
		if silent || f.Kind() == media.Video && f.Key {
			return i
		}
	}
	return len(frames)
}

// write lays frames onto the link. It may change their order of storage.
func (t *Transponder) write(ctx context.Context, l *link, frames []media.Frame) error {
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
		t.clock.place(l.mux, f, tags[begun:])
	}
	l.tags = tags
	if len(tags) == 0 {
		return nil
	}
	now := time.Now()
	if now.After(l.allowed) { // moved once a second: a timer per write is not free
		l.allowed = now.Add(time.Second)
		t.allowWrite(ctx, l.conn)
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
	t.sent(written)
	return nil
}

// allowWrite gives the next writes the time that a healthy peer needs, or a little when ctx has ended. The order matters: ctx
// may end between the two lines, and its own change of the deadline be overwritten.
func (t *Transponder) allowWrite(ctx context.Context, conn net.Conn) {
	conn.SetWriteDeadline(time.Now().Add(t.cfg.WriteTimeout))
	if ctx.Err() != nil {
		conn.SetWriteDeadline(time.Now().Add(t.cfg.DrainTimeout))
	}
}

// readError says whether the reader ended because of the stream, the push, or what makes the sound.
func (t *Transponder) readError(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case t.source().Err() != nil:
		return &sourceError{t.source().Err()}
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
func (t *Transponder) sent(frames []media.Frame) {
	now := time.Now()
	t.mu.Lock()
	for _, f := range frames {
		t.meter.Count(now, len(f.Data))
		if f.Kind() != media.Video {
			t.frames[0]++
			continue
		}
		t.picture = f.Track
		if f.Key {
			if t.lastKey != 0 {
				t.keyInterval = f.Time.Sub(t.lastKey)
			}
			t.lastKey = f.Time
		}
		t.frames[1]++
	}
	t.mu.Unlock()
	if !t.liveSince.IsZero() {
		return
	}
	t.liveSince, t.everLive = now, true
	status := Status{State: Live}
	if t.in.held { // the stream went while there was no connection
		status = holdingStatus
	}
	if t.moveFrom([]State{Connecting}, status) {
		t.log.Info("push live", "attempt", t.attempts.Load(), "after", time.Since(t.started).Round(time.Millisecond))
	}
}

// drain says that the push ends, and why, if it has not been said yet.
func (t *Transponder) drain(why error) {
	reason, detail := explain(why)
	t.moveFrom([]State{Connecting, Live, Degraded, Holding}, Status{State: Draining, Reason: reason, Detail: detail})
}

// goodbye sends what is queued, if there is to be no more, tells the peer that the stream ends and lets it close first. ctx has
// ended.
func (t *Transponder) goodbye(ctx context.Context, why error, l *link, in *holder, reading *sync.WaitGroup) {
	l.conn.SetWriteDeadline(time.Now().Add(t.cfg.DrainTimeout))
	var moved *redirect
	if !errors.As(why, &moved) {
		t.drain(why)
		if err := t.empty(ctx, l, in); err != nil {
			t.log.Debug("send what is queued", "err", printable(err))
			return
		}
	}
	if err := l.client.Unpublish(); err != nil {
		t.log.Debug("say goodbye", "err", err)
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
func (t *Transponder) empty(ctx context.Context, l *link, in *holder) error {
	l.allowed = time.Now().Add(time.Hour)
	frames := make([]media.Frame, 64)
	for {
		n, err := in.ReadRest(ctx, frames)
		if n == 0 || err != nil {
			return nil
		}
		if n, err = t.sendable(l, in, frames[:n]); err != nil {
			return err
		}
		if err := t.write(ctx, l, frames[:t.voice.apply(frames[:n])]); err != nil {
			return err
		}
	}
}

// hidden says whether the reasons of the push tell what is there in a private network.
func (t *Transponder) hidden() bool { return t.inside.Load() && !t.known.Load() }

// Info returns what can be said of the push now.
func (t *Transponder) Info() Info {
	status := t.machine.now()
	sent, acked := t.bytes()
	i := Info{
		ID: t.id, SourceName: t.src.Info().Name, StreamName: t.target.Name, URL: t.target.URL(), Options: t.req.Options,
		Target: t.target.String(), SecretName: t.target.SecretName,
		State: status.State, Since: status.Since, Reason: status.Reason, Detail: status.Detail, NextTry: status.NextTry,
		Attempts: int(t.attempts.Load()), Started: t.started,
		BytesSent: sent, BytesAcked: acked, Hidden: t.hidden(),
	}
	if status.State.final() {
		i.Ended = status.Since
	}
	i.Muted, i.SoundFile = t.voice.state()
	i.SoundEnabled = i.SoundFile != ""
	if made, ok := t.transcoder(); ok {
		i.TranscoderDropped = made.Dropped
	}
	track := t.source().Video.Track()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.picture != nil {
		track = t.picture // what is sent: a slate, say
	}
	if track != nil {
		i.Width, i.Height = track.Width, track.Height
		if t.picture == nil && t.req.transcodes() {
			i.Width, i.Height = t.profile.Size(track.Width, track.Height)
		}
	} else {
		i.Width, i.Height = t.profile.Width, t.profile.Height
	}
	if t.in != nil {
		queue := t.in.Stats()
		i.DroppedFrames, i.DroppedTime = queue.DroppedFrames, queue.DroppedTime
		i.QueuedBytes, i.QueuedTime = queue.QueuedBytes, queue.QueuedTime
		if t.out != nil {
			outside := t.out.outside()
			i.QueuedBytes += int(outside.bytes)
			i.QueuedTime += outside.lag
		}
		buffered := t.in.Buffered()
		i.BufferDelay, i.Bufferings = buffered.Delay, buffered.Bufferings
	}
	if status.State.up() {
		i.RateBPS, _ = t.meter.Rates(time.Now())
	}
	i.AudioFrames, i.VideoFrames, i.KeyInterval = t.frames[0], t.frames[1], t.keyInterval
	return i
}

// persist makes one connection after the other, as the policy wants it, and returns why there is no further one.
func (t *Transponder) persist(ctx context.Context, in *holder) error {
	p := policy{Restore: t.cfg.restore(t.req.Options.Restore)}
	for {
		err := t.attempt(ctx, in)
		reason, detail := explain(err)
		l := loss{reason: reason, ever: t.everLive}
		if status := (*rtmp.StatusError)(nil); errors.As(err, &status) {
			l.full = isFull(status) && reason == ReasonPeerClosed
		}
		if !t.liveSince.IsZero() {
			l.healthy = time.Since(t.liveSince)
		}
		pause, again := p.next(l, rand.Float64())
		if !again {
			return err
		}
		t.log.Warn("push lost", "reason", reason, "err", printable(err), "pause", pause)
		t.move(Status{State: Waiting, Reason: reason, Detail: detail, NextTry: time.Now().Add(pause)})
		if err := t.rest(ctx, pause, in); err != nil {
			return err
		}
	}
}

// rest waits for a pause to be over, unless there is nothing left to connect for. Nothing is read meanwhile.
func (t *Transponder) rest(ctx context.Context, pause time.Duration, in *holder) error {
	in.sleep()
	timer := time.NewTimer(pause)
	defer timer.Stop()
	src := in.Source()
	gone := src.Done()
	var expired <-chan time.Time
	for {
		select {
		case <-timer.C:
			in.wake()
			return nil
		case <-gone:
			if err := in.ending(); err != nil {
				return &sourceError{err}
			}
			gone = nil // it is held for when the connection is back
			in.miss()
			expired = time.After(time.Until(in.until))
		case <-expired:
			if in.expired() {
				return &sourceError{src.Err()}
			}
			expired = time.After(watchEvery) // who has taken the name may not stay
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// beginSound puts the push's sound into the state that its request asks for.
func (t *Transponder) beginSound(player SoundPlayer) error {
	t.voice.mute(t.req.Options.Action == actionMute)
	if player == nil {
		return nil
	}
	return t.voice.play(t.req.Options.SoundFile, player)
}

// runSafely runs the push to a final state.
func (t *Transponder) runSafely(ctx context.Context) {
	err := t.safely(func() error { return t.Run(ctx) })
	if !t.machine.now().State.final() {
		t.finish(ctx, err)
	}
}

// safely runs f. If f panics, the error ends this push and no other.
func (t *Transponder) safely(f func() error) error {
	return t.panics.Run(t.log, "push panicked", f)
}

// matches compares the name with the source's and the published one, and the URL as it was given or as we read it.
func (t *Transponder) matches(f Filter) bool {
	if f.ID != "" && f.ID != t.id {
		return false
	}
	if f.StreamName != "" && f.StreamName != t.src.Info().Name && f.StreamName != t.target.Name {
		return false
	}
	if f.URL == "" || f.URL == t.target.URL() {
		return true
	}
	other, err := ParseTarget(f.URL, "", Naming{})
	own, _ := ParseTarget(t.target.URL(), "", Naming{})
	return err == nil && other.key() == own.key()
}
