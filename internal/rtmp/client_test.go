package rtmp

import (
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"

	"transponder/internal/amf"
	"transponder/internal/flv"
)

// answerer is a server that answers a command as a test says. Commands it has no answer for get none.
type answerer map[string][]outgoing

// serve shakes hands and answers until the client goes; it returns the names of the commands that came.
func (a answerer) serve(nc net.Conn) ([]string, error) {
	c := newConn(nc)
	if _, err := serverHandshake(c.chunks.in, nc); err != nil {
		return nil, err
	}
	var names []string
	for {
		m, err := c.next()
		if err != nil {
			return names, nil
		}
		if m.Type != typeCommand {
			continue
		}
		cmd, err := parseCommand(m)
		if err != nil {
			return names, err
		}
		names = append(names, fmt.Sprintf("%s/%v", cmd.name, cmd.transaction))
		for _, o := range a[cmd.name] {
			if o.kind == 0 { // hang up
				nc.Close()
				return names, nil
			}
			if err := c.post(o); err != nil {
				return names, nil
			}
		}
	}
}

// hangUp closes the connection in place of an answer.
var hangUp = outgoing{}

func onStatus(level, code string) outgoing {
	return streamCall(1, "onStatus", 0, nil, statusInfo(level, code, "words"))
}

// redirect is a refusal with more about it in ex.
func redirect(level string, code any, to string) amf.Object {
	return append(statusInfo(level, "NetConnection.Connect.Rejected", "words"),
		amf.Property{Name: "ex", Value: amf.Object{{Name: "code", Value: code}, {Name: "redirect", Value: to}}})
}

func rejected(transaction float64, code string) outgoing {
	return call("_error", transaction, nil, statusInfo("error", code, "words"))
}

var (
	connected = call("_result", txConnect, amf.Object{}, statusInfo("status", "NetConnection.Connect.Success", ""))
	created   = call("_result", txCreateStream, nil, 1.0)
	started   = onStatus("status", "NetStream.Publish.Start")
)

func newTestClient(nc net.Conn) *Client {
	return NewClient(nc, ClientConfig{App: "app/?a=b", TCURL: "rtmp://h/app/?a=b", FlashVersion: "F", StreamName: "n"})
}

// TestClient runs the client up to its publish against servers of all manners.
func TestClient(t *testing.T) {
	friendly := answerer{"connect": {connected}, "createStream": {created}, "publish": {started}}
	with := func(name string, answers ...outgoing) answerer {
		a := answerer{}
		for k, v := range friendly {
			a[k] = v
		}
		a[name] = answers
		return a
	}
	allCalls := []string{"connect/1", "releaseStream/2", "FCPublish/3", "createStream/4", "publish/5"}
	for _, c := range []struct {
		name   string
		server answerer
		calls  int // how many of allCalls are made
		want   error
	}{
		{"friendly", friendly, 5, nil},
		{"talkative", answerer{
			"connect": {
				control(typeWindowAckSize, 5_000_000), userControl(eventStreamBegin, 0),
				userControl(eventPingRequest, 7), call("onBWDone", 0, nil, 8192.0), connected, call("onBWDone", 0, nil),
			},
			"releaseStream": {rejected(txReleaseStream, "NetConnection.Call.Failed")},
			"FCPublish":     {call("onFCPublish", 0, nil, statusInfo("status", "NetStream.Publish.Start", ""))},
			"createStream":  {call("_result", txFCPublish, nil, amf.Undefined{}), call("_result", txCreateStream, nil, 77.0)},
			"publish": {
				call("_result", txPublish, nil), onStatus("status", "NetStream.Publish.Reset"),
				{chunk: chunkStream, kind: flv.TypeData, payload: amf.Append(nil, "onStatus")}, started,
			},
		}, 5, nil},
		{"answers in AMF3's message", with("connect", outgoing{
			chunk: chunkCommand, kind: typeCommandAMF3, payload: append([]byte{0}, connected.payload...),
		}), 5, nil},
		{"answer with a tail that is not AMF0", with("createStream", outgoing{
			chunk: chunkCommand, kind: typeCommand, payload: append(slices.Clone(created.payload), 0x11, 0x0a),
		}), 5, nil},
		{"nonsense before an answer", with("connect", outgoing{chunk: chunkCommand, kind: typeCommand, payload: []byte{0xff}}, connected), 5, nil},
		{"nonsense in place of one", with("connect", outgoing{chunk: chunkCommand, kind: typeCommand, payload: []byte{0xff}}, hangUp), 1, ErrProtocol},
		{"bad app", with("connect", rejected(txConnect, "NetConnection.Connect.InvalidApp"), call("close", 0, nil)), 1,
			&StatusError{"connect", "error", "NetConnection.Connect.InvalidApp", "words"}},
		{"refuses in a result", with("connect", call("_result", txConnect, nil, statusInfo("error", "X", "words"))), 1,
			&StatusError{"connect", "error", "X", "words"}},
		{"refuses without an object", with("connect", call("_error", txConnect, nil, "go away")), 1,
			&StatusError{Command: "connect", Description: "go away"}},
		{"no stream", with("createStream", rejected(txCreateStream, "NetConnection.Call.Failed")), 4,
			&StatusError{"createStream", "error", "NetConnection.Call.Failed", "words"}},
		{"stream id is no number", with("createStream", call("_result", txCreateStream, nil, "1")), 4, ErrProtocol},
		{"name taken", with("publish", onStatus("error", "NetStream.Publish.BadName")), 5,
			&StatusError{"publish", "error", "NetStream.Publish.BadName", "words"}},
		{"name taken, called a status", with("publish", onStatus("status", "NetStream.Publish.BadName")), 5,
			&StatusError{"publish", "status", "NetStream.Publish.BadName", "words"}},
		{"publish is an error", with("publish", rejected(txPublish, "NetStream.Publish.Denied")), 5,
			&StatusError{"publish", "error", "NetStream.Publish.Denied", "words"}},
		{"elsewhere", with("connect", call("onStatus", 0, nil, append(
			statusInfo("status", "NetConnection.Connect.ReconnectRequest", "words"),
			amf.Property{Name: "tcUrl", Value: "rtmp://b/app"}))), 1, &ReconnectError{"rtmp://b/app", "words"}},
		{"redirected", with("connect", call("_error", txConnect, nil, redirect("status", 302.0, "rtmp://b/app"))), 1,
			&ReconnectError{"rtmp://b/app", "words"}},
		{"redirected by a status, the code in letters", with("connect", call("onStatus", 0, nil, redirect("error", "302", "rtmp://b/app"))), 1,
			&ReconnectError{"rtmp://b/app", "words"}},
		{"redirected when publishing", with("publish", call("onStatus", 0, nil, redirect("error", 302.0, "rtmp://b/app"))), 5,
			&ReconnectError{"rtmp://b/app", "words"}},
		{"redirected to nowhere", with("connect", call("_error", txConnect, nil, redirect("error", 302.0, ""))), 1,
			&StatusError{"connect", "error", "NetConnection.Connect.Rejected", "words"}},
		{"more about a refusal", with("connect", call("_error", txConnect, nil, redirect("error", 403.0, "rtmp://b/app"))), 1,
			&StatusError{"connect", "error", "NetConnection.Connect.Rejected", "words"}},
		{"failed, called a status", with("publish", onStatus("status", "NetStream.Publish.Failed")), 5,
			&StatusError{"publish", "status", "NetStream.Publish.Failed", "words"}},
		{"closes in words", with("publish", call("close", 0, nil)), 5, ErrClosedByPeer},
		{"hangs up", with("publish", hangUp), 5, io.EOF},
	} {
		t.Run(c.name, func(t *testing.T) {
			ours, theirs := connect(t)
			var calls []string
			served := make(chan error, 1)
			go func() {
				var err error
				calls, err = c.server.serve(theirs)
				served <- err
			}()
			client := newTestClient(ours)
			err := client.Handshake()
			if err == nil {
				err = client.Connect()
			}
			if err == nil {
				err = client.Publish()
			}
			ours.Close()
			if serveErr := <-served; serveErr != nil {
				t.Error(serveErr)
			}
			checkError(t, err, c.want)
			if want := allCalls[:c.calls]; !slices.Equal(calls, want) {
				t.Errorf("calls %v, want %v", calls, want)
			}
		})
	}
}

// checkError compares a StatusError or ReconnectError by its fields, any other error by its identity.
func checkError(t *testing.T, got, want error) {
	t.Helper()
	var status *StatusError
	var reconnect *ReconnectError
	switch {
	case errors.As(want, &status):
		var g *StatusError
		if !errors.As(got, &g) || *g != *status {
			t.Errorf("got %v, want %+v", got, status)
		}
	case errors.As(want, &reconnect):
		var g *ReconnectError
		if !errors.As(got, &g) || *g != *reconnect {
			t.Errorf("got %v, want %+v", got, reconnect)
		}
	case !errors.Is(got, want):
		t.Errorf("got %v, want %v", got, want)
	}
}

// publishing returns a client that is live, and the server's side of its connection.
func publishing(t testing.TB) (*Client, *conn) {
	t.Helper()
	ours, theirs := connect(t)
	ready := make(chan *conn, 1)
	go func() {
		s := NewServerConn(theirs, nil)
		err := s.Handshake()
		if err == nil {
			_, err = s.Accept()
		}
		if err == nil {
			_, err = s.Next()
		}
		if err == nil {
			err = s.Start()
		}
		if err != nil {
			theirs.Close()
		}
		ready <- s.conn
	}()
	client := newTestClient(ours)
	for _, step := range []func() error{client.Handshake, client.Connect, client.Publish} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	return client, <-ready
}

// TestServe sends what a server may say to a live publisher.
func TestServe(t *testing.T) {
	for _, c := range []struct {
		name string
		send []outgoing
		want error
	}{
		{"error", []outgoing{onStatus("error", "NetStream.Publish.Idle")},
			&StatusError{"onStatus", "error", "NetStream.Publish.Idle", "words"}},
		{"unpublished", []outgoing{onStatus("status", "NetStream.Unpublish.Success")},
			&StatusError{"onStatus", "status", "NetStream.Unpublish.Success", "words"}},
		{"late answers, then close", []outgoing{
			rejected(txReleaseStream, "X"), call("_result", txFCPublish, nil), onStatus("status", "NetStream.Data.Start"),
			onStatus("error", "NetStream.Record.Failed"), onStatus("error", "NetStream.Record.NoAccess"), onStatus("error", "NetConnection.Call.Failed"),
			call("close", 0, nil),
		}, ErrClosedByPeer},
		{"reconnect", []outgoing{call("onStatus", 0, nil, statusInfo("status", "NetConnection.Connect.ReconnectRequest", "w"))},
			&ReconnectError{Description: "w"}},
		{"nonsense is passed over", []outgoing{{chunk: chunkCommand, kind: typeCommand, payload: []byte{0xff}}, call("close", 0, nil)}, ErrClosedByPeer},
		{"a long command is passed over", []outgoing{call(strings.Repeat("x", maxCommand), 0), call("close", 0, nil)}, ErrClosedByPeer},
		{"a short acknowledgement is passed over", []outgoing{
			{chunk: chunkControl, kind: typeAck, payload: []byte{1}}, {chunk: chunkControl, kind: typeWindowAckSize}, call("close", 0, nil),
		}, ErrClosedByPeer},
		{"nothing is passed over", []outgoing{{chunk: chunkCommand, kind: typeCommandAMF3}, call("close", 0, nil)}, ErrClosedByPeer},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, peer := publishing(t)
			if err := peer.post(c.send...); err != nil && !errors.Is(err, ErrProtocol) { // a flood, for the long command
				t.Fatal(err)
			} else if err := peer.flush(); err != nil {
				t.Fatal(err)
			}
			checkError(t, client.Serve(), c.want)
		})
	}
}

// TestPingsAndAcks pings a publisher that is sending, and looks at what it hears of its own bytes.
func TestPingsAndAcks(t *testing.T) {
	client, peer := publishing(t)
	tags, _ := sample(t)
	served := make(chan error, 1)
	go func() { served <- client.Serve() }()
	during(t, func() error {
		for range 5 {
			if err := client.WriteTags(tags); err != nil {
				return err
			}
		}
		return nil
	})

	for i := range uint32(10) {
		if err := peer.post(userControl(eventPingRequest, i)); err != nil {
			t.Fatal(err)
		}
	}
	var pongs []byte
	frames := 0
	for frames < 5*len(tags) || len(pongs) < 10 {
		m, err := peer.chunks.read() // below the level that keeps control messages to itself
		if err != nil {
			t.Fatal(err)
		}
		switch m.Type {
		case typeUserControl:
			pongs = append(pongs, m.Payload[5])
		case flv.TypeAudio, flv.TypeVideo, flv.TypeData:
			frames++
		}
	}
	if want := []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}; !reflect.DeepEqual(pongs, want) {
		t.Errorf("pongs %v, want %v", pongs, want)
	}
	peer.window = 1
	if err := peer.acknowledge(); err != nil {
		t.Fatal(err)
	}
	if err := peer.post(call("close", 0)); err != nil {
		t.Fatal(err)
	}
	if err := <-served; !errors.Is(err, ErrClosedByPeer) {
		t.Errorf("Serve: %v, want ErrClosedByPeer", err)
	}
	if got, want := client.BytesAcked(), client.BytesSent(); got != want || got != peer.received.Load() {
		t.Errorf("%d bytes acknowledged, want %d", got, want)
	}
}

func TestHandshakeRefused(t *testing.T) {
	for _, c := range []struct{ name, bytes string }{
		{"http", "HTTP/1.1 400 Bad Request\r\n\r\n"},
		{"encrypted rtmp", "\x06"},
		{"closed", ""},
		{"half", "\x03" + strings.Repeat("x", 2000)},
	} {
		t.Run(c.name, func(t *testing.T) {
			ours, theirs := connect(t)
			io.WriteString(theirs, c.bytes)
			theirs.(*net.TCPConn).CloseWrite()
			if err := newTestClient(ours).Handshake(); !errors.Is(err, ErrHandshake) {
				t.Errorf("got %v, want ErrHandshake", err)
			}
		})
	}
}

// sink takes all that is written and never has anything to read.
type sink struct{ writes, bytes, largest int }

func (s *sink) Write(b []byte) (int, error) {
	s.writes++
	s.bytes += len(b)
	s.largest = max(s.largest, len(b))
	return len(b), nil
}

func (s *sink) Read([]byte) (int, error) { return 0, io.EOF }

var countsAllocations = true

// TestWriteTagsCost holds a batch of frames to one write and no allocation.
func TestWriteTagsCost(t *testing.T) {
	tags, _ := sample(t)
	batch := tags[5:15]
	s := &sink{}
	c := newTestClient(nil)
	c.conn.rw = s
	if allocs := testing.AllocsPerRun(100, func() { c.WriteTags(batch) }); allocs != 0 && countsAllocations {
		t.Errorf("%v allocations, want 0", allocs)
	}
	s.writes = 0
	if err := c.WriteTags(batch); err != nil || s.writes != 1 {
		t.Errorf("%d writes and %v, want 1", s.writes, err)
	}
}

// TestWriteTagsBounded holds that a batch of any size takes no more memory than a few chunks.
func TestWriteTagsBounded(t *testing.T) {
	c := newTestClient(nil)
	s := &sink{}
	c.conn.rw = s
	big := flv.Tag{Type: flv.TypeVideo, Payload: make([]byte, 4<<20)}
	small := flv.Tag{Type: flv.TypeVideo, Payload: make([]byte, chunkSize)}
	if err := c.WriteTags([]flv.Tag{big, small, small, small, small, big}); err != nil {
		t.Fatal(err)
	}
	if s.largest > 4*spillBytes {
		t.Errorf("%d bytes were gathered for one write, want at most %d", s.largest, 4*spillBytes)
	}
}

func TestWriteErrorStays(t *testing.T) {
	ours, theirs := connect(t)
	c := newTestClient(ours)
	ours.Close()
	theirs.Close()
	tags, _ := sample(t)
	first, second := c.WriteTags(tags), c.WriteTags(tags)
	if first == nil || second == nil {
		t.Errorf("errors %v and %v, want both", first, second)
	}
}

// BenchmarkWriteTags writes a second of a 2.5 Mbit/s stream, frame by frame.
func BenchmarkWriteTags(b *testing.B) {
	video := flv.Tag{Type: flv.TypeVideo, Payload: make([]byte, 2_500_000/8/30)}
	audio := flv.Tag{Type: flv.TypeAudio, Payload: make([]byte, 341)}
	c := newTestClient(nil)
	c.conn.rw = &sink{}
	batch := []flv.Tag{video, audio}
	b.ReportAllocs()
	for b.Loop() {
		for range 30 {
			batch[0].Time += 33
			batch[1].Time += 33
			if err := c.WriteTags(batch); err != nil {
				b.Fatal(err)
			}
		}
	}
}
