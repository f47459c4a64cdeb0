//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// What the studio costs the browser while it is live, compared with a page that does nothing but send and show the same camera: the same picture, codec
// and bit rate, in pairs that take turns, to a real nginx. The pattern that Chromium makes itself costs almost nothing to encode, so both are measured
// with pictures of a camera, too. The machine decides the numbers, so they are only told; what is wrong is a page that does not send.
// TRANSPONDER_COST_SECONDS is how long each page is measured.
func TestLongStudioCost(t *testing.T) {
	t.Run("pattern", func(t *testing.T) { measureStudio(t) })
	// 30 noisy pictures a second as MJPEG, as most cameras give them at this size.
	camera := filepath.Join(t.TempDir(), "camera.mjpeg")
	tool(t, "ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=30,noise=alls=10:allf=t", "-t", "8", "-q:v", "4", "-f", "mjpeg", camera)
	t.Run("camera", func(t *testing.T) { measureStudio(t, "--camera", camera) })
}

func measureStudio(t *testing.T, options ...string) {
	const rounds = 3
	seconds := 30
	if wanted, err := strconv.Atoi(os.Getenv("TRANSPONDER_COST_SECONDS")); err == nil && wanted > 0 {
		seconds = wanted
	}
	n := newNginx(t)
	s := startServer(t)
	b := startBrowser(t, "studio-cost.mjs", append([]string{s.page, "--rtmp", n.url(), "--seconds", strconv.Itoa(2 * rounds * (seconds + 120))}, options...)...)
	costs := map[string][]float64{}
	width := ""
	for round := range rounds {
		for _, kind := range []string{"studio", "bare"} {
			name := fmt.Sprintf("%s-%d", kind, round)
			b.say(kind + " " + name + " " + width)
			if saw := b.await("live").Displayed; kind == "studio" {
				width = saw["width"]
			} else if code := s.post("/push/startup", map[string]any{"streamName": name, "rtmpUrl": n.url()}, nil); code != http.StatusOK {
				t.Fatalf("startup answers %d", code)
			}
			s.waitPush(name, "PUBLISHING")
			s.waitFrames(name, 150) // by then the encoder has its bit rate
			before, begun := s.waitPush(name, "PUBLISHING"), time.Now()
			b.say("measure " + strconv.Itoa(seconds))
			saw := b.await("measured").Displayed
			after := s.waitPush(name, "PUBLISHING")
			rate := float64(after.VideoFramesSent-before.VideoFramesSent) / time.Since(begun).Seconds()
			t.Logf("%s: %s ms a second (browser %s, GPU %s, renderer %s, utility %s), %.1f pictures a second: %s",
				name, saw["all"], saw["browser"], saw["GPU"], saw["renderer"], saw["utility"], rate, saw["threads"])
			if rate == 0 || after.Attempts != 1 {
				t.Errorf("the push of %s was %+v and is %+v", name, before, after)
			}
			costs[kind] = append(costs[kind], measured(t, saw["all"]))
			b.say("close")
			b.await("closed")
			if code := s.post("/push/terminate", map[string]any{"mediaSessionId": after.MediaSessionID}, nil); code != http.StatusOK && code != http.StatusNotFound {
				t.Errorf("terminate answers %d", code)
			}
			s.waitNoPush()
		}
	}
	b.stop()
	t.Logf("the studio costs %.2f times what a page costs that only sends", median(costs["studio"])/median(costs["bare"]))
	files, err := filepath.Glob(filepath.Join(n.dir, "*.flv"))
	if err != nil || len(files) != 2*rounds {
		t.Fatalf("recordings %v (%v), want %d", files, err, 2*rounds)
	}
	for _, file := range files {
		judgeDecoding(t, file)
	}
}
