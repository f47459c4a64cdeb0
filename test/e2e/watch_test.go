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
