//go:build e2e

package e2e

import (
	"strconv"
	"testing"

	"transponder/internal/testkit"
)

// Pages of the vendor's SDK, which know nothing of this server's own events: one hears in the documented words that its push was
// refused, where the settings say so; and none leaves anything behind by going away, though it asked to be kept.
func TestVendorPages(t *testing.T) {
	s := startServer(t, "rtmp_push_fail_stream=true", "ws_max_kept_sessions=1")
	refusing := testkit.NewRTMPServer(t, testkit.Script{At: "publish", Do: testkit.Refuse, Code: "NetStream.Publish.BadName"})
	b := startBrowser(t, "vendor-pages.mjs", s.page, "--socket", s.socket, "--rtmp", refusing.URL("live"))
	if got, want := b.await("refused").Displayed["told"], "PUBLISHING, FAILED Failed by RTMP writer error"; got != want {
		t.Errorf("the page of the refused push heard %q, want %q", got, want)
	}
	for range 4 {
		left := b.await("left").Displayed
		if ms, err := strconv.Atoi(left["ms"]); err != nil || ms > 3000 {
			t.Errorf("%s: the session was there for %s ms more", left["way"], left["ms"])
		}
	}
	b.stop()
}
