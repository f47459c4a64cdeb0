//go:build e2e

package e2e

import "testing"

// The official example pages, by their buttons: as they come, and with one script tag changed to ours.
func TestOfficialPages(t *testing.T) {
	for sdk, args := range map[string][]string{"theirs": nil, "ours": {"--sdk", scriptBuild}} {
		t.Run(sdk, func(t *testing.T) {
			t.Parallel()
			s := startServer(t)
			b := startBrowser(t, "official.mjs", append([]string{s.socket, "--rest", s.rest}, args...)...)
			b.await("done")
		})
	}
}

// A picture of the publisher's camera appears in another browser window soon after. The delay is compared with that between two windows
// that are connected to each other.
func TestPlayDelay(t *testing.T) {
	s := startServer(t)
	b := startBrowser(t, "play-delay.mjs", s.page)
	d := b.await("done")
	t.Logf("from canvas to canvas: %.0f ms directly, %.0f ms through the server (medians of %d and %d pictures)",
		d.Direct.Median, d.Server.Median, d.Direct.Pictures, d.Server.Pictures)
	if d.Direct.Pictures == 0 || d.Server.Pictures == 0 || d.Server.Median <= 0 {
		t.Errorf("measured %+v directly and %+v through the server", d.Direct, d.Server)
	}
}
