package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"transponder/internal/flv"
	"transponder/internal/media"
	"transponder/internal/panics"
	"transponder/internal/rtmp"
	"transponder/internal/stream"
)

// The verbs of a Relay.
const (
	verbRelay    = "relay"    // send me a stream
	verbKeyFrame = "keyframe" // ask the publisher of a stream for a key frame
)

const (
	// relayApp is the application of RTMP connections between servers. Its query has a secret, which is good for one connection.
	relayApp = "transponder-relay"
	// arriveWithin is how long a stream may take to arrive from another server: two questions, and a handshake of RTMP.
	arriveWithin = 3 * time.Second
	// unusedFor is how long a stream of another server stays here without a reader.
	unusedFor = 10 * time.Second
	// lostFor is how long a stream that has ended is looked for on all servers: players wait as long for a publisher that reconnects.
	lostFor = 15 * time.Second
	// lookAgain is the pause between two looks.
	lookAgain = 500 * time.Millisecond
	// unknownFor is how long it is remembered that nobody has a stream, since players that wait ask again and again.
	unknownFor = time.Second
	// maxUnknown bounds what is remembered.
	maxUnknown = 10_000
	// relayWrite is how long a write to another server may take.
	relayWrite = 5 * time.Second
	// firstFrame is how long a stream may take to show its codecs before it is sent.
	firstFrame = 2 * time.Second
	// maxSends bounds the streams that are sent to other servers.
	maxSends = 5000
)

var (
	errUnused   = errors.New("nobody plays the stream of the other server any more")
	errNoRelay  = errors.New("the stream of the other server did not arrive")
	errNotHere  = errors.New("the stream is not on this server")
	errTooMany  = errors.New("this server sends too many streams to others")
	errRelayEnd = errors.New("the relay is stopping")
)

// RelayParts are what a Relay works with.
type RelayParts struct {
	Router *Router
	Hub    *stream.Hub
	// Transcode returns a feed of a stream in a codec that RTMP has.
	Transcode func(s *stream.Source, codec media.Codec) (*stream.Feed, func(), error)
}

// Relay brings streams of other servers here, so that they can be played here, and sends streams of this server to others. The server that
// wants a stream asks the one that has it, which then publishes it by RTMP. So both directions are those of any publisher, and frames pass
// untouched where RTMP has their codec.
type Relay struct {
	parts  RelayParts
	log    *slog.Logger
	unused time.Duration // unusedFor, less in tests

	panics  panics.Counter
	sends   atomic.Int64
	in, out relayCounters

	mu       sync.Mutex
	pulls    map[string]*pull     // guarded by mu; by the name of the stream
	expected map[string]*expected // guarded by mu; by the application
	unknown  map[string]time.Time // guarded by mu; when nobody had the stream
	running  context.Context      // guarded by mu; nil: Run has not begun, or has ended
	wg       sync.WaitGroup       // of pulls and sends; added to under mu while running is not nil
}

// relayCounters count the streams of one direction.
type relayCounters struct{ opened, failed, bytes atomic.Int64 }

// RelayStats are figures of a Relay.
type RelayStats struct{ In, Out RelayDirection }

// RelayDirection are figures of the streams that come from other servers, or go there.
type RelayDirection struct {
	Now    int
	Opened int64 // streams that flowed
	Failed int64 // streams that another server has or wants, and that did not flow
	Bytes  int64
}

func (c *relayCounters) read(now int) RelayDirection {
	return RelayDirection{now, c.opened.Load(), c.failed.Load(), c.bytes.Load()}
}

// Stats returns the figures.
func (r *Relay) Stats() RelayStats {
	return RelayStats{In: r.in.read(r.Pulled()), Out: r.out.read(int(r.Sent()))}
}

// pull is a stream that is brought here.
type pull struct {
	settled chan struct{} // closed when the first attempt is over
}

// expected is a connection that another server is about to make.
type expected struct {
	info    stream.Info
	taken   bool                // guarded by Relay.mu
	arrived chan *stream.Source // holds one
}

// NewRelay makes a relay, and answers the requests of other servers from then on.
func NewRelay(parts RelayParts, log *slog.Logger) *Relay {
	r := &Relay{parts: parts, log: log, unused: unusedFor, pulls: map[string]*pull{}, expected: map[string]*expected{}, unknown: map[string]time.Time{}}
	parts.Router.peers.Handle(verbRelay, r.onRelay)
	parts.Router.peers.Handle(verbKeyFrame, r.onKeyFrame)
	return r
}

// Run waits until ctx ends. Then it ends all relays, and waits for them.
func (r *Relay) Run(ctx context.Context) error {
	running, cancel := context.WithCancelCause(ctx)
	r.mu.Lock()
	r.running = running
	r.mu.Unlock()
	<-ctx.Done()
	r.mu.Lock()
	r.running = nil
	r.mu.Unlock()
	cancel(errRelayEnd)
	r.wg.Wait()
	return context.Cause(ctx)
}

// Pulled returns how many streams of other servers are here.
func (r *Relay) Pulled() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.pulls)
}

// Sent returns how many streams are sent to other servers.
func (r *Relay) Sent() int64 { return r.sends.Load() }

// Panics returns how many relays have panicked.
func (r *Relay) Panics() int64 { return r.panics.Load() }

// Source is Find with a deadline of its own.
func (r *Relay) Source(name string) (*stream.Source, bool) {
	if s, ok := r.parts.Hub.Source(name); ok {
		return s, true
	}
	r.mu.Lock()
	ctx := r.running
	r.mu.Unlock()
	if ctx == nil {
		return nil, false
	}
	return r.Find(ctx, name)
}

// Find returns the stream with that name. If another server has it, Find brings it here, which takes some milliseconds and at most
// arriveWithin. A stream that nobody has is not looked for again within a second.
func (r *Relay) Find(ctx context.Context, name string) (*stream.Source, bool) {
	if s, ok := r.parts.Hub.Source(name); ok {
		return s, true
	}
	p := r.pull(name)
	if p == nil {
		return nil, false
	}
	select {
	case <-p.settled:
	case <-ctx.Done():
	}
	return r.parts.Hub.Source(name)
}

// pull begins to bring a stream here, unless that goes on already. nil: it cannot be brought here.
func (r *Relay) pull(name string) *pull {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.pulls[name]
	if p != nil || r.running == nil || len(r.parts.Router.others()) == 0 || time.Since(r.unknown[name]) < unknownFor {
		return p
	}
	p = &pull{settled: make(chan struct{})}
	r.pulls[name] = p
	ctx := r.running
	r.wg.Go(func() {
		_ = r.panics.Run(r.log, "relay panicked", func() error { r.keep(ctx, name, p); return nil })
		r.mu.Lock()
		delete(r.pulls, name)
		r.mu.Unlock()
		select {
		case <-p.settled:
		default:
			close(p.settled)
		}
	})
	return p
}

// keep brings a stream here for as long as somebody plays it. When the stream ends, keep looks for its publisher on all servers for a while.
func (r *Relay) keep(ctx context.Context, name string, p *pull) {
	lost := time.Now()
	first := true
	for ctx.Err() == nil {
		src, from, err := r.fetch(ctx, name)
		if err != nil && !errors.Is(err, errNotHere) && ctx.Err() == nil {
			r.in.failed.Add(1)
			if first { // it is tried again and again for a while
				r.log.Warn("stream of another server does not come", "stream", name, "node", from.Node, "err", err)
			}
		}
		if first {
			first = false
			close(p.settled)
			if err != nil {
				r.note(name)
				return
			}
		}
		if err == nil {
			r.in.opened.Add(1)
			r.log.Info("stream of another server begun", "stream", name, "node", from.Node)
			err = r.use(ctx, src)
			r.log.Info("stream of another server ended", "stream", name, "node", from.Node, "err", err)
			if errors.Is(err, errUnused) || errors.Is(err, stream.ErrReplaced) {
				return
			}
			lost = time.Now()
		}
		if time.Since(lost) > lostFor {
			return
		}
		select {
		case <-time.After(lookAgain):
		case <-ctx.Done():
		}
		if s, ok := r.parts.Hub.Source(name); ok && !s.Info().IsRelay() {
			return // it is published here now
		}
	}
}

// note remembers that nobody has a stream.
func (r *Relay) note(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.unknown) >= maxUnknown {
		clear(r.unknown)
	}
	r.unknown[name] = time.Now()
}

// wanted asks for a stream.
type wanted struct {
	Stream string `json:"stream"`
	To     string `json:"to"`  // host:port of the server that wants it
	App    string `json:"app"` // of the RTMP connection
}

// fetch has the server that has a stream send it here.
func (r *Relay) fetch(ctx context.Context, name string) (*stream.Source, Owner, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, arriveWithin, errNoRelay)
	defer cancel()
	at, found, _ := r.parts.Router.Locate(ctx, KindStream, name)
	if !found {
		return nil, at, errNotHere
	}
	to := r.address()
	if to == "" {
		return nil, at, errors.New("this server has no RTMP address for others (cluster_rtmp_address)")
	}
	e := &expected{arrived: make(chan *stream.Source, 1)}
	e.info = stream.Info{
		Name: name, ID: stream.NewID(), Provider: stream.ProviderRelay, Transport: "TCP", HasVideo: true, HasAudio: true,
		AskKeyFrame: r.keyFrames(at, name),
	}
	app := relayApp + "?key=" + stream.NewID()
	r.mu.Lock()
	r.expected[app] = e
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.expected, app)
	}()
	body, err := pack(r.parts.Router.sealer, "relay", wanted{name, to, app}, nil)
	if err != nil {
		return nil, at, err
	}
	if _, err := r.parts.Router.peers.Request(ctx, at, verbRelay, body); err != nil {
		return nil, at, noAnswer(at, err)
	}
	select {
	case src := <-e.arrived:
		return src, at, nil
	case <-ctx.Done():
		return nil, at, context.Cause(ctx)
	}
}

// address returns where other servers reach the RTMP port of this one.
func (r *Relay) address() string {
	for _, n := range r.parts.Router.peers.Nodes() {
		if n.Owner == r.parts.Router.peers.Me() {
			return n.RTMP
		}
	}
	return ""
}

// keyFrames returns a function that asks the publisher for a key frame. It does not block: a request is dropped while another is on the way.
func (r *Relay) keyFrames(at Owner, name string) func() {
	var asking atomic.Bool
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		ctx := r.running
		if ctx == nil || asking.Swap(true) {
			return
		}
		r.wg.Go(func() {
			defer asking.Store(false)
			ctx, cancel := context.WithTimeout(ctx, hasWithin)
			defer cancel()
			body, err := pack(r.parts.Router.sealer, "keyframe", wanted{Stream: name}, nil)
			if err == nil {
				_, err = r.parts.Router.peers.Request(ctx, at, verbKeyFrame, body)
			}
			if err != nil {
				r.log.Debug("another server was not asked for a key frame", "stream", name, "node", at.Node, "err", err)
			}
		})
	}
}

// use waits until a stream ends, or until nobody has read it for a while.
func (r *Relay) use(ctx context.Context, src *stream.Source) error {
	tick := time.NewTicker(r.unused / 10)
	defer tick.Stop()
	read := time.Now()
	var counted int64
	count := func() {
		st := src.Stats()
		bytes := st.Video.Bytes + st.Audio.Bytes
		r.in.bytes.Add(bytes - counted)
		counted = bytes
	}
	defer count()
	for {
		select {
		case <-src.Done():
			return src.Err()
		case <-ctx.Done():
			src.Close(context.Cause(ctx))
			return context.Cause(ctx)
		case now := <-tick.C:
			count()
			if st := src.Stats(); st.Video.Readers > 0 || st.Audio.Readers > 0 {
				read = now
			}
			if now.Sub(read) >= r.unused {
				src.Close(errUnused)
				return errUnused
			}
		}
	}
}

// Expects returns what a server publishes that connects to an application. It is good for one connection.
func (r *Relay) Expects(app string) (stream.Info, bool) {
	if !strings.HasPrefix(app, relayApp) {
		return stream.Info{}, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.expected[app]
	if e == nil || e.taken {
		return stream.Info{}, false
	}
	e.taken = true
	return e.info, true
}

// Arrived is told the source of a stream that Expects has returned.
func (r *Relay) Arrived(app string, src *stream.Source) {
	r.mu.Lock()
	e := r.expected[app]
	r.mu.Unlock()
	if e == nil { // it came too late
		src.Close(errNoRelay)
		return
	}
	e.arrived <- src // holds one, and Expects lets one in
}

// here returns the stream that another server asks for.
func (r *Relay) here(place string, body []byte) (*stream.Source, wanted, error) {
	var w wanted
	if _, err := unpack(r.parts.Router.sealer, place, body, &w); err != nil {
		return nil, w, err
	}
	src, ok := r.parts.Hub.Source(w.Stream)
	if !ok || src.Info().IsRelay() {
		return nil, w, errNotHere
	}
	return src, w, nil
}

func (r *Relay) onKeyFrame(_ context.Context, body []byte) ([]byte, error) {
	src, _, err := r.here("keyframe", body)
	if err == nil {
		src.RequestKeyFrame()
	}
	return nil, err
}

// onRelay begins to send a stream to another server.
func (r *Relay) onRelay(_ context.Context, body []byte) ([]byte, error) {
	src, w, err := r.here("relay", body)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.running == nil:
		return nil, errRelayEnd
	case r.sends.Load() >= maxSends:
		return nil, errTooMany
	}
	ctx := r.running
	r.sends.Add(1)
	r.wg.Go(func() {
		defer r.sends.Add(-1)
		log := r.log.With("stream", w.Stream, "peer", w.To)
		flowed := false
		err := r.panics.Run(log, "relay panicked", func() error { return r.send(ctx, src, w, func() { flowed = true }) })
		if flowed {
			r.out.opened.Add(1)
		} else if ctx.Err() == nil {
			r.out.failed.Add(1)
		}
		log.Info("stream to another server ended", "err", err)
	})
	return nil, nil
}

// send publishes a stream at another server until it ends. begun is called when the other server takes it.
func (r *Relay) send(ctx context.Context, src *stream.Source, w wanted, begun func()) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	dial, stop := context.WithTimeout(ctx, arriveWithin)
	conn, err := (&net.Dialer{}).DialContext(dial, "tcp", w.To)
	stop()
	if err != nil {
		return err
	}
	closing := context.AfterFunc(ctx, func() { conn.Close() }) // the only way out of a blocked read
	defer closing()
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(arriveWithin))
	c := rtmp.NewClient(timedWriter{conn, &r.out.bytes}, rtmp.ClientConfig{
		App: w.App, TCURL: "rtmp://" + w.To + "/" + w.App, FlashVersion: "FMLE/3.0 (compatible; Transponder relay)", StreamName: kindsOf(src),
		FourCC: []string{"hvc1", "av01", "vp09", "Opus"},
	})
	for _, step := range []func() error{c.Handshake, c.Connect, c.Publish} {
		if err := step(); err != nil {
			return err
		}
	}
	_ = conn.SetReadDeadline(time.Time{})
	begun()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer conn.Close()
	wg.Go(func() { cancel(c.Serve()) })
	err = r.copy(ctx, c, src)
	if ctx.Err() == nil {
		_ = c.Unpublish() // on an error, too, the connection is closed next
	}
	return err
}

// kindsOf says what a stream has: "v" for pictures, "a" for sound. It is the name under which the stream is published at the other server.
func kindsOf(src *stream.Source) string {
	kinds := ""
	if src.HasVideo() {
		kinds += "v"
	}
	if src.HasAudio() {
		kinds += "a"
	}
	return kinds
}

// timedWriter gives each write a deadline of its own, and counts the bytes.
type timedWriter struct {
	net.Conn
	bytes *atomic.Int64
}

func (t timedWriter) Write(b []byte) (int, error) {
	_ = t.SetWriteDeadline(time.Now().Add(relayWrite))
	n, err := t.Conn.Write(b)
	t.bytes.Add(int64(n))
	return n, err
}

// copy sends the frames of a stream until it ends.
func (r *Relay) copy(ctx context.Context, c *rtmp.Client, src *stream.Source) error {
	video, audio, release, err := r.feeds(ctx, c, src)
	defer release()
	if err != nil {
		return err
	}
	mux := &flv.Muxer{Allowed: func(codec media.Codec) bool { return offers(c, codec) }, FrameRate: func() float64 { return 0 }}
	if video != nil {
		mux.Announced = video.Announced
		mux.WaitVideoMS = firstFrame.Milliseconds()
	}
	reader := src.NewReader(stream.ReaderConfig{Video: video, Audio: audio})
	defer reader.Close()
	src.RequestKeyFrame()
	var frames [64]media.Frame
	var tags []flv.Tag
	for {
		n, err := reader.Read(ctx, frames[:])
		if err != nil {
			return err
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
		if err := c.WriteTags(tags); err != nil {
			return err
		}
	}
}

// offers says whether the other server takes a codec of Enhanced RTMP.
func offers(c *rtmp.Client, codec media.Codec) bool {
	name := flv.FourCC(codec)
	return name != "" && c.Offers(name)
}

// feeds returns the pictures and the sound of a stream in codecs that the other server takes: as they are, if possible.
func (r *Relay) feeds(ctx context.Context, c *rtmp.Client, src *stream.Source) (video, audio *stream.Feed, release func(), err error) {
	var releases []func()
	release = func() {
		for _, f := range releases {
			f()
		}
	}
	pick := func(feed *stream.Feed, plain []media.Codec, other media.Codec) (*stream.Feed, error) {
		t, err := trackOf(ctx, src, feed)
		if t == nil || err != nil {
			return feed, err // it has sent nothing, and may never
		}
		for _, codec := range plain {
			if t.Codec == codec {
				return feed, nil
			}
		}
		if offers(c, t.Codec) {
			return feed, nil
		}
		transcoded, free, err := r.parts.Transcode(src, other)
		if err != nil {
			return nil, fmt.Errorf("%s for another server: %w", t.Codec, err)
		}
		releases = append(releases, free)
		return transcoded, nil
	}
	if src.HasVideo() {
		if video, err = pick(src.Video, []media.Codec{media.H264}, media.H264); err != nil {
			return nil, nil, release, err
		}
	}
	if src.HasAudio() {
		if audio, err = pick(src.Audio, []media.Codec{media.AAC, media.MP3}, media.AAC); err != nil {
			return nil, nil, release, err
		}
	}
	return video, audio, release, nil
}

// trackOf waits for the first frame of a feed, for a while. nil: there was none.
func trackOf(ctx context.Context, src *stream.Source, feed *stream.Feed) (*media.Track, error) {
	wait, cancel := context.WithTimeout(ctx, firstFrame)
	defer cancel()
	select {
	case <-feed.Begun():
	case <-wait.Done():
	case <-src.Done():
		return nil, src.Err()
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return feed.Track(), nil
}
