package rtmpserver

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"transponder/internal/flv"
	"transponder/internal/media"
	"transponder/internal/stream"
)

// lengths makes an access unit in which each NAL unit has a length of so many bytes before it.
func lengths(size int, nalus ...[]byte) []byte {
	var b []byte
	for _, n := range nalus {
		var length [4]byte
		binary.BigEndian.PutUint32(length[:], uint32(len(n)))
		b = append(append(b, length[4-size:]...), n...)
	}
	return b
}

// startCodes makes an access unit in the form of annex B, with both kinds of start code.
func startCodes(nalus ...[]byte) []byte {
	b := []byte{0}
	for _, n := range nalus {
		b = append(append(b, 0, 0, 1), n...)
	}
	return b
}

// Pictures in every form that encoders send become pictures in the form of the hub, with the right configuration.
func TestFormsOfH264(t *testing.T) {
	track, err := media.NewH264Track(sps, pps)
	if err != nil {
		t.Fatal(err)
	}
	short := func(size byte) []byte {
		b := bytes.Clone(track.Config)
		b[4] = 0xfc | size - 1
		return b
	}
	config, key, inter2 := []byte{0x17, 0, 0, 0, 0}, []byte{0x17, 1, 0, 0, 0}, []byte{0x27, 1, 0, 0, 0}
	type message struct{ head, payload []byte }
	for _, c := range []struct {
		name string
		sent []message
	}{
		{"as it should be", []message{{config, track.Config}, {key, unitOf(idr)}, {inter2, unitOf(inter)}}},
		{"1-byte lengths", []message{{config, short(1)}, {key, lengths(1, idr)}, {inter2, lengths(1, inter)}}},
		{"2-byte lengths", []message{{config, short(2)}, {key, lengths(2, aud, idr)}, {inter2, lengths(2, inter)}}},
		{"2-byte lengths are announced, 4 bytes sent", []message{{config, short(2)}, {key, unitOf(idr)}, {inter2, unitOf(inter)}}},
		{"4-byte lengths are announced, 2 bytes sent", []message{{config, track.Config}, {key, lengths(2, aud, idr)}, {inter2, lengths(2, inter)}}},
		{"2-byte lengths and no configuration", []message{{key, lengths(2, sps, pps, idr)}, {inter2, lengths(2, inter)}}},
		{"1-byte lengths and no configuration", []message{{key, lengths(1, sps, pps, idr)}, {inter2, lengths(1, inter)}}},
		{"start codes", []message{{config, track.Config}, {key, startCodes(idr)}, {inter2, startCodes(inter)}}},
		{"start codes in the configuration too", []message{{config, startCodes(sps, pps)}, {key, startCodes(aud, idr)}, {inter2, startCodes(inter)}}},
		{"start codes and no configuration", []message{{key, startCodes(sps, pps, idr)}, {inter2, startCodes(inter)}}},
		{"start codes and zero bytes between and behind", []message{{config, track.Config},
			{key, append(startCodes(append(bytes.Clone(aud), 0, 0), idr), 0, 0, 0)}, {inter2, startCodes(inter)}}},
		{"no configuration", []message{{key, unitOf(sps, pps, idr)}, {inter2, unitOf(inter)}}},
		{"an empty configuration", []message{{config, nil}, {key, unitOf(aud, sps, pps, idr)}, {inter2, unitOf(inter)}}},
		{"a configuration without sets", []message{{config, []byte{1, 0x64, 0, 0x28, 0xff, 0xe0, 0}}, {key, unitOf(sps, pps, idr)}, {inter2, unitOf(inter)}}},
		{"2-byte lengths without sets", []message{{config, []byte{1, 0x64, 0, 0x28, 0xfd, 0xe0, 0}}, {key, lengths(2, sps, pps, idr)}, {inter2, lengths(2, inter)}}},
		{"sets in messages of their own", []message{{key, unitOf(sps)}, {key, unitOf(pps)}, {key, unitOf(idr)}, {inter2, unitOf(inter)}}},
		{"zero bytes behind", []message{{config, track.Config}, {key, append(unitOf(idr), 0)}, {inter2, append(unitOf(inter), 0, 0, 0, 0, 0)}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFeeder(t)
			for i, m := range c.sent {
				if err := f.send(flv.TypeVideo, uint32(i)*40, m.head, m.payload); err != nil && m.head[1] == 1 {
					t.Fatalf("message %d: %v", i, err)
				}
			}
			got := f.frames()
			if len(got) != 2 || !got[0].Key || got[1].Key || !bytes.Equal(got[0].Data, unitOf(idr)) || !bytes.Equal(got[1].Data, unitOf(inter)) {
				t.Fatalf("frames %+v", got)
			}
			if !bytes.Equal(got[0].Track.Config, track.Config) || got[0].Track != got[1].Track || got[0].Track.Width != 1920 {
				t.Errorf("track %+v, want %+v", got[0].Track, track)
			}
		})
	}
}

// A message that cannot be read is counted by its fault, and has no other effect.
func TestUnreadable(t *testing.T) {
	track, _ := media.NewH264Track(sps, pps)
	f := newFeeder(t)
	config, key := []byte{0x17, 0, 0, 0, 0}, []byte{0x17, 1, 0, 0, 0}
	for i, c := range []struct {
		head, payload []byte
		want          stream.Fault
	}{
		{key, unitOf(idr), stream.FaultConfig},
		{config, []byte{1, 2, 3}, stream.FaultForm},
		{key, unitOf(sps, idr), stream.FaultConfig},
		{config, track.Config, 255},
		{key, unitOf(idr)[:6], stream.FaultForm},
		{key, append(unitOf(idr), 0, 0, 0, 9, 1), stream.FaultForm},
		{[]byte{0x12}, idr, stream.FaultCodec},
		{[]byte("\x96\x03avc1\x01"), unitOf(idr), stream.FaultTrack},
	} {
		before := f.in.src.Video.Stats().Faults
		err := f.send(flv.TypeVideo, uint32(i)*40, c.head, c.payload)
		if c.want == 255 {
			if err != nil {
				t.Errorf("message %d: %v", i, err)
			}
			continue
		}
		before[c.want]++
		if got := f.in.src.Video.Stats().Faults; !errors.Is(err, errBadFrame) || got != before {
			t.Errorf("message %d: %v, faults %v; want errBadFrame, %v", i, err, got, before)
		}
	}
}

// HEVC is sent by Enhanced RTMP or with codec id 12, and in as many forms as H.264.
func TestFormsOfHEVC(t *testing.T) {
	vps, pps, idr, inter := []byte{0x40, 1, 2}, []byte{0x44, 1, 9}, []byte{0x26, 1, 9}, []byte{0x02, 1, 9}
	short := hvcC(vps, hevcSPS, pps)
	short[21] = 0xfd
	type message struct {
		head    string
		payload []byte
	}
	for _, c := range []struct {
		name string
		sent []message
	}{
		{"codec id 12", []message{{"\x1c\x00\x00\x00\x00", hvcC(vps, hevcSPS, pps)}, {"\x1c\x01\x00\x00\x00", unitOf(idr)}, {"\x2c\x01\x00\x00\x00", unitOf(inter)}}},
		{"2-byte lengths", []message{{"\x90hvc1", short}, {"\x93hvc1", lengths(2, idr)}, {"\xa3hvc1", lengths(2, inter)}}},
		{"start codes", []message{{"\x90hvc1", startCodes(vps, hevcSPS, pps)}, {"\x93hvc1", startCodes(idr)}, {"\xa3hvc1", startCodes(inter)}}},
		{"zero bytes behind", []message{{"\x90hvc1", hvcC(vps, hevcSPS, pps)}, {"\x93hvc1", append(unitOf(idr), 0, 0)}, {"\xa3hvc1", append(unitOf(inter), 0)}}},
		{"no configuration", []message{{"\x93hvc1", unitOf(vps, hevcSPS, pps, idr)}, {"\xa3hvc1", unitOf(inter)}}},
		{"an empty configuration and start codes", []message{{"\x90hvc1", nil}, {"\x93hvc1", startCodes(vps, hevcSPS, pps, idr)}, {"\xa3hvc1", startCodes(inter)}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFeeder(t)
			for i, m := range c.sent {
				if err := f.send(flv.TypeVideo, uint32(i)*40, []byte(m.head), m.payload); err != nil {
					t.Fatalf("message %d: %v", i, err)
				}
			}
			got := f.frames()
			if len(got) != 2 || !got[0].Key || got[1].Key || !bytes.HasSuffix(got[0].Data, unitOf(idr)) || !bytes.Equal(got[1].Data, unitOf(inter)) {
				t.Fatalf("frames %+v", got)
			}
			g := got[0].Track
			if g.Codec != media.H265 || g.Width != 1920 || got[1].Track != g {
				t.Fatalf("track %+v", g)
			}
			if again, form, err := media.ParseH265Config(g.Config); err != nil || form != media.NALLengths4 || again.Width != 1920 {
				t.Errorf("its configuration reads as %+v, %d, %v", again, form, err)
			}
		})
	}
}

// The key frames of AV1 and VP9 describe the stream.
func TestNoConfigOfAV1AndVP9(t *testing.T) {
	for head, frame := range map[string][]byte{"\x91av01": av1Key, "\x91vp09": vp9Key} {
		f := newFeeder(t)
		if err := f.send(flv.TypeVideo, 0, []byte(head), frame); err != nil {
			t.Fatal(err)
		}
		if got := f.frames(); len(got) != 1 || !got[0].Key || got[0].Track.Width != 1920 || len(got[0].Track.Config) < 4 {
			t.Errorf("%q: %+v", head, got)
		}
	}
}

// Other tracks in multitrack messages of Enhanced RTMP are ignored, whatever their kind.
func TestMultitrack(t *testing.T) {
	track, _ := media.NewH264Track(sps, pps)
	f := newFeeder(t)
	for i, m := range []struct {
		kind uint8
		body []byte
		want error
	}{
		{flv.TypeVideo, append([]byte{0x17, 0, 0, 0, 0}, track.Config...), nil},
		{flv.TypeVideo, append([]byte("\x96\x00avc1\x01"), track.Config...), errBadFrame},
		{flv.TypeAudio, []byte{0xaf, 0, 0x11, 0x90}, nil},
		{flv.TypeAudio, []byte("\x95\x00mp4a\x01\x12\x10"), errBadFrame},
		{flv.TypeVideo, append([]byte{0x17, 1, 0, 0, 0}, unitOf(idr)...), nil},
		{flv.TypeVideo, append([]byte("\x96\x01avc1\x01\x00\x00\x00"), unitOf(inter)...), errBadFrame},
		{flv.TypeAudio, []byte{0xaf, 1, 7}, nil},
		{flv.TypeAudio, []byte("\x95\x01mp4a\x01\x08"), errBadFrame},
		{flv.TypeAudio, []byte("\x95\x01mp4a\x00\x09"), nil},
	} {
		if err := f.send(m.kind, uint32(i)*10, nil, m.body); !errors.Is(err, m.want) {
			t.Errorf("message %d: %v, want %v", i, err, m.want)
		}
	}
	var got []string
	for _, frame := range f.frames() {
		got = append(got, fmt.Sprintf("%x", frame.Data))
	}
	if want := []string{fmt.Sprintf("%x", unitOf(idr)), "07", "09"}; !slices.Equal(got, want) {
		t.Errorf("frames %v, want %v", got, want)
	}
	st := f.in.src.Stats()
	if st.Video.Faults[stream.FaultTrack] != 2 || st.Audio.Faults[stream.FaultTrack] != 2 || st.Video.Faults.Unusable() != 0 {
		t.Errorf("faults %v and %v", st.Video.Faults, st.Audio.Faults)
	}
}

// adts puts a header before a packet of AAC-LC at 48 kHz in stereo, with a checksum if asked.
func adts(packet []byte, checked bool) []byte {
	head := []byte{0xff, 0xf1, 1<<6 | 3<<2, 2 << 6, 0, 0x1f, 0xfc}
	if checked {
		head[1] = 0xf0
		head = append(head, 0, 0)
	}
	size := len(head) + len(packet)
	head[3] |= byte(size >> 11)
	head[4], head[5] = byte(size>>3), byte(size<<5)|0x1f
	return append(head, packet...)
}

func TestADTS(t *testing.T) {
	packet := []byte{0x21, 7, 7}
	for _, c := range []struct {
		name  string
		sent  [][]byte
		count int
	}{
		{"no configuration", [][]byte{append([]byte{0xaf, 1}, adts(packet, false)...)}, 1},
		{"a checksum", [][]byte{append([]byte{0xaf, 1}, adts(packet, true)...)}, 1},
		{"two in a message", [][]byte{append([]byte{0xaf, 1}, append(adts(packet, false), adts(packet, false)...)...)}, 2},
		{"no packet type", [][]byte{append([]byte{0xaf}, adts(packet, false)...)}, 1},
		{"beside a configuration", [][]byte{{0xaf, 0, 0x11, 0x90}, append([]byte{0xaf, 1}, adts(packet, false)...)}, 1},
		{"in the configuration's place", [][]byte{append([]byte{0xaf, 0}, adts(packet, false)[:7]...), append([]byte{0xaf, 1}, packet...)}, 1},
		{"Enhanced RTMP", [][]byte{append([]byte("\x91mp4a"), adts(packet, false)...)}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFeeder(t)
			for _, b := range c.sent {
				if err := f.send(flv.TypeAudio, 0, nil, b); err != nil {
					t.Fatal(err)
				}
			}
			got := f.frames()
			if len(got) != c.count {
				t.Fatalf("%d frames, want %d", len(got), c.count)
			}
			for i, g := range got {
				if !bytes.Equal(g.Data, packet) || g.Track.SampleRate != 48000 || g.Track.Channels != 2 || !bytes.Equal(g.Track.Config, []byte{0x11, 0x90}) {
					t.Errorf("frame %x of %+v", g.Data, g.Track)
				}
				if i > 0 && g.Time.Sub(got[i-1].Time) < 20*time.Millisecond {
					t.Errorf("frame %d at %v after %v", i, g.Time, got[i-1].Time)
				}
			}
		})
	}
}

// If the sound stops while pictures arrive, silence takes its place. When the sound comes back, it continues at its own time.
func TestSilenceForSound(t *testing.T) {
	track, _ := media.NewH264Track(sps, pps)
	f := newFeeder(t)
	now := media.Timestamp(0)
	send := func(kind uint8, ms int, body ...byte) {
		t.Helper()
		now = media.Timestamp(time.Duration(ms) * time.Millisecond)
		if err := f.sendAt(kind, uint32(ms), body, now); err != nil {
			t.Fatal(err)
		}
	}
	send(flv.TypeVideo, 0, append([]byte{0x17, 0, 0, 0, 0}, track.Config...)...)
	send(flv.TypeAudio, 0, 0xaf, 0, 0x11, 0x90)
	var frames []media.Frame
	for ms := 0; ms < 12_000; ms += 20 {
		if ms < 3000 || ms >= 9000 {
			send(flv.TypeAudio, ms, 0xaf, 1, 0x21, 7)
		}
		if ms%40 == 0 {
			head := byte(0x27)
			if ms == 0 {
				head = 0x17
			}
			send(flv.TypeVideo, ms, append([]byte{head, 1, 0, 0, 0}, unitOf(idr)...)...)
		}
		frames = append(frames, f.frames()...)
	}
	silent, last := 0, media.Timestamp(-1)
	for _, g := range frames {
		if g.Kind() != media.Audio {
			continue
		}
		if gap := g.Time.Sub(last); last >= 0 && (gap <= 0 || gap > 50*time.Millisecond) {
			t.Fatalf("sound at %v after %v", g.Time, last)
		}
		last = g.Time
		if len(g.Data) != 2 {
			silent++
		}
	}
	if least := 5500 * 48 / 1024; silent < least {
		t.Errorf("%d packets of silence, want at least %d", silent, least)
	}
	if n := f.in.src.Audio.Stats().Frames; n != (3000+3000)/20 {
		t.Errorf("%d frames are the publisher's, want 300: silence is not", n)
	}
}

// Real pictures with start codes, and without a configuration, can be decoded at the destination of a push.
func TestFormsDecode(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("ffmpeg", strings.Fields("-v error -f lavfi -i testsrc2=size=320x180:rate=25:duration=1 -pix_fmt yuv420p -c:v libx264 "+
		"-preset ultrafast -tune zerolatency -g 10 -x264-params aud=1:repeat-headers=1 -f h264 -")...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	f := newFeeder(t)
	var frames []media.Frame
	for i, unit := range bytes.Split(out, []byte{0, 0, 0, 1, 9})[1:] {
		message := append([]byte{0x27, 1, 0, 0, 0, 0, 0, 0, 1, 9}, unit...)
		if err := f.send(flv.TypeVideo, uint32(i)*40, nil, message); err != nil {
			t.Fatal(err)
		}
		frames = append(frames, f.frames()...)
	}
	if len(frames) != 25 {
		t.Fatalf("%d frames, want 25", len(frames))
	}
	// An FLV file of what came out is what the far end of a push would get.
	file := []byte("FLV\x01\x01\x00\x00\x00\x09\x00\x00\x00\x00")
	add := func(tag flv.Tag) {
		n, ms := tag.Len(), tag.Time
		file = append(file, tag.Type, byte(n>>16), byte(n>>8), byte(n), byte(ms>>16), byte(ms>>8), byte(ms), byte(ms>>24), 0, 0, 0)
		file = append(append(file, tag.Head()...), tag.Payload...)
		file = binary.BigEndian.AppendUint32(file, uint32(n+11))
	}
	mux := &flv.Muxer{FrameRate: func() float64 { return 25 }}
	for _, frame := range frames {
		tags, err := mux.Append(nil, frame)
		if err != nil {
			t.Fatal(err)
		}
		for _, tag := range tags {
			add(tag)
		}
	}
	decode := exec.Command("ffmpeg", strings.Fields("-v error -xerror -f flv -i - -f framemd5 -")...)
	decode.Stdin = bytes.NewReader(file)
	var stderr bytes.Buffer
	decode.Stderr = &stderr
	sums, err := decode.Output()
	if n := bytes.Count(sums, []byte("\n0,")); err != nil || stderr.Len() > 0 || n != 25 {
		t.Errorf("%d pictures decoded, %v: %s", n, err, stderr.Bytes())
	}
}
