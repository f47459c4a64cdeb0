//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"image/jpeg"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// A push to nginx that has ended, and one that nginx has refused, are started again by their ids alone. The record of the second show decodes. Meanwhile
// five people look at pictures of the stream, and share them.
func TestLongRetryAndSnapshot(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	target, records := startNginx(t)
	encoder := exec.CommandContext(t.Context(), "ffmpeg", "-hide_banner", "-v", "error", "-re",
		"-f", "lavfi", "-i", "color=red:size=1280x720:rate=30", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000",
		"-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "30", "-pix_fmt", "yuv420p", "-c:a", "aac", "-ac", "2", "-f", "flv", s.rtmp+"/cam")
	if err := encoder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		encoder.Process.Kill()
		encoder.Wait()
	})
	start := func(path string, body map[string]any) (begun push) {
		testkit.Eventually(t, 20*time.Second, func() string {
			if code := s.post(path, body, &begun); code != http.StatusOK {
				return fmt.Sprint(path, " answers ", code)
			}
			return ""
		})
		return begun
	}
	first := start("/push/startup", map[string]any{"streamName": "cam", "rtmpUrl": target + "/secret-key", "rtmpTransponderFullUrl": true})
	s.waitFrames("cam", 60)

	var all sync.WaitGroup
	for range 5 {
		all.Go(func() { lookAt(t, s, "cam") })
	}
	all.Wait()
	made := shotsMade(t, s)
	if made < 1 || made > 3 {
		t.Errorf("%d pictures were made for five people who asked at the same time", made)
	}

	if code := s.post("/push/retry", map[string]any{"mediaSessionId": first.MediaSessionID}, nil); code != http.StatusConflict {
		t.Errorf("a push that is live is started again: %d", code)
	}
	s.post("/push/terminate", map[string]any{"mediaSessionId": first.MediaSessionID}, nil)
	file := filepath.Join(records, "secret-key.flv")
	testkit.Eventually(t, 10*time.Second, func() string {
		if err := os.Rename(file, file+".first"); err != nil {
			return err.Error()
		}
		return ""
	})
	again := start("/push/retry", map[string]any{"mediaSessionId": first.MediaSessionID})
	if again.MediaSessionID == first.MediaSessionID || again.MediaSessionID == "" {
		t.Errorf("the new push has the id %q", again.MediaSessionID)
	}
	s.waitFrames("cam", 110)
	s.post("/push/terminate", map[string]any{"mediaSessionId": again.MediaSessionID}, nil)
	judge(t, file, expectation{seconds: 3, tone: true})

	refused := start("/push/startup", map[string]any{"streamName": "cam", "rtmpUrl": strings.Replace(target, "/live", "/no-such-app", 1) + "/key", "rtmpTransponderFullUrl": true})
	isOver := func(id string) {
		testkit.Eventually(t, 20*time.Second, func() string {
			var found []push
			s.post("/push/find", map[string]any{"mediaSessionId": id}, &found)
			if len(found) == 1 && found[0].Status == "FAILED" {
				return ""
			}
			return fmt.Sprintf("%+v", found)
		})
	}
	isOver(refused.MediaSessionID)
	isOver(start("/push/retry", map[string]any{"mediaSessionId": refused.MediaSessionID}).MediaSessionID)
}

// lookAt gets a picture of a red stream of 1280x720.
func lookAt(t *testing.T, s *server, name string) {
	began := time.Now()
	got, err := http.Get(s.page + "rest-api/stream/snapshot?name=" + name)
	if err != nil {
		t.Error(err)
		return
	}
	defer got.Body.Close()
	file, err := io.ReadAll(got.Body)
	if err != nil || got.StatusCode != http.StatusOK {
		t.Errorf("snapshot: %d %s, %v", got.StatusCode, file, err)
		return
	}
	shot, err := jpeg.Decode(bytes.NewReader(file))
	if err != nil {
		t.Error(err)
		return
	}
	r, g, b, _ := shot.At(320, 180).RGBA()
	if size := shot.Bounds().Size(); size.X != 640 || size.Y != 360 || r>>8 < 220 || g>>8 > 40 || b>>8 > 40 {
		t.Errorf("a picture of %v with the colour %d %d %d, want 640x360 of red", size, r>>8, g>>8, b>>8)
	}
	t.Logf("%d bytes after %v", len(file), time.Since(began).Round(time.Millisecond))
}

// shotsMade returns how many pictures of streams the server has made.
func shotsMade(t *testing.T, s *server) (n int) {
	t.Helper()
	got, err := http.Get(s.page + "metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	const name = `transponder_snapshots_total{outcome="made"} `
	_, after, _ := strings.Cut(string(text), name)
	fmt.Sscan(after, &n)
	return n
}
