package transponder

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/media"
	"transponder/internal/rtmp"
	"transponder/internal/stream"
)

// farEnd is a server without a network, for tests in a synctest bubble. What it received can be read once the bubble is at rest.
type farEnd struct {
	pace  func() // called before each of its reads once it gets media; nil: it reads at once
	whole bool   // payloads are kept whole

	takes  func(at time.Time, m rtmp.Message) // told of each message; nil: nobody is
	behind func(near net.Conn) *proxy         // what the connection leads through; nil: nothing

	// told returns what an acknowledgement says in place of the number of bytes, and whether it is sent; nil: the number of bytes.
	told    func(n int, sum uint32) (number uint32, send bool)
	mute    bool          // pings get no answer
	stopped func() bool   // nor do they when this says so; nil: never
	later   time.Duration // answers to pings come so much later

	wg sync.WaitGroup // of those that serve

	mu       sync.Mutex
	messages []rtmp.Message // guarded by mu; sound, pictures and data, with the heads of their payloads
	conn     net.Conn       // guarded by mu; the latest
}

// dial makes a connection and serves it in a goroutine that ends with it.
func (e *farEnd) dial(context.Context, netip.AddrPort) (net.Conn, error) {
	near, far := net.Pipe()
	e.mu.Lock()
	e.conn = far
	e.mu.Unlock()
	e.wg.Go(func() {
		defer far.Close()
		e.serve(far)
	})
	if e.behind != nil {
		p := e.behind(near)
		e.wg.Go(p.run)
		return p, nil
	}
	return near, nil
}

func (e *farEnd) serve(conn net.Conn) {
	paced := &pacedConn{Conn: conn, far: e}
	s := rtmp.NewServerConn(paced, nil)
	if s.Handshake() != nil {
		return
	}
	if _, err := s.Accept(); err != nil {
		return
	}
	if _, err := s.Next(); err != nil || s.Start() != nil {
		return
	}
	paced.pace = e.pace
	for {
		m, err := s.ReadMedia()
		if err != nil {
			return
		}
		if !e.whole {
			m.Payload = m.Payload[:min(len(m.Payload), 2)]
		}
		if e.takes != nil {
			e.takes(time.Now(), m)
			continue
		}
		e.mu.Lock()
		e.messages = append(e.messages, m)
		e.mu.Unlock()
	}
}

// got returns what has been received so far.
func (e *farEnd) got() []rtmp.Message {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.messages
}

// ping asks the push whether it is there, as servers do when they receive nothing.
func (e *farEnd) ping(t *testing.T) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	ping := []byte{2, 0, 0, 0, 0, 0, 6, 4, 0, 0, 0, 0, 0, 6, 0, 0, 0, 1} // RTMP 1.0, 7.1.7: event 6
	if _, err := e.conn.Write(ping); err != nil {
		t.Errorf("ping: %v", err)
	}
}

// proxy is a connection that takes bytes until a number of them wait, and passes them on at a rate.
type proxy struct {
	net.Conn // to the server

	room   int
	rate   func() int // bytes a second
	kernel bool       // it is the kernel, which tells what waits
	window func() int // it is the server's kernel, whose window tells what waits; how large the window is if nothing waits

	mu       sync.Mutex
	changed  *sync.Cond
	waiting  []byte    // guarded by mu
	passed   int64     // guarded by mu
	deadline time.Time // guarded by mu
	closed   bool      // guarded by mu
}

func newProxy(near net.Conn, room int, rate func() int, kernel bool) *proxy {
	p := &proxy{Conn: near, room: room, rate: rate, kernel: kernel}
	p.changed = sync.NewCond(&p.mu)
	return p
}

func (p *proxy) run() {
	const step = 20 * time.Millisecond
	for {
		time.Sleep(step)
		p.mu.Lock()
		n := min(len(p.waiting), p.rate()*int(step)/int(time.Second))
		b := p.waiting[:n]
		p.waiting = p.waiting[n:]
		p.passed += int64(n)
		closed := p.closed && len(p.waiting) == 0
		p.changed.Broadcast()
		p.mu.Unlock()
		var err error
		if n > 0 { // a pipe passes on empty writes, too
			_, err = p.Conn.Write(b)
		}
		if err != nil || closed {
			p.Conn.Close()
			return
		}
	}
}

func (p *proxy) Write(b []byte) (written int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(b) > 0 {
		switch room := p.room - len(p.waiting); {
		case p.closed:
			return written, net.ErrClosed
		case !p.deadline.IsZero() && !time.Now().Before(p.deadline):
			return written, os.ErrDeadlineExceeded
		case room > 0:
			n := min(room, len(b))
			p.waiting = append(p.waiting, b[:n]...)
			written, b = written+n, b[n:]
		default:
			p.changed.Wait()
		}
	}
	return written, nil
}

func (p *proxy) SetWriteDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deadline = t
	return nil
}

func (p *proxy) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed, p.waiting = true, nil
	return p.Conn.Close()
}

func (p *proxy) tcpState() tcpState {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.window != nil:
		return tcpState{taken: p.passed + int64(len(p.waiting)), window: max(0, p.window()-len(p.waiting))}
	case !p.kernel:
		return tcpState{queued: 0}
	}
	return tcpState{queued: len(p.waiting), unsent: len(p.waiting), taken: p.passed}
}

// pacedConn is read no faster than pace allows. It changes what is written to it as a farEnd wants.
type pacedConn struct {
	net.Conn

	far  *farEnd
	pace func()
	acks int
}

func (c *pacedConn) Read(b []byte) (int, error) {
	if c.pace != nil {
		c.pace()
	}
	return c.Conn.Read(b)
}

var pong = []byte{2, 0, 0, 0, 0, 0, 6, 4, 0, 0, 0, 0, 0, 7}

// Write looks for messages that are written alone: acknowledgements and answers to pings (RTMP 1.0, 5.4.3 and 7.1.7).
func (c *pacedConn) Write(b []byte) (int, error) {
	switch {
	case (c.far.mute || c.far.stopped != nil && c.far.stopped()) && bytes.HasPrefix(b, pong):
		return len(b), nil
	case c.far.later > 0 && bytes.HasPrefix(b, pong):
		answer := bytes.Clone(b)
		time.AfterFunc(c.far.later, func() { c.Conn.Write(answer) })
		return len(b), nil
	case c.far.told == nil || len(b) != 16 || !bytes.HasPrefix(b, []byte{2, 0, 0, 0, 0, 0, 4, 3}):
		return c.Conn.Write(b)
	}
	number, send := c.far.told(c.acks, binary.BigEndian.Uint32(b[12:]))
	c.acks++
	if !send {
		return len(b), nil
	}
	return c.Conn.Write(binary.BigEndian.AppendUint32(bytes.Clone(b[:12]), number))
}

// pushInBubble starts a push to the farEnd. The test calls the returned stop, which ends the registry, before its bubble ends.
func pushInBubble(t *testing.T, e *farEnd, change func(*Config), req Request) (s *source, r *Registry, id string, stop func()) {
	t.Helper()
	hub := stream.NewHub(stream.DefaultConfig(), nil)
	src, err := hub.Publish(stream.Info{Name: "s", ID: "s", HasVideo: true, HasAudio: true})
	if err != nil {
		t.Fatal(err)
	}
	r, id, stop = pushSource(t, e, hub, src, func(*Parts) {}, change, req)
	return &source{Source: src, video: realVideo(t), audio: realAudio}, r, id, stop
}

// pushSource is pushInBubble for a source of the test.
func pushSource(t *testing.T, e *farEnd, hub *stream.Hub, src *stream.Source, use func(*Parts), change func(*Config),
	req Request,
) (r *Registry, id string, stop func()) {
	t.Helper()
	cfg := DefaultConfig()
	cfg.FailedFor = 0
	cfg.dialTCP = e.dial
	if change != nil {
		change(&cfg)
	}
	parts := testParts(hub)
	use(&parts)
	r = NewRegistry(cfg, parts, slog.New(slog.DiscardHandler))
	src.SetLive()
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		r.Run(ctx)
	}()
	stop = func() {
		cancel()
		<-ran
		e.wg.Wait()
		src.Close(nil)
	}
	req.StreamName, req.URL = "s", cmp.Or(req.URL, "rtmp://192.0.2.1/live")
	info, err := r.Start(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Wait() // it has attached
	return r, info.ID, stop
}

// at writes the picture and the sound of one moment of the stream.
func (s *source) at(d time.Duration, key bool, size int) {
	data := make([]byte, size)
	copy(data, []byte{0, 0, 0, byte(size - 4), 0x65})
	s.Video.Write(media.Frame{Track: s.video, Time: media.Timestamp(d), Key: key, Data: data})
	s.Audio.Write(media.Frame{Track: s.audio, Time: media.Timestamp(d), Key: true, Data: []byte{1}})
}
