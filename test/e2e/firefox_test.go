//go:build e2e

package e2e

import "testing"

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
