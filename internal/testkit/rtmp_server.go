package testkit

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bluenviron/gortmplib/pkg/amf0"
	"github.com/bluenviron/gortmplib/pkg/bytecounter"
	"github.com/bluenviron/gortmplib/pkg/handshake"
	"github.com/bluenviron/gortmplib/pkg/message"
	"golang.org/x/sys/unix"
)

// Tag is an audio or video message that a server received.
type Tag struct {
	Video  bool
	Header bool   // a sequence header
	Key    bool   // only of plain RTMP
	FourCC string // of a message of Enhanced RTMP
	Time   time.Duration
	Data   []byte // of a frame

	Connection int       // that it came over, from 1
	At         time.Time // when it came
}

// Connection is the life of a connection to a server.
type Connection struct {
	Number    int       // from 1
	Accepted  time.Time // when the client connected
	Published time.Time // when the client asked to publish; zero: it did not
	Name      string    // that the client asked to publish
	Closed    time.Time // zero: it is open
	Reset     bool      // it was closed by a reset, so that what the client's kernel still held was thrown away
}

// RTMPServer is an RTMP server that follows a script. It uses the wire code of gortmplib, which is not ours.
type RTMPServer struct {
	listener net.Listener
	script   Script
	scheme   string

	mu       sync.Mutex
	calls    []string              // guarded by mu
	tags     []Tag                 // guarded by mu
	metadata []map[string]any      // guarded by mu
	connects []map[string]any      // guarded by mu
	names    []string              // guarded by mu
	conns    map[net.Conn]struct{} // guarded by mu
	lives    []Connection          // guarded by mu; by number
	changed  chan struct{}         // guarded by mu; closed and replaced at each change

	closed chan struct{} // closed with the server
	wg     sync.WaitGroup
}

// NewRTMPServer starts a server on a free port. The server ends with the test.
func NewRTMPServer(t testing.TB, script Script) *RTMPServer { return newRTMPServer(t, script, nil) }

// NewRTMPSServer is NewRTMPServer behind TLS.
func NewRTMPSServer(t testing.TB, script Script, cert tls.Certificate) *RTMPServer {
	return newRTMPServer(t, script, &tls.Config{Certificates: []tls.Certificate{cert}})
}

func newRTMPServer(t testing.TB, script Script, secure *tls.Config) *RTMPServer {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(cmp.Or(script.Host, "127.0.0.1"), "0"))
	if err != nil {
		t.Fatal(err)
	}
	s := &RTMPServer{
		listener: l, script: script, scheme: "rtmp",
		conns: map[net.Conn]struct{}{}, changed: make(chan struct{}), closed: make(chan struct{}),
	}
	if secure != nil {
		secure.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			s.note(func() { s.names = append(s.names, hello.ServerName) })
			return nil, nil
		}
		s.listener, s.scheme = tls.NewListener(l, secure), "rtmps"
	}
	s.wg.Go(s.accept)
	t.Cleanup(s.close)
	return s
}

func (s *RTMPServer) close() {
	s.listener.Close()
	close(s.closed)
	s.Kick()
	s.wg.Wait()
}

// URL returns the address of the server with a path, as in URL("live").
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

// Connections returns the lives of all connections, the oldest first.
func (s *RTMPServer) Connections() []Connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.lives)
}

// Metadata returns the onMetaData messages received.
func (s *RTMPServer) Metadata() []map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.metadata)
}

// Connects returns the objects that clients sent in connect; lists are []any.
func (s *RTMPServer) Connects() []map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.connects)
}

// ServerNames returns the names by which TLS clients asked for the server (RFC 6066, 3), "" for those that gave none.
func (s *RTMPServer) ServerNames() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.names)
}

// Wait waits until condition holds. It checks the condition whenever something was received, and fails the test after 30 s.
func (s *RTMPServer) Wait(t testing.TB, what string, condition func() bool) {
	t.Helper()
	limit := time.NewTimer(30 * time.Second)
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
			t.Fatalf("after 30 s there is no %s; the server got %q and %d tags", what, s.Calls(), len(s.Tags()))
		}
	}
}

// note changes what was received, and wakes Wait.
func (s *RTMPServer) note(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

// connectedAt returns when the client of a connection that was just accepted has sent its newest packet, as the kernel knows: on a busy machine that
// may be long ago.
func connectedAt(conn net.Conn) time.Time {
	now := time.Now()
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return now
	}
	var info *unix.TCPInfo
	if raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }) != nil || err != nil {
		return now
	}
	return now.Add(-time.Duration(info.Last_ack_recv) * time.Millisecond)
}

func (s *RTMPServer) accept() {
	for number := 1; ; number++ {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.note(func() {
			s.conns[conn] = struct{}{}
			s.lives = append(s.lives, Connection{Number: number, Accepted: connectedAt(conn)})
		})
		select {
		case <-s.closed: // Kick may not have seen the connection
			conn.Close()
		default:
		}
		s.wg.Go(func() {
			err := s.serve(conn, number)
			conn.Close()
			s.note(func() {
				delete(s.conns, conn)
				s.lives[number-1].Closed, s.lives[number-1].Reset = time.Now(), errors.Is(err, syscall.ECONNRESET)
			})
		})
	}
}

// serve returns why the connection ended.
func (s *RTMPServer) serve(conn net.Conn, number int) error {
	if s.script.SplitSent {
		conn = splitter{conn}
	}
	c := &rtmpConn{s: s, conn: conn, number: number}
	if err := c.misbehave("accept", nil); err != nil {
		return err
	}
	counted := bytecounter.NewReadWriter(conn)
	if _, _, err := handshake.DoServer(counted, false); err != nil {
		return err
	}
	c.out = message.NewWriter(counted, counted.Writer, false)
	c.in = message.NewReader(counted, counted.Reader, c.acknowledge)
	if err := c.misbehave("handshake", nil); err != nil {
		return err
	}
	for {
		msg, err := c.in.Read()
		if err != nil {
			return err
		}
		if err := c.take(msg); err != nil {
			return err
		}
	}
}

// splitter writes byte by byte.
type splitter struct{ net.Conn }

func (s splitter) Write(b []byte) (int, error) {
	for i := range b {
		if _, err := s.Conn.Write(b[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(b), nil
}

// rtmpConn is one connection. It is for one goroutine.
type rtmpConn struct {
	s      *RTMPServer
	conn   net.Conn
	number int // of the connection, from 1
	in     *message.Reader
	out    *message.Writer

	misbehaved bool
	silentAcks bool
	acks       int // acknowledgements that were due
}

func (c *rtmpConn) acknowledge(count uint32) error {
	if c.silentAcks {
		return nil
	}
	if c.s.script.Ack != nil {
		number, send := c.s.script.Ack(c.acks, count)
		c.acks++
		if !send {
			return nil
		}
		count = number
	}
	return c.out.Write(&message.Acknowledge{Value: count})
}

func (c *rtmpConn) take(msg message.Message) error {
	switch m := msg.(type) {
	case *message.UserControlPingRequest:
		if c.s.script.NoPong {
			return nil
		}
		return c.out.Write(&message.UserControlPingResponse{ServerTime: m.ServerTime})
	case *message.CommandAMF0:
		return c.command(m)
	case *message.DataAMF0:
		c.data(m)
	case *message.Video:
		return c.media(Tag{Video: true, Header: m.Type == message.VideoTypeConfig, Key: m.IsKeyFrame, Time: m.DTS, Data: m.AU})
	case *message.Audio:
		return c.media(Tag{Header: m.AACType == message.AudioAACTypeConfig, Time: m.DTS, Data: m.AU})
	case *message.VideoExSequenceStart:
		return c.media(Tag{Video: true, Header: true, FourCC: fourCC(m.FourCC)})
	case *message.VideoExCodedFrames:
		return c.media(Tag{Video: true, FourCC: fourCC(m.FourCC), Time: m.DTS, Data: m.Payload})
	case *message.VideoExFramesX:
		return c.media(Tag{Video: true, FourCC: fourCC(m.FourCC), Time: m.DTS, Data: m.Payload})
	case *message.AudioExSequenceStart:
		return c.media(Tag{Header: true, FourCC: fourCC(m.FourCC)})
	case *message.AudioExCodedFrames:
		return c.media(Tag{FourCC: fourCC(m.FourCC), Time: m.DTS, Data: m.Payload})
	}
	return nil
}

func (c *rtmpConn) media(t Tag) error {
	t.Connection, t.At = c.number, time.Now()
	c.s.note(func() { c.s.tags = append(c.s.tags, t) })
	return c.misbehave("media", func() error { return c.onStatus(1, c.info("error", c.s.script.Code)) })
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
	err := c.misbehave(m.Name, func() error {
		info := c.info("error", c.s.script.Code)
		if c.s.script.Do == SendElsewhere {
			info = append(info, entry("ex", amf0.Object{entry("code", float64(302)), entry("redirect", c.s.script.NewURL)}))
		}
		if m.Name == "publish" {
			return c.onStatus(m.MessageStreamID, info)
		}
		return c.answer(m, "_error", nil, info)
	})
	if errors.Is(err, errRefused) {
		return nil
	}
	if err != nil {
		return err
	}
	switch m.Name {
	case "connect":
		return c.connect(m)
	case "createStream":
		return c.answer(m, "_result", nil, float64(1))
	case "publish":
		c.s.note(func() {
			c.s.lives[c.number-1].Published, c.s.lives[c.number-1].Name = time.Now(), strings.Trim(argument(m), "'")
		})
		return c.onStatus(m.MessageStreamID, c.info("status", "NetStream.Publish.Start"))
	}
	return nil
}

// connect asks for a login, or grants the connection.
func (c *rtmpConn) connect(m *message.CommandAMF0) error {
	if len(m.Arguments) > 0 {
		said := map[string]any{}
		o, _ := m.Arguments[0].(amf0.Object)
		for _, e := range o {
			said[e.Key] = e.Value
			if list, ok := e.Value.(amf0.StrictArray); ok {
				said[e.Key] = []any(list)
			}
		}
		c.s.note(func() { c.s.connects = append(c.s.connects, said) })
	}
	app := strings.Trim(argument(m), "'")
	if refusal := c.s.script.Login.refusal(app); refusal != "" {
		info := amf0.Object{
			entry("level", "error"), entry("code", "NetConnection.Connect.Rejected"), entry("description", refusal),
		}
		return errors.Join(errEnd, c.answer(m, "_error", nil, info))
	}
	if size := c.s.script.ChunkSize; size > 0 {
		if err := c.out.Write(&message.SetChunkSize{Value: size}); err != nil {
			return err
		}
	}
	info := c.info("status", "NetConnection.Connect.Success")
	if len(c.s.script.FourCC) > 0 {
		var list amf0.StrictArray
		for _, f := range c.s.script.FourCC {
			list = append(list, f)
		}
		info = append(info, entry("fourCcList", list))
	}
	return c.answer(m, "_result", amf0.Object{entry("fmsVer", "FMS/3,0,1,123")}, info)
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
	return amf0.Object{entry("level", level), entry("code", code), entry("description", c.s.script.Description)}
}

func entry(key string, value any) amf0.ObjectEntry { return amf0.ObjectEntry{Key: key, Value: value} }

func (c *rtmpConn) answer(m *message.CommandAMF0, name string, args ...any) error {
	return c.out.Write(&message.CommandAMF0{ChunkStreamID: m.ChunkStreamID, Name: name, CommandID: m.CommandID, Arguments: args})
}

func (c *rtmpConn) onStatus(streamID uint32, info amf0.Object) error {
	return c.out.Write(&message.CommandAMF0{
		ChunkStreamID: 5, MessageStreamID: streamID, Name: "onStatus", Arguments: []any{nil, info},
	})
}

func fourCC(f message.FourCC) string {
	return string([]byte{byte(f >> 24), byte(f >> 16), byte(f >> 8), byte(f)})
}

// String describes a tag in a few words.
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
