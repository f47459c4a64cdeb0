package testkit

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/gortmplib/pkg/amf0"
	"github.com/bluenviron/gortmplib/pkg/bytecounter"
	"github.com/bluenviron/gortmplib/pkg/handshake"
	"github.com/bluenviron/gortmplib/pkg/message"
)

// Misdeed is what a scripted server does in place of the right thing.
type Misdeed int

// The misdeeds.
const (
	Obey         Misdeed = iota // nothing wrong
	Refuse                      // answers _error or onStatus with the script's Code
	StaySilent                  // does not answer, and reads on
	HangUp                      // closes the connection
	TalkNonsense                // sends bytes that are no RTMP
	StopReading                 // takes no more bytes, and keeps the connection
)

// Script says at which step a server misbehaves and how. Steps are "accept" (before the handshake), the commands by their
// names, and "media" (after the first audio or video message). The zero Script is a friendly server.
type Script struct {
	At          string
	Do          Misdeed
	Code        string // of a refusal
	Description string
}

// Tag is an audio or video message that a server received.
type Tag struct {
	Video  bool
	Header bool // a sequence header
	Key    bool
	Time   time.Duration
	Data   []byte // of a frame
}

// RTMPServer is an RTMP server of another make (gortmplib's wire code) that follows a script.
type RTMPServer struct {
	listener net.Listener
	script   Script
	scheme   string

	mu       sync.Mutex
	calls    []string              // guarded by mu
	tags     []Tag                 // guarded by mu
	metadata []map[string]any      // guarded by mu
	conns    map[net.Conn]struct{} // guarded by mu
	changed  chan struct{}         // guarded by mu; closed and replaced at each change

	wg sync.WaitGroup
}

// NewRTMPServer starts a server on a free port of the loopback; it ends with the test.
func NewRTMPServer(t testing.TB, script Script) *RTMPServer { return newRTMPServer(t, script, nil) }

// NewRTMPSServer is NewRTMPServer behind TLS.
func NewRTMPSServer(t testing.TB, script Script, cert tls.Certificate) *RTMPServer {
	return newRTMPServer(t, script, &tls.Config{Certificates: []tls.Certificate{cert}})
}

func newRTMPServer(t testing.TB, script Script, secure *tls.Config) *RTMPServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &RTMPServer{listener: l, script: script, scheme: "rtmp", conns: map[net.Conn]struct{}{}, changed: make(chan struct{})}
	if secure != nil {
		s.listener, s.scheme = tls.NewListener(l, secure), "rtmps"
	}
	s.wg.Go(s.accept)
	t.Cleanup(s.close)
	return s
}

func (s *RTMPServer) close() {
	s.listener.Close()
	s.Kick()
	s.wg.Wait()
}

// URL returns the server's address with a path: URL("live").
func (s *RTMPServer) URL(path string) string {
	return s.scheme + "://" + s.listener.Addr().String() + "/" + path
}

// Kick closes all connections.
func (s *RTMPServer) Kick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
	}
}

// Calls returns the commands received, as "name('argument')".
func (s *RTMPServer) Calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// Tags returns the media received.
func (s *RTMPServer) Tags() []Tag {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.tags)
}

// Metadata returns the onMetaData messages received.
func (s *RTMPServer) Metadata() []map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.metadata)
}

// Wait waits until condition holds, looking again whenever something was received; it fails the test after 10 s.
func (s *RTMPServer) Wait(t testing.TB, what string, condition func() bool) {
	t.Helper()
	limit := time.NewTimer(10 * time.Second)
	defer limit.Stop()
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if condition() {
			return
		}
		select {
		case <-changed:
		case <-limit.C:
			t.Fatalf("after 10 s there is no %s; the server got %q and %d tags", what, s.Calls(), len(s.Tags()))
		}
	}
}

// note changes what was received, and wakes who waits for that.
func (s *RTMPServer) note(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *RTMPServer) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.note(func() { s.conns[conn] = struct{}{} })
		s.wg.Go(func() {
			s.serve(conn)
			conn.Close()
			s.note(func() { delete(s.conns, conn) })
		})
	}
}

// errEnd ends a connection as the script wants it.
var errEnd = errors.New("the script ends the connection")

func (s *RTMPServer) serve(conn net.Conn) {
	if err := s.misbehave("accept", conn, nil); err != nil {
		return
	}
	counted := bytecounter.NewReadWriter(conn)
	if _, _, err := handshake.DoServer(counted, false); err != nil {
		return
	}
	rw := message.NewReadWriter(counted, counted, false)
	c := &rtmpConn{s: s, conn: conn, rw: rw}
	for {
		msg, err := rw.Read()
		if err != nil {
			return
		}
		if err := c.take(msg); err != nil {
			return
		}
	}
}

// misbehave does the script's misdeed if step is the one, with refuse for a refusal.
func (s *RTMPServer) misbehave(step string, conn net.Conn, refuse func() error) error {
	if s.script.At != step {
		return nil
	}
	switch s.script.Do {
	case Refuse:
		if err := refuse(); err != nil {
			return err
		}
	case TalkNonsense:
		if _, err := conn.Write(slices.Repeat([]byte("HTTP/1.1 400 Bad Request\r\n"), 200)); err != nil {
			return err
		}
	case HangUp:
		return errEnd
	case StopReading:
		// Until the other side or the test closes: a read of nothing does not tell, so the close of ours does.
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		s.untilClosed(ctx, conn)
		return errEnd
	}
	if s.script.Do == StaySilent || s.script.Do == TalkNonsense {
		_, err := io.Copy(io.Discard, conn)
		return errors.Join(errEnd, err)
	}
	if s.script.Do == Refuse {
		return errRefused
	}
	return nil
}

// untilClosed waits until Kick, or ctx's end.
func (s *RTMPServer) untilClosed(ctx context.Context, conn net.Conn) {
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
			if err := conn.SetDeadline(time.Time{}); err != nil { // fails on a closed connection only
				return
			}
		}
	}
}

// errRefused says that a command was answered with the script's refusal.
var errRefused = errors.New("refused")

// rtmpConn is one connection past the handshake.
type rtmpConn struct {
	s    *RTMPServer
	conn net.Conn
	rw   *message.ReadWriter
}

func (c *rtmpConn) take(msg message.Message) error {
	switch m := msg.(type) {
	case *message.CommandAMF0:
		return c.command(m)
	case *message.DataAMF0:
		c.data(m)
	case *message.Video:
		return c.media(Tag{Video: true, Header: m.Type == message.VideoTypeConfig, Key: m.IsKeyFrame, Time: m.DTS, Data: m.AU})
	case *message.Audio:
		return c.media(Tag{Header: m.AACType == message.AudioAACTypeConfig, Time: m.DTS, Data: m.AU})
	}
	return nil
}

func (c *rtmpConn) media(t Tag) error {
	c.s.note(func() { c.s.tags = append(c.s.tags, t) })
	return c.s.misbehave("media", c.conn, func() error { return c.status(1, "error", c.s.script.Code) })
}

func (c *rtmpConn) data(m *message.DataAMF0) {
	if len(m.Payload) < 3 || m.Payload[0] != "@setDataFrame" || m.Payload[1] != "onMetaData" {
		return
	}
	values := map[string]any{}
	switch o := m.Payload[2].(type) {
	case amf0.ECMAArray:
		for _, e := range o {
			values[e.Key] = e.Value
		}
	case amf0.Object:
		for _, e := range o {
			values[e.Key] = e.Value
		}
	}
	c.s.note(func() { c.s.metadata = append(c.s.metadata, values) })
}

func (c *rtmpConn) command(m *message.CommandAMF0) error {
	c.s.note(func() { c.s.calls = append(c.s.calls, m.Name+"("+argument(m)+")") })
	err := c.s.misbehave(m.Name, c.conn, func() error {
		if m.Name == "publish" {
			return c.status(m.MessageStreamID, "error", c.s.script.Code)
		}
		return c.answer(m, "_error", nil, c.info("error", c.s.script.Code))
	})
	if errors.Is(err, errRefused) {
		return nil
	}
	if err != nil {
		return err
	}
	switch m.Name {
	case "connect":
		return c.answer(m, "_result", amf0.Object{{Key: "fmsVer", Value: "FMS/3,0,1,123"}}, c.info("status", "NetConnection.Connect.Success"))
	case "createStream":
		return c.answer(m, "_result", nil, float64(1))
	case "publish":
		return c.status(m.MessageStreamID, "status", "NetStream.Publish.Start")
	}
	return nil
}

func argument(m *message.CommandAMF0) string {
	var arg any
	switch {
	case m.Name == "connect" && len(m.Arguments) > 0:
		if o, ok := m.Arguments[0].(amf0.Object); ok {
			arg, _ = o.Get("app")
		}
	case len(m.Arguments) > 1:
		arg = m.Arguments[1]
	}
	if s, ok := arg.(string); ok {
		return "'" + s + "'"
	}
	return ""
}

func (c *rtmpConn) info(level, code string) amf0.Object {
	return amf0.Object{
		{Key: "level", Value: level},
		{Key: "code", Value: code},
		{Key: "description", Value: c.s.script.Description},
	}
}

func (c *rtmpConn) answer(m *message.CommandAMF0, name string, args ...any) error {
	return c.rw.Write(&message.CommandAMF0{ChunkStreamID: m.ChunkStreamID, Name: name, CommandID: m.CommandID, Arguments: args})
}

func (c *rtmpConn) status(streamID uint32, level, code string) error {
	return c.rw.Write(&message.CommandAMF0{
		ChunkStreamID: 5, MessageStreamID: streamID, Name: "onStatus", Arguments: []any{nil, c.info(level, code)},
	})
}

// String tells a tag in a few words.
func (t Tag) String() string {
	kind := "audio"
	if t.Video {
		kind = "video"
	}
	if t.Header {
		kind += " header"
	}
	return fmt.Sprintf("%s %v", kind, t.Time)
}
