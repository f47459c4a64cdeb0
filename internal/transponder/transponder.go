package transponder

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"transponder/internal/media"
	"transponder/internal/rtmp"
	"transponder/internal/stream"
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
	src     *stream.Source
	audio   AudioRenditions
	journal *Journal
	log     *slog.Logger

	machine  *machine
	started  time.Time
	attempts atomic.Int32

	moving sync.Mutex // held through a move and its entry in the journal, so that these are in order; before mu

	clock     timeline  // owned by Run
	everLive  bool      // owned by Run
	liveSince time.Time // owned by Run; when the present connection took its first tags, zero before
	movedAt   time.Time // owned by Run, and by what publish starts; when the peer last had us move

	mu          sync.Mutex
	reader      *stream.Reader // guarded by mu; of the present attempt
	client      *rtmp.Client   // guarded by mu; of the present connection
	past        totals         // guarded by mu; of those before
	meter       stream.Meter   // guarded by mu
	frames      [2]int64       // guarded by mu; audio, video sent
	lastKey     media.Timestamp
	keyInterval time.Duration // guarded by mu, as is lastKey
}

// totals are figures that go on over all connections.
type totals struct{ sent, acked, dropped int64 }

// Run publishes until the stream ends, ctx ends or the far end fails for good, and returns which. The state is final when it
// returns.
func (t *Transponder) Run(ctx context.Context) error {
	err := t.persist(ctx)
	t.finish(ctx, err)
	return err
}

// waitLive waits for a stream whose name is only reserved yet.
func (t *Transponder) waitLive(ctx context.Context) error {
	select {
	case <-t.src.Live():
		return nil
	case <-t.src.Done():
		return &sourceError{t.src.Err()}
	case <-ctx.Done():
		return context.Cause(ctx)
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
	t.journal.add(Event{
		ID: t.id, At: t.machine.now().Since, SourceName: t.src.Info().Name, Target: t.target.String(),
		From: before, To: s.State, Reason: s.Reason, Detail: s.Detail, Attempt: int(t.attempts.Load()),
		NextRetry: s.NextTry, BytesAcked: t.totals().acked,
	})
}

// attempt makes a connection and publishes on it, and on those that its peer asks for instead, to the end.
func (t *Transponder) attempt(ctx context.Context) error {
	// Attached before the stream is live and before dialling: its first key frame is the one to begin with.
	reader := t.src.NewReader(stream.ReaderConfig{Video: t.src.Video, KeyFrames: true})
	defer reader.Close()
	defer t.use(nil, nil)
	if err := t.waitLive(ctx); err != nil {
		return err
	}
	feed, release, err := t.audio.AAC(t.src)
	if err != nil {
		return t.readError(ctx, err)
	}
	defer release()
	reader.AddAudio(feed)

	target, addrs := t.target, t.addrs
	t.addrs = nil // a later attempt asks for them again: the server may have moved
	for {
		l, err := t.begin(ctx, reader, target, addrs)
		if err != nil {
			return err
		}
		var moved *redirect
		for l != nil {
			if err := t.publish(ctx, l, reader); !errors.As(err, &moved) {
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
func (t *Transponder) begin(ctx context.Context, reader *stream.Reader, target Target, addrs []netip.Addr) (*link, error) {
	before := t.machine.now()
	t.move(Status{State: Connecting, Reason: before.Reason, Detail: before.Detail})
	begun := time.Now()
	t.use(reader, nil)
	l, err := t.connect(ctx, target, addrs)
	if err == nil && time.Since(begun) > time.Second {
		reader.Restart()
	}
	return l, err
}

// use says what the figures are of from now on.
func (t *Transponder) use(reader *stream.Reader, client *rtmp.Client) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.client != nil && t.client != client {
		t.past.sent += t.client.BytesSent()
		t.past.acked += t.client.BytesAcked()
	}
	if t.reader != nil && t.reader != reader {
		t.past.dropped += t.reader.Stats().DroppedFrames
	}
	t.reader, t.client = reader, client
}

// totals returns the figures over all connections.
func (t *Transponder) totals() totals {
	t.mu.Lock()
	defer t.mu.Unlock()
	sum := t.past
	if t.client != nil {
		sum.sent += t.client.BytesSent()
		sum.acked += t.client.BytesAcked()
	}
	if t.reader != nil {
		sum.dropped += t.reader.Stats().DroppedFrames
	}
	return sum
}

// publish sends frames and reads what the peer says, until one of the two ends, and then says goodbye. It closes the link.
// A *redirect says that, and how, the stream goes on elsewhere.
func (t *Transponder) publish(ctx context.Context, l *link, reader *stream.Reader) error {
	t.use(reader, l.client)
	sending, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// A write that is blocked when the push is to end gets a little time to finish, and no more.
	stop := context.AfterFunc(sending, func() { l.conn.SetWriteDeadline(time.Now().Add(t.cfg.DrainTimeout)) })
	defer stop()

	var wg sync.WaitGroup
	wg.Go(func() {
		// No deadline: a peer may lawfully stay silent for hours. One that is dead shows when writing, and the connection is
		// closed when the sending ends.
		cancel(t.serve(l, func(target Target) {
			wg.Go(func() {
				if err := t.reconnect(sending, l, target); err != nil {
					cancel(err)
				}
			})
		}))
	})
	wg.Go(func() { cancel(t.watch(sending, l, reader)) })
	err := t.send(sending, l, reader)
	cancel(err)
	if polite(err) {
		t.goodbye(err, l, &wg)
	}
	l.conn.Close()
	wg.Wait()
	return t.after(ctx, l, reader, err)
}

// after says how it goes on after a link: if its peer had asked for another, there, however the link ended.
func (t *Transponder) after(ctx context.Context, l *link, reader *stream.Reader, err error) error {
	made := l.made
	if made == nil {
		select {
		case made = <-l.next:
		default:
		}
	}
	var moved *redirect
	asked := l.asked.Load()
	if errors.As(err, &moved) || ctx.Err() != nil || asked == nil || t.src.Err() != nil {
		if made != nil {
			made.conn.Close()
		}
		return err
	}
	reader.Restart()
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
func (t *Transponder) send(ctx context.Context, l *link, reader *stream.Reader) error {
	if err := t.write(ctx, l, l.backlog); err != nil {
		return err
	}
	l.backlog = nil
	frames := make([]media.Frame, 64)
	for {
		n, err := reader.Read(ctx, frames)
		if err != nil {
			return t.readError(ctx, err)
		}
		now := t.turn(l, frames[:n])
		if err := t.write(ctx, l, frames[:now]); err != nil {
			return err
		}
		if now < n {
			l.made.backlog = slices.Clone(frames[now:n])
			return &redirect{link: l.made}
		}
		clear(frames[:n])
	}
}

// turn returns how many of the frames are still the link's: all, unless another is ready and begins with one of them.
func (t *Transponder) turn(l *link, frames []media.Frame) int {
	if l.made == nil {
		select {
		case l.made = <-l.next:
			t.src.RequestKeyFrame()
		default:
			return len(frames)
		}
	}
	silent := t.src.Video.Track() == nil // there is nothing but sound, where any frame will do
	for i, f := range frames {
		if silent || f.Kind() == media.Video && f.Key {
			return i
		}
	}
	return len(frames)
}

// write lays frames onto the link.
func (t *Transponder) write(ctx context.Context, l *link, frames []media.Frame) error {
	tags := l.tags[:0]
	for _, f := range frames {
		begun := len(tags)
		var err error
		if tags, err = l.mux.Append(tags, f); err != nil {
			return err
		}
		t.clock.place(l.mux, f, tags[begun:])
	}
	l.tags = tags
	if len(tags) == 0 {
		return nil
	}
	if now := time.Now(); now.After(l.allowed) { // moved once a second: a timer per write is not free
		l.allowed = now.Add(time.Second)
		t.allowWrite(ctx, l.conn)
	}
	if err := l.client.WriteTags(tags); err != nil {
		return writeError(ctx, err)
	}
	clear(tags)
	t.sent(frames)
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
	case t.src.Err() != nil:
		return &sourceError{t.src.Err()}
	default:
		return err
	}
}

// writeError names a stalled peer. An error that the reading side has explained better is its.
func writeError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, syscall.ETIMEDOUT) {
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
	if t.moveFrom([]State{Connecting}, Status{State: Live}) {
		t.log.Info("push live", "attempt", t.attempts.Load(), "after", time.Since(t.started).Round(time.Millisecond))
	}
}

// goodbye tells the peer that the stream ends and lets it close first.
func (t *Transponder) goodbye(why error, l *link, reading *sync.WaitGroup) {
	var moved *redirect
	if !errors.As(why, &moved) {
		t.move(Status{State: Draining})
	}
	l.conn.SetWriteDeadline(time.Now().Add(t.cfg.DrainTimeout))
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

// Info returns what can be said of the push now.
func (t *Transponder) Info() Info {
	status := t.machine.now()
	sum := t.totals()
	i := Info{
		ID: t.id, SourceName: t.src.Info().Name, StreamName: t.target.Name, URL: t.target.URL(), Options: t.req.Options,
		State: status.State, Since: status.Since, Reason: status.Reason, Detail: status.Detail, NextTry: status.NextTry,
		Attempts: int(t.attempts.Load()), Started: t.started,
		BytesSent: sum.sent, BytesAcked: sum.acked, DroppedFrames: sum.dropped,
	}
	if status.State.final() {
		i.Ended = status.Since
	}
	if track := t.src.Video.Track(); track != nil {
		i.Width, i.Height = track.Width, track.Height
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.reader != nil {
		queue := t.reader.Stats()
		i.QueuedBytes, i.QueuedTime = queue.QueuedBytes, queue.QueuedTime
	}
	if status.State.up() {
		i.RateBPS, _ = t.meter.Rates(time.Now())
	}
	i.AudioFrames, i.VideoFrames, i.KeyInterval = t.frames[0], t.frames[1], t.keyInterval
	return i
}
