//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestLongExamples uses each example of the gallery by its own buttons, in a real Chromium, with real servers. A real nginx records the pushes.
func TestLongExamples(t *testing.T) {
	media := t.TempDir()
	tool(t, "ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", "2", filepath.Join(media, "pause.wav"))
	tool(t, "ffmpeg", "-v", "error", "-f", "lavfi", "-i", "color=0xc02080:size=640x360", "-frames:v", "1", filepath.Join(media, "away.png"))
	n := newNginx(t)
	s := startServer(t, "media_dir="+media)
	guarded := startServer(t, "access=closed", "token_secret="+pagesSecret)
	token := pageToken(t, "one", map[string]any{"actions": []string{"publish"}, "streams": []string{"cam-1"}})
	react := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "run", "./web/build", "-react-examples", react)
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the examples for React: %v\n%s", err, out)
	}
	args := []string{s.page, "--rtmp", n.url(), "--guarded", guarded.page, "--token", token, "--react", filepath.Join(react, "index.js")}
	if folder := os.Getenv("SCREENSHOTS"); folder != "" {
		args = append(args, "--screenshot", folder)
	}
	b := startBrowser(t, "examples.mjs", append(args, "--seconds", "600")...)

	b.await("both")
	var pushes []push
	s.post("/push/find", map[string]string{"streamName": "twice"}, &pushes)
	var ids []string
	for _, p := range pushes {
		ids = append(ids, p.MediaSessionID)
	}
	if len(ids) != 2 {
		t.Fatalf("%d pushes of the stream, want 2", len(ids))
	}
	s.waitEach(ids, "PUBLISHING", 90)
	b.say("end one")
	b.await("one")
	last := s.waitPush("twice", "PUBLISHING")
	s.waitEach([]string{last.MediaSessionID}, "PUBLISHING", last.VideoFramesSent+60)
	b.say("end both")

	b.await("holding")
	held := s.waitPush("pause", "HOLDING")
	s.waitEach([]string{held.MediaSessionID}, "HOLDING", held.VideoFramesSent+90) // the server waits for two seconds before it shows the picture
	b.say("end the pause")

	b.await("react")
	s.waitEach([]string{s.waitPush("react", "PUBLISHING").MediaSessionID}, "PUBLISHING", 60)
	b.say("go on")

	if stopped := b.await("stopped"); len(stopped.ConsoleErrors) > 0 {
		t.Errorf("the pages complain: %v", stopped.ConsoleErrors)
	}
	s.waitNoPush()
	judge(t, filepath.Join(n.dir, "first.flv"), expectation{seconds: 2, tone: true, keyGap: 10})
	judge(t, filepath.Join(n.dir, "second.flv"), expectation{seconds: 4, tone: true, keyGap: 10})
	judge(t, filepath.Join(n.dir, "react.flv"), expectation{seconds: 1, tone: true, keyGap: 10})
	shown := 0
	for _, c := range meanColours(t, filepath.Join(n.dir, "pause.flv")) {
		if c.near(0xc0, 0x20, 0x80) {
			shown++
		}
	}
	if shown < 20 {
		t.Errorf("%d pictures of the recording are the one for the pause, want at least 20", shown)
	}
}
