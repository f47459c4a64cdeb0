package transponder

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"transponder/internal/flv"
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
	id     string
	cfg    Config
	req    Request
	target Target
	addrs  []netip.Addr
	src    *stream.Source
	audio  AudioRenditions
	log    *slog.Logger

	machine  *machine
	started  time.Time
	attempts atomic.Int32

	mu          sync.Mutex
	reader      *stream.Reader // guarded by mu; of the present connection
	client      *rtmp.Client   // guarded by mu; likewise
	meter       stream.Meter   // guarded by mu
	frames      [2]int64       // guarded by mu; audio, video sent
	lastKey     media.Timestamp
	keyInterval time.Duration // guarded by mu, as is lastKey
}

// Run publishes until the stream ends, ctx ends or the far end fails, and returns which. The state is final when it returns.
func (t *Transponder) Run(ctx context.Context) error {
	// Attached before the stream is live and before dialling: its first key frame is the one to begin with.
	reader := t.src.NewReader(stream.ReaderConfig{Video: t.src.Video, KeyFrames: true})
	defer reader.Close()
	err := t.waitLive(ctx)
	if err == nil {
		err = t.attempt(ctx, reader)
	}
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
	t.to(state, reason, detail)
	info := t.Info()
	t.log.Log(ctx, level, "push stopped", "reason", reason, "err", printable(err), "attempts", info.Attempts,
		"bytes", info.BytesSent, "video", info.VideoFrames, "audio", info.AudioFrames, "dropped", info.DroppedFrames)
}

func (t *Transponder) to(s State, reason Reason, detail string) {
	if err := t.machine.to(s, reason, detail); err != nil {
		t.log.Error("push state", "err", err)
	}
}

// attempt makes one connection and publishes on it to its end.
func (t *Transponder) attempt(ctx context.Context, reader *stream.Reader) error {
	feed, release, err := t.audio.AAC(t.src)
	if err != nil {
		return t.readError(ctx, err)
	}
	defer release()
	reader.AddAudio(feed)
	begun := time.Now()

	t.to(Connecting, ReasonNone, "")
	t.attempts.Add(1)
	conn, client, err := t.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	t.mu.Lock()
	t.reader, t.client = reader, client
	t.mu.Unlock()
	if time.Since(begun) > time.Second {
		reader.Restart() // what waited so long would be late for good
	}
	return t.publish(ctx, conn, client, reader)
}

// connect dials and goes as far as NetStream.Publish.Start, all within one deadline.
func (t *Transponder) connect(ctx context.Context) (net.Conn, *rtmp.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, t.cfg.ConnectTimeout)
	defer cancel()
	conn, err := t.cfg.dial(ctx, t.target, t.addrs)
	if err != nil {
		return nil, nil, causeOr(ctx, err)
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now()) }) // the way out of blocked I/O
	client := rtmp.NewClient(conn, rtmp.ClientConfig{
		App: t.target.App, TCURL: t.target.TCURL, FlashVersion: t.flashVersion(), StreamName: t.target.Name,
	})
	for _, step := range []func() error{client.Handshake, client.Connect, client.Publish} {
		if err = step(); err != nil {
			break
		}
	}
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		conn.Close()
		return nil, nil, causeOr(ctx, err)
	}
	return conn, client, nil
}

// causeOr returns why ctx ended where that is somebody's wish, else err. A deadline is no wish: err then says more.
func causeOr(ctx context.Context, err error) error {
	if ctx.Err() != nil && !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return context.Cause(ctx)
	}
	return err
}

func (t *Transponder) flashVersion() string {
	if t.req.FlashVersion != "" {
		return t.req.FlashVersion
	}
	return t.cfg.FlashVersion
}

// publish sends frames and reads what the peer says, until one of the two ends, and then says goodbye.
func (t *Transponder) publish(ctx context.Context, conn net.Conn, client *rtmp.Client, reader *stream.Reader) error {
	sending, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// A write that is blocked when the push is to end gets a little time to finish, and no more.
	stop := context.AfterFunc(sending, func() { conn.SetWriteDeadline(time.Now().Add(t.cfg.DrainTimeout)) })
	defer stop()

	var wg sync.WaitGroup
	wg.Go(func() {
		// No deadline: a peer may lawfully stay silent for hours. One that is dead shows when writing, and conn is closed
		// when the sending ends.
		cancel(t.serve(client))
	})
	err := t.send(sending, conn, client, reader)
	if polite(err) {
		t.to(Draining, ReasonNone, "")
		t.goodbye(conn, client, &wg)
	}
	conn.Close()
	wg.Wait()
	return err
}

// polite says whether the peer is still there to be told that the stream ends.
func polite(err error) bool {
	var source *sourceError
	return errors.As(err, &source) || errors.Is(err, errTerminated) || errors.Is(err, ErrStopping)
}

// serve reads from the peer until it ends the stream. A wish to reconnect is noted only: it is the peer's to close.
func (t *Transponder) serve(client *rtmp.Client) error {
	for {
		err := client.Serve()
		var reconnect *rtmp.ReconnectError
		if !errors.As(err, &reconnect) {
			return err
		}
		t.log.Info("peer asks for a reconnect")
	}
}

// send writes frames as they come.
func (t *Transponder) send(ctx context.Context, conn net.Conn, client *rtmp.Client, reader *stream.Reader) error {
	mux := t.muxer()
	frames := make([]media.Frame, 64)
	var tags []flv.Tag
	var deadline time.Time
	for {
		n, err := reader.Read(ctx, frames)
		if err != nil {
			return t.readError(ctx, err)
		}
		tags = tags[:0]
		for _, f := range frames[:n] {
			if tags, err = mux.Append(tags, f); err != nil {
				return err
			}
		}
		if len(tags) == 0 {
			continue
		}
		if now := time.Now(); now.After(deadline) { // moved once a second: a timer per write is not free
			deadline = now.Add(time.Second)
			t.allowWrite(ctx, conn)
		}
		if err := client.WriteTags(tags); err != nil {
			return writeError(ctx, err)
		}
		t.sent(frames[:n])
		clear(frames[:n])
	}
}

// muxer makes what lays the source's frames onto a new connection.
func (t *Transponder) muxer() *flv.Muxer {
	m := &flv.Muxer{FrameRate: func() float64 { return math.Round(t.src.Video.Stats().FPS) }}
	if t.cfg.SendMetadata {
		m.Metadata = flv.MetadataTag
	}
	if t.src.Info().HasVideo {
		m.WaitVideoMS = videoWait.Milliseconds()
	}
	return m
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
	first := false
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
	first = t.machine.now().State == Connecting
	t.mu.Unlock()
	if first {
		t.to(Live, ReasonNone, "")
		t.log.Info("push live", "after", time.Since(t.started).Round(time.Millisecond))
	}
}

// goodbye tells the peer that the stream ends and lets it close first.
func (t *Transponder) goodbye(conn net.Conn, client *rtmp.Client, reading *sync.WaitGroup) {
	conn.SetWriteDeadline(time.Now().Add(t.cfg.DrainTimeout))
	if err := client.Unpublish(); err != nil {
		t.log.Debug("say goodbye", "err", err)
		return
	}
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		if err := half.CloseWrite(); err != nil {
			return
		}
	}
	conn.SetReadDeadline(time.Now().Add(goodbyeWait))
	reading.Wait()
}

// Info returns what can be said of the push now.
func (t *Transponder) Info() Info {
	status := t.machine.now()
	i := Info{
		ID: t.id, SourceName: t.src.Info().Name, StreamName: t.target.Name, URL: t.target.URL(), Options: t.req.Options,
		State: status.State, Since: status.Since, Reason: status.Reason, Detail: status.Detail,
		Attempts: int(t.attempts.Load()), Started: t.started,
	}
	if track := t.src.Video.Track(); track != nil {
		i.Width, i.Height = track.Width, track.Height
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.client != nil {
		i.BytesSent, i.BytesAcked = t.client.BytesSent(), t.client.BytesAcked()
		queue := t.reader.Stats()
		i.DroppedFrames, i.QueuedBytes, i.QueuedTime = queue.DroppedFrames, queue.QueuedBytes, queue.QueuedTime
	}
	if status.State == Live {
		i.RateBPS, _ = t.meter.Rates(time.Now())
	}
	i.AudioFrames, i.VideoFrames, i.KeyInterval = t.frames[0], t.frames[1], t.keyInterval
	return i
}
