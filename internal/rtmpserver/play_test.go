package rtmpserver

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/bluenviron/gortmplib"

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

// When the spare publisher of a name gets it, players of another project's making go on over their connection: with new headers, and a time that only
// grows. When nobody has the name any more, they are told the end.
func TestPlayerGoesOn(t *testing.T) {
	cfg := stream.DefaultConfig()
	cfg.Standby = true
	hub := stream.NewHub(cfg, nil)
	s := runServerOf(t, hub, nil)
	track, err := media.NewH264Track(sps, pps)
	if err != nil {
		t.Fatal(err)
	}
	publish := func(id string) *stream.Source {
		t.Helper()
		src, err := hub.Claim(t.Context(), stream.Info{Name: "n", ID: id, HasVideo: true, Publisher: stream.Publisher{Identity: "the same"}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { src.Close(nil) })
		src.SetLive()
		return src
	}
	picture := func(src *stream.Source, mark byte) {
		src.Video.Write(media.Frame{Track: track, Time: src.Now(), Key: true, Data: unitOf(append(slices.Clone(idr), mark))})
	}
	first := publish("first")
	picture(first, 1)
	second := publish("second")
	client := foreignPlayer(t, s)
	feed := func(src *stream.Source, mark byte) (stop func()) {
		done, ended := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			for tick := time.Tick(20 * time.Millisecond); ; {
				select {
				case <-tick:
					picture(src, mark)
				case <-done:
					return
				}
			}
		}()
		return func() { close(done); <-ended }
	}
	stop := feed(first, 1)
	r := &gortmplib.Reader{Conn: client}
	if err := r.Initialize(); err != nil {
		t.Fatal(err)
	}
	var marks []byte
	last := time.Duration(-1)
	r.OnDataH264(r.Tracks()[0], func(_, dts time.Duration, au [][]byte) {
		unit := au[len(au)-1]
		if unit[0]&0x1f != idr[0]&0x1f {
			return // the sequence header
		}
		if dts <= last {
			t.Errorf("a picture at %v follows one at %v", dts, last)
		}
		last, marks = dts, append(marks, unit[len(unit)-1])
	})
	until := func(mark byte) {
		t.Helper()
		for !slices.Contains(marks, mark) {
			if err := r.Read(); err != nil {
				t.Fatalf("after the pictures %v: %v", marks, err)
			}
		}
	}
	until(1)
	stop()
	first.Close(errors.New("over"))
	stop = feed(second, 2)
	until(2)
	stop()
	second.Close(errors.New("over"))
	for err = nil; err == nil; {
		err = r.Read()
	}
	if !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

// foreignPlayer connects a client of another project's making that plays the stream n.
func foreignPlayer(t *testing.T, s *Server) *gortmplib.Client {
	t.Helper()
	u, err := url.Parse(fmt.Sprintf("rtmp://%s/live/n", s.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	client := &gortmplib.Client{URL: u}
	if err := client.Initialize(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	client.NetConn().SetDeadline(time.Now().Add(30 * time.Second))
	return client
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
