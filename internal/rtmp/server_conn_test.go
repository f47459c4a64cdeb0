package rtmp

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"transponder/internal/amf"
	"transponder/internal/flv"
)

// accepted returns a server's side that has accepted a connection, and the client's side below the level of commands.
func accepted(t *testing.T) (*ServerConn, *conn) {
	t.Helper()
	theirs, ours := connect(t)
	client := newTestClient(theirs)
	done := make(chan error, 1)
	go func() {
		err := client.Handshake()
		if err == nil {
			err = client.Connect()
		}
		done <- err
	}()
	s := NewServerConn(ours, nil)
	if err := s.Handshake(); err != nil {
		t.Fatal(err)
	}
	who, err := s.Accept()
	want := Connect{App: "app/?a=b", TCURL: "rtmp://h/app/?a=b", FlashVersion: "F"}
	if err != nil || !reflect.DeepEqual(who, want) {
		t.Fatalf("Accept = %+v, %v; want %+v", who, err, want)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return s, client.conn
}

// answers reads n commands and says of each its name, its transaction and its code or value.
func answers(t *testing.T, c *conn, n int) []string {
	t.Helper()
	var got []string
	for len(got) < n {
		m, err := c.next()
		if err != nil {
			t.Fatal(err)
		}
		cmd, err := parseCommand(m)
		if err != nil {
			t.Fatal(err)
		}
		what := fmt.Sprint(cmd.arg(1))
		if o := cmd.info(); o != nil {
			what = o.String("code")
		}
		got = append(got, fmt.Sprintf("%s/%v %s", cmd.name, cmd.transaction, what))
	}
	return got
}

// TestServerPublish sends the commands of several kinds of publisher.
func TestServerPublish(t *testing.T) {
	s, client := accepted(t)
	err := client.post(
		call("releaseStream", 2, nil, "n"), call("FCPublish", 3, nil, "n"), call("_checkbw", 0, nil),
		call("createStream", 4, nil), streamCall(1, "publish", 5, nil, "n?k=v", "live"),
	)
	if err != nil {
		t.Fatal(err)
	}
	req, err := s.Next()
	if want := (Request{Verb: Publish, Name: "n?k=v"}); err != nil || req != want {
		t.Fatalf("Next = %+v, %v; want %+v", req, err, want)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	tags := unhex(t, "08 000001 000010 00 000000 ee 0000000c 09 000002 000030 00 000000 aabb 0000000d 14 000000 000000 00 000000")
	err = client.post(
		outgoing{chunk: chunkVideo, kind: flv.TypeVideo, streamID: 1, time: 40, payload: []byte{1}},
		outgoing{chunk: chunkVideo, kind: typeAggregate, streamID: 1, time: 100, payload: tags},
		outgoing{chunk: chunkCommand, kind: typeCommand, payload: []byte{0xff}}, // no command
		streamCall(1, "publish", 6, nil, "other", "live"),
		call("FCUnpublish", 7, nil, "n"),
		call("deleteStream", 8, nil, 9.0), // of nobody
		call("deleteStream", 9, nil, 1.0),
		call("createStream", 10, nil), streamCall(2, "publish", 11, nil, "again"),
	)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []Message{
		{flv.TypeVideo, 1, 40, []byte{1}}, {flv.TypeAudio, 1, 100, []byte{0xee}}, {flv.TypeVideo, 1, 132, []byte{0xaa, 0xbb}},
	} {
		if m, err := s.ReadMedia(); err != nil || !reflect.DeepEqual(m, want) {
			t.Errorf("ReadMedia = %v, %v; want %v", m, err, want)
		}
	}
	if _, err := s.ReadMedia(); !errors.Is(err, ErrStreamClosed) {
		t.Errorf("ReadMedia: %v, want ErrStreamClosed", err)
	}
	if req, err := s.Next(); err != nil || req.Name != "again" {
		t.Errorf("Next = %+v, %v; want the second publish", req, err)
	}
	if err := s.Refuse("NetStream.Publish.BadName", ""); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"_result/2 {}", "onFCPublish/0 NetStream.Publish.Start", "_result/3 {}", "_result/4 1",
		"onStatus/0 NetStream.Publish.Start", "onStatus/0 NetStream.Failed",
		"onFCUnpublish/0 NetStream.Unpublish.Success", "_result/7 {}", "onStatus/0 NetStream.Unpublish.Success",
		"_result/10 2", "onStatus/0 NetStream.Publish.BadName",
	}
	if got := answers(t, client, len(want)); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestStray publishes a second stream on a connection: it is refused, and its media belongs to nobody.
func TestStray(t *testing.T) {
	s, client := accepted(t)
	err := client.post(
		call("createStream", 2, nil), call("createStream", 3, nil), streamCall(1, "publish", 4, nil, "n", "live"),
	)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Next(); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	media := func(stream uint32) outgoing {
		return outgoing{chunk: chunkVideo, kind: flv.TypeVideo, streamID: stream, payload: []byte{byte(stream)}}
	}
	err = client.post(media(1), media(2), media(7), streamCall(2, "publish", 5, nil, "m", "live"), streamCall(7, "publish", 6, nil, "m", "live"),
		media(1), media(2), media(7), media(0))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{false, true, false, false, true, true, false} {
		m, err := s.ReadMedia()
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Stray(m); got != want {
			t.Errorf("message %d, of stream %d: stray %v, want %v", i, m.StreamID, got, want)
		}
	}
	if got := answers(t, client, 5); !strings.HasPrefix(got[3], "onStatus/0 NetStream.Failed") || got[4] != got[3] {
		t.Errorf("answers %q", got)
	}
}

// TestServerPlay sends the commands of players.
func TestServerPlay(t *testing.T) {
	s, client := accepted(t)
	err := client.post(
		call("createStream", 2, nil), call("getStreamLength", 3, nil, "n"),
		streamCall(1, "play", 4, nil, "n", -2000.0), streamCall(1, "seek", 5, nil, 1000.0),
		streamCall(1, "pause", 6, nil, true, 0.0), streamCall(1, "receiveAudio", 0, nil, true),
		streamCall(1, "pause", 7, nil, false, 0.0), streamCall(1, "closeStream", 0, nil),
	)
	if err != nil {
		t.Fatal(err)
	}
	if req, err := s.Next(); err != nil || req != (Request{Verb: Play, Name: "n"}) {
		t.Fatalf("Next = %+v, %v", req, err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []bool{true, false} {
		if paused, err := s.ReadPause(); err != nil || paused != want {
			t.Errorf("ReadPause = %v, %v; want %v", paused, err, want)
		}
	}
	if _, err := s.ReadPause(); !errors.Is(err, ErrStreamClosed) {
		t.Errorf("ReadPause: %v, want ErrStreamClosed", err)
	}
	if err := s.EndPlay(); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"_result/2 1", "_result/3 0", "onStatus/0 NetStream.Play.Reset", "onStatus/0 NetStream.Play.Start",
		"onStatus/0 NetStream.Seek.Notify", "onStatus/0 NetStream.Pause.Notify", "onStatus/0 NetStream.Unpause.Notify",
		"onStatus/0 NetStream.Play.UnpublishNotify", "onStatus/0 NetStream.Play.Stop",
	}
	if got := answers(t, client, len(want)); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestServerRefuses(t *testing.T) {
	s, client := accepted(t)
	for i := range maxStreams + 1 {
		if err := client.post(call("createStream", float64(i+1), nil)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Next(); !errors.Is(err, ErrProtocol) {
		t.Errorf("too many streams: %v, want ErrProtocol", err)
	}
	for _, b := range []string{"08 000005", "08 000005 000000 00 000000 aa"} {
		if _, err := splitAggregate(Message{Payload: unhex(t, b)}); !errors.Is(err, ErrProtocol) {
			t.Errorf("aggregate %s: %v, want ErrProtocol", b, err)
		}
	}
}

// TestConnectFirst has a client that begins with another command.
func TestConnectFirst(t *testing.T) {
	theirs, ours := connect(t)
	hello := append([]byte{version}, bytes.Repeat([]byte{0x80}, 2*handshakeSize)...) // C1 with a version, as if it were signed
	go func() {
		theirs.Write(hello)
		newConn(theirs).post(call("createStream", 1, amf.Undefined{}))
	}()
	s := NewServerConn(ours, nil)
	if err := s.Handshake(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Accept(); !errors.Is(err, ErrProtocol) {
		t.Errorf("got %v, want ErrProtocol", err)
	}
}
