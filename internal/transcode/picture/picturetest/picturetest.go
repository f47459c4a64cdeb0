// Package picturetest has the ffmpeg command make coded pictures for tests and decode what comes out, and measures it.
package picturetest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"transponder/internal/media"
)

// Source names a test picture of FFmpeg's that moves.
func Source(width, height, fps int, d time.Duration) string {
	return fmt.Sprintf("testsrc2=size=%dx%d:rate=%d:duration=%g", width, height, fps, d.Seconds())
}

// encoders are the arguments that make ffmpeg encode like a live source, fast.
var encoders = map[media.Codec][]string{
	media.H264: {"-c:v", "libx264", "-preset", "superfast", "-tune", "zerolatency", "-crf", "18", "-x264-params", "scenecut=0"},
	media.H265: {"-c:v", "libx265", "-preset", "ultrafast", "-tune", "zerolatency", "-crf", "18", "-x265-params",
		"log-level=none:pools=1"},
	media.VP8: {"-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-lag-in-frames", "0", "-b:v", "4M", "-qmin", "4",
		"-qmax", "30"},
	media.VP9: {"-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-lag-in-frames", "0", "-b:v", "4M", "-qmin", "4",
		"-qmax", "30"},
	media.AV1: {"-c:v", "libaom-av1", "-usage", "realtime", "-cpu-used", "8", "-lag-in-frames", "0", "-b:v", "4M"},
}

// Clip encodes what the lavfi source shows; further arguments of ffmpeg are put behind its own. The first frame is at 0
// and is the only key frame, unless the arguments say otherwise.
func Clip(t testing.TB, codec media.Codec, source string, args ...string) []media.Frame {
	t.Helper()
	all := []string{"-f", "lavfi", "-i", source, "-pix_fmt", "yuv420p", "-g", "600"}
	all = append(append(all, encoders[codec]...), args...)
	if codec == media.VP8 {
		return ivf(t, ffmpeg(t, nil, append(all, "-f", "ivf", "-")...), codec)
	}
	file := filepath.Join(t.TempDir(), "clip.mp4")
	ffmpeg(t, nil, append(all, "-movflags", "+negative_cts_offsets", "-f", "mp4", file)...)
	return mp4(t, file, codec)
}

// ivf reads the frames of an IVF file of VP8.
func ivf(t testing.TB, b []byte, codec media.Codec) []media.Frame {
	t.Helper()
	den, num := binary.LittleEndian.Uint32(b[16:]), binary.LittleEndian.Uint32(b[20:])
	width, height := int(binary.LittleEndian.Uint16(b[12:])), int(binary.LittleEndian.Uint16(b[14:]))
	track := &media.Track{Codec: codec, Width: width, Height: height}
	var frames []media.Frame
	for b = b[32:]; len(b) >= 12; {
		size, at := int(binary.LittleEndian.Uint32(b)), int64(binary.LittleEndian.Uint64(b[4:]))
		data := b[12 : 12+size]
		b = b[12+size:]
		frames = append(frames, media.Frame{
			Track: track, Key: data[0]&1 == 0, Data: data,
			Time: media.Timestamp(at * int64(num) * int64(time.Second) / int64(den)),
		})
	}
	return frames
}

// mp4 reads the frames of an MP4 file where ffprobe says that they are.
func mp4(t testing.TB, file string, codec media.Codec) []media.Frame {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	track := &media.Track{Codec: codec, Config: box(b, map[media.Codec]string{media.H264: "avcC", media.H265: "hvcC"}[codec])}
	out, err := exec.Command("ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "stream=width,height",
		"-of", "csv=p=0", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(string(out), "%d,%d", &track.Width, &track.Height); err != nil {
		t.Fatal(err)
	}
	out, err = exec.Command("ffprobe", "-v", "error", "-select_streams", "v", "-show_entries",
		"packet=pts_time,dts_time,size,pos,flags", "-of", "csv=p=0", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	var frames []media.Frame
	for line := range strings.Lines(string(out)) {
		var n [4]float64
		fields := strings.Split(strings.TrimSpace(line), ",")
		for i := range n {
			if n[i], err = strconv.ParseFloat(fields[i], 64); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
		}
		shown, decoded := media.Timestamp(math.Round(n[0]*1e9)), media.Timestamp(math.Round(n[1]*1e9))
		frames = append(frames, media.Frame{
			Track: track, Time: decoded, Delay: shown.Sub(decoded),
			Key: strings.HasPrefix(fields[4], "K"), Data: b[int(n[3]):int(n[3]+n[2])],
		})
	}
	return frames
}

// box returns what is in the first box of that name, or nil.
func box(b []byte, name string) []byte {
	i := bytes.Index(b, []byte(name))
	if name == "" || i < 0 {
		return nil
	}
	size := int(binary.BigEndian.Uint32(b[i-4:]))
	return b[i+4 : i-4+size]
}

// AnnexB writes H.264 frames as a byte stream, with parameter sets before each key frame.
func AnnexB(t testing.TB, frames []media.Frame) []byte {
	t.Helper()
	var b []byte
	put := func(unit []byte) { b = append(append(b, 0, 0, 0, 1), unit...) }
	for _, f := range frames {
		if f.Key {
			sps, pps, err := media.H264ParameterSets(f.Track.Config)
			if err != nil {
				t.Fatal(err)
			}
			for _, set := range append(sps, pps...) {
				put(set)
			}
		}
		for rest := f.Data; len(rest) > 0; {
			size := int(binary.BigEndian.Uint32(rest))
			put(rest[4 : 4+size])
			rest = rest[4+size:]
		}
	}
	return b
}

// Picture is a decoded one: planes of 8 bits, YUV 4:2:0.
type Picture struct {
	Width, Height int
	Y, U, V       []byte
}

// IVF writes VP8 frames as a file whose times are in milliseconds.
func IVF(frames []media.Frame) []byte {
	track := frames[0].Track
	b := append([]byte("DKIF\x00\x00\x20\x00VP80"), make([]byte, 20)...)
	binary.LittleEndian.PutUint16(b[12:], uint16(track.Width))
	binary.LittleEndian.PutUint16(b[14:], uint16(track.Height))
	binary.LittleEndian.PutUint32(b[16:], 1000)
	binary.LittleEndian.PutUint32(b[20:], 1)
	for _, f := range frames {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(f.Data)))
		b = binary.LittleEndian.AppendUint64(b, uint64(time.Duration(f.Time).Milliseconds()))
		b = append(b, f.Data...)
	}
	return b
}

// Pictures has ffmpeg decode H.264 or VP8 frames of one size.
func Pictures(t testing.TB, frames []media.Frame) []Picture {
	t.Helper()
	track := frames[0].Track
	format, file := "h264", []byte(nil)
	if track.Codec == media.VP8 {
		format, file = "ivf", IVF(frames)
	} else {
		file = AnnexB(t, frames)
	}
	b := ffmpeg(t, file, "-f", format, "-i", "-", "-fps_mode", "passthrough",
		"-f", "rawvideo", "-pix_fmt", "yuv420p", "-")
	return Split(b, track.Width, track.Height)
}

// Drawn has ffmpeg draw what Clip encodes, with a filter.
func Drawn(t testing.TB, source, filter string, width, height int) []Picture {
	t.Helper()
	b := ffmpeg(t, nil, "-f", "lavfi", "-i", source, "-vf", "format=yuv420p,"+filter,
		"-f", "rawvideo", "-pix_fmt", "yuv420p", "-")
	return Split(b, width, height)
}

// Split cuts raw YUV 4:2:0 into pictures.
func Split(b []byte, width, height int) []Picture {
	luma, chroma := width*height, (width/2)*(height/2)
	var all []Picture
	for ; len(b) >= luma+2*chroma; b = b[luma+2*chroma:] {
		all = append(all, Picture{width, height, b[:luma], b[luma : luma+chroma], b[luma+chroma : luma+2*chroma]})
	}
	return all
}

// SSIM compares the luma of two pictures of one size: the mean over blocks of 8x8 (Wang et al., 2004).
func SSIM(a, b Picture) float64 {
	const block, c1, c2 = 8, 6.5025, 58.5225
	var sum float64
	var blocks int
	for top := 0; top+block <= a.Height; top += block {
		for left := 0; left+block <= a.Width; left += block {
			var sx, sy, sxx, syy, sxy float64
			for y := top; y < top+block; y++ {
				for x := left; x < left+block; x++ {
					p, q := float64(a.Y[y*a.Width+x]), float64(b.Y[y*b.Width+x])
					sx, sy, sxx, syy, sxy = sx+p, sy+q, sxx+p*p, syy+q*q, sxy+p*q
				}
			}
			const n = block * block
			mx, my := sx/n, sy/n
			vx, vy, cov := sxx/n-mx*mx, syy/n-my*my, sxy/n-mx*my
			sum += (2*mx*my + c1) * (2*cov + c2) / ((mx*mx + my*my + c1) * (vx + vy + c2))
			blocks++
		}
	}
	return sum / float64(blocks)
}

func ffmpeg(t testing.TB, input []byte, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("ffmpeg", append([]string{"-v", "error", "-nostdin", "-y"}, args...)...)
	if input != nil {
		cmd = exec.Command("ffmpeg", append([]string{"-v", "error", "-y"}, args...)...)
		cmd.Stdin = bytes.NewReader(input)
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, errs.Bytes())
	}
	return out.Bytes()
}
