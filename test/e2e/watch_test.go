//go:build e2e

package e2e

import (
	"testing"

	"transponder/internal/testkit"
)

// TestLongWatchPage looks at the page for viewers while a stream begins, is interrupted, ends, comes back, and while the server is killed.
func TestLongWatchPage(t *testing.T) {
	dir, settings := t.TempDir(), []string{"http.port=" + testkit.FreePort(t), "whep_hold_ms=3000"}
	s := startServerAt(t, dir, nil, settings...)
	b := startBrowser(t, "watch.mjs", s.page, "--name", "show")
	b.await("open")
	sees := func(what string) {
		t.Helper()
		b.tell(what)
		b.await("seen")
	}
	sees("not live now")
	leave := publishRTMP(t, s, "show", 640, 360)
	sees("plays")
	leave()
	sees("interrupted")
	leave = publishRTMP(t, s, "show", 640, 360)
	sees("plays")
	leave()
	sees("has ended")
	publishRTMP(t, s, "show", 640, 360)
	sees("plays")
	s.kill()
	sees("does not answer")
	s = startServerAt(t, dir, nil, settings...)
	sees("has ended")
	publishRTMP(t, s, "show", 640, 360)
	sees("plays")
	b.stop()
}

// A link with a token that may do nothing but play shows a picture of the stream until it plays, and then plays it.
func TestLongWatchPoster(t *testing.T) {
	s := startServer(t, "access=closed", "token_secret="+pagesSecret)
	to := pageToken(t, "encoder", map[string]any{"actions": []string{"publish"}, "streams": []string{"show"}})
	publishRTMP(t, s, "show?token="+to, 640, 360)
	viewer := pageToken(t, "viewer", map[string]any{"actions": []string{"play"}, "streams": []string{"show"}})
	b := startBrowser(t, "watch.mjs", s.page, "--name", "show", "--token", viewer)
	b.await("open")
	for _, what := range []string{"poster", "plays"} {
		b.tell(what)
		b.await("seen")
	}
	b.stop()
}
