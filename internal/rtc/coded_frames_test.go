package rtc

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"

	"transponder/internal/media"
	"transponder/internal/stream"
)

const (
	codedWidth, codedHeight = 320, 180
	codedGOP                = 15
)

// coded is a second and a half of a test picture, encoded by ffmpeg: the access units, and the payloads of their packets.
type coded struct {
	units    [][]byte // as a decoder gets them
	payloads [][][]byte
}

// codecsUnderTest are the codecs besides H.264, with the arguments of ffmpeg to encode them.
var codecsUnderTest = []struct {
	codec   media.Codec
	encoder []string
	format  string
	payload func() rtp.Payloader
}{
	{media.VP8, []string{"-c:v", "libvpx", "-deadline", "realtime", "-auto-alt-ref", "0"}, "ivf", func() rtp.Payloader { return &codecs.VP8Payloader{EnablePictureID: true} }},
	{media.VP9, []string{"-c:v", "libvpx-vp9", "-deadline", "realtime", "-lag-in-frames", "0"}, "ivf", func() rtp.Payloader { return &codecs.VP9Payloader{} }},
	{media.AV1, []string{"-c:v", "libaom-av1", "-cpu-used", "8", "-usage", "realtime", "-lag-in-frames", "0"}, "ivf", func() rtp.Payloader { return &codecs.AV1Payloader{} }},
	{media.H265, []string{"-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "bframes=0:log-level=none:keyint=15:min-keyint=15:scenecut=0:repeat-headers=1:aud=1"}, "hevc", func() rtp.Payloader { return &codecs.H265Payloader{} }},
}

func encode(t *testing.T, encoder []string, format string, payloader rtp.Payloader) coded {
	t.Helper()
	args := append([]string{"-v", "error", "-f", "lavfi", "-i", fmt.Sprintf("testsrc2=size=%dx%d:rate=30:duration=1.5", codedWidth, codedHeight),
		"-pix_fmt", "yuv420p", "-b:v", "400k", "-g", fmt.Sprint(codedGOP), "-threads", "1"}, encoder...)
	var stderr bytes.Buffer
	cmd := exec.Command("ffmpeg", append(args, "-f", format, "-")...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, stderr.Bytes())
	}
	c := coded{}
	if format == "ivf" {
		c.units = ivfFrames(out)
	} else {
		c.units = annexBUnits(out)
	}
	for _, unit := range c.units {
		c.payloads = append(c.payloads, payloader.Payload(1100, unit))
	}
	return c
}

// ivfFrames reads an IVF file: a header of 32 bytes, then frames with a size and a time of 12 bytes before each.
func ivfFrames(b []byte) [][]byte {
	var frames [][]byte
	for b = b[32:]; len(b) > 12; {
		n := int(binary.LittleEndian.Uint32(b))
		frames = append(frames, b[12:12+n])
		b = b[12+n:]
	}
	return frames
}

// annexBUnits cuts HEVC at its access unit delimiters.
func annexBUnits(b []byte) [][]byte {
	var units [][]byte
	aud := []byte{0, 0, 0, 1, hevcAUD << 1}
	for _, unit := range bytes.Split(b, aud)[1:] {
		units = append(units, slices.Concat(aud, unit))
	}
	return units
}

// naked is a unit without temporal delimiters, which packets do not carry, and without parameter sets, which the track holds.
func naked(codec media.Codec, unit []byte) []byte {
	switch codec {
	case media.AV1:
		return bytes.TrimPrefix(unit, []byte{0x12, 0})
	case media.H265:
		var rest []byte
		for _, nal := range bytes.Split(unit, []byte{0, 0, 1}) {
			nal = bytes.TrimRight(nal, "\x00")
			if len(nal) == 0 || hevcType(nal[0]) >= hevcVPS && hevcType(nal[0]) <= hevcAUD {
				continue
			}
			rest = append(binary.BigEndian.AppendUint32(rest, uint32(len(nal))), nal...)
		}
		return rest
	default:
		return unit
	}
}

// pictureSink makes frames from the units of a JitterBuffer.
type pictureSink struct {
	recorder
	coded     codedFrames
	frames    []media.Frame
	times     []uint32
	rotations []int
}

func (s *pictureSink) Video(codec media.Codec, unit []byte, rtpTime uint32, key bool) {
	if f, ok, _ := s.coded.frame(codec, unit, key); ok {
		s.frames, s.times = append(s.frames, f), append(s.times, rtpTime)
	}
}

func (s *pictureSink) Rotated(degrees int) { s.rotations = append(s.rotations, degrees) }

// The encoded units come out again, byte for byte, with a track that describes them. After a loss nothing comes out before
// the next key frame.
func TestCodedPictures(t *testing.T) {
	for _, tt := range codecsUnderTest {
		t.Run(tt.codec.String(), func(t *testing.T) {
			t.Parallel()
			c := encode(t, tt.encoder, tt.format, tt.payload())
			if len(c.units) != 45 {
				t.Fatalf("%d units, want 45", len(c.units))
			}
			for _, lose := range []int{-1, 5} {
				sink := &pictureSink{}
				cfg := DefaultJitterBufferConfig()
				cfg.Codec = tt.codec
				buffer := NewJitterBuffer(cfg, sink)
				seq := uint16(65530)
				for i, payloads := range c.payloads {
					for k, payload := range payloads {
						seq++
						if i == lose && k == 0 {
							continue
						}
						buffer.Push(Packet{SSRC: 1, Seq: seq, Time: uint32(i), Marker: k == len(payloads)-1, Payload: payload}, 0)
					}
				}
				buffer.Tick(time.Second, nil)
				var want []int
				for i := range c.units {
					if lose < 0 || i < lose || i >= codedGOP {
						want = append(want, i)
					}
				}
				if len(sink.frames) != len(want) {
					t.Fatalf("without unit %d: %d frames at %v, want %d", lose, len(sink.frames), sink.times, len(want))
				}
				for k, i := range want {
					f := sink.frames[k]
					if int(sink.times[k]) != i || f.Key != (i%codedGOP == 0) || !bytes.Equal(f.Data, naked(tt.codec, c.units[i])) {
						t.Fatalf("without unit %d: frame %d is of %d, key %t, %d bytes; want unit %d of %d bytes", lose, k, sink.times[k], f.Key, len(f.Data), i,
							len(naked(tt.codec, c.units[i])))
					}
					if f.Track != sink.frames[0].Track {
						t.Fatalf("frame %d has another track, though nothing changed", k)
					}
				}
				if track := sink.frames[0].Track; track.Codec != tt.codec || track.Width != codedWidth || track.Height != codedHeight ||
					(len(track.Config) == 0) != (tt.codec == media.VP8) {
					t.Errorf("track %+v", track)
				}
			}
		})
	}
}

// A phone sends the rotation of its pictures in header extensions.
func TestOrientation(t *testing.T) {
	sink := &pictureSink{}
	cfg := DefaultJitterBufferConfig()
	cfg.Codec, cfg.Orientation = media.VP8, 13
	buffer := NewJitterBuffer(cfg, sink)
	for i, rotation := range []byte{1, 0xff, 3, 0} {
		raw := []byte{0x90, 0xe0, 0, byte(i), 0, 0, 0, byte(i), 0, 0, 0, 1, 0xbe, 0xde, 0, 2, 0x31, 0, 0, 0 /* id 3 */, 0xd0, rotation, 0, 0, 0x10, 0}
		if rotation == 0xff { // tells nothing
			raw[20] = 0xc0
		}
		p, err := ParsePacket(raw)
		if err != nil {
			t.Fatal(err)
		}
		buffer.Push(p, 0)
	}
	if want := []int{90, 270, 0}; !slices.Equal(sink.rotations, want) {
		t.Errorf("rotations %v, want %v", sink.rotations, want)
	}
}

// FuzzUnits: for every codec, packets of any content give no empty and no unbounded unit, and the first unit is a key frame.
func FuzzUnits(f *testing.F) {
	f.Add(byte(0), []byte{0x80, 3, 0x10, 0x00, 0x9d, 0xc0, 2, 0x10, 0})
	f.Add(byte(1), []byte{0x80, 5, 0x0c, 0x82, 0x49, 0x83, 0x42})
	f.Add(byte(2), []byte{0x80, 6, 0x18, 0x0a, 0x01, 0x00, 0x32, 0x10})
	f.Add(byte(3), []byte{0x80, 5, 0x26, 0x01, 0xaf, 0x09, 0x40, 0xc0, 4, 0x62, 0x01, 0x93, 0x01})
	f.Fuzz(func(t *testing.T, codec byte, in []byte) {
		d := &assembler{parts: newParts(codecsUnderTest[codec%4].codec), needKey: true, broken: func() {}}
		var frames codedFrames
		first := true
		d.unit = func(unit []byte, _ uint32, key bool) {
			if len(unit) == 0 || len(unit) > maxUnit {
				t.Fatalf("unit of %d bytes", len(unit))
			}
			if first && !key && d.parts.refers(unit) {
				t.Fatal("the first picture is no key frame")
			}
			first = first && !key
			if f, ok, _ := frames.frame(codecsUnderTest[codec%4].codec, unit, key); ok && f.Track == nil {
				t.Fatal("a frame without a track")
			}
		}
		for len(in) >= 2 {
			control, n := in[0], min(int(in[1]), len(in)-2)
			payload := in[2 : 2+n]
			in = in[2+n:]
			if control&0x40 != 0 {
				d.gap()
			}
			if n > 0 {
				d.push(Packet{Time: uint32(control & 0x0f), Marker: control&0x80 != 0, Payload: payload})
			}
		}
	})
}

// When a phone is rotated, the next key frame has the new rotation. It is asked for.
func TestRotatedPictures(t *testing.T) {
	receiver := &fakeReceiver{}
	in, _ := newTestIngest(DefaultConfig(), receiver)
	p, err := in.Publish(t.Context(), Offer{SDP: chromium(t)}, stream.Info{Name: "a", ID: "1"})
	if err != nil {
		t.Fatal(err)
	}
	reader := p.Source().NewReader(stream.ReaderConfig{Video: p.Source().Video})
	defer reader.Close()
	key := []byte{0x10, 0, 0, 0x9d, 0x01, 0x2a, 64, 1, 180, 0}
	sink := receiver.sink
	asked := p.Source().Stats().KeyRequests
	for i, step := range []struct {
		degrees int
		unit    []byte
	}{{90, key}, {90, []byte{1}}, {180, []byte{1}}, {180, key}, {0, key}} {
		sink.Rotated(step.degrees)
		sink.Video(media.VP8, step.unit, uint32(3000*i), step.unit[0]&1 == 0)
	}
	frames := make([]media.Frame, 8)
	n, err := reader.Read(t.Context(), frames)
	if err != nil {
		t.Fatal(err)
	}
	var rotations []int
	for _, f := range frames[:n] {
		rotations = append(rotations, f.Track.Rotation)
	}
	if want := []int{90, 90, 90, 180, 0}; !slices.Equal(rotations, want) {
		t.Errorf("frames have the rotations %v, want %v", rotations, want)
	}
	if frames[0].Track != frames[2].Track {
		t.Error("a track changes without a key frame")
	}
	if p.Source().Stats().KeyRequests == asked && receiver.keyFrames == 0 {
		t.Error("no key frame was asked for")
	}
	p.Source().Close(nil)
}
