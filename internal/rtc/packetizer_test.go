package rtc

import (
	"bytes"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"

	"transponder/internal/media"
)

// unitOf returns a NAL unit of n bytes.
func unitOf(header byte, size int) []byte {
	return append([]byte{header}, bytes.Repeat([]byte{byte(size)}, size-1)...)
}

func TestH264Packets(t *testing.T) {
	sps, pps := []byte{0x67, 0x42, 0xe0, 0x1f}, []byte{0x68, 0xce, 0x3c, 0x80}
	track := &media.Track{Codec: media.H264, Config: append(append(append(
		[]byte{1, 0x42, 0xe0, 0x1f, 0xff, 0xe1, 0, 4}, sps...), 1, 0, 4), pps...)}
	tests := []struct {
		name    string
		key     bool
		nals    [][]byte
		packets int
	}{
		{"one", false, [][]byte{unitOf(0x41, 100)}, 1},
		{"as large as a packet", false, [][]byte{unitOf(0x41, maxPayload)}, 1},
		{"a byte too large", false, [][]byte{unitOf(0x41, maxPayload+1)}, 2},
		{"two large parts and a byte", false, [][]byte{unitOf(0x41, 1+2*(maxPayload-2)+1)}, 3},
		{"small ones together", false, [][]byte{unitOf(0x06, 20), unitOf(0x41, 100), unitOf(0x41, 200)}, 1},
		{"more than fit together", false, [][]byte{unitOf(0x41, 600), unitOf(0x41, 600), unitOf(0x41, 10)}, 2},
		{"small, large, small", false, [][]byte{unitOf(0x06, 20), unitOf(0x41, 3000), unitOf(0x41, 20)}, 5},
		{"key frame", true, [][]byte{unitOf(0x65, 5000)}, 6},
		{"a byte", false, [][]byte{{0x41}}, 1},
	}
	cut := NewPacketizer(PacketizerConfig{Codec: media.H264})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			packets := cut.Payloads(media.Frame{Track: track, Key: tt.key, Data: avcc(tt.nals...)})
			if len(packets) != tt.packets {
				t.Errorf("%d packets, want %d", len(packets), tt.packets)
			}
			var parts codecs.H264Packet
			var got []byte
			for _, p := range packets {
				if len(p) > maxPayload {
					t.Errorf("a packet of %d bytes", len(p))
				}
				b, err := parts.Unmarshal(p)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, b...)
			}
			want := tt.nals
			if tt.key {
				want = append([][]byte{sps, pps}, want...)
			}
			if stream := byteStream(want); !bytes.Equal(got, stream) {
				t.Errorf("the packets hold other NAL units: %d bytes, want %d", len(got), len(stream))
			}
		})
	}

	// Data that is no frame gives no packets, and does no harm.
	for _, data := range [][]byte{nil, {1}, {0, 0, 0, 0, 1}, {0, 0, 0, 9, 1, 2}, {0xff, 0xff, 0xff, 0xff, 1}} {
		if p := cut.Payloads(media.Frame{Track: track, Data: data}); len(p) != 0 {
			t.Errorf("%x: %d packets", data, len(p))
		}
	}
}

// Phones differ in which packets of H.264 they take. Each way carries the same NAL units.
func TestH264PacketsForPhones(t *testing.T) {
	nals := [][]byte{unitOf(0x06, 20), unitOf(0x41, 100), unitOf(0x41, 1200), unitOf(0x41, 3000)}
	tests := []struct {
		name  string
		cfg   PacketizerConfig
		types []byte // of the packets
		most  int
	}{
		{"mode 1", PacketizerConfig{MaxPayload: 1200}, []byte{nalSTAPA, nalSlice, nalFUA, nalFUA, nalFUA}, 1200},
		{"mode 1 without STAP-A", PacketizerConfig{MaxPayload: 1200, NoSTAPA: true}, []byte{6, nalSlice, nalSlice, nalFUA, nalFUA, nalFUA}, 1200},
		{"mode 0", PacketizerConfig{MaxPayload: 1200, SingleNAL: true}, []byte{6, nalSlice, nalSlice, nalSlice}, 3000},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.Codec = media.H264
			var types, got []byte
			var parts h264Parts
			most := 0
			for _, p := range NewPacketizer(tt.cfg).Payloads(media.Frame{Track: &media.Track{Codec: media.H264}, Data: avcc(nals...)}) {
				types, most = append(types, p[0]&nalTypeMask), max(most, len(p))
				var ok bool
				if got, ok = parts.add(got, p); !ok {
					t.Fatalf("a packet of type %d does not fit", p[0]&nalTypeMask)
				}
			}
			if !bytes.Equal(types, tt.types) || most != tt.most {
				t.Errorf("packets of types %d, the largest of %d bytes; want %d, %d", types, most, tt.types, tt.most)
			}
			if !parts.whole() || !bytes.Equal(got, avcc(nals...)) {
				t.Error("other NAL units arrive")
			}
		})
	}

	// What no datagram can hold is left out, and does not stop the rest.
	huge := avcc(unitOf(0x41, maxNAL+1), unitOf(0x41, 9))
	if got := NewPacketizer(PacketizerConfig{Codec: media.H264, SingleNAL: true}).Payloads(media.Frame{Track: &media.Track{}, Data: huge}); len(got) != 1 {
		t.Errorf("%d packets", len(got))
	}
}

func byteStream(nals [][]byte) []byte {
	var b []byte
	for _, n := range nals {
		b = append(append(b, 0, 0, 0, 1), n...)
	}
	return b
}

// Receivers can join the packets of the other codecs again.
func TestPackets(t *testing.T) {
	vp8 := append([]byte{0x10, 2, 0, 0x9d, 0x01, 0x2a, 0x40, 1, 0xf0, 0}, bytes.Repeat([]byte{7}, 3000)...)
	for _, tt := range []struct {
		codec media.Codec
		parts rtp.Depacketizer
		data  []byte
	}{
		{media.VP8, &codecs.VP8Packet{}, vp8},
		{media.Opus, &codecs.OpusPacket{}, []byte{0xfc, 1, 2}},
	} {
		cut := NewPacketizer(PacketizerConfig{Codec: tt.codec})
		for range 3 {
			var got []byte
			for _, p := range cut.Payloads(media.Frame{Track: &media.Track{Codec: tt.codec}, Key: true, Data: tt.data}) {
				b, err := tt.parts.Unmarshal(p)
				if err != nil || len(p) > maxPayload {
					t.Fatalf("%v: a packet of %d bytes, %v", tt.codec, len(p), err)
				}
				got = append(got, b...)
			}
			if !bytes.Equal(got, tt.data) {
				t.Errorf("%v: %d bytes came of %d", tt.codec, len(got), len(tt.data))
			}
		}
	}
	for _, codec := range []media.Codec{media.H265, media.AAC, media.CodecNone} {
		if sendable(codec) {
			t.Errorf("%v is played", codec)
		}
	}
}

func TestRTPClock(t *testing.T) {
	const origin = 1<<32 - 1000 // it wraps
	at := func(d time.Duration) media.Timestamp { return media.Timestamp(time.Hour + d) }

	// The RTP times of pictures never drift from the stream's clock.
	w := NewRTPClock(media.H264, origin)
	for n := range 1000 {
		d := time.Duration(n) * time.Second / 30
		if got, want := w.At(at(d), 0)-origin, uint32(3000*n); got != want {
			t.Fatalf("picture %d is at %d, want %d", n, got, want)
		}
	}
	if got := w.Now(at(time.Duration(999)*time.Second/30+time.Second)) - origin; got != 999*3000+90000 {
		t.Errorf("a second later it is %d", got)
	}

	// The RTP times of sound count samples while the stream's times waver, and follow the stream's clock over a pause.
	w = NewRTPClock(media.Opus, origin)
	tests := []struct {
		at   time.Duration
		want uint32
	}{
		{0, 0}, {19 * time.Millisecond, 960}, {41 * time.Millisecond, 1920}, {63 * time.Millisecond, 2880},
		{463 * time.Millisecond, 2880 + 400*48}, {483 * time.Millisecond, 2880 + 420*48},
	}
	for _, tt := range tests {
		if got := w.At(at(tt.at), 960) - origin; got != tt.want {
			t.Errorf("sound of %v is at %d, want %d", tt.at, got, tt.want)
		}
	}
}

func BenchmarkH264Packets(b *testing.B) {
	track := &media.Track{Codec: media.H264}
	f := media.Frame{Track: track, Data: avcc(unitOf(0x41, 10_000))} // 2.4 Mbit/s at 30 pictures a second
	cut := NewPacketizer(PacketizerConfig{Codec: media.H264})
	b.SetBytes(int64(len(f.Data)))
	b.ReportAllocs()
	for b.Loop() {
		cut.Payloads(f)
	}
}
