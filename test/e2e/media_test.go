//go:build e2e

package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// capture plays an RTMP URL into a file, copying what comes, as ffplay would take it: ten seconds and a key frame's wait.
func capture(t *testing.T, url string) string {
	t.Helper()
	const seconds = 13
	file := filepath.Join(t.TempDir(), "captured.flv")
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(seconds+20)*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ffmpeg", "-hide_banner", "-loglevel", "warning", "-y", "-i", url, "-t", strconv.Itoa(seconds), "-c", "copy", file)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("play %s: %v\n%s", url, err, out)
	}
	return file
}

// tool runs one of FFmpeg's programs on a file and returns what it writes.
func tool(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, stderr.Bytes())
	}
	return out
}

// recording is what ffprobe says of a file.
type recording struct {
	Streams []struct {
		Kind       string `json:"codec_type"`
		Codec      string `json:"codec_name"`
		Width      int    `json:"width"`
		Height     int    `json:"height"`
		SampleRate string `json:"sample_rate"`
		Channels   int    `json:"channels"`
		Profile    string `json:"profile"`
	} `json:"streams"`
	Packets []struct {
		Kind  string `json:"codec_type"`
		DTS   string `json:"dts_time"`
		Size  string `json:"size"`
		Flags string `json:"flags"`
	} `json:"packets"`
}

func probe(t *testing.T, file string) recording {
	t.Helper()
	var m recording
	out := tool(t, "ffprobe", "-v", "error", "-show_streams", "-show_packets", "-of", "json", file)
	if err := json.Unmarshal(out, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// expectation is what a received stream must be like.
type expectation struct {
	seconds float64 // at least so long
	tone    bool    // it is not silent
	keyGap  float64 // seconds between key frames; 0: 2.5
}

// judge checks a received file: H.264 and AAC that decode without an error, timestamps that only grow, key frames often
// enough for every platform, and sound.
func judge(t *testing.T, file string, want expectation) {
	t.Helper()
	m := probe(t, file)
	kinds := map[string]bool{}
	for _, s := range m.Streams {
		kinds[s.Kind] = true
		switch {
		case s.Kind == "video" && s.Codec != "h264":
			t.Errorf("video is %s, want h264", s.Codec)
		case s.Kind == "audio" && (s.Codec != "aac" || s.Profile != "LC" || s.SampleRate != "48000" || s.Channels != 2):
			t.Errorf("audio is %s %s, %s Hz, %d channels, want AAC-LC, 48000 Hz, 2 channels", s.Codec, s.Profile, s.SampleRate, s.Channels)
		}
	}
	if !kinds["video"] || !kinds["audio"] {
		t.Errorf("the file has %v, want video and audio", kinds)
	}
	judgePackets(t, m, want)

	// The stream's own time base: a camera's rate varies, and rounding to a constant one would make two pictures one.
	decode := exec.CommandContext(t.Context(), "ffmpeg", "-hide_banner", "-v", "error", "-i", file,
		"-fps_mode", "passthrough", "-enc_time_base", "-1", "-f", "null", "-")
	if out, err := decode.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("decoding: %v\n%s", err, out)
	}
	if loudest := peak(t, file); want.tone && loudest < -40 {
		t.Errorf("the sound's peak is %.1f dBFS, want an audible tone", loudest)
	}
}

func judgePackets(t *testing.T, m recording, want expectation) {
	t.Helper()
	last, first := map[string]float64{}, map[string]float64{}
	sinceKey, keyGap := math.Inf(-1), 0.0
	for _, p := range m.Packets {
		at, err := strconv.ParseFloat(p.DTS, 64)
		if err != nil {
			t.Fatalf("packet without a time: %+v", p)
		}
		before, seen := last[p.Kind]
		if !seen {
			first[p.Kind], before = at, at
		} else if at <= before {
			t.Errorf("%s timestamp goes from %.3f to %.3f", p.Kind, before, at)
		}
		last[p.Kind] = at
		if p.Kind != "video" {
			continue
		}
		// A browser that gets no processor takes no pictures, and so no key frames: only time with pictures counts.
		sinceKey += min(at-before, 0.1)
		if strings.HasPrefix(p.Flags, "K") {
			keyGap, sinceKey = max(keyGap, sinceKey), 0
		}
	}
	keyGap = max(keyGap, sinceKey)
	if most := cmp.Or(want.keyGap, 2.5); keyGap > most {
		t.Errorf("%.2f s between key frames, want at most %.1f", keyGap, most)
	}
	for _, kind := range []string{"video", "audio"} {
		if d := last[kind] - first[kind]; d < want.seconds {
			t.Errorf("%.1f s of %s, want %.1f", d, kind, want.seconds)
		}
	}
	t.Logf("video %.1f s, audio %.1f s, largest key frame gap %.2f s", last["video"]-first["video"], last["audio"]-first["audio"], keyGap)
}

const soundRate = 48000

// sound decodes a file's sound to mono samples from -1 to 1, with the time of the first.
func sound(t *testing.T, file string) (samples []float32, start float64) {
	t.Helper()
	raw := tool(t, "ffmpeg", "-v", "error", "-i", file, "-map", "0:a", "-ac", "1", "-ar", strconv.Itoa(soundRate), "-f", "f32le", "-")
	samples = make([]float32, len(raw)/4)
	for i := range samples {
		samples[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return samples, firstTime(t, file, "a:0")
}

func firstTime(t *testing.T, file, stream string) float64 {
	t.Helper()
	out := tool(t, "ffprobe", "-v", "error", "-select_streams", stream, "-show_entries", "packet=pts_time", "-read_intervals", "%+#1", "-of", "csv=p=0", file)
	at, err := strconv.ParseFloat(strings.Trim(strings.TrimSpace(string(out)), ","), 64)
	if err != nil {
		t.Fatalf("first time of %s: %q", stream, out)
	}
	return at
}

// peak returns the loudest sample in dBFS.
func peak(t *testing.T, file string) float64 {
	t.Helper()
	samples, _ := sound(t, file)
	var loudest float64
	for _, s := range samples {
		loudest = max(loudest, math.Abs(float64(s)))
	}
	return 20 * math.Log10(loudest+1e-9)
}

// brightness returns the mean luma of each picture with its time.
func brightness(t *testing.T, file string) (times, luma []float64) {
	t.Helper()
	out := tool(t, "ffprobe", "-v", "error", "-f", "lavfi", "-i", fmt.Sprintf("movie=%s,signalstats", file),
		"-show_entries", "frame=pts_time:frame_tags=lavfi.signalstats.YAVG", "-of", "csv=p=0")
	for line := range strings.Lines(string(out)) {
		fields := strings.Split(strings.TrimSpace(line), ",")
		if len(fields) < 2 {
			continue
		}
		at, err1 := strconv.ParseFloat(fields[0], 64)
		y, err2 := strconv.ParseFloat(fields[1], 64)
		if err1 != nil || err2 != nil {
			t.Fatalf("brightness line %q", line)
		}
		times, luma = append(times, at), append(luma, y)
	}
	return times, luma
}

// The frame rate that a publisher's camera is set to is told to the receiver, when it is known, and no other.
func TestFrameRateIsTold(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	for _, fps := range []int{25, 30} {
		t.Run(strconv.Itoa(fps), func(t *testing.T) {
			t.Parallel()
			s := s.in(t)
			name := "rate" + strconv.Itoa(fps)
			receiver := testkit.NewRTMPServer(t, testkit.Script{})
			publishPictures(t, s, name, 320, 180, fps)
			if code := s.post("/push/startup", map[string]any{"streamName": name, "rtmpUrl": receiver.URL("live")}, nil); code != http.StatusOK {
				t.Fatalf("startup answers %d", code)
			}
			told := func() (rates []any) {
				for _, m := range receiver.Metadata() {
					if rate, ok := m["framerate"]; ok {
						rates = append(rates, rate)
					}
				}
				return rates
			}
			receiver.Wait(t, "frame rate", func() bool { return len(told()) > 0 })
			begun := pictureCount(receiver)
			receiver.Wait(t, "five seconds more", func() bool { return pictureCount(receiver) > begun+5*fps })
			for _, rate := range told() {
				if rate != float64(fps) {
					t.Errorf("rates %v were told, want %d", told(), fps)
				}
			}
		})
	}
}

// pictureCount returns how many pictures a receiver has got.
func pictureCount(receiver *testkit.RTMPServer) int {
	n := 0
	for _, tag := range receiver.Tags() {
		if tag.Video && !tag.Header {
			n++
		}
	}
	return n
}
