package rtc

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/media"
	"transponder/internal/stream"
)

// codecRecorder is a recorder that notes the codec, too.
type codecRecorder struct{ recorder }

func (r *codecRecorder) Video(codec media.Codec, unit []byte, _ uint32, key bool) {
	r.say("%v %t", codec, key)
}
func (r *codecRecorder) Audio(codec media.Codec, payload []byte, _ uint32) {
	r.say("%v %s", codec, payload)
}

func phoneConfig(codec media.Codec, types map[uint8]media.Codec) JitterBufferConfig {
	cfg := DefaultJitterBufferConfig()
	cfg.Codec, cfg.Types, cfg.TakeOver = codec, types, 0
	return cfg
}

// A phone may change between the agreed codecs at any packet. Telephone events (101) and comfort noise (13) share the numbers
// of the sound, and are no sound.
func TestPayloadTypes(t *testing.T) {
	var r codecRecorder
	b := NewJitterBuffer(phoneConfig(media.PCMU, map[uint8]media.Codec{0: media.PCMU, 8: media.PCMA, 101: media.CodecNone, 96: media.H264}), &r)
	for i, payloadType := range []uint8{0, 8, 101, 101, 8, 13, 0, 77, 96, 0} {
		b.Push(Packet{SSRC: 1, Seq: uint16(65533 + i), PayloadType: payloadType, Payload: []byte{'a' + byte(i)}}, time.Duration(i)*20*ms)
		b.Tick(time.Duration(i)*20*ms, nil)
	}
	want := []string{"PCMU a", "PCMA b", "PCMA e", "PCMU g", "PCMU j"}
	if !slices.Equal(r.said, want) {
		t.Errorf("got %q, want %q", r.said, want)
	}
	if st := b.Stats(); st.Lost != 0 || st.Packets != 10 {
		t.Errorf("stats %+v", st)
	}

	b.SetTypes(map[uint8]media.Codec{8: media.PCMU}, "") // by a new SDP
	b.Push(Packet{SSRC: 1, Seq: 7, PayloadType: 8, Payload: []byte("k")}, time.Second)
	if got := r.said[len(r.said)-1]; got != "PCMU k" {
		t.Errorf("by the new types %q came", got)
	}
}

// Two payload types of one codec are one video. Another codec begins with a key frame, which is asked for.
func TestVideoPayloadTypes(t *testing.T) {
	var r codecRecorder
	b := NewJitterBuffer(phoneConfig(media.H264, map[uint8]media.Codec{97: media.H264, 98: media.H264, 99: media.VP8}), &r)
	vp8 := func(key bool) []byte {
		if key {
			return []byte{0x10, 0, 0, 0, 0x9d, 1, 0x2a, 64, 1, 180, 0}
		}
		return []byte{0x10, 1, 0, 0}
	}
	at := time.Duration(0)
	push := func(payloadType uint8, marker bool, payload []byte) (pli bool) {
		seq := uint16(at / ms)
		b.Push(Packet{SSRC: 1, Seq: seq, Time: uint32(seq) * 3000, PayloadType: payloadType, Marker: marker, Payload: payload}, at*1000)
		_, pli, _ = b.Tick(at*1000, nil)
		at += ms
		return pli
	}
	if !push(97, true, nal(nalIDR, 5)) {
		t.Error("no key frame was asked for at the beginning")
	}
	push(98, true, nal(nalSlice, 5))
	push(97, false, nal(nalSlice, 5)) // a unit that stays open
	if !push(99, true, vp8(false)) {
		t.Error("no key frame was asked for after the codec changed")
	}
	push(99, true, vp8(true))
	push(99, true, vp8(false))
	push(97, true, nal(nalSlice, 5))
	push(97, true, nal(nalIDR, 5))
	want := []string{"H264 true", "H264 false", "VP8 true", "VP8 false", "H264 true"}
	if !slices.Equal(r.said, want) {
		t.Errorf("got %q, want %q", r.said, want)
	}
}

// After a transfer another SSRC is followed at once. Late packets of the old one do not take it back.
func TestTakeOverAtOnce(t *testing.T) {
	var r recorder
	cfg := phoneConfig(media.PCMU, nil)
	cfg.Restarted = func() { r.say("restarted") }
	b := NewJitterBuffer(cfg, &r)
	for _, p := range []struct {
		ssrc    uint32
		seq     uint16
		at      time.Duration
		payload string
	}{
		{1, 10, 0, "a"}, {1, 11, 20, "b"}, {2, 7000, 40, "c"}, {1, 12, 41, "late"}, {2, 7001, 60, "d"}, {1, 13, 200, "e"}, {1, 14, 220, "f"},
	} {
		b.Push(Packet{SSRC: p.ssrc, Seq: p.seq, Payload: []byte(p.payload)}, p.at*ms)
	}
	want := []string{"a@0", "b@0", "lost", "restarted", "c@0", "d@0", "lost", "restarted", "e@0", "f@0"}
	if !slices.Equal(r.said, want) {
		t.Errorf("got %q, want %q", r.said, want)
	}
}

// After a new SDP the numbers may begin anew, and if they do not, nothing is lost.
func TestRestart(t *testing.T) {
	const sdp = -1
	tests := []struct {
		name string
		seqs []int         // 20 ms apart
		hold time.Duration // after each SDP
		want []string
	}{
		{"goes on", []int{100, 101, sdp, 102, 103}, 0, []string{"100", "101", "102", "103"}},
		{"goes on, with packets swapped", []int{100, sdp, 102, 101, 103}, 0, []string{"100", "101", "102", "103"}},
		{"begins anew a little behind", []int{500, 501, sdp, 5, 6, 7}, 0, []string{"500", "501", "lost", "restarted", "6", "7"}},
		{"without an SDP that is late or twice", []int{500, 501, 0, 1, 2}, 0, []string{"500", "501"}},
		{"begins anew far behind", []int{30000, sdp, 10, 11, 12}, 0, []string{"30000", "lost", "restarted", "11", "12"}},
		{"goes on after a hold", []int{100, sdp, 101, 102}, time.Minute, []string{"100", "restarted", "101", "102"}},
		{"a packet on the way comes first", []int{500, sdp, 501, 3, 4, 5}, 0, []string{"500", "501", "lost", "restarted", "4", "5"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r recorder
			cfg := phoneConfig(media.PCMU, nil)
			cfg.Restarted = func() { r.say("restarted") }
			b := NewJitterBuffer(cfg, &r)
			at := time.Second
			for _, seq := range tt.seqs {
				if seq == sdp {
					b.Restart()
					at += tt.hold
					continue
				}
				b.Push(Packet{SSRC: 1, Seq: uint16(seq), Payload: fmt.Append(nil, seq)}, at)
				at += 20 * ms
			}
			for i, w := range tt.want {
				if w != "lost" && w != "restarted" {
					tt.want[i] += "@0"
				}
			}
			if !slices.Equal(r.said, tt.want) {
				t.Errorf("got %q, want %q", r.said, tt.want)
			}
		})
	}
}

// Whatever a phone does to its RTP times, the stream's time follows the arrival and never goes back.
func TestFramesRestarted(t *testing.T) {
	tests := []struct {
		name  string
		pause time.Duration // before the change
		codec media.Codec   // after the change
		step  uint32        // by which the change moves the RTP time, besides the packets
	}{
		{"another SSRC", 0, media.PCMU, 0x9000_0000},
		{"another SSRC, with a time that is a little ahead", 0, media.PCMU, 1200},
		{"another SSRC, with a time that is a little behind", 0, media.PCMU, 1<<32 - 1200},
		{"a hold of five minutes in which the clock stands still", 5 * time.Minute, media.PCMU, 0},
		{"a hold of five minutes in which the clock runs", 5 * time.Minute, media.PCMU, 5 * 60 * 8000},
		{"another codec of the same rate", 0, media.PCMA, 0},
		{"another codec of another rate", 0, media.Opus, 77},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src, err := stream.NewHub(stream.DefaultConfig(), nil).Publish(stream.Info{Name: "a", HasAudio: true})
				if err != nil {
					t.Fatal(err)
				}
				defer src.Close(nil)
				reader := src.NewReader(stream.ReaderConfig{Audio: src.Audio, MaxDuration: time.Hour})
				defer reader.Close()
				frames := NewFrames(src, slog.New(slog.DiscardHandler))
				const n = 100
				rtpTime := uint32(1 << 31)
				send := func(codec media.Codec) {
					for range n {
						frames.Audio(codec, []byte{1}, rtpTime)
						rtpTime += uint32(codec.ClockRate() / 50)
						time.Sleep(20 * ms) // of the bubble's time
					}
				}
				send(media.PCMU)
				time.Sleep(tt.pause)
				rtpTime += tt.step
				frames.Restarted(media.Audio)
				send(tt.codec)

				got := make([]media.Frame, 2*n)
				if count, err := reader.Read(t.Context(), got); err != nil || count != 2*n {
					t.Fatalf("%d frames, %v", count, err)
				}
				for i, f := range got {
					want := time.Duration(i) * 20 * ms
					if i >= n {
						want += tt.pause
					}
					if off := time.Duration(f.Time) - want; off.Abs() > 10*ms {
						t.Errorf("frame %d is %v off", i, off)
					}
					if i > 0 && f.Time <= got[i-1].Time {
						t.Errorf("the time of frame %d goes back", i)
					}
				}
				if got[2*n-1].Track.Codec != tt.codec {
					t.Errorf("the last frame is of %v", got[2*n-1].Track.Codec)
				}
			})
		})
	}
}

// Pictures that are cut for a phone, and come back as a phone's, are the same in the stream: H.264 in every mode, and VP8, which then is
// transcoded like a browser's.
func TestPicturesOfPhones(t *testing.T) {
	h264 := func(key bool, n int) []byte {
		if key {
			return avcc(unitOf(0x65, 3000+n))
		}
		return avcc(unitOf(0x41, 50+n), unitOf(0x41, 1300+n))
	}
	vp8 := func(key bool, n int) []byte {
		head := []byte{0x31, byte(n), 0} // bit 0: no key frame
		if key {
			head = []byte{0x10, 2, 0, 0x9d, 0x01, 0x2a, 0x80, 2, 0xe0, 1} // 640x480
		}
		return append(head, bytes.Repeat([]byte{byte(n)}, 2500+n)...)
	}
	large, err := media.NewH264Track(spsLarge, pps0)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		cfg     PacketizerConfig
		track   *media.Track
		picture func(key bool, n int) []byte
	}{
		{"H.264 mode 1", PacketizerConfig{MaxPayload: 1200}, large, h264},
		{"H.264 mode 1 without STAP-A", PacketizerConfig{MaxPayload: 1200, NoSTAPA: true}, large, h264},
		{"H.264 mode 0", PacketizerConfig{MaxPayload: 1200, SingleNAL: true}, large, h264},
		{"VP8", PacketizerConfig{MaxPayload: 1200}, &media.Track{Codec: media.VP8, Width: 640, Height: 480}, vp8},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src, err := stream.NewHub(stream.DefaultConfig(), nil).Publish(stream.Info{Name: "a", HasVideo: true})
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close(nil)
			reader := src.NewReader(stream.ReaderConfig{Video: src.Video})
			defer reader.Close()
			tt.cfg.Codec = tt.track.Codec
			cut := NewPacketizer(tt.cfg)
			types := map[uint8]media.Codec{96: tt.track.Codec}
			buffer := NewJitterBuffer(phoneConfig(tt.track.Codec, types), NewFrames(src, slog.New(slog.DiscardHandler)))
			const pictures = 20
			var sent []media.Frame
			seq := uint16(65500)
			for n := range pictures {
				f := media.Frame{Track: tt.track, Key: n%10 == 0, Data: tt.picture(n%10 == 0, n)}
				sent = append(sent, f)
				payloads := cut.Payloads(f)
				for i, payload := range payloads {
					buffer.Push(Packet{SSRC: 1, PayloadType: 96, Seq: seq, Time: uint32(n * 3000), Marker: i == len(payloads)-1, Payload: payload}, time.Duration(n)*33*ms)
					seq++
				}
			}
			got := make([]media.Frame, pictures+1)
			count, err := reader.Read(t.Context(), got)
			if err != nil || count != pictures {
				t.Fatalf("%d pictures, %v", count, err)
			}
			for i, f := range got[:count] {
				if f.Key != sent[i].Key || !bytes.Equal(f.Data, sent[i].Data) {
					t.Errorf("picture %d: %d bytes, key %v; want %d, %v", i, len(f.Data), f.Key, len(sent[i].Data), sent[i].Key)
				}
				if f.Track.Codec != tt.track.Codec || f.Track.Width != tt.track.Width || f.Track.Height != tt.track.Height {
					t.Errorf("picture %d has the track %+v", i, f.Track)
				}
			}
			if st := buffer.Stats(); st.BrokenUnits > 0 || st.Lost > 0 {
				t.Errorf("stats %+v", st)
			}
		})
	}
}
