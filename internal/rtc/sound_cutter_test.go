package rtc

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"transponder/internal/media"
)

// However sound was cut before, its packets have the agreed length, every byte comes once, and the times are those of the bytes.
func TestSoundCutter(t *testing.T) {
	type piece struct {
		at    time.Duration
		bytes int
	}
	tests := []struct {
		name       string
		packetTime time.Duration
		frames     []piece
		want       []piece
	}{
		{"as it comes", 20 * ms, []piece{{0, 160}, {20 * ms, 160}}, []piece{{0, 160}, {20 * ms, 160}}},
		{"joined", 40 * ms, []piece{{0, 160}, {20 * ms, 160}, {40 * ms, 160}}, []piece{{0, 320}}},
		{"cut", 20 * ms, []piece{{0, 480}}, []piece{{0, 160}, {20 * ms, 160}, {40 * ms, 160}}},
		{"30 ms from 20 ms", 30 * ms, []piece{{0, 160}, {20 * ms, 160}, {40 * ms, 160}}, []piece{{0, 240}, {30 * ms, 240}}},
		{"times that waver", 40 * ms, []piece{{0, 160}, {25 * ms, 160}, {38 * ms, 160}, {60 * ms, 160}}, []piece{{0, 320}, {38 * ms, 320}}},
		{"a gap", 40 * ms, []piece{{0, 160}, {100 * ms, 160}, {120 * ms, 160}}, []piece{{0, 160}, {100 * ms, 320}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cutter := NewSoundCutter(media.PCMU, tt.packetTime)
			var sent, got []byte
			var pieces []piece
			for _, f := range tt.frames {
				data := make([]byte, f.bytes)
				for i := range data {
					data[i] = byte((len(sent) + i) * 7)
				}
				sent = append(sent, data...)
				for _, p := range cutter.Cut(media.Frame{Track: audioTrack(media.PCMU), Time: media.Timestamp(f.at), Data: data}) {
					if p.Units != int64(len(p.Payload)) {
						t.Errorf("%d units in %d bytes", p.Units, len(p.Payload))
					}
					got = append(got, p.Payload...)
					pieces = append(pieces, piece{time.Duration(p.Time), len(p.Payload)})
				}
			}
			if len(pieces) != len(tt.want) {
				t.Fatalf("packets %v, want %v", pieces, tt.want)
			}
			for i, want := range tt.want {
				if pieces[i] != want {
					t.Errorf("packet %d is %v, want %v", i, pieces[i], want)
				}
			}
			if !bytes.Equal(got, sent[:len(got)]) {
				t.Error("bytes are missing, or in another order")
			}
		})
	}
}

// Frames of codecs that cannot be cut become one packet each, with their duration if the frame tells it.
func TestSoundCutterWhole(t *testing.T) {
	for _, tt := range []struct {
		codec media.Codec
		data  []byte
		units int64
	}{{media.Opus, []byte{0xfc, 1, 2}, 960}, {media.Speex, []byte{0x36, 0x9d}, 0}} {
		got := NewSoundCutter(tt.codec, 60*ms).Cut(media.Frame{Track: audioTrack(tt.codec), Time: 7, Data: tt.data})
		if len(got) != 1 || !bytes.Equal(got[0].Payload, tt.data) || got[0].Time != 7 || got[0].Units != tt.units {
			t.Errorf("%v: got %+v", tt.codec, got)
		}
	}
}

// The RTP clock of G.722 counts bytes, of which each holds two samples (RFC 3551, 4.5.2).
func TestG722Packets(t *testing.T) {
	track := audioTrack(media.G722)
	if track.SampleRate != 16000 || media.G722.ClockRate() != 8000 {
		t.Errorf("%d Hz, with an RTP clock of %d", track.SampleRate, media.G722.ClockRate())
	}
	cutter, clock := NewSoundCutter(media.G722, 40*ms), NewRTPClock(media.G722, 5)
	var times []uint32
	for i := range 6 {
		at := media.Timestamp(time.Duration(i) * 20 * ms)
		for _, p := range cutter.Cut(media.Frame{Track: track, Time: at, Data: make([]byte, 160)}) {
			times = append(times, clock.At(p.Time, p.Units))
		}
	}
	if !slices.Equal(times, []uint32{5, 325, 645}) {
		t.Errorf("RTP times %d", times)
	}
}
