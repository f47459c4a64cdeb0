//go:build cgo

package libav

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"transponder/internal/media"
	"transponder/internal/transcode/picture/picturetest"
)

func newVideo(t testing.TB, cfg VideoConfig) *Video {
	t.Helper()
	v, err := NewVideo(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

// put decodes a frame and encodes what comes of it.
func put(t testing.TB, v *Video, f media.Frame) []media.Frame {
	t.Helper()
	if err := v.Decode(f); err != nil {
		t.Fatalf("frame at %v: %v", f.Time, err)
	}
	var out []media.Frame
	for v.Pending() > 0 {
		if err := v.Encode(false, func(f media.Frame) error { out = append(out, f); return nil }); err != nil {
			t.Fatalf("frame at %v: %v", f.Time, err)
		}
	}
	return out
}

func transcode(t testing.TB, v *Video, frames []media.Frame) []media.Frame {
	t.Helper()
	var out []media.Frame
	for _, f := range frames {
		out = append(out, put(t, v, f)...)
	}
	return out
}

// after moves frames in time and turns them.
func after(d time.Duration, rotation int, frames []media.Frame) []media.Frame {
	turned := *frames[0].Track
	turned.Rotation = rotation
	frames = slices.Clone(frames)
	for i := range frames {
		frames[i].Time = frames[i].Time.Add(d)
		frames[i].Track = &turned
	}
	return frames
}

// compare fails if the mean likeness of pictures, or one's, is too small.
func compare(t *testing.T, got, want []picturetest.Picture, mean, least float64) {
	t.Helper()
	if len(got) == 0 || len(got) > len(want) {
		t.Fatalf("%d pictures, want %d", len(got), len(want))
	}
	var sum float64
	for i := range got {
		s := picturetest.SSIM(got[i], want[i])
		if s < least {
			t.Errorf("SSIM of picture %d is %.4f, want at least %.3f", i, s, least)
		}
		sum += s
	}
	if sum /= float64(len(got)); sum < mean {
		t.Errorf("SSIM is %.4f, want at least %.3f", sum, mean)
	}
}

var clip = picturetest.Source(320, 180, 30, 700*time.Millisecond)

// Every coding comes out whole, in the order of showing, at its own times and without a frame of delay.
func TestVideoCodecs(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		codec media.Codec
		args  []string
		held  int // pictures that come later than their frame, for the sake of their order
	}{
		{"H.264", media.H264, nil, 0},
		{"H.264 baseline", media.H264, []string{"-profile:v", "baseline"}, 0},
		{"H.264 with B-frames", media.H264, []string{"-tune", "film", "-bf", "2", "-x264-params", "b-pyramid=none"}, 1},
		{"H.264 with B-frames on B-frames", media.H264, []string{"-tune", "film", "-bf", "3", "-x264-params", "b-adapt=0"}, 2},
		{"HEVC", media.H265, nil, 0},
		{"HEVC with B-frames", media.H265, []string{"-tune", "grain", "-bf", "2"}, 2},
		{"VP8", media.VP8, nil, 0},
		{"VP9", media.VP9, nil, 0},
		{"AV1", media.AV1, nil, 0},
	}
	drawn := picturetest.Drawn(t, clip, "null", 320, 180)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			frames := picturetest.Clip(t, tt.codec, clip, tt.args...)
			v := newVideo(t, VideoConfig{})
			var out []media.Frame
			for i, f := range frames {
				out = append(out, put(t, v, f)...)
				if held := i + 1 - len(out); held < 0 || held > tt.held {
					t.Fatalf("%d pictures are held back after frame %d, want up to %d", held, i, tt.held)
				}
			}
			for i, f := range out {
				if at := time.Duration(i) * time.Second / 30; (time.Duration(f.Time)-at).Abs() > time.Millisecond || f.Delay != 0 {
					t.Errorf("picture %d is at %v + %v, want %v", i, time.Duration(f.Time), f.Delay, at)
				}
				if f.Key != (i == 0) || f.Track != out[0].Track {
					t.Errorf("picture %d: key %v, track %+v", i, f.Key, f.Track)
				}
			}
			compare(t, picturetest.Pictures(t, out), drawn, 0.98, 0.97)
		})
	}
}

// VP8 comes out whole and at once, at about the rate that was asked for, with a key frame where one is asked for, and follows the
// source's size.
func TestVideoToVP8(t *testing.T) {
	t.Parallel()
	const rate = 600_000
	source := picturetest.Source(320, 180, 30, 3*time.Second)
	v := newVideo(t, VideoConfig{Codec: media.VP8, RateBPS: rate, KeyFrameTime: time.Minute})
	var out []media.Frame
	size := 0
	for i, f := range picturetest.Clip(t, media.H264, source) {
		if err := v.Decode(f); err != nil {
			t.Fatal(err)
		}
		if err := v.Encode(i == 45, func(f media.Frame) error {
			out = append(out, f)
			size += len(f.Data)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if len(out) != i+1 {
			t.Fatalf("%d pictures after frame %d", len(out), i)
		}
		last := out[i]
		if key := i == 0 || i == 45; last.Key != key || (last.Data[0]&1 == 0) != key || last.Track != out[0].Track {
			t.Errorf("picture %d: key %v, first byte %#x, track %+v", i, last.Key, last.Data[0], last.Track)
		}
	}
	if track := *out[0].Track; track.Codec != media.VP8 || track.Width != 320 || track.Height != 180 {
		t.Errorf("track = %+v", track)
	}
	if bps := float64(size) * 8 / 3; bps > 1.3*rate || bps < rate/3 {
		t.Errorf("%.0f bit/s, want about %d", bps, rate)
	}
	compare(t, picturetest.Pictures(t, out), picturetest.Drawn(t, source, "null", 320, 180), 0.93, 0.85)

	turned := put(t, v, func() media.Frame {
		f := picturetest.Clip(t, media.H264, picturetest.Source(180, 320, 30, time.Second/30))[0]
		f.Time = out[len(out)-1].Time.Add(time.Second / 30)
		return f
	}())
	if len(turned) != 1 || !turned[0].Key || turned[0].Track.Width != 180 || turned[0].Track.Height != 320 {
		t.Errorf("after the source's size changed: %+v", turned)
	}
}

// ffprobe confirms the result of each way to ask for pictures.
func TestVideoRules(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		cfg     VideoConfig
		frames  int
		want    string // width, height, profile, B-frames, range, matrix, rate
		every   int    // frames from key frame to key frame
		rateBPS int
	}{
		{"as it is", VideoConfig{}, 90, "320,180,High,0,tv,smpte170m,30/1", 60, 450_000},
		{"height", VideoConfig{Height: 120}, 90, "212,120,High,0,tv,smpte170m,30/1", 60, 333_333},
		{"size", VideoConfig{Width: 160, Height: 160}, 90, "160,160,High,0,tv,smpte170m,30/1", 60, 411_111},
		{"rate", VideoConfig{FPS: 15}, 46, "320,180,High,0,tv,smpte170m,15/1", 30, 450_000},
		{"double rate", VideoConfig{FPS: 60, KeyFrameInterval: 50}, 179, "320,180,High,0,tv,smpte170m,60/1", 50, 900_000},
		{"interval", VideoConfig{KeyFrameInterval: 25}, 90, "320,180,High,0,tv,smpte170m,30/1", 25, 450_000},
		{"bit rate", VideoConfig{RateBPS: 200_000}, 90, "320,180,High,0,tv,smpte170m,30/1", 60, 200_000},
	}
	noisy := picturetest.Source(320, 180, 30, 3*time.Second) + ",noise=alls=30:allf=t"
	frames := picturetest.Clip(t, media.H264, noisy)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out := transcode(t, newVideo(t, tt.cfg), frames)
			if len(out) != tt.frames {
				t.Errorf("%d frames, want %d", len(out), tt.frames)
			}
			size := 0
			for i, f := range out {
				if f.Key != (i%tt.every == 0) {
					t.Errorf("frame %d: key %v, but they are to be %d apart", i, f.Key, tt.every)
				}
				size += len(f.Data)
			}
			if got := 8 * size / 3; math.Abs(float64(got)/float64(tt.rateBPS)-1) > 0.2 {
				t.Errorf("%d bit/s, want %d", got, tt.rateBPS)
			}
			if got := probe(t, out); got != tt.want {
				t.Errorf("ffprobe says %s, want %s", got, tt.want)
			}
		})
	}
}

// probe returns what ffprobe says of frames.
func probe(t *testing.T, frames []media.Frame) string {
	t.Helper()
	cmd := exec.Command("ffprobe", "-v", "error", "-f", "h264", "-i", "-", "-show_entries",
		"stream=width,height,profile,has_b_frames,color_range,color_space,r_frame_rate", "-of", "default=noprint_wrappers=1:nokey=1")
	cmd.Stdin = bytes.NewReader(picturetest.AnnexB(t, frames))
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(out))
	if len(f) != 7 {
		t.Fatalf("ffprobe says %q", out)
	}
	return strings.Join([]string{f[1], f[2], f[0], f[3], f[4], f[5], f[6]}, ",")
}

// A source of few or many pictures a second gets its rate all the same.
func TestVideoRateBPS(t *testing.T) {
	t.Parallel()
	for _, fps := range []int{8, 60} {
		frames := picturetest.Clip(t, media.H264, picturetest.Source(320, 180, fps, 6*time.Second)+",noise=alls=40:allf=t")
		v := newVideo(t, VideoConfig{RateBPS: 400_000})
		for i := range frames { // some that do not tell their rate
			frames[i].Time = frames[i].Time.Add(time.Minute)
		}
		out := transcode(t, v, frames)
		size := 0
		for _, f := range out[len(out)/3:] {
			size += len(f.Data)
		}
		if got := 8 * size / 4; math.Abs(float64(got)/400_000-1) > 0.2 {
			t.Errorf("%d bit/s at %d pictures a second, want 400000", got, fps)
		}
	}
}

// One quality takes as many bits as the picture needs, but no more than the rate.
func TestVideoQuality(t *testing.T) {
	t.Parallel()
	const seconds = 4
	bps := func(source string, cfg VideoConfig) int {
		cfg.Height, cfg.RateBPS = 180, cmp.Or(cfg.RateBPS, 400_000)
		size := 0
		for _, f := range transcode(t, newVideo(t, cfg), picturetest.Clip(t, media.H264, source)) {
			size += len(f.Data)
		}
		return 8 * size / seconds
	}
	still := fmt.Sprintf("color=gray:size=320x180:rate=30:duration=%d", seconds)
	lively := picturetest.Source(320, 180, 30, seconds*time.Second) + ",noise=alls=40:allf=t"
	if got := bps(still, VideoConfig{Quality: 23}); got > 40_000 {
		t.Errorf("a still picture takes %d bit/s in one quality", got)
	}
	if got := bps(lively, VideoConfig{Quality: 23}); got < 300_000 || got > 500_000 {
		t.Errorf("a lively picture takes %d bit/s in one quality, want about the most of 400000", got)
	}
	moving := picturetest.Source(320, 180, 30, seconds*time.Second)
	worse, better := bps(moving, VideoConfig{Quality: 40, RateBPS: 8_000_000}), bps(moving, VideoConfig{Quality: 30, RateBPS: 8_000_000})
	if worse > better*3/4 {
		t.Errorf("%d bit/s in quality 40 and %d in 30", worse, better)
	}
}

// The picture is turned before it is measured.
func TestVideoRotation(t *testing.T) {
	t.Parallel()
	frames := picturetest.Clip(t, media.H264, clip)[:5]
	tests := []struct {
		rotation      int
		filter        string
		cfg           VideoConfig
		width, height int
	}{
		{90, "transpose=clock", VideoConfig{}, 180, 320},
		{180, "hflip,vflip", VideoConfig{}, 320, 180},
		{270, "transpose=cclock", VideoConfig{}, 180, 320},
		{90, "transpose=clock,scale=120:212:flags=bilinear", VideoConfig{Height: 120}, 120, 212},
		{270, "transpose=cclock,scale=160:120:flags=bilinear", VideoConfig{Width: 160, Height: 120}, 160, 120},
		{180, "hflip,vflip,scale=212:120:flags=bilinear", VideoConfig{Height: 120}, 212, 120},
	}
	for _, tt := range tests {
		out := transcode(t, newVideo(t, tt.cfg), after(0, tt.rotation, frames))
		if tr := out[0].Track; tr.Width != tt.width || tr.Height != tt.height || tr.Rotation != 0 {
			t.Errorf("turned by %d: %dx%d turned by %d, want %dx%d", tt.rotation, tr.Width, tr.Height, tr.Rotation, tt.width, tt.height)
			continue
		}
		compare(t, picturetest.Pictures(t, out), picturetest.Drawn(t, clip, tt.filter, tt.width, tt.height), 0.95, 0.93)
	}
}

// The source changes its size, its coding and how it is turned. What comes out begins anew with a key frame where its
// own size changes.
func TestVideoChanges(t *testing.T) {
	t.Parallel()
	second := func(c media.Codec, width, height int, args ...string) []media.Frame {
		return picturetest.Clip(t, c, picturetest.Source(width, height, 30, time.Second/3), args...)
	}
	parts := [][]media.Frame{
		second(media.VP8, 640, 360),
		after(1*time.Second, 90, second(media.VP8, 640, 360)),
		after(2*time.Second, 0, second(media.VP8, 320, 180)),
		after(3*time.Second, 0, second(media.H264, 320, 180)),
		after(4*time.Second, 0, second(media.H264, 360, 640, "-tune", "film", "-bf", "2")),
		after(5*time.Second, 0, second(media.VP9, 1280, 720)),
	}
	tests := []struct {
		name   string
		cfg    VideoConfig
		tracks [][2]int
	}{
		{"as it is", VideoConfig{}, [][2]int{{640, 360}, {360, 640}, {320, 180}, {360, 640}, {1280, 720}}},
		{"by height", VideoConfig{Height: 180}, [][2]int{{320, 180}, {180, 320}, {320, 180}, {180, 320}, {320, 180}}},
		{"stretched", VideoConfig{Width: 320, Height: 180}, [][2]int{{320, 180}}},
		{"letterbox", VideoConfig{Width: 320, Height: 240, Letterbox: true}, [][2]int{{320, 240}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.KeyFrameTime = time.Minute
			v := newVideo(t, tt.cfg)
			var tracks [][2]int
			var track *media.Track
			frames := 0
			for _, part := range parts {
				for _, f := range transcode(t, v, part) {
					frames++
					if f.Track != track {
						track = f.Track
						tracks = append(tracks, [2]int{track.Width, track.Height})
						if !f.Key {
							t.Error("a track begins without a key frame")
						}
					} else if f.Key {
						t.Errorf("a key frame at %v for nothing", time.Duration(f.Time))
					}
				}
			}
			if !slices.Equal(tracks, tt.tracks) || frames != 60 {
				t.Errorf("%d frames of %v, want 60 of %v", frames, tracks, tt.tracks)
			}
		})
	}
}

// A fixed canvas has black beside the picture and nothing else, whatever the source's size becomes.
func TestVideoLetterbox(t *testing.T) {
	t.Parallel()
	v := newVideo(t, VideoConfig{Width: 640, Height: 480, Letterbox: true, RateBPS: 4_000_000})
	tests := []struct{ width, height, rotation int }{
		{640, 360, 0}, {362, 640, 0}, {640, 360, 90}, {1280, 720, 180}, {640, 480, 0}, {314, 480, 0},
	}
	var out []media.Frame
	for i, tt := range tests {
		source := fmt.Sprintf("color=white:size=%dx%d:rate=30:duration=0.1", tt.width, tt.height)
		white := after(time.Duration(i)*time.Second, tt.rotation, picturetest.Clip(t, media.H264, source))
		out = append(out, transcode(t, v, white)...)
	}
	pictures := picturetest.Pictures(t, out)
	for i, tt := range tests {
		p := pictures[3*i+2]
		w, h := tt.width, tt.height
		if tt.rotation == 90 {
			w, h = h, w
		}
		left, top, width, height := fit(640, 480, w, h)
		for y := range 480 {
			for x := range 640 {
				inside := x >= left && x < left+width && y >= top && y < top+height
				edge := x >= left-8 && x < left+width+8 && y >= top-8 && y < top+height+8 &&
					(x < left+8 || x >= left+width-8 || y < top+8 || y >= top+height-8)
				if luma := p.Y[y*640+x]; !edge && (inside && luma < 225 || !inside && luma > 20) {
					t.Fatalf("%+v: %d at %d, %d, inside %v", tt, luma, x, y, inside)
				}
			}
		}
	}
}

// Full range, more bits, more colour and other matrices become 8 bits of 4:2:0 in limited range, and look the same.
func TestVideoColours(t *testing.T) {
	t.Parallel()
	const bars = "smptebars=size=1280x720:rate=30:duration=0.1"
	tests := []struct {
		name   string
		codec  media.Codec
		args   []string
		matrix string
	}{
		{"unspecified", media.H264, nil, "bt709"},
		{"VP8", media.VP8, nil, "smpte170m"},
		{"BT.601", media.H264, []string{"-vf", "scale=out_color_matrix=bt601", "-colorspace", "smpte170m"}, "smpte170m"},
		{"full range", media.H264, []string{
			"-vf", "scale=out_range=full:out_color_matrix=bt709", "-color_range", "pc", "-colorspace", "bt709",
		}, "bt709"},
		{"10 bits", media.H265, []string{
			"-vf", "scale=out_color_matrix=bt709", "-pix_fmt", "yuv420p10le", "-colorspace", "bt709",
		}, "bt709"},
		{"4:4:4", media.H264, []string{
			"-vf", "scale=out_color_matrix=bt709", "-pix_fmt", "yuv444p", "-colorspace", "bt709",
		}, "bt709"},
		{"BT.2020", media.H265, []string{
			"-vf", "scale=out_color_matrix=bt2020", "-pix_fmt", "yuv420p10le", "-colorspace", "bt2020nc",
		}, "bt709"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out := transcode(t, newVideo(t, VideoConfig{RateBPS: 8_000_000}), picturetest.Clip(t, tt.codec, bars, tt.args...))
			if got := probe(t, out); !strings.Contains(got, ",tv,"+tt.matrix+",") {
				t.Errorf("ffprobe says %s, want limited range and %s", got, tt.matrix)
			}
			// The second bar is yellow of 75 %: 180, 180, 16 in RGB.
			p := picturetest.Pictures(t, out)[1]
			y, u, v := p.Y[200*1280+270], p.U[100*640+135], p.V[100*640+135]
			want := [3]int{168, 44, 136}
			if tt.matrix == "smpte170m" || tt.name == "unspecified" {
				want = [3]int{162, 44, 142} // lavfi's bars are made by BT.601
			}
			for i, got := range []byte{y, u, v} {
				if d := int(got) - want[i]; d < -3 || d > 3 {
					t.Errorf("yellow is %d, %d, %d, want %v", y, u, v, want)
					break
				}
			}
		})
	}
}

// After a frame that cannot be decoded, all frames up to the next key frame are skipped.
func TestVideoDamage(t *testing.T) {
	t.Parallel()
	for _, codec := range []media.Codec{media.H264, media.H265, media.VP8, media.VP9, media.AV1} {
		frames := picturetest.Clip(t, codec, clip, "-g", "10", "-keyint_min", "10")[:15]
		v := newVideo(t, VideoConfig{})
		if err := v.Decode(frames[1]); !errors.Is(err, ErrKeyFrame) {
			t.Errorf("%v: a first frame that is no key frame gives %v", codec, err)
		}
		bad := frames[2]
		bad.Data = bytes.Repeat([]byte{0xff, 0x13}, 50)
		if err := v.Decode(bad); !errors.Is(err, ErrKeyFrame) {
			t.Errorf("%v: rubbish gives %v", codec, err)
		}
		out := len(transcode(t, v, frames[:5]))
		if err := v.Decode(bad); !errors.Is(err, ErrKeyFrame) {
			t.Errorf("%v: rubbish gives %v", codec, err)
		}
		if err := v.Decode(frames[5]); !errors.Is(err, ErrKeyFrame) {
			t.Errorf("%v: a frame after rubbish gives %v", codec, err)
		}
		if out += len(transcode(t, v, frames[10:15])); out != 10 {
			t.Errorf("%v: %d pictures, want 10", codec, out)
		}
		if got := v.Stats(); got.Damaged != 4 || got.Decoded != 10 || got.Encoded != 10 || got.Dropped != 0 {
			t.Errorf("%v: %+v", codec, got)
		}
	}
}

func TestVideoRefuses(t *testing.T) {
	t.Parallel()
	v := newVideo(t, VideoConfig{})
	opus := media.Frame{Track: &media.Track{Codec: media.Opus}, Key: true, Data: []byte{1}}
	if err := v.Decode(opus); !errors.Is(err, ErrUnsupported) {
		t.Errorf("sound: %v", err)
	}
	config := media.Frame{Track: &media.Track{Codec: media.H264, Config: []byte{1, 2, 3}}, Key: true, Data: []byte{1}}
	if err := v.Decode(config); err == nil {
		t.Error("a broken configuration is taken")
	}
	// 16383 x 16383 in VP8's key frame header: refused before anything of the size is made.
	huge := media.Frame{Track: &media.Track{Codec: media.VP8}, Key: true, Data: append([]byte{
		0x10, 0x02, 0, 0x9d, 0x01, 0x2a, 0xff, 0x3f, 0xff, 0x3f,
	}, make([]byte, 100)...)}
	before := resident(t)
	if err := v.Decode(huge); !errors.Is(err, ErrKeyFrame) {
		t.Errorf("a huge picture: %v", err)
	}
	if grown := resident(t) - before; grown > 50<<20 {
		t.Errorf("a huge picture took %d MB", grown>>20)
	}
	if _, err := NewVideo(VideoConfig{Width: 3}); err == nil {
		t.Error("a bad configuration is taken")
	}
}

func TestVideoPending(t *testing.T) {
	t.Parallel()
	frames := picturetest.Clip(t, media.H264, picturetest.Source(64, 64, 30, 2*time.Second))
	v := newVideo(t, VideoConfig{})
	for _, f := range frames {
		if err := v.Decode(f); err != nil {
			t.Fatal(err)
		}
	}
	if n := v.Pending(); n != maxPending {
		t.Errorf("%d pictures wait, want %d", n, maxPending)
	}
	v.Drop()
	stop := errors.New("stop")
	var got media.Frame
	err := v.Encode(false, func(f media.Frame) error { got = f; return stop })
	if !errors.Is(err, stop) || got.Time != frames[len(frames)-maxPending+1].Time || !got.Key {
		t.Errorf("got %v, key %v, %v", time.Duration(got.Time), got.Key, err)
	}
	if err := v.Encode(true, func(f media.Frame) error { got = f; return nil }); err != nil || !got.Key {
		t.Errorf("a key frame asked for: key %v, %v", got.Key, err)
	}
	v.Close()
	v.Close()
	if err := errors.Join(v.Decode(frames[0])); !errors.Is(err, ErrClosed) {
		t.Errorf("decode after Close: %v", err)
	}
	if err := v.Encode(false, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("encode after Close: %v", err)
	}
}

// Neither size changes nor engines that end leave memory behind.
func TestVideoMemory(t *testing.T) {
	small := picturetest.Clip(t, media.H264, picturetest.Source(320, 180, 30, time.Second/10))
	large := picturetest.Clip(t, media.VP8, picturetest.Source(640, 360, 30, time.Second/10))
	at := time.Duration(0)
	changes := func(v *Video, n int) {
		for i := range n {
			at += time.Second
			transcode(t, v, after(at, 90*(i%4), small))
			at += time.Second
			transcode(t, v, after(at, 0, large))
		}
	}
	v := newVideo(t, VideoConfig{})
	engines := func(n int) {
		for range n {
			v, err := NewVideo(VideoConfig{Height: 90, FPS: 30})
			if err != nil {
				t.Fatal(err)
			}
			transcode(t, v, small)
			_ = v.Decode(small[0]) // and one is left pending
			v.Close()
		}
	}
	changes(v, 10)
	engines(10)
	before := resident(t)
	changes(v, 60)
	engines(60)
	// A picture takes 300 kB and an encoder several megabytes: 36 MB at least, if every one of either stayed.
	if grown := resident(t) - before; grown > 32<<20 {
		t.Errorf("120 changes of size and 60 engines left %d MB behind", grown>>20)
	}
}

// cpu returns the processor time that the process has used.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// One second of 720p30 at 2.5 Mbit/s in each coding, decoded only, and transcoded.
func BenchmarkVideo(b *testing.B) {
	source := picturetest.Source(1280, 720, 30, 4*time.Second) + ",noise=alls=7:allf=t"
	for _, codec := range []media.Codec{media.H264, media.H265, media.VP8, media.VP9, media.AV1} {
		frames := picturetest.Clip(b, codec, source, "-b:v", "2500k", "-maxrate", "2500k", "-bufsize", "1250k")
		for _, tt := range []struct {
			name string
			run  bool
			cfg  VideoConfig
		}{
			{"decode", false, VideoConfig{}},
			{"720p", true, VideoConfig{RateBPS: 2_500_000}},
			{"480p", true, VideoConfig{Width: 854, Height: 480, RateBPS: 1_200_000}},
		} {
			b.Run(codec.String()+"/"+tt.name, func(b *testing.B) {
				from, seconds := cpu(b), 0.0
				for b.Loop() {
					v := newVideo(b, tt.cfg)
					for _, f := range frames {
						if err := v.Decode(f); err != nil {
							b.Fatal(err)
						}
						if !tt.run {
							v.Drop()
						} else if err := v.Encode(false, func(media.Frame) error { return nil }); err != nil {
							b.Fatal(err)
						}
					}
					v.Close()
					seconds += 4
				}
				b.ReportMetric(float64((cpu(b)-from).Microseconds())/1000/seconds, "cpu-ms/s")
			})
		}
	}
}

// FuzzVideo gives a decoder what no encoder makes, and encodes what it takes for pictures.
func FuzzVideo(f *testing.F) {
	codecs := []media.Codec{media.H264, media.H265, media.VP8, media.VP9, media.AV1}
	for i := range codecs {
		f.Add(uint8(i), []byte{1, 0x42, 0xc0, 0x1e, 0xff, 0xe1, 0, 0}, []byte{0, 0, 0, 1, 0x65},
			[]byte{0x10, 2, 0, 0x9d, 1, 0x2a, 64, 0, 64, 0})
	}
	f.Fuzz(func(t *testing.T, codec uint8, config, first, second []byte) {
		v, err := NewVideo(VideoConfig{Width: 48, Height: 32, Letterbox: codec&0x40 != 0, FPS: 30, Preset: "ultrafast"})
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		track := &media.Track{Codec: codecs[int(codec&0x3f)%len(codecs)], Config: config, Rotation: 90 * int(codec>>6)}
		for i, data := range [][]byte{first, second, first} {
			f := media.Frame{Track: track, Key: true, Time: media.Timestamp(i) * 1e8, Data: data}
			if err := v.Decode(f); err != nil && !errors.Is(err, ErrKeyFrame) && !errors.Is(err, ErrUnsupported) {
				t.Fatal(err)
			}
			for v.Pending() > 0 {
				if codec&0x3f >= 5*6 { // what a snapshot does
					if shot, err := v.Snapshot(); err == nil && (shot.Rect.Dx() != 48 || shot.Rect.Dy() != 32) {
						t.Errorf("a snapshot of %v", shot.Rect)
					}
					continue
				}
				err := v.Encode(false, func(f media.Frame) error {
					if f.Track.Width != 48 || f.Track.Height != 32 || len(f.Data) < 5 {
						t.Errorf("%d bytes of %dx%d", len(f.Data), f.Track.Width, f.Track.Height)
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
