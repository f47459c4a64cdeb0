package rtmpserver

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"transponder/internal/flv"
	"transponder/internal/media"
	"transponder/internal/rtmp"
	"transponder/internal/stream"
)

// describe makes a line of each tag: what it is, and when.
func describe(t *testing.T, tags []flv.Tag) []string {
	t.Helper()
	var lines []string
	for _, tag := range tags {
		b := append(slices.Clone(tag.Head()), tag.Payload...)
		kind := "data"
		switch tag.Type {
		case flv.TypeVideo:
			v, err := flv.ParseVideo(b)
			if err != nil {
				t.Fatal(err)
			}
			kind = map[flv.Packet]string{flv.Config: "video config", flv.Frame: "video"}[v.Packet]
		case flv.TypeAudio:
			a, err := flv.ParseAudio(b)
			if err != nil {
				t.Fatal(err)
			}
			kind = map[flv.Packet]string{flv.Config: "audio config", flv.Frame: "audio"}[a.Packet]
		}
		lines = append(lines, fmt.Sprintf("%s %d", kind, tag.Time))
	}
	return lines
}

func TestSender(t *testing.T) {
	video, err := media.NewH264Track(sps, pps)
	if err != nil {
		t.Fatal(err)
	}
	changed, err := media.NewH264Track(sps, otherPPS)
	if err != nil {
		t.Fatal(err)
	}
	audio := &media.Track{Codec: media.AAC, Config: []byte{0x11, 0x90}, SampleRate: 48000, Channels: 2}
	at := func(ms int, track *media.Track, key bool) media.Frame {
		return media.Frame{Track: track, Time: media.Timestamp(ms) * media.Timestamp(time.Millisecond), Key: key, Data: unitOf(idr)}
	}
	pic, key := func(ms int) media.Frame { return at(ms, video, false) }, func(ms int) media.Frame { return at(ms, video, true) }
	snd := func(ms int) media.Frame { return at(ms, audio, true) }
	for _, c := range []struct {
		name     string
		pictures bool // the stream has sent some
		frames   []media.Frame
		want     []string
	}{
		{"begins with the key frame", true, []media.Frame{snd(900), key(1000), snd(980), snd(1001), pic(1040)},
			[]string{"data 0", "video config 0", "video 0", "audio config 1", "audio 1", "video 40"}},
		{"time only grows", true, []media.Frame{key(1000), pic(1000), pic(1000), pic(1001), pic(1040)},
			[]string{"data 0", "video config 0", "video 0", "video 1", "video 2", "video 3", "video 40"}},
		{"new parameters", true, []media.Frame{key(0), at(40, changed, true), at(80, changed, false)},
			[]string{"data 0", "video config 0", "video 0", "video config 40", "video 40", "video 80"}},
		{"no pictures after a second of sound", false, []media.Frame{snd(0), snd(500), snd(1000), snd(1020), key(1030)},
			[]string{"data 0", "audio config 0", "audio 0", "audio 20", "video config 30", "video 30"}},
		{"sound waits for pictures that are there", true, []media.Frame{snd(0), snd(1000), snd(2000)}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			src, err := stream.NewHub(stream.DefaultConfig()).Publish(stream.Info{Name: "n", ID: "i", HasVideo: true})
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close(nil)
			if c.pictures {
				src.Video.Write(key(0))
			}
			s := sender{from: stream.ReaderConfig{Video: src.Video, Audio: src.Audio}}
			var got []string
			for _, f := range c.frames {
				tags, err := s.tags([]media.Frame{f})
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, describe(t, tags)...)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

// TestPlayerEnds plays streams with the other side of our own wire package until they end, each in its way.
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
	eventually(t, func() error {
		if n := src.Video.Stats().Readers; n != 2 {
			return fmt.Errorf("%d readers, want 2", n)
		}
		return nil
	})
	go io.Copy(io.Discard, polite)
	big := append(unitOf(idr), unitOf(make([]byte, 1<<20))...)
	big[len(unitOf(idr))+4] = inter[0]
	eventually(t, func() error { // the stalled player's socket fills, then it is dropped
		src.Video.Write(media.Frame{Track: track, Time: src.Now(), Key: true, Data: big})
		if n := s.Stats().Players; n != 1 {
			return fmt.Errorf("%d players, want 1", n)
		}
		return nil
	})
	src.Close(errors.New("over"))
	eventually(t, func() error {
		if n := s.Stats().Players; n != 0 {
			return fmt.Errorf("%d players, want none", n)
		}
		return nil
	})
	stalled.Close()
}

// playRaw connects a player that asks for a stream and reads no more than the answer to connect.
func playRaw(t *testing.T, s *Server, name string) io.ReadWriteCloser {
	t.Helper()
	nc := dial(t, s)
	c := rtmp.NewClient(nc, rtmp.ClientConfig{App: "live"})
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
