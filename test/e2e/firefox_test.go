//go:build e2e

package e2e

import (
	"fmt"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// Firefox and Chromium publish and play each other. Debian's Firefox has no H.264: its VP8 is pushed as H.264, and Chromium plays that,
// too, from our RTMP server.
func TestTwoBrowsers(t *testing.T) {
	s := startServer(t)
	b := startBrowser(t, "browsers.mjs", s.socket)
	b.await("live")
	s.receivedBy("lean") // Chromium's H.264
	s.receivedBy("peer") // Firefox's VP8
	if code := s.post("/push/startup", map[string]string{"streamName": "firefox", "rtmpUrl": s.rtmp}, nil); code != 200 {
		t.Fatalf("push/startup answers %d", code)
	}
	s.waitPush("firefox", "PUBLISHING")
	b.tell("rtmp_firefox")
	judge(t, capture(t, s.rtmp+"/rtmp_firefox"), expectation{seconds: 10, tone: true})
	b.await("played")
	b.stop()
}

// A streamer goes live from the studio in Firefox by the buttons of the page. The page shows every number that Firefox tells, and says of the delay that
// Firefox does not measure all of it. A real nginx has one recording.
func TestLongStudioInFirefox(t *testing.T) {
	n := newNginx(t)
	s := startServer(t)
	b := startBrowser(t, "studio-firefox.mjs", s.page, "--name", "show", "--rtmp", n.url(), "--seconds", "300")
	shows := func(e browserEvent, wanted map[string]string) {
		t.Helper()
		wanted["failure"], wanted["device-problem"], wanted["source-problem"] = "^$", "^$", "^$"
		for id, pattern := range wanted {
			if !regexp.MustCompile(pattern).MatchString(e.Displayed[id]) {
				t.Errorf("#%s shows %q, want %s", id, e.Displayed[id], pattern)
			}
		}
		if len(e.ConsoleErrors) > 0 {
			t.Errorf("faults in the page: %v", e.ConsoleErrors)
		}
	}
	shows(b.await("live"), map[string]string{
		"picture": `^1280 × 720$`, "fps": `^[1-9]\d* fps$`, "upload": `^[1-9].*bit/s$`, "loss": `%$`, "round-trip": `\d ms$`, "interval": "^every",
		"advice": "^The stream gets to the server well|is lost on its way|is not known yet",
	})
	s.receivedBy("peer") // VP8
	begun := s.findPush("show").MediaSessionID
	do := func(line string, wanted map[string]string) {
		t.Helper()
		b.say(line)
		shows(b.await("done"), wanted)
		before := s.findPush("show").VideoFramesSent
		testkit.Eventually(t, 30*time.Second, func() string { // on a busy machine the push is degraded: the server transcodes VP8
			now := s.findPush("show")
			if now.MediaSessionID != begun || now.Attempts != 1 {
				t.Fatalf("after %q the push is %+v", line, now)
			}
			if now.VideoFramesSent < before+30 {
				return fmt.Sprintf("after %q, %d pictures were sent", line, now.VideoFramesSent-before)
			}
			return ""
		})
	}
	do("mute", map[string]string{})
	do("unmute", map[string]string{})
	do("quality 360p 640x360", map[string]string{"picture": "^640 × 360$"}) // Firefox's own camera keeps its size, and is sent smaller
	do("share", map[string]string{"source-note": "The screen is shared", "picture": "^640 × 360$"})
	do("quality 720p 1280x720", map[string]string{"picture": "^1280 × 720$"})
	do("unshare", map[string]string{"picture": "^1280 × 720$"})
	do("watch", map[string]string{"arrival-note": "^$", "arrival-delay": "^At least .* from your camera to here: .* ms to the server, and .* back. This browser does not measure all"})
	shows(b.stop(), map[string]string{})
	s.waitNoPush()
	judgeDecoding(t, filepath.Join(n.dir, "rtmp_show.flv"))
}
