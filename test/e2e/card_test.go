//go:build e2e

package e2e

import (
	"bytes"
	"math"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// An encoder that sends sound alone gets a picture: a card, or a file. nginx records a stream that YouTube would take, with the sound in
// step, and a player decodes it without a complaint.
func TestSoundWithPicture(t *testing.T) {
	t.Parallel()
	media := t.TempDir()
	tool(t, "ffmpeg", "-v", "error", "-f", "lavfi", "-i", "color=red:size=320x180", "-frames:v", "1", filepath.Join(media, "logo.png"))
	s := startServer(t, "media_dir="+media)
	target, records := startNginx(t)
	for name, picture := range map[string]string{"card": "card", "file": "logo.png"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := s.in(t)
			encoder := exec.CommandContext(t.Context(), "ffmpeg", "-hide_banner", "-v", "error", "-re",
				"-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-c:a", "aac", "-ac", "2", "-f", "flv", s.rtmp+"/"+name)
			if err := encoder.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				encoder.Process.Kill()
				encoder.Wait()
			})
			var begun push
			body := map[string]any{"streamName": name, "rtmpUrl": target, "options": map[string]any{"picture": picture}}
			testkit.Eventually(t, 10*time.Second, func() string {
				if code := s.post("/push/startup", body, &begun); code != http.StatusOK {
					return http.StatusText(code)
				}
				return ""
			})
			s.waitFrames(name, 80)
			s.post("/push/terminate", map[string]any{"mediaSessionId": begun.MediaSessionID}, nil)
			file := filepath.Join(records, "rtmp_"+name+".flv")
			judge(t, file, expectation{seconds: 7, tone: true})
			judgeStill(t, file)
			if name == "file" {
				if got := middle(t, file); got[0] < 200 || got[1] > 50 || got[2] > 50 {
					t.Errorf("the middle of the picture is %v, want red", got)
				}
			}
		})
	}
	var refused struct{ Message string }
	body := map[string]any{"streamName": "card", "rtmpUrl": target + "2", "options": map[string]any{"picture": "../secret.png"}}
	if code := s.post("/push/startup", body, &refused); code == http.StatusOK {
		t.Errorf("a file outside the folder is answered with %d", code)
	}
}

// judgeStill checks that the pictures of a file come ten a second, without a pause, from the first sound to the last. A machine that is busy
// makes a picture late.
func judgeStill(t *testing.T, file string) {
	t.Helper()
	first, last := map[string]float64{}, map[string]float64{}
	pictures := 0
	for _, p := range probe(t, file).Packets {
		at, err := strconv.ParseFloat(p.DTS, 64)
		if err != nil {
			t.Fatalf("packet without a time: %+v", p)
		}
		before, seen := last[p.Kind]
		if !seen {
			first[p.Kind] = at
		} else if p.Kind == "video" {
			if pictures++; at-before > 0.5 {
				t.Errorf("a picture %.3f s after the one before", at-before)
			}
		}
		last[p.Kind] = at
	}
	if rate := float64(pictures) / (last["video"] - first["video"]); math.Abs(rate-10) > 1 {
		t.Errorf("%.1f pictures a second", rate)
	}
	for _, at := range []map[string]float64{first, last} {
		if apart := at["video"] - at["audio"]; math.Abs(apart) > 0.35 {
			t.Errorf("pictures are %.3f s from the sound", apart)
		}
	}
	for _, s := range probe(t, file).Streams {
		if s.Kind == "video" && (s.Width != 1280 || s.Height != 720) {
			t.Errorf("pictures of %dx%d", s.Width, s.Height)
		}
	}
}

// middle returns the colour in the middle of the first picture of a file.
func middle(t *testing.T, file string) []byte {
	t.Helper()
	rgb := tool(t, "ffmpeg", "-v", "error", "-i", file, "-frames:v", "1", "-vf", "crop=2:2,scale=1:1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
	return bytes.Clone(rgb[:3])
}
