package rtmpserver

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"transponder/internal/media"
	"transponder/internal/rtmp"
	"transponder/internal/stream"
	"transponder/internal/testkit"
)

// TestPlayerEnds plays streams with the client of our own wire package, and ends them in several ways.
func TestPlayerEnds(t *testing.T) {
	s, hub := runServer(t, func(c *Config) { c.WriteTimeout = 300 * time.Millisecond })
	src, err := hub.Publish(stream.Info{Name: "n", ID: "i", HasVideo: true})
	if err != nil {
		t.Fatal(err)
	}
	src.SetLive()
	track, err := media.NewH264Track(sps, pps)
	if err != nil {
		t.Fatal(err)
	}
	stalled := playRaw(t, s, "n")
	polite := playRaw(t, s, "n")
	testkit.Eventually(t, 10*time.Second, func() string {
		if n := src.Video.Stats().Readers; n != 2 {
			return fmt.Sprintf("%d readers, want 2", n)
		}
		return ""
	})
	go io.Copy(io.Discard, polite)
	big := append(unitOf(idr), unitOf(make([]byte, 1<<20))...)
	big[len(unitOf(idr))+4] = inter[0]
	testkit.Eventually(t, 10*time.Second, func() string { // the socket of the stalled player fills up, then the player is disconnected
		src.Video.Write(media.Frame{Track: track, Time: src.Now(), Key: true, Data: big})
		if n := s.Stats().Players; n != 1 {
			return fmt.Sprintf("%d players, want 1", n)
		}
		return ""
	})
	src.Close(errors.New("over"))
	testkit.Eventually(t, 10*time.Second, func() string {
		if n := s.Stats().Players; n != 0 {
			return fmt.Sprintf("%d players, want none", n)
		}
		return ""
	})
	stalled.Close()
}

// A name that no stream can have is refused at once. The others are waited for.
func TestPlayBadName(t *testing.T) {
	s, _ := runServer(t, func(c *Config) { c.PlayWait = time.Minute })
	for name, want := range map[string]string{"": "empty", "?a=b": "empty", "rtmp://x/y": "://", "a\x01b": "control character"} {
		nc := playRaw(t, s, name)
		if err := nc.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		said, err := io.ReadAll(nc) // the server closes the connection
		if err != nil || !bytes.Contains(said, []byte("NetStream.Play.StreamNotFound")) || !bytes.Contains(said, []byte(want)) {
			t.Errorf("play of %q: %v, the server says %q", name, err, said)
		}
		nc.Close()
	}
	if n := s.Stats().Refused; n != 4 {
		t.Errorf("%d refused, want 4", n)
	}
}

// playRaw connects a player that offers codecs, asks for a stream and reads no more than the answer to connect.
func playRaw(t *testing.T, s *Server, name string, offer ...string) net.Conn {
	t.Helper()
	nc := dial(t, s)
	c := rtmp.NewClient(nc, rtmp.ClientConfig{App: "live", FourCC: offer})
	for _, step := range []func() error{c.Handshake, c.Connect} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	// createStream, then play on stream 1: RTMP 1.0, 7.2.1.3 and 7.2.2.1.
	call := func(stream byte, body []byte) []byte {
		return append([]byte{8, 0, 0, 0, 0, 0, byte(len(body)), 20, stream, 0, 0, 0}, body...)
	}
	create := []byte("\x02\x00\x0ccreateStream\x00\x40\x00\x00\x00\x00\x00\x00\x00\x05")
	play := append([]byte("\x02\x00\x04play\x00\x00\x00\x00\x00\x00\x00\x00\x00\x05\x02\x00"), byte(len(name)))
	if _, err := nc.Write(append(call(0, create), call(1, append(play, name...))...)); err != nil {
		t.Fatal(err)
	}
	return nc
}
