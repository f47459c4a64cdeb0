package worker

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"transponder/internal/media"
)

func TestFrames(t *testing.T) {
	plain := &media.Track{Codec: media.VP8, Width: 1280, Height: 720}
	turned := &media.Track{Codec: media.H264, Width: 720, Height: 1280, Rotation: 270, Config: []byte{1, 2, 3}}
	want := []media.Frame{
		{Track: plain, Time: 0, Key: true, Data: []byte("first")},
		{Track: plain, Time: media.Timestamp(40 * time.Millisecond), Data: []byte{}},
		{Track: turned, Time: media.Timestamp(80 * time.Millisecond), Delay: -time.Millisecond, Data: bytes.Repeat([]byte{7}, 1<<20)},
	}
	var b bytes.Buffer
	w := newWriter(&b)
	for _, f := range want {
		if err := w.frame(f); err != nil {
			t.Fatal(err)
		}
	}
	r := newReader(&b)
	var got []media.Frame
	tracks := 0
	for {
		kind, body, err := r.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch kind {
		case typeTrack:
			tracks++
			err = r.setTrack(body)
		case typeFrame:
			var f media.Frame
			f, err = r.frame(body)
			got = append(got, f)
		default:
			t.Errorf("message of type %q", kind)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got other frames than were written: %.200v", got)
	}
	if tracks != 2 || got[0].Track != got[1].Track {
		t.Errorf("%d tracks for frames of two", tracks)
	}
}

func message(kind byte, body ...byte) string {
	return string(kind) + string(binary.BigEndian.AppendUint32(nil, uint32(len(body)))) + string(body)
}

func TestBadMessages(t *testing.T) {
	track := message(typeTrack, append([]byte{byte(media.VP8)}, make([]byte, trackHead-1)...)...)
	tests := []struct{ name, input, want string }{
		{"too long", "F\xff\xff\xff\xff", "of 4294967295 bytes"},
		{"cut", "F\x00\x00\x00\x09abc", "ends early"},
		{"unknown", message('x'), `of type 'x'`},
		{"short track", message(typeTrack, 1, 2), "short track"},
		{"track of sound", message(typeTrack, append([]byte{byte(media.AAC)}, make([]byte, trackHead-1)...)...), "no picture"},
		{"frame without a track", message(typeFrame, make([]byte, frameHead)...), "without a track"},
		{"short frame", track + message(typeFrame, 1), "short frame"},
		{"figures", message(typeStats, '['), "figures"},
		{"ready twice", message(typeReady) + message(typeReady), "ready twice"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := &Process{out: newReader(strings.NewReader(tt.input))}
			_, err := p.Read()
			if err == nil {
				_, err = p.Read()
			}
			if !errors.Is(err, ErrProtocol) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	if err := newWriter(io.Discard).message(typeFrame, make([]byte, maxBody+1)); !errors.Is(err, ErrProtocol) {
		t.Errorf("writing too long a message: got %v", err)
	}
}

// No message of a child that an attacker controls may harm the server.
func FuzzRead(f *testing.F) {
	var b bytes.Buffer
	w := newWriter(&b)
	for i := range 2 {
		if err := w.frame(media.Frame{Track: &media.Track{Codec: media.H264, Config: []byte{1}}, Key: i == 0, Data: []byte("abc")}); err != nil {
			f.Fatal(err)
		}
	}
	if err := w.object(typeStats, Stats{Dropped: 1}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, input []byte) {
		p := &Process{out: newReader(bytes.NewReader(input)), log: slog.New(slog.DiscardHandler)}
		for {
			o, err := p.Read()
			if err != nil {
				return
			}
			if o.Stats == nil && o.Shot == nil && (o.Frame.Track == nil || o.Frame.Kind() != media.Video) {
				t.Fatalf("a frame without a picture: %+v", o.Frame)
			}
		}
	})
}
